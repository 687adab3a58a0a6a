# SPDX-License-Identifier: Apache-2.0
"""Runs the command, and sees to it that each run leaves nothing behind.

Every run has a process group of its own and a mark in its environment, by which its processes are
found in /proc whatever became of their parents.  A hang is a failure: whoever waits here gives up
at last, and tells which processes there were.
"""

import fcntl
import os
import re
import select
import signal
import subprocess
import time
import uuid
from typing import NamedTuple

BINARY = os.environ.get("FORKFOLD_BINARY", "")
RELEASE = os.environ.get("FORKFOLD_RELEASE", "")
SANITIZED = os.environ.get("FORKFOLD_SANITIZER", "") != ""

# Only a hang lasts as long, whatever else the machine does.
HANG_SECONDS = 360 if SANITIZED else 120
SANITIZER_EXIT = 99

SUPERVISOR = "forkfold-super"
WORKER = "forkfold-worker"
MARK = "FORKFOLD_TEST_RUN"
PAGE = os.sysconf("SC_PAGE_SIZE")

SUMMARY = re.compile(
    rb"^forkfold: (\d+) files?, (\d+) failed, (\d+) words, (\d+) distinct, \d+\.\d\d s"
    rb"(, \d+ workers? died)?(, [\d.]+ [KMGTPE]?i?B spilled to disk)?$"
)


class Summary(NamedTuple):
    """The last line of standard error."""

    files: int
    failed: int
    words: int
    distinct: int


class Result(NamedTuple):
    """What a run that has ended left: code is negative for a signal, as in subprocess."""

    code: int
    out: bytes
    err: bytes

    def messages(self):
        """The lines of standard error, less the summary."""
        lines = self.err.split(b"\n")
        assert lines.pop() == b"", self.err
        return [line for line in lines if not SUMMARY.match(line)]

    def summary(self):
        found = SUMMARY.match(self.err.split(b"\n")[-2])
        assert found, self.err
        return Summary(*map(int, found.groups()[:4]))


class Process(NamedTuple):
    """A living process of a run."""

    pid: int
    name: str


def read_proc(pid, name):
    """A file of /proc/PID, empty when the process is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def read_stat(pid):
    """State, parent, process group, ..., or nothing when the process is gone."""
    return read_proc(pid, "stat").rpartition(b")")[2].split()


def is_stopped(pid):
    return read_stat(pid)[:1] == [b"T"]


def parent_of(pid):
    """0 when the process is gone."""
    return int((read_stat(pid) + [b"0", b"0"])[1])


def wait_for_event(fd, event, what):
    """Waits until poll() reports the event on fd."""
    poll = select.poll()
    poll.register(fd, event)
    reported = poll.poll(HANG_SECONDS * 1000)
    assert reported and reported[0][1] & event, f"waited in vain for {what}: {reported}"


def wait_until(condition, what):
    """For what the system shows in /proc only, and tells nobody about."""
    limit = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < limit, f"waited in vain for {what}"
        os.sched_yield()


class HeldInput:
    """A pipe as standard input, which the test keeps open.

    It holds one page, so that it can be written again exactly when a worker has taken all of it.
    """

    def __init__(self):
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        size = fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PAGE)
        assert size == PAGE

    def feed(self, words=b""):
        """Sends the words and waits until a worker has them."""
        os.write(self.writer, words + b" " * (PAGE - len(words)))
        wait_for_event(self.writer, select.POLLOUT, "a worker that reads standard input")

    def close(self):
        """Ends the input."""
        if self.writer >= 0:
            os.close(self.writer)
        self.writer = -1

    def close_reader(self):
        if self.reader >= 0:
            os.close(self.reader)
        self.reader = -1


class Running:
    """A run in progress."""

    def __init__(self, command, process, mark):
        self.command = command
        self.process = process
        self.mark = mark.encode()

    @property
    def pid(self):
        return self.process.pid

    def processes(self, name=None):
        """The run's living processes, all or those of one name."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and self.mark in read_proc(entry, "environ").split(b"\0"):
                comm = read_proc(entry, "comm").decode().strip()
                if name in (None, comm):
                    found.append(Process(int(entry), comm))
        return found

    def supervisor(self):
        """Its pid.  A newborn worker has the supervisor's name too, but another parent."""
        (pid,) = [process.pid for process in self.processes(SUPERVISOR)
                  if parent_of(process.pid) == self.pid]  # fmt: skip
        return pid

    def signal(self, number):
        self.process.send_signal(number)

    def signal_group(self, number):
        """To all processes, as a terminal sends it."""
        os.killpg(self.pid, number)

    def finish(self, input_bytes=None):
        """Waits for the end, and checks that nothing but the result is left."""
        try:
            out, err = self.process.communicate(input_bytes, timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            living = [(process, read_stat(process.pid)[:1]) for process in self.processes()]
            self.kill()
            raise AssertionError(f"the run hangs: {living}") from None
        result = Result(self.process.returncode, out or b"", err or b"")
        assert result.code != SANITIZER_EXIT, result.err.decode(errors="replace")
        self.check_clean()
        return result

    def check_clean(self):
        left = self.processes()
        self.kill()
        assert left == [], "processes outlived the command"
        self.command.check_files()

    def wait_until_gone(self):
        """For a command that ended at once: what it forked ends without it, but may take a
        moment."""
        for process in self.processes():
            try:
                handle = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            try:
                wait_for_event(handle, select.POLLIN, f"the end of {process}")
            finally:
                os.close(handle)

    def kill(self):
        for process in self.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Command:
    """Starts the command in a folder of the test's, with a folder for temporary files."""

    def __init__(self, place, temporary):
        self.place = place
        self.temporary = temporary
        self.expected = set()
        self.runs = []

    def start(self, *arguments, binary=BINARY, environment=None, prefix=(), creates=(),
              **options):  # fmt: skip
        """Starts `forkfold ARGUMENTS`, by way of the program prefix if there is one.  creates
        names what the run may add to the folder; the options are those of Popen."""
        mark = f"{MARK}={uuid.uuid4().hex}"
        variables = {**os.environ, "TMPDIR": str(self.temporary), **(environment or {})}
        variables.update([mark.split("=")])
        self.expected = set(os.listdir(os.fsencode(self.place))) | set(map(os.fsencode, creates))
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("preexec_fn", os.setpgrp)
        options.setdefault("cwd", self.place)
        process = subprocess.Popen([*prefix, binary, *arguments], env=variables, **options)
        run = Running(self, process, mark)
        self.runs.append(run)
        return run

    def start_held(self, *arguments, **options):
        """Starts a run whose "-" is a pipe that the test holds.  Returns both."""
        held = HeldInput()
        run = self.start(*arguments, stdin=held.reader, **options)
        held.close_reader()
        return run, held

    def __call__(self, *arguments, input_bytes=None, **options):
        """Runs it to its end."""
        if input_bytes is not None:
            options["stdin"] = subprocess.PIPE
        return self.start(*arguments, **options).finish(input_bytes)

    def words(self, *arguments, **options):
        return self("words", *arguments, **options)

    def check_files(self):
        left = set(os.listdir(os.fsencode(self.place))) - self.expected
        assert left == set(), "the run left files in its folder"
        assert os.listdir(self.temporary) == [], "the run left files in TMPDIR"

    def close(self):
        """Ends what a failed test left."""
        for run in self.runs:
            run.kill()
            if run.process.poll() is None:
                run.process.kill()
            run.process.communicate()
