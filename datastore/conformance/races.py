"""Running calls against each other."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

ROUNDS = 10
"""How often a race is run. The number ends it and not a clock, so a slow database only takes longer."""


def race(*calls: Callable[[], T]) -> list[T]:
    """Run calls at the same moment, each in its own thread.

    Returns:
        Their results, in order. After all of them have ended, the first error is raised.
    """
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with _eager_switching(), ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(run, call) for call in calls]
    return [future.result() for future in running]


@contextmanager
def _eager_switching() -> Iterator[None]:
    """Make the interpreter switch between threads so often that a gap in an adapter's locking shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
