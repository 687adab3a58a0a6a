/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error codes of libforkfold.
 *
 * Every function that can fail returns 0 on success or one of these negative
 * codes, and writes its outputs only on success.  The code says what kind of
 * thing went wrong; the sentence that names the file, the process or the
 * number is kept by the object the call was made on (forkfold_pool_message).
 */
#ifndef FORKFOLD_ERROR_H
#define FORKFOLD_ERROR_H

#include <forkfold/export.h>

#ifdef __cplusplus
extern "C" {
#endif

enum forkfold_error {
    FORKFOLD_OK = 0,
    FORKFOLD_E_INVALID = -1,      /* an argument makes no sense; nothing was run */
    FORKFOLD_E_NOT_FOUND = -2,    /* a path that was named does not exist; nothing was run */
    FORKFOLD_E_MEMORY = -3,       /* the system refused memory or address space */
    FORKFOLD_E_SYSTEM = -4,       /* a system call failed in a way nobody planned for */
    FORKFOLD_E_BUSY = -5,         /* the pool has a call in progress or an open result */
    FORKFOLD_E_FORKED = -6,       /* the pool belongs to another process (used after fork) */
    FORKFOLD_E_DEADLINE = -7,     /* the call's deadline passed */
    FORKFOLD_E_CANCELLED = -8,    /* it was cancelled, by a watch or a source, say */
    FORKFOLD_E_STOPPED = -9,      /* an input failed and the call was told to stop at failures */
    FORKFOLD_E_CRASH_LOOP = -10,  /* workers died over and over without any progress */
    FORKFOLD_E_SUPERVISOR = -11,  /* the supervisor died; the pool can only be closed */
    FORKFOLD_E_DAMAGED = -12,     /* a partial failed its checks; the result would be wrong */
    FORKFOLD_E_LIMIT = -13,       /* a fixed limit was reached; the message names it */
    FORKFOLD_E_SPILL = -14,       /* what left memory could not be written to disk, or read again */
    FORKFOLD_E_PENDING = -15,     /* it is not done yet, and goes on */
    FORKFOLD_E_INITIALIZER = -16, /* the initializer of a worker failed */
    FORKFOLD_E_FAILED = -17,      /* the one item of the call failed */
    FORKFOLD_E_RANGE = -18,       /* the result is no number of its type */
    FORKFOLD_E_ENDED = -19,       /* the queue has ended */
    FORKFOLD_E_STALLED = -20, /* it would wait for ever: nothing is in progress that could help */
    FORKFOLD_E_UNSUPPORTED = -21 /* this build, or this machine, lacks what it takes */
};

/*
 * A short English phrase for a code, "no error" for 0, "unknown error" for
 * anything else.  Static storage, never NULL; callable from anywhere.
 */
FORKFOLD_API const char *forkfold_strerror(int code);

#ifdef __cplusplus
}
#endif

#endif
