# SPDX-License-Identifier: Apache-2.0
"""Runs the command, disturbs it, and looks at what it leaves behind.

Every run has a mark in its environment, which its workers and its supervisor inherit, so that
they are found in /proc whoever their parent is by then.  Nothing here waits for time to pass: it
waits for a process to end, for a line in a pipe, or for a state that /proc shows.  A run that
does not end is a failure, found after HANG_SECONDS.
"""

import json
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from typing import NamedTuple

import pytest

BINARY = os.environ.get("FORKFOLD_BINARY", "")
UNDER_ASAN = os.environ.get("FORKFOLD_SANITIZER") == "address"
ROOT = pathlib.Path(__file__).resolve().parents[2]

# Where meson puts the library that makes calls fail; the command is in BUILD/front/cli.
INJECTOR = pathlib.Path(BINARY).parents[2] / "tests" / "libinject.so" if BINARY else None

HANG_SECONDS = 60
SUPERVISOR = "forkfold-super"
WORKER = "forkfold-worker"

# A death must look the same with the sanitizer, which would report it and exit.
REAL_SIGNALS = "handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0"
SANITIZER_REPORTS = (b"AddressSanitizer", b"LeakSanitizer", b"runtime error:")


class Outcome(NamedTuple):
    code: int  # as subprocess has it: negative for a signal
    output: bytes | None  # the result, or None if there is none at all
    failures: list | None  # the failure list, or None if it was not written
    stderr: bytes
    witness: list  # what the kill point or the injector said when it acted

    def failed_paths(self):
        return {os.fsencode(failure["path"]) for failure in self.failures or []}


class Process(NamedTuple):
    pid: int
    name: str
    state: str


def read_process(pid):
    """The name and the state of a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    return Process(pid, name, text[text.rindex(")") + 2])


def processes_with(mark):
    """Those that still have memory; a zombie whose parent is slow to notice has none."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if mark not in file.read():
                    continue
        except OSError:
            continue
        process = read_process(int(entry))
        if process is not None and process.state not in "ZX":
            found.append(process)
    return found


def wait_for_end(pid, seconds):
    """Whether the process has ended within so many seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], max(seconds, 0))[0])
    finally:
        os.close(descriptor)


def send(pid, number):
    """A signal to a process that may have ended by now."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Run:
    """One run of the command, from its start to the search for its remains."""

    def __init__(self, arguments, *, to_file=False, environment=None, stdin=None, limits=(),
                 before=None, witness_is_pipe=False, replaces=None):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="crash-"))
        self.outputs = self.place / "outputs"
        self.outputs.mkdir()
        (self.place / "temporary").mkdir()
        self.to_file = to_file
        self.mark = f"FORKFOLD_TEST_MARK={uuid.uuid4()}".encode()
        self.witness_path = self.place / "witness"
        self.witness_pipe = None
        if witness_is_pipe:
            os.mkfifo(self.witness_path)
            self.witness_pipe = os.open(self.witness_path, os.O_RDONLY | os.O_NONBLOCK)
        if replaces is not None:
            (self.outputs / "result").write_bytes(replaces)
        command = [BINARY, "words", "--failures", self.outputs / "failures"]
        if to_file:
            command += ["-o", self.outputs / "result"]
        command += map(str, arguments)
        with (open(self.place / "stdout", "wb") as stdout,
              open(self.place / "stderr", "wb") as stderr,
              open(stdin or os.devnull, "rb") as stdin_file):
            # pylint: disable-next=consider-using-with  # finish() waits for it
            self.driver = subprocess.Popen(
                command, stdin=stdin_file, stdout=stdout, stderr=stderr, start_new_session=True,
                env=self._environment(environment or {}),
                preexec_fn=before or ((lambda: set_limits(limits)) if limits else None))

    def _environment(self, extra):
        name, value = self.mark.decode().split("=")
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, name: value, "TMPDIR": str(self.place / "temporary"),
                "FORKFOLD_KILL_WITNESS": str(self.witness_path),
                "FORKFOLD_INJECT_WITNESS": str(self.witness_path),
                "ASAN_OPTIONS": f"{asan}:{REAL_SIGNALS}:verify_asan_link_order=0".lstrip(":"),
                **extra}

    # ---- While it runs

    def processes(self):
        return processes_with(self.mark)

    def supervisor(self):
        """The supervisor's pid, or None; it has its name from before the first worker on."""
        return next((found.pid for found in self.processes() if found.name == SUPERVISOR), None)

    def workers(self):
        return [found.pid for found in self.processes() if found.name == WORKER]

    def wait_for_witness(self):
        """Until the kill point has acted; fails if the run ends first."""
        driver = os.pidfd_open(self.driver.pid)
        try:
            ready = select.select([self.witness_pipe, driver], [], [], HANG_SECONDS)[0]
        finally:
            os.close(driver)
        if self.witness_pipe not in ready:
            outcome = self.finish()
            pytest.fail(f"the run ended before the point was reached: {outcome}")
        os.read(self.witness_pipe, 4096)

    def wait_for_stopped(self):
        """A process of the run that somebody stopped, or None if the driver ends first."""
        limit = time.monotonic() + HANG_SECONDS
        while time.monotonic() < limit:
            stopped = [found.pid for found in self.processes() if found.state == "T"]
            if stopped:
                return stopped[0]
            if wait_for_end(self.driver.pid, 0.001):
                return None
        self.fail_as_hanging()
        return None

    # ---- After it

    def fail_as_hanging(self):
        states = "\n".join(map(str, self.processes()))
        said = (self.place / "stderr").read_bytes()
        self.kill_all()
        pytest.fail(f"no end after {HANG_SECONDS} s:\n{states}\n{said}\n{self.driver.args}")

    def kill_all(self):
        while remains := self.processes():
            for found in remains:
                send(found.pid, signal.SIGKILL)
                wait_for_end(found.pid, HANG_SECONDS)
        self.driver.wait()

    def wait_until_gone(self, seconds=10):
        """How long it takes until no process of the run is left."""
        begin = time.monotonic()
        while remains := self.processes():
            if not wait_for_end(remains[0].pid, begin + seconds - time.monotonic()):
                states = self.processes()
                self.kill_all()
                pytest.fail(f"still there {seconds} s after the driver's end: {states}")
        return time.monotonic() - begin

    def finish(self):
        """Waits for the end and for everybody, and reads what was written."""
        try:
            code = self.driver.wait(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.fail_as_hanging()
        self.wait_until_gone()
        outcome = self._read(code)
        self._check_remains(outcome)
        if self.witness_pipe is not None:
            os.close(self.witness_pipe)
        shutil.rmtree(self.place)
        return outcome

    def _read(self, code):
        result = self.outputs / "result" if self.to_file else self.place / "stdout"
        failures = self.outputs / "failures"
        output = result.read_bytes() if result.exists() else None
        if not self.to_file and not output:
            output = None
        return Outcome(
            code=code, output=output, stderr=(self.place / "stderr").read_bytes(),
            failures=[json.loads(line) for line in failures.read_bytes().splitlines()]
            if failures.exists() else None,
            witness=self.witness_path.read_text(encoding="utf-8").split()
            if self.witness_path.is_file() else [])

    def _check_remains(self, outcome):
        names = set(os.listdir(self.outputs)) - {"result", "failures"}
        names |= set(os.listdir(self.place / "temporary"))
        shared = [name for name in os.listdir("/dev/shm") if "forkfold" in name]
        assert not names and not shared, f"left behind: {names} {shared}"
        for report in SANITIZER_REPORTS:
            assert report not in outcome.stderr, outcome.stderr.decode(errors="replace")


def set_limits(limits):
    for which, value in limits:
        resource.setrlimit(which, (value, value))


def run(arguments, **options):
    return Run(arguments, **options).finish()


def kill_at(point, how, number):
    return {"FORKFOLD_KILL": f"{point}:{how}:{number}"}


def fault(action, point, glob):
    return {"FORKFOLD_FAULT": f"{action}:{point}:{glob}"}


def inject(function, number, role, action="fail"):
    return {"LD_PRELOAD": str(INJECTOR), "FORKFOLD_INJECT": f"{function}:{number}:{role}:{action}"}
