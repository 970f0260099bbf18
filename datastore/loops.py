"""Warns of a call that blocks an event loop while a database is asked over a network."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_WITH_TWINS = frozenset({"DataStore", "AgentDataStore", "Vault", "KeyValueStore", "Blobs", "Log", "Memory"})
_WITH_TWINS |= {"VectorVault", "Lease", "Lock", "Run", "Runs", "Tokens"}
_AROUND = frozenset({"within_its_time", "watched"})
"""Functions around a call, which have other names than it (`datastore.scope.bounded`, `datastore.watching`)."""


class BlockingCallWarning(UserWarning):
    """A synchronous call of a store on a server was made on a running event loop, which could do nothing meanwhile."""


class _Warned:
    yet = False
    """One warning in a process is enough to say that the program does this."""


def is_on_loop() -> bool:
    """Return whether the current thread runs an event loop."""
    asyncio = sys.modules.get("asyncio.events")  # whoever has not imported it runs no loop of it
    return asyncio is not None and asyncio._get_running_loop() is not None


def warn_if_on_loop() -> None:
    """Warn, once in a process, if the current thread runs an event loop."""
    if _Warned.yet or not is_on_loop():
        return
    _Warned.yet = True
    call, depth = _call(sys._getframe(1))
    warnings.warn(
        f"{call} was called on a running event loop, which it blocks until the database answers. Await Async{call} "
        "instead: the property `asynchronous` leads there, and datastore.connect_async() opens such a store. To allow "
        "calls that block, open the store with warn_on_loop=False",
        BlockingCallWarning,
        stacklevel=depth + 2,
    )


def _call(frame: FrameType | None) -> tuple[str, int]:
    """Return the call that the program made, and how many frames above its own it is."""
    call, depth, level = "AgentDataStore.iter_records", 0, 0  # whose stream knows no store
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "datastore":
            depth = level + 1
            kind = type(frame.f_locals.get("self")).__name__
            kind = kind.removeprefix("Remote").removeprefix("Served")  # `datastore.remote`
            if kind in _WITH_TWINS and frame.f_code.co_name not in _AROUND:
                name = frame.f_code.co_name
                call = f"{kind}.{'exists' if name == '__contains__' else name}"
        frame, level = frame.f_back, level + 1
    return call, depth
