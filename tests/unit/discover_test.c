/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "discover_tree.h"

static void assert_refused(const char *path, int code, const char *message)
{
    struct ff_error error = {0};
    struct ff_discover *discover = NULL;
    const char *paths[] = {".", path};
    struct ff_discover_options options = {.paths = paths, .path_count = 2, .glob = "*.txt"};

    assert_int_equal(ff_discover_open(&discover, &options, &error), code);
    assert_null(discover);
    assert_string_equal(error.message, message);
}

static void directory_gives_its_matching_regular_files(void **state)
{
    (void)state;
    make_directory("d");
    make_file("d/a.txt", "a");
    make_file("d/b.txt", "");
    make_file("d/c.md", "");
    make_file("d/.hidden.txt", "");
    make_file("d/.hidden.md", "");
    make_directory("d/sub.txt");
    make_file("d/sub.txt/e.txt", "");
    assert_int_equal(mkfifo("d/fifo.txt", 0644), 0);
    make_socket("d/socket.txt");
    assert_int_equal(assert_finds((struct ff_discover_options){PATHS("d")},
                                  LINES("file d/a.txt", "file d/b.txt")),
                     1);
}

static void glob_chooses_other_names(void **state)
{
    (void)state;
    make_file("a.txt", "");
    make_file("b.md", "");
    make_file("c.md", "");
    make_file("\\d", "");
    assert_int_equal(assert_finds((struct ff_discover_options){PATHS("."), .glob = "[!c].md"},
                                  LINES("file ./b.md")),
                     3);
    assert_int_equal(
        assert_finds((struct ff_discover_options){PATHS("."), .glob = "\\?"}, LINES("file ./\\d")),
        3);
    assert_int_equal(
        assert_finds((struct ff_discover_options){PATHS("."), .glob = "*"},
                     LINES("file ./\\d", "file ./a.txt", "file ./b.md", "file ./c.md")),
        0);
    assert_int_equal(assert_finds((struct ff_discover_options){PATHS("."), .glob = ".*"}, NOTHING),
                     4);
}

static void names_are_bytes_in_every_locale(void **state)
{
    static const char *const locales[] = {"C", "C.UTF-8"};

    (void)state;
    make_file("\xff.txt", "");
    make_file("\xc3\xa9.txt", "");
    make_file("new\nline.txt", "");
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(setlocale(LC_ALL, locales[i]));
        assert_finds((struct ff_discover_options){PATHS(".")},
                     LINES("file ./new\nline.txt", "file ./\xc3\xa9.txt", "file ./\xff.txt"));
        assert_finds((struct ff_discover_options){PATHS("."), .glob = "?.txt"},
                     LINES("file ./\xff.txt"));
        assert_finds((struct ff_discover_options){PATHS("."), .glob = "[!\xff][\x80-\xbf].txt"},
                     LINES("file ./\xc3\xa9.txt"));
    }
    assert_non_null(setlocale(LC_ALL, "C"));
}

static void subdirectories_are_searched_when_asked(void **state)
{
    static const char *const directories[] = {"0",    "0/00", "0/01", "0/02", "1",    "1/10",
                                              "1/11", "1/12", "2",    "2/20", "2/21", "2/22"};

    (void)state;
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        char path[32];

        make_directory(directories[i]);
        snprintf(path, sizeof(path), "%s/x.txt", directories[i]);
        make_file(path, "");
    }
    assert_finds((struct ff_discover_options){PATHS("."), .recursive = true},
                 LINES("file ./0/00/x.txt", "file ./0/01/x.txt", "file ./0/02/x.txt",
                       "file ./0/x.txt", "file ./1/10/x.txt", "file ./1/11/x.txt",
                       "file ./1/12/x.txt", "file ./1/x.txt", "file ./2/20/x.txt",
                       "file ./2/21/x.txt", "file ./2/22/x.txt", "file ./2/x.txt"));
    assert_finds((struct ff_discover_options){PATHS(".")}, NOTHING);
}

static void named_paths_are_read_whatever_their_name(void **state)
{
    (void)state;
    make_file("plain", "");
    make_file(".hidden", "");
    make_directory(".dir");
    make_file(".dir/a.txt", "");
    assert_int_equal(symlink(".dir", "link"), 0);
    assert_int_equal(symlink("plain", "file-link"), 0);
    assert_int_equal(
        assert_finds((struct ff_discover_options){PATHS("plain", ".hidden", "plain", "-", ".dir",
                                                        "link", "file-link")},
                     LINES("file .dir/a.txt", "file .hidden", "file file-link", "file link/a.txt",
                           "file plain", "file plain", "stdin -")),
        0);
}

static void paths_are_found_in_the_order_given(void **state)
{
    static const char *const expected[] = {"b", "a/x.txt", "-", "a"};
    struct ff_discover *discover;
    struct ff_found found;

    (void)state;
    make_file("b", "");
    make_directory("a");
    make_file("a/x.txt", "");
    discover = open_search(&(struct ff_discover_options){PATHS("b", "a", "-"), .glob = "*"});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ff_discover_next(discover, &found), 1);
        assert_string_equal(found.path, expected[i]);
    }
    ff_discover_close(discover);
}

static void slashes_of_the_path_are_kept(void **state)
{
    (void)state;
    make_directory("d");
    make_file("d/a.txt", "");
    assert_finds((struct ff_discover_options){PATHS("d/", "d", "./d", "d//")},
                 LINES("file ./d/a.txt", "file d//a.txt", "file d/a.txt", "file d/a.txt"));
}

static void root_directory_gets_no_second_slash(void **state)
{
    struct ff_discover *discover;
    struct ff_found found;
    int result;

    (void)state;
    discover = open_search(&(struct ff_discover_options){PATHS("/"), .glob = "*"});
    while ((result = ff_discover_next(discover, &found)) == 1) {
        assert_int_equal(found.path[0], '/');
        assert_int_not_equal(found.path[1], '/');
    }
    assert_int_equal(result, 0);
    ff_discover_close(discover);
}

static void file_is_described_as_stat_sees_it(void **state)
{
    /* Past 2262 a time does not fit in signed 64-bit nanoseconds. */
    static const int64_t seconds[] = {0, 1234567890, -1, 13569465600};
    struct stat status;
    struct ff_found found;

    (void)state;
    make_file("a.txt", "12345");
    assert_int_equal(symlink("a.txt", "link.txt"), 0);
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        const struct timespec times[] = {{.tv_sec = seconds[i]},
                                         {.tv_sec = seconds[i], .tv_nsec = 7}};
        struct ff_discover *discover =
            open_search(&(struct ff_discover_options){PATHS("."), .glob = "link.txt"});

        assert_int_equal(utimensat(AT_FDCWD, "a.txt", times, 0), 0);
        assert_int_equal(stat("a.txt", &status), 0);
        assert_int_equal(ff_discover_next(discover, &found), 1);
        assert_int_equal(found.kind, FF_FOUND_FILE);
        assert_int_equal(found.size, 5);
        assert_int_equal(found.inode, status.st_ino);
        assert_int_equal(found.device, status.st_dev);
        assert_true((uint64_t)found.mtime_ns == (uint64_t)status.st_mtim.tv_sec * 1000000000U + 7);
        assert_int_equal(found.system_error, 0);
        ff_discover_close(discover);
    }
}

static void lists_of_files_are_not_checked_but_fail_one_by_one(void **state)
{
    (void)state;
    make_file("a", "");
    make_file("-", "");
    make_directory("d");
    assert_int_equal(mkfifo("fifo", 0644), 0);
    make_socket("socket");
    assert_finds((struct ff_discover_options){PATHS("a", "-", "d", "fifo", "socket", "/dev/null",
                                                    "gone", "", "a/b"),
                                              .paths_are_files = true},
                 LINES("failed  ENOENT", "failed /dev/null EOPNOTSUPP", "failed a/b ENOTDIR",
                       "failed d EISDIR", "failed fifo EOPNOTSUPP", "failed gone ENOENT",
                       "failed socket EOPNOTSUPP", "file -", "file a"));
}

static void nothing_is_searched_when_a_path_is_missing(void **state)
{
    (void)state;
    make_file("a", "");
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_refused("gone", FORKFOLD_E_NOT_FOUND,
                   "cannot read 'gone': no such file or directory; check the spelling or run it "
                   "from the folder that holds it");
    assert_refused("", FORKFOLD_E_NOT_FOUND,
                   "cannot read '': no such file or directory; check the spelling or run it from "
                   "the folder that holds it");
    assert_refused("a/b", FORKFOLD_E_NOT_FOUND,
                   "cannot read 'a/b': a part of it before the last '/' is not a directory; check "
                   "the spelling");
    assert_refused("dangling", FORKFOLD_E_NOT_FOUND,
                   "cannot read 'dangling': it is a symbolic link to something that does not "
                   "exist; mend the link or name the file itself");
}

static void nothing_is_searched_when_a_path_is_no_file_or_directory(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("fifo", 0644), 0);
    make_socket("socket");
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_refused("fifo", FORKFOLD_E_INVALID,
                   "cannot read 'fifo': it is a FIFO, and only regular files, directories and - "
                   "are read; to read data from a pipe, send it to the standard input and give - "
                   "as the path");
    assert_refused("socket", FORKFOLD_E_INVALID,
                   "cannot read 'socket': it is a socket, and only regular files, directories and "
                   "- are read; to read data from a pipe, send it to the standard input and give "
                   "- as the path");
    assert_refused("/dev/null", FORKFOLD_E_INVALID,
                   "cannot read '/dev/null': it is a character device, and only regular files, "
                   "directories and - are read; to read data from a pipe, send it to the standard "
                   "input and give - as the path");
    assert_refused("loop", FORKFOLD_E_INVALID,
                   "cannot read 'loop': Too many levels of symbolic links; check the path or leave "
                   "it out");
}

static void message_about_a_long_path_keeps_the_reason(void **state)
{
    struct ff_error error = {0};
    struct ff_discover *discover = NULL;
    char path[2001];
    const char *paths[] = {path};
    struct ff_discover_options options = {.paths = paths, .path_count = 1, .glob = "*.txt"};

    (void)state;
    for (size_t i = 0; i < sizeof(path) - 1; i++)
        path[i] = i % 2 == 0 ? '.' : '/';
    memcpy(path + sizeof(path) - 6, "/gone", 6);
    assert_int_equal(ff_discover_open(&discover, &options, &error), FORKFOLD_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "'..../"));
    assert_non_null(strstr(error.message, "/gone': no such file or directory; check"));
    assert_non_null(strstr(error.message, "that holds it"));
}

static void named_path_that_vanishes_after_the_check_is_failed(void **state)
{
    struct ff_discover *discover;

    (void)state;
    make_file("a", "");
    make_file("b", "");
    make_directory("d");
    discover = open_search(&(struct ff_discover_options){PATHS("a", "b", "d"), .glob = "*"});
    assert_int_equal(unlink("a"), 0);
    assert_int_equal(unlink("b"), 0);
    assert_int_equal(mkfifo("b", 0644), 0);
    assert_int_equal(rmdir("d"), 0);
    assert_finds_now(discover, LINES("failed a ENOENT", "failed b EOPNOTSUPP", "failed d ENOENT"));
}

static void search_can_be_closed_at_any_point(void **state)
{
    struct ff_discover *discover;
    struct ff_found found;

    (void)state;
    make_directory("sub");
    make_file("a.txt", "");
    make_file("b.txt", "");
    ff_discover_close(NULL);
    ff_discover_close(open_search(&(struct ff_discover_options){.glob = "*"}));
    discover =
        open_search(&(struct ff_discover_options){PATHS("."), .glob = "*", .recursive = true});
    assert_int_equal(ff_discover_next(discover, &found), 1);
    ff_discover_close(discover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_NEW_DIRECTORY(directory_gives_its_matching_regular_files),
        IN_NEW_DIRECTORY(glob_chooses_other_names),
        IN_NEW_DIRECTORY(names_are_bytes_in_every_locale),
        IN_NEW_DIRECTORY(subdirectories_are_searched_when_asked),
        IN_NEW_DIRECTORY(named_paths_are_read_whatever_their_name),
        IN_NEW_DIRECTORY(paths_are_found_in_the_order_given),
        IN_NEW_DIRECTORY(slashes_of_the_path_are_kept),
        IN_NEW_DIRECTORY(root_directory_gets_no_second_slash),
        IN_NEW_DIRECTORY(file_is_described_as_stat_sees_it),
        IN_NEW_DIRECTORY(lists_of_files_are_not_checked_but_fail_one_by_one),
        IN_NEW_DIRECTORY(nothing_is_searched_when_a_path_is_missing),
        IN_NEW_DIRECTORY(nothing_is_searched_when_a_path_is_no_file_or_directory),
        IN_NEW_DIRECTORY(message_about_a_long_path_keeps_the_reason),
        IN_NEW_DIRECTORY(named_path_that_vanishes_after_the_check_is_failed),
        IN_NEW_DIRECTORY(search_can_be_closed_at_any_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
