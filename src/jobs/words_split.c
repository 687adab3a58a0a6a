/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "jobs/words_counting.h"

/* What the seals say of one group: how many of its pieces are covered, and whether one failed. */
struct verdict {
    uint64_t covered;
    bool failed;
};

static void judge_claims(const struct ff_counting *counting, unsigned slot, uint64_t covered,
                         struct verdict *verdicts)
{
    const struct ff_layout *layout = &counting->pool->layout;
    const struct ff_input *inputs = counting->input.context->inputs;
    size_t near[FF_BOARD_COUNT] = {0};
    struct ff_task task;

    for (uint64_t i = 0; i < covered; i++) {
        if (!ff_layout_task(layout, layout->segments[slot].claims[i], near, &task))
            continue;
        /* A task that was queued again may span files. */
        for (uint64_t item = task.first;
             item < task.first + task.count && item < counting->input.count; item++)
            verdicts[ff_input_group(inputs, item)].covered++;
    }
}

/* False when the seal went out of use while it was read: two newer ones have been published. */
static bool judge_seal(const struct ff_counting *counting, unsigned slot, struct verdict *verdicts)
{
    const struct ff_segment_areas *areas = &counting->pool->layout.segments[slot];
    const struct ff_input *inputs = counting->input.context->inputs;
    uint64_t sealed;
    bool damaged;
    const struct ff_seal *seal = ff_seal_find(areas, counting->pool->sequence, &sealed, &damaged);

    if (seal == NULL)
        return !damaged;
    judge_claims(counting, slot, ff_sealed_covered(sealed), verdicts);
    for (uint64_t i = 0; i < seal->failure_count; i++) {
        uint64_t item = ff_seal_failures(seal)[i].item;

        if (item < counting->input.count)
            verdicts[ff_input_group(inputs, item)].failed = true;
    }
    return ff_observe(&areas->head->sealed) == sealed;
}

/* Whether a slot has published a seal since the last look; *seen remembers. */
static bool has_new_seals(struct ff_counting *counting)
{
    bool found = false;

    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        uint64_t sealed = ff_observe(&counting->pool->layout.segments[slot].head->sealed);

        found |= sealed != counting->seals_seen[slot];
        counting->seals_seen[slot] = sealed;
    }
    return found;
}

/*
 * Decides about split files whose pieces are all sealed, so that workers can
 * add their counts to the whole instead of keeping them apart.  A decision is final: what is sealed
 * is not run again.  Leaving a file undecided is always right; the fold decides about it.
 */
void ff_words_decide_split_files(struct ff_counting *counting)
{
    struct ff_input *inputs = counting->input.context->inputs;
    struct verdict *verdicts;
    bool whole = true;

    if (counting->undecided == 0 || !has_new_seals(counting))
        return;
    verdicts = calloc(counting->input.count, sizeof(*verdicts));
    if (verdicts == NULL)
        return;
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++)
        if (ff_observe(&counting->pool->layout.segments[slot].head->call) ==
            counting->pool->sequence)
            whole &= judge_seal(counting, slot, verdicts);
    for (uint64_t item = 0; whole && item < counting->input.count;
         item += ff_input_pieces(&inputs[item])) {
        struct ff_split_file *split = inputs[item].split;

        if (split == NULL || verdicts[item].covered != split->pieces ||
            ff_peer_get(&split->state) != FF_GROUP_OPEN)
            continue;
        ff_publish(&split->state, verdicts[item].failed ? FF_GROUP_BAD : FF_GROUP_GOOD);
        counting->undecided--;
    }
    free(verdicts);
}
