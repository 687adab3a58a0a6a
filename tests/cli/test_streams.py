# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, or close while the command runs."""

import os
import resource
import select
import signal

import pytest
import reference
import running


@pytest.fixture
def many_words(texts):
    """Far more than a pipe and the command's buffer hold."""
    (texts / "a.txt").write_text(" ".join(f"w{i}" for i in range(200000)), encoding="ascii")
    return reference.count_paths([texts], "plain")[0]


def closing(streams):
    """What to put before a command so that it starts without these descriptors."""
    return ["sh", "-c", 'exec "$@" ' + streams, "sh"]


def closed_pipe():
    """A pipe that nobody will ever read."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_reader_that_leaves_after_a_line_ends_the_run_quietly(forkfold, many_words):
    run = forkfold.start("words", "-q", "--rule", "plain", "texts")
    assert run.process.stdout.readline() == b"1\tw0\n"
    run.process.stdout.close()
    run.process.stdout = None
    result = run.finish()
    assert result.code == -signal.SIGPIPE
    assert result.err == b""


def test_shell_pipeline_into_head_is_quiet(forkfold, many_words):
    script = '"$@" | head -n 1'
    result = forkfold.words("-q", "--rule", "plain", "texts", prefix=["sh", "-c", script, "sh"])
    assert result == (0, b"1\tw0\n", b"")


@pytest.mark.parametrize("arguments", [["words", "texts"], ["words", "--format", "json", "texts"],
                                       ["--help"], ["words", "--help"], ["--version"]])  # fmt: skip
def test_standard_output_without_a_reader_ends_the_run_quietly(forkfold, texts, arguments):
    (texts / "a.txt").write_bytes(b"word")
    writer = closed_pipe()
    result = forkfold(*arguments, stdout=writer)
    os.close(writer)
    assert (result.code, result.err) == (-signal.SIGPIPE, b"")


def test_ignored_sigpipe_is_no_reason_to_go_on(forkfold, many_words):
    writer = closed_pipe()
    result = forkfold.words("texts", stdout=writer, prefix=["sh", "-c", 'trap "" PIPE; exec "$@"',
                                                            "sh"])  # fmt: skip
    os.close(writer)
    assert result.code != 0
    assert result.err == b""


def test_failures_are_listed_before_the_closed_output_is_noticed(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    (texts / "b.txt").write_bytes(b"word")
    writer = closed_pipe()
    result = forkfold.words("texts", stdout=writer)
    os.close(writer)
    assert result.code == -signal.SIGPIPE
    assert result.err == b"forkfold: texts/a.txt: invalid UTF-8 at byte 0: invalid start byte\n"


def test_reader_of_a_named_pipe_that_leaves_ends_the_run(forkfold, many_words):
    os.mkfifo("out")
    reader = os.open("out", os.O_RDONLY | os.O_NONBLOCK)
    run = forkfold.start("words", "-q", "--rule", "plain", "-o", "out", "texts")
    running.wait_for_event(reader, select.POLLIN, "the result")
    os.close(reader)
    result = run.finish()
    assert result.code == -signal.SIGPIPE
    assert result.err == b""


def test_standard_error_without_a_reader_does_not_hurt(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"\xff")
    writer = closed_pipe()
    result = forkfold.words("texts", stderr=writer)
    os.close(writer)
    assert (result.code, result.out) == (1, b"1\tword\n")


def test_slow_reader_gets_everything(forkfold, many_words):
    """The pipe is full most of the time."""
    run = forkfold.start("words", "--rule", "plain", "texts")
    parts = []
    while parts == [] or parts[-1] != b"":
        parts.append(os.read(run.process.stdout.fileno(), 1000))
    assert b"".join(parts) == reference.listing(many_words)
    assert run.finish().code == 0


def test_non_blocking_output_gets_everything(forkfold, many_words):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    run = forkfold.start("words", "--rule", "plain", "texts", stdout=writer)
    os.close(writer)
    # The command finds the pipe full before anybody reads.
    running.wait_for_event(reader, select.POLLIN, "the result")
    with open(reader, "rb") as file:
        assert file.read() == reference.listing(many_words)
    assert run.finish().code == 0


def test_closed_standard_output_is_an_error(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    result = forkfold.words("texts", prefix=closing(">&-"))
    assert (result.code, result.out) == (3, b"")
    assert result.err.count(b"\n") == 1
    assert b"standard output is closed" in result.err and b"--output" in result.err


def test_standard_output_that_is_open_for_reading_only_is_an_error(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    result = forkfold.words("texts", prefix=closing("1</dev/null"))
    assert result.code == 3
    assert b"standard output" in result.err


def test_closed_streams_do_not_matter_to_who_needs_none(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"\xff")
    result = forkfold.words("-o", "out", "--failures", "failed", "texts",
                            prefix=closing("<&- >&- 2>&-"), creates=["out", "failed"])  # fmt: skip
    assert (result.code, result.out, result.err) == (1, b"", b"")
    with open("out", "rb") as file:
        assert file.read() == b"1\tword\n"
    with open("failed", "rb") as file:
        assert file.read().count(b"\n") == 1


@pytest.mark.parametrize("streams", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_streams_take_nothing_from_the_result(forkfold, texts, streams):
    """What is opened later must not get their numbers."""
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"\xff")
    for arguments in (["texts"], ["-j", "3", "--split", "16", "texts", "texts"]):
        result = forkfold.words(*arguments, prefix=closing(streams))
        assert result.code == 1
        assert result.out == b"%d\tword\n" % arguments.count("texts")


def test_closed_standard_input_is_refused_when_it_is_wanted(forkfold):
    for prefix in (closing("<&-"), closing("0>/dev/null")):
        result = forkfold.words("-", prefix=prefix)
        assert (result.code, result.out) == (2, b"")
        assert b"standard input" in result.err and b"'-'" in result.err


def test_closed_standard_input_is_refused_as_a_list(forkfold):
    result = forkfold.words("--files-from", "-", prefix=closing("<&-"))
    assert (result.code, result.out) == (2, b"")
    assert b"--files-from" in result.err


def test_inherited_descriptors_do_not_matter(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    handles = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    result = forkfold.words("texts", pass_fds=handles)
    for handle in handles:
        os.close(handle)
    assert (result.code, result.out) == (0, b"1\tword\n")


@pytest.mark.parametrize("files", [6, 7, 8, 9, 10, 12, 16])
def test_few_open_files_are_enough_or_explained(forkfold, texts, files):
    (texts / "a.txt").write_bytes(b"word")

    def limit():
        os.setpgrp()
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    result = forkfold.words("texts", preexec_fn=limit)
    if result.code == 0:
        assert result.out == b"1\tword\n"
    else:
        assert (result.code, result.out) == (3, b"")
        assert b"ulimit -n" in result.err
