/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery where things go wrong or to extremes: errors in the middle,
 * changes while the search runs, missing permissions, depth, size.
 *
 * readdir is replaced in this program, to make it fail and to change the tree
 * at the moment a directory has been read to its end.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "discover_tree.h"
#include "failing_alloc.h"

enum { NOBODY = 65534, SKIPPED = 77 };

static struct {
    bool hide_types;           /* every entry's type is DT_UNKNOWN, as on some file systems */
    unsigned readdir_fails_at; /* this call of readdir from now on fails with EIO; 0 = none */
    void (*at_directory_end)(void);
} faults;

struct dirent *readdir(DIR *directory)
{
    static struct dirent *(*real)(DIR *);
    struct dirent *entry;

    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "readdir64");

        memcpy(&real, &symbol, sizeof(real));
    }
    if (faults.readdir_fails_at > 0 && --faults.readdir_fails_at == 0) {
        errno = EIO;
        return NULL;
    }
    entry = real(directory);
    if (entry != NULL && faults.hide_types)
        entry->d_type = DT_UNKNOWN;
    if (entry == NULL && faults.at_directory_end != NULL) {
        faults.at_directory_end();
        faults.at_directory_end = NULL;
        errno = 0;
    }
    return entry;
}

static int enter_without_faults(void **state)
{
    memset(&faults, 0, sizeof(faults));
    return enter_new_directory(state);
}

static int leave_without_faults(void **state)
{
    memset(&faults, 0, sizeof(faults));
    allocations_left = -1;
    return remove_directory(state);
}

static void make_tree_of_links(void)
{
    make_directory("d");
    make_directory("other");
    make_file("d/a.txt", "abc");
    make_file("other/b.txt", "");
    assert_int_equal(symlink("a.txt", "d/link.txt"), 0);
    assert_int_equal(symlink("a.txt", "d/link.md"), 0);
    assert_int_equal(symlink("../other", "d/dir.txt"), 0);
    assert_int_equal(symlink("loop.txt", "d/loop.txt"), 0);
    assert_int_equal(symlink("nowhere", "d/dangling.txt"), 0);
    assert_int_equal(symlink("a.txt/below", "d/through.txt"), 0);
    assert_int_equal(symlink("..", "d/up"), 0);
    make_directory("d/sub");
    make_directory("d/.hidden");
    make_file("d/sub/c.txt", "");
    make_file("d/sub/c.md", "");
    make_file("d/.hidden/c.txt", "");
}

static void links_lead_to_files_but_not_into_directories(void **state)
{
    (void)state;
    make_tree_of_links();
    for (int hide = 0; hide < 2; hide++) {
        faults.hide_types = hide;
        assert_int_equal(assert_finds((struct ff_discover_options){PATHS("d")},
                                      LINES("file d/a.txt", "file d/link.txt")),
                         1);
        assert_int_equal(assert_finds((struct ff_discover_options){PATHS("d"), .recursive = true},
                                      LINES("file d/a.txt", "file d/link.txt", "file d/sub/c.txt")),
                         2);
    }
}

static void swap_directory_for_link(void)
{
    assert_int_equal(rename("d/sub", "d/moved"), 0);
    assert_int_equal(symlink("../other", "d/sub"), 0);
}

static void directory_that_becomes_a_link_is_not_entered(void **state)
{
    (void)state;
    make_directory("d");
    make_directory("d/sub");
    make_directory("other");
    make_file("other/a.txt", "");
    faults.at_directory_end = swap_directory_for_link;
    assert_finds((struct ff_discover_options){PATHS("d"), .recursive = true},
                 LINES("failed d/sub/ ENOTDIR"));
}

static void remove_subdirectory(void)
{
    assert_int_equal(rmdir("d/sub"), 0);
}

static void subdirectory_that_vanishes_is_failed(void **state)
{
    (void)state;
    make_directory("d");
    make_directory("d/sub");
    faults.at_directory_end = remove_subdirectory;
    assert_finds((struct ff_discover_options){PATHS("d"), .recursive = true},
                 LINES("failed d/sub/ ENOENT"));
}

static void broken_off_listing_is_failed_and_the_search_goes_on(void **state)
{
    (void)state;
    make_directory("d");
    make_directory("d/sub");
    make_directory("e");
    make_file("d/sub/a.txt", "");
    make_file("e/b.txt", "");
    faults.readdir_fails_at = 4; /* after ., .. and sub */
    assert_finds((struct ff_discover_options){PATHS("d", "e"), .recursive = true},
                 LINES("failed d/ EIO", "file d/sub/a.txt", "file e/b.txt"));
}

static int find_as_nobody(void)
{
    struct ff_error error = {0};
    struct ff_discover *discover = NULL;
    struct ff_discover_options options = {PATHS("locked/d"), .glob = "*.txt"};

    assert_finds((struct ff_discover_options){PATHS("d", "locked"), .recursive = true},
                 LINES("failed d/link.txt EACCES", "failed d/locked/ EACCES",
                       "failed d/unsearchable/a.txt EACCES", "failed d/unsearchable/sub/ EACCES",
                       "failed locked/ EACCES", "file d/a.txt"));
    faults.hide_types = true;
    assert_finds((struct ff_discover_options){PATHS("d/unsearchable")},
                 LINES("failed d/unsearchable/a.txt EACCES"));
    assert_finds((struct ff_discover_options){PATHS("d/unsearchable"), .recursive = true},
                 LINES("failed d/unsearchable/a.txt EACCES", "failed d/unsearchable/b.md EACCES",
                       "failed d/unsearchable/sub EACCES"));
    assert_int_equal(ff_discover_open(&discover, &options, &error), FORKFOLD_E_INVALID);
    assert_string_equal(error.message,
                        "cannot read 'locked/d': permission denied in a directory on the way to "
                        "it; ask for search permission (x) there or run it as another user");
    return 0;
}

/* In a process of its own, without root's right to read everything. */
static int run_as_nobody(int (*test)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(SKIPPED);
        _exit(test());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void what_permissions_hide_is_failed(void **state)
{
    int result;

    (void)state;
    make_directory("d");
    make_directory("d/unsearchable");
    make_directory("d/unsearchable/sub");
    make_directory("d/locked");
    make_directory("locked");
    make_file("d/a.txt", "");
    make_file("d/unsearchable/a.txt", "");
    make_file("d/unsearchable/b.md", "");
    make_file("locked/d", "");
    assert_int_equal(symlink("locked/a.txt", "d/link.txt"), 0);
    assert_int_equal(chmod("d/locked", 0), 0);
    assert_int_equal(chmod("d/unsearchable", 0444), 0);
    assert_int_equal(chmod("locked", 0), 0);
    result = run_as_nobody(find_as_nobody);
    assert_int_equal(chmod("locked", 0755), 0);
    assert_int_equal(chmod("d/unsearchable", 0755), 0);
    assert_int_equal(chmod("d/locked", 0755), 0);
    if (result == SKIPPED)
        skip();
    assert_int_equal(result, 0);
}

/* Makes a chain of directories below the current one and stays in the last. */
static void descend(const char *name, int levels)
{
    for (int i = 0; i < levels; i++) {
        make_directory(name);
        assert_int_equal(chdir(name), 0);
    }
}

static void deep_tree_needs_few_descriptors_and_loses_no_file(void **state)
{
    enum { LEVELS = 2000, FILES = 20 };
    struct rlimit before;
    struct rlimit few;
    struct ff_discover *discover;
    struct ff_found found;
    int files = 0;
    int result;

    for (int i = 0; i < LEVELS; i++) {
        descend("d", 1);
        if (i % (LEVELS / FILES) != 0)
            continue;
        make_file("x.txt", "");
        make_directory("e");
    }
    make_file("deepest.txt", "");
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 32, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    discover =
        open_search(&(struct ff_discover_options){PATHS("d"), .glob = "*.txt", .recursive = true});
    while ((result = ff_discover_next(discover, &found)) == 1) {
        assert_int_equal(found.kind, FF_FOUND_FILE);
        files++;
    }
    assert_int_equal(result, 0);
    assert_int_equal(files, FILES + 1);
    ff_discover_close(discover);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void what_lies_too_deep_to_be_opened_is_failed(void **state)
{
    char name[201];
    struct ff_discover *discover;
    struct ff_found found;
    int files = 0;
    int directories = 0;
    int result;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    descend(name, 20); /* "./" and 20 * 201 bytes: 4022 */
    make_file("short.txt", "");
    make_file("s.md", "");
    memcpy(name + 196, ".txt", 4);
    make_file(name, "");
    memset(name, 'n', sizeof(name) - 1);
    descend(name, 1);
    make_file("unreached.txt", "");
    assert_int_equal(chdir(*state), 0);
    discover =
        open_search(&(struct ff_discover_options){PATHS("."), .glob = "*.txt", .recursive = true});
    while ((result = ff_discover_next(discover, &found)) == 1) {
        if (found.kind == FF_FOUND_FILE) {
            assert_string_equal(found.path + found.path_bytes - 10, "/short.txt");
            continue;
        }
        assert_int_equal(found.system_error, ENAMETOOLONG);
        assert_true(found.path_bytes >= PATH_MAX);
        if (found.path[found.path_bytes - 1] == '/')
            directories++;
        else
            files++;
    }
    assert_int_equal(result, 0);
    assert_int_equal(files, 1);
    assert_int_equal(directories, 1);
    assert_int_equal(ff_discover_unmatched(discover), 1);
    ff_discover_close(discover);
}

static void every_file_of_a_large_directory_is_found_once(void **state)
{
    enum { FILES = 100000 };
    static unsigned char seen[FILES];
    struct ff_discover *discover;
    struct ff_found found;
    int result;
    int count = 0;

    (void)state;
    memset(seen, 0, sizeof(seen));
    make_directory("d");
    for (int i = 0; i < FILES; i++) {
        char path[32];

        snprintf(path, sizeof(path), "d/%d.txt", i);
        if (i < 2)
            make_file(path, "");
        else /* Cheaper than a file of its own; two, since file systems limit the links of one. */
            assert_int_equal(link(i % 2 == 0 ? "d/0.txt" : "d/1.txt", path), 0);
    }
    discover = open_search(&(struct ff_discover_options){PATHS("d"), .glob = "*.txt"});
    while ((result = ff_discover_next(discover, &found)) == 1) {
        int number = atoi(found.path + 2);

        assert_int_equal(found.kind, FF_FOUND_FILE);
        assert_in_range(number, 0, FILES - 1);
        assert_int_equal(seen[number]++, 0);
        count++;
    }
    assert_int_equal(result, 0);
    assert_int_equal(count, FILES);
    ff_discover_close(discover);
}

/* Opens a search and goes through it: 0 at the end, or the code that ended it before. */
static int search_to_the_end(const struct ff_discover_options *options)
{
    struct ff_error error = {0};
    struct ff_discover *discover = NULL;
    struct ff_found found;
    int result = ff_discover_open(&discover, options, &error);

    if (result < 0)
        return result;
    do
        result = ff_discover_next(discover, &found);
    while (result == 1);
    ff_discover_close(discover);
    return result;
}

static void missing_memory_ends_the_search(void **state)
{
    const struct ff_discover_options options = {PATHS("d"), .glob = "*.txt", .recursive = true};
    int failures = 0;
    int result;

    (void)state;
    make_directory("d");
    make_directory("d/sub");
    make_file("d/a.txt", "");
    do {
        allocations_left = failures;
        result = search_to_the_end(&options);
        allocations_left = -1;
        assert_true(result == 0 || result == FORKFOLD_E_MEMORY);
    } while (result < 0 && failures++ < 100);
    assert_int_equal(result, 0);
    assert_in_range(failures, 3, 99); /* the search itself, its path, its stack */
}

#define WITHOUT_FAULTS(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, enter_without_faults, leave_without_faults)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITHOUT_FAULTS(links_lead_to_files_but_not_into_directories),
        WITHOUT_FAULTS(directory_that_becomes_a_link_is_not_entered),
        WITHOUT_FAULTS(subdirectory_that_vanishes_is_failed),
        WITHOUT_FAULTS(broken_off_listing_is_failed_and_the_search_goes_on),
        WITHOUT_FAULTS(what_permissions_hide_is_failed),
        WITHOUT_FAULTS(deep_tree_needs_few_descriptors_and_loses_no_file),
        WITHOUT_FAULTS(what_lies_too_deep_to_be_opened_is_failed),
        WITHOUT_FAULTS(every_file_of_a_large_directory_is_found_once),
        WITHOUT_FAULTS(missing_memory_ends_the_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
