"""What moving in from a framework's own SQLite file needs: the file, which is only read, and what is told of it.

`datastore.bridges.langgraph_importing`, `langgraph_items` and `openai_importing` know what is in the files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from datastore import ConfigurationError
from datastore.moving import OnProgress, Problem, Problems

__all__ = [
    "Connection",
    "Imported",
    "OnProgress",
    "UnreadableError",
    "check_table",
    "columns",
    "from_json",
    "number_of_rows",
    "opened",
    "quoted",
    "same_json",
]


class UnreadableError(Exception):
    """A row is not what the framework writes; says why. It leaves no public call: the row is told as ``refused``."""


@dataclass
class Imported(Problems):
    """What an import did. Nothing is removed from the store, and the file stays as it was."""

    what: str
    """What is counted: checkpoints, items of a store, or items of sessions."""
    read: int = 0
    """Rows of the file that were looked at."""
    written: int = 0
    """Stored; of these, `replaced` in place of what an earlier import had brought."""
    replaced: int = 0
    unchanged: int = 0
    """There already, and equal."""
    kept: int = 0
    """There, and newer than in the file; left as they are."""
    expired: int = 0
    """Left out because they have expired."""
    verified: int = 0
    """Read back from the store in the end and found equal, those that were there before among them."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many problems there are of each kind. ``refused``: a row cannot be read, or not be kept, and was left out.
    ``differs``, ``missing``: it was not found again as it is in the file. ``diverged``: it goes on in the store and in
    the file, each in its own way, and nothing was added. ``no vector``: it was stored, but not for search by meaning.
    """
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all that is in the file is there."""
        return not self.counts


@contextmanager
def opened(file: str | PathLike[str]) -> Iterator[Connection]:
    """Open a framework's SQLite file, to read one state of it, whoever writes to it meanwhile.

    Raises:
        ConfigurationError: If there is no such file, it is no SQLite file, or it cannot be read to its end.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigurationError("file: there is no such file")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        # With no isolation level Python begins no transactions of its own: the one that reads lasts to the end.
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise ConfigurationError(f"file: SQLite cannot read it: {error}") from error


def columns(source: Connection, table: str) -> set[str]:
    """Return the names of the columns of a table; none if there is no such table."""
    return {name for _, name, *_ in source.execute(f"PRAGMA table_info({quoted(table)})")}


def check_table(source: Connection, table: str, needed: set[str], of: str) -> None:
    """Refuse a file that does not have a table of a framework.

    Raises:
        ConfigurationError: If there is no such table, or it is another one.
    """
    missing = needed - columns(source, table)
    if missing == needed:
        raise ConfigurationError(f"file: there is no table {table!r} in it; it is not of {of}")
    if missing:
        raise ConfigurationError(f"file: its table {table!r} is not of {of}: it has no column {min(missing)!r}")


def from_json(text: str | bytes) -> Any:
    """Return what JSON text holds.

    Raises:
        UnreadableError: If it is none, or holds what JSON has no words for: NaN, infinities, half characters.
    """
    try:
        value = json.loads(text, parse_constant=_refused)
        json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise UnreadableError("it is not JSON in UTF-8") from error
    return value


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, type for type: ``1`` is not ``1.0``, and no ``True``."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def quoted(name: str) -> str:
    """Return a name of a table as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def number_of_rows(source: Connection, table: str) -> int:
    """Return how many rows a table has."""
    count: int = source.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0]  # noqa: S608 - it is quoted
    return count
