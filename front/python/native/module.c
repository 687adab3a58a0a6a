/* SPDX-License-Identifier: Apache-2.0 */
/* The module forkfold._native. */
#include "counts.h"

struct ffpy_helpers ffpy_helpers;
size_t ffpy_share_bytes;

#define HELPERS(each)                                                                              \
    each(dumps) each(dumps_result) each(loads) each(pack_error) each(load_error) each(make_failed) \
        each(pool_error) each(queue_ended) each(start)

static PyObject *configure(PyObject *module, PyObject *args, PyObject *kwargs)
{
#define NAME(name)  (char *)#name,
#define PLACE(name) , &new.name
#define SET(name)   Py_XSETREF(ffpy_helpers.name, Py_NewRef(new.name));
    static char *names[] = {(char *)"share_bytes", HELPERS(NAME) NULL};
    struct ffpy_helpers new = {0};
    Py_ssize_t share_bytes;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "nOOOOOOOOO", names,
                                     &share_bytes HELPERS(PLACE)))
        return NULL;
    HELPERS(SET)
    ffpy_share_bytes = (size_t)share_bytes;
    Py_RETURN_NONE;
#undef NAME
#undef PLACE
#undef SET
}

static PyObject *available_cpus(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(forkfold_available_cpus());
}

static PyObject *chunk_size(PyObject *module, PyObject *args)
{
    unsigned long long items;
    unsigned workers;
    double seconds;

    (void)module;
    if (!PyArg_ParseTuple(args, "KId", &items, &workers, &seconds))
        return NULL;
    return PyLong_FromUnsignedLongLong(forkfold_chunk_size(items, workers, seconds));
}

static PyObject *crash_text(PyObject *module, PyObject *fd)
{
    int number = PyObject_AsFileDescriptor(fd);
    int code;

    (void)module;
    if (number < 0)
        return NULL;
    code = forkfold_worker_crash_text(number);
    if (code < 0)
        return ffpy_raise(NULL, code, "only workers write down what they die of");
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"attach_queue", ffpy_queue_attach, METH_VARARGS, "In a worker: a Queue by its handle."},
    {"available_cpus", available_cpus, METH_NOARGS, "The CPUs that this process may use."},
    {"chunk_size", chunk_size, METH_VARARGS, "How many items a worker should claim at once."},
    {"configure", (PyCFunction)(void (*)(void))configure, METH_VARARGS | METH_KEYWORDS,
     "Tells the extension of the functions of the package that it calls."},
    {"count_words", ffpy_count_words, METH_VARARGS, "Counts words; see _native.pyi."},
    {"count_primes", ffpy_count_primes, METH_VARARGS, "How many primes there are below a limit."},
    {"crash_text", crash_text, METH_O,
     "In a worker: the file that handlers of fatal signals write to; see forkfold/pool.h."},
    {"encode", ffpy_encode_text, METH_VARARGS, "The UTF-8 of a text."},
    {"matrix", ffpy_matrix_new, METH_VARARGS,
     "A matrix of rows or of a buffer, or None: its elements are not of one type that is known."},
    {"multiply", ffpy_multiply, METH_VARARGS,
     "The product of matrices, or None: it would not be exact, or there is no OpenBLAS."},
    {"numbers", ffpy_numbers_new, METH_O,
     "Numbers of a list or a buffer, or None: they are not of one type that is known."},
    {"output_is_due", ffpy_output_is_due, METH_O,
     "In a worker: that flush has something to do before the item is over."},
    {"prime_list", ffpy_prime_list, METH_VARARGS, "The primes below a limit, as a list."},
    {"primes", ffpy_primes, METH_VARARGS, "The primes below a limit, and the bytes of each."},
    {"statistics", ffpy_statistics, METH_VARARGS, "Count, mean, variance, median and both ends."},
    {"sum", ffpy_sum, METH_VARARGS, "The sum of numbers."},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    return PyModule_AddType(module, &ffpy_pool_type) < 0 ||
                   PyModule_AddType(module, &ffpy_call_type) < 0 ||
                   PyModule_AddType(module, &ffpy_counts_type) < 0 ||
                   PyModule_AddType(module, &ffpy_pipeline_type) < 0 ||
                   PyModule_AddType(module, &ffpy_queue_type) < 0 ||
                   PyModule_AddType(module, &ffpy_array_type) < 0 ||
                   PyModule_AddType(module, &ffpy_matrix_type) < 0 ||
                   PyModule_AddType(module, &ffpy_numbers_type) < 0 ||
                   PyModule_AddType(module, &ffpy_view_type) < 0 ||
                   PyModule_AddStringConstant(module, "version", forkfold_version()) < 0
               ? -1
               : 0;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkfold._native",
    .m_doc = "The C library behind the package; an implementation detail.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);

    if (module != NULL && add_types(module) < 0)
        Py_CLEAR(module);
    return module;
}
