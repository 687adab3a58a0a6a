/* SPDX-License-Identifier: Apache-2.0 */
/* What calls on items say of how they went. */
#include "item_script.h"

#include <forkfold/error.h>

enum { ITEMS = 1000, WORKERS = 3 };

static uint64_t numbers[ITEMS];

static forkfold_call_options measured_options(void)
{
    return (forkfold_call_options){.function = mix_item,
                                   .count = ITEMS,
                                   .arrays = {{.data = numbers, .item_bytes = sizeof(*numbers)}},
                                   .array_count = 1,
                                   .context = numbers,
                                   .context_bytes = 24,
                                   .result_bytes = sizeof(uint64_t),
                                   .chunk = 7,
                                   .measure = 1};
}

static void assert_consistent(const forkfold_call *call, const forkfold_call_statistics *stats)
{
    forkfold_worker_stats sum = {0};

    assert_int_equal(stats->workers, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        forkfold_worker_stats one;

        assert_int_equal(forkfold_call_worker_stats(call, i, &one), 0);
        assert_true(one.function_ns <= one.busy_ns);
        assert_int_equal(one.busy_ns + one.wait_ns + one.idle_ns, stats->wall_ns);
        sum.items += one.items;
        sum.tasks += one.tasks;
        sum.busy_ns += one.busy_ns;
    }
    assert_int_equal(sum.items, stats->all.items);
    assert_int_equal(sum.tasks, stats->all.tasks);
    assert_int_equal(sum.busy_ns, stats->all.busy_ns);
    assert_true(stats->communication >= 0 && stats->communication <= 1);
    assert_true(stats->all.items == 0 || stats->items_per_second > 0);
}

static void finished_call_has_counted_all(void **state)
{
    forkfold_pool *pool = open_pool(WORKERS);
    forkfold_call_options options = measured_options();

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        forkfold_call_statistics stats;
        forkfold_call *call = NULL;

        assert_works(pool, forkfold_map(pool, &options, &call));
        assert_int_equal(forkfold_call_stats(call, &stats), 0);
        assert_consistent(call, &stats);
        assert_int_equal(stats.all.items, ITEMS);
        assert_int_equal(stats.all.tasks, (ITEMS + 6) / 7);
        assert_int_equal(stats.all.result_bytes, ITEMS * sizeof(uint64_t));
        assert_int_equal(stats.argument_bytes, ITEMS * sizeof(uint64_t) + 24);
        assert_int_equal(stats.retries, 0);
        assert_int_equal(stats.deaths, 0);
        forkfold_call_close(call);
    }
    forkfold_pool_close(pool);
}

static void deaths_and_retries_are_told(void **state)
{
    forkfold_pool *pool = open_pool(WORKERS);
    forkfold_call_options options = measured_options();
    forkfold_call_statistics stats;
    forkfold_call *call = NULL;

    (void)state;
    plan(KILL, 500, 2);
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_stats(call, &stats), 0);
    assert_consistent(call, &stats);
    assert_int_equal(stats.retries, 2);
    assert_int_equal(stats.deaths, 2);
    /* What was measured before a death is kept. */
    assert_int_equal(stats.all.items, ITEMS);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static void imap_counts_what_it_copies(void **state)
{
    forkfold_pool *pool = open_pool(WORKERS);
    forkfold_call_options options = measured_options();
    forkfold_call_statistics stats;
    forkfold_call *call = NULL;
    forkfold_result result;

    (void)state;
    options.buffer_items = 64;
    assert_works(pool, forkfold_imap(pool, &options, &call));
    /* In progress, too; the time goes on meanwhile. */
    assert_int_equal(forkfold_call_stats(call, &stats), 0);
    assert_true(stats.all.items <= ITEMS);
    while (forkfold_call_next(call, &result) == 1)
        continue;
    assert_int_equal(forkfold_call_stats(call, &stats), 0);
    assert_consistent(call, &stats);
    assert_int_equal(stats.all.items, ITEMS);
    assert_int_equal(stats.argument_bytes, ITEMS * sizeof(uint64_t) + 24);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

static void call_that_does_not_measure_says_so(void **state)
{
    forkfold_pool *pool = open_pool(WORKERS);
    forkfold_call_options options = measured_options();
    forkfold_call_statistics stats;
    forkfold_worker_stats worker;
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_stats(call, NULL), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_call_worker_stats(call, WORKERS, &worker), FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool),
                        "the call does not measure, or has no items, or no worker 3");
    forkfold_call_close(call);
    options.measure = 0;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_stats(call, &stats), FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool), "the call does not measure, or has no items");
    forkfold_call_close(call);
    options.measure = 1;
    options.count = 0;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_stats(call, &stats), FORKFOLD_E_INVALID);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(finished_call_has_counted_all),
        WITH_SCRIPT(deaths_and_retries_are_told),
        WITH_SCRIPT(imap_counts_what_it_copies),
        WITH_SCRIPT(call_that_does_not_measure_says_so),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
