/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting words, without the GIL: on a pool of workers that know nothing of Python, for this call
 * alone, or on one that is there.  That is held for as long (is_counting): other threads find it busy.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "counts.h"

struct counting {
    PyObject *held; /* the ffpy_pool, or NULL: one of its own */
    forkfold_pool *pool;
    const char **paths;
    Py_buffer text;
    forkfold_words_options options;
    forkfold_pool_options own;
    int cancel_fd;
    forkfold_words *words;
    struct ffpy_table table;
    char message[1024];
};

static ffpy_pool *held_pool(const struct counting *counting)
{
    return (ffpy_pool *)counting->held;
}

/* ---- Arguments ----------------------------------------------------------- */

/* Borrows the bytes of the list. */
static bool take_paths(struct counting *counting, PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);

    counting->paths = PyMem_Calloc((size_t)count + 1, sizeof(char *));
    if (counting->paths == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        char *path;

        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(list, i), &path, NULL) < 0)
            return false;
        counting->paths[i] = path;
    }
    counting->options.paths = counting->paths;
    counting->options.path_count = (size_t)count;
    return true;
}

static bool parse(struct counting *counting, PyObject *args)
{
    forkfold_words_options *options = &counting->options;
    PyObject *paths;
    PyObject *text;
    unsigned long long timeout_ns;
    unsigned long long deadline_ns;
    unsigned long long memory;
    int rule;
    int invalid;

    if (!PyArg_ParseTuple(args, "OIKOOiiypKKIi", &counting->held, &counting->own.workers, &memory,
                          &paths, &text, &rule, &invalid, &options->glob, &options->recursive,
                          &timeout_ns, &deadline_ns, &options->retries_plus_one,
                          &counting->cancel_fd))
        return false;
    options->rule = (enum forkfold_word_rule)rule;
    options->invalid = (enum forkfold_invalid)invalid;
    options->timeout_ns = timeout_ns;
    options->deadline_ns = deadline_ns;
    counting->own.memory_bytes = memory;
    if (counting->held == Py_None)
        counting->held = NULL;
    if (text == Py_None)
        return take_paths(counting, paths);
    options->glob = NULL;
    options->recursive = 0;
    return PyObject_GetBuffer(text, &counting->text, PyBUF_SIMPLE) == 0;
}

/* ---- The pool ------------------------------------------------------------ */

/* What was written to cancel an earlier call, after its end, cancels nothing. */
static int on_cancel(int fd, void *context)
{
    const ffpy_pool *pool = context;
    eventfd_t count;

    (void)eventfd_read(fd, &count);
    return pool == NULL || pool->is_counting;
}

static int take_pool(struct counting *counting)
{
    ffpy_pool *pool = held_pool(counting);
    int code = 0;

    if (pool == NULL)
        return forkfold_pool_open(&counting->pool, &counting->own, counting->message,
                                  sizeof(counting->message));
    counting->pool = pool->pool;
    pool->open_things++;
    pool->is_counting = true;
    if (!pool->is_cancellable)
        code = forkfold_pool_watch(pool->pool, pool->cancel_fd, on_cancel, pool);
    pool->is_cancellable |= code == 0;
    return code;
}

static void leave_pool(struct counting *counting)
{
    ffpy_pool *pool = held_pool(counting);

    if (pool == NULL) {
        Py_BEGIN_ALLOW_THREADS forkfold_pool_close(counting->pool);
        Py_END_ALLOW_THREADS return;
    }
    pool->is_counting = false;
    if (pool->closes)
        forkfold_pool_stop(pool->pool);
    ffpy_pool_notify(pool);
    ffpy_pool_drop(pool);
}

/* ---- The call ------------------------------------------------------------ */

/* Without the GIL. */
static int count(struct counting *counting)
{
    int code = 0;

    if (counting->held == NULL)
        code = forkfold_pool_watch(counting->pool, counting->cancel_fd, on_cancel, NULL);
    if (code == 0 && counting->paths == NULL)
        code = forkfold_count_text(counting->pool, counting->text.buf, (size_t)counting->text.len,
                                   &counting->options, &counting->words);
    else if (code == 0)
        code = forkfold_count_words(counting->pool, &counting->options, &counting->words, NULL);
    return code < 0 ? code : ffpy_table_read(&counting->table, counting->words);
}

static PyObject *none_or(bool is_there, long long value)
{
    return is_there ? PyLong_FromLongLong(value) : Py_NewRef(Py_None);
}

static PyObject *failure_object(const forkfold_failure *failure)
{
    return Py_BuildValue(
        "(NssNNNNIz)",
        PyUnicode_DecodeFSDefaultAndSize(failure->path, (Py_ssize_t)failure->path_bytes),
        forkfold_reason_name(failure->reason), failure->detail,
        none_or(failure->byte_offset >= 0, failure->byte_offset),
        none_or(failure->system_error != 0, failure->system_error),
        none_or(failure->signal != 0, failure->signal),
        none_or(failure->exit_code >= 0, failure->exit_code), failure->attempts,
        failure->backtrace);
}

static PyObject *failure_list(const forkfold_words *words)
{
    PyObject *list = PyList_New(0);
    const forkfold_failure *failure;

    for (size_t i = 0; list != NULL && (failure = forkfold_words_failure(words, i)) != NULL; i++) {
        PyObject *made = failure_object(failure);

        if (made == NULL || PyList_Append(list, made) < 0)
            Py_CLEAR(list);
        Py_XDECREF(made);
    }
    return list;
}

static PyObject *run(struct counting *counting)
{
    PyObject *failures = NULL;
    PyObject *counts = NULL;
    int code = take_pool(counting);

    if (code == 0) {
        Py_BEGIN_ALLOW_THREADS code = count(counting);
        Py_END_ALLOW_THREADS
    }
    if (code < 0 && counting->pool != NULL)
        snprintf(counting->message, sizeof(counting->message), "%s",
                 forkfold_pool_message(counting->pool));
    if (code == 0)
        failures = failure_list(counting->words);
    forkfold_words_close(counting->words);
    leave_pool(counting);
    if (code < 0)
        return ffpy_raise(NULL, code, counting->message);
    if (failures != NULL)
        counts = ffpy_counts_new(&counting->table, failures);
    Py_XDECREF(failures);
    return counts;
}

PyObject *ffpy_count_words(PyObject *module, PyObject *args)
{
    struct counting counting = {0};
    PyObject *counts = NULL;

    (void)module;
    if (parse(&counting, args) && (counting.held == NULL || ffpy_pool_check(held_pool(&counting))))
        counts = run(&counting);
    ffpy_table_free(&counting.table);
    PyMem_Free((void *)counting.paths);
    PyBuffer_Release(&counting.text);
    return counts;
}
