/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting words in the workers: the job, and what its seals hold.
 *
 *     struct ff_words_seal, its parts | pad | of each part: its partial, its list of spilled ones
 *
 * The first part holds files that are whole.  Pieces of a split file must not
 * enter it before all of the file is known to be good, since a late failure
 * could not be subtracted: until then they are parts of their own, one per
 * worker and file.  Each part is a tally (words_tally.h).
 */
#ifndef FF_JOBS_WORDS_JOB_H
#define FF_JOBS_WORDS_JOB_H

#include "flow/partial.h"
#include "jobs/words_tally.h"
#include "pool/job.h"

extern const struct ff_job ff_words_job;

/* In the first part: it belongs to no split file. */
#define FF_GROUP_NONE UINT64_MAX

/* One tally.  Offsets are from the start of the payload. */
struct ff_words_part {
    uint64_t group;  /* of the split file, or FF_GROUP_NONE */
    uint64_t offset; /* of its partial */
    uint64_t spilled_offset;
    uint64_t spilled_count;
    uint64_t adds; /* as of its tally */
};

struct ff_words_seal {
    uint64_t part_count; /* at least 1 */
    struct ff_words_part parts[];
};

const struct ff_partial *ff_words_seal_partial(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part);
const struct ff_spilled *ff_words_seal_spilled(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part);

#endif
