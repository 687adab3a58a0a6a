/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts that may be larger than memory: a table, and the partials that the table was emptied into
 * when the worker's budget was used up.
 */
#ifndef FF_JOBS_WORDS_TALLY_H
#define FF_JOBS_WORDS_TALLY_H

#include "flow/table.h"
#include "jobs/spilled.h"

struct ff_tally {
    struct ff_table counts;
    struct ff_spilled_list spilled;
    uint64_t adds; /* of a job's values (combiner.h); of counts the total tells */
};

void ff_tally_init(struct ff_tally *tally, struct ff_budget *budget,
                   const struct ff_combiner *combiner);
void ff_tally_free(struct ff_tally *tally);

/* Forgets everything; keeps memory that a tally of the same kind is likely to need again. */
void ff_tally_clear(struct ff_tally *tally);

/*
 * Empties the table into the worker's spill file; the table keeps its memory.  0, FORKFOLD_E_MEMORY
 * or FORKFOLD_E_SPILL, explained.
 */
int ff_tally_spill(struct ff_tally *tally, struct ff_worker *worker, uint64_t fingerprint);

/* Adds all of from.  0 or as ff_table_merge. */
int ff_tally_merge(struct ff_tally *into, const struct ff_tally *from);

#endif
