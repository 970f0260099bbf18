"""Reading: documents by id, ranges by id, and how many a range holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from datastore.adapters.knowledge import Memory
from datastore.backend import Document, DocumentPage, Fields, IdRange
from datastore.documents import decoded, split
from datastore.ids import EVERYTHING, after_namespace, is_id
from datastore_couchdb.client import BATCH, MissingViewError, Session
from datastore_couchdb.codec import document_of
from datastore_couchdb.expiring import EXPIRY_INDEX, Expiries, find_all, place_of
from datastore_couchdb.fetching import fetch
from datastore_couchdb.flags import is_flag
from datastore_couchdb.schema import Schema
from datastore_couchdb.views import Views

SCAN_PAGE = 10_000
PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after this many characters of documents, so that large values do not fill the memory."""


class Reader:
    """Reads through one session, and notes what it sees for the next writes."""

    def __init__(self, session: Session, memory: Memory, schema: Schema, views: Views) -> None:
        self._session = session
        self._memory = memory
        self._schema = schema
        self._views = views
        self._expiries = Expiries(session, memory, schema.indexes, flagged=schema.format.flagged)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found = fetch(self._session, self._memory, ids)
        return {id: decoded(id, partial(document_of, document)) for id, document in found.items()}

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """Return a page of a range: of documents, or only of ids with the expiry that their flags point to."""
        keys = fields is Fields.KEY
        rows, cut = self.rows(range, limit + keys, after, include_docs=not keys)
        more = cut or len(rows) == limit + keys
        following = rows.pop()["id"] if keys and more else None
        behind = rows[-1]["id"] if more else None
        if range == EVERYTHING:  # besides the store's documents there are design documents, and perhaps others
            rows = [row for row in rows if is_id(row["id"]) or is_flag(row["id"])]
        if keys:
            return DocumentPage(self._expiries.listed(rows, following), behind)
        there = [row["doc"] for row in rows if row["doc"] and not is_flag(row["id"])]
        documents, broken = split(there, lambda document: str(document["_id"]), document_of)
        return DocumentPage(documents, behind, broken)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        if self._views.are_there():
            with suppress(MissingViewError):
                dead: dict[str, int] = {}
                for id in self._views.exceptions(range, at).expired:
                    prefix = id[: id.rindex(":") + 1]
                    dead[prefix] = dead.get(prefix, 0) + 1
                counts = self._views.counts(range)
                return [prefix for prefix, count in counts.items() if count > dead.get(prefix, 0)]
        return self.skip_through(range, self._expired(range, at))

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        if self._views.are_there():
            with suppress(MissingViewError):
                expired = self._views.exceptions(range, at).expired
                return sum(self._views.counts(range).values()) - len(expired)
        expired = self._expired(range, at)
        total, after = 0, None
        while True:
            page = self.scan(range, Fields.KEY, SCAN_PAGE, after)
            total += len(page.documents)
            if page.after is None:
                return total - len(expired)
            after = page.after

    def count_all(self) -> int:
        """See `Backend.document_count`."""
        if self._views.are_there() and not self._session.settings.partitioned:
            with suppress(MissingViewError):
                return self._views.count_all()
        return int(self._session.information()["doc_count"])

    def rows(
        self, range: IdRange, limit: int, after: str | None, *, include_docs: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return rows of a range, with their documents if those are wanted, and whether a page's size has cut them.

        Requests: 1.
        """
        # A space sorts before every character of base64, so this is the first id that can follow.
        start = range.start if after is None or after < range.start else after + " "
        parameters: dict[str, Any] = {"startkey": start, "endkey": range.end, "inclusive_end": False, "limit": limit}
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

    def _expired(self, range: IdRange, at: str) -> set[str]:
        """Return the ids of the expired documents in a range.

        Requests: 1 per 10,000 expired documents.
        """
        selector = place_of(range.start, range.start) | {"expiresAt": {"$gt": "0", "$lte": at}}
        # The index sorts text as people do (ICU), so it can find ids that are not in the range.
        return {found["_id"] for found in self.find_expiring(selector) if range.start <= found["_id"] < range.end}
