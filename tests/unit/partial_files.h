/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of partials in files: keys with their sums, written to a file and read again. */
#ifndef FF_TEST_PARTIAL_FILES_H
#define FF_TEST_PARTIAL_FILES_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/partial_file.h"
#include "random_keys.h"

#define FINGERPRINT UINT64_C(0xfedcba9876543210)

/* Sizes of the format (docs/formats.md). */
enum { HEADER_BYTES = 64, BLOCK_HEAD_BYTES = 24, FOOTER_BYTES = 64, INDEX_KEY_BYTES_MAX = 64 };

static const char coverage[] = "tasks 0 to 8";

static const enum ff_order both_orders[] = {FF_BY_KEY, FF_BY_RANK};

static inline int new_file(void)
{
    int fd = memfd_create("partial", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* A key of the given bytes, or of that many times 'm' when there are none. */
static inline struct random_key make_key(const char *bytes, size_t length, uint64_t sum)
{
    struct random_key key = {.bytes = malloc(length + 1), .length = length, .sum = sum};

    assert_non_null(key.bytes);
    if (bytes != NULL)
        memcpy(key.bytes, bytes, length);
    else
        memset(key.bytes, 'm', length);
    return key;
}

static inline int compare_ranks(const void *a, const void *b)
{
    const struct random_key *left = a;
    const struct random_key *right = b;

    if (left->sum != right->sum)
        return left->sum > right->sum ? -1 : 1;
    return compare_random_keys(a, b);
}

static inline void sort_keys(struct random_keys *set, enum ff_order order)
{
    qsort(set->keys, set->count, sizeof(*set->keys),
          order == FF_BY_KEY ? compare_random_keys : compare_ranks);
}

/* Random keys in the order, with sums of every size whose total fits. */
static inline struct random_keys make_counted_keys(size_t count, enum ff_order order)
{
    struct random_keys set = make_random_keys(count);

    for (size_t i = 0; i < set.count; i++)
        set.keys[i].sum = 1 + (random_u64() >> (16 + random_below(48)));
    sort_keys(&set, order);
    return set;
}

/* Keys where something ends or begins: empty, NUL, prefixes, the index's limit, block sizes. */
static inline struct random_keys make_edge_keys(void)
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

static inline struct random_keys no_keys(void)
{
    return (struct random_keys){0};
}

/* Writes the keys; 0 or the writer's code, with its errno value. */
static inline int try_write(int fd, uint64_t offset, const struct random_keys *set,
                            enum ff_order order, struct ff_extent *extent, int *system_error)
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

static inline struct ff_extent write_keys(int fd, uint64_t offset, const struct random_keys *set,
                                          enum ff_order order)
{
    struct ff_extent extent;
    int system_error;

    assert_int_equal(try_write(fd, offset, set, order, &extent, &system_error), 0);
    assert_int_equal(extent.offset, offset);
    return extent;
}

static inline void open_reader(struct ff_partial_reader *reader, int fd, struct ff_extent extent,
                               enum ff_order order)
{
    assert_int_equal(ff_partial_reader_open(reader, fd, extent, order, FINGERPRINT), 0);
}

static inline void assert_entry(const struct ff_entry *entry, const struct random_key *key)
{
    assert_int_equal(entry->key_bytes, key->length);
    if (key->length > 0)
        assert_memory_equal(entry->key, key->bytes, key->length);
    assert_int_equal(entry->count, key->sum);
    assert_int_equal(entry->prefix, ff_key_prefix(key->bytes, key->length));
}

/* Reads all, then from the first key again.  0 or the first code; what comes before is right. */
static inline int try_read(int fd, struct ff_extent extent, const struct random_keys *set,
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

static inline void assert_holds(int fd, struct ff_extent extent, const struct random_keys *set,
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

static inline unsigned char *read_bytes(int fd, struct ff_extent extent)
{
    unsigned char *bytes = malloc(extent.bytes);

    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, extent.bytes, (off_t)extent.offset), extent.bytes);
    return bytes;
}

static inline void write_bytes(int fd, uint64_t offset, const void *bytes, size_t count)
{
    assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), count);
}

static inline struct random_keys make_few_keys(void)
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

#endif
