/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job gives the pool: functions that run in the workers.
 *
 * A worker keeps what it has computed since its last seal in a private state.
 * A seal writes all of that state, together with what earlier seals of the
 * same slot held, into the worker's segment; publishing it is one store.  So
 * the newest seal of a slot is always the whole of what that slot has to give,
 * and whatever a worker did after it dies with the worker and is run again.
 */
#ifndef FF_POOL_JOB_H
#define FF_POOL_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <forkfold/failure.h>

struct ff_area;
struct ff_worker;
struct ff_segment_areas;
struct ff_layout;
struct ff_queue_holds;
struct ff_task;

/* Why an item failed by the job's own word.  Lies in seals: fixed size, no pointers. */
struct ff_item_failure {
    uint64_t item;
    int64_t byte_offset;  /* or -1 */
    int32_t reason;       /* enum forkfold_reason */
    int32_t system_error; /* errno value or 0 */
    char detail[104];     /* NUL-terminated */
};

enum ff_item_status {
    FF_ITEM_DONE = 0,
    FF_ITEM_FAILED = 1,  /* *failure is filled but for item; the state is as if it had not run */
    FF_ITEM_SEAL_NOW = 2 /* what has been done must not wait: seal at once */
};

/*
 * A job seals what its items came to, or publishes the result of each item by itself.  The second
 * kind has is_done(); its items belong to owners, and its call stays open: nothing of it is sealed
 * before it is closed.
 */
struct ff_job {
    const char *name;

    /* A new, empty state.  0 or a negative forkfold_error. */
    int (*attach)(struct ff_worker *worker, const void *context, void **state);

    /* Frees the state. */
    void (*detach)(void *state);

    /*
     * Runs one item.  enum ff_item_status, or a negative code that ends the worker; FORKFOLD_E_SPILL
     * and FORKFOLD_E_RANGE end the call, from here and from the functions below, for no other worker
     * would fare better.
     */
    int (*run)(void *state, uint64_t item, struct ff_item_failure *failure);

    /*
     * Instead of run, for jobs with is_done whose items may be tiny: runs all items of a task, and
     * before each calls ff_worker_enter_item.  0 or a negative code that ends the worker.
     */
    int (*run_task)(void *state, const struct ff_task *task);

    /* Adds to the state what an earlier seal of this slot holds.  0 or a negative code. */
    int (*absorb)(void *state, const void *payload, size_t bytes);

    /*
     * Writes the state to payload (64-byte aligned) as something that can be
     * read in place at that address.  0 with *bytes, or FORKFOLD_E_LIMIT when it
     * needs more than capacity, or FORKFOLD_E_MEMORY.
     */
    int (*seal)(void *state, void *payload, size_t capacity, size_t *bytes);

    /*
     * The items that fail together are known by one number: of the item
     * itself, or of the first piece of a split file.  NULL: each its own.
     */
    uint64_t (*group)(const void *context, uint64_t item);

    /*
     * Whether the result of an item has been published, or nobody wants it any more: then it is not
     * run again when its worker dies.  index is the item's number in its owner.  NULL: see above.
     */
    bool (*is_done)(const void *owner, uint64_t serial, uint64_t index);

    /* With is_done: how often an item of this owner may be blamed for a death before it is given up. */
    uint32_t (*attempts)(const void *owner);

    /* With is_done: what an item of this owner may take; 0 = for ever. */
    uint64_t (*timeout_ns)(const void *owner);

    /* With is_done: whether a worker that is on an item of this owner is to be ended. */
    bool (*is_cancelled)(const void *owner);
};

/* For the job's functions, inside a worker. */

/* From here on a death is blamed on the item, until its result is published. */
void ff_worker_enter_item(struct ff_worker *worker, uint64_t item);

/* Where this worker's segment has its parts. */
const struct ff_segment_areas *ff_worker_areas(const struct ff_worker *worker);

/* Tells the driver that there is something new, if it listens; at_once also if it does so lazily. */
void ff_worker_notify(struct ff_worker *worker, bool at_once);

/* The same at once, if tasks were run since this was called last: a driver that is told for nothing
   wakes up for nothing. */
void ff_worker_tell_news(struct ff_worker *worker);

/* Adds to what progress displays show. */
void ff_worker_count_bytes(struct ff_worker *worker, uint64_t bytes);

/* From here on the item cannot be started again: its input is being used up. */
void ff_worker_mark_consumed(struct ff_worker *worker, uint64_t item);

/*
 * Around work inside an item that the item is not to blame for, if it takes long or kills the
 * worker, such as writing what does not fit in memory.  begin returns what end needs.
 */
struct ff_housekeeping {
    uint64_t current;
    uint64_t item_ns; /* what the item has had of its time */
};
struct ff_housekeeping ff_worker_begin_housekeeping(struct ff_worker *worker);
void ff_worker_end_housekeeping(struct ff_worker *worker, struct ff_housekeeping begun);

/* Whether the group has been given up on: its remaining items need not run. */
bool ff_worker_group_is_quarantined(const struct ff_worker *worker, uint64_t group);

/*
 * Memory in the worker's segment that others can read once a seal refers to
 * it, 64-byte aligned; it lives until the next call that has outputs.  NULL when the segment is
 * full.
 */
void *ff_worker_output(struct ff_worker *worker, size_t bytes);

/* The number of the slot that this worker lives in. */
unsigned ff_worker_slot(const struct ff_worker *worker);

/* The worker that this process is; NULL in all others. */
struct ff_worker *ff_worker_here(void);

/* That of its pool: the same address as in the pool's driver. */
const struct ff_layout *ff_worker_layout(const struct ff_worker *worker);

/* What it has taken from queues. */
struct ff_queue_holds *ff_worker_queue_holds(struct ff_worker *worker);

/* Whether the area is shared memory, or mapped by this worker: it may have been a file that is closed. */
bool ff_worker_has_area(const struct ff_worker *worker, const struct ff_area *area);

/*
 * The file of this worker's slot for what does not fit in memory, to append to; and that of any
 * slot, to read what its seals name.  A descriptor that the worker keeps, or FORKFOLD_E_SPILL,
 * explained.  What is appended and in no seal is lost with the worker, but for the room it takes.
 */
int ff_worker_spill_file(struct ff_worker *worker);
int ff_worker_open_spill(struct ff_worker *worker, unsigned slot);

/* FORKFOLD_E_SPILL, explained: what ("write", "read") failed on such a file, and its errno value. */
int ff_worker_fail_spill(struct ff_worker *worker, const char *what, int system_error);

/* The sentence that goes with a negative code from one of the functions above. */
void ff_worker_explain(struct ff_worker *worker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef FF_KILL_POINTS
/* For the tests' faults: the newest seal of this worker, and memory it must not be able to write. */
void *ff_worker_own_seal(struct ff_worker *worker);
void *ff_worker_neighbour(struct ff_worker *worker);
#endif

#endif
