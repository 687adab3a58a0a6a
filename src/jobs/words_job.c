/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_job.h"

#include "jobs/fault.h"
#include "jobs/words_state.h"

static uint64_t words_group(const void *context, uint64_t item)
{
    return ff_input_group(((const struct ff_words_context *)context)->inputs, item);
}

static int words_run(void *pointer, uint64_t item, struct ff_item_failure *failure)
{
    struct ff_words_state *state = pointer;
    const struct ff_input *input = &state->context->inputs[item];
    int status;

    FF_FAULT_ITEM(input->folder, input->name);
    FF_FAULT(state->worker, "begin");
    state->text = state->context->text != NULL ? input : NULL;
    if (state->context->mapped != NULL) {
        status = ff_words_map_file(state, input, failure);
    } else if (input->folder == NULL) {
        ff_worker_mark_consumed(state->worker, item);
        status = ff_words_count_stream(state, state->context->stdin_fd, failure);
        /* Good or bad: what is known of it cannot be found out again. */
        if (status >= 0)
            status |= FF_ITEM_SEAL_NOW;
    } else if (input->split != NULL) {
        status = ff_words_count_piece(state, input, item - input->split->group, failure);
    } else if (state->text != NULL) {
        ff_worker_count_bytes(state->worker, input->size);
        status = ff_words_count_text(state, state->context->text, (size_t)input->size, failure);
    } else {
        status = ff_words_count_file(state, input, failure);
    }
    FF_FAULT(state->worker, "end");
    return status;
}

const struct ff_job ff_words_job = {
    .name = "words",
    .attach = ff_words_attach,
    .detach = ff_words_detach,
    .run = words_run,
    .absorb = ff_words_absorb,
    .seal = ff_words_seal,
    .group = words_group,
};
