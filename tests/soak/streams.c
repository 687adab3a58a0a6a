/* SPDX-License-Identifier: Apache-2.0 */
/* Queues, pipelines and dictionaries. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/* ---- Queues -------------------------------------------------------------- */

enum { BATCH_MOST = 40, GIVEN_BACK_ONE_IN = 50, PATIENCE_NS = 1000 * 1000 };

/* The host puts numbers, workers pass on what they make of them, the host gets that. */
struct course {
    forkfold_queue *in;
    forkfold_queue *out;
    uint64_t most; /* of a batch that are taken at once */
};

struct made {
    uint64_t number;
    uint64_t mixed;
};

static int pass_on(const struct course *course)
{
    struct made made[BATCH_MOST];
    forkfold_batch batch;
    int code;

    while ((code = forkfold_queue_get(course->in, course->most, &batch, UINT64_MAX)) == 1) {
        const uint64_t *numbers = batch.items;

        for (uint64_t i = 0; i < batch.count; i++) {
            made[i].number = numbers[i];
            made[i].mixed = mix(numbers[i]);
        }
        if (batch.returns == 0 && made[0].mixed % GIVEN_BACK_ONE_IN == 0)
            code = forkfold_queue_give_back(course->in);
        else
            code = forkfold_queue_pass_on(course->in, course->out, made, batch.count, UINT64_MAX);
        if (code < 0)
            return code;
    }
    return code;
}

static int pass_on_item(const forkfold_item *item)
{
    const struct course *course = item->context;
    int code = pass_on(course);

    if (code == 0)
        code = forkfold_queue_end(course->out, (unsigned)item->index);
    return code == 0 ? 0 : forkfold_item_fail(item, "%s", forkfold_strerror(code));
}

/* What there is room for, from next on; the next one then. */
static uint64_t put_some(struct soak *soak, forkfold_queue *queue, uint64_t next, uint64_t count,
                         uint64_t batch_items)
{
    uint64_t numbers[BATCH_MOST];
    int code = 0;

    while (next < count && code == 0) {
        uint64_t many = 1 + draw(soak, batch_items);

        if (many > count - next)
            many = count - next;
        for (uint64_t i = 0; i < many; i++)
            numbers[i] = next + i;
        code = forkfold_queue_put(queue, numbers, many, 0);
        EXPECT(soak, code == 0 || code == FORKFOLD_E_PENDING, "put: %s",
               forkfold_pool_message(soak->pool));
        next += code == 0 ? many : 0;
    }
    if (next == count)
        MUST(soak, forkfold_queue_end(queue, 0));
    return next;
}

static void check_batch(const struct soak *soak, const forkfold_batch *batch, uint64_t count,
                        char *seen)
{
    const struct made *made = batch->items;

    for (uint64_t i = 0; i < batch->count; i++) {
        EXPECT(soak, made[i].number < count && made[i].mixed == mix(made[i].number),
               "%" PRIu64 " is wrong", made[i].number);
        EXPECT(soak, !seen[made[i].number], "%" PRIu64 " comes twice", made[i].number);
        seen[made[i].number] = 1;
    }
}

static void exchange(struct soak *soak, const struct course *course, uint64_t count,
                     uint64_t batch_items)
{
    char *seen = allocate(soak, count);
    uint64_t next = 0, received = 0;
    forkfold_batch batch;
    int code;

    memset(seen, 0, count);
    do {
        if (next < count)
            next = put_some(soak, course->in, next, count, batch_items);
        code = forkfold_queue_get(course->out, 0, &batch, next < count ? PATIENCE_NS : UINT64_MAX);
        EXPECT(soak, code >= 0 || code == FORKFOLD_E_PENDING, "get: %s",
               forkfold_pool_message(soak->pool));
        if (code == 1) {
            check_batch(soak, &batch, count, seen);
            received += batch.count;
        }
    } while (code != 0);
    EXPECT(soak, received == count, "%" PRIu64 " of %" PRIu64, received, count);
    free(seen);
}

void soak_queue(struct soak *soak)
{
    uint64_t batch_items = 1 + draw(soak, BATCH_MOST), count = 1 + draw_size(soak, 14);
    unsigned consumers = 1 + (unsigned)draw(soak, soak->workers);
    forkfold_queue_options in = {
        .item_bytes = sizeof(uint64_t), .batch_items = batch_items, .depth = draw_size(soak, 8)};
    forkfold_queue_options out = {.item_bytes = sizeof(struct made),
                                  .batch_items = batch_items,
                                  .depth = draw_size(soak, 8),
                                  .producers = consumers};
    struct course course = {.most = draw(soak, 3)};
    forkfold_call_options options = {.function = pass_on_item,
                                     .count = consumers,
                                     .chunk = 1,
                                     .context = &course,
                                     .context_bytes = sizeof(course),
                                     .retries_plus_one = ATTEMPTS,
                                     .stop_on_failure = 1};
    forkfold_call *call;

    MUST(soak, forkfold_queue_open(soak->pool, &in, &course.in));
    MUST(soak, forkfold_queue_open(soak->pool, &out, &course.out));
    MUST(soak, forkfold_map_async(soak->pool, &options, &call));
    exchange(soak, &course, count, batch_items);
    MUST(soak, forkfold_call_wait(call, UINT64_MAX));
    forkfold_call_close(call);
    forkfold_queue_close(course.out);
    forkfold_queue_close(course.in);
}

/* ---- Pipelines ----------------------------------------------------------- */

enum { STAGES_MOST = 5, WAYS = 4 };

/* What a stage makes of a batch, whose numbers it may drop or double: at most twice as many. */
static size_t run_stage(unsigned way, const uint64_t *in, size_t count, uint64_t *out)
{
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        switch (way) {
        case 0: /* one for one */
            out[made++] = mix(in[i]);
            break;
        case 1: /* some */
            if (in[i] % 3 != 0)
                out[made++] = in[i];
            break;
        case 2: /* more */
            out[made++] = in[i];
            if (in[i] % 4 == 0)
                out[made++] = in[i] / 4;
            break;
        default: /* it takes longer */
            spin(200);
            out[made++] = in[i] + 1;
        }
    }
    return made;
}

static int stage_item(const forkfold_item *item)
{
    size_t count = item->argument_bytes[0] / sizeof(uint64_t);
    uint64_t *made = malloc((2 * count + 1) * sizeof(*made));
    uint64_t *out = NULL;

    if (made != NULL) {
        count = run_stage(*(const unsigned *)item->context, item->arguments[0], count, made);
        out = forkfold_item_reserve(item, count * sizeof(*out));
    }
    if (out != NULL)
        memcpy(out, made, count * sizeof(*out));
    free(made);
    return out != NULL ? 0 : forkfold_item_fail(item, "no room");
}

struct plan {
    forkfold_pipeline_options options;
    unsigned ways[STAGES_MOST];
};

static void draw_plan(struct soak *soak, struct plan *plan)
{
    plan->options =
        (forkfold_pipeline_options){.stage_count = 1 + (unsigned)draw(soak, STAGES_MOST),
                                    .count = 1 + draw_size(soak, 14),
                                    .item_bytes = sizeof(uint64_t),
                                    .batch_items = 1 + draw_size(soak, 9),
                                    .depth = (unsigned)draw_size(soak, 5),
                                    .unordered = draw(soak, 2) == 0,
                                    .stop_on_failure = 1};
    for (unsigned i = 0; i < plan->options.stage_count; i++) {
        plan->ways[i] = (unsigned)draw(soak, WAYS);
        plan->options.stages[i] =
            (forkfold_stage){.function = stage_item,
                             .context = &plan->ways[i],
                             .context_bytes = sizeof(plan->ways[i]),
                             .replicas = (unsigned)draw(soak, soak->workers + 1),
                             .retries_plus_one = ATTEMPTS};
    }
}

/* Compares one batch with what the stages make of it one after the other, here. */
static void check_result(const struct soak *soak, const struct plan *plan,
                         const forkfold_result *result)
{
    uint64_t first = result->index * plan->options.batch_items;
    size_t count = plan->options.batch_items;
    uint64_t *now, *next;

    EXPECT(soak, first < plan->options.count, "there is no batch %" PRIu64, result->index);
    if (count > plan->options.count - first)
        count = plan->options.count - first;
    now = allocate(soak, count * sizeof(*now));
    memcpy(now, (const uint64_t *)plan->options.items + first, count * sizeof(*now));
    for (unsigned i = 0; i < plan->options.stage_count; i++) {
        next = allocate(soak, 2 * count * sizeof(*next));
        count = run_stage(plan->ways[i], now, count, next);
        free(now);
        now = next;
    }
    EXPECT(soak,
           result->bytes == count * sizeof(*now) && memcmp(result->data, now, result->bytes) == 0,
           "batch %" PRIu64 " is wrong", result->index);
    free(now);
}

void soak_pipeline(struct soak *soak)
{
    struct plan plan;
    uint64_t *items, batches, done = 0;
    forkfold_pipeline *pipeline;
    forkfold_result result;
    char *seen;
    int more;

    draw_plan(soak, &plan);
    items = allocate(soak, plan.options.count * sizeof(*items));
    for (uint64_t i = 0; i < plan.options.count; i++)
        items[i] = mix(i);
    plan.options.items = items;
    batches = (plan.options.count - 1) / plan.options.batch_items + 1;
    seen = allocate(soak, batches);
    memset(seen, 0, batches);
    MUST(soak, forkfold_pipeline_open(soak->pool, &plan.options, &pipeline));
    while ((more = forkfold_pipeline_next(pipeline, &result)) == 1) {
        check_result(soak, &plan, &result);
        EXPECT(soak, (plan.options.unordered || result.index == done) && !seen[result.index],
               "batch %" PRIu64 " comes at %" PRIu64, result.index, done);
        seen[result.index] = 1;
        done++;
    }
    MUST(soak, more);
    EXPECT(soak, done == batches, "%" PRIu64 " of %" PRIu64 " batches", done, batches);
    forkfold_pipeline_close(pipeline);
    free(seen);
    free(items);
}

/* ---- Dictionaries -------------------------------------------------------- */

/* Room for all keys, but of bytes for more: those of a key may be lost with who adds it. */
enum { KEYS = 97, HEAP_BYTES = 1 << 20 };

static int add_item(const forkfold_item *item)
{
    forkfold_dictionary *dictionary = *(forkfold_dictionary *const *)item->context;
    char key[16];
    int bytes = snprintf(key, sizeof(key), "key %d", (int)(item->index % KEYS));

    return forkfold_dictionary_add(dictionary, key, (size_t)bytes, 1);
}

/* Additions are made at least once, and exactly so where nobody dies. */
void soak_dictionary(struct soak *soak)
{
    uint64_t per_key = 1 + draw_size(soak, 8), kills = killer_kills(), keys = 0;
    forkfold_dictionary *dictionary;
    forkfold_call_options options = {.function = add_item,
                                     .count = per_key * KEYS,
                                     .context = &dictionary,
                                     .context_bytes = sizeof(forkfold_dictionary *),
                                     .retries_plus_one = ATTEMPTS,
                                     .stop_on_failure = 1};
    forkfold_dictionary_entry entry;
    forkfold_call *call;
    int more;

    MUST(soak,
         forkfold_dictionary_open(
             soak->pool, &(forkfold_dictionary_options){.capacity = KEYS, .key_bytes = HEAP_BYTES},
             &dictionary));
    MUST(soak, forkfold_map(soak->pool, &options, &call));
    forkfold_call_close(call);
    for (; (more = forkfold_dictionary_next(dictionary, &entry)) == 1; keys++)
        EXPECT(soak,
               (uint64_t)entry.value == per_key ||
                   ((uint64_t)entry.value > per_key && killer_kills() > kills),
               "%" PRId64 " instead of %" PRIu64, entry.value, per_key);
    MUST(soak, more);
    EXPECT(soak, keys == KEYS, "%" PRIu64 " keys", keys);
    forkfold_dictionary_close(dictionary);
}
