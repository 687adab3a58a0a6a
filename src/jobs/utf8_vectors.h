/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Well-formed UTF-8 by vectors of bytes, after Keiser and Lemire, "Validating UTF-8 in less than one
 * instruction per byte" (2021): whatever is wrong with two neighbouring bytes can be told from three
 * of their half-bytes, each of which looks up the set of errors that it allows; what is in all three
 * sets is wrong.  Only the third and fourth bytes of a character need one more comparison.
 */
#ifndef FF_JOBS_UTF8_VECTORS_H
#define FF_JOBS_UTF8_VECTORS_H

#include <stddef.h>

#if defined(__AVX2__)

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

/* Errors of a byte and the one behind it. */
enum {
    FF_UTF8_CUT_SHORT = 1,       /* a lead, then no continuation */
    FF_UTF8_TOO_LONG = 2,        /* ASCII, then a continuation */
    FF_UTF8_OVERLONG_3 = 4,      /* E0, then below A0 */
    FF_UTF8_TOO_LARGE = 8,       /* F4, then 90 or more; F5 and up, then 90 or more */
    FF_UTF8_SURROGATE = 16,      /* ED, then A0 or more */
    FF_UTF8_OVERLONG_2 = 32,     /* C0 or C1 */
    FF_UTF8_OVERLONG_4 = 64,     /* F0, then below 90; F5 and up, then below 90 */
    FF_UTF8_CONTINUATIONS = 128, /* two of them: right behind a lead of three or four bytes */
    /* What does not depend on the lower half of the first byte. */
    FF_UTF8_ANY_LOW = FF_UTF8_CUT_SHORT | FF_UTF8_TOO_LONG | FF_UTF8_CONTINUATIONS,
    FF_UTF8_ANY_CONTINUATION = FF_UTF8_TOO_LONG | FF_UTF8_OVERLONG_2 | FF_UTF8_CONTINUATIONS,
    FF_UTF8_ANY_BEYOND = FF_UTF8_ANY_LOW | FF_UTF8_TOO_LARGE | FF_UTF8_OVERLONG_4
};

#define FF_BOTH_LANES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/* The sets of errors, as bytes; a half-byte chooses. */
static inline __m256i ff_utf8_first_high(__m256i halves)
{
    enum { ASCII = FF_UTF8_TOO_LONG, INNER = (char)FF_UTF8_CONTINUATIONS };

    return _mm256_shuffle_epi8(
        FF_BOTH_LANES(ASCII, ASCII, ASCII, ASCII, ASCII, ASCII, ASCII, ASCII, INNER, INNER, INNER,
                      INNER, FF_UTF8_CUT_SHORT | FF_UTF8_OVERLONG_2, FF_UTF8_CUT_SHORT,
                      FF_UTF8_CUT_SHORT | FF_UTF8_OVERLONG_3 | FF_UTF8_SURROGATE,
                      FF_UTF8_CUT_SHORT | FF_UTF8_TOO_LARGE | FF_UTF8_OVERLONG_4),
        halves);
}

static inline __m256i ff_utf8_first_low(__m256i halves)
{
    enum { ANY = (char)FF_UTF8_ANY_LOW, BEYOND = (char)FF_UTF8_ANY_BEYOND };

    return _mm256_shuffle_epi8(FF_BOTH_LANES((char)(FF_UTF8_ANY_LOW | FF_UTF8_OVERLONG_2 |
                                                    FF_UTF8_OVERLONG_3 | FF_UTF8_OVERLONG_4),
                                             (char)(FF_UTF8_ANY_LOW | FF_UTF8_OVERLONG_2), ANY, ANY,
                                             (char)(FF_UTF8_ANY_LOW | FF_UTF8_TOO_LARGE), BEYOND,
                                             BEYOND, BEYOND, BEYOND, BEYOND, BEYOND, BEYOND, BEYOND,
                                             (char)(BEYOND | FF_UTF8_SURROGATE), BEYOND, BEYOND),
                               halves);
}

static inline __m256i ff_utf8_second_high(__m256i halves)
{
    enum {
        NONE = FF_UTF8_CUT_SHORT,
        EIGHT = (char)(FF_UTF8_ANY_CONTINUATION | FF_UTF8_OVERLONG_3 | FF_UTF8_OVERLONG_4),
        NINE = (char)(FF_UTF8_ANY_CONTINUATION | FF_UTF8_OVERLONG_3 | FF_UTF8_TOO_LARGE),
        MORE = (char)(FF_UTF8_ANY_CONTINUATION | FF_UTF8_SURROGATE | FF_UTF8_TOO_LARGE)
    };

    return _mm256_shuffle_epi8(FF_BOTH_LANES(NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, EIGHT,
                                             NINE, MORE, MORE, NONE, NONE, NONE, NONE),
                               halves);
}

static inline __m256i ff_high_halves(__m256i bytes)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0F));
}

/* Not zero where a byte cannot stand behind those before it. */
static inline __m256i ff_utf8_errors(__m256i bytes, __m256i before)
{
    __m256i middle = _mm256_permute2x128_si256(before, bytes, 0x21);
    __m256i one_back = _mm256_alignr_epi8(bytes, middle, 15);
    __m256i two_back = _mm256_alignr_epi8(bytes, middle, 14);
    __m256i three_back = _mm256_alignr_epi8(bytes, middle, 13);
    __m256i low = _mm256_and_si256(one_back, _mm256_set1_epi8(0x0F));
    __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(ff_utf8_first_high(ff_high_halves(one_back)), ff_utf8_first_low(low)),
        ff_utf8_second_high(ff_high_halves(bytes)));
    /* The top bit where a lead of three bytes is two back, or one of four three back. */
    __m256i inner =
        _mm256_or_si256(_mm256_subs_epu8(two_back, _mm256_set1_epi8((char)(0xE0 - 0x80))),
                        _mm256_subs_epu8(three_back, _mm256_set1_epi8((char)(0xF0 - 0x80))));

    return _mm256_xor_si256(_mm256_and_si256(inner, _mm256_set1_epi8((char)0x80)), pairs);
}

/* Where the last character begins of well-formed bytes that may end inside it. */
static inline size_t ff_last_character(const unsigned char *bytes, size_t count)
{
    size_t start = count;

    while (start > 0 && count - start < 4 && (bytes[start - 1] & 0xC0) == 0x80)
        start--;
    return start > 0 ? start - 1 : 0;
}

/*
 * How many bytes from the start on are whole, well-formed characters: all but the last few, or 0
 * when something is ill-formed among them.
 */
static inline size_t ff_well_formed_bytes(const unsigned char *bytes, size_t count)
{
    size_t end = count & ~(size_t)31;
    __m256i before = _mm256_setzero_si256();
    __m256i errors = _mm256_setzero_si256();

    for (size_t i = 0; i < end; i += 32) {
        __m256i vector = _mm256_loadu_si256((const __m256i *)(bytes + i));

        /* Nothing can be wrong with ASCII behind ASCII. */
        if (_mm256_movemask_epi8(_mm256_or_si256(vector, before)) != 0)
            errors = _mm256_or_si256(errors, ff_utf8_errors(vector, before));
        before = vector;
    }
    return _mm256_testz_si256(errors, errors) ? ff_last_character(bytes, end) : 0;
}

#else

static inline size_t ff_well_formed_bytes(const unsigned char *bytes, size_t count)
{
    (void)bytes;
    (void)count;
    return 0;
}

#endif

#endif
