/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Primes that hit a segment several times: they go over it in whole turns of the wheel.
 *
 * In a turn a prime p crosses off eight multiples in p bytes.  Where they lie from the start of the
 * turn depends on p / 30 and on the residue of p; primes of one residue form a class, whose loop has
 * the eight bits built in.  A turn that starts inside a segment is done to its end, so the window
 * goes on behind the segment as far as the greatest prime reaches (ff_sieve_turns_reach), and what
 * is done there stays for the next segment.  This leaves no half turns, whose branches cost more than
 * crossing off.
 */
#ifndef FF_JOBS_SIEVE_TURNS_H
#define FF_JOBS_SIEVE_TURNS_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/sieve_wheel.h"

struct ff_turn_prime {
    uint32_t prime;
    uint32_t next; /* where in the window its next turn starts, once it is active */
};

/* Primes of one residue modulo 30, in order. */
struct ff_turn_class {
    struct ff_turn_prime *primes;
    uint32_t count;
    uint32_t near;   /* the first so many make several turns in a block of the first-level cache */
    uint32_t active; /* the squares of the first so many were reached */
};

struct ff_sieve_turns {
    struct ff_turn_class classes[FF_WHEEL_BITS];
    struct ff_turn_prime *memory; /* of all of them */
    uint32_t greatest;            /* prime; 0 for none */
};

/* Takes the primes of walk up to last, which is below 2^31.  0 or FORKFOLD_E_MEMORY. */
int ff_sieve_turns_open(struct ff_sieve_turns *turns, struct ff_wheel_walk walk, uint32_t last);
void ff_sieve_turns_close(struct ff_sieve_turns *turns); /* {0} is allowed */

/* How many bytes behind its segment a turn may touch. */
static inline size_t ff_sieve_turns_reach(const struct ff_sieve_turns *turns)
{
    return turns->greatest;
}

/* No prime is active any more: the window is to move elsewhere. */
void ff_sieve_turns_reset(struct ff_sieve_turns *turns);

/*
 * Crosses off in a segment of count bytes at the start of the window, which is first_byte of the
 * wheel; then the window moves on by count bytes.
 */
void ff_sieve_turns_cross(struct ff_sieve_turns *turns, uint8_t *window, uint64_t first_byte,
                          size_t count);

#endif
