"""The awaited calls of an agent whose calls somebody watches; see `datastore.watching`.

The host is told when the caller has the result: on the event loop, with the time that the call has waited for a worker.
What the call has come to is counted in the worker.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from datetime import timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from datastore.asynchronous.agent import AsyncAgentDataStore, FoundRecords
from datastore.asynchronous.bound import Hidden, inside_of
from datastore.asynchronous.leases import AsyncLease, AsyncLock
from datastore.measuring import Call
from datastore.watching import WatchedScope, as_if, calls_of, counting, measured, watched_scope_of

if TYPE_CHECKING:
    from datastore.asynchronous.blobs import AsyncBlobs
    from datastore.asynchronous.memory import AsyncMemory
    from datastore.asynchronous.runs import AsyncRuns
    from datastore.calls.listings import Page
    from datastore.record import Record


T = TypeVar("T")

# What follows is called in coroutines, whose frames can be looked into: the scope stays here.


def _scope(self: Hidden) -> WatchedScope:
    return watched_scope_of(inside_of(self).twin)


def _begin(self: Hidden, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    return _scope(self).begin(name, args, kwargs)


def _enter(self: Hidden, call: Call) -> None:
    _scope(self).enter(call)


def _leave(self: Hidden, call: Call) -> None:
    _scope(self).leave(call)


def _end(self: Hidden, call: Call, error: BaseException | None = None) -> None:
    _scope(self).end(call, error)


def awaited(name: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a coroutine method like another, whose calls are told of under a name."""

    @wraps(original)
    async def made(self: Hidden, /, *args: Any, **kwargs: Any) -> Any:
        call = _begin(self, name, args, kwargs)
        if call is None:
            return await original(self, *args, **kwargs)
        try:
            args, kwargs = counting(call, args, kwargs)
            result = await original(self, *args, **kwargs)
            call.measure(result)
        except BaseException as error:
            _end(self, call, error)
            raise
        _end(self, call)
        return result

    return made


class _WatchedLock(AsyncLock):
    """An `AsyncLock` that tells the host when its block begins."""

    __slots__ = ()

    async def __aenter__(self) -> AsyncLease:
        return cast(AsyncLease, await _locked(self, self._asked.name))


@partial(awaited, "lock")
async def _locked(lock: _WatchedLock, name: str) -> AsyncLease:
    return await AsyncLock.__aenter__(lock)


as_if(_WatchedLock, AsyncLock)


class Told(Hidden):
    """An object all of whose calls are told to the host here, and so counted.

    Within such a call, and in its context, the caller's own function may await others: a log, the host's store, an
    agent that nobody watches. What these return is no part of it.
    """

    __slots__ = ()

    def _measured(self, call: Callable[[], T]) -> Callable[[], T]:
        return partial(measured, call)


class WatchedAsyncAgentDataStore(Told, AsyncAgentDataStore):
    """An `AsyncAgentDataStore` whose calls are told to the host. Its streams are told of by its synchronous twin."""

    __slots__ = ()

    @property
    def blobs(self) -> AsyncBlobs:
        """See `AgentDataStore.blobs`."""
        from datastore.asynchronous.watching_beside import WatchedAsyncBlobs  # imported here, because few need it

        return WatchedAsyncBlobs(self, self.sync.blobs)

    @property
    def memory(self) -> AsyncMemory:
        """See `AgentDataStore.memory`."""
        from datastore.asynchronous.watching_beside import WatchedAsyncMemory  # imported here, because few need it

        return WatchedAsyncMemory(self, self.sync.memory)

    @property
    def runs(self) -> AsyncRuns:
        """See `AgentDataStore.runs`. What is done to a run that is held is told of by its synchronous twin."""
        from datastore.asynchronous.watching_beside import WatchedAsyncRuns  # imported here, because few need it

        return WatchedAsyncRuns(self, self.sync.runs)

    def lock(self, name: str, *, ttl: float | timedelta = 30.0, timeout: float | timedelta = 30.0) -> AsyncLock:
        """See `AgentDataStore.lock`. It makes no request; what its block takes when it begins is told then."""
        return _WatchedLock(self, self.sync.lock(name, ttl=ttl, timeout=timeout)._asked)

    def find_records(self, *args: Any, **kwargs: Any) -> FoundRecords:
        """See `AgentDataStore.find_records`."""
        found = super().find_records(*args, **kwargs)
        return _WatchedRecords(self, found._page, found._limit, found._cursor)


for _name, _function in calls_of(AsyncAgentDataStore).items():
    if inspect.iscoroutinefunction(_function):
        setattr(WatchedAsyncAgentDataStore, _name, awaited(_name, _function))
as_if(WatchedAsyncAgentDataStore, AsyncAgentDataStore)


def watched(kind: type[Any]) -> type[Any]:
    """Return the class that stands for a class of awaited stores if somebody watches."""
    return WatchedAsyncAgentDataStore if kind is AsyncAgentDataStore else kind


class _WatchedRecords(FoundRecords):
    """What matches a query: one event for the page that is awaited, or for all pages together."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Page]:
        return _one_page(self).__await__()

    async def __aiter__(self) -> AsyncIterator[Record]:
        call = _begin(self._owner, "find_records", (), {})
        if call is None:
            async for record in super().__aiter__():
                yield record
            return
        _leave(self._owner, call)  # between two records the program goes on
        pages, error = _Pages(self, call), None
        try:
            async for record in pages:
                yield record
        except GeneratorExit:
            raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            _end(self._owner, call, error)


async def _one_page(found: _WatchedRecords) -> Page:
    call = _begin(found._owner, "find_records", (), {})
    if call is None:
        return await found._fetch(found._limit, found._cursor)
    try:
        page = await found._fetch(found._limit, found._cursor)
    except BaseException as error:
        _end(found._owner, call, error)
        raise
    _end(found._owner, call)
    return page


class _Pages(FoundRecords):
    """The pages of one iteration, which are counted for one call."""

    __slots__ = ("_call",)

    def __init__(self, found: FoundRecords, call: Call) -> None:
        super().__init__(found._owner, found._page, found._limit, found._cursor)
        self._call = call

    async def _fetch(self, limit: int | None, cursor: str | None) -> Page:
        call = self._call
        _enter(self._owner, call)
        call.is_measured = False
        try:
            return await FoundRecords._fetch(self, limit, cursor)
        finally:
            _leave(self._owner, call)
