"""Where a move stands, in a small file, so that after a kill the next run goes on from there."""

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
    """How far a move has come."""

    after: Any
    """Where it goes on: after this id, or this number of lines."""
    last: str | None
    """The id of a document that was in the sink then."""
    report: Report


class Checkpoint:
    """A file that holds the position of one move.

    Args:
        path: The file's path; ``None`` to keep nothing.
        of: Says which move it is, in JSON; the position of another one is not taken up.
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
            return None  # half a file, or not one of ours: the move starts over, which is always right

    def save(self, position: Position) -> None:
        """Keep a position; a kill leaves the old one or the new one.

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
                f"the file {self._path}, which would let an interrupted run go on, cannot be written "
                f"({error.strerror or error}); name another one, or do without"
            ) from error

    def clear(self) -> None:
        """Forget the position: the move is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
