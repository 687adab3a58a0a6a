/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the command by the tests: makes one call of the C library
 * fail, or ends the process that makes it.
 *
 * FORKFOLD_INJECT is "FUNCTION:N:ROLE:ACTION": the N-th time that processes of
 * ROLE (driver, supervisor, worker) call FUNCTION, counted over all of them,
 * do ACTION: fail (with the errno below), fail-on (this one and all later
 * ones), fail-io (with EIO), fail-late (once workers have begun to read, if they do so soon), short
 * and short-on (of the bytes of a pread or pwrite only the first half) or kill (SIGKILL before
 * the call is made).  What was done is noted in
 * the file that FORKFOLD_INJECT_WITNESS names.
 *
 * Preads of files without a name, which is what is spilled to, are called pread-spilled.
 *
 * read and write fail on files and pipes only: on the descriptors that processes
 * wake each other with the kernel does not let them fail, so nobody
 * is prepared for that.
 */

/* With large files by another name, the two names of a call could not both be defined here. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <unistd.h>

#pragma GCC visibility push(default)

static struct {
    bool active;
    char function[24];
    char role[16];
    char action[16];
    unsigned long at;
    _Atomic unsigned long *calls; /* of all processes; behind it, how often workers have read */
    pid_t driver;
    const char *witness;
} order;

static int (*next_fork)(void);

static void *next_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    long result = syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
    void *mapped;

    memcpy(&mapped, &result, sizeof(mapped)); /* -1 is MAP_FAILED */
    return mapped;
}

__attribute__((constructor)) static void read_order(void)
{
    const char *text = getenv("FORKFOLD_INJECT");

    /* A symbol that is looked up later could allocate in the middle of an allocation. */
    *(void **)&next_fork = dlsym(RTLD_NEXT, "fork");
    if (text == NULL || sscanf(text, "%23[^:]:%lu:%15[^:]:%15s", order.function, &order.at,
                               order.role, order.action) != 4)
        return;
    order.witness = getenv("FORKFOLD_INJECT_WITNESS");
    order.driver = getpid();
    order.calls = next_mmap(NULL, 2 * sizeof(*order.calls), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    order.active = order.calls != MAP_FAILED;
}

static const char *own_role(void)
{
    if (getpid() == order.driver)
        return "driver";
    return getppid() == order.driver ? "supervisor" : "worker";
}

static void leave_witness(void)
{
    int fd = order.witness != NULL ? (int)syscall(SYS_openat, AT_FDCWD, order.witness,
                                                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
                                   : -1;

    if (fd < 0)
        return;
    (void)!syscall(SYS_write, fd, order.function, strlen(order.function));
    (void)!syscall(SYS_write, fd, "\n", 1);
    syscall(SYS_close, fd);
}

static void let_workers_begin(void)
{
    enum { READS = 20, PATIENCE = 200000 };

    for (int i = 0; i < PATIENCE && atomic_load(&order.calls[1]) < READS; i++)
        sched_yield();
}

/* Whether this call must fail; sets errno then. */
static bool strikes(const char *function, int error)
{
    unsigned long call;

    if (!order.active || strcmp(function, order.function) != 0 ||
        strcmp(own_role(), order.role) != 0)
        return false;
    call = atomic_fetch_add(order.calls, 1) + 1;
    if (call < order.at || (call > order.at && strstr(order.action, "-on") == NULL))
        return false;
    if (call == order.at)
        leave_witness();
    if (strcmp(order.action, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(order.action, "fail-late") == 0)
        let_workers_begin();
    errno = strcmp(order.action, "fail-io") == 0 ? EIO : error;
    return true;
}

static bool holds_data(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) != 0;
}

/* ---- Memory --------------------------------------------------------------- */

/* The address sanitizer has its own allocator, which nothing may be put in front of. */
#ifdef INJECT_ALLOCATION
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

void *malloc(size_t bytes)
{
    return strikes("malloc", ENOMEM) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return strikes("calloc", ENOMEM) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return strikes("realloc", ENOMEM) ? NULL : __libc_realloc(old, bytes);
}
#endif

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (strikes("mmap", ENOMEM))
        return MAP_FAILED;
    return next_mmap(address, bytes, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

int mprotect(void *address, size_t bytes, int protection)
{
    return strikes("mprotect", ENOMEM) ? -1
                                       : (int)syscall(SYS_mprotect, address, bytes, protection);
}

/* ---- Processes and events -------------------------------------------------- */

pid_t fork(void)
{
    return strikes("fork", EAGAIN) ? -1 : next_fork();
}

/* Of the calls made by number, pidfd_open alone has a name here; six arguments suit all. */
long syscall(long number, ...)
{
    static long (*next)(long, ...);
    va_list arguments;
    long a[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_pidfd_open && strikes("pidfd_open", EMFILE))
        return -1;
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int epoll_create1(int flags)
{
    return strikes("epoll_create1", EMFILE) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

/* To take out what was put in cannot fail. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && strikes("epoll_ctl", ENOSPC))
        return -1;
    return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

int eventfd(unsigned int count, int flags)
{
    return strikes("eventfd", EMFILE) ? -1 : (int)syscall(SYS_eventfd2, count, flags);
}

int timerfd_create(clockid_t clock, int flags)
{
    return strikes("timerfd_create", EMFILE) ? -1 : (int)syscall(SYS_timerfd_create, clock, flags);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
    return strikes("signalfd", EMFILE) ? -1 : (int)syscall(SYS_signalfd4, fd, mask, 8L, flags);
}

int pipe2(int fds[2], int flags)
{
    return strikes("pipe2", EMFILE) ? -1 : (int)syscall(SYS_pipe2, fds, flags);
}

/* ---- Files ----------------------------------------------------------------- */

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode = 0;

    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    return strikes("open", EMFILE) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

ssize_t read(int fd, void *buffer, size_t bytes)
{
    return holds_data(fd) && strikes("read", EIO) ? -1 : syscall(SYS_read, fd, buffer, bytes);
}

static bool has_no_name(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_nlink == 0;
}

/* What the action leaves of a call that it strikes; 0 when it fails. */
static size_t left_of(size_t bytes)
{
    return strncmp(order.action, "short", strlen("short")) == 0 ? (bytes + 1) / 2 : 0;
}

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    if (order.active)
        atomic_fetch_add(&order.calls[1], 1);
    if (order.active && strikes(has_no_name(fd) ? "pread-spilled" : "pread", EIO)) {
        bytes = left_of(bytes);
        if (bytes == 0)
            return -1;
    }
    return syscall(SYS_pread64, fd, buffer, bytes, offset);
}

ssize_t pread64(int fd, void *buffer, size_t bytes, off_t offset) __attribute__((alias("pread")));

ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    if (strikes("pwrite", ENOSPC)) {
        bytes = left_of(bytes);
        if (bytes == 0)
            return -1;
    }
    return syscall(SYS_pwrite64, fd, buffer, bytes, offset);
}

ssize_t pwrite64(int fd, const void *buffer, size_t bytes, off_t offset)
    __attribute__((alias("pwrite")));

ssize_t write(int fd, const void *buffer, size_t bytes)
{
    return holds_data(fd) && strikes("write", ENOSPC) ? -1 : syscall(SYS_write, fd, buffer, bytes);
}

int linkat(int old_directory, const char *old_path, int new_directory, const char *new_path,
           int flags)
{
    return strikes("linkat", EIO)
               ? -1
               : (int)syscall(SYS_linkat, old_directory, old_path, new_directory, new_path, flags);
}

int rename(const char *old_path, const char *new_path)
{
    return strikes("rename", EIO) ? -1 : (int)syscall(SYS_rename, old_path, new_path);
}
