/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sealed partials and the quarantine of a call cover, item by item.
 *
 * The supervisor asks it for what was lost in a window in which a dying worker
 * had taken a task and not yet written it down.  The driver asks it, before it gives any result,
 * whether every item is accounted for exactly once (I2).
 */
#ifndef FF_POOL_COVERAGE_H
#define FF_POOL_COVERAGE_H

#include "pool/shared.h"

struct ff_coverage {
    uint64_t *bits;   /* one per item */
    uint64_t items;   /* that the driver has posted */
    uint64_t counted; /* distinct items that are covered */
    uint64_t doubled; /* items met a second time */
    bool damaged;     /* a seal failed its checks, or a log or record names no item */
};

/* Looks at the whole call.  0 or FORKFOLD_E_MEMORY. */
int ff_coverage_open(struct ff_coverage *coverage, const struct ff_layout *layout, uint64_t call);
void ff_coverage_close(struct ff_coverage *coverage);

/* The next run of items at or after *from that nothing covers; *from moves past it. */
bool ff_coverage_next_missing(const struct ff_coverage *coverage, uint64_t *from,
                              struct ff_task *missing);

#endif
