# SPDX-License-Identifier: Apache-2.0
"""--files-from: lists of names from a file or from standard input."""

import os

import pytest
import reference
from expected import check_count, failure_line


@pytest.fixture
def names(texts):
    """Files with one word each and names of many kinds."""
    found = [b"texts/a.txt", b"texts/b.md", b"texts/sp ace.txt", b"texts/\xff.txt", b"texts/-",
             b"texts/ lead.txt", b"texts/tab\t.txt", b"texts/cr.txt\r",
             b"texts/\\n.txt"]  # fmt: skip
    for number, name in enumerate(found):
        with open(name, "wb") as file:
            file.write(b"word w%c\n" % (97 + number))
    return found


def check(forkfold, names, *arguments, **options):
    words, failures = reference.count_paths(names)
    check_count(forkfold.words(*arguments, **options), words, failures)


def test_list_names_one_file_a_line(forkfold, names):
    with open("list", "wb") as file:
        file.write(b"".join(name + b"\n" for name in names))
    check(forkfold, names, "--files-from", "list")


def test_list_comes_from_standard_input(forkfold, names):
    check(forkfold, names, "--files-from", "-", input_bytes=b"\n".join(names) + b"\n")


def test_last_line_needs_no_newline_and_empty_lines_are_skipped(forkfold, names):
    listed = b"\n\n" + b"\n\n".join(names)
    check(forkfold, names, "--files-from", "-", input_bytes=listed)
    check(forkfold, names, "--files-from", "-", "-0", input_bytes=listed.replace(b"\n", b"\0"))


def test_names_that_end_in_nul_may_hold_newlines(forkfold, names, texts):
    with open(texts / "new\nline", "wb") as file:
        file.write(b"newline")
    names.append(b"texts/new\nline")
    listed = b"".join(name + b"\0" for name in names)
    check(forkfold, names, "-0", "--files-from", "-", input_bytes=listed)
    check(forkfold, names, "--null", "--files-from=-", input_bytes=listed[:-1])
    with open("list", "wb") as file:
        file.write(listed)
    check(forkfold, names, "-0", "--files-from", "list")


def test_nul_in_a_list_of_lines_is_refused(forkfold, names):
    run = forkfold.words("--files-from", "-", input_bytes=b"\0".join(names))
    assert (run.code, run.out) == (2, b"")
    assert b"NUL" in run.err and b"-0" in run.err


def test_name_that_is_listed_twice_counts_twice(forkfold, names):
    check(forkfold, 3 * names, "--files-from", "-", input_bytes=b"\n".join(3 * names))


def test_long_list_counts_every_name(forkfold, names):
    listed = 3000 * names
    check(forkfold, listed, "-j", "3", "--files-from", "-", input_bytes=b"\n".join(listed))


def test_listed_name_that_is_gone_is_a_failed_input(forkfold, names):
    run = forkfold.words("--files-from", "-", input_bytes=b"texts/a.txt\ntexts/gone\n")
    assert (run.code, run.out) == (1, b"1\twa\n1\tword\n")
    assert run.messages() == [
        failure_line("texts/gone", "cannot read it: No such file or directory")
    ]


def test_listed_directory_is_a_failed_input(forkfold, names):
    run = forkfold.words("--files-from", "-", input_bytes=b"texts\ntexts/a.txt\n")
    assert (run.code, run.out) == (1, b"1\twa\n1\tword\n")
    assert run.messages() == [failure_line("texts", "cannot read it: Is a directory")]


def test_listed_pipe_is_a_failed_input_and_is_not_opened(forkfold, names):
    os.mkfifo("fifo")
    run = forkfold.words("--files-from", "-", input_bytes=b"fifo\ntexts/a.txt\n")
    assert (run.code, run.out) == (1, b"1\twa\n1\tword\n")
    assert run.messages() == [failure_line("fifo", "cannot read it: Operation not supported")]


def test_listed_dash_is_a_file_of_that_name(forkfold, texts):
    (texts / "-").write_bytes(b"dash")
    (texts / "list").write_bytes(b"-\n")
    run = forkfold.words("--files-from", "list", cwd=texts)
    assert (run.code, run.out) == (0, b"1\tdash\n")
    (texts / "-").unlink()
    run = forkfold.words("--files-from", "list", cwd=texts)
    assert run.code == 1
    assert run.messages() == [failure_line("./-", "cannot read it: No such file or directory")]


def test_operands_and_list_are_both_counted(forkfold, names):
    check(forkfold, ["texts", *names], "--files-from", "-", "texts", input_bytes=b"\n".join(names))


def test_listed_names_beside_operands_are_treated_as_operands(forkfold, names):
    check(forkfold, ["texts/a.txt", "texts"], "--files-from", "-", "texts/a.txt",
          input_bytes=b"texts\n")  # fmt: skip
    run = forkfold.words("--files-from", "-", "texts/a.txt", input_bytes=b"texts/gone\n")
    assert (run.code, run.out) == (2, b"")
    assert b"'texts/gone'" in run.err


@pytest.mark.parametrize("listed", [b"", b"\n", b"\n\n\n"])
def test_empty_list_is_warned_of(forkfold, listed):
    run = forkfold.words("--files-from", "-", input_bytes=listed)
    assert (run.code, run.out) == (0, b"")
    assert run.messages() == [b"forkfold: the list '-' of --files-from names no files"]
    assert forkfold.words("-q", "--files-from", "-", input_bytes=listed).err == b""


@pytest.mark.parametrize("name", ["gone", "texts"])
def test_list_that_cannot_be_read_is_a_usage_error(forkfold, texts, name):
    run = forkfold.words("--files-from", name)
    assert (run.code, run.out) == (2, b"")
    assert b"--files-from" in run.err and f"'{name}'".encode() in run.err


def test_ill_formed_listed_files_are_listed_in_order_of_their_paths(forkfold, texts):
    for name in ("c", "a", "b"):
        (texts / name).write_bytes(b"bad \xf0\x9f")
    run = forkfold.words("--files-from", "-", input_bytes=b"texts/c\ntexts/b\ntexts/a\n")
    check_count(run, *reference.count_paths(["texts/a", "texts/b", "texts/c"]))
