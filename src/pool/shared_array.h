/* SPDX-License-Identifier: Apache-2.0 */
/* Shared arrays: page-aligned blocks of an area of their own, which workers may only read. */
#ifndef FF_POOL_SHARED_ARRAY_H
#define FF_POOL_SHARED_ARRAY_H

#include <stdbool.h>

#include <forkfold/shared.h>

#include "memory/arena.h"

/* Private to the driver. */
struct forkfold_shared {
    forkfold_pool *pool;
    enum forkfold_type type;
    uint64_t count;
    struct ff_area area; /* whole pages */
};

/* Whether so many bytes lie within shared arrays of the pool, where workers see what is written. */
bool ff_is_shared(const forkfold_pool *pool, const void *data, uint64_t bytes);

/*
 * The pages of shared arrays with so many bytes, which lie there, as an output of a call: for jobs
 * that are given addresses.  The caller closes nothing.
 */
forkfold_shared ff_shared_pages(forkfold_pool *pool, const void *data, uint64_t bytes);

#endif
