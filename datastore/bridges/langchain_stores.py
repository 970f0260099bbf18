"""LangChain's stores of values and of bytes on any database of the store. See ``docs/bridges/langchain.md``.

embeddings = CacheBackedEmbeddings.from_bytes_store(model, DataStoreByteStore(data_store), namespace="model-1")
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

from datastore import AgentDataStore, AsyncAgentDataStore, DamagedRecordError, InvalidValueError
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited, span_of

with needs("LangChain", "langchain"):
    from langchain_core.stores import BaseStore

V = TypeVar("V")


class _Store(BaseStore[str, V], Generic[V]):
    """A key is a key of the namespace, and each call is one of the store. How a value is kept, subclasses say."""

    def __init__(
        self, data_store: AgentDataStore | AsyncAgentDataStore, *, ttl: float | timedelta | None = None
    ) -> None:
        self._twin = awaited(data_store)
        self._store = self._twin.sync
        self._ttl = None if ttl is None else span_of(ttl, "ttl")

    def _kept(self, value: V) -> Any:
        return value

    def _given(self, kept: Any) -> V:
        return kept  # type: ignore[no-any-return]  # a store of values gives what it was given

    def _pairs(self, key_value_pairs: Sequence[tuple[str, V]]) -> dict[str, Any]:
        return {key: self._kept(value) for key, value in key_value_pairs}

    def _values(self, keys: Sequence[str], found: dict[str, Any]) -> list[V | None]:
        return [self._given(found[key]) if key in found else None for key in keys]

    def mget(self, keys: Sequence[str]) -> list[V | None]:
        return self._values(keys, self._store.get_many(keys))

    async def amget(self, keys: Sequence[str]) -> list[V | None]:
        return self._values(keys, await self._twin.get_many(keys))

    def mset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        self._store.set_many(self._pairs(key_value_pairs), ttl=self._ttl)

    async def amset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        await self._twin.set_many(self._pairs(key_value_pairs), ttl=self._ttl)

    def mdelete(self, keys: Sequence[str]) -> None:
        self._store.delete_many(keys)

    async def amdelete(self, keys: Sequence[str]) -> None:
        await self._twin.delete_many(keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        yield from self._store.list_keys(prefix or None)

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        for key in await self._twin.list_keys(prefix or None):
            yield key


class DataStoreStore(_Store[Any]):
    """Keeps values that are JSON, in the namespace of an agent's store, as values.

    Args:
        data_store: What they are kept in; or its awaited twin.
        ttl: Seconds, or a `timedelta`, until what is stored expires; ``None`` for never.
    """


class DataStoreByteStore(_Store[bytes]):
    """Keeps bytes, in the namespace of an agent's store: text as text, for people, and other bytes in base64.

    A value has up to 1,000,000 bytes of text, or 740,000 others. Larger ones are for ``data_store.blobs``.

    Args:
        data_store: What they are kept in; or its awaited twin.
        ttl: Seconds, or a `timedelta`, until what is stored expires; ``None`` for never.
    """

    def _kept(self, value: bytes) -> Any:
        if not isinstance(value, bytes):
            raise InvalidValueError(f"a value is of type {type(value).__name__}; a store of bytes takes bytes")
        try:
            return {"text": value.decode()}
        except UnicodeDecodeError:
            return {"base64": b64encode(value).decode()}

    def _given(self, kept: Any) -> bytes:
        match kept:
            case {"text": str(text)}:
                return text.encode()
            case {"base64": str(data)}:
                return b64decode(data)
        raise DamagedRecordError("a record of the namespace holds no bytes that a store of bytes has put there")
