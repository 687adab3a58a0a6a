# SPDX-License-Identifier: Apache-2.0
"""What happens in a worker besides the user's function."""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from forkfold import _native, _pickling

# Ctrl-C and the like reach every process of a terminal: the process with the pool decides.
_IGNORED = ("SIGINT", "SIGHUP", "SIGQUIT")


class Initializer:
    """The user's, and a file for what it raises."""

    def __init__(self, function: Callable[..., object] | None, report: int) -> None:
        self.function = function
        self.report = report
        self.host = os.getpid()

    def run(self, args: tuple[Any, ...]) -> bool:
        """Whether it went well."""
        if self.function is None:
            return True
        try:
            self.function(*args)
        except BaseException:  # pylint: disable=broad-except
            os.pwrite(self.report, traceback.format_exc().encode("utf-8", "replace"), 0)
            return False
        return True


def _reset_signals() -> None:
    """The host's handlers are the host's: a worker must not write to its event loop, say."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _watch_crashes(text: int) -> None:
    """Fatal signals: the library's handlers first, then Python's, which write to the file."""
    if text < 0:
        return
    faulthandler.disable()
    _native.crash_text(text)
    faulthandler.enable(text)
    _native.crash_text(text)


def _be_a_process(number: int, host: int) -> None:
    """As multiprocessing has its own children."""
    # What follows is not in the stubs of the standard library.
    process: Any = sys.modules.get("multiprocessing.process")
    util: Any = sys.modules.get("multiprocessing.util")
    if process is None:
        return

    class Worker(process.BaseProcess):  # type: ignore[misc]
        """What multiprocessing.current_process() returns."""

    current = Worker.__new__(Worker)
    parent = process.current_process()
    current.__dict__.update(
        _identity=(number,), _config={**parent._config, "daemon": True}, _parent_pid=host,
        _parent_name=parent.name, _popen=None, _closed=False, _target=None, _args=(), _kwargs={},
        _name=f"ForkfoldWorker-{number}")
    process._current_process = current
    process._parent_process = process._ParentProcess(parent.name, host, None)
    process._children = set()
    if util is not None:
        util._finalizer_registry.clear()
        util._run_after_forkers()


class _Output(io.BufferedWriter):
    """Standard output that tells when there is something in it."""

    def write(self, buffer: Any, /) -> int:
        _native.output_is_due(self.flush)
        return super().write(buffer)


def _flush_any() -> None:
    """For an output of the host's making, which cannot tell."""
    flush = getattr(sys.stdout, "flush", None)
    if flush is not None:
        flush()
    _native.output_is_due(_flush_any)


def _open_output() -> None:
    """What a function prints is written before its result is seen."""
    old = sys.stdout
    try:
        is_plain = type(old) is io.TextIOWrapper and old.fileno() == 1
    except (OSError, ValueError):
        is_plain = False
    if not is_plain:
        if old is not None:
            _native.output_is_due(_flush_any)
        return
    new = io.TextIOWrapper(_Output(io.FileIO(1, "w", closefd=False)), encoding=old.encoding,
                           errors=old.errors, line_buffering=bool(old.line_buffering),
                           write_through=True)
    if sys.__stdout__ is old:
        sys.__stdout__ = new  # type: ignore[misc]
    sys.stdout = new


def start(number: int, text: int, initializer: Initializer, initargs: tuple[Any, ...]) -> bool:
    """Makes a worker of a process that was just forked.  Whether that went well."""
    _reset_signals()
    _watch_crashes(text)
    _be_a_process(number, initializer.host)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # /dev/null
    _open_output()
    return initializer.run(initargs)


# ---- Exceptions --------------------------------------------------------------

def _pickle_error(error: BaseException) -> bytes | None:
    """None if another process could not load it."""
    try:
        pickled = pickle.dumps(error, _pickling.PROTOCOL)
        return pickled if type(pickle.loads(pickled)) is type(error) else None
    except BaseException:  # pylint: disable=broad-except
        return None


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # pylint: disable=broad-except
        return "(its message could not be made)"


def pack_error(error: BaseException,
               *unsent: object) -> tuple[bytes | None, str, str, str]:
    """An exception of the function's, or why its result, unsent, cannot be sent."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if unsent:
        from multiprocessing import pool
        error = vars(pool)["MaybeEncodingError"](error, unsent[0])
    error = error.with_traceback(None)
    name = type(error).__qualname__
    if type(error).__module__ not in ("builtins", "__main__"):
        name = f"{type(error).__module__}.{name}"
    return _pickle_error(error), name, _message_of(error), text
