"""The pages are complete, and everything that they name exists."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest

import datastore
from datastore import (
    AgentDataStore,
    Blobs,
    DataStore,
    KeyValueStore,
    Log,
    Memory,
    Run,
    Runs,
    Tokens,
    Vault,
    VectorVault,
)
from datastore.record import Record
from tests.docs.pages import PAGES, ROOT, blocks, page_name, prose

sys.path.insert(0, str(ROOT / "docs/site"))
import reference  # of the site, which is not a package

API = ROOT / "docs/api.md"
REFERENCE = {
    AgentDataStore: API,
    Blobs: ROOT / "docs/blobs.md",
    DataStore: API,
    KeyValueStore: ROOT / "docs/key-value.md",
    Run: ROOT / "docs/runs.md",
    Runs: ROOT / "docs/runs.md",
    Log: ROOT / "docs/logs.md",
    Memory: ROOT / "docs/memory.md",
    Tokens: ROOT / "docs/security.md",
    Vault: ROOT / "docs/vault.md",
    VectorVault: ROOT / "docs/vector-vault.md",
}
"""The page that has every call of a class."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def methods(of: type) -> list[str]:
    return [
        name
        for name, member in inspect.getmembers(of)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    ]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page_name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page_name(page)} links to {target}; there are {anchors(linked)}"


def linked_from(page):
    targets = [target.partition("#")[0] for target in LINK.findall(prose(page)) if "://" not in target]
    return {(page.parent / target).resolve() for target in targets}


def test_the_readme_leads_to_the_page_that_lists_every_other_one():
    index = ROOT / "docs/index.md"
    assert index in linked_from(ROOT / "README.md")
    assert {page for page in PAGES if (ROOT / "docs") in page.parents} - linked_from(index) == {index}


def test_the_site_has_every_page():
    configured = (ROOT / "docs/site/mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    listed = set(re.findall(r"([\w/-]+\.md)", configured))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if (ROOT / "docs") in page.parents}
    assert listed == pages | {"changelog.md", "benchmarks.md"}


def test_every_promise_of_the_readme_names_a_test_that_is_there():
    promised = re.findall(r"^\| .* \| \[`.*`\]\((.*\.py)\) `(test_\w+)` \|$", prose(ROOT / "README.md"), re.MULTILINE)
    assert len(promised) >= 10
    for file, name in promised:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text(encoding="utf-8")), f"{file} has no {name}"


def test_the_readme_has_the_two_commands_word_for_word():
    shown = "".join(block.text for block in blocks(ROOT / "README.md", "sh")).splitlines()
    assert "python3 -m venv .venv && .venv/bin/pip install --quiet '.[cli]' && .venv/bin/datastore demo" in shown
    assert "python3 -m venv .venv && .venv/bin/pip install --quiet tox && .venv/bin/tox" in shown


@pytest.mark.parametrize("name", datastore.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"`(datastore\.)?{name}\b", API.read_text(encoding="utf-8")), name


@pytest.mark.parametrize(
    ("of", "name"),
    [(of, name) for of in REFERENCE for name in methods(of)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_call_is_in_the_reference_with_its_signature(of, name):
    member = getattr(of, name)
    call = name if isinstance(member, property) else f"{name}{signature(member)}"
    assert f"### `{call}`" in REFERENCE[of].read_text(encoding="utf-8").splitlines()


def signature(function: object) -> str:
    found = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in found.parameters.items()
        if name != "self"
    ]
    return str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_every_field_of_a_record_is_in_the_reference():
    text = API.read_text(encoding="utf-8")
    assert [name for name in Record.model_fields if f"| `{name}` |" not in text] == []


def test_every_error_is_explained():
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    errors = [name for name in datastore.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"\n## {name}\n" not in text] == []


def test_every_column_of_the_sqlite_table_is_explained():
    from datastore_sqlite.schema import MIGRATIONS

    columns = re.findall(r"^ +(\w+) (?:TEXT|INTEGER)", "".join(MIGRATIONS), re.MULTILINE)
    text = (ROOT / "docs/schema.md").read_text(encoding="utf-8")
    assert columns
    assert [name for name in columns if f"| `{name}` |" not in text] == []


def test_the_changelog_has_the_version_of_the_package():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_adapter_that_is_shown_is_the_one_that_the_kit_runs_on():
    source = (ROOT / "tests/third_party/shelf.py").read_text(encoding="utf-8")
    shown = [
        block.text for block in blocks(ROOT / "docs/writing-an-adapter.md", "python") if "class Shelf" in block.text
    ]
    assert len(shown) == 2
    for text in shown:
        assert text in source, (
            "tests/third_party/shelf.py has changed: copy its code to docs/writing-an-adapter.md anew"
        )


def test_the_simulated_database_that_is_shown_is_the_one_that_is_simulated():
    source = (ROOT / "tests/third_party/simulated.py").read_text(encoding="utf-8")
    shown = [one.text for one in blocks(ROOT / "docs/writing-an-adapter.md", "python") if "class FarShelf" in one.text]
    assert len(shown) == 1
    assert source.endswith(shown[0][shown[0].index("T = TypeVar") :])


@pytest.mark.parametrize("page", sorted({*REFERENCE.values()} - {ROOT / "docs/security.md"}), ids=page_name)
def test_what_a_page_says_of_a_call_is_its_docstring(page):
    text = page.read_text(encoding="utf-8")
    assert reference.written(text) == text, "run: python docs/site/reference.py"


def test_every_call_has_its_docstring_in_the_reference():
    shown = {name for page in PAGES for name, _ in reference.BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert {f"datastore.{of.__name__}.{name}" for of in REFERENCE for name in methods(of)} | {
        "datastore.connect",
        "datastore.connect_async",
        "datastore.AsyncDataStore.aclose",
        "datastore.CallEvent",
        "datastore.key_value_grants",
        "datastore.limits.shorten_key",
        "datastore.limits.shorten_name",
    } == shown


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        (
            """Do it, without ``None``.

            Args:
                key: The key,
                    on two lines.
                **options: Others.

            Returns:
                A list.

            Raises:
                ValueError, TypeError: If it is
                    ``"x"``.

            Requests: 1, or
            2.
            """,
            "Do it, without `None`.\n\n| parameter | is |\n|---|---|\n| `key` | The key, on two lines. |\n"
            "| `**options` | Others. |\n\n**Returns:** A list.\n\n**Raises:**\n\n"
            '- `ValueError`, `TypeError`: if it is `"x"`.\n\n'
            "**Requests:** 1, or 2.\n",
        ),
        ("Show it::\n\n    a = 1\n    b = 2\n\nAnd go on.", "Show it:\n\n    a = 1\n    b = 2\n\nAnd go on.\n"),
    ],
    ids=["sections", "code"],
)
def test_a_docstring_becomes_markdown(docstring, markdown, monkeypatch):
    monkeypatch.setattr(datastore, "shown", lambda: None, raising=False)
    datastore.shown.__doc__ = docstring
    assert reference.rendered("datastore.shown") == markdown
