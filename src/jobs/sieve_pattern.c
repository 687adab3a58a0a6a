/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve_pattern.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/sieve_wheel.h"

enum { PRIMES_MAX = 3, PIECE_BYTES = 8 * FF_SIEVE_STAMP_BYTES };

/* All primes from 7 to FF_SIEVE_PATTERN_MAX; the rest of a row is 0. */
static const uint8_t groups[FF_SIEVE_PATTERNS][PRIMES_MAX] = {
    {7, 11, 13}, {17, 163}, {19, 157}, {23, 151}, {29, 149}, {31, 139},
    {37, 137},   {41, 131}, {43, 127}, {47, 113}, {53, 109}, {59, 107},
    {61, 103},   {67, 101}, {71, 97},  {73, 89},  {79, 83},
};

static size_t period_bytes(const uint8_t group[PRIMES_MAX])
{
    size_t period = 1;

    for (unsigned i = 0; i < PRIMES_MAX && group[i] != 0; i++)
        period *= group[i];
    return period;
}

/* The prime itself too: it is put back where it counts. */
static void cross_off(uint8_t *bits, size_t bytes, unsigned prime)
{
    for (unsigned i = 0; i < FF_WHEEL_BITS; i++) {
        unsigned multiple = prime * ff_wheel_residues[i];
        uint8_t keep = (uint8_t) ~(1U << ff_wheel_bit[multiple % FF_WHEEL]);

        for (size_t k = multiple / FF_WHEEL; k < bytes; k += prime)
            bits[k] &= keep;
    }
}

int ff_sieve_patterns_open(struct ff_sieve_patterns *patterns)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < FF_SIEVE_PATTERNS; i++) {
        patterns->patterns[i].period_bytes = period_bytes(groups[i]);
        bytes += patterns->patterns[i].period_bytes + PIECE_BYTES;
    }
    patterns->memory = malloc(bytes);
    if (!patterns->memory)
        return FORKFOLD_E_MEMORY;
    memset(patterns->memory, 0xFF, bytes);

    bytes = 0;
    for (unsigned i = 0; i < FF_SIEVE_PATTERNS; i++) {
        size_t size = patterns->patterns[i].period_bytes + PIECE_BYTES;

        patterns->patterns[i].bits = patterns->memory + bytes;
        for (unsigned k = 0; k < PRIMES_MAX && groups[i][k] != 0; k++)
            cross_off(patterns->patterns[i].bits, size, groups[i][k]);
        bytes += size;
    }
    return 0;
}

void ff_sieve_patterns_close(struct ff_sieve_patterns *patterns)
{
    free(patterns->memory);
}

/* Nothing was sieved but by the patterns: in the first bytes 1 is left and their primes are not. */
static void correct_first_bytes(uint8_t *bits, uint64_t first_byte, size_t bytes)
{
    if (first_byte == 0)
        bits[0] &= (uint8_t)~1U;
    for (unsigned i = 0; i < FF_SIEVE_PATTERNS; i++) {
        for (unsigned k = 0; k < PRIMES_MAX && groups[i][k] != 0; k++) {
            unsigned byte = groups[i][k] / FF_WHEEL;

            if (byte >= first_byte && byte - first_byte < bytes)
                bits[byte - first_byte] |= (uint8_t)(1U << ff_wheel_bit[groups[i][k] % FF_WHEEL]);
        }
    }
}

void ff_sieve_patterns_stamp(const struct ff_sieve_patterns *patterns,
                             const struct ff_sieve_bits *variant, uint8_t *bits,
                             uint64_t first_byte, size_t bytes)
{
    size_t phases[FF_SIEVE_PATTERNS];

    for (unsigned i = 0; i < FF_SIEVE_PATTERNS; i++)
        phases[i] = first_byte % patterns->patterns[i].period_bytes;
    for (size_t done = 0; done < bytes; done += PIECE_BYTES) {
        const uint8_t *from[FF_SIEVE_PATTERNS];
        size_t piece = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;

        for (unsigned i = 0; i < FF_SIEVE_PATTERNS; i++) {
            size_t period = patterns->patterns[i].period_bytes;

            from[i] = patterns->patterns[i].bits + phases[i];
            phases[i] += PIECE_BYTES;
            while (phases[i] >= period)
                phases[i] -= period;
        }
        variant->stamp(bits + done, from, piece);
    }
    if (first_byte <= FF_SIEVE_PATTERN_MAX / FF_WHEEL)
        correct_first_bytes(bits, first_byte, bytes);
}
