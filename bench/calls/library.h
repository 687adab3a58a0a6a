/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that time calls of libforkfold have in common. */
#ifndef BENCH_CALLS_LIBRARY_H
#define BENCH_CALLS_LIBRARY_H

#include <forkfold.h>

#include "calls.h"

static inline void check(const forkfold_pool *pool, int code)
{
    if (code < 0)
        fail(forkfold_pool_message(pool));
}

static inline forkfold_pool *open_pool(unsigned workers)
{
    forkfold_pool_options options = {.workers = workers};
    forkfold_pool *pool;
    char message[512];

    if (forkfold_pool_open(&pool, &options, message, sizeof(message)) < 0)
        fail(message);
    return pool;
}

static inline double *open_doubles(forkfold_pool *pool, uint64_t count)
{
    forkfold_shared *shared;

    check(pool, forkfold_shared_open(pool, FORKFOLD_F64, count, &shared));
    return forkfold_shared_data(shared);
}

#endif
