"""Revisions: optimistic concurrency without timestamps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datastore import AgentDataStore, ConflictError, DataStore, InvalidValueError
from datastore.conformance.faults import Untouchable
from datastore.conformance.topic import Topic, Wrapper
from datastore.conformance.topics.records import record_of

CHANGES: dict[str, Callable[[Any], object]] = {
    "value": lambda data_store: data_store.set("key", {"a": 2}),
    "equal-value": lambda data_store: data_store.set("key", {"a": 1}),
    "metadata": lambda data_store: data_store.set("key", {"a": 1}, {"note": "new"}),
    "expiry": lambda data_store: data_store.set("key", {"a": 1}, ttl=60),
    "set_many": lambda data_store: data_store.set_many({"key": {"a": 1}}),
    "modify": lambda data_store: data_store.modify("key", lambda value: value),
    "update": lambda data_store: data_store.update("key", {"b": 1}),
    "delete-and-set": lambda data_store: (data_store.delete("key"), data_store.set("key", {"a": 1})),
}
"""The ways to change a record."""


class Revisions(Topic):
    """``revision`` and ``if_revision``."""

    def test_a_write_returns_the_revision(self, data_store: AgentDataStore) -> None:
        """It is the one that the record then has."""
        assert data_store.set("set", 1) == record_of(data_store, "set").revision
        assert data_store.add("added", 1) == record_of(data_store, "added").revision
        assert data_store.set("set", 2) == record_of(data_store, "set").revision
        assert data_store.scan().records[0].revision == record_of(data_store, "added").revision

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    def test_every_change_makes_a_new_revision(
        self, data_store: AgentDataStore, change: Callable[[Any], object]
    ) -> None:
        """Even writing an equal value does: somebody wrote."""
        before = data_store.set("key", {"a": 1})
        change(data_store)
        assert record_of(data_store).revision != before

    def test_an_access_makes_no_new_revision(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Otherwise a reader would make a writer's next conditional write fail."""
        revision = data_store.set("key", 1)
        data_store.get("key")
        data_store.get_all()
        data_store.get_record("key")
        store.flush()
        assert record_of(data_store).revision == revision
        data_store.set("key", 2, if_revision=revision)

    def test_revisions_never_come_again(self, data_store: AgentDataStore) -> None:
        """Not even a record that is deleted and created again has an old one."""
        seen = []
        for _ in range(10):
            seen += [data_store.set("key", 1), data_store.set("key", 1)]
            data_store.delete("key")
        assert len(set(seen)) == 20

    def test_a_set_at_the_right_revision_is_done(self, data_store: AgentDataStore) -> None:
        """It returns the next revision."""
        first = data_store.set("key", 1)
        second = data_store.set("key", 2, {"note": "two"}, if_revision=first)
        third = data_store.set("key", 3, if_revision=second)
        assert data_store.get("key") == 3
        assert record_of(data_store).metadata == {"note": "two"}
        assert record_of(data_store).revision == third

    def test_a_set_at_another_revision_is_a_conflict(self, data_store: AgentDataStore) -> None:
        """The error has the current revision, and nothing is written."""
        old = data_store.set("key", 1)
        current = data_store.set("key", 2, {"note": "two"})
        before = record_of(data_store)
        with pytest.raises(ConflictError) as caught:
            data_store.set("key", 3, {"note": "three"}, ttl=60, if_revision=old)
        assert caught.value.revision == current
        assert record_of(data_store) == before

    def test_the_revision_of_a_conflict_can_be_used(self, data_store: AgentDataStore) -> None:
        """The next attempt needs it."""
        data_store.set("key", 1)
        with pytest.raises(ConflictError) as caught:
            data_store.set("key", 2, if_revision="another")
        data_store.set("key", 2, if_revision=caught.value.revision)
        assert data_store.get("key") == 2

    def test_a_set_at_a_revision_of_a_missing_record_is_a_conflict(self, data_store: AgentDataStore) -> None:
        """It does not create one, and the error has the revision ``None``."""
        revision = data_store.set("key", 1)
        data_store.delete("key")
        with pytest.raises(ConflictError) as caught:
            data_store.set("key", 2, if_revision=revision)
        assert caught.value.revision is None
        assert data_store.count() == 0

    def test_the_revision_of_another_record_is_a_conflict(self, data_store: AgentDataStore) -> None:
        """A revision belongs to one record only."""
        data_store.set("key", 1)
        other = data_store.set("other", 1)
        with pytest.raises(ConflictError):
            data_store.set("key", 2, if_revision=other)

    def test_a_delete_at_the_right_revision_is_done(self, data_store: AgentDataStore) -> None:
        """It does the same as a delete without a revision."""
        revision = data_store.set("key", 1)
        assert data_store.delete("key", if_revision=revision) is True
        assert not data_store.exists("key")

    def test_a_delete_at_another_revision_is_a_conflict(self, data_store: AgentDataStore) -> None:
        """The record stays."""
        old = data_store.set("key", 1)
        current = data_store.set("key", 2)
        with pytest.raises(ConflictError) as caught:
            data_store.delete("key", if_revision=old)
        assert caught.value.revision == current
        assert data_store.get("key") == 2

    def test_a_delete_at_a_revision_of_a_missing_record_says_so(self, data_store: AgentDataStore) -> None:
        """The record is gone as wanted, so this is not a conflict."""
        revision = data_store.set("key", 1)
        data_store.delete("key")
        assert data_store.delete("key", if_revision=revision) is False

    def test_the_last_plain_set_wins(self, data_store: AgentDataStore) -> None:
        """Without a condition there is no conflict."""
        data_store.set("key", 1)
        other = data_store.use_namespace("default")
        other.set("key", 2)
        data_store.set("key", 3)
        assert other.get("key") == 3

    @pytest.mark.parametrize("revision", [1, 1.5, b"revision", ["revision"], True], ids=repr)
    def test_a_revision_is_text(self, wrapped: Wrapper, revision: Any) -> None:
        """Any other type is refused before any I/O."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(InvalidValueError, match="if_revision"):
            data_store.set("key", 1, if_revision=revision)
        with pytest.raises(InvalidValueError, match="if_revision"):
            data_store.delete("key", if_revision=revision)

    def test_an_empty_revision_is_one_like_any_other(self, data_store: AgentDataStore) -> None:
        """It is a condition that no record meets, not a missing condition."""
        data_store.set("key", 1)
        with pytest.raises(ConflictError):
            data_store.set("key", 2, if_revision="")
        with pytest.raises(ConflictError):
            data_store.delete("key", if_revision="")
        assert data_store.get("key") == 1
