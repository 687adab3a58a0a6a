/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding partials, in parallel by key range.
 *
 * The hash space is cut into range_count equal ranges.  Each range is folded
 * on its own: its entries of all partials are summed by key and ordered.  The
 * sorted ranges are then merged while they are read (merge.h).  No step depends on how
 * many partials there are or on their order, so the result is the same bytes
 * whatever workers, timing and crashes made of the input (I7).
 */
#ifndef FF_FLOW_FOLD_H
#define FF_FLOW_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "flow/entry.h"
#include "flow/merge.h"
#include "flow/partial.h"

/* The memory of whoever folds ranges of the same partials, one after the other. */
struct ff_fold {
    const struct ff_partial *const *partials; /* borrowed */
    size_t partial_count;
    const struct ff_combiner *combiner; /* set after opening, borrowed; NULL = counts */
    struct ff_partial_place *positions; /* of each partial: what is not folded yet */
    struct ff_partial_place *ends;      /* of each partial: what is behind the block */
    struct ff_fold_index_slot *index;
    size_t index_size; /* slots there is memory for */
    unsigned bits;     /* the block uses the first 2^bits of them */
    struct ff_entry *entries;
    size_t entries_size;
};

/* 0 or FORKFOLD_E_MEMORY; the fold is to be closed in any case. */
int ff_fold_open(struct ff_fold *fold, const struct ff_partial *const *partials,
                 size_t partial_count);
void ff_fold_close(struct ff_fold *fold);

/* The most bytes that ff_fold_range can write. */
size_t ff_fold_range_bound(const struct ff_fold *fold, unsigned range, unsigned range_count);

/*
 * Folds one range into out, which has room for ff_fold_range_bound() bytes, as a run in the order
 * of the result.  Range r of R holds the hashes from r * 2^32 / R up to (r + 1) * 2^32 / R.  0,
 * FORKFOLD_E_MEMORY, FORKFOLD_E_LIMIT when 2^30 entries share a hash, or what ff_combine says.
 */
int ff_fold_range(struct ff_fold *fold, unsigned range, unsigned range_count, unsigned char *out,
                  struct ff_run *run);

#endif
