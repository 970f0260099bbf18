"""``max_seconds``: however an agent asks, each call ends in time, with an error that says that it is no outage."""

import dataclasses
import sqlite3
import sys
import threading
import time

import pytest

import datastore
from datastore import BackendUnavailableError, DeadlineExceededError, deadlines
from datastore.deadlines import check, left, within
from datastore.moving import copy, export_records

URLS = ["sqlite:///{path}", "sqlite://:memory:", "memory://"]


@pytest.fixture(params=URLS)
def store(request, tmp_path):
    with datastore.connect(request.param.format(path=tmp_path / "a.db"), max_seconds=300) as store:
        yield store


def fill(store, records, value):
    """Fill a namespace, in calls that each have their time."""
    agent = store.agent("u", "a")
    for start in range(0, records, 1_000):
        agent.set_many({f"{i:07}": value for i in range(start, min(start + 1_000, records))})
    return agent


SLOW = {
    "find": lambda agent: agent.find({"n": 1}),
    "sorted find": lambda agent: agent.find(sort=[("n", -1)], limit=1),
    "count": lambda agent: agent.count({"text": {"$regex": "x$"}}),
    "page": lambda agent: agent.find_records({"n": 1}),
    "delete_where": lambda agent: agent.delete_where({"n": 1}),
    "get_all": lambda agent: agent.get_all(),
    "list_keys": lambda agent: agent.list_keys(),
    "scan": lambda agent: agent.scan(),
}


@pytest.fixture
def slow_pages(monkeypatch):
    """Let each page that a backend reads take 200 s; returns a function to begin with, and one for how many it read."""
    passed, real, pages = 0.0, time.monotonic, 0

    def slowly(read):
        def page(*arguments, **options):
            nonlocal passed, pages
            passed += 200
            pages += 1
            return read(*arguments, **options)

        return page

    def begin(backend):
        monkeypatch.setattr(deadlines.time, "monotonic", lambda: real() + passed)
        for name in ("scan", "find"):
            monkeypatch.setattr(backend, name, slowly(getattr(backend, name)))

    return begin, lambda: pages


@pytest.mark.parametrize("call", SLOW)
def test_a_call_that_reads_many_pages_ends_in_time(store, call, slow_pages, monkeypatch):
    agent = fill(store, 300, {"n": 1, "text": "x" * 100})
    store.backend.capabilities = dataclasses.replace(store.backend.capabilities, scan_page=100)
    begin, pages = slow_pages
    begin(store.backend)
    with pytest.raises(DeadlineExceededError, match=r"longer than max_seconds, which is 300 s") as caught:
        SLOW[call](agent)
    assert not caught.value.retryable
    assert pages() == 2
    monkeypatch.undo()
    assert agent.get("0000001")["n"] == 1


OF_RUNS = {
    "list": lambda runs: runs.list(),
    "list of a status": lambda runs: runs.list("running"),
    "due": lambda runs: runs.due(),
    "history": lambda runs: runs.history("long"),
}


@pytest.mark.parametrize("call", OF_RUNS.values(), ids=OF_RUNS.keys())
def test_a_call_about_many_runs_ends_in_time(call, slow_pages):
    with datastore.connect("memory://", max_seconds=300, clock=lambda: now[0]) as store:
        now = [time.time()]
        runs = store.agent("u", "a").runs
        for number in range(60):
            runs.start(f"run {number}").release()
        with runs.start("long") as run:
            for _ in range(60):
                run.step("step", int)
            run.wait_for("answer")
        now[0] += 60
        store.backend.capabilities = dataclasses.replace(store.backend.capabilities, scan_page=20)
        begin, pages = slow_pages
        begin(store.backend)
        with pytest.raises(DeadlineExceededError):
            call(runs)
        assert pages() == 2


def test_listing_namespaces_one_by_one_ends_in_time(slow_pages):
    with datastore.connect("memory://", max_seconds=300) as store:
        for namespace in "abcd":
            store.agent("u", "a", namespace).set("k", 1)
        begin, pages = slow_pages
        begin(store.backend)
        with pytest.raises(DeadlineExceededError):
            store.agent("u", "a").list_namespaces()
        assert pages() == 2


def test_sqlite_gives_up_a_statement_that_takes_too_long(tmp_path):
    """The statement itself is ended, not only what would come after it."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", max_seconds=300) as store:
        with store.backend._opened.connections.lent(sys._getframe()) as connection, within(60):
            connection.execute(ENDLESS.format(1_000)).fetchone()
        began = time.monotonic()
        with pytest.raises(DeadlineExceededError), within(0.2):
            store.backend._opened.fetch(ENDLESS.format(10**12), ())
        assert time.monotonic() - began < 30
        agent = store.agent("u", "a")
        agent.set("k", 1)
        assert agent.get("k") == 1


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"


def test_a_write_waits_for_another_process_no_longer_than_the_call_may_take(tmp_path):
    path = tmp_path / "a.db"
    with datastore.connect(f"sqlite:///{path}?timeout=60", max_seconds=300) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        store._core.max_seconds = 0.3
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for call in (lambda: agent.set("k", 2), lambda: agent.set_many({"a": 1, "b": 2}), agent.clear):
            began = time.monotonic()
            with pytest.raises((BackendUnavailableError, DeadlineExceededError)):
                call()
            assert time.monotonic() - began < 30
        other.execute("COMMIT")
        other.close()
        store._core.max_seconds = 300
        agent.set("k", 3)
        with store.backend._opened.connections.lent(sys._getframe()) as connection:
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (60_000,), "not the shorter one of before"


def test_a_lock_that_was_waited_for_is_not_waited_for_again(tmp_path):
    """``timeout`` is how long a call waits, whatever ``retry_seconds`` says; ``timeout=0`` does not wait at all."""
    path = tmp_path / "a.db"
    with datastore.connect(f"sqlite:///{path}?timeout=0", retry_seconds=3_600, max_seconds=3_600) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailableError, match="locked"):
            agent.set("k", 2)
        other.execute("COMMIT")
        other.close()


def test_retries_stay_within_the_time_of_the_call(store, monkeypatch):
    passed, real, attempts = 0.0, time.monotonic, 0
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: real() + passed)

    def fail():
        nonlocal passed, attempts
        passed += 200
        attempts += 1
        raise BackendUnavailableError("down")

    core = store._core
    core._retry_seconds = 3_600
    with pytest.raises(BackendUnavailableError, match="down"), within(300):
        core.call("trying", fail)
    assert attempts == 2


def test_a_stream_has_its_time_for_each_page(store, monkeypatch):
    passed, real = 0.0, time.monotonic
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: real() + passed)
    agent = fill(store, 2_500, 1)
    seen = 0
    for _ in agent.iter_records():
        seen += 1
        if seen in (1, 1_500):
            passed += 400  # longer than any call may take: but it is the consumer's time
    assert seen == 2_500


def test_an_earlier_deadline_holds_within_a_later_one():
    with within(60):
        with within(3_600):
            assert left() <= 60
        with within(0.001):
            time.sleep(0.002)
            with pytest.raises(DeadlineExceededError):
                check()
        check()
    assert left() == float("inf")


def test_a_deadline_is_of_one_thread():
    found = []
    with within(5):
        thread = threading.Thread(target=lambda: found.append(left()))
        thread.start()
        thread.join()
    assert found == [float("inf")]


def test_the_deadline_of_a_call_that_was_interrupted_is_forgotten():
    def interrupted():
        within(0.001)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    time.sleep(0.002)
    with within(60):
        check()
        assert left() > 1


def test_a_copy_and_an_export_have_their_time_for_each_page(tmp_path, monkeypatch):
    """Longer in all than any call may take; but a page that takes too long is an error."""
    passed, real = 0.0, time.monotonic
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: real() + passed)
    with (
        datastore.connect(f"sqlite:///{tmp_path}/a.db", max_seconds=500) as source,
        datastore.connect(f"sqlite:///{tmp_path}/b.db", max_seconds=500) as target,
    ):
        fill(source, 1_200, 1)
        backend = source.backend
        scan, steps = backend.scan, [400.0]

        def slowly(*arguments, **options):
            nonlocal passed
            passed += steps[0]
            deadlines.check()
            return scan(*arguments, **options)

        monkeypatch.setattr(backend, "scan", slowly)
        assert copy(source, target).written == 1_200
        assert export_records(source, tmp_path / "out.jsonl").written == 1_200
        steps[0] = 600.0
        with pytest.raises(DeadlineExceededError):
            export_records(source, tmp_path / "other.jsonl")
