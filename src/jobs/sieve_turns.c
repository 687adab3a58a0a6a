/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve_turns.h"

#include <stdlib.h>

#include <forkfold/error.h>

enum {
    /* Of the segment, what the near primes go over at once: it stays in the first-level cache. */
    BLOCK_BYTES = 16384,
    /* Beyond it there are too few turns in a block to pay for looking at a prime once more. */
    NEAR_MAX = 3000
};

/* ---- Opening --------------------------------------------------------------- */

static uint64_t next_prime(struct ff_wheel_walk *walk, uint32_t last)
{
    uint64_t prime = ff_wheel_walk_next(walk);

    return prime <= last ? prime : 0;
}

static struct ff_turn_class *class_of(struct ff_sieve_turns *turns, uint64_t prime)
{
    return &turns->classes[ff_wheel_bit[prime % FF_WHEEL]];
}

int ff_sieve_turns_open(struct ff_sieve_turns *turns, struct ff_wheel_walk walk, uint32_t last)
{
    struct ff_wheel_walk again = walk;
    size_t count = 0;
    uint64_t prime;

    *turns = (struct ff_sieve_turns){0};
    for (; (prime = next_prime(&again, last)) != 0; count++)
        class_of(turns, prime)->count++;
    if (count == 0)
        return 0;
    turns->memory = malloc(count * sizeof(*turns->memory));
    if (!turns->memory)
        return FORKFOLD_E_MEMORY;

    count = 0;
    for (unsigned i = 0; i < FF_WHEEL_BITS; i++) {
        turns->classes[i].primes = turns->memory + count;
        count += turns->classes[i].count;
        turns->classes[i].count = 0;
    }
    while ((prime = next_prime(&walk, last)) != 0) {
        struct ff_turn_class *class = class_of(turns, prime);

        class->primes[class->count++] = (struct ff_turn_prime){.prime = (uint32_t)prime};
        class->near += prime <= NEAR_MAX;
        turns->greatest = (uint32_t)prime;
    }
    return 0;
}

void ff_sieve_turns_close(struct ff_sieve_turns *turns)
{
    free(turns->memory);
}

void ff_sieve_turns_reset(struct ff_sieve_turns *turns)
{
    for (unsigned i = 0; i < FF_WHEEL_BITS; i++)
        turns->classes[i].active = 0;
}

/* ---- Crossing off ---------------------------------------------------------- */

/* In a turn of a prime: where the multiple with residue i is, and the bits that it leaves. */
static inline size_t turn_byte(size_t quotient, unsigned prime_residue, unsigned i)
{
    return quotient * ff_wheel_residues[i] + prime_residue * ff_wheel_residues[i] / FF_WHEEL;
}

static inline uint8_t turn_keeps(unsigned prime_residue, unsigned i)
{
    return (uint8_t) ~(1U << ff_wheel_bit[prime_residue * ff_wheel_residues[i] % FF_WHEEL]);
}

/*
 * Finds where the turns of a prime go on.  The first may have begun before the window: what it has
 * in the window is crossed off here.  A turn in which the prime's square lies is done whole, though
 * smaller multiples of the prime have smaller factors: they are no primes either.
 */
static void start(struct ff_turn_prime *prime, uint8_t *window, uint64_t first_byte)
{
    struct ff_wheel_hit hit = ff_wheel_first_hit(prime->prime, first_byte);
    size_t quotient = prime->prime / FF_WHEEL;
    unsigned residue = prime->prime % FF_WHEEL;
    size_t ahead = turn_byte(quotient, residue, hit.turn_bit);

    if (hit.byte >= ahead) {
        prime->next = (uint32_t)(hit.byte - ahead);
        return;
    }
    for (unsigned i = hit.turn_bit; i < FF_WHEEL_BITS; i++)
        window[hit.byte + turn_byte(quotient, residue, i) - ahead] &= turn_keeps(residue, i);
    prime->next = (uint32_t)(hit.byte + prime->prime - ahead);
}

/*
 * All turns of these primes that start before end; then the window moves on by moved bytes.  Inlined
 * where residue is a constant, so that eight stores with constant bits remain of the inner loop.
 */
static inline __attribute__((always_inline)) void cross_class(const struct ff_turn_class *class,
                                                              uint32_t from, uint32_t to,
                                                              unsigned residue, uint8_t *window,
                                                              uint32_t end, uint32_t moved)
{
    struct ff_turn_prime *primes = class->primes;

    for (uint32_t k = from; k < to; k++) {
        uint32_t prime = primes[k].prime;
        uint32_t next = primes[k].next;
        size_t quotient = prime / FF_WHEEL;

        for (; next < end; next += prime) {
            uint8_t *turn = window + next;

#pragma GCC unroll 8
            for (unsigned i = 0; i < FF_WHEEL_BITS; i++)
                turn[turn_byte(quotient, residue, i)] &= turn_keeps(residue, i);
        }
        primes[k].next = next - moved;
    }
}

/* The primes from number from on, as far as below and as they are active, of one class. */
static void cross(const struct ff_turn_class *classes, unsigned bit, uint32_t from, uint32_t below,
                  uint8_t *window, uint32_t end, uint32_t moved)
{
    const struct ff_turn_class *class = &classes[bit];
    uint32_t to = below < class->active ? below : class->active;

    switch (ff_wheel_residues[bit]) {
    case 1:
        cross_class(class, from, to, 1, window, end, moved);
        break;
    case 7:
        cross_class(class, from, to, 7, window, end, moved);
        break;
    case 11:
        cross_class(class, from, to, 11, window, end, moved);
        break;
    case 13:
        cross_class(class, from, to, 13, window, end, moved);
        break;
    case 17:
        cross_class(class, from, to, 17, window, end, moved);
        break;
    case 19:
        cross_class(class, from, to, 19, window, end, moved);
        break;
    case 23:
        cross_class(class, from, to, 23, window, end, moved);
        break;
    default:
        cross_class(class, from, to, 29, window, end, moved);
        break;
    }
}

void ff_sieve_turns_cross(struct ff_sieve_turns *turns, uint8_t *window, uint64_t first_byte,
                          size_t count)
{
    struct ff_turn_class *classes = turns->classes;
    uint32_t end = (uint32_t)count;

    for (unsigned bit = 0; bit < FF_WHEEL_BITS; bit++) {
        struct ff_turn_class *class = &classes[bit];

        for (; class->active < class->count; class->active++) {
            struct ff_turn_prime *prime = &class->primes[class->active];

            if ((uint64_t)prime->prime * prime->prime / FF_WHEEL >= first_byte + count)
                break;
            start(prime, window, first_byte);
        }
    }
    for (uint32_t done = 0; done < end;) {
        uint32_t block_end = end - done > BLOCK_BYTES ? done + BLOCK_BYTES : end;

        for (unsigned bit = 0; bit < FF_WHEEL_BITS; bit++)
            cross(classes, bit, 0, classes[bit].near, window, block_end,
                  block_end == end ? end : 0);
        done = block_end;
    }
    for (unsigned bit = 0; bit < FF_WHEEL_BITS; bit++)
        cross(classes, bit, classes[bit].near, classes[bit].count, window, end, end);
}
