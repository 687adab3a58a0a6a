# SPDX-License-Identifier: Apache-2.0
"""Counts that go to disk while workers are killed, everybody is killed, or the disk fails."""

import os
import random
import shutil
import signal

import pytest

import generate
import harness
import reference
import test_random_kills
import workloads

SEED = test_random_kills.SEED
STORMS = 1 if harness.UNDER_ASAN else 4
COPIES = 4 if harness.UNDER_ASAN else 12

# Passed for each partial: first by those that count, then by the stages of the fold.
WRITTEN = "worker.spill.written"


@pytest.fixture(name="load", scope="module")
def _load(loads):
    return loads["spill"]


@pytest.fixture(name="large", scope="module")
def _large(tmp_path_factory):
    """Enough to spill for a while, and what it counts to."""
    folder = tmp_path_factory.mktemp("many words")
    words = reference.Counter()
    for number in range(6):
        text = workloads.different_words(f"large {number}", 30000)
        text += generate.text(f"large {number}", 20000)
        for copy in range(COPIES):
            (folder / f"{number}-{copy}.txt").write_bytes(text)
        for word, count in reference.count_text(text).items():
            words[word] += count * COPIES
    yield folder, reference.listing(words)
    shutil.rmtree(folder)


@pytest.mark.parametrize("storm", range(STORMS))
def test_workers_killed_again_and_again_while_they_spill_change_nothing(large, storm):
    folder, listing = large
    draw = random.Random(f"{SEED} spill storm {storm}")
    print(f"seed {SEED}, storm {storm}")
    run = harness.Run(["-j", "4", "--memory", "1M", "--retries", "1000", "--max-deaths", "100000",
                       "--split", draw.choice(("50K", "4M")), folder], to_file=storm % 2 == 0)
    killed = test_random_kills.kill_at_random(run, draw)
    outcome = run.finish()
    assert killed > 0, "the run was over before anybody could be killed"
    assert outcome.code == 0, outcome._replace(output=b"")
    assert outcome.output == listing, "wrong counts"
    assert b" spilled to disk" in outcome.stderr


# ---- Everybody

def everybody(run):
    """The driver first, as below."""
    return [run.driver.pid] + [process.pid for process in run.processes()
                               if process.pid != run.driver.pid]


VICTIMS = {
    "driver": lambda run: [run.driver.pid],
    "supervisor": lambda run: [run.supervisor()],
    "workers": lambda run: run.workers(),
    # The driver first: it would report that it has lost its supervisor.
    "driver and supervisor": lambda run: [run.driver.pid, run.supervisor()],
    "all": everybody,
}


@pytest.mark.parametrize("number", (1, 12, 25, 45))
@pytest.mark.parametrize("who", VICTIMS)
def test_whoever_is_killed_while_it_spills_nothing_is_left(load, who, number):
    """Run.finish() looks for processes and for files in TMPDIR."""
    run = load.start(harness.kill_at(WRITTEN, "stop", number), witness_is_pipe=True,
                     to_file=number % 2 == 0)
    run.wait_for_witness()
    victims = VICTIMS[who](run)
    for victim in victims:
        if victim is not None:
            harness.send(victim, signal.SIGKILL)
    outcome = run.finish()
    if who == "workers":
        load.check_same(outcome)
    elif who == "supervisor":
        load.check_lost_supervisor(outcome)
    else:
        load.check_dead_driver(outcome, signal.SIGKILL)


# ---- The disk

def check_failed(outcome, verb, reason):
    assert outcome.code == 3, outcome
    assert outcome.output is None, outcome
    message = outcome.stderr.decode(errors="replace")
    for part in (f"cannot {verb} what does not fit in memory in '", f"': {reason}; ",
                 "no result was written"):
        assert part in message, message


@pytest.mark.parametrize("action, reason", (("fail", "No space left on device"),
                                            ("fail-on", "No space left on device"),
                                            ("fail-io", "Input/output error")))
@pytest.mark.parametrize("number", (1, 2, 9, 50, 150))
def test_write_that_fails_ends_the_run_with_a_reason(load, number, action, reason):
    outcome = load.run(harness.inject("pwrite", number, "worker", action), to_file=number % 2 == 0)
    assert outcome.witness
    check_failed(outcome, "write", reason)


@pytest.mark.parametrize("role, numbers", (("worker", (1, 2, 9, 60, 120)),
                                           ("driver", (1, 2, 9, 30))))
def test_read_that_fails_ends_the_run_with_a_reason(load, role, numbers):
    for number in numbers:
        outcome = load.run(harness.inject("pread-spilled", number, role), to_file=number % 2 == 0)
        assert outcome.witness, f"there are fewer than {number} reads"
        check_failed(outcome, "read", "Input/output error")


@pytest.mark.parametrize("role, function", (("worker", "pwrite"), ("worker", "pread-spilled"),
                                            ("driver", "pread-spilled")))
@pytest.mark.parametrize("number, action", ((1, "short"), (20, "short"), (1, "short-on")))
def test_short_reads_and_writes_are_continued(load, role, function, number, action):
    outcome = load.run(harness.inject(function, number, role, action))
    assert outcome.witness
    load.check_same(outcome)


@pytest.mark.parametrize("how", ("segv", "exit"))
@pytest.mark.parametrize("number", (1, 5, 20, 50))
def test_death_behind_a_written_partial_counts_nothing_twice(load, number, how):
    outcome = load.run(harness.kill_at(WRITTEN, how, number), to_file=True)
    assert outcome.witness
    load.check_same(outcome)


@pytest.mark.parametrize("number", (1, 2, 3))
def test_supervisor_that_cannot_open_a_file_to_spill_to_says_so(load, number):
    """The second or third worker may ask when the first one has a file."""
    outcome = load.run(harness.inject("open", number, "supervisor", "fail-on"))
    assert outcome.witness
    check_failed(outcome, "write", "Too many open files")


def test_damaged_partial_ends_the_run(load):
    """A byte is flipped behind the back of the worker that has written it."""
    run = load.start(harness.kill_at(WRITTEN, "stop", 12))
    stopped = run.wait_for_stopped()
    supervisor = run.supervisor()
    flipped = sum(flip_a_byte(f"/proc/{supervisor}/fd/{name}", run.place)
                  for name in os.listdir(f"/proc/{supervisor}/fd"))
    assert flipped > 0
    harness.send(stopped, signal.SIGCONT)
    outcome = run.finish()
    assert outcome.code == 3 and outcome.output is None, outcome
    assert b"that was written to disk" in outcome.stderr and b"damaged" in outcome.stderr, outcome


def flip_a_byte(path, place):
    """In the middle of a file of the run's that has no name; returns how many were flipped."""
    if not os.readlink(path).startswith(f"{place}/") or os.stat(path).st_nlink > 0:
        return 0
    descriptor = os.open(path, os.O_RDWR)
    try:
        at = 100
        byte = os.pread(descriptor, 1, at)
        if not byte:
            return 0
        os.pwrite(descriptor, bytes([byte[0] ^ 1]), at)
        return 1
    finally:
        os.close(descriptor)
