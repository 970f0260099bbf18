"""Access tracking: reads are counted later, and counting never changes anything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from datastore import AgentDataStore, BackendUnavailableError, DataStore
from datastore.conformance.calls import CALLS, READS, Call
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Unsteady, Wrapped, backend_of
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.records import record_of

READERS: dict[str, Callable[[Any], object]] = {
    "get": lambda data_store: (data_store.get("a"), data_store.get("b")),
    "get_many": lambda data_store: data_store.get_many(["a", "b", "a", "missing"]),
    "get_all": lambda data_store: data_store.get_all(),
}
NOT_READERS = {name: call for name, call in CALLS.items() if name not in READS}


def counts(data_store: AgentDataStore) -> dict[str, int]:
    """Return the access counts by key, including pending ones."""
    return {record.key: record.access_count for record in data_store.iter_records()}


def stored_counts(store: DataStore) -> dict[str, int]:
    """Return the access counts by key as they are in the database."""
    with DataStore(Wrapped(backend_of(store)), tracking="off") as without_memory:
        return counts(without_memory.agent("user_1", "agent_1"))


class Tracking(Topic):
    """What counts as an access, and where the counts go."""

    @pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
    def test_a_read_counts_one_access_for_each_record(
        self, store: DataStore, data_store: AgentDataStore, read: Callable[[Any], object]
    ) -> None:
        """It makes no difference how often a key was named in the call."""
        data_store.set_many({"a": 1, "b": 2})
        read(data_store)
        read(data_store)
        store.flush()
        assert counts(data_store) == {"a": 2, "b": 2}

    @pytest.mark.parametrize("call", NOT_READERS.values(), ids=NOT_READERS.keys())
    def test_nothing_else_counts_an_access(self, store: DataStore, data_store: AgentDataStore, call: Call) -> None:
        """Writing, listing and looking do not count."""
        data_store.set_many({"key": 1, "other": 1, "list": [], "object": {}})
        call(data_store)
        store.flush()
        assert set(counts(data_store).values()) <= {0}

    def test_a_miss_counts_nothing(self, store: DataStore, data_store: AgentDataStore) -> None:
        """It creates no record either."""
        data_store.get("missing")
        data_store.get_many(["missing", "too"])
        store.flush()
        assert data_store.count() == 0
        data_store.set("missing", 1)
        store.flush()
        assert counts(data_store) == {"missing": 0}

    def test_a_record_shows_pending_accesses(self, store: DataStore, data_store: AgentDataStore) -> None:
        """The count is the same before and after a flush, in every call."""
        data_store.set("key", 1)
        data_store.get("key")
        for _ in range(2):
            for record in (record_of(data_store), data_store.scan().records[0], next(data_store.iter_records())):
                assert (record.access_count, record.last_accessed_by_agent) == (1, "agent_1")
                assert record.last_accessed_at is not None
            store.flush()

    def test_a_flush_writes_the_counts_to_the_database(self, open_store: Opener) -> None:
        """They are not only kept in memory."""
        store = open_store()
        data_store = store.agent("user_1", "agent_1")
        data_store.set("key", 1)
        for _ in range(3):
            data_store.get("key")
        store.flush()
        assert stored_counts(store) == {"key": 3}

    def test_counts_add_up_over_flushes(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Each flush adds to what is in the database."""
        data_store.set("key", 1)
        for number in range(1, 6):
            for _ in range(number):
                data_store.get("key")
            store.flush()
        store.flush()
        assert counts(data_store) == {"key": 15}

    def test_a_flush_of_many_records_is_complete(self, store: DataStore, data_store: AgentDataStore) -> None:
        """There are more than one request takes, and some were deleted meanwhile."""
        data_store.set_many({f"key {number:03}": number for number in range(700)})
        data_store.get_all()
        data_store.get_many(f"key {number:03}" for number in range(100))
        data_store.delete_many(f"key {number:03}" for number in range(0, 700, 7))
        store.flush()
        expected = {f"key {n:03}": 2 if n < 100 else 1 for n in range(700) if n % 7}
        assert counts(data_store) == expected

    def test_the_last_reader_is_named(self, store: DataStore, clock: Clock) -> None:
        """The time of its access is stored too, whether it is counted with others or alone."""
        for name in ("first", "second", "third"):
            clock.advance(10)
            store.agent("user_1", name).set(f"by {name}", 1)
            store.agent("user_1", name).get("by first")
            if name == "first":
                store.flush()
        store.flush()
        record = record_of(store.agent("user_1", "looker"), "by first")
        assert (record.access_count, record.last_accessed_by_agent) == (3, "third")
        assert record.last_accessed_at is not None
        assert record.last_accessed_at >= record.created_at + timedelta(seconds=20)

    def test_agents_of_all_namespaces_count(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Records with the same key in several namespaces are counted separately."""
        places = [data_store, data_store.use_namespace("other"), store.agent("user_2", "agent_1")]
        for number, place in enumerate(places):
            place.set("key", 1)
            for _ in range(number):
                place.get("key")
        store.flush()
        assert [record_of(place).access_count for place in places] == [0, 1, 2]

    def test_a_flush_touches_the_access_fields_alone(
        self, store: DataStore, data_store: AgentDataStore, clock: Clock
    ) -> None:
        """It does not change the value, the metadata, the revision, the other times or the expiry."""
        data_store.set("key", {"a": [1, 1.0]}, {"source": "web"}, ttl=3600)
        before = record_of(data_store)
        clock.advance(10)
        data_store.get("key")
        store.flush()
        after = record_of(data_store)
        fields = {"access_count", "last_accessed_at", "last_accessed_by_agent"}
        assert after.model_dump(by_alias=False, exclude=fields) == before.model_dump(by_alias=False, exclude=fields)

    def test_a_flush_keeps_a_value_set_meanwhile(self, store: DataStore, data_store: AgentDataStore) -> None:
        """The access was to the old value. The new value stays, and the access counts."""
        data_store.set("key", "old", {"old": 1})
        data_store.get("key")
        revision = data_store.set("key", "new", {"new": 1})
        store.flush()
        record = record_of(data_store)
        assert (record.value, record.metadata, record.revision) == ("new", {"old": 1, "new": 1}, revision)
        assert record.access_count == 1

    def test_a_flush_brings_back_no_deleted_record(self, store: DataStore, data_store: AgentDataStore) -> None:
        """A record that was read and then deleted stays deleted."""
        data_store.set_many({"deleted": 1, "in a batch": 2, "cleared": 3})
        data_store.get_all()
        data_store.delete("deleted")
        data_store.delete_many(["in a batch"])
        data_store.clear()
        store.flush()
        assert data_store.list_keys() == []
        assert data_store.list_namespaces() == []
        assert not data_store.exists("deleted")

    def test_a_record_made_again_does_not_inherit_pending_accesses(
        self, store: DataStore, data_store: AgentDataStore
    ) -> None:
        """They belong to the earlier record with the same key."""
        data_store.set("key", 1)
        data_store.get("key")
        data_store.delete("key")
        data_store.set("key", 2)
        assert record_of(data_store).access_count == 0, "before the flush"
        store.flush()
        record = record_of(data_store)
        assert (record.access_count, record.last_accessed_by_agent) == (0, None), "after the flush"

    def test_immediate_tracking_writes_each_access(self, open_store: Opener) -> None:
        """No flush is needed."""
        store = open_store(tracking="immediate")
        data_store = store.agent("user_1", "agent_1")
        data_store.set("key", 1)
        data_store.get("key")
        data_store.get_all()
        assert stored_counts(store) == {"key": 2}

    def test_tracking_can_be_off(self, open_store: Opener) -> None:
        """Then nothing is counted."""
        store = open_store(tracking="off")
        data_store = store.agent("user_1", "agent_1")
        data_store.set("key", 1)
        data_store.get("key")
        store.flush()
        assert counts(data_store) == {"key": 0}

    def test_counts_that_cannot_be_written_are_kept(self, wrapped: Wrapper) -> None:
        """Reads continue, the flush raises an error, and a later flush writes everything."""
        store = wrapped(Unsteady, retry_seconds=0)
        unsteady = backend_of(store)
        assert isinstance(unsteady, Unsteady)
        data_store = store.agent("user_1", "agent_1")
        data_store.set_many({"a": 1, "b": 2})
        data_store.get("a")
        unsteady.counting_fails = True
        with pytest.raises(BackendUnavailableError):
            store.flush()
        assert data_store.get("a") == 1, "a read fails because it cannot be counted"
        assert counts(data_store) == {"a": 2, "b": 0}, "pending counts are gone"
        with pytest.raises(BackendUnavailableError):
            store.flush()
        data_store.get("b")
        unsteady.counting_fails = False
        store.flush()
        assert stored_counts(store) == {"a": 2, "b": 1}
