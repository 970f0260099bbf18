"""`VectorVault`, awaited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from datastore.asynchronous.bound import Hidden, hide, inside_of, twin_of
from datastore.memory import vector_vault as calls
from datastore.memory.vector_vault import Asking, Item, VectorVault, not_here
from datastore.scope import OfOneProcess

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore
    from datastore.memory.calls import Vector


@twin_of(VectorVault)
class AsyncVectorVault(Hidden, OfOneProcess):
    """Texts in named vaults, with calls that are awaited. From ``data_store.vector_vault(name)``; see `VectorVault`.

    Every call means what the call of the same name means there.
    """

    __slots__ = ()

    def __new__(cls, data_store: AsyncAgentDataStore, vault: VectorVault) -> Self:
        """Bind a new object to what a synchronous one is bound to."""
        self = super().__new__(cls)
        hide(self, inside_of(data_store)._replace(twin=vault, line=None))
        return self

    @property
    def sync(self) -> VectorVault:
        """The same vault, with calls that block."""
        return cast(VectorVault, inside_of(self).twin)

    @property
    def name(self) -> str:
        return self.sync.name

    async def add(
        self,
        text: str,
        meta: dict[str, Any] | None = None,
        name: str | None = None,
        split: bool = False,
        split_size: int = 1_000,
    ) -> int:
        return cast(int, await self._follow(calls.adding(self.name, text, meta, name, None, split, split_size)))

    async def add_item_with_vector(
        self, text: str, vector: Vector, meta: dict[str, Any] | None = None, name: str | None = None
    ) -> int:
        return cast(int, await self._follow(calls.adding(self.name, text, meta, name, vector)))

    async def add_n_save(
        self,
        text: str,
        meta: dict[str, Any] | None = None,
        name: str | None = None,
        split: bool = False,
        split_size: int = 1_000,
    ) -> int:
        return cast(int, await self._follow(calls.adding_all(self.name, text, meta, name, split, split_size)))

    async def get_vectors(self) -> int:
        return cast(int, await self._follow(calls.getting_vectors(self.name)))

    async def save(self) -> None:
        self.sync.save()

    async def get_similar(
        self, text: str, n: int = 4, include_distances: bool = False, vault: str | None = None
    ) -> list[Item]:
        return cast(list[Item], await self._follow(calls.getting_similar(self._in(vault), text, n, include_distances)))

    async def get_items_by_vector(
        self, vector: Vector, n: int = 4, include_distances: bool = False, vault: str | None = None
    ) -> list[Item]:
        asking = calls.getting_nearest(self._in(vault), vector, n, include_distances)
        return cast(list[Item], await self._follow(asking))

    async def get_similar_from_vaults(
        self, text: str, n: int = 4, vaults: str | Iterable[str] | Mapping[str, int | None] | None = None
    ) -> list[Item]:
        return cast(list[Item], await self._follow(calls.getting_from_vaults(text, n, vaults)))

    async def get_items(self, ids: Iterable[int | str], vault: str | None = None) -> list[Item | None]:
        return cast(list[Item | None], await self._follow(calls.getting_items(self._in(vault), ids)))

    async def edit_item(self, item_id: int | str, new_text: str) -> bool:
        return cast(bool, await self._follow(calls.editing_item(self.name, item_id, new_text)))

    async def edit_item_meta(self, item_id: int | str, metadata: dict[str, Any]) -> bool:
        return cast(bool, await self._follow(calls.editing_meta(self.name, item_id, metadata)))

    async def delete_items(self, item_ids: int | str | Iterable[int | str]) -> int:
        return cast(int, await self._follow(calls.deleting_items(self.name, item_ids)))

    async def delete(self) -> int:
        return cast(int, await self._follow(calls.deleting_all(self.name)))

    async def get_total_items(self, vault: str | None = None) -> int:
        return cast(int, await self._follow(calls.counting(self._in(vault))))

    async def get_vaults(self, vault: str | None = None) -> list[str]:
        return cast(list[str], await self._follow(calls.getting_vaults(self._in(vault))))

    def __getattr__(self, name: str) -> NoReturn:
        raise not_here(type(self).__name__, name)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"

    def _in(self, vault: str | None) -> str:
        return self.name if vault is None else vault

    async def _follow(self, asking: Asking) -> Any:
        store, made = cast(Any, self.sync._store).asynchronous, None
        while True:
            try:
                call = asking.send(made)
            except StopIteration as end:
                return end.value
            made = await call(store)
