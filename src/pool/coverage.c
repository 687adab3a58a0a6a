/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/coverage.h"

#include <stdlib.h>

#include <forkfold/error.h>

#include "pool/seal.h"

static bool is_covered(const struct ff_coverage *coverage, uint64_t item)
{
    return coverage->bits[item / 64] >> (item % 64) & 1;
}

static void cover(struct ff_coverage *coverage, struct ff_task task)
{
    if (task.first > coverage->items || task.count > coverage->items - task.first) {
        coverage->damaged = true;
        return;
    }
    for (uint64_t item = task.first; item < task.first + task.count; item++) {
        if (is_covered(coverage, item)) {
            coverage->doubled++;
            continue;
        }
        coverage->bits[item / 64] |= UINT64_C(1) << (item % 64);
        coverage->counted++;
    }
}

static void cover_slot(struct ff_coverage *coverage, const struct ff_layout *layout, unsigned slot,
                       uint64_t call)
{
    const struct ff_segment_areas *areas = &layout->segments[slot];
    size_t near[FF_BOARD_COUNT] = {0};
    uint64_t sealed;
    bool damaged;

    if (ff_observe(&areas->head->call) != call)
        return;
    const struct ff_seal *seal = ff_seal_find(areas, call, &sealed, &damaged);

    coverage->damaged |= damaged;
    if (seal == NULL)
        return;
    for (uint64_t i = 0; i < seal->covered; i++) {
        struct ff_task task;

        if (ff_layout_task(layout, areas->claims[i], near, &task))
            cover(coverage, task);
        else
            coverage->damaged = true;
    }
}

int ff_coverage_open(struct ff_coverage *coverage, const struct ff_layout *layout, uint64_t call)
{
    uint64_t quarantined = ff_observe(&layout->supervisor->quarantined);

    *coverage = (struct ff_coverage){.items = ff_board_items(&layout->boards[FF_MAIN])};
    coverage->bits = calloc(coverage->items / 64 + 1, sizeof(*coverage->bits));
    if (coverage->bits == NULL)
        return FORKFOLD_E_MEMORY;
    for (unsigned slot = 0; slot < layout->workers; slot++)
        cover_slot(coverage, layout, slot, call);
    for (uint64_t i = 0; i < quarantined && i < layout->quarantine_capacity; i++)
        cover(coverage, (struct ff_task){.first = layout->quarantine[i].item, .count = 1});
    return 0;
}

void ff_coverage_close(struct ff_coverage *coverage)
{
    free(coverage->bits);
    coverage->bits = NULL;
}

bool ff_coverage_next_missing(const struct ff_coverage *coverage, uint64_t *from,
                              struct ff_task *missing)
{
    uint64_t first = *from;
    uint64_t end;

    while (first < coverage->items && is_covered(coverage, first))
        first++;
    if (first >= coverage->items)
        return false;
    end = first + 1;
    while (end < coverage->items && !is_covered(coverage, end))
        end++;
    *missing = (struct ff_task){.first = first, .count = end - first};
    *from = end;
    return true;
}
