"""Values that are too large for an item, split across several.

The parts of a value are in a separate partition, ``<user>:``, which cannot be a user's id. So no listing ever meets
them, and they take no throughput from the user's own partition. Their sort key is the record's sort key, a name, and a
number. What they hold never changes. The record's item has their name, and how many there are.

A writer stores the parts of the new value, then switches the record's item to them, then removes the parts of the old
value. If a reader does not find all parts, another writer was faster, and it reads the record's item again.

The name is new whenever somebody stores parts, even if it is the same write that is sent again since its answer was
lost. So once a record's item has stopped naming parts, it never names them again, and whoever saw it stop can remove
them. Were they named by the revision, somebody else could be about to remove them when the write is sent again: it
would leave a record without its parts. Only if nobody can have seen the name, since every request for it was answered
and refused, the next attempt takes it over.

After a crash, and after a lost answer, there may be parts that no record names. They are removed when a large value is
next written to that key or removed from it, and when the namespace is cleared: with the first parts of a namespace, a
marker is stored in the namespace itself, which tells `clear` to look for parts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from datastore.adapters.batching import batches
from datastore.adapters.remembering import new_mark
from datastore.backend import IdRange, Put, Restore
from datastore.errors import DataStoreError
from datastore.ids import after_namespace
from datastore.times import format_time, parse_time
from datastore.turns import keep_newest
from datastore_dynamodb.batches import READ_BATCH, WRITE_BATCH, get_items, write_items
from datastore_dynamodb.client import ConditionFailedError, Connection
from datastore_dynamodb.codec import PARTS, Attribute, Attributes, Encoded
from datastore_dynamodb.items import Split, epoch, id_of, own_key, revision_after, split_of
from datastore_dynamodb.schema import PARTITION, PARTS_SUFFIX, SORT, TTL

logger = logging.getLogger("datastore")

_MARKER = "~"  # sorts after every character of base64, so it is not a key
BEFORE_MARKER = "{"
"""Stands where a key would: after all keys of a namespace, and before its marker."""
_LEFT_BEHIND = timedelta(hours=1)
"""No writer is still about to switch to parts that are this old, even if the clocks differ."""
_MOST_UNUSED = 1_000
"""For how many writes the name of parts that no record refers to is remembered."""
_TTL_MARGIN = 86_400  # seconds; the parts of an expiring record are never removed before it, even if the clocks differ

_DATA = {"ProjectionExpression": "pk, sk, #data", "ExpressionAttributeNames": {"#data": "data"}}
_NAMES = {"ProjectionExpression": "pk, sk, writtenAt"}


def is_marker(id: str) -> bool:
    """Return whether an item in a namespace is the marker, which is not a record."""
    return id.endswith(_MARKER)


class Parts:
    """Writes, reads and removes parts of values."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the names that only the parent may take over."""
        self._unused: dict[tuple[str, str], str] = {}  # by id and revision: the name of parts that nothing refers to

    def name(self, write: Put | Restore) -> str:
        """Return a name for the parts that one call stores for a write."""
        return self._unused.pop((write.id, revision_after(write)), None) or f"{new_mark()}{new_mark()}"

    def keep(self, write: Put | Restore, value: Encoded) -> None:
        """Note that no record refers to the parts of a write, or ever will unless the write is sent again.

        Then their name is taken over, so that each attempt replaces what the one before has stored.
        """
        self._unused[write.id, revision_after(write)] = _of(value).name
        keep_newest(self._unused, _MOST_UNUSED)

    def write(self, write: Put | Restore, value: Encoded, expires_at: str | None) -> None:
        """Store the parts of a value before anything refers to them.

        Args:
            write: The write.
            value: Its value, with the name of the parts.
            expires_at: When the record will expire.
        """
        user, _, rest = write.id.partition(":")
        marker = {PARTITION: {"S": user}, SORT: {"S": rest[: rest.index(":") + 1] + _MARKER}}
        requests = [{"PutRequest": {"Item": marker}}]
        for key, chunk in zip(_keys(write.id, _of(value)), value.chunks, strict=True):
            item: Attributes = {
                **key,
                "data": {"B": chunk},
                "writtenAt": {"S": write.at},
            }
            if expires_at is not None:
                item[TTL] = _expiring(expires_at)
            requests.append({"PutRequest": {"Item": item}})
        write_items(self._connection, requests)

    def prolong(self, id: str, split: Split, was: str | None, expires_at: str | None, mark: str) -> None:
        """Let the parts of a value live long enough before the expiry of their record is moved, and mark them.

        The mark tells `shorten` whether another touch has prolonged them since.

        Args:
            id: The record's id.
            split: The parts.
            was: When the record expires now.
            expires_at: When it will expire.
            mark: A mark of this touch.

        Requests: 1 for each part, and rarely 2.
        """
        marking, values = "SET touched = :mark", {":mark": {"S": mark}}
        for key in _keys(id, split):
            if expires_at is None:
                self._update(key, f"{marking} REMOVE {TTL}", values)
                continue
            until = values | {":until": _expiring(expires_at)}
            is_later = was is not None and expires_at > was
            # If the parts live even longer, because a touch was interrupted or another one is under way, they stay so.
            if not (is_later and self._update(key, f"{marking}, {TTL} = :until", until, f"{TTL} < :until")):
                self._update(key, marking, values)

    def shorten(self, id: str, split: Split, expires_at: str, mark: str) -> None:
        """Let the parts of a value expire with their record, after its expiry was moved back.

        Args:
            id: The record's id.
            split: The parts.
            expires_at: When it expires.
            mark: The mark of this touch. Parts that another touch has marked since are left alone.

        Requests: 1 for each part.
        """
        values = {":mark": {"S": mark}, ":until": _expiring(expires_at)}
        try:
            for key in _keys(id, split):
                self._update(key, f"SET {TTL} = :until", values, "touched = :mark")
        except DataStoreError as error:  # the touch is done
            logger.warning("parts of a value will outlive it: %s", error)

    def _update(
        self, key: Attributes, update: str, values: Attributes, condition: str = "attribute_exists(pk)"
    ) -> bool:
        """Change a part if it is there and as a condition says, and return whether it is."""
        try:
            self._connection.call(
                "update_item",
                TableName=self._connection.settings.table,
                Key=key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        except ConditionFailedError:
            return False
        return True

    def read(self, items: Sequence[Mapping[str, Attribute]]) -> dict[str, bytes]:
        """Return the joined parts by the id of the record's item, leaving out items with a missing part."""
        keys = [key for item in items for key in keys_of(item)]
        data: dict[str, bytes] = {}
        for batch in batches(keys, READ_BATCH):
            data.update(
                (id_of(part), bytes(part["data"]["B"]))
                for part in get_items(self._connection, batch, _DATA)
                if "B" in part.get("data", ())
            )
        joined: dict[str, bytes] = {}
        for item in items:
            found = [data.get(id_of(key)) for key in keys_of(item)]
            if None not in found:
                joined[id_of(item)] = b"".join(part for part in found if part is not None)
        return joined

    def withdraw(self, write: Put | Restore, value: Encoded) -> None:
        """Remove the parts of a write that nothing refers to, because it was not done, or by another attempt."""
        try:
            self._remove(_keys(write.id, _of(value)))
        except DataStoreError as error:  # the result of the write is known; the parts can wait
            logger.warning("parts of a value that was not stored are still there for now: %s", error)

    def reclaim(self, id: str, at: str, *, keep: str | None, gone: str | None) -> None:
        """Remove those parts of one record that nothing refers to any more.

        Args:
            id: The record's id.
            at: Now.
            keep: The name of the parts of the value that was just written, if it has any.
            gone: The name of those of the value that was just replaced or removed.
        """
        user, _, rest = id.partition(":")
        try:
            self._remove(self._left_behind(user, f"{rest}:", f"{rest};", at, keep=keep, gone=gone))
        except DataStoreError as error:  # the write is done; the parts can wait
            logger.warning("parts of a replaced value are still there for now: %s", error)

    def sweep(self, range: IdRange, at: str, gone: Sequence[Mapping[str, Attribute]]) -> None:
        """Remove parts in a range that was just cleared: those of its records, and those left over from crashes.

        The namespace's marker is removed too if no part remains.
        """
        user, _, first = range.start.partition(":")
        end = range.end.partition(":")[2]
        self._remove([key for item in gone for key in keys_of(item)])
        remaining = False
        keys: list[Attributes] = []
        for part in self._query(user, first, end, strong=True):
            record, _ = _names(part)
            # Parts of the key "a" come after those of "a0", whose records come after that of "a".
            if first <= record < end and _is_left_behind(part, at):
                keys.append(own_key(part))
            else:
                remaining = True
        self._remove(keys)
        if not remaining and first.endswith(":") and range.end == after_namespace(range.start):  # the whole namespace
            self._remove([{PARTITION: {"S": user}, SORT: {"S": first + _MARKER}}])

    def all_keys(self, range: IdRange) -> Iterator[list[Attributes]]:
        """Yield the keys of all parts of a user's values, in pages, whether or not anything refers to them."""
        user = range.start.partition(":")[0]
        for page in self._pages(user, KeyConditionExpression="pk = :user", ConsistentRead=True):
            yield [own_key(part) for part in page]

    def _left_behind(
        self, user: str, first: str, end: str, at: str, *, keep: str | None, gone: str | None
    ) -> list[Attributes]:
        found = []
        for part in self._query(user, first, end):
            _, name = _names(part)
            if name != keep and (name == gone or _is_left_behind(part, at)):
                found.append(own_key(part))
        return found

    def _query(self, user: str, first: str, end: str, *, strong: bool = False) -> Iterator[Attributes]:
        pages = self._pages(
            user,
            {":first": {"S": first}, ":end": {"S": end}},
            KeyConditionExpression="pk = :user AND sk BETWEEN :first AND :end",
            ConsistentRead=strong,
        )
        for page in pages:
            yield from page

    def _pages(self, user: str, values: Attributes | None = None, **parameters: Any) -> Iterator[list[Attributes]]:
        parameters |= {
            "TableName": self._connection.settings.table,
            "ExpressionAttributeValues": {":user": {"S": user + PARTS_SUFFIX}, **(values or {})},
            **_NAMES,
        }
        while True:
            answer = self._connection.call("query", **parameters)
            yield answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _remove(self, keys: Sequence[Attributes]) -> None:
        # A call that is repeated may meet a record twice. DynamoDB refuses a batch that names an item twice.
        distinct = {id_of(key): key for key in keys}
        for batch in batches(distinct.values(), WRITE_BATCH):
            write_items(self._connection, [{"DeleteRequest": {"Key": key}} for key in batch])


def _keys(id: str, split: Split) -> list[Attributes]:
    """Return the keys of the parts of the value of a record."""
    user, _, rest = id.partition(":")
    partition = {"S": user + PARTS_SUFFIX}
    return [{PARTITION: partition, SORT: {"S": f"{rest}:{split.name}:{number}"}} for number in range(split.number)]


def keys_of(item: Mapping[str, Attribute]) -> list[Attributes]:
    """Return the keys of the parts of the value in a record's item."""
    split = split_of(item)
    return [] if split is None else _keys(id_of(item), split)


def _of(value: Encoded) -> Split:
    """Return the parts of a value that has them."""
    split = split_of({PARTS: value.attribute})
    assert split is not None  # noqa: S101  # the caller has seen that its form is `PARTS`
    return split


def _expiring(expires_at: str) -> Attribute:
    """Return when DynamoDB may remove the parts of a record that expires at the given time."""
    return {"N": str(epoch(expires_at, _TTL_MARGIN))}


def _names(part: Mapping[str, Attribute]) -> tuple[str, str]:
    """Return the sort key of a part's record, and the part's name."""
    namespace, _, rest = id_of(part)[len(part[PARTITION]["S"]) + 1 :].partition(":")
    key, _, rest = rest.partition(":")
    return f"{namespace}:{key}", rest.rpartition(":")[0]


def _is_left_behind(part: Mapping[str, Attribute], at: str) -> bool:
    """Return whether a part is so old that no writer is still about to switch to it."""
    earlier = format_time((parse_time(at) - _LEFT_BEHIND).timestamp())
    written: str = part.get("writtenAt", {}).get("S", at)
    return written < earlier
