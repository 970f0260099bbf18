"""Another distribution with the import name ``datastore``: a failing import, and `doctor`, name it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import version
from pathlib import Path

import pytest

import agent_datastore
import datastore

PACKAGE = Path(datastore.__file__).parent
STRANGER = "def unrelated():\n    return 1\n"


class Site:
    """A directory in which this package is installed, as pip does it, and perhaps another one over it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copytree(PACKAGE, path / "datastore", ignore=shutil.ignore_patterns("__pycache__"))
        self._record("agent-datastore", version("agent-datastore"), sorted((path / "datastore").rglob("*.py")))

    def install_stranger(self, *names: str, source: str = STRANGER) -> None:
        """Write files of another distribution into the package, over ours where they have the same name."""
        files = [self.path / "datastore" / name for name in names]
        for file in files:
            file.write_text(source)
        self._record("other_tables", "4.4", files)

    def _record(self, name: str, number: str, files: list[Path]) -> None:
        information = self.path / f"{name.replace('-', '_')}-{number}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
        lines = []
        for file in files:
            digest = urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
            lines.append(f"{file.relative_to(self.path).as_posix()},sha256={digest},{file.stat().st_size}\n")
        (information / "RECORD").write_text("".join(lines))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an interpreter that finds this directory first."""
        backends = PACKAGE.parent / "backends"
        environment = {**os.environ, "PYTHONPATH": f"{self.path}{os.pathsep}{backends}"}
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, env=environment, cwd=self.path, encoding="utf-8"
        )


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")


def test_an_import_that_another_distribution_has_broken_names_it_and_the_file(site):
    site.install_stranger("core.py", "functions.py")
    failed = site.run("-c", "import datastore")
    assert failed.returncode == 1
    assert (
        "ImportError: the import name 'datastore' is also used by other-tables 4.4, which is installed here; "
        "these files are not as agent-datastore installed them: datastore/core.py (ImportError: cannot import name"
    ) in failed.stderr
    assert "pip install --force-reinstall --no-deps agent-datastore" in failed.stderr


def test_whatever_the_strangers_file_raises_its_distribution_is_named(site):
    site.install_stranger("core.py", source="raise LookupError('no engine')\n")
    assert "is also used by other-tables 4.4" in site.run("-c", "import datastore").stderr


def test_an_import_that_fails_for_another_reason_fails_as_it_is(site):
    failed = site.run("-c", "import sys; sys.modules['binascii'] = None; import datastore")
    assert failed.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of binascii halted")


@pytest.mark.parametrize("source", [STRANGER, "import a_client_that_is_not_there\n"], ids=["imports", "fails"])
def test_the_command_says_so_in_one_line_where_the_packages_own_init_is_the_strangers(site, source):
    site.install_stranger("__init__.py", "core.py", source=source)
    failed = site.run("-c", "import agent_datastore; agent_datastore.main()", "doctor", "memory://")
    assert failed.returncode == 2
    assert failed.stdout == ""
    (line,) = failed.stderr.splitlines()
    assert line.startswith("datastore: the import name 'datastore' is also used by other-tables 4.4")
    assert "datastore/__init__.py, datastore/core.py (" in line


def test_doctor_says_so_where_our_files_have_replaced_the_strangers(site):
    site.install_stranger("functions.py")
    assert site.run("-c", "import datastore; print(datastore.connect)").returncode == 0
    examined = site.run("-m", "datastore.cli", "doctor", "memory://")
    assert examined.returncode == 3
    assert "problem  the import name 'datastore' is also used by other-tables 4.4, which is installed here\n" in (
        examined.stdout
    )
    assert "-> use a separate environment for each" in examined.stdout


def test_doctor_names_files_that_are_missing(site):
    site.install_stranger("functions.py")
    for removed in ("conformance/report.py", "conformance/races.py", "conformance/clock.py", "conformance/topic.py"):
        (site.path / "datastore" / removed).unlink()
    examined = site.run("-m", "datastore.cli", "doctor", "memory://")
    assert (
        "these files are not as agent-datastore installed them: datastore/conformance/clock.py, "
        "datastore/conformance/races.py, datastore/conformance/report.py and 1 more"
    ) in examined.stdout


def test_doctor_says_nothing_of_it_where_nothing_is_wrong(site):
    assert "import name" not in site.run("-m", "datastore.cli", "doctor", "memory://").stdout


def test_here_nobody_else_uses_the_name():
    assert agent_datastore.conflict() is None


def test_an_import_that_works_does_not_look():
    """Looking through the metadata of all that is installed takes longer than importing the package."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, datastore; print(*sorted(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert {"agent_datastore", "importlib.metadata", "hashlib"} & set(loaded) == set()
