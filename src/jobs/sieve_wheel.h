/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wheel of 30: which numbers have a bit, and where the multiples of a prime lie.
 *
 * Byte k speaks of the eight numbers 30k + 1, 7, 11, 13, 17, 19, 23 and 29, lowest bit first: all
 * others are multiples of 2, 3 or 5.  The multiples of a prime p that have a bit are p * m for the m
 * that have one.  While m goes through the eight of a byte, one turn, p * m goes through p bytes
 * and meets every bit once.
 */
#ifndef FF_JOBS_SIEVE_WHEEL_H
#define FF_JOBS_SIEVE_WHEEL_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FF_WHEEL = 30, FF_WHEEL_BITS = 8 };

static const uint8_t ff_wheel_residues[FF_WHEEL_BITS] = {1, 7, 11, 13, 17, 19, 23, 29};

/* By a number modulo 30: the bit of the first residue that is not less. */
static const uint8_t ff_wheel_bit[FF_WHEEL] = {0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4,
                                               4, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7};

/* How many bytes from 0 on speak of all numbers below. */
static inline uint64_t ff_wheel_bytes(uint64_t numbers)
{
    return numbers / FF_WHEEL + (numbers % FF_WHEEL != 0);
}

/* A multiple of a prime: its byte, and the bit of what the prime is multiplied with. */
struct ff_wheel_hit {
    uint64_t byte;
    unsigned turn_bit;
};

/*
 * The first that must be crossed off at first_byte or after it: smaller multiples than the square
 * have smaller factors.  prime > 30; byte is relative to first_byte.  No product is formed that could
 * overflow at the end of 64 bits.
 */
static inline struct ff_wheel_hit ff_wheel_first_hit(uint64_t prime, uint64_t first_byte)
{
    uint64_t low = first_byte * FF_WHEEL;
    uint64_t factor = low / prime;
    uint64_t ahead; /* of prime * factor, from low */
    unsigned bit;

    if (factor < prime) {
        factor = prime;
        ahead = prime * prime - low;
    } else {
        ahead = factor * prime == low ? 0 : prime - (low - factor * prime);
        factor += ahead != 0;
    }
    bit = ff_wheel_bit[factor % FF_WHEEL];
    ahead += prime * (ff_wheel_residues[bit] - factor % FF_WHEEL);
    return (struct ff_wheel_hit){.byte = ahead / FF_WHEEL, .turn_bit = bit};
}

/* ---- Reading bits --------------------------------------------------------- */

/* Eight bytes as 240 numbers, lowest bit first. */
static inline uint64_t ff_wheel_word(const uint8_t *bits)
{
    uint64_t word;

    memcpy(&word, bits, sizeof(word));
    return le64toh(word);
}

enum { FF_WHEEL_WORD_NUMBERS = 8 * FF_WHEEL };

/* What a bit of a word stands for. */
static inline unsigned ff_wheel_word_number(unsigned bit)
{
    return bit / FF_WHEEL_BITS * FF_WHEEL + ff_wheel_residues[bit % FF_WHEEL_BITS];
}

/* Goes through the set bits of a map whose size is a multiple of 8; a copy goes on from there too. */
struct ff_wheel_walk {
    const uint8_t *map;
    size_t bytes;
    size_t next_byte;
    uint64_t word; /* the bits before next_byte that were not returned yet */
};

/* From the first number above one. */
static inline struct ff_wheel_walk ff_wheel_walk_above(const uint8_t *map, size_t bytes,
                                                       uint64_t above)
{
    struct ff_wheel_walk walk = {.map = map, .bytes = bytes, .next_byte = bytes};
    uint64_t word_index = above / FF_WHEEL_WORD_NUMBERS;

    if (word_index < bytes / sizeof(walk.word)) {
        unsigned within = (unsigned)(above % FF_WHEEL_WORD_NUMBERS);

        walk.word = ff_wheel_word(map + word_index * sizeof(walk.word));
        walk.next_byte = (word_index + 1) * sizeof(walk.word);
        for (unsigned bit = 0; bit < 64 && ff_wheel_word_number(bit) <= within; bit++)
            walk.word &= ~(UINT64_C(1) << bit);
    }
    return walk;
}

/* The next number; 0 at the end. */
static inline uint64_t ff_wheel_walk_next(struct ff_wheel_walk *walk)
{
    unsigned bit;

    while (walk->word == 0) {
        if (walk->next_byte == walk->bytes)
            return 0;
        walk->word = ff_wheel_word(walk->map + walk->next_byte);
        walk->next_byte += sizeof(walk->word);
    }
    bit = (unsigned)__builtin_ctzll(walk->word);
    walk->word &= walk->word - 1;
    return (walk->next_byte - sizeof(walk->word)) * FF_WHEEL + ff_wheel_word_number(bit);
}

#endif
