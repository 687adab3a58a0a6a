/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a call on items: checking what it is given, beginning it, reading its results. */
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/clock.h"
#include "platform/event.h"
#include "pool/call.h"
#include "pool/items.h"
#include "pool/shared_array.h"

/* Results that an imap keeps, at most, until they are read; and chunks of them for each worker. */
enum { BUFFER_ITEMS = 4096, BUFFER_CHUNKS_PER_WORKER = 4 };

enum { ATTEMPTS = 3 };

/* ---- Checking ------------------------------------------------------------ */

static int check_array(forkfold_pool *pool, const forkfold_array *array, unsigned number,
                       uint64_t count)
{
    uint64_t bytes;

    if (count == 0)
        return 0;
    if (array->data == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "array %u of the call has no data for its %llu items", number,
                            (unsigned long long)count);
    if (array->offsets == NULL && array->item_bytes == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the items of array %u have no size: give item_bytes or offsets",
                            number);
    if (array->offsets == NULL && __builtin_mul_overflow(array->item_bytes, count, &bytes))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "array %u of the call is larger than any memory", number);
    for (uint64_t i = 0; array->offsets != NULL && i < count; i++)
        if (array->offsets[i] > array->offsets[i + 1])
            return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                                "the offsets of array %u fall at item %llu", number,
                                (unsigned long long)i);
    return 0;
}

static int check_options(forkfold_pool *pool, const forkfold_call_options *options)
{
    uint64_t bytes;
    int code = 0;

    if (options->size != 0 && options->size != sizeof(*options))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "forkfold_call_options.size is %zu, this library knows %zu",
                            options->size, sizeof(*options));
    if (options->function == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "a call needs a function");
    if (options->array_count > FORKFOLD_ARRAYS_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "a call has at most %d arrays",
                            FORKFOLD_ARRAYS_MAX);
    for (unsigned i = 0; i < FORKFOLD_OUTPUTS_MAX && options->outputs[i] != NULL; i++)
        if (options->outputs[i]->pool != pool)
            return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                                "output %u of the call is a shared array of another pool", i);
    if (options->context == NULL && options->context_bytes > 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the context has %zu bytes and no address", options->context_bytes);
    if (options->results_vary != 0 && options->result_bytes != 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "results either vary or have %zu bytes each", options->result_bytes);
    if (__builtin_mul_overflow(options->count, options->result_bytes, &bytes))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the results of the call are larger than any memory");
    if (!(options->seconds_per_item >= 0) || options->seconds_per_item > 1e18)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "seconds_per_item is no number of seconds");
    for (unsigned i = 0; i < options->array_count && code == 0; i++)
        code = check_array(pool, &options->arrays[i], i, options->count);
    return code;
}

/* ---- Beginning ----------------------------------------------------------- */

/* Memory that goes with the call; NULL with the pool's error. */
static void *take_block(struct forkfold_call *call, struct ff_arena *arena, size_t bytes)
{
    void *base = ff_arena_take(arena, bytes);

    if (base == NULL) {
        ff_error_set(&call->pool->error, FORKFOLD_E_LIMIT,
                     "the region has no room for the items and results of the call (%zu bytes); "
                     "close calls that are done, use imap, or raise the limit of address space "
                     "(ulimit -v)",
                     bytes);
        return NULL;
    }
    call->blocks[call->block_count++] =
        (struct ff_block){.arena = arena, .base = base, .bytes = bytes};
    return base;
}

static const void *copy_in(struct forkfold_call *call, const void *data, size_t bytes)
{
    void *copy = take_block(call, &call->pool->items.arrays, bytes);

    if (copy != NULL && bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

static uint64_t array_bytes(const forkfold_array *array, uint64_t count)
{
    return array->offsets != NULL ? array->offsets[count] : array->item_bytes * count;
}

/* Whether the elements are copied as their items are posted, into slots. */
static bool is_by_slot(const struct forkfold_call *call, const forkfold_array *array)
{
    return call->kind != FF_CALL_MAP && array->offsets == NULL &&
           !ff_is_shared(call->pool, array->data, array_bytes(array, call->options.count));
}

static int give_array(struct forkfold_call *call, unsigned number)
{
    const forkfold_array *array = &call->options.arrays[number];
    struct ff_argument *argument = &call->owner->arguments[number];
    uint64_t count = call->options.count;

    *argument =
        (struct ff_argument){.item_bytes = array->item_bytes, .by_slot = is_by_slot(call, array)};
    if (argument->by_slot) {
        argument->data =
            take_block(call, &call->pool->items.arrays, array->item_bytes * call->owner->window);
    } else if (ff_is_shared(call->pool, array->data, array_bytes(array, count))) {
        argument->data = array->data;
        argument->offsets = array->offsets == NULL
                                ? NULL
                                : copy_in(call, array->offsets, (count + 1) * sizeof(uint64_t));
        if (array->offsets != NULL && argument->offsets == NULL)
            return call->pool->error.code;
    } else if (array->offsets == NULL) {
        argument->data = copy_in(call, array->data, array->item_bytes * count);
    } else {
        argument->offsets = copy_in(call, array->offsets, (count + 1) * sizeof(uint64_t));
        if (argument->offsets != NULL)
            argument->data = copy_in(call, array->data, array->offsets[count]);
    }
    return argument->data != NULL ? 0 : call->pool->error.code;
}

static int give_results(struct forkfold_call *call)
{
    struct ff_item_owner *owner = call->owner;
    struct ff_arena *arena = &call->pool->items.results;
    size_t each = owner->results_vary ? sizeof(struct ff_varying_result) : owner->result_bytes;

    owner->states = take_block(call, arena, owner->window);
    if (owner->states == NULL)
        return call->pool->error.code;
    memset((void *)owner->states, FF_ITEM_PENDING, owner->window);
    if (each == 0)
        return 0;
    owner->results = take_block(call, arena, each * owner->window);
    return owner->results != NULL ? 0 : call->pool->error.code;
}

static void give_outputs(struct forkfold_call *call)
{
    struct ff_item_owner *owner = call->owner;

    for (unsigned i = 0; i < FORKFOLD_OUTPUTS_MAX && call->options.outputs[i] != NULL; i++)
        owner->outputs[owner->output_count++] = call->options.outputs[i]->area;
}

static int give_everything(struct forkfold_call *call)
{
    const forkfold_call_options *options = &call->options;
    int code = give_results(call);

    give_outputs(call);
    if (code == 0 && options->context_bytes > 0) {
        call->owner->context = copy_in(call, options->context, options->context_bytes);
        code = call->owner->context != NULL ? 0 : call->pool->error.code;
    }
    for (unsigned i = 0; i < options->array_count && code == 0; i++)
        code = give_array(call, i);
    return code;
}

static uint64_t window_of(const struct forkfold_call *call)
{
    uint64_t window = call->options.buffer_items;
    uint64_t wanted = call->chunk * call->pool->layout.workers * BUFFER_CHUNKS_PER_WORKER;

    if (call->kind == FF_CALL_MAP)
        return call->options.count;
    if (window == 0)
        window = wanted > BUFFER_ITEMS ? wanted : BUFFER_ITEMS;
    return window < call->options.count ? window : call->options.count;
}

static void choose_chunk(struct forkfold_call *call)
{
    const forkfold_call_options *options = &call->options;

    call->chunk = options->chunk;
    if (call->chunk == 0 && call->kind == FF_CALL_MAP)
        call->chunk = forkfold_chunk_size(options->count, call->pool->layout.workers,
                                          options->seconds_per_item);
    if (call->chunk == 0)
        call->chunk = 1;
    if (call->chunk > options->count)
        call->chunk = options->count;
}

/* Fills the owner in; nobody sees it before the first item is posted. */
static int fill_owner(struct forkfold_call *call)
{
    const forkfold_call_options *options = &call->options;
    struct ff_item_owner *owner = ff_items_take_owner(call->pool);
    int code;

    if (owner == NULL)
        return ff_error_set(&call->pool->error, FORKFOLD_E_LIMIT,
                            "more calls than the region has room for; close some");
    call->owner = owner;
    choose_chunk(call);
    *owner = (struct ff_item_owner){
        .function = options->function,
        .context_bytes = options->context_bytes,
        .argument_count = options->array_count,
        .attempts = options->retries_plus_one > 0 ? options->retries_plus_one : ATTEMPTS,
        .timeout_ns = options->timeout_ns,
        .is_prompt = call->kind != FF_CALL_MAP || options->count == 1,
        .stops_on_failure = options->stop_on_failure != 0,
        .window = window_of(call),
        .result_bytes = options->result_bytes,
        .results_vary = options->results_vary != 0};
    if (call->chunk > owner->window)
        call->chunk = owner->window;
    call->serial = ++call->pool->items.last_serial;
    code = give_everything(call);
    /* Partner: ff_item_is_done, which finds all the rest behind it. */
    if (code == 0)
        ff_publish(&owner->serial, call->serial);
    return code;
}

/* Posts as many items of an imap as have slots, if it is worth a posting. */
static int refill(struct forkfold_call *call)
{
    struct ff_item_owner *owner = call->owner;
    uint64_t end = call->settled + owner->window;
    uint64_t first = call->posted;
    uint64_t count;

    if (end > call->options.count)
        end = call->options.count;
    count = end - first;
    /* A quarter of the window at once, unless the workers have little left. */
    if (count == 0 || (count < owner->window / 4 && first - call->taken > owner->window / 4))
        return 0;
    for (uint64_t i = first; i < end; i++) {
        uint64_t slot = i % owner->window;

        for (unsigned a = 0; a < owner->argument_count; a++)
            if (owner->arguments[a].by_slot)
                memcpy((char *)owner->arguments[a].data + slot * owner->arguments[a].item_bytes,
                       (const char *)call->options.arrays[a].data +
                           i * owner->arguments[a].item_bytes,
                       owner->arguments[a].item_bytes);
        /* The floor has passed the item that had the slot: see ff_item_is_done. */
        atomic_store_explicit(&owner->states[slot], FF_ITEM_PENDING, memory_order_release);
    }
    return ff_items_post(call, count);
}

static int start(struct forkfold_call *call)
{
    const forkfold_call_options *options = &call->options;
    int code;

    call->engine_call = call->pool->sequence;
    if (options->deadline_ns != 0)
        call->deadline_at_ns = ff_call_clock_ns(call->pool) + options->deadline_ns;
    if (options->count == 0) {
        ff_items_settle_call(call, FF_CALL_FINISHED);
        return 0;
    }
    code = fill_owner(call);
    if (code < 0)
        return code;
    if (options->timeout_ns != 0)
        ff_items_publish_shortest(call->pool);
    if (call->pool->items.has_event_loop)
        ff_items_arm(call->pool);
    return call->kind == FF_CALL_MAP ? ff_items_post(call, options->count) : refill(call);
}

static int begin(forkfold_pool *pool, const forkfold_call_options *options, enum ff_call_kind kind,
                 struct forkfold_call **result)
{
    struct forkfold_call *call;
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (options == NULL || result == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a call needs options, and a place for its handle");
    code = check_options(pool, options);
    /* Before the call is among those of the pool: it might begin the engine's call anew. */
    if (code == 0)
        code = ff_items_begin(pool);
    if (code < 0)
        return code;
    call = calloc(1, sizeof(*call));
    if (call == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory for a call");
    call->pool = pool;
    call->kind = kind;
    call->options = *options;
    call->next = pool->items.calls;
    pool->items.calls = call;
    code = start(call);
    if (code < 0) {
        /* Nothing of it has been posted. */
        struct ff_error why = pool->error;

        call->status = FF_CALL_ENDED;
        forkfold_call_close(call);
        pool->error = why;
        return code;
    }
    *result = call;
    return 0;
}

static int check_arrays(forkfold_pool *pool, const forkfold_call_options *options, unsigned least,
                        unsigned most, const char *what)
{
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (options == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "a call needs options");
    if (options->array_count >= least && options->array_count <= most)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "%s takes from %u to %u arrays, not %u",
                        what, least, most, options->array_count);
}

/* ---- Waiting ------------------------------------------------------------- */

static bool is_over(void *call)
{
    return ((struct forkfold_call *)call)->status != FF_CALL_RUNNING;
}

/* What the call has come to, as the pool's error too. */
static int outcome(struct forkfold_call *call)
{
    if (call->status != FF_CALL_ENDED)
        return 0;
    return ff_error_set(&call->pool->error, call->code, "%s", call->message);
}

/* From here on callbacks may close the call, and it stays. */
static void hold(struct forkfold_call *call)
{
    call->holds++;
}

/* Returns whether the call is still there. */
static bool let_go(struct forkfold_call *call)
{
    bool stays = !call->is_closed;

    call->holds--;
    if (!stays)
        ff_items_look(call->pool);
    return stays;
}

/* Runs the callbacks that are due; what the pool says of its last error stays. */
static void call_back(forkfold_pool *pool)
{
    struct ff_error error = pool->error;

    ff_items_call_back(pool);
    pool->error = error;
}

static int wait_for(struct forkfold_call *call, uint64_t timeout_ns)
{
    forkfold_pool *pool = call->pool;
    uint64_t now = ff_clock_ns();
    uint64_t until = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    int code;

    ff_items_look(pool);
    while (!is_over(call) && (until == UINT64_MAX || ff_clock_ns() < until))
        ff_items_sleep(pool, is_over, call, until);
    code = is_over(call) ? outcome(call) : FORKFOLD_E_PENDING;
    call_back(pool);
    return code;
}

int forkfold_call_wait(forkfold_call *call, uint64_t timeout_ns)
{
    int code = ff_call_check(call->pool);

    if (code < 0)
        return code;
    if (call->kind != FF_CALL_MAP)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "an imap is not waited for: read its results");
    hold(call);
    code = wait_for(call, timeout_ns);
    let_go(call);
    return code;
}

/* A call that its own callback has closed is NULL afterwards. */
static int run(forkfold_pool *pool, const forkfold_call_options *options, forkfold_call **result)
{
    forkfold_call *call = NULL;
    int code;

    if (result == NULL)
        return begin(pool, options, FF_CALL_MAP, NULL);
    code = begin(pool, options, FF_CALL_MAP, &call);
    if (code < 0 || call == NULL)
        return code;
    hold(call);
    code = wait_for(call, UINT64_MAX);
    if (!let_go(call))
        call = NULL;
    if (code < 0) {
        struct ff_error why = pool->error;

        forkfold_call_close(call);
        pool->error = why;
        return code;
    }
    *result = call;
    return 0;
}

int forkfold_map(forkfold_pool *pool, const forkfold_call_options *options, forkfold_call **call)
{
    int code = check_arrays(pool, options, 0, 1, "a map");

    return code < 0 ? code : run(pool, options, call);
}

int forkfold_starmap(forkfold_pool *pool, const forkfold_call_options *options,
                     forkfold_call **call)
{
    int code = check_arrays(pool, options, 1, FORKFOLD_ARRAYS_MAX, "a starmap");

    return code < 0 ? code : run(pool, options, call);
}

int forkfold_map_async(forkfold_pool *pool, const forkfold_call_options *options,
                       forkfold_call **call)
{
    return begin(pool, options, FF_CALL_MAP, call);
}

int forkfold_apply_async(forkfold_pool *pool, const forkfold_call_options *options,
                         forkfold_call **call)
{
    forkfold_call_options once;

    if (options == NULL)
        return begin(pool, options, FF_CALL_MAP, call);
    once = *options;
    once.count = 1;
    return begin(pool, &once, FF_CALL_MAP, call);
}

static int check_apply(forkfold_pool *pool, const void *argument, size_t argument_bytes,
                       const void *result, size_t result_bytes)
{
    int code = ff_call_check(pool);

    if (code == 0 && argument == NULL && argument_bytes > 0)
        code = ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the argument has %zu bytes and no address", argument_bytes);
    if (code == 0 && result == NULL && result_bytes > 0)
        code = ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "the result has %zu bytes and no place to go", result_bytes);
    return code;
}

int forkfold_apply(forkfold_pool *pool, forkfold_function *function, const void *argument,
                   size_t argument_bytes, void *result, size_t result_bytes)
{
    forkfold_call_options options = {.function = function,
                                     .count = 1,
                                     .arrays = {{.data = argument, .item_bytes = argument_bytes}},
                                     .array_count = argument != NULL,
                                     .result_bytes = result_bytes};
    forkfold_call *call = NULL;
    int code = check_apply(pool, argument, argument_bytes, result, result_bytes);

    if (code == 0)
        code = run(pool, &options, &call);
    if (code < 0 || call == NULL)
        return code;
    if (call->failure_count > 0)
        code = ff_error_set(&pool->error, FORKFOLD_E_FAILED, "%s", call->failures[0].detail);
    else if (result_bytes > 0)
        memcpy(result, call->owner->results, result_bytes);
    forkfold_call_close(call);
    return code;
}

int forkfold_imap(forkfold_pool *pool, const forkfold_call_options *options, forkfold_call **call)
{
    return begin(pool, options, FF_CALL_IMAP, call);
}

int forkfold_imap_unordered(forkfold_pool *pool, const forkfold_call_options *options,
                            forkfold_call **call)
{
    return begin(pool, options, FF_CALL_IMAP_UNORDERED, call);
}

/* ---- Ending -------------------------------------------------------------- */

void forkfold_call_cancel(forkfold_call *call)
{
    if (!ff_items_are_here(call->pool))
        return;
    ff_items_look(call->pool);
    ff_items_end_call(call, FORKFOLD_E_CANCELLED, "the call was cancelled");
}

void forkfold_call_close(forkfold_call *call)
{
    if (call == NULL)
        return;
    if (!ff_items_are_here(call->pool)) {
        call->is_closed = true; /* freed with the child's copy of the pool */
        return;
    }
    if (call->status == FF_CALL_RUNNING)
        forkfold_call_cancel(call);
    call->is_closed = true;
    ff_items_look(call->pool);
}

const char *forkfold_call_message(const forkfold_call *call)
{
    return call->message;
}

/* ---- Results ------------------------------------------------------------- */

static unsigned char state_of(const struct forkfold_call *call, uint64_t index)
{
    const struct ff_item_owner *owner = call->owner;

    /* Partner: set_state() in items_job.c, which writes the result before it. */
    return atomic_load_explicit(&owner->states[index % owner->window], memory_order_acquire);
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

static void fill_result(const struct forkfold_call *call, uint64_t index, forkfold_result *result)
{
    const struct ff_item_owner *owner = call->owner;
    uint64_t slot = index % owner->window;

    *result = (forkfold_result){.index = index, .failed = state_of(call, index) == FF_ITEM_REFUSED};
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
    fill_result(call, index, result);
    return 0;
}

const void *forkfold_call_results(const forkfold_call *call)
{
    return call->kind == FF_CALL_MAP && call->status == FF_CALL_FINISHED && call->owner != NULL &&
                   !call->owner->results_vary
               ? call->owner->results
               : NULL;
}

/* The slot of the result that was read last is free. */
static void release_current(struct forkfold_call *call)
{
    struct ff_item_owner *owner = call->owner;

    if (!call->has_current)
        return;
    call->has_current = false;
    atomic_store_explicit(&owner->states[call->current % owner->window], FF_ITEM_TAKEN,
                          memory_order_relaxed);
    while (call->settled < call->posted && state_of(call, call->settled) == FF_ITEM_TAKEN &&
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
            unsigned char state = state_of(call, i);

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

static int take_next(struct forkfold_call *call, forkfold_result *result)
{
    int code;

    release_current(call);
    if (call->taken == call->options.count) {
        ff_items_settle_call(call, FF_CALL_FINISHED);
        return 0;
    }
    code = refill(call);
    if (code < 0) {
        ff_items_end_call(call, code, "%s", call->pool->error.message);
        return code;
    }
    while (!has_result_or_end(call))
        ff_items_sleep(call->pool, has_result_or_end, call, UINT64_MAX);
    if (call->status == FF_CALL_ENDED)
        return outcome(call);
    fill_result(call, call->current, result);
    if (result->failed) {
        ff_items_look(call->pool);
        ff_items_complete_failures(call, call->current, call->current + 1);
    }
    if (call->status == FF_CALL_ENDED)
        return outcome(call);
    call->has_current = true;
    call->taken++;
    call->pool->items.taken_since++;
    return 1;
}

int forkfold_call_next(forkfold_call *call, forkfold_result *result)
{
    int code = ff_call_check(call->pool);

    if (code < 0)
        return code;
    if (call->kind == FF_CALL_MAP)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "only the results of an imap are read in turn");
    if (result == NULL)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID, "a result needs a place to go");
    if (call->status == FF_CALL_ENDED)
        return outcome(call);
    if (call->status == FF_CALL_FINISHED)
        return 0;
    code = take_next(call, result);
    if (code > 0)
        return code;
    hold(call);
    call_back(call->pool);
    let_go(call);
    return code;
}
