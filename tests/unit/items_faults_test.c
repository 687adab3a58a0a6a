/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on items whose functions crash, exit, hang and fail, and whose workers are killed. */
#include "kills.h"

#include <inttypes.h>

#include <forkfold/error.h>

#include "pool/call.h"
#include "pool/worker.h"
#include "random_keys.h"

/* ---- Bad items ----------------------------------------------------------- */

struct expected {
    enum fault fault;
    enum forkfold_reason reason;
    int signal;
    int exit_code;
    unsigned attempts;
};

static const struct expected expected[FAULT_COUNT] = {
    [SEGV] = {SEGV, FORKFOLD_REASON_SIGNAL, SIGSEGV, -1, 3},
    [EXIT] = {EXIT, FORKFOLD_REASON_EXIT, 0, 5, 3},
    [KILL] = {KILL, FORKFOLD_REASON_SIGNAL, SIGKILL, -1, 3},
    [HANG] = {HANG, FORKFOLD_REASON_TIMEOUT, SIGKILL, -1, 3},
    [FAIL] = {FAIL, FORKFOLD_REASON_ERROR, 0, -1, 1},
    [FAIL_LONG] = {FAIL_LONG, FORKFOLD_REASON_ERROR, 0, -1, 1},
};

static void assert_expected(const forkfold_item_failure *failure, enum fault fault)
{
    const struct expected *one = &expected[fault];

    assert_int_equal(failure->reason, one->reason);
    assert_int_equal(failure->signal, one->signal);
    assert_int_equal(failure->exit_code, one->exit_code);
    assert_int_equal(failure->attempts, one->attempts);
    assert_non_null(failure->detail);
    assert_int_equal(failure->code, one->reason == FORKFOLD_REASON_ERROR);
    if (fault == SEGV) {
        assert_true(failure->has_address);
        assert_int_equal(failure->address, 0x18);
        if (!SANITIZED)
            assert_non_null(strstr(failure->backtrace, "mix_item"));
    }
    if (fault == FAIL_LONG)
        assert_in_range(strlen(failure->detail), 200, 210);
}

/* Faults at the begin, in the middle and at the end, and side by side. */
static const uint64_t bad_items[] = {0, 1, 57, 58, 59, 299};
enum { BAD = sizeof(bad_items) / sizeof(bad_items[0]), COUNT = 300 };

static forkfold_call_options bad_options(const uint64_t *numbers, enum fault fault)
{
    forkfold_call_options options = mix_options(numbers, COUNT);

    reset_script(NULL);
    for (unsigned i = 0; i < BAD; i++)
        plan(fault, bad_items[i], 1000);
    options.timeout_ns = fault == HANG ? 20 * FF_NS_PER_MS : 0;
    return options;
}

static void bad_items_fail_and_all_others_do_not(void **state)
{
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (enum fault fault = SEGV; fault < FAULT_COUNT; fault++)
        for (uint64_t chunk = 1; chunk < 400; chunk *= 17) {
            forkfold_call_options options = bad_options(numbers, fault);
            forkfold_call *call = NULL;

            options.chunk = chunk;
            assert_works(pool, forkfold_map(pool, &options, &call));
            assert_int_equal(forkfold_call_failure_count(call), BAD);
            for (unsigned i = 0; i < BAD; i++) {
                assert_true(is_failed(call, bad_items[i]));
                assert_expected(forkfold_call_failure(call, i), fault);
            }
            assert_null(forkfold_call_failure(call, BAD));
            assert_mixed(call, numbers, COUNT);
            forkfold_call_close(call);
            options = bad_options(numbers, fault);
            options.chunk = chunk;
            options.buffer_items = 25;
            assert_works(
                pool, (chunk > 1 ? forkfold_imap : forkfold_imap_unordered)(pool, &options, &call));
            assert_imap_mixed(call, numbers, COUNT, chunk > 1);
            assert_int_equal(forkfold_call_failure_count(call), BAD);
            forkfold_call_close(call);
        }
    free(numbers);
    forkfold_pool_close(pool);
}

static void items_that_crash_once_or_twice_are_done_in_the_end(void **state)
{
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (int times = 1; times <= 4; times++) {
        forkfold_call_options options = mix_options(numbers, COUNT);
        forkfold_call *call = NULL;

        reset_script(NULL);
        for (unsigned i = 0; i < BAD; i++)
            plan(i % 2 ? KILL : SEGV, bad_items[i], times);
        options.retries_plus_one = 4;
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), times == 4 ? BAD : 0);
        assert_mixed(call, numbers, COUNT);
        forkfold_call_close(call);
    }
    free(numbers);
    forkfold_pool_close(pool);
}

/* An attempt that ended in a crash is an attempt, though the next one ends in words. */
static void attempts_before_a_failure_are_counted(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    plan(KILL, 0, 1);
    plan(FAIL, 0, 1);
    assert_works(
        pool,
        forkfold_map(pool, &(forkfold_call_options){.function = run_only, .count = 1}, &call));
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->attempts, 2);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* While each worker uses up the attempts of an item nobody gets anywhere: that is no crash loop. */
static void many_workers_with_bad_items_are_no_crash_loop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++)
        plan(KILL, i, 1000);
    for (unsigned workers = 1; workers <= 16; workers *= 4) {
        forkfold_pool *pool = open_pool(workers);
        forkfold_call_options options = {.function = run_only, .count = 40, .chunk = 1};
        forkfold_call *call = NULL;

        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), 40);
        forkfold_call_close(call);
        forkfold_pool_close(pool);
    }
}

/* What a worker leaves that cannot go on, and what the host hears of it. */
struct last_words {
    int error;
    const char *message;
    enum forkfold_reason reason;
    const char *detail;
    struct ff_crash *crash; /* of the worker */
};

static int give_up(const forkfold_item *item)
{
    const struct last_words *words = item->context;

    snprintf(words->crash->message, sizeof(words->crash->message), "%s", words->message);
    words->crash->error = words->error;
    ff_publish(&words->crash->written, 1);
    _exit(FF_WORKER_EXIT);
}

static void failure_holds_what_the_worker_explained(void **state)
{
    static const struct last_words cases[] = {
        {FORKFOLD_E_LIMIT, "its desk is full", FORKFOLD_REASON_EXIT,
         "a worker gave up: its desk is full", NULL},
        {FORKFOLD_E_MEMORY, "not enough memory", FORKFOLD_REASON_MEMORY,
         "a worker ran out of memory", NULL},
    };
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct last_words words = cases[i];
        forkfold_call *call = NULL;

        words.crash = &pool->layout.segments[0].head->crash;
        assert_works(pool, forkfold_map(pool,
                                        &(forkfold_call_options){.function = give_up,
                                                                 .count = 1,
                                                                 .context = &words,
                                                                 .context_bytes = sizeof(words)},
                                        &call));
        assert_int_equal(forkfold_call_failure_count(call), 1);
        assert_int_equal(forkfold_call_failure(call, 0)->reason, words.reason);
        assert_int_equal(forkfold_call_failure(call, 0)->exit_code, FF_WORKER_EXIT);
        assert_string_equal(forkfold_call_failure(call, 0)->detail, words.detail);
        forkfold_call_close(call);
    }
    forkfold_pool_close(pool);
}

static int take_a_while(const forkfold_item *item)
{
    uint64_t end = ff_clock_ns() + 100 * FF_NS_PER_MS;

    (void)item;
    while (ff_clock_ns() < end)
        ;
    return 0;
}

static int fail_but_every_third(const forkfold_item *item)
{
    return item->index % 3 == 0 ? 0 : forkfold_item_fail(item, "%" PRIu64, item->index);
}

/* Told by several workers, and in any order. */
static void every_failure_is_found_by_its_item(void **state)
{
    enum { MANY = 5000 };
    forkfold_pool *pool = open_pool(3);
    forkfold_call_options options = {.function = fail_but_every_third, .count = MANY, .chunk = 7};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), MANY * 2 / 3);
    for (uint64_t i = 0; i < MANY; i++) {
        const forkfold_item_failure *failure = forkfold_call_failure_of(call, i);

        assert_true((failure == NULL) == (i % 3 == 0));
        if (failure == NULL)
            continue;
        assert_int_equal(failure->index, i);
        assert_int_equal(strtoull(failure->detail, NULL, 10), i);
    }
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static bool is_refused(void *call)
{
    const struct ff_item_owner *owner = ((forkfold_call *)call)->owner;

    return atomic_load(&owner->states[0]) == FF_ITEM_REFUSED;
}

/* As in a call that goes on for long: more items lie before it than any memory has room for. */
static void failure_takes_no_memory_for_the_items_before_it(void **state)
{
    const uint64_t index = UINT64_C(1) << 52;
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    plan(FAIL, index, 1);
    assert_works(pool, ff_items_begin_call(pool,
                                           &(forkfold_call_options){.function = run_only,
                                                                    .count = UINT64_MAX,
                                                                    .chunk = 1,
                                                                    .buffer_items = 1},
                                           FF_CALL_STAGE, &call));
    call->settled = index;
    ff_publish(&call->owner->floor, index);
    atomic_store(&call->owner->states[0], FF_ITEM_PENDING);
    assert_works(pool, ff_items_post(call, index, 1));
    while (!is_refused(call))
        ff_items_sleep(pool, is_refused, call, UINT64_MAX);
    ff_items_read_failures(pool);
    assert_string_equal(forkfold_call_message(call), "");
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure_of(call, index)->index, index);
    assert_null(forkfold_call_failure_of(call, index - 1));
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static void timeout_is_of_its_own_call(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options hasty = {
        .function = run_only, .count = 10, .timeout_ns = 10 * FF_NS_PER_MS};
    forkfold_call_options slow = {.function = take_a_while, .count = 3, .chunk = 1};
    forkfold_call *first = NULL;
    forkfold_call *second = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &hasty, &first));
    assert_works(pool, forkfold_map(pool, &slow, &second));
    assert_int_equal(forkfold_call_failure_count(second), 0);
    forkfold_call_close(first);
    forkfold_call_close(second);
    forkfold_pool_close(pool);
}

/* ---- The end of all calls ------------------------------------------------ */

static void loop_of_crashes(forkfold_pool *pool)
{
    forkfold_call_options options = {.function = run_only, .count = 10, .retries_plus_one = 1000};
    forkfold_call *call = NULL;

    reset_script(NULL);
    plan(KILL, 0, 1000000);
    assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_CRASH_LOOP);
    script->faults = 0;
}

static void open_results_survive_the_crash_loop_of_another_call(void **state)
{
    static const uint64_t sizes[] = {100, 2000, 0, 300000};
    static const uint64_t others[] = {300000, 77, 2000, 1};
    forkfold_call_options options = {.function = write_bytes,
                                     .count = 4,
                                     .arrays = {{.data = sizes, .item_bytes = 8}},
                                     .array_count = 1,
                                     .results_vary = 1};
    forkfold_pool *pool = open_pool(1);
    forkfold_call *before = NULL;
    forkfold_call *after = NULL;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &before));
    loop_of_crashes(pool);
    options.arrays[0].data = others;
    assert_works(pool, forkfold_map(pool, &options, &after));
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(forkfold_call_result(before, i, &result), 0);
        assert_bytes(&result, sizes[i]);
        assert_int_equal(forkfold_call_result(after, i, &result), 0);
        assert_bytes(&result, others[i]);
    }
    forkfold_call_close(before);
    forkfold_call_close(after);
    forkfold_pool_close(pool);
}

static void idle_workers_that_die_do_not_end_the_next_call(void **state)
{
    forkfold_pool *pool = open_pool(1);
    pid_t supervisor = supervisor_of_only_pool();
    pid_t worker;
    pid_t next;

    (void)state;
    assert_pool_is_well(pool);
    for (unsigned i = 0; i < 11; i++) {
        while (children_of(supervisor, &worker, 1) == 0)
            sched_yield();
        kill(worker, SIGKILL);
        while (children_of(supervisor, &next, 1) == 0 || next == worker)
            sched_yield();
    }
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void lost_supervisor_ends_every_call(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {.function = wait_at_gate, .count = 2, .chunk = 1};
    forkfold_call *map = NULL;
    forkfold_call *imap = NULL;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &map));
    assert_works(pool, forkfold_imap(pool, &options, &imap));
    await_reached(2);
    kill(supervisor_of_only_pool(), SIGKILL);
    assert_int_equal(forkfold_call_wait(map, UINT64_MAX), FORKFOLD_E_SUPERVISOR);
    assert_int_equal(forkfold_call_next(imap, &result), FORKFOLD_E_SUPERVISOR);
    assert_int_equal(forkfold_map(pool, &options, &map), FORKFOLD_E_SUPERVISOR);
    forkfold_call_close(map);
    forkfold_call_close(imap);
    forkfold_pool_close(pool);
}

/* ---- Random kills -------------------------------------------------------- */

/* One call of the kind that the round says.  0, or the code that it ended with. */
static int run_round(forkfold_pool *pool, const uint64_t *numbers, uint64_t dice)
{
    static const uint64_t chunks[] = {1, 100, 0, 7};
    uint64_t count = 1 + dice % 20000;
    forkfold_call_options options = mix_options(numbers, count);
    forkfold_call *call = NULL;
    int code;

    options.retries_plus_one = 1000000;
    options.chunk = chunks[dice / 7 % 4];
    options.buffer_items = dice / 3 % 2 * (1 + dice % 300);
    switch (dice / 11 % 3) {
    case 0:
        code = forkfold_map(pool, &options, &call);
        if (code < 0)
            return code;
        assert_mixed(call, numbers, count);
        break;
    default:
        code =
            (dice / 11 % 3 == 1 ? forkfold_imap : forkfold_imap_unordered)(pool, &options, &call);
        if (code < 0)
            return code;
        assert_imap_mixed(call, numbers, count, dice / 11 % 3 == 1);
        break;
    }
    assert_int_equal(forkfold_call_failure_count(call), 0);
    forkfold_call_close(call);
    return 0;
}

static void random_kills_lose_nothing_and_double_nothing(void **state)
{
    enum { ROUNDS = SANITIZED ? 10 : 100 };
    uint64_t seed = random_u64();
    uint64_t *numbers = make_numbers(20000);

    (void)state;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t dice = mix(seed + round);
        forkfold_pool *pool = open_pool_with(&(forkfold_pool_options){
            .workers = 1 + (unsigned)(dice / 5 % 4), .max_deaths = 1000000});
        pid_t killer = start_killer(supervisor_of_only_pool(), dice);

        assert_works(pool, run_round(pool, numbers, dice));
        stop_killer(killer);
        forkfold_pool_close(pool);
    }
    free(numbers);
}

/* ---- Deaths at every step ------------------------------------------------ */

#ifdef FF_KILL_POINTS
/* A map and an imap side by side, each with one item that fails. */
static void run_both(forkfold_pool *pool, const uint64_t *numbers)
{
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_call *map = NULL;
    forkfold_call *imap = NULL;

    plan(FAIL, 13, 2000);
    options.chunk = 9;
    assert_works(pool, forkfold_map_async(pool, &options, &map));
    options.chunk = 1;
    options.buffer_items = 20;
    assert_works(pool, forkfold_imap_unordered(pool, &options, &imap));
    assert_imap_mixed(imap, numbers, COUNT, false);
    assert_works(pool, forkfold_call_wait(map, UINT64_MAX));
    assert_mixed(map, numbers, COUNT);
    assert_int_equal(forkfold_call_failure_count(map), 1);
    assert_int_equal(forkfold_call_failure_count(imap), 1);
    forkfold_call_close(map);
    forkfold_call_close(imap);
}

static void death_at_any_step_changes_no_result(void **state)
{
    static const char *const hows[] = {"kill", "segv", "exit"};
    uint64_t *numbers = make_numbers(COUNT);

    (void)state;
    for (size_t p = 0; p < WORKER_POINT_COUNT; p++)
        for (unsigned h = 0; h < 3; h++)
            for (unsigned at = 1; at < 40; at = at * 3 + 1) {
                reset_script(NULL);
                forkfold_pool *pool = open_pool_that_dies(
                    worker_points[p], hows[h], at,
                    &(forkfold_pool_options){.workers = 1 + at % 2,
                                             .tasks_per_worker = at == 4 ? 5 : 0});

                run_both(pool, numbers);
                forkfold_pool_close(pool);
            }
    free(numbers);
}

/* Of the last item, whose worker dies when it has published the result, and not yet told anybody. */
static void result_that_nobody_was_told_of_is_found(void **state)
{
    uint64_t *numbers = make_numbers(3);
    forkfold_call_options options = mix_options(numbers, 3);

    (void)state;
    options.chunk = 1;
    for (unsigned at = 1; at <= 3; at++) {
        forkfold_pool *pool = open_pool_that_dies("worker.items.published", "kill", at,
                                                  &(forkfold_pool_options){.workers = 1});
        forkfold_call *call = NULL;

        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_mixed(call, numbers, 3);
        forkfold_call_close(call);
        assert_works(pool, forkfold_imap(pool, &options, &call));
        assert_imap_mixed(call, numbers, 3, true);
        forkfold_call_close(call);
        forkfold_pool_close(pool);
    }
    free(numbers);
}

/* The worker that should try again dies before it does, for which nobody is blamed. */
static void attempts_before_a_death_without_blame_are_counted(void **state)
{
    forkfold_pool *pool =
        open_pool_that_dies("worker.join.begin", "kill", 2, &(forkfold_pool_options){.workers = 1});
    forkfold_call_options options = {.function = run_only, .count = 1};
    forkfold_call *call = NULL;

    (void)state;
    plan(KILL, 0, 1);
    plan(FAIL, 0, 1);
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(ff_call_counts(pool).deaths, 2);
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->attempts, 2);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* The worker dies when it has said why the item failed, and not yet that it did. */
static void failure_that_is_told_twice_is_one_failure(void **state)
{
    forkfold_call_options options = {.function = run_only, .count = 1};

    for (int times = 1; times < 3; times++) {
        forkfold_pool *pool = open_pool_that_dies("worker.items.written", "kill", 1,
                                                  &(forkfold_pool_options){.workers = 1});
        forkfold_call *call = NULL;
        forkfold_result result;

        (void)state;
        reset_script(NULL);
        plan(FAIL, 0, times);
        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_result(call, 0, &result), 0);
        assert_int_equal(result.failed, times == 2);
        assert_int_equal(forkfold_call_failure_count(call), times == 2);
        forkfold_call_close(call);
        forkfold_pool_close(pool);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(bad_items_fail_and_all_others_do_not),
        WITH_SCRIPT(items_that_crash_once_or_twice_are_done_in_the_end),
        WITH_SCRIPT(attempts_before_a_failure_are_counted),
        WITH_SCRIPT(many_workers_with_bad_items_are_no_crash_loop),
        WITH_SCRIPT(failure_holds_what_the_worker_explained),
        WITH_SCRIPT(every_failure_is_found_by_its_item),
        WITH_SCRIPT(failure_takes_no_memory_for_the_items_before_it),
        WITH_SCRIPT(timeout_is_of_its_own_call),
        WITH_SCRIPT(open_results_survive_the_crash_loop_of_another_call),
        WITH_SCRIPT(idle_workers_that_die_do_not_end_the_next_call),
        WITH_SCRIPT(lost_supervisor_ends_every_call),
        WITH_SCRIPT(random_kills_lose_nothing_and_double_nothing),
#ifdef FF_KILL_POINTS
        WITH_SCRIPT(death_at_any_step_changes_no_result),
        WITH_SCRIPT(result_that_nobody_was_told_of_is_found),
        WITH_SCRIPT(attempts_before_a_death_without_blame_are_counted),
        WITH_SCRIPT(failure_that_is_told_twice_is_one_failure),
#endif
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
