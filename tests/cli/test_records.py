"""Looking and mending: namespaces, ls, get, set, rm, stats."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli.app import app

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


def test_keys_are_listed_sorted_and_by_prefix(filled):
    assert run("ls", *ANN).stdout == "note\nplan\n"
    assert run("ls", "p", *ANN).stdout == "plan\n"
    assert run("ls", "file 1", *ANN, "-n", "files:x").stdout == "file 1\n"


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
        "datastore: 1 key of those given had no record\n",
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
        assert "this command makes no new store" in result.stderr
    assert not list(own_directory.iterdir())


def test_without_a_user_it_says_how_to_name_one(filled):
    assert "AGENT_DATASTORE_USER" in run("ls", exit_code=2).stderr


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
