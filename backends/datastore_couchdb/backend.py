"""The adapter: each method of the contract in the fewest requests that CouchDB allows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from datastore.administration import Finding
from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    Outcome,
    Plan,
    Query,
    Restore,
    Write,
)
from datastore.documents import decoded, split
from datastore.errors import BackendUnavailableError, DataStoreError, InvalidNameError
from datastore.ids import EVERYTHING, after_namespace, encode_name, is_id, namespace_prefix
from datastore.queries.tree import Path
from datastore.retry import Backoff
from datastore_couchdb import finding, indexes
from datastore_couchdb.codec import Memory, document_of
from datastore_couchdb.counting import Counter
from datastore_couchdb.examining import examine
from datastore_couchdb.expiring import EXPIRY_INDEX, Expiries, find_all, place_of, remove_flags
from datastore_couchdb.flags import is_flag
from datastore_couchdb.reading import fetch
from datastore_couchdb.schema import NAMESPACE_VIEW, prepare
from datastore_couchdb.session import NAME, Session, Settings
from datastore_couchdb.writing import Writer, bulk_docs

_PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after so many characters of documents, so that large values do not pile up in memory."""
_BATCH = 1_000
_CLEAR_SECONDS = 30.0


class CouchBackend(Backend):
    """Documents in one CouchDB database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=_BATCH,
        write_batch=_BATCH,
        scan_page=10_000,
        persistent=True,
        shared=True,
        customer_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Connect, and make the database and its indexes if they are not there.

        Raises:
            ConfigurationError: If the database is not there and may not be made.
            PermissionDeniedError: If the server refuses the credentials.
            BackendUnavailableError: If the server does not answer.
        """
        self._session = Session(settings)
        self._memory = Memory()
        self._writer = Writer(self._session, self._memory)
        self._counter = Counter(self._session, self._memory)
        try:
            self._indexes, self._declared, format = prepare(self._session)
        except BaseException:
            self._session.close()
            raise
        self._writer.exact = format.exact
        self._expiries = Expiries(self._session, self._memory, self._indexes, flagged=format.flagged)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found = fetch(self._session, self._memory, ids)
        return {id: decoded(id, partial(document_of, document)) for id, document in found.items()}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._writer.write(writes)

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.scan`."""
        return self._page(range, fields, limit, after)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._counter.record(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session.close()

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `datastore.backend.ListsNamespaces`.

        Requests: 2. Without the view, 2 more than there are namespaces.
        """
        expired = self._expired(range, at)
        if NAMESPACE_VIEW not in self._indexes:
            return self._skip_through(range, expired)
        dead: dict[str, int] = {}
        for id in expired:
            prefix = id[: id.rindex(":") + 1]
            dead[prefix] = dead.get(prefix, 0) + 1
        return [
            prefix
            for prefix, count in self._counts(range).items()
            if range.start <= prefix < range.end and count > dead.get(prefix, 0)
        ]

    def count(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.CountsRange`.

        Requests: 2. Without the view, 1 more than there are pages of 10,000.
        """
        expired = self._expired(range, at)
        if NAMESPACE_VIEW in self._indexes:
            inside = (count for prefix, count in self._counts(range).items() if range.start <= prefix < range.end)
            return sum(inside) - len(expired)
        total, after = 0, None
        while True:
            page = self.scan(range, Fields.KEY, self.capabilities.scan_page, after)
            total += len(page.documents)
            if page.after is None:
                return total - len(expired)
            after = page.after

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `datastore.backend.Finds`."""
        return finding.plan(range, query, self._indexes, self._declared)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.Finds`.

        Requests: 1; 2 where the documents are more than a page's amount of data.
        """
        path = self._path(range, "_find")
        return finding.find(self._session, path, range, plan, fields, limit, after, _PAGE_BYTES)

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `datastore.backend.DeclaresIndexes`.

        Raises:
            UnsupportedError: If CouchDB cannot index one of the fields.

        Requests: 4 where it is not known here.
        """
        index = indexes.declare(fields, None if encoded_namespace is None else unquote(encoded_namespace))
        if index.name not in self._declared:
            indexes.build(self._session, index)
            self._declared = {**self._declared, index.name: index}  # others may be planning with the one before
        return index.name

    def clear(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.ClearsRange`.

        Requests: 2 per 1,000 documents, and 2.
        """
        expired = self._expired(range, at)
        tried: set[str] = set()
        backoff = Backoff(_CLEAR_SECONDS, 0.01, 1.0)
        for rows in self._until_empty(range, backoff):
            tried.update(row["id"] for row in rows if not is_flag(row["id"]))
            self._delete(rows, backoff)
        return len(tried - expired)

    def purge(self, at: str) -> int:
        """See `datastore.backend.ReclaimsExpired`.

        Requests: 1 per 10,000 expired documents and flags to find them, 2 per 1,000 documents to remove them, 1 per
            1,000 flags to see whether their records are there, and 2 per 1,000 to remove those.
        """
        selector = place_of("", "") | {"expiresAt": {"$lte": at}}  # records by their times, and all flags
        revs = {found["_id"]: found["_rev"] for found in self._find(selector)}
        flags = {id: rev for id, rev in revs.items() if is_flag(id)}
        ids = sorted(revs.keys() - flags.keys())
        purged = 0
        for start in _steps(len(ids)):
            found = fetch(self._session, self._memory, ids[start : start + _BATCH])
            dead = [_deletion(id, doc["_rev"]) for id, doc in found.items() if doc.get("expiresAt", "~") <= at]
            answers = bulk_docs(self._session, dead) if dead else []
            purged += sum("error" not in answer for answer in answers)
        remove_flags(self._session, flags)
        return purged

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `datastore.backend.MovesDocuments`.

        Requests: 1.
        """
        return self._page(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `datastore.backend.MovesDocuments`; without the view, design documents are counted, too.

        Requests: 1.
        """
        if NAMESPACE_VIEW not in self._indexes or self._session.settings.partitioned:
            return int(self._session.get("")["doc_count"])
        rows = self._session.get(f"_design/{NAMESPACE_VIEW}/_view/namespaces")["rows"]
        return int(rows[0]["value"]) if rows else 0

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `datastore.backend.MovesDocuments`.

        Requests: 1 per 1,000 documents; 2 more for those that are there already and were not read here.
        """
        return self._writer.write(restores)

    def examine(self, now: float) -> list[Finding]:
        """See `datastore.administration.Examines`.

        Requests: 2.
        """
        return examine(self._session, self._indexes, now)

    def drop(self) -> None:
        """See `datastore.administration.DropsDatabase`.

        Requests: 1.
        """
        self._session.drop()
        self.close()

    def before_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`: idle connections do no harm in a child that forgets them."""

    def after_fork(self) -> None:
        """See `datastore.backend.SurvivesFork`."""
        self._session.after_fork()
        self._memory.clear()
        self._writer.after_fork()
        self._counter.after_fork()

    def _path(self, range: IdRange, path: str) -> str:
        """Return where to ask for what lies in a range: in a partitioned database, at its user's partition."""
        if not self._session.settings.partitioned or range == EVERYTHING:
            return path
        return f"_partition/{quote(range.start.partition(':')[0], safe='')}/{path}"

    def _page(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """Return a page of a range: of documents, or of ids and what the flags among them say."""
        keys = fields is Fields.KEY
        rows, cut = self._all_docs(range, limit + keys, after, include_docs=not keys)
        more = cut or len(rows) == limit + keys
        following = rows.pop()["id"] if keys and more else None
        behind = rows[-1]["id"] if more else None
        if range == EVERYTHING:  # beside the documents of the store there are design documents, and perhaps others
            rows = [row for row in rows if is_id(row["id"]) or is_flag(row["id"])]
        if keys:
            return DocumentPage(self._expiries.listed(rows, following), behind)
        there = [row["doc"] for row in rows if row.get("doc") and not is_flag(row["id"])]
        documents, broken = split(there, lambda document: str(document["_id"]), document_of)
        return DocumentPage(documents, behind, broken)

    def _all_docs(
        self, range: IdRange, limit: int, after: str | None, *, include_docs: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        # A space is before every character of base64: this is the first id that can follow.
        start = range.start if after is None or after < range.start else after + " "
        parameters: dict[str, Any] = {"startkey": start, "endkey": range.end, "inclusive_end": False, "limit": limit}
        if include_docs:
            parameters["include_docs"] = True
        return self._session.rows(self._path(range, "_all_docs"), parameters, _PAGE_BYTES)

    def _counts(self, range: IdRange) -> dict[str, int]:
        """Return how many documents there are, by id prefix, in the namespaces of a range's user."""
        encoded_user, _, rest = range.start.partition(":")
        user = unquote(encoded_user)
        namespace, colon, _ = rest.partition(":")
        keys: dict[str, Any] = {"startkey": [user], "endkey": [user, {}]}
        if colon:
            keys = {"startkey": [user, unquote(namespace)], "endkey": [user, unquote(namespace)]}
        path = self._path(range, f"_design/{NAMESPACE_VIEW}/_view/namespaces")
        counts: dict[str, int] = {}
        for row in self._session.get(path, {**keys, "group": True})["rows"]:
            if row["key"][0] == user:  # keys that sort alike may lie between, and split a group in two
                try:
                    prefix = namespace_prefix(encoded_user, encode_name(row["key"][1], "namespace"))
                except InvalidNameError:
                    continue  # of a document that somebody else has written
                counts[prefix] = counts.get(prefix, 0) + row["value"]
        return counts

    def _skip_through(self, range: IdRange, expired: set[str]) -> list[str]:
        """Step from namespace to namespace, past those that hold only expired documents."""
        found: list[str] = []
        limit = 1
        while True:
            rows, _ = self._all_docs(range, limit, None, include_docs=False)
            live = next((row["id"] for row in rows if row["id"] not in expired and not is_flag(row["id"])), None)
            if live is not None and not is_id(live):
                range = range._replace(start=live + " ")
            elif live is not None:
                found.append(live[: live.rindex(":") + 1])
                range, limit = range._replace(start=after_namespace(live)), 1
            elif len(rows) < limit:
                return found
            else:
                range, limit = range._replace(start=rows[-1]["id"] + " "), min(limit * 8, _BATCH)

    def _find(self, selector: dict[str, Any]) -> Iterator[dict[str, Any]]:
        return find_all(self._session, selector, EXPIRY_INDEX in self._indexes)

    def _expired(self, range: IdRange, at: str) -> set[str]:
        """Return the ids of the documents within a range that are expired.

        Requests: 1 per 10,000 expired documents.
        """
        selector = place_of(range.start, range.start) | {"expiresAt": {"$gt": "0", "$lte": at}}
        # The index compares as people sort words, which is coarser than the ids are.
        return {found["_id"] for found in self._find(selector) if range.start <= found["_id"] < range.end}

    def _until_empty(self, range: IdRange, backoff: Backoff) -> Iterator[list[dict[str, Any]]]:
        """Yield what a range holds, a batch at a time, until it holds nothing."""
        while True:
            try:
                rows, _ = self._all_docs(range, _BATCH, None, include_docs=False)
            except DataStoreError as error:
                if not error.retryable or not backoff.wait():
                    raise
                continue
            if not rows:
                return
            yield rows

    def _delete(self, rows: Sequence[dict[str, Any]], backoff: Backoff) -> None:
        """Delete listed documents.

        What remains, because it was written meanwhile or an answer was lost, the caller lists again; then this only
        waits a little, as long as there is time.
        """
        try:
            answers = bulk_docs(self._session, [_deletion(row["id"], row["value"]["rev"]) for row in rows])
            done = all("error" not in answer for answer in answers)
        except DataStoreError as error:
            if not error.retryable or not backoff.wait():
                raise
            return
        finally:
            for row in rows:
                self._memory.forget(row["id"])
        if not done and not backoff.wait():
            raise BackendUnavailableError("other writers kept writing what was to be cleared", backend=NAME)


def _deletion(id: str, rev: str) -> str:
    return json.dumps({"_id": id, "_rev": rev, "_deleted": True}, ensure_ascii=False)


def _steps(number: int) -> range:
    return range(0, number, _BATCH)
