/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* Above the standard descriptors, which a host may have closed. */
static int move_up(int fd)
{
    int moved = fd > STDERR_FILENO ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (moved != fd)
        close(fd);
    return moved;
}

int ff_channel_open(int ends[2])
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pair[0] = move_up(pair[0]);
    pair[1] = move_up(pair[1]);
    if (pair[0] >= 0 && pair[1] >= 0) {
        ends[0] = pair[0];
        ends[1] = pair[1];
        return 0;
    }
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    errno = EMFILE;
    return -1;
}

int ff_channel_send(int end, const void *message, size_t bytes, int fd)
{
    struct iovec part = {.iov_base = (void *)message, .iov_len = bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    ssize_t sent;

    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        control.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof(control.bytes);
    }
    do
        sent = sendmsg(end, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : 0;
}

/* The descriptor that came with a message, or -1; a process with too many open gets none. */
static int descriptor_in(struct msghdr *header)
{
    int fd = -1;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL;
         control = CMSG_NXTHDR(header, control))
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(control), sizeof(fd));
    return fd >= 0 ? move_up(fd) : -1;
}

int ff_channel_receive(int end, void *message, size_t bytes, int *fd, int may_wait)
{
    struct iovec part = {.iov_base = message, .iov_len = bytes};
    union control control;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t got;

    *fd = -1;
    do
        got = recvmsg(end, &header, MSG_CMSG_CLOEXEC | (may_wait ? 0 : MSG_DONTWAIT));
    while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return 0;
    if (got < 0)
        return -1;
    *fd = descriptor_in(&header);
    if ((size_t)got == bytes && (header.msg_flags & MSG_TRUNC) == 0)
        return 1;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = EPROTO;
    return -1;
}
