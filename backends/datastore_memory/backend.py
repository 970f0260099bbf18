"""Documents in a dictionary, a sorted list of their ids, and one lock around both."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from datastore.backend import (
    DONE,
    Access,
    Backend,
    Capabilities,
    Delete,
    Document,
    DocumentPage,
    Fence,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Put,
    Restore,
    Touch,
    Write,
)
from datastore.errors import ClosedError, ConfigurationError, ValueTooLargeError
from datastore.fences import GONE, fences_after, is_refused, lease_lost
from datastore.ids import EVERYTHING
from datastore.tenants import Databases, is_wanted
from datastore.turns import Turn, Turns
from datastore.urls import Url
from datastore.values import decode, encode, merge_metadata


def beside(location: str, suffix: str) -> str:
    """Return the same URL: each store that it opens is another one."""
    return location


def connect(url: Url) -> Backend:
    """Open a new, empty store (``memory://``).

    Its only parameter is ``isolation`` (``database`` for a separate store for each tenant).

    Raises:
        ConfigurationError: If the URL has a host, a path or an unknown parameter.
    """
    if url.host or url.path:
        raise ConfigurationError("memory:// takes nothing after the slashes: every connect opens a new, empty store")
    isolated = is_wanted(url)
    url.check_all_taken()
    if not isolated:
        return MemoryBackend()
    from datastore.tenants import TenantBackend  # here, because few stores are divided like this

    return TenantBackend(MemoryDatabases())


@dataclass(slots=True)
class _Stored:
    """A document, its value as JSON text, and what it remembers of leases.

    Counting an access replaces the document and keeps the text.
    """

    document: Document
    json: str
    fences: str = ""

    def live(self, at: str) -> bool:
        return self.document.expires_at is None or self.document.expires_at > at

    def copy(self, fields: Fields) -> Document:
        if fields is Fields.KEY:
            return self.document
        if fields is Fields.VALUE:
            return self.document._replace(value=decode(self.json))
        return self.document._replace(value=decode(self.json), metadata=_copy(self.document.metadata))


class MemoryBackend(Backend):
    """An adapter without a database."""

    name = "memory"
    capabilities = Capabilities(persistent=False, shared=False, at_once=True, parsed_values=True, tenant_databases=True)

    def __init__(self) -> None:
        self._turns = Turns("using the store in memory")
        self._stored: dict[str, _Stored] = {}
        self._sorted: list[str] | None = []
        self._closed = False

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        with self._opened():
            return {id: stored.copy(fields) for id in ids if (stored := self._stored.get(id)) is not None}

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        with self._opened():
            return [self._apply(write) for write in writes]

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        with self._opened():
            ids = self._ids()
            start, end = bisect_left(ids, range.start), bisect_left(ids, range.end)
            if after is not None and reverse:
                end = min(end, bisect_left(ids, after))
            elif after is not None:
                start = max(start, bisect_right(ids, after))
            more = start + limit < end
            found = ids[max(start, end - limit) : end][::-1] if reverse else ids[start : min(start + limit, end)]
            return DocumentPage([self._stored[id].copy(fields) for id in found], found[-1] if more else None)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        with self._opened():
            for access in accesses:
                stored = self._stored.get(access.id)
                if stored is None or stored.document.created_at != access.created_at:
                    continue
                old = stored.document
                stored.document = old._replace(access_count=old.access_count + access.number)
                if access.at >= (old.last_accessed_at or ""):
                    stored.document = stored.document._replace(
                        last_accessed_at=access.at, last_accessed_by_agent=access.agent
                    )

    def close(self) -> None:
        """See `Backend.close`."""
        with self._turns.take():
            self._closed = True
            self._stored = {}
            self._sorted = []

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self.forget(range, at).records

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        with self._opened():
            ids = self._ids()
            found = ids[bisect_left(ids, range.start) : bisect_left(ids, range.end)]
            live = sum(self._remove(id).live(at) for id in found)
            return Forgotten(live, len(found) - live)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`."""
        with self._opened():
            ids = self._ids()
            found = ids[bisect_left(ids, range.start) : bisect_left(ids, range.end)]
            expired = [id for id in found if not self._stored[id].live(at)]
            for id in expired:
                self._remove(id)
            return len(expired)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`."""
        return self.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`."""
        with self._opened():
            return len(self._stored)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        with self._opened():
            return [self._restore(restore) for restore in restores]

    def before_fork(self) -> None:
        """See `Backend.before_fork`. There is nothing to close."""

    def after_fork(self) -> None:
        """See `Backend.after_fork`. The child has its own copy, but also the turns of threads that it does not have."""
        self._turns.reset()

    def _opened(self) -> Turn:
        turn = self._turns.take(frame=sys._getframe(1))
        if self._closed:  # perhaps while this call was waiting
            turn.leave()
            raise ClosedError("the store was closed", backend=self.name)
        return turn

    def _ids(self) -> list[str]:
        if self._sorted is None:  # sorted on demand: filling a store and then listing it sorts only once
            self._sorted = sorted(self._stored)
        return self._sorted

    def _live(self, id: str, at: str) -> Document | None:
        stored = self._stored.get(id)
        return stored.document if stored is not None and stored.live(at) else None

    def _apply(self, write: Write) -> Outcome:
        if write.fence is not None and is_refused(self._fences(write.id), write.fence):
            return Outcome(False, error=lease_lost())
        if isinstance(write, Put):
            return self._put(write)
        return self._touch(write) if isinstance(write, Touch) else self._delete(write)

    def _fences(self, id: str) -> str:
        stored = self._stored.get(id)
        return "" if stored is None else stored.fences

    def _put(self, put: Put) -> Outcome:
        old = self._live(put.id, put.at)
        revision = None if old is None else old.revision
        if (put.if_absent and old is not None) or put.if_revision not in (None, revision):
            return Outcome(False, revision)
        try:
            metadata = merge_metadata((old and old.metadata) or {}, _copy(put.metadata))
        except ValueTooLargeError as error:
            return Outcome(False, error=error)
        document = Document(
            put.id,
            put.at,
            put.revision,
            put.expires_at,
            metadata=metadata,
            created_by_agent=put.agent,
            updated_at=put.at,
            updated_by_agent=put.agent,
        )
        if old is not None:
            document = old._replace(
                revision=put.revision,
                expires_at=old.expires_at if put.keep_expiry else put.expires_at,
                metadata=metadata,
                updated_at=put.at,
                updated_by_agent=put.agent,
            )
        self._store(document, put.json, put.fence)
        return DONE

    def _touch(self, touch: Touch) -> Outcome:
        old = self._live(touch.id, touch.at)
        if old is not None:
            stored = self._stored[touch.id]
            stored.document = old._replace(expires_at=touch.expires_at)
            stored.fences = fences_after(stored.fences, touch.fence)
        return Outcome(old is not None)

    def _restore(self, restore: Restore) -> Outcome:
        old = self._live(restore.id, restore.at)
        revision = None if old is None else old.revision
        if revision != restore.if_revision:
            return Outcome(False, revision)
        self._store(restore.document._replace(value=None, metadata=_copy(restore.document.metadata)), restore.json)
        return DONE

    def _delete(self, delete: Delete) -> Outcome:
        old = self._live(delete.id, delete.at)
        if delete.if_revision is not None and (old is None or old.revision != delete.if_revision):
            return Outcome(False, None if old is None else old.revision)
        if delete.fence is not None:
            if old is not None:  # what it remembers stays, in a document that nobody sees
                gone = Document(delete.id, delete.at, "deleted", GONE, updated_at=delete.at, updated_by_agent="")
                self._store(gone, "null", delete.fence)
        elif delete.id in self._stored:
            self._remove(delete.id)
        return Outcome(old is not None)

    def _store(self, document: Document, json: str, fence: Fence | None = None) -> None:
        """Store a document in place of the one with its id. What that remembers of leases stays."""
        if document.id not in self._stored:
            self._sorted = None
        self._stored[document.id] = _Stored(document, json, fences_after(self._fences(document.id), fence))

    def _remove(self, id: str) -> _Stored:
        self._sorted = None
        return self._stored.pop(id)


class MemoryDatabases(Databases):
    """A store for each tenant. It stays open until it is dropped, because closing it would empty it."""

    most_open = sys.maxsize

    def __init__(self) -> None:
        super().__init__(MemoryBackend, "memory", sys.maxsize, MemoryBackend.capabilities)
        self._made: dict[str, MemoryBackend] = {}

    def open(self, name: str) -> Backend:
        """See `Databases.open`."""
        return self._made.setdefault(name, MemoryBackend())

    def drop(self, name: str) -> bool:
        """See `Databases.drop`."""
        return self._made.pop(name, None) is not None

    def exists(self, name: str) -> bool:
        """See `Databases.exists`."""
        return name in self._made

    def names(self, beginning: str) -> list[str]:
        """See `Databases.names`."""
        return [name for name in list(self._made) if name.startswith(beginning)]


def _copy(metadata: dict[str, object] | None) -> dict[str, object]:
    return {} if not metadata else decode(encode(metadata))
