/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of calls on items: functions to call, and what they do on some items, which comes
 * from a page that test and workers share.
 */
#ifndef FF_TESTS_ITEM_SCRIPT_H
#define FF_TESTS_ITEM_SCRIPT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/call.h>

#include "platform/clock.h"
#include "platform/futex.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* ---- The page ------------------------------------------------------------ */

enum fault { HARMLESS, SEGV, EXIT, KILL, HANG, FAIL, FAIL_LONG, FAULT_COUNT };

enum { FAULTS_MAX = 64 };

static struct script {
    ff_word32 reached; /* by functions that then wait, or tell how far they are */
    ff_word32 open;    /* functions that wait go on when it is not 0 */
    _Atomic uint64_t runs;
    _Atomic int inits_to_fail;
    _Atomic int inits;
    unsigned faults;
    struct planned {
        uint64_t item;
        enum fault fault;
        _Atomic int times; /* how often it still happens */
    } planned[FAULTS_MAX];
} * script;

static inline int make_script(void **state)
{
    (void)state;
    script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return script == MAP_FAILED;
}

static inline int reset_script(void **state)
{
    (void)state;
    memset((void *)script, 0, sizeof(*script));
    return 0;
}

#define WITH_SCRIPT(test) cmocka_unit_test_setup(test, reset_script)

static inline void plan(enum fault fault, uint64_t item, int times)
{
    struct planned *planned = &script->planned[script->faults++];

    assert_true(script->faults <= FAULTS_MAX);
    planned->item = item;
    planned->fault = fault;
    planned->times = times;
}

/* From a worker: one more has come so far. */
static inline void reach(void)
{
    ff_bump32(&script->reached);
    ff_futex_wake(&script->reached, UINT64_MAX);
}

/* From the test: until so many have. */
static inline void await_reached(uint32_t count)
{
    for (;;) {
        uint32_t now = ff_snapshot32(&script->reached);

        if (now >= count)
            return;
        ff_futex_wait(&script->reached, now, UINT64_MAX);
    }
}

static inline void open_gate(void)
{
    ff_bump32(&script->open);
    ff_futex_wake(&script->open, UINT64_MAX);
}

/* ---- Functions ----------------------------------------------------------- */

static inline int suffer(const forkfold_item *item)
{
    volatile int *volatile wild = (volatile int *)0x18;

    script->runs++;
    for (unsigned i = 0; i < script->faults; i++) {
        struct planned *planned = &script->planned[i];

        if (planned->item != item->index || planned->times-- <= 0)
            continue;
        switch (planned->fault) {
        case SEGV:
            *wild = 1;
            break;
        case EXIT:
            _exit(5);
        case KILL:
            raise(SIGKILL);
            break;
        case HANG:
            reach();
            for (;;)
                pause();
        case FAIL:
            return forkfold_item_fail(item, "item %llu is bad", (unsigned long long)item->index);
        case FAIL_LONG:
            return forkfold_item_fail(item, "%0500d", 7);
        default:
            break;
        }
    }
    return 0;
}

static inline uint64_t mix(uint64_t value)
{
    value ^= value >> 31;
    value *= UINT64_C(0x9e3779b97f4a7c15);
    return value ^ value >> 29;
}

/* 8 bytes to 8 bytes. */
static inline int mix_item(const forkfold_item *item)
{
    int code = suffer(item);
    uint64_t argument;

    if (code != 0)
        return code;
    memcpy(&argument, item->arguments[0], sizeof(argument));
    *(uint64_t *)item->result = mix(argument) + item->index;
    return 0;
}

static inline uint64_t mixed(uint64_t argument, uint64_t index)
{
    return mix(argument) + index;
}

/* No arguments, no result. */
static inline int run_only(const forkfold_item *item)
{
    return suffer(item);
}

/* Waits at the gate. */
static inline int wait_at_gate(const forkfold_item *item)
{
    int code = suffer(item);

    reach();
    while (ff_snapshot32(&script->open) == 0)
        ff_futex_wait(&script->open, 0, UINT64_MAX);
    if (code == 0 && item->result != NULL)
        *(uint64_t *)item->result = item->index + 1;
    return code;
}

/* A result of as many bytes as the argument says, each of which depends on item and place. */
static inline unsigned char byte_at(uint64_t index, size_t place)
{
    return (unsigned char)(index * 131 + place * 7 + (place >> 12));
}

static inline int write_bytes(const forkfold_item *item)
{
    int code = suffer(item);
    uint64_t bytes;
    unsigned char *result;

    if (code != 0)
        return code;
    memcpy(&bytes, item->arguments[0], sizeof(bytes));
    if (bytes == 0)
        return 0;
    result = forkfold_item_reserve(item, bytes);
    if (result == NULL)
        return forkfold_item_fail(item, "no room for %llu bytes", (unsigned long long)bytes);
    for (size_t i = 0; i < bytes; i++)
        result[i] = byte_at(item->index, i);
    return 0;
}

static inline void assert_bytes(const forkfold_result *result, uint64_t bytes)
{
    const unsigned char *data = result->data;

    assert_false(result->failed);
    assert_int_equal(result->bytes, bytes);
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != byte_at(result->index, i))
            fail_msg("byte %zu of item %llu is %u", i, (unsigned long long)result->index, data[i]);
}

/* ---- Pools and calls ----------------------------------------------------- */

static inline forkfold_pool *open_pool_with(const forkfold_pool_options *options)
{
    forkfold_pool *pool = NULL;
    char message[512] = "";

    if (forkfold_pool_open(&pool, options, message, sizeof(message)) != 0)
        fail_msg("cannot open a pool: %s", message);
    return pool;
}

static inline forkfold_pool *open_pool(unsigned workers)
{
    return open_pool_with(&(forkfold_pool_options){.workers = workers});
}

#define assert_works(pool, code)                                                                   \
    do {                                                                                           \
        int code_ = (code);                                                                        \
        if (code_ != 0)                                                                            \
            fail_msg(#code ": %d, %s", code_, forkfold_pool_message(pool));                        \
    } while (0)

static inline uint64_t *make_numbers(uint64_t count)
{
    uint64_t *numbers = malloc((count > 0 ? count : 1) * sizeof(*numbers));

    assert_non_null(numbers);
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = i * 3 + 1;
    return numbers;
}

static inline forkfold_call_options mix_options(const uint64_t *numbers, uint64_t count)
{
    return (forkfold_call_options){.function = mix_item,
                                   .count = count,
                                   .arrays = {{.data = numbers, .item_bytes = sizeof(*numbers)}},
                                   .array_count = 1,
                                   .result_bytes = sizeof(uint64_t)};
}

static inline bool is_failed(const forkfold_call *call, uint64_t index)
{
    for (size_t i = 0; i < forkfold_call_failure_count(call); i++)
        if (forkfold_call_failure(call, i)->index == index)
            return true;
    return false;
}

/* Of a map of mix_options: all results are right but those that are listed as failed. */
static inline void assert_mixed(const forkfold_call *call, const uint64_t *numbers, uint64_t count)
{
    const uint64_t *results = forkfold_call_results(call);
    uint64_t failed = 0;

    assert_true(count == 0 || results != NULL);
    for (uint64_t i = 0; i < count; i++) {
        forkfold_result result;

        assert_int_equal(forkfold_call_result(call, i, &result), 0);
        assert_int_equal(result.index, i);
        if (result.failed) {
            failed++;
            assert_true(is_failed(call, i));
            assert_int_equal(forkfold_call_failure_of(call, i)->index, i);
        } else if (results[i] != mixed(numbers[i], i) || result.data != &results[i]) {
            fail_msg("item %llu of %llu", (unsigned long long)i, (unsigned long long)count);
        }
    }
    assert_int_equal(failed, forkfold_call_failure_count(call));
    assert_null(forkfold_call_failure_of(call, count));
}

/* The pool does what it should after whatever went before. */
static inline void assert_pool_is_well(forkfold_pool *pool)
{
    enum { COUNT = 1000 };
    uint64_t *numbers = make_numbers(COUNT);
    forkfold_call_options options = mix_options(numbers, COUNT);
    forkfold_call *call = NULL;

    options.chunk = 3;
    assert_works(pool, forkfold_map(pool, &options, &call));
    assert_int_equal(forkfold_call_failure_count(call), 0);
    assert_mixed(call, numbers, COUNT);
    forkfold_call_close(call);
    free(numbers);
}

/* Reads an imap of mix_options to its end: every item once, and in order if it has to be. */
static inline void assert_imap_mixed(forkfold_call *call, const uint64_t *numbers, uint64_t count,
                                     bool ordered)
{
    unsigned char *seen = calloc(count + 1, 1);
    forkfold_result result;
    uint64_t read = 0;
    int code;

    assert_non_null(seen);
    while ((code = forkfold_call_next(call, &result)) == 1) {
        assert_true(result.index < count);
        assert_int_equal(seen[result.index]++, 0);
        assert_true(!ordered || result.index == read);
        assert_int_equal(result.failed, is_failed(call, result.index));
        if (!result.failed)
            assert_int_equal(*(const uint64_t *)result.data,
                             mixed(numbers[result.index], result.index));
        read++;
    }
    if (code != 0)
        fail_msg("after %llu results: %d, %s", (unsigned long long)read, code,
                 forkfold_call_message(call));
    assert_int_equal(read, count);
    assert_int_equal(forkfold_call_next(call, &result), 0);
    free(seen);
}

/* ---- Processes ----------------------------------------------------------- */

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

/* Of a process with one pool and no children of its own. */
static inline pid_t supervisor_of_only_pool(void)
{
    pid_t children[4];

    assert_int_equal(children_of(getpid(), children, 4), 1);
    return children[0];
}

static inline unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#endif
