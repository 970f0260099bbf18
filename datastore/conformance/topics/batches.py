"""Batches: any number of records in one call, with one outcome for each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from datastore import AgentDataStore, InvalidValueError, ValueTooLargeError
from datastore.conformance.faults import Untouchable
from datastore.conformance.samples import of_size
from datastore.conformance.topic import Topic, Wrapper
from datastore.conformance.topics.records import record_of

sizes = pytest.mark.parametrize("size", [0, 1, 26, 101, 501, 1_001])
"""Just above the limits of databases: 25, 100, 500 and 1,000. The listings have a batch of twelve thousand."""


class Batches(Topic):
    """``get_many``, ``set_many``, ``delete_many``."""

    @sizes
    def test_a_batch_of_any_size_is_complete(self, data_store: AgentDataStore, size: int) -> None:
        """Everything is stored, read and removed, and the returned numbers are right."""
        items = {f"key {number}": number for number in range(size)}
        data_store.set("another", "stays")
        assert data_store.set_many(items) == size
        assert data_store.count() == size + 1
        assert data_store.get_many(items) == items
        assert data_store.delete_many(items) == size
        assert data_store.get_all() == {"another": "stays"}

    def test_a_batch_can_be_set_again(self, data_store: AgentDataStore) -> None:
        """Some of its records exist already, as many as one request takes, and some do not."""
        data_store.set_many({f"key {number}": "old" for number in range(150)})
        items = {f"key {number}": number for number in range(100, 300)}
        assert data_store.set_many(items) == 200
        assert data_store.count() == 300
        assert data_store.get_many(items) == items
        assert data_store.get("key 99") == "old"

    def test_get_many_keeps_the_order_asked(self, data_store: AgentDataStore) -> None:
        """Missing keys are left out, wherever they are in the batch."""
        data_store.set_many({f"key {number}": number for number in range(300)})
        asked = [f"key {number}" for number in range(400, -1, -3)]
        expected = {f"key {number}": number for number in range(400, -1, -3) if number < 300}
        assert list(data_store.get_many(asked).items()) == list(expected.items())

    def test_get_many_takes_a_key_twice(self, data_store: AgentDataStore) -> None:
        """It is in the result once, at its first place."""
        data_store.set_many({"a": 1, "b": 2})
        assert list(data_store.get_many(["b", "a", "b", "b", "missing", "missing"]).items()) == [("b", 2), ("a", 1)]

    def test_set_many_takes_a_key_twice(self, data_store: AgentDataStore) -> None:
        """The last value counts, and there is one record."""
        assert data_store.set_many([("a", 1), ("b", 2), ("a", 3)]) == 2
        assert data_store.get_all() == {"a": 3, "b": 2}

    def test_delete_many_takes_a_key_twice(self, data_store: AgentDataStore) -> None:
        """It counts once."""
        data_store.set_many({"a": 1, "b": 2})
        assert data_store.delete_many(["a", "a", "missing", "a"]) == 1
        assert data_store.get_all() == {"b": 2}

    def test_delete_many_counts_what_existed(self, data_store: AgentDataStore) -> None:
        """Missing records are not an error."""
        data_store.set_many({f"key {number}": number for number in range(0, 300, 2)})
        assert data_store.delete_many(f"key {number}" for number in range(300)) == 150
        assert data_store.delete_many(f"key {number}" for number in range(300)) == 0

    def test_any_iterable_is_a_batch(self, data_store: AgentDataStore) -> None:
        """Generators, views and sets are accepted as well as lists."""
        assert data_store.set_many((f"key {number}", number) for number in range(3)) == 3
        assert data_store.get_many(key for key in ["key 0", "key 2"]) == {"key 0": 0, "key 2": 2}
        assert data_store.get_many({"key 1"}) == {"key 1": 1}
        assert data_store.delete_many({"key 0": None, "key 1": None}.keys()) == 2

    def test_a_batch_of_nothing_is_no_request(self, wrapped: Wrapper) -> None:
        """The database is not asked at all."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        assert data_store.get_many([]) == {}
        assert data_store.set_many({}) == 0
        assert data_store.delete_many([]) == 0

    def test_one_oversize_item_stops_the_batch_before_any_io(
        self, data_store: AgentDataStore, wrapped: Wrapper
    ) -> None:
        """The error names its key, and nothing in the batch is written."""
        items = {f"key {number}": number for number in range(200)} | {"the large one": of_size(1_000_001)}
        with pytest.raises(ValueTooLargeError, match="the large one"):
            wrapped(Untouchable).agent("user_1", "agent_1").set_many(items)
        with pytest.raises(ValueTooLargeError, match="the large one"):
            data_store.set_many(items)
        assert data_store.list_keys() == []

    def test_one_bad_item_stops_the_batch_before_any_io(self, wrapped: Wrapper) -> None:
        """The error names its key and the path in its value."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        with pytest.raises(InvalidValueError, match=r"the bad one.*\.when .*set"):
            data_store.set_many({"good": 1, "the bad one": {"when": {1}}})

    def test_what_is_no_batch_is_refused(self, wrapped: Wrapper) -> None:
        """A batch is a mapping, or pairs of key and value."""
        data_store = wrapped(Untouchable).agent("user_1", "agent_1")
        items: Any
        for items in (1, None, "key", [1, 2], [("key",)]):
            with pytest.raises(InvalidValueError, match="items"):
                data_store.set_many(items)

    def test_a_batch_of_large_values_is_complete(self, data_store: AgentDataStore) -> None:
        """It has more bytes than any database accepts in one request or returns in one answer."""
        items = {f"key {number}": str(number) + of_size(390_000) for number in range(45)}
        assert data_store.set_many(items) == 45
        assert data_store.get_many(items) == items
        assert data_store.get_all() == items
        assert data_store.delete_many(items) == 45

    def test_set_many_stores_metadata_and_expiry_with_each_record(self, data_store: AgentDataStore) -> None:
        """Both are the same for all records."""
        data_store.set("old", 0, {"kept": 1})
        data_store.set_many({"old": 1, "new": 2}, {"source": "web"}, ttl=timedelta(minutes=1))
        old, new = record_of(data_store, "old"), record_of(data_store, "new")
        assert (old.metadata, new.metadata) == ({"kept": 1, "source": "web"}, {"source": "web"})
        assert old.expires_at is not None
        assert old.expires_at == new.expires_at

    def test_each_record_of_a_batch_has_a_revision_of_its_own(self, data_store: AgentDataStore) -> None:
        """It is as if each record had been set alone."""
        data_store.set_many({f"key {number}": 1 for number in range(30)})
        revisions = {record.revision for record in data_store.iter_records()}
        assert len(revisions) == 30
        record = record_of(data_store, "key 7")
        data_store.set("key 7", 2, if_revision=record.revision)
