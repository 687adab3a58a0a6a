/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of jobs over directories: a folder of texts, and words that the workers share. */
#ifndef TESTS_UNIT_JOB_FOLDER_H
#define TESTS_UNIT_JOB_FOLDER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/forkfold.h>

enum { FILES = 60, WORKERS_MOST = 4, SECOND_NS = 1000000000 };

/* Shared by all processes of a test; workers are forked after it is there. */
static struct shared {
    _Atomic uint32_t runs[FILES]; /* of the map function, on each file */
    _Atomic uint32_t deaths;
} * shared;

static char folder[256];

/* ---- Files --------------------------------------------------------------- */

static char *path_of(const char *name, char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t count)
{
    char path[512];
    FILE *file = fopen(path_of(name, path, sizeof(path)), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* Number n has n % 7 + 1 lines of different lengths. */
static size_t compose(unsigned number, char *text, size_t room)
{
    size_t bytes = 0;

    for (unsigned line = 0; line <= number % 7; line++)
        bytes +=
            (size_t)snprintf(text + bytes, room - bytes, "%.*s line %u of file %u\n",
                             (int)(number * 5 + line * 3) % 50,
                             "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", line, number);
    return bytes;
}

static void make_numbered_files(unsigned count)
{
    for (unsigned number = 0; number < count; number++) {
        char name[32];
        char text[1024];

        snprintf(name, sizeof(name), "file-%03u.txt", number);
        write_file(name, text, compose(number, text, sizeof(text)));
    }
}

static unsigned number_of(const char *path)
{
    return (unsigned)strtoul(strstr(path, "file-") + strlen("file-"), NULL, 10);
}

static int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(folder, sizeof(folder), "%s/job.XXXXXX", parent == NULL ? "/tmp" : parent);
    return shared != MAP_FAILED && mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;

    (void)state;
    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    munmap(shared, sizeof(*shared));
    return rmdir(folder);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

/* ---- Pools --------------------------------------------------------------- */

static forkfold_pool *open_pool(unsigned workers)
{
    forkfold_pool_options options = {.workers = workers};
    forkfold_pool *pool = NULL;
    char message[256] = "";

    if (forkfold_pool_open(&pool, &options, message, sizeof(message)) < 0)
        fail_msg("%s", message);
    return pool;
}

/* In a build with kill points a worker dies at the at-th passage of one. */
static forkfold_pool *open_pool_that_loses_a_worker(const forkfold_pool_options *options,
                                                    const char *point, unsigned at)
{
    forkfold_pool *pool = NULL;
    char order[128];

    snprintf(order, sizeof(order), "%s:kill:%u", point, at);
    setenv("FORKFOLD_KILL", order, 1);
    assert_int_equal(forkfold_pool_open(&pool, options, NULL, 0), 0);
    unsetenv("FORKFOLD_KILL");
    return pool;
}

static void assert_message_has(const forkfold_pool *pool, const char *part)
{
    if (strstr(forkfold_pool_message(pool), part) == NULL)
        fail_msg("'%s' is not in '%s'", part, forkfold_pool_message(pool));
}

static forkfold_aggregate *process(forkfold_pool *pool, const forkfold_job *job)
{
    forkfold_aggregate *aggregate = NULL;
    int code =
        forkfold_process_directory(pool, job->path_count > 0 ? NULL : folder, job, &aggregate);

    if (code < 0)
        fail_msg("%d: %s", code, forkfold_pool_message(pool));
    return aggregate;
}

/* ---- Ways to fail -------------------------------------------------------- */

/* What becomes of a worker on a file whose text begins with one of these words. */
static int fail_as_told(const forkfold_text *text)
{
    static const struct {
        const char *word;
        int signal;
    } deaths[] = {{"segv", SIGSEGV}, {"kill", SIGKILL}};

    for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
        if (strncmp(text->data, deaths[i].word, 4) == 0)
            raise(deaths[i].signal);
    if (strncmp(text->data, "exit", 4) == 0)
        _exit(7);
    while (strncmp(text->data, "hang", 4) == 0)
        pause();
    if (strncmp(text->data, "code", 4) == 0)
        return 5;
    if (strncmp(text->data, "once", 4) == 0 && atomic_fetch_add(&shared->deaths, 1) == 0)
        raise(SIGKILL);
    return strncmp(text->data, "told", 4) == 0 ? forkfold_text_fail(text, "told %s", "so") : 0;
}

static void make_bad_files(void)
{
    static const char *const words[] = {"segv", "kill", "exit", "hang", "code", "told"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char name[32];

        snprintf(name, sizeof(name), "bad-%s.txt", words[i]);
        write_file(name, words[i], strlen(words[i]));
    }
    write_file("bad-utf8.txt", "abc \xff", 5);
}

/* The failures of these files, in order, and no others. */
static void assert_bad_files_failed(const forkfold_aggregate *aggregate)
{
    static const struct {
        const char *name;
        enum forkfold_reason reason;
        unsigned attempts;
        const char *detail;
    } expected[] = {
        {"bad-code.txt", FORKFOLD_REASON_ERROR, 1, "the function returned 5"},
        {"bad-exit.txt", FORKFOLD_REASON_EXIT, 2, "exited with code 7"},
        {"bad-hang.txt", FORKFOLD_REASON_TIMEOUT, 2, "longer than the timeout"},
        {"bad-kill.txt", FORKFOLD_REASON_SIGNAL, 2, "signal 9"},
        {"bad-segv.txt", FORKFOLD_REASON_SIGNAL, 2, "signal 11"},
        {"bad-told.txt", FORKFOLD_REASON_ERROR, 1, "told so"},
        {"bad-utf8.txt", FORKFOLD_REASON_DECODE, 1, "invalid UTF-8 at byte 4"},
    };
    size_t count = sizeof(expected) / sizeof(expected[0]);

    assert_int_equal(forkfold_aggregate_get_totals(aggregate)->files_failed, count);
    assert_null(forkfold_aggregate_failure(aggregate, count));
    for (size_t i = 0; i < count; i++) {
        const forkfold_failure *failure = forkfold_aggregate_failure(aggregate, i);

        assert_non_null(strstr(failure->path, expected[i].name));
        assert_int_equal(failure->path_bytes, strlen(failure->path));
        assert_int_equal(failure->reason, expected[i].reason);
        assert_int_equal(failure->attempts, expected[i].attempts);
        assert_non_null(strstr(failure->detail, expected[i].detail));
    }
    assert_int_equal(forkfold_aggregate_failure(aggregate, 1)->exit_code, 7);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 4)->signal, SIGSEGV);
    assert_int_equal(forkfold_aggregate_failure(aggregate, 6)->byte_offset, 4);
}

#endif
