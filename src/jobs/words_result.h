/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a word count, as the driver gathers it. */
#ifndef FF_JOBS_WORDS_RESULT_H
#define FF_JOBS_WORDS_RESULT_H

#include <forkfold/words.h>

#include "flow/merge.h"
#include "jobs/words_input.h"
#include "pool/backtrace.h"
#include "pool/call.h"

struct forkfold_words {
    forkfold_pool *pool;
    struct ff_run *runs; /* one per folded range, in the region */
    struct ff_merge merge;
    forkfold_failure *failures;
    size_t failure_count;
    size_t failure_capacity;
    forkfold_words_totals totals;
};

/*
 * Each adds one failed input.  The path is borrowed from the region; texts are
 * the result's own.  0 or FORKFOLD_E_MEMORY.
 */
int ff_words_fail_found(struct forkfold_words *words, const char *path,
                        const struct ff_found *found);
int ff_words_fail_item(struct forkfold_words *words, const struct ff_input *input,
                       const struct ff_item_failure *from);
int ff_words_fail_quarantined(struct forkfold_words *words, const struct ff_input *input,
                              const struct ff_quarantine *record, struct ff_symbols **symbols);

/* Into byte order of the path. */
void ff_words_sort_failures(struct forkfold_words *words);

#endif
