"""Reading documents by id, ranges by name, and the number of documents in a range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import grpc
from google.cloud.firestore_v1.types import query as messages

from datastore.adapters.knowledge import ABSENT, Known, Memory
from datastore.backend import Document, DocumentPage, Fields, IdRange
from datastore.documents import decoded
from datastore.errors import DamagedRecordError, DataStoreError, UnsupportedError
from datastore.ids import EVERYTHING, is_any_id
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.codec import get_time, set_time, text_of
from datastore_firestore.documents import ID, KEY, KEY_AND_METADATA, MARKER, MASKS, known_of, to_document
from datastore_firestore.failures import NAME, lacks_index, no_index_of_ids
from datastore_firestore.queries import Term, Test, fill_filter

_PAGE_BYTES = 8_000_000
"""A page of a scan ends soon after this many bytes, so that large values do not fill the memory."""

_Query: Any = messages.StructuredQuery.pb()
_Operator: Any = _Query.FieldFilter.Operator
_NAME = "__name__"
_COPY = "\n"
"""Between the id that a document holds and another name that it has; neither ids nor names have a line feed."""


class _CutShort(Exception):  # noqa: N818  # not an error: the page is whole, and the next continues after it
    """A range has more: the page is full, or the stream ended without saying that this was the end."""


class Found(NamedTuple):
    """What a query has found."""

    documents: list[Document]
    more: bool
    """Whether there may be more after the last document."""
    last: Message | None
    """The last document as it is stored."""
    moment: Message | None
    """The time at which the documents were like this."""
    damaged: list[DamagedRecordError]
    """The errors for documents that were found but cannot be read."""


class Reader:
    """Reads through one connection, and remembers what it sees for later writes."""

    def __init__(self, connection: Connection, memory: Memory, settings: Settings) -> None:
        self._connection = connection
        self._memory = memory
        self._prefix = settings.prefix
        self._collection = settings.collection
        self._earlier = settings.earlier_format
        self._is_theirs = _is_not_earlier if settings.earlier_format else _is_no_record
        self._to_document = partial(to_document, earlier=settings.earlier_format)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found = self._get(ids, MASKS[fields])
        for id in ids:
            self._memory.note(id, known_of(id, found[id], fields is Fields.ALL) if id in found else ABSENT)
        return {id: decoded(id, partial(self._to_document, id, stored, fields)) for id, stored in found.items()}

    def load(self, ids: Sequence[str], metadata: bool) -> dict[str, Known]:
        """Return what the toolkit must know of the documents that exist before they are written."""
        found = self._get(ids, KEY_AND_METADATA if metadata else KEY)
        return {
            id: known_of(id, stored, metadata)._replace(since=text_of(stored.create_time))
            for id, stored in found.items()
        }

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        if reverse:
            return self._scan_back(range, fields, limit, after)
        return self.find(range, [], fields, limit, after)

    def _scan_back(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        if self._earlier:
            raise UnsupportedError(
                "documents of the earlier format are listed from the first to the last", backend=NAME
            )
        end = range.end if after is None else min(range.end, after)
        if range.start >= end:
            return DocumentPage((), None)

        def lies_elsewhere(stored: Message) -> bool:  # a copy, which holds the id of another document
            return not range.start <= stored.name[len(self._prefix) :] < range.end

        query = self._backward_query(range, MASKS[fields], limit, None if end == range.end else end)
        try:
            page = self.page(query, fields, limit, None, lies_elsewhere)
        except DataStoreError as error:
            if not lacks_index(error):
                raise
            raise no_index_of_ids(error, self._collection) from error
        if not page.more or page.last is None:
            return DocumentPage(page.documents, None, page.damaged)
        id, name = page.last.fields[ID].string_value, page.last.name[len(self._prefix) :]
        return DocumentPage(page.documents, id if id == name else f"{id}{_COPY}{name}", page.damaged)

    def find(
        self,
        range: IdRange,
        terms: Sequence[Term],
        fields: Fields,
        limit: int,
        after: str | None,
        read_time: Message | None = None,
    ) -> DocumentPage:
        """Return a page of the documents of a range that satisfy at least one term, or of all if there are no terms."""
        if max(range.start, after or "") >= range.end:
            return DocumentPage((), None)
        query = self._range_query(range, MASKS[fields], limit, after)
        if terms:
            fill_filter(query.where, terms)
        # Beyond the ids of one user there is also what is not the store's.
        of_all_users = ":" not in range.start or range.end == EVERYTHING.end
        page = self.page(query, fields, limit, read_time, self._is_foreign if of_all_users else None)
        after = page.last.name[len(self._prefix) :] if page.more and page.last is not None else None
        if after == MARKER and not page.documents and not page.damaged:  # it would be an empty page
            return self.find(range, terms, fields, limit, after, read_time)
        return DocumentPage(page.documents, after, page.damaged)

    def _is_foreign(self, stored: Message) -> bool:
        """Return whether a document in the collection is the marker, or was written by somebody else."""
        return self._is_theirs(stored.name[len(self._prefix) :])

    def page(
        self,
        query: Message,
        fields: Fields,
        limit: int,
        read_time: Message | None = None,
        leave_out: Callable[[Message], bool] | None = None,
    ) -> Found:
        """Return a page of the documents that a query finds, without those that are to be left out."""
        documents: list[Document] = []
        broken: list[DamagedRecordError] = []
        last, moment = None, read_time
        number, more = 0, True
        try:
            for answer in self._stream(query, 0 if fields is Fields.KEY else _PAGE_BYTES, read_time):
                moment = moment or answer.read_time
                if not answer.HasField("document"):
                    continue
                last = answer.document
                number += 1
                if leave_out is not None and leave_out(last):
                    continue
                id = last.name[len(self._prefix) :]
                self._memory.note(id, known_of(id, last, fields is Fields.ALL))
                try:
                    documents.append(decoded(id, partial(self._to_document, id, last, fields)))
                except DamagedRecordError as error:
                    broken.append(error)
            more = number == limit
        except _CutShort:
            pass
        except grpc.RpcError as error:
            if not number:
                raise self._connection.failure(error) from error
            # The stream broke. What arrived is complete and in order, and the next page continues after it.
        return Found(documents, more, last, moment, broken)

    def all_states(
        self, range: IdRange, limit: int, after: str | None, expired_at: str | None = None
    ) -> tuple[list[tuple[str, Known]], str | None]:
        """Return what a range holds, as far as removing it needs, and the id after which there is more.

        It includes what cannot be read. It leaves out other programs' documents, except in the range of everything.
        With ``expired_at`` it returns only what is expired then, and reads only documents that expire.
        """
        seen: list[tuple[str, Known]] = []
        last, number, more = None, 0, True
        query = self._range_query(range, KEY, limit, after, expiring=expired_at is not None)
        try:
            for answer in self._stream(query, 0):
                if answer.HasField("document"):
                    stored = answer.document
                    last, number = stored.name[len(self._prefix) :], number + 1
                    if expired_at is not None and not _expired(stored, expired_at):
                        continue
                    if range is EVERYTHING or "revision" in stored.fields:
                        seen.append((last, known_of(last, stored, False)))
            more = number == limit
        except _CutShort:
            pass
        except grpc.RpcError as error:
            if last is None:
                raise self._connection.failure(error) from error
        return seen, last if more else None

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`: an aggregation counts all documents, and the expired ones are found and subtracted.

        Both show the same moment. An aggregation needs the index that its query needs, and this query needs none.
        """
        if range.start >= range.end:
            return 0
        number, moment = self._connection.count(self._range_query(range, None, None, None))
        query = self._range_query(range, ["expiresAt"], None, None, expiring=True)
        last: Message | None = None
        while True:
            before = last
            try:
                for answer in self._stream(query, 0, moment):
                    if answer.HasField("document"):
                        last = answer.document
                        number -= _expired(last, at)
                return number
            except _CutShort:
                if last is None or last is before:
                    return number
                _go_on_behind(query, last)
            except grpc.RpcError as error:
                raise self._connection.failure(error) from error

    def count_all(self) -> int | None:
        """Return how many documents the collection holds that have an id, ``None`` if the index of ids is missing."""
        if self._earlier:
            return self._connection.count(self._range_query(EVERYTHING, None, None, None))[0]
        try:
            return self._connection.count(self._backward_query(None, None, None, None))[0]
        except DataStoreError as error:
            if not lacks_index(error):
                raise
            return None

    def expired(self, at: str, limit: int) -> list[tuple[str, Known]]:
        """Return some expired documents of the store, of any user; an empty list if there are no more.

        Requests: 1; 1 more for every ``limit`` documents of other programs that come first.
        """
        query = _Query()
        query.from_.add(collection_id=self._collection)
        query.where.field_filter.field.field_path = "expiresAt"  # one field alone: its automatic index is enough
        query.where.field_filter.op = _Operator.Value("LESS_THAN_OR_EQUAL")
        set_time(query.where.field_filter.value, at)
        for field in KEY:
            query.select.fields.add().field_path = field
        query.limit.value = limit
        for field in ("expiresAt", _NAME):  # a query with this filter has this order anyway; the cursor needs it
            query.order_by.add(direction=_Query.Direction.Value("ASCENDING")).field.field_path = field
        while True:
            found: list[Message] = []
            more = True
            try:
                found.extend(answer.document for answer in self._stream(query, 0) if answer.HasField("document"))
                more = len(found) == limit
            except _CutShort:
                pass  # the caller repeats this until nothing is left
            except grpc.RpcError as error:
                raise self._connection.failure(error) from error
            ours = [stored for stored in found if "revision" in stored.fields]
            if ours or not (found and more):
                ids = [stored.name[len(self._prefix) :] for stored in ours]
                return [(id, known_of(id, stored, False)) for id, stored in zip(ids, ours, strict=True)]
            query.ClearField("start_at")
            query.start_at.values.add().CopyFrom(found[-1].fields["expiresAt"])
            query.start_at.values.add().reference_value = found[-1].name

    def _stream(self, query: Message, most_bytes: int, read_time: Message | None = None) -> Iterator[Message]:
        """Yield the answers to a query; most hold a document.

        Raises:
            _CutShort: After more than ``most_bytes`` (0 for no limit), or if the answers may be incomplete.
            BackendUnavailableError: If one of the answers is incomplete.
            grpc.RpcError: If the stream breaks.
        """
        size = 0
        for again in (True, False):
            stream = self._connection.run_query(query, read_time)
            try:
                for answer in stream:
                    again = False  # it works: if it breaks from here on, the caller continues there
                    yield answer
                    size += answer.document.ByteSize() if most_bytes else 0
                    if size > most_bytes:
                        stream.cancel()
                        raise _CutShort
                if not stream.complete:
                    raise _CutShort
                return
            except grpc.RpcError as error:
                # After a stream was cancelled, the emulator closes the whole connection (GOAWAY). If the next query was
                # sent before that was noticed here, it is sent again on a new connection.
                if not again or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise

    def _get(self, ids: Sequence[str], mask: Sequence[str] | None) -> dict[str, Message]:
        # GetDocument would be shorter for one document. But it answers NOT_FOUND both for a missing document and for a
        # missing database, so an error would pass for an answer.
        answers = self._connection.batch_get([self._prefix + id for id in ids], mask)
        return {id: stored for id in ids if (stored := answers[self._prefix + id]) is not None}

    def _range_query(
        self,
        range: IdRange,
        mask: Sequence[str] | None,
        limit: int | None,
        after: str | None,
        *,
        expiring: bool = False,
    ) -> Message:
        """Return the query for a range of ids, in their order.

        In production it needs no composite index, only what every collection has from the start. "By default, a query
        retrieves all documents that satisfy the query in ascending order by document ID" (Firestore, Order and limit
        data, https://firebase.google.com/docs/firestore/query-data/order-limit-data). The order that is asked for here
        is that one, spelt out. The bounds are cursors on it, as for any page of a query (Paginate data with query
        cursors).

        With ``expiring`` it is a page of a simple equality, which the automatic index of that field serves: "The last
        field entry is always for the field path __name__" (Firestore Admin API, Index). A filter on ``__name__`` beside
        the one on ``expires`` would mean the same. But it would be a range and an equality, which composite indexes are
        for.
        """
        query = _Query()
        query.from_.add(collection_id=self._collection)
        order = query.order_by.add(direction=_Query.Direction.Value("ASCENDING"))
        order.field.field_path = _NAME
        from_id, before = (range.start, True) if after is None or after < range.start else (after, False)
        if from_id:  # a reference needs an id; without a start cursor the query begins where the collection does
            query.start_at.before = before
            query.start_at.values.add().reference_value = self._prefix + from_id
        if range.end != EVERYTHING.end:
            query.end_at.before = True
            query.end_at.values.add().reference_value = self._prefix + range.end
        if expiring:
            query.where.field_filter.field.field_path = "expires"
            query.where.field_filter.op = _Operator.Value("EQUAL")
            query.where.field_filter.value.boolean_value = True
        for field in mask or ():
            query.select.fields.add().field_path = field
        if limit is not None:
            query.limit.value = limit
        return query

    def _backward_query(
        self, range: IdRange | None, mask: Sequence[str] | None, limit: int | None, after: str | None
    ) -> Message:
        """Return the query for a range of ids from the last to the first, or for all of them.

        Firestore has no automatic index of names that descends, and the emulator refuses that order. But documents
        hold their ids, and "by default, Firestore automatically maintains single-field indexes for each field in a
        document", an ascending and a descending one (https://firebase.google.com/docs/firestore/query-data/index-overview);
        names break ties in the direction of that field. So this is one index, of which a range of that field alone is
        read. Any other filter would need a composite index.
        """
        query = _Query()
        query.from_.add(collection_id=self._collection)
        for field in (ID, _NAME):
            query.order_by.add(direction=_Query.Direction.Value("DESCENDING")).field.field_path = field
        if range is not None:
            bounds = (Test(ID, ">=", range.start), Test(ID, "<", range.end))
            fill_filter(query.where, [bounds])
        if after is not None:
            id, _, name = after.partition(_COPY)
            query.start_at.before = False
            query.start_at.values.add().string_value = id
            query.start_at.values.add().reference_value = self._prefix + (name or id)
        for field in mask or ():
            query.select.fields.add().field_path = field
        if limit is not None:
            query.limit.value = limit
        return query


def _is_no_record(name: str) -> bool:
    return not is_any_id(name)


def _is_not_earlier(name: str) -> bool:
    return name.count(":") != 2  # who moves it looks closer


def _go_on_behind(query: Message, last: Message) -> None:
    """Make a query in the order of names begin after a document."""
    query.ClearField("start_at")
    query.start_at.before = False
    query.start_at.values.add().reference_value = last.name


def _expired(stored: Message, at: str) -> bool:
    try:
        return get_time(stored.fields["expiresAt"]) <= at
    except ValueError:
        return False  # a damaged document counts until somebody removes it
