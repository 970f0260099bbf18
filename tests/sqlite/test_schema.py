"""The schema: made once, and brought up to date."""

import multiprocessing
import sqlite3

import pytest

from datastore_sqlite.client import Settings
from datastore_sqlite.schema import APPLICATION_ID, MIGRATIONS, TABLE, open_file
from tests.patience import PATIENCE
from tests.sqlite.files import connect, digest, filled


def test_the_file_says_whose_it_is_and_which_schema_it_has(tmp_path):
    header = filled(tmp_path / "a.db").read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == len(MIGRATIONS) == 5


def test_a_file_of_an_older_schema_is_brought_up_to_date_and_keeps_its_records(tmp_path):
    path = filled(tmp_path / "a.db")
    another = (*MIGRATIONS, f"ALTER TABLE {TABLE} ADD COLUMN mood TEXT; CREATE INDEX moods ON {TABLE} (mood)")
    connection = open_file(Settings(path), another)
    assert connection.execute("PRAGMA user_version").fetchone() == (6,)
    assert connection.execute(f"SELECT count(*), count(mood) FROM {TABLE}").fetchone() == (200, 0)
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = filled(tmp_path / "a.db")
    before = digest(path)
    with pytest.raises(sqlite3.OperationalError):
        open_file(Settings(path), (*MIGRATIONS, "CREATE TABLE half (x); CREATE NONSENSE"))
    assert digest(path) == before


def _open_and_write(path, name, barrier):
    barrier.wait(PATIENCE)
    with connect(path) as store:
        store.agent("u", name).set(name, 1)


def test_processes_that_make_the_file_at_once_find_one_store(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    children = [spawn.Process(target=_open_and_write, args=(tmp_path / "a.db", f"p{i}", barrier)) for i in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    with connect(tmp_path / "a.db") as store:
        assert store.agent("u", "a").list_keys() == ["p0", "p1", "p2", "p3"]


def test_a_file_of_the_version_before_leases_remembers_them_from_now_on(tmp_path):
    path = tmp_path / "a.db"
    open_file(Settings(path), MIGRATIONS[:3]).close()
    with connect(path) as store:
        agent = store.agent("u", "a")
        with agent.lease("work") as lease:
            lease.data_store.set("key", 1)
    connection = sqlite3.connect(path)
    ((fences,),) = connection.execute(f"SELECT fences FROM {TABLE} WHERE key = 'key'").fetchall()
    assert fences.endswith(f":{lease.number:012d}")
    connection.close()
