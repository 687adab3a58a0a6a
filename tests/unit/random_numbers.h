/* SPDX-License-Identifier: Apache-2.0 */
/* Random doubles of the kinds that exact sums and selection treat differently. */
#ifndef FF_TEST_RANDOM_NUMBERS_H
#define FF_TEST_RANDOM_NUMBERS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "random_keys.h"

enum number_kind {
    UNIFORM,      /* from 0 to 1 */
    SIGNED,       /* exponents near each other */
    LARGEST,      /* of one exponent, all bits set, of one sign */
    LARGE_RESTS,  /* of one sign; what an anchor of number_scan.h leaves is as large as can be */
    GROWING,      /* of one sign, twice as large every thousand numbers */
    INTEGERS,     /* small, with many ties and zeros of both signs */
    MIXED,        /* any finite double */
    OUTLIERS,     /* few that are huge or tiny */
    STRIPES,      /* other exponents every thousand numbers */
    TINY_SQUARES, /* powers of two, the squares of some below the smallest double */
    SUBNORMALS,   /* and numbers next to them */
    HUGE_NUMBERS, /* that overflow together */
    NUMBER_KINDS
};

static inline double random_unit(void)
{
    return (double)(random_u64() >> 11) * 0x1p-53;
}

static inline double random_sign(void)
{
    return random_u64() % 2 == 0 ? 1 : -1;
}

static inline double random_any(void)
{
    uint64_t bits;
    double number;

    do {
        bits = random_u64();
        memcpy(&number, &bits, sizeof(number));
    } while (!isfinite(number));
    return number;
}

static inline double random_number(enum number_kind kind, size_t i)
{
    switch (kind) {
    case UNIFORM:
        return random_unit();
    case LARGEST:
        return 2 - 0x1p-52;
    case LARGE_RESTS:
        return 1 + 0x1p-42 - 0x1p-52;
    case GROWING:
        return ldexp(1 + random_unit(), (int)(i / 1000));
    case INTEGERS:
        return random_sign() * (double)random_below(5);
    case MIXED:
        return random_any();
    case OUTLIERS:
        return random_below(700) == 0 ? random_any() : random_sign() * random_unit();
    case STRIPES:
        return random_sign() * ldexp(random_unit(), (int)(i / 1000 * 37 % 2000) - 1050);
    case TINY_SQUARES:
        return i % 2 == 0 ? 0x1p-430 : 0x1p-540;
    case SUBNORMALS:
        return random_sign() * ldexp(random_unit(), -1022 - (int)random_below(53));
    case HUGE_NUMBERS:
        return random_sign() * ldexp(1 + random_unit(), 1023);
    case SIGNED:
    case NUMBER_KINDS:
        break;
    }
    return random_sign() * ldexp(random_unit(), (int)random_below(30));
}

static inline void fill_randomly(double *numbers, size_t count, enum number_kind kind)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = random_number(kind, i);
}

#endif
