"""What an agent holds: the calls of the store, bound to one user, one agent and one namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self

from datastore import batching, listing
from datastore.arguments import as_text, check_name, check_text, shown
from datastore.backend import Delete, Fields
from datastore.changeable import Changeable
from datastore.errors import ConflictError, KeyExistsError, NotPicklableError
from datastore.ids import encode_key, new_key
from datastore.listing import Page
from datastore.queryable import Queryable
from datastore.scope import Scope, bind, bounded, scope_of
from datastore.values import check_metadata

if TYPE_CHECKING:
    from datastore.interfaces.key_value import KeyValueStore
    from datastore.interfaces.vault import Vault
    from datastore.record import Record

_VALUE = Fields.VALUE  # looking up a member of an enumeration shows in the time of `get`


class AgentDataStore(Changeable, Queryable):
    """A store for one agent of one user, in one namespace. Made by `DataStore.agent` and `use_namespace`.

    Keys are text of 1 to 512 bytes of UTF-8. Values are anything JSON up to 1,000,000 bytes of UTF-8; what comes back
    is a copy and equals what went in, type for type. Safe to share between threads.

    Every call can raise `InvalidNameError` before any I/O, for a key, prefix or namespace that is not valid. After that
    it can raise `BackendUnavailableError`, `ThrottledError`, `BackendUnusableError`, `PermissionDeniedError`,
    `DamagedRecordError`, `DeadlineExceededError`, `InternalError` or `ClosedError`. The errors named at a call come in
    addition. Requests are those of the backend's client in steady state; on SQLite each is one statement. Transient
    failures are retried for `connect`'s ``retry_seconds``.
    """

    __slots__ = ()

    def __new__(cls, scope: Scope) -> Self:
        """Bind a new object. There is no ``__init__``, which could be called again and bind it to another scope."""
        self = super().__new__(cls)
        bind(self, scope)
        return self

    @property
    def user_id(self) -> str:
        """The user whose data this is."""
        return scope_of(self).user_id

    @property
    def agent(self) -> str:
        """The name that provenance shows for what this object does."""
        return scope_of(self).agent

    @property
    def namespace(self) -> str:
        """The namespace of the keys."""
        return scope_of(self).namespace

    # ------------------------------------------------------------------------------------------------ one record

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value under a key, and count an access.

        Args:
            key: The key.
            default: Returned only if there is no record; a stored ``None`` comes back as ``None``, whatever the
                default.

        Returns:
            The value, as a copy, or the default.

        Requests: 1, hit or miss.
        """
        scope = scope_of(self)
        core = scope.core
        document = core.read_one(scope.prefix + encode_key(key), _VALUE)
        if document is None:
            return default
        core.tracker.note(document, scope.agent)
        return document.value

    def get_record(self, key: str) -> Record | None:
        """Return the record with metadata and provenance, or ``None``. Looking is not an access.

        The access fields include what this process has counted and not yet written.

        Returns:
            A `Record`, or ``None`` if there is none.

        Requests: 1.
        """
        from datastore.record import to_record  # here, because Pydantic takes longer to import than all the rest

        scope = scope_of(self)
        document = scope.core.read_whole(scope.prefix + encode_key(key))
        return None if document is None else to_record(document)

    def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_revision: str | None = None,
    ) -> str:
        """Store a value under a key, whether or not there is a record.

        An existing record keeps when and by whom it was created and how often it was accessed. The last writer wins,
        and no plain ``set`` fails because of another one.

        Args:
            key: The key.
            value: Anything JSON.
            metadata: Merged into the record's, at the top level; a key given as ``None`` is removed. Up to 16,000
                bytes.
            ttl: Seconds, or a `timedelta`, until the record expires; ``None`` for never (an earlier expiry is cleared).
            if_revision: Store only if there is a record and it is at this revision.

        Returns:
            The new revision.

        Raises:
            InvalidValueError: If something is not JSON; the message names the path.
            ValueTooLargeError: If value or metadata is too large.
            ConflictError: If the record is not at ``if_revision``; holds the current revision.

        Requests: 1. For an existing record that this process has not seen, CouchDB 3 and Firestore 2; DynamoDB 2 if
        there is metadata.
        """
        scope = scope_of(self)
        put = scope.put(key, value, scope.moment(ttl), check_metadata(metadata))
        if if_revision is not None:
            put = put._replace(if_revision=_revision(if_revision))
        outcome = scope.core.write_one(put)
        if not outcome.done:
            raise _conflict(scope, put.key, put.if_revision, outcome.revision)
        return put.revision

    def add(
        self, key: str, value: Any, metadata: dict[str, Any] | None = None, *, ttl: float | timedelta | None = None
    ) -> str:
        """Store a value under a key, but only if there is no record.

        Args:
            key: The key.
            value: Anything JSON.
            metadata: What to keep with it: an object of up to 16,000 bytes.
            ttl: Seconds, or a `timedelta`, until the record expires; ``None`` for never.

        Returns:
            The new revision.

        Raises:
            KeyExistsError: If there is a live record: somebody else was first.
            InvalidValueError: If something is not JSON; the message names the path.
            ValueTooLargeError: If value or metadata is too large.

        Requests: 1.
        """
        scope = scope_of(self)
        put = scope.put(key, value, scope.moment(ttl), check_metadata(metadata), if_absent=True)
        if not scope.core.write_one(put).done:
            raise KeyExistsError("there is a record already; use set() to overwrite it").during(
                f"adding {put.key!r} to namespace {scope.namespace!r}", scope.core.backend.name
            )
        return put.revision

    def put_new(
        self,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        prefix: str = "",
        ttl: float | timedelta | None = None,
    ) -> str:
        """Store a value under a new key that nobody can guess.

        Args:
            value: Anything JSON.
            metadata: What to keep with it: an object of up to 16,000 bytes.
            prefix: What the key begins with.
            ttl: Seconds, or a `timedelta`, until the record expires; ``None`` for never.

        Returns:
            The key: the prefix and 128 random bits as 22 URL-safe characters (RFC 4648, section 5).

        Raises:
            InvalidValueError: If something is not JSON; the message names the path.
            ValueTooLargeError: If value or metadata is too large.

        Requests: 1.
        """
        key = new_key(check_name(prefix, "prefix"))
        self.add(key, value, metadata, ttl=ttl)
        return key

    def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Remove a record.

        Args:
            key: The key.
            if_revision: Remove only if the record is at this revision.

        Returns:
            Whether there was a record.

        Raises:
            ConflictError: If there is a record and it is not at ``if_revision``; holds the current revision.

        Requests: 1, on CouchDB 2.
        """
        scope = scope_of(self)
        delete = Delete(scope.prefix + encode_key(key), scope.core.now())
        if if_revision is not None:
            delete = delete._replace(if_revision=_revision(if_revision))
        outcome = scope.core.write_one(delete)
        if not outcome.done and outcome.revision is not None:
            raise _conflict(scope, as_text(key), delete.if_revision, outcome.revision)
        return outcome.done

    def exists(self, key: str) -> bool:
        """Return whether there is a record, as ``key in data_store`` does. No access is counted.

        Requests: 1.
        """
        return scope_of(self).fetch(key, Fields.KEY) is not None

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    # ------------------------------------------------------------------------------------------------ many records

    @bounded
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values under several keys, and count an access for each.

        Returns:
            The values by key, in the order asked; missing keys are left out, and a key given twice is there once.

        Requests: 1 per 1,000 keys (DynamoDB 100, Firestore 500).
        """
        scope = scope_of(self)
        values, documents = batching.get_many(scope, keys)
        scope.core.tracker.note_all(documents, scope.agent)
        return values

    @bounded
    def set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Store several values, each as `set` does. As a whole the call is not atomic.

        Everything is checked first: if one item is wrong, nothing is stored.

        Args:
            items: The values by key, or pairs of key and value (if a key is given twice, the last one counts).
            metadata: Merged into the metadata of each record.
            ttl: Seconds, or a `timedelta`, until the records expire; ``None`` for never.

        Returns:
            How many records were stored: all of them.

        Raises:
            InvalidValueError: If something is not JSON; the message names the path, and nothing was stored.
            ValueTooLargeError: If a value or the metadata is too large; nothing was stored.
            BatchError: If some records failed; holds an outcome for each key, and the others are stored.

        Requests: 1 per 1,000 items (DynamoDB 100, Firestore 500); on SQLite one transaction for as many, with a
        statement for each item.
        """
        return batching.set_many(scope_of(self), items, metadata, ttl)

    @bounded
    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several records.

        Returns:
            How many of them existed.

        Raises:
            BatchError: If some could not be removed; holds an outcome for each key, and the others are removed.

        Requests: as ``set_many``.
        """
        return batching.delete_many(scope_of(self), keys)

    @bounded
    def get_all(self) -> dict[str, Any]:
        """Return every value of the namespace, and count an access for each.

        All of them are in memory at once; `iter_records` needs less.

        Returns:
            The values by key, sorted by key; complete, however many there are.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        found = list(listing.documents(scope, None, Fields.VALUE))
        scope.core.tracker.note_all((document for _, document in found), scope.agent)
        return {key: document.value for key, document in sorted(found, key=lambda pair: pair[0])}

    @bounded
    def clear(self, prefix: str | None = None) -> int:
        """Remove every record of the namespace, or those whose key begins with a prefix.

        Returns:
            How many there were.

        Requests: those of listing the keys and of deleting them; on SQLite 2 in one transaction for the whole
        namespace, and for a prefix whose UTF-8 is a multiple of 3 bytes long.
        """
        return listing.clear(scope_of(self), prefix)

    # -------------------------------------------------------------------------------------------------- listings

    @bounded
    def list_keys(self, prefix: str | None = None) -> list[str]:
        """Return the keys of the namespace, or those that begin with a prefix.

        Returns:
            The keys, sorted by code point; complete, however many there are.

        Requests: 1 per page of the database.
        """
        return sorted(key for key, _ in listing.documents(scope_of(self), prefix, Fields.KEY))

    @bounded
    def list_namespaces(self, prefix: str | None = None) -> list[str]:
        """Return the user's namespaces that hold a record, or those of them that begin with a prefix.

        Returns:
            The namespaces, sorted by code point.

        Requests: SQLite 1, CouchDB 2; on others 1 more than there are namespaces.
        """
        return listing.namespaces(scope_of(self), prefix)

    @bounded
    def scan(self, prefix: str | None = None, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """Return records page by page, with metadata and provenance, in the order of ids. No access is counted.

        That order is stable, but it is not the order of the keys.

        Args:
            prefix: Only keys that begin with it.
            limit: The most records to return; ``None`` for all that are left.
            cursor: Where to go on: what the page before returned, for the same user, namespace and prefix.

        Returns:
            ``Page(records, cursor)``, which is a pair; the cursor is ``None`` at the end.

        Raises:
            QueryError: If ``limit`` is below 1 or ``cursor`` comes from another listing.

        Requests: 1 per page of the database.
        """
        return listing.page(scope_of(self), prefix, limit, cursor)

    def iter_records(self, prefix: str | None = None) -> Iterator[Record]:
        """Yield the records that `scan` returns, with memory for one page of the database at a time.

        Requests: 1 per page of the database.
        """
        return listing.records(scope_of(self), prefix)

    def use_namespace(self, namespace: str) -> Self:
        """Return a store for the same user and agent in another namespace. This one is unchanged.

        Requests: 0.
        """
        scope = scope_of(self)
        return type(self)(Scope(scope.core, scope.user_id, scope.agent, namespace))

    # -------------------------------------------------------------------------------------------- other interfaces

    @property
    def vault(self) -> Vault:
        """The same user's data as documents in collections: a `Vault`."""
        from datastore.interfaces.vault import Vault  # here, because few need it

        return Vault(self, scope_of(self).core.backend.name)

    @property
    def key_value(self) -> KeyValueStore:
        """A `KeyValueStore` in this namespace; call it with ``scopes={"run": ...}`` to bind scopes."""
        from datastore.interfaces.key_value import KeyValueStore  # here, because few need it

        return KeyValueStore(self)

    # -------------------------------------------------------------------------------------------------- manners

    def __repr__(self) -> str:
        return f"AgentDataStore(user_id={self.user_id!r}, agent={self.agent!r}, namespace={self.namespace!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("AgentDataStore", "connect and bind one in the other process")


def _revision(if_revision: str) -> str:
    return check_text(if_revision, "if_revision", "give the str that set() returned")


def _conflict(scope: Scope, key: str, expected: str | None, revision: str | None) -> ConflictError:
    state = "there is no live record" if revision is None else f"the record is at revision {revision!r}"
    return ConflictError(f"{state}, not at {shown(expected)}; read it again and decide", revision=revision).during(
        f"writing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name
    )
