/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues: each batch of the library's is one encoded object, as so many items of a byte.
 *
 * In the process with the pool nothing here waits; the package does, for events of the pool.  In
 * a worker getting and putting wait without the GIL.
 *
 * A worker knows a queue by its address, and nobody knows which calls have been given that.  So a queue
 * that the process with the pool has forgotten is closed when there is no call.
 */
#include "native.h"

typedef struct {
    PyObject_HEAD ffpy_pool *pool; /* NULL in a worker */
    forkfold_queue *queue;         /* NULL once it is closed */
    unsigned producers;
    uint64_t held_since; /* what ffpy_runs was: an item of it is held if it still is */
    uint64_t returns;    /* of the item that was taken last */
} queue_object;

uint64_t ffpy_runs = 1;

/* ---- Opening and closing ------------------------------------------------- */

static PyObject *make_object(ffpy_pool *pool, forkfold_queue *queue, unsigned producers)
{
    queue_object *self = PyObject_New(queue_object, &ffpy_queue_type);

    if (self == NULL)
        return NULL;
    self->pool = (ffpy_pool *)Py_XNewRef((PyObject *)pool);
    self->queue = queue;
    self->producers = producers;
    self->held_since = 0;
    self->returns = 0;
    if (pool != NULL)
        pool->open_things++;
    return (PyObject *)self;
}

void ffpy_queues_close(ffpy_pool *pool)
{
    while (pool->forgotten_count > 0)
        forkfold_queue_close(pool->forgotten[--pool->forgotten_count]);
}

PyObject *ffpy_queue_new(ffpy_pool *pool, PyObject *args)
{
    forkfold_queue_options options = {.item_bytes = 1};
    unsigned long long batch_items;
    unsigned long long depth;
    forkfold_queue *queue;
    PyObject *self;
    int code;

    if (!PyArg_ParseTuple(args, "KKI", &depth, &batch_items, &options.producers) ||
        !ffpy_pool_check(pool))
        return NULL;
    if (pool->open_calls == 0)
        ffpy_queues_close(pool);
    options.depth = depth;
    options.batch_items = batch_items;
    code = forkfold_queue_open(pool->pool, &options, &queue);
    if (code < 0)
        return ffpy_raise(pool, code, NULL);
    self = make_object(pool, queue, options.producers);
    if (self == NULL)
        forkfold_queue_close(queue);
    return self;
}

/* See attach_queue() in _native.pyi. */
PyObject *ffpy_queue_attach(PyObject *module, PyObject *args)
{
    unsigned long long address;
    unsigned long long pool;

    (void)module;
    if (!PyArg_ParseTuple(args, "KK", &address, &pool))
        return NULL;
    if (pool != ffpy_worker_pool()) {
        PyErr_SetString(PyExc_ValueError, "a queue can be sent to workers of its own pool only");
        return NULL;
    }
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the region has the same addresses everywhere */
    return make_object(NULL, (forkfold_queue *)(uintptr_t)address, 0);
}

static void forget(queue_object *self)
{
    if (self->pool != NULL && self->queue != NULL && self->pool->pool != NULL)
        self->pool->forgotten[self->pool->forgotten_count++] = self->queue;
    self->queue = NULL;
}

static void queue_dealloc(PyObject *object)
{
    queue_object *self = (queue_object *)object;

    forget(self);
    if (self->pool != NULL)
        ffpy_pool_drop(self->pool);
    Py_XDECREF((PyObject *)self->pool);
    PyObject_Free(object);
}

/* False with an exception. */
static bool check(const queue_object *self)
{
    if (self->queue == NULL) {
        PyErr_SetString(PyExc_ValueError, "the queue is closed");
        return false;
    }
    return self->pool == NULL || ffpy_pool_check(self->pool);
}

/* While a job has the pool nothing can be put or got by its process, which waits as for anything else. */
static bool is_lent(const queue_object *self)
{
    return self->pool != NULL && ffpy_pool_is_lent(self->pool);
}

/* Raises what a code means. */
static PyObject *fail(const queue_object *self, int code)
{
    if (code == FORKFOLD_E_ENDED) {
        PyErr_SetNone(ffpy_helpers.queue_ended);
        return NULL;
    }
    return ffpy_raise(self->pool, code, NULL);
}

static PyObject *queue_end(PyObject *object, PyObject *number)
{
    queue_object *self = (queue_object *)object;
    unsigned long producer = PyLong_AsUnsignedLong(number);
    int code;

    if ((producer == (unsigned long)-1 && PyErr_Occurred()) || !check(self))
        return NULL;
    if (producer >= FORKFOLD_PRODUCERS_MAX)
        producer = FORKFOLD_PRODUCERS_MAX;
    code = forkfold_queue_end(self->queue, (unsigned)producer);
    if (code == FORKFOLD_E_INVALID)
        return PyErr_Format(PyExc_ValueError, "the queue has no producer %S", number);
    if (code < 0)
        return fail(self, code);
    if (self->pool != NULL)
        ffpy_pool_notify(self->pool);
    Py_RETURN_NONE;
}

static PyObject *queue_close(PyObject *object, PyObject *unused)
{
    queue_object *self = (queue_object *)object;

    (void)unused;
    if (self->pool != NULL)
        ffpy_pool_await(self->pool);
    if (self->queue == NULL || self->pool == NULL || self->pool->pool == NULL)
        Py_RETURN_NONE;
    for (unsigned i = 0; i < self->producers; i++)
        (void)forkfold_queue_end(self->queue, i);
    forget(self);
    ffpy_pool_notify(self->pool);
    Py_RETURN_NONE;
}

/* ---- Putting ------------------------------------------------------------- */

static PyObject *queue_encode(PyObject *object, PyObject *item)
{
    struct ffpy_placer placer = {.dumps = ffpy_helpers.dumps, .least = FFPY_NO_BUFFERS};
    struct ffpy_bytes bytes = {0};
    PyObject *encoded = NULL;

    (void)object;
    if (ffpy_encode(&bytes, item, &placer))
        encoded = PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.used);
    ffpy_bytes_free(&bytes);
    return encoded;
}

static PyObject *queue_put(PyObject *object, PyObject *args)
{
    queue_object *self = (queue_object *)object;
    unsigned long long timeout_ns;
    const char *data;
    Py_ssize_t bytes;
    int code;

    if (!PyArg_ParseTuple(args, "y#K", &data, &bytes, &timeout_ns))
        return NULL;
    if (is_lent(self))
        Py_RETURN_FALSE;
    if (!check(self))
        return NULL;
    if (self->pool != NULL) {
        code = forkfold_queue_put(self->queue, data, (uint64_t)bytes, 0);
    } else {
        Py_BEGIN_ALLOW_THREADS code =
            forkfold_queue_put(self->queue, data, (uint64_t)bytes, timeout_ns);
        Py_END_ALLOW_THREADS
    }
    if (code == FORKFOLD_E_PENDING)
        Py_RETURN_FALSE;
    if (code < 0)
        return fail(self, code);
    /* Others of this process may be waiting for it. */
    if (self->pool != NULL)
        ffpy_pool_notify(self->pool);
    Py_RETURN_TRUE;
}

/* ---- Getting ------------------------------------------------------------- */

static bool is_held(const queue_object *self)
{
    return self->held_since == ffpy_runs;
}

static PyObject *settle(queue_object *self, int (*how)(forkfold_queue *queue))
{
    int code;

    if (!check(self))
        return NULL;
    self->held_since = 0;
    code = how(self->queue);
    if (code < 0)
        return fail(self, code);
    if (self->pool != NULL)
        ffpy_pool_notify(self->pool);
    Py_RETURN_NONE;
}

static PyObject *queue_acknowledge(PyObject *object, PyObject *unused)
{
    (void)unused;
    return settle((queue_object *)object, forkfold_queue_acknowledge);
}

static PyObject *queue_give_back(PyObject *object, PyObject *unused)
{
    (void)unused;
    return settle((queue_object *)object, forkfold_queue_give_back);
}

/* One that cannot be decoded here cannot be anywhere else. */
static PyObject *decode(queue_object *self, const forkfold_batch *batch, bool keeps)
{
    PyObject *item = ffpy_decode(batch->items, batch->count, &(struct ffpy_source){0});

    self->returns = batch->returns;
    self->held_since = ffpy_runs;
    if (item == NULL || !keeps) {
        self->held_since = 0;
        (void)forkfold_queue_acknowledge(self->queue);
        if (self->pool != NULL)
            ffpy_pool_notify(self->pool);
    }
    return item == NULL ? NULL : Py_BuildValue("(N)", item);
}

static PyObject *queue_get(PyObject *object, PyObject *args)
{
    queue_object *self = (queue_object *)object;
    unsigned long long timeout_ns;
    forkfold_batch batch;
    int keeps;
    int code;

    if (!PyArg_ParseTuple(args, "Kp", &timeout_ns, &keeps))
        return NULL;
    if (is_lent(self))
        Py_RETURN_NONE;
    if (!check(self))
        return NULL;
    if (is_held(self) && !keeps) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a process holds one item of a queue at a time, and this one holds one");
        return NULL;
    }
    self->held_since = 0;
    if (self->pool != NULL) {
        code = forkfold_queue_get(self->queue, 0, &batch, 0);
    } else {
        Py_BEGIN_ALLOW_THREADS code = forkfold_queue_get(self->queue, 0, &batch, timeout_ns);
        Py_END_ALLOW_THREADS
    }
    if (code == FORKFOLD_E_PENDING)
        Py_RETURN_NONE;
    if (code <= 0)
        return fail(self, code == 0 ? FORKFOLD_E_ENDED : code);
    return decode(self, &batch, keeps != 0);
}

/* ---- The object ---------------------------------------------------------- */

/* For workers: where it is, and of which pool. */
static PyObject *queue_handle(PyObject *object, void *unused)
{
    const queue_object *self = (queue_object *)object;
    uint64_t pool =
        self->pool != NULL ? (uint64_t)(uintptr_t)self->pool->start.births : ffpy_worker_pool();

    (void)unused;
    if (!check(self))
        return NULL;
    return Py_BuildValue("(KK)", (unsigned long long)(uintptr_t)self->queue,
                         (unsigned long long)pool);
}

static PyObject *queue_returns(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((queue_object *)object)->returns);
}

static PyObject *queue_is_held(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(is_held((queue_object *)object));
}

static PyMethodDef methods[] = {
    {"acknowledge", queue_acknowledge, METH_NOARGS, "The item that is held is done with."},
    {"close", queue_close, METH_NOARGS, "Ends it, and has it freed when no call is left."},
    {"encode", queue_encode, METH_O, "An object as the bytes to put."},
    {"end", queue_end, METH_O, "A producer will put nothing more."},
    {"get", queue_get, METH_VARARGS,
     "(item,), or None when there was none in time; acknowledges the one that was held."},
    {"give_back", queue_give_back, METH_NOARGS, "The item that is held goes to another one."},
    {"put", queue_put, METH_VARARGS, "Whether there was room in time."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"handle", queue_handle, NULL, "What attach_queue() takes.", NULL},
    {"is_held", queue_is_held, NULL, "Whether this process holds an item.", NULL},
    {"returns", queue_returns, NULL, "How often the item was taken before that was taken last.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ffpy_queue_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Queue",
    .tp_basicsize = sizeof(queue_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A queue between the processes of a pool.",
    .tp_dealloc = queue_dealloc,
    .tp_methods = methods,
    .tp_getset = attributes,
};
