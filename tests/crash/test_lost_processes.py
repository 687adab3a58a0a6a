# SPDX-License-Identifier: Apache-2.0
"""Driver, supervisor or workers lost, stopped or interrupted while work is in progress."""

import os
import resource
import signal
import time

import pytest

import harness

# The design says a second; a machine that is busy with other things gets more.
GONE_SECONDS = 10

OLD = b"the result of an earlier run\n"


@pytest.fixture(name="stuck")
def _stuck(loads):
    """A run in which all three workers hang, each on an item."""
    environment = {**harness.fault("hang", "begin", "*"),
                   **harness.kill_at("worker.item.begin", "none", 3)}
    run = loads["small"].start(environment, to_file=True, witness_is_pipe=True)
    run.wait_for_witness()
    assert len(run.workers()) == 3
    yield run
    run.kill_all()


def check_nothing_written(outcome):
    assert outcome.output is None
    assert outcome.failures is None


# ---- The driver dies

@pytest.mark.parametrize("first", (None, signal.SIGSTOP))
@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT))
def test_all_processes_end_soon_after_the_driver_was_killed(stuck, record_testsuite_property,
                                                              first, number):
    if first is not None:
        os.kill(stuck.driver.pid, first)
    os.kill(stuck.driver.pid, number)
    if first is not None:
        os.kill(stuck.driver.pid, signal.SIGCONT)
    assert stuck.driver.wait(timeout=harness.HANG_SECONDS) == -number
    seconds = stuck.wait_until_gone(GONE_SECONDS)
    record_testsuite_property(f"seconds until all were gone after {number.name}", seconds)
    check_nothing_written(stuck.finish())


def test_stopped_workers_end_with_the_driver(stuck):
    for worker in stuck.workers():
        os.kill(worker, signal.SIGSTOP)
    os.kill(stuck.driver.pid, signal.SIGKILL)
    check_nothing_written(stuck.finish())


def test_driver_and_supervisor_killed_together_take_the_workers_along(stuck):
    supervisor = stuck.supervisor()
    os.kill(supervisor, signal.SIGKILL)
    os.kill(stuck.driver.pid, signal.SIGKILL)
    check_nothing_written(stuck.finish())


# ---- The supervisor dies, or stands still

@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGSEGV))
def test_death_of_the_supervisor_is_reported_and_ends_the_workers(stuck, number):
    os.kill(stuck.supervisor(), number)
    outcome = stuck.finish()
    assert outcome.code == 3
    assert b"the supervisor process" in outcome.stderr
    check_nothing_written(outcome)


def test_supervisor_that_is_stopped_for_a_while_changes_nothing(loads):
    for number in (1, 20, 200):
        run = loads["small"].start(harness.kill_at("worker.item.begin", "none", number),
                                   witness_is_pipe=True)
        run.wait_for_witness()
        supervisor = run.supervisor()
        if supervisor is not None:
            harness.send(supervisor, signal.SIGSTOP)
            for worker in run.workers()[:2]:
                harness.send(worker, signal.SIGKILL)
            harness.send(supervisor, signal.SIGCONT)
        loads["small"].check_same(run.finish())


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_interrupt_ends_a_run_whose_supervisor_is_stopped(stuck, number):
    os.kill(stuck.supervisor(), signal.SIGSTOP)
    os.kill(stuck.driver.pid, number)
    outcome = stuck.finish()
    assert outcome.code == 128 + number
    check_nothing_written(outcome)


# ---- Interrupts

@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_interrupt_of_the_whole_group_ends_the_run_soon(stuck, record_testsuite_property, number):
    begin = time.monotonic()
    os.killpg(stuck.driver.pid, number)
    outcome = stuck.finish()
    seconds = time.monotonic() - begin
    record_testsuite_property(f"seconds until the end after {number.name}", seconds)
    assert seconds < GONE_SECONDS
    assert outcome.code == 128 + number
    assert b"no result was written" in outcome.stderr
    check_nothing_written(outcome)


# ---- The output file

@pytest.mark.parametrize("replaces", (None, OLD), ids=("new", "replaced"))
@pytest.mark.parametrize("function", ("open", "write", "linkat", "rename"))
def test_driver_killed_while_it_writes_leaves_a_whole_file_or_none(loads, function, replaces):
    load = loads["small"]
    whole = load.undisturbed.output
    number = 1
    while True:
        outcome = load.run(harness.inject(function, number, "driver", "kill"), to_file=True,
                           replaces=replaces)
        if not outcome.witness:
            break
        assert outcome.code == -signal.SIGKILL
        assert outcome.output in (replaces, whole)
        assert outcome.failures in (None, load.undisturbed.failures)
        number += 1
    load.check_same(outcome)
    assert function == "rename" or number > 1, f"{function} was never called"


@pytest.mark.parametrize("function", ("open", "write", "linkat", "rename"))
def test_driver_that_cannot_write_leaves_the_old_file(loads, function):
    load = loads["small"]
    number = 1
    while True:
        outcome = load.run(harness.inject(function, number, "driver"), to_file=True, replaces=OLD)
        if not outcome.witness:
            break
        if outcome.code == 3:
            assert outcome.output == OLD
        else:
            load.check_against_reference(outcome._replace(failures=outcome.failures or []))
        number += 1
    load.check_same(outcome)


@pytest.mark.parametrize("size", (0, 1000))
def test_result_that_is_larger_than_files_may_be_is_not_written_in_part(loads, size):
    load = loads["small"]
    outcome = load.run(limits=[(resource.RLIMIT_FSIZE, size)], to_file=True)
    assert outcome.code in (3, -signal.SIGXFSZ), outcome
    assert outcome.output is None
