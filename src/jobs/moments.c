/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/moments.h"

#include <math.h>
#include <string.h>

#include "jobs/order_key.h"

/* Numbers that stay in the second-level cache from one walk to the next. */
enum { PIECE = 16 * FF_NUMBER_BLOCK };

/*
 * The variance (n * squares - sum^2) / n^2, of a sum without its sign.  squares count 2^unit and
 * are one word less than sum^2, so that both terms have as many.  Below them are words for what the
 * division leaves: if the variance of integers is not 0 it is at least 2^-128.
 */
static double divide_variance(const uint64_t *sum, size_t sum_words, const uint64_t *squares,
                              uint64_t n, int unit)
{
    enum { FRACTION = 3 };
    uint64_t numerator[FRACTION + 2 * FF_EXACT_SUM_WORDS] = {0};
    uint64_t square[2 * FF_EXACT_SUM_WORDS];
    size_t words = FRACTION + 2 * sum_words;
    uint64_t remainder;

    ff_wide_multiply(numerator + FRACTION, squares, 2 * sum_words - 1, &n, 1);
    ff_wide_multiply(square, sum, sum_words, sum, sum_words);
    ff_wide_subtract(numerator + FRACTION, square, 2 * sum_words);
    /* Rounding down twice is rounding down once, and inexact if either is. */
    remainder = ff_wide_divide(numerator, words, n);
    remainder |= ff_wide_divide(numerator, words, n);
    return ff_wide_round(numerator, words, unit - 64 * FRACTION, remainder != 0);
}

/* ---- Floating-point numbers ---------------------------------------------- */

void ff_moments_f64_init(struct ff_moments_f64 *moments)
{
    *moments = (struct ff_moments_f64){.least = INT64_MAX, .greatest = INT64_MIN};
}

void ff_moments_f64_add(struct ff_moments_f64 *moments, const double *numbers, size_t count)
{
    const struct ff_number_variant *variant = ff_number_variants(NULL)[0];
    struct ff_number_feed feed;

    moments->count += count;
    ff_number_feed_begin(&feed, variant, &moments->sum, moments->squares);
    while (count > 0) {
        size_t piece = count < PIECE ? count : PIECE;

        ff_number_feed_f64(&feed, numbers, piece);
        variant->extremes_f64(numbers, piece, &moments->least, &moments->greatest);
        numbers += piece;
        count -= piece;
    }
    ff_number_feed_end(&feed);
}

void ff_moments_f64_merge(struct ff_moments_f64 *moments, const struct ff_moments_f64 *from)
{
    moments->count += from->count;
    ff_exact_sum_merge(&moments->sum, &from->sum);
    ff_wide_add(moments->squares, from->squares, FF_SQUARE_SUM_WORDS);
    if (from->least < moments->least)
        moments->least = from->least;
    if (from->greatest > moments->greatest)
        moments->greatest = from->greatest;
}

double ff_moments_f64_mean(const struct ff_moments_f64 *moments)
{
    return ff_exact_sum_mean(&moments->sum, moments->count);
}

double ff_moments_f64_variance(const struct ff_moments_f64 *moments)
{
    uint64_t sum[FF_EXACT_SUM_WORDS];

    _Static_assert(FF_SQUARE_SUM_WORDS == 2 * FF_EXACT_SUM_WORDS - 1, "as divide_variance wants");
    if (moments->sum.specials != 0)
        return NAN;
    memcpy(sum, moments->sum.words, sizeof(sum));
    if (ff_wide_is_negative(sum, FF_EXACT_SUM_WORDS))
        ff_wide_negate(sum, FF_EXACT_SUM_WORDS);
    return divide_variance(sum, FF_EXACT_SUM_WORDS, moments->squares, moments->count,
                           FF_SQUARE_SUM_UNIT);
}

static double extreme(const struct ff_moments_f64 *moments, int64_t key)
{
    if ((moments->sum.specials & FF_SUM_HAS_NAN) != 0)
        return NAN;
    return ff_signed_key_to_f64(key);
}

double ff_moments_f64_minimum(const struct ff_moments_f64 *moments)
{
    return extreme(moments, moments->least);
}

double ff_moments_f64_maximum(const struct ff_moments_f64 *moments)
{
    return extreme(moments, moments->greatest);
}

/* ---- Integers ------------------------------------------------------------ */

void ff_moments_i64_init(struct ff_moments_i64 *moments)
{
    *moments = (struct ff_moments_i64){.least = INT64_MAX, .greatest = INT64_MIN};
}

static uint64_t magnitude_of(int64_t number)
{
    return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

static void add_squares(uint64_t *squares, const int64_t *numbers, size_t count)
{
    ff_uint128 low = 0;
    uint64_t high = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t magnitude = magnitude_of(numbers[i]);

        high += __builtin_add_overflow(low, (ff_uint128)magnitude * magnitude, &low);
    }
    ff_wide_add(squares, (uint64_t[]){(uint64_t)low, (uint64_t)(low >> 64), high},
                FF_SQUARE_SUM_I64_WORDS);
}

void ff_moments_i64_add(struct ff_moments_i64 *moments, const int64_t *numbers, size_t count)
{
    const struct ff_number_variant *variant = ff_number_variants(NULL)[0];

    moments->count += count;
    while (count > 0) {
        size_t piece = count < PIECE ? count : PIECE;

        variant->sum_i64(numbers, piece, &moments->sum);
        variant->extremes_i64(numbers, piece, &moments->least, &moments->greatest);
        add_squares(moments->squares, numbers, piece);
        numbers += piece;
        count -= piece;
    }
}

void ff_moments_i64_merge(struct ff_moments_i64 *moments, const struct ff_moments_i64 *from)
{
    moments->count += from->count;
    moments->sum = (ff_int128)((ff_uint128)moments->sum + (ff_uint128)from->sum);
    ff_wide_add(moments->squares, from->squares, FF_SQUARE_SUM_I64_WORDS);
    if (from->least < moments->least)
        moments->least = from->least;
    if (from->greatest > moments->greatest)
        moments->greatest = from->greatest;
}

/* The two words of |sum|. */
static void split_magnitude(uint64_t *words, ff_int128 sum)
{
    ff_uint128 magnitude = sum < 0 ? -(ff_uint128)sum : (ff_uint128)sum;

    words[0] = (uint64_t)magnitude;
    words[1] = (uint64_t)(magnitude >> 64);
}

double ff_moments_i64_mean(const struct ff_moments_i64 *moments)
{
    /* Two words of fraction, so that a quotient that is not 0 has more bits than a double. */
    uint64_t words[4] = {0};
    uint64_t remainder;
    double magnitude;

    split_magnitude(words + 2, moments->sum);
    remainder = ff_wide_divide(words, 4, moments->count);
    magnitude = ff_wide_round(words, 4, -128, remainder != 0);
    return moments->sum < 0 ? -magnitude : magnitude;
}

double ff_moments_i64_variance(const struct ff_moments_i64 *moments)
{
    uint64_t sum[2];

    _Static_assert(FF_SQUARE_SUM_I64_WORDS == 2 * 2 - 1, "as divide_variance wants");
    split_magnitude(sum, moments->sum);
    return divide_variance(sum, 2, moments->squares, moments->count, 0);
}
