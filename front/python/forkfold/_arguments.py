# SPDX-License-Identifier: Apache-2.0
"""What callers hand in, checked where it is handed in."""

from __future__ import annotations

import operator
import time
from typing import Any, Literal

from forkfold._native import available_cpus

Errors = Literal["raise", "collect"]

RETRIES = 2

# What the library's counts hold: those of processes and of times have 32 bits.
COUNT_MOST, LARGE_MOST = 2**32 - 1, 2**63 - 1


def whole_number(name: str, value: Any) -> int:
    """The value as an int; TypeError if it is not a whole number."""
    try:
        return int(operator.index(value))
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None


def at_most(name: str, number: int, most: int) -> int:
    """The number; ValueError if it is above the most."""
    if number > most:
        raise ValueError(f"{name} must be at most {most}, not {number}")
    return number


def at_least_one(name: str, value: Any, most: int = LARGE_MOST) -> int:
    """The value as an int; TypeError if it is none, ValueError below 1 or above the most."""
    number = whole_number(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return at_most(name, number, most)


def processes(value: Any) -> int:
    """How many processes that asks for."""
    if value is None:
        return available_cpus()
    number = whole_number("processes", value)
    if number < 1:
        raise ValueError("Number of processes must be at least 1")
    return at_most("processes", number, COUNT_MOST)


def byte_count(name: str, value: Any) -> int:
    """A limit of memory, or 0 for none."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGE_MOST:
        raise ValueError(f"{name} must be a positive number of bytes (2**30 for a GiB) or None, "
                         f"not {value!r}")
    return value


def as_ns(name: str, seconds: Any) -> int:
    """A time that a caller has set, or 0 for none; TypeError or ValueError if it is no time."""
    if seconds is None:
        return 0
    try:
        is_time = 0 < seconds < 1e9
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r}") from None
    if not is_time:
        raise ValueError(f"{name} must be a number of seconds above 0, not {seconds!r}")
    return max(1, int(seconds * 1e9))


def later(seconds: Any) -> float:
    """When a timeout from now on is over; TypeError if it is none."""
    try:
        return time.monotonic() + seconds  # type: ignore[no-any-return]
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {seconds!r}") from None


def callback(name: str, value: Any) -> None:
    """TypeError if it can be called neither now nor later."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function or None, not {value!r}")


def workers(num_workers: Any) -> int:
    """How many processes that asks for."""
    if num_workers is None:
        return available_cpus()
    return at_least_one("num_workers", num_workers, COUNT_MOST)


class Options:
    """How the items of a call are to be run."""

    __slots__ = ("attempts", "deadline_ns", "timeout_ns")

    def __init__(self, timeout: float | None, deadline: float | None, retries: int) -> None:
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries must be a number of times, not {retries!r}")
        self.timeout_ns = as_ns("timeout", timeout)
        self.deadline_ns = as_ns("deadline", deadline)
        self.attempts = at_most("retries", retries, COUNT_MOST - 1) + 1


def collects(errors: str) -> bool:
    """Whether failures are among the results, instead of being raised."""
    if errors not in ("raise", "collect"):
        raise ValueError(f"errors must be 'raise' or 'collect', not {errors!r}")
    return errors == "collect"


def as_list(name: str, data: Any) -> list[Any]:
    """The data, as they are if they are a list; TypeError if they are nothing of the kind.

    Of an array Python's own numbers, not the array's.
    """
    if isinstance(data, list):
        return data
    try:
        return list(data.tolist() if hasattr(data, "tolist") else data)
    except TypeError:
        raise TypeError(f"{name} must be a list, not {data!r}") from None


def not_empty(name: str, data: Any) -> None:
    """ValueError if there is nothing in it."""
    if len(data) == 0:
        raise ValueError(f"{name} must not be empty")


def items(name: str, data: Any) -> list[Any]:
    """The data as a list, with something in it."""
    listed = as_list(name, data)
    not_empty(name, listed)
    return listed
