# SPDX-License-Identifier: Apache-2.0
"""forkfold.Executor: the interface of concurrent.futures.Executor, on workers that may die."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor as _Base
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from multiprocessing import TimeoutError as WaitTimeout

from forkfold import _arguments, _engine
from forkfold._arguments import RETRIES, Options
from forkfold._progress import no_progress
from forkfold.pool import IMapIterator, Pool

P = ParamSpec("P")
T = TypeVar("T")


class _Pending:
    """A future, as the engine sees it."""

    __slots__ = ("future",)

    def __init__(self, future: Future[Any]) -> None:
        self.future = future

    def begin(self) -> bool:
        """False if it was cancelled; from here on it cannot be."""
        return self.future.set_running_or_notify_cancel()

    def settle(self, value: Any, is_error: bool) -> None:
        """The call is over."""
        if is_error:
            self.future.set_exception(value)
        else:
            self.future.set_result(value)


class Executor(_Base):
    """Runs calls in processes.

    A future whose worker died, as often as it was tried, raises WorkerDied; the executor goes on.
    """

    def __init__(self, max_workers: int | None = None, *,
                 initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = (),
                 max_tasks_per_child: int | None = None) -> None:
        if max_workers is not None and _arguments.whole_number("max_workers", max_workers) < 1:
            raise ValueError("max_workers must be greater than 0")
        self._pool = Pool(max_workers, initializer, initargs, max_tasks_per_child)
        self._is_shut = False
        _open_executors.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The future of fn(*args, **kwargs), run in a worker."""
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        engine = self._pool._engine
        future: Future[T] = Future()
        engine.singles.put(engine.dump_function(fn), args, kwargs, _Pending(future))
        engine.want_help()
        return future

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None,
            chunksize: int = 1, buffersize: int | None = None) -> Iterator[T]:
        """An iterator over the results of fn on the items of all iterables, in their order.

        Without a buffersize all items are taken from the iterables at once, and begun.
        """
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _arguments.whole_number("chunksize", chunksize) < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and _arguments.whole_number("buffersize", buffersize) < 1:
            raise ValueError("buffersize must be None or > 0")
        until = None if timeout is None else _arguments.later(timeout)
        rows: Iterable[Any] = zip(*iterables)
        if buffersize is None:
            rows = list(rows)
            buffersize = max(1, len(rows))
        results: IMapIterator[T] = IMapIterator(
            self._pool, _engine.IMAP, _engine.STAR, fn, rows, chunksize, buffersize,
            Options(None, None, RETRIES), False, no_progress)
        results._fill()
        self._pool._keep(results)
        return _until(results, until)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls; what is begun goes on, and is waited for if wait is true."""
        self._is_shut = True
        engine = self._pool._engine
        if cancel_futures:
            _cancel(engine)
        self._pool.close()
        if wait:
            self._pool.join()
            _open_executors.discard(self)

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None and not self._is_shut:
            # As with the executors of the library: futures that are there are still done.
            self._is_shut = True
            pool.close()


def _cancel(engine: _engine.Engine) -> None:
    """Cancels what has not been begun."""
    queue = engine.singles.queue
    while queue:
        try:
            _, outcome = queue.popleft()
        except IndexError:
            return
        if isinstance(outcome, _Pending):
            outcome.future.cancel()
            outcome.begin()


def _until(results: IMapIterator[T], until: float | None) -> Iterator[T]:
    """TimeoutError when the time is over before all results are there.  Who leaves ends the rest."""
    try:
        while True:
            yield results.next(None if until is None else until - time.monotonic())
    except StopIteration:
        return
    except WaitTimeout:
        raise TimeoutError from None
    finally:
        results._stop()


_open_executors: weakref.WeakSet[Executor] = weakref.WeakSet()


@atexit.register
def _finish_executors() -> None:
    """The interpreter ends when all futures are done."""
    for executor in tuple(_open_executors):
        if executor._pool._engine.is_here:
            executor.shutdown()
