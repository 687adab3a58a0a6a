# SPDX-License-Identifier: Apache-2.0
"""Jobs on numbers that the C library does: sums, statistics, products of matrices, primes.

Each takes ``pool=``, a :class:`forkfold.Pool` to run on.  Without one, what needs workers opens a
pool for the call, whose workers run no Python, and the rest is done by the calling process.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import operator
import statistics as _statistics
import sys
from collections.abc import Iterator
from typing import Any

from forkfold import _arguments, _lent, _native
from forkfold.pool import Pool

# Multiplications in a product from which the workers of a pool are worth it, and from which opening
# a pool is.
_LARGE_PRODUCT = 300 ** 3
_LARGE_WITHOUT_POOL = 800 ** 3

# A limit of primes from which more than one worker is worth being forked.
_LARGE_LIMIT = 10 ** 7


# ---- Numbers -----------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Statistics:
    """What :func:`statistics` says of numbers."""

    count: int
    mean: Any
    variance: Any
    median: Any
    min: Any
    max: Any


def _as_sequence(data: Any) -> Any:
    """The same if it is a list, a tuple or a buffer; a list of anything else."""
    if isinstance(data, (list, tuple)):
        return data
    try:
        memoryview(data)
    except (TypeError, ValueError, BufferError):
        return list(data)
    return data


def _as_values(data: Any) -> Any:
    """Python's own numbers for those of a buffer, say."""
    return data.tolist() if hasattr(data, "tolist") else data


def sum(data: Any, *, pool: Pool | None = None) -> Any:
    """The sum of numbers, exact.

    Data is a sequence or an iterable of numbers, or a buffer (``array.array``, an array of numpy's,
    ...).  Integers of up to 64 bits are added exactly, whatever their sum.  Floats are added
    exactly and rounded once, as ``math.fsum`` does; OverflowError if there is no such float.
    Everything else, integers and floats mixed too, is added by the builtin ``sum``.

    The calling process adds, but for a buffer that lies in :func:`forkfold.array` of the pool.
    """
    data = _as_sequence(data)
    numbers = _native.numbers(data)
    if numbers is None:
        return builtins.sum(_as_values(data))
    return _native.sum(None if pool is None else _lent.native_of(pool), numbers)


def statistics(data: Any, *, pool: Pool | None = None) -> Statistics:
    """Count, mean, population variance, median, least and greatest of at least one number.

    Data is what :func:`sum` takes.  Of integers of up to 64 bits, and of floats, mean, variance and
    median are floats, the true values rounded once.  Of everything else they are what the module
    ``statistics`` makes of it.

    The calling process computes, but for a buffer that lies in :func:`forkfold.array` of the pool.
    """
    data = _as_sequence(data)
    if len(data) == 0:
        raise ValueError("there are no numbers, and no statistics of them")
    numbers = _native.numbers(data)
    if numbers is not None:
        native = None if pool is None else _lent.native_of(pool)
        return Statistics(*_native.statistics(native, numbers))
    values = _as_values(data)
    return Statistics(len(values), _statistics.mean(values), _statistics.pvariance(values),
                      _statistics.median(values), min(values), max(values))


# ---- Matrices ----------------------------------------------------------------

def matmul(a: Any, b: Any, *, pool: Pool | None = None) -> Any:
    """The product of two matrices: lists of rows, or arrays of numpy's.

    Lists give lists, and an array on either side an array.  Products of integers are exact: those
    of lists are Python's integers, those of arrays 64-bit ones, or objects if that is not enough.
    Products of floats are OpenBLAS's, whose sums are rounded in an order of its own.  Lists of
    anything else, integers and floats mixed too, are multiplied by Python's operators, and other
    arrays by numpy; and so are integers that OpenBLAS would round, and all where it is not there.

    ValueError if the shapes do not go together, or rows are not of one length.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and (isinstance(a, numpy.ndarray) or isinstance(b, numpy.ndarray)):
        return _multiply_arrays(numpy, numpy.asarray(a), numpy.asarray(b), pool)
    left, right = _as_rows(a), _as_rows(b)
    size = _check_shapes((len(left), len(left[0]) if left else 0),
                         (len(right), len(right[0]) if right else 0))
    product = _multiply(left, right, size, pool)
    return _multiply_rows(left, right) if product is None else product.tolist()


def _as_rows(data: Any) -> Any:
    rows = data if isinstance(data, (list, tuple)) else list(_as_values(data))
    if all(isinstance(row, (list, tuple)) for row in rows):
        return rows
    return [row if isinstance(row, (list, tuple)) else list(_as_values(row)) for row in rows]


def _check_shapes(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """How many multiplications it takes."""
    if len(left) == len(right) == 2 and left[1] == right[0]:
        return left[0] * left[1] * right[1]
    shapes = [" x ".join(map(str, shape)) or "single number" for shape in (left, right)]
    raise ValueError(f"a {shapes[0]} matrix cannot be multiplied by a {shapes[1]} one")


def _multiply(left: Any, right: Any, size: int, pool: Pool | None) -> _native.Matrix | None:
    """The product of rows or arrays; None when it is none for floating-point numbers."""
    with contextlib.ExitStack() as stack:
        native = None
        if size >= (_LARGE_WITHOUT_POOL if pool is None else _LARGE_PRODUCT):
            native = stack.enter_context(_lent.workers(pool, _native.available_cpus()))
        factors = _native.matrix(native, left), _native.matrix(native, right)
        if factors[0] is None or factors[1] is None:
            return None
        return _native.multiply(native, factors[0], factors[1])


def _multiply_rows(left: Any, right: Any) -> list[list[Any]]:
    columns = list(zip(*right))
    return [[builtins.sum(map(operator.mul, row, column)) for column in columns] for row in left]


def _multiply_arrays(numpy: Any, left: Any, right: Any, pool: Pool | None) -> Any:
    size = _check_shapes(left.shape, right.shape)
    if left.dtype.kind in "iu" and right.dtype.kind in "iu":
        return _multiply_integers(numpy, left, right, size, pool)
    kind = numpy.result_type(left, right)
    if kind not in (numpy.float64, numpy.float32):
        return left @ right
    product = _multiply(left.astype(kind, copy=False), right.astype(kind, copy=False), size, pool)
    return left @ right if product is None else numpy.asarray(product)


def _multiply_integers(numpy: Any, left: Any, right: Any, size: int, pool: Pool | None) -> Any:
    most = left.shape[1] * _greatest(left) * _greatest(right)
    product = None
    # Up to there each integer is a double.
    if most <= 2 ** 53:
        product = _multiply(left.astype(float), right.astype(float), size, pool)
    if product is not None:
        return numpy.asarray(product).astype(numpy.int64)
    if most < 2 ** 63:
        return left.astype(numpy.int64) @ right.astype(numpy.int64)
    exact = left.astype(object) @ right.astype(object)
    try:
        return exact.astype(numpy.int64)
    except OverflowError:
        return exact


def _greatest(array: Any) -> int:
    return max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0


# ---- Primes ------------------------------------------------------------------

def primes(limit: int, *, pool: Pool | None = None) -> Any:
    """The primes below a limit, in order: an array of numpy's, or a memoryview where that is not.

    Each has 32 bits up to a limit of 2**32, and 64 beyond.  MemoryError, before anything is begun,
    if that may take more memory than is available.
    """
    with _lent.workers(pool, _sieves(_as_limit(limit))) as native:
        array, size = _native.primes(native, _as_limit(limit))
    try:
        import numpy
    except ImportError:
        return memoryview(array or b"").cast("Q" if size == 8 else "I")
    kind = numpy.dtype(numpy.uint64 if size == 8 else numpy.uint32)
    return numpy.empty(0, kind) if array is None else numpy.frombuffer(array, kind)


def prime_list(limit: int, pool: Pool) -> list[int]:
    """The same as a list of Python's integers."""
    return _native.prime_list(_lent.native_of(pool), _as_limit(limit))


def count_primes(limit: int, *, pool: Pool | None = None) -> int:
    """How many primes there are below a limit."""
    with _lent.workers(pool, _sieves(_as_limit(limit))) as native:
        return _native.count_primes(native, _as_limit(limit))


def _as_limit(limit: int) -> int:
    number = _arguments.whole_number("limit", limit)
    if number >= 2 ** 64:
        raise ValueError(f"the limit of primes must be below 2**64, not {number}")
    return max(number, 0)


def _sieves(limit: int) -> int:
    return 1 if limit < _LARGE_LIMIT else _native.available_cpus()


# ---- Chunks ------------------------------------------------------------------

def chunk_size(items: int, workers: int, seconds_per_item: float = 0.0) -> int:
    """How many items a worker should take at once.

    A quarter of each worker's share, but 100 at least if there are so many for each; and what takes
    a quarter of a second at most, if it is said how long an item takes.
    """
    items = _arguments.whole_number("items", items)
    workers = _arguments.whole_number("workers", workers)
    try:
        is_time = seconds_per_item >= 0
    except TypeError:
        raise TypeError("seconds_per_item must be a number of seconds, not "
                        f"{seconds_per_item!r}") from None
    if items < 1 or workers < 1 or not is_time:
        raise ValueError(f"there is no chunk of {items} items for {workers} workers that take "
                         f"{seconds_per_item} s for each")
    return _native.chunk_size(items, workers, seconds_per_item)
