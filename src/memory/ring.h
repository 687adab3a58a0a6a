/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring: a bounded queue of batches, between processes any of which may die at any instruction.
 *
 * Batches have positions, from 0 on.  The cell of a position is its number modulo the number of
 * cells, and the quotient is its turn.  All that decides lies in one word of the cell: the turn, a
 * state, and who holds it.
 *
 *   state of turn t    changed by                            if the one who did it dies
 *   FREE               a producer, by one atomic operation   nothing was begun
 *   WRITING, holder    its holder, when all is written       the supervisor frees it for turn t + 1:
 *                                                            nobody has seen anything
 *   READY              a consumer, by one atomic operation   it is in the queue
 *   TAKEN, holder      its holder, who has finished with it  the supervisor makes it READY again, or
 *                                                            frees it if all is acknowledged
 *   FREE of turn t + 1
 *
 * So there is no moment at which a batch is nobody's and nowhere.  `tail` and `head` are hints from
 * which to look: whoever finds one behind moves it on, and the tail is never beyond the first
 * position that is free.
 *
 * The other words of a cell are its holder's.  The supervisor, which reads them when the holder is
 * dead, writes `returns` and `done` then.
 *
 * A batch can be passed on: the holder of one cell writes what it made of it to a cell of another
 * ring, notes there to where (`passed_to`, `passed_at`), and commits that cell, which acknowledges
 * the first.  A death in between is decided by the second cell alone: committed or not.
 *
 * The memory of a ring's words is a ring's for ever, and words that somebody holds change by one
 * atomic operation on the whole word: a supervisor that is late does no harm to a ring that was
 * opened anew.
 */
#ifndef FF_MEMORY_RING_H
#define FF_MEMORY_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/atomic.h"

/* Producers that a ring can wait for: a bit each. */
enum { FF_RING_PRODUCERS_MAX = 64 };

/* Holders are numbers below this: the slots of workers, and one for the driver. */
enum { FF_RING_HOLDERS_MAX = 1 << 16 };

struct ff_ring_cell {
    _Alignas(64) ff_word64 word;
    ff_word64 count;     /* items of the batch */
    ff_word64 done;      /* how many of them are acknowledged */
    ff_word64 returns;   /* how often it was taken and not acknowledged */
    ff_word64 passed_to; /* number + 1 of the ring that it is passed on to, or 0 */
    ff_word64 passed_at; /* position there */
    ff_word64 passing;   /* what `done` will be */
    ff_word64 inside;    /* the batch itself, where those of the ring are as small as that */
};

enum ff_ring_sleeper { FF_RING_WORKERS = 1, FF_RING_DRIVER = 2 };

/* Writers: all.  What changes with every batch does not share a cache line with what does not. */
struct ff_ring_words {
    _Alignas(64) ff_word64 tail;
    _Alignas(64) ff_word64 head;
    _Alignas(64) ff_word64 returned; /* bumped when a batch that was taken is READY again */
    ff_word64 looked;                /* the `returned` up to which all such batches were found */
    ff_word64 ended;                 /* a bit for each producer */
    ff_word64 damaged;               /* not 0: somebody has found that it is, and nobody goes on */

    /* Bumped for those who sleep on it; the word behind it says who does, by bits of ff_ring_sleeper. */
    _Alignas(64) ff_word32 filled;
    ff_word64 takers_sleep;
    _Alignas(64) ff_word32 emptied;
    ff_word64 putters_sleep;
};

/* Writer: the driver, before anybody else knows of it. */
struct ff_ring {
    struct ff_ring_words *words;
    struct ff_ring_cell *cells;
    unsigned shift;         /* log2 of their number */
    unsigned number;        /* of this ring, among those that are recovered together */
    uint64_t batch_items;   /* the most items of a batch */
    uint64_t all_producers; /* the bits that have to be set before it has ended */
};

enum ff_ring_answer {
    FF_RING_OK,
    FF_RING_NONE,   /* no room, or nothing to take, now */
    FF_RING_ENDED,  /* nothing to take, ever */
    FF_RING_DAMAGED /* somebody wrote where he should not */
};

/* All cells are free.  Only while nobody uses the ring. */
void ff_ring_reset(const struct ff_ring *ring);

static inline struct ff_ring_cell *ff_ring_cell(const struct ff_ring *ring, uint64_t position)
{
    return &ring->cells[position & ((UINT64_C(1) << ring->shift) - 1)];
}

/* What a consumer holds: as it was when it was taken, whatever is written to the cell meanwhile. */
struct ff_ring_batch {
    uint64_t position;
    uint64_t count; /* items */
    uint64_t done;  /* of them acknowledged: fewer, until it is released */
};

/*
 * For a producer: the next free cell, to be written; then exactly one of commit and abandon.  OK,
 * NONE, ENDED when its end has been declared, DAMAGED.
 */
enum ff_ring_answer ff_ring_claim(const struct ff_ring *ring, unsigned holder, uint64_t *position);
void ff_ring_commit(const struct ff_ring *ring, uint64_t position, uint64_t count);
void ff_ring_abandon(const struct ff_ring *ring, uint64_t position);

/* One producer will put nothing more; when all have said so, nobody will. */
void ff_ring_end(const struct ff_ring *ring, unsigned producer);
bool ff_ring_has_ended(const struct ff_ring *ring);

/* For a consumer: a batch that is its own until it is released or returned. */
enum ff_ring_answer ff_ring_take(const struct ff_ring *ring, unsigned holder,
                                 struct ff_ring_batch *batch);

/* The items up to done, which the caller has moved on, are; when those are all, the cell is free. */
void ff_ring_acknowledge(const struct ff_ring *ring, const struct ff_ring_batch *batch);
void ff_ring_give_back(const struct ff_ring *ring, const struct ff_ring_batch *batch);

/*
 * Commits a cell of another ring, and so acknowledges the items up to done of a batch that the
 * same process holds.  ff_ring_acknowledge() has to follow.
 */
void ff_ring_pass_on(const struct ff_ring *from, const struct ff_ring_batch *batch,
                     const struct ff_ring *to, uint64_t target, uint64_t count);

/* For the supervisor: a holder is dead, and held what these rings, all there are, say. */
void ff_rings_recover(const struct ff_ring *rings, uint64_t count, unsigned holder);

#endif
