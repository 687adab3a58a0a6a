/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_input.h"

#include <string.h>

/* A task holds files up to one of these; big files are tasks of their own. */
enum { BATCH_FILES = 64, BATCH_BYTES = 256 * 1024 };

enum { PIECES_PER_WORKER = 32, PIECE_BYTES_MIN = 1 << 20, PIECE_BYTES_MAX = 2 << 20 };

/* Of a text in memory, which need not be opened: enough to be worth waking a worker. */
enum { TEXT_PIECE_BYTES_MIN = 64 << 10 };

void ff_words_input_open(struct ff_words_input *input, const struct ff_area *area)
{
    size_t half = area->bytes / 2 & ~(size_t)63;
    size_t head = (sizeof(struct ff_words_context) + 63) & ~(size_t)63;

    *input = (struct ff_words_input){.context = (struct ff_words_context *)area->base,
                                     .capacity = (half - head) / sizeof(struct ff_input),
                                     .paths = area->base + half,
                                     .paths_size = area->bytes - half};
    input->context->inputs = (struct ff_input *)(area->base + head);
}

static int post(struct ff_words_input *input, forkfold_pool *pool, struct ff_task task)
{
    int code = ff_words_input_flush(input, pool);

    return code < 0 ? code : ff_call_post(pool, task, task.count);
}

int ff_words_input_flush(struct ff_words_input *input, forkfold_pool *pool)
{
    struct ff_task task = input->batch;

    input->batch = (struct ff_task){.first = input->count};
    input->batch_bytes = 0;
    return task.count == 0 ? 0 : ff_call_post(pool, task, task.count);
}

static int fail_full(const struct ff_words_input *input, forkfold_pool *pool)
{
    return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                        "more input files than the region has room for (%llu so far); raise the "
                        "limit of address space (ulimit -v) or count in several runs",
                        (unsigned long long)input->count);
}

const char *ff_words_input_keep_path(struct ff_words_input *input, forkfold_pool *pool,
                                     const struct ff_found *found)
{
    char *stored = input->paths + input->paths_used;

    if (found->path_bytes >= input->paths_size - input->paths_used) {
        fail_full(input, pool);
        return NULL;
    }
    memcpy(stored, found->path, found->path_bytes);
    stored[found->path_bytes] = '\0';
    input->paths_used += found->path_bytes + 1;
    return stored;
}

void *ff_words_input_reserve(struct ff_words_input *input, forkfold_pool *pool, size_t bytes)
{
    size_t start = (input->paths_used + 63) & ~(size_t)63;

    if (start > input->paths_size || bytes > input->paths_size - start) {
        ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                     "the region has no room for the lists of what is to be folded; raise the "
                     "limit of address space (ulimit -v) or allow more memory for counts");
        return NULL;
    }
    input->paths_used = start + bytes;
    return input->paths + start;
}

/*
 * How long the pieces of a file are.  Unless somebody has said it: so short that the workers end at
 * about the same time, and so long that opening and finding the edges does not show.
 */
static uint64_t piece_bytes(const struct ff_words_input *input, const forkfold_pool *pool,
                            uint64_t file_bytes, uint64_t least)
{
    uint64_t wanted = file_bytes / ((uint64_t)pool->layout.workers * PIECES_PER_WORKER);

    if (!input->context->cuts_finely)
        return input->context->split_bytes;
    if (wanted < least)
        return least;
    return wanted < PIECE_BYTES_MAX ? wanted : PIECE_BYTES_MAX;
}

static uint64_t pieces_of(const struct ff_words_input *input, const struct ff_found *found,
                          uint64_t length)
{
    if (found->kind != FF_FOUND_FILE || found->size <= input->context->split_bytes)
        return 1;
    return (found->size + length - 1) / length;
}

static void write_piece(struct ff_input *piece, const struct ff_input *file, uint64_t number)
{
    *piece = *file;
    piece->offset = number * file->length;
    if (number + 1 == file->pieces)
        piece->length = file->stamp.size - piece->offset;
}

/* The file's length is that of its pieces. */
static int add_split_file(struct ff_words_input *input, forkfold_pool *pool,
                          const struct ff_input *file)
{
    input->split_files++;
    for (uint64_t number = 0; number < file->pieces; number++) {
        uint64_t item = file->group + number;

        write_piece(&input->context->inputs[item], file, number);
    }
    input->count += file->pieces;
    for (uint64_t number = 0; number < file->pieces; number++) {
        int code = post(input, pool, (struct ff_task){.first = file->group + number, .count = 1});

        if (code < 0)
            return code;
    }
    input->batch.first = input->count;
    return 0;
}

static int add_whole_file(struct ff_words_input *input, forkfold_pool *pool,
                          const struct ff_input *file)
{
    struct ff_input *whole = &input->context->inputs[input->count];

    *whole = *file;
    whole->length = file->stamp.size;
    /* Alone: when its worker dies, no other item of the task has used up its input. */
    if (file->kind == FF_INPUT_STDIN) {
        int code = ff_words_input_flush(input, pool);

        if (code < 0)
            return code;
    }
    input->count++;
    input->batch.count++;
    input->batch_bytes += file->stamp.size;
    if (file->kind == FF_INPUT_STDIN || input->batch.count >= BATCH_FILES ||
        input->batch_bytes >= BATCH_BYTES)
        return ff_words_input_flush(input, pool);
    return 0;
}

int ff_words_input_add(struct ff_words_input *input, forkfold_pool *pool,
                       const struct ff_found *found)
{
    uint64_t length = piece_bytes(input, pool, found->size, PIECE_BYTES_MIN);
    uint64_t pieces = pieces_of(input, found, length);
    struct ff_input file = {.path_bytes = (uint32_t)found->path_bytes,
                            .kind = found->kind == FF_FOUND_STDIN ? FF_INPUT_STDIN : FF_INPUT_FILE,
                            .group = input->count,
                            .pieces = pieces,
                            .length = length,
                            .stamp = {.size = found->size,
                                      .mtime_ns = found->mtime_ns,
                                      .inode = found->inode,
                                      .device = found->device}};

    if (pieces > input->capacity - input->count)
        return fail_full(input, pool);
    file.path = ff_words_input_keep_path(input, pool, found);
    if (file.path == NULL)
        return pool->error.code;
    input->files++;
    input->bytes += found->size;
    return pieces > 1 ? add_split_file(input, pool, &file) : add_whole_file(input, pool, &file);
}

int ff_words_input_add_text(struct ff_words_input *input, forkfold_pool *pool, uint64_t bytes)
{
    static const struct ff_found named = {.path = "text", .path_bytes = sizeof("text") - 1};
    uint64_t length = piece_bytes(input, pool, bytes, TEXT_PIECE_BYTES_MIN);
    struct ff_input text = {.path_bytes = (uint32_t)named.path_bytes,
                            .kind = FF_INPUT_TEXT,
                            .pieces = bytes > length ? (bytes - 1) / length + 1 : 1,
                            .length = length,
                            .stamp = {.size = bytes}};
    int code;

    if (text.pieces > input->capacity)
        return fail_full(input, pool);
    text.path = ff_words_input_keep_path(input, pool, &named);
    if (text.path == NULL)
        return pool->error.code;
    input->files = 1;
    input->bytes = bytes;
    code =
        text.pieces > 1 ? add_split_file(input, pool, &text) : add_whole_file(input, pool, &text);
    return code < 0 ? code : ff_words_input_flush(input, pool);
}
