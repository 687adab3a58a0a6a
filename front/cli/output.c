/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "command.h"
#include "message.h"

enum { SYMLINKS_MAX = 40, NAME_TRIES = 100, FD_NAME_BYTES = 32 };

/* target = base, seen from the directory that holds the symlink at target. */
static int follow(char *target, const char *base)
{
    const char *slash = strrchr(target, '/');
    char joined[PATH_MAX];
    int length = (int)(slash == NULL || *base == '/' ? 0 : slash - target + 1);

    length = snprintf(joined, sizeof(joined), "%.*s%s", length, target, base);
    if (length < 0 || (size_t)length >= sizeof(joined))
        return ENAMETOOLONG;
    memcpy(target, joined, (size_t)length + 1);
    return 0;
}

/* Follows symlinks to a name that does not exist yet, which realpath() refuses to do. */
static int follow_dangling(char *target)
{
    for (int i = 0; i < SYMLINKS_MAX; i++) {
        char link[PATH_MAX];
        ssize_t length = readlink(target, link, sizeof(link) - 1);
        int error;

        if (length < 0)
            return 0;
        link[length] = '\0';
        error = follow(target, link);
        if (error != 0)
            return error;
    }
    return ELOOP;
}

/* Splits target into a directory without symlinks and a name in it, and joins them again. */
static int settle_directory(struct ff_cli_output *output)
{
    char name[NAME_MAX + 1];
    char *slash = strrchr(output->target, '/');
    const char *last = slash == NULL ? output->target : slash + 1;
    int length;

    if (*last == '\0')
        return EISDIR;
    if (strlen(last) > NAME_MAX)
        return ENAMETOOLONG;
    memcpy(name, last, strlen(last) + 1);
    if (slash == NULL)
        snprintf(output->target, sizeof(output->target), ".");
    else
        slash[slash == output->target] = '\0';
    if (realpath(output->target, output->directory) == NULL)
        return errno;
    length = snprintf(output->target, sizeof(output->target), "%s/%s",
                      strcmp(output->directory, "/") == 0 ? "" : output->directory, name);
    return (size_t)length < sizeof(output->target) ? 0 : ENAMETOOLONG;
}

static int settle_target(struct ff_cli_output *output)
{
    int error;

    if (output->replaces)
        return realpath(output->path, output->target) == NULL ? errno : settle_directory(output);
    if (strlen(output->path) >= sizeof(output->target))
        return ENAMETOOLONG;
    memcpy(output->target, output->path, strlen(output->path) + 1);
    error = follow_dangling(output->target);
    return error != 0 ? error : settle_directory(output);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* In a sticky directory only the owner of a file or of the directory may replace it. */
static bool is_held_by_sticky_directory(const struct ff_cli_output *output)
{
    struct stat directory;
    uid_t user = geteuid();

    return output->replaces && user != 0 && output->replaced.st_uid != user &&
           stat(output->directory, &directory) == 0 && (directory.st_mode & S_ISVTX) != 0 &&
           directory.st_uid != user;
}

static int cannot_write(const struct ff_cli_output *output, int error)
{
    return ff_cli_usage_error("cannot write '%s' of %s: %s; name another file", output->path,
                              output->option, strerror(error));
}

/* Some containers answer EPERM to the call that asks for the effective user, as it is newer. */
static bool may_access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ||
           (errno == EPERM && access(path, mode) == 0);
}

static int check_atomic(struct ff_cli_output *output)
{
    int error = settle_target(output);

    if (error == ENOENT)
        return ff_cli_usage_error("cannot write '%s' of %s: its directory does not exist; create "
                                  "it first",
                                  output->path, output->option);
    if (error != 0)
        return cannot_write(output, error);
    if (output->replaces && !may_access(output->target, W_OK))
        return cannot_write(output, errno);
    if (!may_access(output->directory, W_OK | X_OK))
        return ff_cli_usage_error("cannot write '%s' of %s: directory '%s': %s; name a file in a "
                                  "directory that you may write",
                                  output->path, output->option, output->directory, strerror(errno));
    if (is_held_by_sticky_directory(output))
        return cannot_write(output, EPERM);
    return 0;
}

static bool is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static int check_stdout(struct ff_cli_output *output)
{
    output->kind = FF_CLI_OUTPUT_STANDARD;
    output->standard_fd = STDOUT_FILENO;
    if (is_writable(STDOUT_FILENO))
        return 0;
    ff_cli_message("standard output is closed; open it%s",
                   output->option != NULL ? ", or name a file with --output" : "");
    return FF_CLI_UNFINISHED;
}

/*
 * Finds out whether the path is what stdout or stderr lead to, such as
 * /dev/stdout: to replace a file that the shell opened for appending would
 * lose what it holds.
 */
static bool is_standard(struct ff_cli_output *output)
{
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat standard;

        if (fstat(fd, &standard) != 0 || !S_ISREG(standard.st_mode) || !is_writable(fd) ||
            !is_same_file(&standard, &output->replaced))
            continue;
        output->kind = FF_CLI_OUTPUT_STANDARD;
        output->standard_fd = fd;
        return true;
    }
    return false;
}

int ff_cli_output_check(struct ff_cli_output *output, const char *option, const char *path)
{
    *output = (struct ff_cli_output){.option = option, .path = path};
    if (path == NULL)
        return check_stdout(output);
    output->replaces = stat(path, &output->replaced) == 0;
    if (!output->replaces && errno != ENOENT)
        return cannot_write(output, errno);
    if (output->replaces && S_ISDIR(output->replaced.st_mode))
        return cannot_write(output, EISDIR);
    if (output->replaces && S_ISSOCK(output->replaced.st_mode))
        return cannot_write(output, ENXIO);
    if (output->replaces && is_standard(output))
        return 0;
    if (output->replaces && !S_ISREG(output->replaced.st_mode)) {
        output->kind = FF_CLI_OUTPUT_STRAIGHT;
        return access(path, W_OK) == 0 ? 0 : cannot_write(output, errno);
    }
    output->kind = FF_CLI_OUTPUT_ATOMIC;
    return check_atomic(output);
}

/* Gives the open file what the replaced one had; a new file has 0666 less the umask already. */
static int take_over_mode(const struct ff_cli_output *output)
{
    const struct stat *replaced = &output->replaced;
    struct stat now;

    if (!output->replaces)
        return 0;
    if (fstat(output->writer.fd, &now) != 0)
        return errno;
    /* Only root may give files away; for others the owner changes, as it does with editors. */
    if ((now.st_uid != replaced->st_uid || now.st_gid != replaced->st_gid) &&
        fchown(output->writer.fd, replaced->st_uid, replaced->st_gid) != 0 && errno != EPERM)
        return errno;
    return fchmod(output->writer.fd, replaced->st_mode & 07777) == 0 ? 0 : errno;
}

/* Picks a temporary name that nobody guesses and has the pool guard it. */
static int reserve_name(struct ff_cli_output *output)
{
    uint64_t random;
    int length;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return errno;
    length = snprintf(output->temporary, sizeof(output->temporary), "%s/.forkfold-%016" PRIx64,
                      strcmp(output->directory, "/") == 0 ? "" : output->directory, random);
    if (length < 0 || (size_t)length >= sizeof(output->temporary))
        return ENAMETOOLONG;
    return forkfold_pool_guard_path(output->pool, output->temporary) == 0 ? 0 : ENAMETOOLONG;
}

static int open_named(struct ff_cli_output *output)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int error = reserve_name(output);

        if (error != 0)
            return error;
        output->writer.fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (output->writer.fd >= 0) {
            output->state = FF_CLI_OUTPUT_NAMED;
            return 0;
        }
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

static int open_nameless(struct ff_cli_output *output)
{
    int fd = -1;

    /* Without /proc the file could not get its name later. */
    if (access("/proc/self/fd", X_OK) == 0)
        fd = open(output->directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    else
        errno = EOPNOTSUPP;
    if (fd < 0)
        return errno;
    output->writer.fd = fd;
    output->state = FF_CLI_OUTPUT_NAMELESS;
    return 0;
}

static int open_atomic(struct ff_cli_output *output)
{
    int error = open_nameless(output);

    /* How kernels and file systems say that they have no O_TMPFILE. */
    if (error == EOPNOTSUPP || error == EISDIR || error == ENOENT || error == EINVAL)
        error = open_named(output);
    return error != 0 ? error : take_over_mode(output);
}

static int open_straight(struct ff_cli_output *output)
{
    int fd = open(output->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return errno;
    output->writer.fd = fd;
    output->state = FF_CLI_OUTPUT_OPEN;
    return 0;
}

static void end_guard(struct ff_cli_output *output)
{
    if (output->temporary[0] != '\0')
        (void)forkfold_pool_guard_path(output->pool, NULL);
    output->temporary[0] = '\0';
}

static int close_file(struct ff_cli_output *output)
{
    int fd = output->writer.fd;
    int error;

    /* Closing a copy shows late errors too, and keeps other files off the descriptor. */
    if (output->kind == FF_CLI_OUTPUT_STANDARD)
        fd = fcntl(output->standard_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = fd >= 0 && close(fd) != 0 ? errno : 0;
    output->writer.fd = -1;
    return error == EINTR ? 0 : error;
}

void ff_cli_output_abandon(struct ff_cli_output *output)
{
    if (output->state != FF_CLI_OUTPUT_CLOSED)
        (void)close_file(output);
    if (output->state == FF_CLI_OUTPUT_NAMED)
        (void)unlink(output->temporary);
    output->state = FF_CLI_OUTPUT_CLOSED;
    end_guard(output);
}

static const char *way_out(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return "free some space, or write to another place";
    if (error == EFBIG)
        return "raise the limit of file sizes (ulimit -f), or show less (--top, --min-count)";
    return "write to another place";
}

static int write_failed(const struct ff_cli_output *output, int error)
{
    if (error == EPIPE)
        return FF_CLI_CLOSED_PIPE;
    if (output->path == NULL)
        ff_cli_message("cannot write standard output: %s; %s, with --output FILE for example",
                       strerror(error), way_out(error));
    else
        ff_cli_message("cannot write '%s' of %s: %s; %s", output->path, output->option,
                       strerror(error), way_out(error));
    return FF_CLI_UNFINISHED;
}

int ff_cli_output_open(struct ff_cli_output *output, forkfold_pool *pool, char *buffer,
                       size_t capacity)
{
    int error = 0;

    output->pool = pool;
    ff_cli_writer_start(&output->writer, output->standard_fd, buffer, capacity);
    if (output->kind == FF_CLI_OUTPUT_STANDARD) {
        output->state = FF_CLI_OUTPUT_OPEN;
        return 0;
    }
    output->writer.fd = -1;
    error = output->kind == FF_CLI_OUTPUT_ATOMIC ? open_atomic(output) : open_straight(output);
    if (error == 0)
        return 0;
    ff_cli_output_abandon(output);
    return write_failed(output, error);
}

static int link_as(const struct ff_cli_output *output, const char *name)
{
    char fd_name[FD_NAME_BYTES];

    snprintf(fd_name, sizeof(fd_name), "/proc/self/fd/%d", output->writer.fd);
    return linkat(AT_FDCWD, fd_name, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/* link() does not replace a name, rename() does: hence the temporary one in between. */
static int link_over_target(struct ff_cli_output *output)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int error = reserve_name(output);

        if (error == 0)
            error = link_as(output, output->temporary);
        if (error == 0)
            output->state = FF_CLI_OUTPUT_NAMED;
        if (error != EEXIST)
            return error;
    }
    return EEXIST;
}

/* Leaves the state NAMED exactly when the temporary name must still be renamed or removed. */
static int put_in_place(struct ff_cli_output *output)
{
    int error = 0;

    if (output->state == FF_CLI_OUTPUT_NAMELESS) {
        error = output->replaces ? EEXIST : link_as(output, output->target);
        if (error == 0)
            return 0;
        if (error == EEXIST)
            error = link_over_target(output);
    }
    if (error == 0)
        error = close_file(output); /* network file systems report a full disk here */
    if (error == 0 && rename(output->temporary, output->target) != 0)
        error = errno;
    if (error == 0)
        output->state = FF_CLI_OUTPUT_CLOSED;
    return error;
}

int ff_cli_output_commit(struct ff_cli_output *output)
{
    int error = ff_cli_writer_flush(&output->writer);

    if (error == 0 && output->kind == FF_CLI_OUTPUT_ATOMIC)
        error = put_in_place(output);
    else if (error == 0)
        error = close_file(output);
    ff_cli_output_abandon(output);
    return error == 0 ? 0 : write_failed(output, error);
}
