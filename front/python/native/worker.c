/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extension in a worker: running the user's function.
 *
 * A worker holds the GIL from its birth on.  Between two items it lets go of it if the user's
 * functions have started threads, for it may sleep there.
 */
#include "native.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Functions that were loaded lately, by their pickles; those that are the same however often. */
enum { FUNCTIONS_KEPT = 256 };

/* Memory for encoding that is kept from one item to the next. */
enum { SCRATCH_MOST = 1 << 20 };

static PyObject *functions;

static PyInterpreterState *interpreter;

/* The function of the call that the last item belonged to. */
static uint64_t current_serial;
static PyObject *current_function;

/* What the worker was started with. */
static const struct ffpy_start *birth;

/* The GIL was let go of. */
static PyThreadState *released;

/* Something was written to sys.stdout; flush() sends it on. */
static bool output_is_due;
static PyObject *flush_output;

/* ---- Birth --------------------------------------------------------------- */

int ffpy_worker_start(void *context)
{
    const struct ffpy_start *start = context;
    unsigned number = atomic_fetch_add_explicit(start->births, 1, memory_order_relaxed) + 1;
    int text_fd = memfd_create("forkfold-crash", MFD_CLOEXEC);
    PyObject *well;
    int failed;

    birth = start;
    PyOS_AfterFork_Child();
    interpreter = PyInterpreterState_Get();
    functions = PyDict_New();
    well = functions == NULL ? NULL
                             : PyObject_CallFunction(ffpy_helpers.start, "IiOO", number, text_fd,
                                                     start->initializer, start->initargs);
    failed = well == NULL || !PyObject_IsTrue(well);
    if (well == NULL)
        PyErr_Print();
    Py_XDECREF(well);
    return failed;
}

uint64_t ffpy_worker_pool(void)
{
    return birth == NULL ? 0 : (uint64_t)(uintptr_t)birth->births;
}

PyObject *ffpy_output_is_due(PyObject *module, PyObject *flush)
{
    (void)module;
    output_is_due = true;
    if (flush_output != flush)
        Py_XSETREF(flush_output, Py_NewRef(flush));
    Py_RETURN_NONE;
}

/* Before the result is seen, for the worker may be ended at any time after that. */
static void write_output(void)
{
    PyObject *done;

    if (__fpending(stdout) > 0)
        fflush(stdout);
    if (!output_is_due)
        return;
    output_is_due = false;
    done = PyObject_CallNoArgs(flush_output);
    if (done == NULL)
        PyErr_WriteUnraisable(flush_output);
    Py_XDECREF(done);
}

/* ---- Functions ----------------------------------------------------------- */

static PyObject *load_function(const char *pickle, size_t bytes)
{
    PyObject *memory = PyMemoryView_FromMemory((char *)pickle, (Py_ssize_t)bytes, PyBUF_READ);
    PyObject *function = NULL;

    if (memory != NULL)
        function = PyObject_CallFunction(ffpy_helpers.loads, "O()", memory);
    Py_XDECREF(memory);
    return function;
}

/* One that is the same however often it is loaded. */
static PyObject *find_function(const char *pickle, size_t bytes)
{
    PyObject *key = PyBytes_FromStringAndSize(pickle, (Py_ssize_t)bytes);
    PyObject *function = NULL;

    if (key != NULL)
        function = Py_XNewRef(PyDict_GetItemWithError(functions, key));
    if (key != NULL && function == NULL && !PyErr_Occurred()) {
        if (PyDict_GET_SIZE(functions) >= FUNCTIONS_KEPT)
            PyDict_Clear(functions);
        function = load_function(pickle, bytes);
        if (function != NULL && PyDict_SetItem(functions, key, function) < 0)
            Py_CLEAR(function);
    }
    Py_XDECREF(key);
    return function;
}

/* Borrowed; NULL with an exception. */
static PyObject *function_of(const forkfold_item *item)
{
    const struct ffpy_context *context = item->context;
    const char *pickle = (const char *)(context + 1);
    size_t bytes = item->context_bytes - sizeof(*context);

    if (context->serial != current_serial || current_function == NULL) {
        Py_CLEAR(current_function);
        current_function =
            context->is_shared ? find_function(pickle, bytes) : load_function(pickle, bytes);
        current_serial = context->serial;
    }
    return current_function;
}

/* ---- Calls --------------------------------------------------------------- */

static PyObject *call_star(PyObject *function, PyObject *argument)
{
    PyObject *tuple = PySequence_Tuple(argument);
    PyObject *result = tuple == NULL ? NULL : PyObject_CallObject(function, tuple);

    Py_XDECREF(tuple);
    return result;
}

/* The argument is (pickled function, whether it is shared, args, kwargs). */
static PyObject *call_applied(PyObject *argument)
{
    PyObject *pickle;
    PyObject *args;
    PyObject *kwargs;
    PyObject *function;
    PyObject *result;
    int is_shared;

    if (!PyArg_ParseTuple(argument, "SpOO", &pickle, &is_shared, &args, &kwargs))
        return NULL;
    function = (is_shared != 0 ? find_function : load_function)(PyBytes_AS_STRING(pickle),
                                                                (size_t)PyBytes_GET_SIZE(pickle));
    if (function == NULL)
        return NULL;
    result = PyObject_Call(function, args, kwargs == Py_None ? NULL : kwargs);
    Py_DECREF(function);
    return result;
}

static PyObject *call_function(const forkfold_item *item, PyObject *argument)
{
    const struct ffpy_context *context = item->context;
    PyObject *function;

    if (context->mode == FFPY_APPLY)
        return call_applied(argument);
    function = function_of(item);
    if (function == NULL)
        return NULL;
    return context->mode == FFPY_STAR ? call_star(function, argument)
                                      : PyObject_CallOneArg(function, argument);
}

/* Whether any of the views is referred to by somebody else than the list. */
static bool are_kept(PyObject *views)
{
    for (Py_ssize_t i = 0; views != NULL && i < PyList_GET_SIZE(views); i++)
        if (Py_REFCNT(PyList_GET_ITEM(views, i)) > 1)
            return true;
    return false;
}

/* Reference cycles, of a traceback say, keep what nobody needs. */
static bool are_kept_for_good(PyObject *views)
{
    if (!are_kept(views))
        return false;
    PyGC_Collect();
    return are_kept(views);
}

/* ---- Results ------------------------------------------------------------- */

struct outgoing {
    struct ffpy_placer placer;
    struct ffpy_bytes bytes; /* those of the item before, and given back if they are many */
    struct ffpy_header header;
    PyObject *views;
};

static size_t aligned(size_t bytes)
{
    return (bytes + FFPY_ALIGNMENT - 1) & ~(size_t)(FFPY_ALIGNMENT - 1);
}

/* Side by side behind the header; they are copied when there is a place for the result. */
static bool place_views(struct ffpy_placer *placer, PyObject *views)
{
    struct outgoing *out = (struct outgoing *)(void *)placer;
    Py_ssize_t count = PyList_GET_SIZE(views);
    size_t at = aligned(sizeof(out->header));

    placer->buffers = PyMem_RawMalloc((size_t)count * sizeof(*placer->buffers));
    if (placer->buffers == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t bytes = (size_t)PyMemoryView_GET_BUFFER(PyList_GET_ITEM(views, i))->len;

        placer->buffers[i] = (struct ffpy_buffer){.place = at, .bytes = bytes};
        at = aligned(at + bytes);
    }
    if (at / FFPY_ALIGNMENT > UINT32_MAX) {
        PyMem_RawFree(placer->buffers);
        placer->buffers = NULL;
        PyErr_NoMemory();
        return false;
    }
    out->header.blocks = (uint32_t)(at / FFPY_ALIGNMENT);
    Py_XSETREF(out->views, Py_NewRef(views));
    return true;
}

static void copy_views(char *result, PyObject *views)
{
    size_t at = aligned(sizeof(struct ffpy_header));

    for (Py_ssize_t i = 0; views != NULL && i < PyList_GET_SIZE(views); i++) {
        const Py_buffer *view = PyMemoryView_GET_BUFFER(PyList_GET_ITEM(views, i));

        memcpy(result + at, view->buf, (size_t)view->len);
        at = aligned(at + (size_t)view->len);
    }
}

/* views: of the item's own buffers, to which the result may have been the last to refer. */
static int publish(const forkfold_item *item, struct outgoing *out, PyObject *views)
{
    size_t encoded_at = ffpy_encoded_at(&out->header);
    size_t bytes = encoded_at + out->bytes.used;
    char *result = forkfold_item_reserve(item, bytes);

    if (result == NULL)
        return forkfold_item_fail(item, "there is no room for a result of %zu bytes", bytes);
    copy_views(result, out->views);
    memcpy(result + encoded_at, out->bytes.data, out->bytes.used);
    Py_CLEAR(out->views);
    /* Not copied as a whole: loading together what was stored in parts a moment ago takes long. */
    *(struct ffpy_header *)(void *)result = (struct ffpy_header){
        .busy_ns = out->header.busy_ns,
        .blocks = out->header.blocks,
        .outcome = out->header.outcome,
        .kept = are_kept_for_good(views),
    };
    return 0;
}

static bool encode_value(struct outgoing *out, PyObject *value)
{
    out->header.blocks = 0;
    out->bytes.used = 0;
    Py_CLEAR(out->views);
    return ffpy_encode(&out->bytes, value, &out->placer);
}

/* sys.exit() ends the call, and not the worker. */
static bool encode_exit(struct outgoing *out, PyObject *error)
{
    PyObject *code = PyObject_GetAttrString(error, "code");
    bool done = code != NULL && encode_value(out, code);

    Py_XDECREF(code);
    out->header.outcome = FFPY_EXIT;
    return done;
}

static PyObject *take_exception(void)
{
    PyObject *type;
    PyObject *value;
    PyObject *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* value: what was to be the result if it is not the function that failed but its encoding, or NULL. */
static bool encode_error(struct outgoing *out, PyObject *value)
{
    PyObject *error = take_exception();
    PyObject *packed = NULL;
    bool done = false;

    if (value == NULL && PyErr_GivenExceptionMatches(error, PyExc_SystemExit))
        done = encode_exit(out, error);
    if (!done) {
        PyErr_Clear();
        packed = PyObject_CallFunctionObjArgs(ffpy_helpers.pack_error, error, value, NULL);
        done = packed != NULL && encode_value(out, packed);
        out->header.outcome = FFPY_ERROR;
    }
    Py_XDECREF(packed);
    Py_XDECREF(error);
    return done;
}

/* ---- The item ------------------------------------------------------------ */

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Whether the interpreter has threads besides this one. */
static bool has_threads(void)
{
    PyThreadState *first = PyInterpreterState_ThreadHead(interpreter);

    return first != NULL && PyThreadState_Next(first) != NULL;
}

/* Calls the function and encodes what becomes of it.  False when not even that can be encoded. */
static bool run(const forkfold_item *item, struct outgoing *out, PyObject **views)
{
    struct ffpy_source source = {.views = views};
    PyObject *argument = ffpy_decode(item->arguments[0], item->argument_bytes[0], &source);
    PyObject *value = argument == NULL ? NULL : call_function(item, argument);
    bool done;

    Py_XDECREF(argument);
    done = value != NULL ? encode_value(out, value) : encode_error(out, NULL);
    if (!done && value != NULL)
        done = encode_error(out, value);
    Py_XDECREF(value);
    return done;
}

static int fail(const forkfold_item *item)
{
    PyErr_Print();
    return forkfold_item_fail(item, "neither its result nor its exception could be sent");
}

/* Reading the clock takes as long as a small function: of many items some are timed. */
static bool is_timed(const forkfold_item *item)
{
    const struct ffpy_context *context = item->context;

    return item->index % context->timed_every == 0;
}

/* A worker holds the GIL but between two items. */
static void hold_gil(void)
{
    if (released != NULL)
        PyEval_RestoreThread(released);
    released = NULL;
    ffpy_runs++;
}

static void let_gil_go(void)
{
    if (has_threads())
        released = PyEval_SaveThread();
}

int ffpy_worker_run(const forkfold_item *item)
{
    static struct ffpy_bytes scratch;
    struct outgoing out = {.placer = {.dumps = ffpy_helpers.dumps_result,
                                      .least = ffpy_share_bytes,
                                      .place = place_views},
                           .bytes = scratch};
    bool timed = is_timed(item);
    uint64_t begin_ns = timed ? clock_ns() : 0;
    PyObject *views = NULL;
    int code;

    hold_gil();
    code = run(item, &out, &views) ? 0 : 1;
    write_output();
    out.header.busy_ns = timed ? clock_ns() - begin_ns : FFPY_NOT_TIMED;
    code = code == 0 ? publish(item, &out, views) : fail(item);
    Py_XDECREF(views);
    Py_XDECREF(out.views);
    if (out.bytes.room > SCRATCH_MOST)
        ffpy_bytes_free(&out.bytes);
    scratch = out.bytes;
    let_gil_go();
    return code;
}

/* ---- Batches of a pipeline ----------------------------------------------- */

/* Calls the function on one item of a batch; what becomes of it goes to made. */
static bool run_entry(const forkfold_item *item, const char *data, size_t bytes,
                      struct outgoing *out, struct ffpy_bytes *made)
{
    const struct ffpy_context *context = item->context;
    PyObject *argument = ffpy_decode(data, bytes, &(struct ffpy_source){0});
    PyObject *value = argument == NULL ? NULL : call_function(item, argument);
    struct ffpy_entry entry = {.stage = (uint32_t)context->stage};
    bool done;

    Py_XDECREF(argument);
    out->header.outcome = FFPY_VALUE;
    done = value != NULL ? encode_value(out, value) : encode_error(out, NULL);
    if (!done && value != NULL)
        done = encode_error(out, value);
    Py_XDECREF(value);
    entry.outcome = out->header.outcome;
    entry.bytes = out->bytes.used;
    return done && ffpy_bytes_add(made, &entry, sizeof(entry)) &&
           ffpy_bytes_add(made, out->bytes.data, out->bytes.used);
}

static bool run_batch(const forkfold_item *item, struct outgoing *out, struct ffpy_bytes *made)
{
    const char *at = item->arguments[0];
    const char *end = at + item->argument_bytes[0];
    struct ffpy_entry entry;

    while (ffpy_take_entry(&at, end, &entry)) {
        const char *data = at - entry.bytes;
        bool done = entry.outcome == FFPY_VALUE ? run_entry(item, data, entry.bytes, out, made)
                                                : ffpy_bytes_add(made, &entry, sizeof(entry)) &&
                                                      ffpy_bytes_add(made, data, entry.bytes);

        if (!done)
            return false;
    }
    return !PyErr_Occurred();
}

static int publish_batch(const forkfold_item *item, const struct ffpy_bytes *made)
{
    char *result = forkfold_item_reserve(item, made->used);

    if (result == NULL)
        return forkfold_item_fail(item, "there is no room for a result of %zu bytes", made->used);
    memcpy(result, made->data, made->used);
    return 0;
}

int ffpy_worker_run_batch(const forkfold_item *item)
{
    static struct ffpy_bytes scratch[2];
    struct outgoing out = {.placer = {.dumps = ffpy_helpers.dumps_result, .least = FFPY_NO_BUFFERS},
                           .bytes = scratch[0]};
    int code;

    hold_gil();
    scratch[1].used = 0;
    code = run_batch(item, &out, &scratch[1]) ? 0 : 1;
    write_output();
    code = code == 0 ? publish_batch(item, &scratch[1]) : fail(item);
    scratch[0] = out.bytes;
    for (int i = 0; i < 2; i++)
        if (scratch[i].room > SCRATCH_MOST)
            ffpy_bytes_free(&scratch[i]);
    let_gil_go();
    return code;
}
