"""A locked file, a full disk, a killed or a forked process: the typed error or the right answer, never half of one."""

import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

import datastore
from datastore import BackendUnavailableError
from datastore.values import encode
from tests.sqlite.processes import in_a_child


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


def connect(path, **options):
    return datastore.connect(f"sqlite:///{path}", **options)


@pytest.fixture
def locked(path):
    """Another process's transaction, open until the test ends it."""
    with connect(path) as store:
        store.agent("u", "a").set("k", "before")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_writes_to_a_locked_file_fail_after_the_timeout_and_write_nothing(path, locked):
    with connect(path, timeout=0.05, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        calls = [
            lambda: agent.set("k", 1),
            lambda: agent.add("new", 1),
            lambda: agent.set_many({"k": 1, "new": 1}),
            lambda: agent.delete("k"),
            lambda: agent.increment("n"),
            agent.clear,
            store.purge_expired,
        ]
        for call in calls:
            with pytest.raises(BackendUnavailableError, match=r"held .*a.db locked for 0.05 s; nothing was written"):
                call()
        assert agent.get_all() == {"k": "before"}, "readers do not wait for a writer"
        locked.execute("ROLLBACK")
        store.flush()
        assert agent.get_record("k").access_count == 1


def test_a_write_waits_for_a_lock_that_is_released_in_time(path, locked):
    with connect(path, timeout=30) as store:
        agent = store.agent("u", "a")
        writing = threading.Thread(target=agent.set, args=("k", "after"))
        writing.start()
        locked.execute("COMMIT")
        writing.join(30)
        assert agent.get("k") == "after"


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_space(path):
    with connect(path) as store:
        agent = store.agent("u", "a")
        agent.set("k", "before")
        connection = store._core.backend._connections.writer()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 5}")
        calls = [
            lambda: agent.set("k", "x" * 900_000),
            lambda: agent.set_many({f"k{i}": "x" * 10_000 for i in range(100)}),
        ]
        for call in calls:
            with pytest.raises(
                BackendUnavailableError, match=r"is full; nothing was written. Free some space"
            ) as caught:
                call()
            assert caught.value.retryable is False
        assert agent.get_all() == {"k": "before"}
        connection.execute("PRAGMA max_page_count=1000000")
        agent.set("k", "x" * 900_000)
        assert agent.count() == 1


def test_a_file_that_may_not_grow_is_an_error_too(path):
    """The operating system's limit for the size of a file, in a process of its own."""
    program = textwrap.dedent(
        f"""
        import resource, signal, datastore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with datastore.connect("sqlite:///{path}", retry_seconds=0) as store:
            agent = store.agent("u", "a")
            agent.set("k", "before")
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            try:
                agent.set("k", "x" * 900_000)
            except datastore.BackendUnavailableError as error:
                print(type(error).__name__)
            print(agent.get("k"))
        """
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["BackendUnavailableError", "before"], run.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 400_000


WRITER = """
import sys, datastore
with datastore.connect("sqlite:///" + sys.argv[1]) as store:
    agent = store.agent("u", "writer")
    for i in range(1_000_000):
        value = {"i": i, "filling": str(i) * (i % 7) * 2_000, "end": i}
        if i % 3:
            agent.set(f"k{i}", value)
        else:
            agent.set_many({f"k{i}": value, f"k{i}-twin": value})
        print(i, flush=True)
"""


def test_a_killed_writer_leaves_every_acknowledged_write_and_no_half_one(path):
    """The benchmark `kill.py` does this 50 times, at random moments."""
    acknowledged = 0
    for writes in (1, 40, 90):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            lines = [writer.stdout.readline() for _ in range(writes)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        acknowledged = max([acknowledged, *(int(line) for line in lines if line.endswith("\n"))])
        with connect(path) as store:
            found = store.agent("u", "reader").get_all()
        for i in range(acknowledged + 1):
            assert found[f"k{i}"] == {"i": i, "filling": str(i) * (i % 7) * 2_000, "end": i}
            assert (f"k{i}-twin" in found) == (i % 3 == 0)
        plain = sqlite3.connect(path)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        plain.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
@pytest.mark.parametrize("url", ["sqlite:///{path}", "memory://", "sqlite://:memory:"])
def test_a_store_works_on_in_a_forked_child_and_in_its_parent(path, url):
    with datastore.connect(url.format(path=path), flush_interval=3_600) as store:
        agent = store.agent("u", "parent")
        agent.set("k", "before")
        agent.get("k")

        def work():
            mine = store.agent("u", "child")
            assert mine.get("k") == "before"
            mine.set("child", encode(1))
            store.close()

        in_a_child(work)
        agent.set("parent", 1)
        store.flush()
        shared = store.capabilities.shared
        assert agent.list_keys() == (["child", "k", "parent"] if shared else ["k", "parent"])
        assert agent.get_record("k").access_count == (2 if shared else 1), "no access is counted twice"
