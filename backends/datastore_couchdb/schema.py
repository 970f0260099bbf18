"""The database and what is built on it: two Mango indexes and two views, each under one stable name."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from datastore.adapters.answers import broken, member
from datastore.errors import BackendUnusableError, ConfigurationError, DataStoreError, PermissionDeniedError
from datastore.ids import is_id
from datastore_couchdb.client import NAME, MissingDatabaseError, Session
from datastore_couchdb.codec import known_of
from datastore_couchdb.expiring import EXPIRY_INDEX
from datastore_couchdb.formats import FORMAT, Format, establish, format_of
from datastore_couchdb.indexes import DeclaredIndex, declared_in
from datastore_couchdb.making import make_database, make_index

NAMESPACE_INDEX = "agent_data_store_namespace"
"""Mango index on ``[userId, namespace]``: for queries inside a namespace."""
RECORD_VIEWS = "agent_data_store_records"
"""The design document of two views: `COUNTS` and `EXCEPTIONS`."""
COUNTS = "namespaces"
"""The view that counts documents by ``[userId, namespace]``."""
EXCEPTIONS = "exceptions"
"""The view of the documents that expire, by id, with their times; and of those that other programs have written."""
REVISIONS_KEPT = 20
"""How many revisions of a document CouchDB remembers: each one makes every write of it slower."""

_MERGING = "agent_data_store_namespaces"
"""The view that counted in earlier versions. It sorted names as people do, and so could count different ones as one."""
_COMMON = "agent_data_store_"
"""The prefix of the names of all the store's design documents."""
_FORMAT = 1
"""The version of the format of documents and their ids."""
# Without this option, which must stand in the view itself, CouchDB adds up rows whose keys are equal to ICU, such as a
# letter in composed and decomposed form, or a name with and without a soft hyphen. One user's count would then include
# another's.
_BY_BYTES = {"collation": "raw"}
_VIEWS = {
    COUNTS: {
        "map": "function (doc) { if (doc.revision && doc.namespace) { emit([doc.userId, doc.namespace], null); } }",
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
            another program has filled it.
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
    there = _there(session)
    if not there and information["doc_count"]:
        _refuse_foreign(session)
    if there.get(RECORD_VIEWS, {}).get("format", _FORMAT) != _FORMAT:
        raise BackendUnusableError(
            f"{_where(session)} was written by a newer agent-datastore; install that version", backend=NAME
        )
    building = _MERGING in there
    if settings.create and not there.keys() >= _DOCUMENTS:
        building |= RECORD_VIEWS not in there and information["doc_count"] > len(there)
        _make_indexes(session, there)
        there = _there(session)
        if not there.keys() >= {NAMESPACE_INDEX, EXPIRY_INDEX}:
            broken(NAME, "an index that was just created does not exist")
    if settings.create and not format_of(there.get(FORMAT)).flagged:
        establish(session)
        there = _there(session)
    return Schema(_DOCUMENTS.intersection(there), declared_in(there), building, format_of(there.get(FORMAT)))


def is_built(session: Session) -> bool:
    """Return whether the views are built. If so, remove the old counting view, if this user may.

    Requests: 1; 3 the first time that the views are built.
    """
    index = session.get(f"_design/{RECORD_VIEWS}/_info").get("view_index")
    if isinstance(index, dict):
        pending = index.get("updates_pending")
        left = pending.get("minimum", 0) if isinstance(pending, dict) else index.get("updater_running") is True and _FEW
        if left >= _FEW:
            return False
    if session.settings.create:
        with suppress(DataStoreError):  # another user may remove it
            session.remove(f"_design/{_MERGING}")
    return True


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


def _refuse_foreign(session: Session) -> None:
    """Check that a database without the store's design documents does not hold another program's documents."""
    for where in ({"startkey": "_design0"}, {"endkey": "_design/"}):
        rows, _ = session.rows("_all_docs", {**where, "limit": _SAMPLE, "include_docs": True}, _SAMPLE_BYTES)
        documents = [row["doc"] for row in rows if row["doc"]]
        if any(is_id(document["_id"]) and not known_of(document).damaged for document in documents):
            return
        if documents:
            raise ConfigurationError(
                f"{_where(session)} holds documents that another program has written; nothing was changed. Name "
                "another database, and move the records there with 'datastore import-legacy'",
                backend=NAME,
            )


def _make_database(session: Session) -> None:
    with _as_administrator(session):
        make_database(session)
    with suppress(DataStoreError):  # without it writes are slower, and `examine` says so
        session.make("PUT", "_revs_limit", REVISIONS_KEPT)


def _make_indexes(session: Session, there: Collection[str]) -> None:
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
    if RECORD_VIEWS in there:
        return
    try:
        with _as_administrator(session):
            design = {"format": _FORMAT, "language": "javascript", "views": _VIEWS}
            session.make("PUT", f"_design/{RECORD_VIEWS}", design)
    except PermissionDeniedError:
        if _MERGING not in there:
            raise  # with the old view, this user was able to connect before


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
