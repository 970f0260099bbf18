"""The kit through the awaited twin: each call is made on an event loop, which nothing may block."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from blockbuster import blockbuster_ctx

from datastore import Backend, DataStore
from datastore.conformance import ConformanceSuite
from tests.asynchronous.looped import LoopedStore
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_sqlite import SqliteHarness

_NO_CALLS = "it calls the adapter itself, not an agent's store; the backend's own run has it"
_BELOW = ("raw_reads", "raw_touches", "raw_writes", "accesses", "abilities")


class Looped:
    left_out: ClassVar = dict.fromkeys(_BELOW, _NO_CALLS)

    def open(self, **options: Any) -> DataStore:
        return LoopedStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return LoopedStore(super().over(backend, **options))


class MemoryLooped(Looped, MemoryHarness):
    name = "memory-async"


class SqliteLooped(Looped, SqliteHarness):
    name = "sqlite-async"


class OnALoop(ConformanceSuite):
    @pytest.fixture(autouse=True)
    def _nothing_blocks_the_loop(self) -> Iterator[None]:
        with blockbuster_ctx():
            yield


class TestMemory(OnALoop):
    harness = MemoryLooped


class TestSqlite(OnALoop):
    harness = SqliteLooped
