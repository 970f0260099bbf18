"""Bridges load no framework until they are used, stand on the public calls alone, and say what is missing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import datastore
from datastore import ConfigurationError, bridges, moving

MODULES = sorted(Path(bridges.__path__[0]).glob("*.py"))
OF_FRAMEWORKS = [
    path for path in MODULES if re.search(r"^with needs\(", path.read_text(encoding="utf-8"), re.MULTILINE)
]
FRAMEWORKS = [
    "agents", "anthropic", "claude_agent_sdk", "crewai", "google.adk", "key_value", "langchain_core", "langgraph",
    "pydantic_ai",
]  # fmt: skip


def test_the_package_of_bridges_loads_no_framework():
    program = f"import sys, datastore, datastore.bridges; print([n for n in {FRAMEWORKS} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.strip() == b"[]"


@pytest.mark.parametrize("module", OF_FRAMEWORKS, ids=lambda path: path.stem)
def test_a_bridge_without_its_framework_names_the_extra(module):
    program = f"""
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {FRAMEWORKS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from datastore import ConfigurationError
try:
    import datastore.bridges.{module.stem}
except ConfigurationError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8").stdout
    assert "cannot be imported" in said
    assert "pip install 'agent-datastore[" in said
    extra = said.partition("agent-datastore[")[2].partition("]")[0]
    assert f"\n{extra} = [" in (Path(__file__).parents[2] / "pyproject.toml").read_text()


EXPORTING = {"datastore": datastore, "datastore.moving": moving}
"""What hosts and frameworks import from."""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_bridge_is_short_and_imports_only_what_the_package_exports(module):
    text = module.read_text(encoding="utf-8")
    assert text.count("\n") < 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "datastore":
            if not node.module.startswith("datastore.bridges"):
                assert node.module in EXPORTING
                assert {name.name for name in node.names} <= set(EXPORTING[node.module].__all__)
        elif isinstance(node, ast.Import):
            assert {name.name.partition(".")[0] for name in node.names}.isdisjoint({"datastore"})


def test_what_an_import_fails_with_is_chained():
    from datastore.bridges.extras import needs

    missing = pytest.raises(ConfigurationError, match=r"Frame cannot be imported \(No module named 'frame_of'")
    with missing as raised, needs("Frame", "frame"):
        import frame_of  # noqa: F401
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
