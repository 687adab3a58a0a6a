/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second half of a word count: what the workers sealed is looked through
 * for damage and failures, folded by ranges of the hash space in a second call
 * of the pool, and left where it is for the caller to read.
 */
#include <stdlib.h>
#include <string.h>

#include "flow/short_number.h"
#include "jobs/words_counting.h"
#include "jobs/words_fold.h"
#include "jobs/words_job.h"
#include "platform/clock.h"
#include "platform/file.h"

enum {
    /* Entries below which cutting the fold into one more range does not pay. */
    ENTRIES_PER_RANGE = 4096,
    RANGES_PER_WORKER = 4
};

/* ---- Trust --------------------------------------------------------------- */

/*
 * The checksum of a seal says that it is what its worker wrote.  Whether that
 * worker was in its right mind it does not say: a wild write into private
 * memory is sealed like anything else.  So whatever this process follows is
 * checked once, here.
 */
static bool is_partial_inside(const struct ff_seal *seal, uint64_t offset)
{
    const struct ff_partial *partial;

    if (offset % 64 != 0 || offset > seal->payload_bytes ||
        seal->payload_bytes - offset < sizeof(struct ff_partial))
        return false;
    partial = (const struct ff_partial *)((const char *)ff_seal_payload(seal) + offset);
    return partial->magic == FF_PARTIAL_MAGIC && partial->bytes <= seal->payload_bytes - offset;
}

static bool is_spilled_inside(const struct ff_counting *counting, const struct ff_seal *seal,
                              const struct ff_words_part *part)
{
    const struct ff_spilled *spilled;

    if (part->spilled_offset % 64 != 0 || part->spilled_offset > seal->payload_bytes ||
        part->spilled_count >
            (seal->payload_bytes - part->spilled_offset) / sizeof(struct ff_spilled))
        return false;
    spilled = ff_words_seal_spilled(ff_seal_payload(seal), part);
    for (uint64_t i = 0; i < part->spilled_count; i++)
        if (spilled[i].slot >= counting->pool->layout.workers)
            return false;
    return true;
}

static bool is_part_plausible(const struct ff_counting *counting, const struct ff_seal *seal,
                              const struct ff_words_part *part, bool is_first)
{
    if (is_first ? part->group != FF_GROUP_NONE : part->group >= counting->input.count)
        return false;
    return is_partial_inside(seal, part->offset) && is_spilled_inside(counting, seal, part);
}

static bool is_seal_plausible(const struct ff_counting *counting, const struct ff_seal *seal)
{
    const struct ff_words_seal *words = ff_seal_payload(seal);

    for (uint64_t i = 0; i < seal->failure_count; i++)
        if (ff_seal_failures(seal)[i].item >= counting->input.count)
            return false;
    if (seal->payload_bytes < sizeof(*words) || words->part_count == 0 ||
        words->part_count > (seal->payload_bytes - sizeof(*words)) / sizeof(words->parts[0]))
        return false;
    for (uint64_t i = 0; i < words->part_count; i++)
        if (!is_part_plausible(counting, seal, &words->parts[i], i == 0))
            return false;
    return true;
}

static int fail_damaged(struct ff_counting *counting)
{
    return ff_error_set(&counting->pool->error, FORKFOLD_E_DAMAGED,
                        "a worker sealed a damaged partial; there is no result, run it again");
}

static int take_seals(struct ff_counting *counting)
{
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        counting->seals[slot] = ff_call_seal(counting->pool, slot);
        if (counting->seals[slot] != NULL && !is_seal_plausible(counting, counting->seals[slot]))
            return fail_damaged(counting);
    }
    return 0;
}

/* ---- Failures ------------------------------------------------------------ */

static int add_quarantined(struct ff_counting *counting, bool *failed_groups)
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

static int add_reported(struct ff_counting *counting, bool *failed_groups)
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
        uint64_t group = ff_input_group(inputs, sorted[i]->item);

        if (failed_groups[group])
            continue;
        failed_groups[group] = true;
        code = ff_words_fail_item(counting->words, &inputs[group], sorted[i]);
    }
    free(sorted);
    return code;
}

static int gather_failures(struct ff_counting *counting, bool *failed_groups)
{
    int code = add_quarantined(counting, failed_groups);

    if (code == 0)
        code = add_reported(counting, failed_groups);
    if (code < 0)
        return ff_error_set(&counting->pool->error, code, "no memory for the list of failures");
    ff_failure_list_sort(&counting->words->failures);
    return 0;
}

/* ---- Folding ------------------------------------------------------------- */

/* What is to be folded: the first part of each seal, and those of split files that did not fail. */
struct chosen {
    const struct ff_partial **partials; /* in the region */
    size_t partial_count;
    struct ff_spilled *spilled;
    size_t spilled_count;
    uint64_t adds;
};

static bool is_chosen(const struct ff_words_part *part, const bool *failed_groups)
{
    return part->group == FF_GROUP_NONE || !failed_groups[part->group];
}

/* Calls take for every part that is to be folded. */
static void for_each_chosen(const struct ff_counting *counting, const bool *failed_groups,
                            struct chosen *chosen,
                            void (*take)(struct chosen *chosen, const struct ff_words_seal *seal,
                                         const struct ff_words_part *part))
{
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        const struct ff_words_seal *seal =
            counting->seals[slot] != NULL ? ff_seal_payload(counting->seals[slot]) : NULL;

        for (uint64_t i = 0; seal != NULL && i < seal->part_count; i++)
            if (is_chosen(&seal->parts[i], failed_groups))
                take(chosen, seal, &seal->parts[i]);
    }
}

static void count_part(struct chosen *chosen, const struct ff_words_seal *seal,
                       const struct ff_words_part *part)
{
    (void)seal;
    chosen->partial_count++;
    chosen->spilled_count += part->spilled_count;
}

static void take_part(struct chosen *chosen, const struct ff_words_seal *seal,
                      const struct ff_words_part *part)
{
    chosen->partials[chosen->partial_count++] = ff_words_seal_partial(seal, part);
    chosen->adds += part->adds;
    for (uint64_t i = 0; i < part->spilled_count; i++)
        chosen->spilled[chosen->spilled_count++] = ff_words_seal_spilled(seal, part)[i];
}

static int compare_spilled(const void *a, const void *b)
{
    const struct ff_spilled *left = a;
    const struct ff_spilled *right = b;

    if (left->slot != right->slot)
        return left->slot < right->slot ? -1 : 1;
    return (left->extent.offset > right->extent.offset) -
           (left->extent.offset < right->extent.offset);
}

/* Each part of a file belongs to one partial; otherwise words would count twice. */
static bool is_disjoint(struct chosen *chosen)
{
    qsort(chosen->spilled, chosen->spilled_count, sizeof(*chosen->spilled), compare_spilled);
    for (size_t i = 0; i < chosen->spilled_count; i++) {
        const struct ff_spilled *spilled = &chosen->spilled[i];
        uint64_t end;

        if (__builtin_add_overflow(spilled->extent.offset, spilled->extent.bytes, &end) ||
            end > INT64_MAX)
            return false;
        if (i + 1 < chosen->spilled_count && spilled[1].slot == spilled->slot &&
            spilled[1].extent.offset < end)
            return false;
    }
    return true;
}

/* A file that had been found good, and was counted with the rest, must not turn bad. */
static int check_decisions(struct ff_counting *counting, const bool *failed_groups)
{
    const struct ff_input *inputs = counting->input.context->inputs;

    for (uint64_t item = 0; item < counting->input.count; item += ff_input_pieces(&inputs[item]))
        if (ff_input_state(&inputs[item]) == FF_GROUP_GOOD && failed_groups[item])
            return ff_error_set(&counting->pool->error, FORKFOLD_E_DAMAGED,
                                "a worker damaged its counts of '%s%s' after they were taken over; "
                                "there is no result",
                                inputs[item].folder, inputs[item].name);
    return 0;
}

/* Into the input area, where the workers can read the lists. */
static int choose(struct ff_counting *counting, const bool *failed_groups, struct chosen *chosen)
{
    *chosen = (struct chosen){0};
    for_each_chosen(counting, failed_groups, chosen, count_part);
    chosen->partials =
        ff_words_input_reserve(&counting->input, counting->pool,
                               chosen->partial_count * sizeof(const struct ff_partial *));
    chosen->spilled = ff_words_input_reserve(&counting->input, counting->pool,
                                             chosen->spilled_count * sizeof(*chosen->spilled));
    if (chosen->partials == NULL || chosen->spilled == NULL)
        return counting->pool->error.code;
    chosen->partial_count = chosen->spilled_count = 0;
    for_each_chosen(counting, failed_groups, chosen, take_part);
    if (!is_disjoint(chosen))
        return fail_damaged(counting);
    return check_decisions(counting, failed_groups);
}

static uint64_t sum_of(const struct chosen *chosen, uint64_t (*of)(const struct ff_partial *))
{
    uint64_t sum = 0;

    for (size_t i = 0; i < chosen->partial_count; i++)
        sum += of(chosen->partials[i]);
    return sum;
}

static uint64_t entries_of(const struct ff_partial *partial)
{
    return partial->entry_count;
}

static uint64_t bytes_of(const struct ff_partial *partial)
{
    return partial->bytes;
}

static unsigned ranges_for(const struct ff_counting *counting, const struct chosen *chosen)
{
    uint64_t entries = sum_of(chosen, entries_of) / ENTRIES_PER_RANGE;
    uint64_t most = (uint64_t)counting->pool->layout.workers * RANGES_PER_WORKER;

    if (entries == 0)
        return 1;
    return (unsigned)(entries < most ? entries : most);
}

static const struct ff_combiner *combiner_of(const struct ff_counting *counting)
{
    return ff_combiner_unless_counts(&counting->input.context->combiner);
}

static int check_partials(struct ff_counting *counting, const struct chosen *chosen)
{
    bool (*is_sound)(const struct ff_partial *, size_t) =
        combiner_of(counting) == NULL ? ff_partial_is_sound : ff_partial_of_values_is_sound;

    /* Without deaths the checksums of the seals say enough. */
    if (counting->counted.deaths == 0)
        return 0;
    for (size_t i = 0; i < chosen->partial_count; i++)
        if (!is_sound(chosen->partials[i], chosen->partials[i]->bytes))
            return fail_damaged(counting);
    return 0;
}

static bool is_run_inside(const struct ff_area *output, const struct ff_run *run)
{
    uintptr_t start = (uintptr_t)run->records;
    uintptr_t base = (uintptr_t)output->base;

    return start >= base && start - base <= output->bytes &&
           run->bytes <= output->bytes - (start - base) && run->count <= run->bytes;
}

static int take_runs(struct ff_counting *counting, unsigned slot, unsigned range_count)
{
    const struct ff_area *output = &counting->pool->layout.segments[slot].output;
    const struct ff_seal *seal = ff_call_seal(counting->pool, slot);
    const struct ff_fold_seal *folded = seal != NULL ? ff_seal_payload(seal) : NULL;

    if (folded == NULL)
        return 0;
    if (seal->payload_bytes < sizeof(*folded) ||
        folded->count > (seal->payload_bytes - sizeof(*folded)) / sizeof(folded->folded[0]))
        return fail_damaged(counting);
    for (uint64_t i = 0; i < folded->count; i++) {
        if (folded->folded[i].range >= range_count ||
            !is_run_inside(output, &folded->folded[i].run))
            return fail_damaged(counting);
        counting->words->runs[folded->folded[i].range] = folded->folded[i].run;
        counting->words->totals.distinct += folded->folded[i].run.count;
    }
    return 0;
}

static int collect_runs(struct ff_counting *counting, unsigned range_count)
{
    struct forkfold_words *words = counting->words;

    words->runs = calloc(range_count, sizeof(*words->runs));
    if (words->runs == NULL)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    for (unsigned slot = 0; slot < counting->pool->layout.workers; slot++) {
        int code = take_runs(counting, slot, range_count);

        if (code < 0)
            return code;
    }
    if (ff_merge_init(&words->merge, words->runs, range_count) < 0)
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    return 0;
}

static int fold_in_memory(struct ff_counting *counting, const struct chosen *chosen)
{
    struct ff_fold_context *context =
        ff_words_input_reserve(&counting->input, counting->pool, sizeof(*context));
    int code;

    if (context == NULL)
        return counting->pool->error.code;
    context->partial_count = chosen->partial_count;
    context->partials = chosen->partials;
    context->range_count = ranges_for(counting, chosen);
    context->combiner = combiner_of(counting);
    for (size_t i = 0; i < chosen->partial_count && context->combiner == NULL; i++)
        counting->words->totals.words += chosen->partials[i]->total;
    code = ff_words_run_call(counting, &ff_words_fold_job, context, context->range_count);
    return code == 0 ? collect_runs(counting, context->range_count) : code;
}

/* Any worker may happen to fold most of the ranges; their records may grow (ff_fold_range_bound). */
static bool fits_in_memory(const struct ff_counting *counting, const struct chosen *chosen)
{
    return chosen->spilled_count == 0 &&
           sum_of(chosen, bytes_of) + sum_of(chosen, entries_of) * FF_SHORT_NUMBER_MAX <
               counting->pool->layout.segments[0].output.bytes;
}

static int fold(struct ff_counting *counting, const bool *failed_groups)
{
    struct chosen chosen;
    int code = choose(counting, failed_groups, &chosen);

    if (code == 0)
        code = check_partials(counting, &chosen);
    if (code < 0)
        return code;
    counting->words->totals.words = chosen.adds;
    if (fits_in_memory(counting, &chosen))
        return fold_in_memory(counting, &chosen);
    return ff_words_fold_on_disk(counting, chosen.partials, chosen.partial_count, chosen.spilled,
                                 chosen.spilled_count);
}

/* ---- The result ---------------------------------------------------------- */

/* What the files came to, whatever was given back meanwhile. */
static uint64_t spilled_bytes(forkfold_pool *pool)
{
    uint64_t bytes = 0;

    for (unsigned slot = 0; slot < pool->layout.workers; slot++) {
        int fd = ff_call_open_spill(pool, slot);
        int64_t end = fd >= 0 ? ff_file_end(fd) : 0;

        bytes += end > 0 ? (uint64_t)end : 0;
    }
    return bytes;
}

static void sum_totals(struct ff_counting *counting, const bool *failed_groups)
{
    forkfold_words_totals *totals = &counting->words->totals;
    const struct ff_input *inputs = counting->input.context->inputs;

    totals->files = counting->input.files;
    totals->bytes = counting->input.bytes;
    for (uint64_t item = 0; item < counting->input.count; item += ff_input_pieces(&inputs[item])) {
        if (failed_groups[item]) {
            totals->files--;
            totals->bytes -= inputs[item].size;
        }
    }
    totals->files_failed = counting->words->failures.count;
    totals->files_other = ff_discover_unmatched(counting->discover);
    totals->retries = counting->counted.retries;
    totals->deaths = counting->counted.deaths;
    if (counting->words->ranked.count > 0)
        counting->words->stats.spilled_bytes = spilled_bytes(counting->pool);
    totals->elapsed_ns = ff_clock_ns() - counting->started_ns;
}

int ff_words_finish(struct ff_counting *counting)
{
    unsigned workers = counting->pool->layout.workers;
    bool *failed_groups = calloc(counting->input.count + 1, sizeof(*failed_groups));
    int code;

    counting->counted = ff_call_counts(counting->pool);
    ff_call_add_stats(counting->pool, &counting->words->stats);
    counting->seals = calloc(workers, sizeof(const struct ff_seal *));
    if (failed_groups == NULL || counting->seals == NULL) {
        free(failed_groups);
        return ff_error_set(&counting->pool->error, FORKFOLD_E_MEMORY, "no memory for the result");
    }
    code = take_seals(counting);
    if (code == 0)
        code = gather_failures(counting, failed_groups);
    if (code == 0)
        code = fold(counting, failed_groups);
    if (code == 0)
        sum_totals(counting, failed_groups);
    free(failed_groups);
    return code;
}
