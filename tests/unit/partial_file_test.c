/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "partial_files.h"

enum { STOP = -77 };

/* ---- Round trips --------------------------------------------------------- */

static void random_keys_come_back_in_their_order(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct random_keys set = make_counted_keys(6000, both_orders[turn]);
        int fd = new_file();

        assert_holds(fd, write_keys(fd, 0, &set, both_orders[turn]), &set, both_orders[turn]);
        close(fd);
        free_random_keys(&set);
    }
}

static void edge_keys_come_back_in_their_order(void **state)
{
    struct random_keys set = make_edge_keys();
    int fd = new_file();

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        sort_keys(&set, both_orders[turn]);
        assert_holds(fd, write_keys(fd, 0, &set, both_orders[turn]), &set, both_orders[turn]);
    }
    close(fd);
    free_random_keys(&set);
}

static int refuse_key(void *context, const char *key, size_t key_bytes)
{
    (void)context, (void)key, (void)key_bytes;
    return STOP;
}

static void empty_partial_has_no_entries(void **state)
{
    struct random_keys none = no_keys();
    int fd = new_file();

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct ff_extent extent = write_keys(fd, 0, &none, both_orders[turn]);
        struct ff_partial_reader reader;

        assert_holds(fd, extent, &none, both_orders[turn]);
        open_reader(&reader, fd, extent, both_orders[turn]);
        assert_int_equal(ff_partial_reader_seek(&reader, "any", 3), 0);
        assert_int_equal(ff_partial_reader_next(&reader), 0);
        assert_int_equal(ff_partial_reader_sample(&reader, 9, refuse_key, NULL), 0);
        assert_int_equal(ff_partial_reader_next(&reader), 0);
        assert_int_equal(ff_partial_reader_next(&reader), 0);
        ff_partial_reader_close(&reader);
    }
    close(fd);
}

static void total_is_limited_to_64_bits(void **state)
{
    struct random_key greatest = make_key("greatest", 8, UINT64_MAX);
    struct random_keys set = {.keys = &greatest, .count = 1};
    struct ff_partial_writer writer;
    int fd = new_file();

    (void)state;
    assert_holds(fd, write_keys(fd, 0, &set, FF_BY_KEY), &set, FF_BY_KEY);
    assert_int_equal(ff_partial_writer_open(&writer, fd, 0, FF_BY_KEY, 0), 0);
    assert_int_equal(ff_partial_writer_add(&writer, "a", 1, UINT64_MAX - 1), 0);
    assert_int_equal(ff_partial_writer_add(&writer, "b", 1, 1), 0);
    assert_int_equal(ff_partial_writer_add(&writer, "c", 1, 1), FORKFOLD_E_LIMIT);
    ff_partial_writer_close(&writer);
    close(fd);
    free(greatest.bytes);
}

static void partials_share_a_file_at_any_offset(void **state)
{
    enum { COUNT = 5 };
    static const size_t gaps[COUNT] = {3, 0, 1, 4093, 0};
    struct random_keys sets[COUNT];
    struct ff_extent extents[COUNT];
    uint64_t offset = 0;
    int fd = new_file();

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        sets[i] = i == 1 ? no_keys() : make_counted_keys(3 + 100 * i, both_orders[i % 2]);
        offset += gaps[i];
        extents[i] = write_keys(fd, offset, &sets[i], both_orders[i % 2]);
        offset += extents[i].bytes;
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_holds(fd, extents[i], &sets[i], both_orders[i % 2]);
        free_random_keys(&sets[i]);
    }
    close(fd);
}

static void same_entries_make_the_same_bytes_at_any_place(void **state)
{
    struct random_keys set = make_counted_keys(3000, FF_BY_KEY);
    int fd = new_file();
    struct ff_extent first = write_keys(fd, 0, &set, FF_BY_KEY);
    struct ff_extent second = write_keys(fd, first.bytes + 11, &set, FF_BY_KEY);
    unsigned char *first_bytes = read_bytes(fd, first);
    unsigned char *second_bytes = read_bytes(fd, second);
    char gap[11];

    (void)state;
    assert_int_equal(first.bytes, second.bytes);
    assert_memory_equal(first_bytes, second_bytes, first.bytes);
    assert_int_equal(pread(fd, gap, sizeof(gap), (off_t)first.bytes), sizeof(gap));
    assert_memory_equal(gap, "\0\0\0\0\0\0\0\0\0\0", sizeof(gap));
    assert_int_equal(lseek(fd, 0, SEEK_END), second.offset + second.bytes);
    free(first_bytes);
    free(second_bytes);
    close(fd);
    free_random_keys(&set);
}

/* ---- Seeking and samples ------------------------------------------------- */

/* Ascending keys as long as the index takes, whose first eight bytes are their number. */
enum { NUMBERED_KEYS = 115000, NUMBERED_BYTES_LEAST = INDEX_KEY_BYTES_MAX - 8 };

static size_t number_of(const char *key, size_t key_bytes)
{
    return (size_t)(ff_key_prefix(key, key_bytes) >> 8);
}

static struct random_keys make_numbered_keys(void)
{
    struct random_keys set = {.keys = calloc(NUMBERED_KEYS, sizeof(*set.keys)),
                              .count = NUMBERED_KEYS};

    assert_non_null(set.keys);
    for (size_t i = 0; i < set.count; i++) {
        uint64_t number = htobe64(i << 8);

        set.keys[i] = make_key(NULL, INDEX_KEY_BYTES_MAX, 1 + i % 300);
        for (size_t at = 0; at < INDEX_KEY_BYTES_MAX; at++)
            set.keys[i].bytes[at] = (char)random_u64();
        memcpy(set.keys[i].bytes, &number, sizeof(number));
    }
    return set;
}

/*
 * Seeks a key; the first that is not below it must be set->keys[expected], and all that come before
 * it are its neighbours.  Returns how many those are.
 */
static size_t seek_to(struct ff_partial_reader *reader, const struct random_keys *set,
                      const char *key, size_t key_bytes, size_t expected)
{
    size_t early = 0;
    int more;

    assert_int_equal(ff_partial_reader_seek(reader, key, key_bytes), 0);
    while ((more = ff_partial_reader_next(reader)) == 1 &&
           compare_key_bytes(reader->entry.key, reader->entry.key_bytes, key, key_bytes) < 0)
        early++;
    assert_int_equal(more, expected < set->count);
    if (more == 1)
        assert_entry(&reader->entry, &set->keys[expected]);
    return early;
}

static void seek_finds_every_key_within_a_block(void **state)
{
    struct random_keys set = make_numbered_keys();
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &set, FF_BY_KEY);
    struct ff_partial_reader reader;
    size_t most = FF_BLOCK_BYTES / NUMBERED_BYTES_LEAST;

    (void)state;
    assert_true(extent.bytes > 200 * FF_BLOCK_BYTES);
    open_reader(&reader, fd, extent, FF_BY_KEY);
    for (size_t i = 0; i < set.count; i++) {
        char key[INDEX_KEY_BYTES_MAX + 1] = {0};

        memcpy(key, set.keys[i].bytes, INDEX_KEY_BYTES_MAX);
        assert_true(seek_to(&reader, &set, key, INDEX_KEY_BYTES_MAX, i) <= most);
        if (i % 10 == 0) {
            assert_true(seek_to(&reader, &set, key, INDEX_KEY_BYTES_MAX + 1, i + 1) <= most);
            assert_true(seek_to(&reader, &set, key, INDEX_KEY_BYTES_MAX - 1, i) <= most);
        }
    }
    assert_int_equal(seek_to(&reader, &set, "", 0, 0), 0);
    assert_true(seek_to(&reader, &set, "\xff", 1, set.count) <= most);
    ff_partial_reader_close(&reader);
    close(fd);
    free_random_keys(&set);
}

/* Of keys that are too long for the index too, and from wherever the reader stands. */
static void seek_passes_no_key_of_any_length(void **state)
{
    struct random_keys sets[] = {make_counted_keys(4000, FF_BY_KEY), make_edge_keys()};
    int fd = new_file();

    (void)state;
    for (size_t turn = 0; turn < 2; turn++) {
        struct random_keys *set = &sets[turn];
        struct ff_extent extent = write_keys(fd, 5, set, FF_BY_KEY);
        struct ff_partial_reader reader;

        open_reader(&reader, fd, extent, FF_BY_KEY);
        for (size_t count = 0; count < 300; count++) {
            size_t i = random_below(set->count);
            struct random_key *key = &set->keys[i];
            char *behind = make_key(key->bytes, key->length, 0).bytes;

            behind[key->length] = '\0';
            seek_to(&reader, set, key->bytes, key->length, i);
            i += i + 1 == set->count ||
                 compare_key_bytes(set->keys[i + 1].bytes, set->keys[i + 1].length, behind,
                                   key->length + 1) >= 0;
            seek_to(&reader, set, behind, key->length + 1, i);
            free(behind);
        }
        ff_partial_reader_close(&reader);
        free_random_keys(set);
    }
    close(fd);
}

/* Keys that differ early are told apart early, however long they are. */
static void long_keys_are_sought_within_a_block(void **state)
{
    enum { KEYS = 3000, KEY_BYTES = 500 };
    struct random_keys set = {.keys = calloc(KEYS, sizeof(*set.keys)), .count = KEYS};
    int fd = new_file();
    struct ff_partial_reader reader;

    (void)state;
    assert_non_null(set.keys);
    for (size_t i = 0; i < set.count; i++) {
        uint32_t number = htobe32((uint32_t)i);

        set.keys[i] = make_key(NULL, KEY_BYTES, 1);
        memcpy(set.keys[i].bytes, &number, sizeof(number));
    }
    for (size_t i = 0; i < set.count; i++)
        for (size_t at = 4; at < KEY_BYTES; at++)
            set.keys[i].bytes[at] = (char)random_u64();
    open_reader(&reader, fd, write_keys(fd, 0, &set, FF_BY_KEY), FF_BY_KEY);
    for (size_t i = 0; i < set.count; i++)
        assert_true(seek_to(&reader, &set, set.keys[i].bytes, KEY_BYTES, i) <=
                    FF_BLOCK_BYTES / (KEY_BYTES - 4));
    ff_partial_reader_close(&reader);
    close(fd);
    free_random_keys(&set);
}

struct samples {
    size_t count;
    size_t stop_after;
    size_t numbers[NUMBERED_KEYS];
};

static int take_sample(void *context, const char *key, size_t key_bytes)
{
    struct samples *samples = context;

    assert_true(key_bytes > 0 && key_bytes <= INDEX_KEY_BYTES_MAX);
    samples->numbers[samples->count++] = number_of(key, key_bytes);
    return samples->count == samples->stop_after ? STOP : 0;
}

static void samples_are_evenly_spread(void **state)
{
    static const size_t limits[] = {0, 1, 2, 7, 100, 199, SIZE_MAX};
    static struct samples samples;
    struct random_keys set = make_numbered_keys();
    int fd = new_file();
    struct ff_partial_reader reader;
    size_t block_keys = FF_BLOCK_BYTES / NUMBERED_BYTES_LEAST;

    (void)state;
    open_reader(&reader, fd, write_keys(fd, 0, &set, FF_BY_KEY), FF_BY_KEY);
    for (size_t turn = 0; turn < sizeof(limits) / sizeof(*limits); turn++) {
        samples.count = 0;
        assert_int_equal(ff_partial_reader_sample(&reader, limits[turn], take_sample, &samples), 0);
        if (limits[turn] < SIZE_MAX)
            assert_int_equal(samples.count, limits[turn]);
        else
            assert_true(samples.count > 200);
        for (size_t i = 1; i < samples.count; i++) {
            size_t gap = samples.numbers[i] - samples.numbers[i - 1];

            assert_true(samples.numbers[i] > samples.numbers[i - 1]);
            assert_in_range(gap + block_keys, NUMBERED_KEYS / samples.count,
                            NUMBERED_KEYS / samples.count + 2 * block_keys);
        }
        /* As far from the ends as half a gap: a single sample lies in the middle. */
        if (samples.count > 0 && limits[turn] < SIZE_MAX) {
            size_t half = NUMBERED_KEYS / (2 * samples.count);

            assert_in_range(samples.numbers[0] + 2 * block_keys, half, half + 4 * block_keys);
        }
        assert_int_equal(ff_partial_reader_next(&reader), 1);
        assert_entry(&reader.entry, &set.keys[0]);
    }
    samples = (struct samples){.stop_after = 3};
    assert_int_equal(ff_partial_reader_sample(&reader, 9, take_sample, &samples), STOP);
    assert_int_equal(samples.count, 3);
    ff_partial_reader_close(&reader);
    close(fd);
    free_random_keys(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_keys_come_back_in_their_order),
        cmocka_unit_test(edge_keys_come_back_in_their_order),
        cmocka_unit_test(empty_partial_has_no_entries),
        cmocka_unit_test(total_is_limited_to_64_bits),
        cmocka_unit_test(partials_share_a_file_at_any_offset),
        cmocka_unit_test(same_entries_make_the_same_bytes_at_any_place),
        cmocka_unit_test(seek_finds_every_key_within_a_block),
        cmocka_unit_test(seek_passes_no_key_of_any_length),
        cmocka_unit_test(long_keys_are_sought_within_a_block),
        cmocka_unit_test(samples_are_evenly_spread),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
