# SPDX-License-Identifier: Apache-2.0
"""What calls of a pool give, compared with the plain loop; and what they say when they cannot."""

import datetime
import decimal
import functools
import gc
import io
import itertools
import math
import multiprocessing.pool
import operator
import os
import pickle
import sys
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkfold
import functions
from forkfold import _progress

# ---- The same as the loop ----------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
things = st.recursive(
    scalars | st.decimals(allow_nan=False) | st.datetimes() | st.complex_numbers() | st.fractions(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.sets(st.integers())
    | st.dictionaries(st.text(), inner), max_leaves=12)


@pytest.fixture(scope="module")
def shared_pool():
    with forkfold.Pool(2) as opened:
        yield opened


def same(left, right):
    """Equal, with NaN equal to itself, and types the same all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    return left == right or repr(left) == repr(right)


@settings(max_examples=150, deadline=None)
@given(items=st.lists(things, max_size=30), chunksize=st.none() | st.integers(1, 40))
def test_every_call_returns_what_the_loop_does(shared_pool, items, chunksize):
    expected = [functions.identity(item) for item in items]
    assert same(shared_pool.map(functions.identity, items, chunksize), expected)
    assert same(shared_pool.starmap(functions.identity, [(item,) for item in items], chunksize),
                expected)
    assert same(shared_pool.map_async(functions.identity, iter(items), chunksize).get(), expected)
    assert same(list(shared_pool.imap(functions.identity, items, chunksize or 1)), expected)
    unordered = list(shared_pool.imap_unordered(functions.identity, items, chunksize or 1))
    assert len(unordered) == len(expected)
    assert all(any(same(one, other) for other in expected) for one in unordered)


@settings(max_examples=60, deadline=None)
@given(args=st.tuples(things), kwargs=st.fixed_dictionaries({}, optional={"value": things}))
def test_apply_passes_arguments_and_raises_exceptions(shared_pool, args, kwargs):
    try:
        expected = functions.identity(*args, **kwargs)
    except TypeError as error:
        with pytest.raises(TypeError, match=str(error).replace("(", r"\(").replace(")", r"\)")):
            shared_pool.apply(functions.identity, args, kwargs)
        with pytest.raises(TypeError):
            shared_pool.apply_async(functions.identity, args, kwargs).get()
    else:
        assert same(shared_pool.apply(functions.identity, args, kwargs), expected)
        assert same(shared_pool.apply_async(functions.identity, args, kwargs).get(), expected)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 300), buffersize=st.none() | st.integers(1, 50),
       chunksize=st.integers(1, 20), ordered=st.booleans())
def test_imap_takes_no_more_of_the_iterable_than_its_buffer(shared_pool, count, buffersize,
                                                            chunksize, ordered):
    taken = []
    imap = shared_pool.imap if ordered else shared_pool.imap_unordered
    iterator = imap(functions.square, map(taken.append, ()) if count < 0 else
                    (taken.append(i) or i for i in range(count)), chunksize, buffersize=buffersize)
    results = []
    while True:
        if buffersize is not None:
            assert len(taken) - len(results) <= buffersize
        try:
            results.append(next(iterator))
        except StopIteration:
            break
    assert sorted(results) == [i * i for i in range(count)]
    assert not ordered or results == sorted(results)


def test_imap_of_an_endless_iterable_is_read_as_far_as_wanted(pool):
    squares = pool.imap(functions.square, itertools.count())
    assert list(itertools.islice(squares, 1000)) == [i * i for i in range(1000)]


def test_shared_mutable_parts_stay_shared(pool):
    inner = [1]
    result = pool.apply(functions.identity, ([inner, inner],))
    assert result[0] is result[1]
    endless = []
    endless.append(endless)
    result = pool.apply(functions.identity, (endless,))
    assert result[0] is result


@pytest.mark.parametrize("function, item, expected", [
    (functools.partial(functions.add, 3), 4, 7),
    (operator.attrgetter("year"), datetime.date(2000, 1, 1), 2000),
    (str.upper, "word", "WORD"),
    ("a,b".split, ",", ["a", "b"]),
    (math.factorial, 30, math.factorial(30)),
    (decimal.Decimal, "1.5", decimal.Decimal("1.5")),
])
def test_callables_of_all_kinds_travel(pool, function, item, expected):
    assert pool.map(function, [item] * 3) == [expected] * 3
    assert pool.apply(function, (item,)) == expected


def test_function_keeps_no_state_from_one_call_to_the_next(pool):
    for _ in range(3):
        assert min(pool.map(functions.Counter().count, range(4))) == 0


# ---- Closures ----------------------------------------------------------------

def test_closures_travel_with_cloudpickle(pool):
    pytest.importorskip("cloudpickle")
    base = 10
    assert pool.map(lambda x: x + base, range(3)) == [10, 11, 12]
    assert pool.apply(lambda function: function(2), (lambda x: x * base,)) == 20


def test_without_cloudpickle_the_error_names_it(pool, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="cloudpickle"):
        pool.map(lambda x: x, range(3))


@pytest.mark.parametrize("call", [
    lambda pool, item: pool.map(functions.square, [1, item]),
    lambda pool, item: pool.apply(functions.square, (item,)),
    lambda pool, item: pool.apply_async(functions.square, (item,)).get(),
    lambda pool, item: list(pool.imap(functions.square, [item])),
])
def test_arguments_that_cannot_be_pickled_are_told_with_a_way_out(pool, call, monkeypatch):
    with pytest.raises(TypeError, match="an argument cannot be pickled .*lock.*; let the workers"):
        call(pool, threading.Lock())
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises((AttributeError, pickle.PicklingError),
                       match="an argument cannot be pickled .*lambda.*install cloudpickle"):
        call(pool, lambda: 1)


class Stubborn(TypeError):
    """An exception of the user's, for which no other will do."""

    def __init__(self, _code, _text):
        super().__init__("stubborn")


class Unwilling:
    def __reduce__(self):
        raise Stubborn(1, "no")


def test_exceptions_of_reducers_stay_what_they_are(pool):
    with pytest.raises(Stubborn, match="^stubborn$"):
        pool.apply(functions.square, (Unwilling(),))


def test_functions_that_hold_what_cannot_be_pickled_are_named(pool):
    with pytest.raises(TypeError, match="partial.*square.* cannot be pickled .*lock"):
        pool.map(functools.partial(functions.square, threading.Lock()), [1])


def test_result_that_cannot_be_pickled_says_so(pool):
    with pytest.raises(multiprocessing.pool.MaybeEncodingError):
        pool.apply(functions.return_lambda)


# ---- Asynchronous calls ------------------------------------------------------

def test_callbacks_come_before_the_result_is_ready(pool):
    for _ in range(50):
        seen = []
        pool.apply_async(functions.square, (4,), callback=seen.append).wait()
        assert seen == [16]
        pool.map_async(functions.square, [1, 2], callback=seen.append).wait()
        assert seen == [16, [1, 4]]


def test_callbacks_come_without_anybody_waiting(pool):
    arrived = threading.Semaphore(0)
    for i in range(100):
        pool.apply_async(functions.square, (i,), callback=lambda _: arrived.release())
    for _ in range(100):
        assert arrived.acquire(timeout=60)


def test_callback_may_use_the_pool_and_may_fail(pool, monkeypatch):
    hooked = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    nested = []
    result = pool.apply_async(functions.square, (3,), callback=lambda value: nested.append(
        pool.apply(functions.square, (value,))) or 1 / 0)
    assert result.get() == 9
    assert nested == [81]
    assert [args.exc_type for args in hooked] == [ZeroDivisionError]


def test_get_times_out_and_succeeds_later(pool):
    ends = multiprocessing.Pipe()
    with forkfold.Pool(1, functions.keep, (ends[1],)) as own:
        result = own.apply_async(functions.receive)
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0.01)
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        ends[0].send("go")
        assert result.get() == "go"
        assert result.successful()


def test_many_threads_may_use_one_pool(pool):
    results = {}

    def use(number):
        results[number] = [pool.map(functions.square, range(number, number + 20), 3)
                           for _ in range(5)] + [pool.apply(functions.square, (number,))]

    threads = [threading.Thread(target=use, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        assert results[i] == [[k * k for k in range(i, i + 20)]] * 5 + [i * i]


# ---- The end -----------------------------------------------------------------

def test_join_runs_what_was_begun():
    pool = forkfold.Pool(2)
    maps = pool.map_async(functions.square, range(100), 1)
    singles = [pool.apply_async(functions.square, (i,)) for i in range(500)]
    iterator = pool.imap(functions.square, range(50))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(functions.square, (1,))
    pool.join()
    assert maps.get() == [i * i for i in range(100)]
    assert [single.get() for single in singles] == [i * i for i in range(500)]
    assert list(iterator) == [i * i for i in range(50)]


def test_terminate_ends_what_nobody_can_wait_for_any_more():
    pool = forkfold.Pool(2)
    results = [pool.apply_async(functions.die, ("hang",)) for _ in range(5)]
    results.append(pool.map_async(functions.square, range(10)))
    iterator = pool.imap(functions.die, ["hang"])
    pool.terminate()
    pool.join()
    for result in results[:5]:
        with pytest.raises(ValueError, match="terminated"):
            result.get()
    with pytest.raises(ValueError):
        next(iterator)


def test_join_before_close_is_refused(pool):
    with pytest.raises(ValueError, match="still running"):
        pool.join()


def test_pool_that_nobody_holds_is_collected():
    pool = forkfold.Pool(1)
    pool.apply_async(functions.square, (2,), callback=str).get()
    pids = [worker.pid for worker in pool._pool]
    gone = weakref.ref(pool)
    with pytest.warns(ResourceWarning, match="unclosed running"):
        del pool
        gc.collect()
    assert gone() is None
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_exceptions_and_results_are_not_kept(pool):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            pool.apply(functions.divide, (1, 0))
    value = functions.Tracked()
    gone = weakref.ref(value)
    copy = pool.map(functions.identity, [value])
    copied = weakref.ref(copy[0])
    del value, copy
    gc.collect()
    assert gone() is None and copied() is None


def use_everything(pool):
    items = [(i, {"a": i}) for i in range(300)]
    pool.map(functions.identity, items, 7)
    pool.map_async(functions.identity, items).get()
    list(pool.imap(functions.identity, items, 3))
    list(pool.imap_unordered(functions.identity, range(300)))
    for _ in range(20):
        pool.apply(functions.identity, ([1],))
        with pytest.raises(ZeroDivisionError):
            pool.apply(functions.divide, (1, 0))
    for result in [pool.apply_async(functions.identity, ([i],)) for i in range(300)]:
        result.get()


def memory_of(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Pss:"))


def test_neither_memory_nor_objects_grow_with_the_number_of_calls(pool):
    def measure():
        gc.collect()
        return [len(gc.get_objects()), memory_of("self"), *(memory_of(w.pid) for w in pool._pool)]

    for _ in range(10):
        use_everything(pool)
    before = measure()
    for _ in range(60):
        use_everything(pool)
    after = measure()
    assert after[0] <= before[0] + 100
    assert all(later < earlier + (8 << 20) for later, earlier in zip(after[1:], before[1:]))


# ---- Arguments ---------------------------------------------------------------

@pytest.mark.parametrize("call", [
    lambda: forkfold.Pool(0),
    lambda: forkfold.Pool(-1),
    lambda: forkfold.Pool(1, maxtasksperchild=0),
    lambda: forkfold.Pool(1, maxtasksperchild=1.5),
])
def test_pool_arguments_that_make_no_sense_are_refused(call):
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize("keywords", [
    {"chunksize": 0}, {"chunksize": -1}, {"timeout": 0}, {"timeout": -1}, {"deadline": math.nan},
    {"retries": -1}, {"retries": 1.5}, {"errors": "ignore"},
])
def test_call_arguments_that_make_no_sense_are_refused(pool, keywords):
    for call in (pool.map, pool.imap):
        with pytest.raises(ValueError):
            call(functions.square, [1], **keywords)
    with pytest.raises(ValueError):
        pool.imap(functions.square, [1], buffersize=0)


@pytest.mark.parametrize("call, name", [
    (lambda pool: forkfold.Pool("2"), "processes"),
    (lambda pool: forkfold.Pool(2.0), "processes"),
    (lambda pool: forkfold.Pool(1, initargs=5), "initargs"),
    (lambda pool: forkfold.Pool(1, max_deaths="3"), "max_deaths"),
    (lambda pool: forkfold.Executor("2"), "max_workers"),
    (lambda pool: pool.map(functions.square, [1], timeout="2s"), "timeout"),
    (lambda pool: pool.map(functions.square, [1], deadline="2s"), "deadline"),
    (lambda pool: pool.map(functions.square, [1], chunksize="2"), "chunksize"),
    (lambda pool: pool.imap(functions.square, [1], buffersize=1.5), "buffersize"),
    (lambda pool: pool.apply(functions.square, 5), "args"),
    (lambda pool: pool.apply_async(functions.square, (5,), callback=3), "callback"),
    (lambda pool: pool.map_async(functions.square, [5], error_callback="f"), "error_callback"),
    (lambda pool: forkfold.Executor(1).map(functions.square, [1], timeout="1"), "timeout"),
    (lambda pool: pool.map(5, [1]), "function"),
    (lambda pool: pool.imap("square", [1]), "function"),
])
def test_arguments_of_wrong_types_are_named(pool, call, name):
    with pytest.raises(TypeError, match=f"{name} must be .* not "):
        call(pool)


@pytest.mark.parametrize("call, name", [
    (lambda pool: forkfold.Pool(2**32), "processes"),
    (lambda pool: forkfold.Pool(1, max_deaths=-1), "max_deaths"),
    (lambda pool: forkfold.Pool(1, max_deaths=2**32), "max_deaths"),
    (lambda pool: forkfold.Pool(1, worker_memory=2**64), "worker_memory"),
    (lambda pool: pool.map(functions.square, [1], retries=2**32), "retries"),
    (lambda pool: forkfold.Queue(producers=2**32, pool=pool), "producers"),
    (lambda pool: forkfold.Queue(2**64, pool=pool), "capacity"),
])
def test_numbers_that_the_library_has_no_room_for_are_refused(pool, call, name):
    with pytest.raises(ValueError, match=f"{name} must be "):
        call(pool)


def test_large_chunks_are_those_of_all_items(pool):
    assert pool.map(functions.square, [1, 2], chunksize=2**70) == [1, 4]


def test_initializer_must_be_callable():
    with pytest.raises(TypeError):
        forkfold.Pool(1, initializer=5)


def test_pool_cannot_be_pickled(pool):
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)


# ---- Beyond multiprocessing --------------------------------------------------

def test_collected_errors_stand_in_their_places(pool):
    results = pool.starmap(functions.divide, [(4, 2), (1, 0), (9, 3)], errors="collect")
    assert results[0] == 2 and results[2] == 3
    assert isinstance(results[1], ZeroDivisionError)
    lazily = list(pool.imap(functions.invert, [1, 0, 2], errors="collect"))
    assert lazily[0] == 1 and lazily[2] == 0.5 and isinstance(lazily[1], ZeroDivisionError)


def test_first_error_is_that_of_the_first_item(pool):
    for _ in range(5):
        with pytest.raises(ValueError, match="'a'"):
            pool.map(int, ["1", "a", "b", "2", "c"], 1)


@pytest.mark.parametrize("call", ["imap", "imap_unordered"])
def test_imap_that_nobody_reads_is_run(tmp_path, call):
    pool = forkfold.Pool(2)
    getattr(pool, call)(functions.touch, [tmp_path / str(i) for i in range(500)])
    pool.close()
    pool.join()
    assert len(list(tmp_path.iterdir())) == 500


@pytest.mark.parametrize("limit", [0, -5, "1G", 1.5])
def test_limits_of_memory_are_numbers_of_bytes(limit):
    with pytest.raises(ValueError, match="worker_memory must be a positive number of bytes"):
        forkfold.Pool(1, worker_memory=limit)
    with pytest.raises(ValueError, match="recycle_memory must be a positive number of bytes"):
        forkfold.Pool(1, recycle_memory=limit)


def test_pool_that_was_never_opened_goes_quietly(capsys):
    with pytest.raises(TypeError):
        forkfold.Pool(context=None)
    gc.collect()
    assert capsys.readouterr().err == ""


def test_exceptions_that_are_returned_are_results(pool):
    results = pool.map(functions.return_or_raise, [1, 2], 1, errors="collect")
    assert [type(result) for result in results] == [ValueError, ValueError]
    with pytest.raises(KeyError):
        pool.map(functions.return_or_raise, [1, 2, 0, 3], 1)
    with pytest.raises(KeyError):
        pool.map_async(functions.return_or_raise, [1, 2, 0, 3], 1).get()
    assert isinstance(pool.apply(functions.return_or_raise, (1,)), ValueError)


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_progress_is_shown_on_standard_error(pool, capsys, monkeypatch, has_tqdm):
    if not has_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    elif pytest.importorskip("tqdm") is None:
        return
    assert pool.map(functions.square, range(7), progress=True) == [i * i for i in range(7)]
    assert sorted(pool.imap_unordered(functions.square, range(7), progress=True)) == \
        [i * i for i in range(7)]
    with pytest.raises(ZeroDivisionError):
        pool.map(functions.invert, [0, 1], progress=True)
    assert "7" in capsys.readouterr().err


class Text(io.StringIO):
    """Standard error that is a terminal, or not."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_lines_where_nothing_can_be_written_over(pool, monkeypatch, is_terminal):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(_progress, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(_progress, "_PERIOD_SECONDS", 0.0)
    shown = Text(is_terminal)
    monkeypatch.setattr(sys, "stderr", shown)
    pool.map(functions.square, range(3), progress=True)
    assert shown.getvalue() == (
        "\r1 of 3 items\r2 of 3 items\r3 of 3 items\r3 of 3 items\n" if is_terminal else
        "1 of 3 items\n2 of 3 items\n3 of 3 items\n3 of 3 items\n")
    monkeypatch.setattr(_progress, "_LINE_SECONDS", 1e9)
    quick = Text(False)
    monkeypatch.setattr(sys, "stderr", quick)
    list(pool.imap(functions.square, range(3), progress=True))
    assert quick.getvalue() == "3 of 3 items\n"
    monkeypatch.setattr(sys, "stderr", None)
    assert pool.map(functions.square, range(3), progress=True) == [0, 1, 4]


def test_stats_count_what_was_done(pool):
    pool.map(functions.square, range(1000))
    pool.map(functions.invert, [1, 0], errors="collect")
    stats = pool.stats()
    assert (stats.calls, stats.items, stats.errors, stats.workers) == (2, 1002, 1, 2)
    assert 0 < stats.busy_seconds and 0 < stats.wall_seconds
    assert "items=1002" in repr(stats)


def test_workers_are_replaced_after_their_share():
    with forkfold.Pool(1, maxtasksperchild=3) as pool:
        pids = pool.map(functions.pid_of, range(12), 1)
        assert len(set(pids)) == 4
        assert pool.stats().started >= 4


def test_available_cpus_is_the_default():
    with forkfold.Pool() as pool:
        assert pool._processes == forkfold.available_cpus() >= 1
        assert len(pool._pool) == pool._processes
        assert all(worker.is_alive() for worker in pool._pool)
