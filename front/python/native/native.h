/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold._native: the C library as Python objects.
 *
 * The GIL is the lock of a pool: every function of the C library that uses one is called with the
 * GIL held and does not wait.  What waits is poll(), on the pool's descriptor, without the GIL.  Only
 * jobs wait within the library; to them the pool is lent (loan.c).
 *
 * An item is the argument of one call of the user's function, encoded (codec.c).  What the call
 * needs for all its items, the function above all, is its context.  Results begin with a header
 * that says what they are.
 */
#ifndef FORKFOLD_PYTHON_NATIVE_H
#define FORKFOLD_PYTHON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <forkfold/forkfold.h>

typedef struct ffpy_pool ffpy_pool;

/* ---- Functions of the package that the extension calls ------------------- */

/* Set once, by configure(), when what needs workers with an interpreter is imported. */
struct ffpy_helpers {
    PyObject *dumps;        /* (object, least bytes, list) -> bytes; large buffers go to the list */
    PyObject *dumps_result; /* likewise, in a worker */
    PyObject *loads;        /* (memoryview, list of buffers) -> object */
    PyObject *pack_error;   /* (exception) -> bytes */
    PyObject *load_error;   /* (bytes) -> exception */
    PyObject *make_failed;  /* (reason, detail, index, attempts, signal, exit code, backtrace, text)
                              -> exception */
    PyObject *pool_error;   /* (code, message) -> exception */
    PyObject *queue_ended;  /* the exception */
    PyObject *start;        /* (number, descriptor for text, initializer, initargs) in a worker */
};

extern struct ffpy_helpers ffpy_helpers;

/* ---- Encoding ------------------------------------------------------------ */

struct ffpy_bytes {
    char *data;
    size_t used;
    size_t room;
};

/* Makes room for so many bytes more.  False with MemoryError. */
bool ffpy_bytes_reserve(struct ffpy_bytes *bytes, size_t more);
bool ffpy_bytes_add(struct ffpy_bytes *bytes, const void *data, size_t count);
void ffpy_bytes_free(struct ffpy_bytes *bytes);

/* Buffers that an encoded object refers to: they lie elsewhere. */
struct ffpy_buffer {
    uint64_t place; /* an address, or, in results, from the begin of the header */
    uint64_t bytes;
};

#define FFPY_NO_BUFFERS ((size_t)PY_SSIZE_T_MAX)

/*
 * Where large buffers go: stores where the one behind view is to be found.  False with an exception.
 * The views are alive until the object has been encoded.
 */
struct ffpy_placer {
    PyObject *dumps;
    size_t least; /* smaller ones stay with the rest; FFPY_NO_BUFFERS: all do */
    bool (*place)(struct ffpy_placer *placer, PyObject *views);
    struct ffpy_buffer *buffers; /* by place(), as many as there are views; the codec's to free */
};

/* Appends an encoded object.  False with an exception, and then bytes is as before. */
bool ffpy_encode(struct ffpy_bytes *bytes, PyObject *object, struct ffpy_placer *placer);

/*
 * The object again.  Buffers are views, which hold owner, read-only or not; base is where places
 * count from, NULL if they are addresses; views, if not NULL, receives the list of them.
 */
struct ffpy_source {
    const char *base;
    bool writable;
    bool lends;       /* they lie in the region, and in the host: see ffpy_lend_to_children */
    PyObject *owner;  /* or NULL */
    PyObject **views; /* or NULL; stays NULL where there are none */
};

PyObject *ffpy_decode(const char *data, size_t bytes, const struct ffpy_source *source);

/* str.encode("utf-8", errors), sooner; see encode() in _native.pyi. */
PyObject *ffpy_encode_text(PyObject *module, PyObject *args);

/* The same to an array of the pool. */
PyObject *ffpy_pool_encode(ffpy_pool *pool, PyObject *args);

/* ---- Views of the region ------------------------------------------------- */

extern PyTypeObject ffpy_view_type;

PyObject *ffpy_view_new(char *data, size_t bytes, bool writable, PyObject *owner);

/* ---- Contexts and results ------------------------------------------------ */

enum ffpy_mode {
    FFPY_CALL, /* function(item) */
    FFPY_STAR, /* function(*item) */
    FFPY_APPLY /* the item is (pickled function, is shared, args, kwargs), whatever the context has */
};

struct ffpy_context {
    uint64_t serial;      /* of the call: a function is loaded once for each */
    uint32_t mode;        /* enum ffpy_mode */
    uint32_t is_shared;   /* nonzero: loading it again would give the same object */
    uint64_t timed_every; /* one item in so many is timed */
    uint64_t stage;       /* of a pipeline */
    /* the pickled function */
};

enum ffpy_outcome {
    FFPY_VALUE,
    FFPY_ERROR, /* what pack_error says of an exception */
    FFPY_EXIT   /* the function left by sys.exit; the code is an encoded object */
};

/*
 * A result: this, its buffers, each at a multiple of FFPY_ALIGNMENT, and the encoded object.  Small
 * results should stay small: the host reads them from the cache of another processor.
 */
struct ffpy_header {
    uint64_t busy_ns; /* or FFPY_NOT_TIMED */
    uint32_t blocks;  /* this and the buffers take so many times FFPY_ALIGNMENT; 0 = no buffers */
    uint16_t outcome; /* enum ffpy_outcome */
    uint16_t kept;    /* nonzero: the worker still refers to the item's buffers */
};

/* An item of a pipeline's batch: this, and so many bytes (pipeline.c). */
struct ffpy_entry {
    uint32_t outcome; /* enum ffpy_outcome */
    uint32_t stage;   /* that an exception was raised in */
    uint64_t bytes;
};

/* Reads the next one and passes over its bytes; false at the end, or with an exception. */
bool ffpy_take_entry(const char **at, const char *end, struct ffpy_entry *entry);

enum { FFPY_ALIGNMENT = 64 };

#define FFPY_NOT_TIMED UINT64_MAX

/* Where the encoded object begins. */
static inline size_t ffpy_encoded_at(const struct ffpy_header *header)
{
    return header->blocks == 0 ? sizeof(*header) : (size_t)header->blocks * FFPY_ALIGNMENT;
}

/* ---- Workers ------------------------------------------------------------- */

/* What every worker is started with, as it is when the pool is opened. */
struct ffpy_start {
    PyObject *initializer; /* or None */
    PyObject *initargs;
    _Atomic uint32_t *births; /* shared by all: how many workers have been started */
};

/* Buffers of so many bytes are shared, instead of being part of the pickle; 0 = none are. */
extern size_t ffpy_share_bytes;

/* In the worker, what tells its pool from others; 0 elsewhere. */
uint64_t ffpy_worker_pool(void);

/* In a worker, how many items it has begun: what one held of a queue is not the next one's. */
extern uint64_t ffpy_runs;

int ffpy_worker_start(void *context);
int ffpy_worker_run(const forkfold_item *item);
int ffpy_worker_run_batch(const forkfold_item *item); /* of a pipeline */

/* The worker's part of the module: output_is_due(), which says that there is something to flush. */
PyObject *ffpy_output_is_due(PyObject *module, PyObject *flush);

/* ---- Objects ------------------------------------------------------------- */

/* Shared memory that holds large buffers. */
struct ffpy_blocks {
    forkfold_shared **list;
    size_t count;
};

/* Adds one, which is closed if there is no memory for that.  False then, with MemoryError. */
bool ffpy_blocks_add(struct ffpy_blocks *blocks, forkfold_shared *block);
void ffpy_blocks_close(struct ffpy_blocks *blocks);

/*
 * Shared memory of so many bytes or some more, whatever is in it, on a pool that is not lent; NULL
 * with an exception.  Giving it back raises none.
 */
forkfold_shared *ffpy_spare_take(ffpy_pool *pool, uint64_t bytes);
void ffpy_spare_give(ffpy_pool *pool, forkfold_shared *block);

/*
 * Integers of a list that was made last, one in FFPY_ANCHOR_EVERY.  The interpreter gives its arenas
 * back as soon as nothing is in them; touching those for the next list takes as long as making it.
 */
enum { FFPY_ANCHOR_EVERY = 4096, FFPY_ANCHORS = 64 };

/* A pool while it is lent to a job; see loan.c. */
struct ffpy_loan {
    pid_t process; /* with thread, who has it */
    pid_t thread;  /* 0 = nobody has */
    bool is_main;
    pthread_mutex_t held; /* by the borrower, without the GIL */
    PyThreadState *state; /* of the borrower, while it has not got the GIL */
    bool is_open;         /* the bell is there, and watched */
    int bell[2];
    int outer_fd; /* where the interpreter wrote of signals before; or -1 */
};

struct ffpy_pool {
    PyObject_HEAD forkfold_pool *pool; /* NULL once it is closed */
    int fd;
    struct ffpy_start start;
    uint64_t last_serial;
    uint64_t generation; /* how often something has happened that threads may wait for */
    bool has_leader;     /* one of them sleeps in poll(), the others on their semaphores */
    int kick_fd;         /* wakes the leader */
    struct ffpy_waiter *followers;
    size_t open_things; /* calls and arrays, which have to go before the pool */
    bool closes;        /* as soon as there are none any more */
    bool is_lost;       /* its supervisor has died */
    struct ffpy_array *arrays;
    size_t open_calls;                              /* and pipelines: those among the open things */
    forkfold_queue *forgotten[FORKFOLD_QUEUES_MAX]; /* closed when there is no call any more */
    unsigned forgotten_count;
    struct ffpy_blocks spare; /* for the next calls: memory costs most when it is first touched */
    struct ffpy_blocks kept;  /* what workers still refer to */
    struct ffpy_bytes scratch[2];
    PyObject *anchors[FFPY_ANCHORS]; /* each may be NULL */
    struct ffpy_loan loan;
};

typedef struct ffpy_array {
    PyObject_HEAD ffpy_pool *pool;
    forkfold_shared *shared;
    char *data;
    size_t bytes;
    bool is_spare; /* its memory is kept for the next call */
    struct ffpy_array *next;
} ffpy_array;

extern PyTypeObject ffpy_array_type;
extern PyTypeObject ffpy_pool_type;
extern PyTypeObject ffpy_call_type;
extern PyTypeObject ffpy_pipeline_type;
extern PyTypeObject ffpy_queue_type;

/* Raises what a code of the C library means.  Returns NULL. */
PyObject *ffpy_raise(const ffpy_pool *pool, int code, const char *message);

/* Whether it can be used, once it is not lent.  False with an exception. */
bool ffpy_pool_check(ffpy_pool *pool);

/* Something has happened: whoever waits has another look. */
void ffpy_pool_notify(ffpy_pool *pool);

/* A call or an array is gone; closes the pool if it waits for that. */
void ffpy_pool_drop(ffpy_pool *pool);

/*
 * Lends the pool to this thread, which goes on without the GIL, until it gives it back with the code
 * of what it did.  Both are false with an exception.  After the first one was true the caller drops the pool.
 */
bool ffpy_pool_borrow(ffpy_pool *pool);
bool ffpy_pool_give_back(ffpy_pool *pool, int code);

bool ffpy_pool_is_lent(const ffpy_pool *pool);     /* to another thread */
bool ffpy_pool_is_borrowed(const ffpy_pool *pool); /* by this one */
void ffpy_pool_await(ffpy_pool *pool);             /* until it is not lent */

/* The job looks whether it has to end. */
void ffpy_pool_ring(const ffpy_pool *pool);
void ffpy_pool_close_bell(ffpy_pool *pool);

/* So many bytes of shared memory, all zero. */
PyObject *ffpy_array_new(ffpy_pool *pool, uint64_t bytes);

/* An array of the library's, which is the object's then; it is closed if there is none. */
PyObject *ffpy_array_adopt(ffpy_pool *pool, forkfold_shared *shared);

/* Likewise, of which so many bytes are used. */
PyObject *ffpy_array_of_block(ffpy_pool *pool, forkfold_shared *block, size_t bytes);

/* Whether workers see these bytes where they are. */
bool ffpy_is_in_array(const ffpy_pool *pool, const char *data, size_t bytes);

/*
 * The region is kept from children of the host.  What is used as if it were memory of the host's own
 * must not be missing there.
 */
void ffpy_lend_to_children(void *data, size_t bytes);

/* ---- Jobs ---------------------------------------------------------------- */

/* Numbers of one type, in a buffer or in a copy. */
typedef struct ffpy_numbers {
    PyObject_HEAD forkfold_numbers numbers;
    Py_buffer view; /* or all zero */
    void *copy;     /* or NULL */
} ffpy_numbers;

typedef struct ffpy_matrix {
    PyObject_HEAD forkfold_matrix matrix;
    Py_buffer view;   /* or all zero */
    PyObject *memory; /* that was made for it, or NULL */
    bool are_integers;
    double greatest; /* of integers, whatever their signs */
    Py_ssize_t shape[2];
    Py_ssize_t strides[2];
} ffpy_matrix;

extern PyTypeObject ffpy_numbers_type;
extern PyTypeObject ffpy_matrix_type;

/* An integer of 64 bits at most, of exactly that type.  False if it is anything else. */
bool ffpy_as_int64(PyObject *object, int64_t *number);

/* So many doubles; false, without an exception, if there are others than floats among the items. */
bool ffpy_copy_floats(PyObject *const *items, double *numbers, Py_ssize_t count);

/* What a buffer's elements are; false if the jobs do not know it. */
bool ffpy_type_of_format(const char *format, Py_ssize_t itemsize, enum forkfold_type *type);

/* For PyArg_ParseTuple: a pool, or NULL for None. */
int ffpy_as_pool(PyObject *object, void *result);

/* Whether no sum of products of their integers is rounded, whatever the order. */
bool ffpy_matrix_is_exact(const ffpy_matrix *left, const ffpy_matrix *right);

/* One that can receive their product, in memory of the pool if there is one. */
PyObject *ffpy_matrix_product(ffpy_pool *pool, const ffpy_matrix *left, const ffpy_matrix *right);

/* Functions of the module; see _native.pyi. */
PyObject *ffpy_numbers_new(PyObject *module, PyObject *data);
PyObject *ffpy_matrix_new(PyObject *module, PyObject *args);
PyObject *ffpy_sum(PyObject *module, PyObject *args);
PyObject *ffpy_statistics(PyObject *module, PyObject *args);
PyObject *ffpy_multiply(PyObject *module, PyObject *args);
PyObject *ffpy_primes(PyObject *module, PyObject *args);
PyObject *ffpy_prime_list(PyObject *module, PyObject *args);
PyObject *ffpy_count_primes(PyObject *module, PyObject *args);

/* Begins a call; see begin() in _native.pyi. */
PyObject *ffpy_call_begin(ffpy_pool *pool, PyObject *args);

/* Opens a pipeline; see pipeline() in _native.pyi. */
PyObject *ffpy_pipeline_new(ffpy_pool *pool, PyObject *args);

/* Opens a queue, and closes those that nobody knows any more. */
PyObject *ffpy_queue_new(ffpy_pool *pool, PyObject *args);
PyObject *ffpy_queue_attach(PyObject *module, PyObject *args);
void ffpy_queues_close(ffpy_pool *pool);

/* New exceptions: of an outcome that is no value, and of an item that failed. */
PyObject *ffpy_make_error(uint32_t outcome, PyObject *value, uint64_t index);
PyObject *ffpy_make_failed(const forkfold_item_failure *failure, uint64_t index);
/* The list of x * x + sin(x) * cos(x) for a list of numbers; None if there are others than floats and
 * small integers among them. */
PyObject *ffpy_pool_curve(ffpy_pool *pool, PyObject *list);

#endif
