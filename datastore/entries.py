"""The entries of ordered logs (`datastore.calls.logs`), and how they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self, cast

from datastore.backend import Document
from datastore.documents import damaged
from datastore.errors import DamagedRecordError
from datastore.ids import decode_key, decode_keys, decode_name, encode_name
from datastore.times import parse_time, parse_times

MOST = 10**16 - 1
"""More entries than any log has."""
_DIGITS = 16


def beginning_of(name: str) -> str:
    """Return what the keys of a log begin with: its name, encoded as a namespace is, so that the colon is the end.

    Raises:
        InvalidNameError: If it is not text, or is longer than a namespace can be.
    """
    return encode_name(name, "name") + ":"


def key_at(beginning: str, number: int) -> str:
    """Return the key of the record that begins with the entry of a number."""
    return f"{beginning}{number:0{_DIGITS}}"


def log_of(key: str) -> str:
    """Return what the keys of a log begin with, for one of these.

    Raises:
        ValueError: If no log has such a key.
    """
    beginning, digits = key[:-_DIGITS], key[-_DIGITS:]
    if not (len(beginning) > 1 and beginning[-1] == ":" and digits.isdecimal() and digits.isascii()):
        raise ValueError("no log has such a key")
    decode_name(beginning[:-1])
    return beginning


def no_log(id: str) -> DamagedRecordError:
    """Return the error for a record among those of logs that is none of them."""
    return damaged(id, "it is not part of a log")


class Entry(NamedTuple):
    """One entry of a `Log`."""

    number: int
    """Its place in the log: 1 for the first that was ever appended, then 2, 3, and so on."""
    value: Any
    """What was appended."""
    agent: str
    """Who appended it; empty for the host."""
    at: datetime
    """When, by the clock of the one who did. The order is that of the numbers, whatever the clocks say."""


class Span(NamedTuple):
    """Which entries are meant: those with ``low <= number < high``, and how many of them at most."""

    low: int
    high: int
    limit: int | None


class Stored(NamedTuple):
    """One record of a log: entries that were appended together, or what trimming has left of them.

    One entry is the value itself. Of several, ``count`` in the metadata says how many there were, and the value is the
    list of those that are left. ``trimmed`` in the metadata is how many are not. ``fences`` there is what the log
    remembers of the leases under which it was appended to, until and with this record (`datastore.fences`).
    """

    document: Document
    beginning: str
    """What the keys of its log begin with."""
    number: int
    """Of the first entry."""
    size: int
    """How many entries there were."""
    trimmed: int
    """How many of them, from the first on, are no longer there."""
    first: int
    """Of a mark: the entry that was the first one after it was made; else 0."""
    at: datetime
    """When they were appended."""

    @classmethod
    def of(cls, document: Document, prefix: str) -> Self:
        """Return what is in a document whose id begins with a prefix.

        Raises:
            DamagedRecordError: If it is not a record of a log.
        """
        metadata = document.metadata or {}
        try:
            key = decode_key(document.id[len(prefix) :])
            beginning = log_of(key)
            found = metadata.get("count", 1), metadata.get("trimmed", 0), metadata.get("first", 0)
            size, trimmed, first = found
            if (
                {int} == {type(number) for number in found}
                and 0 <= trimmed <= size
                and ("count" not in metadata or _is_list_of(document.value, size - trimmed))
            ):
                at = parse_time(document.created_at)
                return cls(document, beginning, int(key[-_DIGITS:]), size, trimmed, first, at)
        except (ValueError, TypeError):
            pass
        raise no_log(document.id)

    @classmethod
    def all_of(cls, documents: Sequence[Document], prefix: str) -> Iterable[Self]:
        """Return an iterable over what `of` returns for each document, in less time than one by one."""
        start = len(prefix)
        try:
            keys = decode_keys([document.id[start:] for document in documents])
            times = parse_times({document.created_at for document in documents})
        except (ValueError, TypeError):  # the closer look finds out which of them
            return (cls.of(document, prefix) for document in documents)
        digits = "".join([key[-_DIGITS:] for key in keys])
        if not (digits.isdecimal() and digits.isascii() and {key[-_DIGITS - 1 : -_DIGITS] for key in keys} <= {":"}):
            return (cls.of(document, prefix) for document in documents)
        return (
            cls.of(document, prefix)
            if document.metadata
            else cls(document, key[:-_DIGITS], int(key[-_DIGITS:]), 1, 0, 0, times[document.created_at])
            for document, key in zip(documents, keys, strict=True)
        )

    @property
    def fences(self) -> str:
        """What the log remembers of leases."""
        found = (self.document.metadata or {}).get("fences")
        return found if type(found) is str else ""

    @property
    def next(self) -> int:
        """The number after its last entry."""
        return self.number + self.size

    @property
    def is_mark(self) -> bool:
        """Whether all of its entries were trimmed."""
        return self.trimmed == self.size

    @property
    def values(self) -> list[Any]:
        """The entries that are left."""
        value = self.document.value
        if "count" in (self.document.metadata or {}):
            return cast(list[Any], value)
        return [] if self.trimmed else [value]

    def entries(self, span: Span) -> list[Entry]:
        """Return those of its entries that are meant."""
        document, number = self.document, self.number
        if not document.metadata:  # as nearly all are
            meant = span.low <= number < span.high
            return [Entry(number, document.value, document.created_by_agent, self.at)] if meant else []
        numbered = enumerate(self.values, number + self.trimmed)
        agent, at = document.created_by_agent, self.at
        return [Entry(place, value, agent, at) for place, value in numbered if span.low <= place < span.high]


_new_entry = partial(tuple.__new__, Entry)


def entries_backward(documents: Sequence[Document], prefix: str) -> list[Entry] | None:
    """Return the entries of documents from the last to the first, if each holds one, and none is missing between them.

    It takes a third of the time of looking at each (`Stored`), which everything else needs: then it returns ``None``.

    Args:
        documents: At least one.
        prefix: What their ids begin with.
    """
    ids, created, _, _, values, metadata, agents, *_ = zip(*documents, strict=True)
    if any(metadata):
        return None
    start = len(prefix)
    try:
        keys = decode_keys([id[start:] for id in ids])
        times = parse_times(set(created))
    except (ValueError, TypeError):  # the closer look finds out which of them
        return None
    beginning, digits = keys[0][:-_DIGITS], [key[-_DIGITS:] for key in keys]
    together = "".join(digits)
    if not (beginning.endswith(":") and together.isdecimal() and together.isascii()):
        return None
    newest = int(digits[0])
    numbers = range(newest, newest - len(keys), -1)
    if keys != [key_at(beginning, number) for number in numbers]:
        return None
    return list(map(_new_entry, zip(numbers, values, agents, map(times.__getitem__, created), strict=True)))


def _is_list_of(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length
