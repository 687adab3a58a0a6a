/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool that is lent to a job.
 *
 * A job of the C library waits inside of it, so it runs without the GIL, which cannot be the lock
 * of the pool then.  The pool is the borrower's, one thread's, until it gives it back: other
 * threads wait if they need it (ffpy_pool_await), and if they only ask what has happened, nothing
 * has (ffpy_pool_is_lent).  The library itself looks after their calls meanwhile.
 *
 * The bell is a pipe that the job watches.  A job in the main thread has the interpreter write to
 * it when there is a signal, whose handler then runs at once; if that raises, the job ends.
 * Closing the pool rings it as well.
 */
#include "native.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Waiting for it ------------------------------------------------------ */

/* In a child that was forked meanwhile nobody will give it back. */
static bool is_borrower(const struct ffpy_loan *loan)
{
    return loan->thread == gettid() && loan->process == getpid();
}

bool ffpy_pool_is_lent(const ffpy_pool *pool)
{
    const struct ffpy_loan *loan = &pool->loan;

    return loan->thread != 0 && loan->process == getpid() && loan->thread != gettid();
}

bool ffpy_pool_is_borrowed(const ffpy_pool *pool)
{
    return pool->loan.thread != 0 && is_borrower(&pool->loan);
}

void ffpy_pool_await(ffpy_pool *pool)
{
    while (ffpy_pool_is_lent(pool)) {
        PyThreadState *state = PyEval_SaveThread();

        pthread_mutex_lock(&pool->loan.held);
        pthread_mutex_unlock(&pool->loan.held);
        PyEval_RestoreThread(state);
    }
}

/* ---- The bell ------------------------------------------------------------ */

/* Empties it.  What the interpreter wrote was meant for whoever listened before. */
static void pass_on(const struct ffpy_loan *loan)
{
    char bytes[64];
    ssize_t got;

    while ((got = read(loan->bell[0], bytes, sizeof(bytes))) > 0)
        if (loan->outer_fd >= 0 && write(loan->outer_fd, bytes, (size_t)got) < 0)
            continue; /* it is full, and so is readable already */
}

/* Called by the library in whichever thread uses the pool, without the GIL if that is a job's. */
static int on_bell(int fd, void *context)
{
    ffpy_pool *pool = context;
    PyThreadState *state = pool->loan.state;
    bool ends;

    (void)fd;
    pass_on(&pool->loan);
    if (state == NULL || !is_borrower(&pool->loan))
        return 0;
    pool->loan.state = NULL;
    PyEval_RestoreThread(state);
    ends = PyErr_Occurred() != NULL || PyErr_CheckSignals() < 0 || pool->closes;
    pool->loan.state = PyEval_SaveThread();
    return ends;
}

static bool open_bell(ffpy_pool *pool)
{
    struct ffpy_loan *loan = &pool->loan;
    int code;

    if (loan->is_open)
        return true;
    if (pipe2(loan->bell, O_CLOEXEC | O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return false;
    }
    code = forkfold_pool_watch(pool->pool, loan->bell[0], on_bell, pool);
    if (code < 0) {
        ffpy_raise(pool, code, NULL);
        close(loan->bell[0]);
        close(loan->bell[1]);
        return false;
    }
    loan->is_open = true;
    return true;
}

void ffpy_pool_ring(const ffpy_pool *pool)
{
    if (pool->loan.is_open && write(pool->loan.bell[1], "", 1) < 0)
        return; /* it is full: it rings already */
}

void ffpy_pool_close_bell(ffpy_pool *pool)
{
    if (!pool->loan.is_open)
        return;
    close(pool->loan.bell[0]);
    close(pool->loan.bell[1]);
    pool->loan.is_open = false;
}

/* ---- Lending it ---------------------------------------------------------- */

/*
 * Returns the descriptor that was there before, or -1.  An exception that is on its way stays; one
 * of its own, for a descriptor that somebody has closed, say, changes nothing for the job.
 */
static int set_wakeup_fd(int fd)
{
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
    PyObject *module;
    PyObject *before;
    long number = -1;

    PyErr_Fetch(&type, &value, &traceback);
    /* In C there is PySignal_SetWakeupFd, from 3.13 on only. */
    module = PyImport_ImportModule("_signal");
    before = module == NULL ? NULL : PyObject_CallMethod(module, "set_wakeup_fd", "i", fd);
    Py_XDECREF(module);
    if (before != NULL)
        number = PyLong_AsLong(before);
    Py_XDECREF(before);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    return (int)number;
}

bool ffpy_pool_borrow(ffpy_pool *pool)
{
    struct ffpy_loan *loan = &pool->loan;

    if (ffpy_pool_is_borrowed(pool)) {
        PyErr_SetString(PyExc_RuntimeError, "this thread runs a job on the pool already");
        return false;
    }
    /* What came before the bell is hung up nobody would hear. */
    if (!ffpy_pool_check(pool) || !open_bell(pool))
        return false;
    loan->process = getpid();
    loan->thread = gettid();
    loan->is_main = loan->thread == loan->process;
    loan->outer_fd = loan->is_main ? set_wakeup_fd(loan->bell[1]) : -1;
    pool->open_things++;
    if (loan->is_main)
        ffpy_pool_ring(pool);
    ffpy_pool_notify(pool);
    pthread_mutex_lock(&loan->held);
    loan->state = PyEval_SaveThread();
    return true;
}

bool ffpy_pool_give_back(ffpy_pool *pool, int code)
{
    struct ffpy_loan *loan = &pool->loan;
    PyThreadState *state = loan->state;

    loan->state = NULL;
    PyEval_RestoreThread(state);
    pthread_mutex_unlock(&loan->held);
    loan->thread = 0;
    if (loan->is_main)
        (void)set_wakeup_fd(loan->outer_fd);
    pass_on(loan);
    loan->outer_fd = -1;
    ffpy_pool_notify(pool);
    if (PyErr_Occurred())
        return false;
    if (pool->closes) {
        PyErr_SetString(PyExc_ValueError, "Pool not running");
        return false;
    }
    if (code < 0)
        ffpy_raise(pool, code, NULL);
    return code == 0;
}
