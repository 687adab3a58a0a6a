/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/partial.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/record.h"

enum { ALIGNMENT = 64, RECORDS_PER_CELL = 32, CELL_BITS_MAX = 30 };

/* What the record of a near key takes at most, with a sum that fits its slot. */
enum { NEAR_RECORD_MAX = 4 + 1 + FF_KEY_INLINE };

/* Slots whose keys are put in order at once, or more, as clusters are not torn apart. */
enum { SLOTS_AT_ONCE = 256 };

static_assert(sizeof(struct ff_partial) == ALIGNMENT, "the cells start at a cache line");
static_assert(FF_SLOT_SUM_MAX < UINT32_C(1) << 7 * 4, "four bytes hold a sum that fits a slot");
static_assert((int)FF_RECORD_HEAD_MAX <= (int)NEAR_RECORD_MAX, "so do longer heads");

/* ---- The layout ---------------------------------------------------------- */

static unsigned cell_bits_for(uint64_t entry_count)
{
    unsigned bits = 0;

    while (bits < CELL_BITS_MAX && entry_count >> bits > RECORDS_PER_CELL)
        bits++;
    return bits;
}

static size_t cells_bytes(unsigned cell_bits)
{
    return (((size_t)1 << cell_bits) + 1) * sizeof(struct ff_partial_cell);
}

/* The cell of a hash. */
static uint64_t cell_of(uint64_t hash, unsigned cell_bits)
{
    return hash >> (32 - cell_bits);
}

static size_t bytes_with(size_t record_bytes, unsigned cell_bits)
{
    size_t bytes =
        sizeof(struct ff_partial) + cells_bytes(cell_bits) + record_bytes + FF_RECORD_SLACK;

    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static const struct ff_partial_cell *cells_of(const struct ff_partial *partial)
{
    return (const struct ff_partial_cell *)(partial + 1);
}

const unsigned char *ff_partial_records(const struct ff_partial *partial)
{
    return (const unsigned char *)(partial + 1) + cells_bytes((unsigned)partial->cell_bits);
}

/*
 * A far key's record takes ten bytes beside the key at most, a wide sum's 15, of which twelve are in
 * the heap.  The table's memory is about as large, so the sum stays far below SIZE_MAX.
 */
size_t ff_partial_bound(const struct ff_table *table)
{
    return bytes_with(table->used * NEAR_RECORD_MAX + table->heap_used, cell_bits_for(table->used));
}

/* ---- Writing ------------------------------------------------------------- */

/* A slot that is about to be written. */
struct member {
    uint32_t hash;
    const struct ff_slot *slot;
};

struct writer {
    struct ff_partial *partial;
    struct ff_partial_cell *cells;
    uint64_t cells_used;
    unsigned char *records;
    unsigned char *next;
    uint64_t count;
    const struct ff_table *table;
    struct member *members; /* of whole clusters: none is out of order with what is not here */
    size_t member_count;
    size_t member_room;
};

static bool is_before(const struct member *a, const struct member *b, const char *heap)
{
    if (a->hash != b->hash)
        return a->hash < b->hash;

    struct ff_entry left = ff_entry_of(a->slot, heap);
    struct ff_entry right = ff_entry_of(b->slot, heap);

    return ff_entry_compare(&left, &right, FF_BY_KEY) < 0;
}

static int reserve_members(struct writer *writer, size_t more)
{
    size_t room = 2 * (writer->member_count + more);
    void *grown;

    if (more <= writer->member_room - writer->member_count)
        return 0;
    grown = realloc(writer->members, room * sizeof(*writer->members));
    if (grown == NULL)
        return FORKFOLD_E_MEMORY;
    writer->members = grown;
    writer->member_room = room;
    return 0;
}

/*
 * Adds those of some slots that are used, whichever these are: nobody can foresee it, so there is no
 * branch.  Long keys lie in the heap as they came, all over it: they are fetched meanwhile.
 */
static void add_members(struct writer *writer, const struct ff_slot *slots, size_t count)
{
    const char *heap = writer->table->heap;

    for (size_t i = 0; i < count; i++) {
        bool is_near = ff_slot_kind(&slots[i]) <= FF_KEY_INLINE;

        writer->members[writer->member_count] =
            (struct member){.hash = ff_slot_hash(&slots[i]), .slot = &slots[i]};
        writer->member_count += slots[i].tally != 0;
        __builtin_prefetch(is_near ? (const char *)&slots[i] : heap + slots[i].low);
    }
}

/* By insertion: a key is out of order with those of its own cluster only, and these are few. */
static void sort_members(struct writer *writer)
{
    struct member *members = writer->members;

    for (size_t i = 1; i < writer->member_count; i++) {
        struct member member = members[i];
        size_t place = i;

        for (; place > 0 && is_before(&member, &members[place - 1], writer->table->heap); place--)
            members[place] = members[place - 1];
        members[place] = member;
    }
}

/* All cells up to the given one begin at the next record, but those that have begun. */
static void begin_cells(struct writer *writer, uint64_t last)
{
    for (; writer->cells_used <= last; writer->cells_used++)
        writer->cells[writer->cells_used] = (struct ff_partial_cell){
            .offset = (uint64_t)(writer->next - writer->records), .number = writer->count};
}

static void write_members(struct writer *writer)
{
    sort_members(writer);
    for (size_t i = 0; i < writer->member_count; i++) {
        const struct member *member = &writer->members[i];
        struct ff_entry entry = ff_entry_of(member->slot, writer->table->heap);

        begin_cells(writer, cell_of(member->hash, (unsigned)writer->partial->cell_bits));
        writer->next = ff_record_put(writer->next, entry.key, entry.key_bytes, entry.count);
        writer->count++;
    }
    writer->member_count = 0;
}

/* Adds those of the first slots that wrapped around, as their homes behind them tell, or the others. */
static void add_first_members(struct writer *writer, size_t count, bool wrapped)
{
    const struct ff_table *table = writer->table;

    for (size_t i = 0; i < count; i++) {
        size_t home = ff_slot_home(ff_slot_hash(&table->slots[i]), table->slot_count);

        if ((home > i) == wrapped)
            add_members(writer, &table->slots[i], 1);
    }
}

/*
 * A key lies between its home and the next empty slot, so it is out of order with keys of its own
 * cluster only, and a cluster is a few slots long: the insertion sort takes linear time in all.  The
 * cluster at the end of the array may go on at its start; its keys there come last.
 */
static int write_records(struct writer *writer)
{
    const struct ff_slot *slots = writer->table->slots;
    size_t slot_count = writer->table->slot_count;
    size_t first_empty = 0;
    int code;

    while (first_empty < slot_count && slots[first_empty].tally != 0)
        first_empty++;
    code = reserve_members(writer, first_empty);
    if (code == 0)
        add_first_members(writer, first_empty, false);
    for (size_t i = first_empty; i < slot_count && code == 0;) {
        size_t end = slot_count - i < SLOTS_AT_ONCE ? slot_count : i + SLOTS_AT_ONCE;

        /* The first of these slots is empty. */
        write_members(writer);
        while (end < slot_count && slots[end].tally != 0)
            end++;
        code = reserve_members(writer, end - i + first_empty);
        if (code == 0)
            add_members(writer, slots + i, end - i);
        i = end;
    }
    if (code == 0) {
        add_first_members(writer, first_empty, true);
        write_members(writer);
    }
    return code;
}

int ff_partial_write(struct ff_partial *to, const struct ff_table *table)
{
    unsigned cell_bits = cell_bits_for(table->used);
    struct writer writer = {.partial = to, .table = table};
    int code;

    *to = (struct ff_partial){.magic = FF_PARTIAL_MAGIC,
                              .entry_count = table->used,
                              .total = table->total,
                              .cell_bits = cell_bits};
    writer.cells = (struct ff_partial_cell *)(to + 1);
    writer.records = writer.next = (unsigned char *)ff_partial_records(to);
    code = write_records(&writer);
    free(writer.members);
    if (code < 0)
        return code;
    begin_cells(&writer, UINT64_C(1) << cell_bits);
    to->record_bytes = (uint64_t)(writer.next - writer.records);
    to->bytes = bytes_with(to->record_bytes, cell_bits);
    /* The bytes of a partial depend on its keys and sums alone. */
    memset(writer.next, 0, (size_t)((unsigned char *)to + to->bytes - writer.next));
    return 0;
}

/* ---- Checking ------------------------------------------------------------ */

/* Whether the parts that the header names fill exactly the bytes it claims, within room. */
static bool sizes_are_sound(const struct ff_partial *header, size_t room)
{
    uint64_t left = header->bytes;
    size_t cells;

    if (header->bytes < sizeof(*header) || header->bytes > room || header->bytes % ALIGNMENT != 0)
        return false;
    if (header->cell_bits != cell_bits_for(header->entry_count))
        return false;
    left -= sizeof(*header);
    cells = cells_bytes((unsigned)header->cell_bits);
    if (cells > left || header->record_bytes > left - cells)
        return false;
    return header->bytes == bytes_with(header->record_bytes, (unsigned)header->cell_bits);
}

/* Whether the cells that have not been looked at, up to the given one, begin at a place. */
static bool cells_begin(const struct ff_partial *partial, uint64_t *looked_at, uint64_t last,
                        uint64_t offset, uint64_t number)
{
    for (; *looked_at <= last; ++*looked_at) {
        const struct ff_partial_cell *cell = &cells_of(partial)[*looked_at];

        if (cell->offset != offset || cell->number != number)
            return false;
    }
    return true;
}

static bool is_zero(const unsigned char *bytes, const unsigned char *end)
{
    while (bytes < end)
        if (*bytes++ != 0)
            return false;
    return true;
}

static bool records_are_sound(const struct ff_partial *partial, bool total_wraps)
{
    const unsigned char *records = ff_partial_records(partial);
    const unsigned char *end = records + partial->record_bytes;
    const unsigned char *next = records;
    unsigned cell_bits = (unsigned)partial->cell_bits;
    struct ff_entry last = {0};
    uint64_t last_hash = 0;
    uint64_t total = 0;
    uint64_t cells = 0;

    for (uint64_t i = 0; i < partial->entry_count; i++) {
        uint64_t offset = (uint64_t)(next - records);
        struct ff_entry entry;
        uint32_t hash;

        next = ff_record_take(next, end, &entry);
        if (next == NULL || (__builtin_add_overflow(total, entry.count, &total) && !total_wraps))
            return false;
        hash = ff_record_hash(&entry);
        if (i > 0 && (hash < last_hash ||
                      (hash == last_hash && ff_entry_compare(&last, &entry, FF_BY_KEY) >= 0)))
            return false;
        if (!cells_begin(partial, &cells, cell_of(hash, cell_bits), offset, i))
            return false;
        last = entry;
        last_hash = hash;
    }
    return next == end && total == partial->total &&
           cells_begin(partial, &cells, UINT64_C(1) << cell_bits, partial->record_bytes,
                       partial->entry_count) &&
           is_zero(end, (const unsigned char *)partial + partial->bytes);
}

static bool is_sound(const struct ff_partial *partial, size_t room, bool total_wraps)
{
    if ((uintptr_t)partial % alignof(struct ff_partial) != 0 || room < sizeof(*partial))
        return false;
    if (partial->magic != FF_PARTIAL_MAGIC || !sizes_are_sound(partial, room))
        return false;
    if ((partial->reserved[0] | partial->reserved[1]) != 0)
        return false;
    return records_are_sound(partial, total_wraps);
}

bool ff_partial_is_sound(const struct ff_partial *partial, size_t room)
{
    return is_sound(partial, room, false);
}

bool ff_partial_of_values_is_sound(const struct ff_partial *partial, size_t room)
{
    return is_sound(partial, room, true);
}

/* ---- Reading ------------------------------------------------------------- */

struct ff_partial_place ff_partial_find(const struct ff_partial *partial, uint64_t hash)
{
    const struct ff_partial_cell *cell =
        &cells_of(partial)[cell_of(hash, (unsigned)partial->cell_bits)];
    struct ff_partial_place place = {.record = ff_partial_records(partial) + cell->offset,
                                     .number = cell->number};

    while (place.number < partial->entry_count) {
        struct ff_entry entry;
        const unsigned char *next = ff_record_get(place.record, &entry);

        if (ff_record_hash(&entry) >= hash)
            break;
        place.record = next;
        place.number++;
    }
    return place;
}

/* How many of the keys the table lacks. */
static size_t count_missing(const struct ff_partial *partial, const struct ff_table *table)
{
    const unsigned char *next = ff_partial_records(partial);
    size_t missing = 0;

    for (uint64_t i = 0; i < partial->entry_count; i++) {
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        missing += ff_table_get(table, entry.key, entry.key_bytes) == 0;
    }
    return missing;
}

/* Keys come in hash order, so there has to be room for all: see ff_table_reserve. */
static int reserve(const struct ff_partial *partial, struct ff_table *into)
{
    size_t used;
    int code;

    do {
        used = into->used;
        code = ff_table_reserve(into, used + count_missing(partial, into));
        /* Emptied to make room, it lacks more of them. */
    } while (code == 0 && into->used < used);
    return code;
}

int ff_partial_add_to(const struct ff_partial *partial, struct ff_table *into)
{
    const unsigned char *next = ff_partial_records(partial);
    int code = reserve(partial, into);

    for (uint64_t i = 0; i < partial->entry_count && code == 0; i++) {
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        code = ff_table_add(into, entry.key, entry.key_bytes, entry.count);
    }
    return code;
}
