/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python objects as bytes.
 *
 * The first byte says what follows.  Numbers, texts, bytes and tuples of them, and a list of them at
 * the top, are written down as they are, which takes a tenth of the time of a pickle; everything
 * else is pickled.  Only exact types are: a subclass may have a mind of its own.  A list inside of
 * something could be there twice, or contain itself, and that is for pickle to keep.
 */
#include "native.h"

#include <string.h>

enum tag {
    NONE = 'N',
    TRUE_ = 'T',
    FALSE_ = 'F',
    INTEGER = 'i',
    FLOAT = 'd',
    TEXT_1 = '1', /* the characters as they lie in memory, of 1, 2 or 4 bytes */
    TEXT_2 = '2',
    TEXT_4 = '4',
    BYTES = 'b',
    TUPLE = '(',
    LIST = '[',
    PICKLE = 'p',
    BUFFERS = 'P' /* a pickle, and where its buffers are */
};

enum { DEPTH_MAX = 4, ROOM_LEAST = 4096 };

/* ---- Bytes --------------------------------------------------------------- */

bool ffpy_bytes_reserve(struct ffpy_bytes *bytes, size_t more)
{
    size_t room = bytes->room > 0 ? bytes->room : ROOM_LEAST;
    char *grown;

    if (bytes->room - bytes->used >= more)
        return true;
    while (room - bytes->used < more) {
        if (room > SIZE_MAX / 2) {
            PyErr_NoMemory();
            return false;
        }
        room *= 2;
    }
    grown = PyMem_RawRealloc(bytes->data, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return false;
    }
    bytes->data = grown;
    bytes->room = room;
    return true;
}

bool ffpy_bytes_add(struct ffpy_bytes *bytes, const void *data, size_t count)
{
    if (!ffpy_bytes_reserve(bytes, count))
        return false;
    if (count > 0)
        memcpy(bytes->data + bytes->used, data, count);
    bytes->used += count;
    return true;
}

void ffpy_bytes_free(struct ffpy_bytes *bytes)
{
    PyMem_RawFree(bytes->data);
    *bytes = (struct ffpy_bytes){0};
}

static bool add_tag(struct ffpy_bytes *bytes, enum tag tag)
{
    char byte = (char)tag;

    return ffpy_bytes_add(bytes, &byte, 1);
}

static bool add_word(struct ffpy_bytes *bytes, enum tag tag, const void *word)
{
    if (!ffpy_bytes_reserve(bytes, 1 + sizeof(uint64_t)))
        return false;
    bytes->data[bytes->used] = (char)tag;
    memcpy(bytes->data + bytes->used + 1, word, sizeof(uint64_t));
    bytes->used += 1 + sizeof(uint64_t);
    return true;
}

static bool add_run(struct ffpy_bytes *bytes, enum tag tag, uint64_t count, const void *data,
                    size_t each)
{
    return add_word(bytes, tag, &count) && ffpy_bytes_add(bytes, data, count * each);
}

/* ---- Plain objects ------------------------------------------------------- */

/* Whether it was written: not plain, or not at all with an exception. */
enum written { NOT_PLAIN, WRITTEN, BROKEN };

static enum written as_written(bool done)
{
    return done ? WRITTEN : BROKEN;
}

static enum written write_plain(struct ffpy_bytes *bytes, PyObject *object, unsigned depth);

static enum written write_integer(struct ffpy_bytes *bytes, PyObject *object)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);

    if (overflow != 0)
        return NOT_PLAIN;
    return as_written(add_word(bytes, INTEGER, &value));
}

static enum written write_text(struct ffpy_bytes *bytes, PyObject *object)
{
    int kind = (int)PyUnicode_KIND(object);
    enum tag tag = kind == PyUnicode_1BYTE_KIND   ? TEXT_1
                   : kind == PyUnicode_2BYTE_KIND ? TEXT_2
                                                  : TEXT_4;

    return as_written(add_run(bytes, tag, (uint64_t)PyUnicode_GET_LENGTH(object),
                              PyUnicode_DATA(object), (size_t)kind));
}

static enum written write_items(struct ffpy_bytes *bytes, PyObject *object, enum tag tag,
                                unsigned depth)
{
    uint64_t count = (uint64_t)PySequence_Fast_GET_SIZE(object);
    enum written written = as_written(add_word(bytes, tag, &count));

    for (uint64_t i = 0; i < count && written == WRITTEN; i++)
        written = write_plain(bytes, PySequence_Fast_GET_ITEM(object, (Py_ssize_t)i), depth + 1);
    return written;
}

static enum written write_plain(struct ffpy_bytes *bytes, PyObject *object, unsigned depth)
{
    if (object == Py_None)
        return as_written(add_tag(bytes, NONE));
    if (object == Py_True || object == Py_False)
        return as_written(add_tag(bytes, object == Py_True ? TRUE_ : FALSE_));
    if (PyLong_CheckExact(object))
        return write_integer(bytes, object);
    if (PyFloat_CheckExact(object)) {
        double value = PyFloat_AS_DOUBLE(object);

        return as_written(add_word(bytes, FLOAT, &value));
    }
    if (PyUnicode_CheckExact(object))
        return write_text(bytes, object);
    if (PyBytes_CheckExact(object))
        return as_written(add_run(bytes, BYTES, (uint64_t)PyBytes_GET_SIZE(object),
                                  PyBytes_AS_STRING(object), 1));
    if (PyTuple_CheckExact(object) && depth < DEPTH_MAX)
        return write_items(bytes, object, TUPLE, depth);
    if (PyList_CheckExact(object) && depth == 0)
        return write_items(bytes, object, LIST, depth);
    return NOT_PLAIN;
}

/* ---- Pickles ------------------------------------------------------------- */

static bool write_pickle(struct ffpy_bytes *bytes, PyObject *pickle, PyObject *views,
                         struct ffpy_placer *placer)
{
    uint64_t count = (uint64_t)PyList_GET_SIZE(views);
    uint64_t length = (uint64_t)PyBytes_GET_SIZE(pickle);
    bool done;

    if (count == 0)
        return add_tag(bytes, PICKLE) && ffpy_bytes_add(bytes, PyBytes_AS_STRING(pickle), length);
    if (!placer->place(placer, views))
        return false;
    done = add_word(bytes, BUFFERS, &count) &&
           ffpy_bytes_add(bytes, placer->buffers, count * sizeof(*placer->buffers)) &&
           ffpy_bytes_add(bytes, PyBytes_AS_STRING(pickle), length);
    PyMem_RawFree(placer->buffers);
    placer->buffers = NULL;
    return done;
}

static bool encode_pickle(struct ffpy_bytes *bytes, PyObject *object, struct ffpy_placer *placer)
{
    PyObject *views = PyList_New(0);
    PyObject *pickle = NULL;
    bool done = false;

    if (views != NULL)
        pickle =
            PyObject_CallFunction(placer->dumps, "OnO", object, (Py_ssize_t)placer->least, views);
    if (pickle != NULL && !PyBytes_Check(pickle))
        PyErr_SetString(PyExc_TypeError, "a pickle is bytes");
    else if (pickle != NULL)
        done = write_pickle(bytes, pickle, views, placer);
    Py_XDECREF(pickle);
    Py_XDECREF(views);
    return done;
}

bool ffpy_encode(struct ffpy_bytes *bytes, PyObject *object, struct ffpy_placer *placer)
{
    size_t before = bytes->used;
    enum written written = write_plain(bytes, object, 0);

    if (written == NOT_PLAIN) {
        bytes->used = before;
        written = as_written(encode_pickle(bytes, object, placer));
    }
    if (written == BROKEN)
        bytes->used = before;
    return written == WRITTEN;
}

/* ---- Reading ------------------------------------------------------------- */

struct reader {
    const char *at;
    const char *end;
    const struct ffpy_source *source;
};

static PyObject *broken(void)
{
    PyErr_SetString(PyExc_RuntimeError, "what another process has written makes no sense");
    return NULL;
}

static bool take(struct reader *reader, void *to, size_t count)
{
    if ((size_t)(reader->end - reader->at) < count) {
        broken();
        return false;
    }
    memcpy(to, reader->at, count);
    reader->at += count;
    return true;
}

/* So many things of each bytes, which are passed over; NULL with an exception. */
static const char *take_run(struct reader *reader, uint64_t *count, size_t each)
{
    const char *run;

    if (!take(reader, count, sizeof(*count)))
        return NULL;
    if (*count > (uint64_t)(reader->end - reader->at) / each) {
        broken();
        return NULL;
    }
    run = reader->at;
    reader->at += *count * each;
    return run;
}

static PyObject *read_object(struct reader *reader);

static PyObject *read_text(struct reader *reader, int kind)
{
    uint64_t count;
    const char *run = take_run(reader, &count, (size_t)kind);

    return run == NULL ? NULL : PyUnicode_FromKindAndData(kind, run, (Py_ssize_t)count);
}

static PyObject *read_items(struct reader *reader, bool is_tuple)
{
    uint64_t count;
    PyObject *items;

    if (!take(reader, &count, sizeof(count)))
        return NULL;
    /* Each takes a byte at least. */
    if (count > (uint64_t)(reader->end - reader->at))
        return broken();
    items = is_tuple ? PyTuple_New((Py_ssize_t)count) : PyList_New((Py_ssize_t)count);
    for (uint64_t i = 0; items != NULL && i < count; i++) {
        PyObject *item = read_object(reader);

        if (item == NULL)
            Py_CLEAR(items);
        else if (is_tuple)
            PyTuple_SET_ITEM(items, (Py_ssize_t)i, item);
        else
            PyList_SET_ITEM(items, (Py_ssize_t)i, item);
    }
    return items;
}

static PyObject *load(const char *pickle, size_t bytes, PyObject *views)
{
    PyObject *memory = PyMemoryView_FromMemory((char *)pickle, (Py_ssize_t)bytes, PyBUF_READ);
    PyObject *object = NULL;

    if (memory != NULL)
        object = PyObject_CallFunctionObjArgs(ffpy_helpers.loads, memory, views, NULL);
    Py_XDECREF(memory);
    return object;
}

static PyObject *make_views(const struct ffpy_source *source, const char *run, uint64_t count)
{
    PyObject *views = PyList_New((Py_ssize_t)count);

    for (uint64_t i = 0; views != NULL && i < count; i++) {
        struct ffpy_buffer buffer;
        PyObject *view;

        memcpy(&buffer, run + i * sizeof(buffer), sizeof(buffer));
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the region has the same addresses everywhere */
        view = ffpy_view_new(source->base == NULL ? (char *)(uintptr_t)buffer.place
                                                  : (char *)source->base + buffer.place,
                             buffer.bytes, source->writable, source->owner);
        if (view != NULL && source->writable && source->lends)
            ffpy_lend_to_children((char *)source->base + buffer.place, buffer.bytes);
        if (view == NULL)
            Py_CLEAR(views);
        else
            PyList_SET_ITEM(views, (Py_ssize_t)i, view);
    }
    return views;
}

static PyObject *read_pickle(struct reader *reader, bool has_buffers)
{
    PyObject *views;
    PyObject *object;
    uint64_t count = 0;
    const char *run = reader->at;

    if (has_buffers)
        run = take_run(reader, &count, sizeof(struct ffpy_buffer));
    if (run == NULL)
        return NULL;
    views = make_views(reader->source, run, count);
    if (views == NULL)
        return NULL;
    object = load(reader->at, (size_t)(reader->end - reader->at), views);
    reader->at = reader->end;
    if (reader->source->views != NULL && count > 0)
        *reader->source->views = views;
    else
        Py_DECREF(views);
    return object;
}

static PyObject *read_number(struct reader *reader, bool is_float)
{
    long long integer;
    double number;

    if (is_float)
        return take(reader, &number, sizeof(number)) ? PyFloat_FromDouble(number) : NULL;
    return take(reader, &integer, sizeof(integer)) ? PyLong_FromLongLong(integer) : NULL;
}

static PyObject *read_object(struct reader *reader)
{
    const char *run;
    uint64_t count;
    char tag;

    if (!take(reader, &tag, 1))
        return NULL;
    switch (tag) {
    case NONE:
        return Py_NewRef(Py_None);
    case TRUE_:
        return Py_NewRef(Py_True);
    case FALSE_:
        return Py_NewRef(Py_False);
    case INTEGER:
    case FLOAT:
        return read_number(reader, tag == FLOAT);
    case TEXT_1:
        return read_text(reader, PyUnicode_1BYTE_KIND);
    case TEXT_2:
        return read_text(reader, PyUnicode_2BYTE_KIND);
    case TEXT_4:
        return read_text(reader, PyUnicode_4BYTE_KIND);
    case BYTES:
        run = take_run(reader, &count, 1);
        return run == NULL ? NULL : PyBytes_FromStringAndSize(run, (Py_ssize_t)count);
    case TUPLE:
    case LIST:
        return read_items(reader, tag == TUPLE);
    case PICKLE:
    case BUFFERS:
        return read_pickle(reader, tag == BUFFERS);
    default:
        return broken();
    }
}

bool ffpy_take_entry(const char **at, const char *end, struct ffpy_entry *entry)
{
    struct reader reader = {.at = *at, .end = end};

    if (*at == end || !take(&reader, entry, sizeof(*entry)))
        return false;
    if (entry->bytes > (uint64_t)(end - reader.at)) {
        broken();
        return false;
    }
    *at = reader.at + entry->bytes;
    return true;
}

PyObject *ffpy_decode(const char *data, size_t bytes, const struct ffpy_source *source)
{
    struct reader reader = {.at = data, .end = data + bytes, .source = source};

    return read_object(&reader);
}
