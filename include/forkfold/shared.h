/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays that the calling process and all workers share, at one address.
 *
 * Calls take them without a copy, as an argument (forkfold_array.data within the array) or by an
 * address in their context.  Workers may only read them, unless a call names them among its
 * outputs: then its function may write them, too, anywhere.  Which worker writes which elements is
 * the function's affair; an item that is run again after a death writes them again.
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
 * closes it before the pool and after the calls that use it.  Errors: FORKFOLD_E_INVALID, FORKFOLD_E_MEMORY,
 * FORKFOLD_E_LIMIT (the region has no room), FORKFOLD_E_FORKED.
 */
FORKFOLD_API int forkfold_shared_open(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                                      forkfold_shared **shared);
FORKFOLD_API void forkfold_shared_close(forkfold_shared *shared); /* NULL is allowed */

/* For __attribute__((cleanup(forkfold_shared_cleanup))). */
static inline void forkfold_shared_cleanup(forkfold_shared **shared)
{
    forkfold_shared_close(*shared);
}

/* The elements.  The calling process may read and write them at any time. */
FORKFOLD_API void *forkfold_shared_data(const forkfold_shared *shared);
FORKFOLD_API uint64_t forkfold_shared_count(const forkfold_shared *shared);
FORKFOLD_API enum forkfold_type forkfold_shared_type(const forkfold_shared *shared);

#ifdef __cplusplus
}
#endif

#endif
