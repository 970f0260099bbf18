"""Reading for an event loop: it waits for nothing, and whatever is unusual is left to the ordinary way."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

import datastore
from datastore import BackendUnusableError, ClosedError
from datastore.backend import Fields, WouldWaitError
from datastore.conformance.documents import apply, id_of, put

MOST = 65_536
ID = id_of("key")


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
        apply(store.backend, [put("key", 1)])
        yield store


def value(backend):
    return backend.read_at_once(ID, MOST).value


def would_wait(backend):
    with pytest.raises(WouldWaitError):
        backend.read_at_once(ID, MOST)


def test_it_does_not_wait_for_a_connection(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db?pool=1") as store:
        apply(store.backend, [put("key", 1)])
        with store.backend._opened.lent():
            assert value(store.backend) == 1


def test_it_does_not_wait_for_another_process_that_has_the_file_for_itself(tmp_path):
    path = tmp_path / "agents.db"
    with datastore.connect(f"sqlite:///{path}") as store:
        apply(store.backend, [put("key", 1)])
        assert value(store.backend) == 1
        store.backend.before_fork()  # closes every connection
        store.backend.after_fork()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            would_wait(store.backend)
        would_wait(store.backend)  # it is left alone for a moment
        store.backend._at_once._pause_until = 0.0
        assert value(store.backend) == 1


def test_a_value_that_is_too_large_does_not_end_the_reading_of_others(store):
    apply(store.backend, [put("large", "x" * 2 * MOST)])
    for _ in range(2):
        with pytest.raises(WouldWaitError):
            store.backend.read_at_once(id_of("large"), MOST)
        assert value(store.backend) == 1


def test_what_is_damaged_is_told_by_the_ordinary_way(store, tmp_path):
    with sqlite3.connect(tmp_path / "agents.db") as file:
        file.execute("UPDATE agent_data_store SET value = '{' WHERE _id = ?", (ID,))
    with pytest.raises(WouldWaitError):
        store._core.read_at_once(ID, MOST)
    with pytest.raises(datastore.DamagedRecordError):
        store._core.read_one(ID, Fields.VALUE)


def test_a_file_that_was_replaced_is_not_read(store, tmp_path):
    assert value(store.backend) == 1
    shutil.copy(tmp_path / "agents.db", tmp_path / "other.db")
    (tmp_path / "other.db").replace(tmp_path / "agents.db")
    store.backend._opened.look_at = 0.0  # it looks once in 10 milliseconds
    would_wait(store.backend)
    store.backend._at_once._pause_until = 0.0
    would_wait(store.backend)  # nor does a new connection read it
    with pytest.raises(BackendUnusableError):
        store.backend.read([ID], Fields.VALUE)


def test_a_closed_store_is_not_read(tmp_path):
    store = datastore.connect(f"sqlite:///{tmp_path}/agents.db")
    backend = store.backend
    apply(backend, [put("key", 1)])
    assert value(backend) == 1
    store.close()
    would_wait(backend)
    with pytest.raises(ClosedError):
        store.agent("ann", "tester").get("key")


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///agents.db?mode=ro"], ids=["memory", "read-only"])
def test_other_kinds_of_files_are_left_to_the_ordinary_way(store, tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with datastore.connect(url) as other:
        would_wait(other.backend)


def test_a_child_has_a_connection_of_its_own(store):
    assert value(store.backend) == 1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(value(store.backend)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "1"
    os.waitpid(child, 0)
    apply(store.backend, [put("key", 2)])
    assert value(store.backend) == 2
