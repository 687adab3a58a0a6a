/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scenario is made of, and what its processes may call.  README.md tells how it works.
 *
 * All memory that changes while processes run has to come from model_take() or lie on their stacks:
 * the model puts it back when it tries another course of events.
 */
#ifndef FF_TESTS_MODEL_H
#define FF_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_PROCESSES_MAX = 6, MODEL_NOBODY = MODEL_PROCESSES_MAX };

struct model_process {
    const char *name;
    void (*run)(unsigned self);
    bool may_die;
    bool is_daemon; /* it need not have returned at the end */
};

enum model_memory {
    MODEL_IN_ORDER, /* what is stored is there: sequential consistency */
    MODEL_BUFFERED  /* stores become visible later, as far as their memory orders allow */
};

struct model_scenario {
    const char *name;
    const void *setting; /* for model_setting() */
    unsigned process_count;
    struct model_process processes[MODEL_PROCESSES_MAX];
    void (*set_up)(void);
    void (*check)(void);  /* in each state; or NULL */
    void (*at_end)(void); /* when nobody can go on, and only daemons wait; or NULL */
    unsigned deaths;      /* the most, of those who may die */
    const char *dies_at;  /* only after kill points whose names begin so; NULL = anywhere */
    unsigned preemptions; /* the most, of processes that could go on; 0 = any number */
    unsigned failures;    /* the most, of weak exchanges for no reason */
    enum model_memory memory;
    bool is_deep; /* only with FORKFOLD_MODEL=deep */
};

/*
 * Explores the scenarios that the arguments name, or all, and prints a line of the TAP for each, and
 * a course of events to each violation, unless the first argument is -b.  The exit status: 0, or 1
 * if something was violated.
 */
int model_main(int argc, char **argv, const struct model_scenario *scenarios, size_t count);

/* ---- For set_up ---------------------------------------------------------- */

/* Zeroed, 64-byte aligned. */
void *model_take(size_t bytes);

/* Memory of the scenario's own that changes, too; set_up has to put it as it is to begin. */
void model_keep(void *memory, size_t bytes);

/* How traces call a word or an array of them; show, if not NULL, writes out a value. */
typedef void model_show(uint64_t value, char *text, size_t size);
void model_name(const volatile void *words, size_t bytes, model_show *show, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

const void *model_setting(void);

/* ---- For processes, at_end and check ------------------------------------- */

/* What must hold does not. */
void model_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define MODEL_CHECK(holds, ...) ((holds) ? (void)0 : model_fail(__VA_ARGS__))

/* A line for the trace, if there will be one. */
void model_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The process that runs, or MODEL_NOBODY. */
unsigned model_self(void);

/* Goes on when ready(what) holds, which may look at memory only. */
void model_await(bool (*ready)(void *what), void *what);

/* Goes on when another process has changed a word since model_look(). */
void model_look(void);
void model_await_change(void);

/* As the kernel's futex: nobody wakes up for nothing. */
void model_sleep_on(const volatile void *word, uint32_t snapshot);
void model_wake(const volatile void *word);

/* The first process that has died and is not reaped, or MODEL_NOBODY; not a step. */
unsigned model_find_dead(void);
bool model_is_dead(unsigned process); /* and not reaped */
bool model_is_alive(unsigned process);

/* What it has stored is visible from here on. */
void model_reap(unsigned process);

/* Another one begins where it began; after it was reaped. */
void model_start_again(unsigned process);

/* Ends the process that calls, or another one, as SIGKILL does. */
void model_kill(unsigned process);

/* A small heap for the code under test, where set_up has opened it. */
void model_open_heap(void);
void *model_allocate(size_t bytes);
void *model_reallocate(void *memory, size_t bytes);
void model_free(void *memory);

#endif
