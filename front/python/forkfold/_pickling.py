# SPDX-License-Identifier: Apache-2.0
"""Pickling what calls need, and functions above all."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

PROTOCOL = 5

# What pickle raises for functions and classes that cannot be found by their names.
_UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError)

_ADVICE = ": define it at the top of a module, or install cloudpickle"

_by_reference = (types.FunctionType, types.BuiltinFunctionType, type)

Buffers = Callable[[pickle.PickleBuffer], bool]


class _Pickler(pickle.Pickler):
    """Knows the reducers of multiprocessing too: of its locks, connections and sockets."""

    dispatch_table: Any


def _reducers() -> dict[type, Any] | None:
    """None where nobody can have anything of multiprocessing's."""
    reduction = sys.modules.get("multiprocessing.reduction")
    if reduction is None:
        return None
    return {**copyreg.dispatch_table, **reduction.ForkingPickler._extra_reducers}


def _plain_dumps(obj: object, buffers: Buffers | None) -> bytes:
    reducers = _reducers()
    if reducers is None:
        return pickle.dumps(obj, PROTOCOL, buffer_callback=buffers)
    file = io.BytesIO()
    pickler = _Pickler(file, PROTOCOL, buffer_callback=buffers)
    pickler.dispatch_table = reducers
    pickler.dump(obj)
    return file.getvalue()


def _cloudpickle() -> Any:
    """The module, or None where it is not installed."""
    try:
        import cloudpickle
    except ImportError:
        return None
    return cloudpickle


def _keeper(least: int, views: list[memoryview]) -> Buffers:
    """Puts large buffers into views; the others become part of the pickle."""
    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < least:
            return True
        views.append(view)
        return False
    return keep


def dumps(obj: object, least: int, views: list[memoryview]) -> bytes:
    """Pickles an argument."""
    keep = _keeper(least, views)
    try:
        return _plain_dumps(obj, keep)
    except _UNPICKLABLE as error:
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            _refuse("an argument", error, _ADVICE)
        views.clear()
        try:
            pickled: bytes = cloudpickle.dumps(obj, PROTOCOL, buffer_callback=keep)
            return pickled
        except Exception:  # pylint: disable=broad-except
            pass
        _refuse("an argument", error)


def _refuse(what: str, error: Exception, advice: str = "") -> NoReturn:
    """Raises the error again, with what cannot be pickled, and the advice if it is about a name that
    workers would not find; what is left to do about anything else."""
    if type(error) not in _UNPICKLABLE:
        raise error  # somebody's own
    if isinstance(error, TypeError):
        advice = "; let the workers make it, in the function or in an initializer of the pool"
    raise type(error)(f"{what} cannot be pickled ({error}){advice}") from error


def dumps_result(obj: object, least: int, views: list[memoryview]) -> bytes:
    """Pickles a result, of which the caller has to know the classes."""
    return _plain_dumps(obj, _keeper(least, views))


def loads(data: memoryview, views: list[Any] | tuple[()]) -> object:
    """What was pickled by one of the above."""
    return pickle.loads(data, buffers=views or None)


# ---- Functions ---------------------------------------------------------------

def known_names() -> dict[str, object]:
    """The functions and classes of __main__: workers know those that are there when they start."""
    main = sys.modules.get("__main__")
    return {name: value for name, value in vars(main).items()
            if isinstance(value, (types.FunctionType, type))} if main is not None else {}


def _is_unknown(function: object, known: dict[str, object]) -> bool:
    """Whether workers would look for the function in vain, or find another one of its name."""
    if getattr(function, "__module__", None) != "__main__":
        return False
    name = getattr(function, "__qualname__", "").split(".")[0]
    main = sys.modules.get("__main__")
    return bool(name) and known.get(name) is not getattr(main, name, None)


def dump_function(function: Callable[..., Any], known: dict[str, object]) -> tuple[bytes, bool]:
    """The pickled function, and whether it is the same object each time that it is loaded."""
    if not callable(function):
        raise TypeError(f"the function must be a callable, not {function!r}")
    is_named = isinstance(function, _by_reference)
    if is_named and _is_unknown(function, known):
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            raise pickle.PicklingError(
                f"{function!r} was defined in __main__ after the pool was opened, so its workers do "
                "not know it: define it before, open a new pool, or install cloudpickle")
        return _dump_closure(cloudpickle, function), False
    try:
        return _plain_dumps(function, None), is_named
    except _UNPICKLABLE as error:
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            _refuse(repr(function), error, _ADVICE)
    return _dump_closure(cloudpickle, function), False


def _dump_closure(cloudpickle: Any, function: Callable[..., Any]) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(function, PROTOCOL)
        return pickled
    except _UNPICKLABLE as error:
        _refuse(repr(function), error)
