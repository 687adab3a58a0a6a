/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: what is refused, what comes out, and how much is on its way at once. */
#include "pipeline_script.h"

#include <limits.h>

#include "pool/call.h"

/* ---- Refusals ------------------------------------------------------------ */

static int no_source(void *user, const void **batch, size_t *bytes)
{
    (void)user;
    (void)batch;
    (void)bytes;
    return 0;
}

static void invalid_options_are_refused_with_a_sentence(void **state)
{
    static const uint64_t numbers[4] = {1, 2, 3, 4};
    const forkfold_pipeline_options good = {.stages = {{.function = run_only}},
                                            .stage_count = 1,
                                            .items = numbers,
                                            .count = 4,
                                            .item_bytes = 8};
    struct {
        forkfold_pipeline_options options;
        const char *sentence;
    } bad[16];
    unsigned count = 0;
    forkfold_pool *pool = open_pool(1);
    forkfold_pipeline *pipeline = NULL;

    (void)state;
#define BAD(change, text)                                                                          \
    do {                                                                                           \
        bad[count].options = good;                                                                 \
        bad[count].options.change;                                                                 \
        bad[count++].sentence = text;                                                              \
    } while (0)
    BAD(size = 8, "forkfold_pipeline_options.size is 8, this library knows");
    BAD(stage_count = 0, "a pipeline has from 1 to 16 stages, not 0");
    BAD(stage_count = FORKFOLD_STAGES_MAX + 1, "a pipeline has from 1 to 16 stages, not 17");
    BAD(stage_count = 2, "stage 1 of the pipeline has no function");
    BAD(stages[0].function = NULL, "stage 0 of the pipeline has no function");
    BAD(stages[0].context_bytes = 3, "the context has 3 bytes and no address");
    BAD(items = NULL, "the items of the pipeline have no address or no size");
    BAD(item_bytes = 0, "the items of the pipeline have no address or no size");
    BAD(item_bytes = SIZE_MAX / 2, "the items of the pipeline are larger than any memory");
    BAD(count = UINT64_MAX, "the items of the pipeline are larger than any memory");
    BAD(source = no_source, "the input of a pipeline is items or a source, not both");
    BAD(depth = UINT_MAX, "batches deep, not 4294967295");
#undef BAD
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(forkfold_pipeline_open(pool, &bad[i].options, &pipeline),
                         FORKFOLD_E_INVALID);
        assert_non_null(strstr(forkfold_pool_message(pool), bad[i].sentence));
    }
    assert_int_equal(forkfold_pipeline_open(pool, NULL, &pipeline), FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool),
                        "a pipeline needs options, and a place for its handle");
    assert_int_equal(forkfold_pipeline_open(pool, &good, NULL), FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool),
                        "a pipeline needs options, and a place for its handle");
    assert_null(pipeline);
    assert_int_equal(script->runs, 0);
    assert_works(pool, forkfold_pipeline_open(pool, &good, &pipeline));
    assert_int_equal(forkfold_pipeline_next(pipeline, NULL), FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool), "a result needs a place to go");
    assert_null(forkfold_pipeline_failure(pipeline, 0, 0));
    assert_null(forkfold_pipeline_failure(pipeline, 1, 0));
    assert_int_equal(forkfold_pipeline_failure_count(pipeline, FORKFOLD_STAGES_MAX), 0);
    forkfold_pipeline_close(pipeline);
    forkfold_pipeline_close(NULL);
    forkfold_pool_close(pool);
}

/* ---- What comes out ------------------------------------------------------ */

static void every_batch_comes_out_once_whatever_the_sizes(void **state)
{
    static const uint64_t counts[] = {0, 1, 2, 249, 250, 251, 1000, 3333};
    static const uint64_t sizes[] = {0, 1, 7, 100, 5000, UINT64_MAX};
    static const unsigned depths[] = {1, 2, 0, 3000};
    uint64_t *numbers = make_numbers(3333);
    forkfold_pool *pools[] = {open_pool(1), open_pool(3)};
    struct rule rules[FORKFOLD_STAGES_MAX];
    unsigned step = SANITIZED ? 7 : 1;
    unsigned number = 0;

    (void)state;
    for (unsigned c = 0; c < 8; c++)
        for (unsigned s = 0; s < 6; s++)
            for (unsigned d = 0; d < 4; d++)
                for (int unordered = 0; unordered < 2; unordered++, number++) {
                    forkfold_pipeline_options options =
                        rule_options(rules, "sss", numbers, counts[c]);

                    if (number % step != 0)
                        continue;
                    options.batch_items = sizes[s];
                    options.depth = depths[d];
                    options.unordered = unordered;
                    options.stages[number % 3].replicas = number % 2;
                    assert_int_equal(run_rules(pools[number / 2 % 2], &options), 0);
                }
    forkfold_pool_close(pools[0]);
    forkfold_pool_close(pools[1]);
    free(numbers);
}

static void pipelines_have_from_one_to_sixteen_stages(void **state)
{
    uint64_t *numbers = make_numbers(2000);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];

    (void)state;
    for (unsigned count = 1; count <= FORKFOLD_STAGES_MAX; count++)
        for (unsigned depth = 1; depth <= 5; depth += 2) {
            forkfold_pipeline_options options =
                rule_options(rules, &"ssssssssssssssss"[16 - count], numbers, 2000);

            options.batch_items = 40;
            options.depth = depth;
            options.unordered = count % 2;
            assert_int_equal(run_rules(pool, &options), 0);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void stages_make_less_or_more_or_nothing_of_a_batch(void **state)
{
    static const char *const shapes[] = {"o",   "t",   "n",   "ot",   "to",   "ttto",
                                         "ooo", "sns", "ton", "tsot", "notts"};
    uint64_t *numbers = make_numbers(3000);
    forkfold_pool *pool = open_pool(2);
    struct rule rules[FORKFOLD_STAGES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (uint64_t batch = 1; batch < 3000; batch *= 13) {
            forkfold_pipeline_options options = rule_options(rules, shapes[i], numbers, 3000);

            options.batch_items = batch;
            options.unordered = i % 2;
            assert_int_equal(run_rules(pool, &options), 0);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void recycled_workers_change_nothing(void **state)
{
    uint64_t *numbers = make_numbers(5000);
    forkfold_pool *pool =
        open_pool_with(&(forkfold_pool_options){.workers = 2, .tasks_per_worker = 7});
    struct rule rules[FORKFOLD_STAGES_MAX];
    forkfold_pipeline_options options = rule_options(rules, "stos", numbers, 5000);

    (void)state;
    options.batch_items = 30;
    assert_int_equal(run_rules(pool, &options), 0);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Sources ------------------------------------------------------------- */

/* Gives batches of these sizes, all from the same memory. */
struct feed {
    unsigned char *buffer;
    const size_t *sizes;
    uint64_t count;
    uint64_t calls;
    int last; /* what it returns behind the last */
};

static int give_bytes(void *user, const void **batch, size_t *bytes)
{
    struct feed *feed = user;
    uint64_t number = feed->calls++;

    assert_true(number <= feed->count);
    if (number == feed->count)
        return feed->last;
    for (size_t i = 0; i < feed->sizes[number]; i++)
        feed->buffer[i] = byte_at(number, i);
    *batch = feed->sizes[number] > 0 ? feed->buffer : NULL;
    *bytes = feed->sizes[number];
    return 1;
}

static int turn_over(const forkfold_item *item)
{
    const unsigned char *in = item->arguments[0];
    unsigned char *out = forkfold_item_reserve(item, item->argument_bytes[0]);

    if (out == NULL)
        return forkfold_item_fail(item, "no room");
    for (size_t i = 0; i < item->argument_bytes[0]; i++)
        out[i] = (unsigned char)~in[i];
    return 0;
}

static const size_t mixed_sizes[] = {0,  1, 300000, 16, 0,      0,     5000, 70000, 299999, 1,
                                     12, 0, 100,    63, 123456, 65536, 4096, 4095,  0};
enum { MIXED_SIZES = sizeof(mixed_sizes) / sizeof(mixed_sizes[0]) };

static forkfold_pipeline_options feed_options(struct feed *feed)
{
    *feed = (struct feed){
        .buffer = malloc(300000), .sizes = mixed_sizes, .count = MIXED_SIZES, .last = 0};
    assert_non_null(feed->buffer);
    return (forkfold_pipeline_options){.stages = {{.function = turn_over}, {.function = turn_over}},
                                       .stage_count = 2,
                                       .source = give_bytes,
                                       .user = feed};
}

static void source_gives_batches_of_any_size(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned depth = 0; depth < 30; depth = depth * 2 + 1)
        for (int unordered = 0; unordered < 2; unordered++) {
            struct feed feed;
            forkfold_pipeline_options options = feed_options(&feed);
            forkfold_pipeline *pipeline = NULL;
            forkfold_result result;
            uint64_t sum = 0;

            options.depth = depth;
            options.unordered = unordered;
            assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
            for (uint64_t i = 0; i < MIXED_SIZES; i++) {
                assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
                assert_true(unordered || result.index == i);
                assert_bytes(&result, mixed_sizes[result.index]);
                sum += result.index;
            }
            assert_int_equal(forkfold_pipeline_next(pipeline, &result), 0);
            assert_int_equal(sum, (uint64_t)MIXED_SIZES * (MIXED_SIZES - 1) / 2);
            /* The end is asked for once. */
            assert_int_equal(feed.calls, MIXED_SIZES + 1);
            forkfold_pipeline_close(pipeline);
            free(feed.buffer);
        }
    forkfold_pool_close(pool);
}

static void source_that_fails_ends_the_pipeline(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned depth = 1; depth < 40; depth = depth * 3 + 1) {
        struct feed feed;
        forkfold_pipeline_options options = feed_options(&feed);
        forkfold_pipeline *pipeline = NULL;
        forkfold_result result;
        int code;

        feed.last = -7;
        options.depth = depth;
        code = forkfold_pipeline_open(pool, &options, &pipeline);
        for (unsigned i = 0; code >= 0 && i < 1000; i++)
            code = forkfold_pipeline_next(pipeline, &result);
        assert_int_equal(code, FORKFOLD_E_CANCELLED);
        assert_string_equal(forkfold_pool_message(pool), "the source of the pipeline returned -7");
        /* The begin fails when the first window goes beyond the last batch. */
        assert_int_equal(pipeline == NULL, depth > MIXED_SIZES);
        assert_int_equal(feed.calls, MIXED_SIZES + 1);
        forkfold_pipeline_close(pipeline);
        free(feed.buffer);
    }
    assert_pool_is_well(pool);
    forkfold_pool_close(pool);
}

/* Bytes that a source has ready, and whether there will be more. */
struct stock {
    char next;
    unsigned ready;
    bool is_closed;
};

static int give_what_is_ready(void *user, const void **batch, size_t *bytes)
{
    struct stock *stock = user;

    if (stock->ready == 0)
        return stock->is_closed ? 0 : FORKFOLD_E_PENDING;
    stock->ready--;
    stock->next++;
    *batch = &stock->next;
    *bytes = 1;
    return 1;
}

static void assert_next_byte(forkfold_pipeline *pipeline, char byte)
{
    forkfold_result result;

    assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
    assert_int_equal(result.bytes, 1);
    assert_int_equal(*(const char *)result.data, byte);
}

static void source_that_has_none_yet_is_asked_again(void **state)
{
    forkfold_pool *pool = open_pool(2);
    struct stock stock = {0};
    forkfold_pipeline_options options = {
        .stages = {{.function = turn_over}, {.function = turn_over}},
        .stage_count = 2,
        .source = give_what_is_ready,
        .user = &stock,
        .depth = 4};
    forkfold_pipeline *pipeline = NULL;
    forkfold_result result;
    int code;

    (void)state;
    assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), FORKFOLD_E_PENDING);
    for (char byte = 0; byte < 30; byte = (char)(byte + 6)) {
        stock.ready = 6;
        for (char more = 1; more <= 6; more++)
            assert_next_byte(pipeline, (char)(byte + more));
        assert_int_equal(forkfold_pipeline_next(pipeline, &result), FORKFOLD_E_PENDING);
    }
    stock.ready = 1;
    do
        code = forkfold_pipeline_next_within(pipeline, &result, 0);
    while (code == FORKFOLD_E_PENDING);
    assert_int_equal(code, 1);
    stock.is_closed = true;
    assert_int_equal(forkfold_pipeline_next_within(pipeline, &result, 1000), 0);
    assert_int_equal(forkfold_pipeline_next(pipeline, &result), 0);
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
}

static int give_nothing_of_some_size(void *user, const void **batch, size_t *bytes)
{
    (void)user;
    *batch = NULL;
    *bytes = 8;
    return 1;
}

static void source_that_gives_no_address_ends_the_pipeline(void **state)
{
    forkfold_pool *pool = open_pool(1);
    forkfold_pipeline *pipeline = NULL;

    (void)state;
    assert_int_equal(
        forkfold_pipeline_open(pool,
                               &(forkfold_pipeline_options){.stages = {{.function = turn_over}},
                                                            .stage_count = 1,
                                                            .source = give_nothing_of_some_size},
                               &pipeline),
        FORKFOLD_E_INVALID);
    assert_string_equal(forkfold_pool_message(pool),
                        "the source of the pipeline gave 8 bytes and no address");
    forkfold_pool_close(pool);
}

/* ---- Without a copy ------------------------------------------------------ */

static int tell_address(const forkfold_item *item)
{
    const void **address = forkfold_item_reserve(item, sizeof(*address));

    *address = item->arguments[0];
    return 0;
}

static void assert_addresses(forkfold_pool *pool, const forkfold_pipeline_options *options,
                             const char *base, size_t batch_bytes)
{
    forkfold_pipeline *pipeline = NULL;
    forkfold_result result;
    uint64_t read = 0;

    assert_works(pool, forkfold_pipeline_open(pool, options, &pipeline));
    while (forkfold_pipeline_next(pipeline, &result) == 1) {
        assert_ptr_equal(*(const char *const *)result.data, base + result.index * batch_bytes);
        read++;
    }
    assert_int_equal(read, 10);
    forkfold_pipeline_close(pipeline);
}

struct cutter {
    const char *data;
    unsigned number;
};

static int cut_hundred(void *user, const void **batch, size_t *bytes)
{
    struct cutter *cutter = user;

    if (cutter->number == 10)
        return 0;
    *batch = cutter->data + 100 * (size_t)cutter->number++;
    *bytes = 100;
    return 1;
}

static void batches_in_a_shared_array_are_read_where_they_lie(void **state)
{
    forkfold_pool *pool = open_pool(2);
    forkfold_shared *shared = NULL;
    struct cutter cutter = {.number = 0};
    forkfold_pipeline_options options = {.stages = {{.function = tell_address}}, .stage_count = 1};

    (void)state;
    assert_works(pool, forkfold_shared_open(pool, FORKFOLD_RAW, 1000, &shared));
    options.items = cutter.data = forkfold_shared_data(shared);
    options.count = 1000;
    options.item_bytes = 1;
    options.batch_items = 100;
    assert_addresses(pool, &options, cutter.data, 100);
    options.items = NULL;
    options.source = cut_hundred;
    options.user = &cutter;
    assert_addresses(pool, &options, cutter.data, 100);
    forkfold_shared_close(shared);
    forkfold_pool_close(pool);
}

/* ---- Replicas ------------------------------------------------------------ */

/* Counts who is in it, and stays for a while, so that others can come. */
static int count_inside(const forkfold_item *item)
{
    unsigned inside = ++watch->inside;
    unsigned most = watch->most_inside;

    (void)item;
    while (inside > most && !atomic_compare_exchange_weak(&watch->most_inside, &most, inside))
        ;
    for (unsigned i = 0; i < 20; i++)
        sched_yield();
    watch->inside--;
    return 0;
}

static void stage_is_in_as_many_workers_as_it_has_replicas(void **state)
{
    uint64_t *numbers = make_numbers(300);
    forkfold_pool *pool = open_pool(4);

    (void)state;
    for (unsigned replicas = 1; replicas <= 3; replicas++)
        for (unsigned stage = 0; stage < 3; stage++) {
            struct rule rules[FORKFOLD_STAGES_MAX];
            forkfold_pipeline_options options = rule_options(rules, "sss", numbers, 300);
            forkfold_pipeline *pipeline = NULL;
            forkfold_result result;

            reset_pages(NULL);
            options.batch_items = 1;
            options.unordered = 1;
            options.stages[stage] =
                (forkfold_stage){.function = count_inside, .replicas = replicas};
            assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
            while (forkfold_pipeline_next(pipeline, &result) == 1)
                ;
            forkfold_pipeline_close(pipeline);
            assert_in_range(watch->most_inside, 1, replicas);
        }
    forkfold_pool_close(pool);
    free(numbers);
}

static void stage_without_a_limit_gets_every_worker(void **state)
{
    uint64_t *numbers = make_numbers(10);
    forkfold_pool *pool = open_pool(4);
    forkfold_pipeline *pipeline = NULL;
    forkfold_result result;

    (void)state;
    assert_works(pool, forkfold_pipeline_open(
                           pool,
                           &(forkfold_pipeline_options){.stages = {{.function = wait_at_gate}},
                                                        .stage_count = 1,
                                                        .items = numbers,
                                                        .count = 10,
                                                        .item_bytes = 8,
                                                        .batch_items = 1},
                           &pipeline));
    await_reached(4);
    open_gate();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
    free(numbers);
}

/* ---- Bounds -------------------------------------------------------------- */

/* Numbers for ever, one to a batch. */
static int count_on(void *user, const void **batch, size_t *bytes)
{
    static uint64_t number;
    uint64_t *calls = user;

    number = (*calls)++;
    *batch = &number;
    *bytes = sizeof(number);
    return 1;
}

static void unread_output_holds_the_source_up(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (unsigned stages = 1; stages <= 4; stages++)
        for (unsigned depth = 1; depth <= 9; depth += 4)
            for (int unordered = 0; unordered < 2; unordered++) {
                uint64_t calls = 0;
                forkfold_pipeline_options options = {.stage_count = stages,
                                                     .source = count_on,
                                                     .user = &calls,
                                                     .depth = depth,
                                                     .unordered = unordered};
                forkfold_pipeline *pipeline = NULL;
                forkfold_result result;

                for (unsigned i = 0; i < stages; i++)
                    options.stages[i].function = turn_over;
                assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
                /* Whatever the workers do now, the first stage's window is full. */
                assert_int_equal(calls, depth);
                for (uint64_t read = 0; read < 200; read++) {
                    assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
                    assert_true(calls <= read + (uint64_t)stages * depth);
                    assert_true(unordered || result.index == read);
                }
                forkfold_pipeline_close(pipeline);
            }
    forkfold_pool_close(pool);
}

/* Shared memory that this process has touched. */
static uint64_t resident_shared_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "RssShmem: %llu", &kib) == 1)
            break;
    fclose(file);
    return kib * 1024;
}

static uint64_t segment_bytes(const forkfold_pool *pool)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < pool->layout.workers; i++)
        bytes += ff_peer_get(&pool->layout.segments[i].head->output_used);
    return bytes;
}

static void memory_does_not_grow_with_the_batches(void **state)
{
    enum { WARM_UP = 40000, BATCHES = SANITIZED ? 120000 : 300000 };
    enum { WORKERS = 2, STAGES = 3, DEPTH = 8, PIECE_BYTES = 256 << 10, SLACK = 2 << 20 };
    forkfold_pool *pool = open_pool(WORKERS);
    uint64_t calls = 0;
    forkfold_pipeline_options options = {
        .stage_count = STAGES, .source = count_on, .user = &calls, .depth = DEPTH};
    forkfold_pipeline *pipeline = NULL;
    forkfold_result result;
    uint64_t resident = 0;
    uint64_t held = 0;

    (void)state;
    for (unsigned i = 0; i < STAGES; i++)
        options.stages[i].function = turn_over;
    assert_works(pool, forkfold_pipeline_open(pool, &options, &pipeline));
    for (uint64_t read = 0; read < BATCHES; read++) {
        assert_int_equal(forkfold_pipeline_next(pipeline, &result), 1);
        assert_int_equal(result.index, read);
        if (read != WARM_UP)
            continue;
        resident = resident_shared_bytes();
        held = pool->items.arrays.held;
    }
    assert_in_range(resident_shared_bytes(), 0, resident + SLACK);
    assert_int_equal(pool->items.arrays.held, held);
    /* At worst every batch on its way has a piece of its worker's segment, and each stage one more. */
    assert_in_range(segment_bytes(pool), 0, WORKERS * STAGES * (DEPTH + 1) * PIECE_BYTES);
    forkfold_pipeline_close(pipeline);
    forkfold_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAGES(invalid_options_are_refused_with_a_sentence),
        WITH_PAGES(every_batch_comes_out_once_whatever_the_sizes),
        WITH_PAGES(pipelines_have_from_one_to_sixteen_stages),
        WITH_PAGES(stages_make_less_or_more_or_nothing_of_a_batch),
        WITH_PAGES(recycled_workers_change_nothing),
        WITH_PAGES(source_gives_batches_of_any_size),
        WITH_PAGES(source_that_fails_ends_the_pipeline),
        WITH_PAGES(source_that_has_none_yet_is_asked_again),
        WITH_PAGES(source_that_gives_no_address_ends_the_pipeline),
        WITH_PAGES(batches_in_a_shared_array_are_read_where_they_lie),
        WITH_PAGES(stage_is_in_as_many_workers_as_it_has_replicas),
        WITH_PAGES(stage_without_a_limit_gets_every_worker),
        WITH_PAGES(unread_output_holds_the_source_up),
        WITH_PAGES(memory_does_not_grow_with_the_batches),
    };

    return cmocka_run_group_tests(tests, make_pages, NULL);
}
