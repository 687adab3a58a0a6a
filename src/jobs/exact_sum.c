/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/exact_sum.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "jobs/number_feed.h"

enum { BOTH_INFINITIES = FF_SUM_HAS_INFINITY | FF_SUM_HAS_MINUS_INFINITY };

void ff_exact_sum_init(struct ff_exact_sum *sum)
{
    *sum = (struct ff_exact_sum){.specials = 0};
}

void ff_exact_sum_add_f64(struct ff_exact_sum *sum, const double *numbers, size_t count)
{
    struct ff_number_feed feed;

    ff_number_feed_begin(&feed, ff_number_variants(NULL)[0], sum, NULL);
    ff_number_feed_f64(&feed, numbers, count);
    ff_number_feed_end(&feed);
}

void ff_exact_sum_add_f32(struct ff_exact_sum *sum, const float *numbers, size_t count)
{
    struct ff_number_feed feed;

    ff_number_feed_begin(&feed, ff_number_variants(NULL)[0], sum, NULL);
    ff_number_feed_f32(&feed, numbers, count);
    ff_number_feed_end(&feed);
}

void ff_exact_sum_merge(struct ff_exact_sum *sum, const struct ff_exact_sum *from)
{
    ff_wide_add(sum->words, from->words, FF_EXACT_SUM_WORDS);
    sum->specials |= from->specials;
}

/* What a sum with specials is; infinities of both signs count as NaN. */
static double special_sum(uint64_t specials)
{
    if ((specials & FF_SUM_HAS_NAN) != 0 || (specials & BOTH_INFINITIES) == BOTH_INFINITIES)
        return NAN;
    return (specials & FF_SUM_HAS_INFINITY) != 0 ? INFINITY : -INFINITY;
}

enum ff_sum_outcome ff_exact_sum_round(const struct ff_exact_sum *sum, double *rounded)
{
    uint64_t words[FF_EXACT_SUM_WORDS];
    bool negative = ff_wide_is_negative(sum->words, FF_EXACT_SUM_WORDS);
    double magnitude;

    if ((sum->specials & BOTH_INFINITIES) == BOTH_INFINITIES)
        return FF_SUM_UNDEFINED;
    if (sum->specials != 0) {
        *rounded = special_sum(sum->specials);
        return FF_SUM_ROUNDED;
    }
    memcpy(words, sum->words, sizeof(words));
    if (negative)
        ff_wide_negate(words, FF_EXACT_SUM_WORDS);
    magnitude = ff_wide_round(words, FF_EXACT_SUM_WORDS, FF_EXACT_SUM_UNIT, false);
    if (isinf(magnitude))
        return FF_SUM_OVERFLOW;
    *rounded = negative ? -magnitude : magnitude;
    return FF_SUM_ROUNDED;
}

double ff_exact_sum_mean(const struct ff_exact_sum *sum, uint64_t count)
{
    /* A word of zeros below, so that half of the smallest double is not lost in the division. */
    uint64_t words[FF_EXACT_SUM_WORDS + 1] = {0};
    bool negative = ff_wide_is_negative(sum->words, FF_EXACT_SUM_WORDS);
    uint64_t remainder;
    double magnitude;

    if (sum->specials != 0)
        return special_sum(sum->specials);
    memcpy(words + 1, sum->words, sizeof(sum->words));
    if (negative)
        ff_wide_negate(words, FF_EXACT_SUM_WORDS + 1);
    remainder = ff_wide_divide(words, FF_EXACT_SUM_WORDS + 1, count);
    magnitude =
        ff_wide_round(words, FF_EXACT_SUM_WORDS + 1, FF_EXACT_SUM_UNIT - 64, remainder != 0);
    return negative ? -magnitude : magnitude;
}

void ff_integer_sum_add_i32(ff_int128 *sum, const int32_t *numbers, size_t count)
{
    ff_number_variants(NULL)[0]->sum_i32(numbers, count, sum);
}

void ff_integer_sum_add_i64(ff_int128 *sum, const int64_t *numbers, size_t count)
{
    ff_number_variants(NULL)[0]->sum_i64(numbers, count, sum);
}

void ff_integer_sum_add_u8(ff_int128 *sum, const uint8_t *numbers, size_t count)
{
    ff_number_variants(NULL)[0]->sum_u8(numbers, count, sum);
}
