"""Whether the database answers: told within a time, and never raised."""

import asyncio
import threading

import pytest

import datastore
from datastore import BackendUnavailableError, ConfigurationError, DataStore, deadlines
from datastore.asynchronous.store import AsyncDataStore
from datastore.conformance.faults import Wrapped
from datastore_memory.backend import MemoryBackend


class Failing(Wrapped):
    """Fails a number of times, and then answers."""

    def __init__(self, backend, error, times):
        super().__init__(backend)
        self.error, self.left, self.asked = error, times, 0

    def read(self, ids, fields):
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return self.inner.read(ids, fields)


class Hanging(Wrapped):
    """Does not answer, and gives up when the call has no time left, as adapters do."""

    def read(self, ids, fields):
        threading.Event().wait(deadlines.left())
        deadlines.check()
        raise AssertionError


def test_a_store_that_works_is_well():
    with datastore.connect("memory://") as store:
        health = store.health()
    assert isinstance(health, datastore.Health)
    assert (health.ok, health.backend, health.error) == (True, "memory", None)
    assert health.latency > 0


@pytest.mark.parametrize("options", [{}, {"isolation": "database"}, {"mode": "ro"}], ids=str)
def test_it_needs_nothing_to_be_stored_and_stores_nothing(tmp_path, options):
    url = f"sqlite:///{tmp_path}/a.db"
    datastore.connect(url).close()
    before = sorted(tmp_path.iterdir())
    with datastore.connect(url, **options) as store:
        assert store.health().ok
        assert list(store.users()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {path.name for path in before} | {"a.db-wal", "a.db-shm"}


def test_an_outage_is_told_at_once_however_long_calls_wait():
    away = Failing(MemoryBackend(), BackendUnavailableError("the connection was refused"), 2)
    with DataStore(away, retry_seconds=1e6, max_seconds=1e6) as store:
        health = store.health(max_seconds=1e6)
        assert health == (
            False,
            "memory",
            None,
            "looking whether the database answers on memory: the connection was refused",
        )
        assert away.asked == 2
        assert store.health().ok


def test_a_connection_that_the_server_has_closed_is_no_outage():
    with DataStore(Failing(MemoryBackend(), BackendUnavailableError("reset by peer"), 1)) as store:
        assert store.health().ok


def test_what_will_not_pass_is_not_tried_again():
    refusing = Failing(MemoryBackend(), datastore.PermissionDeniedError("no"), 1)
    with DataStore(refusing) as store:
        assert not store.health().ok
    assert refusing.asked == 1


def test_a_fault_of_an_adapter_is_told_without_what_it_says():
    with DataStore(Failing(MemoryBackend(), KeyError("a stored value"), 1)) as store:
        health = store.health()
    assert not health.ok
    assert "KeyError" in health.error
    assert "a stored value" not in health.error


def test_a_database_that_hangs_is_told_within_the_time():
    with DataStore(Hanging(MemoryBackend())) as store:
        health = store.health(max_seconds=0.01)
    assert (health.ok, health.latency) == (False, None)
    assert "0.01 s" in health.error


def test_a_closed_store_is_not_well():
    store = datastore.connect("memory://")
    store.close()
    health = store.health()
    assert not health.ok
    assert "the store was closed" in health.error


@pytest.mark.parametrize("seconds", [0, -1, "1", None, float("nan"), 1e10])
def test_a_time_that_is_none_is_refused(seconds):
    with datastore.connect("memory://") as store:
        with pytest.raises(ConfigurationError, match="max_seconds is"):
            store.health(max_seconds=seconds)
        with pytest.raises(ConfigurationError, match="max_seconds is"):
            asyncio.run(_awaited(store, seconds))


async def _awaited(store, seconds):
    return await store.asynchronous.health(max_seconds=seconds)


def test_the_awaited_twin_tells_the_same():
    with datastore.connect("memory://") as store:
        assert asyncio.run(_awaited(store, 10)).ok
    assert not asyncio.run(_awaited(store, 10)).ok


def test_the_awaited_twin_answers_while_every_worker_waits_for_the_database():
    released = threading.Event()

    class Stuck(Wrapped):
        def read(self, ids, fields):
            released.wait()
            return self.inner.read(ids, fields)

    async def run():
        store = AsyncDataStore(DataStore(Stuck(MemoryBackend())), workers=1)
        reading = asyncio.create_task(store.agent("ann", "a").get("k"))
        await asyncio.sleep(0)
        health = await store.health(max_seconds=0.01)
        released.set()
        assert await reading is None
        await store.aclose()
        return health

    assert asyncio.run(run()) == (False, "memory", None, "memory has not answered within 0.01 s")
