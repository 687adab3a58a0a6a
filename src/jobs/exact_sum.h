/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums that do not depend on order: floating-point numbers exactly rounded, integers in 128 bits.
 *
 * An exact sum is an integer of 2176 bits that counts how many times 2^-1074, the smallest double,
 * it is.  Nothing is rounded until the end, so adding and merging in any order and grouping gives
 * the same bytes.  It is plain data of a fixed size, all zeros when empty, and may lie in memory
 * that processes share.
 *
 * The result is that of Python's math.fsum, with one difference: math.fsum raises OverflowError
 * when a partial sum overflows though the sum would not, which depends on the order; here only the
 * sum itself can overflow.  As there, a sum of zeros is 0.0 whatever their signs, and ties round to
 * even.
 */
#ifndef FF_JOBS_EXACT_SUM_H
#define FF_JOBS_EXACT_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/wide.h"

/* Room for 2^64 times the largest double, and the sign. */
enum { FF_EXACT_SUM_WORDS = 34, FF_EXACT_SUM_UNIT = -1074 };

enum ff_sum_specials { FF_SUM_HAS_INFINITY = 1, FF_SUM_HAS_MINUS_INFINITY = 2, FF_SUM_HAS_NAN = 4 };

struct ff_exact_sum {
    uint64_t words[FF_EXACT_SUM_WORDS]; /* the sum of what is finite, in two's complement */
    uint64_t specials;                  /* bits of enum ff_sum_specials: what else was added */
};

enum ff_sum_outcome {
    FF_SUM_ROUNDED,  /* also infinities of one sign, and NaN */
    FF_SUM_OVERFLOW, /* the exact sum rounds beyond the largest double */
    FF_SUM_UNDEFINED /* infinities of both signs, a NaN beside them or not */
};

void ff_exact_sum_init(struct ff_exact_sum *sum);

/* numbers need no more alignment than their type.  Of f32 the sum is that of the equal doubles. */
void ff_exact_sum_add_f64(struct ff_exact_sum *sum, const double *numbers, size_t count);
void ff_exact_sum_add_f32(struct ff_exact_sum *sum, const float *numbers, size_t count);

/* Whatever bytes from holds, so that what another process wrote may be merged unchecked. */
void ff_exact_sum_merge(struct ff_exact_sum *sum, const struct ff_exact_sum *from);

/* *rounded is written for FF_SUM_ROUNDED only. */
enum ff_sum_outcome ff_exact_sum_round(const struct ff_exact_sum *sum, double *rounded);

/*
 * The sum divided by count, rounded once, as Python's statistics.mean rounds it.  Infinite or NaN
 * as the sum is; infinities of both signs make NaN.  count is not 0 and at least how many were
 * added.
 */
double ff_exact_sum_mean(const struct ff_exact_sum *sum, uint64_t count);

/* ---- Integers ------------------------------------------------------------ */

/* Add to *sum, which 2^64 numbers would not overflow; sums of parts are merged with +. */
void ff_integer_sum_add_i32(ff_int128 *sum, const int32_t *numbers, size_t count);
void ff_integer_sum_add_i64(ff_int128 *sum, const int64_t *numbers, size_t count);
void ff_integer_sum_add_u8(ff_int128 *sum, const uint8_t *numbers, size_t count);

#endif
