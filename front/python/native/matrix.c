/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrices of floating-point numbers, as the job takes them: those of a buffer where they lie,
 * those of lists copied, to where workers see them if there is a pool.  Integers are copied as the
 * floating-point numbers that they are.
 */
#include "native.h"

#include <math.h>
#include <string.h>

/* Up to it every integer is a double; what is less after rounding was so before. */
#define EXACT_INTEGERS 0x1p53

/* ---- Making one ---------------------------------------------------------- */

static ffpy_matrix *make(uint64_t rows, uint64_t columns)
{
    ffpy_matrix *self = PyObject_New(ffpy_matrix, &ffpy_matrix_type);

    if (self == NULL)
        return NULL;
    memset(&self->view, 0, sizeof(self->view));
    self->memory = NULL;
    self->matrix = forkfold_matrix_of(NULL, FORKFOLD_F64, rows, columns);
    self->are_integers = false;
    self->greatest = 0;
    return self;
}

/* Memory for its elements.  False with an exception. */
static bool make_room(ffpy_matrix *self, ffpy_pool *pool)
{
    uint64_t bytes;

    if (__builtin_mul_overflow(self->matrix.rows, self->matrix.columns, &bytes) ||
        __builtin_mul_overflow(bytes, forkfold_type_bytes(self->matrix.type), &bytes) ||
        bytes >= PY_SSIZE_T_MAX) {
        PyErr_NoMemory();
        return false;
    }
    if (pool != NULL && bytes > 0) {
        self->memory = ffpy_array_new(pool, bytes);
        self->matrix.data = self->memory == NULL ? NULL : ((ffpy_array *)self->memory)->data;
    } else {
        /* An empty one would not be aligned. */
        self->memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)bytes + 1);
        self->matrix.data = self->memory == NULL ? NULL : PyByteArray_AS_STRING(self->memory);
    }
    return self->memory != NULL;
}

PyObject *ffpy_matrix_product(ffpy_pool *pool, const ffpy_matrix *left, const ffpy_matrix *right)
{
    ffpy_matrix *self = make(left->matrix.rows, right->matrix.columns);

    if (self == NULL)
        return NULL;
    self->matrix.type = left->matrix.type;
    self->are_integers = left->are_integers && right->are_integers;
    if (!make_room(self, pool))
        Py_CLEAR(self);
    return (PyObject *)self;
}

bool ffpy_matrix_is_exact(const ffpy_matrix *left, const ffpy_matrix *right)
{
    return (double)left->matrix.columns * left->greatest * right->greatest < EXACT_INTEGERS;
}

/* ---- Of lists ------------------------------------------------------------ */

/* False at what is no integer, or none that is a double. */
static bool copy_integers(PyObject *const *items, double *numbers, Py_ssize_t count,
                          double *greatest)
{
    double most = *greatest;

    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t number;
        double size;

        if (!ffpy_as_int64(items[i], &number))
            return false;
        numbers[i] = (double)number;
        size = fabs(numbers[i]);
        most = size > most ? size : most;
    }
    *greatest = most;
    return most < EXACT_INTEGERS;
}

static bool copy_rows(ffpy_matrix *self, PyObject *rows)
{
    Py_ssize_t columns = (Py_ssize_t)self->matrix.columns;

    for (Py_ssize_t i = 0; i < (Py_ssize_t)self->matrix.rows; i++) {
        PyObject *const *items = PySequence_Fast_ITEMS(PySequence_Fast_GET_ITEM(rows, i));
        double *numbers = (double *)self->matrix.data + i * columns;

        if (!(self->are_integers ? copy_integers(items, numbers, columns, &self->greatest)
                                 : ffpy_copy_floats(items, numbers, columns)))
            return false;
    }
    return true;
}

static bool is_row(PyObject *object)
{
    return PyList_Check(object) || PyTuple_Check(object);
}

/* Nothing runs between this and the copy that could change the rows. */
static bool check_rows(PyObject *rows, Py_ssize_t columns)
{
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(rows); i++) {
        PyObject *row = PySequence_Fast_GET_ITEM(rows, i);

        if (!is_row(row) || PySequence_Fast_GET_SIZE(row) != columns) {
            PyErr_Format(PyExc_ValueError, "row %zd is not a row of %zd numbers, as row 0 is", i,
                         columns);
            return false;
        }
    }
    return true;
}

/* None when they are not integers that are doubles, nor floats. */
static PyObject *from_rows(ffpy_pool *pool, PyObject *rows)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(rows);
    PyObject *first = count > 0 ? PySequence_Fast_GET_ITEM(rows, 0) : NULL;
    Py_ssize_t columns = first != NULL && is_row(first) ? PySequence_Fast_GET_SIZE(first) : 0;
    ffpy_matrix *self = make((uint64_t)count, (uint64_t)columns);

    if (self == NULL)
        return NULL;
    if (!make_room(self, pool) || !check_rows(rows, columns)) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    self->are_integers = columns == 0 || !PyFloat_CheckExact(PySequence_Fast_GET_ITEM(first, 0));
    if (copy_rows(self, rows))
        return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    Py_RETURN_NONE;
}

static PyObject *row_as_list(const ffpy_matrix *self, uint64_t row)
{
    const double *numbers = (const double *)self->matrix.data + row * self->matrix.columns;
    PyObject *list = PyList_New((Py_ssize_t)self->matrix.columns);

    for (Py_ssize_t i = 0; list != NULL && i < (Py_ssize_t)self->matrix.columns; i++) {
        PyObject *number = self->are_integers ? PyLong_FromLongLong((long long)numbers[i])
                                              : PyFloat_FromDouble(numbers[i]);

        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

/* Of one that was made here, which is without gaps, and of doubles. */
static PyObject *tolist(PyObject *object, PyObject *unused)
{
    const ffpy_matrix *self = (ffpy_matrix *)object;
    PyObject *rows;

    (void)unused;
    if (self->matrix.type != FORKFOLD_F64 || self->memory == NULL) {
        PyErr_SetString(PyExc_TypeError, "it is a view of a buffer");
        return NULL;
    }
    rows = PyList_New((Py_ssize_t)self->matrix.rows);
    for (Py_ssize_t i = 0; rows != NULL && i < (Py_ssize_t)self->matrix.rows; i++) {
        PyObject *row = row_as_list(self, (uint64_t)i);

        if (row == NULL)
            Py_CLEAR(rows);
        else
            PyList_SET_ITEM(rows, i, row);
    }
    return rows;
}

/* ---- Of and as buffers --------------------------------------------------- */

static bool is_in_step(const Py_buffer *view)
{
    return (uintptr_t)view->buf % (size_t)view->itemsize == 0 &&
           view->strides[0] % view->itemsize == 0 && view->strides[1] % view->itemsize == 0;
}

static PyObject *from_buffer(PyObject *object)
{
    ffpy_matrix *self = make(0, 0);
    Py_buffer *view;

    if (self == NULL)
        return NULL;
    view = &self->view;
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    if (view->ndim != 2 || !ffpy_type_of_format(view->format, view->itemsize, &self->matrix.type) ||
        (self->matrix.type != FORKFOLD_F64 && self->matrix.type != FORKFOLD_F32) ||
        !is_in_step(view)) {
        Py_DECREF((PyObject *)self);
        Py_RETURN_NONE;
    }
    self->matrix.data = view->buf;
    self->matrix.rows = (uint64_t)view->shape[0];
    self->matrix.columns = (uint64_t)view->shape[1];
    self->matrix.row_stride = view->strides[0] / view->itemsize;
    self->matrix.column_stride = view->strides[1] / view->itemsize;
    return (PyObject *)self;
}

/* What is asked of a product: all in rows, without gaps. */
static int get_buffer(PyObject *object, Py_buffer *buffer, int flags)
{
    ffpy_matrix *self = (ffpy_matrix *)object;
    Py_ssize_t each = (Py_ssize_t)forkfold_type_bytes(self->matrix.type);
    Py_ssize_t rows = (Py_ssize_t)self->matrix.rows;
    Py_ssize_t columns = (Py_ssize_t)self->matrix.columns;

    if (self->memory == NULL) {
        PyErr_SetString(PyExc_BufferError, "it is a view of another buffer");
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, object, self->matrix.data, rows * columns * each, 0, flags) < 0)
        return -1;
    self->shape[0] = rows;
    self->shape[1] = columns;
    self->strides[0] = columns * each;
    self->strides[1] = each;
    buffer->itemsize = each;
    if ((flags & PyBUF_FORMAT) != 0)
        buffer->format = (char *)(self->matrix.type == FORKFOLD_F64 ? "d" : "f");
    if ((flags & PyBUF_ND) != 0) {
        buffer->ndim = 2;
        buffer->shape = self->shape;
        buffer->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    }
    return 0;
}

/* ---- The object ---------------------------------------------------------- */

static void matrix_dealloc(PyObject *object)
{
    ffpy_matrix *self = (ffpy_matrix *)object;

    PyBuffer_Release(&self->view);
    Py_XDECREF(self->memory);
    PyObject_Free(object);
}

PyObject *ffpy_matrix_new(PyObject *module, PyObject *args)
{
    PyObject *data;
    ffpy_pool *pool;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O", ffpy_as_pool, &pool, &data))
        return NULL;
    return PyList_Check(data) || PyTuple_Check(data) ? from_rows(pool, data) : from_buffer(data);
}

static PyMethodDef methods[] = {
    {"tolist", tolist, METH_NOARGS, "The elements as lists, one for each row."},
    {NULL, NULL, 0, NULL},
};

static PyBufferProcs as_buffer = {.bf_getbuffer = get_buffer};

PyTypeObject ffpy_matrix_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Matrix",
    .tp_basicsize = sizeof(ffpy_matrix),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A matrix of floating-point numbers.",
    .tp_dealloc = matrix_dealloc,
    .tp_methods = methods,
    .tp_as_buffer = &as_buffer,
};
