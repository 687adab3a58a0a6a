/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What supervisor and driver wait on: one epoll each, over doorbells
 * (eventfd), alarms (timerfd), deaths (pidfd) and lifelines.
 */
#ifndef FF_PLATFORM_EVENT_H
#define FF_PLATFORM_EVENT_H

#include <stdint.h>

/* All return a close-on-exec descriptor, or -1 with errno. */
int ff_epoll_open(void);
int ff_doorbell_open(void);
int ff_alarm_open(void);
int ff_pidfd_open(int pid);

/* Adds fd; ff_epoll_wait then reports tag when fd is readable or hung up.  0 or -1 with errno. */
int ff_epoll_add(int epoll, int fd, uint64_t tag);
void ff_epoll_remove(int epoll, int fd);

/*
 * Waits at most timeout_ms (-1 = until something happens, 0 = just look) and writes up to max tags.
 * Returns how many; 0 when a signal interrupted it.
 */
int ff_epoll_wait(int epoll, uint64_t *tags, int max, int timeout_ms);

/* Never blocks: a doorbell that has rung too often to count still rings. */
void ff_doorbell_ring(int doorbell);
void ff_doorbell_clear(int doorbell);

/* Once, at that time of CLOCK_MONOTONIC; 0 disarms. */
void ff_alarm_set(int alarm, uint64_t at_ns);
void ff_alarm_clear(int alarm);

#endif
