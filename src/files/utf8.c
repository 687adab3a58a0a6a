/* SPDX-License-Identifier: Apache-2.0 */
#include "files/utf8.h"

#include <string.h>

enum { UNIT_BYTES_MAX = 4, REPLACEMENT_CHARACTER = 0xFFFD };

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

static struct ff_utf8_unit ill_formed(size_t bytes, enum ff_utf8_kind kind)
{
    return (struct ff_utf8_unit){
        .code_point = REPLACEMENT_CHARACTER, .bytes = (uint8_t)bytes, .kind = (uint8_t)kind};
}

/*
 * Only the second byte has a range that depends on the first: it keeps out the overlong forms (E0,
 * F0), the surrogates (ED) and what lies past U+10FFFF (F4).
 */
struct ff_utf8_unit ff_utf8_decode(const unsigned char *bytes, size_t count)
{
    unsigned lead = bytes[0];
    unsigned length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t code_point = lead & (0x7FU >> length);

    if (lead < 0x80)
        return (struct ff_utf8_unit){.code_point = lead, .bytes = 1, .kind = FF_UTF8_OK};
    if (lead < 0xC2 || lead > 0xF4)
        return ill_formed(1, FF_UTF8_BAD_START);
    for (unsigned i = 1; i < length; i++) {
        if (i == count)
            return ill_formed(i, FF_UTF8_TRUNCATED);
        if (bytes[i] < low || bytes[i] > high)
            return ill_formed(i, FF_UTF8_BAD_CONTINUATION);
        code_point = code_point << 6 | (bytes[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    return (struct ff_utf8_unit){
        .code_point = code_point, .bytes = (uint8_t)length, .kind = FF_UTF8_OK};
}

/* How many ASCII bytes there are before the first other one, or a few less. */
static size_t skip_ascii(const unsigned char *bytes, size_t count)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    size_t i = 0;

    for (; count - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, bytes + i, sizeof(word));
        if (word & high_bits)
            break;
    }
    return i;
}

bool ff_utf8_validate(const unsigned char *bytes, size_t count, struct ff_utf8_error *error)
{
    size_t i = 0;

    while (i < count) {
        struct ff_utf8_unit unit;

        if (bytes[i] < 0x80) {
            size_t ascii = skip_ascii(bytes + i, count - i);

            i += ascii > 0 ? ascii : 1;
            continue;
        }
        unit = ff_utf8_decode(bytes + i, count - i);
        if (unit.kind != FF_UTF8_OK) {
            *error = (struct ff_utf8_error){.offset = i, .kind = unit.kind};
            return false;
        }
        i += unit.bytes;
    }
    return true;
}

const char *ff_utf8_kind_text(enum ff_utf8_kind kind)
{
    switch (kind) {
    case FF_UTF8_BAD_START:
        return "invalid start byte";
    case FF_UTF8_BAD_CONTINUATION:
        return "invalid continuation byte";
    case FF_UTF8_TRUNCATED:
        return "unexpected end of data";
    case FF_UTF8_OK:
        break;
    }
    return "well-formed";
}

/*
 * Where the unit starts that holds the byte at position, a continuation byte, if the byte that
 * begins a sequence is near enough to reach it; position otherwise: then the byte stands alone.
 * bytes end at count, which cuts no unit that holds the position.
 */
static size_t unit_around(const unsigned char *bytes, size_t count, size_t position)
{
    for (size_t back = 1; back < UNIT_BYTES_MAX && back <= position; back++) {
        size_t start = position - back;

        if (is_continuation(bytes[start]))
            continue;
        return ff_utf8_decode(bytes + start, count - start).bytes > back ? start : position;
    }
    return position;
}

size_t ff_utf8_boundary(const unsigned char *bytes, size_t count, size_t position)
{
    size_t start;

    if (position == count || !is_continuation(bytes[position]))
        return position;
    start = unit_around(bytes, count, position);
    return start == position ? position
                             : start + ff_utf8_decode(bytes + start, count - start).bytes;
}

/*
 * A unit whose sequence goes wrong at the boundary looks truncated here, as the bytes end there,
 * and has the same length.
 */
size_t ff_utf8_before(const unsigned char *bytes, size_t boundary)
{
    if (!is_continuation(bytes[boundary - 1]))
        return boundary - 1;
    return unit_around(bytes, boundary, boundary - 1);
}
