/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of words: a table in the host's own memory, laid out as Arrow has a column of texts and
 * one of integers, most frequent first.
 */
#ifndef FORKFOLD_PYTHON_COUNTS_H
#define FORKFOLD_PYTHON_COUNTS_H

#include "native.h"

struct ffpy_table {
    uint64_t count;
    int64_t
        *offsets; /* count + 1 of them: word i has the bytes from offsets[i] to offsets[i + 1] */
    int64_t *counts;
    char *text; /* all words, one behind the other, UTF-8 */
    forkfold_words_totals totals;
};

/* Reads all words.  0, or a code of the C library.  Needs no GIL. */
int ffpy_table_read(struct ffpy_table *table, forkfold_words *words);
void ffpy_table_free(struct ffpy_table *table);

extern PyTypeObject ffpy_counts_type;

/* A Counts that owns the table from here on, also when this fails. */
PyObject *ffpy_counts_new(struct ffpy_table *table, PyObject *failures);

/* See count_words() in _native.pyi. */
PyObject *ffpy_count_words(PyObject *module, PyObject *args);

#endif
