/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <forkfold/error.h>

#include "jobs/sieve.h"
#include "jobs/sieve_bits.h"
#include "jobs/sieve_pattern.h"
#include "jobs/sieve_wheel.h"

/* The greatest number whose square is not above it. */
static uint64_t square_root(uint64_t number)
{
    uint64_t root = 0;

    for (uint64_t bit = UINT64_C(1) << 31; bit != 0; bit >>= 1)
        if ((root | bit) * (root | bit) <= number)
            root |= bit;
    return root;
}

static uint64_t root_below(uint64_t limit)
{
    return limit == 0 ? 0 : square_root(limit - 1);
}

size_t ff_sieve_base_bytes(uint64_t limit)
{
    size_t map_bytes = ff_sieve_map_bytes(0, root_below(limit) + 1);

    return sizeof(struct ff_sieve_base) + (map_bytes + 7) / 8 * 8;
}

/* The map of base, by a sieve whose own base primes are smaller: below 2^64 at most three of them. */
static int fill_map(struct ff_sieve_base *base)
{
    uint64_t numbers = base->root + 1;
    struct ff_sieve_base *smaller = malloc(ff_sieve_base_bytes(numbers));
    struct ff_sieve *sieve = NULL;
    uint64_t count;
    int code = smaller ? ff_sieve_base_fill(smaller, numbers) : FORKFOLD_E_MEMORY;

    if (code == 0)
        code = ff_sieve_open(&sieve, smaller);
    if (code == 0)
        code = ff_sieve_map(sieve, 0, numbers, base->map, &count);
    ff_sieve_close(sieve);
    free(smaller);
    return code;
}

int ff_sieve_base_fill(struct ff_sieve_base *base, uint64_t limit)
{
    base->limit = limit;
    base->root = root_below(limit);
    memset(base->map, 0, ff_sieve_base_bytes(limit) - sizeof(*base));
    return base->root <= FF_SIEVE_PATTERN_MAX ? 0 : fill_map(base);
}
