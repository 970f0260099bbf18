"""The entries of ordered logs (`datastore.calls.logs`), and how they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import repeat
from typing import Any, Self, cast

from datastore.backend import Document, EntryDocuments
from datastore.documents import damaged
from datastore.errors import DamagedRecordError
from datastore.frozen import NamedTuple
from datastore.ids import MAX_NAME_BYTES, decode_key, decode_keys, decode_name, encode_name, ordered
from datastore.times import parse_time, parse_times, times_of

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


def are_ids_at(ids: Sequence[str], prefix: str, beginning: str, numbers: Sequence[int]) -> bool:
    """Return whether ids are those of the records that begin with the entries of numbers, as many, in this order.

    All are compared at once, in less time than one by one.

    Args:
        ids: The ids, at least one.
        prefix: What the ids of the namespace's logs begin with.
        beginning: What the keys of the log begin with.
        numbers: The numbers.
    """
    # The keys are encoded as one text, in which each is filled up with zeros: so none shares a character with the next.
    # In the ids, which are as long as each other, the same zeros take the place of the prefix.
    zeros = -(len(beginning.encode()) + _DIGITS) % 3
    one = beginning.replace("%", "%%") + f"%0{_DIGITS}d" + "\0" * zeros
    expected = ordered((one * len(ids) % tuple(numbers)).encode())
    between = "-" * zeros  # as `ordered` writes them
    text = "\n".join(("", *ids)).replace("\n" + prefix, between)
    length = len(prefix) + len(expected) // len(ids) - zeros
    return text + between == between + expected and {*map(len, ids)} == {length}


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
        metadata = {} if document.metadata is None else document.metadata
        try:
            key = decode_key(document.id[len(prefix) :])
            beginning = log_of(key)
            found = metadata.get("count", 1), metadata.get("trimmed", 0), metadata.get("first", 0)
            size, trimmed, first = found
            if (
                _are_names((document.created_by_agent,))
                and {int} == {type(number) for number in found}
                and 0 <= trimmed <= size
                and ("count" not in metadata or _is_list_of(document.value, size - trimmed))
            ):
                at = parse_time(document.created_at)
                return cls(document, beginning, int(key[-_DIGITS:]), size, trimmed, first, at)
        except (ValueError, TypeError, AttributeError):  # that last one if the metadata are no object
            pass
        raise no_log(document.id)

    @classmethod
    def all_of(cls, documents: Sequence[Document], prefix: str) -> Iterable[Self]:
        """Return an iterable over what `of` returns for each document, in less time than one by one."""
        start = len(prefix)
        try:
            keys = decode_keys([document.id[start:] for document in documents])
            times = parse_times({document.created_at for document in documents})
            are_names = _are_names([document.created_by_agent for document in documents])
        except (ValueError, TypeError):  # the closer look finds out which of them
            are_names = False
        if not are_names:
            return (cls.of(document, prefix) for document in documents)
        digits = "".join([key[-_DIGITS:] for key in keys])
        if not (digits.isdecimal() and digits.isascii() and {key[-_DIGITS - 1 : -_DIGITS] for key in keys} <= {":"}):
            return (cls.of(document, prefix) for document in documents)
        return (
            cls.of(document, prefix)
            if document.metadata != {}
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
    def left(self) -> int:
        """How many entries there are."""
        return self.size - self.trimmed

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

    def entries(self, span: Span, last: int | None = None) -> list[Entry]:
        """Return those of its entries that are meant; of these the last ones, if ``last`` says how many are needed."""
        document, number = self.document, self.number
        if not document.metadata:  # as nearly all are
            meant = span.low <= number < span.high
            return [Entry(number, document.value, document.created_by_agent, self.at)] if meant else []
        low, high = max(span.low, number + self.trimmed), min(span.high, self.next)
        if last is not None:
            low = max(low, high - last)
        if low >= high:
            return []
        begin = number + self.trimmed
        values = self.values[low - begin : high - begin]
        numbers = range(low, high)
        return list(map(_new_entry, zip(numbers, values, repeat(document.created_by_agent), repeat(self.at))))


_new_entry = partial(tuple.__new__, Entry)


def single_entries(documents: Sequence[Document], prefix: str, *, reverse: bool) -> list[Entry] | None:
    """Return the entries of documents, if each holds one, and none is missing between them.

    It takes a third of the time of looking at each (`Stored`), which everything else needs: then it returns ``None``.

    Args:
        documents: At least one, in the order of their numbers.
        prefix: What their ids begin with.
        reverse: Whether they are in the opposite order.
    """
    if type(documents) is EntryDocuments:
        if documents.metadata is not None:
            return None
        ids, created, agents, _, values = documents.columns
    else:
        ids, created, _, _, values, metadata, agents, *_ = zip(*documents, strict=True)
        if metadata.count({}) != len(ids):
            return None
    try:
        key = decode_key(ids[0][len(prefix) :])
        beginning, number = log_of(key), int(key[-_DIGITS:])
        times = times_of(created)
        if not _are_names(agents):
            return None
    except (ValueError, TypeError):  # the closer look finds out which of them
        return None
    step = -1 if reverse else 1
    numbers = range(number, number + step * len(ids), step)
    if len(ids) > 1 and not are_ids_at(ids, prefix, beginning, numbers):  # one was decoded, and so is what it must be
        return None
    return list(map(_new_entry, zip(numbers, values, agents, times, strict=True)))


def _are_names(agents: Iterable[object]) -> bool:
    """Return whether these are names of agents, or empty for the host: a read of entries checks no more than it needs.

    Raises:
        TypeError: If one is of a type that is never one.
    """
    return all(type(name) is str and len(name) <= MAX_NAME_BYTES for name in {*agents})


def _is_list_of(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length
