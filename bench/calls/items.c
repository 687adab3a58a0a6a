/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times calls of functions on items, by libforkfold, on an open pool.
 *
 * usage: items CALL WORKERS REPEATS N[/ROUNDS]
 *
 *   empty-1        a map of N items by a function that does nothing, claimed one by one
 *   imap-1         an unordered imap of N integers, claimed one by one, with results of 8 bytes
 *   apply          one call of a function, and its result; N is not looked at
 *   pipeline       N items through stages of 20, 5 and 5 us
 *   communication  a map of N items by a function of 10 us, with the default chunk
 *
 * ROUNDS are those that take a microsecond: what processes.c says.
 */
#include "library.h"

enum { STAGES = 3, ITEM_US = 10 };

static const unsigned stage_us[STAGES] = {20, 5, 5};

struct state {
    forkfold_pool *pool;
    uint64_t count;
    uint64_t rounds; /* in a microsecond */
    uint64_t *items;
    uint64_t digest;
};

/* ---- In the workers ------------------------------------------------------ */

static int do_nothing(const forkfold_item *item)
{
    (void)item;
    return 0;
}

static int add_one(const forkfold_item *item)
{
    *(uint64_t *)item->result = *(const uint64_t *)item->arguments[0] + 1;
    return 0;
}

static int compute_item(const forkfold_item *item)
{
    *(uint64_t *)item->result =
        compute_rounds(*(const uint64_t *)item->arguments[0], *(const uint64_t *)item->context);
    return 0;
}

/* What it makes is what the next stage is given ... */
static int compute_batch(const forkfold_item *batch)
{
    const uint64_t *in = batch->arguments[0];
    uint64_t rounds = *(const uint64_t *)batch->context;
    uint64_t *out = forkfold_item_reserve(batch, batch->argument_bytes[0]);

    if (out == NULL)
        return forkfold_item_fail(batch, "no room");
    for (size_t i = 0; i < batch->argument_bytes[0] / sizeof(*in); i++)
        out[i] = compute_rounds(in[i], rounds);
    return 0;
}

/* ... and so that the result is that of the first stage alone, the others pass on what they get. */
static int compute_beside(const forkfold_item *batch)
{
    const uint64_t *in = batch->arguments[0];
    uint64_t rounds = *(const uint64_t *)batch->context;
    uint64_t *out = forkfold_item_reserve(batch, batch->argument_bytes[0]);

    if (out == NULL)
        return forkfold_item_fail(batch, "no room");
    for (size_t i = 0; i < batch->argument_bytes[0] / sizeof(*in); i++) {
        uint64_t made = compute_rounds(in[i], rounds);

        __asm__ volatile("" : : "r"(made)); /* or it would be left out */
        out[i] = in[i];
    }
    return 0;
}

/* ---- Calls --------------------------------------------------------------- */

static uint64_t digest_kept(void *context)
{
    return ((const struct state *)context)->digest;
}

static void map_nothing(void *context)
{
    struct state *state = context;
    forkfold_call_options options = {.function = do_nothing, .count = state->count, .chunk = 1};
    forkfold_call *call;

    check(state->pool, forkfold_map(state->pool, &options, &call));
    state->digest = state->count - forkfold_call_failure_count(call);
    forkfold_call_close(call);
}

static void imap(void *context)
{
    struct state *state = context;
    forkfold_call_options options = {
        .function = add_one,
        .count = state->count,
        .arrays = {{.data = state->items, .item_bytes = sizeof(*state->items)}},
        .array_count = 1,
        .result_bytes = sizeof(uint64_t),
        .chunk = 1};
    forkfold_call *call;
    forkfold_result result;
    int more;

    check(state->pool, forkfold_imap_unordered(state->pool, &options, &call));
    state->digest = 0;
    while ((more = forkfold_call_next(call, &result)) > 0)
        state->digest += *(const uint64_t *)result.data;
    check(state->pool, more);
    forkfold_call_close(call);
}

static void apply(void *context)
{
    struct state *state = context;
    uint64_t argument = state->digest;

    check(state->pool, forkfold_apply(state->pool, add_one, &argument, sizeof(argument),
                                      &state->digest, sizeof(state->digest)));
}

static void run_pipeline(void *context)
{
    struct state *state = context;
    uint64_t rounds[STAGES];
    forkfold_pipeline_options options = {.stage_count = STAGES,
                                         .items = state->items,
                                         .count = state->count,
                                         .item_bytes = sizeof(*state->items),
                                         .stop_on_failure = 1};
    forkfold_pipeline *pipeline;
    forkfold_result result;
    int more;

    for (unsigned i = 0; i < STAGES; i++) {
        rounds[i] = state->rounds * stage_us[i];
        options.stages[i] = (forkfold_stage){.function = i == 0 ? compute_batch : compute_beside,
                                             .context = &rounds[i],
                                             .context_bytes = sizeof(rounds[i])};
    }
    check(state->pool, forkfold_pipeline_open(state->pool, &options, &pipeline));
    state->digest = 0;
    while ((more = forkfold_pipeline_next(pipeline, &result)) > 0)
        for (size_t i = 0; i < result.bytes / sizeof(uint64_t); i++)
            state->digest += ((const uint64_t *)result.data)[i];
    check(state->pool, more);
    forkfold_pipeline_close(pipeline);
}

static void map_busily(void *context)
{
    struct state *state = context;
    uint64_t rounds = state->rounds * ITEM_US;
    forkfold_call_options options = {
        .function = compute_item,
        .count = state->count,
        .arrays = {{.data = state->items, .item_bytes = sizeof(*state->items)}},
        .array_count = 1,
        .context = &rounds,
        .context_bytes = sizeof(rounds),
        .result_bytes = sizeof(uint64_t),
        .stop_on_failure = 1};
    forkfold_call *call;

    check(state->pool, forkfold_map(state->pool, &options, &call));
    const uint64_t *results = forkfold_call_results(call);

    state->digest = 0;
    for (uint64_t i = 0; i < state->count; i++)
        state->digest += results[i];
    forkfold_call_close(call);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*act)(void *context);
    } calls[] = {
        {"empty-1", map_nothing},
        {"imap-1", imap},
        {"apply", apply},
        {"pipeline", run_pipeline},
        {"communication", map_busily},
    };
    struct state state = {0};
    char *rest;

    if (argc != 5)
        fail("usage: items CALL WORKERS REPEATS N[/ROUNDS]");
    state.count = strtoull(argv[4], &rest, 10);
    state.rounds = *rest == '/' ? strtoull(rest + 1, NULL, 10) : 0;
    state.items = malloc(state.count * sizeof(*state.items));
    if (state.items == NULL)
        fail("no memory");
    for (uint64_t i = 0; i < state.count; i++)
        state.items[i] = i;
    state.pool = open_pool((unsigned)strtoul(argv[2], NULL, 10));
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(argv[1], calls[i].name) == 0) {
            time_calls((unsigned)strtoul(argv[3], NULL, 10), calls[i].act, &state, digest_kept);
            forkfold_pool_close(state.pool);
            return 0;
        }
    }
    fail("no such call");
}
