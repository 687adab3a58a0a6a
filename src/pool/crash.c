/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/crash.h"

#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <signal.h>
#include <unistd.h>

enum {
    /* The unwinder's own frames take some 20 KiB. */
    STACK_BYTES = 128 * 1024,
    /* A fault inside a lock that the unwinder needs would otherwise hang here for ever. */
    CAPTURE_SECONDS = 2
};

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

enum { FATAL_SIGNALS = sizeof(fatal_signals) / sizeof(fatal_signals[0]) };

static struct ff_crash *crash_record;

/* Where other handlers write, or -1; and those that are behind these here. */
static int text_fd = -1;
static struct sigaction behind[FATAL_SIGNALS];

/* A stack that has overflown cannot hold its own handler. */
static char alternate_stack[STACK_BYTES];

static bool has_address(int signal_number)
{
    return signal_number == SIGSEGV || signal_number == SIGBUS || signal_number == SIGFPE ||
           signal_number == SIGILL;
}

/*
 * A call of NULL has no frame: where it came from is where it would have
 * returned to, which x86-64 keeps on the stack and aarch64 in the link register.
 */
static bool is_call_of_null(const ucontext_t *context)
{
#if defined(__x86_64__)
    return context->uc_mcontext.gregs[REG_RIP] == 0;
#elif defined(__aarch64__)
    return context->uc_mcontext.pc == 0;
#else
    (void)context;
    return false;
#endif
}

static void return_from_call(ucontext_t *context)
{
#if defined(__x86_64__)
    greg_t *registers = context->uc_mcontext.gregs;

    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a register is a number */
    registers[REG_RIP] = *(const greg_t *)(uintptr_t)registers[REG_RSP];
    registers[REG_RSP] += (greg_t)sizeof(greg_t);
#elif defined(__aarch64__)
    context->uc_mcontext.pc = context->uc_mcontext.regs[30];
#else
    (void)context;
#endif
}

static void write_frames(const ucontext_t *interrupted)
{
    ucontext_t context = *interrupted; /* the fault must repeat where it was */
    unw_cursor_t cursor;
    uint64_t count = 0;

    if (is_call_of_null(&context)) {
        crash_record->frames[0] = 0;
        ff_publish(&crash_record->frame_count, ++count);
        return_from_call(&context);
    }
    if (unw_init_local2(&cursor, &context, UNW_INIT_SIGNAL_FRAME) < 0)
        return;
    do {
        unw_word_t address;

        if (unw_get_reg(&cursor, UNW_REG_IP, &address) < 0 || address == 0)
            return;
        crash_record->frames[count] = address;
        ff_publish(&crash_record->frame_count, ++count);
    } while (count < FF_FRAMES_MAX && unw_step(&cursor) > 0);
}

/* What the handlers behind this one have written. */
static void read_text(void)
{
    ssize_t bytes = pread(text_fd, crash_record->text, sizeof(crash_record->text), 0);

    if (bytes > 0)
        ff_publish(&crash_record->text_bytes, (uint64_t)bytes);
}

static void note_signal(int signal_number, const siginfo_t *info, bool sent, const void *context)
{
    crash_record->signal = signal_number;
    /* A general protection fault comes without its address. */
    crash_record->has_address = !sent && info->si_code != SI_KERNEL && has_address(signal_number);
    crash_record->address = crash_record->has_address ? (uint64_t)(uintptr_t)info->si_addr : 0;
    ff_publish(&crash_record->written, 1);
    write_frames(context);
}

static struct sigaction *handler_behind(int signal_number)
{
    for (size_t i = 0; i < FATAL_SIGNALS; i++)
        if (fatal_signals[i] == signal_number)
            return &behind[i];
    return NULL;
}

/*
 * The action is the default again (SA_RESETHAND), unless there is a handler behind this one, which
 * is run once; a fault repeats itself on return.
 */
static void on_fatal_signal(int signal_number, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0; /* by kill, raise or abort, not by a fault */
    struct sigaction *next = handler_behind(signal_number);

    signal(SIGALRM, SIG_DFL);
    alarm(CAPTURE_SECONDS);
    if (ff_peer_get(&crash_record->written) == 0) {
        note_signal(signal_number, info, sent, context);
        if (text_fd >= 0 && next != NULL)
            sigaction(signal_number, next, NULL);
    } else if (text_fd >= 0) {
        read_text();
    }
    if (sent)
        raise(signal_number);
}

static void install(void)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack)};
    struct sigaction action = {.sa_sigaction = on_fatal_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};

    sigaltstack(&stack, NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FATAL_SIGNALS; i++)
        sigaction(fatal_signals[i], &action, &behind[i]);
}

void ff_crash_install(struct ff_crash *record)
{
    crash_record = record;
    text_fd = -1;
    install();
}

void ff_crash_install_before(int fd)
{
    text_fd = fd;
    install();
}
