"""Removing ranges, and what has expired: listed and deleted until nothing is left."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Container, Sequence
from contextlib import suppress
from typing import Any

from datastore.adapters.answers import member
from datastore.adapters.batching import batches
from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.knowledge import Memory
from datastore.backend import Forgotten, IdRange
from datastore.errors import DataStoreError
from datastore.retry import Backoff
from datastore_couchdb.client import BATCH, NAME, MissingViewError, Session, refusal_of
from datastore_couchdb.codec import is_foreign
from datastore_couchdb.expiring import place_of, remove_flags
from datastore_couchdb.fetching import fetch
from datastore_couchdb.flags import FLAG, is_flag
from datastore_couchdb.reading import Reader
from datastore_couchdb.views import Exceptions, Views, has_expired
from datastore_couchdb.writing import bulk_docs

logger = logging.getLogger("datastore")


class Remover:
    """Removes through one session."""

    def __init__(self, session: Session, memory: Memory, reader: Reader, views: Views) -> None:
        self._session = session
        self._memory = memory
        self._reader = reader
        self._views = views

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`. Documents that another program has written stay.

        Requests: 2 per 1,000 documents, and 2; 1 more per 1,000 if some of them have flags. Without the views, 1 more
            per 1,000 documents or 16 MB.
        """
        if range.start >= range.end:
            return 0
        expired, foreign = self._exceptions_to_removing(range, at)
        return len(self._remove(range, foreign) - expired)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. Documents that another program has written stay.

        Requests: the same as `clear`.
        """
        expired, foreign = self._exceptions_to_removing(range, at)
        removed = self._remove(range, foreign)
        return Forgotten(len(removed - expired), len(removed & expired))

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`.

        Requests: 1 per 10,000 expired documents and flags to find them (those of one user, if the range is of one), and
            2 per 1,000 documents to remove them. For flags, 1 per 1,000 to see whether their records exist, and 2 per
            1,000 to remove those whose records do not.
        """
        # Records whose time has come, and all flags.
        selector = place_of(range, with_flags=True) | {"expiresAt": {"$lte": at}}
        flags, ids = dict[str, str](), list[str]()
        for document in self._reader.find_expiring(selector):
            if not range.start <= document["_id"] < range.end:
                continue
            if not is_flag(document["_id"]):
                ids.append(document["_id"])
            elif not is_foreign(document):
                flags[document["_id"]] = member(document, "_rev", str, NAME)
        ids.sort()
        purged: set[str] = set()
        pauses = contention()
        for some in batches(ids, BATCH):
            self._purge(some, at, purged, pauses)
        try:
            remove_flags(self._session, flags)
        except DataStoreError as error:  # the records have been purged, and the caller must learn their number
            logger.warning("flags of records that no longer exist were left to the next purge: %s", error)
        return len(purged)

    def _exceptions_to_removing(self, range: IdRange, at: str) -> Exceptions:
        """Return what `Views.exceptions` does also without the view: then each document is read."""
        if self._views.are_there():
            with suppress(MissingViewError):
                return self._views.exceptions(range, at)
        found = Exceptions(set(), set())
        after, more = None, True
        while more:
            rows, cut = self._reader.rows(range, BATCH, after, include_docs=True)
            for row in rows:
                document = row["doc"] or {"revision": ""}
                found.take(row["id"], None if is_foreign(document) else document.get("expiresAt") or "~", at)
            more = cut or len(rows) == BATCH
            after = rows[-1]["id"] if rows else None
        return found

    def _remove(self, range: IdRange, foreign: Container[str]) -> set[str]:
        """Remove what a range holds, except foreign documents, and return the ids of all that were removed.

        The range is listed and deleted until nothing is left. That includes documents written meanwhile, and those
        whose deletion was in doubt because an answer was lost. It waits only after a failure, and only for a limited
        time. Flags are removed when their records are gone.
        """
        removed: set[str] = set()
        pauses = contention()
        while True:
            try:
                rows, cut = self._reader.rows(range, BATCH, None, include_docs=False)
                ours = [row for row in rows if row["id"] not in foreign]
                if ours:
                    if ours[0] is not rows[0]:
                        range = range._replace(start=ours[0]["id"])  # do not list foreign documents again each time
                    records = [row for row in ours if not is_flag(row["id"])]
                    ids = {row["id"] for row in records}
                    try:
                        changed = self._delete(records)
                    except DataStoreError:
                        removed |= ids  # they may be gone
                        raise
                    removed |= ids - changed
                    # A record that was written meanwhile shares its flag with the one before. Without the flag it would
                    # be listed after its expiry, if this call fails before it has removed the record too.
                    flags = [row for row in ours if row["id"] not in ids and row["id"][: -len(FLAG)] not in changed]
                    changed |= self._delete(flags)
                    if changed and not pauses.wait():
                        raise came_too_late(NAME)
                elif not cut and len(rows) < BATCH:
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
                    if not is_foreign(document) and has_expired(document.get("expiresAt"), at)
                }
                sent = set(dead)
                answers = bulk_docs(self._session, list(dead), list(dead.values())) if dead else []
                purged.update(answer["id"] for answer in answers if "error" not in answer)
                _raise_refusal(answers)
                return
            except DataStoreError as error:
                _go_on(error, pauses, sent | purged)

    def _delete(self, rows: Sequence[dict[str, Any]]) -> set[str]:
        """Delete listed documents, and return the ids of those that had changed since the listing, or were removed.

        Requests: 1; 0 for no documents.
        """
        if not rows:
            return set()
        ids = [row["id"] for row in rows]
        try:
            answers = bulk_docs(self._session, ids, [_deletion(row["id"], row["value"]["rev"]) for row in rows])
        finally:
            for id in ids:
                self._memory.forget(id)
        _raise_refusal(answers)
        return {answer["id"] for answer in answers if "error" in answer}


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


def _deletion(id: str, rev: str) -> str:
    return json.dumps({"_id": id, "_rev": rev, "_deleted": True}, ensure_ascii=False)
