/* SPDX-License-Identifier: Apache-2.0 */
/* The course of pipelines: batches that fail, ends before their time, and several at once. */
#include "pipeline_script.h"

#include "pool/call.h"

static forkfold_pipeline *open_pipeline(forkfold_pool *pool,
                                        const forkfold_pipeline_options *options)
{
    forkfold_pipeline *pipeline = NULL;

    assert_works(pool, forkfold_pipeline_open(pool, options, &pipeline));
    return pipeline;
}

/* Nothing that the pipeline had of the region is missing. */
static void assert_nothing_is_held(const forkfold_pool *pool)
{
    assert_null(pool->items.calls);
    assert_int_equal(pool->items.arrays.held, 0);
    assert_int_equal(pool->items.results.held, 0);
}

/* ---- Batches that fail --------------------------------------------------- */

static const uint64_t bad_batches[] = {0, 7, 8, 9, 50, 99};
enum { BAD = sizeof(bad_batches) / sizeof(bad_batches[0]), BATCHES = 100 };

static bool is_bad(uint64_t batch)
{
    for (unsigned i = 0; i < BAD; i++)
        if (bad_batches[i] == batch)
            return true;
    return false;
}

static void assert_went_no_further(unsigned stages, unsigned bad_stage)
{
    for (unsigned stage = 0; stage < stages; stage++)
        for (uint64_t batch = 0; batch < BATCHES; batch++)
            assert_int_equal(watch->runs[stage][batch], !is_bad(batch) || stage <= bad_stage);
}

static void batch_that_fails_goes_no_further_and_the_others_do(void **state)
{
    uint64_t *numbers = make_numbers(10 * BATCHES);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned bad_stage = 0; bad_stage < 4; bad_stage++)
        for (unsigned depth = 1; depth < 200; depth *= 6) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options = rule_options(rules, "sots", numbers, 10 * BATCHES);
            forkfold_pipeline *pipeline;

            reset_pages(NULL);
            for (unsigned i = 0; i < BAD; i++)
                plan(FAIL, bad_batches[i], 1);
            rules[bad_stage].suffers = true;
            options.batch_items = 10;
            options.depth = depth;
            options.unordered = depth == 6;
            options.stages[bad_stage].replicas = depth == 36;
            pipeline = open_pipeline(pool, &options);
            assert_int_equal(read_all(pool, pipeline, &options), BAD);
            for (unsigned stage = 0; stage < 4; stage++)
                assert_int_equal(forkfold_pipeline_failure_count(pipeline, stage),
                                 stage == bad_stage ? BAD : 0);
            assert_went_no_further(4, bad_stage);
            forkfold_pipeline_close(pipeline);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void failure_says_which_batch_and_why(void **state)
{
    uint64_t *numbers = make_numbers(5);
    forkfold_pool *pool = open_pool(1);
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "ss", numbers, 5);
    const forkfold_item_failure *failure;
    forkfold_pipeline *pipeline;

    (void)state;
    plan(FAIL, 3, 1);
    rules[1].suffers = true;
    options.batch_items = 1;
    pipeline = open_pipeline(pool, &options);
    assert_int_equal(read_all(pool, pipeline, &options), 1);
    failure = forkfold_pipeline_failure(pipeline, 1, 0);
    assert_int_equal(failure->index, 3);
    assert_int_equal(failure->reason, FORKFOLD_REASON_ERROR);
    assert_int_equal(failure->code, 1);
    assert_int_equal(failure->attempts, 1);
    assert_string_equal(failure->detail, "item 3 is bad");
    assert_null(forkfold_pipeline_failure(pipeline, 1, 1));
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Ends ---------------------------------------------------------------- */

/* Reads on to the error, which stays what it is.  How many batches came before. */
static uint64_t read_to_error(forkfold_pool *pool, forkfold_pipeline *pipeline, int expected,
                              const char *sentence)
{
    forkfold_result result;
    uint64_t read = 0;
    int code;

    while ((code = forkfold_pipeline_next(pipeline, &result)) == 1) {
        assert_false(result.failed);
        read++;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(code, expected);
        assert_string_equal(forkfold_pool_message(pool), sentence);
        code = forkfold_pipeline_next(pipeline, &result);
    }
    return read;
}

static void first_failure_ends_the_pipeline_that_wants_it(void **state)
{
    uint64_t *numbers = make_numbers(10 * BATCHES);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned bad_stage = 0; bad_stage < 3; bad_stage++)
        for (uint64_t batch = 0; batch < BATCHES; batch += 11) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 10 * BATCHES);
            forkfold_pipeline *pipeline;
            char sentence[80];

            reset_pages(NULL);
            plan(FAIL, batch, 1);
            rules[bad_stage].suffers = true;
            options.batch_items = 10;
            options.depth = 1 + batch % 5;
            options.stop_on_failure = 1;
            snprintf(sentence, sizeof(sentence), "batch %u failed in stage %u: item %u is bad",
                     (unsigned)batch, bad_stage, (unsigned)batch);
            pipeline = open_pipeline(pool, &options);
            assert_in_range(read_to_error(pool, pipeline, FORKFOLD_E_STOPPED, sentence), 0, batch);
            assert_int_equal(forkfold_pipeline_failure_count(pipeline, bad_stage), 1);
            forkfold_pipeline_close(pipeline);
            assert_nothing_is_held(pool);
        }
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

static void deadline_ends_the_pipeline_whatever_its_workers_do(void **state)
{
    uint64_t *numbers = make_numbers(100);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned stage = 0; stage < 3; stage++) {
        struct rule rules[FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 100);
        forkfold_pipeline *pipeline;

        options.stages[stage] = (forkfold_stage){.function = wait_at_gate};
        options.batch_items = 10;
        options.deadline_ns = 20 * FF_NS_PER_MS;
        pipeline = open_pipeline(pool, &options);
        assert_int_equal(read_to_error(pool, pipeline, FORKFOLD_E_DEADLINE,
                                       "the deadline passed before all items were done"),
                         0);
        forkfold_pipeline_close(pipeline);
        assert_nothing_is_held(pool);
    }
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Closing ------------------------------------------------------------- */

static void closing_at_any_point_leaves_nothing_behind(void **state)
{
    uint64_t *numbers = make_numbers(300);
    forkfold_pool *pool = open_pool(2);
    unsigned descriptors = open_descriptors();

    (void)state;
    for (uint64_t read = 0; read <= 61; read++)
        for (unsigned depth = 1; depth < 30; depth *= 5) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options = rule_options(rules, "sts", numbers, 300);
            forkfold_pipeline *pipeline;
            forkfold_result result;

            options.batch_items = 5;
            options.depth = depth;
            options.unordered = read % 2;
            pipeline = open_pipeline(pool, &options);
            for (uint64_t i = 0; i < read; i++)
                assert_int_equal(forkfold_pipeline_next(pipeline, &result), i < 60);
            forkfold_pipeline_close(pipeline);
            assert_nothing_is_held(pool);
        }
    assert_int_equal(open_descriptors(), descriptors);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

static void closing_ends_workers_that_are_in_a_stage(void **state)
{
    uint64_t *numbers = make_numbers(10);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (uint32_t round = 1; round <= 5; round++) {
        forkfold_pipeline *pipeline =
            open_pipeline(pool, &(forkfold_pipeline_options){.stages = {{.function = wait_at_gate}},
                                                             .stage_count = 1,
                                                             .items = numbers,
                                                             .count = 10,
                                                             .item_bytes = 8,
                                                             .batch_items = 1});

        await_reached(2 * round);
        forkfold_pipeline_close(pipeline);
        assert_nothing_is_held(pool);
    }
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

/* A batch full of its maker's number. */
enum { SIGNATURES = 4096, SIGNATURE_BYTES = SIGNATURES * 8 };

static int sign(const forkfold_item *item)
{
    uint64_t *out = forkfold_item_reserve(item, SIGNATURE_BYTES);

    for (unsigned i = 0; i < SIGNATURES; i++)
        out[i] = (uint64_t)getpid();
    return 0;
}

/* The first that gets a batch of another worker's reads it for ever, and tells when it changes. */
static int read_for_ever(const forkfold_item *item)
{
    const volatile uint64_t *in = item->arguments[0];
    uint64_t maker = in[0];

    if (maker == (uint64_t)getpid() || watch->inside++ > 0)
        return 0;
    reach();
    for (;;)
        for (unsigned i = 0; i < SIGNATURES; i++)
            if (in[i] != maker) {
                watch->spoilt++;
                return 0;
            }
}

static int give_for_ever(void *user, const void **batch, size_t *bytes)
{
    (void)user;
    *batch = NULL;
    *bytes = 0;
    return 1;
}

/* Pipelines end at their deadline, until one has left a reader behind, whom nobody ends yet. */
static forkfold_pipeline *leave_reader(forkfold_pool *pool, pid_t supervisor)
{
    forkfold_pipeline_options options = {
        .stages = {{.function = sign}, {.function = read_for_ever}},
        .stage_count = 2,
        .source = give_for_ever,
        .deadline_ns = 50 * FF_NS_PER_MS};
    forkfold_result result;

    for (;;) {
        forkfold_pipeline *pipeline;

        reset_pages(NULL);
        kill(supervisor, SIGSTOP);
        pipeline = open_pipeline(pool, &options);
        while (forkfold_pipeline_next(pipeline, &result) == 1)
            ;
        if (ff_snapshot32(&script->reached) > 0)
            return pipeline;
        kill(supervisor, SIGCONT);
        forkfold_pipeline_close(pipeline);
    }
}

/* Lets the supervisor go on when the other worker has used all memory of its that is free. */
static pid_t start_waker(pid_t supervisor, uint64_t runs)
{
    pid_t waker = fork();

    if (waker != 0)
        return waker;
    while (script->runs < runs)
        sched_yield();
    kill(supervisor, SIGCONT);
    _exit(0);
}

static void batch_stays_as_it_is_while_a_stage_may_read_it(void **state)
{
    enum { RESULTS = 400 };
    uint64_t *sizes = make_numbers(RESULTS);
    forkfold_pool *pool = open_pool(2);
    pid_t supervisor = supervisor_of_only_pool();
    forkfold_call_options others = {.function = write_bytes,
                                    .count = RESULTS,
                                    .arrays = {{.data = sizes, .item_bytes = 8}},
                                    .array_count = 1,
                                    .results_vary = 1};
    forkfold_pipeline *pipeline;
    forkfold_call *imap = NULL;
    pid_t children[2];
    pid_t waker;

    (void)state;
    for (unsigned i = 0; i < RESULTS; i++)
        sizes[i] = SIGNATURE_BYTES;
    while (children_of(supervisor, children, 2) < 2)
        sched_yield();
    pipeline = leave_reader(pool, supervisor);
    assert_works(pool, forkfold_imap(pool, &others, &imap));
    waker = start_waker(supervisor, RESULTS);
    forkfold_pipeline_close(pipeline);
    assert_int_equal(watch->spoilt, 0);
    forkfold_call_close(imap);
    assert_int_equal(waitpid(waker, NULL, 0), waker);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    free(sizes);
}

/* ---- Boards that are full ------------------------------------------------ */

/* The first batch waits at the gate, in the first stage. */
static int hold_first_batch(const forkfold_item *item)
{
    return item->index == 0 ? wait_at_gate(item) : 0;
}

static int pass_batch(const forkfold_item *item)
{
    (void)item;
    return 0;
}

/* What could not be posted lies before what has been, and is nothing to wait for. */
static void full_board_ends_the_pipeline_and_not_its_closing(void **state)
{
    uint64_t numbers[2] = {1, 2};
    forkfold_pool *pool = open_pool(2);
    struct ff_board *board = &pool->layout.boards[FF_MAIN];
    forkfold_pipeline_options options = {
        .stages = {{.function = hold_first_batch}, {.function = pass_batch}},
        .stage_count = 2,
        .items = numbers,
        .count = 2,
        .item_bytes = sizeof(*numbers),
        .batch_items = 1,
        .unordered = 1};
    forkfold_pipeline *pipeline = open_pipeline(pool, &options);
    forkfold_result result;

    (void)state;
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
    assert_int_equal(result.index, 1);
    size_t capacity = board->capacity;

    board->capacity = ff_peer_get(&board->shared->postings);
    open_gate();
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), FORKFOLD_E_LIMIT);
    forkfold_pipeline_close(pipeline);
    board->capacity = capacity;
    assert_nothing_is_held(pool);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

/* ---- In callbacks -------------------------------------------------------- */

static void close_both(forkfold_call *call, void *pipeline)
{
    forkfold_call_close(call);
    forkfold_pipeline_close(pipeline);
}

/* The call that is waited for stays until the wait has ended: nobody may wait for that meanwhile. */
static void pipeline_is_closed_in_the_callback_of_a_call(void **state)
{
    uint64_t *numbers = make_numbers(1000);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "ss", numbers, 1000);
    forkfold_call_options once = {.function = run_only, .count = 1, .on_done = close_both};
    forkfold_call *call = NULL;

    (void)state;
    options.batch_items = 10;
    once.user = open_pipeline(pool, &options);
    assert_works(pool, forkfold_map(pool, &once, &call));
    assert_null(call);
    assert_nothing_is_held(pool);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- In watches ---------------------------------------------------------- */

static int close_watched(int fd, void *context)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
    forkfold_pipeline_close(*(forkfold_pipeline **)context);
    return 0;
}

static void watch_may_close_the_pipeline_whose_batch_is_awaited(void **state)
{
    uint64_t numbers[8] = {0};
    forkfold_pool *pool = open_pool(2);
    forkfold_pipeline_options options = {
        .stages = {{.function = wait_at_gate}, {.function = pass_batch}},
        .stage_count = 2,
        .items = numbers,
        .count = 8,
        .item_bytes = sizeof(*numbers),
        .batch_items = 1};
    forkfold_pipeline *pipeline;
    forkfold_result result;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(forkfold_pool_watch(pool, ends[0], close_watched, &pipeline), 0);
    pipeline = open_pipeline(pool, &options);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), FORKFOLD_E_CANCELLED);
    assert_string_not_equal(forkfold_pool_message(pool), "");
    assert_nothing_is_held(pool);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
    close(ends[0]);
    close(ends[1]);
}

/* ---- Several at once ----------------------------------------------------- */

static void read_some(forkfold_pipeline *pipeline, const forkfold_pipeline_options *options,
                      uint64_t *read, uint64_t count)
{
    forkfold_result result;

    for (uint64_t i = 0; i < count && *read < batches_of(options); i++, ++*read) {
        assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
        assert_true(options->unordered || result.index == *read);
        assert_batch(options, &result);
    }
}

static void two_pipelines_and_a_map_share_a_pool(void **state)
{
    uint64_t *numbers = make_numbers(20000);

    (void)state;
    for (unsigned workers = 1; workers <= 3; workers++) {
        forkfold_pool *pool = open_pool(workers);
        struct rule rules[2][FORKFOLD_STAGES_MAX];
        forkfold_pipeline_options options[2] = {rule_options(rules[0], "sots", numbers, 20000),
                                                rule_options(rules[1], "tt", numbers, 15000)};
        forkfold_call_options map = mix_options(numbers, 20000);
        forkfold_pipeline *pipelines[2];
        uint64_t read[2] = {0, 0};
        forkfold_call *call = NULL;

        options[0].batch_items = 100;
        options[1].batch_items = 60;
        options[1].unordered = 1;
        options[1].stages[1].replicas = 1;
        pipelines[0] = open_pipeline(pool, &options[0]);
        assert_works(pool, forkfold_map_async(pool, &map, &call));
        pipelines[1] = open_pipeline(pool, &options[1]);
        while (read[0] < batches_of(&options[0]) || read[1] < batches_of(&options[1])) {
            read_some(pipelines[0], &options[0], &read[0], 3);
            read_some(pipelines[1], &options[1], &read[1], 5);
        }
        assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
        assert_mixed(call, numbers, 20000);
        forkfold_pipeline_close(pipelines[workers % 2]);
        assert_pool_is_well(pool);
        forkfold_pipeline_close(pipelines[1 - workers % 2]);
        forkfold_call_close(call);
        assert_nothing_is_held(pool);
        forkfold_pool_close(pool);
    }
    free(numbers);
}

/* ---- Children ------------------------------------------------------------ */

static int use_in_child(forkfold_pool *pool, forkfold_pipeline *pipeline,
                        const forkfold_pipeline_options *options)
{
    forkfold_pipeline *other = NULL;
    forkfold_result result;

    if (forkfold_pipeline_next(pipeline, &result) != FORKFOLD_E_FORKED ||
        forkfold_pipeline_open(pool, options, &other) != FORKFOLD_E_FORKED || other != NULL ||
        forkfold_pipeline_failure_count(pipeline, 0) != 0)
        return 1;
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
    return 0;
}

static void child_can_only_close_its_copy(void **state)
{
    uint64_t *numbers = make_numbers(1000);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "st", numbers, 1000);
    forkfold_pipeline *pipeline;
    uint64_t read = 0;
    int status;

    (void)state;
    options.batch_items = 10;
    pipeline = open_pipeline(pool, &options);
    read_some(pipeline, &options, &read, 5);
    pid_t child = fork();

    if (child == 0)
        _exit(use_in_child(pool, pipeline, &options));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    read_some(pipeline, &options, &read, 1000);
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
    free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAGES(batch_that_fails_goes_no_further_and_the_others_do),
        WITH_PAGES(failure_says_which_batch_and_why),
        WITH_PAGES(first_failure_ends_the_pipeline_that_wants_it),
        WITH_PAGES(deadline_ends_the_pipeline_whatever_its_workers_do),
        WITH_PAGES(closing_at_any_point_leaves_nothing_behind),
        WITH_PAGES(closing_ends_workers_that_are_in_a_stage),
        WITH_PAGES(batch_stays_as_it_is_while_a_stage_may_read_it),
        WITH_PAGES(full_board_ends_the_pipeline_and_not_its_closing),
        WITH_PAGES(pipeline_is_closed_in_the_callback_of_a_call),
        WITH_PAGES(watch_may_close_the_pipeline_whose_batch_is_awaited),
        WITH_PAGES(two_pipelines_and_a_map_share_a_pool),
        WITH_PAGES(child_can_only_close_its_copy),
    };

    return cmocka_run_group_tests(tests, make_pages, NULL);
}
