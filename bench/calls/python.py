#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times calls of the Python package, and of its peers with the same work.

usage: python bench/calls/python.py ROW LIBRARY WORKERS REPEATS [FILE]

The Python is that of `tools/python_env bench`, and the same for all libraries of a row: forkfold,
multiprocessing, executor (concurrent.futures), loky (joblib), mpire, reference (the class in
peers/python_reference.py), numpy (one copy of an array), total (see `share`).  Pools are open before
the first call, and stay open.

Prints "SECONDS DIGEST" as the programs beside this one do: see calls.h.
"""

import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import functions

sys.path.append(str(Path(__file__).resolve().parent.parent / "peers"))

context = get_context("fork")

CHEAP = 100_000
FUTURES = 20_000
SHARE = 2000
ARRAY_TASKS = 8
PRIMES_BELOW = 10**6


def digest_of_list(values):
    """Of numbers and where they stand."""
    return sum(place * hash(value) for place, value in enumerate(values, 1)) % 2**64


def digest_of_set(values):
    return sum(map(hash, values)) % 2**64


def digest_of_counts(counts):
    return sum(count * count + len(word.encode()) for word, count in counts.items()) % 2**64


def digest_of_rows(rows):
    return digest_of_list([digest_of_list(row) for row in rows])


def digest_of_array(array):
    return f"{len(array)}/{array[0]:g}/{array[-1]:g}"


# ---- Libraries: open for use, and what they call the same thing ---------------------------------


def forkfold_pool(workers):
    import forkfold
    return forkfold.Pool(workers)


def forkfold_executor(workers):
    import forkfold
    return forkfold.Executor(workers)


def loky(workers):
    from joblib import Parallel
    return Parallel(n_jobs=workers)


def loky_unordered(workers):
    from joblib import Parallel
    return Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")


def loky_single(workers):
    from joblib import Parallel
    return Parallel(n_jobs=workers, batch_size=1)


@contextmanager
def loky_executor(workers):
    from joblib.externals.loky import get_reusable_executor
    executor = get_reusable_executor(workers)
    yield executor
    executor.shutdown()


def mpire_pool(workers):
    from mpire import WorkerPool
    return WorkerPool(workers, start_method="fork", keep_alive=True)


def delayed(function, values):
    from joblib import delayed as delay
    return map(delay(function), values)


def chunk_of(count, workers):
    """As multiprocessing.Pool.map cuts it."""
    return -(-count // (4 * workers))


OPEN = {"forkfold": forkfold_pool, "multiprocessing": context.Pool,
        "executor": lambda workers: ProcessPoolExecutor(workers, context), "loky": loky,
        "mpire": mpire_pool}


def run_map(workers, repeats, library):
    values = list(range(CHEAP))
    calls = {
        "forkfold": lambda pool: pool.map(functions.cheap, values),
        "multiprocessing": lambda pool: pool.map(functions.cheap, values),
        "executor": lambda pool: list(pool.map(functions.cheap, values,
                                               chunksize=chunk_of(CHEAP, workers))),
        "loky": lambda parallel: parallel(delayed(functions.cheap, values)),
        "mpire": lambda pool: pool.map(functions.cheap, values)}
    with OPEN[library](workers) as pool:
        time_calls(repeats, lambda: calls[library](pool), digest_of_list)


def run_map_1(workers, repeats, library):
    values = list(range(CHEAP))
    calls = {
        "forkfold": lambda pool: pool.map(functions.cheap, values, 1),
        "multiprocessing": lambda pool: pool.map(functions.cheap, values, 1),
        "executor": lambda pool: list(pool.map(functions.cheap, values)),
        "loky": lambda parallel: parallel(delayed(functions.cheap, values)),
        "mpire": lambda pool: pool.map(functions.cheap, values, chunk_size=1)}
    with {**OPEN, "loky": loky_single}[library](workers) as pool:
        time_calls(repeats, lambda: calls[library](pool), digest_of_list)


def run_imap_1(workers, repeats, library):
    values = list(range(CHEAP))
    calls = {
        "forkfold": lambda pool: list(pool.imap_unordered(functions.cheap, values)),
        "multiprocessing": lambda pool: list(pool.imap_unordered(functions.cheap, values)),
        "loky": lambda parallel: list(parallel(delayed(functions.cheap, values))),
        "mpire": lambda pool: list(pool.imap_unordered(functions.cheap, values, chunk_size=1))}
    with {**OPEN, "loky": loky_unordered}[library](workers) as pool:
        time_calls(repeats, lambda: calls[library](pool), digest_of_set)


def run_futures(workers, repeats, library):
    def submit_all():
        futures = [executor.submit(functions.cheap, value) for value in range(FUTURES)]
        return [future.result() for future in futures]

    with {**OPEN, "forkfold": forkfold_executor, "loky": loky_executor}[library](workers) \
            as executor:
        time_calls(repeats, submit_all, digest_of_list)


def run_open(workers, repeats, library):
    def open_and_close():
        pool = OPEN[library](workers)
        pool.close()
        pool.join()
        return workers

    time_calls(repeats, open_and_close, int)


# ---- Arrays --------------------------------------------------------------------------------------


def time_copy(repeats, digest):
    """One memcpy of the array, to memory that was written before."""
    import numpy
    array = functions.new_array()
    target = numpy.empty_like(array)

    def copy():
        numpy.copyto(target, array)
        return target

    time_calls(repeats, copy, digest)


def run_numpy_arg(workers, repeats, library):
    def digest(values):
        return digest_of_list(values)

    if library == "numpy":
        time_copy(repeats, lambda array: digest([functions.look_at(array)] * ARRAY_TASKS))
        return
    array = functions.new_array()
    with OPEN[library](workers) as pool:
        time_calls(repeats, lambda: pool.map(functions.look_at, [array] * ARRAY_TASKS, 1), digest)


def run_numpy_result(workers, repeats, library):
    if library == "numpy":
        time_copy(repeats, digest_of_array)
        return
    with OPEN[library](workers) as pool:
        time_calls(repeats, lambda: pool.apply(functions.give_array), digest_of_array)


# ---- The share of communication -------------------------------------------------------------------


def run_share(workers, repeats, library):
    """The time of a map in which no worker was at work: of all that passed, divided among the
    workers, what the items did not take.  For `total` all that passed."""
    seconds, values = [], list(range(SHARE))
    with forkfold_pool(workers) as pool:
        pool.map(functions.take_a_millisecond, values, 1)
        for _ in range(repeats):
            begin = time.perf_counter()
            worked = pool.map(functions.take_a_millisecond, values, 1)
            total = time.perf_counter() - begin
            seconds.append(total if library == "total" else total - sum(worked) / workers)
    print(f"{statistics.median(seconds):.9f} {len(worked)}")


# ---- The class -------------------------------------------------------------------------------------


def open_processor(library, workers):
    if library == "reference":
        import python_reference
        return python_reference.Processor(workers)
    if library == "tuned":
        import python_reference
        return python_reference.TunedProcessor(workers)
    import forkfold
    return forkfold.OptimizedParallelProcessor(workers)


def run_method(library, workers, repeats, method, arguments, digest):
    with open_processor(library, workers) as processor:
        time_calls(repeats, lambda: getattr(processor, method)(*arguments), digest)


def run_primes(workers, repeats, library):
    run_method(library, workers, repeats, "parallel_find_primes", [PRIMES_BELOW], digest_of_list)


def run_matmul(size):
    def run(workers, repeats, library):
        left, right = ([[(row * size + column + seed) * 2654435761 % 201 - 100
                         for column in range(size)] for row in range(size)] for seed in (1, 2))
        run_method(library, workers, repeats, "parallel_matrix_multiply", [left, right],
                   digest_of_rows)
    return run


def run_words(workers, repeats, library):
    text = Path(sys.argv[5]).read_text(encoding="utf-8")
    run_method(library, workers, repeats, "map_reduce_word_count", [text], digest_of_counts)


def run_items(workers, repeats, library):
    run_method(library, workers, repeats, "process_data_spawn_per_item", [list(range(CHEAP))],
               digest_of_list)


def run_pipeline(workers, repeats, library):
    run_method(library, workers, repeats, "run_pipeline", [list(range(CHEAP))], digest_of_list)


def time_calls(repeats, act, digest):
    result = act()
    seconds = []
    for _ in range(repeats):
        # Freeing it is no part of the next call.
        del result
        begin = time.perf_counter()
        result = act()
        seconds.append(time.perf_counter() - begin)
    print(f"{statistics.median(seconds):.9f} {digest(result)}")


ROWS = {"open": run_open, "map": run_map, "map-1": run_map_1, "imap-1": run_imap_1,
        "futures": run_futures, "numpy-arg": run_numpy_arg, "numpy-result": run_numpy_result,
        "share": run_share, "primes": run_primes, "matmul-1500": run_matmul(1500),
        "matmul-100": run_matmul(100), "words": run_words, "items": run_items,
        "pipeline": run_pipeline}


if __name__ == "__main__":
    ROWS[sys.argv[1]](int(sys.argv[3]), int(sys.argv[4]), sys.argv[2])
