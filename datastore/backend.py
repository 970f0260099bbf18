"""The contract between the store and a database: five methods, plain data in and out, no I/O here.

An adapter subclasses `Backend` and moves documents to and from its database in the fewest requests that the database
allows. The layers above decide what a call *means*: they check names, keys and values, build ids, hide expired records,
cut batches to size, retry transient errors and count accesses. So an adapter never looks into a value, never reads a
clock (every write carries its time), and raises only the errors of `datastore.errors`.

All data here is immutable by agreement: neither side changes what it was given. Every method may be called from many
threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, get_args, overload

from datastore.errors import DamagedRecordError, DataStoreError, UnsupportedError
from datastore.fences import Fence
from datastore.frozen import NamedTuple, dataclass, replace
from datastore.ids import EVERYTHING, IdRange

if TYPE_CHECKING:
    from datastore.administration import Diagnostic
    from datastore.places import Place
    from datastore.queries.shaping import Sort
    from datastore.queries.tree import Path, Query

__all__ = [
    "ABILITIES",
    "Ability",
    "Access",
    "Backend",
    "Capabilities",
    "Delete",
    "Document",
    "DocumentPage",
    "Fence",
    "Fields",
    "Forgotten",
    "IdRange",
    "NamespaceStats",
    "Outcome",
    "Plan",
    "Put",
    "Query",
    "Restore",
    "Touch",
    "Write",
]


if not TYPE_CHECKING:  # a type checker that saw it would accept every name

    def __getattr__(name: str) -> Any:
        """Import `Query` when somebody asks for it: a program that only gets and sets starts faster without."""
        if name == "Query":
            from datastore.queries.tree import Query

            return Query
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Fields(IntEnum):
    """How much of a document a read must fill in; each level includes those before it, up to ``ALL``.

    More is allowed, and ignored.
    """

    KEY = 0
    """``id`` and ``expires_at``: enough to list, count and delete."""
    VALUE = 1
    """As ``KEY``, and ``created_at``, ``revision`` and ``value``."""
    ALL = 2
    """Everything."""
    CONTENT = 3
    """As ``VALUE``; of a document that was written with a ``Put.content``, the member ``data`` of the value is these
    bytes instead of their base64. Only for adapters that declare ``Capabilities.content``."""
    ENTRY = 4
    """``id``, ``created_at``, ``expires_at``, ``value``, ``metadata`` and ``created_by_agent``: what an entry of a log
    is made of. Only for adapters that declare ``Capabilities.entries``; the others are asked for ``ALL``."""
    BARE_VALUE = 5
    """``id``, ``created_at``, ``expires_at`` and ``value``: what `get` takes. Only for adapters that declare
    ``Capabilities.bare_values``; the others are asked for ``VALUE``."""


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
    """Empty if the host wrote it and no agent; so may ``updated_by_agent`` be."""
    updated_at: str = ""
    access_count: int = 0
    last_accessed_by_agent: str | None = None
    last_accessed_at: str | None = None
    updated_by_agent: str | None = None
    """``None`` if a version wrote it that did not note it."""


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
    """The same value as compact JSON text, for all other databases."""
    metadata: dict[str, Any] | None
    """Changes to the metadata; ``None`` for no change. It was checked, but only the merged metadata shows whether it is
    small enough."""
    agent: str
    """Becomes ``updated_by_agent``, and ``created_by_agent`` of a new document; empty for the host."""
    at: str
    """Now: becomes ``updated_at``, and ``created_at`` of a new document."""
    revision: str
    """The new revision, chosen by the store."""
    expires_at: str | None
    if_absent: bool = False
    """Write only if there is no live document."""
    if_revision: str | None = None
    """Write only if there is a live document at this revision."""
    keep_expiry: bool = False
    """Over a live document its expiry stays as it is; ``expires_at`` is for a new document."""
    fence: Fence | None = None
    """The lease under which it writes (`datastore.fences`). If the document, live or expired, remembers a higher number
    of that lease, nothing is written, and the outcome has the error `datastore.fences.lease_lost`. Otherwise it
    remembers this one (`datastore.fences.fences_after`). Any other write leaves what is remembered as it is."""
    vector: bytes | None = None
    """A vector of float32, little-endian, by which `Backend.nearest` is to find the document; the value has it, too.
    Only adapters that have that method look at it."""
    content: bytes | None = None
    """Bytes that belong to the value, an object: what is read of it has them in base64 as the member ``data``. Only for
    adapters that declare ``Capabilities.content``; `datastore.contents` says the same for all others."""

    @property
    def size(self) -> int:
        """How many bytes of UTF-8 the value takes as compact JSON, its content included."""
        size = len(self.json) if self.json.isascii() else len(self.json.encode())
        return size if self.content is None else size + len('"data":"",') + -(-len(self.content) // 3) * 4


class Delete(NamedTuple):
    """Remove one document, live or expired."""

    id: str
    at: str
    """The time of the call, which decides whether the removed document counts as live."""
    if_revision: str | None = None
    """Remove only if there is a live document at this revision."""
    only_own: bool = False
    """Leave a document of another program: one without a revision (`datastore.documents.foreign`)."""
    certain: bool = False
    """Be ``done`` only if this write has surely removed the document, and not perhaps another one. If that cannot be
    told, because an answer was lost, the error is an `OutcomeUnknownError`. It is given with ``if_revision``."""
    seen: str | None = None
    """The ``created_at`` of the document, if the same call has seen it since ``at``. If an answer was lost, a document
    that was created at another time is then known to be a later one, whatever the clocks show."""
    fence: Fence | None = None
    """As for a `Put`. A live document is then not removed, for what it remembers would be gone with it: a document of
    the same id takes its place, whose value is null, and which has expired at `datastore.fences.GONE`."""


class Touch(NamedTuple):
    """Move the expiry of one live document, and change nothing else: neither value, nor revision, nor ``updated_at``.

    If there is no live document it is not ``done``. It may be repeated: a document that was created since its answer
    was lost should be left alone, where the database can tell.
    """

    id: str
    at: str
    """The time of the call, which decides whether the document is live."""
    expires_at: str | None
    """The new expiry; ``None`` for never."""
    seen: str | None = None
    """As for a `Delete`."""
    fence: Fence | None = None
    """As for a `Put`."""


Write: TypeAlias = Put | Delete | Touch


class Restore(NamedTuple):
    """Write one whole document as it is in another store: with its own times, counts, agents, revision and expiry.

    Only moving and mending do this, never a call of an agent. A document that is live at ``at`` is replaced only if it
    is at ``if_revision``. An expired one counts as missing.
    """

    document: Document
    """With all fields; it is not expired at ``at``."""
    user_id: str
    namespace: str
    key: str
    json: str
    """The document's value as compact JSON text (`datastore.values.encode`)."""
    at: str
    """Now."""
    if_revision: str | None = None
    """The revision of the live document to replace; ``None``: there must be no live document."""

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id


class Outcome(NamedTuple):
    """The result of one `Write` or `Restore`."""

    done: bool
    """A `Put` or a `Restore` was stored; a `Delete` removed a live document; a `Touch` found one."""
    revision: str | None = None
    """If a precondition failed: the revision of the live document, or ``None`` if there is none."""
    error: DataStoreError | None = None
    """Why this write failed; others of its batch may be done. If the error is ``retryable`` it is sent again."""


DONE = Outcome(True)
"""The result of nearly every write. There is one object for all of them, because making it shows in the time of
`set`."""


class Forgotten(NamedTuple):
    """What `datastore.DataStore.forget` removed."""

    records: int
    """Live records."""
    expired: int
    """Expired records that were still stored."""


class NamespaceStats(NamedTuple):
    """How much a namespace holds (`datastore.AgentDataStore.namespace_stats`)."""

    namespace: str
    records: int
    bytes: int
    """The JSON text of the values, in bytes of UTF-8."""
    agents: tuple[str, ...]
    """Which agents created records or changed them last, sorted."""
    updated_at: datetime
    """When a value or metadata changed last."""


class BareDocuments(Sequence[Document]):
    """Documents of which nothing but the id and the expiry is known, as `Fields.KEY` allows.

    Each is made when it is asked for: a listing of keys needs the ids alone, and making documents takes longer than
    reading them.

    Args:
        ids: Their ids.
        expiries: When each of them expires; ``None`` if no one does.
    """

    __slots__ = ("expiries", "ids")

    def __init__(self, ids: Sequence[str], expiries: Sequence[str | None] | None = None) -> None:
        self.ids = ids
        self.expiries = expiries

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Document: ...

    @overload
    def __getitem__(self, place: slice) -> BareDocuments: ...

    def __getitem__(self, place: int | slice) -> Document | BareDocuments:
        if isinstance(place, slice):
            return BareDocuments(self.ids[place], None if self.expiries is None else self.expiries[place])
        return Document(self.ids[place], "", "", None if self.expiries is None else self.expiries[place])

    def __iter__(self) -> Iterator[Document]:
        return map(Document, self.ids, repeat(""), repeat(""), repeat(None) if self.expiries is None else self.expiries)

    def __repr__(self) -> str:
        return f"BareDocuments({self.ids!r}, {self.expiries!r})"


class EntryDocuments(Sequence[Document]):
    """Documents of which as much is known as `Fields.ENTRY` asks for, column by column.

    Each is made when it is asked for: what makes entries of a log takes the columns, and making documents of them first
    takes as long as that.

    Args:
        columns: The ids, the times of creation, who created them, the expiries, and the values.
        metadata: Their metadata; ``None`` if no one has any.
    """

    __slots__ = ("columns", "metadata")

    def __init__(self, columns: Sequence[Sequence[Any]], metadata: Sequence[dict[str, Any]] | None) -> None:
        self.columns = columns
        self.metadata = metadata

    @property
    def can_expire(self) -> bool:
        """Whether any of them has an expiry."""
        return self.columns[3].count(None) != len(self)

    def __len__(self) -> int:
        return len(self.columns[0])

    @overload
    def __getitem__(self, place: int) -> Document: ...

    @overload
    def __getitem__(self, place: slice) -> EntryDocuments: ...

    def __getitem__(self, place: int | slice) -> Document | EntryDocuments:
        found: list[Any] = [column[place] for column in self.columns]
        if isinstance(place, slice):
            return EntryDocuments(found, None if self.metadata is None else self.metadata[place])
        id, created_at, creator, expires_at, value = found
        metadata = {} if self.metadata is None else self.metadata[place]
        return _entry_document(id, created_at, creator, expires_at, value, metadata)

    def __iter__(self) -> Iterator[Document]:
        metadata = ({} for _ in self.columns[0]) if self.metadata is None else self.metadata
        return map(_entry_document, *self.columns, metadata)

    def __repr__(self) -> str:
        return f"EntryDocuments({self.columns!r}, {self.metadata!r})"


def _entry_document(
    id: str, created_at: str, created_by_agent: str, expires_at: str | None, value: Any, metadata: dict[str, Any]
) -> Document:
    return Document(id, created_at, "", expires_at, value, metadata, created_by_agent)


class DocumentPage(NamedTuple):
    """Some documents of a range, in the order asked for."""

    documents: Sequence[Document]
    """A list, `BareDocuments`, or `EntryDocuments`."""
    after: str | None
    """The ``after`` of the next call; ``None`` at the end. A page before the end may be empty."""
    damaged: Sequence[DamagedRecordError] = ()
    """One for each stored thing in the range that cannot be decoded, in any order (`datastore.documents.split`)."""


class Access(NamedTuple):
    """Accesses to one document, coalesced."""

    id: str
    created_at: str
    """When the document that was read was created. One created at another time is another document."""
    number: int
    """How many there were."""
    agent: str
    at: str
    """When the last of them took place, by ``agent``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a database answers a query.

    It finds a superset of the matching documents. The store checks ``residual`` on each of them.
    """

    pushed: Query
    """The clauses that narrow what the database finds, whether it decides them exactly or not."""
    residual: Query
    """The clauses to check on every document found; empty if the database decides everything."""
    native: Any
    """What the adapter asks its database; plain data or text, for people to read in `explain`."""
    index: str | None = None
    """The name of the index that is used; ``None`` for the ids themselves."""
    in_order: bool = True
    """Documents come in id order, or in the opposite one where that is asked for."""
    reversible: bool = True
    """The opposite order may be asked for. Where not, the store asks for id order, and sorts what it is given."""


Ability: TypeAlias = Literal[
    "namespaces",
    "users",
    "namespace_stats",
    "count",
    "clear",
    "forget",
    "find",
    "ensure_index",
    "nearest",
    "ensure_vectors",
    "purge",
    "all_documents",
    "restore",
    "drop",
    "database",
    "tenants",
    "drop_tenant",
    "read_at_once",
]


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
    """How many of its last writes a record remembers (`datastore.adapters.remembering`). A write that is repeated
    because its answer was lost recognises itself, even after one write less than this number by others. This is for
    databases whose answers can be lost: they must remember at least 8, and the toolkit keeps 16."""
    parsed_values: bool = False
    """Values and metadata that are read were returned by `datastore.values.decode`. Such a value holds nothing that is
    not JSON, so moving checks only its size and its depth. Leave it out where a database has values of its own types,
    which can be anything in documents of other programs."""
    flush_interval: float = 1.0
    """Seconds between two writes of the access counts, if the host does not choose. Longer where writes are billed."""
    max_pending: int = 1_000
    """Records with unwritten counts at which these are written earlier, if the host does not choose."""
    reads_worth_a_write: int = 1
    """How many accesses of a record are worth a write of its count. While there are fewer, they wait for a later flush,
    for ten intervals at most; not if the host chooses the interval. More than 1 where writes are billed."""
    content: bool = False
    """The database holds bytes as they are: a write may have a `Put.content`, and `Backend.read` takes
    `Fields.CONTENT`. Others hold them in base64, as text within the value."""
    entries: bool = False
    """`Backend.scan` takes `Fields.ENTRY`, in less time than `Fields.ALL`. Leave it out where it makes no difference:
    where a request takes longer than the making of a document."""
    bare_values: bool = False
    """`Backend.read` takes `Fields.BARE_VALUE`, in less time than `Fields.VALUE`. Leave it out where it makes no
    difference, as `entries`."""
    nearest_at_once: int = 0
    """The most ids that one `Backend.nearest` returns."""
    tenant_databases: bool = False
    """``isolation="database"`` gives each tenant a database of its own (`datastore.tenants`)."""
    abilities: frozenset[Ability] = frozenset()
    """The optional methods of `Backend` that the adapter has. They are filled in if the capabilities are an attribute
    of the class; an adapter that makes them in the instance passes `Backend.overridden`."""

    def supports(self, ability: Ability) -> bool:
        """Return whether an optional method of `Backend` is there."""
        return ability in self.abilities


class WouldWaitError(Exception):
    """`Backend.read_at_once` would have to wait, or has met something unusual."""


class Backend(ABC):
    """One database. Construction connects and creates what is missing (database, table, index), idempotently."""

    name: str
    """What errors and reports call the database, such as ``"sqlite"``."""
    capabilities: Capabilities

    @abstractmethod
    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """Return the documents that exist, by id, in any order; expired ones may be left out or included.

        ``ids`` holds no duplicates and at most ``capabilities.read_batch``. Sees every write that was acknowledged
        before. If the database cannot answer, this raises; "missing" is never a guess. A stored document that cannot be
        decoded raises `DamagedRecordError` with its id (`datastore.documents.decoded`).
        """

    @abstractmethod
    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes to distinct ids and return an outcome for each, in order.

        Each write is atomic together with its precondition: of two that race, one sees the other's result. The batch as
        a whole need not be atomic. A `Put` without a precondition never fails because of a concurrent writer.

        If an answer was lost, the store sends the same write again. Writing the same `Put` twice must be
        harmless, even if others wrote the record in between (``capabilities.remembered_writes``). If answers can get
        lost, a repeated `Delete` should still be ``done``. What an adapter saw earlier may shape a request, but never
        decides an outcome. Raises if the outcome is not known for any of the writes.
        """

    @abstractmethod
    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """Return up to ``limit`` documents of a range in id order, those that follow ``after`` where it is given.

        ``reverse`` is for the opposite order, from the end of the range on. Nothing outside the range is read, and no
        more than a document or two beyond ``limit``.

        Ids of one namespace are ordered by their bytes (they differ in ASCII only), which is the order of their keys.
        Namespaces may be in whichever order the database has for text, so long as it is always the same and each is in
        one piece.

        A page may be shorter than ``limit`` (databases cut pages by size) and still not be the last. A document that
        exists during the whole of a paged scan is in it exactly once. Expired ones may be left out or included.
        """

    @abstractmethod
    def record_access(self, accesses: Sequence[Access]) -> None:
        """Add counts and set the last accessing agent and time, and touch nothing else: neither value nor revision.

        Skips documents that are gone or were created at another time, and never creates one. ``last_accessed_at``
        never goes back. After an error the caller tries again, together with newer accesses. So raise only if nothing
        was counted, or if the next call recognises what was counted.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    # The methods below are optional. One that an adapter does not have raises `UnsupportedError`; where it can, the
    # store then uses other methods and more requests.

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """Return the id prefixes (``<user>:<ns>:``) within a range that hold a document live at ``at``.

        For a database that lists a user's namespaces in fewer requests than skipping from range to range takes.
        """
        self._unsupported("listing namespaces")

    def read_at_once(self, id: str, most: int) -> Document | None:
        """Return the document under an id, as `read` does with `Fields.VALUE`, without waiting for anybody.

        For a database in this process, on the thread of an event loop: it waits for no lock and no connection, repeats
        nothing, and reads no more than one small document.

        Args:
            id: The id.
            most: The largest value that is read, in bytes of its JSON.

        Raises:
            WouldWaitError: If it would have to wait, the value is larger, or anything is unusual. `read` says what.
        """
        self._unsupported("reading without waiting")

    def users(self, limit: int, after: str | None = None) -> list[str]:
        """Return up to ``limit`` encoded user ids that have documents, perhaps only expired ones, each once.

        For a database in which no range holds the ids of several users: the store asks all others with `scan` from
        user to user. The order is the database's own, and always the same.

        Args:
            limit: The most user ids. Fewer than that means that there are no more.
            after: The last user id of the call before.
        """
        self._unsupported("listing users")

    def namespace_stats(self, range: IdRange, at: str) -> list[NamespaceStats]:
        """Return how much each namespace holds of which documents within a range are live at ``at``.

        For a database that sums up without handing over the documents.
        """
        self._unsupported("summing up namespaces")

    def count(self, range: IdRange, at: str) -> int:
        """Return how many documents of a range are live at ``at``, without handing over every id."""
        self._unsupported("counting a range")

    def clear(self, range: IdRange, at: str) -> int:
        """Remove every document of a range and return how many of them were live at ``at``."""
        self._unsupported("clearing a range")

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """Remove everything in the range of a user's ids, even what no listing shows, and return how much that was.

        That is every document in every namespace, live or expired at ``at``, readable or not, and all parts of values,
        including those of interrupted writes. If it is repeated because an answer was lost, it counts nothing twice.
        """
        self._unsupported("forgetting a user")

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """Return how to answer a query, or ``None`` if nothing of it can be pushed down.

        Sends no request, except perhaps one to learn which indexes exist. What is pushed down must not leave out any
        matching document, whatever form its value is stored in. See `datastore.queries.tree` for the meaning of each
        node.
        """
        return None

    def find_few(self, range: IdRange, query: Query, fields: Fields, limit: int) -> Sequence[Document] | None:
        """Return the documents of a range that match a query, in id order, if they are few and that takes one step.

        It makes no difference but to the time: planning takes longer than looking up a few documents in this process,
        and on a server it takes time to see that a page of many documents is not too large. The store asks for it where
        a query has an outline, and plans if the answer is ``None``, as it is here. A server should be asked only where
        few are likely.

        Args:
            range: The ids.
            query: What is asked; it has an outline (`datastore.queries.outlines`).
            fields: How much of each document is needed.
            limit: The most documents to return.

        Returns:
            All that match, or the first ``limit`` of them; expired ones may be among them. ``None`` if there are many,
            if the database does not decide the query alone, or if anything is wrong with a document.
        """
        return None

    def find_first(
        self,
        range: IdRange,
        query: Query,
        sort: Sort,
        fields: Fields,
        number: int,
        at: str,
        after: Place | None = None,
    ) -> DocumentPage | None:
        """Return the documents of a range that come first, in an order, of those that match a query and are live.

        It makes no difference but to how much is handed over: without it the store asks for all that match, and sorts
        them. It sorts these as well, so they may come in any order, and others may be among them: those of which the
        database cannot tell the place.

        Args:
            range: The ids.
            query: What is asked.
            sort: The order, as `datastore.queries.ordering.sort_key` has it. Equals are in the order of ids.
            fields: How much of each document is needed.
            number: How many documents, at most ``capabilities.scan_page``.
            at: The time at which they are live.
            after: Only those after this place (`datastore.calls.ordering.place_of`).

        Returns:
            A page without ``after``: that is all. ``None`` if the database does not decide the query and the order, or
            so many documents are too much at once.
        """
        return None

    def find(
        self,
        range: IdRange,
        plan: Plan,
        fields: Fields,
        limit: int,
        after: str | None = None,
        reverse: bool = False,
    ) -> DocumentPage:
        """Return up to ``limit`` documents of a range that a `plan` finds, as `scan` does.

        ``after`` is what the previous page returned; its form is up to the adapter. ``expires_at`` is filled in even
        for `Fields.KEY`. If the plan is not ``in_order``, documents may come in any order. ``reverse`` is only set for
        a plan that is ``in_order`` and ``reversible``.
        """
        self._unsupported("looking into values")

    def ensure_index(self, fields: Sequence[Path], encoded_namespace: str | None) -> str:
        """Create an index on fields of the values, unless it is there, and return its name.

        The namespace is encoded as in ids; ``None`` means all. Returns when the index can be used.
        """
        self._unsupported("declaring an index")

    def nearest(self, range: IdRange, vector: bytes, number: int, metric: str) -> list[str] | None:
        """Return the ids of the documents of a range whose `Put.vector` is nearest, or ``None`` if no index can say it.

        This may be approximate, what was written in the last minute may be missing, and a document that was written
        again without a vector may be found by the one before. The store reads the documents and compares them itself.

        Args:
            range: The vectors of one namespace.
            vector: As `Put.vector`.
            number: The most ids, up to ``capabilities.nearest_at_once``. Fewer are returned only if there are no more.
            metric: One of `datastore.memory.items.Metric`.
        """
        self._unsupported("searching vectors")

    def ensure_vectors(self, range: IdRange, dimensions: int) -> str:
        """Create the index that `nearest` needs for vectors of so many dimensions, unless it is there; return its name.

        The range is that of a namespace, or everything: in one database an index is for all of them. Returns when the
        index can be used.

        Raises:
            UnsupportedError: If there can be none of so many dimensions, or the client or the table is of a kind that
                has none.
        """
        self._unsupported("an index of vectors")

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """Remove every document of a range that is expired at ``at``, and return how many there were.

        The range is everything, or all ids of one user, or of some of the namespaces of one.
        """
        self._unsupported("purging expired documents")

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """Return up to ``limit`` documents of all users, those that follow ``after`` where it is given.

        The order is the database's own, and always the same; everything else is as in `scan`. ``after`` is the id of
        any document that an earlier call returned, even of one that was deleted since. Anything in the database that is
        not a document of the store is left out.
        """
        self._unsupported("listing the documents of all users")

    def document_count(self) -> int | None:
        """Return about how many documents there are, live or not; ``None`` if counting means reading all of them."""
        return None

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """Write whole documents, with distinct ids and at most ``capabilities.write_batch``; an outcome for each.

        Each is atomic together with its precondition. What is read afterwards equals what was written, field for field.
        Repeating the same `Restore` after a lost answer is harmless: the outcome is either ``done``, or has the
        revision that was restored. Raises if the outcome is not known for any of them.
        """
        self._unsupported("writing whole documents")

    def examine(self, now: float) -> list[Diagnostic]:
        """Return what an administrator should know of the database: versions, indexes, clock, space.

        Changes nothing. ``now`` is this machine's time, in seconds since the epoch.
        """
        return []

    def drop(self) -> None:
        """Remove the database, file or table that the URL names, with everything in it, and close.

        For scratch areas, which must leave nothing.
        """
        self._unsupported("removing the database")

    def database(self, user_id: str) -> str:
        """Return the name of a tenant's database, without a request; a tenant is a user id.

        Most adapters get this method and the next two from `datastore.tenants`.

        Raises:
            InvalidNameError: If the user id is too long for one.
        """
        self._unsupported("a database for each tenant")

    def tenants(self) -> list[str]:
        """Return the user ids that have a database, sorted."""
        self._unsupported("a database for each tenant")

    def drop_tenant(self, user_id: str) -> bool:
        """Remove the database of a tenant with everything in it, and return whether there was one."""
        self._unsupported("a database for each tenant")

    def before_fork(self) -> None:  # noqa: B027 - most adapters have nothing to close
        """Close what a forked child must not inherit. No call is running, and none begins before the fork."""

    def after_fork(self) -> None:  # noqa: B027 - most adapters have nothing to forget
        """Make new locks, and forget whatever is still open. Called once in the child, before anything else.

        Do not close connections that are still open here: that would break those of the parent.
        """

    def __init_subclass__(cls, **options: Any) -> None:
        """Fill in which optional methods the class has."""
        super().__init_subclass__(**options)
        declared = getattr(cls, "capabilities", None)
        if isinstance(declared, Capabilities):
            cls.capabilities = replace(declared, abilities=cls.overridden())

    @classmethod
    def overridden(cls) -> frozenset[Ability]:
        """Return which optional methods the class has, for one that makes its capabilities in the instance."""
        return frozenset(name for name in ABILITIES if getattr(cls, name) is not getattr(Backend, name))

    def _unsupported(self, what: str) -> NoReturn:
        raise UnsupportedError(f"this adapter has no way of its own for {what}", backend=self.name)


ABILITIES: tuple[Ability, ...] = get_args(Ability)
"""The optional methods of `Backend` that a database has or has not."""
