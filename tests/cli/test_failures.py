# SPDX-License-Identifier: Apache-2.0
"""--failures: the failed inputs as JSON lines."""

import errno
import json
import os
import signal

import generate
import pytest
import reference
import running
from expected import decode_detail, failure_line

# Every line has all of them, in this order; what does not apply is null.
FIELDS = ["path", "path_bytes", "reason", "detail", "byte_offset", "errno", "system_error",
          "signal", "signal_name", "exit_code", "address", "backtrace", "attempts"]  # fmt: skip
NOTHING = dict.fromkeys(FIELDS)


def count(forkfold, *arguments, **options):
    """The run and the list of failures that it wrote."""
    run = forkfold.words("--failures", "failed", *arguments, creates=["failed"], **options)
    with open("failed", "rb") as file:
        failures = [json.loads(line) for line in file.read().decode().splitlines()]
    os.unlink("failed")
    assert all(list(failure) == FIELDS for failure in failures)
    return run, failures


def test_ill_formed_files_are_listed_with_their_first_bad_byte(forkfold, texts):
    generate.folder(texts, "failures", files=20, ill_formed=0.5)
    _, expected = reference.count_paths(["texts"])
    run, failures = count(forkfold, "texts")
    assert len(failures) == len(expected) > 0
    for failure, (path, _, offset, _) in zip(failures, expected):
        with open(path, "rb") as file:
            detail = decode_detail(file.read())
        assert failure == {**NOTHING, "path": path.decode(), "reason": "decode", "detail": detail,
                           "byte_offset": offset, "attempts": 1}  # fmt: skip
    assert run.code == 1
    assert len(run.messages()) == len(expected)


def test_first_byte_may_be_the_bad_one(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    _, (failure,) = count(forkfold, "texts")
    assert failure["byte_offset"] == 0


def test_path_that_is_not_utf8_is_given_as_bytes(forkfold, texts):
    name = b"texts/\xff\xe2\x82.txt"
    with open(name, "wb") as file:
        file.write(b"\xff")
    _, (failure,) = count(forkfold, "texts")
    assert failure["path"] is None
    assert bytes.fromhex(failure["path_bytes"]) == name


def test_path_with_controls_is_given_exactly(forkfold, texts):
    name = "texts/\"q\" \\ \n\t\x01\x7f\u0080\u202e\U0001f600.txt"
    with open(name, "wb") as file:
        file.write(b"\xff")
    _, (failure,) = count(forkfold, "texts")
    assert (failure["path"], failure["path_bytes"]) == (name, None)


def test_failed_standard_input_is_a_dash(forkfold):
    _, (failure,) = count(forkfold, "-", input_bytes=b"good \xff")
    assert (failure["path"], failure["byte_offset"]) == ("-", 5)


def test_missing_file_is_listed_with_the_system_error(forkfold):
    _, (failure,) = count(forkfold, "--files-from", "-", input_bytes=b"gone\n")
    assert failure == {**NOTHING, "path": "gone", "reason": "system", "errno": errno.ENOENT,
                       "detail": "cannot read it: No such file or directory",
                       "system_error": "No such file or directory", "attempts": 1}  # fmt: skip


def test_unreadable_file_is_listed_with_the_system_error(forkfold, texts, as_user):
    (texts / "locked.txt").write_bytes(b"word")
    os.chmod(texts / "locked.txt", 0)
    _, (failure,) = count(forkfold, "texts", prefix=as_user)
    assert failure == {**NOTHING, "path": "texts/locked.txt", "reason": "system",
                       "errno": errno.EACCES, "detail": "cannot open: Permission denied",
                       "system_error": "Permission denied", "attempts": 1}  # fmt: skip


def test_input_that_takes_too_long_is_listed(forkfold):
    run, held = forkfold.start_held("words", "--timeout", "200ms", "--failures", "failed", "-",
                                    creates=["failed"])  # fmt: skip
    run.finish()
    held.close()
    with open("failed", "rb") as file:
        failure = json.loads(file.read())
    assert failure["reason"] == "timeout"
    assert failure["path"] == "-"


@pytest.mark.parametrize("point", ["begin", "middle", "end"])
def test_crash_is_listed_with_signal_address_and_backtrace(forkfold, texts, point):
    (texts / "bad.txt").write_bytes(b"word")
    (texts / "good.txt").write_bytes(b"word")
    run, (failure,) = count(forkfold, "-v", "--retries", "1", "texts",
                            environment={"FORKFOLD_FAULT": f"segv:{point}:*/bad.txt"})  # fmt: skip
    assert (run.code, run.out) == (1, b"1\tword\n")
    assert failure["path"] == "texts/bad.txt"
    assert failure["reason"] == "signal"
    assert (failure["signal"], failure["signal_name"]) == (signal.SIGSEGV, "SIGSEGV")
    assert failure["address"] == "0x10"
    assert failure["attempts"] == 2
    assert failure["exit_code"] is None and failure["byte_offset"] is None
    assert len(failure["backtrace"]) > 0
    assert all(line.startswith("#") for line in failure["backtrace"])
    shown = run.err.decode()
    assert "texts/bad.txt: a worker died of signal 11" in shown
    assert "(tried 2 times)" in shown
    assert failure["backtrace"][0] in shown
    assert "2 workers died" in shown


def test_exit_of_a_worker_is_listed_with_its_code(forkfold, texts):
    (texts / "bad.txt").write_bytes(b"word")
    (texts / "good.txt").write_bytes(b"word")
    run, (failure,) = count(forkfold, "--retries", "0", "texts",
                            environment={"FORKFOLD_FAULT": "exit:begin:*/bad.txt"})  # fmt: skip
    assert (run.code, run.out) == (1, b"1\tword\n")
    assert (failure["reason"], failure["exit_code"]) == ("exit", 3)
    assert failure["attempts"] == 1
    assert failure["signal"] is None and failure["address"] is None


def test_released_command_knows_no_faults(forkfold, texts):
    if not running.RELEASE:
        pytest.skip("FORKFOLD_RELEASE is not set")
    (texts / "a.txt").write_bytes(b"word")
    for fault in ("segv:begin:*", "kill:middle:*", "exit:end:*"):
        run = forkfold.words("texts", binary=running.RELEASE, environment={"FORKFOLD_FAULT": fault})
        assert (run.code, run.out) == (0, b"1\tword\n")


def test_list_is_empty_when_nothing_fails(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run, failures = count(forkfold, "texts")
    assert (run.code, run.out, failures) == (0, b"1\tword\n", [])


def test_list_replaces_an_older_one_and_keeps_its_mode(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    with open("failed", "wb") as file:
        file.write(b"old\n" * 1000)
    os.chmod("failed", 0o640)
    run = forkfold.words("--failures", "failed", "texts")
    assert run.code == 1
    with open("failed", "rb") as file:
        assert json.loads(file.read())["path"] == "texts/a.txt"
    assert os.stat("failed").st_mode & 0o7777 == 0o640


def test_list_may_go_to_standard_error(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    run = forkfold.words("-q", "--failures", "/dev/stderr", "texts")
    assert run.code == 1
    shown, listed = run.err.splitlines()
    assert shown == failure_line("texts/a.txt", "invalid UTF-8 at byte 0: invalid start byte")
    assert json.loads(listed)["path"] == "texts/a.txt"


def test_list_that_cannot_be_written_ends_the_run_without_a_result(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word \xff")
    run = forkfold.words("--failures", "/dev/full", "-o", "out", "texts")
    assert (run.code, run.out) == (3, b"")
    assert b"--failures" in run.err and b"No space left on device" in run.err


def test_long_list_is_complete_and_in_order(forkfold, texts):
    names = [f"texts/{number:05}.txt" for number in range(3000)]
    for name in names:
        with open(name, "wb") as file:
            file.write(b"word \xff")
    run, failures = count(forkfold, "-j", "4", "texts")
    assert [failure["path"] for failure in failures] == names
    assert len(run.messages()) == len(names)
    assert run.summary() == (0, len(names), 0, 0)
