/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What supervisor and driver wait on: one epoll each, over doorbells
 * (eventfd), alarms (timerfd), deaths (pidfd) and lifelines.
 */
#ifndef FF_PLATFORM_EVENT_H
#define FF_PLATFORM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * All return a close-on-exec descriptor above 2, or -1 with errno: a host may
 * have its standard descriptors closed, and children replace theirs.
 */
int ff_epoll_open(void);
int ff_doorbell_open(void);
int ff_alarm_open(void);
int ff_pidfd_open(int pid);

/* A pipe whose ends are such descriptors.  0 or -1 with errno. */
int ff_lifeline_open(int ends[2]);

/* Kills the process behind the pidfd, which cannot be another one of the same number. */
void ff_pidfd_kill(int pidfd);

/* Waits until fd is readable or that time of the monotonic clock; signals do not shorten it. */
bool ff_wait_readable(int fd, uint64_t until_ns);

/* Adds fd; ff_epoll_wait then reports tag when fd is readable or hung up.  0 or -1 with errno. */
int ff_epoll_add(int epoll, int fd, uint64_t tag);
void ff_epoll_remove(int epoll, int fd);

/*
 * Waits at most timeout_ms (-1 = until something happens, 0 = just look) and writes up to max tags.
 * Returns how many; 0 also when a signal interrupted it.
 */
int ff_epoll_wait(int epoll, uint64_t *tags, int max, int timeout_ms);

/* Never blocks: a doorbell that has rung too often to count still rings. */
void ff_doorbell_ring(int doorbell);
void ff_doorbell_clear(int doorbell);

/* Once, at that time of CLOCK_MONOTONIC; 0 disarms. */
void ff_alarm_set(int alarm, uint64_t at_ns);
void ff_alarm_clear(int alarm);

#endif
