/* SPDX-License-Identifier: Apache-2.0 */
/* Why items failed: what their functions said, and what the supervisor found out. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "pool/call.h"
#include "pool/failure.h"
#include "pool/items.h"
#include "pool/shared_array.h"

/* Notes come from workers: the owner they name is looked for, not believed. */
static struct forkfold_call *find_call(const forkfold_pool *pool, const void *owner,
                                       uint64_t serial)
{
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->owner == owner && call->serial == serial)
            return call;
    return NULL;
}

static void free_texts(const forkfold_item_failure *failure)
{
    free((char *)failure->detail);
    free((char *)failure->backtrace);
    free((char *)failure->text);
}

/* Appends to a list; false without memory. */
static bool append(forkfold_item_failure **list, size_t *count, size_t *capacity,
                   const forkfold_item_failure *failure)
{
    if (*count == *capacity) {
        size_t wanted = *capacity > 0 ? *capacity * 2 : 8;
        void *grown = realloc(*list, wanted * sizeof(**list));

        if (grown == NULL)
            return false;
        *list = grown;
        *capacity = wanted;
    }
    (*list)[(*count)++] = *failure;
    return true;
}

static void fail_for_memory(struct forkfold_call *call, const forkfold_item_failure *failure)
{
    free_texts(failure);
    ff_items_end_call(call, FORKFOLD_E_MEMORY, "no memory for the list of failed items");
}

/*
 * Where the failure of an item is, or would be; there are places.  By a hash, which takes memory for
 * the items that failed and not for those before them.
 */
static size_t *find_place(const struct forkfold_call *call, uint64_t index)
{
    size_t mask = call->failure_place_count - 1;
    size_t at = (size_t)(index * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;

    while (call->failure_places[at] != 0 &&
           call->failures[call->failure_places[at] - 1].index != index)
        at = (at + 1) & mask;
    return &call->failure_places[at];
}

/* The number of the item's failure, plus 1; 0 while none is known. */
static size_t find_failure(const struct forkfold_call *call, uint64_t index)
{
    return call->failure_place_count > 0 ? *find_place(call, index) : 0;
}

/* Room for one more; false without memory. */
static bool has_place(struct forkfold_call *call)
{
    size_t count = call->failure_place_count > 0 ? call->failure_place_count * 2 : 16;
    size_t *places;

    if ((call->failure_count + 1) * 2 <= call->failure_place_count)
        return true;
    places = calloc(count, sizeof(*places));
    if (places == NULL)
        return false;
    free(call->failure_places);
    call->failure_places = places;
    call->failure_place_count = count;
    for (size_t i = 0; i < call->failure_count; i++)
        *find_place(call, call->failures[i].index) = i + 1;
    return true;
}

/* Once for each item.  Texts become the call's own. */
static void add_failure(struct forkfold_call *call, const forkfold_item_failure *failure)
{
    if (find_failure(call, failure->index) != 0) {
        free_texts(failure);
        return;
    }
    if (failure->detail == NULL || !has_place(call) ||
        !append(&call->failures, &call->failure_count, &call->failure_capacity, failure)) {
        fail_for_memory(call, failure);
        return;
    }
    *find_place(call, failure->index) = call->failure_count;
}

/* A worker may have died between the note and the state: then the item is run again. */
static void take_note(forkfold_pool *pool, unsigned slot, const struct ff_item_note *note)
{
    struct forkfold_call *call = find_call(pool, note->owner, note->serial);
    forkfold_item_failure failure = {.index = note->index,
                                     .reason = FORKFOLD_REASON_ERROR,
                                     .attempts = note->attempts,
                                     .worker = slot,
                                     .code = note->code,
                                     .exit_code = -1};

    if (call == NULL || note->index >= call->posted)
        return;
    failure.detail = ff_failure_text("%.*s", (int)sizeof(note->detail) - 1, note->detail);
    if (failure.detail == NULL ||
        !append(&call->unsure, &call->unsure_count, &call->unsure_capacity, &failure))
        fail_for_memory(call, &failure);
}

static unsigned char state_of(const struct forkfold_call *call, uint64_t index)
{
    /* Before the window, it has been read: as a result, or as a failure that is known. */
    if (index < ff_peer_get(&call->owner->floor))
        return FF_ITEM_TAKEN;
    return ff_observe8(&call->owner->states[index % call->owner->window]);
}

/* Believes the notes of items whose states say that they failed. */
static void judge_unsure(struct forkfold_call *call)
{
    size_t kept = 0;

    for (size_t i = 0; i < call->unsure_count; i++) {
        unsigned char state = state_of(call, call->unsure[i].index);

        if (state == FF_ITEM_PENDING)
            call->unsure[kept++] = call->unsure[i];
        else if (state == FF_ITEM_REFUSED)
            add_failure(call, &call->unsure[i]);
        else
            free_texts(&call->unsure[i]);
    }
    call->unsure_count = kept;
}

static void read_notes(forkfold_pool *pool, unsigned slot)
{
    const struct ff_segment_areas *areas = &pool->layout.segments[slot];
    uint64_t *read = &pool->items.notes_read[slot];
    uint64_t count;

    if (ff_observe(&areas->head->call) != pool->sequence)
        return;
    count = ff_observe(&areas->head->note_count);
    if (count > areas->note_capacity)
        count = areas->note_capacity;
    for (; *read < count; ++*read)
        take_note(pool, slot, &areas->notes[*read]);
}

static char *text_of(const struct ff_crash *crash)
{
    uint64_t bytes = ff_peer_get(&crash->text_bytes);

    if (bytes == 0 || bytes > sizeof(crash->text))
        return NULL;
    return ff_failure_text("%.*s", (int)bytes, crash->text);
}

static void take_record(forkfold_pool *pool, const struct ff_quarantine *record)
{
    struct forkfold_call *call = find_call(pool, record->owner, record->serial);

    if (call == NULL)
        return;
    if (pool->items.symbols == NULL)
        pool->items.symbols = ff_symbols_open();
    add_failure(call, &(forkfold_item_failure){
                          .index = record->index,
                          .reason = (enum forkfold_reason)record->reason,
                          .detail = ff_shared_file_describe(pool, record),
                          .attempts = record->attempts,
                          .worker = record->slot,
                          .signal = record->signal,
                          .exit_code = record->exit_code,
                          .has_address = record->crash.has_address,
                          .address = record->crash.address,
                          .backtrace = ff_backtrace_text(pool->items.symbols, &record->crash),
                          .text = text_of(&record->crash)});
    /* No worker will run it any more, so its state is the driver's to write. */
    ff_publish8(&call->owner->states[record->index % call->owner->window], FF_ITEM_REFUSED);
}

void ff_items_read_failures(forkfold_pool *pool)
{
    uint64_t count = ff_observe(&pool->layout.supervisor->quarantined);

    for (unsigned slot = 0; slot < pool->layout.workers; slot++)
        read_notes(pool, slot);
    for (; pool->items.quarantined_read < count; pool->items.quarantined_read++)
        take_record(pool, &pool->layout.quarantine[pool->items.quarantined_read]);
    for (struct forkfold_call *call = pool->items.calls; call != NULL; call = call->next)
        if (call->unsure_count > 0)
            judge_unsure(call);
}

/* ---- Failures without a note --------------------------------------------- */

static void complete_failure(struct forkfold_call *call, uint64_t index)
{
    if (state_of(call, index) != FF_ITEM_REFUSED || find_failure(call, index) != 0)
        return;
    add_failure(call, &(forkfold_item_failure){
                          .index = index,
                          .reason = FORKFOLD_REASON_ERROR,
                          .detail = ff_failure_text("it failed; there was no room to say why"),
                          .attempts = 1,
                          .exit_code = -1});
}

void ff_items_complete_failures(struct forkfold_call *call, uint64_t first, uint64_t end)
{
    const unsigned char *states = (const unsigned char *)call->owner->states;

    if (call->kind != FF_CALL_MAP) {
        for (; first < end; first++)
            complete_failure(call, first);
        return;
    }
    /* All of a map's states lie side by side, and few items fail. */
    while (first < end) {
        const unsigned char *found = memchr(states + first, FF_ITEM_REFUSED, end - first);

        if (found == NULL)
            return;
        first = (uint64_t)(found - states);
        complete_failure(call, first++);
    }
}

void ff_items_free_failures(struct forkfold_call *call)
{
    for (size_t i = 0; i < call->failure_count; i++)
        free_texts(&call->failures[i]);
    for (size_t i = 0; i < call->unsure_count; i++)
        free_texts(&call->unsure[i]);
    free(call->failures);
    free(call->unsure);
    free(call->failure_places);
}

/* ---- What the host reads ------------------------------------------------- */

size_t forkfold_call_failure_count(const forkfold_call *call)
{
    return call->failure_count;
}

const forkfold_item_failure *forkfold_call_failure(const forkfold_call *call, size_t number)
{
    return number < call->failure_count ? &call->failures[number] : NULL;
}

const forkfold_item_failure *forkfold_call_failure_of(const forkfold_call *call, uint64_t index)
{
    size_t number = find_failure(call, index);

    return number > 0 ? &call->failures[number - 1] : NULL;
}
