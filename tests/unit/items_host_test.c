/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on items and the process that makes them: its children, its other pools, its memory. */
#include "item_script.h"

#include <forkfold/words.h>

/* ---- Other processes ----------------------------------------------------- */

static void assert_child_ends_well(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("the child ended with status 0x%x", status);
}

enum parting { CLOSES_DONE, CLOSES_RUNNING, CANCELS, CLOSES_IMAP, CLOSES_POOL, PARTINGS };

static void part(enum parting how, forkfold_pool *pool, forkfold_call *calls[3])
{
    switch (how) {
    case CLOSES_DONE:
        forkfold_call_close(calls[0]);
        break;
    case CLOSES_RUNNING:
        forkfold_call_close(calls[1]);
        break;
    case CANCELS:
        forkfold_call_cancel(calls[1]);
        break;
    case CLOSES_IMAP:
        forkfold_call_close(calls[2]);
        break;
    default:
        forkfold_pool_close(pool);
        break;
    }
}

static int use_in_child(forkfold_pool *pool, forkfold_call *calls[3])
{
    const forkfold_call_options options = {.function = run_only, .count = 3};
    forkfold_call *call = NULL;
    forkfold_result result;

    if (forkfold_map(pool, &options, &call) != FORKFOLD_E_FORKED ||
        forkfold_imap(pool, &options, &call) != FORKFOLD_E_FORKED ||
        forkfold_apply(pool, run_only, NULL, 0, NULL, 0) != FORKFOLD_E_FORKED)
        return 1;
    if (forkfold_call_wait(calls[1], UINT64_MAX) != FORKFOLD_E_FORKED ||
        forkfold_call_next(calls[2], &result) != FORKFOLD_E_FORKED ||
        forkfold_call_result(calls[0], 0, &result) != FORKFOLD_E_FORKED ||
        forkfold_call_results(calls[0]) != NULL ||
        forkfold_pool_dispatch(pool) != FORKFOLD_E_FORKED)
        return 2;
    return call == NULL ? 0 : 3;
}

static void forked_child_may_only_part_from_pool_and_calls(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t *numbers = make_numbers(100);
    forkfold_call_options options = mix_options(numbers, 100);
    forkfold_call *calls[3];
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &calls[0]));
    options.function = wait_at_gate;
    options.count = 2;
    assert_works(pool, forkfold_map_async(pool, &options, &calls[1]));
    assert_works(pool, forkfold_imap(pool, &options, &calls[2]));
    await_reached(1);
    for (enum parting how = 0; how < PARTINGS; how++) {
        pid_t child = fork();

        if (child == 0) {
            int code = use_in_child(pool, calls);

            part(how, pool, calls);
            _exit(code);
        }
        assert_child_ends_well(child);
    }
    open_gate();
    assert_works(pool, forkfold_call_wait(calls[1], UINT64_MAX));
    assert_int_equal(forkfold_call_next(calls[2], &result), 1);
    assert_mixed(calls[0], numbers, 100);
    for (unsigned i = 0; i < 3; i++)
        forkfold_call_close(calls[i]);
    free(numbers);
    forkfold_pool_close(pool);
}

static volatile sig_atomic_t child_signals;

static void on_child(int number)
{
    (void)number;
    child_signals++;
}

static void hosts_children_are_its_own(void **state)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    int status;

    (void)state;
    sigaction(SIGCHLD, &action, NULL);
    pid_t own = fork();

    if (own == 0)
        _exit(9);
    forkfold_pool *pool = open_pool(2);

    plan(KILL, 5, 1);
    plan(SEGV, 7, 1);
    assert_pool_is_well(pool);
    assert_int_equal(waitpid(own, &status, 0), own);
    assert_int_equal(WEXITSTATUS(status), 9);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    assert_int_equal(waitpid(-1, &status, 0), -1);
    signal(SIGCHLD, SIG_DFL);
}

static void pools_work_side_by_side(void **state)
{
    enum { COUNT = 5000 };
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_pool *pools[2] = {open_pool(2), open_pool(1)};
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_call *calls[2];

    (void)state;
    options.chunk = 10;
    for (unsigned i = 0; i < 2; i++)
        assert_works(pools[i], forkfold_map_async(pools[i], &options, &calls[i]));
    for (unsigned i = 2; i-- > 0;) {
        assert_works(pools[i], forkfold_call_wait(calls[i], UINT64_MAX));
        assert_mixed(calls[i], numbers, COUNT);
        forkfold_call_close(calls[i]);
    }
    forkfold_pool_close(pools[0]);
    assert_pool_is_well(pools[1]);
    forkfold_pool_close(pools[1]);
    free(numbers);
}

/* ---- Workers' births and ends -------------------------------------------- */

static int count_initialization(void *context)
{
    script->inits++;
    return *(const int *)context == 4711 && script->inits_to_fail-- <= 0 ? 0 : 1;
}

static void initializer_runs_in_every_worker(void **state)
{
    int context = 4711;
    forkfold_pool_options options = {
        .workers = 2, .initializer = count_initialization, .initializer_context = &context};
    forkfold_pool *pool = open_pool_with(&options);

    (void)state;
    plan(KILL, 5, 2);
    assert_pool_is_well(pool);
    assert_true(script->inits >= 3);
    forkfold_pool_close(pool);
    reset_script(NULL);
    script->inits_to_fail = 3;
    pool = open_pool_with(&options);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void initializer_that_always_fails_ends_calls_with_its_code(void **state)
{
    int context = 0;
    forkfold_pool *pool = open_pool_with(&(forkfold_pool_options){
        .workers = 2, .initializer = count_initialization, .initializer_context = &context});
    forkfold_call_options options = {.function = run_only, .count = 5};
    forkfold_call *call = NULL;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_INITIALIZER);
    assert_int_equal(script->runs, 0);
    forkfold_pool_close(pool);
}

static void idle_workers_may_die_as_often_as_the_pool_says(void **state)
{
    enum { FAILING = 30 };
    int context = 4711;
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = 1,
                                                .initializer = count_initialization,
                                                .initializer_context = &context,
                                                .max_deaths = FAILING + 10});
    forkfold_call_options options = {.function = run_only, .count = 2};
    forkfold_call *call;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_imap(pool, &options, &call));
    assert_int_equal(forkfold_call_next(call, &result), 1);
    while (script->runs < 2)
        sched_yield();
    script->inits_to_fail = FAILING;
    kill(forkfold_pool_worker(pool, 0), SIGKILL);
    while (script->inits < FAILING + 2 && forkfold_pool_dispatch(pool) == 0)
        sched_yield();
    assert_int_equal(script->inits, FAILING + 2);
    assert_int_equal(forkfold_call_next(call, &result), 1);
    assert_int_equal(forkfold_call_next(call, &result), 0);
    forkfold_call_close(call);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void workers_make_room_after_their_share(void **state)
{
    (void)state;
    for (unsigned tasks = 1; tasks <= 7; tasks++) {
        int context = 4711;
        forkfold_pool *pool =
            open_pool_with(&(forkfold_pool_options){.workers = 2,
                                                    .initializer = count_initialization,
                                                    .initializer_context = &context,
                                                    .tasks_per_worker = tasks});

        reset_script(NULL);
        assert_pool_is_well(pool);
        /* 334 tasks; the last two workers may still be at theirs. */
        assert_true(script->inits >= 334 / (int)tasks - 2);
        forkfold_pool_close(pool);
    }
}

enum { EATEN = 8 << 20 };

static char *volatile eaten; /* or the compiler would save the trouble */

static int eat_memory(const forkfold_item *item)
{
    char *meal = eaten = malloc(EATEN);

    if (meal == NULL)
        return forkfold_item_fail(item, "no memory");
    memset(meal, 1, EATEN);
    *(pid_t *)item->result = getpid();
    return 0;
}

static unsigned distinct(const pid_t *pids, unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned first = 0;

        while (pids[first] != pids[i])
            first++;
        found += first == i;
    }
    return found;
}

static void workers_that_have_grown_make_room(void **state)
{
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = 1, .recycle_bytes = EATEN / 2});
    forkfold_call_options options = {
        .function = eat_memory, .count = 30, .chunk = 1, .result_bytes = sizeof(pid_t)};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    assert_true(distinct(forkfold_call_results(call), 30) > 1);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static void workers_get_no_more_memory_than_they_may(void **state)
{
    forkfold_call_options options = {
        .function = eat_memory, .count = 10, .chunk = 1, .result_bytes = sizeof(pid_t)};
    forkfold_call *call = NULL;
    forkfold_pool *pool;

    (void)state;
    /* Sanitizers end a process whose allocation fails. */
    if (SANITIZED)
        skip();
    pool = open_pool_with(&(forkfold_pool_options){.workers = 1, .worker_memory_bytes = 5 * EATEN});
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_in_range(forkfold_call_failure_count(call), 5, 7);
    assert_string_equal(forkfold_call_failure(call, 0)->detail, "no memory");
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* ---- What grows ---------------------------------------------------------- */

static long line_of(pid_t pid, const char *file, const char *name)
{
    char path[64];
    char line[256];
    long value = 0;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    FILE *lines = fopen(path, "r");

    if (lines == NULL)
        return 0;
    while (fgets(line, sizeof(line), lines) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    fclose(lines);
    return value;
}

/* In KiB: private memory of all processes, and shared pages once, as nearly as the kernel says. */
static long memory_of_all(void)
{
    pid_t supervisor = supervisor_of_only_pool();
    pid_t all[16] = {getpid(), supervisor};
    unsigned count = 2 + children_of(supervisor, all + 2, 14);
    long sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += line_of(all[i], "smaps_rollup", "Pss_Anon:") +
               line_of(all[i], "smaps_rollup", "Pss_Shmem:");
    return sum;
}

static int write_index(const forkfold_item *item)
{
    *(uint64_t *)item->result = item->index;
    return 0;
}

static int write_kibibyte(const forkfold_item *item)
{
    void *result = forkfold_item_reserve(item, 1024);

    if (result == NULL)
        return forkfold_item_fail(item, "no room");
    memset(result, (int)item->index, 1024);
    return 0;
}

/* Reads an imap to its end; how much memory grew after the first tenth. */
static long growth_of_imap(forkfold_pool *pool, forkfold_function *function, uint64_t count,
                           bool varies)
{
    forkfold_call_options options = {.function = function,
                                     .count = count,
                                     .result_bytes = varies ? 0 : 8,
                                     .results_vary = varies,
                                     .buffer_items = 256};
    forkfold_call *call = NULL;
    forkfold_result result;
    long before = 0;

    assert_works(pool, forkfold_imap(pool, &options, &call));
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(forkfold_call_next(call, &result), 1);
        assert_false(result.failed);
        /* What has been read is mapped here, and so counted, though its writer may be gone. */
        assert_int_equal(*(const volatile unsigned char *)result.data, i % 256);
        if (i == count / 10)
            before = memory_of_all();
    }
    before = memory_of_all() - before;
    forkfold_call_close(call);
    return before;
}

static void results_of_long_imaps_take_constant_memory(void **state)
{
    enum { COUNT = 1000000 };
    forkfold_pool *pool;

    (void)state;
    if (SANITIZED) /* whose own memory grows */
        skip();
    pool = open_pool(2);
    assert_in_range(growth_of_imap(pool, write_index, COUNT, false) + 8192, 0, 12288);
    assert_in_range(growth_of_imap(pool, write_kibibyte, COUNT / 10, true) + 8192, 0, 12288);
    forkfold_pool_close(pool);
}

static void results_of_recycled_workers_take_constant_memory(void **state)
{
    forkfold_pool *pool;

    (void)state;
    if (SANITIZED)
        skip();
    pool = open_pool_with(&(forkfold_pool_options){.workers = 1, .tasks_per_worker = 20});
    assert_in_range(growth_of_imap(pool, write_kibibyte, 10000, true) + 8192, 0, 12288);
    forkfold_pool_close(pool);
}

static void apply_many(forkfold_pool *pool, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t result;

        assert_works(pool, forkfold_apply(pool, mix_item, &i, sizeof(i), &result, 8));
    }
}

/* A million items on, what is kept of them is dropped. */
static void many_calls_leave_nothing_behind(void **state)
{
    enum { APPLIES = 50000 };
    forkfold_pool *pool;
    unsigned descriptors;
    long before;

    (void)state;
    if (SANITIZED)
        skip();
    pool = open_pool(2);
    apply_many(pool, APPLIES);
    before = memory_of_all();
    descriptors = open_descriptors();
    for (unsigned round = 0; round < 3; round++) {
        forkfold_call *call = NULL;

        assert_works(pool, forkfold_map(pool,
                                        &(forkfold_call_options){.function = run_only,
                                                                 .count = (1 << 20) + 1},
                                        &call));
        forkfold_call_close(call);
        apply_many(pool, APPLIES);
    }
    assert_int_equal(open_descriptors(), descriptors);
    /* A map's states take a MiB. */
    assert_in_range(memory_of_all() - before + 8192, 0, 12288);
    forkfold_pool_close(pool);
}

/* ---- With word counts ---------------------------------------------------- */

static int count_words(forkfold_pool *pool)
{
    char name[] = "/tmp/items_host_XXXXXX";
    const char *path = name;
    forkfold_words *words = NULL;
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "one two two\n", 12), 12);
    close(fd);
    int code = forkfold_count_words(
        pool, &(forkfold_words_options){.paths = &path, .path_count = 1}, &words, NULL);

    if (code == 0) {
        assert_int_equal(forkfold_words_get_totals(words)->words, 3);
        assert_int_equal(forkfold_apply(pool, run_only, NULL, 0, NULL, 0), FORKFOLD_E_BUSY);
    }
    forkfold_words_close(words);
    unlink(name);
    return code;
}

static void word_counts_and_calls_take_turns(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {.function = wait_at_gate, .count = 2, .chunk = 1};
    forkfold_call *call = NULL;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_works(pool, count_words(pool));
        assert_pool_is_well(pool);
    }
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_int_equal(count_words(pool), FORKFOLD_E_BUSY);
    open_gate();
    assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    assert_int_equal(count_words(pool), FORKFOLD_E_BUSY);
    forkfold_call_close(call);
    assert_works(pool, count_words(pool));
    /* A call that was closed in progress is waited for. */
    script->open = 0;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    forkfold_call_close(call);
    assert_works(pool, count_words(pool));
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void word_counts_follow_calls_whose_workers_died(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        plan(KILL, 500, 1);
        assert_pool_is_well(pool);
        assert_works(pool, count_words(pool));
    }
    forkfold_pool_close(pool);
}

static void word_counts_follow_calls_that_ended_in_a_crash_loop(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    plan(KILL, 0, 1000000);
    assert_works(pool, forkfold_map_async(pool,
                                          &(forkfold_call_options){.function = run_only,
                                                                   .count = 10,
                                                                   .chunk = 1,
                                                                   .retries_plus_one = 1000},
                                          &call));
    assert_int_equal(forkfold_call_wait(call, UINT64_MAX), FORKFOLD_E_CRASH_LOOP);
    script->faults = 0;
    assert_pool_is_well(pool);
    forkfold_call_close(call);
    assert_works(pool, count_words(pool));
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(forked_child_may_only_part_from_pool_and_calls),
        WITH_SCRIPT(hosts_children_are_its_own),
        WITH_SCRIPT(pools_work_side_by_side),
        WITH_SCRIPT(initializer_runs_in_every_worker),
        WITH_SCRIPT(initializer_that_always_fails_ends_calls_with_its_code),
        WITH_SCRIPT(idle_workers_may_die_as_often_as_the_pool_says),
        WITH_SCRIPT(workers_make_room_after_their_share),
        WITH_SCRIPT(workers_that_have_grown_make_room),
        WITH_SCRIPT(workers_get_no_more_memory_than_they_may),
        WITH_SCRIPT(results_of_long_imaps_take_constant_memory),
        WITH_SCRIPT(results_of_recycled_workers_take_constant_memory),
        WITH_SCRIPT(many_calls_leave_nothing_behind),
        WITH_SCRIPT(word_counts_and_calls_take_turns),
        WITH_SCRIPT(word_counts_follow_calls_whose_workers_died),
        WITH_SCRIPT(word_counts_follow_calls_that_ended_in_a_crash_loop),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
