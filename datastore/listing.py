"""Listings: each is one contiguous read of the id range that holds what is listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from datastore.arguments import as_int, as_text, check_name, check_text, shown
from datastore.backend import Delete, Document, Fields, Forgotten
from datastore.core import Core
from datastore.documents import NO_KEY, damaged, name_of, skip
from datastore.documents import key_of as decode_id
from datastore.errors import DamagedRecordError, InvalidValueError, QueryError, kind_of
from datastore.ids import after_namespace, decode_key, encode_key, key_range, namespace_range
from datastore.scope import Scope, Stream

if TYPE_CHECKING:
    from datastore.record import Record


_ANY_KEY = encode_key("k")
_BEHIND = "!"
"""What is before all that can follow an id in the order of ids."""


class Page(NamedTuple):
    """One page of `AgentDataStore.scan`."""

    records: list[Record]
    cursor: str | None
    """Where to go on; ``None`` at the end."""


def documents(scope: Scope, prefix: str | None, fields: Fields) -> Iterator[tuple[str, Document]]:
    """Return an iterator over the live documents whose key has a prefix, each with its key, in id order."""
    beginning = _beginning(prefix)
    return _with_keys(scope.core.scan(key_range(scope.prefix, beginning), fields), beginning)


def _with_keys(documents: Iterator[Document], prefix: str) -> Iterator[tuple[str, Document]]:
    for document in documents:
        try:
            key = key_of(document)
        except DamagedRecordError as error:
            skip(error)
            continue
        if key.startswith(prefix):
            yield key, document


def namespaces(scope: Scope, prefix: str | None) -> list[str]:
    """Return the user's namespaces that hold a live record, sorted."""
    core = scope.core
    range = namespace_range(scope.encoded_user, prefix)
    if core.backend.capabilities.supports("namespaces"):
        backend, now = core.backend, core.now()
        prefixes = core.call("listing namespaces", lambda: backend.namespaces(range, now))
        return sorted(name.namespace for id in prefixes if (name := name_of(id + _ANY_KEY)) is not None)
    found: list[str] = []
    while (document := next(core.scan(range, Fields.KEY, at_once=1), None)) is not None:
        name = name_of(document.id)
        if name is None:
            skip(damaged(document.id, NO_KEY))
            range = range._replace(start=document.id + _BEHIND)
        else:
            found.append(name.namespace)
            range = range._replace(start=after_namespace(document.id))
    return sorted(found)


def count(scope: Scope) -> int:
    """Return how many live records the namespace holds."""
    core = scope.core
    range = key_range(scope.prefix, None)
    if core.backend.capabilities.supports("count"):
        backend, now = core.backend, core.now()
        return core.call("counting", lambda: backend.count(range, now))
    return sum(1 for _ in core.scan(range, Fields.KEY))


def clear(scope: Scope, prefix: str | None) -> int:
    """Remove every record whose key has a prefix and return how many there were."""
    core = scope.core
    prefix = _beginning(prefix)
    range = key_range(scope.prefix, prefix)
    now = core.now()
    # A range of ids is exactly the keys with the prefix if the prefix ends with a whole group of base64.
    exact = len(prefix.encode()) % 3 == 0
    if exact and core.backend.capabilities.supports("clear"):
        backend = core.backend
        return core.call("clearing", lambda: backend.clear(range, now))
    removed, batch = 0, list[Delete]()
    size = core.backend.capabilities.write_batch

    def take(error: DamagedRecordError) -> None:
        if error.foreign:
            skip(error)  # somebody else's: it stays
        elif exact and error.id is not None:  # what cannot be read can be removed all the same
            batch.append(Delete(error.id, now, only_own=True))

    found = core.scan(range, Fields.KEY, on_damaged=take)
    for document in found if exact else (document for _, document in _with_keys(found, prefix or "")):
        batch.append(Delete(document.id, now, only_own=True))  # a listing of keys may not tell whose they are
        if len(batch) >= size:
            removed += _delete(scope, batch)
            batch = []
    return removed + _delete(scope, batch)


def forget(core: Core, encoded_user: str) -> Forgotten:
    """Remove all that is stored of a user, and return what that was."""
    range, now = namespace_range(encoded_user, None), core.now()
    if core.backend.capabilities.supports("forget"):
        backend = core.backend
        return core.call("forgetting a user", lambda: backend.forget(range, now))
    removed = expired = 0
    for ids in core.all_ids(range):
        outcomes = core.write([Delete(id, now) for id in ids])
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error.during("forgetting a user", core.backend.name)
        live = sum(outcome.done for outcome in outcomes)
        removed, expired = removed + live, expired + len(outcomes) - live
    return Forgotten(removed, expired)


def page(scope: Scope, prefix: str | None, limit: int | None, cursor: str | None) -> Page:
    """Return one page of records and the cursor behind it."""
    limit = None if limit is None else _most(limit)
    prefix = _beginning(prefix)
    after = None if cursor is None else _resume(scope, prefix, cursor)
    found: list[Record] = []
    for record in records(scope, prefix, after, None if limit is None else limit + 1):
        if len(found) == limit:  # one more than asked for: this page is not the last
            return Page(found, _cursor(scope, prefix, found[-1].id))
        found.append(record)
    return Page(found, None)


def records(scope: Scope, prefix: str | None, after: str | None = None, at_once: int | None = None) -> Iterator[Record]:
    """Return an iterator over the live records whose key has a prefix, in id order; one page is in memory at a time."""
    from datastore.record import to_record  # here, because Pydantic takes longer to import than all the rest

    beginning = _beginning(prefix)
    found = scope.core.scan(key_range(scope.prefix, beginning), Fields.ALL, after, at_once)
    return Stream(to_record(document) for _, document in _with_keys(found, beginning))


def key_of(document: Document) -> str:
    """Return the key of a document.

    Raises:
        DamagedRecordError: If no key has its id.
    """
    return decode_id(document.id)


def _beginning(prefix: str | None) -> str:
    return "" if prefix is None else check_name(prefix, "prefix")


def _most(limit: int) -> int:
    number = as_int(limit)
    if number is None:
        raise InvalidValueError(f"limit is {kind_of(limit)}; it must be an int, or None for no limit")
    if number < 1:
        raise QueryError(f"limit is {shown(number)}; it must be at least 1, or None for no limit")
    return number


def _delete(scope: Scope, batch: list[Delete]) -> int:
    if not batch:
        return 0
    outcomes = scope.core.write(batch)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error.during(f"clearing namespace {scope.namespace!r}", scope.core.backend.name)
    return sum(outcome.done for outcome in outcomes)


def _cursor(scope: Scope, prefix: str, id: str) -> str:
    return f"{id[len(scope.prefix) :]}.{_listing(scope, prefix):08x}"


def _resume(scope: Scope, prefix: str, cursor: str) -> str:
    """Return the id behind which a page begins."""
    encoded, _, listing = check_text(cursor, "cursor", "give what scan() returned").rpartition(".")
    try:
        known = encode_key(decode_key(encoded)) == encoded and listing == f"{_listing(scope, prefix):08x}"
    except ValueError:
        known = False
    if not known:
        raise QueryError(
            f"cursor {as_text(cursor)[:40]!r} does not come from a scan of this namespace with this prefix"
        )
    return scope.prefix + encoded


def _listing(scope: Scope, prefix: str) -> int:
    """Return a number that tells one listing from another, to refuse a cursor of the wrong one."""
    return crc32(f"{scope.prefix}{prefix}".encode())
