/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair of sockets for short messages, by which one process can hand an open file to another.
 */
#ifndef FF_PLATFORM_CHANNEL_H
#define FF_PLATFORM_CHANNEL_H

#include <stddef.h>
#include <sys/types.h>

/* Close-on-exec descriptors above 2.  0 or -1 with errno. */
int ff_channel_open(int ends[2]);

/*
 * Sends a message, with a descriptor if fd is not negative.  Never blocks and never raises a signal.
 * 0 or -1 with errno.
 */
int ff_channel_send(int end, const void *message, size_t bytes, int fd);

/*
 * Receives a message of exactly so many bytes; *fd receives the descriptor that came with it, or -1.
 * 1; 0 when the other end is closed; -1 with errno, EAGAIN if there is none and it must not wait.
 */
int ff_channel_receive(int end, void *message, size_t bytes, int *fd, int may_wait);

#endif
