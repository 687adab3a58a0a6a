/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of discovery share.  Each test works in a fresh directory, its
 * current one, so that paths are short and relative.  What the search finds is
 * compared as sorted lines: "file PATH", "stdin PATH", "failed PATH ERRNO".
 */
#ifndef FF_TESTS_DISCOVER_TREE_H
#define FF_TESTS_DISCOVER_TREE_H

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "files/discover.h"

enum { LINES_MAX = 64 };

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING    ((const char *const[]){NULL})
#define PATHS(...)                                                                                 \
    .paths = LINES(__VA_ARGS__),                                                                   \
    .path_count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

#define IN_NEW_DIRECTORY(test)                                                                     \
    cmocka_unit_test_setup_teardown(test, enter_new_directory, remove_directory)

static inline int enter_new_directory(void **state)
{
    char path[PATH_MAX];
    const char *base = getenv("TMPDIR");

    snprintf(path, sizeof(path), "%s/discover.XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(path) == NULL || chdir(path) < 0 || chmod(".", 0755) < 0)
        return -1;
    *state = getcwd(NULL, 0);
    return *state == NULL ? -1 : 0;
}

/* By rm, since it copes with trees of any depth. */
static inline int remove_directory(void **state)
{
    pid_t pid;
    int status = -1;

    if (chdir("/") < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", (char *)*state, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    free(*state);
    return status;
}

static inline void make_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static inline void make_directory(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static inline void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(close(fd), 0);
}

static inline int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static inline char *describe(const struct ff_found *found)
{
    char *line = NULL;
    int length = -1;

    if (found->kind == FF_FOUND_FAILED)
        length = asprintf(&line, "failed %s %s", found->path, strerrorname_np(found->system_error));
    else
        length =
            asprintf(&line, "%s %s", found->kind == FF_FOUND_FILE ? "file" : "stdin", found->path);
    assert_true(length > 0);
    assert_int_equal(found->path_bytes, strlen(found->path));
    return line;
}

/* The rest of the search; returns how many files the glob left out. */
static inline uint64_t assert_finds_now(struct ff_discover *discover, const char *const *expected)
{
    char *lines[LINES_MAX];
    struct ff_found found;
    size_t count = 0;
    uint64_t unmatched;
    int result;

    while ((result = ff_discover_next(discover, &found)) == 1) {
        if (found.kind == FF_FOUND_NOTHING)
            continue;
        assert_true(count < LINES_MAX);
        lines[count++] = describe(&found);
    }
    assert_int_equal(result, 0);
    assert_int_equal(ff_discover_next(discover, &found), 0);
    unmatched = ff_discover_unmatched(discover);
    ff_discover_close(discover);
    qsort(lines, count, sizeof(lines[0]), by_text);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(expected[i]);
        assert_string_equal(lines[i], expected[i]);
        free(lines[i]);
    }
    assert_null(expected[count]);
    return unmatched;
}

static inline struct ff_discover *open_search(const struct ff_discover_options *options)
{
    struct ff_error error = {0};
    struct ff_discover *discover = NULL;

    assert_int_equal(ff_discover_open(&discover, options, &error), 0);
    assert_int_equal(error.code, 0);
    return discover;
}

static inline uint64_t assert_finds(struct ff_discover_options options, const char *const *expected)
{
    if (options.glob == NULL)
        options.glob = "*.txt";
    return assert_finds_now(open_search(&options), expected);
}

#endif
