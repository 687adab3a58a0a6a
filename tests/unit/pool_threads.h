/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool whose supervisor and workers are threads, so that the thread sanitizer
 * sees their handshakes.  The real loops run; only what makes processes of
 * them is replaced.  A worker is born by pthread_create, dies at a kill point
 * by pthread_exit, and is reaped by pthread_join, which orders its stores
 * before what follows, as the kernel does with a dead process's.
 *
 * Nothing else may order anything, or the sanitizer would not see where a
 * shared word fails to: the doorbells ring by system calls that it does not
 * know, the words of the test itself are relaxed, and who waits for one yields.
 *
 * At every kill point and every announcement a thread can be held, may linger,
 * or may die.
 */
#ifndef FF_TESTS_POOL_THREADS_H
#define FF_TESTS_POOL_THREADS_H

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/error.h>

#include "platform/event.h"
#include "platform/futex.h"
#include "platform/kill_point.h"
#include "platform/map.h"
#include "platform/process.h"
#include "pool/call.h"
#include "pool/pool_tags.h"
#include "pool/supervisor_state.h"
#include "pool/worker.h"
#include "pool/worker_state.h"
#include "random_keys.h"

enum { WORKERS_MAX = 4, SUPERVISOR = WORKERS_MAX, THREADS = WORKERS_MAX + 1 };

/* Numbers that no process has. */
enum { PID_FIRST = 1 << 30 };

/* ---- Places -------------------------------------------------------------- */

/*
 * A kill point, or an announcement as the source writes it.  One that is announced no more is a
 * place where nobody comes by: the test does not end.
 */
enum place {
    NOWHERE,
    SERVING,   /* the worker knows word and sequence, and looks next */
    SLEEPING,  /* it has looked, and says next that it sleeps */
    ASLEEP,    /* it has said so, and waits next */
    JOINING,   /* it has found work, and joins next */
    JOINS,     /* it announces that next */
    JOINED,    /* it has announced that, and looks next whether the call is closing */
    UNPARKING, /* the same for a parked worker */
    UNPARKED,
    CLAIMED, /* it has taken a task that is in no log yet */
    RUNNING,
    SEALED,  /* it has named a new seal */
    CLOSING, /* the supervisor has announced that, and looks a second time next */
    DEATH    /* wherever it is */
};

static const char *const place_names[] = {
    [NOWHERE] = "",
    [SERVING] = "worker.serve",
    [SLEEPING] = "&worker->segment->sleeping = 1",
    [ASLEEP] = "worker.sleep",
    [JOINING] = "worker.join.begin",
    [JOINS] = "&segment->joined = worker->sequence",
    [JOINED] = "worker.join.announced",
    [UNPARKING] = "&segment->parked = 0",
    [UNPARKED] = "worker.unpark",
    [CLAIMED] = "worker.claim.taken",
    [RUNNING] = "worker.item.begin",
    [SEALED] = "worker.seal.published",
    [CLOSING] = "&s->shared->closing = s->sequence",
    [DEATH] = "",
};

/* Where a thread is to stand still.  An order is a place and a number that makes it new. */
struct gate {
    ff_word64 order;    /* writer: the test; and who dies, for the next to live in the slot */
    ff_word64 next;     /* writer: the test; what order then becomes */
    ff_word64 standing; /* writer: the thread; the order that it obeys, or 0 */
    uint64_t wanted;    /* of the test alone: the newest order */
};

static struct gate gates[THREADS];
static ff_word64 linger_one_in; /* points; 0 = never */
static ff_word64 die_one_in;
static ff_word64 looks; /* of the supervisor */

static _Thread_local unsigned self;
static _Thread_local uint64_t dice;

static bool chance(const ff_word64 *one_in)
{
    uint64_t sides = ff_peer_get(one_in);

    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return sides != 0 && (dice >> 33) % sides == 0;
}

static enum place place_of(uint64_t order)
{
    return (enum place)(order & 0xff);
}

static void stand(struct gate *gate, const char *point)
{
    uint64_t order = ff_peer_get(&gate->order);

    if (place_of(order) == NOWHERE || strcmp(place_names[place_of(order)], point) != 0)
        return;
    ff_own_set(&gate->standing, order);
    while (ff_peer_get(&gate->order) == order)
        sched_yield();
    ff_own_set(&gate->standing, 0);
}

/* ---- Threads in place of processes --------------------------------------- */

struct sum {
    uint64_t total;
    uint64_t items;
    uint64_t factor; /* of the call */
};

/* Of each slot.  Writer of the first three: the supervisor, while nobody lives there. */
static struct life {
    pthread_t thread;
    int death_bell; /* stands for the pidfd */
    uint64_t seed;
    struct sum sum; /* the job's state, which a death does not leak here */
} lives[WORKERS_MAX];

static forkfold_pool pool;
static struct supervisor super;
static pthread_t supervisor_thread;
static int silent_bell; /* stands for what never happens: the deaths of driver and supervisor */

ssize_t __wrap_read(int fd, void *buffer, size_t bytes);
ssize_t __wrap_write(int fd, const void *buffer, size_t bytes);

ssize_t __wrap_read(int fd, void *buffer, size_t bytes)
{
    return syscall(SYS_read, fd, buffer, bytes);
}

ssize_t __wrap_write(int fd, const void *buffer, size_t bytes)
{
    return syscall(SYS_write, fd, buffer, bytes);
}

static _Noreturn void die(void)
{
    struct gate *gate = &gates[self];

    ff_own_set(&gate->order, ff_peer_get(&gate->next));
    ff_own_set(&gate->next, NOWHERE);
    ff_doorbell_ring(lives[self].death_bell);
    pthread_exit(NULL);
}

static void pass(const char *point)
{
    struct gate *gate = &gates[self];

    if (chance(&linger_one_in))
        for (uint64_t turns = dice >> 60; turns > 0; turns--)
            sched_yield();
    stand(gate, point);
    if (self != SUPERVISOR && (place_of(ff_peer_get(&gate->order)) == DEATH || chance(&die_one_in)))
        die();
}

static pid_t start_worker(unsigned slot);

static void kill_worker_thread(pid_t pid)
{
    struct ff_control_shared *control = pool.layout.control;

    ff_own_set(&gates[pid - PID_FIRST].order, DEATH);
    ff_bump32(&control->work);
    ff_futex_wake(&control->work, UINT64_MAX);
}

static struct ff_exit reap_worker_thread(pid_t pid)
{
    pthread_join(lives[pid - PID_FIRST].thread, NULL);
    return (struct ff_exit){.known = true, .signal = SIGKILL};
}

static void count_look(void)
{
    ff_own_set(&looks, ff_peer_get(&looks) + 1);
}

#undef FF_KILL_POINT
#define FF_KILL_POINT(point) pass(point)

/* Both loops, as they are built into the library but for the following. */
#define shed_inheritance         shed_worker_inheritance
#define ff_announce(word, value) (pass(#word " = " #value), ff_announce(word, value))
#define _exit(code)              die()
#include "pool/worker.c" /* NOLINT(bugprone-suspicious-include): its loop is static */
#undef shed_inheritance
#undef ff_announce
#undef _exit

#define ff_announce(word, value)             (ff_announce(word, value), pass(#word " = " #value))
#define _exit(code)                          pthread_exit(NULL)
#define fork()                               start_worker(slot)
#define kill(pid, signal)                    kill_worker_thread(pid)
#define ff_pidfd_open(pid)                   (lives[(pid)-PID_FIRST].death_bell)
#define ff_process_reap(pidfd, pid)          reap_worker_thread(pid)
#define ff_process_end_strays(ours, count)   ((void)0)
#define ff_process_oom_kills()               0
#define ff_epoll_wait(epoll, tags, max, end) (count_look(), ff_epoll_wait(epoll, tags, max, end))
#include "pool/supervisor.c" /* NOLINT(bugprone-suspicious-include): likewise */
#undef ff_announce
#undef _exit
#undef fork
#undef kill
#undef ff_epoll_wait

/* What ff_worker_main does in a process of its own is left out. */
static void *live(void *pointer)
{
    const struct life *life = pointer;

    self = (unsigned)(life - lives);
    dice = life->seed;

    const struct ff_segment_areas *areas = &pool.layout.segments[self];
    struct ff_worker worker = {.layout = &pool.layout,
                               .areas = areas,
                               .segment = areas->head,
                               .slot = self,
                               .asker = {.channel = -1, .supervisor = -1},
                               .spill = {.slots = pool.layout.workers}};

    memset(&areas->head->crash, 0, sizeof(areas->head->crash));
    FF_KILL_POINT("worker.born");
    serve(&worker);
}

static pid_t start_worker(unsigned slot)
{
    struct life *life = &lives[slot];

    life->seed = dice += 2;
    life->death_bell = ff_doorbell_open();
    if (life->death_bell < 0 || pthread_create(&life->thread, NULL, live, life) != 0)
        return -1;
    return PID_FIRST + (pid_t)slot;
}

static void *supervise(void *pointer)
{
    self = SUPERVISOR;
    dice = *(const uint64_t *)pointer;
    populate(&super);
    loop(&super);
}

/* ---- The pool ------------------------------------------------------------ */

static int sum_attach(struct ff_worker *worker, const void *context, void **state)
{
    struct sum *sum = &lives[self].sum;

    (void)worker;
    *sum = (struct sum){.factor = *(const uint64_t *)context};
    *state = sum;
    return 0;
}

static void sum_detach(void *state)
{
    (void)state;
}

static int sum_run(void *state, uint64_t item, struct ff_item_failure *failure)
{
    struct sum *sum = state;

    (void)failure;
    sum->total += (item + 1) * sum->factor;
    sum->items++;
    return item % 5 == 0 ? FF_ITEM_SEAL_NOW : FF_ITEM_DONE;
}

static int sum_absorb(void *state, const void *payload, size_t bytes)
{
    struct sum *sum = state;
    const struct sum *base = payload;

    assert_int_equal(bytes, sizeof(*base));
    sum->total += base->total;
    sum->items += base->items;
    return 0;
}

static int sum_seal(void *state, void *payload, size_t capacity, size_t *bytes)
{
    *bytes = sizeof(struct sum);
    if (capacity < *bytes)
        return FORKFOLD_E_LIMIT;
    memcpy(payload, state, *bytes);
    return 0;
}

static const struct ff_job sum_job = {.name = "sum",
                                      .attach = sum_attach,
                                      .detach = sum_detach,
                                      .run = sum_run,
                                      .absorb = sum_absorb,
                                      .seal = sum_seal};

static void open_pool(unsigned workers)
{
    static uint64_t seed;

    memset(gates, 0, sizeof(gates));
    memset(&pool, 0, sizeof(pool));
    assert_true(workers <= WORKERS_MAX);
    assert_int_equal(ff_layout_open(&pool.layout, workers), 0);
    silent_bell = ff_doorbell_open();
    pool.owner = getpid();
    pool.supervisor_pidfd = silent_bell;
    pool.layout.driver_bell = ff_doorbell_open();
    pool.layout.supervisor_bell = ff_doorbell_open();
    pool.epoll = ff_epoll_open();
    pool.alarm = ff_alarm_open();
    assert_int_equal(ff_epoll_add(pool.epoll, pool.layout.driver_bell, FF_TAG_BELL), 0);
    assert_int_equal(ff_epoll_add(pool.epoll, pool.alarm, FF_TAG_ALARM), 0);
    super = (struct supervisor){.layout = &pool.layout,
                                .shared = pool.layout.supervisor,
                                .slots = calloc(workers, sizeof(struct slot)),
                                .ours = calloc(workers, sizeof(pid_t)),
                                .lifeline = silent_bell,
                                .driver_pidfd = ff_doorbell_open(),
                                .driver_channel = ff_doorbell_open()};
    assert_non_null(super.slots);
    assert_non_null(super.ours);
    assert_true(open_events(&super));
    seed = random_u64();
    assert_int_equal(pthread_create(&supervisor_thread, NULL, supervise, &seed), 0);
}

/* By the supervisor's own way to end a pool, wherever a failed test has left its threads. */
static int close_pool(void **state)
{
    int fds[] = {pool.layout.driver_bell,
                 pool.layout.supervisor_bell,
                 pool.epoll,
                 pool.alarm,
                 super.driver_pidfd,
                 super.driver_channel,
                 super.epoll,
                 super.alarm,
                 silent_bell};

    (void)state;
    ff_own_set(&linger_one_in, 0);
    ff_own_set(&die_one_in, 0);
    ff_own_set(&gates[SUPERVISOR].order, NOWHERE);
    ff_publish(&pool.layout.control->closed, 1);
    ff_doorbell_ring(pool.layout.supervisor_bell);
    pthread_join(supervisor_thread, NULL);
    for (unsigned i = 0; i < pool.layout.workers; i++) {
        close(super.slots[i].pidfd);
        if (super.slots[i].channel >= 0)
            close(super.slots[i].channel);
    }
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    free(super.slots);
    free(super.ours);
    free(super.blames);
    free(super.consumed);
    ff_layout_close(&pool.layout);
    return 0;
}

/* ---- Holding threads ----------------------------------------------------- */

/* From here on the thread stands still when it gets there, and goes on from where it stands. */
static void hold(unsigned thread, enum place place)
{
    static uint64_t number;
    struct gate *gate = &gates[thread];
    uint64_t before = gate->wanted;

    gate->wanted = ++number << 8 | place;
    ff_own_set(&gate->order, gate->wanted);
    while (ff_peer_get(&gate->standing) == before && before != 0)
        sched_yield();
}

static void await(unsigned thread)
{
    while (ff_peer_get(&gates[thread].standing) != gates[thread].wanted)
        sched_yield();
}

static void let_go(unsigned thread)
{
    hold(thread, NOWHERE);
}

/* The worker dies where it stands, and the next one in its slot gets as far as place. */
static void kill_where_it_stands(unsigned slot, enum place place)
{
    struct gate *gate = &gates[slot];

    gate->wanted = gate->wanted >> 8 << 8 | place;
    ff_own_set(&gate->next, gate->wanted);
    ff_own_set(&gate->order, DEATH);
}

/* Wakes the workers without a reason, so that they come by the places of an idle one. */
static void stir(void)
{
    ff_layout_wake_workers(&pool.layout, UINT64_MAX);
}

/* Returns once the supervisor has looked at all that has happened before. */
static void let_supervisor_look(void)
{
    for (int turn = 0; turn < 2; turn++) {
        uint64_t before = ff_peer_get(&looks);

        ff_doorbell_ring(pool.layout.supervisor_bell);
        while (ff_peer_get(&looks) == before)
            sched_yield();
    }
}

static void assert_call_goes_on(void)
{
    let_supervisor_look();
    assert_true(ff_peer_get(&pool.layout.supervisor->finished) < pool.sequence);
}

#endif
