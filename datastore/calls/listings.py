"""Calls on a range of ids, such as a namespace or a prefix of its keys: each is one contiguous read of that range."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload
from zlib import crc32

from datastore.arguments import as_int, as_text, check_name, check_text, shown
from datastore.backend import Delete, Document, Fields
from datastore.documents import NO_KEY, damaged, key_of, name_of, skip
from datastore.errors import DamagedRecordError, InvalidValueError, QueryError, kind_of
from datastore.ids import after_namespace, decode_key, encode_key, key_range, namespace_range
from datastore.scope import Bound, Scope, Stream, bounded, scope_of

if TYPE_CHECKING:
    from datastore.record import Record

T = TypeVar("T")

_ANY_KEY = encode_key("k")
_NEXT = "!"
"""Appended to an id, it gives the beginning of what follows: it sorts before every character of base64."""


class Page(NamedTuple):
    """One page of `AgentDataStore.scan` or `AgentDataStore.find_records`: a pair."""

    records: list[Record]
    cursor: str | None
    """Where to go on; ``None`` at the end."""

    def __repr__(self) -> str:
        from datastore.showing import line_of  # imported here, because few programs show a page

        return line_of([record.key for record in self.records], self.cursor)

    def _repr_html_(self) -> str:
        """Return a table, for Jupyter."""
        from datastore.record import page_table

        return page_table(self.records, self.cursor)


class ListingCalls(Bound):
    """Lists, reads and removes what is in a namespace, or under a prefix of its keys."""

    __slots__ = ()

    @bounded
    def list_keys(self, prefix: str | None = None) -> list[str]:
        """Return the keys of the namespace, or those that begin with a prefix.

        Returns:
            The keys, sorted by code point; complete, however many there are.

        Requests: 1 per page of the database.
        """
        return sorted(key for key, _ in _documents(scope_of(self), prefix, Fields.KEY))

    @bounded
    def list_namespaces(self, prefix: str | None = None) -> list[str]:
        """Return the user's namespaces that hold a record, or those of them that begin with a prefix.

        Returns:
            The namespaces, sorted by code point.

        Requests: SQLite 1, CouchDB 2; on others 1 more than there are namespaces.
        """
        return _namespaces(scope_of(self), prefix)

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
        return _page(scope_of(self), prefix, limit, cursor)

    def iter_records(self, prefix: str | None = None) -> Iterator[Record]:
        """Yield the records that `scan` returns, with memory for one page of the database at a time.

        Requests: 1 per page of the database.
        """
        return _records(scope_of(self), prefix)

    @overload
    def get_all(self) -> dict[str, Any]: ...

    @overload
    def get_all(self, *, type: type[T]) -> dict[str, T]: ...

    @bounded
    def get_all(self, *, type: Any = None) -> dict[str, Any]:
        """Return every value of the namespace, and count an access for each.

        All of them are in memory at once; `iter_records` needs less.

        Args:
            type: What to make of each value, as in `get`.

        Returns:
            The values by key, sorted by key; complete, however many there are.

        Raises:
            InvalidValueError: If a value does not fit ``type``; the message names its key, and no access is counted.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        fit = None if type is None else scope.fitting(type)
        found = sorted(_documents(scope, None, Fields.VALUE), key=itemgetter(0))
        if fit is None:
            values = {key: document.value for key, document in found}
        else:
            values = {key: fit(key, document.value) for key, document in found}
        scope.core.tracker.note_all((document for _, document in found), scope.agent)
        return values

    @bounded
    def clear(self, prefix: str | None = None) -> int:
        """Remove every record of the namespace, or those whose key begins with a prefix.

        Returns:
            How many there were.

        Requests: those of listing the keys and of deleting them; on SQLite 2 in one transaction for the whole
        namespace, and for a prefix whose UTF-8 is a multiple of 3 bytes long.
        """
        return _clear(scope_of(self), prefix)


def _documents(scope: Scope, prefix: str | None, fields: Fields) -> Iterator[tuple[str, Document]]:
    """Return an iterator over the live documents whose key has a prefix, each with its key, in id order."""
    beginning = _beginning(prefix)
    return _with_keys(scope.core.scan(key_range(scope.prefix, beginning), fields), beginning)


def _with_keys(documents: Iterator[Document], prefix: str) -> Iterator[tuple[str, Document]]:
    for document in documents:
        try:
            key = key_of(document.id)
        except DamagedRecordError as error:
            skip(error)
            continue
        if key.startswith(prefix):
            yield key, document


def _namespaces(scope: Scope, prefix: str | None) -> list[str]:
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
            range = range._replace(start=document.id + _NEXT)
        else:
            found.append(name.namespace)
            range = range._replace(start=after_namespace(document.id))
    return sorted(found)


def _clear(scope: Scope, prefix: str | None) -> int:
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
            skip(error)  # it belongs to another program, and stays
        elif exact and error.id is not None:  # a record that cannot be read can still be removed
            batch.append(Delete(error.id, now, only_own=True))

    found = core.scan(range, Fields.KEY, on_damaged=take)
    for document in found if exact else (document for _, document in _with_keys(found, prefix or "")):
        batch.append(Delete(document.id, now, only_own=True))  # a listing of keys may not show who wrote them
        if len(batch) >= size:
            removed += _delete(scope, batch)
            batch = []
    return removed + _delete(scope, batch)


def _page(scope: Scope, prefix: str | None, limit: int | None, cursor: str | None) -> Page:
    """Return one page of records and the cursor after it."""
    limit = None if limit is None else _most(limit)
    prefix = _beginning(prefix)
    after = None if cursor is None else _resume(scope, prefix, cursor)
    found: list[Record] = []
    for record in _records(scope, prefix, after, None if limit is None else limit + 1):
        if len(found) == limit:  # there is one more than asked for: this page is not the last
            return Page(found, _cursor(scope, prefix, found[-1].id))
        found.append(record)
    return Page(found, None)


def _records(
    scope: Scope, prefix: str | None, after: str | None = None, at_once: int | None = None
) -> Iterator[Record]:
    """Return an iterator over the live records whose key has a prefix, in id order; one page is in memory at a time."""
    from datastore.record import to_record  # imported here, because importing Pydantic takes long

    beginning = _beginning(prefix)
    found = scope.core.scan(key_range(scope.prefix, beginning), Fields.ALL, after, at_once)
    return Stream(to_record(document) for _, document in _with_keys(found, beginning))


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
    """Return the id after which a page begins."""
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
