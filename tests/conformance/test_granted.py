"""The kit by agents that are granted everything: what stands in front of their store changes nothing."""

from typing import Any

from datastore import Backend, DataStore
from datastore.conformance import ConformanceSuite
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_sqlite import SqliteHarness


class GrantingStore(DataStore):
    """Gives grants to each agent that has none."""

    def __init__(self, store: DataStore) -> None:
        self.__dict__.update(vars(store))

    def _bound(self, user_id, agent, namespace, grants=None, *others):
        if agent is not None and grants is None:
            grants = {"*": "write"}
        return super()._bound(user_id, agent, namespace, grants, *others)


class Granting:
    def open(self, **options: Any) -> DataStore:
        return GrantingStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return GrantingStore(super().over(backend, **options))


class MemoryGranting(Granting, MemoryHarness):
    name = "memory-granted"


class SqliteGranting(Granting, SqliteHarness):
    name = "sqlite-granted"


class TestMemory(ConformanceSuite):
    harness = MemoryGranting


class TestSqlite(ConformanceSuite):
    harness = SqliteGranting
