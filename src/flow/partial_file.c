/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/partial_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "flow/short_number.h"
#include "platform/checksum.h"

#define HEADER_MAGIC UINT64_C(0x31746c6f46444c46) /* "FLDFolt1" in memory */
#define FOOTER_MAGIC UINT64_C(0x31646e4566444c46) /* "FLDfEnd1" in memory */

enum { VERSION = 1 };

/* A separator that is longer does not go into the index: the blocks before lead there as well. */
enum { INDEX_KEY_BYTES_MAX = 64 };

/* A 64-bit number takes at most so many bytes, seven bits in each. */
enum { NUMBER_BYTES_MAX = 10 };

enum block_kind { BLOCK_ENTRIES = 1, BLOCK_INDEX, BLOCK_COVERAGE };

/* All numbers are little-endian, as this machine's are (flow/table.c makes sure). */
struct header {
    uint64_t magic;
    uint32_t version;
    uint32_t order;
    uint64_t fingerprint;
    uint64_t reserved[4];
    uint64_t checksum;
};

struct block_head {
    uint64_t checksum; /* of all that follows, seeded with fingerprint and place */
    uint64_t payload_bytes;
    uint32_t entry_count;
    uint32_t kind;
};

struct footer {
    uint64_t magic;
    uint64_t bytes; /* of the whole partial */
    uint64_t index_offset;
    uint64_t coverage_offset;
    uint64_t entry_count;
    uint64_t total;
    uint64_t block_count;
    uint64_t checksum;
};

static_assert(sizeof(struct header) == 64 && sizeof(struct footer) == 64 &&
                  sizeof(struct block_head) == 24,
              "the format has no gaps");

static uint64_t block_checksum(const struct block_head *head, uint64_t payload_bytes,
                               uint64_t offset, uint64_t fingerprint)
{
    size_t skip = sizeof(head->checksum);

    return ff_checksum((const char *)head + skip, sizeof(*head) - skip + payload_bytes,
                       fingerprint + offset);
}

static uint64_t header_checksum(const struct header *header)
{
    return ff_checksum(header, sizeof(*header) - sizeof(header->checksum), 0);
}

static uint64_t footer_checksum(const struct footer *footer, uint64_t fingerprint)
{
    return ff_checksum(footer, sizeof(*footer) - sizeof(footer->checksum), fingerprint);
}

/* ---- Buffers ------------------------------------------------------------- */

static int buffer_reserve(struct ff_byte_buffer *buffer, size_t size)
{
    size_t grown_size = buffer->size * 2 > size ? buffer->size * 2 : size;
    unsigned char *grown;

    if (size <= buffer->size)
        return 0;
    grown = realloc(buffer->bytes, grown_size);
    if (grown == NULL)
        return FORKFOLD_E_MEMORY;
    buffer->bytes = grown;
    buffer->size = grown_size;
    return 0;
}

/* The room has been reserved. */
static void put_bytes(struct ff_byte_buffer *buffer, const void *bytes, size_t count)
{
    if (count > 0)
        memcpy(buffer->bytes + buffer->used, bytes, count);
    buffer->used += count;
}

static void put_number(struct ff_byte_buffer *buffer, uint64_t number)
{
    unsigned char *next = buffer->bytes + buffer->used;

    buffer->used += (size_t)(ff_short_number_put(next, number) - next);
}

/* False when the bytes up to end hold no number. */
static bool take_number(const unsigned char *bytes, size_t *position, size_t end, uint64_t *number)
{
    const unsigned char *behind = ff_short_number_take(bytes + *position, bytes + end, number);

    if (behind == NULL)
        return false;
    *position = (size_t)(behind - bytes);
    return true;
}

/* ---- Writing ------------------------------------------------------------- */

static int write_all(struct ff_partial_writer *writer, const void *bytes, size_t count)
{
    const char *from = bytes;

    while (count > 0) {
        ssize_t written =
            pwrite(writer->fd, from, count, (off_t)(writer->extent.offset + writer->extent.bytes));

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            writer->system_error = written < 0 ? errno : ENOSPC;
            return FORKFOLD_E_SPILL;
        }
        from += written;
        count -= (size_t)written;
        writer->extent.bytes += (size_t)written;
    }
    return 0;
}

/* Writes the block in the buffer, whose first bytes are kept free for its head. */
static int write_block(struct ff_partial_writer *writer, struct ff_byte_buffer *buffer,
                       enum block_kind kind, uint32_t entry_count)
{
    struct block_head *head = (struct block_head *)buffer->bytes;

    *head = (struct block_head){
        .payload_bytes = buffer->used - sizeof(*head), .entry_count = entry_count, .kind = kind};
    head->checksum =
        block_checksum(head, head->payload_bytes, writer->extent.bytes, writer->fingerprint);
    int code = write_all(writer, buffer->bytes, buffer->used);

    buffer->used = sizeof(*head);
    return code;
}

int ff_partial_writer_open(struct ff_partial_writer *writer, int fd, uint64_t offset,
                           enum ff_order order, uint64_t fingerprint)
{
    struct header header = {.magic = HEADER_MAGIC,
                            .version = VERSION,
                            .order = (uint32_t)order,
                            .fingerprint = fingerprint};

    *writer = (struct ff_partial_writer){
        .fd = fd, .extent.offset = offset, .order = order, .fingerprint = fingerprint};
    if (buffer_reserve(&writer->block, FF_BLOCK_BYTES) < 0 ||
        buffer_reserve(&writer->index, FF_BLOCK_BYTES / 8) < 0)
        return FORKFOLD_E_MEMORY;
    writer->block.used = writer->index.used = sizeof(struct block_head);
    header.checksum = header_checksum(&header);
    return write_all(writer, &header, sizeof(header));
}

static int end_block(struct ff_partial_writer *writer)
{
    uint32_t entry_count = writer->block_entries;

    if (entry_count == 0)
        return 0;
    writer->block_entries = 0;
    writer->block_count++;
    return write_block(writer, &writer->block, BLOCK_ENTRIES, entry_count);
}

static size_t shared_bytes(const struct ff_byte_buffer *last, const char *key, size_t key_bytes)
{
    size_t most = last->used < key_bytes ? last->used : key_bytes;
    size_t shared = 0;

    while (shared < most && last->bytes[shared] == (unsigned char)key[shared])
        shared++;
    return shared;
}

/*
 * Names the place of the block that is to be written next, by as much of its first key as tells it
 * from the key before: all keys before are below that, and none from here on.
 */
static int add_to_index(struct ff_partial_writer *writer, const char *key, size_t key_bytes)
{
    struct ff_byte_buffer *index = &writer->index;
    size_t separating = shared_bytes(&writer->last_key, key, key_bytes) + 1;

    if (key_bytes > separating)
        key_bytes = separating;
    if (key_bytes > INDEX_KEY_BYTES_MAX)
        return 0;
    if (buffer_reserve(index, index->used + 2 * (size_t)NUMBER_BYTES_MAX + key_bytes) < 0)
        return FORKFOLD_E_MEMORY;
    put_number(index, writer->extent.bytes);
    put_number(index, key_bytes);
    put_bytes(index, key, key_bytes);
    return 0;
}

static int keep_last_key(struct ff_byte_buffer *last, const char *key, size_t key_bytes,
                         size_t shared)
{
    if (buffer_reserve(last, key_bytes) < 0)
        return FORKFOLD_E_MEMORY;
    last->used = shared;
    put_bytes(last, key + shared, key_bytes - shared);
    return 0;
}

int ff_partial_writer_add(struct ff_partial_writer *writer, const char *key, size_t key_bytes,
                          uint64_t count)
{
    struct ff_byte_buffer *block = &writer->block;
    size_t room = 3 * (size_t)NUMBER_BYTES_MAX + key_bytes;
    size_t shared = 0;
    int code = 0;

    if (__builtin_add_overflow(writer->total, count, &writer->total) && !writer->total_wraps)
        return FORKFOLD_E_LIMIT;
    if (block->used + room > FF_BLOCK_BYTES)
        code = end_block(writer);
    if (code == 0 && writer->block_entries > 0)
        shared = shared_bytes(&writer->last_key, key, key_bytes);
    else if (code == 0)
        code = add_to_index(writer, key, key_bytes);
    if (code == 0)
        code = buffer_reserve(block, block->used + room);
    if (code == 0)
        code = keep_last_key(&writer->last_key, key, key_bytes, shared);
    if (code < 0)
        return code;
    put_number(block, shared);
    put_number(block, key_bytes - shared);
    put_bytes(block, key + shared, key_bytes - shared);
    put_number(block, count);
    writer->block_entries++;
    writer->entry_count++;
    return 0;
}

int ff_partial_writer_finish(struct ff_partial_writer *writer, const void *coverage,
                             size_t coverage_bytes)
{
    struct footer footer = {.magic = FOOTER_MAGIC};
    int code = end_block(writer);

    footer.index_offset = writer->extent.bytes;
    if (code == 0)
        code = write_block(writer, &writer->index, BLOCK_INDEX, 0);
    footer.coverage_offset = writer->extent.bytes;
    if (code == 0)
        code = buffer_reserve(&writer->block, sizeof(struct block_head) + coverage_bytes);
    if (code == 0) {
        put_bytes(&writer->block, coverage, coverage_bytes);
        code = write_block(writer, &writer->block, BLOCK_COVERAGE, 0);
    }
    if (code < 0)
        return code;
    footer.bytes = writer->extent.bytes + sizeof(footer);
    footer.entry_count = writer->entry_count;
    footer.total = writer->total;
    footer.block_count = writer->block_count;
    footer.checksum = footer_checksum(&footer, writer->fingerprint);
    return write_all(writer, &footer, sizeof(footer));
}

void ff_partial_writer_close(struct ff_partial_writer *writer)
{
    free(writer->block.bytes);
    free(writer->index.bytes);
    free(writer->last_key.bytes);
    *writer = (struct ff_partial_writer){0};
}

/* ---- Reading ------------------------------------------------------------- */

static int damaged(struct ff_partial_reader *reader)
{
    reader->system_error = 0;
    return FORKFOLD_E_DAMAGED;
}

/* Reads exactly so many bytes of the extent; a file that ends before them has been cut off. */
static int read_all(struct ff_partial_reader *reader, uint64_t offset, void *bytes, size_t count)
{
    char *to = bytes;

    while (count > 0) {
        ssize_t got = pread(reader->fd, to, count, (off_t)(reader->extent.offset + offset));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            reader->system_error = errno;
            return FORKFOLD_E_SPILL;
        }
        if (got == 0)
            return damaged(reader);
        to += got;
        offset += (size_t)got;
        count -= (size_t)got;
    }
    return 0;
}

/* Reads the block at offset, which lies below end, into reader->block, and checks it. */
static int load_block(struct ff_partial_reader *reader, uint64_t offset, uint64_t end,
                      enum block_kind kind)
{
    struct ff_byte_buffer *block = &reader->block;
    struct block_head *head;
    size_t have;
    int code;

    if (offset > end || end - offset < sizeof(*head))
        return damaged(reader);
    have = end - offset < FF_BLOCK_BYTES ? (size_t)(end - offset) : FF_BLOCK_BYTES;
    code = buffer_reserve(block, have);
    if (code == 0)
        code = read_all(reader, offset, block->bytes, have);
    if (code < 0)
        return code;
    head = (struct block_head *)block->bytes;
    if (head->kind != (uint32_t)kind || head->payload_bytes > end - offset - sizeof(*head))
        return damaged(reader);
    block->used = sizeof(*head) + head->payload_bytes;
    if (block->used > have) {
        code = buffer_reserve(block, block->used);
        if (code == 0)
            code = read_all(reader, offset + have, block->bytes + have, block->used - have);
        if (code < 0)
            return code;
        head = (struct block_head *)block->bytes;
    }
    if (head->checksum != block_checksum(head, head->payload_bytes, offset, reader->fingerprint))
        return damaged(reader);
    return 0;
}

static bool footer_is_sound(const struct ff_partial_reader *reader, const struct footer *footer)
{
    uint64_t blocks_end = reader->extent.bytes - sizeof(*footer);

    return footer->checksum == footer_checksum(footer, reader->fingerprint) &&
           footer->magic == FOOTER_MAGIC && footer->bytes == reader->extent.bytes &&
           footer->index_offset >= sizeof(struct header) &&
           footer->index_offset <= footer->coverage_offset && footer->coverage_offset <= blocks_end;
}

static bool header_is_sound(const struct ff_partial_reader *reader, const struct header *header)
{
    return header->checksum == header_checksum(header) && header->magic == HEADER_MAGIC &&
           header->version == VERSION && header->order == (uint32_t)reader->order &&
           header->fingerprint == reader->fingerprint;
}

int ff_partial_reader_open(struct ff_partial_reader *reader, int fd, struct ff_extent extent,
                           enum ff_order order, uint64_t fingerprint)
{
    struct header header = {0};
    struct footer footer = {0};
    int code;

    *reader = (struct ff_partial_reader){
        .fd = fd, .extent = extent, .order = order, .fingerprint = fingerprint};
    if (extent.bytes < sizeof(header) + sizeof(footer))
        return damaged(reader);
    code = read_all(reader, 0, &header, sizeof(header));
    if (code == 0)
        code = read_all(reader, extent.bytes - sizeof(footer), &footer, sizeof(footer));
    if (code < 0)
        return code;
    if (!header_is_sound(reader, &header) || !footer_is_sound(reader, &footer))
        return damaged(reader);
    reader->entry_count = footer.entry_count;
    reader->total = footer.total;
    reader->index_offset = footer.index_offset;
    reader->coverage_offset = footer.coverage_offset;
    reader->next_block = sizeof(header);
    reader->from_start = true;
    return 0;
}

/* A block of another partial of the job, left over at the same place, is found by the sums. */
static int end_of_entries(struct ff_partial_reader *reader)
{
    bool complete =
        reader->entries_read == reader->entry_count && reader->total_read == reader->total;

    return complete || !reader->from_start ? 0 : damaged(reader);
}

/* Stands before the first entry of the next block.  1, or 0 when there is none, or a code. */
static int enter_next_block(struct ff_partial_reader *reader)
{
    const struct block_head *head;
    int code;

    if (reader->next_block == reader->index_offset)
        return end_of_entries(reader);
    code = load_block(reader, reader->next_block, reader->index_offset, BLOCK_ENTRIES);
    if (code < 0)
        return code;
    head = (const struct block_head *)reader->block.bytes;
    if (head->entry_count == 0)
        return damaged(reader);
    reader->next_block += reader->block.used;
    reader->block_left = head->entry_count;
    reader->position = sizeof(*head);
    return 1;
}

/* An entry as it lies in a block. */
struct packed {
    uint64_t shared; /* bytes of the key that are those of the key before */
    uint64_t rest_bytes;
    const unsigned char *rest;
    uint64_t count;
};

static bool unpack(struct ff_partial_reader *reader, struct packed *packed)
{
    const unsigned char *bytes = reader->block.bytes;
    size_t end = reader->block.used;

    if (!take_number(bytes, &reader->position, end, &packed->shared) ||
        !take_number(bytes, &reader->position, end, &packed->rest_bytes) ||
        packed->rest_bytes > end - reader->position)
        return false;
    packed->rest = bytes + reader->position;
    reader->position += packed->rest_bytes;
    return take_number(bytes, &reader->position, end, &packed->count) && packed->count > 0 &&
           packed->shared <= reader->key.used &&
           packed->shared + packed->rest_bytes <= FF_KEY_BYTES_MAX;
}

/* Whether the key comes behind the one before; shared must say exactly how far they agree, but at
 * the start of a block, where it is 0. */
static bool key_follows(const struct ff_byte_buffer *last, const struct packed *packed,
                        bool starts_block)
{
    uint64_t shared = packed->shared;

    if (starts_block) {
        size_t common = last->used < packed->rest_bytes ? last->used : packed->rest_bytes;
        int order = common > 0 ? memcmp(last->bytes, packed->rest, common) : 0;

        return shared == 0 && (order < 0 || (order == 0 && last->used < packed->rest_bytes));
    }
    return packed->rest_bytes > 0 &&
           (shared == last->used || last->bytes[shared] < packed->rest[0]);
}

static bool entry_follows(const struct ff_partial_reader *reader, const struct packed *packed,
                          bool starts_block)
{
    if (!reader->has_entry)
        return packed->shared == 0;
    if (reader->order == FF_BY_RANK && packed->count != reader->entry.count)
        return packed->count < reader->entry.count && (!starts_block || packed->shared == 0);
    return key_follows(&reader->key, packed, starts_block);
}

static int accept(struct ff_partial_reader *reader, const struct packed *packed)
{
    struct ff_byte_buffer *key = &reader->key;
    size_t key_bytes = packed->shared + packed->rest_bytes;

    /* Room for a prefix beyond the end of short keys. */
    if (buffer_reserve(key, key_bytes + sizeof(uint64_t)) < 0)
        return FORKFOLD_E_MEMORY;
    key->used = packed->shared;
    put_bytes(key, packed->rest, packed->rest_bytes);
    reader->entry = (struct ff_entry){.count = packed->count,
                                      .prefix = ff_key_prefix((const char *)key->bytes, key_bytes),
                                      .key = (const char *)key->bytes,
                                      .key_bytes = key_bytes};
    reader->has_entry = true;
    reader->entries_read++;
    reader->total_read += packed->count;
    return 1;
}

int ff_partial_reader_next(struct ff_partial_reader *reader)
{
    struct packed packed;
    bool starts_block = reader->block_left == 0;

    if (starts_block) {
        int entered = enter_next_block(reader);

        if (entered <= 0)
            return entered;
    }
    if (!unpack(reader, &packed) || !entry_follows(reader, &packed, starts_block))
        return damaged(reader);
    reader->block_left--;
    if (reader->block_left == 0 && reader->position != reader->block.used)
        return damaged(reader);
    return accept(reader, &packed);
}

/* ---- The index ----------------------------------------------------------- */

/* One line of the index: a block, and the key that it starts with. */
struct index_line {
    uint64_t offset;
    const char *key;
    uint64_t key_bytes;
};

/* 1 with the next line of the index in reader->block, 0 at its end, or a code. */
static int next_line(struct ff_partial_reader *reader, size_t *position, struct index_line *line)
{
    const unsigned char *bytes = reader->block.bytes;
    size_t end = reader->block.used;

    if (*position == end)
        return 0;
    if (!take_number(bytes, position, end, &line->offset) ||
        !take_number(bytes, position, end, &line->key_bytes) || line->key_bytes > end - *position ||
        line->offset < sizeof(struct header) || line->offset >= reader->index_offset)
        return damaged(reader);
    line->key = (const char *)bytes + *position;
    *position += line->key_bytes;
    return 1;
}

static int load_index(struct ff_partial_reader *reader)
{
    int code = load_block(reader, reader->index_offset, reader->coverage_offset, BLOCK_INDEX);

    reader->block_left = 0;
    if (code == 0 && reader->block.used != reader->coverage_offset - reader->index_offset)
        return damaged(reader);
    return code;
}

/* After a look at the index. */
static void go_to(struct ff_partial_reader *reader, uint64_t block)
{
    /* An index is as large as the partial has blocks; readers are many. */
    if (reader->block.size > FF_BLOCK_BYTES) {
        free(reader->block.bytes);
        reader->block = (struct ff_byte_buffer){0};
    }
    reader->next_block = block;
    reader->has_entry = false;
    reader->key.used = 0;
    reader->from_start = block == sizeof(struct header);
    reader->entries_read = 0;
    reader->total_read = 0;
}

static bool is_above(const struct index_line *line, const char *key, size_t key_bytes)
{
    size_t common = line->key_bytes < key_bytes ? line->key_bytes : key_bytes;
    int order = common > 0 ? memcmp(line->key, key, common) : 0;

    return order > 0 || (order == 0 && line->key_bytes > key_bytes);
}

int ff_partial_reader_seek(struct ff_partial_reader *reader, const char *key, size_t key_bytes)
{
    size_t position = sizeof(struct block_head);
    uint64_t block = sizeof(struct header);
    struct index_line line;
    int more = load_index(reader);

    if (more < 0)
        return more;
    while ((more = next_line(reader, &position, &line)) > 0 && !is_above(&line, key, key_bytes))
        block = line.offset;
    go_to(reader, block);
    return more < 0 ? more : 0;
}

int ff_partial_reader_sample(struct ff_partial_reader *reader, size_t most,
                             int (*visit)(void *context, const char *key, size_t key_bytes),
                             void *context)
{
    size_t position = sizeof(struct block_head);
    struct index_line line;
    uint64_t lines = 0;
    uint64_t number = 0;
    int more = load_index(reader);

    if (more < 0)
        return more;
    while ((more = next_line(reader, &position, &line)) > 0)
        lines++;
    position = sizeof(struct block_head);
    for (; more == 0 && number < lines; number++) {
        int code = next_line(reader, &position, &line);

        /* Each stands for so many lines, and lies in their middle. */
        if (code > 0 && (lines <= most || (number * most + lines / 2) / lines !=
                                              ((number + 1) * most + lines / 2) / lines))
            more = visit(context, line.key, line.key_bytes);
    }
    go_to(reader, sizeof(struct header));
    return more < 0 ? more : 0;
}

void ff_partial_reader_close(struct ff_partial_reader *reader)
{
    free(reader->block.bytes);
    free(reader->key.bytes);
    *reader = (struct ff_partial_reader){0};
}
