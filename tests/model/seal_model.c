/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls whose workers seal (pool/worker.c, supervisor.c, recovery.c, coverage.c): joining, parking
 * and coming back while the call is closed and the supervisor ends it, with deaths.
 *
 * What must hold when the call has ended: what is sealed covers each item exactly once, nobody is at
 * work, and the driver hears of it.
 */
#include "pool_processes.h"

enum { ITEMS_MAX = 4, BUFFER_BYTES = 256, BITS_PER_ITEM = 4 };

struct setting {
    unsigned workers;
    uint64_t items;
    uint64_t chunk;
    unsigned calls;
};

/* A count of each item. */
struct counts {
    uint64_t all;
};

static struct seal_world {
    char buffers[WORKERS_MAX][2][2][BUFFER_BYTES];
    uint8_t runs[ITEMS_MAX]; /* in this call */
    uint8_t deaths;
} * seal_world;

static const struct setting *setting(void)
{
    return model_setting();
}

/* ---- The job ------------------------------------------------------------- */

/* Who does any of a call's work must have been waited for. */
static void check_in_progress(void)
{
    MODEL_CHECK(raw(&supervisor_words.finished) < raw(&pool_control.sequence),
                "somebody works for a call that has ended");
}

static int attach(struct ff_worker *worker, const void *context, void **state)
{
    (void)worker;
    (void)context;
    *state = calloc(1, sizeof(struct counts));
    return 0;
}

static int run(void *state, uint64_t item, struct ff_item_failure *failure)
{
    (void)failure;
    model_note("runs item %llu", (unsigned long long)item);
    check_in_progress();
    seal_world->runs[item]++;
    ((struct counts *)state)->all += UINT64_C(1) << item * BITS_PER_ITEM;
    return item == 0 ? FF_ITEM_SEAL_NOW : FF_ITEM_DONE;
}

static int absorb(void *state, const void *payload, size_t bytes)
{
    MODEL_CHECK(bytes == sizeof(struct counts), "a seal has %zu bytes", bytes);
    ((struct counts *)state)->all += ((const struct counts *)payload)->all;
    return 0;
}

static int write_seal(void *state, void *payload, size_t capacity, size_t *bytes)
{
    MODEL_CHECK(capacity >= sizeof(struct counts), "a seal does not fit");
    check_in_progress();
    *bytes = sizeof(struct counts);
    memcpy(payload, state, sizeof(struct counts));
    return 0;
}

static const struct ff_job counting = {.name = "counting",
                                       .attach = attach,
                                       .detach = free,
                                       .run = run,
                                       .absorb = absorb,
                                       .seal = write_seal};

/* ---- The driver ---------------------------------------------------------- */

static void post_all(void)
{
    MODEL_CHECK(ff_board_post(&pool_layout.boards[FF_MAIN],
                              (struct ff_task){.first = 0, .count = setting()->items},
                              setting()->chunk),
                "the board is full");
}

/* What the seals of the call that has ended cover, looked at outside of any step. */
static void check_seals(uint64_t call)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < pool_layout.workers; i++) {
        uint64_t word = raw(&pool_segments[i].sealed);
        const struct ff_area *area = &pool_areas[i].buffers[call & 1][ff_sealed_buffer(word)];
        const struct ff_seal *seal = (const struct ff_seal *)(const void *)area->base;

        if (raw(&pool_segments[i].call) == call && word != 0)
            all += ((const struct counts *)ff_seal_payload(seal))->all;
    }
    for (uint64_t i = 0; i < setting()->items; i++)
        MODEL_CHECK((all >> i * BITS_PER_ITEM & 15) == 1, "item %llu is covered %llu times",
                    (unsigned long long)i, (unsigned long long)(all >> i * BITS_PER_ITEM & 15));
    MODEL_CHECK(supervisor_words.outcome == 0, "the call has ended with %d",
                supervisor_words.outcome);
}

static bool has_rung(void *what)
{
    (void)what;
    return raw(&pool_world->bells[DRIVER_BELL]) != 0;
}

static void end_call(uint64_t call)
{
    ff_board_close(&pool_layout.boards[FF_MAIN]);
    ff_layout_wake_workers(&pool_layout, UINT64_MAX);
    ff_doorbell_ring(SUPERVISOR_BELL);
    while (ff_observe(&supervisor_words.finished) < call) {
        model_await(has_rung, NULL);
        ff_doorbell_clear(DRIVER_BELL);
    }
    check_seals(call);
}

/* As ff_call_begin() does, and ff_call_post(). */
static void begin_next(uint64_t call)
{
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        ff_board_reset(&pool_layout.boards[i]);
    ff_own_set(&supervisor_words.deaths, 0);
    memset(seal_world->runs, 0, sizeof(seal_world->runs));
    ff_publish(&pool_control.sequence, call);
    ff_doorbell_ring(SUPERVISOR_BELL);
    post_all();
    ff_layout_wake_workers(&pool_layout, setting()->items);
}

/* The first call has begun. */
static void drive(unsigned self)
{
    (void)self;
    end_call(1);
    for (uint64_t call = 2; call <= setting()->calls; call++) {
        begin_next(call);
        end_call(call);
    }
}

static void before_burial(unsigned slot)
{
    (void)slot;
    seal_world->deaths++;
}

static void check_end(void)
{
    for (uint64_t i = 0; i < setting()->items; i++)
        MODEL_CHECK(seal_world->runs[i] == 1 || seal_world->deaths > 0,
                    "item %llu was run %u times", (unsigned long long)i, seal_world->runs[i]);
}

static void set_up(void)
{
    open_pool(setting()->workers,
              (struct ff_call){.job = &counting, .attempts = 4, .max_deaths = 3});
    seal_world = model_take(sizeof(*seal_world));
    for (unsigned i = 0; i < setting()->workers; i++)
        for (unsigned call = 0; call < 2; call++)
            for (unsigned buffer = 0; buffer < 2; buffer++)
                pool_areas[i].buffers[call][buffer] = (struct ff_area){
                    .base = seal_world->buffers[i][call][buffer], .bytes = BUFFER_BYTES};
    post_all();
}

#define MORTAL_WORKER(number)                                                                      \
    {                                                                                              \
        .name = "worker " #number, .run = live_as_worker, .may_die = true, .is_daemon = true       \
    }
#define WORKER(number)                                                                             \
    {                                                                                              \
        .name = "worker " #number, .run = live_as_worker, .is_daemon = true                        \
    }
#define SUPERVISOR                                                                                 \
    {                                                                                              \
        .name = "supervisor", .run = live_as_supervisor, .is_daemon = true                         \
    }
#define DRIVER                                                                                     \
    {                                                                                              \
        .name = "driver", .run = drive                                                             \
    }
#define SCENE .set_up = set_up, .at_end = check_end

static const struct setting one_worker = {.workers = 1, .items = 2, .chunk = 1, .calls = 1};
static const struct setting one_item = {.workers = 1, .items = 1, .chunk = 1, .calls = 1};
static const struct setting two_workers = {.workers = 2, .items = 1, .chunk = 1, .calls = 1};
static const struct setting two_workers_two_calls = {
    .workers = 2, .items = 1, .chunk = 1, .calls = 2};
static const struct setting two_calls = {.workers = 1, .items = 1, .chunk = 1, .calls = 2};

static const struct model_scenario scenarios[] = {
    {.name = "a_call_ends_when_all_is_sealed",
     .setting = &one_worker,
     .process_count = 3,
     .processes = {WORKER(0), SUPERVISOR, DRIVER},
     SCENE},
    {.name = "a_call_ends_though_stores_are_late",
     .setting = &one_item,
     .process_count = 3,
     .processes = {WORKER(0), SUPERVISOR, DRIVER},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "one_call_comes_after_the_other",
     .setting = &two_calls,
     .process_count = 3,
     .processes = {WORKER(0), SUPERVISOR, DRIVER},
     SCENE},
    {.name = "the_only_worker_of_a_call_dies",
     .setting = &one_worker,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 1,
     .preemptions = 2,
     SCENE},
    {.name = "two_workers_join_and_park",
     .setting = &two_workers,
     .process_count = 4,
     .processes = {WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .preemptions = 2,
     SCENE},
    {.name = "who_joins_late_meets_the_next_call",
     .setting = &two_workers_two_calls,
     .process_count = 4,
     .processes = {WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .preemptions = 1,
     SCENE},
    {.name = "who_joins_during_a_look_meets_the_next_call",
     .setting = &two_workers_two_calls,
     .process_count = 4,
     .processes = {WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .preemptions = 3,
     .is_deep = true,
     SCENE},
    {.name = "one_of_two_workers_of_a_call_dies",
     .setting = &two_workers,
     .process_count = 4,
     .processes = {MORTAL_WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .deaths = 1,
     .preemptions = 2,
     .is_deep = true,
     SCENE},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));
}
