/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "memory_partials.h"

static void add_chosen(struct ff_table *table, uint32_t hash, uint32_t own)
{
    struct chosen_key key = choose_key(hash, own);

    assert_int_equal(ff_table_add(table, key.words, key.length, 1), 0);
}

/* ---- Writing ------------------------------------------------------------- */

static void empty_table_makes_a_sound_partial(void **state)
{
    struct ff_table table = {0};
    struct ff_partial *partial = write_partial(&table);

    (void)state;
    assert_int_equal(partial->bytes, 128);
    assert_int_equal(partial->entry_count, 0);
    assert_int_equal(partial->record_bytes, 0);
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
    struct place *places = read_places(partial);

    (void)state;
    assert_int_equal(partial->entry_count, table.used);
    assert_int_equal(partial->total, table.total);
    for (size_t i = 0; i < partial->entry_count; i++) {
        const struct ff_entry *entry = &places[i].entry;

        assert_int_equal(entry->count, ff_table_get(&table, entry->key, entry->key_bytes));
    }
    free(places);
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

/* Keys at both ends of the hashes, so that they wrap around in tables of any size. */
static void add_outermost_keys(struct ff_table *table)
{
    for (uint32_t i = 0; i < 12; i++)
        add_chosen(table, UINT32_MAX - i * 5 % 12, i);
    for (uint32_t i = 0; i < 12; i++)
        add_chosen(table, i * 7 % 12, 5);
}

/* Other order, other table size, sums in two steps. */
static void same_sums_make_the_same_bytes(void **state)
{
    static const size_t slot_counts[] = {1 << 11, 1 << 16, 1 << 17, 3 << 16, 1 << 18, 3 << 17};
    struct random_keys set = make_random_keys(2000);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial;

    (void)state;
    add_outermost_keys(&table);
    partial = write_partial(&table);
    for (size_t s = 0; s < sizeof(slot_counts) / sizeof(*slot_counts); s++) {
        struct ff_table other = {0};
        struct ff_partial *other_partial;

        assert_int_equal(ff_table_reserve(&other, slot_counts[s] / 16 * 11), 0);
        assert_int_equal(other.slot_count, slot_counts[s]);
        add_outermost_keys(&other);
        assert_true(ff_slot_home(ff_slot_hash(&other.slots[0]), other.slot_count) > 0);
        for (size_t i = set.count; i-- > 0;) {
            struct random_key *key = &set.keys[i];
            uint64_t half = key->sum / 2;

            assert_int_equal(ff_table_add(&other, key->bytes, key->length, half), 0);
            assert_int_equal(ff_table_add(&other, key->bytes, key->length, key->sum - half), 0);
        }
        other_partial = write_partial(&other);
        assert_int_equal(partial->bytes, other_partial->bytes);
        assert_memory_equal(partial, other_partial, partial->bytes);
        free(other_partial);
        ff_table_free(&other);
    }
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
    assert_true(ff_slot_home(ff_slot_hash(&table.slots[0]), 64) >= 60);
    partial = write_partial(&table);
    assert_strictly_ordered(partial);
    free(partial);
    ff_table_free(&table);
}

static void keys_with_equal_hashes_are_ordered_by_their_bytes(void **state)
{
    const struct chosen_key pairs[][2] = {{choose_key(9, 1), choose_key(9, 2)},
                                          {choose_twin(false), choose_twin(true)},
                                          {choose_last_byte(127), choose_last_byte(128)}};

    (void)state;
    for (unsigned turn = 0; turn < 6; turn++) {
        const struct chosen_key *pair = pairs[turn / 2];
        struct ff_table table = {0};
        struct ff_partial *partial;

        for (unsigned i = 0; i < 2; i++) {
            const struct chosen_key *key = &pair[(turn + i) % 2];

            assert_int_equal(ff_table_add(&table, key->words, key->length, 1 + i), 0);
        }
        for (unsigned i = 0; i < 2; i++) {
            const struct chosen_key *key = &pair[(turn + i) % 2];

            assert_int_equal(ff_table_get(&table, key->words, key->length), 1 + i);
        }
        partial = write_partial(&table);
        assert_int_equal(partial->entry_count, 2);
        assert_strictly_ordered(partial);
        free(partial);
        ff_table_free(&table);
    }
}

enum { SIZES = 17 };

/* Counts of 1 to 10 bytes, on both sides of where one more begins; the sum of all fits 64 bits. */
static uint64_t number_of_size(unsigned i)
{
    return (UINT64_C(1) << (i / 2 + 1) * 7) - (i % 2 == 0 && i + 1 < SIZES);
}

/* Lengths of 1 to 4 bytes. */
static size_t length_of_size(unsigned i)
{
    return i / 2 < 3 ? number_of_size(i) : i;
}

static void numbers_of_every_size_are_kept(void **state)
{
    char *key = calloc(1, length_of_size(5));
    struct ff_table table = {0};
    struct ff_table back = {0};
    struct ff_partial *partial;

    (void)state;
    assert_non_null(key);
    for (unsigned i = 0; i < SIZES; i++)
        assert_int_equal(ff_table_add(&table, key, length_of_size(i), number_of_size(i)), 0);
    partial = write_partial(&table);
    assert_int_equal(partial->entry_count, SIZES);
    assert_strictly_ordered(partial);
    assert_int_equal(ff_partial_add_to(partial, &back), 0);
    for (unsigned i = 0; i < SIZES; i++)
        assert_int_equal(ff_table_get(&back, key, length_of_size(i)), number_of_size(i));
    free(partial);
    free(key);
    ff_table_free(&table);
    ff_table_free(&back);
}

/* The zeros behind the records are from FF_RECORD_SLACK to 63 more; write_partial looks at each. */
static void records_may_end_anywhere_before_a_boundary(void **state)
{
    static const char key[200];
    bool seen[64] = {false};

    (void)state;
    for (size_t length = 0; length < sizeof(key); length++) {
        struct ff_table table = {0};
        struct ff_partial *partial;
        size_t used;

        assert_int_equal(ff_table_add(&table, key, length, 1), 0);
        partial = write_partial(&table);
        used = (size_t)(ff_partial_records(partial) - (const unsigned char *)partial) +
               partial->record_bytes;
        assert_in_range(partial->bytes - used, FF_RECORD_SLACK, FF_RECORD_SLACK + 63);
        seen[partial->bytes - used - FF_RECORD_SLACK] = true;
        free(partial);
        ff_table_free(&table);
    }
    for (size_t i = 0; i < 64; i++)
        assert_true(seen[i]);
}

/* ---- Reading ------------------------------------------------------------- */

/* Looks for a hash from a record on that is not far from where it must be found. */
static void assert_found(const struct ff_partial *partial, const struct place *places, size_t near,
                         uint64_t hash)
{
    struct ff_partial_place found = ff_partial_find(partial, hash);

    while (near > 0 && places[near - 1].hash >= hash)
        near--;
    while (near < partial->entry_count && places[near].hash < hash)
        near++;
    assert_int_equal(found.number, near);
    assert_ptr_equal(found.record, places[near].record);
}

/* The hashes of all records and of all cells, and those beside them. */
static void assert_find_agrees_with_a_linear_search(const struct ff_table *table)
{
    struct ff_partial *partial = write_partial(table);
    struct place *places = read_places(partial);
    uint64_t cell_hashes = UINT64_C(1) << (32 - partial->cell_bits);
    size_t near = 0;

    for (size_t i = 0; i < partial->entry_count; i++)
        for (uint64_t hash = places[i].hash; hash <= (uint64_t)places[i].hash + 2; hash++)
            if (hash > 0)
                assert_found(partial, places, i, hash - 1);
    for (uint64_t first = 0; first <= UINT64_C(1) << 32; first += cell_hashes) {
        while (near < partial->entry_count && places[near].hash < first)
            near++;
        if (first > 0)
            assert_found(partial, places, near, first - 1);
        assert_found(partial, places, near, first);
        if (first < UINT64_C(1) << 32)
            assert_found(partial, places, near, first + 1);
    }
    for (unsigned i = 0; i < 100; i++)
        assert_found(partial, places, 0, random_u64() >> 32);
    free(places);
    free(partial);
}

static void find_agrees_with_a_linear_search_in_any_number_of_cells(void **state)
{
    /* The fewest entries that need so many bits of cells, and one less. */
    static const struct {
        size_t entries;
        unsigned bits;
    } sizes[] = {{0, 0},   {1, 0},    {32, 0},   {33, 1},   {65, 1},     {66, 2},    {131, 2},
                 {132, 3}, {1055, 5}, {1056, 6}, {5000, 8}, {33791, 10}, {33792, 11}};
    struct ff_table table = {0};
    uint32_t number = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct ff_partial *partial;

        for (; table.used < sizes[i].entries; number++)
            assert_int_equal(ff_table_add(&table, &number, sizeof(number), 1 + number % 300), 0);
        partial = write_partial(&table);
        assert_int_equal(partial->cell_bits, sizes[i].bits);
        free(partial);
        assert_find_agrees_with_a_linear_search(&table);
    }
    ff_table_free(&table);
}

static void find_agrees_with_a_linear_search_of_crowded_hashes(void **state)
{
    static const uint32_t crowds[] = {0,         1, 77, UINT32_C(0x7fffffff), UINT32_C(0x80000000),
                                      UINT32_MAX};

    (void)state;
    for (size_t crowd = 0; crowd < sizeof(crowds) / sizeof(*crowds); crowd++) {
        struct ff_table table = {0};

        for (uint32_t i = 0; i < 100; i++) {
            add_chosen(&table, crowds[crowd], i);
            add_chosen(&table, crowds[random_below(crowd + 1)], i);
        }
        assert_find_agrees_with_a_linear_search(&table);
        add_outermost_keys(&table);
        assert_find_agrees_with_a_linear_search(&table);
        ff_table_free(&table);
    }
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

/* Moves what the table holds elsewhere, as a worker does that spills it. */
struct relief {
    struct ff_table *table;
    struct ff_table moved;
    unsigned times;
};

static int move_sums(void *context, const struct ff_table *growing)
{
    struct relief *relief = context;

    assert_ptr_equal(growing, relief->table);
    if (relief->table->used == 0)
        return 0;
    assert_int_equal(ff_table_merge(&relief->moved, relief->table), 0);
    ff_table_free(relief->table);
    relief->times++;
    return 1;
}

enum { NUMBERS = 2900 };

/* Adds the numbers, from a partial or the table itself, where some of them are. */
static void assert_added_though_emptied(const struct ff_table *table,
                                        const struct ff_partial *partial)
{
    struct ff_table into = {0};
    struct relief relief = {.table = &into};
    struct ff_budget budget = {.limit_bytes = 70000, .relieve = move_sums, .context = &relief};

    into.budget = &budget;
    for (uint32_t i = 1800; i < 3000; i++)
        assert_int_equal(ff_table_add(&into, &i, sizeof(i), 1), 0);
    assert_int_equal(
        partial != NULL ? ff_partial_add_to(partial, &into) : ff_table_merge(&into, table), 0);
    assert_int_equal(relief.times, 1);
    assert_int_equal(relief.moved.used, 1200);
    assert_int_equal(into.used, NUMBERS);
    assert_int_equal(budget.used_bytes, ff_table_bytes(&into));
    for (uint32_t i = 0; i < 3000; i++)
        assert_int_equal(ff_table_get(&into, &i, sizeof(i)), i < NUMBERS ? i + 1 : 0);
    ff_table_free(&relief.moved);
    ff_table_free(&into);
    assert_int_equal(budget.used_bytes, 0);
}

/* Emptied when it has to grow, a table lacks what it had, and needs room for that too. */
static void table_that_is_emptied_meanwhile_gets_every_sum(void **state)
{
    struct ff_table table = {0};
    struct ff_partial *partial;

    (void)state;
    for (uint32_t i = 0; i < NUMBERS; i++)
        assert_int_equal(ff_table_add(&table, &i, sizeof(i), i + 1), 0);
    partial = write_partial(&table);
    assert_added_though_emptied(&table, partial);
    assert_added_though_emptied(&table, NULL);
    free(partial);
    ff_table_free(&table);
}

static void sum_past_64_bits_is_refused(void **state)
{
    struct ff_table table = {0};
    struct ff_table into = {0};
    struct ff_partial *partial;

    (void)state;
    assert_int_equal(ff_table_add(&table, "a", 1, 2), 0);
    assert_int_equal(ff_table_add(&into, "b", 1, UINT64_MAX - 1), 0);
    partial = write_partial(&table);
    assert_int_equal(ff_partial_add_to(partial, &into), FORKFOLD_E_LIMIT);
    assert_int_equal(into.total, UINT64_MAX - 1);
    free(partial);
    ff_table_free(&into);
    ff_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_table_makes_a_sound_partial),
        cmocka_unit_test(partial_holds_every_sum_in_hash_order),
        cmocka_unit_test(same_sums_make_the_same_bytes),
        cmocka_unit_test(cluster_that_wraps_around_is_written_in_order),
        cmocka_unit_test(keys_with_equal_hashes_are_ordered_by_their_bytes),
        cmocka_unit_test(numbers_of_every_size_are_kept),
        cmocka_unit_test(records_may_end_anywhere_before_a_boundary),
        cmocka_unit_test(find_agrees_with_a_linear_search_in_any_number_of_cells),
        cmocka_unit_test(find_agrees_with_a_linear_search_of_crowded_hashes),
        cmocka_unit_test(partial_adds_every_sum_to_a_table),
        cmocka_unit_test(table_that_is_emptied_meanwhile_gets_every_sum),
        cmocka_unit_test(sum_past_64_bits_is_refused),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
