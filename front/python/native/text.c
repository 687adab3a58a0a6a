/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts as UTF-8.  str.encode() goes character by character as soon as one in the text is not ASCII;
 * in most texts they come in runs, of which many at once can be looked at and written.
 */
#include "native.h"

#include <string.h>

/* So many characters are looked at together. */
enum { RUN = 16 };

struct text {
    int kind;
    const void *data;
    size_t count;
};

/* Whether the characters of a run are all ASCII. */
static inline __attribute__((always_inline)) bool is_ascii(int kind, const void *data, size_t first)
{
    const uint64_t beyond = kind == PyUnicode_1BYTE_KIND   ? UINT64_C(0x8080808080808080)
                            : kind == PyUnicode_2BYTE_KIND ? UINT64_C(0xff80ff80ff80ff80)
                                                           : UINT64_C(0xffffff80ffffff80);
    uint64_t all = 0;

    for (size_t i = 0; i < RUN * (size_t)kind; i += sizeof(all)) {
        uint64_t word;

        memcpy(&word, (const char *)data + first * (size_t)kind + i, sizeof(word));
        all |= word;
    }
    return (all & beyond) == 0;
}

/* The characters of a run, as the compiler makes vectors of them. */
typedef uint8_t run_1 __attribute__((vector_size(RUN)));
typedef uint16_t run_2 __attribute__((vector_size(RUN * 2)));
typedef uint32_t run_4 __attribute__((vector_size(RUN * 4)));

/* A run of ASCII. */
static inline __attribute__((always_inline)) void write_ascii(int kind, const void *data,
                                                              size_t first, unsigned char *to)
{
    const char *from = (const char *)data + first * (size_t)kind;
    run_1 bytes;

    if (kind == PyUnicode_1BYTE_KIND) {
        memcpy(&bytes, from, sizeof(bytes));
    } else if (kind == PyUnicode_2BYTE_KIND) {
        run_2 characters;

        memcpy(&characters, from, sizeof(characters));
        bytes = __builtin_convertvector(characters, run_1);
    } else {
        run_4 characters;

        memcpy(&characters, from, sizeof(characters));
        bytes = __builtin_convertvector(characters, run_1);
    }
    memcpy(to, &bytes, sizeof(bytes));
}

static inline size_t bytes_of(Py_UCS4 character)
{
    return (size_t)1 + (character >= 0x80) + (character >= 0x800) + (character >= 0x10000);
}

static inline __attribute__((always_inline)) size_t measure(int kind, const void *data,
                                                            size_t count)
{
    size_t bytes = 0;
    size_t i = 0;

    for (; i + RUN <= count; i += RUN) {
        if (is_ascii(kind, data, i))
            bytes += RUN;
        else
            for (size_t k = 0; k < RUN; k++)
                bytes += bytes_of(PyUnicode_READ(kind, data, i + k));
    }
    for (; i < count; i++)
        bytes += bytes_of(PyUnicode_READ(kind, data, i));
    return bytes;
}

static inline unsigned char *put(unsigned char *to, Py_UCS4 character)
{
    if (character < 0x80) {
        *to++ = (unsigned char)character;
        return to;
    }
    if (character < 0x800) {
        *to++ = (unsigned char)(0xc0 | character >> 6);
    } else {
        if (character < 0x10000) {
            *to++ = (unsigned char)(0xe0 | character >> 12);
        } else {
            *to++ = (unsigned char)(0xf0 | character >> 18);
            *to++ = (unsigned char)(0x80 | (character >> 12 & 0x3f));
        }
        *to++ = (unsigned char)(0x80 | (character >> 6 & 0x3f));
    }
    *to++ = (unsigned char)(0x80 | (character & 0x3f));
    return to;
}

/* What write_text() returns instead of a number of bytes. */
#define NO_ROOM       ((size_t)-1)
#define HAS_SURROGATE ((size_t)-2)

/* So many bytes a run takes at most. */
enum { RUN_BYTES = 4 * RUN };

static inline __attribute__((always_inline)) bool is_surrogate(int kind, Py_UCS4 character)
{
    return kind != PyUnicode_1BYTE_KIND && (character & 0xfffff800) == 0xd800;
}

/* Room that was measured: nothing has to be looked at. */
#define ENOUGH ((size_t)-1)

/* How many bytes there are.  NO_ROOM if less is left of the room at any time than a run may take. */
static inline __attribute__((always_inline)) size_t
write_text(int kind, const void *data, size_t count, unsigned char *to, size_t room)
{
    unsigned char *at = to;
    bool has_surrogate = false;

    for (size_t i = 0; i < count; i += RUN) {
        size_t run = count - i < RUN ? count - i : RUN;

        if (room - (size_t)(at - to) < RUN_BYTES)
            return NO_ROOM;
        if (run == RUN && is_ascii(kind, data, i)) {
            write_ascii(kind, data, i, at);
            at += RUN;
            continue;
        }
        for (size_t k = 0; k < run; k++) {
            Py_UCS4 character = PyUnicode_READ(kind, data, i + k);

            has_surrogate |= is_surrogate(kind, character);
            at = put(at, character);
        }
    }
    return has_surrogate ? HAS_SURROGATE : (size_t)(at - to);
}

/* With a constant for the kind, so that there is a loop for each. */
static size_t measure_text(const struct text *text, size_t count)
{
    if (text->kind == PyUnicode_1BYTE_KIND)
        return measure(PyUnicode_1BYTE_KIND, text->data, count);
    if (text->kind == PyUnicode_2BYTE_KIND)
        return measure(PyUnicode_2BYTE_KIND, text->data, count);
    return measure(PyUnicode_4BYTE_KIND, text->data, count);
}

static size_t write_as(const struct text *text, char *to, size_t room)
{
    unsigned char *bytes = (unsigned char *)to;

    if (text->kind == PyUnicode_1BYTE_KIND)
        return write_text(PyUnicode_1BYTE_KIND, text->data, text->count, bytes, room);
    if (text->kind == PyUnicode_2BYTE_KIND)
        return write_text(PyUnicode_2BYTE_KIND, text->data, text->count, bytes, room);
    return write_text(PyUnicode_4BYTE_KIND, text->data, text->count, bytes, room);
}

/* ---- Room ---------------------------------------------------------------- */

/* The begin of a text tells about the rest; so much more may turn up in it. */
enum { SAMPLE = 16384, MORE_PART = 32 };

static struct text text_of(PyObject *object)
{
    return (struct text){.kind = (int)PyUnicode_KIND(object),
                         .data = PyUnicode_DATA(object),
                         .count = (size_t)PyUnicode_GET_LENGTH(object)};
}

static size_t guess_room(const struct text *text)
{
    size_t sample = text->count < SAMPLE ? text->count : SAMPLE;
    size_t each = sample > 0 ? measure_text(text, sample) * 64 / sample + 1 : 0;

    return text->count / 64 * each + each + text->count / MORE_PART + RUN_BYTES;
}

/* ---- Encoding ------------------------------------------------------------ */

PyObject *ffpy_encode_text(PyObject *module, PyObject *args)
{
    PyObject *object;
    const char *errors;
    PyObject *bytes;
    struct text text;

    (void)module;
    if (!PyArg_ParseTuple(args, "Us", &object, &errors))
        return NULL;
    if (PyUnicode_IS_ASCII(object))
        return PyUnicode_AsUTF8String(object);
    text = text_of(object);
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)measure_text(&text, text.count));
    if (bytes != NULL && write_as(&text, PyBytes_AS_STRING(bytes), ENOUGH) == HAS_SURROGATE) {
        Py_DECREF(bytes);
        return PyUnicode_AsEncodedString(object, "utf-8", errors);
    }
    return bytes;
}

/* A text that is ready to be copied: ASCII, or with surrogates.  A new reference, or NULL. */
static PyObject *encode_elsewhere(PyObject *object, const char *errors, const char **data,
                                  size_t *used)
{
    PyObject *bytes;

    if (PyUnicode_IS_ASCII(object)) {
        *data = PyUnicode_DATA(object);
        *used = (size_t)PyUnicode_GET_LENGTH(object);
        return Py_NewRef(object);
    }
    bytes = PyUnicode_AsEncodedString(object, "utf-8", errors);
    if (bytes != NULL) {
        *data = PyBytes_AS_STRING(bytes);
        *used = (size_t)PyBytes_GET_SIZE(bytes);
    }
    return bytes;
}

static forkfold_shared *copy_elsewhere(ffpy_pool *pool, PyObject *object, const char *errors,
                                       size_t *used)
{
    forkfold_shared *block = NULL;
    const char *data;
    PyObject *encoded = encode_elsewhere(object, errors, &data, used);

    if (encoded == NULL)
        return NULL;
    block = ffpy_spare_take(pool, *used + 1);
    if (block != NULL)
        memcpy(forkfold_shared_data(block), data, *used);
    Py_DECREF(encoded);
    return block;
}

static forkfold_shared *encode(ffpy_pool *pool, PyObject *object, size_t *used)
{
    struct text text = text_of(object);
    forkfold_shared *block = NULL;

    *used = NO_ROOM;
    for (unsigned i = 0; *used == NO_ROOM; i++) {
        size_t room = i == 0 ? guess_room(&text) : measure_text(&text, text.count);

        if (block != NULL)
            ffpy_spare_give(pool, block);
        block = ffpy_spare_take(pool, room);
        if (block == NULL)
            return NULL;
        *used = write_as(&text, forkfold_shared_data(block), i == 0 ? room : ENOUGH);
    }
    return block;
}

PyObject *ffpy_pool_encode(ffpy_pool *pool, PyObject *args)
{
    PyObject *object;
    const char *errors;
    forkfold_shared *block = NULL;
    size_t used = HAS_SURROGATE;

    if (!PyArg_ParseTuple(args, "Us", &object, &errors) || !ffpy_pool_check(pool))
        return NULL;
    if (!PyUnicode_IS_ASCII(object)) {
        block = encode(pool, object, &used);
        if (block == NULL)
            return NULL;
    }
    if (used == HAS_SURROGATE) {
        if (block != NULL)
            ffpy_spare_give(pool, block);
        block = copy_elsewhere(pool, object, errors, &used);
    }
    return block == NULL ? NULL : ffpy_array_of_block(pool, block, used);
}
