/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/failure_list.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "pool/failure.h"

forkfold_failure ff_failure_of(char *path)
{
    return (forkfold_failure){.path = path,
                              .path_bytes = path != NULL ? strlen(path) : 0,
                              .byte_offset = -1,
                              .exit_code = -1,
                              .attempts = 1};
}

void ff_failure_tell(forkfold_failure *failure, const struct ff_item_failure *from)
{
    failure->reason = (enum forkfold_reason)from->reason;
    failure->byte_offset = from->byte_offset;
    failure->system_error = from->system_error;
    failure->detail = ff_failure_text("%.*s", (int)sizeof(from->detail) - 1, from->detail);
}

void ff_failure_tell_found(forkfold_failure *failure, const struct ff_found *found)
{
    failure->reason = FORKFOLD_REASON_SYSTEM;
    failure->system_error = found->system_error;
    failure->detail = ff_failure_text("cannot read it: %s", strerror(found->system_error));
}

static void free_texts(const forkfold_failure *failure)
{
    free((char *)failure->path);
    free((char *)failure->detail);
    free((char *)failure->backtrace);
}

static bool has_room(struct ff_failure_list *list)
{
    size_t capacity = list->capacity > 0 ? list->capacity * 2 : 16;
    void *grown;

    if (list->count < list->capacity)
        return true;
    grown = realloc(list->items, capacity * sizeof(*list->items));
    if (grown == NULL)
        return false;
    list->items = grown;
    list->capacity = capacity;
    return true;
}

int ff_failure_list_add(struct ff_failure_list *list, const forkfold_failure *failure)
{
    if (failure->path == NULL || failure->detail == NULL || !has_room(list)) {
        free_texts(failure);
        return FORKFOLD_E_MEMORY;
    }
    list->items[list->count++] = *failure;
    return 0;
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

void ff_failure_list_sort(struct ff_failure_list *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare_paths);
}

void ff_failure_list_free(struct ff_failure_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_texts(&list->items[i]);
    free(list->items);
    *list = (struct ff_failure_list){0};
}
