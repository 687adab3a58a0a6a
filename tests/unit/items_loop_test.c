/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts with an event loop of their own: what they are woken for, and what they are not. */
#include "item_script.h"

#include <forkfold/error.h>
#include <forkfold/words.h>

#include "platform/event.h"
#include "pool/call.h"

enum { FOR_LONG_MS = 60 * 1000 }; /* only a hang gets there */

/* Waits as a host does, and dispatches. */
static int turn_loop(forkfold_pool *pool)
{
    struct pollfd polled = {.fd = forkfold_pool_fd(pool), .events = POLLIN};

    assert_int_equal(poll(&polled, 1, FOR_LONG_MS), 1);
    return forkfold_pool_dispatch(pool);
}

static bool is_readable(forkfold_pool *pool)
{
    struct pollfd polled = {.fd = pool->epoll, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
}

/* Its alarm had gone off for a wait of the host's, which was for another call. */
static void deadline_wakes_the_loop_after_a_wait_that_timed_out(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {
        .function = wait_at_gate, .count = 1, .deadline_ns = 50 * FF_NS_PER_MS};
    forkfold_call *late = NULL;
    forkfold_call *other = NULL;

    (void)state;
    (void)forkfold_pool_fd(pool);
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_works(pool, forkfold_map_async(pool, &options, &late));
    options.deadline_ns = 0;
    assert_works(pool, forkfold_map_async(pool, &options, &other));
    await_reached(2);
    assert_int_equal(forkfold_call_wait(other, FF_NS_PER_MS), FORKFOLD_E_PENDING);
    while (forkfold_call_message(late)[0] == '\0')
        assert_works(pool, turn_loop(pool));
    assert_int_equal(forkfold_call_wait(late, 0), FORKFOLD_E_DEADLINE);
    forkfold_call_close(late);
    open_gate();
    forkfold_call_close(other);
    forkfold_pool_close(pool);
}

static unsigned ticks;

static void count_tick(const forkfold_progress *progress, void *context)
{
    (void)progress;
    (void)context;
    ticks++;
}

/* What a count that has failed wanted to be told, and by when it had to be done. */
static void ended_count_leaves_no_alarm_behind(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_words_options options = {.stop_on_failure = 1,
                                      .deadline_ns = FF_NS_PER_S * 3600,
                                      .progress_ns = 1,
                                      .on_progress = count_tick};
    forkfold_words *words = NULL;

    (void)state;
    (void)forkfold_pool_fd(pool);
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_int_equal(forkfold_count_text(pool, "\xff", 1, &options, &words), FORKFOLD_E_STOPPED);
    assert_int_equal(pool->deadline_ns, 0);
    assert_int_equal(pool->tick_ns, 0);
    ticks = 0;
    for (unsigned i = 0; i < 3; i++) {
        ff_alarm_set(pool->alarm, 1);
        assert_works(pool, turn_loop(pool));
    }
    assert_int_equal(ticks, 0);
    forkfold_pool_close(pool);
}

/* A worker that is born while the host reads a result is no reason to turn and turn. */
static void open_result_does_not_keep_the_loop_turning(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_words *words = NULL;
    pid_t worker;

    (void)state;
    (void)forkfold_pool_fd(pool);
    assert_works(pool, forkfold_count_text(pool, "a", 1, NULL, &words));
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_int_equal(children_of(pool->supervisor, &worker, 1), 1);
    assert_int_equal(kill(worker, SIGKILL), 0);
    while (ff_peer_get(&pool->layout.segments[0].head->pid) == (uint64_t)worker)
        assert_works(pool, turn_loop(pool));
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_false(is_readable(pool));
    forkfold_words_close(words);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static int counted_in_callback;

static void close_and_count(forkfold_call *call, void *user)
{
    forkfold_words *words = NULL;

    forkfold_call_close(call);
    counted_in_callback = forkfold_count_text(user, "a", 1, NULL, &words);
    if (counted_in_callback == 0)
        forkfold_words_close(words);
}

static void callback_that_has_closed_its_call_may_count_words(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {
        .function = run_only, .count = 3, .on_done = close_and_count, .user = pool};
    forkfold_call *call = NULL;

    (void)state;
    counted_in_callback = 1;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    (void)forkfold_call_wait(call, UINT64_MAX);
    assert_works(pool, counted_in_callback);
    forkfold_pool_close(pool);
}

/* Limits that are longer than time are none. */
static void endless_limits_are_none(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {
        .function = run_only, .count = 3, .deadline_ns = UINT64_MAX, .timeout_ns = UINT64_MAX};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    assert_int_equal(ff_peer_get(&pool->layout.control->shortest_ns), 0);
    forkfold_call_close(call);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(deadline_wakes_the_loop_after_a_wait_that_timed_out),
        WITH_SCRIPT(ended_count_leaves_no_alarm_behind),
        WITH_SCRIPT(open_result_does_not_keep_the_loop_turning),
        WITH_SCRIPT(callback_that_has_closed_its_call_may_count_words),
        WITH_SCRIPT(endless_limits_are_none),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
