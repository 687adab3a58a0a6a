/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting words in the workers: the job, and what its seals hold.
 *
 *     struct ff_words_seal | groups, group_count of them | pad | partials
 *
 * The main partial holds files that are whole.  Pieces of a split file must
 * not enter it before all of the file is known to be good, since a late
 * failure could not be subtracted: until then they are partials of their own,
 * one per worker and file.
 */
#ifndef FF_JOBS_WORDS_JOB_H
#define FF_JOBS_WORDS_JOB_H

#include "flow/partial.h"
#include "pool/job.h"

extern const struct ff_job ff_words_job;

struct ff_words_seal {
    uint64_t main_offset; /* of the main partial, from the start of the payload */
    uint64_t group_count;
};

/* The uncommitted counts of one split file. */
struct ff_words_group {
    uint64_t group;
    uint64_t offset; /* of its partial */
};

const struct ff_partial *ff_words_seal_main(const struct ff_words_seal *seal);
const struct ff_words_group *ff_words_seal_groups(const struct ff_words_seal *seal);
const struct ff_partial *ff_words_seal_partial(const struct ff_words_seal *seal,
                                               const struct ff_words_group *group);

#endif
