/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's private state, shared by supervisor.c (the loop, births,
 * the end of a call) and recovery.c (what a death means).
 */
#ifndef FF_POOL_SUPERVISOR_STATE_H
#define FF_POOL_SUPERVISOR_STATE_H

#include "platform/process.h"
#include "pool/files.h"
#include "pool/spill.h"
#include "pool/supervisor.h"

struct slot {
    pid_t pid; /* 0 while nobody lives here */
    int pidfd;
    int channel;           /* to the worker (question.h); -1 = it has closed its end */
    uint64_t cpu_begin_ns; /* what it had used when the call began, if that measures */
    bool killed;           /* the supervisor has sent SIGKILL itself */
    uint64_t condemned;    /* item + 1 that was killed for its timeout, or 0 */
    bool unwanted;         /* it was killed because nobody wants what it was running any more */
};

/* How often deaths were blamed on an item. */
struct blame {
    uint64_t item;
    uint32_t attempts;
};

/* An item whose input a dead worker had used up: it can be covered or given up, not run again. */
struct consumed {
    uint64_t item;
    struct ff_exit end; /* how that worker ended */
};

/* Task numbers of one board, a bit each. */
struct number_set {
    uint64_t *bits;
    size_t words;
};

struct supervisor {
    const struct ff_layout *layout;
    struct ff_supervisor_shared *shared;
    struct slot *slots; /* one per worker */
    pid_t *ours;        /* likewise, for end_strays */
    int epoll;
    int alarm;
    int keep_fd;
    int *host_fds; /* that workers keep, besides what they need; NULL without any */
    unsigned host_fd_count;
    int lifeline;
    int driver_pidfd;
    int driver_channel; /* likewise to the driver */
    struct ff_spill_store spill;
    struct ff_file_store files;
    pid_t pid;

    uint64_t sequence; /* of the newest call seen */
    bool active;       /* that call is not finished */
    int stop_code;     /* it is being stopped with this code; 0 = it is not */
    bool audit_due;    /* a task may have been lost between a cursor and a log */
    uint32_t streak;   /* deaths in a row without progress */
    uint32_t
        idle_streak;   /* likewise, of workers that had nothing to do and had not joined the call */
    uint64_t progress; /* the most that was covered or given up at any death */
    unsigned long oom_kills;
    struct blame *blames;
    size_t blame_count;
    size_t blame_capacity;
    struct consumed *consumed;
    size_t consumed_count;
    size_t consumed_capacity;

    /* Of a call whose results are published one by one: see lost.c. */
    struct number_set settled[FF_BOARD_COUNT]; /* claims of the dead that were queued again */
    uint64_t taken[FF_BOARD_COUNT];            /* how far the cursors were at the last look */
    uint64_t accounted[FF_BOARD_COUNT];        /* numbers below have been looked at */
    bool lost_due;                             /* that look is to be finished */
    uint64_t doubts;                           /* of the driver, the last seen */
};

/* The call in progress; between two the driver may be writing the next one. */
static inline const struct ff_call *ff_call_of(const struct supervisor *s)
{
    return &s->layout->control->call;
}

static inline struct ff_segment *ff_segment_of(const struct supervisor *s, unsigned slot)
{
    return s->layout->segments[slot].head;
}

/* recovery.c */

/*
 * A worker of the call in progress has died: queue again, blame, quarantine.
 * for_memory: the kernel killed it, most likely through no fault of the call.
 */
void ff_recover(struct supervisor *s, unsigned slot, struct ff_exit end, bool for_memory);

/* Queues again what nothing covers.  Returns whether there was something. */
bool ff_audit(struct supervisor *s);

/* The task that was assigned to a slot nobody will live in goes to all. */
void ff_release_assignment(struct supervisor *s, unsigned slot);

/* Queues a task again, but for what is done. */
void ff_queue_again(struct supervisor *s, const struct ff_task *task);

/* The item that a worker is on, among its claims number from up to claim_count. */
bool ff_find_current(const struct supervisor *s, unsigned slot, uint64_t from, uint64_t claim_count,
                     struct ff_task *item);

/* lost.c: for a call whose results are published one by one */

/* The claims of a slot whose worker is dead have been dealt with. */
void ff_settle_claims(struct supervisor *s, unsigned slot);
void ff_forget_settled(struct supervisor *s);

/*
 * Begins to look for lost tasks, all over or where it has not looked before, and goes on when
 * something has happened since.
 */
void ff_look_for_lost(struct supervisor *s, bool all_over);
void ff_queue_lost(struct supervisor *s);

/* supervisor.c */

/* Ends the call with an error: no result.  The first cause is kept. */
void ff_stop_call(struct supervisor *s, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Before tasks are posted: workers may join the call again. */
void ff_reopen_call(struct supervisor *s);

/* How many slots have a living worker. */
unsigned ff_living(const struct supervisor *s);

#endif
