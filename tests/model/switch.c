/* SPDX-License-Identifier: Apache-2.0 */
#include "switch.h"

#include <ucontext.h>

static jump_place outside;

/* Functions of their own: the compiler's jump must not lead to the function that it is in. */
static _Noreturn __attribute__((noinline)) void go_outside(void)
{
    __builtin_longjmp(outside, 1);
}

static _Noreturn __attribute__((noinline)) void go_inside(struct coroutine *coroutine)
{
    __builtin_longjmp(coroutine->resume, 1);
}

/* The frame of its caller, which is resumed, lies above this one's. */
static _Noreturn __attribute__((noinline)) void leave(struct coroutine *self)
{
    self->stack_low = __builtin_frame_address(0);
    go_outside();
}

__attribute__((noinline)) void coroutine_pause(struct coroutine *self)
{
    if (__builtin_setjmp(self->resume) == 0)
        leave(self);
}

_Noreturn void coroutine_end(void)
{
    go_outside();
}

__attribute__((noinline)) void coroutine_resume(struct coroutine *coroutine)
{
    if (__builtin_setjmp(outside) == 0)
        go_inside(coroutine);
}

static __attribute__((noinline)) void enter(ucontext_t *context)
{
    ucontext_t unused;

    swapcontext(&unused, context);
}

__attribute__((noinline)) void coroutine_begin(char *stack, size_t bytes, void (*run)(void))
{
    ucontext_t context;

    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = NULL;
    makecontext(&context, run, 0);
    if (__builtin_setjmp(outside) == 0)
        enter(&context);
}
