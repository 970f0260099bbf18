"""`Memory`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from datastore.asynchronous.bound import (
    Hidden,
    Records,
    Walk,
    hide,
    inside_of,
    reads,
    twin_of,
    walked,
    writes,
    writes_long,
)
from datastore.calls.batches import Item
from datastore.calls.steps import Steps
from datastore.memory import Embedder, Match, Memory, MemoryItem
from datastore.memory.calls import (
    Vector,
    adding_many,
    adding_one,
    check_progress,
    embedder_of,
    searching_across,
    searching_one,
)
from datastore.memory.catching_up import catching_up
from datastore.memory.items import Metric
from datastore.memory.reembedding import reembedding
from datastore.memory.searching import Asked, asked, explaining
from datastore.memory.splitting import Splitter
from datastore.memory.writing import editing
from datastore.scope import OfOneProcess, Scope, scope_of

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore


@twin_of(Memory)
class AsyncMemory(Hidden, OfOneProcess):
    """Texts with vectors, with calls that are awaited. From ``data_store.memory``; see `Memory`.

    Every call means what the call of the same name means there. A coroutine function of the `Embedder` is awaited on
    the caller's loop; a plain one is called in a worker.
    """

    __slots__ = ()

    def __new__(cls, data_store: AsyncAgentDataStore, memory: Memory) -> Self:
        """Bind a new object to what a synchronous one is bound to."""
        self = super().__new__(cls)
        hide(self, inside_of(data_store)._replace(twin=memory, line=None))
        return self

    @property
    def sync(self) -> Memory:
        """The same memory, with calls that block."""
        return cast(Memory, inside_of(self).twin)

    async def add(
        self,
        text: Any,
        metadata: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        vector: Vector | None = None,
        ttl: float | timedelta | None = None,
        split: Splitter | None = None,
    ) -> str:
        return cast(str, await _walked(self, adding_one, text, metadata, key, vector, ttl, split))

    async def add_many(
        self,
        texts: Iterable[str | Item] | Mapping[str, str],
        metadata: dict[str, Any] | None = None,
        *,
        vectors: Iterable[Vector] | None = None,
        ttl: float | timedelta | None = None,
        split: Splitter | None = None,
    ) -> list[str]:
        return cast(list[str], await _walked(self, adding_many, texts, metadata, vectors, ttl, split))

    async def edit(
        self,
        key: str,
        text: Any = None,
        metadata: dict[str, Any] | None = None,
        *,
        vector: Vector | None = None,
        split: Splitter | None = None,
    ) -> bool:
        return cast(bool, await _walked(self, editing, key, text, metadata, vector, split))

    async def delete(self, key: str) -> bool:
        return await writes(self, Memory.delete, key)

    async def get(self, key: str) -> MemoryItem | None:
        return await reads(self, Memory.get, key)

    def items(self, prefix: str | None = None) -> AsyncIterator[MemoryItem]:
        return Records(self, partial(self.sync.items, prefix))

    async def search(
        self,
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> list[Match]:
        what = _asked(self, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return cast(list[Match], await _walked(self, searching_one, what))

    async def search_across(
        self,
        namespaces: Mapping[str, int | None],
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> list[Match]:
        what = _asked(self, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return cast(list[Match], await _walked(self, searching_across, namespaces, what))

    async def explain(
        self,
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> dict[str, Any]:
        what = _asked(self, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return cast(dict[str, Any], await _walked(self, explaining, what))

    async def ensure_index(self, progress: Callable[[int, int], object] | None = None) -> str:
        return await writes_long(self, Memory.ensure_index, progress)

    async def reembed(self, progress: Callable[[int, int], object] | None = None) -> int:
        return cast(int, await _walked(self, reembedding, check_progress(progress)))

    async def embed(self, keys: Iterable[str], *, split: Splitter | None = None) -> dict[str, bool]:
        return cast(dict[str, bool], await _walked(self, catching_up, keys, split))

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


# Not coroutines, whose frames could be looked into; see `datastore.asynchronous.bound`.


async def _walked(self: AsyncMemory, steps: Callable[..., Steps], *args: Any) -> Any:
    return await walked(self, _walk(self, steps, *args), _function(self), limited=False)


def _walk(self: AsyncMemory, steps: Callable[..., Steps], *args: Any) -> Walk:
    scope: Scope = scope_of(self.sync)
    return Walk(steps(scope, *args), _function(self))


def _asked(self: AsyncMemory, *args: Any) -> Asked:
    return asked(scope_of(self.sync), *args)


def _function(self: AsyncMemory) -> Callable[..., Any]:
    embedder = embedder_of(scope_of(self.sync))
    return embedder.awaited if isinstance(embedder, Embedder) else embedder
