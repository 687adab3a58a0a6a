/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_fold.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

struct fold_state {
    struct ff_worker *worker;
    const struct ff_fold_context *context;
    struct ff_fold fold;
    struct ff_fold_seal *done; /* room for every range */
};

static size_t seal_bytes(uint64_t count)
{
    return sizeof(struct ff_fold_seal) + count * sizeof(((struct ff_fold_seal *)NULL)->folded[0]);
}

static void fold_detach(void *pointer)
{
    struct fold_state *state = pointer;

    ff_fold_close(&state->fold);
    free(state->done);
    free(state);
}

static int fold_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct fold_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    state->context = context;
    state->done = calloc(1, seal_bytes(state->context->range_count));
    if (state->done == NULL ||
        ff_fold_open(&state->fold, state->context->partials, state->context->partial_count) < 0) {
        fold_detach(state);
        return FORKFOLD_E_MEMORY;
    }
    state->fold.combiner = state->context->combiner;
    *result = state;
    return 0;
}

static int fold_run(void *pointer, uint64_t item, struct ff_item_failure *failure)
{
    struct fold_state *state = pointer;
    unsigned range = (unsigned)item;
    unsigned range_count = state->context->range_count;
    unsigned char *out =
        ff_worker_output(state->worker, ff_fold_range_bound(&state->fold, range, range_count));
    struct ff_run run;

    (void)failure;
    if (out == NULL) {
        ff_worker_explain(state->worker, "the result does not fit the region; raise the limit of "
                                         "address space (ulimit -v)");
        return FORKFOLD_E_LIMIT;
    }
    int code = ff_fold_range(&state->fold, range, range_count, out, &run);

    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    if (code < 0)
        return code;
    uint64_t next = state->done->count++;

    state->done->folded[next].range = item;
    state->done->folded[next].run = run;
    return FF_ITEM_DONE;
}

static int fold_absorb(void *pointer, const void *payload, size_t bytes)
{
    struct fold_state *state = pointer;
    const struct ff_fold_seal *base = payload;

    /* Ranges are covered once, so the two together are no more than there are. */
    if (bytes != seal_bytes(base->count) ||
        base->count > state->context->range_count - state->done->count)
        return FORKFOLD_E_DAMAGED;
    memcpy(&state->done->folded[state->done->count], base->folded,
           base->count * sizeof(base->folded[0]));
    state->done->count += base->count;
    return 0;
}

static int fold_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    struct fold_state *state = pointer;

    *bytes = seal_bytes(state->done->count);
    if (*bytes > capacity)
        return FORKFOLD_E_LIMIT;
    memcpy(payload, state->done, *bytes);
    return 0;
}

const struct ff_job ff_words_fold_job = {
    .name = "fold",
    .attach = fold_attach,
    .detach = fold_detach,
    .run = fold_run,
    .absorb = fold_absorb,
    .seal = fold_seal,
};
