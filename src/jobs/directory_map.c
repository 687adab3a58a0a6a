/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs over files, in the workers: the map function, and what it may call. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/directory.h"

static_assert(sizeof(struct ff_answer) == 16, "results are as aligned as what they are part of");

struct ff_directory_context *ff_directory_context_new(const forkfold_job *job, size_t *bytes)
{
    struct ff_directory_context *context = NULL;

    if (!__builtin_add_overflow(sizeof(*context), job->context_bytes, bytes))
        context = malloc(*bytes);
    if (context == NULL)
        return NULL;
    *context = (struct ff_directory_context){.map = job->map,
                                             .raw = job->raw != 0,
                                             .counts_adds = job->combine == FORKFOLD_COUNT,
                                             .context_bytes = job->context_bytes};
    if (job->context_bytes > 0)
        memcpy(context->context, job->context, job->context_bytes);
    return context;
}

static struct ff_running_text *running_of(const forkfold_text *text)
{
    /* The text is the first member of what only the engine can write. */
    return (struct ff_running_text *)text;
}

void *forkfold_text_reserve(const forkfold_text *text, size_t bytes)
{
    struct ff_running_text *running = running_of(text);
    struct ff_answer *answer;

    if (running->item == NULL || bytes > SIZE_MAX - sizeof(*answer))
        return NULL;
    answer = forkfold_item_reserve(running->item, sizeof(*answer) + bytes);
    if (answer == NULL)
        return NULL;
    running->has_result = true;
    *answer = (struct ff_answer){.kind = FF_ANSWER_RESULT, .file_bytes = text->bytes};
    return answer->data;
}

int forkfold_text_fail(const forkfold_text *text, const char *format, ...)
{
    struct ff_running_text *running = running_of(text);
    char detail[sizeof(running->failure->detail)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    ff_failure_set(running->failure, FORKFOLD_REASON_ERROR, 0, -1, "%s", detail);
    running->has_reason = true;
    return 1;
}

int ff_directory_map(const struct ff_directory_context *context, const struct ff_file_text *file,
                     struct ff_running_text *running, forkfold_table *table)
{
    forkfold_text *text = &running->text;
    int code;

    if (!context->raw && !ff_file_text_is_utf8(file, running->failure))
        return FF_ITEM_FAILED;
    text->data = (const char *)file->data;
    text->bytes = file->bytes;
    text->path_bytes = strlen(text->path);
    text->context = context->context_bytes > 0 ? context->context : NULL;
    text->context_bytes = context->context_bytes;
    code = context->map(text, table);
    if (code == 0)
        return FF_ITEM_DONE;
    if (!running->has_reason)
        ff_failure_set(running->failure, FORKFOLD_REASON_ERROR, 0, -1, "the function returned %d",
                       code);
    return FF_ITEM_FAILED;
}

/* ---- Tables -------------------------------------------------------------- */

static int add(struct forkfold_table *table, const void *key, size_t key_bytes, int64_t value)
{
    if (key == NULL && key_bytes > 0)
        return FORKFOLD_E_INVALID;
    if (table->counts_adds)
        value = 1;
    if (value == INT64_MIN)
        return FORKFOLD_E_RANGE;
    return ff_table_add(table->values, key, key_bytes, ff_value_encode(value));
}

int forkfold_table_add(forkfold_table *table, const void *key, size_t key_bytes, int64_t value)
{
    if (table == NULL)
        return FORKFOLD_E_INVALID;
    if (table->code == 0)
        table->code = add(table, key, key_bytes, value);
    if (table->code == 0)
        table->adds++;
    return table->code;
}

/* What the file is to blame for fails the file only. */
static int fail_adding(struct ff_item_failure *failure, int code)
{
    switch (code) {
    case FORKFOLD_E_LIMIT:
        ff_failure_set(failure, FORKFOLD_REASON_LIMIT, 0, -1,
                       "a key of more than %llu bytes, or more keys than a table holds, were added",
                       (unsigned long long)FF_KEY_BYTES_MAX);
        return FF_ITEM_FAILED;
    case FORKFOLD_E_RANGE:
        ff_failure_set(
            failure, FORKFOLD_REASON_LIMIT, 0, -1,
            "a value, or what those of a key come to, is not from -(2^63 - 1) to 2^63 - 1");
        return FF_ITEM_FAILED;
    case FORKFOLD_E_INVALID:
        ff_failure_set(failure, FORKFOLD_REASON_ERROR, 0, -1, "a key that is NULL was added");
        return FF_ITEM_FAILED;
    default:
        return code;
    }
}

int ff_directory_map_keyed(const struct ff_directory_context *context,
                           const struct ff_file_text *file, const char *path,
                           struct ff_table *values, uint64_t *adds, struct ff_item_failure *failure)
{
    struct ff_running_text running = {.text.path = path, .failure = failure};
    forkfold_table table = {.values = values, .counts_adds = context->counts_adds};
    int status = ff_directory_map(context, file, &running, &table);

    *adds = table.adds;
    return table.code == 0 ? status : fail_adding(failure, table.code);
}
