"""Rows that somebody has edited or damaged: each is an error that names it, and affects no other row."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys

import pytest
from typer.testing import CliRunner

import datastore
from datastore import (
    BackendUnusableError,
    DamagedRecordError,
)
from datastore.backend import Fields
from datastore.cli.app import app
from datastore.ids import encode_key
from tests.sqlite.files import connect, filled

SECRET = "5ecret"
OTHERS = {f"k{number}": {"n": number} for number in range(3)}
ID = f"u:default:{encode_key('bad')}"


@pytest.fixture(params=["file", "memory"])
def store(request, path):
    """A store with some records, of which ``bad`` is to be damaged."""
    url = f"sqlite:///{path}" if request.param == "file" else "sqlite://:memory:"
    with datastore.connect(url, retry_seconds=0, flush_interval=3_600) as store:
        store.agent("u", "a").set_many({**OTHERS, "bad": {"n": 7, "s": SECRET}}, {"m": 1})
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")


def edit(store, change, parameters=()):
    """Change rows as another program might: nothing is checked."""
    connection = store.backend._opened.connections.take(sys._getframe())
    try:
        connection.execute("PRAGMA ignore_check_constraints=1")
        connection.execute(change, parameters)
    finally:
        store.backend._opened.connections.give_back(connection)


def allow_null(store):
    """Make a table without NOT NULL of it, as an ALTER TABLE of another program might."""
    connection = store.backend._opened.connections.take(sys._getframe())
    try:
        connection.execute("PRAGMA writable_schema=1")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'agent_data_store'"
        )
        connection.execute("PRAGMA writable_schema=RESET")
    finally:
        store.backend._opened.connections.give_back(connection)


VALUES = {
    "no JSON": f"'{{{SECRET}'",
    "empty": "''",
    "JSON5": "'{n: 7}'",
    "a blob": """CAST('{"n": 7}' AS BLOB)""",
    "not UTF-8": "CAST(x'22ff22' AS TEXT)",
    "a million digits": f"""' {{"n": {"7" * 1_000_000}}}'""",
    "deep": "'" + "[" * 5_000 + "]" * 5_000 + "'",
    "deep, exactly": "' " + "[" * 100_000 + "]" * 100_000 + "'",
    "not finite": "' NaN'",
    "a lone surrogate": r"""'"\ud800"'""",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
class TestAValue:
    @pytest.fixture(autouse=True)
    def planted(self, store, value):
        edit(store, f"UPDATE agent_data_store SET value = {value} WHERE _id = ?", (ID,))

    def test_asked_for_by_its_key_is_an_error_that_names_it(self, agent):
        for call in (
            lambda: agent.get("bad"),
            lambda: agent.get_record("bad"),
            lambda: agent.get_many(["k0", "bad"]),
            lambda: agent.update("bad", {"n": 1}),
            lambda: agent.increment("bad"),
        ):
            with pytest.raises(DamagedRecordError) as caught:
                call()
            shows_no_secret(caught.value)
            assert caught.value.id == ID
            assert not caught.value.retryable

    def test_is_left_out_of_listings_with_a_warning(self, agent, caplog):
        for call in (
            agent.get_all,
            lambda: [record.key for record in agent.iter_records()],
            lambda: [record.key for record in agent.scan().records],
            lambda: agent.scan(limit=2).records and [record.key for record in both_pages(agent)],
        ):
            caplog.clear()
            assert sorted(call()) == sorted(OTHERS)
            warns(caplog)

    def test_ends_no_find_for_the_others(self, agent, caplog):
        for filter in (
            {"n": {"$gte": 0}},
            {"n": {"$gte": 0, "$ne": 99}, "s": {"$exists": False}},
            {"$nor": [{"n": 99}]},
        ):
            assert agent.find(filter) == OTHERS
            assert agent.count(filter) in (3, 4), "counting reads no value that SQLite is sure of"
            assert [record.key for record in agent.find_records(filter).records] == sorted(OTHERS)
        assert set(agent.find(meta={"metadata.m": 1})) >= set(OTHERS) - {"bad"}
        assert agent.find({"n": {"$in": [1, 2]}}, meta={"metadata.m": 1}) == {"k1": {"n": 1}, "k2": {"n": 2}}
        assert agent.delete_where({"n": 1}) == 1

    def test_is_replaced_by_a_set(self, agent):
        agent.set("bad", {"n": 8})
        assert agent.get("bad") == {"n": 8}
        assert agent.get_record("bad").metadata == {"m": 1}

    def test_is_removed_like_any_other(self, agent):
        assert agent.delete("bad")
        assert not agent.exists("bad")
        assert agent.get_all() == OTHERS

    def test_is_removed_with_its_namespace(self, agent):
        assert agent.clear() == 4
        assert agent.list_keys() == []

    def test_is_removed_with_others(self, agent):
        assert agent.delete_many(["k0", "bad"]) == 2


def both_pages(agent):
    first = agent.scan(limit=2)
    return first.records + agent.scan(cursor=first.cursor).records


def shows_no_secret(error):
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def warns(caplog):
    warnings = [record for record in caplog.records if record.name == "datastore"]
    assert warnings
    for warning in warnings:
        assert warning.levelno == logging.WARNING
        assert ID in warning.getMessage()
        assert SECRET not in warning.getMessage()


FIELDS = {
    "createdAt": ["'yesterday'", "'2026-99-99T99:99:99.000000Z'", "x'00'", "CAST(x'ff' AS TEXT)", "NULL"],
    "updatedAt": ["'2026-02-30T00:00:00.000000Z'", "NULL"],
    "lastAccessedAt": ["'x'", "CAST(x'ff' AS TEXT)"],
    "revision": ["''", "x'00'", "CAST(x'ff' AS TEXT)", "NULL", f"'{SECRET * 100}'"],
    "createdByAgent": ["NULL", "CAST(x'ff' AS TEXT)"],
    "updatedByAgent": ["CAST(x'ff' AS TEXT)", "x'61'"],
    "lastAccessedByAgent": ["''", "x'00'"],
    "accessCount": ["-1", "1.5", "'many'", "9.5e18", "NULL"],
    "metadata": ["'[]'", "'{'", "'null'", "x'7b7d'", "NULL", "CAST(x'7bff' AS TEXT)"],
}


@pytest.mark.parametrize(("field", "stored"), [(field, one) for field, those in FIELDS.items() for one in those])
def test_a_damaged_field_damages_the_record_and_no_other(store, agent, caplog, field, stored):
    allow_null(store)
    edit(store, f"UPDATE agent_data_store SET {field} = {stored} WHERE _id = ?", (ID,))
    with pytest.raises(DamagedRecordError, match=ID) as caught:
        agent.get_record("bad")
    shows_no_secret(caught.value)
    assert sorted(record.key for record in agent.iter_records()) == sorted(OTHERS)
    warns(caplog)
    assert agent.find({"n": {"$lt": 5}}, meta={"metadata.m": 1}) == OTHERS
    assert (
        agent.find(meta={"createdAt": {"$gt": "2020"}, "createdByAgent": "a", "metadata.m": 1}).keys() >= OTHERS.keys()
    )
    assert agent.delete("bad")
    assert sorted(agent.list_keys()) == sorted(OTHERS)


@pytest.mark.parametrize("stored", ["x'00'", "CAST(x'ff' AS TEXT)"])
def test_an_expiry_that_is_no_text_is_met_in_every_listing(store, agent, caplog, stored):
    edit(store, f"UPDATE agent_data_store SET expiresAt = {stored} WHERE _id = ?", (ID,))
    for call in (lambda: agent.get("bad"), lambda: agent.exists("bad"), lambda: agent.get_many(["bad"])):
        with pytest.raises(DamagedRecordError, match=ID):
            call()
    assert sorted(agent.list_keys()) == sorted(OTHERS)
    warns(caplog)
    assert agent.get_all() == OTHERS
    agent.set("bad", 1)
    assert agent.get("bad") == 1


@pytest.mark.parametrize("expires_at", ["NULL", "'9999-01-01T00:00:00.000000Z'", "'9999'", "x'39393939'"])
@pytest.mark.parametrize(
    "created_at", ["'2020'", "x'32303230'", "CAST(x'ff' AS TEXT)", "NULL", f"zeroblob({2 * 27 + 1})"]
)
def test_times_that_the_store_does_not_write_are_those_that_every_read_returns(store, agent, created_at, expires_at):
    """A `get` takes both times as one column."""
    allow_null(store)
    edit(store, f"UPDATE agent_data_store SET createdAt = {created_at}, expiresAt = {expires_at} WHERE _id = ?", (ID,))
    if expires_at.startswith("x"):
        with pytest.raises(DamagedRecordError, match=ID):
            agent.get("bad")
        return
    agent.get("bad")
    one, several = (store.backend.read(ids, Fields.BARE_VALUE)[ID] for ids in ([ID], [ID, "u:default:?"]))
    assert one[:2] + one[3:] == several[:2] + several[3:]  # all but the revision


def test_metadata_that_nobody_can_read_is_not_merged_with(store, agent):
    edit(store, "UPDATE agent_data_store SET metadata = '[' WHERE _id = ?", (ID,))
    with pytest.raises(DamagedRecordError, match="metadata cannot be merged with"):
        agent.set("bad", 1, {"more": True})
    agent.delete("bad")
    agent.set("bad", 1, {"more": True})
    assert agent.get_record("bad").metadata == {"more": True}


def test_a_revision_that_is_no_text_makes_no_conflict(store, agent):
    edit(store, "UPDATE agent_data_store SET revision = CAST(x'ff' AS TEXT) WHERE _id = ?", (ID,))
    for call in (
        lambda: agent.set("bad", 1, if_revision="r"),
        lambda: agent.add("bad", 1),
        lambda: agent.delete("bad", if_revision="r"),
    ):
        with pytest.raises(DamagedRecordError, match="revision is not text"):
            call()


IDS = [
    "'u:default:?'",
    "'u:default:YR=='",
    "'u:default:a:b'",
    "'u:default:a:NF'",
    "CAST(x'753a64656661756c743aff' AS TEXT)",
]


@pytest.mark.parametrize("id", IDS)
def test_an_id_that_no_key_has_is_left_out_and_removed_with_its_namespace(store, agent, caplog, id):
    edit(store, f"UPDATE agent_data_store SET _id = {id} WHERE _id = ?", (ID,))
    assert sorted(agent.list_keys()) == sorted(OTHERS)
    assert agent.get_all() == OTHERS
    assert [record.key for record in agent.iter_records()] == sorted(OTHERS)
    assert agent.find({"n": {"$gte": 0}}) == OTHERS
    assert len(caplog.records) == 4
    assert agent.list_namespaces() == ["default"]
    agent.clear()
    edit_count = store.backend.document_count()
    assert edit_count == 0


@pytest.mark.parametrize("id", ["u:broken", "u:", "u:%ff:YQ==", "u::YQ=="])
def test_an_id_without_a_namespace_hides_no_namespace_behind_it(store, agent, id):
    edit(store, "UPDATE agent_data_store SET _id = ? WHERE _id = ?", (id, ID))
    agent.use_namespace("zzz").set("k", 1)
    assert agent.list_namespaces() == ["default", "zzz"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("id", [b"u:default:\xff", b"u:default:k\xff0", b"u:default:\xf0\x9f"])
def test_a_listing_goes_on_behind_an_id_that_is_no_utf_8(store, agent, limit, id):
    edit(store, "UPDATE agent_data_store SET _id = CAST(? AS TEXT) WHERE _id = ?", (id, ID))
    backend, documents, after = store.backend, [], None
    for _ in range(10):
        page = backend.all_documents(datastore.backend.Fields.ALL, limit, after)
        documents += page.documents
        after = page.after
        if after is None:
            break
    assert sorted(document.value["n"] for document in documents) == [0, 1, 2]


def test_an_index_that_a_damaged_row_forbids_names_the_row(store, agent):
    edit(store, "UPDATE agent_data_store SET value = '{' WHERE _id = ?", (ID,))
    with pytest.raises(DamagedRecordError, match=ID):
        store.ensure_index(["n"])
    agent.delete("bad")
    store.ensure_index(["n"])
    assert agent.find({"n": 1}) == {"k1": {"n": 1}}


@pytest.mark.parametrize("value", ["CAST(x'22ff22' AS TEXT)", "' NaN'"])
def test_a_find_on_an_index_leaves_out_what_it_cannot_read(store, agent, value):
    store.ensure_index(["n"])
    with_value = "replace(value, '5ecret', CAST(x'ff' AS TEXT))" if "ff" in value else "replace(value, '7', '7e400')"
    edit(store, f"UPDATE agent_data_store SET value = {with_value} WHERE _id = ?", (ID,))
    assert agent.explain({"n": {"$gte": 0}})["index"] is not None
    assert agent.find({"n": {"$gte": 0}}) == OTHERS
    assert agent.find({"n": {"$in": [0, 2, 7]}}) == {"k0": {"n": 0}, "k2": {"n": 2}}


def test_accesses_of_a_record_that_was_damaged_since_are_counted_or_not_and_harm_nothing(store, agent):
    agent.get("bad")
    agent.get("k0")
    edit(store, "UPDATE agent_data_store SET value = '{', accessCount = 'many' WHERE _id = ?", (ID,))
    store.flush()
    assert agent.get_record("k0").access_count == 1


class TestMovingAndExamining:
    @pytest.fixture
    def damaged(self, path):
        with datastore.connect(f"sqlite:///{path}", retry_seconds=0) as store:
            store.agent("u", "a").set_many({**OTHERS, "bad": SECRET, "worse": SECRET})
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE agent_data_store SET value = '{' WHERE _id = ?", (ID,))
            connection.execute(
                "UPDATE agent_data_store SET _id = CAST(x'ff' AS TEXT) WHERE key = 'worse'",
            )
        connection.close()
        return path

    def test_a_copy_reports_what_it_leaves_behind(self, damaged):
        with datastore.connect(f"sqlite:///{damaged}") as source, datastore.connect("memory://") as target:
            report = datastore.moving.copy(source, target)
            assert (report.written, report.counts, report.left_out) == (3, {"failed": 2}, 0)
            assert target.agent("u", "a").get_all() == OTHERS
            assert ID in {problem.where for problem in report.problems}
            assert not any(SECRET in problem.text for problem in report.problems)

    def test_an_export_reports_what_it_leaves_out(self, damaged, tmp_path):
        with datastore.connect(f"sqlite:///{damaged}") as source:
            report = datastore.moving.export_records(source, tmp_path / "out.jsonl")
        assert (report.written, report.counts) == (3, {"failed": 2})

    def test_a_damaged_record_in_the_target_is_reported_and_the_others_arrive(self, damaged):
        with datastore.connect("memory://") as source, datastore.connect(f"sqlite:///{damaged}") as target:
            source.agent("u", "a").set_many({"k0": 5, "bad": 6, "new": 7})
            report = datastore.moving.copy(source, target, overwrite=True)
            assert (report.written, report.counts) == (2, {"failed": 1})
            assert "damaged" in report.problems[0].text
            assert target.agent("u", "a").get("new") == 7

    def test_doctor_names_them_and_removes_them_when_told_to(self, damaged):
        url = f"sqlite:///{damaged}"
        assert run("doctor", url, "--read-only").exit_code == 0, "it reads every record only when it is told to"
        found = run("doctor", url, "--read-only", "--records", "--json")
        assert found.exit_code == 3
        texts = [finding["text"] for finding in json.loads(found.stdout)["findings"] if not finding["healthy"]]
        assert len(texts) == 2
        assert any(ID in text for text in texts)
        assert SECRET not in found.stdout
        removed = run("doctor", url, "--remove-damaged")
        assert removed.exit_code == 0, removed.output
        assert f"removed the damaged record '{ID}'" in removed.stdout
        assert "3 records can be read, 2 cannot" in removed.stdout
        assert run("doctor", url, "--records").exit_code == 0
        with datastore.connect(url) as store:
            assert store.agent("u", "a").get_all() == OTHERS

    def test_doctor_finds_rows_that_no_call_can_meet(self, damaged):
        with sqlite3.connect(damaged) as connection:
            connection.execute("UPDATE agent_data_store SET _id = x'00' WHERE key = 'k0'")
        connection.close()
        found = run("doctor", f"sqlite:///{damaged}", "--read-only")
        assert "1 rows have an _id that is not text" in found.stdout

    def test_removing_and_looking_only_exclude_each_other(self, damaged):
        assert run("doctor", f"sqlite:///{damaged}", "--read-only", "--remove-damaged").exit_code == 2


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_damage_found_later_is_an_error_and_not_a_missing_record(tmp_path):
    path = filled(tmp_path / "a.db", 2_000)
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (path.stat().st_size - 4_096))
    with connect(path) as store:
        agent = store.agent("u", "a")
        for call in (lambda: agent.get("k1"), lambda: agent.set("k1", 1), agent.list_keys, agent.count):
            with pytest.raises(BackendUnusableError, match=r"is damaged .*restore it from a backup"):
                call()
