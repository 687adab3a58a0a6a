# SPDX-License-Identifier: Apache-2.0
"""The executor: futures, asyncio, and the end."""

import asyncio
import concurrent.futures
import multiprocessing
import subprocess
import sys

import pytest

import forkfold
import functions


@pytest.fixture
def executor():
    with forkfold.Executor(2) as opened:
        yield opened


def test_it_is_an_executor(executor):
    assert isinstance(executor, concurrent.futures.Executor)


def test_futures_have_results_and_exceptions(executor):
    futures = [executor.submit(functions.add, i, right=1) for i in range(3000)]
    assert [future.result() for future in futures] == list(range(1, 3001))
    failed = executor.submit(functions.divide, 1, 0)
    with pytest.raises(ZeroDivisionError) as caught:
        failed.result()
    assert "functions.py" in str(caught.value.__cause__)


def test_wait_and_as_completed_work(executor):
    futures = {executor.submit(functions.square, i): i for i in range(50)}
    for future in concurrent.futures.as_completed(futures):
        assert future.result() == futures[future] ** 2
    done, pending = concurrent.futures.wait([executor.submit(functions.square, 2)])
    assert len(done) == 1 and not pending


def test_done_callbacks_are_called(executor):
    seen = []
    future = executor.submit(functions.square, 5)
    future.add_done_callback(lambda done: seen.append(done.result()))
    future.result()
    executor.shutdown()
    assert seen == [25]


@pytest.mark.parametrize("chunksize, buffersize", [(1, None), (7, None), (1, 5), (3, 5)])
def test_map_gives_results_in_order(executor, chunksize, buffersize):
    results = executor.map(functions.add, range(100), range(100, 200), chunksize=chunksize,
                           buffersize=buffersize)
    assert list(results) == [i + i + 100 for i in range(100)]


def test_map_times_out(executor):
    results = executor.map(functions.die, ["hang"], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)


def test_map_that_nobody_reads_is_run(tmp_path):
    with forkfold.Executor(2) as executor:
        executor.map(functions.touch, [tmp_path / str(i) for i in range(50)])
    assert len(list(tmp_path.iterdir())) == 50


def test_map_that_fails_ends_the_rest(executor):
    results = executor.map(functions.die, ["recursion", "hang", "hang", "hang"])
    with pytest.raises(RecursionError):
        list(results)
    assert executor.submit(functions.square, 3).result() == 9
    results = executor.map(functions.die, ["hang", "hang", "hang"], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    assert executor.submit(functions.square, 3).result() == 9


def test_argument_that_cannot_be_pickled_fails_its_future_only(executor):
    futures = [executor.submit(functions.identity, i) for i in range(20)]
    bad = executor.submit(functions.identity, sys._getframe())
    futures += [executor.submit(functions.identity, i) for i in range(20)]
    assert isinstance(bad.exception(), TypeError)
    assert [future.result() for future in futures] == [*range(20), *range(20)]


def test_pending_futures_can_be_cancelled():
    ours, theirs = multiprocessing.Pipe()
    with forkfold.Executor(1, initializer=functions.keep, initargs=(theirs,)) as executor:
        running = [executor.submit(functions.receive) for _ in range(2)]
        later = [executor.submit(functions.square, i) for i in range(1000)]
        executor.shutdown(wait=False, cancel_futures=True)
        for _ in running:
            ours.send("go")
        assert [future.result() for future in running] == ["go", "go"]
        for i, future in enumerate(later):
            assert future.cancelled() or future.result() == i * i


def test_no_futures_after_the_end(executor):
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(functions.square, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(functions.square, [1])


def test_asyncio_runs_calls_in_it(executor):
    async def run():
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, functions.square, i) for i in range(200)]
        bad = loop.run_in_executor(executor, functions.die, "kill")
        assert await asyncio.gather(*calls) == [i * i for i in range(200)]
        with pytest.raises(forkfold.WorkerDied):
            await bad

    asyncio.run(run())


def test_interpreter_ends_when_futures_are_done(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import forkfold\n"
                       "def say(i):\n"
                       "    print(f'done {i}')\n"
                       "if __name__ == '__main__':\n"
                       "    executor = forkfold.Executor(2)\n"
                       "    for i in range(300):\n"
                       "        executor.submit(say, i)\n")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True,
                          timeout=100)
    assert sorted(done.stdout.split("\n")) == sorted([f"done {i}" for i in range(300)] + [""])
