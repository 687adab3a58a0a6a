/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's half of calls on items: the engine's call that carries them, what happens in it, and
 * waiting.
 *
 * Waking the driver.  A worker that has published something looks whether the driver listens: after
 * each item of an owner that is prompt, when it goes on to another owner, and before it sleeps.  The
 * driver announces that it listens, looks once more, and sleeps.  Each stores one word and then
 * reads the other's, with a fence in between, so one of them sees the other.
 */
#include "pool/items.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/barrier.h"
#include "platform/clock.h"
#include "platform/event.h"
#include "pool/call.h"

/* So many results, read without a pause, are a burst. */
enum { RESULTS_OF_A_BURST = 32 };

/* After so many postings it is time to look for those that nobody needs any more. */
enum { POSTINGS_BETWEEN_LOOKS = 4096 };

/* With so many items behind it the engine's call is begun anew when there is nothing in it. */
#define ITEMS_BEFORE_RENEWAL (UINT64_C(1) << 16)

/* ---- Owners -------------------------------------------------------------- */

struct ff_item_owner *ff_items_take_owner(forkfold_pool *pool)
{
    struct ff_items *items = &pool->items;
    const struct ff_area *area = &pool->layout.owners;
    struct ff_item_owner *owner;

    if (items->free_owner_count > 0)
        return items->free_owners[--items->free_owner_count];
    if (items->owners_used >= area->bytes / sizeof(*owner))
        return NULL;
    /* Room to give it back, so that giving back cannot fail. */
    if (items->owners_used >= items->free_owner_capacity) {
        size_t capacity = items->free_owner_capacity > 0 ? items->free_owner_capacity * 2 : 16;
        void *grown = realloc(items->free_owners, capacity * sizeof(struct ff_item_owner *));

        if (grown == NULL)
            return NULL;
        items->free_owners = grown;
        items->free_owner_capacity = capacity;
    }
    return (struct ff_item_owner *)(void *)area->base + items->owners_used++;
}

static void give_owner(forkfold_pool *pool, struct ff_item_owner *owner)
{
    /* Before anything of it becomes another's, fields and blocks: see ff_item_is_done. */
    ff_announce(&owner->serial, 0);
    ff_settle();
    pool->items.free_owners[pool->items.free_owner_count++] = owner;
}

/* ---- Opening and closing ------------------------------------------------- */

void ff_items_open(forkfold_pool *pool)
{
    pool->items.look_at_ns = UINT64_MAX;
    ff_arena_open(&pool->items.arrays, pool->layout.arrays);
    ff_arena_open(&pool->items.results, pool->layout.results);
    ff_arena_open(&pool->items.shared, pool->layout.shared);
}

static void free_call(struct forkfold_call *call)
{
    struct forkfold_call **link = &call->pool->items.calls;

    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    /* In a forked child there is nothing of it but the handle. */
    if (ff_pool_is_here(call->pool)) {
        if (call->owner != NULL)
            give_owner(call->pool, call->owner);
        for (unsigned i = 0; i < call->block_count; i++)
            ff_arena_give(call->blocks[i].arena, call->blocks[i].base, call->blocks[i].bytes);
    }
    ff_items_free_failures(call);
    free(call);
}

/* Of the list that starts there. */
static void give_first_retired(struct ff_retired_block **list)
{
    struct ff_retired_block *first = *list;

    *list = first->next;
    ff_arena_give(first->block.arena, first->block.base, first->block.bytes);
    free(first);
}

void ff_items_close(forkfold_pool *pool)
{
    struct ff_items *items = &pool->items;

    while (items->calls != NULL)
        free_call(items->calls);
    while (items->retired != NULL)
        give_first_retired(&items->retired);
    ff_arena_close(&items->arrays);
    ff_arena_close(&items->results);
    ff_arena_close(&items->shared);
    free(items->free_owners);
    free(items->notes_read);
    ff_symbols_close(items->symbols);
    *items = (struct ff_items){0};
}

static bool is_drained(struct forkfold_call *call);

/* Not one that the host has closed, and a callback of it still holds. */
static bool has_open_calls(const forkfold_pool *pool)
{
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->owner != NULL && !(call->is_closed && is_drained(call)))
            return true;
    return false;
}

bool ff_items_are_running(const forkfold_pool *pool)
{
    for (const struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->status == FF_CALL_RUNNING)
            return true;
    return false;
}

/* Whether the host still reads results that lie in segments. */
static bool has_results_in_segments(const forkfold_pool *pool)
{
    for (const struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->owner != NULL && call->owner->results_vary && !call->is_closed)
            return true;
    return false;
}

static int end_engine_call(forkfold_pool *pool)
{
    int code;

    ff_call_close(pool);
    do
        code = ff_call_step(pool, true);
    while (code == 0);
    pool->items.is_open = false;
    if (code < 0)
        ff_call_abort(pool);
    return code < 0 ? code : 0;
}

/* Whether nobody is at any call up to a serial number that the host has closed, held or not. */
static bool are_closed_drained_up_to(const forkfold_pool *pool, uint64_t serial)
{
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->is_closed && call->owner != NULL && call->serial <= serial && !is_drained(call))
            return false;
    return true;
}

static bool are_closed_drained(void *pool)
{
    return are_closed_drained_up_to(pool, UINT64_MAX);
}

static void give_retired(forkfold_pool *pool)
{
    struct ff_retired_block **link = &pool->items.retired;

    while (*link != NULL)
        if (are_closed_drained_up_to(pool, (*link)->serial))
            give_first_retired(link);
        else
            link = &(*link)->next;
}

void ff_items_retire(forkfold_pool *pool, struct ff_block block)
{
    struct ff_retired_block *retired = malloc(sizeof(*retired));

    if (retired == NULL) {
        ff_items_drain(pool);
        ff_arena_give(block.arena, block.base, block.bytes);
        return;
    }
    *retired = (struct ff_retired_block){
        .next = pool->items.retired, .block = block, .serial = pool->items.last_serial};
    pool->items.retired = retired;
    ff_items_look(pool);
}

void ff_items_drain(forkfold_pool *pool)
{
    ff_items_look(pool);
    while (pool->items.is_open && !are_closed_drained(pool))
        ff_items_sleep(pool, are_closed_drained, pool, UINT64_MAX);
    ff_items_look(pool);
}

int ff_items_yield(forkfold_pool *pool)
{
    ff_items_drain(pool);
    if (has_open_calls(pool))
        return ff_error_set(&pool->error, FORKFOLD_E_BUSY,
                            "the pool has calls on items that are in progress, or whose results "
                            "are still open; wait for them and close them first");
    return pool->items.is_open ? end_engine_call(pool) : 0;
}

/* Whether the engine's call should be begun anew: it has a long list of tasks, or has lost workers. */
static bool is_worn(const forkfold_pool *pool)
{
    return pool->items.next_item > ITEMS_BEFORE_RENEWAL ||
           ff_peer_get(&pool->layout.supervisor->deaths) > 0;
}

int ff_items_begin(forkfold_pool *pool)
{
    struct ff_items *items = &pool->items;
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    ff_items_look(pool);
    if (items->is_open && is_worn(pool) && !has_open_calls(pool))
        code = end_engine_call(pool);
    if (code < 0 || items->is_open)
        return code;
    if (items->notes_read == NULL)
        items->notes_read = calloc(pool->layout.workers, sizeof(*items->notes_read));
    if (items->notes_read == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a call");
    memset(items->notes_read, 0, pool->layout.workers * sizeof(*items->notes_read));
    items->quarantined_read = 0;
    items->next_item = 0;
    items->next_look = POSTINGS_BETWEEN_LOOKS;
    items->doubted_at = UINT64_MAX;
    items->is_open = true;
    ff_call_begin(
        pool, &(struct ff_call_options){.job = &ff_items_job,
                                        /* Owners say how often; this is for streaks of deaths. */
                                        .attempts = pool->max_deaths + 1,
                                        .max_deaths = pool->max_deaths,
                                        .keeps_output = has_results_in_segments(pool)});
    return 0;
}

static bool is_posting_done(const struct ff_task *all)
{
    for (uint64_t i = 0; i < all->count; i++)
        if (!ff_item_is_done(all->owner, all->serial, all->index + i))
            return false;
    return true;
}

/* So that calls which post their items bit by bit need no more memory the longer they take. */
static void forget_postings(forkfold_pool *pool)
{
    struct ff_board *board = &pool->layout.boards[FF_MAIN];
    uint64_t count = ff_peer_get(&board->shared->postings);
    uint64_t done = ff_peer_get(&board->shared->forgotten);

    if (count < pool->items.next_look)
        return;
    pool->items.next_look = count + POSTINGS_BETWEEN_LOOKS;
    while (done + 1 < count && is_posting_done(&board->postings[done].all))
        done++;
    ff_board_forget(board, done);
}

int ff_items_post(struct forkfold_call *call, uint64_t first, uint64_t count)
{
    struct ff_items *items = &call->pool->items;
    int code = ff_call_post(call->pool,
                            (struct ff_task){.first = items->next_item,
                                             .count = count,
                                             .owner = call->owner,
                                             .serial = call->serial,
                                             .index = first},
                            call->chunk);

    if (code < 0)
        return code;
    items->next_item += count;
    forget_postings(call->pool);
    if (call->posted < first + count)
        call->posted = first + count;
    return 0;
}

/* ---- The course of calls ------------------------------------------------- */

void ff_items_publish_shortest(const forkfold_pool *pool)
{
    struct ff_control_shared *control = pool->layout.control;
    uint64_t before = ff_peer_get(&control->shortest_ns);
    uint64_t shortest = 0;

    for (const struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->status == FF_CALL_RUNNING && call->options.timeout_ns != 0 &&
            (shortest == 0 || call->options.timeout_ns < shortest))
            shortest = call->options.timeout_ns;
    if (shortest == before)
        return;
    ff_publish(&control->shortest_ns, shortest);
    /* An alarm that comes too early is harmless, and set anew then; one that comes late is not. */
    if (shortest != 0 && (before == 0 || shortest < before))
        ff_doorbell_ring(pool->layout.supervisor_bell);
}

void ff_items_settle_call(struct forkfold_call *call, enum ff_call_status status)
{
    forkfold_pool *pool = call->pool;

    call->status = status;
    call->callback_due = true;
    ff_items_note_end(call);
    if (call->options.timeout_ns != 0)
        ff_items_publish_shortest(pool);
    if (pool->items.has_event_loop)
        ff_doorbell_ring(pool->layout.driver_bell);
}

/* Whether its items are in the engine's call that is in progress. */
static bool is_in_progress(const struct forkfold_call *call)
{
    return call->pool->items.is_open && call->engine_call == call->pool->sequence;
}

void ff_items_end_call(struct forkfold_call *call, int code, const char *format, ...)
{
    forkfold_pool *pool = call->pool;
    va_list arguments;

    if (call->status != FF_CALL_RUNNING)
        return;
    call->code = code;
    va_start(arguments, format);
    vsnprintf(call->message, sizeof(call->message), format, arguments);
    va_end(arguments);
    ff_items_settle_call(call, FF_CALL_ENDED);
    if (call->owner == NULL || !is_in_progress(call))
        return;
    ff_publish(&call->owner->cancelled, 1);
    /* A worker stores `current` and then reads `cancelled`: it sees this, or is seen on its item. */
    ff_barrier_send();
    ff_doorbell_ring(pool->layout.supervisor_bell);
}

/* The engine's call has ended, and all calls with it. */
static void end_all(forkfold_pool *pool, int code)
{
    char message[sizeof(pool->error.message)];

    snprintf(message, sizeof(message), "%s", pool->error.message);
    ff_call_abort(pool);
    pool->items.is_open = false;
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        ff_items_end_call(call, code, "%s", message);
    ff_error_set(&pool->error, code, "%s", message);
}

void ff_items_abandon(forkfold_pool *pool)
{
    if (pool->items.is_open)
        end_all(pool, ff_error_set(&pool->error, FORKFOLD_E_SUPERVISOR, "the pool was stopped"));
}

/* How far the items are published from the first on. */
static void advance(struct forkfold_call *call)
{
    const unsigned char *states = (const unsigned char *)call->owner->states;
    const unsigned char *pending;

    if (call->settled == call->posted)
        return;
    pending = memchr(states + call->settled, FF_ITEM_PENDING, call->posted - call->settled);
    call->settled = pending != NULL ? (uint64_t)(pending - states) : call->posted;
    /* Partner: set_state() in items_job.c.  What has been published before is visible behind this. */
    ff_observe_all();
}

/* Whether no worker is on any of its items, or will be, now that nothing more is posted. */
static bool is_drained(struct forkfold_call *call)
{
    const struct ff_item_owner *owner = call->owner;

    if (!is_in_progress(call))
        return true;
    if (call->kind == FF_CALL_MAP) {
        advance(call);
        return call->settled == call->posted;
    }
    for (uint64_t i = call->settled; i < call->posted; i++)
        if (ff_observe8(&owner->states[i % owner->window]) == FF_ITEM_PENDING)
            return false;
    return true;
}

static bool is_idle(void *call)
{
    return ((struct forkfold_call *)call)->owner == NULL || is_drained(call);
}

void ff_items_drain_call(struct forkfold_call *call)
{
    while (!is_idle(call))
        ff_items_sleep(call->pool, is_idle, call, UINT64_MAX);
}

static void look_at_map(struct forkfold_call *call)
{
    if (call->owner == NULL || !is_in_progress(call))
        return;
    advance(call);
    if (call->settled < call->options.count)
        return;
    /* Now that all states are there. */
    ff_items_read_failures(call->pool);
    ff_items_complete_failures(call, 0, call->options.count);
    if (call->status == FF_CALL_RUNNING &&
        (call->options.stop_on_failure == 0 || call->failure_count == 0))
        ff_items_settle_call(call, FF_CALL_FINISHED);
}

static void look_at(struct forkfold_call *call)
{
    if (call->status == FF_CALL_RUNNING && call->kind == FF_CALL_MAP)
        look_at_map(call);
    if (call->status == FF_CALL_RUNNING && call->options.stop_on_failure != 0 &&
        call->failure_count > 0)
        ff_items_end_call(call, FORKFOLD_E_STOPPED, "item %llu failed: %s",
                          (unsigned long long)call->failures[0].index, call->failures[0].detail);
    if (call->status == FF_CALL_RUNNING && call->deadline_at_ns != 0 &&
        ff_call_clock_ns(call->pool) >= call->deadline_at_ns)
        ff_items_end_call(call, FORKFOLD_E_DEADLINE,
                          "the deadline passed before all items were done");
}

/* Calls that the host has closed go when nobody is at them any more. */
static void free_closed(forkfold_pool *pool)
{
    struct forkfold_call *next;

    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = next) {
        next = call->next;
        if (call->is_closed && call->holds == 0 && is_idle(call))
            free_call(call);
    }
    give_retired(pool);
}

/* Claims beyond what was posted cannot be: a worker wrote where it should not. */
static bool cursors_are_sound(const forkfold_pool *pool)
{
    const struct ff_board *board = &pool->layout.boards[FF_MAIN];
    uint64_t next = ff_observe(&board->cursor->next);

    return next <= ff_board_posted(board);
}

void ff_items_look(forkfold_pool *pool)
{
    if (!ff_pool_is_here(pool))
        return;
    if (pool->items.is_open && !cursors_are_sound(pool))
        end_all(pool, ff_error_set(&pool->error, FORKFOLD_E_DAMAGED,
                                   "a worker damaged the list of tasks; there is no result"));
    if (pool->items.is_open)
        ff_items_read_failures(pool);
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        look_at(call);
    free_closed(pool);
}

void ff_items_call_back(forkfold_pool *pool)
{
    struct forkfold_call *call = pool->items.calls;

    if (pool->items.in_callback)
        return;
    pool->items.in_callback = true;
    while (call != NULL) {
        if (!call->callback_due || call->is_closed) {
            call = call->next;
            continue;
        }
        call->callback_due = false;
        if (call->status == FF_CALL_FINISHED && call->options.on_done != NULL)
            call->options.on_done(call, call->options.user);
        else if (call->status == FF_CALL_ENDED && call->options.on_error != NULL)
            call->options.on_error(call, call->code, call->options.user);
        /* It may have closed this call or others, or begun new ones. */
        call = pool->items.calls;
    }
    pool->items.in_callback = false;
}

/* ---- Waiting ------------------------------------------------------------- */

static uint64_t earliest_deadline(const forkfold_pool *pool)
{
    uint64_t earliest = UINT64_MAX;

    /* NOLINTBEGIN(clang-analyzer-unix.Malloc): what free_call frees is not in the list any more */
    for (const struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->status == FF_CALL_RUNNING && call->deadline_at_ns != 0 &&
            call->deadline_at_ns < earliest)
            earliest = call->deadline_at_ns;
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
    return earliest == UINT64_MAX ? earliest
                                  : earliest + ff_peer_get(&pool->layout.control->paused_ns);
}

static void arm(const forkfold_pool *pool, uint64_t until_ns)
{
    uint64_t deadline = earliest_deadline(pool);
    uint64_t at = deadline < until_ns ? deadline : until_ns;

    ff_alarm_set(pool->alarm, at == UINT64_MAX ? 0 : at);
}

/* Grows with whatever is posted, again or for the first time, and with whatever is claimed. */
static uint64_t progress_of(const forkfold_pool *pool)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        sum += ff_board_posted(&pool->layout.boards[i]) +
               ff_peer_get(&pool->layout.boards[i].cursor->next);
    return sum;
}

/*
 * Nobody works, nothing is to be claimed, and yet items are not done: the supervisor has to look,
 * once for each time that it comes to this.
 */
static void doubt(forkfold_pool *pool)
{
    struct ff_control_shared *control = pool->layout.control;
    uint64_t progress;

    for (unsigned i = 0; i < pool->layout.workers; i++)
        if (ff_recheck(&pool->layout.segments[i].head->joined) == pool->sequence &&
            ff_recheck(&pool->layout.segments[i].head->sleeping) == 0)
            return;
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        if (i != FF_ASSIGNED && ff_board_has_work(&pool->layout.boards[i]))
            return;
    progress = progress_of(pool);
    if (pool->items.doubted_at == progress)
        return;
    pool->items.doubted_at = progress;
    ff_publish(&control->doubts, ff_peer_get(&control->doubts) + 1);
    ff_doorbell_ring(pool->layout.supervisor_bell);
}

/*
 * How to listen this time.  After a burst of results the next ones are likely to come as fast, and
 * being woken for each would cost more than they do; so then the driver looks by itself after a
 * millisecond, and if the burst is over it wants to be told of each again.
 */
static enum ff_listening choose_listening(forkfold_pool *pool, uint64_t *until_ns)
{
    uint64_t taken = pool->items.taken_since;
    uint64_t look_ns;

    pool->items.taken_since = 0;
    if (taken < RESULTS_OF_A_BURST)
        return FF_LISTENS;
    look_ns = ff_clock_ns() + FF_NS_PER_MS;
    if (look_ns < *until_ns)
        *until_ns = look_ns;
    return FF_LISTENS_LAZILY;
}

static bool has_callbacks_due(const forkfold_pool *pool)
{
    for (const struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->callback_due && !call->is_closed)
            return true;
    return false;
}

void ff_items_sleep(forkfold_pool *pool, bool (*ready)(void *what), void *what, uint64_t until_ns)
{
    struct ff_control_shared *control = pool->layout.control;
    int code = 0;

    ff_announce(&control->listening, choose_listening(pool, &until_ns));
    ff_settle();
    ff_items_look(pool);
    if (pool->items.is_open && !ready(what)) {
        doubt(pool);
        arm(pool, until_ns);
        code = ff_call_step(pool, true);
    }
    pool->items.look_at_ns = UINT64_MAX;
    ff_announce(&control->listening, pool->items.has_event_loop ? FF_LISTENS : FF_LISTENS_NOT);
    ff_settle();
    if (code != 0)
        end_all(pool, code);
    ff_items_look(pool);
    /* A sleep that was cut short by the clock has taken the alarm with it. */
    if (pool->items.has_event_loop)
        ff_items_arm(pool);
    /* What the sleep has heard of other calls is for the host's own loop. */
    if (pool->items.has_event_loop && has_callbacks_due(pool))
        ff_doorbell_ring(pool->layout.driver_bell);
}

/* ---- Event loops --------------------------------------------------------- */

void ff_items_arm(const forkfold_pool *pool)
{
    arm(pool, pool->items.look_at_ns);
}

int forkfold_pool_fd(const forkfold_pool *pool)
{
    /* The handle is the host's own: what it is told changes what the workers do from now on. */
    forkfold_pool *changed = (forkfold_pool *)pool;

    if (!ff_pool_is_here(pool))
        return FORKFOLD_E_FORKED;
    changed->items.has_event_loop = true;
    ff_announce(&pool->layout.control->listening, FF_LISTENS);
    ff_settle();
    ff_items_look(changed);
    /* So that the loop comes round once, for what has happened before. */
    ff_doorbell_ring(pool->layout.driver_bell);
    return pool->epoll;
}

int forkfold_pool_dispatch(forkfold_pool *pool)
{
    int code = ff_call_check_alive(pool);

    if (code < 0)
        return code;
    if (pool->items.is_open) {
        code = ff_call_step(pool, false);
        if (code != 0)
            end_all(pool, code);
    } else {
        /* The descriptor must not stay readable for what concerns no call. */
        code = ff_call_handle(pool, false);
    }
    pool->items.look_at_ns = UINT64_MAX;
    if (pool->items.has_event_loop)
        ff_announce(&pool->layout.control->listening,
                    choose_listening(pool, &pool->items.look_at_ns));
    ff_settle();
    ff_items_look(pool);
    ff_items_arm(pool);
    ff_items_call_back(pool);
    return code < 0 ? code : 0;
}
