"""The life of a store: opening, closing, and opening again."""

from __future__ import annotations

import pytest

from datastore import AgentDataStore, ClosedError, DataStore, DataStoreError
from datastore.backend import Backend
from datastore.conformance.calls import CALLS, Call
from datastore.conformance.clock import Clock
from datastore.conformance.races import ROUNDS, race
from datastore.conformance.topic import Opener, Topic, not_applicable
from datastore.conformance.topics.records import record_of


class Lifecycle(Topic):
    """``close``, and what exists afterwards."""

    def test_a_store_says_what_it_is(self, store: DataStore, backend: Backend) -> None:
        """It shows the backend's name and capabilities, and no secret."""
        assert store.backend.name == backend.name
        assert store.capabilities == backend.capabilities
        assert store.capabilities.read_batch >= 1
        assert store.capabilities.write_batch >= 1
        assert "://" not in repr(store)

    def test_closing_twice_is_closing_once(self, store: DataStore, data_store: AgentDataStore) -> None:
        """The second time, nothing happens, whether or not anything was pending."""
        data_store.set("key", 1)
        data_store.get("key")
        store.close()
        store.close()

    def test_closing_the_backend_twice_is_closing_it_once(self, backend: Backend) -> None:
        """The contract requires this of the adapter too."""
        backend.close()
        backend.close()

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
    def test_a_closed_store_refuses_every_call(self, store: DataStore, data_store: AgentDataStore, call: Call) -> None:
        """It raises the store's own error, and not one of the database's client."""
        data_store.set("key", 1)
        store.close()
        with pytest.raises(ClosedError):
            call(data_store)

    def test_a_closed_store_refuses_the_host(self, store: DataStore) -> None:
        """It refuses flushing and purging too."""
        store.close()
        with pytest.raises(ClosedError):
            store.flush()
        with pytest.raises(ClosedError):
            store.purge_expired()

    def test_closing_beside_readers_is_not_taken_for_missing(self, open_store: Opener) -> None:
        """A read that comes too late is refused. It never finds an empty store or the client's own error."""
        for _ in range(ROUNDS):
            store = open_store()
            data_store = store.agent("user_1", "agent_1")
            data_store.set("key", 1)

            def read(data_store: AgentDataStore = data_store) -> None:
                with pytest.raises(ClosedError):
                    while True:
                        assert data_store.get("key") == 1
                        assert data_store.list_keys() == ["key"]

            race(read, read, read, store.close)

    def test_an_agent_bound_before_or_after_closing_is_refused(self, store: DataStore) -> None:
        """Binding an agent is not I/O."""
        before = store.agent("user_1", "agent_1")
        store.close()
        for data_store in (before, before.use_namespace("other")):
            with pytest.raises(DataStoreError):
                data_store.get("key")

    def test_a_listing_ends_when_the_store_is_closed(self, store: DataStore, data_store: AgentDataStore) -> None:
        """It raises an error: an interrupted listing must not look like a complete one.

        There is more of it than what is on its way from a server to its client may hold.
        """
        data_store.set_many({f"key {number:04}": "x" * 1_000 for number in range(1_050)})
        records = data_store.iter_records()
        next(records)
        store.close()
        with pytest.raises(ClosedError):
            list(records)

    def test_a_store_is_a_context_manager(self, open_store: Opener) -> None:
        """It is closed at the end of the block, even after an error."""
        with pytest.raises(ZeroDivisionError), open_store() as store:
            data_store = store.agent("user_1", "agent_1")
            data_store.set("key", 1)
            raise ZeroDivisionError
        with pytest.raises(ClosedError):
            data_store.get("key")

    def test_reopening_keeps_the_data_exactly_if_it_is_persistent(self, open_store: Opener) -> None:
        """This is exactly what ``persistent`` declares."""
        with open_store() as store:
            store.agent("user_1", "agent_1").set("key", {"a": [1, 1.0]}, {"source": "web"}, ttl=3600)
            before = record_of(store.agent("user_1", "agent_1"))
        with open_store() as store:
            data_store = store.agent("user_1", "agent_1")
            if store.capabilities.persistent:
                assert data_store.get_record("key") == before
                assert data_store.list_namespaces() == ["default"]
            else:
                assert data_store.get_record("key") is None
                assert data_store.list_namespaces() == []

    def test_closing_writes_what_was_counted(self, open_store: Opener) -> None:
        """Pending accesses are stored when the store is opened again."""
        with open_store() as store:
            if not store.capabilities.persistent:
                not_applicable("persistent is not declared")
            data_store = store.agent("user_1", "agent_1")
            data_store.set("key", 1)
            data_store.get("key")
            data_store.get("key")
        with open_store() as store:
            assert record_of(store.agent("user_1", "agent_1")).access_count == 2

    def test_a_database_is_made_ready_once(self, open_store: Opener) -> None:
        """Opening it again finds what exists and changes nothing."""
        for number in range(4):
            with open_store() as store:
                if not store.capabilities.persistent:
                    not_applicable("persistent is not declared")
                data_store = store.agent("user_1", "agent_1")
                assert data_store.increment("key") == number + 1
                assert data_store.count() == 1

    def test_expiry_outlives_the_store(self, open_store: Opener, clock: Clock) -> None:
        """A record expires even if no store was open at that time."""
        with open_store() as store:
            if not store.capabilities.persistent:
                not_applicable("persistent is not declared")
            store.agent("user_1", "agent_1").set_many({"a": 1, "b": 2}, ttl=60)
            store.agent("user_1", "agent_1").set("a", 1)
        clock.advance(60)
        with open_store() as store:
            assert store.agent("user_1", "agent_1").list_keys() == ["a"]
