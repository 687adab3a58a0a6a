/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times a loop that is split by hand over plain processes: they are forked once, wait for a byte in a
 * pipe, compute their part in shared memory, and answer.
 *
 * usage: processes WORKERS REPEATS N
 */
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls.h"

enum { WORKERS_MAX = 256 };

struct state {
    uint64_t count;
    double *input;
    double *output;
    unsigned workers;
    int begin[WORKERS_MAX]; /* each worker's own pipe */
    int end;
};

static void compute(const struct state *state, unsigned worker)
{
    uint64_t first = state->count * worker / state->workers;
    uint64_t end = state->count * (worker + 1) / state->workers;

    for (uint64_t i = first; i < end; i++) {
        double x = state->input[i];

        state->output[i] = x * x + sin(x) * cos(x);
    }
}

static void work(const struct state *state, unsigned worker, int begin, int end)
{
    char byte;

    while (read(begin, &byte, 1) == 1) {
        compute(state, worker);
        if (write(end, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

static void run_all(void *context)
{
    const struct state *state = context;
    char byte = 0;

    for (unsigned i = 0; i < state->workers; i++)
        if (write(state->begin[i], &byte, 1) != 1)
            fail("a process is gone");
    for (unsigned i = 0; i < state->workers; i++)
        if (read(state->end, &byte, 1) != 1)
            fail("a process is gone");
}

static uint64_t digest_output(void *context)
{
    const struct state *state = context;

    return digest_numbers(state->output, state->count);
}

static double *map_shared(uint64_t count)
{
    void *memory = mmap(NULL, count * sizeof(double), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fail("no memory");
    return memory;
}

static void fork_all(struct state *state)
{
    int end[2];

    if (pipe(end) != 0)
        fail("no pipe");
    state->end = end[0];
    for (unsigned i = 0; i < state->workers; i++) {
        int begin[2];

        if (pipe(begin) != 0)
            fail("no pipe");
        state->begin[i] = begin[1];
        pid_t child = fork();

        if (child < 0)
            fail("cannot fork");
        if (child == 0) {
            /* Its own end would keep it from seeing that the parent has gone. */
            for (unsigned other = 0; other <= i; other++)
                close(state->begin[other]);
            work(state, i, begin[0], end[1]);
        }
        close(begin[0]);
    }
}

int main(int argc, char **argv)
{
    struct state state = {0};

    if (argc != 4)
        fail("usage: processes WORKERS REPEATS N");
    state.workers = (unsigned)strtoul(argv[1], NULL, 10);
    state.count = strtoull(argv[3], NULL, 10);
    if (state.workers == 0 || state.workers > WORKERS_MAX)
        fail("that many workers are not possible");
    state.input = map_shared(state.count);
    state.output = map_shared(state.count);
    fill_numbers(state.input, state.count);
    fork_all(&state);
    time_calls((unsigned)strtoul(argv[2], NULL, 10), run_all, &state, digest_output);
    return 0;
}
