/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/task_heap.h"

static bool is_larger(const struct ff_weighed_task *a, const struct ff_weighed_task *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->first < b->first;
}

void ff_task_heap_push(struct ff_task_heap *heap, struct ff_weighed_task task)
{
    size_t at = heap->count++;

    for (; at > 0 && is_larger(&task, &heap->tasks[(at - 1) / 2]); at = (at - 1) / 2)
        heap->tasks[at] = heap->tasks[(at - 1) / 2];
    heap->tasks[at] = task;
}

struct ff_weighed_task ff_task_heap_pop(struct ff_task_heap *heap)
{
    struct ff_weighed_task largest = heap->tasks[0];
    struct ff_weighed_task last = heap->tasks[--heap->count];
    size_t at = 0;

    for (size_t below = 1; below < heap->count; below = 2 * at + 1) {
        if (below + 1 < heap->count && is_larger(&heap->tasks[below + 1], &heap->tasks[below]))
            below++;
        if (!is_larger(&heap->tasks[below], &last))
            break;
        heap->tasks[at] = heap->tasks[below];
        at = below;
    }
    heap->tasks[at] = last;
    return largest;
}
