/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times ways to bring the results of workers home, by libforkfold.
 *
 * usage: home WAY WORKERS REPEATS ITEMS/PAIRS
 *
 *   loop         no workers: the calling process does it all
 *   returned     each item's result by forkfold_map; the calling process adds them up
 *   queue-1      the results one by one through a queue, likewise
 *   queue-batch  in batches of 100, or of 256 KiB if that is less
 *   dictionary   workers add to a shared dictionary
 *   partials     a keyed aggregation, whose files say which items are meant: workers count by
 *                themselves, and publish what they have
 *
 * Each of ITEMS items makes so many PAIRS of a key and a number; the sum of each key is wanted.
 * The same in home.py.
 */
#include <unistd.h>

#include "library.h"

enum { KEYS = 16384, BATCH = 100, BATCH_BYTES = 256 * 1024, TASKS = 32 };

struct pair {
    uint32_t key;
    uint32_t value;
};

struct state {
    forkfold_pool *pool;
    unsigned workers;
    uint64_t items;
    uint64_t pairs;
    uint64_t batch;
    char folder[64];
    uint64_t sums[KEYS];
};

/* What workers are told. */
struct course {
    uint64_t items;
    uint64_t pairs;
    uint64_t workers;
    uint64_t batch;
    forkfold_queue *queue;
    forkfold_dictionary *dictionary;
};

static struct pair pair_of(uint64_t item, uint64_t number)
{
    return (struct pair){.key = (uint32_t)((item * 7919 + number) % KEYS),
                         .value = (uint32_t)(1 + (item + number) % 3)};
}

static void make_result(uint64_t item, uint64_t pairs, struct pair *result)
{
    for (uint64_t i = 0; i < pairs; i++)
        result[i] = pair_of(item, i);
}

static void add_result(struct state *state, const struct pair *result, uint64_t pairs)
{
    for (uint64_t i = 0; i < pairs; i++)
        state->sums[result[i].key] += result[i].value;
}

static uint64_t digest(void *context)
{
    const struct state *state = context;
    uint64_t digest = 0;

    for (uint64_t i = 0; i < KEYS; i++)
        digest += (i + 1) * state->sums[i];
    return digest;
}

static struct course course_of(const struct state *state)
{
    return (struct course){.items = state->items,
                           .pairs = state->pairs,
                           .workers = state->workers,
                           .batch = state->batch};
}

/* A call of a function that is told all of that. */
static forkfold_call_options call_of(forkfold_function *function, const struct course *course)
{
    return (forkfold_call_options){.function = function,
                                   .count = course->items,
                                   .context = course,
                                   .context_bytes = sizeof(*course),
                                   .stop_on_failure = 1};
}

/* ---- No workers ---------------------------------------------------------- */

static void loop(void *context)
{
    struct state *state = context;
    struct pair *result = malloc(state->pairs * sizeof(*result));

    if (result == NULL)
        fail("no memory");
    memset(state->sums, 0, sizeof(state->sums));
    for (uint64_t item = 0; item < state->items; item++) {
        make_result(item, state->pairs, result);
        add_result(state, result, state->pairs);
    }
    free(result);
}

/* ---- Returned ------------------------------------------------------------ */

static int return_result(const forkfold_item *item)
{
    make_result(item->index, ((const struct course *)item->context)->pairs, item->result);
    return 0;
}

static void bring_by_return(void *context)
{
    struct state *state = context;
    struct course course = course_of(state);
    forkfold_call_options options = call_of(return_result, &course);
    const struct pair *results;
    forkfold_call *call;

    options.result_bytes = state->pairs * sizeof(struct pair);
    memset(state->sums, 0, sizeof(state->sums));
    check(state->pool, forkfold_map(state->pool, &options, &call));
    results = forkfold_call_results(call);
    add_result(state, results, state->items * state->pairs);
    forkfold_call_close(call);
}

/* ---- Through a queue ----------------------------------------------------- */

static int put_results(const forkfold_item *item)
{
    const struct course *course = item->context;
    struct pair *batch = malloc(course->batch * course->pairs * sizeof(*batch));
    uint64_t filled = 0;
    int code = batch == NULL ? FORKFOLD_E_MEMORY : 0;

    for (uint64_t i = item->index; i < course->items && code == 0; i += course->workers) {
        make_result(i, course->pairs, batch + filled++ * course->pairs);
        if (filled == course->batch || i + course->workers >= course->items) {
            code = forkfold_queue_put(course->queue, batch, filled, UINT64_MAX);
            filled = 0;
        }
    }
    free(batch);
    return code == 0 ? forkfold_queue_end(course->queue, (unsigned)item->index) : code;
}

static void bring_by_queue(void *context)
{
    struct state *state = context;
    forkfold_queue_options of = {.item_bytes = state->pairs * sizeof(struct pair),
                                 .batch_items = state->batch,
                                 .producers = state->workers};
    struct course course = course_of(state);
    forkfold_call_options options;
    forkfold_batch batch;
    forkfold_call *call;
    int more;

    memset(state->sums, 0, sizeof(state->sums));
    check(state->pool, forkfold_queue_open(state->pool, &of, &course.queue));
    options = call_of(put_results, &course);
    options.count = state->workers;
    options.chunk = 1;
    check(state->pool, forkfold_map_async(state->pool, &options, &call));
    while ((more = forkfold_queue_get(course.queue, 0, &batch, UINT64_MAX)) == 1)
        add_result(state, batch.items, batch.count * state->pairs);
    check(state->pool, more);
    check(state->pool, forkfold_call_wait(call, UINT64_MAX));
    forkfold_call_close(call);
    forkfold_queue_close(course.queue);
}

/* ---- By a shared dictionary ---------------------------------------------- */

static int add_to_dictionary(const forkfold_item *item)
{
    const struct course *course = item->context;
    int code = 0;

    for (uint64_t i = 0; i < course->pairs && code == 0; i++) {
        struct pair pair = pair_of(item->index, i);

        code = forkfold_dictionary_add(course->dictionary, &pair.key, sizeof(pair.key), pair.value);
    }
    return code;
}

static void bring_by_dictionary(void *context)
{
    struct state *state = context;
    forkfold_dictionary_options of = {.capacity = KEYS};
    struct course course = course_of(state);
    forkfold_dictionary_entry entry;
    forkfold_call_options options;
    forkfold_call *call;
    int more;

    memset(state->sums, 0, sizeof(state->sums));
    check(state->pool, forkfold_dictionary_open(state->pool, &of, &course.dictionary));
    options = call_of(add_to_dictionary, &course);
    check(state->pool, forkfold_map(state->pool, &options, &call));
    forkfold_call_close(call);
    while ((more = forkfold_dictionary_next(course.dictionary, &entry)) == 1)
        state->sums[*(const uint32_t *)entry.key] = (uint64_t)entry.value;
    check(state->pool, more);
    forkfold_dictionary_close(course.dictionary);
}

/* ---- By partials --------------------------------------------------------- */

static int add_to_table(const forkfold_text *text, forkfold_table *table)
{
    const struct course *course = text->context;
    uint64_t task = strtoull(text->data, NULL, 10);
    uint64_t end = course->items * (task + 1) / TASKS;

    for (uint64_t item = course->items * task / TASKS; item < end; item++) {
        for (uint64_t i = 0; i < course->pairs; i++) {
            struct pair pair = pair_of(item, i);

            if (forkfold_table_add(table, &pair.key, sizeof(pair.key), pair.value) < 0)
                return 1;
        }
    }
    return 0;
}

static void bring_by_partials(void *context)
{
    struct state *state = context;
    struct course course = course_of(state);
    forkfold_job job = {.map = add_to_table,
                        .context = &course,
                        .context_bytes = sizeof(course),
                        .stop_on_failure = 1};
    forkfold_aggregate *aggregate;
    forkfold_value value;
    uint32_t key;
    int more;

    memset(state->sums, 0, sizeof(state->sums));
    check(state->pool, forkfold_process_directory(state->pool, state->folder, &job, &aggregate));
    while ((more = forkfold_aggregate_next(aggregate, &value)) == 1) {
        memcpy(&key, value.key, sizeof(key));
        state->sums[key] = (uint64_t)value.value;
    }
    check(state->pool, more);
    forkfold_aggregate_close(aggregate);
}

/* Or removes them. */
static void write_tasks(const struct state *state, int remove)
{
    for (unsigned task = 0; task < TASKS; task++) {
        char path[sizeof(state->folder) + 16];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%u.txt", state->folder, task);
        if (remove) {
            unlink(path);
            continue;
        }
        file = fopen(path, "w");
        if (file == NULL || fprintf(file, "%u\n", task) < 0 || fclose(file) != 0)
            fail("cannot write a task");
    }
    if (remove)
        rmdir(state->folder);
}

static void time_way(struct state *state, const char *name, unsigned repeats)
{
    static const struct {
        const char *name;
        void (*act)(void *context);
    } ways[] = {
        {"loop", loop},
        {"returned", bring_by_return},
        {"queue-1", bring_by_queue},
        {"queue-batch", bring_by_queue},
        {"dictionary", bring_by_dictionary},
        {"partials", bring_by_partials},
    };
    uint64_t expected;

    loop(state);
    expected = digest(state);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(name, ways[i].name) == 0) {
            time_calls(repeats, ways[i].act, state, digest);
            if (digest(state) != expected)
                fail("another result");
            return;
        }
    }
    fail("no such way");
}

int main(int argc, char **argv)
{
    struct state state = {.folder = "/tmp/forkfold-home-XXXXXX", .batch = 1};
    char *rest;

    if (argc != 5)
        fail("usage: home WAY WORKERS REPEATS ITEMS/PAIRS");
    state.workers = (unsigned)strtoul(argv[2], NULL, 10);
    state.items = strtoull(argv[4], &rest, 10);
    state.pairs = *rest == '/' ? strtoull(rest + 1, NULL, 10) : 1;
    if (strcmp(argv[1], "queue-batch") == 0) {
        state.batch = BATCH_BYTES / (state.pairs * sizeof(struct pair));
        state.batch = state.batch > BATCH ? BATCH : state.batch < 1 ? 1 : state.batch;
    }
    if (mkdtemp(state.folder) == NULL)
        fail("no folder for tasks");
    write_tasks(&state, 0);
    state.pool = open_pool(state.workers);
    time_way(&state, argv[1], (unsigned)strtoul(argv[3], NULL, 10));
    forkfold_pool_close(state.pool);
    write_tasks(&state, 1);
    return 0;
}
