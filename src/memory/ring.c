/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/ring.h"

#include "platform/kill_point.h"

enum ff_ring_state { FREE, WRITING, READY, TAKEN };

enum { STATE_BITS = 2, HOLDER_BITS = 16 };

static uint64_t encode(uint64_t turn, enum ff_ring_state state, unsigned holder)
{
    return turn << (STATE_BITS + HOLDER_BITS) | (uint64_t)holder << STATE_BITS | (uint64_t)state;
}

static enum ff_ring_state state_of(uint64_t word)
{
    return (enum ff_ring_state)(word & ((1 << STATE_BITS) - 1));
}

static uint64_t turn_of(uint64_t word)
{
    return word >> (STATE_BITS + HOLDER_BITS);
}

static uint64_t turn_at(const struct ff_ring *ring, uint64_t position)
{
    return position >> ring->shift;
}

static uint64_t cells_of(const struct ff_ring *ring)
{
    return UINT64_C(1) << ring->shift;
}

void ff_ring_reset(const struct ff_ring *ring)
{
    struct ff_ring_words *words = ring->words;

    for (uint64_t i = 0; i < cells_of(ring); i++)
        ff_own_set(&ring->cells[i].word, encode(0, FREE, 0));
    ff_own_set(&words->tail, 0);
    ff_own_set(&words->head, 0);
    ff_own_set(&words->returned, 0);
    ff_own_set(&words->looked, 0);
    ff_own_set(&words->ended, 0);
    ff_own_set(&words->damaged, 0);
    ff_own_set(&words->takers_sleep, 0);
    ff_own_set(&words->putters_sleep, 0);
    ff_settle();
}

/* Moves a hint on from a position that it need not point to any more, unless somebody has. */
static void move_on(ff_word64 *hint, uint64_t position)
{
    (void)ff_take_if(hint, &position);
}

bool ff_ring_has_ended(const struct ff_ring *ring)
{
    return (ff_recheck(&ring->words->ended) & ring->all_producers) == ring->all_producers;
}

/* For good: whoever waits for what is lost by that would wait for ever. */
static enum ff_ring_answer find_damage(const struct ff_ring *ring)
{
    ff_announce(&ring->words->damaged, 1);
    return FF_RING_DAMAGED;
}

static bool is_damaged(const struct ff_ring *ring)
{
    return ff_recheck(&ring->words->damaged) != 0;
}

/* ---- Putting ------------------------------------------------------------- */

/*
 * The tail was behind: its cell has come to this turn.  Cells are claimed in the order of their
 * positions, so all up to the one before in that cell have been.
 */
static void catch_up(const struct ff_ring *ring, uint64_t tail, uint64_t turn)
{
    uint64_t turns_behind = turn - turn_at(ring, tail);
    uint64_t least = turns_behind > 0 ? tail + ((turns_behind - 1) << ring->shift) : tail;

    (void)ff_swap_if(&ring->words->tail, &tail, least + 1);
}

/* The first position that is free, or the first whose cell is still in use from the turn before. */
static enum ff_ring_answer find_free(const struct ff_ring *ring, uint64_t *position, uint64_t *word)
{
    for (;;) {
        uint64_t tail = ff_recheck(&ring->words->tail);
        uint64_t turn = turn_at(ring, tail);

        *position = tail;
        *word = ff_recheck(&ff_ring_cell(ring, tail)->word);
        if (turn_of(*word) < turn)
            /* The tail has never passed a cell that was free. */
            return turn_of(*word) + 1 == turn && state_of(*word) != FREE ? FF_RING_NONE
                                                                         : find_damage(ring);
        if (turn_of(*word) == turn && state_of(*word) == FREE)
            return FF_RING_OK;
        catch_up(ring, tail, turn_of(*word));
    }
}

static void clear_cell(struct ff_ring_cell *cell)
{
    ff_own_set(&cell->done, 0);
    ff_own_set(&cell->returns, 0);
    ff_own_set(&cell->passed_to, 0);
}

enum ff_ring_answer ff_ring_claim(const struct ff_ring *ring, unsigned holder, uint64_t *position)
{
    enum ff_ring_answer answer;
    uint64_t word;
    uint64_t tail;

    if (is_damaged(ring))
        return FF_RING_DAMAGED;
    if (ff_ring_has_ended(ring))
        return FF_RING_ENDED;
    do {
        answer = find_free(ring, position, &word);
        if (answer != FF_RING_OK)
            return answer;
    } while (!ff_swap_if(&ff_ring_cell(ring, *position)->word, &word,
                         encode(turn_at(ring, *position), WRITING, holder)));
    FF_KILL_POINT("ring.claim.taken");
    /* Not in vain: who takes what will be in it, at the head, does not look whether it is behind. */
    tail = *position;
    (void)ff_swap_if(&ring->words->tail, &tail, tail + 1);
    /*
     * Partner: ff_ring_take(), which looks whether all have ended before it looks for cells that
     * are being written.  Either it sees this one, or the end is seen here.
     */
    if (ff_ring_has_ended(ring)) {
        ff_ring_abandon(ring, *position);
        return FF_RING_ENDED;
    }
    clear_cell(ff_ring_cell(ring, *position));
    FF_KILL_POINT("ring.claim.done");
    return FF_RING_OK;
}

void ff_ring_commit(const struct ff_ring *ring, uint64_t position, uint64_t count)
{
    struct ff_ring_cell *cell = ff_ring_cell(ring, position);

    ff_own_set(&cell->count, count);
    FF_KILL_POINT("ring.commit.written");
    /*
     * Partner: ff_ring_take(), which reads the batch after it.  An announcement, because the caller
     * looks for sleeping takers next.
     */
    ff_announce(&cell->word, encode(turn_at(ring, position), READY, 0));
    FF_KILL_POINT("ring.commit.done");
}

/* The cell goes to its next turn. */
static void release(const struct ff_ring *ring, uint64_t position)
{
    /* Partner: find_free(), after which the cell is written. */
    ff_publish(&ff_ring_cell(ring, position)->word, encode(turn_at(ring, position) + 1, FREE, 0));
}

void ff_ring_abandon(const struct ff_ring *ring, uint64_t position)
{
    release(ring, position);
}

void ff_ring_end(const struct ff_ring *ring, unsigned producer)
{
    FF_KILL_POINT("ring.end.begin");
    ff_set_bits(&ring->words->ended, UINT64_C(1) << producer);
    FF_KILL_POINT("ring.end.done");
}

/* ---- Taking -------------------------------------------------------------- */

/* The positions that may be in use: from *from up to *end. */
static void live_range(const struct ff_ring *ring, uint64_t *from, uint64_t *end)
{
    *end = ff_recheck(&ring->words->tail);
    *from = *end > cells_of(ring) ? *end - cells_of(ring) : 0;
}

static bool try_take(const struct ff_ring *ring, unsigned holder, uint64_t position)
{
    uint64_t turn = turn_at(ring, position);
    struct ff_ring_cell *cell = ff_ring_cell(ring, position);
    uint64_t word = ff_recheck(&cell->word);

    return state_of(word) == READY && turn_of(word) == turn &&
           ff_swap_if(&cell->word, &word, encode(turn, TAKEN, holder));
}

/* Batches that were taken before may lie where the head has passed. */
static bool take_returned(const struct ff_ring *ring, unsigned holder, uint64_t *position)
{
    /* Partner: announce_return(), before which the batch is READY, and after which takers are woken. */
    uint64_t returned = ff_recheck(&ring->words->returned);
    uint64_t looked = ff_observe(&ring->words->looked);
    uint64_t end;

    if (returned == looked)
        return false;
    live_range(ring, position, &end);
    for (; *position < end; ++*position)
        if (try_take(ring, holder, *position))
            return true;
    /* Unless more have come since: then everybody looks again. */
    (void)ff_swap_if(&ring->words->looked, &looked, returned);
    return false;
}

/* Whether nobody will find anything behind the position, unless it is returned. */
static bool is_passed(const struct ff_ring *ring, uint64_t position)
{
    uint64_t turn = turn_at(ring, position);
    uint64_t word = ff_recheck(&ff_ring_cell(ring, position)->word);

    return turn_of(word) > turn || (turn_of(word) == turn && state_of(word) == TAKEN);
}

/* A head that has been left behind, by batches that came back say, or that makes no sense. */
static uint64_t mend_head(const struct ff_ring *ring, uint64_t head, uint64_t first, uint64_t end)
{
    if (head >= first && head <= end)
        return head;
    (void)ff_swap_if(&ring->words->head, &head, first);
    return first;
}

static bool take_next(const struct ff_ring *ring, unsigned holder, uint64_t *position)
{
    uint64_t first;
    uint64_t end;
    uint64_t head = ff_observe(&ring->words->head);

    live_range(ring, &first, &end);
    head = mend_head(ring, head, first, end);
    for (*position = head; *position < end; ++*position) {
        bool taken = try_take(ring, holder, *position);

        FF_KILL_POINT("ring.take.tried");
        if (*position == head && is_passed(ring, head))
            move_on(&ring->words->head, head++);
        if (taken)
            return true;
    }
    return false;
}

/* Whether any batch is being written, waits, or is held and may come back. */
static bool is_empty(const struct ff_ring *ring)
{
    uint64_t position;
    uint64_t end;

    live_range(ring, &position, &end);
    for (; position < end; position++) {
        uint64_t word = ff_recheck(&ff_ring_cell(ring, position)->word);

        if (turn_of(word) == turn_at(ring, position) && state_of(word) != FREE)
            return false;
    }
    return true;
}

/* The next batch, when it lies where it should: without a look at the tail, which producers change. */
static bool take_at_head(const struct ff_ring *ring, unsigned holder, uint64_t *position)
{
    *position = ff_observe(&ring->words->head);
    if (!try_take(ring, holder, *position))
        return false;
    FF_KILL_POINT("ring.take.tried");
    /* A store, for if it comes late it leaves the head behind, which costs somebody a longer look. */
    ff_own_set(&ring->words->head, *position + 1);
    return true;
}

/* What is to be read of a batch, once: what another process wrote may change at any time. */
static enum ff_ring_answer read_cell(const struct ff_ring *ring, uint64_t position,
                                     struct ff_ring_batch *batch)
{
    const struct ff_ring_cell *cell = ff_ring_cell(ring, position);

    FF_KILL_POINT("ring.take.done");
    batch->position = position;
    batch->count = ff_peer_get(&cell->count);
    batch->done = ff_peer_get(&cell->done);
    return batch->count <= ring->batch_items && batch->done < batch->count ? FF_RING_OK
                                                                           : find_damage(ring);
}

enum ff_ring_answer ff_ring_take(const struct ff_ring *ring, unsigned holder,
                                 struct ff_ring_batch *batch)
{
    bool ended = ff_ring_has_ended(ring);
    uint64_t position;
    uint64_t tail;
    uint64_t word;

    if (is_damaged(ring))
        return FF_RING_DAMAGED;
    /* What is returned from here on wakes those who sleep. */
    if (take_returned(ring, holder, &position) || take_at_head(ring, holder, &position))
        return read_cell(ring, position, batch);
    do {
        tail = ff_recheck(&ring->words->tail);
        if (take_next(ring, holder, &position))
            return read_cell(ring, position, batch);
        /* There may be more behind a tail whose producer has not moved it on yet. */
        if (find_free(ring, &position, &word) == FF_RING_DAMAGED)
            return FF_RING_DAMAGED;
    } while (position != tail);
    return ended && is_empty(ring) ? FF_RING_ENDED : FF_RING_NONE;
}

void ff_ring_acknowledge(const struct ff_ring *ring, const struct ff_ring_batch *batch)
{
    struct ff_ring_cell *cell = ff_ring_cell(ring, batch->position);

    FF_KILL_POINT("ring.acknowledge.begin");
    ff_own_set(&cell->done, batch->done);
    ff_keep_order();
    FF_KILL_POINT("ring.acknowledge.counted");
    if (batch->done == batch->count)
        release(ring, batch->position);
    FF_KILL_POINT("ring.acknowledge.done");
}

static void announce_return(const struct ff_ring *ring)
{
    (void)ff_take_next(&ring->words->returned);
}

void ff_ring_give_back(const struct ff_ring *ring, const struct ff_ring_batch *batch)
{
    struct ff_ring_cell *cell = ff_ring_cell(ring, batch->position);

    ff_own_set(&cell->returns, ff_peer_get(&cell->returns) + 1);
    FF_KILL_POINT("ring.return.begin");
    ff_publish(&cell->word, encode(turn_at(ring, batch->position), READY, 0));
    FF_KILL_POINT("ring.return.done");
    /* A death before this is one of a worker, after which the supervisor announces returns. */
    announce_return(ring);
}

void ff_ring_pass_on(const struct ff_ring *from, const struct ff_ring_batch *batch,
                     const struct ff_ring *to, uint64_t target, uint64_t count)
{
    struct ff_ring_cell *cell = ff_ring_cell(from, batch->position);

    ff_own_set(&cell->passed_at, target);
    ff_own_set(&cell->passing, batch->done);
    ff_keep_order();
    ff_own_set(&cell->passed_to, to->number + 1);
    ff_keep_order();
    FF_KILL_POINT("ring.pass.noted");
    ff_ring_commit(to, target, count);
    ff_keep_order();
    /* A death between these two counts the items once all the same: see recover_taken(). */
    ff_own_set(&cell->done, batch->done);
    ff_keep_order();
    ff_own_set(&cell->passed_to, 0);
    FF_KILL_POINT("ring.pass.counted");
}

/* ---- After a death ------------------------------------------------------- */

/* Whether the cell that the batch was being passed on to had been committed. */
static bool was_passed_on(const struct ff_ring *rings, uint64_t count,
                          const struct ff_ring_cell *cell)
{
    uint64_t number = ff_peer_get(&cell->passed_to);
    uint64_t target = ff_peer_get(&cell->passed_at);
    uint64_t turn;
    uint64_t word;

    if (number == 0 || number > count)
        return false;
    turn = turn_at(&rings[number - 1], target);
    word = ff_observe(&ff_ring_cell(&rings[number - 1], target)->word);
    return turn_of(word) > turn ||
           (turn_of(word) == turn && (state_of(word) == READY || state_of(word) == TAKEN));
}

/* What is not acknowledged is there again. */
static void settle_taken(struct ff_ring_cell *cell, uint64_t word)
{
    if (ff_peer_get(&cell->done) >= ff_peer_get(&cell->count)) {
        (void)ff_swap_if(&cell->word, &word, encode(turn_of(word) + 1, FREE, 0));
        return;
    }
    ff_own_set(&cell->returns, ff_peer_get(&cell->returns) + 1);
    (void)ff_swap_if(&cell->word, &word, encode(turn_of(word), READY, 0));
}

static void recover_taken(const struct ff_ring *rings, uint64_t count, const struct ff_ring *ring,
                          unsigned holder)
{
    for (uint64_t i = 0; i < cells_of(ring); i++) {
        struct ff_ring_cell *cell = &ring->cells[i];
        uint64_t word = ff_observe(&cell->word);

        if (word != encode(turn_of(word), TAKEN, holder))
            continue;
        if (was_passed_on(rings, count, cell))
            ff_own_set(&cell->done, ff_peer_get(&cell->passing));
        ff_own_set(&cell->passed_to, 0);
        settle_taken(cell, word);
        FF_KILL_POINT("supervisor.ring.settled");
    }
    /* Also for what the dead one itself gave back, and had not announced. */
    announce_return(ring);
}

static void recover_writing(const struct ff_ring *ring, unsigned holder)
{
    for (uint64_t i = 0; i < cells_of(ring); i++) {
        uint64_t word = ff_observe(&ring->cells[i].word);

        if (word == encode(turn_of(word), WRITING, holder))
            (void)ff_swap_if(&ring->cells[i].word, &word, encode(turn_of(word) + 1, FREE, 0));
    }
}

void ff_rings_recover(const struct ff_ring *rings, uint64_t count, unsigned holder)
{
    /* First what it had taken: whether it was passed on can be seen as long as nothing is freed. */
    for (uint64_t i = 0; i < count; i++)
        recover_taken(rings, count, &rings[i], holder);
    for (uint64_t i = 0; i < count; i++)
        recover_writing(&rings[i], holder);
}
