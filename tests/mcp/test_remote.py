"""The command with the address of a server: nothing but the token is where the MCP client runs."""

import asyncio
import os
import threading
from contextlib import contextmanager

import pytest
from mcp import Client

import datastore
from datastore.mcp import create_mcp_server
from datastore.mcp.remote import RemoteAccess
from datastore.server import serve
from tests.mcp.model import MODES, Model, started
from tests.mcp.test_stdio import token_file
from tests.patience import PATIENCE


@contextmanager
def served(tmp_path):
    """Serve a store on a socket, and yield it with its URL."""
    listens, stop, where = threading.Event(), threading.Event(), []

    def ready(url):
        where.append(url)
        listens.set()

    path = os.path.relpath(tmp_path / "s")  # a path to a socket is short
    with datastore.connect("memory://") as store:
        server = threading.Thread(target=serve, args=(store,), kwargs={"uds": path, "ready": ready, "until": stop})
        server.start()
        try:
            assert listens.wait(PATIENCE)
            yield store, where[0]
        finally:
            stop.set()
            server.join(PATIENCE)


@pytest.mark.parametrize("mode", MODES)
def test_a_client_works_with_a_served_store(tmp_path, mode):
    async def main(url, path):
        async with started(url, path, mode) as model:
            await model("set", key="k", value={"n": 2**70})
            assert (await model("get", key="k"))["value"] == {"n": 2**70}
            assert [one["key"] for one in (await model("find", filter={"n": {"$gt": 1}}))["records"]] == ["k"]
            assert (await model("increment", key="n"))["value"] == 1
            assert await model.error("get", key="k", namespace="secret") == "PermissionDeniedError"
            assert await model.error("add", key="k", value=1) == "KeyExistsError"

    with served(tmp_path) as (store, url):
        token = store.tokens.mint("alice", "planner", grants={"default": "write"})
        asyncio.run(main(url, token_file(tmp_path, token)))
        assert store.agent("alice", "x").get_record("k").created_by_agent == "planner"


def told_of(store, url, work, **allowed):
    """Use the tools in this process, over the client of a served store."""

    async def main():
        async with Client(create_mcp_server(RemoteAccess(data_store))) as client:
            await work(Model(client))

    token = store.tokens.mint("alice", "planner", **allowed)
    with datastore.connect(url, token=token) as data_store:
        asyncio.run(main())


@pytest.mark.parametrize(
    ("calls", "tools"),
    [
        (["get", "set"], ["set"]),
        (["get", "get_record", "find*", "set"], ["get", "get_record", "find", "set"]),
        (["list_keys"], ["list_keys"]),
    ],
    ids=["get-alone", "with-what-they-make", "one"],
)
def test_a_tool_is_there_if_the_token_allows_the_call_that_it_makes(tmp_path, calls, tools):
    async def work(model):
        assert await model.tools() == tools
        assert await model.error("delete", key="k") == "PermissionDeniedError"

    with served(tmp_path) as (store, url):
        told_of(store, url, work, calls=calls)


def test_who_may_only_read_sees_only_what_reads(tmp_path):
    async def work(model):
        assert "get" in await model.tools()
        assert "set" not in await model.tools()
        assert await model.error("set", key="k", value=1) == "PermissionDeniedError"

    with served(tmp_path) as (store, url):
        told_of(store, url, work, grants={"*": "read"})


def test_a_token_that_is_revoked_meanwhile_is_of_no_use(tmp_path):
    async def work(model):
        await model("set", key="k", value=1)
        [token] = store.tokens.list("alice")
        assert store.tokens.revoke(token.id) == 1
        assert await model.error("get", key="k") == "InvalidTokenError"

    with served(tmp_path) as (store, url):
        told_of(store, url, work)
