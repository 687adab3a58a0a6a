/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices beside three plain loops: shapes, strides, places, what is not a number. */
#include <float.h>
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

enum { WORKERS = 4 };

/* From here on the workers multiply: a little above what the library thinks worth it. */
enum { LARGE = 330 };

/* How a matrix lies in memory. */
enum layout {
    ROWS,           /* row behind row */
    COLUMNS,        /* column behind column */
    PADDED_ROWS,    /* with gaps between rows */
    PADDED_COLUMNS, /* with gaps between columns */
    SPARSE,         /* with gaps between all elements */
    UPSIDE_DOWN,    /* the last row first */
    BACKWARDS,      /* both ways, from the last element on */
    ONE_ROW,        /* that stands for all */
    ONE_COLUMN,     /* likewise */
    ONE_ELEMENT,    /* likewise */
    LAYOUTS,
    OUTPUT_LAYOUTS = ONE_ROW
};

/* A matrix and all the memory around it. */
struct block {
    forkfold_matrix matrix;
    forkfold_shared *shared; /* or NULL: it is the test's own memory */
    char *memory;
    size_t bytes;
    char *before; /* what the memory held */
};

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

/* ---- Matrices ------------------------------------------------------------ */

/* In long doubles every product of floats, and its sum, is nearer to the truth than in the type. */
static long double get(const forkfold_matrix *matrix, uint64_t row, uint64_t column)
{
    int64_t place = (int64_t)row * matrix->row_stride + (int64_t)column * matrix->column_stride;

    return matrix->type == FORKFOLD_F64 ? ((const double *)matrix->data)[place]
                                        : ((const float *)matrix->data)[place];
}

static void put(const forkfold_matrix *matrix, uint64_t row, uint64_t column, double number)
{
    int64_t place = (int64_t)row * matrix->row_stride + (int64_t)column * matrix->column_stride;

    if (matrix->type == FORKFOLD_F64)
        ((double *)matrix->data)[place] = number;
    else
        ((float *)matrix->data)[place] = (float)number;
}

static void set_strides(forkfold_matrix *matrix, enum layout layout)
{
    int64_t rows = (int64_t)matrix->rows;
    int64_t columns = (int64_t)matrix->columns;

    matrix->row_stride = layout == PADDED_ROWS ? columns + 3
                         : layout == SPARSE    ? 2 * columns + 1
                                               : columns;
    matrix->column_stride = layout == SPARSE ? 2 : 1;
    if (layout == COLUMNS || layout == PADDED_COLUMNS) {
        matrix->row_stride = 1;
        matrix->column_stride = layout == COLUMNS ? rows : rows + 5;
    }
    if (layout == UPSIDE_DOWN || layout == BACKWARDS)
        matrix->row_stride = -columns;
    if (layout == BACKWARDS)
        matrix->column_stride = -1;
    if (layout == ONE_ROW || layout == ONE_ELEMENT)
        matrix->row_stride = 0;
    if (layout == ONE_COLUMN || layout == ONE_ELEMENT)
        matrix->column_stride = 0;
}

/* All the memory is NaN. */
static struct block make(forkfold_pool *pool, enum forkfold_type type, uint64_t rows,
                         uint64_t columns, enum layout layout, bool is_shared)
{
    struct block block = {.matrix = {.type = type, .rows = rows, .columns = columns}};
    uint64_t around = 2 * (2 * columns + 6) * (rows + 6) + 64;
    size_t each = forkfold_type_bytes(type);

    block.bytes = around * each;
    if (is_shared) {
        assert_int_equal(forkfold_shared_open(pool, type, around, &block.shared), 0);
        block.memory = forkfold_shared_data(block.shared);
    } else {
        block.memory = malloc(block.bytes);
    }
    block.before = malloc(block.bytes);
    assert_non_null(block.memory);
    assert_non_null(block.before);
    memset(block.memory, 0xFF, block.bytes);
    set_strides(&block.matrix, layout);
    block.matrix.data = block.memory + around / 2 * each;
    return block;
}

static void drop(struct block *block)
{
    if (block->shared == NULL)
        free(block->memory);
    forkfold_shared_close(block->shared);
    free(block->before);
}

/* Integers so small that sums of thousands of products are exact in floats of 24 bits. */
static void fill_with_integers(const forkfold_matrix *matrix)
{
    for (uint64_t i = 0; i < matrix->rows; i++)
        for (uint64_t j = 0; j < matrix->columns; j++)
            put(matrix, i, j, (double)random_below(17) - 8);
}

static void fill_with_fractions(const forkfold_matrix *matrix)
{
    for (uint64_t i = 0; i < matrix->rows; i++)
        for (uint64_t j = 0; j < matrix->columns; j++)
            put(matrix, i, j, random_number(SIGNED, 0));
}

static void remember(const struct block *block)
{
    memcpy(block->before, block->memory, block->bytes);
}

/* What is not an element of the product is as it was. */
static void assert_rest_is_untouched(struct block *product)
{
    const forkfold_matrix *matrix = &product->matrix;
    forkfold_matrix before = *matrix;

    before.data = product->before + ((char *)matrix->data - product->memory);
    for (uint64_t i = 0; i < matrix->rows; i++)
        for (uint64_t j = 0; j < matrix->columns; j++)
            put(&before, i, j, (double)get(matrix, i, j));
    assert_memory_equal(product->before, product->memory, product->bytes);
}

/* ---- Exact products ------------------------------------------------------ */

static void assert_is_exact_product(const forkfold_matrix *left, const forkfold_matrix *right,
                                    const forkfold_matrix *product)
{
    for (uint64_t i = 0; i < product->rows; i++) {
        for (uint64_t j = 0; j < product->columns; j++) {
            long double sum = 0;

            for (uint64_t k = 0; k < left->columns; k++)
                sum += get(left, i, k) * get(right, k, j);
            if (get(product, i, j) != sum)
                fail_msg("element (%u, %u) is %Lg, not %Lg", (unsigned)i, (unsigned)j,
                         get(product, i, j), sum);
        }
    }
}

struct shape {
    unsigned rows;
    unsigned depth;
    unsigned columns;
};

struct places {
    enum layout left;
    enum layout right;
    enum layout product;
    bool are_shared[3];
};

static void assert_multiplies(forkfold_pool *pool, enum forkfold_type type, struct shape shape,
                              struct places places)
{
    struct block left =
        make(pool, type, shape.rows, shape.depth, places.left, places.are_shared[0]);
    struct block right =
        make(pool, type, shape.depth, shape.columns, places.right, places.are_shared[1]);
    struct block product =
        make(pool, type, shape.rows, shape.columns, places.product, places.are_shared[2]);

    fill_with_integers(&left.matrix);
    fill_with_integers(&right.matrix);
    remember(&left);
    remember(&right);
    remember(&product);
    if (forkfold_multiply_matrices(pool, &left.matrix, &right.matrix, &product.matrix) != 0)
        fail_msg("%u x %u x %u: %s", shape.rows, shape.depth, shape.columns,
                 forkfold_pool_message(pool));
    assert_is_exact_product(&left.matrix, &right.matrix, &product.matrix);
    assert_rest_is_untouched(&product);
    assert_memory_equal(left.before, left.memory, left.bytes);
    assert_memory_equal(right.before, right.memory, right.bytes);
    drop(&left);
    drop(&right);
    drop(&product);
}

static struct places random_places(void)
{
    return (struct places){
        .left = (enum layout)random_below(LAYOUTS),
        .right = (enum layout)random_below(LAYOUTS),
        .product = (enum layout)random_below(OUTPUT_LAYOUTS),
        .are_shared = {random_below(2) == 0, random_below(2) == 0, random_below(2) == 0}};
}

static void small_products_are_exact_in_all_layouts(void **state)
{
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (unsigned left = 0; left < LAYOUTS; left++)
        for (unsigned right = 0; right < LAYOUTS; right++)
            for (unsigned product = 0; product < OUTPUT_LAYOUTS; product++)
                assert_multiplies(pool, random_below(2) == 0 ? FORKFOLD_F32 : FORKFOLD_F64,
                                  (struct shape){7, 5, 6},
                                  (struct places){.left = (enum layout)left,
                                                  .right = (enum layout)right,
                                                  .product = (enum layout)product});
    for (unsigned i = 0; i < 2000; i++)
        assert_multiplies(pool, random_below(2) == 0 ? FORKFOLD_F32 : FORKFOLD_F64,
                          (struct shape){(unsigned)random_below(20), (unsigned)random_below(20),
                                         (unsigned)random_below(20)},
                          random_places());
    forkfold_pool_close(pool);
}

/* Cut into rows, into columns, into both, into sums (twice), and into rows and sums. */
static const struct shape large_shapes[] = {
    {LARGE, LARGE, LARGE}, {3001, 131, 100}, {100, 131, 3001}, {150, 1600, 151},
    {50, 12345, 45},       {17, 100003, 17}, {129, 9001, 40},
};

enum { LARGE_SHAPES = sizeof(large_shapes) / sizeof(large_shapes[0]) };

static void large_products_are_exact_wherever_they_lie(void **state)
{
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (unsigned i = 0; i < LARGE_SHAPES; i++) {
        enum forkfold_type type = i % 2 == 0 ? FORKFOLD_F64 : FORKFOLD_F32;

        assert_multiplies(pool, type, large_shapes[i],
                          (struct places){ROWS, ROWS, ROWS, {true, true, true}});
        assert_multiplies(pool, type, large_shapes[i],
                          (struct places){COLUMNS, PADDED_ROWS, COLUMNS, {true, true, true}});
        assert_multiplies(pool, type, large_shapes[i], random_places());
    }
    assert_multiplies(pool, FORKFOLD_F64, large_shapes[0],
                      (struct places){SPARSE, BACKWARDS, SPARSE, {false, true, true}});
    forkfold_pool_close(pool);
}

static int refuse_to_work(void *context)
{
    (void)context;
    return 1;
}

/* Multiplies two of these, all in shared arrays, or none. */
static int multiply_shape(forkfold_pool *pool, struct shape shape, bool are_shared)
{
    struct block left = make(pool, FORKFOLD_F64, shape.rows, shape.depth, ROWS, are_shared);
    struct block right = make(pool, FORKFOLD_F64, shape.depth, shape.columns, ROWS, are_shared);
    struct block product = make(pool, FORKFOLD_F64, shape.rows, shape.columns, ROWS, are_shared);
    int code = forkfold_multiply_matrices(pool, &left.matrix, &right.matrix, &product.matrix);

    drop(&left);
    drop(&right);
    drop(&product);
    return code;
}

/* The other tests could not tell who had multiplied. */
static void only_large_products_need_workers(void **state)
{
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = WORKERS, .initializer = refuse_to_work});

    (void)state;
    assert_int_equal(multiply_shape(pool, (struct shape){100, 100, 100}, true), 0);
    for (unsigned i = 0; i < LARGE_SHAPES; i++)
        assert_int_equal(multiply_shape(pool, large_shapes[i], true), FORKFOLD_E_INITIALIZER);
    assert_int_equal(multiply_shape(pool, (struct shape){800, 800, 800}, false),
                     FORKFOLD_E_INITIALIZER);
    /* A vector would take longer to copy than to multiply. */
    assert_int_equal(multiply_shape(pool, (struct shape){6000, 6000, 1}, false), 0);
    forkfold_pool_close(pool);
}

static void without_a_pool_the_calling_process_multiplies(void **state)
{
    (void)state;
    seed_random();
    for (unsigned i = 0; i < LARGE_SHAPES; i++)
        assert_multiplies(NULL, i % 2 == 0 ? FORKFOLD_F64 : FORKFOLD_F32, large_shapes[i],
                          (struct places){ROWS, COLUMNS, SPARSE, {false, false, false}});
    assert_int_equal(forkfold_multiply_matrices(NULL, NULL, NULL, NULL), FORKFOLD_E_INVALID);
}

/* ---- Rounding ------------------------------------------------------------ */

/*
 * A sum of n products, in any order, with or without fused operations, is off by gamma(n) times the
 * sum of their absolute values at most, where gamma(n) = n u / (1 - n u).  The one it is compared
 * with, in long doubles, has an error of its own.
 */
static void assert_is_near_product(const forkfold_matrix *left, const forkfold_matrix *right,
                                   const forkfold_matrix *product)
{
    long double n = (long double)left->columns;
    long double u = (left->type == FORKFOLD_F64 ? DBL_EPSILON : FLT_EPSILON) / 2.0L;
    long double gamma = n * u / (1 - n * u) + n * LDBL_EPSILON;

    for (uint64_t i = 0; i < product->rows; i++) {
        for (uint64_t j = 0; j < product->columns; j++) {
            long double sum = 0;
            long double size = 0;

            for (uint64_t k = 0; k < left->columns; k++) {
                sum += get(left, i, k) * get(right, k, j);
                size += fabsl(get(left, i, k) * get(right, k, j));
            }
            if (!(fabsl(get(product, i, j) - sum) <= gamma * size))
                fail_msg("element (%u, %u) is %Lg, not %Lg", (unsigned)i, (unsigned)j,
                         get(product, i, j), sum);
        }
    }
}

static void products_of_fractions_are_within_the_bound_of_their_errors(void **state)
{
    static const struct shape shapes[] = {{31, 200, 17}, {LARGE, LARGE, LARGE}};
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (unsigned i = 0; i < 4; i++) {
        enum forkfold_type type = i < 2 ? FORKFOLD_F64 : FORKFOLD_F32;
        struct shape shape = shapes[i % 2];
        struct block left = make(pool, type, shape.rows, shape.depth, ROWS, true);
        struct block right = make(pool, type, shape.depth, shape.columns, COLUMNS, true);
        struct block product = make(pool, type, shape.rows, shape.columns, ROWS, true);

        fill_with_fractions(&left.matrix);
        fill_with_fractions(&right.matrix);
        assert_int_equal(
            forkfold_multiply_matrices(pool, &left.matrix, &right.matrix, &product.matrix), 0);
        assert_is_near_product(&left.matrix, &right.matrix, &product.matrix);
        drop(&left);
        drop(&right);
        drop(&product);
    }
    forkfold_pool_close(pool);
}

/* ---- What is not a number ------------------------------------------------ */

static void assert_spreads_as_in_arithmetic(forkfold_pool *pool, unsigned n, bool are_shared)
{
    struct block left = make(pool, FORKFOLD_F64, n, n, ROWS, are_shared);
    struct block right = make(pool, FORKFOLD_F64, n, n, ROWS, are_shared);
    struct block product = make(pool, FORKFOLD_F64, n, n, ROWS, are_shared);

    for (unsigned i = 0; i < n * n; i++)
        ((double *)left.matrix.data)[i] = ((double *)right.matrix.data)[i] = 1;
    put(&left.matrix, 2, 3, NAN);      /* row 2 is NaN */
    put(&left.matrix, 4, 0, INFINITY); /* row 4 is infinite, */
    put(&right.matrix, 0, 5, 0);       /* but 0 * infinity is NaN */
    put(&right.matrix, 1, 6, -INFINITY);
    assert_int_equal(forkfold_multiply_matrices(pool, &left.matrix, &right.matrix, &product.matrix),
                     0);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < n; j++) {
            double found = (double)get(&product.matrix, i, j);

            if (i == 2 || (i == 4 && (j == 5 || j == 6)))
                assert_true(isnan(found));
            else if (i == 4)
                assert_true(isinf(found) && found > 0);
            else if (j == 6)
                assert_true(isinf(found) && found < 0);
            else
                assert_true(found == (j == 5 ? n - 1 : n));
        }
    }
    drop(&left);
    drop(&right);
    drop(&product);
}

static void what_is_not_a_number_spreads_as_in_arithmetic(void **state)
{
    forkfold_pool *pool = open_pool();

    (void)state;
    assert_spreads_as_in_arithmetic(pool, 9, false);
    assert_spreads_as_in_arithmetic(pool, LARGE, true);
    forkfold_pool_close(pool);
}

/* ---- Edges --------------------------------------------------------------- */

static void product_may_be_one_of_the_factors(void **state)
{
    static const unsigned sizes[] = {12, LARGE};
    forkfold_pool *pool = open_pool();

    (void)state;
    seed_random();
    for (unsigned i = 0; i < 4; i++) {
        unsigned n = sizes[i % 2];
        struct block left = make(pool, FORKFOLD_F64, n, n, ROWS, i >= 2);
        struct block copy = make(pool, FORKFOLD_F64, n, n, ROWS, false);

        fill_with_integers(&left.matrix);
        memcpy(copy.memory, left.memory, left.bytes);
        /* Both factors and the product are one; then the product lies a row further down. */
        assert_int_equal(forkfold_multiply_matrices(pool, &left.matrix, &left.matrix, &left.matrix),
                         0);
        assert_is_exact_product(&copy.matrix, &copy.matrix, &left.matrix);
        memcpy(left.memory, copy.memory, left.bytes);

        forkfold_matrix below = left.matrix;

        below.data = (double *)left.matrix.data + n;
        assert_int_equal(forkfold_multiply_matrices(pool, &left.matrix, &copy.matrix, &below), 0);
        assert_is_exact_product(&copy.matrix, &copy.matrix, &below);
        drop(&left);
        drop(&copy);
    }
    forkfold_pool_close(pool);
}

static void product_without_an_inner_dimension_is_zero(void **state)
{
    forkfold_pool *pool = open_pool();
    double numbers[] = {NAN, 7, NAN, 7, NAN, 7, NAN, 7};
    forkfold_matrix left = forkfold_matrix_of(NULL, FORKFOLD_F64, 2, 0);
    forkfold_matrix right = forkfold_matrix_of(NULL, FORKFOLD_F64, 0, 2);
    forkfold_matrix product = {numbers, FORKFOLD_F64, 2, 2, 4, 2};

    (void)state;
    assert_int_equal(forkfold_multiply_matrices(pool, &left, &right, &product), 0);
    for (unsigned i = 0; i < 8; i += 2)
        assert_true(numbers[i] == 0 && !signbit(numbers[i]) && numbers[i + 1] == 7);
    product = forkfold_matrix_of(NULL, FORKFOLD_F64, 0, 0);
    assert_int_equal(forkfold_multiply_matrices(pool, &right, &left, &product), 0);
    left = forkfold_matrix_of(NULL, FORKFOLD_F64, 0, 0);
    assert_int_equal(forkfold_multiply_matrices(pool, &left, &right,
                                                &(forkfold_matrix){NULL, FORKFOLD_F64, 0, 2, 2, 1}),
                     0);
    forkfold_pool_close(pool);
}

/* ---- Refusals ------------------------------------------------------------ */

static void assert_refused(forkfold_pool *pool, const forkfold_matrix *left,
                           const forkfold_matrix *right, const forkfold_matrix *product, int code,
                           const char *sentence)
{
    assert_int_equal(forkfold_multiply_matrices(pool, left, right, product), code);
    if (strstr(forkfold_pool_message(pool), sentence) == NULL)
        fail_msg("'%s' is not in '%s'", sentence, forkfold_pool_message(pool));
}

static void shapes_that_do_not_go_together_are_named(void **state)
{
    forkfold_pool *pool = open_pool();
    double numbers[12] = {0};
    forkfold_matrix left = forkfold_matrix_of(numbers, FORKFOLD_F64, 3, 4);
    forkfold_matrix right = forkfold_matrix_of(numbers, FORKFOLD_F64, 4, 2);
    double result[12];
    forkfold_matrix product = forkfold_matrix_of(result, FORKFOLD_F64, 3, 2);

    (void)state;
    memset(result, 0xFF, sizeof(result));
    assert_refused(pool, &left, &left, &product, FORKFOLD_E_INVALID,
                   "a 3 x 4 matrix cannot be multiplied by a 3 x 4 one");
    product.rows = 2;
    assert_refused(pool, &left, &right, &product, FORKFOLD_E_INVALID,
                   "the product of a 3 x 4 and a 4 x 2 matrix is 3 x 2, not 2 x 2");
    product.rows = 3;
    product.type = FORKFOLD_F32;
    assert_refused(pool, &left, &right, &product, FORKFOLD_E_INVALID,
                   "the product is not of the same type");
    left.type = FORKFOLD_I32;
    assert_refused(pool, &left, &right, &product, FORKFOLD_E_INVALID,
                   "the left matrix has to be of type f32 or f64");
    assert_refused(pool, NULL, &right, &product, FORKFOLD_E_INVALID, "there is no left matrix");
    assert_refused(pool, &right, &right, NULL, FORKFOLD_E_INVALID, "there is no product");
    for (unsigned i = 0; i < 12; i++)
        assert_true(isnan(result[i]));
    forkfold_pool_close(pool);
}

static void matrices_that_cannot_be_are_refused(void **state)
{
    forkfold_pool *pool = open_pool();
    double numbers[12] = {0};
    forkfold_matrix good = forkfold_matrix_of(numbers, FORKFOLD_F64, 2, 2);
    forkfold_matrix product = forkfold_matrix_of(numbers + 4, FORKFOLD_F64, 2, 2);
    forkfold_matrix bad = good;

    (void)state;
    bad.data = NULL;
    assert_refused(pool, &good, &bad, &product, FORKFOLD_E_INVALID, "no right matrix of 2 x 2");
    bad.data = (char *)numbers + 4;
    assert_refused(pool, &bad, &good, &product, FORKFOLD_E_INVALID, "not aligned");
    bad = good;
    bad.row_stride = INT64_MAX;
    assert_refused(pool, &bad, &good, &product, FORKFOLD_E_INVALID, "larger than any memory");
    bad.row_stride = INT64_MIN;
    assert_refused(pool, &bad, &good, &product, FORKFOLD_E_INVALID, "larger than any memory");
    bad = forkfold_matrix_of(numbers, FORKFOLD_F64, UINT64_C(1) << 31, 2);
    product.rows = bad.rows;
    assert_refused(pool, &bad, &good, &product, FORKFOLD_E_LIMIT, "2147483648 x 2");
    /* All of one element, and without gaps beyond all memory. */
    bad = (forkfold_matrix){numbers, FORKFOLD_F64, INT32_MAX, INT32_MAX, 0, 0};
    assert_refused(pool, &bad, &bad, &bad, FORKFOLD_E_INVALID, "larger than any memory");
    product = (forkfold_matrix){numbers + 4, FORKFOLD_F64, 2, 2, 0, 1};
    assert_refused(pool, &good, &good, &product, FORKFOLD_E_INVALID,
                   "elements of the product overlap: it is 2 x 2 with strides 0 and 1");
    product = (forkfold_matrix){numbers + 4, FORKFOLD_F64, 2, 2, 1, 1};
    assert_refused(pool, &good, &good, &product, FORKFOLD_E_INVALID, "overlap");
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_products_are_exact_in_all_layouts),
        cmocka_unit_test(large_products_are_exact_wherever_they_lie),
        cmocka_unit_test(only_large_products_need_workers),
        cmocka_unit_test(without_a_pool_the_calling_process_multiplies),
        cmocka_unit_test(products_of_fractions_are_within_the_bound_of_their_errors),
        cmocka_unit_test(what_is_not_a_number_spreads_as_in_arithmetic),
        cmocka_unit_test(product_may_be_one_of_the_factors),
        cmocka_unit_test(product_without_an_inner_dimension_is_zero),
        cmocka_unit_test(shapes_that_do_not_go_together_are_named),
        cmocka_unit_test(matrices_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
