/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_apply_async: a call goes on in a worker while this process does something else.  It can
 * be waited for, for a time or for ever, and cancelled.  Its callback runs while this process waits.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

static int find_factor(const forkfold_item *item)
{
    uint64_t number = *(const uint64_t *)item->arguments[0];
    uint64_t factor = 2;

    while (number % factor != 0)
        factor++;
    *(uint64_t *)item->result = factor;
    return 0;
}

static void show(forkfold_call *call, void *number)
{
    const uint64_t *factor = forkfold_call_results(call);

    printf("%" PRIu64 " is a multiple of %" PRIu64 "\n", *(const uint64_t *)number, *factor);
}

static int begin(forkfold_pool *pool, uint64_t *number, forkfold_call **call)
{
    forkfold_call_options options = {.function = find_factor,
                                     .arrays = {{.data = number, .item_bytes = sizeof(*number)}},
                                     .array_count = 1,
                                     .result_bytes = sizeof(uint64_t),
                                     .stop_on_failure = 1,
                                     .on_done = show,
                                     .user = number};
    return forkfold_apply_async(pool, &options, call);
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    uint64_t product = UINT64_C(1000036000099), prime = (UINT64_C(1) << 61) - 1;
    forkfold_call *quick, *endless;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        begin(pool, &product, &quick) < 0 || begin(pool, &prime, &endless) < 0 ||
        forkfold_call_wait(quick, UINT64_MAX) < 0 ||
        forkfold_call_wait(endless, 1000000) != FORKFOLD_E_PENDING) {
        fprintf(stderr, "apply_async: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    printf("%" PRIu64 " takes too long\n", prime);
    forkfold_call_cancel(endless);
    forkfold_call_close(endless);
    forkfold_call_close(quick);
    return 0;
}
