/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's jobs on numbers: sums, statistics, products of matrices, primes. */
#include "native.h"

#include <string.h>

int ffpy_as_pool(PyObject *object, void *result)
{
    *(ffpy_pool **)result = NULL;
    if (object == Py_None)
        return 1;
    if (!PyObject_TypeCheck(object, &ffpy_pool_type)) {
        PyErr_SetString(PyExc_TypeError, "it is no pool");
        return 0;
    }
    *(ffpy_pool **)result = (ffpy_pool *)object;
    return 1;
}

/* ---- Running one --------------------------------------------------------- */

/*
 * Runs a job without the GIL, on a pool or without.  False with an exception.  A job that was begun
 * on a pool, well or not, is closed by finish(), after all that it made on the pool.
 */
struct job {
    int (*work)(struct job *job, forkfold_pool *pool);
    ffpy_pool *pool; /* or NULL */
    bool has_begun;
};

static bool run(struct job *job)
{
    PyThreadState *state;
    int code;

    if (job->pool != NULL) {
        job->has_begun = ffpy_pool_borrow(job->pool);
        return job->has_begun && ffpy_pool_give_back(job->pool, job->work(job, job->pool->pool));
    }
    state = PyEval_SaveThread();
    code = job->work(job, NULL);
    PyEval_RestoreThread(state);
    if (code < 0)
        ffpy_raise(NULL, code, NULL);
    return code == 0;
}

static void finish(struct job *job)
{
    if (job->has_begun)
        ffpy_pool_drop(job->pool);
}

/* ---- Sums ---------------------------------------------------------------- */

static bool are_floats(const forkfold_numbers *numbers)
{
    return numbers->type == FORKFOLD_F64 || numbers->type == FORKFOLD_F32;
}

struct sum_job {
    struct job job; /* first */
    const forkfold_numbers *numbers;
    double sum;
    forkfold_int128 whole;
};

static int work_sum(struct job *job, forkfold_pool *pool)
{
    struct sum_job *self = (struct sum_job *)(void *)job;

    return are_floats(self->numbers) ? forkfold_sum_floats(pool, self->numbers, &self->sum)
                                     : forkfold_sum_integers(pool, self->numbers, &self->whole);
}

/* high * 2^64 + low. */
static PyObject *as_integer(const forkfold_int128 *number)
{
    PyObject *high;
    PyObject *low;
    PyObject *bits;
    PyObject *shifted = NULL;
    PyObject *sum = NULL;

    if (number->high == (int64_t)number->low >> 63)
        return PyLong_FromLongLong((int64_t)number->low);
    high = PyLong_FromLongLong(number->high);
    low = PyLong_FromUnsignedLongLong(number->low);
    bits = PyLong_FromLong(64);
    if (high != NULL && low != NULL && bits != NULL)
        shifted = PyNumber_Lshift(high, bits);
    if (shifted != NULL)
        sum = PyNumber_Or(shifted, low);
    Py_XDECREF(high);
    Py_XDECREF(low);
    Py_XDECREF(bits);
    Py_XDECREF(shifted);
    return sum;
}

PyObject *ffpy_sum(PyObject *module, PyObject *args)
{
    struct sum_job self = {.job.work = work_sum};
    ffpy_numbers *numbers;
    bool done;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O!", ffpy_as_pool, &self.job.pool, &ffpy_numbers_type, &numbers))
        return NULL;
    self.numbers = &numbers->numbers;
    done = run(&self.job);
    finish(&self.job);
    if (!done)
        return NULL;
    return are_floats(self.numbers) ? PyFloat_FromDouble(self.sum) : as_integer(&self.whole);
}

/* ---- Statistics ---------------------------------------------------------- */

struct statistics_job {
    struct job job; /* first */
    const forkfold_numbers *numbers;
    forkfold_statistics found;
    int64_t least; /* of integers: as doubles they would be rounded */
    int64_t greatest;
};

/* The same numbers as 64-bit ones. */
static int widen(const forkfold_numbers *numbers, forkfold_numbers *wide)
{
    void *copy = PyMem_RawMalloc(numbers->count * sizeof(int64_t) + 1);

    if (copy == NULL)
        return FORKFOLD_E_MEMORY;
    for (uint64_t i = 0; i < numbers->count; i++) {
        if (numbers->type == FORKFOLD_F32)
            ((double *)copy)[i] = ((const float *)numbers->data)[i];
        else if (numbers->type == FORKFOLD_I32)
            ((int64_t *)copy)[i] = ((const int32_t *)numbers->data)[i];
        else
            ((int64_t *)copy)[i] = ((const uint8_t *)numbers->data)[i];
    }
    *wide = (forkfold_numbers){.data = copy,
                               .type = are_floats(numbers) ? FORKFOLD_F64 : FORKFOLD_I64,
                               .count = numbers->count};
    return 0;
}

static void find_ends(struct statistics_job *self, const forkfold_numbers *numbers)
{
    const int64_t *integers = numbers->data;
    int64_t least = INT64_MAX;
    int64_t greatest = INT64_MIN;

    for (uint64_t i = 0; i < numbers->count; i++) {
        least = integers[i] < least ? integers[i] : least;
        greatest = integers[i] > greatest ? integers[i] : greatest;
    }
    self->least = least;
    self->greatest = greatest;
}

static int work_statistics(struct job *job, forkfold_pool *pool)
{
    struct statistics_job *self = (struct statistics_job *)(void *)job;
    forkfold_numbers numbers = *self->numbers;
    bool is_wide = numbers.type == FORKFOLD_F64 || numbers.type == FORKFOLD_I64;
    int code = is_wide ? 0 : widen(self->numbers, &numbers);

    if (code < 0)
        return code;
    code = forkfold_get_statistics(pool, &numbers, &self->found);
    if (code == 0 && numbers.type == FORKFOLD_I64)
        find_ends(self, &numbers);
    if (!is_wide)
        PyMem_RawFree((void *)numbers.data);
    return code;
}

PyObject *ffpy_statistics(PyObject *module, PyObject *args)
{
    struct statistics_job self = {.job.work = work_statistics};
    const forkfold_statistics *found = &self.found;
    ffpy_numbers *numbers;
    bool done;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O!", ffpy_as_pool, &self.job.pool, &ffpy_numbers_type, &numbers))
        return NULL;
    self.numbers = &numbers->numbers;
    done = run(&self.job);
    finish(&self.job);
    if (!done)
        return NULL;
    if (are_floats(self.numbers))
        return Py_BuildValue("(Kddddd)", (unsigned long long)found->count, found->mean,
                             found->variance, found->median, found->minimum, found->maximum);
    return Py_BuildValue("(KdddLL)", (unsigned long long)found->count, found->mean, found->variance,
                         found->median, (long long)self.least, (long long)self.greatest);
}

/* ---- Matrices ------------------------------------------------------------ */

struct product_job {
    struct job job; /* first */
    const ffpy_matrix *left;
    const ffpy_matrix *right;
    const ffpy_matrix *product;
    bool is_supported;
};

static int work_product(struct job *job, forkfold_pool *pool)
{
    struct product_job *self = (struct product_job *)(void *)job;
    int code = forkfold_multiply_matrices(pool, &self->left->matrix, &self->right->matrix,
                                          &self->product->matrix);

    self->is_supported = code != FORKFOLD_E_UNSUPPORTED;
    return self->is_supported ? code : 0;
}

static PyObject *multiply(struct product_job *self)
{
    PyObject *product = ffpy_matrix_product(self->job.pool, self->left, self->right);

    if (product == NULL)
        return NULL;
    self->product = (ffpy_matrix *)product;
    if (!run(&self->job))
        Py_CLEAR(product);
    finish(&self->job);
    if (product != NULL && !self->is_supported)
        Py_SETREF(product, Py_NewRef(Py_None));
    return product;
}

/* None when it cannot be done so that integers are exact, or not at all. */
PyObject *ffpy_multiply(PyObject *module, PyObject *args)
{
    struct product_job self = {.job.work = work_product};

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O!O!", ffpy_as_pool, &self.job.pool, &ffpy_matrix_type,
                          &self.left, &ffpy_matrix_type, &self.right))
        return NULL;
    if (self.left->are_integers && self.right->are_integers &&
        !ffpy_matrix_is_exact(self.left, self.right))
        Py_RETURN_NONE;
    return multiply(&self);
}

/* ---- Primes -------------------------------------------------------------- */

struct primes_job {
    struct job job; /* first */
    uint64_t limit;
    uint64_t count;
    forkfold_shared *list;
};

static int work_count(struct job *job, forkfold_pool *pool)
{
    struct primes_job *self = (struct primes_job *)(void *)job;

    return forkfold_count_primes(pool, 0, self->limit, &self->count);
}

static int work_list(struct job *job, forkfold_pool *pool)
{
    struct primes_job *self = (struct primes_job *)(void *)job;

    return forkfold_primes(pool, self->limit, &self->list);
}

static bool parse_limit(PyObject *args, struct primes_job *self)
{
    unsigned long long limit;
    PyObject *number;

    if (!PyArg_ParseTuple(args, "O!O!", &ffpy_pool_type, &self->job.pool, &PyLong_Type, &number))
        return false;
    limit = PyLong_AsUnsignedLongLong(number);
    self->limit = limit;
    return limit != (unsigned long long)-1 || !PyErr_Occurred();
}

PyObject *ffpy_count_primes(PyObject *module, PyObject *args)
{
    struct primes_job self = {.job.work = work_count};
    bool done;

    (void)module;
    if (!parse_limit(args, &self))
        return NULL;
    done = run(&self.job);
    finish(&self.job);
    return done ? PyLong_FromUnsignedLongLong(self.count) : NULL;
}

/* Numbers of 32 bits fit a long. */
static PyObject *make_integers(const forkfold_shared *shared)
{
    const void *data = forkfold_shared_data(shared);
    Py_ssize_t count = (Py_ssize_t)forkfold_shared_count(shared);
    bool is_narrow = forkfold_shared_type(shared) == FORKFOLD_U32;
    PyObject *list = PyList_New(count);

    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = is_narrow ? PyLong_FromLong((long)((const uint32_t *)data)[i])
                                     : PyLong_FromUnsignedLongLong(((const uint64_t *)data)[i]);

        if (number == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, number);
    }
    return list;
}

/* Those of the list before go only now, when theirs is the memory of this one. */
static void cast_anchors(ffpy_pool *pool, PyObject *list)
{
    Py_ssize_t place = FFPY_ANCHOR_EVERY - 1;

    for (size_t i = 0; i < FFPY_ANCHORS && place < PyList_GET_SIZE(list); i++) {
        Py_XSETREF(pool->anchors[i], Py_NewRef(PyList_GET_ITEM(list, place)));
        place += FFPY_ANCHOR_EVERY;
    }
}

PyObject *ffpy_prime_list(PyObject *module, PyObject *args)
{
    struct primes_job self = {.job.work = work_list};
    PyObject *list = NULL;

    (void)module;
    if (!parse_limit(args, &self))
        return NULL;
    if (run(&self.job))
        list = self.list == NULL ? PyList_New(0) : make_integers(self.list);
    forkfold_shared_close(self.list);
    finish(&self.job);
    if (list != NULL && self.job.pool->pool != NULL)
        cast_anchors(self.job.pool, list);
    return list;
}

/* (list, bytes of each); the list is None when there are none. */
PyObject *ffpy_primes(PyObject *module, PyObject *args)
{
    struct primes_job self = {.job.work = work_list};
    PyObject *array = NULL;
    size_t each = 0;

    (void)module;
    if (!parse_limit(args, &self))
        return NULL;
    if (!run(&self.job)) {
        forkfold_shared_close(self.list);
    } else if (self.list == NULL) {
        array = Py_NewRef(Py_None);
    } else {
        each = forkfold_type_bytes(forkfold_shared_type(self.list));
        array = ffpy_array_adopt(self.job.pool, self.list);
    }
    finish(&self.job);
    return array == NULL ? NULL : Py_BuildValue("(Nn)", array, (Py_ssize_t)each);
}
