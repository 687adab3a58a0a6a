# SPDX-License-Identifier: Apache-2.0
"""The functions that workers run for python.py: of a module, so that every library finds them by
their names."""

import time

ARRAY_BYTES = 100_000_000
ITEM_SECONDS = 0.001

_array = None


def cheap(value):
    return value * value


def take_a_millisecond(_):
    """Computes for so long; returns how long it was after all."""
    begin = time.perf_counter()
    while True:
        passed = time.perf_counter() - begin
        if passed >= ITEM_SECONDS:
            return passed


def new_array():
    import numpy
    return numpy.arange(ARRAY_BYTES // 8, dtype=numpy.float64)


def look_at(array):
    return float(array[0] + array[-1])


def give_array():
    """The same one each time, so that making it is not measured."""
    global _array
    if _array is None:
        _array = new_array()
    return _array
