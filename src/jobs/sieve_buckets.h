/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Primes too far apart for turns: each waits in the bucket of the segment that it hits next.
 *
 * A segment then looks at the primes that hit it and at no others, however many there are.  Buckets
 * are lists of blocks, one for each of the segments ahead that the greatest prime can reach, used in
 * a ring; blocks that were emptied are used again.  A prime whose next multiple is past the limit of
 * the sieve is dropped.
 */
#ifndef FF_JOBS_SIEVE_BUCKETS_H
#define FF_JOBS_SIEVE_BUCKETS_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/sieve_wheel.h"

enum {
    FF_BUCKET_SEGMENT_SHIFT_MAX = 20,
    FF_BUCKET_ENTRIES = 1022,
    FF_BUCKET_STATES = FF_WHEEL_BITS * FF_WHEEL_BITS
};

/* 8 KiB. */
struct ff_bucket_block {
    struct ff_bucket_block *next;
    size_t count;
    uint64_t entries[FF_BUCKET_ENTRIES]; /* prime / 30, state, byte in the segment */
};

/* What a prime does at a multiple: by the residue of the prime and of what it is multiplied with. */
struct ff_bucket_step {
    uint8_t keeps;  /* the bits that are not crossed off */
    uint8_t factor; /* the next one is factor * (prime / 30) + extra bytes on */
    uint8_t extra;
    uint8_t next; /* its state */
};

struct ff_sieve_buckets {
    unsigned segment_shift;
    size_t ring_mask;              /* the number of buckets, a power of two, less one */
    size_t current;                /* the bucket of the segment that comes next */
    struct ff_bucket_block **ring; /* NULL when there are no primes */
    struct ff_bucket_block *free_blocks;
    struct ff_wheel_walk primes; /* as they were opened */
    struct ff_wheel_walk walk;   /* those whose square was not reached */
    uint64_t prime;              /* the first of them; 0 for none */
    uint64_t limit_byte;         /* multiples from here on do not matter */
    struct ff_bucket_step steps[FF_BUCKET_STATES];
};

/*
 * Takes the primes of walk; last is not less than the greatest of them.  A segment has 1 << segment_shift bytes, of which those from limit_byte on do not matter.
 * 0 or FORKFOLD_E_MEMORY.
 */
int ff_sieve_buckets_open(struct ff_sieve_buckets *buckets, struct ff_wheel_walk walk,
                          uint32_t last, unsigned segment_shift, uint64_t limit_byte);
void ff_sieve_buckets_close(struct ff_sieve_buckets *buckets); /* {0} is allowed */

/* All buckets are empty again: the segment that comes next is anywhere. */
void ff_sieve_buckets_reset(struct ff_sieve_buckets *buckets);

/*
 * Crosses off in a whole segment, which is first_byte of the wheel, for all primes whose square is
 * before end_byte.  0, or FORKFOLD_E_MEMORY, after which only a reset is allowed.
 */
int ff_sieve_buckets_cross(struct ff_sieve_buckets *buckets, uint8_t *segment, uint64_t first_byte,
                           uint64_t end_byte);

#endif
