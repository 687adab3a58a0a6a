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

#include "flow/record.h"
#include "platform/map.h"

/* Entries that a block should have; and per partial, so that its share of a block is worth a visit. */
enum { BLOCK_ENTRIES = 4096, BLOCK_ENTRIES_PER_PARTIAL = 4 };

enum { INDEX_SLOTS_MIN = 64 };

/* A place of the index: a key of the block, by its number among the block's entries plus one. */
struct ff_fold_index_slot {
    uint32_t hash;
    uint32_t number_plus_one; /* 0 in an empty slot */
};

int ff_fold_open(struct ff_fold *fold, const struct ff_partial *const *partials,
                 size_t partial_count)
{
    *fold = (struct ff_fold){.partials = partials, .partial_count = partial_count};
    fold->positions = calloc(partial_count + 1, sizeof(*fold->positions));
    fold->ends = calloc(partial_count + 1, sizeof(*fold->ends));
    return fold->positions != NULL && fold->ends != NULL ? 0 : FORKFOLD_E_MEMORY;
}

void ff_fold_close(struct ff_fold *fold)
{
    ff_map_free(fold->entries, fold->entries_size * sizeof(*fold->entries));
    free(fold->index);
    free(fold->ends);
    free(fold->positions);
    *fold = (struct ff_fold){0};
}

/* ---- Ranges and blocks --------------------------------------------------- */

static uint64_t range_start(unsigned range, unsigned range_count)
{
    return ((uint64_t)range << 32) / range_count;
}

/*
 * A sum takes no more bytes than its two summands do, so records do not grow; a function of the
 * host's may make any number of two.
 */
size_t ff_fold_range_bound(const struct ff_fold *fold, unsigned range, unsigned range_count)
{
    bool grows = fold->combiner != NULL && fold->combiner->kind == FF_COMBINE_CALL;
    size_t bound = FF_RECORD_SLACK;

    for (size_t p = 0; p < fold->partial_count; p++) {
        struct ff_partial_place first =
            ff_partial_find(fold->partials[p], range_start(range, range_count));
        struct ff_partial_place end =
            ff_partial_find(fold->partials[p], range_start(range + 1, range_count));

        bound += (size_t)(end.record - first.record);
        bound += grows ? (end.number - first.number) * FF_SHORT_NUMBER_MAX : 0;
    }
    return bound;
}

/* Goes to a range; returns how many entries it has. */
static size_t enter_range(struct ff_fold *fold, uint64_t first, uint64_t end)
{
    size_t entry_count = 0;

    for (size_t p = 0; p < fold->partial_count; p++) {
        fold->positions[p] = ff_partial_find(fold->partials[p], first);
        entry_count += ff_partial_find(fold->partials[p], end).number - fold->positions[p].number;
    }
    return entry_count;
}

/* Finds where the block ends in each partial; returns how many entries it has. */
static size_t find_block(struct ff_fold *fold, uint64_t end_hash)
{
    size_t entry_count = 0;

    for (size_t p = 0; p < fold->partial_count; p++) {
        fold->ends[p] = ff_partial_find(fold->partials[p], end_hash);
        entry_count += fold->ends[p].number - fold->positions[p].number;
    }
    return entry_count;
}

/* How many blocks to cut a range into; so few that a block's number times 2^32 fits in 64 bits. */
static uint64_t block_count(const struct ff_fold *fold, size_t entry_count)
{
    size_t wanted = BLOCK_ENTRIES;
    uint64_t blocks;

    if (fold->partial_count > BLOCK_ENTRIES / BLOCK_ENTRIES_PER_PARTIAL)
        wanted = fold->partial_count * BLOCK_ENTRIES_PER_PARTIAL;
    blocks = entry_count / wanted + 1;
    return blocks < UINT64_C(1) << 31 ? blocks : UINT64_C(1) << 31;
}

/* ---- Equal keys ---------------------------------------------------------- */

/* Empties the index and makes it at least half as large again as the block's entries. */
static int prepare_index(struct ff_fold *fold, size_t entry_count)
{
    size_t size = INDEX_SLOTS_MIN;
    struct ff_fold_index_slot *index;

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
    /* What the index names has been written. */
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    return a->prefix == b->prefix && a->key_bytes == b->key_bytes &&
           (a->key_bytes <= 8 || memcmp(a->key + 8, b->key + 8, a->key_bytes - 8) == 0);
}

/* Adds one entry to those of the block, of which there are *count. */
static int fold_entry(struct ff_fold *fold, const struct ff_entry *entry, struct ff_entry *entries,
                      size_t *count)
{
    uint32_t hash = ff_record_hash(entry);
    size_t mask = ((size_t)1 << fold->bits) - 1;
    size_t i = index_home(hash, fold->bits);

    for (; fold->index[i].number_plus_one != 0; i = (i + 1) & mask) {
        struct ff_entry *known = &entries[fold->index[i].number_plus_one - 1];

        if (fold->index[i].hash == hash && same_key(known, entry))
            return ff_combine(fold->combiner, known->count, entry->count, &known->count);
    }
    entries[(*count)++] = *entry;
    fold->index[i] = (struct ff_fold_index_slot){.hash = hash, .number_plus_one = (uint32_t)*count};
    return 0;
}

/* Folds what has a hash below end_hash into entries; *count receives how many. */
static int fold_block(struct ff_fold *fold, uint64_t end_hash, struct ff_entry *entries,
                      size_t *count)
{
    int code = prepare_index(fold, find_block(fold, end_hash));

    *count = 0;
    for (size_t p = 0; code == 0 && p < fold->partial_count; p++) {
        const unsigned char *next = fold->positions[p].record;

        while (code == 0 && next < fold->ends[p].record) {
            struct ff_entry entry;

            next = ff_record_get(next, &entry);
            code = fold_entry(fold, &entry, entries, count);
        }
        fold->positions[p] = fold->ends[p];
    }
    return code;
}

/* ---- Ranges -------------------------------------------------------------- */

/* Room for all entries of a range, and to sort them.  What is there is reused, for memory costs when it is first touched. */
static int prepare_entries(struct ff_fold *fold, size_t entry_count)
{
    struct ff_entry *entries;

    if (2 * entry_count <= fold->entries_size)
        return 0;
    entries = ff_map_grow(NULL, 0, 2 * entry_count * sizeof(*entries));
    if (entries == NULL)
        return FORKFOLD_E_MEMORY;
    ff_map_free(fold->entries, fold->entries_size * sizeof(*entries));
    fold->entries = entries;
    fold->entries_size = 2 * entry_count;
    return 0;
}

static int fold_blocks(struct ff_fold *fold, uint64_t first, uint64_t end, uint64_t blocks,
                       size_t *count)
{
    size_t keys = 0;

    for (uint64_t block = 1; block <= blocks; block++) {
        size_t block_keys;
        int code = fold_block(fold, first + (end - first) * block / blocks, fold->entries + keys,
                              &block_keys);

        if (code < 0)
            return code;
        keys += block_keys;
    }
    *count = keys;
    return 0;
}

static struct ff_run write_run(const struct ff_entry *entries, size_t count, unsigned char *out)
{
    unsigned char *next = out;

    for (size_t i = 0; i < count; i++)
        next = ff_record_put(next, entries[i].key, entries[i].key_bytes, entries[i].count);
    return (struct ff_run){.records = out, .bytes = (size_t)(next - out), .count = count};
}

int ff_fold_range(struct ff_fold *fold, unsigned range, unsigned range_count, unsigned char *out,
                  struct ff_run *run)
{
    uint64_t first = range_start(range, range_count);
    uint64_t end = range_start(range + 1, range_count);
    size_t entry_count = enter_range(fold, first, end);
    size_t count = 0;
    int code = prepare_entries(fold, entry_count);

    if (code == 0 && entry_count > 0)
        code = fold_blocks(fold, first, end, block_count(fold, entry_count), &count);
    if (code < 0)
        return code;
    ff_entries_sort(fold->entries, count, FF_BY_RANK, fold->entries + count);
    *run = write_run(fold->entries, count, out);
    return 0;
}
