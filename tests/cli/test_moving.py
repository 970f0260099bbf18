"""The commands copy, export and import: what they say, and how they end."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import datastore
from datastore.cli import moving
from datastore.cli.app import app
from datastore.moving import digest_of
from datastore.urls import Url
from tests.moving.tables import make_table
from tests.moving.test_legacy import COLLIDED, MIXED
from tests.moving.test_legacy_format import legacy
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/agent-datastore"


@pytest.fixture
def source(own_directory):
    with datastore.connect("sqlite:///a.db") as store:
        store.agent("ann", "a").set_many({f"key {number}": number for number in range(1_200)})
        store.agent("bob", "b", "other").set("plan", 2**70)
        store.agent("bob", "b", "other").set("gone", 1, ttl=1e-6)
        yield store


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    return result


def digest(url):
    with datastore.connect(url) as store:
        return digest_of(store)


def test_a_copy_says_what_it_did(source, state):
    lines = run("copy", "sqlite:///a.db", "sqlite:///b.db").stdout.splitlines()
    assert lines[:5] == [
        "sqlite:///a.db -> sqlite:///b.db",
        "read             1,202",
        "written          1,201",
        "expired              1  left out",
        "verified         1,201  read back and found equal",
    ]
    assert "a second" in lines[-1]
    assert digest("sqlite:///b.db") == digest_of(source)
    assert "unchanged        1,201  there already" in run("copy", "sqlite:///a.db", "sqlite:///b.db").stdout
    assert not list(state.iterdir()), "a copy that is done leaves no checkpoint"


def test_a_migration_in_place_says_what_it_did_and_no_digest_that_it_does_not_have(own_directory):
    store = Path(__file__).parents[1] / "moving" / "stores" / "format_1.sqlite3.gz"
    (own_directory / "old.db").write_bytes(gzip.decompress(store.read_bytes()))
    assert "datastore migrate" in run("ls", "--user", "ann", "--url", "sqlite:///old.db", exit_code=1).stderr
    said = run("migrate", "sqlite:///old.db").stdout
    assert "verified           507" in said
    assert "digest" not in said
    assert run("ls", "--user", "ann", "--url", "sqlite:///old.db", "--limit", "1").stdout
    assert "nothing to migrate" in run("migrate", "sqlite:///old.db", exit_code=1).stderr


def test_a_migration_into_another_store_has_a_digest(own_directory, state):
    store = Path(__file__).parents[1] / "moving" / "stores" / "format_1.sqlite3.gz"
    (own_directory / "old.db").write_bytes(gzip.decompress(store.read_bytes()))
    said = run("migrate", "sqlite:///old.db", "sqlite:///new.db").stdout
    assert "verified           503" in said, "the four that have expired are left out, as by any copy"
    assert "digest      0000000000000000" not in said
    assert "digest" in said


def test_a_report_for_programs(source):
    report = json.loads(run("copy", "sqlite:///a.db", "sqlite:///b.db", "--user", "bob", "--json").stdout)
    assert report["written"] == report["verified"] == 1
    assert (report["source"], report["sink"], report["complete"]) == ("sqlite:///a.db", "sqlite:///b.db", True)


@pytest.mark.parametrize("file", ["x.jsonl", "x.jsonl.gz"])
def test_an_export_and_its_import_carry_everything(source, file):
    exported = json.loads(run("export", "sqlite:///a.db", file, "--json").stdout)
    imported = json.loads(run("import", file, "sqlite:///b.db", "--json").stdout)
    assert exported["digest"] == imported["digest"] == digest("sqlite:///b.db") == digest_of(source)


class TestStandardStreams:
    """An export to standard output, and an import from standard input: by -, and by the system's names for them."""

    @pytest.fixture
    def wanted(self, source):
        return digest_of(source)

    def process(self, *arguments, **options):
        command = [sys.executable, "-m", "datastore", *arguments]
        return subprocess.run(command, capture_output="stdout" not in options, timeout=PATIENCE, **options)

    def test_an_export_is_written_to_it_and_reported_beside_it(self, source, wanted, own_directory):
        result = self.process("export", "sqlite:///a.db", "-", "--json")
        assert result.returncode == 0
        report = json.loads(result.stderr)
        assert (report["written"], report["sink"]) == (1_201, "standard output")
        assert not (own_directory / "-").exists()
        again = self.process("import", "-", "sqlite:///b.db", "--json", input=result.stdout)
        assert json.loads(again.stdout)["source"] == "standard input"
        assert digest("sqlite:///b.db") == wanted

    @pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_what_the_shell_has_opened_is_not_replaced(self, source, wanted, own_directory, name):
        with (own_directory / "out.jsonl").open("ab") as out:
            inode = os.fstat(out.fileno()).st_ino
            assert self.process("export", "sqlite:///a.db", name, stdout=out).returncode == 0
        assert (own_directory / "out.jsonl").stat().st_ino == inode
        run("import", "out.jsonl", "sqlite:///b.db")
        assert digest("sqlite:///b.db") == wanted

    def test_what_is_there_already_stays(self, source, own_directory):
        with (own_directory / "out").open("ab") as out:
            out.write(b"before\n")
            out.flush()
            self.process("export", "sqlite:///a.db", "/dev/stdout", stdout=out)
        assert (own_directory / "out").read_bytes().startswith(b"before\n{")

    @pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
    def test_a_pipe_is_imported(self, source, wanted, name):
        exported = self.process("export", "sqlite:///a.db", "-").stdout
        assert self.process("import", name, "sqlite:///b.db", input=exported).returncode == 0
        assert digest("sqlite:///b.db") == wanted

    def test_what_is_cut_off_in_a_pipe_is_refused_before_anything_is_written(self, source):
        exported = self.process("export", "sqlite:///a.db", "-").stdout
        result = self.process("import", "-", "sqlite:///b.db", input=exported[:-200])
        assert result.returncode == 1
        assert b"standard input is not complete: it was cut off" in result.stderr
        assert run("stats", "--url", "sqlite:///b.db").stdout == "there are no records\n"

    def test_one_command_feeds_the_other(self, source, wanted):
        datastore_ = f"{sys.executable} -m datastore"
        pipeline = f"{datastore_} export sqlite:///a.db - | {datastore_} import - sqlite:///b.db --json"
        assert subprocess.run(["bash", "-c", pipeline], timeout=PATIENCE, capture_output=True).returncode == 0
        assert digest("sqlite:///b.db") == wanted

    def test_who_reads_no_further_ends_it_without_a_traceback(self, source):
        pipeline = f"{sys.executable} -m datastore export sqlite:///a.db - | head -c 10"
        result = subprocess.run(["bash", "-c", pipeline], timeout=PATIENCE, capture_output=True)
        assert result.stdout == b'{"format":'
        assert b"Traceback" not in result.stderr
        assert b"Exception ignored" not in result.stderr


def test_an_interrupted_export_says_that_nothing_is_left(source, own_directory, monkeypatch):
    export = moving.export_records

    def interrupted(*args, **kwargs):
        def interrupt(done, total):
            raise KeyboardInterrupt

        return export(*args, **{**kwargs, "on_progress": interrupt})

    monkeypatch.setattr(moving, "export_records", interrupted)
    assert "the next run starts over" in run("export", "sqlite:///a.db", "x.jsonl", exit_code=130).stderr
    assert [path.name for path in own_directory.iterdir() if path.name.startswith("x.")] == []


@pytest.mark.parametrize("arguments", [["export", "sqlite:///a.db", "."], ["import", ".", "sqlite:///b.db"]], ids=str)
def test_a_directory_is_not_understood(source, arguments, own_directory):
    assert "is a directory; name a file in it" in run(*arguments, exit_code=2).stderr
    assert not (own_directory / "b.db").exists()


def test_a_symbolic_link_is_refused(source, own_directory):
    (own_directory / "link.jsonl").symlink_to("real.jsonl")
    assert (
        "link.jsonl is a symbolic link to real.jsonl"
        in run("export", "sqlite:///a.db", "link.jsonl", exit_code=1).stderr
    )
    assert not (own_directory / "real.jsonl").exists()


def test_a_store_is_not_copied_to_itself_however_it_is_spelled(source, own_directory):
    (own_directory / "folder").mkdir()
    (own_directory / "link.db").symlink_to("a.db")
    for other in ("a.db", f"/{own_directory}/a.db", "./folder/../a.db", "a.db?timeout=3", "link.db", "a%2Edb"):
        for pair in (("sqlite:///a.db", f"sqlite:///{other}"), (f"sqlite:///{other}", "sqlite:///a.db")):
            result = run("copy", *pair, exit_code=1)
            assert "source and sink are the same store; there is nothing to copy" in result.stderr
    run("copy", "sqlite:///a.db", "sqlite:///a.db?isolation=database")
    assert (own_directory / "a-ann.db").exists()


@pytest.mark.parametrize(
    ("adapter", "same", "others"),
    [
        (
            "datastore_couchdb",
            ["couchdb://h/db", "couchdb://H:5984/db/", "couchdb://u:p@h:5984/db?timeout=3"],
            ["couchdb://h/other", "couchdb://h:5985/db", "couchdbs://h/db", "couchdb://h/db?isolation=database"],
        ),
        ("datastore_couchdb", ["couchdb://localhost", "couchdb://127.0.0.1:5984/agent_data_store"], []),
        (
            "datastore_dynamodb",
            ["dynamodb://", "dynamodb://agent_data_store/?consistency=eventual"],
            ["dynamodb://other", "dynamodb://?region=eu-west-1", "dynamodb://?endpoint_url=http://localhost:8000"],
        ),
        (
            "datastore_firestore",
            ["firestore://p", "firestore://p/agent_data_store", "firestore://p?database=(default)"],
            ["firestore://q", "firestore://p/other", "firestore://p?database=other"],
        ),
        (
            "datastore_postgresql",
            [
                "postgresql://localhost/db",
                "postgresql://127.0.0.1:5432/db/public",
                "postgresql://u:p@LOCALHOST/db?pool=3",
            ],
            [
                "postgresql://other/db",
                "postgresql://localhost/other",
                "postgresql://localhost/db/agents",
                "postgresql://localhost/db?isolation=database",
            ],
        ),
        (
            "datastore_redis",
            ["redis://localhost", "redis://127.0.0.1:6379/0/agent_data_store", "redis://u:p@LOCALHOST/0?timeout=3"],
            ["redis://other", "redis://localhost/1", "redis://localhost/agents", "redis:///0?socket=/redis.sock"],
        ),
    ],
)
def test_a_database_is_the_same_however_its_url_spells_it(adapter, same, others, monkeypatch):
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    place = importlib.import_module(f"{adapter}.urls").place
    assert len({place(Url(url)) for url in same}) == 1
    assert len({place(Url(url)) for url in (same[0], *others)}) == 1 + len(others)


def test_two_databases_in_memory_are_never_the_same(source):
    for url in ("memory://", "sqlite://:memory:"):
        run("copy", url, url)


@pytest.mark.parametrize(
    "arguments",
    [["export", "sqlite:///a.db", "x.jsonl"], ["copy", "sqlite:///a.db", "sqlite:///b.db"]],
    ids=str,
)
def test_a_filter_that_matches_nothing_is_said_on_standard_error(source, arguments):
    for filters in (("--user", "typo"), ("--namespace", "typo"), ("--user", "ann", "--namespace", "ty po")):
        result = run(*arguments, *filters)
        assert result.stderr == f"datastore: there are no records for {shlex.join(filters)}\n"
    assert run(*arguments, "--user", "ann").stderr == ""
    assert run(*arguments).stderr == ""


def test_a_filter_that_matches_nothing_in_a_file_is_said_too(source):
    run("export", "sqlite:///a.db", "x.jsonl")
    assert "no records for --user typo" in run("import", "x.jsonl", "sqlite:///b.db", "-u", "typo").stderr
    assert run("import", "x.jsonl", "sqlite:///b.db", "-u", "bob").stderr == ""


def test_what_is_no_name_is_refused_before_a_target_is_made(source, own_directory):
    run("copy", "sqlite:///a.db", "sqlite:///b.db", "--user", "", exit_code=1)
    assert not (own_directory / "b.db").exists()


def test_a_namespace_can_be_exported_alone(source):
    run("export", "sqlite:///a.db", "x.jsonl", "--namespace", "other")
    assert json.loads(run("import", "x.jsonl", "memory://", "--json").stdout)["written"] == 1


def test_what_did_not_arrive_is_exit_code_3(source, monkeypatch):
    def failing(*args, **kwargs):
        report = moving.Report(read=2, written=1)
        report.note("failed", "ann:default:eA==", "the database refuses it")
        return report

    monkeypatch.setattr(moving, "copy", failing)
    result = run("copy", "sqlite:///a.db", "sqlite:///b.db", exit_code=3)
    assert "ann:default:eA==: the database refuses it" in result.stdout
    assert result.stderr == "datastore: not everything arrived: 1 record failed, 0 read back differently\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["copy", "sqlite:///typo.db", "sqlite:///b.db"], "typo.db does not exist"),
        (["copy", "sqlite:///a.db", "nosql://x"], "no backend serves nosql://"),
        (["copy", "sqlite:///a.db", "sqlite:///b.db", "--user", ""], "--user is empty"),
        (["export", "sqlite:///a.db", "nowhere/x.jsonl"], "No such file or directory"),
        (["import", "none.jsonl", "sqlite:///b.db"], "No such file or directory"),
        (["import", "a.db", "sqlite:///b.db"], "is not a file of 'datastore export'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(source, arguments, message):
    result = run(*arguments, exit_code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["copy", "couchdb://ann:secret@127.0.0.1:1/a", "memory://"],
        ["copy", "memory://", "couchdb://ann:sec/r@et@127.0.0.1:1/a"],
        ["copy", "memory://", "memory://", "couchdb://ann:secret@127.0.0.1:1/a"],
        ["couchdb://ann:secret@127.0.0.1:1/a"],
        ["export", "nosql://ann:secret@host/db", "x.jsonl"],
        ["stats", "--url", "couchdb://ann:secret@127.0.0.1:1/a"],
        ["doctor", "couchdb://ann:secret@127.0.0.1:1/a"],
        ["stats", "couchdb://ann:secret@127.0.0.1:1/a"],
    ],
    ids=str,
)
def test_no_password_is_shown(arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code in (1, 2, 3)
    assert "secret" not in result.output
    assert "et@" not in result.output


def test_a_copy_that_is_killed_goes_on_with_the_next_run(own_directory, state):
    with datastore.connect("sqlite:///a.db") as store:
        store.agent("ann", "a").set_many({f"key {number}": "x" * 1_000 for number in range(8_000)})
        wanted = digest_of(store)
    command = [sys.executable, "-m", "datastore.cli", "copy", "sqlite:///a.db", "sqlite:///b.db"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (state.is_dir() and list(state.glob("copy-*.json"))) and process.poll() is None:
        pass
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    report = json.loads(run("copy", "sqlite:///a.db", "sqlite:///b.db", "--json").stdout)
    assert report["resumed"] > 0
    assert report["read"] == 8_000
    assert digest("sqlite:///b.db") == wanted


def test_an_interrupted_copy_exits_with_130_and_can_begin_anew(source, monkeypatch):
    copy = moving.copy

    def interrupted(*args, **kwargs):
        def interrupt(done, total):
            raise KeyboardInterrupt

        return copy(*args, **{**kwargs, "on_progress": interrupt})

    with monkeypatch.context() as patch:
        patch.setattr(moving, "copy", interrupted)
        result = run("copy", "sqlite:///a.db", "sqlite:///b.db", exit_code=130)
    assert "the same command continues from there" in result.stderr
    report = json.loads(run("copy", "sqlite:///a.db", "sqlite:///b.db", "--from-start", "--json").stdout)
    assert (report["resumed"], report["unchanged"], report["written"]) == (0, 500, 701)


def test_without_a_place_for_the_checkpoint_it_does_without(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    run("copy", "sqlite:///a.db", "sqlite:///b.db")


def test_a_bar_is_shown_where_there_is_a_terminal(monkeypatch):
    from rich.console import Console

    from datastore.cli import progress

    shown = []

    class Terminal(Console):
        def __init__(self, **options):
            super().__init__(**{**options, "force_terminal": True, "width": 100, "record": True})
            shown.append(self)

    monkeypatch.setattr(progress, "Console", Terminal)
    with progress.progress_bar("copying") as update:
        update(500, 2_000)
        update(1_000, 2_000)
        shown[0].print("still")
    text = shown[0].export_text()
    assert "still" in text


class TestImportLegacy:
    """The command import-legacy."""

    @pytest.fixture
    def old(self, own_directory):
        make_table(own_directory / "old.db", [*MIXED, legacy(key="bad", value=float("nan"))])

    @pytest.fixture
    def collided(self, own_directory):
        make_table(own_directory / "old.db", COLLIDED)

    def test_a_dry_run_writes_nothing(self, old, own_directory, state):
        lines = run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--dry-run", exit_code=3).stdout.splitlines()
        assert "ready                4  would be written; this was a dry run" in lines
        assert "rejected             1  not moved" in lines
        assert not (own_directory / "b.db").exists()
        assert not state.exists()

    def test_it_says_what_it_moved_and_where_the_rest_is(self, old, state):
        result = run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", exit_code=3)
        assert "written              4" in result.stdout
        (rejects,) = state.iterdir()
        assert f"rejected             1  kept in {rejects}" in result.stdout
        assert "not everything arrived: 1 record failed" in result.stderr
        report = json.loads(run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--json", exit_code=3).stdout)
        assert (report["unchanged"], report["written"], report["rejects"]) == (4, 0, str(rejects))

    def test_what_may_be_another_users_is_held_back_until_somebody_decides(self, collided, own_directory):
        arguments = ("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--rejects", "left.jsonl")
        result = run(*arguments, exit_code=3)
        assert "collided             1  the value may be another user's" in result.stdout
        assert "0 records failed, 0 read back differently, 1 held back" in result.stderr
        assert "held back" in run("import-legacy", "left.jsonl", "sqlite:///b.db", exit_code=3).stderr
        result = run("import-legacy", "left.jsonl", "sqlite:///b.db", "--collided", "other")
        assert "left.jsonl -> sqlite:///b.db" in result.stdout
        with datastore.connect("sqlite:///b.db") as store:
            assert store.agent("a:b", "host", "c").get("plan") == "of a:b"

    def test_rules_are_options(self, own_directory):
        long, large = "k" * 600, "x" * 1_500_000
        make_table(
            own_directory / "old.db",
            [
                legacy(key=long),
                legacy(user="", key="of nobody"),
                legacy(key="l", value=large),
            ],
        )
        assert "3 records failed" in run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", exit_code=3).stderr
        rules = ("--rule", "shorten", "--rule", "split", "--rename", "user:=nobody")
        run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", *rules)
        with datastore.connect("sqlite:///b.db") as store:
            assert store.agent("nobody", "host").get("of nobody") == 1
            ann = store.agent("ann", "host")
            (short,) = (key for key in ann.list_keys() if key.startswith("kk"))
            assert ann.get(short) == 1
            assert "".join(ann.get(part) for part in ann.get("l")["splitInto"]) == large

    def test_a_renaming_must_be_one(self, old):
        arguments = ("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--rename", "ann=bob")
        assert "write user:OLD=NEW" in " ".join(run(*arguments, exit_code=2).stderr.split())

    def test_what_the_source_has_lost_is_named_and_removed_if_asked_for(self, own_directory):
        make_table(own_directory / "old.db", MIXED)
        run("import-legacy", "sqlite:///old.db", "sqlite:///b.db")
        with sqlite3.connect("old.db") as connection:
            connection.execute("DELETE FROM agent_data_store WHERE key = 'note'")
        connection.close()
        result = run("import-legacy", "sqlite:///old.db", "sqlite:///b.db")
        assert "gone                 1  only in the sink, from an earlier run; --prune removes it" in result.stdout
        assert "pruned               1" in run("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--prune").stdout

    @pytest.mark.parametrize(
        ("source", "sink"),
        [
            ("sqlite:///old.db", "sqlite:///old.db"),
            ("sqlite:///old.db", "sqlite:///./sub/../old.db?timeout=5"),
            ("sqlite:///link.db", "sqlite:///old.db"),
            ("couchdb://ann:x@localhost:5984/agents", "couchdb://127.0.0.1/agents?timeout=3"),
            ("dynamodb://agents?region=eu-west-1", "dynamodb://agents?region=eu-west-1&timeout=3"),
            ("firestore://project", "firestore://project/agent_data_store?database=(default)"),
        ],
    )
    def test_a_database_is_not_moved_into_itself_however_it_is_spelled(self, old, own_directory, source, sink):
        (own_directory / "sub").mkdir()
        (own_directory / "link.db").symlink_to("old.db")
        before = (own_directory / "old.db").read_bytes()
        for more in ((), ("--dry-run",)):
            result = run("import-legacy", source, sink, *more, exit_code=1)
            assert "source and sink are the same database" in result.stderr
        assert (own_directory / "old.db").read_bytes() == before

    def test_a_time_zone_must_be_one(self, old):
        arguments = ("import-legacy", "sqlite:///old.db", "sqlite:///b.db", "--timezone", "Mars/Olympus")
        assert "no time zone 'Mars/Olympus'" in run(*arguments, exit_code=2).stderr

    def test_a_source_that_is_none_is_one_line(self, own_directory):
        assert "No such file" in run("import-legacy", "sqlite:///no.db", "sqlite:///b.db", exit_code=1).stderr
        assert "No such file" in run("import-legacy", "no.jsonl", "sqlite:///b.db", exit_code=1).stderr
