/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times OpenBLAS alone; how many threads it has is said by OPENBLAS_NUM_THREADS.
 *
 * usage: openblas REPEATS N
 */
#include <cblas.h>

#include "calls.h"

struct state {
    int n;
    double *matrices[3];
};

static void multiply(void *context)
{
    const struct state *state = context;
    int n = state->n;

    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, state->matrices[0], n,
                state->matrices[1], n, 0, state->matrices[2], n);
}

static uint64_t digest_output(void *context)
{
    const struct state *state = context;

    return digest_numbers(state->matrices[2], (uint64_t)state->n * (uint64_t)state->n);
}

int main(int argc, char **argv)
{
    struct state state = {0};

    if (argc != 3)
        fail("usage: openblas REPEATS N");
    state.n = atoi(argv[2]);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t count = (uint64_t)state.n * (uint64_t)state.n;

        state.matrices[i] = malloc(count * sizeof(double));
        if (state.matrices[i] == NULL)
            fail("no memory");
        fill_matrix(state.matrices[i], count, i);
    }
    time_calls((unsigned)strtoul(argv[1], NULL, 10), multiply, &state, digest_output);
    return 0;
}
