"""`Vault`, `KeyValueStore` and `Log`, awaited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast, overload

from datastore.asynchronous.bound import Hidden, hide, inside_of, reads, twin_of, writes, writes_long
from datastore.entries import Entry
from datastore.interfaces.key_value import KeyValueStore
from datastore.interfaces.logs import Log
from datastore.interfaces.vault import Vault
from datastore.queries.shaping import FieldsArgument, SortArgument
from datastore.scope import OfOneProcess

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore


@twin_of(Vault)
class AsyncVault(Hidden, OfOneProcess):
    """Documents of one user in named collections, with calls that are awaited. From ``data_store.vault``; see `Vault`.

    Every call means what the call of the same name means there, and takes, returns and raises the same.
    """

    __slots__ = ()

    def __new__(cls, data_store: AsyncAgentDataStore) -> Self:
        """Bind a new object to what an agent's store is bound to."""
        self = super().__new__(cls)
        hide(self, inside_of(data_store)._replace(twin=data_store.sync.vault, line=None))
        return self

    @property
    def sync(self) -> Vault:
        """The same vault, with calls that block."""
        return cast(Vault, inside_of(self).twin)

    async def store(self, collection: str, data: Mapping[str, Any], key: str | None = None) -> str:
        return await writes(self, Vault.store, collection, data, key)

    @overload
    async def retrieve(self, collection: str, key: str) -> dict[str, Any] | None: ...

    @overload
    async def retrieve(self, collection: str, key: None = None) -> list[dict[str, Any]]: ...

    async def retrieve(self, collection: str, key: str | None = None) -> dict[str, Any] | list[dict[str, Any]] | None:
        call = cast("Callable[..., dict[str, Any] | list[dict[str, Any]] | None]", Vault.retrieve)
        return await reads(self, call, collection, key)

    async def query(
        self,
        collection: str,
        filter: Mapping[str, Any] | None = None,
        *,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> list[dict[str, Any]]:
        return await reads(self, Vault.query, collection, filter, sort=sort, limit=limit, skip=skip, fields=fields)

    async def update(self, collection: str, key: str, changes: Mapping[str, Any]) -> bool:
        return await writes(self, Vault.update, collection, key, changes)

    async def delete(self, collection: str, key: str) -> bool:
        return await writes(self, Vault.delete, collection, key)

    async def clear(self, collection: str) -> int:
        return await writes(self, Vault.clear, collection)

    async def count(self, collection: str, filter: Mapping[str, Any] | None = None) -> int:
        return await reads(self, Vault.count, collection, filter)

    async def list_collections(self) -> list[str]:
        return await reads(self, Vault.list_collections)

    async def health(self) -> dict[str, Any]:
        return await reads(self, Vault.health)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


@twin_of(KeyValueStore)
class AsyncKeyValueStore(Hidden, OfOneProcess):
    """Values by key, separately for each entity, with calls that are awaited. See `KeyValueStore`.

    From ``data_store.key_value``. Every call means what the call of the same name means there, and takes, returns and
    raises the same.
    """

    __slots__ = ()

    def __new__(cls, owner: Hidden, store: KeyValueStore) -> Self:
        """Bind a new object to a store that has the scopes."""
        self = super().__new__(cls)
        hide(self, inside_of(owner)._replace(twin=store, line=None))
        return self

    @property
    def sync(self) -> KeyValueStore:
        """The same store, with calls that block."""
        return cast(KeyValueStore, inside_of(self).twin)

    def __call__(self, scopes: Mapping[str, str] | None = None) -> Self:
        """Return a store that is bound to scopes: any of ``run``, ``session`` and ``flow``, each with its id. No I/O.

        Raises:
            InvalidNameError: If there is no such scope, or an id is not valid.
        """
        return type(self)(self, self.sync(scopes))

    async def insert(self, key: str, value: Any, entity_id: str | None = None) -> None:
        await writes(self, KeyValueStore.insert, key, value, entity_id)

    async def retrieve(self, key: str, entity_id: str | None = None) -> Any:
        return await reads(self, KeyValueStore.retrieve, key, entity_id)

    async def remove(self, key_or_pattern: str, entity_id: str | None = None) -> int:
        return await writes(self, KeyValueStore.remove, key_or_pattern, entity_id)

    async def list_keys(
        self,
        prefix: str | None = None,
        entity_id: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        return await reads(
            self,
            KeyValueStore.list_keys,
            prefix,
            entity_id,
            start=start,
            end=end,
            reverse=reverse,
            limit=limit,
        )

    async def list_entities(self) -> list[str]:
        return await reads(self, KeyValueStore.list_entities)

    async def clear_entity(self, entity_id: str) -> int:
        return await writes_long(self, KeyValueStore.clear_entity, entity_id)

    async def end_scope(self, scope: str) -> int:
        return await writes_long(self, KeyValueStore.end_scope, scope)

    async def increment(self, key: str, by: float = 1, entity_id: str | None = None) -> int | float:
        return await writes(self, KeyValueStore.increment, key, by, entity_id)

    async def append(self, key: str, *items: Any, entity_id: str | None = None) -> list[Any]:
        return await writes(self, KeyValueStore.append, key, *items, entity_id=entity_id)

    async def pop(self, key: str, default: Any = None, entity_id: str | None = None) -> Any:
        return await writes(self, KeyValueStore.pop, key, default, entity_id)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


@twin_of(Log)
class AsyncLog(Hidden, OfOneProcess):
    """An ordered log of a namespace, with calls that are awaited. From ``data_store.log(name)``; see `Log`.

    Every call means what the call of the same name means there, and takes, returns and raises the same.
    """

    __slots__ = ()

    def __new__(cls, owner: Hidden, log: Log) -> Self:
        """Bind a new object to a log."""
        self = super().__new__(cls)
        hide(self, inside_of(owner)._replace(twin=log, line=None))
        return self

    @property
    def sync(self) -> Log:
        """The same log, with calls that block."""
        return cast(Log, inside_of(self).twin)

    @property
    def name(self) -> str:
        return self.sync.name

    async def append(self, *entries: Any) -> int:
        return await writes(self, Log.append, *entries)

    async def read(
        self, *, after: int = 0, before: int | None = None, limit: int | None = None, reverse: bool = False
    ) -> list[Entry]:
        return await reads(self, Log.read, after=after, before=before, limit=limit, reverse=reverse)

    async def last(self, n: int = 1) -> list[Entry]:
        return await reads(self, Log.last, n)

    async def trim(self, *, before: int) -> int:
        return await writes(self, Log.trim, before=before)

    async def clear(self) -> int:
        return await writes(self, Log.clear)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"
