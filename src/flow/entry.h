/* SPDX-License-Identifier: Apache-2.0 */
/* Keys with their sums as they are sorted and merged, wherever the keys lie. */
#ifndef FF_FLOW_ENTRY_H
#define FF_FLOW_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "flow/table.h"

/* One key.  key is borrowed. */
struct ff_entry {
    uint64_t count;
    uint64_t prefix; /* first 8 bytes of the key, big-endian, zero-padded: compares like the key */
    const char *key;
    uint64_t key_bytes;
};

enum ff_order {
    FF_BY_RANK, /* most frequent first, then by the bytes of the key: the order of the result */
    FF_BY_KEY   /* by the bytes of the key */
};

/* The entry of a slot whose long key lies in heap. */
static inline struct ff_entry ff_entry_of(const struct ff_slot *slot, const char *heap)
{
    const char *key = ff_slot_key(slot, heap);

    return (struct ff_entry){
        .count = slot->count,
        .prefix = slot->key_bytes <= FF_KEY_INLINE ? ff_key_prefix(key, sizeof(uint64_t))
                                                   : slot->key.far.prefix,
        .key = key,
        .key_bytes = slot->key_bytes,
    };
}

/* <0, 0 or >0. */
int ff_entry_compare(const struct ff_entry *a, const struct ff_entry *b, enum ff_order order);

void ff_entries_sort(struct ff_entry *entries, size_t count, enum ff_order order);

#endif
