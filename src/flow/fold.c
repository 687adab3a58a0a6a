/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A range is folded block by block.  A block is a part of the range's hashes
 * with so few entries that the index which finds equal keys stays in the
 * processor's second-level cache.  Every partial is in hash order, so it is
 * read once from front to back, a piece for each block.
 */
#include "flow/fold.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

/* Entries that a block should have; and per partial, so that its share of a block is worth a visit. */
enum { BLOCK_ENTRIES = 4096, BLOCK_ENTRIES_PER_PARTIAL = 4 };

enum { INDEX_SLOTS_MIN = 64 };

/* A place of the index: a key of the block, by its number in the block's output plus one. */
struct index_slot {
    uint32_t hash;
    uint32_t number_plus_one; /* 0 in an empty slot */
};

struct fold {
    const struct ff_partial *const *partials;
    size_t partial_count;
    size_t *positions; /* the first entry of each partial that is not folded yet */
    size_t *ends;      /* the first entry of each partial behind the block */
    struct index_slot *index;
    size_t index_size; /* slots there is memory for */
    unsigned bits;     /* the block uses the first 2^bits of them */
};

static uint64_t range_start(unsigned range, unsigned range_count)
{
    return ((uint64_t)range << 32) / range_count;
}

size_t ff_fold_range_bound(const struct ff_partial *const *partials, size_t partial_count,
                           unsigned range, unsigned range_count)
{
    uint64_t first = range_start(range, range_count);
    uint64_t end = range_start(range + 1, range_count);
    size_t bound = 0;

    for (size_t i = 0; i < partial_count; i++)
        bound +=
            ff_partial_lower_bound(partials[i], end) - ff_partial_lower_bound(partials[i], first);
    return bound;
}

/* Empties the index and makes it at least half as large again as the block's entries. */
static int prepare_index(struct fold *fold, size_t entry_count)
{
    size_t size = INDEX_SLOTS_MIN;
    struct index_slot *index;

    if (entry_count > UINT32_MAX / 4)
        return FORKFOLD_E_LIMIT;
    fold->bits = (unsigned)__builtin_ctz(INDEX_SLOTS_MIN);
    while (size < entry_count + entry_count / 2) {
        size *= 2;
        fold->bits++;
    }
    if (size > fold->index_size) {
        index = malloc(size * sizeof(*index));
        if (!index)
            return FORKFOLD_E_MEMORY;
        free(fold->index);
        fold->index = index;
        fold->index_size = size;
    }
    memset(fold->index, 0, size * sizeof(*fold->index));
    return 0;
}

/* The keys of a block share their top bits, so a multiplication brings the lower ones up. */
static size_t index_home(uint32_t hash, unsigned bits)
{
    return (uint32_t)(hash * UINT32_C(0x9E3779B1)) >> (32 - bits);
}

static bool same_key(const struct ff_entry *a, const struct ff_entry *b)
{
    return a->prefix == b->prefix && a->key_bytes == b->key_bytes &&
           (a->key_bytes <= 8 || memcmp(a->key + 8, b->key + 8, a->key_bytes - 8) == 0);
}

/* Adds one entry to the block's output, which holds *count keys. */
static int fold_entry(struct fold *fold, const struct ff_entry *entry, uint32_t hash,
                      struct ff_entry *out, size_t *count)
{
    size_t mask = ((size_t)1 << fold->bits) - 1;
    size_t i = index_home(hash, fold->bits);

    for (; fold->index[i].number_plus_one != 0; i = (i + 1) & mask) {
        struct ff_entry *known = &out[fold->index[i].number_plus_one - 1];

        if (fold->index[i].hash == hash && same_key(known, entry))
            return __builtin_add_overflow(known->count, entry->count, &known->count)
                       ? FORKFOLD_E_LIMIT
                       : 0;
    }
    out[(*count)++] = *entry;
    fold->index[i] = (struct index_slot){.hash = hash, .number_plus_one = (uint32_t)*count};
    return 0;
}

/* Finds where the block ends in each partial; returns how many entries it has. */
static size_t find_block(struct fold *fold, uint64_t end_hash)
{
    size_t entry_count = 0;

    for (size_t p = 0; p < fold->partial_count; p++) {
        const struct ff_slot *slots = ff_partial_slots(fold->partials[p]);
        size_t end = fold->positions[p];

        while (end < fold->partials[p]->entry_count && slots[end].hash < end_hash)
            end++;
        fold->ends[p] = end;
        entry_count += end - fold->positions[p];
    }
    return entry_count;
}

/* Folds the entries whose hash is below end_hash into out; *count receives how many. */
static int fold_block(struct fold *fold, uint64_t end_hash, struct ff_entry *out, size_t *count)
{
    int code = prepare_index(fold, find_block(fold, end_hash));

    *count = 0;
    for (size_t p = 0; code == 0 && p < fold->partial_count; p++) {
        const struct ff_partial *partial = fold->partials[p];
        const struct ff_slot *slots = ff_partial_slots(partial);

        for (size_t i = fold->positions[p]; code == 0 && i < fold->ends[p]; i++) {
            struct ff_entry entry = ff_entry_of(&slots[i], ff_partial_heap(partial));

            code = fold_entry(fold, &entry, slots[i].hash, out, count);
        }
        fold->positions[p] = fold->ends[p];
    }
    return code;
}

/* How many blocks to cut a range into; so few that a block's number times 2^32 fits in 64 bits. */
static uint64_t block_count(const struct fold *fold, size_t entry_count)
{
    size_t wanted = BLOCK_ENTRIES;
    uint64_t blocks;

    if (fold->partial_count > BLOCK_ENTRIES / BLOCK_ENTRIES_PER_PARTIAL)
        wanted = fold->partial_count * BLOCK_ENTRIES_PER_PARTIAL;
    blocks = entry_count / wanted + 1;
    return blocks < UINT64_C(1) << 31 ? blocks : UINT64_C(1) << 31;
}

static int fold_blocks(struct fold *fold, uint64_t first, uint64_t end, size_t entry_count,
                       struct ff_entry *out, size_t *count)
{
    uint64_t blocks = block_count(fold, entry_count);
    size_t keys = 0;

    for (uint64_t block = 1; block <= blocks; block++) {
        size_t block_keys;
        int code =
            fold_block(fold, first + (end - first) * block / blocks, out + keys, &block_keys);

        if (code < 0)
            return code;
        keys += block_keys;
    }
    *count = keys;
    return 0;
}

int ff_fold_range(const struct ff_partial *const *partials, size_t partial_count, unsigned range,
                  unsigned range_count, struct ff_entry *out, size_t *count)
{
    uint64_t first = range_start(range, range_count);
    uint64_t end = range_start(range + 1, range_count);
    struct fold fold = {.partials = partials, .partial_count = partial_count};
    size_t bound = ff_fold_range_bound(partials, partial_count, range, range_count);
    size_t keys = 0;
    int code = FORKFOLD_E_MEMORY;

    if (bound == 0) {
        *count = 0;
        return 0;
    }
    fold.positions = calloc(partial_count, sizeof(*fold.positions));
    fold.ends = calloc(partial_count, sizeof(*fold.ends));
    if (!fold.positions || !fold.ends)
        goto done;
    for (size_t p = 0; p < partial_count; p++)
        fold.positions[p] = ff_partial_lower_bound(partials[p], first);

    code = fold_blocks(&fold, first, end, bound, out, &keys);
    if (code < 0)
        goto done;
    ff_entries_sort(out, keys, FF_BY_RANK);
    *count = keys;
done:
    free(fold.index);
    free(fold.ends);
    free(fold.positions);
    return code;
}
