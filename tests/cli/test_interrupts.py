# SPDX-License-Identifier: Apache-2.0
"""Signals: the first ends the run without a result, a stop does not count as time."""

import os
import select
import signal

import pytest
import running

# What ends a run, and how it says so.
ENDING = [(signal.SIGINT, 130, b"interrupted"), (signal.SIGTERM, 143, b"terminated"),
          (signal.SIGHUP, 129, b"hung up")]  # fmt: skip
ending = pytest.mark.parametrize("number, code, text", ENDING)


def counting(forkfold, *arguments, **options):
    """A run whose worker has read some of standard input and waits for more."""
    run, held = forkfold.start_held("words", "-", *arguments, **options)
    held.feed(b"word")
    return run, held


def check_no_result(result, code, text):
    assert (result.code, result.out) == (code, b"")
    (line,) = result.err.splitlines()
    assert line.startswith(b"forkfold: " + text + b": ")
    assert line.endswith(b"no result was written")


@ending
def test_signal_ends_the_count_without_a_result(forkfold, number, code, text):
    run, held = counting(forkfold)
    run.signal(number)
    check_no_result(run.finish(), code, text)
    held.close()


@ending
def test_signal_to_all_processes_ends_the_count_in_the_same_way(forkfold, number, code, text):
    """A terminal sends its signals to workers and supervisor too."""
    run, held = counting(forkfold, "-j", "3")
    run.signal_group(number)
    check_no_result(run.finish(), code, text)
    held.close()


@ending
def test_signal_leaves_no_output_file(forkfold, texts, number, code, text):
    (texts / "a.txt").write_bytes(b"word")
    (texts / "b.txt").write_bytes(b"\xff")
    run, held = counting(forkfold, "texts", "-o", "out", "--failures", "failed")
    run.signal(number)
    check_no_result(run.finish(), code, text)
    held.close()


def test_interrupt_says_how_far_the_count_came(forkfold, texts):
    for number in range(3):
        (texts / f"{number}.txt").write_bytes(b"word")
    run, held = counting(forkfold, "texts", "-j", "1")
    run.signal(signal.SIGINT)
    result = run.finish()
    held.close()
    assert result.err == (
        b"forkfold: interrupted: 0 of 4 files were done; no result was written\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_that_was_ignored_at_the_start_stays_ignored(forkfold, number):
    name = number.name.removeprefix("SIG")
    prefix = ["sh", "-c", f'trap "" {name}; exec "$@"', "sh"]
    run, held = counting(forkfold, prefix=prefix)
    run.signal_group(number)
    held.feed(b"more")
    held.close()
    assert run.finish().out == b"1\tmore\n1\tword\n"


def test_signal_that_was_blocked_at_the_start_ends_the_run_nonetheless(forkfold):
    def block():
        os.setpgrp()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD])

    run, held = counting(forkfold, preexec_fn=block)
    run.signal(signal.SIGTERM)
    check_no_result(run.finish(), 143, b"terminated")
    held.close()


def test_ignored_sigchld_does_not_matter(forkfold):
    run, held = counting(forkfold, prefix=["sh", "-c", 'trap "" CHLD; exec "$@"', "sh"])
    held.close()
    assert run.finish().out == b"1\tword\n"


def takes(pid, number):
    """Whether the process does not block the signal."""
    for line in running.read_proc(pid, "status").splitlines():
        if line.startswith(b"SigBlk:"):
            return not int(line.split()[1], 16) >> (number - 1) & 1
    return False


def test_second_interrupt_ends_at_once(forkfold):
    """The supervisor is held, so that the first one cannot come to its end."""
    run, held = counting(forkfold)
    supervisor = run.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    running.wait_until(lambda: running.is_stopped(supervisor), "a stopped supervisor")
    run.signal(signal.SIGINT)
    running.wait_until(lambda: takes(run.pid, signal.SIGINT), "the first interrupt to be noticed")
    run.signal(signal.SIGINT)
    code = run.process.wait(running.HANG_SECONDS)
    os.kill(supervisor, signal.SIGCONT)
    run.wait_until_gone()
    result = run.finish()
    held.close()
    assert (code, result.out) == (130, b"")
    assert b"interrupted" in result.err


def test_interrupt_while_the_result_is_written_ends_at_once(forkfold, texts):
    (texts / "a.txt").write_text(" ".join(f"w{i}" for i in range(200000)), encoding="ascii")
    run = forkfold.start("words", "--rule", "plain", "texts")
    running.wait_for_event(run.process.stdout.fileno(), select.POLLIN, "the result")
    run.signal(signal.SIGINT)
    assert run.process.wait(running.HANG_SECONDS) == 130
    run.wait_until_gone()
    assert b"interrupted before the result was written" in run.finish().err


def test_interrupt_while_a_named_pipe_has_no_reader_ends_at_once(forkfold, texts):
    (texts / "a.txt").write_bytes(b"\xff")
    os.mkfifo("out")
    run = forkfold.start("words", "-o", "out", "texts")
    # Failed inputs are listed before the result is opened.
    running.wait_for_event(run.process.stderr.fileno(), select.POLLIN, "the failed input")
    run.signal(signal.SIGTERM)
    assert run.process.wait(running.HANG_SECONDS) == 143
    run.wait_until_gone()
    run.finish()


def test_killed_command_leaves_nothing(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run, held = counting(forkfold, "-j", "3", "texts", "-o", "out")
    running.wait_until(lambda: len(run.processes(running.WORKER)) == 3, "three workers")
    run.signal(signal.SIGKILL)
    assert run.process.wait(running.HANG_SECONDS) == -signal.SIGKILL
    run.wait_until_gone()
    assert run.finish().out == b""
    held.close()


def stop(run):
    """Stops all processes like Ctrl-Z, and waits until the command has stopped."""
    run.signal_group(signal.SIGTSTP)
    os.waitid(os.P_PID, run.pid, os.WSTOPPED)


def test_stopped_run_goes_on_where_it_was(forkfold, texts):
    (texts / "a.txt").write_bytes(b"word")
    run, held = counting(forkfold, "texts")
    for _ in range(3):
        stop(run)
        run.signal_group(signal.SIGCONT)
        os.waitid(os.P_PID, run.pid, os.WCONTINUED)
    held.feed(b"word")
    held.close()
    result = run.finish()
    assert (result.code, result.out) == (0, b"3\tword\n")


def test_time_in_which_it_is_stopped_does_not_count(forkfold):
    """It is stopped for longer than it may run."""
    limit_seconds, stop_seconds = (15, 16) if running.SANITIZED else (8, 9)
    run, held = counting(forkfold, "--timeout", f"{limit_seconds}s",
                         "--deadline", f"{limit_seconds}s")  # fmt: skip
    stop(run)
    handle = os.pidfd_open(run.pid)
    assert select.select([handle], [], [], stop_seconds)[0] == []
    os.close(handle)
    run.signal_group(signal.SIGCONT)
    held.feed(b"word")
    held.close()
    result = run.finish()
    assert (result.code, result.out) == (0, b"2\tword\n")


def test_deadline_goes_on_after_a_stop(forkfold):
    run, held = counting(forkfold, "--deadline", "1s")
    stop(run)
    run.signal_group(signal.SIGCONT)
    result = run.finish()
    held.close()
    assert result.code == 3
    assert b"deadline" in result.err


def test_stopped_run_can_be_terminated(forkfold):
    run, held = counting(forkfold)
    stop(run)
    run.signal(signal.SIGTERM)
    run.signal_group(signal.SIGCONT)
    check_no_result(run.finish(), 143, b"terminated")
    held.close()


def test_stopped_run_can_be_killed(forkfold):
    run, held = counting(forkfold)
    stop(run)
    run.signal(signal.SIGKILL)
    run.signal_group(signal.SIGCONT)
    assert run.process.wait(running.HANG_SECONDS) == -signal.SIGKILL
    run.wait_until_gone()
    run.finish()
    held.close()


def test_stop_that_was_ignored_at_the_start_stays_ignored(forkfold):
    run, held = counting(forkfold, prefix=["sh", "-c", 'trap "" TSTP; exec "$@"', "sh"])
    run.signal_group(signal.SIGTSTP)
    held.feed(b"word")
    held.close()
    assert run.finish().out == b"2\tword\n"


def test_closed_output_does_not_keep_a_signal_from_ending_the_count(forkfold):
    reader, writer = os.pipe()
    os.close(reader)
    run, held = counting(forkfold, stdout=writer)
    os.close(writer)
    run.signal(signal.SIGINT)
    check_no_result(run.finish(), 130, b"interrupted")
    held.close()
