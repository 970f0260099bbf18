"""Looking and mending: namespaces, ls, get, set, rm, stats."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli.app import app
from tests.patience import PATIENCE
from tests.sqlite.files import as_nobody

ANN = ("--user", "ann")


def run(*arguments, exit_code=0, input=None):
    result = CliRunner().invoke(app, list(map(str, arguments)), input=input)
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def store(own_directory):
    """Return the store that the commands find without being told: that of the working directory."""
    with datastore.connect() as opened:
        yield opened


@pytest.fixture
def filled(store):
    ann = store.agent("ann", "planner")
    ann.set("plan", {"goal": "sell", "big": 2**70}, {"source": "web"})
    ann.set("note", "é\x1b[31m", ttl=3_600)
    ann.use_namespace("files:x").set_many({f"file {number}": number for number in range(3)})
    store.agent("bob", "writer").set("plan", None)
    ann.set("gone", 1, ttl=1e-6)
    return store


def test_namespaces_of_all_users_or_of_one_are_listed_with_their_records(filled):
    lines = [line.split() for line in run("namespaces").stdout.splitlines()]
    assert lines[2:] == [["ann", "default", "2"], ["ann", "files:x", "3"], ["bob", "default", "1"]]
    printed = [json.loads(line) for line in run("namespaces", *ANN, "--json").stdout.splitlines()]
    assert printed == [
        {"userId": "ann", "namespace": "default", "records": 2},
        {"userId": "ann", "namespace": "files:x", "records": 3},
    ]
    assert run("namespaces", "--user", "nobody").stdout == "there are no records\n"


def test_what_lies_beside_records_is_not_counted_as_records(filled):
    """Blobs, logs, runs, vectors and leases: the commands that read a whole store come across them."""
    before = [(run(*command).stdout) for command in (["namespaces"], ["stats"], ["stats", *ANN], ["stats", "--json"])]
    ann = filled.agent("ann", "planner", "files:x")
    ann.blobs.put("image", b"...")
    ann.log("events").append("begun")
    ann.runs.start("run").release()
    ann.lease("turn").release()
    ann.memory.add([1], key="file 3", vector=[0.5, 0.5])
    ann.delete("file 3")
    filled.tokens.mint("ann", "planner")
    after = [(run(*command).stdout) for command in (["namespaces"], ["stats"], ["stats", *ANN], ["stats", "--json"])]
    assert after == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("command", [["ls", *ANN], ["namespaces"], ["export", "sqlite:///agent_data_store.db", "-"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(filled, command, unbuffered):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "datastore", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (ended.returncode, ended.stderr) == (1, "datastore: the output cannot be written: No space left on device\n")


def test_keys_are_listed_sorted_and_by_prefix(filled):
    assert run("ls", *ANN).stdout == "note\nplan\n"
    assert run("ls", "p", *ANN).stdout == "plan\n"
    assert run("ls", "file 1", *ANN, "-n", "files:x").stdout == "file 1\n"


def test_a_range_of_keys_is_listed_from_either_end(filled):
    files = (*ANN, "-n", "files:x")
    assert run("ls", "--reverse", "--limit", "2", *files).stdout == "file 2\nfile 1\n"
    assert run("ls", "--start", "file 1", "--end", "file 2", *files).stdout == "file 1\n"
    (line,) = run("ls", "-r", "-l", "--limit", "1", *files).stdout.splitlines()
    assert line.endswith("file 2")
    assert "end takes 513 bytes" in run("ls", "--end", "x" * 513, *files, exit_code=1).stderr


def test_the_id_of_a_record_and_the_way_back(tmp_path):
    id = run("id", "ann", "files:x", "a/b").stdout
    assert id == "ann:files%3Ax:NHxX\n"
    assert run("id", id.strip()).stdout.split()[-3:] == ["ann", "files:x", "a/b"]
    assert json.loads(run("id", id.strip(), "--json").stdout) == {"userId": "ann", "namespace": "files:x", "key": "a/b"}
    assert json.loads(run("id", "ann", "files:x", "a/b", "--json").stdout) == {"id": id.strip()}
    assert "give a user, a namespace and a key" in run("id", "ann", "plan", exit_code=2).stderr
    assert "key takes 0 bytes" in run("id", "ann", "plan", "", exit_code=1).stderr
    assert list(tmp_path.glob("*.db")) == [], "no store is opened"


def test_a_long_listing_shows_size_and_maker(filled):
    lines = run("ls", "plan", "-l", *ANN).stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].split()[2:] == ["44", "planner", "plan"]
    (record,) = map(json.loads, run("ls", "plan", "--json", *ANN).stdout.splitlines())
    assert (record["bytes"], record["key"], record["createdByAgent"]) == (44, "plan", "planner")
    assert "value" not in record


def test_a_record_is_shown_with_its_provenance_and_no_access_is_counted(filled):
    shown = run("get", "plan", *ANN).stdout
    assert '"big": 1180591620717411303424' in shown
    assert "created   by planner at" in shown
    assert 'metadata  {"source": "web"}' in shown
    for _ in range(2):
        record = json.loads(run("get", "plan", "--json", *ANN).stdout)
    assert record["accessCount"] == 0
    assert record["value"] == {"goal": "sell", "big": 2**70}
    assert run("get", "plan", "--value", *ANN).stdout == '{"goal":"sell","big":1180591620717411303424}\n'


def test_what_a_terminal_would_act_upon_is_shown_as_an_escape(filled):
    assert "\x1b" not in run("get", "note", *ANN).stdout
    assert "\x1b" not in run("stats").stdout


def test_a_missing_record_is_exit_code_4(filled):
    assert "there is no record 'none'" in run("get", "none", *ANN, exit_code=4).stderr
    assert "there is no record 'gone'" in run("get", "gone", *ANN, exit_code=4).stderr


def test_a_value_is_stored_as_json_or_as_text(store):
    revision = run("set", "plan", '{"n": 123456789012345678901234567890}', *ANN).stdout.strip()
    record = store.agent("ann", "x").get_record("plan")
    assert (record.revision, record.value, record.created_by_agent) == (
        revision,
        {"n": 123456789012345678901234567890},
        "administrator",
    )
    run("set", "plan", "just text", "--text", "--metadata", '{"m": 1}', "--ttl", "60", "--if-revision", revision, *ANN)
    record = store.agent("ann", "x").get_record("plan")
    assert (record.value, record.metadata) == ("just text", {"m": 1})
    assert record.expires_at is not None
    run("set", "other", "-", *ANN, "--agent", "importer", input="[1, 2]\n")
    assert store.agent("ann", "x").get("other") == [1, 2]
    answer = json.loads(run("set", "other", "1", "--json", *ANN).stdout)
    assert answer["revision"] == store.agent("ann", "x").get_record("other").revision


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "{bad"], "VALUE is not JSON (Expecting property name"),
        (["plan", "NaN"], "VALUE is not JSON (a number that is not finite)"),
        (["plan", "1", "--metadata", "[1]"], "--metadata is an array; it must be a JSON object"),
        (["plan", "1", "--if-revision", "another"], "not at 'another'"),
        (["plan", "1", "--add"], "there is a record already"),
        (["plan", "1", "--ttl", "0"], "it must be greater than zero"),
        (["k" * 600, "1"], "key takes 600 bytes"),
        (["plan", "[" * 100_000], "VALUE is not JSON"),
    ],
)
def test_what_cannot_be_stored_is_an_error_and_changes_nothing(filled, arguments, message):
    before = filled.agent("ann", "x").get_record("plan")
    result = run("set", *arguments, *ANN, exit_code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert filled.agent("ann", "x").get_record("plan") == before


def test_named_records_are_removed_and_missing_ones_are_exit_code_4(filled):
    assert run("rm", "plan", *ANN).stdout == "removed 1 record\n"
    result = run("rm", "note", "none", *ANN, exit_code=4)
    assert (result.stdout, result.stderr) == (
        "removed 1 record\n",
        "datastore: 1 of the given keys had no record\n",
    )
    assert filled.agent("ann", "x").list_keys() == []


def test_many_records_are_removed_after_asking(filled):
    files = (*ANN, "-n", "files:x")
    result = run("rm", "--prefix", "file", *files, exit_code=1, input="n\n")
    assert "3 records?" in result.stdout
    assert filled.agent("ann", "x", "files:x").count() == 3
    assert run("rm", "--prefix", "file 1", "--yes", *files).stdout == "removed 1 record\n"
    assert json.loads(run("rm", "--all", "--yes", "--json", *files).stdout)["removed"] == 2
    assert filled.agent("ann", "x").count() == 2


@pytest.mark.parametrize("arguments", [[], ["plan", "--all"], ["--all", "--prefix", "p"]], ids=str)
def test_what_is_to_be_removed_must_be_said_in_one_way(filled, arguments):
    assert "give KEYs, or --prefix, or --all" in run("rm", *arguments, *ANN, exit_code=2).stderr


def test_statistics_count_records_bytes_and_agents(filled):
    answer = json.loads(run("stats", "--json").stdout)
    assert (answer["records"], answer["users"]) == (6, 2)
    assert answer["bytes"] == 44 + 14 + 3 + 4
    assert [(one["userId"], one["namespace"], one["records"], one["agents"]) for one in answer["namespaces"]] == [
        ("ann", "default", 2, ["planner"]),
        ("ann", "files:x", 3, ["planner"]),
        ("bob", "default", 1, ["writer"]),
    ]
    assert json.loads(run("stats", "--json", *ANN, "-n", "files:x").stdout)["records"] == 3
    assert "planner" in run("stats").stdout


def test_the_user_can_come_from_the_environment_and_the_url_from_a_variable(filled, monkeypatch):
    monkeypatch.setenv("AGENT_DATASTORE_USER", "bob")
    monkeypatch.setenv("THE_STORE", "sqlite:///agent_data_store.db")
    assert run("ls", "--url", "env:THE_STORE").stdout == "plan\n"
    assert "'NOWHERE' is not set" in run("ls", "--url", "env:NOWHERE", exit_code=1).stderr


def test_looking_makes_no_new_store(own_directory):
    for command in (["ls", *ANN], ["get", "x", *ANN], ["stats"], ["namespaces"], ["rm", "x", *ANN]):
        result = run(*command, "--url", "sqlite:///typo.db", exit_code=1)
        assert "typo.db does not exist" in result.stderr
        assert "this command creates no new store" in result.stderr
    assert not list(own_directory.iterdir())


def test_without_a_user_it_says_how_to_name_one(filled):
    assert "AGENT_DATASTORE_USER" in run("ls", exit_code=2).stderr


NAMES = [
    ("ann", "a namespace with a long name and with spaces in it, " + "x" * 40),
    ("an-id-as-identity-providers-make-them|0123456789abcdef0123456789abcdef", "default"),
    ("漢字" * 10, "default"),
]


class TestTables:
    """One record is one line, whole: in a pipe, in a narrow terminal, and whatever the names are."""

    @pytest.fixture
    def names(self, store):
        for user, namespace in NAMES:
            store.agent(user, "planner", namespace).set("k" * 100, "x")
        return NAMES

    @pytest.mark.parametrize("columns", ["20", "60", "200"])
    @pytest.mark.parametrize("command", ["stats", "namespaces"])
    def test_no_id_is_cut_or_wrapped(self, names, command, columns, monkeypatch):
        monkeypatch.setenv("COLUMNS", columns)
        lines = run(command).stdout.splitlines()
        for user, namespace in names:
            assert len([line for line in lines if line.startswith(user) and namespace in line]) == 1
        assert len(lines) == 2 + len(names) + (2 if command == "stats" else 0)

    def test_a_process_that_writes_to_a_pipe_does_the_same(self, names):
        command = [sys.executable, "-m", "datastore", "stats"]
        lines = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE).stdout.splitlines()
        assert lines == run("stats").stdout.splitlines()

    def test_a_listing_has_a_line_for_each_key(self, names, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        for user, namespace in names:
            where = ("--user", user, "--namespace", namespace)
            assert run("ls", *where).stdout == "k" * 100 + "\n"
            assert run("ls", "--long", *where).stdout.count("\n") == 1

    def test_columns_are_aligned_by_the_width_of_characters(self, store):
        for user in ("ann", "漢字"):
            store.agent(user, "a").set("k", 1)
        lines = run("namespaces").stdout.splitlines()
        assert lines[2:] == ["ann    default           1", "漢字   default           1"]

    def test_what_would_break_a_line_is_an_escape(self, store):
        store.agent("a\nb", "a").set("k", 1)
        assert r"a\nb" in run("namespaces").stdout


class TestNothingFound:
    """A filter that matches nothing is said on standard error: it may be a typing error."""

    @pytest.mark.parametrize(
        ("arguments", "chosen"),
        [
            (["ls", "-u", "anne"], "--user anne --namespace default"),
            (["ls", "-u", "anne", "--long"], "--user anne --namespace default"),
            (["ls", "-u", "ann", "-n", "file:x", "--json"], "--user ann --namespace file:x"),
            (["ls", "q", "-u", "ann"], "--user ann --namespace default and keys that begin with 'q'"),
            (["namespaces", "-u", "anne"], "--user anne"),
            (["namespaces", "-u", "anne", "--json"], "--user anne"),
            (["stats", "-u", "anne"], "--user anne"),
            (["stats", "-n", "de fault", "--json"], "--namespace 'de fault'"),
            (["query", "-u", "anne"], "--user anne --namespace default"),
            (["query", "-u", "anne", "--count"], "--user anne --namespace default"),
        ],
        ids=str,
    )
    def test_it_names_the_filter(self, filled, arguments, chosen):
        assert run(*arguments).stderr == f"datastore: there are no records for {chosen}\n"

    @pytest.mark.parametrize(
        "arguments",
        [["ls", *ANN], ["ls", "-l", *ANN], ["namespaces", *ANN], ["stats", *ANN], ["query", '{"goal": "no"}', *ANN]],
        ids=str,
    )
    def test_it_says_nothing_where_there_is_something(self, filled, arguments):
        assert run(*arguments).stderr == ""

    def test_an_empty_store_without_a_filter_is_no_mistake(self, store):
        assert run("stats").stderr == run("namespaces").stderr == ""


class TestForGood:
    """purge and forget."""

    def test_what_has_expired_is_purged(self, filled):
        assert run("purge").stdout == "removed 1 expired record\n"
        assert json.loads(run("purge", "--json").stdout) == {"purged": 0}
        assert filled.agent("ann", "x").count() == 2

    def test_a_user_is_forgotten_when_the_id_is_typed_once_more(self, filled):
        result = run("forget", "ann", input="ann\n")
        assert result.stdout.endswith("removed 5 records, and 1 expired\n")
        assert "this removes everything of user 'ann', in all namespaces" in result.stderr
        assert filled.agent("ann", "x").list_namespaces() == []
        assert filled.agent("bob", "x").count() == 1
        assert json.loads(run("forget", "bob", "--confirm", "bob", "--json").stdout) == {
            "userId": "bob",
            "records": 1,
            "expired": 0,
        }

    @pytest.mark.parametrize(
        ("arguments", "typed"), [([], "anne\n"), ([], "\n"), ([], ""), ([], "y\n"), (["--confirm", "bob"], "")], ids=str
    )
    def test_anything_else_removes_nothing(self, filled, arguments, typed):
        run("forget", "ann", *arguments, exit_code=1, input=typed)
        assert filled.agent("ann", "x").count() == 2

    def test_a_store_that_is_not_there_is_not_made(self, own_directory):
        for command in (["purge"], ["forget", "ann", "--confirm", "ann"]):
            assert "creates no new store" in run(*command, "--url", "sqlite:///typo.db", exit_code=1).stderr
        assert list(own_directory.iterdir()) == []


class TestReadingOnly:
    """Commands that look write nothing, and need no permission to."""

    LOOKING = (["ls", *ANN], ["ls", "-l", *ANN], ["get", "plan", *ANN], ["namespaces"], ["stats"], ["query", *ANN])

    @pytest.mark.parametrize("command", LOOKING, ids=str)
    def test_looking_changes_no_file(self, filled, own_directory, command):
        filled.close()
        before = {path.name: path.read_bytes() for path in own_directory.iterdir()}
        run(*command)
        assert (
            {path.name: path.read_bytes() for path in own_directory.iterdir()}
            == before
            == {"agent_data_store.db": before["agent_data_store.db"]}
        )

    def test_who_may_only_read_a_file_may_look(self, filled, own_directory, reachable):
        filled.close()
        for command in (*self.LOOKING, ["set", "x", "1", *ANN]):
            run(*command)  # imports what it needs, which others may not read on every machine
        (own_directory / "agent_data_store.db").chmod(0o444)
        own_directory.chmod(0o555)

        def work():
            for command in self.LOOKING:
                assert run(*command).stdout
            assert "?mode=ro opens it for reading only" in run("set", "x", "1", *ANN, exit_code=1).stderr

        as_nobody(work)
        own_directory.chmod(0o755)

    @pytest.mark.parametrize("mode", ["ro", "rw"])
    def test_the_url_may_say_the_mode_itself(self, filled, mode):
        assert run("ls", *ANN, "--url", f"sqlite:///agent_data_store.db?mode={mode}").stdout == "note\nplan\n"

    @pytest.mark.parametrize(
        "command",
        [["set", "x", "1", *ANN], ["rm", "plan", *ANN], ["purge"], ["forget", "ann", "--confirm", "ann"]],
        ids=str,
    )
    def test_what_writes_is_refused_where_the_url_says_so(self, filled, command):
        result = run(*command, "--url", "sqlite:///agent_data_store.db?mode=ro", exit_code=1)
        assert "opened for reading only (mode=ro)" in result.stderr
        assert filled.agent("ann", "x").list_keys() == ["note", "plan"]


class TestWordsOfTheCommandLine:
    """What the library says of its calls and arguments is said of commands and options."""

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            (["set", "plan", "1", "--add", *ANN], "there is a record already; leave out --add to overwrite it"),
            (
                ["set", "plan", "1", "--ttl", "0", *ANN],
                "--ttl is 0.0; it must be greater than zero and finite (`datastore rm`",
            ),
            (["set", "plan", "1", "--ttl", "1e20", *ANN], "(leave --ttl out to keep a record)"),
            (
                ["set", "plan", "1", "--metadata", json.dumps({"x": "y" * 17_000}), *ANN],
                "--metadata takes 17,008 bytes",
            ),
            (["ls", "--user", ""], "--user is empty"),
            (["query", "--meta", '{"createdBy": "x"}', *ANN], "--meta.createdBy: a record has no 'createdBy'"),
            (["query", "--meta", '{"createdAt": 1795262400}', *ANN], "write '2026-11-21T12:00:00Z'"),
        ],
        ids=str,
    )
    def test_an_error(self, filled, command, message):
        result = run(*command, exit_code=1)
        assert message in result.stderr
        assert "()" not in result.stderr

    def test_a_damaged_record(self, filled):
        with contextlib.closing(sqlite3.connect("agent_data_store.db", isolation_level=None)) as plain:
            plain.execute("UPDATE agent_data_store SET value = '{' WHERE key = 'plan'")
        assert "remove it with `datastore rm`" in run("get", "plan", *ANN, exit_code=1).stderr

    @pytest.mark.parametrize(
        ("text", "at"),
        [
            ('{"a" 1}', "line 1 column 6 (char 5)"),
            ("nonsense", "line 1 column 1 (char 0)"),
            ('{"a": 1,\n "b" 2}', "line 2 column 6 (char 14)"),
            ("", "line 1 column 1 (char 0)"),
        ],
    )
    def test_a_mistake_in_json_is_where_it_says(self, store, text, at):
        for command in (["set", "k", text], ["set", "k", "1", "--metadata", text], ["query", text]):
            assert f"{at})" in run(*command, *ANN, exit_code=1).stderr


class TestQuery:
    """Records by what is in them."""

    FILES = (*ANN, "-n", "files:x")

    def test_matching_records_are_shown_one_a_line_in_the_order_asked(self, filled):
        assert run("query", '{"goal": "sell"}', *ANN).stdout == 'plan  {"goal":"sell","big":1180591620717411303424}\n'
        filled.agent("ann", "x", "shop").set_many({name: {"n": name} for name in "bca"})
        sort = ("query", *ANN, "-n", "shop", "--sort=-n", "--limit", "2")
        assert run(*sort).stdout == 'c  {"n":"c"}\nb  {"n":"b"}\n'

    def test_metadata_and_provenance_are_asked_for_apart(self, filled):
        assert run("query", "--meta", '{"createdByAgent": "planner"}', "--count", *self.FILES).stdout == "3\n"
        assert run("query", "--meta", '{"createdByAgent": "nobody"}', *self.FILES).stdout == ""

    def test_for_programs_records_are_whole(self, filled):
        (record,) = map(json.loads, run("query", '{"goal": "sell"}', "--json", *ANN).stdout.splitlines())
        assert (record["key"], record["accessCount"], record["value"]["big"]) == ("plan", 0, 2**70)
        assert json.loads(run("query", "--count", "--json", *ANN).stdout) == {"count": 2}

    def test_it_says_how_the_database_answers(self, filled):
        assert json.loads(run("query", '{"goal": "sell"}', "--explain", *ANN).stdout)["backend"] == "sqlite"

    @pytest.mark.parametrize(
        ("filter", "message"),
        [
            ('{"a": {"$nope": 1}}', "$nope"),
            ("{", "FILTER is not JSON"),
            ("[1]", "FILTER is an array; it must be a JSON object"),
        ],
    )
    def test_what_is_no_filter_is_one_line(self, filled, filter, message):
        result = run("query", filter, *ANN, exit_code=1)
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
