/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: worker processes that are forked once and serve every call.
 *
 * Opening a pool forks one supervisor, which forks the workers.  What the
 * calling process holds at that moment is copied as it stands, locks of its
 * other threads included: open pools before starting threads.
 *
 * A pool belongs to the process that opened it and is not thread-safe: one
 * thread at a time may use it.  A child made by fork() gets FORKFOLD_E_FORKED, and does not see
 * what open results point to; all it may do with the pool is close it.
 * The library starts no threads, prints nothing but what a call is asked to tell (verbose), and
 * leaves the signal mask, the signal handlers and the children of the calling process alone.
 *
 * The supervisor is a child of the calling process until the pool is closed: a loop like
 * `while (wait(NULL) > 0)` waits for it, too, and does not end before.  Wait for children of your own
 * by their ids (waitpid), or close the pool first.
 */
#ifndef FORKFOLD_POOL_H
#define FORKFOLD_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/error.h>
#include <forkfold/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct forkfold_pool forkfold_pool;

typedef struct forkfold_pool_options {
    size_t size;           /* sizeof(struct forkfold_pool_options), or 0 for "as compiled" */
    unsigned workers;      /* processes; 0 = forkfold_available_cpus() */
    int keep_fd_plus_one;  /* a descriptor (plus one) that workers keep open; 0 = none */
    int keep_descriptors;  /* nonzero: workers keep all that were open when the pool was opened, and
                              standard output, which is /dev/null for them otherwise */
    uint64_t memory_bytes; /* what counts may take in all workers together; 0 = a quarter of what is
                              available when a call begins.  Past it they go to spill_folder. */
    const char *spill_folder; /* NULL = $TMPDIR, or /var/tmp without it; copied */

    int (*initializer)(void *context); /* run by every worker before it works, replacements too; a
                                          nonzero return is a death of the worker.  NULL = none */
    void *initializer_context;         /* as it is when the pool is opened */
    uint64_t tasks_per_worker;         /* a worker that has run so many makes room for a fresh one;
                                          0 = it stays */
    uint64_t recycle_bytes;       /* likewise, when its own memory has passed so much; 0 = never */
    unsigned max_deaths;          /* deaths of workers in a row, without anything done between
                                          them, that end the calls on items in progress; 0 = 10 */
    uint64_t worker_memory_bytes; /* a worker gets so much beyond what it was born with, and
                                          then no more: allocations fail; 0 = no limit */
} forkfold_pool_options;

/*
 * Reserves the region, forks the supervisor and returns once it runs; blocks
 * for well under a millisecond per worker.  options may be NULL.  On success
 * the caller owns *pool and ends it with forkfold_pool_close().
 * Errors: FORKFOLD_E_INVALID, FORKFOLD_E_MEMORY, FORKFOLD_E_SYSTEM; message, if not NULL, then
 * receives a sentence of at most message_bytes bytes, NUL included.
 */
FORKFOLD_API int forkfold_pool_open(forkfold_pool **pool, const forkfold_pool_options *options,
                                    char *message, size_t message_bytes);

/*
 * Ends the workers and the supervisor, waits for them, and frees everything.
 * NULL is allowed.  Every result of the pool must be closed before.
 * In a forked child it frees the child's copy of the handle only.
 */
FORKFOLD_API void forkfold_pool_close(forkfold_pool *pool);

/*
 * Ends the workers and the supervisor and waits for them, as closing does, but frees nothing: calls in
 * progress end with FORKFOLD_E_SUPERVISOR, and what is read from others stays.  The pool can only be
 * closed then.
 */
FORKFOLD_API void forkfold_pool_stop(forkfold_pool *pool);

/* For __attribute__((cleanup(forkfold_pool_cleanup))). */
static inline void forkfold_pool_cleanup(forkfold_pool **pool)
{
    forkfold_pool_close(*pool);
}

/* The sentence behind the last error of a call on this pool; "" when there is none. */
FORKFOLD_API const char *forkfold_pool_message(const forkfold_pool *pool);

/* The number of workers the pool was opened with. */
FORKFOLD_API unsigned forkfold_pool_workers(const forkfold_pool *pool);

/*
 * For the initializer, of a language with a call stack of its own say.  Handlers of fatal signals
 * that are installed between two calls of this, the first of which installs those of the library
 * anew, run after the library has noted what it can; they write to fd, a file that can be read at
 * any place, and hand on to those that were there before them.  What they have written, up to
 * FORKFOLD_CRASH_TEXT_BYTES, is then in the failure's text.  Returns 0, or FORKFOLD_E_INVALID outside of workers.
 */
enum { FORKFOLD_CRASH_TEXT_BYTES = 4096 };
FORKFOLD_API int forkfold_worker_crash_text(int fd);

/*
 * The process id of the worker in a slot, a number below forkfold_pool_workers(); 0 while none lives
 * there, and in a forked child.
 */
FORKFOLD_API int forkfold_pool_worker(const forkfold_pool *pool, unsigned slot);

/*
 * While a call of the pool blocks, it also waits on fd, and runs callback in
 * the calling thread whenever fd is readable.  A nonzero return cancels the
 * call, which then ends its workers' tasks at once and returns
 * FORKFOLD_E_CANCELLED.  The callback may close calls, pipelines and queues, that which is waited for
 * too; it must not wait for anything of the pool, nor close that.  The pool borrows fd; at most 8
 * watches.
 * Errors: FORKFOLD_E_INVALID, FORKFOLD_E_LIMIT, FORKFOLD_E_SYSTEM.
 */
typedef int forkfold_watch(int fd, void *context);
FORKFOLD_API int forkfold_pool_watch(forkfold_pool *pool, int fd, forkfold_watch *callback,
                                     void *context);

/*
 * Has the supervisor remove path if the calling process dies, whatever kills
 * it; NULL ends the guard.  The path is copied; at most 4095 bytes; if it is relative, then to
 * where the process was when it opened the pool; one guard per pool.  Errors: FORKFOLD_E_INVALID.
 */
FORKFOLD_API int forkfold_pool_guard_path(forkfold_pool *pool, const char *path);

/*
 * Around stopping oneself (Ctrl-Z): from pause to resume no timeout and no
 * deadline of the call in progress runs.  To be called from a watch callback.
 */
FORKFOLD_API void forkfold_pool_pause(forkfold_pool *pool);
FORKFOLD_API void forkfold_pool_resume(forkfold_pool *pool);

/*
 * The CPUs this process may use: the smaller of the affinity mask and the
 * cgroup CPU quota (v2 or v1, rounded up); at least 1.
 */
FORKFOLD_API unsigned forkfold_available_cpus(void);

#ifdef __cplusplus
}
#endif

#endif
