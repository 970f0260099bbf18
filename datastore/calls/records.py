"""Calls on one key that read, store or remove its record as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from datastore.arguments import as_text, check_name, check_text, shown
from datastore.backend import Delete, Fields
from datastore.errors import ConflictError, KeyExistsError
from datastore.ids import encode_key, new_key
from datastore.scope import Bound, Scope, scope_of
from datastore.values import check_metadata

if TYPE_CHECKING:
    from datastore.record import Record

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", list[Any], dict[str, Any])
"""For a default such as ``[]`` or ``{}``: a type checker does not know the type of its elements."""

_VALUE = Fields.VALUE  # looking up the member each time would make `get` measurably slower


class RecordCalls(Bound):
    """Reads, stores and removes one record."""

    __slots__ = ()

    @overload
    def get(self, key: str) -> Any: ...

    @overload
    def get(self, key: str, default: C) -> Any | C: ...

    @overload
    def get(self, key: str, default: D) -> Any | D: ...

    @overload
    def get(self, key: str, default: None = None, *, type: type[T]) -> T | None: ...

    @overload
    def get(self, key: str, default: C, *, type: type[T]) -> T | C: ...

    @overload
    def get(self, key: str, default: D, *, type: type[T]) -> T | D: ...

    def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        """Return the value under a key, and count an access.

        Args:
            key: The key.
            default: Returned only if there is no record; a stored ``None`` comes back as ``None``, whatever the
                default.
            type: What to make of the value: a Pydantic model, a dataclass, a ``TypedDict`` (before Python 3.12 that of
                ``typing_extensions``), or anything else that Pydantic validates, such as ``list[Plan]``. The value is
                validated as JSON, so a date in text becomes a ``datetime`` where the type has one. ``None`` leaves the
                value as it is.

        Returns:
            The value, as a copy, or the default, which is not validated.

        Raises:
            InvalidValueError: If the value does not fit ``type``; the message names the key and the path and does not
                quote the value, and no access is counted. If ``type`` is not a type, before any I/O.

        Requests: 1, hit or miss.
        """
        scope = scope_of(self)
        if type is not None:
            return _get_as(scope, key, default, scope.fitting(type))
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
        from datastore.record import to_record  # imported here, because importing Pydantic takes long

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

    def create(
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


def _get_as(scope: Scope, key: str, default: Any, fit: Callable[[str, Any], Any]) -> Any:
    document = scope.fetch(key, _VALUE)
    if document is None:
        return default
    value = fit(as_text(key), document.value)
    scope.core.tracker.note(document, scope.agent)
    return value


def _revision(if_revision: str) -> str:
    return check_text(if_revision, "if_revision", "give the str that set() returned")


def _conflict(scope: Scope, key: str, expected: str | None, revision: str | None) -> ConflictError:
    state = "there is no live record" if revision is None else f"the record is at revision {revision!r}"
    return ConflictError(f"{state}, not at {shown(expected)}; read it again and decide", revision=revision).during(
        f"writing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name
    )
