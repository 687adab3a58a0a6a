/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/spilled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/file.h"
#include "platform/kill_point.h"

int ff_spilled_list_add(struct ff_spilled_list *list, const struct ff_spilled *spilled,
                        size_t count)
{
    if (count > list->capacity - list->count) {
        size_t capacity = list->capacity * 2 + count;
        void *grown = realloc(list->items, capacity * sizeof(*list->items));

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        list->items = grown;
        list->capacity = capacity;
    }
    if (count > 0)
        memcpy(list->items + list->count, spilled, count * sizeof(*spilled));
    list->count += count;
    return 0;
}

void ff_spilled_list_free(struct ff_spilled_list *list)
{
    free(list->items);
    *list = (struct ff_spilled_list){0};
}

int ff_spill_begin(struct ff_worker *worker, enum ff_order order, uint64_t fingerprint,
                   const struct ff_combiner *combiner, struct ff_partial_writer *writer)
{
    int fd = ff_worker_spill_file(worker);
    int64_t end;
    int code;

    *writer = (struct ff_partial_writer){0};
    if (fd < 0)
        return fd;
    end = ff_file_end(fd);
    if (end < 0)
        return ff_worker_fail_spill(worker, "write", errno);
    FF_KILL_POINT("worker.spill.begin");
    code = ff_partial_writer_open(writer, fd, (uint64_t)end, order, fingerprint);
    writer->total_wraps = combiner != NULL;
    if (code == FORKFOLD_E_SPILL)
        return ff_worker_fail_spill(worker, "write", writer->system_error);
    return code;
}

int ff_spill_end(struct ff_worker *worker, struct ff_partial_writer *writer, int code,
                 struct ff_spilled_list *list)
{
    if (code == 0)
        code = ff_partial_writer_finish(writer, NULL, 0);
    if (code == FORKFOLD_E_SPILL && writer->system_error != 0)
        ff_worker_fail_spill(worker, "write", writer->system_error);
    FF_KILL_POINT("worker.spill.written");
    if (code == 0)
        code = ff_spilled_list_add(
            list, &(struct ff_spilled){.slot = ff_worker_slot(worker), .extent = writer->extent},
            1);
    ff_partial_writer_close(writer);
    return code;
}

int ff_spill_entries(struct ff_worker *worker, const struct ff_entry *entries, size_t count,
                     enum ff_order order, uint64_t fingerprint, const struct ff_combiner *combiner,
                     struct ff_spilled_list *list)
{
    struct ff_partial_writer writer;
    int code = ff_spill_begin(worker, order, fingerprint, combiner, &writer);

    for (size_t i = 0; i < count && code == 0; i++)
        code =
            ff_partial_writer_add(&writer, entries[i].key, entries[i].key_bytes, entries[i].count);
    return ff_spill_end(worker, &writer, code, list);
}
