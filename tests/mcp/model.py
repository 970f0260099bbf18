"""A model's side of the tools: the official client, and what it is told."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

import datastore
from datastore.mcp import create_mcp_server
from datastore.mcp.serving import TokenAccess

MODES = ("auto", "legacy")
"""The two generations of the protocol: one request at a time, and a handshake first."""


class ToolError(Exception):
    """What a tool answered was an error."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told)
        self.told = told
        self.kind = told["error"]


class Model:
    """Calls tools, and reads what they return."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.text = ""
        """The last result as it came."""

    async def __call__(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        [content] = result.content
        self.text = content.text
        told = json.loads(content.text)
        if result.is_error:
            raise ToolError(told)
        return told

    async def error(self, tool: str, /, **arguments: Any) -> str:
        """Return the type of the error that a call ends in."""
        with pytest.raises(ToolError) as caught:
            await self(tool, **arguments)
        told = caught.value.told
        assert told["message"]
        assert told["what_to_do"]
        return caught.value.kind

    async def tools(self) -> list[str]:
        """Return the names of the tools."""
        return [tool.name for tool in (await self.client.list_tools()).tools]


@asynccontextmanager
async def holding(
    store: datastore.AsyncDataStore, token: str, mode: str = "auto", **options: Any
) -> AsyncIterator[Model]:
    """Connect a client to a server in this process, for the holder of a token."""
    async with Client(create_mcp_server(TokenAccess(store.tokens, token), **options), mode=mode) as client:
        yield Model(client)


def run(
    work: Callable[[datastore.AsyncDataStore, Model], Awaitable[None]],
    *,
    mode: str = "auto",
    max_result: int = 20_000,
    **allowed: Any,
) -> None:
    """Run a test with a store in memory and the tools of one agent of alice."""

    async def main() -> None:
        async with datastore.connect_async("memory://") as store:
            token = await store.tokens.mint("alice", "planner", **allowed)
            async with holding(store, token, mode, max_result=max_result) as model:
                await work(store, model)

    asyncio.run(main())


@asynccontextmanager
async def started(url: str, path: Path, mode: str = "auto") -> AsyncIterator[Model]:
    """Start `datastore mcp` on a URL with the token in a file, and yield a model that uses it."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "datastore", "mcp", "--token-file", str(path), url],
        env=dict(os.environ),
    )
    async with Client(command, mode=mode) as client:
        yield Model(client)
