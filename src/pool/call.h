/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a pool: beginning a call, posting its tasks, waiting
 * for its end, reading what the workers sealed.
 */
#ifndef FF_POOL_CALL_H
#define FF_POOL_CALL_H

#include <sys/types.h>

#include <forkfold/pool.h>
#include <forkfold/stats.h>

#include "platform/clock.h"
#include "platform/error.h"
#include "pool/files.h"
#include "pool/items.h"
#include "pool/queues.h"
#include "pool/seal.h"
#include "pool/shared.h"
#include "pool/spill.h"

enum { FF_WATCHES_MAX = 8 };

/* Deaths in a row without progress that a call bears, unless somebody has said it. */
enum { FF_DEATHS_MAX = 10 };

/* What a worker may take, beyond the timeout of an item, to start, to seal or to take over. */
#define FF_HOUSEKEEPING_NS (10 * FF_NS_PER_S)

struct ff_watch {
    int fd;
    forkfold_watch *callback;
    void *context;
};

/* Private to the driver.  Children hold a dead copy of it. */
struct forkfold_pool {
    pid_t owner;
    const unsigned char *here; /* see ff_here_open */
    struct ff_layout layout;
    pid_t supervisor;
    int supervisor_pidfd;
    int lifeline; /* write end; its closing tells the supervisor */
    int epoll;
    int alarm;
    struct ff_watch watches[FF_WATCHES_MAX];
    unsigned watch_count;
    unsigned max_deaths;   /* of calls on items */
    uint64_t memory_bytes; /* wanted by whoever opened the pool, or 0 */
    struct ff_asker asker;
    struct ff_spill_files spill;
    struct ff_items items;
    struct ff_files files;
    struct ff_queue_holds queue_holds;
    struct ff_error error;
    bool lost;       /* the supervisor has died */
    bool stopped;    /* by its owner: there are no processes any more */
    bool has_result; /* somebody borrows the region */
    uint64_t paused_since_ns;

    /* The call in progress. */
    uint64_t sequence;
    uint64_t cpu_begin_ns; /* of the driver, as it began */
    uint64_t deadline_ns;  /* on the clock that pauses stop; 0 = none */
    uint64_t tick_ns;
    uint64_t next_tick_ns;
    void (*on_tick)(void *context);
    void *tick_context;
};

struct ff_call_options {
    const struct ff_job *job;
    const void *context;      /* in the input area, or NULL */
    uint64_t timeout_ns;      /* per item; 0 = none */
    uint64_t housekeeping_ns; /* as in struct ff_call; 0 = ten seconds more than an item, if that
                                 has a timeout */
    uint64_t deadline_at_ns;  /* of ff_call_clock_ns(); 0 = none */
    unsigned attempts;
    unsigned max_deaths;
    bool seal_on_failure;
    bool keeps_output;
    bool measure;
    uint64_t tick_ns; /* call on_tick this often; 0 = never */
    void (*on_tick)(void *context);
    void *tick_context;
};

/* What workers have done, as far as it can be seen from outside; see struct ff_segment. */
struct ff_call_counts {
    uint64_t items_done;
    uint64_t bytes_done;
    uint64_t failed; /* items that failed, and items given up */
    uint64_t retries;
    uint64_t deaths;
};

/* The clock of deadlines: it stands still while the driver is paused. */
uint64_t ff_call_clock_ns(const forkfold_pool *pool);

/* Whether this is the process that opened the pool: a child that it forks has no region. */
bool ff_pool_is_here(const forkfold_pool *pool);

/* The same as a code, 0 or FORKFOLD_E_FORKED with the pool's error. */
int ff_call_check_process(forkfold_pool *pool);

/* The same, and whether its processes live: 0, FORKFOLD_E_FORKED or FORKFOLD_E_SUPERVISOR. */
int ff_call_check_alive(forkfold_pool *pool);

/* Whether a call can begin here and now: 0, FORKFOLD_E_FORKED, FORKFOLD_E_SUPERVISOR, FORKFOLD_E_BUSY. */
int ff_call_check(forkfold_pool *pool);

/* Where errors of a job go that can do without a pool, which is NULL then. */
static inline struct ff_error *ff_call_error(forkfold_pool *pool)
{
    return pool == NULL ? NULL : &pool->error;
}

/*
 * The file of a slot for what did not fit in memory (spill.h).  A descriptor of the pool's, or a
 * negative code with the pool's error.  Between calls, or from a call's own thread.
 */
int ff_call_open_spill(forkfold_pool *pool, unsigned slot);

/* The disk that spilled partials took is given back; for a result that is closed. */
void ff_call_empty_spill(forkfold_pool *pool);

/* What the counts of all workers may take in memory, in a call that begins now. */
uint64_t ff_call_memory(const forkfold_pool *pool);

/* Publishes an empty call.  Workers may join it as soon as there is a task. */
void ff_call_begin(forkfold_pool *pool, const struct ff_call_options *options);

/*
 * Posts a run of items in tasks of chunk; first continues where the last run ended.  0 or
 * FORKFOLD_E_LIMIT.
 */
int ff_call_post(forkfold_pool *pool, struct ff_task items, uint64_t chunk);

/* No more tasks will come. */
void ff_call_close(forkfold_pool *pool);

/* Handles what has happened, in a call or between two.  0 or a code, as when the supervisor has died. */
int ff_call_handle(forkfold_pool *pool, bool block);

/*
 * Handles what has happened; with block, waits until something has.  1 when
 * the call has ended well, 0 when it goes on, a negative code when it has to
 * be aborted (ff_call_abort) or has ended without a result.
 */
int ff_call_step(forkfold_pool *pool, bool block);

/* Ends the call without a result, and returns once no worker runs anything of it. */
void ff_call_abort(forkfold_pool *pool);

/*
 * After a call has ended well: whether every item is covered exactly once.  0,
 * FORKFOLD_E_DAMAGED or FORKFOLD_E_MEMORY.
 */
int ff_call_verify(forkfold_pool *pool);

/* The seal of a slot, or NULL; after ff_call_verify, until the call after the next. */
const struct ff_seal *ff_call_seal(const forkfold_pool *pool, unsigned slot);

struct ff_call_counts ff_call_counts(const forkfold_pool *pool);

/* After a call has ended well: adds how it went to stats, which is of all calls of one result. */
void ff_call_add_stats(const forkfold_pool *pool, forkfold_stats *stats);

#endif
