"""The contract between the store and a database: five methods, plain data in and out, no I/O here.

An adapter subclasses `Backend` and moves documents to and from its database in the fewest requests that the database
allows. What a call *means* is settled above it: names, keys and values are checked, ids are built, expired records are
hidden, batches are cut to size, transient errors are retried, accesses are counted. So an adapter never looks into a
value, never reads a clock (every write carries its time), and raises only the errors of `datastore.errors`.

All data here is immutable by agreement: neither side changes what the other handed over. Every method may be called
from many threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from datastore.errors import DamagedRecordError, DataStoreError
from datastore.ids import IdRange
from datastore.queries.tree import Path, Query

__all__ = [
    "Access",
    "Backend",
    "Capabilities",
    "ClearsRange",
    "CountsRange",
    "DeclaresIndexes",
    "Delete",
    "Document",
    "DocumentPage",
    "Fields",
    "Finds",
    "ForgetsUsers",
    "Forgotten",
    "IdRange",
    "ListsExpired",
    "ListsNamespaces",
    "MovesDocuments",
    "Outcome",
    "Plan",
    "Put",
    "Query",
    "ReclaimsExpired",
    "Restore",
    "SeparatesCustomers",
    "SurvivesFork",
    "Write",
]


class Fields(IntEnum):
    """How much of a document a read must fill in; each includes those before. More is allowed, and not looked at."""

    KEY = 0
    """``id`` and ``expires_at``: enough to list, count and delete."""
    VALUE = 1
    """As ``KEY``, and ``created_at``, ``revision`` and ``value``."""
    ALL = 2
    """Everything."""


class Document(NamedTuple):
    """One stored document. Times are RFC 3339 text (`datastore.times`), so they compare as text."""

    id: str
    created_at: str
    revision: str
    expires_at: str | None
    value: Any = None
    """A new copy on every read, equal to what was written, type for type."""
    metadata: dict[str, Any] | None = None
    created_by_agent: str = ""
    updated_at: str = ""
    access_count: int = 0
    last_accessed_by_agent: str | None = None
    last_accessed_at: str | None = None


class Put(NamedTuple):
    """Write one document: the whole of a new one, or the value, metadata, expiry and revision of an existing one.

    *Live* means: there, and with no ``expires_at`` at or before ``at``. Over a live document ``created_at``,
    ``created_by_agent`` and the three access fields stay as they are, and ``metadata`` is merged by
    `datastore.values.merge_metadata`. An expired document is replaced whole, as if it had not been there.
    """

    id: str
    user_id: str
    namespace: str
    key: str
    value: Any
    """The checked value, for databases that hold it natively. May contain tuples, which stand for arrays."""
    json: str
    """The same value as compact JSON text, for all others."""
    metadata: dict[str, Any] | None
    """Changes to the metadata, ``None`` for none. Checked, but only the merged result shows whether it fits."""
    agent: str
    """Becomes ``created_by_agent`` of a new document."""
    at: str
    """Now: becomes ``updated_at``, and ``created_at`` of a new document."""
    revision: str
    """The new revision, chosen by the store."""
    expires_at: str | None
    if_absent: bool = False
    """Write only if there is no live document."""
    if_revision: str | None = None
    """Write only if there is a live document at this revision."""


class Delete(NamedTuple):
    """Remove one document, live or expired."""

    id: str
    at: str
    """Now: decides whether the document that was removed counts as live."""
    if_revision: str | None = None
    """Remove only if there is a live document at this revision."""
    only_own: bool = False
    """Leave what another program has written: a document without a revision (`datastore.documents.foreign`)."""


Write: TypeAlias = Put | Delete


class Restore(NamedTuple):
    """Write one document whole, as it is elsewhere: with its own times, counts, agents, revision and expiry.

    What a `Put` cannot do, and no agent's call comes to. Where there is a live document (live at ``at``) it is replaced
    only if it is at ``if_revision``; an expired one is as good as gone.
    """

    document: Document
    """With `Fields.ALL`; it has not expired at ``at``."""
    user_id: str
    namespace: str
    key: str
    json: str
    """The document's value as compact JSON text (`datastore.values.encode`)."""
    at: str
    """Now."""
    if_revision: str | None = None
    """The revision of the live document to replace; ``None``: there must be none."""

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id


class Outcome(NamedTuple):
    """What became of one `Write` or `Restore`."""

    done: bool
    """A `Put` or a `Restore` was stored; a `Delete` removed a live document."""
    revision: str | None = None
    """Where a precondition failed: the revision of the live document, ``None`` if there is none."""
    error: DataStoreError | None = None
    """Why this write failed while others of its batch may be done. One with ``retryable`` set is sent again."""


DONE = Outcome(True)
"""What nearly every write comes to; made once, for it shows in the time of `set`."""


class Forgotten(NamedTuple):
    """What `datastore.DataStore.forget` has removed."""

    records: int
    """Live records."""
    expired: int
    """Expired ones that had not been reclaimed."""


class DocumentPage(NamedTuple):
    """Some documents of a range, in id order."""

    documents: Sequence[Document]
    after: str | None
    """Where to go on: the ``after`` of the next call. ``None`` at the end; an empty page may come before it."""
    damaged: Sequence[DamagedRecordError] = ()
    """For what lies in the range and cannot be made a document of, in any order (`datastore.documents.split`)."""


class Access(NamedTuple):
    """Accesses to one document, coalesced."""

    id: str
    created_at: str
    """Which document was read: one created at another time is a new one, and these accesses are not its own."""
    number: int
    """How many there were."""
    agent: str
    at: str
    """When the last of them took place, by ``agent``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a database makes of a query.

    What it finds is a superset of what matches, on which ``residual`` must be checked.
    """

    pushed: Query
    """The clauses that narrow what the database finds, whether or not they are decided by that."""
    residual: Query
    """The clauses to check on every document found; empty if the database decides everything."""
    native: Any
    """What the adapter asks its database; plain data or text, for people to read in `explain`."""
    index: str | None = None
    """The name of the index that it looks into; ``None`` for the ids themselves."""
    in_order: bool = True
    """Documents come in id order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an adapter promises. The conformance kit tests what is declared, and that nothing else is there."""

    read_batch: int = 1_000
    """The most ids one `Backend.read` takes; the store cuts larger requests to size."""
    write_batch: int = 1_000
    """The most writes one `Backend.write` takes."""
    scan_page: int = 1_000
    """The most documents asked for in one `Backend.scan`."""
    persistent: bool
    """Documents are there again after `Backend.close` and a new connection."""
    shared: bool
    """Several processes can work on the same documents at once."""
    at_once: bool = False
    """One document is read at once, in this process: such a read needs no deadline."""
    remembered_writes: int = 0
    """How many of its last writes a record knows (`datastore.adapters.remembering`): a write that is repeated because
    its answer was lost recognises itself, also where so many others, less one, came after it. For databases whose
    answers can be lost; 8 are the least that the store expects of them, and the toolkit keeps 16."""
    customer_databases: bool = False
    """``isolation="database"`` gives each customer a database of its own (`datastore.customers`)."""


class Backend(ABC):
    """One database. Construction connects and creates what is missing (database, table, index), idempotently."""

    name: str
    """What errors and reports call the database, such as ``"sqlite"``."""
    capabilities: Capabilities

    @abstractmethod
    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """Return the documents that exist, by id, in any order; expired ones may be left out or included.

        ``ids`` holds no duplicates and at most ``capabilities.read_batch``. Sees every write that was acknowledged
        before. A database that cannot answer raises; "missing" is never a guess. What is stored and cannot be made a
        document of is a `DamagedRecordError` with its id (`datastore.documents.decoded`).
        """

    @abstractmethod
    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes to distinct ids and return an outcome for each, in order.

        Each write is atomic, and atomic with its precondition: of two that race, one sees the other's result. The
        batch as a whole need not be. A `Put` without a precondition never fails because of a concurrent writer.
        The store repeats a write, the same `Put` or `Delete` again, when its answer was lost. Writing the same `Put`
        twice must be harmless, also where others wrote the record in between (``capabilities.remembered_writes``), and
        a database whose answers can get lost should see to it that a repeated `Delete` is still ``done``. What was
        seen earlier may shape a request, and never settles an outcome. Raises when no outcome is known for any of them.
        """

    @abstractmethod
    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """Return up to ``limit`` documents of a range in id order, those behind ``after`` where it is given.

        Ids of one namespace are ordered by their bytes (they differ in ASCII only). Namespaces may be in whichever
        order the database has for text, so long as it is always the same and each is in one piece.

        A page may be shorter than ``limit`` (databases cut pages by size) and still not be the last. A document that
        exists during the whole of a paged scan is in it exactly once. Expired ones may be left out or included.
        """

    @abstractmethod
    def record_access(self, accesses: Sequence[Access]) -> None:
        """Add counts and set the last accessing agent and time, and touch nothing else: neither value nor revision.

        Skips documents that are gone or were created at another time; creates none. ``last_accessed_at`` never goes
        back. Raises only if nothing was counted, so that the caller may try again.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""


# Optional abilities. The store asks with isinstance() and does without, in more requests, where one is missing.


@runtime_checkable
class ListsNamespaces(Protocol):
    """A database that can list a user's namespaces faster than by skipping from range to range."""

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """Return the id prefixes (``<user>:<ns>:``) within a range that hold a document live at ``at``."""


@runtime_checkable
class ListsExpired(Protocol):
    """A database whose scans with `Fields.KEY` cannot say when a document expires; ``expires_at`` is ``None`` there."""

    def expired(self, range: IdRange, at: str) -> set[str]:
        """Return the ids within a range that are expired at ``at``; called once for a scan."""


@runtime_checkable
class CountsRange(Protocol):
    """A database that can count without handing over every id."""

    def count(self, range: IdRange, at: str) -> int:
        """Return how many documents of a range are live at ``at``."""


@runtime_checkable
class ClearsRange(Protocol):
    """A database that can delete a range without being given every id."""

    def clear(self, range: IdRange, at: str) -> int:
        """Remove every document of a range and return how many of them were live at ``at``."""


@runtime_checkable
class ForgetsUsers(Protocol):
    """A database that can remove all that it keeps of a user, also what no listing shows."""

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """Remove everything in the range of a user's ids, and return what that was.

        That is every document, live or expired at ``at``, readable or not, in whichever namespace; and parts of values,
        of writes that were interrupted too. Repeating it, because an answer was lost, counts nothing twice.
        """


@runtime_checkable
class Finds(Protocol):
    """A database that can look into values, and hand over fewer documents than a range holds."""

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """Return how to answer a query, or ``None`` if nothing of it can be pushed down.

        Asks the database nothing, except perhaps, once, which indexes there are. Whatever form a value is stored in,
        no document that matches may be left out by what is pushed down; see `datastore.queries.tree` for the meaning
        of each node.
        """

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """Return up to ``limit`` documents of a range that the plan finds, as `Backend.scan` does.

        ``after`` is what the page before returned, in whichever form the adapter likes. ``expires_at`` is filled in
        even for `Fields.KEY`. Without ``in_order`` the order may be any.
        """


@runtime_checkable
class DeclaresIndexes(Protocol):
    """A database in which fields of values can be indexed."""

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """Create an index on fields of the values, unless it is there, and return its name.

        Namespaces are meant as ids hold them; ``None`` is for all. Returns when the index can be used.
        """


@runtime_checkable
class ReclaimsExpired(Protocol):
    """A database whose expired documents can be removed on request."""

    def purge(self, at: str) -> int:
        """Remove every document that is expired at ``at``, of all users, and return how many there were."""


@runtime_checkable
class MovesDocuments(Protocol):
    """A database whose documents can be moved to and from another one whole: copies, exports, backups."""

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """Return up to ``limit`` documents of all users, those behind ``after`` where it is given.

        In whichever order is the database's own and always the same, with everything else as in `Backend.scan`.
        ``after`` is the id of any document that an earlier call returned, even one that has been deleted since. What
        the database holds beside documents of the store is left out.
        """

    def document_count(self) -> int | None:
        """Return about how many documents there are, live or not, or ``None`` if finding out means reading them."""

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """Write whole documents, with distinct ids and at most ``capabilities.write_batch``; an outcome for each.

        Each is atomic, and atomic with its precondition. What is read afterwards equals what was written, field for
        field. Repeating the same `Restore` when its answer was lost is harmless: the outcome is either ``done``, or
        names the revision that was restored. Raises when no outcome is known for any of them.
        """


@runtime_checkable
class SeparatesCustomers(Protocol):
    """A database for each customer, which is a user id; `datastore.customers` makes one of most adapters."""

    def database(self, user_id: str) -> str:
        """Return the name of a customer's database, without asking anybody.

        Raises:
            InvalidNameError: If the user id is too long for one.
        """

    def customers(self) -> list[str]:
        """Return the user ids that have a database, sorted."""

    def drop_customer(self, user_id: str) -> bool:
        """Remove the database of a customer with everything in it, and return whether there was one."""


@runtime_checkable
class SurvivesFork(Protocol):
    """An adapter with connections or locks that a forked child must not share (`datastore.forks`)."""

    def before_fork(self) -> None:
        """Close what a child must not inherit. Nobody is inside a call, and none begins before the fork."""

    def after_fork(self) -> None:
        """Called in the child, once, before anything else: make new locks, and forget whatever is still open.

        Connections that are open here were in use, and are not closed: that would break the parent's.
        """
