/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding partials, in parallel by key range.
 *
 * The hash space is cut into range_count equal ranges.  Each range is folded
 * on its own: its entries of all partials are summed by key and ordered.  The
 * sorted ranges are then merged while they are read.  No step depends on how
 * many partials there are or on their order, so the result is the same bytes
 * whatever workers, timing and crashes made of the input (I7).
 */
#ifndef FF_FLOW_FOLD_H
#define FF_FLOW_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "flow/entry.h"
#include "flow/partial.h"

/* How many entries the partials hold in the range: the most that ff_fold_range can write. */
size_t ff_fold_range_bound(const struct ff_partial *const *partials, size_t partial_count,
                           unsigned range, unsigned range_count);

/*
 * Folds one range into out, which has room for ff_fold_range_bound() entries,
 * in the order of the result; *count receives how many.  Range r of R holds the
 * hashes from r * 2^32 / R up to (r + 1) * 2^32 / R.  0, FORKFOLD_E_MEMORY, or
 * FORKFOLD_E_LIMIT when a sum passes 64 bits or 2^30 entries share a hash.
 */
int ff_fold_range(const struct ff_partial *const *partials, size_t partial_count, unsigned range,
                  unsigned range_count, struct ff_entry *out, size_t *count);

/* One folded range, as input of the merge. */
struct ff_run {
    const struct ff_entry *entries;
    size_t count;
};

/* Reads several sorted runs as one; owns only its heap of run numbers. */
struct ff_merge {
    const struct ff_run *runs; /* borrowed until ff_merge_free */
    size_t run_count;
    size_t *positions; /* next entry of each run */
    unsigned *heap;    /* runs that are not exhausted, smallest next entry first */
    size_t heap_count;
};

/* 0, FORKFOLD_E_MEMORY, or FORKFOLD_E_LIMIT for more than UINT_MAX runs. */
int ff_merge_init(struct ff_merge *merge, const struct ff_run *runs, size_t run_count);
const struct ff_entry *ff_merge_next(struct ff_merge *merge); /* NULL at the end */
void ff_merge_rewind(struct ff_merge *merge);                 /* to the first entry */
void ff_merge_free(struct ff_merge *merge);                   /* {0} is allowed */

#endif
