/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_count_primes and forkfold_primes: how many primes there are in a range, and all of them
 * in order, in a shared array that other calls can take as it is.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    const uint64_t million = 1000000;
    forkfold_shared *primes;
    uint64_t twins = 0, high;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_count_primes(pool, million * million, million * million + million, &high) < 0 ||
        forkfold_primes(pool, million, &primes) < 0) {
        fprintf(stderr, "primes: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    /* Below a limit of 2^32 they have 32 bits each. */
    const uint32_t *list = forkfold_shared_data(primes);
    uint64_t count = forkfold_shared_count(primes);

    for (uint64_t i = 1; i < count; i++)
        twins += list[i] - list[i - 1] == 2;
    printf("primes below a million: %" PRIu64 ", the last is %" PRIu32 ", %" PRIu64 " twins\n",
           count, list[count - 1], twins);
    printf("primes in the million behind 10^12: %" PRIu64 "\n", high);
    forkfold_shared_close(primes);
    return 0;
}
