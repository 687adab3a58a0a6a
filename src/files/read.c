/* SPDX-License-Identifier: Apache-2.0 */
#include "files/read.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void ff_failure_set(struct ff_item_failure *failure, int reason, int system_error,
                    int64_t byte_offset, const char *format, ...)
{
    va_list arguments;

    failure->reason = reason;
    failure->system_error = system_error;
    failure->byte_offset = byte_offset;
    va_start(arguments, format);
    vsnprintf(failure->detail, sizeof(failure->detail), format, arguments);
    va_end(arguments);
}

void ff_failure_set_decoding(struct ff_item_failure *failure, uint64_t offset,
                             enum ff_utf8_kind kind)
{
    ff_failure_set(failure, FORKFOLD_REASON_DECODE, 0, (int64_t)offset,
                   "invalid UTF-8 at byte %llu: %s", (unsigned long long)offset,
                   ff_utf8_kind_text(kind));
}

static void set_system_failure(struct ff_item_failure *failure, const char *what)
{
    int cause = errno;

    ff_failure_set(failure, FORKFOLD_REASON_SYSTEM, cause, -1, "cannot %s: %s", what,
                   strerror(cause));
}

static bool read_stamp(int fd, struct ff_stamp *stamp, mode_t *mode)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return false;
    *mode = status.st_mode;
    *stamp = (struct ff_stamp){.size = (uint64_t)status.st_size,
                               .mtime_ns = status.st_mtim.tv_sec * INT64_C(1000000000) +
                                           status.st_mtim.tv_nsec,
                               .inode = status.st_ino,
                               .device = status.st_dev};
    return true;
}

bool ff_stamp_equal(const struct ff_stamp *a, const struct ff_stamp *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->inode == b->inode &&
           a->device == b->device;
}

/* NONBLOCK: if a FIFO has taken the file's place, opening it must not wait for a writer. */
static int open_at(int folder, const char *name)
{
    return openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* The descriptor of a folder, or -1: use the whole paths of its files. */
static int enter_folder(struct ff_read_folder *opened, const char *folder)
{
    bool is_same = opened->path == folder;

    if (!is_same)
        ff_read_leave(opened);
    opened->path = folder;
    /* For a single file it would be one call more. */
    if (is_same && opened->fd < 0 && folder[0] != '\0')
        opened->fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return opened->fd;
}

static int open_path(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof(path), "%s%s", folder, name);

    errno = ENAMETOOLONG;
    return (size_t)bytes < sizeof(path) ? open_at(AT_FDCWD, path) : -1;
}

int ff_read_open(struct ff_read_folder *opened, const char *folder, const char *name,
                 struct ff_item_failure *failure)
{
    int folder_fd = enter_folder(opened, folder);
    int fd = folder_fd >= 0 ? open_at(folder_fd, name) : -1;

    /* Whatever has become of the folder, the path decides. */
    if (fd < 0)
        fd = open_path(folder, name);
    if (fd < 0)
        set_system_failure(failure, "open");
    return fd;
}

void ff_read_leave(struct ff_read_folder *folder)
{
    if (folder->fd >= 0)
        close(folder->fd);
    *folder = (struct ff_read_folder){.fd = -1};
}

bool ff_read_look(int fd, struct ff_stamp *now, struct ff_item_failure *failure)
{
    mode_t mode;

    if (!read_stamp(fd, now, &mode)) {
        set_system_failure(failure, "look at it");
        return false;
    }
    if (S_ISREG(mode))
        return true;
    ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1, "it is not a regular file any more");
    return false;
}

bool ff_read_expected(int fd, void *buffer, size_t count)
{
    size_t done = 0;
    ssize_t got;

    /* One byte more than there should be tells growth from the end. */
    do {
        got = pread(fd, (char *)buffer + done, count + 1 - done, (off_t)done);
        if (got > 0)
            done += (size_t)got;
    } while (got > 0 && done < count);
    return done == count;
}

bool ff_read_verify(int fd, const struct ff_stamp *stamp, struct ff_item_failure *failure)
{
    struct ff_stamp now;
    mode_t mode;

    if (!read_stamp(fd, &now, &mode)) {
        set_system_failure(failure, "look at it");
        return false;
    }
    if (ff_stamp_equal(&now, stamp))
        return true;
    if (now.size != stamp->size)
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1,
                       "it changed while it was read, from %llu to %llu bytes",
                       (unsigned long long)stamp->size, (unsigned long long)now.size);
    else
        ff_failure_set(failure, FORKFOLD_REASON_CHANGED, 0, -1, "it changed while it was read");
    return false;
}

int64_t ff_read_at(int fd, void *buffer, size_t count, uint64_t offset,
                   struct ff_item_failure *failure)
{
    size_t done = 0;

    while (done < count) {
        ssize_t got = pread(fd, (char *)buffer + done, count - done, (off_t)(offset + done));

        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            set_system_failure(failure, "read");
            return -1;
        }
        done += (size_t)got;
    }
    return (int64_t)done;
}

int64_t ff_read_next(int fd, void *buffer, size_t count, struct ff_item_failure *failure)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    ssize_t got;

    while ((got = read(fd, buffer, count)) < 0) {
        /* Whoever shares the description may have made it non-blocking. */
        if (errno == EAGAIN)
            (void)poll(&readable, 1, -1);
        else if (errno != EINTR)
            break;
    }
    if (got < 0)
        set_system_failure(failure, "read");
    return got;
}
