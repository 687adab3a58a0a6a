# SPDX-License-Identifier: Apache-2.0
"""The process that opens a pool: its signals, threads, children, output, and its end."""

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest

import forkfold
import functions

# In the subprocesses: a pool whose workers hold the write end of a pipe, so that its end of file says
# that all of them are gone.
PRELUDE = """
import os, signal, sys, threading
import forkfold
def square(value):
    return value * value
def hang(ready=None):
    os.write(1, b"hanging\\n")
    while True:
        signal.pause()
"""


def start(program, **options):
    return subprocess.Popen([sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(program, **options):
    process = start(program, **options)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def assert_all_gone(process):
    """Its standard output has no writer any more: neither it nor any worker."""
    assert select.select([process.stdout], [], [], 60)[0]
    assert process.stdout.read() == ""


# ---- The end of the host -----------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_workers_do_not_outlive_a_killed_parent(number):
    process = start("""
        pool = forkfold.Pool(2)
        results = [pool.apply_async(hang) for _ in range(2)]
        results[0].get()
        """)
    with process:
        assert [process.stdout.readline() for _ in range(2)] == ["hanging\n"] * 2
        process.send_signal(number)
        process.wait(timeout=60)
        assert_all_gone(process)


@pytest.mark.parametrize("ending", [
    "", "sys.exit(0)", "pool.apply_async(hang, callback=print); sys.stdin.read(0)",
    "iterator = pool.imap(square, range(10)); next(iterator)",
    "pool.map_async(square, range(1000), callback=len)",
    "executor = forkfold.Executor(1); executor.submit(square, 2)",
])
def test_interpreter_ends_with_an_open_pool(ending):
    code, _, err = finish(f"""
        pool = forkfold.Pool(2)
        pool.map(square, range(10))
        {ending}
        """)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("wait", [
    "pool.apply(hang)", "pool.map(hang, range(2))", "pool.apply_async(hang).get()",
    "next(pool.imap(hang, range(2)))", "pool.map_async(hang, range(2)).wait(1000)",
    "forkfold.Executor(1).submit(hang).result()",
    "pool.apply_async(hang, callback=print).get()",
    "pool.apply_async(hang); pool.close(); pool.join()",
])
def test_ctrl_c_interrupts_every_wait(wait):
    process = start(f"""
        pool = forkfold.Pool(2)
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        pool.terminate()
        print("ended", flush=True)
        os._exit(0)
        """, start_new_session=True)
    with process:
        assert process.stdout.readline() == "hanging\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert out.replace("hanging\n", "") == "interrupted\nended\n"
    assert (process.returncode, err) == (0, "")


# ---- Forks and threads -------------------------------------------------------

def test_child_of_the_host_cannot_use_the_pool():
    code, out, err = finish("""
        pool = forkfold.Pool(1)
        child = os.fork()
        if child == 0:
            for call in (lambda: pool.apply(square, (2,)), lambda: pool.map(square, [1]),
                         lambda: list(pool.imap(square, [1]))):
                try:
                    call()
                except forkfold.PoolError as error:
                    print(error.code, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(pool.apply(square, (2,)))
        """)
    assert (code, out, err) == (0, "-6\n-6\n-6\n4\n", "")


def test_pool_is_opened_and_used_in_another_thread():
    code, out, err = finish("""
        def use():
            with forkfold.Pool(2) as pool:
                print(pool.map(square, range(5)), threading.current_thread() is
                      threading.main_thread(), pool.apply(threading.active_count))
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        """)
    assert (code, out, err) == (0, "[0, 1, 4, 9, 16] False 1\n", "")


def test_replacements_are_born_while_the_host_has_threads():
    code, out, err = finish("""
        pool = forkfold.Pool(2)
        stop = threading.Event()
        threads = [threading.Thread(target=stop.wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        def die_or_square(value):
            return value * value
        for round in range(5):
            for worker in pool._pool:
                try:
                    os.kill(worker.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it is the one that the last round has killed
            assert pool.map(square, range(20)) == [i * i for i in range(20)]
        stop.set()
        print("well")
        """)
    assert (code, out, err) == (0, "well\n", "")


def test_pools_live_side_by_side():
    with forkfold.Pool(1) as one, forkfold.Pool(2) as two:
        results = [pool.map_async(functions.square, range(20)) for pool in (one, two, one, two)]
        assert [result.get() for result in results] == [[i * i for i in range(20)]] * 4
        one.terminate()
        assert two.apply(functions.square, (4,)) == 16


def test_threads_in_workers_run_between_items():
    code, out, err = finish("""
        import queue
        done = queue.SimpleQueue()
        def begin():
            threading.Thread(target=lambda: os.write(1, b"ran\\n"), daemon=True).start()
        with forkfold.Pool(1) as pool:
            pool.apply(begin)
            os.write(1, b"begun\\n")
            for _ in range(1000):
                pool.apply(square, (1,))
        """)
    assert (code, sorted(out.split()), err) == (0, ["begun", "ran"], "")


# ---- What workers are --------------------------------------------------------

def test_what_functions_print_appears():
    code, out, err = finish("""
        def say(i):
            print("item", i, end=";")
            print("error", i, end=";", file=sys.stderr)
        if __name__ == "__main__":
            print("before", end=";")
            with forkfold.Pool(1) as pool:
                pool.map(say, range(3))
                pool.map(say, [3])
        """)
    assert code == 0
    assert out == "before;item 0;item 1;item 2;item 3;"
    assert err == "error 0;error 1;error 2;error 3;"


def test_worker_looks_like_one_of_multiprocessing(pool):
    name, daemon, parent = pool.apply(functions.describe_process)
    assert name.startswith("ForkfoldWorker-") and daemon and parent


def test_multiprocessing_objects_reach_workers_by_inheritance():
    code, out, err = finish("""
        import multiprocessing
        queue, lock = multiprocessing.SimpleQueue(), multiprocessing.Lock()
        number = multiprocessing.Value("i", 0)
        def put(i):
            with lock:
                number.value += i
            queue.put(i)
        with forkfold.Pool(2) as pool:
            pool.map(put, range(10))
            print(sorted(queue.get() for _ in range(10)), number.value)
        """)
    assert (code, out, err) == (0, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] 45\n", "")


def test_random_numbers_differ_between_workers(pool):
    assert len(set(pool.map(functions.random_number, range(2), 1)
                   + [functions.random_number(0)])) == 3


def test_signals_of_workers_do_not_reach_the_hosts_handlers():
    code, out, err = finish("""
        handled = []
        signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        def send():
            signal.raise_signal(signal.SIGUSR1)
        with forkfold.Pool(1) as pool:
            try:
                pool.apply(send, retries=0)
            except forkfold.WorkerDied as error:
                print(error.signal == signal.SIGUSR1, handled)
            signal.set_wakeup_fd(-1)
            os.set_blocking(reading, False)
            try:
                print(os.read(reading, 10))
            except BlockingIOError:
                print("nothing")
        """)
    assert (code, out, err) == (0, "True []\nnothing\n", "")


def test_function_of_main_defined_after_the_open_names_the_ways_out():
    code, out, err = finish("""
        sys.modules["cloudpickle"] = None
        pool = forkfold.Pool(1)
        def late(value):
            return value
        try:
            pool.map(late, [1])
        except Exception as error:
            print(error)
        """)
    assert (code, err) == (0, "")
    assert "after the pool was opened" in out and "cloudpickle" in out and "open a new pool" in out


def test_function_of_main_that_was_defined_anew_is_the_new_one():
    pytest.importorskip("cloudpickle")
    code, out, err = finish("""
        def twice(value):
            return value + value
        pool = forkfold.Pool(1)
        print(pool.apply(twice, (4,)))
        def twice(value):
            return "twice"
        print(pool.apply(twice, (4,)))
        """)
    assert (code, out, err) == (0, "8\ntwice\n", "")
