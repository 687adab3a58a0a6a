/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums and statistics of numbers, exact: the result is the true one, rounded once, and so does not
 * depend on the order of the numbers, on workers, or on crashes.
 *
 * Numbers in a shared array are read by the workers.  Others are read by the calling process alone,
 * which takes less time than copying them to where workers see them; for them pool may be NULL.
 */
#ifndef FORKFOLD_NUMBERS_H
#define FORKFOLD_NUMBERS_H

#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>
#include <forkfold/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/* count numbers side by side; aligned as their type is. */
typedef struct forkfold_numbers {
    const void *data;
    enum forkfold_type type;
    uint64_t count;
} forkfold_numbers;

/* high * 2^64 + low: any sum of 2^64 integers of 64 bits. */
typedef struct forkfold_int128 {
    uint64_t low;
    int64_t high;
} forkfold_int128;

/*
 * The sum of FORKFOLD_F32 or FORKFOLD_F64 numbers, exactly rounded: that of Python's math.fsum, but
 * that only the sum itself can overflow.  No numbers have the sum 0.  NaN and infinities of one
 * sign go on into the sum.  Errors: FORKFOLD_E_INVALID (another type), FORKFOLD_E_RANGE (it is beyond the
 * largest double, or there are infinities of both signs), and those of forkfold_map.
 */
FORKFOLD_API int forkfold_sum_floats(forkfold_pool *pool, const forkfold_numbers *numbers,
                                     double *sum);

/* The sum of FORKFOLD_I32, FORKFOLD_I64 or FORKFOLD_U8 numbers. */
FORKFOLD_API int forkfold_sum_integers(forkfold_pool *pool, const forkfold_numbers *numbers,
                                       forkfold_int128 *sum);

/*
 * Each is the true value rounded once.  With a NaN among the numbers all are NaN; infinities make
 * the variance NaN, and those of both signs the mean, too.  Of zeros of both signs -0.0 is the
 * least.
 */
typedef struct forkfold_statistics {
    uint64_t count;
    double mean;
    double variance; /* of the population */
    double median;   /* of an even count the mean of the two in the middle */
    double minimum;
    double maximum;
} forkfold_statistics;

/* Of FORKFOLD_F64 or FORKFOLD_I64 numbers, one at least.  Errors as above. */
FORKFOLD_API int forkfold_get_statistics(forkfold_pool *pool, const forkfold_numbers *numbers,
                                         forkfold_statistics *statistics);

#ifdef __cplusplus
}
#endif

#endif
