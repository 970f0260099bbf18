"""Counting accesses: after the reads, exactly, and never in their way."""

import copy
import gc
import logging
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

import datastore
from datastore import BackendUnavailableError, DataStore
from datastore.backend import Fields
from datastore.ids import encode_id
from tests.core.faults import FaultyBackend
from tests.patience import PATIENCE

down = BackendUnavailableError("no route to host")
NEVER = 3_600.0


def flush_threads():
    return [thread for thread in threading.enumerate() if thread.name == "datastore-access" and thread.is_alive()]


def wait_until(true, seconds=PATIENCE):
    """Poll: what is waited for always comes, and how soon decides nothing."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@pytest.fixture
def backend():
    return FaultyBackend()


def test_many_reads_are_one_write(backend):
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"k{i}": i for i in range(50)})
        for _ in range(20):
            agent.get_all()
        backend.calls.clear()
        store.flush()
        assert backend.calls == ["record_access"]
        assert {record.access_count for record in agent.iter_records()} == {20}


def test_nothing_is_written_when_nothing_was_read(backend):
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.get("missing")
        agent.get_many(["missing"])
        agent.get_all()
        store.flush()
    assert "record_access" not in backend.calls


def test_counts_are_written_after_the_interval(backend):
    with DataStore(backend, flush_interval=0.01) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        wait_until(lambda: "record_access" in backend.calls)


def test_counts_are_written_when_many_records_wait(backend):
    with DataStore(backend, flush_interval=NEVER, max_pending=10) as store:
        agent = store.agent("u", "a")
        agent.set_many({str(i): i for i in range(10)})
        for i in range(9):
            agent.get(str(i))
        assert "record_access" not in backend.calls
        agent.get("9")
        wait_until(lambda: "record_access" in backend.calls)


class Billed(FaultyBackend):
    """A backend whose writes are billed: three reads of a record are worth a write of its count."""

    def __init__(self):
        super().__init__()
        self.capabilities = replace(self.capabilities, flush_interval=NEVER, max_pending=10, reads_worth_a_write=3)


@pytest.fixture
def billed():
    backend = Billed()
    with DataStore(backend) as store:
        yield backend, store, store.agent("u", "a")


def written(backend, key):
    """How often the database says that a record was read."""
    id = encode_id("u", "default", key)
    return backend.inner.read((id,), Fields.ALL)[id].access_count


def interval(store):
    """What the store's thread does when an interval has passed."""
    store._core.tracker.flush_due()


def test_where_writes_are_billed_a_record_that_was_read_seldom_waits_and_its_reads_are_one_write(billed):
    backend, store, agent = billed
    agent.set_many({"often": 1, "seldom": 1})
    for _ in range(3):
        agent.get("often")
    agent.get("seldom")
    interval(store)
    assert (written(backend, "often"), written(backend, "seldom")) == (3, 0)
    assert agent.get_record("seldom").access_count == 1, "this process knows it"
    assert [record.access_count for record in agent.iter_records()] == [3, 1]
    agent.get_many(["seldom", "often"])
    interval(store)
    assert (written(backend, "often"), written(backend, "seldom")) == (3, 0)
    agent.get("seldom")
    backend.calls.clear()
    interval(store)
    assert (written(backend, "often"), written(backend, "seldom")) == (3, 3)
    assert backend.calls.count("record_access") == 1


def test_what_waits_is_written_after_ten_intervals(billed):
    backend, store, agent = billed
    agent.set("k", 1)
    agent.get("k")
    for _ in range(9):
        interval(store)
        assert written(backend, "k") == 0
    interval(store)
    assert written(backend, "k") == 1
    agent.get("k")
    interval(store)
    assert written(backend, "k") == 1, "the next one waits again"


def test_what_waited_is_due_again_if_it_could_not_be_written(billed):
    backend, store, agent = billed
    agent.set("k", 1)
    agent.get("k")
    for _ in range(9):
        interval(store)

    def fail_after_another_access(method, accesses):
        agent.get("k")
        raise down

    backend.fail("record_access", fail_after_another_access)
    with pytest.raises(BackendUnavailableError):
        interval(store)
    assert agent.get_record("k").access_count == 2
    interval(store)
    assert written(backend, "k") == 2


def test_everything_that_waits_is_written_if_it_is_too_much(billed):
    backend, store, agent = billed
    keys = [str(i) for i in range(12)]
    agent.set_many(dict.fromkeys(keys, 1))
    agent.get_many(keys[:2])
    interval(store)
    assert "record_access" not in backend.calls
    agent.get_many(keys[2:])
    wait_until(lambda: "record_access" in backend.calls)
    store.flush()
    assert [written(backend, key) for key in keys] == [1] * 12


def test_a_flush_writes_what_would_wait(billed):
    backend, store, agent = billed
    agent.set("k", 1)
    agent.get("k")
    store.flush()
    assert written(backend, "k") == 1


def test_closing_writes_what_would_wait():
    backend = Billed()
    with DataStore(backend) as store:
        store.agent("u", "a").set("k", 1)
        store.agent("u", "a").get("k")
        interval(store)
        assert "record_access" not in backend.calls
    assert backend.calls[-2:] == ["record_access", "close"]


@pytest.mark.parametrize("options", [{"flush_interval": NEVER}, {"tracking": "immediate"}])
def test_nothing_waits_longer_than_the_host_wants(options):
    backend = Billed()
    with DataStore(backend, **options) as store:
        store.agent("u", "a").set("k", 1)
        store.agent("u", "a").get("k")
        interval(store)
        assert written(backend, "k") == 1


def test_an_interval_and_a_number_that_the_host_chooses_come_before_those_of_the_adapter():
    with DataStore(Billed()) as store:
        assert (store._core.tracker._interval, store._core.tracker._max_pending) == (NEVER, 10)
    with DataStore(Billed(), flush_interval=7, max_pending=8) as store:
        assert (store._core.tracker._interval, store._core.tracker._max_pending) == (7, 8)


@pytest.mark.parametrize(("max_pending", "kept"), [(1, 100), (1_000, 100_000), (10_000, 100_000), (200_000, 200_000)])
def test_what_is_kept_while_the_database_is_down_is_bounded(backend, max_pending, kept):
    with DataStore(backend, max_pending=max_pending) as store:
        assert store._core.tracker._most_kept == kept


def test_immediate_tracking_writes_every_access_at_once(backend):
    with DataStore(backend, tracking="immediate") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        for _ in range(3):
            agent.get("k")
        assert backend.calls.count("record_access") == 3
        assert flush_threads() == []


def test_tracking_can_be_off(backend):
    with DataStore(backend, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        agent.get_many(["k"])
        store.flush()
        assert agent.get_record("k").access_count == 0
    assert "record_access" not in backend.calls


@pytest.mark.parametrize("tracking", ["deferred", "immediate"])
def test_a_read_succeeds_while_counting_fails_and_the_counts_are_kept(backend, tracking, caplog):
    with DataStore(backend, flush_interval=NEVER, tracking=tracking) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        backend.fail("record_access", down, down)
        assert agent.get("k") == 1
        assert agent.get("k") == 1
        if tracking == "deferred":
            for _ in range(2):
                with pytest.raises(BackendUnavailableError, match="counting accesses on memory: no route"):
                    store.flush()
        assert agent.get_record("k").access_count == 2
        store.flush()
        assert agent.get_record("k").access_count == 2


def test_counts_that_can_never_be_written_are_dropped_with_a_warning(backend, caplog):
    with DataStore(backend, flush_interval=NEVER, max_pending=1) as store:
        agent = store.agent("u", "a")
        agent.set_many({str(i): i for i in range(150)})
        backend.fail("record_access", *[down] * 1_000)
        agent.get_all()
        with pytest.raises(BackendUnavailableError):
            store.flush()
        assert "dropped the access counts of 50 records" in caplog.text


def test_closing_while_the_database_is_down_says_what_was_lost(backend, caplog):
    store = DataStore(backend, flush_interval=NEVER)
    agent = store.agent("u", "a")
    agent.set("k", 1)
    agent.get("k")
    backend.fail("record_access", down)
    store.close()
    assert "access counts of 1 records were lost at close" in caplog.text
    assert backend.calls[-1] == "close"


def test_a_backend_that_breaks_its_contract_does_not_end_the_counting(backend, caplog):
    with DataStore(backend, flush_interval=0.01) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        backend.fail("record_access", ZeroDivisionError())
        agent.get("k")
        wait_until(lambda: "broke its contract" in caplog.text)
        wait_until(lambda: backend.calls.count("record_access") > 1)
        assert agent.get_record("k").access_count == 1
    assert caplog.records[0].levelno == logging.ERROR


def test_a_record_read_during_a_flush_is_counted_once(backend):
    """The flush has reached the database and is not yet over, while a record is looked at."""
    reached, go_on = threading.Event(), threading.Event()

    def slow(method, accesses):
        method(accesses)
        reached.set()
        assert go_on.wait(PATIENCE)

    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        backend.fail("record_access", slow)
        flushing = threading.Thread(target=store.flush)
        flushing.start()
        assert reached.wait(PATIENCE)
        agent.get("k")
        assert agent.get_record("k").access_count == 2, "and nobody waited for the flush to end"
        go_on.set()
        flushing.join(PATIENCE)
        assert agent.get_record("k").access_count == 2


def test_a_record_read_before_a_running_flush_has_reached_it_is_counted_in_full(backend):
    reached, go_on = threading.Event(), threading.Event()

    def slow(method, accesses):
        reached.set()
        assert go_on.wait(PATIENCE)
        method(accesses)

    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        backend.fail("record_access", slow)
        flushing = threading.Thread(target=store.flush)
        flushing.start()
        assert reached.wait(PATIENCE)
        assert agent.get_record("k").access_count == 1
        go_on.set()
        flushing.join(PATIENCE)
        assert agent.get_record("k").access_count == 1


def test_a_flush_that_fails_adds_its_counts_to_those_of_meanwhile(backend):
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")

        def fail_after_another_access(method, accesses):
            agent.get("k")
            assert agent.get_record("k").access_count == 2
            raise down

        backend.fail("record_access", fail_after_another_access)
        with pytest.raises(BackendUnavailableError):
            store.flush()
        assert agent.get_record("k").access_count == 2
        store.flush()
        assert agent.get_record("k").access_count == 2


def test_a_flush_that_is_interrupted_when_it_has_written_counts_nothing_twice(backend):
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        write = backend.record_access

        def interrupted(accesses):
            write(accesses)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "record_access", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.flush()
        agent.get("k")
        store.flush()
        assert agent.get_record("k").access_count == 2


def test_a_flush_that_fails_adds_nothing_to_the_successor_of_its_record(backend):
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        for _ in range(3):
            agent.get("k")

        def fail_after_the_record_was_made_again(method, accesses):
            agent.delete("k")
            agent.set("k", 2)
            agent.get("k")
            assert agent.get_record("k").access_count == 1
            raise down

        backend.fail("record_access", fail_after_the_record_was_made_again)
        with pytest.raises(BackendUnavailableError):
            store.flush()
        store.flush()
        assert agent.get_record("k").access_count == 1


def test_a_record_is_read_again_if_a_flush_went_on_meanwhile(backend):
    """What was read does not hold the count yet, and nothing is pending any more."""
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")

        def flush_after(method, *arguments):
            documents = method(*arguments)
            store.flush()
            return documents

        backend.fail("read", flush_after)
        backend.calls.clear()
        assert agent.get_record("k").access_count == 1
        assert backend.calls == ["read", "record_access", "read"]
        backend.calls.clear()
        assert agent.get_record("k").access_count == 1
        assert backend.calls == ["read"], "once is enough if nothing happens"


def test_flushes_that_never_cease_keep_nobody_from_reading_a_record(backend):
    """After three looks the last one counts, with what has been noted since."""
    with DataStore(backend, flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)

        def flush_after(method, *arguments):
            documents = method(*arguments)
            store.flush()
            return documents

        def flush_and_get_after(method, *arguments):
            documents = flush_after(method, *arguments)
            agent.get("k")
            return documents

        backend.fail(
            "read", flush_after, flush_after, flush_and_get_after, lambda method, *arguments: method(*arguments)
        )
        backend.calls.clear()
        assert agent.get_record("k").access_count == 1
        assert backend.calls == ["read"] * 4, "three looks, and the get"


def test_accesses_of_a_record_that_is_gone_are_not_counted_on_its_successor():
    with datastore.connect("memory://", flush_interval=NEVER) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")
        agent.delete("k")
        agent.set("k", 2)
        assert agent.get_record("k").access_count == 0
        agent.get("k")
        assert agent.get_record("k").access_count == 1
        store.flush()
        assert agent.get_record("k").access_count == 1


def test_there_is_one_thread_it_starts_on_first_need_and_close_ends_it(backend):
    assert flush_threads() == []
    store = DataStore(backend, flush_interval=0.01)
    agent = store.agent("u", "a")
    agent.set("k", 1)
    assert flush_threads() == []
    agent.get("k")
    agent.use_namespace("other").get("k")
    agent.get("k")
    assert len(flush_threads()) == 1
    store.close()
    assert flush_threads() == []


def test_a_store_that_nobody_closed_writes_its_counts_when_it_is_collected(backend):
    agent = DataStore(backend, flush_interval=NEVER).agent("u", "a")
    agent.set("k", 1)
    agent.get("k")  # works: the agent keeps its store open
    del agent
    gc.collect()
    assert backend.calls[-2:] == ["record_access", "close"]
    assert flush_threads() == []


def test_a_program_that_closes_no_store_ends_and_its_counts_are_written(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    program = f"""
import datastore
store = datastore.connect({url!r}, flush_interval={NEVER})
store.agent("u", "a").set("k", 1)
store.agent("u", "a").get("k")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
    with datastore.connect(url) as store:
        assert store.agent("u", "a").get_record("k").access_count == 1


def test_an_agents_store_can_be_copied_but_not_sent_to_another_process(backend):
    with DataStore(backend) as store:
        agent = store.agent("u", "a")
        assert copy.copy(agent) is agent
        assert copy.deepcopy({"data_store": agent})["data_store"] is agent
        with pytest.raises(TypeError, match="connect in the other process, and bind an agent's store there"):
            pickle.dumps(agent)
