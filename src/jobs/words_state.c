/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_state.h"

#include <malloc.h>
#include <stdlib.h>

enum {
    /* Uncommitted files after which a seal lets the driver commit some. */
    UNCOMMITTED_MAX = 32,
    /* Of memory that was freed: so much stays with the worker, in blocks of at most so many bytes. */
    KEPT_BYTES = 32 << 20,
    KEPT_BLOCK_BYTES = 4 << 20
};

/* ---- The budget ---------------------------------------------------------- */

/* The larger of two tallies of which the first may be none; not one that cannot give way. */
static struct ff_tally *larger(const struct ff_words_state *state, struct ff_tally *a,
                               struct ff_tally *b, const struct ff_table *growing)
{
    bool is_growing = growing != NULL && growing == &b->counts;
    bool is_empty = is_growing ? b->counts.used == 0 : ff_table_bytes(&b->counts) == 0;

    if (b == state->source || is_empty)
        return a;
    return a == NULL || ff_table_bytes(&b->counts) > ff_table_bytes(&a->counts) ? b : a;
}

/*
 * Emptying small tables would write many small partials.  The largest is given back, but if it is
 * the one that grows, which would want it again.
 */
int ff_words_relieve(struct ff_words_state *state, const struct ff_table *growing)
{
    struct ff_tally *largest = larger(state, NULL, &state->whole, growing);
    int code = 0;

    largest = larger(state, largest, &state->staged, growing);
    for (size_t i = 0; i < state->open_count; i++)
        largest = larger(state, largest, &state->open[i].tally, growing);
    if (largest == NULL)
        return 0;
    if (largest->counts.used > 0)
        code = ff_tally_spill(largest, state->worker, state->context->fingerprint);
    if (growing != &largest->counts)
        ff_table_free(&largest->counts);
    return code < 0 ? code : 1;
}

static int relieve(void *context, const struct ff_table *growing)
{
    return ff_words_relieve(context, growing);
}

/* Where both would not fit beside each other, the one that goes is written first. */
int ff_words_merge(struct ff_words_state *state, struct ff_tally *into, struct ff_tally *from)
{
    int code = 0;

    if (ff_table_bytes(&from->counts) > state->budget.limit_bytes / 2 && from->counts.used > 0)
        code = ff_tally_spill(from, state->worker, state->context->fingerprint);
    state->source = from;
    if (code == 0)
        code = ff_tally_merge(into, from);
    state->source = NULL;
    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    return code;
}

/* ---- The state ----------------------------------------------------------- */

/*
 * Texts in memory are short and come one after the other: each needs again what the one before has
 * freed, and getting it from the system would take a fault for each page.
 */
static void keep_freed_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

int ff_words_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct ff_words_state *state = calloc(1, sizeof(*state));
    const struct ff_combiner *combiner;

    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    state->context = context;
    combiner = ff_combiner_unless_counts(&state->context->combiner);
    if (state->context->text != NULL)
        keep_freed_memory();
    state->open_limit = UNCOMMITTED_MAX;
    state->budget = (struct ff_budget){
        .limit_bytes = state->context->table_bytes, .relieve = relieve, .context = state};
    state->file.folder.fd = -1;
    ff_tally_init(&state->whole, &state->budget, combiner);
    ff_tally_init(&state->staged, &state->budget, combiner);
    ff_word_kernel_init(&state->kernel, state->context->rule, state->context->invalid);
    state->kernel.variant = state->context->scan;
    *result = state;
    return 0;
}

void ff_words_detach(void *pointer)
{
    struct ff_words_state *state = pointer;

    for (size_t i = 0; i < state->open_count; i++)
        ff_tally_free(&state->open[i].tally);
    free(state->open);
    ff_file_text_free(&state->file);
    ff_tally_free(&state->staged);
    ff_tally_free(&state->whole);
    ff_word_kernel_free(&state->kernel);
    free(state);
}

/* ---- Uncommitted counts -------------------------------------------------- */

struct ff_tally *ff_words_uncommitted(struct ff_words_state *state, uint64_t group)
{
    for (size_t i = state->open_count; i-- > 0;)
        if (state->open[i].group == group)
            return &state->open[i].tally;
    if (state->open_count == state->open_capacity) {
        size_t capacity = state->open_capacity > 0 ? state->open_capacity * 2 : 8;
        void *grown = realloc(state->open, capacity * sizeof(*state->open));

        if (grown == NULL)
            return NULL;
        state->open = grown;
        state->open_capacity = capacity;
    }
    struct ff_uncommitted *added = &state->open[state->open_count++];

    added->group = group;
    ff_tally_init(&added->tally, &state->budget, NULL);
    return &added->tally;
}

int ff_words_commit_decided(struct ff_words_state *state)
{
    int code = 0;

    /* Backwards, so that the last takes the place of one that leaves. */
    for (size_t i = state->open_count; i-- > 0 && code == 0;) {
        struct ff_uncommitted *open = &state->open[i];
        uint64_t decided = ff_input_state(&state->context->inputs[open->group]);

        if (decided == FF_GROUP_OPEN)
            continue;
        if (decided == FF_GROUP_GOOD)
            code = ff_words_merge(state, &state->whole, &open->tally);
        ff_tally_free(&open->tally);
        *open = state->open[--state->open_count];
    }
    state->open_limit =
        state->open_count * 2 > UNCOMMITTED_MAX ? state->open_count * 2 : UNCOMMITTED_MAX;
    return code;
}
