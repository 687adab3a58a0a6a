# SPDX-License-Identifier: Apache-2.0
"""Standard input as the path "-"."""

import os
import random
import socket
import threading

import generate
import pytest
import reference
import running
from expected import check_count, decode_detail, failure_line

MEGABYTES = 1 if running.SANITIZED else 4


def check(forkfold, data, *options):
    """That the data, as standard input, counts as in Python."""
    words, failures = reference.count_paths(["-"], stdin=data)
    run = forkfold.words(*options, "-", input_bytes=data)
    assert run.out == reference.listing(words)
    details = [failure_line("-", decode_detail(data)) for _ in failures]
    assert run.messages() == details
    assert run.code == (1 if failures else 0)
    return run


@pytest.mark.parametrize("data", [b"", b" ", b"one", b"one two\n", b"\0", b"\xef\xbb\xbfone"])
def test_standard_input_counts_as_a_file(forkfold, data):
    assert check(forkfold, data).summary().files == 1


@pytest.mark.parametrize("kind", sorted(generate.VALID))
def test_every_kind_of_text_counts_through_a_pipe(forkfold, kind):
    check(forkfold, generate.VALID[kind]("stdin"))


@pytest.mark.parametrize("data", [b"\xff", b"word \xff", b"word \xc3", b"\xe2\x82",
                                  b"a\xed\xa0\x80b"])  # fmt: skip
def test_ill_formed_standard_input_fails_as_a_whole(forkfold, data):
    assert check(forkfold, data).out == b""


@pytest.mark.parametrize("kind", sorted(generate.INVALID))
def test_ill_formed_standard_input_is_replaced_on_demand(forkfold, kind):
    data = generate.INVALID[kind]("stdin")
    words = reference.count_text(data, invalid="replace")
    run = forkfold.words("--invalid", "replace", "-", input_bytes=data)
    check_count(run, words, [])


@pytest.mark.parametrize("place", [131071, 131072, 262143, 262144, 262145, 524287, 1000000])
def test_ill_formed_byte_is_found_however_late(forkfold, place):
    data = (b"word " * (place // 5 + 1))[:place] + b"\xe2\x82 rest " * 100
    run = check(forkfold, data)
    assert f"at byte {place}: invalid continuation byte".encode() in run.err


def test_standard_input_and_files_are_counted_together(forkfold, texts):
    generate.folder(texts, "mixed", files=8)
    data = generate.text("mixed")
    for paths in (["-", "texts"], ["texts", "-"], ["texts", "-", "texts"]):
        words, failures = reference.count_paths(paths, stdin=data)
        check_count(forkfold.words("-j", "3", *paths, input_bytes=data), words, failures)


def test_ill_formed_standard_input_leaves_the_files_alone(forkfold, texts):
    (texts / "a.txt").write_bytes(b"good")
    run = forkfold.words("-", "texts", input_bytes=b"good bad \xff")
    assert (run.code, run.out) == (1, b"1\tgood\n")
    assert run.summary() == (1, 1, 1, 1)


def write_oddly(fd, data, seed):
    """In writes of every size, from one byte to more than a pipe holds."""
    source = random.Random(seed)
    place = 0
    while place < len(data):
        count = int(100000 ** source.random())
        place += os.write(fd, data[place : place + count])
    os.close(fd)


@pytest.mark.seeds(2)
def test_long_stream_counts_whatever_the_sizes_of_the_writes(forkfold, seed):
    data = b" ".join(generate.text(f"{seed}.{i % 5}", 100000) for i in range(10 * MEGABYTES))
    reader, writer = os.pipe()
    run = forkfold.start("words", "-", stdin=reader)
    os.close(reader)
    thread = threading.Thread(target=write_oddly, args=(writer, data, seed))
    thread.start()
    result = run.finish()
    thread.join(running.HANG_SECONDS)
    assert not thread.is_alive()
    check_count(result, reference.count_text(data), [])


def test_one_word_longer_than_any_buffer_is_one_word(forkfold):
    data = b"Ab1" * (MEGABYTES << 19)
    run = forkfold.words("-", input_bytes=data)
    assert run.out == b"1\t" + b"ab" * (MEGABYTES << 19) + b"\n"


def test_split_does_not_concern_standard_input(forkfold):
    data = generate.text("split", 50000)
    check_count(forkfold.words("--split", "16", "-", input_bytes=data),
                reference.count_text(data), [])  # fmt: skip


def test_standard_input_may_be_a_file(forkfold, tmp_path):
    data = generate.text("file", 50000)
    (tmp_path / "input").write_bytes(data)
    with open("input", "rb") as file:
        run = forkfold.words("-", stdin=file)
    check_count(run, reference.count_text(data), [])


def test_standard_input_is_read_from_where_it_stands(forkfold, tmp_path):
    (tmp_path / "input").write_bytes(b"skipped counted")
    with open("input", "rb", buffering=0) as file:
        file.read(8)
        assert forkfold.words("-", stdin=file).out == b"1\tcounted\n"


def test_standard_input_may_be_a_socket(forkfold):
    ours, theirs = socket.socketpair()
    with theirs:
        run = forkfold.start("words", "-", stdin=theirs)
    with ours:
        ours.sendall(b"by socket")
    assert run.finish().out == b"1\tby\n1\tsocket\n"


def test_empty_non_blocking_pipe_is_waited_for(forkfold):
    """The flag belongs to the pipe, which the command shares with whoever set it."""
    held = running.HeldInput()
    os.set_blocking(held.reader, False)
    run = forkfold.start("words", "--timeout", "300ms", "-", stdin=held.reader)
    held.close_reader()
    (line,) = run.finish().messages()
    held.close()
    assert line == failure_line("-", "it took longer than the timeout of 0.3 s")


def test_non_blocking_pipe_is_read_to_its_end(forkfold):
    held = running.HeldInput()
    os.set_blocking(held.reader, False)
    os.write(held.writer, b"word ")
    run = forkfold.start("words", "-", stdin=held.reader)
    held.close_reader()
    for _ in range(50):
        held.feed(b"word")
    held.close()
    assert run.finish().out == b"51\tword\n"


def test_directory_as_standard_input_is_a_failed_input(forkfold, texts):
    handle = os.open(texts, os.O_RDONLY)
    run = forkfold.words("-", stdin=handle)
    os.close(handle)
    assert (run.code, run.out) == (1, b"")
    assert run.messages() == [failure_line("-", "cannot read: Is a directory")]


def test_file_named_dash_is_reached_by_a_path(forkfold, tmp_path):
    (tmp_path / "-").write_bytes(b"dash")
    assert forkfold.words("./-").out == b"1\tdash\n"


def test_unused_standard_input_is_left_to_others(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "input").write_bytes(b"unread")
    with open(texts / "input", "rb", buffering=0) as file:
        assert forkfold.words("texts", stdin=file).out == b"1\tword\n"
        assert file.read() == b"unread"


def test_dash_twice_is_refused(forkfold):
    run = forkfold.words("-", "-", input_bytes=b"word")
    assert (run.code, run.out) == (2, b"")
    assert b"'-'" in run.err and b"once" in run.err
