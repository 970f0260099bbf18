"""Every example of README and docs runs, and gives what the page shows."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import OF_BRIDGES, PAGES, ROOT, blocks, page_name, run

EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=page_name)
RUN_HERE = [page for page in PAGES if page not in OF_BRIDGES]


@pytest.fixture
def beside_the_page(tmp_path, monkeypatch):
    """Run a page in a directory that looks like a clone: a few files of the package, and the environment of tox."""
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "datastore", tmp_path / "datastore", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.delenv("AGENT_DATASTORE_URL", raising=False)


@pytest.mark.parametrize("page", RUN_HERE, ids=page_name)
def test_the_python_examples_of_a_page_run_and_show_what_is_true(page, beside_the_page):
    _need_packages(page)
    run(page, "python")


def _need_packages(page):
    needed = {block.option for block in blocks(page, "python")} - {""}
    missing = [name for name in sorted(needed) if importlib.util.find_spec(name) is None]
    if missing:
        said = f"not installed here: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)


@pytest.mark.parametrize("page", [page for page in RUN_HERE if blocks(page, "console")], ids=page_name)
def test_the_commands_of_a_page_run_and_print_what_is_shown(page, beside_the_page):
    needed = {"bash"} | {
        tool for block in blocks(page, "console") for tool in ("sqlite3", "curl") if f"$ {tool}" in block.text
    }
    missing = [tool for tool in needed if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    _need_packages(page)
    run(page, "python", "console")


@EVERY_PAGE
def test_the_shell_examples_of_a_page_are_shell(page):
    if shutil.which("bash") is None:
        pytest.skip("not installed here: bash")
    for block in blocks(page, "sh"):
        result = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True)
        assert result.returncode == 0, f"{page_name(page)}:{block.line}: {result.stderr}"
