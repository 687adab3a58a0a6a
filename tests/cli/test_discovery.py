# SPDX-License-Identifier: Apache-2.0
"""Which files a run reads: directories, files named directly, links, and what is no file."""

import os
import socket

import pytest
import reference
import running
from expected import check_count, failure_line

# A path that the system takes is shorter.
PATH_BYTES = 4096


def tree(root, files):
    """Writes files, whose words are their names."""
    for name in files:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"word " + os.fsencode(name).replace(b"\n", b" ") + b"\n")


def check(forkfold, paths, *options, code=None, **search):
    words, failures = reference.count_paths(paths, "plain", "replace", **search)
    assert failures == []
    run = forkfold.words("--rule", "plain", "--invalid", "replace", *options, *paths)
    check_count(run, words, failures, code)
    return run


def test_directory_gives_its_text_files_and_no_others(forkfold, texts):
    tree(texts, ["a.txt", "b.txt", "c.md", "d.TXT", "e.txt.bak", "txt", ".txt", ".hidden.txt",
                 "sub/f.txt"])  # fmt: skip
    run = check(forkfold, ["texts"])
    assert run.summary().files == 2


def test_several_paths_are_all_counted(forkfold, tmp_path):
    tree(tmp_path, ["one/a.txt", "two/b.txt", "two/c.md", "three.txt"])
    assert check(forkfold, ["one", "two", "three.txt"]).summary().files == 3


def test_file_named_directly_is_read_whatever_its_name(forkfold, tmp_path):
    tree(tmp_path, ["notes.md", ".hidden", "no-suffix", "sub/.x.bak"])
    run = check(forkfold, ["notes.md", ".hidden", "no-suffix", "sub/.x.bak"])
    assert run.summary().files == 4


def test_hidden_directory_named_directly_is_searched(forkfold, tmp_path):
    tree(tmp_path, [".cache/a.txt", ".cache/.b.txt"])
    assert check(forkfold, [".cache"]).summary().files == 1


def test_trailing_slash_and_dot_mean_the_same_directory(forkfold, texts):
    tree(texts, ["a.txt"])
    out = forkfold.words("texts").out
    assert forkfold.words("texts/").out == out
    assert forkfold.words("./texts/.").out == out
    assert forkfold.words(".", cwd=texts).out == out


@pytest.mark.parametrize("glob", ["*", "*.md", "?.txt", "[ab].*", "[!a].txt", "b*",
                                  "*.t[x]t", "\\*.txt", "*\xe9*"])  # fmt: skip
def test_glob_chooses_the_names_in_directories(forkfold, texts, glob):
    tree(texts, ["a.txt", "b.txt", "bb.txt", "c.md", "[ab].x", "*.txt", "\\x.txt", "\xe9.txt",
                 ".hidden.md", "b"])  # fmt: skip
    check(forkfold, ["texts"], "--glob", glob, glob=glob)


def test_glob_does_not_apply_to_named_files(forkfold, tmp_path):
    tree(tmp_path, ["a.txt", "dir/b.md", "dir/c.txt"])
    run = check(forkfold, ["a.txt", "dir"], "--glob", "*.md", glob="*.md")
    assert run.summary().files == 2


def test_recursion_enters_all_but_hidden_and_linked_directories(forkfold, texts):
    tree(texts, ["a.txt", "d/b.txt", "d/e/f/c.txt", ".h/d.txt", "d/.i/e.txt", "x.txt/f.txt",
                 "sp ace/g.txt", "empty/no.md"])  # fmt: skip
    os.symlink("d", texts / "link")
    os.symlink("..", texts / "d" / "loop")
    assert check(forkfold, ["texts"], "-r", recursive=True).summary().files == 5
    assert check(forkfold, ["texts"]).summary().files == 1


def test_linked_directory_named_directly_is_searched(forkfold, texts):
    tree(texts, ["a.txt"])
    os.symlink("texts", "link")
    assert check(forkfold, ["link"], "-r", recursive=True).summary().files == 1


def test_links_to_files_are_followed_and_broken_ones_passed_over(forkfold, texts):
    tree(texts, ["target", "a.txt", "sub/b.txt"])
    for name, target in (("to-other.txt", "target"), ("to-listed.txt", "a.txt"),
                         ("to-directory.txt", "sub"), ("dangling.txt", "gone"),
                         ("self.txt", "self.txt"), ("to-device.txt", "/dev/zero"),
                         ("chain.txt", "to-other.txt"), ("outside.md", "a.txt")):  # fmt: skip
        os.symlink(target, texts / name)
    assert check(forkfold, ["texts"]).summary().files == 4


def test_pipe_socket_and_device_in_a_directory_are_never_opened(forkfold, texts, monkeypatch):
    tree(texts, ["a.txt"])
    os.mkfifo(texts / "fifo.txt")
    os.symlink("fifo.txt", texts / "link.txt")
    os.symlink("/dev/tty", texts / "tty.txt")
    monkeypatch.chdir(texts)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.txt")
    monkeypatch.undo()
    check_count(forkfold.words(str(texts)), *reference.count_paths([texts]))


@pytest.mark.parametrize("kind", ["a FIFO", "a socket", "a character device"])
def test_what_is_no_file_is_refused_when_named(forkfold, kind):
    if kind == "a FIFO":
        os.mkfifo("special")
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("special")
    else:
        os.symlink("/dev/zero", "special")
    run = forkfold.words("special")
    assert (run.code, run.out) == (2, b"")
    assert kind.lower().encode() in run.err.lower() and b"'special'" in run.err
    assert b"standard input" in run.err


def test_names_of_any_bytes_are_read(forkfold, texts):
    names = [b"new\nline.txt", b"\xff\xfe.txt", b"latin\xe9.txt", b"tab\t.txt", b" .txt", b"-r.txt",
             b"--help.txt", b"'.txt", b"\\.txt", b"%s.txt", b"\x1b[31m.txt", b"\x01.txt",
             b"x" * 251 + b".txt", "\u4e2d\u6587.txt".encode(), "\u202e.txt".encode()]  # fmt: skip
    tree(texts, names)
    assert check(forkfold, ["texts"]).summary().files == len(names)
    for name in names:
        assert check(forkfold, [b"texts/" + name]).summary().files == 1


def test_names_of_any_bytes_are_shown_safely_when_they_fail(forkfold, texts):
    names = [b"new\nline.txt", b"\xff\xfe.txt", b"tab\t.txt", b"\x1b[31m.txt", b"back\\slash.txt",
             "\u202e.txt".encode(), "\u4e2d.txt".encode(), b"\xed\xa0\x80.txt",
             "\u009b.txt".encode()]  # fmt: skip
    for name in names:
        with open(os.fsencode(texts) + b"/" + name, "wb") as file:
            file.write(b"\xff")
    run = forkfold.words("texts")
    check_count(run, {}, reference.count_paths([b"texts"])[1])
    shown = run.err.decode()
    assert "texts/new\\x0aline.txt: " in shown
    assert "texts/\\xff\\xfe.txt: " in shown
    assert "texts/\\x1b[31m.txt: " in shown
    assert "texts/\\xe2\\x80\\xae.txt: " in shown
    assert "texts/\u4e2d.txt: " in shown


def test_path_after_two_dashes_is_no_option(forkfold, tmp_path):
    tree(tmp_path, ["-q", "--help/a.txt"])
    assert check(forkfold, ["-q", "--help"], "--").summary().files == 2


def test_file_reached_twice_counts_twice(forkfold, texts):
    tree(texts, ["a.txt"])
    os.symlink("a.txt", texts / "b.txt")
    os.link(texts / "a.txt", texts / "c.txt")
    paths = ["texts", "texts/a.txt", "texts/a.txt", "texts"]
    assert check(forkfold, paths).summary().files == 8


def test_ill_formed_file_named_twice_is_listed_twice(forkfold):
    with open("bad", "wb") as file:
        file.write(b"\xff")
    run = forkfold.words("bad", "bad")
    assert run.messages() == [b"forkfold: bad: invalid UTF-8 at byte 0: invalid start byte"] * 2
    assert run.code == 1


def test_file_of_unknown_size_is_read_to_its_end(forkfold):
    path = "/proc/version"
    assert os.stat(path).st_size == 0
    check(forkfold, [path])


def test_unreadable_file_is_listed_and_the_others_count(forkfold, texts, as_user):
    tree(texts, ["a.txt", "b.txt", "locked.txt", "locked/c.txt"])
    os.chmod(texts / "locked.txt", 0)
    os.chmod(texts / "locked", 0)
    run = forkfold.words("-r", "texts", prefix=as_user)
    assert run.out == b"2\tword\n1\tatxt\n1\tbtxt\n"
    assert run.messages() == [
        failure_line("texts/locked.txt", "cannot open: Permission denied"),
        failure_line("texts/locked/", "cannot read it: Permission denied"),
    ]
    assert run.code == 1


def test_unreadable_directory_named_directly_is_a_failed_input(forkfold, texts, as_user):
    tree(texts, ["a.txt"])
    os.chmod(texts, 0)
    run = forkfold.words("texts", prefix=as_user)
    assert run.messages() == [failure_line("texts/", "cannot read it: Permission denied")]
    assert (run.code, run.out) == (1, b"")


def test_entries_behind_too_long_paths_are_failed_inputs(forkfold, texts):
    tree(texts, ["a.txt"])
    path = "texts"
    handle = os.open(path, os.O_RDONLY)
    while len(path) < PATH_BYTES:
        readable = path
        path += "/" + "d" * 200
        os.mkdir("d" * 200, dir_fd=handle)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=handle)
        for name in ("f.txt", "x" * 200 + ".txt"):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=handle))
        os.close(handle)
        handle = inner
    os.close(handle)
    failed = [path + "/", f"{readable}/{'x' * 200}.txt"]
    run = forkfold.words("-r", "texts")
    assert run.out == b"1\tatxt\n1\tword\n"
    assert run.messages() == [failure_line(name, "cannot read it: File name too long")
                              for name in failed]  # fmt: skip
    assert run.code == 1


def test_empty_directory_is_warned_of(forkfold, texts):
    run = forkfold.words("texts")
    assert (run.code, run.out) == (0, b"")
    (warning,) = run.messages()
    assert warning == b"forkfold: no files match '*.txt' in texts"
    assert run.summary() == (0, 0, 0, 0)
    assert forkfold.words("-q", "texts").err == b""


def test_directories_that_only_r_enters_are_mentioned(forkfold, texts):
    (texts / ".hidden").mkdir()
    (texts / "link").symlink_to(texts)
    assert b"-r" not in forkfold.words("texts").err
    (texts / "empty").mkdir()
    for left_out in (b"", b"other file"):
        (warning,) = forkfold.words("texts", "texts").messages()
        assert warning.endswith(b"; -r enters the directories there")
        assert left_out in warning
        assert b"-r" not in forkfold.words("-r", "texts").err
        (texts / "empty" / "a.md").write_bytes(b"")
        (texts / "b.md").write_bytes(b"")


def test_files_that_the_glob_leaves_out_are_counted_in_the_warning(forkfold, texts):
    tree(texts, ["a.md", "b.md", ".hidden"])
    run = forkfold.words("texts")
    assert (run.code, run.out) == (0, b"")
    (warning,) = run.messages()
    assert b"'*.txt'" in warning and b"texts" in warning and b"2 other files" in warning
    assert b"--glob" in warning
    (warning,) = forkfold.words("--glob", "*.c", "texts", "texts").messages()
    assert b"'*.c'" in warning and b"texts and 1 more" in warning
    assert forkfold.words("-q", "texts").err == b""


def test_no_warning_when_the_only_file_fails(forkfold, texts):
    (texts / "bad.txt").write_bytes(b"\xff")
    (texts / "other.md").write_bytes(b"")
    assert len(forkfold.words("texts").messages()) == 1


def test_wide_directory_counts_every_file(forkfold, wide_place):
    count = 20000 if running.SANITIZED else 100000
    check_wide(forkfold, wide_place, [wide_place], count)


def test_tree_of_many_directories_counts_every_file(forkfold, wide_place):
    folders = []
    for number in range(500 if running.SANITIZED else 2000):
        folders.append(wide_place / str(number % 17) / str(number % 101) / str(number))
        folders[-1].mkdir(parents=True)
    check_wide(forkfold, wide_place, folders, 5 * len(folders), "-r")


def check_wide(forkfold, root, folders, count, *options):
    """Hard links to few files are written faster than as many files."""
    contents = [b"common a\n", b"common b c\n", b"bad \xff\n", b""]
    for number, content in enumerate(contents):
        (root / f"source{number}").write_bytes(content)
    sources = [os.fspath(root / f"source{number}") for number in range(len(contents))]
    kinds = [2 if number % 1000 == 999 else number % 4 if number % 4 != 2 else 0
             for number in range(count)]  # fmt: skip
    for number, kind in enumerate(kinds):
        os.link(sources[kind], folders[number % len(folders)] / f"{number}.txt")
    run = forkfold.words("-j", "4", *options, str(root))
    ones, twos = kinds.count(0), kinds.count(1)
    words = {b"common": ones + twos, b"a": ones, b"b": twos, b"c": twos}
    assert run.out == reference.listing(words)
    assert run.summary()[:2] == (count - kinds.count(2), kinds.count(2))
    assert len(run.messages()) == kinds.count(2)
    assert run.messages() == sorted(run.messages())
