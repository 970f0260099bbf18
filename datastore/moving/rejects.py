"""The file of rejects: documents that an import could not move, as lines of JSON, each with the reason.

The first line says what the file is and which import wrote it. Each other line is ``{"id", "kind", "reason",
"document"}``, with ``"others"`` (pairs of user and namespace) if the value may be another user's. Values of other
databases that JSON cannot express are objects with one member, such as ``{"$decimal": "1e100"}`` or
``{"$bytes": "<base64>"}``. A later import can use the file as its source.

Only the file's owner may read it, because it holds users' data.
"""

from __future__ import annotations

import json
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from io import SEEK_END
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from datastore.administration import LegacyPage
from datastore.errors import ConfigurationError
from datastore.moving.legacy_format import Name, where
from datastore.moving.private import create
from datastore.values import UnreadableError

_FORMAT, _VERSION = "agent-datastore rejects", 1
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_LONGEST_LINE = 100_000_000
_PAGE_BYTES = 8_000_000
_TAGS = ("$decimal", "$bytes", "$time", "$set", "$float", "$unreadable", "$object")


class Rejects:
    """Writes a file of rejects; without a path it writes nothing.

    Args:
        path: The file. It is created with the first document.
        of: Identifies the import, in JSON. An older file of the same import is replaced; anything else under that path
            is refused and left as it is.
        number: How many documents in the file are kept: those of the interrupted run that this one continues.

    Raises:
        ConfigurationError: If something else has that path, or the file does not hold so many documents.
    """

    def __init__(self, path: str | os.PathLike[str] | None, of: Mapping[str, Any], number: int = 0) -> None:
        self.path = path = None if path is None else Path(path)
        self._head = _line({"format": _FORMAT, "version": _VERSION, "of": dict(of)})
        self._file: BinaryIO | None = None
        if path is None:
            return
        try:
            file = _open_own(path)
            if file is not None and file.readline(_LONGEST_LINE) == self._head:
                self._go_on(file, path, number)
                return
            if file is not None:
                file.close()
            if file is not None or path.is_symlink() or path.exists():
                raise ConfigurationError(
                    f"{path} exists and is not a file of rejects of this import. It was left untouched; move it away, "
                    "or name another file"
                )
        except OSError as error:
            raise _unwritable(path, error) from error
        if number:
            raise ConfigurationError(
                f"{path}, which had the {number:,} rejects of the interrupted run, is gone; start over with "
                "--from-start"
            )

    def _go_on(self, file: BinaryIO, path: Path, number: int) -> None:
        for _ in range(number):
            if not file.readline(_LONGEST_LINE).endswith(b"\n"):
                file.close()
                raise ConfigurationError(f"{path} has lost some of its lines; start over with --from-start")
        if number:
            file.truncate()
            self._file = file
        else:
            file.close()
            path.unlink()

    def add(self, raw: Mapping[str, Any], kind: str, reason: str, others: Sequence[Name] = ()) -> None:
        """Write a document to the file.

        Raises:
            ConfigurationError: If the file cannot be written.
        """
        if self.path is None:
            return
        entry: dict[str, Any] = {"id": where(raw), "kind": kind, "reason": reason}
        if others:
            entry["others"] = [[other.user_id, other.namespace] for other in others]
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = create(self.path)
                self._file.write(self._head)
            self._file.write(_line({**entry, "document": _to_json(raw)}))
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def flush(self) -> None:
        """Hand over to the operating system what was written, before a checkpoint counts it."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class RejectsFile:
    """A file of rejects as a source; see `datastore.administration.LegacySource`.

    Raises:
        ConfigurationError: If there is no such file.
    """

    name = "rejects"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        self.place: Hashable = str(path.resolve())
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        try:
            head = json.loads(self._file.readline(_LONGEST_LINE))
            known = head["format"] == _FORMAT and head["version"] == _VERSION
        except (ValueError, LookupError, TypeError, RecursionError):
            known = False
        if not known:
            self.close()
            raise ConfigurationError(f"{path} is not a file of rejects, as 'datastore import-legacy' writes one")
        self._first = self._file.tell()

    def documents(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`."""
        entries, after = self._entries(limit, after)
        return LegacyPage([document for document, _ in entries], after)

    def names(self, limit: int, after: str | None = None) -> LegacyPage:
        """See `datastore.administration.LegacySource`; includes the users to whom a value may belong."""
        entries, after = self._entries(limit, after)
        names = list[Mapping[str, Any]]()
        for document, others in entries:
            names += [document, *({"userId": user, "namespace": namespace, "key": ""} for user, namespace in others)]
        return LegacyPage(names, after)

    def count(self) -> int:
        """See `datastore.administration.LegacySource`."""
        self._file.seek(self._first)
        return sum(1 for _ in self._file)

    def close(self) -> None:
        """See `datastore.administration.LegacySource`."""
        self._file.close()

    def _entries(
        self, limit: int, after: str | None
    ) -> tuple[list[tuple[dict[str, Any], list[tuple[str, str]]]], str | None]:
        file = self._file
        file.seek(0, SEEK_END)
        end = file.tell()
        begun = file.seek(self._first if after is None else int(after))
        entries = list[tuple[dict[str, Any], list[tuple[str, str]]]]()
        while len(entries) < limit and file.tell() - begun < _PAGE_BYTES and (line := file.readline(_LONGEST_LINE)):
            try:
                entry = json.loads(line)
                document = {str(name): _from_json(value) for name, value in entry["document"].items()}
                others = [(str(user), str(namespace)) for user, namespace in entry.get("others", ())]
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                raise ConfigurationError(
                    f"the line of {self._path} that ends at byte {file.tell():,} is not a reject "
                    f"({type(error).__name__}); correct it, or remove it"
                ) from None
            entries.append((document, others))
        place = file.tell()
        return entries, None if place >= end else str(place)


def _open_own(path: Path) -> BinaryIO | None:
    """Open the file of an earlier run; return ``None`` if there is none, or if something else has that path.

    Raises:
        OSError: If the file is there and cannot be opened.
    """
    if path.is_symlink() or not path.is_file():
        return None
    file = os.fdopen(os.open(path, os.O_RDWR | _FLAGS), "r+b")
    found = os.fstat(file.fileno())
    owner = os.geteuid() if hasattr(os, "geteuid") else found.st_uid
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != owner:
        file.close()
        return None
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), 0o600)
    return file


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=False).encode() + b"\n"  # ASCII: lone surrogates, too


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"the file of rejects {path} cannot be written ({error.strerror or error})")


def _to_json(value: Any) -> Any:
    """Return a value of any kind as JSON; `_from_json` turns it back."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Mapping):
        members = {str(name): _to_json(child) for name, child in value.items()}
        return {"$object": members} if len(members) == 1 and next(iter(members)) in _TAGS else members
    if isinstance(value, list | tuple):
        return [_to_json(child) for child in value]
    if isinstance(value, set | frozenset):
        return {"$set": [_to_json(child) for child in value]}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    return {"$unreadable": str(value) if isinstance(value, UnreadableError) else f"a {type(value).__name__}"}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(child) for child in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag == "$object":
            return {name: _from_json(child) for name, child in content.items()}
        if tag == "$float":
            return float(content)
        if tag == "$set":
            return {_from_json(child) for child in content}
        if tag == "$decimal":
            return Decimal(content)
        if tag == "$bytes":
            return b64decode(content, validate=True)
        if tag == "$time":
            return datetime.fromisoformat(content)
        if tag == "$unreadable":
            return UnreadableError(content)
    return {name: _from_json(child) for name, child in value.items()}
