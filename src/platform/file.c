/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* For file systems without O_TMPFILE: NFS, and overlays of older kernels. */
static int open_and_unlink(const char *folder)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/forkfold-XXXXXX", folder);
    int fd;

    if (length < 0 || (size_t)length >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int ff_file_open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, S_IRUSR | S_IWUSR);

    /* Kernels that do not know the flag see a folder that is to be written. */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        return open_and_unlink(folder);
    return fd;
}

int ff_file_open(const char *path, enum ff_file_use use)
{
    static const int flags[] = {[FF_FILE_READ] = O_RDONLY,
                                [FF_FILE_WRITE] = O_RDWR,
                                [FF_FILE_MAKE] = O_RDWR | O_CREAT | O_EXCL};
    int fd = open(path, flags[use] | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    int moved = fd;

    if (fd >= 0 && fd <= STDERR_FILENO) {
        moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(fd);
    }
    return moved;
}

bool ff_file_is_regular(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Not to find that out when all of it is taken. */
static bool has_room(int fd, uint64_t bytes)
{
    struct statvfs system;

    return fstatvfs(fd, &system) != 0 || system.f_blocks == 0 ||
           bytes / system.f_frsize <= system.f_bfree;
}

int ff_file_allocate(int fd, uint64_t bytes)
{
    /* In parts: some file systems begin anew when a signal interrupts them. */
    const uint64_t part = UINT64_C(256) << 20;
    struct rlimit limit;

    if (bytes > INT64_MAX || (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                              limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur)) {
        errno = EFBIG;
        return -1;
    }
    if (!has_room(fd, bytes)) {
        errno = ENOSPC;
        return -1;
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t next = bytes - done < part ? bytes - done : part;
        int failed = posix_fallocate(fd, (off_t)done, (off_t)next);

        if (failed == 0)
            done += next;
        else if (failed != EINTR) {
            errno = failed;
            return -1;
        }
    }
    return 0;
}

int64_t ff_file_end(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? (int64_t)status.st_size : -1;
}

void ff_file_discard(int fd, uint64_t offset, uint64_t bytes)
{
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
}

void ff_file_empty(int fd)
{
    /* What cannot be emptied is gone with the pool. */
    if (ftruncate(fd, 0) != 0)
        return;
}
