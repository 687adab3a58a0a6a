/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of a function on items, in the workers of a pool.
 *
 * The function runs in worker processes, which see the memory of the calling process as it was
 * when the pool was opened, and nothing that was written since.  So what a call needs is copied
 * into memory that all of them share: the items and the context.  The function itself has to be
 * known to the program when the pool is opened; one of a library that was loaded later is not
 * there.
 *
 * An item whose worker crashes, is killed or takes too long is tried again, alone, and then given
 * up; everything else goes on.  What a function returns counts exactly once; what else it does, to
 * files say, may happen more than once.
 *
 * Several calls may be in progress on a pool at once.  They go on in the workers whatever the
 * calling process does; results are looked after, and callbacks run, only inside of the functions
 * below.  A callback may begin calls, wait for them, and close any, that which it is of too, as well
 * as pipelines, queues, dictionaries and shared arrays that no call in progress uses; not the pool.
 * As everything of a pool calls are for one thread at a time.
 */
#ifndef FORKFOLD_CALL_H
#define FORKFOLD_CALL_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/failure.h>
#include <forkfold/pool.h>
#include <forkfold/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- In the worker ------------------------------------------------------- */

enum { FORKFOLD_ARRAYS_MAX = 8, FORKFOLD_OUTPUTS_MAX = 4 };

/* What a function is given.  Valid until it returns. */
typedef struct forkfold_item {
    uint64_t index;                             /* from 0 */
    unsigned array_count;                       /* of the call */
    const void *arguments[FORKFOLD_ARRAYS_MAX]; /* this item's element of each array; read-only */
    size_t argument_bytes[FORKFOLD_ARRAYS_MAX]; /* its size */
    const void *context;                        /* the call's; read-only, NULL without one */
    size_t context_bytes;
    void *result; /* where the result of result_bytes goes, 16-byte aligned if its size is a
                     multiple of that; NULL if there is none, or if it varies in size */
} forkfold_item;

/*
 * Computes the result of one item.  0, or anything else when the item has failed: its result is
 * not looked at then, and the item not tried again (see forkfold_item_fail).
 */
typedef int forkfold_function(const forkfold_item *item);

/*
 * For results that vary in size: memory of so many bytes, 16-byte aligned, that becomes the result
 * when the function returns 0.  The last call counts; without one the result is empty.  NULL when there is
 * no room, or if results do not vary.
 */
FORKFOLD_API void *forkfold_item_reserve(const forkfold_item *item, size_t bytes);

/*
 * Says why the item failed: return forkfold_item_fail(item, "...").  Returns 1.  A sentence above 200 bytes is
 * cut.
 */
FORKFOLD_API int forkfold_item_fail(const forkfold_item *item, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- Calls --------------------------------------------------------------- */

/* Elements of one size, side by side; or of any size, one behind the other. */
typedef struct forkfold_array {
    const void *data;  /* copied when the call begins, unless it lies in a shared array; for an imap
                         the caller's until it is closed */
    size_t item_bytes; /* of each; 0 if offsets are given */
    const uint64_t *offsets; /* count + 1 of them: element i has the bytes from offsets[i] up to
                                offsets[i + 1]; NULL if all have one size */
} forkfold_array;

typedef struct forkfold_call forkfold_call;

typedef struct forkfold_call_options {
    size_t size; /* sizeof(struct forkfold_call_options), or 0 for "as compiled" */
    forkfold_function *function;
    uint64_t count; /* of items; 0 is a call that is done at once */
    forkfold_array arrays[FORKFOLD_ARRAYS_MAX];
    unsigned array_count;
    const forkfold_shared *outputs[FORKFOLD_OUTPUTS_MAX]; /* that the function may write; the first
                                                             NULL ends them */
    const void *context; /* context_bytes of it; copied when the call begins */
    size_t context_bytes;
    size_t result_bytes;     /* of each item; 0 = none, or results_vary */
    int results_vary;        /* nonzero: see forkfold_item_reserve */
    uint64_t chunk;          /* items that a worker claims at once; 0 = forkfold_chunk_size() for a
                                  map, 1 for an imap */
    double seconds_per_item; /* what is known of it, for the chunk; 0 = nothing */
    uint64_t timeout_ns;     /* per item; 0 = none */
    uint64_t deadline_ns;    /* for the whole call, from its begin; 0 = none */
    unsigned retries_plus_one; /* attempts per item after a death; 0 = 3 */
    int stop_on_failure;       /* the first failed item ends the call: FORKFOLD_E_STOPPED */
    uint64_t buffer_items; /* imap: so many results, at most, are not read yet; 0 = 4096, or as many
                                  as chunks for all workers need */
    int measure; /* nonzero: forkfold_call_stats() tells how it went; costs some clock readings for
                    each item and task */
    int verbose; /* nonzero: likewise, and writes that to stderr when the call has ended */
    /* One of the two is called, once. */
    void (*on_done)(forkfold_call *call, void *user); /* all items are done, some may have failed */
    void (*on_error)(forkfold_call *call, int code, void *user); /* there is no result: code */
    void *user;
} forkfold_call_options;

/*
 * How many items a worker should claim at once:
 *   1. items / (workers * 4), at least 1;
 *   2. at least 100, unless there are fewer than 100 * workers: then items / workers, at least 1;
 *   3. with a known cost (seconds_per_item > 0) what takes 0.25 s at most, but 1 at least.
 * 0 when there is nothing to cut: no items, or no workers, or a cost that is no number.
 */
FORKFOLD_API uint64_t forkfold_chunk_size(uint64_t items, unsigned workers,
                                          double seconds_per_item);

/*
 * Calls the function on every element of one array (map), or on every row of several (starmap),
 * and waits.  On success, failed items included, the caller owns *call and reads from it.
 * Errors: FORKFOLD_E_INVALID (nothing was run), FORKFOLD_E_MEMORY, FORKFOLD_E_LIMIT, FORKFOLD_E_SYSTEM,
 * FORKFOLD_E_BUSY (a word count has an open result), FORKFOLD_E_FORKED, FORKFOLD_E_DEADLINE,
 * FORKFOLD_E_CANCELLED, FORKFOLD_E_STOPPED, FORKFOLD_E_CRASH_LOOP, FORKFOLD_E_SUPERVISOR, FORKFOLD_E_DAMAGED;
 * the sentence is forkfold_pool_message().
 */
FORKFOLD_API int forkfold_map(forkfold_pool *pool, const forkfold_call_options *options,
                              forkfold_call **call);
FORKFOLD_API int forkfold_starmap(forkfold_pool *pool, const forkfold_call_options *options,
                                  forkfold_call **call);

/* The same without waiting; the items are copied before it returns. */
FORKFOLD_API int forkfold_map_async(forkfold_pool *pool, const forkfold_call_options *options,
                                    forkfold_call **call);

/*
 * Calls the function once, on argument_bytes at argument (NULL for none), and writes its result of
 * result_bytes to result.  FORKFOLD_E_FAILED when the item failed; otherwise as forkfold_map.
 */
FORKFOLD_API int forkfold_apply(forkfold_pool *pool, forkfold_function *function,
                                const void *argument, size_t argument_bytes, void *result,
                                size_t result_bytes);

/*
 * Calls the function once, without waiting: a map of one item, whose count is taken to be 1.  As with
 * any call on_done runs also when that has failed, and forkfold_call_failure() says why;
 * with stop_on_failure it is on_error, with FORKFOLD_E_STOPPED.
 */
FORKFOLD_API int forkfold_apply_async(forkfold_pool *pool, const forkfold_call_options *options,
                                      forkfold_call **call);

/*
 * Calls the function on every element while results are read: imap in the order of the items,
 * imap_unordered as they come.  Results that are not read hold the workers up (buffer_items).
 */
FORKFOLD_API int forkfold_imap(forkfold_pool *pool, const forkfold_call_options *options,
                               forkfold_call **call);
FORKFOLD_API int forkfold_imap_unordered(forkfold_pool *pool, const forkfold_call_options *options,
                                         forkfold_call **call);

/* ---- In progress --------------------------------------------------------- */

/*
 * Waits until the call is done, at most timeout_ns (0 = just looks, UINT64_MAX = for ever).  0, or
 * FORKFOLD_E_PENDING when it is not, or the error that it ended with.  Not for an imap.
 */
FORKFOLD_API int forkfold_call_wait(forkfold_call *call, uint64_t timeout_ns);

/* Ends it without a result: FORKFOLD_E_CANCELLED, unless it is done. */
FORKFOLD_API void forkfold_call_cancel(forkfold_call *call);

/* Frees it, and its results; one that is in progress is cancelled.  NULL is allowed. */
FORKFOLD_API void forkfold_call_close(forkfold_call *call);

/* For __attribute__((cleanup(forkfold_call_cleanup))). */
static inline void forkfold_call_cleanup(forkfold_call **call)
{
    forkfold_call_close(*call);
}

/* ---- Results ------------------------------------------------------------- */

typedef struct forkfold_result {
    uint64_t index;
    const void *data; /* where the function wrote it; NULL if there is none, or it failed */
    size_t bytes;
    int failed; /* nonzero: see forkfold_call_failure */
} forkfold_result;

/* Of a call that is done: one item's result.  0 or FORKFOLD_E_INVALID.  Lives as long as the call. */
FORKFOLD_API int forkfold_call_result(const forkfold_call *call, uint64_t index,
                                      forkfold_result *result);

/*
 * Of a call that is done, all results of one size, side by side; those of failed items mean nothing.
 * NULL if there are none, and in a forked child.
 */
FORKFOLD_API const void *forkfold_call_results(const forkfold_call *call);

/* Of an imap: 1 with the next result, which lives until the next call of this; 0 after the last; or
 * an error as of forkfold_map. */
FORKFOLD_API int forkfold_call_next(forkfold_call *call, forkfold_result *result);

/* The same, waiting at most timeout_ns (0 = not at all): FORKFOLD_E_PENDING when there is none yet. */
FORKFOLD_API int forkfold_call_next_within(forkfold_call *call, forkfold_result *result,
                                           uint64_t timeout_ns);

/* One failed item.  All pointers live as long as the call. */
typedef struct forkfold_item_failure {
    uint64_t index;
    enum forkfold_reason reason;
    const char *detail; /* one English sentence, never NULL */
    unsigned attempts;  /* how often the item was tried, at least 1 */
    unsigned worker;    /* the slot of the worker that it failed in */
    int code;           /* what the function returned, or 0 */
    int signal;         /* the signal that ended the worker, or 0 */
    int exit_code;      /* the worker's exit code, or -1 */
    int has_address;    /* nonzero when address is the faulting address */
    uint64_t address;
    const char *backtrace; /* lines "#0 function at file:line", or NULL */
    const char *text;      /* see forkfold_worker_crash_text; NULL without any */
} forkfold_item_failure;

/* The failures so far, and one of them in the order in which they became known; NULL past the last. */
FORKFOLD_API size_t forkfold_call_failure_count(const forkfold_call *call);
FORKFOLD_API const forkfold_item_failure *forkfold_call_failure(const forkfold_call *call,
                                                                size_t number);

/* That of the item with this index, or NULL while none is known. */
FORKFOLD_API const forkfold_item_failure *forkfold_call_failure_of(const forkfold_call *call,
                                                                   uint64_t index);

/* The sentence behind the error that the call ended with; "" without one. */
FORKFOLD_API const char *forkfold_call_message(const forkfold_call *call);

/* ---- How it went --------------------------------------------------------- */

/* Times in nanoseconds.  Of one worker's slot, or sums over all. */
typedef struct forkfold_worker_stats {
    uint64_t busy_ns;     /* on tasks of the call */
    uint64_t function_ns; /* part of busy_ns: in the function */
    uint64_t wait_ns;     /* between its first and its last task of the call, on none of them */
    uint64_t idle_ns;     /* before the first and after the last */
    uint64_t cpu_ns;      /* user and system time, on tasks of the call */
    uint64_t tasks;
    uint64_t items;
    uint64_t result_bytes;
} forkfold_worker_stats;

typedef struct forkfold_call_statistics {
    unsigned workers;
    uint64_t wall_ns; /* from its begin to its end, or up to now */
    forkfold_worker_stats all;
    double items_per_second;
    double utilisation;      /* cpu_ns as a share of workers * wall_ns */
    double communication;    /* of busy_ns + wait_ns, what was not spent in the function */
    uint64_t argument_bytes; /* copied into the region */
    uint64_t retries;        /* in the pool, while the call was in progress */
    uint64_t deaths;         /* likewise */
} forkfold_call_statistics;

/*
 * Of a call that measures, in progress or not.  0 or FORKFOLD_E_INVALID, when it does not, has no
 * items, or there is no such worker.
 */
FORKFOLD_API int forkfold_call_stats(const forkfold_call *call, forkfold_call_statistics *stats);
FORKFOLD_API int forkfold_call_worker_stats(const forkfold_call *call, unsigned worker,
                                            forkfold_worker_stats *stats);

/* ---- Event loops --------------------------------------------------------- */

/*
 * A descriptor (or FORKFOLD_E_FORKED) that is readable when forkfold_pool_dispatch has something to
 * do, which looks after all calls in progress and runs their callbacks, without waiting.  0; or the
 * error that ended them; or FORKFOLD_E_BUSY (a word count has an open result), FORKFOLD_E_FORKED or
 * FORKFOLD_E_SUPERVISOR, and nothing was looked after.
 */
FORKFOLD_API int forkfold_pool_fd(const forkfold_pool *pool);
FORKFOLD_API int forkfold_pool_dispatch(forkfold_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
