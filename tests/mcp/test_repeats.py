"""A tool that is called again with the same key does what it does once: the protocol itself has nothing for that."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from mcp import Client

import datastore
from datastore.mcp import TokenAccess, create_mcp_server
from datastore.mcp.remote import RemoteAccess
from datastore.mcp.serving import KEY
from tests.mcp.test_served import URL, served, speaking, streamable_http_client
from tests.remote.serving import serving

ONE, OTHER = {KEY: "a" * 16}, {KEY: "b" * 16}


@asynccontextmanager
async def in_process():
    async with datastore.connect_async("memory://") as store:
        token = await store.tokens.mint("ann", "planner")
        server = create_mcp_server(TokenAccess(store.tokens, token))
        yield store, lambda: Client(server)


@asynccontextmanager
async def over_http():
    async with served() as (store, app):
        token = await store.tokens.mint("ann", "planner")

        @asynccontextmanager
        async def client():
            async with speaking(app, token) as http, Client(streamable_http_client(URL, http_client=http)) as client:
                yield client

        yield store, client


@asynccontextmanager
async def of_a_sandbox():
    from datastore.server import create_app

    async with datastore.connect_async("memory://") as store:
        token = await store.tokens.mint("ann", "planner")
        url = serving(0).add(create_app(store.sync))
        data_store = await asyncio.to_thread(datastore.connect, url, token=token)
        server = create_mcp_server(RemoteAccess(data_store))
        try:
            yield store, lambda: Client(server)
        finally:
            await asyncio.to_thread(data_store.close)
            serving(0).remove(url)


WAYS = pytest.mark.parametrize("way", [in_process, over_http, of_a_sandbox])


def text(result):
    return json.loads(result.content[0].text)


@WAYS
def test_a_repeat_is_given_the_first_answer_whichever_session_asks(way):
    async def main():
        async with way() as (store, client):
            agent = store.agent("ann", "other")
            async with client() as one:
                first = await one.call_tool("increment", {"key": "n"}, meta=ONE)
                assert await one.call_tool("increment", {"key": "n"}, meta=ONE) == first
            async with client() as another:  # as after a connection that broke
                assert text(await another.call_tool("increment", {"key": "n"}, meta=ONE)) == text(first) == {"value": 1}
                assert text(await another.call_tool("increment", {"key": "n"}, meta=OTHER)) == {"value": 2}
                assert text(await another.call_tool("increment", {"key": "n"})) == {"value": 3}
                assert text(await another.call_tool("increment", {"key": "n"})) == {"value": 4}
                created = [
                    text(await another.call_tool("create", {"value": 1}, meta={KEY: "c" * 16})) for _ in range(3)
                ]
            assert len({json.dumps(one) for one in created}) == 1
            assert await agent.list_keys() == sorted(["n", created[0]["key"]])
            assert await agent.get("n") == 4

    asyncio.run(main())


@WAYS
def test_an_error_is_the_answer_of_a_repeat_as_well(way):
    async def main():
        async with way() as (store, client), client() as one:
            await store.agent("ann", "other").set("k", 1)
            first = await one.call_tool("add", {"key": "k", "value": 2}, meta=ONE)
            await store.agent("ann", "other").delete("k")
            again = await one.call_tool("add", {"key": "k", "value": 2}, meta=ONE)
            assert first.is_error
            assert text(first)["error"] == "KeyExistsError"
            assert again == first
            assert not await store.agent("ann", "other").exists("k")

    asyncio.run(main())


@WAYS
def test_a_key_is_for_one_call_and_must_be_one_that_nobody_guesses(way):
    async def main():
        async with way() as (store, client), client() as one:
            await one.call_tool("increment", {"key": "n"}, meta=ONE)
            for arguments, meta, message in (
                ({"key": "m"}, ONE, "names another call"),
                ({"key": "m"}, {KEY: "short"}, "16 to 64 letters"),
                ({"key": "m"}, {KEY: 7}, "16 to 64 letters"),
            ):
                refused = await one.call_tool("increment", arguments, meta=meta)
                assert refused.is_error
                assert message in text(refused)["message"]
            assert await store.agent("ann", "other").list_keys() == ["n"]

    asyncio.run(main())


def test_two_calls_at_once_with_one_key_are_one():
    async def main():
        async with over_http() as (store, client), client() as one, client() as other:
            calls = [each.call_tool("increment", {"key": "n"}, meta=ONE) for each in (one, other) * 10]
            assert {json.dumps(text(result)) for result in await asyncio.gather(*calls)} == {'{"value": 1}'}
            assert await store.agent("ann", "other").get("n") == 1

    asyncio.run(main())


def test_the_keys_of_one_token_say_nothing_to_another():
    async def main():
        async with served() as (store, app):
            values = []
            for user in ("ann", "ben"):
                token = await store.tokens.mint(user, "planner")
                async with (
                    speaking(app, token) as http,
                    Client(streamable_http_client(URL, http_client=http)) as client,
                ):
                    values.append(text(await client.call_tool("set", {"key": "k", "value": user}, meta=ONE)))
            assert values[0] != values[1]
            assert await store.agent("ben", "other").get("k") == "ben"

    asyncio.run(main())
