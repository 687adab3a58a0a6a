/* SPDX-License-Identifier: Apache-2.0 */
/* Counting words, on a pool that is lent for as long. */
#include "counts.h"

struct counting {
    ffpy_pool *pool;
    const char **paths; /* or NULL: text is there */
    Py_buffer text;
    forkfold_words_options options;
    forkfold_words *words;
    struct ffpy_table table;
};

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
    int rule;
    int invalid;

    if (!PyArg_ParseTuple(args, "O!OOiiypKKI", &ffpy_pool_type, &counting->pool, &paths, &text,
                          &rule, &invalid, &options->glob, &options->recursive, &timeout_ns,
                          &deadline_ns, &options->retries_plus_one))
        return false;
    options->rule = (enum forkfold_word_rule)rule;
    options->invalid = (enum forkfold_invalid)invalid;
    options->timeout_ns = timeout_ns;
    options->deadline_ns = deadline_ns;
    if (text == Py_None)
        return take_paths(counting, paths);
    options->glob = NULL;
    options->recursive = 0;
    return PyObject_GetBuffer(text, &counting->text, PyBUF_SIMPLE) == 0;
}

/* ---- The call ------------------------------------------------------------ */

/* Without the GIL. */
static int count(struct counting *counting)
{
    forkfold_pool *pool = counting->pool->pool;
    int code;

    if (counting->paths != NULL)
        code = forkfold_count_words(pool, &counting->options, &counting->words, NULL);
    else
        code = forkfold_count_text(pool, counting->text.buf, (size_t)counting->text.len,
                                   &counting->options, &counting->words);
    return code < 0 ? code : ffpy_table_open(&counting->table, counting->words);
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

    if (!ffpy_pool_borrow(counting->pool))
        return NULL;
    if (ffpy_pool_give_back(counting->pool, count(counting)))
        failures = failure_list(counting->words);
    if (counting->table.words == NULL && counting->pool->pool != NULL)
        forkfold_words_close(counting->words);
    ffpy_pool_drop(counting->pool);
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
    if (parse(&counting, args))
        counts = run(&counting);
    ffpy_table_close(&counting.table);
    PyMem_Free((void *)counting.paths);
    PyBuffer_Release(&counting.text);
    return counts;
}
