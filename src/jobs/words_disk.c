/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a fold of counts that did not fit in memory (words_disk.h tells the stages),
 * and the reading of its result.
 */
#include "jobs/words_disk.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/words_counting.h"
#include "platform/file.h"
#include "platform/map.h"

enum {
    /* However little memory there is, so many partials are read at once. */
    FAN_IN_MIN = 8,
    RANGES_PER_WORKER = 4,
    /* Below this a range of the keys does not pay. */
    RANGE_BYTES_MIN = 256 * 1024,
    SAMPLES_PER_RANGE = 32
};

/* A fold in progress. */
struct disk_fold {
    struct ff_counting *counting;
    forkfold_pool *pool;
    uint64_t memory_bytes;              /* for one worker */
    struct ff_spilled_list list;        /* what the last stage has written */
    uint64_t total;                     /* of all that is to be folded, if these are counts */
    const struct ff_combiner *combiner; /* NULL for counts */
};

static int fail_memory(forkfold_pool *pool)
{
    return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
}

static size_t fan_in(uint64_t memory_bytes)
{
    size_t affordable = memory_bytes / 2 / FF_PARTIAL_FILE_MEMORY;

    return affordable > FAN_IN_MIN ? affordable : FAN_IN_MIN;
}

/* ---- Reading in the driver ----------------------------------------------- */

static int fail_reading(forkfold_pool *pool, int code, int system_error)
{
    char message[FF_MESSAGE_BYTES];

    if (code == FORKFOLD_E_SPILL) {
        ff_spill_explain(&pool->layout, "read", system_error, message, sizeof(message));
        return ff_error_set(&pool->error, code, "%s", message);
    }
    if (code == FORKFOLD_E_DAMAGED)
        return ff_error_set(&pool->error, code,
                            "a partial that was written to disk in '%s' is damaged; there is no "
                            "result, run it again",
                            pool->layout.spill_folder);
    return fail_memory(pool);
}

static int open_reader(forkfold_pool *pool, const struct ff_spilled *spilled, enum ff_order order,
                       uint64_t fingerprint, struct ff_partial_reader *reader)
{
    int fd = ff_call_open_spill(pool, (unsigned)spilled->slot);
    int code;

    if (fd < 0)
        return fd;
    code = ff_partial_reader_open(reader, fd, spilled->extent, order, fingerprint);
    return code < 0 ? fail_reading(pool, code, reader->system_error) : 0;
}

/* The sum of the totals that the partials say they have. */
static int sum_totals(struct disk_fold *fold, const struct ff_spilled *spilled, size_t count,
                      enum ff_order order, uint64_t *total, uint64_t *entries)
{
    for (size_t i = 0; i < count; i++) {
        struct ff_partial_reader reader;
        int code = open_reader(fold->pool, &spilled[i], order,
                               fold->counting->input.context->fingerprint, &reader);

        if (code < 0)
            return code;
        if (__builtin_add_overflow(*total, reader.total, total) && fold->combiner == NULL)
            return ff_error_set(&fold->pool->error, FORKFOLD_E_LIMIT, "more than 2^64 words");
        *entries += reader.entry_count;
        ff_partial_reader_close(&reader);
    }
    return 0;
}

/* ---- Stages -------------------------------------------------------------- */

static struct ff_disk_context *new_context(struct disk_fold *fold, enum ff_disk_stage stage,
                                           enum ff_order order)
{
    struct ff_disk_context *context =
        ff_words_input_reserve(&fold->counting->input, fold->pool, sizeof(*context));
    struct ff_spilled *spilled = ff_words_input_reserve(&fold->counting->input, fold->pool,
                                                        fold->list.count * sizeof(*spilled));

    if (context == NULL || spilled == NULL)
        return NULL;
    if (fold->list.count > 0)
        memcpy(spilled, fold->list.items, fold->list.count * sizeof(*spilled));
    *context = (struct ff_disk_context){.stage = stage,
                                        .order = order,
                                        .fingerprint = fold->counting->input.context->fingerprint,
                                        .combiner = fold->combiner,
                                        .memory_bytes = fold->memory_bytes,
                                        .spilled = spilled,
                                        .spilled_count = fold->list.count,
                                        .fan_in = fan_in(fold->memory_bytes)};
    return context;
}

static int take_seal(struct disk_fold *fold, unsigned slot)
{
    const struct ff_seal *seal = ff_call_seal(fold->pool, slot);
    const struct ff_disk_seal *disk = seal != NULL ? ff_seal_payload(seal) : NULL;

    if (disk == NULL)
        return 0;
    if (seal->payload_bytes < sizeof(*disk) ||
        disk->count > (seal->payload_bytes - sizeof(*disk)) / sizeof(disk->written[0]))
        return ff_error_set(&fold->pool->error, FORKFOLD_E_DAMAGED,
                            "a worker sealed a damaged list; there is no result, run it again");
    for (uint64_t i = 0; i < disk->count; i++)
        if (disk->written[i].slot >= fold->pool->layout.workers)
            return fail_reading(fold->pool, FORKFOLD_E_DAMAGED, 0);
    if (ff_spilled_list_add(&fold->list, disk->written, disk->count) < 0)
        return fail_memory(fold->pool);
    return 0;
}

/* Runs one stage, which adds to fold->list. */
static int run_stage(struct disk_fold *fold, const struct ff_disk_context *context,
                     uint64_t item_count)
{
    int code = ff_words_run_call(fold->counting, &ff_words_disk_job, context, item_count);

    for (unsigned slot = 0; slot < fold->pool->layout.workers && code == 0; slot++)
        code = take_seal(fold, slot);
    return code;
}

/* Runs a stage that replaces what it reads: the disk is given back. */
static int replace_list(struct disk_fold *fold, const struct ff_disk_context *context,
                        uint64_t item_count)
{
    int code;

    fold->list.count = 0;
    code = run_stage(fold, context, item_count);
    for (size_t i = 0; i < context->spilled_count && code == 0; i++) {
        const struct ff_spilled *old = &context->spilled[i];

        code = ff_call_open_spill(fold->pool, (unsigned)old->slot);
        if (code < 0)
            return code;
        ff_file_discard(code, old->extent.offset, old->extent.bytes);
        code = 0;
    }
    return code;
}

static int gather(struct disk_fold *fold, const struct ff_partial *const *partials,
                  size_t partial_count)
{
    struct ff_disk_context *context = new_context(fold, FF_DISK_GATHER, FF_BY_KEY);
    const struct ff_partial **filled;
    size_t count = 0;

    if (context == NULL)
        return fold->pool->error.code;
    filled = ff_words_input_reserve(&fold->counting->input, fold->pool,
                                    partial_count * sizeof(const struct ff_partial *));
    if (filled == NULL)
        return fold->pool->error.code;
    for (size_t i = 0; i < partial_count; i++)
        if (partials[i]->entry_count > 0)
            filled[count++] = partials[i];
    context->partials = filled;
    return count > 0 ? run_stage(fold, context, count) : 0;
}

/* Merges until one process can read all that is left. */
static int merge_until(struct disk_fold *fold, enum ff_order order, size_t most)
{
    int code = 0;

    while (code == 0 && fold->list.count > most) {
        struct ff_disk_context *context = new_context(fold, FF_DISK_MERGE, order);

        if (context == NULL)
            return fold->pool->error.code;
        code =
            replace_list(fold, context, (fold->list.count + context->fan_in - 1) / context->fan_in);
    }
    return code;
}

/* ---- Cutting the keys into ranges ---------------------------------------- */

struct samples {
    struct disk_fold *fold;
    struct ff_key_cut *keys;
    size_t count;
    size_t capacity;
};

static int keep_sample(void *context, const char *key, size_t key_bytes)
{
    struct samples *samples = context;
    char *copy =
        ff_words_input_reserve(&samples->fold->counting->input, samples->fold->pool, key_bytes + 1);

    if (copy == NULL || samples->count == samples->capacity)
        return FORKFOLD_E_MEMORY;
    memcpy(copy, key, key_bytes);
    samples->keys[samples->count++] = (struct ff_key_cut){.key = copy, .key_bytes = key_bytes};
    return 0;
}

static int compare_cuts(const void *a, const void *b)
{
    const struct ff_key_cut *left = a;
    const struct ff_key_cut *right = b;
    size_t common = left->key_bytes < right->key_bytes ? left->key_bytes : right->key_bytes;
    int order = common > 0 ? memcmp(left->key, right->key, common) : 0;

    if (order != 0)
        return order;
    return (left->key_bytes > right->key_bytes) - (left->key_bytes < right->key_bytes);
}

static uint64_t list_bytes(const struct ff_spilled_list *list)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < list->count; i++)
        bytes += list->items[i].extent.bytes;
    return bytes;
}

/* Keys of all partials, of each as many as its share of the bytes. */
static int take_samples(struct samples *samples, size_t wanted)
{
    struct disk_fold *fold = samples->fold;
    double per_byte = (double)wanted / (double)list_bytes(&fold->list);

    for (size_t i = 0; i < fold->list.count; i++) {
        const struct ff_spilled *spilled = &fold->list.items[i];
        struct ff_partial_reader reader;
        int code = open_reader(fold->pool, spilled, FF_BY_KEY,
                               fold->counting->input.context->fingerprint, &reader);

        if (code < 0)
            return code;
        code = ff_partial_reader_sample(
            &reader, (size_t)((double)spilled->extent.bytes * per_byte) + 1, keep_sample, samples);
        if (code < 0)
            code = fail_reading(fold->pool, code, reader.system_error);
        ff_partial_reader_close(&reader);
        if (code < 0)
            return code;
    }
    return 0;
}

/* Sets the context's cuts to different keys among the samples, evenly spread. */
static void choose_cuts(struct ff_disk_context *context, const struct samples *samples,
                        size_t ranges, struct ff_key_cut *cuts)
{
    context->cuts = cuts;
    for (size_t range = 1; range < ranges && samples->count > 0; range++) {
        const struct ff_key_cut *cut = &samples->keys[samples->count * range / ranges];

        if (context->cut_count == 0 || compare_cuts(&cuts[context->cut_count - 1], cut) < 0)
            cuts[context->cut_count++] = *cut;
    }
}

static int cut_keys(struct disk_fold *fold, struct ff_disk_context *context)
{
    uint64_t useful = list_bytes(&fold->list) / RANGE_BYTES_MIN + 1;
    uint64_t most = (uint64_t)fold->pool->layout.workers * RANGES_PER_WORKER;
    size_t ranges = (size_t)(useful < most ? useful : most);
    struct ff_key_cut *cuts =
        ff_words_input_reserve(&fold->counting->input, fold->pool, ranges * sizeof(*cuts));
    struct samples samples = {.fold = fold,
                              .capacity = ranges * SAMPLES_PER_RANGE + 2 * fold->list.count};
    int code;

    if (cuts == NULL)
        return fold->pool->error.code;
    samples.keys = malloc(samples.capacity * sizeof(*samples.keys));
    if (samples.keys == NULL)
        return fail_memory(fold->pool);
    code = take_samples(&samples, ranges * SAMPLES_PER_RANGE);
    if (code == 0) {
        qsort(samples.keys, samples.count, sizeof(*samples.keys), compare_cuts);
        choose_cuts(context, &samples, ranges, cuts);
    }
    free(samples.keys);
    return code;
}

static int rank(struct disk_fold *fold)
{
    struct ff_disk_context *context = new_context(fold, FF_DISK_RANK, FF_BY_RANK);
    int code;

    if (context == NULL)
        return fold->pool->error.code;
    code = cut_keys(fold, context);
    return code < 0 ? code : replace_list(fold, context, context->cut_count + 1);
}

/* ---- The whole ----------------------------------------------------------- */

/* What the count has sealed lies on disk now; nobody reads it or writes there between two calls. */
static void discard_seals(struct disk_fold *fold)
{
    const struct ff_layout *layout = &fold->pool->layout;
    unsigned turn = (unsigned)(fold->counting->sequence & 1);

    for (unsigned slot = 0; slot < layout->workers; slot++)
        for (int i = 0; i < 2; i++)
            ff_map_discard(layout->segments[slot].buffers[turn][i].base,
                           layout->segments[slot].buffers[turn][i].bytes);
}

static int run_stages(struct disk_fold *fold, const struct ff_partial *const *partials,
                      size_t partial_count)
{
    int code = gather(fold, partials, partial_count);

    if (code == 0) {
        discard_seals(fold);
        code = merge_until(fold, FF_BY_KEY, fan_in(fold->memory_bytes));
    }
    if (code == 0)
        code = rank(fold);
    return code < 0 ? code : merge_until(fold, FF_BY_RANK, fan_in(fold->memory_bytes));
}

/* Whatever happened on the way, no word may be lost or doubled; of values only their keys are left. */
static int check_total(struct disk_fold *fold)
{
    struct forkfold_words *words = fold->counting->words;
    uint64_t total = 0;
    int code = sum_totals(fold, fold->list.items, fold->list.count, FF_BY_RANK, &total,
                          &words->totals.distinct);

    if (code < 0 || fold->combiner != NULL)
        return code;
    words->totals.words = total;
    return total == fold->total ? 0 : fail_reading(fold->pool, FORKFOLD_E_DAMAGED, 0);
}

int ff_words_fold_on_disk(struct ff_counting *counting, const struct ff_partial *const *partials,
                          size_t partial_count, const struct ff_spilled *spilled,
                          size_t spilled_count)
{
    struct disk_fold fold = {
        .counting = counting,
        .pool = counting->pool,
        .combiner = ff_combiner_unless_counts(&counting->input.context->combiner),
        .memory_bytes = counting->memory_bytes / counting->pool->layout.workers};
    uint64_t entries = 0;
    int code = ff_spilled_list_add(&fold.list, spilled, spilled_count);

    if (code < 0)
        return fail_memory(fold.pool);
    code = sum_totals(&fold, spilled, spilled_count, FF_BY_KEY, &fold.total, &entries);
    for (size_t i = 0; i < partial_count; i++)
        fold.total += partials[i]->total;
    if (code == 0)
        code = run_stages(&fold, partials, partial_count);
    if (code == 0)
        code = check_total(&fold);
    counting->words->ranked = fold.list;
    counting->words->fingerprint = counting->input.context->fingerprint;
    if (code == 0)
        code = ff_words_disk_rewind(counting->words);
    return code;
}

/* ---- Reading the result -------------------------------------------------- */

static int open_readers(struct forkfold_words *words)
{
    words->readers = calloc(words->ranked.count + 1, sizeof(*words->readers));
    if (words->readers == NULL)
        return fail_memory(words->pool);
    for (size_t i = 0; i < words->ranked.count; i++) {
        int code = open_reader(words->pool, &words->ranked.items[i], FF_BY_RANK, words->fingerprint,
                               &words->readers[i]);

        if (code < 0)
            return code;
    }
    return 0;
}

static int fail_merging(struct forkfold_words *words, int code)
{
    return fail_reading(words->pool, code, words->readers[words->file_merge.failed].system_error);
}

int ff_words_disk_rewind(struct forkfold_words *words)
{
    int code;

    ff_words_disk_close(words);
    code = open_readers(words);
    if (code < 0)
        return code;
    code = ff_file_merge_open(&words->file_merge, words->readers, words->ranked.count, FF_BY_RANK);
    return code < 0 ? fail_merging(words, code) : 0;
}

int ff_words_disk_next(struct forkfold_words *words, struct ff_entry *entry)
{
    int more = ff_file_merge_next(&words->file_merge, entry);

    return more < 0 ? fail_merging(words, more) : more;
}

void ff_words_disk_close(struct forkfold_words *words)
{
    ff_file_merge_close(&words->file_merge);
    for (size_t i = 0; words->readers != NULL && i < words->ranked.count; i++)
        ff_partial_reader_close(&words->readers[i]);
    free(words->readers);
    words->readers = NULL;
}
