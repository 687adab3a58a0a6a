# SPDX-License-Identifier: Apache-2.0
"""How far a call is, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Any

_PERIOD_SECONDS = 0.1


class Progress:
    """By tqdm, or a line that is written over where that is not installed."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._shown_at = 0.0
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
        elif time.monotonic() - self._shown_at >= _PERIOD_SECONDS:
            self._show("")

    def close(self) -> None:
        """No more will be."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._show("\n")

    def _show(self, end: str) -> None:
        self._shown_at = time.monotonic()
        of = "" if self._total is None else f" of {self._total}"
        print(f"\r{self._done}{of} items", end=end, file=sys.stderr, flush=True)

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
