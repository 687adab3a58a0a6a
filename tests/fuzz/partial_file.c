/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partial as a file: whatever its bytes, reading it ends with entries in
 * order, or with an error; a change of any byte that is read is found, also by
 * who has only seeked; and what was written is read.
 */
#include <sys/mman.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "flow/partial_file.h"
#include "fuzz.h"

enum { KEYS_MAX = 4096, FINGERPRINT = 77, PLACE = 5 };

/* One file for all inputs, in memory. */
static int scratch_file(void)
{
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("partial", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/* ---- What is written ----------------------------------------------------- */

struct keys {
    struct ff_entry entries[KEYS_MAX];
    size_t count;
    uint64_t total;
};

static int compare_by_key(const void *a, const void *b)
{
    return ff_entry_compare(a, b, FF_BY_KEY);
}

/* The rest of the input as keys, each behind a byte of its length; repeats only raise the count. */
static void take_keys(struct fuzz_input *input, struct keys *keys)
{
    size_t kept = 0;

    *keys = (struct keys){0};
    while (input->count > 0 && keys->count < KEYS_MAX) {
        size_t key_bytes = take_byte(input);

        if (key_bytes > input->count)
            key_bytes = input->count;
        keys->entries[keys->count++] =
            (struct ff_entry){.count = 1 + key_bytes % 5,
                              .prefix = ff_key_prefix((const char *)input->bytes, key_bytes),
                              .key = (const char *)input->bytes,
                              .key_bytes = key_bytes};
        input->bytes += key_bytes;
        input->count -= key_bytes;
    }
    qsort(keys->entries, keys->count, sizeof(keys->entries[0]), compare_by_key);
    for (size_t i = 0; i < keys->count; i++) {
        keys->total += keys->entries[i].count;
        if (kept > 0 && compare_by_key(&keys->entries[kept - 1], &keys->entries[i]) == 0)
            keys->entries[kept - 1].count += keys->entries[i].count;
        else
            keys->entries[kept++] = keys->entries[i];
    }
    keys->count = kept;
}

static struct ff_extent write_keys(struct keys *keys, enum ff_order order)
{
    struct ff_partial_writer writer;
    struct ff_extent extent;

    ff_entries_sort(keys->entries, keys->count, order, NULL);
    REQUIRE(ftruncate(scratch_file(), 0) == 0);
    REQUIRE(ff_partial_writer_open(&writer, scratch_file(), PLACE, order, FINGERPRINT) == 0);
    for (size_t i = 0; i < keys->count; i++)
        REQUIRE(ff_partial_writer_add(&writer, keys->entries[i].key, keys->entries[i].key_bytes,
                                      keys->entries[i].count) == 0);
    REQUIRE(ff_partial_writer_finish(&writer, NULL, 0) == 0);
    extent = writer.extent;
    ff_partial_writer_close(&writer);
    return extent;
}

/* ---- What is read -------------------------------------------------------- */

/* Reads to the end: the number of entries, or a negative code.  expected may be NULL. */
static int64_t read_all(struct ff_extent extent, enum ff_order order, const struct keys *expected)
{
    struct ff_partial_reader reader;
    int64_t count = 0;
    uint64_t total = 0;
    int more = ff_partial_reader_open(&reader, scratch_file(), extent, order, FINGERPRINT);

    while (more == 0 && (more = ff_partial_reader_next(&reader)) > 0) {
        if (expected != NULL) {
            REQUIRE((size_t)count < expected->count);
            REQUIRE(ff_entry_compare(&reader.entry, &expected->entries[count], order) == 0);
            REQUIRE(reader.entry.count == expected->entries[count].count);
        }
        total += reader.entry.count;
        count++;
        more = 0;
    }
    REQUIRE(more <= 0);
    if (more == 0)
        REQUIRE((uint64_t)count == reader.entry_count && total == reader.total);
    ff_partial_reader_close(&reader);
    return more < 0 ? more : count;
}

/* Stands where the key is, or a little before it, and finds it. */
static int seek(struct ff_extent extent, const struct ff_entry *wanted)
{
    struct ff_partial_reader reader;
    int code = ff_partial_reader_open(&reader, scratch_file(), extent, FF_BY_KEY, FINGERPRINT);

    if (code == 0)
        code = ff_partial_reader_seek(&reader, wanted->key, wanted->key_bytes);
    if (code == 0)
        while ((code = ff_partial_reader_next(&reader)) > 0 &&
               ff_entry_compare(&reader.entry, wanted, FF_BY_KEY) < 0)
            ;
    if (code > 0)
        REQUIRE(ff_entry_compare(&reader.entry, wanted, FF_BY_KEY) == 0 &&
                reader.entry.count == wanted->count);
    ff_partial_reader_close(&reader);
    return code;
}

static void check_raw(const struct fuzz_input *input)
{
    struct ff_extent extent = {.offset = 0, .bytes = input->count};

    REQUIRE(ftruncate(scratch_file(), 0) == 0);
    REQUIRE(pwrite(scratch_file(), input->bytes, input->count, 0) == (ssize_t)input->count);
    (void)read_all(extent, FF_BY_KEY, NULL);
    (void)read_all(extent, FF_BY_RANK, NULL);
}

static void check_written(struct fuzz_input *input, struct keys *keys, enum ff_order order)
{
    unsigned wanted = take_two_bytes(input);
    struct ff_extent extent;

    take_keys(input, keys);
    extent = write_keys(keys, order);
    REQUIRE(read_all(extent, order, keys) == (int64_t)keys->count);
    if (keys->count > 0 && order == FF_BY_KEY)
        REQUIRE(seek(extent, &keys->entries[wanted % keys->count]) == 1);
}

/* One byte changed, or the end cut off: found, unless the byte is one that says nothing. */
static void check_damaged(struct fuzz_input *input, struct keys *keys)
{
    unsigned place = take_two_bytes(input);
    unsigned flipped = take_byte(input);
    unsigned cut = take_two_bytes(input);
    unsigned wanted = take_two_bytes(input);
    struct ff_extent extent;
    unsigned char byte;
    int64_t count;
    off_t at;

    take_keys(input, keys);
    extent = write_keys(keys, FF_BY_KEY);
    at = (off_t)(extent.offset + place % extent.bytes);
    REQUIRE(pread(scratch_file(), &byte, 1, at) == 1);
    byte ^= (unsigned char)flipped;
    REQUIRE(pwrite(scratch_file(), &byte, 1, at) == 1);
    cut %= (unsigned)extent.bytes;
    REQUIRE(ftruncate(scratch_file(), (off_t)(extent.offset + extent.bytes - cut)) == 0);
    count = read_all(extent, FF_BY_KEY, keys);
    REQUIRE(count == (int64_t)keys->count || count == FORKFOLD_E_DAMAGED ||
            count == FORKFOLD_E_MEMORY);
    if (cut > 0)
        REQUIRE(count < 0);
    if (keys->count > 0) {
        int found = seek(extent, &keys->entries[wanted % keys->count]);

        REQUIRE(found == 1 || found == FORKFOLD_E_DAMAGED || found == FORKFOLD_E_MEMORY);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keys keys;
    struct fuzz_input input = {.bytes = data, .count = size};

    switch (take_byte(&input) % 4) {
    case 0:
        check_raw(&input);
        break;
    case 1:
        check_written(&input, &keys, FF_BY_KEY);
        break;
    case 2:
        check_written(&input, &keys, FF_BY_RANK);
        break;
    default:
        check_damaged(&input, &keys);
        break;
    }
    return 0;
}
