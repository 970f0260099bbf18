"""The file of an export: a first line that says what it is, a line for each record, and a last line that ends it.

If its name ends with ``.gz``, the file is compressed: each page is then a gzip member, and readers of gzip take all
members as one stream (RFC 1952, section 2.2). So a file that was cut off can be read up to the last whole line or
member.

A file may come from anywhere. It is read line by line in bounded memory, and a file that unpacks to far more than its
own size is refused. For the same reason an export does not compress a page that would shrink so much.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from datastore.arguments import is_a
from datastore.errors import ConfigurationError, DataStoreError, InvalidValueError, PermissionDeniedError, kind_of
from datastore.moving.private import create
from datastore.values import parse_int

FORMAT = "agent-datastore export"
VERSION = 1
_LEVEL = 6
LONGEST_LINE = 16_000_000
"""The longest line that is read, in bytes: far longer than a record of a megabyte with every character escaped."""
MOST_UNPACKED = 200
"""How many times larger than itself the content of a compressed file may be; gzip reaches about 1,030 times."""
_ALWAYS_UNPACKED = 1_000_000  # bytes; unpacking less than this does no harm
_STREAMS = {"<stdin>": "standard input"}
_STANDARD = ("/dev/stdin", "/dev/stdout", "/dev/stderr")
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")

Place: TypeAlias = "str | os.PathLike[str] | BinaryIO"
"""Where an export goes to or comes from: a path, or a stream that is open for bytes."""


class BrokenFileError(DataStoreError, ValueError):
    """The file is not an export, or not a complete one."""


class Export:
    """An export that is being written.

    A regular file is written as ``<file>.part`` and gets its own name when it is complete. A part that an earlier run
    has left is not continued, because the store may have changed since. A pipe, a device or a stream is written to
    directly.

    Args:
        place: The file or the stream.
        of: Describes what is exported, in JSON.

    Raises:
        ConfigurationError, PermissionDeniedError: If the file cannot be written.
    """

    def __init__(self, place: Place, of: dict[str, Any]) -> None:
        path = path_of(place)
        self._compressed = path is not None and path.name.endswith(".gz")
        self._output = _Stream(cast(BinaryIO, place)) if path is None else _output(path)
        self._hash = sha256()
        self._records = 0
        self._append([_line({"format": FORMAT, "version": VERSION, **of})])

    def append(self, lines: list[bytes]) -> None:
        """Write lines of records."""
        if lines:
            self._append(lines)
            self._records += len(lines)

    def finish(self) -> None:
        """Write the last line, and put the file in its place in one step, instead of an older one."""
        self._append([_line({"records": self._records, "sha256": self._hash.hexdigest()})])
        self._output.finish()

    def close(self) -> None:
        """Close the output, and remove a file that is not complete. Idempotent."""
        self._output.close()

    def _append(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        self._hash.update(data)
        self._output.write(_compressed(data) if self._compressed else data)


class _Stream:
    """A stream that the caller opens and closes. Its errors are not translated."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Into:
    """A pipe, a device, or something else that is not a regular file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        with file_errors(self._path):
            self._file.write(data)
            self._file.flush()

    def finish(self) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


class _Beside:
    """A regular file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        with file_errors(path):
            self._file = create(self._part)

    def write(self, data: bytes) -> None:
        with file_errors(self._path):
            self._file.write(data)

    def finish(self) -> None:
        with file_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            if not self._is_ours():
                raise ConfigurationError(
                    f"another export to {self._path} began before this one had ended; run one export at a time"
                )
            self._part.replace(self._path)
            self._file.close()

    def close(self) -> None:
        if not self._file.closed:
            with suppress(OSError):
                if self._is_ours():
                    self._part.unlink()
            with suppress(OSError):
                self._file.close()

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._part.lstat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


def path_of(place: Place) -> Path | None:
    """Return the path, or ``None`` for a binary stream.

    Raises:
        InvalidValueError: If it is neither.
    """
    if is_a(place, str) or isinstance(place, os.PathLike):
        path = os.fspath(place)
        if is_a(path, str):
            return Path(path)
    elif not isinstance(place, TextIOBase) and (hasattr(place, "write") or hasattr(place, "read")):
        return None
    raise InvalidValueError(f"path is {kind_of(place)}; give a str, a pathlib.Path, or a stream open for bytes")


def _output(path: Path) -> _Into | _Beside:
    with file_errors(path):
        descriptor = _descriptor(path)
        if descriptor is not None:
            return _Into(path, os.fdopen(os.dup(descriptor), "wb"))
        if path.is_symlink():
            raise ConfigurationError(
                f"{path} is a symbolic link to {path.readlink()}; name the file itself. Links are not followed, "
                "because whoever can create one could choose which file is replaced"
            )
        if path.is_dir():
            raise ConfigurationError(f"{path} is a directory; name a file in it")
        if path.is_file() or not path.exists():
            return _Beside(path)
        return _Into(path, os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb"))


def _descriptor(path: Path) -> int | None:
    """Return the file descriptor that a path stands for, such as 1 for ``/dev/stdout``, or ``None``.

    Such a path must not be opened again: if a regular file is behind it, that would write from its beginning, over
    what others have written.
    """
    if str(path) in _STANDARD:
        return _STANDARD.index(str(path))
    match = _DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else None


class ExportFile:
    """A finished export, checked from end to end when it is opened.

    The content of a pipe or a stream, which can be read only once, is kept in a temporary file that nobody else can
    open.

    Args:
        place: The file.
        accept_incomplete: Accept a file without its first or last line, or with changed lines.

    Attributes:
        records: How many records it holds.
        digest: The digest of its content.

    Raises:
        ConfigurationError, PermissionDeniedError: If the file cannot be read.
        BrokenFileError: If it is not an export, was cut off, or was changed.
    """

    def __init__(self, place: Place, *, accept_incomplete: bool = False) -> None:
        path = path_of(place)
        self._path = Path(_STREAMS.get(str(getattr(place, "name", "")), "the stream")) if path is None else path
        with file_errors(self._path):
            self._file = _kept(cast(BinaryIO, place)) if path is None else _opened(path)
        try:
            self._check(self._path, accept_incomplete)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _check(self, path: Path, accept_incomplete: bool) -> None:
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
                f"{path} is not complete: it was cut off after {self.records:,} records; export again, or accept what "
                "is there with --accept-incomplete"
            )
        if trailer["sha256"] != before.hexdigest():
            raise BrokenFileError(
                f"{path} was changed after it was exported; export again, or accept it with --accept-incomplete"
            )

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes | None]]:
        """Yield the lines of records, each with its line number in the file, beginning with the record ``start``.

        ``None`` stands for a line longer than `LONGEST_LINE`.
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
        """Yield the lines, in pieces if longer than `LONGEST_LINE`, and whether each piece begins its line."""
        file = self._file
        with file_errors(self._path):
            file.seek(0)
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            unpacked, begins = 0, True
            try:
                with gzip.open(file) if compressed else nullcontext(file) as content:
                    while piece := content.readline(LONGEST_LINE):
                        unpacked += len(piece)
                        if compressed and unpacked > max(_ALWAYS_UNPACKED, MOST_UNPACKED * file.tell()):
                            raise BrokenFileError(
                                f"{self._path} unpacks to more than {MOST_UNPACKED} times its size, which no export "
                                "does; if you trust it, unpack it and import the unpacked file"
                            )
                        yield piece, begins
                        begins = piece.endswith(b"\n")
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise BrokenFileError(f"{self._path} is damaged or was cut off ({error}); export again") from error


def _opened(path: Path) -> BinaryIO:
    """Open a file that can be read more than once."""
    descriptor = _descriptor(path)
    if descriptor is None and path.is_file():
        return path.open("rb")
    with path.open("rb") if descriptor is None else os.fdopen(os.dup(descriptor), "rb") as once:
        return _kept(once)


def _kept(stream: BinaryIO) -> BinaryIO:
    """Return a temporary file with the rest of a stream. It has no path, and is gone when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(stream, file)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system about a file into an error of the store."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: {error.strerror}; choose a path that this user may access") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


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
