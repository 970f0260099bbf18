"""A locked file, a full disk, a killed process: the typed error or the right answer, never half of one."""

import gc
import math
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    DamagedRecordError,
    InternalError,
    PermissionDeniedError,
    ValueTooLargeError,
)
from datastore_sqlite.client import Connection, Settings
from datastore_sqlite.failures import translate
from tests.patience import PATIENCE
from tests.sqlite.files import connect


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
        writing.join(PATIENCE)
        assert agent.get("k") == "after"


def test_a_full_disk_is_an_error_and_the_store_goes_on_when_there_is_space(path):
    with connect(path) as store:
        agent = store.agent("u", "a")
        agent.set("k", "before")
        (pages,) = the_connection(store).execute("PRAGMA page_count").fetchone()
        calls = [
            lambda: agent.set("k", "x" * 900_000),
            lambda: agent.set_many({f"k{i}": "x" * 10_000 for i in range(100)}),
        ]
        for call in calls:
            the_connection(store).execute(f"PRAGMA max_page_count={pages + 5}")  # of this connection: another follows
            with pytest.raises(BackendUnusableError, match=r"is full; nothing was written. Free some space"):
                call()
        assert agent.get_all() == {"k": "before"}
        agent.set("k", "x" * 900_000)
        assert agent.count() == 1


def test_who_comes_to_a_database_in_memory_when_it_has_just_been_closed_is_told_so():
    """For between the look whether the store is open and the turn to use it somebody else may close it."""
    with datastore.connect("sqlite://:memory:") as store:
        pool = store.backend._opened.connections
        pool.close()
        for _ in range(2):  # the first one keeps nobody waiting
            with pytest.raises(ClosedError):
                pool.take(sys._getframe())


def test_a_database_in_memory_that_is_full_is_the_same_error():
    with datastore.connect("sqlite://:memory:") as store:
        agent = store.agent("u", "a")
        agent.set("k", "before")
        (pages,) = the_connection(store).execute("PRAGMA page_count").fetchone()
        the_connection(store).execute(f"PRAGMA max_page_count={pages + 5}")
        with pytest.raises(BackendUnusableError, match="is full; nothing was written"):
            agent.set("k", "x" * 900_000)


def test_a_write_that_fails_in_a_file_that_is_gone_says_that_it_is_gone(path):
    """There is no point in freeing space for it."""
    with connect(path, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", "before")
        (pages,) = the_connection(store).execute("PRAGMA page_count").fetchone()
        the_connection(store).execute(f"PRAGMA max_page_count={pages + 5}")
        path.rename(path.with_name("moved.db"))
        store.backend._opened.look_at = math.inf  # so that it is the write that fails first
        with pytest.raises(BackendUnusableError, match="was deleted, moved or replaced while the store was open"):
            agent.set("k", "x" * 900_000)


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
            except datastore.BackendUnusableError as error:
                print(type(error).__name__)
            print(agent.get("k"))
        """
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert run.stdout.split() == ["BackendUnusableError", "before"], run.stderr
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


def failing(code, message="what SQLite says, with a secret in it", kind=sqlite3.OperationalError):
    error = kind(message)
    error.sqlite_errorcode = getattr(sqlite3, code)
    error.sqlite_errorname = code
    return error


LOCKED = ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_RECOVERY", "SQLITE_LOCKED", "SQLITE_LOCKED_SHAREDCACHE"]
PASSING = [
    "SQLITE_ABORT_ROLLBACK", "SQLITE_NOMEM", "SQLITE_PROTOCOL", "SQLITE_SCHEMA", "SQLITE_INTERRUPT", "SQLITE_CANTOPEN",
    "SQLITE_IOERR_BLOCKED", "SQLITE_IOERR_CHECKRESERVEDLOCK", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_NOMEM",
    "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_SHMLOCK", "SQLITE_IOERR_UNLOCK",
]  # fmt: skip
DAMAGE = ["SQLITE_CORRUPT", "SQLITE_CORRUPT_VTAB", "SQLITE_NOTADB", "SQLITE_FORMAT"]
DISK = [
    "SQLITE_IOERR", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC",
    "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP", "SQLITE_IOERR_CORRUPTFS",
]  # fmt: skip
REPLACED = ["SQLITE_READONLY_DBMOVED", "SQLITE_IOERR_VNODE"]
DENIED = ["SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY", "SQLITE_READONLY_DIRECTORY", "SQLITE_READONLY_CANTLOCK"]
OURS = [
    "SQLITE_ERROR", "SQLITE_INTERNAL", "SQLITE_MISMATCH", "SQLITE_MISUSE", "SQLITE_RANGE", "SQLITE_CONSTRAINT_NOTNULL",
]  # fmt: skip
CAUSES = [
    *((code, BackendUnavailableError, "locked") for code in LOCKED),
    *((code, BackendUnavailableError, "for now|interrupted") for code in PASSING),
    *((code, BackendUnusableError, "is damaged") for code in DAMAGE),
    *((code, BackendUnusableError, "failed to read or write") for code in DISK),
    *((code, BackendUnusableError, "moved, removed or replaced") for code in REPLACED),
    *((code, PermissionDeniedError, "cannot be written") for code in DENIED),
    *((code, InternalError, "Please report it") for code in OURS),
    ("SQLITE_FULL", BackendUnusableError, "is full"),
    ("SQLITE_NOLFS", BackendUnusableError, "file system"),
    ("SQLITE_TOOBIG", ValueTooLargeError, "not accept a value of this size"),
]


def the_connection(store):
    """Return the connection that the next call will use, too."""
    pool = store.backend._opened.connections
    connection = pool.take(sys._getframe())
    pool.give_back(connection)
    return connection


@pytest.mark.parametrize(("code", "kind", "words"), CAUSES, ids=[code for code, _, _ in CAUSES])
def test_every_code_of_sqlite_is_an_error_by_its_cause(path, code, kind, words):
    """Transient ones are repeated, all others are not; what SQLite says, which may quote a value, is chained alone."""
    with connect(path) as store:
        backend = store.backend
        error = translate(failing(code), backend._opened.settings)
        assert type(error) is kind
        assert error.retryable == (kind is BackendUnavailableError)
        assert "secret" not in str(error)
        with pytest.raises(kind, match=words):
            raise error


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("no such table: agent_data_store", BackendUnusableError),
        ("no such column: revision", BackendUnusableError),
        ("table agent_data_store has no column named revision", BackendUnusableError),
        ("malformed JSON", DamagedRecordError),
        ('near "SELEKT": syntax error', InternalError),
    ],
)
def test_where_one_code_has_several_causes_the_message_decides(message, kind, path):
    assert type(translate(failing("SQLITE_ERROR", message), Settings(path))) is kind


def test_a_mistake_in_the_use_of_sqlite_is_a_fault_of_ours(path):
    with connect(path) as store:
        for kind in (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError):
            assert type(translate(kind("parameters are wrong"), store.backend._opened.settings)) is InternalError
        closed = sqlite3.ProgrammingError("Cannot operate on a closed database.")
        assert type(translate(closed, store.backend._opened.settings)) is ClosedError


def test_a_file_that_cannot_be_opened_is_looked_at(tmp_path):
    """SQLite says only that it cannot: what is gone stays gone, and too many open files pass."""
    path = tmp_path / "a.db"
    path.touch()
    assert type(translate(failing("SQLITE_CANTOPEN"), Settings(path))) is BackendUnavailableError
    path.unlink()
    with pytest.raises(BackendUnusableError, match="no longer exists"):
        raise translate(failing("SQLITE_CANTOPEN"), Settings(path))


class Attempts:
    """Counts the statements that a call sends to SQLite."""

    def __init__(self, monkeypatch):
        self.number = 0
        execute = Connection.execute

        def counted(connection, *arguments):
            self.number += 1
            return execute(connection, *arguments)

        monkeypatch.setattr(Connection, "execute", counted, raising=False)


CALLS = {
    "get": lambda agent: agent.get("k"),
    "set": lambda agent: agent.set("k", 1),
    "add": lambda agent: agent.add("new", 1),
    "delete": lambda agent: agent.delete("k"),
    "list_keys": lambda agent: agent.list_keys(),
    "find": lambda agent: agent.find({"a": 1}),
    "count": lambda agent: agent.count(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_table_that_another_program_removed_is_said_at_once(path, call, monkeypatch):
    with connect(path, retry_seconds=3_600, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        other = sqlite3.connect(path)
        other.execute("DROP TABLE agent_data_store")
        other.close()
        attempts = Attempts(monkeypatch)
        monkeypatch.setattr("datastore_sqlite.opened.LOOK_SECONDS", 3_600.0)  # one look, however long the call takes
        with pytest.raises(BackendUnusableError, match="does not have the tables of this version"):
            call(agent)
        assert attempts.number <= 3, "what lasts is not tried again"


def test_a_damaged_file_is_said_at_once(path):
    with connect(path) as store:
        store.agent("u", "a").set_many({f"k{i}": "x" * 1_000 for i in range(200)})
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    with connect(path, retry_seconds=3_600) as store, pytest.raises(BackendUnusableError, match="is damaged"):
        store.agent("u", "a").get_all()


def test_looking_for_abandoned_connections_keeps_nothing_of_other_threads(path):
    """A statement that is not at its end keeps what its connection writes from being committed."""

    class Held:
        pass

    freed, inside, go_on = threading.Event(), threading.Event(), threading.Event()

    def another_thread():
        held = Held()
        weakref.finalize(held, freed.set)
        inside.set()
        go_on.wait()

    gc.disable()
    try:
        with connect(path) as store:
            store.agent("u", "a").set("k", 1)
            thread = threading.Thread(target=another_thread)
            thread.start()
            inside.wait()
        go_on.set()
        thread.join()
        assert freed.is_set()
    finally:
        gc.enable()
