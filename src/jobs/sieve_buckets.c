/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve_buckets.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <forkfold/error.h>

/* The parts of an entry, lowest bits first.  prime / 30 is below 2^28. */
enum { BYTE_BITS = FF_BUCKET_SEGMENT_SHIFT_MAX, STATE_BITS = 6 };

static_assert(FF_BUCKET_STATES == 1 << STATE_BITS, "a state fits its bits");
static_assert(sizeof(struct ff_bucket_block) == 8192, "a block is two pages");

static uint64_t make_entry(uint64_t quotient, unsigned state, uint64_t byte)
{
    return quotient << (STATE_BITS + BYTE_BITS) | (uint64_t)state << BYTE_BITS | byte;
}

/* ---- Opening --------------------------------------------------------------- */

static struct ff_bucket_step make_step(unsigned prime_bit, unsigned turn_bit)
{
    unsigned residue = ff_wheel_residues[prime_bit];
    unsigned next_bit = (turn_bit + 1) % FF_WHEEL_BITS;
    unsigned here = ff_wheel_residues[turn_bit];
    unsigned there = ff_wheel_residues[next_bit] + (next_bit == 0 ? FF_WHEEL : 0);

    return (struct ff_bucket_step){
        .keeps = (uint8_t) ~(1U << ff_wheel_bit[residue * here % FF_WHEEL]),
        .factor = (uint8_t)(there - here),
        .extra = (uint8_t)(residue * there / FF_WHEEL - residue * here / FF_WHEEL),
        .next = (uint8_t)(prime_bit * FF_WHEEL_BITS + next_bit),
    };
}

static void rewind_primes(struct ff_sieve_buckets *buckets)
{
    buckets->walk = buckets->primes;
    buckets->prime = ff_wheel_walk_next(&buckets->walk);
}

int ff_sieve_buckets_open(struct ff_sieve_buckets *buckets, struct ff_wheel_walk walk,
                          uint32_t last, unsigned segment_shift, uint64_t limit_byte)
{
    /* The next multiple with a bit is at most 6 primes on, from the end of a segment. */
    uint64_t reach = (((uint64_t)last / FF_WHEEL + 1) * 6 >> segment_shift) + 2;
    size_t size = 1;

    *buckets = (struct ff_sieve_buckets){
        .segment_shift = segment_shift, .primes = walk, .limit_byte = limit_byte};
    rewind_primes(buckets);
    if (buckets->prime == 0)
        return 0;
    while (size < reach)
        size *= 2;
    buckets->ring_mask = size - 1;
    buckets->ring = calloc(size, sizeof(struct ff_bucket_block *));
    if (!buckets->ring)
        return FORKFOLD_E_MEMORY;
    for (unsigned state = 0; state < FF_BUCKET_STATES; state++)
        buckets->steps[state] = make_step(state / FF_WHEEL_BITS, state % FF_WHEEL_BITS);
    return 0;
}

static void free_list(struct ff_bucket_block *block)
{
    while (block) {
        struct ff_bucket_block *next = block->next;

        free(block);
        block = next;
    }
}

void ff_sieve_buckets_close(struct ff_sieve_buckets *buckets)
{
    for (size_t i = 0; buckets->ring && i <= buckets->ring_mask; i++)
        free_list(buckets->ring[i]);
    free(buckets->ring);
    free_list(buckets->free_blocks);
}

/* ---- Buckets ---------------------------------------------------------------- */

static void release(struct ff_sieve_buckets *buckets, struct ff_bucket_block *block)
{
    block->next = buckets->free_blocks;
    buckets->free_blocks = block;
}

void ff_sieve_buckets_reset(struct ff_sieve_buckets *buckets)
{
    if (!buckets->ring)
        return;
    for (size_t i = 0; i <= buckets->ring_mask; i++) {
        struct ff_bucket_block *block = buckets->ring[i];

        while (block) {
            struct ff_bucket_block *next = block->next;

            release(buckets, block);
            block = next;
        }
        buckets->ring[i] = NULL;
    }
    rewind_primes(buckets);
}

/* Puts an empty block before a bucket's others; false when there is no memory. */
static bool grow(struct ff_sieve_buckets *buckets, struct ff_bucket_block **bucket)
{
    struct ff_bucket_block *block = buckets->free_blocks;

    if (block)
        buckets->free_blocks = block->next;
    else
        block = malloc(sizeof(*block));
    if (!block)
        return false;
    block->next = *bucket;
    block->count = 0;
    *bucket = block;
    return true;
}

/* byte counts from the start of the current segment. */
static inline bool push(struct ff_sieve_buckets *buckets, uint64_t quotient, unsigned state,
                        uint64_t byte)
{
    unsigned shift = buckets->segment_shift;
    size_t index = (buckets->current + (byte >> shift)) & buckets->ring_mask;
    struct ff_bucket_block *block = buckets->ring[index];

    if (!block || block->count == FF_BUCKET_ENTRIES) {
        if (!grow(buckets, &buckets->ring[index]))
            return false;
        block = buckets->ring[index];
    }
    block->entries[block->count++] =
        make_entry(quotient, state, byte & ((UINT64_C(1) << shift) - 1));
    return true;
}

/* Takes in the primes whose squares have been reached. */
static bool admit(struct ff_sieve_buckets *buckets, uint64_t first_byte, uint64_t end_byte)
{
    uint64_t limit = buckets->limit_byte - first_byte;

    while (buckets->prime != 0 && buckets->prime * buckets->prime / FF_WHEEL < end_byte) {
        uint64_t prime = buckets->prime;
        struct ff_wheel_hit hit = ff_wheel_first_hit(prime, first_byte);
        unsigned state = ff_wheel_bit[prime % FF_WHEEL] * FF_WHEEL_BITS + hit.turn_bit;

        if (hit.byte < limit && !push(buckets, prime / FF_WHEEL, state, hit.byte))
            return false;
        buckets->prime = ff_wheel_walk_next(&buckets->walk);
    }
    return true;
}

/* Crosses off what a block holds, and sends its primes on. */
static bool cross_block(struct ff_sieve_buckets *buckets, const struct ff_bucket_block *block,
                        uint8_t *segment, uint64_t limit)
{
    const struct ff_bucket_step *steps = buckets->steps;
    uint64_t bytes = UINT64_C(1) << buckets->segment_shift;

    for (size_t i = 0; i < block->count; i++) {
        uint64_t entry = block->entries[i];
        uint64_t byte = entry & ((1U << BYTE_BITS) - 1);
        unsigned state = (unsigned)(entry >> BYTE_BITS) & (FF_BUCKET_STATES - 1);
        uint64_t quotient = entry >> (BYTE_BITS + STATE_BITS);

        do {
            segment[byte] &= steps[state].keeps;
            byte += quotient * steps[state].factor + steps[state].extra;
            state = steps[state].next;
        } while (byte < bytes);
        if (byte < limit && !push(buckets, quotient, state, byte))
            return false;
    }
    return true;
}

int ff_sieve_buckets_cross(struct ff_sieve_buckets *buckets, uint8_t *segment, uint64_t first_byte,
                           uint64_t end_byte)
{
    struct ff_bucket_block **bucket;
    struct ff_bucket_block *block;

    if (!buckets->ring)
        return 0;
    if (!admit(buckets, first_byte, end_byte))
        return FORKFOLD_E_MEMORY;
    bucket = &buckets->ring[buckets->current];
    while ((block = *bucket) != NULL) {
        if (!cross_block(buckets, block, segment, buckets->limit_byte - first_byte))
            return FORKFOLD_E_MEMORY;
        *bucket = block->next;
        release(buckets, block);
    }
    buckets->current = (buckets->current + 1) & buckets->ring_mask;
    return 0;
}
