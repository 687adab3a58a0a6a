# SPDX-License-Identifier: Apache-2.0
"""Functions for workers to run."""

import ctypes
import os
import signal
import sys


def square(value):
    return value * value


def add(left, right=0):
    return left + right


def identity(value):
    return value


def nothing():
    return None


def die(how, item=0):
    """Ends, or fails, in one of many ways; 'well' returns the item."""
    WAYS[how]()
    return item


def _overflow():
    sys.setrecursionlimit(1 << 30)
    return ctypes.PYFUNCTYPE(ctypes.py_object)(_overflow)()


def _recurse():
    return _recurse()


def _endless():
    while True:
        signal.pause()


WAYS = {
    "well": nothing,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "terminate": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "abort": os.abort,
    "_exit": lambda: os._exit(7),
    "_exit well": lambda: os._exit(0),
    "sys.exit": lambda: sys.exit(3),
    "sys.exit words": lambda: sys.exit("words"),
    "segfault": lambda: ctypes.memset(0x18, 1, 1),
    "overflow": _overflow,
    "recursion": _recurse,
    "hang": _endless,
    "memory": lambda: bytearray(1 << 40),
}


def die_once(path, how, item=0):
    """Dies of it if the file is not there, which it makes first."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return item
    return die(how, item)


def wait_to_be_killed_once(paths):
    """Writes to a FIFO who is to be killed, and waits for that; the second time it need not be."""
    ready, once = paths
    if os.path.exists(once):
        return "alive"
    os.close(os.open(once, os.O_CREAT))
    with open(ready, "w", encoding="ascii") as pids:
        pids.write(str(os.getpid()))
    return _endless()


class DiesWhileUnpickled:
    """Kills who unpickles it, unless that is the process that made it."""

    def __init__(self):
        self.home = os.getpid()

    def __setstate__(self, state):
        if os.getpid() != state["home"]:
            os.kill(os.getpid(), signal.SIGKILL)


class DiesAfter100MB(DiesWhileUnpickled):
    """Likewise, when most of it has been read."""

    def __reduce__(self):
        return DiesAfter100MB, (), {"data": bytes(100 << 20), "home": self.home}


class DiesWhilePickled:
    """Kills who pickles it."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


def return_deadly(_item=None):
    return [bytes(100 << 20), DiesWhilePickled()]


class NotUnpickled(Exception):
    """Its arguments are not those of its constructor, as in CPython's issue 79492."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raise_not_unpickled(_item=None):
    raise NotUnpickled(1, 2)


class NotPickled(Exception):
    """Holds what cannot be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.held = lambda: None


def raise_not_pickled():
    raise NotPickled("words")


class NoWords(Exception):
    """Cannot even be made a text."""

    def __init__(self, message):
        super().__init__(message)
        self.held = lambda: None

    def __str__(self):
        raise RuntimeError("no")


def raise_no_words():
    raise NoWords("words")


def pid_of(_item=None):
    return os.getpid()


def identity_or_die(pair):
    return die(*pair)


def return_lambda():
    return lambda: 42


def divide(left, right):
    return left / right


def invert(value):
    return 1 / value


class Tracked:
    """An object that can be referred to weakly."""


_kept = []


def keep(*things):
    """As an initializer: for the functions that follow."""
    _kept[:] = things


def receive():
    """What comes through the connection that was kept."""
    return _kept[0].recv()


class Counter:
    """How often this copy of it was asked before."""

    def __init__(self):
        self.counted = -1

    def count(self, _item):
        self.counted += 1
        return self.counted


def describe_process():
    import multiprocessing

    process = multiprocessing.current_process()
    return process.name, process.daemon, multiprocessing.parent_process() is not None


def random_number(_item):
    import random

    return random.random()


def is_writeable(array):
    return bool(array.flags.writeable)


def make_numbers(count):
    import numpy

    return numpy.arange(count, dtype=float)


def kept():
    return _kept[0] + 0


def address(array):
    return array.__array_interface__["data"][0]


def first(array):
    return float(array.flat[0])


def last(array):
    return float(array.flat[-1])


def twice(array):
    return array * 2


# ---- Of texts, and for folds of what becomes of them -------------------------

def append(values, value):
    values.append(value)
    return values


def words_of(text):
    return len(text.split())


def words_if_even(text):
    words = words_of(text)
    return None if words % 2 else words


def wait_if_told(text):
    """The text; if that is "wait for PATH", not before the path is there."""
    while text.startswith("wait for ") and not os.path.exists(text.removeprefix("wait for ")):
        os.sched_yield()
    return text


def first_of(_unused, text):
    return text


class Caller:
    """Is called itself."""

    def __call__(self, text):
        return text


def _interrupt():
    raise KeyboardInterrupt


def _stop():
    raise StopIteration


WORSE = {**WAYS, "raise": lambda: 1 / 0, "stop": _stop, "interrupt": _interrupt,
         "not unpickled": raise_not_unpickled}


def words_or_die(text):
    """How many words; a text that is one of the ways to fail does that."""
    if text in WORSE:
        WORSE[text]()
    return words_of(text)


def words_after_a_death(path, number, text):
    """How many words; the first time that there are so many its worker dies of it."""
    words = words_of(text)
    return die_once(path, "kill", words) if words == number else words


def lambda_of(text):
    return lambda: text


def kill_supervisor(_text):
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


# ---- Numbers that are not well -------------------------------------------------

class DiesWhenMultiplied(float):
    """Kills its worker, or only the first one if there is a path of a file that says so."""

    def __new__(cls, value, path=None):
        number = super().__new__(cls, value)
        number.path = path
        return number

    def __mul__(self, other):
        if self.path is None:
            return die("kill")
        return die_once(self.path, "kill", float(self)) * float(other)

    def __reduce__(self):
        return type(self), (float(self), self.path)


class HangsWhenMultiplied:
    """Never comes to a product."""

    def __mul__(self, other):
        _endless()


def kill_supervisor_of(workers):
    with open(f"/proc/{next(iter(workers))}/stat", encoding="ascii") as stat:
        os.kill(int(stat.read().rpartition(")")[2].split()[1]), signal.SIGKILL)


def spy(thing, name, called):
    """Notes calls of a method, which does what it did."""
    method = getattr(thing, name)

    def noting():
        called.append(name)
        return method()

    setattr(thing, name, noting)


def return_or_raise(item):
    if item == 0:
        raise KeyError(item)
    return ValueError(item)


def touch(path):
    path.touch()
