/* SPDX-License-Identifier: Apache-2.0 */
/* x * x + sin(x) * cos(x) of numbers in a list, where C comes to what Python comes to. */
#include "native.h"

#include <math.h>

/* Integers up to this are doubles, and their squares are rounded as Python rounds them. */
#define INTEGER_MOST (INT64_C(1) << 53)

/* False for what is computed by other operators, or raises. */
static bool as_double(PyObject *number, double *value)
{
    int64_t integer;

    if (PyFloat_CheckExact(number)) {
        *value = PyFloat_AS_DOUBLE(number);
        return isfinite(*value);
    }
    if (!ffpy_as_int64(number, &integer))
        return false;
    *value = (double)integer;
    return integer >= -INTEGER_MOST && integer <= INTEGER_MOST;
}

static bool map(ffpy_pool *pool, double *numbers, uint64_t count)
{
    bool done;

    if (!ffpy_pool_borrow(pool))
        return false;
    done = ffpy_pool_give_back(pool, forkfold_map_curve(pool->pool, numbers, count, numbers));
    ffpy_pool_drop(pool);
    return done;
}

static PyObject *as_list(const double *numbers, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);

    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyFloat_FromDouble(numbers[i]);

        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

PyObject *ffpy_pool_curve(ffpy_pool *pool, PyObject *list)
{
    Py_ssize_t count;
    PyObject *results = NULL;
    double *numbers;
    bool is_known = true;

    if (!PyList_Check(list))
        return PyErr_Format(PyExc_TypeError, "a list is needed, not %R", Py_TYPE(list));
    if (!ffpy_pool_check(pool))
        return NULL;
    count = PyList_GET_SIZE(list);
    numbers = PyMem_RawMalloc((size_t)count * sizeof(*numbers) + 1);
    if (numbers == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; is_known && i < count; i++)
        is_known = as_double(PyList_GET_ITEM(list, i), &numbers[i]);
    if (!is_known)
        results = Py_NewRef(Py_None);
    else if (map(pool, numbers, (uint64_t)count))
        results = as_list(numbers, count);
    PyMem_RawFree(numbers);
    return results;
}
