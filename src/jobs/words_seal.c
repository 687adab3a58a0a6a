/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "jobs/words_job.h"
#include "jobs/words_state.h"

/* Adds what a seal holds of one tally. */
static int absorb(struct ff_tally *tally, const struct ff_words_seal *seal,
                  const struct ff_words_part *part)
{
    const struct ff_spilled *spilled = ff_words_seal_spilled(seal, part);
    int code = ff_partial_add_to(ff_words_seal_partial(seal, part), &tally->counts);

    tally->adds += part->adds;
    return code < 0 ? code : ff_spilled_list_add(&tally->spilled, spilled, part->spilled_count);
}

int ff_words_absorb(void *pointer, const void *payload, size_t bytes)
{
    struct ff_words_state *state = pointer;
    const struct ff_words_seal *seal = payload;
    int code = absorb(&state->whole, seal, &seal->parts[0]);

    (void)bytes; /* the checksum has vouched for the payload */
    for (uint64_t i = 1; i < seal->part_count && code == 0; i++) {
        struct ff_tally *tally = ff_words_uncommitted(state, seal->parts[i].group);

        code = tally == NULL ? FORKFOLD_E_MEMORY : absorb(tally, seal, &seal->parts[i]);
    }
    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    return code;
}

/* Room for so many bytes behind the last, 64-byte aligned; false when there is none. */
static bool append(size_t capacity, size_t *used, size_t bytes, uint64_t *offset)
{
    if (*used > capacity || bytes > capacity - *used)
        return false;
    *offset = *used;
    *used += (bytes + 63) & ~(size_t)63;
    return true;
}

/* 0, FORKFOLD_E_MEMORY, or FORKFOLD_E_LIMIT when there is no room. */
static int append_tally(char *payload, size_t capacity, size_t *used, const struct ff_tally *tally,
                        struct ff_words_part *part)
{
    size_t spilled_bytes = tally->spilled.count * sizeof(*tally->spilled.items);
    size_t start = *used;
    struct ff_partial *partial;
    int code;

    if (!append(capacity, used, ff_partial_bound(&tally->counts), &part->offset))
        return FORKFOLD_E_LIMIT;
    partial = (struct ff_partial *)(payload + part->offset);
    code = ff_partial_write(partial, &tally->counts);
    if (code < 0)
        return code;
    *used = start + partial->bytes;
    if (!append(capacity, used, spilled_bytes, &part->spilled_offset))
        return FORKFOLD_E_LIMIT;
    if (spilled_bytes > 0)
        memcpy(payload + part->spilled_offset, tally->spilled.items, spilled_bytes);
    part->spilled_count = tally->spilled.count;
    part->adds = tally->adds;
    return 0;
}

/* FORKFOLD_E_LIMIT when it needs more room than there is, or FORKFOLD_E_MEMORY. */
static int lay_out_seal(struct ff_words_state *state, void *payload, size_t capacity, size_t *bytes)
{
    struct ff_words_seal *seal = payload;
    uint64_t start;
    int code;

    *bytes = 0;
    if (!append(capacity, bytes, sizeof(*seal) + (state->open_count + 1) * sizeof(seal->parts[0]),
                &start))
        return FORKFOLD_E_LIMIT;
    seal->part_count = state->open_count + 1;
    seal->parts[0] = (struct ff_words_part){.group = FF_GROUP_NONE};
    code = append_tally(payload, capacity, bytes, &state->whole, &seal->parts[0]);
    for (size_t i = 0; i < state->open_count && code == 0; i++) {
        seal->parts[i + 1] = (struct ff_words_part){.group = state->open[i].group};
        code = append_tally(payload, capacity, bytes, &state->open[i].tally, &seal->parts[i + 1]);
    }
    return code;
}

int ff_words_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    struct ff_words_state *state = pointer;
    int code = ff_words_commit_decided(state);

    if (code == 0)
        code = lay_out_seal(state, payload, capacity, bytes);
    /* A long key can make a table larger than its budget and than the seal's room. */
    while (code == FORKFOLD_E_LIMIT) {
        code = ff_words_relieve(state, NULL);
        if (code == 0)
            return FORKFOLD_E_LIMIT;
        if (code > 0)
            code = lay_out_seal(state, payload, capacity, bytes);
    }
    return code;
}

const struct ff_partial *ff_words_seal_partial(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part)
{
    return (const struct ff_partial *)((const char *)seal + part->offset);
}

const struct ff_spilled *ff_words_seal_spilled(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part)
{
    return (const struct ff_spilled *)((const char *)seal + part->spilled_offset);
}
