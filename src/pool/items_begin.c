/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a call on items: checking what it is given, and beginning it. */
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "platform/clock.h"
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

static int check_output(forkfold_pool *pool, const forkfold_shared *output, unsigned number)
{
    if (output->pool != pool)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "output %u of the call is a shared array of another pool", number);
    if (output->is_read_only)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "output %u of the call is a file that was opened to be read", number);
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
    for (unsigned i = 0; i < FORKFOLD_OUTPUTS_MAX && options->outputs[i] != NULL && code == 0; i++)
        code = check_output(pool, options->outputs[i], i);
    if (code < 0)
        return code;
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
    call->argument_bytes += bytes;
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
    /* Of a stage those are pending that are posted: no more, for they are waited for. */
    memset((void *)owner->states, call->kind == FF_CALL_STAGE ? FF_ITEM_TAKEN : FF_ITEM_PENDING,
           owner->window);
    if (each == 0)
        return 0;
    owner->results = take_block(call, arena, each * owner->window);
    return owner->results != NULL ? 0 : call->pool->error.code;
}

static int give_stats(struct forkfold_call *call)
{
    size_t bytes = call->pool->layout.workers * sizeof(struct ff_item_stats);

    if (call->options.measure == 0 && call->options.verbose == 0)
        return 0;
    call->owner->stats = take_block(call, &call->pool->items.results, bytes);
    if (call->owner->stats == NULL)
        return call->pool->error.code;
    memset(call->owner->stats, 0, bytes);
    return 0;
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
    if (code == 0)
        code = give_stats(call);
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

static void copy_to_slot(struct forkfold_call *call, uint64_t index, uint64_t slot)
{
    const struct ff_item_owner *owner = call->owner;

    for (unsigned a = 0; a < owner->argument_count; a++) {
        size_t bytes = owner->arguments[a].item_bytes;

        if (!owner->arguments[a].by_slot)
            continue;
        memcpy((char *)owner->arguments[a].data + slot * bytes,
               (const char *)call->options.arrays[a].data + index * bytes, bytes);
        call->argument_bytes += bytes;
    }
}

int ff_items_refill(struct forkfold_call *call)
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

        copy_to_slot(call, i, slot);
        /* The floor has passed the item that had the slot: see ff_item_is_done. */
        ff_publish8(&owner->states[slot], FF_ITEM_PENDING);
    }
    return ff_items_post(call, first, count);
}

static int start(struct forkfold_call *call)
{
    const forkfold_call_options *options = &call->options;
    int code;

    call->engine_call = call->pool->sequence;
    ff_items_note_begin(call);
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
    if (call->kind == FF_CALL_STAGE)
        return 0;
    return call->kind == FF_CALL_MAP ? ff_items_post(call, 0, options->count)
                                     : ff_items_refill(call);
}

int ff_items_begin_call(forkfold_pool *pool, const forkfold_call_options *options,
                        enum ff_call_kind kind, struct forkfold_call **result)
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
    call->options.timeout_ns = ff_clock_limit_ns(options->timeout_ns);
    call->options.deadline_ns = ff_clock_limit_ns(options->deadline_ns);
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

/* ---- Calls that the host only begins -------------------------------------- */

int forkfold_map_async(forkfold_pool *pool, const forkfold_call_options *options,
                       forkfold_call **call)
{
    return ff_items_begin_call(pool, options, FF_CALL_MAP, call);
}

int forkfold_apply_async(forkfold_pool *pool, const forkfold_call_options *options,
                         forkfold_call **call)
{
    forkfold_call_options once;

    if (options == NULL)
        return ff_items_begin_call(pool, options, FF_CALL_MAP, call);
    once = *options;
    once.count = 1;
    return ff_items_begin_call(pool, &once, FF_CALL_MAP, call);
}

int forkfold_imap(forkfold_pool *pool, const forkfold_call_options *options, forkfold_call **call)
{
    return ff_items_begin_call(pool, options, FF_CALL_IMAP, call);
}

int forkfold_imap_unordered(forkfold_pool *pool, const forkfold_call_options *options,
                            forkfold_call **call)
{
    return ff_items_begin_call(pool, options, FF_CALL_IMAP_UNORDERED, call);
}
