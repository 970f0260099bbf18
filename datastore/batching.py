"""Calls on many keys: in as few requests as the backend allows, with an outcome for each key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from datastore.arguments import as_dict, as_text, check_name, elements, is_a, iterating
from datastore.backend import Delete, Document, Fields, Outcome
from datastore.errors import BatchError, DataStoreError, InvalidNameTypeError, InvalidValueError, kind_of
from datastore.ids import encode_key
from datastore.scope import Scope
from datastore.values import check_metadata


def get_many(scope: Scope, keys: Iterable[str]) -> tuple[dict[str, Any], list[Document]]:
    """Return the values by key in the order asked, and the documents that they come from."""
    prefix = scope.prefix
    ids = {prefix + encode_key(key): as_text(key) for key in _keys(keys)}
    found = scope.core.read(list(ids), Fields.VALUE)
    return {ids[id]: document.value for id, document in found.items()}, list(found.values())


def set_many(
    scope: Scope,
    items: Mapping[str, Any] | Iterable[tuple[str, Any]],
    metadata: dict[str, Any] | None,
    ttl: float | timedelta | None,
) -> int:
    """Store every item; everything is checked before anything is stored."""
    values = _values(items)
    metadata = check_metadata(metadata)
    moment = scope.moment(ttl)
    puts = [scope.put(key, value, moment, metadata, name=f"items[{key!r}]") for key, value in values.items()]
    return _done(scope, "set_many", list(values), scope.core.write(puts))


def delete_many(scope: Scope, keys: Iterable[str]) -> int:
    """Delete every key and return how many existed."""
    now = scope.core.now()
    distinct = list(dict.fromkeys(check_name(key, "key") for key in _keys(keys)))
    deletes = [Delete(scope.prefix + encode_key(key), now) for key in distinct]
    return _done(scope, "delete_many", distinct, scope.core.write(deletes))


def _values(items: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the items by key. What a mapping or an iterable of the caller's raises passes."""

    def refusal() -> DataStoreError:
        return InvalidValueError(f"items is {kind_of(items)}; give a dict, or pairs of key and value")

    if is_a(items, Mapping):  # type: ignore[type-abstract]  # it is asked for, and not made
        pairs: Iterable[Any] = as_dict(items, refusal).items()
    elif is_a(items, str):
        raise refusal()
    else:
        pairs = iterating(items, refusal)
    values = {}
    for index, pair in enumerate(pairs):
        if not is_a(pair, tuple, list):  # a text of two characters would pass for one
            raise InvalidValueError(f"items[{index}] is {kind_of(pair)}; give a dict, or pairs of key and value")
        two = elements(pair)
        if len(two) != 2:
            raise InvalidValueError(f"items[{index}] holds {len(two)} things; give a dict, or pairs of key and value")
        values[check_name(two[0], "key")] = two[1]
    return values


def _keys(keys: Iterable[str]) -> Iterator[str]:
    """Begin to iterate over keys. What an iterable of the caller's raises passes."""

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
