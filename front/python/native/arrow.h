/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Arrow C data interface, as far as a table of texts and integers needs it; the layouts are
 * those of https://arrow.apache.org/docs/format/CDataInterface.html.
 */
#ifndef FORKFOLD_PYTHON_ARROW_H
#define FORKFOLD_PYTHON_ARROW_H

#include "counts.h"

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *schema);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *array);
    void *private_data;
};

/* The table as (capsule of a schema, capsule of an array), which hold owner and copy nothing. */
PyObject *ffpy_arrow_export(const struct ffpy_table *table, PyObject *owner);

#endif
