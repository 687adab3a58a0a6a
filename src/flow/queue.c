/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues: rings (memory/ring.h) with batches behind their cells, and waiting.
 *
 * Waiting in a worker.  Who finds nothing looks again for a while; then it takes a snapshot of the
 * ring's word, announces that it sleeps, looks once more, and sleeps until the word differs.  Who has
 * put or made room looks, after that, for such an announcement, withdraws it, bumps the word, and
 * wakes all: those who find nothing announce themselves again.
 *
 * Waiting in the driver is that of calls (pool/items.c), with an announcement of its own, by which
 * its doorbell is rung.
 */
#include <string.h>

#include <forkfold/error.h>
#include <forkfold/queue.h>

#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/kill_point.h"
#include "pool/call.h"
#include "pool/handles.h"

/*
 * How deep a queue is by itself: so that what a sleeper finds when it wakes is worth the waking,
 * which takes as long as hundreds of small batches do, and within a megabyte or so.
 */
enum { DEPTH_MOST = 1024, DEPTH_LEAST = 16, DEPTH_BYTES = 1 << 20 };

/*
 * Looks before a worker sleeps: being woken takes longer than most batches do.  The pause before each
 * is twice as long as the last, for a look takes from the other side the lines that it works on.
 */
enum { LOOKS_BEFORE_SLEEP = 6 };

/* Who calls: a worker of the queue's pool, or its driver. */
struct caller {
    struct ff_worker *worker; /* NULL: the driver */
    unsigned holder;
    struct ff_queue_holds *holds;
};

/* ---- Opening and closing ------------------------------------------------- */

static uint64_t producers_of(unsigned producers)
{
    return producers < FORKFOLD_PRODUCERS_MAX ? (UINT64_C(1) << producers) - 1 : UINT64_MAX;
}

static int check_open(forkfold_pool *pool, const forkfold_queue_options *options)
{
    int code = ff_call_check_process(pool);

    if (code < 0)
        return code;
    if (options == NULL || (options->size != 0 && options->size != sizeof(*options)))
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a queue needs options of this version of the library");
    if (options->item_bytes == 0)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "items of a queue have a byte at least");
    if (options->producers > FORKFOLD_PRODUCERS_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_INVALID,
                            "a queue waits for the ends of %d producers at most, not %u",
                            FORKFOLD_PRODUCERS_MAX, options->producers);
    if (options->depth > ff_queues_cells(&pool->layout))
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "a queue of this pool holds %llu batches at most, not %llu",
                            (unsigned long long)ff_queues_cells(&pool->layout),
                            (unsigned long long)options->depth);
    return 0;
}

/* The first number that no open queue has, or FORKFOLD_QUEUES_MAX. */
static unsigned find_place(const forkfold_pool *pool)
{
    unsigned number = 0;

    while (number < FORKFOLD_QUEUES_MAX && pool->layout.handles->queues.queues[number].is_open)
        number++;
    return number;
}

static unsigned log2_of(uint64_t depth)
{
    unsigned shift = 0;

    while ((UINT64_C(1) << shift) < depth)
        shift++;
    return shift;
}

static uint64_t items_of_batch(const forkfold_queue_options *options)
{
    return options->batch_items > 0 ? options->batch_items : 1;
}

/*
 * Memory for the batches, a cache line apart: producers write them at the same time.  The smallest
 * lie in their cells, so that one line goes from a producer to a consumer and not two.
 */
static bool take_memory(forkfold_pool *pool, const forkfold_queue_options *options, unsigned shift,
                        forkfold_queue *queue)
{
    struct ff_ring_cell *cells = queue->ring->cells;
    size_t bytes;

    if (__builtin_mul_overflow(options->item_bytes, items_of_batch(options), &bytes) ||
        bytes > (SIZE_MAX >> 1 >> shift) - 63)
        return false;
    if (bytes <= sizeof(cells->inside)) {
        queue->is_inside = true;
        queue->batches = (char *)&cells->inside;
        queue->batch_bytes = sizeof(*cells);
        return true;
    }
    queue->batch_bytes = (bytes + 63) & ~(size_t)63;
    queue->batches = ff_arena_take(&pool->items.results, queue->batch_bytes << shift);
    return queue->batches != NULL;
}

static uint64_t default_depth(const forkfold_pool *pool, const forkfold_queue_options *options)
{
    uint64_t cells = ff_queues_cells(&pool->layout);
    uint64_t bytes;
    uint64_t depth = DEPTH_MOST;

    if (__builtin_mul_overflow(options->item_bytes, items_of_batch(options), &bytes))
        return 1;
    while (depth > DEPTH_LEAST && bytes > DEPTH_BYTES / depth)
        depth /= 2;
    return depth < cells ? depth : cells;
}

static int open_at(forkfold_pool *pool, const forkfold_queue_options *options, unsigned number)
{
    struct ff_queues_shared *queues = &pool->layout.handles->queues;
    forkfold_queue *queue = &queues->queues[number];
    struct ff_ring *ring = &queues->rings[number];
    unsigned shift = log2_of(options->depth > 0 ? options->depth : default_depth(pool, options));

    *queue = (forkfold_queue){.pool = pool,
                              .layout = &pool->layout,
                              .ring = ring,
                              .serial = queue->serial + 1,
                              .item_bytes = options->item_bytes};
    /* One by one: the supervisor may be looking at what it was before, for some idle worker. */
    ring->words = ff_queues_words(&pool->layout, number);
    ring->cells = ff_queues_ring_cells(&pool->layout, number);
    if (!take_memory(pool, options, shift, queue))
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT,
                            "the region has no room for the batches of a queue; make it less deep "
                            "or raise the limit of address space (ulimit -v)");
    ring->shift = shift;
    ring->number = number;
    ring->batch_items = items_of_batch(options);
    ring->all_producers = producers_of(options->producers > 0 ? options->producers : 1);
    ff_ring_reset(ring);
    queue->is_open = true;
    if (ff_peer_get(&queues->opened) <= number)
        ff_publish(&queues->opened, number + 1);
    return 0;
}

int forkfold_queue_open(forkfold_pool *pool, const forkfold_queue_options *options,
                        forkfold_queue **result)
{
    int code = check_open(pool, options);
    unsigned number;

    if (code < 0)
        return code;
    number = find_place(pool);
    if (number == FORKFOLD_QUEUES_MAX)
        return ff_error_set(&pool->error, FORKFOLD_E_LIMIT, "a pool has %d queues at most",
                            FORKFOLD_QUEUES_MAX);
    code = ff_handles_unlock(pool);
    if (code < 0)
        return code;
    code = open_at(pool, options, number);
    ff_handles_lock(&pool->layout);
    if (code == 0)
        *result = &pool->layout.handles->queues.queues[number];
    return code;
}

static void forget_hold(forkfold_pool *pool, const forkfold_queue *queue)
{
    struct ff_queue_hold *hold = &pool->queue_holds.queues[queue->ring->number];

    if (hold->is_held)
        pool->queue_holds.count--;
    hold->is_held = false;
}

void forkfold_queue_close(forkfold_queue *queue)
{
    forkfold_pool *pool;

    if (queue == NULL)
        return;
    pool = queue->pool;
    /* In a forked child there is nothing of it.  The pool's message may still be wanted. */
    if (!ff_pool_is_here(pool))
        return;
    /* A worker that is being ended might still write to it. */
    ff_items_drain(pool);
    /* Or it stays as it is until the pool is closed. */
    if (ff_handles_unlock(pool) < 0)
        return;
    queue->is_open = false;
    ff_handles_lock(&pool->layout);
    forget_hold(pool, queue);
    if (!queue->is_inside)
        ff_arena_give(&pool->items.results, queue->batches,
                      queue->batch_bytes << queue->ring->shift);
}

/* ---- Who calls ----------------------------------------------------------- */

/* In a worker the code has to do. */
static int refuse(const struct caller *caller, const forkfold_queue *queue, int code,
                  const char *why)
{
    return caller->worker != NULL ? code : ff_error_set(&queue->pool->error, code, "%s", why);
}

static int refuse_closed(const struct caller *caller, const forkfold_queue *queue)
{
    return refuse(caller, queue, FORKFOLD_E_INVALID, "the queue has been closed");
}

static int find_caller(const forkfold_queue *queue, struct caller *caller)
{
    struct ff_worker *worker = ff_worker_here();

    if (worker != NULL && ff_handles_hold(ff_worker_layout(worker), queue)) {
        *caller = (struct caller){.worker = worker,
                                  .holder = ff_worker_slot(worker),
                                  .holds = ff_worker_queue_holds(worker)};
    } else {
        int code = ff_handles_of_others_are_here() ? ff_call_check(queue->pool) : FORKFOLD_E_FORKED;

        if (code < 0)
            return code;
        *caller = (struct caller){.holder = queue->pool->layout.workers,
                                  .holds = &queue->pool->queue_holds};
    }
    return queue->is_open ? 0 : refuse_closed(caller, queue);
}

static struct ff_queue_hold *hold_of(const struct caller *caller, const forkfold_queue *queue)
{
    return &caller->holds->queues[queue->ring->number];
}

/* What the host watches may close a queue while the host waits, and open another in its place. */
static bool is_still(const forkfold_queue *queue, uint64_t serial)
{
    return queue->is_open && queue->serial == serial;
}

/* ---- Waiting ------------------------------------------------------------- */

/*
 * When a cell is free, and perhaps a batch was taken since, which is a fence on some processors.
 * Takers that find an end wait until all is acknowledged.
 */
static void wake_all(const forkfold_queue *queue, bool has_taken)
{
    if (has_taken)
        ff_settle_swapped();
    else
        ff_settle();
    ff_queue_tell_putters(queue);
    if (ff_ring_has_ended(queue->ring))
        ff_queue_tell_takers(queue);
}

/* Looking for a cell, to take or to write. */
struct attempt {
    const struct caller *caller;
    const forkfold_queue *queue;
    uint64_t serial; /* of the queue */
    bool takes;
    enum ff_ring_answer answer;  /* so far */
    struct ff_ring_batch *batch; /* to be found; of one that puts, the position alone */
};

/* Once it has come to something it stays so. */
static bool succeeds(void *what)
{
    struct attempt *attempt = what;
    const struct ff_ring *ring = attempt->queue->ring;
    unsigned holder = attempt->caller->holder;

    if (!is_still(attempt->queue, attempt->serial))
        return true;
    if (attempt->answer == FF_RING_NONE)
        attempt->answer = attempt->takes ? ff_ring_take(ring, holder, attempt->batch)
                                         : ff_ring_claim(ring, holder, &attempt->batch->position);
    return attempt->answer != FF_RING_NONE;
}

static ff_word64 *sleepers_of(const struct attempt *attempt)
{
    struct ff_ring_words *words = attempt->queue->ring->words;

    return attempt->takes ? &words->takers_sleep : &words->putters_sleep;
}

/* Before the last look: whoever commits a batch, or frees a cell, looks at this next. */
static void announce_sleep(const struct attempt *attempt, enum ff_ring_sleeper who)
{
    ff_set_bits(sleepers_of(attempt), who);
    ff_settle();
}

static void wait_in_worker(struct attempt *attempt, uint64_t until_ns)
{
    struct ff_ring_words *words = attempt->queue->ring->words;
    ff_word32 *word = attempt->takes ? &words->filled : &words->emptied;

    for (unsigned i = 0; i < LOOKS_BEFORE_SLEEP; i++) {
        for (unsigned k = 0; k < 1U << i; k++)
            ff_pause();
        if (succeeds(attempt))
            return;
    }
    for (;;) {
        uint32_t snapshot = ff_snapshot32(word);

        announce_sleep(attempt, FF_RING_WORKERS);
        FF_KILL_POINT("queue.sleep");
        if (succeeds(attempt) || ff_clock_ns() >= until_ns)
            return;
        ff_futex_wait(word, snapshot, until_ns);
        if (succeeds(attempt))
            return;
    }
}

/* 0, also when there is still nothing; or what ended the calls; or FORKFOLD_E_STALLED. */
static int wait_in_driver(forkfold_pool *pool, struct attempt *attempt, uint64_t until_ns)
{
    ff_items_look(pool);
    while (!succeeds(attempt)) {
        if (!ff_items_are_running(pool))
            return pool->error.code != 0
                       ? pool->error.code
                       : ff_error_set(&pool->error, FORKFOLD_E_STALLED,
                                      "%s, and no call is in progress that could change it",
                                      attempt->takes ? "the queue is empty and has not ended"
                                                     : "the queue is full");
        if (ff_clock_ns() >= until_ns)
            return 0;
        announce_sleep(attempt, FF_RING_DRIVER);
        ff_items_sleep(pool, succeeds, attempt, until_ns);
    }
    return 0;
}

/* A host with a loop of its own goes back to that: its descriptor tells it when to look again. */
static void ask_for_bell(struct attempt *attempt)
{
    announce_sleep(attempt, FF_RING_DRIVER);
    (void)succeeds(attempt);
}

/* What is to be done after a first look that has not found a cell: 0 with one, or a code. */
static int look_further(struct attempt *attempt, uint64_t timeout_ns)
{
    const struct caller *caller = attempt->caller;
    const forkfold_queue *queue = attempt->queue;
    uint64_t now;
    int code = 0;

    if (attempt->answer == FF_RING_NONE && timeout_ns > 0) {
        now = ff_clock_ns();

        uint64_t until_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;

        if (caller->worker != NULL)
            wait_in_worker(attempt, until_ns);
        else
            code = wait_in_driver(queue->pool, attempt, until_ns);
    }
    if (!is_still(queue, attempt->serial))
        return refuse_closed(caller, queue);
    if (attempt->answer == FF_RING_NONE && caller->worker == NULL &&
        queue->pool->items.has_event_loop)
        ask_for_bell(attempt);
    switch (attempt->answer) {
    case FF_RING_OK:
        return 0;
    case FF_RING_NONE:
        return code < 0 ? code : FORKFOLD_E_PENDING;
    case FF_RING_ENDED:
        /* A producer may have had a cell for a moment, and takers have waited for what it writes. */
        if (!attempt->takes)
            ff_queue_wake_takers(queue);
        return FORKFOLD_E_ENDED;
    case FF_RING_DAMAGED:
        break;
    }
    ff_queue_wake_takers(queue);
    ff_queue_wake_putters(queue);
    return refuse(caller, queue, FORKFOLD_E_DAMAGED, "a worker damaged the queue");
}

/* ---- Putting ------------------------------------------------------------- */

static char *batch_at(const forkfold_queue *queue, uint64_t position)
{
    uint64_t cell = position & ((UINT64_C(1) << queue->ring->shift) - 1);

    return queue->batches + cell * queue->batch_bytes;
}

static int check_put(const struct caller *caller, const forkfold_queue *queue, const void *items,
                     uint64_t count)
{
    if (items == NULL || count == 0)
        return refuse(caller, queue, FORKFOLD_E_INVALID, "a batch needs an item at least");
    if (count > queue->ring->batch_items)
        return refuse(caller, queue, FORKFOLD_E_INVALID,
                      "the batch has more items than batches of this queue may have");
    return 0;
}

/* After a first look that has found no room. */
static int wait_for_room(const struct caller *caller, const forkfold_queue *queue,
                         enum ff_ring_answer answer, uint64_t timeout_ns, uint64_t *position)
{
    struct ff_ring_batch cell = {0};
    struct attempt attempt = {.caller = caller,
                              .queue = queue,
                              .serial = queue->serial,
                              .answer = answer,
                              .batch = &cell};
    int code = look_further(&attempt, timeout_ns);

    if (code == FORKFOLD_E_ENDED)
        return refuse(caller, queue, code, "the queue has ended: nothing more can be put");
    if (code == 0)
        *position = cell.position;
    return code;
}

/* A cell with the items in it, not committed yet. */
static int write_batch(const struct caller *caller, const forkfold_queue *queue, const void *items,
                       uint64_t count, uint64_t timeout_ns, uint64_t *position)
{
    enum ff_ring_answer answer;
    int code = check_put(caller, queue, items, count);

    if (code < 0)
        return code;
    answer = ff_ring_claim(queue->ring, caller->holder, position);
    if (answer != FF_RING_OK)
        code = wait_for_room(caller, queue, answer, timeout_ns, position);
    if (code == 0)
        memcpy(batch_at(queue, *position), items, count * queue->item_bytes);
    return code;
}

int forkfold_queue_put(forkfold_queue *queue, const void *items, uint64_t count,
                       uint64_t timeout_ns)
{
    struct caller caller;
    uint64_t position = 0;
    int code = find_caller(queue, &caller);

    if (code == 0)
        code = write_batch(&caller, queue, items, count, timeout_ns, &position);
    if (code < 0)
        return code;
    ff_ring_commit(queue->ring, position, count);
    ff_queue_tell_takers(queue);
    return 0;
}

int forkfold_queue_end(forkfold_queue *queue, unsigned producer)
{
    struct caller caller;
    int code = find_caller(queue, &caller);

    if (code == 0 &&
        (producer >= FORKFOLD_PRODUCERS_MAX || (queue->ring->all_producers >> producer & 1) == 0))
        code = refuse(&caller, queue, FORKFOLD_E_INVALID, "the queue has no such producer");
    if (code < 0)
        return code;
    ff_ring_end(queue->ring, producer);
    ff_queue_wake_takers(queue);
    ff_queue_wake_putters(queue);
    return 0;
}

/* ---- Taking -------------------------------------------------------------- */

/* What the caller got last counts as done.  Whether that was all of it: who waits is to be woken. */
static bool acknowledge(const struct caller *caller, const forkfold_queue *queue,
                        struct ff_queue_hold *hold)
{
    hold->batch.done += hold->given;
    hold->given = 0;
    hold->is_held = hold->batch.done < hold->batch.count;
    if (!hold->is_held)
        caller->holds->count--;
    ff_ring_acknowledge(queue->ring, &hold->batch);
    return !hold->is_held;
}

/* After a first look that has found nothing. */
static int wait_and_take(const struct caller *caller, const forkfold_queue *queue,
                         enum ff_ring_answer answer, uint64_t timeout_ns,
                         struct ff_queue_hold *hold)
{
    /* Not the hold's: what the host watches may take from the queue. */
    struct ff_ring_batch batch = {0};
    struct attempt attempt = {.caller = caller,
                              .queue = queue,
                              .serial = queue->serial,
                              .takes = true,
                              .answer = answer,
                              .batch = &batch};
    int code = look_further(&attempt, timeout_ns);

    if (code == 0)
        hold->batch = batch;
    return code;
}

/* A batch to hold, perhaps in place of one that the caller has just released. */
static int take(const struct caller *caller, const forkfold_queue *queue, bool has_released,
                uint64_t timeout_ns, struct ff_queue_hold *hold)
{
    enum ff_ring_answer answer = ff_ring_take(queue->ring, caller->holder, &hold->batch);
    int code = 0;

    if (has_released)
        wake_all(queue, answer == FF_RING_OK);
    if (answer != FF_RING_OK)
        code = wait_and_take(caller, queue, answer, timeout_ns, hold);
    if (code < 0)
        return code;
    hold->is_held = true;
    hold->given = 0;
    caller->holds->count++;
    return 0;
}

int forkfold_queue_get(forkfold_queue *queue, uint64_t most, forkfold_batch *batch,
                       uint64_t timeout_ns)
{
    struct caller caller;
    struct ff_queue_hold *hold;
    bool has_released = false;
    int code = find_caller(queue, &caller);

    if (code < 0)
        return code;
    if (batch == NULL)
        return refuse(&caller, queue, FORKFOLD_E_INVALID, "a batch needs a place to go");
    hold = hold_of(&caller, queue);
    if (hold->is_held)
        has_released = acknowledge(&caller, queue, hold);
    if (!hold->is_held)
        code = take(&caller, queue, has_released, timeout_ns, hold);
    if (code < 0)
        return code == FORKFOLD_E_ENDED ? 0 : code;
    hold->given = hold->batch.count - hold->batch.done;
    if (most > 0 && hold->given > most)
        hold->given = most;
    *batch = (forkfold_batch){
        .items = batch_at(queue, hold->batch.position) + hold->batch.done * queue->item_bytes,
        .count = hold->given,
        .returns = ff_peer_get(&ff_ring_cell(queue->ring, hold->batch.position)->returns)};
    return 1;
}

/* What the caller holds: with at least so many items that were given to it. */
static int find_hold(const forkfold_queue *queue, uint64_t given, struct caller *caller,
                     struct ff_queue_hold **hold)
{
    int code = find_caller(queue, caller);

    if (code < 0)
        return code;
    *hold = hold_of(caller, queue);
    return (*hold)->is_held && (*hold)->given >= given
               ? 0
               : refuse(caller, queue, FORKFOLD_E_INVALID,
                        "this process has nothing of the queue that is not acknowledged");
}

int forkfold_queue_acknowledge(forkfold_queue *queue)
{
    struct caller caller;
    struct ff_queue_hold *hold;
    int code = find_hold(queue, 1, &caller, &hold);

    if (code == 0 && acknowledge(&caller, queue, hold))
        wake_all(queue, false);
    return code;
}

int forkfold_queue_give_back(forkfold_queue *queue)
{
    struct caller caller;
    struct ff_queue_hold *hold;
    int code = find_hold(queue, 0, &caller, &hold);

    if (code < 0)
        return code;
    ff_queue_return(queue, caller.holds);
    return 0;
}

int forkfold_queue_pass_on(forkfold_queue *from, forkfold_queue *to, const void *items,
                           uint64_t count, uint64_t timeout_ns)
{
    struct caller caller;
    struct ff_queue_hold *hold;
    struct ff_ring_batch passed;
    uint64_t serial = 0;
    uint64_t target = 0;
    int code = find_hold(from, 1, &caller, &hold);

    if (code == 0)
        serial = from->serial;
    if (code == 0 && (!ff_handles_hold(from->layout, to) || from == to || !to->is_open))
        code = refuse(&caller, from, FORKFOLD_E_INVALID,
                      "a batch is passed on from one open queue of a pool to another one");
    if (code == 0)
        code = write_batch(&caller, to, items, count, timeout_ns, &target);
    if (code < 0)
        return code;
    if (!is_still(from, serial)) {
        ff_ring_abandon(to->ring, target);
        wake_all(to, false);
        return refuse_closed(&caller, from);
    }
    passed = hold->batch;
    passed.done += hold->given;
    ff_ring_pass_on(from->ring, &passed, to->ring, target, count);
    ff_queue_tell_takers(to);
    if (acknowledge(&caller, from, hold))
        wake_all(from, false);
    return 0;
}
