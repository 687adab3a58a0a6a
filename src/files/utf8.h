/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict UTF-8 as CPython decodes it (Unicode Standard, table 3-7), in units.
 *
 * A unit is one well-formed character, or one maximal ill-formed part as
 * defined there ("U+FFFD substitution of maximal subparts"): what
 * errors='replace' turns into one U+FFFD.  Every byte that is not a
 * continuation byte (80..BF) starts a unit, so the unit that covers a position
 * can be found from at most 3 bytes before it.  Splitting relies on that: two
 * readers of neighbouring pieces agree on where the one ends and the other
 * starts, also in ill-formed text.
 */
#ifndef FF_FILES_UTF8_H
#define FF_FILES_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ff_utf8_kind {
    FF_UTF8_OK = 0,
    FF_UTF8_BAD_START,        /* CPython: "invalid start byte" */
    FF_UTF8_BAD_CONTINUATION, /* CPython: "invalid continuation byte" */
    FF_UTF8_TRUNCATED         /* CPython: "unexpected end of data" */
};

struct ff_utf8_unit {
    uint32_t code_point; /* U+FFFD when ill-formed */
    uint8_t bytes;       /* 1..4 (ill-formed: 1..3) */
    uint8_t kind;        /* enum ff_utf8_kind */
};

struct ff_utf8_error {
    size_t offset; /* of the first byte of the first ill-formed part */
    enum ff_utf8_kind kind;
};

/*
 * The unit at bytes[0], given count > 0 bytes.  FF_UTF8_TRUNCATED means that the bytes end inside a
 * sequence that is well-formed so far: read on if there is more input.
 */
struct ff_utf8_unit ff_utf8_decode(const unsigned char *bytes, size_t count);

/* Whether all of it is well-formed; otherwise *error says where it stops being so. */
bool ff_utf8_validate(const unsigned char *bytes, size_t count, struct ff_utf8_error *error);

/* CPython's words for the kind; static storage. */
const char *ff_utf8_kind_text(enum ff_utf8_kind kind);

/*
 * The first unit boundary at or after position, which is in 0..count, where
 * bytes[0] is the start of the input or at least 3 bytes before position, and
 * bytes holds at least 3 bytes after position or the end of the input.
 */
size_t ff_utf8_boundary(const unsigned char *bytes, size_t count, size_t position);

/*
 * The start of the unit that ends at boundary (a result of ff_utf8_boundary, > 0), where bytes[0]
 * is the start of the input or at least 8 bytes before boundary.
 */
size_t ff_utf8_before(const unsigned char *bytes, size_t boundary);

#endif
