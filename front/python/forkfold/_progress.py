# SPDX-License-Identifier: Apache-2.0
"""How far a call is, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

# Between two looks of a line that is written over, and between two lines where none can be.
_PERIOD_SECONDS, _LINE_SECONDS = 0.1, 5.0


class Progress:
    """By tqdm; where that is not installed, by a line that is written over on a terminal, and by
    a line every few seconds, and one at the end, elsewhere."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._is_closed = False
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next_at = 0.0 if self._is_terminal else time.monotonic() + _LINE_SECONDS
        self._bar: Any = None
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total)

    def step(self) -> None:
        """One more item is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif time.monotonic() >= self._next_at:
            self._show(self._is_terminal)

    def close(self) -> None:
        """No more will be."""
        if self._bar is not None:
            self._bar.close()
        elif not self._is_closed:
            self._is_closed = True
            self._show(False)

    def _show(self, stays: bool) -> None:
        """Stays: what comes next is written over it."""
        self._next_at = time.monotonic() + (_PERIOD_SECONDS if self._is_terminal else _LINE_SECONDS)
        of = "" if self._total is None else f" of {self._total}"
        if sys.stderr is not None:
            print("\r" * self._is_terminal + f"{self._done}{of} items", end="" if stays else "\n",
                  file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


class _NoProgress(Progress):
    """Shows nothing."""

    def __init__(self) -> None:  # pylint: disable=super-init-not-called
        pass

    def step(self) -> None:
        pass

    def close(self) -> None:
        pass


no_progress = _NoProgress()
