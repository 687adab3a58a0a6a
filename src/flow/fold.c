/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A range is folded block by block.  A block is a part of the range's hashes
 * with so few entries that the index which finds equal keys stays in the
 * processor's second-level cache.  Every partial is in hash order, so it is
 * read once from front to back, a piece for each block.
 *
 * The keys of a range are then sorted by their bytes, most significant first
 * and in place, where the first eight bytes are the count.  Its worst case is
 * linear in the bytes to compare, and it needs no memory.
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

/* Up to so many entries are sorted by insertion. */
enum { INSERTION_MAX = 24 };

/* How far ahead of its use the merge asks for a key's memory. */
enum { KEYS_AHEAD = 4 };

enum { WORD_BYTES = sizeof(uint64_t), BUCKETS = 256 };

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

int ff_entry_compare(const struct ff_entry *a, const struct ff_entry *b)
{
    uint64_t shared = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int order;

    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    if (shared > WORD_BYTES) {
        order = memcmp(a->key + WORD_BYTES, b->key + WORD_BYTES, shared - WORD_BYTES);
        if (order != 0)
            return order;
    }
    return (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
}

static void insertion_sort(struct ff_entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ff_entry entry = entries[i];
        size_t place = i;

        while (place > 0 && ff_entry_compare(&entry, &entries[place - 1]) < 0) {
            entries[place] = entries[place - 1];
            place--;
        }
        entries[place] = entry;
    }
}

/* The first byte in which the sort words of the entries differ, or -1: 0 to 7 of the count, 8 to 15
 * of the prefix. */
static int first_difference(const struct ff_entry *entries, size_t count)
{
    uint64_t counts = 0;
    uint64_t prefixes = 0;

    for (size_t i = 1; i < count; i++) {
        counts |= entries[i].count ^ entries[0].count;
        prefixes |= entries[i].prefix ^ entries[0].prefix;
    }
    if (counts != 0)
        return __builtin_clzll(counts) / CHAR_BIT;
    return prefixes != 0 ? WORD_BYTES + __builtin_clzll(prefixes) / CHAR_BIT : -1;
}

/* The byte of an entry's sort words: the higher count comes first, so its bytes are inverted. */
static unsigned sort_byte(const struct ff_entry *entry, int byte)
{
    if (byte < WORD_BYTES)
        return (unsigned char)(~entry->count >> (CHAR_BIT * (WORD_BYTES - 1 - byte)));
    return (unsigned char)(entry->prefix >> (CHAR_BIT * (2 * WORD_BYTES - 1 - byte)));
}

/* Moves every entry into the bucket of its byte; ends receives where each bucket ends. */
static void distribute(struct ff_entry *entries, size_t count, int byte, size_t ends[BUCKETS])
{
    size_t next[BUCKETS];
    size_t start = 0;

    memset(ends, 0, BUCKETS * sizeof(*ends));
    for (size_t i = 0; i < count; i++)
        ends[sort_byte(&entries[i], byte)]++;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        next[bucket] = start;
        start += ends[bucket];
        ends[bucket] = start;
    }
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        while (next[bucket] < ends[bucket]) {
            struct ff_entry entry = entries[next[bucket]];
            unsigned home = sort_byte(&entry, byte);

            while (home != bucket) {
                struct ff_entry displaced = entries[next[home]];

                entries[next[home]++] = entry;
                entry = displaced;
                home = sort_byte(&entry, byte);
            }
            entries[next[bucket]++] = entry;
        }
    }
}

/*
 * For entries that agree in the key up to depth + 8 bytes: sorts those whose key
 * ends there to the front and gives the others their next 8 bytes as prefix.
 * Returns how many keys end; each has a length of its own, so they are few.
 */
static size_t advance(struct ff_entry *entries, size_t count, size_t depth)
{
    size_t ended = 0;

    for (size_t i = 0; i < count; i++) {
        struct ff_entry entry = entries[i];

        if (entry.key_bytes > depth + WORD_BYTES) {
            size_t used = depth + WORD_BYTES;

            entries[i].prefix = ff_key_prefix(entry.key + used, entry.key_bytes - used);
        } else {
            entries[i] = entries[ended];
            entries[ended++] = entry;
        }
    }
    insertion_sort(entries, ended);
    return ended;
}

static void sort_entries(struct ff_entry *entries, size_t count, size_t depth);

/*
 * Sorts every bucket but the largest; *first and the result say where that lies.  The caller goes
 * on with it in a loop, so each recursion at least halves the entries, and the stack stays small
 * however long the keys are.
 */
static size_t sort_smaller_buckets(struct ff_entry *entries, const size_t ends[BUCKETS],
                                   size_t depth, size_t *first)
{
    size_t start = 0;
    size_t largest = 0;

    *first = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        size_t count = ends[bucket] - start;

        if (count > largest) {
            sort_entries(entries + *first, largest, depth);
            *first = start;
            largest = count;
        } else {
            sort_entries(entries + start, count, depth);
        }
        start = ends[bucket];
    }
    return largest;
}

/* Sorts entries that agree in count and prefix by the rest of the key, and gives the prefix back. */
static void sort_tails(struct ff_entry *entries, size_t count)
{
    uint64_t prefix = entries[0].prefix;
    size_t ended = advance(entries, count, 0);

    sort_entries(entries + ended, count - ended, WORD_BYTES);
    for (size_t i = ended; i < count; i++)
        entries[i].prefix = prefix;
}

/*
 * Sorts by count and key.  While it sorts keys that agree in their first depth
 * bytes, their prefix field holds the 8 bytes behind; ff_entry_compare stays
 * right for them, for it only tells them apart earlier.
 */
static void sort_entries(struct ff_entry *entries, size_t count, size_t depth)
{
    while (count > INSERTION_MAX) {
        size_t ends[BUCKETS];
        size_t skipped;
        int byte = first_difference(entries, count);

        if (byte >= 0) {
            distribute(entries, count, byte, ends);
            count = sort_smaller_buckets(entries, ends, depth, &skipped);
            entries += skipped;
        } else if (depth > 0) {
            skipped = advance(entries, count, depth);
            entries += skipped;
            count -= skipped;
            depth += WORD_BYTES;
        } else {
            sort_tails(entries, count);
            return;
        }
    }
    insertion_sort(entries, count);
}

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

static struct ff_entry entry_of(const struct ff_partial *partial, const struct ff_slot *slot)
{
    const char *key = ff_partial_key(partial, slot);
    bool is_inline = slot->key_bytes <= FF_KEY_INLINE;

    return (struct ff_entry){
        .count = slot->count,
        .prefix = is_inline ? ff_key_prefix(key, sizeof(uint64_t)) : slot->key.far.prefix,
        .key = key,
        .key_bytes = slot->key_bytes,
    };
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
            struct ff_entry entry = entry_of(partial, &slots[i]);

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
    sort_entries(out, keys, 0);
    *count = keys;
done:
    free(fold.index);
    free(fold.ends);
    free(fold.positions);
    return code;
}

/* Whether run a is to be read before run b; both have entries left. */
static bool run_before(const struct ff_merge *merge, unsigned a, unsigned b)
{
    int order = ff_entry_compare(&merge->runs[a].entries[merge->positions[a]],
                                 &merge->runs[b].entries[merge->positions[b]]);

    return order != 0 ? order < 0 : a < b;
}

static void sift_down(struct ff_merge *merge, size_t place)
{
    unsigned run = merge->heap[place];

    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= merge->heap_count)
            break;
        if (child + 1 < merge->heap_count &&
            run_before(merge, merge->heap[child + 1], merge->heap[child]))
            child++;
        if (run_before(merge, run, merge->heap[child]))
            break;
        merge->heap[place] = merge->heap[child];
        place = child;
    }
    merge->heap[place] = run;
}

int ff_merge_init(struct ff_merge *merge, const struct ff_run *runs, size_t run_count)
{
    struct ff_merge made = {.runs = runs, .run_count = run_count};

    if (run_count > UINT_MAX)
        return FORKFOLD_E_LIMIT;
    if (run_count > 0) {
        made.positions = calloc(run_count, sizeof(*made.positions));
        made.heap = calloc(run_count, sizeof(*made.heap));
        if (!made.positions || !made.heap) {
            ff_merge_free(&made);
            return FORKFOLD_E_MEMORY;
        }
    }
    ff_merge_rewind(&made);
    *merge = made;
    return 0;
}

void ff_merge_rewind(struct ff_merge *merge)
{
    merge->heap_count = 0;
    for (size_t run = 0; run < merge->run_count; run++) {
        merge->positions[run] = 0;
        if (merge->runs[run].count > 0)
            merge->heap[merge->heap_count++] = (unsigned)run;
    }
    for (size_t place = merge->heap_count / 2; place-- > 0;)
        sift_down(merge, place);
}

const struct ff_entry *ff_merge_next(struct ff_merge *merge)
{
    const struct ff_entry *entry;
    unsigned run;

    if (merge->heap_count == 0)
        return NULL;
    run = merge->heap[0];
    entry = &merge->runs[run].entries[merge->positions[run]++];
    /* Keys lie all over the partials; the run's later ones are fetched while others are read. */
    if (merge->runs[run].count - merge->positions[run] > KEYS_AHEAD)
        __builtin_prefetch(entry[KEYS_AHEAD].key);
    if (merge->positions[run] == merge->runs[run].count)
        merge->heap[0] = merge->heap[--merge->heap_count];
    if (merge->heap_count > 0)
        sift_down(merge, 0);
    return entry;
}

void ff_merge_free(struct ff_merge *merge)
{
    free(merge->positions);
    free(merge->heap);
    *merge = (struct ff_merge){0};
}
