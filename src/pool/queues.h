/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of a pool: where they lie in the region, and what becomes of them when a worker dies.
 *
 * Each has a place of its own for its handle (written by the driver alone) and one for its ring
 * (written by all); neither is ever anything else, so that the supervisor can look at all of them at
 * any time.  `opened` counts those that have ever been open.  The batches themselves lie in the
 * results area, or in the cells if they are as small as that.
 */
#ifndef FF_POOL_QUEUES_H
#define FF_POOL_QUEUES_H

#include <forkfold/queue.h>

#include "memory/ring.h"
#include "pool/shared.h"

/* Writer: the driver. */
struct forkfold_queue {
    forkfold_pool *pool;            /* to the driver */
    const struct ff_layout *layout; /* the same address in all processes of the pool */
    struct ff_ring *ring;
    bool is_open;
    bool is_inside;  /* whether the batches lie in the cells */
    uint64_t serial; /* of the queues that have been open here */
    size_t item_bytes;
    char *batches; /* of each cell one, batch_bytes apart */
    size_t batch_bytes;
};

/* Writer: the driver. */
struct ff_queues_shared {
    ff_word64 opened;
    struct ff_ring rings[FORKFOLD_QUEUES_MAX];
    struct forkfold_queue queues[FORKFOLD_QUEUES_MAX];
};

/* What a process has of a queue; in its own memory. */
struct ff_queue_hold {
    bool is_held;
    struct ff_ring_batch batch;
    uint64_t given; /* items behind those that are acknowledged, which the caller has */
};

struct ff_queue_holds {
    unsigned count; /* of those that are held */
    struct ff_queue_hold queues[FORKFOLD_QUEUES_MAX];
};

/* The most cells that a queue of this pool can have, a power of two; and where its words lie. */
uint64_t ff_queues_cells(const struct ff_layout *layout);
struct ff_ring_words *ff_queues_words(const struct ff_layout *layout, unsigned number);
struct ff_ring_cell *ff_queues_ring_cells(const struct ff_layout *layout, unsigned number);

/* For the supervisor, when a worker has died: its batches are others', and whoever waits looks. */
void ff_queues_recover(const struct ff_layout *layout, unsigned slot);

/* Gives back what the process has of one queue, or of all, and wakes those who wait for it. */
void ff_queue_return(const forkfold_queue *queue, struct ff_queue_holds *holds);
void ff_queues_return(const struct ff_layout *layout, struct ff_queue_holds *holds);

/* Wakes those who wait for batches, or for room, if there are any: after these have come. */
void ff_queue_wake_takers(const forkfold_queue *queue);
void ff_queue_wake_putters(const forkfold_queue *queue);

/* The same where they have come by an announcement, or with a fence behind them. */
void ff_queue_tell_takers(const forkfold_queue *queue);
void ff_queue_tell_putters(const forkfold_queue *queue);

#endif
