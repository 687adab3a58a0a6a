/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "jobs/fault.h"
#include "jobs/unicode_tables.h"
#include "jobs/words_state.h"

/* Bytes around an edge between pieces that decide where the edge really is. */
enum { EDGE_BEFORE = 8, EDGE_AFTER = 4 };

/* What is reserved of the memory for tables is one byte in so many at most. */
enum { BUDGET_PART = 8 };

/* ---- Bytes of a file, or of a text in memory ----------------------------- */

static int64_t read_at(const struct ff_words_state *state, int fd, void *buffer, size_t count,
                       uint64_t offset, struct ff_item_failure *failure)
{
    uint64_t left;

    if (state->text == NULL)
        return ff_read_at(fd, buffer, count, offset, failure);
    left = state->text->size - offset;
    if (count > left)
        count = (size_t)left;
    memcpy(buffer, state->context->text + offset, count);
    return (int64_t)count;
}

static int read_block(struct ff_words_state *state, int fd, uint64_t offset, uint64_t end,
                      const unsigned char **block, size_t *bytes, struct ff_item_failure *failure)
{
    size_t wanted =
        end - offset < FF_WORDS_BLOCK_BYTES ? (size_t)(end - offset) : FF_WORDS_BLOCK_BYTES;
    int64_t got = (int64_t)wanted;

    *block = state->file.data;
    if (state->text != NULL)
        *block = state->context->text + offset;
    else
        got = ff_read_at(fd, state->file.data, wanted, offset, failure);
    if (got < 0)
        return FF_ITEM_FAILED;
    if ((size_t)got < wanted) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it shrank while it was read, to %llu bytes",
                       (unsigned long long)(offset + (uint64_t)got));
        return FF_ITEM_FAILED;
    }
    *bytes = wanted;
    return FF_ITEM_DONE;
}

/* Every piece must see the same file. */
static bool is_unchanged(const struct ff_words_state *state, int fd, const struct ff_input *input,
                         struct ff_item_failure *failure)
{
    return state->text != NULL || ff_read_verify(fd, &input->split->stamp, failure);
}

/* ---- Pieces -------------------------------------------------------------- */

/*
 * Where a piece really starts or ends: at the first boundary of a character at
 * or after the position that arithmetic gave.  Whoever has the piece before
 * computes the same from the same bytes.  *inside: the edge lies within a token, which belongs to
 * the piece that the token starts in.
 */
static bool find_edge(const struct ff_words_state *state, int fd, uint64_t position, uint64_t size,
                      uint64_t *edge, bool *inside, struct ff_item_failure *failure)
{
    unsigned char around[EDGE_BEFORE + EDGE_AFTER];
    uint64_t from = position > EDGE_BEFORE ? position - EDGE_BEFORE : 0;
    uint64_t to = position + EDGE_AFTER < size ? position + EDGE_AFTER : size;
    int64_t got = read_at(state, fd, around, (size_t)(to - from), from, failure);

    if (got < 0)
        return false;
    if ((uint64_t)got < to - from) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it shrank while it was read, below %llu bytes", (unsigned long long)to);
        return false;
    }
    size_t boundary = ff_utf8_boundary(around, (size_t)got, (size_t)(position - from));

    *edge = from + boundary;
    *inside = false;
    if (boundary > 0) {
        size_t before = ff_utf8_before(around, boundary);

        *inside =
            !ff_unicode_is_space(ff_utf8_decode(around + before, boundary - before).code_point);
    }
    return true;
}

/* What is ill-formed at the very end of a piece may only look cut off: ask the bytes behind. */
static int fail_piece(const struct ff_words_state *state, int fd, uint64_t offset,
                      struct ff_utf8_error bad, struct ff_item_failure *failure)
{
    unsigned char bytes[EDGE_AFTER];
    int64_t got = read_at(state, fd, bytes, sizeof(bytes), offset + bad.offset, failure);

    if (got < 0)
        return FF_ITEM_FAILED;
    if (got > 0)
        bad.kind = (enum ff_utf8_kind)ff_utf8_decode(bytes, (size_t)got).kind;
    ff_failure_set_decoding(failure, offset + bad.offset, bad.kind);
    return FF_ITEM_FAILED;
}

static int feed_piece(struct ff_words_state *state, struct ff_table *counts, int fd, uint64_t start,
                      uint64_t end, struct ff_item_failure *failure)
{
    while (start < end) {
        struct ff_utf8_error bad;
        const unsigned char *block;
        size_t bytes;
        size_t consumed;
        int code = read_block(state, fd, start, end, &block, &bytes, failure);

        if (code != FF_ITEM_DONE)
            return code;
        FF_FAULT(state->worker, "middle");
        code = ff_word_kernel_feed(&state->kernel, counts, block, bytes, start + bytes == end,
                                   &consumed, &bad);
        if (code == FF_WORDS_ILL_FORMED)
            return fail_piece(state, fd, start, bad, failure);
        if (code < 0)
            return ff_words_fail_counting(failure, code);
        start += consumed;
    }
    return FF_ITEM_DONE;
}

/* The token that the piece ends in goes on: to the next white space, however far that is. */
static int finish_token(struct ff_words_state *state, struct ff_table *counts, int fd,
                        uint64_t start, uint64_t size, struct ff_item_failure *failure)
{
    bool ended = !state->kernel.in_token || state->kernel.skipping;

    while (!ended && start < size) {
        const unsigned char *block;
        size_t bytes;
        size_t consumed;
        int code = read_block(state, fd, start, size, &block, &bytes, failure);

        if (code != FF_ITEM_DONE)
            return code;
        code = ff_word_kernel_finish(&state->kernel, counts, block, bytes, start + bytes == size,
                                     &consumed, &ended);
        if (code < 0)
            return ff_words_fail_counting(failure, code);
        start += consumed;
    }
    int code = ff_word_kernel_end(&state->kernel, counts);

    return code < 0 ? ff_words_fail_counting(failure, code) : FF_ITEM_DONE;
}

/* A text in memory takes milliseconds; a table that grows from nothing would take one in twenty. */
static int reserve(const struct ff_words_state *state, struct ff_table *counts)
{
    uint64_t keys = state->context->text_keys;

    if (state->text == NULL || counts->slot_count > 0 ||
        keys * 2 * sizeof(*counts->slots) > state->budget.limit_bytes / BUDGET_PART)
        return 0;
    return ff_table_reserve(counts, keys);
}

static int count_open_piece(struct ff_words_state *state, const struct ff_input *input,
                            uint64_t number, int fd, struct ff_item_failure *failure)
{
    const struct ff_split_file *split = input->split;
    struct ff_tally *tally = ff_words_uncommitted(state, split->group);
    uint64_t size = input->size;
    uint64_t from = number * split->piece_bytes;
    uint64_t to = number + 1 < split->pieces ? from + split->piece_bytes : size;
    uint64_t start;
    uint64_t end;
    bool inside;
    bool ignored;
    int status;

    if (tally == NULL || reserve(state, &tally->counts) < 0)
        return FORKFOLD_E_MEMORY;
    if (!is_unchanged(state, fd, input, failure) ||
        !find_edge(state, fd, from, size, &start, &inside, failure) ||
        !find_edge(state, fd, to, size, &end, &ignored, failure))
        return FF_ITEM_FAILED;
    ff_word_kernel_start(&state->kernel, inside);
    status = feed_piece(state, &tally->counts, fd, start, end, failure);
    if (status == FF_ITEM_DONE)
        status = finish_token(state, &tally->counts, fd, end, size, failure);
    if (status == FF_ITEM_DONE && !is_unchanged(state, fd, input, failure))
        status = FF_ITEM_FAILED;
    ff_worker_count_bytes(state->worker, to - from);
    return status;
}

int ff_words_count_piece(struct ff_words_state *state, const struct ff_input *input,
                         uint64_t number, struct ff_item_failure *failure)
{
    int status = state->text == NULL ? ff_file_text_reserve(&state->file, FF_WORDS_BLOCK_BYTES) : 0;
    int fd = -1;

    if (status < 0)
        return status;
    if (ff_worker_group_is_quarantined(state->worker, input->split->group)) {
        ff_failure_set(failure, FORKFOLD_REASON_SIGNAL, 0, -1, "another piece of it was given up");
        return FF_ITEM_FAILED;
    }
    if (state->text == NULL) {
        fd = ff_read_open(&state->file.folder, input->folder, input->name, failure);
        if (fd < 0)
            return FF_ITEM_FAILED;
    }
    status = count_open_piece(state, input, number, fd, failure);
    if (fd >= 0)
        close(fd);
    if (status == FF_ITEM_DONE && state->open_count >= state->open_limit)
        return FF_ITEM_SEAL_NOW;
    return status;
}
