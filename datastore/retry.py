"""Delays between repeated attempts: capped exponential backoff with full jitter, within a time budget.

The delays follow "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015): a random time between
zero and a bound that doubles up to a cap, so that many clients do not retry at the same moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from datastore.deadlines import until
from datastore.errors import DataStoreError

T = TypeVar("T")


class Backoff:
    """The waiting between the attempts of one call.

    Args:
        seconds: The budget: `wait` returns ``False`` when this much time has passed since construction, or when the
            deadline of the current call is reached.
        first: The longest first delay, in seconds; the bound doubles with each attempt.
        cap: The longest delay, in seconds.
    """

    def __init__(self, seconds: float, first: float, cap: float) -> None:
        self._deadline = min(time.monotonic() + seconds, until())
        self._bound = first
        self._cap = cap

    def wait(self) -> bool:
        """Sleep, and return whether there is time for another attempt."""
        seconds = self.delay()
        if seconds is None:
            return False
        time.sleep(seconds)
        return True

    def repeat(self, call: Callable[[], T]) -> T:
        """Return what a harmless call returns; repeat it as long as it fails for now, and there is time.

        Args:
            call: What may be done more than once.

        Raises:
            DataStoreError: If it fails for good (`DataStoreError.retryable`), or there is no more time.
        """
        while True:
            try:
                return call()
            except DataStoreError as error:
                if not error.retryable or not self.wait():
                    raise

    def has(self, seconds: float) -> bool:
        """Return whether there is that much time left."""
        return time.monotonic() + seconds < self._deadline

    def delay(self) -> float | None:
        """Return how long to wait before the next attempt; ``None`` if there is no time for another one."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return None
        from random import uniform  # here, because it takes longer to import than this module, and is seldom needed

        seconds = min(uniform(0, self._bound), left)
        self._bound = min(self._bound * 2, self._cap)
        return seconds
