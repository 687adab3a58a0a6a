/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "jobs/sieve.h"
#include "random_keys.h"

/* Square roots of all that naive_range is asked for are below. */
enum { SMALL_NUMBERS = 32000000 };

#define POWER_12 UINT64_C(1000000000000)
#define POWER_15 (1000 * POWER_12)

/* ---- What is right, found in other ways ------------------------------------ */

/* is_small_prime[n], a plain sieve. */
static bool *is_small_prime;

static int set_up(void **state)
{
    (void)state;
    seed_random();
    is_small_prime = malloc(SMALL_NUMBERS);
    if (!is_small_prime)
        return -1;
    memset(is_small_prime, true, SMALL_NUMBERS);
    is_small_prime[0] = is_small_prime[1] = false;
    for (size_t n = 2; n * n < SMALL_NUMBERS; n++)
        for (size_t k = n * n; is_small_prime[n] && k < SMALL_NUMBERS; k += n)
            is_small_prime[k] = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(is_small_prime);
    return 0;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);

    assert_non_null(memory);
    return memory;
}

struct numbers {
    uint64_t *values;
    uint64_t count;
};

/* The primes in [from, from + size) by crossing off every multiple of every number that is prime. */
static struct numbers naive_range(uint64_t from, size_t size)
{
    bool *is_prime = allocate(size);
    struct numbers primes = {.values = allocate(size * sizeof(uint64_t))};
    uint64_t to = from + size;

    memset(is_prime, true, size);
    for (uint64_t n = 2; n < SMALL_NUMBERS && n * n < to; n++) {
        uint64_t multiple = n * n;

        if (!is_small_prime[n])
            continue;
        if (multiple < from)
            multiple = (from + n - 1) / n * n;
        for (; multiple < to; multiple += n)
            is_prime[multiple - from] = false;
    }
    for (size_t i = 0; i < size; i++)
        if (is_prime[i] && from + i >= 2)
            primes.values[primes.count++] = from + i;
    free(is_prime);
    return primes;
}

__extension__ typedef unsigned __int128 product;

static uint64_t power_modulo(uint64_t base, uint64_t exponent, uint64_t modulus)
{
    product power = base % modulus;
    product result = 1;

    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1)
            result = result * power % modulus;
        power = power * power % modulus;
    }
    return (uint64_t)result;
}

/* Miller and Rabin's test; with these witnesses it is exact for all numbers of 64 bits. */
static bool is_prime_by_witnesses(uint64_t n)
{
    static const uint64_t witnesses[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    unsigned twos = 0;
    uint64_t odd = n - 1;

    for (size_t i = 0; i < sizeof(witnesses) / sizeof(witnesses[0]); i++)
        if (n % witnesses[i] == 0 || n < 2)
            return n == witnesses[i];
    for (; odd % 2 == 0; odd /= 2)
        twos++;
    for (size_t i = 0; i < sizeof(witnesses) / sizeof(witnesses[0]); i++) {
        uint64_t first = power_modulo(witnesses[i], odd, n);
        uint64_t power = first;

        for (unsigned k = 1; k < twos && power != n - 1; k++)
            power = power_modulo(power, 2, n);
        if (first != 1 && power != n - 1)
            return false;
    }
    return true;
}

/* ---- The sieve under test --------------------------------------------------- */

struct sieving {
    struct ff_sieve_base *base;
    struct ff_sieve *sieve;
};

static struct sieving open_sieving(uint64_t limit)
{
    struct sieving sieving = {.base = allocate(ff_sieve_base_bytes(limit))};

    memset(sieving.base, 0xA5, ff_sieve_base_bytes(limit));
    assert_int_equal(ff_sieve_base_fill(sieving.base, limit), 0);
    assert_int_equal(ff_sieve_open(&sieving.sieve, sieving.base), 0);
    return sieving;
}

static void close_sieving(struct sieving *sieving)
{
    ff_sieve_close(sieving->sieve);
    free(sieving->base);
}

static uint64_t count_range(const struct sieving *sieving, uint64_t from, uint64_t to)
{
    uint64_t count = UINT64_MAX;

    assert_int_equal(ff_sieve_count(sieving->sieve, from, to, &count), 0);
    return count;
}

/* Sieves [from, to) in every way and compares it with what it should be. */
static void check_range(const struct sieving *sieving, uint64_t from, uint64_t to,
                        const uint64_t *primes, uint64_t count)
{
    size_t map_bytes = ff_sieve_map_bytes(from, to);
    uint64_t *listed = allocate((size_t)count * sizeof(*listed));
    uint8_t *map = allocate(map_bytes);
    uint64_t found = UINT64_MAX;

    assert_int_equal(count_range(sieving, from, to), count);
    assert_int_equal(ff_sieve_list_u64(sieving->sieve, from, to, listed, (size_t)count, &found), 0);
    assert_int_equal(found, count);
    assert_memory_equal(listed, primes, count * sizeof(*listed));

    memset(map, 0xA5, map_bytes);
    memset(listed, 0xA5, (size_t)count * sizeof(*listed));
    assert_int_equal(ff_sieve_map(sieving->sieve, from, to, map, &found), 0);
    assert_int_equal(found, count);
    assert_int_equal(ff_sieve_map_list_u64(map, from, to, listed, (size_t)count, &found), 0);
    assert_int_equal(found, count);
    assert_memory_equal(listed, primes, count * sizeof(*listed));
    free(map);
    free(listed);
}

static void check_small_range(const struct sieving *sieving, uint64_t from, uint64_t to)
{
    struct numbers primes = naive_range(from, (size_t)(to - from));

    check_range(sieving, from, to, primes.values, primes.count);
    free(primes.values);
}

/* ---- Ranges ------------------------------------------------------------------ */

static void all_small_limits_have_their_primes(void **state)
{
    (void)state;
    for (uint64_t limit = 0; limit <= 2000; limit++) {
        struct sieving sieving = open_sieving(limit);

        check_small_range(&sieving, 0, limit);
        close_sieving(&sieving);
    }
}

static void all_small_ranges_have_their_primes(void **state)
{
    struct sieving sieving = open_sieving(400);

    (void)state;
    for (uint64_t from = 0; from <= 200; from++)
        for (uint64_t to = from; to <= 200 + from % 31; to++)
            check_small_range(&sieving, from, to);
    close_sieving(&sieving);
}

/* Numbers of primes that tables have. */
static void powers_of_ten_have_known_counts(void **state)
{
    static const uint64_t counts[] = {0,     4,      25,      168,      1229,     9592,
                                      78498, 664579, 5761455, 50847534, 455052511};
    struct sieving sieving = open_sieving(UINT64_C(10000000000));
    uint64_t power = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++, power *= 10)
        assert_int_equal(count_range(&sieving, 0, power), counts[i]);
    close_sieving(&sieving);
}

/* Around the ends of the first segments, of both sizes that there are. */
static void segment_boundaries_lose_nothing(void **state)
{
    static const uint64_t limits[] = {SMALL_NUMBERS, POWER_12};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct sieving sieving = open_sieving(limits[i]);
        uint64_t segment = ff_sieve_segment_numbers(sieving.sieve);

        for (uint64_t k = 1; k <= 2; k++)
            for (int64_t shift = -1; shift <= 1; shift++) {
                uint64_t middle = k * segment + (uint64_t)shift;

                check_small_range(&sieving, middle - 40, middle);
                check_small_range(&sieving, middle, middle + 40);
                check_small_range(&sieving, middle - 1000, middle + 1000);
                check_small_range(&sieving, 0, middle);
            }
        close_sieving(&sieving);
    }
}

/* The square of a prime is the first number that it must cross off, here the last before the limit. */
static void squares_of_primes_are_no_primes(void **state)
{
    static const size_t firsts[] = {7, 160, 2990, 31600, (1 << 20) - 50, 3000000};

    (void)state;
    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
        for (size_t prime = firsts[i]; prime < firsts[i] + 100; prime++) {
            uint64_t square = (uint64_t)prime * prime;
            struct sieving sieving;

            if (!is_small_prime[prime])
                continue;
            sieving = open_sieving(square + 1);
            check_small_range(&sieving, square - 40, square + 1);
            close_sieving(&sieving);
        }
}

static void random_ranges_have_their_primes(void **state)
{
    struct sieving sieving = open_sieving(POWER_12);

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        uint64_t from = random_below(UINT64_C(1) << random_below(40)) % (POWER_12 - 100000);

        check_small_range(&sieving, from, from + random_below(round % 10 == 0 ? 100000 : 1000));
    }
    close_sieving(&sieving);
}

/* Primes that hit a segment many times, now and then, and rarely, over more than two segments. */
static void far_segments_follow_each_other(void **state)
{
    static const uint64_t starts[] = {POWER_12 - 123456789, 10 * POWER_12 + 7, POWER_15 - 40000000};

    (void)state;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct sieving sieving = open_sieving(starts[i] + 40000000);
        uint64_t segment = ff_sieve_segment_numbers(sieving.sieve);

        check_small_range(&sieving, starts[i], starts[i] + segment * 9 / 4);
        close_sieving(&sieving);
    }
}

static void a_range_in_parts_counts_the_same(void **state)
{
    uint64_t from = 10 * POWER_12;
    struct sieving sieving = open_sieving(from + 100000000);
    uint64_t segment = ff_sieve_segment_numbers(sieving.sieve);
    uint64_t to = from + 4 * segment + 12345;
    uint64_t whole = count_range(&sieving, from / 30 * 30, to);

    (void)state;
    from = from / 30 * 30;
    /* At whole segments it goes on; anywhere else it starts anew. */
    for (unsigned round = 0; round < 4; round++) {
        uint64_t middle = from + (round % 2 == 0 ? 2 * segment : random_below(3 * segment));
        uint64_t end = middle + (round < 2 ? segment : random_below(segment));

        assert_int_equal(count_range(&sieving, from, middle) + count_range(&sieving, middle, end) +
                             count_range(&sieving, end, to),
                         whole);
    }
    close_sieving(&sieving);
}

/* Once each: to find where 200 million base primes go on takes a second. */
static void the_greatest_numbers_have_their_primes(void **state)
{
    static const uint64_t limits[] = {UINT64_C(1) << 63, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct sieving sieving = open_sieving(limits[i]);
        uint64_t primes[1000];
        uint64_t count = 0;
        uint64_t found = 0;

        assert_int_equal(
            ff_sieve_list_u64(sieving.sieve, limits[i] - 1000, limits[i], primes, 1000, &count), 0);
        for (uint64_t n = limits[i] - 1000; n < limits[i]; n++)
            if (is_prime_by_witnesses(n))
                assert_int_equal(primes[found++], n);
        assert_int_equal(found, count);
        close_sieving(&sieving);
    }
}

/* ---- Calls ------------------------------------------------------------------- */

static void a_range_must_make_sense(void **state)
{
    struct sieving sieving = open_sieving(1000);
    uint64_t primes[4];
    uint32_t primes_u32[4];
    uint64_t count = 77;

    (void)state;
    assert_int_equal(ff_sieve_count(sieving.sieve, 3, 2, &count), FORKFOLD_E_INVALID);
    assert_int_equal(ff_sieve_count(sieving.sieve, 0, 1001, &count), FORKFOLD_E_INVALID);
    assert_int_equal(ff_sieve_list_u64(sieving.sieve, 1000, 1001, primes, 4, &count),
                     FORKFOLD_E_INVALID);
    assert_int_equal(ff_sieve_list_u32(sieving.sieve, 1000, 999, primes_u32, 4, &count),
                     FORKFOLD_E_INVALID);
    assert_int_equal(ff_sieve_map_list_u32(NULL, 3, 2, primes_u32, 4, &count), FORKFOLD_E_INVALID);
    assert_int_equal(count, 77);
    assert_int_equal(count_range(&sieving, 1000, 1000), 0);
    assert_int_equal(ff_sieve_map_bytes(2, 1), 0);
    close_sieving(&sieving);
    ff_sieve_close(NULL);
}

static void a_list_of_32_bits_ends_where_they_end(void **state)
{
    static const uint64_t end = UINT64_C(1) << 32;
    struct sieving sieving = open_sieving(end + 100);
    uint32_t primes[100];
    uint64_t count = 0;
    uint8_t map[100];

    (void)state;
    assert_int_equal(ff_sieve_list_u32(sieving.sieve, end - 1000, end, primes, 100, &count), 0);
    assert_int_equal(count, count_range(&sieving, end - 1000, end));
    assert_int_equal(primes[count - 1], 4294967291);
    assert_int_equal(ff_sieve_map(sieving.sieve, end - 1000, end, map, &count), 0);
    memset(primes, 0, sizeof(primes));
    assert_int_equal(ff_sieve_map_list_u32(map, end - 1000, end, primes, 100, &count), 0);
    assert_int_equal(primes[count - 1], 4294967291);
    assert_int_equal(ff_sieve_list_u32(sieving.sieve, end - 1000, end + 1, primes, 100, &count),
                     FORKFOLD_E_INVALID);
    assert_int_equal(ff_sieve_map_list_u32(map, end - 1000, end + 1, primes, 100, &count),
                     FORKFOLD_E_INVALID);
    close_sieving(&sieving);
}

/* Whatever the capacity, nothing behind it is touched; the sanitizer sees it if it is. */
static void a_list_that_does_not_fit_is_an_error(void **state)
{
    static const uint64_t ends[] = {3, 6, 100, 10000, 3000000};
    struct sieving sieving = open_sieving(3000000);

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        uint64_t count = count_range(&sieving, 0, ends[i]);
        uint8_t *map = allocate(ff_sieve_map_bytes(0, ends[i]));
        uint64_t found;

        assert_int_equal(ff_sieve_map(sieving.sieve, 0, ends[i], map, &found), 0);
        for (uint64_t missing = 0; missing <= count; missing += missing < 90 ? 1 : count / 3 + 1) {
            size_t room = (size_t)(count - missing);
            int expected = missing == 0 ? 0 : FORKFOLD_E_LIMIT;
            uint32_t *primes = allocate(room * sizeof(*primes));
            uint64_t *wide = allocate(room * sizeof(*wide));

            assert_int_equal(ff_sieve_list_u32(sieving.sieve, 0, ends[i], primes, room, &found),
                             expected);
            assert_int_equal(ff_sieve_list_u64(sieving.sieve, 0, ends[i], wide, room, &found),
                             expected);
            assert_int_equal(ff_sieve_map_list_u32(map, 0, ends[i], primes, room, &found),
                             expected);
            assert_int_equal(ff_sieve_map_list_u64(map, 0, ends[i], wide, room, &found), expected);
            assert_int_equal(found, count);
            free(wide);
            free(primes);
        }
        free(map);
    }
    close_sieving(&sieving);
}

/* Several sieves fill one map; then parts of it are listed side by side into one array. */
static void maps_of_neighbours_make_one_list(void **state)
{
    enum { NUMBERS = 1234567, TASK_NUMBERS = 30 * 1001, TASKS = NUMBERS / TASK_NUMBERS + 1 };
    struct sieving sievings[2] = {open_sieving(NUMBERS), open_sieving(NUMBERS)};
    struct numbers primes = naive_range(0, NUMBERS);
    uint8_t *map = allocate(ff_sieve_map_bytes(0, NUMBERS));
    uint32_t *listed = allocate((size_t)primes.count * sizeof(*listed));
    uint64_t before[TASKS + 1] = {0};

    (void)state;
    for (uint64_t i = TASKS; i-- > 0;) {
        uint64_t from = i * TASK_NUMBERS;
        uint64_t to = i + 1 < TASKS ? from + TASK_NUMBERS : NUMBERS;

        assert_int_equal(ff_sieve_map(sievings[random_below(2)].sieve, from, to, map + from / 30,
                                      &before[i + 1]),
                         0);
    }
    for (size_t i = 0; i < TASKS; i++) {
        uint64_t from = (uint64_t)i * TASK_NUMBERS;
        uint64_t to = i + 1 < TASKS ? from + TASK_NUMBERS : NUMBERS;
        uint64_t count = before[i + 1];
        uint64_t found;

        before[i + 1] += before[i];
        assert_int_equal(ff_sieve_map_list_u32(map + from / 30, from, to, listed + before[i],
                                               (size_t)count, &found),
                         0);
        assert_int_equal(found, count);
    }
    assert_int_equal(before[TASKS], primes.count);
    for (size_t i = 0; i < primes.count; i++)
        assert_int_equal(listed[i], primes.values[i]);
    free(listed);
    free(map);
    free(primes.values);
    close_sieving(&sievings[0]);
    close_sieving(&sievings[1]);
}

static void base_primes_serve_wherever_they_lie(void **state)
{
    static const uint64_t limit = POWER_12;
    struct sieving first = open_sieving(limit);
    size_t bytes = ff_sieve_base_bytes(limit);
    struct sieving second = {.base = allocate(bytes)};

    (void)state;
    assert_int_equal(bytes % 8, 0);
    memcpy(second.base, first.base, bytes);
    assert_int_equal(ff_sieve_open(&second.sieve, second.base), 0);
    assert_int_equal(count_range(&first, limit - 1000000, limit),
                     count_range(&second, limit - 1000000, limit));
    close_sieving(&first);
    close_sieving(&second);
}

/* ---- No memory --------------------------------------------------------------- */

static void no_memory_for_opening_is_an_error(void **state)
{
    static const uint64_t limit = 10 * POWER_12;
    struct ff_sieve_base *base = allocate(ff_sieve_base_bytes(limit));
    struct ff_sieve *sieve = NULL;
    int code = FORKFOLD_E_MEMORY;

    (void)state;
    for (long allowed = 0; code != 0; allowed++) {
        allocations_left = allowed;
        code = ff_sieve_base_fill(base, limit);
        allocations_left = -1;
        assert_true(code == 0 || code == FORKFOLD_E_MEMORY);
        assert_true(code == FORKFOLD_E_MEMORY || allowed > 0);
    }
    code = FORKFOLD_E_MEMORY;
    for (long allowed = 0; code != 0; allowed++) {
        allocations_left = allowed;
        code = ff_sieve_open(&sieve, base);
        allocations_left = -1;
        assert_true(code == 0 || (code == FORKFOLD_E_MEMORY && sieve == NULL));
        assert_true(code == FORKFOLD_E_MEMORY || allowed > 0);
    }
    ff_sieve_close(sieve);
    free(base);
}

/* Buckets grow while it sieves; what a range that failed had begun is not gone on with. */
static void no_memory_for_a_range_leaves_a_sieve_that_works(void **state)
{
    static const uint64_t limit = 10 * POWER_12;
    struct sieving sieving = open_sieving(limit);
    uint64_t end = limit - 100000;
    uint64_t from = end / 30 * 30 - ff_sieve_segment_numbers(sieving.sieve);
    uint64_t count = 77;
    int code = FORKFOLD_E_MEMORY;

    (void)state;
    end = end / 30 * 30;
    for (long allowed = 0; code != 0; allowed += 1 + allowed / 2) {
        allocations_left = allowed;
        code = ff_sieve_count(sieving.sieve, from, end, &count);
        allocations_left = -1;
        if (code == 0)
            break;
        assert_int_equal(code, FORKFOLD_E_MEMORY);
        assert_int_equal(count, 77);
        check_small_range(&sieving, end, limit);
    }
    assert_true(count > 77);
    close_sieving(&sieving);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_small_limits_have_their_primes),
        cmocka_unit_test(all_small_ranges_have_their_primes),
        cmocka_unit_test(powers_of_ten_have_known_counts),
        cmocka_unit_test(segment_boundaries_lose_nothing),
        cmocka_unit_test(squares_of_primes_are_no_primes),
        cmocka_unit_test(random_ranges_have_their_primes),
        cmocka_unit_test(far_segments_follow_each_other),
        cmocka_unit_test(a_range_in_parts_counts_the_same),
        cmocka_unit_test(the_greatest_numbers_have_their_primes),
        cmocka_unit_test(a_range_must_make_sense),
        cmocka_unit_test(a_list_of_32_bits_ends_where_they_end),
        cmocka_unit_test(a_list_that_does_not_fit_is_an_error),
        cmocka_unit_test(maps_of_neighbours_make_one_list),
        cmocka_unit_test(base_primes_serve_wherever_they_lie),
        cmocka_unit_test(no_memory_for_opening_is_an_error),
        cmocka_unit_test(no_memory_for_a_range_leaves_a_sieve_that_works),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
