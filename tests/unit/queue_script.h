/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of queues: a call whose items each play a part, and a page on which workers and test
 * count what has come to them.
 */
#ifndef FF_TESTS_QUEUE_SCRIPT_H
#define FF_TESTS_QUEUE_SCRIPT_H

#include "item_script.h"

#include <forkfold/error.h>
#include <forkfold/queue.h>

enum { PARTS_MAX = 8, BATCH_MAX = 128, PRODUCERS_MAX = 8, VALUES_MAX = 1 << 16 };

#define FOR_EVER UINT64_MAX

struct part {
    int (*play)(const struct part *part, const forkfold_item *item);
    forkfold_queue *in;
    forkfold_queue *out;
    unsigned number; /* as a producer */
    uint64_t count;  /* of values to be put */
    uint64_t batch;  /* so many at once */
    uint64_t most;   /* so many to be taken at once, or 0 */
};

/* The context of a call. */
struct cast {
    unsigned count;
    struct part parts[PARTS_MAX];
};

/* How often each value of each producer has come out. */
static struct tally {
    _Atomic unsigned char outs[PRODUCERS_MAX][VALUES_MAX];
} * tally;

static inline int make_tally(void **state)
{
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return tally == MAP_FAILED || make_script(state);
}

static inline int reset_tally(void **state)
{
    memset((void *)tally, 0, sizeof(*tally));
    return reset_script(state);
}

#define WITH_TALLY(test) cmocka_unit_test_setup(test, reset_tally)

/* ---- Values -------------------------------------------------------------- */

static inline uint64_t value_of(unsigned producer, uint64_t number)
{
    return (uint64_t)producer << 32 | number;
}

/* Counts what came, or returns false for what nobody has put. */
static inline bool count_values(const forkfold_batch *batch)
{
    const uint64_t *values = batch->items;

    for (uint64_t i = 0; i < batch->count; i++) {
        uint64_t number = values[i] & UINT32_MAX;

        if (values[i] >> 32 >= PRODUCERS_MAX || number >= VALUES_MAX)
            return false;
        tally->outs[values[i] >> 32][number]++;
    }
    return true;
}

static inline void assert_tally(unsigned producers, uint64_t count)
{
    for (unsigned producer = 0; producer < producers; producer++)
        for (uint64_t i = 0; i < VALUES_MAX; i++)
            if (tally->outs[producer][i] != (i < count))
                fail_msg("value %llu of producer %u came out %d times", (unsigned long long)i,
                         producer, tally->outs[producer][i]);
}

/* ---- Parts, which the host can play as well ------------------------------ */

/* Puts the values of one producer, and says that these were all.  0 or a code. */
static inline int produce_to(forkfold_queue *out, unsigned producer, uint64_t count, uint64_t batch)
{
    uint64_t values[BATCH_MAX];
    int code = 0;

    for (uint64_t i = 0; i < count && code == 0; i += batch) {
        uint64_t some = count - i < batch ? count - i : batch;

        for (uint64_t k = 0; k < some; k++)
            values[k] = value_of(producer, i + k);
        code = forkfold_queue_put(out, values, some, FOR_EVER);
    }
    return code < 0 ? code : forkfold_queue_end(out, producer);
}

/* Takes all there is until the end. */
static inline int consume_from(forkfold_queue *in, uint64_t most)
{
    forkfold_batch batch;
    int code;

    while ((code = forkfold_queue_get(in, most, &batch, FOR_EVER)) == 1)
        if (!count_values(&batch) || batch.count == 0 || (most > 0 && batch.count > most))
            return FORKFOLD_E_DAMAGED;
    return code;
}

/* Passes all there is on, and then the end. */
static inline int relay_between(forkfold_queue *in, forkfold_queue *out, unsigned producer)
{
    uint64_t values[BATCH_MAX];
    forkfold_batch batch;
    int code;

    while ((code = forkfold_queue_get(in, 0, &batch, FOR_EVER)) == 1) {
        memcpy(values, batch.items, batch.count * sizeof(*values));
        code = forkfold_queue_pass_on(in, out, values, batch.count, FOR_EVER);
        if (code < 0)
            return code;
    }
    return code < 0 ? code : forkfold_queue_end(out, producer);
}

static inline int produce(const struct part *part, const forkfold_item *item)
{
    (void)item;
    return produce_to(part->out, part->number, part->count, part->batch);
}

static inline int consume(const struct part *part, const forkfold_item *item)
{
    (void)item;
    return consume_from(part->in, part->most);
}

static inline int relay(const struct part *part, const forkfold_item *item)
{
    (void)item;
    return relay_between(part->in, part->out, part->number);
}

/* ---- Calls --------------------------------------------------------------- */

/* The function of the call: what the part returns is an error, and named. */
static inline int play(const forkfold_item *item)
{
    const struct cast *cast = item->context;
    int code = cast->parts[item->index].play(&cast->parts[item->index], item);

    return code == 0 ? 0 : forkfold_item_fail(item, "%s", forkfold_strerror(code));
}

static inline forkfold_call_options play_options(const struct cast *cast)
{
    return (forkfold_call_options){.function = play,
                                   .count = cast->count,
                                   .chunk = 1,
                                   .context = cast,
                                   .context_bytes = sizeof(*cast),
                                   .retries_plus_one = 1000000};
}

static inline forkfold_call *begin_play(forkfold_pool *pool, const struct cast *cast)
{
    forkfold_call_options options = play_options(cast);
    forkfold_call *call = NULL;

    assert_works(pool, forkfold_map_async(pool, &options, &call));
    return call;
}

static inline void end_play(forkfold_pool *pool, forkfold_call *call)
{
    assert_works(pool, forkfold_call_wait(call, FOR_EVER));
    if (forkfold_call_failure_count(call) > 0)
        fail_msg("part %llu: %s", (unsigned long long)forkfold_call_failure(call, 0)->index,
                 forkfold_call_failure(call, 0)->detail);
    forkfold_call_close(call);
}

static inline forkfold_queue *open_queue_with(forkfold_pool *pool,
                                              const forkfold_queue_options *options)
{
    forkfold_queue *queue = NULL;

    assert_works(pool, forkfold_queue_open(pool, options, &queue));
    return queue;
}

/* Of 64-bit values. */
static inline forkfold_queue *open_queue(forkfold_pool *pool, uint64_t batch, uint64_t depth,
                                         unsigned producers)
{
    return open_queue_with(pool, &(forkfold_queue_options){.item_bytes = sizeof(uint64_t),
                                                           .batch_items = batch,
                                                           .depth = depth,
                                                           .producers = producers});
}

#endif
