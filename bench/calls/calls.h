/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs that time calls have in common: the same numbers for all of them, the clock, and
 * what they print, "SECONDS DIGEST": the median of the repeats, and a digest of what came out, which
 * must be equal for all that answer one question.
 */
#ifndef BENCH_CALLS_CALLS_H
#define BENCH_CALLS_CALLS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn static inline void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Numbers from -500 to 500 in no order; the same in pool.py. */
static inline void fill_numbers(double *numbers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = (double)(i * 7919 % 1000003) / 1000 - 500;
}

/* Integers, so that products are exact in any order. */
static inline void fill_matrix(double *matrix, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        matrix[i] = (double)((i + seed) * 2654435761U % 201) - 100;
}

/* Of the bits, in any order; the same in pool.py. */
static inline uint64_t digest_numbers(const double *numbers, uint64_t count)
{
    uint64_t digest = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits;

        memcpy(&bits, &numbers[i], sizeof(bits));
        digest += bits;
    }
    return digest;
}

/* Of primes, in any order. */
static inline uint64_t digest_integers(const uint32_t *numbers, uint64_t count)
{
    uint64_t digest = 0;

    for (uint64_t i = 0; i < count; i++)
        digest += (uint64_t)numbers[i] * numbers[i];
    return digest;
}

/* Computes for so many rounds, each of which waits for the one before; see "speed" of processes.c. */
static inline uint64_t compute_rounds(uint64_t value, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return value;
}

static inline int compare_seconds(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;

    return (*left > *right) - (*left < *right);
}

/* Calls act(context) so often, and twice before to warm up; prints what it took, and the digest. */
static inline void time_calls(unsigned repeats, void (*act)(void *context), void *context,
                              uint64_t (*digest)(void *context))
{
    double *seconds = malloc(repeats * sizeof(*seconds));

    if (seconds == NULL)
        fail("no memory");
    act(context);
    act(context);
    for (unsigned i = 0; i < repeats; i++) {
        double begin = now();

        act(context);
        seconds[i] = now() - begin;
    }
    qsort(seconds, repeats, sizeof(*seconds), compare_seconds);
    printf("%.9f %llu\n", seconds[repeats / 2], (unsigned long long)digest(context));
    free(seconds);
}

#endif
