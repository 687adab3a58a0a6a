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
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/event.h"
#include "platform/kill_point.h"
#include "pool/coverage.h"
#include "pool/seal.h"
#include "pool/worker.h"

/* ---- Giving up on an item ------------------------------------------------ */

static int reason_of(const struct slot *dead, struct ff_exit end, const struct ff_crash *crash,
                     bool for_memory)
{
    if (dead->condemned != 0)
        return FORKFOLD_REASON_TIMEOUT;
    if (for_memory || crash->error == FORKFOLD_E_MEMORY)
        return FORKFOLD_REASON_MEMORY;
    if (end.signal != 0 || crash->signal != 0)
        return FORKFOLD_REASON_SIGNAL;
    return FORKFOLD_REASON_EXIT;
}

static uint64_t group_of(const struct supervisor *s, uint64_t item)
{
    const struct ff_call *call = ff_call_of(s);

    return call->job->group != NULL ? call->job->group(call->context, item) : item;
}

/* The next free record, or NULL after the call has been stopped for want of one. */
static struct ff_quarantine *next_record(struct supervisor *s)
{
    uint64_t count = ff_peer_get(&s->shared->quarantined);

    if (count < s->layout->quarantine_capacity)
        return &s->layout->quarantine[count];
    ff_stop_call(s, FORKFOLD_E_LIMIT, "more than %llu items had to be given up",
                 (unsigned long long)count);
    return NULL;
}

static void publish_record(struct supervisor *s)
{
    FF_KILL_POINT("supervisor.quarantine.written");
    /* Partner: the observers of `quarantined`, which read the record after it. */
    ff_publish(&s->shared->quarantined, ff_peer_get(&s->shared->quarantined) + 1);
    FF_KILL_POINT("supervisor.quarantine.published");
    ff_doorbell_ring(s->layout->driver_bell);
}

/* Few have any, and a page of zeroes for each of the others would be a waste. */
static void copy_text(struct ff_crash *record, const struct ff_crash *crash)
{
    uint64_t bytes = ff_peer_get(&crash->text_bytes);

    if (bytes <= sizeof(crash->text))
        memcpy(record->text, crash->text, bytes);
}

static void quarantine(struct supervisor *s, unsigned slot, const struct ff_task *item,
                       uint32_t attempts, struct ff_exit end, bool for_memory)
{
    const struct ff_crash *crash = &ff_segment_of(s, slot)->crash;
    struct ff_quarantine *record = next_record(s);

    if (record == NULL)
        return;
    memcpy(&record->crash, crash, offsetof(struct ff_crash, text));
    copy_text(&record->crash, crash);
    record->crash.message[FF_MESSAGE_BYTES - 1] = '\0';
    record->item = item->first;
    record->owner = item->owner;
    record->serial = item->serial;
    record->index = item->index;
    record->group = group_of(s, item->first);
    record->attempts = attempts;
    record->reason = reason_of(&s->slots[slot], end, crash, for_memory);
    /* What the worker noted comes first: what ended it may have come while it noted it. */
    record->signal =
        ff_peer_get(&crash->written) != 0 && crash->signal != 0 ? crash->signal : end.signal;
    record->exit_code = end.known && end.signal == 0 ? end.code : -1;
    record->slot = slot;
    record->limit_ns = ff_peer_get(&ff_segment_of(s, slot)->limit_ns);
    publish_record(s);
}

/* ---- Items that cannot be run again --------------------------------------- */

/* Kept here from the first death on: the words of a segment do not outlive damage to it. */
static void remember_consumed(struct supervisor *s, unsigned slot, struct ff_exit end)
{
    uint64_t consumed = ff_peer_get(&ff_segment_of(s, slot)->consumed);

    if (consumed == 0)
        return;
    if (s->consumed_count == s->consumed_capacity) {
        size_t capacity = s->consumed_capacity > 0 ? s->consumed_capacity * 2 : 8;
        void *grown = realloc(s->consumed, capacity * sizeof(*s->consumed));

        if (grown == NULL) {
            ff_stop_call(s, FORKFOLD_E_MEMORY, "no memory to remember an input that was used up");
            return;
        }
        s->consumed = grown;
        s->consumed_capacity = capacity;
    }
    s->consumed[s->consumed_count++] = (struct consumed){.item = consumed - 1, .end = end};
}

/* The first item of the run that was used up, or NULL. */
static const struct consumed *find_consumed(const struct supervisor *s, uint64_t first,
                                            uint64_t end)
{
    const struct consumed *found = NULL;

    for (size_t i = 0; i < s->consumed_count; i++) {
        const struct consumed *consumed = &s->consumed[i];

        if (consumed->item >= first && consumed->item < end &&
            (found == NULL || consumed->item < found->item))
            found = consumed;
    }
    return found;
}

static void give_up_consumed(struct supervisor *s, const struct consumed *consumed)
{
    struct ff_quarantine *record = next_record(s);

    if (record == NULL)
        return;
    memset(record, 0, offsetof(struct ff_quarantine, crash.text));
    record->item = consumed->item;
    record->group = group_of(s, consumed->item);
    record->attempts = 1;
    record->reason = consumed->end.signal != 0 ? FORKFOLD_REASON_SIGNAL : FORKFOLD_REASON_EXIT;
    record->signal = consumed->end.signal;
    record->exit_code = consumed->end.known && consumed->end.signal == 0 ? consumed->end.code : -1;
    publish_record(s);
}

/* ---- Queueing again ------------------------------------------------------ */

/* The items of a task from first up to end. */
static struct ff_task part_of(const struct ff_task *task, uint64_t first, uint64_t end)
{
    return (struct ff_task){.first = first,
                            .count = end - first,
                            .owner = task->owner,
                            .serial = task->serial,
                            .index = task->index + (first - task->first),
                            .blamed = task->blamed};
}

static void post_run(struct supervisor *s, struct ff_task run)
{
    /* Short tasks: several workers share them, and a death in one costs little again. */
    enum { ITEMS_PER_TASK = 64 };
    struct ff_board *board = &((struct ff_layout *)s->layout)->boards[FF_RETRY];

    if (run.count == 0)
        return;
    ff_reopen_call(s);
    FF_KILL_POINT("supervisor.retry.post");
    if (!ff_board_post(board, run, ITEMS_PER_TASK))
        ff_stop_call(s, FORKFOLD_E_LIMIT, "too many tasks had to be run again");
    FF_KILL_POINT("supervisor.retry.posted");
}

/* Queues those items of a run whose results have not been published by themselves. */
static void post_undone(struct supervisor *s, const struct ff_task *run)
{
    const struct ff_job *job = ff_call_of(s)->job;
    uint64_t end = run->first + run->count;
    uint64_t from = run->first;

    if (job->is_done == NULL) {
        post_run(s, *run);
        return;
    }
    for (uint64_t item = run->first; item < end; item++) {
        if (!job->is_done(run->owner, run->serial, run->index + (item - run->first)))
            continue;
        /* Its worker has finished something: the log begins after the last death. */
        s->streak = s->idle_streak = 0;
        post_run(s, part_of(run, from, item));
        from = item + 1;
    }
    post_run(s, part_of(run, from, end));
}

/* Queues a run of items that nothing covers, but for those that cannot be run again. */
static void post(struct supervisor *s, struct ff_task run)
{
    uint64_t end = run.first + run.count;

    while (run.count > 0 && s->stop_code == 0) {
        const struct consumed *consumed = find_consumed(s, run.first, end);
        struct ff_task part = part_of(&run, run.first, consumed != NULL ? consumed->item : end);

        post_undone(s, &part);
        if (consumed == NULL)
            return;
        give_up_consumed(s, consumed);
        run = part_of(&run, consumed->item + 1, end);
    }
}

/* Logs, for the worker that will be born in this slot, a claim of the item alone. */
static void assign(struct supervisor *s, unsigned slot, struct ff_task item)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    struct ff_board *board = &((struct ff_layout *)s->layout)->boards[FF_ASSIGNED];
    uint64_t number = ff_board_posted(board);
    uint64_t count = ff_peer_get(&areas->head->claim_count);

    ff_reopen_call(s);
    if (count >= areas->claim_capacity || !ff_board_post(board, item, 1)) {
        ff_stop_call(s, FORKFOLD_E_LIMIT, "too many items had to be run again");
        return;
    }
    areas->claims[count] = ff_claim_encode(FF_ASSIGNED, number);
    ff_own_set(&areas->head->claim_count, count + 1);
}

void ff_queue_again(struct supervisor *s, const struct ff_task *task)
{
    post(s, *task);
}

void ff_release_assignment(struct supervisor *s, unsigned slot)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t covered = ff_sealed_covered(ff_peer_get(&areas->head->sealed));
    size_t near[FF_BOARD_COUNT] = {0};
    struct ff_task task;

    if (!s->active || ff_peer_get(&areas->head->call) != s->sequence)
        return;
    for (uint64_t i = covered; i < ff_claims_logged(areas); i++)
        if (ff_layout_task(s->layout, areas->claims[i], near, &task))
            post(s, task);
    ff_own_set(&areas->head->claim_count, covered);
}

/* ---- Blame --------------------------------------------------------------- */

/* How often the item has been blamed, this time included. */
static uint32_t count_blame(struct supervisor *s, uint64_t item)
{
    /* The newest are asked for most. */
    for (size_t i = s->blame_count; i-- > 0;)
        if (s->blames[i].item == item)
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
    s->blames[s->blame_count++] = (struct blame){.item = item, .attempts = 1};
    return 1;
}

static uint32_t attempts_of(const struct supervisor *s, const struct ff_task *item)
{
    const struct ff_call *call = ff_call_of(s);

    return call->job->attempts != NULL ? call->job->attempts(item->owner) : call->attempts;
}

static void blame(struct supervisor *s, unsigned slot, const struct ff_task *item,
                  struct ff_exit end, bool for_memory)
{
    uint32_t attempts = count_blame(s, item->first);

    if (attempts >= attempts_of(s, item) ||
        find_consumed(s, item->first, item->first + 1) != NULL) {
        quarantine(s, slot, item, attempts, end, for_memory);
        return;
    }
    struct ff_task again = *item;

    again.blamed = attempts;
    ff_own_set(&s->shared->retries, ff_peer_get(&s->shared->retries) + 1);
    assign(s, slot, again);
}

/* What a dead worker's segment says of its unsealed work. */
struct remains {
    uint64_t covered;
    uint64_t claim_count;
    bool has_suspect;
    struct ff_task suspect; /* the item to blame */
};

/* The item that a worker is on, as its words say, among its claims from the last one down to from. */
bool ff_find_current(const struct supervisor *s, unsigned slot, uint64_t from, uint64_t claim_count,
                     struct ff_task *item)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t current = ff_peer_get(&areas->head->current);
    size_t near[FF_BOARD_COUNT] = {0};
    struct ff_task task;

    if (current == 0 || current == FF_CURRENT_HOUSEKEEPING)
        return false;
    for (uint64_t i = claim_count; i-- > from;) {
        if (!ff_layout_task(s->layout, areas->claims[i], near, &task))
            continue;
        if (current - 1 >= task.first && current - 1 - task.first < task.count) {
            *item = part_of(&task, current - 1, current);
            return true;
        }
    }
    return false;
}

/* No suspect: it died between items, or its words make no sense, or it had published the result. */
static void find_suspect(const struct supervisor *s, unsigned slot, struct remains *remains)
{
    const struct ff_job *job = ff_call_of(s)->job;
    uint64_t current = ff_peer_get(&ff_segment_of(s, slot)->current);
    uint64_t condemned = s->slots[slot].condemned;
    const struct ff_task *suspect = &remains->suspect;

    remains->has_suspect =
        (condemned == 0 || condemned == current) &&
        ff_find_current(s, slot, remains->covered, remains->claim_count, &remains->suspect) &&
        (job->is_done == NULL || !job->is_done(suspect->owner, suspect->serial, suspect->index));
}

/* Queues the unsealed tasks again, but for the suspect. */
static void queue_again(struct supervisor *s, unsigned slot, const struct remains *remains)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t suspect = remains->suspect.first;
    size_t near[FF_BOARD_COUNT] = {0};
    struct ff_task task;

    for (uint64_t i = remains->covered; i < remains->claim_count; i++) {
        if (!ff_layout_task(s->layout, areas->claims[i], near, &task))
            continue;
        uint64_t end = task.first + task.count;

        if (remains->has_suspect && suspect >= task.first && suspect < end) {
            post(s, part_of(&task, task.first, suspect));
            post(s, part_of(&task, suspect + 1, end));
        } else {
            post(s, task);
        }
    }
}

/* ---- The death of a worker ----------------------------------------------- */

/* More sealed or given up than at any death before; what damage undoes is not progress again. */
static bool made_progress(struct supervisor *s)
{
    uint64_t now = ff_peer_get(&s->shared->quarantined);

    for (unsigned i = 0; i < s->layout->workers; i++)
        if (ff_peer_get(&ff_segment_of(s, i)->call) == s->sequence)
            now += ff_sealed_covered(ff_peer_get(&ff_segment_of(s, i)->sealed));
    if (now <= s->progress)
        return false;
    s->progress = now;
    return true;
}

static void describe_death(const struct supervisor *s, unsigned slot, struct ff_exit end,
                           char *text, size_t size)
{
    const struct ff_crash *crash = &ff_segment_of(s, slot)->crash;

    if (ff_peer_get(&crash->written) != 0 && crash->signal == 0)
        snprintf(text, size, "%.*s", FF_MESSAGE_BYTES - 1, crash->message);
    else if (end.signal != 0)
        snprintf(text, size, "signal %d (%s)", end.signal, strsignal(end.signal));
    else
        snprintf(text, size, "exit with code %d", end.code);
}

/*
 * Deaths in a row that are too many.  While one worker uses up the attempts of
 * an item, each of the others may do the same with another item: that must not
 * look like a loop only because there are many workers.
 */
static uint32_t streak_limit(const struct supervisor *s)
{
    const struct ff_call *call = ff_call_of(s);
    uint32_t retries = call->attempts - 1;

    if (retries > call->max_deaths)
        retries = call->max_deaths;
    return call->max_deaths + (s->layout->workers - 1) * retries;
}

/* A worker that never gets as far as its first item says why. */
static int crash_code(const struct supervisor *s, unsigned slot)
{
    const struct ff_crash *crash = &ff_segment_of(s, slot)->crash;

    return ff_peer_get(&crash->written) != 0 && crash->error == FORKFOLD_E_INITIALIZER
               ? FORKFOLD_E_INITIALIZER
               : FORKFOLD_E_CRASH_LOOP;
}

/* In a call that stays open: whether the dead worker had nothing to do, and nobody else has. */
static bool was_idle(const struct supervisor *s, unsigned slot)
{
    return ff_call_of(s)->job->is_done != NULL &&
           ff_peer_get(&ff_segment_of(s, slot)->current) == 0 &&
           !ff_board_has_work(&s->layout->boards[FF_MAIN]) &&
           !ff_board_has_work(&s->layout->boards[FF_RETRY]);
}

/* One that had not even joined the call may be one that cannot live at all. */
static void count_idle_death(struct supervisor *s, unsigned slot)
{
    ff_own_set(&s->shared->deaths, ff_peer_get(&s->shared->deaths) + 1);
    if (ff_peer_get(&ff_segment_of(s, slot)->joined) == s->sequence)
        s->idle_streak = 0;
    else
        s->idle_streak++;
}

static void count_death(struct supervisor *s, unsigned slot, struct ff_exit end, bool for_memory)
{
    char how[FF_MESSAGE_BYTES];

    ff_own_set(&s->shared->deaths, ff_peer_get(&s->shared->deaths) + 1);
    if (made_progress(s))
        s->streak = 0;
    /* The answer to a kill for memory is fewer workers; the last one has none beside it. */
    if (for_memory && ff_living(s) > 0)
        return;
    if (++s->streak <= streak_limit(s))
        return;
    if (crash_code(s, slot) == FORKFOLD_E_INITIALIZER) {
        ff_stop_call(s, FORKFOLD_E_INITIALIZER,
                     "the initializer of the pool failed in %u workers in a row, and nothing was "
                     "done in between",
                     s->streak);
        return;
    }
    describe_death(s, slot, end, how, sizeof(how));
    ff_stop_call(s, FORKFOLD_E_CRASH_LOOP,
                 "%u workers in a row died before any of them finished something; the last one: %s",
                 s->streak, how);
}

/*
 * What is left of the slot.  A seal that cannot be trusted makes the slot start
 * over with nothing, and the audit finds what it had covered; the suspect is looked for in the
 * whole log then, so that an item which damages its worker is not tried for ever.
 */
static struct remains examine(struct supervisor *s, unsigned slot)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    struct ff_segment *segment = areas->head;
    struct remains remains = {.claim_count = ff_peer_get(&segment->claim_count)};
    uint64_t sealed;
    bool damaged;
    const struct ff_seal *seal = ff_seal_find(areas, s->sequence, &sealed, &damaged);

    if (seal != NULL)
        remains.covered = ff_sealed_covered(sealed);
    if (remains.claim_count > areas->claim_capacity || remains.claim_count < remains.covered)
        remains.claim_count = remains.covered;
    find_suspect(s, slot, &remains);
    if (damaged) {
        ff_own_set(&segment->sealed, 0);
        remains.claim_count = 0;
    }
    return remains;
}

/*
 * A worker that could not spill: a disk that is full, or not there, is so for all of them; and so is
 * a number that is too large.
 */
static bool speaks_for_all(const struct ff_crash *crash, struct ff_exit end)
{
    return ff_peer_get(&crash->written) != 0 &&
           (crash->error == FORKFOLD_E_SPILL || crash->error == FORKFOLD_E_RANGE) &&
           end.signal == 0 && (!end.known || end.code == FF_WORKER_EXIT);
}

void ff_recover(struct supervisor *s, unsigned slot, struct ff_exit end, bool for_memory)
{
    struct ff_segment *segment = ff_segment_of(s, slot);
    bool retired = ff_peer_get(&segment->retired) != 0 && end.signal == 0;
    bool unwanted = s->slots[slot].unwanted;

    if (speaks_for_all(&segment->crash, end))
        ff_stop_call(s, segment->crash.error, "%.*s", FF_MESSAGE_BYTES - 1, segment->crash.message);
    if (!retired && !unwanted && was_idle(s, slot))
        count_idle_death(s, slot);
    else if (!retired && !unwanted)
        count_death(s, slot, end, for_memory);
    /*
     * Whatever its words say: it may have taken a task and not logged it, or
     * logged nonsense.  The audit runs once, when nobody has anything to do.
     */
    s->audit_due = true;
    if (ff_call_of(s)->job->is_done != NULL && s->stop_code == 0) {
        ff_look_for_lost(s, false);
        /* It may have published a result and not told the driver any more. */
        ff_doorbell_ring(s->layout->driver_bell);
    }
    if (s->stop_code != 0 || ff_peer_get(&segment->call) != s->sequence)
        return;
    FF_KILL_POINT("supervisor.recover.begin");
    remember_consumed(s, slot, end);

    struct remains remains = examine(s, slot);

    remains.has_suspect &= !retired && !unwanted;
    queue_again(s, slot, &remains);
    ff_settle_claims(s, slot);
    FF_KILL_POINT("supervisor.recover.queued");
    ff_own_set(&segment->claim_count, remains.covered);
    if (remains.has_suspect)
        blame(s, slot, &remains.suspect, end, for_memory);
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
        post(s, missing);
        found = true;
    }
    ff_coverage_close(&coverage);
    return found;
}
