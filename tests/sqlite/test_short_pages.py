"""First pages by an index that look into no value: where keys tell all, and what happens as soon as one does not."""

from __future__ import annotations

import sys

import pytest

import datastore
from datastore.conformance.samples import same
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from tests.adapters.finding import in_order, small_pages
from tests.sqlite.queries import statements_of, steps_of

TOLD = [
    None, True, False, 0, 1, 2, 3, 4, -1, -7, 2**44 + 1, 2**45, 2**53 + 1, "", "1", "a", "A", "b", "ba", "é", "a" * 199,
    {}, {"b": 1},
]  # fmt: skip
"""Values of which keys tell whether they equal an integer or a short text, or lie between two."""
DOCUMENTS = {
    **{f"{number:02}": {"n": value, "kind": "x"} for number, value in enumerate(TOLD)},
    **{f"{number:02}, too": {"n": value, "kind": "y", "b": {"n": value}} for number, value in enumerate(TOLD)},
    "none": {"kind": "x"},
    "scalar": 1,
}
INTEGERS, TEXTS = [0, 1, 4, -7, 100, 2**44 + 1], ["", "1", "a", "b", "bb", "a" * 199]
SHAPES = {
    "equal": lambda one, other: {"n": one},
    "nested": lambda one, other: {"b.n": one},
    "both": lambda one, other: {"kind": "x", "n": one},
    "from": lambda one, other: {"n": {"$gte": one}},
    "above": lambda one, other: {"n": {"$gt": one}},
    "up to": lambda one, other: {"n": {"$lte": one}},
    "below": lambda one, other: {"n": {"$lt": one}},
    "between": lambda one, other: {"n": {"$gte": one, "$lt": other}},
    "within": lambda one, other: {"n": {"$gt": one, "$lte": other, "$lt": other}},
}
NOT_TOLD = {
    "an array": ({"n": ["a", 1]}, {"n": 1}),
    "an array on the way": ({"b": [{"n": 1}]}, {"b.n": 1}),
    "a real number": ({"n": 1.0}, {"n": 1}),
    "a real number in a range": ({"n": 1.5}, {"n": {"$gte": 1, "$lt": 2}}),
    "a long text": ({"n": "a" * 201}, {"n": {"$gt": "a" * 199, "$lt": "b"}}),
    "a text with a NUL": ({"n": "a\0"}, {"n": {"$gt": "a", "$lt": "b"}}),
    "an integer of many digits": ({"n": 2**70}, {"n": {"$gte": 2**44}}),
    "an array in the second field": ({"kind": "x", "n": ["a", 1]}, {"kind": "x", "n": 1}),
    "an array in the first field": ({"kind": ["x", "y"], "n": 1}, {"kind": "x", "n": 1}),
}


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "file" else "sqlite://:memory:"
    with datastore.connect(url, tracking="off") as store:
        for fields in (["n"], ["kind", "n"], ["b.n"]):
            store.ensure_index(fields)
        store.agent("u", "a").set_many(DOCUMENTS)
        yield store


def check(agent, filter, documents):
    matches = compile_filter(parse(filter))
    expected = in_order({key: value for key, value in documents.items() if matches(value)})
    found = agent.find(filter)
    assert same(found, expected), filter
    assert list(found) == list(expected), filter
    assert agent.count(filter) == len(expected), filter
    assert list(agent.find(filter, limit=2)) == list(expected)[:2], filter
    assert [record.key for record in agent.find_records(filter).records] == list(expected), filter
    assert list(agent.find(filter, start="05", end="15")) == [key for key in expected if "05" <= key < "15"], filter


@pytest.mark.parametrize("constants", [INTEGERS, TEXTS], ids=["integers", "texts"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_finds_what_matches_and_looks_into_no_value(shape, constants, store):
    agent = store.agent("u", "a")
    for one in constants:
        for other in constants if shape in ("between", "within") else constants[:1]:
            check(agent, SHAPES[shape](one, other), DOCUMENTS)
    filter = SHAPES[shape](*constants[1:3])
    for call in (agent.find, agent.count):
        (statement,) = statements_of(store, lambda call=call: call(filter))
        assert "json_each" not in statement


@pytest.mark.parametrize("case", NOT_TOLD)
def test_one_key_that_does_not_tell_is_looked_into(case, store):
    agent = store.agent("u", "a")
    value, filter = NOT_TOLD[case]
    for _ in range(2):
        check(agent, filter, DOCUMENTS)
    agent.set("07, odd", value)
    documents = {**DOCUMENTS, "07, odd": value}
    assert same(agent.find(filter)["07, odd"], value)
    check(agent, filter, documents)
    found = [statements_of(store, lambda: agent.find(filter)) for _ in range(100)]
    assert all("json_each" in statements[-1] for statements in found)
    assert sum(map(len, found)) < 110  # nearly always at once
    agent.delete("07, odd")
    for _ in range(200):
        agent.find(filter)
    (statement,) = statements_of(store, lambda: agent.find(filter))
    assert "json_each" not in statement  # when the record is gone, what is quick is tried again
    check(agent, filter, DOCUMENTS)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_follow_one_another(size, store):
    agent = store.agent("u", "a")
    small_pages(store, size)
    for filter in ({"n": 1}, {"n": {"$gte": 0, "$lt": 5}}, {"n": {"$gte": ""}}, {"kind": "x", "n": "a"}):
        for _ in range(2):
            check(agent, filter, DOCUMENTS)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_is_asked_for_and_costs_no_sorting(shape, store):
    """SQL promises no order that was not asked for, and SQLite has a switch for programs that rely on one."""
    agent, filter = store.agent("u", "a"), SHAPES[shape](*INTEGERS[:2])
    pool = store.backend._opened.connections
    connection = pool.take(sys._getframe())
    connection.execute("PRAGMA reverse_unordered_selects=ON")
    pool.give_back(connection)
    check(agent, filter, DOCUMENTS)
    assert "TEMP B-TREE" not in " ".join(steps_of(store, lambda: agent.find(filter)))
