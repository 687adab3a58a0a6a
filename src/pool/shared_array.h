/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared arrays: page-aligned blocks of an area of their own, or files at addresses of their own
 * (files.h); workers may only read them.
 */
#ifndef FF_POOL_SHARED_ARRAY_H
#define FF_POOL_SHARED_ARRAY_H

#include <stdbool.h>

#include <forkfold/shared.h>

#include "memory/arena.h"
#include "pool/shared.h"

/* Private to the driver. */
struct forkfold_shared {
    forkfold_pool *pool;
    enum forkfold_type type;
    uint64_t count;
    struct ff_area area; /* whole pages */
    void *data;          /* the first element, within it */

    /* Of an array in a file. */
    char *path; /* NULL: it is in memory */
    bool is_read_only;
    unsigned number; /* of the file, in files.h */
    uint64_t serial;
};

/* As forkfold_shared_open, but whatever was there before is in it: for who writes all of it. */
int ff_shared_open_unset(forkfold_pool *pool, enum forkfold_type type, uint64_t count,
                         forkfold_shared **result);

/* Whether so many bytes lie within shared arrays of the pool, where workers see what is written. */
bool ff_is_shared(const forkfold_pool *pool, const void *data, uint64_t bytes);

/*
 * Whether so many bytes can be written as far as shared arrays go: 0, or FORKFOLD_E_INVALID with the
 * pool's error when they lie in a file that was opened to be read.
 */
int ff_shared_check_output(forkfold_pool *pool, const void *data, uint64_t bytes);

/*
 * The pages of shared arrays with so many bytes, which lie there, as an output of a call: for jobs
 * that are given addresses and have checked them (ff_shared_check_output).  The caller closes
 * nothing.
 */
forkfold_shared ff_shared_pages(forkfold_pool *pool, const void *data, uint64_t bytes);

/* What there is of the file in the driver; the handle stays. */
void ff_shared_file_close(struct forkfold_shared *shared);

/*
 * Why an item was given up, as ff_failure_describe; if its worker died on a file, it says on which.
 * malloc'ed, or NULL.
 */
char *ff_shared_file_describe(const forkfold_pool *pool, const struct ff_quarantine *record);

#endif
