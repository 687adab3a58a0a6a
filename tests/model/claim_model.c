/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on items: the loops of workers and supervisor (pool/worker.c, items_job.c, supervisor.c,
 * recovery.c, lost.c), from claiming a task to publishing the results of its items, with deaths.
 *
 * What must hold: each item is published, by whom it was run; nobody runs what is published, or what
 * another living worker is on; a death is blamed on the item that was being run, if any.
 */
#include "pool_processes.h"

enum { ITEMS_MAX = 4, SERIAL = 7, RESULT = 100 };

struct setting {
    unsigned workers;
    uint64_t items;
    uint64_t chunk;
    uint32_t attempts;
    bool posts_late; /* the driver posts the last item while the workers are at it */
};

static struct item_world {
    ff_word8 states[ITEMS_MAX];
    uint64_t results[ITEMS_MAX];
    uint8_t runs[ITEMS_MAX];
    uint8_t runner[ITEMS_MAX]; /* who has begun it last and was not buried since: number + 1 */
    uint8_t blames[ITEMS_MAX]; /* that there have to be */
    uint8_t deaths;
} * item_world;

static struct ff_item_owner owner;

static const struct setting *setting(void)
{
    return model_setting();
}

static unsigned char state_of(uint64_t item)
{
    return *(const volatile unsigned char *)(const volatile void *)&item_world->states[item];
}

/* ---- Running ------------------------------------------------------------- */

static int run(const forkfold_item *item)
{
    uint64_t index = item->index;
    uint8_t self = (uint8_t)(model_self() + 1);

    model_note("runs item %llu", (unsigned long long)index);
    MODEL_CHECK(state_of(index) == FF_ITEM_PENDING, "item %llu is run and has been published",
                (unsigned long long)index);
    MODEL_CHECK(item_world->runner[index] == 0, "item %llu is run by two",
                (unsigned long long)index);
    item_world->runner[index] = self;
    item_world->runs[index]++;
    *(uint64_t *)item->result = RESULT + index;
    return 0;
}

/* What the dead one's words say it was on is what the death has to be blamed on. */
static void before_burial(unsigned slot)
{
    uint64_t current = raw(&pool_segments[slot].current);

    item_world->deaths++;
    if (current != 0 && current <= setting()->items && state_of(current - 1) == FF_ITEM_PENDING)
        item_world->blames[current - 1]++;
    for (unsigned i = 0; i < ITEMS_MAX; i++)
        if (item_world->runner[i] == slot + 1)
            item_world->runner[i] = 0;
}

/* ---- The driver ---------------------------------------------------------- */

static bool is_given_up(uint64_t item)
{
    for (uint64_t i = 0; i < raw(&supervisor_words.quarantined); i++)
        if (quarantine_records[i].item == item)
            return true;
    return false;
}

static bool all_done(void *what)
{
    (void)what;
    for (uint64_t i = 0; i < setting()->items; i++)
        if (state_of(i) == FF_ITEM_PENDING && !is_given_up(i))
            return false;
    return true;
}

static void post(uint64_t first, uint64_t count)
{
    (void)ff_board_post(
        &pool_layout.boards[FF_MAIN],
        (struct ff_task){
            .first = first, .count = count, .owner = &owner, .serial = SERIAL, .index = first},
        setting()->chunk);
}

static void drive(unsigned self)
{
    (void)self;
    if (setting()->posts_late) {
        post(setting()->items - 1, 1);
        ff_layout_wake_workers(&pool_layout, 1);
    }
    model_await(all_done, NULL);
}

/* ---- What must hold ------------------------------------------------------ */

static void check_blames(void)
{
    const struct supervisor *s = pool_world->supervisor;

    if (s == NULL)
        return;
    for (size_t i = 0; i < s->blame_count; i++)
        MODEL_CHECK(s->blames[i].attempts <= item_world->blames[s->blames[i].item],
                    "item %llu is blamed for a death in which nobody was on it",
                    (unsigned long long)s->blames[i].item);
}

static unsigned times_on_board(enum ff_board_id id, uint64_t item)
{
    const struct ff_board *board = &pool_layout.boards[id];
    unsigned times = 0;

    for (uint64_t i = 0; i < raw(&board->shared->postings); i++)
        times += item >= board->postings[i].all.first &&
                 item - board->postings[i].all.first < board->postings[i].all.count;
    return times;
}

/* Each death is a reason to run an item once more. */
static void check_boards(void)
{
    for (uint64_t i = 0; i < setting()->items; i++) {
        unsigned times = times_on_board(FF_RETRY, i) + times_on_board(FF_ASSIGNED, i);

        MODEL_CHECK(times <= item_world->deaths,
                    "item %llu was queued again %u times for %u deaths", (unsigned long long)i,
                    times, item_world->deaths);
    }
}

static void check_end(void)
{
    const struct supervisor *s = pool_world->supervisor;
    unsigned blames = 0;
    unsigned blamed = 0;

    for (uint64_t i = 0; i < setting()->items; i++) {
        blames += item_world->blames[i];
        if (is_given_up(i)) {
            MODEL_CHECK(item_world->blames[i] >= setting()->attempts,
                        "item %llu was given up after %u deaths", (unsigned long long)i,
                        item_world->blames[i]);
            continue;
        }
        MODEL_CHECK(item_world->results[i] == RESULT + i, "the result of item %llu is wrong",
                    (unsigned long long)i);
        MODEL_CHECK(item_world->runs[i] == 1 || item_world->deaths > 0,
                    "item %llu was run %u times", (unsigned long long)i, item_world->runs[i]);
    }
    for (size_t i = 0; i < s->blame_count; i++)
        blamed += s->blames[i].attempts;
    check_boards();
    MODEL_CHECK(blamed == blames, "%u deaths were blamed on items, not %u", blamed, blames);
    MODEL_CHECK(!s->lost_due, "nobody can go on, and lost tasks are still looked for");
    MODEL_CHECK(s->stop_code == 0, "the call was stopped with %d", s->stop_code);
}

static void set_up(void)
{
    open_pool(setting()->workers,
              (struct ff_call){.job = &ff_items_job, .attempts = 4, .max_deaths = 3});
    item_world = model_take(sizeof(*item_world));
    owner = (struct ff_item_owner){.function = run,
                                   .attempts = setting()->attempts,
                                   .window = setting()->items,
                                   .result_bytes = sizeof(uint64_t),
                                   .results = (char *)item_world->results,
                                   .states = item_world->states};
    ff_own_set(&owner.serial, SERIAL);
    post(0, setting()->items - setting()->posts_late);
    model_name(&item_world->states, sizeof(item_world->states), NULL, "state");
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
#define SCENE .set_up = set_up, .check = check_blames, .at_end = check_end

static const struct setting one_worker = {.workers = 1, .items = 2, .chunk = 1, .attempts = 3};
static const struct setting one_task = {.workers = 1, .items = 3, .chunk = 3, .attempts = 3};
static const struct setting two_workers = {.workers = 2, .items = 2, .chunk = 1, .attempts = 3};
static const struct setting one_item = {.workers = 2, .items = 1, .chunk = 1, .attempts = 3};
static const struct setting one_attempt = {.workers = 1, .items = 2, .chunk = 2, .attempts = 1};
static const struct setting late = {
    .workers = 2, .items = 2, .chunk = 1, .attempts = 3, .posts_late = true};

static const struct model_scenario scenarios[] = {
    {.name = "two_workers_share_the_tasks",
     .setting = &two_workers,
     .process_count = 4,
     .processes = {WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     SCENE},
    {.name = "the_only_worker_dies",
     .setting = &one_worker,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 1,
     SCENE},
    {.name = "the_only_worker_dies_twice",
     .setting = &one_worker,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 2,
     .is_deep = true,
     SCENE},
    {.name = "a_worker_dies_within_a_task",
     .setting = &one_task,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 1,
     SCENE},
    {.name = "workers_die_within_a_task",
     .setting = &one_task,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 2,
     .is_deep = true,
     SCENE},
    {.name = "an_item_is_given_up",
     .setting = &one_attempt,
     .process_count = 3,
     .processes = {MORTAL_WORKER(0), SUPERVISOR, DRIVER},
     .deaths = 2,
     SCENE},
    {.name = "tasks_come_while_workers_look",
     .setting = &late,
     .process_count = 4,
     .processes = {WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     SCENE},
    {.name = "one_of_two_workers_dies_as_it_claims",
     .setting = &one_item,
     .process_count = 4,
     .processes = {MORTAL_WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .deaths = 1,
     .dies_at = "worker.claim",
     .preemptions = 2,
     SCENE},
    {.name = "one_of_two_workers_dies_with_the_only_item",
     .setting = &one_item,
     .process_count = 4,
     .processes = {MORTAL_WORKER(0), WORKER(1), SUPERVISOR, DRIVER},
     .deaths = 1,
     .preemptions = 2,
     .is_deep = true,
     SCENE},
    {.name = "one_of_two_workers_dies",
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
