# SPDX-License-Identifier: Apache-2.0
"""A million calls of each kind leave nothing behind: no memory, no objects, no references."""

import gc
import sys

import pytest

import forkfold
import functions

MILLION = 1_000_000

# Allocators keep something, but not four bytes for each call.
BYTES_MOST = 4 << 20
# Objects, blocks of memory, and references to one thing.
OBJECTS_MOST = 500

ARGUMENT = ("text", 1.5, [2], {"key": 2**70})


def anonymous_bytes(_item=None):
    with open("/proc/self/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Anonymous"))


def single_calls(pool):
    results = [pool.apply_async(functions.identity, (ARGUMENT,)) for _ in range(10_000)]
    assert all(result.get() == ARGUMENT for result in results)


def single_errors(pool):
    results = [pool.apply_async(functions.invert, (0,)) for _ in range(1_000)]
    assert not any(result.successful() for result in results if result.wait() is None)


def mapped_calls(pool):
    assert pool.map(functions.identity, [ARGUMENT] * 10_000) == [ARGUMENT] * 10_000


def calls_as_they_come(pool):
    results = pool.imap_unordered(functions.identity, iter(range(10_000)))
    assert sum(results) == 49_995_000


def sums(pool):
    for _ in range(5_000):
        assert forkfold.sum([1, 2.5, 2**70]) == 2**70 + 3.5
        assert forkfold.sum([1, 2], pool=pool) == 3


def statistics(_pool):
    for _ in range(10_000):
        assert forkfold.statistics((1, 2, 3)).mean == 2


def products(_pool):
    for _ in range(10_000):
        assert forkfold.matmul([[1, 2]], [[3.0], [4.0]]) == [[11]]


def primes(pool):
    for _ in range(50):
        assert forkfold.count_primes(100, pool=pool) == 25
        assert forkfold.primes(100, pool=pool).tolist()[-1] == 97


def references():
    things = (functions.identity, functions.invert, ARGUMENT, None, True, int, float, list)
    return [sys.getrefcount(thing) for thing in things]


def measure(pool):
    """What the host has, and what its workers have; then objects, blocks, and references."""
    gc.collect()
    return (anonymous_bytes(), max(pool.map(anonymous_bytes, range(20), 1)), len(gc.get_objects()),
            sys.getallocatedblocks(), *references())


def grows(pool, call, times):
    """Whether memory does.  Nothing else may, and references must not become fewer either."""
    before = measure(pool)
    for _ in range(times):
        call(pool)
    after = measure(pool)
    growth = [latter - former for former, latter in zip(before, after)]
    assert growth[2] < OBJECTS_MOST and growth[3] < OBJECTS_MOST
    assert all(abs(change) < OBJECTS_MOST for change in growth[4:])
    return max(growth[:2]) >= BYTES_MOST


@pytest.mark.parametrize("call, times", [
    (single_calls, MILLION // 10_000), (single_errors, 50), (mapped_calls, MILLION // 10_000),
    (calls_as_they_come, MILLION // 10_000), (sums, MILLION // 10_000),
    (statistics, MILLION // 10_000), (products, MILLION // 10_000), (primes, 20)])
def test_a_million_calls_leave_nothing_behind(pool, call, times):
    for _ in range(5):
        call(pool)
    # An allocator may take another arena once; what is lost with each call grows every time.
    assert not all(grows(pool, call, times) for _ in range(3))
