/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes that each store a word and read the other's, at once and over and over: one of them
 * must see what the other stored.
 */
#include <linux/membarrier.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/atomic.h"
#include "platform/barrier.h"

enum { ROUNDS = 10000, DELAYS = 500 };

/* Each word on a cache line of its own. */
static struct words {
    _Alignas(64) ff_word64 heeds; /* the child has begun so many rounds */
    _Alignas(64) ff_word64 sends; /* the parent */
    _Alignas(64) ff_word64 current;
    _Alignas(64) ff_word64 cancelled;
    _Alignas(64) ff_word64 seen; /* what the child read of cancelled */
} * words;

/* A process that shares its processor has to let the other one run. */
static void await(const ff_word64 *word, uint64_t value)
{
    for (unsigned turns = 0; ff_observe(word) < value; turns++)
        if (turns > 10000)
            (void)sched_yield();
}

static _Noreturn void heed_all(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    ff_barrier_heed();
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        ff_publish(&words->heeds, 2 * round - 1);
        await(&words->sends, 2 * round - 1);
        ff_own_set(&words->current, round);
        ff_keep_order();
        uint64_t cancelled = ff_observe(&words->cancelled);

        ff_own_set(&words->seen, cancelled);
        ff_publish(&words->heeds, 2 * round);
        await(&words->sends, 2 * round);
    }
    _exit(0);
}

static bool is_supported(void)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    return commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

static void one_of_two_processes_sees_what_the_other_stored(void **state)
{
    pid_t child;
    int status;

    (void)state;
    if (!is_supported())
        skip();
    words = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(words != MAP_FAILED);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        heed_all();
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        await(&words->heeds, 2 * round - 1);
        ff_publish(&words->sends, 2 * round - 1);
        /* The child takes a while to see that. */
        for (volatile unsigned turns = 0; turns < round % DELAYS; turns++)
            ;
        ff_publish(&words->cancelled, round);
        ff_barrier_send();
        bool sees = ff_observe(&words->current) == round;

        await(&words->heeds, 2 * round);
        assert_true(sees || ff_peer_get(&words->seen) == round);
        ff_publish(&words->sends, 2 * round);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(words, sizeof(*words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_two_processes_sees_what_the_other_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
