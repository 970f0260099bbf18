"""Installing test servers into ``.servers/`` at the project's root, pinned by the lock files beside this module."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE.parent.parent / ".servers"


class NotInstalledError(Exception):
    """A server cannot be installed here; the message says what is missing."""


def node_modules() -> Path:
    """Install the servers of ``package.json`` and return the folder of their packages."""
    with _npm("npm", HERE):
        return INSTALLED / "npm" / "node_modules"


def browser() -> Path:
    """Install what ``browser/package.json`` names, and return its folder: ``chromium``, ``lib``, ``node_modules``."""
    with _npm("browser", HERE / "browser", "unpack.js") as folder:
        if folder:
            packed = folder / "node_modules/@sparticuz/chromium/bin"
            _run(["node", str(HERE / "browser/unpack.js"), str(packed), str(folder)], folder)
            for name in ("libraries.tar", "fonts.tar"):
                with tarfile.open(folder / name) as archive:
                    archive.extractall(folder, filter="data")
                (folder / name).unlink()
        return INSTALLED / "browser"


@contextlib.contextmanager
def _npm(name: str, where: Path, *more: str):
    """Install packages, and yield the folder that they are in, if they were not there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstalledError("Node.js with npm is needed (version 20 or newer)")
    files = ["package.json", "package-lock.json", ".npmrc"]
    with _once(name, [str((where / file).relative_to(HERE)) for file in (*files, *more)]) as folder:
        if folder:
            for file in files:
                shutil.copy(where / file, folder)
            # Without scripts: they would compile a database that these servers do not use.
            _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        yield folder


def python_environment(name: str) -> Path:
    """Install the requirements in ``<name>.txt`` into an environment of their own and return its folder of programs.

    Of their own, because a server may pin packages that the adapters need in other versions.
    """
    with _once(name, [f"{name}.txt"]) as folder:
        if folder:
            _run([sys.executable, "-m", "venv", str(folder)], INSTALLED)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "-r", str(HERE / f"{name}.txt")], INSTALLED)
    return INSTALLED / name / "bin"


@contextlib.contextmanager
def _once(name: str, locks: list[str]):
    """Yield an empty folder to install into, or ``None`` if what the lock files name is there already."""
    INSTALLED.mkdir(exist_ok=True)
    wanted = hashlib.sha256(b"".join((HERE / lock).read_bytes() for lock in locks)).hexdigest()
    folder, stamp = INSTALLED / name, INSTALLED / f"{name}.installed"
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be installing the same
        if stamp.exists() and stamp.read_text() == wanted:
            yield None
            return
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
        stamp.write_text(wanted)


def _run(command: list[str], folder: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_REQUIRE", "VIRTUAL_"))
    }
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if run.returncode:
        raise NotInstalledError(f"{' '.join(command[:3])} failed: {(run.stderr or run.stdout).strip()[-500:]}")
