"""Queries by SQLite: what is pushed, what is left to check, and what is read for it."""

import pytest

from datastore.backend import Fields, IdRange
from datastore.queries.language import parse_query
from tests.adapters.finding import decided, put


class TestWhatIsDecided:
    @pytest.mark.parametrize(
        "filter",
        [
            {"a": "x"},
            {"a.b": 5},
            {"a": 1.5},
            {"a": True},
            {"a": None},
            {"a": {"$gte": 5, "$lt": 10}},
            {"a": {"$in": ["x", "y", 3]}},
            {"a.b": {"$nin": ["x"]}},
            {"a": {"$exists": True}, "b": {"$exists": False}},
            {"$or": [{"a": 1}, {"b": "x", "c.d": {"$lt": 3}}]},
            {"$nor": [{"a": 1}, {"b": "x"}]},
            {"a": {"$type": "string"}},
            {"a": {"$size": 2}},
            {"a": {"$mod": [2, 1]}},
        ],
    )
    def test_by_the_database_alone(self, agent, filter):
        assert decided(agent, filter) == {}

    @pytest.mark.parametrize(
        ("path", "pushed"),
        [
            (["a"] * 16, True),
            (["a"] * 17, False),  # what asks for arrays on the way grows with the square of the steps
            (["a" * 100, "b" * 100], True),
            (["a" * 100, "b" * 101], False),
        ],
        ids=["16 steps", "17 steps", "200 characters", "201 characters"],
    )
    def test_paths_up_to_a_bound(self, agent, path, pushed):
        filter = {".".join(path): 1}
        value = 1
        for step in reversed(path):
            value = {step: value}
        put(agent, [value, {path[0]: 1}])
        assert decided(agent, filter) == ({} if pushed else {"value": {".".join(path): {"$eq": 1}}})
        assert agent.find(filter) == {"000": value}

    def test_what_is_left_is_checked_and_narrows_as_well(self, agent):
        put(agent, [{"a": "xyz", "b": 1}, {"a": "abc", "b": 1}, {"a": 5, "b": 1}, {"a": "xyz", "b": 2}])
        shown = agent.explain({"a": {"$regex": "^x"}, "b": 1})
        assert shown["checked_here"] == {"value": {"a": {"$regex": "^x"}}}
        assert shown["documents_read"] == 2

    def test_only_what_matches_is_handed_over(self, agent):
        put(agent, [{"a": 0.1}, {"a": 0.2}, {"a": [0.1]}, {"a": {"b": 1}}, {"a": 2**70}, {"a": "x\0"}])
        for filter in ({"a": 0.1}, {"a": {"$gt": 0.1}}, {"a": {"b": 1}}, {"a": 2**70}, {"a": {"$gte": "x"}}):
            shown = agent.explain(filter)
            assert shown["documents_read"] == shown["documents_returned"] == agent.count(filter) >= 1

    def test_provenance_but_not_what_is_counted_later(self, agent):
        agent.set("k", 1, {"source": "web"})
        for meta in ({"createdByAgent": "a"}, {"metadata.source": "web"}, {"expiresAt": None}, {"key": "k"}):
            assert decided(agent, None, meta) == {}
            assert agent.count(meta=meta) == 1
        assert decided(agent, None, {"accessCount": 0}) != {}
        assert decided(agent, None, {"$or": [{"key": "x"}, {"accessCount": 0}]}) != {}

    def test_counting_reads_no_values(self, store, agent):
        put(agent, [{"a": "x" * 900_000}, {"a": 5}, {"a": "y"}])
        backend = store.backend
        plan = backend.plan(IdRange("u:default:", "u:default;"), parse_query({"a": {"$gte": 5}}))
        page = backend.find(IdRange("u:default:", "u:default;"), plan, Fields.KEY, 10)
        assert [document.value for document in page.documents] == [None]

    def test_large_values_make_short_pages(self, store, agent):
        agent.set_many({f"{n:03}": {"a": n % 2, "text": "x" * 900_000} for n in range(40)})
        store.ensure_index(["a"])
        for filter in ({"a": 1}, {"a": {"$gt": 0}}, {"text": {"$exists": True}}):
            keys = agent.find(filter)
            assert len(keys) == (40 if "text" in filter else 20)
            backend, everything = store.backend, IdRange("u:default:", "u:default;")
            page = backend.find(everything, backend.plan(everything, parse_query(filter)), Fields.VALUE, 1_000)
            assert len(page.documents) < 12
            assert page.after is not None
