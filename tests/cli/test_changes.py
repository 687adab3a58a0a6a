# SPDX-License-Identifier: Apache-2.0
"""Files that change between the search and the reading.

The one worker is held at standard input until the search is over; then the files change, and only
then does the worker get to them.
"""

import json
import os
import re

import pytest
from test_terminal import Terminal

FOUND_ALL = re.compile(rb"\d+/(\d+) files, ")  # a '+' would follow while the search goes on


@pytest.fixture
def held_run(forkfold, texts):
    """Starts a run that has found the files of texts and has read none of them.  The function
    that is returned lets it go on and gives the result and the list of failures."""
    (texts / "good.txt").write_bytes(b"good")
    terminal = Terminal()
    arguments = ["-j", "1", "--split", "64", "--failures", "failed", "-", "texts"]
    run, held = forkfold.start_held("words", *arguments, creates=["failed"], stderr=terminal.line)
    held.feed(b"word")
    while not FOUND_ALL.search(terminal.shown):
        assert terminal.read_some()

    def go_on():
        held.close()
        terminal.read_all()
        result = run.finish()
        with open("failed", "rb") as file:
            return result, [json.loads(line) for line in file]

    yield go_on
    held.close()
    terminal.close()


BIG = b"big " * 50  # four pieces
BAD = "texts/changed.txt"


@pytest.fixture
def changed(texts):
    """A small file that is to change."""
    (texts / "changed.txt").write_bytes(b"old")
    return texts / "changed.txt"


@pytest.fixture
def big(texts):
    """A file in several pieces that is to change."""
    (texts / "changed.txt").write_bytes(BIG)
    return texts / "changed.txt"


def check_failed(go_on, reason, *details):
    result, (failure,) = go_on()
    assert (result.code, result.out) == (1, b"1\tgood\n1\tword\n")
    assert (failure["path"], failure["reason"]) == (BAD, reason)
    for detail in details:
        assert detail in failure["detail"]
    return failure


def test_file_that_is_gone_fails(changed, held_run):
    changed.unlink()
    check_failed(held_run, "system", "No such file or directory")


def test_file_that_became_a_pipe_fails_and_is_not_waited_for(changed, held_run):
    changed.unlink()
    os.mkfifo(changed)
    check_failed(held_run, "changed", "not a regular file any more")


def test_file_that_became_a_directory_fails(changed, held_run):
    changed.unlink()
    changed.mkdir()
    check_failed(held_run, "changed", "not a regular file any more")


@pytest.mark.parametrize("content", [b"", b"new", b"new new new", b"new " * 16])
def test_small_file_counts_as_it_is_when_it_is_read(changed, held_run, content):
    changed.write_bytes(content)
    result, failures = held_run()
    count = content.count(b"new")
    assert failures == []
    lines = [b"1\tgood", b"1\tword"] + ([b"%d\tnew" % count] if count else [])
    assert sorted(result.out.splitlines()) == sorted(lines)
    assert result.code == 0


def test_small_file_that_outgrew_a_piece_fails(changed, held_run):
    changed.write_bytes(b"new " * 17)
    check_failed(held_run, "changed", "grew to 68 bytes")


def test_small_file_that_became_ill_formed_fails(changed, held_run):
    changed.write_bytes(b"new \xff")
    assert check_failed(held_run, "decode")["byte_offset"] == 4


@pytest.mark.parametrize("content", [b"", b"big ", BIG[:-1], BIG + b"x", BIG * 10])
def test_big_file_that_changed_its_size_fails_as_a_whole(big, held_run, content):
    big.write_bytes(content)
    check_failed(held_run, "changed", "from 200 to", str(len(content)))


def test_big_file_that_was_rewritten_fails_as_a_whole(big, held_run):
    before = os.stat(big)
    big.write_bytes(b"new " * 50)
    os.utime(big, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    check_failed(held_run, "changed", "changed while it was read")


def test_big_file_that_was_replaced_by_another_fails_as_a_whole(big, held_run, texts):
    before = os.stat(big)
    (texts / "other").write_bytes(b"new " * 50)
    os.utime(texts / "other", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(texts / "other", big)
    check_failed(held_run, "changed", "changed while it was read")


def test_big_file_that_is_gone_fails_once(big, held_run):
    big.unlink()
    check_failed(held_run, "system", "No such file or directory")


def test_file_that_comes_after_the_search_is_not_read(held_run, texts):
    (texts / "late.txt").write_bytes(b"late")
    result, failures = held_run()
    assert (result.code, failures) == (0, [])
    assert b"late" not in result.out
