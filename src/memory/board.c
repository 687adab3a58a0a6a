/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/board.h"

#include "platform/map.h"

void ff_board_reset(struct ff_board *board)
{
    ff_own_set(&board->shared->forgotten, 0);
    ff_own_set(&board->shared->closed, 0);
    ff_own_set(&board->shared->posted, 0);
    ff_own_set(&board->shared->postings, 0);
    ff_own_set(&board->cursor->next, 0);
}

static uint64_t tasks_of(const struct ff_posting *posting)
{
    return (posting->all.count - 1) / posting->chunk + 1;
}

bool ff_board_post(struct ff_board *board, struct ff_task items, uint64_t chunk)
{
    uint64_t postings = ff_peer_get(&board->shared->postings);
    uint64_t posted = ff_peer_get(&board->shared->posted);

    if (postings >= board->capacity)
        return false;
    board->postings[postings] = (struct ff_posting){.number = posted, .chunk = chunk, .all = items};
    /* Partner: visible_postings, which may be asked by who has not seen `posted` pass it yet. */
    ff_publish(&board->shared->postings, postings + 1);
    /* Partner: ff_board_posted in the claimers, which read postings after it. */
    ff_publish(&board->shared->posted, posted + tasks_of(&board->postings[postings]));
    return true;
}

void ff_board_close(struct ff_board *board)
{
    ff_publish(&board->shared->closed, 1);
}

uint64_t ff_board_posted(const struct ff_board *board)
{
    return ff_observe(&board->shared->posted);
}

static uint64_t visible_postings(const struct ff_board *board)
{
    uint64_t postings = ff_observe(&board->shared->postings);

    return postings < board->capacity ? postings : board->capacity;
}

void ff_board_forget(struct ff_board *board, uint64_t postings)
{
    uint64_t before = ff_peer_get(&board->shared->forgotten);
    char *base = (char *)board->postings;
    size_t page = ff_page_bytes();
    /* The page that a former call left has nothing before that call's end which is still needed. */
    size_t first = (size_t)before * sizeof(*board->postings) & ~(page - 1);
    size_t end = (size_t)postings * sizeof(*board->postings) & ~(page - 1);

    if (postings <= before)
        return;
    ff_announce(&board->shared->forgotten, postings);
    /* Partner: ff_board_task, which asks once more after it has read a posting. */
    ff_settle();
    if (first < end)
        ff_map_discard(base + first, end - first);
}

/*
 * The last posting whose number is not above the given one.  Forgotten ones may have the number 0,
 * so of those it may be any.
 */
static size_t find_posting(const struct ff_board *board, uint64_t number, size_t count)
{
    size_t low = 0;

    while (count - low > 1) {
        size_t middle = low + (count - low) / 2;

        if (board->postings[middle].number <= number)
            low = middle;
        else
            count = middle;
    }
    return low;
}

static struct ff_task part_of(const struct ff_posting *posting, uint64_t number)
{
    uint64_t offset = (number - posting->number) * posting->chunk;
    uint64_t left = posting->all.count - offset;

    return (struct ff_task){.first = posting->all.first + offset,
                            .count = left < posting->chunk ? left : posting->chunk,
                            .owner = posting->all.owner,
                            .serial = posting->all.serial,
                            .index = posting->all.index + offset,
                            .blamed = posting->all.blamed};
}

bool ff_board_task(const struct ff_board *board, uint64_t number, size_t *near,
                   struct ff_task *task)
{
    /* Posted before postings: each task that is visible belongs to a posting that is. */
    uint64_t posted = ff_board_posted(board);
    size_t count = (size_t)visible_postings(board);
    struct ff_posting posting;
    size_t at = *near;

    if (number >= posted || count == 0)
        return false;
    if (at >= count || number < board->postings[at].number)
        at = find_posting(board, number, count);
    /* Others have claimed a few in between. */
    for (unsigned step = 0; at + 1 < count && board->postings[at + 1].number <= number; step++) {
        if (step == 16)
            at = find_posting(board, number, count);
        else
            at++;
    }
    *near = at;
    posting = board->postings[at];
    ff_observe_all();
    if (at < ff_observe(&board->shared->forgotten)) {
        *task = (struct ff_task){0};
        return true;
    }
    *task = part_of(&posting, number);
    return true;
}

uint64_t ff_board_items(const struct ff_board *board)
{
    size_t count = (size_t)visible_postings(board);
    uint64_t items = 0;

    for (size_t i = 0; i < count; i++) {
        const struct ff_task *all = &board->postings[i].all;

        if (items < all->first + all->count)
            items = all->first + all->count;
    }
    return items;
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

uint64_t ff_board_unclaimed(const struct ff_board *board)
{
    uint64_t next = ff_observe(&board->cursor->next);
    uint64_t posted = ff_board_posted(board);

    return next < posted ? posted - next : 0;
}

bool ff_board_has_work(const struct ff_board *board)
{
    return ff_board_unclaimed(board) > 0;
}

bool ff_board_is_exhausted(const struct ff_board *board)
{
    return ff_observe(&board->shared->closed) != 0 && !ff_board_has_work(board);
}
