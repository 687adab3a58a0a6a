/* SPDX-License-Identifier: Apache-2.0 */
/* What the floors above need of a pipeline beyond forkfold/pipeline.h. */
#ifndef FF_FLOW_PIPELINE_H
#define FF_FLOW_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include <forkfold/pipeline.h>

/*
 * Waits until forkfold_pipeline_next() would not, or it is until_ns: whether the first has come true.
 * What was read last is gone.  For pipelines of which the host does not know: nobody may close it
 * meanwhile.
 */
bool ff_pipeline_wait(forkfold_pipeline *pipeline, uint64_t until_ns);

/* The call of a stage. */
const struct forkfold_call *ff_pipeline_call(const forkfold_pipeline *pipeline, unsigned stage);

#endif
