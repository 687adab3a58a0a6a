/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's loop: births, timeouts, the end of a call, the end of all.
 *
 * It waits in one epoll for the deaths of workers (pidfd), the driver's end
 * (a lifeline pipe, which also notices exec, and a pidfd, which also notices a
 * driver whose other children hold the pipe open), the alarm for timeouts, and
 * its doorbell, which driver and workers ring when there is something to look at.
 */
#include "pool/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/barrier.h"
#include "platform/channel.h"
#include "platform/clock.h"
#include "platform/event.h"
#include "platform/kill_point.h"
#include "platform/map.h"
#include "pool/question.h"
#include "pool/queues.h"
#include "pool/spill.h"
#include "pool/supervisor_state.h"
#include "pool/worker.h"

/* Deaths in a row, of workers that had nothing to do, after which a slot stays empty; in a call it is
   what the call puts up with, if that is more. */
enum { IDLE_DEATHS_MAX = 10 };

/* Of a slot its worker's channel and, behind all of those, its pidfd. */
enum { SLOTS_MAX = 1 << 16 };
enum tag {
    TAG_LIFELINE,
    TAG_DRIVER,
    TAG_BELL,
    TAG_ALARM,
    TAG_ASK_DRIVER,
    TAG_ASK,
    TAG_SLOT = TAG_ASK + SLOTS_MAX
};

unsigned ff_living(const struct supervisor *s)
{
    unsigned living = 0;

    for (unsigned i = 0; i < s->layout->workers; i++)
        living += s->slots[i].pid != 0;
    return living;
}

static void kill_worker(struct supervisor *s, unsigned slot);
static bool bury(struct supervisor *s, unsigned slot);

/* ---- Births -------------------------------------------------------------- */

static void close_channel(struct supervisor *s, unsigned slot)
{
    if (s->slots[slot].channel < 0)
        return;
    ff_epoll_remove(s->epoll, s->slots[slot].channel);
    close(s->slots[slot].channel);
    s->slots[slot].channel = -1;
}

/* Everything about a slot in which nobody lives. */
static struct slot empty_slot(void)
{
    return (struct slot){.pidfd = -1, .channel = -1};
}

static bool watch_worker(struct supervisor *s, unsigned slot)
{
    s->slots[slot].pidfd = ff_pidfd_open(s->slots[slot].pid);
    return s->slots[slot].pidfd >= 0 &&
           ff_epoll_add(s->epoll, s->slots[slot].pidfd, TAG_SLOT + slot) == 0 &&
           ff_epoll_add(s->epoll, s->slots[slot].channel, TAG_ASK + slot) == 0;
}

/*
 * False with errno when there is no process to be had.  One that cannot be
 * watched may already have joined a call and taken a task: it is buried like any other.
 */
static bool give_birth(struct supervisor *s, unsigned slot)
{
    struct ff_worker_options worker = {.layout = s->layout,
                                       .slot = slot,
                                       .supervisor = s->pid,
                                       .keep_fd = s->keep_fd,
                                       .host_fds = s->host_fds,
                                       .host_fd_count = s->host_fd_count};
    int ends[2];
    int cause;

    if (ff_channel_open(ends) != 0)
        return false;
    worker.channel = ends[1];
    FF_KILL_POINT("supervisor.fork.begin");
    pid_t pid = fork();

    if (pid == 0)
        ff_worker_main(&worker);
    cause = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        errno = cause;
        return false;
    }
    FF_KILL_POINT("supervisor.fork.done");
    s->slots[slot] = (struct slot){.pid = pid, .pidfd = -1, .channel = ends[0]};
    if (watch_worker(s, slot))
        return true;
    cause = errno;
    kill_worker(s, slot);
    bury(s, slot);
    errno = cause;
    return false;
}

/* With fewer workers the call goes on; without any it cannot. */
static void retire(struct supervisor *s, unsigned slot, const char *why)
{
    s->slots[slot] = empty_slot();
    ff_release_assignment(s, slot);
    ff_layout_wake_workers(s->layout, UINT64_MAX);
    if (s->active && ff_living(s) == 0)
        ff_stop_call(s, FORKFOLD_E_SYSTEM, "no worker could be started: %s", why);
}

static void populate(struct supervisor *s)
{
    for (unsigned i = 0; i < s->layout->workers; i++)
        if (s->slots[i].pid == 0 && !give_birth(s, i))
            retire(s, i, strerror(errno));
}

/* ---- The course of a call ------------------------------------------------ */

void ff_reopen_call(struct supervisor *s)
{
    if (s->stop_code == 0)
        ff_announce(&s->shared->closing, s->sequence - 1);
}

static void kill_worker(struct supervisor *s, unsigned slot)
{
    s->slots[slot].killed = true;
    kill(s->slots[slot].pid, SIGKILL);
}

/* A worker that may still be running something of this call. */
static bool is_at_work(const struct supervisor *s, unsigned slot)
{
    const struct ff_segment *segment = ff_segment_of(s, slot);

    return s->slots[slot].pid != 0 && ff_recheck(&segment->joined) == s->sequence &&
           ff_recheck(&segment->parked) != s->sequence;
}

static bool anyone_at_work(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->layout->workers; i++)
        if (is_at_work(s, i))
            return true;
    return false;
}

void ff_stop_call(struct supervisor *s, int code, const char *format, ...)
{
    va_list arguments;

    if (!s->active || s->stop_code != 0)
        return;
    s->stop_code = code;
    va_start(arguments, format);
    vsnprintf(s->shared->message, sizeof(s->shared->message), format, arguments);
    va_end(arguments);
    /* Nobody joins from here on, so that those at work now are the last ones. */
    ff_announce(&s->shared->closing, s->sequence);
    for (unsigned i = 0; i < s->layout->workers; i++)
        if (is_at_work(s, i))
            kill_worker(s, i);
}

/* At the begin and at the end of a call that wants to know what the workers use. */
static uint64_t read_cpu_clocks(struct supervisor *s)
{
    uint64_t used_ns = 0;

    if (!ff_call_of(s)->measure)
        return 0;
    for (unsigned i = 0; i < s->layout->workers; i++) {
        uint64_t now_ns = s->slots[i].pid != 0 ? ff_process_cpu_ns(s->slots[i].pid) : 0;

        if (now_ns > s->slots[i].cpu_begin_ns)
            used_ns += now_ns - s->slots[i].cpu_begin_ns;
        s->slots[i].cpu_begin_ns = now_ns;
    }
    return used_ns;
}

static void finish(struct supervisor *s)
{
    s->active = false;
    ff_own_set(&s->shared->cpu_ns, ff_peer_get(&s->shared->cpu_ns) + read_cpu_clocks(s));
    s->shared->outcome = s->stop_code;
    FF_KILL_POINT("supervisor.finish.begin");
    /* Partner: the driver in call.c, which reads outcome, message and seals after it. */
    ff_publish(&s->shared->finished, s->sequence);
    FF_KILL_POINT("supervisor.finish.published");
    ff_doorbell_ring(s->layout->driver_bell);
}

/* Every logged claim of the call is sealed, an assignment that waits for its worker included. */
static bool all_sealed(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->layout->workers; i++) {
        const struct ff_segment *segment = ff_segment_of(s, i);

        if (ff_peer_get(&segment->call) == s->sequence &&
            ff_sealed_covered(ff_observe(&segment->sealed)) < ff_peer_get(&segment->claim_count))
            return false;
    }
    return true;
}

static bool is_quiet(const struct supervisor *s)
{
    /*
     * The boards first: taking the last task releases the claimer's
     * `joined` and `parked`, so a claim that emptied a board is seen below.
     */
    return ff_board_is_exhausted(&s->layout->boards[FF_MAIN]) &&
           !ff_board_has_work(&s->layout->boards[FF_RETRY]) && !anyone_at_work(s) && all_sealed(s);
}

static void finish_if_done(struct supervisor *s)
{
    if (!s->active)
        return;
    if (s->stop_code != 0) {
        if (!anyone_at_work(s))
            finish(s);
        return;
    }
    if (!is_quiet(s))
        return;
    /* Partner: join() in worker.c.  Who joins now sees `closing`; who joined before is seen here. */
    ff_announce(&s->shared->closing, s->sequence);
    if (!is_quiet(s))
        return;
    if (s->audit_due && ff_call_of(s)->job->is_done == NULL) {
        bool found;

        s->audit_due = false;
        found = ff_audit(s);
        if (s->stop_code != 0) {
            finish_if_done(s); /* it stops at once: nobody is at work */
            return;
        }
        if (found) {
            /* Something was queued, or given up; in the latter case there may be nothing to do. */
            ff_layout_wake_workers(s->layout, UINT64_MAX);
            finish_if_done(s);
            return;
        }
    }
    finish(s);
}

static void begin_call(struct supervisor *s, uint64_t sequence)
{
    ff_forget_settled(s);
    s->sequence = sequence;
    s->active = true;
    s->stop_code = 0;
    s->audit_due = false;
    s->streak = 0;
    s->idle_streak = 0;
    s->progress = 0;
    s->blame_count = 0;
    s->consumed_count = 0;
    s->oom_kills = ff_process_oom_kills();
    (void)read_cpu_clocks(s);
    populate(s); /* slots that were left empty in the last call get another chance */
}

static void check_timeouts(struct supervisor *s);
static void end_unwanted(struct supervisor *s);
static _Noreturn void end_pool(struct supervisor *s);

/* Takes notice of what the driver has stored since the last look. */
static void look_at_control(struct supervisor *s)
{
    const struct ff_control_shared *control = s->layout->control;
    uint64_t sequence = ff_observe(&control->sequence);

    if (ff_observe(&control->closed) != 0)
        end_pool(s);
    if (sequence != s->sequence)
        begin_call(s, sequence);
    if (s->active && ff_observe(&control->cancelled) == s->sequence)
        ff_stop_call(s, FORKFOLD_E_CANCELLED, "the call was cancelled");
    if (s->active && ff_call_of(s)->job->is_done != NULL) {
        end_unwanted(s);
        if (ff_observe(&control->doubts) != s->doubts) {
            s->doubts = ff_peer_get(&control->doubts);
            ff_look_for_lost(s, true);
        }
    }
    check_timeouts(s);
}

/* Ends the workers that are on an item of an owner that was cancelled. */
static void end_unwanted(struct supervisor *s)
{
    const struct ff_job *job = ff_call_of(s)->job;

    for (unsigned i = 0; i < s->layout->workers; i++) {
        uint64_t logged = ff_claims_logged(&s->layout->segments[i]);
        struct ff_task item;

        if (is_at_work(s, i) && !s->slots[i].killed && ff_find_current(s, i, 0, logged, &item) &&
            job->is_cancelled(item.owner)) {
            s->slots[i].unwanted = true;
            kill_worker(s, i);
        }
    }
}

/* ---- Timeouts ------------------------------------------------------------ */

/* Time that counts: without what the driver was stopped for. */
static uint64_t running_ns(const struct supervisor *s)
{
    return ff_clock_ns() - ff_observe(&s->layout->control->paused_ns);
}

/*
 * Kills a worker whose item, or whose housekeeping, is overdue; otherwise says when it would be, at
 * the latest after latest.
 */
static uint64_t check_timeout(struct supervisor *s, unsigned slot, uint64_t now, uint64_t latest)
{
    const struct ff_segment *segment = ff_segment_of(s, slot);
    const struct ff_call *call = ff_call_of(s);
    /* The item is published after its start, so the start is not older than the item. */
    uint64_t item = ff_observe(&segment->current);
    uint64_t started = ff_peer_get(&segment->started_ns);
    uint64_t limit =
        item == FF_CURRENT_HOUSEKEEPING ? call->housekeeping_ns : ff_peer_get(&segment->limit_ns);

    if (limit == 0 || !is_at_work(s, slot) || item == 0 || s->slots[slot].killed)
        return latest;
    if (started > now || now - started < limit)
        return started + limit < latest ? started + limit : latest;
    if (ff_recheck(&segment->current) != item)
        return latest;
    FF_KILL_POINT("supervisor.timeout");
    s->slots[slot].condemned = item;
    kill_worker(s, slot);
    return latest;
}

static void check_timeouts(struct supervisor *s)
{
    const struct ff_call *call = ff_call_of(s);
    uint64_t shortest;

    /* Between calls the driver may be writing the next one. */
    if (!s->active || ff_observe(&s->layout->control->paused) != 0)
        return;
    shortest = call->timeout_ns != 0 ? call->timeout_ns : call->housekeeping_ns;
    if (shortest == 0)
        shortest = ff_observe(&s->layout->control->shortest_ns);
    if (shortest == 0)
        return;
    uint64_t now = running_ns(s);
    uint64_t next = now + shortest;

    for (unsigned i = 0; i < s->layout->workers; i++)
        next = check_timeout(s, i, now, next);
    ff_alarm_set(s->alarm, next + ff_observe(&s->layout->control->paused_ns));
}

/* ---- Deaths -------------------------------------------------------------- */

static void end_strays(struct supervisor *s)
{
    for (unsigned i = 0; i < s->layout->workers; i++)
        s->ours[i] = s->slots[i].pid; /* 0 is nobody */
    ff_process_end_strays(s->ours, s->layout->workers);
}

/* The words of the dead worker that would speak for its successor. */
static void clear_incarnation(struct ff_segment *segment)
{
    ff_own_set(&segment->joined, 0);
    ff_own_set(&segment->parked, 0);
    ff_own_set(&segment->current, 0);
    ff_own_set(&segment->sleeping, 0);
    ff_own_set(&segment->consumed, 0);
    ff_own_set(&segment->retired, 0);
    ff_own_set(&segment->pid, 0);
}

/* A dead worker's pages stay charged to the memory cgroup: free the half-written ones before its
   successor needs as many. */
static void discard_unpublished(struct supervisor *s, unsigned slot)
{
    const struct ff_segment_areas *areas = &s->layout->segments[slot];
    uint64_t sealed = ff_peer_get(&areas->head->sealed);
    unsigned unpublished = sealed != 0 ? ff_sealed_buffer(sealed) ^ 1 : 0;
    struct ff_area buffer = areas->buffers[s->sequence & 1][unpublished];

    if (s->active && ff_peer_get(&areas->head->call) == s->sequence)
        ff_map_discard(buffer.base, buffer.bytes);
}

/* Whether the kernel, most likely, killed it for want of memory. */
static bool died_for_memory(struct supervisor *s, struct ff_exit end, bool killed)
{
    unsigned long kills = ff_process_oom_kills();
    bool for_memory = end.signal == SIGKILL && !killed && kills != s->oom_kills;

    s->oom_kills = kills;
    return for_memory;
}

/* Everything about a dead worker but its successor.  Returns whether it was killed for memory. */
static bool bury(struct supervisor *s, unsigned slot)
{
    /* A call that this worker has joined, and that we have not seen yet, must begin before its
       death is judged; the slot is not filled meanwhile. */
    look_at_control(s);

    struct slot dead = s->slots[slot];
    struct ff_exit end = ff_process_reap(dead.pidfd, dead.pid);

    FF_KILL_POINT("supervisor.death");
    if (dead.pidfd >= 0) {
        ff_epoll_remove(s->epoll, dead.pidfd);
        close(dead.pidfd);
    }
    close_channel(s, slot);
    s->slots[slot].pid = 0;
    end_strays(s);

    bool for_memory = died_for_memory(s, end, dead.killed);

    ff_queues_recover(s->layout, slot);
    if (s->active)
        ff_recover(s, slot, end, for_memory);
    else
        s->streak++;
    if (end.cpu_ns > dead.cpu_begin_ns)
        ff_own_set(&s->shared->cpu_ns,
                   ff_peer_get(&s->shared->cpu_ns) + end.cpu_ns - dead.cpu_begin_ns);
    clear_incarnation(ff_segment_of(s, slot));
    discard_unpublished(s, slot);
    return for_memory;
}

/* Whether workers seem to be unable to live at all, whatever they are given to do. */
static bool dies_idle(const struct supervisor *s)
{
    if (!s->active)
        return s->streak > IDLE_DEATHS_MAX;
    return s->idle_streak > IDLE_DEATHS_MAX && s->idle_streak > ff_call_of(s)->max_deaths;
}

static void on_death(struct supervisor *s, unsigned slot)
{
    bool for_memory = bury(s, slot);

    /* After a kill for memory the others get on better with one worker less. */
    if ((for_memory && ff_living(s) > 0) || dies_idle(s))
        retire(s, slot, "workers die as soon as they are started");
    else if (!give_birth(s, slot))
        retire(s, slot, strerror(errno));
    ff_layout_wake_workers(s->layout, UINT64_MAX);
}

/* ---- The end of all ------------------------------------------------------ */

static void remove_guarded_path(const struct supervisor *s)
{
    const struct ff_control_shared *control = s->layout->control;

    /* Only a driver that died could not do it itself. */
    if (ff_observe(&control->closed) == 0 && ff_observe(&control->guarded) != 0)
        unlink(control->guarded_path);
}

static _Noreturn void end_pool(struct supervisor *s)
{
    for (unsigned i = 0; i < s->layout->workers; i++)
        if (s->slots[i].pid != 0)
            kill_worker(s, i);
    remove_guarded_path(s);
    for (unsigned i = 0; i < s->layout->workers; i++) {
        if (s->slots[i].pid != 0)
            ff_process_reap(s->slots[i].pidfd, s->slots[i].pid);
        s->slots[i].pid = 0;
    }
    end_strays(s);
    _exit(0);
}

/* ---- The loop ------------------------------------------------------------ */

static void answer_with(int channel, int fd)
{
    ff_question_answer(channel, fd >= 0 ? 0 : errno, fd);
}

/* What only the driver may ask. */
static void keep_or_forget(struct supervisor *s, const struct ff_question *question, int *given)
{
    if (question->wish == FF_WISH_FORGET_FILE)
        ff_file_store_forget(&s->files, question);
    else
        ff_question_answer(s->driver_channel, ff_file_store_keep(&s->files, question, given), -1);
}

static void do_as_asked(struct supervisor *s, int channel, const struct ff_question *question,
                        int *given)
{
    bool is_driver = channel == s->driver_channel;

    switch (question->wish) {
    case FF_WISH_SPILL_FILE:
        if (!is_driver)
            ff_own_set(&s->shared->has_spilled, 1);
        answer_with(channel, ff_spill_store_file(&s->spill, question->number));
        return;
    case FF_WISH_EMPTY_SPILL:
        ff_spill_store_empty(&s->spill);
        ff_question_answer(channel, 0, -1);
        return;
    case FF_WISH_FILE:
        answer_with(channel, ff_file_store_find(&s->files, question));
        return;
    default:
        break;
    }
    if (is_driver)
        keep_or_forget(s, question, given);
    else
        ff_question_answer(channel, EPERM, -1);
}

/* False when the other end of the channel is closed. */
static bool answer(struct supervisor *s, int channel)
{
    struct ff_question question;
    int given;
    int received = ff_question_receive(channel, &question, &given);

    if (received <= 0)
        return received < 0;
    do_as_asked(s, channel, &question, &given);
    if (given >= 0)
        close(given);
    return true;
}

/* The worker that asked may have died in the same round, and its successor not have asked. */
static void answer_worker(struct supervisor *s, unsigned slot)
{
    if (s->slots[slot].channel >= 0 && !answer(s, s->slots[slot].channel))
        close_channel(s, slot); /* its pidfd will tell the rest */
}

static void handle(struct supervisor *s, uint64_t tag)
{
    switch (tag) {
    case TAG_LIFELINE:
    case TAG_DRIVER:
        end_pool(s);
    case TAG_BELL:
        ff_doorbell_clear(s->layout->supervisor_bell);
        look_at_control(s);
        break;
    case TAG_ALARM:
        ff_alarm_clear(s->alarm);
        look_at_control(s);
        break;
    case TAG_ASK_DRIVER:
        /* When it is closed the lifeline is as well. */
        if (!answer(s, s->driver_channel))
            end_pool(s);
        break;
    default:
        if (tag >= TAG_SLOT)
            on_death(s, (unsigned)(tag - TAG_SLOT));
        else
            answer_worker(s, (unsigned)(tag - TAG_ASK));
        break;
    }
}

/*
 * Deaths of one round before the doorbell: a call that looks complete because
 * a worker has parked may have lost another one.
 */
static int compare_tags(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left < right) - (left > right);
}

static _Noreturn void loop(struct supervisor *s)
{
    enum { ROUND = 64 };
    uint64_t tags[ROUND];

    for (;;) {
        int count = ff_epoll_wait(s->epoll, tags, ROUND, -1);

        qsort(tags, (size_t)count, sizeof(tags[0]), compare_tags);
        for (int i = 0; i < count; i++)
            handle(s, tags[i]);
        ff_queue_lost(s);
        finish_if_done(s);
    }
}

static bool open_events(struct supervisor *s)
{
    s->epoll = ff_epoll_open();
    s->alarm = ff_alarm_open();
    return s->epoll >= 0 && s->alarm >= 0 &&
           ff_epoll_add(s->epoll, s->lifeline, TAG_LIFELINE) == 0 &&
           ff_epoll_add(s->epoll, s->driver_pidfd, TAG_DRIVER) == 0 &&
           ff_epoll_add(s->epoll, s->layout->supervisor_bell, TAG_BELL) == 0 &&
           ff_epoll_add(s->epoll, s->alarm, TAG_ALARM) == 0 &&
           ff_epoll_add(s->epoll, s->driver_channel, TAG_ASK_DRIVER) == 0;
}

static void shed_inheritance(const struct ff_supervisor_options *options)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, 0};
    int keep[] = {options->lifeline,
                  options->driver_pidfd,
                  options->keep_fd,
                  options->layout->driver_bell,
                  options->layout->supervisor_bell,
                  options->channel};

    ff_process_reset_signals(ignored);
    if (options->keep_fd != STDIN_FILENO)
        ff_process_detach_fd(STDIN_FILENO);
    if (!options->layout->rules.keeps_descriptors) {
        ff_process_detach_fd(STDOUT_FILENO);
        ff_process_close_all_but(keep, sizeof(keep) / sizeof(keep[0]));
    }
    ff_process_adopt_orphans();
    (void)prctl(PR_SET_NAME, "forkfold-super");
}

/* What the host had open, for the workers: whatever is opened from now on is the supervisor's. */
static bool list_descriptors(struct supervisor *s)
{
    const int own[] = {s->lifeline, s->driver_pidfd, s->driver_channel};

    if (!s->layout->rules.keeps_descriptors)
        return true;
    s->host_fds = ff_process_open_fds(&s->host_fd_count);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        for (unsigned k = 0; k < s->host_fd_count; k++)
            if (s->host_fds[k] == own[i])
                s->host_fds[k] = -1;
    return s->host_fds != NULL;
}

_Noreturn void ff_supervisor_main(const struct ff_supervisor_options *options)
{
    struct supervisor s = {.layout = options->layout,
                           .shared = options->layout->supervisor,
                           .keep_fd = options->keep_fd,
                           .lifeline = options->lifeline,
                           .driver_pidfd = options->driver_pidfd,
                           .driver_channel = options->channel,
                           .pid = getpid()};

    FF_KILL_POINT("supervisor.born");
    shed_inheritance(options);
    /* Workers heed it, too; those of a kernel that lets them inherit it are born sooner. */
    ff_barrier_heed();
    if (!list_descriptors(&s))
        _exit(1);
    s.slots = calloc(s.layout->workers, sizeof(*s.slots));
    /* Without them there is nothing to supervise with: the driver sees this process end. */
    s.ours = calloc(s.layout->workers, sizeof(*s.ours));
    if (s.slots == NULL || s.ours == NULL || ff_spill_store_open(&s.spill, s.layout) < 0 ||
        !open_events(&s))
        _exit(1);
    for (unsigned i = 0; i < s.layout->workers; i++)
        s.slots[i] = empty_slot();
    s.oom_kills = ff_process_oom_kills();
    populate(&s);
    FF_KILL_POINT("supervisor.ready");
    loop(&s);
}
