/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, statistics and primes on a pool, beside what a plain loop or the kernels say. */
#include <inttypes.h>
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

#include <forkfold.h>

#include "random_keys.h"

enum { WORKERS = 3 };

/* More than one range for each worker, and a last one that is not full. */
enum { MANY = 3 * (1 << 16) * WORKERS + 17 };

static forkfold_pool *open_pool(void)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    if (forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = WORKERS}, message,
                           sizeof(message)) != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

static forkfold_shared *open_shared(forkfold_pool *pool, enum forkfold_type type, uint64_t count)
{
    forkfold_shared *shared = NULL;

    if (forkfold_shared_open(pool, type, count, &shared) != 0)
        fail_msg("cannot open a shared array: %s", forkfold_pool_message(pool));
    return shared;
}

/* ---- Numbers ------------------------------------------------------------- */

/* Numbers whose sum and middle are known: 0 to count - 1 in a random order, less an offset. */
static void fill(double *numbers, uint64_t count, double offset)
{
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = (double)i - offset;
    for (uint64_t i = count; i > 1; i--) {
        uint64_t other = random_u64() % i;
        double number = numbers[i - 1];

        numbers[i - 1] = numbers[other];
        numbers[other] = number;
    }
}

static void assert_same(double found, double expected)
{
    if (found != expected)
        fail_msg("%.17g is not %.17g", found, expected);
}

static void assert_known_statistics(forkfold_pool *pool, const double *numbers, uint64_t count)
{
    forkfold_numbers given = {.data = numbers, .type = FORKFOLD_F64, .count = count};
    forkfold_statistics found;
    double n = (double)count;
    double sum;

    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), 0);
    assert_same(sum, n * (n - 1) / 2 - 1000 * n);
    assert_int_equal(forkfold_get_statistics(pool, &given, &found), 0);
    assert_int_equal(found.count, count);
    assert_same(found.mean, (n - 1) / 2 - 1000);
    assert_same(found.median, (n - 1) / 2 - 1000);
    assert_same(found.variance, (n * n - 1) / 12);
    assert_same(found.minimum, -1000);
    assert_same(found.maximum, n - 1001);
}

static void statistics_are_the_true_ones_wherever_the_numbers_lie(void **state)
{
    static const uint64_t counts[] = {1, 2, 3, 100, 65536, 65537, MANY - 1, MANY};
    forkfold_pool *pool = open_pool();
    forkfold_shared *shared = open_shared(pool, FORKFOLD_F64, MANY);
    double *numbers = forkfold_shared_data(shared);
    double *own = malloc(MANY * sizeof(*own));

    (void)state;
    assert_non_null(own);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        fill(numbers, counts[i], 1000);
        memcpy(own, numbers, counts[i] * sizeof(*own));
        assert_known_statistics(pool, numbers, counts[i]);
        assert_known_statistics(pool, own, counts[i]);
    }
    free(own);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* What cancels, and what no partial sum in doubles would keep. */
static void sums_are_exact(void **state)
{
    forkfold_pool *pool = open_pool();
    forkfold_shared *shared = open_shared(pool, FORKFOLD_F64, MANY);
    double *numbers = forkfold_shared_data(shared);
    forkfold_numbers given = {.data = numbers, .type = FORKFOLD_F64, .count = MANY};
    double sum;

    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        numbers[i] = i % 3 == 0 ? 1e300 : i % 3 == 1 ? 1 : -1e300;
    /* The numbers are whole triples but for the last ones. */
    for (uint64_t i = MANY / 3 * 3; i < MANY; i++)
        numbers[i] = 0;
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), 0);
    const uint64_t triples = MANY / 3;

    assert_same(sum, (double)triples);
    numbers[5] = INFINITY;
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), 0);
    assert_true(isinf(sum) && sum > 0);
    numbers[MANY - 7] = -INFINITY;
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), FORKFOLD_E_RANGE);
    assert_non_null(strstr(forkfold_pool_message(pool), "infinities"));
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void nan_makes_all_statistics_nan(void **state)
{
    forkfold_pool *pool = open_pool();
    double numbers[] = {1, NAN, 3};
    forkfold_numbers given = {.data = numbers, .type = FORKFOLD_F64, .count = 3};
    forkfold_statistics found;

    (void)state;
    assert_int_equal(forkfold_get_statistics(pool, &given, &found), 0);
    assert_true(isnan(found.mean) && isnan(found.variance) && isnan(found.median));
    assert_true(isnan(found.minimum) && isnan(found.maximum));
    forkfold_pool_close(pool);
}

static void integers_are_summed_in_128_bits(void **state)
{
    forkfold_pool *pool = open_pool();
    forkfold_shared *shared = open_shared(pool, FORKFOLD_I64, MANY);
    int64_t *numbers = forkfold_shared_data(shared);
    forkfold_numbers given = {.data = numbers, .type = FORKFOLD_I64, .count = MANY};
    forkfold_statistics found;
    forkfold_int128 sum;
    uint8_t bytes[300];

    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        numbers[i] = INT64_MAX;
    assert_int_equal(forkfold_sum_integers(pool, &given, &sum), 0);
    /* count * (2^63 - 1) */
    assert_int_equal(sum.high, (MANY - 1) / 2);
    assert_true(sum.low == (uint64_t)MANY * (uint64_t)INT64_MAX);
    assert_int_equal(forkfold_get_statistics(pool, &given, &found), 0);
    assert_same(found.mean, 0x1p63);
    assert_same(found.variance, 0);
    memset(bytes, 255, sizeof(bytes));
    given = (forkfold_numbers){.data = bytes, .type = FORKFOLD_U8, .count = sizeof(bytes)};
    assert_int_equal(forkfold_sum_integers(pool, &given, &sum), 0);
    assert_true(sum.high == 0 && sum.low == 255 * sizeof(bytes));
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void bad_numbers_are_refused(void **state)
{
    forkfold_pool *pool = open_pool();
    double number = 1;
    forkfold_numbers given = {.data = &number, .type = FORKFOLD_I32, .count = 1};
    forkfold_statistics found;
    forkfold_int128 wide;
    double sum;

    (void)state;
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_get_statistics(pool, &given, &found), FORKFOLD_E_INVALID);
    given.type = FORKFOLD_F64;
    assert_int_equal(forkfold_sum_integers(pool, &given, &wide), FORKFOLD_E_INVALID);
    given.count = 0;
    assert_int_equal(forkfold_get_statistics(pool, &given, &found), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), 0);
    assert_same(sum, 0);
    given.count = UINT64_MAX;
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), FORKFOLD_E_INVALID);
    given = (forkfold_numbers){.type = FORKFOLD_F64, .count = 1};
    assert_int_equal(forkfold_sum_floats(pool, &given, &sum), FORKFOLD_E_INVALID);
    forkfold_pool_close(pool);
}

static void no_pool_is_needed_for_numbers_that_are_not_shared(void **state)
{
    const double numbers[] = {0x1p53, 1, 1, -HUGE_VAL, HUGE_VAL};
    const int64_t integers[] = {INT64_MAX, INT64_MAX, -5};
    forkfold_numbers given = {.data = numbers, .type = FORKFOLD_F64, .count = 3};
    forkfold_statistics found;
    forkfold_int128 wide;
    double sum = 0;

    (void)state;
    assert_int_equal(forkfold_sum_floats(NULL, &given, &sum), 0);
    assert_same(sum, 0x1p53 + 2);
    assert_int_equal(forkfold_get_statistics(NULL, &given, &found), 0);
    assert_same(found.median, 1);
    given.count = 5;
    assert_int_equal(forkfold_sum_floats(NULL, &given, &sum), FORKFOLD_E_RANGE);
    given.count = 0;
    assert_int_equal(forkfold_get_statistics(NULL, &given, &found), FORKFOLD_E_INVALID);
    given = (forkfold_numbers){.data = integers, .type = FORKFOLD_I64, .count = 3};
    assert_int_equal(forkfold_sum_integers(NULL, &given, &wide), 0);
    assert_int_equal(wide.high, 0);
    assert_int_equal(wide.low, UINT64_MAX - 6);
}

/* ---- Primes -------------------------------------------------------------- */

static bool is_prime(uint64_t number)
{
    if (number < 2)
        return false;
    for (uint64_t i = 2; i * i <= number; i++)
        if (number % i == 0)
            return false;
    return true;
}

static void assert_lists_primes(forkfold_pool *pool, uint64_t limit)
{
    forkfold_shared *shared = NULL;
    uint64_t place = 0;

    assert_int_equal(forkfold_primes(pool, limit, &shared), 0);
    for (uint64_t number = 0; number < limit; number++) {
        if (!is_prime(number))
            continue;
        assert_non_null(shared);
        assert_true(place < forkfold_shared_count(shared));
        assert_int_equal(((const uint32_t *)forkfold_shared_data(shared))[place++], number);
    }
    assert_int_equal(place, shared != NULL ? forkfold_shared_count(shared) : 0);
    forkfold_shared_close(shared);
}

static void primes_are_listed_in_order(void **state)
{
    forkfold_pool *pool = open_pool();

    (void)state;
    for (uint64_t limit = 0; limit < 40; limit++)
        assert_lists_primes(pool, limit);
    assert_lists_primes(pool, 100000);
    forkfold_pool_close(pool);
}

/* Enough numbers for several ranges of each worker; the counts are known. */
static void many_primes_are_counted_and_listed(void **state)
{
    static const uint64_t limit = 100000000;
    forkfold_pool *pool = open_pool();
    forkfold_shared *shared = NULL;
    uint64_t count = 0;
    uint64_t tail = 0;

    (void)state;
    assert_int_equal(forkfold_count_primes(pool, 0, limit, &count), 0);
    assert_int_equal(count, 5761455);
    assert_int_equal(forkfold_count_primes(pool, 12345678, limit, &tail), 0);
    assert_int_equal(forkfold_count_primes(pool, 0, 12345678, &count), 0);
    assert_int_equal(count + tail, 5761455);
    assert_int_equal(forkfold_count_primes(pool, 7, 7, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(forkfold_primes(pool, limit, &shared), 0);
    assert_int_equal(forkfold_shared_count(shared), 5761455);
    assert_int_equal(((const uint32_t *)forkfold_shared_data(shared))[5761454], 99999989);
    for (uint64_t i = 1; i < 5761455; i++)
        if (((const uint32_t *)forkfold_shared_data(shared))[i] <=
            ((const uint32_t *)forkfold_shared_data(shared))[i - 1])
            fail_msg("the list is out of order at %llu", (unsigned long long)i);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* Limits of which no machine holds the primes; nothing is run, or taken. */
static void lists_that_no_memory_holds_are_refused(void **state)
{
    static const uint64_t limits[] = {UINT64_C(1) << 55, UINT64_C(1) << 60, UINT64_MAX};
    forkfold_pool *pool = open_pool();
    forkfold_shared *shared = NULL;

    (void)state;
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        char limit[32];

        assert_int_equal(forkfold_primes(pool, limits[i], &shared), FORKFOLD_E_MEMORY);
        assert_null(shared);
        snprintf(limit, sizeof(limit), "%" PRIu64, limits[i]);
        assert_non_null(strstr(forkfold_pool_message(pool), limit));
        assert_non_null(strstr(forkfold_pool_message(pool), "available; list fewer"));
    }
    assert_int_equal(forkfold_primes(pool, 100, &shared), 0);
    assert_int_equal(forkfold_shared_count(shared), 25);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* Around the limit up to which a list is made without the workers. */
static void short_and_long_lists_have_the_same_primes(void **state)
{
    static const uint64_t limits[] = {1966081, 3999971, 4000000, 4000001, 4000037, 4000038};
    forkfold_pool *pool = open_pool();
    forkfold_shared *longest = NULL;

    (void)state;
    assert_int_equal(forkfold_primes(pool, 5000000, &longest), 0);
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        forkfold_shared *list = NULL;
        uint64_t count = 0;

        assert_int_equal(forkfold_count_primes(pool, 0, limits[i], &count), 0);
        assert_int_equal(forkfold_primes(pool, limits[i], &list), 0);
        assert_int_equal(forkfold_shared_count(list), count);
        assert_memory_equal(forkfold_shared_data(list), forkfold_shared_data(longest),
                            count * sizeof(uint32_t));
        forkfold_shared_close(list);
    }
    forkfold_shared_close(longest);
    forkfold_pool_close(pool);
}

static void large_primes_take_64_bits(void **state)
{
    forkfold_pool *pool = open_pool();
    uint64_t from = UINT64_C(1000000000000);
    uint64_t count = 0;
    uint64_t expected = 0;

    (void)state;
    for (uint64_t number = from; number < from + 200; number++)
        expected += is_prime(number);
    assert_int_equal(forkfold_count_primes(pool, from, from + 200, &count), 0);
    assert_int_equal(count, expected);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_the_true_ones_wherever_the_numbers_lie),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(nan_makes_all_statistics_nan),
        cmocka_unit_test(integers_are_summed_in_128_bits),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(no_pool_is_needed_for_numbers_that_are_not_shared),
        cmocka_unit_test(primes_are_listed_in_order),
        cmocka_unit_test(many_primes_are_counted_and_listed),
        cmocka_unit_test(lists_that_no_memory_holds_are_refused),
        cmocka_unit_test(short_and_long_lists_have_the_same_primes),
        cmocka_unit_test(large_primes_take_64_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
