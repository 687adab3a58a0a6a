/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers in the order of the numbers they stand for.  Equal numbers have equal keys but for the
 * zeros: -0.0 is below 0.0, so that every number has one place and results do not depend on the
 * order of the input.  A NaN is beyond the infinity of its sign.
 */
#ifndef FF_JOBS_ORDER_KEY_H
#define FF_JOBS_ORDER_KEY_H

#include <stdint.h>
#include <string.h>

/* In the order of int64_t.  Flips all but the sign of negative numbers; undoes itself. */
static inline int64_t ff_signed_key_f64(double number)
{
    int64_t bits;

    memcpy(&bits, &number, sizeof(bits));
    return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

static inline double ff_signed_key_to_f64(int64_t key)
{
    int64_t bits = key ^ (int64_t)((uint64_t)(key >> 63) >> 1);
    double number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* From the order of int64_t to that of uint64_t and back. */
static inline uint64_t ff_order_key(int64_t number)
{
    return (uint64_t)number ^ UINT64_C(1) << 63;
}

static inline int64_t ff_order_key_to_signed(uint64_t key)
{
    return (int64_t)(key ^ UINT64_C(1) << 63);
}

#endif
