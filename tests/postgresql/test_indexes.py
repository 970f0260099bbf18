"""Declared indexes: what they hold, which searches they answer and at what cost, and how they are made and mended."""

import threading

import pytest

import datastore
from datastore import UnsupportedError
from datastore_postgresql.indexes import MOST_FIELDS
from tests.postgresql.conftest import unfinished

pytestmark = pytest.mark.server("postgresql")

OPEN = {"status": "open"}


@pytest.fixture
def plans(backend, monkeypatch):
    """What the planner says of each statement that reads a page: the scans, and how many rows they looked at."""
    noted = []
    ask = type(backend._session).ask

    def explained(session, statement, parameters=None, seconds=None):
        if "sure" in statement:
            ((plan,),) = ask(session, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            noted.append(plan[0]["Plan"])
        return ask(session, statement, parameters, seconds)

    monkeypatch.setattr(type(backend._session), "ask", explained)
    return noted


def scans(node):
    """Return the index of each scan in a plan, and how many rows it read."""
    parts = node.get("Plans", ())
    if "Relation Name" in node:
        index = node.get("Index Name") or next((part["Index Name"] for part in parts if "Index Name" in part), None)
        return [(index, (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])]
    return [scan for part in parts for scan in scans(part)]


@pytest.fixture
def filled(store, agent):
    """Two thousand records, of which one in a hundred is rare."""
    agent.set_many(
        {
            f"k{number:04}": {
                "status": "rare" if number % 100 == 0 else "open",
                "price": number,
                "o": {"n": number % 7},
            }
            for number in range(2_000)
        }
    )
    store.agent("other", "a").set_many({f"k{number}": {"status": "rare", "price": 1} for number in range(500)})
    return agent


@pytest.mark.parametrize(
    ("fields", "filter", "limit", "most"),
    [
        (["status"], {"status": "rare"}, None, 20),
        (["status"], {"status": "open"}, 5, 5),
        (["status"], {"status": {"$in": ["rare", "gone", None]}}, None, 20),
        (["price"], {"price": 7}, None, 1),
        (["price"], {"price": {"$gte": 1_990}}, None, 10),
        (["price"], {"price": {"$in": list(range(40))}}, None, 40),
        (["status", "price"], {"status": "rare", "price": {"$lt": 500}}, None, 5),
        (["status", "price"], {"status": "rare", "price": 300}, None, 1),
        (["status", "price"], {"status": "rare"}, None, 20),
        (["o.n", "status"], {"o.n": 3, "status": "open"}, 4, 4),
    ],
    ids=str,
)
def test_a_find_by_a_declared_index_costs_what_it_returns(store, filled, plans, fields, filter, limit, most):
    name = store.ensure_index(fields)
    shown = filled.explain(filter, limit=limit)
    assert (shown["index"], shown["documents_read"], shown["checked_here"]) == (name, most, {})
    (plan,) = plans
    assert {index for index, _ in scans(plan)} == {name}
    assert sum(read for _, read in scans(plan)) <= most + 1


def test_of_several_indexes_the_one_that_fits_best_is_used(store, filled):
    by_status, by_both = store.ensure_index(["status"]), store.ensure_index(["status", "price"])
    store.ensure_index(["status"], namespace="elsewhere")
    assert filled.explain({"status": "rare"})["index"] == by_status
    assert filled.explain({"status": "rare", "price": {"$gt": 3}})["index"] == by_both
    assert filled.explain({"price": 3})["index"] is None
    assert filled.explain({"status": {"$ne": "rare"}})["index"] is None


def test_a_namespace_may_have_its_own(store, filled, plans):
    name = store.ensure_index(["status"], namespace="a:b %")
    there = filled.use_namespace("a:b %")
    there.set_many({f"k{number}": {"status": "rare" if number % 10 == 0 else "open"} for number in range(100)})
    assert there.explain({"status": "rare"})["index"] == name
    assert filled.explain({"status": "rare"})["index"] is None
    assert [index for index, _ in scans(plans[0])] == [name, name]


def test_what_an_entry_cannot_tell_is_found_by_each_search(store, agent):
    name = store.ensure_index(["v", "w"])
    agent.set_many(
        {
            "array": {"v": [1, "x"], "w": 5}, "big": {"v": 2**70, "w": 5}, "long": {"v": "x" * 500, "w": 5},
            "longer": {"v": "x" * 501, "w": 5}, "nul": {"v": "x\0", "w": [5]}, "null": {"v": None, "w": 5}, "none": {},
        }
    )  # fmt: skip
    for filter, keys in (
        ({"v": "x"}, ["array"]),
        ({"v": 2**70}, ["big"]),
        ({"v": "x" * 500}, ["long"]),
        ({"v": {"$gt": "x" * 500}}, ["longer"]),
        ({"v": {"$lt": "x\1"}, "w": 5}, ["array", "nul"]),
        ({"v": "x\0", "w": 5}, ["nul"]),
        ({"v": None, "w": None}, ["none"]),
        ({"v": {"$in": [None, 1]}, "w": 5}, ["array", "null"]),
    ):
        assert list(agent.find(filter)) == keys, filter
        assert agent.explain(filter)["index"] == name


def test_an_entry_of_the_longest_names_fits(store):
    """One that does not would make the write fail."""
    for number in (1, 3, MOST_FIELDS):
        store.ensure_index([f"f{place}.{number}" for place in range(number)])
        value = {f"f{place}": {str(number): "🔑" * 500} for place in range(number)}
        agent = store.agent("é" * 42, "a").use_namespace("🔑" * 21)
        agent.set("🔑" * 128, value)
        assert agent.count({f"f0.{number}": "🔑" * 500}) == 1


def test_too_many_fields_and_a_path_that_no_jsonb_has_are_refused(store, wire):
    for fields in ([f"f{place}" for place in range(MOST_FIELDS + 1)], ["a\0"], ["a" * 201]):
        with pytest.raises(UnsupportedError):
            store.ensure_index(fields)
    assert wire.requests == []


def test_making_one_takes_4_requests_and_knowing_it_none(url, store, wire, agent):
    assert wire.of(lambda: store.ensure_index(["a"])) == 4  # the last look says that it is there
    assert wire.of(lambda: store.ensure_index(["a"])) == 0
    with datastore.connect(url) as other:
        assert wire.of(lambda: other.ensure_index(["a"])) == 0, "it is read when the store is opened"
    assert wire.of(lambda: agent.find({"a": 1})) == wire.of(lambda: agent.count({"a": {"$gt": 1}})) == 1


def test_one_that_was_not_finished_is_made_anew_and_one_of_others_left_alone(store, agent, sql):
    agent.set_many({f"k{number}": {"a": number} for number in range(100)})
    sql('CREATE INDEX others ON agent_data_store ("createdAt")')
    name = store.ensure_index(["a"])
    unfinished(sql, name)
    (finding,) = [one for one in store.backend.examine(0.0) if name in one.text]
    assert not finding.healthy
    store.backend._indexes.clear()
    assert store.ensure_index(["a"]) == name
    assert sql("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", f'"{name}"') == [(True,)]
    assert sql("SELECT count(*) FROM pg_class WHERE relname = 'others'") == [(1,)]


def test_several_processes_declare_it_at_once_while_others_write(url, store, agent):
    agent.set_many({f"k{number}": {"a": number} for number in range(500)})
    stores = [datastore.connect(url) for _ in range(4)]
    names, failed = [], []

    def declare(other):
        try:
            names.append(other.ensure_index(["a"]))
        except datastore.DataStoreError as error:
            failed.append(error)

    threads = [threading.Thread(target=declare, args=(other,)) for other in stores]
    for thread in threads:
        thread.start()
    for number in range(50):
        agent.set(f"k{number}", {"a": -1})
    for thread in threads:
        thread.join()
    for other in stores:
        other.close()
    assert (failed, len(set(names))) == ([], 1)
    assert agent.count({"a": -1}) == 50


@pytest.mark.parametrize("length", [159, 160, 161])
def test_a_text_as_long_as_an_entry_holds_is_not_taken_for_a_longer_one(store, agent, wire, length):
    """Only a shorter one is what its key says, and its rows are not looked at again."""
    texts = {f"k{number}": {"a": "x" * number} for number in (158, 159, 160, 161)} | {"array": {"a": ["x" * length]}}
    agent.set_many(texts)
    store.ensure_index(["a"])
    wire.requests.clear()
    assert agent.find({"a": "x" * length}) == {"array": texts["array"], f"k{length}": texts[f"k{length}"]}
    assert ('", TRUE AS sure' in wire.requests[-1]) is (length < 160)
