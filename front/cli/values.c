/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include <string.h>

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Reads the digits at *text and moves it past them. */
static bool read_digits(const char **text, uint64_t *number)
{
    *number = 0;
    if (!is_digit(**text))
        return false;
    for (; is_digit(**text); (*text)++) {
        if (__builtin_mul_overflow(*number, UINT64_C(10), number) ||
            __builtin_add_overflow(*number, (uint64_t)(**text - '0'), number))
            return false;
    }
    return true;
}

bool ff_cli_parse_number(const char *text, uint64_t *number)
{
    uint64_t value;

    if (!read_digits(&text, &value) || *text != '\0')
        return false;
    *number = value;
    return true;
}

/* A decimal number: whole + fraction / scale, exact to eighteen digits after the point. */
struct decimal {
    uint64_t whole;
    uint64_t fraction;
    uint64_t scale;
};

static bool read_decimal(const char **text, struct decimal *decimal)
{
    *decimal = (struct decimal){.scale = 1};
    if (!read_digits(text, &decimal->whole))
        return false;
    if (**text != '.')
        return true;
    (*text)++;
    if (!is_digit(**text))
        return false;
    for (; is_digit(**text); (*text)++) {
        if (decimal->scale == UINT64_C(1000000000000000000))
            continue;
        decimal->fraction = decimal->fraction * 10 + (uint64_t)(**text - '0');
        decimal->scale *= 10;
    }
    return true;
}

static bool scale_decimal(const struct decimal *decimal, uint64_t unit, uint64_t *result)
{
    uint64_t value;
    __extension__ typedef unsigned __int128 wide;
    uint64_t part = (uint64_t)((wide)decimal->fraction * unit / decimal->scale);

    if (__builtin_mul_overflow(decimal->whole, unit, &value) ||
        __builtin_add_overflow(value, part, &value) || value > INT64_MAX)
        return false;
    /* Zero means "none" to the library, so that the smallest wish must not become it. */
    if (value == 0 && decimal->fraction > 0)
        value = 1;
    *result = value;
    return true;
}

struct unit {
    const char *suffix;
    uint64_t factor;
};

static bool parse_with_unit(const char *text, const struct unit *units, size_t count,
                            uint64_t *result)
{
    struct decimal decimal;

    if (!read_decimal(&text, &decimal))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].suffix) == 0)
            return scale_decimal(&decimal, units[i].factor, result);
    }
    return false;
}

bool ff_cli_parse_duration(const char *text, uint64_t *nanoseconds)
{
    static const struct unit units[] = {
        {"", UINT64_C(1000000000)},         {"s", UINT64_C(1000000000)},
        {"ms", UINT64_C(1000000)},          {"m", 60 * UINT64_C(1000000000)},
        {"h", 3600 * UINT64_C(1000000000)},
    };

    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), nanoseconds);
}

bool ff_cli_parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"K", UINT64_C(1) << 10},
        {"k", UINT64_C(1) << 10},
        {"M", UINT64_C(1) << 20},
        {"m", UINT64_C(1) << 20},
        {"G", UINT64_C(1) << 30},
        {"g", UINT64_C(1) << 30},
    };

    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), bytes);
}

enum { NAME_MAX_BYTES = 31 };

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance; both lengths are at most NAME_MAX_BYTES. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];

    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = smaller(row[j], smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], rows[(i - 2) % 3][j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *ff_cli_nearest(const char *word, const char *const *names, size_t count)
{
    size_t length = strlen(word);
    unsigned best = (unsigned)(length + 2) / 3 + 1;
    const char *nearest = NULL;

    if (length > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t name_length = strlen(names[i]);
        unsigned apart;

        if (name_length > NAME_MAX_BYTES)
            continue;
        apart = distance(word, length, names[i], name_length);
        if (apart < best && apart < name_length) {
            best = apart;
            nearest = names[i];
        }
    }
    return nearest;
}
