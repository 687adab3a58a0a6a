/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_input.h"

#include <string.h>

/* A task holds files up to one of these; a file of so many bytes is a task of its own. */
enum { BATCH_FILES = 64, BATCH_BYTES = 256 * 1024 };

/*
 * For each worker: tasks that are kept for the end, about as much as the biggest file that is not
 * cut; and unclaimed ones that keep the workers busy while the driver waits for a disk or for a
 * processor.  Should it wait for longer, what is kept is all that could have been done meanwhile.
 */
enum { KEPT_PER_WORKER = 16, FED_PER_WORKER = 8 };

/* Opening a file and all that takes as long as counting so many bytes. */
enum { FILE_WEIGHT = 4096 };

enum { PIECES_PER_WORKER = 32, PIECE_BYTES_MIN = 1 << 20, PIECE_BYTES_MAX = 2 << 20 };

/* Of a text in memory, which need not be opened: enough to be worth waking a worker. */
enum { TEXT_PIECE_BYTES_MIN = 64 << 10 };

/*
 * Words to expect in a worker's share of such a text: one for so many bytes in some megabytes, and
 * more in less; but no more than what the second-level cache holds, in 32,768 slots.
 */
enum { TEXT_BYTES_PER_KEY = 128, TEXT_KEYS_MAX = 22528 };

int ff_words_input_open(struct ff_words_input *input, forkfold_pool *pool)
{
    const struct ff_area *area = &pool->layout.input;
    unsigned workers = pool->layout.workers;
    size_t half = area->bytes / 2 & ~(size_t)63;
    size_t head = (sizeof(struct ff_words_context) + 63) & ~(size_t)63;

    *input = (struct ff_words_input){.context = (struct ff_words_context *)area->base,
                                     .capacity = (half - head) / sizeof(struct ff_input),
                                     .paths = area->base + half,
                                     .paths_size = area->bytes - half};
    input->context->inputs = (struct ff_input *)(area->base + head);
    input->fed = (uint64_t)workers * FED_PER_WORKER;
    /* One worker does all, in whatever order. */
    input->kept.capacity = workers > 1 ? (size_t)workers * KEPT_PER_WORKER + 1 : 1;
    input->kept.tasks =
        ff_words_input_reserve(input, pool, input->kept.capacity * sizeof(*input->kept.tasks));
    return input->kept.tasks != NULL ? 0 : pool->error.code;
}

/* ---- Tasks --------------------------------------------------------------- */

static int post_largest(struct ff_words_input *input, forkfold_pool *pool)
{
    struct ff_weighed_task task = ff_task_heap_pop(&input->kept);

    return ff_call_post(pool, (struct ff_task){.first = task.first, .count = task.count},
                        task.count);
}

int ff_words_input_feed(struct ff_words_input *input, forkfold_pool *pool)
{
    int code = 0;

    while (code == 0 && input->kept.count > 0 &&
           (input->kept.count == input->kept.capacity ||
            ff_board_unclaimed(&pool->layout.boards[FF_MAIN]) < input->fed))
        code = post_largest(input, pool);
    return code;
}

static int add_task(struct ff_words_input *input, forkfold_pool *pool, struct ff_weighed_task task)
{
    ff_task_heap_push(&input->kept, task);
    return ff_words_input_feed(input, pool);
}

/* The files of the batch are a task; nothing happens if there are none. */
static int end_batch(struct ff_words_input *input, forkfold_pool *pool)
{
    struct ff_weighed_task task = {.weight = input->batch_bytes + FILE_WEIGHT * input->batch.count,
                                   .first = input->batch.first,
                                   .count = input->batch.count};

    input->batch = (struct ff_task){.first = input->count};
    input->batch_bytes = 0;
    return task.count == 0 ? 0 : add_task(input, pool, task);
}

int ff_words_input_flush(struct ff_words_input *input, forkfold_pool *pool)
{
    int code = end_batch(input, pool);

    while (code == 0 && input->kept.count > 0)
        code = post_largest(input, pool);
    return code;
}

/* ---- Files --------------------------------------------------------------- */

static int fail_full(const struct ff_words_input *input, forkfold_pool *pool)
{
    return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                        "more input files than the region has room for (%llu so far); raise the "
                        "limit of address space (ulimit -v) or count in several runs",
                        (unsigned long long)input->count);
}

/* The first bytes of a text, and a NUL; NULL with the pool's error when there is no room. */
static const char *keep_text(struct ff_words_input *input, forkfold_pool *pool, const char *text,
                             size_t bytes)
{
    char *stored = input->paths + input->paths_used;

    if (bytes >= input->paths_size - input->paths_used) {
        fail_full(input, pool);
        return NULL;
    }
    memcpy(stored, text, bytes);
    stored[bytes] = '\0';
    input->paths_used += bytes + 1;
    return stored;
}

/* False with the pool's error when there is no room. */
static bool keep_path(struct ff_words_input *input, forkfold_pool *pool,
                      const struct ff_found *found, struct ff_input *file)
{
    const char *slash = memrchr(found->path, '/', found->path_bytes);
    size_t folder_bytes = slash != NULL ? (size_t)(slash + 1 - found->path) : 0;

    if (input->folder == NULL || strlen(input->folder) != folder_bytes ||
        memcmp(input->folder, found->path, folder_bytes) != 0)
        input->folder = keep_text(input, pool, found->path, folder_bytes);
    if (input->folder == NULL)
        return false;
    file->folder = found->kind == FF_FOUND_STDIN ? NULL : input->folder;
    file->name =
        keep_text(input, pool, found->path + folder_bytes, found->path_bytes - folder_bytes);
    return file->name != NULL;
}

void *ff_words_input_reserve(struct ff_words_input *input, forkfold_pool *pool, size_t bytes)
{
    size_t start = (input->paths_used + 63) & ~(size_t)63;

    if (start > input->paths_size || bytes > input->paths_size - start) {
        ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                     "the region has no room for more lists of what is to be counted or folded; "
                     "raise the limit of address space (ulimit -v), count in several runs or allow "
                     "more memory for counts");
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

static int add_split_file(struct ff_words_input *input, forkfold_pool *pool,
                          const struct ff_input *file)
{
    const struct ff_split_file *split = file->split;
    int code = end_batch(input, pool);

    input->split_files++;
    for (uint64_t number = 0; number < split->pieces; number++)
        input->context->inputs[split->group + number] = *file;
    input->count += split->pieces;
    for (uint64_t number = 0; code == 0 && number < split->pieces; number++)
        code =
            add_task(input, pool,
                     (struct ff_weighed_task){
                         .weight = split->piece_bytes, .first = split->group + number, .count = 1});
    input->batch.first = input->count;
    return code;
}

static int add_whole_file(struct ff_words_input *input, forkfold_pool *pool,
                          const struct ff_input *file)
{
    /* Alone: when its worker dies, no other item of the task has used up its input. */
    bool is_stdin = file->folder == NULL;
    bool is_big = file->size >= BATCH_BYTES;

    input->context->inputs[input->count] = *file;
    if (is_stdin || is_big) {
        int code = end_batch(input, pool);

        if (code < 0)
            return code;
    }
    input->count++;
    input->batch.count++;
    input->batch_bytes += file->size;
    /* Nobody knows how much it will be. */
    if (is_stdin)
        input->batch_bytes = UINT64_MAX - FILE_WEIGHT;
    if (input->batch.count >= BATCH_FILES || input->batch_bytes >= BATCH_BYTES)
        return end_batch(input, pool);
    return 0;
}

/* What the pieces of a file share; NULL with the pool's error when there is no room. */
static struct ff_split_file *keep_split(struct ff_words_input *input, forkfold_pool *pool,
                                        const struct ff_found *found, uint64_t pieces,
                                        uint64_t piece_bytes)
{
    struct ff_split_file *split = ff_words_input_reserve(input, pool, sizeof(*split));

    if (split != NULL)
        *split = (struct ff_split_file){.group = input->count,
                                        .pieces = pieces,
                                        .piece_bytes = piece_bytes,
                                        .stamp = {.size = found->size,
                                                  .mtime_ns = found->mtime_ns,
                                                  .inode = found->inode,
                                                  .device = found->device}};
    return split;
}

static int add(struct ff_words_input *input, forkfold_pool *pool, const struct ff_found *found,
               uint64_t pieces, uint64_t piece_bytes)
{
    struct ff_input file = {.size = found->size};

    if (pieces > input->capacity - input->count)
        return fail_full(input, pool);
    if (!keep_path(input, pool, found, &file))
        return pool->error.code;
    if (pieces > 1) {
        file.split = keep_split(input, pool, found, pieces, piece_bytes);
        if (file.split == NULL)
            return pool->error.code;
    }
    input->files++;
    input->bytes += found->size;
    return pieces > 1 ? add_split_file(input, pool, &file) : add_whole_file(input, pool, &file);
}

int ff_words_input_add(struct ff_words_input *input, forkfold_pool *pool,
                       const struct ff_found *found)
{
    uint64_t length = piece_bytes(input, pool, found->size, PIECE_BYTES_MIN);

    return add(input, pool, found, pieces_of(input, found, length), length);
}

static uint64_t text_keys(const forkfold_pool *pool, uint64_t bytes)
{
    uint64_t keys = bytes / pool->layout.workers / TEXT_BYTES_PER_KEY;

    return keys < TEXT_KEYS_MAX ? keys : TEXT_KEYS_MAX;
}

int ff_words_input_add_text(struct ff_words_input *input, forkfold_pool *pool, uint64_t bytes)
{
    const struct ff_found text = {
        .kind = FF_FOUND_FILE, .path = "text", .path_bytes = sizeof("text") - 1, .size = bytes};
    uint64_t length = piece_bytes(input, pool, bytes, TEXT_PIECE_BYTES_MIN);
    int code;

    input->context->text_keys = text_keys(pool, bytes);
    code = add(input, pool, &text, bytes > length ? (bytes - 1) / length + 1 : 1, length);
    return code < 0 ? code : ff_words_input_flush(input, pool);
}
