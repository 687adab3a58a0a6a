/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/fault.h"

#ifdef FF_KILL_POINTS

#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/job.h"

static char current_path[PATH_MAX];

void ff_fault_item(const char *folder, const char *name)
{
    (void)snprintf(current_path, sizeof(current_path), "%s%s", folder != NULL ? folder : "", name);
}

__attribute__((noinline)) static int overflow_stack(volatile int *depth)
{
    volatile char frame[4096];

    frame[0] = (char)*depth;
    if (++*depth == 0)
        return 0;
    return overflow_stack(depth) + frame[0];
}

static void leak(void)
{
    enum { CHUNK = 16 << 20 };
    void *memory;

    while ((memory = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0)) != MAP_FAILED)
        memset(memory, 1, CHUNK);
    abort();
}

/* Over what this worker has already published, as a bad pointer in a map function might. */
static void smear(struct ff_worker *worker)
{
    memset(ff_worker_own_seal(worker), 0x55, 4096);
    raise(SIGKILL);
}

static void act(struct ff_worker *worker, const char *action)
{
    volatile int *volatile wild = (volatile int *)0x10;
    void (*volatile nothing)(void) = NULL;

    if (strcmp(action, "segv") == 0)
        *wild = 1;
    if (strcmp(action, "null") == 0)
        nothing(); /* NOLINT(clang-analyzer-core.CallAndMessage): the point is to fault */
    if (strcmp(action, "abort") == 0)
        abort();
    if (strcmp(action, "overflow") == 0)
        overflow_stack(&(volatile int){1});
    if (strcmp(action, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(action, "exit") == 0)
        _exit(3);
    if (strcmp(action, "leak") == 0)
        leak();
    if (strcmp(action, "scribble") == 0)
        memset(ff_worker_neighbour(worker), 0x55, 64);
    if (strcmp(action, "smear") == 0)
        smear(worker);
    while (strcmp(action, "hang") == 0)
        pause();
}

void ff_fault_point(struct ff_worker *worker, const char *point)
{
    const char *text = getenv("FORKFOLD_FAULT");
    char action[16];
    char at[16];
    char glob[256];

    if (text == NULL || sscanf(text, "%15[^:]:%15[^:]:%255[^\n]", action, at, glob) != 3)
        return;
    if (strcmp(at, point) == 0 && fnmatch(glob, current_path, 0) == 0)
        act(worker, action);
}

#else
typedef int nothing_to_compile;
#endif
