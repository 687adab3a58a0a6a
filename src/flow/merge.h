/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading several sorted sequences as one: folded ranges in memory, or partials in files.
 */
#ifndef FF_FLOW_MERGE_H
#define FF_FLOW_MERGE_H

#include <stddef.h>

#include "flow/entry.h"
#include "flow/partial_file.h"

/* A source in the contest: the words that its head is ordered by, as far as they tell. */
struct ff_contender {
    uint64_t major;
    uint64_t minor;
    size_t source;
};

/*
 * Which source has the first head, the next entry of each; ties by their number.  A tree of
 * matches: the sources are its leaves, numbered from source_count on, and each match below 2 * n and
 * 2 * n + 1 keeps who has lost it.  When the winner gets another head, only the matches on its way
 * are played again.
 */
struct ff_contest {
    const struct ff_entry **heads; /* NULL when a source is exhausted */
    struct ff_contender *losers;   /* of matches 1 to source_count - 1; 0 is the winner of all */
    size_t source_count;
    size_t left; /* sources that are not exhausted */
    enum ff_order order;
};

/* ---- Runs in memory ------------------------------------------------------ */

/* One folded range: records (record.h) in the order of the result. */
struct ff_run {
    const unsigned char *records; /* FF_RECORD_SLACK bytes follow them */
    size_t bytes;
    size_t count;
};

struct ff_merge {
    const struct ff_run *runs; /* borrowed until ff_merge_free */
    size_t run_count;
    struct ff_entry *entries;   /* of each run, the next */
    const unsigned char **next; /* of each run, what comes after that */
    struct ff_entry entry;      /* the one that was returned last */
    struct ff_contest contest;
};

/* 0, FORKFOLD_E_MEMORY, or FORKFOLD_E_LIMIT for more than UINT_MAX runs. */
int ff_merge_init(struct ff_merge *merge, const struct ff_run *runs, size_t run_count);

/* NULL at the end.  The entry is valid until the next call, its key as long as the run. */
const struct ff_entry *ff_merge_next(struct ff_merge *merge);

void ff_merge_rewind(struct ff_merge *merge); /* to the first entry */
void ff_merge_free(struct ff_merge *merge);   /* {0} is allowed */

/* ---- Partials in files --------------------------------------------------- */

struct ff_file_merge {
    struct ff_partial_reader *readers;  /* borrowed, one per source */
    const struct ff_combiner *combiner; /* set after opening, borrowed; NULL = counts */
    struct ff_contest contest;
    struct ff_byte_buffer key; /* of the entry that was returned last */
    size_t failed; /* the reader that FORKFOLD_E_SPILL or FORKFOLD_E_DAMAGED came from */
};

/*
 * Begins with the next entry of each reader; all have the same order.  0, FORKFOLD_E_MEMORY,
 * FORKFOLD_E_LIMIT, or what reading says; then and later, the merge is to be closed all the same.
 */
int ff_file_merge_open(struct ff_file_merge *merge, struct ff_partial_reader *readers, size_t count,
                       enum ff_order order);

/*
 * 1 with the next entry, whose key is valid until the next call; 0 at the end; or a negative code
 * as ff_file_merge_open, or what ff_combine says.  By key, equal keys are one entry with the sum of
 * their counts; by rank, keys occur once.
 */
int ff_file_merge_next(struct ff_file_merge *merge, struct ff_entry *entry);

void ff_file_merge_close(struct ff_file_merge *merge); /* {0} is allowed */

#endif
