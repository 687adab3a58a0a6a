/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding the partials of a word count: a call of the same pool, whose items
 * are ranges of the hash space.  Its inputs are the sealed partials, which
 * every worker reads in place; a range that a worker dies on is folded again.
 */
#ifndef FF_JOBS_WORDS_FOLD_H
#define FF_JOBS_WORDS_FOLD_H

#include "flow/fold.h"
#include "flow/merge.h"
#include "pool/job.h"

extern const struct ff_job ff_words_fold_job;

/* The context, in the input area like the array. */
struct ff_fold_context {
    unsigned range_count;
    size_t partial_count;
    const struct ff_partial *const *partials;
    const struct ff_combiner *combiner; /* of their values, NULL for counts */
};

/* The payload of a seal: the ranges that this slot has folded. */
struct ff_fold_seal {
    uint64_t count;
    struct {
        uint64_t range;
        struct ff_run run; /* in the output area of the slot */
    } folded[];
};

#endif
