/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting words: the driver's side.
 *
 * A first call of the pool counts.  The driver walks the directories and
 * posts tasks as it finds files, so that workers count while it still looks.
 * A second call folds the sealed partials by ranges of the hash space.  What
 * the workers wrote stays in the region and is read there.
 */
#include <stdlib.h>
#include <string.h>

#include "jobs/words_fold.h"
#include "jobs/words_job.h"
#include "jobs/words_result.h"
#include "platform/clock.h"

#define SPLIT_BYTES_DEFAULT (UINT64_C(4) << 20)

enum {
    SPLIT_BYTES_MIN = 16,
    ATTEMPTS_DEFAULT = 3,
    MAX_DEATHS_DEFAULT = 10,
    /* How often the driver looks up from listing directories, in files. */
    FILES_PER_LOOK = 256,
    /* Entries below which cutting the fold into one more range does not pay. */
    ENTRIES_PER_RANGE = 4096,
    RANGES_PER_WORKER = 4
};

/* A count in progress. */
struct counting {
    forkfold_pool *pool;
    const forkfold_words_options *options;
    struct ff_discover *discover;
    struct ff_words_input input;
    struct forkfold_words *words;
    const struct ff_seal **seals; /* of the finished count, one per slot or NULL */
    uint64_t started_ns;
    uint64_t deadline_at_ns;
    bool discovering;
    struct ff_call_counts counted; /* once the count has finished */
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
    if (options->split_bytes != 0 && options->split_bytes < SPLIT_BYTES_MIN)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "pieces of %llu bytes are too small, the least is %d",
                            (unsigned long long)options->split_bytes, SPLIT_BYTES_MIN);
    if (options->progress_ns != 0 && options->on_progress == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "progress_ns without on_progress");
    return 0;
}

/* ---- Progress ------------------------------------------------------------ */

static forkfold_progress progress_of(const struct counting *counting)
{
    const struct ff_words_input *input = &counting->input;
    struct ff_call_counts now =
        counting->seals != NULL ? counting->counted : ff_call_counts(counting->pool);
    uint64_t done = now.items_done;

    /* Pieces are items: show files, and never more than there are. */
    if (input->count > 0 && input->split_files > 0)
        done = (uint64_t)((double)done / (double)input->count * (double)input->files);
    return (forkfold_progress){.files_found = input->files,
                               .files_done = done < input->files ? done : input->files,
                               .bytes_found = input->bytes,
                               .bytes_done = now.bytes_done,
                               .files_failed = now.failed + counting->words->failure_count,
                               .retries = now.retries,
                               .deaths = now.deaths,
                               .discovering = counting->discovering};
}

static void on_tick(void *context)
{
    struct counting *counting = context;
    forkfold_progress progress = progress_of(counting);

    counting->options->on_progress(&progress, counting->options->context);
}

/* ---- Split files --------------------------------------------------------- */

/* What the seals say of one group: how many of its pieces are covered, and whether one failed. */
struct verdict {
    uint64_t covered;
    bool failed;
};

static void judge_seal(const struct counting *counting, unsigned slot, struct verdict *verdicts)
{
    const struct ff_layout *layout = &counting->pool->layout;
    const struct ff_input *inputs = counting->input.context->inputs;
    bool damaged;
    uint64_t sealed;
    const struct ff_seal *seal =
        ff_seal_find(&layout->segments[slot], counting->pool->sequence, &sealed, &damaged);
    struct ff_task task;

    if (seal == NULL)
        return;
    for (uint64_t i = 0; i < seal->covered; i++) {
        if (!ff_layout_task(layout, layout->segments[slot].claims[i], &task) ||
            task.first >= counting->input.count)
            continue;
        if (inputs[task.first].pieces > 1)
            verdicts[inputs[task.first].group].covered += task.count;
    }
    for (uint64_t i = 0; i < seal->failure_count; i++) {
        uint64_t item = ff_seal_failures(seal)[i].item;

        if (item < counting->input.count)
            verdicts[inputs[item].group].failed = true;
    }
}

/*
 * Decides about split files whose pieces are all sealed, so that workers can
 * add their counts to the whole instead of keeping them apart.  A decision is final: what is sealed
 * is not run again.  Leaving a file undecided is always right; the fold decides about it.
 */
static void decide_split_files(struct counting *counting)
{
    struct ff_input *inputs = counting->input.context->inputs;
    struct verdict *verdicts = calloc(counting->input.count, sizeof(*verdicts));

    if (verdicts == NULL)
        return;
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++)
        if (ff_observe(&counting->pool->layout.segments[slot].head->call) ==
            counting->pool->sequence)
            judge_seal(counting, slot, verdicts);
    for (uint64_t item = 0; item < counting->input.count; item += inputs[item].pieces)
        if (inputs[item].pieces > 1 && verdicts[item].covered == inputs[item].pieces &&
            ff_peer_get(&inputs[item].state) == FF_GROUP_OPEN)
            ff_publish(&inputs[item].state, verdicts[item].failed ? FF_GROUP_BAD : FF_GROUP_GOOD);
    free(verdicts);
}

/* ---- Finding and counting ------------------------------------------------ */

/* The path of something that cannot be read lives with the paths of the inputs. */
static int add_unreadable(struct counting *counting, const struct ff_found *found)
{
    const char *path = ff_words_input_keep_path(&counting->input, counting->pool, found);

    if (path == NULL)
        return counting->pool->error.code;
    if (ff_words_fail_found(counting->words, path, found) < 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY,
                            "no memory for the list of failures");
    return 0;
}

static int add_found(struct counting *counting, const struct ff_found *found)
{
    if (found->kind == FF_FOUND_FAILED)
        return add_unreadable(counting, found);
    return ff_words_input_add(&counting->input, counting->pool, found);
}

static int stop_if_failed(struct counting *counting)
{
    if (!counting->options->stop_on_failure)
        return 0;
    if (counting->words->failure_count == 0 && ff_call_counts(counting->pool).failed == 0)
        return 0;
    return ff_error_set(&counting->pool->error, FORKFOLD_E_STOPPED, "an input failed");
}

/* Looks up from the search now and then: at deaths, deadlines, what the host watches. */
static int look_up(struct counting *counting)
{
    int code = stop_if_failed(counting);

    if (code == 0)
        code = ff_call_step(counting->pool, false);
    return code < 0 ? code : 0;
}

static int find_all(struct counting *counting)
{
    struct ff_found found;
    unsigned since_look = 0;
    int more;

    while ((more = ff_discover_next(counting->discover, &found)) > 0) {
        int code = add_found(counting, &found);

        if (code == 0 && ++since_look == FILES_PER_LOOK) {
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

static int wait_for_end(struct counting *counting)
{
    int code;

    do {
        code = stop_if_failed(counting);
        if (code == 0)
            code = ff_call_step(counting->pool, true);
        if (code == 0 && counting->input.split_files > 0)
            decide_split_files(counting);
    } while (code == 0);
    return code < 0 ? code : stop_if_failed(counting);
}

static void begin_count(struct counting *counting)
{
    const forkfold_words_options *options = counting->options;
    struct ff_call_options call = {
        .job = &ff_words_job,
        .context = counting->input.context,
        .timeout_ns = options->timeout_ns,
        .deadline_at_ns = counting->deadline_at_ns,
        .attempts = options->retries_plus_one > 0 ? options->retries_plus_one : ATTEMPTS_DEFAULT,
        .max_deaths = options->max_deaths > 0 ? options->max_deaths : MAX_DEATHS_DEFAULT,
        .seal_on_failure = options->stop_on_failure != 0,
        .tick_ns = options->progress_ns,
        .on_tick = on_tick,
        .tick_context = counting};

    ff_call_begin(counting->pool, &call);
}

static int count(struct counting *counting)
{
    int code;

    begin_count(counting);
    code = find_all(counting);
    counting->discovering = false;
    if (code == 0) {
        ff_call_close(counting->pool);
        code = wait_for_end(counting);
    }
    return code == 0 ? ff_call_verify(counting->pool) : code;
}

/* ---- Failures ------------------------------------------------------------ */

static int add_quarantined(struct counting *counting, bool *failed_groups)
{
    const struct ff_layout *layout = &counting->pool->layout;
    uint64_t records = ff_observe(&layout->supervisor->quarantined);
    struct ff_symbols *symbols = NULL;
    int code = 0;

    for (uint64_t i = 0; i < records && code == 0; i++) {
        const struct ff_quarantine *record = &layout->quarantine[i];

        if (failed_groups[record->group])
            continue;
        failed_groups[record->group] = true;
        code = ff_words_fail_quarantined(
            counting->words, &counting->input.context->inputs[record->group], record, &symbols);
    }
    ff_symbols_close(symbols);
    return code;
}

/* Of the pieces of a file that failed, the first in the file speaks for it, as in one pass. */
static bool speaks_before(const struct ff_item_failure *a, const struct ff_item_failure *b)
{
    return a->item < b->item;
}

static int compare_items(const void *a, const void *b)
{
    const struct ff_item_failure *const *left = a;
    const struct ff_item_failure *const *right = b;

    return speaks_before(*right, *left) - speaks_before(*left, *right);
}

static int add_reported(struct counting *counting, bool *failed_groups)
{
    const struct ff_input *inputs = counting->input.context->inputs;
    uint64_t total = 0;
    int code = 0;

    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++)
        if (counting->seals[slot] != NULL)
            total += counting->seals[slot]->failure_count;
    if (total == 0)
        return 0;
    const struct ff_item_failure **sorted = malloc(total * sizeof(const struct ff_item_failure *));
    uint64_t count_sorted = 0;

    if (sorted == NULL)
        return FORKFOLD_E_MEMORY;
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++)
        for (uint64_t i = 0;
             counting->seals[slot] != NULL && i < counting->seals[slot]->failure_count; i++)
            sorted[count_sorted++] = &ff_seal_failures(counting->seals[slot])[i];
    qsort(sorted, total, sizeof(const struct ff_item_failure *), compare_items);
    for (uint64_t i = 0; i < total && code == 0; i++) {
        uint64_t group = inputs[sorted[i]->item].group;

        if (failed_groups[group])
            continue;
        failed_groups[group] = true;
        code = ff_words_fail_item(counting->words, &inputs[group], sorted[i]);
    }
    free(sorted);
    return code;
}

static int gather_failures(struct counting *counting, bool *failed_groups)
{
    int code = add_quarantined(counting, failed_groups);

    if (code == 0)
        code = add_reported(counting, failed_groups);
    if (code < 0)
        return ff_error_set(&counting->pool->error, code, "no memory for the list of failures");
    ff_words_sort_failures(counting->words);
    return 0;
}

/* ---- Folding ------------------------------------------------------------- */

static size_t count_partials(const struct counting *counting)
{
    size_t partials = 0;

    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        if (counting->seals[slot] == NULL)
            continue;
        const struct ff_words_seal *seal = ff_seal_payload(counting->seals[slot]);

        partials += 1 + seal->group_count;
    }
    return partials;
}

/* The main partials, and those of split files that did not fail. */
static int choose_partials(struct counting *counting, const bool *failed_groups,
                           struct ff_fold_context *fold)
{
    const struct ff_input *inputs = counting->input.context->inputs;

    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        if (counting->seals[slot] == NULL)
            continue;
        const struct ff_words_seal *seal = ff_seal_payload(counting->seals[slot]);
        const struct ff_words_group *groups = ff_words_seal_groups(seal);

        fold->partials[fold->partial_count++] = ff_words_seal_main(seal);
        for (uint64_t i = 0; i < seal->group_count; i++)
            if (!failed_groups[groups[i].group])
                fold->partials[fold->partial_count++] = ff_words_seal_partial(seal, &groups[i]);
    }
    /* A file that had been found good, and was counted with the rest, must not turn bad. */
    for (uint64_t item = 0; item < counting->input.count; item += inputs[item].pieces)
        if (ff_peer_get(&inputs[item].state) == FF_GROUP_GOOD && failed_groups[item])
            return ff_error_set(&counting->pool->error, FORKFOLD_E_DAMAGED,
                                "a worker damaged its counts of '%s' after they were taken over; "
                                "there is no result",
                                inputs[item].path);
    return 0;
}

static unsigned ranges_for(const struct counting *counting, const struct ff_fold_context *fold)
{
    uint64_t entries = 0;
    uint64_t most = (uint64_t)counting->pool->layout.workers * RANGES_PER_WORKER;

    for (size_t i = 0; i < fold->partial_count; i++)
        entries += fold->partials[i]->entry_count;
    entries /= ENTRIES_PER_RANGE;
    if (entries == 0)
        return 1;
    return (unsigned)(entries < most ? entries : most);
}

static int check_partials(struct counting *counting, const struct ff_fold_context *fold)
{
    /* Without deaths the checksums of the seals say enough. */
    if (counting->counted.deaths == 0)
        return 0;
    for (size_t i = 0; i < fold->partial_count; i++)
        if (!ff_partial_is_sound(fold->partials[i], SIZE_MAX))
            return ff_error_set(&counting->pool->error, FORKFOLD_E_DAMAGED,
                                "a worker sealed a damaged table; there is no result");
    return 0;
}

static int run_fold(struct counting *counting, struct ff_fold_context *fold)
{
    struct ff_call_options call = {.job = &ff_words_fold_job,
                                   .context = fold,
                                   .deadline_at_ns = counting->deadline_at_ns,
                                   .attempts = ATTEMPTS_DEFAULT,
                                   .max_deaths = MAX_DEATHS_DEFAULT};
    int code = 0;

    fold->range_count = ranges_for(counting, fold);
    ff_call_begin(counting->pool, &call);
    for (unsigned range = 0; range < fold->range_count && code == 0; range++)
        code = ff_call_post(counting->pool, (struct ff_task){.first = range, .count = 1});
    if (code < 0)
        return code;
    ff_call_close(counting->pool);
    do
        code = ff_call_step(counting->pool, true);
    while (code == 0);
    return code < 0 ? code : ff_call_verify(counting->pool);
}

/* A range that could not be folded, unlike a file, leaves no result. */
static int collect_runs(struct counting *counting, unsigned range_count)
{
    struct forkfold_words *words = counting->words;

    words->runs = calloc(range_count, sizeof(*words->runs));
    if (words->runs == NULL)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    words->run_count = range_count;
    if (ff_observe(&counting->pool->layout.supervisor->quarantined) != 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_SYSTEM,
                            "workers died while folding: %s",
                            counting->pool->layout.quarantine[0].crash.message);
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        const struct ff_seal *seal = ff_call_seal(counting->pool, slot);
        const struct ff_fold_seal *folded = seal != NULL ? ff_seal_payload(seal) : NULL;

        for (uint64_t i = 0; folded != NULL && i < folded->count; i++)
            words->runs[folded->folded[i].range] = folded->folded[i].run;
    }
    for (unsigned range = 0; range < range_count; range++)
        words->totals.distinct += words->runs[range].count;
    if (ff_merge_init(&words->merge, words->runs, range_count) < 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    return 0;
}

static int fold(struct counting *counting, const bool *failed_groups)
{
    size_t bytes = sizeof(struct ff_fold_context) +
                   count_partials(counting) * sizeof(const struct ff_partial *);
    struct ff_fold_context *context =
        ff_words_input_reserve(&counting->input, counting->pool, bytes);
    int code;

    if (context == NULL)
        return counting->pool->error.code;
    context->partial_count = 0;
    code = choose_partials(counting, failed_groups, context);
    if (code == 0)
        code = check_partials(counting, context);
    for (size_t i = 0; i < context->partial_count; i++)
        counting->words->totals.words += context->partials[i]->total;
    if (code == 0)
        code = run_fold(counting, context);
    return code == 0 ? collect_runs(counting, context->range_count) : code;
}

/* ---- The whole ----------------------------------------------------------- */

static void sum_totals(struct counting *counting, const bool *failed_groups)
{
    forkfold_words_totals *totals = &counting->words->totals;
    const struct ff_input *inputs = counting->input.context->inputs;

    totals->files = counting->input.files;
    totals->bytes = counting->input.bytes;
    for (uint64_t item = 0; item < counting->input.count; item += inputs[item].pieces) {
        if (failed_groups[item]) {
            totals->files--;
            totals->bytes -= inputs[item].stamp.size;
        }
    }
    totals->files_failed = counting->words->failure_count;
    totals->files_other = ff_discover_unmatched(counting->discover);
    totals->retries = counting->counted.retries;
    totals->deaths = counting->counted.deaths;
    totals->elapsed_ns = ff_clock_ns() - counting->started_ns;
}

static int finish(struct counting *counting)
{
    unsigned workers = counting->pool->layout.workers;
    bool *failed_groups = calloc(counting->input.count + 1, sizeof(*failed_groups));
    int code;

    counting->counted = ff_call_counts(counting->pool);
    counting->seals = calloc(workers, sizeof(const struct ff_seal *));
    if (failed_groups == NULL || counting->seals == NULL) {
        free(failed_groups);
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    }
    for (unsigned slot = 0; slot < workers; slot++)
        counting->seals[slot] = ff_call_seal(counting->pool, slot);
    code = gather_failures(counting, failed_groups);
    if (code == 0)
        code = fold(counting, failed_groups);
    if (code == 0)
        sum_totals(counting, failed_groups);
    free(failed_groups);
    return code;
}

static int open_counting(struct counting *counting)
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
    ff_words_input_open(&counting->input, &pool->layout.input);
    counting->input.context->rule = options->rule;
    counting->input.context->invalid = options->invalid;
    counting->input.context->stdin_fd = options->stdin_fd;
    counting->input.context->split_bytes =
        options->split_bytes > 0 ? options->split_bytes : SPLIT_BYTES_DEFAULT;
    counting->started_ns = ff_clock_ns();
    if (options->deadline_ns != 0)
        counting->deadline_at_ns = ff_call_clock_ns(pool) + options->deadline_ns;
    counting->discovering = true;
    return 0;
}

int forkfold_count_words(forkfold_pool *pool, const forkfold_words_options *options,
                         forkfold_words **words, forkfold_progress *progress)
{
    struct counting counting = {.pool = pool, .options = options};
    int code = ff_call_check(pool);

    if (code == 0)
        code = check_options(pool, options);
    if (code == 0)
        code = open_counting(&counting);
    if (code == 0) {
        code = count(&counting);
        if (code == 0)
            code = finish(&counting);
        if (progress != NULL)
            *progress = progress_of(&counting);
        if (code < 0)
            ff_call_abort(pool);
    }
    ff_discover_close(counting.discover);
    free(counting.seals);
    if (code < 0) {
        forkfold_words_close(counting.words);
        return code;
    }
    pool->has_result = true;
    *words = counting.words;
    return 0;
}
