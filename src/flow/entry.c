/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries are sorted by digits, most significant first.  A digit is some bits of a
 * sort word, the count or eight bytes of the key, from the first bit on in which the entries
 * differ: letters of one script have more bits in common than not.  The worst case is linear in
 * the bytes to compare.
 */
#include "flow/entry.h"

#include <stdbool.h>
#include <string.h>

/* Up to so many entries are sorted by insertion. */
enum { INSERTION_MAX = 24 };

enum { WORD_BYTES = sizeof(uint64_t), DIGIT_BITS_MAX = 11, BUCKETS = 1 << DIGIT_BITS_MAX };

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

/* Some bits of one of the sort words. */
struct digit {
    bool is_of_count;
    unsigned shift;
    unsigned bits; /* 0: the entries do not differ */
};

/* The bits from the highest on in which the sort words of the entries differ. */
static struct digit first_digit(const struct ff_entry *entries, size_t count, enum ff_order order)
{
    /* A quarter to half as many buckets as entries, up to as many as the first-level cache bears. */
    unsigned wanted = 64 - (unsigned)__builtin_clzll(count) - 2;
    unsigned most = wanted < DIGIT_BITS_MAX ? wanted : DIGIT_BITS_MAX;
    uint64_t counts = 0;
    uint64_t prefixes = 0;

    for (size_t i = 1; i < count; i++) {
        counts |= entries[i].count ^ entries[0].count;
        prefixes |= entries[i].prefix ^ entries[0].prefix;
    }

    bool is_of_count = order == FF_BY_RANK && counts != 0;
    uint64_t differing = is_of_count ? counts : prefixes;
    unsigned width = differing != 0 ? 64 - (unsigned)__builtin_clzll(differing) : 0;
    unsigned bits = width < most ? width : most;

    return (struct digit){.is_of_count = is_of_count, .shift = width - bits, .bits = bits};
}

/* An entry's digit: the higher count comes first, so its bits are inverted. */
static inline unsigned digit_of(const struct ff_entry *entry, struct digit digit)
{
    uint64_t word = digit.is_of_count ? ~entry->count : entry->prefix;

    return (unsigned)(word >> digit.shift) & ((1U << digit.bits) - 1);
}

/* Moves every entry into the bucket of its digit, from which next says where the first place is. */
static void permute(struct ff_entry *entries, struct digit digit, size_t next[BUCKETS],
                    const size_t ends[BUCKETS])
{
    for (unsigned bucket = 0; bucket < 1U << digit.bits; bucket++) {
        while (next[bucket] < ends[bucket]) {
            struct ff_entry entry = entries[next[bucket]];
            unsigned home = digit_of(&entry, digit);

            while (home != bucket) {
                struct ff_entry displaced = entries[next[home]];

                entries[next[home]++] = entry;
                entry = displaced;
                home = digit_of(&entry, digit);
            }
            entries[next[bucket]++] = entry;
        }
    }
}

/* The same by way of other memory: two moves for each entry, but none waits for another. */
static void deal(struct ff_entry *entries, size_t count, struct digit digit, size_t next[BUCKETS],
                 struct ff_entry *scratch)
{
    for (size_t i = 0; i < count; i++)
        scratch[next[digit_of(&entries[i], digit)]++] = entries[i];
    memcpy(entries, scratch, count * sizeof(*entries));
}

/* Moves every entry into the bucket of its digit; ends receives where each bucket ends. */
static void distribute(struct ff_entry *entries, size_t count, struct digit digit,
                       size_t ends[BUCKETS], struct ff_entry *scratch)
{
    unsigned buckets = 1U << digit.bits;
    size_t next[BUCKETS];
    size_t start = 0;

    memset(ends, 0, buckets * sizeof(*ends));
    for (size_t i = 0; i < count; i++)
        ends[digit_of(&entries[i], digit)]++;
    for (unsigned bucket = 0; bucket < buckets; bucket++) {
        next[bucket] = start;
        start += ends[bucket];
        ends[bucket] = start;
    }
    if (scratch != NULL)
        deal(entries, count, digit, next, scratch);
    else
        permute(entries, digit, next, ends);
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

static void sort_entries(struct ff_entry *entries, size_t count, size_t depth, enum ff_order order,
                         struct ff_entry *scratch);

/*
 * Sorts every bucket but the largest; *first and the result say where that lies.  The caller goes
 * on with it in a loop, so each recursion at least halves the entries, and the stack stays small
 * however long the keys are.
 */
static size_t sort_smaller_buckets(struct ff_entry *entries, const size_t ends[BUCKETS],
                                   unsigned buckets, size_t depth, enum ff_order order,
                                   struct ff_entry *scratch, size_t *first)
{
    size_t start = 0;
    size_t largest = 0;

    *first = 0;
    for (unsigned bucket = 0; bucket < buckets; bucket++) {
        size_t count = ends[bucket] - start;

        if (count > largest) {
            sort_entries(entries + *first, largest, depth, order, scratch);
            *first = start;
            largest = count;
        } else {
            sort_entries(entries + start, count, depth, order, scratch);
        }
        start = ends[bucket];
    }
    return largest;
}

/* Sorts entries that agree in count and prefix by the rest of the key, and gives the prefix back. */
static void sort_tails(struct ff_entry *entries, size_t count, enum ff_order order,
                       struct ff_entry *scratch)
{
    uint64_t prefix = entries[0].prefix;
    size_t ended = advance(entries, count, 0, order);

    sort_entries(entries + ended, count - ended, WORD_BYTES, order, scratch);
    for (size_t i = ended; i < count; i++)
        entries[i].prefix = prefix;
}

/*
 * Sorts by count and key.  While it sorts keys that agree in their first depth
 * bytes, their prefix field holds the 8 bytes behind; ff_entry_compare stays
 * right for them, for it only tells them apart earlier.
 */
static void sort_entries(struct ff_entry *entries, size_t count, size_t depth, enum ff_order order,
                         struct ff_entry *scratch)
{
    while (count > INSERTION_MAX) {
        size_t ends[BUCKETS];
        size_t skipped;
        struct digit digit = first_digit(entries, count, order);

        if (digit.bits > 0) {
            distribute(entries, count, digit, ends, scratch);
            count = sort_smaller_buckets(entries, ends, 1U << digit.bits, depth, order, scratch,
                                         &skipped);
            entries += skipped;
        } else if (depth > 0) {
            skipped = advance(entries, count, depth, order);
            entries += skipped;
            count -= skipped;
            depth += WORD_BYTES;
        } else {
            sort_tails(entries, count, order, scratch);
            return;
        }
    }
    insertion_sort(entries, count, order);
}

void ff_entries_sort(struct ff_entry *entries, size_t count, enum ff_order order,
                     struct ff_entry *scratch)
{
    sort_entries(entries, count, 0, order, scratch);
}
