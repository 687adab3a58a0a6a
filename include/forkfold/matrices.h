/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices, by OpenBLAS: a small product by one call of it in the calling process, a
 * large one in blocks, by the workers of a pool.
 *
 * OpenBLAS is loaded at the first product.  It computes with one thread in each process, unless
 * OPENBLAS_NUM_THREADS, GOTO_NUM_THREADS or OMP_NUM_THREADS is in the environment; one that the
 * calling process had loaded before keeps its threads there.
 */
#ifndef FORKFOLD_MATRICES_H
#define FORKFOLD_MATRICES_H

#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>
#include <forkfold/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Element (i, j) lies i * row_stride + j * column_stride elements behind data, in either direction:
 * strides may be negative, and 0 where one row, or one column, stands for all.
 */
typedef struct forkfold_matrix {
    void *data;              /* element (0, 0), aligned as its type is; only a product is written */
    enum forkfold_type type; /* FORKFOLD_F32 or FORKFOLD_F64 */
    uint64_t rows;
    uint64_t columns;
    int64_t row_stride;    /* elements from one row to the next */
    int64_t column_stride; /* elements from one column to the next */
} forkfold_matrix;

/* Row behind row, without gaps. */
static inline forkfold_matrix forkfold_matrix_of(void *data, enum forkfold_type type, uint64_t rows,
                                                 uint64_t columns)
{
    forkfold_matrix matrix = {data, type, rows, columns, (int64_t)columns, 1};

    return matrix;
}

/* The same elements with rows and columns exchanged. */
static inline forkfold_matrix forkfold_matrix_transposed(const forkfold_matrix *matrix)
{
    forkfold_matrix transposed = {matrix->data, matrix->type,          matrix->columns,
                                  matrix->rows, matrix->column_stride, matrix->row_stride};

    return transposed;
}

/*
 * product = left * right, all of one type.  What product held before does not matter, NaNs neither;
 * it may overlap the factors, but its own elements must not overlap each other: their rows, or their
 * columns, lie apart.  A product without an inner dimension is zero.  Sums are rounded in an order
 * that depends on the shapes, the processor and the number of workers.
 *
 * Matrices in shared arrays are read and written where they lie; the others, if the product is large
 * enough for the workers, are copied.  pool may be NULL: then the calling process multiplies.
 *
 * Errors: FORKFOLD_E_INVALID (types, shapes that do not go together, NULL; nothing was computed),
 * FORKFOLD_E_UNSUPPORTED (the library was built without OpenBLAS, or cannot load it),
 * FORKFOLD_E_LIMIT (a dimension above 2^31 - 1), and those of forkfold_map and forkfold_shared_open;
 * then product may be written in part.
 */
FORKFOLD_API int forkfold_multiply_matrices(forkfold_pool *pool, const forkfold_matrix *left,
                                            const forkfold_matrix *right,
                                            const forkfold_matrix *product);

#ifdef __cplusplus
}
#endif

#endif
