/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times a job or a queue of libforkfold.
 *
 * usage: own CALL WORKERS REPEATS N|FILE
 *
 *   map             f of N doubles in shared arrays, on an open pool
 *   open-map-close  f of N doubles in own memory, from before the pool to after it
 *   matmul          a product of N x N doubles in shared arrays, on an open pool
 *   fsum            the sum of N doubles in a shared array, on an open pool
 *   primes-list     the primes below N, in a new shared array, on an open pool
 *   primes-count    how many there are, likewise
 *   text            the words of FILE, in own memory, on an open pool; all are read
 *   queue-1         N integers through a queue, from one worker to another, one by one
 *   queue-batch     likewise, in batches of 100
 */
#include "library.h"

struct state {
    forkfold_pool *pool;
    unsigned workers;
    const char *what; /* N or FILE */
    uint64_t count;
    uint64_t batch; /* of a queue */
    double *input;
    double *output;
    double sum;
    forkfold_matrix matrices[3];
    forkfold_shared *primes;
    char *text;
    uint64_t digest;
};

static uint64_t digest_kept(void *context)
{
    return ((const struct state *)context)->digest;
}

/* ---- Numbers ------------------------------------------------------------- */

static uint64_t digest_output(void *context)
{
    const struct state *state = context;

    return digest_numbers(state->output, state->count);
}

static void map(void *context)
{
    struct state *state = context;

    check(state->pool, forkfold_map_curve(state->pool, state->input, state->count, state->output));
}

static void open_map_close(void *context)
{
    struct state *state = context;

    state->pool = open_pool(state->workers);
    map(state);
    forkfold_pool_close(state->pool);
    state->pool = NULL;
}

static void multiply(void *context)
{
    struct state *state = context;

    check(state->pool, forkfold_multiply_matrices(state->pool, &state->matrices[0],
                                                  &state->matrices[1], &state->matrices[2]));
}

static void time_map(struct state *state, unsigned repeats)
{
    state->pool = open_pool(state->workers);
    state->input = open_doubles(state->pool, state->count);
    state->output = open_doubles(state->pool, state->count);
    fill_numbers(state->input, state->count);
    time_calls(repeats, map, state, digest_output);
}

static void time_open_map_close(struct state *state, unsigned repeats)
{
    state->input = malloc(state->count * sizeof(*state->input));
    state->output = malloc(state->count * sizeof(*state->output));
    if (state->input == NULL || state->output == NULL)
        fail("no memory");
    fill_numbers(state->input, state->count);
    time_calls(repeats, open_map_close, state, digest_output);
}

static void time_matmul(struct state *state, unsigned repeats)
{
    uint64_t n = state->count;

    state->pool = open_pool(state->workers);
    state->count = n * n;
    for (unsigned i = 0; i < 3; i++) {
        state->output = open_doubles(state->pool, state->count);
        fill_matrix(state->output, state->count, i);
        state->matrices[i] = forkfold_matrix_of(state->output, FORKFOLD_F64, n, n);
    }
    time_calls(repeats, multiply, state, digest_output);
}

static void sum_up(void *context)
{
    struct state *state = context;
    forkfold_numbers numbers = {state->input, FORKFOLD_F64, state->count};

    check(state->pool, forkfold_sum_floats(state->pool, &numbers, &state->sum));
}

static uint64_t digest_sum(void *context)
{
    const struct state *state = context;

    return digest_numbers(&state->sum, 1);
}

static void time_fsum(struct state *state, unsigned repeats)
{
    state->pool = open_pool(state->workers);
    state->input = open_doubles(state->pool, state->count);
    fill_numbers(state->input, state->count);
    time_calls(repeats, sum_up, state, digest_sum);
}

/* ---- Primes -------------------------------------------------------------- */

static void list_primes(void *context)
{
    struct state *state = context;

    forkfold_shared_close(state->primes);
    check(state->pool, forkfold_primes(state->pool, state->count, &state->primes));
}

static uint64_t digest_primes(void *context)
{
    const struct state *state = context;

    return digest_integers(forkfold_shared_data(state->primes),
                           forkfold_shared_count(state->primes));
}

static void count_primes(void *context)
{
    struct state *state = context;

    check(state->pool, forkfold_count_primes(state->pool, 0, state->count, &state->digest));
}

static void time_primes_list(struct state *state, unsigned repeats)
{
    state->pool = open_pool(state->workers);
    time_calls(repeats, list_primes, state, digest_primes);
}

static void time_primes_count(struct state *state, unsigned repeats)
{
    state->pool = open_pool(state->workers);
    time_calls(repeats, count_primes, state, digest_kept);
}

/* ---- Words --------------------------------------------------------------- */

/* The same of a Counter in pool.py. */
static void count(void *context)
{
    struct state *state = context;
    forkfold_words *words;
    forkfold_word word;
    int more;

    check(state->pool, forkfold_count_text(state->pool, state->text, state->count, NULL, &words));
    state->digest = 0;
    while ((more = forkfold_words_next(words, &word)) > 0)
        state->digest += word.count * word.count + word.key_bytes;
    check(state->pool, more);
    forkfold_words_close(words);
}

static void time_text(struct state *state, unsigned repeats)
{
    FILE *file = fopen(state->what, "rb");
    long size;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        fail("cannot read the text");
    rewind(file);
    state->count = (uint64_t)size;
    state->text = malloc((size_t)size + 1);
    if (state->text == NULL || fread(state->text, 1, (size_t)size, file) != (size_t)size)
        fail("cannot read the text");
    fclose(file);
    state->pool = open_pool(state->workers);
    time_calls(repeats, count, state, digest_kept);
}

/* ---- Queues -------------------------------------------------------------- */

enum { BATCH = 100 };

struct course {
    forkfold_queue *queue;
    uint64_t count;
    uint64_t batch;
};

static int produce(const struct course *course)
{
    uint64_t batch[BATCH];
    int code = 0;

    for (uint64_t i = 0; i < course->count && code == 0; i += course->batch) {
        for (uint64_t k = 0; k < course->batch; k++)
            batch[k] = i + k;
        code = forkfold_queue_put(course->queue, batch, course->batch, UINT64_MAX);
    }
    return code == 0 ? forkfold_queue_end(course->queue, 0) : code;
}

static int consume(const struct course *course, uint64_t *sum)
{
    forkfold_batch batch;
    int code;

    *sum = 0;
    while ((code = forkfold_queue_get(course->queue, 0, &batch, UINT64_MAX)) == 1)
        for (uint64_t k = 0; k < batch.count; k++)
            *sum += ((const uint64_t *)batch.items)[k];
    return code;
}

static int produce_or_consume(const forkfold_item *item)
{
    return item->index == 0 ? produce(item->context) : consume(item->context, item->result);
}

static void send(void *context)
{
    struct state *state = context;
    forkfold_queue_options of = {.item_bytes = sizeof(uint64_t), .batch_items = state->batch};
    struct course course = {.count = state->count, .batch = state->batch};
    forkfold_call_options options = {.function = produce_or_consume,
                                     .count = 2,
                                     .chunk = 1,
                                     .context = &course,
                                     .context_bytes = sizeof(course),
                                     .result_bytes = sizeof(uint64_t),
                                     .stop_on_failure = 1};
    forkfold_call *call;

    check(state->pool, forkfold_queue_open(state->pool, &of, &course.queue));
    check(state->pool, forkfold_map(state->pool, &options, &call));
    state->digest = ((const uint64_t *)forkfold_call_results(call))[1];
    forkfold_call_close(call);
    forkfold_queue_close(course.queue);
}

static void time_queue(struct state *state, unsigned repeats, uint64_t batch)
{
    if (state->workers < 2)
        state->workers = 2;
    state->batch = batch;
    state->pool = open_pool(state->workers);
    time_calls(repeats, send, state, digest_kept);
}

static void time_single(struct state *state, unsigned repeats)
{
    time_queue(state, repeats, 1);
}

static void time_batches(struct state *state, unsigned repeats)
{
    time_queue(state, repeats, BATCH);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct state *state, unsigned repeats);
    } calls[] = {
        {"map", time_map},
        {"open-map-close", time_open_map_close},
        {"matmul", time_matmul},
        {"fsum", time_fsum},
        {"primes-list", time_primes_list},
        {"primes-count", time_primes_count},
        {"text", time_text},
        {"queue-1", time_single},
        {"queue-batch", time_batches},
    };
    struct state state = {0};

    if (argc != 5)
        fail("usage: own CALL WORKERS REPEATS N|FILE");
    state.workers = (unsigned)strtoul(argv[2], NULL, 10);
    state.what = argv[4];
    state.count = strtoull(argv[4], NULL, 10);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(argv[1], calls[i].name) == 0) {
            calls[i].run(&state, (unsigned)strtoul(argv[3], NULL, 10));
            return 0;
        }
    }
    fail("no such call");
}
