"""Outage: a database that cannot answer is never taken for an empty one."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from datastore import AgentDataStore, BackendUnavailableError, DataStore
from datastore.conformance.calls import CALLS, Call
from datastore.conformance.harness import Harness
from datastore.conformance.topic import Opener, Topic, not_applicable
from datastore.conformance.topics.records import record_of


class Outage(Topic):
    """The error of each call while the database is away, and that everything works afterwards."""

    @pytest.fixture
    def hasty(self, open_store: Opener) -> DataStore:
        """Return a store that does not wait until the database is back."""
        return open_store(retry_seconds=0)

    @pytest.fixture
    def outage(self, harness: Harness, hasty: DataStore) -> AbstractContextManager[None]:
        """Return an outage of the store's database, which holds some records."""
        data_store = hasty.agent("user_1", "agent_1")
        data_store.set_many({"key": 1, "other": 2, "list": [], "object": {}}, {"a": 1})
        outage = harness.outage(hasty)
        if outage is None:
            not_applicable("the harness has no outage")
        return outage

    @pytest.fixture
    def agent(self, hasty: DataStore) -> AgentDataStore:
        """Return the agent's store that the outage affects."""
        return hasty.agent("user_1", "agent_1")

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
    def test_every_call_says_that_the_database_is_away(
        self, agent: AgentDataStore, outage: AbstractContextManager[None], call: Call
    ) -> None:
        """It does not report something missing, ``False`` or a smaller number. Afterwards it works."""
        with outage, pytest.raises(BackendUnavailableError) as caught:
            call(agent)
        assert caught.value.retryable
        assert caught.value.backend, "the error does not say which backend it was"
        assert agent.get_all() == {"key": 1, "list": [], "object": {}, "other": 2}, "something was changed"
        call(agent)

    def test_the_clients_own_error_is_chained(
        self, agent: AgentDataStore, outage: AbstractContextManager[None]
    ) -> None:
        """So the cause can be found."""
        with outage, pytest.raises(BackendUnavailableError) as caught:
            agent.get("key")
        assert caught.value.__cause__ is not None

    def test_counts_are_kept_while_the_database_is_away(
        self, hasty: DataStore, agent: AgentDataStore, outage: AbstractContextManager[None]
    ) -> None:
        """The flush raises, and a later flush writes them."""
        agent.get("key")
        agent.get("key")
        with outage:
            with pytest.raises(BackendUnavailableError):
                hasty.flush()
            with pytest.raises(BackendUnavailableError):
                hasty.flush()
        hasty.flush()
        hasty.flush()
        assert record_of(agent).access_count == 2

    def test_the_health_of_the_store_is_told_and_not_raised(
        self, hasty: DataStore, outage: AbstractContextManager[None]
    ) -> None:
        """Afterwards it is well again."""
        before = hasty.health(max_seconds=30)
        with outage:
            during = hasty.health(max_seconds=30)
        after = hasty.health(max_seconds=30)
        assert [one.ok for one in (before, during, after)] == [True, False, True]
        assert {one.backend for one in (before, during, after)} == {hasty.backend.name}
        assert [one.latency is None for one in (before, during, after)] == [False, True, False]
        assert [bool(one.error) for one in (before, during, after)] == [False, True, False]

    def test_purging_says_that_the_database_is_away(
        self, hasty: DataStore, outage: AbstractContextManager[None]
    ) -> None:
        """It does not report that nothing is expired."""
        if not hasty.capabilities.supports("purge"):
            not_applicable("the backend does not have 'purge'")
        with outage, pytest.raises(BackendUnavailableError):
            hasty.purge_expired()
        assert hasty.purge_expired() == 0

    def test_a_store_closes_while_the_database_is_away(
        self, hasty: DataStore, agent: AgentDataStore, outage: AbstractContextManager[None]
    ) -> None:
        """Pending counts are then lost, but `close` does not raise."""
        agent.get("key")
        with outage:
            hasty.close()

    def test_what_was_open_before_goes_on_afterwards(
        self, hasty: DataStore, agent: AgentDataStore, outage: AbstractContextManager[None]
    ) -> None:
        """Nobody has to connect again, however many calls have failed."""
        with outage:
            for _ in range(10):
                with pytest.raises(BackendUnavailableError):
                    agent.set("key", 2)
        assert agent.get("key") == 1
        agent.set("key", 3)
        assert hasty.agent("user_2", "agent_2").list_keys() == []
        assert agent.get("key") == 3
