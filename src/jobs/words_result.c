/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/words_result.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *forkfold_reason_name(enum forkfold_reason reason)
{
    switch (reason) {
    case FORKFOLD_REASON_SYSTEM:
        return "system";
    case FORKFOLD_REASON_DECODE:
        return "decode";
    case FORKFOLD_REASON_CHANGED:
        return "changed";
    case FORKFOLD_REASON_LIMIT:
        return "limit";
    case FORKFOLD_REASON_SIGNAL:
        return "signal";
    case FORKFOLD_REASON_EXIT:
        return "exit";
    case FORKFOLD_REASON_TIMEOUT:
        return "timeout";
    case FORKFOLD_REASON_MEMORY:
        return "memory";
    case FORKFOLD_REASON_ERROR:
        return "error";
    }
    return "unknown";
}

/* ---- Failures ------------------------------------------------------------ */

static int add_failure(struct forkfold_words *words, const forkfold_failure *failure)
{
    if (failure->detail == NULL)
        return FORKFOLD_E_MEMORY;
    if (words->failure_count == words->failure_capacity) {
        size_t capacity = words->failure_capacity > 0 ? words->failure_capacity * 2 : 16;
        void *grown = realloc(words->failures, capacity * sizeof(*words->failures));

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        words->failures = grown;
        words->failure_capacity = capacity;
    }
    words->failures[words->failure_count++] = *failure;
    return 0;
}

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL without memory; add_failure takes that for an answer. */
static char *text_of(const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

static forkfold_failure failure_of(const char *path, size_t path_bytes)
{
    return (forkfold_failure){
        .path = path, .path_bytes = path_bytes, .byte_offset = -1, .exit_code = -1, .attempts = 1};
}

int ff_words_fail_found(struct forkfold_words *words, const char *path,
                        const struct ff_found *found)
{
    forkfold_failure failure = failure_of(path, found->path_bytes);

    failure.reason = FORKFOLD_REASON_SYSTEM;
    failure.system_error = found->system_error;
    failure.detail = text_of("cannot read it: %s", strerror(found->system_error));
    return add_failure(words, &failure);
}

int ff_words_fail_item(struct forkfold_words *words, const struct ff_input *input,
                       const struct ff_item_failure *from)
{
    forkfold_failure failure = failure_of(input->path, input->path_bytes);

    failure.reason = (enum forkfold_reason)from->reason;
    failure.byte_offset = from->byte_offset;
    failure.system_error = from->system_error;
    failure.detail = text_of("%.*s", (int)sizeof(from->detail) - 1, from->detail);
    return add_failure(words, &failure);
}

static char *describe_signal(const struct ff_quarantine *record)
{
    if (record->crash.has_address)
        return text_of("a worker died of signal %d (%s) at address 0x%llx", record->signal,
                       strsignal(record->signal), (unsigned long long)record->crash.address);
    return text_of("a worker died of signal %d (%s)", record->signal, strsignal(record->signal));
}

static char *describe(const struct ff_quarantine *record)
{
    switch (record->reason) {
    case FORKFOLD_REASON_TIMEOUT:
        return text_of("it took longer than the timeout of an item");
    case FORKFOLD_REASON_MEMORY:
        if (record->crash.error != 0)
            return text_of("a worker ran out of memory");
        return text_of("a worker was killed, most likely for using too much memory");
    case FORKFOLD_REASON_SIGNAL:
        return describe_signal(record);
    default:
        if (record->crash.error != 0)
            return text_of("a worker gave up: %s", record->crash.message);
        return text_of("a worker exited with code %d", record->exit_code);
    }
}

int ff_words_fail_quarantined(struct forkfold_words *words, const struct ff_input *input,
                              const struct ff_quarantine *record, struct ff_symbols **symbols)
{
    forkfold_failure failure = failure_of(input->path, input->path_bytes);

    if (*symbols == NULL)
        *symbols = ff_symbols_open();
    failure.reason = (enum forkfold_reason)record->reason;
    failure.signal = record->signal;
    failure.exit_code = record->exit_code;
    failure.has_address = record->crash.has_address;
    failure.address = record->crash.address;
    failure.attempts = record->attempts;
    failure.backtrace = ff_backtrace_text(*symbols, &record->crash);
    failure.detail = describe(record);
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
