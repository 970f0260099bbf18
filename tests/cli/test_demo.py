"""``datastore demo``: what its agents leave in the store, and what they do with it the next time."""

from __future__ import annotations

import json
import sqlite3

import pytest

import datastore


@pytest.fixture
def opened(project, demo):
    """Return a function that opens the store after a run, bound to a namespace of the project."""
    stores = []

    def open_namespace(kind):
        stores.append(datastore.connect("sqlite:///agent_data_store.db?create=false"))
        return stores[-1].agent("demo", "test", f"{kind}:bookshop")

    yield open_namespace
    for store in stores:
        store.close()


def test_the_reader_stores_each_text_file_under_its_path(project, demo, opened):
    output = demo(project)
    assert "5 files" in output
    assert "5 new, 0 changed, 0 unchanged, 0 deleted" in output
    files = opened("files")
    assert files.list_keys() == ["README.md", "pyproject.toml", "shop/books.py", "shop/stock.py", "shop/till.py"]
    record = files.get_record("shop/books.py")
    assert record.created_by_agent == "reader"
    assert record.metadata == {"run": 1}
    assert record.value["text"] == (project / "shop/books.py").read_text()
    assert record.value["language"] == "python"
    assert record.value["size"] == len((project / "shop/books.py").read_bytes())


def test_the_summariser_says_what_each_file_defines_uses_and_is_headed(project, demo, opened):
    demo(project)
    summaries = opened("summary").get_all()
    assert [definition["name"] for definition in summaries["shop/books.py"]["definitions"]] == [
        "Book",
        "Book.price",
        "find_book",
    ]
    assert summaries["shop/stock.py"]["uses"] == ["books.Book", "books.find_book"]
    assert summaries["README.md"]["headings"] == ["Bookshop", "Selling"]
    assert summaries["README.md"]["lines"] == 5


def test_the_analyst_finds_the_largest_files_and_the_most_used_definitions(project, demo, opened):
    demo(project)
    analysis = opened("analysis").get_all()
    assert analysis["largest"][0]["key"] == "shop/books.py"
    assert analysis["largest"][0]["beginning"] == '"""Books."""'
    assert analysis["most used"] == [
        {"name": "Book", "key": "shop/books.py", "files": 2, "definition": "class Book:"},
        {"name": "find_book", "key": "shop/books.py", "files": 1, "definition": "def find_book():"},
    ]
    assert analysis["runs"] == 1
    assert [entry["run"] for entry in analysis["log"]] == [1]


def test_provenance_shows_who_created_and_who_read(project, demo, opened):
    demo(project)
    record = opened("files").get_record("shop/till.py")
    assert (record.created_by_agent, record.last_accessed_by_agent) == ("reader", "analyst")
    record = opened("summary").get_record("shop/till.py")
    assert (record.created_by_agent, record.last_accessed_by_agent, record.access_count) == ("summariser", "analyst", 1)


def test_the_second_run_remembers(project, demo, opened):
    demo(project)
    before = {record.key: (record.revision, record.access_count) for record in opened("files").iter_records()}
    output = demo(project)
    assert "0 new, 0 changed, 5 unchanged, 0 deleted" in output
    assert "0 built, 5 reused, 0 deleted" in output
    assert "It remembered: 5 of 5 files and 5 of 5 summaries were cache hits. Run 1 was at 20" in output
    after = {record.key: (record.revision, record.access_count) for record in opened("files").iter_records()}
    assert {key: revision for key, (revision, _) in before.items()} == {
        key: revision for key, (revision, _) in after.items()
    }
    assert all(after[key][1] > count for key, (_, count) in before.items())
    assert opened("analysis").get("runs") == 2
    assert [entry["files unchanged"] for entry in opened("analysis").get("log")] == [0, 5]


def test_only_what_changed_is_stored_and_summarised_anew(project, demo, opened):
    demo(project)
    untouched = opened("files").get_record("shop/till.py").revision
    (project / "README.md").write_text("# Closed\n")
    (project / "NEWS.md").write_text("# News\n")
    output = demo(project)
    assert "1 new, 1 changed, 4 unchanged, 0 deleted" in output
    assert "2 built, 4 reused, 0 deleted" in output
    assert opened("summary").get("README.md")["headings"] == ["Closed"]
    assert opened("files").get_record("README.md").metadata == {"run": 2}
    assert opened("files").get_record("shop/till.py").revision == untouched


def test_a_file_that_is_gone_is_deleted_with_its_summary(project, demo, opened):
    demo(project)
    (project / "shop/till.py").unlink()
    output = demo(project)
    assert "4 unchanged, 1 deleted" in output
    assert "4 reused, 1 deleted" in output
    assert "shop/till.py" not in opened("files")
    assert "shop/till.py" not in opened("summary")


def test_what_a_stranger_left_in_the_namespaces_does_not_stop_it(project, demo, opened):
    demo(project)
    for kind in ("files", "summary"):
        namespace = opened(kind)
        namespace.set("README.md", 42)
        namespace.set("hello", [1])
    output = demo(project)
    assert "1 changed, 4 unchanged, 1 deleted" in output
    assert "1 built, 4 reused, 1 deleted" in output


def test_it_shows_what_the_store_holds_in_tables(project, demo, opened):
    output = demo(project)
    for title in (
        "What the store holds",
        "Some records with their provenance",
        "The largest files",
        "The most used definitions",
        "Calls of the store in this run",
    ):
        assert title in output
    lines = {line.split()[0]: line.split() for line in output.splitlines() if line.strip()}
    size = sum(len(json.dumps(value, separators=(",", ":")).encode()) for value in opened("files").get_all().values())
    assert lines["files:bookshop"] == ["files:bookshop"]  # the heading of its records, the last to begin like this
    assert f"files:bookshop 5 {size:,}" in [" ".join(line.split()) for line in output.splitlines()]
    for call in ("get", "get_many", "set_many", "iter_records", "list_keys", "increment", "append", "flush"):
        assert call in lines


def test_the_file_can_be_read_with_sqlite(project, demo):
    output = demo(project)
    assert "Everything is kept in sqlite:///agent_data_store.db, the file /" in output
    assert output.endswith("See it on pages: datastore view sqlite:///agent_data_store.db\n")
    connection = sqlite3.connect("agent_data_store.db")
    rows = connection.execute(
        "SELECT key, createdByAgent, value ->> 'size' FROM agent_data_store WHERE namespace = 'files:bookshop'"
    ).fetchall()
    connection.close()
    assert ("README.md", "reader", 31) in rows


def test_the_environment_names_the_store(project, demo, own_directory, monkeypatch):
    monkeypatch.setenv("AGENT_DATASTORE_URL", "sqlite:///elsewhere.db")
    assert "sqlite:///elsewhere.db" in demo(project)
    assert {path.name.partition("-")[0] for path in own_directory.iterdir()} == {"elsewhere.db"}


def test_it_runs_on_any_backend(project, demo, own_directory):
    output = demo(project, "--url", "memory://")
    assert "5 new" in output
    assert "memory:// keeps nothing beyond this run" in output
    assert not list(own_directory.iterdir())


def test_it_reads_the_directory_it_is_started_in(project, demo, monkeypatch, opened):
    monkeypatch.chdir(project)
    demo()
    output = demo()
    assert "5 files" in output
    assert "1 the store's own" in output


def test_the_project_the_user_and_the_name_choose_the_namespaces(project, demo):
    demo(project, "--user", "ann", "--name", "books")
    with datastore.connect() as store:
        assert store.agent("ann", "test").list_namespaces() == ["analysis:books", "files:books", "summary:books"]
        assert store.agent("demo", "test").list_namespaces() == []


def test_the_directory_names_the_project_that_does_not_name_itself(project, demo):
    (project / "pyproject.toml").write_text("[project]\nno toml")
    assert "run 1 on project, as user demo" in demo(project)


def test_a_directory_without_files_is_no_error(tmp_path, demo):
    (tmp_path / "empty").mkdir()
    output = demo(tmp_path / "empty")
    assert "0 files" in output
    assert "There are no text files here" in output


@pytest.mark.parametrize("columns", ["1", "20", "47", "400"])
def test_any_width_will_do(project, demo, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert "5 files" in demo(project)


def test_a_long_log_is_cut(project, demo, opened):
    demo(project)
    opened("analysis").set("log", [{"run": number, "at": "then"} for number in range(1_000)])
    demo(project)
    log = opened("analysis").get("log")
    assert len(log) == 1_000
    assert log[0]["run"] == 1


def test_a_terminal_sees_how_far_the_agents_are(project, demo, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    output = demo(project)
    for agent in ("reader", "summariser", "analyst"):
        assert f"{agent:<10} \x1b" in output
    assert "5/5" in output
