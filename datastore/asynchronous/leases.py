"""`Lease` and `Lock`, awaited."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from datastore.agent import AgentDataStore
from datastore.asynchronous.bound import Hidden, Walk, hide, inside_of, leaves, twin_of, walked, writes
from datastore.calls.leases import Asked, Lease, taking
from datastore.errors import ReentrantCallError
from datastore.scope import OfOneProcess

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore


@twin_of(Lease)
class AsyncLease(Hidden, OfOneProcess):
    """A lease that this process has taken, with calls that are awaited: ``async with``. See `Lease`."""

    __slots__ = ()

    def __new__(cls, owner: Hidden, lease: Lease[AgentDataStore]) -> Self:
        """Bind a new object to a lease."""
        self = super().__new__(cls)
        hide(self, inside_of(owner)._replace(twin=lease, line=None))
        return self

    @property
    def sync(self) -> Lease[AgentDataStore]:
        """The same lease, with calls that block."""
        return cast("Lease[AgentDataStore]", inside_of(self).twin)

    @property
    def data_store(self) -> AsyncAgentDataStore:
        return self.sync.data_store.asynchronous

    @property
    def name(self) -> str:
        return self.sync.name

    @property
    def number(self) -> int:
        return self.sync.number

    @property
    def expires_at(self) -> datetime:
        return self.sync.expires_at

    @property
    def is_held(self) -> bool:
        return self.sync.is_held

    async def renew(self) -> None:
        return await writes(self, Lease.renew)

    async def release(self) -> bool:
        return await leaves(self, Lease.release)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.release()

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


class AsyncLock(Hidden, OfOneProcess):
    """A lease to be waited for: ``async with``. Made by `AsyncAgentDataStore.lock`. Waiting takes no thread."""

    __slots__ = ("_asked", "_lease")

    def __init__(self, owner: Hidden, asked: Asked) -> None:
        hide(self, inside_of(owner)._replace(line=None))
        self._asked = asked
        self._lease: AsyncLease | None = None

    async def __aenter__(self) -> AsyncLease:
        if self._lease is not None:
            raise ReentrantCallError("this lock is held already; call lock() once for each block")
        lease = await walked(self, _taking(self), _nothing, limited=False, takes=True)
        self._lease = AsyncLease(self, lease)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()

    def __repr__(self) -> str:
        return f"AsyncLock(name={self._asked.name!r}, is_held={self._lease is not None and self._lease.is_held})"


# What follows is no coroutine, whose frame could be looked into.


def _taking(lock: AsyncLock) -> Walk:
    return Walk(taking(inside_of(lock).twin, lock._asked), _nothing)


def _nothing() -> Any:
    """Be the function of a call that needs none."""
