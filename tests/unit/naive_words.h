/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words counted in the simplest way: one pass over a whole text, unit by unit,
 * with a decoder that has nothing in common with the one under test.
 */
#ifndef FF_TESTS_NAIVE_WORDS_H
#define FF_TESTS_NAIVE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>
#include <forkfold/words.h>

#include "files/utf8.h"
#include "flow/table.h"
#include "jobs/unicode_tables.h"

/* The unit at the start of a text that ends after count (> 0) bytes. */
static inline struct ff_utf8_unit naive_decode(const unsigned char *bytes, size_t count)
{
    unsigned char first = bytes[0];
    /* What the second byte may be; any other continuation byte is one of 80..BF. */
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    struct ff_utf8_unit unit = {.code_point = 0xFFFD, .bytes = 1, .kind = FF_UTF8_BAD_START};
    uint32_t code_point = first;
    unsigned length = 1;

    if (first >= 0x80) {
        if (first < 0xC2 || first > 0xF4)
            return unit;
        length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        code_point = first & (0x7FU >> length);
    }
    for (; unit.bytes < length; unit.bytes++) {
        unit.kind = unit.bytes == count ? FF_UTF8_TRUNCATED : FF_UTF8_BAD_CONTINUATION;
        if (unit.bytes == count || bytes[unit.bytes] < low || bytes[unit.bytes] > high)
            return unit;
        code_point = code_point << 6 | (bytes[unit.bytes] & 0x3FU);
        low = 0x80;
        high = 0xBF;
    }
    unit.code_point = code_point;
    unit.kind = FF_UTF8_OK;
    return unit;
}

/* Whether all of the text is well-formed; otherwise *error says where it first is not. */
static inline bool naive_validate(const unsigned char *bytes, size_t count,
                                  struct ff_utf8_error *error)
{
    for (size_t at = 0; at < count;) {
        struct ff_utf8_unit unit = naive_decode(bytes + at, count - at);

        if (unit.kind != FF_UTF8_OK) {
            *error = (struct ff_utf8_error){.offset = at, .kind = unit.kind};
            return false;
        }
        at += unit.bytes;
    }
    return true;
}

/* Adds the words of a text to the table, what is ill-formed replaced.  0 or the table's code. */
static inline int naive_count(const unsigned char *bytes, size_t count,
                              enum forkfold_word_rule rule, struct ff_table *table)
{
    static const char replacement[3] = {'\xEF', '\xBF', '\xBD'};
    /* No unit makes a key of more than 3 times its bytes: a stray byte becomes U+FFFD. */
    char *key = malloc(3 * count + 1);
    size_t key_bytes = 0;
    int code = key == NULL ? FORKFOLD_E_MEMORY : 0;

    for (size_t at = 0; at < count && code == 0;) {
        struct ff_utf8_unit unit = naive_decode(bytes + at, count - at);

        if (ff_unicode_is_space(unit.code_point)) {
            if (key_bytes > 0)
                code = ff_table_add(table, key, key_bytes, 1);
            key_bytes = 0;
        } else if (rule == FORKFOLD_PLAIN && unit.kind == FF_UTF8_OK) {
            memcpy(key + key_bytes, bytes + at, unit.bytes);
            key_bytes += unit.bytes;
        } else if (rule == FORKFOLD_PLAIN) {
            memcpy(key + key_bytes, replacement, sizeof(replacement));
            key_bytes += sizeof(replacement);
        } else if (ff_unicode_is_letter(unit.code_point)) {
            key_bytes += ff_unicode_lower(unit.code_point, key + key_bytes);
        }
        at += unit.bytes;
    }
    if (key_bytes > 0 && code == 0)
        code = ff_table_add(table, key, key_bytes, 1);
    free(key);
    return code;
}

#endif
