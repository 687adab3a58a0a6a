/* SPDX-License-Identifier: Apache-2.0 */
/* The failed inputs of a job over files, as the driver gathers them. */
#ifndef FF_JOBS_FAILURE_LIST_H
#define FF_JOBS_FAILURE_LIST_H

#include <forkfold/failure.h>

#include "files/discover.h"
#include "pool/job.h"

/* {0} is an empty list.  All texts are its own. */
struct ff_failure_list {
    forkfold_failure *items;
    size_t count;
    size_t capacity;
};

/* A failure of which nothing is known but the path: malloc'ed, taken over, NULL without memory. */
forkfold_failure ff_failure_of(char *path);

/* What a job's own word adds to that; the detail, too, is NULL without memory. */
void ff_failure_tell(forkfold_failure *failure, const struct ff_item_failure *from);

/* Likewise, for something that could not be listed or looked at. */
void ff_failure_tell_found(forkfold_failure *failure, const struct ff_found *found);

/*
 * Takes over a failure.  0, or FORKFOLD_E_MEMORY, also for one without a path or a detail, which no
 * memory was found for; its texts are freed then.
 */
int ff_failure_list_add(struct ff_failure_list *list, const forkfold_failure *failure);

void ff_failure_list_sort(struct ff_failure_list *list); /* into byte order of the path */
void ff_failure_list_free(struct ff_failure_list *list);

#endif
