/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a call on items: waiting for it, and ending it. */
#include <string.h>

#include <forkfold/error.h>

#include "platform/clock.h"
#include "pool/call.h"
#include "pool/items.h"

/* ---- Waiting ------------------------------------------------------------- */

int ff_items_outcome(struct forkfold_call *call)
{
    if (call->status != FF_CALL_ENDED)
        return 0;
    return ff_error_set(&call->pool->error, call->code, "%s", call->message);
}

static bool is_over(void *call)
{
    return ((struct forkfold_call *)call)->status != FF_CALL_RUNNING;
}

void ff_items_hold(struct forkfold_call *call)
{
    call->holds++;
}

bool ff_items_let_go(struct forkfold_call *call)
{
    bool stays = !call->is_closed;

    call->holds--;
    if (!stays)
        ff_items_look(call->pool);
    return stays;
}

void ff_items_call_back_quietly(forkfold_pool *pool)
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
    code = is_over(call) ? ff_items_outcome(call) : FORKFOLD_E_PENDING;
    ff_items_call_back_quietly(pool);
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
    ff_items_hold(call);
    code = wait_for(call, timeout_ns);
    ff_items_let_go(call);
    return code;
}

/* A call that its own callback has closed is NULL afterwards. */
static int run(forkfold_pool *pool, const forkfold_call_options *options, forkfold_call **result)
{
    forkfold_call *call = NULL;
    int code;

    if (result == NULL)
        return ff_items_begin_call(pool, options, FF_CALL_MAP, NULL);
    code = ff_items_begin_call(pool, options, FF_CALL_MAP, &call);
    if (code < 0 || call == NULL)
        return code;
    ff_items_hold(call);
    code = wait_for(call, UINT64_MAX);
    if (!ff_items_let_go(call))
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

/* ---- Ending -------------------------------------------------------------- */

void forkfold_call_cancel(forkfold_call *call)
{
    if (!ff_pool_is_here(call->pool))
        return;
    ff_items_look(call->pool);
    ff_items_end_call(call, FORKFOLD_E_CANCELLED, "the call was cancelled");
}

void forkfold_call_close(forkfold_call *call)
{
    if (call == NULL)
        return;
    if (!ff_pool_is_here(call->pool)) {
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
