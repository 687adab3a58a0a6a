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

#endif
