"""The kit through client and server: each call of an agent is a request over a Unix socket."""

from collections.abc import Iterator
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import pytest
from blockbuster import blockbuster_ctx

from datastore import Backend, DataStore
from datastore.conformance import ConformanceSuite, Harness
from datastore.conformance.suite import TOPICS, topic_name
from tests.conformance.test_couchdb import CouchHarness
from tests.conformance.test_dynamodb import MinistackHarness
from tests.conformance.test_firestore import EmulatorHarness
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_postgresql import PostgresHarness
from tests.conformance.test_redis import RedisHarness
from tests.conformance.test_sqlite import SqliteHarness
from tests.full import EXAMPLES_OF_A_VARIANT, FULL
from tests.remote.serving import LoopedServedStore, ServedStore

_NO_CALLS = "it calls the adapter itself, not an agent's store; the backend's own run has it"
_DECIDED_HERE = "what the client and the server do is decided on memory and SQLite; tox -e full runs it on servers"
_BELOW = ("raw_reads", "raw_touches", "raw_writes", "accesses", "abilities")
_opened: WeakKeyDictionary[Harness, list[ServedStore]] = WeakKeyDictionary()
"""Not in the harness itself, which is sent to other processes."""


class Served:
    examples: ClassVar = EXAMPLES_OF_A_VARIANT
    differs: ClassVar = {
        "test_the_clients_own_error_is_chained": "what a database's client says stays on the host: it may name paths",
        "test_an_embedder_that_fails_stores_nothing": "what the embedder has raised stays on the host as well",
    }
    left_out: ClassVar = {
        **dict.fromkeys(_BELOW, _NO_CALLS),
    }

    def open(self, **options: Any) -> DataStore:
        return self._served(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return self._served(super().over(backend, **options))

    def _served(self, store: DataStore) -> ServedStore:
        served = self._store(store)
        _opened.setdefault(self, []).append(served)
        return served

    def _store(self, store: DataStore) -> ServedStore:
        return ServedStore(store)

    def close(self) -> None:
        for served in _opened.pop(self, []):
            served.end()
        super().close()


class OnAServer(Served):
    """Here are the topics in which a slow or lost answer of the database matters."""

    left_out: ClassVar = (
        Served.left_out
        if FULL
        else {name: _DECIDED_HERE for name in map(topic_name, TOPICS) if name not in ("records", "outage", "lifecycle")}
    )


class MemoryServed(Served, MemoryHarness):
    name = "memory-served"


class SqliteServed(Served, SqliteHarness):
    name = "sqlite-served"


class SqliteServedLooped(SqliteServed):
    name = "sqlite-served-async"

    def _store(self, store: DataStore) -> ServedStore:
        return LoopedServedStore(store)


class CouchServed(OnAServer, CouchHarness):
    name = "couchdb-served"
    differs: ClassVar = {**CouchHarness.differs, **Served.differs}


class DynamoServed(OnAServer, MinistackHarness):
    name = "dynamodb-served"
    differs: ClassVar = {**MinistackHarness.differs, **Served.differs}


class FirestoreServed(OnAServer, EmulatorHarness):
    name = "firestore-served"
    differs: ClassVar = {**EmulatorHarness.differs, **Served.differs}


class PostgresServed(OnAServer, PostgresHarness):
    name = "postgresql-served"
    differs: ClassVar = {**PostgresHarness.differs, **Served.differs}


class RedisServed(OnAServer, RedisHarness):
    name = "redis-served"
    differs: ClassVar = {**RedisHarness.differs, **Served.differs}


class TestMemory(ConformanceSuite):
    harness = MemoryServed


class TestSqlite(ConformanceSuite):
    harness = SqliteServed


class TestSqliteAwaited(ConformanceSuite):
    harness = SqliteServedLooped

    @pytest.fixture(autouse=True)
    def _nothing_blocks_a_loop(self) -> Iterator[None]:
        """Neither the client's nor the server's."""
        with blockbuster_ctx():
            yield


@pytest.mark.server("couchdb")
class TestCouch(ConformanceSuite):
    harness = CouchServed


@pytest.mark.server("dynamodb")
class TestDynamo(ConformanceSuite):
    harness = DynamoServed


@pytest.mark.server("firestore")
class TestFirestore(ConformanceSuite):
    harness = FirestoreServed

    @pytest.fixture(autouse=True)
    def _no_other_emulator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)


@pytest.mark.server("postgresql")
class TestPostgres(ConformanceSuite):
    harness = PostgresServed


@pytest.mark.server("redis")
class TestRedis(ConformanceSuite):
    harness = RedisServed
