/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loops of the sieve that gain from vector instructions: patterns to bits, bits to counts
 * and to numbers.  meson.build compiles sieve_bits.c for different CPUs; all give the same.
 */
#ifndef FF_JOBS_SIEVE_BITS_H
#define FF_JOBS_SIEVE_BITS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FF_SIEVE_PATTERNS = 17,
    FF_SIEVE_STAMP_BYTES = 128 /* what is stamped at a time */
};

struct ff_sieve_bits {
    const char *name; /* "avx512", "avx2", "generic" */

    /*
     * Fills bits with what all patterns have in common.  bytes is a multiple of
     * FF_SIEVE_STAMP_BYTES; each pattern is as long, none needs to be aligned.
     */
    void (*stamp)(uint8_t *bits, const uint8_t *const patterns[FF_SIEVE_PATTERNS], size_t bytes);

    /* How many bits are set. */
    uint64_t (*count)(const uint8_t *bits, size_t bytes);

    /*
     * Writes what the set bits stand for; the first byte begins with the number first.  Returns how
     * many there are, also when that is more than capacity; then numbers are missing.  Nothing
     * behind capacity is touched.
     */
    size_t (*list_u32)(const uint8_t *bits, size_t bytes, uint64_t first, uint32_t *numbers,
                       size_t capacity);
    size_t (*list_u64)(const uint8_t *bits, size_t bytes, uint64_t first, uint64_t *numbers,
                       size_t capacity);
};

enum { FF_SIEVE_VARIANTS_MAX = 3 };

/* Those that this CPU can run, the fastest first, "generic" last.  Returns how many. */
size_t ff_sieve_bits_variants(const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX]);

extern const struct ff_sieve_bits ff_sieve_bits_generic;
#if defined(__x86_64__)
extern const struct ff_sieve_bits ff_sieve_bits_avx2;
extern const struct ff_sieve_bits ff_sieve_bits_avx512;
#endif

#endif
