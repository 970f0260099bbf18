"""The adapter: each method of the contract in the fewest requests that CouchDB allows."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from datastore.adapters.answers import broken, member
from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.remembering import REMEMBERED
from datastore.adapters.writing import Writer
from datastore.administration import Diagnostic
from datastore.backend import (
    Access,
    Backend,
    Capabilities,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Plan,
    Query,
    Restore,
    Write,
)
from datastore.documents import decoded, split
from datastore.errors import DataStoreError, InvalidNameError
from datastore.ids import EVERYTHING, after_namespace, encode_name, is_id, namespace_prefix
from datastore.queries.tree import Path
from datastore.retry import Backoff
from datastore_couchdb import finding, indexes
from datastore_couchdb.admin import examine
from datastore_couchdb.client import NAME, MissingViewError, Session, Settings, refusal_of
from datastore_couchdb.codec import document_of, is_foreign
from datastore_couchdb.expiring import EXPIRY_INDEX, Expiries, find_all, place_of, remove_flags
from datastore_couchdb.flags import is_flag
from datastore_couchdb.reading import fetch
from datastore_couchdb.schema import COUNTS, EXCEPTIONS, RECORD_VIEWS, is_built, prepare
from datastore_couchdb.writing import Documents, bulk_docs

logger = logging.getLogger("datastore")

_PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after this many characters of documents, so that large values do not fill the memory."""
_BATCH = 1_000
_EXPIRED_PAGE = 10_000


class CouchBackend(Backend):
    """Documents in one CouchDB database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=_BATCH,
        write_batch=_BATCH,
        scan_page=10_000,
        persistent=True,
        shared=True,
        remembered_writes=REMEMBERED,
        tenant_databases=True,
    )

    def __init__(self, settings: Settings) -> None:
        """Connect, and create the database and its indexes if they do not exist.

        Raises:
            ConfigurationError: If the database does not exist and may not be created.
            PermissionDeniedError: If the server refuses the credentials.
            BackendUnavailableError: If the server does not answer.
        """
        self._session = Session(settings)
        self._memory = Memory()
        self._documents = Documents(self._session)
        self._writer = Writer(self._documents, self._memory)
        self._counter = Counter(self._documents, self._memory, _BATCH)
        try:
            schema = prepare(self._session)
        except BaseException:
            self._session.close()
            raise
        self._indexes, self._declared, self._building = schema.indexes, schema.declared, schema.building
        self._documents.exact = schema.format.exact
        self._expiries = Expiries(self._session, self._memory, self._indexes, flagged=schema.format.flagged)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found = fetch(self._session, self._memory, ids)
        return {id: decoded(id, partial(document_of, document)) for id, document in found.items()}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._documents.flagged(writes, self._writer.write(writes))

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
        """See `Backend.namespaces`.

        Requests: 2. Without the view, 2 more than there are namespaces.
        """
        if self._has_views():
            with suppress(MissingViewError):
                dead: dict[str, int] = {}
                for id in self._exceptions(range, at).expired:
                    prefix = id[: id.rindex(":") + 1]
                    dead[prefix] = dead.get(prefix, 0) + 1
                counts = self._counts(range)
                return [prefix for prefix, count in counts.items() if count > dead.get(prefix, 0)]
        return self._skip_through(range, self._expired(range, at))

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`.

        Requests: 2. Without the view, 1 per 10,000 documents and 1 per 10,000 expired ones.
        """
        if self._has_views():
            with suppress(MissingViewError):
                expired = self._exceptions(range, at).expired
                return sum(self._counts(range).values()) - len(expired)
        expired = self._expired(range, at)
        total, after = 0, None
        while True:
            page = self.scan(range, Fields.KEY, self.capabilities.scan_page, after)
            total += len(page.documents)
            if page.after is None:
                return total - len(expired)
            after = page.after

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return finding.plan(range, query, self._indexes, self._declared)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.find`.

        Requests: 1; 2 where the documents exceed the amount of data that one page holds.
        """
        path, unused = self._path(range, "_find"), set[str]()
        page = finding.find(self._session, path, range, plan, fields, limit, after, _PAGE_BYTES, unused)
        if unused:  # somebody has removed them, and CouchDB answered without them
            logger.warning("CouchDB no longer has the index %s: filters take longer", " and ".join(sorted(unused)))
            self._indexes -= unused
            self._declared = {
                name: index for name, index in self._declared.items() if unused.isdisjoint((name, index.rest))
            }
        return page

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

        Raises:
            UnsupportedError: If CouchDB cannot index one of the fields.

        Requests: 4 where this process does not know the index yet; otherwise 0.
        """
        index = indexes.declare(fields, None if encoded_namespace is None else unquote(encoded_namespace))
        if index.name not in self._declared:
            indexes.build(self._session, index)
            self._declared = {**self._declared, index.name: index}  # another thread may use the old one
        return index.name

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`. Documents that another program has written stay.

        Requests: 2 per 1,000 documents, and 2. Without the views, 1 more per 1,000 documents or 16 MB.
        """
        expired, foreign = self._exceptions_to_removing(range, at)
        return len(self._remove(range, foreign) - expired)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. Documents that another program has written stay.

        Requests: the same as `clear`.
        """
        expired, foreign = self._exceptions_to_removing(range, at)
        removed = self._remove(range, foreign)
        return Forgotten(len(removed - expired), len(removed & expired))

    def purge(self, at: str) -> int:
        """See `Backend.purge`.

        Requests: 1 per 10,000 expired documents and flags to find them, and 2 per 1,000 documents to remove them. For
            flags, 1 per 1,000 to see whether their records exist, and 2 per 1,000 to remove those whose records do not.
        """
        selector = place_of("", "") | {"expiresAt": {"$lte": at}}  # records whose time has come, and all flags
        flags, ids = dict[str, str](), list[str]()
        for document in self._find(selector):
            if not is_flag(document["_id"]):
                ids.append(document["_id"])
            elif not is_foreign(document):
                flags[document["_id"]] = member(document, "_rev", str, NAME)
        ids.sort()
        purged: set[str] = set()
        pauses = contention()
        for start in _steps(len(ids)):
            self._purge(ids[start : start + _BATCH], at, purged, pauses)
        try:
            remove_flags(self._session, flags)
        except DataStoreError as error:  # the records have been purged, and the caller must learn their number
            logger.warning("flags of records that no longer exist were left to the next purge: %s", error)
        return len(purged)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1.
        """
        return self._page(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`. Without the view, design documents are counted too.

        Requests: 1.
        """
        if self._has_views() and not self._session.settings.partitioned:
            with suppress(MissingViewError):
                rows = self._view(EVERYTHING, COUNTS)
                return _number(rows[0]) if rows else 0
        return int(self._session.information()["doc_count"])

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 1,000 documents; 2 more for those that exist already and were not read by this process.
        """
        return self._documents.flagged(restores, self._writer.write(restores))

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 3.
        """
        return examine(self._session, self._indexes, now)

    def drop(self) -> None:
        """See `Backend.drop`.

        Requests: 1.
        """
        self._session.drop()
        self.close()

    def before_fork(self) -> None:
        """See `Backend.before_fork`. Idle connections do no harm: the child forgets them."""

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._session.after_fork()
        self._memory.clear()
        self._documents.unflagged.clear()
        self._writer.after_fork()
        self._counter.after_fork()

    def _path(self, range: IdRange, path: str) -> str:
        """Return where to ask for the documents of a range: in a partitioned database, in its user's partition."""
        if not self._session.settings.partitioned or range == EVERYTHING:
            return path
        return f"_partition/{quote(range.start.partition(':')[0], safe='')}/{path}"

    def _page(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """Return a page of a range: of documents, or only of ids with the expiry that their flags point to."""
        keys = fields is Fields.KEY
        rows, cut = self._all_docs(range, limit + keys, after, include_docs=not keys)
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

    def _all_docs(
        self, range: IdRange, limit: int, after: str | None, *, include_docs: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        # A space sorts before every character of base64, so this is the first id that can follow.
        start = range.start if after is None or after < range.start else after + " "
        parameters: dict[str, Any] = {"startkey": start, "endkey": range.end, "inclusive_end": False, "limit": limit}
        if include_docs:
            parameters["include_docs"] = True
        return self._session.rows(self._path(range, "_all_docs"), parameters, _PAGE_BYTES)

    def _has_views(self) -> bool:
        """Return whether the views are there and built.

        Requests: 0; 1 as long as they are being built.
        """
        if self._building and RECORD_VIEWS in self._indexes:
            self._building = not is_built(self._session)
        return RECORD_VIEWS in self._indexes and not self._building

    def _view(self, range: IdRange, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return rows of a view. If the view was removed while the store was open, it is not used again."""
        path = self._path(range, f"_design/{RECORD_VIEWS}/_view/{name}")
        try:
            return self._session.view(path, parameters)
        except MissingViewError:
            self._indexes -= {RECORD_VIEWS}
            raise

    def _counts(self, range: IdRange) -> dict[str, int]:
        """Return how many documents there are, by id prefix, in the namespaces of a range.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1.
        """
        encoded_user, _, rest = range.start.partition(":")
        user = unquote(encoded_user)
        namespace, colon, _ = rest.partition(":")
        # By bytes, nothing lies between a name and that name with a NUL after it. An object, the usual end, sorts
        # before text.
        start, end = ([user], [user + "\0"]) if not colon else ([user, unquote(namespace)],) * 2
        counts: dict[str, int] = {}
        for row in self._view(range, COUNTS, startkey=start, endkey=end, group=True):
            try:
                user_id, name = row["key"]
                prefix = namespace_prefix(encode_name(user_id, "user_id"), encode_name(name, "namespace"))
            except (InvalidNameError, TypeError, ValueError):
                continue  # its document was written by somebody else
            if range.start <= prefix < range.end:
                counts[prefix] = _number(row)
        return counts

    def _exceptions(self, range: IdRange, at: str) -> _Exceptions:
        """Return the documents of one user's range that must not be counted or removed like others.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1 per 10,000 such documents.
        """
        found = _Exceptions(set(), set())
        start = range.start
        while True:
            rows = self._view(
                range, EXCEPTIONS, startkey=start, endkey=range.end, inclusive_end=False, limit=_EXPIRED_PAGE
            )
            for row in rows:
                found.take(member(row, "key", str, NAME), row["value"], at)
            if len(rows) < _EXPIRED_PAGE:
                return found
            start = rows[-1]["key"] + " "

    def _exceptions_to_removing(self, range: IdRange, at: str) -> _Exceptions:
        """Return the exceptions for a removal. Without the view, every document is read to find them."""
        if self._has_views():
            with suppress(MissingViewError):
                return self._exceptions(range, at)
        found = _Exceptions(set(), set())
        after, more = None, True
        while more:
            rows, cut = self._all_docs(range, _BATCH, after, include_docs=True)
            for row in rows:
                document = row["doc"] or {"revision": ""}
                found.take(row["id"], None if is_foreign(document) else document.get("expiresAt") or "~", at)
            more = cut or len(rows) == _BATCH
            after = rows[-1]["id"] if rows else None
        return found

    def _skip_through(self, range: IdRange, expired: set[str]) -> list[str]:
        """Return the prefixes of the namespaces with live documents, skipping from one namespace to the next.

        Requests: 1 per namespace and 1, and more for namespaces with many expired documents.
        """
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
        """Return the ids of the expired documents in a range.

        Requests: 1 per 10,000 expired documents.
        """
        selector = place_of(range.start, range.start) | {"expiresAt": {"$gt": "0", "$lte": at}}
        # The index sorts text as people do (ICU), so it can find ids that are not in the range.
        return {found["_id"] for found in self._find(selector) if range.start <= found["_id"] < range.end}

    def _remove(self, range: IdRange, foreign: Container[str]) -> set[str]:
        """Remove what a range holds, except foreign documents, and return the ids of all that were removed.

        The range is listed and deleted until nothing is left. That includes documents written meanwhile, and those
        whose deletion was in doubt because an answer was lost. It waits only after a failure, and only for a limited
        time.
        """
        removed: set[str] = set()
        pauses = contention()
        while True:
            try:
                rows, cut = self._all_docs(range, _BATCH, None, include_docs=False)
                ours = [row for row in rows if row["id"] not in foreign]
                if ours:
                    if ours[0] is not rows[0]:
                        range = range._replace(start=ours[0]["id"])  # do not list foreign documents again each time
                    removed.update(row["id"] for row in ours if not is_flag(row["id"]))
                    if not self._delete(ours) and not pauses.wait():
                        raise came_too_late(NAME)
                elif not cut and len(rows) < _BATCH:
                    return removed
                else:
                    range = range._replace(start=rows[-1]["id"] + " ")
            except DataStoreError as error:
                _go_on(error, pauses, removed)

    def _purge(self, ids: Sequence[str], at: str, purged: set[str], pauses: Backoff) -> None:
        """Remove those of the documents that are expired, and add their ids to ``purged``."""
        sent: set[str] = set()
        while True:
            try:
                found = fetch(self._session, self._memory, ids)
                purged |= sent - found.keys()  # their deletion succeeded, but its answer was lost
                dead = {
                    id: _deletion(id, document["_rev"])
                    for id, document in found.items()
                    if not is_foreign(document) and _has_expired(document.get("expiresAt"), at)
                }
                sent = set(dead)
                answers = bulk_docs(self._session, list(dead), list(dead.values())) if dead else []
                purged.update(answer["id"] for answer in answers if "error" not in answer)
                _raise_refusal(answers)
                return
            except DataStoreError as error:
                _go_on(error, pauses, sent | purged)

    def _delete(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Delete listed documents, and return whether none of them had changed since the listing."""
        ids = [row["id"] for row in rows]
        try:
            answers = bulk_docs(self._session, ids, [_deletion(row["id"], row["value"]["rev"]) for row in rows])
        finally:
            for id in ids:
                self._memory.forget(id)
        _raise_refusal(answers)
        return all("error" not in answer for answer in answers)


class _Exceptions(NamedTuple):
    """The documents, by id, that must not be counted or removed like others."""

    expired: set[str]
    foreign: set[str]
    """The ids of documents that another program has written."""

    def take(self, id: str, expires_at: object, at: str) -> None:
        """Add a document to the set it belongs to, if any.

        Args:
            id: Its id.
            expires_at: When it expires; ``None`` if another program has written it.
            at: Now.
        """
        if expires_at is None:
            self.foreign.add(id)
        elif _has_expired(expires_at, at):
            self.expired.add(id)


def _go_on(error: DataStoreError, pauses: Backoff, removed: Collection[str]) -> None:
    """Wait before repeating a removal that has removed something; otherwise raise, and the store repeats it.

    If the store repeated a call that has removed something, it would count only what was left.
    """
    if not removed or not error.retryable or error.waited:
        raise error
    if not pauses.wait():
        error.waited = True
        raise error


def _raise_refusal(answers: Sequence[dict[str, Any]]) -> None:
    """Raise if the server refused to remove a document for another reason than that it was changed."""
    refusal = next(filter(None, map(refusal_of, answers)), None)
    if refusal is not None:
        raise refusal


def _has_expired(expires_at: object, at: str) -> bool:
    return isinstance(expires_at, str) and expires_at <= at


def _number(row: dict[str, Any]) -> int:
    number = row["value"]
    if type(number) is not int:
        broken(NAME, "a count in it is not a number")
    return number


def _deletion(id: str, rev: str) -> str:
    return json.dumps({"_id": id, "_rev": rev, "_deleted": True}, ensure_ascii=False)


def _steps(number: int) -> range:
    return range(0, number, _BATCH)
