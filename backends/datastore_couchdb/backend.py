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
from datastore.ids import EVERYTHING, after_namespace, encode_name, is_id, namespace_prefix, scope_of
from datastore.queries.tree import Path
from datastore.retry import Backoff
from datastore_couchdb import finding, indexes
from datastore_couchdb.admin import examine
from datastore_couchdb.client import NAME, MissingIndexError, MissingViewError, Session, Settings, refusal_of
from datastore_couchdb.codec import document_of, is_foreign
from datastore_couchdb.earlier import is_earlier_id
from datastore_couchdb.expiring import EXPIRY_INDEX, Expiries, find_all, place_of, remove_flags
from datastore_couchdb.flags import FLAG, is_flag
from datastore_couchdb.reading import fetch
from datastore_couchdb.schema import COUNTS, EXCEPTIONS, NAMESPACE_INDEX, RECORD_VIEWS, is_built, prepare
from datastore_couchdb.writing import Documents, bulk_docs

logger = logging.getLogger("datastore")

_PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after so many characters of documents, so that large values do not pile up in memory."""
_BATCH = 1_000
_EXPIRED_PAGE = 10_000
_READING = "reading:"
"""What ``after`` begins with where `find` has nothing to find in and reads the range."""


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
        """Connect, and make the database and its indexes if they are not there.

        Raises:
            ConfigurationError: If the database is not there and may not be made.
            PermissionDeniedError: If the server refuses the credentials.
            BackendUnavailableError: If the server does not answer.
        """
        self._session = Session(settings)
        self._is_id = is_earlier_id if settings.earlier_format else is_id
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
        self._expiries = Expiries(
            self._session, self._memory, self._indexes, self._is_id, flagged=schema.format.flagged
        )

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        found = fetch(self._session, self._memory, ids)
        return {id: decoded(id, partial(document_of, document)) for id, document in found.items()}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._documents.flagged(writes, self._writer.write(writes))

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1, and for `Fields.KEY` those of `Expiries.listed`; of an empty range 0.
        """
        return self._page(range, fields, limit, after, reverse=reverse)

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

        Requests: 2, however much of a namespace it is. Without the view, 1 more than there are pages of 10,000.
        """
        if range.start >= range.end:
            return 0
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

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """See `Backend.find`.

        Requests: 1; 2 where the documents are more than a page's amount of data; of an empty range 0.
        """
        if range.start >= range.end:
            return DocumentPage((), None)
        if after is not None and after.startswith(_READING):
            return self._read_instead(range, fields, limit, after.removeprefix(_READING))
        path, unused = self._path(range, "_find"), set[str]()
        try:
            page = finding.find(
                self._session, path, range, plan, fields, limit, after, _PAGE_BYTES, unused, reverse=reverse
            )
        except MissingIndexError:  # without one CouchDB can look for documents, but not sort them
            logger.warning("CouchDB has no index %s any more: filters take longer", NAMESPACE_INDEX)
            self._indexes -= {NAMESPACE_INDEX}
            object.__setattr__(plan, "index", None)  # it is what `explain` shows
            return self._read_instead(range, fields, limit, finding.last_id(after))
        if unused:  # somebody has removed them, and CouchDB went another way
            logger.warning("CouchDB has no index %s any more: filters take longer", " and ".join(sorted(unused)))
            self._indexes -= unused
            self._declared = {
                name: index for name, index in self._declared.items() if unused.isdisjoint((name, index.rest))
            }
        return page

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

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
        """See `Backend.clear`; what another program has written stays.

        Requests: 2 per 1,000 documents, and 2. Without the views, 1 more per 1,000 documents or 16 MB.
        """
        if range.start >= range.end:
            return 0
        expired, foreign = self._exceptions_to_removing(range, at)
        return len(self._remove(range, foreign) - expired)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`; what another program has written stays.

        Requests: as `clear`.
        """
        expired, foreign = self._exceptions_to_removing(range, at)
        removed = self._remove(range, foreign)
        return Forgotten(len(removed - expired), len(removed & expired))

    def purge(self, at: str) -> int:
        """See `Backend.purge`.

        Requests: 1 per 10,000 expired documents and flags to find them, 2 per 1,000 documents to remove them, 1 per
            1,000 flags to see whether their records are there, and 2 per 1,000 to remove those.
        """
        selector = place_of("", "") | {"expiresAt": {"$lte": at}}  # records by their times, and all flags
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
        except DataStoreError as error:  # what was purged is, and is told once
            logger.warning("flags of records that are gone were left to the next purge: %s", error)
        return len(purged)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1.
        """
        return self._page(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`; without the view, design documents are counted, too.

        Requests: 1.
        """
        if self._has_views() and not self._session.settings.partitioned:
            with suppress(MissingViewError):
                rows = self._view(EVERYTHING, COUNTS)
                return _number(rows[0]) if rows else 0
        return int(self._session.information()["doc_count"])

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 1,000 documents; 2 more for those that are there already and were not read here.
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
        """See `Backend.before_fork`: idle connections do no harm in a child that forgets them."""

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._session.after_fork()
        self._memory.clear()
        self._documents.unflagged.clear()
        self._writer.after_fork()
        self._counter.after_fork()

    def _path(self, range: IdRange, path: str) -> str:
        """Return where to ask for what lies in a range: in a partitioned database, at its user's partition."""
        if not self._session.settings.partitioned or range == EVERYTHING:
            return path
        return f"_partition/{quote(range.start.partition(':')[0], safe='')}/{path}"

    def _page(
        self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool = False
    ) -> DocumentPage:
        """Return a page of a range: of documents, or of ids and what the flags among them say."""
        keys = fields is Fields.KEY
        # One more than asked for: the flag after the last record; or, backward, the record that follows its flag.
        asked = limit + (keys or reverse)
        rows, cut = self._all_docs(range, asked, after, include_docs=not keys, reverse=reverse)
        more, following = cut or len(rows) == asked, None
        if reverse and more:
            self._end_between_records(rows, limit)
        elif keys and more:
            following = rows.pop()["id"]
        behind = rows[-1]["id"] if more else None
        if range == EVERYTHING:  # beside the documents of the store there are design documents, and perhaps others
            rows = [row for row in rows if self._is_id(row["id"].removesuffix(FLAG))]
        if keys and reverse:
            return DocumentPage(self._expiries.listed(rows[::-1], None)[::-1], behind)
        if keys:
            return DocumentPage(self._expiries.listed(rows, following), behind)
        there = [row["doc"] for row in rows if row["doc"] and not is_flag(row["id"], self._is_id)]
        documents, broken = split(there, lambda document: str(document["_id"]), document_of)
        return DocumentPage(documents, behind, broken)

    def _end_between_records(self, rows: list[dict[str, Any]], limit: int) -> None:
        """Let a page that goes backward, and is not the last, end where no flag is parted from its record."""
        flags = sum(is_flag(row["id"], self._is_id) for row in rows)
        if len(rows) - flags > limit or (len(rows) > 1 and is_flag(rows[-1]["id"], self._is_id)):
            rows.pop()

    def _read_instead(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """Return a page of all that a range holds, backward, where nothing can be found in that order."""
        page = self._page(range, fields, limit, after or None, reverse=True)
        return page if page.after is None else page._replace(after=_READING + page.after)

    def _all_docs(
        self, range: IdRange, limit: int, after: str | None, *, include_docs: bool, reverse: bool = False
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return rows of a range, and whether there were too many bytes of them.

        Requests: 1; of an empty range 0, which CouchDB would call an error.
        """
        start, end = range
        if after is not None and reverse:
            end = min(end, after)
        elif after is not None and after >= start:
            start = after + " "  # before every character of base64: this is the first id that can follow
        if start >= end:
            return [], False
        parameters: dict[str, Any] = {"startkey": start, "endkey": end, "inclusive_end": False, "limit": limit}
        if reverse:  # the end of the range is where the reading starts, and what it starts at is always read
            last = _last_before(IdRange(start, end))
            if start > last:
                return [], False
            parameters = {"startkey": last, "endkey": start, "descending": True, "limit": limit}
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
        """Return rows of a view; where it was removed under us, it is not asked again."""
        path = self._path(range, f"_design/{RECORD_VIEWS}/_view/{name}")
        try:
            return self._session.view(path, parameters)
        except MissingViewError:
            self._indexes -= {RECORD_VIEWS}
            raise

    def _counts(self, range: IdRange) -> dict[str, int]:
        """Return how many documents of a range there are, by id prefix, in each of its namespaces.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1.
        """
        scope = scope_of(range)
        if scope is not None:
            start, end = [*scope, range.start], [*scope, range.end]
        else:
            user = unquote(range.start.partition(":")[0])
            start, end = [user], [user + "\0"]  # by bytes nothing lies between a name and the same with a NUL after it
        counts: dict[str, int] = {}
        rows = self._view(range, COUNTS, startkey=start, endkey=end, inclusive_end=False, group_level=2)
        for row in rows:
            try:
                user_id, name = row["key"]
                prefix = namespace_prefix(encode_name(user_id, "user_id"), encode_name(name, "namespace"))
            except (InvalidNameError, TypeError, ValueError):
                continue  # of a document that somebody else has written
            if scope is not None or range.start <= prefix < range.end:
                counts[prefix] = _number(row)
        return counts

    def _exceptions(self, range: IdRange, at: str) -> _Exceptions:
        """Return the documents of a range, of one user, that are not to be counted or removed like others.

        Raises:
            MissingViewError: If the view is not there.

        Requests: 1 per 10,000 of them.
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
        """Return the same also without the view: then each document is read."""
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

    def _remove(self, range: IdRange, foreign: Container[str]) -> set[str]:
        """Remove what a range holds, except for foreign documents, and return the ids of all that was there.

        It is listed and deleted until nothing is left: what was written meanwhile, and what an answer that was lost
        said nothing of. Time is lost, and bounded, only where something fails.
        """
        removed: set[str] = set()
        pauses = contention()
        while True:
            try:
                rows, cut = self._all_docs(range, _BATCH, None, include_docs=False)
                ours = [row for row in rows if row["id"] not in foreign]
                if ours:
                    if ours[0] is not rows[0]:
                        range = range._replace(start=ours[0]["id"])  # what is not ours is not listed each time
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
        """Remove those documents that are expired, and add their ids to ``purged``."""
        sent: set[str] = set()
        while True:
            try:
                found = fetch(self._session, self._memory, ids)
                purged |= sent - found.keys()  # the answer was lost
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
        """Delete listed documents, and return whether all were as listed."""
        ids = [row["id"] for row in rows]
        try:
            answers = bulk_docs(self._session, ids, [_deletion(row["id"], row["value"]["rev"]) for row in rows])
        finally:
            for id in ids:
                self._memory.forget(id)
        _raise_refusal(answers)
        return all("error" not in answer for answer in answers)


class _Exceptions(NamedTuple):
    """Documents, by id, that are not to be counted or removed like others."""

    expired: set[str]
    foreign: set[str]
    """What another program has written."""

    def take(self, id: str, expires_at: object, at: str) -> None:
        """Sort a document in.

        Args:
            id: Its id.
            expires_at: When it expires; ``None`` if it is not the store's.
            at: Now.
        """
        if expires_at is None:
            self.foreign.add(id)
        elif _has_expired(expires_at, at):
            self.expired.add(id)


def _go_on(error: DataStoreError, pauses: Backoff, removed: Collection[str]) -> None:
    """Wait before something is repeated that has removed documents; otherwise raise, for the store to repeat the whole.

    Who repeated the whole after that would count only what was left.
    """
    if not removed or not error.retryable or error.waited:
        raise error
    if not pauses.wait():
        error.waited = True
        raise error


def _raise_refusal(answers: Sequence[dict[str, Any]]) -> None:
    """Raise if the server refused to remove one of some documents, for another reason than that it was changed."""
    refusal = next(filter(None, map(refusal_of, answers)), None)
    if refusal is not None:
        raise refusal


def _has_expired(expires_at: object, at: str) -> bool:
    return isinstance(expires_at, str) and expires_at <= at


def _number(row: dict[str, Any]) -> int:
    number = row["value"]
    if type(number) is not int:
        broken(NAME, "a count in it is no number")
    return number


def _last_before(range: IdRange) -> str:
    """Return a text that comes after every id of a range and before its end."""
    end = range.end
    last = ord(end[-1]) - 1
    if last < 0:
        return end[:-1]
    if 0xD800 <= last <= 0xDFFF:
        last = 0xD7FF  # surrogates are not characters
    # Within a namespace ids go on in base64, with the flag after it; elsewhere in any name.
    return end[:-1] + chr(last) + ("~" if scope_of(range) else EVERYTHING.end)


def _deletion(id: str, rev: str) -> str:
    return json.dumps({"_id": id, "_rev": rev, "_deleted": True}, ensure_ascii=False)


def _steps(number: int) -> range:
    return range(0, number, _BATCH)
