# SPDX-License-Identifier: Apache-2.0
"""forkfold.Pipeline: items that go through one function after the other, in batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from forkfold import _arguments, _engine, _errors, _native
from forkfold._arguments import RETRIES, Errors, Options
from forkfold.pool import Pool, check_pool

BATCH_SIZE = 250

_Result = tuple[Any, bool]


class Pipeline:
    """Functions, each of which is given what the one before it returned, in the workers of a pool.

    Any worker runs any stage, so a slow one gets the workers that the others leave.

    :param stages: the functions, from 1 to 16
    :param batch_size: items that go from stage to stage together; without a number 250, or 1 with a
        timeout
    :param queue_depth: batches in each stage, at most, before the stages before it wait; without a
        number 8 for each worker, at least 16
    :param replicas: batches that may be in a stage at once, for all stages or for each; None is no
        limit
    :param ordered: whether results come in the order of the items, or as they are done
    :param timeout: seconds that a function may take for an item; then its worker is killed
    :param retries: how often an item is tried again after its worker died
    :param errors: "raise", or "collect": exceptions stand among the results

    An exception has the attributes item, the number of the item from 0, and stage, that of the
    function from 0, unless its class does not let it.
    """

    def __init__(self, *stages: Callable[[Any], Any], batch_size: int | None = None,
                 queue_depth: int | None = None,
                 replicas: int | None | Sequence[int | None] = None, ordered: bool = True,
                 timeout: float | None = None, retries: int = RETRIES,
                 errors: Errors = "raise") -> None:
        if not stages:
            raise ValueError("a pipeline needs a function at least")
        for stage in stages:
            if not callable(stage):
                raise TypeError(f"stages of a pipeline are functions, not {stage!r}")
        if not isinstance(replicas, Sequence) or isinstance(replicas, str):
            replicas = [replicas] * len(stages)
        if len(replicas) != len(stages):
            raise ValueError(f"there are {len(stages)} stages, and replicas for {len(replicas)}")
        self.stages = stages
        self.batch_size = _check_count("batch_size", batch_size) or \
            (BATCH_SIZE if timeout is None else 1)
        self.queue_depth = _check_count("queue_depth", queue_depth)
        self.replicas = tuple(_check_count("replicas", count) for count in replicas)
        self.ordered = ordered
        self._options = Options(timeout, None, retries)
        self._collects = _arguments.collects(errors)

    def run(self, items: Iterable[Any], *, pool: Pool | None = None) -> Iterator[Any]:
        """An iterator over what the last function returned for each item.

        It begins when it is first asked, and draws items as there is room for them; closing it, or
        forgetting it, ends what is in progress.  The pool is one that is there, or is opened
        for this.
        """
        if pool is None:
            return self._run_alone(items)
        check_pool(pool)
        pool._check_running()
        return self._run(items, pool)

    def _run_alone(self, items: Iterable[Any]) -> Generator[Any, None, None]:
        with Pool() as pool:
            yield from self._run(items, pool)

    def _run(self, items: Iterable[Any], pool: Pool) -> Generator[Any, None, None]:
        run = _Run(self, items, pool)
        while (batch := run.next()) is not None:
            values, errors = batch
            if errors and not self._collects:
                first = min(errors)
                yield from values[:first]
                raise values[first]
            yield from values


def _check_count(name: str, count: int | None) -> int:
    """The number, or 0 for None."""
    return 0 if count is None else _arguments.at_least_one(name, count)


class _Run:
    """A pipeline in progress."""

    def __init__(self, pipeline: Pipeline, items: Iterable[Any], pool: Pool) -> None:
        self._engine = engine = pool._engine
        self._pipeline = pipeline
        self._source: Iterator[Any] | None = iter(items)
        self._source_error: BaseException | None = None
        self._functions = [engine.dump_function(stage) for stage in pipeline.stages]
        # Those on their way, by the numbers of their batches: each is kept for if it has to be
        # run again.
        self._batches: dict[int, list[Any]] = {}
        self._count = 0
        self._taken: Any = None
        self._native = engine.native.pipeline(
            tuple((pickle, is_shared, replicas) for (pickle, is_shared), replicas
                  in zip(self._functions, pipeline.replicas)),
            pipeline.queue_depth, not pipeline.ordered, pipeline._options.timeout_ns)
        engine.counts["calls"] += 1

    def next(self) -> tuple[list[Any], list[int]] | None:
        """Results of the next batch, exceptions among them, and where those are; None at the end."""
        try:
            self._engine.drive(self._move)
        except (_errors.PoolError, ValueError) as error:
            raise self._engine.describe(error) from None
        if self._taken is False:
            if self._source_error is not None:
                raise self._source_error
            return None
        number, values, errors = self._taken
        items = self._batches.pop(number)
        if values is None:
            results = self._fail(items, *errors)
            values = [value for value, _ in results]
            positions = [position for position, (_, failed) in enumerate(results) if failed]
        else:
            positions = [position for position, _ in errors]
            for position, stage in errors:
                _set(values[position], "stage", stage)
        for position in positions:
            _set(values[position], "item", number * self._pipeline.batch_size + position)
        self._engine.counts["items"] += len(values)
        self._engine.counts["errors"] += len(positions)
        return values, positions

    # ---- Going on ------------------------------------------------------------

    def _move(self) -> bool:
        """Whether a batch, or the end, has come out; draws items while there is room for them."""
        while True:
            if self._source is not None and self._native.has_room:
                self._draw(self._source)
            self._taken = self._native.take()
            if self._taken is not None:
                return True
            if self._source is None or not self._native.has_room:
                return False

    def _draw(self, source: Iterator[Any]) -> None:
        items: list[Any] = []
        try:
            items.extend(islice(source, self._pipeline.batch_size))
        except BaseException as error:  # pylint: disable=broad-except
            self._source_error = error
        if len(items) < self._pipeline.batch_size:
            self._source = None
        if items:
            self._native.put(items)
            self._batches[self._count] = items
            self._count += 1
        if self._source is None:
            self._native.end()

    # ---- What fails ----------------------------------------------------------

    def _fail(self, items: list[Any], stage: int, error: Exception) -> list[_Result]:
        """What becomes of a batch whose worker died; its items are run again, each by itself."""
        if self._pipeline._options.attempts > 1:
            return self._run_singly(items)
        _set(error, "stage", stage)
        return [(copy.copy(error), True) for _ in items]

    def _run_singly(self, items: list[Any]) -> list[_Result]:
        results: list[_Result] = [(item, False) for item in items]
        for stage, function in enumerate(self._functions):
            positions = [position for position, (_, failed) in enumerate(results) if not failed]
            call = self._engine.begin(_engine.IMAP, _engine.CALL, function,
                                      [results[position][0] for position in positions], 1,
                                      self._pipeline._options)
            for position, (value, failed) in zip(positions, self._read(call)):
                results[position] = value, failed
                if failed:
                    _set(value, "stage", stage)
        return results

    def _read(self, call: _native.Call) -> Iterator[_Result]:
        taken: list[Any] = [None]

        def has_taken() -> bool:
            taken[0] = call.take()
            return taken[0] is not None

        while self._engine.drive(has_taken) and taken[0] is not False:
            yield taken[0][1], taken[0][2]


def _set(error: BaseException, name: str, value: int) -> None:
    try:
        setattr(error, name, value)
    except (AttributeError, TypeError):
        pass  # a class of the user's that has no room for it
