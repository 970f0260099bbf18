"""Reading: by key, and by ranges of one user's items."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from datastore import deadlines
from datastore.adapters.batching import batches
from datastore.adapters.knowledge import Memory
from datastore.backend import Document, DocumentPage, Fields, IdRange
from datastore.documents import UNDECODABLE, damaged, reason
from datastore.errors import BackendUnavailableError, DamagedRecordError
from datastore.ids import SYSTEM, after_namespace
from datastore.retry import Backoff
from datastore.times import format_time
from datastore_dynamodb.answers import lost
from datastore_dynamodb.batches import READ_BATCH, Threads, get_items
from datastore_dynamodb.client import Connection
from datastore_dynamodb.codec import PARTS, Attribute, Attributes, decode_value, unzip
from datastore_dynamodb.items import (
    LIVE,
    PROJECTION,
    REVISION,
    after_partition,
    id_of,
    key_of,
    known_after_reading,
    own_key,
    parts_of,
    scan_key_of,
    split_of,
    to_document,
)
from datastore_dynamodb.parts import BEFORE_MARKER, Parts, is_marker
from datastore_dynamodb.schema import FORMAT_KEY, NAME, PARTITION, PARTS_SUFFIX

_PAGE_BYTES = 8_000_000
"""A page of a scan ends soon after this many unpacked bytes, so that large values do not fill the memory."""
_PART_BYTES = 350_000
_LOOKED_AT = 100
"""The fewest items that a page of a find looks at; the smallest ones cost 10 read units together."""
_MOST_FOR_USERS = 1_000
"""The most items that a page of a list of users looks at: more than a megabyte of all but the smallest."""
_SECONDS = 5.0
"""How many seconds a reader waits for the parts of a value while writers keep replacing it."""
_FIRST_DELAY, _LONGEST_DELAY = 0.005, 0.25
_COLONS = 2  # in an id; a text with fewer is the beginning of ids of several namespaces

Item = Mapping[str, Attribute]


class Reader:
    """Reads documents. Shared by threads."""

    def __init__(self, connection: Connection, parts: Parts, threads: Threads, memory: Memory) -> None:
        self._connection = connection
        self._table = connection.settings.table
        self._strong = connection.settings.strong
        self._parts = parts
        self._threads = threads
        self._memory = memory

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        if len(ids) == 1:
            item = self._get(ids[0], fields, self._strong)
            items = [] if item is None else [item]
        else:
            found = self._threads.map(
                lambda keys: get_items(self._connection, keys, PROJECTION[fields], self._strong),
                batches(map(key_of, ids), READ_BATCH),
            )
            items = [item for batch in found for item in batch]
        documents, broken, _ = self._documents(items, fields)
        if broken:
            documents |= _unless_expired(broken, items)
        if fields is Fields.ALL:
            for item in items:
                if not parts_of(item) and (document := documents.get(id_of(item))) is not None:
                    self._memory.note(document.id, known_after_reading(item, document))
        return documents

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `Backend.scan`."""
        return self._page(range, {}, fields, limit, limit, after, reverse=reverse)

    def find(
        self,
        range: IdRange,
        filter: Mapping[str, Any],
        fields: Fields,
        limit: int,
        after: str | None,
        *,
        reverse: bool,
    ) -> DocumentPage:
        """Return a page of the documents that pass a filter.

        DynamoDB limits the number of items that it looks at. So if few documents are wanted, it may look at more, to
        save requests.
        """
        return self._page(range, filter, fields, limit, max(limit, _LOOKED_AT), after, reverse=reverse)

    def _page(
        self,
        range: IdRange,
        filter: Mapping[str, Any],
        fields: Fields,
        limit: int,
        looked_at: int,
        after: str | None,
        *,
        reverse: bool,
    ) -> DocumentPage:
        condition = _before(range, after) if reverse else _after(range, after)
        if condition is None:
            return DocumentPage((), None)
        parameters = {
            "TableName": self._table,
            "ConsistentRead": self._strong,
            "Limit": looked_at,
            **condition,
            **PROJECTION[fields],
        }
        for name, part in filter.items():
            parameters[name] = part if isinstance(part, str) else {**parameters.get(name, {}), **part}
        answer = self._connection.call("query", **parameters)
        items = [item for item in answer["Items"] if not is_marker(id := id_of(item)) and id < range.end]
        last = answer.get("LastEvaluatedKey")
        return self._page_of(items, fields, limit, last if last and id_of(last) < range.end else None)

    def scan_all(self, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """See `Backend.all_documents`: in the order of the users' hashes."""
        parameters: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": self._strong,
            "Limit": limit,
            # Parts of values and their markers have neither.
            "FilterExpression": "attribute_exists(createdAt) OR attribute_exists(revision)",
            **PROJECTION[fields],
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = scan_key_of(after)
        answer = self._connection.call("scan", **parameters)
        return self._page_of(answer["Items"], fields, limit, answer.get("LastEvaluatedKey"))

    def users(self, limit: int, after: str | None) -> list[str]:
        """See `Backend.users`: in the order of the users' hashes.

        Each page continues where the partition ends that the last one came to. While users have only a record or two,
        each page looks at more items than the last; while they have more, it looks at fewer. So two or three items
        are read for each user.
        """
        found: list[str] = []
        looked_at = 1
        parameters: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": self._strong,
            "ProjectionExpression": f"pk, sk, {REVISION}",
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = after_partition(after)
        while len(found) < limit:
            deadlines.check()
            answer = self._connection.call("scan", **parameters, Limit=looked_at)
            partitions: dict[str, bool] = {}
            for item in answer["Items"]:
                name = own_key(item)[PARTITION]["S"]
                partitions[name] = partitions.get(name, False) or REVISION in item
            found += [name for name, has_records in partitions.items() if has_records and _is_of_records(name)]
            if not answer.get("LastEvaluatedKey"):
                break
            last = own_key(answer["LastEvaluatedKey"])
            name = last[PARTITION]["S"]
            # The first items of a user may all be markers, or another program's.
            is_settled = partitions.get(name, False) or not _is_of_records(name)
            parameters["ExclusiveStartKey"] = after_partition(name) if is_settled else last
            if len(partitions) * 2 >= len(answer["Items"]) or not is_settled:
                looked_at = min(looked_at * 2, _MOST_FOR_USERS)
            else:
                looked_at = max(looked_at // 2, 1)
        return found[:limit]

    def _page_of(self, items: Sequence[Item], fields: Fields, limit: int, last: Item | None) -> DocumentPage:
        fitting = _fitting(items) if fields is not Fields.KEY else len(items)
        documents, broken, done = self._documents(items[: min(fitting, limit)], fields)
        after = id_of(items[done - 1]) if done < len(items) else id_of(last) if last else None
        return DocumentPage(list(documents.values()), after, broken)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        condition = _before(range, None)  # in reverse order, which leaves out an item at the end of the range
        if condition is None:
            return 0
        # The markers are the only items of a namespace without a creation time.
        condition["FilterExpression"] = f"attribute_exists(createdAt) AND {LIVE}"
        condition["ExpressionAttributeValues"][":at"] = {"S": at}
        parameters = {"TableName": self._table, "ConsistentRead": self._strong, "Select": "COUNT", **condition}
        number = 0
        while True:
            answer = self._connection.call("query", **parameters)
            number += int(answer["Count"])
            if not answer.get("LastEvaluatedKey"):
                return number
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def keys(self, range: IdRange, after: Attributes | None) -> tuple[list[Attributes], Attributes | None]:
        """Return a page of the items of a range with what deleting them needs, including expired ones and markers."""
        condition = _in_range(range)
        if condition is None:
            return [], None
        parameters = {
            "TableName": self._table,
            "ConsistentRead": True,
            "ProjectionExpression": "pk, sk, createdAt, expiresAt, revision, valueParts",
            **condition,
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = after
        answer = self._connection.call("query", **parameters)
        return [item for item in answer["Items"] if id_of(item) < range.end], answer.get("LastEvaluatedKey")

    def _get(self, id: str, fields: Fields, strong: bool) -> Attributes | None:
        answer = self._connection.call(
            "get_item", TableName=self._table, Key=key_of(id), ConsistentRead=strong, **PROJECTION[fields]
        )
        item: Attributes | None = answer.get("Item")
        if item is not None and id_of(item) != id:
            lost("it is for another record")
        return item

    def _documents(
        self, items: Sequence[Item], fields: Fields
    ) -> tuple[dict[str, Document], list[DamagedRecordError], int]:
        """Return the documents of items, the errors for items that are damaged, and how many items these are.

        Those are the items up to where they would take too much memory together.
        """
        split = [item for item in items if PARTS in item and REVISION in item] if fields is not Fields.KEY else []
        now = format_time(time.time()) if split else ""
        split = [item for item in split if not _has_expired(item, now)]
        joined = self._parts.read(split) if split else {}
        documents: dict[str, Document] = {}
        broken: list[DamagedRecordError] = []
        size = 0
        for number, item in enumerate(items):
            if size > _PAGE_BYTES and len(items) > READ_BATCH:
                return documents, broken, number
            id = id_of(item)
            try:
                if fields is Fields.KEY:
                    documents[id] = to_document(item, fields)
                elif PARTS in item and _has_expired(item, now):
                    continue
                elif PARTS in item:
                    document = self._whole(item, fields, joined.get(id))
                    if document is not None:
                        documents[id] = document
                else:
                    value, unpacked = decode_value(item, fields)
                    size += unpacked
                    documents[id] = to_document(item, fields, value)
            except DamagedRecordError as error:
                broken.append(error)
            except UNDECODABLE as error:
                broken.append(damaged(id, reason(error)))
        return documents, broken, len(items)

    def _whole(self, item: Item, fields: Fields, joined: bytes | None) -> Document | None:
        """Return the document of an item whose value is split, even if another writer has just removed its parts."""
        id = id_of(item)
        backoff: Backoff | None = None
        while joined is None:
            if backoff is None:
                backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
            elif not backoff.wait():
                raise BackendUnavailableError(
                    f"the {parts_of(item)} parts of the value were never complete: other writers keep replacing it",
                    backend=NAME,
                )
            newer = self._get(id, fields, strong=True)
            if newer is None:
                return None
            before, item = split_of(item), newer
            if PARTS not in item:
                return to_document(item, fields, decode_value(item, fields)[0])
            joined = self._parts.read([item]).get(id)
            if joined is None and split_of(item) == before:
                # Parts exist from before the record's item names them until after it names others.
                raise damaged(id, f"some of the {parts_of(item)} parts of its value are missing")
        return to_document(item, fields, unzip(joined)[0])


def _has_expired(item: Item, now: str) -> bool:
    """Return whether DynamoDB may have begun to remove a record whose value is split, beginning with the parts.

    This uses this machine's clock, since a read is not given the time. The store's own clock decides what it shows.
    """
    expires_at = item.get("expiresAt", {}).get("S")
    return type(expires_at) is str and expires_at <= now


class _Unreadable(Document):
    """A document whose value cannot be read. The error matters only if the store finds that it has not expired."""

    @property
    def value(self) -> Any:
        """The value; raises the error instead."""
        error: Any = self[_VALUE]
        raise error

    __slots__ = ()


_VALUE = Document._fields.index("value")


def _unless_expired(broken: Sequence[DamagedRecordError], items: Sequence[Item]) -> dict[str, Document]:
    """Return documents in place of those that could not be read, if they may have expired.

    Raises:
        DamagedRecordError: The first error of a document that never expires.
    """
    found = {id_of(item): item for item in items}
    documents: dict[str, Document] = {}
    for error in broken:
        item = found[error.id or ""]
        try:
            document = to_document(item, Fields.VALUE, error)
        except UNDECODABLE:
            raise error from None
        if document.expires_at is None:
            raise error
        documents[document.id] = _Unreadable(*document)
    return documents


def _fitting(items: Sequence[Item]) -> int:
    """Return how many items, of those with parts, can be read at once without taking too much memory."""
    size = 0
    for number, item in enumerate(items):
        if size > _PAGE_BYTES:
            return number
        size += parts_of(item) * _PART_BYTES
    return len(items)


def _after(range: IdRange, after: str | None) -> dict[str, Any] | None:
    """Return the parameters of a query for what follows an id in a range. An item at the end of the range is included.

    ``None`` if nothing can follow.
    """
    range = _without_marker(range)
    condition = _in_range(range)
    if condition is None or (after is not None and after >= range.end):
        return None
    if after is not None and after >= range.start:
        condition["ExclusiveStartKey"] = key_of(after)
    return condition


def _before(range: IdRange, after: str | None) -> dict[str, Any] | None:
    """Return the parameters of a query for what comes before an id in a range, in reverse order.

    The query starts below the end of the range, as if an earlier page had ended there. So an item at the end of the
    range is not read. ``None`` if nothing can come before.
    """
    range = _without_marker(range)
    condition = _in_range(range)
    if condition is None or (after is not None and after <= range.start):
        return None
    first = range.end if after is None else min(after, range.end)
    if first != range.end or _user_of(first) == _user_of(range.start):
        condition["ExclusiveStartKey"] = key_of(first)
    return {**condition, "ScanIndexForward": False}


def _without_marker(range: IdRange) -> IdRange:
    """Return a range that ends before its namespace's marker, so that the marker is not read in either direction.

    A range of several namespaces stays as it is; there a marker is read like any other item.
    """
    if range.start.count(":") == _COLONS and range.end == after_namespace(range.start):
        return range._replace(end=f"{range.end[:-1]}:{BEFORE_MARKER}")
    return range


def _user_of(id: str) -> str:
    return id.partition(":")[0]


def _is_of_records(partition: str) -> bool:
    """Return whether a partition is of a user's records: not of parts, of system records, or of the format."""
    return not partition.endswith((PARTS_SUFFIX, SYSTEM)) and partition != FORMAT_KEY[PARTITION]["S"]


def _in_range(range: IdRange) -> dict[str, Any] | None:
    """Return the key condition for a range of one user, or ``None`` if the range is empty. The end is included."""
    user, _, first = range.start.partition(":")
    end_user, _, end = range.end.partition(":")
    if range.end <= range.start:
        return None
    values = {":user": {"S": user}}
    condition = "pk = :user"
    if end_user == user:
        values[":end"] = {"S": end}
        if first:
            values[":first"] = {"S": first}
            condition += " AND sk BETWEEN :first AND :end"
        else:
            condition += " AND sk <= :end"
    elif first:  # to the end of the user: "<user>;"
        values[":first"] = {"S": first}
        condition += " AND sk >= :first"
    return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}
