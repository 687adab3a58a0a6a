/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_pipeline: batches of numbers through two functions, one after the other.  The first counts
 * in how many steps each comes down to 1, the second keeps only the most of a batch.
 */
#include <stdint.h>
#include <stdio.h>

#include <forkfold.h>

enum { NUMBERS = 100000, BATCH = 500 };

static int count_steps(const forkfold_item *batch)
{
    const uint64_t *numbers = batch->arguments[0];
    unsigned *steps = forkfold_item_reserve(batch, BATCH * sizeof(*steps));

    for (int i = 0; steps != NULL && i < BATCH; i++) {
        steps[i] = 0;
        for (uint64_t number = numbers[i]; number > 1; steps[i]++)
            number = number % 2 == 0 ? number / 2 : 3 * number + 1;
    }
    return steps == NULL;
}

static int keep_most(const forkfold_item *batch)
{
    const unsigned *steps = batch->arguments[0];
    unsigned *most = forkfold_item_reserve(batch, sizeof(*most));

    for (int i = 0; most != NULL && i < BATCH; i++)
        *most = i == 0 || steps[i] > *most ? steps[i] : *most;
    return most == NULL;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    static uint64_t numbers[NUMBERS];
    forkfold_pipeline_options options = {.stages = {{count_steps}, {keep_most}},
                                         .stage_count = 2,
                                         .items = numbers,
                                         .count = NUMBERS,
                                         .item_bytes = sizeof(numbers[0]),
                                         .batch_items = BATCH};
    forkfold_pipeline *pipeline;
    forkfold_result batch;
    unsigned most = 0;

    for (uint64_t i = 0; i < NUMBERS; i++)
        numbers[i] = i + 1;
    if (forkfold_pool_open(&pool, NULL, NULL, 0) < 0 ||
        forkfold_pipeline_open(pool, &options, &pipeline) < 0)
        return 1;
    while (forkfold_pipeline_next(pipeline, &batch) > 0)
        if (!batch.failed && *(const unsigned *)batch.data > most)
            most = *(const unsigned *)batch.data;
    forkfold_pipeline_close(pipeline);
    printf("numbers up to %d come down to 1 in at most %u steps\n", NUMBERS, most);
}
