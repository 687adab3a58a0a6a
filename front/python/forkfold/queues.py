# SPDX-License-Identifier: Apache-2.0
"""forkfold.Queue: a bounded queue between the processes of a pool."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Full
from typing import Any, Generic, TypeVar

from forkfold import _arguments, _engine, _errors, _native
from forkfold.pool import Pool, check_pool, newest_pool

T = TypeVar("T")

CAPACITY = 256
ITEM_BYTES = 64 * 1024

_FOR_EVER = 1e9


class Queue(Generic[T]):
    """A queue of objects that any number of processes put to and get from: that with the pool, and
    the functions in its workers that it is passed to, as an argument or as a part of one.

    :param capacity: items that it holds, at most, rounded up to a power of two
    :param item_bytes: of a pickled item, at most; memory is taken as it is needed
    :param producers: how many have to say end() before the queue has ended
    :param pool: whose workers share it; by default the one that was opened last

    Anyone may die.  What get() returned dies with whom it was returned to; what a loop over the
    queue, or a holding(), has in hand goes to another one.
    """

    def __init__(self, capacity: int = CAPACITY, *, item_bytes: int = ITEM_BYTES,
                 producers: int = 1, pool: Pool | None = None) -> None:
        capacity = _arguments.at_least_one("capacity", capacity)
        item_bytes = _arguments.at_least_one("item_bytes", item_bytes)
        producers = _arguments.at_least_one("producers", producers, _arguments.COUNT_MOST)
        if pool is None:
            pool = newest_pool("a queue")
        check_pool(pool)
        self._engine: _engine.Engine | None = pool._engine
        self._item_bytes = item_bytes
        self._native = pool._engine.native.queue(capacity, item_bytes, producers)

    # ---- Putting -------------------------------------------------------------

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Waits for room, and puts the item; queue.Full if there is none after so many seconds.

        QueueEnded when the queue has ended.
        """
        data = self._native.encode(item)
        if len(data) > self._item_bytes:
            raise ValueError(f"an item of {len(data)} bytes, pickled, is too large for a queue with "
                             f"item_bytes={self._item_bytes}")
        if not self._put(data, _seconds(block, timeout)):
            raise Full

    def _put(self, data: bytes, seconds: float) -> bool:
        if self._engine is None:
            return self._native.put(data, _as_ns(seconds))
        return self._engine.drive(lambda: self._native.put(data, 0), seconds)

    def put_nowait(self, item: T) -> None:
        """put() without waiting."""
        self.put(item, block=False)

    def put_many(self, items: Iterable[T], timeout: float | None = None) -> int:
        """Puts items, as many as there is room for within so many seconds; returns how many."""
        until = time.monotonic() + _seconds(True, timeout)
        count = 0
        for item in items:
            try:
                self.put(item, timeout=max(0, until - time.monotonic()))
            except Full:
                break
            count += 1
        return count

    def end(self, producer: int = 0) -> None:
        """Says that a producer, a number below the producers of the queue, will put nothing more.

        When all have, those who get are told, after the last item, by QueueEnded.
        """
        number = _arguments.whole_number("producer", producer)
        if not 0 <= number <= _arguments.COUNT_MOST:
            raise ValueError(f"the queue has no producer {number}")
        self._native.end(number)

    # ---- Getting -------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Waits for an item, and takes it; queue.Empty if there is none after so many seconds.

        QueueEnded when the queue has ended, and all that was put has been taken and acknowledged.
        """
        return self._get(_seconds(block, timeout), False)

    def _get(self, seconds: float, keeps: bool) -> T:
        taken: tuple[T] | None = None

        def has_taken() -> bool:
            nonlocal taken
            taken = self._native.get(0, keeps)
            return taken is not None

        if self._engine is None:
            taken = self._native.get(_as_ns(seconds), keeps)
        else:
            self._engine.drive(has_taken, seconds)
        if taken is None:
            raise Empty
        return taken[0]

    def get_nowait(self) -> T:
        """get() without waiting."""
        return self.get(block=False)

    def get_many(self, most: int, timeout: float | None = None) -> list[T]:
        """Waits for an item as get() does, and takes it and those behind it, at most so many."""
        most = _arguments.at_least_one("most", most)
        items = [self.get(timeout=timeout)]
        try:
            while len(items) < most:
                items.append(self.get_nowait())
        except (Empty, _errors.QueueEnded):
            pass
        return items

    def __iter__(self) -> Iterator[T]:
        """All items up to the end of the queue; each is acknowledged when the next is asked for.

        One that is in hand when the loop is left, by break or otherwise, goes to another one.
        """
        self._check_nothing_held()
        is_held = False
        try:
            while True:
                is_held = False
                try:
                    item = self._get(_FOR_EVER, True)
                except _errors.QueueEnded:
                    return
                is_held = True
                yield item
        finally:
            if is_held and self._native.is_held:
                self._native.give_back()

    @contextmanager
    def holding(self, block: bool = True, timeout: float | None = None) -> Generator[T, None, None]:
        """get() for a with statement: the item is acknowledged at its end, or, if that raises, goes
        to another one, as it does when the process dies."""
        self._check_nothing_held()
        item = self._get(_seconds(block, timeout), True)
        try:
            yield item
        except BaseException:
            self._native.give_back()
            raise
        self._native.acknowledge()

    def _check_nothing_held(self) -> None:
        if self._native.is_held:
            raise RuntimeError("a process holds one item of a queue at a time, and this one holds "
                               "one")

    @property
    def returns(self) -> int:
        """How often the item that was taken last had been taken before, and not acknowledged."""
        return self._native.returns

    # ---- The end -------------------------------------------------------------

    def close(self) -> None:
        """Ends the queue for all; this process cannot use it any more."""
        self._native.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (*self._native.handle, self._item_bytes)


# Of a worker: a process holds items, not an object.
_attached: dict[int, tuple[int, Queue[Any]]] = {}


def _attach(address: int, pool: int, item_bytes: int) -> Queue[Any]:
    """In a worker: the queue behind a handle."""
    known = _attached.get(address)
    if known is not None and known[0] == item_bytes:
        return known[1]
    queue: Queue[Any] = Queue.__new__(Queue)
    queue._engine = None
    queue._item_bytes = item_bytes
    queue._native = _native.attach_queue(address, pool)
    _attached[address] = item_bytes, queue
    return queue


def _seconds(block: bool, timeout: float | None) -> float:
    """How long to wait."""
    if not block:
        return 0
    if timeout is None:
        return _FOR_EVER
    try:
        is_time = timeout >= 0
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}") from None
    if not is_time:
        raise ValueError(f"'timeout' must be a non-negative number, not {timeout!r}")
    return min(timeout, _FOR_EVER)


def _as_ns(seconds: float) -> int:
    return int(seconds * 1e9)
