/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting words: the driver's side.
 *
 * A first call of the pool counts.  The driver walks the directories and
 * posts tasks as it finds files, so that workers count while it still looks.
 * A second call folds what they sealed (words_finish.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/version.h>

#include "jobs/words_counting.h"
#include "jobs/words_job.h"
#include "platform/clock.h"

#define SPLIT_BYTES_DEFAULT (UINT64_C(4) << 20)

/* A piece, or a file that is not cut, is held in memory as a whole. */
#define SPLIT_BYTES_MAX (UINT64_C(1) << 30)

enum {
    ATTEMPTS_DEFAULT = 3,
    MAX_DEATHS_DEFAULT = 10,
    SPLIT_BYTES_MIN = 16,
    /* How often the driver looks up from listing directories, in files. */
    FILES_PER_LOOK = 256
};

/* ---- Options ------------------------------------------------------------- */

static int check_options(forkfold_pool *pool, const forkfold_words_options *options)
{
    if (options->size != 0 && options->size != sizeof(*options))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "forkfold_words_options.size is %zu, this library knows %zu",
                            options->size, sizeof(*options));
    if (options->path_count > 0 && options->paths == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "path_count without paths");
    if (options->rule != FORKFOLD_LETTERS && options->rule != FORKFOLD_PLAIN)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "unknown word rule %d",
                            (int)options->rule);
    if (options->invalid != FORKFOLD_INVALID_FAIL && options->invalid != FORKFOLD_INVALID_REPLACE)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "unknown treatment of invalid input %d", (int)options->invalid);
    if (options->split_bytes != 0 &&
        (options->split_bytes < SPLIT_BYTES_MIN || options->split_bytes > SPLIT_BYTES_MAX))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "pieces of %llu bytes are not possible; choose from %d to %llu",
                            (unsigned long long)options->split_bytes, SPLIT_BYTES_MIN,
                            (unsigned long long)SPLIT_BYTES_MAX);
    if (ff_scan_variant_named(options->cpu) == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "this machine does not run '%s'; choose from %s and what is below it",
                            options->cpu, ff_scan_variant_named(NULL)->name);
    if (options->progress_ns != 0 && options->on_progress == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "progress_ns without on_progress");
    return 0;
}

unsigned ff_words_attempts(const forkfold_words_options *options)
{
    return options->retries_plus_one > 0 ? options->retries_plus_one : ATTEMPTS_DEFAULT;
}

unsigned ff_words_max_deaths(const forkfold_words_options *options)
{
    return options->max_deaths > 0 ? options->max_deaths : MAX_DEATHS_DEFAULT;
}

uint64_t ff_words_timeout_ns(const forkfold_words_options *options)
{
    return ff_clock_limit_ns(options->timeout_ns);
}

/* ---- Progress ------------------------------------------------------------ */

static forkfold_progress progress_of(const struct ff_counting *counting)
{
    const struct ff_words_input *input = &counting->input;
    struct ff_call_counts now =
        counting->seals != NULL ? counting->counted : ff_call_counts(counting->pool);
    uint64_t done = now.items_done;
    uint64_t failed = now.failed < counting->input.files ? now.failed : counting->input.files;

    /* Pieces are items, and fail again when they are run again: show files, never more than there are. */
    if (input->count > 0 && input->split_files > 0)
        done = (uint64_t)((double)done / (double)input->count * (double)input->files);
    return (forkfold_progress){.files_found = input->files,
                               .files_done = done < input->files ? done : input->files,
                               .bytes_found = input->bytes,
                               .bytes_done = now.bytes_done,
                               .files_failed = failed + counting->words->failures.count,
                               .retries = now.retries,
                               .deaths = now.deaths,
                               .discovering = counting->discovering};
}

static void on_tick(void *context)
{
    struct ff_counting *counting = context;
    forkfold_progress progress = progress_of(counting);

    counting->options->on_progress(&progress, counting->options->context);
}

/* ---- Finding and counting ------------------------------------------------ */

/* The path of something that cannot be read lives with the paths of the inputs. */
static int add_unreadable(struct ff_counting *counting, const struct ff_found *found)
{
    if (ff_words_fail_found(counting->words, found) < 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY,
                            "no memory for the list of failures");
    return 0;
}

static int add_found(struct ff_counting *counting, const struct ff_found *found)
{
    if (found->kind == FF_FOUND_FAILED)
        return add_unreadable(counting, found);
    return ff_words_input_add(&counting->input, counting->pool, found);
}

/* Of an item that its job reported, if its seal is published. */
static int take_reported_failure(struct ff_counting *counting)
{
    const struct ff_layout *layout = &counting->pool->layout;
    uint64_t sealed;
    bool damaged;

    for (unsigned slot = 0; slot < layout->workers; slot++) {
        const struct ff_seal *seal = NULL;

        if (ff_observe(&layout->segments[slot].head->call) == counting->pool->sequence)
            seal =
                ff_seal_find(&layout->segments[slot], counting->pool->sequence, &sealed, &damaged);
        if (seal == NULL || seal->failure_count == 0 ||
            ff_seal_failures(seal)->item >= counting->input.count)
            continue;
        const struct ff_item_failure *failure = ff_seal_failures(seal);

        return ff_words_fail_item(counting->words, &counting->input.context->inputs[failure->item],
                                  failure);
    }
    return 0;
}

/* Finds out about one input that has failed, to say which; it may not be published yet. */
static int take_one_failure(struct ff_counting *counting)
{
    const struct ff_layout *layout = &counting->pool->layout;
    struct ff_symbols *symbols = NULL;
    int code;

    if (ff_observe(&layout->supervisor->quarantined) == 0)
        return take_reported_failure(counting);
    code = ff_words_fail_quarantined(counting->words,
                                     &counting->input.context->inputs[layout->quarantine[0].group],
                                     &layout->quarantine[0], &symbols);
    ff_symbols_close(symbols);
    return code;
}

static int stop_if_failed(struct ff_counting *counting)
{
    const struct forkfold_words *words = counting->words;

    if (!counting->options->stop_on_failure)
        return 0;
    if (words->failures.count == 0 && ff_call_counts(counting->pool).failed > 0 &&
        take_one_failure(counting) < 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY,
                            "no memory for the list of failures");
    if (words->failures.count == 0)
        return 0;
    return ff_error_set(&counting->pool->error, FORKFOLD_E_STOPPED, "an input failed: %s: %s",
                        words->failures.items[0].path, words->failures.items[0].detail);
}

/* Looks up from the search now and then: at deaths, deadlines, what the host watches. */
static int look_up(struct ff_counting *counting)
{
    int code = stop_if_failed(counting);

    if (code == 0)
        code = ff_call_step(counting->pool, false);
    return code < 0 ? code : 0;
}

static int find_all(struct ff_counting *counting)
{
    struct ff_found found;
    unsigned since_look = 0;
    int more;

    while ((more = ff_discover_next(counting->discover, &found)) > 0) {
        int code = found.kind == FF_FOUND_NOTHING
                       ? ff_words_input_feed(&counting->input, counting->pool)
                       : add_found(counting, &found);

        if (code == 0 && (found.kind == FF_FOUND_NOTHING || ++since_look == FILES_PER_LOOK)) {
            since_look = 0;
            code = look_up(counting);
        }
        if (code < 0)
            return code;
    }
    if (more < 0)
        return ff_error_set(&counting->pool->error, more, "no memory to list directories");
    return ff_words_input_flush(&counting->input, counting->pool);
}

static int wait_for_end(struct ff_counting *counting)
{
    int code;

    do {
        code = stop_if_failed(counting);
        if (code == 0)
            code = ff_call_step(counting->pool, true);
        if (code == 0)
            ff_words_decide_split_files(counting);
    } while (code == 0);
    return code < 0 ? code : stop_if_failed(counting);
}

static void begin_count(struct ff_counting *counting)
{
    const forkfold_words_options *options = counting->options;
    struct ff_call_options call = {.job = &ff_words_job,
                                   .context = counting->input.context,
                                   .timeout_ns = ff_words_timeout_ns(options),
                                   .deadline_at_ns = counting->deadline_at_ns,
                                   .attempts = ff_words_attempts(options),
                                   .max_deaths = ff_words_max_deaths(options),
                                   .seal_on_failure = options->stop_on_failure != 0,
                                   .measure = options->measure != 0,
                                   .tick_ns = ff_clock_limit_ns(options->progress_ns),
                                   .on_tick = on_tick,
                                   .tick_context = counting};

    ff_call_begin(counting->pool, &call);
    counting->sequence = counting->pool->sequence;
}

static int count(struct ff_counting *counting)
{
    int code;

    begin_count(counting);
    code = counting->text == NULL
               ? find_all(counting)
               : ff_words_input_add_text(&counting->input, counting->pool, counting->text_bytes);
    counting->discovering = false;
    counting->undecided = counting->input.split_files;
    if (code == 0) {
        ff_call_close(counting->pool);
        code = wait_for_end(counting);
    }
    return code == 0 ? ff_call_verify(counting->pool) : code;
}

/* ---- The whole ----------------------------------------------------------- */

/*
 * What the tables of one worker may take.  Beside a full table lie two seals of it, and a sorted
 * list of its keys while it is spilled; and a seal must fit its buffer.
 */
static uint64_t table_bytes(const struct ff_counting *counting)
{
    uint64_t share = counting->memory_bytes / counting->pool->layout.workers;
    uint64_t buffer = counting->pool->layout.segments[0].buffers[0][0].bytes;

    return share / 4 < buffer / 4 * 3 ? share / 4 : buffer / 4 * 3;
}

/* Partials of different questions must not be folded together. */
static uint64_t fingerprint_of(const struct ff_counting *counting)
{
    const forkfold_words_options *options = counting->options;
    char job[128];
    int length = snprintf(job, sizeof(job), "words rule=%d invalid=%d unicode=%s",
                          (int)options->rule, (int)options->invalid, forkfold_unicode_version());

    if (counting->mapped != NULL)
        length = snprintf(job, sizeof(job), "values combination=%d", (int)counting->combiner.kind);
    return ff_key_hash(job, (size_t)length);
}

/* A function gets whole files, and a copy of what it is to know. */
static int give_function(struct ff_counting *counting)
{
    struct ff_words_context *context = counting->input.context;
    void *copy;

    context->mapped = NULL;
    context->combiner = counting->combiner;
    if (counting->mapped == NULL)
        return 0;
    copy = ff_words_input_reserve(&counting->input, counting->pool, counting->mapped_bytes);
    if (copy == NULL)
        return counting->pool->error.code;
    memcpy(copy, counting->mapped, counting->mapped_bytes);
    context->mapped = copy;
    context->split_bytes = UINT64_MAX;
    return 0;
}

static int open_counting(struct ff_counting *counting)
{
    const forkfold_words_options *options = counting->options;
    forkfold_pool *pool = counting->pool;
    struct ff_discover_options search = {.paths = options->paths,
                                         .path_count = options->path_count,
                                         .paths_are_files = options->paths_are_files != 0,
                                         .glob = options->glob != NULL ? options->glob : "*.txt",
                                         .recursive = options->recursive != 0};
    int code = ff_discover_open(&counting->discover, &search, &pool->error);

    if (code < 0)
        return code;
    counting->words = calloc(1, sizeof(*counting->words));
    if (counting->words == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    counting->words->pool = pool;
    counting->seals_seen = calloc(pool->layout.workers, sizeof(*counting->seals_seen));
    if (counting->seals_seen == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    counting->memory_bytes = ff_call_memory(pool);
    code = ff_words_input_open(&counting->input, pool);
    if (code < 0)
        return code;
    counting->input.context->rule = options->rule;
    counting->input.context->invalid = options->invalid;
    counting->input.context->stdin_fd = options->stdin_fd;
    counting->input.context->scan = ff_scan_variant_named(options->cpu);
    counting->input.context->table_bytes = table_bytes(counting);
    counting->input.context->text = counting->text;
    counting->input.context->fingerprint = fingerprint_of(counting);
    counting->input.context->split_bytes =
        options->split_bytes > 0 ? options->split_bytes : SPLIT_BYTES_DEFAULT;
    counting->input.context->cuts_finely = options->split_bytes == 0;
    counting->started_ns = ff_clock_ns();
    if (ff_clock_limit_ns(options->deadline_ns) != 0)
        counting->deadline_at_ns = ff_call_clock_ns(pool) + options->deadline_ns;
    counting->discovering = true;
    return give_function(counting);
}

int ff_words_count(struct ff_counting *counting, forkfold_words **words,
                   forkfold_progress *progress)
{
    forkfold_pool *pool = counting->pool;
    int code = ff_call_check(pool);

    if (code == 0)
        code = ff_items_yield(pool);

    if (code == 0)
        code = check_options(pool, counting->options);
    if (code == 0)
        code = open_counting(counting);
    if (code == 0) {
        code = count(counting);
        if (code == 0)
            code = ff_words_finish(counting);
        if (progress != NULL)
            *progress = progress_of(counting);
        if (code < 0)
            ff_call_abort(pool);
    }
    ff_discover_close(counting->discover);
    free(counting->seals);
    free(counting->seals_seen);
    if (code < 0) {
        forkfold_words_close(counting->words);
        return code;
    }
    pool->has_result = true;
    *words = counting->words;
    return 0;
}

int forkfold_count_words(forkfold_pool *pool, const forkfold_words_options *options,
                         forkfold_words **words, forkfold_progress *progress)
{
    struct ff_counting counting = {.pool = pool, .options = options};

    return ff_words_count(&counting, words, progress);
}
