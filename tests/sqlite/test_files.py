"""The file: made once, brought up to date, shared, and refused untouched where it is not ours or not whole."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import sqlite3
import sys
from types import SimpleNamespace

import pytest

import datastore
import datastore_sqlite
from datastore import BackendUnusableError, ConfigurationError, DataStoreError, PermissionDeniedError
from datastore.administration import Diagnostic
from datastore.urls import Url
from datastore_sqlite import schema
from datastore_sqlite.client import Settings
from datastore_sqlite.schema import APPLICATION_ID, MIGRATIONS, TABLE, open_file
from tests.sqlite.processes import in_a_child


def connect(path, **options):
    return datastore.connect(f"sqlite:///{path}", **options)


def filled(path, records=200):
    with connect(path) as store:
        store.agent("u", "a").set_many({f"k{i}": "x" * 500 for i in range(records)})
    return path


def digest(path):
    return {child.name: hashlib.sha256(child.read_bytes()).hexdigest() for child in path.parent.iterdir()}


def test_a_relative_and_an_absolute_path_name_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with datastore.connect("sqlite:///agents.db") as store:
        store.agent("u", "a").set("k", 1)
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
        assert store.agent("u", "a").get("k") == 1


def test_a_path_may_hold_what_a_url_must_escape(tmp_path):
    with connect(f"{tmp_path}/a%20b%3Fc%25.db") as store:
        store.agent("u", "a").set("k", 1)
    assert (tmp_path / "a b?c%.db").exists()


def test_a_slash_too_many_does_no_harm(tmp_path):
    with datastore.connect(f"sqlite:////{tmp_path}/a.db") as store:
        store.agent("u", "a").set("k", 1)
    assert (tmp_path / "a.db").exists()


def test_memory_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with datastore.connect("sqlite://:memory:") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        assert agent.get("k") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_beside_the_file_after_close(tmp_path):
    filled(tmp_path / "a.db")
    assert [child.name for child in tmp_path.iterdir()] == ["a.db"]


def test_rows_are_readable_with_plain_sqlite(tmp_path):
    with connect(tmp_path / "a.db") as store:
        agent = store.agent("alice", "planner", "trips:2026")
        agent.set("rome", {"title": "Rôma", "days": 3}, {"source": "mail"}, ttl=60)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as plain:
        plain.row_factory = sqlite3.Row
        row = dict(plain.execute(f"SELECT *, value ->> 'days' AS days FROM {TABLE}").fetchone())
    assert row["_id"] == "alice:trips%3A2026:cm9tZQ=="
    assert (row["userId"], row["namespace"], row["key"]) == ("alice", "trips:2026", "rome")
    assert row["value"] == '{"title":"Rôma","days":3}'
    assert json.loads(row["metadata"]) == {"source": "mail"}
    assert (row["createdByAgent"], row["accessCount"], row["lastAccessedByAgent"]) == ("planner", 0, None)
    assert row["createdAt"] == row["updatedAt"] < row["expiresAt"]
    assert row["days"] == 3


@pytest.mark.parametrize(("synchronous", "level"), [("normal", 1), ("full", 2)])
def test_every_connection_is_as_durable_as_the_url_says(tmp_path, synchronous, level):
    with connect(f"{tmp_path}/a.db?synchronous={synchronous}") as store:
        pool = store.backend._connections
        first, second = pool.take(sys._getframe()), pool.take(sys._getframe())
        assert first is not second
        for connection in (first, second):
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        pool.give_back(first)
        pool.give_back(second)


@pytest.mark.parametrize("mmap", [True, False])
def test_a_memory_map_is_used_where_the_url_asks_for_one(tmp_path, mmap):
    with connect(f"{tmp_path}/a.db" + "?mmap=true" * mmap) as store:
        connections = store.backend._connections
        reading = connections.take(sys._getframe())
        assert (reading.execute("PRAGMA mmap_size").fetchone()[0] > 0) is mmap
        connections.give_back(reading)


# ------------------------------------------------------------------------------------------------- refused untouched


def plain_database(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("CREATE TABLE agent_data_store (x)")


def cut_off(path):
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def newer(path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA user_version=99")


def damaged_schema(path):
    filled(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2_000)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("notes, and no database"), "is not a SQLite database"),
        (lambda path: path.write_bytes(b"SQLite format 3\0 and then nothing"), "is not a SQLite database"),
        (lambda path: path.write_bytes(bytes(8_192)), "is not a SQLite database"),
        (plain_database, "of something else than agent-datastore"),
        (cut_off, "was cut off at"),
        (newer, "written by a newer agent-datastore .its schema is 99, this one knows 1."),
        (damaged_schema, "is damaged"),
    ],
    ids=["text", "header only", "zeros", "foreign", "cut off", "newer", "damaged"],
)
def test_what_is_not_ours_or_not_whole_is_refused_and_left_untouched(tmp_path, make, words):
    make(tmp_path / "a.db")
    before = digest(tmp_path / "a.db")
    with pytest.raises(DataStoreError, match=words) as caught:
        connect(tmp_path / "a.db", retry_seconds=0)
    assert isinstance(caught.value, ConfigurationError | BackendUnusableError)
    assert digest(tmp_path / "a.db") == before


def test_damage_found_later_is_an_error_and_not_a_missing_record(tmp_path):
    path = filled(tmp_path / "a.db", 2_000)
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))
    with connect(path) as store:
        agent = store.agent("u", "a")
        for call in (lambda: agent.get("k1"), lambda: agent.set("k1", 1), agent.list_keys, agent.count):
            with pytest.raises(BackendUnusableError, match=r"is damaged .*restore it from a backup"):
                call()


def test_an_empty_file_is_a_new_store(tmp_path):
    (tmp_path / "a.db").touch()
    filled(tmp_path / "a.db")


def test_a_directory_is_no_store(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory; name a file in it"):
        connect(tmp_path)


def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(ConfigurationError, match="missing does not exist; create it first"):
        connect(tmp_path / "missing" / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_create_false_makes_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist, and create=false forbids making it"):
        connect(f"{tmp_path}/a.db?create=false")
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path / "a.db")
    with connect(f"{tmp_path}/a.db?create=false") as store:
        assert store.agent("u", "a").count() == 200


def as_nobody(work):
    """Run something in a child process that has no privileges: permissions do not bind root.

    The child can perhaps not even read the packages that are installed, so it must find loaded what it needs.
    """

    def without_privileges():
        if os.getuid() == 0:
            os.setuid(65_534)
        work()

    in_a_child(without_privileges)


def open_directly(path):
    return datastore_sqlite.connect(Url(f"sqlite:///{path}"))


@pytest.fixture
def reachable(tmp_path):
    """A directory that a user without privileges can reach."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory.as_posix() != "/":
            directory.chmod(directory.stat().st_mode | 0o755)
    return tmp_path


def test_a_file_without_permission_is_refused(reachable):
    path = filled(reachable / "a.db")
    reachable.chmod(0o777)
    path.chmod(0o000)

    def work():
        with pytest.raises(PermissionDeniedError, match="not readable and writable for this user"):
            open_directly(path)

    as_nobody(work)


def test_a_read_only_directory_is_refused(reachable):
    path = filled(reachable / "a.db")
    path.chmod(0o666)
    reachable.chmod(0o555)

    def work():
        with pytest.raises(PermissionDeniedError, match="is not writable for this user, and SQLite keeps"):
            open_directly(path)
        with pytest.raises(PermissionDeniedError, match="is not writable for this user"):
            open_directly(reachable / "new.db")

    as_nobody(work)
    reachable.chmod(0o755)
    assert [child.name for child in reachable.iterdir()] == ["a.db"]


# -------------------------------------------------------------------------------------------- schema and migrations


def test_the_file_says_whose_it_is_and_which_schema_it_has(tmp_path):
    header = filled(tmp_path / "a.db").read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == len(MIGRATIONS) == 1


def test_a_file_of_an_older_schema_is_brought_up_to_date_and_keeps_its_records(tmp_path):
    path = filled(tmp_path / "a.db")
    second = (*MIGRATIONS, f"ALTER TABLE {TABLE} ADD COLUMN mood TEXT; CREATE INDEX moods ON {TABLE} (mood)")
    connection = open_file(Settings(path), second)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute(f"SELECT count(*), count(mood) FROM {TABLE}").fetchone() == (200, 0)
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = filled(tmp_path / "a.db")
    before = digest(path)
    with pytest.raises(sqlite3.OperationalError):
        open_file(Settings(path), (*MIGRATIONS, "CREATE TABLE half (x); CREATE NONSENSE"))
    assert digest(path) == before


def _open_and_write(path, name, barrier):
    barrier.wait(30)
    with connect(path) as store:
        store.agent("u", name).set(name, 1)


@pytest.mark.parametrize(("free", "enough"), [(99_999_999, False), (100_000_001, True)])
def test_little_space_on_the_disk_is_a_finding_with_a_remedy(tmp_path, monkeypatch, free, enough):
    monkeypatch.setattr("datastore_sqlite.admin.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with connect(filled(tmp_path / "a.db")) as store:
        found = store.backend.examine(0.0)
    assert found[-1] == Diagnostic(enough, f"{free:,} bytes are free on its disk", "" if enough else "free some space")


def test_a_file_without_a_write_ahead_log_is_a_finding_with_a_remedy(tmp_path):
    path = filled(tmp_path / "a.db")
    with connect(path) as store:
        assert Diagnostic(True, "it has a write-ahead log: readers do not wait for writers") in store.backend.examine(
            0.0
        )
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
    with connect(f"{path}?mode=ro") as store:
        (finding,) = [one for one in store.backend.examine(0.0) if "journal mode is delete" in one.text]
    assert not finding.healthy
    assert "network disks cannot share a log" in finding.remedy


def test_an_opener_waits_for_readers_before_it_switches_to_the_write_ahead_log(tmp_path, monkeypatch):
    """SQLite itself does not wait there. Such a file is what `sqlite3 .backup` and others make."""
    path = filled(tmp_path / "a.db")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("PRAGMA journal_mode=DELETE")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM agent_data_store").fetchone()
    waited = []

    def wait(backoff):
        waited.append(backoff)
        reader.close()
        return True

    monkeypatch.setattr(schema.Backoff, "wait", wait)
    with connect(path, timeout=0.01) as store:
        assert store.agent("u", "a").count() == 200
    assert len(waited) == 1


def test_processes_that_make_the_file_at_once_find_one_store(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    children = [spawn.Process(target=_open_and_write, args=(tmp_path / "a.db", f"p{i}", barrier)) for i in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    with connect(tmp_path / "a.db") as store:
        assert store.agent("u", "a").list_keys() == ["p0", "p1", "p2", "p3"]
