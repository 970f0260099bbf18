"""What an agent holds that is a coroutine: the calls of `AgentDataStore`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from datastore.agent import AgentDataStore
from datastore.arguments import as_text
from datastore.asynchronous.blobs import AsyncBlobs
from datastore.asynchronous.bound import (
    Hidden,
    Inside,
    Records,
    Walk,
    hide,
    inside_of,
    machinery_of,
    reads,
    reads_long,
    takes,
    twin_of,
    walked,
    writes,
    writes_long,
)
from datastore.asynchronous.gathering import Answer, Asked, Line
from datastore.asynchronous.interfaces import AsyncKeyValueStore, AsyncLog, AsyncVault  # to import it on a loop blocks
from datastore.asynchronous.leases import AsyncLease, AsyncLock
from datastore.backend import Document, Fields, NamespaceStats
from datastore.calls.batches import Item, keys_of
from datastore.calls.changes import modifying
from datastore.calls.claims import computing
from datastore.calls.leases import asked
from datastore.entries import Entry
from datastore.ids import encode_key
from datastore.scope import OfOneProcess, Scope, scope_of

if TYPE_CHECKING:
    from datastore.asynchronous.memory import AsyncMemory
    from datastore.asynchronous.runs import AsyncRuns
    from datastore.asynchronous.vector_vault import AsyncVectorVault
    from datastore.calls.listings import Page
    from datastore.queries.shaping import FieldsArgument, FilterArgument, SortArgument
    from datastore.record import Record

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", list[Any], dict[str, Any])
"""For a default such as ``[]`` or ``{}``: a type checker does not know the type of its elements."""


@twin_of(AgentDataStore)
class AsyncAgentDataStore(Hidden, OfOneProcess):
    """A store for one agent of one user, in one namespace, whose calls are awaited. See `AgentDataStore`.

    Every call means what the call of the same name means there, and takes, returns and raises the same. None of them
    blocks the event loop. `get`, `get_many` and `exists` gather: those that are asked in one turn of the loop, or while
    another one is under way, leave together, as one request.

    A read that is cancelled is forgotten. A call that changes something and has begun is waited for; then
    `asyncio.CancelledError` is raised. Values that are passed in must not be changed until the call has returned.
    """

    __slots__ = ()

    def __new__(cls, data_store: AgentDataStore) -> Self:
        """Bind a new object to what a synchronous one is bound to."""
        scope, kind = scope_of(data_store), cls
        if scope.stand_in is not None:
            from datastore.asynchronous.watching import watched  # imported here, because few watch

            kind = watched(cls)
        self = super().__new__(kind)
        machinery = machinery_of(scope.core)
        hide(self, Inside(data_store, scope.core, machinery, machinery.line(scope.encoded_user, scope.core)))
        return self

    @property
    def sync(self) -> AgentDataStore:
        """The same store, with calls that block: for code that runs in a thread."""
        return cast(AgentDataStore, inside_of(self).twin)

    @property
    def user_id(self) -> str:
        return self.sync.user_id

    @property
    def agent(self) -> str:
        return self.sync.agent

    @property
    def namespace(self) -> str:
        return self.sync.namespace

    def use_namespace(self, namespace: str) -> Self:
        return type(self)(self.sync.use_namespace(namespace))

    @property
    def vault(self) -> AsyncVault:
        return AsyncVault(self)

    @property
    def key_value(self) -> AsyncKeyValueStore:
        return AsyncKeyValueStore(self, self.sync.key_value)

    @property
    def blobs(self) -> AsyncBlobs:
        return AsyncBlobs(self, self.sync.blobs)

    @property
    def memory(self) -> AsyncMemory:
        from datastore.asynchronous.memory import AsyncMemory  # imported here, because few need it

        return AsyncMemory(self, self.sync.memory)

    @property
    def runs(self) -> AsyncRuns:
        from datastore.asynchronous.runs import AsyncRuns  # imported here, because few need it

        return AsyncRuns(self, self.sync.runs)

    def vector_vault(self, name: str) -> AsyncVectorVault:
        from datastore.asynchronous.vector_vault import AsyncVectorVault  # imported here, because few need it

        return AsyncVectorVault(self, self.sync.vector_vault(name))

    def log(self, name: str) -> AsyncLog:
        return AsyncLog(self, self.sync.log(name))

    # ------------------------------------------------------------------------------------------------- one record

    @overload
    async def get(self, key: str, *, touch: float | timedelta | None = None) -> Any: ...

    @overload
    async def get(self, key: str, default: C, *, touch: float | timedelta | None = None) -> Any | C: ...

    @overload
    async def get(self, key: str, default: D, *, touch: float | timedelta | None = None) -> Any | D: ...

    @overload
    async def get(
        self, key: str, default: None = None, *, type: type[T], touch: float | timedelta | None = None
    ) -> T | None: ...

    @overload
    async def get(self, key: str, default: C, *, type: type[T], touch: float | timedelta | None = None) -> T | C: ...

    @overload
    async def get(self, key: str, default: D, *, type: type[T], touch: float | timedelta | None = None) -> T | D: ...

    async def get(
        self, key: str, default: Any = None, *, type: Any = None, touch: float | timedelta | None = None
    ) -> Any:
        if touch is not None:
            return await writes(self, cast(Any, AgentDataStore.get), key, default, type=type, touch=touch)
        result, error = await _get(self, key, default, type)
        if error is not None:
            raise error
        return result

    async def get_record(self, key: str, *, count: bool = False) -> Record | None:
        return await reads(self, AgentDataStore.get_record, key, count=count)

    async def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_revision: str | None = None,
        vector: Sequence[float] | Any | None = None,
    ) -> str:
        return await writes(
            self, AgentDataStore.set, key, value, metadata, ttl=ttl, if_revision=if_revision, vector=vector
        )

    async def add(
        self, key: str, value: Any, metadata: dict[str, Any] | None = None, *, ttl: float | timedelta | None = None
    ) -> str:
        return await writes(self, AgentDataStore.add, key, value, metadata, ttl=ttl)

    async def create(
        self,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        prefix: str = "",
        ttl: float | timedelta | None = None,
    ) -> str:
        return await writes(self, AgentDataStore.create, value, metadata, prefix=prefix, ttl=ttl)

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        return await writes(self, AgentDataStore.delete, key, if_revision=if_revision)

    async def pop(self, key: str, default: Any = None) -> Any:
        return await writes(self, AgentDataStore.pop, key, default)

    async def touch(self, key: str, *, ttl: float | timedelta | None) -> bool:
        return await writes(self, AgentDataStore.touch, key, ttl=ttl)

    async def exists(self, key: str) -> bool:
        result, error = await _exists(self, key)
        if error is not None:
            raise error
        return cast(bool, result)

    # ---------------------------------------------------------------------------------------------------- changes

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
        walk = _modifying(self, key, function, default, allow_none, ttl, touch)
        return await walked(self, walk, function, limited=True)

    async def increment(
        self, key: str, by: float = 1, *, ttl: float | timedelta | None = None, touch: bool = False
    ) -> int | float:
        return await writes(self, AgentDataStore.increment, key, by, ttl=ttl, touch=touch)

    async def append(
        self, key: str, *items: Any, ttl: float | timedelta | None = None, touch: bool = False
    ) -> list[Any]:
        return await writes(self, AgentDataStore.append, key, *items, ttl=ttl, touch=touch)

    async def update(
        self,
        key: str,
        changes: Mapping[str, Any],
        *,
        ttl: float | timedelta | None = None,
        touch: bool = False,
    ) -> dict[str, Any]:
        return await writes(self, AgentDataStore.update, key, changes, ttl=ttl, touch=touch)

    # ---------------------------------------------------------------------------------------------------- batches

    @overload
    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]: ...

    @overload
    async def get_many(self, keys: Iterable[str], *, type: type[T]) -> dict[str, T]: ...

    async def get_many(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:
        result, error = await _get_many(self, keys, type)
        if error is not None:
            raise error
        return cast("dict[str, Any]", result)

    async def get_records(self, keys: Iterable[str]) -> dict[str, Record]:
        return await reads(self, AgentDataStore.get_records, keys)

    async def set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        return await writes(self, AgentDataStore.set_many, items, metadata, ttl=ttl)

    async def add_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        return await writes(self, AgentDataStore.add_many, items, metadata, ttl=ttl)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await writes(self, AgentDataStore.delete_many, keys)

    # --------------------------------------------------------------------------------------------------- listings

    async def list_keys(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        return await reads(self, AgentDataStore.list_keys, prefix, start=start, end=end, reverse=reverse, limit=limit)

    async def scan(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        return await reads(
            self, AgentDataStore.scan, prefix, start=start, end=end, reverse=reverse, limit=limit, cursor=cursor
        )

    def iter_records(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        namespace_prefix: str | None = None,
    ) -> AsyncIterator[Record]:
        return Records(
            self,
            partial(
                self.sync.iter_records,
                prefix,
                start=start,
                end=end,
                reverse=reverse,
                limit=limit,
                namespace_prefix=namespace_prefix,
            ),
        )

    async def first(
        self, prefix: str | None = None, *, start: str | None = None, end: str | None = None
    ) -> Record | None:
        return await reads(self, AgentDataStore.first, prefix, start=start, end=end)

    async def last(
        self, prefix: str | None = None, *, start: str | None = None, end: str | None = None
    ) -> Record | None:
        return await reads(self, AgentDataStore.last, prefix, start=start, end=end)

    @overload
    async def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> dict[str, Any]: ...

    @overload
    async def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        type: type[T],
    ) -> dict[str, T]: ...

    async def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        type: Any = None,
    ) -> dict[str, Any]:
        call = cast("Callable[..., dict[str, Any]]", AgentDataStore.get_all)
        return await reads(self, call, prefix, start=start, end=end, reverse=reverse, limit=limit, type=type)

    async def clear(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> int:
        return await writes(self, AgentDataStore.clear, prefix, start=start, end=end, reverse=reverse, limit=limit)

    # ---------------------------------------------------------------------------------------------------- queries

    @overload
    async def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> dict[str, Any]: ...

    @overload
    async def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        type: type[T],
    ) -> dict[str, T]: ...

    async def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        type: Any = None,
    ) -> dict[str, Any]:
        return await reads(
            self,
            cast("Callable[..., dict[str, Any]]", AgentDataStore.find),
            filter,
            meta=meta,
            prefix=prefix,
            start=start,
            end=end,
            sort=sort,
            limit=limit,
            skip=skip,
            fields=fields,
            type=type,
        )

    def find_records(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        cursor: str | None = None,
    ) -> FoundRecords:
        page = partial(
            AgentDataStore.find_records,
            filter=filter,
            meta=meta,
            prefix=prefix,
            start=start,
            end=end,
            sort=sort,
            skip=skip,
            fields=fields,
        )
        return FoundRecords(self, page, limit, cursor)

    async def count(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        return await reads(self, AgentDataStore.count, filter, meta=meta, prefix=prefix, start=start, end=end)

    async def explain(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> dict[str, Any]:
        return await reads(
            self,
            AgentDataStore.explain,
            filter,
            meta=meta,
            prefix=prefix,
            start=start,
            end=end,
            sort=sort,
            limit=limit,
            skip=skip,
        )

    async def delete_where(
        self,
        filter: FilterArgument,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        return await writes(self, AgentDataStore.delete_where, filter, meta=meta, prefix=prefix, start=start, end=end)

    async def update_where(
        self,
        filter: FilterArgument,
        changes: Mapping[str, Any],
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        return await writes(
            self, AgentDataStore.update_where, filter, changes, meta=meta, prefix=prefix, start=start, end=end
        )

    # ----------------------------------------------------------------------------------------------------- claims

    async def find_one_and_update(
        self,
        filter: FilterArgument | None,
        changes: Mapping[str, Any],
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
    ) -> Record | None:
        return await writes(
            self,
            AgentDataStore.find_one_and_update,
            filter,
            changes,
            meta=meta,
            prefix=prefix,
            start=start,
            end=end,
            sort=sort,
        )

    async def claim(
        self,
        filter: FilterArgument | None = None,
        *,
        ttl: float | timedelta,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
    ) -> Record | None:
        return await writes(
            self, AgentDataStore.claim, filter, ttl=ttl, meta=meta, prefix=prefix, start=start, end=end, sort=sort
        )

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
        walk = _computing(self, key, function, metadata, ttl, refresh, lease)
        return await walked(self, walk, function, limited=False)

    # ----------------------------------------------------------------------------------------------------- leases

    async def lease(self, name: str, ttl: float | timedelta = 30.0, *, renew: bool = True) -> AsyncLease:
        return AsyncLease(self, await takes(self, AgentDataStore.lease, name, ttl, renew=renew))

    def lock(self, name: str, *, ttl: float | timedelta = 30.0, timeout: float | timedelta = 30.0) -> AsyncLock:
        return AsyncLock(self, asked(name, ttl, timeout, True))

    # ------------------------------------------------------------------------------------------------- namespaces

    async def list_namespaces(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        return await reads(
            self, AgentDataStore.list_namespaces, prefix, start=start, end=end, reverse=reverse, limit=limit
        )

    async def find_in(
        self,
        namespace_prefix: str,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> list[Record]:
        return await reads(
            self,
            AgentDataStore.find_in,
            namespace_prefix,
            filter,
            meta=meta,
            sort=sort,
            limit=limit,
            skip=skip,
            fields=fields,
        )

    async def namespace_stats(
        self, prefix: str | None = None, *, start: str | None = None, end: str | None = None
    ) -> list[NamespaceStats]:
        return await reads_long(self, AgentDataStore.namespace_stats, prefix, start=start, end=end)

    async def purge_expired(self) -> int:
        return await writes_long(self, AgentDataStore.purge_expired)

    # ------------------------------------------------------------------------------------------------------- logs

    async def log_append(self, name: str, *entries: Any) -> int:
        return await writes(self, AgentDataStore.log_append, name, *entries)

    async def log_read(
        self,
        name: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[Entry]:
        return await reads(
            self, AgentDataStore.log_read, name, after=after, before=before, limit=limit, reverse=reverse
        )

    async def log_trim(self, name: str, *, before: int) -> int:
        return await writes(self, AgentDataStore.log_trim, name, before=before)

    async def list_logs(self, prefix: str | None = None) -> list[str]:
        return await reads(self, AgentDataStore.list_logs, prefix)

    # ---------------------------------------------------------------------------------------------------- manners

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


_PAGE = 256  # records that a stream of found records fetches at once


class FoundRecords:
    """What matches a query: ``await`` it for one `Page`, or iterate over it with ``async for``, page after page.

    Made by `AsyncAgentDataStore.find_records`. Iterating makes the requests of `AgentDataStore.find_records` with a
    limit of 256 for each page, and ends with the query's own limit.
    """

    __slots__ = ("_cursor", "_limit", "_owner", "_page")

    def __init__(
        self, owner: AsyncAgentDataStore, page: Callable[..., Page], limit: int | None, cursor: str | None
    ) -> None:
        self._owner = owner
        self._page = page
        self._limit = limit
        self._cursor = cursor

    def __await__(self) -> Generator[Any, Any, Page]:
        return self._fetch(self._limit, self._cursor).__await__()

    def _fetch(self, limit: int | None, cursor: str | None) -> Awaitable[Page]:
        return reads(self._owner, self._page, limit=limit, cursor=cursor)

    async def __aiter__(self) -> AsyncIterator[Record]:
        left, cursor = self._limit, self._cursor
        while True:
            most = _PAGE if left is None else min(left, _PAGE)
            page = await self._fetch(most, cursor)
            for record in page.records:
                inside_of(self._owner).core.check_open()
                yield record
            cursor = page.cursor
            if left is not None:
                left -= len(page.records)
            if cursor is None or left == 0:
                return


# Not coroutines, whose frames could be looked into; see `datastore.asynchronous.bound`.


def _ask(self: Hidden, asked: Asked) -> Awaitable[Answer]:
    return cast(Line, inside_of(self).line).ask(asked)  # every agent has one


def _get(self: AsyncAgentDataStore, key: str, default: Any, type: Any) -> Awaitable[Answer]:
    scope = scope_of(inside_of(self).twin)
    id = scope.prefix + encode_key(key)

    def make(found: dict[str, Document], fit: Callable[[str, Any], Any] | None) -> Any:
        document = found.get(id)
        if document is None:
            return default
        value = document.value if fit is None else fit(as_text(key), document.value)
        scope.tracker.note(document, scope.agent)
        return value

    return _ask(self, Asked(scope, (id,), Fields.VALUE, type, make))


def _exists(self: AsyncAgentDataStore, key: str) -> Awaitable[Answer]:
    scope = scope_of(inside_of(self).twin)
    id = scope.prefix + encode_key(key)
    return _ask(self, Asked(scope, (id,), Fields.KEY, None, lambda found, fit: id in found))


def _get_many(self: AsyncAgentDataStore, keys: Iterable[str], type: Any) -> Awaitable[Answer]:
    scope = scope_of(inside_of(self).twin)
    ids = {scope.prefix + encode_key(key): as_text(key) for key in keys_of(keys)}

    def make(found: dict[str, Document], fit: Callable[[str, Any], Any] | None) -> Any:
        values = {ids[id]: document.value for id, document in found.items()}
        if fit is not None:
            values = {key: fit(key, value) for key, value in values.items()}
        scope.tracker.note_all(found.values(), scope.agent)
        return values

    return _ask(self, Asked(scope, tuple(ids), Fields.VALUE, type, make))


def _modifying(
    self: AsyncAgentDataStore,
    key: str,
    function: Callable[[Any], Any],
    default: Any,
    allow_none: bool,
    ttl: float | timedelta | None,
    touch: bool,
) -> Walk:
    scope: Scope = scope_of(inside_of(self).twin)
    return Walk(modifying(scope, key, function, default, allow_none=allow_none, ttl=ttl, touch=touch), function)


def _computing(
    self: AsyncAgentDataStore,
    key: str,
    function: Callable[[], Any],
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
    refresh: float | timedelta | None,
    lease: float | timedelta,
) -> Walk:
    scope: Scope = scope_of(inside_of(self).twin)
    steps = computing(scope, key, function, metadata=metadata, ttl=ttl, refresh=refresh, lease=lease)
    return Walk(steps, function)
