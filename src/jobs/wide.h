/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers of many 64-bit words, the least significant first: wide enough that exact sums of
 * floating-point numbers never overflow.  Signed ones are in two's complement, so that equal
 * numbers are equal words, however they were reached.
 */
#ifndef FF_JOBS_WIDE_H
#define FF_JOBS_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef __int128 ff_int128;
__extension__ typedef unsigned __int128 ff_uint128;

/* The sum must fit the words; it wraps otherwise. */
void ff_wide_add(uint64_t *words, const uint64_t *other, size_t count);
void ff_wide_subtract(uint64_t *words, const uint64_t *other, size_t count);

/* Adds value * 2^bit. */
void ff_wide_add_signed(uint64_t *words, size_t count, unsigned bit, int64_t value);

/*
 * Adds value * 2^bit; the sum must not pass the last word.  Inlined, for it is all that adding one
 * number costs where numbers are added one at a time.
 */
static inline void ff_wide_add_at(uint64_t *words, unsigned bit, uint64_t value)
{
    unsigned shift = bit % 64;
    uint64_t *word = words + bit / 64;
    uint64_t low = value << shift;
    uint64_t high = value >> 1 >> (63 - shift);

    /* Below the highest bit of value there is room for the carry. */
    high += __builtin_add_overflow(word[0], low, &word[0]);
    if (__builtin_add_overflow(word[1], high, &word[1]))
        for (word += 2; ++*word == 0; word++)
            ;
}

bool ff_wide_is_negative(const uint64_t *words, size_t count);
void ff_wide_negate(uint64_t *words, size_t count);

/* Without signs.  product has a_count + b_count words, none of them of a or b. */
void ff_wide_multiply(uint64_t *product, const uint64_t *a, size_t a_count, const uint64_t *b,
                      size_t b_count);

/* Without signs.  Leaves the quotient, rounded down; returns the remainder.  divisor is not 0. */
uint64_t ff_wide_divide(uint64_t *words, size_t count, uint64_t divisor);

/*
 * The double nearest to words * 2^exponent, without signs, ties to even; infinity where that rounds
 * beyond the largest.  inexact says that the true number is larger by less than one unit of words;
 * words then have to reach at least two bits below the last bit of the result.  Computed from bits,
 * so the rounding mode of the process does not matter.
 */
double ff_wide_round(const uint64_t *words, size_t count, int exponent, bool inexact);

#endif
