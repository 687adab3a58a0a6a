# SPDX-License-Identifier: Apache-2.0
"""forkfold.count_words: how often each word occurs, in files or in a text."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from forkfold import _arguments, _lent, _native
from forkfold._arguments import RETRIES, Errors, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkfold.pool import Pool

T = TypeVar("T")

Path = str | os.PathLike[str]
Rule = Literal["letters", "plain"]
Invalid = Literal["fail", "replace"]

_RULES = {"letters": 0, "plain": 1}
_INVALID = {"fail": 0, "replace": 1}

# A worker for less than that of a text is not worth its birth.
_TEXT_PER_WORKER = 256 * 1024

# So many words are made Python objects at once when they are iterated over.
_AT_ONCE = 4096


class FailedInput(NamedTuple):
    """An input that nothing was counted of, and why."""

    path: str  #: as it was named or found; "text" for a text
    reason: str  #: "system", "decode", "changed", "limit", "signal", "exit", "timeout", "memory"
    detail: str  #: one sentence
    byte_offset: int | None  #: of the first byte that is not UTF-8
    errno: int | None
    signal: int | None  #: that ended the worker
    exit_code: int | None  #: of the worker
    attempts: int
    backtrace: str | None  #: the C functions that a crashed worker was in


class InputsFailed(RuntimeError):
    """Some inputs failed; everything else was counted.

    :ivar failures: list of :class:`FailedInput`
    :ivar counts: the :class:`WordCounts` of all the others
    """

    def __init__(self, counts: WordCounts) -> None:
        self.counts = counts
        self.failures = counts.failures
        first = self.failures[0]
        others = "" if len(self.failures) == 1 else f", and {len(self.failures) - 1} more"
        super().__init__(f"{first.path}: {first.detail}{others}; errors='collect' returns the "
                         "counts of all other inputs")


class WordCounts(Mapping[str, int]):
    """How often each word occurs, as a mapping, most frequent words first.

    The words of equal counts are in byte order.  They lie side by side in memory, and become Python
    objects when they are asked for.

    :ivar failures: list of :class:`FailedInput`, in byte order of their paths
    :ivar files: how many inputs were counted
    :ivar total: the sum of all counts
    """

    def __init__(self, native: _native.Counts) -> None:
        self._native = native
        self.failures = [FailedInput(*failure) for failure in native.failures]
        self.files = native.files
        self.total = native.total

    def __getitem__(self, word: str) -> int:
        count = self._native.find(word)
        if count is None:
            raise KeyError(word)
        return count

    def __contains__(self, word: object) -> bool:
        return self._native.find(word) is not None

    def __len__(self) -> int:
        return len(self._native)

    def __iter__(self) -> Iterator[str]:
        return _in_pieces(self._native.words)

    def items(self) -> ItemsView[str, int]:
        """A view of all (word, count)."""
        return _Items(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{word!r}: {count}" for word, count in self.most_common(5))
        return f"<{type(self).__name__} of {self.total} words, {len(self)} distinct: " \
               f"{{{shown}{', ...' if len(self) > 5 else ''}}}>"

    def most_common(self, n: int | None = None) -> list[tuple[str, int]]:
        """The n words that occur most often, or all, with their counts."""
        return self._native.pairs(0, len(self) if n is None else max(0, n))

    def to_dict(self) -> dict[str, int]:
        """All of them as a dict, in the same order."""
        return self._native.to_dict()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The table of to_arrow() by the Arrow PyCapsule interface, without a copy."""
        return self._native.arrow()

    def to_arrow(self) -> Any:
        """A pyarrow.Table with columns "word" and "count", without a copy."""
        import pyarrow

        return pyarrow.Table.from_batches([pyarrow.record_batch(self)])

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with columns "word" and "count"; counts are not copied, and read-only."""
        import numpy
        import pandas

        numbers: Any = self._native.numbers
        return pandas.DataFrame({"word": list(self), "count": numpy.frombuffer(numbers, "i8")},
                                copy=False)


class _Items(ItemsView[str, int]):
    """The pairs without looking up each word."""

    def __init__(self, counts: WordCounts) -> None:
        super().__init__(counts)
        self._native = counts._native

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return _in_pieces(self._native.pairs)


def _in_pieces(read: Callable[[int, int], list[T]]) -> Iterator[T]:
    first = 0
    while piece := read(first, first + _AT_ONCE):
        yield from piece
        first += _AT_ONCE


# ---- Arguments ---------------------------------------------------------------

def _choose(name: str, choices: dict[str, int], chosen: str) -> int:
    number = choices.get(chosen) if isinstance(chosen, str) else None
    if number is None:
        raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, not {chosen!r}")
    return number


def _list_paths(paths: Path | Iterable[Path]) -> list[str]:
    if isinstance(paths, (bytes, bytearray, memoryview)):
        raise TypeError("bytes may be a path or a text: give os.fsdecode(path), or text=...")
    if isinstance(paths, (str, os.PathLike)):
        paths = (paths,)
    listed = [os.fsdecode(path) for path in paths]
    if not listed:
        raise ValueError("there are no paths in what was given to count_words()")
    for path in listed:
        _check_is_there(path)
    return listed


def _check_is_there(path: str) -> None:
    try:
        os.stat(path)
        return
    except ValueError:
        pass  # it has a NUL in it
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise
    shown = path if len(path) <= 200 else path[:200] + "..."
    raise FileNotFoundError(errno.ENOENT, "no such file or directory; to count the words of a text "
                            "itself, give text=...", shown)


def _encode_text(text: str | bytes | bytearray | memoryview) -> bytes | memoryview:
    if isinstance(text, str):
        return _native.encode(text, "strict")
    view = memoryview(text)
    if not view.c_contiguous:
        raise ValueError("a text has to lie in memory in one piece")
    return view


def _count_workers(processes: int | None, text: bytes | memoryview | None) -> int:
    if processes is not None:
        return _arguments.processes(processes)
    cpus = _native.available_cpus()
    if text is None:
        return cpus
    size = text.nbytes if isinstance(text, memoryview) else len(text)
    return min(cpus, 1 + size // _TEXT_PER_WORKER)


# ---- The call ----------------------------------------------------------------

def count_words(paths: Path | Iterable[Path] | None = None, /, *,
                text: str | bytes | bytearray | memoryview | None = None, rule: Rule = "letters",
                invalid: Invalid = "fail", pattern: str = "*.txt", recursive: bool = False,
                processes: int | None = None, memory: int | None = None,
                timeout: float | None = None, deadline: float | None = None,
                retries: int = RETRIES, errors: Errors = "raise",
                pool: Pool | None = None) -> WordCounts:
    """Counts how often each word occurs in files, or in a text.

    :param paths: a file, a directory, or several of them; never a text
    :param text: a text, or its UTF-8 bytes, instead of paths
    :param rule: "letters": split at white space, keep the letters of each word, in lower case;
        "plain": split at white space, as str.split() does
    :param invalid: "fail": an input that is not UTF-8 fails; "replace": what is not becomes U+FFFD
    :param pattern: which files of a directory are counted
    :param recursive: whether directories in directories are entered
    :param processes: how many workers; by default as many as there are CPUs to use
    :param memory: bytes that all workers together may take for counts; past it they use the disk
    :param timeout: seconds that a file, or a piece of a large one, may take
    :param deadline: seconds that the call may take; then it raises DeadlineExceeded
    :param retries: how often an input is tried again after its worker died
    :param errors: "raise": InputsFailed after all has been counted, if an input failed; "collect":
        the failures of the result say so
    :param pool: a pool whose workers count, and which has no call in progress; by default workers
        are started for this call, which is quick, for they need no interpreter
    """
    if (paths is None) == (text is None):
        raise TypeError("count_words() takes either paths or text=...")
    if pool is not None and (processes is not None or memory is not None):
        raise ValueError("processes and memory are those of workers that are started for the call, "
                         "not of a pool")
    listed = [] if paths is None else _list_paths(paths)
    encoded = None if text is None else _encode_text(text)
    options = Options(timeout, deadline, retries)
    collects = _arguments.collects(errors)
    # The library takes "-" for standard input.
    arguments = ([os.fsencode("./-" if path == "-" else path) for path in listed], encoded,
                 _choose("rule", _RULES, rule), _choose("invalid", _INVALID, invalid),
                 os.fsencode(pattern), recursive, options.timeout_ns, options.deadline_ns,
                 options.attempts)
    with _lent.workers(pool, _count_workers(processes, encoded),
                       _arguments.byte_count("memory", memory)) as native:
        counts = WordCounts(_native.count_words(native, *arguments))
    if counts.failures and not collects:
        raise InputsFailed(counts)
    return counts
