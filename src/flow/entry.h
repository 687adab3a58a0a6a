/* SPDX-License-Identifier: Apache-2.0 */
/* Keys with their sums as they are sorted and merged, wherever the keys lie. */
#ifndef FF_FLOW_ENTRY_H
#define FF_FLOW_ENTRY_H

#include <stdbool.h>
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

/* The entry of a slot that holds a key, with the heap of its table: 16 bytes can be read from its key
 * on. */
static inline struct ff_entry ff_entry_of(const struct ff_slot *slot, const char *heap)
{
    bool is_near = ff_slot_kind(slot) <= FF_KEY_INLINE;
    const char *key = ff_slot_key(slot, heap);
    size_t key_bytes = ff_slot_key_bytes(slot, heap);

    return (struct ff_entry){.count = ff_slot_sum(slot, heap),
                             .prefix = is_near ? be64toh(slot->low) : ff_key_prefix(key, key_bytes),
                             .key = key,
                             .key_bytes = key_bytes};
}

/* <0, 0 or >0. */
int ff_entry_compare(const struct ff_entry *a, const struct ff_entry *b, enum ff_order order);

/* scratch has room for as many entries; it may be NULL, which takes longer. */
void ff_entries_sort(struct ff_entry *entries, size_t count, enum ff_order order,
                     struct ff_entry *scratch);

#endif
