"""Batches in which each record has what is its own, whole records by key, and expiry that changes move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    BatchError,
    ConflictError,
    DataStore,
    InvalidNameError,
    InvalidValueError,
    Item,
    KeyExistsError,
    ValueTooLargeError,
)
from datastore.conformance.clock import Clock
from datastore.conformance.topic import Topic
from datastore.conformance.topics.records import record_of


def expiry_of(data_store: AgentDataStore, key: str = "key") -> int | None:
    """Return in how many whole seconds after its last change a record expires."""
    record = record_of(data_store, key)
    return None if record.expires_at is None else round((record.expires_at - record.updated_at).total_seconds())


class Items(Topic):
    """``get_records``, ``set_many`` and ``add_many`` with `Item`, and ``ttl`` and ``touch`` of changes."""

    def test_get_records_returns_whole_records_in_the_order_asked(self, data_store: AgentDataStore) -> None:
        """Missing keys are left out, and a key given twice is there once. Looking is not an access."""
        data_store.set_many({"a": 1, "b": [2]}, {"source": "web"})
        data_store.get("a")
        records = data_store.get_records(["b", "missing", "a", "b"])
        assert [(key, record.key, record.value) for key, record in records.items()] == [("b", "b", [2]), ("a", "a", 1)]
        assert records["a"] == record_of(data_store, "a")
        assert (records["a"].metadata, records["a"].access_count) == ({"source": "web"}, 1)
        assert data_store.get_records([]) == {}

    def test_get_records_takes_any_number(self, data_store: AgentDataStore) -> None:
        """More than the database reads in one request."""
        values = {f"key {number:04}": number for number in range(1_100)}
        data_store.set_many(values)
        assert {key: record.value for key, record in data_store.get_records(values).items()} == values

    def test_items_have_their_own_metadata_and_expiry(self, data_store: AgentDataStore) -> None:
        """What they do not have is that of the call. Pairs and items stand together."""
        items: list[Any] = [
            ("pair", 1),
            Item("plain", 2),
            Item("metadata", 3, {"own": 1}),
            Item("ttl", 4, ttl=timedelta(minutes=2)),
        ]
        assert data_store.set_many(items, {"shared": 1}, ttl=60) == 4
        keys = ["pair", "plain", "metadata", "ttl"]
        found = [(one.value, one.metadata) for one in data_store.get_records(keys).values()]
        assert found == [(1, {"shared": 1}), (2, {"shared": 1}), (3, {"own": 1}), (4, {"shared": 1})]
        assert [expiry_of(data_store, key) for key in keys] == [60, 60, 60, 120]

    def test_an_item_can_ask_for_a_revision(self, data_store: AgentDataStore) -> None:
        """One that is not at it has a conflict for its outcome, and the others are stored."""
        revision = data_store.set("a", 1)
        data_store.set_many({"b": 1, "c": 1})
        with pytest.raises(BatchError) as caught:
            data_store.set_many([Item("a", 2, if_revision=revision), Item("b", 2, if_revision="stale"), ("c", 2)])
        assert caught.value.succeeded == ["a", "c"]
        error = caught.value.failed["b"]
        assert isinstance(error, ConflictError)
        assert error.revision == record_of(data_store, "b").revision
        assert data_store.get_all() == {"a": 2, "b": 1, "c": 2}

    def test_items_go_to_other_namespaces_of_the_user(self, store: DataStore) -> None:
        """In one call; the same key in two namespaces is two records. Outcomes name the namespace."""
        data_store = store.agent("user", "agent", "here")
        there = data_store.use_namespace("there")
        items = [Item("key", 1), Item("key", 2, namespace="there"), Item("key", 3, namespace="a:b/c")]
        assert data_store.set_many(items) == 3
        found = {(one.namespace, one.key): one.value for one in data_store.iter_records(namespace_prefix="")}
        assert found == {("here", "key"): 1, ("there", "key"): 2, ("a:b/c", "key"): 3}
        assert record_of(there).created_by_agent == "agent"
        with pytest.raises(BatchError) as caught:
            data_store.add_many([Item("new", 1), Item("key", 2, namespace="there"), Item("key", 1, namespace="here")])
        assert caught.value.succeeded == ["new"]
        assert list(caught.value.failed) == [("there", "key"), "key"]
        assert store.agent("other", "agent").list_namespaces() == []

    def test_add_many_stores_what_is_new(self, data_store: AgentDataStore, clock: Clock) -> None:
        """What is there stays, and its outcome says so. An expired record is not there."""
        data_store.set("old", 1)
        data_store.set("expired", 1, {"a": 1}, ttl=10)
        clock.advance(10)
        assert data_store.add_many({"first": 1, "expired": 2}, {"b": 1}, ttl=60) == 2
        assert (record_of(data_store, "expired").metadata, expiry_of(data_store, "first")) == ({"b": 1}, 60)
        with pytest.raises(BatchError) as caught:
            data_store.add_many([("old", 2), ("new", 2)])
        assert isinstance(caught.value.failed["old"], KeyExistsError)
        assert data_store.get_all() == {"old": 1, "first": 1, "expired": 2, "new": 2}

    def test_what_is_wrong_is_refused_before_anything_is_stored(self, data_store: AgentDataStore) -> None:
        """The message names the item and what is wrong about it."""
        wrong: list[tuple[type[Exception], str, list[Any]]] = [
            (InvalidValueError, r"items\['b'\]\[0\]", [("a", 1), Item("b", [{1}])]),
            (InvalidValueError, "metadata", [("a", 1), Item("b", 1, {"x": float("nan")})]),
            (ValueTooLargeError, "metadata", [("a", 1), Item("b", 1, {"x": "y" * 20_000})]),
            (InvalidValueError, "ttl", [("a", 1), Item("b", 1, ttl=-1)]),
            (InvalidNameError, "namespace", [("a", 1), Item("b", 1, namespace="")]),
            (InvalidNameError, "key", [("a", 1), Item("", 1)]),
            (InvalidValueError, "if_revision", [("a", 1), Item("b", 1, if_revision=3)]),  # type: ignore[arg-type]  # this is what is tested
        ]
        for kind, message, items in wrong:
            for call in (data_store.set_many, data_store.add_many):
                with pytest.raises(kind, match=message):
                    call(items)
        with pytest.raises(InvalidValueError, match="if_revision"):
            data_store.add_many([("a", 1), Item("b", 1, if_revision="x")])
        with pytest.raises(InvalidValueError, match="twice"):
            data_store.add_many([("a", 1), ("b", 1), ("a", 2)])
        assert data_store.list_keys() == []

    def test_changes_set_an_expiry_for_what_they_create(self, data_store: AgentDataStore, clock: Clock) -> None:
        """A record that is there keeps its own, unless the change is to renew it."""

        def change(**options: Any) -> list[int | None]:
            data_store.increment("number", **options)
            data_store.append("list", 1, **options)
            data_store.update("object", {"a": 1}, **options)
            data_store.modify("value", lambda value: 1, **options)
            return [expiry_of(data_store, key) for key in ("number", "list", "object", "value")]

        assert change(ttl=60) == [60] * 4
        clock.advance(10)
        assert change() == [50] * 4
        assert change(ttl=90) == [50] * 4
        assert change(ttl=90, touch=True) == [90] * 4
        clock.advance(90)
        assert change() == [None] * 4
        assert data_store.get("number") == 1

    def test_to_renew_takes_a_ttl(self, data_store: AgentDataStore) -> None:
        """Without one nobody could say until when."""
        calls: list[Callable[[], object]] = [
            lambda: data_store.increment("key", touch=True),
            lambda: data_store.append("key", 1, touch=True),
            lambda: data_store.update("key", {"a": 1}, touch=True),
            lambda: data_store.modify("key", lambda value: 1, touch=True),
        ]
        for call in calls:
            with pytest.raises(InvalidValueError, match="ttl"):
                call()
        assert not data_store.exists("key")

    def test_a_change_does_not_take_back_a_touch(self, data_store: AgentDataStore) -> None:
        """The expiry that it keeps is the one at the moment when it writes, not when it read."""
        data_store.set("key", 1, ttl=10)

        def touch(value: int) -> int:
            data_store.touch("key", ttl=3_600)
            return value + 1

        before = record_of(data_store)
        data_store.modify("key", touch)
        after = record_of(data_store)
        assert after.value == 2
        assert before.expires_at is not None
        assert after.expires_at is not None
        assert round((after.expires_at - before.expires_at).total_seconds()) == 3_590

    def test_update_where_keeps_each_expiry(self, data_store: AgentDataStore) -> None:
        """It changes values and nothing else."""
        data_store.set_many([Item("a", {"n": 1}, ttl=60), Item("b", {"n": 1})])
        assert data_store.update_where({"n": 1}, {"n": 2}) == 2
        assert [expiry_of(data_store, key) for key in "ab"] == [60, None]

    def test_a_record_says_who_wrote_it_last(self, store: DataStore) -> None:
        """It is found and sorted by that, too."""
        first, second = store.agent("user", "first"), store.agent("user", "second")
        first.set_many({"a": 1, "b": 1})
        second.increment("b")
        first.get("b")
        assert [record_of(first, key).updated_by_agent for key in "ab"] == ["first", "second"]
        assert list(first.find(meta={"updatedByAgent": "second"})) == ["b"]
        assert list(first.find({}, sort="-$updatedByAgent")) == ["b", "a"]
