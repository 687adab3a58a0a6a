/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pieces of a process model cost on this machine: starting, stopping,
 * protecting memory, handing over a message.  Prints the median and the range
 * of RUNS runs of each, in microseconds an operation.
 *
 *     cc -O2 -pthread -o /tmp/prices bench/concurrency/prices.c && /tmp/prices
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 9, STARTS = 100, TRIPS = 10000, STORES = 10000000 };

#define MIB ((size_t)1 << 20)
#define TIB ((size_t)1 << 40)

extern char **environ;

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

/* measured does its work once and returns how often it did the operation. */
static void measure(const char *name, size_t (*measured)(void *), void *argument)
{
    double times[RUNS];

    measured(argument); /* faults code and stacks in */
    for (int i = 0; i < RUNS; i++) {
        double begin = now_us();
        size_t operations = measured(argument);

        times[i] = (now_us() - begin) / (double)operations;
    }
    qsort(times, RUNS, sizeof(times[0]), compare);
    printf("%-52s %10.4f   (%.4f to %.4f)\n", name, times[RUNS / 2], times[0], times[RUNS - 1]);
}

static void *map(size_t bytes, int sharing)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(memory != MAP_FAILED, "mmap");
    return memory;
}

/* ---- Starting ------------------------------------------------------------ */

static void *do_nothing(void *argument)
{
    return argument;
}

static size_t start_threads(void *unused)
{
    (void)unused;
    for (int i = 0; i < STARTS; i++) {
        pthread_t thread;

        must(pthread_create(&thread, NULL, do_nothing, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    return STARTS;
}

/* The child protects all of region but one page first, if there is one. */
static size_t start_processes(void *region)
{
    for (int i = 0; i < STARTS; i++) {
        pid_t pid = fork();

        must(pid >= 0, "fork");
        if (pid == 0) {
            if (region != NULL && (mprotect(region, TIB, PROT_READ) != 0 ||
                                   mprotect((char *)region + MIB, 4096, PROT_READ | PROT_WRITE)))
                _exit(1);
            _exit(0);
        }
        int status;

        must(waitpid(pid, &status, 0) == pid && status == 0, "waitpid");
    }
    return STARTS;
}

static size_t start_programs(void *unused)
{
    char *arguments[] = {"true", NULL};

    (void)unused;
    for (int i = 0; i < STARTS; i++) {
        pid_t pid;

        must(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0, "posix_spawn");
        must(waitpid(pid, NULL, 0) == pid, "waitpid");
    }
    return STARTS;
}

static void measure_starts(void)
{
    char *region = map(TIB, MAP_SHARED);

    measure("thread: create, join", start_threads, NULL);
    measure("process: fork, exit, wait", start_processes, NULL);
    measure("the same, 1 TiB of shared memory made read-only", start_processes, region);
    memset(region, 1, 256 * MIB);
    measure("fork, exit, wait with 256 MiB of shared memory", start_processes, NULL);
    munmap(region, TIB);
    void *private = map(256 * MIB, MAP_PRIVATE);

    madvise(private, 256 * MIB, MADV_NOHUGEPAGE);
    memset(private, 1, 256 * MIB);
    measure("fork, exit, wait with 256 MiB of private memory", start_processes, NULL);
    munmap(private, 256 * MIB);
    measure("program: posix_spawn of /bin/true, wait", start_programs, NULL);
}

/* ---- Handing over -------------------------------------------------------- */

struct partners {
    int to[2];
    int from[2];
    _Atomic uint32_t *ball; /* odd: the partner's turn */
};

static size_t pipe_trips(void *argument)
{
    struct partners *partners = argument;
    char byte = 1;

    for (int i = 0; i < TRIPS; i++) {
        must(write(partners->to[1], &byte, 1) == 1, "write");
        must(read(partners->from[0], &byte, 1) == 1, "read");
    }
    return TRIPS;
}

static void echo_pipe(struct partners *partners)
{
    char byte;

    while (read(partners->to[0], &byte, 1) == 1)
        if (write(partners->from[1], &byte, 1) != 1)
            return;
}

static void pass_ball(_Atomic uint32_t *ball, uint32_t value)
{
    atomic_store(ball, value);
    syscall(SYS_futex, ball, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void await_ball(_Atomic uint32_t *ball, uint32_t others)
{
    while (atomic_load(ball) == others)
        syscall(SYS_futex, ball, FUTEX_WAIT, others, NULL, NULL, 0);
}

static size_t futex_trips(void *argument)
{
    struct partners *partners = argument;

    for (int i = 0; i < TRIPS; i++) {
        pass_ball(partners->ball, 1);
        await_ball(partners->ball, 1);
    }
    return TRIPS;
}

static void echo_futex(struct partners *partners)
{
    for (;;) {
        await_ball(partners->ball, 0);
        pass_ball(partners->ball, 0);
    }
}

static size_t publish_stores(void *word)
{
    for (size_t i = 0; i < STORES; i++)
        atomic_store_explicit((_Atomic uint64_t *)word, i, memory_order_release);
    return STORES;
}

static size_t claims(void *word)
{
    for (size_t i = 0; i < STORES; i++)
        atomic_fetch_add_explicit((_Atomic uint64_t *)word, 1, memory_order_acq_rel);
    return STORES;
}

static void keep_claiming(void *word)
{
    for (;;)
        claims(word);
}

static void with_partner(const char *name, void (*partner)(void *), size_t (*measured)(void *),
                         void *argument)
{
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid == 0) {
        partner(argument);
        _exit(0);
    }
    measure(name, measured, argument);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void measure_messages(void)
{
    void *word = map(4096, MAP_SHARED);
    struct partners partners = {.ball = map(4096, MAP_SHARED)};

    must(pipe(partners.to) == 0 && pipe(partners.from) == 0, "pipe");
    with_partner("two pipes: there and back", (void (*)(void *))echo_pipe, pipe_trips, &partners);
    with_partner("futex: there and back", (void (*)(void *))echo_futex, futex_trips, &partners);
    measure("claim by atomic add, alone", claims, word);
    with_partner("claim by atomic add, against another process", keep_claiming, claims, word);
    measure("publish by a store into shared memory", publish_stores, word);
}

int main(void)
{
    printf("%-52s %10s   (%d runs)\n", "operation", "median us", RUNS);
    measure_starts();
    measure_messages();
    return 0;
}
