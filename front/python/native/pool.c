/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool, and waiting for what happens in it.
 *
 * Any number of threads may wait.  One of them, the leader, sleeps in poll() on the pool's
 * descriptor; the others sleep each on a semaphore of its own.  The leader dispatches what has
 * happened and wakes all; each looks whether it was waiting for that, and one that was not leads
 * next.  Who waits says first which generation of events it has seen, so nothing that happens
 * between its look and its sleep is lost.
 */
#include "native.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct ffpy_waiter {
    sem_t woken;
    struct ffpy_waiter *next;
};

/* ---- Errors -------------------------------------------------------------- */

/* Whoever has only counted words has not imported what configures them. */
static bool import_helpers(void)
{
    PyObject *module =
        ffpy_helpers.pool_error == NULL ? PyImport_ImportModule("forkfold._engine") : NULL;

    Py_XDECREF(module);
    return ffpy_helpers.pool_error != NULL;
}

PyObject *ffpy_raise(const ffpy_pool *pool, int code, const char *message)
{
    PyObject *error;

    if (message == NULL && pool != NULL && pool->pool != NULL)
        message = forkfold_pool_message(pool->pool);
    if (message == NULL || *message == '\0')
        message = forkfold_strerror(code);
    if (code == FORKFOLD_E_INVALID) {
        PyErr_SetString(PyExc_ValueError, message);
        return NULL;
    }
    if (code == FORKFOLD_E_MEMORY) {
        PyErr_SetString(PyExc_MemoryError, message);
        return NULL;
    }
    if (code == FORKFOLD_E_RANGE) {
        PyErr_SetString(PyExc_OverflowError, message);
        return NULL;
    }
    if (!import_helpers())
        return NULL;
    error = PyObject_CallFunction(ffpy_helpers.pool_error, "is", code, message);
    if (error != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(error);
    return NULL;
}

bool ffpy_pool_check(ffpy_pool *pool)
{
    ffpy_pool_await(pool);
    if (pool->pool != NULL && !pool->closes)
        return true;
    PyErr_SetString(PyExc_ValueError, "Pool not running");
    return false;
}

/* ---- Opening ------------------------------------------------------------- */

/* The supervisor never runs Python; each worker becomes an interpreter by itself (worker.c). */
static int open_pool(ffpy_pool *self, const forkfold_pool_options *options)
{
    char message[512] = "";
    int code;

    PyOS_BeforeFork();
    code = forkfold_pool_open(&self->pool, options, message, sizeof(message));
    PyOS_AfterFork_Parent();
    if (code < 0) {
        ffpy_raise(NULL, code, message);
        return -1;
    }
    self->fd = forkfold_pool_fd(self->pool);
    return 0;
}

static bool open_counter(ffpy_pool *self)
{
    void *page = mmap(NULL, sizeof(*self->start.births), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    self->start.births = page;
    self->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->kick_fd >= 0)
        return true;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
}

static int pool_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    ffpy_pool *self = (ffpy_pool *)object;
    PyObject *initializer;
    PyObject *initargs;
    unsigned workers;
    unsigned max_deaths;
    unsigned long long tasks;
    unsigned long long recycle;
    unsigned long long memory;
    unsigned long long counts = 0; /* bytes for them */
    bool runs_python;

    (void)kwargs;
    if (self->start.births != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the pool is open");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "IOO!KKKI|K", &workers, &initializer, &PyTuple_Type, &initargs,
                          &tasks, &recycle, &memory, &max_deaths, &counts) ||
        !open_counter(self))
        return -1;
    runs_python = initializer != Py_None;
    self->start.initializer = Py_NewRef(initializer);
    self->start.initargs = Py_NewRef(initargs);
    return open_pool(self,
                     &(forkfold_pool_options){.workers = workers,
                                              .keep_descriptors = runs_python,
                                              .initializer = runs_python ? ffpy_worker_start : NULL,
                                              .initializer_context = &self->start,
                                              .tasks_per_worker = tasks,
                                              .recycle_bytes = recycle,
                                              .worker_memory_bytes = memory,
                                              .memory_bytes = counts,
                                              .max_deaths = max_deaths});
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    ffpy_pool *self = (ffpy_pool *)type->tp_alloc(type, 0);

    (void)args;
    (void)kwargs;
    if (self == NULL)
        return NULL;
    self->fd = self->kick_fd = self->loan.outer_fd = -1;
    pthread_mutex_init(&self->loan.held, NULL);
    return (PyObject *)self;
}

/* ---- Closing ------------------------------------------------------------- */

/* Calls go before the pool, and shared arrays between the two. */
static void free_pool(ffpy_pool *self)
{
    ffpy_queues_close(self);
    ffpy_blocks_close(&self->kept);
    ffpy_blocks_close(&self->spare);
    for (size_t i = 0; i < FFPY_ANCHORS; i++)
        Py_CLEAR(self->anchors[i]);
    forkfold_pool_close(self->pool);
    ffpy_pool_close_bell(self);
    self->pool = NULL;
    self->fd = -1;
}

void ffpy_pool_drop(ffpy_pool *pool)
{
    pool->open_things--;
    if (pool->closes && pool->open_things == 0)
        free_pool(pool);
}

static PyObject *pool_close(PyObject *object, PyObject *unused)
{
    ffpy_pool *self = (ffpy_pool *)object;

    (void)unused;
    if (self->closes || self->pool == NULL)
        Py_RETURN_NONE;
    self->closes = true;
    ffpy_pool_ring(self);
    ffpy_pool_await(self);
    /* A job that is on it ends it, and that of another thread may have done so. */
    if (self->pool != NULL && !ffpy_pool_is_borrowed(self)) {
        forkfold_pool_stop(self->pool);
        if (self->open_things == 0)
            free_pool(self);
    }
    ffpy_pool_notify(self);
    Py_CLEAR(self->start.initializer);
    Py_CLEAR(self->start.initargs);
    Py_RETURN_NONE;
}

static void pool_dealloc(PyObject *object)
{
    ffpy_pool *self = (ffpy_pool *)object;

    if (self->pool != NULL)
        free_pool(self);
    if (self->kick_fd >= 0)
        close(self->kick_fd);
    if (self->start.births != NULL)
        munmap((void *)self->start.births, sizeof(*self->start.births));
    ffpy_bytes_free(&self->scratch[0]);
    ffpy_bytes_free(&self->scratch[1]);
    pthread_mutex_destroy(&self->loan.held);
    Py_XDECREF(self->start.initializer);
    Py_XDECREF(self->start.initargs);
    Py_TYPE(object)->tp_free(object);
}

/* ---- Waiting ------------------------------------------------------------- */

void ffpy_pool_notify(ffpy_pool *pool)
{
    pool->generation++;
    for (struct ffpy_waiter *waiter = pool->followers; waiter != NULL; waiter = waiter->next)
        sem_post(&waiter->woken);
    if (pool->has_leader)
        (void)eventfd_write(pool->kick_fd, 1);
}

/* A moment of CLOCK_MONOTONIC; false when there is none to wait for. */
static bool moment_after(double seconds, struct timespec *moment)
{
    double whole = (double)(long long)seconds;

    clock_gettime(CLOCK_MONOTONIC, moment);
    moment->tv_sec += (time_t)whole;
    moment->tv_nsec += (long)((seconds - whole) * 1e9);
    if (moment->tv_nsec >= 1000000000) {
        moment->tv_sec++;
        moment->tv_nsec -= 1000000000;
    }
    return true;
}

static int as_seconds(PyObject *timeout, double *seconds)
{
    enum { LONGEST = 1000000000 };

    *seconds = LONGEST;
    if (timeout == Py_None)
        return 0;
    *seconds = PyFloat_AsDouble(timeout);
    if (*seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (!(*seconds > 0))
        *seconds = 0;
    if (*seconds > LONGEST)
        *seconds = LONGEST;
    return 0;
}

/* Sleeps until anything happens.  errno, or 0. */
static int lead(ffpy_pool *self, double seconds)
{
    struct pollfd fds[] = {{.fd = self->fd, .events = POLLIN},
                           {.fd = self->kick_fd, .events = POLLIN}};
    struct timespec wait = {.tv_sec = (time_t)seconds};
    eventfd_t kicks;
    int cause;

    wait.tv_nsec = (long)((seconds - (double)wait.tv_sec) * 1e9);
    self->has_leader = true;
    Py_BEGIN_ALLOW_THREADS cause = ppoll(fds, 2, &wait, NULL) < 0 ? errno : 0;
    Py_END_ALLOW_THREADS self->has_leader = false;
    if (cause == 0 && fds[1].revents != 0)
        (void)eventfd_read(self->kick_fd, &kicks);
    return cause;
}

static int follow(ffpy_pool *self, double seconds)
{
    struct ffpy_waiter waiter = {.next = self->followers};
    struct ffpy_waiter **link;
    struct timespec until;
    int cause;

    sem_init(&waiter.woken, 0, 0);
    self->followers = &waiter;
    moment_after(seconds, &until);
    Py_BEGIN_ALLOW_THREADS cause =
        sem_clockwait(&waiter.woken, CLOCK_MONOTONIC, &until) < 0 ? errno : 0;
    Py_END_ALLOW_THREADS for (link = &self->followers; *link != &waiter;
                              link = &(*link)->next) continue;
    *link = waiter.next;
    sem_destroy(&waiter.woken);
    return cause;
}

static int dispatch(ffpy_pool *self)
{
    int code;

    if (self->closes || self->pool == NULL || ffpy_pool_is_lent(self))
        return 0;
    code = forkfold_pool_dispatch(self->pool);
    self->is_lost |= code == FORKFOLD_E_SUPERVISOR;
    /* What ended all calls each of them says itself. */
    return code == FORKFOLD_E_FORKED ? code : 0;
}

static PyObject *pool_wait(PyObject *object, PyObject *args)
{
    ffpy_pool *self = (ffpy_pool *)object;
    unsigned long long generation;
    PyObject *timeout;
    double seconds;
    bool leads;
    int cause;
    int code;

    if (!PyArg_ParseTuple(args, "KO", &generation, &timeout) || as_seconds(timeout, &seconds) < 0)
        return NULL;
    if (generation != self->generation || self->closes || self->pool == NULL)
        Py_RETURN_NONE;
    leads = !self->has_leader && !ffpy_pool_is_lent(self);
    cause = leads ? lead(self, seconds) : follow(self, seconds);
    code = leads ? dispatch(self) : 0;
    /* Whoever leads next has to be among those that wait, too. */
    if (leads)
        ffpy_pool_notify(self);
    if (cause == EINTR && PyErr_CheckSignals() < 0)
        return NULL;
    if (code < 0)
        return ffpy_raise(self, code, NULL);
    Py_RETURN_NONE;
}

static PyObject *pool_dispatch(PyObject *object, PyObject *unused)
{
    ffpy_pool *self = (ffpy_pool *)object;
    int code = dispatch(self);

    (void)unused;
    /* What others sleep for may have been part of it. */
    ffpy_pool_notify(self);
    if (code < 0)
        return ffpy_raise(self, code, NULL);
    Py_RETURN_NONE;
}

static PyObject *pool_notify(PyObject *object, PyObject *unused)
{
    (void)unused;
    ffpy_pool_notify((ffpy_pool *)object);
    Py_RETURN_NONE;
}

static PyObject *pool_generation(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((ffpy_pool *)object)->generation);
}

/* ---- The rest ------------------------------------------------------------ */

static PyObject *pool_worker(PyObject *object, PyObject *slot)
{
    const ffpy_pool *self = (ffpy_pool *)object;
    unsigned long number = PyLong_AsUnsignedLong(slot);

    if (number == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (self->closes || self->pool == NULL)
        return PyLong_FromLong(0);
    if (self->is_lost)
        return ffpy_raise(self, FORKFOLD_E_SUPERVISOR,
                          "the pool has lost its workers; open another");
    return PyLong_FromLong(forkfold_pool_worker(self->pool, (unsigned)number));
}

static PyObject *pool_births(PyObject *object, void *unused)
{
    const ffpy_pool *self = (ffpy_pool *)object;

    (void)unused;
    return PyLong_FromUnsignedLong(
        self->start.births == NULL
            ? 0
            : atomic_load_explicit(self->start.births, memory_order_relaxed));
}

static PyObject *pool_encode(PyObject *object, PyObject *args)
{
    return ffpy_pool_encode((ffpy_pool *)object, args);
}

static PyObject *pool_spare(PyObject *object, PyObject *array)
{
    if (!PyObject_TypeCheck(array, &ffpy_array_type) ||
        ((ffpy_array *)array)->pool != (ffpy_pool *)object) {
        PyErr_SetString(PyExc_TypeError, "it is no array of the pool");
        return NULL;
    }
    ((ffpy_array *)array)->is_spare = true;
    Py_RETURN_NONE;
}

static PyObject *pool_array(PyObject *object, PyObject *bytes)
{
    unsigned long long count = PyLong_AsUnsignedLongLong(bytes);

    if (count == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    return ffpy_array_new((ffpy_pool *)object, count);
}

static PyObject *pool_begin(PyObject *object, PyObject *args)
{
    return ffpy_call_begin((ffpy_pool *)object, args);
}

static PyObject *pool_queue(PyObject *object, PyObject *args)
{
    return ffpy_queue_new((ffpy_pool *)object, args);
}

static PyObject *pool_pipeline(PyObject *object, PyObject *args)
{
    return ffpy_pipeline_new((ffpy_pool *)object, args);
}

static PyObject *pool_curve(PyObject *object, PyObject *list)
{
    return ffpy_pool_curve((ffpy_pool *)object, list);
}

static uint64_t cpu_ns_of(pid_t process)
{
    clockid_t clock;
    struct timespec used;

    if (process == 0 || clock_getcpuclockid(process, &clock) != 0 ||
        clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

static PyObject *pool_cpu_ns(PyObject *object, void *unused)
{
    const ffpy_pool *self = (ffpy_pool *)object;
    uint64_t sum = 0;

    (void)unused;
    if (!self->closes && self->pool != NULL)
        for (unsigned slot = 0; slot < forkfold_pool_workers(self->pool); slot++)
            sum += cpu_ns_of(forkfold_pool_worker(self->pool, slot));
    return PyLong_FromUnsignedLongLong(sum);
}

static PyMethodDef methods[] = {
    {"array", pool_array, METH_O, "So many bytes of memory that the workers see, too."},
    {"begin", pool_begin, METH_VARARGS, "Begins a call on items and returns its Call."},
    {"close", pool_close, METH_NOARGS,
     "Ends all processes; calls in progress end without a result, others keep theirs."},
    {"curve", pool_curve, METH_O,
     "x * x + sin(x) * cos(x) of a list, as a list; None if other numbers than floats and small "
     "integers are among them."},
    {"dispatch", pool_dispatch, METH_NOARGS, "Takes notice of what has happened, without waiting."},
    {"encode", pool_encode, METH_VARARGS, "What encode() gives, in an Array of the workers'."},
    {"notify", pool_notify, METH_NOARGS, "Has all threads that wait look again."},
    {"pipeline", pool_pipeline, METH_VARARGS, "Opens a Pipeline."},
    {"queue", pool_queue, METH_VARARGS, "Opens a Queue."},
    {"spare", pool_spare, METH_O,
     "When this Array is gone, its memory serves the next call: no worker reads it any more."},
    {"wait", pool_wait, METH_VARARGS,
     "Sleeps until something has happened since the given generation, or the seconds are over."},
    {"worker", pool_worker, METH_O,
     "The process id of the worker in a slot, or 0; PoolError when there will be none."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"births", pool_births, NULL, "How many workers have been started.", NULL},
    {"cpu_ns", pool_cpu_ns, NULL, "CPU time of the workers that are there.", NULL},
    {"generation", pool_generation, NULL, "How often something has happened.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject ffpy_pool_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "forkfold._native.Pool",
    .tp_basicsize = sizeof(ffpy_pool),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Worker processes.",
    .tp_new = pool_new,
    .tp_init = pool_init,
    .tp_dealloc = pool_dealloc,
    .tp_methods = methods,
    .tp_getset = attributes,
};
