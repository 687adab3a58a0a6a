/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_imap_unordered: results as they come.  Each item tries ten thousand PINs against a hash;
 * the first that fits ends the search, and closing the call ends what is in progress.
 */
#include <stdio.h>

#include <forkfold.h>

enum { PINS_PER_ITEM = 10000, NOT_FOUND = -1 };

static uint64_t hash_pin(uint64_t pin)
{
    for (int i = 0; i < 10; i++)
        pin = (pin ^ pin >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return pin;
}

/* The context is copied for the workers, who see nothing else that was written since the open. */
static int try_pins(const forkfold_item *item)
{
    int *found = item->result;

    *found = NOT_FOUND;
    for (int i = 0; i < PINS_PER_ITEM; i++)
        if (hash_pin(item->index * PINS_PER_ITEM + i) == *(const uint64_t *)item->context)
            *found = (int)item->index * PINS_PER_ITEM + i;
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    uint64_t wanted = hash_pin(2718281);
    forkfold_call_options options = {.function = try_pins,
                                     .count = 1000,
                                     .result_bytes = sizeof(int),
                                     .context = &wanted,
                                     .context_bytes = sizeof(wanted),
                                     .stop_on_failure = 1};
    forkfold_call *call;
    forkfold_result result;
    char message[256];
    int more, pin = NOT_FOUND;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_imap_unordered(pool, &options, &call) < 0) {
        fprintf(stderr, "imap_unordered: %s\n",
                pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    while (pin == NOT_FOUND && (more = forkfold_call_next(call, &result)) > 0)
        pin = *(const int *)result.data;
    if (more > 0)
        printf("the PIN is %07d\n", pin);
    else
        fprintf(stderr, "imap_unordered: %s\n", more ? forkfold_pool_message(pool) : "no PIN fits");
    forkfold_call_close(call);
    return more <= 0;
}
