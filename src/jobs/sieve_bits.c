/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve_bits.h"

#include <stdbool.h>

#if defined(__AVX512VBMI2__)
#include <immintrin.h>
#endif

#include "jobs/sieve_wheel.h"

/* ---- Patterns to bits ---------------------------------------------------- */

/* As many bytes as the widest vectors have; the compiler makes narrower ones of it where it must. */
typedef uint8_t vector __attribute__((vector_size(64), aligned(1), may_alias));

static void stamp(uint8_t *bits, const uint8_t *const patterns[FF_SIEVE_PATTERNS], size_t bytes)
{
    for (size_t i = 0; i < bytes; i += FF_SIEVE_STAMP_BYTES) {
        vector low = *(const vector *)(patterns[0] + i);
        vector high = *(const vector *)(patterns[0] + i + sizeof(vector));

        for (unsigned k = 1; k < FF_SIEVE_PATTERNS; k++) {
            low &= *(const vector *)(patterns[k] + i);
            high &= *(const vector *)(patterns[k] + i + sizeof(vector));
        }
        *(vector *)(bits + i) = low;
        *(vector *)(bits + i + sizeof(vector)) = high;
    }
}

/* ---- Bits to counts ------------------------------------------------------ */

/* The last bytes of a map, fewer than eight, as a word. */
static uint64_t last_word(const uint8_t *bits, size_t bytes)
{
    uint8_t padded[sizeof(uint64_t)] = {0};

    memcpy(padded, bits, bytes);
    return ff_wheel_word(padded);
}

static uint64_t count_bits(const uint8_t *bits, size_t bytes)
{
    uint64_t count = 0;
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t))
        count += (uint64_t)__builtin_popcountll(ff_wheel_word(bits + i));
    if (i < bytes)
        count += (uint64_t)__builtin_popcountll(last_word(bits + i, bytes - i));
    return count;
}

/* ---- Bits to numbers ----------------------------------------------------- */

/*
 * The same code writes both types of numbers: it is inlined where wide is a constant, which leaves
 * one of the two.
 */
#define INLINE static inline __attribute__((always_inline))

enum {
    WORD_BITS = 64,
    /* As many elements as put may write, whatever the word holds. */
    PUT_ROOM = 80
};

/* What the bits of a word stand for. */
struct offsets {
    uint8_t of[WORD_BITS];
};

INLINE void write_number(void *numbers, size_t index, uint64_t number, bool wide)
{
    if (wide)
        ((uint64_t *)numbers)[index] = number;
    else
        ((uint32_t *)numbers)[index] = (uint32_t)number;
}

#if defined(__AVX512VBMI2__)

/* Sixteen offsets become numbers, from element index on. */
INLINE void write_sixteen(void *numbers, size_t index, uint64_t first, __m128i offsets, bool wide)
{
    if (wide) {
        __m512i base = _mm512_set1_epi64((long long)first);
        __m128i high = _mm_unpackhi_epi64(offsets, offsets);
        uint64_t *to = (uint64_t *)numbers + index;

        _mm512_storeu_si512(to, _mm512_add_epi64(base, _mm512_cvtepu8_epi64(offsets)));
        _mm512_storeu_si512(to + 8, _mm512_add_epi64(base, _mm512_cvtepu8_epi64(high)));
    } else {
        __m512i base = _mm512_set1_epi32((int)(uint32_t)first);

        _mm512_storeu_si512((uint32_t *)numbers + index,
                            _mm512_add_epi32(base, _mm512_cvtepu8_epi32(offsets)));
    }
}

/* The offsets of the set bits move together; most words have no more than sixteen. */
INLINE size_t put(uint64_t word, uint64_t first, const struct offsets *offsets, void *numbers,
                  size_t index, bool wide)
{
    size_t count = (size_t)__builtin_popcountll(word);
    __m512i found = _mm512_maskz_compress_epi8(word, _mm512_loadu_si512(offsets->of));

    write_sixteen(numbers, index, first, _mm512_castsi512_si128(found), wide);
    if (count > 16)
        write_sixteen(numbers, index + 16, first, _mm512_extracti32x4_epi32(found, 1), wide);
    if (count > 32) {
        write_sixteen(numbers, index + 32, first, _mm512_extracti32x4_epi32(found, 2), wide);
        write_sixteen(numbers, index + 48, first, _mm512_extracti32x4_epi32(found, 3), wide);
    }
    return count;
}

#else

/*
 * Most words near 10^9 hold 8 to 14 primes.  That many steps without a branch, useless ones
 * included, cost less than branches that are mispredicted.
 */
enum { RUN = 14 };

INLINE size_t put(uint64_t word, uint64_t first, const struct offsets *offsets, void *numbers,
                  size_t index, bool wide)
{
    size_t count = (size_t)__builtin_popcountll(word);
    size_t done = 0;

    do {
#pragma GCC unroll 14
        for (unsigned i = 0; i < RUN; i++) {
            /* When no bit is left the last one serves as well: nobody will look at the number. */
            unsigned bit = (unsigned)__builtin_ctzll(word | UINT64_C(1) << (WORD_BITS - 1));

            write_number(numbers, index + done + i, first + offsets->of[bit], wide);
            word &= word - 1;
        }
        done += RUN;
    } while (done < count);
    return count;
}

#endif

/* One number after the other, as far as capacity reaches. */
INLINE size_t put_within(uint64_t word, uint64_t first, void *numbers, size_t index,
                         size_t capacity, bool wide)
{
    size_t count = 0;

    for (; word != 0; word &= word - 1) {
        if (index + count < capacity)
            write_number(numbers, index + count,
                         first + ff_wheel_word_number((unsigned)__builtin_ctzll(word)), wide);
        count++;
    }
    return count;
}

INLINE size_t list(const uint8_t *bits, size_t bytes, uint64_t first, void *numbers,
                   size_t capacity, bool wide)
{
    struct offsets offsets;
    size_t count = 0;
    size_t i = 0;

    for (unsigned bit = 0; bit < WORD_BITS; bit++)
        offsets.of[bit] = (uint8_t)ff_wheel_word_number(bit);
    for (; i + sizeof(uint64_t) <= bytes && capacity >= PUT_ROOM && count <= capacity - PUT_ROOM;
         i += sizeof(uint64_t), first += FF_WHEEL_WORD_NUMBERS)
        count += put(ff_wheel_word(bits + i), first, &offsets, numbers, count, wide);
    for (; i < bytes; i += sizeof(uint64_t), first += FF_WHEEL_WORD_NUMBERS) {
        bool is_whole = bytes - i >= sizeof(uint64_t);
        uint64_t word = is_whole ? ff_wheel_word(bits + i) : last_word(bits + i, bytes - i);

        count += put_within(word, first, numbers, count, capacity, wide);
    }
    return count;
}

static size_t list_u32(const uint8_t *bits, size_t bytes, uint64_t first, uint32_t *numbers,
                       size_t capacity)
{
    return list(bits, bytes, first, numbers, capacity, false);
}

static size_t list_u64(const uint8_t *bits, size_t bytes, uint64_t first, uint64_t *numbers,
                       size_t capacity)
{
    return list(bits, bytes, first, numbers, capacity, true);
}

/* ---- All of it ----------------------------------------------------------- */

#define STRING_OF(name)      #name
#define STRING(name)         STRING_OF(name)
#define JOIN_OF(left, right) left##right
#define JOIN(left, right)    JOIN_OF(left, right)

const struct ff_sieve_bits JOIN(ff_sieve_bits_, FF_SIEVE_VARIANT) = {
    .name = STRING(FF_SIEVE_VARIANT),
    .stamp = stamp,
    .count = count_bits,
    .list_u32 = list_u32,
    .list_u64 = list_u64,
};
