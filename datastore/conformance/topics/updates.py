"""Update operators on single records: their results, and that no update is lost."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore, InvalidValueError, QueryError
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable
from datastore.conformance.races import race
from datastore.conformance.samples import same
from datastore.conformance.topic import Topic, Wrapper
from datastore.conformance.topics.records import record_of

THREADS = 8
CHANGES_EACH = 5

MISTAKES: list[tuple[Any, str]] = [
    ({"$incr": {"n": 1}}, "changes: unknown operator $incr (did you mean $inc?)"),
    ({"$inc": {"n": 1}, "m": 1}, "changes: $inc and 'm' cannot be mixed"),
    ({"$inc": {"n": "1"}}, "$inc.n: takes a number"),
    ({"$set": 5}, "$set: takes fields in a dict"),
    ({"$set": {"a..b": 5}}, "$set: the path 'a..b' has an empty step"),
    ({"$push": {"list": {"$each": 5}}}, "$push.list.$each: takes a list"),
    ({"$pull": {"list": {"$gt2": 5}}}, "$pull.list: unknown operator $gt2"),
    ({"$rename": {"a": 5}}, "$rename.a: takes the new name"),
    ({"a.b": 1}, "changes: 'a.b' has a dot in it"),
    ({"": 1}, "changes: a field has no name"),
    ({"$currentDate": {"at": True}}, "changes: $currentDate is not supported: JSON has no dates"),
    ({"$pop": {"list": 2}}, "$pop.list: takes 1 for the last element or -1 for the first"),
    ({"$pullAll": {"list": 2}}, "$pullAll.list: takes a list"),
    ({"$set": {"a": 1}, "$unset": {"a.b": ""}}, "changes: 'a' and 'a.b' overlap"),
]


class Updates(Topic):
    """``update`` with operators."""

    def test_operators_change_parts_of_an_object(self, data_store: AgentDataStore) -> None:
        """Each operator works on paths through objects and arrays. The new object is returned."""
        data_store.set(
            "key",
            {"n": 1, "low": 5, "high": 5, "tags": ["a"], "items": [{"sku": "x", "count": 2}], "old": None, "gone": 1},
        )
        changed = data_store.update(
            "key",
            {
                "$inc": {"n": 2**60, "items.0.count": -1},
                "$min": {"low": 3},
                "$max": {"high": 7.5},
                "$addToSet": {"tags": {"$each": ["a", "b"]}},
                "$push": {"log": {"$each": [3, 1, 2], "$sort": -1, "$slice": 2}},
                "$set": {"deep.er.est": [True]},
                "$rename": {"old": "new"},
                "$unset": {"gone": ""},
            },
        )
        expected = {
            "n": 2**60 + 1, "low": 3, "high": 7.5, "tags": ["a", "b"], "items": [{"sku": "x", "count": 1}],
            "log": [3, 2], "deep": {"er": {"est": [True]}}, "new": None,
        }  # fmt: skip
        assert same(changed, expected)
        assert same(data_store.get("key"), expected)
        assert data_store.update("key", {"$pull": {"log": {"$gte": 3}, "tags": "a"}})["log"] == [2]
        assert data_store.update("key", {"$set": {}})["tags"] == ["b"]
        data_store.set("key", {"n": 2**60, "stack": [1, 2, 3], "list": [1, 2, 1.0, "x"]})
        changed = data_store.update(
            "key", {"$mul": {"n": 2**10, "m": 1.5}, "$pop": {"stack": -1}, "$pullAll": {"list": [1, "x"]}}
        )
        assert same(changed, {"n": 2**70, "m": 0.0, "stack": [2, 3], "list": [2]})
        assert same(data_store.get("key"), changed)
        assert same(data_store.update("key", {"$rename": {"missing": "list.0"}}), changed)

    def test_a_missing_record_counts_as_an_empty_object(self, data_store: AgentDataStore) -> None:
        """It exists afterwards, with the result of the operators."""
        assert data_store.update("a", {"$inc": {"n": 2}, "$push": {"list": 1}}) == {"n": 2, "list": [1]}
        assert data_store.update("b", {"$unset": {"x": ""}, "$pull": {"y": 1}}) == {}
        assert data_store.get_all() == {"a": {"n": 2, "list": [1]}, "b": {}}

    def test_some_fields_are_set_in_a_new_record_only(self, data_store: AgentDataStore, clock: Clock) -> None:
        """``$setOnInsert`` does this. An expired record counts as missing."""
        changes = {"$setOnInsert": {"made.by": "me"}, "$inc": {"n": 1}}
        assert data_store.update("key", changes) == {"made": {"by": "me"}, "n": 1}
        data_store.update("key", {"$set": {"made.by": "you"}})
        assert data_store.update("key", changes) == {"made": {"by": "you"}, "n": 2}
        data_store.set("empty", {}, ttl=60)
        assert data_store.update("empty", {"$setOnInsert": {"a": 1}}) == {}
        clock.advance(60)
        assert data_store.update("empty", {"$setOnInsert": {"a": 1}}) == {"a": 1}
        assert data_store.update_where({"a": 1}, {"$setOnInsert": {"b": 1}}) == 1
        assert data_store.get("empty") == {"a": 1}

    def test_an_expired_record_counts_as_a_missing_one(self, data_store: AgentDataStore, clock: Clock) -> None:
        """The record that replaces it does not expire."""
        data_store.set("key", {"n": 5}, ttl=60)
        clock.advance(60)
        assert data_store.update("key", {"$inc": {"n": 1}}) == {"n": 1}
        assert record_of(data_store).expires_at is None

    def test_an_update_leaves_the_rest_of_a_record_alone(self, data_store: AgentDataStore, clock: Clock) -> None:
        """That is who created it and when, its metadata, and its expiry."""
        data_store.set("key", {"n": 1}, {"source": "web"}, ttl=1_000)
        before = record_of(data_store)
        clock.advance(10)
        data_store.update("key", {"$inc": {"n": 1}})
        after = record_of(data_store)
        kept = ("key", "created_at", "created_by_agent", "metadata", "expires_at", "access_count")
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert after.updated_at > before.updated_at
        assert after.revision != before.revision

    @pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
    def test_what_is_no_update_is_refused_before_any_request(
        self, wrapped: Wrapper, changes: Any, message: str
    ) -> None:
        """``update`` and ``update_where`` refuse it with an error that names the place."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(QueryError) as refused:
            data_store.update("key", changes)
        assert str(refused.value).startswith(message)
        with pytest.raises(QueryError) as refused:
            data_store.update_where({"a": 1}, changes)
        assert str(refused.value).startswith(message)

    def test_what_does_not_fit_the_stored_value_changes_nothing(self, data_store: AgentDataStore) -> None:
        """Even the parts that would fit are not applied. The error names the operator and the path."""
        data_store.set("key", {"n": 1, "text": "x", "list": [1]})
        before = record_of(data_store)
        for changes in (
            {"$inc": {"n": 1, "text": 1}},
            {"$set": {"n": 2}, "$push": {"text": 1}},
            {"$set": {"text.deep": 1}},
            {"$set": {"list.first": 1}},
            {"$rename": {"list.0": "n"}},
        ):
            with pytest.raises(InvalidValueError, match="cannot be applied to"):
                data_store.update("key", changes)
        assert record_of(data_store) == before
        with pytest.raises(InvalidValueError, match=r"\$inc cannot be applied to 'text'"):
            data_store.update_where({"n": 1}, {"$inc": {"text": 1}})
        assert record_of(data_store) == before

    def test_no_update_is_lost(self, data_store: AgentDataStore) -> None:
        """Threads count, append and collect in one record that does not exist before."""

        def work(number: int) -> None:
            for turn in range(CHANGES_EACH):
                data_store.update(
                    "key",
                    {
                        "$inc": {"count": 1, f"by.{number}": 1},
                        "$push": {"log": [number, turn]},
                        "$addToSet": {"turns": turn},
                        "$max": {"greatest": number * turn},
                    },
                )

        race(*(lambda number=number: work(number) for number in range(THREADS)))
        value = data_store.get("key")
        assert value["count"] == THREADS * CHANGES_EACH
        assert value["by"] == {str(number): CHANGES_EACH for number in range(THREADS)}
        assert sorted(value["log"]) == [[number, turn] for number in range(THREADS) for turn in range(CHANGES_EACH)]
        assert sorted(value["turns"]) == list(range(CHANGES_EACH))
        assert value["greatest"] == (THREADS - 1) * (CHANGES_EACH - 1)

    def test_no_update_where_is_lost(self, data_store: AgentDataStore) -> None:
        """Threads change the same records, and each record counts each change once."""
        data_store.set_many({f"{number}": {"n": 0, "kind": "x"} for number in range(10)})
        changed = race(*[lambda: data_store.update_where({"kind": "x"}, {"$inc": {"n": 1}})] * 4)
        assert changed == [10] * 4
        assert {value["n"] for value in data_store.get_all().values()} == {4}
