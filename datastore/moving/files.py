"""The file of an export: a line that says what it is, a line for each record, and a line that says that it is whole.

Plain, or compressed if its name ends with ``.gz``; then each page is a gzip member of its own, which readers of gzip
take as one stream (RFC 1952, section 2.2). So a file that was cut off is good up to the end of a line or a member, and
can be gone on with.

A file may come from anywhere. It is read line by line in bounded memory, and one that unpacks to far more than its own
size is refused; a page of an export that would be like that is stored as it is.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from datastore.errors import ConfigurationError, DataStoreError, PermissionDeniedError
from datastore.moving.private import create, open_own
from datastore.values import parse_int

FORMAT = "agent-datastore export"
VERSION = 1
_BLOCK = 1 << 20
_GZIP = 31  # zlib's number for "with a header of gzip"
_LEVEL = 6
LONGEST_LINE = 16_000_000
"""The longest line that is looked at, in bytes: far beyond a record of a megabyte with every character escaped."""
MOST_UNPACKED = 200
"""How many times its own size a compressed file may hold; gzip itself goes to about 1,030."""
_ALWAYS_UNPACKED = 1_000_000  # bytes; less than this harms nobody


class BrokenFileError(DataStoreError, ValueError):
    """The file is not an export, or not all of one."""


class Part:
    """An export that is being written: beside its file, under the name ``<file>.part``, until it is whole.

    Args:
        path: Where the file is to be.
        of: Says what is exported, in JSON. A part of the same is gone on with.
        fresh: Begin anew in any case.

    Raises:
        ConfigurationError, PermissionDeniedError: If it cannot be written.
    """

    def __init__(self, path: Path, of: dict[str, Any], *, fresh: bool = False) -> None:
        self._path = path
        self._compressed = path.name.endswith(".gz")
        self._part = path.with_name(path.name + ".part")
        self._hash = sha256()
        self.records = 0
        header = {"format": FORMAT, "version": VERSION, **of}
        if path.is_dir():
            raise ConfigurationError(f"{path} is a directory; name a file in it")
        with file_errors(path):
            earlier = None if fresh else open_own(self._part)
            self._end = 0 if earlier is None else self._take_up(earlier, header)
            if earlier is not None and self._end:
                self._file: BinaryIO = earlier
                self._file.truncate(self._end)
                self._file.seek(self._end)
            else:
                if earlier is not None:
                    earlier.close()
                self._file = create(self._part)
                self._write([_line(header)])

    def earlier(self) -> Iterator[bytes]:
        """Yield the lines of records that an earlier run has written."""
        if self._end:
            with self._part.open("rb") as file:
                lines = _lines(_whole_pieces(file, self._compressed))
                next(lines)
                yield from lines

    def append(self, lines: list[bytes]) -> None:
        """Write lines, and see to it that a kill, or even the loss of power, finds them whole."""
        if lines:
            with file_errors(self._path):
                self._write(lines)
                os.fsync(self._file.fileno())
            self.records += len(lines)

    def finish(self) -> None:
        """Write the last line, and let the file appear in one step in the place of an older one."""
        with file_errors(self._path):
            self._write([_line({"records": self.records, "sha256": self._hash.hexdigest()})])
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)

    def close(self) -> None:
        """Close the file, whole or not."""
        self._file.close()

    def _take_up(self, file: BinaryIO, header: dict[str, Any]) -> int:
        """Return where the good beginning of an earlier part ends; 0 if it is not of the same export."""
        pieces = _Pieces(_whole_pieces(file, self._compressed))
        lines = _lines(pieces)
        if _loads(next(lines, b"")) != header:
            return 0
        self.records = sum(1 for line in lines if not line.startswith(b'{"records"'))
        if pieces.last.startswith(b'{"records"'):
            return 0  # whole already, and about to be renamed when it was killed: quicker made anew than told apart
        self._hash = pieces.hash
        return pieces.end

    def _write(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        self._hash.update(data)
        self._file.write(_compressed(data) if self._compressed else data)
        self._file.flush()


class ExportFile:
    """A finished export, checked from end to end when it is opened.

    Args:
        path: The file.
        accept_incomplete: Take a file without its first or last line, or with changed lines, as it is.

    Attributes:
        records: How many records it holds.
        digest: Of its content.

    Raises:
        ConfigurationError, PermissionDeniedError: If it cannot be read.
        BrokenFileError: If it is no export, was cut off, or was changed.
    """

    def __init__(self, path: Path, *, accept_incomplete: bool = False) -> None:
        self._path = path
        total, lines, last = sha256(), 0, b""
        before = total.copy()
        first: Any = None
        for piece, begins in self._raw():
            if begins:
                if lines == 0:
                    first = _loads(piece)
                before = total.copy()
                lines += 1
            last = piece if begins else b""
            total.update(piece)
        self.digest = total.hexdigest()
        trailer = _loads(last)
        headed = isinstance(first, dict) and first.get("format") == FORMAT
        ended = isinstance(trailer, dict) and set(trailer) == {"records", "sha256"}
        self.records = lines - headed - ended
        self._first = int(headed)
        if headed and first.get("version") != VERSION:
            raise BrokenFileError(f"{path} was written by another version of agent-datastore; upgrade the package")
        if accept_incomplete:
            return
        if not headed:
            raise BrokenFileError(
                f"{path} is not a file of 'datastore export'; if it holds records as lines of JSON all the same, "
                "accept it with --accept-incomplete"
            )
        if not ended or trailer["records"] != self.records:
            raise BrokenFileError(
                f"{path} is not whole: it was cut off behind {self.records:,} records; export again, or take what "
                "there is with --accept-incomplete"
            )
        if trailer["sha256"] != before.hexdigest():
            raise BrokenFileError(
                f"{path} was changed since it was exported; export again, or take it as it is with --accept-incomplete"
            )

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes | None]]:
        """Yield the lines of records, each with its number in the file, beginning with the record ``start``.

        A line beyond `LONGEST_LINE` is ``None``.
        """
        wanted = range(self._first + start, self._first + self.records)
        number, line = -1, None
        for piece, begins in self._raw():
            if begins:
                if number in wanted:
                    yield number + 1, line
                number += 1
            line = piece if begins else None
        if number in wanted:
            yield number + 1, line

    def _raw(self) -> Iterator[tuple[bytes, bool]]:
        """Yield the lines, those beyond `LONGEST_LINE` in pieces, and whether a piece is the beginning of its line."""
        with file_errors(self._path), self._path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            unpacked, begins = 0, True
            try:
                with gzip.open(file) if compressed else file as content:
                    while piece := content.readline(LONGEST_LINE):
                        unpacked += len(piece)
                        if compressed and unpacked > max(_ALWAYS_UNPACKED, MOST_UNPACKED * file.tell()):
                            raise BrokenFileError(
                                f"{self._path} unpacks to more than {MOST_UNPACKED} times its size, which no export "
                                "does; if it is one all the same, unpack it and import that"
                            )
                        yield piece, begins
                        begins = piece.endswith(b"\n")
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise BrokenFileError(f"{self._path} is damaged or was cut off ({error}); export again") from error


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a file into an error of the store."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: {error.strerror}; choose a place that this user may use") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


class _Pieces:
    """Hands pieces on, and keeps account of them."""

    def __init__(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        self._pieces = pieces
        self.hash = sha256()
        self.end = 0
        self.last = b""

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        for data, end in self._pieces:
            self.hash.update(data)
            self.end, self.last = end, data
            yield data, end


def _whole_pieces(file: BinaryIO, compressed: bool) -> Iterator[tuple[bytes, int]]:
    """Yield what a file holds in pieces that are whole lines, each with its end in the file."""
    end = 0
    if not compressed:
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                yield line, end
        return
    unread = b""
    while True:
        member, data = zlib.decompressobj(_GZIP), bytearray()
        size = 0
        while not member.eof:
            unread = unread or file.read(_BLOCK)
            if not unread:
                return
            try:
                data += member.decompress(unread)
            except zlib.error:
                return
            size += len(unread) - len(member.unused_data)
            unread = member.unused_data
        end += size
        yield bytes(data), end


def _lines(pieces: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    for data, _ in pieces:
        yield from data.splitlines(keepends=True)


def _compressed(data: bytes) -> bytes:
    packed = gzip.compress(data, _LEVEL, mtime=0)
    return packed if len(packed) * MOST_UNPACKED > len(data) else gzip.compress(data, 0, mtime=0)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _loads(line: bytes) -> Any:
    try:
        return json.loads(line, parse_int=parse_int)
    except (ValueError, RecursionError):
        return None
