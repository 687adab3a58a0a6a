/* SPDX-License-Identifier: Apache-2.0 */
/* A large product of matrices, by the workers of a pool. */
#ifndef FF_JOBS_MATRIX_BLOCKS_H
#define FF_JOBS_MATRIX_BLOCKS_H

#include <forkfold/pool.h>

#include "jobs/blas.h"

/*
 * Computes the whole product; all its matrices lie in shared arrays, and the product overlaps no factor.
 * 0, or a code of forkfold_map with the pool's error.
 */
int ff_matrix_multiply_blocks(forkfold_pool *pool, const struct ff_blas_call *whole);

#endif
