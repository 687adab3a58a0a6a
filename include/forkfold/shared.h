/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays that the calling process and all workers share, at one address.
 *
 * Calls take them without a copy, as an argument (forkfold_array.data within the array) or by an
 * address in their context.  Workers may only read them, unless a call names them among its
 * outputs: then its function may write them, too, anywhere.  Which worker writes which elements is
 * the function's affair; an item that is run again after a death writes them again.
 *
 * An array lies in memory, or in a file that the caller names (forkfold_shared_open_file).
 */
#ifndef FORKFOLD_SHARED_H
#define FORKFOLD_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum forkfold_type {
    FORKFOLD_RAW = 0, /* bytes without a type */
    FORKFOLD_I32,
    FORKFOLD_I64,
    FORKFOLD_U8,
    FORKFOLD_U32,
    FORKFOLD_U64,
    FORKFOLD_F32,
    FORKFOLD_F64
};

/* The bytes of one element; 1 for FORKFOLD_RAW, 0 for anything else. */
FORKFOLD_API size_t forkfold_type_bytes(enum forkfold_type type);

typedef struct forkfold_shared forkfold_shared;

/*
 * Makes an array of count elements (> 0), all zero, page-aligned.  The caller owns *shared, and
 * closes it before the pool and after the calls that use it.  Errors: FORKFOLD_E_INVALID, FORKFOLD_E_MEMORY
 * (also: it is larger than the machine's memory and swap), FORKFOLD_E_LIMIT (the region has no room),
 * FORKFOLD_E_FORKED.
 */
FORKFOLD_API int forkfold_shared_open(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                                      forkfold_shared **shared);

/*
 * NULL is allowed.  It does not wait for workers: the memory comes back when they have left the calls
 * that were closed before.  Only an array in a file waits until they have.
 */
FORKFOLD_API void forkfold_shared_close(forkfold_shared *shared);

/* For __attribute__((cleanup(forkfold_shared_cleanup))). */
static inline void forkfold_shared_cleanup(forkfold_shared **shared)
{
    forkfold_shared_close(*shared);
}

/* ---- In files ------------------------------------------------------------ */

/* Of one pool, at the same time. */
enum { FORKFOLD_FILES_MAX = 256 };

enum forkfold_file_access {
    FORKFOLD_FILE_READ = 0, /* one that is there; nobody writes it, the calling process neither */
    FORKFOLD_FILE_WRITE,    /* one that is there; what is written to the array changes it */
    FORKFOLD_FILE_CREATE    /* likewise a new one, all zero; there must be none of that name */
};

typedef struct forkfold_file_options {
    size_t size;      /* sizeof(struct forkfold_file_options), or 0 for "as compiled" */
    const char *path; /* of a regular file */
    enum forkfold_file_access access;
    enum forkfold_type type;
    uint64_t count;  /* of elements; 0 = all that the file has behind offset; not for a new one */
    uint64_t offset; /* bytes before the first element, a multiple of its size */
} forkfold_file_options;

/*
 * Makes an array of elements that lie in a file, as the processor has them in memory, and may be
 * far more than fit there: pages are read when they are touched, and written when the system thinks fit.
 * It is used like any other; its first element lies at a page and the rest of offset.  The disk for a
 * new file is taken at once, and with an error there is none.
 *
 * The file must not become shorter meanwhile: touching what is gone, or what the disk cannot read
 * or has no room for in a file with holes, is SIGBUS.  In a worker that is the death of one, and
 * the item fails with a sentence that names the file; in the calling process it is the caller's.
 *
 * Returns when all workers are certain to have it in the calls that follow.  Errors:
 * FORKFOLD_E_INVALID (also: it is there already, too short, no regular file), FORKFOLD_E_NOT_FOUND,
 * FORKFOLD_E_MEMORY, FORKFOLD_E_LIMIT (FORKFOLD_FILES_MAX, or too few addresses), FORKFOLD_E_SYSTEM
 * (no permission, no room on the disk, ...), FORKFOLD_E_SUPERVISOR, FORKFOLD_E_FORKED.
 */
FORKFOLD_API int forkfold_shared_open_file(forkfold_pool *pool,
                                           const forkfold_file_options *options,
                                           forkfold_shared **shared);

/*
 * Returns when all that was written to the array's file is on its disk, where it outlives the
 * machine; without this it outlives the processes.  0, also for an array in memory,
 * FORKFOLD_E_SYSTEM, FORKFOLD_E_FORKED.
 */
FORKFOLD_API int forkfold_shared_sync(const forkfold_shared *shared);

/* ---- Both ---------------------------------------------------------------- */

/*
 * The elements.  The calling process may read them at any time, and write them but for those of a
 * file that is opened for reading.
 */
FORKFOLD_API void *forkfold_shared_data(const forkfold_shared *shared);
FORKFOLD_API uint64_t forkfold_shared_count(const forkfold_shared *shared);
FORKFOLD_API enum forkfold_type forkfold_shared_type(const forkfold_shared *shared);

#ifdef __cplusplus
}
#endif

#endif
