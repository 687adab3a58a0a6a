/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that were taken and are in no log, in a call that stays open.
 *
 * A worker takes a number from a cursor and then writes it down; if it dies in between, the task is
 * lost.  A call that is closed has its audit when nobody has anything to do any more.  An open call
 * may never come to that, so here the supervisor finds out when no living worker can be between the
 * two steps:
 *
 *   1. it reads how far the cursors are: what the dead had taken is below;
 *   2. it bumps `grace`, which workers look at before each claim, and ring when it has changed;
 *   3. of each living worker it has then seen that it is on an item, or sleeps, or has met the new
 *      `grace`, or is not in the call: whatever it took before step 1 is in its log.
 *
 * Numbers below those of step 1 that are in no log, and that were not in the log of a worker which
 * is dead by now, are nobody's: they are queued again.  No step waits: what has not been seen yet
 * is looked at again when a bell rings.
 */
#include "pool/supervisor_state.h"

#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/event.h"
#include "platform/kill_point.h"

/* The boards whose tasks are taken from a cursor. */
static const enum ff_board_id taken_from[] = {FF_MAIN, FF_RETRY};
enum { TAKEN_FROM_COUNT = sizeof(taken_from) / sizeof(taken_from[0]) };

/* ---- Sets of numbers ----------------------------------------------------- */

static bool set_reserve(struct number_set *set, uint64_t count)
{
    size_t words = (size_t)(count / 64 + 1);
    size_t size = set->words * 2 > words ? set->words * 2 : words;
    uint64_t *grown;

    if (words <= set->words)
        return true;
    grown = realloc(set->bits, size * sizeof(*grown));
    if (grown == NULL)
        return false;
    memset(grown + set->words, 0, (size - set->words) * sizeof(*grown));
    set->bits = grown;
    set->words = size;
    return true;
}

static void set_add(struct number_set *set, uint64_t number)
{
    if (number / 64 < set->words)
        set->bits[number / 64] |= UINT64_C(1) << number % 64;
}

static bool set_has(const struct number_set *set, uint64_t number)
{
    return number / 64 < set->words && (set->bits[number / 64] >> number % 64 & 1) != 0;
}

/* ---- What is accounted for ----------------------------------------------- */

static void add_claims(struct number_set sets[FF_BOARD_COUNT], const struct ff_segment_areas *areas)
{
    uint64_t count = ff_claims_logged(areas);

    for (uint64_t i = 0; i < count; i++)
        if (ff_claim_board(areas->claims[i]) < FF_BOARD_COUNT)
            set_add(&sets[ff_claim_board(areas->claims[i])], ff_claim_number(areas->claims[i]));
}

static bool reserve_all(struct supervisor *s, struct number_set sets[FF_BOARD_COUNT])
{
    for (unsigned i = 0; i < TAKEN_FROM_COUNT; i++) {
        enum ff_board_id id = taken_from[i];

        if (!set_reserve(&sets[id], ff_board_posted(&s->layout->boards[id]))) {
            ff_stop_call(s, FORKFOLD_E_MEMORY, "no memory to look for lost tasks");
            return false;
        }
    }
    return true;
}

void ff_settle_claims(struct supervisor *s, unsigned slot)
{
    if (ff_call_of(s)->job->is_done != NULL && reserve_all(s, s->settled))
        add_claims(s->settled, &s->layout->segments[slot]);
}

void ff_forget_settled(struct supervisor *s)
{
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++) {
        free(s->settled[i].bits);
        s->settled[i] = (struct number_set){0};
        s->accounted[i] = 0;
    }
    s->lost_due = false;
}

/* ---- Grace --------------------------------------------------------------- */

void ff_look_for_lost(struct supervisor *s, bool all_over)
{
    for (unsigned i = 0; i < TAKEN_FROM_COUNT; i++) {
        s->taken[taken_from[i]] = ff_observe(&s->layout->boards[taken_from[i]].cursor->next);
        if (all_over)
            s->accounted[taken_from[i]] = 0;
    }
    ff_announce(&s->shared->grace, ff_peer_get(&s->shared->grace) + 1);
    FF_KILL_POINT("supervisor.items.grace");
    s->lost_due = true;
    ff_layout_wake_workers(s->layout, UINT64_MAX);
}

static bool has_passed(const struct supervisor *s, unsigned slot)
{
    const struct ff_segment *segment = ff_segment_of(s, slot);

    return s->slots[slot].pid == 0 || ff_recheck(&segment->joined) != s->sequence ||
           ff_observe(&segment->grace) == ff_peer_get(&s->shared->grace) ||
           ff_observe(&segment->current) != 0 || ff_recheck(&segment->sleeping) != 0;
}

static void queue_lost(struct supervisor *s, enum ff_board_id id, const struct number_set *logged)
{
    struct ff_board *board = &((struct ff_layout *)s->layout)->boards[id];
    uint64_t posted = ff_board_posted(board);
    uint64_t taken = s->taken[id] < posted ? s->taken[id] : posted;
    size_t near = 0;
    struct ff_task task;

    for (uint64_t number = s->accounted[id]; number < taken; number++) {
        if (set_has(logged, number) || set_has(&s->settled[id], number) ||
            !ff_board_task(board, number, &near, &task))
            continue;
        set_add(&s->settled[id], number);
        ff_queue_again(s, &task);
    }
    /* Each is done, queued, or in the log of somebody whose death will be looked into. */
    if (taken > s->accounted[id])
        s->accounted[id] = taken;
}

void ff_queue_lost(struct supervisor *s)
{
    struct number_set logged[FF_BOARD_COUNT] = {0};

    if (!s->lost_due || !s->active || s->stop_code != 0)
        return;
    for (unsigned i = 0; i < s->layout->workers; i++)
        if (!has_passed(s, i))
            return;
    s->lost_due = false;
    if (reserve_all(s, logged) && reserve_all(s, s->settled)) {
        for (unsigned i = 0; i < s->layout->workers; i++)
            if (ff_observe(&ff_segment_of(s, i)->call) == s->sequence)
                add_claims(logged, &s->layout->segments[i]);
        for (unsigned i = 0; i < TAKEN_FROM_COUNT; i++)
            queue_lost(s, taken_from[i], &logged[taken_from[i]]);
        ff_layout_wake_workers(s->layout, UINT64_MAX);
    }
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        free(logged[i].bits);
}
