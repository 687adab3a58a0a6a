/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues (flow/queue.c, pool/queues.c): whether who sleeps is woken.  Workers sleep on the kernel's
 * word, the driver on its bell; nobody wakes up for nothing, and nobody looks again by himself.  So a
 * wake-up that is lost shows as a state in which nobody can go on.
 */
#include <forkfold/error.h>

#include "model.h"
#include "platform/event.h"

/* One look before sleeping is as good as many. */
#define ff_pause() (i = LOOKS_BEFORE_SLEEP)
#include "flow/queue.c" /* NOLINT(bugprone-suspicious-include): ff_pause is its own here */
#undef ff_pause

enum { BATCHES_MAX = 8, BATCHES_EACH = 2, CELLS_MAX = 2 };

struct setting {
    unsigned shift;
    unsigned batches; /* of each producer */
    unsigned producers;
    unsigned driver; /* the process that is the driver, or MODEL_NOBODY */
};

/* All that the queue knows of a worker is whose it is. */
struct ff_worker {
    unsigned slot;
};

static struct ff_worker workers[MODEL_PROCESSES_MAX];
static forkfold_pool pool;
static struct ff_handles handles;
static forkfold_queue *const queue = &handles.queues.queues[0];

static struct world {
    ff_word64 bell; /* of the driver */
    struct {
        struct ff_ring_words words;
        struct ff_ring_cell cells[CELLS_MAX];
    } ring;
    uint8_t begun[MODEL_PROCESSES_MAX];
    uint8_t put[MODEL_PROCESSES_MAX];
    uint8_t is_committed[BATCHES_MAX];
    uint8_t deliveries[BATCHES_MAX];
} * world;

static struct ff_queue_hold *holds[MODEL_PROCESSES_MAX]; /* in the model's memory */

static const struct setting *setting(void)
{
    return model_setting();
}

/* ---- The rest of the library --------------------------------------------- */

struct ff_worker *ff_worker_here(void)
{
    return model_self() == setting()->driver ? NULL : &workers[model_self()];
}

const struct ff_layout *ff_worker_layout(const struct ff_worker *worker)
{
    (void)worker;
    return &pool.layout;
}

unsigned ff_worker_slot(const struct ff_worker *worker)
{
    return worker->slot;
}

/* Of its queues there is the first one only. */
struct ff_queue_holds *ff_worker_queue_holds(struct ff_worker *worker)
{
    return (struct ff_queue_holds *)(void *)holds[worker->slot];
}

uint64_t ff_clock_ns(void)
{
    return 0;
}

void ff_futex_wait(const ff_word32 *word, uint32_t snapshot, uint64_t until_ns)
{
    MODEL_CHECK(until_ns == UINT64_MAX, "sleeps for some time only");
    model_sleep_on(word, snapshot);
}

void ff_futex_wake(ff_word32 *word, uint64_t count)
{
    MODEL_CHECK(count == UINT64_MAX, "wakes %llu only", (unsigned long long)count);
    model_wake(word);
}

void ff_doorbell_ring(int doorbell)
{
    (void)doorbell;
    ff_set_bits(&world->bell, 1);
}

static bool has_rung(void *what)
{
    (void)what;
    return *(const volatile uint64_t *)(const volatile void *)&world->bell != 0;
}

/* As that of pool/items.c: looks once more, and then waits for the bell. */
void ff_items_sleep(forkfold_pool *of, bool (*ready)(void *what), void *what, uint64_t until_ns)
{
    (void)of;
    MODEL_CHECK(until_ns == UINT64_MAX, "sleeps for some time only");
    if (ready(what))
        return;
    model_await(has_rung, NULL);
    (void)ff_take_bits(&world->bell);
}

void ff_items_look(forkfold_pool *of)
{
    (void)of;
}

bool ff_items_are_running(const forkfold_pool *of)
{
    (void)of;
    return true;
}

int ff_call_check(forkfold_pool *of)
{
    (void)of;
    return 0;
}

int ff_call_check_process(forkfold_pool *of)
{
    (void)of;
    return 0;
}

int ff_error_set(struct ff_error *error, int code, const char *format, ...)
{
    (void)error;
    (void)format;
    return code;
}

/* What opens and closes queues is not called. */
void ff_items_drain(forkfold_pool *of)
{
    (void)of;
    model_fail("drains");
}

bool ff_handles_of_others_are_here(void)
{
    return true;
}

int ff_handles_unlock(forkfold_pool *of)
{
    (void)of;
    return FORKFOLD_E_SYSTEM;
}

void ff_handles_lock(const struct ff_layout *layout)
{
    (void)layout;
}

void *ff_arena_take(struct ff_arena *arena, size_t bytes)
{
    (void)arena;
    (void)bytes;
    return NULL;
}

void ff_arena_give(struct ff_arena *arena, void *base, size_t bytes)
{
    (void)arena;
    (void)base;
    (void)bytes;
}

/* ---- The scene ----------------------------------------------------------- */

static void name_words(void)
{
    struct ff_ring_words *words = &world->ring.words;

    model_name(&world->bell, sizeof(world->bell), NULL, "bell");
    model_name(&words->tail, sizeof(words->tail), NULL, "tail");
    model_name(&words->head, sizeof(words->head), NULL, "head");
    model_name(&words->returned, sizeof(words->returned), NULL, "returned");
    model_name(&words->looked, sizeof(words->looked), NULL, "looked");
    model_name(&words->ended, sizeof(words->ended), NULL, "ended");
    model_name(&words->filled, sizeof(words->filled), NULL, "filled");
    model_name(&words->emptied, sizeof(words->emptied), NULL, "emptied");
    model_name(&words->takers_sleep, sizeof(words->takers_sleep), NULL, "takers_sleep");
    model_name(&words->putters_sleep, sizeof(words->putters_sleep), NULL, "putters_sleep");
    for (unsigned i = 0; i < CELLS_MAX; i++)
        model_name(&world->ring.cells[i].word, sizeof(world->ring.cells[i].word), NULL, "cell %u",
                   i);
}

static void set_up(void)
{
    world = model_take(sizeof(*world));
    for (unsigned i = 0; i < MODEL_PROCESSES_MAX; i++) {
        workers[i].slot = i;
        holds[i] = model_take(offsetof(struct ff_queue_holds, queues[1]));
    }
    pool.layout.workers = MODEL_PROCESSES_MAX;
    pool.layout.handles = &handles;
    pool.layout.rings = (struct ff_area){.base = (char *)&world->ring,
                                         .bytes = sizeof(world->ring) * FORKFOLD_QUEUES_MAX};
    memset(&pool.queue_holds, 0, sizeof(pool.queue_holds));
    if (setting()->driver != MODEL_NOBODY)
        model_keep(&pool.queue_holds, offsetof(struct ff_queue_holds, queues[1]));
    *queue = (forkfold_queue){.pool = &pool,
                              .layout = &pool.layout,
                              .ring = &handles.queues.rings[0],
                              .is_open = true,
                              .item_bytes = sizeof(uint64_t),
                              .is_inside = true,
                              .batches = (char *)&world->ring.cells[0].inside,
                              .batch_bytes = sizeof(world->ring.cells[0])};
    handles.queues.rings[0] = (struct ff_ring){.words = &world->ring.words,
                                               .cells = world->ring.cells,
                                               .shift = setting()->shift,
                                               .batch_items = 1,
                                               .all_producers = producers_of(setting()->producers)};
    ff_ring_reset(queue->ring);
    ff_own_set(&handles.queues.opened, 1);
    name_words();
}

static void produce(unsigned self)
{
    while (world->put[self] < setting()->batches) {
        uint64_t number = self * BATCHES_EACH + world->begun[self]++;
        int code = forkfold_queue_put(queue, &number, 1, UINT64_MAX);

        MODEL_CHECK(code == 0, "putting says %d", code);
        model_note("has put %llu", (unsigned long long)number);
        world->is_committed[number] = true;
        world->put[self]++;
    }
    (void)forkfold_queue_end(queue, self);
}

static void consume(unsigned self)
{
    forkfold_batch batch;
    int code;

    (void)self;
    while ((code = forkfold_queue_get(queue, 0, &batch, UINT64_MAX)) > 0) {
        uint64_t number = *(const uint64_t *)batch.items;

        model_note("has got %llu", (unsigned long long)number);
        if (number < BATCHES_MAX)
            world->deliveries[number]++;
        /* Who died may not have known yet what he had. */
        MODEL_CHECK(number < BATCHES_MAX && world->deliveries[number] <= batch.returns + 1,
                    "%llu was delivered too often", (unsigned long long)number);
    }
    MODEL_CHECK(code == 0, "getting says %d", code);
}

/* Gives back the first that it gets. */
static void consume_and_give_back(unsigned self)
{
    forkfold_batch batch;

    if (forkfold_queue_get(queue, 0, &batch, UINT64_MAX) > 0) {
        world->deliveries[*(const uint64_t *)batch.items]++;
        (void)forkfold_queue_give_back(queue);
    }
    consume(self);
}

static bool has_put_all(void *what)
{
    (void)what;
    return world->put[0] == setting()->batches;
}

/* Holds the second batch until everything is put, in its place too. */
static void consume_and_wait_for_producer(unsigned self)
{
    forkfold_batch batch;

    for (unsigned i = 0; i < 2; i++)
        if (forkfold_queue_get(queue, 0, &batch, UINT64_MAX) > 0)
            world->deliveries[*(const uint64_t *)batch.items]++;
    model_await(has_put_all, NULL);
    consume(self);
}

static bool has_died(void *what)
{
    (void)what;
    return model_find_dead() != MODEL_NOBODY;
}

static void supervise(unsigned self)
{
    (void)self;
    for (;;) {
        model_await(has_died, NULL);

        unsigned dead = model_find_dead();

        model_reap(dead);
        memset(holds[dead], 0, offsetof(struct ff_queue_holds, queues[1]));
        ff_queues_recover(&pool.layout, dead);
        model_start_again(dead);
    }
}

static void check_end(void)
{
    for (unsigned i = 0; i < BATCHES_MAX; i++)
        MODEL_CHECK(!world->is_committed[i] || world->deliveries[i] > 0, "batch %u is lost", i);
}

#define PRODUCER(number)                                                                           \
    {                                                                                              \
        .name = "producer " #number, .run = produce                                                \
    }
#define MORTAL_PRODUCER(number)                                                                    \
    {                                                                                              \
        .name = "producer " #number, .run = produce, .may_die = true                               \
    }
#define CONSUMER(number)                                                                           \
    {                                                                                              \
        .name = "consumer " #number, .run = consume                                                \
    }
#define MORTAL_CONSUMER(number)                                                                    \
    {                                                                                              \
        .name = "consumer " #number, .run = consume, .may_die = true                               \
    }
#define SUPERVISOR                                                                                 \
    {                                                                                              \
        .name = "supervisor", .run = supervise, .is_daemon = true                                  \
    }
#define SCENE .set_up = set_up, .at_end = check_end

static const struct setting two_batches = {.batches = 2, .producers = 1, .driver = MODEL_NOBODY};
static const struct setting one_batch = {.batches = 1, .producers = 1, .driver = MODEL_NOBODY};
static const struct setting two_producers = {.batches = 1, .producers = 2, .driver = MODEL_NOBODY};
static const struct setting three_batches = {
    .shift = 1, .batches = 3, .producers = 1, .driver = MODEL_NOBODY};
static const struct setting driver_puts = {.batches = 2, .producers = 1, .driver = 0};
static const struct setting driver_gets = {.batches = 2, .producers = 1, .driver = 1};
static const struct setting driver_gets_one = {.batches = 1, .producers = 1, .driver = 1};

static const struct model_scenario scenarios[] = {
    {.name = "who_waits_for_room_or_batches_is_woken",
     .setting = &two_batches,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     SCENE},
    {.name = "who_waits_is_woken_by_late_stores",
     .setting = &two_batches,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "who_waits_for_room_is_woken_by_who_holds_the_next",
     .setting = &three_batches,
     .process_count = 2,
     .processes = {PRODUCER(0), {.name = "consumer 0", .run = consume_and_wait_for_producer}},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "two_producers_wait_for_one_cell",
     .setting = &two_producers,
     .process_count = 3,
     .processes = {PRODUCER(0), PRODUCER(1), CONSUMER(0)},
     .is_deep = true,
     SCENE},
    {.name = "two_consumers_wait_for_one_batch",
     .setting = &one_batch,
     .process_count = 3,
     .processes = {PRODUCER(0), CONSUMER(0), CONSUMER(1)},
     SCENE},
    {.name = "who_waits_for_what_is_given_back_is_woken",
     .setting = &one_batch,
     .process_count = 3,
     .processes = {PRODUCER(0), {.name = "consumer 0", .run = consume_and_give_back}, CONSUMER(1)},
     .is_deep = true,
     SCENE},
    {.name = "the_driver_puts",
     .setting = &driver_puts,
     .process_count = 2,
     .processes = {{.name = "driver", .run = produce}, CONSUMER(0)},
     SCENE},
    {.name = "the_driver_gets",
     .setting = &driver_gets,
     .process_count = 2,
     .processes = {PRODUCER(0), {.name = "driver", .run = consume}},
     SCENE},
    {.name = "the_driver_gets_what_is_stored_late",
     .setting = &driver_gets_one,
     .process_count = 2,
     .processes = {PRODUCER(0), {.name = "driver", .run = consume}},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "who_waits_for_a_dead_producer_is_woken",
     .setting = &one_batch,
     .process_count = 3,
     .processes = {MORTAL_PRODUCER(0), CONSUMER(0), SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "who_waits_for_a_dead_consumer_is_woken",
     .setting = &two_batches,
     .process_count = 3,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "the_other_consumer_is_woken_after_a_death",
     .setting = &one_batch,
     .process_count = 4,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), CONSUMER(1), SUPERVISOR},
     .deaths = 1,
     .is_deep = true,
     SCENE},
    {.name = "the_driver_is_woken_after_a_death",
     .setting = &driver_gets,
     .process_count = 3,
     .processes = {MORTAL_PRODUCER(0), {.name = "driver", .run = consume}, SUPERVISOR},
     .deaths = 1,
     .is_deep = true,
     SCENE},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));
}
