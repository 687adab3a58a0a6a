/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "jobs/order_key.h"
#include "jobs/selection.h"
#include "number_cases.h"
#include "random_numbers.h"
#include "same_double.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { NUMBERS_MAX = 20000 };

/* Numbers of one type or the other. */
struct numbers {
    const double *f64;
    const int64_t *i64;
    size_t count;
};

static uint64_t key_at(const struct numbers *numbers, size_t i)
{
    return ff_order_key(numbers->f64 ? ff_signed_key_f64(numbers->f64[i]) : numbers->i64[i]);
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

static void sort_keys(const struct numbers *numbers, uint64_t *keys)
{
    for (size_t i = 0; i < numbers->count; i++)
        keys[i] = key_at(numbers, i);
    qsort(keys, numbers->count, sizeof(*keys), compare_keys);
}

/* A walk over the numbers in parts of any size, in any order. */
static void walk_to_count(const struct ff_selection *selection, const struct numbers *numbers,
                          uint64_t *buckets)
{
    size_t from = 0;

    while (from < numbers->count) {
        size_t some = 1 + random_below(numbers->count - from);

        if (numbers->f64)
            ff_selection_count_f64(selection, numbers->f64 + from, some, buckets);
        else
            ff_selection_count_i64(selection, numbers->i64 + from, some, buckets);
        from += some;
    }
}

static struct ff_gathered walk_to_gather(const struct ff_selection *selection,
                                         const struct numbers *numbers, uint64_t *keys,
                                         size_t capacity)
{
    struct ff_gathered all = {.count = 0, .above = UINT64_MAX};
    size_t from = 0;

    while (from < numbers->count) {
        size_t some = 1 + random_below(numbers->count - from);
        struct ff_gathered part;

        if (numbers->f64)
            part = ff_selection_gather_f64(selection, numbers->f64 + from, some, keys + all.count,
                                           capacity - all.count);
        else
            part = ff_selection_gather_i64(selection, numbers->i64 + from, some, keys + all.count,
                                           capacity - all.count);
        /* Of a range that is a single key only what is above it is wanted. */
        if (selection->low < selection->high)
            all.count += part.count;
        if (part.above < all.above)
            all.above = part.above;
        from += some;
    }
    return all;
}

static void assert_selects(const struct numbers *numbers, const uint64_t *sorted, uint64_t rank,
                           size_t capacity)
{
    static uint64_t keys[NUMBERS_MAX];
    struct ff_selection selection;
    struct ff_gathered gathered;
    uint64_t found;
    uint64_t next;

    ff_selection_init(&selection, sorted[0], sorted[numbers->count - 1], numbers->count, rank);
    for (unsigned walks = 1; ff_selection_is_wide(&selection, capacity); walks++) {
        uint64_t buckets[FF_SELECTION_BUCKETS] = {0};

        assert_in_range(walks, 1, 6);
        walk_to_count(&selection, numbers, buckets);
        assert_int_equal(ff_selection_narrow(&selection, buckets), 0);
        assert_in_range(sorted[rank], selection.low, selection.high);
    }
    gathered = walk_to_gather(&selection, numbers, keys, capacity);
    assert_int_equal(
        ff_selection_finish(&selection, keys, gathered.count, gathered.above, &found, &next), 0);
    assert_true(found == sorted[rank]);
    if (rank + 1 < numbers->count)
        assert_true(next == sorted[rank + 1]);
}

static void assert_selects_any_rank(const struct numbers *numbers)
{
    static const size_t capacities[] = {1, 2, 100, NUMBERS_MAX};
    static uint64_t sorted[NUMBERS_MAX];

    sort_keys(numbers, sorted);
    for (size_t i = 0; i < COUNT_OF(capacities); i++) {
        assert_selects(numbers, sorted, 0, capacities[i]);
        assert_selects(numbers, sorted, numbers->count - 1, capacities[i]);
        assert_selects(numbers, sorted, ff_median_rank(numbers->count), capacities[i]);
        assert_selects(numbers, sorted, random_below(numbers->count), capacities[i]);
    }
}

static void doubles_of_every_rank_are_found(void **state)
{
    static double numbers[NUMBERS_MAX];

    (void)state;
    for (size_t i = 0; i < 6 * NUMBER_KINDS; i++) {
        size_t count = 1 + random_below(i % 2 == 0 ? 20 : NUMBERS_MAX);

        fill_randomly(numbers, count, (enum number_kind)(i % NUMBER_KINDS));
        if (i % 3 == 0)
            numbers[random_below(count)] = i % 2 == 0 ? INFINITY : -INFINITY;
        assert_selects_any_rank(&(struct numbers){.f64 = numbers, .count = count});
    }
}

/* From one value to all 64 bits, often at an end of the type. */
static void integers_of_every_rank_are_found(void **state)
{
    static int64_t numbers[NUMBERS_MAX];

    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        size_t count = 1 + random_below(bits % 2 == 0 ? 20 : 3000);
        uint64_t mask = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
        uint64_t base = bits % 3 == 0 ? (uint64_t)INT64_MAX - mask : (uint64_t)INT64_MIN;

        for (size_t i = 0; i < count; i++)
            numbers[i] = (int64_t)(base + (random_u64() & mask));
        numbers[random_below(count)] = (int64_t)(base + mask);
        assert_selects_any_rank(&(struct numbers){.i64 = numbers, .count = count});
    }
}

static void two_clusters_far_apart_are_told_apart(void **state)
{
    static double numbers[NUMBERS_MAX];

    (void)state;
    for (size_t i = 0; i < NUMBERS_MAX; i++)
        numbers[i] = (i % 2 == 0 ? -1e300 : 1e300) * (1 + random_unit());
    assert_selects_any_rank(&(struct numbers){.f64 = numbers, .count = NUMBERS_MAX});
}

static uint64_t key_of(double number)
{
    return ff_order_key(ff_signed_key_f64(number));
}

static void keys_are_in_the_order_of_their_numbers(void **state)
{
    static const double ascending[] = {-NAN, -INFINITY, -DBL_MAX, -1, -DBL_MIN, -0x1p-1074, -0.0,
                                       0.0,  0x1p-1074, DBL_MIN,  1,  DBL_MAX,  INFINITY,   NAN};

    (void)state;
    for (size_t i = 0; i + 1 < COUNT_OF(ascending); i++) {
        assert_true(key_of(ascending[i]) < key_of(ascending[i + 1]));
        assert_same_double(ff_signed_key_to_f64(ff_signed_key_f64(ascending[i])), ascending[i]);
    }
    assert_true(ff_order_key(INT64_MIN) == 0);
    assert_true(ff_order_key(-1) < ff_order_key(0));
    assert_true(ff_order_key(INT64_MAX) == UINT64_MAX);
    assert_int_equal(ff_order_key_to_signed(ff_order_key(-7)), -7);
}

static double median_f64(double a, double b)
{
    return ff_median_f64(key_of(a), key_of(b));
}

static double median_i64(int64_t a, int64_t b)
{
    return ff_median_i64(ff_order_key(a), ff_order_key(b));
}

static void medians_are_those_of_python(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(number_cases); i++) {
        const struct number_case *given = &number_cases[i];
        uint64_t sorted[COUNT_OF(given->numbers)];

        sort_keys(&(struct numbers){.f64 = given->numbers, .count = given->count}, sorted);
        assert_same_double(
            ff_median_f64(sorted[ff_median_rank(given->count)], sorted[given->count / 2]),
            given->median);
    }
}

static void medians_of_two_are_rounded_once(void **state)
{
    (void)state;
    assert_same_double(median_f64(1, 2), 1.5);
    assert_same_double(median_f64(DBL_MAX, DBL_MAX), DBL_MAX);
    assert_same_double(median_f64(0x1p1023, DBL_MAX), 0x1.8p1023);
    assert_same_double(median_f64(0.0, 0x1p-1074), 0.0);
    assert_same_double(median_f64(0x1p-1074, 0x1p-1073), 0x1p-1073);
    assert_same_double(median_f64(-0.0, -0.0), -0.0);
    assert_same_double(median_f64(-0.0, 0.0), 0.0);
    assert_same_double(median_f64(1, INFINITY), INFINITY);
    assert_same_double(median_f64(-INFINITY, INFINITY), NAN);
    assert_same_double(median_i64(1, 2), 1.5);
    assert_same_double(median_i64(-2, 1), -0.5);
    assert_same_double(median_i64(INT64_MIN, INT64_MAX), -0.5);
    assert_same_double(median_i64(INT64_MAX, INT64_MAX), 0x1p63);
    assert_same_double(median_i64(INT64_MIN, INT64_MIN), -0x1p63);
    /* 2^53 + 1 + 2^53 + 2 halved lies nearer to 2^53 + 2, though the sum rounded would be a tie. */
    assert_same_double(median_i64((INT64_C(1) << 53) + 1, (INT64_C(1) << 53) + 2), 0x1p53 + 2);
}

static void more_keys_than_room_are_counted_only(void **state)
{
    static const double numbers[] = {5, 1, 4, 2, 3, 9, 7};
    uint64_t keys[3] = {0, 0, 42};
    struct ff_selection selection;
    struct ff_gathered gathered;

    (void)state;
    ff_selection_init(&selection, key_of(2), key_of(5), 4, 0);
    gathered = ff_selection_gather_f64(&selection, numbers, COUNT_OF(numbers), keys, 2);
    assert_int_equal(gathered.count, 4);
    assert_true(gathered.above == key_of(7));
    assert_true(keys[0] == key_of(5) && keys[1] == key_of(4));
    assert_int_equal(keys[2], 42);
}

static void damaged_parts_are_refused(void **state)
{
    uint64_t buckets[FF_SELECTION_BUCKETS] = {0};
    uint64_t keys[] = {5, 6, 8};
    uint64_t found = 42;
    uint64_t next = 42;
    struct ff_selection selection;

    (void)state;
    ff_selection_init(&selection, 5, 8, 3, 1);
    assert_int_equal(ff_selection_narrow(&selection, buckets), FORKFOLD_E_DAMAGED);
    buckets[0] = 4;
    assert_int_equal(ff_selection_narrow(&selection, buckets), FORKFOLD_E_DAMAGED);
    buckets[1] = UINT64_MAX;
    assert_int_equal(ff_selection_narrow(&selection, buckets), FORKFOLD_E_DAMAGED);
    memset(buckets, 0, sizeof(buckets));
    buckets[4] = 3; /* past the range */
    assert_int_equal(ff_selection_narrow(&selection, buckets), FORKFOLD_E_DAMAGED);
    assert_int_equal(ff_selection_finish(&selection, keys, 2, 9, &found, &next),
                     FORKFOLD_E_DAMAGED);
    keys[2] = 9;
    assert_int_equal(ff_selection_finish(&selection, keys, 3, 10, &found, &next),
                     FORKFOLD_E_DAMAGED);
    assert_int_equal(found, 42);
    keys[2] = 8;
    assert_int_equal(ff_selection_finish(&selection, keys, 3, 9, &found, &next), 0);
    assert_int_equal(found, 6);
    assert_int_equal(next, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_of_every_rank_are_found),
        cmocka_unit_test(integers_of_every_rank_are_found),
        cmocka_unit_test(two_clusters_far_apart_are_told_apart),
        cmocka_unit_test(keys_are_in_the_order_of_their_numbers),
        cmocka_unit_test(medians_are_those_of_python),
        cmocka_unit_test(medians_of_two_are_rounded_once),
        cmocka_unit_test(more_keys_than_room_are_counted_only),
        cmocka_unit_test(damaged_parts_are_refused),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
