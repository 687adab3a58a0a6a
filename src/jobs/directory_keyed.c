/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed aggregation.  It is a word count in all but its words: tables, seals, deaths, budget, spilling
 * and folding are those of words_job.c and what follows it; only that a worker calls the map function
 * on a file, and that two values of a key become one by a combiner (flow/combiner.h).
 */
#include <stdlib.h>

#include <forkfold/error.h>

#include "jobs/directory.h"
#include "jobs/words_counting.h"

static const struct {
    enum forkfold_combine combine;
    enum ff_combination kind;
} combinations[] = {
    {FORKFOLD_SUM, FF_COMBINE_SUM},    {FORKFOLD_COUNT, FF_COMBINE_SUM},
    {FORKFOLD_MIN, FF_COMBINE_MIN},    {FORKFOLD_MAX, FF_COMBINE_MAX},
    {FORKFOLD_MERGE, FF_COMBINE_CALL},
};

static struct ff_combiner combiner_of(const forkfold_job *job)
{
    struct ff_combiner combiner = {.kind = FF_COMBINE_SUM, .call = job->merge};

    for (size_t i = 0; i < sizeof(combinations) / sizeof(combinations[0]); i++)
        if (combinations[i].combine == job->combine)
            combiner.kind = combinations[i].kind;
    return combiner;
}

static forkfold_words_options options_of(const forkfold_pool *pool, const forkfold_job *job)
{
    return (forkfold_words_options){.paths = job->paths,
                                    .path_count = job->path_count,
                                    .paths_are_files = job->paths_are_files,
                                    .glob = job->glob,
                                    .recursive = job->recursive,
                                    .timeout_ns = job->timeout_ns,
                                    .deadline_ns = job->deadline_ns,
                                    .retries_plus_one = job->retries_plus_one,
                                    .max_deaths = pool->max_deaths,
                                    .stop_on_failure = job->stop_on_failure,
                                    .progress_ns = job->progress_ns,
                                    .on_progress = job->on_progress,
                                    .context = job->progress_context};
}

static void take_totals(struct forkfold_aggregate *aggregate)
{
    const forkfold_words_totals *counted = &aggregate->words->totals;

    aggregate->stats = aggregate->words->stats;
    aggregate->totals = (forkfold_aggregate_totals){.files = counted->files,
                                                    .files_failed = counted->files_failed,
                                                    .files_other = counted->files_other,
                                                    .bytes = counted->bytes,
                                                    .results = counted->words,
                                                    .keys = counted->distinct,
                                                    .retries = counted->retries,
                                                    .deaths = counted->deaths};
}

int ff_directory_run_keyed(forkfold_pool *pool, const forkfold_job *job,
                           struct forkfold_aggregate *aggregate)
{
    forkfold_words_options options = options_of(pool, job);
    struct ff_counting counting = {.pool = pool, .options = &options, .combiner = combiner_of(job)};
    struct ff_directory_context *context = ff_directory_context_new(job, &counting.mapped_bytes);
    int code;

    if (context == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the job");
    counting.mapped = context;
    code = ff_words_count(&counting, &aggregate->words, NULL);
    free(context);
    if (code == 0)
        take_totals(aggregate);
    return code;
}

int forkfold_aggregate_next(forkfold_aggregate *aggregate, forkfold_value *value)
{
    forkfold_word word;
    int more;

    if (aggregate->words == NULL)
        return 0;
    more = forkfold_words_next(aggregate->words, &word);
    if (more > 0)
        *value = (forkfold_value){
            .key = word.key, .key_bytes = word.key_bytes, .value = ff_value_decode(word.count)};
    return more;
}

void forkfold_aggregate_rewind(forkfold_aggregate *aggregate)
{
    if (aggregate->words != NULL)
        forkfold_words_rewind(aggregate->words);
}
