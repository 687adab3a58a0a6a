/* SPDX-License-Identifier: Apache-2.0 */
/* For tests whose workers are killed: at random, or at a point of the code. */
#ifndef FF_TESTS_KILLS_H
#define FF_TESTS_KILLS_H

#include "item_script.h"

#include <sys/prctl.h>

/* A process that kills a worker every now and then, until it is killed itself. */
static inline pid_t start_killer(pid_t supervisor, uint64_t seed)
{
    pid_t killer = fork();

    if (killer != 0)
        return killer;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
    for (uint64_t i = seed;; i++) {
        pid_t workers[8];
        unsigned count = children_of(supervisor, workers, 8);
        uint64_t until = ff_clock_ns() + mix(i) % (4 * FF_NS_PER_MS);

        if (count > 0)
            kill(workers[mix(i + 1) % count], SIGKILL);
        while (ff_clock_ns() < until)
            sched_yield();
    }
}

static inline void stop_killer(pid_t killer)
{
    kill(killer, SIGKILL);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
}

#ifdef FF_KILL_POINTS
/* The points that workers pass in calls on items. */
static const char *const worker_points[] = {
    "worker.born",          "worker.serve",        "worker.join.begin",    "worker.join.announced",
    "worker.call.enter",    "worker.claim.begin",  "worker.claim.taken",   "worker.claim.logged",
    "worker.claim.counted", "worker.item.begin",   "worker.items.written", "worker.items.published",
    "worker.items.note",    "worker.items.retire", "worker.sleep",
};
enum { WORKER_POINT_COUNT = sizeof(worker_points) / sizeof(worker_points[0]) };

/* A worker that comes to the point for the at-th time dies: how is kill, segv or exit. */
static inline forkfold_pool *open_pool_that_dies(const char *point, const char *how, unsigned at,
                                                 const forkfold_pool_options *options)
{
    char order[128];
    forkfold_pool *pool;

    snprintf(order, sizeof(order), "%s:%s:%u", point, how, at);
    setenv("FORKFOLD_KILL", order, 1);
    pool = open_pool_with(options);
    unsetenv("FORKFOLD_KILL");
    return pool;
}
#endif

#endif
