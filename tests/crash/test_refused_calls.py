# SPDX-License-Identifier: Apache-2.0
"""Calls of the C library that fail: the result is right, or names what is missing, or there is
none and a word about it.  One call after the other is made to fail until a run has no more."""

import random

import pytest

import harness

CALLS = {
    "driver": ("malloc", "calloc", "realloc", "mmap", "fork", "pidfd_open", "epoll_create1",
               "epoll_ctl", "eventfd", "timerfd_create", "signalfd", "pipe2", "open", "read",
               "write"),
    "supervisor": ("malloc", "calloc", "realloc", "mmap", "fork", "pidfd_open", "epoll_create1",
                   "epoll_ctl", "timerfd_create", "open", "read"),
    "worker": ("malloc", "calloc", "realloc", "mmap", "mprotect", "open", "read", "pread"),
}
ALLOCATIONS = ("malloc", "calloc", "realloc")
# Some roles make none of some calls, and that may change.
ROWS = [(role, function) for role, functions in CALLS.items() for function in functions]

# All up to here, then some of the rest.
ONE_BY_ONE = 15 if harness.UNDER_ASAN else 120
SAMPLES = 5 if harness.UNDER_ASAN else 60


def numbers(reaches):
    """1, 2, 3, ... and, where there are very many calls, a sample that is the same every time.
    reaches() says whether the last number was reached."""
    for number in range(1, ONE_BY_ONE + 1):
        yield number
        if not reaches():
            return
    draw = random.Random("calls")
    last = ONE_BY_ONE
    for _ in range(SAMPLES):
        number = last + draw.randint(1, last // 4)
        yield number
        if not reaches():
            return
        last = number


def check(load, outcome, function):
    if outcome.code in (0, 1):
        load.check_against_reference(outcome)
        return
    assert outcome.code in (2, 3), outcome
    assert outcome.output is None, outcome
    # The write that failed may have been that of the message.
    assert function == "write" or b"forkfold: " in outcome.stderr, outcome


def sweep(load, role, function, action):
    outcome = None
    for number in numbers(lambda: bool(outcome.witness)):
        outcome = load.run(harness.inject(function, number, role, action), to_file=number % 2 == 1)
        print(f"{role} {function} {number} {action}: exit code {outcome.code}")
        yield outcome


@pytest.mark.parametrize("name", ("small", "split", "split poison"))
@pytest.mark.parametrize("role, function", ROWS)
def test_refused_call_never_gives_a_wrong_result(loads, name, role, function):
    if harness.UNDER_ASAN and function in ALLOCATIONS:
        pytest.skip("the sanitizer has its own allocator")
    for outcome in sweep(loads[name], role, function, "fail"):
        check(loads[name], outcome, function)


@pytest.mark.parametrize("role, function", [("worker", name) for name in CALLS["worker"]]
                         + [("supervisor", "fork"), ("supervisor", "pidfd_open")])
def test_call_refused_from_now_on_never_gives_a_wrong_result(loads, role, function):
    if harness.UNDER_ASAN and function in ALLOCATIONS:
        pytest.skip("the sanitizer has its own allocator")
    for outcome in sweep(loads["small"], role, function, "fail-on"):
        check(loads["small"], outcome, function)
        for failure in outcome.failures or []:
            assert failure["reason"] in ("decode", "memory", "system"), failure


@pytest.mark.parametrize("name", ("small", "split", "poison"))
@pytest.mark.parametrize("workers", (1, 2, 3))
@pytest.mark.parametrize("function", ("pidfd_open", "epoll_ctl"))
def test_worker_that_cannot_be_watched_takes_nothing_along(loads, function, workers, name):
    """It may have claimed tasks by the time that the supervisor finds out and ends it."""
    # Before the workers, the supervisor puts four other things into its epoll.
    first = 5 if function == "epoll_ctl" else 1
    load = loads[name]
    for number in range(first, first + workers):
        outcome = harness.run(
            ["-j", workers, *load.arguments[2:]],
            environment={**load.environment,
                         **harness.inject(function, number, "supervisor", "fail-late")})
        assert outcome.witness
        check(load, outcome, function)
