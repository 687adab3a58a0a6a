/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices with strides: where they lie, whether OpenBLAS can take them as they are, and copies. */
#ifndef FF_JOBS_MATRIX_VIEW_H
#define FF_JOBS_MATRIX_VIEW_H

#include <stdbool.h>

#include <forkfold/matrices.h>

#include "jobs/blas.h"

/* From the first byte of any element to behind the last. */
struct ff_matrix_extent {
    const char *first;
    uint64_t bytes;
};

static inline bool ff_matrix_is_empty(const forkfold_matrix *matrix)
{
    return matrix->rows == 0 || matrix->columns == 0;
}

/*
 * Of a matrix of at most INT_MAX rows and columns.  False when it, or a copy of it without gaps,
 * would not fit in any memory.
 */
bool ff_matrix_find_extent(const forkfold_matrix *matrix, struct ff_matrix_extent *extent);

bool ff_matrix_extents_overlap(const struct ff_matrix_extent *a, const struct ff_matrix_extent *b);

/* Whether its rows, or its columns, are known not to overlap each other. */
bool ff_matrix_is_disjoint(const forkfold_matrix *matrix);

/* Whether neighbours in a column lie closer together than neighbours in a row. */
bool ff_matrix_runs_down(const forkfold_matrix *matrix);

/* What OpenBLAS is told of a matrix with elements; false when it has to be copied first. */
bool ff_matrix_as_operand(const forkfold_matrix *matrix, struct ff_blas_operand *operand);

/* A matrix at data of the same shape without gaps, which runs in the same direction. */
forkfold_matrix ff_matrix_packed(const forkfold_matrix *matrix, void *data);

/* Matrices of one shape and type that do not overlap. */
void ff_matrix_copy(const forkfold_matrix *to, const forkfold_matrix *from);
void ff_matrix_clear(const forkfold_matrix *matrix);

#endif
