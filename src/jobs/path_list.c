/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/path_list.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

enum { BYTES_MIN = 4096, PATHS_MIN = 64 };

static int reserve(struct ff_path_list *list, size_t bytes)
{
    size_t room = list->room * 2 > BYTES_MIN ? list->room * 2 : BYTES_MIN;
    size_t capacity = list->capacity * 2 > PATHS_MIN ? list->capacity * 2 : PATHS_MIN;
    void *grown;

    if (bytes > list->room - list->used) {
        room = bytes > room - list->used ? list->used + bytes : room;
        grown = realloc(list->bytes, room);
        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        list->bytes = grown;
        list->room = room;
    }
    if (list->count == list->capacity) {
        grown = realloc(list->paths, capacity * sizeof(*list->paths));
        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        list->paths = grown;
        list->capacity = capacity;
    }
    return 0;
}

int ff_path_list_add(struct ff_path_list *list, const char *path, size_t path_bytes, uint64_t size)
{
    if (reserve(list, path_bytes + 1) < 0)
        return FORKFOLD_E_MEMORY;
    list->paths[list->count++] =
        (struct ff_listed_path){.offset = list->used, .path_bytes = path_bytes, .size = size};
    memcpy(list->bytes + list->used, path, path_bytes);
    list->bytes[list->used + path_bytes] = '\0';
    list->used += path_bytes + 1;
    return 0;
}

static int compare(const void *a, const void *b, void *bytes)
{
    const struct ff_listed_path *left = a;
    const struct ff_listed_path *right = b;
    const char *paths = bytes;

    /* Paths have no NUL in them. */
    return strcmp(paths + left->offset, paths + right->offset);
}

void ff_path_list_sort(struct ff_path_list *list)
{
    if (list->count > 1)
        qsort_r(list->paths, list->count, sizeof(*list->paths), compare, list->bytes);
}

struct ff_found ff_path_list_at(const struct ff_path_list *list, size_t number)
{
    const struct ff_listed_path *path = &list->paths[number];

    return (struct ff_found){.kind = FF_FOUND_FILE,
                             .path = list->bytes + path->offset,
                             .path_bytes = path->path_bytes,
                             .size = path->size};
}

void ff_path_list_free(struct ff_path_list *list)
{
    free(list->bytes);
    free(list->paths);
    *list = (struct ff_path_list){0};
}
