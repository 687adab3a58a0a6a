/* SPDX-License-Identifier: Apache-2.0 */
/* How calls on items went. */
#include <stdio.h>

#include <forkfold/error.h>

#include "platform/clock.h"
#include "pool/call.h"
#include "pool/items.h"

void ff_items_note_begin(struct forkfold_call *call)
{
    const struct ff_supervisor_shared *supervisor = call->pool->layout.supervisor;

    call->begun_ns = ff_clock_ns();
    call->retries = ff_peer_get(&supervisor->retries);
    call->deaths = ff_peer_get(&supervisor->deaths);
}

static double milliseconds(uint64_t ns)
{
    return (double)ns / FF_NS_PER_MS;
}

static double percent(double share)
{
    return share * 100;
}

/* What the host has asked to see; nothing else of the library writes anywhere. */
static void print(const struct forkfold_call *call)
{
    forkfold_call_statistics stats = {0};

    if (forkfold_call_stats(call, &stats) < 0)
        return;
    fprintf(stderr,
            "forkfold: %llu items in %.3f ms, %.0f a second; %u workers used to %.1f %%; "
            "communication %.2f %%; %llu bytes in, %llu out; %llu retries, %llu deaths\n",
            (unsigned long long)stats.all.items, milliseconds(stats.wall_ns),
            stats.items_per_second, stats.workers, percent(stats.utilisation),
            percent(stats.communication), (unsigned long long)stats.argument_bytes,
            (unsigned long long)stats.all.result_bytes, (unsigned long long)stats.retries,
            (unsigned long long)stats.deaths);
    for (unsigned i = 0; i < stats.workers; i++) {
        forkfold_worker_stats worker = {0};

        if (forkfold_call_worker_stats(call, i, &worker) < 0)
            return;
        fprintf(stderr,
                "forkfold: worker %u: busy %.3f ms, waiting %.3f ms, idle %.3f ms; %llu items in "
                "%llu tasks\n",
                i, milliseconds(worker.busy_ns), milliseconds(worker.wait_ns),
                milliseconds(worker.idle_ns), (unsigned long long)worker.items,
                (unsigned long long)worker.tasks);
    }
}

void ff_items_note_end(struct forkfold_call *call)
{
    const struct ff_supervisor_shared *supervisor = call->pool->layout.supervisor;

    if (call->ended_ns != 0)
        return;
    call->ended_ns = ff_clock_ns();
    call->retries = ff_peer_get(&supervisor->retries) - call->retries;
    call->deaths = ff_peer_get(&supervisor->deaths) - call->deaths;
    if (call->options.verbose != 0)
        print(call);
}

static uint64_t wall_of(const struct forkfold_call *call)
{
    return (call->ended_ns != 0 ? call->ended_ns : ff_clock_ns()) - call->begun_ns;
}

/* Written by workers: what cannot be is cut. */
static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static void read_worker(const struct forkfold_call *call, unsigned slot,
                        forkfold_worker_stats *stats)
{
    const struct ff_item_stats *shared = &call->owner->stats[slot];
    uint64_t wall = wall_of(call);
    uint64_t first = ff_peer_get(&shared->first_ns);
    uint64_t last = ff_peer_get(&shared->last_ns);
    uint64_t span = first != 0 && last > first ? at_most(last - first, wall) : 0;

    *stats = (forkfold_worker_stats){
        .busy_ns = at_most(ff_peer_get(&shared->busy_ns), span),
        .cpu_ns = at_most(ff_peer_get(&shared->cpu_ns), wall),
        .tasks = ff_peer_get(&shared->tasks),
        .items = ff_peer_get(&shared->items),
        .result_bytes = ff_peer_get(&shared->result_bytes),
    };
    stats->function_ns = at_most(ff_peer_get(&shared->function_ns), stats->busy_ns);
    stats->wait_ns = span - stats->busy_ns;
    stats->idle_ns = wall - span;
}

static bool measures(const struct forkfold_call *call)
{
    return call->owner != NULL && call->owner->stats != NULL;
}

int forkfold_call_worker_stats(const forkfold_call *call, unsigned worker,
                               forkfold_worker_stats *stats)
{
    int code = ff_call_check_process(call->pool);

    if (code < 0)
        return code;
    if (stats == NULL || !measures(call) || worker >= call->pool->layout.workers)
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "the call does not measure, or has no items, or no worker %u", worker);
    read_worker(call, worker, stats);
    return 0;
}

static void add_up(const struct forkfold_call *call, forkfold_worker_stats *all)
{
    for (unsigned i = 0; i < call->pool->layout.workers; i++) {
        forkfold_worker_stats one = {0};

        read_worker(call, i, &one);
        all->busy_ns += one.busy_ns;
        all->function_ns += one.function_ns;
        all->wait_ns += one.wait_ns;
        all->idle_ns += one.idle_ns;
        all->cpu_ns += one.cpu_ns;
        all->tasks += one.tasks;
        all->items += one.items;
        all->result_bytes += one.result_bytes;
    }
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static uint64_t since_begin(const struct forkfold_call *call, uint64_t noted, const ff_word64 *now)
{
    return call->ended_ns != 0 ? noted : ff_peer_get(now) - noted;
}

int forkfold_call_stats(const forkfold_call *call, forkfold_call_statistics *stats)
{
    const struct ff_supervisor_shared *supervisor = call->pool->layout.supervisor;
    int code = ff_call_check_process(call->pool);

    if (code < 0)
        return code;
    if (stats == NULL || !measures(call))
        return ff_error_set(&call->pool->error, FORKFOLD_E_INVALID,
                            "the call does not measure, or has no items");
    *stats = (forkfold_call_statistics){
        .workers = call->pool->layout.workers,
        .wall_ns = wall_of(call),
        .argument_bytes = call->argument_bytes,
        .retries = since_begin(call, call->retries, &supervisor->retries),
        .deaths = since_begin(call, call->deaths, &supervisor->deaths),
    };
    add_up(call, &stats->all);
    stats->items_per_second = share(stats->all.items * FF_NS_PER_S, stats->wall_ns);
    stats->utilisation = share(stats->all.cpu_ns, stats->workers * stats->wall_ns);
    stats->communication = share(stats->all.busy_ns + stats->all.wait_ns - stats->all.function_ns,
                                 stats->all.busy_ns + stats->all.wait_ns);
    return 0;
}
