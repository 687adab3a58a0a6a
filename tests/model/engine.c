/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes are coroutines.  One that is about to access a shared word jumps to the search, which
 * some time jumps back; what it does then is done by itself, on its own stack.  A stack lies at the
 * same addresses all the time, so a copy of it can be put back.
 *
 * Store buffers.  A store that is not in order yet waits in its process's buffer, whose owner sees
 * it at once.  Stores leave it in any order, but those to one word in theirs, and one that releases
 * after all before it.  What is sequentially consistent waits for such stores before it; a fence,
 * and an operation that reads and writes, for all.  Loads are never late: what a missing acquire
 * would do is not seen.
 */
#include "engine.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "access.h"
#include "platform/kill_point.h"

enum { MEMORY_BYTES = 1 << 18, STACK_BYTES = 1 << 17, KEPT_MAX = 8 };

struct core core;

static const struct model_scenario *scenario;
static _Alignas(64) char memory[MEMORY_BYTES];
static size_t memory_used;
static struct kept {
    char *base;
    size_t bytes;
} kept[KEPT_MAX];
static unsigned kept_count;
static _Alignas(64) char stacks[MODEL_PROCESSES_MAX][STACK_BYTES];

/* Each process as it begins; what its stack holds then. */
static struct process births[MODEL_PROCESSES_MAX];
static char birth_stacks[MODEL_PROCESSES_MAX][1024];

static unsigned current = MODEL_NOBODY;
static bool has_run[MODEL_PROCESSES_MAX];
static char failure[512];

/* ---- Switching ----------------------------------------------------------- */

void model_fail(const char *format, ...)
{
    va_list arguments;

    if (failure[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
    engine_say("fails");
}

const struct model_scenario *engine_scenario(void)
{
    return scenario;
}

const char *engine_failure(void)
{
    return failure[0] != '\0' ? failure : NULL;
}

unsigned model_self(void)
{
    return current;
}

const void *model_setting(void)
{
    return scenario->setting;
}

/* Until the search lets it go on. */
static void yield(struct process *self)
{
    coroutine_pause(&self->coroutine);
}

static void end_life(unsigned process, enum life life)
{
    struct process *ended = &core.processes[process];

    memset(&ended->coroutine, 0, sizeof(ended->coroutine));
    memset(&ended->next, 0, sizeof(ended->next));
    ended->coroutine.stack_low = stacks[process] + STACK_BYTES;
    ended->life = life;
    has_run[process] = true;
    engine_free_all_of(process);
    ended->is_looking = ended->has_changed = ended->is_worth_killing = ended->fails = 0;
}

static _Noreturn void end_self(enum life life)
{
    end_life(current, life);
    coroutine_end();
}

static void live(void)
{
    struct process *self = &core.processes[current];

    self->next = (struct op){.kind = OP_BEGIN};
    yield(self);
    scenario->processes[current].run(current);
    end_self(RETURNED);
}

static void give_birth(unsigned number)
{
    struct process *process = &core.processes[number];
    size_t bytes;

    memset(stacks[number], 0, STACK_BYTES);
    current = number;
    coroutine_begin(stacks[number], STACK_BYTES, live);
    current = MODEL_NOBODY;
    process->is_worth_killing = scenario->dies_at == NULL;
    births[number] = *process;
    (void)engine_stack(number, &bytes);
    assert(bytes <= sizeof(birth_stacks[number]));
    memcpy(birth_stacks[number], process->coroutine.stack_low, bytes);
}

void engine_begin(const struct model_scenario *begun)
{
    scenario = begun;
    memset(&core, 0, sizeof(core));
    memset(memory, 0, memory_used);
    memory_used = 0;
    kept_count = 0;
    engine_close_heap();
    engine_forget_names();
    failure[0] = '\0';
    core.deaths_left = begun->deaths;
    core.failures_left = begun->failures;
    begun->set_up();
    for (unsigned i = 0; i < begun->process_count; i++)
        give_birth(i);
}

void engine_step(unsigned process)
{
    engine_forget_passed();
    current = process;
    has_run[process] = true;
    coroutine_resume(&core.processes[process].coroutine);
    current = MODEL_NOBODY;
}

bool engine_has_run(unsigned process)
{
    return has_run[process];
}

void engine_forget_runs(void)
{
    memset(has_run, 0, sizeof(has_run));
}

bool engine_can_step(unsigned process)
{
    const struct process *p = &core.processes[process];

    if (p->life != ALIVE || p->next.kind == OP_ASLEEP)
        return false;
    if (p->next.kind == OP_AWAIT_CHANGE)
        return p->has_changed;
    return p->next.kind != OP_AWAIT || p->next.ready(p->next.what);
}

/* ---- Memory -------------------------------------------------------------- */

void *model_take(size_t bytes)
{
    void *taken = memory + memory_used;

    memory_used += (bytes + 63) & ~(size_t)63;
    assert(memory_used <= MEMORY_BYTES);
    return taken;
}

void model_keep(void *base, size_t bytes)
{
    assert(kept_count < KEPT_MAX);
    kept[kept_count++] = (struct kept){.base = base, .bytes = bytes};
}

static char *part_of_memory(unsigned part, size_t *bytes)
{
    if (part == 0) {
        *bytes = memory_used;
        return memory;
    }
    if (part > kept_count)
        return NULL;
    *bytes = kept[part - 1].bytes;
    return kept[part - 1].base;
}

const char *engine_memory(unsigned part, size_t *bytes)
{
    return part_of_memory(part, bytes);
}

const char *engine_stack(unsigned process, size_t *bytes)
{
    const char *low = core.processes[process].coroutine.stack_low;

    *bytes = (size_t)(stacks[process] + STACK_BYTES - low);
    return low;
}

static uint64_t peek(const volatile void *word, unsigned bytes)
{
    switch (bytes) {
    case 1:
        return *(const volatile uint8_t *)word;
    case 4:
        return *(const volatile uint32_t *)word;
    default:
        return *(const volatile uint64_t *)word;
    }
}

static void poke(volatile void *word, unsigned bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        *(volatile uint8_t *)word = (uint8_t)value;
        break;
    case 4:
        *(volatile uint32_t *)word = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)word = value;
        break;
    }
}

/* A store of this process becomes visible. */
static void show_store(unsigned process, volatile void *word, unsigned bytes, uint64_t value)
{
    if (peek(word, bytes) == value)
        return;
    poke(word, bytes, value);
    for (unsigned i = 0; i < MODEL_PROCESSES_MAX; i++)
        if (i != process && core.processes[i].is_looking)
            core.processes[i].has_changed = true;
}

bool engine_can_flush(unsigned process, unsigned entry)
{
    const struct process *p = &core.processes[process];

    if (entry >= p->buffered)
        return false;
    if (entry > 0 && p->buffer[entry].order != memory_order_relaxed)
        return false;
    for (unsigned i = 0; i < entry; i++)
        if (p->buffer[i].word == p->buffer[entry].word)
            return false;
    return true;
}

void engine_flush(unsigned process, unsigned entry)
{
    struct process *p = &core.processes[process];
    struct buffered shown = p->buffer[entry];

    show_store(process, shown.word, shown.bytes, shown.value);
    p->buffered--;
    memmove(&p->buffer[entry], &p->buffer[entry + 1], (p->buffered - entry) * sizeof(p->buffer[0]));
    memset(&p->buffer[p->buffered], 0, sizeof(p->buffer[0]));
    current = process;
    engine_tell(shown.word, shown.bytes, "is visible now:", shown.value);
    current = MODEL_NOBODY;
}

/* The first count stores. */
static void drain(unsigned process, unsigned count)
{
    struct process *p = &core.processes[process];

    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++)
        show_store(process, p->buffer[i].word, p->buffer[i].bytes, p->buffer[i].value);
    p->buffered -= count;
    memmove(p->buffer, &p->buffer[count], p->buffered * sizeof(p->buffer[0]));
    memset(&p->buffer[p->buffered], 0, count * sizeof(p->buffer[0]));
}

static void drain_all(unsigned process)
{
    drain(process, core.processes[process].buffered);
}

static void drain_announcements(unsigned process)
{
    const struct process *p = &core.processes[process];
    unsigned count = p->buffered;

    while (count > 0 && p->buffer[count - 1].order != memory_order_seq_cst)
        count--;
    drain(process, count);
}

/* What the process itself sees. */
static uint64_t look_at(const struct process *p, const volatile void *word, unsigned bytes)
{
    for (unsigned i = p->buffered; i-- > 0;)
        if (p->buffer[i].word == word)
            return p->buffer[i].value;
    return peek(word, bytes);
}

static void do_store(struct process *self, const struct op *op, bool can_wait)
{
    if (scenario->memory == MODEL_IN_ORDER || !can_wait) {
        show_store(current, op->word, op->bytes, op->value);
        return;
    }
    if (self->buffered == BUFFER_MAX)
        drain(current, 1);
    self->buffer[self->buffered++] = (struct buffered){
        .word = op->word, .value = op->value, .bytes = op->bytes, .order = op->order};
}

/* ---- Accesses ------------------------------------------------------------ */

/* Waits for its turn, unless nobody can tell.  Whether it had to. */
static bool await_turn(const struct op *op)
{
    struct process *self = &core.processes[current];

    if (current == MODEL_NOBODY || !engine_is_shared(op))
        return false;
    self->next = *op;
    yield(self);
    return true;
}

uint64_t model_load(const volatile void *word, unsigned bytes, int order)
{
    uint64_t value;

    if (current == MODEL_NOBODY)
        return peek(word, bytes);
    (void)await_turn(&(struct op){
        .kind = OP_LOAD, .word = (volatile void *)word, .bytes = bytes, .order = (uint8_t)order});
    if (order == memory_order_seq_cst)
        drain_announcements(current);
    value = look_at(&core.processes[current], word, bytes);
    engine_tell(word, bytes, "is", value);
    return value;
}

void model_store(volatile void *word, unsigned bytes, uint64_t value, int order)
{
    struct op op = {
        .kind = OP_STORE, .word = word, .bytes = bytes, .value = value, .order = (uint8_t)order};

    if (current == MODEL_NOBODY) {
        poke(word, bytes, value);
        return;
    }
    do_store(&core.processes[current], &op, await_turn(&op));
    engine_tell(word, bytes, "=", value);
}

/* Before an operation that reads and writes; what it reads. */
static uint64_t begin_exchange(const struct op *op)
{
    if (current == MODEL_NOBODY)
        return peek(op->word, op->bytes);
    (void)await_turn(op);
    drain_all(current);
    return peek(op->word, op->bytes);
}

static void end_exchange(const struct op *op, uint64_t value)
{
    if (current == MODEL_NOBODY) {
        poke(op->word, op->bytes, value);
        return;
    }
    show_store(current, op->word, op->bytes, value);
    engine_tell(op->word, op->bytes, "becomes", value);
}

static uint64_t fetch_and(enum op_kind kind, volatile void *word, unsigned bytes, uint64_t value,
                          int order)
{
    struct op op = {.kind = (uint16_t)kind,
                    .word = word,
                    .bytes = bytes,
                    .value = value,
                    .order = (uint8_t)order};
    uint64_t before = begin_exchange(&op);

    end_exchange(&op, kind == OP_ADD ? before + value : kind == OP_OR ? before | value : value);
    return before;
}

uint64_t model_fetch_add(volatile void *word, unsigned bytes, uint64_t value, int order)
{
    return fetch_and(OP_ADD, word, bytes, value, order);
}

uint64_t model_fetch_or(volatile void *word, unsigned bytes, uint64_t value, int order)
{
    return fetch_and(OP_OR, word, bytes, value, order);
}

uint64_t model_exchange(volatile void *word, unsigned bytes, uint64_t value, int order)
{
    return fetch_and(OP_EXCHANGE, word, bytes, value, order);
}

/* Whether the search has chosen that this exchange fails for no reason. */
static bool fails_for_no_reason(void)
{
    bool fails;

    if (current == MODEL_NOBODY)
        return false;
    fails = core.processes[current].fails;
    core.processes[current].fails = false;
    return fails;
}

bool model_swap(volatile void *word, unsigned bytes, uint64_t *expected, uint64_t value,
                bool is_weak, int order)
{
    struct op op = {.kind = OP_SWAP,
                    .word = word,
                    .bytes = bytes,
                    .value = value,
                    .expected = *expected,
                    .order = (uint8_t)order,
                    .is_weak = is_weak};
    uint64_t before = begin_exchange(&op);
    bool fails = fails_for_no_reason();

    if (fails || before != *expected) {
        engine_tell(word, bytes, "is not swapped:", before);
        *expected = before;
        return false;
    }
    end_exchange(&op, value);
    return true;
}

void model_fence(int order)
{
    struct process *self = &core.processes[current];

    /* Loads are never late, and no code under test has a release fence. */
    assert(order == memory_order_acquire || order == memory_order_seq_cst);
    if (current == MODEL_NOBODY || order != memory_order_seq_cst || self->buffered == 0)
        return;
    self->next = (struct op){.kind = OP_FENCE};
    yield(self);
    drain_all(current);
    engine_say("settles");
}

/* ---- Waiting and dying --------------------------------------------------- */

void model_await(bool (*ready)(void *what), void *what)
{
    struct process *self = &core.processes[current];

    self->next = (struct op){.kind = OP_AWAIT, .ready = ready, .what = what};
    yield(self);
}

void model_look(void)
{
    struct process *self = &core.processes[current];

    self->is_looking = true;
    self->has_changed = false;
}

void model_await_change(void)
{
    struct process *self = &core.processes[current];

    self->next = (struct op){.kind = OP_AWAIT_CHANGE};
    yield(self);
    self->is_looking = self->has_changed = false;
}

void model_sleep_on(const volatile void *word, uint32_t snapshot)
{
    struct process *self = &core.processes[current];
    struct op op = {.kind = OP_SLEEP, .word = (volatile void *)word, .bytes = 4, .value = snapshot};

    (void)engine_is_shared(&op);
    self->next = op;
    yield(self);
    drain_all(current);
    if (peek(word, 4) != snapshot)
        return;
    engine_tell(word, 4, "is slept on while it is", snapshot);
    op.kind = OP_ASLEEP;
    self->next = op;
    yield(self);
}

void model_wake(const volatile void *word)
{
    struct process *self = &core.processes[current];
    struct op op = {.kind = OP_WAKE, .word = (volatile void *)word, .bytes = 4};

    (void)engine_is_shared(&op);
    self->next = op;
    yield(self);
    drain_all(current);
    engine_say("wakes");
    for (unsigned i = 0; i < scenario->process_count; i++)
        if (core.processes[i].life == ALIVE && core.processes[i].next.kind == OP_ASLEEP &&
            core.processes[i].next.word == word)
            core.processes[i].next.kind = OP_BEGIN;
}

bool model_is_alive(unsigned process)
{
    return core.processes[process].life == ALIVE;
}

bool model_is_dead(unsigned process)
{
    return core.processes[process].life == DEAD;
}

unsigned model_find_dead(void)
{
    for (unsigned i = 0; i < scenario->process_count; i++)
        if (core.processes[i].life == DEAD)
            return i;
    return MODEL_NOBODY;
}

void model_reap(unsigned process)
{
    assert(core.processes[process].life == DEAD);
    drain_all(process);
    core.processes[process].life = REAPED;
    engine_say("reaps %s", scenario->processes[process].name);
}

void model_start_again(unsigned process)
{
    size_t bytes;

    assert(core.processes[process].life == REAPED);
    core.processes[process] = births[process];
    has_run[process] = true;
    (void)engine_stack(process, &bytes);
    memcpy(core.processes[process].coroutine.stack_low, birth_stacks[process], bytes);
    engine_say("starts another %s", scenario->processes[process].name);
}

void model_kill(unsigned process)
{
    if (core.processes[process].life != ALIVE)
        return;
    engine_say("ends %s", scenario->processes[process].name);
    if (process == current)
        end_self(DEAD);
    end_life(process, DEAD);
}

/* ---- States -------------------------------------------------------------- */

/* What a copy of a state is made of, piece by piece, and NULL at the end. */
static char *piece(unsigned number, size_t *bytes)
{
    if (number == 0) {
        *bytes = sizeof(core);
        return (char *)&core;
    }
    number--;
    if (number < scenario->process_count)
        return (char *)engine_stack(number, bytes);
    return part_of_memory(number - scenario->process_count, bytes);
}

size_t engine_state_bytes(void)
{
    size_t total = 0;
    size_t bytes;

    for (unsigned i = 0; piece(i, &bytes) != NULL; i++)
        total += bytes;
    return total;
}

void engine_save(char *to)
{
    const char *from;
    size_t bytes;

    for (unsigned i = 0; (from = piece(i, &bytes)) != NULL; i++, to += bytes)
        memcpy(to, from, bytes);
}

/* The first piece says where the stacks are. */
void engine_load(const char *from)
{
    char *to;
    size_t bytes;

    for (unsigned i = 0; (to = piece(i, &bytes)) != NULL; i++, from += bytes)
        memcpy(to, from, bytes);
}
