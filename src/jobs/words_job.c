/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/fault.h"
#include "jobs/unicode_tables.h"
#include "jobs/word_kernel.h"
#include "jobs/words_input.h"

enum {
    /* What big files and streams are read in: it stays in the second-level cache. */
    BLOCK_BYTES = 256 * 1024,
    /* Bytes around an edge between pieces that decide where the edge really is. */
    EDGE_BEFORE = 8,
    EDGE_AFTER = 4,
    /* Uncommitted files after which a seal lets the driver commit some. */
    UNCOMMITTED_MAX = 32
};

/* Counts of a split file, or of a stream, that may still have to be dropped. */
struct uncommitted {
    uint64_t group;
    struct ff_table counts;
};

struct words_state {
    struct ff_worker *worker;
    const struct ff_words_context *context;
    struct ff_word_kernel kernel;
    struct ff_table counts; /* of whole files */
    struct uncommitted *open;
    size_t open_count;
    size_t open_capacity;
    size_t open_limit;
    unsigned char *block;
    size_t block_bytes;
};

static int words_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct words_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    state->context = context;
    state->open_limit = UNCOMMITTED_MAX;
    ff_table_init(&state->counts);
    ff_word_kernel_init(&state->kernel, state->context->rule, state->context->invalid);
    *result = state;
    return 0;
}

static void words_detach(void *pointer)
{
    struct words_state *state = pointer;

    for (size_t i = 0; i < state->open_count; i++)
        ff_table_free(&state->open[i].counts);
    free(state->open);
    free(state->block);
    ff_table_free(&state->counts);
    ff_word_kernel_free(&state->kernel);
    free(state);
}

static uint64_t words_group(const void *context, uint64_t item)
{
    return ((const struct ff_words_context *)context)->inputs[item].group;
}

/* ---- Uncommitted counts -------------------------------------------------- */

static struct ff_table *uncommitted_counts(struct words_state *state, uint64_t group)
{
    for (size_t i = state->open_count; i-- > 0;)
        if (state->open[i].group == group)
            return &state->open[i].counts;
    if (state->open_count == state->open_capacity) {
        size_t capacity = state->open_capacity > 0 ? state->open_capacity * 2 : 8;
        void *grown = realloc(state->open, capacity * sizeof(*state->open));

        if (grown == NULL)
            return NULL;
        state->open = grown;
        state->open_capacity = capacity;
    }
    struct uncommitted *added = &state->open[state->open_count++];

    added->group = group;
    ff_table_init(&added->counts);
    return &added->counts;
}

/*
 * Moves the counts of files that turned out good to the main table and drops
 * those that did not.  The driver decides only after all pieces of a file are
 * sealed, so no piece can join or leave the group any more.
 */
static int commit_decided(struct words_state *state)
{
    size_t kept = 0;

    for (size_t i = 0; i < state->open_count; i++) {
        struct uncommitted *open = &state->open[i];
        uint64_t decided = ff_observe(&state->context->inputs[open->group].state);

        if (decided == FF_GROUP_OPEN) {
            state->open[kept++] = *open;
            continue;
        }
        if (decided == FF_GROUP_GOOD && ff_table_merge(&state->counts, &open->counts) < 0)
            return FORKFOLD_E_MEMORY;
        ff_table_free(&open->counts);
    }
    state->open_count = kept;
    state->open_limit = kept * 2 > UNCOMMITTED_MAX ? kept * 2 : UNCOMMITTED_MAX;
    return 0;
}

/* ---- Bytes to words ------------------------------------------------------ */

static int ensure_block(struct words_state *state, size_t bytes)
{
    unsigned char *grown;

    if (state->block_bytes >= bytes)
        return 0;
    grown = realloc(state->block, bytes);
    if (grown == NULL)
        return FORKFOLD_E_MEMORY;
    state->block = grown;
    state->block_bytes = bytes;
    return 0;
}

static int fail_decoding(struct ff_item_failure *failure, uint64_t offset, enum ff_utf8_kind kind)
{
    ff_failure_set(failure, FORKFOLD_REASON_DECODE, 0, (int64_t)offset,
                   "invalid UTF-8 at byte %llu: %s", (unsigned long long)offset,
                   ff_utf8_kind_text(kind));
    return FF_ITEM_FAILED;
}

/* A negative code of the kernel: what the input is to blame for fails the input only. */
static int fail_counting(struct ff_item_failure *failure, int code)
{
    if (code != FORKFOLD_E_LIMIT)
        return code;
    ff_failure_set(failure, FORKFOLD_REASON_LIMIT, 0, -1, "it holds a word of more than %llu bytes",
                   (unsigned long long)FF_KEY_BYTES_MAX);
    return FF_ITEM_FAILED;
}

/* A whole text in memory.  It is validated first, so that a bad one leaves the table alone. */
static int count_text(struct words_state *state, size_t bytes, struct ff_item_failure *failure)
{
    struct ff_utf8_error bad;
    size_t consumed;
    int code;

    if (state->context->invalid == FORKFOLD_INVALID_FAIL &&
        !ff_utf8_validate(state->block, bytes, &bad))
        return fail_decoding(failure, bad.offset, bad.kind);
    ff_word_kernel_start(&state->kernel, false);
    code = ff_word_kernel_feed(&state->kernel, &state->counts, state->block, bytes, true, &consumed,
                               &bad);
    if (code == 0)
        code = ff_word_kernel_end(&state->kernel, &state->counts);
    return code < 0 ? fail_counting(failure, code) : FF_ITEM_DONE;
}

/* ---- Streams: stdin, and files that do not say how long they are --------- */

static int count_stream_into(struct words_state *state, struct ff_table *counts, int fd,
                             uint64_t *total, struct ff_item_failure *failure)
{
    struct ff_utf8_error bad;
    size_t held = 0;
    int64_t got;
    uint64_t offset = 0; /* in the stream, of block[0] */

    ff_word_kernel_start(&state->kernel, false);
    do {
        size_t consumed;

        got = ff_read_next(fd, state->block + held, BLOCK_BYTES - held, failure);
        if (got < 0)
            return FF_ITEM_FAILED;
        ff_worker_count_bytes(state->worker, (uint64_t)got);
        held += (size_t)got;

        int code = ff_word_kernel_feed(&state->kernel, counts, state->block, held, got == 0,
                                       &consumed, &bad);

        if (code == FF_WORDS_ILL_FORMED)
            return fail_decoding(failure, offset + bad.offset, bad.kind);
        if (code < 0)
            return fail_counting(failure, code);
        memmove(state->block, state->block + consumed, held - consumed);
        held -= consumed;
        offset += consumed;
    } while (got > 0);
    *total = offset;
    int code = ff_word_kernel_end(&state->kernel, counts);

    return code < 0 ? fail_counting(failure, code) : FF_ITEM_DONE;
}

static int count_stream(struct words_state *state, int fd, struct ff_item_failure *failure)
{
    struct ff_table counts;
    uint64_t total;
    int status = ensure_block(state, BLOCK_BYTES);

    if (status < 0)
        return status;
    ff_table_init(&counts);
    status = count_stream_into(state, &counts, fd, &total, failure);
    if (status == FF_ITEM_DONE)
        status = ff_table_merge(&state->counts, &counts);
    ff_table_free(&counts);
    return status;
}

/* ---- Whole files --------------------------------------------------------- */

static int count_open_file(struct words_state *state, int fd, const struct ff_stamp *now,
                           struct ff_item_failure *failure)
{
    size_t size = (size_t)now->size;
    int64_t got;
    int code;

    /* Files of some file systems, /proc for one, do not know their size. */
    if (size == 0)
        return count_stream(state, fd, failure);
    if (size > state->context->split_bytes) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it grew to %llu bytes before it was read", (unsigned long long)now->size);
        return FF_ITEM_FAILED;
    }
    code = ensure_block(state, size + 1 > BLOCK_BYTES ? size + 1 : BLOCK_BYTES);
    if (code < 0)
        return code;
    /* One byte more than there should be tells growth from the end. */
    got = ff_read_at(fd, state->block, size + 1, 0, failure);
    if (got < 0)
        return FF_ITEM_FAILED;
    FF_FAULT(state->worker, "middle");
    if ((size_t)got != size) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it changed while it was read, from %zu to %s%lld bytes", size,
                       (size_t)got > size ? "at least " : "", (long long)got);
        return FF_ITEM_FAILED;
    }
    ff_worker_count_bytes(state->worker, size);
    return count_text(state, size, failure);
}

static int count_file(struct words_state *state, const struct ff_input *input,
                      struct ff_item_failure *failure)
{
    struct ff_stamp now;
    int fd = ff_read_open(input->path, &now, failure);
    int status;

    if (fd < 0)
        return FF_ITEM_FAILED;
    status = count_open_file(state, fd, &now, failure);
    close(fd);
    return status;
}

/* ---- Pieces of big files ------------------------------------------------- */

/*
 * Where a piece really starts or ends: at the first boundary of a character at
 * or after the position that arithmetic gave.  Whoever has the piece before
 * computes the same from the same bytes.  *inside: the edge lies within a token, which belongs to
 * the piece that the token starts in.
 */
static bool find_edge(int fd, uint64_t position, uint64_t size, uint64_t *edge, bool *inside,
                      struct ff_item_failure *failure)
{
    unsigned char around[EDGE_BEFORE + EDGE_AFTER];
    uint64_t from = position > EDGE_BEFORE ? position - EDGE_BEFORE : 0;
    uint64_t to = position + EDGE_AFTER < size ? position + EDGE_AFTER : size;
    int64_t got = ff_read_at(fd, around, (size_t)(to - from), from, failure);

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
static int fail_piece(int fd, uint64_t offset, struct ff_utf8_error bad,
                      struct ff_item_failure *failure)
{
    unsigned char bytes[EDGE_AFTER];
    int64_t got = ff_read_at(fd, bytes, sizeof(bytes), offset + bad.offset, failure);

    if (got < 0)
        return FF_ITEM_FAILED;
    if (got > 0)
        bad.kind = (enum ff_utf8_kind)ff_utf8_decode(bytes, (size_t)got).kind;
    return fail_decoding(failure, offset + bad.offset, bad.kind);
}

static int read_block(struct words_state *state, int fd, uint64_t offset, uint64_t end,
                      size_t *bytes, struct ff_item_failure *failure)
{
    size_t wanted = end - offset < BLOCK_BYTES ? (size_t)(end - offset) : BLOCK_BYTES;
    int64_t got = ff_read_at(fd, state->block, wanted, offset, failure);

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

static int feed_piece(struct words_state *state, struct ff_table *counts, int fd, uint64_t start,
                      uint64_t end, struct ff_item_failure *failure)
{
    while (start < end) {
        struct ff_utf8_error bad;
        size_t bytes;
        size_t consumed;
        int code = read_block(state, fd, start, end, &bytes, failure);

        if (code != FF_ITEM_DONE)
            return code;
        FF_FAULT(state->worker, "middle");
        code = ff_word_kernel_feed(&state->kernel, counts, state->block, bytes,
                                   start + bytes == end, &consumed, &bad);
        if (code == FF_WORDS_ILL_FORMED)
            return fail_piece(fd, start, bad, failure);
        if (code < 0)
            return fail_counting(failure, code);
        start += consumed;
    }
    return FF_ITEM_DONE;
}

/* The token that the piece ends in goes on: to the next white space, however far that is. */
static int finish_token(struct words_state *state, struct ff_table *counts, int fd, uint64_t start,
                        uint64_t size, struct ff_item_failure *failure)
{
    bool ended = !state->kernel.in_token || state->kernel.skipping;

    while (!ended && start < size) {
        size_t bytes;
        size_t consumed;
        int code = read_block(state, fd, start, size, &bytes, failure);

        if (code != FF_ITEM_DONE)
            return code;
        code = ff_word_kernel_finish(&state->kernel, counts, state->block, bytes,
                                     start + bytes == size, &consumed, &ended);
        if (code < 0)
            return fail_counting(failure, code);
        start += consumed;
    }
    int code = ff_word_kernel_end(&state->kernel, counts);

    return code < 0 ? fail_counting(failure, code) : FF_ITEM_DONE;
}

static int count_open_piece(struct words_state *state, const struct ff_input *input, int fd,
                            struct ff_item_failure *failure)
{
    struct ff_table *counts = uncommitted_counts(state, input->group);
    uint64_t size = input->stamp.size;
    uint64_t start;
    uint64_t end;
    bool inside;
    bool ignored;
    int status;

    if (counts == NULL)
        return FORKFOLD_E_MEMORY;
    if (!ff_read_verify(fd, &input->stamp, failure) ||
        !find_edge(fd, input->offset, size, &start, &inside, failure) ||
        !find_edge(fd, input->offset + input->length, size, &end, &ignored, failure))
        return FF_ITEM_FAILED;
    ff_word_kernel_start(&state->kernel, inside);
    status = feed_piece(state, counts, fd, start, end, failure);
    if (status == FF_ITEM_DONE)
        status = finish_token(state, counts, fd, end, size, failure);
    /* Every piece must have seen the same file. */
    if (status == FF_ITEM_DONE && !ff_read_verify(fd, &input->stamp, failure))
        status = FF_ITEM_FAILED;
    ff_worker_count_bytes(state->worker, input->length);
    return status;
}

static int count_piece(struct words_state *state, const struct ff_input *input,
                       struct ff_item_failure *failure)
{
    struct ff_stamp now;
    int status = ensure_block(state, BLOCK_BYTES);

    if (status < 0)
        return status;
    if (ff_worker_group_is_quarantined(state->worker, input->group)) {
        ff_failure_set(failure, FORKFOLD_REASON_SIGNAL, 0, -1, "another piece of it was given up");
        return FF_ITEM_FAILED;
    }
    int fd = ff_read_open(input->path, &now, failure);

    if (fd < 0)
        return FF_ITEM_FAILED;
    status = count_open_piece(state, input, fd, failure);
    close(fd);
    if (status == FF_ITEM_DONE && state->open_count >= state->open_limit)
        return FF_ITEM_SEAL_NOW;
    return status;
}

/* ---- The job ------------------------------------------------------------- */

static int words_run(void *pointer, uint64_t item, struct ff_item_failure *failure)
{
    struct words_state *state = pointer;
    const struct ff_input *input = &state->context->inputs[item];
    int status;

    FF_FAULT_ITEM(input->path);
    FF_FAULT(state->worker, "begin");
    if (input->kind == FF_INPUT_STDIN) {
        ff_worker_mark_consumed(state->worker, item);
        status = count_stream(state, state->context->stdin_fd, failure);
        /* Good or bad: what is known of it cannot be found out again. */
        if (status >= 0)
            status |= FF_ITEM_SEAL_NOW;
    } else if (input->pieces > 1) {
        status = count_piece(state, input, failure);
    } else {
        status = count_file(state, input, failure);
    }
    FF_FAULT(state->worker, "end");
    return status;
}

static int words_absorb(void *pointer, const void *payload, size_t bytes)
{
    struct words_state *state = pointer;
    const struct ff_words_seal *seal = payload;
    const struct ff_words_group *groups = ff_words_seal_groups(seal);

    (void)bytes; /* the checksum has vouched for the payload */
    for (uint64_t i = 0; i < seal->group_count; i++) {
        struct ff_table *counts = uncommitted_counts(state, groups[i].group);

        if (counts == NULL ||
            ff_partial_add_to(ff_words_seal_partial(seal, &groups[i]), counts) < 0)
            return FORKFOLD_E_MEMORY;
    }
    return ff_partial_add_to(ff_words_seal_main(seal), &state->counts);
}

/* Writes one partial behind the last; false when there is no room. */
static bool append_partial(char *payload, size_t capacity, size_t *used,
                           const struct ff_table *counts)
{
    size_t bytes = ff_partial_bytes(counts);

    if (bytes > capacity - *used)
        return false;
    ff_partial_write((struct ff_partial *)(payload + *used), counts);
    *used += bytes;
    return true;
}

static int words_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    struct words_state *state = pointer;
    struct ff_words_seal *seal = payload;
    struct ff_words_group *groups = (struct ff_words_group *)(seal + 1);
    int code = commit_decided(state);
    size_t used = sizeof(*seal) + state->open_count * sizeof(*groups);

    if (code < 0)
        return code;
    used = (used + 63) & ~(size_t)63;
    if (used > capacity)
        return FORKFOLD_E_LIMIT;
    seal->group_count = state->open_count;
    for (size_t i = 0; i < state->open_count; i++) {
        groups[i] = (struct ff_words_group){.group = state->open[i].group, .offset = used};
        if (!append_partial(payload, capacity, &used, &state->open[i].counts))
            return FORKFOLD_E_LIMIT;
    }
    seal->main_offset = used;
    if (!append_partial(payload, capacity, &used, &state->counts))
        return FORKFOLD_E_LIMIT;
    *bytes = used;
    return 0;
}

const struct ff_partial *ff_words_seal_main(const struct ff_words_seal *seal)
{
    return (const struct ff_partial *)((const char *)seal + seal->main_offset);
}

const struct ff_words_group *ff_words_seal_groups(const struct ff_words_seal *seal)
{
    return (const struct ff_words_group *)(seal + 1);
}

const struct ff_partial *ff_words_seal_partial(const struct ff_words_seal *seal,
                                               const struct ff_words_group *group)
{
    return (const struct ff_partial *)((const char *)seal + group->offset);
}

const struct ff_job ff_words_job = {
    .name = "words",
    .attach = words_attach,
    .detach = words_detach,
    .run = words_run,
    .absorb = words_absorb,
    .seal = words_seal,
    .group = words_group,
};
