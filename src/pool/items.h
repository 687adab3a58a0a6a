/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of functions on items, as driver and workers agree on them.
 *
 * All calls of a pool run in one call of the engine, which stays open while there are any: its
 * tasks are runs of items of one owner each, an owner being a call of the host's.  The result of an
 * item is published by itself:
 *
 *   worker                                 death before the store     after it
 *   result written to its slot             the item is blamed, or     the item is done; it is not
 *   states[slot] = DONE or FAILED          run again                  blamed
 *
 *   driver
 *   reads states[slot], then the result
 *   floor = items that need no slot any more
 *   states[slot] = PENDING, and the slot belongs to item + window
 *
 * The slot of an item is its number modulo the window.  Whether an item is done (ff_item_is_done) is
 * read in the other order: the state, then the floor; a slot that has become another item's is so
 * found out.
 */
#ifndef FF_POOL_ITEMS_H
#define FF_POOL_ITEMS_H

#include <forkfold/call.h>

#include "memory/arena.h"
#include "platform/error.h"
#include "pool/backtrace.h"
#include "pool/job.h"
#include "pool/shared.h"

enum ff_item_state {
    FF_ITEM_PENDING = 0,
    FF_ITEM_PUBLISHED, /* there is a result */
    FF_ITEM_REFUSED,   /* its function failed, with a note, or it was given up */
    FF_ITEM_DROPPED,   /* the call was cancelled before it was run */
    FF_ITEM_TAKEN      /* the driver has read it */
};

struct ff_varying_result;

/* One array of a call.  Elements of one size may lie in slots, too, if the call has a window. */
struct ff_argument {
    const char *data;
    size_t item_bytes;
    const uint64_t *offsets; /* or NULL */
    bool by_slot;
    const struct ff_varying_result *batches; /* or NULL: elements are results of another owner, or
                                                look like them; by slot */
};

/* A result that varies in size, in the segment of the worker that made it. */
struct ff_varying_result {
    const void *data;
    size_t bytes;
};

/*
 * What the worker in one slot has done for one call that measures.  Writer: that worker; the next one
 * in the slot goes on from there.
 */
struct ff_item_stats {
    _Alignas(64) ff_word64 busy_ns;
    ff_word64 function_ns;
    ff_word64 cpu_ns;
    ff_word64 first_ns; /* when its first task began; 0 = none has */
    ff_word64 last_ns;  /* when its last task ended */
    ff_word64 tasks;
    ff_word64 items;
    ff_word64 result_bytes;
};

/* Writer: the driver, before the first item is posted; the last three words later, too. */
struct ff_item_owner {
    forkfold_function *function;
    const void *context;
    size_t context_bytes;
    struct ff_argument arguments[FORKFOLD_ARRAYS_MAX];
    unsigned argument_count;
    uint32_t attempts;
    uint64_t timeout_ns;
    bool is_prompt;        /* the driver wants to know of each result */
    bool stops_on_failure; /* and of the first failure at once */
    uint64_t window;
    struct ff_area outputs[FORKFOLD_OUTPUTS_MAX]; /* whole pages that the function may write */
    unsigned output_count;
    size_t result_bytes; /* of each; results that vary have a struct ff_varying_result instead */
    bool results_vary;
    char *results;               /* window of them, in the results area */
    ff_word8 *states;            /* likewise; writers: see above */
    struct ff_item_stats *stats; /* of each slot, in the results area; NULL unless it measures */
    ff_word64 serial;            /* 0 while nobody owns anything here */
    ff_word64 floor;
    ff_word64 cancelled; /* 1: what has not begun is dropped, what has is ended */
};

extern const struct ff_job ff_items_job;

/* For everybody but the worker that runs the item. */
bool ff_item_is_done(const struct ff_item_owner *owner, uint64_t serial, uint64_t index);

/* ---- The driver's half --------------------------------------------------- */

enum ff_call_kind {
    FF_CALL_MAP,
    FF_CALL_IMAP,
    FF_CALL_IMAP_UNORDERED,
    FF_CALL_STAGE /* whoever began it posts its items, in any order, and reads their results */
};

enum ff_call_status { FF_CALL_RUNNING, FF_CALL_FINISHED, FF_CALL_ENDED };

/* What a call holds of the heaps: arguments, their offsets, context, results, states, stats. */
struct ff_block {
    struct ff_arena *arena;
    void *base;
    size_t bytes;
};

/* A block that a worker might still write to, for a call with this serial number or a lower one. */
struct ff_retired_block {
    struct ff_retired_block *next;
    struct ff_block block;
    uint64_t serial;
};

enum { FF_BLOCKS_MAX = 2 * FORKFOLD_ARRAYS_MAX + 4 };

/* The host's handle. */
struct forkfold_call {
    forkfold_pool *pool;
    struct forkfold_call *next;
    struct ff_item_owner *owner;
    uint64_t serial;
    enum ff_call_kind kind;
    forkfold_call_options options; /* arrays: those of an imap are the host's */
    uint64_t chunk;
    uint64_t posted; /* items, from the first on; of a stage: behind the last that was posted */
    uint64_t
        settled; /* items, from the first on, that are not pending; of others: whose slots are free */
    uint64_t taken;   /* of an imap: results that were read, in any order */
    uint64_t scan;    /* of an imap_unordered: where to look for the next */
    bool has_current; /* of an imap: `current` has been read and may still be looked at */
    uint64_t current;
    uint64_t deadline_at_ns;
    uint64_t begun_ns;
    uint64_t ended_ns;       /* 0 while it is in progress */
    uint64_t argument_bytes; /* copied */
    uint64_t retries;        /* of the engine's call, when this one began; then in between */
    uint64_t deaths;         /* likewise */
    enum ff_call_status status;
    int code; /* of FF_CALL_ENDED */
    char message[sizeof(((struct ff_error *)NULL)->message)];
    bool callback_due;
    unsigned holds; /* how many further up the stack still need it */
    bool
        is_closed; /* by the host; freed when no worker can be at it any more, and nobody holds it */
    uint64_t engine_call; /* number of the engine's call that its items are in */
    struct ff_block blocks[FF_BLOCKS_MAX];
    unsigned block_count;
    forkfold_item_failure *failures;
    size_t failure_count;
    size_t failure_capacity;
    size_t *failure_places;        /* by a hash of the item: the number of its failure, plus 1 */
    size_t failure_place_count;    /* a power of two, or 0; half of them are 0 at least */
    forkfold_item_failure *unsure; /* noted; whether the items failed their states do not say yet */
    size_t unsure_count;
    size_t unsure_capacity;
};

/* Private to the driver; part of the pool. */
struct ff_items {
    bool is_open; /* the engine's call is in progress */
    bool in_callback;
    bool has_event_loop; /* the host waits by itself, on forkfold_pool_fd() */
    uint64_t look_at_ns; /* of a burst: when its loop is to come round by itself; or UINT64_MAX */
    uint64_t
        doubted_at; /* when the supervisor was asked last to look for lost items, the progress */
    struct ff_symbols *symbols; /* of backtraces, or NULL */
    uint64_t taken_since;       /* results that were read since the driver slept last */
    uint64_t next_item;         /* of the engine's call */
    uint64_t next_look;         /* with so many postings, for those that nobody needs any more */
    uint64_t last_serial;
    struct forkfold_call *calls; /* all that are not freed, the newest first */
    uint64_t owners_used;        /* of the area */
    struct ff_item_owner **free_owners;
    size_t free_owner_count;
    size_t free_owner_capacity;
    struct ff_arena arrays;
    struct ff_arena results;
    struct ff_arena shared;
    struct ff_retired_block *retired;
    uint64_t *notes_read; /* of each slot */
    uint64_t quarantined_read;
};

void ff_items_open(forkfold_pool *pool);
void ff_items_close(forkfold_pool *pool);

/* Opens the engine's call unless it is open.  0 or a code with the pool's error. */
int ff_items_begin(forkfold_pool *pool);

/* Posts items of a call.  0 or a code with the pool's error. */
int ff_items_post(struct forkfold_call *call, uint64_t first, uint64_t count);

/* The supervisor's alarm follows the shortest timeout of the calls that are in progress. */
void ff_items_publish_shortest(const forkfold_pool *pool);

/* The call has come to its end: its callback is due, and its timeout does not count any more. */
void ff_items_settle_call(struct forkfold_call *call, enum ff_call_status status);

/* Takes notice of all that has happened, of all calls. */
void ff_items_look(forkfold_pool *pool);

/* Runs the callbacks that are due. */
void ff_items_call_back(forkfold_pool *pool);

/*
 * Looks, and unless ready(what) says so before, sleeps until something has happened or it is
 * until_ns.  Afterwards calls may have ended, and those that the host has closed be gone.
 */
void ff_items_sleep(forkfold_pool *pool, bool (*ready)(void *what), void *what, uint64_t until_ns);

/* All processes are gone: ends the calls that are in progress. */
void ff_items_abandon(forkfold_pool *pool);

/* Whether any call is in progress. */
bool ff_items_are_running(const forkfold_pool *pool);

/* Returns when no worker is at anything of a call that the host has closed. */
void ff_items_drain(forkfold_pool *pool);

/*
 * Gives a block back when no worker is at anything of a call that the host has closed by now; that
 * may be at once, and is not waited for.
 */
void ff_items_retire(forkfold_pool *pool, struct ff_block block);

/* Returns when no worker is at anything of a call that has been ended; its memory stays. */
void ff_items_drain_call(struct forkfold_call *call);

/* Sets the alarm for the earliest deadline, for a host that waits by itself. */
void ff_items_arm(const forkfold_pool *pool);

/* Without a result; the first cause is kept. */
void ff_items_end_call(struct forkfold_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Ends the engine's call, so that another one can begin.  0, or FORKFOLD_E_BUSY while calls of items
 * are in progress or have results in the workers' segments, or what ending it says.
 */
int ff_items_yield(forkfold_pool *pool);

/* An owner that nobody else has, all zero; NULL when there is no room. */
struct ff_item_owner *ff_items_take_owner(forkfold_pool *pool);

/* items_begin.c */

/* 0 with the call, which is among those of the pool then, or a code with the pool's error. */
int ff_items_begin_call(forkfold_pool *pool, const forkfold_call_options *options,
                        enum ff_call_kind kind, struct forkfold_call **result);
/*
 * Posts as many items of an imap as have slots, if it is worth a posting.  0 or a code with the
 * pool's error.
 */
int ff_items_refill(struct forkfold_call *call);

/* items_call.c */

/* What the call has come to, as the pool's error too: 0, or the code that it was ended with. */
int ff_items_outcome(struct forkfold_call *call);
/* Runs the callbacks that are due; what the pool says of its last error stays. */
void ff_items_call_back_quietly(forkfold_pool *pool);

/*
 * In between, whoever else runs may close the call, and it stays.  The second returns whether it is
 * still open; if not, it may be gone.
 */
void ff_items_hold(struct forkfold_call *call);
bool ff_items_let_go(struct forkfold_call *call);

/* items_stats.c */

/* Around the life of a call: what is counted anyway, and what it measures. */
void ff_items_note_begin(struct forkfold_call *call);
void ff_items_note_end(struct forkfold_call *call);

/* items_result.c */

/* Of an item that is done. */
void ff_items_fill_result(const struct forkfold_call *call, uint64_t index,
                          forkfold_result *result);

/* items_failure.c */

/* Reads what workers and supervisor have noted since the last time. */
void ff_items_read_failures(forkfold_pool *pool);
/* Items from first up to end that failed, and whose notes found no room, get one that says so. */
void ff_items_complete_failures(struct forkfold_call *call, uint64_t first, uint64_t end);
void ff_items_free_failures(struct forkfold_call *call);

#endif
