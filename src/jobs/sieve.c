/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/sieve_bits.h"
#include "jobs/sieve_buckets.h"
#include "jobs/sieve_pattern.h"
#include "jobs/sieve_turns.h"
#include "jobs/sieve_wheel.h"

/*
 * Measured.  While turns are short, a small segment keeps all of them in the first-level cache; for
 * longer ones a big segment, which the second level still holds, has each prime looked at less often.
 */
enum {
    SMALL_SEGMENT_SHIFT = 16,
    BIG_SEGMENT_SHIFT = 19,
    BIG_SEGMENT_ROOT = 200000,
    TURNS_PRIME_MAX = 1 << 20 /* primes beyond it go into buckets */
};

/* Numbers below it fit 32 bits. */
#define U32_END (UINT64_C(1) << 32)

struct ff_sieve {
    const struct ff_sieve_base *base;
    const struct ff_sieve_bits *bits;
    struct ff_sieve_patterns patterns;
    struct ff_sieve_turns turns;
    struct ff_sieve_buckets buckets;
    size_t segment_bytes;
    size_t reach_bytes; /* of turns behind a segment, rounded up to stamps */
    uint8_t *window;    /* a segment and the reach; beyond them room for the last stamp */
    uint64_t position;  /* the byte of the wheel where the window begins */
    size_t done;        /* bytes of the window that were handed out */
    bool is_ready;      /* the window and all primes are there for the byte after them */
};

/* ---- Opening --------------------------------------------------------------- */

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static int open_parts(struct ff_sieve *sieve, const struct ff_sieve_base *base)
{
    size_t map_bytes = ff_sieve_base_bytes(base->limit) - sizeof(*base);
    uint32_t root = (uint32_t)base->root;
    uint32_t turns_last = root < TURNS_PRIME_MAX ? root : TURNS_PRIME_MAX;
    unsigned shift = root < BIG_SEGMENT_ROOT ? SMALL_SEGMENT_SHIFT : BIG_SEGMENT_SHIFT;
    int code = ff_sieve_patterns_open(&sieve->patterns);

    if (code == 0)
        code = ff_sieve_turns_open(&sieve->turns,
                                   ff_wheel_walk_above(base->map, map_bytes, FF_SIEVE_PATTERN_MAX),
                                   turns_last);
    if (code == 0)
        code = ff_sieve_buckets_open(&sieve->buckets,
                                     ff_wheel_walk_above(base->map, map_bytes, turns_last), root,
                                     shift, ff_wheel_bytes(base->limit));
    if (code < 0)
        return code;
    sieve->segment_bytes = (size_t)1 << shift;
    sieve->reach_bytes = round_up(ff_sieve_turns_reach(&sieve->turns) + 1, FF_SIEVE_STAMP_BYTES);
    sieve->window = malloc(sieve->segment_bytes + sieve->reach_bytes + FF_SIEVE_STAMP_BYTES);
    return sieve->window ? 0 : FORKFOLD_E_MEMORY;
}

int ff_sieve_open(struct ff_sieve **sieve, const struct ff_sieve_base *base)
{
    const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX];
    struct ff_sieve *opened = calloc(1, sizeof(*opened));
    int code;

    if (!opened)
        return FORKFOLD_E_MEMORY;
    ff_sieve_bits_variants(variants);
    opened->base = base;
    opened->bits = variants[0];
    code = open_parts(opened, base);
    if (code < 0) {
        ff_sieve_close(opened);
        return code;
    }
    *sieve = opened;
    return 0;
}

void ff_sieve_close(struct ff_sieve *sieve)
{
    if (!sieve)
        return;
    free(sieve->window);
    ff_sieve_buckets_close(&sieve->buckets);
    ff_sieve_turns_close(&sieve->turns);
    ff_sieve_patterns_close(&sieve->patterns);
    free(sieve);
}

uint64_t ff_sieve_segment_numbers(const struct ff_sieve *sieve)
{
    return (uint64_t)sieve->segment_bytes * FF_WHEEL;
}

/* ---- Segments -------------------------------------------------------------- */

/* The window begins at first_byte, of which nothing was handed out. */
static void move_to(struct ff_sieve *sieve, uint64_t first_byte)
{
    if (sieve->is_ready && sieve->position + sieve->done == first_byte)
        return;
    ff_sieve_turns_reset(&sieve->turns);
    ff_sieve_buckets_reset(&sieve->buckets);
    ff_sieve_patterns_stamp(&sieve->patterns, sieve->bits, sieve->window, first_byte,
                            sieve->reach_bytes);
    sieve->position = first_byte;
    sieve->done = 0;
    sieve->is_ready = true;
}

/*
 * Sieves the next segment, as far as end_byte: *count bytes at the start of the window.  What lies
 * in the reach behind the last one was stamped, and has been worked on, already.
 */
static int next_segment(struct ff_sieve *sieve, uint64_t end_byte, size_t *count)
{
    size_t reach = sieve->reach_bytes;
    uint64_t left;
    size_t bytes;
    int code;

    if (sieve->done > 0)
        memmove(sieve->window, sieve->window + sieve->done, reach);
    sieve->position += sieve->done;
    left = end_byte - sieve->position;
    bytes = left < sieve->segment_bytes ? (size_t)left : sieve->segment_bytes;
    sieve->done = bytes;
    /* A part of a segment is an end: the buckets are about whole ones. */
    sieve->is_ready = bytes == sieve->segment_bytes;

    ff_sieve_patterns_stamp(&sieve->patterns, sieve->bits, sieve->window + reach,
                            sieve->position + reach, round_up(bytes, FF_SIEVE_STAMP_BYTES));
    ff_sieve_turns_cross(&sieve->turns, sieve->window, sieve->position, bytes);
    code = ff_sieve_buckets_cross(&sieve->buckets, sieve->window, sieve->position,
                                  sieve->position + bytes);
    if (code < 0) {
        sieve->is_ready = false;
        return code;
    }
    *count = bytes;
    return 0;
}

/* ---- Ranges ---------------------------------------------------------------- */

/* What the primes of a range become; they are counted in any case. */
struct output {
    uint8_t *map; /* at most one of the three is not NULL */
    uint32_t *primes_u32;
    uint64_t *primes_u64;
    uint64_t capacity; /* more primes are an error */
};

/* The primes that have no bit.  Returns how many are in the range. */
static uint64_t put_wheel_primes(const struct output *output, uint64_t from, uint64_t to)
{
    static const uint8_t primes[] = {2, 3, 5};
    uint64_t count = 0;

    for (size_t i = 0; i < sizeof(primes); i++) {
        if (primes[i] < from || primes[i] >= to)
            continue;
        if (count < output->capacity && output->primes_u32)
            output->primes_u32[count] = primes[i];
        if (count < output->capacity && output->primes_u64)
            output->primes_u64[count] = primes[i];
        count++;
    }
    return count;
}

/* Bytes of the wheel from first_byte on, after count primes.  Returns how many these are. */
static uint64_t put_bits(const struct ff_sieve_bits *variant, const struct output *output,
                         const uint8_t *bits, size_t bytes, uint64_t first_byte, uint64_t count)
{
    uint64_t first = first_byte * FF_WHEEL;
    uint64_t index = count < output->capacity ? count : output->capacity;
    size_t room = (size_t)(output->capacity - index);

    if (output->primes_u32)
        return variant->list_u32(bits, bytes, first, output->primes_u32 + index, room);
    if (output->primes_u64)
        return variant->list_u64(bits, bytes, first, output->primes_u64 + index, room);
    return variant->count(bits, bytes);
}

/* Clears the bits of numbers outside the range; bytes is at least 1. */
static void trim(uint8_t *bits, size_t bytes, uint64_t first_byte, uint64_t from, uint64_t to)
{
    if (from / FF_WHEEL == first_byte)
        bits[0] &= (uint8_t)(0xFFU << ff_wheel_bit[from % FF_WHEEL]);
    if (to / FF_WHEEL - first_byte == bytes - 1)
        bits[bytes - 1] &= (uint8_t)((1U << ff_wheel_bit[to % FF_WHEEL]) - 1);
}

static int sieve_range(struct ff_sieve *sieve, uint64_t from, uint64_t to,
                       const struct output *output, uint64_t *count)
{
    uint64_t begin = from / FF_WHEEL;
    uint64_t end = ff_wheel_bytes(to);
    uint64_t found;

    if (from > to || to > sieve->base->limit)
        return FORKFOLD_E_INVALID;
    if (from == to) {
        *count = 0;
        return 0;
    }
    found = put_wheel_primes(output, from, to);
    move_to(sieve, begin);
    for (uint64_t next = begin; next < end;) {
        size_t bytes = 0;
        int code = next_segment(sieve, end, &bytes);

        if (code < 0)
            return code;
        trim(sieve->window, bytes, next, from, to);
        found += put_bits(sieve->bits, output, sieve->window, bytes, next, found);
        if (found > output->capacity)
            return FORKFOLD_E_LIMIT;
        if (output->map)
            memcpy(output->map + (next - begin), sieve->window, bytes);
        next += bytes;
    }
    *count = found;
    return 0;
}

int ff_sieve_count(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint64_t *count)
{
    return sieve_range(sieve, from, to, &(struct output){.capacity = UINT64_MAX}, count);
}

int ff_sieve_list_u32(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint32_t *primes,
                      size_t capacity, uint64_t *count)
{
    struct output output = {.primes_u32 = primes, .capacity = capacity};

    return to <= U32_END ? sieve_range(sieve, from, to, &output, count) : FORKFOLD_E_INVALID;
}

int ff_sieve_list_u64(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint64_t *primes,
                      size_t capacity, uint64_t *count)
{
    struct output output = {.primes_u64 = primes, .capacity = capacity};

    return sieve_range(sieve, from, to, &output, count);
}

/* ---- Maps ------------------------------------------------------------------ */

int ff_sieve_map(struct ff_sieve *sieve, uint64_t from, uint64_t to, uint8_t *map, uint64_t *count)
{
    struct output output = {.map = map, .capacity = UINT64_MAX};

    return sieve_range(sieve, from, to, &output, count);
}

size_t ff_sieve_map_bytes(uint64_t from, uint64_t to)
{
    return from < to ? (size_t)(ff_wheel_bytes(to) - from / FF_WHEEL) : 0;
}

static int list_map(const uint8_t *map, uint64_t from, uint64_t to, const struct output *output,
                    uint64_t *count)
{
    const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX];
    uint64_t found;

    if (from > to)
        return FORKFOLD_E_INVALID;
    ff_sieve_bits_variants(variants);
    found = put_wheel_primes(output, from, to);
    found +=
        put_bits(variants[0], output, map, ff_sieve_map_bytes(from, to), from / FF_WHEEL, found);
    if (found > output->capacity)
        return FORKFOLD_E_LIMIT;
    *count = found;
    return 0;
}

int ff_sieve_map_list_u32(const uint8_t *map, uint64_t from, uint64_t to, uint32_t *primes,
                          size_t capacity, uint64_t *count)
{
    struct output output = {.primes_u32 = primes, .capacity = capacity};

    return to <= U32_END ? list_map(map, from, to, &output, count) : FORKFOLD_E_INVALID;
}

int ff_sieve_map_list_u64(const uint8_t *map, uint64_t from, uint64_t to, uint64_t *primes,
                          size_t capacity, uint64_t *count)
{
    struct output output = {.primes_u64 = primes, .capacity = capacity};

    return list_map(map, from, to, &output, count);
}
