/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a word count, as the driver gathers it. */
#ifndef FF_JOBS_WORDS_RESULT_H
#define FF_JOBS_WORDS_RESULT_H

#include <forkfold/words.h>

#include "flow/merge.h"
#include "jobs/failure_list.h"
#include "jobs/spilled.h"
#include "jobs/words_input.h"
#include "pool/backtrace.h"
#include "pool/call.h"

struct forkfold_words {
    forkfold_pool *pool; /* NULL after forkfold_words_detach */
    struct ff_run *runs; /* one per folded range, in the region, or in detached */
    unsigned char *detached;
    struct ff_merge merge;
    struct ff_spilled_list ranked;     /* instead of runs, if memory did not hold them */
    struct ff_partial_reader *readers; /* of each of ranked */
    struct ff_file_merge file_merge;
    uint64_t fingerprint;
    int read_error; /* of the last rewind, for the next word that is asked for */
    struct ff_failure_list failures;
    forkfold_words_totals totals;
    forkfold_stats stats;
};

/* Each adds one failed input.  0 or FORKFOLD_E_MEMORY. */
int ff_words_fail_found(struct forkfold_words *words, const struct ff_found *found);
int ff_words_fail_item(struct forkfold_words *words, const struct ff_input *input,
                       const struct ff_item_failure *from);
int ff_words_fail_quarantined(struct forkfold_words *words, const struct ff_input *input,
                              const struct ff_quarantine *record, struct ff_symbols **symbols);

/* words_disk.c: reading a result from disk.  Codes come with the pool's error. */
int ff_words_disk_rewind(struct forkfold_words *words);                       /* 0 or a code */
int ff_words_disk_next(struct forkfold_words *words, struct ff_entry *entry); /* 1, 0 or a code */
void ff_words_disk_close(struct forkfold_words *words);

#endif
