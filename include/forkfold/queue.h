/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues between the calling process and the functions that run in workers, and among those.
 *
 * What is put is a batch of items of one size, copied; a single item is a batch of one.  A batch
 * goes to one consumer.  A queue holds so many batches and no more: who puts waits for room.
 *
 * Anyone may die.  What a process had not put completely never appears.  What it took and had not
 * acknowledged goes to another one.  What it put before it died stays: a function that is run again
 * after a death puts it again, unless it passed it on (forkfold_queue_pass_on), by which a batch is
 * put and the one that it was made of acknowledged in one step.
 *
 * All functions but open and close may be called in the calling process and in functions that run
 * in its pool's workers, which find the queue by its address: put that into the call's context.
 * A process holds one batch of each queue at most.  A function that returns while it holds one gives
 * it back.
 *
 * Who waits in a worker takes up that worker: with as many waiting consumers as there are
 * workers, nobody is left to put anything.
 *
 * A death counts as an attempt of the item whose function was running, which may run as long as the
 * queue is open: give its call as many attempts as there may be deaths (retries_plus_one).
 */
#ifndef FORKFOLD_QUEUE_H
#define FORKFOLD_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FORKFOLD_QUEUES_MAX = 64, FORKFOLD_PRODUCERS_MAX = 64 };

typedef struct forkfold_queue forkfold_queue;

typedef struct forkfold_queue_options {
    size_t size;          /* sizeof(struct forkfold_queue_options), or 0 for "as compiled" */
    size_t item_bytes;    /* of each item, at least 1 */
    uint64_t batch_items; /* the most items of a batch; 0 = 1 */
    uint64_t depth;       /* batches that it holds, rounded up to a power of two; 0 = up to 1024, as
                             many as fit a megabyte, but at least 16 */
    unsigned producers;   /* that have to say that they end; 0 = 1 */
} forkfold_queue_options;

/*
 * Opens a queue.  The caller owns *queue, and closes it before the pool and after the calls that use
 * it.  Errors: FORKFOLD_E_INVALID, FORKFOLD_E_LIMIT (FORKFOLD_QUEUES_MAX, or the region has no
 * room), FORKFOLD_E_FORKED, FORKFOLD_E_SYSTEM.
 */
FORKFOLD_API int forkfold_queue_open(forkfold_pool *pool, const forkfold_queue_options *options,
                                     forkfold_queue **queue);

/*
 * Frees it and what is in it.  NULL is allowed.  A watch may close the queue that the calling process
 * waits for: put, get and pass_on then return FORKFOLD_E_INVALID.
 */
FORKFOLD_API void forkfold_queue_close(forkfold_queue *queue);

/*
 * Puts a batch of count items, side by side at items; waits for room, at most timeout_ns (0 = not at
 * all, UINT64_MAX = for ever).  0, or
 *   FORKFOLD_E_PENDING   there was no room in time
 *   FORKFOLD_E_ENDED     the queue has ended
 *   FORKFOLD_E_INVALID   no items, more than fit a batch, or a queue that has been closed
 *   FORKFOLD_E_FORKED    this is neither the process that opened the pool nor one of its workers
 *   FORKFOLD_E_DAMAGED   a worker wrote where it should not: the queue can only be closed
 * and in the calling process, where the sentence is then forkfold_pool_message(), also
 *   FORKFOLD_E_STALLED   there is no room and no call in progress that could make some
 *   FORKFOLD_E_BUSY      the pool has an open result
 *   what ended all calls, as of forkfold_map: FORKFOLD_E_SUPERVISOR, FORKFOLD_E_CRASH_LOOP ...
 *
 * With an event loop of its own (forkfold_pool_fd) the host is told by its descriptor when to try
 * again what has returned FORKFOLD_E_PENDING.
 */
FORKFOLD_API int forkfold_queue_put(forkfold_queue *queue, const void *items, uint64_t count,
                                    uint64_t timeout_ns);

/*
 * Says that producer, a number below the producers of the queue, will put nothing more.  When all
 * have said so the queue has ended.  Saying it again, after a death say, changes nothing.
 */
FORKFOLD_API int forkfold_queue_end(forkfold_queue *queue, unsigned producer);

/* A batch, or the next part of one.  items lives until it is acknowledged or given back. */
typedef struct forkfold_batch {
    const void *items;
    uint64_t count;   /* of them */
    uint64_t returns; /* how often they were taken before and not acknowledged */
} forkfold_batch;

/*
 * Takes a batch, or of what is left of it at most most items (0 = all), acknowledging those
 * that this process took before; waits for one, at most timeout_ns.  1 with a batch; 0 when the queue
 * has ended and all of it is acknowledged; errors as of forkfold_queue_put.
 */
FORKFOLD_API int forkfold_queue_get(forkfold_queue *queue, uint64_t most, forkfold_batch *batch,
                                    uint64_t timeout_ns);

/*
 * What this process took last need not be delivered again, and its items are not to be read any
 * more; or all of the batch that is not acknowledged has to be.  FORKFOLD_E_INVALID when there is
 * nothing.
 */
FORKFOLD_API int forkfold_queue_acknowledge(forkfold_queue *queue);
FORKFOLD_API int forkfold_queue_give_back(forkfold_queue *queue);

/*
 * Puts a batch to one queue and acknowledges what it was made of, what this process took last from
 * another queue of the pool: whatever dies, both or neither.  As forkfold_queue_put; after an error
 * it still holds that.
 */
FORKFOLD_API int forkfold_queue_pass_on(forkfold_queue *from, forkfold_queue *to, const void *items,
                                        uint64_t count, uint64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
