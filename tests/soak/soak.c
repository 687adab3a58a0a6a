/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soak: calls of all kinds, of random sizes, on one pool whose workers are killed at random
 * moments.  Each result is compared with what it has to be.  At the end the host and the supervisor
 * hold what they held after the first round, and without the pool what they held before it.
 *
 * usage: soak [--seconds N | --rounds N] [--seed N]
 *
 * A round is one call of each kind.  The seed is that of FORKFOLD_TEST_SEED if it is not given, or
 * else of the clock; it is printed.  It settles all calls and moments, though not what a machine
 * happens to be doing then.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

enum { WORKERS = 3, SECONDS = 600, REPORT_S = 30 };

static const struct {
    const char *name;
    soak_work *run;
} works[] = {
    {"map", soak_map},
    {"results of any size", soak_varying},
    {"imap", soak_imap},
    {"asynchronous calls", soak_async},
    {"apply", soak_apply},
    {"items that kill", soak_poison},
    {"shared arrays", soak_shared},
    {"numbers", soak_numbers},
    {"queue", soak_queue},
    {"pipeline", soak_pipeline},
    {"dictionary", soak_dictionary},
    {"words of a directory", soak_words},
    {"words of a text", soak_text},
    {"directory, keyed", soak_keyed},
    {"directory, free", soak_free},
    {"a second pool", soak_second_pool},
};

enum { WORKS = sizeof(works) / sizeof(works[0]) };

void soak_failed(const struct soak *soak, const char *format, ...)
{
    va_list arguments;

    killer_pause();
    fflush(stdout);
    fprintf(stderr, "soak: seed %" PRIu64 ", round %" PRIu64 ", %s: ", soak->seed, soak->round,
            soak->work);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t draw(struct soak *soak, uint64_t below)
{
    soak->random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(soak->random) % below;
}

uint64_t draw_size(struct soak *soak, unsigned bits)
{
    return draw(soak, UINT64_C(1) << draw(soak, bits + 1));
}

void *allocate(const struct soak *soak, size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);

    EXPECT(soak, memory != NULL, "no memory for the test");
    return memory;
}

forkfold_shared *soak_open_file(const struct soak *soak, uint64_t count)
{
    char path[sizeof(soak->texts->folder) + 32];
    forkfold_file_options of = {
        .path = path, .access = FORKFOLD_FILE_CREATE, .type = FORKFOLD_U64, .count = count};
    forkfold_shared *array;

    snprintf(path, sizeof(path), "%s/array", soak->texts->folder);
    MUST(soak, forkfold_shared_open_file(soak->pool, &of, &array));
    EXPECT(soak, unlink(path) == 0, "cannot remove %s", path);
    return array;
}

static void open_pool(struct soak *soak)
{
    forkfold_pool_options options = {.workers = WORKERS, .max_deaths = ATTEMPTS};
    char message[256];

    soak->workers = WORKERS;
    EXPECT(soak, forkfold_pool_open(&soak->pool, &options, message, sizeof(message)) == 0, "%s",
           message);
}

/* Each kind once, in another order each time. */
static void run_round(struct soak *soak)
{
    unsigned order[WORKS];

    for (unsigned i = 0; i < WORKS; i++) {
        unsigned other = (unsigned)draw(soak, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    killer_resume();
    for (unsigned i = 0; i < WORKS; i++) {
        soak->work = works[order[i]].name;
        works[order[i]].run(soak);
    }
    killer_pause();
    soak->work = "between rounds";
    soak->round++;
}

static void report(const struct soak *soak)
{
    printf("%" PRIu64 " rounds, %" PRIu64 " kills\n", soak->round, killer_kills());
    fflush(stdout);
}

/* One call more brings back workers that had been given up, as too many died in a row between two
 * calls. */
static void settle(struct soak *soak, struct traces *traces)
{
    soak_map(soak);
    traces_take(soak, traces);
}

static void run_rounds(struct soak *soak, uint64_t rounds, time_t seconds)
{
    time_t begin = time(NULL);
    time_t reported = begin;
    struct traces before, after;

    run_round(soak);
    settle(soak, &before);
    while (rounds > 0 ? soak->round < rounds : time(NULL) - begin < seconds) {
        run_round(soak);
        if (time(NULL) - reported >= REPORT_S) {
            reported = time(NULL);
            report(soak);
        }
    }
    report(soak);
    settle(soak, &after);
    traces_compare(soak, "after one round and all", &before, &after);
}

static uint64_t default_seed(void)
{
    const char *given = getenv("FORKFOLD_TEST_SEED");
    struct timespec now;

    if (given != NULL)
        return strtoull(given, NULL, 10);
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    struct soak soak = {.work = "the beginning", .seed = default_seed()};
    struct traces before, after;
    uint64_t rounds = 0;
    time_t seconds = SECONDS;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
            seconds = (time_t)strtoul(argv[i + 1], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0) {
            rounds = strtoull(argv[i + 1], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            soak.seed = strtoull(argv[i + 1], NULL, 10);
        } else {
            fputs("usage: soak [--seconds N | --rounds N] [--seed N]\n", stderr);
            return 2;
        }
    }
    printf("seed %" PRIu64 "\n", soak.seed);
    fflush(stdout);
    soak.random = soak.seed;
    soak.texts = texts_make(&soak);
    killer_start(&soak);
    traces_take(&soak, &before);
    open_pool(&soak);
    run_rounds(&soak, rounds, seconds);
    forkfold_pool_close(soak.pool);
    soak.pool = NULL;
    traces_take(&soak, &after);
    traces_compare(&soak, "without the pool", &before, &after);
    return 0;
}
