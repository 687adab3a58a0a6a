/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "flow/merge.h"
#include "flow/partial_file.h"
#include "random_keys.h"

#define FINGERPRINT UINT64_C(0xfedcba9876543210)

/* Sizes of the format (docs/formats.md). */
enum { HEADER_BYTES = 64, BLOCK_HEAD_BYTES = 24, FOOTER_BYTES = 64, INDEX_KEY_BYTES_MAX = 64 };

enum { PARTIALS_MAX = 40, STOP = -77 };

static const char coverage[] = "tasks 0 to 8";

static const enum ff_order both_orders[] = {FF_BY_KEY, FF_BY_RANK};

/* ---- Keys, files ---------------------------------------------------------- */

static int new_file(void)
{
    int fd = memfd_create("partial", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* A key of the given bytes, or of that many times 'm' when there are none. */
static struct random_key make_key(const char *bytes, size_t length, uint64_t sum)
{
    struct random_key key = {.bytes = malloc(length + 1), .length = length, .sum = sum};

    assert_non_null(key.bytes);
    if (bytes != NULL)
        memcpy(key.bytes, bytes, length);
    else
        memset(key.bytes, 'm', length);
    return key;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct random_key *left = a;
    const struct random_key *right = b;

    if (left->sum != right->sum)
        return left->sum > right->sum ? -1 : 1;
    return compare_random_keys(a, b);
}

static void sort_keys(struct random_keys *set, enum ff_order order)
{
    qsort(set->keys, set->count, sizeof(*set->keys),
          order == FF_BY_KEY ? compare_random_keys : compare_ranks);
}

/* Random keys in the order, with sums of every size whose total fits. */
static struct random_keys make_counted_keys(size_t count, enum ff_order order)
{
    struct random_keys set = make_random_keys(count);

    for (size_t i = 0; i < set.count; i++)
        set.keys[i].sum = 1 + (random_u64() >> (16 + random_below(48)));
    sort_keys(&set, order);
    return set;
}

/* Keys where something ends or begins: empty, NUL, prefixes, the index's limit, block sizes. */
static struct random_keys make_edge_keys(void)
{
    const struct random_key keys[] = {
        make_key("", 0, 1),
        make_key("\0", 1, UINT64_C(1) << 62),
        make_key("\0\0", 2, 127),
        make_key("a", 1, 128),
        make_key("a\0", 2, 1),
        make_key("a\0b", 3, 16383),
        make_key("ab", 2, 16384),
        make_key("abcdefgh", 8, 1),
        make_key("abcdefghi", 9, UINT32_MAX),
        make_key(NULL, INDEX_KEY_BYTES_MAX, 1),
        make_key(NULL, INDEX_KEY_BYTES_MAX + 1, 1),
        make_key(NULL, FF_BLOCK_BYTES - 100, 2),
        make_key(NULL, FF_BLOCK_BYTES, 3),
        make_key(NULL, 3 * 1024 * 1024 + 1, 4),
        make_key(NULL, 3 * 1024 * 1024 + 2, 5),
        make_key("n", 1, 6),
        make_key("\xff\xff", 2, 7),
    };
    struct random_keys set = {.keys = malloc(sizeof(keys)), .count = sizeof(keys) / sizeof(*keys)};

    assert_non_null(set.keys);
    memcpy(set.keys, keys, sizeof(keys));
    return set;
}

static struct random_keys no_keys(void)
{
    return (struct random_keys){0};
}

/* Writes the keys; 0 or the writer's code, with its errno value. */
static int try_write(int fd, uint64_t offset, const struct random_keys *set, enum ff_order order,
                     struct ff_extent *extent, int *system_error)
{
    struct ff_partial_writer writer;
    int code = ff_partial_writer_open(&writer, fd, offset, order, FINGERPRINT);

    for (size_t i = 0; i < set->count && code == 0; i++)
        code = ff_partial_writer_add(&writer, set->keys[i].bytes, set->keys[i].length,
                                     set->keys[i].sum);
    if (code == 0)
        code = ff_partial_writer_finish(&writer, coverage, sizeof(coverage));
    *extent = writer.extent;
    *system_error = writer.system_error;
    ff_partial_writer_close(&writer);
    return code;
}

static struct ff_extent write_keys(int fd, uint64_t offset, const struct random_keys *set,
                                   enum ff_order order)
{
    struct ff_extent extent;
    int system_error;

    assert_int_equal(try_write(fd, offset, set, order, &extent, &system_error), 0);
    assert_int_equal(extent.offset, offset);
    return extent;
}

static void open_reader(struct ff_partial_reader *reader, int fd, struct ff_extent extent,
                        enum ff_order order)
{
    assert_int_equal(ff_partial_reader_open(reader, fd, extent, order, FINGERPRINT), 0);
}

static void assert_entry(const struct ff_entry *entry, const struct random_key *key)
{
    assert_int_equal(entry->key_bytes, key->length);
    if (key->length > 0)
        assert_memory_equal(entry->key, key->bytes, key->length);
    assert_int_equal(entry->count, key->sum);
    assert_int_equal(entry->prefix, ff_key_prefix(key->bytes, key->length));
}

/* Reads all, then from the first key again.  0 or the first code; what comes before is right. */
static int try_read(int fd, struct ff_extent extent, const struct random_keys *set,
                    enum ff_order order)
{
    struct ff_partial_reader reader;
    int code = ff_partial_reader_open(&reader, fd, extent, order, FINGERPRINT);
    int more = 1;

    for (size_t i = 0; code == 0 && more == 1; i++) {
        more = ff_partial_reader_next(&reader);
        code = more < 0 ? more : 0;
        if (more == 1) {
            assert_true(i < set->count);
            assert_entry(&reader.entry, &set->keys[i]);
        } else if (more == 0) {
            assert_int_equal(i, set->count);
        }
    }
    if (code == 0 && order == FF_BY_KEY)
        code = ff_partial_reader_seek(&reader, "", 0);
    if (code == 0)
        code = ff_partial_reader_next(&reader);
    ff_partial_reader_close(&reader);
    return code < 0 ? code : 0;
}

static void assert_holds(int fd, struct ff_extent extent, const struct random_keys *set,
                         enum ff_order order)
{
    struct ff_partial_reader reader;
    uint64_t total = 0;

    for (size_t i = 0; i < set->count; i++)
        total += set->keys[i].sum;
    open_reader(&reader, fd, extent, order);
    assert_int_equal(reader.entry_count, set->count);
    assert_int_equal(reader.total, total);
    ff_partial_reader_close(&reader);
    assert_int_equal(try_read(fd, extent, set, order), 0);
}

static unsigned char *read_bytes(int fd, struct ff_extent extent)
{
    unsigned char *bytes = malloc(extent.bytes);

    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, extent.bytes, (off_t)extent.offset), extent.bytes);
    return bytes;
}

static void write_bytes(int fd, uint64_t offset, const void *bytes, size_t count)
{
    assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), count);
}

/* ---- Round trips ----------------------------------------------------------- */

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

/* ---- Seeking and samples --------------------------------------------------- */

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

/* ---- Damage ---------------------------------------------------------------- */

static struct random_keys make_few_keys(void)
{
    const struct random_key keys[] = {
        make_key("", 0, 3),      make_key("fold", 4, 200),      make_key("folded", 6, 1),
        make_key("fork", 4, 17), make_key("forkfold", 8, 1000), make_key("unfold", 6, 2),
    };
    struct random_keys set = {.keys = malloc(sizeof(keys)), .count = sizeof(keys) / sizeof(*keys)};

    assert_non_null(set.keys);
    memcpy(set.keys, keys, sizeof(keys));
    return set;
}

/* Of two blocks, each a key of 20000 times that letter. */
static struct random_keys make_two_block_keys(char first, char second)
{
    struct random_keys set = {.keys = calloc(2, sizeof(*set.keys)), .count = 2};

    assert_non_null(set.keys);
    set.keys[0] = make_key(NULL, 20000, 5);
    set.keys[1] = make_key(NULL, 20000, 5);
    memset(set.keys[0].bytes, first, 20000);
    memset(set.keys[1].bytes, second, 20000);
    return set;
}

/* The coverage, which only those check who read it, and which has no part in the entries. */
static bool in_coverage(struct ff_extent extent, uint64_t at)
{
    uint64_t end = extent.bytes - FOOTER_BYTES;

    return at < end && at >= end - sizeof(coverage) - BLOCK_HEAD_BYTES;
}

static void assert_flip_is_found(int fd, struct ff_extent extent, const struct random_keys *set,
                                 enum ff_order order, uint64_t at, unsigned bit)
{
    unsigned char byte;
    unsigned char flipped;
    int code;

    assert_int_equal(pread(fd, &byte, 1, (off_t)(extent.offset + at)), 1);
    flipped = (unsigned char)(byte ^ 1U << bit);
    write_bytes(fd, extent.offset + at, &flipped, 1);
    code = try_read(fd, extent, set, order);
    write_bytes(fd, extent.offset + at, &byte, 1);
    if (code != FORKFOLD_E_DAMAGED && !(code == 0 && in_coverage(extent, at)))
        fail_msg("bit %u of byte %zu flipped: %d", bit, (size_t)at, code);
}

static void every_flipped_bit_of_a_small_partial_is_found(void **state)
{
    struct random_keys set = make_few_keys();
    struct ff_extent extent;
    int fd = new_file();

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        enum ff_order order = both_orders[turn];

        sort_keys(&set, order);
        extent = write_keys(fd, 7, &set, order);
        for (uint64_t at = 0; at < extent.bytes; at++) {
            /* Nobody seeks in a partial by rank, so nobody reads its index. */
            if (order == FF_BY_RANK && !in_coverage(extent, at) && at < extent.bytes - FOOTER_BYTES)
                continue;
            for (unsigned bit = 0; bit < 8; bit++)
                assert_flip_is_found(fd, extent, &set, order, at, bit);
        }
        assert_holds(fd, extent, &set, order);
    }
    close(fd);
    free_random_keys(&set);
}

static void flipped_bits_of_large_blocks_are_found(void **state)
{
    struct random_keys set = make_counted_keys(1500, FF_BY_KEY);
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &set, FF_BY_KEY);

    (void)state;
    for (unsigned turn = 0; turn < 1000; turn++)
        assert_flip_is_found(fd, extent, &set, FF_BY_KEY, random_below(extent.bytes),
                             (unsigned)random_below(8));
    close(fd);
    free_random_keys(&set);
}

static void every_cut_or_shifted_partial_is_found(void **state)
{
    struct random_keys set = make_few_keys();
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 1, &set, FF_BY_KEY);
    struct ff_extent longer = {.offset = extent.offset, .bytes = extent.bytes + 1};
    struct ff_extent shifted = {.offset = extent.offset - 1, .bytes = extent.bytes};

    (void)state;
    for (uint64_t bytes = 0; bytes < extent.bytes; bytes++) {
        struct ff_extent cut = {.offset = extent.offset, .bytes = bytes};

        assert_int_equal(try_read(fd, cut, &set, FF_BY_KEY), FORKFOLD_E_DAMAGED);
    }
    assert_int_equal(try_read(fd, longer, &set, FF_BY_KEY), FORKFOLD_E_DAMAGED);
    assert_int_equal(try_read(fd, shifted, &set, FF_BY_KEY), FORKFOLD_E_DAMAGED);
    for (uint64_t bytes = extent.bytes; bytes-- > 0;) {
        assert_int_equal(ftruncate(fd, (off_t)(extent.offset + bytes)), 0);
        assert_int_equal(try_read(fd, extent, &set, FF_BY_KEY), FORKFOLD_E_DAMAGED);
    }
    close(fd);
    free_random_keys(&set);
}

/* The block that is out of place is sound, and its keys come in order there. */
static void block_out_of_place_is_found(void **state)
{
    struct random_keys right = make_two_block_keys('a', 'c');
    struct random_keys other = make_two_block_keys('c', 'd');
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &right, FF_BY_KEY);
    struct ff_extent source = write_keys(fd, extent.bytes, &other, FF_BY_KEY);
    uint64_t block_bytes = BLOCK_HEAD_BYTES + 1 + 3 + 20000 + 1;
    struct ff_extent moved = {.offset = source.offset + HEADER_BYTES, .bytes = block_bytes};
    unsigned char *block = read_bytes(fd, moved);

    (void)state;
    assert_holds(fd, extent, &right, FF_BY_KEY);
    write_bytes(fd, HEADER_BYTES + block_bytes, block, block_bytes);
    assert_int_equal(try_read(fd, extent, &right, FF_BY_KEY), FORKFOLD_E_DAMAGED);
    free(block);
    close(fd);
    free_random_keys(&right);
    free_random_keys(&other);
}

/* Entries that no writer would write, under a checksum that is right. */
struct nonsense {
    const char *payload;
    size_t payload_bytes;
    uint32_t entry_count;
};

#define NONSENSE(text, count)                                                                      \
    {                                                                                              \
        .payload = (text), .payload_bytes = sizeof(text) - 1, .entry_count = count                 \
    }

static const struct nonsense nonsense_by_key[] = {
    NONSENSE("", 0),
    NONSENSE("", 1),
    NONSENSE("\0\1a\1", 0),
    NONSENSE("\0\1a\1", 2),
    NONSENSE("\0\1a\1\0", 1),
    NONSENSE("\0\1a\1\0\1b\1", 1),
    NONSENSE("\0\1a\0", 1),
    NONSENSE("\0\2a\1", 1),
    NONSENSE("\0\x81", 1),
    NONSENSE("\1\1a\1", 1),
    NONSENSE("\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1a\1", 1),
    NONSENSE("\0\1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 1),
    NONSENSE("\0\1a\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", 1),
    NONSENSE("\0\1a\1\1\0\1", 2),
    NONSENSE("\0\1a\1\2\1b\1", 2),
    NONSENSE("\0\1b\1\0\1a\1", 2),
    NONSENSE("\0\2aa\1\0\2ab\1", 2),
    NONSENSE("\0\2ab\1\1\1a\1", 2),
};

static const struct nonsense nonsense_by_rank[] = {
    NONSENSE("\0\1a\1\0\1b\2", 2),
    NONSENSE("\0\1b\2\0\1a\2", 2),
    NONSENSE("\0\1b\2\2\1a\1", 2),
};

/* Puts the block in the place of the first; there it must be found by what it says. */
static void assert_nonsense_is_found(int fd, struct ff_extent extent, enum ff_order order,
                                     const struct nonsense *nonsense)
{
    unsigned char block[BLOCK_HEAD_BYTES + 32] = {0};
    const uint32_t counts[2] = {nonsense->entry_count, 1};
    uint64_t payload_bytes = nonsense->payload_bytes;
    struct ff_partial_reader reader;
    uint64_t checksum;
    int more;

    memcpy(block + 8, &payload_bytes, sizeof(payload_bytes));
    memcpy(block + 16, counts, sizeof(counts));
    memcpy(block + BLOCK_HEAD_BYTES, nonsense->payload, payload_bytes);
    checksum = XXH3_64bits_withSeed(block + 8, BLOCK_HEAD_BYTES - 8 + payload_bytes,
                                    FINGERPRINT + HEADER_BYTES);
    memcpy(block, &checksum, sizeof(checksum));
    write_bytes(fd, extent.offset + HEADER_BYTES, block, sizeof(block));
    open_reader(&reader, fd, extent, order);
    while ((more = ff_partial_reader_next(&reader)) == 1)
        assert_true(reader.position <= BLOCK_HEAD_BYTES + payload_bytes);
    assert_int_equal(more, FORKFOLD_E_DAMAGED);
    ff_partial_reader_close(&reader);
}

static void nonsense_under_a_right_checksum_is_found(void **state)
{
    struct random_keys set = make_two_block_keys('a', 'b');
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &set, FF_BY_KEY);

    (void)state;
    for (size_t i = 0; i < sizeof(nonsense_by_key) / sizeof(*nonsense_by_key); i++)
        assert_nonsense_is_found(fd, extent, FF_BY_KEY, &nonsense_by_key[i]);
    extent = write_keys(fd, 0, &set, FF_BY_RANK);
    for (size_t i = 0; i < sizeof(nonsense_by_rank) / sizeof(*nonsense_by_rank); i++)
        assert_nonsense_is_found(fd, extent, FF_BY_RANK, &nonsense_by_rank[i]);
    close(fd);
    free_random_keys(&set);
}

static void partial_of_another_job_or_order_is_refused(void **state)
{
    struct random_keys set = make_few_keys();
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &set, FF_BY_KEY);
    struct ff_extent next = write_keys(fd, extent.bytes, &set, FF_BY_KEY);
    struct ff_extent both = {.bytes = extent.bytes + next.bytes};
    struct ff_partial_reader reader;

    (void)state;
    assert_int_equal(ff_partial_reader_open(&reader, fd, both, FF_BY_KEY, FINGERPRINT),
                     FORKFOLD_E_DAMAGED);
    ff_partial_reader_close(&reader);
    assert_int_equal(ff_partial_reader_open(&reader, fd, extent, FF_BY_KEY, FINGERPRINT + 1),
                     FORKFOLD_E_DAMAGED);
    ff_partial_reader_close(&reader);
    assert_int_equal(ff_partial_reader_open(&reader, fd, extent, FF_BY_RANK, FINGERPRINT),
                     FORKFOLD_E_DAMAGED);
    assert_int_equal(reader.system_error, 0);
    ff_partial_reader_close(&reader);
    close(fd);
    free_random_keys(&set);
}

/* ---- Failing files and memory ---------------------------------------------- */

static void assert_write_fails(int fd, const struct random_keys *set, int system_error)
{
    struct ff_extent extent;
    int found;

    assert_int_equal(try_write(fd, 0, set, FF_BY_KEY, &extent, &found), FORKFOLD_E_SPILL);
    assert_int_equal(found, system_error);
}

static void files_that_cannot_be_used_are_reported(void **state)
{
    struct random_keys set = make_few_keys();
    struct ff_extent extent = {.bytes = 1000};
    struct ff_partial_reader reader;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int readable = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(full >= 0 && readable >= 0);
    assert_write_fails(full, &set, ENOSPC);
    assert_write_fails(readable, &set, EBADF);
    assert_int_equal(ff_partial_reader_open(&reader, full, extent, FF_BY_KEY, FINGERPRINT),
                     FORKFOLD_E_SPILL);
    assert_int_equal(reader.system_error, EBADF);
    ff_partial_reader_close(&reader);
    close(full);
    close(readable);
    free_random_keys(&set);
}

/* The limit is lifted before anything is asserted, for the report may go to a file too. */
static void write_stops_where_the_file_may_not_grow(void **state)
{
    struct random_keys set = make_few_keys();
    int fd = new_file();
    struct ff_extent whole = write_keys(fd, 0, &set, FF_BY_KEY);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit unlimited;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    for (uint64_t most = 0; most <= whole.bytes; most++) {
        struct rlimit limit = {.rlim_cur = most, .rlim_max = unlimited.rlim_max};
        struct ff_extent extent;
        int system_error;
        int code;

        assert_int_equal(ftruncate(fd, 0), 0);
        setrlimit(RLIMIT_FSIZE, &limit);
        code = try_write(fd, 0, &set, FF_BY_KEY, &extent, &system_error);
        setrlimit(RLIMIT_FSIZE, &unlimited);
        assert_int_equal(code, most < whole.bytes ? FORKFOLD_E_SPILL : 0);
        assert_int_equal(system_error, most < whole.bytes ? EFBIG : 0);
        assert_int_equal(extent.bytes, most);
    }
    assert_holds(fd, whole, &set, FF_BY_KEY);
    signal(SIGXFSZ, handler);
    close(fd);
    free_random_keys(&set);
}

static int accept_key(void *context, const char *key, size_t key_bytes)
{
    (void)context, (void)key, (void)key_bytes;
    return 0;
}

/* Writes, seeks, samples, and merges the partial with itself: all that needs memory. */
static int use_partials(int fd, const struct random_keys *set)
{
    struct ff_partial_reader readers[2] = {0};
    struct ff_file_merge merge = {0};
    struct ff_entry entry;
    struct ff_extent extent;
    int system_error;
    int code = try_write(fd, 0, set, FF_BY_KEY, &extent, &system_error);

    for (size_t i = 0; i < 2 && code == 0; i++)
        code = ff_partial_reader_open(&readers[i], fd, extent, FF_BY_KEY, FINGERPRINT);
    if (code == 0)
        code = ff_partial_reader_sample(&readers[0], 5, accept_key, NULL);
    if (code == 0)
        code = ff_partial_reader_seek(&readers[1], "", 0);
    if (code == 0)
        code = ff_file_merge_open(&merge, readers, 2, FF_BY_KEY);
    while (code == 0 && (code = ff_file_merge_next(&merge, &entry)) == 1)
        code = 0;
    ff_file_merge_close(&merge);
    for (size_t i = 0; i < 2; i++)
        ff_partial_reader_close(&readers[i]);
    return code;
}

static void lack_of_memory_is_reported_wherever_it_strikes(void **state)
{
    struct random_keys set = make_edge_keys();
    int fd = new_file();
    long allowed = 0;
    int code = FORKFOLD_E_MEMORY;

    (void)state;
    for (; code == FORKFOLD_E_MEMORY; allowed++) {
        allocations_left = allowed;
        code = use_partials(fd, &set);
        allocations_left = -1;
    }
    assert_int_equal(code, 0);
    assert_true(allowed > 20);
    close(fd);
    free_random_keys(&set);
}

/* ---- Merging --------------------------------------------------------------- */

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
        cmocka_unit_test(random_keys_come_back_in_their_order),
        cmocka_unit_test(edge_keys_come_back_in_their_order),
        cmocka_unit_test(empty_partial_has_no_entries),
        cmocka_unit_test(total_is_limited_to_64_bits),
        cmocka_unit_test(partials_share_a_file_at_any_offset),
        cmocka_unit_test(same_entries_make_the_same_bytes_at_any_place),
        cmocka_unit_test(seek_finds_every_key_within_a_block),
        cmocka_unit_test(seek_passes_no_key_of_any_length),
        cmocka_unit_test(samples_are_evenly_spread),
        cmocka_unit_test(every_flipped_bit_of_a_small_partial_is_found),
        cmocka_unit_test(flipped_bits_of_large_blocks_are_found),
        cmocka_unit_test(every_cut_or_shifted_partial_is_found),
        cmocka_unit_test(block_out_of_place_is_found),
        cmocka_unit_test(nonsense_under_a_right_checksum_is_found),
        cmocka_unit_test(partial_of_another_job_or_order_is_refused),
        cmocka_unit_test(files_that_cannot_be_used_are_reported),
        cmocka_unit_test(write_stops_where_the_file_may_not_grow),
        cmocka_unit_test(lack_of_memory_is_reported_wherever_it_strikes),
        cmocka_unit_test(merged_partials_equal_the_sorted_sums),
        cmocka_unit_test(nothing_merges_to_nothing),
        cmocka_unit_test(merge_may_begin_at_any_key),
        cmocka_unit_test(merge_names_the_damaged_partial),
        cmocka_unit_test(merged_sum_is_limited_to_64_bits),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
