/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function of numbers, computed on many of them: the job that benchmarks and comparisons measure
 * calls of other systems by.
 */
#ifndef FORKFOLD_CURVE_H
#define FORKFOLD_CURVE_H

#include <stdint.h>

#include <forkfold/export.h>
#include <forkfold/pool.h>
#include <forkfold/shared.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * output[i] = x * x + sin(x) * cos(x), where x = input[i], for count doubles.  sin and cos are those
 * of the C library, and each of the three other operations is rounded: so every result is, bit for
 * bit, that of a plain loop without fused operations.
 *
 * Numbers in shared arrays are read and written where they lie, others are copied; a few are
 * computed by the calling process.  The arrays may overlap.  Errors: FORKFOLD_E_INVALID (nothing
 * was computed), and those of forkfold_map; then output may be written in part.
 */
FORKFOLD_API int forkfold_map_curve(forkfold_pool *pool, const double *input, uint64_t count,
                                    double *output);

#ifdef __cplusplus
}
#endif

#endif
