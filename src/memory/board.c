/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/board.h"

void ff_board_reset(struct ff_board *board)
{
    ff_own_set(&board->shared->closed, 0);
    ff_own_set(&board->shared->posted, 0);
    ff_own_set(&board->cursor->next, 0);
}

bool ff_board_post(struct ff_board *board, struct ff_task task)
{
    uint64_t posted = ff_peer_get(&board->shared->posted);

    if (posted >= board->capacity)
        return false;
    board->tasks[posted] = task;
    /* Partner: ff_board_posted in the claimers, which read tasks[] after it. */
    ff_publish(&board->shared->posted, posted + 1);
    return true;
}

void ff_board_close(struct ff_board *board)
{
    ff_publish(&board->shared->closed, 1);
}

uint64_t ff_board_posted(const struct ff_board *board)
{
    uint64_t posted = ff_observe(&board->shared->posted);

    return posted < board->capacity ? posted : board->capacity;
}

bool ff_board_claim(struct ff_board *board, uint64_t *number)
{
    /*
     * Closed before posted: a board seen closed has its final number of posts,
     * so a plain add may overshoot and just finds nothing.  While it is open
     * an overshoot would hold a task that is not there yet; so compare first.
     */
    bool closed = ff_observe(&board->shared->closed) != 0;
    uint64_t posted = ff_board_posted(board);
    uint64_t next = ff_observe(&board->cursor->next);

    if (next >= posted)
        return false;
    if (closed) {
        *number = ff_take_next(&board->cursor->next);
        return *number < posted;
    }
    while (!ff_take_if(&board->cursor->next, &next))
        if (next >= posted)
            return false;
    *number = next;
    return true;
}

bool ff_board_has_work(const struct ff_board *board)
{
    return ff_observe(&board->cursor->next) < ff_board_posted(board);
}

bool ff_board_is_exhausted(const struct ff_board *board)
{
    return ff_observe(&board->shared->closed) != 0 && !ff_board_has_work(board);
}
