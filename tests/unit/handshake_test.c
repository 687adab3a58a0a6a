/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshakes of the pool, with threads in place of its processes.  One that
 * fails shows as a wrong result, as a race, or as a call that never ends.
 */
#include "pool_threads.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CALLS = 3000, ROUNDS = 40 };
#else
enum { CALLS = 4000, ROUNDS = 100 };
#endif

/* ---- Calls --------------------------------------------------------------- */

static uint64_t posted; /* items of the call in progress */

/* Each call has a factor of its own: a worker that takes one call for another sums up wrongly. */
static void begin(void)
{
    uint64_t *factor = (uint64_t *)pool.layout.input.base;

    assert_int_equal(ff_call_check(&pool), 0);
    posted = 0;
    *factor = pool.sequence + 1;
    ff_call_begin(
        &pool, &(struct ff_call_options){
                   .job = &sum_job, .context = factor, .attempts = 1000000, .max_deaths = 1000000});
}

static void post(uint64_t items)
{
    assert_int_equal(ff_call_post(&pool, (struct ff_task){.first = posted, .count = items}, items),
                     0);
    posted += items;
}

static int await_end_of_call(void)
{
    int code;

    do
        code = ff_call_step(&pool, true);
    while (code == 0);
    return code;
}

static void assert_result(void)
{
    struct sum sum = {0};

    if (await_end_of_call() < 0 || ff_call_verify(&pool) < 0)
        fail_msg("call %llu: %s", (unsigned long long)pool.sequence, pool.error.message);
    for (unsigned slot = 0; slot < pool.layout.workers; slot++) {
        const struct ff_seal *seal = ff_call_seal(&pool, slot);

        if (seal == NULL)
            continue;
        const struct sum *part = ff_seal_payload(seal);

        sum.total += part->total;
        sum.items += part->items;
    }
    assert_int_equal(sum.items, posted);
    assert_int_equal(sum.total, posted * (posted + 1) / 2 * pool.sequence);
}

static void run_call(void)
{
    begin();
    for (int i = 0; i < 6; i++)
        post(2);
    ff_call_close(&pool);
    assert_result();
}

static const struct ff_segment *segment(unsigned slot)
{
    return pool.layout.segments[slot].head;
}

/* ---- Joining and closing ------------------------------------------------- */

/* Worker 0 has done all the work and parked; worker 1 has found work before, and stands there. */
static void leave_one_behind(enum place place)
{
    hold(0, JOINING);
    hold(1, place);
    begin();
    post(3);
    post(4);
    await(0);
    await(1);
    hold(0, ASLEEP);
    ff_call_close(&pool);
    await(0);
    while (ff_peer_get(&segment(0)->parked) != pool.sequence) {
        hold(0, ASLEEP);
        await(0);
    }
    let_go(0);
}

static void close_waits_for_who_has_joined(void **state)
{
    (void)state;
    open_pool(2);
    for (int round = 0; round < ROUNDS; round++) {
        leave_one_behind(JOINED);
        assert_call_goes_on();
        let_go(1);
        assert_result();
    }
}

static void who_joins_after_the_close_stays_out(void **state)
{
    (void)state;
    open_pool(2);
    for (int round = 0; round < ROUNDS; round++) {
        leave_one_behind(JOINING);
        assert_result();
        /* Late for one call, or for several. */
        for (int calls = round % 3; calls > 0; calls--)
            run_call();
        hold(1, ASLEEP);
        await(1);
        assert_int_equal(ff_peer_get(&segment(1)->joined), 0);
        let_go(1);
        run_call();
    }
}

static void close_and_join_that_meet_half_way_see_each_other(void **state)
{
    (void)state;
    open_pool(2);
    for (int round = 0; round < ROUNDS; round++) {
        hold(SUPERVISOR, CLOSING);
        leave_one_behind(JOINS);
        await(SUPERVISOR);
        hold(1, JOINED);
        await(1);
        let_go(SUPERVISOR);
        assert_call_goes_on();
        let_go(1);
        assert_result();
    }
}

/* ---- Parked workers and closing ------------------------------------------ */

/*
 * Worker 0 has died in a task of two items.  Its successor is about to join for
 * the one; workers 1 and 2 had parked, and 1 has found the other item, and is
 * about to unpark.
 */
static void leave_one_unparking(void)
{
    hold(0, RUNNING);
    hold(1, JOINING);
    hold(2, JOINING);
    begin();
    for (int i = 0; i < 3; i++)
        post(2);
    ff_call_close(&pool);
    for (unsigned slot = 0; slot < 3; slot++)
        await(slot);
    for (unsigned slot = 1; slot < 3; slot++) {
        hold(slot, ASLEEP);
        await(slot);
        assert_int_equal(ff_peer_get(&segment(slot)->parked), pool.sequence);
    }
    hold(1, UNPARKING);
    kill_where_it_stands(0, JOINING);
    await(1);
    await(0);
}

/* Workers 0 and 2 do what is left, and park. */
static void finish_beside_who_unparks(void)
{
    hold(2, ASLEEP);
    await(2);
    hold(0, ASLEEP);
    await(0);
    assert_int_equal(ff_peer_get(&segment(0)->parked), pool.sequence);
    let_go(0);
    let_go(2);
}

static void close_waits_for_who_has_unparked(void **state)
{
    (void)state;
    open_pool(3);
    for (int round = 0; round < ROUNDS; round++) {
        leave_one_unparking();
        hold(1, UNPARKED);
        await(1);
        finish_beside_who_unparks();
        assert_call_goes_on();
        let_go(1);
        assert_result();
    }
}

static void who_unparks_after_the_close_parks_again(void **state)
{
    (void)state;
    open_pool(3);
    for (int round = 0; round < ROUNDS; round++) {
        leave_one_unparking();
        finish_beside_who_unparks();
        assert_result();

        uint64_t sequence = pool.sequence;

        hold(1, ASLEEP);
        await(1);
        assert_int_equal(ff_peer_get(&segment(1)->parked), sequence);
        let_go(1);
        run_call();
    }
}

static void close_and_unpark_that_meet_half_way_see_each_other(void **state)
{
    (void)state;
    open_pool(3);
    for (int round = 0; round < ROUNDS; round++) {
        leave_one_unparking();
        hold(SUPERVISOR, CLOSING);
        finish_beside_who_unparks();
        await(SUPERVISOR);
        hold(1, UNPARKED);
        await(1);
        let_go(SUPERVISOR);
        assert_call_goes_on();
        let_go(1);
        assert_result();
    }
}

/* What it sees on the boards is the next call's, and not for it. */
static void worker_late_for_its_call_takes_nothing_of_the_next(void **state)
{
    (void)state;
    open_pool(2);
    for (int round = 0; round < ROUNDS; round++) {
        hold(0, SERVING);
        stir();
        await(0);
        run_call();
        hold(1, SERVING);
        stir();
        await(1);
        begin();
        post(5);
        hold(1, UNPARKED);
        await(1);
        let_go(0);
        stir();
        ff_call_close(&pool);
        assert_result();
        begin();
        post(3);
        let_go(1);
        post(3);
        ff_call_close(&pool);
        assert_result();
    }
}

/* ---- Sleeping and waking ------------------------------------------------- */

static void task_posted_while_an_idle_worker_falls_asleep_is_seen(void **state)
{
    static const enum place places[] = {SERVING, SLEEPING, ASLEEP};

    (void)state;
    open_pool(1);
    for (int round = 0; round < 6 * ROUNDS; round++) {
        hold(0, places[round % 3]);
        if (round % 2 == 0)
            begin();
        stir();
        await(0);
        if (round % 2 != 0)
            begin();
        post(1);
        let_go(0);
        ff_call_close(&pool);
        assert_result();
    }
}

static void task_or_close_while_a_joined_worker_falls_asleep_is_seen(void **state)
{
    static const enum place places[] = {SERVING, SLEEPING, ASLEEP};

    (void)state;
    open_pool(1);
    for (int round = 0; round < 3 * ROUNDS; round++) {
        begin();
        post(1);
        for (int task = 0; task < 3; task++) {
            hold(0, places[round % 3]);
            stir();
            await(0);
            post(1);
            let_go(0);
        }
        hold(0, places[round % 3]);
        stir();
        await(0);
        ff_call_close(&pool);
        let_go(0);
        assert_result();
    }
}

/* ---- Sealing ------------------------------------------------------------- */

/* The driver may read it at once: it waits for nothing else that orders the worker's stores. */
static void seal_is_whole_as_soon_as_it_is_named(void **state)
{
    (void)state;
    open_pool(1);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sealed;
        bool damaged;

        hold(0, SEALED);
        begin();
        post(1);
        await(0);
        const struct ff_seal *seal =
            ff_seal_find(&pool.layout.segments[0], pool.sequence, &sealed, &damaged);

        assert_non_null(seal);
        assert_int_equal(((const struct sum *)ff_seal_payload(seal))->total, pool.sequence);
        let_go(0);
        post(2);
        ff_call_close(&pool);
        assert_result();
    }
}

/* ---- The audit ----------------------------------------------------------- */

/* The only trace of the task is the cursor; the call closes, is audited, and goes on. */
static void audit_opens_a_closed_call_again_for_a_lost_task(void **state)
{
    (void)state;
    open_pool(2);
    for (int round = 0; round < ROUNDS; round++) {
        bool meets_a_join = round % 2 != 0;

        hold(0, CLAIMED);
        hold(1, JOINING);
        begin();
        post(2);
        post(2);
        ff_call_close(&pool);
        await(0);
        await(1);
        if (meets_a_join)
            hold(SUPERVISOR, CLOSING);
        hold(1, ASLEEP);
        await(1);
        kill_where_it_stands(0, NOWHERE);
        if (meets_a_join) {
            await(SUPERVISOR);
            hold(1, SERVING);
            stir();
            let_go(SUPERVISOR);
        }
        let_go(1);
        assert_result();
        assert_int_equal(ff_board_posted(&pool.layout.boards[FF_RETRY]), 1);
        assert_int_equal(ff_call_counts(&pool).deaths, 1);
    }
}

/* ---- Anything at any time ------------------------------------------------ */

static void post_at_random(void)
{
    for (size_t tasks = random_below(8); tasks > 0; tasks--) {
        post(1 + random_below(4));
        for (size_t turns = random_below(4); turns > 0; turns--)
            sched_yield();
    }
}

static void run_random_calls(unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        ff_own_set(&linger_one_in, random_below(3) == 0 ? 0 : 1 + random_below(10));
        begin();
        post_at_random();
        ff_call_close(&pool);
        assert_result();
    }
}

static void short_calls_in_a_row_are_exact(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++) {
        open_pool(workers);
        run_random_calls(CALLS / WORKERS_MAX);
        if (workers < WORKERS_MAX)
            close_pool(NULL);
    }
}

static void calls_are_exact_while_workers_die_anywhere(void **state)
{
    (void)state;
    open_pool(3);
    ff_own_set(&die_one_in, 150);
    run_random_calls(CALLS / 4);
}

static void cancelled_calls_leave_nothing_to_the_next(void **state)
{
    (void)state;
    open_pool(3);
    for (unsigned i = 0; i < CALLS / 4; i++) {
        ff_own_set(&linger_one_in, 1 + random_below(10));
        begin();
        post_at_random();
        ff_publish(&pool.layout.control->cancelled, pool.sequence);
        ff_doorbell_ring(pool.layout.supervisor_bell);
        post_at_random();
        assert_int_equal(await_end_of_call(), FORKFOLD_E_CANCELLED);
        run_random_calls(1);
    }
}

#define CLOSED_AFTER(test) cmocka_unit_test_teardown(test, close_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOSED_AFTER(close_waits_for_who_has_joined),
        CLOSED_AFTER(who_joins_after_the_close_stays_out),
        CLOSED_AFTER(close_and_join_that_meet_half_way_see_each_other),
        CLOSED_AFTER(close_waits_for_who_has_unparked),
        CLOSED_AFTER(who_unparks_after_the_close_parks_again),
        CLOSED_AFTER(close_and_unpark_that_meet_half_way_see_each_other),
        CLOSED_AFTER(worker_late_for_its_call_takes_nothing_of_the_next),
        CLOSED_AFTER(task_posted_while_an_idle_worker_falls_asleep_is_seen),
        CLOSED_AFTER(task_or_close_while_a_joined_worker_falls_asleep_is_seen),
        CLOSED_AFTER(seal_is_whole_as_soon_as_it_is_named),
        CLOSED_AFTER(audit_opens_a_closed_call_again_for_a_lost_task),
        CLOSED_AFTER(short_calls_in_a_row_are_exact),
        CLOSED_AFTER(calls_are_exact_while_workers_die_anywhere),
        CLOSED_AFTER(cancelled_calls_leave_nothing_to_the_next),
    };

    seed_random();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
