/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <forkfold/error.h>

#include "platform/checksum.h"
#include "platform/map.h"

enum { SLOT_COUNT_MIN = 64, HEAP_BYTES_MIN = 4096 };

/* Slots that are looked at before the first of their keys is moved. */
enum { SLOTS_LISTED = 256 };

/* Far keys whose records are asked for before the first is looked at. */
enum { FAR_KEYS_MAX = 64 };

/* From so many slots on they lie in huge pages; so many, 2 MiB, fill one. */
enum { SLOT_COUNT_HUGE = 1 << 17, SLOTS_PER_PAGE = 1 << 17 };

static_assert(sizeof(struct ff_slot) == 16, "four slots are a cache line");
static_assert(offsetof(struct ff_slot, high) == sizeof(uint64_t) &&
                  offsetof(struct ff_key, high) == sizeof(uint64_t),
              "the bytes of a near key lie side by side");
static_assert(FF_SLOT_WIDE <= FF_SLOT_KIND_MASK && FF_SLOT_KIND_MASK < FF_TALLY_ONE,
              "a tally has room for every kind");

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

/* What a heap of so many bytes takes. */
static size_t heap_memory(size_t heap_size)
{
    return heap_size > 0 ? heap_size + FF_HEAP_SLACK : 0;
}

void ff_table_init(struct ff_table *table)
{
    *table = (struct ff_table){0};
}

void ff_table_free(struct ff_table *table)
{
    struct ff_budget *budget = table->budget;
    const struct ff_combiner *combiner = table->combiner;

    if (budget != NULL)
        budget->used_bytes -= ff_table_bytes(table);
    free_slots(table->slots, table->slot_count);
    ff_map_free(table->heap, heap_memory(table->heap_size));
    ff_table_init(table);
    table->budget = budget;
    table->combiner = combiner;
}

void ff_table_clear(struct ff_table *table)
{
    if (table->used > 0)
        memset(table->slots, 0, table->slot_count * sizeof(*table->slots));
    table->used = 0;
    table->wide = 0;
    table->total = 0;
    table->heap_used = 0;
}

#define LOW_BYTES(count) ((count) >= 8 ? ~UINT64_C(0) : (UINT64_C(1) << 8 * ((count) % 8)) - 1)
#define MASK(count)                                                                                \
    {                                                                                              \
        .low = LOW_BYTES(count), .high = (count) > 8 ? LOW_BYTES((count) % 8) : 0, .kind = {       \
            .tally = (count)                                                                       \
        }                                                                                          \
    }

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the first byte of a key is a word's lowest");

const struct ff_near_mask ff_near_masks[FF_KEY_INLINE + 1] = {
    MASK(0), MASK(1), MASK(2), MASK(3),  MASK(4),  MASK(5), MASK(6),
    MASK(7), MASK(8), MASK(9), MASK(10), MASK(11), MASK(12)};

static struct ff_key near_key_of(const char *bytes, uint32_t key_bytes)
{
    uint64_t words[2] = {0, 0};

    if (key_bytes > 0)
        memcpy(words, bytes, key_bytes);
    return (struct ff_key){.low = words[0],
                           .high = (uint32_t)words[1],
                           .key_bytes = key_bytes,
                           .hash = ff_near_hash(words[0], (uint32_t)words[1])};
}

static struct ff_key key_of_bytes(const void *bytes, uint32_t key_bytes)
{
    return key_bytes <= FF_KEY_INLINE ? near_key_of(bytes, key_bytes)
                                      : ff_far_key(bytes, key_bytes);
}

/* It borrows the heap. */
static struct ff_key key_of_slot(const struct ff_slot *slot, const char *heap)
{
    const char *bytes = ff_slot_key(slot, heap);
    uint32_t key_bytes = (uint32_t)ff_slot_key_bytes(slot, heap);

    if (key_bytes <= FF_KEY_INLINE)
        return near_key_of(bytes, key_bytes);
    return (struct ff_key){.low = (uintptr_t)bytes, .key_bytes = key_bytes, .hash = slot->high};
}

uint64_t ff_key_hash(const void *key, size_t key_bytes)
{
    if (key_bytes > FF_KEY_INLINE)
        return ff_checksum(key, key_bytes, 0);
    return (uint64_t)near_key_of(key, (uint32_t)key_bytes).hash << 32;
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

/* ---- Searching ----------------------------------------------------------- */

static const char *bytes_of(const struct ff_key *key)
{
    const char *address;

    if (key->key_bytes <= FF_KEY_INLINE)
        return (const char *)key;
    memcpy(&address, &key->low, sizeof(address));
    return address;
}

/* Whether a near key lies in the slot. */
static inline bool holds_near(const struct ff_slot *slot, const struct ff_key *key)
{
    return ((slot->low ^ key->low) | (slot->high ^ key->high) |
            ((slot->tally ^ key->key_bytes) & FF_SLOT_KIND_MASK)) == 0;
}

/* Most far keys have few bytes more than near ones: a call would cost more than two loads. */
static inline bool same_bytes(const char *a, const char *b, size_t count)
{
    uint64_t a8[2], b8[2];

    if (count < 8 || count > 16)
        return memcmp(a, b, count) == 0;
    memcpy(&a8[0], a, 8);
    memcpy(&b8[0], b, 8);
    memcpy(&a8[1], a + count - 8, 8);
    memcpy(&b8[1], b + count - 8, 8);
    return ((a8[0] ^ b8[0]) | (a8[1] ^ b8[1])) == 0;
}

/* Whether a slot that is not empty holds the key, in whatever way. */
static inline bool holds(const struct ff_slot *slot, const char *heap, const struct ff_key *key)
{
    if (ff_slot_kind(slot) <= FF_KEY_INLINE)
        return key->key_bytes <= FF_KEY_INLINE && holds_near(slot, key);
    return slot->high == key->hash && ff_slot_key_bytes(slot, heap) == key->key_bytes &&
           same_bytes(ff_slot_key(slot, heap), bytes_of(key), key->key_bytes);
}

/* The slot of the key, or the empty one where it belongs.  The table has slots, some of them empty. */
static struct ff_slot *find_slot(const struct ff_table *table, const struct ff_key *key)
{
    size_t i = ff_slot_home(key->hash, table->slot_count);

    while (table->slots[i].tally != 0 && !holds(&table->slots[i], table->heap, key))
        i = i + 1 < table->slot_count ? i + 1 : 0;
    return &table->slots[i];
}

static struct ff_slot *find_empty(struct ff_slot *slots, size_t slot_count, uint32_t hash)
{
    size_t i = ff_slot_home(hash, slot_count);

    while (slots[i].tally != 0)
        i = i + 1 < slot_count ? i + 1 : 0;
    return &slots[i];
}

/* ---- Growing ------------------------------------------------------------- */

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

/*
 * Moves the keys of some slots whose tallies lie within bounds, 1 at least, to the new slots.  Which
 * they are nobody can foresee, so they are listed without branches before they are moved.
 */
static void rehash(const struct ff_slot *from, size_t count, struct ff_table *to, uint32_t least,
                   uint32_t most)
{
    const struct ff_slot *listed[SLOTS_LISTED];

    for (size_t i = 0; i < count;) {
        size_t end = count - i < SLOTS_LISTED ? count : i + SLOTS_LISTED;
        size_t used = 0;

        for (; i < end; i++) {
            listed[used] = &from[i];
            used += from[i].tally - least <= most - least;
        }
        for (size_t k = 0; k < used; k++)
            /* As many have been listed. */
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
            *find_empty(to->slots, to->slot_count, ff_slot_hash(listed[k])) = *listed[k];
    }
}

/* What the tally of a key that is more than twice as frequent as the others has at least. */
static uint32_t frequent_tally(const struct ff_table *table)
{
    uint64_t sum = table->used > 0 ? table->total / table->used * 2 + 1 : 1;

    return (uint32_t)(sum < FF_SLOT_SUM_MAX ? sum : FF_SLOT_SUM_MAX) * FF_TALLY_ONE;
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
    uint32_t frequent = frequent_tally(table);
    size_t left = table->slot_count;

    while (left > 0) {
        size_t kept = left > SLOTS_PER_PAGE ? left - SLOTS_PER_PAGE : 0;

        rehash(table->slots + kept, left - kept, &to, frequent, UINT32_MAX);
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
    heap = ff_map_grow(table->heap, heap_memory(table->heap_size), heap_memory(size));
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

/* ---- Adding -------------------------------------------------------------- */

/* What a record takes beside its key. */
static size_t head_bytes(unsigned kind)
{
    return sizeof(uint32_t) + (kind == FF_SLOT_WIDE ? sizeof(uint64_t) : 0);
}

/* Puts a record with the key into the heap, which has room, and its place into the slot. */
static void write_record(struct ff_table *table, struct ff_slot *slot, const struct ff_key *key,
                         unsigned kind)
{
    char *record = table->heap + table->heap_used + head_bytes(kind) - sizeof(uint32_t);

    slot->low = table->heap_used;
    slot->high = key->hash;
    memcpy(record, &key->key_bytes, sizeof(uint32_t));
    memcpy(record + sizeof(uint32_t), bytes_of(key), key->key_bytes);
    table->heap_used += head_bytes(kind) + key->key_bytes;
}

/*
 * What the slot of a key will be when its sum has become this.  One that is wide stays so: its record
 * is there, and what a combiner makes of values may shrink and grow again.
 */
static unsigned kind_with(const struct ff_slot *slot, const struct ff_key *key, uint64_t sum)
{
    if (sum > FF_SLOT_SUM_MAX || ff_slot_kind(slot) == FF_SLOT_WIDE)
        return FF_SLOT_WIDE;
    return key->key_bytes <= FF_KEY_INLINE ? key->key_bytes : FF_SLOT_FAR;
}

/* The bytes of a record that the key needs and does not have. */
static size_t missing_bytes(const struct ff_slot *slot, unsigned kind, const struct ff_key *key)
{
    bool has_record = slot->tally != 0 && ff_slot_kind(slot) == kind;

    return kind <= FF_KEY_INLINE || has_record ? 0 : head_bytes(kind) + key->key_bytes;
}

/* Gives a slot of the key, or an empty one, this sum.  There is room. */
static void store_sum(struct ff_table *table, struct ff_slot *slot, const struct ff_key *key,
                      uint64_t sum)
{
    unsigned kind = kind_with(slot, key, sum);

    table->used += slot->tally == 0;
    if (missing_bytes(slot, kind, key) > 0) {
        write_record(table, slot, key, kind);
        table->wide += kind == FF_SLOT_WIDE;
    } else if (kind <= FF_KEY_INLINE) {
        slot->low = key->low;
        slot->high = key->high;
    }
    if (kind == FF_SLOT_WIDE)
        memcpy(table->heap + slot->low, &sum, sizeof(sum));
    slot->tally = kind == FF_SLOT_WIDE ? kind : (uint32_t)sum * FF_TALLY_ONE + kind;
}

/* All memory is there before anything changes, so a failure leaves the table as it was. */
static int add(struct ff_table *table, const struct ff_key *key, uint64_t amount)
{
    int code;

    /* No count passes the total, so this is the only sum of counts that can overflow. */
    if (table->combiner == NULL && amount > UINT64_MAX - table->total)
        return FORKFOLD_E_LIMIT;
    /* A sum of 0 would make the slot an empty one that is counted as used. */
    if (amount == 0)
        return 0;
    code = ff_table_reserve(table, 1);
    while (code == 0) {
        struct ff_slot *slot = find_slot(table, key);
        uint64_t before = slot->tally != 0 ? ff_slot_sum(slot, table->heap) : 0;
        uint64_t sum = amount;
        size_t more_keys = slot->tally == 0;
        size_t more_bytes;

        if (before != 0)
            code = ff_combine(table->combiner, before, amount, &sum);
        if (code < 0)
            break;
        more_bytes = missing_bytes(slot, kind_with(slot, key, sum), key);

        if (more_keys <= key_capacity(table->slot_count) - table->used &&
            more_bytes <= table->heap_size - table->heap_used) {
            store_sum(table, slot, key, sum);
            table->total += sum - before;
            break;
        }
        /* Afterwards the key lies elsewhere, or nowhere: the table may have been emptied. */
        code = make_room(table, more_keys, more_bytes);
    }
    return code;
}

int ff_table_add(struct ff_table *table, const void *bytes, size_t key_bytes, uint64_t amount)
{
    struct ff_key key;

    if (key_bytes > FF_KEY_BYTES_MAX)
        return FORKFOLD_E_LIMIT;
    key = key_of_bytes(bytes, (uint32_t)key_bytes);
    return add(table, &key, amount);
}

/* What a slot has behind low, as one number: high, and above it the tally. */
static inline uint64_t upper_of(const struct ff_slot *slot)
{
    uint64_t upper;

    memcpy(&upper, &slot->high, sizeof(upper));
    return upper;
}

#define UPPER_ONE ((uint64_t)FF_TALLY_ONE << 32)

/* Whether the slot holds the near key. */
static inline bool is_slot_of(const struct ff_slot *slot, const struct ff_slot *key)
{
    return slot->low == key->low && (upper_of(slot) & (UPPER_ONE - 1)) == upper_of(key);
}

/*
 * Adds 1 to each sum up to the first key that is not at its home, or whose sum has no room.  Returns
 * how many.  This is where most words of a text are counted, so each instruction shows.
 */
static size_t add_at_home(const struct ff_slot *keys, struct ff_slot *const *homes, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        struct ff_slot *slot = homes[i];
        uint64_t upper = upper_of(slot);

        if (!is_slot_of(slot, &keys[i]) || __builtin_add_overflow(upper, UPPER_ONE, &upper))
            break;
        memcpy(&slot->high, &upper, sizeof(upper));
    }
    return i;
}

/*
 * Lets a key have its home, where it is met first, if it is more frequent than the one there.  That
 * one's home is no later, and all slots from there on are used: it is found where the other was.
 */
static void go_home(struct ff_slot *slot, struct ff_slot *home)
{
    struct ff_slot there = *home;

    if (slot->tally <= there.tally)
        return;
    *home = *slot;
    *slot = there;
}

/* The same for one key, wherever it is or belongs. */
static int add_one_near(struct ff_table *table, const struct ff_slot *key, struct ff_slot *home)
{
    const struct ff_slot *end = table->slots + table->slot_count;
    struct ff_slot *slot = home;

    while (slot->tally != 0 && !is_slot_of(slot, key)) {
        if (++slot == end)
            slot = table->slots;
    }
    if (slot->tally - 1 < FF_SLOT_SUM_MAX * FF_TALLY_ONE - 1) {
        slot->tally += FF_TALLY_ONE;
        go_home(slot, home);
    } else if (slot->tally == 0 && table->wide == 0 &&
               table->used < key_capacity(table->slot_count)) {
        *slot = *key;
        slot->tally += FF_TALLY_ONE;
        table->used++;
    } else {
        /* There is no room, or it may have a wide slot, or should. */
        struct ff_key found = {.low = key->low,
                               .high = key->high,
                               .key_bytes = key->tally,
                               .hash = ff_near_hash(key->low, key->high)};

        return add(table, &found, 1);
    }
    table->total++;
    return 0;
}

int ff_table_add_near(struct ff_table *table, const struct ff_slot *keys, struct ff_slot **homes,
                      size_t count)
{
    struct ff_homes from = ff_table_homes(table);
    size_t i = 0;
    int code = 0;

    if (count > UINT64_MAX - table->total)
        return FORKFOLD_E_LIMIT;
    while (i < count && code == 0) {
        size_t at_home = add_at_home(keys + i, homes + i, count - i);

        table->total += at_home;
        i += at_home;
        if (i == count)
            break;
        code = add_one_near(table, &keys[i], homes[i]);
        i++;
        if (table->slots != from.slots || table->slot_count != from.slot_count) {
            from = ff_table_homes(table);
            ff_find_homes(from, keys + i, count - i, homes + i);
        }
    }
    return code;
}

/* The slot that most likely holds a far key, or an empty one; its record is asked for. */
static struct ff_slot *foresee_far(const struct ff_table *table, struct ff_homes homes,
                                   const struct ff_key *key)
{
    const struct ff_slot *end = homes.slots + homes.slot_count;
    struct ff_slot *slot = ff_home_of(homes, key->hash);

    while (slot->tally != 0 && (slot->high != key->hash || ff_slot_kind(slot) <= FF_KEY_INLINE)) {
        if (++slot == end)
            slot = homes.slots;
    }
    __builtin_prefetch(table->heap + slot->low);
    return slot;
}

/* Whether a slot holds a far key, and one more fits its sum. */
static inline bool has_room_for_far(const struct ff_slot *slot, const char *heap,
                                    const struct ff_key *key)
{
    return ff_slot_kind(slot) == FF_SLOT_FAR && slot->tally / FF_TALLY_ONE < FF_SLOT_SUM_MAX &&
           holds(slot, heap, key);
}

/* Up to FAR_KEYS_MAX of them. */
static int add_far(struct ff_table *table, const struct ff_key *keys, size_t count)
{
    struct ff_homes homes = ff_table_homes(table);
    struct ff_slot *slots[FAR_KEYS_MAX];
    int code = 0;

    for (size_t i = 0; i < count; i++)
        slots[i] = foresee_far(table, homes, &keys[i]);
    for (size_t i = 0; i < count && code == 0; i++) {
        /* Adding may move the slots, or empty them. */
        if (table->slots == homes.slots && has_room_for_far(slots[i], table->heap, &keys[i])) {
            slots[i]->tally += FF_TALLY_ONE;
            table->total++;
        } else {
            code = add(table, &keys[i], 1);
        }
    }
    return code;
}

int ff_table_add_far(struct ff_table *table, const struct ff_key *keys, size_t count)
{
    int code = ff_table_reserve(table, 1);

    if (count > UINT64_MAX - table->total)
        return FORKFOLD_E_LIMIT;
    while (count > 0 && code == 0) {
        size_t now = count < FAR_KEYS_MAX ? count : FAR_KEYS_MAX;

        code = add_far(table, keys, now);
        keys += now;
        count -= now;
    }
    return code;
}

/* ---- Merging ------------------------------------------------------------- */

static bool lacks(const struct ff_table *table, const struct ff_key *key)
{
    return table->slot_count == 0 || find_slot(table, key)->tally == 0;
}

/* How many keys the table lacks of another. */
static size_t count_missing(const struct ff_table *table, const struct ff_table *other)
{
    size_t missing = 0;

    for (size_t i = 0; i < other->slot_count; i++) {
        const struct ff_slot *slot = &other->slots[i];

        if (slot->tally != 0) {
            struct ff_key key = key_of_slot(slot, other->heap);

            missing += lacks(table, &key);
        }
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

        if (slot->tally != 0) {
            struct ff_key key = key_of_slot(slot, from->heap);

            code = add(into, &key, ff_slot_sum(slot, from->heap));
        }
    }
    return code;
}

uint64_t ff_table_get(const struct ff_table *table, const void *bytes, size_t key_bytes)
{
    struct ff_key key;
    const struct ff_slot *slot;

    if (table->slot_count == 0 || key_bytes > FF_KEY_BYTES_MAX)
        return 0;
    key = key_of_bytes(bytes, (uint32_t)key_bytes);
    slot = find_slot(table, &key);
    return slot->tally != 0 ? ff_slot_sum(slot, table->heap) : 0;
}
