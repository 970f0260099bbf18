"""The tools for a token that a server knows: the calls are made there, by the client of `datastore.remote`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from datastore.asynchronous.agent import AsyncAgentDataStore
from datastore.mcp.serving import Allowed
from datastore.mcp.tools import TOOLS
from datastore.remote.agent import RemoteAgentDataStore
from datastore.remote.connecting import whoami
from datastore.wire.answered import Answers


class RemoteAccess:
    """Whoever asks has one token, which a server checks with every call.

    Args:
        data_store: The store of the token's agent.
    """

    def __init__(self, data_store: RemoteAgentDataStore) -> None:
        self._data_store = data_store
        self._twin = data_store.asynchronous
        self._answers = Answers()

    def answers(self, request: Any) -> Answers:
        """See `datastore.mcp.Access`."""
        return self._answers

    async def allowed(self, request: Any) -> Allowed:
        """See `datastore.mcp.Access.allowed`. A tool is there if the server lets through the call that it makes."""
        told = await asyncio.to_thread(whoami, self._data_store)
        grants, calls = told["grants"], told["calls"]
        names = None if calls is None else {tool.name for tool in TOOLS if {tool.name, tool.makes} <= set(calls)}
        return Allowed(grants is None or "write" in grants.values(), names)

    @asynccontextmanager
    async def calling(self, request: Any, call: str) -> AsyncIterator[AsyncAgentDataStore]:
        """See `datastore.mcp.Access.calling`. What the token does not allow, the server refuses."""
        yield self._twin
