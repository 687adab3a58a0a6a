/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dictionary: counters by keys of bytes, between processes any of which may die at any instruction.
 *
 * Slots are probed one after the other from where the hash says; a slot that has a key keeps it, and
 * none is ever freed.  Keys lie in a heap of which the front is in use.
 *
 *   to add a key that is not there       a death behind it
 *   bytes are taken from the heap        loses them
 *   the key is written there             likewise
 *   the slot's word changes from 0 to    the key is there, and counts what has been added: nothing
 *     hash and place of the key
 *   the amount is added to the slot      it has been added
 *
 * Each of these is one store or one atomic operation, and what is half done hinders nobody.  Who
 * finds that another one was faster at the slot compares again, and gives the bytes back if nobody
 * has taken any since.
 *
 * All who use it may write all of it: what is read is checked first.
 */
#ifndef FF_MEMORY_DICTIONARY_H
#define FF_MEMORY_DICTIONARY_H

#include <stddef.h>
#include <stdint.h>

#include "platform/atomic.h"

struct ff_dictionary_slot {
    ff_word64 key;   /* 0, or 24 bits of the hash and, in eighths, where the key lies, plus 1 */
    ff_word64 value; /* of all that were added the sum */
};

/* Writers: all. */
struct ff_dictionary_words {
    _Alignas(64) ff_word64 heap_used; /* what is beyond heap_bytes was not given to anybody */
    _Alignas(64) ff_word64 keys;      /* a hint: who dies may not have counted a key */
};

/* Writer: the driver, before anybody else knows of it. */
struct ff_dictionary {
    struct ff_dictionary_words *words;
    struct ff_dictionary_slot *slots;
    char *heap;
    uint64_t slot_count; /* a power of two */
    uint64_t capacity;   /* keys: with so many it is full; some more may find their way in */
    uint64_t heap_bytes; /* a multiple of 8, at least 8 */
};

enum ff_dictionary_answer {
    FF_DICTIONARY_OK,
    FF_DICTIONARY_NONE, /* no such key */
    FF_DICTIONARY_FULL,
    FF_DICTIONARY_WRAPPED, /* added; the sum is beyond 64 bits, and has wrapped around */
    FF_DICTIONARY_DAMAGED  /* somebody wrote where he should not */
};

/* A key, and what was added to it. */
struct ff_dictionary_entry {
    const void *key;
    uint32_t bytes;
    int64_t value;
};

/* What a dictionary for so many keys, of so many bytes in all, needs; 0 when that is too much. */
uint64_t ff_dictionary_slots(uint64_t capacity);
uint64_t ff_dictionary_heap_bytes(uint64_t capacity, uint64_t key_bytes);

/* Adds to the counter of a key, which is 0 if there is none. */
enum ff_dictionary_answer ff_dictionary_add(const struct ff_dictionary *dictionary, const void *key,
                                            uint32_t bytes, int64_t amount);

/* OK with the value, NONE, DAMAGED. */
enum ff_dictionary_answer ff_dictionary_get(const struct ff_dictionary *dictionary, const void *key,
                                            uint32_t bytes, int64_t *value);

/* What a slot has: OK, NONE, DAMAGED. */
enum ff_dictionary_answer ff_dictionary_at(const struct ff_dictionary *dictionary, uint64_t slot,
                                           struct ff_dictionary_entry *entry);

#endif
