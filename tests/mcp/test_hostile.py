"""Whatever a client sends, it gets an error that it can read, and the server goes on."""

import asyncio
from contextlib import suppress

import pytest
from mcp.shared.exceptions import MCPError

from datastore.mcp.tools import TOOLS, Tool
from tests.mcp.model import ToolError, run
from tests.mcp.test_access import arguments_of

NASTY = [
    None,
    True,
    -1,
    2**200,
    1e308,
    "",
    "\x00",
    "..",
    "../../etc/passwd",
    "x" * 100_000,
    [],
    [[]],
    {},
    {"$where": "while(true){}"},
    {"a": {"$regex": "(a+)+$"}},
]


def of_parameter(tool: Tool):
    return [(tool, name) for name in tool.parameters]


@pytest.mark.parametrize(
    ("tool", "parameter"),
    [pair for tool in TOOLS for pair in of_parameter(tool)],
    ids=lambda one: one.name if isinstance(one, Tool) else one,
)
def test_every_parameter_takes_nothing_that_hurts(tool, parameter):
    async def work(store, model):
        await store.agent("alice", "x").set("k", 1)
        for nasty in NASTY:
            with suppress(ToolError):
                await model(tool.name, **arguments_of(tool) | {parameter: nasty})
            assert "InternalError" not in model.text, nasty
            assert len(model.text) < 3_000 or '{"error"' not in model.text, nasty
        assert (await model("set", key="after", value=1))["revision"]

    run(work)


def test_missing_unknown_and_wrong_arguments_are_named():
    async def work(store, model):
        for tool, arguments, message in (
            ("get", {}, "get needs the argument key"),
            ("get", {"key": "k", "user_id": "bob"}, "get has no parameter 'user_id'; it has key, offset, namespace"),
            ("get", {"key": 1}, "key is an int; give string"),
            ("get", {"key": "k", "offset": True}, "offset is a bool; give integer"),
            ("get_many", {"keys": ["k", 1]}, "keys[1] is an int; give string"),
            ("get_many", {"keys": []}, "keys has 0 items; give 1 to 100"),
            ("find", {"limit": 1_000}, "limit is 1000; it must be 1 to 100"),
            ("find", {"filter": {"$explode": 1}}, "$explode"),
        ):
            with pytest.raises(ToolError) as caught:
                await model(tool, **arguments)
            assert message in caught.value.told["message"]

    run(work)


def test_null_for_an_optional_argument_is_as_if_it_was_not_given():
    async def work(store, model):
        await model("set", key="k", value=None, metadata=None, ttl=None, if_revision=None, namespace=None)
        assert (await model("get", key="k", offset=None))["value"] is None
        assert (await model("find", filter=None, sort=None, limit=None, cursor=None))["cursor"] is None

    run(work)


@pytest.mark.parametrize("name", ["clear", "delete_where", "__class__", "use_namespace", "", "get\x00", "x" * 10_000])
def test_there_are_no_other_tools(name):
    async def work(store, model):
        with pytest.raises(MCPError, match="there is no tool") as caught:
            await model(name)
        assert len(str(caught.value)) < 500

    run(work)


def test_many_calls_at_once_lose_nothing():
    async def work(store, model):
        await asyncio.gather(*(model("increment", key="n") for _ in range(50)))
        assert (await model("get", key="n"))["value"] == 50

    run(work)
