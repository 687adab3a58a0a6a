/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: one process step by step, deaths between the steps, and threads for processes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory/ring.h"
#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/kill_point.h"
#include "random_keys.h"

enum { RINGS = 2, SHIFT_MAX = 4, CELLS_MAX = 1 << SHIFT_MAX, BATCH_ITEMS = 4 };

enum { ME = 1, OTHER = 2 };

/* Rings with a batch of 64-bit items behind each cell. */
struct fixture {
    struct ff_ring_words words[RINGS];
    struct ff_ring_cell cells[RINGS][CELLS_MAX];
    uint64_t batches[RINGS][CELLS_MAX][BATCH_ITEMS];
    struct ff_ring rings[RINGS];
};

static struct fixture *make(unsigned shift, uint64_t all_producers)
{
    struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

    assert_non_null(f);
    memset(f, 0xa5, sizeof(*f)); /* what was there before must not matter */
    for (unsigned i = 0; i < RINGS; i++) {
        f->rings[i] = (struct ff_ring){.words = &f->words[i],
                                       .cells = f->cells[i],
                                       .shift = shift,
                                       .number = i,
                                       .batch_items = BATCH_ITEMS,
                                       .all_producers = all_producers};
        ff_ring_reset(&f->rings[i]);
    }
    return f;
}

static uint64_t *batch_at(struct fixture *f, const struct ff_ring *ring, uint64_t position)
{
    return f->batches[ring->number][position & ((1u << ring->shift) - 1)];
}

/* Puts a batch of count items of the same value, if there is room. */
static enum ff_ring_answer put_many(struct fixture *f, const struct ff_ring *ring, unsigned holder,
                                    uint64_t value, uint64_t count)
{
    uint64_t position;
    enum ff_ring_answer answer = ff_ring_claim(ring, holder, &position);

    if (answer != FF_RING_OK)
        return answer;
    for (uint64_t i = 0; i < count; i++)
        batch_at(f, ring, position)[i] = value;
    ff_ring_commit(ring, position, count);
    return FF_RING_OK;
}

static enum ff_ring_answer put(struct fixture *f, const struct ff_ring *ring, unsigned holder,
                               uint64_t value)
{
    return put_many(f, ring, holder, value, 1);
}

/* Takes a batch and keeps it. */
static uint64_t take(struct fixture *f, const struct ff_ring *ring, unsigned holder,
                     struct ff_ring_batch *batch)
{
    assert_int_equal(ff_ring_take(ring, holder, batch), FF_RING_OK);
    return batch_at(f, ring, batch->position)[0];
}

static void acknowledge(const struct ff_ring *ring, struct ff_ring_batch *batch, uint64_t done)
{
    batch->done = done;
    ff_ring_acknowledge(ring, batch);
}

/* Takes a batch and acknowledges all of it. */
static uint64_t pop(struct fixture *f, const struct ff_ring *ring)
{
    struct ff_ring_batch batch;
    uint64_t value = take(f, ring, OTHER, &batch);

    acknowledge(ring, &batch, batch.count);
    return value;
}

static void assert_nothing(const struct ff_ring *ring, enum ff_ring_answer answer)
{
    struct ff_ring_batch batch;

    assert_int_equal(ff_ring_take(ring, OTHER, &batch), answer);
}

static uint64_t returns_of(const struct ff_ring *ring, uint64_t position)
{
    return ff_peer_get(&ff_ring_cell(ring, position)->returns);
}

/* ---- Step by step -------------------------------------------------------- */

static void batches_come_out_as_they_were_put(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= SHIFT_MAX; shift++) {
        struct fixture *f = make(shift, 1);
        struct ff_ring *ring = &f->rings[0];
        uint64_t in = 0;
        uint64_t out = 0;

        /* Many turns, at each fill level. */
        for (uint64_t fill = 1; fill <= UINT64_C(1) << shift; fill++) {
            for (unsigned i = 0; i < 100; i++) {
                while (in - out < fill)
                    assert_int_equal(put(f, ring, ME, in++), FF_RING_OK);
                assert_int_equal(pop(f, ring), out++);
            }
        }
        while (out < in)
            assert_int_equal(pop(f, ring), out++);
        assert_nothing(ring, FF_RING_NONE);
        free(f);
    }
}

static void full_ring_has_no_room_until_a_batch_is_released(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= SHIFT_MAX; shift++) {
        struct fixture *f = make(shift, 1);
        struct ff_ring *ring = &f->rings[0];
        struct ff_ring_batch batch;

        for (uint64_t i = 0; i < UINT64_C(1) << shift; i++)
            assert_int_equal(put(f, ring, ME, i), FF_RING_OK);
        assert_int_equal(put(f, ring, ME, 99), FF_RING_NONE);
        take(f, ring, OTHER, &batch);
        assert_int_equal(put(f, ring, ME, 99), FF_RING_NONE);
        acknowledge(ring, &batch, 1);
        assert_int_equal(put(f, ring, ME, 99), FF_RING_OK);
        assert_int_equal(put(f, ring, ME, 99), FF_RING_NONE);
        free(f);
    }
}

static void batch_that_is_being_written_is_not_there_and_holds_up_nobody(void **state)
{
    struct fixture *f = make(2, 1);
    struct ff_ring *ring = &f->rings[0];
    uint64_t position;

    (void)state;
    assert_int_equal(ff_ring_claim(ring, ME, &position), FF_RING_OK);
    assert_nothing(ring, FF_RING_NONE);
    put(f, ring, OTHER, 7);
    assert_int_equal(pop(f, ring), 7);
    assert_nothing(ring, FF_RING_NONE);
    batch_at(f, ring, position)[0] = 6;
    ff_ring_commit(ring, position, 1);
    assert_int_equal(pop(f, ring), 6);
    free(f);
}

static void abandoned_cell_is_passed_over(void **state)
{
    struct fixture *f = make(1, 1);
    struct ff_ring *ring = &f->rings[0];
    uint64_t position;

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(ff_ring_claim(ring, ME, &position), FF_RING_OK);
        ff_ring_abandon(ring, position);
        assert_nothing(ring, FF_RING_NONE);
        assert_int_equal(put(f, ring, ME, i), FF_RING_OK);
        assert_int_equal(pop(f, ring), i);
    }
    free(f);
}

static void batch_is_acknowledged_in_parts(void **state)
{
    struct fixture *f = make(0, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    put_many(f, ring, ME, 5, 4);
    take(f, ring, ME, &batch);
    acknowledge(ring, &batch, 1);
    acknowledge(ring, &batch, 3);
    assert_nothing(ring, FF_RING_NONE);
    assert_int_equal(put(f, ring, ME, 6), FF_RING_NONE);
    ff_ring_give_back(ring, &batch);
    /* The next one goes on where the first one was. */
    take(f, ring, OTHER, &batch);
    assert_int_equal(ff_peer_get(&ff_ring_cell(ring, batch.position)->done), 3);
    assert_int_equal(returns_of(ring, batch.position), 1);
    acknowledge(ring, &batch, 4);
    /* And who gets the cell next begins anew. */
    put(f, ring, ME, 6);
    take(f, ring, OTHER, &batch);
    assert_int_equal(ff_peer_get(&ff_ring_cell(ring, batch.position)->done), 0);
    assert_int_equal(returns_of(ring, batch.position), 0);
    free(f);
}

static void batch_that_is_given_back_comes_before_later_ones(void **state)
{
    struct fixture *f = make(3, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batches[5];

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        put(f, ring, ME, i);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(take(f, ring, ME, &batches[i]), i);
    ff_ring_give_back(ring, &batches[2]);
    ff_ring_give_back(ring, &batches[1]);
    assert_int_equal(take(f, ring, ME, &batches[1]), 1);
    ff_ring_give_back(ring, &batches[0]);
    for (uint64_t round = 1; round < 10; round++) {
        assert_int_equal(take(f, ring, ME, &batches[0]), 0);
        assert_int_equal(returns_of(ring, batches[0].position), round);
        ff_ring_give_back(ring, &batches[0]);
    }
    assert_int_equal(pop(f, ring), 0);
    assert_int_equal(pop(f, ring), 2);
    assert_int_equal(pop(f, ring), 4);
    assert_nothing(ring, FF_RING_NONE);
    free(f);
}

/* A batch may stay with its holder while the others go round. */
static void held_batch_does_not_stop_the_others(void **state)
{
    struct fixture *f = make(2, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    put(f, ring, ME, 1000);
    take(f, ring, ME, &batch);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(put(f, ring, ME, i), FF_RING_OK);
        assert_int_equal(pop(f, ring), i);
    }
    /* Until its cell is the next. */
    assert_int_equal(put(f, ring, ME, 3), FF_RING_NONE);
    ff_ring_give_back(ring, &batch);
    assert_int_equal(pop(f, ring), 1000);
    assert_int_equal(put(f, ring, ME, 3), FF_RING_OK);
    assert_int_equal(pop(f, ring), 3);
    free(f);
}

/* ---- The end ------------------------------------------------------------- */

static void ring_ends_when_all_producers_have_said_so_and_all_is_acknowledged(void **state)
{
    struct fixture *f = make(2, 7);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    put(f, ring, ME, 1);
    ff_ring_end(ring, 0);
    ff_ring_end(ring, 2);
    ff_ring_end(ring, 2);
    assert_false(ff_ring_has_ended(ring));
    assert_int_equal(put(f, ring, ME, 2), FF_RING_OK);
    ff_ring_end(ring, 1);
    assert_true(ff_ring_has_ended(ring));
    assert_int_equal(put(f, ring, ME, 3), FF_RING_ENDED);
    assert_int_equal(pop(f, ring), 1);
    assert_int_equal(take(f, ring, ME, &batch), 2);
    /* It may come back. */
    assert_nothing(ring, FF_RING_NONE);
    ff_ring_give_back(ring, &batch);
    assert_int_equal(pop(f, ring), 2);
    assert_nothing(ring, FF_RING_ENDED);
    assert_int_equal(put(f, ring, ME, 3), FF_RING_ENDED);
    free(f);
}

static void end_waits_for_who_is_writing(void **state)
{
    struct fixture *f = make(2, 1);
    struct ff_ring *ring = &f->rings[0];
    uint64_t position;

    (void)state;
    for (unsigned commits = 0; commits < 2; commits++) {
        ff_ring_reset(ring);
        assert_int_equal(ff_ring_claim(ring, ME, &position), FF_RING_OK);
        ff_ring_end(ring, 0);
        assert_nothing(ring, FF_RING_NONE);
        if (commits) {
            batch_at(f, ring, position)[0] = 5;
            ff_ring_commit(ring, position, 1);
            assert_int_equal(pop(f, ring), 5);
        } else {
            ff_ring_abandon(ring, position);
        }
        assert_nothing(ring, FF_RING_ENDED);
    }
    free(f);
}

static void reset_ring_is_as_new(void **state)
{
    struct fixture *f = make(1, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        put(f, ring, ME, i);
        take(f, ring, ME, &batch);
        ff_ring_give_back(ring, &batch);
        pop(f, ring);
    }
    put(f, ring, ME, 7);
    ff_ring_end(ring, 0);
    ff_ring_reset(ring);
    assert_nothing(ring, FF_RING_NONE);
    assert_int_equal(put(f, ring, ME, 8), FF_RING_OK);
    assert_int_equal(pop(f, ring), 8);
    free(f);
}

/* ---- Damage -------------------------------------------------------------- */

static void assert_damaged(struct fixture *f, const struct ff_ring *ring)
{
    assert_int_equal(put(f, ring, ME, 1), FF_RING_DAMAGED);
    assert_nothing(ring, FF_RING_DAMAGED);
    ff_ring_reset(ring);
    assert_int_equal(put(f, ring, ME, 1), FF_RING_OK);
    assert_int_equal(pop(f, ring), 1);
}

/* A ring that has been in use for some turns and holds two batches, 20 and 21. */
static struct ff_ring *use_for_a_while(struct fixture *f)
{
    struct ff_ring *ring = &f->rings[0];

    ff_ring_reset(ring);
    for (uint64_t i = 0; i < 22; i++) {
        assert_int_equal(put(f, ring, ME, i), FF_RING_OK);
        if (i < 20)
            assert_int_equal(pop(f, ring), i);
    }
    return ring;
}

static void tail_that_a_wild_write_has_moved_is_put_right_or_found(void **state)
{
    static const uint64_t behind[] = {0, 1, 2, 7, 18, 21};
    static const uint64_t beyond[] = {23, 24, 25, 26, 40, UINT64_C(1) << 40, UINT64_MAX - 1};
    struct fixture *f = make(2, 1);

    (void)state;
    for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++)
        for (unsigned puts_first = 0; puts_first < 2; puts_first++) {
            struct ff_ring *ring = use_for_a_while(f);

            ff_own_set(&ring->words->tail, behind[i]);
            if (puts_first)
                assert_int_equal(put(f, ring, ME, 22), FF_RING_OK);
            assert_int_equal(pop(f, ring), 20);
            assert_int_equal(pop(f, ring), 21);
            assert_nothing(ring, puts_first ? FF_RING_OK : FF_RING_NONE);
        }
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        for (unsigned puts_first = 0; puts_first < 2; puts_first++) {
            struct ff_ring *ring = use_for_a_while(f);
            enum ff_ring_answer answer = FF_RING_OK;
            struct ff_ring_batch batch;

            ff_own_set(&ring->words->tail, beyond[i]);
            for (unsigned k = 0; k < 10 && answer == FF_RING_OK; k++) {
                answer = puts_first ? put(f, ring, ME, 5) : ff_ring_take(ring, OTHER, &batch);
                if (!puts_first && answer == FF_RING_OK)
                    acknowledge(ring, &batch, batch.count);
            }
            /* With less than a turn too much it is found when a cell that was left out is next. */
            if (answer == FF_RING_DAMAGED)
                assert_damaged(f, ring);
            else
                assert_true(beyond[i] < 26);
        }
    free(f);
}

/* However far: nobody counts up to where it should be. */
static void tail_that_is_far_behind_is_found_at_once(void **state)
{
    struct fixture *f = make(2, 1);
    struct ff_ring *ring = &f->rings[0];
    uint64_t far = UINT64_C(1) << 60;

    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        /* As after so many turns: free. */
        ff_own_set(&ring->cells[i].word, (far >> 2) << 18);
    ff_own_set(&ring->words->head, far);
    assert_int_equal(put(f, ring, ME, 3), FF_RING_OK);
    assert_int_equal(pop(f, ring), 3);
    free(f);
}

static void head_that_makes_no_sense_is_put_right(void **state)
{
    static const uint64_t heads[] = {0, 17, 18, 19, 21, 22, 23, 100, UINT64_MAX};
    struct fixture *f = make(2, 1);

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct ff_ring *ring = use_for_a_while(f);
        bool is_sensible = heads[i] >= 18 && heads[i] <= 22;

        ff_own_set(&ring->words->head, heads[i]);
        if (heads[i] <= 20 || !is_sensible)
            assert_int_equal(pop(f, ring), 20);
        if (heads[i] <= 21 || !is_sensible)
            assert_int_equal(pop(f, ring), 21);
        assert_nothing(ring, FF_RING_NONE);
        assert_int_equal(put(f, ring, ME, 22), FF_RING_OK);
        assert_int_equal(pop(f, ring), 22);
        assert_int_equal(ff_peer_get(&ring->words->head), 23);
    }
    free(f);
}

/* With a head that stays behind, each take would look at all cells. */
static void head_follows_though_all_batches_are_taken_as_returned_ones(void **state)
{
    struct fixture *f = make(2, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    put(f, ring, ME, 0);
    take(f, ring, ME, &batch);
    ff_ring_give_back(ring, &batch);
    /* There is always one more, so nobody gets to see that no batch is left that was returned. */
    for (uint64_t i = 1; i < 50; i++) {
        put(f, ring, ME, i);
        assert_int_equal(pop(f, ring), i - 1);
    }
    assert_int_equal(pop(f, ring), 49);
    assert_nothing(ring, FF_RING_NONE);
    put(f, ring, ME, 50);
    assert_int_equal(pop(f, ring), 50);
    assert_int_equal(ff_peer_get(&ring->words->head), 51);
    free(f);
}

static void batch_with_counts_that_cannot_be_is_damage(void **state)
{
    static const struct {
        uint64_t count, done;
    } cases[] = {{BATCH_ITEMS + 1, 0}, {UINT64_MAX, 0}, {0, 0}, {2, 2}, {2, 3}, {2, UINT64_MAX}};
    struct fixture *f = make(1, 1);
    struct ff_ring *ring = &f->rings[0];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put(f, ring, ME, 1);
        ff_own_set(&ring->cells[0].count, cases[i].count);
        ff_own_set(&ring->cells[0].done, cases[i].done);
        assert_nothing(ring, FF_RING_DAMAGED);
        assert_damaged(f, ring);
        ff_ring_reset(ring);
    }
    free(f);
}

/* What is smeared over a batch after it was taken does not lead its holder astray. */
static void holder_goes_by_what_it_read_first(void **state)
{
    struct fixture *f = make(1, 1);
    struct ff_ring *ring = &f->rings[0];
    struct ff_ring_batch batch;

    (void)state;
    put_many(f, ring, ME, 1, 2);
    take(f, ring, ME, &batch);
    memset((void *)&ring->cells[0], 0xff, sizeof(ring->cells[0]));
    acknowledge(ring, &batch, 2);
    assert_int_equal(put(f, ring, ME, 5), FF_RING_OK);
    assert_int_equal(put(f, ring, ME, 6), FF_RING_OK);
    assert_int_equal(pop(f, ring), 5);
    assert_int_equal(pop(f, ring), 6);
    free(f);
}

/* Anything at all in the words: every call comes back, and recovery too. */
static void words_at_random_harm_nobody(void **state)
{
    struct fixture *f = make(2, 1);

    (void)state;
    seed_random();
    for (unsigned round = 0; round < 20000; round++) {
        struct ff_ring *ring = use_for_a_while(f);
        bool smears_cells = random_below(2) == 0;
        unsigned char *bytes = smears_cells ? (void *)ring->cells : (void *)ring->words;
        size_t size = smears_cells ? 4 * sizeof(*ring->cells) : sizeof(*ring->words);

        for (unsigned i = 0; i < 1 + random_below(8); i++)
            bytes[random_below(size)] = (unsigned char)random_below(8);
        for (unsigned i = 0; i < 20; i++) {
            struct ff_ring_batch batch;

            (void)put(f, ring, ME, i);
            if (ff_ring_take(ring, OTHER, &batch) == FF_RING_OK) {
                assert_in_range(batch.count, 1, BATCH_ITEMS);
                assert_in_range(batch.done, 0, batch.count - 1);
                acknowledge(ring, &batch, batch.count);
            }
            if (random_below(4) == 0)
                ff_rings_recover(f->rings, RINGS, OTHER);
        }
    }
    free(f);
}

/* ---- Deaths -------------------------------------------------------------- */

#ifdef FF_KILL_POINTS

/* At that passing of a kill point (0 = never) who passes it goes on at the grave. */
static struct {
    const char *point; /* NULL: any */
    unsigned after;
    const char *reached;
    jmp_buf grave;
} death;

/* Instead of the platform's. */
void ff_kill_point(const char *point)
{
    if (death.after == 0 || (death.point != NULL && strcmp(point, death.point) != 0))
        return;
    death.reached = point;
    if (--death.after == 0)
        longjmp(death.grave, 1);
}

static void plan_death(const char *point, unsigned after)
{
    death.point = point;
    death.after = after;
    death.reached = "";
}

typedef void life(struct fixture *f, uint64_t value);

/* Runs what is one process's, which dies in it. */
static void live_and_die(struct fixture *f, life *live, uint64_t value, const char *point)
{
    plan_death(point, 1);
    if (setjmp(death.grave) == 0)
        live(f, value);
    assert_int_equal(death.after, 0);
}

static void put_as_me(struct fixture *f, uint64_t value)
{
    put(f, &f->rings[0], ME, value);
}

static void batch_of_a_dead_producer_is_there_or_not(void **state)
{
    static const struct {
        const char *point;
        bool is_there;
    } cases[] = {{"ring.claim.taken", false},
                 {"ring.claim.done", false},
                 {"ring.commit.written", false},
                 {"ring.commit.done", true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned shift = 0; shift < 3; shift++) {
            struct fixture *f = make(shift, 1);
            struct ff_ring *ring = &f->rings[0];

            for (uint64_t turn = 0; turn < 9; turn++) {
                live_and_die(f, put_as_me, turn, cases[i].point);
                ff_rings_recover(f->rings, RINGS, ME);
                if (cases[i].is_there)
                    assert_int_equal(pop(f, ring), turn);
                assert_nothing(ring, FF_RING_NONE);
                assert_int_equal(put(f, ring, ME, 100 + turn), FF_RING_OK);
                assert_int_equal(pop(f, ring), 100 + turn);
            }
            ff_ring_end(ring, 0);
            assert_nothing(ring, FF_RING_ENDED);
            free(f);
        }
}

static void pop_as_me(struct fixture *f, uint64_t value)
{
    struct ff_ring_batch batch;

    assert_int_equal(take(f, &f->rings[0], ME, &batch), value);
    acknowledge(&f->rings[0], &batch, 1);
}

static void give_back_as_me(struct fixture *f, uint64_t value)
{
    struct ff_ring_batch batch;

    assert_int_equal(take(f, &f->rings[0], ME, &batch), value);
    ff_ring_give_back(&f->rings[0], &batch);
}

static void batch_of_a_dead_consumer_comes_back_unless_it_was_acknowledged(void **state)
{
    static const struct {
        life *live;
        const char *point;
        bool comes_back;
        uint64_t returns;
    } cases[] = {{pop_as_me, "ring.take.tried", true, 1},
                 {pop_as_me, "ring.take.done", true, 1},
                 {pop_as_me, "ring.acknowledge.begin", true, 1},
                 {pop_as_me, "ring.acknowledge.counted", false, 0},
                 {pop_as_me, "ring.acknowledge.done", false, 0},
                 {give_back_as_me, "ring.return.begin", true, 2},
                 {give_back_as_me, "ring.return.done", true, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned shift = 0; shift < 3; shift++) {
            struct fixture *f = make(shift, 1);
            struct ff_ring *ring = &f->rings[0];

            for (uint64_t turn = 0; turn < 9; turn++) {
                struct ff_ring_batch batch;

                put(f, ring, ME, turn);
                live_and_die(f, cases[i].live, turn, cases[i].point);
                ff_rings_recover(f->rings, RINGS, ME);
                if (cases[i].comes_back) {
                    assert_int_equal(take(f, ring, OTHER, &batch), turn);
                    assert_in_range(returns_of(ring, batch.position), 1, cases[i].returns);
                    acknowledge(ring, &batch, 1);
                }
                assert_nothing(ring, FF_RING_NONE);
            }
            ff_ring_end(ring, 0);
            assert_nothing(ring, FF_RING_ENDED);
            free(f);
        }
}

static void acknowledge_two(struct fixture *f, uint64_t value)
{
    struct ff_ring_batch batch;

    assert_int_equal(take(f, &f->rings[0], ME, &batch), value);
    acknowledge(&f->rings[0], &batch, 2);
}

static void part_that_a_dead_consumer_acknowledged_does_not_come_back(void **state)
{
    static const struct {
        const char *point;
        uint64_t done;
    } cases[] = {{"ring.acknowledge.begin", 0},
                 {"ring.acknowledge.counted", 2},
                 {"ring.acknowledge.done", 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f = make(0, 1);
        struct ff_ring *ring = &f->rings[0];
        struct ff_ring_batch batch;

        put_many(f, ring, ME, 9, 3);
        live_and_die(f, acknowledge_two, 9, cases[i].point);
        ff_rings_recover(f->rings, RINGS, ME);
        take(f, ring, OTHER, &batch);
        assert_int_equal(ff_peer_get(&ff_ring_cell(ring, batch.position)->done), cases[i].done);
        free(f);
    }
}

/* What was written for the second ring appears there if and only if the first one has it no more. */
static void pass_on_as_me(struct fixture *f, uint64_t value)
{
    struct ff_ring_batch batch;
    uint64_t target;

    assert_int_equal(take(f, &f->rings[0], ME, &batch), value);
    assert_int_equal(ff_ring_claim(&f->rings[1], ME, &target), FF_RING_OK);
    batch_at(f, &f->rings[1], target)[0] = value + 1;
    batch.done = 1;
    ff_ring_pass_on(&f->rings[0], &batch, &f->rings[1], target, 1);
    acknowledge(&f->rings[0], &batch, 1);
}

static void batch_is_passed_on_by_a_dead_process_or_comes_back(void **state)
{
    static const struct {
        const char *point;
        bool is_passed;
    } cases[] = {{"ring.take.done", false},          {"ring.claim.taken", false},
                 {"ring.claim.done", false},         {"ring.pass.noted", false},
                 {"ring.commit.written", false},     {"ring.commit.done", true},
                 {"ring.pass.counted", true},        {"ring.acknowledge.begin", true},
                 {"ring.acknowledge.counted", true}, {"ring.acknowledge.done", true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        /* Whether others take and write meanwhile. */
        for (unsigned busy = 0; busy < 2; busy++) {
            struct fixture *f = make(1, 1);

            for (uint64_t turn = 0; turn < 9; turn++) {
                put(f, &f->rings[0], OTHER, turn);
                live_and_die(f, pass_on_as_me, turn, cases[i].point);
                if (busy && cases[i].is_passed)
                    assert_int_equal(pop(f, &f->rings[1]), turn + 1);
                if (busy) {
                    assert_int_equal(put(f, &f->rings[1], OTHER, 77), FF_RING_OK);
                    assert_int_equal(pop(f, &f->rings[1]), 77);
                }
                ff_rings_recover(f->rings, RINGS, ME);
                if (!cases[i].is_passed)
                    assert_int_equal(pop(f, &f->rings[0]), turn);
                else if (!busy)
                    assert_int_equal(pop(f, &f->rings[1]), turn + 1);
                assert_nothing(&f->rings[0], FF_RING_NONE);
                assert_nothing(&f->rings[1], FF_RING_NONE);
            }
            free(f);
        }
}

static void end_as_me(struct fixture *f, uint64_t value)
{
    ff_ring_end(&f->rings[0], (unsigned)value);
}

static void end_of_a_dead_producer_is_said_or_not(void **state)
{
    struct fixture *f = make(0, 1);
    struct ff_ring *ring = &f->rings[0];

    (void)state;
    live_and_die(f, end_as_me, 0, "ring.end.begin");
    ff_rings_recover(f->rings, RINGS, ME);
    assert_nothing(ring, FF_RING_NONE);
    live_and_die(f, end_as_me, 0, "ring.end.done");
    ff_rings_recover(f->rings, RINGS, ME);
    assert_nothing(ring, FF_RING_ENDED);
    ff_ring_end(ring, 0);
    assert_nothing(ring, FF_RING_ENDED);
    free(f);
}

/* The producer has its cell, and finds out next that the ring has ended meanwhile. */
static void nothing_is_put_behind_an_end_that_a_taker_has_seen(void **state)
{
    struct fixture *f = make(1, 1);
    struct ff_ring *ring = &f->rings[0];

    (void)state;
    live_and_die(f, put_as_me, 1, "ring.claim.taken");
    ff_ring_end(ring, 0);
    /* It might be written yet. */
    assert_nothing(ring, FF_RING_NONE);
    ff_rings_recover(f->rings, RINGS, ME);
    assert_nothing(ring, FF_RING_ENDED);
    free(f);
}

/* ---- A chain of two rings, and random deaths ----------------------------- */

enum { ACTORS = 4, IDS = 2000 };

struct chain {
    struct fixture *f;
    bool held[ACTORS][RINGS];
    struct ff_ring_batch at[ACTORS][RINGS];
    uint64_t next_id;
    bool is_in[IDS];         /* it was put, to stay */
    unsigned char outs[IDS]; /* how often it was acknowledged in the second ring */
};

static bool died_at(const char *point)
{
    return strcmp(death.reached, point) == 0;
}

static void actor_puts(struct chain *chain, unsigned actor)
{
    chain->is_in[chain->next_id] =
        put(chain->f, &chain->f->rings[0], actor, chain->next_id) == FF_RING_OK;
}

static void actor_takes(struct chain *chain, unsigned actor, unsigned from)
{
    if (!chain->held[actor][from])
        chain->held[actor][from] =
            ff_ring_take(&chain->f->rings[from], actor, &chain->at[actor][from]) == FF_RING_OK;
}

static void actor_passes_on(struct chain *chain, unsigned actor)
{
    struct ff_ring *rings = chain->f->rings;
    struct ff_ring_batch *batch = &chain->at[actor][0];
    uint64_t target;

    if (!chain->held[actor][0] || ff_ring_claim(&rings[1], actor, &target) != FF_RING_OK)
        return;
    batch_at(chain->f, &rings[1], target)[0] = batch_at(chain->f, &rings[0], batch->position)[0];
    batch->done = 1;
    ff_ring_pass_on(&rings[0], batch, &rings[1], target, 1);
    ff_ring_acknowledge(&rings[0], batch);
    chain->held[actor][0] = false;
}

static void actor_gives_back(struct chain *chain, unsigned actor, unsigned from)
{
    if (chain->held[actor][from])
        ff_ring_give_back(&chain->f->rings[from], &chain->at[actor][from]);
    chain->held[actor][from] = false;
}

static void actor_finishes(struct chain *chain, unsigned actor)
{
    struct ff_ring_batch *batch = &chain->at[actor][1];

    if (!chain->held[actor][1])
        return;
    acknowledge(&chain->f->rings[1], batch, 1);
    chain->held[actor][1] = false;
    chain->outs[batch_at(chain->f, &chain->f->rings[1], batch->position)[0]]++;
}

/* What the death of an actor in the middle of a step has brought about. */
static void account(struct chain *chain, unsigned actor, unsigned step)
{
    if (step == 0 && died_at("ring.commit.done"))
        chain->is_in[chain->next_id] = true;
    if (step == 6 && !died_at("ring.acknowledge.begin"))
        chain->outs[batch_at(chain->f, &chain->f->rings[1], chain->at[actor][1].position)[0]]++;
    chain->held[actor][0] = chain->held[actor][1] = false;
    ff_rings_recover(chain->f->rings, RINGS, actor);
}

static void act(struct chain *chain, unsigned actor, unsigned step)
{
    switch (step) {
    case 0:
        actor_puts(chain, actor);
        break;
    case 1:
    case 2:
        actor_takes(chain, actor, step - 1);
        break;
    case 3:
        actor_passes_on(chain, actor);
        break;
    case 4:
    case 5:
        actor_gives_back(chain, actor, step - 4);
        break;
    default:
        actor_finishes(chain, actor);
    }
}

/* One step of an actor; whether it has lived through it. */
static bool act_and_live(struct chain *chain, unsigned actor, unsigned step)
{
    if (setjmp(death.grave) != 0)
        return false;
    act(chain, actor, step);
    plan_death(NULL, 0);
    return true;
}

static void step_randomly(struct chain *chain, unsigned die_one_in)
{
    static const unsigned char steps[] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 6, 6};
    unsigned actor = (unsigned)random_below(ACTORS);
    unsigned step = steps[random_below(sizeof(steps))];

    plan_death(NULL, random_below(die_one_in) == 0 ? 1 + (unsigned)random_below(8) : 0);
    if (!act_and_live(chain, actor, step))
        account(chain, actor, step);
    if (step == 0)
        chain->next_id++;
}

static void random_deaths_in_a_chain_lose_nothing_and_double_nothing(void **state)
{
    (void)state;
    seed_random();
    for (unsigned round = 0; round < 200; round++) {
        struct chain *chain = calloc(1, sizeof(*chain));
        unsigned die_one_in = 1 + (unsigned)random_below(20);
        struct ff_ring_batch batch;

        assert_non_null(chain);
        chain->f = make((unsigned)random_below(SHIFT_MAX), 1);
        while (chain->next_id < IDS)
            step_randomly(chain, die_one_in);
        plan_death(NULL, 0);
        for (unsigned actor = 0; actor < ACTORS; actor++)
            ff_rings_recover(chain->f->rings, RINGS, actor);
        for (unsigned from = 0; from < RINGS; from++) {
            ff_ring_end(&chain->f->rings[from], 0);
            while (ff_ring_take(&chain->f->rings[from], OTHER, &batch) == FF_RING_OK) {
                chain->outs[batch_at(chain->f, &chain->f->rings[from], batch.position)[0]]++;
                acknowledge(&chain->f->rings[from], &batch, 1);
            }
            assert_nothing(&chain->f->rings[from], FF_RING_ENDED);
        }
        for (uint64_t id = 0; id < IDS; id++)
            if (chain->outs[id] != chain->is_in[id])
                fail_msg("round %u: batch %llu came out %u times", round, (unsigned long long)id,
                         chain->outs[id]);
        free(chain->f);
        free(chain);
    }
}
#endif

/* ---- Threads for processes ----------------------------------------------- */

enum { THREADS_MAX = 4, TURNS = 400, PUTS_MAX = TURNS << SHIFT_MAX };

struct race {
    struct fixture *f;
    unsigned producers;
    unsigned consumers;
    uint64_t puts;           /* of each producer */
    unsigned returns_one_in; /* 0: nobody gives anything back */
    ff_word32 changes;       /* for those who find nothing */
    ff_word64 outs[THREADS_MAX][PUTS_MAX];
};

struct racer {
    struct race *race;
    unsigned number;
    pthread_t thread;
};

/* Relaxed, and with system calls: the sanitizer must not take this for what orders the batches. */
static void note_change(struct race *race)
{
    atomic_fetch_add_explicit(&race->changes, 1, memory_order_relaxed);
    ff_futex_wake(&race->changes, UINT64_MAX);
}

/* So it may miss one. */
static void await_change(struct race *race, uint32_t seen)
{
    ff_futex_wait(&race->changes, seen, ff_clock_ns() + FF_NS_PER_MS);
}

static void *produce(void *context)
{
    struct racer *racer = context;
    struct fixture *f = racer->race->f;

    for (uint64_t i = 0; i < racer->race->puts;) {
        uint32_t seen = ff_snapshot32(&racer->race->changes);
        enum ff_ring_answer answer =
            put(f, &f->rings[0], racer->number, (uint64_t)racer->number << 32 | i);

        if (answer == FF_RING_NONE) {
            await_change(racer->race, seen);
            continue;
        }
        if (answer != FF_RING_OK)
            abort();
        note_change(racer->race);
        i++;
    }
    ff_ring_end(&f->rings[0], racer->number);
    note_change(racer->race);
    return NULL;
}

static void *consume(void *context)
{
    struct racer *racer = context;
    struct race *race = racer->race;
    struct ff_ring *ring = &race->f->rings[0];
    uint64_t expected[THREADS_MAX] = {0};
    enum ff_ring_answer answer;
    struct ff_ring_batch batch;
    unsigned taken = 0;
    uint32_t seen = ff_snapshot32(&race->changes);

    while ((answer = ff_ring_take(ring, THREADS_MAX + racer->number, &batch)) != FF_RING_ENDED) {
        if (answer != FF_RING_OK) {
            await_change(race, seen);
            seen = ff_snapshot32(&race->changes);
            continue;
        }
        seen = ff_snapshot32(&race->changes);

        uint64_t value = batch_at(race->f, ring, batch.position)[0];
        uint64_t producer = value >> 32;
        uint64_t number = value & UINT32_MAX;

        if (race->returns_one_in != 0 && ++taken % race->returns_one_in == 0) {
            ff_ring_give_back(ring, &batch);
            note_change(race);
            continue;
        }
        if (producer >= race->producers || number >= race->puts)
            abort();
        /* What one producer puts a single consumer takes in that order. */
        if (race->consumers == 1 && race->returns_one_in == 0 && number != expected[producer]++)
            abort();
        (void)ff_take_next(&race->outs[producer][number]);
        acknowledge(ring, &batch, 1);
        note_change(race);
    }
    return NULL;
}

static void run_race(unsigned shift, unsigned producers, unsigned consumers, unsigned returns)
{
    struct race *race = calloc(1, sizeof(*race));
    struct racer racers[2 * THREADS_MAX];
    unsigned count = 0;

    assert_non_null(race);
    race->f = make(shift, (UINT64_C(1) << producers) - 1);
    race->producers = producers;
    race->consumers = consumers;
    race->puts = (uint64_t)TURNS << shift;
    race->returns_one_in = returns;
    for (unsigned i = 0; i < producers; i++, count++)
        racers[count] = (struct racer){.race = race, .number = i};
    for (unsigned i = 0; i < consumers; i++, count++)
        racers[count] = (struct racer){.race = race, .number = i};
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(
            pthread_create(&racers[i].thread, NULL, i < producers ? produce : consume, &racers[i]),
            0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(racers[i].thread, NULL);
    for (unsigned i = 0; i < producers; i++)
        for (uint64_t k = 0; k < race->puts; k++)
            assert_int_equal(ff_peer_get(&race->outs[i][k]), 1);
    free(race->f);
    free(race);
}

static void racing_threads_get_each_batch_once_and_one_gets_them_in_order(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= SHIFT_MAX; shift += 2)
        for (unsigned producers = 1; producers <= THREADS_MAX; producers += 3)
            for (unsigned consumers = 1; consumers <= THREADS_MAX; consumers += 3)
                run_race(shift, producers, consumers, 0);
}

static void racing_threads_that_give_back_get_each_batch_once(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= SHIFT_MAX; shift += 2)
        for (unsigned consumers = 1; consumers <= 3; consumers++)
            run_race(shift, 2, consumers, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_come_out_as_they_were_put),
        cmocka_unit_test(full_ring_has_no_room_until_a_batch_is_released),
        cmocka_unit_test(batch_that_is_being_written_is_not_there_and_holds_up_nobody),
        cmocka_unit_test(abandoned_cell_is_passed_over),
        cmocka_unit_test(batch_is_acknowledged_in_parts),
        cmocka_unit_test(batch_that_is_given_back_comes_before_later_ones),
        cmocka_unit_test(held_batch_does_not_stop_the_others),
        cmocka_unit_test(ring_ends_when_all_producers_have_said_so_and_all_is_acknowledged),
        cmocka_unit_test(end_waits_for_who_is_writing),
        cmocka_unit_test(reset_ring_is_as_new),
        cmocka_unit_test(tail_that_a_wild_write_has_moved_is_put_right_or_found),
        cmocka_unit_test(tail_that_is_far_behind_is_found_at_once),
        cmocka_unit_test(head_that_makes_no_sense_is_put_right),
        cmocka_unit_test(head_follows_though_all_batches_are_taken_as_returned_ones),
        cmocka_unit_test(batch_with_counts_that_cannot_be_is_damage),
        cmocka_unit_test(holder_goes_by_what_it_read_first),
        cmocka_unit_test(words_at_random_harm_nobody),
#ifdef FF_KILL_POINTS
        cmocka_unit_test(batch_of_a_dead_producer_is_there_or_not),
        cmocka_unit_test(batch_of_a_dead_consumer_comes_back_unless_it_was_acknowledged),
        cmocka_unit_test(part_that_a_dead_consumer_acknowledged_does_not_come_back),
        cmocka_unit_test(batch_is_passed_on_by_a_dead_process_or_comes_back),
        cmocka_unit_test(end_of_a_dead_producer_is_said_or_not),
        cmocka_unit_test(nothing_is_put_behind_an_end_that_a_taker_has_seen),
        cmocka_unit_test(random_deaths_in_a_chain_lose_nothing_and_double_nothing),
#endif
        cmocka_unit_test(racing_threads_get_each_batch_once_and_one_gets_them_in_order),
        cmocka_unit_test(racing_threads_that_give_back_get_each_batch_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
