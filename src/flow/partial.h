/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table as an immutable array in hash order, self-contained: it can lie at
 * any address, in a worker's segment or a file, and is read in place.
 *
 *     +--------------------+ 0
 *     | struct ff_partial  |  64 bytes
 *     +--------------------+ 64
 *     | slots              |  entry_count * 32 bytes, ordered by (hash, key)
 *     +--------------------+
 *     | heap               |  heap_bytes of long keys, in slot order
 *     +--------------------+  bytes, rounded up to 64
 *
 * Whoever publishes a partial adds the checksum and the coverage around it
 * (pool/seal.h); this file knows the structure only.
 */
#ifndef FF_FLOW_PARTIAL_H
#define FF_FLOW_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/table.h"

struct ff_partial {
    uint64_t magic; /* FF_PARTIAL_MAGIC */
    uint64_t bytes; /* of the whole partial, a multiple of 64 */
    uint64_t entry_count;
    uint64_t heap_bytes;
    uint64_t total; /* sum of all counts */
    uint64_t reserved[3];
};

#define FF_PARTIAL_MAGIC UINT64_C(0x3174726150444c46) /* "FLDPart1" in memory */

/* What ff_partial_write will write for this table. */
size_t ff_partial_bytes(const struct ff_table *table);

/* Writes the table to to, which is 64-byte aligned and has ff_partial_bytes() of room. */
void ff_partial_write(struct ff_partial *to, const struct ff_table *table);

/*
 * Whether the structure is sound: magic, sizes within room bytes, long keys side
 * by side in the heap and filling it, counts not zero, strictly ascending order,
 * the total.  For partials that a process wrote which has since crashed: any
 * bytes are allowed.  Reads every entry and compares a key with at most its two
 * neighbours, so it takes linear time whatever the bytes are.
 */
bool ff_partial_is_sound(const struct ff_partial *partial, size_t room);

/* The entries, entry_count of them. */
const struct ff_slot *ff_partial_slots(const struct ff_partial *partial);

/* Where its long keys lie. */
const char *ff_partial_heap(const struct ff_partial *partial);

/* Index of the first entry whose hash is at least hash; entry_count if there is none. */
size_t ff_partial_lower_bound(const struct ff_partial *partial, uint64_t hash);

/* Adds every sum of the partial to into.  Fails as ff_table_add_slots does. */
int ff_partial_add_to(const struct ff_partial *partial, struct ff_table *into);

#endif
