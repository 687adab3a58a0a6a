/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Near keys out of a text, and the homes of many of them.  The vector instructions are those that the
 * file which includes this is compiled for; all give the same keys and homes.
 */
#ifndef FF_JOBS_KEY_VECTORS_H
#define FF_JOBS_KEY_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "flow/table.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* What is read of a key that may be near. */
enum { FF_KEY_READ_BYTES = 16 };

/* Homes are found for so many keys at once. */
enum { FF_HOMES_AT_ONCE = 8 };

/* ---- Keys ---------------------------------------------------------------- */

/*
 * Makes a key of the first bytes at an address, FF_KEY_READ_BYTES of which can be read.  Letters of
 * ASCII become lower-case if set_bits is 0x20, the bit that tells; 0 leaves all as they are.  All
 * letters, that is: under the rule that wants them in lower case there is nothing else of ASCII.
 */
#if defined(__SSE2__)

static inline void ff_take_key(struct ff_slot *key, const unsigned char *bytes, size_t count,
                               unsigned char set_bits, bool is_ascii)
{
    const struct ff_near_mask *mask = &ff_near_masks[count];
    __m128i taken = _mm_loadu_si128((const __m128i *)bytes);
    __m128i set = _mm_set1_epi8((char)set_bits);

    /* Where the top bit is 0, seen as the bit that is set. */
    if (!is_ascii)
        set = _mm_and_si128(_mm_srli_epi16(_mm_andnot_si128(taken, _mm_set1_epi8((char)0x80)), 2),
                            set);
    taken = _mm_and_si128(_mm_or_si128(taken, set), _mm_loadu_si128((const __m128i *)&mask->low));
    taken = _mm_or_si128(taken, _mm_loadu_si128((const __m128i *)&mask->kind));
    _mm_storeu_si128((__m128i *)key, taken);
}

#else

static inline void ff_take_key(struct ff_slot *key, const unsigned char *bytes, size_t count,
                               unsigned char set_bits, bool is_ascii)
{
    const uint64_t top_bits = UINT64_C(0x8080808080808080);
    uint64_t words[2];

    memcpy(words, bytes, sizeof(words));
    for (int i = 0; i < 2; i++) {
        uint64_t set = UINT64_C(0x0101010101010101) * set_bits;

        words[i] |= is_ascii ? set : (~words[i] & top_bits) >> 2 & set;
    }
    *key = ff_near_key(words[0], words[1], (uint32_t)count);
}

#endif

/* ---- Homes --------------------------------------------------------------- */

#if defined(__AVX512DQ__)

/* ff_find_homes in steps of FF_HOMES_AT_ONCE: as many may be read and written, all of the last step. */
static inline void ff_find_many_homes(struct ff_homes from, const struct ff_slot *keys,
                                      size_t count, struct ff_slot **homes)
{
    const __m512i lows = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i uppers = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
    __m512i slot_count = _mm512_set1_epi64((long long)from.slot_count);
    __m512i slots = _mm512_set1_epi64((long long)(uintptr_t)from.slots);

    for (size_t i = 0; i < count; i += FF_HOMES_AT_ONCE) {
        __m512i first = _mm512_loadu_si512(keys + i);
        __m512i second = _mm512_loadu_si512(keys + i + FF_HOMES_AT_ONCE / 2);
        __m512i low = _mm512_permutex2var_epi64(first, lows, second);
        __m512i high = _mm512_and_si512(_mm512_permutex2var_epi64(first, uppers, second),
                                        _mm512_set1_epi64(UINT32_MAX));
        __m512i mixed = _mm512_xor_si512(
            low, _mm512_mullo_epi64(high, _mm512_set1_epi64((long long)FF_NEAR_HIGH)));
        __m512i hash;

        mixed = _mm512_mullo_epi64(mixed, _mm512_set1_epi64((long long)FF_NEAR_FIRST));
        mixed = _mm512_xor_si512(mixed, _mm512_srli_epi64(mixed, 32));
        mixed = _mm512_mullo_epi64(mixed, _mm512_set1_epi64((long long)FF_NEAR_LAST));
        hash = _mm512_srli_epi64(mixed, 32);
        /* ff_slot_home, and a slot takes 16 bytes. */
        __m512i home = _mm512_srli_epi64(_mm512_mullo_epi64(hash, slot_count), 32);

        _mm512_storeu_si512(homes + i, _mm512_add_epi64(slots, _mm512_slli_epi64(home, 4)));
    }
}

#else

static inline void ff_find_many_homes(struct ff_homes from, const struct ff_slot *keys,
                                      size_t count, struct ff_slot **homes)
{
    ff_find_homes(from, keys, count, homes);
}

#endif

#endif
