/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of counts that do not fit in memory: texts whose counts are known, and moments of a call
 * that are.
 *
 * pread, pwrite and sendmsg are replaced in the test's program: the driver reads what workers have
 * written, and asks for their files, only when the count is over.
 */
#ifndef TESTS_UNIT_WORDS_HOST_H
#define TESTS_UNIT_WORDS_HOST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <forkfold/forkfold.h>

#define MIB (1024 * 1024)

enum {
    /* Different words; of both a third occurs once, a third twice, a third three times. */
    FEW = 99,
    MANY = 30000,
    FILES = 3,
    KEY_BYTES = 10,
    LONG_BYTES = 6 * MIB,
    NOBODY = 65534,
    SKIPPED = 77
};

/* ---- Interference -------------------------------------------------------- */

/* Shared by all processes of the test. */
static struct plan {
    _Atomic bool counted;     /* the driver has begun to read what was written */
    _Atomic int deaths_left;  /* so many workers die from then on, each at its first write */
    _Atomic int deaths;       /* so many have died */
    _Atomic int write_errno;  /* what workers' writes fail with, or 0 */
    _Atomic int rung_by_plus; /* a descriptor, plus one, that is written to at a worker's write,
                                 which then never returns; or 0 */
} * plan;

static pid_t host;
static void (*before_read)(void); /* in the driver, once */
static void (*before_ask)(void);

static void run_once(void (**action)(void))
{
    void (*now)(void) = *action;

    *action = NULL;
    if (now != NULL && getpid() == host)
        now();
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset)
{
    if (getpid() == host)
        plan->counted = true;
    run_once(&before_read);
    return syscall(SYS_pread64, fd, bytes, count, offset);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    run_once(&before_ask);
    return syscall(SYS_sendmsg, fd, message, flags);
}

static void die_if_planned(void)
{
    if (!plan->counted || plan->deaths_left == 0)
        return;
    plan->deaths_left--;
    plan->deaths++;
    raise(SIGKILL);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    const uint64_t one = 1;
    ssize_t written;

    if (plan->write_errno != 0) {
        errno = plan->write_errno;
        return -1;
    }
    written = syscall(SYS_pwrite64, fd, bytes, count, offset);
    if (plan->rung_by_plus != 0 && write(plan->rung_by_plus - 1, &one, sizeof(one)) > 0)
        for (;;)
            pause();
    die_if_planned();
    return written;
}

/* ---- Texts and folders --------------------------------------------------- */

static char base[256];

/* Each test has a folder of its own to spill to, which must be empty in the end. */
static char spill_folder[512];

static char *path_of(const char *name, unsigned number, char *path, size_t path_bytes)
{
    snprintf(path, path_bytes, "%s/%s-%u", base, name, number);
    return path;
}

static FILE *create(const char *name, unsigned number)
{
    char path[512];
    FILE *file = fopen(path_of(name, number, path, sizeof(path)), "w");

    assert_non_null(file);
    return file;
}

static const char *name_of(unsigned distinct)
{
    return distinct == FEW ? "few" : "many";
}

static void make_texts(unsigned distinct)
{
    for (unsigned number = 0; number < FILES; number++) {
        FILE *file = create(name_of(distinct), number);

        for (unsigned i = 0; i < distinct; i++)
            if (i % 3 >= number)
                fprintf(file, "word%06u ", i);
        assert_int_equal(fclose(file), 0);
    }
}

static bool is_empty(const char *folder)
{
    DIR *directory = opendir(folder);
    unsigned entries = 0;

    if (directory == NULL)
        return false;
    while (readdir(directory) != NULL)
        entries++;
    closedir(directory);
    return entries == 2; /* itself and its parent */
}

static int make_base(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(base, sizeof(base), "%s/words.XXXXXX", parent == NULL ? "/tmp" : parent);
    if (plan == MAP_FAILED || mkdtemp(base) == NULL || chmod(base, 0755) != 0)
        return -1;
    make_texts(FEW);
    make_texts(MANY);
    return 0;
}

static int remove_base(void **state)
{
    DIR *directory = opendir(base);
    struct dirent *entry;

    (void)state;
    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    return rmdir(base);
}

static int begin_test(void **state)
{
    (void)state;
    memset(plan, 0, sizeof(*plan));
    before_read = before_ask = NULL;
    snprintf(spill_folder, sizeof(spill_folder), "%s/spill.XXXXXX", base);
    return mkdtemp(spill_folder) != NULL ? chmod(spill_folder, 0777) : -1;
}

/* It fails if something is left in the folder. */
static int end_test(void **state)
{
    (void)state;
    return rmdir(spill_folder);
}

/* ---- Counting ------------------------------------------------------------ */

static forkfold_pool *open_pool_at(const char *folder, unsigned workers, int keep_fd)
{
    forkfold_pool_options options = {.workers = workers,
                                     .memory_bytes = MIB,
                                     .spill_folder = folder,
                                     .keep_fd_plus_one = keep_fd + 1};
    forkfold_pool *pool = NULL;

    host = getpid();
    return forkfold_pool_open(&pool, &options, NULL, 0) == 0 ? pool : NULL;
}

static forkfold_pool *open_pool(unsigned workers)
{
    forkfold_pool *pool = open_pool_at(spill_folder, workers, -1);

    assert_non_null(pool);
    return pool;
}

/* What the options leave open is set here. */
static int count(forkfold_pool *pool, unsigned distinct, forkfold_words_options options,
                 forkfold_words **words)
{
    char texts[FILES][512];
    const char *paths[FILES];

    for (unsigned number = 0; number < FILES; number++)
        paths[number] = path_of(name_of(distinct), number, texts[number], sizeof(texts[number]));
    options.paths = paths;
    options.path_count = FILES;
    options.rule = FORKFOLD_PLAIN;
    plan->counted = false;
    return forkfold_count_words(pool, &options, words, NULL);
}

static bool has_spilled(const forkfold_words *words)
{
    return forkfold_words_get_stats(words)->spilled_bytes > 0;
}

/* Whether these are next, by their place among all. */
static bool reads(forkfold_words *words, unsigned distinct, unsigned from, unsigned to)
{
    forkfold_word word;

    for (unsigned place = from; place < to; place++) {
        unsigned times = 3 - place / (distinct / 3);
        char key[32];

        snprintf(key, sizeof(key), "word%06u", times - 1 + 3 * (place % (distinct / 3)));
        if (forkfold_words_next(words, &word) != 1 || word.count != times ||
            word.key_bytes != KEY_BYTES || memcmp(word.key, key, KEY_BYTES) != 0)
            return false;
    }
    return to < distinct || forkfold_words_next(words, &word) == 0;
}

/* Only the many do not fit in memory. */
static bool is_right(forkfold_words *words, unsigned distinct)
{
    return forkfold_words_get_totals(words)->files == FILES &&
           has_spilled(words) == (distinct == MANY) && reads(words, distinct, 0, distinct);
}

/* Counts, reads all twice and closes; also for children, in which nothing may be asserted. */
static bool counts(forkfold_pool *pool, unsigned distinct)
{
    forkfold_words *words = NULL;
    bool right = count(pool, distinct, (forkfold_words_options){0}, &words) == 0 &&
                 is_right(words, distinct);

    if (right) {
        forkfold_words_rewind(words);
        right = reads(words, distinct, 0, distinct);
    }
    forkfold_words_close(words);
    return right;
}

static void assert_message_has(const forkfold_pool *pool, const char *part)
{
    if (strstr(forkfold_pool_message(pool), part) == NULL)
        fail_msg("'%s' is not in '%s'", part, forkfold_pool_message(pool));
}

/* A fork whose child dies of what would only fail a test in its parent. */
static pid_t start_child(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    pid_t child = fork();

    for (size_t i = 0; child == 0 && i < sizeof(fatal) / sizeof(fatal[0]); i++)
        signal(fatal[i], SIG_DFL);
    return child;
}

static int wait_for(pid_t child)
{
    int status = -1;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
