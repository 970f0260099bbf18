"""Queries: one language with one meaning on every database."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, QueryError
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable
from datastore.conformance.query_cases import GROUPS
from datastore.conformance.query_mistakes import BAD_FILTERS, BAD_WINDOWS
from datastore.conformance.samples import same
from datastore.conformance.topic import Topic, Wrapper, not_applicable
from datastore.errors import UnsupportedError

MANY = 1_200
"""More than databases accept or return at once. With `PADDING`, they exceed a megabyte, the page size of some."""
PADDING = "x" * 900

CART = {
    "status": "open",
    "items": [{"sku": "a", "price": 5}, {"sku": "b", "price": 7}],
    "owner": {"name": "Ada", "age": 36},
}


def numbered(count: int) -> dict[str, Any]:
    """Return records with a number, its remainders, and a text that sorts in another order."""
    return {f"{n:05}": {"n": n, "even": n % 2 == 0, "group": f"g{n % 7}", "back": -n} for n in range(count)}


def forgeries(cursor: str) -> list[str]:
    """Return cursors that belong to the right query but name no valid place in it."""
    _, _, query = cursor.rpartition(".")
    texts = (
        "null", "[]", "[[], \"eA==\", \"\"]", "[[[2, 1], [2, 1]], \"eA==\", \"\"]", "[[[2, \"x\"]], \"eA==\", \"\"]",
        "[[[9]], \"eA==\", \"\"]", "[[5], \"eA==\", \"\"]", "[[[2, 1]], 5, \"\"]", "[[[2, 1]], \"eA==\", 5]",
        "[[[4, [5]]], \"eA==\", \"\"]", "[[[4, [[2, 5, [2, 1]]]]], \"eA==\", \"\"]", "[" * 100_000,
    )  # fmt: skip
    states = [b64encode(text.encode()).decode() for text in texts]
    return [f"{state}.{query}" for state in (*states, "", "é", "eA", "_w==")]


class Queries(Topic):
    """``find``, ``find_records``, ``count``, ``explain``, ``delete_where``, ``update_where``, ``ensure_index``."""

    @pytest.mark.parametrize("name", GROUPS)
    def test_a_filter_means_what_the_manual_says(self, data_store: AgentDataStore, name: str) -> None:
        """The tests go operator by operator, and include the corner cases where databases differ."""
        documents, asked = GROUPS[name]
        data_store.set_many({f"{number:03}": document for number, document in enumerate(documents)})
        for filter, expected in asked:
            found = data_store.find(filter)
            assert sorted(int(key) for key in found) == expected, filter
            assert all(same(value, documents[int(key)]) for key, value in found.items()), filter

    def test_what_is_no_filter_is_refused_before_any_request(self, wrapped: Wrapper) -> None:
        """The error names the place, in every call that takes a filter."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        calls: list[Callable[[Any], object]] = [
            data_store.find,
            data_store.find_records,
            data_store.count,
            data_store.explain,
            data_store.delete_where,
            lambda asked: data_store.update_where(asked, {"a": 1}),
        ]
        for filter, message in BAD_FILTERS:
            for call in calls:
                with pytest.raises(QueryError) as refused:
                    call(filter)
                assert str(refused.value).startswith(message)

    def test_what_is_no_window_is_refused_before_any_request(self, wrapped: Wrapper) -> None:
        """The error names the invalid limit, sort or fields."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        for window, message in BAD_WINDOWS:
            with pytest.raises(QueryError) as refused:
                data_store.find({}, **window)
            assert str(refused.value).startswith(message)

    def test_a_find_sees_its_namespace_alone(self, store: DataStore, data_store: AgentDataStore) -> None:
        """It finds nothing in another namespace or of another user."""
        for place in (data_store, data_store.use_namespace("default2"), store.agent("user_10", "agent_1")):
            place.set("key", {"a": 1, "place": place.namespace + place.user_id})
        assert data_store.find({"a": 1}) == {"key": {"a": 1, "place": "defaultuser_1"}}
        assert data_store.count({"a": 1}) == 1
        assert data_store.delete_where({"a": 1}) == 1
        assert store.agent("user_10", "agent_1").count() == 1

    def test_limits_come_after_filters(self, data_store: AgentDataStore) -> None:
        """A limit counts what matches, not what is read."""
        data_store.set_many(numbered(100))
        assert [value["n"] for value in data_store.find({"n": {"$gte": 90}}, limit=5).values()] == [90, 91, 92, 93, 94]
        assert [value["n"] for value in data_store.find({"group": "g3"}, skip=2, limit=3).values()] == [17, 24, 31]
        assert data_store.find({"group": "g3"}, skip=100) == {}
        assert list(data_store.find({}, skip=98)) == ["00098", "00099"]
        by_number = data_store.find({"even": True}, sort=[("back", 1)], skip=1, limit=2)
        assert [value["n"] for value in by_number.values()] == [96, 94]

    def test_sorting_is_across_types_and_stable(self, data_store: AgentDataStore) -> None:
        """Types sort as in MongoDB, arrays by their least or greatest element, and ties in the order of keys."""
        stored = [3, "b", None, True, [2, 9], {"x": 1}, 1.5, "a", [], False, {"x": 0}, "B"]
        data_store.set_many({f"{n:02}": {"v": value} for n, value in enumerate(stored)})
        data_store.set_many({"12": {}, "13": {"v": 3}, "14": 7})
        ascending = ["08", "02", "12", "14", "06", "04", "00", "13", "11", "07", "01", "10", "05", "09", "03"]
        assert list(data_store.find({}, sort=[("v", 1)])) == ascending
        descending = ["03", "09", "05", "10", "01", "07", "11", "04", "00", "13", "06", "02", "12", "14", "08"]
        assert list(data_store.find({}, sort=[("v", -1)])) == descending
        assert list(data_store.find({}, sort={"v": -1}, limit=4)) == descending[:4]
        assert list(data_store.find({}, sort="v", skip=3, limit=2)) == ascending[3:5]
        assert list(data_store.find({}, sort="v", skip=11, limit=2)) == ascending[11:13], "far from the beginning"
        assert list(data_store.find({}, sort="v", skip=14, limit=2)) == ascending[14:]

    @pytest.mark.parametrize("indexed", [False, True], ids=["plain", "indexed"])
    def test_records_sort_by_what_is_known_about_them(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock, indexed: bool
    ) -> None:
        """They sort by key (by code point), times, counts and metadata in every call; a plain name is a field's."""
        if indexed:
            if not store.capabilities.supports("ensure_index"):
                not_applicable("the backend does not have 'ensure_index'")
            store.ensure_index(["n"])
        other = store.agent("user_1", "agent_2")
        made = ["~", "b", "ä", "B", "-", "a1", "🔑", "\uffee", "a"]
        for number, key in enumerate(made):
            clock.advance(1)
            agent = other if number % 2 else data_store
            agent.set(
                key, {"n": 1, "key": -number}, {"rank": number % 3}, ttl=10_000 - 10 * number if number % 4 else None
            )
        for count, key in enumerate(("a", "~", "B"), 1):
            for _ in range(count):
                clock.advance(1)
                data_store.get(key)
        clock.advance(1)
        other.set("b", {"n": 1, "key": 0.5})
        by_access = [key for key in sorted(made) if key not in ("a", "~", "B")]
        asked: list[tuple[Any, list[str]]] = [
            ("$key", sorted(made)),
            ([("$key", -1)], sorted(made, reverse=True)),
            ({"$createdAt": 1}, made),
            ([("$updatedAt", -1)], ["b", *(key for key in reversed(made) if key != "b")]),
            ([("$accessCount", -1), ("$key", 1)], ["B", "~", "a", *by_access]),
            ([("$lastAccessedAt", -1), ("$key", 1)], ["B", "~", "a", *by_access]),
            ([("$createdByAgent", -1), ("$createdAt", 1)], [*made[1::2], *made[::2]]),
            ([("$metadata.rank", -1), ("$createdAt", 1)], [*made[2::3], *made[1::3], *made[::3]]),
            (
                [("$expiresAt", 1), ("$key", 1)],
                [*sorted({*made[::4], "b"}), *reversed([k for i, k in enumerate(made) if i % 4 and k != "b"])],
            ),
            ([("n", 1), ("$createdAt", -1)], made[::-1]),
            ([("key", 1)], [*made[:1:-1], "~", "b"]),
        ]
        for sort, expected in asked:
            for filter in ({}, {"n": {"$gte": 1}}):
                assert [record.key for record in data_store.find_records(filter, sort=sort).records] == expected, sort
                found, cursor = [], None
                while True:
                    page = data_store.find_records(filter, sort=sort, limit=2, cursor=cursor)
                    found += [record.key for record in page.records]
                    cursor = page.cursor
                    if cursor is None:
                        break
                assert found == expected, sort
                assert data_store.explain(filter, sort=sort, limit=3)["documents_returned"] == 3
        assert list(data_store.find({"n": 1}, sort=[("$key", -1)], skip=5, limit=2)) == sorted(made, reverse=True)[5:7]
        assert list(data_store.find({"n": 1}, sort={"$createdAt": -1}, limit=3)) == made[:-4:-1]
        by_rank = [*made[2::3], *made[1::3], *made[::3]]
        assert list(data_store.find({"n": 1}, sort=[("$metadata.rank", -1), ("$createdAt", 1)])) == by_rank

    def test_a_filter_can_be_about_values_and_records(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Names with ``$`` cannot be fields, so one filter can be about both."""
        data_store.set_many({"a": {"n": 1}, "b": {"n": 2}}, {"topic": "rome"})
        clock.advance(10)
        between = datetime.fromtimestamp(clock(), UTC)
        clock.advance(10)
        data_store.set_many({"c": {"n": 3}, "d": {"n": 3, "key": "a"}, "e": [{"n": 1}]})
        asked: list[tuple[dict[str, Any], list[str]]] = [
            ({"$or": [{"$key": "a"}, {"n": 3}]}, ["a", "c", "d"]),
            ({"$or": [{"$createdAt": {"$gt": between}}, {"n": 2}], "n": {"$lte": 3}}, ["b", "c", "d"]),
            ({"$nor": [{"$metadata.topic": "rome"}, {"n": 3}]}, ["e"]),
            ({"$key": {"$in": ["a", "d", "e"]}, "n": 3}, ["d"]),
            ({"$and": [{"$key": "c"}, {"$or": [{"n": 3}, {"$key": "d"}]}]}, ["c"]),
            ({"$metadata.topic": {"$exists": True}, "$key": {"$ne": "a"}}, ["b"]),
            ({"key": "a"}, ["d"]),
        ]
        for filter, expected in asked:
            assert sorted(data_store.find(filter)) == expected, filter
            assert sorted(data_store.find(filter, sort="$key", limit=5)) == expected, filter
            assert data_store.count(filter) == len(expected), filter
            assert data_store.explain(filter)["documents_returned"] == len(expected), filter
        assert data_store.find({"$or": [{"$key": "a"}, {"n": 3}]}, meta={"key": {"$ne": "c"}}, skip=1) == {
            "d": {"n": 3, "key": "a"}
        }
        assert data_store.update_where({"$or": [{"$key": "a"}, {"n": 3}]}, {"$inc": {"n": 10}}) == 3
        assert data_store.delete_where({"$or": [{"$key": "b"}, {"n": 13}]}) == 3
        assert sorted(data_store.list_keys()) == ["a", "e"]

    def test_records_with_known_keys_are_read_and_not_searched(self, data_store: AgentDataStore, clock: Clock) -> None:
        """Only as many documents are read as keys are asked for."""
        data_store.set_many(numbered(50))
        data_store.set("gone", {"n": 1}, ttl=5)
        clock.advance(5)
        some = {"key": {"$in": ["00041", "00007", "gone", "missing", "", 5, "00007"]}}
        shown = data_store.explain({}, meta=some)
        assert (shown["documents_read"], shown["documents_returned"], shown["checked_here"]) == (2, 2, {})
        assert sorted(data_store.find({"even": False}, meta=some)) == ["00007", "00041"]
        assert list(data_store.find({"n": {"$gt": 7}}, meta=some)) == ["00041"]
        assert data_store.find({}, meta={**some, "$and": [{"key": "00001"}]}) == {}
        assert [record.key for record in data_store.find_records(meta=some, sort=[("n", -1)], limit=5).records] == [
            "00041",
            "00007",
        ]
        assert data_store.explain({"$key": "00003", "even": True})["documents_read"] == 1
        assert data_store.count(meta={"key": None}) == 0
        assert data_store.count(meta=some) == 2
        assert data_store.delete_where({}, meta=some) == 2

    def test_sorting_by_several_paths(self, data_store: AgentDataStore) -> None:
        """The second path decides if the first does not."""
        data_store.set_many(numbered(10))
        found = data_store.find({}, sort=[("even", -1), ("back", 1)])
        assert [value["n"] for value in found.values()] == [8, 6, 4, 2, 0, 9, 7, 5, 3, 1]

    def test_fields_are_what_is_returned_of_a_value(self, data_store: AgentDataStore) -> None:
        """Fields are kept or left out, even in arrays. What is stored stays whole."""
        data_store.set("cart", CART)
        data_store.set("text", "no object")
        assert data_store.find({"status": "open"}, fields=["status", "items.sku"]) == {
            "cart": {"status": "open", "items": [{"sku": "a"}, {"sku": "b"}]}
        }
        assert data_store.find({}, fields={"items": 0, "owner.age": 0}) == {
            "cart": {"status": "open", "owner": {"name": "Ada"}},
            "text": "no object",
        }
        assert data_store.find({}, fields={"owner.name": True, "missing": True}) == {
            "cart": {"owner": {"name": "Ada"}},
            "text": {},
        }
        assert data_store.find({"status": "open"}, fields={"status": 1, "_id": 0}) == {"cart": {"status": "open"}}
        assert data_store.find({"status": "open"}, fields={"items": 0, "owner": 0, "_id": 1}) == {
            "cart": {"status": "open"}
        }
        assert data_store.get("cart") == CART

    def test_a_find_counts_an_access_for_each_value_returned(
        self, store: DataStore, data_store: AgentDataStore
    ) -> None:
        """It counts no others. The other calls count nothing."""
        data_store.set_many(numbered(6))
        data_store.find({"even": True}, limit=2)
        data_store.find_records({"even": True})
        data_store.count({"even": True})
        data_store.explain({"even": True})
        store.flush()
        assert [record.access_count for record in data_store.iter_records()] == [1, 0, 1, 0, 0, 0]

    def test_metadata_and_provenance_can_be_asked_for(self, store: DataStore, clock: Clock) -> None:
        """They have the names of a document's fields, and can be combined with the value."""
        planner, writer = store.agent("user_1", "planner"), store.agent("user_1", "writer")
        planner.set("a", {"n": 1}, {"topic": "rome", "tags": ["x", "y"]})
        clock.advance(10)
        between = datetime.fromtimestamp(clock(), UTC)
        clock.advance(10)
        writer.set("b", {"n": 1}, {"topic": "oslo"}, ttl=1_000)
        writer.set("c", {"n": 2})
        planner.get("c")
        asked: list[tuple[dict[str, Any], list[str]]] = [
            ({"createdByAgent": "planner"}, ["a"]),
            ({"metadata.topic": {"$in": ["oslo", "rome"]}}, ["a", "b"]),
            ({"metadata.tags": "y"}, ["a"]),
            ({"metadata.topic": {"$exists": False}}, ["c"]),
            ({"createdAt": {"$gt": between}}, ["b", "c"]),
            ({"createdAt": {"$lte": between}}, ["a"]),
            ({"accessCount": 1}, ["c"]),
            ({"lastAccessedByAgent": "planner"}, ["c"]),
            ({"lastAccessedAt": None}, ["a", "b"]),
            ({"expiresAt": {"$ne": None}}, ["b"]),
            ({"key": {"$regex": "^[ab]$"}}, ["a", "b"]),
            ({"$or": [{"key": "a"}, {"accessCount": {"$gt": 0}}]}, ["a", "c"]),
        ]
        for meta, expected in asked:
            assert [record.key for record in planner.find_records(meta=meta).records] == expected, meta
            assert planner.count({"n": 1}, meta=meta) == len([key for key in expected if key != "c"]), meta
            assert planner.count(meta=meta) == len(expected), meta
        assert planner.find({"n": {"$gt": 0}}, meta={"createdByAgent": "planner"}) == {"a": {"n": 1}}

    def test_a_meta_filter_is_about_what_a_record_has(self, wrapped: Wrapper) -> None:
        """An unknown name is an error, and so is a time without a time zone."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(QueryError, match=r"meta.createdBy: a record has no 'createdBy' \(did you mean"):
            data_store.find({}, meta={"createdBy": "x"})
        with pytest.raises(QueryError, match=r"meta.createdAt.\$gt: .* has no time zone"):
            data_store.find({}, meta={"createdAt": {"$gt": datetime(2026, 1, 1)}})

    def test_expired_records_are_found_by_nothing(self, data_store: AgentDataStore, clock: Clock) -> None:
        """They are not returned, counted, changed or deleted."""
        data_store.set_many({"a": {"n": 1}, "b": {"n": 1}}, ttl=60)
        data_store.set("c", {"n": 1})
        clock.advance(60)
        assert data_store.find({"n": 1}) == {"c": {"n": 1}}
        assert data_store.find({"n": 1}, limit=1) == {"c": {"n": 1}}
        assert [record.key for record in data_store.find_records({"n": 1}).records] == ["c"]
        assert data_store.count({"n": 1}) == 1
        assert data_store.update_where({"n": 1}, {"$inc": {"n": 1}}) == 1
        assert data_store.delete_where({"n": {"$gte": 1}}) == 1

    @pytest.mark.parametrize("sort", [None, [("group", 1)], [("group", -1), ("back", 1)]], ids=["ids", "one", "two"])
    def test_pages_of_records_are_complete(self, data_store: AgentDataStore, sort: Any) -> None:
        """Each matching record is on one page, in order, while others are created and deleted."""
        data_store.set_many(numbered(40))
        expected = list(data_store.find({"even": True}, sort=sort))
        found, cursor = [], None
        for _ in range(20):
            page = data_store.find_records({"even": True}, sort=sort, limit=3, cursor=cursor)
            found += [record.key for record in page.records]
            cursor = page.cursor
            data_store.delete(found[0])
            data_store.set(f"odd{len(found)}", {"even": False, "group": "g0"})
            if cursor is None:
                break
            assert len(page.records) == 3
        assert found == expected

    def test_a_cursor_belongs_to_its_query(self, data_store: AgentDataStore) -> None:
        """A cursor of another filter, sort or namespace, or an invented one, is refused."""
        data_store.set_many(numbered(10))
        cursor = data_store.find_records({"even": True}, sort=[("n", 1)], limit=2).cursor
        asked: list[tuple[AgentDataStore, dict[str, Any], list[tuple[str, int]], str | None]] = [
            (data_store, {"even": False}, [("n", 1)], cursor),
            (data_store, {"even": True}, [("n", -1)], cursor),
            (data_store.use_namespace("x"), {"even": True}, [("n", 1)], cursor),
            (data_store, {"even": True}, [("n", 1)], "nonsense"),
            *((data_store, {"even": True}, [("n", 1)], forged) for forged in forgeries(cursor or "")),
            (data_store, {"even": True}, [], ""),
        ]
        for place, filter, sort, given in asked:
            with pytest.raises(QueryError, match="cursor"):
                place.find_records(filter, sort=sort, limit=2, cursor=given)

    def test_many_records_are_searched_completely(self, data_store: AgentDataStore) -> None:
        """More than a page of records is found, counted, changed and deleted."""
        records = {key: {**value, "padding": PADDING} for key, value in numbered(MANY).items()}
        data_store.set_many(records)
        expected = [key for key, value in records.items() if value["group"] == "g3"]
        assert sorted(data_store.find({"group": "g3"})) == expected
        assert data_store.count({"even": True}) == MANY // 2
        top = data_store.find({"even": True}, sort=[("back", 1)], limit=3)
        assert [value["n"] for value in top.values()] == [MANY - 2, MANY - 4, MANY - 6]
        # More than a thousand match, in the first page and in the last.
        assert data_store.update_where({"n": {"$gte": 100}}, {"$inc": {"n": MANY}}) == MANY - 100
        assert data_store.count({"n": {"$gte": MANY}}) == MANY - 100
        assert data_store.delete_where({"n": {"$gte": MANY}}) == MANY - 100
        assert data_store.count() == 100

    def test_a_limit_ends_the_reading(self, data_store: AgentDataStore) -> None:
        """This holds if no sort needs all records."""
        data_store.set_many(numbered(600))
        shown = data_store.explain({"group": {"$in": ["g1", "g2"]}}, limit=2)
        assert shown["documents_returned"] == 2
        assert shown["documents_read"] < 100

    def test_explain_says_how_a_query_is_answered(self, store: DataStore, data_store: AgentDataStore) -> None:
        """It shows what the database was asked, what the store checked, and how much was read for that."""
        data_store.set_many(numbered(20))
        filter = {"group": "g3", "n": {"$mod": [2, 1]}}
        shown = data_store.explain(filter, sort=[("n", -1)], limit=1)
        assert set(shown) == {
            "backend", "native", "index", "pushed", "checked_here", "sorted_here", "documents_read",
            "documents_returned",
        }  # fmt: skip
        assert shown["backend"] == store.backend.name
        assert shown["documents_returned"] == 1
        assert 1 + shown["sorted_here"] <= shown["documents_read"] <= 20
        assert data_store.explain(filter, sort=[("n", -1)])["sorted_here"], "all that match are handed over"
        assert shown["pushed"] or shown["checked_here"]
        assert data_store.explain({})["checked_here"] == {}

    def test_update_where_changes_what_matches(self, data_store: AgentDataStore) -> None:
        """It takes operators or fields, and does not touch provenance, metadata and expiry."""
        data_store.set("a", {"n": 1}, {"source": "web"}, ttl=1_000)
        data_store.set("b", {"n": 2})
        before = data_store.get_record("a")
        assert data_store.update_where({"n": {"$lt": 2}}, {"$inc": {"n": 10}, "$set": {"seen.at": "noon"}}) == 1
        after = data_store.get_record("a")
        assert before is not None
        assert after is not None
        assert after.value == {"n": 11, "seen": {"at": "noon"}}
        assert (after.metadata, after.expires_at, after.created_at) == (
            {"source": "web"},
            before.expires_at,
            before.created_at,
        )
        assert after.revision != before.revision
        assert data_store.update_where({}, {"m": 0}) == 2
        assert data_store.get("b") == {"n": 2, "m": 0}
        assert data_store.update_where({"n": 99}, {"m": 1}) == 0

    def test_delete_where_asks_for_a_filter(self, data_store: AgentDataStore) -> None:
        """Nothing can delete everything by accident."""
        data_store.set_many(numbered(4))
        with pytest.raises(QueryError, match="clear"):
            data_store.delete_where({})
        assert data_store.delete_where({}, meta={"key": {"$in": ["00000", "00001"]}}) == 2
        assert data_store.delete_where({"n": 3}) == 1
        assert data_store.list_keys() == ["00002"]

    def test_without_the_ability_to_search_every_answer_is_the_same(
        self, data_store: AgentDataStore, wrapped: Wrapper
    ) -> None:
        """The database's own search is only a faster way to the same answers."""
        from datastore.conformance.faults import Wrapped

        without = wrapped(Wrapped).agent("user_1", "agent_1")
        data_store.set_many(numbered(50))
        asked: list[dict[str, Any]] = [
            {"n": {"$gt": 5, "$lt": 9}},
            {"even": True, "group": {"$in": ["g1", "g2"]}},
            {"back": -3},
        ]
        for filter in asked:
            assert data_store.find(filter) == without.find(filter)
            assert data_store.count(filter) == without.count(filter)
        assert without.explain({"n": 1})["native"] is None

    def test_a_declared_index_changes_no_answer(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Documents that lack the field, or have an array or something unusual there, are found as before."""
        if not store.capabilities.supports("ensure_index"):
            with pytest.raises(UnsupportedError):
                store.ensure_index(["v"])
            not_applicable("the backend does not have 'ensure_index'")
        name = store.ensure_index(["v"])
        assert store.ensure_index(["v"]) == name, "it exists already"
        store.ensure_index(["o.n", "v"], namespace="default")
        documents, asked = GROUPS["odd-values"]
        data_store.set_many({f"{number:03}": document for number, document in enumerate(documents)})
        for filter, expected in asked:
            assert sorted(int(key) for key in data_store.find(filter)) == expected, filter
        large = {"v": {"$gte": 2**53}}
        assert list(data_store.find(large, limit=3)) == list(data_store.find(large))[:3]
        data_store.set_many(
            {"lists": {"v": [7, [8]]}, "none": {}, "deep": {"o": [{"n": 7}, {"n": 9}]}, "null": {"v": None}}
        )
        assert list(data_store.find({"v": 7})) == ["lists"]
        assert sorted(data_store.find({"v": None})) == ["deep", "none", "null"]
        assert list(data_store.find({"o.n": {"$gt": 8}})) == ["deep"]
        for wide in ({"v": {"$gte": 0}}, {"v": {"$in": [7, 10]}}):
            complete, found, cursor = list(data_store.find(wide)), list[str](), None
            for _ in range(len(complete)):
                page = data_store.find_records(wide, limit=2, cursor=cursor)
                found += [record.key for record in page.records]
                cursor = page.cursor
                if cursor is None:
                    break
            assert (found, cursor) == (complete, None), wide
        assert list(data_store.find({"o.n": 7, "v": None})) == ["deep"]
