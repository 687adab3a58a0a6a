/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts as UTF-8.  str.encode() goes character by character as soon as one in the text is not ASCII;
 * in most texts they come in runs, of which many at once can be looked at and written.
 */
#include "native.h"

#include <string.h>

/* So many characters are looked at together. */
enum { RUN = 16 };

struct measure {
    size_t bytes;
    size_t surrogates;
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

static inline void add(struct measure *measure, Py_UCS4 character)
{
    measure->bytes +=
        (size_t)1 + (character >= 0x80) + (character >= 0x800) + (character >= 0x10000);
    measure->surrogates += (character & 0xfffff800) == 0xd800;
}

static inline __attribute__((always_inline)) struct measure measure(int kind, const void *data,
                                                                    size_t count)
{
    struct measure measure = {0};
    size_t i = 0;

    for (; i + RUN <= count; i += RUN) {
        if (is_ascii(kind, data, i))
            measure.bytes += RUN;
        else
            for (size_t k = 0; k < RUN; k++)
                add(&measure, PyUnicode_READ(kind, data, i + k));
    }
    for (; i < count; i++)
        add(&measure, PyUnicode_READ(kind, data, i));
    return measure;
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

static inline __attribute__((always_inline)) void write_text(int kind, const void *data,
                                                             size_t count, unsigned char *to)
{
    size_t i = 0;

    for (; i + RUN <= count; i += RUN) {
        if (is_ascii(kind, data, i)) {
            for (size_t k = 0; k < RUN; k++)
                to[k] = (unsigned char)PyUnicode_READ(kind, data, i + k);
            to += RUN;
        } else {
            for (size_t k = 0; k < RUN; k++)
                to = put(to, PyUnicode_READ(kind, data, i + k));
        }
    }
    for (; i < count; i++)
        to = put(to, PyUnicode_READ(kind, data, i));
}

/* With a constant for the kind, so that there is a loop for each. */
static struct measure measure_text(int kind, const void *data, size_t count)
{
    if (kind == PyUnicode_1BYTE_KIND)
        return measure(PyUnicode_1BYTE_KIND, data, count);
    if (kind == PyUnicode_2BYTE_KIND)
        return measure(PyUnicode_2BYTE_KIND, data, count);
    return measure(PyUnicode_4BYTE_KIND, data, count);
}

static void write_as(int kind, const void *data, size_t count, unsigned char *to)
{
    if (kind == PyUnicode_1BYTE_KIND)
        write_text(PyUnicode_1BYTE_KIND, data, count, to);
    else if (kind == PyUnicode_2BYTE_KIND)
        write_text(PyUnicode_2BYTE_KIND, data, count, to);
    else
        write_text(PyUnicode_4BYTE_KIND, data, count, to);
}

PyObject *ffpy_encode_text(PyObject *module, PyObject *args)
{
    PyObject *text;
    const char *errors;
    struct measure measured;
    PyObject *bytes;
    int kind;

    (void)module;
    if (!PyArg_ParseTuple(args, "Us", &text, &errors))
        return NULL;
    if (PyUnicode_IS_ASCII(text))
        return PyUnicode_AsUTF8String(text);
    kind = (int)PyUnicode_KIND(text);
    measured = measure_text(kind, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
    if (measured.surrogates > 0 || measured.bytes > PY_SSIZE_T_MAX)
        return PyUnicode_AsEncodedString(text, "utf-8", errors);
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)measured.bytes);
    if (bytes != NULL)
        write_as(kind, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text),
                 (unsigned char *)PyBytes_AS_STRING(bytes));
    return bytes;
}
