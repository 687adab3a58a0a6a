/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/curve_loop.h"

#include <math.h>

void ff_curve_loop(const double *input, double *output, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        double x = input[i];

        output[i] = x * x + sin(x) * cos(x);
    }
}
