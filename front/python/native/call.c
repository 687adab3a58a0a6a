/* SPDX-License-Identifier: Apache-2.0 */
/* A call on items: encoding what it is given, and decoding what becomes of it. */
#include "native.h"

#include <string.h>

/* Of so many items each is timed, of more one in so many. */
enum { TIMED_ALL = 64, TIMED_EVERY = 16 };

/* Shared memory that is kept for the next call, at most. */
#define SPARE_BYTES (UINT64_C(256) << 20)

/* Likewise, memory of the host's own for encoding. */
enum { SCRATCH_MOST = 16 << 20 };

/* The items of a call as they are being encoded. */
struct items {
    struct ffpy_placer placer; /* first: place_views() finds the rest behind it */
    ffpy_pool *pool;
    struct ffpy_bytes bytes;
    struct ffpy_bytes offsets; /* of items in bytes: one more than there are items */
    uint64_t count;
    struct ffpy_blocks blocks; /* of large buffers */
    PyObject *placed;          /* (address, bytes) of a buffer -> where it was copied to; or NULL */
    PyObject *held; /* views of all of them, so that no address comes up twice; or NULL */
};

typedef struct {
    PyObject_HEAD ffpy_pool *pool;
    forkfold_call *call;
    bool is_imap;
    bool is_done;
    uint64_t first; /* see struct wishes */
    uint64_t count;
    struct ffpy_blocks blocks;
    bool is_kept;     /* a worker refers to its blocks */
    PyObject *held;   /* what keeps arrays alive that the items refer to; or NULL */
    uint64_t busy_ns; /* of so many of the results that were read */
    uint64_t timed;
    uint64_t read;
} call_object;

/* ---- Large buffers ------------------------------------------------------- */

/* Of about so many bytes, or NULL. */
static forkfold_shared *find_spare(struct ffpy_blocks *spare, uint64_t bytes)
{
    for (size_t i = 0; i < spare->count; i++) {
        forkfold_shared *block = spare->list[i];
        uint64_t size = forkfold_shared_count(block);

        if (size >= bytes && size <= bytes + bytes / 4) {
            spare->list[i] = spare->list[--spare->count];
            return block;
        }
    }
    return NULL;
}

forkfold_shared *ffpy_spare_take(ffpy_pool *pool, uint64_t bytes)
{
    forkfold_shared *block = find_spare(&pool->spare, bytes);
    int code = 0;

    if (block == NULL)
        code = forkfold_shared_open(pool->pool, FORKFOLD_RAW, bytes, &block);
    if (code < 0)
        ffpy_raise(pool, code, NULL);
    return code < 0 ? NULL : block;
}

static forkfold_shared *copy_out(struct items *items, const Py_buffer *view)
{
    forkfold_shared *block;

    /* Pickling may have let a job have it. */
    if (!ffpy_pool_check(items->pool))
        return NULL;
    block = ffpy_spare_take(items->pool, (uint64_t)view->len);
    if (block == NULL || !ffpy_blocks_add(&items->blocks, block))
        return NULL;
    memcpy(forkfold_shared_data(block), view->buf, (size_t)view->len);
    return block;
}

/* Where a buffer lies in the region; one that is there twice is copied once.  0 with an exception. */
static uint64_t place_buffer(struct items *items, PyObject *memory)
{
    const Py_buffer *view = PyMemoryView_GET_BUFFER(memory);

    if (ffpy_is_in_array(items->pool, view->buf, (size_t)view->len))
        return PyList_Append(items->held, memory) < 0 ? 0 : (uint64_t)(uintptr_t)view->buf;

    PyObject *key = Py_BuildValue("(nn)", (Py_ssize_t)view->buf, view->len);
    PyObject *known = key == NULL ? NULL : PyDict_GetItemWithError(items->placed, key);
    PyObject *place = NULL;
    uint64_t address = 0;

    if (known != NULL) {
        address = PyLong_AsUnsignedLongLong(known);
    } else if (key != NULL && !PyErr_Occurred()) {
        forkfold_shared *block = copy_out(items, view);

        address = block == NULL ? 0 : (uint64_t)(uintptr_t)forkfold_shared_data(block);
        place = block == NULL ? NULL : PyLong_FromUnsignedLongLong(address);
        if (place == NULL || PyDict_SetItem(items->placed, key, place) < 0 ||
            PyList_Append(items->held, memory) < 0)
            address = 0;
    }
    Py_XDECREF(place);
    Py_XDECREF(key);
    return address;
}

static bool place_views(struct ffpy_placer *placer, PyObject *views)
{
    struct items *items = (struct items *)(void *)placer;
    Py_ssize_t count = PyList_GET_SIZE(views);

    if (items->placed == NULL)
        items->placed = PyDict_New();
    if (items->held == NULL)
        items->held = PyList_New(0);
    if (items->placed == NULL || items->held == NULL)
        return false;
    placer->buffers = PyMem_RawMalloc((size_t)count * sizeof(*placer->buffers));
    if (placer->buffers == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *memory = PyList_GET_ITEM(views, i);

        placer->buffers[i].place = place_buffer(items, memory);
        placer->buffers[i].bytes = (uint64_t)PyMemoryView_GET_BUFFER(memory)->len;
        if (placer->buffers[i].place == 0) {
            PyMem_RawFree(placer->buffers);
            placer->buffers = NULL;
            return false;
        }
    }
    return true;
}

bool ffpy_blocks_add(struct ffpy_blocks *blocks, forkfold_shared *block)
{
    forkfold_shared **grown =
        PyMem_Realloc(blocks->list, (blocks->count + 1) * sizeof(forkfold_shared *));

    if (grown == NULL) {
        forkfold_shared_close(block);
        PyErr_NoMemory();
        return false;
    }
    blocks->list = grown;
    blocks->list[blocks->count++] = block;
    return true;
}

void ffpy_blocks_close(struct ffpy_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++)
        forkfold_shared_close(blocks->list[i]);
    PyMem_Free(blocks->list);
    *blocks = (struct ffpy_blocks){0};
}

static void move_blocks(struct ffpy_blocks *from, struct ffpy_blocks *to)
{
    while (from->count > 0)
        if (!ffpy_blocks_add(to, from->list[--from->count]))
            PyErr_Clear();
    ffpy_blocks_close(from);
}

/* Nobody reads them any more: so many stay for the next call. */
static void spare_blocks(struct ffpy_blocks *from, struct ffpy_blocks *spare)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < spare->count; i++)
        bytes += forkfold_shared_count(spare->list[i]);
    while (from->count > 0) {
        forkfold_shared *block = from->list[--from->count];

        bytes += forkfold_shared_count(block);
        if (bytes > SPARE_BYTES)
            forkfold_shared_close(block);
        else if (!ffpy_blocks_add(spare, block))
            PyErr_Clear();
    }
    ffpy_blocks_close(from);
}

void ffpy_spare_give(ffpy_pool *pool, forkfold_shared *block)
{
    struct ffpy_blocks blocks = {0};

    if (ffpy_blocks_add(&blocks, block))
        spare_blocks(&blocks, &pool->spare);
    else
        PyErr_Clear();
}

/* Memory for encoding goes back and forth: new memory would cost more than what is written to it. */
static void borrow_scratch(struct items *items)
{
    items->bytes = items->pool->scratch[0];
    items->offsets = items->pool->scratch[1];
    items->bytes.used = items->offsets.used = 0;
    items->pool->scratch[0] = items->pool->scratch[1] = (struct ffpy_bytes){0};
}

static void return_scratch(struct ffpy_bytes *bytes, struct ffpy_bytes *scratch)
{
    if (scratch->data == NULL && bytes->room <= SCRATCH_MOST)
        *scratch = *bytes;
    else
        ffpy_bytes_free(bytes);
}

static void free_items(struct items *items)
{
    return_scratch(&items->bytes, &items->pool->scratch[0]);
    return_scratch(&items->offsets, &items->pool->scratch[1]);
    ffpy_pool_await(items->pool);
    ffpy_blocks_close(&items->blocks);
    Py_XDECREF(items->placed);
    Py_XDECREF(items->held);
}

static bool add_offset(struct items *items)
{
    uint64_t offset = items->bytes.used;

    return ffpy_bytes_add(&items->offsets, &offset, sizeof(offset));
}

static bool encode_items(struct items *items, PyObject *list)
{
    items->count = (uint64_t)PyList_GET_SIZE(list);
    borrow_scratch(items);
    if (!add_offset(items))
        return false;
    for (uint64_t i = 0; i < items->count; i++) {
        PyObject *item;

        if (i >= (uint64_t)PyList_GET_SIZE(list)) {
            PyErr_SetString(PyExc_RuntimeError, "the list of items changed while it was pickled");
            return false;
        }
        item = Py_NewRef(PyList_GET_ITEM(list, (Py_ssize_t)i));
        bool done = ffpy_encode(&items->bytes, item, &items->placer) && add_offset(items);

        Py_DECREF(item);
        if (!done)
            return false;
    }
    return true;
}

/* ---- Beginning ----------------------------------------------------------- */

struct wishes {
    int is_imap; /* 0 = map, 1 = imap, 2 = imap_unordered */
    int mode;    /* enum ffpy_mode */
    Py_buffer function;
    int is_shared;
    PyObject *items;
    unsigned long long chunk;
    unsigned long long timeout_ns;
    unsigned long long deadline_ns;
    unsigned attempts;
    unsigned long long first; /* number of the first item, for what is said of items */
};

static bool parse(PyObject *args, struct wishes *wishes)
{
    return PyArg_ParseTuple(args, "iiy*pO!KKKIK", &wishes->is_imap, &wishes->mode,
                            &wishes->function, &wishes->is_shared, &PyList_Type, &wishes->items,
                            &wishes->chunk, &wishes->timeout_ns, &wishes->deadline_ns,
                            &wishes->attempts, &wishes->first);
}

static bool make_context(ffpy_pool *pool, const struct wishes *wishes, uint64_t count,
                         struct ffpy_bytes *bytes)
{
    struct ffpy_context context = {.serial = ++pool->last_serial,
                                   .mode = (uint32_t)wishes->mode,
                                   .is_shared = (uint32_t)wishes->is_shared,
                                   .timed_every = count < TIMED_ALL ? 1 : TIMED_EVERY};

    return ffpy_bytes_add(bytes, &context, sizeof(context)) &&
           ffpy_bytes_add(bytes, wishes->function.buf, (size_t)wishes->function.len);
}

static int begin(ffpy_pool *pool, const struct wishes *wishes, const struct items *items,
                 const struct ffpy_bytes *context, forkfold_call **call)
{
    forkfold_call_options options = {
        .function = ffpy_worker_run,
        .count = items->count,
        .arrays = {{.data = items->bytes.data,
                    .offsets = (const uint64_t *)(const void *)items->offsets.data}},
        .array_count = 1,
        .context = context->data,
        .context_bytes = context->used,
        .results_vary = 1,
        .chunk = wishes->chunk,
        .timeout_ns = wishes->timeout_ns,
        .deadline_ns = wishes->deadline_ns,
        .retries_plus_one = wishes->attempts,
        .buffer_items = items->count,
    };

    if (wishes->is_imap == 0)
        return forkfold_map_async(pool->pool, &options, call);
    if (wishes->is_imap == 1)
        return forkfold_imap(pool->pool, &options, call);
    return forkfold_imap_unordered(pool->pool, &options, call);
}

/* The call with all that belongs to it, which goes over to it; NULL with an exception. */
static PyObject *adopt(ffpy_pool *pool, const struct wishes *wishes, struct items *items,
                       forkfold_call *call)
{
    call_object *self = PyObject_New(call_object, &ffpy_call_type);

    if (self == NULL) {
        forkfold_call_close(call);
        return NULL;
    }
    self->pool = (ffpy_pool *)Py_NewRef((PyObject *)pool);
    self->call = call;
    self->is_imap = wishes->is_imap != 0;
    self->is_done = false;
    self->first = wishes->first;
    self->count = items->count;
    self->blocks = items->blocks;
    self->is_kept = false;
    self->held = items->held;
    items->held = NULL;
    self->busy_ns = self->timed = self->read = 0;
    items->blocks = (struct ffpy_blocks){0};
    pool->open_things++;
    pool->open_calls++;
    return (PyObject *)self;
}

PyObject *ffpy_call_begin(ffpy_pool *pool, PyObject *args)
{
    struct wishes wishes = {0};
    struct items items = {
        .placer = {.dumps = ffpy_helpers.dumps, .least = ffpy_share_bytes, .place = place_views},
        .pool = pool};
    struct ffpy_bytes context = {0};
    forkfold_call *call = NULL;
    PyObject *self = NULL;
    int code;

    if (!parse(args, &wishes))
        return NULL;
    if (ffpy_pool_check(pool) && encode_items(&items, wishes.items) &&
        make_context(pool, &wishes, items.count, &context) && ffpy_pool_check(pool)) {
        code = begin(pool, &wishes, &items, &context, &call);
        self = code < 0 ? ffpy_raise(pool, code, NULL) : adopt(pool, &wishes, &items, call);
    }
    PyBuffer_Release(&wishes.function);
    ffpy_bytes_free(&context);
    free_items(&items);
    return self;
}

/* ---- Ending -------------------------------------------------------------- */

/*
 * Blocks of a call that has not ended may still be read by workers: the library waits for them when
 * it needs the memory of the call again, but shared arrays are the host's to look after.
 */
static void call_dealloc(PyObject *object)
{
    call_object *self = (call_object *)object;
    bool is_over;

    ffpy_pool_await(self->pool);
    is_over = self->is_done || self->pool->pool == NULL;
    if (self->call != NULL && self->pool->pool != NULL)
        forkfold_call_close(self->call);
    if (self->pool->pool == NULL)
        PyMem_Free(self->blocks.list);
    else if (self->is_kept || !is_over)
        move_blocks(&self->blocks, &self->pool->kept);
    else
        spare_blocks(&self->blocks, &self->pool->spare);
    Py_XDECREF(self->held);
    self->pool->open_calls--;
    ffpy_pool_drop(self->pool);
    Py_DECREF((PyObject *)self->pool);
    PyObject_Free(object);
}

static PyObject *call_cancel(PyObject *object, PyObject *unused)
{
    call_object *self = (call_object *)object;

    (void)unused;
    ffpy_pool_await(self->pool);
    if (self->pool->pool != NULL)
        forkfold_call_cancel(self->call);
    Py_RETURN_NONE;
}

/* ---- Results ------------------------------------------------------------- */

PyObject *ffpy_make_failed(const forkfold_item_failure *failure, uint64_t index)
{
    return PyObject_CallFunction(ffpy_helpers.make_failed, "szKIiizz",
                                 forkfold_reason_name(failure->reason), failure->detail,
                                 (unsigned long long)index, failure->attempts, failure->signal,
                                 failure->exit_code, failure->backtrace, failure->text);
}

/* Of an item that failed; the newest are the last. */
static PyObject *find_failed(const call_object *self, uint64_t index)
{
    for (size_t i = forkfold_call_failure_count(self->call); i > 0; i--)
        if (forkfold_call_failure(self->call, i - 1)->index == index)
            return ffpy_make_failed(forkfold_call_failure(self->call, i - 1), self->first + index);
    return PyObject_CallFunction(ffpy_helpers.make_failed, "ssKIiizz", "error",
                                 "its result lies outside of the workers' memory",
                                 (unsigned long long)(self->first + index), 1, 0, -1, NULL, NULL);
}

PyObject *ffpy_make_error(uint32_t outcome, PyObject *value, uint64_t index)
{
    PyObject *error;

    if (outcome == FFPY_ERROR)
        return PyObject_CallOneArg(ffpy_helpers.load_error, value);
    error = PyObject_CallFunction(ffpy_helpers.make_failed, "sOKIiizz", "sys.exit", value,
                                  (unsigned long long)index, 1, 0, 0, NULL, NULL);
    return error;
}

/*
 * Results of a map live as long as the call, and their buffers are used where they lie; those of an
 * imap are gone with the next one, and are copied if there are buffers in them.
 */
static PyObject *decode_result(call_object *self, const forkfold_result *result,
                               const struct ffpy_header *header)
{
    size_t encoded_at = ffpy_encoded_at(header);
    const char *data = result->data;
    struct ffpy_source source = {
        .base = data, .writable = true, .lends = true, .owner = (PyObject *)self};
    PyObject *copy = NULL;
    PyObject *value;

    if (self->is_imap && header->blocks > 0) {
        copy = PyByteArray_FromStringAndSize(data, (Py_ssize_t)result->bytes);
        if (copy == NULL)
            return NULL;
        data = PyByteArray_AS_STRING(copy);
        source.base = data;
        source.owner = copy;
        source.lends = false;
    }
    value = ffpy_decode(data + encoded_at, result->bytes - encoded_at, &source);
    Py_XDECREF(copy);
    return value;
}

/* A value, or an exception object; NULL with an exception when it cannot be read. */
static PyObject *read_result(call_object *self, const forkfold_result *result, bool *is_error)
{
    struct ffpy_header header;
    PyObject *value;

    *is_error = true;
    if (result->failed)
        return find_failed(self, result->index);
    if (result->bytes < sizeof(header))
        return find_failed(self, result->index);
    memcpy(&header, result->data, sizeof(header));
    if (ffpy_encoded_at(&header) > result->bytes)
        return find_failed(self, result->index);
    self->is_kept |= header.kept != 0;
    if (header.busy_ns != FFPY_NOT_TIMED) {
        self->busy_ns += header.busy_ns;
        self->timed++;
    }
    self->read++;
    value = decode_result(self, result, &header);
    if (value == NULL || header.outcome == FFPY_VALUE) {
        *is_error = value == NULL;
        return value;
    }
    Py_SETREF(value, ffpy_make_error(header.outcome, value, self->first + result->index));
    return value;
}

/* An exception that says why a result cannot be read stands in its place. */
static PyObject *read_result_or_why(call_object *self, const forkfold_result *result,
                                    bool *is_error)
{
    PyObject *value = read_result(self, result, is_error);
    PyObject *type;
    PyObject *traceback;

    if (value != NULL || !PyErr_ExceptionMatches(PyExc_Exception))
        return value;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static bool call_check(const call_object *self, bool is_imap)
{
    if (self->pool->pool == NULL) {
        PyErr_SetString(PyExc_ValueError, "Pool not running");
        return false;
    }
    if (self->is_imap == is_imap)
        return true;
    PyErr_SetString(PyExc_TypeError, "another kind of call");
    return false;
}

static PyObject *call_done(PyObject *object, PyObject *unused)
{
    call_object *self = (call_object *)object;

    (void)unused;
    if (!call_check(self, false))
        return NULL;
    if (ffpy_pool_is_lent(self->pool))
        Py_RETURN_FALSE;
    return PyBool_FromLong(forkfold_call_wait(self->call, 0) != FORKFOLD_E_PENDING);
}

static bool append_number(PyObject *list, uint64_t number)
{
    PyObject *object = PyLong_FromUnsignedLongLong(number);
    bool is_added = object != NULL && PyList_Append(list, object) == 0;

    Py_XDECREF(object);
    return is_added;
}

/* (list, where in it those are that were raised): a function may also return an exception. */
static PyObject *call_results(PyObject *object, PyObject *unused)
{
    call_object *self = (call_object *)object;
    PyObject *raised;
    PyObject *list;
    int code;

    (void)unused;
    ffpy_pool_await(self->pool);
    if (!call_check(self, false))
        return NULL;
    code = forkfold_call_wait(self->call, 0);
    if (code < 0)
        return ffpy_raise(self->pool, code, forkfold_call_message(self->call));
    self->is_done = true;
    raised = PyList_New(0);
    list = raised == NULL ? NULL : PyList_New((Py_ssize_t)self->count);
    for (uint64_t i = 0; list != NULL && i < self->count; i++) {
        forkfold_result result;
        bool is_error;
        PyObject *value = NULL;

        /* Unpickling may have let a job have it. */
        ffpy_pool_await(self->pool);
        if (forkfold_call_result(self->call, i, &result) == 0)
            value = read_result_or_why(self, &result, &is_error);
        if (value == NULL || (is_error && !append_number(raised, i))) {
            Py_XDECREF(value);
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, value);
    }
    if (list == NULL) {
        Py_XDECREF(raised);
        return NULL;
    }
    return Py_BuildValue("(NN)", list, raised);
}

static PyObject *call_take(PyObject *object, PyObject *unused)
{
    call_object *self = (call_object *)object;
    forkfold_result result;
    PyObject *value;
    bool is_error;
    int code;

    (void)unused;
    if (!call_check(self, true))
        return NULL;
    if (ffpy_pool_is_lent(self->pool))
        Py_RETURN_NONE;
    code = forkfold_call_next_within(self->call, &result, 0);
    if (code == FORKFOLD_E_PENDING)
        Py_RETURN_NONE;
    if (code < 0)
        return ffpy_raise(self->pool, code, forkfold_call_message(self->call));
    if (code == 0) {
        self->is_done = true;
        Py_RETURN_FALSE;
    }
    value = read_result_or_why(self, &result, &is_error);
    if (value == NULL)
        return NULL;
    return Py_BuildValue("(KNO)", (unsigned long long)(self->first + result.index), value,
                         is_error ? Py_True : Py_False);
}

static PyObject *call_busy_ns(PyObject *object, void *unused)
{
    const call_object *self = (call_object *)object;
    double each = self->timed == 0 ? 0 : (double)self->busy_ns / (double)self->timed;

    (void)unused;
    return PyLong_FromDouble(each * (double)self->read);
}

static PyMethodDef methods[] = {
    {"cancel", call_cancel, METH_NOARGS, "Ends it without a result, unless it is done."},
    {"done", call_done, METH_NOARGS, "Whether a map is over, well or not."},
    {"results", call_results, METH_NOARGS,
     "Of a map that is over: the results, and where among them those are that were raised."},
    {"take", call_take, METH_NOARGS,
     "Of an imap: (number of the item, value, is it an exception); None when there is none yet, "
     "False after all."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"busy_ns", call_busy_ns, NULL, "How long the items took whose results have been read.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ffpy_call_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Call",
    .tp_basicsize = sizeof(call_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "A call of a function on items.",
    .tp_dealloc = call_dealloc,
    .tp_methods = methods,
    .tp_getset = attributes,
};
