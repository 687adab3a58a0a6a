# SPDX-License-Identifier: Apache-2.0
"""Workers that are lent to a job of the C library, which runs no Python in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from forkfold import _native

# Counting words needs no pool that runs Python, and need not wait for all that such a one imports.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkfold.pool import Pool


@contextlib.contextmanager
def workers(pool: Pool | None, count: int, memory: int = 0) -> Iterator[_native.Pool]:
    """The workers of a pool, or so many of its own, with so many bytes for counts."""
    if pool is not None:
        yield native_of(pool)
        return
    native = _native.Pool(count, None, (), 0, 0, 0, 0, memory)
    try:
        yield native
    finally:
        native.close()


def native_of(pool: Pool) -> _native.Pool:
    """The C library's pool behind it; TypeError or ValueError if it is none that is open."""
    from forkfold.pool import check_pool

    check_pool(pool)
    pool._check_running()
    return pool._engine.native
