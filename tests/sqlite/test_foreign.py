"""Files of other programs, and files that are not whole: refused when they are opened, and left untouched."""

import contextlib
import sqlite3

import pytest

from datastore import (
    BackendUnusableError,
    ConfigurationError,
    DataStoreError,
)
from tests.sqlite.files import connect, digest, filled, plain_database


def cut_off(path):
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def newer(path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("PRAGMA user_version=99")


def damaged_schema(path):
    filled(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2_000)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("notes, and no database"), "is not a SQLite database"),
        (lambda path: path.write_bytes(b"SQLite format 3\0 and then nothing"), "is not a SQLite database"),
        (lambda path: path.write_bytes(bytes(8_192)), "is not a SQLite database"),
        (plain_database, "of something other than agent-datastore"),
        (cut_off, "was cut off at"),
        (newer, "written by a newer agent-datastore .its schema is version 99, and this one knows 5."),
        (damaged_schema, "is damaged"),
    ],
    ids=["text", "header only", "zeros", "foreign", "cut off", "newer", "damaged"],
)
def test_what_is_not_ours_or_not_whole_is_refused_and_left_untouched(tmp_path, make, words):
    make(tmp_path / "a.db")
    before = digest(tmp_path / "a.db")
    with pytest.raises(DataStoreError, match=words) as caught:
        connect(tmp_path / "a.db", retry_seconds=0)
    assert isinstance(caught.value, ConfigurationError | BackendUnusableError)
    assert digest(tmp_path / "a.db") == before
