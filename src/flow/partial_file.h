/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partials outside the region: files, or parts of files, in byte order of the
 * keys (docs/formats.md has every byte).
 *
 *     +-------------+ 0
 *     | header      |  64 bytes: magic, version, order, fingerprint of the job
 *     +-------------+
 *     | blocks      |  each a head with its sizes and checksum, then entries
 *     +-------------+
 *     | index       |  a block: where blocks start, and with which key
 *     +-------------+
 *     | coverage    |  a block: what the partial covers, in words of its job
 *     +-------------+
 *     | footer      |  64 bytes: where index and coverage are, counts, checksum
 *     +-------------+
 *
 * Written once from front to back and then immutable.  Every byte is under a
 * checksum, and the checksum of a block knows the block's place, so that blocks cannot change
 * places unnoticed.  Reading needs memory for one block, however large the partial is, and
 * seeking, for a moment, for the index: about a thousandth of the partial.
 *
 * Files are read with pread rather than mapped: a disk that fails is an error code then, not a
 * SIGBUS, in processes that are not ours to end.
 */
#ifndef FF_FLOW_PARTIAL_FILE_H
#define FF_FLOW_PARTIAL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/entry.h"

/* What a block holds at most, unless a single entry is larger. */
enum { FF_BLOCK_BYTES = 32 * 1024 };

/* Memory that one reader or writer needs while keys are of common length. */
enum { FF_PARTIAL_FILE_MEMORY = 2 * FF_BLOCK_BYTES };

/* Where a partial lies in its file. */
struct ff_extent {
    uint64_t offset;
    uint64_t bytes;
};

/* ---- Writing ------------------------------------------------------------- */

struct ff_byte_buffer {
    unsigned char *bytes;
    size_t used;
    size_t size;
};

struct ff_partial_writer {
    int fd;                  /* borrowed */
    int system_error;        /* errno value after FORKFOLD_E_SPILL, or 0 */
    struct ff_extent extent; /* bytes: what has been written so far */
    enum ff_order order;
    uint64_t fingerprint;
    uint64_t entry_count;
    uint64_t total;
    bool total_wraps; /* set by whoever writes values instead of counts (combiner.h) */
    uint64_t block_count;
    uint32_t block_entries; /* in the block that is being filled */
    struct ff_byte_buffer block;
    struct ff_byte_buffer index;
    struct ff_byte_buffer last_key;
};

/*
 * Begins a partial at an offset of a file that is open for writing.  0 or FORKFOLD_E_MEMORY,
 * FORKFOLD_E_SPILL; then and later, the writer is to be closed all the same.
 */
int ff_partial_writer_open(struct ff_partial_writer *writer, int fd, uint64_t offset,
                           enum ff_order order, uint64_t fingerprint);

/*
 * Adds a key of at most FF_KEY_BYTES_MAX bytes with a count above 0; keys come in the order of the
 * partial, each once.  After an error the writer can only be closed.  0, FORKFOLD_E_MEMORY, FORKFOLD_E_SPILL (the
 * file cannot be written, see system_error), or FORKFOLD_E_LIMIT (the total passes 64 bits).
 */
int ff_partial_writer_add(struct ff_partial_writer *writer, const char *key, size_t key_bytes,
                          uint64_t count);

/* Writes what is left, with coverage_bytes bytes of coverage.  Fails as adding does. */
int ff_partial_writer_finish(struct ff_partial_writer *writer, const void *coverage,
                             size_t coverage_bytes);

void ff_partial_writer_close(struct ff_partial_writer *writer); /* {0} is allowed */

/* ---- Reading ------------------------------------------------------------- */

struct ff_partial_reader {
    int fd;           /* borrowed */
    int system_error; /* errno value after FORKFOLD_E_SPILL, or 0 when the partial is damaged */
    struct ff_extent extent;
    enum ff_order order;
    uint64_t fingerprint;
    uint64_t entry_count;
    uint64_t total;
    uint64_t index_offset; /* in the extent; where the blocks of entries end */
    uint64_t coverage_offset;
    uint64_t next_block;
    struct ff_byte_buffer block;
    size_t position;           /* in block, of the next entry */
    uint32_t block_left;       /* entries of the block that have not been read */
    struct ff_byte_buffer key; /* of the last entry */
    bool has_entry;
    bool from_start; /* since the first entry nothing was passed over: at the end, these count */
    uint64_t entries_read;
    uint64_t total_read;
    struct ff_entry entry; /* the one that was read last; its key lies in key */
};

/*
 * Checks header and footer and stands before the first entry.  0, FORKFOLD_E_MEMORY,
 * FORKFOLD_E_SPILL (the file cannot be read), or FORKFOLD_E_DAMAGED (it is no partial of that
 * fingerprint and order, or not as it was written).
 */
int ff_partial_reader_open(struct ff_partial_reader *reader, int fd, struct ff_extent extent,
                           enum ff_order order, uint64_t fingerprint);

/* After an error the reader can only be closed.  1 with reader->entry, valid until the next call; 0 at the end; or as ff_partial_reader_open. */
int ff_partial_reader_next(struct ff_partial_reader *reader);

/*
 * Stands before the first key that is not below the given one, or a little earlier: the next entry
 * may be up to a block too early.  For partials by key.  0 or as ff_partial_reader_open.
 */
int ff_partial_reader_seek(struct ff_partial_reader *reader, const char *key, size_t key_bytes);

/*
 * Up to most keys of the index, evenly spread, to cut the keys into ranges of like size: visit is
 * called for each.  The reader then stands before the first entry.  0 or as ff_partial_reader_open, or the first negative code of visit.
 */
int ff_partial_reader_sample(struct ff_partial_reader *reader, size_t most,
                             int (*visit)(void *context, const char *key, size_t key_bytes),
                             void *context);

void ff_partial_reader_close(struct ff_partial_reader *reader); /* {0} is allowed */

#endif
