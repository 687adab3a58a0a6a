/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times what plain processes do that share memory and are made by hand: they are forked once, wait
 * for a byte in a pipe, do their part, and answer.
 *
 * usage: processes WORK WORKERS REPEATS N[/ROUNDS]
 *        processes speed
 *
 *   loop       f of N doubles, in parts of one size
 *   claims     N additions of one to one counter, by all processes
 *   ping-pong  a word to another process by a futex, and its answer; N is not looked at
 *   busy       N items that compute for so many ROUNDS each, in parts of one size
 *   speed      prints the rounds that take a microsecond
 */
#include <linux/futex.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"

enum { WORKERS_MAX = 256 };

/* What the processes share. */
struct board {
    _Atomic uint64_t next;              /* to be claimed */
    uint64_t sums[WORKERS_MAX];         /* each written by its worker, read when it has answered */
    _Alignas(64) _Atomic uint32_t ball; /* 1 to the partner, 0 back */
    uint64_t answer;                    /* of the partner: how often it has got the ball */
};

struct state {
    uint64_t count;
    uint64_t rounds; /* of an item */
    double *input;
    double *output;
    struct board *board;
    void (*work)(const struct state *state, unsigned worker);
    unsigned workers;
    int begin[WORKERS_MAX]; /* each worker's own pipe */
    int end;
};

/* ---- Work ---------------------------------------------------------------- */

static uint64_t first_of(const struct state *state, unsigned worker)
{
    return state->count * worker / state->workers;
}

static void loop(const struct state *state, unsigned worker)
{
    for (uint64_t i = first_of(state, worker); i < first_of(state, worker + 1); i++) {
        double x = state->input[i];

        state->output[i] = x * x + sin(x) * cos(x);
    }
}

static void claim(const struct state *state, unsigned worker)
{
    uint64_t claimed = 0;

    while (atomic_fetch_add(&state->board->next, 1) < state->count)
        claimed++;
    state->board->sums[worker] = claimed;
}

static void be_busy(const struct state *state, unsigned worker)
{
    uint64_t sum = 0;

    for (uint64_t i = first_of(state, worker); i < first_of(state, worker + 1); i++)
        sum += compute_rounds(i, state->rounds);
    state->board->sums[worker] = sum;
}

static uint64_t digest_output(void *context)
{
    const struct state *state = context;

    return digest_numbers(state->output, state->count);
}

static uint64_t digest_sums(void *context)
{
    const struct state *state = context;
    uint64_t digest = 0;

    for (unsigned i = 0; i < state->workers; i++)
        digest += state->board->sums[i];
    return digest;
}

/* ---- Processes ----------------------------------------------------------- */

static void work(const struct state *state, unsigned worker, int begin, int end)
{
    char byte;

    while (read(begin, &byte, 1) == 1) {
        state->work(state, worker);
        if (write(end, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

static void run_all(void *context)
{
    const struct state *state = context;
    char byte = 0;

    atomic_store(&state->board->next, 0);
    for (unsigned i = 0; i < state->workers; i++)
        if (write(state->begin[i], &byte, 1) != 1)
            fail("a process is gone");
    for (unsigned i = 0; i < state->workers; i++)
        if (read(state->end, &byte, 1) != 1)
            fail("a process is gone");
}

static void *map_shared(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

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

/* ---- Two of them --------------------------------------------------------- */

static void pass(struct board *board, uint32_t side)
{
    atomic_store(&board->ball, side);
    syscall(SYS_futex, &board->ball, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void await(struct board *board, uint32_t side)
{
    while (atomic_load(&board->ball) != side)
        syscall(SYS_futex, &board->ball, FUTEX_WAIT, !side, NULL, NULL, 0);
}

static void ping(void *context)
{
    pass(context, 1);
    await(context, 0);
}

static uint64_t digest_answer(void *context)
{
    return ((const struct board *)context)->answer;
}

static void fork_partner(struct board *board)
{
    pid_t parent = getpid();
    pid_t child = fork();

    if (child < 0)
        fail("cannot fork");
    if (child > 0)
        return;
    /* It would wait for ever for a parent that has gone. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) {
        await(board, 1);
        board->answer++;
        pass(board, 0);
    }
    _exit(0);
}

/* The best of many short stretches: the one that nothing interrupted. */
static unsigned measure_speed(void)
{
    enum { STRETCHES = 200, ROUNDS = 100000 };
    double best = 0;

    for (unsigned i = 0; i < STRETCHES; i++) {
        double begin = now();

        if (compute_rounds(i, ROUNDS) == 1)
            fail("strange numbers");
        double speed = ROUNDS / (1e6 * (now() - begin));

        if (speed > best)
            best = speed;
    }
    return (unsigned)best;
}

static void time_work(struct state *state, const char *name, unsigned repeats)
{
    if (strcmp(name, "loop") == 0) {
        state->work = loop;
        state->input = map_shared(state->count * sizeof(double));
        state->output = map_shared(state->count * sizeof(double));
        fill_numbers(state->input, state->count);
    } else if (strcmp(name, "claims") == 0) {
        state->work = claim;
    } else if (strcmp(name, "busy") == 0) {
        state->work = be_busy;
    } else {
        fail("no such work");
    }
    fork_all(state);
    time_calls(repeats, run_all, state, state->work == loop ? digest_output : digest_sums);
}

int main(int argc, char **argv)
{
    struct state state = {0};
    unsigned repeats;
    char *rest;

    if (argc == 2 && strcmp(argv[1], "speed") == 0) {
        printf("%u\n", measure_speed());
        return 0;
    }
    if (argc != 5)
        fail("usage: processes WORK WORKERS REPEATS N[/ROUNDS]");
    state.workers = (unsigned)strtoul(argv[2], NULL, 10);
    repeats = (unsigned)strtoul(argv[3], NULL, 10);
    state.count = strtoull(argv[4], &rest, 10);
    state.rounds = *rest == '/' ? strtoull(rest + 1, NULL, 10) : 0;
    if (state.workers == 0 || state.workers > WORKERS_MAX)
        fail("that many workers are not possible");
    state.board = map_shared(sizeof(*state.board));
    if (strcmp(argv[1], "ping-pong") == 0) {
        fork_partner(state.board);
        time_calls(repeats, ping, state.board, digest_answer);
    } else {
        time_work(&state, argv[1], repeats);
    }
    return 0;
}
