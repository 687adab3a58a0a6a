/* SPDX-License-Identifier: Apache-2.0 */
/* Found files in byte order of their paths: some 30 bytes for each beside its path. */
#ifndef FF_JOBS_PATH_LIST_H
#define FF_JOBS_PATH_LIST_H

#include "files/discover.h"

struct ff_listed_path {
    size_t offset; /* in bytes */
    size_t path_bytes;
    uint64_t size; /* of the file */
};

/* {0} is an empty list. */
struct ff_path_list {
    char *bytes; /* the paths, each with a NUL */
    size_t used;
    size_t room;
    struct ff_listed_path *paths;
    size_t count;
    size_t capacity;
};

/* 0 or FORKFOLD_E_MEMORY. */
int ff_path_list_add(struct ff_path_list *list, const char *path, size_t path_bytes, uint64_t size);

void ff_path_list_sort(struct ff_path_list *list);

/* As it was found, but for what is not in the list.  The path lives as long as the list. */
struct ff_found ff_path_list_at(const struct ff_path_list *list, size_t number);

void ff_path_list_free(struct ff_path_list *list);

#endif
