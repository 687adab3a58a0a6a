/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's private state, shared by worker.c (its life) and worker_job.c (what a job may call). */
#ifndef FF_POOL_WORKER_STATE_H
#define FF_POOL_WORKER_STATE_H

#include "platform/clock.h"
#include "pool/files.h"
#include "pool/queues.h"
#include "pool/shared.h"
#include "pool/spill.h"

struct ff_worker {
    const struct ff_layout *layout;
    const struct ff_segment_areas *areas;
    struct ff_segment *segment;
    unsigned slot;
    struct ff_asker asker;
    struct ff_spill_files spill;
    struct ff_file_mappings files;
    uint64_t sequence; /* of the newest call seen */
    bool joined;
    bool is_first;       /* of its slot, in the call */
    struct ff_call call; /* a copy: the driver may write the next one before this one is left */
    void *state;
    struct ff_task task;         /* the one that is being run */
    size_t near[FF_BOARD_COUNT]; /* see ff_board_task */
    uint64_t limit_ns;           /* what an item of the task may take; 0 = for ever */
    uint64_t tasks_run;
    uint64_t memory_looked_ns;
    bool has_news;         /* see ff_worker_tell_news */
    uint32_t untold;       /* results since the driver was told last */
    bool base_is_absorbed; /* or there is no seal of an earlier worker of this slot */
    struct ff_item_failure *failures;
    size_t failure_count;
    size_t failure_capacity;
    uint64_t seal_cost_ns;
    uint64_t last_seal_ns;
    struct ff_queue_holds queue_holds;
};

/* For counts of the worker's own, which others only look at. */
static inline void ff_worker_count(ff_word64 *count, uint64_t amount)
{
    ff_own_set(count, ff_peer_get(count) + amount);
}

/* The clock of timeouts: it stands still while the driver is paused. */
static inline uint64_t ff_worker_clock_ns(const struct ff_worker *worker)
{
    return ff_clock_ns() - ff_peer_get(&worker->layout->control->paused_ns);
}

/*
 * What the worker is on: as `current` in struct ff_segment.  For the supervisor, which blames a death
 * on it and ends a worker that hangs in it (check_timeout).
 */
static inline void ff_worker_set_current(struct ff_worker *worker, uint64_t current)
{
    if (worker->limit_ns != 0 || worker->call.housekeeping_ns != 0)
        ff_own_set(&worker->segment->started_ns, ff_worker_clock_ns(worker));
    /* Published, so that the supervisor never pairs this with the time of the one before. */
    ff_publish(&worker->segment->current, current);
    ff_keep_order();
}

/* From here on this is the worker of ff_worker_here(). */
void ff_worker_be_here(struct ff_worker *worker);

#endif
