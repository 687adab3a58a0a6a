/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that include cmocka.h. */
#ifndef FF_TEST_SAME_DOUBLE_H
#define FF_TEST_SAME_DOUBLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Told apart: zeros of different signs.  Not told apart: NaN. */
static inline void assert_same_double(double a, double b)
{
    uint64_t a_bits;
    uint64_t b_bits;

    memcpy(&a_bits, &a, sizeof(a_bits));
    memcpy(&b_bits, &b, sizeof(b_bits));
    if (a_bits == b_bits || (isnan(a) && isnan(b)))
        return;
    print_error("%a is not %a\n", a, b);
    fail();
}

#endif
