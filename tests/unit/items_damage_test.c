/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that write where they should not: into their own segments, and over the boards' cursors. */
#include "item_script.h"

#include <forkfold/error.h>

#include "pool/call.h"

#define FOR_LONG (UINT64_C(60) * FF_NS_PER_S) /* only a hang gets there */

static const struct ff_layout *layout_of(const forkfold_item *item)
{
    return item->context;
}

/* The segment of the worker that runs the item. */
static const struct ff_segment_areas *own_segment(const forkfold_item *item)
{
    const struct ff_layout *layout = layout_of(item);

    for (unsigned i = 0; i < layout->workers; i++)
        if (ff_peer_get(&layout->segments[i].head->pid) == (uint64_t)getpid())
            return &layout->segments[i];
    abort();
}

static forkfold_call_options knowing(const forkfold_pool *pool, forkfold_function *function,
                                     uint64_t count)
{
    return (forkfold_call_options){.function = function,
                                   .count = count,
                                   .chunk = 1,
                                   .context = &pool->layout,
                                   .context_bytes = sizeof(pool->layout)};
}

/* ---- The log of claims --------------------------------------------------- */

static int smear_log(const forkfold_item *item)
{
    if (item->index == 0)
        ff_own_set(&own_segment(item)->head->claim_count, UINT64_C(1) << 60);
    return wait_at_gate(item);
}

/* The supervisor reads the logs of living workers whenever a call is cancelled or another begins. */
static void smeared_log_of_a_living_worker_is_no_end_of_the_pool(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = knowing(pool, smear_log, 2);
    const forkfold_call_options other = {.function = run_only, .count = 1, .timeout_ns = FOR_LONG};
    forkfold_call *smeared = NULL;
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &smeared));
    await_reached(2);
    assert_works(pool, forkfold_map_async(pool, &other, &call));
    forkfold_call_cancel(call);
    assert_int_equal(forkfold_call_wait(call, FOR_LONG), FORKFOLD_E_CANCELLED);
    forkfold_call_close(call);
    open_gate();
    assert_works(pool, forkfold_call_wait(smeared, FOR_LONG));
    forkfold_call_close(smeared);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

/* ---- Pieces of memory for results ---------------------------------------- */

enum { SMEARING_ITEM = 3, RESULT_BYTES = 200000 };

static const struct ff_item_piece smears[] = {
    {.bytes = 1 << 20, .owner = 0xdead0000, .serial = 12345},
    {.bytes = UINT64_MAX, .owner = 8, .serial = 0},
    {.bytes = 1 << 20, .used = UINT64_MAX / 2},
    {.base = (char *)8, .bytes = 1 << 20, .owner = UINT64_MAX},
};
enum { SMEARS = sizeof(smears) / sizeof(smears[0]) };

/* Fills all of a result of its own, and the item that smears all pieces dies then. */
static int smear_pieces(const forkfold_item *item)
{
    const struct ff_segment_areas *segment = own_segment(item);
    unsigned char *result = forkfold_item_reserve(item, RESULT_BYTES);

    if (result == NULL)
        return forkfold_item_fail(item, "no room");
    memset(result, (int)item->index, RESULT_BYTES);
    if (item->index != SMEARING_ITEM)
        return 0;
    for (size_t i = 0; i < segment->piece_capacity; i++)
        memcpy(&segment->pieces[i], &smears[script->runs % SMEARS], sizeof(smears[0]));
    script->runs++;
    if (script->runs % 2 == 0)
        ff_own_set(&segment->head->piece_count, UINT64_MAX);
    raise(SIGKILL);
    return 0;
}

static void smeared_pieces_cost_only_the_item_that_smears(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = knowing(pool, smear_pieces, 40);
    forkfold_call *call = NULL;

    (void)state;
    options.results_vary = 1;
    options.retries_plus_one = 2 * SMEARS;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(script->runs, 2 * SMEARS);
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->index, SMEARING_ITEM);
    for (uint64_t i = 0; i < options.count; i++) {
        forkfold_result result;

        assert_int_equal(forkfold_call_result(call, i, &result), 0);
        assert_int_equal(result.failed, i == SMEARING_ITEM);
        if (result.failed)
            continue;
        assert_int_equal(result.bytes, RESULT_BYTES);
        for (size_t byte = 0; byte < RESULT_BYTES; byte++)
            assert_int_equal(((const unsigned char *)result.data)[byte], i);
    }
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

/* ---- Cursors ------------------------------------------------------------- */

enum { SKIPPED_AT = 100, SKIPPED = 50, SKIPPED_AGAIN_AT = 120, SKIPPED_AGAIN = 10 };

/* The items behind it are claimed by nobody; when they are run again, some are lost once more. */
static int skip_items(const forkfold_item *item)
{
    const struct ff_layout *layout = layout_of(item);

    if (item->index == SKIPPED_AT)
        (void)ff_take_some(&layout->boards[FF_MAIN].cursor->next, SKIPPED);
    if (item->index == SKIPPED_AGAIN_AT)
        (void)ff_take_some(&layout->boards[FF_RETRY].cursor->next, SKIPPED_AGAIN);
    return suffer(item);
}

static void items_that_are_lost_twice_are_found_twice(void **state)
{
    enum { COUNT = 4000 };
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = knowing(pool, skip_items, COUNT);
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, forkfold_call_wait(call, FOR_LONG));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    assert_int_equal(script->runs, COUNT);
    forkfold_call_close(call);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(smeared_log_of_a_living_worker_is_no_end_of_the_pool),
        WITH_SCRIPT(smeared_pieces_cost_only_the_item_that_smears),
        WITH_SCRIPT(items_that_are_lost_twice_are_found_twice),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
