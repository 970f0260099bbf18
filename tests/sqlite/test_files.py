"""The file: made where it may be made, for its owner alone, and an error that says what to do where it may not."""

import contextlib
import os
import sqlite3
import stat
from types import SimpleNamespace

import pytest

import datastore
import datastore_sqlite
from datastore import ConfigurationError, PermissionDeniedError
from datastore.administration import Diagnostic
from datastore.urls import Url
from datastore_sqlite import schema
from tests.sqlite.files import as_nobody, connect, filled


def test_nothing_is_left_beside_the_file_after_close(tmp_path):
    filled(tmp_path / "a.db")
    assert [child.name for child in tmp_path.iterdir()] == ["a.db"]


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
    with pytest.raises(ConfigurationError, match="does not exist, and create=false forbids creating it"):
        connect(f"{tmp_path}/a.db?create=false")
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path / "a.db")
    with connect(f"{tmp_path}/a.db?create=false") as store:
        assert store.agent("u", "a").count() == 200


def open_directly(path):
    return datastore_sqlite.connect(Url(f"sqlite:///{path}"))


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


def test_a_missing_directory_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ({}, {"isolation": "database"}):
        with pytest.raises(datastore.ConfigurationError, match=f"the directory {tmp_path}/data does not exist"):
            datastore.connect("sqlite:///data/agents.db", **options)


def test_a_working_directory_that_cannot_be_written_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENT_DATASTORE_URL", raising=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the tests may run as root, who may do anything
    with pytest.raises(PermissionDeniedError) as caught:
        datastore.connect()
    for part in (str(tmp_path), "working directory", "agent_data_store.db", "$AGENT_DATASTORE_URL"):
        assert part in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has these permissions")
def test_what_is_made_is_readable_for_its_owner_alone(tmp_path):
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        with datastore.connect(f"sqlite:///{tmp_path}/a.db") as store:
            store.agent("u", "a").set("k", 1)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        with datastore.connect(f"sqlite:///{tmp_path}/c.db?isolation=database") as store:
            store.agent("bob", "a").set("k", 1)
            tenants = [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("c-*")]
    finally:
        os.umask(before)
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    assert tenants
    assert set(tenants) == {0o600}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755, "directories are left as they are"


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
