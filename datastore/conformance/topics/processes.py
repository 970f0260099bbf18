"""Several processes on one database, for backends that declare ``shared``."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from multiprocessing.synchronize import Barrier

import pytest

from datastore import DataStore, Item
from datastore.conformance.harness import Harness
from datastore.conformance.topic import Opener, Topic, not_applicable

_VECTORS = [[1.0, 2.0], [2.0, 1.0]]
_PATIENCE = 120
"""After this many seconds, a process that does not even start fails the test."""
_PROCESSES = pytest.StashKey[Executor]()
_start: Barrier
"""In a process that works for a test: where it waits for the other one."""


def _wait_with(barrier: Barrier) -> None:
    global _start
    _start = barrier


def _work(work: Callable[[Harness, int], None], harness: Harness, times: int, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)  # what the test's harness has set
    _start.wait(_PATIENCE)
    work(harness, times)


def _increment(harness: Harness, times: int) -> None:
    with harness.open() as store:
        data_store = store.agent("user_1", "agent_1")
        for _ in range(times):
            data_store.increment("key")


def _fill(harness: Harness, times: int) -> None:
    with harness.open() as store:
        data_store = store.agent("user_1", "agent_1")
        for number in range(times):
            data_store.set_many({f"key {number % 7}": number, "hot": number})
            data_store.get("hot")


def _append(harness: Harness, times: int) -> None:
    with harness.open() as store:
        log = store.agent("user_1", f"agent {os.getpid()}").log("events")
        for number in range(times):
            log.append(*[number] * (1 + number % 2))


def _remember(harness: Harness, times: int) -> None:
    with harness.open() as store:
        memory = store.agent("user_1", f"agent {os.getpid()}").memory
        for number in range(times):
            keys = memory.add_many([Item(f"{os.getpid()} {number} {one}", one) for one in range(2)], vectors=_VECTORS)
            memory.edit(keys[0], number, vector=[0.5, number + 1.0])
            memory.delete(keys[1])


def both(processes: Executor, work: Callable[[Harness, int], None], harness: Harness, times: int) -> None:
    """Do something in two processes at once, and raise what they raise. Each process connects by itself."""
    running = [processes.submit(_work, work, harness, times, dict(os.environ)) for _ in range(2)]
    wait(running)
    for one in running:
        one.result()


class Processes(Topic):
    """What holds between processes. Where it makes no difference, several stores on one database stand for them."""

    @pytest.fixture
    def two_processes(self, request: pytest.FixtureRequest) -> Executor:
        """Return two processes that inherit nothing. To start takes them long: they are for all tests of the class."""
        of_all: pytest.Class = request.node.getparent(pytest.Class)
        if _PROCESSES not in of_all.stash:
            context = multiprocessing.get_context("spawn")
            processes = ProcessPoolExecutor(2, context, _wait_with, (context.Barrier(2),))
            of_all.addfinalizer(processes.shutdown)
            of_all.stash[_PROCESSES] = processes
        return of_all.stash[_PROCESSES]

    @pytest.fixture
    def shared_store(self, open_store: Opener) -> DataStore:
        """Return an open store whose database others can open too."""
        store = open_store()
        if not store.capabilities.shared:
            not_applicable("shared is not declared")
        return store

    def test_no_increment_of_two_processes_is_lost(
        self, shared_store: DataStore, harness: Harness, two_processes: Executor
    ) -> None:
        """Two processes add a hundred times each."""
        both(two_processes, _increment, harness, 100)
        assert shared_store.agent("user_1", "agent_1").get("key") == 200

    def test_no_write_of_two_processes_fails(
        self, shared_store: DataStore, harness: Harness, two_processes: Executor
    ) -> None:
        """They write batches of the same keys, and read between them, which counts accesses."""
        both(two_processes, _fill, harness, 30)
        data_store = shared_store.agent("user_1", "agent_1")
        assert data_store.count() == 8
        record = data_store.get_record("hot")
        assert record is not None
        assert record.access_count == 60

    def test_no_entry_of_a_log_of_two_processes_is_lost(
        self, shared_store: DataStore, harness: Harness, two_processes: Executor
    ) -> None:
        """Both append to it: each number is given once, and the entries of each are in its order."""
        both(two_processes, _append, harness, 40)
        entries = shared_store.agent("user_1", "agent_1").log("events").read()
        assert [entry.number for entry in entries] == list(range(1, 121))
        expected = [number for number in range(40) for _ in range(1 + number % 2)]
        for agent in {entry.agent for entry in entries}:
            assert [entry.value for entry in entries if entry.agent == agent] == expected

    def test_what_two_processes_remember_is_found(
        self, shared_store: DataStore, harness: Harness, two_processes: Executor
    ) -> None:
        """Both add, edit and remove: a search that knew the namespace before finds what is there, as it is now."""
        memory = shared_store.agent("user_1", "agent_1").memory
        memory.add("first", key="first", vector=[1.0, 0.0])
        assert [one.key for one in memory.search([1.0, 0.0])] == ["first"]
        both(two_processes, _remember, harness, 15)
        found = memory.search([1.0, 0.0], 100)
        assert len(found) == 31
        for one in found[1:]:
            assert math.isclose(one.score, 0.5 / math.hypot(0.5, one.record.value + 1.0))
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)

    def test_what_one_store_writes_another_reads(self, shared_store: DataStore, open_store: Opener) -> None:
        """It reads it at once: no store keeps its own copy."""
        mine, theirs = (store.agent("user_1", "agent_1") for store in (shared_store, open_store()))
        for number in range(5):
            mine.set("key", number)
            assert theirs.get("key") == number
            theirs.set("key", -number)
            assert mine.get("key") == -number
            assert mine.list_keys() == theirs.list_keys() == ["key"]
        assert theirs.delete("key") is True
        assert mine.delete("key") is False
        assert mine.get_all() == {}

    def test_a_revision_holds_for_every_store(self, shared_store: DataStore, open_store: Opener) -> None:
        """If another store has changed the record, the write is a conflict."""
        mine, theirs = (store.agent("user_1", "agent_1") for store in (shared_store, open_store()))
        mine.set("key", 1)
        theirs.set("key", 2, {"by": "them"})
        mine.set("key", 3, {"by me": True})
        record = theirs.get_record("key")
        assert record is not None
        assert (record.value, record.metadata) == (3, {"by": "them", "by me": True})
        theirs.delete("key")
        mine.set("key", 4)
        assert theirs.get("key") == 4
        assert theirs.increment("key") == 5
        assert mine.increment("key") == 6

    def test_counts_of_several_stores_add_up(self, shared_store: DataStore, open_store: Opener) -> None:
        """Each one adds its own, and does not overwrite the others'."""
        stores = [shared_store, open_store(), open_store()]
        shared_store.agent("user_1", "agent_1").set("key", 1)
        for store in stores:
            store.agent("user_1", "agent_1").get("key")
        for store in stores:
            store.flush()
        record = shared_store.agent("user_1", "agent_1").get_record("key")
        assert record is not None
        assert record.access_count == 3

    def test_a_store_is_closed_alone(self, shared_store: DataStore, open_store: Opener) -> None:
        """Another store on the same database keeps working."""
        other = open_store()
        shared_store.agent("user_1", "agent_1").set("key", 1)
        shared_store.close()
        assert other.agent("user_1", "agent_1").increment("key") == 2
