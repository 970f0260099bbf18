"""A process that forks while its threads work: nobody hangs, nothing acknowledged is lost, the file stays sound."""

import contextlib
import gc
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import datastore
from datastore import BackendUnusableError, forks
from datastore.core import Core
from tests.full import times
from tests.patience import PATIENCE
from tests.sqlite.processes import in_a_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # Python 3.12 warns of what is tested here
]

FORKS = times(15, 200)

WORK = {
    "get": lambda agent, i: agent.get(f"k{i % 100}"),
    "set": lambda agent, i: agent.set(f"own{i % 20}", i),
    "metadata": lambda agent, i: agent.set(f"own{i % 20}", i, {"i": i}),
    "batch": lambda agent, i: agent.set_many({f"batch{j}": "x" * 1_000 for j in range(100)}),
    "find": lambda agent, i: agent.find({"n": {"$gt": 90}}),
    "scan": lambda agent, i: list(agent.iter_records()),
    "all": lambda agent, i: list(WORK.values())[i % 6](agent, i),
}


@contextlib.contextmanager
def busy(agent, work, threads=4):
    """Keep threads at work meanwhile."""
    over = threading.Event()

    def run():
        i = 0
        while not over.is_set():
            i += 1
            WORK[work](agent, i)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join()


def test_no_connection_is_open_when_the_process_forks(tmp_path):
    """Neither one that is idle, nor one that an interrupt left: a child that inherits it could break its locks."""
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        pool = store.backend._opened.connections
        left, idle = pool.take(sys._getframe()), pool.take(sys._getframe())
        pool.give_back(idle)
        assert {left, idle} <= set(pool._open_ones())
        store.backend.before_fork()
        assert list(pool._open_ones()) == []
        for connection in (left, idle):
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                connection.execute("SELECT 1")
        assert agent.get("k") == 1


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    "url", ["sqlite:///{path}", "sqlite:///{path}?isolation=database", "sqlite://:memory:", "memory://"]
)
def test_children_of_a_busy_process_work_and_lose_nothing(tmp_path, url, work, monkeypatch):
    monkeypatch.setattr(forks, "SECONDS", PATIENCE)  # on a busy machine a call may take longer than the usual ones
    chance = random.Random(f"{url}{work}")
    with datastore.connect(url.format(path=tmp_path / "a.db"), flush_interval=0.002) as store:
        agent = store.agent("u", "parent")
        agent.set_many({f"k{i}": {"n": i} for i in range(100)})
        with busy(agent, work):
            for number in range(FORKS):
                time.sleep(chance.random() * 0.004)

                def child(number=number):
                    signal.alarm(int(PATIENCE))  # whoever hangs is ended, and fails the test
                    mine = store.agent("u", f"child {number}")
                    for i in range(5):
                        mine.set(f"child{number}-{i}", i)
                    assert [mine.get(f"child{number}-{i}") for i in range(5)] == [0, 1, 2, 3, 4]
                    assert mine.get("k7") == {"n": 7}
                    store.close()

                in_a_child(child)
        if store.capabilities.shared:
            for number in range(FORKS):
                assert [agent.get(f"child{number}-{i}") for i in range(5)] == [0, 1, 2, 3, 4]
    for file in tmp_path.glob("*.db"):
        with contextlib.closing(sqlite3.connect(file)) as plain:
            assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_a_child_has_stored_is_there_when_its_parent_has_closed_the_store(tmp_path):
    """As with Gunicorn's ``--preload``: connected before the fork, closed here, used there."""
    store = datastore.connect(f"sqlite:///{tmp_path}/a.db")
    agent = store.agent("u", "parent")
    agent.set("boot", 1)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))
        try:
            for i in range(100):
                agent.set(f"before{i}", i)
            os.read(told, 1)
            for i in range(100):
                agent.set(f"after{i}", i)
            os._exit(0)
        finally:
            os._exit(1)
    store.close()
    os.write(tell, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        assert len(store.agent("u", "reader").list_keys()) == 201


def test_nothing_is_open_at_the_moment_of_a_fork(tmp_path):
    descriptors = Path("/proc/self/fd")
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")

        def child():
            open_files = [str(link.readlink()) for link in descriptors.iterdir() if link.is_symlink()]
            assert not [name for name in open_files if name.startswith(str(tmp_path))]

        if descriptors.is_dir():
            in_a_child(child)
        assert agent.get("k") == 1


def test_a_child_of_a_call_that_takes_too_long_refuses_to_work_and_says_why(tmp_path, monkeypatch):
    """The parent goes on."""
    monkeypatch.setattr(forks, "SECONDS", 0.05)
    entered, leave = threading.Event(), threading.Event()
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)

        def stay(core: Core = store._core) -> None:
            core.call("staying", lambda: (entered.set(), leave.wait(PATIENCE)))

        inside = threading.Thread(target=stay)
        inside.start()
        entered.wait()

        def child():
            for call in (lambda: agent.get("k"), lambda: agent.set("k", 2), lambda: list(agent.iter_records())):
                with pytest.raises(BackendUnusableError, match="forked while a call to the database went on"):
                    call()
            store.close()
            with datastore.connect(f"sqlite:///{tmp_path}/a.db") as fresh:
                assert fresh.agent("u", "a").get("k") == 1

        in_a_child(child)
        leave.set()
        inside.join()
        assert agent.get("k") == 1


def test_a_fork_in_the_middle_of_a_call_of_its_own_thread_is_not_waited_for(tmp_path, monkeypatch):
    """A signal handler that forks."""
    monkeypatch.setattr(forks, "_participants", {})  # no other store of this process is waited for either
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)

        def child():
            with pytest.raises(BackendUnusableError):
                agent.get("k")

        waits = []
        monkeypatch.setattr(forks, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
        store._core.call("forking", lambda: in_a_child(child))
        assert waits == []
        assert agent.get("k") == 1


def test_accesses_are_counted_once_by_whoever_read(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.get("k")

        def child():
            agent.get("k")
            store.close()

        in_a_child(child)
        store.flush()
        assert agent.get_record("k").access_count == 2


def test_a_fork_that_fails_leaves_the_store_working(tmp_path, monkeypatch):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        forks._before()
        forks._after_in_parent()
        assert agent.get("k") == 1
        agent.set("k", 2)


def test_an_interrupt_at_any_line_of_what_follows_a_fork_leaves_parent_and_child_working(tmp_path, monkeypatch):
    """Python goes on after what a hook of a fork raises, with the rest of the hook undone."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    steps = forks._resume, forks._start_over, forks._Fork.end, Core.resume, Core.after_fork
    inside = {step.__code__ for step in steps}
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        for number in range(1, 200):
            left = [number]

            def interrupt(frame, event, _, left=left):
                if frame.f_code not in inside:
                    return None
                left[0] -= event == "line"
                if event == "line" and left[0] == 0:
                    raise KeyboardInterrupt
                return interrupt

            sys.settrace(interrupt)
            child = os.fork()
            sys.settrace(None)
            if child == 0:
                works = gc.isenabled() and not forks._current and agent.increment("k") > 1
                os._exit(1 if not works else 2 if left[0] > 0 else 0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in (0, 2), number
            assert gc.isenabled()
            assert not forks._current
            assert agent.get("k") == number + 1
            if left[0] > 0 and status == 2:  # neither of them was interrupted
                break
        assert number > 15


def test_parent_and_child_give_out_different_revisions(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)

        def child():
            store.agent("u", "a").set_many({f"child{i}": 1 for i in range(300)})
            store.close()

        in_a_child(child)
        agent.set_many({f"parent{i}": 1 for i in range(300)})
        assert len({record.revision for record in agent.iter_records()}) == 601
