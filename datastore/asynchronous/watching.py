"""The awaited calls of an agent whose calls somebody watches; see `datastore.watching`.

The host is told when the caller has the result: on the event loop, with the time that the call has waited for a worker.
What the call has come to is counted in the worker.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any

from datastore.asynchronous.agent import AsyncAgentDataStore, FoundRecords
from datastore.asynchronous.bound import inside_of
from datastore.watching import Call, WatchedScope, as_if, calls_of, counting, watched_scope_of

if TYPE_CHECKING:
    from datastore.calls.listings import Page
    from datastore.record import Record


# What follows is called in coroutines, whose frames can be looked into: the scope stays here.


def _scope(self: AsyncAgentDataStore) -> WatchedScope:
    return watched_scope_of(inside_of(self).twin)


def _begin(self: AsyncAgentDataStore, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    return _scope(self).begin(name, args, kwargs)


def _enter(self: AsyncAgentDataStore, call: Call) -> None:
    _scope(self).enter(call)


def _leave(self: AsyncAgentDataStore, call: Call) -> None:
    _scope(self).leave(call)


def _end(self: AsyncAgentDataStore, call: Call, error: BaseException | None = None) -> None:
    _scope(self).end(call, error)


def _watched(name: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def watched(self: AsyncAgentDataStore, /, *args: Any, **kwargs: Any) -> Any:
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

    return watched


class WatchedAsyncAgentDataStore(AsyncAgentDataStore):
    """An `AsyncAgentDataStore` whose calls are told to the host. Its streams are told of by its synchronous twin."""

    __slots__ = ()

    def find_records(self, *args: Any, **kwargs: Any) -> FoundRecords:
        """See `AgentDataStore.find_records`."""
        found = super().find_records(*args, **kwargs)
        return _WatchedRecords(self, found._page, found._limit, found._cursor)


for _name, _function in calls_of(AsyncAgentDataStore).items():
    if inspect.iscoroutinefunction(_function):
        setattr(WatchedAsyncAgentDataStore, _name, _watched(_name, _function))
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
