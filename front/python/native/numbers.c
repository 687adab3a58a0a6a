/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers side by side, as the jobs take them: those of a buffer where they lie, those of a list
 * copied.  All are of one type; what is not of that type Python has to compute with.
 */
#include "native.h"

#include <string.h>

/* ---- Single numbers ------------------------------------------------------ */

bool ffpy_as_int64(PyObject *object, int64_t *number)
{
    int overflow = 0;

    if (!PyLong_CheckExact(object))
        return false;
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)object)) {
        *number = PyUnstable_Long_CompactValue((PyLongObject *)object);
        return true;
    }
#endif
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0;
}

/* ---- Buffers ------------------------------------------------------------- */

bool ffpy_type_of_format(const char *format, Py_ssize_t itemsize, enum forkfold_type *type)
{
    char code;

    if (format == NULL)
        format = "B";
    if (*format == '@' || *format == '=' || *format == (PY_BIG_ENDIAN ? '>' : '<'))
        format++;
    code = *format;
    if (code == '\0' || format[1] != '\0')
        return false;
    if (code == 'd' || code == 'f')
        *type = code == 'd' ? FORKFOLD_F64 : FORKFOLD_F32;
    else if (code == 'B')
        *type = FORKFOLD_U8;
    else if ((code == 'i' || code == 'l' || code == 'q') && (itemsize == 4 || itemsize == 8))
        *type = itemsize == 8 ? FORKFOLD_I64 : FORKFOLD_I32;
    else
        return false;
    return (size_t)itemsize == forkfold_type_bytes(*type);
}

/* One behind the other, and aligned. */
static bool lies_well(const Py_buffer *view)
{
    return (view->shape[0] < 2 || view->strides[0] == view->itemsize) &&
           (uintptr_t)view->buf % (size_t)view->itemsize == 0;
}

/* False with an exception. */
static bool copy_buffer(ffpy_numbers *self)
{
    self->copy = PyMem_RawMalloc((size_t)self->view.len + 1);
    if (self->copy == NULL) {
        PyErr_NoMemory();
        return false;
    }
    self->numbers.data = self->copy;
    return PyBuffer_ToContiguous(self->copy, &self->view, self->view.len, 'C') == 0;
}

/* 1, 0 when they are not of a type that the jobs know, -1 with an exception. */
static int take_buffer(ffpy_numbers *self, PyObject *object)
{
    if (PyObject_GetBuffer(object, &self->view, PyBUF_RECORDS_RO) < 0)
        return -1;
    if (self->view.ndim != 1 ||
        !ffpy_type_of_format(self->view.format, self->view.itemsize, &self->numbers.type))
        return 0;
    self->numbers.data = self->view.buf;
    self->numbers.count = (uint64_t)self->view.shape[0];
    if (lies_well(&self->view))
        return 1;
    return copy_buffer(self) ? 1 : -1;
}

/* ---- Lists --------------------------------------------------------------- */

static bool copy_integers(PyObject *const *items, int64_t *numbers, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++)
        if (!ffpy_as_int64(items[i], &numbers[i]))
            return false;
    return true;
}

bool ffpy_copy_floats(PyObject *const *items, double *numbers, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyFloat_CheckExact(items[i]))
            return false;
        numbers[i] = PyFloat_AS_DOUBLE(items[i]);
    }
    return true;
}

/* Likewise, of a list or tuple. */
static int take_list(ffpy_numbers *self, PyObject *list)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    PyObject *const *items = PySequence_Fast_ITEMS(list);
    bool are_floats = count > 0 && PyFloat_CheckExact(items[0]);

    if (count > 0 && !are_floats && !PyLong_CheckExact(items[0]))
        return 0;
    self->copy = PyMem_RawMalloc((size_t)count * sizeof(int64_t) + 1);
    if (self->copy == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->numbers = (forkfold_numbers){.data = self->copy,
                                       .type = are_floats ? FORKFOLD_F64 : FORKFOLD_I64,
                                       .count = (uint64_t)count};
    return are_floats ? ffpy_copy_floats(items, self->copy, count)
                      : copy_integers(items, self->copy, count);
}

/* ---- The object ---------------------------------------------------------- */

static void numbers_dealloc(PyObject *object)
{
    ffpy_numbers *self = (ffpy_numbers *)object;

    PyBuffer_Release(&self->view);
    PyMem_RawFree(self->copy);
    PyObject_Free(object);
}

PyObject *ffpy_numbers_new(PyObject *module, PyObject *data)
{
    ffpy_numbers *self = PyObject_New(ffpy_numbers, &ffpy_numbers_type);
    int taken;

    (void)module;
    if (self == NULL)
        return NULL;
    memset(&self->view, 0, sizeof(self->view));
    memset(&self->numbers, 0, sizeof(self->numbers));
    self->copy = NULL;
    if (PyList_Check(data) || PyTuple_Check(data))
        taken = take_list(self, data);
    else
        taken = take_buffer(self, data);
    if (taken == 1)
        return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    return taken < 0 ? NULL : Py_NewRef(Py_None);
}

PyTypeObject ffpy_numbers_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Numbers",
    .tp_basicsize = sizeof(ffpy_numbers),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Numbers of one type, side by side.",
    .tp_dealloc = numbers_dealloc,
};
