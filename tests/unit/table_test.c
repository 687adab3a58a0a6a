/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "flow/table.h"
#include "random_keys.h"

static void add(struct ff_table *table, const char *key, size_t key_bytes, uint64_t amount)
{
    assert_int_equal(ff_table_add(table, key, key_bytes, amount), 0);
}

/* Adds random amounts to random keys of the set, and the same to their sums. */
static void add_randomly(struct ff_table *table, struct random_keys *set, size_t additions)
{
    for (size_t i = 0; i < additions; i++) {
        struct random_key *key = &set->keys[random_below(set->count)];
        uint64_t amount = 1 + random_below(1000);

        add(table, key->bytes, key->length, amount);
        key->sum += amount;
    }
}

static void assert_table_holds(const struct ff_table *table, const struct random_keys *set)
{
    size_t used = 0;
    uint64_t total = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct random_key *key = &set->keys[i];

        assert_int_equal(ff_table_get(table, key->bytes, key->length), key->sum);
        used += key->sum > 0;
        total += key->sum;
    }
    assert_int_equal(table->used, used);
    assert_int_equal(table->total, total);
}

static void empty_table_holds_no_key_and_no_memory(void **state)
{
    struct ff_table table;
    struct ff_table other = {0};

    (void)state;
    ff_table_init(&table);
    assert_null(table.slots);
    assert_int_equal(ff_table_get(&table, "a", 1), 0);
    assert_int_equal(ff_table_merge(&table, &other), 0);
    ff_table_clear(&table);
    ff_table_free(&table);
    assert_int_equal(table.used, 0);
}

static void sums_equal_those_of_a_naive_reference(void **state)
{
    struct random_keys set = make_random_keys(4000);
    struct ff_table table = {0};

    (void)state;
    add_randomly(&table, &set, 20000);
    assert_table_holds(&table, &set);
    assert_true(table.used <= table.slot_count / 8 * 5);
    ff_table_free(&table);
    free_random_keys(&set);
}

static void keys_are_told_apart_by_length_and_nul_bytes(void **state)
{
    static const char zeros[64];
    struct ff_table table = {0};

    (void)state;
    for (size_t length = 0; length <= sizeof(zeros); length++)
        add(&table, zeros, length, length + 1);
    add(&table, NULL, 0, 1);
    assert_int_equal(ff_table_get(&table, NULL, 0), 2);
    for (size_t length = 1; length <= sizeof(zeros); length++)
        assert_int_equal(ff_table_get(&table, zeros, length), length + 1);
    ff_table_free(&table);
}

static void keys_with_equal_hashes_are_told_apart(void **state)
{
    static const char zeros[40];
    struct ff_slot slots[sizeof(zeros) + 1] = {0};
    struct ff_table table = {0};

    (void)state;
    for (unsigned length = 0; length <= sizeof(zeros); length++) {
        slots[length].count = 1 + length;
        slots[length].hash = UINT32_MAX;
        slots[length].key_bytes = length;
    }
    for (unsigned turn = 0; turn < 2; turn++)
        assert_int_equal(ff_table_add_slots(&table, slots, sizeof(zeros) + 1, zeros), 0);
    assert_int_equal(table.used, sizeof(zeros) + 1);
    for (size_t i = 0; i < table.slot_count; i++) {
        if (table.slots[i].count != 0)
            assert_int_equal(table.slots[i].count, 2 * (1 + table.slots[i].key_bytes));
    }
    ff_table_free(&table);
}

static void any_differing_byte_makes_another_key(void **state)
{
    struct ff_table table = {0};
    char key[40];

    (void)state;
    for (size_t length = 1; length <= sizeof(key); length++) {
        memset(key, 'x', sizeof(key));
        add(&table, key, length, 1);
        for (size_t i = 0; i < length; i++) {
            key[i] = 'y';
            assert_int_equal(ff_table_get(&table, key, length), 0);
            key[i] = 'x';
        }
    }
    ff_table_free(&table);
}

static void clear_forgets_the_keys_and_keeps_the_memory(void **state)
{
    struct random_keys set = make_random_keys(500);
    struct ff_table table = {0};
    size_t slot_count, heap_size;

    (void)state;
    add_randomly(&table, &set, 2000);
    slot_count = table.slot_count;
    heap_size = table.heap_size;
    ff_table_clear(&table);
    for (size_t i = 0; i < set.count; i++)
        set.keys[i].sum = 0;
    assert_table_holds(&table, &set);
    assert_int_equal(table.slot_count, slot_count);
    assert_int_equal(table.heap_size, heap_size);

    add_randomly(&table, &set, 2000);
    assert_table_holds(&table, &set);
    ff_table_free(&table);
    free_random_keys(&set);
}

static void merge_adds_every_sum(void **state)
{
    struct random_keys set = make_random_keys(3000);
    struct ff_table into = {0};
    struct ff_table from = {0};

    (void)state;
    add_randomly(&into, &set, 1000);
    add_randomly(&from, &set, 4000);
    assert_int_equal(ff_table_merge(&into, &from), 0);
    assert_table_holds(&into, &set);
    ff_table_free(&from);
    ff_table_free(&into);
    free_random_keys(&set);
}

/* Otherwise the keys, which come in hash order, would crowd at the start of a table too small. */
static void merge_grows_the_table_once_and_to_the_size_needed(void **state)
{
    struct ff_table into = {0};
    struct ff_table from = {0};

    (void)state;
    for (uint32_t i = 0; i < 5000; i++)
        add(&from, (const char *)&i, sizeof(i), 1);
    for (uint32_t i = 0; i < 30; i++)
        add(&into, (const char *)&i, sizeof(i), 1);
    allocations_asked = 0;
    assert_int_equal(ff_table_merge(&into, &from), 0);
    assert_int_equal(allocations_asked, 1);
    assert_int_equal(into.slot_count, from.slot_count);

    assert_int_equal(ff_table_merge(&into, &from), 0);
    assert_int_equal(allocations_asked, 1);
    ff_table_free(&from);
    ff_table_free(&into);
}

static void reserved_room_is_enough(void **state)
{
    struct ff_table table = {0};

    (void)state;
    assert_int_equal(ff_table_reserve(&table, 10000), 0);
    allocations_asked = 0;
    for (uint32_t i = 0; i < 10000; i++)
        add(&table, (const char *)&i, sizeof(i), 1);
    assert_int_equal(allocations_asked, 0);
    ff_table_free(&table);
}

static void limits_are_refused_and_change_nothing(void **state)
{
    struct ff_table table = {0};

    (void)state;
    add(&table, "a", 1, UINT64_MAX - 5);
    add(&table, "b", 1, 5);
    assert_int_equal(ff_table_add(&table, "b", 1, 1), FORKFOLD_E_LIMIT);
    assert_int_equal(ff_table_add(&table, "c", 1, 1), FORKFOLD_E_LIMIT);
    assert_int_equal(ff_table_add(&table, "a", FF_KEY_BYTES_MAX + 1, 1), FORKFOLD_E_LIMIT);
    assert_int_equal(ff_table_get(&table, "a", FF_KEY_BYTES_MAX + 1), 0);
    assert_int_equal(ff_table_get(&table, "b", 1), 5);
    assert_int_equal(table.used, 2);
    assert_int_equal(table.total, UINT64_MAX);

    allocations_asked = 0;
    assert_int_equal(ff_table_reserve(&table, FF_SLOT_COUNT_MAX / 8 * 5 + 1), FORKFOLD_E_LIMIT);
    assert_int_equal(ff_table_reserve(&table, SIZE_MAX), FORKFOLD_E_LIMIT);
    assert_int_equal(allocations_asked, 0);
    ff_table_free(&table);
}

static void adding_nothing_makes_no_key(void **state)
{
    struct ff_table table = {0};

    (void)state;
    add(&table, "a", 1, 0);
    add(&table, "b", 1, 2);
    add(&table, "b", 1, 0);
    assert_int_equal(table.used, 1);
    assert_int_equal(ff_table_get(&table, "b", 1), 2);
    ff_table_free(&table);
}

static void failed_allocation_leaves_the_table_as_it_was(void **state)
{
    struct random_keys set = make_random_keys(1500);
    struct ff_table table = {0};
    size_t failures = 0;

    (void)state;
    for (size_t i = 0; i < set.count; i++) {
        struct random_key *key = &set.keys[i];
        int code = FORKFOLD_E_MEMORY;

        /* A key may need slots, heap, both or neither: each allocation fails once. */
        for (long allowed = 0; code < 0; allowed++) {
            assert_in_range(allowed, 0, 2);
            allocations_left = allowed;
            code = ff_table_add(&table, key->bytes, key->length, 3);
            allocations_left = -1;
            if (code < 0) {
                assert_int_equal(code, FORKFOLD_E_MEMORY);
                assert_table_holds(&table, &set);
                failures++;
            }
        }
        key->sum = 3;
    }
    assert_true(failures >= 6);
    assert_table_holds(&table, &set);
    ff_table_free(&table);
    free_random_keys(&set);
}

static void failed_merge_leaves_a_usable_table(void **state)
{
    struct random_keys set = make_random_keys(1000);
    struct ff_table into = {0};
    struct ff_table from = {0};

    (void)state;
    add_randomly(&from, &set, 3000);
    for (long allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_table_merge(&into, &from), FORKFOLD_E_MEMORY);
        allocations_left = -1;
        ff_table_clear(&into);
        assert_int_equal(ff_table_merge(&into, &from), 0);
        assert_table_holds(&into, &set);
        ff_table_free(&into);
    }
    ff_table_free(&from);
    free_random_keys(&set);
}

static struct ff_key short_key_of(const char *key, size_t key_bytes)
{
    uint64_t words[2] = {UINT64_MAX, UINT64_MAX}; /* what lies behind the key must not matter */

    memcpy(words, key, key_bytes);
    return ff_key_of_words(words[0], words[1], (uint32_t)key_bytes);
}

/* Keys of 1 to 16 bytes, NULs among them, half of them met before: as one by one. */
static void short_keys_in_batches_are_the_same_as_one_by_one(void **state)
{
    enum { BATCH = 100, BATCHES = 500 };
    struct ff_table batched = {0};
    struct ff_table single = {0};

    (void)state;
    for (int batch = 0; batch < BATCHES; batch++) {
        struct ff_key keys[BATCH];

        for (int i = 0; i < BATCH; i++) {
            char bytes[FF_KEY_INLINE] = {0};
            size_t key_bytes = 1 + random_below(FF_KEY_INLINE);

            for (size_t at = 0; at < key_bytes; at++)
                bytes[at] = (char)random_below(key_bytes < 3 ? 256 : 3);
            keys[i] = short_key_of(bytes, key_bytes);
            assert_int_equal(keys[i].hash, ff_key_hash(bytes, key_bytes) >> 32);
            assert_int_equal(ff_table_add(&single, bytes, key_bytes, 1), 0);
        }
        assert_int_equal(ff_table_add_keys(&batched, keys, BATCH), 0);
    }
    assert_int_equal(batched.used, single.used);
    assert_int_equal(batched.total, single.total);
    for (size_t i = 0; i < single.slot_count; i++) {
        const struct ff_slot *slot = &single.slots[i];

        if (slot->count != 0)
            assert_int_equal(
                ff_table_get(&batched, ff_slot_key(slot, single.heap), slot->key_bytes),
                slot->count);
    }
    ff_table_free(&batched);
    ff_table_free(&single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_keys_in_batches_are_the_same_as_one_by_one),
        cmocka_unit_test(empty_table_holds_no_key_and_no_memory),
        cmocka_unit_test(sums_equal_those_of_a_naive_reference),
        cmocka_unit_test(keys_are_told_apart_by_length_and_nul_bytes),
        cmocka_unit_test(keys_with_equal_hashes_are_told_apart),
        cmocka_unit_test(any_differing_byte_makes_another_key),
        cmocka_unit_test(clear_forgets_the_keys_and_keeps_the_memory),
        cmocka_unit_test(merge_adds_every_sum),
        cmocka_unit_test(merge_grows_the_table_once_and_to_the_size_needed),
        cmocka_unit_test(reserved_room_is_enough),
        cmocka_unit_test(limits_are_refused_and_change_nothing),
        cmocka_unit_test(adding_nothing_makes_no_key),
        cmocka_unit_test(failed_allocation_leaves_the_table_as_it_was),
        cmocka_unit_test(failed_merge_leaves_a_usable_table),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
