"""Isolation by database: each tenant's records in a separate database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

import pytest

from datastore import ConfigurationError, DataStore, InvalidNameError, UnsupportedError
from datastore.backend import Fields, IdRange
from datastore.conformance.clock import Clock
from datastore.conformance.faults import backend_of
from datastore.conformance.harness import Harness
from datastore.conformance.races import race
from datastore.conformance.topic import Opener, Topic, not_applicable
from datastore.ids import encode_name, user_prefix
from datastore.tenants import TenantBackend

USERS = ["ann", "Ann", "a:b", "a", "a/b", "a-b", "a_2db", "ann@example.com", "..", " ", "é", "🔑"]


def require_shared(store: DataStore) -> None:
    """End a test that compares with a shared store as not applicable, if the test's own store is not shared."""
    if store.capabilities.supports("database"):
        not_applicable("each tenant already has a database")


class Tenants(Topic):
    """``isolation="database"``, ``DataStore.tenants`` and ``DataStore.drop_tenant``."""

    @pytest.fixture
    def isolated(self, store: DataStore, open_store: Opener) -> Iterator[DataStore]:
        """Return a store with a database for each tenant, based on the test's database."""
        require_shared(store)
        if not store.capabilities.tenant_databases:
            not_applicable("tenant_databases is not declared")
        isolated = open_store(isolation="database")
        yield isolated
        with open_store(isolation="database") if isolated.capabilities.persistent else isolated as last:
            for user in last.tenants():
                last.drop_tenant(user, confirm=user)

    def test_a_shared_store_has_no_tenants_of_its_own(self, store: DataStore) -> None:
        """It raises an error instead of dropping something."""
        require_shared(store)
        store.agent("ann", "agent_1").set("key", 1)
        with pytest.raises(UnsupportedError, match="isolation"):
            store.tenants()
        with pytest.raises(UnsupportedError, match="isolation"):
            store.drop_tenant("ann", confirm="ann")
        assert store.agent("ann", "agent_1").get("key") == 1

    def test_without_the_ability_isolation_is_refused(self, store: DataStore, harness: Harness) -> None:
        """A host that asked for many databases never gets one shared database."""
        if not store.capabilities.tenant_databases:
            with pytest.raises((ConfigurationError, TypeError)):
                harness.open(isolation="database")

    def test_shared_is_the_default(self, store: DataStore, open_store: Opener) -> None:
        """It can also be given explicitly."""
        require_shared(store)
        if not store.capabilities.tenant_databases:
            not_applicable("tenant_databases is not declared")
        with pytest.raises(ConfigurationError, match="shared, database"):
            open_store(isolation="none")
        with pytest.raises(UnsupportedError):
            open_store(isolation="shared").tenants()

    def test_a_tenants_data_is_in_no_other_database(self, isolated: DataStore) -> None:
        """The test looks in every database."""
        for user in USERS:
            for namespace in ("default", "other"):
                isolated.agent(user, "agent_1", namespace).set_many({"key": user, user: 1})
        for user in USERS:
            with cast(TenantBackend, backend_of(isolated)).opened.lent(user) as backend:
                for other in USERS:
                    prefix = user_prefix(encode_name(other, "user"))
                    found = backend.scan(IdRange(prefix, prefix[:-1] + ";"), Fields.KEY, 100).documents
                    assert len(found) == (4 if other == user else 0), f"of {other!r}, with {user!r}"

    def test_the_shared_database_stays_empty(self, store: DataStore, isolated: DataStore) -> None:
        """What is in it stays there."""
        store.agent("bob", "agent_1").set("key", "shared")
        isolated.agent("ann", "agent_1").set("key", 1)
        assert store.agent("ann", "agent_1").get("key") is None
        assert isolated.agent("bob", "agent_1").get("key") is None
        assert store.agent("bob", "agent_1").get("key") == "shared"

    def test_the_calls_mean_the_same(self, isolated: DataStore, clock: Clock) -> None:
        """This holds for records, listings, queries, expiry and counts."""
        data_store = isolated.agent("a:b", "agent_1")
        revision = data_store.set("key", {"n": 1}, {"source": "web"})
        data_store.set("key", {"n": 2}, if_revision=revision)
        data_store.set_many({f"key {n}": {"n": n} for n in range(5)})
        data_store.set("brief", 1, ttl=10)
        data_store.use_namespace("other").set("key", 1)
        clock.advance(11)
        assert data_store.get("key") == {"n": 2}
        assert data_store.count() == 6
        assert data_store.list_keys("key ") == [f"key {n}" for n in range(5)]
        assert data_store.list_namespaces() == ["default", "other"]
        assert data_store.find({"n": {"$gte": 3}}) == {"key 3": {"n": 3}, "key 4": {"n": 4}}
        isolated.flush()
        record = data_store.get_record("key")
        assert record is not None
        assert (record.access_count, record.metadata, record.user_id) == (1, {"source": "web"}, "a:b")
        assert data_store.increment("n") == 1
        assert data_store.clear("key ") == 5
        assert data_store.clear() == 2

    def test_reading_makes_no_database(self, isolated: DataStore) -> None:
        """Neither does removing: only stored records need a database."""
        isolated.agent("ann", "agent_1").set("key", 1)
        nobody = isolated.agent("nobody", "agent_1")
        assert nobody.get("key") is None
        assert nobody.get_record("key") is None
        assert nobody.get_many(["key", "other"]) == {}
        assert nobody.get_all() == {}
        assert nobody.list_keys() == []
        assert nobody.list_namespaces() == []
        assert nobody.count() == 0
        assert nobody.find({"n": 1}) == {}
        assert nobody.scan().records == []
        assert not nobody.delete("key")
        assert nobody.delete_many(["key", "other"]) == 0
        assert nobody.clear() == 0
        assert isolated.tenants() == ["ann"]
        nobody.set("key", 1)
        assert isolated.tenants() == ["ann", "nobody"]
        assert nobody.get("key") == 1

    def test_expired_records_of_all_tenants_are_purged(
        self, isolated: DataStore, open_store: Opener, clock: Clock
    ) -> None:
        """This includes tenants that this store has not opened."""
        for user in ("ann", "bob"):
            isolated.agent(user, "agent_1").set_many({"a": 1, "b": 2}, ttl=10)
            isolated.agent(user, "agent_1").set("c", 3)
        clock.advance(20)
        other = open_store(isolation="database") if isolated.capabilities.persistent else isolated
        try:
            assert other.purge_expired() == 4
        except UnsupportedError:
            return  # the database itself reclaims them
        assert other.purge_expired() == 0
        assert isolated.agent("ann", "agent_1").list_keys() == ["c"]

    def test_tenants_are_those_that_were_used(self, isolated: DataStore) -> None:
        """They are listed by their ids, whatever is in their databases."""
        assert isolated.tenants() == []
        isolated.agent("never", "agent_1")
        for user in USERS:
            isolated.agent(user, "agent_1").set("key", 1)
        assert isolated.tenants() == sorted(USERS)

    def test_dropping_removes_exactly_one(self, isolated: DataStore) -> None:
        """Tenants with similar names stay, and the dropped one can start again."""
        for user in USERS:
            isolated.agent(user, "agent_1").set("key", user)
        assert isolated.drop_tenant("a-b", confirm="a-b") is True
        assert isolated.drop_tenant("a-b", confirm="a-b") is False
        left = [user for user in USERS if user != "a-b"]
        assert isolated.tenants() == sorted(left)
        for user in left:
            assert isolated.agent(user, "agent_1").get("key") == user
        anew = isolated.agent("a-b", "agent_2")
        assert anew.get("key") is None
        anew.set("other", 1)
        assert anew.get_all() == {"other": 1}

    def test_dropping_wants_the_name_twice(self, isolated: DataStore) -> None:
        """Both must be exactly the same."""
        isolated.agent("ann", "agent_1").set("key", 1)
        for confirm in ("", "Ann", "ann ", "yes", None, True):
            with pytest.raises(InvalidNameError, match="confirm"):
                isolated.drop_tenant("ann", confirm=confirm)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(InvalidNameError):
            isolated.drop_tenant("", confirm="")
        assert isolated.agent("ann", "agent_1").get("key") == 1

    def test_a_count_brings_no_dropped_tenant_back(self, isolated: DataStore) -> None:
        """An access that is not yet counted is dropped."""
        for user in ("ann", "bob"):
            isolated.agent(user, "agent_1").set("key", 1)
            isolated.agent(user, "agent_1").get("key")
        isolated.drop_tenant("ann", confirm="ann")
        isolated.flush()
        assert isolated.tenants() == ["bob"]
        record = isolated.agent("bob", "agent_1").get_record("key")
        assert record is not None
        assert record.access_count == 1

    def test_a_name_that_is_too_long_is_refused_at_once(self, isolated: DataStore) -> None:
        """This happens when an agent is bound, before the database is asked anything."""
        longest = cast(TenantBackend, backend_of(isolated)).opened.databases.longest
        assert longest > 100, "there must be room for a user id"
        if longest < 800:
            with pytest.raises(InvalidNameError, match="shorter user ids"):
                isolated.agent("A" * 255, "agent_1")
            with pytest.raises(InvalidNameError, match="shorter user ids"):
                isolated.drop_tenant("A" * 255, confirm="A" * 255)
        assert isolated.tenants() == []

    def test_threads_that_begin_a_tenant_meet_in_one_database(self, isolated: DataStore) -> None:
        """They all begin at the same moment."""

        def write(user: str, number: int) -> None:
            isolated.agent(user, "agent_1").set(f"key {number}", number)

        race(*(partial(write, user, number) for number in range(4) for user in ("ann", "bob")))
        for user in ("ann", "bob"):
            assert isolated.agent(user, "agent_1").get_all() == {f"key {number}": number for number in range(4)}

    def test_more_tenants_than_are_kept_open(self, isolated: DataStore) -> None:
        """Unused databases are closed, and opened again for their next use. Their counts are still written."""
        databases = cast(TenantBackend, backend_of(isolated)).opened.databases
        databases.most_open = min(databases.most_open, 2) if isolated.capabilities.persistent else databases.most_open
        users = [f"user {n}" for n in range(5)]
        for _ in range(2):
            for user in users:
                isolated.agent(user, "agent_1").set("key", user)
                assert isolated.agent(user, "agent_1").get("key") == user
        isolated.flush()
        for user in users:
            record = isolated.agent(user, "agent_1").get_record("key")
            assert record is not None
            assert record.access_count == 2

    def test_tenants_are_there_again(self, isolated: DataStore, open_store: Opener) -> None:
        """They exist again after the store was closed."""
        if not isolated.capabilities.persistent:
            not_applicable("persistent is not declared")
        isolated.agent("ann", "agent_1").set("key", 1)
        isolated.close()
        again = open_store(isolation="database")
        assert again.tenants() == ["ann"]
        assert again.agent("ann", "agent_1").get("key") == 1
