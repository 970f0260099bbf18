"""Calls on a range of ids: a namespace, a prefix of its keys, or what lies between two of them.

Ids sort as keys do, so each call is one contiguous read of that range, from either end.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, overload

from datastore.arguments import as_bool, as_int, as_text, check_text, shown
from datastore.backend import BareDocuments, Delete, Document, Fields
from datastore.documents import key_of, skip
from datastore.errors import DamagedRecordError, InvalidValueError, QueryError, kind_of
from datastore.frozen import NamedTuple
from datastore.ids import IdRange, decode_keys, is_id, key_range, namespace_range
from datastore.late import Late
from datastore.scope import Bound, Scope, Stream, bounded, scope_of

if TYPE_CHECKING:
    from datastore import record
    from datastore.core import Core
    from datastore.record import Record
else:
    record = Late("datastore.record")  # importing Pydantic takes long

T = TypeVar("T")

_ALL_THERE_ARE = 2**40
"""More records than any database holds; a limit beyond it is the same."""


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


class Span(NamedTuple):
    """Which records of a namespace a listing is about, and in which order."""

    range: IdRange
    reverse: bool
    limit: int | None


class ListingCalls(Bound):
    """Lists, reads and removes the records of a namespace, or some of them: in the order of their keys, or backward.

    The parameters mean the same in each call. What is read is what is asked for, however many records there are.

        prefix: Only keys that begin with it.
        start: Only keys from this one on, by code point. It need not exist.
        end: Only keys before this one. It need not exist.
        reverse: From the last key to the first.
        limit: The most records; ``None`` for all. With ``reverse`` these are the last ones.

    Every call raises `InvalidNameError` for a ``prefix``, ``start`` or ``end`` that is not text or is longer than a key
    can be, and `QueryError` for a ``limit`` below 1.
    """

    __slots__ = ()

    @bounded
    def list_keys(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        """Return the keys of the namespace, in order. No access is counted.

        Args:
            prefix: Only keys that begin with it.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: From the last key to the first.
            limit: The most keys; ``None`` for all of them, however many there are.

        Returns:
            The keys, sorted by code point.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        span = span_of(scope, prefix, start, end, reverse, limit)
        return _listed(scope, span, Fields.KEY, partial(keys_in, start=len(scope.prefix)))

    @bounded
    def scan(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return records page by page, in the order of keys, with metadata and provenance. No access is counted.

        A record that is there all the time is on exactly one page, whatever else is written or deleted meanwhile.

        Args:
            prefix: Only keys that begin with it.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: From the last key to the first.
            limit: The most records to return; ``None`` for all that are left.
            cursor: Where to go on: what the page before returned, for the same user, namespace, keys and direction.

        Returns:
            ``Page(records, cursor)``, which is a pair; the cursor is ``None`` at the end.

        Raises:
            QueryError: If ``limit`` is below 1 or ``cursor`` comes from another listing.

        Requests: 1 per page of the database. One record more than ``limit`` is read, to know whether more follow.
        """
        scope = scope_of(self)
        return _page(scope, span_of(scope, prefix, start, end, reverse, limit), cursor)

    def iter_records(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        namespace_prefix: str | None = None,
    ) -> Iterator[Record]:
        """Yield the records that `scan` returns, with memory for one page of the database at a time.

        Args:
            prefix: Only keys that begin with it.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: From the last key to the first.
            limit: The most records; ``None`` for all.
            namespace_prefix: Instead of the store's namespace all of the user's that begin with it, one after another;
                ``""`` for every one. Then it is without ``prefix``, ``start`` and ``end``.

        Raises:
            QueryError: If ``namespace_prefix`` is given together with one of these.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        span = span_of(scope, prefix, start, end, reverse, limit)
        if namespace_prefix is not None:
            if not prefix is start is end is None:
                raise QueryError("namespace_prefix is about whole namespaces; leave out prefix, start and end")
            span = span._replace(
                range=namespace_range(scope.encoded_user, namespace_prefix, None, None, "namespace_prefix")
            )
        return Stream(each(scope, span, Fields.ALL, _records_of))

    @bounded
    def first(self, prefix: str | None = None, *, start: str | None = None, end: str | None = None) -> Record | None:
        """Return the record with the first key. No access is counted.

        Args:
            prefix: Of the keys that begin with it.
            start: Of the keys from this one on.
            end: Of the keys before this one.

        Returns:
            The `Record`, or ``None`` if there is none.

        Requests: 1, unless expired records come before it.
        """
        scope = scope_of(self)
        found = _listed(scope, span_of(scope, prefix, start, end, False, 1), Fields.ALL, _records_of)
        return found[0] if found else None

    @bounded
    def last(self, prefix: str | None = None, *, start: str | None = None, end: str | None = None) -> Record | None:
        """Return the record with the last key. No access is counted.

        Args:
            prefix: Of the keys that begin with it.
            start: Of the keys from this one on.
            end: Of the keys before this one.

        Returns:
            The `Record`, or ``None`` if there is none.

        Requests: 1, unless expired records come after it.
        """
        scope = scope_of(self)
        found = _listed(scope, span_of(scope, prefix, start, end, True, 1), Fields.ALL, _records_of)
        return found[0] if found else None

    @overload
    def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> dict[str, Any]: ...

    @overload
    def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        type: type[T],
    ) -> dict[str, T]: ...

    @bounded
    def get_all(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        type: Any = None,
    ) -> dict[str, Any]:
        """Return the values of the namespace, and count an access for each.

        All of them are in memory at once; `iter_records` needs less.

        Args:
            prefix: Only keys that begin with it.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: From the last key to the first.
            limit: The most values; ``None`` for all of them, however many there are.
            type: What to make of each value, as in `get`.

        Returns:
            The values by key, in the order of keys.

        Raises:
            InvalidValueError: If a value does not fit ``type``; the message names its key, and no access is counted.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        span = span_of(scope, prefix, start, end, reverse, limit)
        fit = None if type is None else scope.fitting(type)
        found = dict(_listed(scope, span, Fields.VALUE, partial(with_keys, start=len(scope.prefix))))
        if fit is None:
            values = {key: document.value for key, document in found.items()}
        else:
            values = {key: fit(key, document.value) for key, document in found.items()}
        scope.tracker.note_all(found.values(), scope.agent)
        return values

    @bounded
    def clear(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> int:
        """Remove records of the namespace: without arguments every one.

        Args:
            prefix: Only keys that begin with it.
            start: Only keys from this one on.
            end: Only keys before this one.
            reverse: The last ones first, where there is a ``limit``.
            limit: The most records to remove; ``None`` for all.

        Returns:
            How many were removed.

        Requests: those of listing the keys and of deleting them; on SQLite 2 in one transaction without a ``limit``.
        """
        scope = scope_of(self)
        return _clear(scope, span_of(scope, prefix, start, end, reverse, limit))


def span_of(
    scope: Scope, prefix: str | None, start: str | None, end: str | None, reverse: bool, limit: int | None
) -> Span:
    """Return what the arguments of a listing say. They are those of `ListingCalls`."""
    range = key_range(scope.prefix, prefix, start, end)
    return Span(range, as_bool(reverse, "reverse"), None if limit is None else most(limit))


def _listed(
    scope: Scope,
    span: Span,
    fields: Fields,
    make: Callable[[Sequence[Document]], Iterable[T]],
    after: str | None = None,
    *,
    spare: int = 0,
) -> list[T]:
    """Return a list of what `each` yields, in less time, for a call that is `bounded`.

    A short listing takes hardly more than its statement. With ``spare`` there may be so many more than the limit.
    """
    core, limit = scope.core, span.limit
    if limit is not None:
        limit += spare
    documents, others = core.pages_of_call(span.range, fields, after, limit, reverse=span.reverse)
    found = list(make(documents))
    core.check_open()
    if limit is None or len(found) < limit:
        for documents in others:
            found += make(documents)
            core.check_open()
            if limit is not None and len(found) >= limit:
                break
    return found if limit is None or len(found) <= limit else found[:limit]


def each(
    scope: Scope,
    span: Span,
    fields: Fields,
    make: Callable[[Sequence[Document]], Iterable[T]],
    after: str | None = None,
) -> Iterator[T]:
    """Return an iterator over what is made of each live document of a span; one page is in memory at a time.

    Args:
        scope: Whose namespace it is.
        span: Which documents.
        fields: How much of each is needed.
        make: Makes it of a page of documents, without those that are damaged.
        after: The id to go on after.
    """
    made = _made(scope.core, span, fields, make, after)
    return made if span.limit is None else islice(made, span.limit)


def _made(
    core: Core, span: Span, fields: Fields, make: Callable[[Sequence[Document]], Iterable[T]], after: str | None
) -> Iterator[T]:
    for documents in core.pages(span.range, fields, after, span.limit, reverse=span.reverse):
        backend = core.backend
        for made in make(documents):
            yield made
            if core.backend is not backend:
                core.check_open()


def keys_in(documents: Sequence[Document], start: int) -> list[str]:
    """Return the keys of documents of one namespace, whose ids have them from ``start`` on."""
    ids = documents.ids if isinstance(documents, BareDocuments) else [document.id for document in documents]
    try:
        return decode_keys(ids, start)
    except ValueError:  # the closer look finds out which of them
        return [key for key, _ in _sound(documents, _with_key)]


def with_keys(documents: Sequence[Document], start: int) -> Iterable[tuple[str, Document]]:
    """Return the documents of one namespace, whose ids have the keys from ``start`` on, each with its key."""
    try:
        return zip(decode_keys([document.id for document in documents], start), documents, strict=True)
    except ValueError:
        return _sound(documents, _with_key)


def _with_key(document: Document) -> tuple[str, Document]:
    return key_of(document.id), document


def _sound(documents: Sequence[Document], make: Callable[[Document], T]) -> list[T]:
    """Return what is made of each document, and leave out those that it refuses as damaged."""
    found: list[T] = []
    for document in documents:
        try:
            found.append(make(document))
        except DamagedRecordError as error:
            skip(error)
    return found


def _clear(scope: Scope, span: Span) -> int:
    """Remove the records of a span and return how many there were."""
    core = scope.core
    core.check_writes(scope.prefix)
    now = core.now()
    if span.limit is None and core.removes_ranges and core.backend.capabilities.supports("clear"):
        backend = core.backend
        return core.call("clearing", lambda: backend.clear(span.range, now))
    batch: list[Delete] = []
    removed = 0
    size = core.backend.capabilities.write_batch

    def take(error: DamagedRecordError) -> None:
        if error.foreign or span.limit is not None:
            skip(error)  # somebody else's: it stays
        elif error.id is not None:  # what cannot be read can be removed all the same
            batch.append(Delete(error.id, now, only_own=True))

    found = core.scan(span.range, Fields.KEY, span.limit, take, reverse=span.reverse)
    for document in found if span.limit is None else islice(found, span.limit):
        # A listing of keys may not show who wrote them.
        batch.append(Delete(document.id, now, only_own=True, seen=document.created_at or None))
        if len(batch) >= size:
            removed += _delete(scope, batch)
            batch = []
    return removed + _delete(scope, batch)


def _page(scope: Scope, span: Span, cursor: str | None) -> Page:
    """Return one page of records and the cursor after it."""
    after = None if cursor is None else _resume(scope, span, cursor)
    limit = span.limit
    found = _listed(scope, span, Fields.ALL, _records_of, after, spare=1)  # one more says that more follow
    if limit is None or len(found) <= limit:
        return Page(found, None)
    return Page(found[:limit], _cursor(scope, span, found[limit - 1].id))


def paging(scope: Scope, span: Span, cursor: str | None) -> Generator[Record, None, str | None]:
    """Return a generator of one page of records, which returns the cursor after it."""
    after = None if cursor is None else _resume(scope, span, cursor)
    return _paging(scope, span, each(scope, _one_more(span), Fields.ALL, _records_of, after))


def _paging(scope: Scope, span: Span, records: Iterator[Record]) -> Generator[Record, None, str | None]:
    last = ""
    for number, record in enumerate(records):
        if number == span.limit:  # one more than asked for: this page is not the last
            return _cursor(scope, span, last)
        last = record.id
        yield record
    return None


def _one_more(span: Span) -> Span:
    """Return a span with one record more: if there is one, it says that more follow."""
    return span if span.limit is None else Span(span.range, span.reverse, span.limit + 1)


def _records_of(documents: Sequence[Document]) -> list[Record]:
    """Return the records of checked documents."""
    try:
        return record.to_records(documents)
    except ValueError:  # the closer look finds out which of them
        return _sound(documents, record.to_record)


def most(limit: int) -> int:
    """Check a limit, and return it."""
    if type(limit) is int and 0 < limit < _ALL_THERE_ARE:
        return limit
    number = as_int(limit)
    if number is None:
        raise InvalidValueError(f"limit is {kind_of(limit)}; it must be an int, or None for no limit")
    if number < 1:
        raise QueryError(f"limit is {shown(number)}; it must be at least 1, or None for no limit")
    return min(number, _ALL_THERE_ARE)


def _delete(scope: Scope, batch: list[Delete]) -> int:
    if not batch:
        return 0
    outcomes = scope.core.write(batch)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error.during(f"clearing namespace {scope.namespace!r}", scope.core.backend.name)
    return sum(outcome.done for outcome in outcomes)


def _cursor(scope: Scope, span: Span, id: str) -> str:
    return f"{id[len(scope.prefix) :]}.{_listing(span):08x}"


def _resume(scope: Scope, span: Span, cursor: str) -> str:
    """Return the id after which a page begins."""
    encoded, _, listing = check_text(cursor, "cursor", "give what scan() returned").rpartition(".")
    id = scope.prefix + encoded
    if not is_id(id) or listing != f"{_listing(span):08x}":
        raise QueryError(
            f"cursor {as_text(cursor)[:40]!r} does not come from a scan of this namespace with this prefix, start, end "
            "and reverse"
        )
    return id


def _listing(span: Span) -> int:
    """Return a number that tells one listing from another, to refuse a cursor of the wrong one."""
    return crc32(f"{span.range.start}\n{span.range.end}\n{span.reverse}".encode())
