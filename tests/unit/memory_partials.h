/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of partials in memory: made from tables and read again. */
#ifndef FF_TEST_MEMORY_PARTIALS_H
#define FF_TEST_MEMORY_PARTIALS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/partial.h"
#include "flow/record.h"
#include "random_keys.h"

/* In memory that ends where the partial does, so that a read past it is found. */
static inline struct ff_partial *copy_exactly(const struct ff_partial *partial, size_t bytes)
{
    struct ff_partial *copy = malloc(bytes + (bytes == 0));

    assert_non_null(copy);
    memcpy(copy, partial, bytes);
    return copy;
}

/* The memory is full of bytes that are others at each call. */
static inline struct ff_partial *write_partial(const struct ff_table *table)
{
    static unsigned char filling = 0xa5;
    size_t bound = ff_partial_bound(table);
    struct ff_partial *written = aligned_alloc(64, bound);
    struct ff_partial *partial;

    assert_non_null(written);
    memset(written, filling++, bound);
    assert_int_equal(ff_partial_write(written, table), 0);
    assert_true(written->bytes <= bound);
    assert_int_equal(written->bytes % 64, 0);
    partial = copy_exactly(written, written->bytes);
    assert_true(ff_partial_is_sound(partial, partial->bytes));
    free(written);
    return partial;
}

/* A record, where it lies, and the hash of its key. */
struct place {
    const unsigned char *record;
    struct ff_entry entry;
    uint32_t hash;
};

/* All records, strictly ordered, and one place behind the last. */
static inline struct place *read_places(const struct ff_partial *partial)
{
    struct place *places = calloc(partial->entry_count + 1, sizeof(*places));
    const unsigned char *next = ff_partial_records(partial);

    assert_non_null(places);
    for (size_t i = 0; i < partial->entry_count; i++) {
        const struct ff_entry *entry = &places[i].entry;

        places[i].record = next;
        next = ff_record_get(next, &places[i].entry);
        places[i].hash = ff_record_hash(entry);
        assert_int_equal(places[i].hash, ff_key_hash(entry->key, entry->key_bytes) >> 32);
        assert_int_equal(entry->prefix, ff_key_prefix(entry->key, entry->key_bytes));
        if (i == 0)
            continue;
        assert_true(places[i - 1].hash <= places[i].hash);
        if (places[i - 1].hash == places[i].hash)
            assert_true(compare_key_bytes(places[i - 1].entry.key, places[i - 1].entry.key_bytes,
                                          entry->key, entry->key_bytes) < 0);
    }
    places[partial->entry_count].record = next;
    assert_ptr_equal(next, ff_partial_records(partial) + partial->record_bytes);
    return places;
}

static inline void assert_strictly_ordered(const struct ff_partial *partial)
{
    free(read_places(partial));
}

/* A key whose hash is chosen, or known to be that of others. */
struct chosen_key {
    uint64_t words[2];
    size_t length;
};

/* The number that undoes a multiplication by an odd one. */
static inline uint64_t inverse_of(uint64_t odd)
{
    uint64_t inverse = odd; /* right in three bits, and twice as many after each step */

    for (int step = 0; step < 5; step++)
        inverse *= 2 - odd * inverse;
    return inverse;
}

/* One of 12 bytes; own tells it from others with the same hash.  The steps of ff_near_hash, back. */
static inline struct chosen_key choose_key(uint32_t hash, uint32_t own)
{
    struct chosen_key key = {.words = {0, UINT32_C(0x6b657921)}, .length = 12};
    uint64_t mixed = ((uint64_t)hash << 32 | own) * inverse_of(UINT64_C(0xbb67ae8584caa73b));

    mixed = (mixed ^ mixed >> 32) * inverse_of(UINT64_C(0x6a09e667f3bcc909));
    key.words[0] = mixed ^ key.words[1] * UINT64_C(0x3c6ef372fe94f82b);
    assert_int_equal(ff_key_hash(key.words, key.length) >> 32, hash);
    return key;
}

/* Found by search, of 9 bytes: with the last byte 127 and with 128 they have the same hash. */
static inline struct chosen_key choose_last_byte(unsigned char last)
{
    struct chosen_key key = {.length = 9};

    memcpy(key.words, "renbboga", 8);
    key.words[1] = last;
    assert_int_equal(ff_key_hash(key.words, key.length) >> 32, 0x1794ee66);
    return key;
}

/* Found by search: they have the same hash, and one is the beginning of the other. */
static inline struct chosen_key choose_twin(bool is_longer)
{
    struct chosen_key key = {.length = is_longer ? 12 : 8};

    memcpy(key.words, "vkzaaaaajzlx", key.length);
    assert_int_equal(ff_key_hash(key.words, key.length) >> 32, 0xe114f1a1);
    return key;
}

/* A table with a random sum for about half of the keys. */
static inline struct ff_table make_random_table(struct random_keys *set)
{
    struct ff_table table = {0};

    for (size_t i = 0; i < set->count; i++) {
        struct random_key *key = &set->keys[i];

        key->sum = random_below(10) * random_below(2);
        assert_int_equal(ff_table_add(&table, key->bytes, key->length, key->sum), 0);
    }
    return table;
}

#endif
