/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines whose functions crash, exit and hang, and whose workers are killed. */
#include "kills.h"
#include "pipeline_script.h"
#include "random_keys.h"

/* ---- Deaths in a stage --------------------------------------------------- */

struct death {
    enum fault fault;
    enum forkfold_reason reason;
    int signal;
    int exit_code;
};

static const struct death deaths[] = {
    {SEGV, FORKFOLD_REASON_SIGNAL, SIGSEGV, -1},
    {EXIT, FORKFOLD_REASON_EXIT, 0, 5},
    {KILL, FORKFOLD_REASON_SIGNAL, SIGKILL, -1},
    {HANG, FORKFOLD_REASON_TIMEOUT, SIGKILL, -1},
};
enum { DEATHS = sizeof(deaths) / sizeof(deaths[0]), STAGES = 3, BATCHES = 60 };

/* The begin, the middle and the end, and side by side. */
static const uint64_t bad_batches[] = {0, 1, 30, BATCHES - 1};
enum { BAD = sizeof(bad_batches) / sizeof(bad_batches[0]) };

static forkfold_pipeline_options bad_options(struct rule *rules, const uint64_t *numbers,
                                             unsigned bad_stage, enum fault fault, int times)
{
    forkfold_pipeline_options options = rule_options(rules, "sts", numbers, 10 * BATCHES);

    reset_pages(NULL);
    for (unsigned i = 0; i < BAD; i++)
        plan(fault, bad_batches[i], times);
    rules[bad_stage].suffers = true;
    options.batch_items = 10;
    options.depth = 1 + bad_stage * 3;
    options.unordered = fault == EXIT;
    options.stages[bad_stage].replicas = fault == KILL;
    options.stages[bad_stage].timeout_ns = fault == HANG ? 20 * FF_NS_PER_MS : 0;
    return options;
}

static void batch_whose_worker_dies_once_comes_out_complete(void **state)
{
    uint64_t *numbers = make_numbers(10 * BATCHES);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned i = 0; i < DEATHS; i++)
        for (unsigned stage = 0; stage < STAGES; stage++) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options =
                bad_options(rules, numbers, stage, deaths[i].fault, 1);

            assert_int_equal(run_rules(pool, &options), 0);
            /* Nothing but the bad batches is run again, and only in the stage that was bad to them. */
            for (unsigned other = 0; other < STAGES; other++)
                for (uint64_t batch = 0; batch < BATCHES; batch++)
                    if (other != stage)
                        assert_int_equal(watch->runs[other][batch], 1);
            assert_int_equal(watch->runs[stage][0], 2);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void assert_failure(const forkfold_item_failure *failure, const struct death *death,
                           uint64_t batch)
{
    assert_int_equal(failure->index, batch);
    assert_int_equal(failure->reason, death->reason);
    assert_int_equal(failure->signal, death->signal);
    assert_int_equal(failure->exit_code, death->exit_code);
    assert_int_equal(failure->attempts, 3);
    assert_true(failure->detail != NULL && failure->detail[0] != '\0');
    if (death->fault != SEGV)
        return;
    assert_true(failure->has_address);
    assert_int_equal(failure->address, 0x18);
    if (!SANITIZED)
        assert_non_null(strstr(failure->backtrace, "apply_stage"));
}

static const forkfold_item_failure *find_failure(const forkfold_pipeline *pipeline, unsigned stage,
                                                 uint64_t batch)
{
    for (size_t i = 0; i < forkfold_pipeline_failure_count(pipeline, stage); i++)
        if (forkfold_pipeline_failure(pipeline, stage, i)->index == batch)
            return forkfold_pipeline_failure(pipeline, stage, i);
    fail_msg("batch %llu did not fail in stage %u", (unsigned long long)batch, stage);
    return NULL;
}

static void batch_whose_workers_always_die_is_given_up_with_the_reason(void **state)
{
    uint64_t *numbers = make_numbers(10 * BATCHES);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned i = 0; i < DEATHS; i++)
        for (unsigned stage = 0; stage < STAGES; stage++) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options =
                bad_options(rules, numbers, stage, deaths[i].fault, 1000);
            forkfold_pipeline *pipeline = NULL;

            assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
            assert_int_equal(read_all(pool, pipeline, &options), BAD);
            for (unsigned other = 0; other < STAGES; other++)
                assert_int_equal(forkfold_pipeline_failure_count(pipeline, other),
                                 other == stage ? BAD : 0);
            for (unsigned b = 0; b < BAD; b++) {
                assert_failure(find_failure(pipeline, stage, bad_batches[b]), &deaths[i],
                               bad_batches[b]);
                if (stage + 1 < STAGES)
                    assert_int_equal(watch->runs[stage + 1][bad_batches[b]], 0);
            }
            forkfold_pipeline_close(pipeline);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void attempts_are_those_of_the_stage(void **state)
{
    uint64_t *numbers = make_numbers(100);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned attempts = 1; attempts <= 5; attempts += 2) {
        struct rule rules[FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 100);
        forkfold_pipeline *pipeline = NULL;

        reset_pages(NULL);
        plan(KILL, 4, 1000);
        rules[1].suffers = true;
        options.batch_items = 10;
        options.stages[1].retries_plus_one = attempts;
        assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
        assert_int_equal(read_all(pool, pipeline, &options), 1);
        assert_int_equal(forkfold_pipeline_failure(pipeline, 1, 0)->attempts, attempts);
        assert_int_equal(watch->runs[1][4], attempts);
        forkfold_pipeline_close(pipeline);
    }
    forkfold_pool_close(pool);
    free(numbers);
}

static void batch_that_is_given_up_ends_the_pipeline_that_wants_it(void **state)
{
    uint64_t *numbers = make_numbers(100);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "ss", numbers, 100);
    forkfold_pipeline *pipeline = NULL;
    forkfold_result result;
    int code;

    (void)state;
    plan(SEGV, 5, 1000);
    rules[1].suffers = true;
    options.batch_items = 10;
    options.stop_on_failure = 1;
    assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
    while ((code = forkfold_pipeline_next(pipeline, &result)) == 1)
        assert_false(result.failed);
    assert_int_equal(code, FORKFOLD_E_STOPPED);
    assert_non_null(strstr(forkfold_pool_message(pool), "batch 5 failed in stage 1: "));
    forkfold_pipeline_close(pipeline);
    reset_pages(NULL);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- The end of all ------------------------------------------------------ */

static void lost_supervisor_ends_the_pipeline(void **state)
{
    uint64_t *numbers = make_numbers(100);

    (void)state;
    for (unsigned stage = 0; stage < STAGES; stage++) {
        struct rule rules[FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 100);
        forkfold_pool *pool = open_pool(2);
        pid_t supervisor = supervisor_of_only_pool();
        forkfold_pipeline *pipeline = NULL;
        forkfold_pipeline *other = NULL;
        forkfold_result result;
        pid_t killer;

        reset_pages(NULL);
        options.batch_items = 1;
        options.stages[stage] = (forkfold_stage){.function = wait_at_gate};
        assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
        killer = fork();
        if (killer == 0) {
            await_reached(2);
            kill(supervisor, SIGKILL);
            _exit(0);
        }
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(forkfold_pipeline_next(pipeline, &result), FORKFOLD_E_SUPERVISOR);
            assert_string_not_equal(forkfold_pool_message(pool), "");
        }
        assert_int_equal(forkfold_pipeline_open(pool, &options, &other), FORKFOLD_E_SUPERVISOR);
        assert_int_equal(waitpid(killer, NULL, 0), killer);
        forkfold_pipeline_close(pipeline);
        forkfold_pool_close(pool);
    }
    free(numbers);
}

/* Nobody asks for the next batch any more. */
static void pipeline_is_closed_without_a_supervisor(void **state)
{
    uint64_t *numbers = make_numbers(100);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "ss", numbers, 100);
    forkfold_pipeline *pipeline = NULL;

    (void)state;
    options.batch_items = 1;
    options.stages[0] = (forkfold_stage){.function = wait_at_gate};
    assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
    await_reached(2);
    kill(supervisor_of_only_pool(), SIGKILL);
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
    free(numbers);
}

static void crash_loop_ends_all_pipelines_and_not_the_pool(void **state)
{
    uint64_t *numbers = make_numbers(1000);
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (unsigned stage = 0; stage < STAGES; stage++) {
        struct rule rules[FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 1000);
        forkfold_pipeline *pipelines[2] = {NULL, NULL};
        forkfold_result result;
        int code;

        reset_pages(NULL);
        plan(KILL, 2, 1000000);
        options.batch_items = 10;
        options.depth = 1;
        assert_works(pool, forkfold_pipeline_open(pool, &options, &pipelines[1]));
        rules[stage].suffers = true;
        options.stages[stage].retries_plus_one = 1000000;
        assert_works(pool, forkfold_pipeline_open(pool, &options, &pipelines[0]));
        while ((code = forkfold_pipeline_next(pipelines[0], &result)) == 1)
            ;
        assert_int_equal(code, FORKFOLD_E_CRASH_LOOP);
        assert_non_null(strstr(forkfold_pool_message(pool), "workers in a row died"));
        assert_int_equal(forkfold_pipeline_next(pipelines[1], &result), FORKFOLD_E_CRASH_LOOP);
        script->faults = 0;
        /* Beside those that have ended, and after them. */
        options.depth = 0;
        assert_int_equal(run_rules(pool, &options), 0);
        forkfold_pipeline_close(pipelines[0]);
        forkfold_pipeline_close(pipelines[1]);
        assert_int_equal(run_rules(pool, &options), 0);
    }
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Random kills -------------------------------------------------------- */

static void random_kills_lose_no_batch_and_double_none(void **state)
{
    enum { ROUNDS = SANITIZED ? 4 : 20, COUNT = 60000 };
    static const char *const shapes[] = {"s", "st", "sos", "ssss"};
    uint64_t seed = random_u64();
    uint64_t *numbers = make_numbers(COUNT);

    (void)state;
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t dice = mix(seed + round);
        forkfold_pool *pool = open_pool_with(&(forkfold_pool_options){
            .workers = 1 + (unsigned)(dice / 5 % 4), .max_deaths = 1000000});
        struct rule rules[FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options =
            rule_options(rules, shapes[dice / 7 % 4], numbers, 1 + dice % COUNT);
        pid_t killer = start_killer(supervisor_of_only_pool(), dice);

        options.batch_items = 5 + dice / 11 % 20;
        options.depth = (unsigned)(dice / 13 % 3 * 7);
        options.unordered = (int)(dice / 17 % 2);
        for (unsigned i = 0; i < options.stage_count; i++) {
            options.stages[i].retries_plus_one = 1000000;
            options.stages[i].replicas = (unsigned)((dice >> (20 + i)) % 3);
        }
        assert_int_equal(run_rules(pool, &options), 0);
        stop_killer(killer);
        forkfold_pool_close(pool);
    }
    free(numbers);
}

/* ---- Deaths at every step ------------------------------------------------ */

#ifdef FF_KILL_POINTS
/* Side by side, each with one batch that fails. */
static void run_both(forkfold_pool *pool, const uint64_t *numbers)
{
    struct rule rules[2][FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options[2] = {rule_options(rules[0], "sst", numbers, 300),
                                            rule_options(rules[1], "os", numbers, 200)};
    forkfold_pipeline *pipelines[2] = {NULL, NULL};

    plan(FAIL, 13, 2000);
    for (unsigned i = 0; i < 2; i++) {
        rules[i][1 - i].suffers = true;
        options[i].batch_items = 7;
        options[i].depth = 1 + 4 * i;
        options[i].unordered = (int)i;
        assert_works(pool, forkfold_pipeline_open(pool, &options[i], &pipelines[i]));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(read_all(pool, pipelines[i], &options[i]), 1);
        assert_int_equal(forkfold_pipeline_failure_count(pipelines[i], 1 - i), 1);
        forkfold_pipeline_close(pipelines[i]);
    }
}

static void death_at_any_step_changes_no_batch(void **state)
{
    enum { HOWS = SANITIZED ? 1 : 3 };
    static const char *const hows[] = {"kill", "segv", "exit"};
    uint64_t *numbers = make_numbers(300);

    (void)state;
    for (size_t p = 0; p < WORKER_POINT_COUNT; p++)
        for (unsigned h = 0; h < HOWS; h++)
            for (unsigned at = 1; at < 40; at = at * 3 + 1) {
                reset_pages(NULL);
                forkfold_pool *pool = open_pool_that_dies(
                    worker_points[p], hows[h], at,
                    &(forkfold_pool_options){.workers = 1 + at % 2,
                                             .tasks_per_worker = at == 4 ? 5 : 0});

                run_both(pool, numbers);
                forkfold_pool_close(pool);
            }
    free(numbers);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAGES(batch_whose_worker_dies_once_comes_out_complete),
        WITH_PAGES(batch_whose_workers_always_die_is_given_up_with_the_reason),
        WITH_PAGES(attempts_are_those_of_the_stage),
        WITH_PAGES(batch_that_is_given_up_ends_the_pipeline_that_wants_it),
        WITH_PAGES(lost_supervisor_ends_the_pipeline),
        WITH_PAGES(pipeline_is_closed_without_a_supervisor),
        WITH_PAGES(crash_loop_ends_all_pipelines_and_not_the_pool),
        WITH_PAGES(random_kills_lose_no_batch_and_double_none),
#ifdef FF_KILL_POINTS
        WITH_PAGES(death_at_any_step_changes_no_batch),
#endif
    };

    return cmocka_run_group_tests(tests, make_pages, NULL);
}
