"""A clock that the tests move, so that time never decides one."""

from __future__ import annotations

import time
from itertools import count

DAY = 86_400
"""Seconds."""


class Clock:
    """Stands still from its making on, but for a microsecond with each look: no two records begin together.

    It is a day ahead because some databases remove expired documents by a clock of their own: what is live here must
    not be dead there.
    """

    def __init__(self) -> None:
        self._began = int(time.time()) + DAY
        self._advanced = 0.0
        self._looks = count()

    def __call__(self) -> float:
        return self._began + self._advanced + next(self._looks) * 1e-6

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._advanced += seconds
