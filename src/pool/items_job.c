/* SPDX-License-Identifier: Apache-2.0 */
/* Items in a worker: finding their arguments, running their function, publishing what it says. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/clock.h"
#include "platform/kill_point.h"
#include "platform/map.h"
#include "pool/items.h"
#include "pool/queues.h"

/* Memory for results that vary comes in pieces of so much, or of what a single result needs. */
enum { PIECE_BYTES = 256 * 1024, RESULT_ALIGNMENT = 16 };

/* Of many large results each has a piece: not all are looked at for each. */
enum { PIECES_LOOKED_AT = 64 };

struct items_state {
    struct ff_worker *worker;
    uint64_t next_piece;               /* where to look for a free one */
    const struct ff_item_owner *owner; /* of the item that is being run, or was last */
    uint64_t serial;                   /* likewise */
    struct ff_varying_result varying;  /* its result, so far */
    uint64_t index;
    uint64_t blamed;                           /* how often deaths were blamed on it before */
    bool has_note;                             /* of the item, not yet published */
    uint64_t last_index;                       /* of the task; this and these only if it measures */
    uint64_t measured_ns;                      /* up to when it is counted as busy */
    uint64_t cpu_ns;                           /* used when the task began */
    struct ff_area open[FORKFOLD_OUTPUTS_MAX]; /* shared arrays that can be written now */
    unsigned open_count;
};

/* What the function is given, and what forkfold_item_* find behind it. */
struct running_item {
    forkfold_item item;
    struct items_state *state;
};

/* Whether the words of a piece are such as a worker writes. */
static bool is_sound(const struct ff_item_piece *piece, const struct ff_area *output,
                     const struct ff_area *owners)
{
    uint64_t place = (uintptr_t)piece->base - (uintptr_t)output->base;
    uint64_t owner = ff_peer_get(&piece->owner) - (uintptr_t)owners->base;

    return place <= output->bytes && piece->bytes <= output->bytes - place &&
           ff_peer_get(&piece->used) <= piece->bytes && owner < owners->bytes &&
           owner % sizeof(struct ff_item_owner) == 0;
}

/*
 * The worker before this one may have written anything over its list of pieces before it died: no
 * item that follows is to suffer from it.  Of such a list nothing is used again; its memory comes
 * back when the engine's call ends.
 */
static void check_pieces(const struct ff_worker *worker)
{
    const struct ff_segment_areas *areas = ff_worker_areas(worker);
    uint64_t count = ff_peer_get(&areas->head->piece_count);
    bool sound = count <= areas->piece_capacity;

    for (uint64_t i = 0; i < count && sound; i++)
        sound = is_sound(&areas->pieces[i], &areas->output, &ff_worker_layout(worker)->owners);
    if (!sound)
        ff_own_set(&areas->head->piece_count, 0);
}

static int items_attach(struct ff_worker *worker, const void *context, void **result)
{
    struct items_state *state = calloc(1, sizeof(*state));

    (void)context;
    if (state == NULL)
        return FORKFOLD_E_MEMORY;
    state->worker = worker;
    check_pieces(worker);
    *result = state;
    return 0;
}

/* What could be written can only be read again.  0 or -1 with errno. */
static int close_outputs(struct items_state *state)
{
    int failed = 0;

    while (state->open_count > 0) {
        const struct ff_area *area = &state->open[--state->open_count];

        if (ff_worker_has_area(state->worker, area))
            failed |= ff_map_read_only(area->base, area->bytes);
    }
    return failed;
}

static void items_detach(void *pointer)
{
    struct items_state *state = pointer;

    (void)close_outputs(state);
    free(state);
}

/* ---- Results that vary --------------------------------------------------- */

static struct ff_segment *head_of(const struct items_state *state)
{
    return ff_worker_areas(state->worker)->head;
}

static struct ff_item_piece *piece_at(const struct items_state *state, uint64_t number)
{
    return &ff_worker_areas(state->worker)->pieces[number];
}

/*
 * A piece is free again when its owner is gone, or has no use for the newest result in it: older
 * ones went before, for windows only move up.
 */
static bool is_free(const struct ff_item_piece *piece)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a word that the next worker finds in one piece */
    const struct ff_item_owner *owner = (const void *)(uintptr_t)ff_peer_get(&piece->owner);

    return ff_observe(&owner->serial) != ff_peer_get(&piece->serial) ||
           ff_observe(&owner->floor) > ff_peer_get(&piece->newest);
}

static bool has_room(const struct items_state *state, const struct ff_item_piece *piece,
                     size_t bytes)
{
    return ff_peer_get(&piece->serial) == state->serial &&
           ff_peer_get(&piece->owner) == (uintptr_t)state->owner &&
           piece->bytes - ff_peer_get(&piece->used) >= bytes;
}

/* A worker that dies in here leaves a piece that is free, or in use until its owner is gone. */
static void take_over(const struct items_state *state, struct ff_item_piece *piece)
{
    ff_own_set(&piece->newest, UINT64_MAX);
    ff_keep_order();
    ff_own_set(&piece->owner, (uintptr_t)state->owner);
    ff_own_set(&piece->serial, state->serial);
    ff_keep_order();
    ff_own_set(&piece->used, 0);
    ff_keep_order();
    ff_own_set(&piece->newest, 0);
}

/* A piece with room for the result of the item that is being run, or NULL. */
static struct ff_item_piece *find_piece(struct items_state *state, size_t bytes)
{
    uint64_t count = ff_peer_get(&head_of(state)->piece_count);

    /* No remainders, which take as long as a small function. */
    if (state->next_piece >= count)
        state->next_piece = 0;
    if (count > 0 && has_room(state, piece_at(state, state->next_piece), bytes))
        return piece_at(state, state->next_piece);
    for (uint64_t i = 0; i < count && i < PIECES_LOOKED_AT; i++) {
        struct ff_item_piece *piece;

        state->next_piece = state->next_piece + 1 < count ? state->next_piece + 1 : 0;
        piece = piece_at(state, state->next_piece);
        if (has_room(state, piece, bytes))
            return piece;
        if (piece->bytes >= bytes && is_free(piece)) {
            take_over(state, piece);
            return piece;
        }
    }
    return NULL;
}

static struct ff_item_piece *add_piece(struct items_state *state, size_t bytes)
{
    size_t size = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;
    ff_word64 *count = &head_of(state)->piece_count;
    uint64_t number = ff_peer_get(count);
    struct ff_item_piece *piece = piece_at(state, number);
    char *base;

    if (number >= ff_worker_areas(state->worker)->piece_capacity)
        return NULL;
    base = ff_worker_output(state->worker, size);
    if (base == NULL)
        return NULL;
    piece->base = base;
    piece->bytes = size;
    take_over(state, piece);
    /* A death before this costs the memory until the engine's call ends. */
    ff_publish(count, number + 1);
    state->next_piece = number;
    return piece;
}

void *forkfold_item_reserve(const forkfold_item *item, size_t bytes)
{
    struct items_state *state = ((const struct running_item *)(const void *)item)->state;
    size_t rounded = (bytes + RESULT_ALIGNMENT - 1) & ~(size_t)(RESULT_ALIGNMENT - 1);
    struct ff_item_piece *piece;
    uint64_t used;

    if (!state->owner->results_vary || rounded < bytes)
        return NULL;
    if (rounded == 0)
        rounded = RESULT_ALIGNMENT;
    piece = find_piece(state, rounded);
    if (piece == NULL)
        piece = add_piece(state, rounded);
    if (piece == NULL)
        return NULL;
    used = ff_peer_get(&piece->used);
    ff_own_set(&piece->used, used + rounded);
    if (state->index > ff_peer_get(&piece->newest))
        ff_own_set(&piece->newest, state->index);
    state->varying = (struct ff_varying_result){.data = piece->base + used, .bytes = bytes};
    return piece->base + used;
}

/* ---- Failures ------------------------------------------------------------ */

/* Where the next note goes, or NULL when there is no room for more. */
static struct ff_item_note *next_note(const struct items_state *state)
{
    const struct ff_segment_areas *areas = ff_worker_areas(state->worker);
    uint64_t count = ff_peer_get(&areas->head->note_count);

    return count < areas->note_capacity ? &areas->notes[count] : NULL;
}

static void write_note(struct items_state *state, const char *format, va_list arguments)
{
    struct ff_item_note *note = next_note(state);

    if (note == NULL)
        return;
    *note = (struct ff_item_note){.owner = state->owner,
                                  .serial = state->serial,
                                  .index = state->index,
                                  .attempts = (uint32_t)state->blamed + 1};
    vsnprintf(note->detail, sizeof(note->detail), format, arguments);
    state->has_note = true;
}

int forkfold_item_fail(const forkfold_item *item, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_note(((const struct running_item *)(const void *)item)->state, format, arguments);
    va_end(arguments);
    return 1;
}

static void note_silently(struct items_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note_silently(struct items_state *state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_note(state, format, arguments);
    va_end(arguments);
}

/* Before the state of the item, so that who sees that finds the note. */
static void publish_note(struct items_state *state, int code)
{
    const struct ff_segment_areas *areas = ff_worker_areas(state->worker);
    struct ff_item_note *note = next_note(state);

    if (!state->has_note)
        note_silently(state, "the function returned %d", code);
    if (note == NULL)
        return;
    note->code = code;
    FF_KILL_POINT("worker.items.note");
    ff_publish(&areas->head->note_count, ff_peer_get(&areas->head->note_count) + 1);
}

/* ---- Running ------------------------------------------------------------- */

static void set_argument(forkfold_item *item, unsigned number, const struct ff_argument *argument,
                         uint64_t slot)
{
    uint64_t place = argument->by_slot ? slot : item->index;

    if (argument->batches != NULL) {
        item->arguments[number] = argument->batches[slot].data;
        item->argument_bytes[number] = argument->batches[slot].bytes;
    } else if (argument->offsets != NULL) {
        item->arguments[number] = argument->data + argument->offsets[place];
        item->argument_bytes[number] =
            (size_t)(argument->offsets[place + 1] - argument->offsets[place]);
    } else {
        item->arguments[number] = argument->data + place * argument->item_bytes;
        item->argument_bytes[number] = argument->item_bytes;
    }
}

static void set_state(const struct ff_item_owner *owner, uint64_t slot, enum ff_item_state state)
{
    FF_KILL_POINT("worker.items.written");
    /* Partner: the driver, which reads the result after it. */
    ff_publish8(&owner->states[slot], (unsigned char)state);
    FF_KILL_POINT("worker.items.published");
}

/* Publishes what the function has said of the item, other than that all is well. */
static void refuse(struct items_state *state, uint64_t slot, int code)
{
    publish_note(state, code);
    set_state(state->owner, slot, FF_ITEM_REFUSED);
    /* The first failure may end the call, however long the items of others take. */
    if (state->owner->stops_on_failure)
        ff_worker_notify(state->worker, true);
}

/* Publishes a result that varies in size. */
static void publish_varying(struct items_state *state, uint64_t slot)
{
    ((struct ff_varying_result *)(void *)state->owner->results)[slot] = state->varying;
    set_state(state->owner, slot, FF_ITEM_PUBLISHED);
}

/* What the function has taken from queues and not acknowledged. */
static void return_batches(struct ff_worker *worker)
{
    struct ff_queue_holds *holds = ff_worker_queue_holds(worker);

    if (holds->count > 0)
        ff_queues_return(ff_worker_layout(worker), holds);
}

static struct ff_item_stats *stats_of(const struct items_state *state)
{
    return &state->owner->stats[ff_worker_slot(state->worker)];
}

static void count(ff_word64 *total, uint64_t amount)
{
    ff_own_set(total, ff_peer_get(total) + amount);
}

/*
 * All that is measured of an item is written before its state: the driver may read it when it has
 * seen the last one.
 */
static void measure_item(struct items_state *state, uint64_t begun)
{
    const struct ff_item_owner *owner = state->owner;
    struct ff_item_stats *stats = stats_of(state);
    uint64_t now = ff_clock_ns();

    count(&stats->function_ns, now - begun);
    count(&stats->busy_ns, now - state->measured_ns);
    count(&stats->items, 1);
    count(&stats->result_bytes, owner->results_vary ? state->varying.bytes : owner->result_bytes);
    if (state->index == state->last_index) {
        count(&stats->cpu_ns, ff_clock_cpu_ns() - state->cpu_ns);
        count(&stats->tasks, 1);
    }
    state->measured_ns = now;
    ff_own_set(&stats->last_ns, now);
}

static int call_function(struct running_item *running)
{
    const struct ff_item_owner *owner = running->state->owner;
    uint64_t begun;
    int code;

    if (owner->stats == NULL)
        return owner->function(&running->item);
    begun = ff_clock_ns();
    code = owner->function(&running->item);
    measure_item(running->state, begun);
    return code;
}

static void run_function(struct running_item *running, uint64_t slot)
{
    struct items_state *state = running->state;
    const struct ff_item_owner *owner = state->owner;
    int code;

    for (unsigned i = 0; i < owner->argument_count; i++)
        set_argument(&running->item, i, &owner->arguments[i], slot);
    if (owner->result_bytes > 0)
        running->item.result = owner->results + slot * owner->result_bytes;
    state->index = running->item.index;
    state->has_note = false;
    state->varying = (struct ff_varying_result){0};
    code = call_function(running);
    return_batches(state->worker);
    if (code != 0)
        refuse(state, slot, code);
    else if (owner->results_vary)
        publish_varying(state, slot);
    else
        set_state(owner, slot, FF_ITEM_PUBLISHED);
}

/* Not so an array in a file: there may be another file at its addresses by now. */
static bool is_in_memory(const struct items_state *state, const struct ff_area *area)
{
    const struct ff_area *shared = &ff_worker_layout(state->worker)->shared;

    return area->base >= shared->base && area->base < shared->base + shared->bytes;
}

/* Whether what the owner may write is just what can be written now. */
static bool are_open(const struct items_state *state, const struct ff_item_owner *owner)
{
    if (state->open_count != owner->output_count)
        return false;
    for (unsigned i = 0; i < owner->output_count; i++)
        if (state->open[i].base != owner->outputs[i].base ||
            state->open[i].bytes != owner->outputs[i].bytes ||
            !is_in_memory(state, &owner->outputs[i]))
            return false;
    return true;
}

/*
 * Between tasks of one owner its outputs stay open, and on to the next one if it has the same: two
 * system calls that take time for each page.
 */
static int change_outputs(struct items_state *state, const struct ff_item_owner *owner)
{
    int failed;

    if (are_open(state, owner))
        return 0;
    failed = close_outputs(state);
    for (unsigned i = 0; i < owner->output_count; i++) {
        state->open[state->open_count++] = owner->outputs[i];
        failed |= ff_map_read_write(owner->outputs[i].base, owner->outputs[i].bytes);
    }
    if (failed == 0)
        return 0;
    ff_worker_explain(state->worker, "cannot change the protection of shared arrays: %s",
                      strerror(errno));
    return FORKFOLD_E_SYSTEM;
}

/* The driver may wait for the owner that this worker goes on from. */
static int go_on_to(struct items_state *state, const struct ff_task *task)
{
    if (state->owner != NULL && state->serial == task->serial)
        return 0;
    ff_worker_tell_news(state->worker);
    state->owner = task->owner;
    state->serial = task->serial;
    return change_outputs(state, state->owner);
}

static void run_items(struct items_state *state, const struct ff_task *task)
{
    const struct ff_item_owner *owner = task->owner;
    struct running_item running = {.item = {.index = task->index,
                                            .array_count = owner->argument_count,
                                            .context = owner->context,
                                            .context_bytes = owner->context_bytes},
                                   .state = state};
    uint64_t slot = task->index % owner->window;

    state->blamed = task->blamed;
    for (uint64_t i = 0; i < task->count; i++) {
        ff_worker_enter_item(state->worker, task->first + i);
        /* A smeared cursor can hand out a task twice. */
        if (!ff_item_is_done(owner, task->serial, running.item.index)) {
            if (ff_observe(&owner->cancelled) != 0)
                set_state(owner, slot, FF_ITEM_DROPPED);
            else
                run_function(&running, slot);
        }
        if (owner->is_prompt)
            ff_worker_notify(state->worker, false);
        running.item.index++;
        slot = slot + 1 < owner->window ? slot + 1 : 0;
    }
}

static void begin_measuring(struct items_state *state, const struct ff_task *task)
{
    struct ff_item_stats *stats = stats_of(state);

    state->last_index = task->index + task->count - 1;
    state->measured_ns = ff_clock_ns();
    state->cpu_ns = ff_clock_cpu_ns();
    if (ff_peer_get(&stats->first_ns) == 0)
        ff_own_set(&stats->first_ns, state->measured_ns);
}

static int items_run_task(void *pointer, const struct ff_task *task)
{
    struct items_state *state = pointer;
    const struct ff_item_owner *owner = task->owner;
    int code;

    /* Nobody waits for what belongs to a call that is gone. */
    if (ff_observe(&owner->serial) != task->serial)
        return 0;
    code = go_on_to(state, task);
    if (code < 0)
        return code;
    if (owner->stats != NULL)
        begin_measuring(state, task);
    run_items(state, task);
    return 0;
}

/* ---- What the supervisor asks -------------------------------------------- */

bool ff_item_is_done(const struct ff_item_owner *owner, uint64_t serial, uint64_t index)
{
    uint64_t window;
    const ff_word8 *states;
    unsigned char state;

    if (ff_observe(&owner->serial) != serial || ff_observe(&owner->floor) > index)
        return true;
    window = owner->window;
    states = owner->states;
    ff_observe_all();
    /* Partner: give_owner() in items.c.  If the owner is the same as before, so were these two. */
    if (ff_peer_get(&owner->serial) != serial)
        return true;
    state = ff_observe8(&states[index < window ? index : index % window]);
    /*
     * Partner: ff_items_refill() in items_begin.c.  A slot that was emptied for another item is seen
     * by the floor.
     */
    return state != FF_ITEM_PENDING || ff_observe(&owner->floor) > index ||
           ff_observe(&owner->serial) != serial;
}

static bool items_is_done(const void *owner, uint64_t serial, uint64_t index)
{
    return ff_item_is_done(owner, serial, index);
}

static uint32_t items_attempts(const void *owner)
{
    return ((const struct ff_item_owner *)owner)->attempts;
}

static uint64_t items_timeout(const void *owner)
{
    return ((const struct ff_item_owner *)owner)->timeout_ns;
}

static bool items_is_cancelled(const void *owner)
{
    return ff_observe(&((const struct ff_item_owner *)owner)->cancelled) != 0;
}

/* ---- Sealing: there is nothing to seal but what was claimed --------------- */

static int items_absorb(void *pointer, const void *payload, size_t bytes)
{
    (void)pointer;
    (void)payload;
    return bytes == 0 ? 0 : FORKFOLD_E_DAMAGED;
}

static int items_seal(void *pointer, void *payload, size_t capacity, size_t *bytes)
{
    (void)pointer;
    (void)payload;
    (void)capacity;
    *bytes = 0;
    return 0;
}

const struct ff_job ff_items_job = {
    .name = "items",
    .attach = items_attach,
    .detach = items_detach,
    .run_task = items_run_task,
    .absorb = items_absorb,
    .seal = items_seal,
    .is_done = items_is_done,
    .attempts = items_attempts,
    .timeout_ns = items_timeout,
    .is_cancelled = items_is_cancelled,
};
