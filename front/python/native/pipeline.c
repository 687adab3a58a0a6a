/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines of Python functions: batches of items that go from stage to stage, without the host's
 * reading what is in them.
 *
 * A batch is its items, each an entry and so many bytes: an encoded object, or what is known of the
 * exception that a stage has raised, which goes through all further stages as it is.  Large buffers
 * are part of the pickles.
 *
 * The package draws items when the last batch that it gave has been taken; the library copies that
 * before it asks for another, so there are two places for them.
 */
#include "native.h"

#include <string.h>

enum { PLACES = 2 };

typedef struct {
    PyObject_HEAD ffpy_pool *pool;
    forkfold_pipeline *pipeline;
    struct ffpy_bytes places[PLACES];
    unsigned place;  /* where the next batch goes */
    bool is_waiting; /* the batch in the place before has not been taken */
    bool has_ended;
} pipeline_object;

/* ---- Opening ------------------------------------------------------------- */

static int give_batch(void *user, const void **batch, size_t *bytes)
{
    pipeline_object *self = user;
    const struct ffpy_bytes *given = &self->places[(self->place + PLACES - 1) % PLACES];

    if (!self->is_waiting)
        return self->has_ended ? 0 : FORKFOLD_E_PENDING;
    self->is_waiting = false;
    *batch = given->data;
    *bytes = given->used;
    return 1;
}

/* From (pickled function, is shared, replicas); its context goes to bytes. */
static bool make_stage(ffpy_pool *pool, PyObject *tuple, unsigned number, struct ffpy_bytes *bytes,
                       forkfold_stage *stage)
{
    struct ffpy_context context = {.mode = FFPY_CALL, .timed_every = 1, .stage = number};
    char *pickle;
    Py_ssize_t length;
    int is_shared;

    if (!PyArg_ParseTuple(tuple, "y#pI", &pickle, &length, &is_shared, &stage->replicas))
        return false;
    context.serial = ++pool->last_serial;
    context.is_shared = (uint32_t)is_shared;
    if (!ffpy_bytes_add(bytes, &context, sizeof(context)) ||
        !ffpy_bytes_add(bytes, pickle, (size_t)length))
        return false;
    stage->function = ffpy_worker_run_batch;
    stage->context = bytes->data;
    stage->context_bytes = bytes->used;
    return true;
}

static bool open_pipeline(pipeline_object *self, PyObject *stages,
                          forkfold_pipeline_options *options, uint64_t timeout_ns)
{
    struct ffpy_bytes contexts[FORKFOLD_STAGES_MAX] = {0};
    bool done = true;
    int code = 0;

    for (unsigned i = 0; i < options->stage_count && done; i++) {
        done = make_stage(self->pool, PyTuple_GET_ITEM(stages, (Py_ssize_t)i), i, &contexts[i],
                          &options->stages[i]);
        options->stages[i].timeout_ns = timeout_ns;
        /* What dies is one of many items: the package runs them one by one. */
        options->stages[i].retries_plus_one = 1;
    }
    if (done)
        code = forkfold_pipeline_open(self->pool->pool, options, &self->pipeline);
    if (code < 0)
        ffpy_raise(self->pool, code, NULL);
    for (unsigned i = 0; i < options->stage_count; i++)
        ffpy_bytes_free(&contexts[i]);
    return done && code == 0;
}

PyObject *ffpy_pipeline_new(ffpy_pool *pool, PyObject *args)
{
    forkfold_pipeline_options options = {.source = give_batch};
    unsigned long long timeout_ns;
    pipeline_object *self;
    PyObject *stages;

    if (!PyArg_ParseTuple(args, "O!IpK", &PyTuple_Type, &stages, &options.depth, &options.unordered,
                          &timeout_ns) ||
        !ffpy_pool_check(pool))
        return NULL;
    if (PyTuple_GET_SIZE(stages) > FORKFOLD_STAGES_MAX)
        return PyErr_Format(PyExc_ValueError, "a pipeline has from 1 to %d stages, not %zd",
                            FORKFOLD_STAGES_MAX, PyTuple_GET_SIZE(stages));
    options.stage_count = (unsigned)PyTuple_GET_SIZE(stages);
    self = PyObject_New(pipeline_object, &ffpy_pipeline_type);
    if (self == NULL)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0, sizeof(*self) - sizeof(PyObject));
    self->pool = (ffpy_pool *)Py_NewRef((PyObject *)pool);
    pool->open_things++;
    pool->open_calls++;
    options.user = self;
    if (!open_pipeline(self, stages, &options, timeout_ns))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void pipeline_dealloc(PyObject *object)
{
    pipeline_object *self = (pipeline_object *)object;

    ffpy_pool_await(self->pool);
    if (self->pool->pool != NULL)
        forkfold_pipeline_close(self->pipeline);
    for (unsigned i = 0; i < PLACES; i++)
        ffpy_bytes_free(&self->places[i]);
    self->pool->open_calls--;
    ffpy_pool_drop(self->pool);
    Py_DECREF((PyObject *)self->pool);
    PyObject_Free(object);
}

/* ---- What goes in -------------------------------------------------------- */

static bool add_item(struct ffpy_bytes *bytes, PyObject *item)
{
    struct ffpy_placer placer = {.dumps = ffpy_helpers.dumps, .least = FFPY_NO_BUFFERS};
    struct ffpy_entry entry = {.outcome = FFPY_VALUE};
    size_t at = bytes->used;

    if (!ffpy_bytes_add(bytes, &entry, sizeof(entry)) || !ffpy_encode(bytes, item, &placer))
        return false;
    entry.bytes = bytes->used - at - sizeof(entry);
    memcpy(bytes->data + at, &entry, sizeof(entry));
    return true;
}

static PyObject *pipeline_put(PyObject *object, PyObject *list)
{
    pipeline_object *self = (pipeline_object *)object;
    struct ffpy_bytes *bytes = &self->places[self->place];

    if (!PyList_Check(list) || self->is_waiting)
        return PyErr_Format(PyExc_TypeError, "a list, when the one before has been taken");
    bytes->used = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(list, i));
        bool done = add_item(bytes, item);

        Py_DECREF(item);
        if (!done)
            return NULL;
    }
    self->place = (self->place + 1) % PLACES;
    self->is_waiting = true;
    Py_RETURN_NONE;
}

static PyObject *pipeline_end(PyObject *object, PyObject *unused)
{
    (void)unused;
    ((pipeline_object *)object)->has_ended = true;
    Py_RETURN_NONE;
}

static PyObject *pipeline_has_room(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(!((pipeline_object *)object)->is_waiting);
}

/* ---- What comes out ------------------------------------------------------ */

/* One value, or an exception, of which (position, stage) goes to errors. */
static bool read_entry(const struct ffpy_entry *entry, const char *data, PyObject *values,
                       PyObject *errors)
{
    Py_ssize_t position = PyList_GET_SIZE(values);
    PyObject *value = ffpy_decode(data, entry->bytes, &(struct ffpy_source){0});
    PyObject *place = NULL;
    bool done = value != NULL;

    if (done && entry->outcome != FFPY_VALUE) {
        Py_SETREF(value, ffpy_make_error(entry->outcome, value, (uint64_t)position));
        place = Py_BuildValue("(nI)", position, entry->stage);
        done = value != NULL && place != NULL && PyList_Append(errors, place) == 0;
    }
    done = done && PyList_Append(values, value) == 0;
    Py_XDECREF(place);
    Py_XDECREF(value);
    return done;
}

static bool read_batch(const forkfold_result *result, PyObject *values, PyObject *errors)
{
    const char *at = result->data;
    const char *end = at + result->bytes;
    struct ffpy_entry entry;

    while (ffpy_take_entry(&at, end, &entry))
        if (!read_entry(&entry, at - entry.bytes, values, errors))
            return false;
    return !PyErr_Occurred();
}

/* Of a batch that died: (number, None, (stage, exception)). */
static PyObject *tell_failure(const pipeline_object *self, uint64_t batch)
{
    const forkfold_item_failure *failure;

    for (unsigned stage = 0; stage < FORKFOLD_STAGES_MAX; stage++)
        for (size_t i = forkfold_pipeline_failure_count(self->pipeline, stage); i > 0; i--) {
            failure = forkfold_pipeline_failure(self->pipeline, stage, i - 1);
            if (failure->index == batch) {
                PyObject *error = ffpy_make_failed(failure, batch);

                return error == NULL ? NULL
                                     : Py_BuildValue("(KO(IN))", (unsigned long long)batch, Py_None,
                                                     stage, error);
            }
        }
    return PyErr_Format(PyExc_RuntimeError, "nothing is known of a batch that failed");
}

static PyObject *tell_batch(const forkfold_result *result)
{
    PyObject *values = PyList_New(0);
    PyObject *errors = PyList_New(0);
    PyObject *told = NULL;

    if (values != NULL && errors != NULL && read_batch(result, values, errors))
        told = Py_BuildValue("(KOO)", (unsigned long long)result->index, values, errors);
    Py_XDECREF(values);
    Py_XDECREF(errors);
    return told;
}

static PyObject *pipeline_take(PyObject *object, PyObject *unused)
{
    pipeline_object *self = (pipeline_object *)object;
    forkfold_result result;
    int code;

    (void)unused;
    if (ffpy_pool_is_lent(self->pool))
        Py_RETURN_NONE;
    if (!ffpy_pool_check(self->pool))
        return NULL;
    code = forkfold_pipeline_next_within(self->pipeline, &result, 0);
    if (code == FORKFOLD_E_PENDING)
        Py_RETURN_NONE;
    if (code < 0)
        return ffpy_raise(self->pool, code, NULL);
    if (code == 0)
        Py_RETURN_FALSE;
    return result.failed ? tell_failure(self, result.index) : tell_batch(&result);
}

static PyMethodDef methods[] = {
    {"end", pipeline_end, METH_NOARGS, "No more batches will be put."},
    {"put", pipeline_put, METH_O, "Gives a batch of items, if there is room for it."},
    {"take", pipeline_take, METH_NOARGS,
     "Moves batches on.  (number, values, [(position, stage) of exceptions among them]) of one "
     "that "
     "has come out, or (number, None, (stage, exception)); None when there is none yet, False "
     "after "
     "all."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"has_room", pipeline_has_room, NULL, "Whether the batch that was put last has been taken.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ffpy_pipeline_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Pipeline",
    .tp_basicsize = sizeof(pipeline_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Functions that batches go through one after the other.",
    .tp_dealloc = pipeline_dealloc,
    .tp_methods = methods,
    .tp_getset = attributes,
};
