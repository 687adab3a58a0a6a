/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table as an immutable array in hash order, self-contained: it can lie at
 * any address, in a worker's segment or a file, and is read in place.
 *
 *     +--------------------+ 0
 *     | struct ff_partial  |  64 bytes
 *     +--------------------+ 64
 *     | cells              |  2^cell_bits + 1 struct ff_partial_cell
 *     +--------------------+
 *     | records            |  record_bytes: entry_count records (record.h), by (hash, key)
 *     +--------------------+
 *     | zeros              |  at least FF_RECORD_SLACK, to a multiple of 64
 *     +--------------------+  bytes
 *
 * Hashes are not stored: to find one, its top bits choose a cell, which says where the records with
 * these bits begin, and few records are in a cell.
 *
 * Whoever publishes a partial adds the checksum and the coverage around it
 * (pool/seal.h); this file knows the structure only.
 */
#ifndef FF_FLOW_PARTIAL_H
#define FF_FLOW_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/entry.h"
#include "flow/table.h"

struct ff_partial {
    uint64_t magic; /* FF_PARTIAL_MAGIC */
    uint64_t bytes; /* of the whole partial, a multiple of 64 */
    uint64_t entry_count;
    uint64_t record_bytes;
    uint64_t total;     /* sum of all counts; of values (combiner.h) modulo 2^64 */
    uint64_t cell_bits; /* follows from entry_count */
    uint64_t reserved[2];
};

#define FF_PARTIAL_MAGIC UINT64_C(0x3274726150444c46) /* "FLDPart2" in memory */

/* The first record of a cell, or what is behind the records if there is none from there on. */
struct ff_partial_cell {
    uint64_t offset; /* bytes of records before it */
    uint64_t number; /* records before it */
};

/* A place in the records. */
struct ff_partial_place {
    const unsigned char *record;
    uint64_t number; /* records before it */
};

/* The most that ff_partial_write will write for this table. */
size_t ff_partial_bound(const struct ff_table *table);

/*
 * Writes the table to to, which is 64-byte aligned and has ff_partial_bound() of room; to->bytes
 * says how much it took.  0 or FORKFOLD_E_MEMORY.
 */
int ff_partial_write(struct ff_partial *to, const struct ff_table *table);

/*
 * Whether the structure is sound: magic, sizes within room bytes, counts not zero, numbers in their
 * only form, strictly ascending order, the cells, the total, the zeros.  For partials that a
 * process wrote which has since crashed: any bytes are allowed.  Reads every record and
 * compares a key with at most its two neighbours, so it takes linear time whatever the bytes are.
 */
bool ff_partial_is_sound(const struct ff_partial *partial, size_t room);

/* The same for one of a table with a combiner. */
bool ff_partial_of_values_is_sound(const struct ff_partial *partial, size_t room);

/* The first record whose hash is at least hash (up to 2^32), or the place behind the last.  For
 * sound partials. */
struct ff_partial_place ff_partial_find(const struct ff_partial *partial, uint64_t hash);

/* The records, entry_count of them: for ff_record_get. */
const unsigned char *ff_partial_records(const struct ff_partial *partial);

/* Adds every sum of the partial to into.  Fails as ff_table_merge does. */
int ff_partial_add_to(const struct ff_partial *partial, struct ff_table *into);

#endif
