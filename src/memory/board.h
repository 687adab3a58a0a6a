/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board: the list of tasks that one process posts and many claim.
 *
 * Shared words, and who writes them:
 *   tasks[i]  the poster, before posted passes i; never again in this call
 *   posted    the poster; publishing it makes tasks[0..posted) visible
 *   closed    the poster, once, after its last post
 *   cursor    every claimer, by one atomic operation: a task belongs to whom
 *             the cursor gave its number
 *
 * A claimer that dies between taking a number and logging it loses the task;
 * the supervisor's audit finds it (pool/supervisor.c).  A poster that dies
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
};

/* On the poster's page. */
struct ff_board_shared {
    ff_word64 posted;
    ff_word64 closed; /* 0 or 1 */
};

/* On the page that every worker may write, a cache line of its own. */
struct ff_cursor_shared {
    _Alignas(64) ff_word64 next;
};

/* One process's handle; the pointers are the same in all of them. */
struct ff_board {
    struct ff_board_shared *shared;
    struct ff_cursor_shared *cursor;
    struct ff_task *tasks;
    size_t capacity;
};

/* Empties the board.  Only while no process can claim from it. */
void ff_board_reset(struct ff_board *board);

/* For the poster.  False when the board is full. */
bool ff_board_post(struct ff_board *board, struct ff_task task);
void ff_board_close(struct ff_board *board);

/* Takes the number of a posted task.  False when there is none now. */
bool ff_board_claim(struct ff_board *board, uint64_t *number);

/* Whether a claim could succeed now. */
bool ff_board_has_work(const struct ff_board *board);

/* Whether no claim will succeed any more. */
bool ff_board_is_exhausted(const struct ff_board *board);

/* How many tasks are visible. */
uint64_t ff_board_posted(const struct ff_board *board);

#endif
