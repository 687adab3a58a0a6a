/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_queue_pass_on: what is made of a batch is put, and the batch acknowledged, in one step.
 * So each order is billed once, though some of the clerks die over it.
 */
#include <signal.h>
#include <stdio.h>

#include <forkfold.h>

enum { COUNT = 1000, CLERKS = 2 };

static int write_bills(const forkfold_item *item)
{
    forkfold_queue *const *queues = item->context;
    forkfold_batch batch;
    int code;

    while ((code = forkfold_queue_get(queues[0], 0, &batch, UINT64_MAX)) == 1) {
        unsigned order = *(const unsigned *)batch.items;
        unsigned bill[2] = {100 + order % 7, (unsigned)batch.returns};

        if (order % 400 == 13 && batch.returns == 0)
            raise(SIGKILL);
        if (forkfold_queue_pass_on(queues[0], queues[1], bill, 1, UINT64_MAX) < 0)
            return 1;
    }
    return code < 0 ? code : forkfold_queue_end(queues[1], (unsigned)item->index);
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_queue_options orders = {.item_bytes = sizeof(unsigned), .depth = COUNT};
    forkfold_queue_options bills = {.item_bytes = 2 * sizeof(unsigned), .producers = CLERKS};
    forkfold_queue *queues[2];
    forkfold_call *call;
    forkfold_batch batch;
    unsigned order = 0, cents = 0, again = 0;
    forkfold_call_options options = {.function = write_bills,
                                     .count = CLERKS,
                                     .context = queues,
                                     .context_bytes = sizeof(queues),
                                     .retries_plus_one = COUNT};

    if (forkfold_pool_open(&pool, NULL, NULL, 0) < 0 ||
        forkfold_queue_open(pool, &orders, &queues[0]) < 0 ||
        forkfold_queue_open(pool, &bills, &queues[1]) < 0)
        return 1;
    while (order < COUNT && forkfold_queue_put(queues[0], &order, 1, 0) == 0)
        order++;
    forkfold_queue_end(queues[0], 0);
    forkfold_map_async(pool, &options, &call); /* a clerk's death is one try of retries_plus_one */
    for (; forkfold_queue_get(queues[1], 0, &batch, UINT64_MAX) == 1; order--) {
        cents += ((const unsigned *)batch.items)[0];
        again += ((const unsigned *)batch.items)[1];
    }
    printf("%u cents, %u orders not billed; %u came to a second clerk\n", cents, order, again);
    return 0;
}
