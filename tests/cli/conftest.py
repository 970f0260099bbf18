"""A small project of real files, and the command run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datastore.cli.app import app

PROJECT = {
    "pyproject.toml": '[project]\nname = "bookshop"\n',
    "README.md": "# Bookshop\n\n## Selling\n\nBooks.\n",
    "shop/books.py": '"""Books."""\n\nclass Book:\n    def price(self): ...\n\ndef find_book():\n    pass\n',
    "shop/till.py": "from shop.books import Book\n\n\ndef sell(book: Book):\n    return book.price()\n",
    "shop/stock.py": "from shop.books import Book, find_book\n",
}


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    """Run each test in a directory of its own, and with no store named by the environment."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("AGENT_DATASTORE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return here


@pytest.fixture
def project(tmp_path) -> Path:
    """Return a directory with a few files in it."""
    root = tmp_path / "project"
    for name, text in PROJECT.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def demo() -> Callable[..., str]:
    """Return a function that runs ``datastore demo`` and returns its output."""

    def run(*arguments: object, exit_code: int = 0) -> str:
        result = CliRunner().invoke(app, ["demo", *map(str, arguments)])
        assert result.exit_code == exit_code, result.output
        return result.output

    return run
