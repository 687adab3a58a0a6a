/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_result.h"

#include <stdlib.h>
#include <string.h>

#include "flow/record.h"
#include "pool/failure.h"

/* ---- Failures ------------------------------------------------------------ */

static char *path_of(const struct ff_input *input)
{
    return ff_failure_text("%s%s", input->folder != NULL ? input->folder : "", input->name);
}

int ff_words_fail_found(struct forkfold_words *words, const struct ff_found *found)
{
    forkfold_failure failure = ff_failure_of(ff_failure_text("%s", found->path));

    ff_failure_tell_found(&failure, found);
    return ff_failure_list_add(&words->failures, &failure);
}

int ff_words_fail_item(struct forkfold_words *words, const struct ff_input *input,
                       const struct ff_item_failure *from)
{
    forkfold_failure failure = ff_failure_of(path_of(input));

    ff_failure_tell(&failure, from);
    return ff_failure_list_add(&words->failures, &failure);
}

int ff_words_fail_quarantined(struct forkfold_words *words, const struct ff_input *input,
                              const struct ff_quarantine *record, struct ff_symbols **symbols)
{
    forkfold_failure failure = ff_failure_of(path_of(input));

    if (*symbols == NULL)
        *symbols = ff_symbols_open();
    failure.reason = (enum forkfold_reason)record->reason;
    failure.signal = record->signal;
    failure.exit_code = record->exit_code;
    failure.has_address = record->crash.has_address;
    failure.address = record->crash.address;
    failure.attempts = record->attempts;
    failure.backtrace = ff_backtrace_text(*symbols, &record->crash);
    failure.detail = ff_failure_describe(record);
    return ff_failure_list_add(&words->failures, &failure);
}

/* ---- What the caller reads ----------------------------------------------- */

const forkfold_words_totals *forkfold_words_get_totals(const forkfold_words *words)
{
    return &words->totals;
}

const forkfold_stats *forkfold_words_get_stats(const forkfold_words *words)
{
    return &words->stats;
}

int forkfold_words_next(forkfold_words *words, forkfold_word *word)
{
    const struct ff_entry *entry;
    struct ff_entry read;
    int more;

    if (words->ranked.count > 0) {
        more = words->read_error < 0 ? words->read_error : ff_words_disk_next(words, &read);
        entry = &read;
    } else {
        entry = ff_merge_next(&words->merge);
        more = entry != NULL;
    }
    if (more <= 0)
        return more;
    *word =
        (forkfold_word){.key = entry->key, .key_bytes = entry->key_bytes, .count = entry->count};
    return 1;
}

void forkfold_words_rewind(forkfold_words *words)
{
    if (words->ranked.count > 0)
        words->read_error = ff_words_disk_rewind(words);
    else
        ff_merge_rewind(&words->merge);
}

/* ---- The result and its pool --------------------------------------------- */

static void leave_pool(forkfold_words *words)
{
    if (words->pool == NULL)
        return;
    ff_call_empty_spill(words->pool);
    words->pool->has_result = false;
    words->pool = NULL;
}

/* One behind the other, each with the slack that whoever reads it may look at; never nothing. */
static size_t detached_bytes(const forkfold_words *words)
{
    size_t bytes = FF_RECORD_SLACK;

    for (size_t i = 0; i < words->merge.run_count; i++)
        bytes += words->runs[i].bytes + FF_RECORD_SLACK;
    return bytes;
}

int forkfold_words_detach(forkfold_words *words)
{
    unsigned char *to;

    if (words->pool == NULL)
        return 0;
    if (words->ranked.count > 0)
        return FORKFOLD_E_MEMORY;
    to = words->detached = malloc(detached_bytes(words));
    if (to == NULL)
        return FORKFOLD_E_MEMORY;
    for (size_t i = 0; i < words->merge.run_count; i++) {
        struct ff_run *run = &words->runs[i];

        if (run->bytes > 0)
            memcpy(to, run->records, run->bytes);
        memset(to + run->bytes, 0, FF_RECORD_SLACK);
        run->records = to;
        to += run->bytes + FF_RECORD_SLACK;
    }
    ff_merge_rewind(&words->merge);
    leave_pool(words);
    return 0;
}

const forkfold_failure *forkfold_words_failure(const forkfold_words *words, size_t index)
{
    return index < words->failures.count ? &words->failures.items[index] : NULL;
}

void forkfold_words_close(forkfold_words *words)
{
    if (words == NULL)
        return;
    ff_failure_list_free(&words->failures);
    ff_merge_free(&words->merge);
    free(words->runs);
    free(words->detached);
    ff_words_disk_close(words);
    ff_spilled_list_free(&words->ranked);
    leave_pool(words);
    free(words);
}
