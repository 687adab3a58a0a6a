/* SPDX-License-Identifier: Apache-2.0 */
/* A table of counts as Arrow's columns "word" and "count". */
#include "arrow.h"

enum { COLUMNS = 2, BUFFERS_MOST = 3 };

/* ---- The schema ---------------------------------------------------------- */

struct schema_parts {
    struct ArrowSchema columns[COLUMNS];
    struct ArrowSchema *pointers[COLUMNS];
};

static void release_column_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    for (int i = 0; i < COLUMNS; i++)
        if (schema->children[i]->release != NULL)
            schema->children[i]->release(schema->children[i]);
    PyMem_RawFree(schema->private_data);
    schema->release = NULL;
}

static bool fill_schema(struct ArrowSchema *schema)
{
    struct schema_parts *parts = PyMem_RawCalloc(1, sizeof(*parts));

    if (parts == NULL)
        return false;
    /* Texts with offsets of 64 bits, and integers of 64 bits. */
    parts->columns[0] =
        (struct ArrowSchema){.format = "U", .name = "word", .release = release_column_schema};
    parts->columns[1] =
        (struct ArrowSchema){.format = "l", .name = "count", .release = release_column_schema};
    for (int i = 0; i < COLUMNS; i++)
        parts->pointers[i] = &parts->columns[i];
    *schema = (struct ArrowSchema){.format = "+s",
                                   .name = "",
                                   .n_children = COLUMNS,
                                   .children = parts->pointers,
                                   .release = release_schema,
                                   .private_data = parts};
    return true;
}

/* ---- The array ----------------------------------------------------------- */

/* Of one column, which whoever imports it may keep for longer than the other, or of both. */
struct array_parts {
    PyObject *owner;
    const void *buffers[BUFFERS_MOST];
    struct ArrowArray columns[COLUMNS];
    struct ArrowArray *pointers[COLUMNS];
};

/* By any thread, with the GIL or without. */
static void release_array(struct ArrowArray *array)
{
    struct array_parts *parts = array->private_data;
    PyGILState_STATE state;

    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->release != NULL)
            array->children[i]->release(array->children[i]);
    array->release = NULL;
    if (Py_IsInitialized()) {
        state = PyGILState_Ensure();
        Py_DECREF(parts->owner);
        PyGILState_Release(state);
    }
    PyMem_RawFree(parts);
}

static struct array_parts *fill_array(struct ArrowArray *array, uint64_t length, int64_t buffers,
                                      PyObject *owner)
{
    struct array_parts *parts = PyMem_RawCalloc(1, sizeof(*parts));

    if (parts == NULL)
        return NULL;
    parts->owner = Py_NewRef(owner);
    *array = (struct ArrowArray){.length = (int64_t)length,
                                 .n_buffers = buffers,
                                 .buffers = parts->buffers,
                                 .children = parts->pointers,
                                 .release = release_array,
                                 .private_data = parts};
    return parts;
}

/* On failure what is there is released.  The first buffer of each would say what is missing. */
static bool fill_columns(struct ArrowArray *array, const struct ffpy_table *table, PyObject *owner)
{
    struct array_parts *both = fill_array(array, table->count, 1, owner);
    struct array_parts *words;
    struct array_parts *counts;

    if (both == NULL)
        return false;
    words = fill_array(&both->columns[0], table->count, 3, owner);
    counts = fill_array(&both->columns[1], table->count, 2, owner);
    for (int i = 0; i < COLUMNS; i++)
        both->pointers[i] = &both->columns[i];
    array->n_children = COLUMNS;
    if (words == NULL || counts == NULL) {
        array->release(array);
        return false;
    }
    words->buffers[1] = table->offsets;
    words->buffers[2] = table->text;
    counts->buffers[1] = table->counts;
    return true;
}

/* ---- Capsules ------------------------------------------------------------ */

static void free_schema(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");

    if (schema->release != NULL)
        schema->release(schema);
    PyMem_RawFree(schema);
}

static void free_array(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");

    if (array->release != NULL)
        array->release(array);
    PyMem_RawFree(array);
}

static PyObject *schema_capsule(void)
{
    struct ArrowSchema *schema = PyMem_RawCalloc(1, sizeof(*schema));
    PyObject *capsule;

    if (schema == NULL || !fill_schema(schema)) {
        PyMem_RawFree(schema);
        return PyErr_NoMemory();
    }
    capsule = PyCapsule_New(schema, "arrow_schema", free_schema);
    if (capsule == NULL) {
        schema->release(schema);
        PyMem_RawFree(schema);
    }
    return capsule;
}

static PyObject *array_capsule(const struct ffpy_table *table, PyObject *owner)
{
    struct ArrowArray *array = PyMem_RawCalloc(1, sizeof(*array));
    PyObject *capsule;

    if (array == NULL || !fill_columns(array, table, owner)) {
        PyMem_RawFree(array);
        return PyErr_NoMemory();
    }
    capsule = PyCapsule_New(array, "arrow_array", free_array);
    if (capsule == NULL) {
        array->release(array);
        PyMem_RawFree(array);
    }
    return capsule;
}

PyObject *ffpy_arrow_export(const struct ffpy_table *table, PyObject *owner)
{
    PyObject *schema = schema_capsule();
    PyObject *array = schema == NULL ? NULL : array_capsule(table, owner);
    PyObject *pair = array == NULL ? NULL : PyTuple_Pack(2, schema, array);

    Py_XDECREF(schema);
    Py_XDECREF(array);
    return pair;
}
