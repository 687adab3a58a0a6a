/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function mapped over doubles.  An item of the call is a range of them, so that the workers spend
 * their time in one loop.  Whatever of input and output lies in shared arrays is used there; the rest
 * goes by way of the call's own arrays and results.
 */
#include <forkfold/curve.h>

#include <stdlib.h>
#include <string.h>

#include <forkfold/call.h>

#include "jobs/curve_loop.h"
#include "pool/call.h"
#include "pool/shared_array.h"

enum {
    RANGES_PER_WORKER = 8,
    RANGE_LEAST = 4096 /* doubles: computing them takes about as long as a call of the pool */
};

/* The context of the call. */
struct mapping {
    const double *input; /* in a shared array, or NULL: the items have it as their argument */
    double *output;      /* in a shared array, or NULL: it is the items' result */
    uint64_t count;
    uint64_t step; /* doubles of an item */
};

static uint64_t range_count(const struct mapping *mapping)
{
    return (mapping->count - 1) / mapping->step + 1;
}

static uint64_t range_length(const struct mapping *mapping, uint64_t number)
{
    uint64_t left = mapping->count - number * mapping->step;

    return left < mapping->step ? left : mapping->step;
}

static int map_range(const forkfold_item *item)
{
    const struct mapping *mapping = item->context;
    uint64_t first = item->index * mapping->step;

    ff_curve_loop(mapping->input != NULL ? mapping->input + first : item->arguments[0],
                  mapping->output != NULL ? mapping->output + first : item->result,
                  range_length(mapping, item->index));
    return 0;
}

/* Where each range begins in the input, in bytes; NULL when there is no memory. */
static uint64_t *find_offsets(const struct mapping *mapping)
{
    uint64_t ranges = range_count(mapping);
    uint64_t *offsets = malloc((ranges + 1) * sizeof(*offsets));

    if (offsets == NULL)
        return NULL;
    for (uint64_t i = 0; i < ranges; i++)
        offsets[i] = i * mapping->step * sizeof(double);
    offsets[ranges] = mapping->count * sizeof(double);
    return offsets;
}

/* The results of all ranges lie side by side, the last one with a rest that means nothing. */
static int map_in_workers(forkfold_pool *pool, const struct mapping *mapping, const double *input,
                          double *output)
{
    uint64_t bytes = mapping->count * sizeof(double);
    uint64_t *offsets = find_offsets(mapping);
    forkfold_shared pages;
    forkfold_call_options options = {.function = map_range,
                                     .count = range_count(mapping),
                                     .chunk = 1,
                                     .context = mapping,
                                     .context_bytes = sizeof(*mapping),
                                     .stop_on_failure = 1};
    forkfold_call *call = NULL;
    int code;

    if (offsets == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_MEMORY, "no memory to map over doubles");
    if (mapping->input == NULL) {
        options.arrays[0] = (forkfold_array){.data = input, .offsets = offsets};
        options.array_count = 1;
    }
    if (mapping->output != NULL) {
        pages = ff_shared_pages(pool, mapping->output, bytes);
        options.outputs[0] = &pages;
    } else {
        options.result_bytes = mapping->step * sizeof(double);
    }
    code = forkfold_map(pool, &options, &call);
    if (code == 0 && mapping->output == NULL)
        memcpy(output, forkfold_call_results(call), bytes);
    forkfold_call_close(call);
    free(offsets);
    return code;
}

static int check(forkfold_pool *pool, const double *input, uint64_t count, const double *output)
{
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    if (count > 0 && (input == NULL || output == NULL)) {
        ff_error_set(&pool->error, FORKFOLD_E_INVALID, "there are no %llu doubles at NULL",
                     (unsigned long long)count);
        return FORKFOLD_E_INVALID;
    }
    if (count > PTRDIFF_MAX / sizeof(double))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "%llu doubles are larger than any memory", (unsigned long long)count);
    return count > 0 ? ff_shared_check_output(pool, output, count * sizeof(double)) : 0;
}

/* Beside each other they can be used where they lie, also by a worker that begins a range anew. */
static bool overlap(const double *input, const double *output, uint64_t bytes)
{
    uintptr_t from = (uintptr_t)input;
    uintptr_t to = (uintptr_t)output;

    return from < to + bytes && to < from + bytes;
}

int forkfold_map_curve(forkfold_pool *pool, const double *input, uint64_t count, double *output)
{
    struct mapping mapping = {.count = count};
    uint64_t bytes = count * sizeof(double);
    int code = check(pool, input, count, output);

    if (code < 0 || count == 0)
        return code;
    mapping.step = count / ((uint64_t)forkfold_pool_workers(pool) * RANGES_PER_WORKER) + 1;
    if (mapping.step < RANGE_LEAST)
        mapping.step = RANGE_LEAST;
    if (count <= RANGE_LEAST && (input == output || !overlap(input, output, bytes))) {
        ff_curve_loop(input, output, count);
        return 0;
    }
    if (ff_is_shared(pool, input, bytes))
        mapping.input = input;
    if (ff_is_shared(pool, output, bytes) && !overlap(input, output, bytes))
        mapping.output = output;
    return map_in_workers(pool, &mapping, input, output);
}
