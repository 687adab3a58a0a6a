/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings (memory/ring.c): producers, consumers and those who pass batches on, any of whom may die,
 * and the supervisor, who recovers what they held and starts others in their places.
 *
 * What must hold: what is committed is delivered until it is acknowledged, to one at a time, never
 * afterwards, and once if nobody dies; what is not committed never.  Who is told that the ring has
 * ended finds everything acknowledged, and nothing is committed later.
 */
#include <stdio.h>

#include "memory/ring.h"
#include "model.h"

enum { RINGS_MAX = 2, CELLS_MAX = 2, BATCHES_MAX = 16, BATCHES_EACH = 4 };

struct setting {
    unsigned shift;     /* log2 of the cells */
    unsigned rings;     /* 2: batches of the first are passed on to the second */
    unsigned batches;   /* of each producer */
    unsigned items;     /* of each batch */
    uint64_t producers; /* bits */
    bool gives_back;    /* the first batch that each consumer takes */
    bool in_order;      /* one producer, one consumer: batches come as they went */
};

/* What has become of a batch; no part of what is checked, but what it is checked against. */
struct batch {
    uint8_t is_committed;
    uint8_t is_acknowledged; /* all of its items */
    uint8_t items;           /* that are acknowledged */
    uint8_t deliveries;
    uint8_t returns; /* deaths of those who held it, and times that it was given back */
    uint8_t holder;  /* number + 1 */
    uint8_t ring;
    uint64_t position;
    uint64_t word; /* of the cell, while it is held */
};

static struct world {
    struct ff_ring_words words[RINGS_MAX];
    struct ff_ring_cell cells[RINGS_MAX][CELLS_MAX];
    ff_word64 contents[RINGS_MAX][CELLS_MAX]; /* of each cell the number of its batch */
    struct batch batches[RINGS_MAX][BATCHES_MAX];
    struct ff_ring rings[RINGS_MAX];
    uint8_t begun[MODEL_PROCESSES_MAX]; /* batches, of producers */
    uint8_t put[MODEL_PROCESSES_MAX];
    uint8_t has_given_back[MODEL_PROCESSES_MAX];
    uint8_t newest; /* batch that was delivered, + 1 */
    uint8_t has_ended[RINGS_MAX];
} * world;

static const struct setting *setting(void)
{
    return model_setting();
}

/* ---- Looking without a step ---------------------------------------------- */

static uint64_t raw(const ff_word64 *word)
{
    return *(const volatile uint64_t *)(const volatile void *)word;
}

/* As ring.c encodes it. */
enum { FREE, WRITING, READY, TAKEN };

static unsigned state_of(uint64_t word)
{
    return (unsigned)(word & 3);
}

static uint64_t turn_of(uint64_t word)
{
    return word >> 18;
}

static void show_word(uint64_t word, char *text, size_t size)
{
    static const char *const states[] = {"free", "writing", "ready", "taken"};

    snprintf(text, size, "%s of turn %llu, holder %u", states[state_of(word)],
             (unsigned long long)turn_of(word), (unsigned)(word >> 2 & 0xffff));
}

/* ---- The scene ----------------------------------------------------------- */

static void name_ring(unsigned r)
{
    struct ff_ring_words *words = &world->words[r];

    model_name(&words->tail, sizeof(words->tail), NULL, "ring %u tail", r);
    model_name(&words->head, sizeof(words->head), NULL, "ring %u head", r);
    model_name(&words->returned, sizeof(words->returned), NULL, "ring %u returned", r);
    model_name(&words->looked, sizeof(words->looked), NULL, "ring %u looked", r);
    model_name(&words->ended, sizeof(words->ended), NULL, "ring %u ended", r);
    model_name(world->contents[r], sizeof(world->contents[r]), NULL, "ring %u batch in cell", r);
    for (unsigned c = 0; c < CELLS_MAX; c++) {
        struct ff_ring_cell *cell = &world->cells[r][c];

        model_name(&cell->word, sizeof(cell->word), show_word, "ring %u cell %u", r, c);
        model_name(&cell->count, sizeof(cell->count), NULL, "ring %u cell %u count", r, c);
        model_name(&cell->done, sizeof(cell->done), NULL, "ring %u cell %u done", r, c);
        model_name(&cell->returns, sizeof(cell->returns), NULL, "ring %u cell %u returns", r, c);
        model_name(&cell->passed_to, sizeof(cell->passed_to), NULL, "ring %u cell %u passed_to", r,
                   c);
        model_name(&cell->passed_at, sizeof(cell->passed_at), NULL, "ring %u cell %u passed_at", r,
                   c);
        model_name(&cell->passing, sizeof(cell->passing), NULL, "ring %u cell %u passing", r, c);
    }
}

static void set_up(void)
{
    world = model_take(sizeof(*world));
    for (unsigned r = 0; r < setting()->rings; r++) {
        world->rings[r] = (struct ff_ring){.words = &world->words[r],
                                           .cells = world->cells[r],
                                           .shift = setting()->shift,
                                           .number = r,
                                           .batch_items = setting()->items,
                                           /* The second is ended by who passes on. */
                                           .all_producers = r == 0 ? setting()->producers : 1};
        ff_ring_reset(&world->rings[r]);
        name_ring(r);
    }
}

static ff_word64 *contents_at(unsigned r, uint64_t position)
{
    return &world->contents[r][position & ((1U << setting()->shift) - 1)];
}

/* ---- Putting ------------------------------------------------------------- */

static void note_commit(unsigned r, unsigned number)
{
    model_note("has committed batch %u of ring %u", number, r);
    world->batches[r][number].is_committed = true;
    MODEL_CHECK(!world->has_ended[r], "batch %u was committed though ring %u had ended", number, r);
}

/* The next position to write, or false when the ring has ended. */
static bool claim(unsigned self, unsigned r, uint64_t *position)
{
    for (;;) {
        model_look();
        switch (ff_ring_claim(&world->rings[r], self, position)) {
        case FF_RING_OK:
            return true;
        case FF_RING_ENDED:
            return false;
        case FF_RING_NONE:
            model_await_change();
            break;
        case FF_RING_DAMAGED:
            model_fail("ring %u is damaged for who puts", r);
            return false;
        }
    }
}

/* One that replaces a dead one goes on with other batches, until enough are committed. */
static void produce_until_ended(unsigned self)
{
    uint64_t position;

    while (world->put[self] < setting()->batches) {
        unsigned number = self * BATCHES_EACH + world->begun[self]++;

        if (!claim(self, 0, &position))
            return;
        ff_own_set(contents_at(0, position), number);
        ff_ring_commit(&world->rings[0], position, setting()->items);
        note_commit(0, number);
        world->put[self]++;
    }
}

static void produce(unsigned self)
{
    produce_until_ended(self);
    ff_ring_end(&world->rings[0], self);
}

/* It is over while others put. */
static void end_for_others(unsigned self)
{
    (void)self;
    ff_ring_end(&world->rings[0], 0);
}

/* Changes its mind once about each batch. */
static void produce_and_abandon(unsigned self)
{
    uint64_t position;

    if (!world->has_given_back[self]) {
        world->has_given_back[self] = true;
        if (claim(self, 0, &position)) {
            ff_own_set(contents_at(0, position), BATCHES_MAX - 1);
            ff_ring_abandon(&world->rings[0], position);
        }
    }
    produce(self);
}

/* ---- Taking -------------------------------------------------------------- */

static void check_all_acknowledged(unsigned r)
{
    for (unsigned i = 0; i < BATCHES_MAX; i++)
        MODEL_CHECK(!world->batches[r][i].is_committed || world->batches[r][i].is_acknowledged,
                    "ring %u is said to have ended, and batch %u is not acknowledged", r, i);
    world->has_ended[r] = true;
}

static void note_delivery(unsigned self, unsigned r, uint64_t position)
{
    struct ff_ring_cell *cell = ff_ring_cell(&world->rings[r], position);
    uint64_t number = raw(contents_at(r, position));
    struct batch *batch = &world->batches[r][number % BATCHES_MAX];
    uint64_t done = raw(&cell->done);

    model_note("has batch %llu of ring %u", (unsigned long long)number, r);
    MODEL_CHECK(number < BATCHES_MAX && batch->is_committed,
                "batch %llu was delivered and not committed", (unsigned long long)number);
    MODEL_CHECK(!batch->is_acknowledged, "batch %llu was delivered and is acknowledged",
                (unsigned long long)number);
    MODEL_CHECK(batch->holder == 0, "batch %llu was delivered to two", (unsigned long long)number);
    MODEL_CHECK(batch->deliveries == batch->returns, "batch %llu was delivered too often",
                (unsigned long long)number);
    MODEL_CHECK(done == batch->items, "%llu items of batch %llu are done, and %u acknowledged",
                (unsigned long long)done, (unsigned long long)number, batch->items);
    MODEL_CHECK(raw(&cell->count) == setting()->items, "batch %llu has %llu items",
                (unsigned long long)number, (unsigned long long)raw(&cell->count));
    /* It counts those, too, who died before they knew what they had. */
    MODEL_CHECK(raw(&cell->returns) >= batch->returns, "batch %llu says %llu returns, not %u",
                (unsigned long long)number, (unsigned long long)raw(&cell->returns),
                batch->returns);
    MODEL_CHECK(!setting()->in_order || number + 1 > world->newest, "batch %llu came out of order",
                (unsigned long long)number);
    world->newest = (uint8_t)(number + 1);
    batch->deliveries++;
    batch->holder = (uint8_t)(self + 1);
    batch->ring = (uint8_t)r;
    batch->position = position;
    batch->word = raw(&cell->word);
}

static struct batch *held_by(unsigned self, unsigned r)
{
    for (unsigned i = 0; i < BATCHES_MAX; i++)
        if (world->batches[r][i].holder == self + 1)
            return &world->batches[r][i];
    return NULL;
}

/* A batch to hold, or NULL when the ring has ended. */
static struct batch *take(unsigned self, unsigned r, struct ff_ring_batch *taken)
{
    for (;;) {
        model_look();
        switch (ff_ring_take(&world->rings[r], self, taken)) {
        case FF_RING_OK:
            note_delivery(self, r, taken->position);
            return held_by(self, r);
        case FF_RING_ENDED:
            check_all_acknowledged(r);
            return NULL;
        case FF_RING_NONE:
            model_await_change();
            break;
        case FF_RING_DAMAGED:
            model_fail("ring %u is damaged for who takes", r);
            return NULL;
        }
    }
}

static void note_done(struct batch *batch, uint64_t done)
{
    batch->items = (uint8_t)done;
    batch->is_acknowledged = done == setting()->items;
    if (batch->is_acknowledged)
        batch->holder = 0;
}

static void acknowledge(struct batch *batch, unsigned r, struct ff_ring_batch *taken)
{
    for (uint64_t done = batch->items + 1; done <= setting()->items; done++) {
        taken->done = done;
        ff_ring_acknowledge(&world->rings[r], taken);
        note_done(batch, done);
        model_note("has acknowledged %llu items", (unsigned long long)done);
    }
}

static void consume_from(unsigned self, unsigned r)
{
    struct batch *batch;
    struct ff_ring_batch taken;

    while ((batch = take(self, r, &taken)) != NULL) {
        if (setting()->gives_back && !world->has_given_back[self]) {
            world->has_given_back[self] = true;
            batch->holder = 0;
            batch->returns++;
            ff_ring_give_back(&world->rings[r], &taken);
        } else {
            acknowledge(batch, r, &taken);
        }
    }
}

static void consume(unsigned self)
{
    consume_from(self, setting()->rings - 1);
}

/* ---- Passing on ---------------------------------------------------------- */

/* A batch of the second ring is what a batch of the first one was made to, with the same number. */
static void pass_on(unsigned self)
{
    struct batch *batch;
    struct ff_ring_batch taken;
    uint64_t target;

    while ((batch = take(self, 0, &taken)) != NULL) {
        for (uint64_t done = batch->items + 1; done <= setting()->items; done++) {
            if (!claim(self, 1, &target)) {
                model_fail("the second ring ended before the first");
                return;
            }
            ff_own_set(contents_at(1, target), raw(contents_at(0, taken.position)));
            taken.done = done;
            ff_ring_pass_on(&world->rings[0], &taken, &world->rings[1], target, setting()->items);
            ff_ring_acknowledge(&world->rings[0], &taken);
            note_done(batch, done);
        }
    }
    ff_ring_end(&world->rings[1], 0);
}

/* What it says of a batch of the second ring is that of the first; what is checked is the count. */
static void consume_passed(unsigned self)
{
    struct batch *batches = world->batches[1];
    struct ff_ring_batch taken;

    for (;;) {
        model_look();
        enum ff_ring_answer answer = ff_ring_take(&world->rings[1], self, &taken);

        if (answer == FF_RING_ENDED)
            return;
        if (answer == FF_RING_NONE) {
            model_await_change();
            continue;
        }
        unsigned number = (unsigned)raw(contents_at(1, taken.position)) % BATCHES_MAX;

        model_note("has what batch %u was made to", number);
        batches[number].deliveries++;
        MODEL_CHECK(batches[number].deliveries <= setting()->items,
                    "batch %u was passed on too often", number);
        MODEL_CHECK(world->batches[0][number].is_committed,
                    "batch %u was passed on and not committed", number);
        taken.done = taken.count;
        ff_ring_acknowledge(&world->rings[1], &taken);
    }
}

/* ---- The supervisor ------------------------------------------------------ */

static bool has_died(void *what)
{
    (void)what;
    return model_find_dead() != MODEL_NOBODY;
}

/* What a dead one's own words say of the batches that it held, before they are recovered. */
static void note_death(unsigned dead)
{
    for (unsigned r = 0; r < setting()->rings; r++) {
        struct batch *batch = held_by(dead, r);
        const struct ff_ring_cell *cell;

        if (batch == NULL)
            continue;
        cell = ff_ring_cell(&world->rings[r], batch->position);
        batch->holder = 0;
        batch->returns++;
        /* Released, or about to be. */
        if (raw(&cell->word) != batch->word)
            note_done(batch, setting()->items);
        else
            note_done(batch, raw(&cell->done));
    }
}

/* Of one that passed on, whether the second ring has it tells. */
static void note_death_passing(unsigned dead)
{
    struct batch *batch = held_by(dead, 0);
    const struct ff_ring_cell *cell;
    uint64_t target;
    uint64_t word;
    bool is_there;

    if (batch == NULL)
        return;
    cell = ff_ring_cell(&world->rings[0], batch->position);
    target = raw(&cell->passed_at);
    word = raw(&ff_ring_cell(&world->rings[1], target)->word);
    is_there = turn_of(word) > target >> setting()->shift ||
               (turn_of(word) == target >> setting()->shift && state_of(word) >= READY);
    batch->returns++;
    batch->holder = 0;
    if (raw(&cell->word) != batch->word)
        note_done(batch, setting()->items);
    else
        note_done(batch,
                  raw(&cell->passed_to) != 0 && is_there ? raw(&cell->passing) : raw(&cell->done));
}

static void supervise(unsigned self)
{
    (void)self;
    for (;;) {
        model_await(has_died, NULL);

        unsigned dead = model_find_dead();

        model_reap(dead);
        if (setting()->rings > 1)
            note_death_passing(dead);
        else
            note_death(dead);
        ff_rings_recover(world->rings, setting()->rings, dead);
        model_start_again(dead);
    }
}

/* ---- What must hold ------------------------------------------------------ */

/* No position before the tail is free, and none before the head is to be found but by a return. */
static void check_hints(void)
{
    for (unsigned r = 0; r < setting()->rings; r++) {
        uint64_t cells = UINT64_C(1) << setting()->shift;
        uint64_t tail = raw(&world->words[r].tail);
        uint64_t from = tail > cells ? tail - cells : 0;

        MODEL_CHECK(raw(&world->words[r].head) <= tail, "the head of ring %u has passed its tail",
                    r);
        for (uint64_t position = from; position < tail; position++) {
            uint64_t word = raw(&ff_ring_cell(&world->rings[r], position)->word);
            uint64_t turn = position >> setting()->shift;

            MODEL_CHECK(turn_of(word) > turn || (turn_of(word) == turn && state_of(word) != FREE),
                        "the tail of ring %u has passed position %llu, which is free", r,
                        (unsigned long long)position);
        }
    }
}

static void check_end(void)
{
    for (unsigned r = 0; r < setting()->rings; r++) {
        for (unsigned c = 0; c < 1U << setting()->shift; c++)
            MODEL_CHECK(state_of(raw(&world->cells[r][c].word)) == FREE,
                        "cell %u of ring %u is not free at the end", c, r);
    }
    for (unsigned i = 0; i < BATCHES_MAX; i++) {
        const struct batch *batch = &world->batches[0][i];

        MODEL_CHECK(!batch->is_committed || batch->is_acknowledged,
                    "batch %u is lost: committed and not acknowledged", i);
        MODEL_CHECK(setting()->rings < 2 || !batch->is_committed ||
                        world->batches[1][i].deliveries == setting()->items,
                    "batch %u was passed on %u times", i, world->batches[1][i].deliveries);
    }
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
#define MORTAL_PASSER(number)                                                                      \
    {                                                                                              \
        .name = "passer " #number, .run = pass_on, .may_die = true                                 \
    }
#define SUPERVISOR                                                                                 \
    {                                                                                              \
        .name = "supervisor", .run = supervise, .is_daemon = true                                  \
    }
#define SCENE .set_up = set_up, .check = check_hints, .at_end = check_end

static const struct setting one_to_one = {
    .shift = 1, .rings = 1, .batches = 3, .items = 1, .producers = 1, .in_order = true};
static const struct setting one_cell = {
    .shift = 0, .rings = 1, .batches = 3, .items = 1, .producers = 1, .in_order = true};
static const struct setting one_producer = {
    .shift = 1, .rings = 1, .batches = 2, .items = 1, .producers = 1};
static const struct setting one_producer_one_cell = {
    .shift = 0, .rings = 1, .batches = 2, .items = 1, .producers = 1};
static const struct setting two_producers = {
    .shift = 1, .rings = 1, .batches = 1, .items = 1, .producers = 3};
static const struct setting two_producers_one_cell = {
    .shift = 0, .rings = 1, .batches = 1, .items = 1, .producers = 3};
static const struct setting one_batch = {
    .shift = 1, .rings = 1, .batches = 1, .items = 1, .producers = 1};
static const struct setting two_items = {
    .shift = 1, .rings = 1, .batches = 1, .items = 2, .producers = 1};
static const struct setting giving_back = {
    .shift = 1, .rings = 1, .batches = 2, .items = 1, .producers = 1, .gives_back = true};
static const struct setting ending = {
    .shift = 1, .rings = 1, .batches = 2, .items = 1, .producers = 1};
static const struct setting giving_one_back = {
    .shift = 0, .rings = 1, .batches = 1, .items = 1, .producers = 1, .gives_back = true};
static const struct setting passing = {
    .shift = 0, .rings = 2, .batches = 1, .items = 1, .producers = 1};
static const struct setting passing_turns = {
    .shift = 0, .rings = 2, .batches = 2, .items = 1, .producers = 1};
static const struct setting passing_items = {
    .shift = 0, .rings = 2, .batches = 1, .items = 2, .producers = 1};

static const struct model_scenario scenarios[] = {
    {.name = "one_producer_and_one_consumer_keep_the_order",
     .setting = &one_to_one,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     .failures = 1,
     SCENE},
    {.name = "one_cell_takes_turns",
     .setting = &one_cell,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     .failures = 1,
     SCENE},
    {.name = "stores_that_are_late_keep_the_order",
     .setting = &one_to_one,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "one_cell_takes_turns_while_stores_are_late",
     .setting = &one_cell,
     .process_count = 2,
     .processes = {PRODUCER(0), CONSUMER(0)},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "two_producers_and_one_consumer",
     .setting = &two_producers,
     .process_count = 3,
     .processes = {PRODUCER(0), PRODUCER(1), CONSUMER(0)},
     SCENE},
    {.name = "one_producer_and_two_consumers",
     .setting = &one_producer,
     .process_count = 3,
     .processes = {PRODUCER(0), CONSUMER(0), CONSUMER(1)},
     SCENE},
    {.name = "a_producer_dies",
     .setting = &one_producer,
     .process_count = 3,
     .processes = {MORTAL_PRODUCER(0), CONSUMER(0), SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "a_consumer_dies",
     .setting = &one_producer,
     .process_count = 3,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "any_two_die_around_one_cell",
     .setting = &one_producer_one_cell,
     .process_count = 3,
     .processes = {MORTAL_PRODUCER(0), MORTAL_CONSUMER(0), SUPERVISOR},
     .deaths = 2,
     SCENE},
    {.name = "a_consumer_dies_between_two_items",
     .setting = &two_items,
     .process_count = 3,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), SUPERVISOR},
     .deaths = 2,
     SCENE},
    {.name = "one_of_two_consumers_dies",
     .setting = &one_batch,
     .process_count = 4,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), CONSUMER(1), SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "one_of_two_consumers_of_two_batches_dies",
     .setting = &one_producer,
     .process_count = 4,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), CONSUMER(1), SUPERVISOR},
     .deaths = 1,
     .is_deep = true,
     SCENE},
    {.name = "what_a_dead_producer_stored_late_is_there",
     .setting = &one_batch,
     .process_count = 3,
     .processes = {MORTAL_PRODUCER(0), MORTAL_CONSUMER(0), SUPERVISOR},
     .deaths = 1,
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "a_ring_ends_while_a_producer_puts",
     .setting = &ending,
     .process_count = 3,
     .processes = {{.name = "producer 0", .run = produce_until_ended},
                   CONSUMER(0),
                   {.name = "ender", .run = end_for_others}},
     SCENE},
    {.name = "a_producer_abandons_a_cell",
     .setting = &two_producers_one_cell,
     .process_count = 3,
     .processes = {{.name = "producer 0", .run = produce_and_abandon}, PRODUCER(1), CONSUMER(0)},
     SCENE},
    {.name = "a_ring_ends_while_stores_are_late",
     .setting = &ending,
     .process_count = 3,
     .processes = {{.name = "producer 0", .run = produce_until_ended},
                   CONSUMER(0),
                   {.name = "ender", .run = end_for_others}},
     .memory = MODEL_BUFFERED,
     SCENE},
    {.name = "a_batch_that_is_given_back_comes_again",
     .setting = &giving_one_back,
     .process_count = 3,
     .processes = {PRODUCER(0), CONSUMER(0), CONSUMER(1)},
     SCENE},
    {.name = "batches_that_are_given_back_come_again",
     .setting = &giving_back,
     .process_count = 3,
     .processes = {PRODUCER(0), CONSUMER(0), CONSUMER(1)},
     .is_deep = true,
     SCENE},
    {.name = "who_gives_back_dies",
     .setting = &giving_one_back,
     .process_count = 4,
     .processes = {PRODUCER(0), MORTAL_CONSUMER(0), CONSUMER(1), SUPERVISOR},
     .deaths = 1,
     .is_deep = true,
     SCENE},
    {.name = "who_passes_on_dies",
     .setting = &passing,
     .process_count = 4,
     .processes =
         {PRODUCER(0), MORTAL_PASSER(0), {.name = "consumer 0", .run = consume_passed}, SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "who_passes_items_on_dies",
     .setting = &passing_items,
     .process_count = 4,
     .processes =
         {PRODUCER(0), MORTAL_PASSER(0), {.name = "consumer 0", .run = consume_passed}, SUPERVISOR},
     .deaths = 1,
     SCENE},
    {.name = "who_passes_on_with_late_stores_dies",
     .setting = &passing,
     .process_count = 4,
     .processes =
         {PRODUCER(0), MORTAL_PASSER(0), {.name = "consumer 0", .run = consume_passed}, SUPERVISOR},
     .deaths = 1,
     .memory = MODEL_BUFFERED,
     .is_deep = true,
     SCENE},
    {.name = "who_passes_on_in_turns_dies",
     .setting = &passing_turns,
     .process_count = 4,
     .processes =
         {PRODUCER(0), MORTAL_PASSER(0), {.name = "consumer 0", .run = consume_passed}, SUPERVISOR},
     .deaths = 1,
     .is_deep = true,
     SCENE},
    {.name = "who_passes_on_dies_twice",
     .setting = &passing,
     .process_count = 4,
     .processes =
         {PRODUCER(0), MORTAL_PASSER(0), {.name = "consumer 0", .run = consume_passed}, SUPERVISOR},
     .deaths = 2,
     .is_deep = true,
     SCENE},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));
}
