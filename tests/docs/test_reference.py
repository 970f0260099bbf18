"""What the guides say in tables is true of the code: capabilities, parameters, options, errors and operators."""

from __future__ import annotations

import ast
import asyncio
import builtins
import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from typer.main import get_command

import datastore
from datastore import errors
from datastore.backend import ABILITIES, Capabilities, WouldWaitError
from datastore.cli.app import app
from datastore.conformance.calls import CALLS
from datastore.conformance.simulation import ClientError
from datastore.connecting import _STORE_OPTIONS, ENTRY_POINTS
from datastore.queries.language import META_FIELDS
from datastore.urls import Url
from datastore_couchdb.backend import CouchBackend
from datastore_dynamodb.backend import DynamoBackend
from datastore_firestore.backend import FirestoreBackend
from datastore_memory import MemoryBackend
from datastore_postgresql.backend import PostgresBackend
from datastore_redis.backend import RedisBackend
from datastore_sqlite import schema
from tests.docs.pages import PAGES, ROOT, page_name, prose

API = "docs/api.md"
SOURCES = sorted([*(ROOT / "datastore").rglob("*.py"), *(ROOT / "backends").rglob("*.py")])
ERRORS = {name for name, member in vars(errors).items() if inspect.isclass(member) and issubclass(member, Exception)}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables in a text, without the lines under their headings."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


def names_in(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


# ------------------------------------------------------------------------------------------------------ capabilities


def backends() -> Iterator[tuple[str, Capabilities]]:
    """The backends by their names in the table; those of servers are asked without one."""
    for name, url in (("SQLite", "sqlite:///capabilities.db"), ("SQLite in memory", "sqlite://:memory:")):
        with datastore.connect(url) as store:
            yield name, store.capabilities
    for name, kind in (
        ("memory", MemoryBackend),
        ("CouchDB", CouchBackend),
        ("DynamoDB", DynamoBackend),
        ("Firestore", FirestoreBackend),
        ("PostgreSQL", PostgresBackend),
        ("Redis", RedisBackend),
    ):
        yield name, kind.capabilities


def test_the_table_of_what_each_backend_can_do_is_what_each_declares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heading, *table = rows(section(API, "What each backend can do"))
    shown = {
        column: {names_in(row[0])[0]: row[number] for row in table} for number, column in enumerate(heading) if column
    }
    actual = {
        name: {
            field.name: _cell(getattr(capabilities, field.name))
            for field in dataclasses.fields(capabilities)
            if field.name != "abilities"
        }
        | {"purge_expired": _cell(capabilities.supports("purge"))}
        | {"ensure_index": _cell(capabilities.supports("ensure_index"))}
        for name, capabilities in backends()
    }
    assert shown == actual


def _cell(value: bool | int) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:,}"


def test_the_capabilities_that_an_adapter_declares_are_explained_with_their_defaults():
    table = {row[0]: row[1] for row in rows(section("docs/writing-an-adapter.md", "Capabilities"))[1:]}
    assert table == {
        f"`{field.name}`": "required" if field.default is dataclasses.MISSING else f"`{field.default}`"
        for field in dataclasses.fields(Capabilities)
    }


def test_every_optional_ability_of_an_adapter_is_explained():
    shown = {
        tuple(names_in(row[0])): names_in(row[1])
        for row in rows(section("docs/writing-an-adapter.md", "Optional abilities"))[1:]
    }
    assert {name for names in shown for name in names} == set(ABILITIES)
    methods = {call.partition("(")[0] for calls in shown.values() for call in calls}
    assert methods == set(ABILITIES) | {"plan", "document_count"}


# ----------------------------------------------------------------------------------------------- parameters of URLs

URLS = {
    "docs/backends/sqlite.md": "sqlite:///parameters.db",
    "docs/backends/memory.md": "memory://",
    "docs/backends/couchdb.md": "couchdb://127.0.0.1:1/agents",
    "docs/backends/dynamodb.md": "dynamodb://agents",
    "docs/backends/firestore.md": "firestore://project",
    "docs/backends/postgresql.md": "postgresql://127.0.0.1:1/agents",
    "docs/backends/redis.md": "redis://127.0.0.1:1",
}
"""By their pages: a store that nobody has to be there for, since a parameter is refused before anything is opened."""


def test_every_backend_that_connect_finds_has_a_page_and_a_place_in_the_readme():
    shown = set(re.findall(r"`(\w+)://", section("README.md", "Backends")))
    schemes = set(re.findall(r"^(\w+) = \"datastore_", text_of("pyproject.toml"), re.MULTILINE))
    assert shown == schemes
    assert {page_name(page) for page in PAGES if page.parent.name == "backends"} == set(URLS)
    assert {url.partition(":")[0] for url in URLS.values()} == schemes - {"couchdbs", "rediss"}


@pytest.mark.parametrize("page", URLS)
def test_every_parameter_of_a_url_is_explained_with_its_default(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = _parameters(URLS[page], monkeypatch)
    (connect,) = {
        point.load() for point in entry_points(group=ENTRY_POINTS) if point.name == URLS[page].partition(":")[0]
    }
    assert [name for name in asked if f"``{name}``" not in connect.__doc__] == []
    if page == "docs/backends/memory.md":
        assert asked == {"isolation": "shared"}
        assert "one parameter: `isolation=database`" in text_of(page)
        return
    tables = [table for table in re.split(r"\n\n", text_of(page)) if table.startswith("| parameter | default |")]
    shown = {row[0].strip("`"): row[1].strip("`") for row in rows(tables[0])[1:]}
    assert shown.keys() == asked.keys()
    said = {name: _default(value) for name, value in asked.items() if value not in (None, ())}
    assert {name: shown[name] for name in said} == said


def _parameters(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the parameters that an adapter asks for, with their defaults; nothing is opened."""
    asked: dict[str, Any] = {}
    take = Url.parameter

    def parameter(self: Url, name: str, convert: Any, default: Any) -> Any:
        asked[name] = default
        return take(self, name, convert, default)

    monkeypatch.setattr(Url, "parameter", parameter)
    with pytest.raises(datastore.ConfigurationError, match="has no parameter 'no_such_parameter'") as refused:
        datastore.connect(url, no_such_parameter=1)
    listed = refused.value.message.partition("; it has ")[2].split(", ")
    assert listed == sorted(asked)
    return asked


def _default(value: Any) -> str:
    return (
        {True: "true", False: "false"}[value]
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


# ------------------------------------------------------------------------------------------------- options of connect


def test_the_options_of_connect_are_explained_with_their_defaults():
    all_rows = rows(section(API, "`datastore.connect(url=None, *, ..., **parameters)`"))
    table = {row[0]: row[1] for row in all_rows[all_rows.index(["option", "default"]) + 1 :]}
    assert table == {
        f"`{name}`": "`time.time`" if name == "clock" else f"`{parameter.default!r}`".replace("'", '"')
        for name, parameter in inspect.signature(datastore.connect).parameters.items()
        if name not in ("url", "parameters")
    }


def test_connect_has_every_option_of_the_store_with_its_type_and_default():
    of_the_store = dict(inspect.signature(datastore.DataStore).parameters)
    del of_the_store["backend"]
    of_connect = inspect.signature(datastore.connect).parameters
    assert {name: of_connect[name] for name in of_the_store} == of_the_store
    assert tuple(of_the_store) == _STORE_OPTIONS


def test_the_version_of_sqlite_that_is_needed_is_the_one_that_is_asked_for():
    needed = ".".join(map(str, schema._OLDEST_SQLITE[:2]))
    assert f"linked with SQLite {needed} or newer" in text_of("docs/backends/sqlite.md")


# ------------------------------------------------------------------------------------------------------------ errors


def test_the_table_of_errors_has_every_class():
    shown = {name for row in rows(section(API, "Errors"))[1:] for name in names_in(row[0] + row[1]) if name in ERRORS}
    assert shown == ERRORS


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_error_that_a_page_names_is_there(page):
    named = set(re.findall(r"\b[A-Z]\w*Error\b", page.read_text(encoding="utf-8")))
    known = {kind.__name__ for kind in kinds_of(errors.DataStoreError)}  # those of adapters, too
    known |= {kind.__name__ for kind in kinds_of(ClientError)} | {asyncio.CancelledError.__name__}
    known |= {"ToolError"}  # of Anthropic's SDK, which only the environment of bridges has
    known |= {"InputValidationError", "StaleSessionError"}  # of Google's ADK, which only that of its bridge has
    assert {name for name in named if name not in known and not hasattr(builtins, name)} == set()


def kinds_of(kind):
    return {kind}.union(*map(kinds_of, kind.__subclasses__()))


@pytest.mark.parametrize("source", SOURCES, ids=page_name)
def test_every_error_that_a_docstring_promises_is_there(source):
    promised = set()
    tree = ast.parse(source.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    imported = {
        name.asname or name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            raises = re.search(r"^Raises:\n((?: +.*\n?)+)", ast.get_docstring(node) or "", re.MULTILINE)
            promised |= set(re.findall(r"^    ((?:\w+(?:, )?)+):", raises[1], re.MULTILINE)) if raises else set()
    names = {name for listed in promised for name in listed.split(", ")} - own - imported
    names -= {WouldWaitError.__name__}  # between the store and an adapter, and no error of a call
    assert {name for name in names if name not in ERRORS and not hasattr(builtins, name)} == set()


# --------------------------------------------------------------------------------------- queries, accesses, commands


def operators_of(message: str) -> set[str]:
    return set(re.findall(r"\$\w+", message.partition("; ")[2]))


def test_every_operator_of_a_filter_is_explained_and_no_other():
    with pytest.raises(datastore.QueryError) as refused:
        datastore.connect("memory://").agent("u", "a").find({"a": {"$no": 1}})
    field = operators_of(refused.value.message)
    with pytest.raises(datastore.QueryError) as refused:
        datastore.connect("memory://").agent("u", "a").find({"$no": 1})
    top = operators_of(refused.value.message) - {f"${name}" for name in META_FIELDS}  # which are no operators
    guide = text_of("docs/queries.md")
    explained = guide[guide.index("\n## Operators\n") : guide.index("\n## Metadata and provenance\n")]
    assert len(field | top) > 15
    assert {name for name in field | top if f"`{name}`" not in explained} == set()
    assert set(re.findall(r"`(\$\w+)`", explained)) == field | top | {"$options"}  # which belongs to $regex


def test_every_update_operator_is_explained_and_no_other():
    with pytest.raises(datastore.QueryError) as refused:
        datastore.connect("memory://").agent("u", "a").update("k", {"$no": {}})
    operators = operators_of(refused.value.message)
    assert len(operators) >= 9
    table = rows(section("docs/queries.md", "Update operators"))[1:]
    assert {name for row in table for name in names_in(row[0])} == operators


def test_the_table_of_what_counts_an_access_is_what_does():
    (counting, silent) = rows(section("docs/cross-agent.md", "Provenance"))[1]
    calls = {name.partition("-")[0] for name in CALLS}
    counted = {name for name in CALLS if _counts(name)}
    assert set(names_in(counting)) == counted
    assert set(names_in(silent)) <= calls - counted
    readers = {"get_record", "scan", "iter_records", "find_records", "explain", "exists", "in", "count", "list_keys"}
    assert readers <= set(names_in(silent))
    assert all(
        f"`{name}`" in section("docs/administration.md", "Access tracking").partition("\n\n")[0] for name in counted
    )


def _counts(name: str) -> bool:
    with datastore.connect("memory://") as store:
        data_store = store.agent("u", "reader")
        data_store.set_many({"key": 1, "other": 2, "list": [], "object": {"a": 1}})
        result = CALLS[name](data_store)
        counts = [record.access_count for record in data_store.iter_records()]
        assert sum(counts) in (0, len(result) if isinstance(result, dict) else 1), name
        return any(counts)


def _guide_to(command: str) -> str:
    """Return what the guides say of a command: its own section, or the page of the commands that move records."""
    own = re.search(rf"^###? `{command}[ `].*?(?=^#|\Z)", text_of("docs/cli.md"), re.MULTILINE | re.DOTALL)
    moving = command if f"`{command} " in section("docs/cli.md", "Moving") else None
    assert bool(own) != bool(moving), f"docs/cli.md should have one place for {command}"
    return own[0] if own else text_of("docs/moving.md")


def test_every_command_that_the_guide_names_is_there():
    headings = re.findall(r"^###? `([\w-]+)", text_of("docs/cli.md"), re.MULTILINE)
    moving = re.findall(r"`([\w-]+) [A-Z]", section("docs/cli.md", "Moving"))
    assert sorted(headings + moving) == sorted(get_command(app).commands)


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_every_option_of_a_command_is_in_the_guide(name):
    common = section("docs/cli.md", "Which store, whose records")
    own = _guide_to(name)
    command = get_command(app).commands[name]
    options = [
        option
        for one in (command, *getattr(command, "commands", {}).values())
        for parameter in one.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    ]
    assert [option for option in options if option not in own and f"`{option}" not in common] == []


# -------------------------------------------------------------------------------------------------- what was measured


def measured(page: str) -> dict[str, list[list[float]]]:
    """Return by call the rows of the tables of ratios in a page: those of SQLite, then those of DynamoDB."""
    found: dict[str, list[list[float]]] = {}
    for call, *cells in rows(text_of(page)):
        numbers = [float(cell.strip("*")) for cell in cells if re.fullmatch(r"(\*\*)?\d\.\d\d(\*\*)?", cell)]
        name = re.match(r"`?(set_many|get_many|set|get)\b", call)
        if name and len(numbers) >= 4:
            found.setdefault(name[1], []).append(numbers)
    return found


def test_the_numbers_of_the_comparison_are_those_that_were_measured():
    benchmarks, comparison = measured("benchmarks/README.md"), measured("docs/comparison.md")
    assert benchmarks.keys() == comparison.keys() == {"set", "get", "set_many", "get_many"}
    assert comparison == benchmarks


def test_the_numbers_of_the_readme_are_those_of_the_comparison():
    compared = measured("docs/comparison.md")
    shown = [
        [float(number) for number in re.findall(r"\d\.\d\d", row[-1])]
        for row in rows(section("README.md", "Why not what you have already?"))[1:]
    ]
    assert shown == [list(pair) for pair in zip(compared["set"][0], compared["get"][0], strict=True)]


# ------------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("file", [*SOURCES, *PAGES, ROOT / "CHANGELOG.md"], ids=page_name)
def test_what_is_shipped_refers_to_nothing_that_is_not(file):
    assert not re.search(r"\bDESIGN\b|\bMODELS\b", file.read_text(encoding="utf-8"))


def test_every_variable_of_the_environment_is_in_the_guides():
    names = {
        name for source in SOURCES for name in re.findall(r"\"(AGENT_DATASTORE_[A-Z_]+)\"", source.read_text("utf-8"))
    }
    guides = "".join(prose(page) for page in PAGES) + "".join(text_of(page_name(page)) for page in PAGES)
    names -= {"AGENT_DATASTORE_CONFORMANCE_URL"}  # by which a command tells the tests that it starts where to run
    assert names
    assert {name for name in names if name not in guides} == set()
