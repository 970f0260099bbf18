"""Expiry: an expired record counts as missing in every call, even before the database has noticed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from datastore import AgentDataStore, ConflictError, DataStore, InvalidValueError
from datastore.conformance.calls import taking
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable
from datastore.conformance.topic import Topic, Wrapper
from datastore.conformance.topics.records import record_of

MISSING: dict[str, Callable[[Any], object]] = {
    "get": lambda data_store: data_store.get("expired") is None,
    "get-default": lambda data_store: data_store.get("expired", "default") == "default",
    "get_record": lambda data_store: data_store.get_record("expired") is None,
    "exists": lambda data_store: not data_store.exists("expired"),
    "in": lambda data_store: "expired" not in data_store,
    "get_many": lambda data_store: data_store.get_many(["expired", "live"]) == {"live": 1},
    "get_all": lambda data_store: data_store.get_all() == {"live": 1},
    "list_keys": lambda data_store: data_store.list_keys() == ["live"],
    "list_keys-prefix": lambda data_store: data_store.list_keys("exp") == [],
    "list_namespaces": lambda data_store: data_store.list_namespaces() == ["default"],
    "count": lambda data_store: data_store.count() == 1,
    "scan": lambda data_store: [record.key for record in data_store.scan().records] == ["live"],
    "scan-page": lambda data_store: [record.key for record in data_store.scan(limit=1).records] == ["live"],
    "iter_records": lambda data_store: [record.key for record in data_store.iter_records()] == ["live"],
    "delete": lambda data_store: data_store.delete("expired") is False,
    "delete-at-revision": lambda data_store: data_store.delete("expired", if_revision="any") is False,
    "delete_many": lambda data_store: data_store.delete_many(["expired", "live"]) == 1,
    "clear": lambda data_store: data_store.clear() == 1,
    "clear-prefix": lambda data_store: data_store.clear("exp") == 0,
}
"""The result of each call if the record ``expired`` has expired and ``live`` has not."""

RENEWALS: dict[str, Callable[[Any], object]] = {
    "set": lambda data_store: data_store.set("key", "new", {"new": 1}),
    "set_many": lambda data_store: data_store.set_many({"key": "new", "other": 1}, {"new": 1}),
    "set_many-of-one": lambda data_store: data_store.set_many({"key": "new"}, {"new": 1}),
    "add": lambda data_store: data_store.add("key", "new", {"new": 1}),
}
"""The ways to write over an expired record."""


class Expiry(Topic):
    """``ttl``, and that nothing of a record is left after its time."""

    @pytest.mark.parametrize("ttl", [60, 60.0, timedelta(minutes=1)], ids=repr)
    def test_a_record_expires_after_its_ttl(self, data_store: AgentDataStore, clock: Clock, ttl: Any) -> None:
        """It does not expire earlier, and it never comes back."""
        data_store.set("key", 1, ttl=ttl)
        record = record_of(data_store)
        assert record.expires_at == record.created_at + timedelta(minutes=1)
        clock.advance(59)
        assert data_store.get("key") == 1
        clock.advance(1)
        assert data_store.get("key") is None
        clock.advance(1_000_000)
        assert data_store.get("key") is None

    def test_a_record_without_ttl_never_expires(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It still exists after a hundred years."""
        data_store.set("key", 1)
        clock.advance(100 * 365 * 86_400)
        assert data_store.get("key") == 1
        assert record_of(data_store).expires_at is None

    @pytest.mark.parametrize("is_missing", MISSING.values(), ids=MISSING.keys())
    def test_an_expired_record_is_hidden(
        self, data_store: AgentDataStore, clock: Clock, is_missing: Callable[[Any], object]
    ) -> None:
        """All calls hide it, and its namespace too if nothing else is in it."""
        data_store.set("live", 1, ttl=3600)
        data_store.set("expired", 2, ttl=60)
        data_store.use_namespace("gone").set("expired", 2, ttl=60)
        clock.advance(60)
        assert is_missing(data_store)

    def test_expired_records_hide_no_live_ones(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It makes no difference how many there are before and between the live ones."""
        data_store.set_many({f"key {number:04}": number for number in range(1_200)}, ttl=60)
        data_store.set_many({f"key {number:04}": number for number in range(3, 1_200, 400)})
        data_store.use_namespace("gone").set_many({f"key {number}": number for number in range(50)}, ttl=60)
        data_store.use_namespace("later").set("key", 1)
        clock.advance(60)
        assert data_store.list_keys() == ["key 0003", "key 0403", "key 0803"]
        assert data_store.count() == 3
        assert data_store.list_namespaces() == ["default", "later"]
        page = data_store.scan(limit=2)
        rest = data_store.scan(limit=2, cursor=page.cursor)
        assert sorted(record.key for record in (*page.records, *rest.records)) == ["key 0003", "key 0403", "key 0803"]
        assert data_store.clear() == 3

    @pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS.keys())
    def test_writing_over_an_expired_record_begins_a_new_one(
        self, store: DataStore, clock: Clock, renew: Callable[[Any], object]
    ) -> None:
        """It has a new creator and time, no old metadata, a count of 0, and no expiry."""
        old = store.agent("user_1", "old")
        old.set("key", "old", {"old": 1}, ttl=60)
        old.get("key")
        store.flush()
        before = record_of(old)
        clock.advance(60)
        renew(store.agent("user_1", "new"))
        record = record_of(old)
        assert (record.value, record.metadata, record.created_by_agent) == ("new", {"new": 1}, "new")
        assert (record.access_count, record.last_accessed_by_agent, record.last_accessed_at) == (0, None, None)
        assert record.created_at >= before.created_at + timedelta(seconds=60)
        assert record.expires_at is None
        assert record.revision != before.revision

    def test_a_condition_on_an_expired_record_is_a_conflict(self, data_store: AgentDataStore, clock: Clock) -> None:
        """There is no live record, and the write does not create one."""
        revision = data_store.set("key", 1, ttl=60)
        clock.advance(60)
        with pytest.raises(ConflictError) as caught:
            data_store.set("key", 2, if_revision=revision)
        assert caught.value.revision is None
        assert data_store.count() == 0

    def test_a_change_of_an_expired_record_begins_with_the_default(
        self, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """This holds for ``modify``, ``increment``, ``append`` and ``update``."""
        data_store.set_many({"modify": "old", "increment": 40, "append": [1], "update": {"old": 1}}, {"old": 1}, ttl=60)
        clock.advance(60)
        assert data_store.modify("modify", lambda value: [value], "default") == ["default"]
        assert data_store.increment("increment") == 1
        assert data_store.append("append", 2) == [2]
        assert data_store.update("update", {"new": 1}) == {"new": 1}
        for record in data_store.iter_records():
            assert (record.metadata, record.expires_at) == ({}, None), record.key

    def test_a_set_without_ttl_clears_the_expiry(self, data_store: AgentDataStore, clock: Clock) -> None:
        """The record then lives on, whether it is set alone or in a batch."""
        data_store.set("set", 1, ttl=60)
        data_store.set_many({"batched": 1, "batched too": 1}, ttl=60)
        data_store.set("set", 2)
        data_store.set_many({"batched": 2, "batched too": 2})
        clock.advance(60)
        assert data_store.get_all() == {"batched": 2, "batched too": 2, "set": 2}
        assert record_of(data_store, "set").expires_at is None

    def test_a_set_with_another_ttl_moves_the_expiry(self, data_store: AgentDataStore, clock: Clock) -> None:
        """It is counted from the last write, whether it is longer or shorter."""
        data_store.set_many({"longer": 1, "shorter": 1, "first": 1}, ttl=100)
        data_store.set("longer", 1, ttl=200)
        data_store.set("shorter", 1, ttl=50)
        data_store.set("first", 1)
        data_store.set("first", 1, ttl=50)
        clock.advance(50)
        assert data_store.list_keys() == ["longer"]
        clock.advance(100)
        assert data_store.list_keys() == ["longer"]
        clock.advance(50)
        assert data_store.list_keys() == []

    def test_a_change_keeps_the_expiry(self, data_store: AgentDataStore, clock: Clock) -> None:
        """A counter for a period still ends with the period."""
        data_store.set_many({"modify": 1, "increment": 1}, ttl=60)
        data_store.set("append", [], ttl=60)
        data_store.set("update", {}, ttl=60)
        before = [record.expires_at for record in data_store.iter_records()]
        clock.advance(30)
        data_store.modify("modify", lambda value: 2)
        data_store.increment("increment")
        data_store.append("append", 1)
        data_store.update("update", {"a": 1})
        assert [record.expires_at for record in data_store.iter_records()] == before
        clock.advance(30)
        assert data_store.count() == 0

    def test_an_access_keeps_the_expiry(self, store: DataStore, data_store: AgentDataStore, clock: Clock) -> None:
        """Reading does not extend a record's life, and counting does not restore it."""
        data_store.set("key", 1, ttl=60)
        data_store.get("key")
        clock.advance(60)
        store.flush()
        assert data_store.get("key") is None
        assert data_store.count() == 0

    def test_accesses_of_an_expired_record_are_not_its_successors(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """Counts that were pending when it expired are dropped."""
        data_store.set("key", 1, ttl=60)
        data_store.get("key")
        clock.advance(60)
        data_store.set("key", 2)
        store.flush()
        assert record_of(data_store).access_count == 0

    @pytest.mark.parametrize(
        "ttl", [0, -1, float("nan"), float("inf"), timedelta(0), timedelta(-1), "60", True, 1e15], ids=repr
    )
    def test_what_is_no_ttl_is_refused(self, wrapped: Wrapper, ttl: Any) -> None:
        """It is refused before any I/O, by every call that takes one."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        for call in taking("ttl").values():
            with pytest.raises(InvalidValueError, match="ttl"):
                call(data_store, ttl)
