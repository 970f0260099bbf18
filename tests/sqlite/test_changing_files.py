"""The file under an open store: moved, removed, replaced or brought up to date by somebody else."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError
from datastore.connecting import connect_legacy


@pytest.fixture
def store(path):
    with datastore.connect(f"sqlite:///{path}", retry_seconds=0, tracking="off") as store:
        store.agent("u", "a").set("k", 1)
        yield store


def remove(path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def replace(path):
    remove(path)
    with datastore.connect(f"sqlite:///{path}") as other:
        other.agent("u", "a").set("k", "of another file")


def move(path):
    path.rename(path.with_name("moved.db"))


CALLS = {
    "get": lambda agent: agent.get("k"),
    "get_many": lambda agent: agent.get_many(["k", "j"]),
    "list_keys": lambda agent: agent.list_keys(),
    "find": lambda agent: agent.find({}),
    "count": lambda agent: agent.count(),
    "set": lambda agent: agent.set("k", 2),
    "set_many": lambda agent: agent.set_many({"k": 2, "j": 3}),
    "delete": lambda agent: agent.delete("k"),
    "clear": lambda agent: agent.clear(),
    "increment": lambda agent: agent.increment("n"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("change", [remove, replace, move])
def test_calls_on_a_file_that_is_gone_or_another_one_fail_and_say_so(path, store, change, call):
    agent = store.agent("u", "a")
    change(path)
    store.backend._opened.look_at = 0.0  # reads look at most every 10 ms, writes always
    with pytest.raises(BackendUnusableError, match="was deleted, moved or replaced while the store was open"):
        CALLS[call](agent)


class Looks:
    """Counts the looks at a file, and does something instead of each."""

    def __init__(self, opened, instead):
        self.number = 0
        self._instead = instead
        self._look = opened.look
        opened.look = self

    def __call__(self, now):
        self.number += 1
        self._instead()
        self._look(now)


def test_while_one_read_looks_at_the_file_the_others_do_not(store, monkeypatch):
    """Else each of many threads looks as soon as a look takes longer than it is trusted, and all wait for that."""
    monkeypatch.setattr("datastore_sqlite.opened.LOOK_SECONDS", 3_600.0)
    monkeypatch.setattr("datastore_sqlite.opened._LONGEST_TRUST", 3_600.0)
    agent = store.agent("u", "a")
    opened = store.backend._opened
    looks = Looks(opened, lambda: None)

    def meanwhile():
        looks._instead = lambda: None
        assert [agent.get("k"), agent.list_keys(), agent.find({})] == [1, ["k"], {"k": 1}]
        assert looks.number == 1
        agent.set("k", 2)  # a write looks in any case
        assert looks.number == 2
        opened.look_at, opened._another_looks_until = at, 0.0  # the first look takes long: another begins
        assert agent.get("k") == 2
        assert looks.number == 3

    looks._instead = meanwhile
    at = opened.look_at = time.monotonic()
    assert agent.get("k") == 2


def test_a_file_that_nobody_could_look_at_is_not_trusted_for_long(store):
    agent = store.agent("u", "a")
    opened = store.backend._opened
    opened.look_at = time.monotonic() - 1.0
    opened._another_looks_until = inf
    looks = Looks(opened, lambda: None)
    assert agent.get("k") == 1
    assert looks.number == 1


@pytest.mark.parametrize("failure", [KeyboardInterrupt, BackendUnusableError])
def test_a_read_that_fails_to_look_leaves_it_to_the_next(store, failure):
    agent = store.agent("u", "a")
    opened = store.backend._opened

    def fail():
        raise failure("it failed")

    looks = Looks(opened, fail)
    opened.look_at = time.monotonic()
    for number in (1, 2):
        with pytest.raises(failure):
            agent.get("k")
        assert looks.number == number


@pytest.mark.parametrize("change", [remove, move])
def test_no_file_is_made_in_the_place_of_one_that_is_gone(path, store, change):
    change(path)
    with contextlib.suppress(BackendUnusableError):
        store.agent("u", "a").set("k", 2)
    store.backend.before_fork()  # closes all connections: the next call opens others
    with pytest.raises(BackendUnusableError):
        store.agent("u", "a").set("k", 2)
    assert not path.exists()


def test_another_file_is_not_written_to(path, store):
    replace(path)
    for _ in range(2):
        with pytest.raises(BackendUnusableError):
            store.agent("u", "a").set("k", 2)
        store.backend.before_fork()
    with datastore.connect(f"sqlite:///{path}") as other:
        assert other.agent("u", "a").get("k") == "of another file"


def test_a_file_that_is_put_back_is_used_again(path, store):
    path.rename(path.with_name("moved.db"))
    with pytest.raises(BackendUnusableError):
        store.agent("u", "a").set("k", 2)
    path.with_name("moved.db").rename(path)
    store.agent("u", "a").set("k", 3)
    assert store.agent("u", "a").get("k") == 3


def test_a_working_directory_that_changes_leads_to_no_other_file(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.chdir(two)
    with datastore.connect("sqlite:///agents.db") as store:
        store.agent("u", "a").set("k", "of the other project")
    monkeypatch.chdir(one)
    with (
        datastore.connect("sqlite:///agents.db") as store,
        datastore.connect("sqlite:///c.db?isolation=database") as all,
    ):
        agent, tenant = store.agent("u", "a"), all.agent("bob", "a")
        agent.set("k", "mine")
        tenant.set("k", "mine")
        os.chdir(two)
        store.backend.before_fork()  # the connections that are opened from here on
        assert agent.get("k") == "mine"
        agent.set("k", "mine still")
        assert all.drop_tenant("bob", confirm="bob")
    assert sorted(file.name for file in two.iterdir()) == ["agents.db"]
    assert sorted(file.name for file in one.iterdir()) == ["agents.db"]


def test_a_program_that_brings_the_file_up_to_date_ends_the_work_of_older_ones(path, store):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("PRAGMA user_version=99")
    store.backend._opened.look_at = 0.0
    for call in CALLS.values():
        with pytest.raises(BackendUnusableError, match=r"format of .* is now 99, and this program knows 5"):
            call(store.agent("u", "a"))


# ------------------------------------------------------------------------------------- opened twice, and looked at


LAST_TO_CLOSE = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("SELECT count(*) FROM agent_data_store").fetchone()
other.close()  # and removes the log, if it believes itself the last one
"""


def looked_at(path, store):
    """Everything that opens the file beside the store that has it open, and closes it again."""
    datastore.connect(f"sqlite:///{path}").close()
    with contextlib.suppress(ConfigurationError):
        datastore.connect(f"sqlite:///{path.with_name(path.stem.partition('-')[0])}.db?isolation=database").tenants()
    with contextlib.suppress(datastore.DataStoreError):
        connect_legacy(f"sqlite:///{path}").close()


def test_a_look_at_the_file_takes_away_no_locks_of_a_store_that_has_it_open(tmp_path):
    """POSIX releases the locks of a process with the first descriptor of the file that is closed."""
    path = tmp_path / "agents-ann.db"
    with datastore.connect(f"sqlite:///{path}") as store:
        agent = store.agent("ann", "a")
        agent.set("k", 0)
        for number in range(1, 4):
            looked_at(path, store)
            subprocess.run([sys.executable, "-c", LAST_TO_CLOSE, str(path)], check=True)
            assert path.with_name("agents-ann.db-wal").exists(), "another process has removed the log that is in use"
            agent.set("k", number)
            assert agent.get("k") == number
    with contextlib.closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_open_keeps_one_descriptor_however_often_it_is_looked_at(tmp_path):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list a process's descriptors")
    path = tmp_path / "a.db"
    with datastore.connect(f"sqlite:///{path}") as store:
        store.agent("u", "a").set("k", 1)
        datastore.connect(f"sqlite:///{path}").close()
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            datastore.connect(f"sqlite:///{path}").close()
        assert len(list(descriptors.iterdir())) <= before + 1
