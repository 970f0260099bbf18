"""Calls on one key that read, store or remove its record as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from datastore.arguments import as_bool, as_text, check_name, check_text
from datastore.backend import Delete, Document, Fields, Touch
from datastore.errors import ConflictError, conflict, exists
from datastore.ids import encode_key, new_key
from datastore.late import Late
from datastore.retry import Backoff
from datastore.scope import Bound, Moment, Scope, bounded, scope_of
from datastore.values import check_metadata

if TYPE_CHECKING:
    from datastore import record
    from datastore.record import Record
else:
    record = Late("datastore.record")  # importing Pydantic takes long

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C", list[Any], dict[str, Any])
"""For a default such as ``[]`` or ``{}``: a type checker does not know the type of its elements."""

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip
_VALUE = Fields.VALUE


class RecordCalls(Bound):
    """Reads, stores and removes one record."""

    __slots__ = ()

    @overload
    def get(self, key: str, *, touch: float | timedelta | None = None) -> Any: ...

    @overload
    def get(self, key: str, default: C, *, touch: float | timedelta | None = None) -> Any | C: ...

    @overload
    def get(self, key: str, default: D, *, touch: float | timedelta | None = None) -> Any | D: ...

    @overload
    def get(
        self, key: str, default: None = None, *, type: type[T], touch: float | timedelta | None = None
    ) -> T | None: ...

    @overload
    def get(self, key: str, default: C, *, type: type[T], touch: float | timedelta | None = None) -> T | C: ...

    @overload
    def get(self, key: str, default: D, *, type: type[T], touch: float | timedelta | None = None) -> T | D: ...

    def get(self, key: str, default: Any = None, *, type: Any = None, touch: float | timedelta | None = None) -> Any:
        """Return the value under a key, and count an access.

        Args:
            key: The key.
            default: Returned only if there is no record; a stored ``None`` comes back as ``None``, whatever the
                default.
            type: What to make of the value: a Pydantic model, a dataclass, a ``TypedDict`` (before Python 3.12 that of
                ``typing_extensions``), or anything else that Pydantic validates, such as ``list[Plan]``. The value is
                validated as JSON, so a date in text becomes a ``datetime`` where the type has one. ``None`` leaves the
                value as it is.
            touch: Let the record expire this many seconds (or this `timedelta`) from now, as `touch` does.

        Returns:
            The value, as a copy, or the default, which is not validated.

        Raises:
            InvalidValueError: If the value does not fit ``type``; the message names the key and the path and does not
                quote the value, and no access is counted. If ``type`` is not a type, before any I/O.

        Requests: 1, hit or miss; with ``touch`` those of `touch` in addition.
        """
        scope = scope_of(self)
        if type is not None or touch is not None:
            return _get_and(scope, key, default, type, touch)
        core = scope.core
        document = core.read_one(scope.prefix + encode_key(key), core.for_get)
        if document is None:
            return default
        scope.tracker.note(document, scope.agent)
        return document.value

    def get_record(self, key: str, *, count: bool = False) -> Record | None:
        """Return the record with metadata and provenance, or ``None``. Looking is not an access.

        The access fields include what this process has counted and not yet written.

        Args:
            key: The key.
            count: Count an access all the same: this is a read. The record that is returned does not include it.

        Returns:
            A `Record`, or ``None`` if there is none.

        Requests: 1.
        """
        scope = scope_of(self)
        counted = as_bool(count, "count")
        document = scope.core.read_whole(scope.prefix + encode_key(key))
        if document is None:
            return None
        if counted:
            scope.tracker.note(document, scope.agent)
        return record.to_record(document)

    def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_revision: str | None = None,
        vector: Sequence[float] | Any | None = None,
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
            vector: Where it lies for ``data_store.memory.search``: a list of numbers, or an array of floats. ``None``
                for a value that no such search finds, whatever was there before.

        Returns:
            The new revision.

        Raises:
            InvalidValueError: If something is not JSON; the message names the path. If ``vector`` is none: of another
                size, zero, or not finite.
            ValueTooLargeError: If value or metadata is too large.
            ConflictError: If the record is not at ``if_revision``; holds the current revision.
            EmbedderError: If the namespace has vectors of another model, or with other dimensions; nothing is stored.

        Requests: 1. For an existing record that this process has not seen, CouchDB 3 and Firestore 2; DynamoDB 2 if
        there is metadata. With a vector 2 more, as for ``data_store.memory.add``.
        """
        scope = scope_of(self)
        put = scope.put(key, value, scope.moment(ttl), check_metadata(metadata))
        if if_revision is not None:
            put = put._replace(if_revision=_revision(if_revision))
        if vector is None:
            outcome = scope.core.write_one(put)
        else:
            from datastore.memory.writing import set_one  # imported here, because few need it

            outcome = set_one(scope, put, vector)
        if not outcome.done:
            raise _during_write(scope, put.key, conflict(put.if_revision, outcome.revision))
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
        return _add(scope_of(self), key, value, metadata, ttl)

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
        _add(scope_of(self), key, value, metadata, ttl)
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
            raise _during_write(scope, as_text(key), conflict(delete.if_revision, outcome.revision))
        return outcome.done

    @bounded
    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a record and return its value: of all callers that try, one gets it.

        Args:
            key: The key.
            default: Returned only if there is no record.

        Returns:
            The value that the record had when it was removed, or the default.

        Raises:
            OutcomeUnknownError: If the answer to the removal was lost, and it cannot be told whether this call removed
                the record or another one did.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: 2 for each attempt.
        """
        scope = scope_of(self)
        scope.core.check_writes(scope.prefix)
        backoff = Backoff(scope.core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while True:
            document = scope.fetch(key, _VALUE)
            if document is None:
                return default
            outcome = scope.core.write_one(Delete(document.id, scope.core.now(), document.revision, certain=True))
            if outcome.done:
                return document.value
            if not backoff.wait():
                raise ConflictError(
                    f"other writers changed the record at each attempt for {scope.core.max_seconds:g} s; try again",
                    revision=outcome.revision,
                ).during(f"taking {as_text(key)!r} of namespace {scope.namespace!r}", scope.core.backend.name)

    def touch(self, key: str, *, ttl: float | timedelta | None) -> bool:
        """Move the time when a record expires. Its value, its revision and ``updatedAt`` stay as they are.

        Args:
            key: The key.
            ttl: Seconds from now, or a `timedelta`, until it expires; ``None`` for never.

        Returns:
            Whether there is a record.

        Requests: 1; CouchDB 2; Firestore 2 if this process has not seen the record.
        """
        scope = scope_of(self)
        return _touch(scope, scope.prefix + encode_key(key), scope.moment(ttl))

    def exists(self, key: str) -> bool:
        """Return whether there is a record, as ``key in data_store`` does. No access is counted.

        Requests: 1.
        """
        return scope_of(self).fetch(key, Fields.KEY) is not None

    def __contains__(self, key: str) -> bool:
        return self.exists(key)


def _add(scope: Scope, key: str, value: Any, metadata: dict[str, Any] | None, ttl: float | timedelta | None) -> str:
    put = scope.put(key, value, scope.moment(ttl), check_metadata(metadata), if_absent=True)
    if not scope.core.write_one(put).done:
        raise exists().during(f"adding {put.key!r} to namespace {scope.namespace!r}", scope.core.backend.name)
    return put.revision


def get_at_once(scope: Scope, key: str, most: int) -> Document | None:
    """Read the record under a key as `RecordCalls.get` does, on an event loop, and count an access.

    Args:
        scope: Whose it is. Its accesses must not be written at once.
        key: The key.
        most: The largest value that is read, in bytes of its JSON.

    Raises:
        WouldWaitError: If that would have to wait, or anything is wrong: `RecordCalls.get` says what.
        InvalidNameError: If it is no key.
    """
    document = scope.core.read_at_once(scope.prefix + encode_key(key), most)
    if document is not None:
        scope.tracker.note(document, scope.agent)
    return document


def _get_and(scope: Scope, key: str, default: Any, type: Any, ttl: float | timedelta | None) -> Any:
    """Return the value under a key, made to fit a type and with its expiry moved where that is asked for."""
    fit = None if type is None else scope.fitting(type)
    moment = scope.moment(ttl)
    if ttl is not None:
        scope.core.check_writes(scope.prefix)
    document = scope.fetch(key, _VALUE)
    if document is None:
        return default
    value = document.value if fit is None else fit(as_text(key), document.value)
    scope.tracker.note(document, scope.agent)
    if ttl is not None:
        _touch(scope, document.id, moment, document.created_at)
    return value


def _touch(scope: Scope, id: str, moment: Moment, seen: str | None = None) -> bool:
    return scope.core.write_one(Touch(id, moment.at, moment.expires_at, seen)).done


def _revision(if_revision: str) -> str:
    return check_text(if_revision, "if_revision", "give the str that set() returned")


def _during_write(scope: Scope, key: str, error: ConflictError) -> ConflictError:
    return error.during(f"writing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name)
