/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the region that the host and all workers see at one address. */
#include "native.h"

#include <sys/mman.h>
#include <unistd.h>

void ffpy_lend_to_children(void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)data & ~(page - 1);
    uintptr_t end = ((uintptr_t)data + bytes + page - 1) & ~(page - 1);

    /* NOLINTNEXTLINE(performance-no-int-to-ptr): rounded to pages */
    (void)madvise((void *)first, end - first, MADV_DOFORK);
}

static void array_dealloc(PyObject *object)
{
    ffpy_array *self = (ffpy_array *)object;
    ffpy_array **link = &self->pool->arrays;

    ffpy_pool_await(self->pool);
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    if (self->pool->pool != NULL && self->is_spare)
        ffpy_spare_give(self->pool, self->shared);
    else if (self->pool->pool != NULL)
        forkfold_shared_close(self->shared);
    ffpy_pool_drop(self->pool);
    Py_DECREF((PyObject *)self->pool);
    PyObject_Free(object);
}

PyObject *ffpy_array_new(ffpy_pool *pool, uint64_t bytes)
{
    forkfold_shared *shared;
    int code;

    if (!ffpy_pool_check(pool))
        return NULL;
    code = forkfold_shared_open(pool->pool, FORKFOLD_RAW, bytes, &shared);
    if (code < 0)
        return ffpy_raise(pool, code, NULL);
    return ffpy_array_adopt(pool, shared);
}

PyObject *ffpy_array_adopt(ffpy_pool *pool, forkfold_shared *shared)
{
    ffpy_array *self = PyObject_New(ffpy_array, &ffpy_array_type);

    if (self == NULL) {
        forkfold_shared_close(shared);
        return NULL;
    }
    self->pool = (ffpy_pool *)Py_NewRef((PyObject *)pool);
    self->shared = shared;
    self->data = forkfold_shared_data(shared);
    self->bytes = forkfold_shared_count(shared) * forkfold_type_bytes(forkfold_shared_type(shared));
    self->is_spare = false;
    self->next = pool->arrays;
    pool->arrays = self;
    pool->open_things++;
    ffpy_lend_to_children(self->data, self->bytes);
    return (PyObject *)self;
}

PyObject *ffpy_array_of_block(ffpy_pool *pool, forkfold_shared *block, size_t bytes)
{
    PyObject *array = ffpy_array_adopt(pool, block);

    if (array != NULL)
        ((ffpy_array *)array)->bytes = bytes;
    return array;
}

bool ffpy_is_in_array(const ffpy_pool *pool, const char *data, size_t bytes)
{
    for (const ffpy_array *array = pool->arrays; array != NULL; array = array->next)
        if (data >= array->data && bytes <= array->bytes &&
            (size_t)(data - array->data) <= array->bytes - bytes)
            return true;
    return false;
}

static int get_buffer(PyObject *object, Py_buffer *buffer, int flags)
{
    ffpy_array *self = (ffpy_array *)object;

    return PyBuffer_FillInfo(buffer, object, self->data, (Py_ssize_t)self->bytes, 0, flags);
}

static PyBufferProcs as_buffer = {.bf_getbuffer = get_buffer};

PyTypeObject ffpy_array_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Array",
    .tp_basicsize = sizeof(ffpy_array),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Memory that the host and all workers see, as a buffer.",
    .tp_dealloc = array_dealloc,
    .tp_as_buffer = &as_buffer,
};
