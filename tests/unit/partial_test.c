/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "flow/partial.h"
#include "random_keys.h"

/* The memory is full of bytes that are others at each call. */
static struct ff_partial *allocate_partial(size_t bytes)
{
    static unsigned char filling = 0xa5;
    struct ff_partial *partial = aligned_alloc(64, bytes);

    assert_non_null(partial);
    memset(partial, filling++, bytes);
    return partial;
}

static struct ff_partial *write_partial(const struct ff_table *table)
{
    struct ff_partial *partial = allocate_partial(ff_partial_bytes(table));

    ff_partial_write(partial, table);
    assert_int_equal(partial->bytes, ff_partial_bytes(table));
    assert_true(ff_partial_is_sound(partial, partial->bytes));
    return partial;
}

/* A table with a random sum for about half of the keys. */
static struct ff_table make_random_table(struct random_keys *set)
{
    struct ff_table table = {0};

    for (size_t i = 0; i < set->count; i++) {
        struct random_key *key = &set->keys[i];

        key->sum = random_below(10) * random_below(2);
        assert_int_equal(ff_table_add(&table, key->bytes, key->length, key->sum), 0);
    }
    return table;
}

static void assert_strictly_ordered(const struct ff_partial *partial)
{
    const struct ff_slot *slots = ff_partial_slots(partial);

    for (size_t i = 1; i < partial->entry_count; i++) {
        const struct ff_slot *a = &slots[i - 1];
        const struct ff_slot *b = &slots[i];

        assert_true(a->hash <= b->hash);
        if (a->hash == b->hash)
            assert_true(compare_key_bytes(ff_slot_key(a, ff_partial_heap(partial)), a->key_bytes,
                                          ff_slot_key(b, ff_partial_heap(partial)),
                                          b->key_bytes) < 0);
    }
}

static void empty_table_makes_a_sound_partial(void **state)
{
    struct ff_table table = {0};
    struct ff_partial *partial = write_partial(&table);

    (void)state;
    assert_int_equal(partial->bytes, sizeof(*partial));
    assert_int_equal(partial->entry_count, 0);
    assert_int_equal(ff_partial_lower_bound(partial, 0), 0);
    assert_int_equal(ff_partial_add_to(partial, &table), 0);
    assert_int_equal(table.used, 0);
    free(partial);
    ff_table_free(&table);
}

static void partial_holds_every_sum_in_hash_order(void **state)
{
    struct random_keys set = make_random_keys(3000);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial = write_partial(&table);
    const struct ff_slot *slots = ff_partial_slots(partial);

    (void)state;
    assert_int_equal(partial->entry_count, table.used);
    assert_int_equal(partial->total, table.total);
    assert_strictly_ordered(partial);
    for (size_t i = 0; i < partial->entry_count; i++) {
        const char *key = ff_slot_key(&slots[i], ff_partial_heap(partial));

        assert_int_equal(slots[i].hash, ff_key_hash(key, slots[i].key_bytes) >> 32);
        assert_int_equal(slots[i].count, ff_table_get(&table, key, slots[i].key_bytes));
    }
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

static void same_sums_make_the_same_bytes(void **state)
{
    struct random_keys set = make_random_keys(2000);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial = write_partial(&table);
    struct ff_table other = {0};
    struct ff_partial *other_partial;

    (void)state;
    /* Other order, other table size, sums in two steps. */
    assert_int_equal(ff_table_reserve(&other, 20000), 0);
    for (size_t i = set.count; i-- > 0;) {
        struct random_key *key = &set.keys[i];

        assert_int_equal(ff_table_add(&other, key->bytes, key->length, key->sum / 2), 0);
        assert_int_equal(ff_table_add(&other, key->bytes, key->length, key->sum - key->sum / 2), 0);
    }
    other_partial = write_partial(&other);
    assert_int_equal(partial->bytes, other_partial->bytes);
    assert_memory_equal(partial, other_partial, partial->bytes);
    free(other_partial);
    ff_table_free(&other);
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

/* Keys whose home is one of the last slots, so that their cluster goes on at the first ones. */
static void cluster_that_wraps_around_is_written_in_order(void **state)
{
    struct ff_table table = {0};
    struct ff_partial *partial;
    uint32_t late = 0;
    uint32_t early = 0;

    (void)state;
    for (uint32_t i = 0; late < 12 || early < 12; i++) {
        size_t home = ff_slot_home((uint32_t)(ff_key_hash(&i, sizeof(i)) >> 32), 64);

        if (home >= 60 && late < 12) {
            assert_int_equal(ff_table_add(&table, &i, sizeof(i), i + 1), 0);
            late++;
        } else if (home < 4 && late == 12 && early < 12) {
            assert_int_equal(ff_table_add(&table, &i, sizeof(i), i + 1), 0);
            early++;
        }
    }
    assert_int_equal(table.slot_count, 64);
    assert_true(ff_slot_home(table.slots[0].hash, 64) >= 60);
    partial = write_partial(&table);
    assert_strictly_ordered(partial);
    free(partial);
    ff_table_free(&table);
}

struct hashed_number {
    uint32_t hash;
    uint32_t number;
};

static int compare_hashed_numbers(const void *a, const void *b)
{
    const struct hashed_number *left = a;
    const struct hashed_number *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* Two numbers whose bytes, as keys, have the same 32 bits of hash. */
static void find_equal_hashes(uint32_t *first, uint32_t *second)
{
    enum { COUNT = 1 << 19 };
    struct hashed_number *numbers = malloc(COUNT * sizeof(*numbers));
    size_t i = 1;

    assert_non_null(numbers);
    for (uint32_t n = 0; n < COUNT; n++) {
        uint32_t number = n * UINT32_C(0x9E3779B1); /* neighbours seldom collide: spread them */

        numbers[n].hash = (uint32_t)(ff_key_hash(&number, sizeof(number)) >> 32);
        numbers[n].number = number;
    }
    qsort(numbers, COUNT, sizeof(*numbers), compare_hashed_numbers);
    while (i < COUNT && numbers[i - 1].hash != numbers[i].hash)
        i++;
    assert_true(i < COUNT);
    *first = numbers[i - 1].number;
    *second = numbers[i].number;
    free(numbers);
}

static void keys_with_equal_hashes_are_ordered_by_their_bytes(void **state)
{
    uint32_t numbers[2];

    (void)state;
    find_equal_hashes(&numbers[0], &numbers[1]);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct ff_table table = {0};
        struct ff_partial *partial;

        ff_table_add(&table, &numbers[turn], sizeof(uint32_t), 1 + turn);
        ff_table_add(&table, &numbers[1 - turn], sizeof(uint32_t), 2 - turn);
        assert_int_equal(ff_table_get(&table, &numbers[0], sizeof(uint32_t)), 1);
        assert_int_equal(ff_table_get(&table, &numbers[1], sizeof(uint32_t)), 2);
        partial = write_partial(&table);
        assert_int_equal(partial->entry_count, 2);
        assert_strictly_ordered(partial);
        free(partial);
        ff_table_free(&table);
    }
}

static void lower_bound_finds_the_first_entry_not_below(void **state)
{
    struct random_keys set = make_random_keys(300);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial = write_partial(&table);
    const struct ff_slot *slots = ff_partial_slots(partial);

    (void)state;
    assert_int_equal(ff_partial_lower_bound(partial, 0), 0);
    assert_int_equal(ff_partial_lower_bound(partial, UINT64_C(1) << 32), partial->entry_count);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t hash = i % 2 == 0 ? random_u64() >> 32
                                   : slots[random_below(partial->entry_count)].hash + i / 2 % 2;
        size_t expected = 0;

        while (expected < partial->entry_count && slots[expected].hash < hash)
            expected++;
        assert_int_equal(ff_partial_lower_bound(partial, hash), expected);
    }
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

static void partial_adds_every_sum_to_a_table(void **state)
{
    struct random_keys set = make_random_keys(2000);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial = write_partial(&table);
    struct ff_table into = {0};

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++)
        assert_int_equal(ff_partial_add_to(partial, &into), 0);
    for (size_t i = 0; i < set.count; i++)
        assert_int_equal(ff_table_get(&into, set.keys[i].bytes, set.keys[i].length),
                         2 * set.keys[i].sum);
    assert_int_equal(into.used, table.used);
    ff_table_free(&into);
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

/*
 * A sound partial of a short, a full inline, and two long keys with chosen
 * hashes; the second key is the beginning of the third.  There is room for 64
 * more bytes behind it.
 */
static struct ff_partial *write_small_partial(void)
{
    static const char heap[] = "0123456789abcdefghia key that is longer";
    const size_t bytes = 64 + 4 * sizeof(struct ff_slot) + 64;
    struct ff_partial *partial = allocate_partial(bytes + 64);
    struct ff_slot *slots = (struct ff_slot *)(partial + 1);
    uint64_t prefix = ff_key_prefix(heap, 8);

    memset(partial, 0, bytes + 64);
    partial->magic = FF_PARTIAL_MAGIC;
    partial->bytes = bytes;
    partial->entry_count = 4;
    partial->heap_bytes = sizeof(heap) - 1;
    partial->total = 10;
    slots[0] = (struct ff_slot){.count = 1, .hash = 0, .key_bytes = 1, .key.inline_key = "a"};
    slots[1] = (struct ff_slot){.count = 2, .hash = 7, .key_bytes = 16};
    memcpy(slots[1].key.inline_key, "0123456789abcdef", 16);
    slots[2] = (struct ff_slot){.count = 3, .hash = 7, .key_bytes = 19};
    slots[2].key.far.prefix = prefix;
    slots[3] = (struct ff_slot){.count = 4, .hash = UINT32_MAX, .key_bytes = 20};
    slots[3].key.far.heap_offset = 19;
    slots[3].key.far.prefix = ff_key_prefix(heap + 19, 8);
    memcpy(slots + 4, heap, sizeof(heap) - 1);
    return partial;
}

enum damage {
    NOTHING,
    ZERO_COUNT,
    TOTAL,
    TOTAL_OVERFLOW,
    HASHES_DESCEND,
    KEYS_DESCEND,
    KEY_TWICE,
    INLINE_REST,
    PREFIX,
    OFFSET_SHARED,
    OFFSET_HUGE,
    LENGTH_PAST_HEAP,
    LENGTH_SHORT,
    ENTRY_COUNT_HUGE,
    ENTRY_COUNT_WRAPS,
    HEAP_BYTES_HUGE,
    HEAP_BYTES_SHORT,
    BYTES_HUGE,
    BYTES_ODD,
    BYTES_SHORT,
    BYTES_PADDED,
    BYTES_ZERO,
    MAGIC,
    RESERVED,
    DAMAGE_COUNT
};

static void damage_partial(struct ff_partial *partial, enum damage damage)
{
    struct ff_slot *slots = (struct ff_slot *)(partial + 1);

    switch (damage) {
    case NOTHING:
    case DAMAGE_COUNT:
        break;
    case ZERO_COUNT:
        slots[1].count = 0;
        partial->total = 8;
        break;
    case TOTAL:
        partial->total++;
        break;
    case TOTAL_OVERFLOW:
        slots[0].count = UINT64_MAX;
        partial->total = 8;
        break;
    case HASHES_DESCEND:
        slots[0].hash = 8;
        break;
    case KEYS_DESCEND:
        slots[0].hash = 7;
        break;
    case KEY_TWICE:
        slots[0] = slots[1];
        partial->total = 11;
        break;
    case INLINE_REST:
        slots[0].key.inline_key[15] = 1;
        break;
    case PREFIX:
        slots[2].key.far.prefix++;
        break;
    case OFFSET_SHARED:
        slots[3].key.far.heap_offset = 0;
        break;
    case OFFSET_HUGE:
        slots[3].key.far.heap_offset = UINT64_MAX - 4;
        break;
    case LENGTH_PAST_HEAP:
        slots[3].key_bytes = UINT32_MAX;
        break;
    case LENGTH_SHORT:
        slots[3].key_bytes--;
        break;
    case ENTRY_COUNT_HUGE:
        partial->entry_count = UINT64_MAX;
        break;
    case ENTRY_COUNT_WRAPS:
        partial->entry_count += UINT64_C(1) << 59;
        break;
    case HEAP_BYTES_HUGE:
        partial->heap_bytes = UINT64_MAX - 63;
        break;
    case HEAP_BYTES_SHORT:
        partial->heap_bytes--;
        break;
    case BYTES_HUGE:
        partial->bytes = UINT64_MAX - 63;
        break;
    case BYTES_ODD:
        partial->bytes--;
        break;
    case BYTES_SHORT:
        partial->bytes -= 64;
        break;
    case BYTES_PADDED:
        partial->bytes += 64;
        break;
    case BYTES_ZERO:
        partial->bytes = 0;
        break;
    case MAGIC:
        partial->magic ^= 1;
        break;
    case RESERVED:
        partial->reserved[2] = 1;
        break;
    }
}

static void each_kind_of_damage_is_found(void **state)
{
    (void)state;
    for (int damage = NOTHING; damage < DAMAGE_COUNT; damage++) {
        struct ff_partial *partial = write_small_partial();
        size_t room = partial->bytes + 64;

        damage_partial(partial, (enum damage)damage);
        if (ff_partial_is_sound(partial, room) != (damage == NOTHING))
            fail_msg("damage %d", damage);
        free(partial);
    }
}

static void truncated_partial_is_not_sound(void **state)
{
    struct ff_partial *partial = write_small_partial();

    (void)state;
    for (size_t room = 0; room < partial->bytes; room++) {
        /* A copy of its own, so that a read past the room is found. */
        struct ff_partial *part = malloc(room + (room == 0));

        assert_non_null(part);
        memcpy(part, partial, room);
        assert_false(ff_partial_is_sound(part, room));
        free(part);
    }
    free(partial);
}

static void misaligned_partial_is_not_sound(void **state)
{
    struct ff_partial *partial = write_small_partial();
    char *moved = malloc(partial->bytes + 4);

    (void)state;
    assert_non_null(moved);
    memcpy(moved + 4, partial, partial->bytes);
    assert_false(ff_partial_is_sound((const void *)(moved + 4), partial->bytes));
    free(moved);
    free(partial);
}

/* What is called sound can be read, whatever the bytes are. */
static void assert_readable_if_sound(const struct ff_partial *partial, size_t room)
{
    struct ff_table into = {0};
    uint64_t total = 0;

    if (!ff_partial_is_sound(partial, room))
        return;
    assert_true(partial->bytes <= room);
    for (size_t i = 0; i < partial->entry_count; i++)
        total += ff_partial_slots(partial)[i].count;
    assert_int_equal(total, partial->total);
    assert_strictly_ordered(partial);
    assert_int_equal(ff_partial_add_to(partial, &into), 0);
    assert_int_equal(into.total, total);
    ff_table_free(&into);
}

/* Flips a few bits, most often in the header or the slots, where the structure is. */
static void flip_bits(unsigned char *bytes, size_t count)
{
    size_t area = random_below(3) == 0 ? count : random_below(2) == 0 ? 64 : 512;

    if (area > count)
        area = count;
    for (size_t flips = 1 + random_below(4); flips > 0; flips--)
        bytes[random_below(area)] ^= (unsigned char)(1U << random_below(8));
}

/* Overwrites some aligned word with one of the values that break arithmetic. */
static void plant_extreme(unsigned char *bytes, size_t count)
{
    const uint64_t extremes[] = {0,         1,          UINT64_MAX,        UINT64_MAX - 63,
                                 INT64_MAX, UINT32_MAX, UINT64_C(1) << 59, count};
    size_t area = random_below(2) == 0 ? 64 : count < 512 ? count : 512;

    memcpy(bytes + random_below(area / 8) * 8, &extremes[random_below(8)], 8);
}

static void damaged_partial_never_crashes_the_check(void **state)
{
    struct random_keys set = make_random_keys(40);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partials[2] = {write_small_partial(), write_partial(&table)};

    (void)state;
    for (unsigned turn = 0; turn < 40000; turn++) {
        const struct ff_partial *partial = partials[turn % 64 == 0];
        size_t room = partial->bytes;
        unsigned char *copy;

        if (random_below(4) == 0)
            room = random_below(room + 1);
        copy = malloc(room + (room == 0));
        assert_non_null(copy);
        memcpy(copy, partial, room);
        if (room >= 64 && random_below(2) == 0)
            plant_extreme(copy, room);
        if (room > 0 && random_below(3) > 0)
            flip_bits(copy, room);
        assert_readable_if_sound((const void *)copy, room);
        free(copy);
    }
    free(partials[0]);
    free(partials[1]);
    ff_table_free(&table);
    free_random_keys(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_table_makes_a_sound_partial),
        cmocka_unit_test(partial_holds_every_sum_in_hash_order),
        cmocka_unit_test(same_sums_make_the_same_bytes),
        cmocka_unit_test(cluster_that_wraps_around_is_written_in_order),
        cmocka_unit_test(keys_with_equal_hashes_are_ordered_by_their_bytes),
        cmocka_unit_test(lower_bound_finds_the_first_entry_not_below),
        cmocka_unit_test(partial_adds_every_sum_to_a_table),
        cmocka_unit_test(each_kind_of_damage_is_found),
        cmocka_unit_test(truncated_partial_is_not_sound),
        cmocka_unit_test(misaligned_partial_is_not_sound),
        cmocka_unit_test(damaged_partial_never_crashes_the_check),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
