/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

enum { ESCAPE_COLUMNS = 4 }; /* \xNN */

static const char hex_digits[] = "0123456789abcdef";

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xC0) == 0x80;
}

/*
 * The bytes of the code point at the start of text and its value, or 0 when
 * they are not well-formed UTF-8 (Unicode, table 3-7).
 */
static size_t code_point(const unsigned char *text, size_t count, uint32_t *value)
{
    unsigned char lead = text[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    *value = lead;
    if (length == 1)
        return 1;
    if (lead < 0xC2 || lead > 0xF4 || count < length)
        return 0;
    *value = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(text[i]))
            return 0;
        *value = *value << 6 | (text[i] & 0x3Fu);
    }
    if ((length == 3 && *value < 0x800) || (length == 4 && *value < 0x10000))
        return 0;
    if ((*value >= 0xD800 && *value <= 0xDFFF) || *value > 0x10FFFF)
        return 0;
    return length;
}

bool ff_cli_is_utf8(const char *text, size_t count)
{
    uint32_t value;

    while (count > 0) {
        size_t length = code_point((const unsigned char *)text, count, &value);

        if (length == 0)
            return false;
        text += length;
        count -= length;
    }
    return true;
}

/* C0, DEL and C1 controls, line separators, and the marks that change the writing direction. */
static bool is_unsafe(uint32_t value)
{
    return value < 0x20 || (value >= 0x7F && value <= 0x9F) || value == 0x061C || value == 0x200E ||
           value == 0x200F || (value >= 0x2028 && value <= 0x202E) ||
           (value >= 0x2066 && value <= 0x2069);
}

/* One unit of safe text: a code point that is shown as it is, or bytes that are escaped. */
struct glyph {
    size_t bytes;
    size_t columns;
    bool escaped;
};

/* Code points are wchar_t values with the GNU C library, whatever the locale. */
static size_t code_point_columns(uint32_t value)
{
    int columns = value < 0x80 ? 1 : wcwidth((wchar_t)value);

    return columns < 0 ? 1 : (size_t)columns;
}

static struct glyph next_glyph(const char *text, size_t count)
{
    uint32_t value;
    size_t length = code_point((const unsigned char *)text, count, &value);

    if (length == 0)
        return (struct glyph){.bytes = 1, .columns = ESCAPE_COLUMNS, .escaped = true};
    if (is_unsafe(value))
        return (struct glyph){.bytes = length, .columns = ESCAPE_COLUMNS * length, .escaped = true};
    return (struct glyph){.bytes = length, .columns = code_point_columns(value)};
}

static void write_glyph(struct ff_cli_writer *writer, const char *text, struct glyph glyph)
{
    if (!glyph.escaped) {
        ff_cli_write(writer, text, glyph.bytes);
        return;
    }
    for (size_t i = 0; i < glyph.bytes; i++) {
        ff_cli_write(writer, "\\x", 2);
        ff_cli_write_hex(writer, text + i, 1);
    }
}

void ff_cli_write_safe(struct ff_cli_writer *writer, const char *text, size_t count)
{
    while (count > 0) {
        struct glyph glyph = next_glyph(text, count);

        write_glyph(writer, text, glyph);
        text += glyph.bytes;
        count -= glyph.bytes;
    }
}

size_t ff_cli_safe_columns(const char *text, size_t count)
{
    size_t columns = 0;

    while (count > 0) {
        struct glyph glyph = next_glyph(text, count);

        columns += glyph.columns;
        text += glyph.bytes;
        count -= glyph.bytes;
    }
    return columns;
}

/* The bytes of the longest start of text that fits into columns. */
static size_t fitting_bytes(const char *text, size_t count, size_t columns)
{
    size_t fitting = 0;

    while (fitting < count) {
        struct glyph glyph = next_glyph(text + fitting, count - fitting);

        if (glyph.columns > columns)
            break;
        columns -= glyph.columns;
        fitting += glyph.bytes;
    }
    return fitting;
}

void ff_cli_write_safe_cut(struct ff_cli_writer *writer, const char *text, size_t count,
                           size_t columns)
{
    if (columns == 0)
        return;
    if (fitting_bytes(text, count, columns) == count) {
        ff_cli_write_safe(writer, text, count);
        return;
    }
    ff_cli_write_safe(writer, text, fitting_bytes(text, count, columns - 1));
    ff_cli_write_text(writer, "…");
}

static void write_json_byte(struct ff_cli_writer *writer, char byte)
{
    switch (byte) {
    case '"':
        ff_cli_write(writer, "\\\"", 2);
        break;
    case '\\':
        ff_cli_write(writer, "\\\\", 2);
        break;
    case '\n':
        ff_cli_write(writer, "\\n", 2);
        break;
    case '\t':
        ff_cli_write(writer, "\\t", 2);
        break;
    default:
        ff_cli_write(writer, "\\u00", 4);
        ff_cli_write_hex(writer, &byte, 1);
    }
}

static bool is_plain_json(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

void ff_cli_write_json_string(struct ff_cli_writer *writer, const char *text, size_t count)
{
    ff_cli_write(writer, "\"", 1);
    while (count > 0) {
        size_t length = 0;
        uint32_t value;

        while (length < count && is_plain_json((unsigned char)text[length]))
            length++;
        if (length > 0) {
            ff_cli_write(writer, text, length);
        } else if ((unsigned char)*text < 0x80) {
            write_json_byte(writer, *text);
            length = 1;
        } else if ((length = code_point((const unsigned char *)text, count, &value)) > 0) {
            ff_cli_write(writer, text, length);
        } else {
            ff_cli_write_text(writer, "\uFFFD");
            length = 1;
        }
        text += length;
        count -= length;
    }
    ff_cli_write(writer, "\"", 1);
}

void ff_cli_write_hex(struct ff_cli_writer *writer, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char pair[2] = {hex_digits[byte >> 4], hex_digits[byte & 15]};

        ff_cli_write(writer, pair, sizeof(pair));
    }
}

void ff_cli_size_text(char *text, uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    unsigned unit = 0;

    if (bytes < 1024) {
        snprintf(text, FF_CLI_SIZE_TEXT_BYTES, "%u B", (unsigned)bytes);
        return;
    }
    while (unit + 2 < sizeof(units) && bytes >> (10 * (unit + 2)) > 0)
        unit++;

    unsigned shift = 10 * (unit + 1);
    uint64_t tenths = ((bytes & ((UINT64_C(1) << shift) - 1)) * 10) >> shift;

    snprintf(text, FF_CLI_SIZE_TEXT_BYTES, "%u.%u %ciB", (unsigned)(bytes >> shift),
             (unsigned)tenths, units[unit]);
}
