/* SPDX-License-Identifier: Apache-2.0 */
/* What a call of the pool gives, whatever its items do. */
#include "sum_job.h"

static void every_item_counts_once_for_any_number_of_workers(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 9; workers += 2) {
        forkfold_pool *pool = open_pool(workers);

        assert_int_equal(forkfold_pool_workers(pool), workers);
        assert_sums(pool, 20000, 7);
        assert_sums(pool, 1, 1);
        assert_sums(pool, 0, 1);
        forkfold_pool_close(pool);
    }
}

/* Calls shorter than it takes all workers to wake: some are always late for the one before. */
static void short_calls_in_a_row_do_not_disturb_each_other(void **state)
{
    forkfold_pool *pool = open_pool(6);

    (void)state;
    for (uint64_t i = 0; i < (SANITIZED ? 300 : 3000); i++)
        assert_sums(pool, i % 5, 1);
    forkfold_pool_close(pool);
}

static void item_that_kills_is_given_up_after_its_attempts(void **state)
{
    static const enum poison ways[] = {KILL, SEGV, EXIT};
    forkfold_pool *pool = open_pool(3);

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        plan(ways[i], 500, 1000);
        assert_int_equal(run_call(pool, 1000, 10, &(struct ff_call_options){.attempts = 4}), 0);
        assert_int_equal(result_of(pool).items, 999);
        assert_int_equal(result_of(pool).total, 999 * 1000 / 2 - 500);
        assert_int_equal(ff_peer_get(&pool->layout.supervisor->quarantined), 1);
        const struct ff_quarantine *record = &pool->layout.quarantine[0];

        assert_int_equal(record->item, 500);
        assert_int_equal(record->attempts, 4);
        assert_int_equal(ff_call_counts(pool).deaths, 4);
        assert_int_equal(record->signal, ways[i] == KILL ? SIGKILL : ways[i] == SEGV ? SIGSEGV : 0);
        assert_int_equal(record->exit_code, ways[i] == EXIT ? 5 : -1);
        assert_int_equal(record->crash.has_address, ways[i] == SEGV);
        if (ways[i] == SEGV)
            assert_int_equal(record->crash.address, 0x18);
    }
    forkfold_pool_close(pool);
}

static void item_that_kills_once_is_counted(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (uint64_t item = 0; item < 100; item += 9) {
        plan(KILL, item, 1);
        assert_sums(pool, 100, 10);
        assert_int_equal(ff_call_counts(pool).deaths, 1);
        assert_int_equal(ff_call_counts(pool).retries, 1);
    }
    forkfold_pool_close(pool);
}

/* What a seal covers is not run again, however its worker ends later. */
static void death_costs_what_was_done_since_the_last_seal(void **state)
{
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (uint64_t item = 5; item < 200; item += 13) {
        memset(script, 0, sizeof(*script));
        script->seal_every = 10;
        plan(KILL, item, 1);
        assert_sums(pool, 200, 1);
        /* The killer, and at most those that were run after the last multiple of ten: a worker that
           had to wait for the processor may have sealed in between, as time passed. */
        assert_in_range(script->runs, 200 + 1, 200 + 1 + item % 10);
    }
    forkfold_pool_close(pool);
}

static void failed_item_is_an_answer_and_not_tried_again(void **state)
{
    forkfold_pool *pool = open_pool(2);
    uint64_t failures = 0;

    (void)state;
    plan(FAIL, 42, 1000);
    assert_int_equal(run_call(pool, 100, 10, &(struct ff_call_options){0}), 0);
    for (unsigned slot = 0; slot < 2; slot++) {
        const struct ff_seal *seal = ff_call_seal(pool, slot);

        for (uint64_t i = 0; seal != NULL && i < seal->failure_count; i++, failures++)
            assert_int_equal(ff_seal_failures(seal)[i].item, 42);
    }
    assert_int_equal(failures, 1);
    assert_int_equal(script->times, 999);
    assert_int_equal(ff_call_counts(pool).deaths, 0);
    forkfold_pool_close(pool);
}

static void hanging_item_is_ended_by_its_timeout(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(HANG, 7, 1000);
    assert_int_equal(
        run_call(pool, 20, 1,
                 &(struct ff_call_options){.timeout_ns = 20 * FF_NS_PER_MS, .attempts = 2}),
        0);
    assert_int_equal(result_of(pool).items, 19);
    assert_int_equal(pool->layout.quarantine[0].item, 7);
    assert_int_equal(pool->layout.quarantine[0].reason, FORKFOLD_REASON_TIMEOUT);
    forkfold_pool_close(pool);
}

static void deadline_ends_the_call_and_the_pool_goes_on(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(HANG, 7, 1);
    assert_int_equal(run_call(pool, 20, 1,
                              &(struct ff_call_options){.deadline_at_ns = ff_call_clock_ns(pool) +
                                                                          30 * FF_NS_PER_MS}),
                     FORKFOLD_E_DEADLINE);
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 1000, 10);
    forkfold_pool_close(pool);
}

static int cancel(int fd, void *context)
{
    uint64_t count;

    (void)context;
    return read(fd, &count, sizeof(count)) > 0;
}

static void watch_cancels_the_call_and_the_pool_goes_on(void **state)
{
    int reached = eventfd(0, 0);
    int for_workers = fcntl(reached, F_DUPFD, 20);
    forkfold_pool *pool = NULL;

    (void)state;
    assert_int_equal(
        forkfold_pool_open(
            &pool, &(forkfold_pool_options){.workers = 2, .keep_fd_plus_one = for_workers + 1},
            NULL, 0),
        0);
    assert_int_equal(forkfold_pool_watch(pool, reached, cancel, NULL), 0);
    plan(HANG, 3, 1);
    script->reached = for_workers;
    assert_int_equal(run_call(pool, 20, 1, &(struct ff_call_options){0}), FORKFOLD_E_CANCELLED);
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 10);
    forkfold_pool_close(pool);
    close(reached);
    close(for_workers);
}

static void workers_that_cannot_start_end_the_call_as_a_crash_loop(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(DEATH_AT_ATTACH, 0, 0);
    assert_int_equal(run_call(pool, 20, 1, &(struct ff_call_options){.max_deaths = 5}),
                     FORKFOLD_E_CRASH_LOOP);
    assert_non_null(strstr(forkfold_pool_message(pool), "no luck"));
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 10);
    forkfold_pool_close(pool);
}

static void workers_that_die_between_calls_are_replaced(void **state)
{
    forkfold_pool *pool = open_pool(3);
    pid_t workers[8];

    (void)state;
    assert_sums(pool, 100, 1);
    unsigned count = children_of(pool->supervisor, workers, 8);

    if (count == 0)
        skip();
    for (int round = 0; round < 5; round++) {
        count = children_of(pool->supervisor, workers, 8);
        for (unsigned i = 0; i < count; i++)
            kill(workers[i], SIGKILL);
        assert_sums(pool, 1000, 1);
    }
    forkfold_pool_close(pool);
}

/*
 * I4: the filter that item 100 installs in its worker kills it at any system
 * call but the futex and the doorbells of sealing and parking.  With one
 * worker all items from there on run under it.
 */
static void items_are_claimed_and_run_without_system_calls(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* the sanitizers make calls of their own */
    forkfold_pool *pool = open_pool(1);

    plan(SECCOMP, 100, 1);
    assert_sums(pool, 200000, 1);
    assert_int_equal(ff_call_counts(pool).deaths, 0);
    forkfold_pool_close(pool);
}

static unsigned long switches_of(pid_t pid)
{
    char path[64];
    char line[128];
    unsigned long voluntary = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "voluntary_ctxt_switches: %lu", &voluntary);
    fclose(file);
    return voluntary;
}

struct observation {
    forkfold_pool *pool;
    unsigned ticks;
    unsigned long first;
    unsigned long last;
};

/* How often supervisor and workers have gone to sleep so far, and so have been woken. */
static void observe_sleepers(void *context)
{
    struct observation *observation = context;
    pid_t workers[8];
    unsigned count = children_of(observation->pool->supervisor, workers, 8);
    unsigned long sum = switches_of(observation->pool->supervisor);

    for (unsigned i = 0; i < count; i++)
        sum += switches_of(workers[i]);
    if (++observation->ticks == 5)
        observation->first = sum;
    observation->last = sum;
}

/* I3: one worker hangs, the others have nothing to do, and nobody looks around meanwhile. */
static void nobody_wakes_up_without_a_reason(void **state)
{
    forkfold_pool *pool = open_pool(3);
    struct observation observation = {.pool = pool};

    (void)state;
    plan(HANG, 0, 1);
    assert_int_equal(run_call(pool, 3, 1,
                              &(struct ff_call_options){.deadline_at_ns = ff_call_clock_ns(pool) +
                                                                          1000 * FF_NS_PER_MS,
                                                        .tick_ns = 50 * FF_NS_PER_MS,
                                                        .on_tick = observe_sleepers,
                                                        .tick_context = &observation}),
                     FORKFOLD_E_DEADLINE);
    assert_true(observation.ticks > 5);
    /* One: somebody may have been on the way to sleep at the fifth tick. */
    assert_in_range(observation.last - observation.first, 0, 1);
    forkfold_pool_close(pool);
}

/* Every item kills its worker, in many workers at once: all are given up, whatever their number. */
static void many_workers_with_bad_items_are_no_crash_loop(void **state)
{
    (void)state;
    plan(EVERY, 0, 0);
    for (unsigned workers = 1; workers <= 16; workers *= 4) {
        forkfold_pool *pool = open_pool(workers);

        assert_int_equal(run_call(pool, 40, 1, &(struct ff_call_options){0}), 0);
        assert_int_equal(ff_peer_get(&pool->layout.supervisor->quarantined), 40);
        assert_int_equal(result_of(pool).items, 0);
        forkfold_pool_close(pool);
    }
}

#ifdef FF_KILL_POINTS
static void continue_workers(void *context)
{
    forkfold_pool *pool = context;
    pid_t workers[8];
    unsigned count = children_of(pool->supervisor, workers, 8);

    for (unsigned i = 0; i < count; i++)
        kill(workers[i], SIGCONT);
}

/* Posts some tasks, lets stopped workers go on in the middle of that, and posts the rest. */
static void assert_sums_with_late_workers(forkfold_pool *pool, uint64_t items)
{
    struct ff_call_options options = {.job = &sum_job,
                                      .attempts = 3,
                                      .max_deaths = 10,
                                      .tick_ns = 5 * FF_NS_PER_MS,
                                      .on_tick = continue_workers,
                                      .tick_context = pool};
    int code;

    assert_int_equal(ff_call_check(pool), 0);
    ff_call_begin(pool, &options);
    for (uint64_t item = 0; item < items; item++) {
        if (item == items / 2 && pool->layout.workers > 1)
            continue_workers(pool);
        assert_int_equal(ff_call_post(pool, (struct ff_task){.first = item, .count = 1}, 1), 0);
    }
    ff_call_close(pool);
    do
        code = ff_call_step(pool, true);
    while (code == 0);
    if (code < 0 || ff_call_verify(pool) < 0)
        fail_msg("%s", forkfold_pool_message(pool));
    assert_int_equal(result_of(pool).items, items);
}

/*
 * A worker is stopped at its n-th look for a new call and goes on some
 * calls later, when everything that it saw has changed.
 */
static void worker_that_is_late_for_a_call_does_not_join_the_next_by_mistake(void **state)
{
    static const char *const points[] = {"serve", "unpark", "join.begin", "join.announced"};
    char where[64];

    (void)state;
    for (unsigned n = 4; n < (SANITIZED ? 60 : 240); n++) {
        snprintf(where, sizeof(where), "worker.%s:stop:%u", points[n % 4], n / 4);
        setenv("FORKFOLD_KILL", where, 1);
        /* Alone, the late worker finds all tasks of the next call still there. */
        forkfold_pool *pool = open_pool(n % 8 < 4 ? 1 : 3);

        unsetenv("FORKFOLD_KILL");
        for (uint64_t call = 0; call < 8; call++)
            assert_sums_with_late_workers(pool, 2 + call % 2 * 300);
        forkfold_pool_close(pool);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(every_item_counts_once_for_any_number_of_workers),
        WITH_SCRIPT(short_calls_in_a_row_do_not_disturb_each_other),
        WITH_SCRIPT(item_that_kills_is_given_up_after_its_attempts),
        WITH_SCRIPT(item_that_kills_once_is_counted),
        WITH_SCRIPT(death_costs_what_was_done_since_the_last_seal),
        WITH_SCRIPT(failed_item_is_an_answer_and_not_tried_again),
        WITH_SCRIPT(hanging_item_is_ended_by_its_timeout),
        WITH_SCRIPT(deadline_ends_the_call_and_the_pool_goes_on),
        WITH_SCRIPT(watch_cancels_the_call_and_the_pool_goes_on),
        WITH_SCRIPT(workers_that_cannot_start_end_the_call_as_a_crash_loop),
        WITH_SCRIPT(workers_that_die_between_calls_are_replaced),
        WITH_SCRIPT(items_are_claimed_and_run_without_system_calls),
        WITH_SCRIPT(nobody_wakes_up_without_a_reason),
        WITH_SCRIPT(many_workers_with_bad_items_are_no_crash_loop),
#ifdef FF_KILL_POINTS
        WITH_SCRIPT(worker_that_is_late_for_a_call_does_not_join_the_next_by_mistake),
#endif
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
