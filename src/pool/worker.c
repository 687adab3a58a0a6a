/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a worker.
 *
 * It sleeps until a call is published that has work and that it may still
 * join, claims one task after the other, runs their items, and seals when a
 * seal is due or nothing is left.  It waits for nobody: when there is nothing
 * to claim it sleeps on the work word, and whoever posts work wakes it.
 *
 * It never ends by itself.  It is killed: by its supervisor, or by the kernel
 * when the supervisor has died.
 */
#include "pool/worker.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <forkfold/error.h>

#include "platform/barrier.h"
#include "platform/clock.h"
#include "platform/event.h"
#include "platform/futex.h"
#include "platform/kill_point.h"
#include "platform/process.h"
#include "pool/crash.h"
#include "pool/seal.h"
#include "pool/worker_state.h"

/* A seal may take this share of the time while nobody dies: one in a hundred. */
#define SEAL_PERIOD_COSTS UINT64_C(100)

/* Reading the clock takes longer than claiming: one claim of so many is timed for all. */
enum { CLAIMS_PER_TIMED = 64 };

/* The longest log of claims whose results have been published. */
enum { CLAIMS_KEPT = 1024 };

/* How often a worker looks how large it has grown, where that matters: it takes some microseconds. */
#define MEMORY_LOOK_NS (UINT64_C(10) * FF_NS_PER_MS)

/*
 * What a seal is taken to cost before one has been measured: so much that the first is due after a
 * second, for what a death throws away before it is a second's work of one worker.
 */
#define SEAL_COST_GUESS_NS (UINT64_C(10) * FF_NS_PER_MS)

/* ---- Ending -------------------------------------------------------------- */

/* The supervisor takes it as a death with a reason; what was not sealed is run again. */
static _Noreturn void give_up(struct ff_worker *worker, int code)
{
    struct ff_crash *crash = &worker->segment->crash;

    if (crash->message[0] == '\0')
        ff_worker_explain(worker, "%s", forkfold_strerror(code));
    crash->signal = 0;
    crash->error = code;
    ff_publish(&crash->written, 1);
    _exit(FF_WORKER_EXIT);
}

/* ---- What the worker is on ----------------------------------------------- */

/* What the items that follow may take; 0 = for ever.  Not while the worker is on one. */
static void set_limit(struct ff_worker *worker, uint64_t limit_ns)
{
    worker->limit_ns = limit_ns;
    ff_own_set(&worker->segment->limit_ns, limit_ns);
}

static void clear_current(struct ff_worker *worker)
{
    ff_keep_order();
    ff_own_set(&worker->segment->current, 0);
}

/* ---- Sealing ------------------------------------------------------------- */

static int keep_failure(struct ff_worker *worker, const struct ff_item_failure *failure)
{
    if (worker->failure_count == worker->failure_capacity) {
        size_t capacity = worker->failure_capacity > 0 ? worker->failure_capacity * 2 : 16;
        void *grown = realloc(worker->failures, capacity * sizeof(*worker->failures));

        if (grown == NULL)
            return FORKFOLD_E_MEMORY;
        worker->failures = grown;
        worker->failure_capacity = capacity;
    }
    worker->failures[worker->failure_count++] = *failure;
    return 0;
}

/*
 * A worker that replaced a dead one starts empty and takes over what its slot
 * had sealed only when it seals itself: a worker that dies before has not
 * paid for it.
 */
static void absorb_base(struct ff_worker *worker)
{
    uint64_t sealed;
    bool damaged;
    const struct ff_seal *base = ff_seal_find(worker->areas, worker->sequence, &sealed, &damaged);

    worker->base_is_absorbed = true;
    if (damaged) {
        ff_worker_explain(worker, "the slot's sealed partial is damaged");
        give_up(worker, FORKFOLD_E_DAMAGED);
    }
    if (base == NULL)
        return;
    for (uint64_t i = 0; i < base->failure_count; i++)
        if (keep_failure(worker, &ff_seal_failures(base)[i]) < 0)
            give_up(worker, FORKFOLD_E_MEMORY);
    int code = worker->call.job->absorb(worker->state, ff_seal_payload(base), base->payload_bytes);

    if (code < 0)
        give_up(worker, code);
}

static uint64_t covered_claims(const struct ff_worker *worker)
{
    return ff_sealed_covered(ff_peer_get(&worker->segment->sealed));
}

static bool has_unsealed(const struct ff_worker *worker)
{
    return covered_claims(worker) < ff_peer_get(&worker->segment->claim_count);
}

/*
 * Two buffers take turns: the one that `sealed` names is never touched, so a
 * death anywhere in here leaves the previous seal as it was.  The one store
 * that commits is the publishing of `sealed` (I2).
 */
static void seal(struct ff_worker *worker)
{
    struct ff_segment *segment = worker->segment;
    uint64_t begin_ns = ff_clock_ns();
    uint64_t claims = ff_peer_get(&segment->claim_count);
    uint64_t previous = ff_peer_get(&segment->sealed);
    unsigned target = previous != 0 ? ff_sealed_buffer(previous) ^ 1 : 0;
    size_t bytes = 0;
    size_t capacity;

    ff_worker_set_current(worker, FF_CURRENT_HOUSEKEEPING);
    FF_KILL_POINT("worker.seal.begin");
    if (!worker->base_is_absorbed)
        absorb_base(worker);

    struct ff_area buffer = worker->areas->buffers[worker->sequence & 1][target];
    void *payload = ff_seal_begin(buffer, worker->failures, worker->failure_count, &capacity);
    int code = payload == NULL ? FORKFOLD_E_LIMIT
                               : worker->call.job->seal(worker->state, payload, capacity, &bytes);

    if (code < 0) {
        if (code == FORKFOLD_E_LIMIT)
            ff_worker_explain(worker,
                              "the partial of a worker does not fit its %zu MiB of the region; "
                              "use fewer workers or raise the limit of address space (ulimit -v)",
                              buffer.bytes >> 20);
        give_up(worker, code);
    }
    FF_KILL_POINT("worker.seal.written");
    ff_seal_end(buffer, worker->sequence, worker->areas->claims, claims, worker->failure_count,
                bytes);
    FF_KILL_POINT("worker.seal.checked");
    /* Partner: ff_seal_find.  Without the release it could see the word and a part of the buffer. */
    ff_publish(&segment->sealed, ff_sealed_encode(claims, target));
    FF_KILL_POINT("worker.seal.published");
    clear_current(worker);
    worker->last_seal_ns = ff_clock_ns();
    worker->seal_cost_ns = worker->last_seal_ns - begin_ns;
    ff_worker_count(&segment->stats.seal_ns, worker->seal_cost_ns);
    ff_worker_count(&segment->stats.seals, 1);
    ff_doorbell_ring(worker->layout->driver_bell);
}

/*
 * How long to work between seals.  While nobody dies: so that sealing takes
 * its small share.  Once workers die, every M ns on average: sqrt(2 c M) balances the
 * cost c of a seal against the work that a death throws away.
 */
static uint64_t seal_period_ns(const struct ff_worker *worker, uint64_t now)
{
    uint64_t deaths = ff_peer_get(&worker->layout->supervisor->deaths);

    if (deaths == 0)
        return SEAL_PERIOD_COSTS * worker->seal_cost_ns;
    double between = (double)(now - worker->call.started_ns) / (double)deaths;

    return (uint64_t)sqrt(2.0 * (double)worker->seal_cost_ns * between);
}

static void seal_if_due(struct ff_worker *worker)
{
    uint64_t now = ff_clock_ns();

    if (now - worker->last_seal_ns >= seal_period_ns(worker, now))
        seal(worker);
}

/* ---- Claiming and running ------------------------------------------------ */

/*
 * A parked worker is not waited for: its call may end, and what it sees on the
 * boards may already be the next one's.  So it says that it is back before it
 * claims, and then looks whether the call is closing; the supervisor stores
 * `closing` and then looks at `parked`.  As in join(), one of them sees the other.
 */
static bool unpark(struct ff_worker *worker)
{
    struct ff_segment *segment = worker->segment;

    if (ff_peer_get(&segment->parked) != worker->sequence)
        return true;
    ff_announce(&segment->parked, 0);
    FF_KILL_POINT("worker.unpark");
    if (ff_recheck(&worker->layout->supervisor->closing) < worker->sequence)
        return true;
    ff_announce(&segment->parked, worker->sequence);
    ff_doorbell_ring(worker->layout->supervisor_bell);
    return false;
}

/* The order of stores and what a death between them means: struct ff_segment. */
static bool claim(struct ff_worker *worker, enum ff_board_id id, uint64_t *logged)
{
    struct ff_segment *segment = worker->segment;
    const struct ff_board *board = &worker->layout->boards[id];
    uint64_t count = ff_peer_get(&segment->claim_count);
    uint64_t number;
    bool taken;

    if (!ff_board_has_work(board) || !unpark(worker))
        return false;
    if (count >= worker->areas->claim_capacity) {
        ff_worker_explain(worker, "a worker claimed %llu tasks, more than its log holds",
                          (unsigned long long)count);
        give_up(worker, FORKFOLD_E_LIMIT);
    }
    FF_KILL_POINT("worker.claim.begin");
    taken = ff_board_claim((struct ff_board *)board, &number);
    FF_KILL_POINT("worker.claim.taken");
    if (taken) {
        *logged = ff_claim_encode(id, number);
        worker->areas->claims[count] = *logged;
        ff_keep_order();
        FF_KILL_POINT("worker.claim.logged");
        ff_publish(&segment->claim_count, count + 1);
        FF_KILL_POINT("worker.claim.counted");
    }
    return taken;
}

static void note_failure(struct ff_worker *worker, uint64_t item, struct ff_item_failure *failure)
{
    failure->item = item;
    if (keep_failure(worker, failure) < 0)
        give_up(worker, FORKFOLD_E_MEMORY);
    ff_worker_count(&worker->segment->items_failed, 1);
}

/* Returns whether what was done should be sealed at once. */
static bool run_item(struct ff_worker *worker, uint64_t item)
{
    struct ff_segment *segment = worker->segment;
    struct ff_item_failure failure = {.byte_offset = -1};
    int status;

    ff_worker_set_current(worker, item + 1);
    FF_KILL_POINT("worker.item.begin");
    status = worker->call.job->run(worker->state, item, &failure);
    FF_KILL_POINT("worker.item.done");
    if (status < 0)
        give_up(worker, status);
    if ((status & FF_ITEM_FAILED) != 0)
        note_failure(worker, item, &failure);
    clear_current(worker);
    ff_worker_count(&segment->items_done, 1);
    return (status & FF_ITEM_SEAL_NOW) != 0 ||
           ((status & FF_ITEM_FAILED) != 0 && worker->call.seal_on_failure);
}

/*
 * Where results are published one by one, whatever is in the log is done: it need not grow.  A
 * death in here finds the log with or without them, which is the same.
 */
static void forget_claims(struct ff_worker *worker)
{
    if (ff_peer_get(&worker->segment->claim_count) >= CLAIMS_KEPT)
        ff_publish(&worker->segment->claim_count, 0);
}

/* A task of a job that publishes its results one by one. */
static void run_published(struct ff_worker *worker)
{
    const struct ff_job *job = worker->call.job;
    int code;

    set_limit(worker, job->timeout_ns(worker->task.owner));
    code = job->run_task(worker->state, &worker->task);
    if (code < 0)
        give_up(worker, code);
    clear_current(worker);
    ff_worker_count(&worker->segment->items_done, worker->task.count);
    worker->has_news = true;
    forget_claims(worker);
}

/* A task of a job that seals. */
static void run_sealed(struct ff_worker *worker)
{
    bool seal_now = false;

    for (uint64_t i = 0; i < worker->task.count; i++)
        seal_now |= run_item(worker, worker->task.first + i);
    if (seal_now)
        seal(worker);
    else
        seal_if_due(worker);
}

/* Before anything runs that may need a file which the driver has opened since. */
static void follow_files(struct ff_worker *worker)
{
    const struct ff_files_shared *files = worker->layout->files;
    unsigned failed = 0;

    if (ff_files_are_followed(files, &worker->files) ||
        ff_files_follow(files, &worker->files, &worker->asker, &failed) == 0)
        return;
    ff_worker_explain(worker, "cannot map the file '...%.*s': %s", FF_FILE_NAME_BYTES,
                      files->files[failed].name, strerror(errno));
    give_up(worker, FORKFOLD_E_SYSTEM);
}

static void run_task(struct ff_worker *worker, uint64_t logged)
{
    if (!ff_layout_task(worker->layout, logged, worker->near, &worker->task)) {
        ff_worker_explain(worker, "the log of claims names a task that was never posted");
        give_up(worker, FORKFOLD_E_DAMAGED);
    }
    /* A smeared cursor can hand out a task that is long done and forgotten. */
    if (worker->task.count == 0)
        return;
    follow_files(worker);
    if (worker->call.job->is_done != NULL)
        run_published(worker);
    else
        run_sealed(worker);
    worker->tasks_run++;
}

/* Whether the worker has done its share, or grown too large, and should make room for a fresh one. */
static bool is_worn_out(struct ff_worker *worker)
{
    const struct ff_worker_rules *rules = &worker->layout->rules;
    uint64_t now;

    if (rules->tasks_most != 0 && worker->tasks_run >= rules->tasks_most)
        return true;
    if (rules->recycle_bytes == 0)
        return false;
    now = ff_clock_ns();
    if (now - worker->memory_looked_ns < MEMORY_LOOK_NS)
        return false;
    worker->memory_looked_ns = now;
    return ff_process_private_bytes() > rules->recycle_bytes;
}

/* An orderly end between two tasks: the supervisor puts another in its place. */
static _Noreturn void make_room(struct ff_worker *worker)
{
    if (worker->call.job->is_done == NULL && has_unsealed(worker))
        seal(worker);
    ff_worker_tell_news(worker);
    FF_KILL_POINT("worker.items.retire");
    ff_publish(&worker->segment->retired, 1);
    fflush(NULL);
    _exit(0);
}

/* ---- Calls --------------------------------------------------------------- */

/* The supervisor has logged a claim for this worker before it was born. */
static bool has_assignment(const struct ff_worker *worker)
{
    return ff_peer_get(&worker->segment->call) == worker->sequence && has_unsealed(worker);
}

static bool has_work(const struct ff_worker *worker)
{
    return ff_board_has_work(&worker->layout->boards[FF_RETRY]) ||
           ff_board_has_work(&worker->layout->boards[FF_MAIN]);
}

/* `call` last: a death before it leaves a segment that belongs to no call in progress. */
static void begin_segment(struct ff_segment *segment, uint64_t sequence)
{
    ff_own_set(&segment->call, 0);
    ff_keep_order();
    ff_own_set(&segment->claim_count, 0);
    ff_own_set(&segment->sealed, 0);
    ff_own_set(&segment->current, 0);
    ff_own_set(&segment->consumed, 0);
    memset(&segment->stats, 0, sizeof(segment->stats));
    ff_own_set(&segment->items_done, 0);
    ff_own_set(&segment->bytes_done, 0);
    ff_own_set(&segment->items_failed, 0);
    ff_own_set(&segment->note_count, 0);
    ff_publish(&segment->call, sequence);
}

/*
 * Either this worker sees that the call is closing, or the supervisor, which
 * stores `closing` and then looks at `joined`, sees that it has joined: both
 * stores come before both looks in the one order of sequentially consistent operations.
 */
static bool join(struct ff_worker *worker)
{
    struct ff_segment *segment = worker->segment;

    FF_KILL_POINT("worker.join.begin");
    worker->is_first = ff_peer_get(&segment->call) != worker->sequence;
    if (worker->is_first)
        begin_segment(segment, worker->sequence);
    ff_announce(&segment->joined, worker->sequence);
    FF_KILL_POINT("worker.join.announced");
    if (ff_recheck(&worker->layout->supervisor->closing) < worker->sequence)
        return true;
    ff_announce(&segment->joined, 0);
    /* The supervisor may have seen the announcement and be waiting for this worker to park. */
    ff_doorbell_ring(worker->layout->supervisor_bell);
    return false;
}

static void enter_call(struct ff_worker *worker)
{
    int code;

    worker->call = worker->layout->control->call;
    /* Now that it has joined: before, the call might be written.  A death in between costs memory. */
    if (worker->is_first && !worker->call.keeps_output) {
        ff_own_set(&worker->segment->output_used, 0);
        ff_own_set(&worker->segment->piece_count, 0);
    }
    set_limit(worker, worker->call.timeout_ns);
    memset(worker->near, 0, sizeof(worker->near));
    worker->base_is_absorbed = ff_peer_get(&worker->segment->sealed) == 0;
    worker->failure_count = 0;
    worker->seal_cost_ns = SEAL_COST_GUESS_NS;
    worker->last_seal_ns = ff_clock_ns();
    worker->joined = true;
    ff_worker_set_current(worker, FF_CURRENT_HOUSEKEEPING);
    FF_KILL_POINT("worker.call.enter");
    follow_files(worker);
    code = worker->call.job->attach(worker, worker->call.context, &worker->state);
    if (code < 0)
        give_up(worker, code);
    clear_current(worker);
    if (has_unsealed(worker)) /* an assignment: the last claim logged */
        run_task(worker, worker->areas->claims[ff_peer_get(&worker->segment->claim_count) - 1]);
}

static void leave_call(struct ff_worker *worker)
{
    if (worker->joined)
        worker->call.job->detach(worker->state);
    worker->joined = false;
    worker->state = NULL;
}

/* Tells the supervisor that this worker is between two claims: see lost.c. */
static void meet_grace(struct ff_worker *worker)
{
    uint64_t grace = ff_observe(&worker->layout->supervisor->grace);

    if (ff_peer_get(&worker->segment->grace) == grace)
        return;
    ff_publish(&worker->segment->grace, grace);
    ff_doorbell_ring(worker->layout->supervisor_bell);
}

/* The next task: what has to be run again first. */
static bool claim_next(struct ff_worker *worker, uint64_t *logged)
{
    struct ff_worker_stats *stats = &worker->segment->stats;
    bool is_timed = ff_peer_get(&stats->tasks) % CLAIMS_PER_TIMED == 0;
    uint64_t begin_ns = is_timed ? ff_clock_ns() : 0;

    meet_grace(worker);

    bool claimed = claim(worker, FF_RETRY, logged) || claim(worker, FF_MAIN, logged);

    if (claimed)
        ff_worker_count(&stats->tasks, 1);
    if (claimed && is_timed) {
        ff_worker_count(&stats->claim_ns, ff_clock_ns() - begin_ns);
        ff_worker_count(&stats->timed_claims, 1);
    }
    return claimed;
}

/* When a worker parks, its memory is about as large as it gets in the call. */
static void note_memory(struct ff_worker *worker)
{
    struct ff_memory_use use = ff_process_memory();

    ff_own_set(&worker->segment->stats.private_peak_bytes, use.private_peak_bytes);
    ff_own_set(&worker->segment->stats.shared_bytes, use.shared_bytes);
}

/* It has found nothing more and has sealed all it had: the call can end without it. */
static void park(struct ff_worker *worker)
{
    if (worker->call.measure)
        note_memory(worker);
    FF_KILL_POINT("worker.park.begin");
    ff_announce(&worker->segment->parked, worker->sequence);
    FF_KILL_POINT("worker.park.announced");
    ff_doorbell_ring(worker->layout->supervisor_bell);
}

static void work(struct ff_worker *worker)
{
    uint64_t begin_ns = ff_clock_ns();
    uint64_t logged;

    while (claim_next(worker, &logged)) {
        run_task(worker, logged);
        if (is_worn_out(worker))
            make_room(worker);
    }
    bool is_last = ff_board_is_exhausted(&worker->layout->boards[FF_MAIN]);

    if (is_last && has_unsealed(worker))
        seal(worker);
    if (ff_peer_get(&worker->segment->parked) == worker->sequence)
        return;
    ff_worker_count(&worker->segment->stats.busy_ns, ff_clock_ns() - begin_ns);
    if (is_last)
        park(worker);
}

static void nap(struct ff_worker *worker, uint32_t snapshot)
{
    /* Partner: ff_layout_wake_workers, which bumps the word before it looks at `sleeping`. */
    ff_announce(&worker->segment->sleeping, 1);
    FF_KILL_POINT("worker.sleep");
    ff_worker_tell_news(worker);
    ff_futex_wait(&worker->layout->control->work, snapshot, UINT64_MAX);
    ff_own_set(&worker->segment->sleeping, 0);
}

static bool may_join(const struct ff_worker *worker)
{
    if (worker->sequence == 0 ||
        ff_observe(&worker->layout->supervisor->finished) >= worker->sequence)
        return false;
    return has_work(worker) || has_assignment(worker);
}

static _Noreturn void serve(struct ff_worker *worker)
{
    for (;;) {
        /* The snapshot comes first: what is posted after it ends the nap at once. */
        uint32_t snapshot = ff_snapshot32(&worker->layout->control->work);
        /* Partner: the publishing of `sequence` in call.c, after the call was written. */
        uint64_t sequence = ff_observe(&worker->layout->control->sequence);

        FF_KILL_POINT("worker.serve");
        if (sequence != worker->sequence) {
            leave_call(worker);
            worker->sequence = sequence;
        }
        if (!worker->joined && may_join(worker) && join(worker))
            enter_call(worker);
        if (worker->joined)
            work(worker);
        ff_files_vacate(worker->layout->files, &worker->files);
        nap(worker, snapshot);
    }
}

/* ---- Birth --------------------------------------------------------------- */

/* Of the supervisor's nothing stays but what this worker needs.  False without memory. */
static bool close_descriptors(const struct ff_worker_options *options)
{
    const int needed[] = {options->layout->driver_bell, options->layout->supervisor_bell,
                          options->keep_fd, options->channel};
    unsigned count = sizeof(needed) / sizeof(needed[0]);
    int *keep = malloc((count + options->host_fd_count) * sizeof(*keep));

    if (keep == NULL)
        return false;
    memcpy(keep, needed, sizeof(needed));
    if (options->host_fd_count > 0)
        memcpy(keep + count, options->host_fds, options->host_fd_count * sizeof(*keep));
    ff_process_close_all_but(keep, count + options->host_fd_count);
    free(keep);
    return true;
}

static bool shed_inheritance(const struct ff_worker_options *options)
{
    /* A file that grows past its limit is an error code for a worker, as a full disk is. */
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXFSZ, 0};

    ff_process_reset_signals(ignored);
    if (options->keep_fd != STDIN_FILENO)
        ff_process_detach_fd(STDIN_FILENO);
    if (!options->layout->rules.keeps_descriptors)
        ff_process_detach_fd(STDOUT_FILENO);
    ff_process_offer_to_oom();
    (void)prctl(PR_SET_NAME, "forkfold-worker");
    return close_descriptors(options);
}

/* What the pool's owner wants of every worker before it works. */
static void initialize(struct ff_worker *worker)
{
    const struct ff_worker_rules *rules = &worker->layout->rules;

    if (rules->memory_bytes != 0 && !ff_process_limit_memory(rules->memory_bytes)) {
        ff_worker_explain(worker, "cannot limit the worker's memory: %s", strerror(errno));
        give_up(worker, FORKFOLD_E_SYSTEM);
    }
    if (rules->initializer != NULL && rules->initializer(rules->initializer_context) != 0) {
        ff_worker_explain(worker, "the initializer of the pool failed");
        give_up(worker, FORKFOLD_E_INITIALIZER);
    }
}

_Noreturn void ff_worker_main(const struct ff_worker_options *options)
{
    const struct ff_layout *layout = options->layout;
    const struct ff_segment_areas *areas = &layout->segments[options->slot];
    struct ff_worker worker = {.layout = layout,
                               .areas = areas,
                               .segment = areas->head,
                               .slot = options->slot,
                               .asker = {.channel = options->channel, .supervisor = -1},
                               .spill = {.slots = layout->workers}};
    struct ff_area writable[] = {areas->whole, layout->common};

    if (!ff_process_bind_to_parent(options->supervisor))
        _exit(0);
    memset(&areas->head->crash, 0, offsetof(struct ff_crash, text));
    FF_KILL_POINT("worker.born");
    ff_own_set(&worker.segment->pid, (uint64_t)getpid());
    /* For a host that waits for workers to be there. */
    ff_doorbell_ring(layout->driver_bell);
    if (!shed_inheritance(options)) {
        ff_worker_explain(&worker, "no memory for the list of descriptors");
        give_up(&worker, FORKFOLD_E_MEMORY);
    }
    /* From here on a wild write faults instead of reaching a neighbour (I5). */
    if (ff_region_restrict(&layout->region, writable, 2) != 0) {
        ff_worker_explain(&worker, "cannot protect the region: %s", strerror(errno));
        give_up(&worker, FORKFOLD_E_SYSTEM);
    }
    ff_crash_install(&areas->head->crash);
    ff_worker_be_here(&worker);
    ff_barrier_heed();
    initialize(&worker);
    serve(&worker);
}
