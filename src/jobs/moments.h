/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Count, mean, population variance, least and greatest of numbers that are read in parts.
 *
 * The sums of numbers and squares are exact, so the results are the true mean and variance rounded
 * once, as Python's statistics.mean and statistics.pvariance round them, and parts can be merged in
 * any order and grouping to the same bytes.  Moments are plain data of a fixed size and may lie in
 * memory that processes share.
 */
#ifndef FF_JOBS_MOMENTS_H
#define FF_JOBS_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/exact_sum.h"
#include "jobs/number_feed.h"

/* ---- Floating-point numbers ---------------------------------------------- */

struct ff_moments_f64 {
    uint64_t count;
    struct ff_exact_sum sum;
    uint64_t squares[FF_SQUARE_SUM_WORDS]; /* of what is finite */
    int64_t least;                         /* signed keys of order_key.h */
    int64_t greatest;
};

void ff_moments_f64_init(struct ff_moments_f64 *moments);
void ff_moments_f64_add(struct ff_moments_f64 *moments, const double *numbers, size_t count);

/* Whatever bytes from holds, so that what another process wrote may be merged unchecked. */
void ff_moments_f64_merge(struct ff_moments_f64 *moments, const struct ff_moments_f64 *from);

/*
 * All of these want at least one number, and are NaN if any number was NaN.
 *   mean      infinite if some are, NaN with infinities of both signs; never overflows
 *   variance  NaN if some are infinite; infinity if it rounds beyond the largest double
 *   minimum   -0.0 if both zeros are the least
 *   maximum   0.0 if both zeros are the greatest
 */
double ff_moments_f64_mean(const struct ff_moments_f64 *moments);
double ff_moments_f64_variance(const struct ff_moments_f64 *moments);
double ff_moments_f64_minimum(const struct ff_moments_f64 *moments);
double ff_moments_f64_maximum(const struct ff_moments_f64 *moments);

/* ---- Integers ------------------------------------------------------------ */

enum { FF_SQUARE_SUM_I64_WORDS = 3 };

struct ff_moments_i64 {
    uint64_t count;
    int64_t least; /* INT64_MAX and INT64_MIN while there are none */
    int64_t greatest;
    uint64_t squares[FF_SQUARE_SUM_I64_WORDS];
    ff_int128 sum;
};

void ff_moments_i64_init(struct ff_moments_i64 *moments);
void ff_moments_i64_add(struct ff_moments_i64 *moments, const int64_t *numbers, size_t count);
void ff_moments_i64_merge(struct ff_moments_i64 *moments, const struct ff_moments_i64 *from);

/* Of at least one number.  The true ones rounded once. */
double ff_moments_i64_mean(const struct ff_moments_i64 *moments);
double ff_moments_i64_variance(const struct ff_moments_i64 *moments);

#endif
