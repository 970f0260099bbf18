"""A clock that only the tests move, so that no test depends on real time."""

from __future__ import annotations

import time
from itertools import count

DAY = 86_400
"""In seconds."""


class Clock:
    """Stands still, except that each look moves it by a microsecond, so that no two records have the same time.

    It is a day ahead of the real time, because some databases remove expired documents by their own clock. What is live
    here must not be expired there.
    """

    def __init__(self) -> None:
        self._began = int(time.time()) + DAY
        self._advanced = 0.0
        self._looks = count()

    def __call__(self) -> float:
        return self._began + self._advanced + next(self._looks) * 1e-6

    def advance(self, seconds: float) -> None:
        """Move the clock ahead."""
        self._advanced += seconds
