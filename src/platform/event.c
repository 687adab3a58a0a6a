/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/event.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "platform/clock.h"

enum { TAGS_MAX = 64 };

static int above_standard(int fd)
{
    int moved;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return moved;
}

/* The new descriptor if it can be used, else -1 with the errno that the attempt has set. */
static int usable(int fd, bool works)
{
    int cause = errno;

    if (fd < 0 || works)
        return fd;
    close(fd);
    errno = cause;
    return -1;
}

int ff_epoll_open(void)
{
    int epoll = above_standard(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event;

    /* Where waiting is refused, the loops around it would spin for ever. */
    return usable(epoll, epoll >= 0 && epoll_wait(epoll, &event, 1, 0) == 0);
}

int ff_doorbell_open(void)
{
    return above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int ff_alarm_open(void)
{
    int alarm = above_standard(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    struct itimerspec never = {0};

    /* Where setting it is refused, no timeout and no deadline would ever come. */
    return usable(alarm, alarm >= 0 && timerfd_settime(alarm, 0, &never, NULL) == 0);
}

int ff_pidfd_open(int pid)
{
    return above_standard((int)syscall(SYS_pidfd_open, pid, 0));
}

int ff_lifeline_open(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    return ends[0] >= 0 && ends[1] >= 0 ? 0 : -1;
}

void ff_pidfd_kill(int pidfd)
{
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

bool ff_wait_readable(int fd, uint64_t until_ns)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};

    for (;;) {
        uint64_t now = ff_clock_ns();
        uint64_t left_ms = now < until_ns ? (until_ns - now) / FF_NS_PER_MS + 1 : 0;

        if (poll(&event, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX) > 0)
            return true;
        if (left_ms == 0)
            return false;
    }
}

int ff_epoll_add(int epoll, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void ff_epoll_remove(int epoll, int fd)
{
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

int ff_epoll_wait(int epoll, uint64_t *tags, int max, int timeout_ms)
{
    struct epoll_event events[TAGS_MAX];
    int count = epoll_wait(epoll, events, max < TAGS_MAX ? max : TAGS_MAX, timeout_ms);

    for (int i = 0; i < count; i++)
        tags[i] = events[i].data.u64;
    return count < 0 ? 0 : count;
}

void ff_doorbell_ring(int doorbell)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so whoever listens will wake anyway. */
    (void)!write(doorbell, &one, sizeof(one));
}

void ff_doorbell_clear(int doorbell)
{
    uint64_t count;

    (void)!read(doorbell, &count, sizeof(count));
}

void ff_alarm_set(int alarm, uint64_t at_ns)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / FF_NS_PER_S),
                                           .tv_nsec = (long)(at_ns % FF_NS_PER_S)}};

    (void)timerfd_settime(alarm, TFD_TIMER_ABSTIME, &when, NULL);
}

void ff_alarm_clear(int alarm)
{
    uint64_t count;

    (void)!read(alarm, &count, sizeof(count));
}
