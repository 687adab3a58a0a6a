/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board: the list of tasks that one process posts and many claim.
 *
 * Tasks are numbered as they come.  A posting is a run of items that is cut into tasks of a chunk
 * each, so that a million tasks take no more room, and no more time to post, than one.
 *
 * Shared words, and who writes them:
 *   postings[i]  the poster, before `postings` passes i; never again in this call
 *   postings     the poster, before `posted`
 *   posted       the poster; publishing it makes tasks 0 to posted visible
 *   closed       the poster, once, after its last post
 *   forgotten    the poster, before it gives the memory of the postings below back
 *   cursor       every claimer, by one atomic operation: a task belongs to whom
 *                the cursor gave its number
 *
 * A claimer that dies between taking a number and logging it loses the task;
 * the supervisor's audit finds it (pool/recovery.c).  A poster that dies
 * leaves every posted task complete.  The cursor is the one word that a wild
 * write in a worker can reach: claims beyond posted are refused, and what no
 * worker covered is found missing, by the audit if a worker died, otherwise by
 * the driver, which then gives no result.  Never a wrong count.
 */
#ifndef FF_MEMORY_BOARD_H
#define FF_MEMORY_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/atomic.h"

/* A contiguous run of items. */
struct ff_task {
    uint64_t first;
    uint64_t count;
    void *owner;     /* whose items they are, where a job runs those of several; or NULL */
    uint64_t serial; /* of the owner: its memory may have come to be another's */
    uint64_t index;  /* of the first, in its owner */
    uint64_t blamed; /* how often deaths were blamed on the item before, if it is one */
};

/* Written by the poster. */
struct ff_posting {
    uint64_t number; /* of its first task */
    uint64_t chunk;  /* items of each task; the last may have fewer */
    struct ff_task all;
};

/* On the poster's page. */
struct ff_board_shared {
    ff_word64 postings;
    ff_word64 posted;
    ff_word64 closed;    /* 0 or 1 */
    ff_word64 forgotten; /* postings from the first on */
};

/* On the page that every worker may write, a cache line of its own. */
struct ff_cursor_shared {
    _Alignas(64) ff_word64 next;
};

/* One process's handle; the pointers are the same in all of them. */
struct ff_board {
    struct ff_board_shared *shared;
    struct ff_cursor_shared *cursor;
    struct ff_posting *postings;
    size_t capacity; /* of postings */
};

/* Empties the board.  Only while no process can claim from it. */
void ff_board_reset(struct ff_board *board);

/* For the poster: items, at least one, in tasks of chunk (> 0).  False when the board is full. */
bool ff_board_post(struct ff_board *board, struct ff_task items, uint64_t chunk);
void ff_board_close(struct ff_board *board);

/* Takes the number of a posted task.  False when there is none now. */
bool ff_board_claim(struct ff_board *board, uint64_t *number);

/* Whether a claim could succeed now. */
bool ff_board_has_work(const struct ff_board *board);

/* How many tasks are visible and not claimed. */
uint64_t ff_board_unclaimed(const struct ff_board *board);

/* Whether no claim will succeed any more. */
bool ff_board_is_exhausted(const struct ff_board *board);

/* How many tasks are visible. */
uint64_t ff_board_posted(const struct ff_board *board);

/*
 * For the poster: nobody needs the tasks of the first postings any more, so many since the last
 * reset, but for the last one.  Who asks for one nevertheless finds a task of no items.
 */
void ff_board_forget(struct ff_board *board, uint64_t postings);

/*
 * The task with a number; false when there is none.  near is where to look first, and receives
 * where it was: for a caller that asks for rising numbers, which starts with 0.
 */
bool ff_board_task(const struct ff_board *board, uint64_t number, size_t *near,
                   struct ff_task *task);

/* Where the items of all visible postings end, whatever the order in which they came. */
uint64_t ff_board_items(const struct ff_board *board);

#endif
