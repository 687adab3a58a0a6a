/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "files/utf8.h"
#include "random_keys.h"

enum { ROUNDS = 20000, LENGTH_MAX = 24 };

/* Table 3-7 of the Unicode Standard, row by row. */
static const struct form {
    unsigned length;
    unsigned char low[4];
    unsigned char high[4];
} forms[] = {
    {1, {0x00}, {0x7F}},
    {2, {0xC2, 0x80}, {0xDF, 0xBF}},
    {3, {0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}},
    {3, {0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}},
    {3, {0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}},
    {3, {0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}},
    {4, {0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}},
    {4, {0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}},
    {4, {0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}},
};

/* How many bytes begin a sequence of this form. */
static unsigned matching_bytes(const struct form *form, const unsigned char *bytes, size_t count)
{
    unsigned i = 0;

    while (i < form->length && i < count && bytes[i] >= form->low[i] && bytes[i] <= form->high[i])
        i++;
    return i;
}

/* What the table says of the first bytes, less the code point. */
static struct ff_utf8_unit expected_unit(const unsigned char *bytes, size_t count)
{
    struct ff_utf8_unit unit = {.code_point = 0xFFFD, .bytes = 1, .kind = FF_UTF8_BAD_START};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        unsigned matching = matching_bytes(&forms[i], bytes, count);

        if (matching == 0)
            continue;
        unit.bytes = (uint8_t)matching;
        if (matching == forms[i].length)
            unit.kind = FF_UTF8_OK;
        else if (matching == count)
            unit.kind = FF_UTF8_TRUNCATED;
        else
            unit.kind = FF_UTF8_BAD_CONTINUATION;
    }
    return unit;
}

static void check_first_unit(const unsigned char *bytes, size_t count)
{
    struct ff_utf8_unit unit = ff_utf8_decode(bytes, count);
    struct ff_utf8_unit expected = expected_unit(bytes, count);

    if (unit.bytes == expected.bytes && unit.kind == expected.kind &&
        (unit.kind == FF_UTF8_OK || unit.code_point == 0xFFFD))
        return;
    fail_msg("%02X %02X %02X, %zu bytes: unit of %d bytes, kind %d", bytes[0],
             count > 1 ? bytes[1] : 0, count > 2 ? bytes[2] : 0, count, unit.bytes, unit.kind);
}

static void every_sequence_of_up_to_3_bytes_is_read_as_the_standard_says(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 1U << 24; number++) {
        unsigned char bytes[3] = {(unsigned char)(number >> 16), (unsigned char)(number >> 8),
                                  (unsigned char)number};

        check_first_unit(bytes, 3);
        if ((number & 0xFF) == 0)
            check_first_unit(bytes, 2);
        if ((number & 0xFFFF) == 0)
            check_first_unit(bytes, 1);
    }
}

static size_t encode(uint32_t code_point, unsigned char *out)
{
    static const unsigned char leads[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;

    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (unsigned char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    out[0] = (unsigned char)(leads[length] | code_point);
    return length;
}

static void every_scalar_value_is_decoded_and_nothing_is_read_past_it(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x10FFFF; code_point++) {
        unsigned char bytes[4];
        size_t length = encode(code_point, bytes);
        struct ff_utf8_unit unit = ff_utf8_decode(bytes, length);
        struct ff_utf8_unit cut = ff_utf8_decode(bytes, length > 1 ? length - 1 : 1);

        if (code_point >= 0xD800 && code_point <= 0xDFFF) {
            assert_int_equal(unit.kind, FF_UTF8_BAD_CONTINUATION);
            assert_int_equal(unit.bytes, 1);
            continue;
        }
        assert_int_equal(unit.code_point, code_point);
        assert_int_equal(unit.bytes, length);
        assert_int_equal(unit.kind, FF_UTF8_OK);
        assert_int_equal(cut.kind, length > 1 ? FF_UTF8_TRUNCATED : FF_UTF8_OK);
    }
}

static void validation_names_the_first_error_as_cpython_does(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
        size_t offset;
        const char *text;
    } cases[] = {
        {"abcdefghij\x80", 11, 10, "invalid start byte"},
        {"\xC0\xAF", 2, 0, "invalid start byte"},
        {"\xF5\x80\x80\x80", 4, 0, "invalid start byte"},
        {"ok \xC3(", 5, 3, "invalid continuation byte"},
        {"\xE2\x82(", 3, 0, "invalid continuation byte"},
        {"\xED\xA0\x80", 3, 0, "invalid continuation byte"},
        {"\xF4\x90\x80\x80", 4, 0, "invalid continuation byte"},
        {"\xC3\xA9\xC3", 3, 2, "unexpected end of data"},
        {"12345678\xF0\x9F\x98", 11, 8, "unexpected end of data"},
        {"\xE0\x80", 2, 0, "invalid continuation byte"},
        {"a\xFF\x80", 3, 1, "invalid start byte"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ff_utf8_error error = {0};

        assert_false(
            ff_utf8_validate((const unsigned char *)cases[i].bytes, cases[i].count, &error));
        assert_int_equal(error.offset, cases[i].offset);
        assert_string_equal(ff_utf8_kind_text(error.kind), cases[i].text);
    }
}

/* Bytes mostly at the edges of the table's ranges, so that all ways of being wrong occur. */
static size_t make_bytes(unsigned char *bytes)
{
    static const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                          0xBF, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                          0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    size_t count = random_below(LENGTH_MAX) + 1;
    bool ascii = random_below(4) == 0;

    for (size_t i = 0; i < count; i++)
        bytes[i] = ascii && random_below(12) > 0 ? 'a' : edges[random_below(sizeof(edges))];
    return count;
}

static void validation_stops_at_the_first_ill_formed_unit(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char bytes[LENGTH_MAX];
        size_t count = make_bytes(bytes);
        struct ff_utf8_unit unit = {0};
        struct ff_utf8_error error = {0};
        size_t at = 0;
        bool valid = ff_utf8_validate(bytes, count, &error);

        while (at < count && unit.kind == FF_UTF8_OK) {
            unit = expected_unit(bytes + at, count - at);
            at += unit.kind == FF_UTF8_OK ? unit.bytes : 0;
        }
        assert_int_equal(valid, at == count);
        if (!valid) {
            assert_int_equal(error.offset, at);
            assert_int_equal(error.kind, unit.kind);
        }
    }
}

/* The least that the caller may know around a position: a copy, so that reads past it are found. */
static unsigned char *copy_window(const unsigned char *bytes, size_t from, size_t to)
{
    unsigned char *window = malloc(to - from + 1);

    assert_non_null(window);
    memcpy(window, bytes + from, to - from);
    return realloc(window, to > from ? to - from : 1);
}

/* first: the first boundary at or after position. */
static void check_boundary(const unsigned char *bytes, size_t count, size_t position, size_t first)
{
    size_t from = position < 3 ? 0 : position - 3;
    size_t to = count - position < 3 ? count : position + 3;
    unsigned char *window = copy_window(bytes, from, to);

    assert_int_equal(ff_utf8_boundary(bytes, count, position), first);
    assert_int_equal(from + ff_utf8_boundary(window, to - from, position - from), first);
    free(window);
}

static void check_before(const unsigned char *bytes, size_t boundary, size_t start)
{
    size_t from = boundary < 8 ? 0 : boundary - 8;
    unsigned char *window = copy_window(bytes, from, boundary);

    assert_int_equal(ff_utf8_before(bytes, boundary), start);
    assert_int_equal(from + ff_utf8_before(window, boundary - from), start);
    free(window);
}

static void boundaries_found_locally_are_those_found_from_the_start(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char bytes[LENGTH_MAX];
        size_t count = make_bytes(bytes);
        size_t start = 0;

        check_boundary(bytes, count, 0, 0);
        while (start < count) {
            size_t end = start + expected_unit(bytes + start, count - start).bytes;

            for (size_t position = start + 1; position <= end; position++)
                check_boundary(bytes, count, position, end);
            check_before(bytes, end, start);
            start = end;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_up_to_3_bytes_is_read_as_the_standard_says),
        cmocka_unit_test(every_scalar_value_is_decoded_and_nothing_is_read_past_it),
        cmocka_unit_test(validation_names_the_first_error_as_cpython_does),
        cmocka_unit_test(validation_stops_at_the_first_ill_formed_unit),
        cmocka_unit_test(boundaries_found_locally_are_those_found_from_the_start),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
