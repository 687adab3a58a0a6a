/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact sums as plainly as possible: digits of 16 bits that are added one by one, and rounded by
 * strtod, which rounds a hexadecimal number of any length correctly.
 */
#ifndef FF_TEST_SLOW_SUM_H
#define FF_TEST_SLOW_SUM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of 2^-1088, a multiple of 16 below the smallest double. */
enum { SLOW_DIGITS = 144, SLOW_UNIT = -1088 };

struct slow_sum {
    int64_t digits[SLOW_DIGITS]; /* least significant first; carried when rounded */
};

/* number is finite. */
static inline void slow_add(struct slow_sum *sum, double number)
{
    int exponent;
    int64_t mantissa = (int64_t)ldexp(frexp(number, &exponent), 53);
    int sign = mantissa < 0 ? -1 : 1;
    unsigned bit = mantissa == 0 ? 0 : (unsigned)(exponent - 53 - SLOW_UNIT);

    for (mantissa *= sign; mantissa > 0; mantissa >>= 1, bit++)
        if (mantissa & 1)
            sum->digits[bit / 16] += sign * (1 << bit % 16);
}

static inline double slow_round(const struct slow_sum *sum)
{
    char text[SLOW_DIGITS * 4 + 32];
    struct slow_sum carried = *sum;
    int sign = 1;
    int used;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i + 1 < SLOW_DIGITS; i++) {
            int64_t low = carried.digits[i] & 0xFFFF;

            carried.digits[i + 1] += (carried.digits[i] - low) / 0x10000;
            carried.digits[i] = low;
        }
        if (carried.digits[SLOW_DIGITS - 1] >= 0)
            break;
        sign = -1;
        for (size_t i = 0; i < SLOW_DIGITS; i++)
            carried.digits[i] = -carried.digits[i];
    }
    used =
        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)carried.digits[SLOW_DIGITS - 1]);
    for (size_t i = SLOW_DIGITS - 1; i-- > 0;)
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%04llx",
                         (unsigned long long)carried.digits[i]);
    snprintf(text + used, sizeof(text) - (size_t)used, "p%d", SLOW_UNIT);
    /* Zero is positive, whatever the sign of what was added. */
    return sign * strtod(text, NULL) + 0.0;
}

#endif
