"""The tools as a part of another application: every request shows its own token, and nothing is kept between two."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.requests import Request

import datastore
from datastore.mcp import MCPApp, TokenAccess
from tests.mcp.model import MODES, Model

URL = "http://localhost/mcp"


class ByHeader:
    """Takes the token from each request, as a host's application does."""

    def __init__(self, store):
        self.tokens = store.tokens

    def of(self, request: Request):
        return TokenAccess(self.tokens, request.headers["authorization"].removeprefix("Bearer "))

    async def allowed(self, request: Request):
        return await self.of(request).allowed(request)

    def calling(self, request: Request, call: str):
        return self.of(request).calling(request, call)


@asynccontextmanager
async def served():
    async with datastore.connect_async("memory://") as store:
        app = MCPApp(ByHeader(store))
        async with app.running():
            yield store, app


def speaking(app, token):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("mode", MODES)
def test_two_clients_use_one_application_each_with_its_own_token(mode):
    async def main():
        async with served() as (store, app), AsyncExitStack() as open_ones:
            models = []
            for user in ("alice", "bob"):
                token = await store.tokens.mint(user, "planner")
                http = await open_ones.enter_async_context(speaking(app, token))
                client = Client(streamable_http_client(URL, http_client=http), mode=mode)
                models.append(Model(await open_ones.enter_async_context(client)))
            for number, model in enumerate(models):
                await model("set", key="k", value=number)
            assert [(await model("get", key="k"))["value"] for model in models] == [0, 1]
            assert "claim" in await models[0].tools()

    asyncio.run(main())


META = {
    PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
    CLIENT_INFO_META_KEY: {"name": "test", "version": "1"},
    CLIENT_CAPABILITIES_META_KEY: {},
}


def call(tool, arguments):
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def post(app, token, body, tool="get"):
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": LATEST_MODERN_VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    async with speaking(app, token) as http:
        return await http.post(URL, content=body, headers=headers)


@pytest.mark.parametrize(
    "arguments",
    ['{"key": "\\ud800"}', '{"key": "k", "namespace": "\\ud800"}', '{"\\ud800": 1, "key": "k"}'],
    ids=["key", "namespace", "name"],
)
def test_text_that_is_not_unicode_gets_an_error_that_can_be_read(arguments):
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            body = json.dumps(call("get", None)).replace("null", arguments)
            answer = await post(app, token, body)
            told = json.loads(answer.json()["result"]["content"][0]["text"])
            assert told["error"] in ("InvalidNameError", "InvalidValueError")

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"\xff", b"[" * 100_000, json.dumps(call("get", [1])).encode(), b'{"jsonrpc": "2.0"}'],
    ids=["empty", "cut", "null", "batch", "no-utf8", "deep", "arguments-are-a-list", "no-method"],
)
def test_a_body_that_is_no_call_is_refused_and_the_next_one_is_answered(body):
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            refused = await post(app, token, body)
            assert refused.status_code in (200, 400)
            assert "error" in refused.json()
            assert "Traceback" not in refused.text
            answered = await post(app, token, json.dumps(call("exists", {"key": "k"})), "exists")
            assert json.loads(answered.json()["result"]["content"][0]["text"]) == {"exists": False}

    asyncio.run(main())


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed():
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            answer = await post(app, token, b" " * 2_000_001)
            assert answer.status_code == 413
            largest = json.dumps(call("set", {"key": "k", "value": "x" * 999_000}))
            assert (await post(app, token, largest, "set")).is_success

    asyncio.run(main())
