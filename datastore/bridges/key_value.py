"""py-key-value's contract, the storage of FastMCP, on any database of the store. See ``docs/bridges/key-value.md``.

server = FastMCP("name", session_state_store=DataStoreKeyValue(data_store))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, SupportsFloat

from datastore import AgentDataStore, AsyncAgentDataStore, DamagedRecordError, InvalidValueError, Record
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited, last_name, path_of, span_of

with needs("py-key-value", "key-value"):
    from key_value.aio.protocols.key_value import (
        AsyncCullProtocol,
        AsyncDestroyCollectionProtocol,
        AsyncDestroyStoreProtocol,
        AsyncEnumerateCollectionsProtocol,
        AsyncEnumerateKeysProtocol,
        AsyncKeyValue,
    )

_DEFAULT = "default_collection"


class DataStoreKeyValue(
    AsyncKeyValue,
    AsyncCullProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
):
    """Keeps values that are objects of JSON. A collection is a namespace beside that of the agent's store.

    Args:
        data_store: What they are kept in; or its awaited twin.
        default_collection: The collection of calls that name none.
    """

    def __init__(self, data_store: AgentDataStore | AsyncAgentDataStore, *, default_collection: str = _DEFAULT) -> None:
        self._store = awaited(data_store)
        self._root = f"{self._store.namespace}/"
        self._default = default_collection

    def _collection(self, name: str | None) -> AsyncAgentDataStore:
        return self._store.use_namespace(self._root + path_of((self._default if name is None else name, "collection")))

    # ---------------------------------------------------------------------------------------------------- reading

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return _object(await self._collection(collection).get(key))

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        found = await self._collection(collection).get_many(keys)
        return [_object(found.get(key)) for key in keys]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return (await self.ttl_many([key], collection=collection))[0]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        found = await self._collection(collection).get_records(keys)
        return [(_object(found[key].value), _left(found[key])) if key in found else (None, None) for key in keys]

    # ---------------------------------------------------------------------------------------------------- writing

    async def put(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> None:
        await self._collection(collection).set(key, _taken(value), ttl=_seconds(ttl))

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        if len(keys) != len(values):
            raise InvalidValueError(f"there are {len(keys)} keys, and {len(values)} values for them")
        taken = map(_taken, values)
        await self._collection(collection).set_many(dict(zip(keys, taken, strict=True)), ttl=_seconds(ttl))

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self._collection(collection).delete(key)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self._collection(collection).delete_many(keys)

    # ------------------------------------------------------------------------------------------- what there is at all

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return await self._collection(collection).list_keys(limit=limit)

    async def collections(self, *, limit: int | None = None) -> list[str]:
        names = [name.removeprefix(self._root) for name in await self._store.list_namespaces(self._root)]
        return [last_name(name) for name in names if "/" not in name][:limit]  # with one it is of another namespace

    async def cull(self) -> None:
        """Remove what has expired, for its space: nobody sees it anyway. DynamoDB does it by itself."""
        await self._store.purge_expired()

    async def destroy_collection(self, collection: str) -> bool:
        return await self._collection(collection).clear() > 0

    async def destroy(self) -> bool:
        for name in await self.collections():
            await self.destroy_collection(name)
        return True


def _taken(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"value is of type {type(value).__name__}; it must be a mapping")
    return dict(value)


def _object(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise DamagedRecordError("a record of this collection holds no object: something else has written it")


def _seconds(ttl: Any) -> Any:
    return None if ttl is None else span_of(float(ttl) if hasattr(ttl, "__float__") else ttl, "ttl")


def _left(record: Record) -> float | None:
    """Return for how many seconds a record lives on."""
    return None if record.expires_at is None else (record.expires_at - datetime.now(UTC)).total_seconds()
