"""No result is larger than a model's context can take: it is cut or left out, says so, and says how to get the rest."""

import json

import pytest

from datastore.errors import InvalidValueError
from datastore.mcp import create_mcp_server
from tests.mcp.model import run

SIZE = 2_000


def within_its_size(work):
    run(work, max_result=SIZE)


@pytest.mark.parametrize("text", ["x", '"', "\\", "\n", "é😀", "ab\x00"], ids=ascii)
def test_a_large_value_comes_in_pieces_that_put_together_are_the_value(text):
    value = {"text": text * 3_000}

    async def work(store, model):
        await model("set", key="large", value=value)
        pieces, offset = [], 0
        while offset is not None:
            told = await model("get", key="large", offset=offset)
            assert len(model.text) <= SIZE
            assert told["cut"] is True
            assert told["offset"] == offset
            pieces.append(told["json_text"])
            offset = told["next_offset"]
        assert json.loads("".join(pieces)) == value
        assert len("".join(pieces)) == told["length"]
        assert len(pieces) >= 2

    within_its_size(work)


def test_a_piece_beyond_the_end_is_an_error():
    async def work(store, model):
        await model("set", key="a", value="text")
        assert await model.error("get", key="a", offset=6) == "InvalidValueError"
        assert (await model("get", key="a", offset=2))["json_text"] == 'ext"'

    within_its_size(work)


def test_get_many_says_which_values_it_left_out():
    keys = [f"k{number}" for number in range(9)]

    async def work(store, model):
        for key in keys:
            await model("set", key=key, value="x" * 400)
        told = await model("get_many", keys=[*keys, "none"])
        assert len(model.text) <= SIZE
        assert [*told["values"], *told["left_out"]] == keys
        assert told["values"]
        assert told["left_out"]
        assert told["missing"] == ["none"]

    within_its_size(work)


def test_find_is_cut_at_a_record_and_the_cursor_goes_on_with_the_next_one():
    keys = [f"k{number:02}" for number in range(20)]

    async def work(store, model):
        for key in keys:
            await model("set", key=key, value={"text": "x" * 500, "n": 1}, metadata={"m": "y"})
        for sort in (None, ["n"], ["-$key"]):
            found, cursor = [], None
            while True:
                told = await model("find", limit=10, sort=sort, cursor=cursor)
                assert len(model.text) <= SIZE
                found += [record["key"] for record in told["records"]]
                cursor = told["cursor"]
                if cursor is None:
                    break
            assert found == (keys[::-1] if sort == ["-$key"] else keys)

    within_its_size(work)


def test_find_leaves_out_a_value_that_does_not_fit_by_itself():
    async def work(store, model):
        await model("set", key="a", value="x" * 5_000)
        await model("set", key="b", value=1)
        first = await model("find")
        assert [(one["key"], one.get("value_left_out")) for one in first["records"]] == [("a", True), ("b", None)]

    within_its_size(work)


def test_records_and_new_values_that_do_not_fit_are_left_out():
    async def work(store, model):
        await model("set", key="a", value={"text": "x" * 5_000})
        assert (await model("get_record", key="a"))["record"]["value_left_out"] is True
        assert await model("update", key="a", changes={"n": 1}) == {"value_left_out": True}
        assert (await model("claim", ttl=60))["record"]["value_left_out"] is True
        assert len(model.text) <= SIZE

    within_its_size(work)


def test_long_lists_of_names_are_cut():
    async def work(store, model):
        for number in range(20):
            await model("set", key=f"{number:02}{'k' * 300}", value=1, namespace=f"{number:02}{'n' * 200}")
            await model("set", key=f"{number:02}{'k' * 300}", value=1)
        for tool, name in (("list_keys", "keys"), ("list_namespaces", "namespaces")):
            found, cursor = [], None
            while True:
                told = await model(tool, cursor=cursor)
                assert len(model.text) <= SIZE
                found += told[name]
                cursor = told["cursor"]
                if cursor is None:
                    break
            assert len(set(found)) == len(found) == (20 if tool == "list_keys" else 21)

    within_its_size(work)


def test_a_size_that_nothing_fits_into_is_refused():
    with pytest.raises(InvalidValueError, match="at least 1000"):
        create_mcp_server(None, max_result=999)
