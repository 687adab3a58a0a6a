/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenBLAS.  It is loaded by each process that multiplies, when it first does: linked, it would cost
 * every start of the program some milliseconds, and the libraries that it needs.
 */
#ifndef FF_JOBS_BLAS_H
#define FF_JOBS_BLAS_H

#include <stdbool.h>
#include <stddef.h>

#include <forkfold/shared.h>

/* A matrix whose rows, or whose columns, are without gaps. */
struct ff_blas_operand {
    const void *data;
    int stride; /* elements from one row to the next, or, transposed, from one column to the next */
    bool is_transposed;
};

/* product (rows x columns) = left (rows x depth) * right (depth x columns); none of them is 0. */
struct ff_blas_call {
    enum forkfold_type type; /* FORKFOLD_F32 or FORKFOLD_F64 */
    int rows;
    int columns;
    int depth;
    struct ff_blas_operand left;
    struct ff_blas_operand right;
    void *product;
    int product_stride;
};

/*
 * Loads it, unless this thread has done so.  0, or with a sentence of so many bytes at most:
 * FORKFOLD_E_UNSUPPORTED, FORKFOLD_E_MEMORY.
 */
int ff_blas_load(char *problem, size_t problem_bytes);

/* Only after ff_blas_load. */
void ff_blas_multiply(const struct ff_blas_call *call);

#endif
