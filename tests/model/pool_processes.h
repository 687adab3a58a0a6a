/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool whose supervisor and workers are processes of a model.  Their real loops run; what makes
 * processes of them, and what waits in the kernel, is replaced.
 *
 * Workers have the numbers from 0 on, the supervisor the one behind them.
 */
#ifndef FF_TESTS_MODEL_POOL_PROCESSES_H
#define FF_TESTS_MODEL_POOL_PROCESSES_H

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "model.h"
#include "platform/barrier.h"
#include "platform/channel.h"
#include "platform/error.h"
#include "platform/event.h"
#include "platform/futex.h"
#include "platform/map.h"
#include "platform/process.h"
#include "pool/coverage.h"
#include "pool/crash.h"
#include "pool/items.h"
#include "pool/queues.h"
#include "pool/seal.h"
#include "pool/supervisor_state.h"
#include "pool/worker.h"
#include "pool/worker_state.h"

enum { WORKERS_MAX = 2, POSTINGS_MAX = 6, CLAIMS_MAX = 12, QUARANTINE_MAX = 2 };

/* Numbers that no process has. */
enum { PID_FIRST = 1 << 30 };

enum { DRIVER_BELL, SUPERVISOR_BELL, BELLS };

/* What processes change. */
static struct pool_world {
    ff_word64 bells[BELLS];
    struct ff_cursors_shared cursors;
    struct ff_posting postings[FF_BOARD_COUNT][POSTINGS_MAX];
    uint64_t claims[WORKERS_MAX][CLAIMS_MAX];
    const struct supervisor *supervisor; /* on its stack */
} * pool_world;

/* Of these, too, but not in all of their fields: those that do not change are kept out of states. */
static struct ff_control_shared pool_control;
static struct ff_supervisor_shared supervisor_words;
static struct ff_segment pool_segments[WORKERS_MAX];
static struct ff_segment_areas pool_areas[WORKERS_MAX];
static struct ff_quarantine quarantine_records[QUARANTINE_MAX];
static struct ff_layout pool_layout;
static struct ff_files_shared no_files;

static uint64_t raw(const ff_word64 *word)
{
    return *(const volatile uint64_t *)(const volatile void *)word;
}

/* ---- The kernel ---------------------------------------------------------- */

uint64_t ff_clock_ns(void)
{
    return 0;
}

/* Every store of the model is visible at once. */
void ff_barrier_heed(void)
{
}

void ff_barrier_send(void)
{
}

void ff_futex_wait(const ff_word32 *word, uint32_t snapshot, uint64_t until_ns)
{
    MODEL_CHECK(until_ns == UINT64_MAX, "sleeps for some time only");
    model_sleep_on(word, snapshot);
}

void ff_futex_wake(ff_word32 *word, uint64_t count)
{
    (void)count;
    model_wake(word);
}

void ff_doorbell_ring(int doorbell)
{
    ff_set_bits(&pool_world->bells[doorbell], 1);
}

void ff_doorbell_clear(int doorbell)
{
    (void)ff_take_bits(&pool_world->bells[doorbell]);
}

static bool has_event(void *what)
{
    (void)what;
    return model_find_dead() != MODEL_NOBODY || raw(&pool_world->bells[SUPERVISOR_BELL]) != 0;
}

static void before_burial(unsigned slot);

static struct ff_exit reap_worker(pid_t pid)
{
    unsigned slot = (unsigned)(pid - PID_FIRST);

    model_reap(slot);
    before_burial(slot);
    return (struct ff_exit){.known = true, .signal = SIGKILL};
}

static pid_t start_worker(unsigned slot)
{
    model_start_again(slot);
    return PID_FIRST + (pid_t)slot;
}

static int wait_for_events(uint64_t *tags);

/* What is not a part of any course of events here. */
int ff_channel_open(int ends[2])
{
    ends[0] = ends[1] = -1;
    return 0;
}

unsigned long ff_process_oom_kills(void)
{
    return 0;
}

void ff_process_end_strays(const pid_t *ours, unsigned count)
{
    (void)ours;
    (void)count;
}

int ff_epoll_add(int epoll, int fd, uint64_t tag)
{
    (void)epoll;
    (void)fd;
    (void)tag;
    return 0;
}

void ff_epoll_remove(int epoll, int fd)
{
    (void)epoll;
    (void)fd;
}

void ff_map_discard(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
}

int ff_map_read_only(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

int ff_map_read_write(void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

void ff_alarm_set(int alarm, uint64_t at_ns)
{
    (void)alarm;
    (void)at_ns;
}

void ff_alarm_clear(int alarm)
{
    (void)alarm;
}

uint64_t ff_process_cpu_ns(pid_t pid)
{
    (void)pid;
    return 0;
}

uint64_t ff_process_private_bytes(void)
{
    return 0;
}

struct ff_memory_use ff_process_memory(void)
{
    return (struct ff_memory_use){0};
}

uint64_t ff_clock_cpu_ns(void)
{
    return 0;
}

size_t ff_page_bytes(void)
{
    return 4096;
}

int ff_files_follow(const struct ff_files_shared *shared, struct ff_file_mappings *mappings,
                    const struct ff_asker *asker, unsigned *failed)
{
    (void)shared;
    (void)mappings;
    (void)asker;
    (void)failed;
    return 0;
}

void ff_files_vacate(const struct ff_files_shared *shared, struct ff_file_mappings *mappings)
{
    (void)shared;
    (void)mappings;
}

int ff_file_store_keep(struct ff_file_store *store, const struct ff_question *question, int *given)
{
    (void)store;
    (void)question;
    (void)given;
    return 0;
}

void ff_file_store_forget(struct ff_file_store *store, const struct ff_question *question)
{
    (void)store;
    (void)question;
}

int ff_file_store_find(const struct ff_file_store *store, const struct ff_question *question)
{
    (void)store;
    (void)question;
    return -1;
}

int ff_spill_store_file(struct ff_spill_store *store, unsigned slot)
{
    (void)store;
    (void)slot;
    return -1;
}

void ff_spill_store_empty(struct ff_spill_store *store)
{
    (void)store;
}

int ff_question_receive(int channel, struct ff_question *question, int *given)
{
    (void)channel;
    (void)question;
    (void)given;
    return 0;
}

const char *forkfold_strerror(int code)
{
    (void)code;
    return "";
}

void ff_queues_recover(const struct ff_layout *of, unsigned slot)
{
    (void)of;
    (void)slot;
}

void ff_queues_return(const struct ff_layout *of, struct ff_queue_holds *holds)
{
    (void)of;
    (void)holds;
}

/* ---- The loops ----------------------------------------------------------- */

#define shed_inheritance shed_worker_inheritance
#define _exit(code)      model_kill(model_self()), abort()
#include "pool/worker.c" /* NOLINT(bugprone-suspicious-include): its loop is static */
#undef shed_inheritance
#undef _exit

#define _exit(code)                          abort()
#define fork()                               start_worker(slot)
#define ff_worker_main(options)              ((void)(options))
#define kill(pid, signal)                    model_kill((unsigned)((pid)-PID_FIRST))
#define close(fd)                            ((void)(fd))
#define ff_pidfd_open(pid)                   ((pid)-PID_FIRST)
#define ff_process_reap(pidfd, pid)          reap_worker(pid)
#define ff_epoll_wait(epoll, tags, max, end) wait_for_events(tags)
#include "pool/supervisor.c" /* NOLINT(bugprone-suspicious-include): likewise */
#undef _exit
#undef fork
#undef ff_worker_main
#undef kill
#undef close
#undef ff_epoll_wait

static int wait_for_events(uint64_t *tags)
{
    int count = 0;

    memset(tags, 0, (size_t)(pool_layout.workers + 1) * sizeof(*tags));
    model_await(has_event, NULL);
    for (unsigned i = 0; i < pool_layout.workers; i++)
        if (model_is_dead(i))
            tags[count++] = TAG_SLOT + i;
    if (raw(&pool_world->bells[SUPERVISOR_BELL]) != 0)
        tags[count++] = TAG_BELL;
    return count;
}

/* What ff_worker_main() does in a process of its own is left out. */
static void live_as_worker(unsigned self)
{
    struct ff_worker worker = {.layout = &pool_layout,
                               .areas = &pool_areas[self],
                               .segment = &pool_segments[self],
                               .slot = self,
                               .asker = {.channel = -1, .supervisor = -1},
                               .spill = {.slots = pool_layout.workers}};

    serve(&worker);
}

static void live_as_supervisor(unsigned self)
{
    struct slot slots[WORKERS_MAX];
    pid_t ours[WORKERS_MAX];
    struct supervisor s = {.layout = &pool_layout,
                           .shared = &supervisor_words,
                           .slots = slots,
                           .ours = ours,
                           .sequence = 1,
                           .active = true};

    (void)self;
    for (unsigned i = 0; i < pool_layout.workers; i++) {
        slots[i] = (struct slot){.pid = PID_FIRST + (pid_t)i, .pidfd = (int)i, .channel = -1};
        ours[i] = 0;
    }
    pool_world->supervisor = &s;
    loop(&s);
}

/* ---- The region ---------------------------------------------------------- */

static void lay_out_board(enum ff_board_id id, struct ff_board_shared *shared,
                          struct ff_cursor_shared *cursor)
{
    pool_layout.boards[id] = (struct ff_board){.shared = shared,
                                               .cursor = cursor,
                                               .postings = pool_world->postings[id],
                                               .capacity = POSTINGS_MAX};
}

static void lay_out_segment(unsigned slot)
{
    memset((void *)&pool_segments[slot], 0, sizeof(pool_segments[slot]));
    /* What a worker notes when it crashes is behind what changes here. */
    model_keep((void *)&pool_segments[slot], offsetof(struct ff_segment, crash));
    pool_areas[slot] = (struct ff_segment_areas){.head = &pool_segments[slot],
                                                 .claims = pool_world->claims[slot],
                                                 .claim_capacity = CLAIMS_MAX};
}

static void name_segment(unsigned slot)
{
    struct ff_segment *segment = &pool_segments[slot];

    model_name((void *)segment, sizeof(*segment), NULL, "segment %u", slot);
    model_name(&segment->call, 8, NULL, "segment %u call", slot);
    model_name(&segment->joined, 8, NULL, "segment %u joined", slot);
    model_name(&segment->parked, 8, NULL, "segment %u parked", slot);
    model_name(&segment->claim_count, 8, NULL, "segment %u claim_count", slot);
    model_name(&segment->sealed, 8, NULL, "segment %u sealed", slot);
    model_name(&segment->current, 8, NULL, "segment %u current", slot);
    model_name(&segment->sleeping, 8, NULL, "segment %u sleeping", slot);
    model_name(&segment->grace, 8, NULL, "segment %u grace", slot);
}

static void name_words(void)
{
    struct ff_board_shared *retry = &supervisor_words.retry_board;

    model_name(pool_world->bells, sizeof(pool_world->bells), NULL, "bell");
    model_name(&pool_world->cursors.main, sizeof(struct ff_cursor_shared), NULL, "cursor main");
    model_name(&pool_world->cursors.retry, sizeof(struct ff_cursor_shared), NULL, "cursor retry");
    model_name((void *)&supervisor_words, sizeof(supervisor_words), NULL, "supervisor");
    model_name(retry, sizeof(*retry), NULL, "retry board postings, posted");
    model_name(&supervisor_words.closing, 8, NULL, "closing");
    model_name(&supervisor_words.finished, 8, NULL, "finished");
    model_name(&supervisor_words.grace, 8, NULL, "grace");
    model_name(&pool_control.work, 4, NULL, "work");
    model_name(&pool_control.main_board.posted, 8, NULL, "posted");
    model_name(&pool_control.main_board.closed, 8, NULL, "closed");
    for (unsigned i = 0; i < pool_layout.workers; i++)
        name_segment(i);
}

/* A pool whose first call has begun and is empty. */
static void open_pool(unsigned workers, struct ff_call call)
{
    model_open_heap();
    pool_world = model_take(sizeof(*pool_world));
    memset((void *)&pool_control, 0, sizeof(pool_control));
    memset((void *)&supervisor_words, 0, sizeof(supervisor_words));
    model_keep((void *)&pool_control, offsetof(struct ff_control_shared, guarded_path));
    model_keep((void *)&pool_control.main_board,
               sizeof(pool_control) - offsetof(struct ff_control_shared, main_board));
    model_keep((void *)&supervisor_words, offsetof(struct ff_supervisor_shared, message));
    model_keep((void *)&supervisor_words.deaths,
               sizeof(supervisor_words) - offsetof(struct ff_supervisor_shared, deaths));
    pool_layout = (struct ff_layout){.workers = workers,
                                     .control = &pool_control,
                                     .supervisor = &supervisor_words,
                                     .files = &no_files,
                                     .quarantine = quarantine_records,
                                     .quarantine_capacity = QUARANTINE_MAX,
                                     .segments = pool_areas,
                                     .driver_bell = DRIVER_BELL,
                                     .supervisor_bell = SUPERVISOR_BELL};
    lay_out_board(FF_MAIN, &pool_control.main_board, &pool_world->cursors.main);
    lay_out_board(FF_RETRY, &supervisor_words.retry_board, &pool_world->cursors.retry);
    lay_out_board(FF_ASSIGNED, &supervisor_words.assigned_board, &pool_world->cursors.assigned);
    for (unsigned i = 0; i < workers; i++)
        lay_out_segment(i);
    pool_control.call = call;
    ff_own_set(&pool_control.sequence, 1);
    name_words();
}

#endif
