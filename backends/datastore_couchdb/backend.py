"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from datastore.adapters.counting import Counter
from datastore.adapters.declaring import namespace_of
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
from datastore.ids import EVERYTHING
from datastore.queries.tree import Path
from datastore_couchdb import finding, indexes
from datastore_couchdb.admin import examine
from datastore_couchdb.client import BATCH, NAME, MissingIndexError, Session, Settings
from datastore_couchdb.reading import PAGE_BYTES, SCAN_PAGE, Reader
from datastore_couchdb.removing import Remover
from datastore_couchdb.schema import NAMESPACE_INDEX, prepare, prepare_again
from datastore_couchdb.views import Views
from datastore_couchdb.writing import Documents

logger = logging.getLogger("datastore")

_READING = "reading:"
"""What ``after`` begins with where `find` reads the range instead."""


class CouchBackend(Backend):
    """Documents in one CouchDB database."""

    name = NAME
    capabilities = Capabilities(
        read_batch=BATCH,
        write_batch=BATCH,
        scan_page=SCAN_PAGE,
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
        self._counter = Counter(self._documents, self._memory, BATCH)
        try:
            self._schema = prepare(self._session)
        except BaseException:
            self._session.close()
            raise
        self._documents.exact = self._schema.format.exact
        views = Views(self._session, self._schema)
        self._reader = Reader(self._session, self._memory, self._schema, views)
        self._remover = Remover(self._session, self._memory, self._reader, views)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        if self._session.is_in_doubt:
            self._look_again()
        return self._reader.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        if self._session.is_in_doubt:
            self._look_again()
        return self._writer.write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1, and for `Fields.KEY` those of `Expiries.listed`; 0 for an empty range.
        """
        if self._session.is_in_doubt:
            self._look_again()
        return self._reader.scan(range, fields, limit, after, reverse=reverse)

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
        return self._reader.namespaces(range, at)

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`.

        Requests: 2, whichever part of a namespace it is; 0 for an empty range. Without the view, 1 per 10,000 documents
            and 1 per 10,000 expired ones.
        """
        return self._reader.count(range, at)

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        return finding.plan(range, query, self._schema.indexes, self._schema.declared)

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

        Requests: 1; 2 where the documents exceed the amount of data that one page holds; 0 for an empty range.
        """
        if range.start >= range.end:
            return DocumentPage((), None)
        if after is not None and after.startswith(_READING):
            return self._read_instead(range, fields, limit, after.removeprefix(_READING))
        unused: set[str] = set()
        path = self._session.path_in(range, "_find")
        try:
            page = finding.find(
                self._session, path, range, plan, fields, limit, after, PAGE_BYTES, unused, reverse=reverse
            )
        except MissingIndexError:  # without an index CouchDB can find documents, but not sort them
            logger.warning("CouchDB no longer has the index %s: filters take longer", NAMESPACE_INDEX)
            self._schema.indexes -= {NAMESPACE_INDEX}
            self._look_again()
            object.__setattr__(plan, "index", None)  # it is what `explain` shows
            return self._read_instead(range, fields, limit, finding.last_id(after))
        if unused:  # somebody has removed them, and CouchDB answered without them
            logger.warning("CouchDB no longer has the index %s: filters take longer", " and ".join(sorted(unused)))
            self._schema.indexes -= unused
            self._schema.declared = {
                name: index for name, index in self._schema.declared.items() if unused.isdisjoint((name, index.rest))
            }
            if NAMESPACE_INDEX in unused:
                self._look_again()
        return page

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

        Raises:
            UnsupportedError: If CouchDB cannot index one of the fields.

        Requests: 4 where this process does not know the index yet; otherwise 0.
        """
        index = indexes.declare(fields, namespace_of(encoded_namespace))
        if index.name not in self._schema.declared:
            indexes.build(self._session, index)
            # A new one, because others may be planning with the one before.
            self._schema.declared = {**self._schema.declared, index.name: index}
        return index.name

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`. Documents that another program has written stay.

        Requests: 2 per 1,000 documents, and 2; 1 more per 1,000 if some of them have flags. Without the views, 1 more
            per 1,000 documents or 16 MB.
        """
        return self._remover.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`. Documents that another program has written stay.

        Requests: the same as `clear`.
        """
        return self._remover.forget(range, at)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`.

        Requests: 1 per 10,000 expired documents and flags to find them (those of one user, if the range is of one), and
            2 per 1,000 documents to remove them. For flags, 1 per 1,000 to see whether their records exist, and 2 per
            1,000 to remove those whose records do not.
        """
        return self._remover.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`.

        Requests: 1.
        """
        return self._reader.scan(EVERYTHING, fields, limit, after)

    def document_count(self) -> int:
        """See `Backend.document_count`. Without the view, design documents are counted too.

        Requests: 1.
        """
        return self._reader.count_all()

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: 1 per 1,000 documents; 2 more for those that exist already and were not read by this process.
        """
        return self._writer.write(restores)

    def examine(self, now: float) -> list[Diagnostic]:
        """See `Backend.examine`.

        Requests: 3.
        """
        return examine(self._session, self._schema.indexes, now)

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

    def _look_again(self) -> None:
        """Prepare the database again if it was made again: see `datastore_couchdb.schema.prepare_again`.

        What was known of its records is then worth nothing.
        """
        self._session.is_in_doubt = False
        self._memory.clear()
        if prepare_again(self._session, self._schema):
            self._documents.exact = self._schema.format.exact

    def _read_instead(self, range: IdRange, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """Return a page of everything in a range, backward, where CouchDB can find nothing in that order."""
        page = self._reader.scan(range, fields, limit, after or None, reverse=True)
        return page if page.after is None else page._replace(after=_READING + page.after)
