/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs over the files of a directory, as their parts see them.
 *
 *     directory.c       what is common: checks, and what the caller reads
 *     directory_map.c   in the workers: calling the map function
 *     directory_free.c  free aggregation: a pipeline of one stage, whose batches are paths
 *     directory_keyed.c keyed aggregation: a word count (words_counting.h) whose workers call the map
 *                       function instead of looking for words
 */
#ifndef FF_JOBS_DIRECTORY_H
#define FF_JOBS_DIRECTORY_H

#include <stdbool.h>

#include <forkfold/call.h>
#include <forkfold/directory.h>

#include "files/discover.h"
#include "flow/table.h"
#include "jobs/failure_list.h"
#include "jobs/file_text.h"
#include "pool/call.h"

/* ---- In the workers ------------------------------------------------------ */

/* What they are told of a job: in the region, which the functions' addresses are equal in. */
struct ff_directory_context {
    forkfold_map_text *map;
    bool raw;
    bool counts_adds; /* keyed: whatever is added is 1 */
    size_t context_bytes;
    _Alignas(16) char context[];
};

/* A text with what forkfold_text_* find behind it. */
struct ff_running_text {
    forkfold_text text;
    const forkfold_item *item; /* that forkfold_text_reserve is for; or NULL */
    bool has_result;
    bool has_reason;
    struct ff_item_failure *failure; /* filled when the function says why it fails */
};

/* Keyed aggregation: where the map function adds to. */
struct forkfold_table {
    struct ff_table *values;
    bool counts_adds;
    uint64_t adds;
    int code; /* of the first addition that failed: the file does not count, whatever is said of it */
};

/* What comes before a result, and what is sent back instead of one. */
enum ff_answer_kind { FF_ANSWER_NOTHING = 1, FF_ANSWER_RESULT, FF_ANSWER_FAILED };

struct ff_answer {
    uint64_t kind;
    uint64_t file_bytes;
    char data[]; /* FF_ANSWER_FAILED: a struct ff_item_failure */
};

/* Makes the context of a job; freed by the caller.  NULL without memory. */
struct ff_directory_context *ff_directory_context_new(const forkfold_job *job, size_t *bytes);

/*
 * Calls the map function on a text that was read, if it is what the job wants.  FF_ITEM_DONE, or
 * FF_ITEM_FAILED with *running->failure.
 */
int ff_directory_map(const struct ff_directory_context *context, const struct ff_file_text *file,
                     struct ff_running_text *running, forkfold_table *table);

/*
 * The same for keyed aggregation: values are what the file comes to, if it is done, and *adds is how
 * often something was added.  Or a negative code that ends the worker.
 */
int ff_directory_map_keyed(const struct ff_directory_context *context,
                           const struct ff_file_text *file, const char *path,
                           struct ff_table *values, uint64_t *adds,
                           struct ff_item_failure *failure);

/* ---- In the driver ------------------------------------------------------- */

struct forkfold_aggregate {
    forkfold_pool *pool;
    struct ff_failure_list failures;
    forkfold_words
        *words; /* keyed: the result, whose counts are encoded values, and its failures */
    forkfold_stats stats;
    forkfold_aggregate_totals totals;
};

/* 0 or a code with the pool's error. */
int ff_directory_run_free(forkfold_pool *pool, const forkfold_job *job,
                          struct forkfold_aggregate *aggregate);
int ff_directory_run_keyed(forkfold_pool *pool, const forkfold_job *job,
                           struct forkfold_aggregate *aggregate);

#endif
