"""MCP's tools on the server: the same tokens, the same limits and the same places as for all other calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.errors import InvalidTokenError
from datastore.mcp.serving import Allowed, MCPApp, allowed_by
from datastore.server.access import Access, Holder, not_allowed
from datastore.server.running import Runner
from datastore.server.settings import ServerLimits
from datastore.tokens import UNKNOWN
from datastore.wire.answered import Answers

_HOLDER = "datastore.holder"
"""Where a request says who has sent it: its token was checked before its body was read."""


class ServedTools:
    """The tools, for whoever holds a token.

    Args:
        access: The tokens that are in use.
        runner: What makes the calls.
        limits: The server's limits.
    """

    def __init__(self, access: Access, runner: Runner, limits: ServerLimits) -> None:
        self._access = access
        self._runner = runner
        self._app = MCPApp(self, largest_body=int(limits.body_bytes))
        self.running = self._app.running
        """Enters what the tools need around the life of the application."""

    async def answer(
        self,
        scope: MutableMapping[str, Any],
        holder: Holder,
        body: bytes,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request whose token was checked and whose body was read."""
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def read() -> MutableMapping[str, Any]:
            return next(messages, None) or await receive()

        await self._app({**scope, _HOLDER: holder}, read, send)

    async def allowed(self, request: Request) -> Allowed:
        """See `datastore.mcp.Access.allowed`."""
        return allowed_by(self._holder(request).allowed)

    @asynccontextmanager
    async def calling(self, request: Request, call: str) -> AsyncIterator[AsyncAgentDataStore]:
        """See `datastore.mcp.Access.calling`."""
        holder = self._holder(request)
        if holder.allowed.calls is not None and call not in holder.allowed.calls:
            raise not_allowed(call)
        self._access.spend(holder)
        async with self._runner.place(holder, call):
            yield holder.store(None)[1]

    def answers(self, request: Request) -> Answers:
        """See `datastore.mcp.Access`."""
        return self._holder(request).answers

    def _holder(self, request: Request) -> Holder:
        holder: Holder = request.scope[_HOLDER]
        if holder.is_over():
            raise InvalidTokenError(UNKNOWN, by_the_store=True)
        return holder
