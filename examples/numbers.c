/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forkfold_sum_floats, forkfold_sum_integers and forkfold_get_statistics: exact, whatever the order
 * of the numbers.  Those in shared arrays are read by all workers.
 */
#include <inttypes.h>
#include <stdio.h>

#include <forkfold.h>

enum { COUNT = 1000000 };

int main(void)
{
    __attribute__((cleanup(forkfold_pool_cleanup))) forkfold_pool *pool = NULL;
    static const int64_t large[] = {INT64_MAX, INT64_MAX, 2};
    forkfold_numbers integers = {.data = large, .type = FORKFOLD_I64, .count = 3};
    forkfold_numbers floats = {.type = FORKFOLD_F64, .count = COUNT};
    forkfold_statistics statistics;
    forkfold_shared *shared;
    forkfold_int128 integer_sum;
    double naive = 0, sum;
    char message[256];

    if (forkfold_pool_open(&pool, NULL, message, sizeof(message)) < 0 ||
        forkfold_shared_open(pool, FORKFOLD_F64, COUNT, &shared) < 0) {
        fprintf(stderr, "numbers: %s\n", pool == NULL ? message : forkfold_pool_message(pool));
        return 1;
    }
    double *tenths = forkfold_shared_data(shared);

    for (int i = 0; i < COUNT; i++)
        tenths[i] = 0.1 * (i % 7);
    for (int i = 0; i < COUNT; i++)
        naive += tenths[i];
    floats.data = tenths;
    if (forkfold_sum_floats(pool, &floats, &sum) < 0 ||
        forkfold_get_statistics(pool, &floats, &statistics) < 0 ||
        forkfold_sum_integers(pool, &integers, &integer_sum) < 0) {
        fprintf(stderr, "numbers: %s\n", forkfold_pool_message(pool));
        return 1;
    }
    printf("sum %.9f, one after the other %.9f\n", sum, naive);
    printf("mean %g, variance %g, median %g\n", statistics.mean, statistics.variance,
           statistics.median);
    printf("2^63 - 1 twice, and 2: %" PRId64 " * 2^64 + %" PRIu64 "\n", integer_sum.high,
           integer_sum.low);
    forkfold_shared_close(shared);
    return 0;
}
