/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_map: one function on every element of an array, a result of one size for each.  Each
 * item throws darts at a square; the share of them that lands in the circle tells pi.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <forkfold.h>

enum { BATCHES = 64, DARTS = 500000 };

/* Depends on its seed alone, so it does not matter which worker runs it, and how often. */
static int throw_darts(const forkfold_item *item)
{
    uint16_t seed = *(const uint16_t *)item->arguments[0];
    unsigned short state[3] = {0x330e, seed, 0};
    uint64_t hits = 0;

    for (int i = 0; i < DARTS; i++) {
        double x = erand48(state);
        double y = erand48(state);

        hits += x * x + y * y < 1;
    }
    *(uint64_t *)item->result = hits;
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    uint16_t seeds[BATCHES];
    forkfold_call_options options = {.function = throw_darts,
                                     .count = BATCHES,
                                     .arrays = {{.data = seeds, .item_bytes = sizeof(*seeds)}},
                                     .array_count = 1,
                                     .result_bytes = sizeof(uint64_t),
                                     .stop_on_failure = 1};
    forkfold_call *call;
    char message[256];
    uint64_t hits = 0;

    for (int i = 0; i < BATCHES; i++)
        seeds[i] = (uint16_t)i;
    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0) {
        fprintf(stderr, "map: %s\n", message);
        return 1;
    }
    if (forkfold_map(pool, &options, &call) < 0) {
        fprintf(stderr, "map: %s\n", forkfold_pool_message(pool));
        return 1;
    }
    for (int i = 0; i < BATCHES; i++)
        hits += ((const uint64_t *)forkfold_call_results(call))[i];
    printf("pi is about %.3f\n", 4.0 * (double)hits / ((double)BATCHES * DARTS));
    forkfold_call_close(call);
    return 0;
}
