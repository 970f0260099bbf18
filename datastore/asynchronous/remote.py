"""The awaited calls of an agent in a sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from datastore.agent import AgentDataStore
from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.asynchronous.bound import Walk, inside_of, reads, walked, writes
from datastore.asynchronous.runs import AsyncRuns
from datastore.asynchronous.store import in_a_thread
from datastore.remote.agent import RemoteAgentDataStore, computing_there, modifying_there
from datastore.remote.runs import ServedRuns
from datastore.scope import scope_of

if TYPE_CHECKING:
    from datastore.asynchronous.memory import AsyncMemory


class AsyncServedRuns(AsyncRuns):
    """The runs of a namespace that a server has, with calls that are awaited."""

    __slots__ = ()

    _made_by = ServedRuns


class AsyncRemoteAgentDataStore(AsyncAgentDataStore):
    """A `RemoteAgentDataStore` whose calls are awaited. `datastore.connect_async` returns it; ``async with`` closes it.

    Its reads do not gather: each call is a request of its own, and the server gathers them.
    """

    __slots__ = ()

    _made_by = RemoteAgentDataStore

    @property
    def memory(self) -> AsyncMemory:
        """Texts with vectors in this namespace, and the search by meaning: an `AsyncMemory`."""
        from datastore.asynchronous.remote_memory import AsyncServedMemory  # imported here, because few need it

        return AsyncServedMemory(self, self.sync.memory)

    if TYPE_CHECKING:

        @property
        def sync(self) -> RemoteAgentDataStore: ...

    @property
    def runs(self) -> AsyncServedRuns:
        return AsyncServedRuns(self, self.sync.runs)

    async def aclose(self) -> None:
        """Close the connections to the server, when the calls under way have ended. Idempotent."""
        await in_a_thread(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    if not TYPE_CHECKING:  # for a type checker they have the signatures of the base, with all overloads
        # The docstrings are those of the calls of the same name.

        async def get(
            self, key: str, default: Any = None, *, type: Any = None, touch: float | timedelta | None = None
        ) -> Any:
            made = reads if touch is None else writes
            return await made(self, AgentDataStore.get, key, default, type=type, touch=touch)

        async def exists(self, key: str) -> bool:
            return await reads(self, AgentDataStore.exists, key)

        async def get_many(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:
            return await reads(self, AgentDataStore.get_many, keys, type=type)

        async def modify(
            self,
            key: str,
            function: Callable[[Any], Any] | Callable[[Any], Awaitable[Any]],
            default: Any = None,
            *,
            allow_none: bool = False,
            ttl: float | timedelta | None = None,
            touch: bool = False,
        ) -> Any:
            walk = _modifying(self, key, function, default, allow_none=allow_none, ttl=ttl, touch=touch)
            return await walked(self, walk, function, limited=True)

        async def get_or_set(
            self,
            key: str,
            function: Callable[[], Any] | Callable[[], Awaitable[Any]],
            *,
            metadata: dict[str, Any] | None = None,
            ttl: float | timedelta | None = None,
            refresh: float | timedelta | None = None,
            lease: float | timedelta = 60.0,
        ) -> Any:
            walk = _computing(self, key, function, metadata=metadata, ttl=ttl, refresh=refresh, lease=lease)
            return await walked(self, walk, function, limited=False)


# Not coroutines, whose frames could be looked into; see `datastore.asynchronous.bound`.


def _modifying(self: AsyncRemoteAgentDataStore, key: str, function: Any, default: Any, **options: Any) -> Walk:
    return Walk(modifying_there(scope_of(inside_of(self).twin), key, function, default, **options), function)


def _computing(self: AsyncRemoteAgentDataStore, key: str, function: Any, **options: Any) -> Walk:
    return Walk(computing_there(scope_of(inside_of(self).twin), key, function, **options), function)


for _name in ("runs", "get", "exists", "get_many", "modify", "get_or_set"):
    vars(AsyncRemoteAgentDataStore)[_name].__doc__ = getattr(AgentDataStore, _name).__doc__
