/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of items (pool/items.h): whether who asks if an item is done, as the supervisor does after a
 * death, is told the truth while the driver reads results, gives their slots to other items, and
 * in the end gives the owner itself to another call.
 *
 * The driver's own code takes results, refills the window and frees the call; the worker's runs the
 * items.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "platform/barrier.h"
#include "platform/event.h"
#include "platform/map.h"
#include "pool/worker_state.h"

/* Of what the driver frees, all lies in the model's memory. */
#define free(memory) ((void)(memory))
#include "pool/items.c"       /* NOLINT(bugprone-suspicious-include): what frees a call is static */
#include "pool/items_begin.c" /* NOLINT(bugprone-suspicious-include): what fills an owner in, too */
#include "pool/items_result.c" /* NOLINT(bugprone-suspicious-include): what takes a result, too */
#undef free

enum { ITEMS_MAX = 4, CALLS_MAX = 2, POSTINGS_MAX = 6, BLOCKS = 4, RESULT = 100, DRIVER_BELL = 1 };

struct setting {
    struct call_setting {
        uint64_t items;
        uint64_t window;
        uint64_t chunk;
    } calls[CALLS_MAX];
    unsigned call_count;
    enum ff_call_kind kind;
};

static struct world {
    struct forkfold_call call;
    struct ff_board_shared board;
    struct ff_cursor_shared cursor;
    struct ff_posting postings[POSTINGS_MAX];
    struct ff_segment segment;
    struct ff_item_owner owner;
    struct ff_item_owner *free_owners[1];
    char blocks[BLOCKS][64]; /* that an arena hands out in turn */
    unsigned block;
    ff_word64 bell; /* of the driver */
    ff_word64 is_over;
    uint8_t is_run[CALLS_MAX + 1][ITEMS_MAX];
    uint8_t is_published[CALLS_MAX + 1][ITEMS_MAX];
} * world;

static struct ff_control_shared control;
static forkfold_pool pool;
static struct ff_segment_areas areas;
static struct ff_board board;

static const struct setting *setting(void)
{
    return model_setting();
}

/* ---- The rest of the library --------------------------------------------- */

void *ff_arena_take(struct ff_arena *arena, size_t bytes)
{
    (void)arena;
    MODEL_CHECK(bytes <= sizeof(world->blocks[0]), "a block is too large");
    return world->blocks[world->block++ % BLOCKS];
}

/* The next call gets them again, whatever is in them. */
void ff_arena_give(struct ff_arena *arena, void *block, size_t bytes)
{
    (void)arena;
    (void)block;
    (void)bytes;
    world->block = 0;
}

int ff_call_post(forkfold_pool *to, struct ff_task items, uint64_t chunk)
{
    (void)to;
    MODEL_CHECK(ff_board_post(&board, items, chunk), "the board is full");
    return 0;
}

static bool has_rung(void *what)
{
    (void)what;
    return *(const volatile uint64_t *)(const volatile void *)&world->bell != 0;
}

int ff_call_step(forkfold_pool *of, bool block)
{
    (void)of;
    (void)block;
    model_await(has_rung, NULL);
    (void)ff_take_bits(&world->bell);
    return 0;
}

int ff_error_set(struct ff_error *error, int code, const char *format, ...)
{
    (void)error;
    (void)format;
    model_fail("an error is set: %d", code);
    return code;
}

uint64_t ff_clock_ns(void)
{
    return 0;
}

uint64_t ff_clock_cpu_ns(void)
{
    return 0;
}

size_t ff_page_bytes(void)
{
    return 4096;
}

void ff_map_discard(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
}

void ff_items_note_end(struct forkfold_call *call)
{
    (void)call;
}

void ff_alarm_set(int alarm, uint64_t at_ns)
{
    (void)alarm;
    (void)at_ns;
}

/* That of the supervisor is of no consequence here. */
/* Every store of the model is visible at once. */
void ff_barrier_send(void)
{
}

void ff_doorbell_ring(int doorbell)
{
    if (doorbell == DRIVER_BELL)
        ff_set_bits(&world->bell, 1);
}

void ff_items_read_failures(forkfold_pool *of)
{
    (void)of;
}

void ff_items_complete_failures(struct forkfold_call *call, uint64_t first, uint64_t end)
{
    (void)call;
    (void)first;
    (void)end;
}

void ff_items_free_failures(struct forkfold_call *call)
{
    (void)call;
}

bool ff_pool_is_here(const forkfold_pool *of)
{
    (void)of;
    return true;
}

int ff_call_check(forkfold_pool *of)
{
    (void)of;
    return 0;
}

/* What these scenarios have no use for. */
bool ff_is_shared(const forkfold_pool *of, const void *data, uint64_t bytes)
{
    (void)of;
    (void)data;
    (void)bytes;
    return false;
}

uint64_t forkfold_chunk_size(uint64_t items, unsigned workers, double seconds_per_item)
{
    (void)items;
    (void)workers;
    (void)seconds_per_item;
    return 1;
}

uint64_t ff_call_clock_ns(const forkfold_pool *of)
{
    (void)of;
    return 0;
}

void ff_call_abort(forkfold_pool *of)
{
    (void)of;
    model_fail("the call of the engine is aborted");
}

int ff_items_outcome(struct forkfold_call *call)
{
    (void)call;
    model_fail("the call has ended");
    return 0;
}

int ff_map_read_only(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

int ff_map_read_write(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

void ff_queues_return(const struct ff_layout *of, struct ff_queue_holds *holds)
{
    (void)of;
    (void)holds;
}

/* ---- The driver ---------------------------------------------------------- */

/* The owner is not given to another call while its items are run. */
static int run(const forkfold_item *item)
{
    uint64_t serial = *(const volatile uint64_t *)(const volatile void *)&world->owner.serial;

    world->is_run[serial][item->index] = true;
    model_note("runs item %llu", (unsigned long long)item->index);
    *(uint64_t *)item->result = RESULT * serial + item->index;
    return 0;
}

static void begin_call(unsigned number)
{
    const struct call_setting *wanted = &setting()->calls[number];
    struct forkfold_call *call = &world->call;

    *call = (struct forkfold_call){.pool = &pool,
                                   .kind = setting()->kind,
                                   .engine_call = 1,
                                   .options = {.function = run,
                                               .count = wanted->items,
                                               .chunk = wanted->chunk,
                                               .buffer_items = wanted->window,
                                               .result_bytes = sizeof(uint64_t)}};
    pool.items.calls = call;
    MODEL_CHECK(fill_owner(call) == 0, "an owner cannot be filled in");
}

static void drive(unsigned self)
{
    (void)self;
    for (unsigned c = 0; c < setting()->call_count; c++) {
        forkfold_result result;
        uint64_t taken = 0;

        begin_call(c);
        while (take_next(&world->call, &result, UINT64_MAX) > 0) {
            uint64_t expected = RESULT * world->call.serial + result.index;

            MODEL_CHECK(*(const uint64_t *)result.data == expected, "result %llu is %llu",
                        (unsigned long long)result.index, *(const unsigned long long *)result.data);
            MODEL_CHECK(setting()->kind != FF_CALL_IMAP || result.index == taken,
                        "result %llu came out of order", (unsigned long long)result.index);
            taken++;
        }
        MODEL_CHECK(taken == setting()->calls[c].items, "%llu results came",
                    (unsigned long long)taken);
        free_call(&world->call);
    }
    ff_announce(&world->is_over, 1);
}

/* ---- A worker ------------------------------------------------------------ */

static void note_published(const struct ff_task *task)
{
    for (uint64_t i = 0; i < task->count; i++)
        world->is_published[task->serial][task->index + i] = true;
}

static void work(unsigned self)
{
    struct ff_worker worker = {.layout = &pool.layout, .areas = &areas, .segment = &world->segment};
    struct ff_task task;
    void *state;
    uint64_t number;
    size_t near = 0;

    (void)self;
    MODEL_CHECK(ff_items_job.attach(&worker, NULL, &state) == 0, "no memory");
    for (;;) {
        model_look();
        if (ff_board_claim(&board, &number)) {
            MODEL_CHECK(ff_board_task(&board, number, &near, &task), "a task is not there");
            MODEL_CHECK(ff_items_job.run_task(state, &task) == 0, "a task was not run");
            note_published(&task);
        } else if (ff_recheck(&world->is_over) != 0) {
            return;
        } else {
            model_await_change();
        }
    }
}

/* ---- Who asks ------------------------------------------------------------ */

static bool is_posted(void *what)
{
    const uint64_t *number = what;

    return *(const volatile uint64_t *)(const volatile void *)&world->board.posted > *number;
}

static void ask_about(const struct ff_task *task)
{
    bool was_published = world->is_published[task->serial][task->index];
    bool is_done = ff_item_is_done(&world->owner, task->serial, task->index);

    model_note("hears that item %llu of call %llu %s", (unsigned long long)task->index,
               (unsigned long long)task->serial, is_done ? "is done" : "is not done");
    MODEL_CHECK(is_done || !was_published, "item %llu of call %llu was published and is not done",
                (unsigned long long)task->index, (unsigned long long)task->serial);
    MODEL_CHECK(!is_done || world->is_run[task->serial][task->index],
                "item %llu of call %llu is done and was not run", (unsigned long long)task->index,
                (unsigned long long)task->serial);
}

/* About the first item of each task that it finds on the board, as the supervisor does. */
static void ask(unsigned self)
{
    uint64_t tasks = 0;
    struct ff_task task;
    size_t near = 0;

    (void)self;
    for (unsigned c = 0; c < setting()->call_count; c++)
        tasks += (setting()->calls[c].items - 1) / setting()->calls[c].chunk + 1;
    for (uint64_t number = 0; number < tasks; number++) {
        model_await(is_posted, &number);
        MODEL_CHECK(ff_board_task(&board, number, &near, &task), "a task is not there");
        ask_about(&task);
    }
}

/* ---- The scene ----------------------------------------------------------- */

static void name_words(void)
{
    model_name(&world->owner, sizeof(world->owner), NULL, "owner");
    model_name(&world->owner.serial, 8, NULL, "serial");
    model_name(&world->owner.floor, 8, NULL, "floor");
    model_name(world->blocks, sizeof(world->blocks), NULL, "state in block");
    model_name(&world->bell, 8, NULL, "bell");
    model_name(&control.listening, 8, NULL, "listening");
    model_name(&world->board, sizeof(world->board), NULL, "board postings, posted, closed");
    model_name(&world->cursor, sizeof(world->cursor), NULL, "cursor");
}

static void set_up(void)
{
    model_open_heap();
    world = model_take(sizeof(*world));
    memset((void *)&pool, 0, sizeof(pool));
    memset((void *)&control, 0, sizeof(control));
    model_keep(&pool.items, offsetof(struct ff_items, arrays));
    model_keep((void *)&control, offsetof(struct ff_control_shared, guarded_path));
    board = (struct ff_board){.shared = &world->board,
                              .cursor = &world->cursor,
                              .postings = world->postings,
                              .capacity = POSTINGS_MAX};
    areas = (struct ff_segment_areas){.head = &world->segment};
    pool.sequence = 1;
    pool.layout.workers = 1;
    pool.layout.control = &control;
    pool.layout.segments = &areas;
    pool.layout.boards[FF_MAIN] = board;
    pool.layout.driver_bell = DRIVER_BELL;
    pool.layout.owners =
        (struct ff_area){.base = (char *)&world->owner, .bytes = sizeof(world->owner)};
    pool.items.free_owners = world->free_owners;
    pool.items.free_owner_capacity = 1;
    pool.items.is_open = true;
    ff_own_set(&world->segment.joined, 1);
    name_words();
}

#define DRIVER                                                                                     \
    {                                                                                              \
        .name = "driver", .run = drive                                                             \
    }
#define WORKER                                                                                     \
    {                                                                                              \
        .name = "worker", .run = work                                                              \
    }
#define ASKER                                                                                      \
    {                                                                                              \
        .name = "asker", .run = ask                                                                \
    }
#define SCENE .process_count = 3, .processes = {DRIVER, WORKER, ASKER}, .set_up = set_up

static const struct setting one_slot = {
    .calls = {{.items = 3, .window = 1, .chunk = 1}}, .call_count = 1, .kind = FF_CALL_IMAP};
static const struct setting one_slot_twice = {
    .calls = {{.items = 2, .window = 1, .chunk = 1}}, .call_count = 1, .kind = FF_CALL_IMAP};
static const struct setting two_short_calls = {
    .calls = {{.items = 1, .window = 1, .chunk = 1}, {.items = 1, .window = 1, .chunk = 1}},
    .call_count = 2,
    .kind = FF_CALL_IMAP};
static const struct setting two_slots = {.calls = {{.items = 3, .window = 2, .chunk = 1}},
                                         .call_count = 1,
                                         .kind = FF_CALL_IMAP_UNORDERED};
static const struct setting two_calls = {
    .calls = {{.items = 1, .window = 1, .chunk = 1}, {.items = 2, .window = 2, .chunk = 2}},
    .call_count = 2,
    .kind = FF_CALL_IMAP};

static const struct model_scenario scenarios[] = {
    {.name = "a_slot_goes_from_item_to_item", .setting = &one_slot, SCENE},
    {.name = "two_slots_go_from_item_to_item", .setting = &two_slots, .is_deep = true, SCENE},
    {.name = "an_owner_goes_from_call_to_call", .setting = &two_calls, SCENE},
    {.name = "a_slot_is_reused_while_stores_are_late",
     .setting = &one_slot_twice,
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "an_owner_is_reused_while_stores_are_late",
     .setting = &two_short_calls,
     .memory = MODEL_BUFFERED,
     SCENE},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));
}
