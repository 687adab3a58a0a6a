/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_result.h"

#include <stdlib.h>
#include <string.h>

#include "pool/failure.h"

/* ---- Failures ------------------------------------------------------------ */

static int refuse_failure(const forkfold_failure *failure)
{
    free((char *)failure->path);
    free((char *)failure->detail);
    return FORKFOLD_E_MEMORY;
}

/* Takes over the path and the detail, which are NULL when there was no memory for them. */
static int add_failure(struct forkfold_words *words, const forkfold_failure *failure)
{
    if (failure->path == NULL || failure->detail == NULL)
        return refuse_failure(failure);
    if (words->failure_count == words->failure_capacity) {
        size_t capacity = words->failure_capacity > 0 ? words->failure_capacity * 2 : 16;
        void *grown = realloc(words->failures, capacity * sizeof(*words->failures));

        if (grown == NULL)
            return refuse_failure(failure);
        words->failures = grown;
        words->failure_capacity = capacity;
    }
    words->failures[words->failure_count++] = *failure;
    return 0;
}

/* The path is NULL without memory. */
static forkfold_failure failure_of(char *path)
{
    return (forkfold_failure){.path = path,
                              .path_bytes = path != NULL ? strlen(path) : 0,
                              .byte_offset = -1,
                              .exit_code = -1,
                              .attempts = 1};
}

static char *path_of(const struct ff_input *input)
{
    return ff_failure_text("%s%s", input->folder != NULL ? input->folder : "", input->name);
}

int ff_words_fail_found(struct forkfold_words *words, const struct ff_found *found)
{
    forkfold_failure failure = failure_of(ff_failure_text("%s", found->path));

    failure.reason = FORKFOLD_REASON_SYSTEM;
    failure.system_error = found->system_error;
    failure.detail = ff_failure_text("cannot read it: %s", strerror(found->system_error));
    return add_failure(words, &failure);
}

int ff_words_fail_item(struct forkfold_words *words, const struct ff_input *input,
                       const struct ff_item_failure *from)
{
    forkfold_failure failure = failure_of(path_of(input));

    failure.reason = (enum forkfold_reason)from->reason;
    failure.byte_offset = from->byte_offset;
    failure.system_error = from->system_error;
    failure.detail = ff_failure_text("%.*s", (int)sizeof(from->detail) - 1, from->detail);
    return add_failure(words, &failure);
}

int ff_words_fail_quarantined(struct forkfold_words *words, const struct ff_input *input,
                              const struct ff_quarantine *record, struct ff_symbols **symbols)
{
    forkfold_failure failure = failure_of(path_of(input));

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
    int code = add_failure(words, &failure);

    if (code < 0)
        free((char *)failure.backtrace);
    return code;
}

static int compare_paths(const void *a, const void *b)
{
    const forkfold_failure *left = a;
    const forkfold_failure *right = b;
    size_t common = left->path_bytes < right->path_bytes ? left->path_bytes : right->path_bytes;
    int order = memcmp(left->path, right->path, common);

    if (order != 0)
        return order;
    return (left->path_bytes > right->path_bytes) - (left->path_bytes < right->path_bytes);
}

void ff_words_sort_failures(struct forkfold_words *words)
{
    if (words->failure_count > 1)
        qsort(words->failures, words->failure_count, sizeof(*words->failures), compare_paths);
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

const forkfold_failure *forkfold_words_failure(const forkfold_words *words, size_t index)
{
    return index < words->failure_count ? &words->failures[index] : NULL;
}

void forkfold_words_close(forkfold_words *words)
{
    if (words == NULL)
        return;
    for (size_t i = 0; i < words->failure_count; i++) {
        free((char *)words->failures[i].path);
        free((char *)words->failures[i].detail);
        free((char *)words->failures[i].backtrace);
    }
    free(words->failures);
    ff_merge_free(&words->merge);
    free(words->runs);
    ff_words_disk_close(words);
    ff_spilled_list_free(&words->ranked);
    ff_call_empty_spill(words->pool);
    words->pool->has_result = false;
    free(words);
}
