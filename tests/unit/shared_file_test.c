/* SPDX-License-Identifier: Apache-2.0 */
/* Shared arrays in files: what workers read and write there, and what becomes of bad files. */
#include "item_script.h"

#include <ftw.h>
#include <inttypes.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <forkfold/curve.h>
#include <forkfold/error.h>
#include <forkfold/matrices.h>
#include <forkfold/numbers.h>

#include "pool/call.h"
#include "pool/shared_array.h"
#include "random_keys.h"

/* ---- Files --------------------------------------------------------------- */

static char folder[256];

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/shared_file_XXXXXX", parent != NULL ? parent : "/tmp");
    return mkdtemp(folder) == NULL || make_script(state) != 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int empty_folder(void **state)
{
    return remove_folder(state) != 0 || mkdir(folder, 0700) != 0 || reset_script(state) != 0;
}

#define WITH_FILES(test) cmocka_unit_test_setup(test, empty_folder)

/* Of a name in the folder; lives until the next but three. */
static const char *path_of(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* The 64-bit numbers of a file are first, first + 1, ... */
static const char *make_file(const char *name, uint64_t before, uint64_t count, uint64_t first)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (uint64_t i = 0; i < before; i++)
        assert_int_equal(putc('x', file), 'x');
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = first + i;

        assert_int_equal(fwrite(&number, sizeof(number), 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
    return path;
}

static uint64_t *read_file(const char *path, uint64_t before, uint64_t count)
{
    uint64_t *numbers = make_numbers(count);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_int_equal(fseek(file, (long)before, SEEK_SET), 0);
    assert_int_equal(fread(numbers, sizeof(*numbers), count, file), count);
    assert_int_equal(getc(file), EOF);
    fclose(file);
    return numbers;
}

static bool exists(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0;
}

static forkfold_shared *open_with(forkfold_pool *pool, const forkfold_file_options *options)
{
    forkfold_shared *shared = NULL;

    assert_works(pool, forkfold_shared_open_file(pool, options, &shared));
    assert_non_null(shared);
    return shared;
}

static forkfold_shared *open_numbers(forkfold_pool *pool, const char *path,
                                     enum forkfold_file_access access, uint64_t count)
{
    return open_with(pool,
                     &(forkfold_file_options){
                         .path = path, .access = access, .type = FORKFOLD_U64, .count = count});
}

/* ---- Calls --------------------------------------------------------------- */

/* Its context is where to; its argument a number, whatever the sanitizer thinks of its address. */
__attribute__((no_sanitize("undefined"))) static int write_next(const forkfold_item *item)
{
    uint64_t *to = *(uint64_t *const *)item->context;
    int code = suffer(item);

    to[item->index] = *(const uint64_t *)item->arguments[0] + 1;
    return code;
}

/* The result is the argument's address, and thereby what is there. */
static int read_number(const forkfold_item *item)
{
    int code = suffer(item);

    *(uint64_t *)item->result = *(const uint64_t *)item->arguments[0];
    return code;
}

static forkfold_call_options reading(const forkfold_shared *shared)
{
    return (forkfold_call_options){
        .function = read_number,
        .count = forkfold_shared_count(shared),
        .arrays = {{.data = forkfold_shared_data(shared), .item_bytes = sizeof(uint64_t)}},
        .array_count = 1,
        .result_bytes = sizeof(uint64_t)};
}

/* Workers see first, first + 1, ... there. */
static void assert_workers_read(forkfold_pool *pool, const forkfold_shared *shared, uint64_t first)
{
    forkfold_call_options options = reading(shared);
    forkfold_call *call = NULL;
    const uint64_t *results;

    options.chunk = options.count / 7 + 1;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    results = forkfold_call_results(call);
    for (uint64_t i = 0; i < options.count; i++)
        if (results[i] != first + i)
            fail_msg("number %llu is %llu", (unsigned long long)i, (unsigned long long)results[i]);
    forkfold_call_close(call);
}

/* ---- Good files ---------------------------------------------------------- */

enum { COUNT = 3000 };

static void new_file_holds_what_workers_write(void **state)
{
    forkfold_pool *pool = open_pool(2);
    const char *from = make_file("from", 0, COUNT, 100);
    const char *to = path_of("to");
    forkfold_shared *input = open_numbers(pool, from, FORKFOLD_FILE_READ, 0);
    forkfold_shared *output = open_numbers(pool, to, FORKFOLD_FILE_CREATE, COUNT);
    uint64_t *made = forkfold_shared_data(output);
    forkfold_call_options options = reading(input);
    forkfold_call *call = NULL;
    uint64_t *numbers;

    (void)state;
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(made[i], 0);
    options.function = write_next;
    options.result_bytes = 0;
    options.context = &made;
    options.context_bytes = sizeof(made);
    options.outputs[0] = output;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    made[0] = 7;
    assert_works(pool, forkfold_shared_sync(output));
    assert_works(pool, forkfold_shared_sync(input));
    forkfold_shared_close(input);
    forkfold_shared_close(output);
    numbers = read_file(to, 0, COUNT);
    assert_int_equal(numbers[0], 7);
    for (uint64_t i = 1; i < COUNT; i++)
        assert_int_equal(numbers[i], 101 + i);
    free(numbers);
    numbers = read_file(from, 0, COUNT);
    assert_int_equal(numbers[COUNT - 1], 100 + COUNT - 1);
    free(numbers);
    /* Again, to be changed in place. */
    output = open_numbers(pool, to, FORKFOLD_FILE_WRITE, 0);
    assert_int_equal(forkfold_shared_count(output), COUNT);
    options.arrays[0].data = made = forkfold_shared_data(output);
    options.outputs[0] = output;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    forkfold_shared_close(output);
    forkfold_pool_close(pool);
    numbers = read_file(to, 0, COUNT);
    assert_int_equal(numbers[0], 8);
    assert_int_equal(numbers[COUNT - 1], 102 + COUNT - 1);
    free(numbers);
}

static void numbers_of_a_file_are_added_where_they_lie(void **state)
{
    forkfold_pool *pool = open_pool(2);
    const char *path = path_of("doubles");
    FILE *file = fopen(path, "w");
    forkfold_shared *shared;
    double sum = 0;

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 200000; i++) {
        double number = i + 0.5;

        fwrite(&number, sizeof(number), 1, file);
    }
    assert_int_equal(fclose(file), 0);
    shared = open_with(pool, &(forkfold_file_options){.path = path, .type = FORKFOLD_F64});
    assert_true(ff_is_shared(pool, forkfold_shared_data(shared), 200000 * sizeof(double)));
    assert_works(pool,
                 forkfold_sum_floats(pool,
                                     &(forkfold_numbers){.data = forkfold_shared_data(shared),
                                                         .count = forkfold_shared_count(shared),
                                                         .type = FORKFOLD_F64},
                                     &sum));
    assert_true(sum == 200000.0 * 100000.0);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void arrays_begin_anywhere_in_a_file(void **state)
{
    static const uint64_t before[] = {0, 8, 128, 4088, 4096, 4104, 8192, 12288 + 512};
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
        for (uint64_t count = 1; count < 2000; count = count * 8 + 3) {
            const char *path = make_file("part", before[i], 2000, i);
            forkfold_file_options options = {.path = path,
                                             .type = FORKFOLD_U64,
                                             .count = count % 2 == 0 ? 0 : count,
                                             .offset = before[i]};
            forkfold_shared *shared = open_with(pool, &options);

            assert_int_equal(forkfold_shared_count(shared), count % 2 == 0 ? 2000 : count);
            assert_int_equal(forkfold_shared_type(shared), FORKFOLD_U64);
            assert_int_equal((uintptr_t)forkfold_shared_data(shared) % 4096, before[i] % 4096);
            assert_workers_read(pool, shared, i);
            forkfold_shared_close(shared);
        }
    forkfold_pool_close(pool);
}

static void new_file_may_have_room_in_front(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *path = path_of("new");
    forkfold_shared *shared =
        open_with(pool, &(forkfold_file_options){.path = path,
                                                 .access = FORKFOLD_FILE_CREATE,
                                                 .type = FORKFOLD_U8,
                                                 .count = 5001,
                                                 .offset = 4099});
    struct stat status;

    (void)state;
    ((unsigned char *)forkfold_shared_data(shared))[5000] = 9;
    forkfold_shared_close(shared);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 4099 + 5001);
    /* The disk for it was taken. */
    assert_true((uint64_t)status.st_blocks * 512 >= 4099 + 5001);
    forkfold_pool_close(pool);
}

static void file_to_be_read_cannot_be_written(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *path = make_file("input", 0, 10, 5);
    forkfold_shared *shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 0);
    uint64_t *numbers = forkfold_shared_data(shared);
    forkfold_call_options options = reading(shared);
    forkfold_call *call = NULL;
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    (void)state;
    options.function = write_next;
    options.result_bytes = 0;
    options.context = &numbers;
    options.context_bytes = sizeof(numbers);
    options.count = 1;
    options.retries_plus_one = 1;
    options.outputs[0] = shared;
    assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_INVALID);
    assert_non_null(strstr(forkfold_pool_message(pool), "opened to be read"));
    options.outputs[0] = NULL;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->signal, SIGSEGV);
    assert_int_equal(forkfold_call_failure(call, 0)->address, (uintptr_t)numbers);
    forkfold_call_close(call);
    /* Nor here. */
    assert_int_equal(read(zero, numbers, 8), -1);
    assert_int_equal(errno, EFAULT);
    close(zero);
    assert_workers_read(pool, shared, 5);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* Neither by the host, which computes a little by itself, nor by workers. */
static void nothing_is_computed_into_a_file_to_be_read(void **state)
{
    enum { ROWS = 1024, MANY = ROWS * ROWS };
    forkfold_pool *pool = open_pool(2);
    double *numbers = calloc(MANY, sizeof(*numbers));
    forkfold_shared *shared =
        open_with(pool, &(forkfold_file_options){.path = make_file("output", 0, MANY, 0),
                                                 .type = FORKFOLD_F64});
    double *in_file = forkfold_shared_data(shared);

    (void)state;
    assert_non_null(numbers);
    for (uint64_t rows = 1; rows <= ROWS; rows *= ROWS) {
        forkfold_matrix factor = forkfold_matrix_of(numbers, FORKFOLD_F64, rows, rows);
        forkfold_matrix product = forkfold_matrix_of(in_file, FORKFOLD_F64, rows, rows);

        assert_int_equal(forkfold_map_curve(pool, numbers, rows * rows, in_file),
                         FORKFOLD_E_INVALID);
        assert_non_null(strstr(forkfold_pool_message(pool), "opened to be read"));
        assert_int_equal(forkfold_multiply_matrices(pool, &factor, &factor, &product),
                         FORKFOLD_E_INVALID);
        assert_non_null(strstr(forkfold_pool_message(pool), "opened to be read"));
    }
    /* What is read may lie there. */
    assert_works(pool, forkfold_map_curve(pool, in_file, MANY, numbers));
    forkfold_shared_close(shared);
    free(numbers);
    forkfold_pool_close(pool);
}

/* A file that workers may write is read-only for those of other calls. */
static void only_outputs_are_written(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared = open_numbers(pool, path_of("output"), FORKFOLD_FILE_CREATE, 1);
    uint64_t *numbers = forkfold_shared_data(shared);
    forkfold_call_options options = reading(shared);

    (void)state;
    options.function = write_next;
    options.result_bytes = 0;
    options.context = &numbers;
    options.context_bytes = sizeof(numbers);
    options.retries_plus_one = 1;
    for (unsigned round = 0; round < 5; round++) {
        forkfold_call *call = NULL;

        options.outputs[0] = round % 2 == 1 ? shared : NULL;
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), round % 2 == 1 ? 0 : 1);
        forkfold_call_close(call);
    }
    assert_int_equal(numbers[0], 2);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* ---- The lives of workers ------------------------------------------------ */

static void workers_at_work_see_what_is_opened_then(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options waiting = {.function = wait_at_gate, .count = 2, .chunk = 1};
    forkfold_call *gate = NULL;
    forkfold_call *call = NULL;
    forkfold_shared *shared;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &waiting, &gate));
    await_reached(2);
    shared = open_numbers(pool, make_file("late", 0, COUNT, 9), FORKFOLD_FILE_READ, 0);

    forkfold_call_options options = reading(shared);

    assert_works(pool, forkfold_map_async(pool, &options, &call));
    open_gate();
    assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    assert_int_equal(((const uint64_t *)forkfold_call_results(call))[COUNT - 1], 9 + COUNT - 1);
    assert_works(pool, forkfold_call_wait(gate, UINT64_MAX));
    forkfold_call_close(call);
    forkfold_call_close(gate);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void replacements_see_it_too(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_shared *shared =
        open_numbers(pool, make_file("input", 0, COUNT, 1), FORKFOLD_FILE_READ, 0);

    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        plan(i % 2 ? KILL : SEGV, i * 123, 1);
    assert_workers_read(pool, shared, 1);
    assert_true(script->runs > COUNT);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void recycled_workers_see_it_too(void **state)
{
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = 2, .tasks_per_worker = 1});
    forkfold_shared *shared =
        open_numbers(pool, make_file("input", 0, COUNT, 1), FORKFOLD_FILE_READ, 0);

    (void)state;
    assert_workers_read(pool, shared, 1);
    assert_workers_read(pool, shared, 1);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* ---- Closing ------------------------------------------------------------- */

/* The same workers, at the same addresses. */
static void addresses_serve_one_file_after_the_other(void **state)
{
    forkfold_pool *pool = open_pool(2);
    void *first = NULL;

    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        char name[16];

        snprintf(name, sizeof(name), "%" PRIu64, round);

        forkfold_shared *shared =
            open_numbers(pool, make_file(name, 0, COUNT, 1000 * round), FORKFOLD_FILE_WRITE, 0);

        if (first == NULL)
            first = forkfold_shared_data(shared);
        assert_ptr_equal(forkfold_shared_data(shared), first);
        assert_workers_read(pool, shared, 1000 * round);
        ((uint64_t *)forkfold_shared_data(shared))[0] = 5;
        forkfold_shared_close(shared);
    }
    for (uint64_t round = 0; round < 20; round++) {
        char name[16];
        uint64_t *numbers;

        snprintf(name, sizeof(name), "%" PRIu64, round);
        numbers = read_file(path_of(name), 0, COUNT);
        assert_int_equal(numbers[0], 5);
        for (uint64_t i = 1; i < COUNT; i++)
            assert_int_equal(numbers[i], 1000 * round + i);
        free(numbers);
    }
    forkfold_pool_close(pool);
}

/* Addresses of files are never memory, so what is opened next is empty, and no file. */
static void memory_after_a_file_is_zero(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared = NULL;
    const char *path = make_file("input", 0, COUNT, 1);
    forkfold_call_options options;
    forkfold_call *call = NULL;
    uint64_t *numbers;

    (void)state;
    shared = open_numbers(pool, path, FORKFOLD_FILE_WRITE, 0);
    assert_workers_read(pool, shared, 1);
    options = reading(shared);
    forkfold_shared_close(shared);
    assert_works(pool, forkfold_shared_open(pool, FORKFOLD_U64, COUNT, &shared));
    numbers = forkfold_shared_data(shared);
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(numbers[i], 0);
        numbers[i] = 77 + i;
    }
    assert_workers_read(pool, shared, 77);
    assert_works(pool, forkfold_shared_sync(shared));
    forkfold_shared_close(shared);
    numbers = read_file(path, 0, COUNT);
    assert_int_equal(numbers[5], 6);
    free(numbers);
    /* What is closed cannot be reached any more. */
    assert_false(ff_is_shared(pool, options.arrays[0].data, 8));
    options.context = &options.arrays[0].data;
    options.context_bytes = sizeof(options.arrays[0].data);
    options.array_count = 0;
    options.count = 1;
    options.retries_plus_one = 1;
    options.function = write_next;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->signal, SIGSEGV);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static bool has_mapped(pid_t pid, const char *path)
{
    char name[64];
    char line[1024];
    bool found = false;
    FILE *maps;

    snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
    maps = fopen(name, "r");
    assert_non_null(maps);
    while (!found && fgets(line, sizeof(line), maps) != NULL)
        found = strstr(line, path) != NULL;
    fclose(maps);
    return found;
}

static unsigned descriptors_of(pid_t pid)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        char name[64];

        snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)pid, fd);
        count += exists(name);
    }
    return count;
}

static void nobody_holds_on_to_a_closed_file(void **state)
{
    forkfold_pool *pool = open_pool(2);
    pid_t supervisor = supervisor_of_only_pool();
    const char *path = make_file("input", 0, COUNT, 1);
    unsigned here = open_descriptors();
    pid_t workers[2];
    forkfold_shared *other;
    forkfold_shared *shared;

    (void)state;
    /* It answers when it has all that it needs by itself. */
    other = open_numbers(pool, make_file("other", 0, 1, 1), FORKFOLD_FILE_READ, 0);

    unsigned there = descriptors_of(supervisor);

    shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 0);
    assert_int_equal(open_descriptors(), here);
    assert_int_equal(descriptors_of(supervisor), there + 1);
    assert_workers_read(pool, shared, 1);
    assert_true(has_mapped(getpid(), path));
    forkfold_shared_close(shared);
    assert_false(has_mapped(getpid(), path));
    assert_int_equal(children_of(supervisor, workers, 2), 2);
    for (unsigned i = 0; i < 2; i++)
        while (has_mapped(workers[i], path))
            sched_yield();
    while (descriptors_of(supervisor) != there)
        sched_yield();
    forkfold_shared_close(other);
    forkfold_pool_close(pool);
}

/* The pool may be closed before them: then there are only the handles, which belong to nobody. */
static void pool_that_is_closed_lets_go_of_files(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *path = make_file("input", 0, COUNT, 1);
    forkfold_shared *shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 0);

    (void)state;
    forkfold_pool_close(pool);
    assert_false(has_mapped(getpid(), path));
    free(shared->path);
    free(shared);
}

static void a_pool_has_so_many_files(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_shared *all[FORKFOLD_FILES_MAX];
    forkfold_shared *one_more = NULL;
    const char *path = make_file("input", 0, COUNT, 0);

    (void)state;
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++)
        all[i] =
            open_with(pool, &(forkfold_file_options){
                                .path = path, .type = FORKFOLD_U64, .count = 8, .offset = 8 * i});
    assert_int_equal(
        forkfold_shared_open_file(
            pool, &(forkfold_file_options){.path = path, .type = FORKFOLD_U64}, &one_more),
        FORKFOLD_E_LIMIT);
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i += 51)
        assert_workers_read(pool, all[i], i);
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++)
        forkfold_shared_close(all[i]);
    forkfold_pool_close(pool);
}

static void forked_child_has_none(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *path = make_file("input", 0, COUNT, 3);
    forkfold_shared *shared = open_numbers(pool, path, FORKFOLD_FILE_WRITE, 0);
    forkfold_file_options options = {.path = path, .type = FORKFOLD_U64};
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        forkfold_shared *another = NULL;
        bool told = forkfold_shared_open_file(pool, &options, &another) == FORKFOLD_E_FORKED &&
                    forkfold_shared_sync(shared) == FORKFOLD_E_FORKED &&
                    !has_mapped(getpid(), path);

        forkfold_shared_close(shared);
        forkfold_pool_close(pool);
        _exit(told ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_workers_read(pool, shared, 3);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* ---- Bad files ----------------------------------------------------------- */

struct bad {
    forkfold_file_options options;
    int code;
    const char *sentence; /* holds this */
};

static void assert_refused(forkfold_pool *pool, const struct bad *bad)
{
    forkfold_shared *shared = NULL;
    int code = forkfold_shared_open_file(pool, &bad->options, &shared);

    if (code != bad->code || strstr(forkfold_pool_message(pool), bad->sentence) == NULL)
        fail_msg("%d '%s' instead of %d '%s'", code, forkfold_pool_message(pool), bad->code,
                 bad->sentence);
    assert_null(shared);
}

static void bad_files_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *ten = make_file("ten", 0, 10, 0);
    char deep[700] = "/";

    (void)state;
    for (size_t i = 1; i + 1 < sizeof(deep); i++)
        deep[i] = i % 100 == 0 ? '/' : 'd';
    make_file("odd", 3, 10, 0);
    make_file("empty", 0, 0, 0);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);

    char fifo[512];
    char odd[512];
    char empty[512];

    snprintf(fifo, sizeof(fifo), "%s", path_of("fifo"));
    snprintf(odd, sizeof(odd), "%s", path_of("odd"));
    snprintf(empty, sizeof(empty), "%s", path_of("empty"));
    ten = path_of("ten");

    const struct bad all[] = {
        {{.path = NULL, .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "no name"},
        {{.path = "", .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "no name"},
        {{.path = ten, .size = 3}, FORKFOLD_E_INVALID, "version"},
        {{.path = ten, .type = (enum forkfold_type)99}, FORKFOLD_E_INVALID, "type"},
        {{.path = ten, .access = (enum forkfold_file_access)3}, FORKFOLD_E_INVALID, "no way"},
        {{.path = ten, .type = FORKFOLD_U64, .offset = 4}, FORKFOLD_E_INVALID, "byte 4"},
        {{.path = ten, .type = FORKFOLD_U64, .offset = 80}, FORKFOLD_E_INVALID, "too few"},
        {{.path = ten, .type = FORKFOLD_U64, .count = 11}, FORKFOLD_E_INVALID, ten},
        {{.path = ten, .type = FORKFOLD_U64, .count = 1, .offset = 80},
         FORKFOLD_E_INVALID,
         "80 bytes"},
        {{.path = ten, .type = FORKFOLD_U64, .count = UINT64_MAX}, FORKFOLD_E_INVALID, "larger"},
        {{.path = ten, .count = INT64_MAX, .offset = 5}, FORKFOLD_E_INVALID, "larger"},
        {{.path = ten, .count = 1, .offset = UINT64_MAX}, FORKFOLD_E_INVALID, "larger"},
        {{.path = odd, .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "within an element"},
        {{.path = empty, .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "too few"},
        {{.path = fifo, .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "no regular file"},
        {{.path = folder, .type = FORKFOLD_U64}, FORKFOLD_E_INVALID, "no regular file"},
        {{.path = folder, .access = FORKFOLD_FILE_WRITE}, FORKFOLD_E_INVALID, "directory"},
        {{.path = "/dev/zero"}, FORKFOLD_E_INVALID, "no regular file"},
        {{.path = "/nonexistent/file"}, FORKFOLD_E_NOT_FOUND, "'/nonexistent/file'"},
        {{.path = deep}, FORKFOLD_E_NOT_FOUND, "No such file"},
        {{.path = "/nonexistent/file", .access = FORKFOLD_FILE_CREATE, .count = 1},
         FORKFOLD_E_NOT_FOUND,
         "create"},
        {{.path = ten, .access = FORKFOLD_FILE_CREATE, .count = 1}, FORKFOLD_E_INVALID, "remove"},
        {{.path = "new", .access = FORKFOLD_FILE_CREATE}, FORKFOLD_E_INVALID, "number"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_refused(pool, &all[i]);
    assert_int_equal(forkfold_shared_open_file(pool, NULL, NULL), FORKFOLD_E_INVALID);
    assert_false(exists("new"));
    forkfold_pool_close(pool);
}

static void places_that_cannot_be_written_are_named(void **state)
{
    forkfold_pool *pool;
    const char *ten = make_file("ten", 0, 10, 0);
    struct bad write = {{.path = ten, .access = FORKFOLD_FILE_WRITE, .type = FORKFOLD_U64},
                        FORKFOLD_E_SYSTEM,
                        "may be written"};
    struct bad create = {
        {.path = path_of("new"), .access = FORKFOLD_FILE_CREATE, .type = FORKFOLD_U64, .count = 1},
        FORKFOLD_E_SYSTEM,
        "may be written"};

    (void)state;
    if (geteuid() == 0)
        skip(); /* may write everywhere */
    pool = open_pool(1);
    assert_int_equal(chmod(ten, 0400), 0);
    assert_int_equal(chmod(folder, 0500), 0);
    assert_refused(pool, &write);
    assert_refused(pool, &create);
    assert_int_equal(chmod(folder, 0700), 0);
    forkfold_pool_close(pool);
}

/* Nothing is left of a file for which there is no room. */
static void disk_without_room_is_named(void **state)
{
    forkfold_pool *pool = open_pool(1);
    const char *path = path_of("large");
    struct rlimit old;
    struct statvfs disk;
    struct bad full = {{.path = path, .access = FORKFOLD_FILE_CREATE, .type = FORKFOLD_U8},
                       FORKFOLD_E_SYSTEM,
                       "free space"};
    struct bad long_file = {
        {.path = path, .access = FORKFOLD_FILE_CREATE, .type = FORKFOLD_U8, .count = 100001},
        FORKFOLD_E_SYSTEM,
        "ulimit -f"};

    (void)state;
    assert_int_equal(statvfs(folder, &disk), 0);
    if (disk.f_blocks > 0) {
        full.options.count = disk.f_frsize * (disk.f_blocks + 1000);
        assert_refused(pool, &full);
        assert_false(exists(path));
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);

    struct rlimit low = {.rlim_cur = 100000, .rlim_max = old.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_refused(pool, &long_file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(exists(path));
    forkfold_pool_close(pool);
}

static void file_that_became_shorter_fails_the_items_behind_its_end(void **state)
{
    enum { EACH = 4096 / sizeof(uint64_t), PAGES = 20, LEFT = 7 };
    forkfold_pool *pool = open_pool(2);
    const char *path = make_file("short", 0, PAGES * EACH, 0);
    forkfold_shared *shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 0);
    forkfold_call_options options = reading(shared);
    forkfold_call *call = NULL;

    (void)state;
    assert_int_equal(truncate(path, LEFT * 4096), 0);
    options.count = PAGES;
    options.chunk = 3;
    options.arrays[0].item_bytes = 4096;
    options.retries_plus_one = 1;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), PAGES - LEFT);
    for (unsigned i = 0; i < PAGES - LEFT; i++) {
        const forkfold_item_failure *failure = forkfold_call_failure(call, i);

        assert_in_range(failure->index, LEFT, PAGES - 1);
        assert_int_equal(failure->signal, SIGBUS);
        assert_non_null(strstr(failure->detail, path));
        assert_non_null(strstr(failure->detail, "shorter"));
    }
    for (uint64_t i = 0; i < LEFT; i++)
        assert_int_equal(((const uint64_t *)forkfold_call_results(call))[i], i * EACH);
    forkfold_call_close(call);
    forkfold_shared_close(shared);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

/* ---- Limits -------------------------------------------------------------- */

static void few_addresses_are_an_error(void **state)
{
    enum { MIB = 1 << 20 };
    struct rlimit old;
    forkfold_pool *pool;
    const char *path = make_file("sparse", 0, 1, 0);
    forkfold_shared *shared;
    struct bad large = {{.path = path}, FORKFOLD_E_LIMIT, "ulimit -v"};

    (void)state;
    if (SANITIZED)
        skip(); /* their shadow memory does not fit any limit */
    assert_int_equal(truncate(path, 100 * MIB), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);

    struct rlimit low = {.rlim_cur = (rlim_t)1024 * MIB, .rlim_max = old.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    pool = open_pool(1);
    assert_refused(pool, &large);
    shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 1);
    assert_workers_read(pool, shared, 0);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
}

static void limit_descriptors(pid_t pid, rlim_t most, struct rlimit *old)
{
    struct rlimit low = {.rlim_cur = most};

    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, old), 0);
    low.rlim_max = old->rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &low, NULL), 0);
}

static void supervisor_without_descriptors_is_an_error(void **state)
{
    forkfold_pool *pool = open_pool(1);
    pid_t supervisor = supervisor_of_only_pool();
    struct bad create = {{.path = path_of("new"), .access = FORKFOLD_FILE_CREATE, .count = 1},
                         FORKFOLD_E_SYSTEM,
                         "ulimit -n"};
    struct rlimit old;

    (void)state;
    assert_pool_is_well(pool); /* it has all that it needs by itself */
    limit_descriptors(supervisor, 1, &old);
    assert_refused(pool, &create);
    assert_false(exists(create.options.path));
    assert_int_equal(prlimit(supervisor, RLIMIT_NOFILE, &old, NULL), 0);

    forkfold_shared *shared = open_with(pool, &create.options);

    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static int take_descriptors_away(const forkfold_item *item)
{
    struct rlimit low = {.rlim_cur = 1, .rlim_max = 1};

    (void)item;
    return setrlimit(RLIMIT_NOFILE, &low);
}

/* The one that cannot map it makes room for one that can. */
static void worker_without_descriptors_is_replaced(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared;

    (void)state;
    assert_works(pool, forkfold_apply(pool, take_descriptors_away, NULL, 0, NULL, 0));
    shared = open_numbers(pool, make_file("input", 0, COUNT, 3), FORKFOLD_FILE_READ, 0);
    assert_workers_read(pool, shared, 3);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

static void lost_supervisor_is_an_error(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_shared *shared =
        open_numbers(pool, make_file("input", 0, COUNT, 3), FORKFOLD_FILE_READ, 0);
    struct bad create = {{.path = path_of("new"), .access = FORKFOLD_FILE_CREATE, .count = 1},
                         FORKFOLD_E_SUPERVISOR,
                         "supervisor"};
    pid_t supervisor = supervisor_of_only_pool();
    siginfo_t end;

    (void)state;
    kill(supervisor, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)supervisor, &end, WEXITED | WNOWAIT), 0);
    assert_refused(pool, &create);
    assert_false(exists(create.options.path));
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* It takes the descriptor, and says nothing. */
static void stopped_supervisor_is_an_error(void **state)
{
    forkfold_pool *pool = open_pool(1);
    struct bad create = {{.path = path_of("new"), .access = FORKFOLD_FILE_CREATE, .count = 1},
                         FORKFOLD_E_SUPERVISOR,
                         "supervisor"};
    pid_t supervisor = supervisor_of_only_pool();
    siginfo_t end;

    (void)state;
    kill(supervisor, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)supervisor, &end, WSTOPPED | WNOWAIT), 0);
    assert_refused(pool, &create);
    assert_false(exists(create.options.path));
    forkfold_pool_close(pool);
}

/* ---- Deaths -------------------------------------------------------------- */

static pid_t start_killer(uint64_t seed)
{
    pid_t supervisor = supervisor_of_only_pool();
    pid_t killer = fork();

    if (killer != 0)
        return killer;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
    for (uint64_t i = seed;; i++) {
        pid_t workers[8];
        unsigned count = children_of(supervisor, workers, 8);
        uint64_t until = ff_clock_ns() + mix(i) % (4 * FF_NS_PER_MS);

        if (count > 0)
            kill(workers[mix(i + 1) % count], SIGKILL);
        while (ff_clock_ns() < until)
            sched_yield();
    }
}

/* Files come and go while workers do; whatever is open is read as it is. */
static void random_kills_mix_no_files_up(void **state)
{
    enum { FILES = 8, OPEN = 5, ROUNDS = SANITIZED ? 60 : 400 };
    const char *names[FILES] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = 3, .max_deaths = 1000000});
    forkfold_shared *open[OPEN] = {NULL};
    uint64_t first[OPEN] = {0};
    pid_t killer;

    (void)state;
    for (uint64_t i = 0; i < FILES; i++)
        make_file(names[i], 0, (i + 1) * 700, i * 100000);
    killer = start_killer(random_u64());
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t slot = random_below(OPEN);
        size_t file = random_below(FILES);
        forkfold_call *call = NULL;

        if (open[slot] == NULL) {
            open[slot] = open_numbers(pool, path_of(names[file]),
                                      round % 2 ? FORKFOLD_FILE_READ : FORKFOLD_FILE_WRITE, 0);
            first[slot] = file * 100000;
        } else if (round % 3 == 0) {
            forkfold_shared_close(open[slot]);
            open[slot] = NULL;
            continue;
        }

        forkfold_call_options options = reading(open[slot]);

        options.chunk = 1 + random_below(1000);
        options.retries_plus_one = 1000000;
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), 0);
        for (uint64_t i = 0; i < options.count; i++)
            assert_int_equal(((const uint64_t *)forkfold_call_results(call))[i], first[slot] + i);
        forkfold_call_close(call);
    }
    kill(killer, SIGKILL);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    for (unsigned i = 0; i < OPEN; i++)
        forkfold_shared_close(open[i]);
    forkfold_pool_close(pool);
}

#ifdef FF_KILL_POINTS
static forkfold_pool *open_pool_that_dies(const char *point, unsigned at)
{
    char order[128];
    forkfold_pool *pool;

    snprintf(order, sizeof(order), "%s:kill:%u", point, at);
    setenv("FORKFOLD_KILL", order, 1);
    pool = open_pool(2);
    unsetenv("FORKFOLD_KILL");
    return pool;
}

static void worker_that_dies_on_its_way_to_a_file_is_replaced(void **state)
{
    static const char *const points[] = {"worker.file.ask", "worker.file.mapped"};
    const char *path = make_file("input", 0, COUNT, 3);

    (void)state;
    for (unsigned p = 0; p < 2; p++)
        for (unsigned at = 1; at <= 3; at++) {
            forkfold_pool *pool = open_pool_that_dies(points[p], at);
            forkfold_shared *shared = open_numbers(pool, path, FORKFOLD_FILE_READ, 0);
            forkfold_shared *again = open_numbers(pool, path, FORKFOLD_FILE_READ, 10);

            assert_workers_read(pool, shared, 3);
            assert_workers_read(pool, again, 3);
            forkfold_shared_close(shared);
            forkfold_shared_close(again);
            forkfold_pool_close(pool);
        }
}

static void supervisor_that_dies_over_a_file_is_an_error(void **state)
{
    forkfold_pool *pool = open_pool_that_dies("supervisor.file.kept", 1);
    struct bad create = {{.path = path_of("new"), .access = FORKFOLD_FILE_CREATE, .count = 1},
                         FORKFOLD_E_SUPERVISOR,
                         "supervisor"};

    (void)state;
    assert_refused(pool, &create);
    assert_false(exists(create.options.path));
    forkfold_pool_close(pool);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(new_file_holds_what_workers_write),
        WITH_FILES(numbers_of_a_file_are_added_where_they_lie),
        WITH_FILES(arrays_begin_anywhere_in_a_file),
        WITH_FILES(new_file_may_have_room_in_front),
        WITH_FILES(file_to_be_read_cannot_be_written),
        WITH_FILES(nothing_is_computed_into_a_file_to_be_read),
        WITH_FILES(only_outputs_are_written),
        WITH_FILES(workers_at_work_see_what_is_opened_then),
        WITH_FILES(replacements_see_it_too),
        WITH_FILES(recycled_workers_see_it_too),
        WITH_FILES(addresses_serve_one_file_after_the_other),
        WITH_FILES(memory_after_a_file_is_zero),
        WITH_FILES(nobody_holds_on_to_a_closed_file),
        WITH_FILES(pool_that_is_closed_lets_go_of_files),
        WITH_FILES(a_pool_has_so_many_files),
        WITH_FILES(forked_child_has_none),
        WITH_FILES(bad_files_are_refused),
        WITH_FILES(places_that_cannot_be_written_are_named),
        WITH_FILES(disk_without_room_is_named),
        WITH_FILES(file_that_became_shorter_fails_the_items_behind_its_end),
        WITH_FILES(few_addresses_are_an_error),
        WITH_FILES(supervisor_without_descriptors_is_an_error),
        WITH_FILES(worker_without_descriptors_is_replaced),
        WITH_FILES(lost_supervisor_is_an_error),
        WITH_FILES(stopped_supervisor_is_an_error),
        WITH_FILES(random_kills_mix_no_files_up),
#ifdef FF_KILL_POINTS
        WITH_FILES(worker_that_dies_on_its_way_to_a_file_is_replaced),
        WITH_FILES(supervisor_that_dies_over_a_file_is_an_error),
#endif
    };

    seed_random();
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
