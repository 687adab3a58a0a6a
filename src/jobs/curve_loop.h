/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of forkfold_map_curve, in a file of its own: what compiles it must not fuse operations. */
#ifndef FF_JOBS_CURVE_LOOP_H
#define FF_JOBS_CURVE_LOOP_H

#include <stdint.h>

/* The arrays may be one and the same, but not overlap otherwise. */
void ff_curve_loop(const double *input, double *output, uint64_t count);

#endif
