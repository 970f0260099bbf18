"""A file opened for reading only: nothing beside it is made or changed, and what is read is what is there."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import sys

import pytest

import datastore
import datastore_sqlite
from datastore import BackendUnavailableError, BackendUnusableError, ConfigurationError, PermissionDeniedError
from datastore.urls import Url
from datastore_sqlite.client import AtRest
from tests.sqlite.test_files import as_nobody, digest, filled, plain_database

FILES = ("a.db", "a.db-shm", "a.db-wal")


def connect(path, **options):
    return datastore.connect(f"sqlite:///{path}", mode="ro", **options)


def open_directly(path):
    """Open the backend in a process that may not even read the packages."""
    url = Url(f"sqlite:///{path}?mode=ro")
    url.take_mode()
    return datastore_sqlite.connect(url)


def names(backend):
    return len(backend.all_documents(datastore.backend.Fields.KEY, 1_000).documents)


@pytest.fixture
def left_open(tmp_path):
    """Return a file as a killed process leaves it: what was written last is in its log."""
    path = tmp_path / "made" / "a.db"
    path.parent.mkdir()
    left = tmp_path / "left"
    with datastore.connect(f"sqlite:///{path}") as store:
        store.agent("u", "a").set_many({f"k{i}": i for i in range(10)})
        shutil.copytree(path.parent, left)
    (left / "a.db-shm").unlink()
    return left / "a.db"


def test_a_file_that_nobody_has_open_is_read_and_nothing_is_made_beside_it(tmp_path):
    path = filled(tmp_path / "a.db")
    before, times = digest(path), path.stat().st_mtime_ns
    with connect(path) as store:
        assert store.agent("u", "a").get("k1") == "x" * 500
        assert store.agent("u", "a").count() == 200
        assert digest(path) == before
    assert digest(path) == before
    assert path.stat().st_mtime_ns == times


def test_a_file_that_somebody_writes_to_is_read_as_it_is_now(tmp_path):
    path = filled(tmp_path / "a.db")
    with datastore.connect(f"sqlite:///{path}") as writer, connect(path) as store:
        for number in range(3):
            writer.agent("u", "a").set("n", number)
            assert store.agent("u", "a").get("n") == number


def test_who_reads_sees_what_was_written_after_it_was_opened(tmp_path):
    """First nobody has the file open, then somebody has, and then nobody again."""
    path = filled(tmp_path / "a.db")
    with connect(path) as store:
        reader = store.agent("u", "a")
        assert reader.get("n") is None
        for number in range(3):
            with datastore.connect(f"sqlite:///{path}") as writer:
                writer.agent("u", "a").set("n", number)
                assert reader.get("n") == number
            assert reader.get("n") == number


def test_what_is_written_while_a_statement_reads_is_never_half_of_an_answer(tmp_path):
    """The file is changed in the middle of a listing, as a checkpoint does it; the listing is repeated."""
    path = filled(tmp_path / "a.db")
    with connect(path) as store:
        backend, seen = store.backend._backend, []
        give_back = backend._opened.connections.give_back
        backend._opened.look_at = math.inf  # so that the listing is the first to read

        def changed_before(connection, now=None):
            if not seen:
                seen.append(connection.at_rest)
                with datastore.connect(f"sqlite:///{path}") as writer:
                    writer.agent("u", "a").set_many({f"k{i}": "new" for i in range(200)})
            give_back(connection, now)

        backend._opened.connections.give_back = changed_before
        assert set(store.agent("u", "a").get_all().values()) == {"new"}
        assert isinstance(seen[0], AtRest)


def test_a_file_that_changes_under_a_statement_does_not_look_damaged(tmp_path):
    path = filled(tmp_path / "a.db")

    def read_while_it_changes(error):
        with pool.lent(sys._getframe()) as connection:
            assert connection.at_rest is not None
            os.utime(path)
            raise error

    with connect(path) as store:
        pool = store.backend._backend._opened.connections
        with pytest.raises(BackendUnavailableError, match="opened for writing by another process") as caught:
            read_while_it_changes(sqlite3.DatabaseError("database disk image is malformed"))
        assert caught.value.retryable
        with pytest.raises(KeyboardInterrupt):
            read_while_it_changes(KeyboardInterrupt())


def test_a_file_that_goes_away_is_an_error_and_no_missing_record(tmp_path):
    path = filled(tmp_path / "a.db")
    with connect(path, retry_seconds=0) as store:
        store.backend._backend._opened.look_at = math.inf
        path.rename(tmp_path / "elsewhere")
        for _ in range(2):
            with pytest.raises(BackendUnusableError, match=r"a\.db is gone"):
                store.agent("u", "a").get("k1")
        (tmp_path / "elsewhere").rename(path)
        assert store.agent("u", "a").count() == 200


def test_what_a_killed_process_has_left_in_the_log_is_read(left_open):
    with connect(left_open) as store:
        assert store.agent("u", "a").get("k3") == 3


def test_a_link_is_read_with_the_log_that_is_beside_the_file_itself(tmp_path):
    path, link = tmp_path / "a.db", tmp_path / "links" / "other.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with datastore.connect(f"sqlite:///{path}") as writer:
        writer.agent("u", "a").set("n", 1)
        with connect(link) as store:
            assert store.agent("u", "a").get("n") == 1
            writer.agent("u", "a").set("n", 2)
            assert store.agent("u", "a").get("n") == 2
    with connect(link) as store:
        assert store.agent("u", "a").get("n") == 2
    assert list(link.parent.iterdir()) == [link]


def test_a_file_without_a_log_is_read(tmp_path):
    path = filled(tmp_path / "a.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA journal_mode=DELETE")
    before = digest(path)
    with connect(path) as store:
        assert store.agent("u", "a").count() == 200
    assert digest(path) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist, and mode=ro creates no file"),
        (lambda path: path.touch(), "holds nothing yet; open it for writing once"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_text("notes, and no database"), "is not a SQLite database"),
        (plain_database, "of something other than agent-datastore"),
    ],
)
def test_what_holds_no_store_is_refused_and_left_as_it_is(tmp_path, make, message):
    make(tmp_path / "a.db")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match=message):
        connect(tmp_path / "a.db")
    assert sorted(tmp_path.iterdir()) == before


def test_the_database_itself_refuses_to_be_written(tmp_path):
    """The refusal does not hang on one place alone."""
    with connect(filled(tmp_path / "a.db")) as store:
        backend = store.backend._backend
        connection = backend._opened.connections.take(sys._getframe())
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM agent_data_store")
        backend._opened.connections.give_back(connection)


def test_the_database_in_memory_may_be_opened_so():
    with datastore.connect("sqlite://:memory:?mode=ro") as store:
        assert store.agent("u", "a").list_keys() == []


def test_it_can_be_examined(tmp_path):
    with connect(filled(tmp_path / "a.db")) as store:
        findings = store.backend.examine(0)
    assert all(finding.healthy for finding in findings)


class TestWithoutPermission:
    """By a user who may only read, in a directory where nothing can be made."""

    @pytest.fixture
    def path(self, reachable):
        path = filled(reachable / "a.db")
        path.chmod(0o444)
        reachable.chmod(0o555)
        yield path
        reachable.chmod(0o755)

    def test_who_may_only_read_reads(self, path):
        def work():
            backend = open_directly(path)
            assert names(backend) == 200
            backend.close()

        as_nobody(work)
        assert [child.name for child in path.parent.iterdir()] == ["a.db"]

    def test_to_write_is_refused_with_what_to_do(self, path):
        def work():
            with pytest.raises(PermissionDeniedError, match=r"\?mode=ro opens it for reading only"):
                datastore_sqlite.connect(Url(f"sqlite:///{path}"))

        as_nobody(work)

    def test_a_file_that_may_not_be_read_is_refused(self, path):
        path.chmod(0o000)

        def work():
            with pytest.raises(PermissionDeniedError, match="is not readable for this user"):
                open_directly(path)

        as_nobody(work)

    @pytest.mark.skipif(os.getuid() != 0, reason="needs another user to write while this one reads")
    def test_it_is_read_while_its_owner_writes(self, path):
        with datastore.connect(f"sqlite:///{path}") as writer:
            writer.agent("u", "a").set("more", 1)
            for beside in FILES[1:]:
                path.with_name(beside).chmod(0o444)

            def work():
                assert names(open_directly(path)) == 201

            as_nobody(work)

    def test_a_log_without_its_index_is_refused_with_what_to_do(self, left_open, reachable):
        for child in left_open.parent.iterdir():
            child.chmod(0o444)
        left_open.parent.chmod(0o555)

        def work():
            with pytest.raises(
                PermissionDeniedError, match=r"cannot be read without a\.db-wal and a\.db-shm: .* copy it"
            ):
                open_directly(left_open)

        as_nobody(work)
