/* SPDX-License-Identifier: Apache-2.0 */
/* Queues between host and workers in which nobody dies. */
#include "queue_script.h"

#include "pool/call.h"

/* ---- Arguments ----------------------------------------------------------- */

#define assert_refused(pool, code, expected, sentence)                                             \
    do {                                                                                           \
        assert_int_equal(code, expected);                                                          \
        assert_string_equal(forkfold_pool_message(pool), sentence);                                \
    } while (0)

static void options_that_make_no_queue_are_refused(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *const untouched = (forkfold_queue *)(void *)&pool;
    forkfold_queue *queue = untouched;
    char deepest[128];

    (void)state;
    snprintf(deepest, sizeof(deepest), "a queue of this pool holds %llu batches at most, not %llu",
             (unsigned long long)ff_queues_cells(&pool->layout),
             (unsigned long long)ff_queues_cells(&pool->layout) + 1);

    const struct {
        forkfold_queue_options options;
        int code;
        const char *sentence;
    } cases[] = {
        {{.size = 1, .item_bytes = 1},
         FORKFOLD_E_INVALID,
         "a queue needs options of this version of the library"},
        {{.item_bytes = 0}, FORKFOLD_E_INVALID, "items of a queue have a byte at least"},
        {{.item_bytes = 1, .producers = 65},
         FORKFOLD_E_INVALID,
         "a queue waits for the ends of 64 producers at most, not 65"},
        {{.item_bytes = 1, .depth = ff_queues_cells(&pool->layout) + 1}, FORKFOLD_E_LIMIT, deepest},
        {{.item_bytes = SIZE_MAX},
         FORKFOLD_E_LIMIT,
         "the region has no room for the batches of a queue; make it less deep or raise the limit "
         "of address space (ulimit -v)"},
        {{.item_bytes = SIZE_MAX, .batch_items = 2, .depth = 4},
         FORKFOLD_E_LIMIT,
         "the region has no room for the batches of a queue; make it less deep or raise the limit "
         "of address space (ulimit -v)"},
        {{.item_bytes = SIZE_MAX / 64, .depth = 16},
         FORKFOLD_E_LIMIT,
         "the region has no room for the batches of a queue; make it less deep or raise the limit "
         "of address space (ulimit -v)"},
        {{.item_bytes = 1, .batch_items = UINT64_MAX},
         FORKFOLD_E_LIMIT,
         "the region has no room for the batches of a queue; make it less deep or raise the limit "
         "of address space (ulimit -v)"},
    };

    assert_refused(pool, forkfold_queue_open(pool, NULL, &queue), FORKFOLD_E_INVALID,
                   "a queue needs options of this version of the library");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(pool, forkfold_queue_open(pool, &cases[i].options, &queue), cases[i].code,
                       cases[i].sentence);
    assert_ptr_equal(queue, untouched);
    assert_works(
        pool, forkfold_queue_open(pool,
                                  &(forkfold_queue_options){.size = sizeof(forkfold_queue_options),
                                                            .item_bytes = 1,
                                                            .producers = FORKFOLD_PRODUCERS_MAX},
                                  &queue));
    forkfold_queue_close(queue);
    forkfold_queue_close(NULL);
    forkfold_pool_close(pool);
}

static void arguments_that_make_no_sense_are_refused(void **state)
{
    static const char nothing[] = "this process has nothing of the queue that is not acknowledged";
    static const char between[] =
        "a batch is passed on from one open queue of a pool to another one";
    forkfold_pool *pool = open_pool(1);
    forkfold_pool *other_pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 2, 4, 3);
    forkfold_queue *closed = open_queue(pool, 2, 4, 1);
    forkfold_queue *foreign = open_queue(other_pool, 2, 4, 1);
    uint64_t values[3] = {1, 2, 3};
    forkfold_batch batch;

    (void)state;
    forkfold_queue_close(closed);
    assert_refused(pool, forkfold_queue_put(queue, NULL, 1, 0), FORKFOLD_E_INVALID,
                   "a batch needs an item at least");
    assert_refused(pool, forkfold_queue_put(queue, values, 0, 0), FORKFOLD_E_INVALID,
                   "a batch needs an item at least");
    assert_refused(pool, forkfold_queue_put(queue, values, 3, 0), FORKFOLD_E_INVALID,
                   "the batch has more items than batches of this queue may have");
    assert_refused(pool, forkfold_queue_end(queue, 3), FORKFOLD_E_INVALID,
                   "the queue has no such producer");
    assert_refused(pool, forkfold_queue_end(queue, ~0u), FORKFOLD_E_INVALID,
                   "the queue has no such producer");
    assert_refused(pool, forkfold_queue_get(queue, 0, NULL, 0), FORKFOLD_E_INVALID,
                   "a batch needs a place to go");
    assert_refused(pool, forkfold_queue_acknowledge(queue), FORKFOLD_E_INVALID, nothing);
    assert_refused(pool, forkfold_queue_give_back(queue), FORKFOLD_E_INVALID, nothing);
    assert_refused(pool, forkfold_queue_pass_on(queue, queue, values, 1, 0), FORKFOLD_E_INVALID,
                   nothing);
    assert_refused(pool, forkfold_queue_put(closed, values, 1, 0), FORKFOLD_E_INVALID,
                   "the queue has been closed");
    assert_refused(pool, forkfold_queue_get(closed, 0, &batch, 0), FORKFOLD_E_INVALID,
                   "the queue has been closed");
    assert_refused(pool, forkfold_queue_end(closed, 0), FORKFOLD_E_INVALID,
                   "the queue has been closed");
    assert_works(pool, forkfold_queue_put(queue, values, 2, 0));
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
    assert_refused(pool, forkfold_queue_pass_on(queue, queue, values, 1, 0), FORKFOLD_E_INVALID,
                   between);
    assert_refused(pool, forkfold_queue_pass_on(queue, foreign, values, 1, 0), FORKFOLD_E_INVALID,
                   between);
    assert_refused(pool, forkfold_queue_pass_on(queue, closed, values, 1, 0), FORKFOLD_E_INVALID,
                   between);
    /* After all of which it is still there. */
    assert_works(pool, forkfold_queue_give_back(queue));
    assert_refused(pool, forkfold_queue_give_back(queue), FORKFOLD_E_INVALID, nothing);
    forkfold_queue_close(queue);
    forkfold_queue_close(foreign);
    forkfold_pool_close(other_pool);
    forkfold_pool_close(pool);
}

/* ---- The host alone ------------------------------------------------------ */

static void host_alone_is_told_what_would_wait_for_ever(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 1, 2, 1);
    forkfold_batch batch;
    uint64_t value = 5;

    (void)state;
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), FORKFOLD_E_PENDING);
    assert_refused(pool, forkfold_queue_get(queue, 0, &batch, FOR_EVER), FORKFOLD_E_STALLED,
                   "the queue is empty and has not ended, and no call is in progress that could "
                   "change it");
    for (value = 5; value < 7; value++)
        assert_works(pool, forkfold_queue_put(queue, &value, 1, FOR_EVER));
    assert_int_equal(forkfold_queue_put(queue, &value, 1, 0), FORKFOLD_E_PENDING);
    assert_refused(pool, forkfold_queue_put(queue, &value, 1, 1), FORKFOLD_E_STALLED,
                   "the queue is full, and no call is in progress that could change it");
    assert_works(pool, forkfold_queue_end(queue, 0));
    assert_refused(pool, forkfold_queue_put(queue, &value, 1, FOR_EVER), FORKFOLD_E_ENDED,
                   "the queue has ended: nothing more can be put");
    for (value = 5; value < 7; value++) {
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 1);
        assert_int_equal(batch.count, 1);
        assert_int_equal(batch.returns, 0);
        assert_int_equal(*(const uint64_t *)batch.items, value);
    }
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 0);
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 0);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* The host is one process: what it holds nobody else gets, itself included. */
static void batch_is_taken_in_parts(void **state)
{
    static const uint64_t values[5] = {10, 11, 12, 13, 14};
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 5, 2, 1);
    forkfold_batch batch;

    (void)state;
    assert_works(pool, forkfold_queue_put(queue, values, 5, 0));
    assert_works(pool, forkfold_queue_put(queue, values, 1, 0));
    assert_int_equal(forkfold_queue_get(queue, 2, &batch, 0), 1);
    assert_int_equal(batch.count, 2);
    assert_int_equal(((const uint64_t *)batch.items)[1], 11);
    /* Given back, its items come again; acknowledged, the next ones do. */
    assert_works(pool, forkfold_queue_give_back(queue));
    assert_int_equal(forkfold_queue_get(queue, 3, &batch, 0), 1);
    assert_int_equal(batch.count, 3);
    assert_int_equal(batch.returns, 1);
    assert_int_equal(((const uint64_t *)batch.items)[0], 10);
    assert_works(pool, forkfold_queue_acknowledge(queue));
    assert_int_equal(forkfold_queue_acknowledge(queue), FORKFOLD_E_INVALID);
    /* What is left of it can go back though nothing was taken since. */
    assert_works(pool, forkfold_queue_give_back(queue));
    assert_int_equal(forkfold_queue_get(queue, 1, &batch, 0), 1);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.returns, 2);
    assert_int_equal(*(const uint64_t *)batch.items, 13);
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
    assert_int_equal(batch.count, 1);
    assert_int_equal(*(const uint64_t *)batch.items, 14);
    assert_int_equal(forkfold_queue_get(queue, 7, &batch, 0), 1);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.returns, 0);
    assert_int_equal(*(const uint64_t *)batch.items, 10);
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), FORKFOLD_E_PENDING);
    assert_int_equal(forkfold_queue_acknowledge(queue), FORKFOLD_E_INVALID);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

static void depth_is_what_was_asked_for_or_fits(void **state)
{
    static const struct {
        size_t item_bytes;
        uint64_t depth;
        unsigned expected;
    } cases[] = {{8, 1, 1},       {8, 3, 4},      {8, 4, 4},        {8, 0, 1024},
                 {1024, 0, 1024}, {1025, 0, 512}, {1 << 20, 0, 16}, {1 << 20, 1, 1}};
    forkfold_pool *pool = open_pool(1);
    void *item = calloc(1, 1 << 20);

    (void)state;
    assert_non_null(item);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        forkfold_queue *queue =
            open_queue_with(pool, &(forkfold_queue_options){.item_bytes = cases[i].item_bytes,
                                                            .depth = cases[i].depth});

        for (unsigned k = 0; k < cases[i].expected; k++)
            assert_works(pool, forkfold_queue_put(queue, item, 1, 0));
        assert_int_equal(forkfold_queue_put(queue, item, 1, 0), FORKFOLD_E_PENDING);
        forkfold_queue_close(queue);
    }
    free(item);
    forkfold_pool_close(pool);
}

/* Fills the queue with batches whose bytes say which, and empties it. */
static void fill_and_empty(forkfold_pool *pool, const forkfold_queue_options *of,
                           forkfold_queue *queue, unsigned first)
{
    unsigned char bytes[65];
    forkfold_batch batch;

    for (unsigned i = first; i < first + of->depth; i++) {
        memset(bytes, (int)i, sizeof(bytes));
        assert_works(pool, forkfold_queue_put(queue, bytes, of->batch_items, 0));
    }
    for (unsigned i = first; i < first + of->depth; i++) {
        memset(bytes, (int)i, sizeof(bytes));
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
        assert_int_equal(batch.count, of->batch_items);
        assert_int_equal((uintptr_t)batch.items % 8, 0);
        assert_memory_equal(batch.items, bytes, of->item_bytes * of->batch_items);
    }
    assert_works(pool, forkfold_queue_acknowledge(queue));
}

/* Those of 8 bytes at most lie in the cells of the queue, others behind them. */
static void batches_of_any_size_come_out_as_they_went_in(void **state)
{
    static const struct {
        size_t item_bytes;
        uint64_t batch_items;
    } cases[] = {{1, 1}, {1, 8}, {3, 2}, {8, 1}, {1, 9}, {3, 3}, {8, 2}, {9, 1}, {65, 1}};
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        forkfold_queue_options of = {.item_bytes = cases[i / 2].item_bytes,
                                     .batch_items = cases[i / 2].batch_items,
                                     .depth = 4};
        forkfold_queue *queue = open_queue_with(pool, &of);

        for (unsigned turn = 0; turn < 3; turn++)
            fill_and_empty(pool, &of, queue, i + turn * 4);
        forkfold_queue_close(queue);
    }
    forkfold_pool_close(pool);
}

static void closed_queue_leaves_nothing_to_the_next_one(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_batch batch;
    uint64_t value;

    (void)state;
    for (uint64_t depth = 1; depth < 300; depth = depth * 2 + 1) {
        forkfold_queue *queue = open_queue(pool, 1 + depth % 3, depth, 1);

        assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), FORKFOLD_E_PENDING);
        for (value = 0; value < depth; value++)
            assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
        assert_int_equal(*(const uint64_t *)batch.items, 0);
        assert_works(pool, forkfold_queue_end(queue, 0));
        forkfold_queue_close(queue);
    }
    forkfold_pool_close(pool);
}

/* A function that fails closes what it had opened, and its caller asks why. */
static void closing_leaves_the_message_of_the_pool(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 1, 1, 1);

    (void)state;
    assert_int_equal(forkfold_map(pool, NULL, NULL), FORKFOLD_E_INVALID);
    forkfold_queue_close(queue);
    assert_string_equal(forkfold_pool_message(pool), "a call needs options");
    forkfold_pool_close(pool);
}

static void pool_has_64_queues(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queues[FORKFOLD_QUEUES_MAX + 1];
    struct cast cast = {.count = 1};
    forkfold_batch batch;

    (void)state;
    for (unsigned i = 0; i < FORKFOLD_QUEUES_MAX; i++)
        queues[i] = open_queue(pool, 1, 4, 1);
    assert_refused(pool,
                   forkfold_queue_open(pool, &(forkfold_queue_options){.item_bytes = 1},
                                       &queues[FORKFOLD_QUEUES_MAX]),
                   FORKFOLD_E_LIMIT, "a pool has 64 queues at most");
    forkfold_queue_close(queues[17]);
    queues[17] = open_queue(pool, 1, 4, 1);
    for (uint64_t i = 0; i < FORKFOLD_QUEUES_MAX; i++)
        assert_works(pool, forkfold_queue_put(queues[i], &i, 1, 0));
    for (uint64_t i = 0; i < FORKFOLD_QUEUES_MAX; i++) {
        assert_int_equal(forkfold_queue_get(queues[i], 0, &batch, 0), 1);
        assert_int_equal(*(const uint64_t *)batch.items, i);
    }
    /* Of each it holds a batch now; and the last one works for workers, too. */
    cast.parts[0] = (struct part){.play = produce, .out = queues[63], .count = 100, .batch = 1};
    forkfold_call *call = begin_play(pool, &cast);

    assert_int_equal(consume_from(queues[63], 0), 0);
    end_play(pool, call);
    assert_tally(1, 100);
    for (unsigned i = 0; i < FORKFOLD_QUEUES_MAX; i++)
        forkfold_queue_close(queues[i]);
    forkfold_pool_close(pool);
}

/* ---- Host and workers ---------------------------------------------------- */

enum { COUNT = 3000 };

struct sizes {
    uint64_t batch, most, depth;
};

static const struct sizes sizes[] = {{1, 0, 1}, {1, 0, 2},   {1, 0, 0},  {7, 0, 1},
                                     {7, 3, 4}, {100, 0, 0}, {100, 1, 2}};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* With so many workers producing, and consuming; 0 is the host. */
static void run_between(forkfold_pool *pool, unsigned producers, unsigned consumers,
                        const struct sizes *of)
{
    forkfold_queue *queue = open_queue(pool, of->batch, of->depth, producers > 0 ? producers : 1);
    struct cast cast = {.count = producers + consumers};

    reset_tally(NULL);
    for (unsigned i = 0; i < producers; i++)
        cast.parts[i] = (struct part){
            .play = produce, .out = queue, .number = i, .count = COUNT, .batch = of->batch};
    for (unsigned i = producers; i < cast.count; i++)
        cast.parts[i] = (struct part){.play = consume, .in = queue, .most = of->most};
    forkfold_call *call = begin_play(pool, &cast);

    if (producers == 0)
        assert_works(pool, produce_to(queue, 0, COUNT, of->batch));
    if (consumers == 0)
        assert_works(pool, consume_from(queue, of->most));
    end_play(pool, call);
    assert_tally(producers > 0 ? producers : 1, COUNT);
    forkfold_queue_close(queue);
}

static void everything_comes_out_once_in_all_combinations(void **state)
{
    forkfold_pool *pool = open_pool(4);

    (void)state;
    for (unsigned producers = 0; producers <= 2; producers++)
        for (unsigned consumers = 0; consumers <= 2; consumers++)
            for (unsigned i = 0; i < SIZES && producers + consumers > 0; i++)
                run_between(pool, producers, consumers, &sizes[i]);
    forkfold_pool_close(pool);
}

static void batches_are_passed_on_in_a_chain(void **state)
{
    forkfold_pool *pool = open_pool(4);

    (void)state;
    for (unsigned i = 0; i < SIZES; i++) {
        forkfold_queue *first = open_queue(pool, sizes[i].batch, sizes[i].depth, 1);
        forkfold_queue *second = open_queue(pool, sizes[i].batch, sizes[i].depth, 2);
        struct cast cast = {
            .count = 3,
            .parts = {{.play = produce, .out = first, .count = COUNT, .batch = sizes[i].batch},
                      {.play = relay, .in = first, .out = second, .number = 0},
                      {.play = relay, .in = first, .out = second, .number = 1}}};
        forkfold_call *call;

        reset_tally(NULL);
        call = begin_play(pool, &cast);
        assert_works(pool, consume_from(second, sizes[i].most));
        end_play(pool, call);
        assert_tally(1, COUNT);
        forkfold_queue_close(first);
        forkfold_queue_close(second);
    }
    forkfold_pool_close(pool);
}

static void host_passes_on_between_workers(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_queue *first = open_queue(pool, 5, 2, 1);
    forkfold_queue *second = open_queue(pool, 5, 2, 1);
    struct cast cast = {.count = 2,
                        .parts = {{.play = produce, .out = first, .count = COUNT, .batch = 5},
                                  {.play = consume, .in = second}}};
    forkfold_call *call = begin_play(pool, &cast);

    (void)state;
    assert_works(pool, relay_between(first, second, 0));
    end_play(pool, call);
    assert_tally(1, COUNT);
    forkfold_queue_close(first);
    forkfold_queue_close(second);
    forkfold_pool_close(pool);
}

/* Sends each value back. */
static int echo(const struct part *part, const forkfold_item *item)
{
    forkfold_batch batch;
    uint64_t value;
    int code;

    (void)item;
    while ((code = forkfold_queue_get(part->in, 0, &batch, FOR_EVER)) == 1) {
        value = *(const uint64_t *)batch.items;
        code = forkfold_queue_put(part->out, &value, 1, FOR_EVER);
        if (code < 0)
            return code;
    }
    return code;
}

/* Everybody is asleep whenever something comes: a waking that is lost would end it. */
static void nobody_misses_what_comes_while_it_falls_asleep(void **state)
{
    enum { ROUNDS = SANITIZED ? 500 : 5000 };
    forkfold_pool *pool = open_pool(2);
    forkfold_queue *queues[3];
    struct cast cast = {.count = 2};
    forkfold_batch batch;
    forkfold_call *call;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        queues[i] = open_queue(pool, 1, 1, 1);
    for (unsigned i = 0; i < 2; i++)
        cast.parts[i] = (struct part){.play = echo, .in = queues[i], .out = queues[i + 1]};
    call = begin_play(pool, &cast);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        assert_works(pool, forkfold_queue_put(queues[0], &i, 1, FOR_EVER));
        assert_int_equal(forkfold_queue_get(queues[2], 0, &batch, FOR_EVER), 1);
        assert_int_equal(*(const uint64_t *)batch.items, i);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_works(pool, forkfold_queue_end(queues[i], 0));
    end_play(pool, call);
    for (unsigned i = 0; i < 3; i++)
        forkfold_queue_close(queues[i]);
    forkfold_pool_close(pool);
}

/* ---- Waiting ------------------------------------------------------------- */

/* What a worker hears, one code after the other. */
static int ask_in_vain(const struct part *part, const forkfold_item *item)
{
    static const uint64_t timeouts[] = {0, 1, 100000, 3 * FF_NS_PER_MS};
    uint64_t value = 1;
    forkfold_batch batch;
    forkfold_queue *queue;

    wait_at_gate(item);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t begin = ff_clock_ns();

        if (forkfold_queue_get(part->in, 0, &batch, timeouts[i]) != FORKFOLD_E_PENDING ||
            forkfold_queue_put(part->out, &value, 1, timeouts[i]) != FORKFOLD_E_PENDING ||
            ff_clock_ns() - begin < 2 * timeouts[i])
            return FORKFOLD_E_DAMAGED;
    }
    if (forkfold_queue_put(part->out, NULL, 1, 0) != FORKFOLD_E_INVALID ||
        forkfold_queue_get(part->in, 0, NULL, 0) != FORKFOLD_E_INVALID ||
        forkfold_queue_acknowledge(part->in) != FORKFOLD_E_INVALID ||
        forkfold_queue_end(part->in, 1) != FORKFOLD_E_INVALID)
        return FORKFOLD_E_INVALID;
    forkfold_queue_close(part->in);
    if (forkfold_queue_open(*(forkfold_pool *const *)(const void *)part->in,
                            &(forkfold_queue_options){.item_bytes = 1},
                            &queue) != FORKFOLD_E_FORKED)
        return FORKFOLD_E_FORKED;
    /* All of which the host has waited for. */
    return forkfold_queue_put(part->in, &value, 1, 0);
}

static void waiting_in_vain_ends_in_time(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *empty = open_queue(pool, 1, 1, 1);
    forkfold_queue *full = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1, .parts = {{.play = ask_in_vain, .in = empty, .out = full}}};
    forkfold_batch batch;
    forkfold_call *call;
    uint64_t value = 3;
    int code;

    (void)state;
    assert_works(pool, forkfold_queue_put(full, &value, 1, 0));
    call = begin_play(pool, &cast);
    assert_int_equal(forkfold_queue_put(full, &value, 1, 1000), FORKFOLD_E_PENDING);
    open_gate();
    while ((code = forkfold_queue_get(empty, 0, &batch, 100000)) == FORKFOLD_E_PENDING)
        ;
    assert_int_equal(code, 1);
    end_play(pool, call);
    forkfold_queue_close(empty);
    forkfold_queue_close(full);
    forkfold_pool_close(pool);
}

static int put_one(const struct part *part, const forkfold_item *item)
{
    uint64_t value = part->number;

    (void)item;
    return forkfold_queue_put(part->out, &value, 1, FOR_EVER);
}

static void host_that_waits_hears_that_the_last_call_has_finished(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 1, 4, 1);
    struct cast cast = {.count = 1, .parts = {{.play = put_one, .out = queue, .number = 4}}};
    forkfold_batch batch;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        forkfold_call *call = begin_play(pool, &cast);

        /* What was put before the end of the call comes first. */
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 1);
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), FORKFOLD_E_STALLED);
        end_play(pool, call);
    }
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* What a watch does while the host waits. */
struct closing {
    forkfold_pool *pool;
    forkfold_queue *closed;
    forkfold_queue *full; /* gets room, or NULL */
    forkfold_queue *next; /* opened in the place of the one that is closed, if it is to be */
    bool opens_next;
};

static int close_queue(int fd, void *context)
{
    struct closing *closing = context;
    forkfold_batch batch;
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
    forkfold_queue_close(closing->closed);
    if (closing->opens_next)
        closing->next = open_queue(closing->pool, 1, 1, 1);
    if (closing->full == NULL)
        return 0;
    assert_int_equal(forkfold_queue_get(closing->full, 0, &batch, 0), 1);
    assert_works(closing->pool, forkfold_queue_acknowledge(closing->full));
    return 0;
}

enum wait { TO_PUT, TO_GET, TO_PASS_ON, TO_PASS_ON_FROM_CLOSED, WAIT_COUNT };

static int wait_while_closed(enum wait wait, struct closing *closing, forkfold_queue *queue,
                             forkfold_queue *other)
{
    uint64_t value = 7;
    forkfold_batch batch;

    closing->closed = wait == TO_PASS_ON_FROM_CLOSED ? other : queue;
    closing->full = wait == TO_PASS_ON_FROM_CLOSED ? queue : NULL;
    if (wait == TO_GET)
        return forkfold_queue_get(queue, 0, &batch, FOR_EVER);
    assert_works(closing->pool, forkfold_queue_put(queue, &value, 1, 0));
    if (wait == TO_PUT)
        return forkfold_queue_put(queue, &value, 1, FOR_EVER);
    assert_works(closing->pool, forkfold_queue_put(other, &value, 1, 0));
    assert_int_equal(forkfold_queue_get(other, 0, &batch, 0), 1);
    return forkfold_queue_pass_on(other, queue, &value, 1, FOR_EVER);
}

/* It is open and empty, and has its room. */
static void assert_is_new(forkfold_pool *pool, forkfold_queue *queue)
{
    uint64_t value = 9;
    forkfold_batch batch;

    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), FORKFOLD_E_PENDING);
    assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
    assert_int_equal(*(const uint64_t *)batch.items, 9);
    forkfold_queue_close(queue);
}

static void watch_may_close_the_queue_that_the_host_waits_for(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *never = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1, .parts = {{.play = consume, .in = never}}};
    struct closing closing = {.pool = pool};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(forkfold_pool_watch(pool, ends[0], close_queue, &closing), 0);
    forkfold_call *call = begin_play(pool, &cast);

    for (int i = 0; i < 2 * WAIT_COUNT; i++) {
        forkfold_queue *queue = open_queue(pool, 1, 1, 1);
        forkfold_queue *other = open_queue(pool, 1, 1, 1);

        closing.opens_next = i % 2 != 0;
        assert_int_equal(write(ends[1], "x", 1), 1);
        assert_int_equal(wait_while_closed((enum wait)(i / 2), &closing, queue, other),
                         FORKFOLD_E_INVALID);
        assert_string_equal(forkfold_pool_message(pool), "the queue has been closed");
        if (closing.opens_next)
            assert_is_new(pool, closing.next);
        if (closing.closed == other)
            assert_is_new(pool, queue);
        else
            forkfold_queue_close(other);
    }
    assert_works(pool, forkfold_queue_end(never, 0));
    end_play(pool, call);
    forkfold_queue_close(never);
    forkfold_pool_close(pool);
    close(ends[0]);
    close(ends[1]);
}

static void deadline_of_the_call_ends_the_wait_of_the_host(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 1, 1, 1);
    forkfold_queue *never = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1, .parts = {{.play = consume, .in = never}}};
    forkfold_call_options options = play_options(&cast);
    forkfold_call *call = NULL;
    forkfold_batch batch;

    (void)state;
    options.deadline_ns = 20 * FF_NS_PER_MS;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), FORKFOLD_E_STALLED);
    assert_int_equal(forkfold_call_wait(call, FOR_EVER), FORKFOLD_E_DEADLINE);
    forkfold_call_close(call);
    forkfold_queue_close(queue);
    forkfold_queue_close(never);
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

static void timeout_of_the_item_ends_the_wait_of_a_worker(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *never = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1, .parts = {{.play = consume, .in = never}}};
    forkfold_call_options options = play_options(&cast);
    forkfold_call *call = NULL;

    (void)state;
    options.timeout_ns = 20 * FF_NS_PER_MS;
    options.retries_plus_one = 2;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 1);
    assert_int_equal(forkfold_call_failure(call, 0)->reason, FORKFOLD_REASON_TIMEOUT);
    forkfold_call_close(call);
    forkfold_queue_close(never);
    forkfold_pool_close(pool);
}

/* ---- Ends ---------------------------------------------------------------- */

static int end_twice(const struct part *part, const forkfold_item *item)
{
    uint64_t value = 1;
    int code = forkfold_queue_end(part->out, part->number);

    (void)item;
    if (code == 0)
        code = forkfold_queue_end(part->out, part->number);
    reach();
    while (code == 0) /* until the last one has said so, too */
        code = forkfold_queue_put(part->out, &value, 1, FOR_EVER);
    return code == FORKFOLD_E_ENDED ? 0 : FORKFOLD_E_DAMAGED;
}

static void queue_has_ended_when_all_producers_have(void **state)
{
    forkfold_pool *pool = open_pool(3);
    forkfold_queue *queue = open_queue(pool, 1, 2, 4);
    struct cast cast = {.count = 3};
    forkfold_batch batch;
    forkfold_call *call;
    int code;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        cast.parts[i] = (struct part){.play = end_twice, .out = queue, .number = i};
    call = begin_play(pool, &cast);
    await_reached(3);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), 1);
    assert_works(pool, forkfold_queue_end(queue, 3));
    while ((code = forkfold_queue_get(queue, 0, &batch, FOR_EVER)) == 1)
        ;
    assert_int_equal(code, 0);
    end_play(pool, call);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* The end wakes those who wait for something, and those who wait for room. */
static void end_wakes_everybody(void **state)
{
    forkfold_pool *pool = open_pool(4);
    forkfold_queue *empty = open_queue(pool, 1, 1, 1);
    forkfold_queue *full = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 4,
                        .parts = {{.play = consume, .in = empty},
                                  {.play = consume, .in = empty},
                                  {.play = end_twice, .out = full},
                                  {.play = end_twice, .out = full}}};
    uint64_t value = 1;
    forkfold_call *call;

    (void)state;
    assert_works(pool, forkfold_queue_put(full, &value, 1, 0));
    call = begin_play(pool, &cast);
    await_reached(2);
    assert_works(pool, forkfold_queue_end(empty, 0));
    end_play(pool, call);
    forkfold_queue_close(empty);
    forkfold_queue_close(full);
    forkfold_pool_close(pool);
}

/* ---- Batches that are held ----------------------------------------------- */

/* Takes a batch, and acknowledges two of its items at most. */
static int take_and_return(const struct part *part, const forkfold_item *item)
{
    forkfold_batch batch;
    int code = forkfold_queue_get(part->in, part->most, &batch, FOR_EVER);

    (void)item;
    if (code == 1 && part->most == 2)
        code = forkfold_queue_acknowledge(part->in) == 0;
    return code == 1 ? 0 : FORKFOLD_E_DAMAGED;
}

static void function_that_returns_gives_back_what_it_holds(void **state)
{
    static const uint64_t values[3] = {7, 8, 9};
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 3, 1, 1);
    forkfold_batch batch;

    (void)state;
    for (uint64_t most = 0; most <= 2; most++)
        for (unsigned times = 1; times < 4; times++) {
            struct cast cast = {.count = most == 2 ? 1 : times};

            for (unsigned i = 0; i < cast.count; i++)
                cast.parts[i] = (struct part){.play = take_and_return, .in = queue, .most = most};
            assert_works(pool, forkfold_queue_put(queue, values, 3, 0));
            end_play(pool, begin_play(pool, &cast));
            assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
            assert_int_equal(batch.returns, cast.count);
            assert_int_equal(batch.count, most == 2 ? 1 : 3);
            assert_int_equal(*(const uint64_t *)batch.items, most == 2 ? 9 : 7);
            assert_works(pool, forkfold_queue_acknowledge(queue));
        }
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* A worker that waits is woken by what the host gives back. */
static void batch_that_is_given_back_wakes_who_waits(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_queue *queue = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 2,
                        .parts = {{.play = consume, .in = queue}, {.play = consume, .in = queue}}};

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        uint64_t value = value_of(0, round);
        forkfold_batch batch;
        forkfold_call *call;

        assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
        assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
        assert_works(pool, forkfold_queue_end(queue, 0));
        call = begin_play(pool, &cast);
        assert_works(pool, forkfold_queue_give_back(queue));
        end_play(pool, call);
        forkfold_queue_close(queue);
        queue = open_queue(pool, 1, 1, 1);
    }
    assert_tally(1, 100);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* ---- Calls and pools that end -------------------------------------------- */

static int reach_and_consume(const struct part *part, const forkfold_item *item)
{
    uint64_t value = 5;
    forkfold_batch batch;

    (void)item;
    if (forkfold_queue_get(part->in, 0, &batch, FOR_EVER) != 1)
        return FORKFOLD_E_DAMAGED;
    reach();
    return forkfold_queue_put(part->out, &value, 1, FOR_EVER);
}

static void begin_to_wait(forkfold_pool *pool, forkfold_queue *queues[2], forkfold_call **call)
{
    struct cast cast = {.count = 2};

    for (unsigned i = 0; i < 2; i++)
        queues[i] = open_queue(pool, 1, 2, 1);
    for (uint64_t i = 0; i < 2; i++) {
        cast.parts[i] = (struct part){.play = reach_and_consume, .in = queues[0], .out = queues[1]};
        assert_works(pool, forkfold_queue_put(queues[0], &i, 1, 0));
        assert_works(pool, forkfold_queue_put(queues[1], &i, 1, 0));
    }
    *call = begin_play(pool, &cast);
    await_reached(2);
}

static void cancelled_call_leaves_what_its_workers_held(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_queue *queues[2];
    forkfold_batch batch;
    forkfold_call *call;
    uint64_t sum = 0;

    (void)state;
    begin_to_wait(pool, queues, &call);
    forkfold_call_cancel(call);
    assert_int_equal(forkfold_call_wait(call, FOR_EVER), FORKFOLD_E_CANCELLED);
    forkfold_call_close(call);
    /* Whether its workers are still being ended or not, what they held comes back. */
    forkfold_queue_close(queues[1]);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(forkfold_queue_get(queues[0], 0, &batch, 0), 1);
        assert_int_equal(batch.returns, 1);
        sum += *(const uint64_t *)batch.items;
    }
    assert_int_equal(sum, 1);
    assert_pool_is_well(pool);
    forkfold_queue_close(queues[0]);
    forkfold_pool_close(pool);
}

static void pool_is_closed_while_workers_wait_in_queues(void **state)
{
    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        forkfold_pool *pool = open_pool(2);
        forkfold_queue *queues[2];
        forkfold_call *call;

        reset_tally(NULL);
        begin_to_wait(pool, queues, &call);
        if (closes) {
            forkfold_call_close(call);
            forkfold_queue_close(queues[0]);
            forkfold_queue_close(queues[1]);
        }
        forkfold_pool_close(pool);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

/* ---- Other processes ----------------------------------------------------- */

static int use_in_child(forkfold_pool *pool, forkfold_queue *queue)
{
    uint64_t value = 1;
    forkfold_batch batch;
    forkfold_queue *another;

    if (forkfold_queue_put(queue, &value, 1, 0) != FORKFOLD_E_FORKED ||
        forkfold_queue_get(queue, 0, &batch, FOR_EVER) != FORKFOLD_E_FORKED ||
        forkfold_queue_end(queue, 0) != FORKFOLD_E_FORKED ||
        forkfold_queue_acknowledge(queue) != FORKFOLD_E_FORKED ||
        forkfold_queue_give_back(queue) != FORKFOLD_E_FORKED ||
        forkfold_queue_pass_on(queue, queue, &value, 1, 0) != FORKFOLD_E_FORKED ||
        forkfold_queue_open(pool, &(forkfold_queue_options){.item_bytes = 1}, &another) !=
            FORKFOLD_E_FORKED)
        return 1;
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
    return 0;
}

static void forked_child_may_only_part_from_queues(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_queue *queue = open_queue(pool, 1, 2, 1);
    forkfold_batch batch;
    uint64_t value = 8;
    int status;

    (void)state;
    assert_works(pool, forkfold_queue_put(queue, &value, 1, 0));
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);

    pid_t child = fork();

    if (child == 0)
        _exit(use_in_child(pool, queue));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* Here it is as it was. */
    assert_works(pool, forkfold_queue_give_back(queue));
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, 0), 1);
    assert_int_equal(*(const uint64_t *)batch.items, 8);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* What a worker is handed that cannot use it; also together with one that it can use. */
static int try_all(const struct part *part, const forkfold_item *item)
{
    forkfold_queue *queue = part->out;
    forkfold_batch batch;
    uint64_t value = 1;

    (void)item;
    if (forkfold_queue_put(queue, &value, 1, FOR_EVER) != FORKFOLD_E_FORKED ||
        forkfold_queue_get(queue, 0, &batch, FOR_EVER) != FORKFOLD_E_FORKED ||
        forkfold_queue_end(queue, 0) != FORKFOLD_E_FORKED ||
        forkfold_queue_acknowledge(queue) != FORKFOLD_E_FORKED ||
        forkfold_queue_give_back(queue) != FORKFOLD_E_FORKED ||
        forkfold_queue_pass_on(queue, part->in, &value, 1, FOR_EVER) != FORKFOLD_E_FORKED)
        return FORKFOLD_E_DAMAGED;
    if (forkfold_queue_get(part->in, 0, &batch, FOR_EVER) != 1 ||
        forkfold_queue_pass_on(part->in, queue, &value, 1, FOR_EVER) != FORKFOLD_E_INVALID)
        return FORKFOLD_E_DAMAGED;
    return forkfold_queue_acknowledge(part->in);
}

/* Their processes do not have the handle at all. */
static void workers_of_pools_that_were_there_before_are_refused(void **state)
{
    forkfold_pool *older = open_pool(1);
    forkfold_queue *theirs = open_queue(older, 1, 2, 1);
    forkfold_pool *owner = open_pool(1);
    forkfold_queue *queue = open_queue(owner, 1, 2, 1);
    struct cast cast = {.count = 1, .parts = {{.play = try_all, .in = theirs, .out = queue}}};
    uint64_t value = 1;

    (void)state;
    assert_works(older, forkfold_queue_put(theirs, &value, 1, 0));
    end_play(older, begin_play(older, &cast));
    assert_works(owner, forkfold_queue_put(queue, &value, 1, 0));
    forkfold_queue_close(queue);
    forkfold_queue_close(theirs);
    forkfold_pool_close(owner);
    forkfold_pool_close(older);
}

static int try_to_put(const struct part *part, const forkfold_item *item)
{
    uint64_t value = 1;

    (void)item;
    return forkfold_queue_put(part->out, &value, 1, FOR_EVER) == FORKFOLD_E_FORKED
               ? 0
               : FORKFOLD_E_DAMAGED;
}

/* The worker writes to where the handle lies, as a wild write might. */
static int scribble_on_handle(const struct part *part, const forkfold_item *item)
{
    (void)item;
    *(volatile char *)part->out = 1;
    return 0;
}

static void worker_of_another_pool_cannot_use_or_harm_a_queue(void **state)
{
    forkfold_pool *owner = open_pool(1);
    forkfold_pool *stranger = open_pool(1);
    forkfold_queue *queue = open_queue(owner, 1, 2, 1);
    struct cast cast = {.count = 1, .parts = {{.play = try_to_put, .out = queue}}};
    forkfold_pool *pools[] = {stranger, owner};
    uint64_t value = 1;

    (void)state;
    end_play(stranger, begin_play(stranger, &cast));
    cast.parts[0].play = scribble_on_handle;
    for (unsigned i = 0; i < 2; i++) {
        forkfold_call_options options = play_options(&cast);
        forkfold_call *call = NULL;

        options.retries_plus_one = 1;
        assert_works(pools[i], forkfold_map(pools[i], &options, &call));
        assert_int_equal(forkfold_call_failure_count(call), 1);
        assert_int_equal(forkfold_call_failure(call, 0)->signal, SIGSEGV);
        forkfold_call_close(call);
    }
    assert_works(owner, forkfold_queue_put(queue, &value, 1, 0));
    forkfold_queue_close(queue);
    forkfold_pool_close(stranger);
    forkfold_pool_close(owner);
}

/* ---- Event loops --------------------------------------------------------- */

/* The host waits in a loop of its own, and gets without waiting. */
static void event_loop_hears_of_what_comes(void **state)
{
    forkfold_pool *pool = open_pool(1);
    struct pollfd loop = {.fd = forkfold_pool_fd(pool), .events = POLLIN};
    forkfold_queue *queue = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1,
                        .parts = {{.play = produce, .out = queue, .count = 1000, .batch = 1}}};
    forkfold_call *call = begin_play(pool, &cast);
    forkfold_batch batch;
    int code;

    (void)state;
    while ((code = forkfold_queue_get(queue, 0, &batch, 0)) != 0) {
        if (code == 1) {
            assert_true(count_values(&batch));
            continue;
        }
        assert_int_equal(code, FORKFOLD_E_PENDING);
        assert_int_equal(poll(&loop, 1, -1), 1);
        assert_works(pool, forkfold_pool_dispatch(pool));
    }
    end_play(pool, call);
    assert_tally(1, 1000);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

static void count_done(forkfold_call *call, void *user)
{
    (void)call;
    ++*(unsigned *)user;
}

static void event_loop_hears_of_calls_that_finish_while_it_waits_in_a_queue(void **state)
{
    forkfold_pool *pool = open_pool(2);
    struct pollfd loop = {.fd = forkfold_pool_fd(pool), .events = POLLIN};
    forkfold_queue *queue = open_queue(pool, 1, 1, 1);
    struct cast cast = {.count = 1,
                        .parts = {{.play = produce, .out = queue, .count = 100, .batch = 1}}};
    forkfold_call_options options = play_options(&cast);
    forkfold_call *call = NULL;
    unsigned done = 0;

    (void)state;
    options.on_done = count_done;
    options.user = &done;
    assert_works(pool, forkfold_map_async(pool, &options, &call));
    assert_works(pool, consume_from(queue, 0));
    while (done == 0) {
        assert_int_equal(poll(&loop, 1, -1), 1);
        assert_works(pool, forkfold_pool_dispatch(pool));
    }
    assert_int_equal(done, 1);
    forkfold_call_close(call);
    forkfold_queue_close(queue);
    forkfold_pool_close(pool);
}

/* ---- Damage -------------------------------------------------------------- */

static int expect_damage(const struct part *part, const forkfold_item *item)
{
    (void)item;
    return consume_from(part->in, 0) == FORKFOLD_E_DAMAGED ? 0 : FORKFOLD_E_INVALID;
}

static int smear(const struct part *part, const forkfold_item *item)
{
    uint64_t value = 1;

    (void)item;
    ff_own_set(&part->out->ring->words->tail, 1000);
    return forkfold_queue_put(part->out, &value, 1, FOR_EVER) == FORKFOLD_E_DAMAGED
               ? 0
               : FORKFOLD_E_INVALID;
}

static void everybody_hears_of_damage(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_queue *queue = open_queue(pool, 1, 4, 1);
    struct cast cast = {.count = 1, .parts = {{.play = expect_damage, .in = queue}}};
    forkfold_call *sleeping = begin_play(pool, &cast);
    forkfold_call *smearing;
    forkfold_batch batch;

    (void)state;
    cast.parts[0] = (struct part){.play = smear, .out = queue};
    smearing = begin_play(pool, &cast);
    assert_int_equal(forkfold_queue_get(queue, 0, &batch, FOR_EVER), FORKFOLD_E_DAMAGED);
    assert_string_equal(forkfold_pool_message(pool), "a worker damaged the queue");
    end_play(pool, smearing);
    end_play(pool, sleeping);
    forkfold_queue_close(queue);
    run_between(pool, 1, 1, &sizes[0]);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TALLY(options_that_make_no_queue_are_refused),
        WITH_TALLY(arguments_that_make_no_sense_are_refused),
        WITH_TALLY(host_alone_is_told_what_would_wait_for_ever),
        WITH_TALLY(batch_is_taken_in_parts),
        WITH_TALLY(depth_is_what_was_asked_for_or_fits),
        WITH_TALLY(batches_of_any_size_come_out_as_they_went_in),
        WITH_TALLY(closed_queue_leaves_nothing_to_the_next_one),
        WITH_TALLY(closing_leaves_the_message_of_the_pool),
        WITH_TALLY(pool_has_64_queues),
        WITH_TALLY(everything_comes_out_once_in_all_combinations),
        WITH_TALLY(batches_are_passed_on_in_a_chain),
        WITH_TALLY(host_passes_on_between_workers),
        WITH_TALLY(nobody_misses_what_comes_while_it_falls_asleep),
        WITH_TALLY(waiting_in_vain_ends_in_time),
        WITH_TALLY(host_that_waits_hears_that_the_last_call_has_finished),
        WITH_TALLY(watch_may_close_the_queue_that_the_host_waits_for),
        WITH_TALLY(deadline_of_the_call_ends_the_wait_of_the_host),
        WITH_TALLY(timeout_of_the_item_ends_the_wait_of_a_worker),
        WITH_TALLY(queue_has_ended_when_all_producers_have),
        WITH_TALLY(end_wakes_everybody),
        WITH_TALLY(function_that_returns_gives_back_what_it_holds),
        WITH_TALLY(batch_that_is_given_back_wakes_who_waits),
        WITH_TALLY(cancelled_call_leaves_what_its_workers_held),
        WITH_TALLY(pool_is_closed_while_workers_wait_in_queues),
        WITH_TALLY(forked_child_may_only_part_from_queues),
        WITH_TALLY(workers_of_pools_that_were_there_before_are_refused),
        WITH_SCRIPT(worker_of_another_pool_cannot_use_or_harm_a_queue),
        WITH_TALLY(event_loop_hears_of_what_comes),
        WITH_TALLY(event_loop_hears_of_calls_that_finish_while_it_waits_in_a_queue),
        WITH_TALLY(everybody_hears_of_damage),
    };

    return cmocka_run_group_tests(tests, make_tally, NULL);
}
