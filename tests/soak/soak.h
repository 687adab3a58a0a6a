/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the soak share: see soak.c. */
#ifndef SOAK_H
#define SOAK_H

#include <stddef.h>
#include <stdint.h>

#include <forkfold.h>

struct texts;

struct soak {
    forkfold_pool *pool;
    unsigned workers;
    uint64_t seed;
    uint64_t random; /* the state of draw() */
    uint64_t round;
    const char *work; /* in progress */
    const struct texts *texts;
};

/* Ends the program with a line that says what did not hold, in which round of which seed. */
#define EXPECT(soak, holds, ...)                                                                   \
    do {                                                                                           \
        if (!(holds))                                                                              \
            soak_failed((soak), __VA_ARGS__);                                                      \
    } while (0)
_Noreturn void soak_failed(const struct soak *soak, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A call that has to succeed. */
#define MUST(soak, code)                                                                           \
    EXPECT(soak, (code) >= 0, "%s: %s", #code, forkfold_pool_message((soak)->pool))

/* For calls that try an item three times and no more: whether it was killed so often. */
#define MUST_UNLESS_KILLED(soak, kills_before, code)                                               \
    EXPECT(soak, (code) >= 0 || killer_kills() - (kills_before) >= 3, "%d: %s", code,              \
           forkfold_pool_message((soak)->pool))

/* ---- Numbers ------------------------------------------------------------- */

/* Attempts that no number of kills uses up. */
enum { ATTEMPTS = 1000000 };

uint64_t draw(struct soak *soak, uint64_t below);

/* A number below 2^bits of any size: small ones as often as large ones. */
uint64_t draw_size(struct soak *soak, unsigned bits);

/* An array in a new file without a name. */
forkfold_shared *soak_open_file(const struct soak *soak, uint64_t count);

void *allocate(const struct soak *soak, size_t bytes);

/* What items are made into. */
static inline uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Takes time. */
static inline void spin(uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        __asm__ volatile("" : : "r"(mix(i)));
}

/* ---- Kills (killer.c) ---------------------------------------------------- */

/* Workers of the pool are killed at moments of the seed's from resume to pause. */
void killer_start(struct soak *soak);
void killer_resume(void);
void killer_pause(void);
uint64_t killer_kills(void); /* so far */

/* Whether a worker is among those that were killed last; of processes that are there. */
int killer_has_killed(int pid);

/* ---- Traces (traces.c) --------------------------------------------------- */

struct process_traces {
    long descriptors;
    long anonymous_kb; /* resident memory of its own */
    long shared_kb;    /* and of what it shares */
    long mappings;     /* shared ones */
    long mapped_kb;    /* their size */
    long children;
};

struct traces {
    struct process_traces host;
    struct process_traces supervisor; /* all 0 without one */
};

/* The pool must be idle. */
void traces_take(const struct soak *soak, struct traces *traces);

/* Of the same pool before and after, or without one. */
void traces_compare(const struct soak *soak, const char *what, const struct traces *before,
                    const struct traces *after);

/* ---- Texts (texts.c) ----------------------------------------------------- */

enum { VOCABULARY = 700, LETTERS = 26 };

struct texts {
    char folder[64];
    unsigned files; /* that are valid; one more is not */
    uint64_t bytes; /* of the valid ones */
    uint64_t words; /* in the valid ones */
    uint64_t counts[VOCABULARY];
    uint64_t initials[LETTERS]; /* words by their first letter */
    char *all;                  /* the valid files one behind the other */
};

/* Writes files of random words to a new folder, which is removed at the end of the program. */
const struct texts *texts_make(struct soak *soak);

/* The number of a word in the vocabulary; VOCABULARY if it is none. */
unsigned texts_find(const char *word, size_t bytes);

/* ---- Works --------------------------------------------------------------- */

typedef void soak_work(struct soak *soak);

/* calls.c */
soak_work soak_map;
soak_work soak_varying;
soak_work soak_imap;
soak_work soak_async;
soak_work soak_apply;
soak_work soak_poison;
soak_work soak_shared;
soak_work soak_numbers;

/* streams.c */
soak_work soak_queue;
soak_work soak_pipeline;
soak_work soak_dictionary;

/* files.c */
soak_work soak_words;
soak_work soak_text;
soak_work soak_keyed;
soak_work soak_free;
soak_work soak_second_pool;

#endif
