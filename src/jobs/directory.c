/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/directory.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/words_result.h"
#include "platform/clock.h"

/* ---- Checking ------------------------------------------------------------ */

static int check_paths(forkfold_pool *pool, const char *directory, const forkfold_job *job)
{
    if ((directory != NULL) == (job->path_count > 0))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a job works either on a directory or on paths");
    if (job->path_count > 0 && job->paths == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "path_count without paths");
    for (size_t i = 0; i < job->path_count; i++)
        if (job->paths[i] == NULL)
            return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "path %zu of the job is NULL", i);
    for (size_t i = 0; i < job->path_count && job->paths_are_files == 0; i++)
        if (strcmp(job->paths[i], "-") == 0)
            return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                                "a job does not read standard input; a file '-' is './-'");
    if (directory != NULL && (job->paths_are_files != 0 || strcmp(directory, "-") == 0))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "'%s' is to be a directory; name files in paths", directory);
    return 0;
}

static int check_functions(forkfold_pool *pool, const forkfold_job *job)
{
    if (job->map == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "a job needs a map function");
    if (job->context == NULL && job->context_bytes > 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the context has %zu bytes and no address", job->context_bytes);
    if (job->progress_ns != 0 && job->on_progress == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "progress_ns without on_progress");
    return 0;
}

/* What is said must belong to one of the two kinds of aggregation. */
static int check_kind(forkfold_pool *pool, const forkfold_job *job)
{
    if (job->combine < FORKFOLD_SUM || job->combine > FORKFOLD_MERGE)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "unknown combination of values %d",
                            (int)job->combine);
    if ((job->combine == FORKFOLD_MERGE) != (job->merge != NULL))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a merge function and FORKFOLD_MERGE belong together");
    if (job->aggregate != NULL && job->combine != FORKFOLD_SUM)
        return ff_error_set(
            &pool->error, FORKFOLD_E_INVALID,
            "results are folded by aggregate, values of keys as combine says: a job "
            "does one of the two");
    if (job->aggregate == NULL &&
        (job->total != NULL || job->user != NULL || job->ordered != 0 || job->buffer_files != 0))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "total, user, ordered and buffer_files are for an aggregate function, "
                            "which the job lacks");
    return 0;
}

static int check(forkfold_pool *pool, const char *directory, const forkfold_job *job,
                 forkfold_aggregate **aggregate)
{
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (job == NULL || aggregate == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "processing a directory needs a job, and a place for its handle");
    if (job->size != 0 && job->size != sizeof(*job))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "forkfold_job.size is %zu, this library knows %zu", job->size,
                            sizeof(*job));
    code = check_functions(pool, job);
    if (code == 0)
        code = check_kind(pool, job);
    return code == 0 ? check_paths(pool, directory, job) : code;
}

/* ---- The whole ----------------------------------------------------------- */

/* The job with its defaults filled in; directory is where a path lies. */
static forkfold_job filled(const forkfold_job *job, const char *const *directory)
{
    forkfold_job full = *job;

    if (*directory != NULL) {
        full.paths = directory;
        full.path_count = 1;
    }
    if (full.glob == NULL)
        full.glob = "*.txt";
    full.timeout_ns = ff_clock_limit_ns(full.timeout_ns);
    full.deadline_ns = ff_clock_limit_ns(full.deadline_ns);
    full.progress_ns = ff_clock_limit_ns(full.progress_ns);
    return full;
}

int forkfold_process_directory(forkfold_pool *pool, const char *directory, const forkfold_job *job,
                               forkfold_aggregate **result)
{
    uint64_t started_ns = ff_clock_ns();
    struct forkfold_aggregate *aggregate;
    forkfold_job full;
    int code = check(pool, directory, job, result);

    if (code < 0)
        return code;
    full = filled(job, &directory);
    aggregate = calloc(1, sizeof(*aggregate));
    if (aggregate == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    aggregate->pool = pool;
    code = full.aggregate != NULL ? ff_directory_run_free(pool, &full, aggregate)
                                  : ff_directory_run_keyed(pool, &full, aggregate);
    if (code < 0) {
        forkfold_aggregate_close(aggregate);
        return code;
    }
    aggregate->totals.elapsed_ns = ff_clock_ns() - started_ns;
    *result = aggregate;
    return 0;
}

/* ---- What the caller reads ----------------------------------------------- */

const forkfold_aggregate_totals *forkfold_aggregate_get_totals(const forkfold_aggregate *aggregate)
{
    return &aggregate->totals;
}

const forkfold_failure *forkfold_aggregate_failure(const forkfold_aggregate *aggregate,
                                                   size_t index)
{
    const struct ff_failure_list *failures =
        aggregate->words != NULL ? &aggregate->words->failures : &aggregate->failures;

    return index < failures->count ? &failures->items[index] : NULL;
}

const forkfold_stats *forkfold_aggregate_get_stats(const forkfold_aggregate *aggregate)
{
    return &aggregate->stats;
}

void forkfold_aggregate_close(forkfold_aggregate *aggregate)
{
    if (aggregate == NULL)
        return;
    forkfold_words_close(aggregate->words);
    ff_failure_list_free(&aggregate->failures);
    free(aggregate);
}
