/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker's death means for the call.
 *
 * Everything here reads the dead worker's segment.  It has no writer any more:
 * its pidfd was readable, so its stores are all visible and there will be no
 * others.  A worker that crashed may have scribbled over its own segment, so
 * the seal is trusted by its checksum, the log by its bounds, and the rest
 * not at all: what goes missing that way is found by the audit, and what would
 * be counted twice is refused by the driver.
 *
 * If the supervisor itself dies anywhere in here, the pool dies with it and
 * the driver reports that: nothing has to be undone.
 */
#include "pool/supervisor_state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/event.h"
#include "platform/kill_point.h"
#include "pool/coverage.h"
#include "pool/seal.h"
#include "pool/worker.h"

static const struct ff_call *call_of(const struct supervisor *s)
{
    return &s->layout->control->call;
}

static struct ff_segment *segment_of(const struct supervisor *s, unsigned slot)
{
    return s->layout->segments[slot].head;
}

/* ---- Queueing again ------------------------------------------------------ */

static void post(struct supervisor *s, uint64_t first, uint64_t end)
{
    if (first >= end || s->stop_code != 0)
        return;
    ff_reopen_call(s);
    FF_KILL_POINT("supervisor.retry.post");
    if (!ff_board_post(&((struct ff_layout *)s->layout)->boards[FF_RETRY],
                       (struct ff_task){.first = first, .count = end - first}))
        ff_stop_call(s, FORKFOLD_E_LIMIT, "too many tasks had to be run again");
    FF_KILL_POINT("supervisor.retry.posted");
}

/* Logs, for the worker that will be born in this slot, a claim of the item alone. */
static void assign(struct supervisor *s, unsigned slot, uint64_t item)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    struct ff_board *board = &((struct ff_layout *)s->layout)->boards[FF_ASSIGNED];
    uint64_t number = ff_board_posted(board);
    uint64_t count = ff_peer_get(&areas->head->claim_count);

    ff_reopen_call(s);
    if (count >= areas->claim_capacity ||
        !ff_board_post(board, (struct ff_task){.first = item, .count = 1})) {
        ff_stop_call(s, FORKFOLD_E_LIMIT, "too many items had to be run again");
        return;
    }
    areas->claims[count] = ff_claim_encode(FF_ASSIGNED, number);
    ff_own_set(&areas->head->claim_count, count + 1);
}

void ff_release_assignment(struct supervisor *s, unsigned slot)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t covered = ff_sealed_covered(ff_peer_get(&areas->head->sealed));
    struct ff_task task;

    if (!s->active || ff_peer_get(&areas->head->call) != s->sequence)
        return;
    for (uint64_t i = covered; i < ff_peer_get(&areas->head->claim_count); i++)
        if (ff_layout_task(s->layout, areas->claims[i], &task))
            post(s, task.first, task.first + task.count);
    ff_own_set(&areas->head->claim_count, covered);
}

/* ---- Giving up on an item ------------------------------------------------ */

static int reason_of(const struct supervisor *s, unsigned slot, struct ff_exit end,
                     const struct ff_crash *crash)
{
    if (s->slots[slot].condemned != 0)
        return FORKFOLD_REASON_TIMEOUT;
    if (crash->error == FORKFOLD_E_MEMORY)
        return FORKFOLD_REASON_MEMORY;
    if (end.signal == SIGKILL && !s->slots[slot].killed && ff_process_oom_kills() != s->oom_kills)
        return FORKFOLD_REASON_MEMORY;
    if (end.signal != 0 || crash->signal != 0)
        return FORKFOLD_REASON_SIGNAL;
    return FORKFOLD_REASON_EXIT;
}

static void quarantine(struct supervisor *s, unsigned slot, uint64_t item, uint64_t group,
                       uint32_t attempts, struct ff_exit end)
{
    const struct ff_crash *crash = &segment_of(s, slot)->crash;
    uint64_t count = ff_peer_get(&s->shared->quarantined);

    if (count >= s->layout->quarantine_capacity) {
        ff_stop_call(s, FORKFOLD_E_LIMIT, "more than %llu items had to be given up",
                     (unsigned long long)count);
        return;
    }
    struct ff_quarantine *record = &s->layout->quarantine[count];

    memcpy(&record->crash, crash, sizeof(record->crash));
    record->crash.message[FF_MESSAGE_BYTES - 1] = '\0';
    record->item = item;
    record->group = group;
    record->attempts = attempts;
    record->reason = reason_of(s, slot, end, crash);
    record->signal = end.signal != 0 ? end.signal : crash->signal;
    record->exit_code = end.known && end.signal == 0 ? end.code : -1;
    FF_KILL_POINT("supervisor.quarantine.written");
    /* Partner: the observers of `quarantined`, which read the record after it. */
    ff_publish(&s->shared->quarantined, count + 1);
    FF_KILL_POINT("supervisor.quarantine.published");
    ff_doorbell_ring(s->layout->driver_bell);
}

/* ---- Blame --------------------------------------------------------------- */

/* How often the group has been blamed, this time included. */
static uint32_t count_blame(struct supervisor *s, uint64_t group)
{
    /* The newest are asked for most. */
    for (size_t i = s->blame_count; i-- > 0;)
        if (s->blames[i].group == group)
            return ++s->blames[i].attempts;
    if (s->blame_count == s->blame_capacity) {
        size_t capacity = s->blame_capacity > 0 ? s->blame_capacity * 2 : 64;
        void *grown = realloc(s->blames, capacity * sizeof(*s->blames));

        /* Without room for the count, giving up at once still ends. */
        if (grown == NULL)
            return UINT32_MAX;
        s->blames = grown;
        s->blame_capacity = capacity;
    }
    s->blames[s->blame_count++] = (struct blame){.group = group, .attempts = 1};
    return 1;
}

static void blame(struct supervisor *s, unsigned slot, uint64_t item, struct ff_exit end)
{
    const struct ff_call *call = call_of(s);
    uint64_t group = call->job->group != NULL ? call->job->group(call->context, item) : item;
    uint32_t attempts = count_blame(s, group);
    bool consumed = ff_peer_get(&segment_of(s, slot)->consumed) == item + 1;

    if (attempts >= call->attempts || consumed) {
        quarantine(s, slot, item, group, attempts, end);
        return;
    }
    ff_own_set(&s->shared->retries, ff_peer_get(&s->shared->retries) + 1);
    assign(s, slot, item);
}

/* The item to blame, or false: it died between items, or its words make no sense. */
static bool find_suspect(const struct supervisor *s, unsigned slot, uint64_t covered,
                         uint64_t claim_count, uint64_t *suspect)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t current = ff_peer_get(&areas->head->current);
    uint64_t condemned = s->slots[slot].condemned;
    struct ff_task task;

    if (current == 0 || (condemned != 0 && condemned != current))
        return false;
    for (uint64_t i = claim_count; i-- > covered;) {
        if (!ff_layout_task(s->layout, areas->claims[i], &task))
            continue;
        if (current - 1 >= task.first && current - 1 - task.first < task.count) {
            *suspect = current - 1;
            return true;
        }
    }
    return false;
}

/*
 * Queues the unsealed tasks again, but for one item.  An item whose input was used up cannot be
 * run again though its worker died later, on something else.
 */
static void queue_again(struct supervisor *s, unsigned slot, uint64_t covered, uint64_t claim_count,
                        const uint64_t *suspect, struct ff_exit end)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t consumed = ff_peer_get(&areas->head->consumed);
    struct ff_task task;

    for (uint64_t i = covered; i < claim_count; i++) {
        if (!ff_layout_task(s->layout, areas->claims[i], &task)) {
            s->audit_due = true;
            continue;
        }
        uint64_t end_item = task.first + task.count;
        bool holds_suspect = suspect != NULL && *suspect >= task.first && *suspect < end_item;

        if (holds_suspect) {
            post(s, task.first, *suspect);
            post(s, *suspect + 1, end_item);
        } else if (task.count == 1 && consumed == task.first + 1) {
            quarantine(s, slot, task.first, task.first, 1, end);
        } else {
            post(s, task.first, end_item);
        }
    }
}

/* ---- The death of a worker ----------------------------------------------- */

/* Counts a seal or a quarantined item since the last death as progress. */
static bool made_progress(struct supervisor *s)
{
    uint64_t now = ff_peer_get(&s->shared->quarantined);

    for (unsigned i = 0; i < s->layout->workers; i++)
        if (ff_peer_get(&segment_of(s, i)->call) == s->sequence)
            now += ff_sealed_covered(ff_peer_get(&segment_of(s, i)->sealed));
    if (now == s->progress)
        return false;
    s->progress = now;
    return true;
}

static void describe_death(const struct supervisor *s, unsigned slot, struct ff_exit end,
                           char *text, size_t size)
{
    const struct ff_crash *crash = &segment_of(s, slot)->crash;

    if (ff_peer_get(&crash->written) != 0 && crash->signal == 0)
        snprintf(text, size, "%.*s", FF_MESSAGE_BYTES - 1, crash->message);
    else if (end.signal != 0)
        snprintf(text, size, "signal %d (%s)", end.signal, strsignal(end.signal));
    else
        snprintf(text, size, "exit with code %d", end.code);
}

static void count_death(struct supervisor *s, unsigned slot, struct ff_exit end)
{
    char how[FF_MESSAGE_BYTES];

    ff_own_set(&s->shared->deaths, ff_peer_get(&s->shared->deaths) + 1);
    s->streak = made_progress(s) ? 1 : s->streak + 1;
    if (s->streak <= call_of(s)->max_deaths)
        return;
    describe_death(s, slot, end, how, sizeof(how));
    ff_stop_call(s, FORKFOLD_E_CRASH_LOOP,
                 "%u workers in a row died before any of them finished something; the last by %s",
                 s->streak, how);
}

/* The slot's seal if it can be trusted; otherwise the slot starts over, and the audit finds what it
   had covered. */
static uint64_t trusted_coverage(struct supervisor *s, unsigned slot)
{
    struct ff_segment *segment = segment_of(s, slot);
    uint64_t sealed;
    bool damaged;
    const struct ff_seal *seal =
        ff_seal_find(&s->layout->segments[slot], s->sequence, &sealed, &damaged);

    if (!damaged)
        return seal != NULL ? seal->covered : 0;
    s->audit_due = true;
    ff_own_set(&segment->sealed, 0);
    ff_own_set(&segment->claim_count, 0);
    return 0;
}

void ff_recover(struct supervisor *s, unsigned slot, struct ff_exit end)
{
    struct ff_segment *segment = segment_of(s, slot);
    uint64_t suspect;

    count_death(s, slot, end);
    if (s->stop_code != 0 || ff_peer_get(&segment->call) != s->sequence)
        return;
    FF_KILL_POINT("supervisor.recover.begin");

    uint64_t covered = trusted_coverage(s, slot);
    uint64_t claim_count = ff_peer_get(&segment->claim_count);

    if (ff_peer_get(&segment->claiming) != 0)
        s->audit_due = true;
    if (claim_count < covered || claim_count > s->layout->segments[slot].claim_capacity) {
        s->audit_due = true;
        claim_count = covered;
    }
    bool found = find_suspect(s, slot, covered, claim_count, &suspect);

    queue_again(s, slot, covered, claim_count, found ? &suspect : NULL, end);
    FF_KILL_POINT("supervisor.recover.queued");
    ff_own_set(&segment->claim_count, covered);
    if (found)
        blame(s, slot, suspect, end);
    FF_KILL_POINT("supervisor.recover.end");
}

/* ---- The audit ----------------------------------------------------------- */

bool ff_audit(struct supervisor *s)
{
    struct ff_coverage coverage;
    struct ff_task missing;
    uint64_t from = 0;
    bool found = false;

    if (ff_coverage_open(&coverage, s->layout, s->sequence) < 0) {
        ff_stop_call(s, FORKFOLD_E_MEMORY, "no memory to look for lost tasks");
        return false;
    }
    while (ff_coverage_next_missing(&coverage, &from, &missing)) {
        post(s, missing.first, missing.first + missing.count);
        found = true;
    }
    ff_coverage_close(&coverage);
    return found;
}
