/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool with a job that sums item numbers.  What the job does on some items
 * comes from a page that test and workers share.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/clock.h"
#include "pool/call.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* ---- The job ------------------------------------------------------------- */

enum poison { HARMLESS, KILL, SEGV, EXIT, FAIL, HANG, DEATH_AT_ATTACH, SECCOMP, EVERY };

static struct script {
    _Atomic int poison;
    _Atomic uint64_t item;
    _Atomic int times;      /* how often it still happens */
    _Atomic int reached;    /* eventfd to ring when a hanging item is reached, or 0 */
    _Atomic int seal_every; /* items after which a worker seals, or 0 */
    _Atomic int runs;       /* of items, in all */
} * script;

struct sum {
    uint64_t total;
    uint64_t items;
};

static int sum_attach(struct ff_worker *worker, const void *context, void **state)
{
    (void)context;
    if (script->poison == DEATH_AT_ATTACH) {
        ff_worker_explain(worker, "no luck");
        return FORKFOLD_E_LIMIT;
    }
    *state = calloc(1, sizeof(struct sum));
    return *state == NULL ? FORKFOLD_E_MEMORY : 0;
}

/* From here on any system call but those of sealing and parking ends the worker. */
static void forbid_system_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void suffer(void)
{
    volatile int *volatile wild = (volatile int *)0x18;
    uint64_t one = 1;

    int poison = script->poison;

    switch (poison) {
    case KILL:
        raise(SIGKILL);
        break;
    case SEGV:
        *wild = 1;
        break;
    case EXIT:
        exit(5);
    case HANG:
        if (script->reached != 0 && write(script->reached, &one, sizeof(one)) < 0)
            abort();
        for (;;)
            pause();
    case SECCOMP:
        forbid_system_calls();
        break;
    default:
        break;
    }
}

static int sum_run(void *state, uint64_t item, struct ff_item_failure *failure)
{
    struct sum *sum = state;

    script->runs++;
    if (script->poison == EVERY)
        raise(SIGKILL);
    if (script->item == item && script->poison != HARMLESS && script->times-- > 0) {
        suffer();
        if (script->poison == FAIL) {
            failure->reason = FORKFOLD_REASON_DECODE;
            return FF_ITEM_FAILED;
        }
    }
    sum->total += item;
    sum->items++;
    if (script->seal_every > 0 && (item + 1) % (uint64_t)script->seal_every == 0)
        return FF_ITEM_SEAL_NOW;
    return FF_ITEM_DONE;
}

static int sum_absorb(void *state, const void *payload, size_t bytes)
{
    struct sum *sum = state;
    const struct sum *base = payload;

    (void)bytes;
    sum->total += base->total;
    sum->items += base->items;
    return 0;
}

static int sum_seal(void *state, void *payload, size_t capacity, size_t *bytes)
{
    *bytes = sizeof(struct sum);
    if (capacity < *bytes)
        return FORKFOLD_E_LIMIT;
    memcpy(payload, state, *bytes);
    return 0;
}

static const struct ff_job sum_job = {.name = "sum",
                                      .attach = sum_attach,
                                      .detach = free,
                                      .run = sum_run,
                                      .absorb = sum_absorb,
                                      .seal = sum_seal};

/* ---- Calls --------------------------------------------------------------- */

static forkfold_pool *open_pool(unsigned workers)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";
    int code = forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = workers}, message,
                                  sizeof(message));

    if (code != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

static int run_call(forkfold_pool *pool, uint64_t items, uint64_t chunk,
                    const struct ff_call_options *wish)
{
    struct ff_call_options options = *wish;
    int code = ff_call_check(pool);

    if (code < 0)
        return code;
    options.job = &sum_job;
    options.attempts = options.attempts > 0 ? options.attempts : 3;
    options.max_deaths = options.max_deaths > 0 ? options.max_deaths : 10;
    ff_call_begin(pool, &options);
    for (uint64_t first = 0; first < items; first += chunk)
        assert_int_equal(
            ff_call_post(pool,
                         (struct ff_task){.first = first,
                                          .count = items - first < chunk ? items - first : chunk}),
            0);
    ff_call_close(pool);
    do
        code = ff_call_step(pool, true);
    while (code == 0);
    if (code < 0) {
        ff_call_abort(pool);
        return code;
    }
    return ff_call_verify(pool);
}

static struct sum result_of(const forkfold_pool *pool)
{
    struct sum sum = {0};

    for (unsigned slot = 0; slot < pool->layout.workers; slot++) {
        const struct ff_seal *seal = ff_call_seal(pool, slot);

        if (seal == NULL)
            continue;
        const struct sum *part = ff_seal_payload(seal);

        sum.total += part->total;
        sum.items += part->items;
    }
    return sum;
}

static void assert_sums(forkfold_pool *pool, uint64_t items, uint64_t chunk)
{
    int code = run_call(pool, items, chunk, &(struct ff_call_options){0});

    if (code != 0)
        fail_msg("call failed: %s", forkfold_pool_message(pool));
    assert_int_equal(result_of(pool).items, items);
    assert_int_equal(result_of(pool).total, items == 0 ? 0 : items * (items - 1) / 2);
}

static void plan(enum poison poison, uint64_t item, int times)
{
    script->item = item;
    script->times = times;
    script->poison = poison;
}

static int make_script(void **state)
{
    (void)state;
    script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return script == MAP_FAILED;
}

static int reset_script(void **state)
{
    (void)state;
    memset(script, 0, sizeof(*script));
    return 0;
}

/* ---- Tests --------------------------------------------------------------- */

static void every_item_counts_once_for_any_number_of_workers(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 9; workers += 2) {
        forkfold_pool *pool = open_pool(workers);

        assert_int_equal(forkfold_pool_workers(pool), workers);
        assert_sums(pool, 20000, 7);
        assert_sums(pool, 1, 1);
        assert_sums(pool, 0, 1);
        forkfold_pool_close(pool);
    }
}

/* Calls shorter than it takes all workers to wake: some are always late for the one before. */
static void short_calls_in_a_row_do_not_disturb_each_other(void **state)
{
    forkfold_pool *pool = open_pool(6);

    (void)state;
    for (uint64_t i = 0; i < (SANITIZED ? 300 : 3000); i++)
        assert_sums(pool, i % 5, 1);
    forkfold_pool_close(pool);
}

static void item_that_kills_is_given_up_after_its_attempts(void **state)
{
    static const enum poison ways[] = {KILL, SEGV, EXIT};
    forkfold_pool *pool = open_pool(3);

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        plan(ways[i], 500, 1000);
        assert_int_equal(run_call(pool, 1000, 10, &(struct ff_call_options){.attempts = 4}), 0);
        assert_int_equal(result_of(pool).items, 999);
        assert_int_equal(result_of(pool).total, 999 * 1000 / 2 - 500);
        assert_int_equal(ff_peer_get(&pool->layout.supervisor->quarantined), 1);
        const struct ff_quarantine *record = &pool->layout.quarantine[0];

        assert_int_equal(record->item, 500);
        assert_int_equal(record->attempts, 4);
        assert_int_equal(ff_call_counts(pool).deaths, 4);
        assert_int_equal(record->signal, ways[i] == KILL ? SIGKILL : ways[i] == SEGV ? SIGSEGV : 0);
        assert_int_equal(record->exit_code, ways[i] == EXIT ? 5 : -1);
        assert_int_equal(record->crash.has_address, ways[i] == SEGV);
        if (ways[i] == SEGV)
            assert_int_equal(record->crash.address, 0x18);
    }
    forkfold_pool_close(pool);
}

static void item_that_kills_once_is_counted(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    for (uint64_t item = 0; item < 100; item += 9) {
        plan(KILL, item, 1);
        assert_sums(pool, 100, 10);
        assert_int_equal(ff_call_counts(pool).deaths, 1);
        assert_int_equal(ff_call_counts(pool).retries, 1);
    }
    forkfold_pool_close(pool);
}

/* What a seal covers is not run again, however its worker ends later. */
static void death_costs_what_was_done_since_the_last_seal(void **state)
{
    forkfold_pool *pool = open_pool(1);

    (void)state;
    for (uint64_t item = 5; item < 200; item += 13) {
        memset(script, 0, sizeof(*script));
        script->seal_every = 10;
        plan(KILL, item, 1);
        assert_sums(pool, 200, 1);
        /* The killer, and those that were run after the last multiple of ten. */
        assert_int_equal(script->runs, 200 + 1 + item % 10);
    }
    forkfold_pool_close(pool);
}

static void failed_item_is_an_answer_and_not_tried_again(void **state)
{
    forkfold_pool *pool = open_pool(2);
    uint64_t failures = 0;

    (void)state;
    plan(FAIL, 42, 1000);
    assert_int_equal(run_call(pool, 100, 10, &(struct ff_call_options){0}), 0);
    for (unsigned slot = 0; slot < 2; slot++) {
        const struct ff_seal *seal = ff_call_seal(pool, slot);

        for (uint64_t i = 0; seal != NULL && i < seal->failure_count; i++, failures++)
            assert_int_equal(ff_seal_failures(seal)[i].item, 42);
    }
    assert_int_equal(failures, 1);
    assert_int_equal(script->times, 999);
    assert_int_equal(ff_call_counts(pool).deaths, 0);
    forkfold_pool_close(pool);
}

static void hanging_item_is_ended_by_its_timeout(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(HANG, 7, 1000);
    assert_int_equal(
        run_call(pool, 20, 1,
                 &(struct ff_call_options){.timeout_ns = 20 * FF_NS_PER_MS, .attempts = 2}),
        0);
    assert_int_equal(result_of(pool).items, 19);
    assert_int_equal(pool->layout.quarantine[0].item, 7);
    assert_int_equal(pool->layout.quarantine[0].reason, FORKFOLD_REASON_TIMEOUT);
    forkfold_pool_close(pool);
}

static void deadline_ends_the_call_and_the_pool_goes_on(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(HANG, 7, 1);
    assert_int_equal(run_call(pool, 20, 1,
                              &(struct ff_call_options){.deadline_at_ns = ff_call_clock_ns(pool) +
                                                                          30 * FF_NS_PER_MS}),
                     FORKFOLD_E_DEADLINE);
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 1000, 10);
    forkfold_pool_close(pool);
}

static int cancel(int fd, void *context)
{
    uint64_t count;

    (void)context;
    return read(fd, &count, sizeof(count)) > 0;
}

static void watch_cancels_the_call_and_the_pool_goes_on(void **state)
{
    int reached = eventfd(0, 0);
    int for_workers = fcntl(reached, F_DUPFD, 20);
    forkfold_pool *pool = NULL;

    (void)state;
    assert_int_equal(
        forkfold_pool_open(
            &pool, &(forkfold_pool_options){.workers = 2, .keep_fd_plus_one = for_workers + 1},
            NULL, 0),
        0);
    assert_int_equal(forkfold_pool_watch(pool, reached, cancel, NULL), 0);
    plan(HANG, 3, 1);
    script->reached = for_workers;
    assert_int_equal(run_call(pool, 20, 1, &(struct ff_call_options){0}), FORKFOLD_E_CANCELLED);
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 10);
    forkfold_pool_close(pool);
    close(reached);
    close(for_workers);
}

static void workers_that_cannot_start_end_the_call_as_a_crash_loop(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    plan(DEATH_AT_ATTACH, 0, 0);
    assert_int_equal(run_call(pool, 20, 1, &(struct ff_call_options){.max_deaths = 5}),
                     FORKFOLD_E_CRASH_LOOP);
    assert_non_null(strstr(forkfold_pool_message(pool), "no luck"));
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 10);
    forkfold_pool_close(pool);
}

/* The children of a process, as the kernel lists them. */
static unsigned children_of(pid_t pid, pid_t *children, unsigned max)
{
    char path[64];
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return 0;
    while (count < max && fscanf(file, "%d", &children[count]) == 1)
        count++;
    fclose(file);
    return count;
}

static void workers_that_die_between_calls_are_replaced(void **state)
{
    forkfold_pool *pool = open_pool(3);
    pid_t workers[8];

    (void)state;
    assert_sums(pool, 100, 1);
    unsigned count = children_of(pool->supervisor, workers, 8);

    if (count == 0)
        skip();
    for (int round = 0; round < 5; round++) {
        count = children_of(pool->supervisor, workers, 8);
        for (unsigned i = 0; i < count; i++)
            kill(workers[i], SIGKILL);
        assert_sums(pool, 1000, 1);
    }
    forkfold_pool_close(pool);
}

static void lost_supervisor_is_reported_by_every_call(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGKILL);
    assert_int_equal(run_call(pool, 1000000, 1, &(struct ff_call_options){0}),
                     FORKFOLD_E_SUPERVISOR);
    assert_int_equal(ff_call_check(pool), FORKFOLD_E_SUPERVISOR);
    forkfold_pool_close(pool);
}

static void stopped_supervisor_does_not_keep_the_pool_from_closing(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGSTOP);
    forkfold_pool_close(pool);
}

static void pool_of_another_process_is_refused(void **state)
{
    forkfold_pool *pool = open_pool(2);
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        int code = ff_call_check(pool);

        forkfold_pool_close(pool);
        _exit(code == FORKFOLD_E_FORKED ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
}

static void pool_closes_while_another_child_holds_its_lifeline(void **state)
{
    forkfold_pool *pool = open_pool(2);
    int to_child[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(to_child), 0);
    pid_t child = fork();

    if (child == 0) {
        close(to_child[1]);
        _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
    }
    uint64_t before = ff_clock_ns();

    forkfold_pool_close(pool);
    /* The patience of the close is two seconds; it was not needed. */
    assert_in_range(ff_clock_ns() - before, 0, 1900 * FF_NS_PER_MS);
    close(to_child[0]);
    close(to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void host_that_ignores_its_children_is_served(void **state)
{
    struct sigaction old;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)state;
    sigaction(SIGCHLD, &ignore, &old);
    forkfold_pool *pool = open_pool(2);

    plan(KILL, 5, 1);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
    sigaction(SIGCHLD, &old, NULL);
}

static volatile sig_atomic_t child_signals;

static void on_child(int number)
{
    (void)number;
    child_signals++;
}

static void hosts_children_mask_and_handlers_are_left_alone(void **state)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct sigaction now;
    sigset_t before;
    sigset_t after;
    int status;

    (void)state;
    sigaction(SIGCHLD, &action, NULL);
    sigprocmask(SIG_BLOCK, NULL, &before);
    pid_t own = fork();

    if (own == 0)
        _exit(9);
    forkfold_pool *pool = open_pool(2);

    plan(KILL, 5, 2);
    assert_sums(pool, 100, 1);
    forkfold_pool_close(pool);
    assert_int_equal(waitpid(own, &status, 0), own);
    assert_int_equal(WEXITSTATUS(status), 9);
    assert_int_equal(waitpid(-1, &status, 0), -1);
    assert_int_equal(errno, ECHILD);
    sigaction(SIGCHLD, NULL, &now);
    assert_ptr_equal(now.sa_handler, on_child);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&before, number), sigismember(&after, number));
    signal(SIGCHLD, SIG_DFL);
}

static void several_pools_work_side_by_side(void **state)
{
    forkfold_pool *one = open_pool(2);
    forkfold_pool *two = open_pool(3);

    (void)state;
    assert_sums(one, 1000, 3);
    assert_sums(two, 2000, 3);
    forkfold_pool_close(one);
    assert_sums(two, 500, 3);
    forkfold_pool_close(two);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void closed_pool_leaves_no_descriptor(void **state)
{
    unsigned before = open_descriptors();

    (void)state;
    for (int i = 0; i < 3; i++) {
        forkfold_pool *pool = open_pool(2);

        assert_sums(pool, 10, 1);
        forkfold_pool_close(pool);
    }
    assert_int_equal(open_descriptors(), before);
}

/*
 * I4: the filter that item 100 installs in its worker kills it at any system
 * call but the futex and the doorbells of sealing and parking.  With one
 * worker all items from there on run under it.
 */
static void items_are_claimed_and_run_without_system_calls(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* the sanitizers make calls of their own */
    forkfold_pool *pool = open_pool(1);

    plan(SECCOMP, 100, 1);
    assert_sums(pool, 200000, 1);
    assert_int_equal(ff_call_counts(pool).deaths, 0);
    forkfold_pool_close(pool);
}

static unsigned long switches_of(pid_t pid)
{
    char path[64];
    char line[128];
    unsigned long voluntary = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "voluntary_ctxt_switches: %lu", &voluntary);
    fclose(file);
    return voluntary;
}

struct observation {
    forkfold_pool *pool;
    unsigned ticks;
    unsigned long first;
    unsigned long last;
};

/* How often supervisor and workers have gone to sleep so far, and so have been woken. */
static void observe_sleepers(void *context)
{
    struct observation *observation = context;
    pid_t workers[8];
    unsigned count = children_of(observation->pool->supervisor, workers, 8);
    unsigned long sum = switches_of(observation->pool->supervisor);

    for (unsigned i = 0; i < count; i++)
        sum += switches_of(workers[i]);
    if (++observation->ticks == 5)
        observation->first = sum;
    observation->last = sum;
}

/* I3: one worker hangs, the others have nothing to do, and nobody looks around meanwhile. */
static void nobody_wakes_up_without_a_reason(void **state)
{
    forkfold_pool *pool = open_pool(3);
    struct observation observation = {.pool = pool};

    (void)state;
    plan(HANG, 0, 1);
    assert_int_equal(run_call(pool, 3, 1,
                              &(struct ff_call_options){.deadline_at_ns = ff_call_clock_ns(pool) +
                                                                          1000 * FF_NS_PER_MS,
                                                        .tick_ns = 50 * FF_NS_PER_MS,
                                                        .on_tick = observe_sleepers,
                                                        .tick_context = &observation}),
                     FORKFOLD_E_DEADLINE);
    assert_true(observation.ticks > 5);
    /* One: somebody may have been on the way to sleep at the fifth tick. */
    assert_in_range(observation.last - observation.first, 0, 1);
    forkfold_pool_close(pool);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Interrupts every blocking call of the test, over and over. */
static void start_interruptions(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void stop_interruptions(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    signal(SIGALRM, SIG_DFL);
}

static void hosts_signals_disturb_neither_abort_nor_close(void **state)
{
    forkfold_pool *pool = open_pool(2);

    (void)state;
    start_interruptions();
    for (int i = 0; i < 5; i++) {
        plan(HANG, 7, 1);
        assert_int_equal(
            run_call(pool, 20, 1,
                     &(struct ff_call_options){.deadline_at_ns =
                                                   ff_call_clock_ns(pool) + 10 * FF_NS_PER_MS}),
            FORKFOLD_E_DEADLINE);
    }
    plan(HARMLESS, 0, 0);
    assert_sums(pool, 100, 1);
    kill(pool->supervisor, SIGSTOP);
    forkfold_pool_close(pool);
    stop_interruptions();
}

static void host_with_closed_standard_descriptors_is_served(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        forkfold_pool *pool = open_pool(2);
        int code = run_call(pool, 1000, 1, &(struct ff_call_options){0});
        uint64_t items = code == 0 ? result_of(pool).items : 0;

        forkfold_pool_close(pool);
        _exit(items == 1000 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* I5: the supervisor of a second pool has no part of the first one's region. */
static void pools_do_not_see_each_others_regions(void **state)
{
    forkfold_pool *one = open_pool(1);
    forkfold_pool *two = open_pool(1);
    char path[64];
    char line[512];
    bool found = false;

    (void)state;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)two->supervisor);
    FILE *maps = fopen(path, "r");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t start = (uintptr_t)strtoull(line, NULL, 16);

        found |= start == (uintptr_t)one->layout.region.base;
    }
    fclose(maps);
    assert_false(found);
    forkfold_pool_close(one);
    forkfold_pool_close(two);
}

/* Every item kills its worker, in many workers at once: all are given up, whatever their number. */
static void many_workers_with_bad_items_are_no_crash_loop(void **state)
{
    (void)state;
    plan(EVERY, 0, 0);
    for (unsigned workers = 1; workers <= 16; workers *= 4) {
        forkfold_pool *pool = open_pool(workers);

        assert_int_equal(run_call(pool, 40, 1, &(struct ff_call_options){0}), 0);
        assert_int_equal(ff_peer_get(&pool->layout.supervisor->quarantined), 40);
        assert_int_equal(result_of(pool).items, 0);
        forkfold_pool_close(pool);
    }
}

#ifdef FF_KILL_POINTS
static void continue_workers(void *context)
{
    forkfold_pool *pool = context;
    pid_t workers[8];
    unsigned count = children_of(pool->supervisor, workers, 8);

    for (unsigned i = 0; i < count; i++)
        kill(workers[i], SIGCONT);
}

/* Posts some tasks, lets stopped workers go on in the middle of that, and posts the rest. */
static void assert_sums_with_late_workers(forkfold_pool *pool, uint64_t items)
{
    struct ff_call_options options = {.job = &sum_job,
                                      .attempts = 3,
                                      .max_deaths = 10,
                                      .tick_ns = 5 * FF_NS_PER_MS,
                                      .on_tick = continue_workers,
                                      .tick_context = pool};
    int code;

    assert_int_equal(ff_call_check(pool), 0);
    ff_call_begin(pool, &options);
    for (uint64_t item = 0; item < items; item++) {
        if (item == items / 2 && pool->layout.workers > 1)
            continue_workers(pool);
        assert_int_equal(ff_call_post(pool, (struct ff_task){.first = item, .count = 1}), 0);
    }
    ff_call_close(pool);
    do
        code = ff_call_step(pool, true);
    while (code == 0);
    if (code < 0 || ff_call_verify(pool) < 0)
        fail_msg("%s", forkfold_pool_message(pool));
    assert_int_equal(result_of(pool).items, items);
}

/*
 * A worker is stopped at its n-th look for a new call and goes on some
 * calls later, when everything that it saw has changed.
 */
static void worker_that_is_late_for_a_call_does_not_join_the_next_by_mistake(void **state)
{
    static const char *const points[] = {"serve", "unpark", "join.begin", "join.announced"};
    char where[64];

    (void)state;
    for (unsigned n = 4; n < (SANITIZED ? 60 : 240); n++) {
        snprintf(where, sizeof(where), "worker.%s:stop:%u", points[n % 4], n / 4);
        setenv("FORKFOLD_KILL", where, 1);
        /* Alone, the late worker finds all tasks of the next call still there. */
        forkfold_pool *pool = open_pool(n % 8 < 4 ? 1 : 3);

        unsetenv("FORKFOLD_KILL");
        for (uint64_t call = 0; call < 8; call++)
            assert_sums_with_late_workers(pool, 2 + call % 2 * 300);
        forkfold_pool_close(pool);
    }
}
#endif

static void bad_options_are_refused_with_a_reason(void **state)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    (void)state;
    assert_int_equal(forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = 100000}, message,
                                        sizeof(message)),
                     FORKFOLD_E_INVALID);
    assert_non_null(strstr(message, "100000"));
    assert_int_equal(
        forkfold_pool_open(&pool, &(forkfold_pool_options){.size = 3}, message, sizeof(message)),
        FORKFOLD_E_INVALID);
    assert_null(pool);
    forkfold_pool_close(NULL);
}

#define WITH_SCRIPT(test) cmocka_unit_test_setup(test, reset_script)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(every_item_counts_once_for_any_number_of_workers),
        WITH_SCRIPT(short_calls_in_a_row_do_not_disturb_each_other),
        WITH_SCRIPT(item_that_kills_is_given_up_after_its_attempts),
        WITH_SCRIPT(item_that_kills_once_is_counted),
        WITH_SCRIPT(death_costs_what_was_done_since_the_last_seal),
        WITH_SCRIPT(failed_item_is_an_answer_and_not_tried_again),
        WITH_SCRIPT(hanging_item_is_ended_by_its_timeout),
        WITH_SCRIPT(deadline_ends_the_call_and_the_pool_goes_on),
        WITH_SCRIPT(watch_cancels_the_call_and_the_pool_goes_on),
        WITH_SCRIPT(workers_that_cannot_start_end_the_call_as_a_crash_loop),
        WITH_SCRIPT(workers_that_die_between_calls_are_replaced),
        WITH_SCRIPT(lost_supervisor_is_reported_by_every_call),
        WITH_SCRIPT(stopped_supervisor_does_not_keep_the_pool_from_closing),
        WITH_SCRIPT(pool_of_another_process_is_refused),
        WITH_SCRIPT(pool_closes_while_another_child_holds_its_lifeline),
        WITH_SCRIPT(host_that_ignores_its_children_is_served),
        WITH_SCRIPT(hosts_children_mask_and_handlers_are_left_alone),
        WITH_SCRIPT(several_pools_work_side_by_side),
        WITH_SCRIPT(closed_pool_leaves_no_descriptor),
        WITH_SCRIPT(items_are_claimed_and_run_without_system_calls),
        WITH_SCRIPT(nobody_wakes_up_without_a_reason),
        WITH_SCRIPT(hosts_signals_disturb_neither_abort_nor_close),
        WITH_SCRIPT(host_with_closed_standard_descriptors_is_served),
        WITH_SCRIPT(pools_do_not_see_each_others_regions),
        WITH_SCRIPT(many_workers_with_bad_items_are_no_crash_loop),
#ifdef FF_KILL_POINTS
        WITH_SCRIPT(worker_that_is_late_for_a_call_does_not_join_the_next_by_mistake),
#endif
        WITH_SCRIPT(bad_options_are_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, make_script, NULL);
}
