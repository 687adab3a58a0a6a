/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why an input failed.  A call that completes lists its failed inputs; each
 * of them contributes nothing to the result, everything else counts once.
 */
#ifndef FORKFOLD_FAILURE_H
#define FORKFOLD_FAILURE_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>

#ifdef __cplusplus
extern "C" {
#endif

enum forkfold_reason {
    FORKFOLD_REASON_SYSTEM = 1, /* a system call on the input failed; see system_error */
    FORKFOLD_REASON_DECODE,     /* the input is not valid UTF-8; see byte_offset */
    FORKFOLD_REASON_CHANGED,    /* the input changed while it was read */
    FORKFOLD_REASON_LIMIT,      /* the input passes a limit of the job */
    FORKFOLD_REASON_SIGNAL,     /* the worker died of a signal while on this input */
    FORKFOLD_REASON_EXIT,       /* the worker exited while on this input */
    FORKFOLD_REASON_TIMEOUT,    /* the input took longer than the timeout of an item */
    FORKFOLD_REASON_MEMORY,     /* the worker could not get memory, or was killed for using it */
    FORKFOLD_REASON_ERROR       /* the function said so */
};

/*
 * One failed input.  All pointers live as long as the result that the failure
 * was read from.  Fields that do not apply are 0, -1 or NULL as noted.
 */
typedef struct forkfold_failure {
    const char *path;  /* as it was named or found; path_bytes bytes, then a NUL */
    size_t path_bytes; /* its length; the bytes need not be UTF-8 */
    enum forkfold_reason reason;
    const char *detail;    /* one English sentence without the path, never NULL */
    int64_t byte_offset;   /* first bad byte of the input, or -1 */
    int system_error;      /* an errno value, or 0 */
    int signal;            /* the signal that ended the worker, or 0 */
    int exit_code;         /* the worker's exit code, or -1 */
    int has_address;       /* nonzero when address is the faulting address */
    uint64_t address;      /* see has_address */
    const char *backtrace; /* lines "#0 function at file:line", or NULL */
    unsigned attempts;     /* how often the input was tried, at least 1 */
} forkfold_failure;

/* "signal", "timeout", "decode", ...: the one word for a reason; static storage. */
FORKFOLD_API const char *forkfold_reason_name(enum forkfold_reason reason);

#ifdef __cplusplus
}
#endif

#endif
