/* SPDX-License-Identifier: Apache-2.0 */
/* A function mapped over doubles, beside the C library's sine and cosine one by one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold.h>

#include "random_numbers.h"
#include "same_double.h"

enum { WORKERS = 3, MANY = 4096 * WORKERS * 8 * 2 + 17 };

/* What the compiler does not know: it cannot compute both at once. */
static double (*volatile library_sin)(double) = sin;
static double (*volatile library_cos)(double) = cos;

static double expected_at(double x)
{
    volatile double square = x * x;
    volatile double product = library_sin(x) * library_cos(x);

    return square + product;
}

static forkfold_pool *open_pool_with(const forkfold_pool_options *options)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    if (forkfold_pool_open(&pool, options, message, sizeof(message)) != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

static forkfold_pool *open_pool(void)
{
    return open_pool_with(&(forkfold_pool_options){.workers = WORKERS});
}

/* Ordinary numbers, and those that are far away, tiny, or none. */
static void fill(double *numbers, uint64_t count)
{
    static const double special[] = {0.0, -0.0, NAN, INFINITY, -INFINITY, 0x1p-1074, 1e308, 1e22};

    for (uint64_t i = 0; i < count; i++) {
        size_t kind = random_below(20);

        numbers[i] = kind == 0   ? special[random_below(sizeof(special) / sizeof(special[0]))]
                     : kind < 4  ? random_any()
                     : kind < 10 ? random_sign() * random_unit()
                                 : random_sign() * random_unit() * 1000;
    }
}

static void assert_is_curve(const double *input, const double *output, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_same_double(output[i], expected_at(input[i]));
}

/* Input and output with a number beside each, which must stay as it is. */
static void assert_maps(forkfold_pool *pool, uint64_t count, bool input_is_shared,
                        bool output_is_shared)
{
    forkfold_shared *shared[2] = {NULL, NULL};
    bool is_shared[2] = {input_is_shared, output_is_shared};
    double *numbers[2];
    double *before = malloc((count + 2) * sizeof(*before));

    assert_non_null(before);
    for (int i = 0; i < 2; i++) {
        if (is_shared[i])
            assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, count + 2, &shared[i]), 0);
        numbers[i] = is_shared[i] ? forkfold_shared_data(shared[i])
                                  : malloc((count + 2) * sizeof(*numbers[i]));
        assert_non_null(numbers[i]);
        fill(numbers[i], count + 2);
    }
    numbers[1][0] = numbers[1][count + 1] = 17;
    memcpy(before, numbers[0], (count + 2) * sizeof(*before));
    assert_int_equal(forkfold_map_curve(pool, numbers[0] + 1, count, numbers[1] + 1), 0);
    assert_is_curve(before + 1, numbers[1] + 1, count);
    assert_memory_equal(numbers[0], before, (count + 2) * sizeof(*before));
    assert_true(numbers[1][0] == 17 && numbers[1][count + 1] == 17);
    for (int i = 0; i < 2; i++) {
        if (!is_shared[i])
            free(numbers[i]);
        forkfold_shared_close(shared[i]);
    }
    free(before);
}

static void results_are_bit_for_bit_those_of_the_c_library(void **state)
{
    static const uint64_t counts[] = {0, 1, 4095, 4096, 4097, 8192, 8193, MANY};
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        for (unsigned places = 0; places < 4; places++)
            assert_maps(pool, counts[i], places % 2 == 1, places >= 2);
    forkfold_pool_close(pool);
}

static void assert_maps_shifted(forkfold_pool *pool, uint64_t count, uint64_t shift, bool up)
{
    forkfold_shared *shared = NULL;
    double *before = malloc(count * sizeof(*before));
    double *numbers;

    assert_non_null(before);
    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, count + shift, &shared), 0);
    numbers = forkfold_shared_data(shared);
    fill(numbers, count + shift);
    memcpy(before, numbers + (up ? 0 : shift), count * sizeof(*before));
    assert_int_equal(
        forkfold_map_curve(pool, numbers + (up ? 0 : shift), count, numbers + (up ? shift : 0)), 0);
    assert_is_curve(before, numbers + (up ? shift : 0), count);
    forkfold_shared_close(shared);
    free(before);
}

static void arrays_may_overlap(void **state)
{
    static const uint64_t counts[] = {100, MANY};
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (size_t i = 0; i < 2; i++) {
        assert_maps_shifted(pool, counts[i], 0, true);
        assert_maps_shifted(pool, counts[i], 1, true);
        assert_maps_shifted(pool, counts[i], 1, false);
        assert_maps_shifted(pool, counts[i], counts[i] / 2, true);
    }
    forkfold_pool_close(pool);
}

static int refuse_to_work(void *context)
{
    (void)context;
    return 1;
}

/* The other tests could not tell who had computed. */
static void only_many_numbers_need_workers(void **state)
{
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = WORKERS, .initializer = refuse_to_work});
    double *numbers = calloc(MANY, sizeof(*numbers));

    (void)state;
    assert_non_null(numbers);
    assert_int_equal(forkfold_map_curve(pool, numbers, 4096, numbers), 0);
    assert_int_equal(forkfold_map_curve(pool, numbers, MANY, numbers), FORKFOLD_E_INITIALIZER);
    free(numbers);
    forkfold_pool_close(pool);
}

static void bad_arguments_are_refused(void **state)
{
    forkfold_pool *pool = open_pool();
    double number = 1;

    (void)state;
    assert_int_equal(forkfold_map_curve(pool, NULL, 0, NULL), 0);
    assert_int_equal(forkfold_map_curve(pool, NULL, 1, &number), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_map_curve(pool, &number, 1, NULL), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_map_curve(pool, &number, UINT64_MAX / 8 + 1, &number),
                     FORKFOLD_E_INVALID);
    assert_non_null(strstr(forkfold_pool_message(pool), "larger than any memory"));
    assert_true(number == 1);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_bit_for_bit_those_of_the_c_library),
        cmocka_unit_test(arrays_may_overlap),
        cmocka_unit_test(only_many_numbers_need_workers),
        cmocka_unit_test(bad_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
