/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "flow/fold.h"
#include "flow/merge.h"
#include "random_keys.h"

enum { RANGES_MAX = 64 };

/* Partials to fold, and the folded ranges. */
struct input {
    struct ff_partial *partials[128];
    size_t partial_count;
};

struct folded {
    struct ff_entry *entries[RANGES_MAX];
    struct ff_run runs[RANGES_MAX];
    unsigned range_count;
};

static const struct ff_partial *const *partials_of(const struct input *input)
{
    return (const struct ff_partial *const *)input->partials;
}

static void add_partial(struct input *input, const struct ff_table *table)
{
    struct ff_partial *partial = aligned_alloc(64, ff_partial_bytes(table));

    assert_non_null(partial);
    ff_partial_write(partial, table);
    input->partials[input->partial_count++] = partial;
}

static void free_input(struct input *input)
{
    for (size_t i = 0; i < input->partial_count; i++)
        free(input->partials[i]);
}

static void fold(struct folded *folded, const struct input *input, unsigned range_count)
{
    size_t bounds = 0;
    size_t entries = 0;

    *folded = (struct folded){.range_count = range_count};
    for (unsigned range = 0; range < range_count; range++) {
        size_t bound =
            ff_fold_range_bound(partials_of(input), input->partial_count, range, range_count);

        folded->entries[range] = malloc((bound + 1) * sizeof(struct ff_entry));
        assert_non_null(folded->entries[range]);
        folded->runs[range].entries = folded->entries[range];
        assert_int_equal(ff_fold_range(partials_of(input), input->partial_count, range, range_count,
                                       folded->entries[range], &folded->runs[range].count),
                         0);
        assert_true(folded->runs[range].count <= bound);
        bounds += bound;
    }
    for (size_t i = 0; i < input->partial_count; i++)
        entries += input->partials[i]->entry_count;
    assert_int_equal(bounds, entries);
}

static void free_folded(struct folded *folded)
{
    for (unsigned range = 0; range < folded->range_count; range++)
        free(folded->entries[range]);
}

/* Most frequent first, then by bytes: written again here, in the plainest way. */
static int compare_by_sum(const void *a, const void *b)
{
    const struct random_key *left = a;
    const struct random_key *right = b;

    if (left->sum != right->sum)
        return left->sum > right->sum ? -1 : 1;
    return compare_random_keys(left, right);
}

static void assert_merge_gives(const struct folded *folded, const struct random_key *keys,
                               size_t count)
{
    struct ff_merge merge;
    const struct ff_entry *entry;

    assert_int_equal(ff_merge_init(&merge, folded->runs, folded->range_count), 0);
    for (size_t i = 0; i < count && keys[i].sum > 0; i++) {
        entry = ff_merge_next(&merge);
        assert_non_null(entry);
        assert_int_equal(entry->count, keys[i].sum);
        assert_int_equal(entry->key_bytes, keys[i].length);
        assert_memory_equal(entry->key, keys[i].bytes, keys[i].length);
        assert_int_equal(entry->prefix, ff_key_prefix(keys[i].bytes, keys[i].length));
    }
    assert_null(ff_merge_next(&merge));
    assert_null(ff_merge_next(&merge));
    ff_merge_free(&merge);
}

/* Folds with several range counts and orders of the partials; sorts the keys by their sums. */
static void assert_fold_gives(struct input *input, struct random_keys *set)
{
    static const unsigned range_counts[] = {1, 2, 3, 7, 16, 61, 64};
    struct folded folded;

    qsort(set->keys, set->count, sizeof(*set->keys), compare_by_sum);
    for (size_t i = 0; i < sizeof(range_counts) / sizeof(*range_counts); i++) {
        fold(&folded, input, range_counts[i]);
        assert_merge_gives(&folded, set->keys, set->count);
        free_folded(&folded);
        for (size_t p = input->partial_count; p > 1; p--) {
            size_t other = random_below(p);
            struct ff_partial *swapped = input->partials[p - 1];

            input->partials[p - 1] = input->partials[other];
            input->partials[other] = swapped;
        }
    }
}

/* Deals random sums of the keys out to partials. */
static void deal(struct input *input, struct random_keys *set, size_t partial_count,
                 size_t additions)
{
    for (size_t p = 0; p < partial_count; p++) {
        struct ff_table table = {0};

        for (size_t i = 0; i < additions; i++) {
            struct random_key *key = &set->keys[random_below(set->count)];
            uint64_t amount = random_below(50) == 0 ? random_u64() >> 20 : 1;

            assert_int_equal(ff_table_add(&table, key->bytes, key->length, amount), 0);
            key->sum += amount;
        }
        add_partial(input, &table);
        ff_table_free(&table);
    }
}

static void fold_equals_a_naive_reference_for_any_ranges_and_order(void **state)
{
    static const size_t partial_counts[] = {1, 2, 5, 40};

    (void)state;
    for (size_t i = 0; i < sizeof(partial_counts) / sizeof(*partial_counts); i++) {
        struct random_keys set = make_random_keys(6000);
        struct input input = {0};

        deal(&input, &set, partial_counts[i], 12000 / partial_counts[i]);
        assert_fold_gives(&input, &set);
        free_input(&input);
        free_random_keys(&set);
    }
}

/* Enough entries for many blocks, and so many partials that each has few in a block. */
static void many_entries_and_many_partials_fold_alike(void **state)
{
    struct random_keys set = make_random_keys(30000);
    struct input input = {0};

    (void)state;
    deal(&input, &set, 100, 400);
    deal(&input, &set, 2, 30000);
    assert_fold_gives(&input, &set);
    free_input(&input);
    free_random_keys(&set);
}

/* Each key is the beginning of the next; all sums are equal, so only depth tells them apart. */
static void keys_that_begin_alike_are_ordered_by_their_ends(void **state)
{
    enum { COUNT = 1500 };
    struct random_keys set = {.keys = calloc(2 * COUNT, sizeof(*set.keys)), .count = 2 * COUNT};
    struct ff_table table = {0};
    struct input input = {0};

    (void)state;
    assert_non_null(set.keys);
    for (size_t i = 0; i < set.count; i++) {
        struct random_key *key = &set.keys[i];

        /* A chain of zeros, then keys with a long common beginning and 4 bytes of their own. */
        key->length = i < COUNT ? i : 104;
        key->bytes = calloc(1, key->length + 1);
        assert_non_null(key->bytes);
        key->sum = 1;
        if (i >= COUNT) {
            uint32_t own = (uint32_t)i * UINT32_C(2654435761);

            memset(key->bytes, 'c', 100);
            memcpy(key->bytes + 100, &own, sizeof(own));
        }
        assert_int_equal(ff_table_add(&table, key->bytes, key->length, 1), 0);
    }
    add_partial(&input, &table);
    assert_fold_gives(&input, &set);
    ff_table_free(&table);
    free_input(&input);
    free_random_keys(&set);
}

static void nothing_folds_to_nothing(void **state)
{
    struct ff_table table = {0};
    struct input input = {0};
    struct folded folded;
    struct ff_merge merge = {0};

    (void)state;
    ff_merge_free(&merge);
    for (unsigned turn = 0; turn < 2; turn++) {
        fold(&folded, &input, 3);
        assert_merge_gives(&folded, NULL, 0);
        free_folded(&folded);
        add_partial(&input, &table);
    }
    free_input(&input);
    assert_int_equal(ff_merge_init(&merge, NULL, 0), 0);
    assert_null(ff_merge_next(&merge));
    ff_merge_free(&merge);
}

/* A partial of count 8-byte keys 0, 1, ..., each with its sum and a hash that the test chooses. */
static struct ff_partial *forge_partial(size_t count, uint64_t sum, uint32_t first_hash,
                                        uint32_t hash_step)
{
    size_t bytes = (sizeof(struct ff_partial) + count * sizeof(struct ff_slot) + 63) / 64 * 64;
    struct ff_partial *partial = aligned_alloc(64, bytes);
    struct ff_slot *slots = (struct ff_slot *)(partial + 1);

    assert_non_null(partial);
    memset(partial, 0, bytes);
    partial->magic = FF_PARTIAL_MAGIC;
    partial->bytes = bytes;
    partial->entry_count = count;
    partial->total = count * sum;
    for (size_t i = 0; i < count; i++) {
        uint64_t key = htobe64(i);

        slots[i].count = sum;
        slots[i].hash = first_hash + (uint32_t)i * hash_step;
        slots[i].key_bytes = sizeof(key);
        memcpy(slots[i].key.inline_key, &key, sizeof(key));
    }
    assert_true(ff_partial_is_sound(partial, bytes));
    return partial;
}

static void ranges_cover_each_hash_once_up_to_the_greatest_range_count(void **state)
{
    static const unsigned range_counts[] = {1, 3, 1000, UINT_MAX - 1, UINT_MAX};
    struct ff_partial *partial = forge_partial(2, 5, 0, UINT32_MAX);
    const struct ff_partial *const partials[] = {partial};
    struct ff_entry entries[2];
    size_t count;

    (void)state;
    assert_int_equal(ff_partial_slots(partial)[1].hash, UINT32_MAX);
    for (size_t i = 0; i < sizeof(range_counts) / sizeof(*range_counts); i++) {
        unsigned last = range_counts[i] - 1;

        assert_int_equal(ff_fold_range(partials, 1, 0, range_counts[i], entries, &count), 0);
        assert_int_equal(count, last == 0 ? 2 : 1);
        assert_int_equal(ff_fold_range_bound(partials, 1, last, range_counts[i]), count);
        assert_int_equal(ff_fold_range(partials, 1, last, range_counts[i], entries, &count), 0);
        assert_int_equal(count, last == 0 ? 2 : 1);
        if (last > 1)
            assert_int_equal(ff_fold_range_bound(partials, 1, last / 2, range_counts[i]), 0);
    }
    free(partial);
}

static void hash_at_a_boundary_is_in_the_later_range_only(void **state)
{
    struct ff_partial *partial = forge_partial(3, 5, UINT32_C(0x7fffffff), 1);
    const struct ff_partial *const partials[] = {partial};
    struct ff_entry entries[3];
    size_t count;

    (void)state;
    assert_int_equal(ff_fold_range(partials, 1, 0, 2, entries, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(ff_fold_range(partials, 1, 1, 2, entries, &count), 0);
    assert_int_equal(count, 2);
    free(partial);
}

static void crowded_hashes_fold_too(void **state)
{
    enum { COUNT = 6000 };
    struct ff_partial *partials[] = {forge_partial(COUNT, 5, 77, 0), forge_partial(COUNT, 2, 77, 0),
                                     forge_partial(3, 1, 76, 1)};
    struct ff_entry *entries = malloc((2 * COUNT + 3) * sizeof(*entries));
    size_t count;

    (void)state;
    assert_non_null(entries);
    assert_int_equal(
        ff_fold_range((const struct ff_partial *const *)partials, 3, 0, 1, entries, &count), 0);
    /* Keys 0, 1, 2 of the last partial have hashes 76, 77 and 78: one of them is known. */
    assert_int_equal(count, COUNT + 2);
    assert_int_equal(entries[0].count, 8);
    assert_int_equal(entries[1].count, 7);
    assert_int_equal(entries[COUNT + 1].count, 1);
    free(entries);
    for (unsigned i = 0; i < 3; i++)
        free(partials[i]);
}

static void sum_past_64_bits_is_refused(void **state)
{
    struct ff_partial *partials[] = {forge_partial(1, UINT64_MAX, 9, 0), forge_partial(1, 1, 9, 0)};
    struct ff_entry entries[2];
    size_t count = 99;

    (void)state;
    assert_int_equal(
        ff_fold_range((const struct ff_partial *const *)partials, 2, 0, 1, entries, &count),
        FORKFOLD_E_LIMIT);
    assert_int_equal(count, 99);
    free(partials[0]);
    free(partials[1]);
}

static void failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    struct random_keys set = make_random_keys(1000);
    struct input input = {0};
    struct folded folded;
    struct ff_merge merge;
    size_t count = 99;

    (void)state;
    deal(&input, &set, 3, 500);
    fold(&folded, &input, 2);
    for (long allowed = 0; allowed < 3; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_fold_range(partials_of(&input), input.partial_count, 0, 2,
                                       folded.entries[0], &count),
                         FORKFOLD_E_MEMORY);
        assert_int_equal(count, 99);
    }
    for (long allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_merge_init(&merge, folded.runs, folded.range_count), FORKFOLD_E_MEMORY);
    }
    allocations_left = -1;
    free_folded(&folded);
    free_input(&input);
    free_random_keys(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_equals_a_naive_reference_for_any_ranges_and_order),
        cmocka_unit_test(many_entries_and_many_partials_fold_alike),
        cmocka_unit_test(keys_that_begin_alike_are_ordered_by_their_ends),
        cmocka_unit_test(nothing_folds_to_nothing),
        cmocka_unit_test(ranges_cover_each_hash_once_up_to_the_greatest_range_count),
        cmocka_unit_test(hash_at_a_boundary_is_in_the_later_range_only),
        cmocka_unit_test(crowded_hashes_fold_too),
        cmocka_unit_test(sum_past_64_bits_is_refused),
        cmocka_unit_test(failed_allocation_is_reported_and_leaks_nothing),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
