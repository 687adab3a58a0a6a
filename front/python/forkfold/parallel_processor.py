# SPDX-License-Identifier: Apache-2.0
"""forkfold.OptimizedParallelProcessor: common jobs on numbers, matrices and texts, on one pool."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypedDict

from forkfold import _arguments, _engine, jobs
from forkfold._native import available_cpus
from forkfold.pipeline import Pipeline
from forkfold.pool import Pool
from forkfold.words import count_words

_WORDS = ("the quick brown fox jumps over lazy dog python programming parallel processing data "
          "analysis").split()


class Metrics(TypedDict):
    """How the calls of a processor went, all of them together."""

    total_time: float  #: seconds
    items_per_second: float
    cpu_utilization: float  #: 1 is every CPU that may be used, by this process and the workers


class OptimizedParallelProcessor:
    """Jobs on the workers of one pool, with results in the order of the data.

    It is a context manager, whose exit ends the workers, as cleanup() does.

    :param num_workers: processes; None for as many as there are CPUs to use
    :param timeout: seconds that an item may take in a worker; then the call raises WorkerTimeout
    :param verbose: says on standard error what each call did
    """

    def __init__(self, num_workers: int | None = None, *, timeout: float | None = None,
                 verbose: bool = False) -> None:
        self.num_workers = _arguments.workers(num_workers)
        _arguments.as_ns("timeout", timeout)
        self.timeout = timeout
        self.verbose = verbose
        self._seconds = self._cpu_seconds = 0.0
        self._items = 0
        self._pool: Pool | None = Pool(self.num_workers)

    # ---- One function of each item -------------------------------------------

    def process_single_item(self, item: Any) -> Any:
        """item * item + sin(item) * cos(item)."""
        return _process(item)

    def process_data_spawn_per_item(self, data: Iterable[Any]) -> list[Any]:
        """process_single_item() of each."""
        return self._process_all("process_data_spawn_per_item", _arguments.items("data", data))

    def process_with_file_based_ipc(self, data: Iterable[Any], chunk_size: int = 10) -> list[Any]:
        """process_single_item() of each; where it is called, a worker takes so many at once."""
        return self._process_all("process_with_file_based_ipc", _arguments.items("data", data),
                                 _arguments.at_least_one("chunk_size", chunk_size))

    def process_with_excessive_queue_ops(self, data: Iterable[Any]) -> list[Any]:
        """process_single_item() of each."""
        return self._process_all("process_with_excessive_queue_ops",
                                 _arguments.items("data", data))

    def batch_process_with_manager(self, data_batches: Iterable[Iterable[Any]]) -> list[Any]:
        """process_single_item() of each item of all batches, in one list."""
        batches = [_arguments.as_list("a batch", batch)
                   for batch in _arguments.as_list("data_batches", data_batches)]
        items = list(itertools.chain.from_iterable(batches))
        return self._process_all("batch_process_with_manager",
                                 _arguments.items("data_batches", items))

    def _process_all(self, method: str, items: list[Any],
                     chunk_size: int | None = None) -> list[Any]:
        with self._measuring(method, len(items)):
            pool = self._open_pool()
            # The same in C, if these are numbers that C computes with as Python does.
            results = pool._engine.native.curve(items)
            if results is None:
                results = pool.map(_process, items, chunk_size, timeout=self.timeout)
            return results

    def run_pipeline(self, data: Iterable[Any]) -> list[Any]:
        """((x * 2) + 10) ** 2 of each, in three stages."""
        items = _arguments.items("data", data)
        with self._measuring("run_pipeline", len(items)):
            stages = Pipeline(_double, _add_ten, _square, timeout=self.timeout)
            return list(stages.run(items, pool=self._open_pool()))

    # ---- Jobs ----------------------------------------------------------------

    def compute_statistics_sequential(self, data: Iterable[Any]) -> dict[str, Any]:
        """The mean, the variance of the population and the median."""
        items = _arguments.items("data", data)
        with self._measuring("compute_statistics_sequential", len(items)):
            count = len(items)
            mean = sum(items) / count
            variance = sum((item - mean) ** 2 for item in items) / count
            ordered = sorted(items)
            median = ordered[count // 2]
            if count % 2 == 0:
                median = (ordered[count // 2 - 1] + median) / 2
            return {"mean": mean, "variance": variance, "median": median}

    def parallel_sum_spawn_many(self, data: Any, chunk_size: int = 5) -> Any:
        """The sum: of a list by the builtin, which is done before others could be handed a part,
        whatever the chunk_size; of an array by forkfold.sum()."""
        _arguments.at_least_one("chunk_size", chunk_size)
        is_array = hasattr(data, "tolist")
        numbers = data if is_array else _arguments.as_list("data", data)
        _arguments.not_empty("data", numbers)
        with self._measuring("parallel_sum_spawn_many", len(numbers)):
            return jobs.sum(numbers, pool=self._open_pool()) if is_array else sum(numbers)

    def parallel_matrix_multiply(self, A: Any, B: Any) -> Any:
        """The product of two matrices: lists of rows, or arrays."""
        left, right = _matrix("A", A), _matrix("B", B)
        with self._measuring("parallel_matrix_multiply", len(left)):
            return jobs.matmul(left, right, pool=self._open_pool())

    def map_reduce_word_count(self, text: str, chunk_size: int = 100) -> dict[str, int]:
        """How often each word occurs, by the rule "letters", most frequent words first."""
        _arguments.at_least_one("chunk_size", chunk_size)
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {text!r}")
        with self._measuring("map_reduce_word_count", len(text)):
            pool = self._open_pool()
            # A surrogate, which is not UTF-8, is no letter, and "?" is none either.
            encoded: Any = pool._engine.native.encode(text, "replace")
            counts = count_words(text=encoded, timeout=self.timeout, pool=pool)
            # After a failure a worker may still be reading it.
            pool._engine.native.spare(encoded)
            return counts.to_dict()

    def parallel_find_primes(self, limit: int) -> list[int]:
        """The primes below limit, in order, by the sieve."""
        limit = _arguments.whole_number("limit", limit)
        with self._measuring("parallel_find_primes", max(0, limit)):
            return jobs.prime_list(limit, self._open_pool())

    # ---- The pool ------------------------------------------------------------

    def _open_pool(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(self.num_workers)
        return self._pool

    def cleanup(self) -> None:
        """Ends the workers; the next call that needs some starts others."""
        pool, self._pool = self._pool, None
        if pool is not None:
            _end(pool)

    def __enter__(self) -> OptimizedParallelProcessor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.cleanup()

    # ---- How it went ---------------------------------------------------------

    @property
    def metrics(self) -> Metrics:
        """Of all calls so far."""
        seconds = self._seconds
        return {"total_time": seconds,
                "items_per_second": self._items / seconds if seconds else 0.0,
                "cpu_utilization": self._cpu_seconds / (seconds * available_cpus())
                                   if seconds else 0.0}

    def _used_cpu(self) -> float:
        """By this process and the workers that are there."""
        workers = 0 if self._pool is None else self._pool._engine.native.cpu_ns
        return time.process_time() + workers / 1e9

    @contextmanager
    def _measuring(self, method: str, items: int) -> Iterator[None]:
        begin, cpu_begin = time.perf_counter(), self._used_cpu()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            self._seconds += seconds
            # Less if a worker died that had used more.
            self._cpu_seconds += max(0.0, self._used_cpu() - cpu_begin)
            self._items += items
            if self.verbose:
                print(f"{method}: {items} items in {seconds:.6f} s", file=sys.stderr)


UnoptimizedParallelProcessor = OptimizedParallelProcessor


def _end(pool: Pool) -> None:
    """Closes and joins the pool; terminates and joins it if that fails, or is interrupted."""
    try:
        pool.close()
        pool.join()
    except BaseException as error:
        pool.terminate()
        pool.join()
        if not isinstance(error, Exception):
            raise


def _matrix(name: str, matrix: Any) -> Any:
    """A list of rows, or an array, with numbers in it; the product finds out about all else."""
    rows = matrix if hasattr(matrix, "shape") else _arguments.as_list(name, matrix)
    _arguments.not_empty(name, rows)
    for row in rows:
        if not hasattr(row, "__len__"):
            raise TypeError(f"a row of {name} must be a list, not {row!r}")
        _arguments.not_empty(name, row)
    return rows


def _process(item: Any) -> Any:
    return item * item + math.sin(item) * math.cos(item)


def _double(number: Any) -> Any:
    return number * 2


def _add_ten(number: Any) -> Any:
    return number + 10


def _square(number: Any) -> Any:
    return number ** 2


# ---- Data for tests ----------------------------------------------------------

def generate_test_data(size: int) -> list[int]:
    """The numbers from 1 to size."""
    return list(range(1, size + 1))


def generate_test_matrix(rows: int, cols: int) -> list[list[int]]:
    """(i + 1) * (j + 1) in row i and column j."""
    return [[(i + 1) * (j + 1) for j in range(cols)] for i in range(rows)]


def generate_test_text(word_count: int) -> str:
    """So many words, which come again and again."""
    return " ".join(itertools.islice(itertools.cycle(_WORDS), word_count))
