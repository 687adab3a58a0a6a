# SPDX-License-Identifier: Apache-2.0
"""What callers hand in, checked where it is handed in."""

from __future__ import annotations

import operator
from typing import Any, Literal

from forkfold._native import available_cpus

Errors = Literal["raise", "collect"]

RETRIES = 2


def whole_number(name: str, value: Any) -> int:
    """The value as an int; TypeError if it is not a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {value!r}") from None


def at_least_one(name: str, value: Any) -> int:
    """Likewise, and ValueError if it is below 1."""
    number = whole_number(name, value)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return number


def workers(num_workers: Any) -> int:
    """How many processes that asks for."""
    return available_cpus() if num_workers is None else at_least_one("num_workers", num_workers)


class Options:
    """How the items of a call are to be run."""

    __slots__ = ("attempts", "deadline_ns", "timeout_ns")

    def __init__(self, timeout: float | None, deadline: float | None, retries: int) -> None:
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries must be a number of times, not {retries!r}")
        self.timeout_ns = as_ns("timeout", timeout)
        self.deadline_ns = as_ns("deadline", deadline)
        self.attempts = retries + 1


def as_ns(name: str, seconds: float | None) -> int:
    """A time that a caller has set, or 0 for none; ValueError if it is none at all."""
    if seconds is None:
        return 0
    if not 0 < seconds < 1e9:
        raise ValueError(f"{name} must be a number of seconds above 0, not {seconds!r}")
    return max(1, int(seconds * 1e9))


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
