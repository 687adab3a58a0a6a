# SPDX-License-Identifier: Apache-2.0
"""Every step of the protocol between the processes, and every way of dying at it.

The table: a point of the sources, a way of dying, and how often the point is passed before.  A
worker's death changes nothing; a supervisor's ends the run or came too late to matter; a driver's
leaves nothing behind.
"""

import re
import signal

import pytest

import harness

# Calls on items, queues, dictionaries and arrays in files are the library's: tests/unit/
# items_faults_test.c, ring_test.c, queue_faults_test.c, dictionary_test.c and shared_file_test.c go
# through their points.
LIBRARY = re.compile(r"\.items\.|\.file\.|\bring\.|\bqueues?\.|\bdictionary\.")
POINTS = sorted({
    point for path in (harness.ROOT / "src").rglob("*.c")
    for point in re.findall(r'FF_KILL_POINT\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    if not LIBRARY.search(point)})
WORKER_POINTS = [point for point in POINTS if point.startswith("worker.")]
SUPERVISOR_POINTS = [point for point in POINTS if point.startswith("supervisor.")]
DRIVER_POINTS = [point for point in POINTS if point.startswith("driver.")]

SIGNALS = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV}
BASIC = ("small", "split")
POISONED = ("poison", "split poison")

# Points that only a death, a timeout, an early end or too little memory leads to.
LOADS_OF = {
    "worker.unpark": ("timeout",),
    "supervisor.timeout": ("timeout",),
    "supervisor.retry.post": POISONED,
    "supervisor.retry.posted": POISONED,
    "supervisor.quarantine.written": POISONED + ("timeout",),
    "supervisor.quarantine.published": POISONED + ("timeout",),
    "supervisor.death": POISONED,
    "supervisor.recover.begin": POISONED,
    "supervisor.recover.queued": POISONED,
    "supervisor.recover.end": POISONED,
    "driver.abort": ("stop",),
    **{point: ("spill",) for point in POINTS if "spill." in point},
}


def numbers(load, point):
    """When to die: at the first time, the second, and one of the last."""
    if harness.UNDER_ASAN:
        return [1, 2]
    return sorted({1, 2, max(load.passes(point), 1)})


# Some points depend on who comes first; that often the table's rows are run to get there.
ROUNDS = 25


def disturbed(loads, point, how):
    """Runs the table's rows of one point, and fails if none of them came to it."""
    reached = False
    for _ in range(ROUNDS):
        for name in LOADS_OF.get(point, BASIC):
            load = loads[name]
            for number in numbers(load, point):
                outcome = load.run(harness.kill_at(point, how, number), to_file=number % 2 == 1)
                reached = reached or bool(outcome.witness)
                yield load, outcome
        if reached:
            return
    raise AssertionError(f"no run came to {point}")


def test_sources_have_points_of_every_role():
    assert WORKER_POINTS and SUPERVISOR_POINTS and DRIVER_POINTS
    assert len(WORKER_POINTS + SUPERVISOR_POINTS + DRIVER_POINTS) == len(POINTS)


@pytest.mark.parametrize("how", ("kill", "segv", "exit"))
@pytest.mark.parametrize("point", WORKER_POINTS)
def test_death_of_a_worker_changes_nothing(loads, point, how):
    for load, outcome in disturbed(loads, point, how):
        load.check_same(outcome)


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_death_of_a_worker_beside_a_deadly_file_changes_nothing(loads, point):
    for name in POISONED:
        for number in (1, 3, 9):
            loads[name].check_same(loads[name].run(harness.kill_at(point, "kill", number)))


@pytest.mark.parametrize("point", ("worker.claim.taken", "worker.claim.logged", "worker.item.done"))
def test_death_of_a_worker_changes_nothing_when_tasks_come_in_another_order(loads, point):
    for number in (1, 7, 20, 40, 47):
        loads["kept"].check_same(loads["kept"].run(harness.kill_at(point, "kill", number)))


@pytest.mark.parametrize("how", ("kill", "segv", "exit"))
@pytest.mark.parametrize("point", SUPERVISOR_POINTS)
def test_death_of_the_supervisor_ends_the_run_or_comes_too_late(loads, point, how):
    for load, outcome in disturbed(loads, point, how):
        if outcome.witness:
            load.check_lost_supervisor(outcome)
        else:
            load.check_same(outcome)


@pytest.mark.parametrize("how", ("kill", "segv"))
@pytest.mark.parametrize("point", DRIVER_POINTS)
def test_death_of_the_driver_leaves_nothing_behind(loads, point, how):
    for load, outcome in disturbed(loads, point, how):
        if outcome.witness:
            load.check_dead_driver(outcome, SIGNALS[how])
            if point != "driver.close.pool":
                assert outcome.output is None
            # The failures are written, wholly, before the result is read from disk.
            if point not in ("driver.close.pool", "driver.spill.ask"):
                assert outcome.failures is None
        else:
            load.check_same(outcome)


@pytest.mark.parametrize("point", WORKER_POINTS + SUPERVISOR_POINTS)
def test_process_that_is_stopped_and_continued_changes_nothing(loads, point):
    for name in LOADS_OF.get(point, BASIC):
        run = loads[name].start(harness.kill_at(point, "stop", 1))
        stopped = run.wait_for_stopped()
        if stopped is not None:
            harness.send(stopped, signal.SIGCONT)
        loads[name].check_same(run.finish())


@pytest.mark.parametrize("how", ("stop", "hang"))
@pytest.mark.parametrize("point", ("worker.item.begin", "worker.item.done"))
def test_worker_that_stands_still_on_an_item_is_replaced_after_the_timeout(loads, point, how):
    load = loads["small"]
    options = ["--timeout", "1s", *load.arguments]
    for number in (1, 2):
        outcome = harness.run(options, environment=harness.kill_at(point, how, number))
        assert outcome.witness
        load.check_same(outcome)
