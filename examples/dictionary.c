/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared dictionary: all workers add to one set of counters.  Each item is a number that follows
 * the rule of Collatz down to 1; counted are the steps that it takes.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

enum { NUMBERS = 100000, SHOWN = 5 };

/* The context holds the address of the dictionary, which is the same in all processes. */
static int count_steps(const forkfold_item *item)
{
    forkfold_dictionary *lengths = *(forkfold_dictionary *const *)item->context;
    uint64_t number = item->index + 1;
    char key[24];
    int steps = 0;

    for (; number != 1; steps++)
        number = number % 2 == 0 ? number / 2 : 3 * number + 1;
    if (forkfold_dictionary_add(lengths, key,
                                (size_t)snprintf(key, sizeof(key), "%03d steps", steps), 1) < 0)
        return forkfold_item_fail(item, "no room to count %d steps", steps);
    return 0;
}

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    forkfold_dictionary_options sizes = {.capacity = 1000};
    forkfold_dictionary *lengths;
    forkfold_dictionary_entry entry;
    forkfold_call_options options = {.function = count_steps,
                                     .count = NUMBERS,
                                     .context = &lengths,
                                     .context_bytes = sizeof(void *),
                                     .stop_on_failure = 1};
    forkfold_call *call;
    char message[256];
    uint64_t count;

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_dictionary_open(pool, &sizes, &lengths) < 0 ||
        forkfold_map(pool, &options, &call) < 0 || forkfold_dictionary_count(lengths, &count) < 0) {
        fprintf(stderr, "dictionary: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    printf("%d numbers take %" PRIu64 " different numbers of steps, among them\n", NUMBERS, count);
    for (int i = 0; i < SHOWN && forkfold_dictionary_next(lengths, &entry) == 1; i++)
        printf("%.*s: %" PRId64 "\n", (int)entry.bytes, (const char *)entry.key, entry.value);
    forkfold_call_close(call);
    forkfold_dictionary_close(lengths);
    return 0;
}
