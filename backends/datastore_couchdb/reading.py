"""Reading: documents by id, ranges by id, and how many a range holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from datastore.adapters.knowledge import ABSENT, Known, Memory
from datastore.backend import Document, DocumentPage, Fields, IdRange
from datastore.documents import decoded, split
from datastore.ids import EVERYTHING, after_namespace, is_any_id, is_id, is_of_one_user, scope_of
from datastore_couchdb.client import BATCH, MissingViewError, Session
from datastore_couchdb.codec import document_of, read_of
from datastore_couchdb.earlier import is_earlier_id
from datastore_couchdb.expiring import EXPIRY_INDEX, Expiries, find_all, place_of
from datastore_couchdb.fetching import get_documents
from datastore_couchdb.flags import FLAG, is_flag
from datastore_couchdb.schema import Schema
from datastore_couchdb.views import Views

SCAN_PAGE = 10_000
PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after this many characters of documents, so that large values do not fill the memory."""


_DESIGNS = IdRange("_design/", "_design0")
"""The ids of design documents."""


class Reader:
    """Reads through one session, and notes what it sees for the next writes."""

    def __init__(self, session: Session, memory: Memory, schema: Schema, views: Views) -> None:
        self._session = session
        self._memory = memory
        self._schema = schema
        self._views = views
        self._is_id = is_earlier_id if session.settings.earlier_format else is_any_id
        self._expiries = Expiries(session, memory, schema, self._is_id)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        unheard_of: list[str] = []
        found = get_documents(self._session, ids, unheard_of)
        documents: dict[str, Document] = {}
        damaged: list[str] = []
        memory = self._memory
        if unheard_of and any(isinstance(memory.get(id), Known) for id in unheard_of):
            self._session.is_in_doubt = True
        for id in ids:
            stored = found.get(id)
            if stored is None:
                memory.note(id, ABSENT)
                continue
            document, known = read_of(stored, memory.get(id))
            memory.note(id, known)
            if document is None:
                damaged.append(id)
            else:
                documents[id] = document
        for id in damaged:  # only after everything is noted
            decoded(id, partial(document_of, found[id]))
        return documents

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool = False
    ) -> DocumentPage:
        """Return a page of a range: of documents, or only of ids with the expiry that their flags point to.

        Requests: 1, and for `Fields.KEY` those of `Expiries.listed`; 1 more where the page would hold nothing but
            design documents; 0 for an empty range.
        """
        keys = fields is Fields.KEY
        # One row more than the limit: the flag after the last record or, backward, the record that follows its flag.
        asked = limit + (keys or reverse)
        rows, cut = self.rows(range, asked, after, include_docs=not keys, reverse=reverse)
        more, following = cut or len(rows) == asked, None
        if reverse and more:
            self._end_between_records(rows, limit)
        elif keys and more:
            following = rows.pop()["id"]
        behind = rows[-1]["id"] if more else None
        if not is_of_one_user(range):  # besides the store's documents there are design documents, and perhaps others
            rows = [row for row in rows if self._is_id(row["id"].removesuffix(FLAG))]
            if not rows and behind is not None and behind.startswith(_DESIGNS.start):
                return self.scan(_beyond_designs(range, reverse=reverse), fields, limit, None, reverse=reverse)
        if keys and reverse:
            return DocumentPage(self._expiries.listed(rows[::-1], None)[::-1], behind)
        if keys:
            return DocumentPage(self._expiries.listed(rows, following), behind)
        there = [row["doc"] for row in rows if row["doc"] and not is_flag(row["id"], self._is_id)]
        documents, broken = split(there, lambda document: str(document["_id"]), document_of)
        return DocumentPage(documents, behind, broken)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`.

        Requests: 2. Without the view, 2 more than there are namespaces.
        """
        if self._views.are_there():
            with suppress(MissingViewError):
                return [prefix for prefix, number in self._live(range, at).items() if number > 0]
        return self.skip_through(range, self._expired(range, at))

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`.

        Requests: 2, whichever part of a namespace it is; 0 for an empty range. Without the view, 1 per 10,000 documents
            and 1 per 10,000 expired ones.
        """
        if range.start >= range.end:
            return 0
        if self._views.are_there():
            with suppress(MissingViewError):
                return sum(self._live(range, at).values())
        expired = self._expired(range, at)
        total, after = 0, None
        while True:
            page = self.scan(range, Fields.KEY, SCAN_PAGE, after)
            total += sum(1 for document in page.documents if document.id not in expired)
            if page.after is None:
                return total
            after = page.after

    def _live(self, range: IdRange, at: str) -> dict[str, int]:
        """Return how many live documents there are in each namespace, by its prefix.

        The views tell how many documents there are, and which of them have expired, in two answers. Somebody may remove
        expired documents in between. So where there are some, it is asked once more which there are, and if these are
        no longer the same, everything is counted again.

        Raises:
            MissingViewError: If a view is not there.

        Requests: 2, and 1 more if anything has expired; 2 more whenever that has changed meanwhile.
        """
        expired = self._views.exceptions(range, at).expired
        while True:
            numbers = dict(self._views.counts(range))
            if not expired:
                return numbers
            before, expired = expired, self._views.exceptions(range, at).expired
            if expired == before:
                for id in expired:
                    prefix = id[: id.rindex(":") + 1]
                    numbers[prefix] = numbers.get(prefix, 0) - 1
                return numbers

    def count_all(self) -> int:
        """See `Backend.document_count`."""
        if self._views.are_there() and not self._session.settings.partitioned:
            with suppress(MissingViewError):
                return self._views.count_all()
        return int(self._session.information()["doc_count"])

    def rows(
        self, range: IdRange, limit: int, after: str | None, *, include_docs: bool, reverse: bool = False
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return rows of a range, with their documents if those are wanted, and whether a page's size has cut them.

        Requests: 1; 0 for an empty range, which CouchDB refuses.
        """
        start, end = range
        if after is not None and reverse:
            end = min(end, after)
        elif after is not None and after >= start:
            start = after + " "  # sorts before every character of base64, so this is the first id that can follow
        if start >= end:
            return [], False
        parameters: dict[str, Any] = {"startkey": start, "endkey": end, "inclusive_end": False, "limit": limit}
        if reverse:  # CouchDB begins at the end of the range then, and always returns the id at which it begins
            last = _last_before(IdRange(start, end))
            if start > last:
                return [], False
            parameters = {"startkey": last, "endkey": start, "descending": True, "limit": limit}
        if include_docs:
            parameters["include_docs"] = True
        return self._session.rows(self._session.path_in(range, "_all_docs"), parameters, PAGE_BYTES)

    def skip_through(self, range: IdRange, expired: set[str]) -> list[str]:
        """Return the prefixes of the namespaces with live documents, skipping from one namespace to the next.

        Requests: 1 per namespace and 1, and more for namespaces with many expired documents.
        """
        found: list[str] = []
        limit = 1
        while True:
            rows, _ = self.rows(range, limit, None, include_docs=False)
            live = next((row["id"] for row in rows if row["id"] not in expired and not is_flag(row["id"])), None)
            if live is not None and not is_id(live):
                range = range._replace(start=live + " ")
            elif live is not None:
                found.append(live[: live.rindex(":") + 1])
                range, limit = range._replace(start=after_namespace(live)), 1
            elif len(rows) < limit:
                return found
            else:
                range, limit = range._replace(start=rows[-1]["id"] + " "), min(limit * 8, BATCH)

    def find_expiring(self, selector: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what a selector on the fields of the expiry index finds; see `find_all`."""
        return find_all(self._session, selector, EXPIRY_INDEX in self._schema.indexes)

    def _end_between_records(self, rows: list[dict[str, Any]], limit: int) -> None:
        """Shorten a page that goes backward and is not the last, so that no flag is separated from its record."""
        flags = sum(is_flag(row["id"], self._is_id) for row in rows)
        if len(rows) - flags > limit or (len(rows) > 1 and is_flag(rows[-1]["id"], self._is_id)):
            rows.pop()

    def _expired(self, range: IdRange, at: str) -> set[str]:
        """Return the ids of the expired documents in a range.

        Requests: 1 per 10,000 expired documents.
        """
        selector = place_of(range) | {"expiresAt": {"$gt": "0", "$lte": at}}
        # The index sorts text as people do (ICU), so it can find ids that are not in the range.
        return {found["_id"] for found in self.find_expiring(selector) if range.start <= found["_id"] < range.end}


def _beyond_designs(range: IdRange, *, reverse: bool) -> IdRange:
    """Return what is left of a range beyond the design documents."""
    return range._replace(end=_DESIGNS.start) if reverse else range._replace(start=_DESIGNS.end)


def _last_before(range: IdRange) -> str:
    """Return a text that follows every id of a range and comes before the end of the range."""
    end = range.end
    last = ord(end[-1]) - 1
    if last < 0:
        return end[:-1]
    if 0xD800 <= last <= 0xDFFF:
        last = 0xD7FF  # surrogates are not characters
    # Within a namespace ids continue in base64, perhaps with a flag's mark; elsewhere they continue in any name.
    return end[:-1] + chr(last) + ("~" if scope_of(range) else EVERYTHING.end)
