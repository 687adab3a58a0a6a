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
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "failing_alloc.h"
#include "flow/merge.h"
#include "partial_files.h"
#include "platform/checksum.h"

/* ---- Damage -------------------------------------------------------------- */

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

/* The keys of other have the same lengths, so that its blocks fit where those
 * of set were. */
static void block_of_another_partial_at_the_same_place_is_found(void **state)
{
    struct random_keys right = make_two_block_keys('a', 'c');
    struct random_keys other = make_two_block_keys('a', 'd');
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &right, FF_BY_KEY);
    struct ff_extent source;
    struct ff_extent block = {.offset = HEADER_BYTES, .bytes = BLOCK_HEAD_BYTES + 20005};
    struct ff_partial_reader reader;
    unsigned char *bytes;
    int more;

    (void)state;
    other.keys[0].sum = 6;
    source = write_keys(fd, extent.bytes, &other, FF_BY_KEY);
    block.offset += source.offset;
    bytes = read_bytes(fd, block);
    write_bytes(fd, HEADER_BYTES, bytes, block.bytes);
    open_reader(&reader, fd, extent, FF_BY_KEY);
    while ((more = ff_partial_reader_next(&reader)) == 1)
        ;
    assert_int_equal(more, FORKFOLD_E_DAMAGED);
    ff_partial_reader_close(&reader);
    free(bytes);
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
        .payload = (text), .payload_bytes = sizeof(text) - 1, .entry_count = (count)               \
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

/* Puts the block in the place of the first. */
static void write_first_block(int fd, struct ff_extent extent, const struct nonsense *nonsense)
{
    unsigned char block[BLOCK_HEAD_BYTES + 32] = {0};
    const uint32_t counts[2] = {nonsense->entry_count, 1};
    uint64_t payload_bytes = nonsense->payload_bytes;
    uint64_t checksum;

    memcpy(block + 8, &payload_bytes, sizeof(payload_bytes));
    memcpy(block + 16, counts, sizeof(counts));
    memcpy(block + BLOCK_HEAD_BYTES, nonsense->payload, payload_bytes);
    checksum =
        ff_checksum(block + 8, BLOCK_HEAD_BYTES - 8 + payload_bytes, FINGERPRINT + HEADER_BYTES);
    memcpy(block, &checksum, sizeof(checksum));
    write_bytes(fd, extent.offset + HEADER_BYTES, block, sizeof(block));
}

/* There it must be found by what it says. */
static void assert_nonsense_is_found(int fd, struct ff_extent extent, enum ff_order order,
                                     const struct nonsense *nonsense)
{
    struct ff_partial_reader reader;
    int more;

    write_first_block(fd, extent, nonsense);
    open_reader(&reader, fd, extent, order);
    while ((more = ff_partial_reader_next(&reader)) == 1)
        assert_true(reader.position <= BLOCK_HEAD_BYTES + nonsense->payload_bytes);
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

/* An entry, and the same with each of its numbers longer than it need be. */
static void number_in_a_second_form_is_found(void **state)
{
    static const struct nonsense forms[] = {
        NONSENSE("\0\1a\1", 1),
        NONSENSE("\x80\0\1a\1", 1),
        NONSENSE("\0\x81\0a\1", 1),
        NONSENSE("\0\1a\x81\0", 1),
        NONSENSE("\0\1a\x81\x80\x80\x80\x80\x80\x80\x80\x80\0", 1),
    };
    struct random_keys set = make_two_block_keys('a', 'b');
    int fd = new_file();
    struct ff_extent extent = write_keys(fd, 0, &set, FF_BY_KEY);

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct ff_partial_reader reader;

        write_first_block(fd, extent, &forms[i]);
        open_reader(&reader, fd, extent, FF_BY_KEY);
        assert_int_equal(ff_partial_reader_next(&reader), i == 0 ? 1 : FORKFOLD_E_DAMAGED);
        ff_partial_reader_close(&reader);
    }
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

/* ---- Failing files and memory -------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_of_a_small_partial_is_found),
        cmocka_unit_test(flipped_bits_of_large_blocks_are_found),
        cmocka_unit_test(every_cut_or_shifted_partial_is_found),
        cmocka_unit_test(block_out_of_place_is_found),
        cmocka_unit_test(block_of_another_partial_at_the_same_place_is_found),
        cmocka_unit_test(nonsense_under_a_right_checksum_is_found),
        cmocka_unit_test(number_in_a_second_form_is_found),
        cmocka_unit_test(partial_of_another_job_or_order_is_refused),
        cmocka_unit_test(files_that_cannot_be_used_are_reported),
        cmocka_unit_test(write_stops_where_the_file_may_not_grow),
        cmocka_unit_test(lack_of_memory_is_reported_wherever_it_strikes),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
