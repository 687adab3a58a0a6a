/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines whose stacks can be copied and put back.  In a file of their own, so that the compiler
 * takes no call of these to leave a register alone.
 */
#ifndef FF_TESTS_MODEL_SWITCH_H
#define FF_TESTS_MODEL_SWITCH_H

#include <stddef.h>

/* Where to go on: for the compiler's own setjmp, which leaves all registers on the stack. */
typedef void *jump_place[5];

struct coroutine {
    jump_place resume;
    char *stack_low; /* what lies above is its stack, as far as it is in use */
};

/* Runs the function on a stack, until it pauses. */
void coroutine_begin(char *stack, size_t bytes, void (*run)(void));

/* Returns when the coroutine pauses or ends. */
void coroutine_resume(struct coroutine *coroutine);

/* For coroutines. */
void coroutine_pause(struct coroutine *self);
_Noreturn void coroutine_end(void);

#endif
