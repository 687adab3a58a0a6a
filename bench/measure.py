# SPDX-License-Identifier: Apache-2.0
"""Runs commands and measures them: the time that passes, and the most memory they hold at once."""

import os
import signal
import statistics
import subprocess
import time
import uuid
from pathlib import Path

import programs

# A command shorter than this is run several times for one sample.
SAMPLE_SECONDS = 0.02
REPEATS_MOST = 50
# One that takes longer is warmed up once instead of twice.
SLOW_SECONDS = 2.0
# Between two looks at the memory of processes, where there is no cgroup that watches.
LOOK_SECONDS = 0.002

NOTHING = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


class Failed(Exception):
    """A command did not end well; the text has the last line of its standard error."""


def spawn(command, output=NOTHING, errors=NOTHING):
    """Starts a command in a process group of its own.  Not by way of subprocess, whose own work
    would be a good part of the time of a short command."""
    arguments = command.arguments
    actions = [(os.POSIX_SPAWN_DUP2, NOTHING, 0), (os.POSIX_SPAWN_DUP2, output, 1),
               (os.POSIX_SPAWN_DUP2, errors, 2)]
    return os.posix_spawn(arguments[0], arguments, {**os.environ, **command.environment},
                          file_actions=actions, setpgroup=0,
                          # Python ignores it, which its children would take over.
                          setsigdef=[signal.SIGPIPE])


def wait(pid):
    """The exit status; whoever interrupts the benchmark ends what it started."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        os.killpg(pid, signal.SIGKILL)
        raise


def run(command):
    """Seconds from before the start to after the end."""
    begin = time.perf_counter()
    status = wait(spawn(command))
    seconds = time.perf_counter() - begin
    if status != 0:
        raise Failed(f"exit status {status}")
    return seconds


def run_to_file(command, path):
    """The same with its output in a file; says more when it fails."""
    with open(path, "wb") as output, open(f"{path}.errors", "w+b") as errors:
        begin = time.perf_counter()
        status = wait(spawn(command, output.fileno(), errors.fileno()))
        seconds = time.perf_counter() - begin
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if status != 0:
        raise Failed(said[-1] if said else f"exit status {status}")
    return seconds


def call(command):
    """What a program says that its call took, in seconds, and the digest of what came out."""
    done = subprocess.run(command.arguments, env={**os.environ, **command.environment}, check=False,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Failed(said[-1] if said else f"exit status {done.returncode}")
    seconds, digest = done.stdout.split()
    return float(seconds), digest


def interleave_calls(commands, rounds, progress=lambda done: None):
    """Has all programs time their calls once in each round, in turn.  Returns {name: [seconds, ...]},
    {name: digest}, and {name: why} of the failed."""
    times, digests, failed = {name: [] for name in commands}, {}, {}
    for number in range(rounds if commands else 0):
        for name in list(times):
            try:
                seconds, digest = call(commands[name])
                times[name].append(seconds)
                if digests.setdefault(name, digest) != digest:
                    raise Failed("another result in another round")
            except Failed as problem:
                failed[name] = str(problem)
                del times[name]
        progress(number + 1)
    return times, digests, failed


def sample(command, repeats):
    """The mean of some runs in a row, which counts as one."""
    return sum(run(command) for _ in range(repeats)) / repeats


def warm_up(command):
    """Returns how many runs make one sample of this command."""
    seconds = run(command)
    if seconds < SLOW_SECONDS:
        seconds = run(command)
    return min(REPEATS_MOST, max(1, round(SAMPLE_SECONDS / seconds)))


def interleave(commands, rounds, prepare=lambda name: None, progress=lambda done: None):
    """Times all commands once in each round, in turn, so that a machine that changes its mood
    changes it for all of them; prepare runs before each sample.  Returns {name: [seconds, ...]},
    and {name: why} of the failed."""
    repeats, times, failed = {}, {}, {}
    for name, command in commands.items():
        try:
            repeats[name] = warm_up(command)
            times[name] = []
        except Failed as problem:
            failed[name] = str(problem)
    for number in range(rounds if commands else 0):
        for name in list(times):
            try:
                prepare(name)
                times[name].append(sample(commands[name], repeats[name]))
            except Failed as problem:
                failed[name] = str(problem)
                del times[name]
        progress(number + 1)
    return times, failed


def ratio(ours, theirs, sense):
    """The ratio of the medians, and its spread: how far the ratios of the single rounds lie apart,
    the largest less the smallest, as a part of that ratio."""
    def divide(our, their):
        return their / our if sense == "min" else our / their

    value = divide(statistics.median(ours), statistics.median(theirs))
    rounds = [divide(our, their) for our, their in zip(ours, theirs)]
    return value, (max(rounds) - min(rounds)) / value


def share(ours, theirs):
    """The part of our time that theirs would leave, by the medians; and how far the shares of the
    single rounds lie apart."""
    rounds = [1 - their / our for our, their in zip(ours, theirs)]
    return 1 - statistics.median(theirs) / statistics.median(ours), max(rounds) - min(rounds)


# ---- Memory ----------------------------------------------------------------------------


class Group:
    """A memory cgroup for one run.  It counts every page once, however many processes share it, and
    misses no peak; page cache of files read before is charged to whoever read them first."""

    def __init__(self, folder, peak):
        self.folder = folder
        self.peak = folder / peak

    def close(self):
        # The kernel may need a moment to see that the last process has gone.
        for _ in range(1000):
            try:
                self.folder.rmdir()
                return
            except OSError:
                os.sched_yield()


def open_group():
    """A new cgroup of either version, or None where there is none to be had."""
    for parent in programs.own_groups("memory"):
        folder = parent / f"forkfold-bench-{uuid.uuid4()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        for peak in ("memory.max_usage_in_bytes", "memory.peak"):
            if (folder / peak).exists():
                return Group(folder, peak)
        folder.rmdir()
    return None


def memory_method():
    group = open_group()
    if group is None:
        return "sampled PSS of all processes (short peaks may be missed)"
    group.close()
    return f"cgroup, {group.peak.name}"


def tree(pid):
    """A process and all that descend from it."""
    found = [pid]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="ascii").split())
        except OSError:
            continue
    return found


def proportional_bytes(pid):
    """A process's memory, with of each shared page its part."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def sampled_peak(command):
    pid = spawn(command)
    peak = 0
    try:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(map(proportional_bytes, tree(pid))))
            time.sleep(LOOK_SECONDS)
    finally:
        status = wait(pid)
    if status != 0:
        raise Failed(f"exit status {status}")
    return peak


def peak_bytes(command):
    """The most memory that a command and all its processes hold at once, shared pages counted
    once.  The texts must be in the page cache before."""
    group = open_group()
    if group is None:
        return sampled_peak(command)
    enter = f"echo $$ >{group.folder}/cgroup.procs && exec \"$@\""
    try:
        run(command._replace(arguments=["/bin/sh", "-c", enter, "sh", *command.arguments]))
        return int(group.peak.read_text(encoding="ascii"))
    finally:
        group.close()


# ---- The machine --------------------------------------------------------------------------


def machine(workers):
    """One line about where this was measured."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = os.uname()
    return (f"{model}, {programs.available_cpus()} of {os.cpu_count()} CPUs usable, {workers} "
            f"workers, {memory:.0f} GiB, {kernel.sysname} {kernel.release} {kernel.machine}, "
            f"load {os.getloadavg()[0]:.1f} at the start")


def commit():
    """Which state of the source this is, if git knows."""
    done = subprocess.run(["git", "-C", programs.ROOT, "describe", "--always", "--dirty"],
                          check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return done.stdout.strip() or "unknown"
