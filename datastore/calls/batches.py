"""Calls on several keys, all given by the caller, in as few requests as the backend allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar, overload

from datastore.arguments import as_dict, as_text, check_name, elements, is_a, is_mapping, iterating
from datastore.backend import Delete, Fields, Outcome
from datastore.errors import BatchError, DataStoreError, InvalidNameTypeError, InvalidValueError, kind_of
from datastore.ids import encode_key
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.values import check_metadata

T = TypeVar("T")


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
        ids = {scope.prefix + encode_key(key): as_text(key) for key in _keys(keys)}
        found = scope.core.read(list(ids), Fields.VALUE)
        values = {ids[id]: document.value for id, document in found.items()}
        if fit is not None:
            values = {key: fit(key, value) for key, value in values.items()}
        scope.core.tracker.note_all(found.values(), scope.agent)
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
        scope, values = scope_of(self), _values(items)
        metadata = check_metadata(metadata)
        moment = scope.moment(ttl)
        puts = [scope.put(key, value, moment, metadata, name=f"items[{key!r}]") for key, value in values.items()]
        return _done(scope, "set_many", list(values), scope.core.write(puts))

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
        distinct = list(dict.fromkeys(check_name(key, "key") for key in _keys(keys)))
        deletes = [Delete(scope.prefix + encode_key(key), now) for key in distinct]
        return _done(scope, "delete_many", distinct, scope.core.write(deletes))


def _values(items: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the items by key. What the caller's own mapping or iterable raises is not translated."""

    def refusal() -> DataStoreError:
        return InvalidValueError(f"items is {kind_of(items)}; give a dict, or pairs of key and value")

    if is_mapping(items):
        pairs: Iterable[Any] = as_dict(items, refusal).items()
    elif is_a(items, str):
        raise refusal()
    else:
        pairs = iterating(items, refusal)
    values = {}
    for index, pair in enumerate(pairs):
        if not is_a(pair, tuple, list):  # a text of two characters is not a pair
            raise InvalidValueError(f"items[{index}] is {kind_of(pair)}; give a dict, or pairs of key and value")
        two = elements(pair)
        if len(two) != 2:
            raise InvalidValueError(f"items[{index}] holds {len(two)} things; give a dict, or pairs of key and value")
        values[check_name(two[0], "key")] = two[1]
    return values


def _keys(keys: Iterable[str]) -> Iterator[str]:
    """Begin to iterate over keys. What the caller's own iterable raises is not translated."""

    def refusal() -> DataStoreError:
        return InvalidNameTypeError(f"keys is {kind_of(keys)}; give a list of keys")

    if is_a(keys, str):
        raise refusal()
    return iterating(keys, refusal)


def _done(scope: Scope, call: str, keys: list[str], outcomes: list[Outcome]) -> int:
    raise_failed(scope, call, {key: outcome.error for key, outcome in zip(keys, outcomes, strict=True)})
    return sum(outcome.done for outcome in outcomes)


def raise_failed(scope: Scope, call: str, errors: dict[str, DataStoreError | None]) -> None:
    """Raise if some records of a batch failed, with the outcome of each."""
    failed = [key for key, error in errors.items() if error is not None]
    if failed:
        first = errors[failed[0]]
        raise BatchError(
            f"{len(failed)} of {len(errors)} records failed, the others are done; the first is {failed[0]!r}: {first}",
            outcomes=errors,
        ).during(f"{call} in namespace {scope.namespace!r}", scope.core.backend.name) from first
