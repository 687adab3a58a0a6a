/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver in a call.  It waits in one epoll: for its doorbell (a worker has
 * sealed, the supervisor has finished or given something up), for the
 * supervisor's death, for the alarm of deadline and progress, and for what
 * the host wants watched.
 */
#include "pool/call.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "platform/available.h"
#include "platform/clock.h"
#include "platform/event.h"
#include "platform/kill_point.h"
#include "platform/process.h"
#include "pool/coverage.h"
#include "pool/pool_tags.h"
#include "pool/question.h"

/* With less for each worker, work would be all spilling. */
#define MEMORY_BYTES_MIN (UINT64_C(256) << 10)

uint64_t ff_call_clock_ns(const forkfold_pool *pool)
{
    return ff_clock_ns() - ff_peer_get(&pool->layout.control->paused_ns);
}

bool ff_pool_is_here(const forkfold_pool *pool)
{
    return ff_here_is(pool->here) || pool->owner == getpid();
}

int ff_call_check_process(forkfold_pool *pool)
{
    pool->error.code = 0;
    pool->error.message[0] = '\0';
    if (ff_pool_is_here(pool))
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_FORKED,
                        "the pool was opened by process %d and cannot be used in process %d; "
                        "open a pool of your own after the fork",
                        (int)pool->owner, (int)getpid());
}

int ff_call_check_alive(forkfold_pool *pool)
{
    int code = ff_call_check_process(pool);

    if (code == 0 && pool->lost)
        code = ff_error_set(&pool->error, FORKFOLD_E_SUPERVISOR,
                            "the pool's supervisor has died; close the pool and open another");
    return code;
}

int ff_call_check(forkfold_pool *pool)
{
    int code = ff_call_check_alive(pool);

    if (code < 0)
        return code;
    if (pool->has_result)
        return ff_error_set(&pool->error, FORKFOLD_E_BUSY,
                            "the pool still has an open result; close that first");
    return 0;
}

uint64_t ff_call_memory(const forkfold_pool *pool)
{
    uint64_t wish = pool->memory_bytes > 0 ? pool->memory_bytes : ff_available_memory() / 4;
    /* The region has taken a quarter of a worker's limit (map.c); its code and stack need some. */
    uint64_t limit = ff_process_memory_limit() / 4;
    uint64_t least = MEMORY_BYTES_MIN * pool->layout.workers;

    if (limit < wish / pool->layout.workers)
        wish = limit * pool->layout.workers;
    return wish > least ? wish : least;
}

static void arm_alarm(const forkfold_pool *pool)
{
    uint64_t paused = ff_peer_get(&pool->layout.control->paused_ns);
    uint64_t next = pool->deadline_ns;

    if (pool->tick_ns != 0 && (next == 0 || pool->next_tick_ns < next))
        next = pool->next_tick_ns;
    ff_alarm_set(pool->alarm, next == 0 ? 0 : next + paused);
}

/* The call has ended: it has no deadline and no progress any more, and what they need may be gone. */
static void forget_times(forkfold_pool *pool)
{
    pool->deadline_ns = 0;
    pool->tick_ns = 0;
    ff_alarm_set(pool->alarm, 0);
}

/* ---- Tasks --------------------------------------------------------------- */

/* Housekeeping takes long when partials are large, and no item is blamed for it. */
static uint64_t housekeeping_limit(const struct ff_call_options *options)
{
    if (options->housekeeping_ns != 0 || options->timeout_ns == 0)
        return options->housekeeping_ns;
    return options->timeout_ns + FF_HOUSEKEEPING_NS;
}

void ff_call_begin(forkfold_pool *pool, const struct ff_call_options *options)
{
    struct ff_control_shared *control = pool->layout.control;
    struct ff_supervisor_shared *supervisor = pool->layout.supervisor;

    /*
     * No call is in progress, so no worker and no supervisor reads or writes
     * what is set here, the supervisor's words of the last call included.
     */
    for (unsigned i = 0; i < FF_BOARD_COUNT; i++)
        ff_board_reset(&pool->layout.boards[i]);
    ff_own_set(&supervisor->deaths, 0);
    ff_own_set(&supervisor->retries, 0);
    ff_own_set(&supervisor->quarantined, 0);
    ff_own_set(&supervisor->cpu_ns, 0);
    ff_own_set(&control->shortest_ns, 0);
    control->call = (struct ff_call){.job = options->job,
                                     .context = options->context,
                                     .timeout_ns = options->timeout_ns,
                                     .housekeeping_ns = housekeeping_limit(options),
                                     .started_ns = ff_clock_ns(),
                                     .attempts = options->attempts,
                                     .max_deaths = options->max_deaths,
                                     .seal_on_failure = options->seal_on_failure,
                                     .keeps_output = options->keeps_output,
                                     .measure = options->measure};
    if (options->measure)
        pool->cpu_begin_ns = ff_process_cpu_ns(0);
    pool->deadline_ns = options->deadline_at_ns;
    pool->tick_ns = options->tick_ns;
    pool->next_tick_ns = ff_call_clock_ns(pool) + options->tick_ns;
    pool->on_tick = options->on_tick;
    pool->tick_context = options->tick_context;
    FF_KILL_POINT("driver.call.begin");
    /* Partner: serve() in worker.c and look_at_control() in supervisor.c. */
    ff_publish(&control->sequence, ++pool->sequence);
    FF_KILL_POINT("driver.call.published");
    ff_doorbell_ring(pool->layout.supervisor_bell);
    arm_alarm(pool);
}

int ff_call_post(forkfold_pool *pool, struct ff_task items, uint64_t chunk)
{
    FF_KILL_POINT("driver.post");
    if (!ff_board_post(&pool->layout.boards[FF_MAIN], items, chunk))
        return ff_error_set(
            &pool->error, FORKFOLD_E_LIMIT,
            "too many runs of tasks for the region (%zu); raise the limit of address "
            "space (ulimit -v)",
            pool->layout.boards[FF_MAIN].capacity);
    ff_layout_wake_workers(&pool->layout, (items.count - 1) / chunk + 1);
    FF_KILL_POINT("driver.posted");
    return 0;
}

void ff_call_close(forkfold_pool *pool)
{
    FF_KILL_POINT("driver.close.begin");
    ff_board_close(&pool->layout.boards[FF_MAIN]);
    ff_layout_wake_workers(&pool->layout, UINT64_MAX);
    /* With nothing posted no worker may ever join: the supervisor must see the end itself. */
    ff_doorbell_ring(pool->layout.supervisor_bell);
    FF_KILL_POINT("driver.close.done");
}

/* ---- Waiting ------------------------------------------------------------- */

static bool has_finished(const forkfold_pool *pool)
{
    /* Partner: finish() in supervisor.c. */
    return ff_observe(&pool->layout.supervisor->finished) == pool->sequence;
}

static int lose_supervisor(forkfold_pool *pool)
{
    pool->lost = true;
    return ff_error_set(&pool->error, FORKFOLD_E_SUPERVISOR,
                        "the supervisor process (%d) died, and its workers with it; there is no "
                        "result, run it again",
                        (int)pool->supervisor);
}

/* An answer takes no longer than opening a file, unless somebody has stopped the supervisor. */
static bool supervisor_is_there(forkfold_pool *pool)
{
    if (pool->lost || !ff_pool_is_here(pool))
        return false;
    if (!ff_wait_readable(pool->supervisor_pidfd, 0))
        return true;
    lose_supervisor(pool);
    return false;
}

int ff_call_open_spill(forkfold_pool *pool, unsigned slot)
{
    char message[FF_MESSAGE_BYTES];

    FF_KILL_POINT("driver.spill.ask");
    int fd = supervisor_is_there(pool) ? ff_spill_open(&pool->spill, &pool->asker, slot) : -1;

    if (fd >= 0)
        return fd;
    if (pool->lost || errno == EPIPE)
        return lose_supervisor(pool);
    ff_spill_explain(&pool->layout, "read", errno, message, sizeof(message));
    return ff_error_set(&pool->error, FORKFOLD_E_SPILL, "%s", message);
}

void ff_call_empty_spill(forkfold_pool *pool)
{
    if (!ff_pool_is_here(pool) || ff_peer_get(&pool->layout.supervisor->has_spilled) == 0 ||
        !supervisor_is_there(pool))
        return;
    if (ff_spill_empty(&pool->asker) == 0)
        ff_own_set(&pool->layout.supervisor->has_spilled, 0);
}

static int on_alarm(forkfold_pool *pool)
{
    uint64_t now = ff_call_clock_ns(pool);

    ff_alarm_clear(pool->alarm);
    if (pool->deadline_ns != 0 && now >= pool->deadline_ns)
        return ff_error_set(&pool->error, FORKFOLD_E_DEADLINE,
                            "the deadline passed before everything was counted");
    if (pool->tick_ns != 0 && now >= pool->next_tick_ns) {
        pool->on_tick(pool->tick_context);
        pool->next_tick_ns = now + pool->tick_ns;
    }
    arm_alarm(pool);
    return 0;
}

static int on_watch(forkfold_pool *pool, unsigned index)
{
    struct ff_watch *watch = &pool->watches[index];

    if (watch->callback(watch->fd, watch->context) == 0)
        return 0;
    return ff_error_set(&pool->error, FORKFOLD_E_CANCELLED, "the call was cancelled");
}

static int handle(forkfold_pool *pool, uint64_t tag)
{
    switch (tag) {
    case FF_TAG_BELL:
        ff_doorbell_clear(pool->layout.driver_bell);
        return 0;
    case FF_TAG_SUPERVISOR:
        return lose_supervisor(pool);
    case FF_TAG_ALARM:
        return on_alarm(pool);
    default:
        return on_watch(pool, (unsigned)(tag - FF_TAG_WATCH));
    }
}

static int outcome(forkfold_pool *pool)
{
    const struct ff_supervisor_shared *supervisor = pool->layout.supervisor;

    forget_times(pool);
    if (supervisor->outcome == 0)
        return 1;
    return ff_error_set(&pool->error, supervisor->outcome, "%.*s",
                        (int)sizeof(supervisor->message) - 1, supervisor->message);
}

int ff_call_handle(forkfold_pool *pool, bool block)
{
    enum { ROUND = 16 };
    uint64_t tags[ROUND];
    int count = ff_epoll_wait(pool->epoll, tags, ROUND, block ? -1 : 0);
    int code = 0;

    FF_KILL_POINT("driver.step");
    for (int i = 0; i < count && code == 0; i++)
        code = handle(pool, tags[i]);
    return code;
}

int ff_call_step(forkfold_pool *pool, bool block)
{
    int code = ff_call_handle(pool, block);

    if (code == 0 && has_finished(pool))
        return outcome(pool);
    return code;
}

/* Waits for one event of those that can still end an aborted call. */
static void await_end(forkfold_pool *pool, uint64_t until_ns)
{
    uint64_t tags[1];

    /* The epoll is itself a descriptor that is readable when it has an event. */
    if (!ff_wait_readable(pool->epoll, until_ns)) {
        ff_pidfd_kill(pool->supervisor_pidfd); /* its death is the next event */
        (void)ff_wait_readable(pool->supervisor_pidfd, UINT64_MAX);
    }
    if (ff_epoll_wait(pool->epoll, tags, 1, 0) == 0)
        return;
    if (tags[0] == FF_TAG_SUPERVISOR)
        lose_supervisor(pool);
    else
        ff_doorbell_clear(pool->layout.driver_bell);
}

void ff_call_abort(forkfold_pool *pool)
{
    uint64_t until_ns = ff_clock_ns() + FF_ANSWER_PATIENCE_MS * FF_NS_PER_MS;

    forget_times(pool);
    if (pool->lost)
        return;
    ff_publish(&pool->layout.control->cancelled, pool->sequence);
    FF_KILL_POINT("driver.abort");
    ff_doorbell_ring(pool->layout.supervisor_bell);
    for (unsigned i = 0; i < pool->watch_count; i++)
        ff_epoll_remove(pool->epoll, pool->watches[i].fd);
    while (!has_finished(pool) && !pool->lost)
        await_end(pool, until_ns);
    for (unsigned i = 0; i < pool->watch_count; i++)
        (void)ff_epoll_add(pool->epoll, pool->watches[i].fd, FF_TAG_WATCH + i);
}

/* ---- Reading the results -------------------------------------------------- */

int ff_call_verify(forkfold_pool *pool)
{
    struct ff_coverage coverage;
    int code = ff_coverage_open(&coverage, &pool->layout, pool->sequence);

    if (code < 0)
        return ff_error_set(&pool->error, code, "no memory to check %s", "what was covered");
    if (coverage.damaged || coverage.doubled != 0 || coverage.counted != coverage.items)
        code =
            ff_error_set(&pool->error, FORKFOLD_E_DAMAGED,
                         "the workers' partials are damaged (%llu of %llu items covered, %llu "
                         "twice); a worker wrote where it should not; there is no result",
                         (unsigned long long)coverage.counted, (unsigned long long)coverage.items,
                         (unsigned long long)coverage.doubled);
    ff_coverage_close(&coverage);
    return code;
}

const struct ff_seal *ff_call_seal(const forkfold_pool *pool, unsigned slot)
{
    const struct ff_segment_areas *areas = &pool->layout.segments[slot];

    /* A worker too late for the call may be emptying its segment: `call` is the last that it sets. */
    if (ff_observe(&areas->head->call) != pool->sequence)
        return NULL;
    uint64_t sealed = ff_observe(&areas->head->sealed);
    struct ff_area buffer = areas->buffers[pool->sequence & 1][ff_sealed_buffer(sealed)];
    const struct ff_seal *seal = (const struct ff_seal *)buffer.base;

    return sealed != 0 && seal->call == pool->sequence ? seal : NULL;
}

struct ff_call_counts ff_call_counts(const forkfold_pool *pool)
{
    const struct ff_supervisor_shared *supervisor = pool->layout.supervisor;
    struct ff_call_counts counts = {.retries = ff_peer_get(&supervisor->retries),
                                    .deaths = ff_peer_get(&supervisor->deaths),
                                    .failed = ff_peer_get(&supervisor->quarantined)};

    for (unsigned i = 0; i < pool->layout.workers; i++) {
        const struct ff_segment *segment = pool->layout.segments[i].head;

        if (ff_observe(&segment->call) != pool->sequence)
            continue;
        counts.items_done += ff_peer_get(&segment->items_done);
        counts.bytes_done += ff_peer_get(&segment->bytes_done);
        counts.failed += ff_peer_get(&segment->items_failed);
    }
    return counts;
}

/* What a slot's processes used in this call. */
static void add_slot(const struct ff_segment *segment, forkfold_stats *stats, uint64_t *bytes)
{
    const struct ff_worker_stats *worker = &segment->stats;

    stats->busy_ns += ff_peer_get(&worker->busy_ns);
    if (ff_peer_get(&worker->timed_claims) > 0)
        stats->claim_ns += ff_peer_get(&worker->claim_ns) * ff_peer_get(&worker->tasks) /
                           ff_peer_get(&worker->timed_claims);
    stats->seal_ns += ff_peer_get(&worker->seal_ns);
    stats->tasks += ff_peer_get(&worker->tasks);
    stats->seals += ff_peer_get(&worker->seals);
    stats->items += ff_peer_get(&segment->items_done);
    *bytes += ff_peer_get(&worker->private_peak_bytes) + ff_peer_get(&worker->shared_bytes);
}

void ff_call_add_stats(const forkfold_pool *pool, forkfold_stats *stats)
{
    const struct ff_call *call = &pool->layout.control->call;
    uint64_t wall_ns = ff_clock_ns() - call->started_ns;
    uint64_t all_ns;
    uint64_t bytes = 0;

    stats->workers = pool->layout.workers;
    stats->wall_ns += wall_ns;
    stats->retries += ff_peer_get(&pool->layout.supervisor->retries);
    stats->deaths += ff_peer_get(&pool->layout.supervisor->deaths);
    for (unsigned slot = 0; slot < pool->layout.workers; slot++) {
        const struct ff_segment *segment = pool->layout.segments[slot].head;

        if (ff_observe(&segment->call) == pool->sequence)
            add_slot(segment, stats, &bytes);
    }
    all_ns = stats->wall_ns * stats->workers;
    stats->wait_ns = all_ns > stats->busy_ns ? all_ns - stats->busy_ns : 0;
    if (!call->measure)
        return;
    stats->cpu_ns +=
        ff_process_cpu_ns(0) - pool->cpu_begin_ns + ff_peer_get(&pool->layout.supervisor->cpu_ns);
    struct ff_memory_use own = ff_process_memory();

    bytes += own.private_peak_bytes + own.shared_bytes;
    if (bytes > stats->peak_bytes)
        stats->peak_bytes = bytes;
}
