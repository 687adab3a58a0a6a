/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/kill_point.h"

#ifdef FF_KILL_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "platform/atomic.h"

static struct {
    char point[64];
    char how[16];
    uint64_t at;
    ff_word64 *passed; /* shared by all processes of the pool */
} order;

void ff_kill_points_open(void)
{
    const char *text = getenv("FORKFOLD_KILL");
    unsigned long long at = 0;

    order.at = 0;
    if (text == NULL)
        return;
    if (sscanf(text, "%63[^:]:%15[^:]:%llu", order.point, order.how, &at) != 3) {
        fprintf(stderr, "FORKFOLD_KILL: '%s' is not POINT:HOW:N\n", text);
        abort();
    }
    if (order.passed == NULL) {
        void *page = mmap(NULL, sizeof(ff_word64), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED)
            abort();
        order.passed = page;
    }
    ff_own_set(order.passed, 0);
    order.at = at;
}

static void die(void)
{
    volatile int *volatile wild = (volatile int *)8;

    if (strcmp(order.how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(order.how, "stop") == 0)
        raise(SIGSTOP);
    if (strcmp(order.how, "exit") == 0)
        _exit(7);
    if (strcmp(order.how, "segv") == 0)
        *wild = 1;
    while (strcmp(order.how, "hang") == 0)
        pause();
}

void ff_kill_point(const char *point)
{
    if (order.at == 0)
        return;
    if (strcmp(order.point, "*") != 0 && strcmp(order.point, point) != 0)
        return;
    if (ff_take_next(order.passed) + 1 == order.at) {
        /* For the test that asks whether the point was reached at all. */
        const char *witness = getenv("FORKFOLD_KILL_WITNESS");
        int fd =
            witness != NULL ? open(witness, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

        if (fd >= 0) {
            dprintf(fd, "%s\n", point);
            close(fd);
        }
        die();
    }
}

#else
typedef int nothing_to_compile;
#endif
