/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the pool: a job that sums item numbers, and what it does on
 * some items, which comes from a page that test and workers share.
 */
#ifndef FF_TESTS_SUM_JOB_H
#define FF_TESTS_SUM_JOB_H

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

static inline int sum_attach(struct ff_worker *worker, const void *context, void **state)
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
static inline void forbid_system_calls(void)
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

static inline void suffer(void)
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

static inline int sum_run(void *state, uint64_t item, struct ff_item_failure *failure)
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

static inline int sum_absorb(void *state, const void *payload, size_t bytes)
{
    struct sum *sum = state;
    const struct sum *base = payload;

    (void)bytes;
    sum->total += base->total;
    sum->items += base->items;
    return 0;
}

static inline int sum_seal(void *state, void *payload, size_t capacity, size_t *bytes)
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

static inline forkfold_pool *open_pool(unsigned workers)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";
    int code = forkfold_pool_open(&pool, &(forkfold_pool_options){.workers = workers}, message,
                                  sizeof(message));

    if (code != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

static inline int run_call(forkfold_pool *pool, uint64_t items, uint64_t chunk,
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
    if (items > 0)
        assert_int_equal(ff_call_post(pool, (struct ff_task){.count = items}, chunk), 0);
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

static inline struct sum result_of(const forkfold_pool *pool)
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

static inline void assert_sums(forkfold_pool *pool, uint64_t items, uint64_t chunk)
{
    int code = run_call(pool, items, chunk, &(struct ff_call_options){0});

    if (code != 0)
        fail_msg("call failed: %s", forkfold_pool_message(pool));
    assert_int_equal(result_of(pool).items, items);
    assert_int_equal(result_of(pool).total, items == 0 ? 0 : items * (items - 1) / 2);
}

static inline void plan(enum poison poison, uint64_t item, int times)
{
    script->item = item;
    script->times = times;
    script->poison = poison;
}

static inline int make_script(void **state)
{
    (void)state;
    script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return script == MAP_FAILED;
}

static inline int reset_script(void **state)
{
    (void)state;
    memset(script, 0, sizeof(*script));
    return 0;
}

/* The children of a process, as the kernel lists them. */
static inline unsigned children_of(pid_t pid, pid_t *children, unsigned max)
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

#define WITH_SCRIPT(test) cmocka_unit_test_setup(test, reset_script)

#endif
