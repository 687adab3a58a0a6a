/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of words as an object.
 *
 * Words are found by an index, which is made when the first one is looked for: open addressing,
 * numbers of words plus one in twice as many places as there are words, or more.
 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "arrow.h"

typedef struct {
    PyObject_HEAD struct ffpy_table table;
    PyObject *failures;
    uint64_t *index; /* or NULL */
    uint64_t mask;
} counts_object;

/* ---- The table ----------------------------------------------------------- */

static bool make_room(struct ffpy_table *table, uint64_t needed)
{
    char *grown;

    if (needed <= table->text_room)
        return true;
    grown = PyMem_RawRealloc(table->text, needed * 2);
    if (grown == NULL)
        return false;
    table->text = grown;
    table->text_room = needed * 2;
    return true;
}

static int add_word(struct ffpy_table *table, const forkfold_word *word)
{
    uint64_t used = (uint64_t)table->offsets[table->count];

    if (!make_room(table, used + word->key_bytes))
        return FORKFOLD_E_MEMORY;
    memcpy(table->text + used, word->key, word->key_bytes);
    table->counts[table->count++] = (int64_t)word->count;
    table->offsets[table->count] = (int64_t)(used + word->key_bytes);
    return 0;
}

static int read_words(struct ffpy_table *table, forkfold_words *words, uint64_t end)
{
    forkfold_word word;
    int code = 0;

    while (table->count < end && code == 0) {
        int more = forkfold_words_next(words, &word);

        if (more < 0)
            return more;
        if (more == 0)
            break;
        code = add_word(table, &word);
    }
    return code;
}

int ffpy_table_open(struct ffpy_table *table, forkfold_words *words)
{
    uint64_t most;

    table->totals = *forkfold_words_get_totals(words);
    most = table->totals.distinct;
    table->offsets = PyMem_RawMalloc((most + 1) * sizeof(*table->offsets));
    table->counts = PyMem_RawMalloc((most + 1) * sizeof(*table->counts));
    if (table->offsets == NULL || table->counts == NULL)
        return FORKFOLD_E_MEMORY;
    table->offsets[0] = 0;
    if (forkfold_words_detach(words) < 0)
        return read_words(table, words, most);
    table->words = words;
    return 0;
}

int ffpy_table_read(struct ffpy_table *table, uint64_t end)
{
    int code = 0;

    if (table->words != NULL)
        code = read_words(table, table->words, end);
    if (table->count == table->totals.distinct) {
        forkfold_words_close(table->words);
        table->words = NULL;
    }
    return code;
}

void ffpy_table_close(struct ffpy_table *table)
{
    forkfold_words_close(table->words);
    PyMem_RawFree(table->offsets);
    PyMem_RawFree(table->counts);
    PyMem_RawFree(table->text);
    *table = (struct ffpy_table){0};
}

/* With the GIL, which other threads need that use the same counts. */
static bool read_up_to(counts_object *self, uint64_t end)
{
    /* What is detached is in memory: there is nothing else that can go wrong. */
    if (ffpy_table_read(&self->table, end) == 0)
        return true;
    PyErr_NoMemory();
    return false;
}

static bool read_all(counts_object *self)
{
    return read_up_to(self, self->table.totals.distinct);
}

static const char *word_at(const struct ffpy_table *table, uint64_t number, size_t *bytes)
{
    *bytes = (size_t)(table->offsets[number + 1] - table->offsets[number]);
    return table->text + table->offsets[number];
}

/* ---- Looking up ---------------------------------------------------------- */

/* The place of the word, or the free one where it would be. */
static uint64_t *find_place(const counts_object *self, const char *word, size_t bytes)
{
    uint64_t at = XXH3_64bits(word, bytes) & self->mask;

    for (; self->index[at] != 0; at = (at + 1) & self->mask) {
        size_t found_bytes;
        const char *found = word_at(&self->table, self->index[at] - 1, &found_bytes);

        if (found_bytes == bytes && memcmp(found, word, bytes) == 0)
            break;
    }
    return &self->index[at];
}

static bool make_index(counts_object *self)
{
    uint64_t places = 8;

    if (!read_all(self))
        return false;
    while (places < 2 * self->table.count)
        places *= 2;
    self->index = PyMem_RawCalloc(places, sizeof(*self->index));
    if (self->index == NULL) {
        PyErr_NoMemory();
        return false;
    }
    self->mask = places - 1;
    for (uint64_t i = 0; i < self->table.count; i++) {
        size_t bytes;
        const char *word = word_at(&self->table, i, &bytes);

        *find_place(self, word, bytes) = i + 1;
    }
    return true;
}

static PyObject *counts_find(PyObject *object, PyObject *word)
{
    counts_object *self = (counts_object *)object;
    Py_ssize_t bytes;
    const char *text;
    uint64_t number;

    if (!PyUnicode_Check(word))
        Py_RETURN_NONE;
    if (self->index == NULL && !make_index(self))
        return NULL;
    text = PyUnicode_AsUTF8AndSize(word, &bytes);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        /* There is no such word in any text. */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    if (text == NULL)
        return NULL;
    number = *find_place(self, text, (size_t)bytes);
    if (number == 0)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(self->table.counts[number - 1]);
}

/* ---- As Python objects --------------------------------------------------- */

static bool is_ascii(const char *word, size_t bytes)
{
    uint64_t all = 0;
    size_t i = 0;

    for (; i + sizeof(all) <= bytes; i += sizeof(all)) {
        uint64_t part;

        memcpy(&part, word + i, sizeof(part));
        all |= part;
    }
    for (; i < bytes; i++)
        all |= (unsigned char)word[i];
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

static PyObject *word_object(const counts_object *self, uint64_t number)
{
    size_t bytes;
    const char *word = word_at(&self->table, number, &bytes);

    /* Of one character the interpreter has one object. */
    if (bytes > 1 && is_ascii(word, bytes)) {
        PyObject *made = PyUnicode_New((Py_ssize_t)bytes, 127);

        if (made != NULL)
            memcpy(PyUnicode_DATA(made), word, bytes);
        return made;
    }
    return PyUnicode_DecodeUTF8(word, (Py_ssize_t)bytes, NULL);
}

static PyObject *pair_object(const counts_object *self, uint64_t number)
{
    PyObject *word = word_object(self, number);

    return word == NULL ? NULL : Py_BuildValue("(NL)", word, (long long)self->table.counts[number]);
}

static PyObject *make_list(counts_object *self, PyObject *args,
                           PyObject *(*make)(const counts_object *self, uint64_t number))
{
    unsigned long long first;
    unsigned long long end;
    PyObject *list;

    if (!PyArg_ParseTuple(args, "KK", &first, &end))
        return NULL;
    if (end > self->table.totals.distinct)
        end = self->table.totals.distinct;
    if (first > end)
        first = end;
    if (!read_up_to(self, end))
        return NULL;
    list = PyList_New((Py_ssize_t)(end - first));
    for (uint64_t i = first; list != NULL && i < end; i++) {
        PyObject *made = make(self, i);

        if (made == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)(i - first), made);
    }
    return list;
}

static PyObject *counts_words(PyObject *object, PyObject *args)
{
    return make_list((counts_object *)object, args, word_object);
}

static PyObject *counts_pairs(PyObject *object, PyObject *args)
{
    return make_list((counts_object *)object, args, pair_object);
}

static PyObject *counts_to_dict(PyObject *object, PyObject *unused)
{
    counts_object *self = (counts_object *)object;
    PyObject *dict = read_all(self) ? PyDict_New() : NULL;

    (void)unused;
    for (uint64_t i = 0; dict != NULL && i < self->table.count; i++) {
        PyObject *word = word_object(self, i);
        PyObject *count = PyLong_FromLongLong(self->table.counts[i]);

        if (word == NULL || count == NULL || PyDict_SetItem(dict, word, count) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(word);
        Py_XDECREF(count);
    }
    return dict;
}

static PyObject *counts_arrow(PyObject *object, PyObject *unused)
{
    counts_object *self = (counts_object *)object;

    (void)unused;
    return read_all(self) ? ffpy_arrow_export(&self->table, object) : NULL;
}

/* ---- The object ---------------------------------------------------------- */

PyObject *ffpy_counts_new(struct ffpy_table *table, PyObject *failures)
{
    counts_object *self = PyObject_New(counts_object, &ffpy_counts_type);

    if (self == NULL) {
        ffpy_table_close(table);
        return NULL;
    }
    self->table = *table;
    self->failures = Py_NewRef(failures);
    self->index = NULL;
    self->mask = 0;
    *table = (struct ffpy_table){0};
    return (PyObject *)self;
}

static void counts_dealloc(PyObject *object)
{
    counts_object *self = (counts_object *)object;

    ffpy_table_close(&self->table);
    PyMem_RawFree(self->index);
    Py_DECREF(self->failures);
    PyObject_Free(object);
}

static Py_ssize_t counts_length(PyObject *object)
{
    return (Py_ssize_t)((counts_object *)object)->table.totals.distinct;
}

static PyObject *counts_failures(PyObject *object, void *unused)
{
    (void)unused;
    return Py_NewRef(((counts_object *)object)->failures);
}

static PyObject *counts_files(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((counts_object *)object)->table.totals.files);
}

static PyObject *counts_total(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((counts_object *)object)->table.totals.words);
}

static PyObject *counts_numbers(PyObject *object, void *unused)
{
    counts_object *self = (counts_object *)object;

    (void)unused;
    if (!read_all(self))
        return NULL;
    return ffpy_view_new((char *)self->table.counts, self->table.count * sizeof(int64_t), false,
                         object);
}

static PyMethodDef methods[] = {
    {"arrow", counts_arrow, METH_NOARGS, "Capsules of an Arrow schema and array."},
    {"find", counts_find, METH_O, "The count of a word, or None."},
    {"pairs", counts_pairs, METH_VARARGS, "(word, count) from one number up to another."},
    {"to_dict", counts_to_dict, METH_NOARGS, "All of them."},
    {"words", counts_words, METH_VARARGS, "The words from one number up to another."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"failures", counts_failures, NULL, "What is known of each input that failed.", NULL},
    {"files", counts_files, NULL, "How many were counted.", NULL},
    {"numbers", counts_numbers, NULL, "All counts, as integers of 64 bits in a buffer.", NULL},
    {"total", counts_total, NULL, "The sum of all counts.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods as_sequence = {.sq_length = counts_length};

PyTypeObject ffpy_counts_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Counts",
    .tp_basicsize = sizeof(counts_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Counts of words, most frequent first.",
    .tp_dealloc = counts_dealloc,
    .tp_as_sequence = &as_sequence,
    .tp_methods = methods,
    .tp_getset = attributes,
};
