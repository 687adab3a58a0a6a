/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: how they end, and what they may inherit. */
#ifndef FF_PLATFORM_PROCESS_H
#define FF_PLATFORM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a child ended. */
struct ff_exit {
    bool known;      /* false when the host ignores SIGCHLD: the kernel keeps no status then */
    int signal;      /* the signal that ended it, or 0 */
    int code;        /* its exit code when signal is 0 */
    uint64_t cpu_ns; /* user and system time that it used */
};

/* Memory of this process. */
struct ff_memory_use {
    uint64_t private_peak_bytes; /* the most that was its own alone at one time */
    uint64_t shared_bytes; /* of pages that it shares, its part: those of all processes add up */
};

/* Reaps the child behind the pidfd, which is readable. */
struct ff_exit ff_process_reap(int pidfd, pid_t pid);

/*
 * Tries, to no effect, what later on only a child would find refused, or nobody before something
 * goes wrong.  The name of the first such call that the kernel refuses, with errno, or NULL.
 */
const char *ff_process_refused_call(int own_pidfd);

/*
 * Ends this process when the thread that forked it ends, and says whether
 * that has happened already: parent is the id that getppid() must still give.
 * Only for children of single-threaded processes, because the signal is bound
 * to the forking thread.
 */
bool ff_process_bind_to_parent(pid_t parent);

/* Closes every descriptor above 2 but those listed, which are sorted here. */
void ff_process_close_all_but(int *keep, unsigned count);

/*
 * The descriptors above 2 that are open, in memory that the caller frees.  NULL, and a count of 0,
 * without memory, or where the kernel does not list them.
 */
int *ff_process_open_fds(unsigned *count);

/* Makes /dev/null of a standard descriptor, so that an end of a pipe is not held open. */
void ff_process_detach_fd(int fd);

/*
 * All signals at their defaults and unblocked, but the given ones ignored
 * (0-terminated), and stops by the terminal still ignored if they were.
 */
void ff_process_reset_signals(const int *ignored);

/* Lets the kernel prefer this process when it must kill for memory. */
void ff_process_offer_to_oom(void);

/* Orphans below this process become its children, instead of init's. */
void ff_process_adopt_orphans(void);

/* User and system time of a living child, or of this process (0); 0 when there is none. */
uint64_t ff_process_cpu_ns(pid_t pid);

/* Zeroes where the kernel does not tell.  Takes time in proportion to the memory. */
struct ff_memory_use ff_process_memory(void);

/* This process's memory that it shares with nobody; 0 where the kernel does not tell. */
uint64_t ff_process_private_bytes(void);

/* From here on this process gets so many bytes more, and then no more.  False with errno. */
bool ff_process_limit_memory(uint64_t bytes);

/*
 * A mark that this process has, and no child that it forks: to find out, without a system call,
 * whether one is still in the process that opened it.  NULL where the kernel cannot do that; then
 * ff_here_is says no everywhere, and the process id has to be asked.
 */
const unsigned char *ff_here_open(void);
void ff_here_close(const unsigned char *here); /* NULL is allowed */

static inline bool ff_here_is(const unsigned char *here)
{
    return here != NULL && *(const volatile unsigned char *)here != 0;
}

/* How often the kernel has killed for memory in this process's cgroup, or on the machine. */
unsigned long ff_process_oom_kills(void);

/*
 * Kills and reaps the children that are not among the count given ids: what
 * dead workers left.  Does nothing where the kernel does not list children.
 */
void ff_process_end_strays(const pid_t *ours, unsigned count);

#endif
