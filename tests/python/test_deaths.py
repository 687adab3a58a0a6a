# SPDX-License-Identifier: Apache-2.0
"""Workers that die in every way, in every phase: what each call makes of it."""

import contextlib
import os
import signal
import threading

import pytest

import forkfold
import functions

# how it dies: (reason, signal, exit code, attempts)
DEATHS = {
    "kill": ("signal", signal.SIGKILL, -1, 3),
    "terminate": ("signal", signal.SIGTERM, -1, 3),
    "abort": ("signal", signal.SIGABRT, -1, 3),
    "_exit": ("exit", 0, 7, 3),
    "_exit well": ("exit", 0, 0, 3),
    "sys.exit": ("exit", 0, 3, 1),
    "sys.exit words": ("exit", 0, 1, 1),
    "segfault": ("signal", signal.SIGSEGV, -1, 3),
    "overflow": ("signal", signal.SIGSEGV, -1, 3),
}
ITEMS = [("well", i) for i in range(40)]


def with_bad(how, place=17):
    items = list(ITEMS)
    items[place] = (how, place)
    return items


def assert_died(error, how, item):
    reason, number, code, attempts = DEATHS[how]
    assert isinstance(error, forkfold.WorkerDied)
    assert (error.reason, error.signal, error.exit_code, error.attempts) == \
        (reason, number, code, attempts)
    assert error.item == item
    if how in ("abort", "segfault"):
        assert "die" in error.traceback and "functions.py" in error.traceback
        assert error.backtrace.startswith("#0 ")
        assert error.traceback.splitlines()[-1] in str(error)


@pytest.mark.parametrize("how", DEATHS)
class TestDeathInTheFunction:
    def test_apply_raises_and_the_pool_goes_on(self, pool, how):
        with pytest.raises(forkfold.WorkerDied) as caught:
            pool.apply(functions.die, (how,))
        assert_died(caught.value, how, 0)
        assert pool.map(functions.square, range(100)) == [i * i for i in range(100)]

    @pytest.mark.parametrize("chunksize", [1, 7, None])
    def test_map_raises_for_the_item(self, pool, how, chunksize):
        with pytest.raises(forkfold.WorkerDied) as caught:
            pool.starmap(functions.die, with_bad(how), chunksize)
        assert_died(caught.value, how, 17)

    def test_map_collects_it_among_the_results(self, pool, how):
        results = pool.starmap(functions.die, with_bad(how), 5, errors="collect")
        assert_died(results[17], how, 17)
        del results[17]
        assert results == [i for i in range(40) if i != 17]

    def test_async_calls_raise_it_and_call_back(self, pool, how):
        errors = []
        results = [pool.apply_async(functions.die, item, error_callback=errors.append)
                   for item in with_bad(how)]
        for i, result in enumerate(results):
            if i == 17:
                with pytest.raises(forkfold.WorkerDied):
                    result.get()
                assert not result.successful()
            else:
                assert result.get() == i
        assert len(errors) == 1

    @pytest.mark.parametrize("ordered", [True, False])
    def test_imap_raises_it_in_between(self, pool, how, ordered):
        imap = pool.imap if ordered else pool.imap_unordered
        iterator = imap(functions.identity_or_die, with_bad(how), buffersize=6)
        seen, died = [], []
        while True:
            try:
                seen.append(next(iterator))
            except StopIteration:
                break
            except forkfold.WorkerDied as error:
                died.append(error)
        assert len(died) == 1
        assert_died(died[0], how, 17)
        expected = [i for i in range(40) if i != 17]
        assert (seen if ordered else sorted(seen)) == expected

    def test_future_raises_it_and_the_executor_goes_on(self, how):
        with forkfold.Executor(2) as executor:
            bad = executor.submit(functions.die, how)
            good = executor.submit(functions.square, 7)
            assert isinstance(bad.exception(), forkfold.WorkerDied)
            assert good.result() == 49


@pytest.mark.parametrize("how", [how for how in DEATHS if not how.startswith("sys")])
def test_item_that_dies_once_is_done(pool, tmp_path, how):
    items = [(str(tmp_path / "once"), how, i) for i in range(20)]
    assert pool.starmap(functions.die_once, items, 3) == list(range(20))


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_are_those_of_the_call(pool, retries):
    with pytest.raises(forkfold.WorkerDied) as caught:
        pool.apply(functions.die, ("kill",), retries=retries)
    assert caught.value.attempts == retries + 1


def test_death_while_unpickling_is_the_items(pool):
    items = [1, functions.DiesWhileUnpickled(), 3]
    results = pool.map(functions.identity, items, errors="collect")
    assert (results[0], results[2]) == (1, 3)
    assert results[1].signal == signal.SIGKILL


# Each of them gives a function one item, and returns the result.
CALLS = {
    "apply": lambda pool, function, item: pool.apply(function, (item,)),
    "apply_async": lambda pool, function, item: pool.apply_async(function, (item,)).get(),
    "apply with a timeout": lambda pool, function, item: pool.apply(function, (item,), timeout=600),
    "map": lambda pool, function, item: pool.map(function, [item])[0],
    "map_async": lambda pool, function, item: pool.map_async(function, [item]).get()[0],
    "starmap": lambda pool, function, item: pool.starmap(function, [(item,)])[0],
    "starmap_async": lambda pool, function, item: pool.starmap_async(function, [(item,)]).get()[0],
    "imap": lambda pool, function, item: next(pool.imap(function, [item])),
    "imap_unordered": lambda pool, function, item: next(pool.imap_unordered(function, [item])),
    "map that shows": lambda pool, function, item: pool.map(function, [item], progress=True)[0],
}

# When it happens: (function, item, exception, its reason and signal or exit code)
PHASES = {
    "SIGKILL in the function": (functions.die, "kill", forkfold.WorkerDied, ("signal", 9)),
    "os._exit in the function": (functions.die, "_exit", forkfold.WorkerDied, ("exit", 7)),
    "sys.exit in the function": (functions.die, "sys.exit", forkfold.WorkerDied, ("exit", 3)),
    "segmentation fault": (functions.die, "segfault", forkfold.WorkerDied, ("signal", 11)),
    "stack overflow": (functions.die, "overflow", forkfold.WorkerDied, ("signal", 11)),
    "RecursionError": (functions.die, "recursion", RecursionError, None),
    "memory bomb under a limit": (functions.die, "memory", MemoryError, None),
    "while unpickling": (functions.identity, functions.DiesWhileUnpickled(), forkfold.WorkerDied,
                         ("signal", 9)),
    "while unpickling 100 MB": (functions.identity, functions.DiesAfter100MB(),
                                forkfold.WorkerDied, ("signal", 9)),
    "while sending 100 MB": (functions.return_deadly, None, forkfold.WorkerDied, ("signal", 9)),
    "exception that cannot be unpickled": (functions.raise_not_unpickled, None,
                                           forkfold.RemoteError, None),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("phase", PHASES)
def test_every_call_tells_every_death_and_the_pool_goes_on(phase, call):
    function, item, error, reason = PHASES[phase]
    limit = 256 << 20 if phase == "memory bomb under a limit" else None
    with forkfold.Pool(1, worker_memory=limit) as pool:
        with pytest.raises(error) as caught:
            CALLS[call](pool, function, item)
        if reason is not None:
            code = caught.value.signal or caught.value.exit_code
            assert (caught.value.reason, code) == reason
        assert CALLS[call](pool, functions.square, 7) == 49


# CPython's issue 96062: the pool hangs when somebody else kills a worker.
@pytest.mark.parametrize("call", CALLS)
def test_worker_that_others_kill_in_the_function_is_replaced(tmp_path, call):
    ready = str(tmp_path / "ready")
    os.mkfifo(ready)

    def kill():
        with open(ready, encoding="ascii") as pids:
            os.kill(int(pids.read()), signal.SIGKILL)

    with forkfold.Pool(1) as pool:
        killer = threading.Thread(target=kill)
        killer.start()
        item = (ready, str(tmp_path / "once"))
        assert CALLS[call](pool, functions.wait_to_be_killed_once, item) == "alive"
        killer.join()


def test_death_between_items_costs_nothing(pool):
    for _ in range(10):
        for worker in pool._pool:
            # The one that was killed last may not have been replaced: the other did it all.
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        assert pool.map(functions.square, range(50)) == [i * i for i in range(50)]


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def test_pool_that_has_lost_its_supervisor_says_so(pool):
    supervisor = parent_of(pool._pool[0].pid)
    hanging = pool.starmap_async(functions.die, with_bad("hang"))
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(forkfold.PoolError):
        hanging.get()
    with pytest.raises(forkfold.PoolError):
        pool.map(functions.square, range(50))
    with pytest.raises(forkfold.PoolError):
        pool._pool


def test_hanging_item_is_ended_by_its_timeout(pool):
    with pytest.raises(forkfold.WorkerTimeout) as caught:
        pool.starmap(functions.die, with_bad("hang"), timeout=0.05, retries=1)
    assert (caught.value.item, caught.value.attempts) == (17, 2)
    assert isinstance(caught.value, TimeoutError)
    assert "item 17: it took longer than the timeout of 0.05 s, 2 times" in str(caught.value)


def test_deadline_ends_the_call_and_not_the_pool(pool):
    with pytest.raises(forkfold.DeadlineExceeded):
        pool.starmap(functions.die, with_bad("hang"), deadline=0.05)
    assert pool.apply(functions.square, (3,)) == 9


def test_memory_bomb_under_a_limit_is_a_memory_error():
    with forkfold.Pool(1, worker_memory=256 << 20) as pool:
        with pytest.raises(MemoryError):
            pool.apply(functions.die, ("memory",))
        assert pool.apply(functions.square, (3,)) == 9


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", ["kill", "_exit", "raise"])
def test_initializer_that_always_fails_ends_calls(how, call):
    initializer = functions.raise_not_pickled if how == "raise" else functions.die
    with forkfold.Pool(2, initializer, () if how == "raise" else (how,)) as pool:
        with pytest.raises(forkfold.PoolError) as caught:
            CALLS[call](pool, functions.square, 7)
    if how == "raise":
        assert isinstance(caught.value, forkfold.InitializerFailed)
        assert str(caught.value).startswith("the initializer of the pool failed in ")
        assert "NotPickled: words" in str(caught.value)


def test_initializer_that_fails_once_is_run_again(tmp_path):
    with forkfold.Pool(2, functions.die_once, (str(tmp_path / "once"), "kill")) as pool:
        assert pool.map(functions.square, range(10)) == [i * i for i in range(10)]


@pytest.mark.parametrize("function, text", [
    (functions.raise_not_unpickled, "1 and 2"),
    (functions.raise_not_pickled, "words"),
    (functions.raise_no_words, "NoWords"),
])
def test_exception_that_does_not_travel_arrives_as_text(pool, function, text):
    with pytest.raises(forkfold.RemoteError) as caught:
        pool.apply(function)
    assert text in str(caught.value)
    assert function.__name__ in str(caught.value.__cause__)
    assert pool.apply(functions.square, (3,)) == 9


def test_processes_end_with_the_pool(lost_children):
    pool = forkfold.Pool(3)
    pids = [worker.pid for worker in pool._pool]
    pool.starmap(functions.die, with_bad("kill"), errors="collect")
    pids += [worker.pid for worker in pool._pool]
    pool.terminate()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
