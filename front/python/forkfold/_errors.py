# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as exceptions."""

from __future__ import annotations

import pickle
import sys
from typing import Any

if sys.version_info >= (3, 13):
    from queue import ShutDown as _Ended
else:
    _Ended = Exception

# Codes of the C library that have a class of their own; see forkfold/error.h.
_DEADLINE = -7
_INITIALIZER = -16


class PoolError(RuntimeError):
    """A pool, or a call on it, cannot go on."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class DeadlineExceeded(PoolError, TimeoutError):
    """The deadline of a call passed before all of its items were done."""

    # OSError would take (code, message) for errno and text, and keep them to itself.
    def __init__(self, code: int, message: str) -> None:
        PoolError.__init__(self, code, message)


class InitializerFailed(PoolError):
    """The initializer failed in every worker; the message ends with the last traceback."""


class QueueEnded(_Ended):
    """A queue has ended: nothing more can be put to it, and all that was put has been taken.

    From Python 3.13 on it is a queue.ShutDown.
    """


class RemoteError(Exception):
    """An exception that cannot be pickled, or not be unpickled again, as text."""

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class WorkerDied(RuntimeError):
    """The workers that an item was given to died, as often as it was tried.

    :ivar item: number of the item in its call, from 0
    :ivar attempts: how often it was tried
    :ivar reason: ``"signal"``, ``"exit"``, ``"memory"`` or ``"timeout"``
    :ivar signal: the signal that ended the last worker, or 0
    :ivar exit_code: its exit code, or -1 if it had none
    :ivar backtrace: the C functions that a crashed worker was in, or None
    :ivar traceback: the Python functions likewise, or None
    """

    def __init__(self, detail: str, *, item: int, attempts: int, reason: str, signal: int = 0,
                 exit_code: int = -1, backtrace: str | None = None,
                 traceback: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.item = item
        self.attempts = attempts
        self.reason = reason
        self.signal = signal
        self.exit_code = exit_code
        self.backtrace = backtrace
        self.traceback = traceback

    def __str__(self) -> str:
        tries = "" if self.attempts == 1 else f", {self.attempts} times"
        parts = [f"item {self.item}: {self.detail}{tries}"]
        if self.traceback:
            parts.append(self.traceback.rstrip())
        if self.backtrace:
            parts.append("C functions (most recent call first):\n" + self.backtrace)
        return "\n\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detail, dict(vars(self)))


class WorkerTimeout(WorkerDied, TimeoutError):
    """An item took longer than ``timeout``, as often as it was tried; its workers were killed."""

    def __init__(self, detail: str, **fields: Any) -> None:
        WorkerDied.__init__(self, detail, **fields)


def _rebuild(cls: type[WorkerDied], detail: str, fields: dict[str, Any]) -> WorkerDied:
    error = cls(detail, item=fields["item"], attempts=fields["attempts"], reason=fields["reason"])
    vars(error).update(fields)
    return error


def pool_error(code: int, message: str) -> PoolError:
    """The exception behind a code of the C library."""
    classes = {_DEADLINE: DeadlineExceeded, _INITIALIZER: InitializerFailed}
    return classes.get(code, PoolError)(code, message)


def make_failed(reason: str, detail: Any, item: int, attempts: int, signal: int, exit_code: int,
                backtrace: str | None, traceback: str | None) -> Exception:
    """The exception for an item that has no result."""
    if reason == "error":
        return RemoteError("PoolError", detail)
    if reason == "sys.exit":
        reason = "exit"
        exit_code = detail if isinstance(detail, int) else int(detail is not None)
        detail = f"the function ended by sys.exit({detail!r})"
    cls = WorkerTimeout if reason == "timeout" else WorkerDied
    return cls(str(detail), item=item, attempts=attempts, reason=reason, signal=signal,
               exit_code=exit_code, backtrace=backtrace, traceback=_own_frames(traceback))


def _own_frames(traceback: str | None) -> str | None:
    """Without the frames of the process that opened the pool, from which the worker was forked."""
    if traceback is None:
        return None
    lines = []
    for line in traceback.splitlines():
        if line.endswith("in __init__") and "_engine.py" in line:
            break
        lines.append(line)
    return "\n".join(lines)



def load_error(packed: tuple[bytes | None, str, str, str]) -> BaseException:
    """An exception of a worker's, with its traceback as the cause."""
    from multiprocessing import pool

    pickled, type_name, message, text = packed
    error: BaseException | None = None
    if pickled is not None:
        try:
            loaded = pickle.loads(pickled)
        except Exception:  # pylint: disable=broad-except
            loaded = None  # only workers know the class, say; the text says what there is to say
        if isinstance(loaded, BaseException):
            error = loaded
    if error is None:
        error = RemoteError(type_name, message, text)
    # Not in the stubs of the standard library; the chain looks like that of its own pool.
    cause = vars(pool)["RemoteTraceback"](f'\n"""\n{text}"""')
    error.__cause__ = cause
    return error
