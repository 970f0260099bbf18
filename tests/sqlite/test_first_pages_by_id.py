"""Records found without an index, read in the short way once their plan is known: it finds what the long way finds."""

from __future__ import annotations

import pytest

from datastore.conformance.samples import same
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from datastore_sqlite import finding
from tests.adapters.finding import in_order, small_pages
from tests.sqlite.files import connect
from tests.sqlite.test_first_pages import ASKED, DOCUMENTS, edit, of_one_kind

ODD_NAME = "é:x\ud7ff"


@pytest.fixture
def store(path):
    with connect(path, tracking="off") as store:
        yield store


@pytest.fixture
def agent(store):
    agent = store.agent("u", "a", ODD_NAME)
    agent.set_many(DOCUMENTS)
    store.agent("u", "a", "other").set_many(DOCUMENTS)
    return agent


@pytest.mark.parametrize(
    "make",
    [
        lambda value: {"n": value},
        lambda value: {"n.b": value},
        lambda value: {"n": {"$gte": value}},
        lambda value: {"n": {"$gt": value, "$lt": 2}, "kind": "odd"},
        lambda value: {"n": {"$in": [value, 1, "a"]}},
    ],
    ids=["equal", "nested", "from", "both bounds", "one of three"],
)
def test_it_finds_what_matches(make, agent):
    for filter in of_one_kind(make):
        matches = compile_filter(parse(filter))
        expected = in_order({key: value for key, value in DOCUMENTS.items() if matches(value)})
        for _ in range(2):
            found = agent.find(filter)
            assert same(found, expected), filter
            assert list(found) == list(expected), filter
        assert agent.count(filter) == len(expected), filter
        assert list(agent.find(filter, sort="-$key")) == list(expected)[::-1]
        assert list(agent.find(filter, limit=2)) == list(expected)[:2]
        assert list(agent.find(filter, start="n")) == [key for key in expected if key >= "n"]
        assert [record.key for record in agent.find_in(ODD_NAME, filter)] == list(expected)
        assert len(agent.find_in("", filter)) == 2 * len(expected)


def test_a_known_plan_reads_no_page_in_the_long_way(agent, monkeypatch):
    assert len(agent.find_in(ODD_NAME, {"kind": "a"})) == 2
    monkeypatch.setattr(finding, "_Reader", None)
    assert [record.key for record in agent.find_in(ODD_NAME, {"kind": "odd"}, limit=3)] == ["n00", "n01", "n02"]


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_it_goes_on_after_its_first_page(size, store, agent):
    small_pages(store, size)
    expected = [key for key, value in DOCUMENTS.items() if isinstance(value, dict) and value.get("kind") == "odd"]
    for _ in range(2):
        assert [*agent.find({"kind": "odd"})] == sorted(expected)
        assert agent.count({"kind": "odd"}) == len(expected)
        assert [*agent.find({"kind": "odd"}, sort="-$key")] == sorted(expected)[::-1]


def test_what_is_damaged_is_left_out(agent, path, caplog):
    assert len(agent.find_in(ODD_NAME, {"kind": "a"})) == 2
    edit(path, "UPDATE agent_data_store SET value = '{' WHERE key = 'n03' AND namespace != 'other'")
    found = [record.key for record in agent.find_in(ODD_NAME, {"kind": "odd"}, limit=4)]
    assert found == ["n00", "n01", "n02", "n04"]
    assert "leaves out a damaged record" in caplog.text


def test_each_constant_has_its_own_answer(agent):
    for value in (*ASKED, *ASKED):
        matches = compile_filter(parse({"n": value, "kind": "odd"}))
        assert len(agent.find_in(ODD_NAME, {"n": value, "kind": "odd"})) == sum(map(matches, DOCUMENTS.values()))
