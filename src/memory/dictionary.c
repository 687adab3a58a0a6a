/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/dictionary.h"

#include <stdbool.h>
#include <string.h>

#include "platform/checksum.h"
#include "platform/kill_point.h"

/* In a slot's word. */
enum { PLACE_BITS = 40, PLACE_UNIT = 8 };

#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

/* How a key lies in the heap: its length, its bytes, and what it takes to the next multiple of 8. */
enum { LENGTH_BYTES = sizeof(uint32_t) };

struct wanted {
    const void *key;
    uint32_t bytes;
    uint64_t hash;
    uint64_t probe; /* slots that were looked at, and have other keys */
};

/* ---- Sizes --------------------------------------------------------------- */

uint64_t ff_dictionary_slots(uint64_t capacity)
{
    uint64_t slots = 8;

    if (capacity >= UINT64_C(1) << PLACE_BITS)
        return 0;
    /* At most two thirds are in use: with more, probing gets long. */
    while (slots < capacity + capacity / 2)
        slots *= 2;
    return slots;
}

uint64_t ff_dictionary_heap_bytes(uint64_t capacity, uint64_t key_bytes)
{
    uint64_t most = (UINT64_C(1) << PLACE_BITS) - PLACE_UNIT;

    if (capacity >= most || key_bytes >= most)
        return 0;
    /* More for lengths and gaps, and for what deaths and races lose. */
    key_bytes += capacity * (LENGTH_BYTES + PLACE_UNIT - 1);
    key_bytes = (key_bytes + key_bytes / 16 + 4096) & ~(uint64_t)(PLACE_UNIT - 1);
    return key_bytes / PLACE_UNIT < most ? key_bytes : 0;
}

/* ---- Keys ---------------------------------------------------------------- */

static struct wanted want(const void *key, uint32_t bytes)
{
    return (struct wanted){.key = key, .bytes = bytes, .hash = ff_checksum(key, bytes, 0)};
}

static uint64_t encode(uint64_t hash, uint64_t place)
{
    return (hash & ~PLACE_MASK) | (place / PLACE_UNIT + 1);
}

/* The key that a word names; false when it lies nowhere. */
static bool find_key(const struct ff_dictionary *dictionary, uint64_t word,
                     struct ff_dictionary_entry *entry)
{
    uint64_t place = ((word & PLACE_MASK) - 1) * PLACE_UNIT;
    uint32_t bytes;

    /* Without a place the product is larger than any heap. */
    if (place > dictionary->heap_bytes - PLACE_UNIT)
        return false;
    memcpy(&bytes, dictionary->heap + place, sizeof(bytes));
    if (bytes > dictionary->heap_bytes - place - LENGTH_BYTES)
        return false;
    entry->key = dictionary->heap + place + LENGTH_BYTES;
    entry->bytes = bytes;
    return true;
}

/* Whether a word names the key that is wanted: OK, NONE, DAMAGED. */
static enum ff_dictionary_answer compare(const struct ff_dictionary *dictionary,
                                         const struct wanted *wanted, uint64_t word)
{
    struct ff_dictionary_entry entry;

    if (((word ^ wanted->hash) & ~PLACE_MASK) != 0)
        return FF_DICTIONARY_NONE;
    if (!find_key(dictionary, word, &entry))
        return FF_DICTIONARY_DAMAGED;
    if (entry.bytes != wanted->bytes)
        return FF_DICTIONARY_NONE;
    return wanted->bytes == 0 || memcmp(entry.key, wanted->key, wanted->bytes) == 0
               ? FF_DICTIONARY_OK
               : FF_DICTIONARY_NONE;
}

/*
 * OK with the slot of the key, NONE with the free one that would be its, FULL when there is neither.
 * Goes on from where the last look ended.
 */
static enum ff_dictionary_answer seek(const struct ff_dictionary *dictionary, struct wanted *wanted,
                                      struct ff_dictionary_slot **slot)
{
    uint64_t mask = dictionary->slot_count - 1;

    for (; wanted->probe <= mask; wanted->probe++) {
        enum ff_dictionary_answer answer;
        uint64_t word;

        *slot = &dictionary->slots[(wanted->hash + wanted->probe) & mask];
        /* Partner: insert().  Without the acquire the key behind the word might not be there yet. */
        word = ff_observe(&(*slot)->key);
        if (word == 0)
            return FF_DICTIONARY_NONE;
        answer = compare(dictionary, wanted, word);
        if (answer != FF_DICTIONARY_NONE)
            return answer;
    }
    return FF_DICTIONARY_FULL;
}

/* ---- Adding -------------------------------------------------------------- */

static uint64_t heap_bytes_of(const struct wanted *wanted)
{
    return ((uint64_t)wanted->bytes + LENGTH_BYTES + PLACE_UNIT - 1) & ~(uint64_t)(PLACE_UNIT - 1);
}

/* Looks first, so that what does not fit moves the front by less than the processes can at once. */
static bool take_heap(const struct ff_dictionary *dictionary, uint64_t bytes, uint64_t *place)
{
    ff_word64 *used = &dictionary->words->heap_used;
    uint64_t now = ff_peer_get(used);

    if (now > dictionary->heap_bytes || bytes > dictionary->heap_bytes - now)
        return false;
    *place = ff_take_some(used, bytes);
    /* A front that somebody smeared may lie anywhere, also between two keys. */
    return *place <= dictionary->heap_bytes && bytes <= dictionary->heap_bytes - *place &&
           *place % PLACE_UNIT == 0;
}

/* Only the last bytes can be given back; others are lost until the dictionary is closed. */
static void give_heap_back(const struct ff_dictionary *dictionary, uint64_t place, uint64_t bytes)
{
    uint64_t end = place + bytes;

    (void)ff_swap_if(&dictionary->words->heap_used, &end, place);
}

/* A slot for a key that has none, the first that is still free; or the one that another has made. */
static enum ff_dictionary_answer insert(const struct ff_dictionary *dictionary,
                                        struct wanted *wanted, struct ff_dictionary_slot **slot)
{
    uint64_t bytes = heap_bytes_of(wanted);
    enum ff_dictionary_answer answer;
    uint64_t place;
    uint64_t none = 0;

    /* Partner: the count below.  Without the acquire the key that was counted last might not be seen
       in its slot. */
    if (ff_observe(&dictionary->words->keys) >= dictionary->capacity ||
        !take_heap(dictionary, bytes, &place)) {
        /* It may be this key for which another has just taken the last room. */
        answer = seek(dictionary, wanted, slot);
        return answer == FF_DICTIONARY_NONE ? FF_DICTIONARY_FULL : answer;
    }
    FF_KILL_POINT("dictionary.taken");
    memcpy(dictionary->heap + place, &wanted->bytes, LENGTH_BYTES);
    if (wanted->bytes > 0)
        memcpy(dictionary->heap + place + LENGTH_BYTES, wanted->key, wanted->bytes);
    FF_KILL_POINT("dictionary.written");
    /* This commits the key.  Partner: seek(). */
    while (!ff_swap_if(&(*slot)->key, &none, encode(wanted->hash, place))) {
        answer = seek(dictionary, wanted, slot);
        if (answer != FF_DICTIONARY_NONE) {
            give_heap_back(dictionary, place, bytes);
            return answer;
        }
        none = 0;
    }
    FF_KILL_POINT("dictionary.claimed");
    /* Partner: the look at the count above. */
    (void)ff_take_some(&dictionary->words->keys, 1);
    FF_KILL_POINT("dictionary.counted");
    return FF_DICTIONARY_OK;
}

enum ff_dictionary_answer ff_dictionary_add(const struct ff_dictionary *dictionary, const void *key,
                                            uint32_t bytes, int64_t amount)
{
    struct wanted wanted = want(key, bytes);
    struct ff_dictionary_slot *slot;
    enum ff_dictionary_answer answer = seek(dictionary, &wanted, &slot);
    int64_t before;
    int64_t after;

    if (answer == FF_DICTIONARY_NONE)
        answer = insert(dictionary, &wanted, &slot);
    if (answer != FF_DICTIONARY_OK)
        return answer;
    before = (int64_t)ff_tally(&slot->value, (uint64_t)amount);
    FF_KILL_POINT("dictionary.added");
    return __builtin_add_overflow(before, amount, &after) ? FF_DICTIONARY_WRAPPED
                                                          : FF_DICTIONARY_OK;
}

/* ---- Reading ------------------------------------------------------------- */

enum ff_dictionary_answer ff_dictionary_get(const struct ff_dictionary *dictionary, const void *key,
                                            uint32_t bytes, int64_t *value)
{
    struct wanted wanted = want(key, bytes);
    struct ff_dictionary_slot *slot;
    enum ff_dictionary_answer answer = seek(dictionary, &wanted, &slot);

    if (answer == FF_DICTIONARY_OK)
        *value = (int64_t)ff_observe(&slot->value);
    return answer == FF_DICTIONARY_FULL ? FF_DICTIONARY_NONE : answer;
}

enum ff_dictionary_answer ff_dictionary_at(const struct ff_dictionary *dictionary, uint64_t slot,
                                           struct ff_dictionary_entry *entry)
{
    uint64_t word = ff_observe(&dictionary->slots[slot].key);

    if (word == 0)
        return FF_DICTIONARY_NONE;
    if (!find_key(dictionary, word, entry))
        return FF_DICTIONARY_DAMAGED;
    entry->value = (int64_t)ff_observe(&dictionary->slots[slot].value);
    return FF_DICTIONARY_OK;
}
