/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "flow/merge.h"
#include "partial_files.h"

enum { PARTIALS_MAX = 40 };

/* Partials in one file, and what they hold together. */
struct input {
    int fd;
    size_t count;
    struct ff_extent extents[PARTIALS_MAX];
    struct ff_partial_reader readers[PARTIALS_MAX];
    struct random_keys sums;
};

/* Keys that no partial has leave the reference. */
static void drop_unused_keys(struct random_keys *sums)
{
    size_t kept = 0;

    for (size_t i = 0; i < sums->count; i++) {
        if (sums->keys[i].sum == 0)
            free(sums->keys[i].bytes);
        else
            sums->keys[kept++] = sums->keys[i];
    }
    sums->count = kept;
}

/* By key each key is in about half of the partials, by rank in one. */
static void deal(struct input *input, size_t partial_count, size_t key_count, enum ff_order order)
{
    struct random_keys *sums = &input->sums;
    size_t *owners = calloc(key_count, sizeof(*owners));
    uint64_t offset = 0;

    assert_non_null(owners);
    *input = (struct input){.fd = new_file(), .count = partial_count};
    *sums = make_random_keys(key_count);
    for (size_t i = 0; i < sums->count; i++)
        owners[i] = random_below(partial_count);
    for (size_t p = 0; p < partial_count; p++) {
        struct random_keys part = {.keys = calloc(key_count, sizeof(*part.keys))};

        assert_non_null(part.keys);
        for (size_t i = 0; i < sums->count; i++) {
            if (order == FF_BY_KEY ? random_below(2) == 0 : owners[i] != p)
                continue;
            part.keys[part.count] = sums->keys[i];
            part.keys[part.count].sum = 1 + random_below(random_below(2) == 0 ? 5 : 1000000);
            sums->keys[i].sum += part.keys[part.count++].sum;
        }
        sort_keys(&part, order);
        input->extents[p] = write_keys(input->fd, offset, &part, order);
        offset += input->extents[p].bytes;
        free(part.keys);
    }
    drop_unused_keys(sums);
    sort_keys(sums, order);
    free(owners);
}

static void open_readers(struct input *input, enum ff_order order)
{
    for (size_t p = 0; p < input->count; p++)
        open_reader(&input->readers[p], input->fd, input->extents[p], order);
}

static void close_readers(struct input *input)
{
    for (size_t p = 0; p < input->count; p++)
        ff_partial_reader_close(&input->readers[p]);
}

static void free_input(struct input *input)
{
    close(input->fd);
    free_random_keys(&input->sums);
}

static void merged_partials_equal_the_sorted_sums(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < 2 * PARTIALS_MAX; turn++) {
        enum ff_order order = both_orders[turn % 2];
        struct input input;
        struct ff_file_merge merge;
        struct ff_entry entry;

        deal(&input, 1 + turn / 2, 300, order);
        open_readers(&input, order);
        assert_int_equal(ff_file_merge_open(&merge, input.readers, input.count, order), 0);
        for (size_t i = 0; i < input.sums.count; i++) {
            assert_int_equal(ff_file_merge_next(&merge, &entry), 1);
            assert_entry(&entry, &input.sums.keys[i]);
            assert_non_null(entry.key);
        }
        assert_int_equal(ff_file_merge_next(&merge, &entry), 0);
        assert_int_equal(ff_file_merge_next(&merge, &entry), 0);
        ff_file_merge_close(&merge);
        close_readers(&input);
        free_input(&input);
    }
}

static void nothing_merges_to_nothing(void **state)
{
    struct random_keys none = no_keys();
    struct ff_partial_reader readers[3];
    struct ff_entry entry;
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &none, FF_BY_KEY);

    (void)state;
    for (size_t count = 0; count <= 3; count++) {
        struct ff_file_merge merge;

        for (size_t i = 0; i < count; i++)
            open_reader(&readers[i], fd, extent, FF_BY_KEY);
        assert_int_equal(ff_file_merge_open(&merge, readers, count, FF_BY_KEY), 0);
        assert_int_equal(ff_file_merge_next(&merge, &entry), 0);
        ff_file_merge_close(&merge);
        for (size_t i = 0; i < count; i++)
            ff_partial_reader_close(&readers[i]);
    }
    close(fd);
}

/* The number of the first sum whose key is not below the given one. */
static size_t first_not_below(const struct random_keys *sums, const struct random_key *key)
{
    size_t i = 0;

    while (i < sums->count && compare_random_keys(&sums->keys[i], key) < 0)
        i++;
    return i;
}

static void merge_may_begin_at_any_key(void **state)
{
    struct input input;

    (void)state;
    deal(&input, 7, 5000, FF_BY_KEY);
    for (unsigned turn = 0; turn < 30; turn++) {
        struct random_key from = make_random_key();
        size_t next = first_not_below(&input.sums, &from);
        struct ff_file_merge merge;
        struct ff_entry entry;

        open_readers(&input, FF_BY_KEY);
        for (size_t p = 0; p < input.count; p++)
            assert_int_equal(ff_partial_reader_seek(&input.readers[p], from.bytes, from.length), 0);
        assert_int_equal(ff_file_merge_open(&merge, input.readers, input.count, FF_BY_KEY), 0);
        while (ff_file_merge_next(&merge, &entry) == 1) {
            if (compare_key_bytes(entry.key, entry.key_bytes, from.bytes, from.length) >= 0)
                assert_entry(&entry, &input.sums.keys[next++]);
        }
        assert_int_equal(next, input.sums.count);
        ff_file_merge_close(&merge);
        close_readers(&input);
        free(from.bytes);
    }
    free_input(&input);
}

static void merge_names_the_damaged_partial(void **state)
{
    struct input input;

    (void)state;
    deal(&input, 9, 12000, FF_BY_KEY);
    for (size_t turn = 0; turn < 60; turn++) {
        size_t bad = random_below(input.count);
        struct ff_extent extent = input.extents[bad];
        /* The second half has neither header nor the first block, so that reading begins well. */
        uint64_t at =
            turn == 0 ? HEADER_BYTES + 30 : extent.bytes / 2 + random_below(extent.bytes / 4);
        struct ff_file_merge merge;
        struct ff_entry entry;
        unsigned char byte;
        unsigned char wrong;
        size_t i = 0;
        int code;

        assert_true(extent.bytes > 3 * FF_BLOCK_BYTES);
        assert_int_equal(pread(input.fd, &byte, 1, (off_t)(extent.offset + at)), 1);
        wrong = byte ^ 0x10;
        write_bytes(input.fd, extent.offset + at, &wrong, 1);
        open_readers(&input, FF_BY_KEY);
        code = ff_file_merge_open(&merge, input.readers, input.count, FF_BY_KEY);
        assert_int_equal(code, turn == 0 ? FORKFOLD_E_DAMAGED : 0);
        while (code == 0 && (code = ff_file_merge_next(&merge, &entry)) == 1) {
            assert_entry(&entry, &input.sums.keys[i++]);
            code = 0;
        }
        assert_int_equal(code, FORKFOLD_E_DAMAGED);
        assert_int_equal(merge.failed, bad);
        ff_file_merge_close(&merge);
        close_readers(&input);
        write_bytes(input.fd, extent.offset + at, &byte, 1);
    }
    free_input(&input);
}

static void merged_sum_is_limited_to_64_bits(void **state)
{
    struct random_key keys[] = {make_key("a", 1, 1), make_key("b", 1, UINT64_MAX - 1)};
    struct random_keys large = {.keys = keys, .count = 2};
    struct ff_partial_reader readers[2];
    struct ff_file_merge merge;
    struct ff_entry entry;
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &large, FF_BY_KEY);

    (void)state;
    for (size_t i = 0; i < 2; i++)
        open_reader(&readers[i], fd, extent, FF_BY_KEY);
    assert_int_equal(ff_file_merge_open(&merge, readers, 2, FF_BY_KEY), 0);
    assert_int_equal(ff_file_merge_next(&merge, &entry), 1);
    assert_int_equal(entry.count, 2);
    assert_int_equal(ff_file_merge_next(&merge, &entry), FORKFOLD_E_LIMIT);
    ff_file_merge_close(&merge);
    for (size_t i = 0; i < 2; i++) {
        ff_partial_reader_close(&readers[i]);
        free(keys[i].bytes);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_partials_equal_the_sorted_sums),
        cmocka_unit_test(nothing_merges_to_nothing),
        cmocka_unit_test(merge_may_begin_at_any_key),
        cmocka_unit_test(merge_names_the_damaged_partial),
        cmocka_unit_test(merged_sum_is_limited_to_64_bits),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
