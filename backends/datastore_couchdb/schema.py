"""The database and what is built on it: two Mango indexes and two views, each under one stable name."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from datastore.adapters.answers import broken, member
from datastore.errors import ConfigurationError, DataStoreError, PermissionDeniedError
from datastore.formats import EARLIEST, check, settle
from datastore.formats import FORMAT as CURRENT
from datastore_couchdb.client import NAME, MissingDatabaseError, Session
from datastore_couchdb.earlier import format_of_record
from datastore_couchdb.expiring import EXPIRY_INDEX
from datastore_couchdb.flags import is_flag
from datastore_couchdb.formats import FORMAT, Format, establish, format_of
from datastore_couchdb.indexes import DeclaredIndex, declared_in
from datastore_couchdb.making import make_database, make_index

logger = logging.getLogger("datastore")

NAMESPACE_INDEX = "agent_data_store_namespace"
"""Mango index on ``[userId, namespace]``: for queries inside a namespace."""
RECORD_VIEWS = "agent_data_store_records"
"""The design document of two views, `COUNTS` and `EXCEPTIONS`, and of the format (`datastore.formats`).

The format is in this one because earlier versions look for it here, and leave a database alone that has another one.
"""
COUNTS = "namespaces"
"""The view that counts documents: by ``[userId, namespace]``, and within those any range of ids."""
EXCEPTIONS = "exceptions"
"""The view of the documents that expire, by id, with their times; and of those that other programs have written."""
REVISIONS_KEPT = 20
"""How many revisions of a document CouchDB remembers: each one makes every write of it slower."""

_COMMON = "agent_data_store_"
"""The prefix of the names of all the store's design documents."""
# Without this option, which must stand in the view itself, CouchDB adds up rows whose keys are equal to ICU, such as a
# letter in composed and decomposed form, or a name with and without a soft hyphen. One user's count would then include
# another's.
_BY_BYTES = {"collation": "raw"}
_VIEWS = {
    COUNTS: {
        "map": "function (doc) {\n"
        "  if (doc.revision && doc.namespace) { emit([doc.userId, doc.namespace, doc._id], null); }\n"
        "}",
        "reduce": "_count",
        "options": _BY_BYTES,
    },
    EXCEPTIONS: {
        "map": "function (doc) {\n"
        "  if (typeof doc.revision !== 'string') { emit(doc._id, null); }\n"
        "  else if (doc.expiresAt) { emit(doc._id, doc.expiresAt); }\n"
        "}",
        "options": _BY_BYTES,
    },
}
_DOCUMENTS = frozenset({NAMESPACE_INDEX, EXPIRY_INDEX, RECORD_VIEWS})
_SAMPLE = 20  # documents that are read to find out whose database it is
_SAMPLE_BYTES = 16_000_000
_FEW = 1_000  # writes that a view catches up with before anybody notices


@dataclass(slots=True)
class Schema:
    """What is there of a database, as far as is known: others may make and remove some of it."""

    indexes: frozenset[str]
    """The design documents made at startup that exist."""
    declared: dict[str, DeclaredIndex]
    """The declared indexes, by name."""
    building: bool
    """Whether the views may not be built yet; see `is_built`."""
    format: Format
    """How the records are written."""


def prepare(session: Session) -> Schema:
    """Make sure that the database and its indexes exist, and return what exists and how the records are written.

    Several processes may do this at once: each one accepts what another has created.

    Raises:
        ConfigurationError: If something is missing and may not be created, the database is of the wrong kind, or
            another program or an earlier version has filled it.
        BackendUnusableError: If a newer version has written the database.
        PermissionDeniedError: If this user may not create what is missing.
        BackendUnavailableError: If the server does not answer.

    Requests: 2 if everything exists.
    """
    settings = session.settings
    try:
        information = session.information()
    except MissingDatabaseError:
        if not settings.create:
            raise
        _make_database(session)
        try:
            information = session.information()
        except MissingDatabaseError:
            broken(NAME, "the database that was just created does not exist")
    _check_kind(session, information)
    designs = _Designs(session, information["doc_count"])
    settle(designs.format, designs.is_empty, designs.make, _where(session), NAME, earlier=settings.earlier_format)
    designs.make()
    if settings.create and not format_of(designs.there.get(FORMAT)).flagged:
        establish(session)
        designs.look()
    there = designs.there
    session.is_in_doubt = False  # as long as there was no database, it was
    return Schema(_DOCUMENTS.intersection(there), declared_in(there), designs.building, format_of(there.get(FORMAT)))


def prepare_again(session: Session, schema: Schema) -> bool:
    """Prepare a database that somebody has made again while the store was open; return whether it was one.

    It has no document of the store: no format, no views and no indexes. If another process was faster, or some indexes
    alone were removed, what is known of them is brought up to date.

    Raises:
        ConfigurationError: If it is of the wrong kind, or another program has begun to fill it.

    Requests: 1; where it was made again, as `prepare`.
    """
    if session.settings.earlier_format:
        return False
    try:
        there = _there(session)
        if RECORD_VIEWS in there or not session.settings.create:
            schema.building = schema.building or RECORD_VIEWS not in schema.indexes
            schema.indexes = _DOCUMENTS.intersection(there)
            return False
        found = prepare(session)
    except DataStoreError as error:
        if not error.retryable and not isinstance(error, PermissionDeniedError):
            raise
        logger.warning("the database has lost its views, and they could not be made again: %s", error)
        return False
    logger.warning("the database %s was made again, or has lost its views; they are there again", _where(session))
    schema.indexes, schema.declared, schema.building = found.indexes, found.declared, found.building
    schema.format = found.format
    return True


class _Designs:
    """The design documents of the store, and the format that one of them says.

    Attributes:
        there: Those that there are, by name, as they were last seen.
        building: The views were made here, over documents that were there before.
    """

    def __init__(self, session: Session, documents: int) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.building = False
        self._session = session
        self._empty = documents == 0

    def look(self) -> None:
        """See which there are.

        Requests: 1.
        """
        self.there = _there(self._session)

    def format(self) -> int | None:
        """Return the format of the database, ``None`` if nothing says it.

        Raises:
            ConfigurationError: If the documents are another program's.

        Requests: 1; where there is no design document that says it, but documents, up to 2 more to see it by these.
        """
        self.look()
        if RECORD_VIEWS in self.there:
            return self._said()
        return None if self._empty else self._format_of_records()

    def is_empty(self) -> bool:
        """Return whether there are no documents but design documents."""
        return self._empty

    def make(self) -> None:
        """Make those that are missing, where that is wanted.

        Requests: 0 if nothing is missing; else 1 for each, and 1.
        """
        if not self._session.settings.create or self.there.keys() >= _DOCUMENTS:
            return
        self.building = RECORD_VIEWS not in self.there and not self._empty
        _make_indexes(self._session, self.there)
        self.look()
        if not self.there.keys() >= _DOCUMENTS:
            broken(NAME, "an index is not there that was made")
        check(self._said(), _where(self._session), NAME)  # another version may have been faster

    def _said(self) -> int:
        said = self.there[RECORD_VIEWS].get("format", EARLIEST)
        return said if type(said) is int else CURRENT + 1

    def _format_of_records(self) -> int | None:
        """Return the format of the first record among some documents, and see whether there are documents at all."""
        empty = True
        for where in ({"startkey": "_design0"}, {"endkey": "_design/"}):
            parameters = {**where, "limit": _SAMPLE, "include_docs": True}
            rows, _ = self._session.rows("_all_docs", parameters, _SAMPLE_BYTES)
            documents = [row["doc"] for row in rows if row["doc"] and not is_flag(row["id"])]
            for format in map(format_of_record, documents):
                if format is not None:
                    return format
            if documents and not self.there:
                raise ConfigurationError(
                    f"{_where(self._session)} holds documents that another program has written; nothing was changed. "
                    "Name another database, and move the records there with 'datastore import-legacy'",
                    backend=NAME,
                )
            empty = empty and not documents
        self._empty = empty
        return None


def is_built(session: Session) -> bool:
    """Return whether the views are built.

    Requests: 1.
    """
    index = session.get(f"_design/{RECORD_VIEWS}/_info").get("view_index")
    if not isinstance(index, dict):
        return True
    pending = index.get("updates_pending")
    left = pending.get("minimum", 0) if isinstance(pending, dict) else index.get("updater_running") is True and _FEW
    return bool(left < _FEW)


def _there(session: Session) -> dict[str, dict[str, Any]]:
    """Return the design documents of the store, by name."""
    design = "_design/"
    of_ours = {"startkey": f"{design}{_COMMON}", "endkey": f"{design}{_COMMON}~", "include_docs": True}
    rows, _ = session.rows("_all_docs", of_ours, _SAMPLE_BYTES)
    return {row["id"][len(design) :]: row["doc"] for row in rows if row["doc"]}


def _check_kind(session: Session, information: dict[str, Any]) -> None:
    partitioned = bool(member({"props": {}} | information, "props", dict, NAME).get("partitioned"))
    if partitioned == session.settings.partitioned:
        return
    raise ConfigurationError(
        f"the database {session.settings.database} is partitioned; connect with ?partitioned=true"
        if partitioned
        else f"the database {session.settings.database} is not partitioned, which is decided when it is created; leave "
        "out ?partitioned=true, or name another one",
        backend=NAME,
    )


def _make_database(session: Session) -> None:
    with _as_administrator(session):
        make_database(session)
    with suppress(DataStoreError):  # without it writes are slower, and `examine` says so
        session.make("PUT", "_revs_limit", REVISIONS_KEPT)


def _make_indexes(session: Session, there: Collection[str]) -> None:
    if RECORD_VIEWS not in there:  # first, for it says the format
        with _as_administrator(session):
            design = {"format": CURRENT, "language": "javascript", "views": _VIEWS}
            session.make("PUT", f"_design/{RECORD_VIEWS}", design)
    # In a partitioned database the expiry index spans all partitions, because purging covers all users.
    partitioned = session.settings.partitioned
    kinds: dict[str, tuple[list[str], bool]] = {
        NAMESPACE_INDEX: (["userId", "namespace"], True),
        EXPIRY_INDEX: (["userId", "namespace", "expiresAt"], False),
    }
    for name, (fields, of_partition) in kinds.items():
        if name not in there:
            with _as_administrator(session):
                make_index(session, name, fields, of_partition if partitioned else None)


class _as_administrator:  # noqa: N801 - reads as the statement that it is
    """Explains what to do if this user may not create what the block creates."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, PermissionDeniedError):
            raise PermissionDeniedError(
                f"this user may not create {_where(self._session)} or its indexes; let an administrator connect once",
                backend=NAME,
            ) from error


def _where(session: Session) -> str:
    return f"{session.settings.origin}/{session.settings.database}"
