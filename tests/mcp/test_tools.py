"""Every tool does what the call of the same name does, in both generations of the protocol."""

import inspect

import jsonschema
import pytest

from datastore import AgentDataStore
from datastore.mcp.tools import NAMESPACE, TOOLS
from tests.mcp.model import MODES, run

pytestmark = pytest.mark.parametrize("mode", MODES)


def test_get_returns_the_value_and_its_revision_and_counts_an_access(mode):
    async def work(store, model):
        revision = (await model("set", key="plan", value={"n": 1}))["revision"]
        assert await model("get", key="plan") == {"found": True, "value": {"n": 1}, "revision": revision}
        assert await model("get", key="none") == {"found": False}
        assert (await model("get_record", key="plan"))["record"]["accessCount"] == 1

    run(work, mode=mode)


@pytest.mark.parametrize(
    "value", [None, True, 0, 1.0, -0.0, 2**70, 1e300, "", "\x00\n\u2028😀", [], {}, {"a": [{"b": None}]}], ids=repr
)
def test_every_json_value_comes_back_as_it_was(mode, value):
    async def work(store, model):
        await model("set", key="k", value=value)
        found = (await model("get", key="k"))["value"]
        assert (found, repr(found)) == (value, repr(value))
        assert await store.agent("alice", "other").get("k", "nothing") == value

    run(work, mode=mode)


def test_get_many_tells_what_is_missing(mode):
    async def work(store, model):
        await model("set", key="a", value=1)
        await model("set", key="b", value=2)
        told = await model("get_many", keys=["b", "none", "a", "b"])
        assert told == {"values": {"b": 2, "a": 1}, "missing": ["none"], "left_out": []}

    run(work, mode=mode)


def test_get_record_tells_who_and_when_and_no_id_of_the_database(mode):
    async def work(store, model):
        await model("set", key="a", value=1, metadata={"source": "web"}, ttl=60)
        record = (await model("get_record", key="a"))["record"]
        assert record["createdByAgent"] == record["updatedByAgent"] == "planner"
        assert (record["value"], record["metadata"], record["key"]) == (1, {"source": "web"}, "a")
        assert record["expiresAt"] > record["createdAt"]
        assert not {"id", "userId"} & set(record)
        assert await model("get_record", key="none") == {"found": False}

    run(work, mode=mode)


def test_exists(mode):
    async def work(store, model):
        await model("set", key="a", value=None)
        assert await model("exists", key="a") == {"exists": True}
        assert await model("exists", key="b") == {"exists": False}

    run(work, mode=mode)


@pytest.mark.parametrize("reverse", [False, True])
def test_list_keys_goes_through_all_keys_page_by_page(mode, reverse):
    keys = sorted([f"k{number}" for number in range(7)] + ["k" * 512])

    async def work(store, model):
        for key in [*keys, "other"]:
            await model("set", key=key, value=1)
        found, cursor = [], None
        while True:
            told = await model("list_keys", prefix="k", limit=3, reverse=reverse, cursor=cursor)
            assert len(told["keys"]) <= 3
            found += told["keys"]
            cursor = told["cursor"]
            if cursor is None:
                break
        assert found == (keys[::-1] if reverse else keys)

    run(work, mode=mode)


def test_list_namespaces_goes_through_all_page_by_page(mode):
    async def work(store, model):
        for number in range(5):
            await model("set", key="k", value=1, namespace=f"n{number}")
        first = await model("list_namespaces", limit=3)
        assert first == {"namespaces": ["n0", "n1", "n2"], "cursor": "n2"}
        assert await model("list_namespaces", limit=3, cursor="n2") == {"namespaces": ["n3", "n4"], "cursor": None}
        assert (await model("list_namespaces", prefix="n4"))["namespaces"] == ["n4"]

    run(work, mode=mode)


def test_find_filters_sorts_shapes_and_goes_on(mode):
    async def work(store, model):
        for number in range(6):
            await model("set", key=f"k{number}", value={"n": number, "even": number % 2 == 0, "text": "x"})
        first = await model("find", filter={"even": True}, sort=["-n"], fields=["n"], limit=2)
        assert [record["value"] for record in first["records"]] == [{"n": 4}, {"n": 2}]
        again = {"filter": {"even": True}, "sort": ["-n"], "fields": ["n"], "limit": 2, "cursor": first["cursor"]}
        second = await model("find", **again)
        assert [record["key"] for record in second["records"]] == ["k0"]
        assert second["cursor"] is None
        assert len((await model("find", prefix="k"))["records"]) == 6
        assert [one["key"] for one in (await model("find", sort=["-$key"], limit=1))["records"]] == ["k5"]

    run(work, mode=mode)


def test_count(mode):
    async def work(store, model):
        await model("set", key="a", value={"n": 1})
        await model("set", key="b", value={"n": 2})
        assert await model("count") == {"count": 2}
        assert await model("count", filter={"n": {"$gt": 1}}) == {"count": 1}
        assert await model("count", prefix="a") == {"count": 1}

    run(work, mode=mode)


def test_set_with_a_revision_stores_only_what_nobody_has_changed(mode):
    async def work(store, model):
        first = (await model("set", key="a", value=1))["revision"]
        second = (await model("set", key="a", value=2, if_revision=first))["revision"]
        assert await model.error("set", key="a", value=3, if_revision=first) == "ConflictError"
        assert (await model("get", key="a")) == {"found": True, "value": 2, "revision": second}

    run(work, mode=mode)


def test_add_stores_only_what_is_new(mode):
    async def work(store, model):
        assert (await model("add", key="a", value=1))["revision"]
        assert await model.error("add", key="a", value=2) == "KeyExistsError"
        assert (await model("get", key="a"))["value"] == 1

    run(work, mode=mode)


def test_create_makes_a_key(mode):
    async def work(store, model):
        keys = {(await model("create", value=1, prefix="note/"))["key"] for _ in range(3)}
        assert len(keys) == 3
        assert (await model("list_keys", prefix="note/"))["keys"] == sorted(keys)

    run(work, mode=mode)


def test_update_changes_a_part(mode):
    async def work(store, model):
        assert await model("update", key="a", changes={"x": 1, "y": [1]}) == {"value": {"x": 1, "y": [1]}}
        told = await model("update", key="a", changes={"$inc": {"x": 2}, "$push": {"y": 2}})
        assert told == {"value": {"x": 3, "y": [1, 2]}}
        assert await model.error("update", key="a", changes={"$explode": {"x": 1}}) == "QueryError"

    run(work, mode=mode)


def test_increment(mode):
    async def work(store, model):
        assert await model("increment", key="n") == {"value": 1}
        assert await model("increment", key="n", by=-0.5) == {"value": 0.5}
        await model("set", key="text", value="x")
        assert await model.error("increment", key="text") == "InvalidValueError"

    run(work, mode=mode)


def test_append_tells_how_long_the_array_is(mode):
    async def work(store, model):
        assert await model("append", key="log", items=["a"]) == {"length": 1}
        assert await model("append", key="log", items=[{"b": 1}, None]) == {"length": 3}
        assert (await model("get", key="log"))["value"] == ["a", {"b": 1}, None]

    run(work, mode=mode)


def test_touch_moves_the_expiry_and_ends_it(mode):
    async def work(store, model):
        await model("set", key="a", value=1)
        assert await model("touch", key="a", ttl=60) == {"found": True}
        assert (await model("get_record", key="a"))["record"]["expiresAt"]
        assert await model("touch", key="a", ttl=None) == {"found": True}
        assert (await model("get_record", key="a"))["record"]["expiresAt"] is None
        assert await model("touch", key="none", ttl=60) == {"found": False}

    run(work, mode=mode)


def test_delete(mode):
    async def work(store, model):
        revision = (await model("set", key="a", value=1))["revision"]
        assert await model.error("delete", key="a", if_revision="another") == "ConflictError"
        assert await model("delete", key="a", if_revision=revision) == {"deleted": True}
        assert await model("delete", key="a") == {"deleted": False}

    run(work, mode=mode)


def test_claim_gives_each_job_to_one(mode):
    async def work(store, model):
        for number in range(2):
            await model("set", key=f"jobs/{number}", value={"kind": "mail", "n": number})
        taken = [await model("claim", filter={"kind": "mail"}, prefix="jobs/", ttl=60, sort=["-n"]) for _ in range(3)]
        assert [told["found"] for told in taken] == [True, True, False]
        record = taken[0]["record"]
        assert (record["key"], record["value"]["claim"]["by"]) == ("jobs/1", "planner")
        assert await model("delete", key="jobs/1", if_revision=record["revision"]) == {"deleted": True}

    run(work, mode=mode)


def test_each_tool_but_that_which_lists_them_can_be_used_in_another_namespace(mode):
    assert [tool.name for tool in TOOLS if tool.parameters.get("namespace") is not NAMESPACE] == ["list_namespaces"]

    async def work(store, model):
        await model("set", key="a", value=1, namespace="there")
        assert await model("get", key="a") == {"found": False}
        assert (await model("get", key="a", namespace="there"))["value"] == 1
        assert await store.agent("alice", "x", "there").get("a") == 1

    run(work, mode=mode)


def test_a_client_is_told_what_each_tool_does(mode):
    async def work(store, model):
        tools = {tool.name: tool for tool in (await model.client.list_tools()).tools}
        assert list(tools) == [tool.name for tool in TOOLS]
        for name, tool in tools.items():
            assert inspect.iscoroutinefunction(getattr(store.agent("alice", "x"), name)), name
            assert hasattr(AgentDataStore, name)
            jsonschema.Draft202012Validator.check_schema(tool.input_schema)
            assert tool.input_schema["additionalProperties"] is False
            for parameter in tool.input_schema["properties"].values():
                assert parameter["description"]
                assert parameter["type"]
            assert 40 < len(tool.description) < 600
            assert tool.annotations.open_world_hint is False
            writes = name not in READING
            assert tool.annotations.read_only_hint is not writes
            assert tool.annotations.destructive_hint is (name in DESTRUCTIVE)

    run(work, mode=mode)


READING = {"get", "get_many", "get_record", "exists", "list_keys", "find", "count", "list_namespaces"}
DESTRUCTIVE = {"set", "update", "touch", "delete", "claim"}
