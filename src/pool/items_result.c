/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a call on items: reading its results. */
#include <forkfold/error.h>

#include "platform/clock.h"
#include "pool/call.h"
#include "pool/items.h"

/* A map has a slot for each item, and no need of a remainder, which takes as long as the rest. */
static uint64_t slot_of(const struct forkfold_call *call, uint64_t index)
{
    uint64_t window = call->owner->window;

    return index < window ? index : index % window;
}

static unsigned char state_of(const struct forkfold_call *call, uint64_t slot)
{
    /* Partner: set_state() in items_job.c, which writes the result before it. */
    return ff_observe8(&call->owner->states[slot]);
}

/* Results that vary were named by workers: they have to lie where workers may have put them. */
static bool is_in_segment(const forkfold_pool *pool, const struct ff_varying_result *varying)
{
    const struct ff_segment_areas *segments = pool->layout.segments;
    const struct ff_area *last = &segments[pool->layout.workers - 1].whole;
    uintptr_t first = (uintptr_t)segments[0].whole.base;
    uintptr_t end = (uintptr_t)last->base + last->bytes;
    uintptr_t data = (uintptr_t)varying->data;

    return data >= first && data <= end && varying->bytes <= end - data;
}

void ff_items_fill_result(const struct forkfold_call *call, uint64_t index, forkfold_result *result)
{
    const struct ff_item_owner *owner = call->owner;
    uint64_t slot = slot_of(call, index);

    *result = (forkfold_result){.index = index, .failed = state_of(call, slot) == FF_ITEM_REFUSED};
    if (result->failed)
        return;
    if (owner->results_vary) {
        const struct ff_varying_result *varying =
            (const struct ff_varying_result *)(const void *)owner->results + slot;

        /* One that was never reserved is empty. */
        if (varying->data == NULL)
            return;
        result->failed = !is_in_segment(call->pool, varying);
        if (result->failed)
            return;
        result->data = varying->data;
        result->bytes = varying->bytes;
    } else if (owner->result_bytes > 0) {
        result->data = owner->results + slot * owner->result_bytes;
        result->bytes = owner->result_bytes;
    }
}

int forkfold_call_result(const forkfold_call *call, uint64_t index, forkfold_result *result)
{
    int code = ff_call_check_process(call->pool);

    if (code < 0)
        return code;
    if (result == NULL)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID, "a result needs a place to go");
    if (call->kind != FF_CALL_MAP || call->status != FF_CALL_FINISHED ||
        index >= call->options.count)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "the call has no result %llu: %s", (unsigned long long)index,
                            call->kind != FF_CALL_MAP ? "the results of an imap are read in turn"
                            : call->status != FF_CALL_FINISHED ? "it is not done"
                                                               : "it has fewer items");
    ff_items_fill_result(call, index, result);
    return 0;
}

const void *forkfold_call_results(const forkfold_call *call)
{
    /* In a forked child there is nothing of it but the handle. */
    if (!ff_pool_is_here(call->pool) || call->kind != FF_CALL_MAP ||
        call->status != FF_CALL_FINISHED || call->owner == NULL || call->owner->results_vary)
        return NULL;
    return call->owner->results;
}

/* The slot of the result that was read last is free. */
static void release_current(struct forkfold_call *call)
{
    struct ff_item_owner *owner = call->owner;

    if (!call->has_current)
        return;
    call->has_current = false;
    ff_own_set8(&owner->states[slot_of(call, call->current)], FF_ITEM_TAKEN);
    while (call->settled < call->posted &&
           state_of(call, slot_of(call, call->settled)) == FF_ITEM_TAKEN &&
           call->settled - ff_peer_get(&owner->floor) < owner->window)
        call->settled++;
    ff_publish(&owner->floor, call->settled);
}

/* The next result, in order or as it came; false when there is none yet. */
static bool find_result(struct forkfold_call *call)
{
    uint64_t from = call->kind == FF_CALL_IMAP ? call->settled : call->scan;
    uint64_t end = call->kind == FF_CALL_IMAP ? call->settled + 1 : call->posted;

    if (from < call->settled)
        from = call->settled;
    if (end > call->posted)
        end = call->posted;
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = from; i < end; i++) {
            unsigned char state = state_of(call, slot_of(call, i));

            if (state == FF_ITEM_PUBLISHED || state == FF_ITEM_REFUSED) {
                call->current = i;
                call->scan = i + 1;
                return true;
            }
        }
        end = call->kind == FF_CALL_IMAP ? 0 : from;
        from = call->settled;
    }
    return false;
}

static bool has_result_or_end(void *what)
{
    struct forkfold_call *call = what;

    return call->status != FF_CALL_RUNNING || find_result(call);
}

/* Sleeps until there is a result, or an end, or it is until_ns.  Returns which. */
static bool await_result(struct forkfold_call *call, uint64_t until_ns)
{
    while (!has_result_or_end(call)) {
        if (until_ns != UINT64_MAX && ff_clock_ns() >= until_ns)
            return false;
        ff_items_sleep(call->pool, has_result_or_end, call, until_ns);
    }
    return true;
}

static int take_next(struct forkfold_call *call, forkfold_result *result, uint64_t until_ns)
{
    int code;

    release_current(call);
    if (call->taken == call->options.count) {
        ff_items_settle_call(call, FF_CALL_FINISHED);
        return 0;
    }
    code = ff_items_refill(call);
    if (code < 0) {
        ff_items_end_call(call, code, "%s", call->pool->error.message);
        return code;
    }
    if (!await_result(call, until_ns))
        return FORKFOLD_E_PENDING;
    if (call->status == FF_CALL_ENDED)
        return ff_items_outcome(call);
    ff_items_fill_result(call, call->current, result);
    if (result->failed) {
        ff_items_look(call->pool);
        ff_items_complete_failures(call, call->current, call->current + 1);
    }
    if (call->status == FF_CALL_ENDED)
        return ff_items_outcome(call);
    call->has_current = true;
    call->taken++;
    call->pool->items.taken_since++;
    return 1;
}

int forkfold_call_next(forkfold_call *call, forkfold_result *result)
{
    return forkfold_call_next_within(call, result, UINT64_MAX);
}

int forkfold_call_next_within(forkfold_call *call, forkfold_result *result, uint64_t timeout_ns)
{
    uint64_t now = timeout_ns == 0 || timeout_ns == UINT64_MAX ? 0 : ff_clock_ns();
    uint64_t until_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    int code = ff_call_check(call->pool);

    if (code < 0)
        return code;
    if (call->kind == FF_CALL_MAP)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "only the results of an imap are read in turn");
    if (result == NULL)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID, "a result needs a place to go");
    if (call->status == FF_CALL_ENDED)
        return ff_items_outcome(call);
    if (call->status == FF_CALL_FINISHED)
        return 0;
    /* What the host watches may close the call while this sleeps, and so may callbacks. */
    ff_items_hold(call);
    code = take_next(call, result, until_ns);
    if (code <= 0 && code != FORKFOLD_E_PENDING)
        ff_items_call_back_quietly(call->pool);
    (void)ff_items_let_go(call);
    return code;
}
