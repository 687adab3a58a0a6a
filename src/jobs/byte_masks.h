/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kinds of bytes a block of 64 holds, as words of bits: bit i speaks of
 * byte i.  The vector instructions are those that the file which includes this
 * is compiled for; all give the same bits.
 */
#ifndef FF_JOBS_BYTE_MASKS_H
#define FF_JOBS_BYTE_MASKS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { FF_MASK_BYTES = 64 };

struct ff_byte_masks {
    uint64_t space;             /* ASCII white space: 09..0D, 1C..20 */
    uint64_t letter;            /* A..Z, a..z */
    uint64_t not_ascii;         /* 80..FF */
    uint64_t lead;              /* C0..FF: the first bytes of characters beyond ASCII */
    uint64_t may_be_wide_space; /* C2, E1..E3: the first bytes of all white space beyond ASCII */
    uint64_t changing;          /* 0 here: for whoever looks at whole characters */
};

/*
 * "From low on, width more": as unsigned numbers x - low <= width.  SSE2 and
 * AVX2 have no such comparison, but min(x, width) == x says the same.
 */

#if defined(__AVX512BW__)

enum { FF_VECTOR_BYTES = 64 };

static inline uint64_t ff_bytes_in_range(__m512i bytes, char low, char width)
{
    return _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(low)),
                                  _mm512_set1_epi8(width));
}

static inline struct ff_byte_masks ff_vector_masks(const unsigned char *bytes)
{
    __m512i vector = _mm512_loadu_si512(bytes);
    __m512i lower = _mm512_or_si512(vector, _mm512_set1_epi8(0x20));

    return (struct ff_byte_masks){.space = ff_bytes_in_range(vector, 0x09, 0x0D - 0x09) |
                                           ff_bytes_in_range(vector, 0x1C, 0x20 - 0x1C),
                                  .letter = ff_bytes_in_range(lower, 'a', 'z' - 'a'),
                                  .not_ascii = _mm512_movepi8_mask(vector),
                                  .lead = ff_bytes_in_range(vector, (char)0xC0, 0x3F),
                                  .may_be_wide_space =
                                      ff_bytes_in_range(vector, (char)0xC2, 0) |
                                      ff_bytes_in_range(vector, (char)0xE1, 0xE3 - 0xE1)};
}

#elif defined(__AVX2__)

enum { FF_VECTOR_BYTES = 32 };

static inline uint64_t ff_bytes_in_range(__m256i bytes, char low, char width)
{
    __m256i from_low = _mm256_sub_epi8(bytes, _mm256_set1_epi8(low));

    return (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(_mm256_min_epu8(from_low, _mm256_set1_epi8(width)), from_low));
}

static inline struct ff_byte_masks ff_vector_masks(const unsigned char *bytes)
{
    __m256i vector = _mm256_loadu_si256((const __m256i *)bytes);
    __m256i lower = _mm256_or_si256(vector, _mm256_set1_epi8(0x20));

    return (struct ff_byte_masks){.space = ff_bytes_in_range(vector, 0x09, 0x0D - 0x09) |
                                           ff_bytes_in_range(vector, 0x1C, 0x20 - 0x1C),
                                  .letter = ff_bytes_in_range(lower, 'a', 'z' - 'a'),
                                  .not_ascii = (uint32_t)_mm256_movemask_epi8(vector),
                                  .lead = ff_bytes_in_range(vector, (char)0xC0, 0x3F),
                                  .may_be_wide_space =
                                      ff_bytes_in_range(vector, (char)0xC2, 0) |
                                      ff_bytes_in_range(vector, (char)0xE1, 0xE3 - 0xE1)};
}

#elif defined(__SSE2__)

enum { FF_VECTOR_BYTES = 16 };

static inline uint64_t ff_bytes_in_range(__m128i bytes, char low, char width)
{
    __m128i from_low = _mm_sub_epi8(bytes, _mm_set1_epi8(low));

    return (uint16_t)_mm_movemask_epi8(
        _mm_cmpeq_epi8(_mm_min_epu8(from_low, _mm_set1_epi8(width)), from_low));
}

static inline struct ff_byte_masks ff_vector_masks(const unsigned char *bytes)
{
    __m128i vector = _mm_loadu_si128((const __m128i *)bytes);
    __m128i lower = _mm_or_si128(vector, _mm_set1_epi8(0x20));

    return (struct ff_byte_masks){.space = ff_bytes_in_range(vector, 0x09, 0x0D - 0x09) |
                                           ff_bytes_in_range(vector, 0x1C, 0x20 - 0x1C),
                                  .letter = ff_bytes_in_range(lower, 'a', 'z' - 'a'),
                                  .not_ascii = (uint16_t)_mm_movemask_epi8(vector),
                                  .lead = ff_bytes_in_range(vector, (char)0xC0, 0x3F),
                                  .may_be_wide_space =
                                      ff_bytes_in_range(vector, (char)0xC2, 0) |
                                      ff_bytes_in_range(vector, (char)0xE1, 0xE3 - 0xE1)};
}

#else

enum { FF_VECTOR_BYTES = 8 };

/*
 * Eight bytes in a word.  The subtraction sets the top bit of each byte that is
 * at least the limit; top bits of the input itself are kept out of it.
 */
static inline uint64_t ff_bytes_at_least(uint64_t low_bits, unsigned limit)
{
    return low_bits + UINT64_C(0x0101010101010101) * (128 - limit);
}

/* The eight top bits of a word as eight bits, the first byte's lowest. */
static inline uint64_t ff_top_bits(uint64_t word)
{
    return ((word >> 7 & UINT64_C(0x0101010101010101)) * UINT64_C(0x0102040810204080)) >> 56;
}

static inline struct ff_byte_masks ff_vector_masks(const unsigned char *bytes)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    uint64_t low = word & UINT64_C(0x7F7F7F7F7F7F7F7F);
    uint64_t lower = low | UINT64_C(0x2020202020202020);
    uint64_t spaces = (ff_bytes_at_least(low, 0x09) & ~ff_bytes_at_least(low, 0x0E)) |
                      (ff_bytes_at_least(low, 0x1C) & ~ff_bytes_at_least(low, 0x21));
    uint64_t letters = ff_bytes_at_least(lower, 'a') & ~ff_bytes_at_least(lower, 'z' + 1);

    return (struct ff_byte_masks){.space = ff_top_bits(spaces & ~word),
                                  .letter = ff_top_bits(letters & ~word),
                                  .not_ascii = ff_top_bits(word),
                                  .lead = ff_top_bits(word & word << 1),
                                  .may_be_wide_space = ff_top_bits(word)};
}

#endif

/* ---- Runs ---------------------------------------------------------------- */

/* Where runs of bits start and end, over several words of bits. */
struct ff_run_search {
    uint16_t *starts; /* where the next ones go; */
    uint16_t *ends;   /* each needs room for 64 more than there are */
    uint64_t before;  /* the last bit of the word before, as 0 or 1 */
};

#if defined(__AVX512VBMI2__)

/* Writes the places of up to 32 bits, each plus base. */
static inline uint16_t *ff_write_places(uint16_t *to, uint64_t bits, uint16_t base)
{
    static const unsigned char numbers[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    __m512i places = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(numbers));

    _mm512_storeu_si512(to, _mm512_add_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(places)),
                                             _mm512_set1_epi16((short)base)));
    return to + __builtin_popcountll(bits);
}

#else

static inline uint16_t *ff_write_places(uint16_t *to, uint64_t bits, uint16_t base)
{
    uint16_t *end = to + __builtin_popcountll(bits);

    /* Four at a time, some of them too many: the number of rounds is easier to foresee. */
    for (; to < end; to += 4) {
        for (unsigned i = 0; i < 4; i++) {
            to[i] = (uint16_t)(base + (unsigned)__builtin_ctzll(bits | UINT64_C(1) << 63));
            bits &= bits - 1;
        }
    }
    return end;
}

#endif

/* The runs of one more word of bits, which stand for base and the places behind it. */
static inline void ff_run_edges(struct ff_run_search *search, uint64_t bits, uint16_t base)
{
    uint64_t shifted = bits << 1 | search->before;

    search->before = bits >> 63;
    search->starts = ff_write_places(search->starts, bits & ~shifted, base);
    search->ends = ff_write_places(search->ends, ~bits & shifted, base);
}

/* ---- Blocks -------------------------------------------------------------- */

/* Fills block_count masks from 64 * block_count bytes. */
static inline void ff_classify_bytes(const unsigned char *bytes, size_t block_count,
                                     struct ff_byte_masks *masks)
{
    for (size_t block = 0; block < block_count; block++) {
        struct ff_byte_masks all = {0};

        for (unsigned i = 0; i < FF_MASK_BYTES; i += FF_VECTOR_BYTES) {
            struct ff_byte_masks part = ff_vector_masks(bytes + block * FF_MASK_BYTES + i);

            all.space |= part.space << i;
            all.letter |= part.letter << i;
            all.not_ascii |= part.not_ascii << i;
            all.lead |= part.lead << i;
            all.may_be_wide_space |= part.may_be_wide_space << i;
        }
        masks[block] = all;
    }
}

#endif
