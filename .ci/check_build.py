"""Checks that the files that ``tox -e build`` built hold what they should, nothing else, and work when installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = {"datastore": ROOT, **{path.name: path.parent for path in (ROOT / "backends").iterdir() if path.is_dir()}}
"""The import packages by name, each with the directory that it is in."""
SHIPPED = (".py", ".typed", ".html", ".css", ".js", ".svg", ".txt")
"""Modules, and what the pages of the viewer are made of."""
IN_THE_SDIST = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "tox.ini", "docs/api.md", "tests/conftest.py")
TRIAL = """
import datastore, sys
with datastore.connect("sqlite:///trial.db") as store:
    store.agent("ann", "trial").set("key", [1, 2.0, None])
with datastore.connect("sqlite:///trial.db") as store:
    assert store.agent("ann", "trial").get("key") == [1, 2.0, None]
assert "site-packages" in datastore.__file__, datastore.__file__
"""


def main() -> None:
    """Check both files, and exit with a message if something is wrong."""
    (wheel,), (sdist,) = (ROOT / "dist").glob("*.whl"), (ROOT / "dist").glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    with tempfile.TemporaryDirectory() as place:
        check_installed(wheel, Path(place))
    sys.stdout.write(f"{wheel.name} and {sdist.name} are as they should be\n")


def check_wheel(wheel: Path) -> None:
    """Check the files in the wheel, and the description that an index shows."""
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        description = message_from_bytes(file.read(metadata)).get_payload()
    expected = {
        path.relative_to(parent).as_posix()
        for name, parent in SOURCES.items()
        for path in (parent / name).rglob("*")
        if path.suffix in SHIPPED and path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in names if ".dist-info/" not in name}
    if held != expected:
        fail(f"the wheel lacks {sorted(expected - held)}, and should not hold {sorted(held - expected)}")
    if "/licenses/LICENSE" not in "".join(names):
        fail("the wheel lacks the licence")
    relative = [target for target in re.findall(r"\]\(([^)\s]+)\)", description) if not re.match(r"https://|#", target)]
    if relative:
        fail(f"an index cannot follow these links of the README: {relative}")


def check_sdist(sdist: Path) -> None:
    """Check that the sdist can be tested and built, and holds nothing that only this machine has."""
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    missing = [name for name in IN_THE_SDIST if name not in names]
    if missing:
        fail(f"the sdist lacks {missing}")
    stray = [name for name in names if re.search(r"__pycache__|\.db(-wal|-shm)?$|^\.(servers|venv|tox)|\.pyc$", name)]
    if stray:
        fail(f"the sdist should not hold {sorted(stray)}")


def check_installed(wheel: Path, place: Path) -> None:
    """Install the wheel into a new environment, and store something with it."""
    venv.create(place / "v", with_pip=True)
    python = place / "v" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)  # noqa: S603 - our own command
    subprocess.run([python, "-c", TRIAL], check=True, cwd=place)  # noqa: S603 - our own command


def fail(what: str) -> None:
    """Exit with a message."""
    sys.exit(f"{Path(__file__).name}: {what}")


if __name__ == "__main__":
    main()
