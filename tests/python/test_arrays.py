# SPDX-License-Identifier: Apache-2.0
"""Large buffers: what is shared, what is copied, and who may write it."""

import gc
import os
import subprocess
import sys

import pytest

import forkfold
import functions

numpy = pytest.importorskip("numpy")

# Above what is shared, and below.
LARGE, SMALL = 50_000, 500


def numbers(count):
    return numpy.arange(count, dtype=float)


@pytest.mark.parametrize("count", [0, 1, SMALL, 8191, 8192, 8193, LARGE])
@pytest.mark.parametrize("kind", ["f8", "i4", "c16", "U3", "O", "M8[s]"])
def test_arrays_of_all_kinds_travel_both_ways(pool, count, kind):
    array = numpy.arange(count).astype(kind)
    for result in (pool.apply(functions.identity, (array,)), pool.map(functions.identity, [array])[0],
                   next(pool.imap(functions.identity, [array])),
                   pool.apply_async(functions.identity, (array,)).get()):
        assert result.dtype == array.dtype and (result == array).all()


@pytest.mark.parametrize("change", [
    lambda array: array[::-1], lambda array: array[::3], lambda array: array.reshape(100, -1).T,
    lambda array: numpy.asfortranarray(array.reshape(100, -1)), lambda array: array[5:],
])
def test_arrays_of_all_layouts_travel(pool, change):
    array = change(numbers(LARGE))
    result = pool.apply(functions.identity, (array,))
    assert result.shape == array.shape and (result == array).all()


def test_large_arguments_are_read_only_and_small_ones_are_not(pool):
    assert pool.map(functions.is_writeable, [numbers(LARGE), numbers(SMALL)]) == [False, True]


def test_results_can_be_written_and_do_not_share_anything(pool):
    array = numbers(LARGE)
    results = pool.map(functions.twice, [array, array])
    results[0][:] = 0
    assert (results[1] == 2 * numbers(LARGE)).all() and (array == numbers(LARGE)).all()


def test_results_outlive_their_call_and_their_pool():
    with forkfold.Pool(2) as pool:
        results = [pool.map(functions.make_numbers, [LARGE, LARGE + i]) for i in range(5)]
    del pool
    gc.collect()
    for i, (first, second) in enumerate(results):
        assert (first == numbers(LARGE)).all() and (second == numbers(LARGE + i)).all()


def test_function_may_keep_its_argument(pool):
    with forkfold.Pool(1) as own:
        own.apply(functions.keep, (numbers(LARGE),))
        for i in range(20):
            own.map(functions.identity, [numbers(LARGE) + i] * 3)
        assert (own.apply(functions.kept) == numbers(LARGE)).all()


def test_one_array_for_many_items_is_there_once(pool):
    array = numbers(LARGE)
    addresses = pool.map(functions.address, [array] * 10, 1)
    assert len(set(addresses)) == 1


def test_array_changed_between_calls_is_seen_changed(pool):
    array = numbers(LARGE)
    for i in range(5):
        array[0] = i
        assert pool.apply(functions.first, (array,)) == i


@pytest.mark.parametrize("host_has_numpy", [True, False])
def test_math_libraries_have_one_thread_in_workers(host_has_numpy):
    program = f"""
import os, forkfold
if {host_has_numpy}:
    import numpy
    square = numpy.ones((300, 300))
    square @ square
def threads(_):
    import numpy
    square = numpy.ones((300, 300))
    square @ square
    return len(os.listdir("/proc/self/task"))
before = len(os.listdir("/proc/self/task"))
with forkfold.Pool(1) as pool:
    assert pool.apply(threads, (0,)) == 1
if {host_has_numpy}:
    square @ square
    assert len(os.listdir("/proc/self/task")) == before
"""
    environment = {name: value for name, value in os.environ.items()
                   if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=False, timeout=100, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


# ---- forkfold.array ----------------------------------------------------------

def test_shared_array_is_seen_without_a_copy(pool):
    array = forkfold.array((100, 500), "f4")
    assert array.shape == (100, 500) and array.dtype == "f4" and not array.any()
    array[:] = numpy.arange(500)
    own = array.__array_interface__["data"][0]
    assert pool.map(functions.address, [array, array[50:]], 1) == [own, own + 50 * 500 * 4]
    assert pool.map(functions.last, [array, array[:, :7].copy()]) == [499, 6]
    array[-1, -1] = -1
    assert pool.apply(functions.last, (array,)) == -1


def test_shared_array_outlives_its_pool():
    pool = forkfold.Pool(1)
    array = pool.array(LARGE)
    array[:] = 3
    pool.terminate()
    del pool
    gc.collect()
    assert array.sum() == 3 * LARGE


@pytest.mark.parametrize("shape", [0, (0, 5), (5, 0)])
def test_array_without_elements_is_an_ordinary_one(pool, shape):
    assert pool.array(shape).shape == (shape if isinstance(shape, tuple) else (shape,))


def test_array_of_objects_is_refused(pool):
    with pytest.raises(TypeError):
        pool.array(5, object)


@pytest.mark.parametrize("shape", ["5", 2.5, (5, "5"), None])
def test_shape_that_is_none_is_refused(pool, shape):
    with pytest.raises(TypeError, match="shape must be an integer, not "):
        pool.array(shape)


@pytest.mark.parametrize("shape", [2**62, (2**40, 2**40), 2**70, 2**58])
def test_array_larger_than_any_memory_is_refused(pool, shape):
    with pytest.raises((MemoryError, forkfold.PoolError)) as caught:
        pool.array(shape)
    assert "array of" in str(caught.value)


def test_array_takes_a_pool_that_is_open():
    with forkfold.Pool(1):
        pass
    with pytest.raises(ValueError, match="open one first"):
        forkfold.array(5)


def test_what_came_from_one_pool_is_there_in_another_and_in_children():
    done = subprocess.run([sys.executable, "-c", """
import os, numpy, forkfold
def make(count):
    return numpy.arange(count)
def total(_):
    return int(result.sum() + array.sum())
one = forkfold.Pool(1)
result = one.apply(make, (50_000,))
array = one.array(50_000)
array[:] = 1
two = forkfold.Pool(1)
expected = int(result.sum()) + 50_000
assert two.apply(total, (0,)) == expected
child = os.fork()
if child == 0:
    os._exit(total(0) != expected)
assert os.waitpid(child, 0)[1] == 0
"""], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_does_not_grow_with_the_number_of_calls(pool):
    array = numbers(LARGE)
    for _ in range(20):
        pool.map(functions.identity, [array] * 4, 1)
    before = shared_bytes()
    for _ in range(200):
        pool.map(functions.identity, [array] * 4, 1)
    assert shared_bytes() < before + 16 * array.nbytes


def shared_bytes():
    with open(f"/proc/{os.getpid()}/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Rss"))
