/* SPDX-License-Identifier: Apache-2.0 */
/* A word count in progress, as the driver sees it: the state its phases share. */
#ifndef FF_JOBS_WORDS_COUNTING_H
#define FF_JOBS_WORDS_COUNTING_H

#include "jobs/words_result.h"

enum { FF_ATTEMPTS_DEFAULT = 3, FF_MAX_DEATHS_DEFAULT = 10 };

/* A count in progress. */
struct ff_counting {
    forkfold_pool *pool;
    const forkfold_words_options *options;
    struct ff_discover *discover;
    struct ff_words_input input;
    struct forkfold_words *words;
    const struct ff_seal **seals; /* of the finished count, one per slot or NULL */
    uint64_t started_ns;
    uint64_t deadline_at_ns;
    bool discovering;
    uint64_t undecided;            /* split files that may still turn out good or bad */
    uint64_t *seals_seen;          /* the `sealed` word of each slot at the last look */
    struct ff_call_counts counted; /* once the count has finished */
};

/* words_split.c: decides about split files all of whose pieces are sealed. */
void ff_words_decide_split_files(struct ff_counting *counting);

/* words_finish.c: from a finished count to its result.  0 or a negative code. */
int ff_words_finish(struct ff_counting *counting);

#endif
