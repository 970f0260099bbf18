"""Stores of the earlier format: refused by everything but ``datastore migrate``, which loses nothing of them.

``stores/format_1.sqlite3.gz`` is a file that the last version with that format has written: two users, two namespaces,
values of all types, odd names, metadata, access counts, an index, and expired records. ``format_1.jsonl.gz`` is what
that version exported from it.
"""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import datastore
from datastore import BackendUnusableError, ConfigurationError, DamagedRecordError, PermissionDeniedError
from datastore.connecting import connect_earlier
from datastore.earlier import from_earlier
from datastore.formats import FORMAT, settle
from datastore.moving import export_records, import_records, migrate

STORES = Path(__file__).parent / "stores"


@pytest.fixture(name="file")
def unpack(tmp_path):
    with gzip.open(STORES / "format_1.sqlite3.gz") as packed, (tmp_path / "agents.db").open("wb") as file:
        shutil.copyfileobj(packed, file)
    return tmp_path / "agents.db"


@pytest.fixture(name="exported", scope="module")
def read_exported():
    with gzip.open(STORES / "format_1.jsonl.gz", "rt") as lines:
        return records_of(lines)


def records_of(lines):
    """Return the records of an export by user, namespace and key, without their ids."""
    records = [json.loads(line) for line in lines]
    return {
        (record["userId"], record["namespace"], record["key"]): {"updatedByAgent": None, **record, "id": None}
        for record in records
        if "key" in record
    }


def exported_from(store, tmp_path):
    export_records(store, tmp_path / "now.jsonl")
    with (tmp_path / "now.jsonl").open() as lines:
        return records_of(lines)


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_store_of_the_earlier_format_is_refused_untouched(file, mode):
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="datastore migrate"):
        datastore.connect(f"sqlite:///{file}", mode=mode)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_in_place_every_record_is_there_afterwards(file, exported, tmp_path):
    told = []
    report = migrate(f"sqlite:///{file}", on_progress=lambda *done: told.append(done))
    assert report.complete
    assert told[-1] == (report.verified, report.verified)
    with datastore.connect(f"sqlite:///{file}") as store:
        assert exported_from(store, tmp_path) == exported
        ann = store.agent("ann", "reader")
        assert ann.list_keys() == sorted(
            key for user, namespace, key in exported if (user, namespace) == ("ann", "default")
        )
        assert ann.explain({"n": 5})["index"] is not None, "declared indexes are still there"
        assert ann.use_namespace("files:x").find({"n": 5})


def test_migrated_twice_there_is_nothing_left_to_do(file):
    migrate(f"sqlite:///{file}")
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        migrate(f"sqlite:///{file}")
    assert file.read_bytes() == before


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_is_interrupted_leaves_the_file_as_it_was(file, exported, tmp_path, signal):
    before = file.read_bytes()

    def interrupt(_, __):
        raise signal

    with pytest.raises(signal):
        migrate(f"sqlite:///{file}", on_progress=interrupt)
    assert file.read_bytes() == before
    migrate(f"sqlite:///{file}")
    with datastore.connect(f"sqlite:///{file}") as store:
        assert exported_from(store, tmp_path) == exported


def test_into_another_store_every_record_arrives(file, exported, tmp_path):
    before = file.read_bytes()
    with datastore.connect("memory://") as sink:
        report = migrate(f"sqlite:///{file}", sink)
        assert report.complete
        assert report.verified == report.written == len(exported)
        assert exported_from(sink, tmp_path) == exported
    assert file.read_bytes() == before


def test_what_an_earlier_version_exported_is_imported(exported, tmp_path):
    with datastore.connect("memory://") as store:
        assert import_records(STORES / "format_1.jsonl.gz", store).complete
        assert exported_from(store, tmp_path) == exported


def test_a_store_of_the_earlier_format_is_opened_for_reading_alone(file):
    with connect_earlier(f"sqlite:///{file}") as store, pytest.raises(PermissionDeniedError):
        store.agent("ann", "a").set("key", 1)


def test_the_current_format_is_not_taken_for_the_earlier_one(tmp_path):
    datastore.connect(f"sqlite:///{tmp_path}/new.db").close()
    with pytest.raises(ConfigurationError, match="nothing to migrate"):
        connect_earlier(f"sqlite:///{tmp_path}/new.db")


def test_the_files_of_all_tenants_are_migrated(file, tmp_path, exported):
    with datastore.connect(f"sqlite:///{tmp_path}/of.db?isolation=database") as store:
        for user in ("ann", "bob"):
            store.agent(user, "a").set("key", user)
        names = [store.backend.opened.databases.files()]
    for path in names[0]:
        with sqlite3.connect(path) as plain:
            plain.execute("UPDATE agent_data_store SET _id = userId || ':default:a2V5'")
            plain.execute("PRAGMA user_version=1")
        plain.close()
    url = f"sqlite:///{tmp_path}/of.db?isolation=database"
    with datastore.connect(url) as store, pytest.raises(ConfigurationError, match="datastore migrate"):
        store.agent("ann", "a").get("key")
    assert migrate(url).verified == 2
    with datastore.connect(url) as store:
        assert [store.agent(user, "a").get("key") for user in ("ann", "bob")] == ["ann", "bob"]
    assert migrate(url).verified == 0, "those that are done are left alone"


def test_a_record_whose_id_is_to_be_another_ones_stops_the_migration(file):
    current = from_earlier("ann:default:MQ==")
    with sqlite3.connect(file) as plain:
        plain.execute("UPDATE agent_data_store SET _id = ? WHERE _id = 'ann:default:MQ=='", (current,))
        row = plain.execute("SELECT * FROM agent_data_store WHERE _id = ?", (current,)).fetchone()
        marks = ", ".join("?" * (len(row) - 1))
        plain.execute(f"INSERT INTO agent_data_store VALUES ('ann:default:MQ==', {marks})", row[1:])
    plain.close()
    before = file.read_bytes()
    with pytest.raises(DamagedRecordError):
        migrate(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_in_place_is_refused_where_it_is_not_safe():
    with pytest.raises(ConfigurationError, match="SINK_URL"):
        migrate("memory://")


class Database:
    """A database that holds a format or not, and records or not."""

    def __init__(self, format=None, *, empty=True):
        self.format = format
        self.empty = empty
        self.looks = 0

    def settle(self, earlier=False):
        settle(self.read, self.is_empty, self.write, "the database", "test", earlier=earlier)

    def read(self):
        self.looks += 1
        return self.format

    def is_empty(self):
        return self.empty

    def write(self):
        self.format = FORMAT


def test_a_new_database_is_given_the_current_format():
    database = Database()
    database.settle()
    assert database.format == FORMAT
    database.settle()
    assert database.looks == 2, "where it is there, one look is enough"


def test_records_without_a_format_are_of_the_earlier_one():
    with pytest.raises(ConfigurationError, match="datastore migrate"):
        Database(empty=False).settle()
    Database(empty=False).settle(earlier=True)


def test_a_format_that_another_process_has_just_given_is_seen():
    class Raced(Database):
        def is_empty(self):
            self.format = FORMAT
            return False

    Raced().settle()


def test_a_newer_format_is_refused():
    for earlier in (False, True):
        with pytest.raises(BackendUnusableError, match="newer"):
            Database(FORMAT + 1).settle(earlier)
