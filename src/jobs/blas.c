/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/blas.h"

#include <stdio.h>

#include <forkfold/error.h>

#ifdef FF_BLAS

#include <cblas.h>
#include <dlfcn.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/math_threads.h"

#define LIBRARY "libopenblas.so.0"

/*
 * The working memory of one thread of OpenBLAS, and something beside it.  Where it gets none,
 * OpenBLAS asks for ever.
 */
#define WORKING_BYTES ((size_t)160 << 20)

/* The functions of OpenBLAS that are used here, each a pointer of the same name and type. */
#define FUNCTIONS(each)                                                                            \
    each(cblas_dgemm) each(cblas_sgemm) each(openblas_get_num_threads)                             \
        each(openblas_set_num_threads)

#define POINTER(name) __typeof__(&(name)) name##_;

/* Of a thread, so that threads with a pool each need not agree. */
static _Thread_local struct {
    pid_t process; /* that has loaded it, or 0: a worker may get less memory than its driver */
    FUNCTIONS(POINTER)
} blas;

static bool find_functions(void *library)
{
#define LOAD(name)                                                                                 \
    *(void **)&blas.name##_ = dlsym(library, #name);                                               \
    if (blas.name##_ == NULL)                                                                      \
        return false;

    FUNCTIONS(LOAD)
#undef LOAD
    return true;
}

/*
 * As OpenBLAS is loaded it starts a thread for each CPU that the calling thread may use, so that is
 * one for the moment.  Where the kernel refuses that, there are some threads that nobody uses.
 */
static void *load_with_one_thread(void)
{
    cpu_set_t all;
    cpu_set_t here;
    int cpu = sched_getcpu();
    bool is_bound = false;
    void *library;

    if (cpu >= 0 && cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof(all), &all) == 0) {
        CPU_ZERO(&here);
        CPU_SET(cpu, &here);
        is_bound = sched_setaffinity(0, sizeof(here), &here) == 0;
    }
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (is_bound)
        (void)sched_setaffinity(0, sizeof(all), &all);
    return library;
}

/* Its threads are the user's, if there are any: those of the environment, or of whoever loaded it. */
static int load(char *problem, size_t problem_bytes)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    bool is_ours = library == NULL && !ff_math_threads_are_named();

    if (library == NULL)
        library = is_ours ? load_with_one_thread() : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL || !find_functions(library)) {
        snprintf(problem, problem_bytes,
                 "cannot load OpenBLAS, which multiplies matrices: %s; is it installed (on Debian "
                 "the package libopenblas0)?",
                 dlerror());
        return FORKFOLD_E_UNSUPPORTED;
    }
    if (is_ours && blas.openblas_get_num_threads_() > 1)
        blas.openblas_set_num_threads_(1);
    return 0;
}

static int check_room(char *problem, size_t problem_bytes)
{
    size_t bytes = WORKING_BYTES * (size_t)blas.openblas_get_num_threads_();
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (room == MAP_FAILED) {
        snprintf(problem, problem_bytes,
                 "OpenBLAS needs %zu MiB of address space in each process; raise the limit (ulimit "
                 "-v, or that of the pool's workers)",
                 bytes >> 20);
        return FORKFOLD_E_MEMORY;
    }
    munmap(room, bytes);
    return 0;
}

int ff_blas_load(char *problem, size_t problem_bytes)
{
    int code;

    if (blas.process == getpid())
        return 0;
    code = load(problem, problem_bytes);
    if (code == 0)
        code = check_room(problem, problem_bytes);
    if (code == 0)
        blas.process = getpid();
    return code;
}

void ff_blas_multiply(const struct ff_blas_call *call)
{
    CBLAS_TRANSPOSE left = call->left.is_transposed ? CblasTrans : CblasNoTrans;
    CBLAS_TRANSPOSE right = call->right.is_transposed ? CblasTrans : CblasNoTrans;

    if (call->type == FORKFOLD_F64)
        blas.cblas_dgemm_(CblasRowMajor, left, right, call->rows, call->columns, call->depth, 1,
                          call->left.data, call->left.stride, call->right.data, call->right.stride,
                          0, call->product, call->product_stride);
    else
        blas.cblas_sgemm_(CblasRowMajor, left, right, call->rows, call->columns, call->depth, 1,
                          call->left.data, call->left.stride, call->right.data, call->right.stride,
                          0, call->product, call->product_stride);
}

#else

int ff_blas_load(char *problem, size_t problem_bytes)
{
    snprintf(problem, problem_bytes,
             "this Forkfold was built without OpenBLAS, and multiplies no matrices; install its "
             "headers (on Debian the package libopenblas-dev) and build with -Dblas=enabled");
    return FORKFOLD_E_UNSUPPORTED;
}

/* Nobody gets here. */
void ff_blas_multiply(const struct ff_blas_call *call)
{
    (void)call;
}

#endif
