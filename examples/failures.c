/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items that fail.  Each item is a chain of blocks, and three are damaged: one says so, one leads
 * into the void, one never ends.  The call completes without them, and tells why.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

enum { CHAINS = 4, END = -1, LOST = -2 };

/* Which block follows block 0, 1, and so on; and where the chains begin. */
static const int64_t blocks[] = {1, 2, END, LOST, INT64_C(1) << 45, 6, 5};
static const int64_t chains[CHAINS] = {0, 3, 4, 5};

static int measure_chain(const forkfold_item *item)
{
    const int64_t *next = item->context;
    int64_t block = *(const int64_t *)item->arguments[0];
    int64_t *length = item->result;

    for (*length = 0; block != END; block = next[block], ++*length)
        if (block == LOST)
            return forkfold_item_fail(item, "block %" PRId64 " of the chain is lost", *length);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_call_options options = {.function = measure_chain,
                                     .count = CHAINS,
                                     .arrays = {{.data = chains, .item_bytes = sizeof(*chains)}},
                                     .array_count = 1,
                                     .context = blocks,
                                     .context_bytes = sizeof(blocks),
                                     .result_bytes = sizeof(int64_t),
                                     .timeout_ns = 300000000};
    const char *states[CHAINS] = {"whole", "whole", "whole", "whole"};
    const forkfold_item_failure *failure;
    forkfold_call *call;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_map(pool, &options, &call) < 0) {
        fprintf(stderr, "failures: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    for (size_t i = 0; (failure = forkfold_call_failure(call, i)) != NULL; i++) {
        states[failure->index] = forkfold_reason_name(failure->reason);
        fprintf(stderr, "chain %" PRIu64 ", tried %u times: %s\n%s\n", failure->index,
                failure->attempts, failure->detail,
                failure->backtrace == NULL ? "" : failure->backtrace);
    }
    for (int i = 0; i < CHAINS; i++)
        printf("chain %d: %s\n", i, states[i]);
    forkfold_call_close(call);
    return 0;
}
