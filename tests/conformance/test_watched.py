"""The kit by agents whose calls the host is told of, synchronous and awaited: nothing changes for them."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from datastore import Backend, CallEvent, DataStore
from datastore.conformance import ConformanceSuite
from datastore.measuring import MEASURES
from tests.asynchronous.everywhere import Awaited
from tests.asynchronous.looped import LoopedStore
from tests.conformance.test_memory import MemoryHarness
from tests.conformance.test_sqlite import SqliteHarness
from tests.full import EXAMPLES_OF_A_VARIANT

_NO_CALLS = "it calls the adapter itself, not an agent's store; the backend's own run has it"
_BELOW = ("raw_reads", "raw_touches", "raw_writes", "accesses", "abilities")

_CALLS = set(MEASURES)
_CLASS = re.compile(r"[A-Za-z_]\w*")
_wrong: list[CallEvent] = []
_seen: set[str] = set()


def check(event: CallEvent) -> None:
    """Note an event of which something is not true that is true of each, whatever the kit calls."""
    fits = (
        event.call in _CALLS
        and event.duration >= 0
        and event.bytes >= 0
        and (event.found is None or event.found >= 0)
        and (event.error is None or bool(_CLASS.fullmatch(event.error)))
        and (event.error is None or (event.found, event.bytes) == (None, 0))
    )
    _seen.add(event.call)
    if not fits:
        _wrong.append(event)


class Watched:
    examples: ClassVar = EXAMPLES_OF_A_VARIANT
    left_out: ClassVar = dict.fromkeys(_BELOW, _NO_CALLS)

    def open(self, **options: Any) -> DataStore:
        return super().open(on_call=check, **options)

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return super().over(backend, on_call=check, **options)


class SqliteWatched(Watched, SqliteHarness):
    name = "sqlite-watched"


class MemoryWatched(Watched, MemoryHarness):
    name = "memory-watched-async"

    def open(self, **options: Any) -> DataStore:
        return LoopedStore(super().open(**options))

    def over(self, backend: Backend, **options: Any) -> DataStore:
        return LoopedStore(super().over(backend, **options))


class ToldOf(ConformanceSuite):
    @pytest.fixture(autouse=True)
    def _every_event_is_sound(self) -> Iterator[None]:
        yield
        found = list(_wrong)
        _wrong.clear()
        assert found == []


class TestSqlite(ToldOf):
    harness = SqliteWatched


class TestMemory(ToldOf, Awaited):
    harness = MemoryWatched


def test_the_kit_was_told_of():
    """The stores of these tests are watched ones."""
    with SqliteWatched(None).over(_memory()) as store:
        _seen.clear()
        store.agent("ann", "a").get("k")
        assert _seen == {"get"}


def _memory() -> Backend:
    from datastore.urls import Url
    from datastore_memory import connect

    return connect(Url("memory://"))
