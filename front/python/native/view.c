/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the region as a buffer: who exports it, and what has to live as long. */
#include "native.h"

typedef struct {
    PyObject_HEAD char *data;
    Py_ssize_t bytes;
    bool writable;
    PyObject *owner; /* or NULL */
} view_object;

PyObject *ffpy_view_new(char *data, size_t bytes, bool writable, PyObject *owner)
{
    view_object *view = PyObject_New(view_object, &ffpy_view_type);

    if (view == NULL)
        return NULL;
    view->data = data;
    view->bytes = (Py_ssize_t)bytes;
    view->writable = writable;
    view->owner = Py_XNewRef(owner);
    return (PyObject *)view;
}

static void view_dealloc(PyObject *self)
{
    Py_XDECREF(((view_object *)self)->owner);
    PyObject_Free(self);
}

static int get_buffer(PyObject *self, Py_buffer *buffer, int flags)
{
    view_object *view = (view_object *)self;

    return PyBuffer_FillInfo(buffer, self, view->data, view->bytes, !view->writable, flags);
}

static PyBufferProcs as_buffer = {.bf_getbuffer = get_buffer};

PyTypeObject ffpy_view_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.View",
    .tp_basicsize = sizeof(view_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Memory that the processes of a pool share, as a buffer.",
    .tp_dealloc = view_dealloc,
    .tp_as_buffer = &as_buffer,
};
