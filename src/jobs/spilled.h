/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partials that a worker appends to its slot's spill file, and lists of them.  Whoever seals names
 * what belongs to the seal; what a dead worker wrote and did not seal only takes up room.
 */
#ifndef FF_JOBS_SPILLED_H
#define FF_JOBS_SPILLED_H

#include "flow/partial_file.h"
#include "pool/job.h"

/* A partial in the spill file of a slot.  Lies in seals. */
struct ff_spilled {
    uint64_t slot;
    struct ff_extent extent;
};

/* {0} is an empty list. */
struct ff_spilled_list {
    struct ff_spilled *items;
    size_t count;
    size_t capacity;
};

int ff_spilled_list_add(struct ff_spilled_list *list, const struct ff_spilled *spilled,
                        size_t count); /* 0 or FORKFOLD_E_MEMORY */
void ff_spilled_list_free(struct ff_spilled_list *list);

/*
 * Begins a partial behind the end of the worker's spill file; to be ended by ff_spill_end.  combiner:
 * that of its values, NULL for counts.  0, FORKFOLD_E_MEMORY or FORKFOLD_E_SPILL, explained, as every
 * such code here.
 */
int ff_spill_begin(struct ff_worker *worker, enum ff_order order, uint64_t fingerprint,
                   const struct ff_combiner *combiner, struct ff_partial_writer *writer);

/*
 * Finishes the partial, unless code says that adding to it failed, and adds it to the list; closes
 * the writer in any case.  0 or the first code.
 */
int ff_spill_end(struct ff_worker *worker, struct ff_partial_writer *writer, int code,
                 struct ff_spilled_list *list);

/* Writes count sorted entries as one partial.  Codes as above, and FORKFOLD_E_LIMIT. */
int ff_spill_entries(struct ff_worker *worker, const struct ff_entry *entries, size_t count,
                     enum ff_order order, uint64_t fingerprint, const struct ff_combiner *combiner,
                     struct ff_spilled_list *list);

#endif
