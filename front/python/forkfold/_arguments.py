# SPDX-License-Identifier: Apache-2.0
"""What callers hand in, checked where it is handed in."""

from __future__ import annotations

import operator
from typing import Any

from forkfold._native import available_cpus


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
