"""Reading long answers as they arrive, and only up to an amount of data.

A page of 10,000 records may hold 10 GB, and CouchDB limits a page only by number. Most answers are short: these are
decoded as a whole, which takes half as long. What cannot be decoded as a whole is read object by object.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Self

import httpx
import orjson

from datastore_couchdb.parsing import decoder_of_any, guarded, is_too_long, loads, without_long

_SHORT = 4_000_000
"""An answer of up to this many bytes is decoded as a whole."""


def read_rows(
    chunks: Iterator[bytes], most_bytes: int, *, with_documents: bool = True
) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows of a listing, and whether the answer was left after the row that exceeded an amount of data.

    Args:
        chunks: The pieces of the answer.
        most_bytes: The amount of data.
        with_documents: Whether the rows hold documents, whose numbers matter.
    """
    whole, chunks = _whole(chunks, "rows", most_bytes, loads if with_documents else orjson.loads)
    if whole is not None:
        return whole["rows"], False
    array = _Array(chunks, "rows")
    rows = array.read(most_bytes)
    if array.rest is None:
        return rows, True
    array.remainder()
    return rows, False


class Bookmark(str):
    """Where the answer to a query ends; empty if the answer does not say it.

    Attributes:
        warning: What the server says about how it found the answer; empty if it says nothing.
    """

    warning: str

    def __new__(cls, text: str, warning: str = "") -> Self:
        """Return a bookmark."""
        bookmark = super().__new__(cls, text)
        bookmark.warning = warning
        return bookmark

    @property
    def unused(self) -> bool:
        """Whether the server did not use the index that it was asked to use, because the index no longer exists.

        CouchDB also warns when a filter excludes much of what an index holds; that is not meant here.
        """
        return "was not used" in self.warning or "No matching index" in self.warning


def read_found(chunks: Iterator[bytes], most_bytes: int) -> tuple[list[dict[str, Any]], Bookmark | None]:
    """Return the documents that a query found, and the bookmark after them.

    The bookmark comes last. It is empty if the server has not sent one, and ``None`` if the answer was left early.
    """
    whole, chunks = _whole(chunks, "docs", most_bytes)
    if whole is not None:
        return whole["docs"], bookmark_of(whole)
    array = _Array(chunks, "docs")
    documents = array.read(most_bytes)
    if array.rest is None:
        return documents, None
    return documents, bookmark_of(array.remainder())


def bookmark_of(answer: dict[str, Any]) -> Bookmark:
    """Return the bookmark of an answer; empty if it has no bookmark."""
    bookmark = str(answer.get("bookmark") or "nil")
    return Bookmark("" if bookmark == "nil" else bookmark, str(answer.get("warning") or ""))


def _whole(
    chunks: Iterator[bytes], name: str, most_bytes: int, decode: Callable[[bytes], Any] = loads
) -> tuple[dict[str, Any] | None, Iterator[bytes]]:
    """Return a short and sound answer that holds an array.

    Returns:
        The answer and nothing more to read. Or ``None`` if it is too long or there is something wrong with it, with the
        chunks to read it from.
    """
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > min(_SHORT, most_bytes):
            return None, chain(pieces, chunks)
    try:
        answer = decode(b"".join(pieces))
    except (ValueError, RecursionError):
        return None, iter(pieces)
    if type(answer) is dict and type(answer.get(name)) is list and "error" not in answer:
        return answer, iter(())
    return None, iter(pieces)


_ID = re.compile(r'\{\s*"_?id"\s*:\s*')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def _past(text: str, position: int) -> tuple[dict[str, Any], int] | None:
    """Return a stand-in with the id of an object that is nested too deep to read, and where the object ends.

    ``None`` if it has not arrived as a whole.
    """
    depth = 0
    for token in _TOKEN.finditer(text, position):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            begins = _ID.match(text, position)
            id = "unknown" if begins is None else json.JSONDecoder().raw_decode(text, begins.end())[0]
            return {"id": id, "_id": id, "value": {"rev": ""}, "doc": {"_id": id}}, token.end()
    return None


class _Array:
    """The objects of one array of an answer.

    Attributes:
        rest: The text after the array, as far as it has arrived; ``None`` before the array's end.
    """

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks = codecs.iterdecode(chunks, "utf-8", "replace")
        self._opening = f'"{name}":['
        self.rest: str | None = None

    def read(self, most_bytes: int) -> list[dict[str, Any]]:
        """Return the objects up to and including the one that exceeds an amount of data."""
        objects: list[dict[str, Any]] = []
        size = 0
        for found, length in self._parse():
            objects.append(found)
            size += length
            if size > most_bytes:
                break
        return objects

    def remainder(self) -> dict[str, Any]:
        """Return the members of the answer that follow the array, after reading it to its end."""
        text = (self.rest or "") + "".join(self._chunks)
        try:
            members: dict[str, Any] = json.loads("{" + text.lstrip(",\r\n "))
        except ValueError as error:
            raise httpx.RemoteProtocolError("the answer broke off") from error
        if "error" in members:
            raise httpx.RemoteProtocolError("the server failed in the middle of the answer")
        return members

    def _parse(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield each object with its length, from the pieces of the answer's text."""
        scan, careful = json.JSONDecoder().raw_decode, False
        if not guarded():
            scan, careful = decoder_of_any().raw_decode, True
        text, position = "", -1
        for chunk in self._chunks:
            text = text[max(position, 0) :] + chunk
            if position < 0:
                position = text.find(self._opening)
                if position < 0:
                    continue
                position += len(self._opening)
            else:
                position = 0
            while True:
                while position < len(text) and text[position] in ",\r\n ":
                    position += 1
                if position < len(text) and text[position] == "]":
                    self.rest = text[position + 1 :]
                    return
                try:
                    found, end = scan(text, position)
                except ValueError as error:
                    if is_too_long(error):
                        scan, careful = decoder_of_any().raw_decode, True
                        continue
                    break  # it has not arrived as a whole
                except RecursionError:
                    beyond = _past(text, position)
                    if beyond is None:
                        break
                    found, end = beyond
                yield without_long(found) if careful else found, end - position
                position = end
        raise httpx.RemoteProtocolError("the listing broke off")
