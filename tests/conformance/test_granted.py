"""The kit by agents that are granted everything, and by agents that also have a quota: nothing changes for them."""

from typing import Any, ClassVar

from datastore import Backend, DataStore, Quota
from datastore.conformance import ConformanceSuite
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_sqlite import SqliteHarness

_NO_CALLS = "it calls the adapter itself, not an agent's store; the backend's own run has it"
_BELOW = ("raw_reads", "raw_touches", "raw_writes", "accesses", "abilities")


class GrantingStore(DataStore):
    """Gives grants to each agent that has none, and perhaps a quota that it never reaches."""

    quota: Quota | None = None

    def __init__(self, store: DataStore) -> None:
        self.__dict__.update(vars(store))

    def _bound(self, user_id, agent, namespace, grants=None, quota=None):
        if agent is not None:
            grants = {"*": "write"} if grants is None else grants
            quota = self.quota if quota is None else quota
        return super()._bound(user_id, agent, namespace, grants, quota)


class LimitingStore(GrantingStore):
    quota = Quota(records=10**9, bytes=10**15)


class SqliteGranting(SqliteHarness):
    name = "sqlite-granted"
    left_out: ClassVar = dict.fromkeys(_BELOW, _NO_CALLS)

    def open(self, **options: Any) -> DataStore:
        return GrantingStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return GrantingStore(super().over(backend, **options))


class MemoryLimiting(MemoryHarness):
    name = "memory-limited"
    left_out: ClassVar = dict.fromkeys(_BELOW, _NO_CALLS)
    differs: ClassVar = {
        "test_a_batch_that_breaks_off_names_what_is_not_done": "it counts the requests, and a quota makes one more",
        "test_a_write_under_a_quota_makes_one_request_more": "it is about an agent without a quota, too",
        "test_no_quota_is_no_account": "every agent has a quota here",
    }

    def open(self, **options: Any) -> DataStore:
        return LimitingStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return LimitingStore(super().over(backend, **options))


class TestSqlite(ConformanceSuite):
    harness = SqliteGranting


class TestMemory(ConformanceSuite):
    harness = MemoryLimiting
