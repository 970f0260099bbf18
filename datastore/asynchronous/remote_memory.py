"""Memory of an agent in a sandbox, awaited."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from datastore.asynchronous.bound import reads_long, writes, writes_long
from datastore.asynchronous.memory import AsyncMemory
from datastore.remote.memory import ServedMemory
from datastore.wire.calls import CALLS, IN_STEPS


class AsyncServedMemory(AsyncMemory):
    """An `AsyncMemory` whose calls a server makes."""

    __slots__ = ()

    async def ensure_index(self, progress: Callable[[int, int], object] | None = None) -> str:
        """See `ServedMemory.ensure_index`."""
        return await writes(self, ServedMemory.ensure_index, progress)


def _made_there(name: str) -> Callable[..., Any]:
    """Return the coroutine function that makes a call by one request, in a worker."""
    method = getattr(ServedMemory, name)
    made = writes_long if CALLS[f"memory_{name}"].writes or name == "reembed" else reads_long

    @wraps(getattr(AsyncMemory, name))
    async def made_there(self: AsyncServedMemory, /, *args: Any, **kwargs: Any) -> Any:
        return await made(self, method, *args, **kwargs)

    return made_there


for _call in IN_STEPS["memory"]:
    _name = _call.removeprefix("memory_")
    if _name != "items":  # it streams what the synchronous one does
        setattr(AsyncServedMemory, _name, _made_there(_name))
