/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared half of a pool: what driver, supervisor and workers agree on.
 *
 * Each structure below has one writer, named in its comment; where a field is
 * an exception, the field says so.  Everything a process reads from another's
 * structure is untrusted input once that other may have crashed: counts and
 * indices are checked against capacities before use.
 */
#ifndef FF_POOL_SHARED_H
#define FF_POOL_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <forkfold/pool.h>

#include "memory/board.h"
#include "memory/region.h"
#include "pool/job.h"

/* In `current`: the worker starts, seals or takes over a seal. */
#define FF_CURRENT_HOUSEKEEPING UINT64_MAX

enum { FF_PATH_BYTES = 4096, FF_MESSAGE_BYTES = 320, FF_FRAMES_MAX = 48 };

/* What the driver asks of one call.  Written before the call's sequence is published. */
struct ff_call {
    const struct ff_job *job; /* valid in every process: all are forks of one image */
    const void *context;      /* in the region */
    uint64_t timeout_ns;      /* per item, 0 = none */
    uint64_t housekeeping_ns; /* what a worker may take to start, to seal, to spill; 0 = for ever */
    uint64_t started_ns;
    uint32_t attempts;    /* per item that worker deaths are blamed on, at least 1 */
    uint32_t max_deaths;  /* in a row without progress */
    bool seal_on_failure; /* the driver wants to know of failures at once */
    bool keeps_output;    /* the host still reads what the call before left in the output areas */
    bool measure;         /* the driver wants to know how much time and memory workers take */
};

/* Whether the driver is to be told of results (ff_worker_notify). */
enum ff_listening {
    FF_LISTENS_NOT = 0,
    FF_LISTENS = 1,       /* it sleeps, and wants to know of each at once */
    FF_LISTENS_LAZILY = 2 /* of many small ones: it looks by itself after a millisecond */
};

/* Writer: the driver. */
struct ff_control_shared {
    ff_word64 sequence;    /* number of the newest call; publishing it shows `call` */
    ff_word64 cancelled;   /* number of the newest call that the driver has given up */
    ff_word64 paused;      /* 1 while the driver is stopped with its terminal job */
    ff_word64 paused_ns;   /* how long it has been so, in all */
    ff_word64 closed;      /* 1: the pool is being closed */
    ff_word64 guarded;     /* 1: guarded_path is to be removed if the driver dies */
    ff_word64 shortest_ns; /* the shortest timeout of an owner's items in this call; 0 = none */
    ff_word64 doubts;      /* bumped when items stay undone though nobody works */
    ff_word64 listening;   /* enum ff_listening */
    char guarded_path[FF_PATH_BYTES];
    struct ff_call call;
    struct ff_board_shared main_board;

    /* Bumped by driver and supervisor when there is something new; workers sleep on it. */
    _Alignas(64) ff_word32 work;
};

/* Why a worker ended.  Part of the segment (writer: the worker) and of quarantine records. */
struct ff_crash {
    ff_word64 written; /* 1 once signal and address are there */
    int32_t signal;    /* 0 when the worker ended itself after an error */
    int32_t error;     /* then: a negative forkfold_error */
    int32_t has_address;
    uint64_t address;
    ff_word64 frame_count;
    uint64_t frames[FF_FRAMES_MAX]; /* frames[0] exact, the others return addresses */
    char message[FF_MESSAGE_BYTES];
    ff_word64 text_bytes; /* of what other handlers wrote; after the frames */
    char text[FORKFOLD_CRASH_TEXT_BYTES];
};

/* One item that was given up on.  Writer: the supervisor, before `quarantined` counts it. */
struct ff_quarantine {
    uint64_t item;
    void *owner;     /* as in its task */
    uint64_t serial; /* likewise */
    uint64_t index;  /* of the item, in its owner */
    uint32_t slot;   /* of the worker that died last */
    uint64_t group;
    uint32_t attempts;
    int32_t reason;    /* enum forkfold_reason */
    int32_t signal;    /* or 0 */
    int32_t exit_code; /* or -1 */
    uint64_t limit_ns; /* what the item might take, or 0 */
    struct ff_crash crash;
};

/*
 * Writer: the supervisor.  Between two calls, when it has published `finished`
 * and has nothing to write, the driver zeroes the counts and resets the boards.
 */
struct ff_supervisor_shared {
    /*
     * closing: number of the newest call that workers must not join any more.
     * finished: number of the newest call whose tasks are all covered or given
     * up, or that was stopped; publishing it shows outcome and message.
     */
    ff_word64 closing;
    ff_word64 finished;
    int32_t outcome; /* 0 or a negative forkfold_error */
    char message[FF_MESSAGE_BYTES * 2];
    ff_word64 deaths;      /* of workers, in this call */
    ff_word64 retries;     /* items started again because they were blamed, in this call */
    ff_word64 quarantined; /* records that are complete, in this call */
    ff_word64 grace;       /* bumped when the supervisor has to know that no claim is under way */
    ff_word64 has_spilled; /* 1: there are spill files that may hold something (spill.h) */
    ff_word64 cpu_ns;      /* of all workers, in this call if it measures */
    struct ff_board_shared retry_board;
    struct ff_board_shared assigned_board;
};

/* Writers: all workers, each by single atomic operations on the cursors. */
struct ff_cursors_shared {
    struct ff_cursor_shared main;
    struct ff_cursor_shared retry;
    struct ff_cursor_shared assigned; /* not used by workers: see ff_claim_encode */
};

/*
 * What a slot did in its call, over all workers that lived in it.  Part of the segment, and written
 * by the same; read when the call has ended.
 */
struct ff_worker_stats {
    ff_word64 busy_ns;
    ff_word64 claim_ns; /* of timed_claims of the tasks */
    ff_word64 timed_claims;
    ff_word64 seal_ns;
    ff_word64 tasks;
    ff_word64 seals;
    ff_word64 private_peak_bytes; /* if the call measures, when it last parked */
    ff_word64 shared_bytes;
};

/*
 * The head of a segment.  Writer: the worker that lives in the slot; while
 * none does, the supervisor.
 *
 * The order of a worker's stores, and what its death between two of them means:
 *
 *   n = take from a cursor     death here: the task is in no log; the audit
 *                              that follows every death finds it
 *   claims[claim_count] = n    likewise
 *   claim_count += 1           death from here on: the supervisor reads the
 *                              log and queues the task again
 *   current = item + 1         death from here on is blamed on the item
 *   ... the job runs it ...
 *   current = 0
 *   seal written, then
 *   sealed = covered, buffer   before: nothing of it is visible; after: all
 */
struct ff_segment {
    /* Number of the call that claims, seals and counts belong to; they outlive the worker. */
    ff_word64 call;
    /* Number of the call that the living worker takes part in, or 0. */
    ff_word64 joined;
    /* Number of the call in which it found nothing more and sealed all; see unpark() in worker.c. */
    ff_word64 parked;
    ff_word64 claim_count; /* of the log */
    ff_word64 sealed;      /* ff_sealed_encode; 0 = nothing yet */
    ff_word64 current;     /* item + 1, FF_CURRENT_HOUSEKEEPING, or 0 in between */
    ff_word64 started_ns;  /* of current, without pauses; kept only if there is a timeout */
    ff_word64 limit_ns;    /* what current may take; 0 = for ever */
    ff_word64 consumed;    /* item + 1 whose input cannot be read again, sealed or not, or 0 */
    ff_word64 sleeping;    /* 1 while it may be asleep on `work` */
    ff_word64 grace;       /* the newest `grace` of the supervisor that it has met between claims */
    ff_word64 pid;         /* of the worker that was born last in the slot */
    ff_word64 retired;     /* 1: it ends because it has done its share, not for any failure */
    ff_word64 output_used; /* bytes of the output area */
    ff_word64 items_done;  /* for displays; includes what a death may undo */
    ff_word64 bytes_done;  /* likewise */
    ff_word64 items_failed;
    ff_word64 note_count;
    ff_word64 piece_count;
    struct ff_worker_stats stats;
    struct ff_crash crash;
};

/* Why an item's function says that it failed.  Writer: the worker; `note_count` publishes it. */
struct ff_item_note {
    const void *owner;
    uint64_t serial;
    uint64_t index;
    int32_t code;
    uint32_t attempts;
    char detail[208]; /* NUL-terminated */
};

/*
 * A piece of a segment's output area, with results of one owner.  Writer: the worker that lives in
 * the slot; the next one goes on with what it finds, so every state between two stores has to be
 * one that it can go on from (items_job.c).
 */
struct ff_item_piece {
    char *base;
    uint64_t bytes;
    ff_word64 used;
    ff_word64 owner;  /* address of its struct ff_item_owner */
    ff_word64 serial; /* of that */
    ff_word64 newest; /* index of an item; UINT64_MAX while it is not known */
};

/* Where things lie in a segment. */
struct ff_segment_areas {
    struct ff_area whole;
    struct ff_segment *head;
    uint64_t *claims;
    size_t claim_capacity;
    struct ff_item_note *notes;
    size_t note_capacity;
    struct ff_item_piece *pieces;
    size_t piece_capacity;
    struct ff_area buffers[2][2]; /* [call number & 1][buffer] */
    struct ff_area output;
};

/* Which board a logged claim came from. */
enum ff_board_id { FF_MAIN, FF_RETRY, FF_ASSIGNED, FF_BOARD_COUNT };

static inline uint64_t ff_claim_encode(enum ff_board_id board, uint64_t number)
{
    return (uint64_t)board << 62 | number;
}

static inline unsigned ff_claim_board(uint64_t claim)
{
    return (unsigned)(claim >> 62);
}

static inline uint64_t ff_claim_number(uint64_t claim)
{
    return claim & ((UINT64_C(1) << 62) - 1);
}

/* How many claims a segment logs; its worker lives, or has lived, and may write anything there. */
static inline uint64_t ff_claims_logged(const struct ff_segment_areas *areas)
{
    uint64_t count = ff_observe(&areas->head->claim_count);

    return count < areas->claim_capacity ? count : areas->claim_capacity;
}

/* The word that publishes a seal: how many claims it covers, and which buffer holds it. */
static inline uint64_t ff_sealed_encode(uint64_t covered, unsigned buffer)
{
    return covered << 2 | (uint64_t)buffer << 1 | 1;
}

static inline uint64_t ff_sealed_covered(uint64_t sealed)
{
    return sealed >> 2;
}

static inline unsigned ff_sealed_buffer(uint64_t sealed)
{
    return (unsigned)(sealed >> 1 & 1);
}

/* What every worker is told when it is born. */
struct ff_worker_rules {
    bool keeps_descriptors; /* those of the host, standard output included */
    int (*initializer)(void *context);
    void *initializer_context;
    uint64_t tasks_most;    /* after which it ends and makes room for another; 0 = no end */
    uint64_t recycle_bytes; /* likewise, when its own memory passes them; 0 = never */
    uint64_t
        memory_bytes; /* it gets no more than this beyond what it was born with; 0 = no limit */
};

/*
 * Every process's map of the region, made before the first fork: the private
 * half that driver, supervisor and workers have in common.
 */
struct ff_layout {
    struct ff_region region;
    unsigned workers;
    struct ff_worker_rules rules;
    struct ff_control_shared *control;
    struct ff_supervisor_shared *supervisor;
    struct ff_area common; /* what all workers may write: the cursors, and areas that say so */
    const char *spill_folder;
    struct ff_area input;       /* writer: the driver, for contexts and items of a call */
    struct ff_area owners;      /* writer: the driver: struct ff_item_owner, never anything else */
    struct ff_area arrays;      /* writer: the driver, for what calls of items are given */
    struct ff_area results;     /* writers: driver and all workers, for what becomes of it */
    struct ff_area rings;       /* writers: driver, supervisor and all workers: words of queues */
    struct ff_handles *handles; /* writer: the driver; not in the region (handles.h) */
    struct ff_files_shared *files; /* writer: the driver (files.h) */
    struct ff_area file_addresses; /* beside the region; base is NULL when there are none */
    struct ff_area
        shared; /* writers: the driver, and workers where a call says so: shared arrays */
    struct ff_quarantine *quarantine;
    size_t quarantine_capacity;
    struct ff_board boards[FF_BOARD_COUNT];
    struct ff_segment_areas *segments; /* workers of them, in private memory */
    int driver_bell;                   /* rung by supervisor and workers */
    int supervisor_bell;               /* rung by driver and workers */
};

/* 0, FORKFOLD_E_MEMORY. */
int ff_layout_open(struct ff_layout *layout, unsigned workers);
void ff_layout_close(struct ff_layout *layout);

/* Children that are forked from now on have nothing of it, but the handles that say so. */
void ff_layout_keep_from_children(const struct ff_layout *layout);
void ff_layout_forget(struct ff_layout *layout); /* in such a child, before it is closed */

/*
 * The task behind a logged claim; false when the log holds nonsense.  near: see ff_board_task; for
 * each board, zero at first.
 */
bool ff_layout_task(const struct ff_layout *layout, uint64_t claim, size_t near[FF_BOARD_COUNT],
                    struct ff_task *task);

/* After posting so many tasks: wakes as many of the workers that sleep. */
void ff_layout_wake_workers(const struct ff_layout *layout, uint64_t tasks);

#endif
