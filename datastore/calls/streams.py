"""Long listings as streams, for a server: what the calls of the same name return, one page of the database in memory.

Each takes the arguments of its call and raises what is wrong with them at once. What is yielded is counted as an access
where the call counts one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from datastore.backend import Document, Fields
from datastore.calls import listings
from datastore.documents import key_of
from datastore.ids import key_range
from datastore.scope import Scope

if TYPE_CHECKING:
    from datastore.record import Record

Pairs = Iterator[tuple[str, Any]]


def list_keys(scope: Scope, prefix: Any = None, start: Any = None, end: Any = None, **options: Any) -> Iterator[str]:
    """Yield what `AgentDataStore.list_keys` returns."""
    span = _span(scope, prefix, start, end, **options)
    return listings.each(scope, span, Fields.KEY, partial(listings.keys_in, start=len(scope.prefix)))


def get_all(scope: Scope, prefix: Any = None, start: Any = None, end: Any = None, **options: Any) -> Pairs:
    """Yield pairs of key and value, which `AgentDataStore.get_all` returns."""
    span = _span(scope, prefix, start, end, **options)
    found = listings.each(scope, span, Fields.VALUE, partial(listings.with_keys, start=len(scope.prefix)))
    return _noted(scope, found, None)


def scan(
    scope: Scope, prefix: Any = None, start: Any = None, end: Any = None, cursor: Any = None, **options: Any
) -> Generator[Record, None, str | None]:
    """Yield the records of a page of `AgentDataStore.scan`, and return its cursor."""
    return listings.paging(scope, _span(scope, prefix, start, end, **options), cursor)


def find(
    scope: Scope,
    filter: Any = None,
    meta: Any = None,
    prefix: Any = None,
    start: Any = None,
    end: Any = None,
    sort: Any = None,
    limit: Any = None,
    skip: Any = 0,
    fields: Any = None,
) -> Pairs:
    """Yield pairs of key and value, which `AgentDataStore.find` returns. What has to be sorted is in memory."""
    from datastore.calls import planning

    query, window, shape, needed = planning.parse_find(filter, meta, sort, skip, limit, fields)
    planned = planning.PlannedQuery(scope, query, needed, key_range(scope.prefix, prefix, start, end), window.sort)
    if planned.in_order:
        documents = islice(planned.documents(planned.at_once(window.end)), window.skip, window.end)
        return _noted(scope, ((key_of(one.id), one) for one in documents), shape)
    chosen, keys = planned.choose_with_keys(window)
    return _noted(scope, zip(keys, chosen, strict=True), shape)


STREAMS: Mapping[str, Callable[..., Iterator[Any]]] = {
    "list_keys": list_keys,
    "get_all": get_all,
    "scan": scan,
    "find": find,
}
"""The calls of `AgentDataStore` that a server makes as streams."""


def _span(scope: Scope, prefix: Any, start: Any, end: Any, reverse: Any = False, limit: Any = None) -> listings.Span:
    return listings.span_of(scope, prefix, start, end, reverse, limit)


def _noted(
    scope: Scope, found: Iterator[tuple[str, Document]], shape: Callable[[Any], Any] | None
) -> Iterator[tuple[str, Any]]:
    for key, document in found:
        value = document.value if shape is None else shape(document.value)
        scope.tracker.note(document, scope.agent)
        yield key, value
