"""Finding records by what is in them: plan, read what the database finds, check the rest, and act on what matches."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from datastore import listing
from datastore.arguments import as_text, is_a, shown
from datastore.backend import Document, Fields, Finds, Plan, Query, Write
from datastore.batching import raise_failed
from datastore.errors import ConflictError, QueryError, kind_of
from datastore.ids import IdRange, decode_key, encode_key, key_range
from datastore.queries.language import to_document
from datastore.queries.matcher import Predicate, compile_filter
from datastore.queries.ordering import Descending, is_key, sort_key
from datastore.queries.shaping import Window
from datastore.queries.tree import EVERYTHING
from datastore.retry import Backoff
from datastore.scope import Scope
from datastore.values import decode, encode

if TYPE_CHECKING:
    from datastore.listing import Page

_SECONDS = 30.0
"""How long one record is tried against concurrent writers."""
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds
_BEFORE_ALL_OTHERS = "!"
"""No id has this behind a complete key: with it an id is the next one after itself."""


class Search:
    """A query in one namespace, planned."""

    def __init__(self, scope: Scope, query: Query, fields: Fields, after_id: str | None = None) -> None:
        core = scope.core
        self._core = core
        self._range = key_range(scope.prefix, None)
        if after_id is not None:
            self._range = IdRange(after_id + _BEFORE_ALL_OTHERS, self._range.end)
        self.plan = _plan(scope, self._range, query)
        self.rest = query if self.plan is None else self.plan.rest
        self.in_order = self.plan is None or self.plan.in_order
        self.read = 0
        """How many documents the database has handed over."""
        if self.rest.value != EVERYTHING:
            fields = max(fields, Fields.VALUE)
        self._fields = Fields.ALL if self.rest.meta != EVERYTHING else fields
        self._matches = compile_query(self.rest)

    def documents(self, at_once: int | None = None) -> Iterator[Document]:
        """Yield the live documents that match; ``at_once`` is how many are likely to be enough."""
        core = self._core
        if self.plan is None:
            found = core.scan(self._range, self._fields, at_once=at_once)
        else:
            found = core.find(self._range, self.plan, self._fields, at_once)
        for document in found:
            self.read += 1
            if self._matches(document):
                yield document

    def choose(self, window: Window) -> list[Document]:
        """Return the documents of a window."""
        # With a rest to check, how many to read is anybody's guess: twice as many as wanted, then ever more.
        at_once = None if window.end is None or window.sort or not self.in_order else window.end * (1 + bool(self.rest))
        return window.choose(self.documents(at_once), self.in_order, _value, _id)


def compile_query(query: Query) -> Predicate:
    """Return the function that says whether a document matches."""
    value = None if query.value == EVERYTHING else compile_filter(query.value)
    meta = None if query.meta == EVERYTHING else compile_filter(query.meta)
    if meta is None:
        return (lambda document: True) if value is None else (lambda document: value(document.value))
    if value is None:
        return lambda document: meta(_fields_of(document))
    return lambda document: value(document.value) and meta(_fields_of(document))


def find(scope: Scope, query: Query, window: Window, shape: Callable[[Any], Any] | None) -> dict[str, Any]:
    """Return values by key in the order of the window, and count an access for each."""
    found = Search(scope, query, Fields.VALUE).choose(window)
    scope.core.tracker.note_all(found, scope.agent)
    return {listing.key_of(one): one.value if shape is None else shape(one.value) for one in found}


def page(scope: Scope, query: Query, window: Window, cursor: str | None) -> Page:
    """Return one page of records that match, and the cursor behind it."""
    from datastore.record import to_record  # here, because Pydantic takes longer to import than all the rest

    listed = crc32(f"{scope.prefix}{query!r}{window.sort}".encode())
    last = None if cursor is None else _resume(scope, cursor, window, listed)
    search = Search(scope, query, Fields.ALL, None if last is None or window.sort else last[1])
    one_more = window if window.limit is None else Window(window.sort, 0, window.limit + 1)
    if last is None or not window.sort:
        found = search.choose(one_more)
    else:
        keys = sort_key(window.sort)
        last_keys = tuple(
            Descending(key) if direction < 0 else key for key, (_, direction) in zip(last[0], window.sort, strict=True)
        )
        behind = (one for one in search.documents() if (*keys(one.value), one.id) > (*last_keys, last[1]))
        found = one_more.choose(behind, search.in_order, _value, _id)
    if window.limit is None or len(found) <= window.limit:
        return listing.Page([to_record(one) for one in found], None)
    found = found[: window.limit]
    return listing.Page([to_record(one) for one in found], _cursor(scope, found[-1], window, listed))


def required(query: Query, call: str, instead: str) -> Query:
    """Return a query, or refuse one that asks for nothing, where that is more likely a mistake than meant."""
    if not query:
        raise QueryError(f"{call} needs a filter or meta that asks for something; {instead}")
    return query


def count(scope: Scope, query: Query) -> int:
    """Return how many live records match."""
    return sum(1 for _ in Search(scope, query, Fields.KEY).documents())


def explain(scope: Scope, query: Query, window: Window) -> dict[str, Any]:
    """Answer a query, and return how that was done instead of what was found."""
    search = Search(scope, query, Fields.VALUE)
    found = search.choose(window)
    plan = search.plan
    return {
        "backend": scope.core.backend.name,
        "native": None if plan is None else plan.native,
        "index": None if plan is None else plan.index,
        "pushed": _shown(Query() if plan is None else plan.pushed),
        "checked_here": _shown(search.rest),
        "sorted_here": bool(window.sort) or not search.in_order,
        "documents_read": search.read,
        "documents_returned": len(found),
    }


def change(scope: Scope, query: Query, fields: Fields, write: Callable[[Document], Write]) -> int:
    """Write to every record that matches, each only as it was when it matched, and return how many.

    Args:
        scope: Where.
        query: Which records.
        fields: What ``write`` needs of them.
        write: Returns the write for a document that matches, conditional on its revision.
    """
    search = Search(scope, query, max(fields, Fields.VALUE))
    matches = compile_query(query)
    size = scope.core.backend.capabilities.write_batch
    seen: set[str] = set()  # an index may show a record again that this very call has changed
    changed, batch = 0, list[Document]()
    for document in search.documents():
        if not search.in_order:
            if document.id in seen:
                continue
            seen.add(document.id)
        batch.append(document)
        if len(batch) == size:
            changed += _change(scope, batch, matches, search, write)
            batch = []
    return changed + _change(scope, batch, matches, search, write)


def _change(
    scope: Scope, documents: list[Document], matches: Predicate, search: Search, write: Callable[[Document], Write]
) -> int:
    core, changed = scope.core, 0
    backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
    while documents:
        outcomes = core.write([write(document) for document in documents])
        errors = {listing.key_of(one): outcome.error for one, outcome in zip(documents, outcomes, strict=True)}
        raise_failed(scope, "changing what matches", errors)
        changed += sum(outcome.done for outcome in outcomes)
        outpaced = [one.id for one, outcome in zip(documents, outcomes, strict=True) if outcome.revision is not None]
        if not outpaced:
            return changed
        if not backoff.wait():
            raise ConflictError(
                f"other writers changed {len(outpaced)} records during each attempt of {_SECONDS:.0f} s; try again"
            ).during(f"changing what matches in namespace {scope.namespace!r}", core.backend.name)
        documents = [one for one in core.read(outpaced, Fields.ALL).values() if matches(one)]
    return changed


def _plan(scope: Scope, range: IdRange, query: Query) -> Plan | None:
    backend = scope.core.backend
    if not query or not _finds(type(backend)):
        return None
    return scope.core.call("planning a find", lambda: cast(Finds, backend).plan(range, query))


@cache  # asking whether something has the methods of a protocol takes a tenth of a small find
def _finds(backend: type) -> bool:
    return issubclass(backend, Finds)


def _fields_of(document: Document) -> dict[str, Any]:
    return {
        "key": listing.key_of(document),
        "metadata": document.metadata or {},
        "createdByAgent": document.created_by_agent,
        "lastAccessedByAgent": document.last_accessed_by_agent,
        "accessCount": document.access_count,
        "createdAt": document.created_at,
        "updatedAt": document.updated_at,
        "lastAccessedAt": document.last_accessed_at,
        "revision": document.revision,
        "expiresAt": document.expires_at,
    }


def _shown(query: Query) -> dict[str, Any]:
    shown = {"value": query.value, "meta": query.meta}
    return {name: to_document(filter) for name, filter in shown.items() if filter != EVERYTHING}


def _value(document: Document) -> Any:
    return document.value


def _id(document: Document) -> str:
    return document.id


def _cursor(scope: Scope, last: Document, window: Window, listed: int) -> str:
    keys = [key.key if isinstance(key, Descending) else key for key in sort_key(window.sort)(last.value)]
    state = encode([keys, last.id[len(scope.prefix) :]], "cursor", 2_000_000)
    return f"{urlsafe_b64encode(state.encode()).decode()}.{listed:08x}"


def _resume(scope: Scope, cursor: str, window: Window, listed: int) -> tuple[list[Any], str]:
    """Return the sort keys and the id behind which a page begins."""
    if not is_a(cursor, str):
        raise QueryError(f"cursor is {kind_of(cursor)}; give what find_records() returned")
    state, _, known = as_text(cursor).rpartition(".")
    try:
        if known != f"{listed:08x}":
            raise ValueError("it comes from another query")
        given, encoded = decode(urlsafe_b64decode(state).decode())
        keys = [_tuples(key) for key in given]
        if len(keys) != len(window.sort) or not all(map(is_key, keys)) or encode_key(decode_key(encoded)) != encoded:
            raise ValueError("nobody but find_records() should make one")
    except (ValueError, TypeError, AttributeError, Base64Error, RecursionError):
        raise QueryError(f"cursor {shown(as_text(cursor))} does not come from this query in this namespace") from None
    return keys, scope.prefix + encoded


def _tuples(key: Any) -> Any:
    return tuple(map(_tuples, key)) if isinstance(key, list) else key
