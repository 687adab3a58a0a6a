/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: batches that go through one function after the other.
 *
 * Each stage is a function of a batch (forkfold_function): what it reserves for its result
 * (forkfold_item_reserve) is the batch of the next stage, which reads it where it lies.  Any worker runs any stage, so the
 * slowest stage gets the workers that the others leave; replicas holds a stage to fewer.  Between
 * two stages, and behind the last, there is room for so many batches (depth), and no more: when what
 * comes out is not read, the stages wait, and so does the input.
 *
 * A batch whose worker crashes, is killed or takes too long is tried again, alone, and then given up,
 * as an item of any call (call.h).  One that has failed in a stage goes through no further one.
 *
 * Batches go on from stage to stage while the calling process is in forkfold_pipeline_next().  What was ready
 * before goes on in between, too.
 */
#ifndef FORKFOLD_PIPELINE_H
#define FORKFOLD_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold/call.h>
#include <forkfold/export.h>
#include <forkfold/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FORKFOLD_STAGES_MAX = 16 };

typedef struct forkfold_stage {
    forkfold_function
        *function;       /* of a batch: arguments[0], argument_bytes[0]; index is the batch's */
    const void *context; /* context_bytes of it; copied */
    size_t context_bytes;
    unsigned replicas;         /* batches that are in it at once, at most; 0 = no limit */
    uint64_t timeout_ns;       /* per batch; 0 = none */
    unsigned retries_plus_one; /* attempts per batch after a death; 0 = 3 */
} forkfold_stage;

/*
 * Gives the next batch: 1 with *bytes at *batch, which the pipeline copies before it asks again; 0 at the
 * end; a negative number ends the pipeline with FORKFOLD_E_CANCELLED.  It must not use the pool.
 */
typedef int forkfold_source(void *user, const void **batch, size_t *bytes);

typedef struct forkfold_pipeline_options {
    size_t size; /* sizeof(struct forkfold_pipeline_options), or 0 for "as compiled" */
    forkfold_stage stages[FORKFOLD_STAGES_MAX];
    unsigned stage_count; /* at least 1 */

    /* The input: items of one size, the caller's until the pipeline is closed ... */
    const void *items;
    uint64_t count;
    size_t item_bytes;
    uint64_t batch_items; /* of each batch but the last; 0 = 250 */
    /* ... or a function, which is called within forkfold_pipeline_open() and forkfold_pipeline_next(). */
    forkfold_source *source;
    void *user;

    unsigned depth; /* batches between two stages, at most; 0 = 8 for each worker, at least 16 */
    int unordered;  /* batches come out as they are done, not as they went in */
    int stop_on_failure;  /* the first failed batch ends the pipeline: FORKFOLD_E_STOPPED */
    uint64_t deadline_ns; /* for all of it, from its begin; 0 = none */
} forkfold_pipeline_options;

typedef struct forkfold_pipeline forkfold_pipeline;

/*
 * Begins.  The caller owns *pipeline, and closes it before the pool.  Errors as of forkfold_map.
 */
FORKFOLD_API int forkfold_pipeline_open(forkfold_pool *pool,
                                        const forkfold_pipeline_options *options,
                                        forkfold_pipeline **pipeline);

/*
 * 1 with the next batch that has come out, which lives until the next call of this; 0 after the
 * last; or an error as of forkfold_map, that the pipeline has ended with.  result->index is the number
 * of the batch, from 0.
 */
FORKFOLD_API int forkfold_pipeline_next(forkfold_pipeline *pipeline, forkfold_result *result);

/*
 * The batches that failed in a stage, as far as is known, and one of them in the order in which that became known; NULL past the
 * last.  They live as long as the pipeline.
 */
FORKFOLD_API size_t forkfold_pipeline_failure_count(const forkfold_pipeline *pipeline,
                                                    unsigned stage);
FORKFOLD_API const forkfold_item_failure *
forkfold_pipeline_failure(const forkfold_pipeline *pipeline, unsigned stage, size_t number);

/* Ends it, if need be, and frees it.  NULL is allowed. */
FORKFOLD_API void forkfold_pipeline_close(forkfold_pipeline *pipeline);

#ifdef __cplusplus
}
#endif

#endif
