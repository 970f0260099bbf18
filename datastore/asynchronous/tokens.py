"""`Tokens`, awaited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Self, cast

from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.asynchronous.bound import Hidden, hide, inside_of, reads, twin_of, writes
from datastore.errors import NotPicklableError
from datastore.grants import Grant
from datastore.quotas import Quota
from datastore.tokens import Token, Tokens

if TYPE_CHECKING:
    from datastore.asynchronous.store import AsyncDataStore


@twin_of(Tokens)
class AsyncTokens(Hidden):
    """The tokens of a store, for its host, with calls that are awaited. From ``store.tokens``; see `Tokens`.

    Every call means what the call of the same name means there, and takes, returns and raises the same.
    """

    __slots__ = ()

    def __new__(cls, store: AsyncDataStore) -> Self:
        """Bind a new object to a store."""
        self = super().__new__(cls)
        hide(self, inside_of(store)._replace(twin=store.sync.tokens))
        return self

    @property
    def sync(self) -> Tokens:
        """The same tokens, with calls that block."""
        return cast(Tokens, inside_of(self).twin)

    async def mint(
        self,
        user_id: str,
        agent: str,
        namespace: str = "default",
        *,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
        calls: Iterable[str] | None = None,
        ttl: float | timedelta | None = None,
        label: str = "",
    ) -> str:
        return await writes(
            self, Tokens.mint, user_id, agent, namespace, grants=grants, quota=quota, calls=calls, ttl=ttl, label=label
        )

    async def narrow(
        self,
        token: str,
        *,
        namespace: str | None = None,
        grants: Mapping[str, Grant] | None = None,
        quota: Quota | None = None,
        calls: Iterable[str] | None = None,
        ttl: float | timedelta | None = None,
        label: str = "",
    ) -> str:
        return await writes(
            self,
            Tokens.narrow,
            token,
            namespace=namespace,
            grants=grants,
            quota=quota,
            calls=calls,
            ttl=ttl,
            label=label,
        )

    async def check(self, token: str) -> Token:
        return await reads(self, Tokens.check, token)

    async def agent(self, token: str) -> AsyncAgentDataStore:
        return AsyncAgentDataStore(await reads(self, Tokens.agent, token))

    async def list(self, user_id: str | None = None) -> list[Token]:
        return await reads(self, Tokens.list, user_id)

    async def revoke(self, token: str) -> int:
        return await writes(self, Tokens.revoke, token)

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("AsyncTokens", "connect in the other process")

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"
