/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keyed table in private memory: byte-string keys, unsigned 64-bit sums, or what a combiner makes
 * of signed values (combiner.h), which "sum" and "amount" then stand for, too.
 *
 * One worker owns it; nobody else sees it before it is sealed (partial.h).
 * Open addressing by the top bits of the hash, so that walking the slots from
 * first to last meets the keys almost in hash order, which is the order of a
 * sealed partial.
 *
 * What most keys and sums need lies in a slot of 16 bytes: a near key, of up to FF_KEY_INLINE
 * bytes, and a sum below 2^28.  The rest lies in a heap that the table owns: far keys, and the keys
 * whose sums have become too large for a slot, each in a record of its own:
 *
 *     FF_SLOT_FAR    key_bytes (4 bytes), key
 *     FF_SLOT_WIDE   sum (8 bytes), key_bytes (4 bytes), key
 */
#ifndef FF_FLOW_TABLE_H
#define FF_FLOW_TABLE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "flow/combiner.h"

enum { FF_KEY_INLINE = 12 };

/* The longest key; a longer one is FORKFOLD_E_LIMIT. */
#define FF_KEY_BYTES_MAX ((size_t)UINT32_MAX)

/*
 * The most slots: past them the 32 bits of hash no longer tell slots apart.  A table that needs
 * more (about 2.7e9 keys) is FORKFOLD_E_LIMIT.
 */
#define FF_SLOT_COUNT_MAX (UINT64_C(1) << 32)

/* What a slot holds: up to FF_KEY_INLINE, a near key of so many bytes. */
enum ff_slot_kind { FF_SLOT_FAR = FF_KEY_INLINE + 1, FF_SLOT_WIDE, FF_SLOT_KIND_MASK = 15 };

/* One key.  16 bytes, four to a cache line. */
struct ff_slot {
    uint64_t low; /* near: the first 8 bytes of the key; otherwise its record's place in the heap */
    uint32_t high;  /* near: the next 4, and zeros behind the key; otherwise the hash */
    uint32_t tally; /* the kind; above it the sum, 0 in a wide slot.  0 = the slot is empty */
};

/* The unit and the largest of the sums that fit a slot. */
#define FF_TALLY_ONE    (UINT32_C(1) << 4)
#define FF_SLOT_SUM_MAX (UINT32_MAX / FF_TALLY_ONE)

/* Bytes behind the heap that can be read. */
enum { FF_HEAP_SLACK = 16 };

struct ff_table;

/*
 * What the tables of one worker may take together.  A table that has to grow
 * past the limit asks relieve() to make room: 1 when it has emptied a table, the growing one or
 * another; 0 when there is none left to empty, and the table then grows all the same; or a
 * negative code, which the adding call returns.
 */
struct ff_budget {
    size_t limit_bytes;
    size_t used_bytes; /* kept by the tables */
    int (*relieve)(void *context, const struct ff_table *growing);
    void *context;
};

struct ff_table {
    struct ff_budget *budget;           /* borrowed; NULL = none */
    const struct ff_combiner *combiner; /* borrowed; NULL = counts, which are added */
    struct ff_slot *slots;              /* slot_count of them; NULL while empty */
    size_t slot_count;
    size_t used;    /* slots that hold a key */
    size_t wide;    /* of those, wide ones */
    uint64_t total; /* sum of all sums; with a combiner modulo 2^64 */
    char *heap;     /* records, one after the other */
    size_t heap_used;
    size_t heap_size;
};

/* What the table holds of the system's memory. */
static inline size_t ff_table_bytes(const struct ff_table *table)
{
    return table->slot_count * sizeof(struct ff_slot) + table->heap_size;
}

/* The first 8 bytes of a key, zero-padded, as a number that compares as they do. */
static inline uint64_t ff_key_prefix(const char *key, size_t key_bytes)
{
    uint64_t prefix = 0;

    if (key_bytes >= sizeof(prefix))
        memcpy(&prefix, key, sizeof(prefix));
    else if (key_bytes > 0)
        memcpy(&prefix, key, key_bytes);
    return be64toh(prefix);
}

static inline unsigned ff_slot_kind(const struct ff_slot *slot)
{
    return slot->tally & FF_SLOT_KIND_MASK;
}

/* Of a slot that is not near: what its record has behind the sum. */
static inline const char *ff_slot_record(const struct ff_slot *slot, const char *heap)
{
    return heap + slot->low + (ff_slot_kind(slot) == FF_SLOT_WIDE ? sizeof(uint64_t) : 0);
}

/* For slots that hold a key, with the heap of their table. */
static inline size_t ff_slot_key_bytes(const struct ff_slot *slot, const char *heap)
{
    uint32_t key_bytes = ff_slot_kind(slot);

    if (key_bytes > FF_KEY_INLINE)
        memcpy(&key_bytes, ff_slot_record(slot, heap), sizeof(key_bytes));
    return key_bytes;
}

static inline const char *ff_slot_key(const struct ff_slot *slot, const char *heap)
{
    return ff_slot_kind(slot) <= FF_KEY_INLINE ? (const char *)slot
                                               : ff_slot_record(slot, heap) + sizeof(uint32_t);
}

static inline uint64_t ff_slot_sum(const struct ff_slot *slot, const char *heap)
{
    uint64_t sum = slot->tally / FF_TALLY_ONE;

    if (ff_slot_kind(slot) == FF_SLOT_WIDE)
        memcpy(&sum, heap + slot->low, sizeof(sum));
    return sum;
}

/* The slot where the search for a hash begins: its top bits. */
static inline size_t ff_slot_home(uint32_t hash, size_t slot_count)
{
    return (size_t)(((uint64_t)hash * slot_count) >> 32);
}

/* An empty table holds no memory; {0} is one.  Budget and combiner are set after it, and stay. */
void ff_table_init(struct ff_table *table);

/* Frees the memory; the table is empty and usable afterwards, on the same budget. */
void ff_table_free(struct ff_table *table);

/* Forgets the keys and keeps the memory. */
void ff_table_clear(struct ff_table *table);

/* 64-bit hash of a key; the same in every process of a run, not across versions. */
uint64_t ff_key_hash(const void *key, size_t key_bytes);

/* A key on its way to the table. */
struct ff_key {
    uint64_t low;  /* near: as in a slot; of a far key its address */
    uint32_t high; /* near: as in a slot */
    uint32_t key_bytes;
    uint32_t hash; /* upper half of ff_key_hash */
};

/* What near keys are multiplied with: the fractions of square roots, made odd. */
#define FF_NEAR_HIGH  UINT64_C(0x3c6ef372fe94f82b)
#define FF_NEAR_FIRST UINT64_C(0x6a09e667f3bcc909)
#define FF_NEAR_LAST  UINT64_C(0xbb67ae8584caa73b)

/*
 * The upper half of ff_key_hash for a near key: two rounds of multiplication, which spread each bit.
 * key_vectors.h does the same for several keys at once.
 */
static inline uint32_t ff_near_hash(uint64_t low, uint32_t high)
{
    uint64_t mixed = (low ^ high * FF_NEAR_HIGH) * FF_NEAR_FIRST;

    return (uint32_t)((mixed ^ mixed >> 32) * FF_NEAR_LAST >> 32);
}

static inline uint32_t ff_slot_hash(const struct ff_slot *slot)
{
    uint32_t near = ff_near_hash(slot->low, slot->high);

    /* Both are there, so that no branch is needed. */
    return ff_slot_kind(slot) <= FF_KEY_INLINE ? near : slot->high;
}

/* Which bits of two words belong to a near key of so many bytes, little-endian, and nothing but its kind. */
struct ff_near_mask {
    uint64_t low;
    uint64_t high;
    struct ff_slot kind;
};
extern const struct ff_near_mask ff_near_masks[FF_KEY_INLINE + 1];

/*
 * Makes a near key of the first key_bytes bytes of two words, whatever lies behind them: as it lies
 * in a slot, with a sum of 0.
 */
static inline struct ff_slot ff_near_key(uint64_t low, uint64_t high, uint32_t key_bytes)
{
    return (struct ff_slot){.low = low & ff_near_masks[key_bytes].low,
                            .high = (uint32_t)(high & ff_near_masks[key_bytes].high),
                            .tally = key_bytes};
}

/* The key of more than FF_KEY_INLINE bytes in memory, which it borrows. */
static inline struct ff_key ff_far_key(const void *bytes, uint32_t key_bytes)
{
    return (struct ff_key){.low = (uintptr_t)bytes,
                           .key_bytes = key_bytes,
                           .hash = (uint32_t)(ff_key_hash(bytes, key_bytes) >> 32)};
}

/*
 * Makes room for key_count keys in all, so that adding up to that many does not grow the slots.
 * 0, FORKFOLD_E_MEMORY, FORKFOLD_E_LIMIT, or what the budget's relieve() says.
 *
 * Whoever adds keys in hash order must reserve first: they would crowd into the first slots of a
 * table that is too small, and each would walk past all the others.
 */
int ff_table_reserve(struct ff_table *table, size_t key_count);

/*
 * Adds amount (> 0) to the key's sum.  0, FORKFOLD_E_MEMORY or FORKFOLD_E_LIMIT (the key is too
 * long, the keys too many, or the total would pass 64 bits), what the budget's relieve() says, or
 * what ff_combine() does; on failure the table is as it was.
 */
int ff_table_add(struct ff_table *table, const void *bytes, size_t key_bytes, uint64_t amount);

/* Where searches in a table begin, until it grows: for loops. */
struct ff_homes {
    struct ff_slot *slots;
    size_t slot_count;
};

static inline struct ff_homes ff_table_homes(const struct ff_table *table)
{
    return (struct ff_homes){.slots = table->slots, .slot_count = table->slot_count};
}

static inline struct ff_slot *ff_home_of(struct ff_homes homes, uint32_t hash)
{
    return &homes.slots[ff_slot_home(hash, homes.slot_count)];
}

/* The homes of near keys. */
static inline void ff_find_homes(struct ff_homes from, const struct ff_slot *keys, size_t count,
                                 struct ff_slot **homes)
{
    for (size_t i = 0; i < count; i++)
        homes[i] = ff_home_of(from, ff_near_hash(keys[i].low, keys[i].high));
}

/*
 * Adds 1 to the sum of each of count keys, all near and none empty, or all far, in a table of counts;
 * as so many calls of ff_table_add.  On failure the keys before the one that failed are added, or none
 * (FORKFOLD_E_LIMIT).  Homes are those of the near keys, found since the table has slots and has last
 * changed; when it grows they are found again.
 */
int ff_table_add_near(struct ff_table *table, const struct ff_slot *keys, struct ff_slot **homes,
                      size_t count);
int ff_table_add_far(struct ff_table *table, const struct ff_key *keys, size_t count);

/* Adds every sum of from to into, which has the same combiner.  0 or as ff_table_add; then into may
 * hold a part. */
int ff_table_merge(struct ff_table *into, const struct ff_table *from);

/* The sum of a key, 0 if it is not there. */
uint64_t ff_table_get(const struct ff_table *table, const void *bytes, size_t key_bytes);

#endif
