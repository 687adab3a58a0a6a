/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads OpenBLAS has in the host and in workers, and what it does without memory. */
#include <dirent.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <forkfold.h>

enum { WORKERS = 2, SMALL = 10, LARGE = 400, THREADS = 3 };

static int (*get_threads)(void); /* of OpenBLAS, once the host has loaded it */

static forkfold_pool *open_pool(uint64_t memory_bytes)
{
    forkfold_pool_options options = {.workers = WORKERS, .worker_memory_bytes = memory_bytes};
    forkfold_pool *pool = NULL;
    char message[512] = "";

    if (forkfold_pool_open(&pool, &options, message, sizeof(message)) != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

/* Ones times ones. */
static int multiply(forkfold_pool *pool, uint64_t n)
{
    forkfold_shared *shared = NULL;
    forkfold_matrix ones;
    forkfold_matrix product;
    double *numbers;
    int code;

    assert_int_equal(forkfold_shared_open(pool, FORKFOLD_F64, n * n + 1, &shared), 0);
    numbers = forkfold_shared_data(shared);
    numbers[0] = 1;
    ones = (forkfold_matrix){numbers, FORKFOLD_F64, n, n, 0, 0};
    product = forkfold_matrix_of(numbers + 1, FORKFOLD_F64, n, n);
    code = forkfold_multiply_matrices(pool, &ones, &ones, &product);
    for (uint64_t i = 0; i < n * n && code == 0; i++)
        assert_true(numbers[i + 1] == (double)n);
    forkfold_shared_close(shared);
    return code;
}

static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = -2; /* the folder and its parent */

    while (tasks != NULL && readdir(tasks) != NULL)
        count++;
    if (tasks != NULL)
        closedir(tasks);
    return count;
}

struct seen {
    int threads;      /* of the worker */
    int blas_threads; /* that OpenBLAS would use, if the host has loaded it */
    char environment[32];
};

static int look(const forkfold_item *item)
{
    const char *named = getenv("OMP_NUM_THREADS");
    struct seen *seen = item->result;

    *seen = (struct seen){.threads = count_threads(),
                          .blas_threads = get_threads != NULL ? get_threads() : 0};
    strncpy(seen->environment, named != NULL ? named : "", sizeof(seen->environment) - 1);
    return 0;
}

/* After a product that all workers had a part in. */
static struct seen look_into_worker(forkfold_pool *pool)
{
    struct seen seen;

    assert_int_equal(multiply(pool, LARGE), 0);
    assert_int_equal(forkfold_apply(pool, look, NULL, 0, &seen, sizeof(seen)), 0);
    return seen;
}

/* The first test: later on OpenBLAS is there. */
static void openblas_starts_no_threads(void **state)
{
    forkfold_pool *pool = open_pool(0);
    int before = count_threads();
    struct seen seen;

    (void)state;
    assert_true(before >= 1);
    assert_int_equal(multiply(pool, SMALL), 0);
    assert_int_equal(count_threads(), before);
    seen = look_into_worker(pool);
    assert_int_equal(seen.threads, 1);
    assert_string_equal(seen.environment, "1");
    assert_null(getenv("OMP_NUM_THREADS"));
    assert_int_equal(count_threads(), before);
    forkfold_pool_close(pool);
}

/* As if the host itself used OpenBLAS. */
static void set_threads_in_host(void)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
    void (*set_threads)(int) = NULL;

    assert_non_null(library);
    *(void **)&get_threads = dlsym(library, "openblas_get_num_threads");
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    assert_non_null(get_threads);
    assert_non_null(set_threads);
    set_threads(THREADS);
    assert_int_equal(get_threads(), THREADS);
}

static void workers_have_one_thread_and_the_host_keeps_its_own(void **state)
{
    forkfold_pool *pool;
    struct seen seen;

    (void)state;
    set_threads_in_host();
    pool = open_pool(0);
    assert_int_equal(get_threads(), THREADS);
    seen = look_into_worker(pool);
    assert_int_equal(seen.blas_threads, 1);
    assert_int_equal(seen.threads, 1);
    assert_int_equal(multiply(pool, SMALL), 0);
    assert_int_equal(get_threads(), THREADS);
    forkfold_pool_close(pool);
}

static void environment_of_the_user_decides(void **state)
{
    static const char *const names[] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
                                        "OMP_NUM_THREADS"};

    (void)state;
    set_threads_in_host();
    for (unsigned i = 0; i < 3; i++) {
        forkfold_pool *pool;
        struct seen seen;

        assert_int_equal(setenv(names[i], "2", 1), 0);
        pool = open_pool(0);
        assert_int_equal(forkfold_apply(pool, look, NULL, 0, &seen, sizeof(seen)), 0);
        assert_int_equal(seen.blas_threads, THREADS);
        assert_string_equal(seen.environment, i == 2 ? "2" : "");
        forkfold_pool_close(pool);
        assert_int_equal(unsetenv(names[i]), 0);
    }
}

static void worker_without_memory_for_openblas_says_so(void **state)
{
    forkfold_pool *pool;

    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* whose own memory counts, too */
#endif
    pool = open_pool(UINT64_C(32) << 20);
    assert_int_equal(multiply(pool, SMALL), 0);
    assert_int_equal(multiply(pool, LARGE), FORKFOLD_E_STOPPED);
    if (strstr(forkfold_pool_message(pool), "OpenBLAS needs") == NULL)
        fail_msg("it says: %s", forkfold_pool_message(pool));
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openblas_starts_no_threads),
        cmocka_unit_test(workers_have_one_thread_and_the_host_keeps_its_own),
        cmocka_unit_test(environment_of_the_user_decides),
        cmocka_unit_test(worker_without_memory_for_openblas_says_so),
    };

    if (unsetenv("OPENBLAS_NUM_THREADS") != 0 || unsetenv("GOTO_NUM_THREADS") != 0 ||
        unsetenv("OMP_NUM_THREADS") != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
