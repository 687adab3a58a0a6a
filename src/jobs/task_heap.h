/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that wait to be posted, the largest first. */
#ifndef FF_JOBS_TASK_HEAP_H
#define FF_JOBS_TASK_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of two of one weight, the one with the lower items is the larger. */
struct ff_weighed_task {
    uint64_t weight;
    uint64_t first;
    uint64_t count;
};

struct ff_task_heap {
    struct ff_weighed_task
        *tasks; /* the caller's, none smaller than those at 2 i + 1 and 2 i + 2 */
    size_t count;
    size_t capacity;
};

/* There must be room. */
void ff_task_heap_push(struct ff_task_heap *heap, struct ff_weighed_task task);

/* Takes out the largest; there must be one. */
struct ff_weighed_task ff_task_heap_pop(struct ff_task_heap *heap);

#endif
