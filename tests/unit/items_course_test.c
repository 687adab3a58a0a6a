/* SPDX-License-Identifier: Apache-2.0 */
/* The course of calls: several at once, their ends before their time, callbacks, event loops. */
#include "item_script.h"

#include <math.h>

/* ---- Refusals ------------------------------------------------------------ */

static void invalid_options_are_refused_before_anything_runs(void **state)
{
    static const uint64_t numbers[4] = {1, 2, 3, 4};
    static const uint64_t falling[5] = {0, 8, 7, 9, 10};
    const forkfold_call_options good = {.function = run_only,
                                        .count = 4,
                                        .arrays = {{.data = numbers, .item_bytes = 8}},
                                        .array_count = 1,
                                        .result_bytes = 8};
    forkfold_call_options bad[16];
    unsigned count = 0;
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
#define BAD(change)                                                                                \
    do {                                                                                           \
        bad[count] = good;                                                                         \
        bad[count++].change;                                                                       \
    } while (0)
    BAD(size = 8);
    BAD(function = NULL);
    BAD(arrays[0].data = NULL);
    BAD(arrays[0].item_bytes = 0);
    BAD(arrays[0].item_bytes = SIZE_MAX / 2);
    BAD(arrays[0].offsets = falling);
    BAD(array_count = FORKFOLD_ARRAYS_MAX + 1);
    BAD(array_count = 2);
    BAD(context_bytes = 1);
    BAD(results_vary = 1);
    BAD(result_bytes = SIZE_MAX / 2);
    BAD(seconds_per_item = -1);
    BAD(seconds_per_item = (double)NAN);
    BAD(seconds_per_item = (double)INFINITY);
#undef BAD
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(forkfold_starmap(pool, &bad[i], &call), FORKFOLD_E_INVALID);
        assert_string_not_equal(forkfold_pool_message(pool), "");
        assert_int_equal(forkfold_map_async(pool, &bad[i], &call), FORKFOLD_E_INVALID);
        assert_int_equal(forkfold_imap(pool, &bad[i], &call), FORKFOLD_E_INVALID);
        assert_int_equal(forkfold_imap_unordered(pool, &bad[i], &call), FORKFOLD_E_INVALID);
    }
    bad[0] = good;
    bad[0].array_count = 2;
    bad[0].arrays[1] = good.arrays[0];
    assert_int_equal(forkfold_map(pool, &bad[0], &call), FORKFOLD_E_INVALID);
    bad[0].array_count = 0;
    assert_int_equal(forkfold_starmap(pool, &bad[0], &call), FORKFOLD_E_INVALID);
    assert_null(call);
    assert_int_equal(script->runs, 0);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void null_pointers_are_refused_before_anything_runs(void **state)
{
    const forkfold_call_options good = {.function = run_only, .count = 1};
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    assert_int_equal(forkfold_apply(pool, run_only, NULL, 8, NULL, 0), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_apply(pool, run_only, NULL, 0, NULL, 8), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_apply(pool, NULL, NULL, 0, NULL, 0), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_map(pool, NULL, &call), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_starmap(pool, NULL, &call), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_apply_async(pool, NULL, &call), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_imap(pool, NULL, &call), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_map(pool, &good, NULL), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_map_async(pool, &good, NULL), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_imap(pool, &good, NULL), FORKFOLD_E_INVALID);
    assert_int_equal(script->runs, 0);
    forkfold_pool_close(pool);
}

static void results_are_read_in_the_way_of_their_call(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = wait_at_gate, .count = 1, .result_bytes = 8};
    forkfold_call *map = NULL;
    forkfold_call *imap = NULL;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &map));
    assert_works(pool, forkfold_imap(pool, &options, &imap));
    assert_int_equal(forkfold_call_wait(imap, 0), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_call_next(map, &result), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_call_result(map, 0, &result), FORKFOLD_E_INVALID);
    assert_int_equal(forkfold_call_result(imap, 0, &result), FORKFOLD_E_INVALID);
    assert_null(forkfold_call_results(map));
    assert_int_equal(forkfold_call_wait(map, 0), FORKFOLD_E_PENDING);
    open_gate();
    assert_int_equal(forkfold_call_wait(map, UINT64_MAX), 0);
    assert_int_equal(forkfold_call_next(imap, &result), 1);
    forkfold_call_close(map);
    forkfold_call_close(imap);
    forkfold_pool_close(pool);
}

/* ---- Several calls ------------------------------------------------------- */

enum { CALLS = 4 };

/* The permutation with this number of 0 to CALLS - 1. */
static void permute(unsigned number, unsigned order[CALLS])
{
    for (unsigned i = 0; i < CALLS; i++) {
        unsigned at = number % (i + 1);

        number /= i + 1;
        order[i] = order[at];
        order[at] = i;
    }
}

static void calls_overlap_in_every_order_of_waiting_and_closing(void **state)
{
    static const uint64_t counts[CALLS] = {1, 700, 5000, 33};
    uint64_t *numbers = make_numbers(5000);
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned round = 0; round < 24 * 24; round += 5) {
        forkfold_call *calls[CALLS];
        unsigned order[CALLS] = {0};

        for (unsigned i = 0; i < CALLS; i++) {
            forkfold_call_options options = mix_options(numbers, counts[i]);

            options.chunk = i + round % 3;
            assert_works(pool, forkfold_map_async(pool, &options, &calls[i]));
        }
        permute(round % 24, order);
        for (unsigned i = 0; i < CALLS; i++) {
            assert_works(pool, forkfold_call_wait(calls[order[i]], UINT64_MAX));
            assert_mixed(calls[order[i]], numbers, counts[order[i]]);
        }
        for (unsigned i = 0; i < CALLS; i++)
            assert_mixed(calls[i], numbers, counts[i]);
        permute(round / 24, order);
        for (unsigned i = 0; i < CALLS; i++)
            forkfold_call_close(calls[order[i]]);
    }
    free(numbers);
    forkfold_pool_close(pool);
}

static void imaps_are_read_in_turns(void **state)
{
    enum { COUNT = 4000 };
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_pool *pool = open_pool(2);
    forkfold_call *calls[3];
    forkfold_result result;
    uint64_t value;

    (void)state;
    options.buffer_items = 10;
    for (unsigned i = 0; i < 3; i++)
        assert_works(pool, forkfold_imap(pool, &options, &calls[i]));
    for (uint64_t i = 0; i < COUNT; i++)
        for (unsigned c = 0; c < 3; c++) {
            assert_int_equal(forkfold_call_next(calls[c], &result), 1);
            assert_int_equal(*(const uint64_t *)result.data, mixed(numbers[i], i));
            if (i % 100 == c)
                assert_works(pool, forkfold_apply(pool, mix_item, &i, 8, &value, 8));
        }
    for (unsigned i = 0; i < 3; i++)
        forkfold_call_close(calls[i]);
    free(numbers);
    forkfold_pool_close(pool);
}

/* ---- Ends before their time ---------------------------------------------- */

static void cancelled_call_ends_at_once_whatever_its_items_do(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {.function = wait_at_gate, .count = 1000, .chunk = 1};

    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        forkfold_call *call = NULL;
        forkfold_call *imap = NULL;
        forkfold_result result;

        assert_works(pool, forkfold_map_async(pool, &options, &call));
        assert_works(pool, forkfold_imap(pool, &options, &imap));
        if (round % 2 == 0)
            await_reached(1);
        forkfold_call_cancel(call);
        forkfold_call_cancel(imap);
        assert_int_equal(forkfold_call_wait(call, UINT64_MAX), FORKFOLD_E_CANCELLED);
        assert_int_equal(forkfold_call_next(imap, &result), FORKFOLD_E_CANCELLED);
        assert_int_equal(forkfold_call_result(call, 0, &result), FORKFOLD_E_INVALID);
        assert_string_not_equal(forkfold_call_message(call), "");
        assert_pool_is_well(pool);
        forkfold_call_close(call);
        forkfold_call_close(imap);
        script->reached = 0;
    }
    forkfold_pool_close(pool);
}

static void call_that_is_done_cannot_be_cancelled(void **state)
{
    enum { COUNT = 10 };
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_pool *pool = open_pool(1);
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map(pool, &options, &call));
    forkfold_call_cancel(call);
    assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    assert_mixed(call, numbers, COUNT);
    forkfold_call_close(call);
    free(numbers);
    forkfold_pool_close(pool);
}

/* Many calls that are closed while their items run, also in the middle of an imap. */
static void calls_closed_in_progress_leave_the_pool_well(void **state)
{
    enum { COUNT = 3000 };
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_pool *pool = open_pool(3);

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        forkfold_call_options options = mix_options(numbers, COUNT);
        forkfold_call *call = NULL;
        forkfold_result result;

        options.chunk = round % 7;
        bool is_imap = round % 2 == 1;

        options.buffer_items = round % 3 * 20;
        assert_works(pool, (is_imap ? forkfold_imap : forkfold_map_async)(pool, &options, &call));
        for (unsigned i = 0; is_imap && i < round; i++)
            assert_int_equal(forkfold_call_next(call, &result), 1);
        forkfold_call_close(call);
        if (round % 5 == 0)
            assert_pool_is_well(pool);
    }
    assert_pool_is_well(pool);
    free(numbers);
    forkfold_pool_close(pool);
}

static void deadline_ends_a_call_and_no_other(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_call_options options = {.function = wait_at_gate, .count = 1, .result_bytes = 8};
    forkfold_call *patient = NULL;
    forkfold_call *call = NULL;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &patient));
    options.deadline_ns = 20 * FF_NS_PER_MS;
    assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_DEADLINE);
    assert_works(pool, forkfold_imap(pool, &options, &call));
    assert_int_equal(forkfold_call_next(call, &result), FORKFOLD_E_DEADLINE);
    forkfold_call_close(call);
    assert_int_equal(forkfold_call_wait(patient, 0), FORKFOLD_E_PENDING);
    open_gate();
    assert_works(pool, forkfold_call_wait(patient, UINT64_MAX));
    forkfold_call_close(patient);
    forkfold_pool_close(pool);
}

/* The host was busy elsewhere when the deadline passed; the workers were in time. */
static void call_that_was_done_before_its_deadline_is_done(void **state)
{
    forkfold_pool *pool = open_pool(1);
    uint64_t begin = ff_clock_ns();
    uint64_t limit = 1000 * FF_NS_PER_MS;
    forkfold_call_options options = {.function = run_only, .count = 10, .deadline_ns = limit};
    forkfold_call *call = NULL;
    forkfold_call *behind = NULL;
    uint64_t begun;
    bool in_time;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    begun = ff_clock_ns();
    assert_works(pool, forkfold_apply_async(
                           pool, &(forkfold_call_options){.function = wait_at_gate}, &behind));
    /* The only worker has come to the second call, so the first one is done. */
    await_reached(1);
    in_time = ff_clock_ns() < begin + limit;
    while (ff_clock_ns() <= begun + limit)
        sched_yield();
    /* A machine so slow that it was late proves nothing. */
    if (in_time)
        assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    open_gate();
    forkfold_call_close(call);
    forkfold_call_close(behind);
    forkfold_pool_close(pool);
}

static void first_failure_stops_a_call_that_wants_it(void **state)
{
    forkfold_call_options options = {
        .function = run_only, .count = 10, .chunk = 5, .stop_on_failure = 1};

    (void)state;
    for (unsigned workers = 1; workers < 3; workers++) {
        forkfold_pool *pool = open_pool(workers);
        forkfold_call *call = NULL;
        forkfold_result result;
        int code;

        reset_script(NULL);
        plan(FAIL, 0, 2);
        plan(HANG, 1, 2);
        assert_int_equal(forkfold_map(pool, &options, &call), FORKFOLD_E_STOPPED);
        assert_non_null(strstr(forkfold_pool_message(pool), "item 0 is bad"));
        assert_works(pool, forkfold_imap(pool, &options, &call));
        do
            code = forkfold_call_next(call, &result);
        while (code == 1);
        assert_int_equal(code, FORKFOLD_E_STOPPED);
        assert_int_equal(forkfold_call_failure_count(call), 1);
        forkfold_call_close(call);
        script->faults = 0;
        assert_pool_is_well(pool);
        forkfold_pool_close(pool);
    }
}

/* ---- Callbacks ----------------------------------------------------------- */

struct record {
    forkfold_pool *pool;
    unsigned done;
    unsigned errors;
    int code;
    unsigned left; /* calls to begin yet */
    forkfold_call *other;
};

static void note_done(forkfold_call *call, void *user)
{
    (void)call;
    ((struct record *)user)->done++;
}

static void note_error(forkfold_call *call, int code, void *user)
{
    struct record *record = user;

    (void)call;
    record->errors++;
    record->code = code;
}

static void close_when_done(forkfold_call *call, void *user)
{
    note_done(call, user);
    forkfold_call_close(call);
}

static void close_on_error(forkfold_call *call, int code, void *user)
{
    note_error(call, code, user);
    forkfold_call_close(call);
}

static void callbacks_run_once(void **state)
{
    struct record record = {0};
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = wait_at_gate,
                                     .count = 1,
                                     .on_done = note_done,
                                     .on_error = note_error,
                                     .user = &record};
    forkfold_call *done = NULL;
    forkfold_call *cancelled = NULL;

    (void)state;
    assert_works(pool, forkfold_apply_async(pool, &options, &done));
    assert_works(pool, forkfold_apply_async(pool, &options, &cancelled));
    forkfold_call_cancel(cancelled);
    open_gate();
    assert_works(pool, forkfold_call_wait(done, UINT64_MAX));
    assert_int_equal(forkfold_call_wait(cancelled, UINT64_MAX), FORKFOLD_E_CANCELLED);
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_int_equal(record.done, 1);
    assert_int_equal(record.errors, 1);
    assert_int_equal(record.code, FORKFOLD_E_CANCELLED);
    forkfold_call_close(done);
    forkfold_call_close(cancelled);
    forkfold_pool_close(pool);
}

static int fail_at_once(const forkfold_item *item)
{
    return forkfold_item_fail(item, "no");
}

/* A failed item is a part of what is done, unless the call was told to stop there. */
static void one_callback_tells_of_a_call_whose_item_failed(void **state)
{
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (int stops = 0; stops < 2; stops++) {
        struct record record = {0};
        forkfold_call_options options = {.function = fail_at_once,
                                         .stop_on_failure = stops,
                                         .on_done = note_done,
                                         .on_error = note_error,
                                         .user = &record};
        forkfold_call *call = NULL;

        assert_works(pool, forkfold_apply_async(pool, &options, &call));
        assert_int_equal(forkfold_call_wait(call, UINT64_MAX), stops ? FORKFOLD_E_STOPPED : 0);
        assert_works(pool, forkfold_pool_dispatch(pool));
        assert_int_equal(record.done, !stops);
        assert_int_equal(record.errors, stops);
        assert_int_equal(record.code, stops ? FORKFOLD_E_STOPPED : 0);
        assert_string_equal(forkfold_call_failure(call, 0)->detail, "no");
        forkfold_call_close(call);
    }
    forkfold_pool_close(pool);
}

/* Waits for another call, which its host waits for already, and closes it. */
static void wait_and_close(forkfold_call *call, void *user)
{
    forkfold_call *other = user;

    assert_int_equal(forkfold_call_wait(other, UINT64_MAX), 0);
    forkfold_call_close(other);
    forkfold_call_close(call);
}

static void callback_may_wait_for_what_is_waited_for_and_close_it(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = run_only, .count = 3};
    forkfold_call *other = NULL;
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &other));
    options.on_done = wait_and_close;
    options.user = other;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, forkfold_call_wait(other, UINT64_MAX));
    /* The callback may be due only now. */
    while (script->runs < 6)
        assert_works(pool, forkfold_pool_dispatch(pool));
    assert_works(pool, forkfold_pool_dispatch(pool));
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void callback_may_close_the_call_that_is_waited_for(void **state)
{
    struct record record = {0};
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = run_only,
                                     .count = 3,
                                     .on_done = close_when_done,
                                     .on_error = close_on_error,
                                     .user = &record};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, forkfold_call_wait(call, UINT64_MAX));
    assert_int_equal(record.done, 1);
    options.function = wait_at_gate;
    options.deadline_ns = 10 * FF_NS_PER_MS;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_int_equal(forkfold_call_wait(call, UINT64_MAX), FORKFOLD_E_DEADLINE);
    assert_int_equal(record.errors, 1);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void begin_next(forkfold_call *call, void *user)
{
    struct record *record = user;
    forkfold_call *next = NULL;

    record->done++;
    forkfold_call_close(call);
    if (record->other != NULL)
        forkfold_call_close(record->other);
    record->other = NULL;
    if (record->left-- > 0)
        assert_works(record->pool,
                     forkfold_map_async(record->pool,
                                        &(forkfold_call_options){.function = run_only,
                                                                 .count = 2,
                                                                 .on_done = begin_next,
                                                                 .user = record},
                                        &next));
}

static int close_watched(int fd, void *context)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
    forkfold_call_close(*(forkfold_call **)context);
    return 0;
}

static void watch_may_close_the_imap_that_is_read(void **state)
{
    forkfold_pool *pool = open_pool(2);
    uint64_t *numbers = make_numbers(100);
    forkfold_call_options options = mix_options(numbers, 100);
    forkfold_call *call = NULL;
    forkfold_result result;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    plan(HANG, 0, 1);
    assert_int_equal(forkfold_pool_watch(pool, ends[0], close_watched, &call), 0);
    assert_works(pool, forkfold_imap(pool, &options, &call));
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(forkfold_call_next(call, &result), FORKFOLD_E_CANCELLED);
    forkfold_pool_close(pool);
    close(ends[0]);
    close(ends[1]);
    free(numbers);
}

/* A chain of calls, each begun by the callback of the last, and driven by poll(). */
static void event_loop_drives_a_chain_of_calls(void **state)
{
    struct record record = {.left = 200};
    forkfold_pool *pool = record.pool = open_pool(2);
    struct pollfd event = {.fd = forkfold_pool_fd(pool), .events = POLLIN};
    forkfold_call *call = NULL;

    (void)state;
    assert_works(pool, forkfold_map_async(
                           pool, &(forkfold_call_options){.function = wait_at_gate, .count = 1},
                           &record.other));
    assert_works(pool, forkfold_map_async(pool,
                                          &(forkfold_call_options){.function = run_only,
                                                                   .count = 2,
                                                                   .on_done = begin_next,
                                                                   .user = &record},
                                          &call));
    while (record.done < 201) {
        assert_int_equal(poll(&event, 1, 10000), 1);
        assert_works(pool, forkfold_pool_dispatch(pool));
    }
    open_gate();
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void await_by_poll(forkfold_pool *pool, const unsigned *counter)
{
    struct pollfd event = {.fd = forkfold_pool_fd(pool), .events = POLLIN};

    while (*counter == 0) {
        assert_int_equal(poll(&event, 1, 10000), 1);
        assert_works(pool, forkfold_pool_dispatch(pool));
    }
}

/* Whatever there is to do for dispatch, the descriptor says so. */
static void event_loop_hears_of_everything(void **state)
{
    struct record record = {0};
    forkfold_pool *pool = open_pool(1);
    forkfold_call_options options = {.function = run_only,
                                     .count = 1,
                                     .on_done = close_when_done,
                                     .on_error = close_on_error,
                                     .user = &record};
    forkfold_call *gate = NULL;
    forkfold_call *call = NULL;

    (void)state;
    /* A call that was done before anybody asked for the descriptor. */
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, forkfold_apply_async(
                           pool, &(forkfold_call_options){.function = wait_at_gate}, &gate));
    await_reached(1);
    await_by_poll(pool, &record.done);
    /* One without items. */
    record.done = 0;
    options.count = 0;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    await_by_poll(pool, &record.done);
    /* One that is cancelled. */
    options.count = 1;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    forkfold_call_cancel(call);
    await_by_poll(pool, &record.errors);
    /* One whose deadline passes. */
    record.errors = 0;
    options.deadline_ns = 10 * FF_NS_PER_MS;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    await_by_poll(pool, &record.errors);
    assert_int_equal(record.code, FORKFOLD_E_DEADLINE);
    open_gate();
    forkfold_call_close(gate);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(invalid_options_are_refused_before_anything_runs),
        WITH_SCRIPT(null_pointers_are_refused_before_anything_runs),
        WITH_SCRIPT(results_are_read_in_the_way_of_their_call),
        WITH_SCRIPT(calls_overlap_in_every_order_of_waiting_and_closing),
        WITH_SCRIPT(imaps_are_read_in_turns),
        WITH_SCRIPT(cancelled_call_ends_at_once_whatever_its_items_do),
        WITH_SCRIPT(call_that_is_done_cannot_be_cancelled),
        WITH_SCRIPT(calls_closed_in_progress_leave_the_pool_well),
        WITH_SCRIPT(deadline_ends_a_call_and_no_other),
        WITH_SCRIPT(call_that_was_done_before_its_deadline_is_done),
        WITH_SCRIPT(first_failure_stops_a_call_that_wants_it),
        WITH_SCRIPT(callbacks_run_once),
        WITH_SCRIPT(one_callback_tells_of_a_call_whose_item_failed),
        WITH_SCRIPT(callback_may_wait_for_what_is_waited_for_and_close_it),
        WITH_SCRIPT(callback_may_close_the_call_that_is_waited_for),
        WITH_SCRIPT(watch_may_close_the_imap_that_is_read),
        WITH_SCRIPT(event_loop_drives_a_chain_of_calls),
        WITH_SCRIPT(event_loop_hears_of_everything),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
