# SPDX-License-Identifier: Apache-2.0
"""Workers, what is in progress in them, and the thread that looks after it.

All threads of a process may use an engine.  There is no lock: what two threads may both find to be
done is taken out of a dict or from a call by one operation of the interpreter.

Whoever waits also looks after everything else that is in progress.  A helper thread does where
nobody may be waiting: for futures, for callbacks, and for calls that are to be begun together.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from forkfold import _arguments, _errors, _native, _pickling, _worker
from forkfold._arguments import RETRIES, Options

# Kinds and modes of calls; see native/native.h.
MAP, IMAP, IMAP_UNORDERED = 0, 1, 2
CALL, STAR, APPLY = 0, 1, 2

# Buffers of so many bytes are shared with the workers: what a page costs both sides is less then
# than what copying it costs.
SHARE_BYTES = 64 * 1024

# Single calls that wait for the helper to begin them together, at most.
_QUEUED_MOST = 256

# A map of so many items is begun in so many parts: while one is run, the next is being encoded, and
# the one before read.
_PARTED_LEAST, _PARTS = 16384, 8

_FUNCTIONS_KEPT = 128

_native.configure(
    share_bytes=SHARE_BYTES, dumps=_pickling.dumps, dumps_result=_pickling.dumps_result,
    loads=_pickling.loads, pack_error=_worker.pack_error, load_error=_errors.load_error,
    make_failed=_errors.make_failed, pool_error=_errors.pool_error, queue_ended=_errors.QueueEnded,
    start=_worker.start)


class Job(Protocol):
    """Something in progress."""

    def look(self) -> None:
        """Takes notice of what has become of it, and tells those who wait."""

    def give_up(self, error: Exception) -> None:
        """It will never be done."""


class Outcome(Protocol):
    """Who wants to know what becomes of a single call."""

    def begin(self) -> bool:
        """Whether it is still wanted, and cannot be taken back any more."""

    def settle(self, value: Any, is_error: bool) -> None:
        """The call is over."""


class Engine:
    """The processes of a pool."""

    def __init__(self, workers: int, initializer: Callable[..., object] | None,
                 initargs: tuple[Any, ...], tasks_per_worker: int, worker_memory: int,
                 recycle_bytes: int, max_deaths: int) -> None:
        self.workers = workers
        self.counts = {"calls": 0, "items": 0, "errors": 0}
        self.busy_ns = 0
        self.jobs: dict[int, Job] = {}
        self.singles = _Singles(self)
        self._helper: _Helper | None = None
        self._functions: dict[Any, tuple[bytes, bool]] = {}
        self._known = _pickling.known_names()
        self._report = os.memfd_create("forkfold-report", os.MFD_CLOEXEC)
        self._owner = os.getpid()
        self._closed_by: Exception | None = None
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        try:
            self.native = _native.Pool(workers, _worker.Initializer(initializer, self._report),
                                       initargs, tasks_per_worker, recycle_bytes, worker_memory,
                                       max_deaths)
        except BaseException:
            os.close(self._report)
            raise

    # ---- Beginning -----------------------------------------------------------

    def dump_function(self, function: Callable[..., Any]) -> tuple[bytes, bool]:
        """The pickled function, and whether it is the same object each time that it is loaded."""
        try:
            dumped = self._functions.get(function)
        except TypeError:
            return _pickling.dump_function(function, self._known)
        if dumped is None:
            dumped = _pickling.dump_function(function, self._known)
            if dumped[1]:
                if len(self._functions) >= _FUNCTIONS_KEPT:
                    self._functions.clear()
                self._functions[function] = dumped
        return dumped

    def begin(self, kind: int, mode: int, function: tuple[bytes, bool], items: list[Any],
              chunk: int, options: Options, first: int = 0) -> _native.Call:
        """Begins a call; what is said of items counts from first."""
        call = self.native.begin(kind, mode, function[0], function[1], items, chunk,
                                 options.timeout_ns, options.deadline_ns, options.attempts, first)
        self.counts["calls"] += 1
        self.counts["items"] += len(items)
        return call

    def describe(self, error: Exception) -> Exception:
        """The same, or what closed the engine, with what the initializer raised if it is about that."""
        if self._closed_by is not None:
            return self._closed_by
        if not isinstance(error, _errors.InitializerFailed):
            return error
        text = os.pread(self._report, 1 << 16, 0).decode("utf-8", "replace")
        return _errors.InitializerFailed(error.code, f"{error.message}\n\n{text}".rstrip())

    # ---- Waiting -------------------------------------------------------------

    def look(self) -> None:
        """Looks after everything in progress, without waiting."""
        for job in tuple(self.jobs.values()):
            job.look()
        if self.singles.queue:
            self.singles.post_if_idle()

    def drive(self, is_done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits until is_done, for so many seconds at most.  Returns whether it is."""
        native = self.native
        until = None if timeout is None else _arguments.later(timeout)
        while True:
            generation = native.generation
            if self.jobs:
                self.look()
            if is_done():
                return True
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            native.wait(generation, left)

    def begin_parts(self, mode: int, function: tuple[bytes, bool], items: list[Any], chunk: int,
                    options: Options) -> list[_native.Call]:
        """Begins a map; a large one as several calls, for workers to begin with the first."""
        count = len(items)
        if count < _PARTED_LEAST:
            return [self.begin(MAP, mode, function, items, chunk, options)]
        chunk = chunk or max(1, _native.chunk_size(count, self.workers, 0))
        size = -(-count // (_PARTS * chunk)) * chunk
        return [self.begin(MAP, mode, function, items[at:at + size], chunk, options, at)
                for at in range(0, count, size)]

    def run(self, calls: list[_native.Call]) -> tuple[list[Any], list[int]]:
        """Waits for the parts of a map: the results, and where those are that were raised."""
        values: list[Any] = []
        raised: list[int] = []
        try:
            for call in calls:
                self.drive(call.done)
                part, raised_there = self.read(call)
                raised += [len(values) + index for index in raised_there]
                if values:
                    values += part
                else:
                    values = part
        except BaseException:
            for call in calls:
                call.cancel()
            raise
        return values, raised

    def read(self, call: _native.Call) -> tuple[list[Any], list[int]]:
        """The results of a map that is over, and where among them those are that were raised."""
        try:
            values, raised = call.results()
        except (_errors.PoolError, ValueError) as error:
            raise self.describe(error) from None
        self.busy_ns += call.busy_ns
        self.counts["errors"] += len(raised)
        return values, raised

    def want_help(self) -> None:
        """Something is in progress that nobody may be waiting for."""
        if self._helper is None:
            self._helper = _Helper()
        self._helper.wake(self)

    def await_workers(self) -> None:
        """Waits until there is a worker in every slot."""
        self.drive(lambda: all(self.native.worker(slot) for slot in range(self.workers)))

    # ---- Ending --------------------------------------------------------------

    @property
    def is_here(self) -> bool:
        """Whether this is the process that opened the pool."""
        return self._owner == os.getpid()

    def finish(self) -> None:
        """Waits until nothing is in progress."""
        self.singles.post()
        self.drive(lambda: not self.jobs and not self.singles.queue)

    def __del__(self) -> None:
        helper = getattr(self, "_helper", None)
        if helper is not None:
            helper.end()

    def close(self, error: Exception) -> None:
        """Ends all processes; whoever waits for something gets the error."""
        if self._closed_by is not None:
            return
        self._closed_by = error
        os.close(self._report)
        self.native.close()
        if self._helper is not None:
            self._helper.end()
        self.singles.give_up(error)
        for key in tuple(self.jobs):
            job = self.jobs.pop(key, None)
            if job is not None:
                job.give_up(error)
        self.native.notify()


class _Helper:
    """The thread that looks after what nobody waits for; it sleeps while there is nothing.

    It keeps the engine alive while there is something, for futures outlive their executor, and the
    interpreter never.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._signal = threading.Semaphore(0)
        self._is_awake = False
        self._has_ended = False
        threading.Thread(target=self._run, name="forkfold-helper", daemon=True).start()

    def wake(self, engine: Engine) -> None:
        """There is something to do."""
        if not self._is_awake:
            self._engine = engine
            self._is_awake = True
            self._signal.release()

    def end(self) -> None:
        """There will be nothing any more."""
        self._has_ended = True
        self._signal.release()

    def _run(self) -> None:
        while True:
            self._signal.acquire()
            if self._has_ended:
                return
            engine = self._engine
            if engine is not None:
                self._serve(engine)
            del engine

    def _serve(self, engine: Engine) -> None:
        while not self._has_ended:
            generation = engine.native.generation
            engine.singles.post()
            engine.look()
            if not engine.jobs and not engine.singles.queue:
                # Whoever comes after this wakes it again, and whoever came before is seen here.
                self._engine = None
                self._is_awake = False
                if not engine.jobs and not engine.singles.queue:
                    return
                self._engine = engine
                self._is_awake = True
            engine.native.wait(generation, None)


class _Singles:
    """Single calls, which are begun together when they come faster than they are run."""

    def __init__(self, engine: Engine) -> None:
        # The engine owns this.
        self._engine = weakref.proxy(engine)
        self.queue: deque[tuple[tuple[Any, ...], Outcome]] = deque()
        # One for each that was begun and is not over: a number would lose count between threads.
        self.running: list[None] = []
        self._options = Options(None, None, RETRIES)

    def put(self, function: tuple[bytes, bool], args: tuple[Any, ...], kwargs: dict[str, Any],
            outcome: Outcome) -> None:
        """Begins a call, soon at the latest."""
        item = (function[0], function[1], args, kwargs or None)
        engine = self._engine
        if not self.queue and len(self.running) < 2 * engine.workers:
            self._begin([(item, outcome)])
            return
        was_empty = not self.queue
        self.queue.append((item, outcome))
        if len(self.queue) >= _QUEUED_MOST:
            self.post()
        elif was_empty:
            # It may sleep for something else; what comes after this one it finds here as well.
            engine.want_help()
            engine.native.notify()

    def post(self) -> None:
        """Begins what waits."""
        batch: list[tuple[tuple[Any, ...], Outcome]] = []
        while self.queue and len(batch) < 16 * _QUEUED_MOST:
            try:
                batch.append(self.queue.popleft())
            except IndexError:
                break
        if batch:
            self._begin(batch)

    def post_if_idle(self) -> None:
        """Likewise, if workers may have nothing to do."""
        if len(self.running) < 2 * self._engine.workers:
            self.post()

    def _begin(self, batch: list[tuple[tuple[Any, ...], Outcome]]) -> None:
        wanted = [(item, outcome) for item, outcome in batch if outcome.begin()]
        if not wanted:
            return
        try:
            _SinglesJob(self._engine, self, wanted, self._options)
        except Exception as error:  # pylint: disable=broad-except
            if len(wanted) == 1:
                wanted[0][1].settle(self._engine.describe(error), True)
                return
            # One of them cannot be pickled: each for itself.
            for single in wanted:
                self._begin_single(single)

    def _begin_single(self, single: tuple[tuple[Any, ...], Outcome]) -> None:
        try:
            _SinglesJob(self._engine, self, [single], self._options)
        except Exception as error:  # pylint: disable=broad-except
            single[1].settle(self._engine.describe(error), True)

    def give_up(self, error: Exception) -> None:
        """Nothing will be begun any more."""
        while self.queue:
            try:
                _, outcome = self.queue.popleft()
            except IndexError:
                return
            if outcome.begin():
                outcome.settle(error, True)


class _SinglesJob:
    """Single calls that were begun together."""

    def __init__(self, engine: Engine, singles: _Singles,
                 batch: list[tuple[tuple[Any, ...], Outcome]], options: Options) -> None:
        items = [item for item, _ in batch]
        self._engine = engine
        self._singles = singles
        self._outcomes: dict[int, Outcome] = {i: outcome for i, (_, outcome) in enumerate(batch)}
        self._call = engine.begin(IMAP_UNORDERED, APPLY, (b"", True), items, 1, options)
        singles.running.extend([None] * len(items))
        engine.jobs[id(self)] = self

    def look(self) -> None:
        """Settles those that are over."""
        while True:
            try:
                taken = self._call.take()
            except Exception as error:  # pylint: disable=broad-except
                self._engine.jobs.pop(id(self), None)
                self.give_up(self._engine.describe(error))
                return
            if taken is None:
                return
            if taken is False:
                self._engine.jobs.pop(id(self), None)
                return
            index, value, is_error = taken
            self._singles.running.pop()
            if is_error:
                self._engine.counts["errors"] += 1
            self._outcomes.pop(index).settle(value, is_error)

    def give_up(self, error: Exception) -> None:
        """None of the rest will be over."""
        for index in tuple(self._outcomes):
            outcome = self._outcomes.pop(index, None)
            if outcome is not None:
                self._singles.running.pop()
                outcome.settle(error, True)
