/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries are sorted by their bytes, most significant first and in place: for the order of the
 * result the first eight bytes are the count.  The worst case is linear in the bytes to compare,
 * and no memory is needed.
 */
#include "flow/entry.h"

#include <limits.h>
#include <string.h>

/* Up to so many entries are sorted by insertion. */
enum { INSERTION_MAX = 24 };

enum { WORD_BYTES = sizeof(uint64_t), BUCKETS = 256 };

static int compare_keys(const struct ff_entry *a, const struct ff_entry *b)
{
    uint64_t shared = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int order;

    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    if (shared > WORD_BYTES) {
        order = memcmp(a->key + WORD_BYTES, b->key + WORD_BYTES, shared - WORD_BYTES);
        if (order != 0)
            return order;
    }
    return (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
}

int ff_entry_compare(const struct ff_entry *a, const struct ff_entry *b, enum ff_order order)
{
    if (order == FF_BY_RANK && a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return compare_keys(a, b);
}

static void insertion_sort(struct ff_entry *entries, size_t count, enum ff_order order)
{
    for (size_t i = 1; i < count; i++) {
        struct ff_entry entry = entries[i];
        size_t place = i;

        while (place > 0 && ff_entry_compare(&entry, &entries[place - 1], order) < 0) {
            entries[place] = entries[place - 1];
            place--;
        }
        entries[place] = entry;
    }
}

/* The first byte in which the sort words of the entries differ, or -1: 0 to 7 of the count, 8 to 15
 * of the prefix. */
static int first_difference(const struct ff_entry *entries, size_t count, enum ff_order order)
{
    uint64_t counts = 0;
    uint64_t prefixes = 0;

    for (size_t i = 1; i < count; i++) {
        counts |= entries[i].count ^ entries[0].count;
        prefixes |= entries[i].prefix ^ entries[0].prefix;
    }
    if (order == FF_BY_RANK && counts != 0)
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
static size_t advance(struct ff_entry *entries, size_t count, size_t depth, enum ff_order order)
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
    insertion_sort(entries, ended, order);
    return ended;
}

static void sort_entries(struct ff_entry *entries, size_t count, size_t depth, enum ff_order order);

/*
 * Sorts every bucket but the largest; *first and the result say where that lies.  The caller goes
 * on with it in a loop, so each recursion at least halves the entries, and the stack stays small
 * however long the keys are.
 */
static size_t sort_smaller_buckets(struct ff_entry *entries, const size_t ends[BUCKETS],
                                   size_t depth, enum ff_order order, size_t *first)
{
    size_t start = 0;
    size_t largest = 0;

    *first = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        size_t count = ends[bucket] - start;

        if (count > largest) {
            sort_entries(entries + *first, largest, depth, order);
            *first = start;
            largest = count;
        } else {
            sort_entries(entries + start, count, depth, order);
        }
        start = ends[bucket];
    }
    return largest;
}

/* Sorts entries that agree in count and prefix by the rest of the key, and gives the prefix back. */
static void sort_tails(struct ff_entry *entries, size_t count, enum ff_order order)
{
    uint64_t prefix = entries[0].prefix;
    size_t ended = advance(entries, count, 0, order);

    sort_entries(entries + ended, count - ended, WORD_BYTES, order);
    for (size_t i = ended; i < count; i++)
        entries[i].prefix = prefix;
}

/*
 * Sorts by count and key.  While it sorts keys that agree in their first depth
 * bytes, their prefix field holds the 8 bytes behind; ff_entry_compare stays
 * right for them, for it only tells them apart earlier.
 */
static void sort_entries(struct ff_entry *entries, size_t count, size_t depth, enum ff_order order)
{
    while (count > INSERTION_MAX) {
        size_t ends[BUCKETS];
        size_t skipped;
        int byte = first_difference(entries, count, order);

        if (byte >= 0) {
            distribute(entries, count, byte, ends);
            count = sort_smaller_buckets(entries, ends, depth, order, &skipped);
            entries += skipped;
        } else if (depth > 0) {
            skipped = advance(entries, count, depth, order);
            entries += skipped;
            count -= skipped;
            depth += WORD_BYTES;
        } else {
            sort_tails(entries, count, order);
            return;
        }
    }
    insertion_sort(entries, count, order);
}

void ff_entries_sort(struct ff_entry *entries, size_t count, enum ff_order order)
{
    sort_entries(entries, count, 0, order);
}
