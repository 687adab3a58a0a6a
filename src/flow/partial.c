/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/partial.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

enum { ALIGNMENT = 64 };

static_assert(sizeof(struct ff_partial) == ALIGNMENT, "the slots start at a cache line");

static int compare_slots(const struct ff_slot *a, const char *a_heap, const struct ff_slot *b,
                         const char *b_heap)
{
    size_t shared = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int order;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    order = memcmp(ff_slot_key(a, a_heap), ff_slot_key(b, b_heap), shared);
    if (order != 0)
        return order;
    return (a->key_bytes > b->key_bytes) - (a->key_bytes < b->key_bytes);
}

/* The table's memory holds all of this already, so the sum stays far below SIZE_MAX. */
size_t ff_partial_bytes(const struct ff_table *table)
{
    size_t bytes =
        sizeof(struct ff_partial) + table->used * sizeof(struct ff_slot) + table->heap_used;

    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Appends a slot to count ordered ones; those behind its place move up. */
static void insert_slot(struct ff_slot *slots, size_t count, const struct ff_slot *slot,
                        const char *heap)
{
    while (count > 0 && compare_slots(slot, heap, &slots[count - 1], heap) < 0) {
        slots[count] = slots[count - 1];
        count--;
    }
    slots[count] = *slot;
}

/*
 * Writes the table's slots in order, their offsets still those of the table.
 *
 * A key lies between its home and the next empty slot, so it is out of order
 * with keys of its own cluster only, and a cluster is a few slots long: the
 * insertion sort takes linear time in all.  The cluster at the end of the
 * array may go on at its start; its keys there are told by a home behind their
 * slot, and come last.
 */
static void write_slots(struct ff_slot *to, const struct ff_table *table)
{
    size_t count = 0;

    for (size_t i = 0; i < table->slot_count; i++) {
        const struct ff_slot *slot = &table->slots[i];

        if (slot->count != 0 && ff_slot_home(slot->hash, table->slot_count) <= i)
            insert_slot(to, count++, slot, table->heap);
    }
    for (size_t i = 0; count < table->used; i++) {
        const struct ff_slot *slot = &table->slots[i];

        if (ff_slot_home(slot->hash, table->slot_count) > i)
            insert_slot(to, count++, slot, table->heap);
    }
}

void ff_partial_write(struct ff_partial *to, const struct ff_table *table)
{
    struct ff_slot *slots = (struct ff_slot *)(to + 1);
    char *heap = (char *)(slots + table->used);
    size_t offset = 0;

    *to = (struct ff_partial){
        .magic = FF_PARTIAL_MAGIC,
        .bytes = ff_partial_bytes(table),
        .entry_count = table->used,
        .heap_bytes = table->heap_used,
        .total = table->total,
    };
    write_slots(slots, table);
    for (size_t i = 0; i < table->used; i++) {
        if (slots[i].key_bytes <= FF_KEY_INLINE)
            continue;
        memcpy(heap + offset, table->heap + slots[i].key.far.heap_offset, slots[i].key_bytes);
        slots[i].key.far.heap_offset = offset;
        offset += slots[i].key_bytes;
    }
    /* The bytes of a partial depend on its keys and sums alone. */
    memset(heap + offset, 0, (size_t)((char *)to + to->bytes - (heap + offset)));
}

/* Whether the parts that the header names fill exactly the bytes it claims, within room. */
static bool sizes_are_sound(const struct ff_partial *header, size_t room)
{
    uint64_t left = header->bytes;

    if (header->bytes < sizeof(*header) || header->bytes > room || header->bytes % ALIGNMENT != 0)
        return false;
    left -= sizeof(*header);
    if (header->entry_count > left / sizeof(struct ff_slot))
        return false;
    left -= header->entry_count * sizeof(struct ff_slot);
    return header->heap_bytes <= left && left - header->heap_bytes < ALIGNMENT;
}

/* Whether the key lies where the keys before it end, and its slot is filled as a writer fills it. */
static bool key_is_sound(const struct ff_slot *slot, const char *heap, uint64_t heap_bytes,
                         uint64_t offset)
{
    static const char zeros[FF_KEY_INLINE];

    if (slot->key_bytes <= FF_KEY_INLINE)
        return memcmp(slot->key.inline_key + slot->key_bytes, zeros,
                      FF_KEY_INLINE - slot->key_bytes) == 0;
    return slot->key.far.heap_offset == offset && slot->key_bytes <= heap_bytes - offset &&
           slot->key.far.prefix == ff_key_prefix(heap + offset, slot->key_bytes);
}

bool ff_partial_is_sound(const struct ff_partial *partial, size_t room)
{
    const struct ff_slot *slots;
    const char *heap;
    uint64_t offset = 0;
    uint64_t total = 0;

    if ((uintptr_t)partial % alignof(struct ff_partial) != 0 || room < sizeof(*partial))
        return false;
    if (partial->magic != FF_PARTIAL_MAGIC || !sizes_are_sound(partial, room))
        return false;
    if ((partial->reserved[0] | partial->reserved[1] | partial->reserved[2]) != 0)
        return false;

    slots = ff_partial_slots(partial);
    heap = ff_partial_heap(partial);
    for (uint64_t i = 0; i < partial->entry_count; i++) {
        if (slots[i].count == 0 || __builtin_add_overflow(total, slots[i].count, &total))
            return false;
        if (!key_is_sound(&slots[i], heap, partial->heap_bytes, offset))
            return false;
        if (slots[i].key_bytes > FF_KEY_INLINE)
            offset += slots[i].key_bytes;
        if (i > 0 && compare_slots(&slots[i - 1], heap, &slots[i], heap) >= 0)
            return false;
    }
    return offset == partial->heap_bytes && total == partial->total;
}

const struct ff_slot *ff_partial_slots(const struct ff_partial *partial)
{
    return (const struct ff_slot *)(partial + 1);
}

const char *ff_partial_heap(const struct ff_partial *partial)
{
    return (const char *)(ff_partial_slots(partial) + partial->entry_count);
}

size_t ff_partial_lower_bound(const struct ff_partial *partial, uint64_t hash)
{
    const struct ff_slot *slots = ff_partial_slots(partial);
    size_t low = 0;
    size_t high = partial->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slots[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int ff_partial_add_to(const struct ff_partial *partial, struct ff_table *into)
{
    return ff_table_add_slots(into, ff_partial_slots(partial), partial->entry_count,
                              ff_partial_heap(partial));
}
