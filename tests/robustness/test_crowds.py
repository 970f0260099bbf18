"""Many threads at once: descriptors are bounded, writers take turns, and no batch holds the others up."""

import sys
import threading
import time
from pathlib import Path

import pytest

import datastore
from datastore import BackendUnavailableError
from datastore_sqlite.pools import _MOST_PASSES, _Waiting
from tests.full import times
from tests.patience import PATIENCE
from tests.robustness.test_interrupts import Interrupt, interrupted_at
from tests.robustness.test_turns import Sleeper

DESCRIPTORS = Path("/proc/self/fd")


def in_threads(number, work):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="this system does not list a process's descriptors")
def test_three_hundred_threads_share_a_few_connections(tmp_path):
    before = len(list(DESCRIPTORS.iterdir()))
    all_there, right = threading.Barrier(300), []
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"k{i}": {"n": i, "text": "x" * 1_000} for i in range(300)})

        def work(i):
            all_there.wait()
            right.extend(agent.get(f"k{i}")["n"] == i and len(agent.scan(limit=10).records) == 10 for _ in range(5))

        crowd = threading.Thread(target=in_threads, args=(300, work))
        crowd.start()
        most = 0
        while crowd.is_alive():
            most = max(most, len(list(DESCRIPTORS.iterdir())) - before)
        crowd.join()
        assert right == [True] * 1_500
        # 32 connections, each with a file and its log; one index of the log; and this listing.
        assert most <= 2 * 32 + 1 + 1
        assert len(store.backend._opened.connections._open_ones()) <= 32


def test_the_url_says_how_many_connections_there_may_be(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db?pool=1", timeout=0.2) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        pool = store.backend._opened.connections
        with pool.lent(sys._getframe()), pytest.raises(BackendUnavailableError, match=r"\?pool="):
            agent.get("k")
        assert agent.get("k") == 1


def test_a_call_may_go_before_one_that_is_asleep_but_not_for_ever(tmp_path):
    """With one connection, and one call that waits for it and does not wake up."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db?pool=1", timeout=0.1, retry_seconds=0) as store:
        agent, pool = store.host("u"), store.backend._opened.connections
        agent.set("k", 1)
        waiting = _Waiting(sys._getframe())
        pool._waiting.append(waiting)
        calls = 0

        def call_often():
            nonlocal calls
            for _ in range(1_000):
                agent.get("k")
                calls += 1

        with pytest.raises(BackendUnavailableError, match=r"\?pool="):
            call_often()
        assert 1 < calls <= _MOST_PASSES + 1  # the last of these gave it to the one that waits
        assert waiting.is_served
        pool.give_back(waiting.connection)
        assert agent.get("k") == 1
        assert len(pool._open_ones()) == 1


def test_who_waits_for_a_connection_is_woken_when_one_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr("datastore_sqlite.pools._LOOK", 3_600.0)  # nobody looks for himself
    with datastore.connect(f"sqlite:///{tmp_path}/a.db?pool=1", timeout=60) as store:
        agent, pool, found = store.host("u"), store.backend._opened.connections, []
        agent.set("k", 1)
        for _ in range(20):
            with pool.lent(sys._getframe()):
                threads = [threading.Thread(target=lambda: found.append(agent.get("k")), daemon=True) for _ in range(3)]
                for number, thread in enumerate(threads):
                    thread.start()
                    while len(pool._waiting) <= number:
                        time.sleep(0.001)
            for thread in threads:
                thread.join(PATIENCE)
            assert not pool._waiting
        assert found == [1] * 60


def test_an_interrupt_at_any_bytecode_of_a_call_that_waits_for_a_connection_loses_none(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db?pool=1", timeout=30, retry_seconds=0) as store:
        agent, pool = store.host("u"), store.backend._opened.connections
        agent.set("k", 1)
        executed, number = 1, 0
        while executed > number:
            number += times(3, 1)
            held, over = threading.Event(), threading.Event()

            def hold(held=held, over=over):
                with pool.lent(sys._getframe()):
                    held.set()
                    while not pool._waiting and not over.is_set():
                        time.sleep(0.0005)

            other = threading.Thread(target=hold, daemon=True)
            other.start()
            assert held.wait(PATIENCE)
            try:
                executed = interrupted_at(number, lambda: agent.get("k"))
            except Interrupt:
                executed = number + 1
            over.set()
            other.join(PATIENCE)
            found = []
            after = threading.Thread(target=lambda found=found: found.append(agent.get("k")), daemon=True)
            after.start()
            after.join(PATIENCE)
            assert found == [1], "another thread is shut out"
            assert agent.get("k") == 1
            assert len(pool._open_ones()) == 1
        assert number > 100, "the call must have waited"


def test_a_connection_that_nobody_needs_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("datastore_sqlite.pools._IDLE_SECONDS", 0.0)
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        pool = store.backend._opened.connections
        lent = [pool.take(sys._getframe()) for _ in range(8)]
        for connection in lent:
            pool.give_back(connection)
        for _ in range(16):
            with pool.lent(sys._getframe()):
                agent.get("k")
        assert len(pool._open_ones()) < 8


def test_a_writer_need_not_wait_for_all_of_anothers_batch(tmp_path):
    """In a file whose batch goes through in parts, the other's write is there before the second part."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        one, other = store.agent("one", "a"), store.agent("other", "a")
        batch = threading.Thread(target=one.set_many, args=({f"k{i:02}": "x" * 900_000 for i in range(12)},))
        first_part, go_on = threading.Event(), threading.Event()
        write = store.backend._writer._write

        def stopping_after_a_part(work, **options):
            result = write(work, **options)
            if threading.current_thread() is batch:
                first_part.set()
                assert go_on.wait(PATIENCE)
            return result

        store.backend._writer._write = stopping_after_a_part
        batch.start()
        try:
            assert first_part.wait(PATIENCE)
            other.set("k", 1)
            written = one.count()
        finally:
            go_on.set()
            batch.join()
        assert 0 < written < 12
        assert one.count() == 12


def test_a_write_of_one_record_may_go_before_a_writer_that_is_asleep_and_a_batch_may_not(tmp_path):
    """So counting, and the next part of a large batch, hold up nobody who waits already."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", timeout=0.1, flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        sleeper = Sleeper(store.backend._writer._turns)
        agent.set("k", 2)
        assert agent.increment("counter") == 1
        agent.delete("k")
        for batch in (lambda: agent.set_many({"a": 1, "b": 2}), lambda: agent.clear(prefix="c"), store.flush):
            with pytest.raises(BackendUnavailableError, match="nothing was written"):
                batch()
        assert sleeper.wake()
        agent.set_many({"a": 1, "b": 2})
        assert agent.list_keys() == ["a", "b", "counter"]


def test_a_batch_that_fails_in_its_second_part_says_which_records_are_stored(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", retry_seconds=0) as store:
        agent = store.agent("u", "a")
        pool = store.backend._opened.connections
        connection = pool.take(sys._getframe())
        pool.give_back(connection)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1_500}")  # room for the first 4 MB and no more
        with pytest.raises(datastore.BatchError) as caught:
            agent.set_many({f"k{i:02}": "x" * 900_000 for i in range(12)})
        stored = agent.list_keys()
        assert caught.value.succeeded == stored
        assert 0 < len(stored) < 12
