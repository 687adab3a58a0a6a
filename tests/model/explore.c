/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search: depth first through all states, each of which is known by a hash of 64 bits of memory,
 * stacks, buffers and what else the engine has of the processes.
 *
 * Of a violation the course of events with the fewest preemptions is looked for, and printed.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine.h"

enum { ACTIONS_MAX = MODEL_PROCESSES_MAX * (3 + BUFFER_MAX) };

/* More than any scenario should have: one that needs more has to be made smaller. */
enum { STATES_MAX = 100 * 1000 * 1000 };

/* Looking for a better course of events is not worth more than this. */
enum { SHORTENING_STATES_MAX = 4 * 1000 * 1000, PREEMPTIONS_MAX = 8 };

enum { ANY_NUMBER = 255 };

enum action_kind { STEP, FAIL, FLUSH, DIE };

struct action {
    uint8_t kind;
    uint8_t process;
    uint8_t entry;
};

struct frame {
    size_t saved; /* where its state is */
    uint64_t memory_hash;
    uint64_t stack_hashes[MODEL_PROCESSES_MAX];
    struct action actions[ACTIONS_MAX];
    uint8_t count;
    uint8_t next;
    uint8_t last; /* the process that has made a step */
    uint8_t preemptions;
};

static struct search {
    const struct model_scenario *scenario;
    bool is_brief; /* that there is a violation is enough */
    unsigned preemptions_max;
    struct frame *frames;
    size_t depth;
    size_t frame_capacity;
    char *saved;
    size_t saved_bytes;
    size_t saved_capacity;
    uint64_t *seen; /* 0 is empty */
    uint64_t seen_capacity;
    uint64_t states;
    uint64_t steps;
    uint64_t ends;
} search;

static void *grow(void *memory, size_t bytes)
{
    void *grown = realloc(memory, bytes);

    if (grown == NULL) {
        fputs("no memory for the states of the model\n", stderr);
        exit(2);
    }
    return grown;
}

/* ---- States that were seen ----------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t next)
{
    hash = (hash ^ next) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t hash_memory(void)
{
    uint64_t hash = 0;
    const char *memory;
    size_t bytes;

    for (unsigned part = 0; (memory = engine_memory(part, &bytes)) != NULL; part++)
        hash = mix(hash, XXH3_64bits(memory, bytes));
    return hash;
}

/* Of the stacks that have changed; the others' hashes are those of the frame before. */
static void hash_stacks(struct frame *frame, const struct frame *before)
{
    for (unsigned i = 0; i < search.scenario->process_count; i++) {
        size_t bytes;
        const char *stack = engine_stack(i, &bytes);

        frame->stack_hashes[i] = before != NULL && !engine_has_run(i) ? before->stack_hashes[i]
                                                                      : XXH3_64bits(stack, bytes);
    }
}

/* The course of events that led here matters only where it is limited. */
static uint64_t hash_state(const struct frame *frame)
{
    uint64_t hash = mix(frame->memory_hash, core.deaths_left << 32 | core.failures_left);

    for (unsigned i = 0; i < search.scenario->process_count; i++) {
        const struct process *process = &core.processes[i];

        hash = mix(hash, XXH3_64bits(process, offsetof(struct process, buffer[process->buffered])));
        hash = mix(hash, frame->stack_hashes[i]);
    }
    if (search.preemptions_max != ANY_NUMBER)
        hash = mix(hash, (uint64_t)frame->last << 32 | frame->preemptions);
    return hash != 0 ? hash : 1;
}

static bool put(uint64_t *table, uint64_t capacity, uint64_t hash)
{
    uint64_t at = hash & (capacity - 1);

    while (table[at] != 0 && table[at] != hash)
        at = (at + 1) & (capacity - 1);
    if (table[at] == hash)
        return false;
    table[at] = hash;
    return true;
}

static void make_room(void)
{
    uint64_t capacity = search.seen_capacity > 0 ? search.seen_capacity * 2 : 1 << 12;
    uint64_t *table = calloc(capacity, sizeof(*table));

    if (table == NULL) {
        fputs("no memory for the states of the model\n", stderr);
        exit(2);
    }
    for (uint64_t i = 0; i < search.seen_capacity; i++)
        if (search.seen[i] != 0)
            (void)put(table, capacity, search.seen[i]);
    free(search.seen);
    search.seen = table;
    search.seen_capacity = capacity;
}

/* Whether it is new. */
static bool see(uint64_t hash)
{
    if (search.states * 2 >= search.seen_capacity)
        make_room();
    if (!put(search.seen, search.seen_capacity, hash))
        return false;
    search.states++;
    return true;
}

/* ---- What can happen ----------------------------------------------------- */

static void add(struct frame *frame, enum action_kind kind, unsigned process, unsigned entry)
{
    assert(frame->count < ACTIONS_MAX);
    frame->actions[frame->count++] = (struct action){
        .kind = (uint8_t)kind, .process = (uint8_t)process, .entry = (uint8_t)entry};
}

/* Another process than before goes on, though that one could. */
static bool is_preemption(const struct frame *frame, unsigned process)
{
    return frame->last != MODEL_NOBODY && frame->last != process && engine_can_step(frame->last);
}

static bool may_go_on(const struct frame *frame, unsigned process)
{
    return engine_can_step(process) &&
           (search.preemptions_max == ANY_NUMBER ||
            frame->preemptions + (unsigned)is_preemption(frame, process) <= search.preemptions_max);
}

static void add_steps(struct frame *frame, unsigned process)
{
    const struct op *next = &core.processes[process].next;

    if (!may_go_on(frame, process))
        return;
    add(frame, STEP, process, 0);
    if (next->kind == OP_SWAP && next->is_weak && core.failures_left > 0)
        add(frame, FAIL, process, 0);
}

/* The one that has made a step first, so that a course of events is easy to follow. */
static void find_actions(struct frame *frame)
{
    const struct model_scenario *scenario = search.scenario;

    frame->count = frame->next = 0;
    if (frame->last != MODEL_NOBODY)
        add_steps(frame, frame->last);
    for (unsigned i = 0; i < scenario->process_count; i++)
        if (i != frame->last)
            add_steps(frame, i);
    for (unsigned i = 0; i < scenario->process_count; i++)
        for (unsigned entry = 0; entry < BUFFER_MAX; entry++)
            if (engine_can_flush(i, entry))
                add(frame, FLUSH, i, entry);
    for (unsigned i = 0; i < scenario->process_count; i++)
        if (core.deaths_left > 0 && scenario->processes[i].may_die &&
            core.processes[i].life == ALIVE && core.processes[i].is_worth_killing)
            add(frame, DIE, i, 0);
}

static bool can_anything_happen(void)
{
    for (unsigned i = 0; i < search.scenario->process_count; i++)
        if (engine_can_step(i) || engine_can_flush(i, 0))
            return true;
    return false;
}

static void check_end(void)
{
    const struct model_scenario *scenario = search.scenario;

    search.ends++;
    for (unsigned i = 0; i < scenario->process_count; i++)
        if (core.processes[i].life == ALIVE && !scenario->processes[i].is_daemon)
            model_fail("nobody can go on, and the %s has not ended", scenario->processes[i].name);
    if (scenario->at_end != NULL)
        scenario->at_end();
}

static void perform(struct action action)
{
    struct process *process = &core.processes[action.process];

    switch ((enum action_kind)action.kind) {
    case FAIL:
        process->fails = true;
        core.failures_left--;
        engine_step(action.process);
        break;
    case STEP:
        engine_step(action.process);
        break;
    case FLUSH:
        engine_flush(action.process, action.entry);
        break;
    case DIE:
        core.deaths_left--;
        model_kill(action.process);
        break;
    }
    search.steps++;
    if (search.scenario->check != NULL)
        search.scenario->check();
}

/* ---- The search ---------------------------------------------------------- */

static void push(unsigned last, unsigned preemptions)
{
    if (search.depth == search.frame_capacity) {
        search.frame_capacity = search.frame_capacity > 0 ? search.frame_capacity * 2 : 256;
        search.frames = grow(search.frames, search.frame_capacity * sizeof(*search.frames));
    }
    struct frame *frame = &search.frames[search.depth++];

    frame->last = (uint8_t)last;
    frame->preemptions = (uint8_t)preemptions;
    frame->saved = search.saved_bytes;
    frame->count = frame->next = 0;
}

static void pop(void)
{
    search.saved_bytes = search.frames[--search.depth].saved;
}

static void save(void)
{
    size_t bytes = engine_state_bytes();

    if (search.saved_bytes + bytes > search.saved_capacity) {
        search.saved_capacity = 2 * search.saved_capacity + bytes;
        search.saved = grow(search.saved, search.saved_capacity);
    }
    engine_save(search.saved + search.saved_bytes);
    search.saved_bytes += bytes;
}

/* A step that changed nothing that others see need not be followed by a death: one before is the same. */
static void judge_death(unsigned process, bool has_changed)
{
    struct process *p = &core.processes[process];
    const char *dies_at = search.scenario->dies_at;
    const char *passed = engine_passed();

    p->is_worth_killing =
        p->life == ALIVE &&
        (dies_at != NULL ? passed != NULL && strncmp(passed, dies_at, strlen(dies_at)) == 0
                         : has_changed || p->buffered > 0);
}

/* The state that there is now: what can happen, unless it was seen before. */
static void expand(struct frame *frame)
{
    if (!see(hash_state(frame)))
        return;
    if (!can_anything_happen()) {
        check_end();
        if (engine_failure() != NULL)
            return;
    }
    find_actions(frame);
    if (frame->count > 1)
        save();
}

static void follow(struct frame *frame)
{
    struct action action = frame->actions[frame->next++];
    unsigned preemptions = frame->preemptions;
    unsigned last = frame->last;
    uint64_t memory_hash = frame->memory_hash;

    if (frame->next > 1)
        engine_load(search.saved + frame->saved);
    engine_forget_runs();
    if (action.kind == STEP || action.kind == FAIL) {
        preemptions += is_preemption(frame, action.process);
        last = action.process;
    }
    perform(action);
    push(last, preemptions);
    frame = &search.frames[search.depth - 1];
    frame->memory_hash = hash_memory();
    hash_stacks(frame, frame - 1);
    if (action.kind == STEP || action.kind == FAIL)
        judge_death(action.process, frame->memory_hash != memory_hash);
}

static void begin(void)
{
    search.depth = search.saved_bytes = 0;
    search.states = search.steps = search.ends = 0;
    free(search.seen);
    search.seen = NULL;
    search.seen_capacity = 0;
    engine_begin(search.scenario);
    push(MODEL_NOBODY, 0);
    search.frames[0].memory_hash = hash_memory();
    hash_stacks(&search.frames[0], NULL);
}

/* Whether it got to the end; a violation, if any, is in the path of the frames. */
static bool explore(unsigned preemptions_max, uint64_t states_max)
{
    search.preemptions_max = preemptions_max;
    begin();
    expand(&search.frames[0]);
    while (search.depth > 0 && engine_failure() == NULL && search.states < states_max) {
        struct frame *frame = &search.frames[search.depth - 1];

        if (frame->next == frame->count) {
            pop();
            continue;
        }
        follow(frame);
        if (engine_failure() == NULL)
            expand(&search.frames[search.depth - 1]);
    }
    return search.states < states_max;
}

/* ---- Telling ------------------------------------------------------------- */

/* A path of as few preemptions as can be found, or the one that was found first. */
static void find_short_path(void)
{
    for (unsigned most = 0; most <= PREEMPTIONS_MAX; most++)
        if (explore(most, SHORTENING_STATES_MAX) && engine_failure() != NULL)
            return;
    (void)explore(ANY_NUMBER, STATES_MAX);
}

static void tell_action(struct action action)
{
    const char *name = search.scenario->processes[action.process].name;

    if (action.kind == DIE)
        printf("#   %-12s dies\n", name);
    else if (action.kind == FAIL)
        printf("#   %-12s fails for no reason:\n", name);
}

static void print_path(void)
{
    size_t depth = search.depth - 1;
    struct action *path = grow(NULL, (depth + 1) * sizeof(*path));

    for (size_t i = 0; i < depth; i++)
        path[i] = search.frames[i].actions[search.frames[i].next - 1];
    engine_begin(search.scenario);
    engine_trace(true);
    for (size_t i = 0; i < depth; i++) {
        tell_action(path[i]);
        perform(path[i]);
    }
    engine_trace(false);
    if (engine_failure() == NULL)
        check_end();
    free(path);
    printf("# violated: %s\n", engine_failure());
}

static bool run(const struct model_scenario *scenario, unsigned number)
{
    unsigned preemptions = scenario->preemptions > 0 ? scenario->preemptions : ANY_NUMBER;
    bool is_complete;

    search.scenario = scenario;
    engine_forget_words();
    /* Until a whole search has shown nothing new of who shares which word. */
    do
        is_complete = explore(preemptions, STATES_MAX);
    while (engine_has_learnt() && engine_failure() == NULL);
    if (is_complete && engine_failure() == NULL) {
        printf("ok %u - %s\n# %llu states, %llu steps, %llu ends\n", number, scenario->name,
               (unsigned long long)search.states, (unsigned long long)search.steps,
               (unsigned long long)search.ends);
        return true;
    }
    printf("not ok %u - %s\n", number, scenario->name);
    if (engine_failure() == NULL) {
        puts("# more states than can be looked at");
        return false;
    }
    if (search.is_brief) {
        printf("# violated: %s\n", engine_failure());
        return false;
    }
    find_short_path();
    print_path();
    return false;
}

static bool is_wanted(const struct model_scenario *scenario, int argc, char **argv)
{
    const char *mode = getenv("FORKFOLD_MODEL");

    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], scenario->name) == 0)
            return true;
    return argc == 0 && (!scenario->is_deep || (mode != NULL && strcmp(mode, "deep") == 0));
}

int model_main(int argc, char **argv, const struct model_scenario *scenarios, size_t count)
{
    unsigned wanted = 0;
    unsigned number = 0;
    bool all_hold = true;

    setvbuf(stdout, NULL, _IOLBF, 0);
    argc--;
    argv++;
    search.is_brief = argc > 0 && strcmp(argv[0], "-b") == 0;
    argc -= search.is_brief;
    argv += search.is_brief;
    for (size_t i = 0; i < count; i++)
        wanted += is_wanted(&scenarios[i], argc, argv);
    printf("1..%u\n", wanted);
    for (size_t i = 0; i < count; i++)
        if (is_wanted(&scenarios[i], argc, argv))
            all_hold &= run(&scenarios[i], ++number);
    return all_hold && wanted > 0 ? 0 : 1;
}
