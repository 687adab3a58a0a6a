# SPDX-License-Identifier: Apache-2.0
"""forkfold.Pool: the interface of multiprocessing.Pool, on workers that may die."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar

from multiprocessing import TimeoutError as WaitTimeout

from forkfold import _arguments, _engine, _errors, _native
from forkfold._arguments import RETRIES, Errors, Options
from forkfold._progress import Progress, no_progress

T = TypeVar("T")
S = TypeVar("S")

_RUN, _CLOSE, _TERMINATE = "RUN", "CLOSE", "TERMINATE"

# How many items an imap has in progress when nobody says: from so many chunks for each worker, up to
# so many items while they turn out to be quick.
_CHUNKS_PER_WORKER = 4
_BUFFER_MOST = 4096
_QUICK_SECONDS = 0.05


def _check_chunksize(chunksize: int | None) -> int:
    if chunksize is None:
        return 0
    number = _arguments.whole_number("chunksize", chunksize)
    if number < 1:
        raise ValueError(f"Chunksize must be 1+, not {number:n}")
    return min(number, _arguments.LARGE_MOST)


def _as_arguments(name: str, args: Iterable[Any]) -> tuple[Any, ...]:
    try:
        iterator = iter(args)
    except TypeError:
        raise TypeError(f"{name} must be the arguments in a tuple, (x,) if it is one, not "
                        f"{args!r}") from None
    return tuple(iterator)


def check_pool(pool: object) -> None:
    """TypeError unless it is a pool."""
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a forkfold.Pool, not {pool!r}")


# ---- Results -----------------------------------------------------------------

class AsyncResult(Generic[T]):
    """What becomes of an asynchronous call."""

    def __init__(self, pool: Pool, callback: Callable[[T], object] | None,
                 error_callback: Callable[[BaseException], object] | None) -> None:
        _arguments.callback("callback", callback)
        _arguments.callback("error_callback", error_callback)
        self._pool: Pool | None = pool
        self._engine = pool._engine
        self._callback = callback
        self._error_callback = error_callback
        self._is_ready = False
        self._success = False
        self._value: Any = None

    def ready(self) -> bool:
        """Whether the call is over."""
        if not self._is_ready and self._engine.jobs:
            self._engine.native.dispatch()
            self._engine.look()
        return self._is_ready

    def successful(self) -> bool:
        """Whether it went without an exception; ValueError if it is not over."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the call is over, or for so many seconds."""
        if not self._is_ready:
            self._engine.drive(self._get_ready, timeout)

    def get(self, timeout: float | None = None) -> T:
        """The result, or its exception is raised; TimeoutError after so many seconds."""
        self.wait(timeout)
        if not self._is_ready:
            raise WaitTimeout
        if self._success:
            value: T = self._value
            return value
        raise self._value

    def _get_ready(self) -> bool:
        return self._is_ready

    # Of the engine's Outcome.
    def begin(self) -> bool:
        """It cannot be taken back at any time."""
        return True

    def settle(self, value: Any, is_error: bool) -> None:
        """The call is over."""
        self._value = value
        self._success = not is_error
        callback = self._error_callback if is_error else self._callback
        self._callback = self._error_callback = None
        if callback is not None:
            try:
                callback(value)
            except Exception as error:  # pylint: disable=broad-except
                threading.excepthook(threading.ExceptHookArgs(
                    (type(error), error, error.__traceback__, threading.current_thread())))
        self._is_ready = True
        self._pool = None
        self._engine.native.notify()


ApplyResult = AsyncResult


class MapResult(AsyncResult[list[T]]):
    """What becomes of map_async and starmap_async."""

    def __init__(self, pool: Pool, call: _native.Call, collects: bool,
                 callback: Callable[[list[T]], object] | None,
                 error_callback: Callable[[BaseException], object] | None) -> None:
        super().__init__(pool, callback, error_callback)
        self._call: _native.Call | None = call
        self._collects = collects
        self._engine.jobs[id(self)] = self

    def look(self) -> None:
        """Settles the call if it is over."""
        call = self._call
        if call is None or not call.done() or self._engine.jobs.pop(id(self), None) is None:
            return
        self._call = None
        try:
            values, raised = self._engine.read(call)
        except Exception as error:  # pylint: disable=broad-except
            self.settle(error, True)
            return
        if raised and not self._collects:
            self.settle(values[raised[0]], True)
        else:
            self.settle(values, False)

    def give_up(self, error: Exception) -> None:
        """It will never be over."""
        self._call = None
        self.settle(error, True)


# Of an imap: the number of an item, its result, or its exception, and whether it is one.  An exception
# that is not an item's has the number -1.
_Taken = tuple[int, Any, bool]
_OVER: _Taken = (-1, None, False)


class IMapIterator(Iterator[T]):
    """Results while they come.  The iterable is advanced when results are asked for."""

    def __init__(self, pool: Pool, kind: int, mode: int, function: Callable[..., T],
                 iterable: Iterable[Any], chunksize: int, buffersize: int | None,
                 options: Options, collects: bool, progress: Progress) -> None:
        self._pool = pool
        self._engine = pool._engine
        self._kind = kind
        self._mode = mode
        self._function = self._engine.dump_function(function)
        self._iterator: Iterator[Any] | None = iter(iterable)
        self._chunksize = chunksize
        self._least = _CHUNKS_PER_WORKER * self._engine.workers * chunksize
        self._grows = buffersize is None
        self._window = self._least if buffersize is None else buffersize
        self._options = options
        self._collects = collects
        self._progress = progress
        self._calls: deque[_native.Call] = deque()
        self._begun = 0
        self._pending = 0
        self._filled_at = 0.0
        self._error: BaseException | None = None
        self._buffered: deque[_Taken] = deque()
        # Of what was given last.
        self._number = -1
        self._is_error = False

    def __iter__(self) -> IMapIterator[T]:
        return self

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """The next result; TimeoutError after so many seconds."""
        taken = self._buffered.popleft() if self._buffered else None
        if taken is None:
            self._pool._unread.discard(self)
            if self._iterator is not None and 2 * self._pending <= self._window:
                self._fill()
            taken = self._take()
            if taken is None:
                if not self._engine.drive(self._has_taken, timeout):
                    raise WaitTimeout
                taken = self._buffered.popleft()
        if taken is _OVER:
            self._progress.close()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            raise StopIteration
        self._progress.step()
        self._number, value, self._is_error = taken
        if self._is_error and not self._collects:
            raise value
        result: T = value
        return result

    def _has_taken(self) -> bool:
        if not self._buffered:
            taken = self._take()
            if taken is not None:
                self._buffered.append(taken)
        return bool(self._buffered)

    def _take(self) -> _Taken | None:
        """The next result, or the end; None when there is none yet."""
        calls = self._calls
        ordered = self._kind == _engine.IMAP
        position = 0
        while position < len(calls):
            call = calls[position]
            try:
                taken = call.take()
            except Exception as error:  # pylint: disable=broad-except
                self._stop()
                return -1, self._engine.describe(error), True
            if taken is False:
                self._engine.busy_ns += call.busy_ns
                del calls[position]
            elif taken is not None:
                self._pending -= 1
                if taken[2]:
                    self._engine.counts["errors"] += 1
                return taken
            elif ordered:
                return None
            else:
                position += 1
        if calls:
            return None
        if self._iterator is not None:
            self._fill()
            return self._take() if self._calls else _OVER
        return _OVER

    def _stop(self) -> None:
        """Ends what is in progress, and begins nothing more."""
        self._calls.clear()
        self._iterator = None

    def _fill(self) -> None:
        """Takes as many items of the iterable as may be in progress."""
        now = time.monotonic()
        if self._grows and self._calls and now - self._filled_at < _QUICK_SECONDS:
            self._window = max(self._least, min(2 * self._window, _BUFFER_MOST))
        self._filled_at = now
        items = self._draw(max(1, self._window - self._pending))
        if items:
            self._calls.append(self._engine.begin(self._kind, self._mode, self._function, items,
                                                  self._chunksize, self._options, self._begun))
            self._begun += len(items)
            self._pending += len(items)

    def _draw(self, count: int) -> list[Any]:
        items: list[Any] = []
        iterator = self._iterator
        if iterator is None:
            return items
        try:
            for item in iterator:
                items.append(item)
                if len(items) >= count:
                    return items
        except BaseException as error:  # pylint: disable=broad-except
            # As if the chunk that it was to be in had never been begun.
            del items[len(items) - len(items) % self._chunksize:]
            self._error = error
        self._iterator = None
        return items

    def _drain(self) -> None:
        """Runs all the rest, and keeps the results."""
        while True:
            self._engine.drive(self._is_drained)
            if self._buffered and self._buffered[-1] is _OVER:
                return

    def _is_drained(self) -> bool:
        if self._buffered and self._buffered[-1] is _OVER:
            return True
        taken = self._take()
        while taken is not None:
            self._buffered.append(taken)
            if taken is _OVER:
                return True
            taken = self._take()
        return False


# ---- The pool ----------------------------------------------------------------

class PoolStats:
    """What a pool has done so far."""

    __slots__ = ("busy_seconds", "calls", "errors", "items", "started", "wall_seconds", "workers")

    def __init__(self, workers: int, started: int, calls: int, items: int, errors: int,
                 busy_seconds: float, wall_seconds: float) -> None:
        self.workers = workers
        self.started = started
        self.calls = calls
        self.items = items
        self.errors = errors
        self.busy_seconds = busy_seconds
        self.wall_seconds = wall_seconds

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"PoolStats({fields})"


class _Worker:
    """What code that looks into multiprocessing.Pool wants to know of a worker."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def is_alive(self) -> bool:
        """Whether the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Pool:
    """Processes that run functions.

    The interface is that of :class:`multiprocessing.pool.Pool`, and what is said there holds here.
    Beyond it, each call takes keywords:

    :param timeout: seconds that an item may take; then its worker is killed
    :param deadline: seconds that the whole call may take; then it raises DeadlineExceeded
    :param retries: how often an item is tried again after its worker died
    :param errors: ``"raise"``, or ``"collect"``: exceptions stand among the results
    :param progress: shows how far the call is, with tqdm where that is installed
    """

    _state = _TERMINATE  # until it has been opened

    def __init__(self, processes: int | None = None,
                 initializer: Callable[..., object] | None = None,
                 initargs: Iterable[Any] = (), maxtasksperchild: int | None = None, *,
                 worker_memory: int | None = None, recycle_memory: int | None = None,
                 max_deaths: int | None = None) -> None:
        processes = _arguments.processes(processes)
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int)
                                             or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None, not "
                             f"{maxtasksperchild!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, not {initializer!r}")
        deaths = 0 if max_deaths is None else \
            _arguments.at_least_one("max_deaths", max_deaths, _arguments.COUNT_MOST)
        limits = (_arguments.byte_count("worker_memory", worker_memory),
                  _arguments.byte_count("recycle_memory", recycle_memory))
        self._processes = processes
        self._opened_at = time.monotonic()
        self._engine = _engine.Engine(processes, initializer, _as_arguments("initargs", initargs),
                                      min(maxtasksperchild or 0, _arguments.LARGE_MOST), *limits,
                                      deaths)
        self._imaps: weakref.WeakSet[IMapIterator[Any]] = weakref.WeakSet()
        # Whoever does not even begin to read the results wants the items run all the same.
        self._unread: set[IMapIterator[Any]] = set()
        self._state = _RUN
        global _newest  # pylint: disable=global-statement
        _newest = weakref.ref(self)

    # ---- One call ------------------------------------------------------------

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (),
              kwds: Mapping[str, Any] | None = None, *, timeout: float | None = None,
              deadline: float | None = None, retries: int = RETRIES) -> T:
        """The result of func(*args, **kwds), run in a worker."""
        values, errors = self._engine.run(
            [self._begin_apply(func, args, kwds, Options(timeout, deadline, retries))])
        if errors:
            raise values[0]
        value: T = values[0]
        return value

    def apply_async(self, func: Callable[..., T], args: Iterable[Any] = (),
                    kwds: Mapping[str, Any] | None = None,
                    callback: Callable[[T], object] | None = None,
                    error_callback: Callable[[BaseException], object] | None = None, *,
                    timeout: float | None = None, deadline: float | None = None,
                    retries: int = RETRIES) -> AsyncResult[T]:
        """The same without waiting.  Callbacks are called in whichever thread comes to it."""
        self._check_running()
        result = AsyncResult(self, callback, error_callback)
        if timeout is None and deadline is None and retries == RETRIES:
            self._engine.singles.put(self._engine.dump_function(func),
                                     _as_arguments("args", args), dict(kwds or {}), result)
        else:
            options = Options(timeout, deadline, retries)
            _One(self._engine, self._begin_apply(func, args, kwds, options), result)
        if callback is not None or error_callback is not None:
            self._engine.want_help()
        return result

    def _begin_apply(self, func: Callable[..., Any], args: Iterable[Any],
                     kwds: Mapping[str, Any] | None, options: Options) -> _native.Call:
        self._check_running()
        function = self._engine.dump_function(func)
        item = (function[0], function[1], _as_arguments("args", args),
                dict(kwds) if kwds else None)
        return self._engine.begin(_engine.MAP, _engine.APPLY, (b"", True), [item], 1, options)

    # ---- All at once ---------------------------------------------------------

    def map(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None, *,
            timeout: float | None = None, deadline: float | None = None, retries: int = RETRIES,
            errors: Errors = "raise", progress: bool = False) -> list[T]:
        """[func(item) for item in iterable], run in workers."""
        return self._map(_engine.CALL, func, iterable, chunksize,
                         Options(timeout, deadline, retries), errors, progress)

    def starmap(self, func: Callable[..., T], iterable: Iterable[Iterable[Any]],
                chunksize: int | None = None, *, timeout: float | None = None,
                deadline: float | None = None, retries: int = RETRIES, errors: Errors = "raise",
                progress: bool = False) -> list[T]:
        """[func(*item) for item in iterable], run in workers."""
        return self._map(_engine.STAR, func, iterable, chunksize,
                         Options(timeout, deadline, retries), errors, progress)

    def _map(self, mode: int, func: Callable[..., T], iterable: Iterable[Any],
             chunksize: int | None, options: Options, errors: str,
             progress: bool) -> list[T]:
        collects = _arguments.collects(errors)
        if progress:
            items = list(iterable)
            return self._map_showing(mode, func, items, self._chunk(chunksize, len(items)),
                                     options, collects)
        self._check_running()
        items = iterable if type(iterable) is list else list(iterable)
        values, raised = self._engine.run(self._engine.begin_parts(
            mode, self._engine.dump_function(func), items, _check_chunksize(chunksize), options))
        if raised and not collects:
            raise values[raised[0]]
        result: list[T] = values
        return result

    def _keep(self, iterator: IMapIterator[Any]) -> None:
        """Has join() wait for it, and for one that nobody reads, whether its caller has it or not."""
        self._imaps.add(iterator)
        self._unread.add(iterator)

    def _begin_map(self, mode: int, func: Callable[..., Any], iterable: Iterable[Any],
                   chunksize: int | None, options: Options) -> _native.Call:
        self._check_running()
        items = iterable if type(iterable) is list else list(iterable)
        return self._engine.begin(_engine.MAP, mode, self._engine.dump_function(func), items,
                                  _check_chunksize(chunksize), options)

    def _chunk(self, chunksize: int | None, items: int) -> int:
        return _check_chunksize(chunksize) or max(1, _native.chunk_size(items, self._processes, 0))

    def _map_showing(self, mode: int, func: Callable[..., T], items: list[Any], chunksize: int,
                     options: Options, collects: bool) -> list[T]:
        """One result at a time, to see how far it is."""
        self._check_running()
        results: list[Any] = [None] * len(items)
        errors = []
        call = self._engine.begin(_engine.IMAP_UNORDERED, mode, self._engine.dump_function(func),
                                  items, chunksize, options)
        taken: list[Any] = [None]

        def has_taken() -> bool:
            try:
                taken[0] = call.take()
            except (_errors.PoolError, ValueError) as error:
                raise self._engine.describe(error) from None
            return taken[0] is not None

        with Progress(len(items)) as shown:
            while self._engine.drive(has_taken) and taken[0] is not False:
                index, results[index], is_error = taken[0]
                if is_error:
                    errors.append(index)
                shown.step()
        self._engine.counts["errors"] += len(errors)
        self._engine.busy_ns += call.busy_ns
        if errors and not collects:
            raise results[min(errors)]
        return results

    def map_async(self, func: Callable[[S], T], iterable: Iterable[S],
                  chunksize: int | None = None, callback: Callable[[list[T]], object] | None = None,
                  error_callback: Callable[[BaseException], object] | None = None, *,
                  timeout: float | None = None, deadline: float | None = None,
                  retries: int = RETRIES, errors: Errors = "raise") -> MapResult[T]:
        """map() without waiting."""
        return self._map_async(_engine.CALL, func, iterable, chunksize, callback, error_callback,
                               Options(timeout, deadline, retries), errors)

    def starmap_async(self, func: Callable[..., T], iterable: Iterable[Iterable[Any]],
                      chunksize: int | None = None,
                      callback: Callable[[list[T]], object] | None = None,
                      error_callback: Callable[[BaseException], object] | None = None, *,
                      timeout: float | None = None, deadline: float | None = None,
                      retries: int = RETRIES, errors: Errors = "raise") -> MapResult[T]:
        """starmap() without waiting."""
        return self._map_async(_engine.STAR, func, iterable, chunksize, callback, error_callback,
                               Options(timeout, deadline, retries), errors)

    def _map_async(self, mode: int, func: Callable[..., T], iterable: Iterable[Any],
                   chunksize: int | None, callback: Callable[[list[T]], object] | None,
                   error_callback: Callable[[BaseException], object] | None,
                   options: Options, errors: str) -> MapResult[T]:
        collects = _arguments.collects(errors)
        call = self._begin_map(mode, func, iterable, chunksize, options)
        result: MapResult[T] = MapResult(self, call, collects, callback, error_callback)
        if callback is not None or error_callback is not None:
            self._engine.want_help()
        return result

    # ---- As they come --------------------------------------------------------

    def imap(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int = 1, *,
             buffersize: int | None = None, timeout: float | None = None,
             deadline: float | None = None, retries: int = RETRIES, errors: Errors = "raise",
             progress: bool = False) -> IMapIterator[T]:
        """An iterator over the results in the order of the items.

        At most buffersize items have been taken from the iterable whose results have not been
        asked for, rounded up to chunks; without a number as many as keep the workers busy.  The
        deadline is that of each batch of items.
        """
        return self._imap(_engine.IMAP, func, iterable, chunksize, buffersize,
                          Options(timeout, deadline, retries), errors, progress)

    def imap_unordered(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int = 1, *,
                       buffersize: int | None = None, timeout: float | None = None,
                       deadline: float | None = None, retries: int = RETRIES,
                       errors: Errors = "raise", progress: bool = False) -> IMapIterator[T]:
        """The same with the results as they come."""
        return self._imap(_engine.IMAP_UNORDERED, func, iterable, chunksize, buffersize,
                          Options(timeout, deadline, retries), errors, progress)

    def _imap(self, kind: int, func: Callable[..., T], iterable: Iterable[Any], chunksize: int,
              buffersize: int | None, options: Options, errors: str,
              progress: bool) -> IMapIterator[T]:
        self._check_running()
        if buffersize is not None:
            buffersize = _arguments.at_least_one("buffersize", buffersize)
        length = getattr(iterable, "__len__", None)
        shown = Progress(length() if length is not None else None) if progress else no_progress
        iterator: IMapIterator[T] = IMapIterator(
            self, kind, _engine.CALL, func, iterable, _check_chunksize(chunksize), buffersize,
            options, _arguments.collects(errors), shown)
        iterator._fill()
        self._keep(iterator)
        return iterator

    # ---- Shared arrays ---------------------------------------------------------

    def array(self, shape: int | tuple[int, ...], dtype: Any = float) -> Any:
        """A numpy array, all zero, that functions in this pool's workers see without a copy.

        They may read it, as an argument or as a part of one; slices of it are shared just as well.
        """
        import numpy

        kind = numpy.dtype(dtype)
        sizes = [_arguments.whole_number("shape", size)
                 for size in (shape if isinstance(shape, (tuple, list)) else (shape,))]
        count = math.prod(sizes)
        if kind.hasobject:
            raise TypeError("an array of Python objects cannot be shared")
        if count * kind.itemsize == 0 or min(sizes, default=0) < 0:
            return numpy.zeros(sizes, kind)
        if count * kind.itemsize > _arguments.LARGE_MOST:
            raise MemoryError(f"an array of {count} elements of {kind.itemsize} bytes is larger than "
                              "any memory")
        self._check_running()
        memory: Any = self._engine.native.array(count * kind.itemsize)
        return numpy.frombuffer(memory, kind).reshape(sizes)

    # ---- The end -------------------------------------------------------------

    def close(self) -> None:
        """Takes no more calls; those in progress go on."""
        if self._state == _RUN:
            self._state = _CLOSE

    def terminate(self) -> None:
        """Ends all workers at once; calls in progress raise ValueError where they are waited for."""
        self._state = _TERMINATE
        self._unread.clear()
        self._engine.close(ValueError("Pool not running: it was terminated"))

    def join(self) -> None:
        """Waits until everything in progress is done, and ends the workers."""
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        if self._state == _CLOSE and self._engine.is_here:
            for iterator in tuple(self._imaps):
                iterator._drain()
            self._unread.clear()
            self._engine.finish()
        self._engine.close(ValueError("Pool not running"))

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.terminate()

    def __del__(self, _warn: Callable[..., None] = warnings.warn, _run: str = _RUN) -> None:
        if self._state != _run:
            return
        # In these words, which filters of warnings may look for.
        _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
        if self._engine.is_here:
            self.terminate()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} " \
               f"pool_size={self._processes}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    # ---- Looking into it -----------------------------------------------------

    def stats(self) -> PoolStats:
        """What the pool has done so far; the time of workers is of items whose results were read."""
        engine = self._engine
        return PoolStats(workers=self._processes, started=engine.native.births,
                         busy_seconds=engine.busy_ns / 1e9,
                         wall_seconds=time.monotonic() - self._opened_at, **engine.counts)

    @property
    def _pool(self) -> list[_Worker]:
        """The workers, all of them: waits for those that are being started."""
        if self._state == _TERMINATE:
            return []
        self._engine.await_workers()
        return [_Worker(self._engine.native.worker(slot)) for slot in range(self._processes)]

    def _repopulate_pool(self) -> None:
        """The supervisor has always done it already."""


_newest: weakref.ref[Pool] | None = None


def array(shape: int | tuple[int, ...], dtype: Any = float) -> Any:
    """Pool.array() of the pool that was opened last, which has to be there."""
    return newest_pool("an array").array(shape, dtype)


def newest_pool(what: str) -> Pool:
    """The pool that was opened last, whose workers are to share something."""
    pool = None if _newest is None else _newest()
    if pool is None or pool._state != _RUN:
        raise ValueError(f"{what} is shared with the workers of a pool: open one first")
    return pool


class _One:
    """A single call with wishes of its own."""

    def __init__(self, engine: _engine.Engine, call: _native.Call,
                 outcome: _engine.Outcome) -> None:
        self._engine = engine
        self._call = call
        self._outcome = outcome
        engine.jobs[id(self)] = self

    def look(self) -> None:
        """Settles the call if it is over."""
        if not self._call.done() or self._engine.jobs.pop(id(self), None) is None:
            return
        try:
            values, raised = self._engine.read(self._call)
        except Exception as error:  # pylint: disable=broad-except
            self._outcome.settle(error, True)
        else:
            self._outcome.settle(values[0], bool(raised))

    def give_up(self, error: Exception) -> None:
        """It will never be over."""
        self._outcome.settle(error, True)
