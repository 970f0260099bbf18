"""What a token does not allow, no tool does; and an error tells nothing of the host's."""

import asyncio
import json
from contextlib import suppress

import pytest
from mcp.shared.exceptions import MCPError

import datastore
from datastore.errors import (
    BackendUnavailableError,
    BackendUnusableError,
    DamagedRecordError,
    InternalError,
    PermissionDeniedError,
)
from datastore.mcp.results import error_text
from datastore.mcp.tools import TOOLS
from tests.mcp.model import MODES, ToolError, holding, run

ARGUMENTS = {
    "key": "k",
    "keys": ["k"],
    "value": 1,
    "changes": {"a": 1},
    "items": [1],
    "ttl": 60,
}
READING = [tool.name for tool in TOOLS if not tool.writes]


def arguments_of(tool):
    return {name: ARGUMENTS[name] for name in tool.required}


@pytest.mark.parametrize("mode", MODES)
def test_who_may_only_read_sees_only_the_tools_that_read_and_cannot_use_the_others(mode):
    async def work(store, model):
        await store.agent("alice", "other").set("k", 1)
        assert await model.tools() == READING
        for tool in TOOLS:
            if tool.writes:
                assert await model.error(tool.name, **arguments_of(tool)) == "PermissionDeniedError", tool.name
        assert (await model("get", key="k"))["value"] == 1
        assert await store.agent("alice", "other").get_all() == {"k": 1}

    run(work, mode=mode, grants={"*": "read"})


def test_who_may_write_somewhere_sees_all_tools():
    async def work(store, model):
        assert await model.tools() == [tool.name for tool in TOOLS]
        assert await model.error("set", key="k", value=1) == "PermissionDeniedError"
        assert await model("set", key="k", value=1, namespace="mine")

    run(work, grants={"default": "read", "mine": "write"})


def test_no_tool_reaches_a_namespace_without_a_grant():
    async def work(store, model):
        await store.agent("alice", "other", "secret").set("k", "hidden")
        for tool in TOOLS:
            if "namespace" in tool.parameters:
                kind = await model.error(tool.name, **arguments_of(tool), namespace="secret")
                assert kind == "PermissionDeniedError", tool.name
                assert "hidden" not in model.text
        assert await model("list_namespaces") == {"namespaces": [], "cursor": None}
        assert await store.agent("alice", "other", "secret").get("k") == "hidden"

    run(work, grants={"default": "write"})


def test_no_namespace_and_no_cursor_leads_to_another_user():
    async def work(store, model):
        bob = store.agent("bob", "x")
        for number in range(5):
            await bob.set(f"k{number}", "bob's")
            await model("set", key=f"k{number}", value="alice's")
        cursors = [(await bob.scan(limit=2)).cursor, (await bob.find_records(limit=2)).cursor, "k1", "bob:default:"]
        for cursor in cursors:
            for tool in ("find", "list_keys", "list_namespaces"):
                with suppress(ToolError):
                    await model(tool, cursor=cursor)
                assert "bob's" not in model.text
        for namespace in ("../bob/default", "bob:default", "bob%3Adefault", "..", "bob/default", "%", "*"):
            assert await model("list_keys", namespace=namespace) == {"keys": [], "cursor": None}
            assert await model("get", key="k0", namespace=namespace) == {"found": False}

    run(work)


@pytest.mark.parametrize("mode", MODES)
def test_a_token_that_was_revoked_is_of_no_use_from_then_on(mode):
    async def main():
        async with datastore.connect_async("memory://") as store:
            token = await store.tokens.mint("alice", "planner")
            async with holding(store, token, mode) as model:
                await model("set", key="k", value=1)
                assert await store.tokens.revoke(token) == 1
                for tool in TOOLS:
                    assert await model.error(tool.name, **arguments_of(tool)) == "InvalidTokenError"
                    assert token not in model.text
                with pytest.raises(MCPError, match="not valid") as caught:
                    await model.client.list_tools(cache_mode="bypass")
                assert token not in str(caught.value)

    asyncio.run(main())


def test_only_the_calls_that_a_token_allows_are_there():
    async def work(store, model):
        assert await model.tools() == ["get", "list_keys", "set"]
        await model("set", key="k", value=1)
        assert (await model("get", key="k"))["value"] == 1
        for tool in TOOLS:
            if tool.name not in ("get", "list_keys", "set"):
                assert await model.error(tool.name, **arguments_of(tool)) == "PermissionDeniedError", tool.name

    run(work, calls=["set", "get", "list_k*"])


def test_a_token_whose_calls_are_counted_is_for_a_server_alone():
    async def work(store, model):
        assert await model.error("get", key="k") == "PermissionDeniedError"
        assert "datastore serve" in model.text

    run(work, quota=datastore.Quota(calls_per_minute=1_000))


def test_a_quota_holds():
    async def work(store, model):
        await model("set", key="a", value=1)
        assert await model.error("set", key="b", value=1) == "QuotaExceededError"
        assert await model("set", key="a", value=2)

    run(work, quota=datastore.Quota(records=1))


SECRET = "/srv/secret/agents.db"


@pytest.mark.parametrize(
    "error",
    [
        InternalError(f"the adapter raised at {SECRET}"),
        BackendUnavailableError(f"cannot reach {SECRET}", backend="sqlite"),
        BackendUnusableError(f"{SECRET} is full", backend="sqlite"),
        DamagedRecordError(f"{SECRET} is damaged", id=SECRET),
        PermissionDeniedError(f"{SECRET} is not readable for this user", backend="sqlite"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_host_is_told_without_what_is_the_hosts(error):
    told = error_text(error.during(f"reading {SECRET}", "sqlite"))
    assert SECRET not in told
    assert json.loads(told)["error"] == type(error).__name__


def test_a_fault_of_a_tool_is_told_without_its_text(caplog):
    class Broken:
        def calling(self, request, call):
            raise RuntimeError(SECRET)

    from mcp import Client

    from datastore.mcp import create_mcp_server
    from tests.mcp.model import Model

    async def main():
        async with Client(create_mcp_server(Broken())) as client:
            model = Model(client)
            assert await model.error("get", key="k") == "InternalError"
            assert SECRET not in model.text

    asyncio.run(main())
    assert SECRET in caplog.text  # where the host looks
