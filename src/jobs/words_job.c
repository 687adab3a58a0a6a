/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_job.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobs/directory.h"
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
    UNCOMMITTED_MAX = 32,
    /* Of memory that was freed: so much stays with the worker, in blocks of at most so many bytes. */
    KEPT_BYTES = 32 << 20,
    KEPT_BLOCK_BYTES = 4 << 20
};

/* Counts of a split file that may still have to be dropped. */
struct uncommitted {
    uint64_t group;
    struct ff_tally tally;
};

struct words_state {
    struct ff_worker *worker;
    const struct ff_words_context *context;
    struct ff_word_kernel kernel;
    struct ff_budget budget; /* of all tables here */
    struct ff_tally whole;   /* of whole files */
    struct ff_tally stream;  /* of the stream that is being read, or the file that is mapped */
    const struct ff_tally
        *source; /* it is being merged into another: not to be emptied meanwhile */
    struct uncommitted *open;
    size_t open_count;
    size_t open_capacity;
    size_t open_limit;
    struct ff_read_folder folder;
    const struct ff_input *text; /* that is being counted, if it lies in memory */
    struct ff_file_text mapped;  /* the file that a function is called on */
    unsigned char *block;
    size_t block_bytes;
};

/* ---- The budget ---------------------------------------------------------- */

/* The larger of two tallies of which the first may be none; not one that cannot give way. */
static struct ff_tally *larger(const struct words_state *state, struct ff_tally *a,
                               struct ff_tally *b, const struct ff_table *growing)
{
    bool is_growing = growing != NULL && growing == &b->counts;
    bool is_empty = is_growing ? b->counts.used == 0 : ff_table_bytes(&b->counts) == 0;

    if (b == state->source || is_empty)
        return a;
    return a == NULL || ff_table_bytes(&b->counts) > ff_table_bytes(&a->counts) ? b : a;
}

/*
 * The largest table goes to disk, whichever has to grow: emptying small ones would write many small
 * partials.  It is given back, but if it is the one that grows, which would want it again.
 */
static int relieve(void *context, const struct ff_table *growing)
{
    struct words_state *state = context;
    struct ff_tally *largest = larger(state, NULL, &state->whole, growing);
    int code = 0;

    largest = larger(state, largest, &state->stream, growing);
    for (size_t i = 0; i < state->open_count; i++)
        largest = larger(state, largest, &state->open[i].tally, growing);
    if (largest == NULL)
        return 0;
    if (largest->counts.used > 0)
        code = ff_tally_spill(largest, state->worker, state->context->fingerprint);
    if (growing != &largest->counts)
        ff_table_free(&largest->counts);
    return code < 0 ? code : 1;
}

/* Where both would not fit beside each other, the one that goes is written first. */
static int merge(struct words_state *state, struct ff_tally *into, struct ff_tally *from)
{
    int code = 0;

    if (ff_table_bytes(&from->counts) > state->budget.limit_bytes / 2 && from->counts.used > 0)
        code = ff_tally_spill(from, state->worker, state->context->fingerprint);
    state->source = from;
    if (code == 0)
        code = ff_tally_merge(into, from);
    state->source = NULL;
    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    return code;
}

/* ---- The state ----------------------------------------------------------- */

/*
 * Texts in memory are short and come one after the other: each needs again what the one before has
 * freed, and getting it from the system would take a fault for each page.
 */
static void keep_freed_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

static int words_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct words_state *state = calloc(1, sizeof(*state));
    const struct ff_combiner *combiner;

    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    state->context = context;
    combiner = ff_combiner_unless_counts(&state->context->combiner);
    if (state->context->text != NULL)
        keep_freed_memory();
    state->open_limit = UNCOMMITTED_MAX;
    state->folder.fd = -1;
    state->budget = (struct ff_budget){
        .limit_bytes = state->context->table_bytes, .relieve = relieve, .context = state};
    state->mapped.folder.fd = -1;
    ff_tally_init(&state->whole, &state->budget, combiner);
    ff_tally_init(&state->stream, &state->budget, combiner);
    ff_word_kernel_init(&state->kernel, state->context->rule, state->context->invalid);
    state->kernel.variant = state->context->scan;
    *result = state;
    return 0;
}

static void words_detach(void *pointer)
{
    struct words_state *state = pointer;

    for (size_t i = 0; i < state->open_count; i++)
        ff_tally_free(&state->open[i].tally);
    free(state->open);
    free(state->block);
    ff_read_leave(&state->folder);
    ff_file_text_free(&state->mapped);
    ff_tally_free(&state->stream);
    ff_tally_free(&state->whole);
    ff_word_kernel_free(&state->kernel);
    free(state);
}

static uint64_t words_group(const void *context, uint64_t item)
{
    return ff_input_group(((const struct ff_words_context *)context)->inputs, item);
}

/* ---- Uncommitted counts -------------------------------------------------- */

static struct ff_tally *uncommitted_counts(struct words_state *state, uint64_t group)
{
    for (size_t i = state->open_count; i-- > 0;)
        if (state->open[i].group == group)
            return &state->open[i].tally;
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
    ff_tally_init(&added->tally, &state->budget, NULL);
    return &added->tally;
}

/*
 * Moves the counts of files that turned out good to the main table and drops
 * those that did not.  The driver decides only after all pieces of a file are
 * sealed, so no piece can join or leave the group any more.
 */
static int commit_decided(struct words_state *state)
{
    int code = 0;

    /* Backwards, so that the last takes the place of one that leaves. */
    for (size_t i = state->open_count; i-- > 0 && code == 0;) {
        struct uncommitted *open = &state->open[i];
        uint64_t decided = ff_input_state(&state->context->inputs[open->group]);

        if (decided == FF_GROUP_OPEN)
            continue;
        if (decided == FF_GROUP_GOOD)
            code = merge(state, &state->whole, &open->tally);
        ff_tally_free(&open->tally);
        *open = state->open[--state->open_count];
    }
    state->open_limit =
        state->open_count * 2 > UNCOMMITTED_MAX ? state->open_count * 2 : UNCOMMITTED_MAX;
    return code;
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
static int count_text(struct words_state *state, const unsigned char *text, size_t bytes,
                      struct ff_item_failure *failure)
{
    struct ff_utf8_error bad;
    size_t consumed;
    int code;

    bool is_valid = state->kernel.variant->is_utf8(text, bytes);

    if (!is_valid && state->context->invalid == FORKFOLD_INVALID_FAIL) {
        (void)ff_utf8_validate(text, bytes, &bad);
        return fail_decoding(failure, bad.offset, bad.kind);
    }
    ff_word_kernel_start(&state->kernel, false);
    state->kernel.is_validated = is_valid;
    code = ff_word_kernel_feed(&state->kernel, &state->whole.counts, text, bytes, true, &consumed,
                               &bad);
    if (code == 0)
        code = ff_word_kernel_end(&state->kernel, &state->whole.counts);
    state->kernel.is_validated = false;
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
    uint64_t total;
    int status = ensure_block(state, BLOCK_BYTES);

    if (status < 0)
        return status;
    status = count_stream_into(state, &state->stream.counts, fd, &total, failure);
    if (status == FF_ITEM_DONE)
        status = merge(state, &state->whole, &state->stream);
    ff_tally_free(&state->stream);
    return status;
}

/* ---- Whole files --------------------------------------------------------- */

/* The size is the file's own word, now. */
static int count_file_of_size(struct words_state *state, int fd, size_t size,
                              struct ff_item_failure *failure)
{
    int64_t got;
    int code = ensure_block(state, size + 1 > BLOCK_BYTES ? size + 1 : BLOCK_BYTES);

    if (code < 0)
        return code;
    got = ff_read_at(fd, state->block, size + 1, 0, failure);
    if (got < 0)
        return FF_ITEM_FAILED;
    if ((size_t)got != size) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it changed while it was read, from %zu to %s%lld bytes", size,
                       (size_t)got > size ? "at least " : "", (long long)got);
        return FF_ITEM_FAILED;
    }
    ff_worker_count_bytes(state->worker, size);
    return count_text(state, state->block, size, failure);
}

/* A file that is not as it was found: it may have changed, or it does not know its size. */
static int count_other_file(struct words_state *state, int fd, struct ff_item_failure *failure)
{
    struct ff_stamp now;

    if (!ff_read_look(fd, &now, failure))
        return FF_ITEM_FAILED;
    /* Files of some file systems, /proc for one, do not know their size. */
    if (now.size == 0)
        return count_stream(state, fd, failure);
    if (now.size > state->context->split_bytes) {
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it grew to %llu bytes before it was read", (unsigned long long)now.size);
        return FF_ITEM_FAILED;
    }
    return count_file_of_size(state, fd, (size_t)now.size, failure);
}

/*
 * Three system calls for a file that is as it was found: what has that many bytes needs no second
 * look.  A file that turned into something else has another size, or none.
 */
static int count_open_file(struct words_state *state, int fd, const struct ff_input *input,
                           struct ff_item_failure *failure)
{
    size_t size = (size_t)input->stamp.size;
    int code = ensure_block(state, size + 1 > BLOCK_BYTES ? size + 1 : BLOCK_BYTES);

    if (code < 0)
        return code;
    if (size == 0 || !ff_read_expected(fd, state->block, size))
        return count_other_file(state, fd, failure);
    FF_FAULT(state->worker, "middle");
    ff_worker_count_bytes(state->worker, size);
    return count_text(state, state->block, size, failure);
}

static int count_file(struct words_state *state, const struct ff_input *input,
                      struct ff_item_failure *failure)
{
    int fd = ff_read_open(&state->folder, input->folder, input->name, failure);
    int status;

    if (fd < 0)
        return FF_ITEM_FAILED;
    status = count_open_file(state, fd, input, failure);
    close(fd);
    return status;
}

/* ---- Files for a function of the host's ----------------------------------- */

/* What it adds stays apart until it is known whether the file is good. */
static int map_file(struct words_state *state, const struct ff_input *input,
                    struct ff_item_failure *failure)
{
    struct ff_tally *staged = &state->stream;
    char path[PATH_MAX]; /* a longer one cannot be opened */
    int status =
        ff_file_text_read(&state->mapped, input->folder, input->name, input->stamp.size, failure);

    if (status == FF_ITEM_DONE) {
        FF_FAULT(state->worker, "middle");
        ff_worker_count_bytes(state->worker, state->mapped.bytes);
        snprintf(path, sizeof(path), "%s%s", input->folder, input->name);
        status = ff_directory_map_keyed(state->context->mapped, &state->mapped, path,
                                        &staged->counts, &staged->adds, failure);
    }
    if (status == FF_ITEM_DONE)
        status = merge(state, &state->whole, staged);
    ff_tally_clear(staged);
    return status;
}

/* ---- Pieces of big files, and of texts in memory -------------------------- */

static int64_t read_at(const struct words_state *state, int fd, void *buffer, size_t count,
                       uint64_t offset, struct ff_item_failure *failure)
{
    uint64_t left;

    if (state->text == NULL)
        return ff_read_at(fd, buffer, count, offset, failure);
    left = state->text->stamp.size - offset;
    if (count > left)
        count = (size_t)left;
    memcpy(buffer, state->context->text + offset, count);
    return (int64_t)count;
}

/* Every piece must see the same file. */
static bool is_unchanged(const struct words_state *state, int fd, const struct ff_input *input,
                         struct ff_item_failure *failure)
{
    return state->text != NULL || ff_read_verify(fd, &input->stamp, failure);
}

/*
 * Where a piece really starts or ends: at the first boundary of a character at
 * or after the position that arithmetic gave.  Whoever has the piece before
 * computes the same from the same bytes.  *inside: the edge lies within a token, which belongs to
 * the piece that the token starts in.
 */
static bool find_edge(const struct words_state *state, int fd, uint64_t position, uint64_t size,
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
static int fail_piece(const struct words_state *state, int fd, uint64_t offset,
                      struct ff_utf8_error bad, struct ff_item_failure *failure)
{
    unsigned char bytes[EDGE_AFTER];
    int64_t got = read_at(state, fd, bytes, sizeof(bytes), offset + bad.offset, failure);

    if (got < 0)
        return FF_ITEM_FAILED;
    if (got > 0)
        bad.kind = (enum ff_utf8_kind)ff_utf8_decode(bytes, (size_t)got).kind;
    return fail_decoding(failure, offset + bad.offset, bad.kind);
}

static int read_block(struct words_state *state, int fd, uint64_t offset, uint64_t end,
                      const unsigned char **block, size_t *bytes, struct ff_item_failure *failure)
{
    size_t wanted = end - offset < BLOCK_BYTES ? (size_t)(end - offset) : BLOCK_BYTES;
    int64_t got = (int64_t)wanted;

    *block = state->block;
    if (state->text != NULL)
        *block = state->context->text + offset;
    else
        got = ff_read_at(fd, state->block, wanted, offset, failure);
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
        const unsigned char *block;
        size_t bytes;
        size_t consumed;
        int code = read_block(state, fd, start, size, &block, &bytes, failure);

        if (code != FF_ITEM_DONE)
            return code;
        code = ff_word_kernel_finish(&state->kernel, counts, block, bytes, start + bytes == size,
                                     &consumed, &ended);
        if (code < 0)
            return fail_counting(failure, code);
        start += consumed;
    }
    int code = ff_word_kernel_end(&state->kernel, counts);

    return code < 0 ? fail_counting(failure, code) : FF_ITEM_DONE;
}

static int count_open_piece(struct words_state *state, const struct ff_input *input,
                            uint64_t number, int fd, struct ff_item_failure *failure)
{
    const struct ff_split_file *split = input->split;
    struct ff_tally *tally = uncommitted_counts(state, split->group);
    uint64_t size = input->stamp.size;
    uint64_t from = number * split->piece_bytes;
    uint64_t to = number + 1 < split->pieces ? from + split->piece_bytes : size;
    uint64_t start;
    uint64_t end;
    bool inside;
    bool ignored;
    int status;

    if (tally == NULL)
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

static int count_piece(struct words_state *state, const struct ff_input *input, uint64_t number,
                       struct ff_item_failure *failure)
{
    int status = state->text == NULL ? ensure_block(state, BLOCK_BYTES) : 0;
    int fd = -1;

    if (status < 0)
        return status;
    if (ff_worker_group_is_quarantined(state->worker, input->split->group)) {
        ff_failure_set(failure, FORKFOLD_REASON_SIGNAL, 0, -1, "another piece of it was given up");
        return FF_ITEM_FAILED;
    }
    if (state->text == NULL) {
        fd = ff_read_open(&state->folder, input->folder, input->name, failure);
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

/* ---- The job ------------------------------------------------------------- */

static int words_run(void *pointer, uint64_t item, struct ff_item_failure *failure)
{
    struct words_state *state = pointer;
    const struct ff_input *input = &state->context->inputs[item];
    int status;

    FF_FAULT_ITEM(input->folder, input->name);
    FF_FAULT(state->worker, "begin");
    state->text = state->context->text != NULL ? input : NULL;
    if (state->context->mapped != NULL) {
        status = map_file(state, input, failure);
    } else if (input->folder == NULL) {
        ff_worker_mark_consumed(state->worker, item);
        status = count_stream(state, state->context->stdin_fd, failure);
        /* Good or bad: what is known of it cannot be found out again. */
        if (status >= 0)
            status |= FF_ITEM_SEAL_NOW;
    } else if (input->split != NULL) {
        status = count_piece(state, input, item - input->split->group, failure);
    } else if (state->text != NULL) {
        ff_worker_count_bytes(state->worker, input->stamp.size);
        status = count_text(state, state->context->text, (size_t)input->stamp.size, failure);
    } else {
        status = count_file(state, input, failure);
    }
    FF_FAULT(state->worker, "end");
    return status;
}

/* Adds what a seal holds of one tally. */
static int absorb(struct ff_tally *tally, const struct ff_words_seal *seal,
                  const struct ff_words_part *part)
{
    const struct ff_spilled *spilled = ff_words_seal_spilled(seal, part);
    int code = ff_partial_add_to(ff_words_seal_partial(seal, part), &tally->counts);

    tally->adds += part->adds;
    return code < 0 ? code : ff_spilled_list_add(&tally->spilled, spilled, part->spilled_count);
}

static int words_absorb(void *pointer, const void *payload, size_t bytes)
{
    struct words_state *state = pointer;
    const struct ff_words_seal *seal = payload;
    int code = absorb(&state->whole, seal, &seal->parts[0]);

    (void)bytes; /* the checksum has vouched for the payload */
    for (uint64_t i = 1; i < seal->part_count && code == 0; i++) {
        struct ff_tally *tally = uncommitted_counts(state, seal->parts[i].group);

        code = tally == NULL ? FORKFOLD_E_MEMORY : absorb(tally, seal, &seal->parts[i]);
    }
    if (code == FORKFOLD_E_RANGE)
        ff_worker_explain(state->worker, FF_COMBINE_RANGE_TEXT);
    return code;
}

/* Room for so many bytes behind the last, 64-byte aligned; false when there is none. */
static bool append(size_t capacity, size_t *used, size_t bytes, uint64_t *offset)
{
    if (*used > capacity || bytes > capacity - *used)
        return false;
    *offset = *used;
    *used += (bytes + 63) & ~(size_t)63;
    return true;
}

/* 0, FORKFOLD_E_MEMORY, or FORKFOLD_E_LIMIT when there is no room. */
static int append_tally(char *payload, size_t capacity, size_t *used, const struct ff_tally *tally,
                        struct ff_words_part *part)
{
    size_t spilled_bytes = tally->spilled.count * sizeof(*tally->spilled.items);
    size_t start = *used;
    struct ff_partial *partial;
    int code;

    if (!append(capacity, used, ff_partial_bound(&tally->counts), &part->offset))
        return FORKFOLD_E_LIMIT;
    partial = (struct ff_partial *)(payload + part->offset);
    code = ff_partial_write(partial, &tally->counts);
    if (code < 0)
        return code;
    *used = start + partial->bytes;
    if (!append(capacity, used, spilled_bytes, &part->spilled_offset))
        return FORKFOLD_E_LIMIT;
    if (spilled_bytes > 0)
        memcpy(payload + part->spilled_offset, tally->spilled.items, spilled_bytes);
    part->spilled_count = tally->spilled.count;
    part->adds = tally->adds;
    return 0;
}

/* FORKFOLD_E_LIMIT when it needs more room than there is, or FORKFOLD_E_MEMORY. */
static int lay_out_seal(struct words_state *state, void *payload, size_t capacity, size_t *bytes)
{
    struct ff_words_seal *seal = payload;
    uint64_t start;
    int code;

    *bytes = 0;
    if (!append(capacity, bytes, sizeof(*seal) + (state->open_count + 1) * sizeof(seal->parts[0]),
                &start))
        return FORKFOLD_E_LIMIT;
    seal->part_count = state->open_count + 1;
    seal->parts[0] = (struct ff_words_part){.group = FF_GROUP_NONE};
    code = append_tally(payload, capacity, bytes, &state->whole, &seal->parts[0]);
    for (size_t i = 0; i < state->open_count && code == 0; i++) {
        seal->parts[i + 1] = (struct ff_words_part){.group = state->open[i].group};
        code = append_tally(payload, capacity, bytes, &state->open[i].tally, &seal->parts[i + 1]);
    }
    return code;
}

static int words_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    struct words_state *state = pointer;
    int code = commit_decided(state);

    if (code == 0)
        code = lay_out_seal(state, payload, capacity, bytes);
    /* A long key can make a table larger than its budget and than the seal's room. */
    while (code == FORKFOLD_E_LIMIT) {
        code = relieve(state, NULL);
        if (code == 0)
            return FORKFOLD_E_LIMIT;
        if (code > 0)
            code = lay_out_seal(state, payload, capacity, bytes);
    }
    return code;
}

const struct ff_partial *ff_words_seal_partial(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part)
{
    return (const struct ff_partial *)((const char *)seal + part->offset);
}

const struct ff_spilled *ff_words_seal_spilled(const struct ff_words_seal *seal,
                                               const struct ff_words_part *part)
{
    return (const struct ff_spilled *)((const char *)seal + part->spilled_offset);
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
