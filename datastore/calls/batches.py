"""Calls on several keys, all given by the caller, in as few requests as the backend allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from datastore import allowances
from datastore.arguments import (
    as_dict,
    as_text,
    check_name,
    check_text,
    elements,
    is_a,
    is_mapping,
    iterating,
)
from datastore.backend import DONE, Delete, Fields, Outcome, Put
from datastore.errors import (
    BatchError,
    BatchKey,
    DataStoreError,
    InvalidNameTypeError,
    InvalidValueError,
    conflict,
    exists,
    kind_of,
)
from datastore.frozen import dataclass
from datastore.ids import encode_key
from datastore.late import Late
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.values import check_metadata

if TYPE_CHECKING:
    from datastore import record
    from datastore.record import Record
else:
    record = Late("datastore.record")  # importing Pydantic takes long

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """One record for `AgentDataStore.set_many` and `AgentDataStore.add_many`, with what is its own.

    Attributes:
        key: Its key.
        value: Anything JSON.
        metadata: Merged into the record's; ``None`` for those that are given to the call.
        ttl: Seconds, or a `timedelta`, until it expires; ``None`` for the ttl that is given to the call.
        if_revision: Store it only if there is a record at this revision.
        namespace: The namespace, if it is not the store's own. In a `BatchError` the record's key is then
            ``(namespace, key)``.
    """

    key: str
    value: Any
    metadata: dict[str, Any] | None = None
    ttl: float | timedelta | None = None
    if_revision: str | None = None
    namespace: str | None = None


class BatchCalls(Bound):
    """Reads, stores and removes several records, each of which the caller names."""

    __slots__ = ()

    @overload
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]: ...

    @overload
    def get_many(self, keys: Iterable[str], *, type: type[T]) -> dict[str, T]: ...

    @bounded
    def get_many(self, keys: Iterable[str], *, type: Any = None) -> dict[str, Any]:
        """Return the values under several keys, and count an access for each.

        Args:
            keys: The keys.
            type: What to make of each value, as in `get`.

        Returns:
            The values by key, in the order asked; missing keys are left out, and a key given twice is there once.

        Raises:
            InvalidValueError: If a value does not fit ``type``; the message names its key, and no access is counted.

        Requests: 1 per 1,000 keys (DynamoDB 100, Firestore 500).
        """
        scope = scope_of(self)
        fit = None if type is None else scope.fitting(type)
        ids = {scope.prefix + encode_key(key): as_text(key) for key in keys_of(keys)}
        found = allowances.read(scope.core, list(ids), Fields.VALUE)
        values = {ids[id]: document.value for id, document in found.items()}
        if fit is not None:
            values = {key: fit(key, value) for key, value in values.items()}
        scope.tracker.note_all(found.values(), scope.agent)
        return values

    @bounded
    def get_records(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the records under several keys, with metadata and provenance. Looking is not an access.

        Args:
            keys: The keys.

        Returns:
            The records by key, in the order asked; missing keys are left out, and a key given twice is there once.

        Requests: as ``get_many``.
        """
        scope = scope_of(self)
        ids = {scope.prefix + encode_key(key): as_text(key) for key in keys_of(keys)}
        found = scope.core.tracker.with_pending(
            lambda: list(allowances.read(scope.core, list(ids), Fields.ALL).values())
        )
        return {ids[document.id]: record.to_record(document) for document in found}

    @bounded
    def set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Store several values, each as `set` does. As a whole the call is not atomic.

        Everything is checked first: if one item is wrong, nothing is stored.

        Args:
            items: The values by key; or pairs of key and value, or objects of `Item`, which can have their own
                metadata, ttl, revision and namespace. If a key is given twice, the last one counts.
            metadata: Merged into the metadata of each record that is given without its own.
            ttl: Seconds, or a `timedelta`, until the records expire that are given without their own; ``None`` for
                never.

        Returns:
            How many records were stored: all of them.

        Raises:
            InvalidValueError: If something is not JSON; the message names the path, and nothing was stored.
            ValueTooLargeError: If a value or the metadata is too large; nothing was stored.
            BatchError: If some records failed, for example because one was not at its ``if_revision``; holds an outcome
                for each key, and the others are stored.

        Requests: 1 per 1,000 items (DynamoDB 100, Firestore 500); on SQLite one transaction for as many, with a
        statement for each item.
        """
        scope = scope_of(self)
        puts = {put.id: put for put in _puts(scope, items, metadata, ttl)}
        return _put_all(scope, "set_many", list(puts.values()))

    @bounded
    def add_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Store several values, each only if there is no record, as `add` does. As a whole the call is not atomic.

        Everything is checked first: if one item is wrong, nothing is stored.

        Args:
            items: As `set_many`; none of them has an ``if_revision``, and no key is given twice.
            metadata: As `set_many`.
            ttl: As `set_many`.

        Returns:
            How many records were stored: all of them.

        Raises:
            InvalidValueError: If something is not JSON, or a key is given twice; nothing was stored.
            ValueTooLargeError: If a value or the metadata is too large; nothing was stored.
            BatchError: If some records failed. For each that there was already its outcome is a `KeyExistsError`, and
                the others are stored.

        Requests: as ``set_many``.
        """
        scope = scope_of(self)
        puts: dict[str, Put] = {}
        for put in _puts(scope, items, metadata, ttl):
            if put.if_revision is not None:
                raise InvalidValueError(f"items[{put.key!r}] has an if_revision; add_many stores only new records")
            if puts.setdefault(put.id, put) is not put:
                raise InvalidValueError(f"items[{put.key!r}] is there twice; a record is new only once")
        return _put_all(scope, "add_many", [put._replace(if_absent=True) for put in puts.values()])

    @bounded
    def delete_many(self, keys: Iterable[str]) -> int:
        """Remove several records.

        Returns:
            How many of them existed.

        Raises:
            BatchError: If some could not be removed; holds an outcome for each key, and the others are removed.

        Requests: as ``set_many``.
        """
        scope = scope_of(self)
        now = scope.core.now()
        distinct = list(dict.fromkeys(check_name(key, "key") for key in keys_of(keys)))
        deletes = [Delete(scope.prefix + encode_key(key), now) for key in distinct]
        return _done(scope, "delete_many", distinct, scope.core.write(deletes))


def _puts(
    scope: Scope,
    items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item],
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
) -> Iterator[Put]:
    """Yield the write of each item, after checking it."""
    metadata, moment = check_metadata(metadata), scope.moment(ttl)
    elsewhere = {scope.namespace: scope}
    for item in items_of(items):
        if not isinstance(item, Item):
            key, value = item
            yield scope.put(key, value, moment, metadata, name=f"items[{key!r}]")
            continue
        key = check_name(item.key, "key")
        place, own, time = scope, metadata, moment
        if item.namespace is not None:
            namespace = check_name(item.namespace, f"items[{key!r}].namespace")
            place = elsewhere.get(namespace) or elsewhere.setdefault(namespace, scope.within(namespace))
        if item.metadata is not None:
            own = check_metadata(item.metadata)
        if item.ttl is not None:
            time = moment._replace(expires_at=scope.moment(item.ttl).expires_at)
        put = place.put(key, item.value, time, own, name=f"items[{key!r}]")
        if item.if_revision is not None:
            what = f"items[{key!r}].if_revision"
            put = put._replace(if_revision=check_text(item.if_revision, what, "give the str that set() returned"))
        yield put


def items_of(items: Mapping[str, Any] | Iterable[tuple[str, Any] | Item]) -> Iterator[tuple[str, Any] | Item]:
    """Yield pairs of key and value, and items. What the caller's own mapping or iterable raises is not translated."""

    def refusal() -> DataStoreError:
        return InvalidValueError(f"items is {kind_of(items)}; give a dict, or pairs of key and value")

    if is_mapping(items):
        for key, value in as_dict(items, refusal).items():
            yield check_name(key, "key"), value
        return
    if is_a(items, str):
        raise refusal()
    for index, pair in enumerate(iterating(items, refusal)):
        if type(pair) is Item:
            yield pair
            continue
        if not is_a(pair, tuple, list):  # a text of two characters is not a pair
            raise InvalidValueError(f"items[{index}] is {kind_of(pair)}; give a dict, Items, or pairs of key and value")
        two = elements(pair)
        if len(two) != 2:
            raise InvalidValueError(f"items[{index}] holds {len(two)} things; give a dict, or pairs of key and value")
        yield check_name(two[0], "key"), two[1]


def _put_all(scope: Scope, call: str, puts: list[Put]) -> int:
    """Write, and return how many were stored: all of them."""
    outcomes = scope.core.write(puts)
    if outcomes.count(DONE) == len(puts):  # nearly always, and naming what failed takes its time
        return len(puts)
    errors: dict[BatchKey, DataStoreError | None] = {}
    for put, outcome in zip(puts, outcomes, strict=True):
        error = outcome.error
        if error is None and not outcome.done:
            error = exists() if put.if_absent else conflict(put.if_revision, outcome.revision)
        errors[put.key if put.namespace == scope.namespace else (put.namespace, put.key)] = error
    raise_failed(scope, call, errors)
    return len(puts)


def keys_of(keys: Iterable[str]) -> Iterator[str]:
    """Begin to iterate over keys. What the caller's own iterable raises is not translated."""

    def refusal() -> DataStoreError:
        return InvalidNameTypeError(f"keys is {kind_of(keys)}; give a list of keys")

    if is_a(keys, str):
        raise refusal()
    return iterating(keys, refusal)


def _done(scope: Scope, call: str, keys: list[str], outcomes: list[Outcome]) -> int:
    raise_failed(scope, call, {key: outcome.error for key, outcome in zip(keys, outcomes, strict=True)})
    return sum(outcome.done for outcome in outcomes)


def raise_failed(scope: Scope, call: str, errors: Mapping[BatchKey, DataStoreError | None]) -> None:
    """Raise if some records of a batch failed, with the outcome of each."""
    failed = [error for error in errors.values() if error is not None]
    if failed:
        raise BatchError(how_many_failed(errors), outcomes=errors).during(
            f"{call} in namespace {scope.namespace!r}", scope.core.backend.name
        ) from failed[0]


def how_many_failed(outcomes: Mapping[BatchKey, DataStoreError | None]) -> str:
    """Return the message for a batch of which some records failed."""
    failed = [(key, error) for key, error in outcomes.items() if error is not None]
    key, first = failed[0]
    return f"{len(failed)} of {len(outcomes)} records failed, the others are done; the first is {key!r}: {first}"
