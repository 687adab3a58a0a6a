# SPDX-License-Identifier: Apache-2.0
"""Pipelines: the same as calling one function after the other, whatever dies in between."""

import functools
import itertools
import os
import pickle
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold
import functions


@pytest.fixture(scope="module")
def shared_pool():
    with forkfold.Pool(2) as opened:
        yield opened


def double(value):
    return value * 2


def wrap(value):
    return [value]


def first(values):
    return values[0]


def fail_at(numbers, value):
    if value in numbers:
        raise ValueError(f"it is {value}")
    return value


def leave_at(numbers, value):
    if value in numbers:
        raise SystemExit(5)
    return value


def die_at(numbers, value):
    if value in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_once_at(path, number, value):
    if value == number:
        functions.die_once(path, "kill")
    return value


def hang_at(number, value):
    if value == number:
        signal.pause()
    return value


things = st.integers() | st.text() | st.binary() | st.lists(st.integers()) | st.fractions()


@settings(max_examples=80, deadline=None)
@given(items=st.lists(things, max_size=60), batch_size=st.integers(1, 20),
       queue_depth=st.none() | st.integers(1, 4), replicas=st.none() | st.integers(1, 2))
def test_results_are_those_of_the_loop(shared_pool, items, batch_size, queue_depth, replicas):
    expected = [item * 2 for item in items]
    pipeline = forkfold.Pipeline(wrap, first, double, batch_size=batch_size,
                                 queue_depth=queue_depth, replicas=replicas)
    assert list(pipeline.run(items, pool=shared_pool)) == expected
    unordered = forkfold.Pipeline(wrap, first, double, batch_size=batch_size, ordered=False)
    results = list(unordered.run(iter(items), pool=shared_pool))
    assert sorted(map(repr, results)) == sorted(map(repr, expected))


def test_pool_is_opened_and_closed_where_none_is_given(lost_children):
    assert list(forkfold.Pipeline(double, wrap).run(range(3))) == [[0], [2], [4]]


def test_pipeline_can_be_run_again_and_at_the_same_time(pool):
    pipeline = forkfold.Pipeline(double, functions.square, batch_size=3)
    expected = [(2 * n) ** 2 for n in range(50)]
    both = zip(pipeline.run(range(50), pool=pool), pipeline.run(range(50), pool=pool))
    assert list(both) == [(value, value) for value in expected]
    assert list(pipeline.run((), pool=pool)) == []
    assert pool.map(double, [1]) == [2]


def test_endless_input_is_drawn_as_there_is_room(pool):
    drawn = itertools.count()
    results = forkfold.Pipeline(double, double, batch_size=2, queue_depth=3).run(drawn, pool=pool)
    assert list(itertools.islice(results, 5)) == [0, 4, 8, 12, 16]
    # Two stages of three batches each, three that were read, and one that waits.
    assert next(drawn) <= 2 * (2 * 3 + 3 + 1)
    results.close()
    assert pool.map(double, [1]) == [2]


def test_input_may_come_from_the_same_pool(pool):
    source = pool.imap(double, range(1000), 10)
    results = forkfold.Pipeline(double, batch_size=7).run(source, pool=pool)
    assert list(results) == [4 * n for n in range(1000)]


def test_input_that_raises_ends_the_pipeline_after_what_was_drawn(pool):
    def items():
        yield from range(5)
        raise KeyError("source")

    results = forkfold.Pipeline(double, batch_size=2).run(items(), pool=pool)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(KeyError, match="source"):
        next(results)


def test_numbers_of_replicas_hold_a_stage_back(pool, tmp_path):
    counted = functools.partial(count_inside, str(tmp_path))
    pipeline = forkfold.Pipeline(double, counted, batch_size=1, replicas=[None, 1])
    assert set(pipeline.run(range(40), pool=pool)) == {1}


def count_inside(folder, value):
    """How many are in the function at once."""
    mine = os.path.join(folder, str(value))
    with open(mine, "x", encoding="ascii"):
        pass
    count = len(os.listdir(folder))
    os.unlink(mine)
    return count


def test_large_arrays_go_through(pool):
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.full(50000, n) for n in range(6)]
    results = forkfold.Pipeline(double, double, batch_size=2).run(arrays, pool=pool)
    for number, result in enumerate(results):
        assert (result == 4 * number).all()


# ---- What fails --------------------------------------------------------------

def test_exception_names_item_and_stage_and_ends_the_run(pool):
    pipeline = forkfold.Pipeline(double, functools.partial(fail_at, {20}), double, batch_size=4)
    results = pipeline.run(range(100), pool=pool)
    taken = []
    with pytest.raises(ValueError, match="it is 20") as caught:
        for result in results:
            taken.append(result)
    assert taken == [4 * n for n in range(10)]
    assert (caught.value.item, caught.value.stage) == (10, 1)
    assert "fail_at" in str(caught.value.__cause__)
    assert next(results, None) is None
    assert pool.map(double, [1]) == [2]


@pytest.mark.parametrize("ordered", [True, False])
def test_exceptions_stand_among_the_results_if_they_are_collected(pool, ordered):
    pipeline = forkfold.Pipeline(
        functools.partial(fail_at, {3, 50}), functools.partial(leave_at, {7}), double,
        batch_size=8, errors="collect", ordered=ordered)
    results = list(pipeline.run(range(60), pool=pool))
    failed = {error.item: error for error in results if isinstance(error, Exception)}
    assert {item: (type(error), error.stage) for item, error in failed.items()} == {
        3: (ValueError, 0), 50: (ValueError, 0), 7: (forkfold.WorkerDied, 1)}
    assert failed[7].exit_code == 5
    good = [result for result in results if not isinstance(result, Exception)]
    assert sorted(good) == [2 * n for n in range(60) if n not in failed]


def test_what_cannot_be_pickled_is_told(pool):
    pipeline = forkfold.Pipeline(double, make_unpicklable, batch_size=2, errors="collect")
    results = list(pipeline.run(range(3), pool=pool))
    assert all("cannot pickle" in str(error) or "pickle" in str(error) for error in results)
    assert [error.stage for error in results] == [1, 1, 1]
    with pytest.raises(Exception, match="pickle"):
        list(forkfold.Pipeline(double).run([iter_forever()], pool=pool))
    assert pool.map(double, [1]) == [2]


def make_unpicklable(_value):
    return iter_forever()


def iter_forever():
    yield from itertools.count()


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_death_costs_the_item_that_it_was_on(pool, stage):
    stages = [functions.identity] * 3
    stages[stage] = functools.partial(die_at, {30})
    pipeline = forkfold.Pipeline(*stages, batch_size=8, errors="collect", retries=1)
    results = list(pipeline.run(range(64), pool=pool))
    error = results[30]
    assert isinstance(error, forkfold.WorkerDied)
    assert (error.item, error.stage, error.attempts) == (30, stage, 2)
    assert error.signal == signal.SIGKILL
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert results[:30] + results[31:] == list(range(30)) + list(range(31, 64))


def test_death_that_does_not_come_again_costs_nothing(pool, tmp_path):
    stages = [functools.partial(die_once_at, tmp_path / str(stage), 3 + stage)
              for stage in range(3)]
    assert list(forkfold.Pipeline(*stages, batch_size=4).run(range(20), pool=pool)) \
        == list(range(20))


def test_without_retries_nothing_is_run_again(pool):
    pipeline = forkfold.Pipeline(functools.partial(die_at, {5}), batch_size=1, retries=0,
                                 errors="collect")
    results = list(pipeline.run(range(9), pool=pool))
    assert (results[5].item, results[5].stage, results[5].attempts) == (5, 0, 1)
    assert results[:5] + results[6:] == [0, 1, 2, 3, 4, 6, 7, 8]
    pipeline = forkfold.Pipeline(functools.partial(die_at, {5}), batch_size=3, retries=0,
                                 errors="collect")
    results = list(pipeline.run(range(9), pool=pool))
    assert [error.item for error in results[3:6]] == [3, 4, 5]
    assert results[:3] + results[6:] == [0, 1, 2, 6, 7, 8]


def test_timeout_ends_an_item_that_hangs(pool):
    pipeline = forkfold.Pipeline(double, functools.partial(hang_at, 4), timeout=0.5, retries=0,
                                 errors="collect")
    results = list(pipeline.run(range(5), pool=pool))
    assert isinstance(results[2], forkfold.WorkerTimeout) and results[2].stage == 1
    assert results[:2] + results[3:] == [0, 2, 6, 8]


def test_pool_that_is_terminated_ends_its_pipelines():
    pool = forkfold.Pool(2)
    results = forkfold.Pipeline(double, batch_size=1).run(itertools.count(), pool=pool)
    assert next(results) == 0
    pool.terminate()
    with pytest.raises(ValueError, match="not running"):
        for _ in range(100):
            next(results)


def test_failing_initializer_is_told():
    with forkfold.Pool(1, functions.die, ("_exit",)) as pool:
        with pytest.raises(forkfold.PoolError):
            list(forkfold.Pipeline(double).run([1], pool=pool))


def test_arguments_that_make_no_sense_are_refused(pool):
    with pytest.raises(ValueError, match="a function"):
        forkfold.Pipeline()
    with pytest.raises(TypeError, match="not 3"):
        forkfold.Pipeline(double, 3)
    with pytest.raises(ValueError, match="batch_size"):
        forkfold.Pipeline(double, batch_size=0)
    with pytest.raises(ValueError, match="replicas"):
        forkfold.Pipeline(double, replicas=[1, 2])
    with pytest.raises(ValueError, match="errors"):
        forkfold.Pipeline(double, errors="ignore")
    with pytest.raises(ValueError, match="16 stages"):
        list(forkfold.Pipeline(*[double] * 17).run([1], pool=pool))
