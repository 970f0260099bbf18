"""Finding on the emulator: what the reference finds, each trap by name, pages and requests."""

import ast
import logging
import re
import uuid
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore
from datastore.errors import PermissionDeniedError, UnsupportedError
from tests.firestore.queries import documents, expected, fields_asked, filters
from tests.full import EXAMPLES_ON_SERVERS

pytestmark = pytest.mark.server("firestore")


@settings(
    max_examples=EXAMPLES_ON_SERVERS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(documents, min_size=1, max_size=30), st.lists(filters, min_size=1, max_size=25))
def test_firestore_finds_what_the_reference_finds(agent, store, some, wanted):
    items = {f"k{number:02}": value for number, value in enumerate(some)}
    agent = agent.use_namespace(uuid.uuid4().hex)
    agent.set_many(items)
    for path in ("a",), ("a", "b"):  # ranges are pushed as well
        store.backend.ensure_index([path], None)
    for filter in wanted:
        assert list(agent.find(filter).items()) == list(expected(items, filter).items()), filter


def test_a_find_is_one_stream(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 10, "of": {"it": number}} for number in range(200)})
    for call in (
        lambda: agent.find({"n": 3}),
        lambda: agent.find({"of.it": 3}),
        lambda: agent.count({"n": 3}),
        lambda: agent.find({"n": 3}, meta={"createdByAgent": "a"}),
        lambda: agent.find({"n": {"$gt": 3}}),
    ):
        recorder.clear()
        call()
        assert recorder.requests == ["RunQuery"]


def test_only_what_is_found_is_read(agent):
    agent.set_many({f"k{number:03}": {"n": number % 10, "tags": [f"t{number % 20}"]} for number in range(200)})
    for filter, read in [
        ({"n": 3}, 20),
        ({"n": {"$in": [3, 4]}}, 40),
        ({"tags": "t3"}, 10),
        ({"n": 3, "tags": "t3"}, 10),
        ({"n": 4, "tags": "t3"}, 0),
        ({"tags": {"$all": ["t3", "t4"]}}, 10),
        ({"$or": [{"n": 3}, {"tags": "t5"}]}, 30),
        ({"n": 3, "n2": {"$gt": 5}}, 20),
        ({"tags": {"$elemMatch": {"$eq": "t3", "$ne": "x"}}}, 10),
    ]:
        explained = agent.explain(filter)
        assert explained["documents_read"] == read, filter
        assert explained["native"]["order"] == ["__name__"]
        assert "(automatic)" in explained["index"]


def test_a_limit_stops_reading_early(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 2} for number in range(200)})
    recorder.clear()
    assert len(agent.find({"n": 1}, limit=3)) == 3
    (message,) = recorder.messages
    assert 3 <= message.structured_query.limit.value < 10  # a superset is found: some to spare


def test_pages_go_on_behind_each_other(agent):
    agent.set_many({f"k{number:03}": {"n": number % 2, "text": "x" * 200_000} for number in range(100)})
    assert len(agent.find({"n": 1})) == 50  # of 10 MB, which is more than a page
    keys, cursor = [], None
    while True:
        page = agent.find_records({"n": 1}, limit=7, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(keys) == [f"k{number:03}" for number in range(1, 100, 2)]


def test_what_arrays_hold_is_found_though_equality_does_not_look_into_them(agent):
    items = {
        "plain": {"tags": "x"},
        "array": {"tags": ["y", "x"]},
        "other": {"tags": ["y"]},
        "none": {},
    }
    agent.set_many(items)
    assert sorted(agent.find({"tags": "x"})) == ["array", "plain"]
    assert sorted(agent.find({"tags": ["y"]})) == ["other"]
    assert sorted(agent.find({"tags": {"$size": 2}})) == ["array"]


def test_an_array_on_the_way_hides_nothing(agent):
    items = {
        "maps": {"a": {"b": 1}},
        "array": {"a": [{"b": 2}, {"b": 1}]},
        "last": {"a": {"b": [1, 2]}},
        "deep": {"a": [{"b": [1]}]},
        "other": {"a": [{"b": 2}]},
        "scalars": {"a": [1]},
    }
    agent.set_many(items)
    assert sorted(agent.find({"a.b": 1})) == ["array", "deep", "last", "maps"]
    assert sorted(agent.find({"a": {"$elemMatch": {"b": 1}}})) == ["array", "deep"]


def test_two_arrays_in_one_document_are_met(agent):
    agent.set_many(
        {
            "both": {"a": ["x"], "b": ["y"]},
            "one": {"a": ["x"], "b": "y"},
            "none": {"a": "x", "b": "y"},
            "half": {"a": ["x"], "b": ["z"]},
        }
    )
    assert sorted(agent.find({"a": "x", "b": "y"})) == ["both", "none", "one"]
    assert sorted(agent.find({"a": {"$all": ["x", "y"]}})) == []
    assert agent.count({"a": "x", "b": "y"}, meta={"metadata.c": 1}) == 0


def test_arrays_of_value_and_metadata_are_met_together(agent):
    for number, (tags, kinds) in enumerate([("x", "m"), (["x"], "m"), ("x", ["m"]), (["x"], ["m"]), (["x"], ["n"])]):
        agent.set(f"k{number}", {"tags": tags}, {"kinds": kinds})
    assert sorted(agent.find({"tags": "x"}, meta={"metadata.kinds": "m"})) == ["k0", "k1", "k2", "k3"]


def test_what_is_stored_as_text_is_never_lost(agent):
    items = {
        "nested": {"a": 1, "grid": [[1]]},
        "big": {"a": 1, "n": 2**70},
        "reserved": {"a": 1, "__x__": 5},
        "zero": {"a": -0.0},
        "native": {"a": 1},
        "other": {"a": 2, "n": 2**70},
    }
    agent.set_many(items)
    assert sorted(agent.find({"a": 1})) == ["big", "native", "nested", "reserved"]
    assert sorted(agent.find({"a": 0})) == ["zero"]
    assert sorted(agent.find({"__x__": 5})) == ["reserved"]
    assert sorted(agent.find({"n": 2**70})) == ["big", "other"]
    assert sorted(agent.find({"grid": [1]})) == ["nested"]
    agent.set("big", {"a": 1})
    agent.set("native", {"a": 1, "n": 2**70})
    assert sorted(agent.find({"n": 2**70})) == ["native", "other"]


def test_metadata_that_is_text_is_never_lost(agent):
    agent.set("k1", 1, {"a": 1, "b": 2**70})
    agent.set("k2", 2, {"a": 1})
    agent.set("k3", 3, {"a": 2})
    assert sorted(agent.find(meta={"metadata.a": 1})) == ["k1", "k2"]
    agent.set("k3", 3, {"a": 1, "c": [[1]]})
    agent.set("k1", 1, {"b": None})
    assert sorted(agent.find(meta={"metadata.a": 1})) == ["k1", "k2", "k3"]


def test_null_and_missing_are_equal(agent):
    agent.set_many({"null": {"a": None}, "missing": {}, "zero": {"a": 0}, "text": "a"})
    assert sorted(agent.find({"a": None})) == ["missing", "null", "text"]


def test_numbers_are_equal_across_types_and_booleans_are_none(agent):
    items = {"int": {"a": 1}, "float": {"a": 1.0}, "true": {"a": True}, "text": {"a": "1"}}
    agent.set_many(items)
    assert sorted(agent.find({"a": 1})) == ["float", "int"]
    assert sorted(agent.find({"a": 1.0})) == ["float", "int"]
    assert sorted(agent.find({"a": True})) == ["true"]
    assert sorted(agent.find({"$or": [{"a": 1}, {"a": True}]})) == ["float", "int", "true"]
    agent.set_many({"large": {"a": 2**60}, "large float": {"a": 2.0**60}, "near": {"a": 2**60 + 1}})
    assert sorted(agent.find({"a": 2**60})) == ["large", "large float"]
    assert sorted(agent.find({"a": 2.0**60})) == ["large", "large float"]
    assert sorted(agent.find({"a": 2**60 + 1})) == ["near"]


def test_text_that_an_index_cuts_off_is_compared_whole(agent):
    long = "x" * 1_600
    agent.set_many({"a": {"t": long + "a"}, "b": {"t": long + "b"}, "c": {"t": "x" * 1_400}, "d": {"t": [long + "a"]}})
    assert sorted(agent.find({"t": long + "a"})) == ["a", "d"]
    assert sorted(agent.find({"t": "x" * 1_400})) == ["c"]


def test_field_names_are_escaped(agent):
    names = ["a b", "a-b", "`", "\\", "$n", "é", "1", "a\\`b"]
    for name in names:
        agent.set(name, {name: {"in": 1}})
    for name in names:
        if not name.startswith("$"):
            assert sorted(agent.find({f"{name}.in": 1})) == [name]
    agent.set("dotted", {"a.b": 1})
    agent.set("nested", {"a": {"b": 1}})
    assert sorted(agent.find({"a.b": 1})) == ["nested"]


def test_expired_records_are_hidden(url, recorder):
    now = [1_790_000_000.0]
    with datastore.connect(url, clock=lambda: now[0]) as store:
        agent = store.agent("u", "a")
        agent.set("k1", {"a": 1}, ttl=10)
        agent.set("k2", {"a": 1})
        assert agent.count({"a": 1}) == 2
        now[0] += 11
        assert sorted(agent.find({"a": 1})) == ["k2"]
        assert agent.count({"a": 1}) == 1


def test_names_of_other_namespaces_and_users_are_not_found(agent, store):
    for user in ("u", "u:", "u1", "t"):
        for namespace in ("default", "default:", "default1"):
            store.agent(user, "a", namespace).set("k", {"a": f"{user} {namespace}", "n": 1})
    store.backend.ensure_index([("n",)], None)
    for filter in ({"n": 1}, {"n": {"$gt": 0}}):
        assert agent.find(filter) == {"k": {"a": "u default", "n": 1}}
        assert store.agent("u:", "a", "default:").find(filter) == {"k": {"a": "u: default:", "n": 1}}


def test_a_value_with_many_arrays_is_read_by_every_query(agent):
    agent.set("many", {"a": 1} | {f"x{number}": [number] for number in range(40)})
    agent.set("few", {"a": 1})
    assert sorted(agent.find({"x7": 7})) == ["many"]
    assert sorted(agent.find({"a": 1})) == ["few", "many"]


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT])
def test_without_the_index_a_find_reads_the_range_and_says_so_once(agent, recorder, caplog, code):
    agent.set_many({"k1": {"a": 1}, "k2": {"a": 2}})
    recorder.fail("RunQuery", code)
    recorder.clear()
    with caplog.at_level(logging.WARNING, "datastore"):
        assert sorted(agent.find({"a": 1})) == ["k1"]
        assert sorted(agent.find({"a": 2})) == ["k2"]
    assert recorder.requests == ["RunQuery"] * 3
    assert len(caplog.records) == 1
    assert "value.a" in caplog.text
    assert not any(fields_asked(message.structured_query) for message in recorder.messages[1:])


def test_other_failures_of_a_find_are_failures(agent, recorder):
    recorder.fail("RunQuery", grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(PermissionDeniedError):
        agent.find({"a": 1})


def test_what_the_page_on_firestore_shows_is_true(agent, store):
    page = (Path(__file__).parents[2] / "docs/backends/firestore.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```$", page.partition("## Queries and indexes")[2], re.MULTILINE | re.DOTALL)
    names = {"data_store": agent, "store": store}
    checked = 0
    for block in shown[:2]:
        statements = ast.parse(block).body
        for statement, end in zip(statements, [*[one.lineno - 1 for one in statements[1:]], None], strict=True):
            text = ast.unparse(statement)
            said = "\n".join(block.splitlines()[statement.lineno - 1 : end]).partition("# -> ")[2]
            if said:
                assert repr(eval(text, names)) == said
                checked += 1
            else:
                exec(text, names)
    assert checked == 6


# From the last key to the first.


def test_a_filter_is_asked_in_the_order_of_names_and_its_answer_turned_round(agent, recorder):
    """Equality together with an order that is not that of names would need a composite index."""
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    recorder.clear()
    assert list(agent.find({"n": 3}, sort="-$key", limit=2)) == ["k093", "k083"]
    assert list(agent.find({"n": 3}, start="k050", end="k080", sort="-$key")) == ["k073", "k063", "k053"]
    assert recorder.requests == ["RunQuery"] * 2
    assert recorder.handed_over == 10 + 3
    for message in recorder.messages:
        (order,) = message.structured_query.order_by
        assert order.field.field_path == "__name__"
        assert order.direction == message.structured_query.Direction.Value("ASCENDING")
    explained = agent.explain({"n": 3}, sort="-$key", limit=2)
    assert explained["sorted_here"]
    assert explained["documents_read"] == 10
    assert not agent.explain({"n": 3}, limit=2)["sorted_here"]


def test_what_no_index_decides_is_read_from_the_last_and_no_further_than_wanted(agent, recorder):
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    recorder.clear()
    assert list(agent.find({"n": {"$gte": 5}}, sort="-$key", limit=3)) == ["k099", "k098", "k097"]
    assert recorder.requests == ["RunQuery"]
    assert recorder.handed_over <= 6


@pytest.mark.parametrize("sort", ["$key", "-$key"])
def test_pages_of_a_filter_in_either_direction_hold_everything_once(agent, recorder, sort):
    agent.set_many({f"k{number:03}": {"n": number % 10} for number in range(100)})
    cursor, keys = None, []
    while True:
        page = agent.find_records({"n": 3}, sort=sort, limit=4, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert keys == sorted((f"k{number:03}" for number in range(3, 100, 10)), reverse=sort == "-$key")


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT])
def test_without_the_index_of_ids_a_listing_from_the_last_names_the_command(agent, store, recorder, code):
    agent.set("k", 1)
    recorder.fail("RunQuery", code)
    with pytest.raises(UnsupportedError, match=r"gcloud firestore indexes fields update _id .*order=descending"):
        agent.list_keys(reverse=True)
    recorder.fail("RunAggregationQuery", code)
    assert store.backend.document_count() is None
    recorder.fail("RunQuery", grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(PermissionDeniedError):
        agent.list_keys(reverse=True)
