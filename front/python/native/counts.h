/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of words: a table in the host's own memory, laid out as Arrow has a column of texts and
 * one of integers, most frequent first.  It is read from the result as far as somebody asks for it:
 * who wants the ten most frequent of a million words need not wait for the others.
 */
#ifndef FORKFOLD_PYTHON_COUNTS_H
#define FORKFOLD_PYTHON_COUNTS_H

#include "native.h"

struct ffpy_table {
    uint64_t count; /* words that have been read, of totals.distinct */
    int64_t
        *offsets; /* count + 1 of them: word i has the bytes from offsets[i] to offsets[i + 1] */
    int64_t *counts;
    char *text; /* all words, one behind the other, UTF-8 */
    uint64_t text_room;
    forkfold_words *words; /* the others, detached from their pool; NULL if there are none */
    forkfold_words_totals totals;
};

/*
 * Takes over a result, which need not have a pool from then on: words are read when they are asked
 * for, or now, if memory does not hold the result as it is.  0, or a code of the C library; words
 * are closed with the table in any case.  Needs no GIL.
 */
int ffpy_table_open(struct ffpy_table *table, forkfold_words *words);

/* Reads the first words, so many.  0, or a code of the C library.  Needs no GIL. */
int ffpy_table_read(struct ffpy_table *table, uint64_t end);
void ffpy_table_close(struct ffpy_table *table);

extern PyTypeObject ffpy_counts_type;

/* A Counts that owns the table from here on, also when this fails. */
PyObject *ffpy_counts_new(struct ffpy_table *table, PyObject *failures);

/* See count_words() in _native.pyi. */
PyObject *ffpy_count_words(PyObject *module, PyObject *args);

#endif
