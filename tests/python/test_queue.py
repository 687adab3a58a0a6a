# SPDX-License-Identifier: Apache-2.0
"""Queues between the processes of a pool: nothing is lost, and nothing comes twice."""

import collections
import functools
import os
import pickle
import queue
import signal
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold
import functions


@pytest.fixture(scope="module")
def shared_pool():
    with forkfold.Pool(2) as opened:
        yield opened


things = st.none() | st.integers() | st.text() | st.binary() | st.lists(st.fractions())


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["put", "get", "put_many", "get_many"]),
                                st.lists(things, min_size=1, max_size=4)), max_size=30))
def test_it_is_a_bounded_queue(shared_pool, steps):
    tested = forkfold.Queue(4, pool=shared_pool)
    model = collections.deque()
    for step, items in steps:
        if step == "put" and len(model) == 4:
            with pytest.raises(queue.Full):
                tested.put_nowait(items)
        elif step == "put":
            tested.put(items, timeout=0)
            model.append(items)
        elif step == "put_many":
            fits = items[:4 - len(model)]
            assert tested.put_many(items, timeout=0) == len(fits)
            model.extend(fits)
        elif not model:
            with pytest.raises(queue.Empty):
                tested.get_nowait()
        elif step == "get":
            assert tested.get(timeout=0) == model.popleft()
        else:
            expected = [model.popleft() for _ in range(min(len(items), len(model)))]
            assert tested.get_many(len(items), timeout=0) == expected
    tested.close()


# ---- Between processes -------------------------------------------------------

def produce(target, first, count):
    for number in range(first, first + count):
        target.put((first, number))
    return count


def consume(source):
    return list(source)


def consume_by_get(source):
    taken = []
    try:
        while True:
            taken.append(source.get())
    except forkfold.QueueEnded:
        return taken


def pass_on(source, target):
    for item in source:
        target.put(item)


@pytest.mark.parametrize("consumer", [consume, consume_by_get])
def test_each_item_comes_once_and_those_of_one_producer_in_order(consumer):
    with forkfold.Pool(4) as pool:
        shared = forkfold.Queue(16, producers=2)
        consumers = [pool.apply_async(consumer, (shared,)) for _ in range(2)]
        producers = [pool.apply_async(produce, (shared, first, 1000)) for first in (0, 5000)]
        for number, producer in enumerate(producers):
            assert producer.get() == 1000
            shared.end(number)
        taken = [result.get() for result in consumers]
    assert sorted(taken[0] + taken[1]) == [(first, first + n) for first in (0, 5000)
                                           for n in range(1000)]
    for items in taken:
        for first in (0, 5000):
            mine = [item for item in items if item[0] == first]
            assert mine == sorted(mine)


def test_host_puts_and_gets_while_workers_pass_on(pool):
    to, back = forkfold.Queue(8, pool=pool), forkfold.Queue(8, pool=pool)
    worker = pool.apply_async(pass_on, (to, back))
    taken = []
    for number in range(1000):
        to.put(number)
        if number % 4 == 3:
            taken.extend(back.get() for _ in range(4))
    to.end()
    worker.get()
    back.end()
    assert taken + list(back) == list(range(1000))


def test_threads_of_the_host_wait_for_each_other(pool):
    shared = forkfold.Queue(2, pool=pool)
    taken = []
    thread = threading.Thread(target=lambda: taken.extend(iter(shared.get, None)))
    thread.start()
    for number in range(500):
        shared.put(number)
    shared.put(None)
    thread.join()
    assert taken == list(range(500))


def test_queue_in_a_closure_reaches_workers(pool):
    pytest.importorskip("cloudpickle")
    shared = forkfold.Queue(pool=pool)
    pool.map(lambda number: shared.put(number * 2), range(10))
    assert sorted(shared.get_many(100)) == [2 * n for n in range(10)]
    pool.map(functools.partial(produce, shared, 1), [3])
    assert shared.get_many(100) == [(1, 1), (1, 2), (1, 3)]


def get_soon(source):
    try:
        return source.get(timeout=0.01)
    except queue.Empty:
        return "empty"


def put_soon(target):
    try:
        target.put(1, timeout=0.01)
    except queue.Full:
        return "full"
    return "done"


def test_waiting_in_workers_ends_in_time(pool):
    shared = forkfold.Queue(1, pool=pool)
    assert pool.apply(get_soon, (shared,)) == "empty"
    assert [pool.apply(put_soon, (shared,)) for _ in range(2)] == ["done", "full"]
    assert pool.apply(get_soon, (shared,)) == 1
    with pytest.raises(queue.Empty):
        shared.get(timeout=0.01)


# ---- Acknowledging -----------------------------------------------------------

def die_with_first(source, path):
    taken = []
    for item in source:
        functions.die_once(path, "kill")
        taken.append((item, source.returns))
    return taken


def test_item_in_hand_of_who_dies_goes_to_another(pool, tmp_path):
    shared = forkfold.Queue(pool=pool)
    shared.put_many(range(5))
    shared.end()
    taken = pool.apply(die_with_first, (shared, tmp_path / "died"))
    assert sorted(taken) == [(0, 1), (1, 0), (2, 0), (3, 0), (4, 0)]


def fail_with_first(source):
    for item in source:
        raise ValueError(f"no {item}")


def hold_and_fail(source):
    with source.holding() as item:
        raise ValueError(f"no {item}")


@pytest.mark.parametrize("function", [fail_with_first, hold_and_fail])
def test_item_in_hand_of_who_fails_goes_to_another(pool, function):
    shared = forkfold.Queue(pool=pool)
    shared.put("item")
    with pytest.raises(ValueError, match="no item"):
        pool.apply(function, (shared,))
    assert shared.get() == "item" and shared.returns == 1


def test_host_gives_back_and_acknowledges(pool):
    shared = forkfold.Queue(pool=pool)
    shared.put_many("abc")
    for item in shared:
        assert item == "a"
        break
    with pytest.raises(KeyError), shared.holding() as item:
        raise KeyError(item)
    with shared.holding() as item:
        with pytest.raises(RuntimeError, match="one item"):
            shared.get()
        with pytest.raises(RuntimeError, match="one item"):
            next(iter(shared))
    taken = {item, shared.get(), shared.get()}
    assert taken == set("abc")
    with pytest.raises(queue.Empty):
        shared.get_nowait()
    shared.end()
    assert not list(shared)


def test_ended_queue_gives_what_is_left_and_takes_nothing(pool):
    shared = forkfold.Queue(pool=pool, producers=2)
    shared.put(1)
    shared.end(0)
    shared.end(0)
    shared.put(2)
    shared.end(1)
    with pytest.raises(forkfold.QueueEnded):
        shared.put(3)
    assert shared.get_many(5) == [1, 2]
    with pytest.raises(forkfold.QueueEnded):
        shared.get()
    if sys.version_info >= (3, 13):
        assert issubclass(forkfold.QueueEnded, queue.ShutDown)
    with pytest.raises(ValueError, match="no producer"):
        shared.end(2)


# ---- Mistakes ----------------------------------------------------------------

class Poison:
    """Cannot be unpickled."""

    def __reduce__(self):
        return functions.die, ("sys.exit",)


def test_item_that_cannot_be_unpickled_is_gone(pool):
    shared = forkfold.Queue(pool=pool)
    shared.put_many([Poison(), "next"])
    with pytest.raises(SystemExit):
        shared.get()
    assert shared.get() == "next"
    with pytest.raises(Exception, match="pickle"):
        shared.put(sys._getframe())


def test_large_item_is_refused_with_a_way_out(pool):
    shared = forkfold.Queue(item_bytes=1000, pool=pool)
    with pytest.raises(ValueError, match="item_bytes=1000"):
        shared.put("x" * 1000)
    shared = forkfold.Queue(4, item_bytes=10**6, pool=pool)
    shared.put(b"x" * 900000)
    assert shared.get() == b"x" * 900000


def test_queue_is_for_workers_of_its_pool_only(pool):
    with forkfold.Pool(1) as other:
        mine = forkfold.Queue()
        with pytest.raises(ValueError, match="its own pool"):
            pool.apply(get_soon, (mine,))
        assert other.apply(get_soon, (mine,)) == "empty"
    with pytest.raises(ValueError, match="its own pool"):
        pickle.loads(pickle.dumps(forkfold.Queue(pool=pool)))


def make_queue():
    forkfold.Queue()


def test_worker_cannot_open_a_queue(pool):
    with pytest.raises((forkfold.PoolError, ValueError)):
        pool.apply(make_queue)


def test_arguments_that_make_no_sense_are_refused(pool):
    for wrong in ({"capacity": 0}, {"item_bytes": 0}, {"producers": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            forkfold.Queue(pool=pool, **wrong)
        with pytest.raises(TypeError, match=f"{next(iter(wrong))} must be an integer"):
            forkfold.Queue(pool=pool, **dict.fromkeys(wrong, "5"))
    with pytest.raises(TypeError, match="pool must be a forkfold.Pool, not 3"):
        forkfold.Queue(pool=3)
    with pytest.raises(ValueError, match="producers"):
        forkfold.Queue(pool=pool, producers=65)
    shared = forkfold.Queue(pool=pool)
    with pytest.raises(ValueError, match="non-negative"):
        shared.get(timeout=-1)
    for producer in (1, -1, 2**32):
        with pytest.raises(ValueError, match=f"no producer {producer}"):
            shared.end(producer)
    with pytest.raises(TypeError, match="producer must be an integer, not '0'"):
        shared.end("0")
    with pytest.raises(TypeError, match="timeout must be .*'1s'"):
        shared.get(timeout="1s")
    with pytest.raises(ValueError, match="most"):
        shared.get_many(0)


def test_closed_queue_is_closed_for_all(pool):
    shared = forkfold.Queue(pool=pool)
    waiting = pool.apply_async(consume, (shared,))
    shared.put(1)
    shared.close()
    assert waiting.get() == [1]
    with pytest.raises(ValueError, match="closed"):
        shared.put(1)
    shared.close()


def test_queues_that_are_forgotten_make_room_for_others(pool):
    for number in range(300):
        shared = forkfold.Queue(2, pool=pool)
        shared.put(number)
        assert pool.apply(get_soon, (shared,)) == number


def test_queue_of_a_pool_that_is_gone_says_so():
    with forkfold.Pool(1) as pool:
        shared = forkfold.Queue(pool=pool)
    with pytest.raises(ValueError, match="not running"):
        shared.get(timeout=0)
    shared.close()
    del shared


def wait_for_ever(source):
    return source.get()


def test_worker_that_waits_in_vain_is_ended_by_a_timeout(pool):
    shared = forkfold.Queue(pool=pool)
    with pytest.raises(forkfold.WorkerTimeout):
        pool.apply_async(wait_for_ever, (shared,), timeout=0.2, retries=0).get()
    assert pool.apply(functions.square, (3,)) == 9


def test_counting_words_leaves_queues_as_they_are(pool):
    shared = forkfold.Queue(pool=pool)
    shared.put("before")
    assert forkfold.count_words(text="a b", pool=pool) == {"a": 1, "b": 1}
    assert pool.apply(get_soon, (shared,)) == "before"
    shared.put("after")
    assert shared.get() == "after"


def test_interrupt_ends_waiting_in_the_host(pool):
    shared = forkfold.Queue(pool=pool)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        shared.get()
    timer.join()
