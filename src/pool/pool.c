/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a pool. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/event.h"
#include "platform/kill_point.h"
#include "platform/math_threads.h"
#include "platform/process.h"
#include "pool/call.h"
#include "pool/pool_tags.h"
#include "pool/supervisor.h"

enum { WORKERS_MAX = 4096, CLOSE_PATIENCE_MS = 2000 };

/* Descriptors that only the moment of opening needs. */
struct handover {
    int lifeline[2];
    int driver_pidfd;
    int channel; /* the supervisor's end */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void free_pool(forkfold_pool *pool)
{
    close_fd(&pool->layout.driver_bell);
    close_fd(&pool->layout.supervisor_bell);
    close_fd(&pool->supervisor_pidfd);
    close_fd(&pool->lifeline);
    close_fd(&pool->epoll);
    close_fd(&pool->alarm);
    ff_items_close(pool);
    ff_arena_close(&pool->files.addresses);
    ff_here_close(pool->here);
    ff_spill_close(&pool->spill);
    close_fd(&pool->asker.channel);
    free((char *)pool->layout.spill_folder);
    ff_layout_close(&pool->layout);
    free(pool);
}

/* What the newest of the calls that a pool cannot do without takes, pidfd_open. */
#define LEAST_KERNEL "Linux 5.3"

/* call: what errno is of. */
static int system_error(struct ff_error *error, const char *what, const char *call)
{
    int cause = errno;
    const char *reason = strerror(cause);

    switch (cause) {
    case EMFILE:
    case ENFILE:
        return ff_error_set(error, FORKFOLD_E_SYSTEM,
                            "cannot %s: %s; raise the limit of open files (ulimit -n)", what,
                            reason);
    case EAGAIN:
        return ff_error_set(error, FORKFOLD_E_SYSTEM,
                            "cannot %s: %s; raise the limit of processes (ulimit -u)", what,
                            reason);
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC:
        return ff_error_set(error, FORKFOLD_E_SYSTEM, "cannot %s: %s: %s", what, call, reason);
    default:
        return ff_error_set(error, FORKFOLD_E_SYSTEM,
                            "cannot %s: the kernel refuses %s: %s; that takes " LEAST_KERNEL
                            " or newer and, in a container, a seccomp filter that allows it",
                            what, call, reason);
    }
}

/* Stores an open descriptor; false when there is none. */
static bool keep(int *place, int fd)
{
    *place = fd;
    return fd >= 0;
}

/* Opens everything but the channel.  NULL, or the call that failed, with errno. */
static const char *open_descriptors(forkfold_pool *pool, struct handover *handover)
{
    if (!keep(&pool->layout.driver_bell, ff_doorbell_open()) ||
        !keep(&pool->layout.supervisor_bell, ff_doorbell_open()))
        return "eventfd";
    if (!keep(&pool->epoll, ff_epoll_open()))
        return "epoll";
    if (!keep(&pool->alarm, ff_alarm_open()))
        return "timerfd";
    if (!keep(&handover->driver_pidfd, ff_pidfd_open(getpid())))
        return "pidfd_open";
    if (ff_lifeline_open(handover->lifeline) != 0)
        return "pipe2";
    pool->lifeline = handover->lifeline[1];
    handover->lifeline[1] = -1;
    return NULL;
}

/* The same for the channel, with a message through it: the next would be sent in need. */
static const char *open_channel(forkfold_pool *pool, struct handover *handover)
{
    char message = 0;
    int ends[2];
    int none;

    if (ff_channel_open(ends) != 0)
        return "socketpair";
    pool->asker.channel = ends[0];
    handover->channel = ends[1];
    if (ff_channel_send(ends[0], &message, sizeof(message), -1) != 0)
        return "sendmsg";
    return ff_channel_receive(ends[1], &message, sizeof(message), &none, 0) == 1 ? NULL : "recvmsg";
}

static int open_events(forkfold_pool *pool, struct handover *handover, struct ff_error *error)
{
    const char *failed = open_descriptors(pool, handover);

    if (failed == NULL)
        failed = open_channel(pool, handover);
    if (failed != NULL)
        return system_error(error, "open the pool's descriptors", failed);
    if (ff_epoll_add(pool->epoll, pool->layout.driver_bell, FF_TAG_BELL) != 0 ||
        ff_epoll_add(pool->epoll, pool->alarm, FF_TAG_ALARM) != 0)
        return system_error(error, "watch the pool's descriptors", "epoll_ctl");
    failed = ff_process_refused_call(handover->driver_pidfd);
    return failed == NULL ? 0 : system_error(error, "watch over processes", failed);
}

/* What only the driver may hold: its death is seen by it. */
static void close_own_ends(forkfold_pool *pool)
{
    close_fd(&pool->lifeline);
    close_fd(&pool->epoll);
    close_fd(&pool->alarm);
    close_fd(&pool->asker.channel);
}

static int fork_supervisor(forkfold_pool *pool, const struct handover *handover, int keep_fd,
                           struct ff_error *error)
{
    struct ff_math_threads held;
    int code = 0;

    fflush(NULL); /* what the host has buffered is its own to write, once */
    FF_KILL_POINT("driver.open.fork");
    ff_math_threads_hold(&held);
    pool->supervisor = fork();
    if (pool->supervisor < 0)
        code = system_error(error, "fork the supervisor", "fork");
    if (pool->supervisor == 0) {
        close_own_ends(pool);
        ff_math_threads_name_one();
        ff_supervisor_main(&(struct ff_supervisor_options){.layout = &pool->layout,
                                                           .lifeline = handover->lifeline[0],
                                                           .driver_pidfd = handover->driver_pidfd,
                                                           .channel = handover->channel,
                                                           .keep_fd = keep_fd});
    }
    ff_math_threads_release(&held);
    if (code < 0)
        return code;
    FF_KILL_POINT("driver.open.forked");
    /* Whatever this process forks from now on, another pool's workers too, cannot touch it (I5). */
    ff_layout_keep_from_children(&pool->layout);
    pool->supervisor_pidfd = ff_pidfd_open(pool->supervisor);
    if (pool->supervisor_pidfd < 0 ||
        ff_epoll_add(pool->epoll, pool->supervisor_pidfd, FF_TAG_SUPERVISOR) != 0) {
        system_error(error, "watch the supervisor", "pidfd_open or epoll_ctl");
        kill(pool->supervisor, SIGKILL);
        ff_process_reap(-1, pool->supervisor);
        return error->code;
    }
    pool->asker.supervisor = pool->supervisor_pidfd;
    return 0;
}

/* Nothing is opened there before it is needed; then the folder is the one that is named now. */
static int choose_spill_folder(forkfold_pool *pool, const char *wish, struct ff_error *error)
{
    const char *folder = wish;

    if (folder == NULL)
        folder = secure_getenv("TMPDIR");
    if (folder == NULL || *folder == '\0')
        folder = "/var/tmp";
    pool->layout.spill_folder = strdup(folder);
    if (pool->layout.spill_folder == NULL)
        return ff_error_set(error, FORKFOLD_E_MEMORY, "no memory for a pool");
    return 0;
}

static int open_into(forkfold_pool *pool, const forkfold_pool_options *options,
                     struct ff_error *error)
{
    unsigned workers = options->workers > 0 ? options->workers : forkfold_available_cpus();
    struct handover handover = {.lifeline = {-1, -1}, .driver_pidfd = -1, .channel = -1};
    int code;

    if (ff_layout_open(&pool->layout, workers) < 0)
        return ff_error_set(error, FORKFOLD_E_MEMORY,
                            "cannot reserve address space for %u workers: %s; use fewer workers or "
                            "raise the limit (ulimit -v)",
                            workers, strerror(errno));
    pool->spill.slots = workers;
    pool->layout.rules =
        (struct ff_worker_rules){.keeps_descriptors = options->keep_descriptors != 0,
                                 .initializer = options->initializer,
                                 .initializer_context = options->initializer_context,
                                 .tasks_most = options->tasks_per_worker,
                                 .recycle_bytes = options->recycle_bytes,
                                 .memory_bytes = options->worker_memory_bytes};
    code = choose_spill_folder(pool, options->spill_folder, error);
    if (code == 0)
        code = open_events(pool, &handover, error);
    ff_items_open(pool);
    ff_arena_open(&pool->files.addresses, pool->layout.file_addresses);
    if (code == 0)
        code = fork_supervisor(pool, &handover, options->keep_fd_plus_one - 1, error);
    close_fd(&handover.lifeline[0]);
    close_fd(&handover.lifeline[1]);
    close_fd(&handover.driver_pidfd);
    close_fd(&handover.channel);
    return code;
}

static int check_options(const forkfold_pool_options *options, struct ff_error *error)
{
    if (options->size != 0 && options->size != sizeof(*options))
        return ff_error_set(error, FORKFOLD_E_INVALID,
                            "forkfold_pool_options.size is %zu, this library knows %zu",
                            options->size, sizeof(*options));
    if (options->workers > WORKERS_MAX)
        return ff_error_set(error, FORKFOLD_E_INVALID, "%u workers are more than the %d possible",
                            options->workers, WORKERS_MAX);
    return 0;
}

int forkfold_pool_open(forkfold_pool **pool, const forkfold_pool_options *options, char *message,
                       size_t message_bytes)
{
    static const forkfold_pool_options defaults = {0};
    struct ff_error error = {0};
    forkfold_pool *opened = NULL;

    if (options == NULL)
        options = &defaults;
    ff_kill_points_open();
    if (check_options(options, &error) == 0) {
        opened = calloc(1, sizeof(*opened));
        if (opened == NULL)
            ff_error_set(&error, FORKFOLD_E_MEMORY, "no memory for a pool");
    }
    if (opened != NULL) {
        opened->here = ff_here_open();
        opened->owner = getpid();
        opened->supervisor_pidfd = opened->lifeline = opened->epoll = opened->alarm = -1;
        opened->asker.channel = opened->asker.supervisor = -1;
        opened->memory_bytes = options->memory_bytes;
        opened->max_deaths = options->max_deaths > 0 ? options->max_deaths : FF_DEATHS_MAX;
        if (open_into(opened, options, &error) < 0) {
            free_pool(opened);
            opened = NULL;
        }
    }
    if (opened == NULL) {
        if (message != NULL && message_bytes > 0)
            snprintf(message, message_bytes, "%s", error.message);
        return error.code;
    }
    *pool = opened;
    return 0;
}

/* A supervisor that somebody stopped does not answer; its death ends its workers all the same. */
static void end_supervisor(forkfold_pool *pool)
{
    ff_publish(&pool->layout.control->closed, 1);
    ff_doorbell_ring(pool->layout.supervisor_bell);
    close_fd(&pool->lifeline);
    FF_KILL_POINT("driver.close.pool");
    if (!ff_wait_readable(pool->supervisor_pidfd, ff_clock_ns() + CLOSE_PATIENCE_MS * FF_NS_PER_MS))
        ff_pidfd_kill(pool->supervisor_pidfd);
    ff_process_reap(pool->supervisor_pidfd, pool->supervisor);
}

void forkfold_pool_stop(forkfold_pool *pool)
{
    if (!ff_pool_is_here(pool) || pool->stopped)
        return;
    end_supervisor(pool);
    pool->stopped = true;
    pool->lost = true;
    ff_items_abandon(pool);
}

void forkfold_pool_close(forkfold_pool *pool)
{
    if (pool == NULL)
        return;
    if (ff_pool_is_here(pool))
        forkfold_pool_stop(pool);
    else
        ff_layout_forget(&pool->layout); /* the child did not inherit it */
    free_pool(pool);
}

const char *forkfold_pool_message(const forkfold_pool *pool)
{
    return pool->error.message;
}

unsigned forkfold_pool_workers(const forkfold_pool *pool)
{
    return pool->layout.workers;
}

int forkfold_pool_worker(const forkfold_pool *pool, unsigned slot)
{
    if (!ff_pool_is_here(pool) || pool->lost || slot >= pool->layout.workers)
        return 0;
    return (int)ff_peer_get(&pool->layout.segments[slot].head->pid);
}

int forkfold_pool_watch(forkfold_pool *pool, int fd, forkfold_watch *callback, void *context)
{
    if (fd < 0 || callback == NULL)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "a watch needs an fd and a callback");
    if (pool->watch_count == FF_WATCHES_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT, "a pool has at most %d watches",
                            FF_WATCHES_MAX);
    if (ff_epoll_add(pool->epoll, fd, FF_TAG_WATCH + pool->watch_count) != 0)
        return ff_error_set(&pool->error, FORKFOLD_E_SYSTEM, "cannot watch descriptor %d: %s", fd,
                            strerror(errno));
    pool->watches[pool->watch_count++] =
        (struct ff_watch){.fd = fd, .callback = callback, .context = context};
    return 0;
}

int forkfold_pool_guard_path(forkfold_pool *pool, const char *path)
{
    struct ff_control_shared *control = pool->layout.control;

    ff_publish(&control->guarded, 0);
    if (path == NULL)
        return 0;
    if (strlen(path) >= sizeof(control->guarded_path))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID, "the path to guard is too long");
    strcpy(control->guarded_path, path);
    /* Partner: remove_guarded_path() in supervisor.c, which reads the path after it. */
    ff_publish(&control->guarded, 1);
    return 0;
}

void forkfold_pool_pause(forkfold_pool *pool)
{
    pool->paused_since_ns = ff_clock_ns();
    ff_publish(&pool->layout.control->paused, 1);
}

void forkfold_pool_resume(forkfold_pool *pool)
{
    struct ff_control_shared *control = pool->layout.control;
    uint64_t stopped = ff_clock_ns() - pool->paused_since_ns;

    /* Before `paused` ends, or the supervisor would count the time once. */
    ff_publish(&control->paused_ns, ff_peer_get(&control->paused_ns) + stopped);
    ff_publish(&control->paused, 0);
    ff_doorbell_ring(pool->layout.supervisor_bell);
}
