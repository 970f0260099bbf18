"""The same concern has the same file name in every adapter and in its tests, as the contributors' guide says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/contributing/add-an-adapter.md"
ADAPTERS = ("couchdb", "dynamodb", "firestore", "postgresql", "redis", "sqlite")


def tables():
    """Return the names of files in the four tables of the page: of adapters and of tests, of all and of some."""
    section = PAGE.read_text(encoding="utf-8").partition("## Which file holds what\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [re.findall(r"^\| `(\w+\.py)` \|", table, re.MULTILINE) for table in found]


OF_ADAPTERS, OF_SOME_ADAPTERS, OF_TESTS, OF_SOME_TESTS = tables()


def modules(adapter):
    return {path.name for path in (ROOT / f"backends/datastore_{adapter}").glob("*.py")} - {"__init__.py"}


def modules_of_tests(adapter):
    return {path.name for path in (ROOT / f"tests/{adapter}").glob("test_*.py")}


def test_every_adapter_with_requests_of_its_own_is_looked_at():
    """Memory is one file and has no requests."""
    found = {path.name for path in (ROOT / "backends").glob("datastore_*")}
    assert found == {f"datastore_{adapter}" for adapter in (*ADAPTERS, "memory")}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_has_the_files_that_all_have(adapter):
    assert set(OF_ADAPTERS) <= modules(adapter)
    assert set(OF_TESTS) <= modules_of_tests(adapter)


@pytest.mark.parametrize(
    ("of", "in_all", "in_some"),
    [(modules, OF_ADAPTERS, OF_SOME_ADAPTERS), (modules_of_tests, OF_TESTS, OF_SOME_TESTS)],
    ids=["adapters", "tests"],
)
def test_a_name_that_several_have_is_in_the_tables_and_one_in_the_tables_is_not_of_one_alone(of, in_all, in_some):
    times = Counter(name for adapter in ADAPTERS for name in of(adapter))
    assert {name for name, number in times.items() if number > 1} == {*in_all, *in_some}
