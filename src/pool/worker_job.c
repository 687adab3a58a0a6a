/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's functions may call, inside a worker. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <forkfold/error.h>

#include "platform/event.h"
#include "platform/kill_point.h"
#include "pool/crash.h"
#include "pool/seal.h"
#include "pool/worker_state.h"

/* Results after which a driver that listens lazily is told of them. */
enum { UNTOLD_MOST = 128 };

/* The worker that this process is, or the thread where a test has threads for workers. */
static _Thread_local struct ff_worker *here;

const struct ff_segment_areas *ff_worker_areas(const struct ff_worker *worker)
{
    return worker->areas;
}

/* Partner: ff_items_sleep() in items.c, which announces that it listens, settles, and looks. */
void ff_worker_notify(struct ff_worker *worker, bool at_once)
{
    uint64_t listening;

    ff_settle();
    listening = ff_recheck(&worker->layout->control->listening);
    worker->untold++;
    if (listening == FF_LISTENS_NOT ||
        (listening == FF_LISTENS_LAZILY && !at_once && worker->untold < UNTOLD_MOST))
        return;
    worker->untold = 0;
    ff_doorbell_ring(worker->layout->driver_bell);
}

void ff_worker_tell_news(struct ff_worker *worker)
{
    if (worker->has_news)
        ff_worker_notify(worker, true);
    worker->has_news = false;
}

void ff_worker_enter_item(struct ff_worker *worker, uint64_t item)
{
    ff_worker_set_current(worker, item + 1);
    /* Partner: ff_items_end_call, whose barrier is this worker's, too; see platform/barrier.h. */
    ff_keep_order();
    FF_KILL_POINT("worker.item.begin");
}

void ff_worker_count_bytes(struct ff_worker *worker, uint64_t bytes)
{
    ff_worker_count(&worker->segment->bytes_done, bytes);
}

void ff_worker_mark_consumed(struct ff_worker *worker, uint64_t item)
{
    ff_own_set(&worker->segment->consumed, item + 1);
    ff_keep_order();
}

bool ff_worker_group_is_quarantined(const struct ff_worker *worker, uint64_t group)
{
    uint64_t count = ff_observe(&worker->layout->supervisor->quarantined);

    for (uint64_t i = 0; i < count; i++)
        if (worker->layout->quarantine[i].group == group)
            return true;
    return false;
}

void *ff_worker_output(struct ff_worker *worker, size_t bytes)
{
    ff_word64 *used = &worker->segment->output_used;
    uint64_t start = ff_peer_get(used);
    uint64_t room = worker->areas->output.bytes;

    if (start > room || bytes > room - start || bytes > SIZE_MAX - 63)
        return NULL;
    uint64_t end = start + ((bytes + 63) & ~(size_t)63);

    ff_own_set(used, end < room ? end : room);
    return worker->areas->output.base + start;
}

void ff_worker_explain(struct ff_worker *worker, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(worker->segment->crash.message, FF_MESSAGE_BYTES, format, arguments);
    va_end(arguments);
}

struct ff_worker *ff_worker_here(void)
{
    return here;
}

void ff_worker_be_here(struct ff_worker *worker)
{
    here = worker;
}

int forkfold_worker_crash_text(int fd)
{
    if (here == NULL || fd < 0)
        return FORKFOLD_E_INVALID;
    ff_crash_install_before(fd);
    return 0;
}

const struct ff_layout *ff_worker_layout(const struct ff_worker *worker)
{
    return worker->layout;
}

struct ff_queue_holds *ff_worker_queue_holds(struct ff_worker *worker)
{
    return &worker->queue_holds;
}

bool ff_worker_has_area(const struct ff_worker *worker, const struct ff_area *area)
{
    const struct ff_area *files = &worker->layout->file_addresses;

    if ((uintptr_t)area->base - (uintptr_t)files->base >= files->bytes)
        return true;
    for (unsigned i = 0; i < FORKFOLD_FILES_MAX; i++) {
        const struct ff_file_mapping *mapping = &worker->files.files[i];

        if (mapping->serial != 0 && mapping->area.base == area->base &&
            mapping->area.bytes == area->bytes)
            return true;
    }
    return false;
}

unsigned ff_worker_slot(const struct ff_worker *worker)
{
    return worker->slot;
}

int ff_worker_fail_spill(struct ff_worker *worker, const char *what, int system_error)
{
    ff_spill_explain(worker->layout, what, system_error, worker->segment->crash.message,
                     FF_MESSAGE_BYTES);
    return FORKFOLD_E_SPILL;
}

int ff_worker_spill_file(struct ff_worker *worker)
{
    int fd;

    FF_KILL_POINT("worker.spill.ask");
    fd = ff_spill_open(&worker->spill, &worker->asker, worker->slot);
    return fd >= 0 ? fd : ff_worker_fail_spill(worker, "write", errno);
}

int ff_worker_open_spill(struct ff_worker *worker, unsigned slot)
{
    int fd = ff_spill_open(&worker->spill, &worker->asker, slot);

    return fd >= 0 ? fd : ff_worker_fail_spill(worker, "read", errno);
}

struct ff_housekeeping ff_worker_begin_housekeeping(struct ff_worker *worker)
{
    struct ff_housekeeping begun = {.current = ff_peer_get(&worker->segment->current),
                                    .item_ns = ff_worker_clock_ns(worker) -
                                               ff_peer_get(&worker->segment->started_ns)};

    /* An item that is overdue stays to be blamed: the supervisor might never look in between. */
    if (worker->limit_ns != 0 && begun.current != FF_CURRENT_HOUSEKEEPING &&
        begun.item_ns >= worker->limit_ns)
        return begun;
    ff_keep_order();
    ff_worker_set_current(worker, FF_CURRENT_HOUSEKEEPING);
    return begun;
}

void ff_worker_end_housekeeping(struct ff_worker *worker, struct ff_housekeeping begun)
{
    ff_keep_order();
    ff_own_set(&worker->segment->started_ns, ff_worker_clock_ns(worker) - begun.item_ns);
    ff_publish(&worker->segment->current, begun.current);
    ff_keep_order();
}

#ifdef FF_KILL_POINTS
void *ff_worker_own_seal(struct ff_worker *worker)
{
    unsigned buffer = ff_sealed_buffer(ff_peer_get(&worker->segment->sealed));

    return worker->areas->buffers[worker->sequence & 1][buffer].base;
}

void *ff_worker_neighbour(struct ff_worker *worker)
{
    const struct ff_segment_areas *first = worker->layout->segments;

    /* The only worker has the input area for a neighbour. */
    if (worker->layout->workers == 1)
        return worker->layout->input.base;
    return worker->areas == first ? (void *)first[1].head : (void *)first[0].head;
}
#endif
