"""Reading a blob: only the parts that are asked for, each checked against its SHA-256."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self, cast

from datastore.blobs.heads import TOGETHER, Found, Head, find, part_key, part_of, place_of, read_parts
from datastore.documents import damaged
from datastore.errors import BlobReplacedError, DamagedRecordError, DataStoreError
from datastore.ids import encode_key
from datastore.scope import Bound, OfOneProcess, Scope, bind, scope_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Parts(Bound, OfOneProcess):
    """The parts of one version."""

    __slots__ = ("head", "name")

    head: Head
    name: str

    def __new__(cls, scope: Scope, name: str, found: Found) -> Self:
        """Bind a new object to the scope of the area."""
        self = super().__new__(cls)
        bind(self, scope)
        self.name = name
        self.head = found.head
        return self

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """Return some of the parts, at most `TOGETHER`.

        Raises:
            BlobReplacedError: If the version is not there any more.
            DamagedRecordError: If one of them is missing or is not what was put.

        Requests: 1; 1 more to tell why one is missing.
        """
        scope, head = scope_of(self), self.head
        ids = [scope.prefix + encode_key(part_key(head.version, number)) for number in numbers]
        found = read_parts(scope, ids)
        contents = list[bytes]()
        for number, id in zip(numbers, ids, strict=True):
            if id not in found:
                raise missing(scope, self.name, head.version, id)
            content = part_of(found[id])
            if len(content) != min(head.part, head.size - number * head.part):
                raise damaged(id, "a part of a blob that has another size")
            contents.append(content)
        return contents

    def all(self) -> Iterator[bytes]:
        """Yield all parts, in order."""
        for start in range(0, self.head.parts, TOGETHER):
            yield from self.read(range(start, min(start + TOGETHER, self.head.parts)))


def missing(scope: Scope, name: str, version: str, id: str) -> DataStoreError:
    """Return the error for a part that is not there.

    Requests: 1.
    """
    now = find(scope, name)
    if now is not None and now.head.version == version:
        return DamagedRecordError(f"a part of the blob is missing: {id!r}; put the blob again", id=id)
    return BlobReplacedError("it was replaced or deleted, and what it had is removed by now; open it again").during(
        f"reading blob {name!r}{place_of(scope)}", scope.core.backend.name
    )


class RawBlob(io.RawIOBase):
    """What an `io.BufferedReader` reads a blob from. It keeps the last part that was read."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        self._at = 0
        self._kept: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that any place can be gone to."""
        return True

    def tell(self) -> int:
        """Return the place."""
        self._check_open()
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, perhaps behind the end. No request."""
        self._check_open()
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._parts.head.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the place on, what one request gives.

        For no more than a part that is the rest of the part at this place: so a short read never fetches two parts.
        """
        self._check_open()
        target = memoryview(cast("bytearray", buffer)).cast("B")
        head, filled = self._parts.head, 0
        most = min(len(target), head.size - self._at)
        if most <= 0:
            return 0
        first = self._at // head.part
        number = 1 if most <= head.part else min(-(-(self._at + most) // head.part) - first, TOGETHER)
        for content in self._read(range(first, first + number)):
            start = self._at % head.part
            some = memoryview(content)[start : start + most - filled]
            target[filled : filled + len(some)] = some
            filled += len(some)
            self._at += len(some)
        return filled

    def _read(self, numbers: range) -> list[bytes]:
        if self._kept[0] == numbers[0]:
            return [self._kept[1]]  # less than was asked for may be returned
        contents = self._parts.read(numbers)
        self._kept = numbers[-1], contents[-1]
        return contents

    def close(self) -> None:
        """Forget the part that was kept. Idempotent."""
        self._kept = (-1, b"")
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


def opened(parts: Parts) -> io.BufferedReader:
    """Return a file object on the parts of a blob."""
    return io.BufferedReader(RawBlob(parts), _BUFFER)


_BUFFER = 65_536
"""Bytes that a short read takes over from the part, which is in memory: more would only be copied more often."""
