/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keyed table in private memory: byte-string keys, unsigned 64-bit sums.
 *
 * One worker owns it; nobody else sees it before it is sealed (partial.h).
 * Open addressing by the top bits of the hash, so that walking the slots from
 * first to last meets the keys almost in hash order, which is the order of a
 * sealed partial.  Keys of up to FF_KEY_INLINE bytes lie in their slot; longer
 * ones in a heap that the table owns.
 */
#ifndef FF_FLOW_TABLE_H
#define FF_FLOW_TABLE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FF_KEY_INLINE = 16 };

/* The longest key; a longer one is FORKFOLD_E_LIMIT. */
#define FF_KEY_BYTES_MAX ((size_t)UINT32_MAX)

/*
 * The most slots: past them the 32 bits of hash that a slot keeps no longer tell
 * slots apart.  A table that needs more (about 2.7e9 keys) is FORKFOLD_E_LIMIT.
 */
#define FF_SLOT_COUNT_MAX (UINT64_C(1) << 32)

/* One key.  32 bytes, two to a cache line; count 0 marks an empty slot. */
struct ff_slot {
    uint64_t count;
    uint32_t hash; /* upper half of the key's 64-bit hash */
    uint32_t key_bytes;
    union {
        char inline_key[FF_KEY_INLINE]; /* key_bytes <= FF_KEY_INLINE; the rest is zero */
        struct {
            uint64_t heap_offset; /* of the key in the table's or the partial's heap */
            uint64_t prefix;      /* the first 8 bytes of the key, big-endian */
        } far;
    } key;
};

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
    struct ff_budget *budget; /* borrowed; NULL = none */
    struct ff_slot *slots;    /* slot_count of them; NULL while empty */
    size_t slot_count;
    size_t used;    /* slots that hold a key */
    uint64_t total; /* sum of all counts */
    char *heap;     /* keys longer than FF_KEY_INLINE, one after the other */
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

/* The bytes of a slot's key; heap is that of the table or the partial that the slot belongs to. */
static inline const char *ff_slot_key(const struct ff_slot *slot, const char *heap)
{
    return slot->key_bytes <= FF_KEY_INLINE ? slot->key.inline_key
                                            : heap + slot->key.far.heap_offset;
}

/* The slot where the search for a hash begins: its top bits. */
static inline size_t ff_slot_home(uint32_t hash, size_t slot_count)
{
    return (size_t)(((uint64_t)hash * slot_count) >> 32);
}

/* An empty table holds no memory; {0} is one.  A budget is set after it, and stays. */
void ff_table_init(struct ff_table *table);

/* Frees the memory; the table is empty and usable afterwards, on the same budget. */
void ff_table_free(struct ff_table *table);

/* Forgets the keys and keeps the memory. */
void ff_table_clear(struct ff_table *table);

/* 64-bit hash of a key; the same in every process of a run, not across versions. */
uint64_t ff_key_hash(const void *key, size_t key_bytes);

/*
 * A key on its way to the table, with the hash of its slot.  One of 1 to FF_KEY_INLINE bytes is in
 * two registers, zero-padded; of a longer one the first word is its address.  hash and key_bytes
 * lie as they do in a slot, so that both compare at once.
 */
struct ff_key {
    uint64_t words[2];
    uint32_t hash;
    uint32_t key_bytes;
};

__extension__ typedef unsigned __int128 ff_uint128;

/* The upper half of ff_key_hash for a key whose bytes are in two words, zero-padded. */
static inline uint32_t ff_short_hash(uint64_t low, uint64_t high, uint32_t key_bytes)
{
    /* One multiplication of 64 by 64 bits; the constants are the fractions of two square roots. */
    ff_uint128 product = (ff_uint128)(low ^ key_bytes ^ UINT64_C(0x6a09e667f3bcc908)) *
                         (high ^ UINT64_C(0xbb67ae8584caa73b));

    return (uint32_t)(((uint64_t)(product >> 64) ^ (uint64_t)product) >> 32);
}

/* Which bits of two words belong to a key of so many bytes; little-endian. */
extern const uint64_t ff_short_masks[FF_KEY_INLINE + 1][2];

/* Makes the key of the first key_bytes bytes of two words, whatever lies behind them. */
static inline struct ff_key ff_key_of_words(uint64_t low, uint64_t high, uint32_t key_bytes)
{
    low &= ff_short_masks[key_bytes][0];
    high &= ff_short_masks[key_bytes][1];
    return (struct ff_key){
        .words = {low, high}, .hash = ff_short_hash(low, high, key_bytes), .key_bytes = key_bytes};
}

/* The same of more than FF_KEY_INLINE bytes in memory, which the key borrows. */
static inline struct ff_key ff_key_of_bytes(const void *bytes, uint32_t key_bytes)
{
    struct ff_key key = {.hash = (uint32_t)(ff_key_hash(bytes, key_bytes) >> 32),
                         .key_bytes = key_bytes};

    memcpy(&key.words[0], &bytes, sizeof(bytes));
    return key;
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
 * long, the keys too many, or the total would pass 64 bits), or what the budget's relieve() says;
 * on failure the table is as it was.
 */
int ff_table_add(struct ff_table *table, const void *key, size_t key_bytes, uint64_t amount);

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

/*
 * Adds 1 to the sum of each of count keys; as so many calls of ff_table_add.
 * On failure the keys before the one that failed are added, or none (FORKFOLD_E_LIMIT).
 */
int ff_table_add_keys(struct ff_table *table, const struct ff_key *keys, size_t count);

/* Adds every sum of from to into.  0, FORKFOLD_E_MEMORY or FORKFOLD_E_LIMIT; then into may hold a
 * part. */
int ff_table_merge(struct ff_table *into, const struct ff_table *from);

/* The sum of a key, 0 if it is not there. */
uint64_t ff_table_get(const struct ff_table *table, const void *key, size_t key_bytes);

#endif
