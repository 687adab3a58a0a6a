/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prime numbers by a segmented sieve of Eratosthenes, in the workers of a pool.
 *
 * The base primes, up to the square root, are found once and shared; each worker sieves ranges that
 * fit its cache.  It takes memory for the base primes, about 2.5 MB per worker, and, for a list, a
 * byte for each 30 numbers beside the list itself.
 *
 * A list up to a limit of 4 million the calling process makes itself: that takes less than waking
 * workers.
 */
#ifndef FORKFOLD_PRIMES_H
#define FORKFOLD_PRIMES_H

#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>
#include <forkfold/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many primes there are from `from` up to, and without, `to`.  Errors as of forkfold_map. */
FORKFOLD_API int forkfold_count_primes(forkfold_pool *pool, uint64_t from, uint64_t to,
                                       uint64_t *count);

/*
 * The primes below limit, in order: FORKFOLD_U32 up to a limit of 2^32, else FORKFOLD_U64.  *shared
 * is NULL when there are none (a limit below 3); otherwise it has as many elements as there are
 * primes, and the caller owns it.  A list that may take more memory than is available is not begun:
 * FORKFOLD_E_MEMORY.  Other errors as of forkfold_map.
 */
FORKFOLD_API int forkfold_primes(forkfold_pool *pool, uint64_t limit, forkfold_shared **shared);

#ifdef __cplusplus
}
#endif

#endif
