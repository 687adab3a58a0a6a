/* SPDX-License-Identifier: Apache-2.0 */
/* A word count in progress, as the driver sees it: the state its phases share. */
#ifndef FF_JOBS_WORDS_COUNTING_H
#define FF_JOBS_WORDS_COUNTING_H

#include "flow/partial.h"
#include "jobs/words_result.h"
#include "jobs/words_tally.h"

/* A count in progress. */
struct ff_counting {
    forkfold_pool *pool;
    const forkfold_words_options *options;
    const unsigned char *text; /* in a shared array, instead of files; or NULL */
    uint64_t text_bytes;
    const struct ff_directory_context
        *mapped; /* mapped_bytes of it: a function that is called on the
                                                  files instead; or NULL */
    size_t mapped_bytes;
    struct ff_combiner combiner; /* of what it adds */
    struct ff_discover *discover;
    struct ff_words_input input;
    struct forkfold_words *words;
    const struct ff_seal **seals; /* of the finished count, one per slot or NULL */
    uint64_t sequence;            /* of the call that counts */
    uint64_t memory_bytes;        /* what the counts of all workers may take */
    uint64_t started_ns;
    uint64_t deadline_at_ns;
    bool discovering;
    uint64_t undecided;            /* split files that may still turn out good or bad */
    uint64_t *seals_seen;          /* the `sealed` word of each slot at the last look */
    struct ff_call_counts counted; /* once the count has finished */
};

/*
 * words.c: counts what options and text say, of which nothing has been checked.  As
 * forkfold_count_words.
 */
int ff_words_count(struct ff_counting *counting, forkfold_words **words,
                   forkfold_progress *progress);

/* words.c: what the options, or their defaults, say. */
unsigned ff_words_attempts(const forkfold_words_options *options);
unsigned ff_words_max_deaths(const forkfold_words_options *options);
uint64_t ff_words_timeout_ns(const forkfold_words_options *options);

/* words_split.c: decides about split files all of whose pieces are sealed. */
void ff_words_decide_split_files(struct ff_counting *counting);

/*
 * words_call.c: one more call of the pool, on what the count has sealed: item_count items, a task
 * each, none of which may fail.  0 or a negative code.
 */
int ff_words_run_call(struct ff_counting *counting, const struct ff_job *job, const void *context,
                      uint64_t item_count);

/*
 * words_disk.c: folds partials in the region together with spilled ones into spilled partials
 * in the order of the result, and opens those for reading.  0 or a negative code.
 */
int ff_words_fold_on_disk(struct ff_counting *counting, const struct ff_partial *const *partials,
                          size_t partial_count, const struct ff_spilled *spilled,
                          size_t spilled_count);

/* words_finish.c: from a finished count to its result.  0 or a negative code. */
int ff_words_finish(struct ff_counting *counting);

#endif
