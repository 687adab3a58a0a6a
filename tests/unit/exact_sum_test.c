/* SPDX-License-Identifier: Apache-2.0 */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs/exact_sum.h"
#include "jobs/number_feed.h"
#include "number_cases.h"
#include "random_numbers.h"
#include "same_double.h"
#include "slow_sum.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { NUMBERS_MAX = 9000 };

static void add_with(const struct ff_number_variant *variant, struct ff_exact_sum *sum,
                     const double *numbers, size_t count)
{
    struct ff_number_feed feed;

    ff_number_feed_begin(&feed, variant, sum, NULL);
    ff_number_feed_f64(&feed, numbers, count);
    ff_number_feed_end(&feed);
}

static void add_with_f32(const struct ff_number_variant *variant, struct ff_exact_sum *sum,
                         const float *numbers, size_t count)
{
    struct ff_number_feed feed;

    ff_number_feed_begin(&feed, variant, sum, NULL);
    ff_number_feed_f32(&feed, numbers, count);
    ff_number_feed_end(&feed);
}

/* An infinite expected sum says that it is an overflow. */
static void assert_rounds_to(const struct ff_exact_sum *sum, double expected)
{
    double rounded = 42;
    enum ff_sum_outcome outcome = ff_exact_sum_round(sum, &rounded);

    if (isinf(expected)) {
        assert_int_equal(outcome, FF_SUM_OVERFLOW);
        assert_same_double(rounded, 42);
        return;
    }
    assert_int_equal(outcome, FF_SUM_ROUNDED);
    assert_same_double(rounded, expected);
}

static enum ff_sum_outcome round_sum(const double *numbers, size_t count, double *rounded)
{
    struct ff_exact_sum sum;

    ff_exact_sum_init(&sum);
    ff_exact_sum_add_f64(&sum, numbers, count);
    return ff_exact_sum_round(&sum, rounded);
}

#define ROUND(rounded, ...)                                                                        \
    round_sum((double[]){__VA_ARGS__}, COUNT_OF(((double[]){__VA_ARGS__})), (rounded))

#define ASSERT_SUM(expected, ...)                                                                  \
    do {                                                                                           \
        double sum_of_these;                                                                       \
                                                                                                   \
        assert_int_equal(ROUND(&sum_of_these, __VA_ARGS__), FF_SUM_ROUNDED);                       \
        assert_same_double(sum_of_these, expected);                                                \
    } while (0)

static size_t random_count(void)
{
    static const size_t edges[] = {0, 1, 2, 127, 128, 129, 1023, 1024, 1025, 2048, 4097};

    return random_below(3) == 0 ? random_below(NUMBERS_MAX - 8) : edges[random_below(11)];
}

static void sums_equal_slow_ones_on_every_cpu(void **state)
{
    static double numbers[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 40 * NUMBER_KINDS; i++) {
        size_t count = random_count();
        double *first = numbers + random_below(8); /* aligned as a double only */
        struct slow_sum slow = {{0}};
        struct ff_exact_sum one;

        fill_randomly(first, count, (enum number_kind)(i % NUMBER_KINDS));
        for (size_t j = 0; j < count; j++)
            slow_add(&slow, first[j]);
        for (size_t v = 0; v < variant_count; v++) {
            struct ff_exact_sum sum;

            ff_exact_sum_init(&sum);
            add_with(variants[v], &sum, first, count);
            assert_rounds_to(&sum, slow_round(&slow));
            if (v > 0)
                assert_memory_equal(&sum, &one, sizeof(sum));
            one = sum;
        }
    }
}

static void single_precision_sums_are_those_of_the_doubles(void **state)
{
    static float numbers[NUMBERS_MAX];
    static double wide[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 10 * NUMBER_KINDS; i++) {
        size_t count = random_count();
        float *first = numbers + random_below(8);
        struct ff_exact_sum expected;

        fill_randomly(wide, count, (enum number_kind)(i % NUMBER_KINDS));
        for (size_t j = 0; j < count; j++) {
            first[j] = (float)wide[j];
            wide[j] = first[j];
        }
        ff_exact_sum_init(&expected);
        add_with(variants[0], &expected, wide, count);
        for (size_t v = 0; v < variant_count; v++) {
            struct ff_exact_sum sum;

            ff_exact_sum_init(&sum);
            add_with_f32(variants[v], &sum, first, count);
            assert_memory_equal(&sum, &expected, sizeof(sum));
        }
    }
}

static void any_order_and_grouping_gives_the_same_bytes(void **state)
{
    enum { PARTS_MAX = 9 };
    static double numbers[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 40 * NUMBER_KINDS; i++) {
        size_t count = random_count();
        size_t left = count;
        size_t live = 1 + random_below(PARTS_MAX);
        struct ff_exact_sum parts[PARTS_MAX];
        struct ff_exact_sum whole;

        fill_randomly(numbers, count, (enum number_kind)(i % NUMBER_KINDS));
        if (count > 0 && i % 4 == 0)
            numbers[random_below(count)] = -INFINITY;
        ff_exact_sum_init(&whole);
        ff_exact_sum_add_f64(&whole, numbers, count);
        for (size_t j = count; j > 1; j--) {
            size_t other = random_below(j);
            double moved = numbers[other];

            numbers[other] = numbers[j - 1];
            numbers[j - 1] = moved;
        }
        for (size_t j = 0; j < live; j++) {
            size_t some = j + 1 < live ? random_below(left + 1) : left;

            ff_exact_sum_init(&parts[j]);
            add_with(variants[random_below(variant_count)], &parts[j], numbers + count - left,
                     some);
            left -= some;
        }
        while (live > 1) {
            size_t from = random_below(live--);
            struct ff_exact_sum last = parts[live];

            parts[live] = parts[from];
            parts[from] = last;
            ff_exact_sum_merge(&parts[random_below(live)], &parts[live]);
        }
        assert_memory_equal(&parts[0], &whole, sizeof(whole));
    }
}

static void sums_and_means_are_those_of_python(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(number_cases); i++) {
        const struct number_case *given = &number_cases[i];
        struct ff_exact_sum sum;

        ff_exact_sum_init(&sum);
        ff_exact_sum_add_f64(&sum, given->numbers, given->count);
        assert_rounds_to(&sum, given->sum);
        /* Python's mean of zeros may be -0.0; that of a sum of 0 here is 0.0. */
        assert_same_double(ff_exact_sum_mean(&sum, given->count), given->mean + 0.0);
    }
}

static void infinities_and_nan_sum_as_in_python(void **state)
{
    double rounded = 42;

    (void)state;
    ASSERT_SUM(INFINITY, 1, INFINITY, -1e308, INFINITY);
    ASSERT_SUM(-INFINITY, -INFINITY, DBL_MAX, DBL_MAX);
    ASSERT_SUM(NAN, 1, NAN);
    ASSERT_SUM(NAN, -NAN, INFINITY);
    assert_int_equal(ROUND(&rounded, INFINITY, 1, -INFINITY), FF_SUM_UNDEFINED);
    assert_int_equal(ROUND(&rounded, NAN, -INFINITY, INFINITY), FF_SUM_UNDEFINED);
    assert_same_double(rounded, 42);
}

static void one_special_among_many_numbers_is_seen(void **state)
{
    static const double specials[] = {INFINITY, -INFINITY, NAN};
    static double numbers[NUMBERS_MAX];
    static float narrow[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        size_t at = random_below(NUMBERS_MAX);

        for (size_t j = 0; j < NUMBERS_MAX; j++)
            narrow[j] = (float)(numbers[j] = 1 + (double)random_below(3));
        narrow[at] = (float)(numbers[at] = specials[i % 3]);
        for (size_t v = 0; v < variant_count; v++) {
            struct ff_exact_sum sum;
            struct ff_exact_sum narrow_sum;
            double rounded;

            ff_exact_sum_init(&sum);
            add_with(variants[v], &sum, numbers, NUMBERS_MAX);
            assert_int_equal(ff_exact_sum_round(&sum, &rounded), FF_SUM_ROUNDED);
            assert_same_double(rounded, specials[i % 3]);
            ff_exact_sum_init(&narrow_sum);
            add_with_f32(variants[v], &narrow_sum, narrow, NUMBERS_MAX);
            assert_memory_equal(&sum, &narrow_sum, sizeof(sum));
        }
    }
}

static void zeros_sum_to_positive_zero(void **state)
{
    struct ff_exact_sum empty;

    (void)state;
    ff_exact_sum_init(&empty);
    assert_rounds_to(&empty, 0.0);
    ASSERT_SUM(0.0, -0.0);
    ASSERT_SUM(0.0, -0.0, -0.0);
    ASSERT_SUM(0.0, 1, -1);
    ASSERT_SUM(0.0, -0x1p-1074, 0x1p-1074, -0.0);
}

static void only_the_sum_itself_overflows(void **state)
{
    const double half = 0x1p970; /* of the last bit of DBL_MAX */
    double rounded = 42;

    (void)state;
    ASSERT_SUM(1e308, 1e308, 1e308, -1e308);
    ASSERT_SUM(DBL_MAX, DBL_MAX, DBL_MAX, -DBL_MAX);
    ASSERT_SUM(DBL_MAX, DBL_MAX, half, -0x1p-1074);
    ASSERT_SUM(-DBL_MAX, -DBL_MAX, -half, 0x1p-1074);
    assert_int_equal(ROUND(&rounded, DBL_MAX, half), FF_SUM_OVERFLOW);
    assert_int_equal(ROUND(&rounded, -DBL_MAX, -half), FF_SUM_OVERFLOW);
    assert_int_equal(ROUND(&rounded, DBL_MAX, DBL_MAX, DBL_MAX), FF_SUM_OVERFLOW);
    assert_same_double(rounded, 42);
}

static void ties_round_to_even(void **state)
{
    (void)state;
    ASSERT_SUM(1, 1, 0x1p-53);
    ASSERT_SUM(1 + 0x1p-52, 1, 0x1p-53, 0x1p-1074);
    ASSERT_SUM(1, 1, 0x1p-53, -0x1p-1074);
    ASSERT_SUM(1 + 0x1p-51, 1 + 0x1p-52, 0x1p-53);
    ASSERT_SUM(-1, -1, -0x1p-53);
    ASSERT_SUM(2, 2 - 0x1p-52, 0x1p-53);
    ASSERT_SUM(0x1p-1022, 0x1p-1022 - 0x1p-1074, 0x1p-1074);
    ASSERT_SUM(0x1p-1022 - 0x1p-1074, 0x1p-1022, -0x1p-1074);
}

static void carries_run_through_many_words(void **state)
{
    double ones[11];
    double rounded;

    (void)state;
    for (int i = 0; i < 9; i++)
        ones[i] = ldexp(0x1p53 - 1, 53 * i - 200);
    ones[9] = 0x1p-200;
    ones[10] = -ldexp(1, 9 * 53 - 200);
    assert_int_equal(round_sum(ones, 11, &rounded), FF_SUM_ROUNDED);
    assert_same_double(rounded, 0.0);
    for (int i = 0; i < 11; i++)
        ones[i] = -ones[i];
    assert_int_equal(round_sum(ones, 11, &rounded), FF_SUM_ROUNDED);
    assert_same_double(rounded, 0.0);
}

static void the_environment_of_the_process_does_not_matter(void **state)
{
    static const int directions[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static double numbers[NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < NUMBER_KINDS * COUNT_OF(directions); i++) {
        struct ff_exact_sum expected;

        fill_randomly(numbers, NUMBERS_MAX, (enum number_kind)(i % NUMBER_KINDS));
        ff_exact_sum_init(&expected);
        ff_exact_sum_add_f64(&expected, numbers, NUMBERS_MAX);
        for (size_t v = 0; v < variant_count; v++) {
            struct ff_exact_sum sum;
            double rounded = 0;
            double plain = 0;
            enum ff_sum_outcome outcome;
            int direction;

            ff_exact_sum_init(&sum);
            fesetround(directions[i / NUMBER_KINDS]);
#if defined(__x86_64__)
            /* Subnormal operands and results become zeros; inexact results trap. */
            __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() | 0x8040U) & ~0x1000U);
#endif
            add_with(variants[v], &sum, numbers, NUMBERS_MAX);
            outcome = ff_exact_sum_round(&sum, &rounded);
            direction = fegetround();
#if defined(__x86_64__)
            assert_int_equal(__builtin_ia32_stmxcsr() & 0x9040U, 0x8040U);
#endif
            fesetenv(FE_DFL_ENV);
            assert_int_equal(direction, directions[i / NUMBER_KINDS]);
            assert_memory_equal(&sum, &expected, sizeof(sum));
            assert_int_equal(outcome, ff_exact_sum_round(&expected, &plain));
            assert_same_double(rounded, plain);
        }
    }
}

static void means_are_rounded_once(void **state)
{
    struct ff_exact_sum sum;

    (void)state;
    ff_exact_sum_init(&sum);
    ff_exact_sum_add_f64(&sum, (double[]){DBL_MAX, DBL_MAX, DBL_MAX}, 3);
    assert_same_double(ff_exact_sum_mean(&sum, 3), DBL_MAX);
    ff_exact_sum_init(&sum);
    ff_exact_sum_add_f64(&sum, (double[]){0x1p-1074, 0, 0}, 3);
    assert_same_double(ff_exact_sum_mean(&sum, 3), 0.0);
    assert_same_double(ff_exact_sum_mean(&sum, 2), 0.0);
    ff_exact_sum_add_f64(&sum, (double[]){0x1p-1073}, 1);
    assert_same_double(ff_exact_sum_mean(&sum, 4), 0x1p-1074);
    assert_same_double(ff_exact_sum_mean(&sum, 2), 0x1p-1073);
    assert_same_double(ff_exact_sum_mean(&sum, UINT64_MAX), 0.0);
    /*
     * Half of the smallest double and a little more, so little that only a remainder is left of it.
     */
    ff_exact_sum_init(&sum);
    ff_exact_sum_add_f64(&sum, (double[]){0x1p-1012, 0x1p-1074}, 2);
    assert_same_double(ff_exact_sum_mean(&sum, (UINT64_C(1) << 63) + 1), 0x1p-1074);
    ff_exact_sum_add_f64(&sum, (double[]){INFINITY}, 1);
    assert_same_double(ff_exact_sum_mean(&sum, 5), INFINITY);
    ff_exact_sum_add_f64(&sum, (double[]){-INFINITY}, 1);
    assert_same_double(ff_exact_sum_mean(&sum, 6), NAN);
}

/* A third of the numbers are the least, a third the greatest. */
static int64_t random_integer(int64_t least, int64_t greatest)
{
    uint64_t random = random_u64();

    switch (random % 3) {
    case 0:
        return least;
    case 1:
        return greatest;
    default:
        return (int64_t)((uint64_t)least + random / 3 % ((uint64_t)greatest - (uint64_t)least));
    }
}

static void integer_sums_are_exact_on_every_cpu(void **state)
{
    static int32_t i32[NUMBERS_MAX];
    static int64_t i64[NUMBERS_MAX];
    static uint8_t u8[10 * NUMBERS_MAX];
    size_t variant_count;
    const struct ff_number_variant *const *variants = ff_number_variants(&variant_count);

    (void)state;
    for (size_t i = 0; i < 30; i++) {
        size_t count = random_count();
        size_t offset = random_below(8);
        ff_int128 expected[3] = {0};

        for (size_t j = 0; j < count; j++) {
            expected[0] += i32[j + offset] = (int32_t)random_integer(INT32_MIN, INT32_MAX);
            expected[1] += i64[j + offset] = random_integer(INT64_MIN, INT64_MAX);
        }
        for (size_t j = 0; j < 9 * count; j++)
            expected[2] += u8[j + offset] = (uint8_t)random_integer(i % 2 == 0 ? 0 : 254, 255);
        for (size_t v = 0; v < variant_count; v++) {
            ff_int128 sums[3] = {-5, -5, -5};

            variants[v]->sum_i32(i32 + offset, count, &sums[0]);
            variants[v]->sum_i64(i64 + offset, count, &sums[1]);
            variants[v]->sum_u8(u8 + offset, 9 * count, &sums[2]);
            for (size_t j = 0; j < 3; j++)
                assert_true(sums[j] == expected[j] - 5);
        }
    }
}

static void integer_sums_pass_64_bits(void **state)
{
    ff_int128 sum = 0;

    (void)state;
    ff_integer_sum_add_i64(&sum, (int64_t[]){INT64_MAX, INT64_MAX, INT64_MAX}, 3);
    assert_true(sum == (ff_int128)3 * INT64_MAX);
    ff_integer_sum_add_i64(&sum, (int64_t[]){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN}, 4);
    assert_true(sum == (ff_int128)INT64_MIN - 3);
    ff_integer_sum_add_i32(&sum, (int32_t[]){INT32_MIN}, 1);
    ff_integer_sum_add_u8(&sum, (uint8_t[]){255, 3}, 2);
    assert_true(sum == (ff_int128)INT64_MIN - 3 + INT32_MIN + 258);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_equal_slow_ones_on_every_cpu),
        cmocka_unit_test(single_precision_sums_are_those_of_the_doubles),
        cmocka_unit_test(any_order_and_grouping_gives_the_same_bytes),
        cmocka_unit_test(sums_and_means_are_those_of_python),
        cmocka_unit_test(infinities_and_nan_sum_as_in_python),
        cmocka_unit_test(one_special_among_many_numbers_is_seen),
        cmocka_unit_test(zeros_sum_to_positive_zero),
        cmocka_unit_test(only_the_sum_itself_overflows),
        cmocka_unit_test(ties_round_to_even),
        cmocka_unit_test(carries_run_through_many_words),
        cmocka_unit_test(the_environment_of_the_process_does_not_matter),
        cmocka_unit_test(means_are_rounded_once),
        cmocka_unit_test(integer_sums_are_exact_on_every_cpu),
        cmocka_unit_test(integer_sums_pass_64_bits),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
