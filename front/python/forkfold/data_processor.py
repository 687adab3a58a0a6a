# SPDX-License-Identifier: Apache-2.0
"""forkfold.ParallelDataProcessor: a function of each text of a directory, and a fold of the results."""

from __future__ import annotations

import itertools
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from forkfold import _arguments, _engine
from forkfold.pool import Pool

R = TypeVar("R")
T = TypeVar("T")

# Files that are begun and not folded, for each worker, at most.
_FILES_AHEAD = 16

_log = logging.getLogger("forkfold")


class FailedFile(NamedTuple):
    """A file that counts for nothing, and why."""

    path: str
    error: BaseException


class ParallelDataProcessor:
    """Runs a function on the text of each file of a directory, and folds the results.

    A file that cannot be read as UTF-8, on which the function raises, or a worker dies, is logged
    and listed in ``failures``; the others go on.

    :param num_workers: processes; None for as many as there are CPUs to use
    :param timeout: seconds that a file may take; then its worker is killed
    :ivar failures: the files that failed in the last call, as FailedFile
    """

    def __init__(self, num_workers: int | None = None, *, timeout: float | None = None) -> None:
        self.num_workers = _arguments.workers(num_workers)
        _arguments.as_ns("timeout", timeout)
        self.timeout = timeout
        self.failures: list[FailedFile] = []

    def process_directory(self, dir_path: str | bytes | os.PathLike[Any],
                          process_func: Callable[[str], R | None],
                          aggregator_func: Callable[[T, R], T], initial_value: T) -> T:
        """What aggregator_func(value, result) makes of initial_value and all results, as they come.

        process_func is called in the workers, with the text of each ``*.txt`` in the directory as
        ``open(path, "r", encoding="utf-8").read()`` gives it; a result that is None is left out.
        """
        for name, function in (("process_func", process_func), ("aggregator_func", aggregator_func)):
            if not callable(function):
                raise TypeError(f"{name} must be a function, not {function!r}")
        self.failures = []
        value = initial_value
        paths = _texts_of(os.fsdecode(dir_path))
        try:
            first = next(paths)
        except (FileNotFoundError, NotADirectoryError, StopIteration) as error:
            warnings.warn(f"no *.txt files to process in {dir_path!r}: "
                          f"{getattr(error, 'strerror', None) or 'there are none'}", stacklevel=2)
            return value
        # The function is there when the workers are forked, so nothing of it has to travel.
        with Pool(self.num_workers, _keep, (process_func,)) as pool:
            for result in self._results(pool, itertools.chain([first], paths)):
                value = aggregator_func(value, result)
        return value

    def _results(self, pool: Pool, paths: Iterable[str]) -> Iterator[Any]:
        """The results of the files that do not fail."""
        begun: dict[int, str] = {}
        results = pool.imap_unordered(_process, _noting(begun, paths), timeout=self.timeout,
                                      buffersize=_FILES_AHEAD * self.num_workers, errors="collect")
        for result in results:
            path = begun.pop(results._number, None)
            if path is None:
                raise result  # it is the pool that cannot go on
            if results._is_error:
                self.failures.append(FailedFile(path, result))
                _log.error("%s: %s", path, result)
            elif result is not None:
                yield result


def _texts_of(directory: str) -> Iterator[str]:
    """The paths of the files that are to be processed, of which there may be a great many."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".txt") and not entry.name.startswith(".") and _is_file(entry):
                yield entry.path


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A FIFO, say, is none: whoever opens it may wait for ever."""
    try:
        return entry.is_file()
    except OSError:
        return True  # reading it fails with what there is to say


def _noting(begun: dict[int, str], paths: Iterable[str]) -> Iterator[str]:
    """The paths, each of which is noted under its number."""
    for number, path in enumerate(paths):
        begun[number] = path
        yield path


# ---- In the worker -----------------------------------------------------------

_function: Callable[[str], Any]


def _keep(function: Callable[[str], Any]) -> None:
    global _function  # pylint: disable=global-statement
    _function = function


def _process(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return _function(text)
