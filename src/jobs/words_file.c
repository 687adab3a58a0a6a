/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jobs/directory.h"
#include "jobs/fault.h"
#include "jobs/words_state.h"

/* ---- Bytes to words ------------------------------------------------------ */

int ff_words_fail_counting(struct ff_item_failure *failure, int code)
{
    if (code != FORKFOLD_E_LIMIT)
        return code;
    ff_failure_set(failure, FORKFOLD_REASON_LIMIT, 0, -1, "it holds a word of more than %llu bytes",
                   (unsigned long long)FF_KEY_BYTES_MAX);
    return FF_ITEM_FAILED;
}

/* It is validated first, so that a bad one leaves the table alone. */
int ff_words_count_text(struct ff_words_state *state, const unsigned char *text, size_t bytes,
                        struct ff_item_failure *failure)
{
    bool is_valid = state->kernel.variant->is_utf8(text, bytes);
    struct ff_utf8_error bad;
    size_t consumed;
    int code;

    if (!is_valid && state->context->invalid == FORKFOLD_INVALID_FAIL) {
        (void)ff_utf8_validate(text, bytes, &bad);
        ff_failure_set_decoding(failure, bad.offset, bad.kind);
        return FF_ITEM_FAILED;
    }
    ff_word_kernel_start(&state->kernel, false);
    state->kernel.is_validated = is_valid;
    code = ff_word_kernel_feed(&state->kernel, &state->whole.counts, text, bytes, true, &consumed,
                               &bad);
    if (code == 0)
        code = ff_word_kernel_end(&state->kernel, &state->whole.counts);
    state->kernel.is_validated = false;
    return code < 0 ? ff_words_fail_counting(failure, code) : FF_ITEM_DONE;
}

/* ---- Streams: stdin, and files that do not say how long they are --------- */

static int count_stream_into(struct ff_words_state *state, struct ff_table *counts, int fd,
                             struct ff_item_failure *failure)
{
    unsigned char *block = state->file.data;
    struct ff_utf8_error bad;
    size_t held = 0;
    uint64_t offset = 0; /* in the stream, of block[0] */
    int64_t got;
    int code;

    ff_word_kernel_start(&state->kernel, false);
    do {
        size_t consumed;

        got = ff_read_next(fd, block + held, FF_WORDS_BLOCK_BYTES - held, failure);
        if (got < 0)
            return FF_ITEM_FAILED;
        ff_worker_count_bytes(state->worker, (uint64_t)got);
        held += (size_t)got;
        code = ff_word_kernel_feed(&state->kernel, counts, block, held, got == 0, &consumed, &bad);
        if (code == FF_WORDS_ILL_FORMED) {
            ff_failure_set_decoding(failure, offset + bad.offset, bad.kind);
            return FF_ITEM_FAILED;
        }
        if (code < 0)
            return ff_words_fail_counting(failure, code);
        memmove(block, block + consumed, held - consumed);
        held -= consumed;
        offset += consumed;
    } while (got > 0);
    code = ff_word_kernel_end(&state->kernel, counts);
    return code < 0 ? ff_words_fail_counting(failure, code) : FF_ITEM_DONE;
}

int ff_words_count_stream(struct ff_words_state *state, int fd, struct ff_item_failure *failure)
{
    int status = ff_file_text_reserve(&state->file, FF_WORDS_BLOCK_BYTES);

    if (status < 0)
        return status;
    status = count_stream_into(state, &state->staged.counts, fd, failure);
    if (status == FF_ITEM_DONE)
        status = ff_words_merge(state, &state->whole, &state->staged);
    ff_tally_free(&state->staged);
    return status;
}

/* ---- Whole files --------------------------------------------------------- */

static int count_open_file(struct ff_words_state *state, int fd, const struct ff_input *input,
                           struct ff_item_failure *failure)
{
    struct ff_file_text *file = &state->file;
    bool is_stream;
    int status =
        ff_file_text_fill(file, fd, input->size, state->context->split_bytes, &is_stream, failure);

    if (status != FF_ITEM_DONE)
        return status;
    if (is_stream)
        return ff_words_count_stream(state, fd, failure);
    FF_FAULT(state->worker, "middle");
    ff_worker_count_bytes(state->worker, file->bytes);
    return ff_words_count_text(state, file->data, file->bytes, failure);
}

/* Three system calls for a file that is as it was found. */
int ff_words_count_file(struct ff_words_state *state, const struct ff_input *input,
                        struct ff_item_failure *failure)
{
    int fd = ff_read_open(&state->file.folder, input->folder, input->name, failure);
    int status;

    if (fd < 0)
        return FF_ITEM_FAILED;
    status = count_open_file(state, fd, input, failure);
    close(fd);
    return status;
}

/* ---- Files for a function of the host's ----------------------------------- */

/* What it adds stays apart until it is known whether the file is good. */
int ff_words_map_file(struct ff_words_state *state, const struct ff_input *input,
                      struct ff_item_failure *failure)
{
    struct ff_tally *staged = &state->staged;
    char path[PATH_MAX]; /* a longer one cannot be opened */
    int status = ff_file_text_read(&state->file, input->folder, input->name, input->size, failure);

    if (status == FF_ITEM_DONE) {
        FF_FAULT(state->worker, "middle");
        ff_worker_count_bytes(state->worker, state->file.bytes);
        snprintf(path, sizeof(path), "%s%s", input->folder, input->name);
        status = ff_directory_map_keyed(state->context->mapped, &state->file, path, &staged->counts,
                                        &staged->adds, failure);
    }
    if (status == FF_ITEM_DONE)
        status = ff_words_merge(state, &state->whole, staged);
    ff_tally_clear(staged);
    return status;
}
