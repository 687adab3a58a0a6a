/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times primesieve alone.
 *
 * usage: primesieve list|count THREADS REPEATS N
 *
 *   list   the primes below N in an array; primesieve does that in one thread
 *   count  how many there are
 */
#include <primesieve.h>

#include "calls.h"

struct state {
    uint64_t limit;
    void *primes;
    size_t found;
};

static void list_primes(void *context)
{
    struct state *state = context;

    primesieve_free(state->primes);
    state->primes = primesieve_generate_primes(0, state->limit - 1, &state->found, UINT32_PRIMES);
    if (state->primes == NULL)
        fail("no primes");
}

static uint64_t digest_primes(void *context)
{
    const struct state *state = context;

    return digest_integers(state->primes, state->found);
}

static void count_primes(void *context)
{
    struct state *state = context;

    state->found = primesieve_count_primes(0, state->limit - 1);
}

static uint64_t digest_count(void *context)
{
    return ((const struct state *)context)->found;
}

int main(int argc, char **argv)
{
    struct state state = {0};
    unsigned repeats;

    if (argc != 5)
        fail("usage: primesieve list|count THREADS REPEATS N");
    primesieve_set_num_threads(atoi(argv[2]));
    repeats = (unsigned)strtoul(argv[3], NULL, 10);
    state.limit = strtoull(argv[4], NULL, 10);
    if (strcmp(argv[1], "list") == 0)
        time_calls(repeats, list_primes, &state, digest_primes);
    else
        time_calls(repeats, count_primes, &state, digest_count);
    return 0;
}
