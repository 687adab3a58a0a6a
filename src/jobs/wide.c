/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/wide.h"

#include <math.h>
#include <string.h>

/* Doubles have this many bits, and the last bit of the smallest and of the largest is worth: */
enum { DOUBLE_BITS = 53, UNIT_EXPONENT_MIN = -1074, UNIT_EXPONENT_MAX = 971 };

void ff_wide_add(uint64_t *words, const uint64_t *other, size_t count)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < count; i++) {
        ff_uint128 sum = (ff_uint128)words[i] + other[i] + carry;

        words[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

void ff_wide_subtract(uint64_t *words, const uint64_t *other, size_t count)
{
    uint64_t carry = 1;

    for (size_t i = 0; i < count; i++) {
        ff_uint128 sum = (ff_uint128)words[i] + ~other[i] + carry;

        words[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

void ff_wide_add_signed(uint64_t *words, size_t count, unsigned bit, int64_t value)
{
    ff_uint128 shifted = (ff_uint128)(ff_int128)value << (bit % 64);
    uint64_t sign = value < 0 ? UINT64_MAX : 0;
    uint64_t carry = 0;
    size_t first = bit / 64;

    for (size_t i = first; i < count; i++) {
        uint64_t part = i - first < 2 ? (uint64_t)(shifted >> (64 * (i - first))) : sign;
        ff_uint128 sum = (ff_uint128)words[i] + part + carry;

        words[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
        /* From here on, only the sign and the carry are added, and here they are zero together. */
        if (i > first && sign + carry == 0)
            return;
    }
}

bool ff_wide_is_negative(const uint64_t *words, size_t count)
{
    return words[count - 1] >> 63 != 0;
}

void ff_wide_negate(uint64_t *words, size_t count)
{
    bool carry = true;

    for (size_t i = 0; i < count; i++) {
        words[i] = ~words[i] + carry;
        carry = carry && words[i] == 0;
    }
}

void ff_wide_multiply(uint64_t *product, const uint64_t *a, size_t a_count, const uint64_t *b,
                      size_t b_count)
{
    memset(product, 0, (a_count + b_count) * sizeof(*product));
    for (size_t i = 0; i < a_count; i++) {
        uint64_t carry = 0;

        for (size_t j = 0; j < b_count; j++) {
            ff_uint128 sum = (ff_uint128)a[i] * b[j] + product[i + j] + carry;

            product[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        product[i + b_count] = carry;
    }
}

uint64_t ff_wide_divide(uint64_t *words, size_t count, uint64_t divisor)
{
    uint64_t remainder = 0;

    for (size_t i = count; i-- > 0;) {
        ff_uint128 part = (ff_uint128)remainder << 64 | words[i];

        words[i] = (uint64_t)(part / divisor);
        remainder = (uint64_t)(part % divisor);
    }
    return remainder;
}

/* The 64 bits from a place on. */
static uint64_t bits_from(const uint64_t *words, size_t count, size_t bit)
{
    size_t i = bit / 64;
    uint64_t bits = words[i] >> bit % 64;

    if (bit % 64 > 0 && i + 1 < count)
        bits |= words[i + 1] << (64 - bit % 64);
    return bits;
}

static bool any_below(const uint64_t *words, size_t bit)
{
    for (size_t i = 0; i < bit / 64; i++)
        if (words[i] != 0)
            return true;
    return (words[bit / 64] & ((UINT64_C(1) << bit % 64) - 1)) != 0;
}

/* The bits without the last dropped ones, rounded to the nearest, ties to even. */
static uint64_t round_off(const uint64_t *words, size_t count, size_t dropped, bool inexact)
{
    uint64_t kept = dropped / 64 < count ? bits_from(words, count, dropped) : 0;
    bool half = bits_from(words, count, dropped - 1) & 1;

    return kept + (half && ((kept & 1) != 0 || inexact || any_below(words, dropped - 1)));
}

double ff_wide_round(const uint64_t *words, size_t count, int exponent, bool inexact)
{
    uint64_t mantissa;
    uint64_t bits;
    double rounded;
    int length; /* in bits */
    int unit;   /* what the last bit of the result is worth, as a power of two */

    while (count > 0 && words[count - 1] == 0)
        count--;
    if (count == 0)
        return 0;
    length = (int)count * 64 - __builtin_clzll(words[count - 1]);
    unit = exponent + length - DOUBLE_BITS;
    if (unit < UNIT_EXPONENT_MIN)
        unit = UNIT_EXPONENT_MIN;
    if (unit > UNIT_EXPONENT_MAX)
        return INFINITY;
    if (unit - exponent > length)
        return 0;
    if (unit > exponent)
        mantissa = round_off(words, count, (size_t)(unit - exponent), inexact);
    else
        mantissa = words[0] << (exponent - unit);
    /* The leading bit, which is not stored, adds one to the exponent; subnormals lack it. */
    bits = ((uint64_t)(unit - UNIT_EXPONENT_MIN) << (DOUBLE_BITS - 1)) + mantissa;
    memcpy(&rounded, &bits, sizeof(rounded));
    return rounded;
}
