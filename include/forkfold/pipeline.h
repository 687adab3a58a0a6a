/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: batches that go through one function after the other.
 *
 * Each stage is a function of a batch (forkfold_function): what it reserves for its result
 * (forkfold_item_reserve) is the batch of the next stage, which reads it where it lies.
 * Results may be smaller or larger than what they are made of, or empty.  Any worker runs any
 * stage, so the slowest stage gets the workers that the others leave; replicas hold a stage to
 * fewer.
 *
 * Each stage has room for so many batches (depth), from when one enters it until the next
 * stage, or the caller, has finished with what it made.  So when the output is not read, the
 * stages wait, and so does the input: no more than stages * depth batches are on their way.
 *
 * A batch whose worker crashes, is killed or takes too long is tried again, alone, and then
 * given up, as an item of any call (call.h).  One that has failed in a stage goes through no
 * further one, and comes out as failed.
 *
 * Batches are handed on from stage to stage while the calling process is in
 * forkfold_pipeline_next(). Workers go on in between with what has been handed to them.  As
 * everything of a pool, pipelines are for one thread at a time; several may be open at once,
 * beside calls.
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
    /* Of a batch: arguments[0] with argument_bytes[0]; index is its number, from 0. */
    forkfold_function *function;
    const void *context; /* context_bytes of it; copied */
    size_t context_bytes;
    unsigned replicas;         /* batches that are in it at once, at most; 0 = no limit */
    uint64_t timeout_ns;       /* per batch; 0 = none */
    unsigned retries_plus_one; /* attempts per batch after a death; 0 = 3 */
} forkfold_stage;

/*
 * Gives the next batch: 1 with *bytes at *batch, which may be 0; 0 at the end, after which it
 * is not called again; FORKFOLD_E_PENDING when there is none yet, and it is to be called again
 * when one is read or looked for; another negative number ends the pipeline with
 * FORKFOLD_E_CANCELLED.  The
 * batch is copied before it is called again, unless it lies in a shared array: there it stays
 * as it is until it has come out.  It must not use the pool.  As long as it takes, nothing is
 * handed on.
 */
typedef int forkfold_source(void *user, const void **batch, size_t *bytes);

typedef struct forkfold_pipeline_options {
    size_t size; /* sizeof(struct forkfold_pipeline_options), or 0 for "as compiled" */
    forkfold_stage stages[FORKFOLD_STAGES_MAX];
    unsigned stage_count; /* at least 1 */

    /* The input: items of one size, the caller's until the pipeline is closed; those in a shared
     * array are read where they lie ... */
    const void *items;
    uint64_t count;
    size_t item_bytes;
    uint64_t batch_items; /* of each batch but the last; 0 = 250 */
    /* ... or a function, called within forkfold_pipeline_open(), for depth batches, and
     * forkfold_pipeline_next(). */
    forkfold_source *source;
    void *user;

    unsigned depth;       /* batches in each stage, at most; 0 = 8 for each worker, at least 16 */
    int unordered;        /* batches come out as they are done, not in the order of the input */
    int stop_on_failure;  /* the first failed batch ends the pipeline: FORKFOLD_E_STOPPED */
    uint64_t deadline_ns; /* for all of it, from its begin; 0 = none */
} forkfold_pipeline_options;

typedef struct forkfold_pipeline forkfold_pipeline;

/*
 * Begins, and does not wait.  The caller owns *pipeline, and closes it before the pool.  Errors
 * as of forkfold_map, and FORKFOLD_E_CANCELLED from the source.
 */
FORKFOLD_API int forkfold_pipeline_open(forkfold_pool *pool,
                                        const forkfold_pipeline_options *options,
                                        forkfold_pipeline **pipeline);

/*
 * Waits for the next batch to come out: 1 with it, living until the next call of this or the
 * close; 0 after the last; or the error that the pipeline has ended with, as of forkfold_map,
 * again and again. result->index is the number of the batch; a failed one has no data.
 * FORKFOLD_E_PENDING when all that the source has given has come out, and it has none yet.
 */
FORKFOLD_API int forkfold_pipeline_next(forkfold_pipeline *pipeline, forkfold_result *result);

/*
 * The same, waiting at most timeout_ns (0 = not at all): FORKFOLD_E_PENDING when none has come out
 * in time.  What was read before lives until this call all the same.
 */
FORKFOLD_API int forkfold_pipeline_next_within(forkfold_pipeline *pipeline, forkfold_result *result,
                                               uint64_t timeout_ns);

/*
 * The batches that failed in a stage, from 0, as far as is known, and one of them in the order
 * in which that became known; NULL past the last, or the last stage.  They live as long as the
 * pipeline.
 */
FORKFOLD_API size_t forkfold_pipeline_failure_count(const forkfold_pipeline *pipeline,
                                                    unsigned stage);
FORKFOLD_API const forkfold_item_failure *
forkfold_pipeline_failure(const forkfold_pipeline *pipeline, unsigned stage, size_t number);

/*
 * Ends the workers that are in a stage, waits for that, and frees all.  NULL is allowed.  A watch
 * may close the pipeline whose next batch is awaited: forkfold_pipeline_next() then returns
 * FORKFOLD_E_CANCELLED.
 */
FORKFOLD_API void forkfold_pipeline_close(forkfold_pipeline *pipeline);

#ifdef __cplusplus
}
#endif

#endif
