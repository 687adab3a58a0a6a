/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to bring the counts of one worker home, with Forkfold's own tables and
 * partials: the same WORDS words, skewed like a text over KEYS keys, are
 * counted by a forked worker, and the parent ends up with the sum of every
 * key.  Prints, from the fork to the last sum, the time that passed and the
 * processor time that the parent alone took: it has to do its share for every
 * worker, so with many workers that share is the limit.  Milliseconds; medians
 * of RUNS runs, and the range of the second.
 *
 *     tools/build release
 *     cc -O2 -D_GNU_SOURCE -Iinclude -Isrc -o /tmp/partials bench/concurrency/partials.c \
 *         build/src/libff_flow.a build/src/libff_platform.a && /tmp/partials
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "flow/fold.h"
#include "flow/partial.h"
#include "flow/record.h"
#include "flow/table.h"

enum { RUNS = 9, WORDS = 2000000, KEYS = 200000, KEY_MAX = 24, BATCH_BYTES = 64 * 1024 };

#define SHARED_BYTES ((size_t)256 << 20)

static void *shared;
static struct ff_table result;

static void must(int holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

/* ---- The work ------------------------------------------------------------ */

/* The next key: small numbers far more often than large ones. */
static uint8_t next_key(uint64_t *random, char key[KEY_MAX])
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    double unit = (double)(*random >> 11) / (double)(UINT64_C(1) << 53);

    return (uint8_t)snprintf(key, KEY_MAX, "word%u", (unsigned)(unit * unit * unit * KEYS));
}

static void count_all(struct ff_table *table)
{
    uint64_t random = 1;
    char key[KEY_MAX];

    for (int i = 0; i < WORDS; i++) {
        uint8_t bytes = next_key(&random, key);

        must(ff_table_add(table, key, bytes, 1) == 0, "ff_table_add");
    }
}

/* ---- A pipe with a buffer at both ends ------------------------------------- */

struct stream {
    int fd;
    size_t capacity; /* of a write; 0 = every record is a write of its own */
    size_t used;
    size_t start;
    char bytes[BATCH_BYTES];
};

static void flush(struct stream *stream)
{
    for (size_t done = 0; done < stream->used;) {
        ssize_t written = write(stream->fd, stream->bytes + done, stream->used - done);

        must(written > 0, "write");
        done += (size_t)written;
    }
    stream->used = 0;
}

/* A record: the count, the key's length, the key. */
static void put(struct stream *stream, const char *key, uint8_t key_bytes, uint64_t count)
{
    if (stream->used + sizeof(count) + 1 + key_bytes > sizeof(stream->bytes))
        flush(stream);
    memcpy(stream->bytes + stream->used, &count, sizeof(count));
    stream->bytes[stream->used + sizeof(count)] = (char)key_bytes;
    memcpy(stream->bytes + stream->used + sizeof(count) + 1, key, key_bytes);
    stream->used += sizeof(count) + 1 + key_bytes;
    if (stream->used > stream->capacity)
        flush(stream);
}

/* At least count bytes at the start of what is buffered; false at the end. */
static int fill(struct stream *stream, size_t count)
{
    while (stream->used - stream->start < count) {
        memmove(stream->bytes, stream->bytes + stream->start, stream->used - stream->start);
        stream->used -= stream->start;
        stream->start = 0;
        ssize_t got =
            read(stream->fd, stream->bytes + stream->used, sizeof(stream->bytes) - stream->used);

        must(got >= 0, "read");
        if (got == 0)
            return 0;
        stream->used += (size_t)got;
    }
    return 1;
}

static void add_records(struct stream *stream)
{
    while (fill(stream, sizeof(uint64_t) + 1)) {
        uint8_t key_bytes = (uint8_t)stream->bytes[stream->start + sizeof(uint64_t)];
        uint64_t count;

        must(fill(stream, sizeof(count) + 1 + key_bytes), "a record is cut off");
        memcpy(&count, stream->bytes + stream->start, sizeof(count));
        must(ff_table_add(&result, stream->bytes + stream->start + sizeof(count) + 1, key_bytes,
                          count) == 0,
             "ff_table_add");
        stream->start += sizeof(count) + 1 + key_bytes;
    }
}

/* ---- The ways ------------------------------------------------------------ */

static void send_words(struct stream *stream)
{
    uint64_t random = 1;
    char key[KEY_MAX];

    for (int i = 0; i < WORDS; i++) {
        uint8_t bytes = next_key(&random, key);

        put(stream, key, bytes, 1);
    }
}

static void send_table(struct stream *stream)
{
    struct ff_table table;

    ff_table_init(&table);
    count_all(&table);
    for (size_t i = 0; i < table.slot_count; i++) {
        if (table.slots[i].tally != 0) {
            struct ff_entry entry = ff_entry_of(&table.slots[i], table.heap);

            put(stream, entry.key, (uint8_t)entry.key_bytes, entry.count);
        }
    }
}

static void seal_table(struct stream *unused)
{
    struct ff_table table;

    (void)unused;
    ff_table_init(&table);
    count_all(&table);
    must(ff_partial_bound(&table) <= SHARED_BYTES, "the partial is too large");
    must(ff_partial_write(shared, &table) == 0, "ff_partial_write");
}

static void seal_and_fold(struct stream *unused)
{
    seal_table(unused);
}

static void only_count(struct stream *unused)
{
    struct ff_table table;

    (void)unused;
    ff_table_init(&table);
    count_all(&table);
}

/* What the workers do with partials, each with some ranges: every key's sum, most frequent first. */
static uint64_t fold_partial(void)
{
    const struct ff_partial *partial = shared;
    struct ff_fold fold;
    struct ff_run run;
    uint64_t total = 0;

    must(ff_fold_open(&fold, &partial, 1) == 0, "ff_fold_open");

    unsigned char *records = malloc(ff_fold_range_bound(&fold, 0, 1));

    must(records != NULL && ff_fold_range(&fold, 0, 1, records, &run) == 0, "ff_fold_range");
    for (const unsigned char *next = run.records; next < run.records + run.bytes;) {
        struct ff_entry entry;

        next = ff_record_get(next, &entry);
        total += entry.count;
    }
    free(records);
    ff_fold_close(&fold);
    return total;
}

static double now_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

struct way {
    const char *name;
    void (*work)(struct stream *);
    size_t write_bytes;
    uint64_t total; /* what must come home */
};

struct cost {
    double elapsed_ms;
    double parent_ms;
};

/* The worker works and writes; the parent reads until the worker's end of the pipe closes. */
static struct cost run(const struct way *way)
{
    static struct stream stream;
    int ends[2];
    struct cost begin = {now_ms(CLOCK_MONOTONIC), now_ms(CLOCK_PROCESS_CPUTIME_ID)};

    must(pipe(ends) == 0, "pipe");
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid == 0) {
        stream = (struct stream){.fd = ends[1], .capacity = way->write_bytes};
        way->work(&stream);
        flush(&stream);
        _exit(0);
    }
    close(ends[1]);
    stream = (struct stream){.fd = ends[0]};
    ff_table_init(&result);
    /* A table that comes in hash order must not grow meanwhile: see ff_table_reserve(). */
    must(way->work == only_count || ff_table_reserve(&result, KEYS) == 0, "ff_table_reserve");
    add_records(&stream);
    must(waitpid(pid, NULL, 0) == pid, "waitpid");
    if (way->work == seal_table)
        must(ff_partial_add_to(shared, &result) == 0, "ff_partial_add_to");
    must((way->work == seal_and_fold ? fold_partial() : result.total) == way->total, way->name);
    close(ends[0]);
    ff_table_free(&result);
    return (struct cost){now_ms(CLOCK_MONOTONIC) - begin.elapsed_ms,
                         now_ms(CLOCK_PROCESS_CPUTIME_ID) - begin.parent_ms};
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static void measure(const struct way *way)
{
    double elapsed[RUNS];
    double parent[RUNS];

    for (int i = 0; i < RUNS; i++) {
        struct cost cost = run(way);

        elapsed[i] = cost.elapsed_ms;
        parent[i] = cost.parent_ms;
    }
    qsort(elapsed, RUNS, sizeof(elapsed[0]), compare);
    qsort(parent, RUNS, sizeof(parent[0]), compare);
    printf("%-48s %8.1f %8.1f   (%.1f to %.1f)\n", way->name, elapsed[RUNS / 2], parent[RUNS / 2],
           parent[0], parent[RUNS - 1]);
}

int main(void)
{
    enum { WRITE_BYTES = BATCH_BYTES - 4096 };
    static const struct way ways[] = {
        {"the worker counts and keeps it to itself", only_count, 0, 0},
        {"every word through a pipe, one write each", send_words, 0, WORDS},
        {"every word through a pipe, in writes of 60 KiB", send_words, WRITE_BYTES, WORDS},
        {"the table through a pipe, in writes of 60 KiB", send_table, WRITE_BYTES, WORDS},
        {"a partial in shared memory, added in place", seal_table, 0, WORDS},
        {"the same, folded and sorted instead", seal_and_fold, 0, WORDS},
    };

    shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(shared != MAP_FAILED, "mmap");
    printf("%-48s %8s %8s   (%d runs)\n", "way", "passed", "parent", RUNS);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        measure(&ways[i]);
    return 0;
}
