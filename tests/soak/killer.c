/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kills workers of the pool at random moments: a timer of the host's, whose handler also interrupts
 * whatever system call the host is in.  It notices when a round does not end, too.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

/* Between two moments: 2^16 ns (65 us) and more, up to 2^26 ns (67 ms), short times as often. */
enum { LEAST_BITS = 16, MORE_BITS = 10, ALL_ONE_IN = 16, HANG_S = 120, WORKERS_MOST = 16 };

static const struct soak *subject;
static uint64_t state;
static timer_t timer;
static atomic_int killing;
static atomic_ulong kills;
static int killed[WORKERS_MOST]; /* the last of each slot */
static uint64_t hanging_round;
static time_t hanging_since;

static uint64_t draw_here(uint64_t below)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(state) % below;
}

static void arm(void)
{
    uint64_t bit = UINT64_C(1) << (LEAST_BITS + draw_here(MORE_BITS));
    struct itimerspec next = {.it_value.tv_nsec = (long)(bit + draw_here(bit))};

    timer_settime(timer, 0, &next, NULL);
}

static void kill_one(unsigned slot)
{
    int pid = forkfold_pool_worker(subject->pool, slot);

    if (pid > 0 && kill(pid, SIGKILL) == 0) {
        killed[slot] = pid;
        atomic_fetch_add(&kills, 1);
    }
}

/* So that a hang ends with a core and a backtrace, if somebody wants them. */
static void look_for_hang(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (hanging_since == 0 || hanging_round != subject->round) {
        hanging_round = subject->round;
        hanging_since = now.tv_sec;
    } else if (now.tv_sec - hanging_since > HANG_S) {
        static const char text[] = "soak: a round does not end: ";

        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        (void)!write(STDERR_FILENO, subject->work, strlen(subject->work));
        (void)!write(STDERR_FILENO, "\n", 1);
        abort();
    }
}

static void on_alarm(int number)
{
    int error = errno;

    (void)number;
    look_for_hang();
    if (killing) {
        if (draw_here(ALL_ONE_IN) == 0)
            for (unsigned i = 0; i < subject->workers; i++)
                kill_one(i);
        else
            kill_one((unsigned)draw_here(subject->workers));
        arm();
    }
    errno = error;
}

void killer_start(struct soak *soak)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

    subject = soak;
    state = mix(soak->seed);
    EXPECT(soak,
           sigaction(SIGALRM, &action, NULL) == 0 &&
               timer_create(CLOCK_MONOTONIC, &event, &timer) == 0,
           "no timer");
}

void killer_resume(void)
{
    killing = 1;
    arm();
}

void killer_pause(void)
{
    static const struct itimerspec never = {0};

    killing = 0;
    timer_settime(timer, 0, &never, NULL);
}

uint64_t killer_kills(void)
{
    return kills;
}

int killer_has_killed(int pid)
{
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        if (killed[i] == pid)
            return 1;
    return 0;
}
