"""Interrupts: a signal arrives in the middle of a call, at any line of the package."""

from __future__ import annotations

import functools
import sys
from types import FrameType
from typing import Any

from datastore.queries import outlines

LINES = 20.0
"""After so many lines of the package, on average, an interrupt arrives."""


class Interrupted(BaseException):
    """A signal arrived during a call, and what handles it has raised this."""


def _is_of_the_package(frame: FrameType) -> bool:
    """Return whether a frame executes a line of the store or of an adapter that comes with it."""
    name: str = frame.f_globals.get("__name__", "")
    return name.startswith(("datastore.", "datastore_")) and not name.startswith("datastore.conformance.")


def interrupt(lines: int) -> None:
    """Let an interrupt arrive in the current task, after so many lines of the package."""
    left = lines

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if left < 0:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Interrupted
        return trace

    def begin(frame: FrameType, event: str, _: object) -> Any:
        return trace if _is_of_the_package(frame) else None

    above: FrameType | None = sys._getframe()
    while above is not None:
        if _is_of_the_package(above):
            above.f_trace = trace
        above = above.f_back
    sys.settrace(begin)


def forget_results() -> None:
    """Empty the caches of the package's functions: what is in them decides which lines come before an interrupt."""
    for cached in _cached(len(sys.modules)):
        cached.cache_clear()
    outlines._known.clear()


@functools.lru_cache(maxsize=1)
def _cached(modules: int) -> tuple[functools._lru_cache_wrapper[Any], ...]:
    """Return the package's functions that have a cache, which are looked for again when modules were imported."""
    return tuple(
        one
        for name, module in list(sys.modules.items())
        if name.startswith("datastore") and not name.startswith("datastore.conformance") and module is not None
        for one in list(vars(module).values())
        if isinstance(one, functools._lru_cache_wrapper)
    )
