"""Vectors: checked, and stored as they are, each in a document beside its record.

The document lies in the area ``vectors`` of the namespace, and its key is ``v`` and the revision of the record that the
vector belongs to. A vector counts as long as the record under its key is at that revision, and never again after. So a
vector is written before its record and never changed with it: whoever sees the record at that revision can find its
vector, and whoever sees the vector of a record that is not written yet, or of one that was replaced or removed, knows
that it does not count. No two writes have to be atomic for that.

A long text has a vector for each of its parts. All of them are in the one document: so they are written, replaced and
removed together, in as many requests as one is. No index of a database can search those.

It is a document of its own because reading a record should not cost what its vector weighs (Firestore returns, and
DynamoDB bills, whole documents), and because the vector indexes of databases hold one vector for each document.
"""

from __future__ import annotations

import math
import sys
from array import array
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from datastore.arguments import as_number, elements, is_a
from datastore.backend import Document, Fields, Put
from datastore.documents import damaged, skip
from datastore.errors import DamagedRecordError, InvalidValueError, ValueTooLargeError, kind_of
from datastore.ids import IdRange, decode_keys, encode_key, key_range
from datastore.memory.splitting import Span, Splitter
from datastore.scope import Moment, Scope
from datastore.values import MAX_VALUE_BYTES

AREA = "vectors"
"""The area of a namespace (`datastore.ids.AREAS`) that holds them."""
MOST_DIMENSIONS = 16_000
"""As many as pgvector stores; its base64 text takes 85 KB."""
FORMAT = 1
VECTOR = "v"
"""What the keys of the documents of vectors begin with."""

_ROW = 650
"""About what a vector takes in memory besides its numbers: three texts, and a place in two dicts and in three lists."""
_BESIDE, _SPAN = 6_000, 24  # bytes that a document has besides its vectors, and that a part has besides its own
_SMALLEST, _LARGEST = 1e-15, 1e15
"""Between these lengths products of float32 neither overflow nor vanish."""


def packed(vector: object, name: str, dimensions: int | None = None) -> bytes:
    """Return a vector as float32, little-endian.

    Args:
        vector: A list or tuple of numbers, or anything that shows its memory as floats: an array of numpy's, one of
            the standard library's.
        name: The parameter, for errors.
        dimensions: How many there must be; ``None`` for any number.

    Raises:
        InvalidValueError: If it is none, is of another size, or its length is 0, infinite, or beyond what float32
            multiplies. The message names the place, and no number.
    """
    floats = _floats(vector, name)
    if dimensions is not None and len(floats) != dimensions:
        raise InvalidValueError(f"{name} has {len(floats):,} dimensions; it must have {dimensions:,}")
    if not 0 < len(floats) <= MOST_DIMENSIONS:
        raise InvalidValueError(f"{name} has {len(floats):,} dimensions; it must have 1 to {MOST_DIMENSIONS:,}")
    length = math.hypot(*floats)  # no sum of squares of 32 bits is infinite in 64
    if not math.isfinite(length):
        place = next(place for place, one in enumerate(floats) if not math.isfinite(one))
        raise InvalidValueError(f"{name}[{place}] is not a finite number of 32 bits")
    if length == 0:
        raise InvalidValueError(f"{name} is a zero vector; it is like nothing, so no search would find it")
    if not _SMALLEST <= length <= _LARGEST:
        raise InvalidValueError(f"{name} must have a length from {_SMALLEST:g} to {_LARGEST:g}")
    if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
        floats.byteswap()
    return floats.tobytes()


def _floats(vector: object, name: str) -> array[float]:
    if is_a(vector, list, tuple):
        numbers = elements(vector)
        if not {float, int}.issuperset(map(type, numbers)):
            for place, one in enumerate(numbers):
                number = as_number(one)
                if number is None:
                    raise InvalidValueError(f"{name}[{place}] is {kind_of(one)}; it must be a number")
                numbers[place] = number
    else:
        try:
            memory = memoryview(vector)  # type: ignore[arg-type]  # what shows none raises TypeError
            if memory.ndim != 1 or memory.format.lstrip("<=@") not in ("f", "d", "e"):
                raise TypeError
            if memory.format == "f" and memory.contiguous:
                return array("f", memory.tobytes())
            numbers = memory.tolist()
        except (TypeError, ValueError, BufferError, NotImplementedError):
            raise InvalidValueError(
                f"{name} is {kind_of(vector)}; it must be a list of numbers, or an array of floats of one dimension"
            ) from None
    try:
        return array("f", numbers)
    except OverflowError:
        raise InvalidValueError(f"{name} holds an int that no float can hold") from None


class Made(NamedTuple):
    """The vector of a text, or those of its parts; see `Stored`, which has the same."""

    vector: bytes
    parts: Sequence[Span] = ()
    split: Splitter | None = None


class Stored(NamedTuple):
    """A vector that is stored."""

    revision: str
    """Of the record that it belongs to."""
    key: str
    """The record's."""
    model: str
    """Empty if the vector was given, and there was no embedder."""
    vector: bytes
    """If there are several parts, their vectors, one after the other."""
    at: str = ""
    """When it was written."""
    parts: Sequence[Span] = ()
    """Where each part of the text begins and ends; empty if it is in one."""
    split: Splitter | None = None
    """How the text is split, if the caller said so: also when it is another text by then."""

    @property
    def dimensions(self) -> int:
        """How many a vector has."""
        return len(self.vector) // 4 // (len(self.parts) or 1)


def key_at(revision: str) -> str:
    """Return the key of the document of a vector."""
    return VECTOR + revision


def id_at(area: Scope, revision: str) -> str:
    """Return the id of the document of a vector, in the scope of the area."""
    return area.prefix + encode_key(key_at(revision))


def vector_of(scope: Scope, revision: str) -> Stored | None:
    """Return the vector that belongs to a record at a revision, in the scope of its namespace; ``None`` if it has none.

    Requests: 1.
    """
    area = scope.area(AREA)
    found = area.core.read([id_at(area, revision)], Fields.VALUE)
    return next(iter(readable_in(area, list(found.values()))), None)


def numbers_of(stored: Stored) -> memoryview[float]:
    """Return the numbers of a vector, or of that of the first part."""
    return memoryview(stored.vector)[: 4 * stored.dimensions].cast("f")


def all_vectors(area: Scope) -> IdRange:
    """Return the range of the documents of all vectors."""
    return key_range(area.prefix, VECTOR)


def put(area: Scope, moment: Moment, stored: Stored, *, indexed: bool = False) -> Put:
    """Return the write of a vector, with ``indexed`` also for the index of the database.

    It does not expire with its record: that may be given more time, and the vector would be gone.
    """
    value: dict[str, Any] = {
        "format": FORMAT,
        "key": stored.key,
        "model": stored.model,
        "dimensions": stored.dimensions,
        "vector": b64encode(stored.vector).decode(),
    }
    if stored.parts:
        value["parts"] = [list(span) for span in stored.parts]
    if stored.split is not None:
        value["split"] = {"size": stored.split.size, "overlap": stored.split.overlap}
    made = area.put(key_at(stored.revision), value, moment._replace(expires_at=None))
    return made._replace(vector=stored.vector) if indexed and not stored.parts else made


def bytes_of(number: int, dimensions: int) -> int:
    """Return about how many bytes so many vectors take in memory (`datastore.memory.matrix`)."""
    return number * (4 * (dimensions + 2) + _ROW)


def stored_in(area: Scope, documents: Sequence[Document]) -> list[Stored]:
    """Return the vectors in documents.

    Raises:
        DamagedRecordError: If one of them is none of this format.
    """
    start, found = len(area.prefix), list[Stored]()
    try:
        keys = decode_keys([document.id for document in documents], start)
    except ValueError:
        if len(documents) > 1:  # one by one it shows which one it is
            return [stored for document in documents for stored in stored_in(area, [document])]
        keys = [""]
    for key, document in zip(keys, documents, strict=True):
        value = document.value
        try:
            if value["format"] == FORMAT and key.startswith(VECTOR):
                vector, owner, model = a2b_base64(value["vector"], strict_mode=True), value["key"], value["model"]
                parts = _parts(value["parts"]) if "parts" in value else ()
                split = _split(value["split"]) if "split" in value else None
                if type(owner) is type(model) is str and len(vector) == 4 * value["dimensions"] * (len(parts) or 1) > 0:
                    revision = key[len(VECTOR) :]
                    found.append(Stored(revision, owner, model, vector, document.created_at, parts, split))
                    continue
        except (LookupError, TypeError, ValueError, InvalidValueError):
            pass
        raise damaged(document.id, "it is no vector of this format; write its record anew with memory.edit()")
    return found


def readable_in(area: Scope, documents: Sequence[Document]) -> list[Stored]:
    """Return the vectors in those documents that can be read, for what must not be kept up by one that cannot.

    Of each other one it is logged that it was left out, as of any damaged record in a listing.
    """
    try:
        return stored_in(area, documents)
    except DamagedRecordError as error:
        if len(documents) > 1:
            return [stored for document in documents for stored in readable_in(area, [document])]
        skip(error)
        return []


def _parts(parts: Any) -> Sequence[Span]:
    """Return the parts in the value of a document, each after the beginning of the one before it."""
    if any(type(place) is not int for part in parts for place in part):
        raise TypeError
    spans = [(start, end) for start, end in parts]
    if any(not 0 <= start < end for start, end in spans):
        raise ValueError
    return spans


def _split(split: Any) -> Splitter:
    return Splitter(split["size"], split["overlap"])


def check_fits(parts: int, dimensions: int) -> None:
    """Check that the vectors of a text's parts fit into one document.

    Raises:
        ValueTooLargeError: If they do not.
    """
    most = (MAX_VALUE_BYTES - _BESIDE) // (dimensions * 16 // 3 + _SPAN)
    if parts > most:
        raise ValueTooLargeError(
            f"the text has {parts:,} parts, and of {dimensions:,} dimensions {most:,} vectors can be kept for one "
            "record; let the parts be larger"
        )
