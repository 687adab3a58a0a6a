/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/queues.h"

#include "platform/event.h"
#include "platform/futex.h"
#include "platform/kill_point.h"
#include "pool/handles.h"

static size_t bytes_of_each(const struct ff_layout *layout)
{
    return layout->rings.bytes / FORKFOLD_QUEUES_MAX & ~(sizeof(struct ff_ring_cell) - 1);
}

uint64_t ff_queues_cells(const struct ff_layout *layout)
{
    uint64_t room =
        (bytes_of_each(layout) - sizeof(struct ff_ring_words)) / sizeof(struct ff_ring_cell);
    uint64_t cells = 1;

    while (cells * 2 <= room)
        cells *= 2;
    return cells;
}

struct ff_ring_words *ff_queues_words(const struct ff_layout *layout, unsigned number)
{
    return (struct ff_ring_words *)(void *)(layout->rings.base + number * bytes_of_each(layout));
}

struct ff_ring_cell *ff_queues_ring_cells(const struct ff_layout *layout, unsigned number)
{
    return (struct ff_ring_cell *)(void *)(ff_queues_words(layout, number) + 1);
}

/*
 * The announcement goes first: who makes it anew finds the word bumped.  A death in between is
 * followed by ff_queues_recover(), which wakes all.
 */
static void wake(const struct ff_layout *layout, ff_word64 *sleepers, ff_word32 *word)
{
    uint64_t who = ff_take_bits(sleepers);

    FF_KILL_POINT("queue.wake");
    if ((who & FF_RING_DRIVER) != 0)
        ff_doorbell_ring(layout->driver_bell);
    if ((who & FF_RING_WORKERS) == 0)
        return;
    ff_bump32(word);
    ff_futex_wake(word, UINT64_MAX);
}

/* Partners of both: wait_in_worker() and wait_in_driver() in flow/queue.c. */
void ff_queue_tell_takers(const forkfold_queue *queue)
{
    struct ff_ring_words *words = queue->ring->words;

    if (ff_recheck(&words->takers_sleep) != 0)
        wake(queue->layout, &words->takers_sleep, &words->filled);
}

void ff_queue_tell_putters(const forkfold_queue *queue)
{
    struct ff_ring_words *words = queue->ring->words;

    if (ff_recheck(&words->putters_sleep) != 0)
        wake(queue->layout, &words->putters_sleep, &words->emptied);
}

void ff_queue_wake_takers(const forkfold_queue *queue)
{
    ff_settle();
    ff_queue_tell_takers(queue);
}

void ff_queue_wake_putters(const forkfold_queue *queue)
{
    ff_settle();
    ff_queue_tell_putters(queue);
}

void ff_queue_return(const forkfold_queue *queue, struct ff_queue_holds *holds)
{
    struct ff_queue_hold *hold = &holds->queues[queue->ring->number];

    hold->is_held = false;
    holds->count--;
    ff_ring_give_back(queue->ring, &hold->batch);
    ff_queue_wake_takers(queue);
}

void ff_queues_return(const struct ff_layout *layout, struct ff_queue_holds *holds)
{
    for (unsigned i = 0; i < FORKFOLD_QUEUES_MAX && holds->count > 0; i++)
        if (holds->queues[i].is_held)
            ff_queue_return(&layout->handles->queues.queues[i], holds);
}

void ff_queues_recover(const struct ff_layout *layout, unsigned slot)
{
    uint64_t opened = ff_observe(&layout->handles->queues.opened);

    ff_rings_recover(layout->handles->queues.rings, opened, slot);
    FF_KILL_POINT("supervisor.queues.recovered");
    for (unsigned i = 0; i < opened; i++) {
        struct ff_ring_words *words = ff_queues_words(layout, i);

        ff_set_bits(&words->takers_sleep, FF_RING_WORKERS | FF_RING_DRIVER);
        wake(layout, &words->takers_sleep, &words->filled);
        ff_set_bits(&words->putters_sleep, FF_RING_WORKERS | FF_RING_DRIVER);
        wake(layout, &words->putters_sleep, &words->emptied);
    }
}
