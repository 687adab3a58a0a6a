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
#include "memory_partials.h"

enum { RANGES_MAX = 64 };

/* Partials to fold, and the folded ranges. */
struct input {
    struct ff_partial *partials[128];
    size_t partial_count;
};

struct folded {
    unsigned char *records[RANGES_MAX];
    struct ff_run runs[RANGES_MAX];
    unsigned range_count;
};

static const struct ff_partial *const *partials_of(const struct input *input)
{
    return (const struct ff_partial *const *)input->partials;
}

static void add_partial(struct input *input, const struct ff_table *table)
{
    input->partials[input->partial_count++] = write_partial(table);
}

static void free_input(struct input *input)
{
    for (size_t i = 0; i < input->partial_count; i++)
        free(input->partials[i]);
}

/* Folds a range into as much memory as the bound says, and keeps the run in as much as it needs. */
static unsigned char *fold_range(struct ff_fold *fold, unsigned range, unsigned range_count,
                                 struct ff_run *run)
{
    size_t bound = ff_fold_range_bound(fold, range, range_count);
    unsigned char *out = malloc(bound);
    unsigned char *kept;

    assert_non_null(out);
    assert_int_equal(ff_fold_range(fold, range, range_count, out, run), 0);
    assert_ptr_equal(run->records, out);
    assert_true(run->bytes <= bound - FF_RECORD_SLACK);
    /* Each record of one partial is in the run as it is. */
    if (fold->partial_count == 1)
        assert_int_equal(run->bytes, bound - FF_RECORD_SLACK);
    kept = malloc(run->bytes + FF_RECORD_SLACK);
    assert_non_null(kept);
    memcpy(kept, out, run->bytes);
    memset(kept + run->bytes, 0xff, FF_RECORD_SLACK);
    run->records = kept;
    free(out);
    return kept;
}

static void fold_all(struct folded *folded, const struct input *input, unsigned range_count)
{
    struct ff_fold fold;
    unsigned first = (unsigned)random_below(range_count);
    size_t bounds = 0;
    size_t record_bytes = 0;

    *folded = (struct folded){.range_count = range_count};
    assert_int_equal(ff_fold_open(&fold, partials_of(input), input->partial_count), 0);
    /* One fold does all ranges, beginning anywhere. */
    for (unsigned i = 0; i < range_count; i++) {
        unsigned range = (first + i) % range_count;

        folded->records[range] = fold_range(&fold, range, range_count, &folded->runs[range]);
        bounds += ff_fold_range_bound(&fold, range, range_count) - FF_RECORD_SLACK;
    }
    for (size_t i = 0; i < input->partial_count; i++)
        record_bytes += input->partials[i]->record_bytes;
    assert_int_equal(bounds, record_bytes);
    ff_fold_close(&fold);
}

static void free_folded(struct folded *folded)
{
    for (unsigned range = 0; range < folded->range_count; range++)
        free(folded->records[range]);
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

static void assert_next_are(struct ff_merge *merge, const struct random_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ff_entry *entry = ff_merge_next(merge);

        assert_non_null(entry);
        assert_int_equal(entry->count, keys[i].sum);
        assert_int_equal(entry->key_bytes, keys[i].length);
        assert_memory_equal(entry->key, keys[i].bytes, keys[i].length);
        assert_int_equal(entry->prefix, ff_key_prefix(keys[i].bytes, keys[i].length));
    }
}

/* What the merge gives is the keys that have a sum; of count they come first. */
static void assert_merge_gives(const struct folded *folded, const struct random_key *keys,
                               size_t count)
{
    struct ff_merge merge;
    size_t used = 0;

    while (used < count && keys[used].sum > 0)
        used++;
    assert_int_equal(ff_merge_init(&merge, folded->runs, folded->range_count), 0);
    assert_next_are(&merge, keys, random_below(used + 1));
    for (unsigned turn = 0; turn < 2; turn++) {
        ff_merge_rewind(&merge);
        assert_next_are(&merge, keys, used);
        assert_null(ff_merge_next(&merge));
        assert_null(ff_merge_next(&merge));
    }
    ff_merge_free(&merge);
}

/* Folds with several range counts and orders of the partials; sorts the keys by their sums. */
static void assert_fold_gives(struct input *input, struct random_keys *set)
{
    static const unsigned range_counts[] = {1, 2, 3, 7, 16, 61, 64};
    struct folded folded;

    qsort(set->keys, set->count, sizeof(*set->keys), compare_by_sum);
    for (size_t i = 0; i < sizeof(range_counts) / sizeof(*range_counts); i++) {
        fold_all(&folded, input, range_counts[i]);
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

/* Gives some keys the first and the last hashes of ranges, where blocks begin and end too. */
static void replace_by_outermost_keys(struct random_keys *set)
{
    size_t next = set->count / 2;

    for (uint64_t range_count = 1; range_count < 8; range_count++)
        for (uint64_t range = 0; range < range_count; range++)
            for (uint32_t end = 0; end < 2; end++) {
                uint32_t hash = (uint32_t)(((range + end) << 32) / range_count - end);
                struct chosen_key chosen = choose_key(hash, (uint32_t)next);
                struct random_key *key = &set->keys[next++];

                free(key->bytes);
                key->bytes = malloc(chosen.length);
                assert_non_null(key->bytes);
                memcpy(key->bytes, chosen.words, chosen.length);
                key->length = chosen.length;
            }
}

/* Enough entries for many blocks, and so many partials that each has few in a block. */
static void many_entries_and_many_partials_fold_alike(void **state)
{
    struct random_keys set = make_random_keys(30000);
    struct input input = {0};

    (void)state;
    replace_by_outermost_keys(&set);
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
        fold_all(&folded, &input, 3);
        assert_merge_gives(&folded, NULL, 0);
        free_folded(&folded);
        add_partial(&input, &table);
    }
    free_input(&input);
    assert_int_equal(ff_merge_init(&merge, NULL, 0), 0);
    assert_null(ff_merge_next(&merge));
    ff_merge_free(&merge);
}

/* Sums of 1 to 9 bytes that need one more when 1 is added, and are added to themselves. */
static void sums_of_every_size_fit_where_their_summands_lay(void **state)
{
    static const size_t orders[][3] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    struct random_keys set = {.keys = calloc(9, sizeof(*set.keys)), .count = 9};
    struct ff_table tables[3] = {{0}};

    (void)state;
    assert_non_null(set.keys);
    for (size_t i = 0; i < set.count; i++) {
        struct random_key *key = &set.keys[i];
        uint64_t most = (UINT64_C(1) << 7 * (i + 1)) - 1;

        key->length = i;
        key->bytes = calloc(1, i + 1);
        assert_non_null(key->bytes);
        key->sum = i < 8 ? 2 * most + 1 : most + 1;
        assert_int_equal(ff_table_add(&tables[0], key->bytes, key->length, most), 0);
        assert_int_equal(ff_table_add(&tables[1], key->bytes, key->length, 1), 0);
        if (i < 8)
            assert_int_equal(ff_table_add(&tables[2], key->bytes, key->length, most), 0);
    }
    for (size_t order = 0; order < 3; order++) {
        struct input input = {0};

        for (size_t i = 0; i < 3; i++)
            add_partial(&input, &tables[orders[order][i]]);
        assert_fold_gives(&input, &set);
        free_input(&input);
    }
    for (size_t i = 0; i < 3; i++)
        ff_table_free(&tables[i]);
    free_random_keys(&set);
}

/* A partial of count keys, each with its sum and a hash that the test chooses. */
static struct ff_partial *choose_partial(size_t count, uint64_t sum, uint32_t first_hash,
                                         uint32_t hash_step)
{
    struct ff_table table = {0};
    struct ff_partial *partial;

    for (uint32_t i = 0; i < count; i++) {
        struct chosen_key key = choose_key(first_hash + i * hash_step, i);

        assert_int_equal(ff_table_add(&table, key.words, key.length, sum), 0);
    }
    partial = write_partial(&table);
    ff_table_free(&table);
    return partial;
}

/* The bytes of the records whose hash lies in a range, counted one by one. */
static size_t record_bytes_in(const struct ff_fold *fold, uint64_t range, uint64_t range_count)
{
    size_t bytes = 0;

    for (size_t p = 0; p < fold->partial_count; p++) {
        const unsigned char *next = ff_partial_records(fold->partials[p]);

        for (uint64_t i = 0; i < fold->partials[p]->entry_count; i++) {
            const unsigned char *record = next;
            struct ff_entry entry;
            uint64_t hash;

            next = ff_record_get(next, &entry);
            hash = ff_record_hash(&entry);
            if (hash >= (range << 32) / range_count && hash < ((range + 1) << 32) / range_count)
                bytes += (size_t)(next - record);
        }
    }
    return bytes;
}

/* Folds one range of few partials; returns how many keys it has. */
static size_t count_range(struct ff_partial *const *partials, size_t partial_count, unsigned range,
                          unsigned range_count)
{
    struct ff_fold fold;
    struct ff_run run;

    assert_int_equal(ff_fold_open(&fold, (const struct ff_partial *const *)partials, partial_count),
                     0);
    assert_int_equal(ff_fold_range_bound(&fold, range, range_count),
                     record_bytes_in(&fold, range, range_count) + FF_RECORD_SLACK);
    free(fold_range(&fold, range, range_count, &run));
    ff_fold_close(&fold);
    return run.count;
}

static void keys_with_equal_hashes_stay_apart(void **state)
{
    const struct chosen_key keys[] = {choose_key(9, 1),      choose_key(9, 2),
                                      choose_twin(false),    choose_twin(true),
                                      choose_last_byte(127), choose_last_byte(128)};
    struct random_keys set = {.keys = calloc(6, sizeof(*set.keys)), .count = 6};
    struct input input = {0};

    (void)state;
    assert_non_null(set.keys);
    for (size_t i = 0; i < 6; i++) {
        struct ff_table table = {0};

        set.keys[i] = (struct random_key){
            .bytes = malloc(keys[i].length), .length = keys[i].length, .sum = 2 * (1 + i)};
        assert_non_null(set.keys[i].bytes);
        memcpy(set.keys[i].bytes, keys[i].words, keys[i].length);
        assert_int_equal(ff_table_add(&table, keys[i].words, keys[i].length, 1 + i), 0);
        add_partial(&input, &table);
        add_partial(&input, &table);
        ff_table_free(&table);
    }
    assert_fold_gives(&input, &set);
    free_input(&input);
    free_random_keys(&set);
}

static void ranges_cover_each_hash_once_up_to_the_greatest_range_count(void **state)
{
    static const unsigned range_counts[] = {1, 3, 1000, UINT_MAX - 1, UINT_MAX};
    struct ff_partial *partial = choose_partial(2, 5, 0, UINT32_MAX);

    (void)state;
    for (size_t i = 0; i < sizeof(range_counts) / sizeof(*range_counts); i++) {
        unsigned last = range_counts[i] - 1;

        assert_int_equal(count_range(&partial, 1, 0, range_counts[i]), last == 0 ? 2 : 1);
        assert_int_equal(count_range(&partial, 1, last, range_counts[i]), last == 0 ? 2 : 1);
        if (last > 1)
            assert_int_equal(count_range(&partial, 1, last / 2, range_counts[i]), 0);
    }
    free(partial);
}

static void hash_at_a_boundary_is_in_the_later_range_only(void **state)
{
    struct ff_partial *partial = choose_partial(3, 5, UINT32_C(0x7fffffff), 1);

    (void)state;
    assert_int_equal(count_range(&partial, 1, 0, 2), 1);
    assert_int_equal(count_range(&partial, 1, 1, 2), 2);
    free(partial);
}

static void crowded_hashes_fold_too(void **state)
{
    enum { COUNT = 6000 };
    struct ff_partial *partials[] = {choose_partial(COUNT, 5, 77, 0),
                                     choose_partial(COUNT, 2, 77, 0), choose_partial(3, 1, 76, 1)};
    struct ff_fold fold;
    struct ff_run run;
    unsigned char *records;
    const unsigned char *next;

    (void)state;
    assert_int_equal(ff_fold_open(&fold, (const struct ff_partial *const *)partials, 3), 0);
    records = fold_range(&fold, 0, 1, &run);
    ff_fold_close(&fold);
    /* Keys 0, 1, 2 of the last partial have hashes 76, 77 and 78: one of them is known. */
    assert_int_equal(run.count, COUNT + 2);
    next = records;
    for (size_t i = 0; i < COUNT + 2; i++) {
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        assert_int_equal(entry.count, i == 0 ? 8 : i < COUNT ? 7 : 1);
    }
    assert_ptr_equal(next, records + run.bytes);
    free(records);
    for (unsigned i = 0; i < 3; i++)
        free(partials[i]);
}

/* And the fold goes on with other ranges. */
static void sum_past_64_bits_is_refused(void **state)
{
    struct ff_partial *partials[] = {choose_partial(1, UINT64_MAX, 9, 0),
                                     choose_partial(1, 1, 9, 0),
                                     choose_partial(5, 1, UINT32_MAX - 4, 1)};
    const unsigned char unchanged[1] = {0};
    struct ff_run run = {.records = unchanged, .bytes = 98, .count = 99};
    struct ff_fold fold;
    unsigned char *out;

    (void)state;
    assert_int_equal(ff_fold_open(&fold, (const struct ff_partial *const *)partials, 3), 0);
    out = malloc(ff_fold_range_bound(&fold, 0, 2));
    assert_non_null(out);
    assert_int_equal(ff_fold_range(&fold, 0, 2, out, &run), FORKFOLD_E_LIMIT);
    assert_ptr_equal(run.records, unchanged);
    assert_true(run.bytes == 98 && run.count == 99);
    free(out);
    free(fold_range(&fold, 1, 2, &run));
    assert_int_equal(run.count, 5);
    ff_fold_close(&fold);
    for (unsigned i = 0; i < 3; i++)
        free(partials[i]);
}

static int64_t grow_much(int64_t a, int64_t b)
{
    return (a > b ? a : b) + (INT64_C(1) << 60);
}

/* Short values may become long ones: the bound must know. */
static void room_is_enough_for_what_a_function_makes_of_values(void **state)
{
    static const struct ff_combiner grows = {.kind = FF_COMBINE_CALL, .call = grow_much};
    struct ff_partial *partials[] = {choose_partial(500, ff_value_encode(1), 9, 1),
                                     choose_partial(500, ff_value_encode(2), 9, 1)};
    struct ff_fold fold;
    const unsigned char *next;
    unsigned char *records;
    struct ff_run run;

    (void)state;
    assert_int_equal(ff_fold_open(&fold, (const struct ff_partial *const *)partials, 2), 0);
    fold.combiner = &grows;
    records = fold_range(&fold, 0, 1, &run);
    assert_int_equal(run.count, 500);
    next = records;
    for (size_t i = 0; i < run.count; i++) {
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        assert_int_equal(ff_value_decode(entry.count), (INT64_C(1) << 60) + 2);
    }
    assert_ptr_equal(next, records + run.bytes);
    free(records);
    ff_fold_close(&fold);
    free(partials[0]);
    free(partials[1]);
}

static void failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    struct random_keys set = make_random_keys(1000);
    struct input input = {0};
    struct folded folded;
    struct ff_fold fold;
    struct ff_merge merge;
    struct ff_run run = {.count = 99};

    (void)state;
    deal(&input, &set, 3, 500);
    fold_all(&folded, &input, 2);
    for (long allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_fold_open(&fold, partials_of(&input), input.partial_count),
                         FORKFOLD_E_MEMORY);
        ff_fold_close(&fold);
    }
    allocations_left = -1;
    assert_int_equal(ff_fold_open(&fold, partials_of(&input), input.partial_count), 0);
    unsigned char *out = malloc(ff_fold_range_bound(&fold, 0, 2));

    assert_non_null(out);
    for (long allowed = 0; allowed < 2; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_fold_range(&fold, 0, 2, out, &run), FORKFOLD_E_MEMORY);
        assert_int_equal(run.count, 99);
    }
    allocations_left = -1;
    assert_int_equal(ff_fold_range(&fold, 0, 2, out, &run), 0);
    assert_int_equal(run.count, folded.runs[0].count);
    /* What a fold has for one range it has for the next. */
    allocations_left = 0;
    assert_int_equal(ff_fold_range(&fold, 0, 2, out, &run), 0);
    assert_int_equal(run.count, folded.runs[0].count);
    free(out);
    ff_fold_close(&fold);
    for (long allowed = 0; allowed < 4; allowed++) {
        allocations_left = allowed;
        assert_int_equal(ff_merge_init(&merge, folded.runs, folded.range_count), FORKFOLD_E_MEMORY);
    }
    allocations_left = -1;
    free_folded(&folded);
    free_input(&input);
    free_random_keys(&set);
}

/* The keys of a cluster are put in order beside the table. */
static void partial_that_lacks_memory_is_not_written(void **state)
{
    struct random_keys set = make_random_keys(1000);
    struct ff_table table = make_random_table(&set);
    struct ff_partial *partial = aligned_alloc(64, ff_partial_bound(&table));
    int code = FORKFOLD_E_MEMORY;
    long allowed = 0;

    (void)state;
    assert_non_null(partial);
    for (; code < 0; allowed++) {
        allocations_left = allowed;
        code = ff_partial_write(partial, &table);
        allocations_left = -1;
        assert_true(code == 0 || code == FORKFOLD_E_MEMORY);
    }
    assert_true(allowed > 1);
    assert_true(ff_partial_is_sound(partial, ff_partial_bound(&table)));
    free(partial);
    ff_table_free(&table);
    free_random_keys(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_equals_a_naive_reference_for_any_ranges_and_order),
        cmocka_unit_test(many_entries_and_many_partials_fold_alike),
        cmocka_unit_test(keys_that_begin_alike_are_ordered_by_their_ends),
        cmocka_unit_test(nothing_folds_to_nothing),
        cmocka_unit_test(sums_of_every_size_fit_where_their_summands_lay),
        cmocka_unit_test(keys_with_equal_hashes_stay_apart),
        cmocka_unit_test(ranges_cover_each_hash_once_up_to_the_greatest_range_count),
        cmocka_unit_test(hash_at_a_boundary_is_in_the_later_range_only),
        cmocka_unit_test(crowded_hashes_fold_too),
        cmocka_unit_test(sum_past_64_bits_is_refused),
        cmocka_unit_test(room_is_enough_for_what_a_function_makes_of_values),
        cmocka_unit_test(failed_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(partial_that_lacks_memory_is_not_written),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
