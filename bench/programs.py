# SPDX-License-Identifier: Apache-2.0
"""The programs that are timed: Forkfold, its peers, and what only reads."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import data

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BENCH_PYTHON = ROOT / "build-python" / "bench" / "bin" / "python"


class Unavailable(Exception):
    """A peer that is not on this machine; the text says why."""


class Command(NamedTuple):
    arguments: list
    environment: dict = {}


class Settings(NamedTuple):
    """What the programs of a run have in common."""

    workers: int
    cache: Path
    binary: Path


def available_cpus():
    """The CPUs that this process may use: by its affinity, and by the quota of its cgroup."""
    cpus = len(os.sched_getaffinity(0))
    for folder in own_groups("cpu"):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            continue
        if quota not in ("max", "-1"):
            cpus = min(cpus, -(-int(quota) // int(period)))
    return max(1, cpus)


def own_groups(controller):
    """This process's cgroup of a controller and all above it, of either version."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            top = Path("/sys/fs/cgroup") / controllers
        elif controllers == "":
            top = Path("/sys/fs/cgroup")
        else:
            continue
        folder = top / path.lstrip("/")
        while folder != top:
            yield folder
            folder = folder.parent
        yield top


# ---- Peers that must be found or installed -------------------------------------------------


def need(name):
    """The path of an installed program."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


def package(settings, name):
    """The Python of the cache's virtual environment, with a package in it."""
    folder = settings.cache / "venv"
    python = folder / "bin" / "python"
    if not python.exists():
        made = quietly([sys.executable, "-m", "venv", folder])
        if made is not None:
            shutil.rmtree(folder, ignore_errors=True)
            raise Unavailable(f"no virtual environment: {made}")
    if quietly([python, "-c", f"import {name}"]) is not None:
        data.say(f"installs {name} in {folder}")
        problem = quietly([python, "-m", "pip", "install", "--quiet", name])
        if problem is not None:
            raise Unavailable(f"{name} cannot be installed: {problem}")
    return str(python)


def quietly(command):
    """None if the command succeeds, else the last line that it wrote."""
    done = subprocess.run(command, check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return None
    return (done.stdout.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


# ---- The programs -----------------------------------------------------------------------


def forkfold(workers=None, rule="letters"):
    def command(settings, folder):
        # A name of its own, so that a folder may begin with a hyphen.
        return Command([str(settings.binary), "words", "-q", "-j",
                        str(workers or settings.workers), "--rule", rule, "--", folder])
    return command


def pool(rule):
    def command(settings, folder):
        return Command([sys.executable, str(HERE / "peers" / "python_pool.py"), rule, folder,
                        str(settings.workers)])
    return command


def shell(way, *needed):
    def command(settings, folder):
        for name in needed:
            need(name)
        return Command([str(HERE / "peers" / "texts.sh"), way, folder, str(settings.workers)])
    return command


def duckdb(settings, folder):
    return Command([package(settings, "duckdb"), str(HERE / "peers" / "duckdb_words.py"), folder,
                    str(settings.workers)])


def polars(settings, folder):
    return Command([package(settings, "polars"), str(HERE / "peers" / "polars_words.py"), folder],
                   {"POLARS_MAX_THREADS": str(settings.workers)})


def reads(workers=None):
    def command(settings, folder):
        program = data.build_tool(settings.cache / "tools", "reads")
        return Command([str(program), folder, str(workers or settings.workers)])
    return command


def true(_settings, _folder):
    return Command(["/bin/true"])


# ---- Programs that time calls themselves ------------------------------------------------------


def one_text(folder):
    """The only text of a folder."""
    [text] = Path(folder).iterdir()
    return str(text)


def call_program(settings, name):
    """One of the programs that time calls of this source's library."""
    library = ROOT / "build" / "src" / "libforkfold.so"
    if settings.binary != ROOT / "build" / "forkfold" or not library.exists():
        raise Unavailable("measures the library of this source")
    headers = sorted(os.path.relpath(path, HERE) for path in (ROOT / "include").rglob("*.h"))
    mark = hashlib.sha256((str(library) + data.fingerprint(headers)).encode()).hexdigest()[:8]
    return data.build_tool(settings.cache / "tools", name,
                           [f"-I{ROOT / 'include'}", f"-L{library.parent}", "-lforkfold",
                            f"-Wl,-rpath,{library.parent}"], mark)


def own_call(name, repeats, what=""):
    """A job or a queue of the library."""
    def command(settings, folder):
        return Command([str(call_program(settings, "own")), name, str(settings.workers),
                        str(repeats), what or one_text(folder)])
    return command


def item_call(name, repeats, count):
    """A call of functions on items."""
    def command(settings, _folder):
        return Command([str(call_program(settings, "items")), name, str(settings.workers),
                        str(repeats), f"{count}/{rounds_in_us(processes_program(settings))}"])
    return command


def processes_program(settings):
    return data.build_tool(settings.cache / "tools", "processes")


@functools.cache
def rounds_in_us(program):
    """What all sides take for a microsecond of work, whatever else the machine does meanwhile."""
    return int(subprocess.run([program, "speed"], check=True, stdout=subprocess.PIPE).stdout)


def processes(work, repeats, count, workers=None, item_us=None):
    """item_us: what an item takes, of work that has no other end."""
    def command(settings, _folder):
        program = processes_program(settings)
        what = f"{count}/{item_us * rounds_in_us(program)}" if item_us else str(count)
        return Command([str(program), work, str(workers or settings.workers), str(repeats), what])
    return command


def peer_program(settings, name):
    """The program that times another library, which pkg-config knows if it is installed."""
    done = subprocess.run(["pkg-config", "--cflags", "--libs", name], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Unavailable(f"{name} is not installed")
    return str(data.build_tool(settings.cache / "tools", name, done.stdout.split()))


def openblas(repeats, size, threads):
    def command(settings, _folder):
        program = peer_program(settings, "openblas")
        return Command([program, str(repeats), size],
                       {"OPENBLAS_NUM_THREADS": str(threads or settings.workers)})
    return command


def primesieve(way, repeats, limit):
    def command(settings, _folder):
        program = peer_program(settings, "primesieve")
        return Command([program, way, str(settings.workers), str(repeats), limit])
    return command


def python_call(name, repeats, what=""):
    def command(settings, folder):
        return Command([sys.executable, str(HERE / "calls" / "pool.py"), name,
                        str(settings.workers), str(repeats), what or one_text(folder)])
    return command


# Integers that go through a queue, one by one and in batches.
SINGLE = "300000"
BATCHED = "3000000"
# Items that take so many microseconds.
STREAM, STREAM_US = 20_000, 20
BUSY, BUSY_US = 20_000, 10
PRIMES = "1000000000"
SUMMANDS = "100000000"


class Program(NamedTuple):
    """question: which words it counts, "letters", "lower" (what lower().split() gives) or "ascii"
    (the same for ASCII letters only); None where it answers another one."""

    command: Callable
    question: Optional[str] = None


PROGRAMS = {
    "forkfold": Program(forkfold(), "letters"),
    "forkfold-1": Program(forkfold(1), "letters"),
    "forkfold-2": Program(forkfold(2), "letters"),
    "forkfold-plain": Program(forkfold(rule="plain")),
    "pool-lower": Program(pool("lower"), "lower"),
    "pool-letters": Program(pool("letters"), "letters"),
    "pool-tuned": Program(pool("tuned"), "letters"),
    "duckdb": Program(duckdb, "letters"),
    "polars": Program(polars, "letters"),
    "shell": Program(shell("sort", "tr", "sort", "uniq")),
    "mawk": Program(shell("mawk", "mawk"), "ascii"),
    "parallel": Program(shell("parallel", "parallel", "mawk"), "ascii"),
    "wc": Program(shell("wc", "wc")),
    "reads": Program(reads()),
    "reads-1": Program(reads(1)),
    "true": Program(true),
    "call-map": Program(own_call("map", 20, "1000000")),
    "processes": Program(processes("loop", 20, 1_000_000)),
    "call-open-map-close": Program(own_call("open-map-close", 20, "100000")),
    "python-open-map-close": Program(python_call("open-map-close", 5, "100000")),
    "call-empty-1": Program(item_call("empty-1", 10, 1_000_000)),
    "processes-claims": Program(processes("claims", 10, 1_000_000)),
    "call-imap-1": Program(item_call("imap-1", 10, 100_000)),
    "python-imap-1": Program(python_call("imap", 1, "100000")),
    "call-apply": Program(item_call("apply", 10_000, 1)),
    "processes-ping-pong": Program(processes("ping-pong", 10_000, 1)),
    "call-pipeline": Program(item_call("pipeline", 5, STREAM)),
    "processes-slowest": Program(processes("busy", 5, STREAM, 1, STREAM_US)),
    "call-communication": Program(item_call("communication", 20, BUSY)),
    "processes-busy": Program(processes("busy", 20, BUSY, None, BUSY_US)),
    "call-matmul-1500": Program(own_call("matmul", 5, "1500")),
    "openblas-1500": Program(openblas(5, "1500", None)),
    "call-matmul-100": Program(own_call("matmul", 1000, "100")),
    "openblas-100": Program(openblas(1000, "100", 1)),
    "call-primes-list": Program(own_call("primes-list", 3, PRIMES)),
    "primesieve-list": Program(primesieve("list", 3, PRIMES)),
    "call-primes-count": Program(own_call("primes-count", 5, PRIMES)),
    "primesieve-count": Program(primesieve("count", 5, PRIMES)),
    "call-fsum": Program(own_call("fsum", 5, SUMMANDS)),
    "python-fsum": Program(python_call("fsum", 1, SUMMANDS)),
    "call-queue-1": Program(own_call("queue-1", 10, SINGLE)),
    "python-queue-1": Program(python_call("queue", 1, f"{SINGLE}/1")),
    "call-queue-batch": Program(own_call("queue-batch", 10, BATCHED)),
    "python-queue-batch": Program(python_call("queue", 1, f"{BATCHED}/100")),
    "call-text-1m": Program(own_call("text", 10)),
    "python-text": Program(python_call("text", 1)),
}


def versions(settings):
    """What the peers call themselves, for the head of the table."""
    asked = [("Python", [sys.executable, "--version"]), ("mawk", ["mawk", "-W", "version"]),
             ("sort", ["sort", "--version"]), ("parallel", ["parallel", "--version"])]
    python = settings.cache / "venv" / "bin" / "python"
    asked.append(("primesieve", ["pkg-config", "--modversion", "primesieve"]))
    for name in ("duckdb", "polars"):
        asked.append((name, [python, "-c", f"import {name}; print({name}.__version__)"]))
    asked.append(("Python of the package", [BENCH_PYTHON, "--version"]))
    for name in ("numpy", "joblib", "mpire"):
        asked.append((name, [BENCH_PYTHON, "-c",
                             f"import importlib.metadata; print(importlib.metadata.version('{name}'))"]))
    found = []
    for name, command in asked:
        try:
            output = subprocess.run(command, check=True, text=True, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        number = next((word for word in output.split() if word[:1].isdigit()), None)
        if number:
            found.append(f"{name} {number}")
    return found


# ---- The Python package ------------------------------------------------------------------------


@functools.cache
def build_package():
    """None if all is there, else why not."""
    return quietly([ROOT / "tools" / "python_env", "bench"])


def python_with_package(settings):
    """A Python with the package of this source, and what it is compared with."""
    if settings.binary != ROOT / "build" / "forkfold":
        raise Unavailable("measures the Python package of this source")
    problem = build_package()
    if problem is not None:
        raise Unavailable(problem)
    return str(BENCH_PYTHON)


def package_call(row, library, repeats):
    def command(settings, folder):
        return Command([python_with_package(settings), str(HERE / "calls" / "python.py"), row, library,
                        str(settings.workers), str(repeats), *([one_text(folder)] if folder else [])])
    return command


def count_directory(settings, folder):
    return Command([python_with_package(settings), str(HERE / "calls" / "directory.py"), folder,
                    str(settings.workers)])


def interpreter_and_command(settings, folder):
    """The command, after an interpreter that does nothing."""
    words = [str(settings.binary), "words", "-q", "-j", str(settings.workers), "--top", "10", "--",
             folder]
    return Command(["/bin/sh", "-c", '"$1" -c pass && shift && exec "$@"', "sh",
                    python_with_package(settings), *words])


# How often a call is repeated for one sample, by row and library.
PACKAGE_CALLS = {
    "open": {"forkfold": 20, "multiprocessing": 10},
    "map": {"forkfold": 20, "multiprocessing": 20, "executor": 5, "loky": 5, "mpire": 1},
    "map-1": {"forkfold": 10, "multiprocessing": 1},
    "imap-1": {"forkfold": 5, "multiprocessing": 1},
    "futures": {"forkfold": 3, "executor": 1, "loky": 1},
    "numpy-arg": {"forkfold": 10, "numpy": 20, "multiprocessing": 1},
    "numpy-result": {"forkfold": 10, "numpy": 20, "multiprocessing": 1},
    "share": {"forkfold": 1, "total": 1},
    "primes": {"forkfold": 20, "reference": 20},
    "matmul-1500": {"forkfold": 2, "reference": 1, "tuned": 2},
    "matmul-100": {"forkfold": 100, "reference": 100},
    "words": {"forkfold": 5, "reference": 2, "tuned": 5},
    "items": {"forkfold": 10, "reference": 10},
    "pipeline": {"forkfold": 5, "reference": 5},
}

PROGRAMS |= {
    f"py-{row}" if library == "forkfold" else f"py-{row}-{library}":
        Program(package_call(row, library, repeats))
    for row, libraries in PACKAGE_CALLS.items() for library, repeats in libraries.items()
}
PROGRAMS |= {"py-dir": Program(count_directory), "py-dir-command": Program(interpreter_and_command)}
