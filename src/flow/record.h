/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key with its sum as bytes, for arrays that are read from front to back: the sum and the length
 * as short numbers, then the key.  Most take less than half of a table's slot, and memory that is
 * shared costs most when it is touched first.
 */
#ifndef FF_FLOW_RECORD_H
#define FF_FLOW_RECORD_H

#include <assert.h>

#include "flow/entry.h"
#include "flow/short_number.h"

enum {
    /* What a record takes beside its key, at most. */
    FF_RECORD_HEAD_MAX = FF_SHORT_NUMBER_MAX + 5,
    /* Bytes behind the last record of an array that are there, too: short keys are read and
     * written in words. */
    FF_RECORD_SLACK = 16
};

static_assert((int)FF_KEY_INLINE <= (int)FF_RECORD_SLACK, "short keys are written in one go");
static_assert(FF_KEY_BYTES_MAX <= UINT64_C(1) << 35, "five bytes hold every length");

/*
 * Writes a record; returns where the next one goes.  There is room for FF_RECORD_SLACK bytes more
 * than it takes, and a key of up to FF_KEY_INLINE bytes lies in as many that can be read.
 */
static inline unsigned char *ff_record_put(unsigned char *to, const char *key, size_t key_bytes,
                                           uint64_t count)
{
    to = ff_short_number_put(to, count);
    to = ff_short_number_put(to, key_bytes);
    if (key_bytes <= FF_KEY_INLINE)
        memcpy(to, key, FF_RECORD_SLACK);
    else
        memcpy(to, key, key_bytes);
    return to + key_bytes;
}

/* A key that lies in an array of records, or otherwise in FF_RECORD_SLACK bytes or more. */
static inline struct ff_entry ff_record_entry(const unsigned char *key, uint64_t key_bytes,
                                              uint64_t count)
{
    uint64_t prefix;

    memcpy(&prefix, key, sizeof(prefix));
    if (key_bytes < sizeof(prefix))
        prefix &= ff_near_masks[key_bytes].low;
    return (struct ff_entry){.count = count,
                             .prefix = be64toh(prefix),
                             .key = (const char *)key,
                             .key_bytes = key_bytes};
}

/* Reads a record that was put there; returns what is behind it. */
static inline const unsigned char *ff_record_get(const unsigned char *from, struct ff_entry *entry)
{
    uint64_t count;
    uint64_t key_bytes;

    from = ff_short_number_get(from, &count);
    from = ff_short_number_get(from, &key_bytes);
    *entry = ff_record_entry(from, key_bytes, count);
    return from + key_bytes;
}

/*
 * Reads a record from bytes that may be anything; NULL when those up to end, which FF_RECORD_SLACK
 * bytes follow, do not begin with one.
 */
static inline const unsigned char *ff_record_take(const unsigned char *from,
                                                  const unsigned char *end, struct ff_entry *entry)
{
    uint64_t count;
    uint64_t key_bytes;

    from = ff_short_number_take(from, end, &count);
    if (from != NULL)
        from = ff_short_number_take(from, end, &key_bytes);
    if (from == NULL || count == 0 || key_bytes > FF_KEY_BYTES_MAX ||
        key_bytes > (uint64_t)(end - from))
        return NULL;
    *entry = ff_record_entry(from, key_bytes, count);
    return from + key_bytes;
}

/* The hash that a table's slot has of the key, which lies as ff_record_entry wants it. */
static inline uint32_t ff_record_hash(const struct ff_entry *entry)
{
    struct ff_slot key;
    uint64_t words[2];

    if (entry->key_bytes > FF_KEY_INLINE)
        return (uint32_t)(ff_key_hash(entry->key, entry->key_bytes) >> 32);
    memcpy(words, entry->key, sizeof(words));
    key = ff_near_key(words[0], words[1], (uint32_t)entry->key_bytes);
    return ff_near_hash(key.low, key.high);
}

#endif
