# SPDX-License-Identifier: Apache-2.0
"""Processes that run functions, and may die.

``forkfold.Pool`` has the interface of ``multiprocessing.Pool``, and ``forkfold.Executor`` that of
``concurrent.futures.Executor``.  A worker that crashes, is killed or hangs costs the item that it
was on: that is tried again, and then raises :class:`WorkerDied`; everything else goes on.
"""

from forkfold._native import available_cpus
from forkfold._native import version as __version__

# Which module has what is public.  Each is imported when the first name of it is used: a program
# that counts words would wait as long for all of them as for the words of a thousand files.
_NAMES = {
    "_errors": ["DeadlineExceeded", "InitializerFailed", "PoolError", "QueueEnded", "RemoteError",
                "WorkerDied", "WorkerTimeout"],
    "_native": ["__version__", "available_cpus"],
    "data_processor": ["FailedFile", "ParallelDataProcessor"],
    "executor": ["Executor"],
    "jobs": ["Statistics", "chunk_size", "count_primes", "matmul", "primes", "statistics", "sum"],
    "parallel_processor": ["Metrics", "OptimizedParallelProcessor", "UnoptimizedParallelProcessor",
                           "generate_test_data", "generate_test_matrix", "generate_test_text"],
    "pipeline": ["Pipeline"],
    "pool": ["AsyncResult", "IMapIterator", "Pool", "PoolStats", "array"],
    "queues": ["Queue"],
    "words": ["FailedInput", "InputsFailed", "WordCounts", "count_words"],
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Relative to the package, and without importlib, which would be imported for this alone.
    home = __import__(f"{__name__}.{module}", fromlist=[name])
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
