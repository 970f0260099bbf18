"""The position of a move, in a small file: after a kill the next run continues from there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from datastore.errors import ConfigurationError
from datastore.moving.private import create
from datastore.moving.reports import Report

_FORMAT = 1


class Position(NamedTuple):
    """How far a move has got."""

    after: Any
    """Where to continue: after this id, or after this number of lines."""
    last: str | None
    """The id of the last document that had come to the sink; if the sink no longer has it, the move starts over."""
    report: Report


class Checkpoint:
    """A file that holds the position of one move.

    Args:
        path: The file's path; ``None`` to keep nothing.
        of: Identifies the move, in JSON; the position of another move is ignored.
    """

    def __init__(self, path: str | os.PathLike[str] | None, of: dict[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._of = of

    def load(self) -> Position | None:
        """Return the position that an interrupted run of the same move has left."""
        if self._path is None:
            return None
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if found["format"] != _FORMAT or found["of"] != self._of:
                return None
            return Position(found["after"], found["last"], Report.from_json(found["report"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # part of a file, or some other file: the move starts over, which is always correct

    def save(self, position: Position) -> None:
        """Store a position; a kill meanwhile leaves the old one or the new one.

        Raises:
            ConfigurationError: If the file cannot be written.
        """
        if self._path is None:
            return
        text = {
            "format": _FORMAT,
            "of": self._of,
            "after": position.after,
            "last": position.last,
            "report": position.report.as_json(),
        }
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with create(new) as file:
                file.write(json.dumps(text).encode())
            new.replace(self._path)
        except OSError as error:
            raise ConfigurationError(
                f"the checkpoint {self._path} cannot be written ({error.strerror or error}); name another file, or do "
                "without one"
            ) from error

    def clear(self) -> None:
        """Forget the position: the move is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
