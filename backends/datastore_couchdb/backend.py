"""The adapter: the methods of the contract, each handed to the module that does it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from datastore.adapters.composed import ComposedBackend
from datastore.adapters.declaring import namespace_of
from datastore.adapters.knowledge import Memory
from datastore.adapters.opening import ClosedOnFailure
from datastore.adapters.remembering import REMEMBERED
from datastore.administration import Diagnostic
from datastore.backend import Capabilities, Document, DocumentPage, Fields, IdRange, Outcome, Plan, Query, Write
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


class CouchBackend(ComposedBackend):
    """Documents in one CouchDB database.

    Requests: those of its parts (`Reader`, `Remover`), and 1 per 1,000 documents to write or restore them; 2 more for
        those that exist already and were not read by this process.
    """

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
        with ClosedOnFailure(self._session):
            self._schema = prepare(self._session)
        self._documents = Documents(self._session)
        self._documents.exact = self._schema.format.exact
        memory, views = Memory(), Views(self._session, self._schema)
        self._reader = Reader(self._session, memory, self._schema, views)
        remover = Remover(self._session, memory, self._reader, views)
        super().__init__(self._session, self._documents, memory, self._reader, remover)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        if self._session.is_in_doubt:
            self._look_again()
        return super().read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        if self._session.is_in_doubt:
            self._look_again()
        return super().write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        if self._session.is_in_doubt:
            self._look_again()
        return super().scan(range, fields, limit, after, reverse)

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

    def document_count(self) -> int:
        """See `Backend.document_count`. Without the view, design documents are counted too.

        Requests: 1.
        """
        return self._reader.count_all()

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

    def after_fork(self) -> None:
        """See `Backend.after_fork`. Idle connections do no harm: the child forgets them."""
        super().after_fork()
        self._documents.unflagged.clear()

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
