/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding counts that did not fit in memory: calls of the same pool that turn
 * spilled partials into others.
 *
 *   gather   an item is a partial in the region; it becomes a spilled one, by key
 *   merge    an item is a run of spilled partials; they become one of the same order
 *   rank     an item is a range of the keys; of all spilled partials it becomes
 *            some in the order of the result, each as large as memory allows
 *
 * Gathering and ranking are one call each.  Merging is there so that no process
 * reads from more partials at once than its memory has room for: one call or
 * none before ranking, and likewise before the driver reads.
 *
 * Any of them may die: what it wrote and had not sealed nobody knows of.
 */
#ifndef FF_JOBS_WORDS_DISK_H
#define FF_JOBS_WORDS_DISK_H

#include "flow/partial.h"
#include "jobs/spilled.h"

extern const struct ff_job ff_words_disk_job;

enum ff_disk_stage { FF_DISK_GATHER, FF_DISK_MERGE, FF_DISK_RANK };

/* Where one range of the keys ends and the next begins. */
struct ff_key_cut {
    const char *key;
    size_t key_bytes;
};

/* The context: in the input area, as all that it points to. */
struct ff_disk_context {
    enum ff_disk_stage stage;
    enum ff_order order; /* of what is merged */
    uint64_t fingerprint;
    const struct ff_combiner *combiner;       /* of the values, NULL for counts */
    uint64_t memory_bytes;                    /* for one worker */
    const struct ff_partial *const *partials; /* gather: item i is partials[i] */
    const struct ff_spilled *spilled;
    size_t spilled_count;
    size_t fan_in;                 /* merge: item i is spilled[i * fan_in] and those behind it */
    const struct ff_key_cut *cuts; /* rank: item i is keys from cuts[i - 1] to below cuts[i] */
    size_t cut_count;              /* one less than there are ranges */
};

/* The payload of a seal: what this slot has written. */
struct ff_disk_seal {
    uint64_t count;
    struct ff_spilled written[];
};

#endif
