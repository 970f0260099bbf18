"""Records: who wrote them and when, and their metadata."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastore import AgentDataStore, BatchError, DataStore, Record, ValueTooLargeError
from datastore.conformance.clock import Clock
from datastore.conformance.samples import METADATA, same
from datastore.conformance.topic import Topic

CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda data_store: data_store.set("key", {"new": 1}),
    "set-with-metadata": lambda data_store: data_store.set("key", {"new": 1}, {"note": "new"}),
    "set-with-ttl": lambda data_store: data_store.set("key", {"new": 1}, ttl=3600),
    "set-if-revision": lambda data_store: data_store.set(
        "key", {"new": 1}, if_revision=data_store.get_record("key").revision
    ),
    "set_many": lambda data_store: data_store.set_many({"key": {"new": 1}, "other": 1}),
    "set_many-of-one": lambda data_store: data_store.set_many({"key": {"new": 1}}),
    "set_many-with-metadata": lambda data_store: data_store.set_many({"key": {"new": 1}, "other": 1}, {"note": "new"}),
    "update": lambda data_store: data_store.update("key", {"new": 1}),
    "modify": lambda data_store: data_store.modify("key", lambda value: {"new": 1}),
}
"""The ways to change an existing record whose value is an object."""

SETTERS: dict[str, Callable[[Any, Any], object]] = {
    "set": lambda data_store, metadata: data_store.set("key", 1, metadata),
    "set_many": lambda data_store, metadata: data_store.set_many({"key": 1, "other": 1}, metadata),
    "set_many-of-one": lambda data_store, metadata: data_store.set_many({"key": 1}, metadata),
    "set-if-revision": lambda data_store, metadata: data_store.set(
        "key", 1, metadata, if_revision=data_store.get_record("key").revision
    ),
}
"""The ways to change metadata."""

VALUE_CHANGES = {name: change for name, change in CHANGES.items() if "metadata" not in name}

changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
value_changes = pytest.mark.parametrize("change", VALUE_CHANGES.values(), ids=VALUE_CHANGES.keys())
setters = pytest.mark.parametrize("set_metadata", SETTERS.values(), ids=SETTERS.keys())


def record_of(data_store: AgentDataStore, key: str = "key") -> Record:
    """Return a record that must exist."""
    record = data_store.get_record(key)
    assert record is not None, f"there is no record {key!r}"
    return record


class Records(Topic):
    """Provenance and metadata."""

    def test_a_new_record_says_what_it_is(self, data_store: AgentDataStore, clock: Clock) -> None:
        """The test checks every field."""
        began = datetime.fromtimestamp(clock(), UTC)
        revision = data_store.use_namespace("files").set("a/b", [1], {"source": "web"}, ttl=60)
        record = record_of(data_store.use_namespace("files"), "a/b")
        assert record.id == "user_1:files:NHxX"
        assert (record.user_id, record.namespace, record.key) == ("user_1", "files", "a/b")
        assert (record.value, record.metadata) == ([1], {"source": "web"})
        assert (record.created_by_agent, record.last_accessed_by_agent) == ("agent_1", None)
        assert (record.access_count, record.last_accessed_at) == (0, None)
        assert began <= record.created_at == record.updated_at <= datetime.fromtimestamp(clock(), UTC)
        assert record.expires_at == record.created_at + timedelta(seconds=60)
        assert record.revision == revision

    def test_a_missing_record_is_none(self, data_store: AgentDataStore) -> None:
        """It is not an error."""
        assert data_store.get_record("nowhere") is None

    def test_times_are_aware_and_in_utc(self, data_store: AgentDataStore) -> None:
        """They can be compared with times in other time zones without a guess."""
        data_store.set("key", 1, ttl=60)
        data_store.get("key")
        record = record_of(data_store)
        for time in (record.created_at, record.updated_at, record.last_accessed_at, record.expires_at):
            assert time is not None
            assert time.utcoffset() == timedelta(0)

    def test_a_record_serialises_in_camel_case(self, data_store: AgentDataStore) -> None:
        """It uses the names of the database's fields, and RFC 3339 text for times."""
        data_store.set("key", 1)
        dumped = record_of(data_store).model_dump(mode="json")
        assert dumped["userId"] == "user_1"
        assert dumped["createdByAgent"] == "agent_1"
        assert dumped["accessCount"] == 0
        assert dumped["createdAt"].endswith("Z")

    @changes
    def test_a_change_keeps_who_created_the_record_and_when(
        self, store: DataStore, clock: Clock, change: Callable[[Any], object]
    ) -> None:
        """This holds for each way of changing a record, by another agent, later."""
        store.agent("user_1", "creator").set("key", {"old": 1})
        created = record_of(store.agent("user_1", "creator"))
        clock.advance(10)
        change(store.agent("user_1", "changer"))
        changed = record_of(store.agent("user_1", "changer"))
        assert changed.value["new"] == 1
        assert changed.created_by_agent == "creator"
        assert changed.created_at == created.created_at
        assert changed.updated_at >= created.updated_at + timedelta(seconds=10)

    @changes
    def test_a_change_keeps_the_access_count(
        self, store: DataStore, data_store: AgentDataStore, change: Callable[[Any], object]
    ) -> None:
        """It also keeps who accessed the record last and when, whether the count is stored or pending."""
        data_store.set("key", {"old": 1})
        store.agent("user_1", "reader").get("key")
        store.flush()
        store.agent("user_1", "reader").get("key")
        before = record_of(data_store)
        change(data_store)
        store.flush()
        after = record_of(data_store)
        assert after.access_count == before.access_count == 2
        assert after.last_accessed_by_agent == "reader"
        assert after.last_accessed_at == before.last_accessed_at

    @value_changes
    def test_a_change_of_the_value_keeps_the_metadata(
        self, data_store: AgentDataStore, change: Callable[[Any], object]
    ) -> None:
        """Metadata stay until they are changed."""
        data_store.set("key", {"old": 1}, {"source": "web", "tags": ["a"]})
        change(data_store)
        assert record_of(data_store).metadata == {"source": "web", "tags": ["a"]}

    @setters
    def test_metadata_is_merged(self, data_store: AgentDataStore, set_metadata: Callable[[Any, Any], object]) -> None:
        """New fields are added, and replace those with the same name."""
        data_store.set("key", 0, {"kept": 1, "replaced": 1})
        set_metadata(data_store, {"replaced": 2, "new": 3})
        assert record_of(data_store).metadata == {"kept": 1, "replaced": 2, "new": 3}

    @setters
    def test_metadata_is_merged_shallowly(
        self, data_store: AgentDataStore, set_metadata: Callable[[Any, Any], object]
    ) -> None:
        """A field is replaced as a whole, even if it is an object or an array."""
        data_store.set("key", 0, {"object": {"old": 1, "both": 1}, "array": [1, 2], "other": {"a": 1}})
        set_metadata(data_store, {"object": {"both": 2, "null": None}, "array": [3]})
        assert record_of(data_store).metadata == {
            "object": {"both": 2, "null": None},
            "array": [3],
            "other": {"a": 1},
        }

    @setters
    def test_metadata_given_as_none_is_removed(
        self, data_store: AgentDataStore, set_metadata: Callable[[Any, Any], object]
    ) -> None:
        """Removing a field that does not exist is not an error."""
        data_store.set("key", 0, {"kept": 1, "removed": 1})
        set_metadata(data_store, {"removed": None, "missing": None})
        assert record_of(data_store).metadata == {"kept": 1}

    @setters
    def test_no_metadata_changes_nothing(
        self, data_store: AgentDataStore, set_metadata: Callable[[Any, Any], object]
    ) -> None:
        """This holds for ``None`` and for an empty object."""
        data_store.set("key", 0, {"kept": 1})
        set_metadata(data_store, None)
        set_metadata(data_store, {})
        assert record_of(data_store).metadata == {"kept": 1}

    def test_a_new_record_has_no_removed_metadata(self, data_store: AgentDataStore) -> None:
        """A ``None`` in the metadata of a new record is not stored."""
        data_store.set("set", 1, {"a": 1, "b": None})
        data_store.add("added", 1, {"a": 1, "b": None})
        data_store.set_many({"batched": 1}, {"a": 1, "b": None})
        for record in data_store.iter_records():
            assert record.metadata == {"a": 1}, record.key

    def test_metadata_comes_back_type_for_type(self, data_store: AgentDataStore) -> None:
        """So do values, and metadata after a merge."""
        data_store.set("key", 1, METADATA)
        assert same(record_of(data_store).metadata, METADATA)
        data_store.set("key", 1, {"added": 1.0})
        assert same(record_of(data_store).metadata, {**METADATA, "added": 1.0})

    def test_metadata_that_grows_too_large_is_refused(self, data_store: AgentDataStore) -> None:
        """Value and metadata stay as they were."""
        data_store.set("key", "old", {"a": "x" * 10_000})
        before = record_of(data_store)
        with pytest.raises(ValueTooLargeError, match="metadata"):
            data_store.set("key", "new", {"b": "x" * 10_000})
        assert record_of(data_store) == before
        data_store.set("key", "new", {"a": None, "b": "x" * 10_000})
        assert record_of(data_store).metadata == {"b": "x" * 10_000}

    def test_metadata_that_grows_too_large_fails_its_record_alone(self, data_store: AgentDataStore) -> None:
        """The others in the batch are stored, and the error says which one is not."""
        data_store.set("full", "old", {"a": "x" * 10_000})
        with pytest.raises(BatchError) as caught:
            data_store.set_many({"before": 1, "full": 1, "behind": 1}, {"b": "x" * 10_000})
        assert list(caught.value.failed) == ["full"]
        assert isinstance(caught.value.failed["full"], ValueTooLargeError)
        assert sorted(caught.value.succeeded) == ["before", "behind"]
        assert data_store.get_all() == {"before": 1, "full": "old", "behind": 1}

    def test_a_record_made_again_is_a_new_one(self, store: DataStore, clock: Clock) -> None:
        """After a deletion, the old creator, metadata, count and expiry are gone."""
        first, second = store.agent("user_1", "first"), store.agent("user_1", "second")
        first.set("key", 1, {"source": "web"}, ttl=60)
        first.get("key")
        store.flush()
        old = record_of(first)
        first.delete("key")
        clock.advance(1)
        second.set("key", 2)
        new = record_of(second)
        assert (new.created_by_agent, new.metadata, new.access_count) == ("second", {}, 0)
        assert (new.last_accessed_by_agent, new.last_accessed_at, new.expires_at) == (None, None, None)
        assert new.created_at > old.created_at
        assert new.revision != old.revision
