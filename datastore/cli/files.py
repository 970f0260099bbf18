"""Finding the text files of a directory, and reading them."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from datastore.errors import InvalidNameError, ValueTooLargeError
from datastore.ids import encode_key
from datastore.values import MAX_VALUE_BYTES, encode

_GENERATED = {"__pycache__", "node_modules", "bower_components", "site-packages", "build", "dist", "target", "htmlcov"}
_LANGUAGES = {
    "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "cxx": "cpp", "hh": "cpp", "hpp": "cpp", "cs": "csharp",
    "css": "css", "csv": "csv", "ex": "elixir", "exs": "elixir", "go": "go", "html": "html", "htm": "html",
    "ini": "ini", "cfg": "ini", "java": "java", "js": "javascript", "cjs": "javascript", "mjs": "javascript",
    "jsx": "javascript", "json": "json", "kt": "kotlin", "kts": "kotlin", "lua": "lua", "md": "markdown",
    "markdown": "markdown", "php": "php", "pl": "perl", "pm": "perl", "py": "python", "pyi": "python",
    "rb": "ruby", "rs": "rust", "rst": "restructuredtext", "scala": "scala", "sh": "shell", "bash": "shell",
    "sql": "sql", "swift": "swift", "toml": "toml", "ts": "typescript", "tsx": "typescript", "xml": "xml",
    "yaml": "yaml", "yml": "yaml",
}  # fmt: skip
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LARGEST_SAFE = MAX_VALUE_BYTES // 6 - 1_000  # one byte of a file takes at most six bytes of JSON (\u001f)


class Unsuitable(Exception):  # noqa: N818 - not an error: files that the store cannot take as text are usual
    """Says in a word or two why a file is not read."""


@dataclass(slots=True)
class Found:
    """The content of a directory: the keys of files that may be text, and how many were left out, by reason."""

    keys: list[str] = field(default_factory=list)
    skipped_files: Counter[str] = field(default_factory=Counter)
    skipped_directories: Counter[str] = field(default_factory=Counter)


class SourceFile(NamedTuple):
    """One text file."""

    key: str
    """The path relative to the directory, with ``/``."""
    language: str
    size: int
    sha256: str
    modified: str
    text: str

    def value(self) -> dict[str, str | int]:
        """Return the value that is stored for it."""
        return {name: value for name, value in self._asdict().items() if name != "key"}


def find(root: Path, own: Path | None = None) -> Found:
    """Return the files below a directory that may be text, without opening any of them.

    Args:
        root: The directory.
        own: The store's database file; it is left out, and so are the files beside it that belong to it.

    Raises:
        OSError: If the directory itself cannot be listed.
    """
    found = Found()
    os.scandir(root).close()  # os.walk would ignore an error
    for directory, directories, names in os.walk(
        root, onerror=lambda _: found.skipped_directories.update(unreadable=1)
    ):
        here = Path(directory)
        _leave_out(here, directories, found.skipped_directories)
        for name in names:
            path = here / name
            key = path.relative_to(root).as_posix()
            reason = _reason_to_skip(path, key, own)
            if reason:
                found.skipped_files[reason] += 1
            else:
                found.keys.append(key)
    found.keys.sort()
    return found


def load(root: Path, key: str) -> SourceFile:
    """Read one file that `find` found.

    Raises:
        Unsuitable: If it is not text, cannot be read, or is too large for one value.
    """
    path = root / key
    try:
        with path.open("rb") as file:
            data = file.read(MAX_VALUE_BYTES + 1)
            modified = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC).isoformat(timespec="seconds")
    except (OSError, ValueError, OverflowError):
        raise Unsuitable("unreadable") from None
    if len(data) > MAX_VALUE_BYTES:
        raise Unsuitable("too large")
    digest = hashlib.sha256(data).hexdigest()
    language = _LANGUAGES.get(path.suffix[1:].lower(), "text")
    source = SourceFile(key, language, len(data), digest, modified, _text(data))
    if len(data) > _LARGEST_SAFE:
        try:
            encode(source.value())
        except ValueTooLargeError:
            raise Unsuitable("too large") from None
    return source


def project_name(root: Path) -> str:
    """Return the name of the project from the ``pyproject.toml`` in a directory, else the directory's name."""
    try:
        with (root / "pyproject.toml").open("rb") as file:
            name = tomllib.load(file)["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    return name if isinstance(name, str) and name else root.resolve().name or "root"


def _leave_out(here: Path, directories: list[str], skipped: Counter[str]) -> None:
    """Remove the directories that hold nothing written by hand from the list; `os.walk` then skips them."""
    kept = []
    for name in sorted(directories):
        if name.startswith("."):
            skipped["hidden"] += 1
        elif _kind(here / name / "pyvenv.cfg") == stat.S_IFREG:
            skipped["virtual environment"] += 1
        elif name in _GENERATED or name.endswith(".egg-info"):
            skipped["generated"] += 1
        elif _kind(here / name) == stat.S_IFLNK:
            skipped["symbolic link"] += 1
        elif _device(here / name) != _device(here):  # /proc and the like have files that never end
            skipped["other file system"] += 1
        else:
            kept.append(name)
    directories[:] = kept


def _reason_to_skip(path: Path, key: str, own: Path | None) -> str | None:
    if path.name.startswith("."):
        return "hidden"
    if own is not None and path.name.startswith(own.name) and path.parent.resolve() == own.parent:
        suffix = path.name.removeprefix(own.name)
        if suffix == "" or suffix.startswith("-"):
            return "the store's own"
    kind = _kind(path)
    if kind != stat.S_IFREG:  # opening a pipe, for example, would wait for a writer
        return {None: "unreadable", stat.S_IFLNK: "symbolic link"}.get(kind, "special file")
    try:
        encode_key(key)
    except InvalidNameError:
        return "name not valid as a key"
    return None


def _device(path: Path) -> int | None:
    try:
        return path.lstat().st_dev
    except OSError:
        return None


def _kind(path: Path) -> int | None:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return None


def _text(data: bytes) -> str:
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # a guess; it cannot fail, because every byte is a Latin-1 character
        if _NOT_IN_TEXT.search(text):
            raise Unsuitable("binary") from None
    if "\0" in text:
        raise Unsuitable("binary")
    return text
