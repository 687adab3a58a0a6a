/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: what the multiples of the smallest primes leave, made once and copied from then on.
 *
 * The multiples of p repeat every p bytes, those of p and q every p * q.  Each pattern stands for
 * two or three primes, a small one with a big one, so that all of them are short.  To cross off by
 * patterns costs the same for each prime; for those up to FF_SIEVE_PATTERN_MAX that is less than
 * going through their multiples.
 */
#ifndef FF_JOBS_SIEVE_PATTERN_H
#define FF_JOBS_SIEVE_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/sieve_bits.h"

enum { FF_SIEVE_PATTERN_MAX = 163 };

struct ff_sieve_patterns {
    struct {
        uint8_t *bits; /* one period, and as much of the next as is stamped in a piece */
        size_t period_bytes;
    } patterns[FF_SIEVE_PATTERNS];
    uint8_t *memory; /* of all of them */
};

/* 0 or FORKFOLD_E_MEMORY. */
int ff_sieve_patterns_open(struct ff_sieve_patterns *patterns);
void ff_sieve_patterns_close(struct ff_sieve_patterns *patterns); /* {0} is allowed */

/*
 * Fills bits, which begin with first_byte of the wheel; bytes is a multiple of FF_SIEVE_STAMP_BYTES.
 * The primes of the patterns themselves stay, 1 does not.
 */
void ff_sieve_patterns_stamp(const struct ff_sieve_patterns *patterns,
                             const struct ff_sieve_bits *variant, uint8_t *bits,
                             uint64_t first_byte, size_t bytes);

#endif
