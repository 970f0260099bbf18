"""doctor and conformance: what they find, and that they leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from typer.testing import CliRunner

import datastore
from datastore import examining
from datastore.cli.app import app
from datastore.cli.conforming import scratch_of
from datastore.cli.running import redacted
from datastore.memory import sweeping
from datastore_sqlite.client import Connection
from tests.servers import couchdb


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def store(own_directory):
    with datastore.connect("sqlite:///a.db") as opened:
        opened.agent("ann", "a").set("plan", 1)
        yield opened


def test_a_healthy_store_is_all_ok(store):
    lines = run("doctor", "sqlite:///a.db").stdout.splitlines()
    assert lines[0] == "sqlite:///a.db"
    assert all(line.startswith("ok ") for line in lines[1:])
    assert "ok       it takes a value of 1,000,000 bytes" in lines
    assert "ok       the file is sound" in lines


def test_the_url_may_be_an_option(store):
    lines = run("doctor", "--url", "sqlite:///a.db").stdout.splitlines()
    assert lines[0] == "sqlite:///a.db"
    assert "give the URL once" in run("doctor", "sqlite:///a.db", "--url", "sqlite:///a.db", exit_code=2).stderr


@pytest.mark.parametrize("arguments", [["sqlite:///a.db", "--read-only"], ["sqlite:///a.db?mode=ro"]], ids=str)
def test_a_store_that_may_only_be_read_is_examined_without_trials(store, own_directory, arguments):
    store.close()
    before = {path.name: path.read_bytes() for path in own_directory.iterdir()}
    assert "written to" not in run("doctor", *arguments).stdout
    assert {path.name: path.read_bytes() for path in own_directory.iterdir()} == before


def test_its_trials_leave_nothing_behind(store):
    run("doctor", "sqlite:///a.db")
    assert json.loads(run("stats", "--url", "sqlite:///a.db", "--json").stdout)["records"] == 1


def test_it_can_write_nothing(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "executemany", None, raising=False)
        answer = json.loads(run("doctor", "sqlite:///a.db", "--read-only", "--json").stdout)
    assert answer["healthy"]
    assert not any("written" in finding["text"] for finding in answer["findings"])


def test_what_cannot_be_opened_is_a_finding_and_exit_code_3(own_directory):
    result = run("doctor", "sqlite:///none.db", exit_code=3)
    assert f"problem  it cannot be opened: sqlite: {own_directory / 'none.db'} does not exist" in result.stdout
    assert "datastore: 1 problem found" in result.stderr


def test_a_damaged_file_is_found(store, own_directory):
    store.agent("ann", "a").set_many({f"key {number}": "x" * 500 for number in range(500)})
    store.close()
    file = own_directory / "a.db"
    data = bytearray(file.read_bytes())
    data[20_000:60_000] = b"\xff" * 40_000
    file.write_bytes(data)
    answer = json.loads(run("doctor", "sqlite:///a.db", "--json", exit_code=3).stdout)
    assert not answer["healthy"]
    assert any("damaged" in finding["text"] for finding in answer["findings"])


@pytest.mark.server("couchdb")
def test_couchdb_says_its_version_and_whether_its_indexes_are_there():
    couchdb.start()
    database = couchdb.borrow_database()
    url = couchdb.url(database)
    datastore.connect(url).close()
    answer = json.loads(run("doctor", url, "--json", exit_code=None or 0).stdout)
    texts = [finding["text"] for finding in answer["findings"]]
    assert any(text.startswith("CouchDB ") for text in texts)
    assert "its indexes and views exist" in texts
    assert couchdb.PASSWORD not in json.dumps(answer)
    couchdb.give_back_database(database)


def test_the_kit_runs_beside_the_store_and_leaves_nothing(store, own_directory):
    before = sorted(path.name for path in own_directory.iterdir())
    result = run("conformance", "sqlite:///a.db", "-k", "moving and listed", "--json")
    answer = json.loads(result.stdout)
    assert answer["passed"] > 0
    assert answer["failed"] == []
    assert sorted(path.name for path in own_directory.iterdir()) == before
    assert store.agent("ann", "a").get("plan") == 1


def test_a_scratch_area_must_be_empty(store):
    result = run("conformance", "memory://", "--scratch", "sqlite:///a.db", exit_code=1)
    assert "is not empty" in result.stderr


@pytest.mark.parametrize("what", ["a token", "what has expired", "a document of another program"])
def test_a_scratch_area_with_anything_at_all_is_not_empty(own_directory, what):
    """It is removed in the end, with whatever is in it."""
    with datastore.connect("sqlite:///b.db") as store:
        if what == "a token":
            store.tokens.mint("ann", "a")
        elif what == "what has expired":
            store.agent("ann", "a").set("k", 1, ttl=1e-6)
        else:
            store.agent("ann", "a").set("k", 1)
    if what == "a document of another program":
        with contextlib.closing(sqlite3.connect("b.db")) as file, file:
            assert file.execute("UPDATE agent_data_store SET _id = 'of another program'").rowcount == 1
    result = run("conformance", "memory://", "--scratch", "sqlite:///b.db", "-k", "nothing", exit_code=1)
    assert "is not empty" in result.stderr


@pytest.mark.parametrize(
    ("url", "beginning", "end"),
    [
        ("sqlite:///a.db?timeout=5", "sqlite:///a_conformance_", ".db?timeout=5"),
        ("sqlite:////data/agents?create=false", "sqlite:////data/agents_conformance_", ""),
        ("couchdb://u:p@h:1/db/?create=false&timeout=3", "couchdb://u:p@h:1/db_conformance_", "?timeout=3"),
        ("couchdb://u:p@h:1", "couchdb://u:p@h:1/agent_data_store_conformance_", ""),
        ("sqlite:///a.db?mode=ro&timeout=5", "sqlite:///a_conformance_", ".db?timeout=5"),
        ("firestore://project/agents", "firestore://project/agents_conformance_", ""),
        ("redis://u:p@h:1/3/agents?pool=2", "redis://u:p@h:1/3/agents_conformance_", "?pool=2"),
        ("redis://h/0", "redis://h/0_conformance_", ""),
        ("postgresql://h/db/agents?pool=2", "postgresql://h/db/agents_conformance_", "?pool=2"),
        ("postgresql://u:p@h:1/db", "postgresql://u:p@h:1/db/agent_data_store_conformance_", ""),
        ("dynamodb://table?region=r", "dynamodb://table_conformance_", "?region=r"),
        ("memory://", "memory://", ""),
        ("sqlite://:memory:", "sqlite://:memory:", ""),
    ],
)
def test_the_scratch_area_is_beside_the_store_and_never_the_store(url, beginning, end):
    place = scratch_of(url)
    assert place.startswith(beginning)
    assert place.endswith(end)
    assert place != url or ":memory:" in url or url == "memory://"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open couchdb://ann:secret@host/db now", "cannot open couchdb://ann:***@host/db now"),
        ("couchdb://ann:p@ss/w?rd@host/db", "couchdb://ann:***@host/db"),
        ("couchdb://host:5984/db", "couchdb://host:5984/db"),
    ],
)
def test_passwords_in_any_text_are_made_unreadable(text, shown):
    assert redacted(text) == shown


def test_it_says_what_vectors_there_are(store, monkeypatch):
    """Whose model, how many are of no record, and where each search reads all of them."""
    agent = store.agent("ann", "a")
    agent.memory.add_many(["a", "b", "c"], vectors=[[1.0, 0.0]] * 3)
    agent.use_namespace("other").memory.add("a", key="k", vector=[1.0, 0.0])
    agent.use_namespace("other").delete("k")
    lines = run("doctor", "sqlite:///a.db", "--records").stdout.splitlines()
    assert "ok       2 namespaces with vectors of no name with 2 dimensions" in lines
    assert "ok       0 vectors without a record can be removed" in lines, "its record might come yet"
    monkeypatch.setattr(sweeping, "GRACE", -3_600.0)
    monkeypatch.setattr(examining, "BYTES", 1_000)
    found = {
        one["text"]: one
        for one in json.loads(run("doctor", "sqlite:///a.db", "--records", "--json").stdout)["findings"]
    }
    assert "purge" in found["1 vector without a record can be removed"]["remedy"]
    (large,) = [one for text, one in found.items() if text.startswith("namespace 'default' of 'ann' has 3 vectors")]
    assert "search_across" in large["remedy"]


def test_vectors_that_are_being_made_anew_are_a_problem(store):
    store.agent("ann", "a").memory.add("a", vector=[1.0, 0.0])

    def fails(texts):
        raise OSError

    embedder = datastore.Embedder(fails, 3, "other")
    with datastore.connect("sqlite:///a.db", embedder=embedder) as other, pytest.raises(datastore.EmbedderError):
        other.agent("ann", "a").memory.reembed()
    lines = run("doctor", "sqlite:///a.db", "--records", exit_code=3).stdout.splitlines()
    assert "problem  the vectors of namespace 'default' of 'ann' are being made anew" in lines
