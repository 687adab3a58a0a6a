/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices: what is asked for, who multiplies, and copies of what cannot be used where it
 * lies.
 */
#include <forkfold/matrices.h>

#include <limits.h>
#include <stdlib.h>

#include "jobs/matrix_blocks.h"
#include "jobs/matrix_view.h"
#include "pool/call.h"
#include "pool/shared_array.h"

enum { PROBLEM_BYTES = 400 };

/*
 * Multiplications from which two workers beat one call: a call of the pool takes some 40 us, in
 * which a processor does a million of them, and what it computes meanwhile is not in its cache.
 */
#define OPERATIONS_LEAST (300.0 * 300 * 300)

/* Multiplications for each element that is copied for the workers, so that it is worth it. */
#define OPERATIONS_PER_COPY 128

/* ---- Checking ------------------------------------------------------------ */

static int check_type(forkfold_pool *pool, const forkfold_matrix *matrix, const char *name,
                      enum forkfold_type type)
{
    if (matrix->type != FORKFOLD_F32 && matrix->type != FORKFOLD_F64)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "the %s has to be of type f32 or f64", name);
    if (matrix->type != type)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "the %s is not of the same type as the left matrix", name);
    return 0;
}

static int check_matrix(forkfold_pool *pool, const forkfold_matrix *matrix, const char *name)
{
    struct ff_matrix_extent extent;
    unsigned long long rows = matrix->rows;
    unsigned long long columns = matrix->columns;

    if (rows > INT_MAX || columns > INT_MAX)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_LIMIT,
                            "the %s is %llu x %llu; rows and columns up to %d are possible", name,
                            rows, columns, INT_MAX);
    if (!ff_matrix_is_empty(matrix) && matrix->data == NULL)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "there is no %s of %llu x %llu at NULL", name, rows, columns);
    if ((uintptr_t)matrix->data % forkfold_type_bytes(matrix->type) != 0)
        return ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "the %s is not aligned as its type is", name);
    if (!ff_matrix_find_extent(matrix, &extent))
        return ff_error_set(
            ff_call_error(pool), FORKFOLD_E_INVALID,
            "the %s, %llu x %llu with strides %lld and %lld, is larger than any memory", name, rows,
            columns, (long long)matrix->row_stride, (long long)matrix->column_stride);
    return 0;
}

static int check_shapes(forkfold_pool *pool, const forkfold_matrix *left,
                        const forkfold_matrix *right, const forkfold_matrix *product)
{
    if (left->columns != right->rows)
        return ff_error_set(
            ff_call_error(pool), FORKFOLD_E_INVALID,
            "a %llu x %llu matrix cannot be multiplied by a %llu x %llu one: it has "
            "%llu columns, the other %llu rows",
            (unsigned long long)left->rows, (unsigned long long)left->columns,
            (unsigned long long)right->rows, (unsigned long long)right->columns,
            (unsigned long long)left->columns, (unsigned long long)right->rows);
    if (product->rows != left->rows || product->columns != right->columns)
        return ff_error_set(
            ff_call_error(pool), FORKFOLD_E_INVALID,
            "the product of a %llu x %llu and a %llu x %llu matrix is %llu x %llu, not %llu x %llu",
            (unsigned long long)left->rows, (unsigned long long)left->columns,
            (unsigned long long)right->rows, (unsigned long long)right->columns,
            (unsigned long long)left->rows, (unsigned long long)right->columns,
            (unsigned long long)product->rows, (unsigned long long)product->columns);
    return 0;
}

static int check_place(forkfold_pool *pool, const forkfold_matrix *product)
{
    struct ff_matrix_extent extent;

    if (pool == NULL)
        return 0;
    (void)ff_matrix_find_extent(product, &extent); /* it has been checked */
    return extent.bytes > 0 ? ff_shared_check_output(pool, extent.first, extent.bytes) : 0;
}

static int check(forkfold_pool *pool, const forkfold_matrix *left, const forkfold_matrix *right,
                 const forkfold_matrix *product)
{
    const forkfold_matrix *const matrices[] = {left, right, product};
    static const char *const names[] = {"left matrix", "right matrix", "product"};
    int code = pool == NULL ? 0 : ff_call_check(pool);

    for (int i = 0; i < 3 && code == 0; i++) {
        if (matrices[i] == NULL) {
            ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID, "there is no %s", names[i]);
            return FORKFOLD_E_INVALID;
        }
    }
    for (int i = 0; i < 3 && code == 0; i++)
        code = check_type(pool, matrices[i], names[i], left->type);
    if (code == 0)
        code = check_shapes(pool, left, right, product);
    for (int i = 0; i < 3 && code == 0; i++)
        code = check_matrix(pool, matrices[i], names[i]);
    if (code == 0 && !ff_matrix_is_disjoint(product))
        code = ff_error_set(ff_call_error(pool), FORKFOLD_E_INVALID,
                            "elements of the product overlap: it is %llu x %llu with strides %lld "
                            "and %lld",
                            (unsigned long long)product->rows, (unsigned long long)product->columns,
                            (long long)product->row_stride, (long long)product->column_stride);
    return code == 0 ? check_place(pool, product) : code;
}

/* ---- Matrices where they are needed -------------------------------------- */

/* A matrix of a product, and the copy that stands for it, if it needs one. */
struct side {
    forkfold_matrix given;
    forkfold_matrix used;
    struct ff_blas_operand operand; /* of used */
    forkfold_shared *shared;        /* a copy for workers, or NULL */
    void *own;                      /* a copy for this process, or NULL */
};

/* A product that is to be computed.  It runs across: OpenBLAS writes rows. */
struct work {
    forkfold_pool *pool;
    struct side left;
    struct side right;
    struct side product;
    bool in_workers;
};

static struct ff_matrix_extent extent_of(const forkfold_matrix *matrix)
{
    struct ff_matrix_extent extent;

    (void)ff_matrix_find_extent(matrix, &extent); /* it has been checked */
    return extent;
}

/* Whether whoever multiplies can reach it where it lies. */
static bool is_in_reach(const struct work *work, const forkfold_matrix *matrix)
{
    struct ff_matrix_extent extent = extent_of(matrix);

    return !work->in_workers || ff_is_shared(work->pool, extent.first, extent.bytes);
}

static int make_room(struct work *work, struct side *side)
{
    uint64_t count = side->given.rows * side->given.columns;
    void *data;

    if (work->in_workers) {
        int code = forkfold_shared_open(work->pool, side->given.type, count, &side->shared);

        if (code < 0)
            return code;
        data = forkfold_shared_data(side->shared);
    } else {
        data = side->own = malloc(count * forkfold_type_bytes(side->given.type));
        if (data == NULL)
            return ff_error_set(ff_call_error(work->pool), FORKFOLD_E_MEMORY,
                                "no memory for the copy of a matrix");
    }
    side->used = ff_matrix_packed(&side->given, data);
    (void)ff_matrix_as_operand(&side->used, &side->operand);
    return 0;
}

static int take_factor(struct work *work, struct side *side)
{
    int code;

    side->used = side->given;
    if (ff_matrix_as_operand(&side->given, &side->operand) && is_in_reach(work, &side->given))
        return 0;
    code = make_room(work, side);
    if (code == 0)
        ff_matrix_copy(&side->used, &side->given);
    return code;
}

static bool overlap(const struct side *a, const struct side *b)
{
    struct ff_matrix_extent extent_a = extent_of(&a->used);
    struct ff_matrix_extent extent_b = extent_of(&b->used);

    return ff_matrix_extents_overlap(&extent_a, &extent_b);
}

static int take_product(struct work *work)
{
    struct side *product = &work->product;

    product->used = product->given;
    if (ff_matrix_as_operand(&product->given, &product->operand) &&
        !product->operand.is_transposed && is_in_reach(work, &product->given) &&
        !overlap(product, &work->left) && !overlap(product, &work->right))
        return 0;
    return make_room(work, product);
}

static bool is_copy(const struct side *side)
{
    return side->shared != NULL || side->own != NULL;
}

static void free_side(struct side *side)
{
    forkfold_shared_close(side->shared);
    free(side->own);
}

/* ---- The product --------------------------------------------------------- */

static int multiply(struct work *work)
{
    int code = take_factor(work, &work->left);

    if (code == 0)
        code = take_factor(work, &work->right);
    if (code == 0)
        code = take_product(work);
    if (code < 0)
        return code;

    struct ff_blas_call call = {.type = work->product.given.type,
                                .rows = (int)work->product.given.rows,
                                .columns = (int)work->product.given.columns,
                                .depth = (int)work->left.given.columns,
                                .left = work->left.operand,
                                .right = work->right.operand,
                                .product = work->product.used.data,
                                .product_stride = work->product.operand.stride};

    if (work->in_workers)
        code = ff_matrix_multiply_blocks(work->pool, &call);
    else
        ff_blas_multiply(&call);
    if (code == 0 && is_copy(&work->product))
        ff_matrix_copy(&work->product.given, &work->product.used);
    return code;
}

/* Elements that would have to be copied for workers. */
static uint64_t count_copied(const struct work *work)
{
    const forkfold_matrix *const matrices[] = {&work->left.given, &work->right.given,
                                               &work->product.given};
    uint64_t count = 0;

    for (int i = 0; i < 3; i++) {
        struct ff_matrix_extent extent = extent_of(matrices[i]);

        if (!ff_is_shared(work->pool, extent.first, extent.bytes))
            count += matrices[i]->rows * matrices[i]->columns;
    }
    return count;
}

static bool is_for_workers(const struct work *work)
{
    double operations = (double)work->left.given.rows * (double)work->left.given.columns *
                        (double)work->right.given.columns;

    return work->pool != NULL && forkfold_pool_workers(work->pool) > 1 &&
           operations >= OPERATIONS_LEAST &&
           operations >= (double)count_copied(work) * OPERATIONS_PER_COPY;
}

int forkfold_multiply_matrices(forkfold_pool *pool, const forkfold_matrix *left,
                               const forkfold_matrix *right, const forkfold_matrix *product)
{
    struct work work = {.pool = pool};
    char problem[PROBLEM_BYTES];
    int code = check(pool, left, right, product);

    if (code < 0)
        return code;
    code = ff_blas_load(problem, sizeof(problem));
    if (code < 0)
        return ff_error_set(ff_call_error(pool), code, "%s", problem);
    if (ff_matrix_is_empty(left) || ff_matrix_is_empty(right)) {
        ff_matrix_clear(product);
        return 0;
    }
    work.left.given = *left;
    work.right.given = *right;
    work.product.given = *product;
    if (ff_matrix_runs_down(product)) {
        work.left.given = forkfold_matrix_transposed(right);
        work.right.given = forkfold_matrix_transposed(left);
        work.product.given = forkfold_matrix_transposed(product);
    }
    work.in_workers = is_for_workers(&work);
    code = multiply(&work);
    free_side(&work.left);
    free_side(&work.right);
    free_side(&work.product);
    return code;
}
