/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_tally.h"

#include <stdlib.h>

#include <forkfold/error.h>

enum {
    /* A table that has grown to so many slots, or bytes of keys, is given back instead of cleared ... */
    SLOTS_KEPT = 4096,
    HEAP_BYTES_KEPT = 1 << 20,
    /* ... unless one in so many of its slots was used. */
    SLOTS_PER_KEY_KEPT = 8
};

void ff_tally_init(struct ff_tally *tally, struct ff_budget *budget,
                   const struct ff_combiner *combiner)
{
    *tally = (struct ff_tally){0};
    ff_table_init(&tally->counts);
    tally->counts.budget = budget;
    tally->counts.combiner = combiner;
}

void ff_tally_free(struct ff_tally *tally)
{
    ff_table_free(&tally->counts);
    ff_spilled_list_free(&tally->spilled);
    tally->adds = 0;
}

void ff_tally_clear(struct ff_tally *tally)
{
    struct ff_table *counts = &tally->counts;

    if ((counts->slot_count > SLOTS_KEPT &&
         counts->slot_count / SLOTS_PER_KEY_KEPT > counts->used) ||
        counts->heap_size > HEAP_BYTES_KEPT)
        ff_table_free(counts);
    else
        ff_table_clear(counts);
    ff_spilled_list_free(&tally->spilled);
    tally->adds = 0;
}

int ff_tally_spill(struct ff_tally *tally, struct ff_worker *worker, uint64_t fingerprint)
{
    const struct ff_table *counts = &tally->counts;
    struct ff_housekeeping housekeeping = ff_worker_begin_housekeeping(worker);
    struct ff_entry *entries = malloc(counts->used * sizeof(*entries));
    size_t count = 0;
    int code;

    if (entries == NULL)
        return FORKFOLD_E_MEMORY; /* the worker ends, and no item is to blame */
    for (size_t i = 0; i < counts->slot_count; i++)
        if (counts->slots[i].tally != 0)
            entries[count++] = ff_entry_of(&counts->slots[i], counts->heap);
    ff_entries_sort(entries, count, FF_BY_KEY, NULL);
    code = ff_spill_entries(worker, entries, count, FF_BY_KEY, fingerprint, counts->combiner,
                            &tally->spilled);
    free(entries);
    if (code == 0)
        ff_table_clear(&tally->counts);
    ff_worker_end_housekeeping(worker, housekeeping);
    return code;
}

int ff_tally_merge(struct ff_tally *into, const struct ff_tally *from)
{
    int code = ff_table_merge(&into->counts, &from->counts);

    into->adds += from->adds;
    return code < 0 ? code
                    : ff_spilled_list_add(&into->spilled, from->spilled.items, from->spilled.count);
}
