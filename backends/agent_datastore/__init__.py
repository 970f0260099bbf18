"""The command's first step, and the check that the installed files are those of this distribution.

Other distributions use the import name ``datastore`` too. If two of them write into one directory, the later one
replaces files of the earlier one, perhaps ``datastore/__init__.py`` itself. So this module is outside that directory,
under a name that nobody else uses. `datastore` imports it only when an import has failed.
"""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from typing import NoReturn

NAME = "agent-datastore"
_IMPORT_NAME = "datastore"
_SHOWN = 3


def main() -> None:
    """Run the command ``datastore``. If another distribution has replaced its files, exit with 2 and one line."""
    try:
        from datastore.cli import main as command
    except Exception as error:  # noqa: BLE001 - a file that is not ours may raise anything
        refuse(error)
    command()


def refuse(error: Exception) -> NoReturn:
    """Exit with 2 and a one-line message that names the other distribution; raise the error if there is none."""
    known = explained(error)
    if known is None:
        raise error
    sys.stderr.write(f"datastore: {known}\n")
    sys.exit(2)


def conflict() -> str | None:
    """Return what is wrong with the installed files, or ``None``."""
    others, replaced = other_distributions(), replaced_files()
    if not others and not replaced:
        return None
    said = []
    if others:
        said.append(f"the import name {_IMPORT_NAME!r} is also used by {' and '.join(others)}, which is installed here")
    if replaced:
        more = f" and {len(replaced) - _SHOWN} more" if len(replaced) > _SHOWN else ""
        said.append(f"these files are not as {NAME} installed them: {', '.join(replaced[:_SHOWN])}{more}")
    return "; ".join(said)


def remedy() -> str:
    """Return what to do about a `conflict`."""
    return (
        f"use a separate environment for each; or uninstall the other one, and then run "
        f"pip install --force-reinstall --no-deps {NAME}"
    )


def explained(error: Exception) -> ImportError | None:
    """Return an error that says what is wrong with the installed files, or ``None`` if nothing explains the failure."""
    found = conflict()
    return None if found is None else ImportError(f"{found} ({type(error).__name__}: {error}): {remedy()}")


def other_distributions() -> list[str]:
    """Return the other installed distributions with this import name, with their versions."""
    names = {_normal(name) for name in packages_distributions().get(_IMPORT_NAME, [])}
    return [f"{name} {version(name)}" for name in sorted(names - {NAME})]


def replaced_files() -> list[str]:
    """Return the files of this package that are missing or changed since it was installed; none if it is editable."""
    try:
        own = distribution(NAME)
    except PackageNotFoundError:
        return []
    return [
        path.as_posix()
        for path in own.files or ()
        if path.parts[0] == _IMPORT_NAME
        and path.suffix == ".py"
        and path.hash is not None
        and _digest(Path(str(path.locate())), path.hash.mode) != path.hash.value
    ]


def _digest(file: Path, mode: str) -> str | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return urlsafe_b64encode(hashlib.new(mode, content).digest()).rstrip(b"=").decode()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
