/* SPDX-License-Identifier: Apache-2.0 */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs/moments.h"
#include "number_cases.h"
#include "random_numbers.h"
#include "same_double.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { NUMBERS_MAX = 20000 };

static struct ff_moments_f64 moments_of(const double *numbers, size_t count)
{
    struct ff_moments_f64 moments;

    ff_moments_f64_init(&moments);
    ff_moments_f64_add(&moments, numbers, count);
    return moments;
}

static struct ff_moments_i64 moments_of_integers(const int64_t *numbers, size_t count)
{
    struct ff_moments_i64 moments;

    ff_moments_i64_init(&moments);
    ff_moments_i64_add(&moments, numbers, count);
    return moments;
}

/* numerator / denominator * 2^exponent, rounded by strtod.  denominator < 2^64. */
static double slow_quotient(ff_uint128 numerator, uint64_t denominator, int exponent)
{
    char text[64];
    ff_uint128 whole = numerator / denominator;
    uint64_t rest = (uint64_t)(numerator % denominator);
    uint64_t fraction = (uint64_t)(((ff_uint128)rest << 64) / denominator);
    bool more = (uint64_t)(((ff_uint128)rest << 64) % denominator) != 0;

    snprintf(text, sizeof(text), "0x%llx%016llx.%016llx%dp%d", (unsigned long long)(whole >> 64),
             (unsigned long long)whole, (unsigned long long)fraction, more, exponent);
    return strtod(text, NULL);
}

static void results_are_those_of_python(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(number_cases); i++) {
        const struct number_case *given = &number_cases[i];
        struct ff_moments_f64 moments = moments_of(given->numbers, given->count);

        assert_int_equal(moments.count, given->count);
        assert_same_double(ff_moments_f64_mean(&moments), given->mean + 0.0);
        assert_same_double(ff_moments_f64_variance(&moments), given->variance);
    }
}

/* As integers in 128 bits; doubles are these times a power of two. */
static void variances_are_the_true_ones_rounded(void **state)
{
    static int64_t integers[3000];
    static double numbers[3000];

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        size_t count = 1 + random_below(COUNT_OF(integers));
        int exponent = (int)random_below(900) - 450;
        uint64_t range = UINT64_C(1) << (1 + random_below(40));
        ff_int128 sum = 0;
        ff_uint128 squares = 0;
        struct ff_moments_f64 moments;
        struct ff_moments_i64 integer_moments;
        ff_uint128 numerator;

        for (size_t j = 0; j < count; j++) {
            integers[j] = (int64_t)(random_u64() % (2 * range)) - (int64_t)range;
            numbers[j] = ldexp((double)integers[j], exponent);
            sum += integers[j];
            squares += (ff_uint128)((ff_int128)integers[j] * integers[j]);
        }
        numerator = count * squares - (ff_uint128)(sum * sum);
        moments = moments_of(numbers, count);
        integer_moments = moments_of_integers(integers, count);
        assert_same_double(ff_moments_f64_variance(&moments),
                           slow_quotient(numerator, (uint64_t)count * count, 2 * exponent));
        assert_same_double(ff_moments_i64_variance(&integer_moments),
                           slow_quotient(numerator, (uint64_t)count * count, 0));
        assert_same_double(ff_moments_i64_mean(&integer_moments),
                           sum < 0 ? -slow_quotient((ff_uint128)-sum, count, 0)
                                   : slow_quotient((ff_uint128)sum, count, 0));
        assert_same_double(ff_moments_f64_mean(&moments),
                           ldexp(ff_moments_i64_mean(&integer_moments), exponent));
    }
}

static void every_cpu_adds_up_the_same(void **state)
{
    static double numbers[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 8 * NUMBER_KINDS; i++) {
        size_t count = random_below(NUMBERS_MAX - 8);
        double *first = numbers + random_below(8);
        uint64_t expected[FF_SQUARE_SUM_WORDS] = {0};
        struct ff_exact_sum expected_sum;

        fill_randomly(first, count, (enum number_kind)(i % NUMBER_KINDS));
        ff_exact_sum_init(&expected_sum);
        for (size_t j = 0; j < count; j++) {
            struct ff_number_feed feed;

            /* One at a time no block is scanned. */
            ff_number_feed_begin(&feed, variants[0], &expected_sum, expected);
            ff_number_feed_f64(&feed, first + j, 1);
            ff_number_feed_end(&feed);
        }
        for (size_t v = 0; v < variant_count; v++) {
            uint64_t squares[FF_SQUARE_SUM_WORDS] = {0};
            int64_t extremes[4] = {INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN};
            struct ff_number_feed feed;
            struct ff_exact_sum sum;

            ff_exact_sum_init(&sum);
            ff_number_feed_begin(&feed, variants[v], &sum, squares);
            ff_number_feed_f64(&feed, first, count);
            ff_number_feed_end(&feed);
            assert_memory_equal(&sum, &expected_sum, sizeof(sum));
            assert_memory_equal(squares, expected, sizeof(squares));
            variants[v]->extremes_f64(first, count, &extremes[0], &extremes[1]);
            for (size_t j = 0; j < count; j++)
                variants[variant_count - 1]->extremes_f64(first + j, 1, &extremes[2], &extremes[3]);
            assert_memory_equal(&extremes[0], &extremes[2], 2 * sizeof(extremes[0]));
        }
    }
}

static void parts_merge_to_the_same_bytes(void **state)
{
    static double numbers[NUMBERS_MAX];
    static int64_t integers[NUMBERS_MAX];

    (void)state;
    for (size_t i = 0; i < 6 * NUMBER_KINDS; i++) {
        size_t count = random_below(NUMBERS_MAX);
        size_t first = random_below(count + 1);
        size_t second = first + random_below(count - first + 1);
        struct ff_moments_f64 parts[3];
        struct ff_moments_i64 integer_parts[3];

        fill_randomly(numbers, count, (enum number_kind)(i % NUMBER_KINDS));
        memcpy(integers, numbers, sizeof(integers));
        parts[0] = moments_of(numbers + first, second - first);
        parts[1] = moments_of(numbers + second, count - second);
        parts[2] = moments_of(numbers, first);
        ff_moments_f64_merge(&parts[1], &parts[2]);
        ff_moments_f64_merge(&parts[0], &parts[1]);
        parts[1] = moments_of(numbers, count);
        assert_memory_equal(&parts[0], &parts[1], sizeof(parts[0]));
        integer_parts[0] = moments_of_integers(integers + first, second - first);
        integer_parts[1] = moments_of_integers(integers + second, count - second);
        integer_parts[2] = moments_of_integers(integers, first);
        ff_moments_i64_merge(&integer_parts[1], &integer_parts[2]);
        ff_moments_i64_merge(&integer_parts[0], &integer_parts[1]);
        integer_parts[1] = moments_of_integers(integers, count);
        assert_true(integer_parts[0].sum == integer_parts[1].sum);
        assert_int_equal(integer_parts[0].count, integer_parts[1].count);
        assert_int_equal(integer_parts[0].least, integer_parts[1].least);
        assert_int_equal(integer_parts[0].greatest, integer_parts[1].greatest);
        assert_memory_equal(integer_parts[0].squares, integer_parts[1].squares,
                            sizeof(integer_parts[0].squares));
    }
}

static void assert_extremes(const double *numbers, size_t count, double least, double greatest)
{
    struct ff_moments_f64 moments = moments_of(numbers, count);

    assert_same_double(ff_moments_f64_minimum(&moments), least);
    assert_same_double(ff_moments_f64_maximum(&moments), greatest);
}

static void extremes_tell_zeros_apart(void **state)
{
    (void)state;
    assert_extremes((double[]){0.0, -0.0, 0.0}, 3, -0.0, 0.0);
    assert_extremes((double[]){-0.0, 0.0, -0.0}, 3, -0.0, 0.0);
    assert_extremes((double[]){-0.0, -0.0}, 2, -0.0, -0.0);
    assert_extremes((double[]){0x1p-1074, 0.0}, 2, 0.0, 0x1p-1074);
    assert_extremes((double[]){-0x1p-1074, -0.0}, 2, -0x1p-1074, -0.0);
    assert_extremes((double[]){-DBL_MAX, DBL_MAX, 1}, 3, -DBL_MAX, DBL_MAX);
    assert_extremes((double[]){1, INFINITY, -INFINITY}, 3, -INFINITY, INFINITY);
}

static void assert_mean_and_variance(const double *numbers, size_t count, double mean,
                                     double variance)
{
    struct ff_moments_f64 moments = moments_of(numbers, count);

    assert_same_double(ff_moments_f64_mean(&moments), mean);
    assert_same_double(ff_moments_f64_variance(&moments), variance);
}

static void nan_and_infinities_are_not_lost(void **state)
{
    static const double with_nan[] = {1, NAN, INFINITY};

    (void)state;
    assert_extremes(with_nan, 3, NAN, NAN);
    assert_mean_and_variance(with_nan, 3, NAN, NAN);
    assert_mean_and_variance((double[]){1, INFINITY}, 2, INFINITY, NAN);
    assert_mean_and_variance((double[]){1, -INFINITY}, 2, -INFINITY, NAN);
    assert_mean_and_variance((double[]){INFINITY, -INFINITY}, 2, NAN, NAN);
}

static void means_do_not_overflow_and_variances_do(void **state)
{
    (void)state;
    assert_mean_and_variance((double[]){DBL_MAX, DBL_MAX}, 2, DBL_MAX, 0);
    assert_mean_and_variance((double[]){DBL_MAX, -DBL_MAX}, 2, 0, INFINITY);
    assert_mean_and_variance((double[]){0x1p512, -0x1p512}, 2, 0, INFINITY);
    assert_mean_and_variance((double[]){0x1p511, -0x1p511}, 2, 0, 0x1p1022);
    assert_mean_and_variance((double[]){0x1p-537, -0x1p-537}, 2, 0, 0x1p-1074);
    assert_mean_and_variance((double[]){0x1p-538, -0x1p-538}, 2, 0, 0);
    assert_mean_and_variance((double[]){0x1.8p-538, -0x1.8p-538}, 2, 0, 0x1p-1074);
}

static void integers_of_any_size_are_exact(void **state)
{
    static int64_t numbers[NUMBERS_MAX];
    struct ff_moments_i64 moments;

    (void)state;
    moments = moments_of_integers((int64_t[]){INT64_MIN, INT64_MAX}, 2);
    assert_int_equal(moments.least, INT64_MIN);
    assert_int_equal(moments.greatest, INT64_MAX);
    assert_same_double(ff_moments_i64_mean(&moments), -0.5);
    assert_same_double(ff_moments_i64_variance(&moments), 0x1p126);
    for (size_t i = 0; i < NUMBERS_MAX; i++)
        numbers[i] = INT64_MIN;
    moments = moments_of_integers(numbers, NUMBERS_MAX);
    assert_same_double(ff_moments_i64_mean(&moments), -0x1p63);
    assert_same_double(ff_moments_i64_variance(&moments), 0.0);
    numbers[7] = INT64_MAX;
    moments = moments_of_integers(numbers, NUMBERS_MAX);
    /* (2^64 - 1)^2 * (20000 - 1) / 20000^2 */
    assert_same_double(ff_moments_i64_variance(&moments), 1.701326764012962e+34);
}

static void the_environment_of_the_process_does_not_matter(void **state)
{
    static double numbers[NUMBERS_MAX];
    struct ff_moments_f64 expected;

    (void)state;
    fill_randomly(numbers, NUMBERS_MAX, SIGNED);
    expected = moments_of(numbers, NUMBERS_MAX);
    for (size_t i = 0; i < 2; i++) {
        struct ff_moments_f64 moments;
        double mean;
        double variance;

        fesetround(i == 0 ? FE_UPWARD : FE_DOWNWARD);
        moments = moments_of(numbers, NUMBERS_MAX);
        mean = ff_moments_f64_mean(&moments);
        variance = ff_moments_f64_variance(&moments);
        fesetround(FE_TONEAREST);
        assert_memory_equal(&moments, &expected, sizeof(moments));
        assert_same_double(mean, ff_moments_f64_mean(&expected));
        assert_same_double(variance, ff_moments_f64_variance(&expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_those_of_python),
        cmocka_unit_test(variances_are_the_true_ones_rounded),
        cmocka_unit_test(every_cpu_adds_up_the_same),
        cmocka_unit_test(parts_merge_to_the_same_bytes),
        cmocka_unit_test(extremes_tell_zeros_apart),
        cmocka_unit_test(nan_and_infinities_are_not_lost),
        cmocka_unit_test(means_do_not_overflow_and_variances_do),
        cmocka_unit_test(integers_of_any_size_are_exact),
        cmocka_unit_test(the_environment_of_the_process_does_not_matter),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
