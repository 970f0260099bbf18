"""The tools on the server: at ``/mcp``, for the tokens that it takes for everything else, and under its limits."""

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import datastore
from datastore.server import ServerLimits, create_app
from tests.mcp.model import MODES, Model, ToolError

URL = "http://localhost/mcp"
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@asynccontextmanager
async def served(on_call=None, **options):
    async with datastore.connect_async("memory://", on_call=on_call) as store:
        app = create_app(store.sync, mcp=True, **options)
        running = app.tools.running()
        try:
            async with running:
                yield store, app
        finally:
            app.stop()


def speaking(app, token):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), headers={"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def using(app, token, mode="auto"):
    async with speaking(app, token) as http, Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
        yield Model(client)


async def post(app, token, body, **headers):
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    async with speaking(app, token) as http:
        return await http.post(URL, content=json.dumps(body), headers=sent)


@pytest.mark.parametrize("mode", MODES)
def test_a_client_has_the_tools_that_its_token_allows(mode):
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner", grants={"default": "write"}, calls=["get", "set"])
            async with using(app, token, mode) as model:
                assert await model.tools() == ["get", "set"]
                await model("set", key="k", value=[1])
                assert (await model("get", key="k"))["value"] == [1]
                assert await model.error("get", key="k", namespace="secret") == "PermissionDeniedError"
                assert await model.error("delete", key="k") == "PermissionDeniedError"
            assert (await store.agent("alice", "x").get_record("k")).created_by_agent == "planner"

    asyncio.run(main())


def test_calls_of_tools_are_counted_with_those_of_the_protocol():
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner", quota=datastore.Quota(calls_per_minute=3))
            async with using(app, token) as model:
                for _ in range(3):
                    await model("exists", key="k")
                assert await model.error("exists", key="k") == "QuotaExceededError"

    asyncio.run(main())


def test_the_command_serves_the_tools_over_a_port(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"

    async def main(address, token):
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
            client = Client(streamable_http_client(f"{address}/mcp", http_client=http))
            async with client as entered:
                model = Model(entered)
                await model("set", key="k", value=2**70)
                assert (await model("get", key="k"))["value"] == 2**70

    with datastore.connect(url) as store:
        token = store.tokens.mint("alice", "planner")
        command = [sys.executable, "-m", "datastore", "serve", url, "--port", "0", "--mcp"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = server.stdout.readline().split()[-1]
                asyncio.run(main(address, token))
            finally:
                server.terminate()
        assert server.returncode == 0
        assert store.agent("alice", "x").get_record("k").created_by_agent == "planner"


@pytest.mark.parametrize("token", ["", "dst_" + "a" * 43, "x"])
def test_without_a_valid_token_nothing_is_answered(token):
    async def main():
        async with served() as (_, app):
            answer = await post(app, token, LIST)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "get_many" not in answer.text

    asyncio.run(main())


def test_the_host_is_told_of_each_call_and_of_what_was_refused():
    events = []

    async def main():
        async with served(on_call=events.append) as (store, app):
            token = await store.tokens.mint("alice", "planner", label="run 7", grants={"default": "write"})
            async with using(app, token) as model:
                await model("set", key="k", value=1)
                await model.error("set", key="k", value=1, namespace="secret")
            await post(app, "dst_guessed", LIST)

    asyncio.run(main())
    assert [(event.token, event.agent, event.call, event.key, event.error) for event in events] == [
        ("run 7", "planner", "set", "k", None),
        ("run 7", "planner", "use_namespace", None, "PermissionDeniedError"),
        (None, "", "mcp", None, "InvalidTokenError"),
    ]


def test_a_token_that_was_revoked_is_refused():
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            assert (await post(app, token, LIST)).status_code == 200
            await store.tokens.revoke(token)
            assert (await post(app, token, LIST)).status_code == 401

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
    ids=["host", "origin", "type", "encoding"],
)
def test_what_the_server_refuses_is_refused_here_as_well(headers, status):
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            assert (await post(app, token, LIST, **headers)).status_code == status

    asyncio.run(main())


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_there_is_no_stream_to_hold_open_and_no_session_to_end(method):
    async def main():
        async with served() as (store, app):
            token = await store.tokens.mint("alice", "planner")
            async with speaking(app, token) as http:
                answer = await http.request(method, URL, headers={"Accept": "text/event-stream"})
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    asyncio.run(main())


def test_a_body_beyond_the_limit_is_refused():
    async def main():
        async with served(limits=ServerLimits(body_bytes=1_000)) as (store, app):
            token = await store.tokens.mint("alice", "planner")
            assert (await post(app, token, {**LIST, "params": {"x": "y" * 1_000}})).status_code == 413
            assert app._bodies == 0

    asyncio.run(main())


def test_one_token_with_many_long_calls_leaves_room_for_another():
    async def main():
        async with served(limits=ServerLimits(waiting_calls=4)) as (store, app):
            tokens = [await store.tokens.mint(user, "planner") for user in ("alice", "bob")]
            free = app.runner._long._free
            async with using(app, tokens[0]) as busy, using(app, tokens[1]) as other:
                done = await asyncio.gather(*(busy("count") for _ in range(30)), return_exceptions=True)
                refused = [one for one in done if isinstance(one, ToolError)]
                assert {one.kind for one in refused} <= {"ThrottledError"}
                assert len(refused) < 30
                assert await other("count") == {"count": 0}
            assert app.runner._long._free == free  # each place was given back

    asyncio.run(main())


def test_a_server_has_no_tools_unless_it_is_told_to():
    async def main():
        async with datastore.connect_async("memory://") as store:
            app = create_app(store.sync)
            token = await store.tokens.mint("alice", "planner")
            try:
                assert (await post(app, token, LIST)).status_code == 404
            finally:
                app.stop()

    asyncio.run(main())
