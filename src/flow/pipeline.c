/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines on calls of items: a stage is a call whose items are the batches, each posted when its
 * argument, the result of the stage before, is there.
 *
 * All that workers share is what calls on items share (pool/items.h), and so is what becomes of a
 * death.  Where each batch is in each stage only the driver knows and needs to:
 *
 *   WAITING    it has not come that far, or has found no free replica
 *   RUNNING    posted
 *   FINISHED   its result is there, and the next stage, or the host, has not finished with it
 *   FAILED     likewise, without a result
 *   PASSED     finished with; the slot goes to another batch when those before it are, too
 *
 * A stage has slots for `depth` batches, from the first that is not passed on.  A batch enters a
 * stage if that has a slot for it, so a stage is never further ahead of the next one than that, and
 * the first one never further ahead of what the host has read than all stages' slots.
 */
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "flow/pipeline.h"

#include "platform/clock.h"
#include "pool/call.h"
#include "pool/items.h"
#include "pool/shared_array.h"

enum { BATCH_ITEMS = 250, DEPTH_PER_WORKER = 8, DEPTH_LEAST = 16, DEPTH_MOST = 1 << 20 };

enum phase { WAITING, RUNNING, FINISHED, FAILED, PASSED };

struct stage {
    struct forkfold_call *call;
    uint64_t replicas;
    uint64_t running;
    unsigned char *phases; /* enum phase, of each slot */
};

struct forkfold_pipeline {
    forkfold_pool *pool;
    forkfold_pipeline_options options;
    uint64_t depth;
    struct stage stages[FORKFOLD_STAGES_MAX];
    struct ff_varying_result *input; /* of each slot of the first stage; in the region */
    struct ff_block *copies;         /* likewise, where it was copied to */
    uint64_t taken;                  /* batches from the input */
    bool input_ended;
    bool input_waits; /* there was none yet, when it was asked last */
    bool has_current; /* `current` was read by the host, and is its until it reads the next */
    uint64_t current;
    bool is_over;
    struct ff_error error; /* what it has ended with; code 0: nothing, or all is done */
    unsigned holds;        /* how many further up the stack still look at it */
    bool is_closed;        /* nothing is left of it but this, which goes when nobody holds it */
};

/* ---- Slots --------------------------------------------------------------- */

static struct stage *last_stage(forkfold_pipeline *pipeline)
{
    return &pipeline->stages[pipeline->options.stage_count - 1];
}

static uint64_t slot_of(const forkfold_pipeline *pipeline, uint64_t batch)
{
    return batch % pipeline->depth;
}

static unsigned char *phase_of(const forkfold_pipeline *pipeline, const struct stage *stage,
                               uint64_t batch)
{
    return &stage->phases[slot_of(pipeline, batch)];
}

/* The batches that the stage has slots for. */
static uint64_t first_of(const struct stage *stage)
{
    return stage->call->settled;
}

static uint64_t end_of(const forkfold_pipeline *pipeline, const struct stage *stage)
{
    return stage->call->settled + pipeline->depth;
}

/* Nobody needs the batch's result in this stage any more. */
static void pass(const forkfold_pipeline *pipeline, struct stage *stage, uint64_t batch)
{
    struct forkfold_call *call = stage->call;

    *phase_of(pipeline, stage, batch) = PASSED;
    while (*phase_of(pipeline, stage, call->settled) == PASSED)
        *phase_of(pipeline, stage, call->settled++) = WAITING;
    /* Before a slot is given to another batch, by post(): see ff_item_is_done. */
    ff_publish(&call->owner->floor, call->settled);
}

/* ---- The input ----------------------------------------------------------- */

/* See ask_input. */
static int ask_source(forkfold_pipeline *pipeline, const void **batch, size_t *bytes)
{
    int code = pipeline->options.source(pipeline->options.user, batch, bytes);

    if (code == FORKFOLD_E_PENDING)
        return code;
    if (code < 0)
        return ff_error_set(&pipeline->pool->error, FORKFOLD_E_CANCELLED,
                            "the source of the pipeline returned %d", code);
    if (code > 0 && *batch == NULL && *bytes > 0)
        return ff_error_set(&pipeline->pool->error, FORKFOLD_E_INVALID,
                            "the source of the pipeline gave %zu bytes and no address", *bytes);
    return code;
}

/*
 * The next batch as the caller gives it: 1, 0 at the end, FORKFOLD_E_PENDING when there is none yet,
 * or a code with the pool's error.
 */
static int ask_input(forkfold_pipeline *pipeline, const void **batch, size_t *bytes)
{
    const forkfold_pipeline_options *options = &pipeline->options;
    uint64_t first = pipeline->taken * options->batch_items;

    if (options->source != NULL)
        return ask_source(pipeline, batch, bytes);
    if (first >= options->count)
        return 0;
    *batch = (const char *)options->items + first * options->item_bytes;
    *bytes = options->item_bytes * (options->count - first < options->batch_items
                                        ? options->count - first
                                        : options->batch_items);
    return 1;
}

/* Memory for a copy, in the slot of the batch; it serves the slot's next ones, too, if it can. */
static void *copy_place(forkfold_pipeline *pipeline, size_t bytes)
{
    struct ff_block *copy = &pipeline->copies[slot_of(pipeline, pipeline->taken)];
    struct ff_arena *arena = &pipeline->pool->items.arrays;

    if (copy->base != NULL && copy->bytes >= bytes)
        return copy->base;
    ff_arena_give(arena, copy->base, copy->bytes);
    *copy = (struct ff_block){.arena = arena, .base = ff_arena_take(arena, bytes), .bytes = bytes};
    if (copy->base == NULL)
        ff_error_set(&pipeline->pool->error, FORKFOLD_E_LIMIT,
                     "the region has no room for a batch of %zu bytes; make batches smaller or "
                     "raise the limit of address space (ulimit -v)",
                     bytes);
    return copy->base;
}

/* 1 when there is one more batch in the first stage's slots; otherwise as ask_input. */
static int take_input(forkfold_pipeline *pipeline)
{
    const void *batch = NULL;
    size_t bytes = 0;
    int code = ask_input(pipeline, &batch, &bytes);

    if (code <= 0)
        return code;
    if (bytes > 0 && !ff_is_shared(pipeline->pool, batch, bytes)) {
        void *copy = copy_place(pipeline, bytes);

        if (copy == NULL)
            return pipeline->pool->error.code;
        memcpy(copy, batch, bytes);
        batch = copy;
    }
    pipeline->input[slot_of(pipeline, pipeline->taken)] =
        (struct ff_varying_result){.data = batch, .bytes = bytes};
    pipeline->taken++;
    return 1;
}

/* ---- From stage to stage ------------------------------------------------- */

/* What the stage before has for the batch. */
static enum phase input_phase(const forkfold_pipeline *pipeline, const struct stage *stage,
                              uint64_t batch)
{
    const struct stage *before = stage - 1;

    if (stage == pipeline->stages)
        return batch < pipeline->taken ? FINISHED : WAITING;
    if (batch >= end_of(pipeline, before))
        return WAITING;
    return (enum phase) * phase_of(pipeline, before, batch);
}

static void pass_input(forkfold_pipeline *pipeline, struct stage *stage, uint64_t batch)
{
    if (stage != pipeline->stages)
        pass(pipeline, stage - 1, batch);
}

/* Whatever the workers have written of it is there, now that its state is. */
static void note_failure(struct forkfold_call *call, uint64_t batch)
{
    ff_items_read_failures(call->pool);
    ff_items_complete_failures(call, batch, batch + 1);
}

/* Takes notice of what the workers have done with the stage's batches. */
static void collect(forkfold_pipeline *pipeline, struct stage *stage)
{
    struct forkfold_call *call = stage->call;

    for (uint64_t i = first_of(stage); stage->running > 0 && i < end_of(pipeline, stage); i++) {
        unsigned char *phase = phase_of(pipeline, stage, i);
        unsigned char state;

        if (*phase != RUNNING)
            continue;
        /* Partner: set_state() in items_job.c, which writes the result before it. */
        state = ff_observe8(&call->owner->states[slot_of(pipeline, i)]);
        if (state == FF_ITEM_PENDING)
            continue;
        *phase = state == FF_ITEM_PUBLISHED ? FINISHED : FAILED;
        stage->running--;
        if (*phase == FAILED)
            note_failure(call, i);
        pass_input(pipeline, stage, i);
    }
}

/* The batches are in this phase of the stage, and their items in this state. */
static void mark(const forkfold_pipeline *pipeline, const struct stage *stage, uint64_t first,
                 uint64_t count, enum phase phase, enum ff_item_state state)
{
    for (uint64_t i = first; i < first + count; i++) {
        *phase_of(pipeline, stage, i) = (unsigned char)phase;
        ff_publish8(&stage->call->owner->states[slot_of(pipeline, i)], (unsigned char)state);
    }
}

static int post(const forkfold_pipeline *pipeline, struct stage *stage, uint64_t first,
                uint64_t count)
{
    int code;

    if (count == 0)
        return 0;
    mark(pipeline, stage, first, count, RUNNING, FF_ITEM_PENDING);
    code = ff_items_post(stage->call, first, count);
    if (code == 0)
        stage->running += count;
    else
        /* What is pending and not posted would be waited for, for ever. */
        mark(pipeline, stage, first, count, WAITING, FF_ITEM_TAKEN);
    return code;
}

/* Whether the batch can be posted now; one that has failed before fails here, too. */
static bool may_enter(forkfold_pipeline *pipeline, struct stage *stage, uint64_t batch,
                      uint64_t others)
{
    unsigned char *phase = phase_of(pipeline, stage, batch);
    enum phase input;

    if (*phase != WAITING)
        return false;
    input = input_phase(pipeline, stage, batch);
    if (input == FAILED) {
        *phase = FAILED;
        pass_input(pipeline, stage, batch);
    }
    return input == FINISHED && (stage->replicas == 0 || stage->running + others < stage->replicas);
}

/* Posts what can enter the stage, runs of batches at once.  0 or a code with the pool's error. */
static int admit(forkfold_pipeline *pipeline, struct stage *stage)
{
    uint64_t end = end_of(pipeline, stage);
    uint64_t run = 0; /* batches before i that are to be posted */
    int code = 0;

    for (uint64_t i = first_of(stage); i < end && code == 0; i++) {
        if (may_enter(pipeline, stage, i, run)) {
            run++;
            continue;
        }
        code = post(pipeline, stage, i - run, run);
        run = 0;
    }
    return code == 0 ? post(pipeline, stage, end - run, run) : code;
}

static int feed(forkfold_pipeline *pipeline)
{
    int code = 1;

    pipeline->input_waits = false;
    while (!pipeline->input_ended && !pipeline->input_waits &&
           pipeline->taken < end_of(pipeline, pipeline->stages)) {
        code = take_input(pipeline);
        pipeline->input_waits = code == FORKFOLD_E_PENDING;
        if (code < 0 && !pipeline->input_waits)
            return code;
        pipeline->input_ended = code == 0;
    }
    return admit(pipeline, pipeline->stages);
}

/* 0, or the code that a stage was ended with, with the pool's error. */
static int outcome(const forkfold_pipeline *pipeline, unsigned stage)
{
    struct forkfold_call *call = pipeline->stages[stage].call;

    if (call->status == FF_CALL_ENDED && call->code == FORKFOLD_E_STOPPED)
        return ff_error_set(&pipeline->pool->error, call->code, "batch %llu failed in stage %u: %s",
                            (unsigned long long)call->failures[0].index, stage,
                            call->failures[0].detail);
    return ff_items_outcome(call);
}

/* 0 or a code with the pool's error. */
static int move(forkfold_pipeline *pipeline)
{
    unsigned count = pipeline->options.stage_count;
    int code = 0;

    for (unsigned i = 0; i < count; i++)
        collect(pipeline, &pipeline->stages[i]);
    /* What has been collected may have to end its stage. */
    if (pipeline->options.stop_on_failure != 0)
        ff_items_look(pipeline->pool);
    for (unsigned i = 0; i < count && code == 0; i++)
        code = outcome(pipeline, i);
    for (unsigned i = 1; i < count && code == 0; i++)
        code = admit(pipeline, &pipeline->stages[i]);
    return code == 0 ? feed(pipeline) : code;
}

/* ---- What comes out ------------------------------------------------------ */

static bool is_out(forkfold_pipeline *pipeline, uint64_t batch)
{
    unsigned char phase = *phase_of(pipeline, last_stage(pipeline), batch);

    return phase == FINISHED || phase == FAILED;
}

/* The next batch to be read; false when there is none yet. */
static bool find_out(forkfold_pipeline *pipeline, uint64_t *batch)
{
    const struct stage *stage = last_stage(pipeline);
    uint64_t end = pipeline->options.unordered != 0 ? end_of(pipeline, stage) : first_of(stage) + 1;

    for (*batch = first_of(stage); *batch < end; ++*batch)
        if (is_out(pipeline, *batch))
            return true;
    return false;
}

static bool is_done(forkfold_pipeline *pipeline)
{
    return pipeline->input_ended && first_of(last_stage(pipeline)) == pipeline->taken;
}

/* Moves batches on; whether there is something to tell the host, or nobody to tell it to. */
static bool has_news(void *what)
{
    forkfold_pipeline *pipeline = what;
    uint64_t batch;

    if (pipeline->is_closed)
        return true;
    if (pipeline->error.code == 0 && move(pipeline) < 0)
        pipeline->error = pipeline->pool->error;
    return pipeline->error.code < 0 || find_out(pipeline, &batch) || is_done(pipeline);
}

/* The host has finished with what it read last. */
static void release_current(forkfold_pipeline *pipeline)
{
    if (pipeline->has_current)
        pass(pipeline, last_stage(pipeline), pipeline->current);
    pipeline->has_current = false;
}

/* No stage goes on: all is done, or the pipeline has failed. */
static void finish(forkfold_pipeline *pipeline)
{
    for (unsigned i = 0; i < pipeline->options.stage_count; i++) {
        struct forkfold_call *call = pipeline->stages[i].call;

        if (call == NULL || call->status != FF_CALL_RUNNING)
            continue;
        if (pipeline->error.code == 0)
            ff_items_settle_call(call, FF_CALL_FINISHED);
        else
            ff_items_end_call(call, pipeline->error.code, "the pipeline has ended");
    }
    pipeline->is_over = true;
}

/* The slot of one that has failed in an earlier stage still has what another batch left in it. */
static void fill_result(forkfold_pipeline *pipeline, uint64_t batch, forkfold_result *result)
{
    if (*phase_of(pipeline, last_stage(pipeline), batch) == FAILED)
        *result = (forkfold_result){.index = batch, .failed = 1};
    else
        ff_items_fill_result(last_stage(pipeline)->call, batch, result);
}

/* 0 or the code that the pipeline has ended with, with the pool's error. */
static int tell_end(const forkfold_pipeline *pipeline)
{
    pipeline->pool->error = pipeline->error;
    return pipeline->error.code;
}

/* The source has nothing yet, and all that it has given has come out. */
static bool is_starved(forkfold_pipeline *pipeline)
{
    return pipeline->input_waits && first_of(last_stage(pipeline)) == pipeline->taken;
}

/* False when there are none in time, or cannot be any before the source has something. */
static bool await_news(forkfold_pipeline *pipeline, uint64_t until_ns)
{
    ff_items_look(pipeline->pool);
    while (!has_news(pipeline)) {
        if (is_starved(pipeline) || ff_clock_ns() >= until_ns)
            return false;
        ff_items_sleep(pipeline->pool, has_news, pipeline, until_ns);
    }
    return true;
}

static int read_next(forkfold_pipeline *pipeline, forkfold_result *result, uint64_t until_ns)
{
    release_current(pipeline);
    if (!await_news(pipeline, until_ns))
        return FORKFOLD_E_PENDING;
    if (pipeline->is_closed)
        return ff_error_set(&pipeline->pool->error, FORKFOLD_E_CANCELLED,
                            "the pipeline was closed while its next batch was awaited");
    if (pipeline->error.code < 0 || !find_out(pipeline, &pipeline->current)) {
        finish(pipeline);
        return tell_end(pipeline);
    }
    fill_result(pipeline, pipeline->current, result);
    pipeline->has_current = true;
    return 1;
}

static void let_go(forkfold_pipeline *pipeline)
{
    if (--pipeline->holds == 0 && pipeline->is_closed)
        free(pipeline);
}

int forkfold_pipeline_next(forkfold_pipeline *pipeline, forkfold_result *result)
{
    return forkfold_pipeline_next_within(pipeline, result, UINT64_MAX);
}

int forkfold_pipeline_next_within(forkfold_pipeline *pipeline, forkfold_result *result,
                                  uint64_t timeout_ns)
{
    uint64_t now = timeout_ns == 0 || timeout_ns == UINT64_MAX ? 0 : ff_clock_ns();
    uint64_t until_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    int code = ff_call_check(pipeline->pool);

    if (code < 0)
        return code;
    if (result == NULL)
        return ff_error_set(&pipeline->pool->error, FORKFOLD_E_INVALID,
                            "a result needs a place to go");
    if (pipeline->is_over)
        return tell_end(pipeline);
    /* What the host watches may close the pipeline while this sleeps. */
    pipeline->holds++;
    code = read_next(pipeline, result, until_ns);
    let_go(pipeline);
    return code;
}

bool ff_pipeline_wait(forkfold_pipeline *pipeline, uint64_t until_ns)
{
    /* It would be found again as the next one. */
    release_current(pipeline);
    return pipeline->is_over || await_news(pipeline, until_ns);
}

const struct forkfold_call *ff_pipeline_call(const forkfold_pipeline *pipeline, unsigned stage)
{
    return pipeline->stages[stage].call;
}

/* ---- Failures ------------------------------------------------------------ */

size_t forkfold_pipeline_failure_count(const forkfold_pipeline *pipeline, unsigned stage)
{
    return stage < pipeline->options.stage_count
               ? forkfold_call_failure_count(pipeline->stages[stage].call)
               : 0;
}

const forkfold_item_failure *forkfold_pipeline_failure(const forkfold_pipeline *pipeline,
                                                       unsigned stage, size_t number)
{
    return stage < pipeline->options.stage_count
               ? forkfold_call_failure(pipeline->stages[stage].call, number)
               : NULL;
}

/* ---- Opening and closing ------------------------------------------------- */

static int check_stages(forkfold_pool *pool, const forkfold_pipeline_options *options)
{
    if (options->stage_count == 0 || options->stage_count > FORKFOLD_STAGES_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a pipeline has from 1 to %d stages, not %u", FORKFOLD_STAGES_MAX,
                            options->stage_count);
    for (unsigned i = 0; i < options->stage_count; i++)
        if (options->stages[i].function == NULL)
            return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                                "stage %u of the pipeline has no function", i);
    return 0;
}

static int check_input(forkfold_pool *pool, const forkfold_pipeline_options *options)
{
    uint64_t bytes;

    if (options->source != NULL)
        return options->items == NULL
                   ? 0
                   : ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                                  "the input of a pipeline is items or a source, not both");
    if (options->count > 0 && (options->items == NULL || options->item_bytes == 0))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the items of the pipeline have no address or no size");
    if (__builtin_mul_overflow(options->count, options->item_bytes, &bytes))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the items of the pipeline are larger than any memory");
    return 0;
}

static int check(forkfold_pool *pool, const forkfold_pipeline_options *options,
                 forkfold_pipeline **result)
{
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (options == NULL || result == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a pipeline needs options, and a place for its handle");
    if (options->size != 0 && options->size != sizeof(*options))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "forkfold_pipeline_options.size is %zu, this library knows %zu",
                            options->size, sizeof(*options));
    if (options->depth > DEPTH_MOST)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a pipeline is at most %d batches deep, not %u", DEPTH_MOST,
                            options->depth);
    code = check_stages(pool, options);
    return code == 0 ? check_input(pool, options) : code;
}

static uint64_t depth_of(const forkfold_pool *pool, const forkfold_pipeline_options *options)
{
    uint64_t depth = (uint64_t)pool->layout.workers * DEPTH_PER_WORKER;

    if (options->depth > 0)
        return options->depth;
    return depth > DEPTH_LEAST ? depth : DEPTH_LEAST;
}

/* No more than there are, so that the first item of any batch can be computed. */
static uint64_t batch_items_of(const forkfold_pipeline_options *options)
{
    uint64_t wanted = options->batch_items > 0 ? options->batch_items : BATCH_ITEMS;

    return wanted < options->count ? wanted : options->count;
}

static int fail_for_memory(forkfold_pool *pool)
{
    ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a pipeline");
    return FORKFOLD_E_MEMORY;
}

/* Begins the stage's call; what its items are given is where the stage before writes. */
static int open_stage(forkfold_pipeline *pipeline, struct stage *stage,
                      const forkfold_stage *wanted)
{
    const forkfold_pipeline_options *options = &pipeline->options;
    const struct ff_varying_result *batches = pipeline->input;
    forkfold_pool *pool = pipeline->pool;
    int code;

    stage->replicas = wanted->replicas;
    stage->phases = calloc(pipeline->depth, 1);
    if (stage->phases == NULL)
        return fail_for_memory(pool);
    code =
        ff_items_begin_call(pipeline->pool,
                            &(forkfold_call_options){.function = wanted->function,
                                                     .count = UINT64_MAX,
                                                     .context = wanted->context,
                                                     .context_bytes = wanted->context_bytes,
                                                     .results_vary = 1,
                                                     .chunk = 1,
                                                     .timeout_ns = wanted->timeout_ns,
                                                     .retries_plus_one = wanted->retries_plus_one,
                                                     .deadline_ns = options->deadline_ns,
                                                     .stop_on_failure = options->stop_on_failure,
                                                     .buffer_items = pipeline->depth},
                            FF_CALL_STAGE, &stage->call);
    if (code < 0)
        return code;
    if (stage != pipeline->stages)
        batches = (const struct ff_varying_result *)(const void *)stage[-1].call->owner->results;
    stage->call->owner->arguments[0] = (struct ff_argument){.batches = batches};
    stage->call->owner->argument_count = 1;
    return 0;
}

static int open_all(forkfold_pipeline *pipeline)
{
    forkfold_pool *pool = pipeline->pool;
    unsigned stage = 0;
    int code;

    pipeline->copies = calloc(pipeline->depth, sizeof(*pipeline->copies));
    if (pipeline->copies == NULL)
        return fail_for_memory(pool);
    pipeline->input =
        ff_arena_take(&pool->items.arrays, pipeline->depth * sizeof(*pipeline->input));
    if (pipeline->input == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "the region has no room for a pipeline; make it less deep or raise the "
                            "limit of address space (ulimit -v)");
    do
        code = open_stage(pipeline, &pipeline->stages[stage], &pipeline->options.stages[stage]);
    while (code == 0 && ++stage < pipeline->options.stage_count);
    return code == 0 ? feed(pipeline) : code;
}

int forkfold_pipeline_open(forkfold_pool *pool, const forkfold_pipeline_options *options,
                           forkfold_pipeline **result)
{
    forkfold_pipeline *pipeline;
    int code = check(pool, options, result);

    if (code < 0)
        return code;
    pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL)
        return fail_for_memory(pool);
    pipeline->pool = pool;
    pipeline->options = *options;
    pipeline->options.batch_items = batch_items_of(options);
    pipeline->depth = depth_of(pool, options);
    code = open_all(pipeline);
    if (code < 0) {
        struct ff_error why = pool->error;

        forkfold_pipeline_close(pipeline);
        pool->error = why;
        return code;
    }
    *result = pipeline;
    return 0;
}

static void give_input(forkfold_pipeline *pipeline)
{
    struct ff_arena *arena = &pipeline->pool->items.arrays;

    for (uint64_t i = 0; pipeline->copies != NULL && i < pipeline->depth; i++)
        ff_arena_give(arena, pipeline->copies[i].base, pipeline->copies[i].bytes);
    ff_arena_give(arena, pipeline->input, pipeline->depth * sizeof(*pipeline->input));
}

/* Returns when no worker is in any stage: until then it may read what the stage before has made. */
static void stop(forkfold_pipeline *pipeline)
{
    unsigned count = pipeline->options.stage_count;

    for (unsigned i = 0; i < count && pipeline->stages[i].call != NULL; i++)
        forkfold_call_cancel(pipeline->stages[i].call);
    for (unsigned i = 0; i < count && pipeline->stages[i].call != NULL; i++)
        ff_items_drain_call(pipeline->stages[i].call);
}

void forkfold_pipeline_close(forkfold_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    /* In a forked child there is nothing of it but the handle. */
    if (ff_pool_is_here(pipeline->pool)) {
        stop(pipeline);
        give_input(pipeline);
    }
    for (unsigned i = 0; i < pipeline->options.stage_count; i++) {
        forkfold_call_close(pipeline->stages[i].call);
        free(pipeline->stages[i].phases);
    }
    free(pipeline->copies);
    pipeline->is_closed = true;
    if (pipeline->holds == 0)
        free(pipeline);
}
