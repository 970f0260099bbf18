"""The kit through the awaited twin: each call is made on an event loop, which nothing may block."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from blockbuster import blockbuster_ctx

from datastore import Backend, DataStore
from datastore.conformance import ConformanceSuite
from datastore.conformance.suite import TOPICS, topic_name
from tests.asynchronous.everywhere import Awaited
from tests.asynchronous.looped import LoopedStore
from tests.conformance.test_couchdb import CouchHarness
from tests.conformance.test_dynamodb import MinistackHarness
from tests.conformance.test_firestore import EmulatorHarness
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_postgresql import PostgresHarness
from tests.conformance.test_redis import RedisHarness
from tests.conformance.test_sqlite import SqliteHarness
from tests.full import EXAMPLES_OF_A_VARIANT, FULL

_NO_CALLS = "it calls the adapter itself, not an agent's store; the backend's own run has it"
_DECIDED_HERE = "what the twin does is decided on memory and SQLite; tox -e full runs it on servers"
_BELOW = ("raw_reads", "raw_touches", "raw_writes", "accesses", "abilities")


class Looped:
    examples: ClassVar = EXAMPLES_OF_A_VARIANT
    left_out: ClassVar = dict.fromkeys(_BELOW, _NO_CALLS)

    def open(self, **options: Any) -> DataStore:
        return LoopedStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return LoopedStore(super().over(backend, **options))


class OnAServer(Looped):
    """What the twin does is decided on memory and SQLite. Here are topics in which a slow or lost answer matters."""

    left_out: ClassVar = (
        Looped.left_out
        if FULL
        else {name: _DECIDED_HERE for name in map(topic_name, TOPICS) if name not in ("records", "outage", "lifecycle")}
    )


class MemoryLooped(Looped, MemoryHarness):
    name = "memory-async"


class SqliteLooped(Looped, SqliteHarness):
    name = "sqlite-async"


class CouchLooped(OnAServer, CouchHarness):
    name = "couchdb-async"


class DynamoLooped(OnAServer, MinistackHarness):
    name = "dynamodb-async"


class FirestoreLooped(OnAServer, EmulatorHarness):
    name = "firestore-async"


class PostgresLooped(OnAServer, PostgresHarness):
    name = "postgresql-async"


class RedisLooped(OnAServer, RedisHarness):
    name = "redis-async"


class OnALoop(ConformanceSuite, Awaited):
    @pytest.fixture(autouse=True)
    def _nothing_blocks_the_loop(self) -> Iterator[None]:
        with blockbuster_ctx():
            yield


class TestMemory(OnALoop):
    harness = MemoryLooped


class TestSqlite(OnALoop):
    harness = SqliteLooped


@pytest.mark.server("couchdb")
class TestCouch(OnALoop):
    harness = CouchLooped


@pytest.mark.server("dynamodb")
class TestDynamo(OnALoop):
    harness = DynamoLooped


@pytest.mark.server("firestore")
class TestFirestore(OnALoop):
    harness = FirestoreLooped

    @pytest.fixture(autouse=True)
    def _no_other_emulator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)


@pytest.mark.server("postgresql")
class TestPostgres(OnALoop):
    harness = PostgresLooped


@pytest.mark.server("redis")
class TestRedis(OnALoop):
    harness = RedisLooped
