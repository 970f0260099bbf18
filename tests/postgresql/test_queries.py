"""Queries by PostgreSQL: what is pushed, what is left to check, and what is read for it."""

import pytest

from datastore.backend import Fields, IdRange
from datastore.queries.language import parse_query
from datastore_postgresql import finding, queries
from tests.adapters.finding import check, decided, put

pytestmark = pytest.mark.server("postgresql")

RANGE = IdRange("u:default:", "u:default;")


@pytest.mark.parametrize(
    "filter",
    [
        {"a": "x"},
        {"a.b": 5},
        {"a": 1.5},
        {"a": True},
        {"a": None},
        {"a": {"b": 1}},
        {"a": [1, 2]},
        {"a": {"$gte": 5, "$lt": 10}},
        {"a": {"$gt": "x"}},
        {"a": {"$in": ["x", {"b": 1}, 3]}},
        {"a.b": {"$nin": ["x"]}},
        {"a": {"$exists": True}, "b": {"$exists": False}},
        {"$or": [{"a": 1}, {"b": "x", "c.d": {"$lt": 3}}]},
        {"$nor": [{"a": 1}, {"b": "x"}]},
        {"a": {"$type": ["string", "int", "double"]}},
        {"a": {"$size": 2}},
        {"a": {"$mod": [2, 1]}},
    ],
    ids=str,
)
def test_what_postgresql_decides_alone(agent, filter):
    assert decided(agent, filter) == {}


def test_only_what_matches_is_handed_over(agent):
    put(agent, [{"a": 0.1}, {"a": 0.2}, {"a": [0.1]}, {"a": {"b": 1}}, {"a": "x"}, {"a": [{"b": 1}, "x"]}, 5, None])
    for filter in ({"a": 0.1}, {"a": {"$gt": 0.1}}, {"a": {"b": 1}}, {"a": {"$gte": "x"}}, {"a": {"$type": "double"}}):
        shown = agent.explain(filter)
        assert shown["documents_read"] == shown["documents_returned"] == agent.count(filter) >= 1


def test_what_is_kept_as_text_is_looked_at_here_and_hides_nothing(agent):
    values = [2**70, 1e16, 1e300, -0.0, "x\0", [1e16], {"b": "\0"}, 10**16, float(2**53), 0, "x"]
    put(agent, [{"a": value} for value in values])
    for value in values:
        for operator in ("$eq", "$gt", "$lte", "$ne"):
            check(agent, [{"a": one} for one in values], {"a": {operator: value}})


def test_what_is_left_is_checked_and_narrows_as_well(agent):
    put(agent, [{"a": "xyz", "b": 1}, {"a": "abc", "b": 1}, {"a": 5, "b": 1}, {"a": "xyz", "b": 2}])
    shown = agent.explain({"a": {"$regex": "^x"}, "b": 1})
    assert shown["checked_here"] == {"value": {"a": {"$regex": "^x"}}}
    assert shown["documents_read"] == 2


def test_provenance_but_not_what_is_counted_later(agent, store):
    agent.set("k", 1, {"source": "web"})
    store.agent("u", "\0odd").set("odd", 1)
    for meta in ({"createdByAgent": "a"}, {"metadata.source": "web"}, {"createdByAgent": {"$gt": "\0odd"}}):
        assert decided(agent, None, meta) == {}
        assert list(agent.find(meta=meta)) == ["k"]
    for meta in ({"createdByAgent": "\0odd"}, {"updatedByAgent": {"$lt": "a"}}, {"metadata.source": None}):
        assert list(agent.find(meta=meta)) == ["odd"]
    assert agent.count(meta={"expiresAt": None, "key": {"$gte": "k"}}) == 2
    assert decided(agent, None, {"accessCount": 0}) != {}
    assert decided(agent, None, {"$or": [{"key": "x"}, {"accessCount": 0}]}) != {}


def test_counting_takes_1_request_and_hands_over_no_values(backend, agent, wire):
    put(agent, [{"a": "x" * 900_000}, {"a": 5}, {"a": "y"}, {"a": [7]}])
    assert wire.of(lambda: agent.count({"a": {"$gte": 5}})) == 1
    page = backend.find(RANGE, backend.plan(RANGE, parse_query({"a": {"$gte": "x"}})), Fields.KEY, 10)
    assert [document.value for document in page.documents] == [None, None]


def test_large_values_make_short_pages(store, backend, agent):
    agent.set_many({f"{n:03}": {"a": n % 2, "text": "x" * 900_000} for n in range(20)})
    store.ensure_index(["a"])
    for filter in ({"a": 1}, {"text": {"$exists": True}}):
        assert len(agent.find(filter)) == (20 if "text" in filter else 10)
        page = backend.find(RANGE, backend.plan(RANGE, parse_query(filter)), Fields.VALUE, 1_000)
        assert 0 < len(page.documents) < 12
        assert page.after is not None


FAULTS = {
    "text in another order": (" > %(p0)s::text", " > upper(%(p0)s::text)", {"a": {"$gt": "a"}}),
    "arrays not looked into": ("EXISTS (SELECT", "NOT EXISTS (SELECT", {"a": "x"}),
    "no doubt about what is kept as text": ("THEN NULL", "THEN FALSE", {"a": {"$gt": 5}}),
    "numbers as text": (" > %(p0)s::jsonb", "::text > %(p0)s::jsonb::text", {"a": {"$gt": 7}}),
    "a missing field is not null": ("WHEN 'missing' THEN TRUE", "WHEN 'missing' THEN FALSE", {"a": None}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_dialect_is_found_out(agent, monkeypatch, fault):
    right, wrong, filter = FAULTS[fault]
    documents = [{"a": value} for value in (["x"], "x", "B", "b", 7, 60, 2**70, 1e300, None)] + [{}]
    put(agent, documents)
    check(agent, documents, filter)
    condition, replaced = queries.Sql.condition, []

    def broken(sql, *arguments):
        made = condition(sql, *arguments)
        assert right in made.expression
        replaced.append(True)
        return made._replace(expression=made.expression.replace(right, wrong))

    monkeypatch.setattr(queries.Sql, "condition", broken)
    monkeypatch.setattr(finding.Known, "parameters", lambda *_: None)  # each query is translated
    with pytest.raises(AssertionError):
        check(agent, documents, filter)
    assert replaced


ALIKE = [
    ({"a": "x"}, {"a": "x" * 170}, {"a": "x" * 160}, {"a": "absent"}),
    ({"a": 1}, {"a": 2}, {"a": 10}, {"a": -1}),
    ({"a": 1.5}, {"a": 1.0}, {"a": -0.0}),
    ({"a": {"$in": [1, 2]}}, {"a": {"$in": [1, 1]}}, {"a": {"$in": [2, 1]}}),
    ({"a": {"$in": [1, 1.0]}}, {"a": {"$in": [2, 2.5]}}),
    ({"a": {"$in": ["x", None]}}, {"a": {"$in": ["y", None]}}),
    ({"a": {"$gte": "w", "$lt": "y"}}, {"a": {"$gte": "y", "$lt": "y"}}, {"a": {"$gte": "", "$lt": "x" * 170}}),
    ({"a": {"$gt": 1, "$lte": 10}}, {"a": {"$gt": 1, "$lte": 1}}, {"a": {"$gt": 10, "$lte": 1}}),
    ({"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 1, "b": 1}),
    ({"a": "x", "b": 1}, {"a": "y", "b": 2}, {"a": "x" * 170, "b": 3}),
    ({"a": True}, {"a": False}, {"a": None}, {"a": {"$gte": None}}),
]
"""Filters that differ in their constants, mostly alone."""


@pytest.mark.parametrize("indexes", [(), (["a"],), (["a", "b"],)], ids=["none", "one field", "two fields"])
def test_a_plan_serves_for_other_constants(store, agent, indexes):
    values = ["x", "y", "x" * 160, "x" * 170, "x" * 171, 1, 2, 10, 1.5, -0.0, 2**70, True, False, None, ["x", 1], {}]
    documents = [{"a": value, "b": b} for value in values for b in (1, 2)] + [{"b": 1}]
    put(agent, documents)
    for index in indexes:
        store.ensure_index(index)
    for filters in ALIKE:
        for filter in (*filters, *filters[::-1]):
            check(agent, documents, filter)


def test_a_filter_is_translated_once_for_all_constants_until_there_is_another_index(store, agent, monkeypatch):
    put(agent, [{"a": number} for number in range(20)])
    condition, translated = queries.Sql.condition, []
    monkeypatch.setattr(
        queries.Sql, "condition", lambda sql, *arguments: translated.append(1) or condition(sql, *arguments)
    )
    for number in range(20):
        assert len(agent.find({"a": number})) == 1
    assert len(translated) == 1
    index = store.ensure_index(["a"])
    assert [agent.explain({"a": number})["index"] for number in range(20)] == [index] * 20
    assert len(translated) == 2
