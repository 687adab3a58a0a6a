/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the letters rule does to the characters beyond ASCII in a block of 64 bytes.
 *
 * The bits of a table of 1,024 fit two registers, and an instruction looks up 64 bytes of it at
 * once; a code point below 0x800 is a place in such tables.  A row, 64 code points whose characters
 * differ in the last byte alone, is one, too: of most rows of three-byte characters all are letters
 * that stay as they are, or none.  Rows that are mixed are looked up one after the other; there are
 * few in a text.
 */
#ifndef FF_JOBS_LETTER_VECTORS_H
#define FF_JOBS_LETTER_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "jobs/unicode_tables.h"

#if defined(__AVX512VBMI__) && defined(__AVX512VBMI2__)

#define FF_HAS_LETTER_VECTORS 1

#include <immintrin.h>

/* What ff_letters_in reads. */
enum { FF_LETTER_VECTOR_BYTES = 64 + 2 };

/* Bit i speaks of the character that begins with byte i. */
struct ff_letter_masks {
    uint64_t kept_2;   /* a letter of two bytes that is its own lower case */
    uint64_t kept_3;   /* one of three bytes */
    uint64_t changing; /* it may be a letter that is not; otherwise it is kept, or no letter */
};

/* Byte i: a byte in which only bit number of byte i, modulo 8, is set. */
static inline __m512i ff_bit_bytes(__m512i numbers)
{
    return _mm512_shuffle_epi8(_mm512_set1_epi64((long long)UINT64_C(0x8040201008040201)),
                               _mm512_and_si512(numbers, _mm512_set1_epi8(7)));
}

/* Which bits of a table of 1,024 are set: bit & byte number, of which seven bits count. */
static inline uint64_t ff_test_bits(const uint64_t table[16], __m512i numbers, __m512i bits)
{
    __m512i bytes =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(table), numbers, _mm512_loadu_si512(table + 8));

    return _mm512_test_epi8_mask(bytes, bits);
}

/* The same for a table of 2,048: the upper half where the byte number has its top bit set. */
static inline uint64_t ff_test_bits_2(const uint64_t table[32], __m512i numbers, __m512i bits)
{
    uint64_t upper = _mm512_movepi8_mask(numbers);

    return (ff_test_bits(table, numbers, bits) & ~upper) |
           (ff_test_bits(table + 16, numbers, bits) & upper);
}

/* Which three-byte characters of rows that are mixed are kept. */
static inline uint64_t ff_kept_in_rows(const unsigned char *bytes, uint64_t left)
{
    __m512i first = _mm512_loadu_si512(bytes);
    __m512i second = _mm512_loadu_si512(bytes + 1);
    __m512i third = _mm512_loadu_si512(bytes + 2);
    __m512i number = _mm512_and_si512(_mm512_srli_epi16(third, 3), _mm512_set1_epi8(7));
    __m512i bit = ff_bit_bytes(third);
    uint64_t kept = 0;

    while (left != 0) {
        const unsigned char *at = bytes + __builtin_ctzll(left);
        uint64_t row = ff_unicode_kept[(at[0] & 0x0FU) << 6 | (at[1] & 0x3FU)];
        __m512i bits = _mm512_shuffle_epi8(_mm512_set1_epi64((long long)row), number);
        uint64_t same = _mm512_cmpeq_epi8_mask(first, _mm512_set1_epi8((char)at[0])) &
                        _mm512_cmpeq_epi8_mask(second, _mm512_set1_epi8((char)at[1]));

        kept |= _mm512_test_epi8_mask(bits, bit) & same & left;
        left &= ~same;
    }
    return kept;
}

/* The characters of a well-formed text that begin at leads. */
static inline struct ff_letter_masks ff_letters_in(const unsigned char *bytes, uint64_t leads)
{
    __m512i first = _mm512_loadu_si512(bytes);
    __m512i second = _mm512_loadu_si512(bytes + 1);
    /* Five bits of the first byte and the upper three of the six that the second has. */
    __m512i number =
        _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi16(first, 3), _mm512_set1_epi8((char)0xF8)),
                        _mm512_and_si512(_mm512_srli_epi16(second, 3), _mm512_set1_epi8(7)));
    __m512i bit = ff_bit_bytes(second);
    uint64_t three = leads & _mm512_cmpge_epu8_mask(first, _mm512_set1_epi8((char)0xE0));
    uint64_t four = leads & _mm512_cmpge_epu8_mask(first, _mm512_set1_epi8((char)0xF0));
    uint64_t two = leads & ~three;
    struct ff_letter_masks masks = {.changing = four};

    three &= ~four;
    if (two != 0) {
        masks.kept_2 = two & ff_test_bits_2(ff_unicode_kept, number, bit);
        masks.changing |= two & ff_test_bits_2(ff_unicode_changing_2, number, bit);
    }
    if (three != 0) {
        masks.kept_3 =
            (three & ff_test_bits(ff_unicode_rows_whole, number, bit)) |
            ff_kept_in_rows(bytes, three & ff_test_bits(ff_unicode_rows_partly, number, bit));
        masks.changing |=
            three & ~masks.kept_3 & ff_test_bits(ff_unicode_rows_changing, number, bit);
    }
    return masks;
}

/* The bytes that the mask names, side by side, and letters of ASCII in lower case. */
static inline __m512i ff_take_letters(const unsigned char *bytes, uint64_t letters)
{
    __m512i taken = _mm512_maskz_compress_epi8(letters, _mm512_loadu_si512(bytes));
    uint64_t ascii = ~_mm512_movepi8_mask(taken);

    return _mm512_or_si512(taken, _mm512_maskz_set1_epi8(ascii, 0x20));
}

#else

#define FF_HAS_LETTER_VECTORS 0

#endif

/* ---- Of any processor ---------------------------------------------------- */

/*
 * The bytes, as bits from the lowest on, of the well-formed character of two bytes or more that
 * begins there, if it is a letter that is its own lower case; else 0.  Without branches: in many
 * texts both lengths occur, and nobody can foresee which comes next.
 */
static inline uint64_t ff_kept_bits(const unsigned char *bytes)
{
    uint64_t is_long = bytes[0] >= 0xE0;
    uint32_t two = (bytes[0] & 0x1FU) << 6 | (bytes[1] & 0x3FU);
    /* Behind a character of two bytes there is white space at least. */
    uint32_t three = (two << 6 | (bytes[2] & 0x3FU)) & 0xFFFFU;
    uint32_t code_point = two ^ ((two ^ three) & (uint32_t)-is_long);
    uint64_t kept = ff_unicode_kept[code_point / 64] >> code_point % 64 & (bytes[0] < 0xF0);

    return -(kept & 1) & (3 | is_long << 2);
}

/* What the characters that begin in a block of bytes come to. */
struct ff_letters {
    uint64_t kept;     /* bytes of letters that are kept */
    uint64_t behind;   /* such bytes of the next block */
    uint64_t changing; /* first bytes of what may be other letters */
};

/* All characters that are not kept count as changing. */
static inline struct ff_letters ff_find_letters_one_by_one(const unsigned char *bytes,
                                                           uint64_t leads)
{
    struct ff_letters letters = {.changing = leads};

    for (; leads != 0; leads &= leads - 1) {
        unsigned at = (unsigned)__builtin_ctzll(leads);
        uint64_t bits = ff_kept_bits(bytes + at);

        letters.kept |= bits << at;
        letters.behind |= bits >> 1 >> (63 - at);
    }
    letters.changing &= ~letters.kept;
    return letters;
}

#if FF_HAS_LETTER_VECTORS

static inline struct ff_letters ff_find_letters(const unsigned char *bytes, uint64_t leads,
                                                size_t readable)
{
    struct ff_letter_masks found;
    uint64_t kept;

    if (readable < FF_LETTER_VECTOR_BYTES)
        return ff_find_letters_one_by_one(bytes, leads);
    found = ff_letters_in(bytes, leads);
    kept = found.kept_2 | found.kept_3;
    return (struct ff_letters){.kept = kept | kept << 1 | found.kept_3 << 2,
                               .behind = kept >> 63 | found.kept_3 >> 62,
                               .changing = found.changing};
}

#else

static inline struct ff_letters ff_find_letters(const unsigned char *bytes, uint64_t leads,
                                                size_t readable)
{
    (void)readable;
    return ff_find_letters_one_by_one(bytes, leads);
}

#endif

#endif
