/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "flow/partial.h"
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
    assert_true(table.used <= table.slot_count / 16 * 11);
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

/* Far ones: the hash of a near key is what it is. */
static void keys_with_equal_hashes_are_told_apart(void **state)
{
    char zeros[40] = {0};
    struct ff_key keys[sizeof(zeros)];
    size_t count = 0;
    struct ff_table table = {0};

    (void)state;
    for (uint32_t length = FF_KEY_INLINE + 1; length <= sizeof(zeros); length++) {
        keys[count] = ff_far_key(zeros, length);
        keys[count++].hash = UINT32_MAX;
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ff_table_add_far(&table, keys + i, count - i), 0);
    assert_int_equal(table.used, count);
    for (size_t i = 0; i < table.slot_count; i++) {
        if (table.slots[i].tally != 0)
            assert_int_equal(ff_slot_sum(&table.slots[i], table.heap),
                             ff_slot_key_bytes(&table.slots[i], table.heap) - FF_KEY_INLINE);
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
    assert_int_equal(ff_table_reserve(&table, FF_SLOT_COUNT_MAX / 16 * 11 + 1), FORKFOLD_E_LIMIT);
    assert_int_equal(ff_table_reserve(&table, SIZE_MAX), FORKFOLD_E_LIMIT);
    assert_int_equal(allocations_asked, 0);
    ff_table_free(&table);
}

static int64_t last_digits(int64_t a, int64_t b)
{
    return a ^ b;
}

/* What a combiner makes of a value shrinks, grows and changes its sign. */
static void combined_values_are_those_of_a_loop(void **state)
{
    static const struct ff_combiner combiners[] = {{.kind = FF_COMBINE_SUM},
                                                   {.kind = FF_COMBINE_MIN},
                                                   {.kind = FF_COMBINE_MAX},
                                                   {.kind = FF_COMBINE_CALL, .call = last_digits}};
    enum { KEYS = 200, ADDS = 20000 };

    (void)state;
    for (size_t c = 0; c < sizeof(combiners) / sizeof(combiners[0]); c++) {
        struct ff_table table = {.combiner = &combiners[c]};
        struct ff_table other = {.combiner = &combiners[c]};
        int64_t expected[KEYS];
        bool known[KEYS] = {false};
        size_t heap_used = 0;

        for (unsigned i = 0; i < ADDS; i++) {
            unsigned which = i * 7919 % KEYS;
            int64_t value = (int64_t)((uint64_t)i * UINT64_C(0x9e3779b97f4a7c15)) >> (i % 60 + 3);
            char key[32] = "";
            int length = which == 0 ? 0
                                    : snprintf(key, sizeof(key),
                                               which % 2 == 0 ? "k%u" : "a longer key %u", which);

            if (known[which])
                assert_int_equal(
                    ff_combine_values(&combiners[c], expected[which], value, &expected[which]), 0);
            else
                expected[which] = value;
            known[which] = true;
            assert_int_equal(ff_table_add(i % 3 == 0 ? &other : &table, key, (size_t)length,
                                          ff_value_encode(value)),
                             0);
            if (i == ADDS / 2)
                heap_used = table.heap_used;
        }
        /* Records of wide sums are written once. */
        assert_true(table.heap_used <= heap_used + KEYS * 40);
        assert_int_equal(ff_table_merge(&table, &other), 0);
        for (unsigned which = 0; which < KEYS; which++) {
            char key[32] = "";
            int length = which == 0 ? 0
                                    : snprintf(key, sizeof(key),
                                               which % 2 == 0 ? "k%u" : "a longer key %u", which);

            assert_int_equal(ff_value_decode(ff_table_get(&table, key, (size_t)length)),
                             expected[which]);
        }
        ff_table_free(&table);
        assert_ptr_equal(table.combiner, &combiners[c]);
        ff_table_free(&other);
    }
}

static void combined_value_past_its_limits_is_refused(void **state)
{
    static const struct ff_combiner sum = {.kind = FF_COMBINE_SUM};
    struct ff_table table = {.combiner = &sum};

    (void)state;
    add(&table, "a", 1, ff_value_encode(INT64_MAX));
    assert_int_equal(ff_table_add(&table, "a", 1, ff_value_encode(1)), FORKFOLD_E_RANGE);
    add(&table, "b", 1, ff_value_encode(-INT64_MAX));
    assert_int_equal(ff_table_add(&table, "b", 1, ff_value_encode(-1)), FORKFOLD_E_RANGE);
    add(&table, "c", 1, ff_value_encode(INT64_MAX));
    add(&table, "a", 1, ff_value_encode(-INT64_MAX));
    assert_int_equal(ff_table_get(&table, "a", 1), ff_value_encode(0));
    assert_int_equal(table.total,
                     ff_value_encode(0) + ff_value_encode(-INT64_MAX) + ff_value_encode(INT64_MAX));
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
    struct ff_budget budget = {.limit_bytes = SIZE_MAX};
    struct ff_table table = {.budget = &budget};
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
            assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
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
    assert_int_equal(budget.used_bytes, 0);
    free_random_keys(&set);
}

/* The slots have grown and stay so when the heap cannot. */
static void half_failed_growth_counts_against_the_budget(void **state)
{
    struct ff_budget budget = {.limit_bytes = SIZE_MAX};
    struct ff_table table = {.budget = &budget};

    (void)state;
    for (uint32_t i = 0; i < 44; i++)
        add(&table, (const char *)&i, sizeof(i), 1);
    for (long allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_table_add(&table, "the key of a heap", 17, 1), FORKFOLD_E_MEMORY);
        allocations_left = -1;
        assert_int_equal(table.slot_count, allowed == 0 ? 64 : 128);
        assert_int_equal(table.used, 44);
        assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
    }
    add(&table, "the key of a heap", 17, 1);
    assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
    ff_table_free(&table);
    assert_int_equal(budget.used_bytes, 0);
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

enum { NEAR_KEYS_MAX = 1000 };

static struct ff_slot near_key_of(const char *key, size_t key_bytes)
{
    uint64_t words[2] = {UINT64_MAX, UINT64_MAX}; /* what lies behind the key must not matter */

    memcpy(words, key, key_bytes);
    return ff_near_key(words[0], words[1], (uint32_t)key_bytes);
}

/* As a batch of them comes to a table. */
static int add_near(struct ff_table *table, const struct ff_slot *keys, size_t count)
{
    struct ff_slot *homes[NEAR_KEYS_MAX];

    assert_int_equal(ff_table_reserve(table, 1), 0);
    ff_find_homes(ff_table_homes(table), keys, count, homes);
    return ff_table_add_near(table, keys, homes, count);
}

static void assert_same_sums(const struct ff_table *table, const struct ff_table *expected)
{
    assert_int_equal(table->used, expected->used);
    assert_int_equal(table->total, expected->total);
    for (size_t i = 0; i < expected->slot_count; i++) {
        const struct ff_slot *slot = &expected->slots[i];

        if (slot->tally != 0)
            assert_int_equal(ff_table_get(table, ff_slot_key(slot, expected->heap),
                                          ff_slot_key_bytes(slot, expected->heap)),
                             ff_slot_sum(slot, expected->heap));
    }
}

/* Sealed, both are the same bytes. */
static void assert_same_partials(const struct ff_table *a, const struct ff_table *b)
{
    struct ff_partial *first = test_calloc(1, ff_partial_bound(a));
    struct ff_partial *second = test_calloc(1, ff_partial_bound(b));

    assert_int_equal(ff_partial_write(first, a), 0);
    assert_int_equal(ff_partial_write(second, b), 0);
    assert_int_equal(first->bytes, second->bytes);
    assert_memory_equal(first, second, first->bytes);
    test_free(first);
    test_free(second);
}

/* Keys of 1 to 24 bytes, NULs among them, half of them met before: as one by one. */
static void keys_in_batches_are_the_same_as_one_by_one(void **state)
{
    enum { BATCH = 100, BATCHES = 500, LONGEST = 2 * FF_KEY_INLINE };
    struct ff_table batched = {0};
    struct ff_table single = {0};

    (void)state;
    for (int batch = 0; batch < BATCHES; batch++) {
        struct ff_slot near[BATCH];
        struct ff_key far[BATCH];
        char bytes[BATCH][LONGEST] = {{0}};
        size_t near_count = 0;
        size_t far_count = 0;

        for (int i = 0; i < BATCH; i++) {
            size_t key_bytes = 1 + random_below(LONGEST);

            for (size_t at = 0; at < key_bytes; at++)
                bytes[i][at] = (char)random_below(key_bytes < 3 ? 256 : 3);
            uint64_t hash = ff_key_hash(bytes[i], key_bytes) >> 32;

            if (key_bytes <= FF_KEY_INLINE) {
                near[near_count] = near_key_of(bytes[i], key_bytes);
                assert_int_equal(ff_near_hash(near[near_count].low, near[near_count].high), hash);
                near_count++;
            } else {
                far[far_count] = ff_far_key(bytes[i], (uint32_t)key_bytes);
                assert_int_equal(far[far_count].hash, hash);
                far_count++;
            }
            assert_int_equal(ff_table_add(&single, bytes[i], key_bytes, 1), 0);
        }
        assert_int_equal(add_near(&batched, near, near_count), 0);
        assert_int_equal(ff_table_add_far(&batched, far, far_count), 0);
    }
    assert_same_sums(&batched, &single);
    assert_same_partials(&batched, &single);
    ff_table_free(&batched);
    ff_table_free(&single);
}

/* As full as it gets, so that all clusters are long and one goes on at the first slot. */
static void frequent_keys_get_their_homes(void **state)
{
    enum { KEYS = 44 }; /* of 64 slots */
    struct ff_table table = {0};
    struct ff_table single = {0};
    struct ff_slot keys[KEYS];
    struct ff_slot *homes[KEYS];

    (void)state;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < KEYS; i++) {
            uint32_t number = (uint32_t)(round * KEYS + i);

            keys[i] = near_key_of((const char *)&number, sizeof(number));
            assert_int_equal(add_near(&table, &keys[i], 1), 0);
            add(&single, (const char *)&number, sizeof(number), 1);
        }
        for (int i = KEYS - 1; i >= 0; i--) {
            size_t times = random_below(5);

            for (size_t time = 0; time < times; time++)
                assert_int_equal(add_near(&table, &keys[i], 1), 0);
            if (times > 0)
                add(&single, (const char *)&keys[i].low, sizeof(uint32_t), times);
        }
        assert_int_equal(table.slot_count, 64);
        /* Whoever is at a key's home is as frequent at least: nobody asked for it in vain since. */
        ff_find_homes(ff_table_homes(&table), keys, KEYS, homes);
        for (int i = 0; i < KEYS; i++) {
            assert_int_equal(add_near(&table, &keys[i], 1), 0);
            add(&single, (const char *)&keys[i].low, sizeof(uint32_t), 1);
            assert_true(homes[i]->tally / FF_TALLY_ONE >=
                        ff_table_get(&table, &keys[i].low, sizeof(uint32_t)));
        }
        assert_same_sums(&table, &single);
        assert_same_partials(&table, &single);
        ff_table_clear(&table);
        ff_table_clear(&single);
    }
    ff_table_free(&table);
    ff_table_free(&single);
}

/* ---- Sums that do not fit a slot ----------------------------------------- */

static void add_once(struct ff_table *table, const char *key, size_t key_bytes)
{
    if (key_bytes <= FF_KEY_INLINE) {
        struct ff_slot near = near_key_of(key, key_bytes);

        assert_int_equal(add_near(table, &near, 1), 0);
    } else {
        struct ff_key far = ff_far_key(key, (uint32_t)key_bytes);

        assert_int_equal(ff_table_add_far(table, &far, 1), 0);
    }
}

/* Across the largest sum of a slot one by one, with all lengths of keys, and in tables that grow. */
static void sums_leave_their_slots_when_they_grow_too_large(void **state)
{
    static const char key[] = "a key of the heap, if it is long";
    struct ff_table table = {0};
    struct ff_table merged = {0};

    (void)state;
    for (size_t length = 1; length < sizeof(key); length++) {
        add(&table, key, length, FF_SLOT_SUM_MAX - 2);
        for (unsigned times = 1; times < 5; times++) {
            uint64_t sum = FF_SLOT_SUM_MAX - 2 + times;

            add_once(&table, key, length);
            assert_int_equal(ff_table_get(&table, key, length), sum);
            assert_int_equal(table.wide, length - (sum <= FF_SLOT_SUM_MAX));
        }
    }
    assert_int_equal(ff_table_merge(&merged, &table), 0);
    for (uint32_t i = 0; i < 1000; i++)
        add(&table, (const char *)&i, sizeof(i), 1);
    assert_int_equal(ff_table_merge(&table, &merged), 0);
    for (size_t length = 1; length < sizeof(key); length++)
        assert_int_equal(ff_table_get(&table, key, length), 2 * (FF_SLOT_SUM_MAX + UINT64_C(2)));
    assert_int_equal(table.used, 1000 + sizeof(key) - 1);
    ff_table_clear(&table);
    assert_int_equal(table.wide, 0);
    assert_int_equal(ff_table_merge(&table, &merged), 0);
    assert_same_sums(&table, &merged);
    ff_table_free(&merged);
    ff_table_free(&table);
}

static void sum_that_cannot_leave_its_slot_stays(void **state)
{
    struct ff_budget budget = {.limit_bytes = SIZE_MAX};
    struct ff_table table = {.budget = &budget};
    struct ff_slot key = near_key_of("the", 3);

    (void)state;
    add(&table, "the", 3, FF_SLOT_SUM_MAX);
    allocations_left = 0;
    assert_int_equal(add_near(&table, &key, 1), FORKFOLD_E_MEMORY);
    allocations_left = -1;
    assert_int_equal(ff_table_get(&table, "the", 3), FF_SLOT_SUM_MAX);
    assert_int_equal(table.total, FF_SLOT_SUM_MAX);
    add_once(&table, "the", 3);
    assert_int_equal(ff_table_get(&table, "the", 3), FF_SLOT_SUM_MAX + 1);
    assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
    ff_table_free(&table);
}

/* ---- Growing ------------------------------------------------------------- */

enum { SLOTS_HUGE = 1 << 17 };

/* Doubled up to 2^17 slots, from there on in two steps. */
static const size_t slot_counts[] = {1 << 6,  1 << 7,  1 << 8,  1 << 9,  1 << 10, 1 << 11,
                                     1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17,
                                     3 << 16, 1 << 18, 3 << 17, 1 << 19};
enum { SIZES = sizeof(slot_counts) / sizeof(*slot_counts) };

static size_t most_keys(size_t slot_count)
{
    return slot_count / 16 * 11;
}

static void reserved_slots_are_the_fewest_that_hold_the_keys(void **state)
{
    (void)state;
    for (size_t size = 0; size < SIZES; size++)
        for (size_t less = 0; less < 2; less++) {
            struct ff_table table = {0};

            assert_int_equal(ff_table_reserve(&table, most_keys(slot_counts[size]) - less), 0);
            assert_int_equal(table.slot_count, slot_counts[size]);
            assert_int_equal(ff_table_reserve(&table, most_keys(slot_counts[size])), 0);
            assert_int_equal(table.slot_count, slot_counts[size]);
            if (size + 1 < SIZES) {
                assert_int_equal(ff_table_reserve(&table, most_keys(slot_counts[size]) + 1), 0);
                assert_int_equal(table.slot_count, slot_counts[size + 1]);
            }
            ff_table_free(&table);
        }
}

/* A key of its own for each number, every 50th a long one. */
static size_t numbered_key(uint32_t number, char key[40])
{
    memset(key, 'n', 40);
    memcpy(key, &number, sizeof(number));
    return number % 50 == 7 ? 17 + number % 23 : sizeof(number);
}

static uint64_t numbered_sum(uint32_t number)
{
    return 1 + number % 7 + (number % 1000 == 3 ? 100000 : 0);
}

static void assert_holds_numbers_below(const struct ff_table *table, uint32_t end)
{
    char key[40];

    assert_int_equal(table->used, end);
    for (uint32_t number = 0; number < end; number++)
        assert_int_equal(ff_table_get(table, key, numbered_key(number, key)), numbered_sum(number));
}

/* Whether nothing lies in a range of whole pages. */
static bool is_unmapped(void *address, size_t bytes)
{
    void *mapped =
        mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (mapped != MAP_FAILED)
        munmap(mapped, bytes);
    return mapped == address;
}

static void growing_table_keeps_its_sums_and_gives_all_old_memory_back(void **state)
{
    struct ff_budget budget = {.limit_bytes = SIZE_MAX};
    struct ff_table table = {.budget = &budget};
    struct ff_table other = {.budget = &budget};
    uint32_t number = 0;
    char key[40];

    (void)state;
    for (size_t size = 0; size < SIZES; size++) {
        void *old = table.slots;
        size_t old_bytes = table.slot_count * sizeof(struct ff_slot);

        /* The first of these keys makes it grow. */
        for (; number <= (size == 0 ? 0 : most_keys(slot_counts[size - 1])); number++) {
            size_t key_bytes = numbered_key(number, key);

            add(&table, key, key_bytes, numbered_sum(number));
            if (number % 100 == 0)
                add(&other, key, key_bytes, 1);
            assert_int_equal(budget.used_bytes, ff_table_bytes(&table) + ff_table_bytes(&other));
        }
        assert_int_equal(table.slot_count, slot_counts[size]);
        if (old_bytes >= SLOTS_HUGE * sizeof(struct ff_slot))
            assert_true(is_unmapped(old, old_bytes));
        assert_holds_numbers_below(&table, number);
    }
    void *last = table.slots;

    ff_table_free(&table);
    assert_true(is_unmapped(last, slot_counts[SIZES - 1] * sizeof(struct ff_slot)));
    assert_int_equal(budget.used_bytes, ff_table_bytes(&other));
    ff_table_free(&other);
    assert_int_equal(budget.used_bytes, 0);
}

/*
 * Far keys with hashes at both ends, so that those at the upper end lie at the start of the slots.
 * Each time they are added they occur once more.
 */
static void add_outermost_keys(struct ff_table *table)
{
    for (uint32_t i = 0; i < 60; i++) {
        char bytes[FF_KEY_INLINE + 1] = {(char)i};
        struct ff_key key = ff_far_key(bytes, sizeof(bytes));

        key.hash = i % 2 == 0 ? UINT32_MAX - i / 6 : i / 6;
        assert_int_equal(ff_table_add_far(table, &key, 1), 0);
    }
}

static void keys_that_wrap_around_are_found_again_when_the_table_has_grown(void **state)
{
    (void)state;
    for (size_t size = 1; size + 1 < SIZES; size++) {
        struct ff_table table = {0};

        assert_int_equal(ff_table_reserve(&table, most_keys(slot_counts[size])), 0);
        add_outermost_keys(&table);
        assert_true(ff_slot_sum(&table.slots[1], table.heap) == 1 &&
                    ff_slot_home(ff_slot_hash(&table.slots[1]), table.slot_count) > 1);
        assert_int_equal(table.used, 60);
        assert_int_equal(ff_table_reserve(&table, most_keys(slot_counts[size]) + 1), 0);
        assert_int_equal(table.slot_count, slot_counts[size + 1]);
        add_outermost_keys(&table);
        assert_int_equal(table.used, 60);
        for (size_t i = 0; i < table.slot_count; i++)
            assert_true(table.slots[i].tally == 0 || ff_slot_sum(&table.slots[i], table.heap) == 2);
        ff_table_free(&table);
    }
}

static void cleared_table_counts_against_its_budget_still(void **state)
{
    struct ff_budget budget = {.limit_bytes = SIZE_MAX};
    struct ff_table table = {.budget = &budget};
    struct ff_table from = {0};

    (void)state;
    for (uint32_t i = 0; i < 100000; i++)
        add(&from, (const char *)&i, sizeof(i), 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(ff_table_merge(&table, &from), 0);
        assert_int_equal(table.slot_count, 3 << 16);
        assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
        ff_table_clear(&table);
        assert_int_equal(budget.used_bytes, ff_table_bytes(&table));
    }
    ff_table_free(&from);
    ff_table_free(&table);
    assert_int_equal(budget.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_batches_are_the_same_as_one_by_one),
        cmocka_unit_test(frequent_keys_get_their_homes),
        cmocka_unit_test(sums_leave_their_slots_when_they_grow_too_large),
        cmocka_unit_test(sum_that_cannot_leave_its_slot_stays),
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
        cmocka_unit_test(combined_values_are_those_of_a_loop),
        cmocka_unit_test(combined_value_past_its_limits_is_refused),
        cmocka_unit_test(adding_nothing_makes_no_key),
        cmocka_unit_test(failed_allocation_leaves_the_table_as_it_was),
        cmocka_unit_test(half_failed_growth_counts_against_the_budget),
        cmocka_unit_test(failed_merge_leaves_a_usable_table),
        cmocka_unit_test(reserved_slots_are_the_fewest_that_hold_the_keys),
        cmocka_unit_test(growing_table_keeps_its_sums_and_gives_all_old_memory_back),
        cmocka_unit_test(keys_that_wrap_around_are_found_again_when_the_table_has_grown),
        cmocka_unit_test(cleared_table_counts_against_its_budget_still),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
