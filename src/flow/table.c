/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <forkfold/error.h>

#include "platform/checksum.h"
#include "platform/map.h"

enum { SLOT_COUNT_MIN = 64, HEAP_BYTES_MIN = 4096 };

/* From so many slots on, 4 MiB, they lie in huge pages; so many, 2 MiB, fill one. */
enum { SLOT_COUNT_HUGE = 1 << 17, SLOTS_PER_PAGE = 1 << 16 };

static_assert(sizeof(struct ff_slot) == 32, "a slot is half a cache line");

static struct ff_slot *new_slots(size_t slot_count)
{
    return slot_count < SLOT_COUNT_HUGE ? calloc(slot_count, sizeof(struct ff_slot))
                                        : ff_map_huge(slot_count * sizeof(struct ff_slot));
}

static void free_slots(struct ff_slot *slots, size_t slot_count)
{
    if (slot_count < SLOT_COUNT_HUGE)
        free(slots);
    else
        ff_map_release(slots, slot_count * sizeof(*slots));
}

void ff_table_init(struct ff_table *table)
{
    *table = (struct ff_table){0};
}

void ff_table_free(struct ff_table *table)
{
    struct ff_budget *budget = table->budget;

    if (budget != NULL)
        budget->used_bytes -= ff_table_bytes(table);
    free_slots(table->slots, table->slot_count);
    free(table->heap);
    ff_table_init(table);
    table->budget = budget;
}

void ff_table_clear(struct ff_table *table)
{
    if (table->used > 0)
        memset(table->slots, 0, table->slot_count * sizeof(*table->slots));
    table->used = 0;
    table->total = 0;
    table->heap_used = 0;
}

#define LOW_BYTES(count) ((count) >= 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * ((count) % 8)) - 1)
#define MASKS(count)                                                                               \
    {                                                                                              \
        LOW_BYTES(count), (count) > 8 ? LOW_BYTES((count)-8) : 0                                   \
    }

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the first byte of a key is a word's lowest");

const uint64_t ff_short_masks[FF_KEY_INLINE + 1][2] = {
    MASKS(0), MASKS(1),  MASKS(2),  MASKS(3),  MASKS(4),  MASKS(5),  MASKS(6),  MASKS(7), MASKS(8),
    MASKS(9), MASKS(10), MASKS(11), MASKS(12), MASKS(13), MASKS(14), MASKS(15), MASKS(16)};

uint64_t ff_key_hash(const void *key, size_t key_bytes)
{
    uint64_t words[2] = {0, 0};

    if (key_bytes > FF_KEY_INLINE)
        return ff_checksum(key, key_bytes, 0);
    if (key_bytes > 0)
        memcpy(words, key, key_bytes);
    return (uint64_t)ff_short_hash(words[0], words[1], (uint32_t)key_bytes) << 32;
}

/* Short clusters, so that the walk in partial.c needs local sorting only. */
static size_t key_capacity(size_t slot_count)
{
    return slot_count / 16 * 11;
}

/*
 * The next larger number of slots.  Small tables are doubled; of large ones, whose memory counts, a
 * half or a third is added: powers of two and their threes halves.
 */
static uint64_t next_slot_count(uint64_t slot_count)
{
    if (slot_count < SLOT_COUNT_HUGE)
        return slot_count * 2;
    return (slot_count & (slot_count - 1)) == 0 ? slot_count / 2 * 3 : slot_count / 3 * 4;
}

/* Two loads that may overlap cover every length; a call of memcmp would cost more than they do. */
static bool short_keys_equal(const char *a, const char *b, size_t key_bytes)
{
    uint64_t a8[2], b8[2];
    uint32_t a4[2], b4[2];

    if (key_bytes >= 8) {
        memcpy(&a8[0], a, 8);
        memcpy(&b8[0], b, 8);
        memcpy(&a8[1], a + key_bytes - 8, 8);
        memcpy(&b8[1], b + key_bytes - 8, 8);
        return ((a8[0] ^ b8[0]) | (a8[1] ^ b8[1])) == 0;
    }
    if (key_bytes >= 4) {
        memcpy(&a4[0], a, 4);
        memcpy(&b4[0], b, 4);
        memcpy(&a4[1], a + key_bytes - 4, 4);
        memcpy(&b4[1], b + key_bytes - 4, 4);
        return ((a4[0] ^ b4[0]) | (a4[1] ^ b4[1])) == 0;
    }
    for (size_t i = 0; i < key_bytes; i++) {
        if (a[i] != b[i])
            return false;
    }
    return true;
}

static bool slot_holds(const struct ff_slot *slot, const char *heap, uint32_t hash, const char *key,
                       size_t key_bytes)
{
    if (slot->hash != hash || slot->key_bytes != key_bytes)
        return false;
    if (key_bytes <= FF_KEY_INLINE)
        return short_keys_equal(slot->key.inline_key, key, key_bytes);
    return slot->key.far.prefix == ff_key_prefix(key, key_bytes) &&
           memcmp(heap + slot->key.far.heap_offset, key, key_bytes) == 0;
}

/* The slot of the key, or the empty one where it belongs.  The table has slots, some of them empty. */
static struct ff_slot *find_slot(const struct ff_table *table, uint32_t hash, const char *key,
                                 size_t key_bytes)
{
    size_t i = ff_slot_home(hash, table->slot_count);

    while (table->slots[i].count != 0 &&
           !slot_holds(&table->slots[i], table->heap, hash, key, key_bytes))
        i = i + 1 < table->slot_count ? i + 1 : 0;
    return &table->slots[i];
}

static struct ff_slot *find_empty(struct ff_slot *slots, size_t slot_count, uint32_t hash)
{
    size_t i = ff_slot_home(hash, slot_count);

    while (slots[i].count != 0)
        i = i + 1 < slot_count ? i + 1 : 0;
    return &slots[i];
}

/* The slots that so many keys need, no fewer than there are; 0 when no table can have them. */
static size_t slots_for(const struct ff_table *table, size_t key_count)
{
    uint64_t slot_count = table->slot_count > 0 ? table->slot_count : SLOT_COUNT_MIN;

    while (slot_count <= FF_SLOT_COUNT_MAX && key_capacity(slot_count) < key_count)
        slot_count = next_slot_count(slot_count);
    return slot_count <= FF_SLOT_COUNT_MAX ? slot_count : 0;
}

/* The heap for so many more bytes, no smaller than it is; 0 when they pass all bounds. */
static size_t heap_for(const struct ff_table *table, size_t more_bytes)
{
    size_t size = table->heap_size > 0 ? table->heap_size : HEAP_BYTES_MIN;
    size_t needed;

    if (more_bytes == 0)
        return table->heap_size;
    if (__builtin_add_overflow(table->heap_used, more_bytes, &needed))
        return 0;
    while (size < needed) {
        if (__builtin_mul_overflow(size, 2, &size))
            size = needed;
    }
    return size;
}

/* Moves the keys of some slots whose counts lie within bounds to the new slots. */
static void rehash(const struct ff_slot *from, size_t count, struct ff_table *to, uint64_t least,
                   uint64_t most)
{
    for (size_t i = 0; i < count; i++) {
        if (from[i].count >= least && from[i].count <= most)
            *find_empty(to->slots, to->slot_count, from[i].hash) = from[i];
    }
}

/*
 * Moves all keys to new slots and frees the old ones, from the last to the first and a huge page at
 * a time: keys keep their order, so the new slots are filled from the end too, with memory that the
 * old ones have just given back.
 */
static void move_slots(struct ff_table *table, struct ff_slot *slots, size_t slot_count)
{
    struct ff_table to = {.slots = slots, .slot_count = slot_count};
    /* Frequent keys first, so that they lie where their search begins. */
    uint64_t frequent = table->used > 0 ? table->total / table->used * 2 + 1 : 1;
    size_t left = table->slot_count;

    while (left > 0) {
        size_t kept = left > SLOTS_PER_PAGE ? left - SLOTS_PER_PAGE : 0;

        rehash(table->slots + kept, left - kept, &to, frequent, UINT64_MAX);
        rehash(table->slots + kept, left - kept, &to, 1, frequent - 1);
        if (table->slot_count >= SLOT_COUNT_HUGE)
            ff_map_release(table->slots + kept, (left - kept) * sizeof(*table->slots));
        left = kept;
    }
    if (table->slot_count < SLOT_COUNT_HUGE)
        free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
}

static int grow_slots(struct ff_table *table, size_t slot_count)
{
    struct ff_slot *slots;

    if (slot_count == table->slot_count)
        return 0;
    slots = new_slots(slot_count);
    if (!slots)
        return FORKFOLD_E_MEMORY;
    move_slots(table, slots, slot_count);
    return 0;
}

static int grow_heap(struct ff_table *table, size_t size)
{
    char *heap;

    if (size == table->heap_size)
        return 0;
    assert(size > 0); /* it only grows */
    heap = realloc(table->heap, size);
    if (!heap)
        return FORKFOLD_E_MEMORY;
    table->heap = heap;
    table->heap_size = size;
    return 0;
}

static int grow(struct ff_table *table, size_t slot_count, size_t heap_size)
{
    size_t before = ff_table_bytes(table);
    int code = grow_slots(table, slot_count);

    if (code == 0)
        code = grow_heap(table, heap_size);
    if (table->budget != NULL)
        table->budget->used_bytes += ff_table_bytes(table) - before;
    return code;
}

/* Whether the table has grown as far as it may: 1 when room was made instead, or what relieve() says. */
static int relieve(const struct ff_table *table, size_t more_bytes)
{
    struct ff_budget *budget = table->budget;

    if (budget == NULL || budget->used_bytes + more_bytes <= budget->limit_bytes)
        return 0;
    return budget->relieve(budget->context, table);
}

/* Room for more keys, whose long ones take more bytes of heap.  Afterwards the table may be empty. */
static int make_room(struct ff_table *table, size_t more_keys, size_t more_heap_bytes)
{
    for (;;) {
        size_t key_count;
        size_t slot_count = __builtin_add_overflow(table->used, more_keys, &key_count)
                                ? 0
                                : slots_for(table, key_count);
        size_t heap_size = heap_for(table, more_heap_bytes);
        size_t bytes = slot_count * sizeof(*table->slots) + heap_size;
        int relieved;

        if (slot_count == 0)
            return FORKFOLD_E_LIMIT;
        if (more_heap_bytes > 0 && heap_size == 0)
            return FORKFOLD_E_MEMORY;
        if (bytes == ff_table_bytes(table))
            return 0;
        relieved = relieve(table, bytes - ff_table_bytes(table));
        if (relieved < 0)
            return relieved;
        if (relieved == 0)
            return grow(table, slot_count, heap_size);
    }
}

int ff_table_reserve(struct ff_table *table, size_t key_count)
{
    return key_count > table->used ? make_room(table, key_count - table->used, 0) : 0;
}

/* All memory is there before anything changes, so a failure leaves the table as it was. */
static int insert_key(struct ff_table *table, uint32_t hash, const char *key, size_t key_bytes,
                      uint64_t amount)
{
    size_t heap_bytes = key_bytes > FF_KEY_INLINE ? key_bytes : 0;
    struct ff_slot *slot;

    if (table->used >= key_capacity(table->slot_count) ||
        heap_bytes > table->heap_size - table->heap_used) {
        int code = make_room(table, 1, heap_bytes);

        if (code < 0)
            return code;
    }

    slot = find_empty(table->slots, table->slot_count, hash);
    *slot = (struct ff_slot){.count = amount, .hash = hash, .key_bytes = (uint32_t)key_bytes};
    if (key_bytes > FF_KEY_INLINE) {
        slot->key.far.heap_offset = table->heap_used;
        slot->key.far.prefix = ff_key_prefix(key, key_bytes);
        memcpy(table->heap + table->heap_used, key, key_bytes);
        table->heap_used += key_bytes;
    } else if (key_bytes > 0) {
        memcpy(slot->key.inline_key, key, key_bytes);
    }
    table->used++;
    table->total += amount;
    return 0;
}

static int add_hashed(struct ff_table *table, uint32_t hash, const char *key, size_t key_bytes,
                      uint64_t amount)
{
    struct ff_slot *slot;

    /* No sum passes the total, so this is the only sum that can overflow. */
    if (amount > UINT64_MAX - table->total)
        return FORKFOLD_E_LIMIT;
    if (table->slot_count > 0) {
        slot = find_slot(table, hash, key, key_bytes);
        if (slot->count != 0) {
            slot->count += amount;
            table->total += amount;
            return 0;
        }
    }
    /* A sum of 0 would make the slot an empty one that is counted as used. */
    if (amount == 0)
        return 0;
    return insert_key(table, hash, key, key_bytes, amount);
}

int ff_table_add(struct ff_table *table, const void *key, size_t key_bytes, uint64_t amount)
{
    if (key_bytes > FF_KEY_BYTES_MAX)
        return FORKFOLD_E_LIMIT;
    return add_hashed(table, (uint32_t)(ff_key_hash(key, key_bytes) >> 32), key, key_bytes, amount);
}

/* The hash and the length of a slot or a key as one number. */
static inline uint64_t tag_of(const uint32_t *hash_and_bytes)
{
    uint64_t tag;

    memcpy(&tag, hash_and_bytes, sizeof(tag));
    return tag;
}

static const char *bytes_of(const struct ff_key *key)
{
    const char *address;

    if (key->key_bytes <= FF_KEY_INLINE)
        return (const char *)key->words;
    memcpy(&address, &key->words[0], sizeof(address));
    return address;
}

/* Whether a slot holds the key, given that hash and length agree. */
static inline bool slot_holds_key(const struct ff_slot *slot, const char *heap,
                                  const struct ff_key *key)
{
    uint64_t words[2];

    if (key->key_bytes > FF_KEY_INLINE)
        return slot_holds(slot, heap, key->hash, bytes_of(key), key->key_bytes);
    memcpy(words, slot->key.inline_key, sizeof(words));
    return ((words[0] ^ key->words[0]) | (words[1] ^ key->words[1])) == 0;
}

/* As find_slot, from the home of the key on; end is that of the slots. */
static inline struct ff_slot *find_key(const struct ff_table *table, struct ff_homes homes,
                                       const struct ff_slot *end, const struct ff_key *key)
{
    uint64_t tag = tag_of(&key->hash);
    struct ff_slot *slot = ff_home_of(homes, key->hash);

    for (;;) {
        /* An empty slot may have a tag that is 0; no key is empty where it matters. */
        if (tag_of(&slot->hash) == tag && slot_holds_key(slot, table->heap, key))
            return slot;
        if (slot->count == 0)
            return slot;
        if (++slot == end)
            slot = homes.slots;
    }
}

int ff_table_add_keys(struct ff_table *table, const struct ff_key *keys, size_t count)
{
    int code = ff_table_reserve(table, 1);
    struct ff_homes homes;
    const struct ff_slot *end;
    uint64_t known = 0; /* keys added that are not in the total yet */

    if (code < 0)
        return code;
    if (count > UINT64_MAX - table->total)
        return FORKFOLD_E_LIMIT;
    homes = ff_table_homes(table);
    end = table->slots + table->slot_count;
    for (size_t i = 0; i < count; i++) {
        struct ff_slot *slot = find_key(table, homes, end, &keys[i]);

        if (slot->count != 0) {
            slot->count++;
            known++;
            continue;
        }
        table->total += known;
        known = 0;
        code = insert_key(table, keys[i].hash, bytes_of(&keys[i]), keys[i].key_bytes, 1);
        if (code < 0)
            return code;
        homes = ff_table_homes(table);
        end = table->slots + table->slot_count;
    }
    table->total += known;
    return 0;
}

/* How many keys the table lacks of another. */
static size_t count_missing(const struct ff_table *table, const struct ff_table *other)
{
    size_t missing = 0;

    for (size_t i = 0; i < other->slot_count; i++) {
        const struct ff_slot *slot = &other->slots[i];

        if (slot->count == 0)
            continue;
        if (table->slot_count == 0 ||
            find_slot(table, slot->hash, ff_slot_key(slot, other->heap), slot->key_bytes)->count ==
                0)
            missing++;
    }
    return missing;
}

/*
 * Room for the keys that the table lacks of another.  Counting them costs one sequential pass, and
 * only when the table may have to grow; room for the sum of both would often be twice what is needed.
 */
static int make_room_for(struct ff_table *table, const struct ff_table *other)
{
    size_t used;
    int code;

    do {
        if (other->used <= key_capacity(table->slot_count) - table->used)
            return 0;
        used = table->used;
        code = make_room(table, count_missing(table, other), 0);
        /* Emptied to make room, it lacks more of them. */
    } while (code == 0 && table->used < used);
    return code;
}

int ff_table_merge(struct ff_table *into, const struct ff_table *from)
{
    /* The slots come in hash order: see ff_table_reserve. */
    int code = make_room_for(into, from);

    for (size_t i = 0; i < from->slot_count && code == 0; i++) {
        const struct ff_slot *slot = &from->slots[i];

        if (slot->count > 0)
            code = add_hashed(into, slot->hash, ff_slot_key(slot, from->heap), slot->key_bytes,
                              slot->count);
    }
    return code;
}

uint64_t ff_table_get(const struct ff_table *table, const void *key, size_t key_bytes)
{
    if (table->slot_count == 0 || key_bytes > FF_KEY_BYTES_MAX)
        return 0;
    return find_slot(table, (uint32_t)(ff_key_hash(key, key_bytes) >> 32), key, key_bytes)->count;
}
