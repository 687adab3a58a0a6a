/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that a model runs on: processes with stacks of their own, memory, store buffers.  The
 * search (explore.c) decides what happens next.
 */
#ifndef FF_TESTS_MODEL_ENGINE_H
#define FF_TESTS_MODEL_ENGINE_H

#include "model.h"
#include "switch.h"

enum { BUFFER_MAX = 8 };

enum op_kind {
    OP_BEGIN,
    OP_LOAD,
    OP_STORE,
    OP_ADD,
    OP_OR,
    OP_EXCHANGE,
    OP_SWAP,
    OP_FENCE,
    OP_SLEEP,
    OP_ASLEEP,
    OP_WAKE,
    OP_AWAIT,
    OP_AWAIT_CHANGE
};

/* What a process does next.  No padding: it is a part of what states are told apart by. */
struct op {
    uint64_t value;
    uint64_t expected; /* by a swap */
    volatile void *word;
    bool (*ready)(void *what); /* of OP_AWAIT */
    void *what;
    uint32_t bytes;
    uint16_t kind;
    uint8_t order;
    uint8_t is_weak;
};

/* A store that is not visible yet. */
struct buffered {
    volatile void *word;
    uint64_t value;
    uint32_t bytes;
    uint32_t order;
};

enum life { ALIVE, RETURNED, DEAD, REAPED };

struct process {
    struct coroutine coroutine;
    struct op next;
    uint32_t buffered;
    uint8_t life;
    uint8_t is_looking;       /* model_look() came after the last model_await_change() */
    uint8_t has_changed;      /* since then another process has changed a word */
    uint8_t is_worth_killing; /* it has changed something since its death was last tried */
    uint8_t fails;            /* the weak exchange that it does next */
    uint8_t unused[7];
    struct buffered buffer[BUFFER_MAX];
};

/* With the memory, and the stacks, all that a state is. */
struct core {
    struct process processes[MODEL_PROCESSES_MAX];
    uint64_t deaths_left;
    uint64_t failures_left;
};

extern struct core core;

/* ---- For the search ------------------------------------------------------ */

/* Memory and processes as the scenario begins. */
void engine_begin(const struct model_scenario *scenario);

bool engine_can_step(unsigned process);
void engine_step(unsigned process);
/* The kill point that the newest step passed last, or NULL. */
const char *engine_passed(void);
bool engine_can_flush(unsigned process, unsigned entry);
void engine_flush(unsigned process, unsigned entry);

/* The parts of memory that processes change, from 0 on, then NULL; and the stack of a process. */
const char *engine_memory(unsigned part, size_t *bytes);
const char *engine_stack(unsigned process, size_t *bytes);

/* Whether the stack of a process may have changed since the last engine_forget_runs(). */
bool engine_has_run(unsigned process);
void engine_forget_runs(void);

/* Saves to memory that has room for engine_state_bytes(). */
size_t engine_state_bytes(void);
void engine_save(char *to);
void engine_load(const char *from);

/* What is violated, or NULL; forgotten by engine_begin(). */
const char *engine_failure(void);

/* Whether some word turned out to be shared by more processes than was thought, since the last call. */
bool engine_has_learnt(void);
void engine_forget_words(void);

/* From here on each step, and each note, is printed. */
void engine_trace(bool is_on);
void engine_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Between the parts of the machine ------------------------------------ */

const struct model_scenario *engine_scenario(void);

/* sharing.c: whether another process can tell, or make, a difference. */
bool engine_is_shared(const struct op *op);

/* trace.c: what happens to a word; the kill point that was passed, and the names, of before. */
void engine_tell(const volatile void *word, unsigned bytes, const char *what, uint64_t value);
void engine_forget_passed(void);
void engine_forget_names(void);

/* heap.c: there is none; of a process that has ended. */
void engine_close_heap(void);
void engine_free_all_of(unsigned process);

#endif
