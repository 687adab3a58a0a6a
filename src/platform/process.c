/* SPDX-License-Identifier: Apache-2.0 */
#include "platform/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/kernel_file.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static uint64_t ns_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * FF_NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

/* By its id, which could by now be another child's if the host reaps what is not its own. */
static struct ff_exit reap_by_id(pid_t pid)
{
    struct rusage usage;
    int status;
    pid_t reaped;

    do
        reaped = wait4(pid, &status, 0, &usage);
    while (reaped < 0 && errno == EINTR);
    if (reaped < 0)
        return (struct ff_exit){.known = false};
    return (struct ff_exit){.known = true,
                            .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                            .code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                            .cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime)};
}

struct ff_exit ff_process_reap(int pidfd, pid_t pid)
{
    struct rusage usage;
    siginfo_t info;
    struct ff_exit end;
    long result;

    if (pidfd < 0)
        return reap_by_id(pid);
    memset(&info, 0, sizeof(info));
    /* The C library's waitid has no place for what the child used. */
    do
        result = syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, &usage);
    while (result < 0 && errno == EINTR);
    /* Kernels before 5.4 do not wait for a pidfd; any says ECHILD when there is no such child. */
    if (result < 0)
        return errno == ECHILD ? (struct ff_exit){.known = false} : reap_by_id(pid);
    end = (struct ff_exit){.known = true, .cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime)};
    if (info.si_code == CLD_EXITED)
        end.code = info.si_status;
    else
        end.signal = info.si_status;
    return end;
}

const char *ff_process_refused_call(int own_pidfd)
{
    int death_signal;

    if (syscall(SYS_pidfd_send_signal, own_pidfd, 0, NULL, 0) != 0)
        return "pidfd_send_signal";
    if (kill(getpid(), 0) != 0)
        return "kill";
    /* What is set is what was. */
    if (prctl(PR_GET_PDEATHSIG, &death_signal) != 0 || prctl(PR_SET_PDEATHSIG, death_signal) != 0)
        return "prctl(PR_SET_PDEATHSIG)";
    return NULL;
}

bool ff_process_bind_to_parent(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* False when the kernel does not list what is open. */
static bool close_listed(unsigned first, unsigned last)
{
    DIR *open_files = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (open_files == NULL)
        return false;
    while ((entry = readdir(open_files)) != NULL) {
        char *end;
        unsigned long fd = strtoul(entry->d_name, &end, 10);

        if (end != entry->d_name && fd >= first && fd <= last && fd != (unsigned)dirfd(open_files))
            close((int)fd);
    }
    closedir(open_files);
    return true;
}

static void close_from_to(unsigned first, unsigned last)
{
    enum { LIMIT_MAX = 65536 };

    /* Kernels before 5.9 and some sandboxes have no close_range. */
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0 || close_listed(first, last))
        return;
    long limit = sysconf(_SC_OPEN_MAX);

    if (limit < 0 || limit > LIMIT_MAX)
        limit = LIMIT_MAX;
    for (unsigned fd = first; fd <= last && fd < (unsigned)limit; fd++)
        close((int)fd);
}

void ff_process_close_all_but(int *keep, unsigned count)
{
    unsigned next = 3;

    qsort(keep, count, sizeof(*keep), compare_fds);
    for (unsigned i = 0; i < count; i++) {
        if (keep[i] < (int)next)
            continue;
        close_from_to(next, (unsigned)keep[i] - 1);
        next = (unsigned)keep[i] + 1;
    }
    close_from_to(next, ~0U);
}

int *ff_process_open_fds(unsigned *count)
{
    DIR *open_files = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned used = 0;
    unsigned room = 64;
    int *fds = open_files == NULL ? NULL : malloc(room * sizeof(*fds));

    while (fds != NULL && (entry = readdir(open_files)) != NULL) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);

        if (end == entry->d_name || fd < 3 || fd == dirfd(open_files))
            continue;
        if (used == room) {
            int *grown = realloc(fds, (room *= 2) * sizeof(*fds));

            if (grown == NULL)
                free(fds);
            fds = grown;
        }
        if (fds != NULL)
            fds[used++] = (int)fd;
    }
    if (open_files != NULL)
        closedir(open_files);
    *count = fds != NULL ? used : 0;
    return fds;
}

void ff_process_detach_fd(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0) {
        close(fd);
        return;
    }
    dup2(null, fd);
    if (null != fd)
        close(null);
}

/* A host that its terminal cannot stop would wait for children that it can. */
static bool is_stop_ignored(int signal_number)
{
    struct sigaction action;

    return (signal_number == SIGTSTP || signal_number == SIGTTIN || signal_number == SIGTTOU) &&
           sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void ff_process_reset_signals(const int *ignored)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        if (!is_stop_ignored(signal_number))
            sigaction(signal_number, &action, NULL); /* the two that have no action refuse */
    action.sa_handler = SIG_IGN;
    for (; *ignored != 0; ignored++)
        sigaction(*ignored, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void ff_process_offer_to_oom(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "1000", 4);
    close(fd);
}

void ff_process_adopt_orphans(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* The number behind "name " at the start of a line of a small file; false when there is none. */
static bool read_counter(const char *path, const char *name, unsigned long *value)
{
    FILE *file = fopen(path, "re");
    size_t length = strlen(name);
    char line[256];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            *value = strtoul(line + length, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    return found;
}

unsigned long ff_process_oom_kills(void)
{
    unsigned long kills = 0;

    /* The machine's counter includes those of every cgroup. */
    if (!read_counter("/proc/vmstat", "oom_kill", &kills))
        (void)read_counter("/sys/fs/cgroup/memory.events", "oom_kill", &kills);
    return kills;
}

static bool is_among(pid_t pid, const pid_t *ours, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ours[i] == pid)
            return true;
    return false;
}

/* Returns whether a stray was found: its own children become ours only when it is reaped. */
static bool end_strays_once(const pid_t *ours, unsigned count)
{
    FILE *children = fopen("/proc/thread-self/children", "re");
    bool found = false;
    int pid;

    if (children == NULL)
        return false;
    while (fscanf(children, "%d", &pid) == 1) {
        if (is_among(pid, ours, count))
            continue;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        found = true;
    }
    fclose(children);
    return found;
}

void ff_process_end_strays(const pid_t *ours, unsigned count)
{
    while (end_strays_once(ours, count))
        ;
}

uint64_t ff_process_cpu_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * FF_NS_PER_S + (uint64_t)used.tv_nsec;
}

static uint64_t kibibytes_of(const char *file, const char *line)
{
    long long kibibytes;

    return ff_kernel_file_line("/proc/self", file, line, &kibibytes) && kibibytes > 0
               ? (uint64_t)kibibytes * 1024
               : 0;
}

struct ff_memory_use ff_process_memory(void)
{
    uint64_t peak = kibibytes_of("status", "VmHWM");
    uint64_t shared = kibibytes_of("status", "RssFile") + kibibytes_of("status", "RssShmem");

    /* Shared pages are hardly ever given back, so what is shared now was so at the peak. */
    return (struct ff_memory_use){
        .private_peak_bytes = peak > shared ? peak - shared : 0,
        .shared_bytes =
            kibibytes_of("smaps_rollup", "Pss_File") + kibibytes_of("smaps_rollup", "Pss_Shmem"),
    };
}

uint64_t ff_process_private_bytes(void)
{
    char text[128];
    unsigned long long size;
    unsigned long long resident;
    unsigned long long shared;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || shared > resident)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool ff_process_limit_memory(uint64_t bytes)
{
    uint64_t limit = kibibytes_of("status", "VmData") + bytes;

    return setrlimit(RLIMIT_DATA, &(struct rlimit){.rlim_cur = limit, .rlim_max = limit}) == 0;
}

const unsigned char *ff_here_open(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *page =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, bytes, MADV_WIPEONFORK) != 0) {
        munmap(page, bytes);
        return NULL;
    }
    *page = 1;
    return page;
}

void ff_here_close(const unsigned char *here)
{
    if (here != NULL)
        munmap((void *)here, (size_t)sysconf(_SC_PAGESIZE));
}
