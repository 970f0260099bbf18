"""Calls on the records that match a filter.

The code that parses, matches and sorts is imported with the first of these calls: a program that only gets and sets
starts faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from datastore.backend import Delete, Document, Fields, Put, Write
from datastore.calls.batches import raise_failed
from datastore.calls.changes import naming
from datastore.documents import key_of
from datastore.errors import ConflictError, QueryError
from datastore.ids import IdRange, key_range
from datastore.late import Late
from datastore.retry import Backoff
from datastore.scope import Bound, Scope, bounded, scope_of

if TYPE_CHECKING:
    from datastore.backend import Query
    from datastore.calls import planning
    from datastore.calls.listings import Page
    from datastore.queries.matcher import Predicate
    from datastore.queries.shaping import FieldsArgument, FilterArgument, SortArgument
else:
    planning = Late("datastore.calls.planning")

T = TypeVar("T")

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds


class QueryCalls(Bound):
    """Asks by value, metadata and provenance, in MongoDB's language: see ``docs/queries.md``.

    ``filter`` is about the values, ``meta`` about what a record's document holds beside them (``metadata.<field>``,
    ``createdByAgent``, ``createdAt``, ``updatedAt``, ``lastAccessedAt``, ``accessCount``, ``key``, ...; a time is a
    timezone-aware `datetime` or RFC 3339 text with any offset). With ``$`` before them these names stand in ``filter``
    and ``sort``, too: ``{"$or": [{"$key": "pen"}, {"price": 2}]}``, ``[("$createdAt", -1)]``. Every call raises
    `QueryError`, naming the place, before any I/O, if one of its arguments is not of the language.
    """

    __slots__ = ()

    @overload
    def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> dict[str, Any]: ...

    @overload
    def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        type: type[T],
    ) -> dict[str, T]: ...

    @bounded
    def find(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        type: Any = None,
    ) -> dict[str, Any]:
        """Return the values that match, and count an access for each.

        Args:
            filter: What the value must be like, such as ``{"price": {"$lt": 10}}``; ``None`` or ``{}`` for any.
            meta: What metadata and provenance must be like, such as ``{"createdByAgent": "planner"}``.
            prefix: Only keys that begin with it. With the next two, what is looked at is narrowed before values are.
            start: Only keys from this one on.
            end: Only keys before this one.
            sort: Pairs of a path and 1 or -1, such as ``[("price", -1)]``; ties are in the order of keys. A path leads
                into the value, or with ``$`` to a field of the record: ``$key``, ``$createdAt``, ``$updatedAt``,
                ``$accessCount``, ``$metadata.<field>``, ... For one path alone, ``"price"`` and ``"-price"`` are short.
                ``None`` sorts by key. That, and ``"-$key"``, costs no sorting.
            limit: The most values to return; ``None`` for all.
            skip: How many to leave out at the beginning.
            fields: Which fields of each value to return: a list of paths, or a dict of paths to 1 or of paths to 0
                (``"_id": 0`` may stand beside paths to 1).
            type: What to make of each value, or of its ``fields``, as in `get`.

        Returns:
            The values by key, in order.

        Raises:
            InvalidValueError: If a value does not fit ``type``; the message names its key, and no access is counted.

        Requests: 1 per page of the database; reading ends when ``limit`` is reached, unless there is a ``sort`` that
        the database leaves to the store (PostgreSQL mostly sorts itself, in 1). If more records are skipped than
        returned, those of a ``get_many`` of the returned ones come in addition. If only certain keys can match, only
        those of a ``get_many`` of these keys.
        """
        query, window, shape, needed = planning.parse_find(filter, meta, sort, skip, limit, fields)
        scope = scope_of(self)
        fit = None if type is None else scope.fitting(type)
        range = key_range(scope.prefix, prefix, start, end)
        found, keys = planning.find(scope, query, needed, range, window)
        if shape is None:
            by_key = {key: one.value for key, one in zip(keys, found, strict=True)}
        else:
            by_key = {key: shape(one.value) for key, one in zip(keys, found, strict=True)}
        if fit is not None:
            by_key = {key: fit(key, value) for key, value in by_key.items()}
        scope.tracker.note_all(found, scope.agent)
        return by_key

    @bounded
    def find_records(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the records that match, page by page, with metadata and provenance. No access is counted.

        Args:
            filter: As `find`.
            meta: As `find`.
            prefix: As `find`.
            start: As `find`.
            end: As `find`.
            sort: As `find`.
            limit: The most records to return; ``None`` for all that are left.
            skip: How many to leave out before the first page; with a ``cursor`` it changes nothing.
            fields: Which fields of each value the records hold; as `find`.
            cursor: Where to go on: what the page before returned, for the same ``filter``, ``meta``, keys and ``sort``.

        Returns:
            ``Page(records, cursor)``; the cursor is ``None`` at the end. A record that nobody changes meanwhile is on
            exactly one page. One that changes is looked at again when its page is read: it is left out if it no longer
            matches, and is in its new place if that page is still to come. A record that is new, or that begins to
            match, may be missing from the pages after the first.

        Raises:
            QueryError: Also if ``cursor`` comes from another query.

        Requests: as ``find``. With a ``sort`` other than by key the first page reads the namespace, and for some
        minutes the store remembers the ids of some thousand records that come next, without their values: each of the
        following pages costs a ``get_many`` of its records. If nothing is remembered (after that time, or in another
        process), the cursor still says where to go on, and the namespace is read again.
        """
        from datastore.calls import paging
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_fields, parse_window

        query, window, shape = parse_query(filter, meta), parse_window(sort, skip, limit), parse_fields(fields)
        scope = scope_of(self)
        return paging.page(scope, query, window, key_range(scope.prefix, prefix, start, end), cursor, shape)

    @bounded
    def count(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        """Return how many records the namespace holds, or how many of them match. No access is counted.

        Args:
            filter: As `find`.
            meta: As `find`.
            prefix: As `find`.
            start: As `find`.
            end: As `find`.

        Requests: without a filter SQLite 1, CouchDB and Firestore 2 (CouchDB 3 where something has expired and is not
        removed yet, and 2 more whenever that is removed meanwhile), DynamoDB 1 per page of the database; with one
        those of ``find``.
        """
        scope, query = scope_of(self), planning.parse_query(filter, meta)
        range = key_range(scope.prefix, prefix, start, end)
        if not query:
            return _count(scope, range)
        return planning.count(scope, query, range)

    @bounded
    def explain(
        self,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> dict[str, Any]:
        """Return how `find` answers a query. The query is run; no access is counted.

        Args:
            filter: As `find`.
            meta: As `find`.
            prefix: As `find`.
            start: As `find`.
            end: As `find`.
            sort: As `find`.
            limit: As `find`.
            skip: As `find`.

        Returns:
            ``backend``; ``native``, what the database was asked; ``index``, the declared index in use, or ``None``;
            ``pushed`` and ``checked_here``, the parts of the filters that the database narrows by, and those checked on
            each document (a part can be in both); ``sorted_here``; ``documents_read`` and ``documents_returned``.

        Requests: those of ``find``.
        """
        from datastore.calls.planning import PlannedQuery, fields_for
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_window

        query, window = parse_query(filter, meta), parse_window(sort, skip, limit)
        scope = scope_of(self)
        range = key_range(scope.prefix, prefix, start, end)
        return PlannedQuery(scope, query, fields_for(window.sort), range, window.sort).explain(window)

    @bounded
    def delete_where(
        self,
        filter: FilterArgument,
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        """Remove every record that matches.

        A record that somebody changes in the meantime, so that it no longer matches, stays.

        Args:
            filter: As `find`; ``{}`` for any, together with ``meta``. To remove everything use `clear`.
            meta: As `find`.
            prefix: As `find`.
            start: As `find`.
            end: As `find`.

        Returns:
            How many were removed.

        Raises:
            QueryError: Also if neither ``filter`` nor ``meta`` asks for anything.
            BatchError: If some could not be removed; those before them are.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: those of ``find`` and of ``delete_many``.
        """
        from datastore.queries.language import parse_query

        scope, query = scope_of(self), parse_query(filter, meta)
        if not query:
            raise QueryError(
                "delete_where needs a filter or meta that asks for something; clear() removes every record"
            )
        now = scope.core.now()
        range = key_range(scope.prefix, prefix, start, end)

        def write(found: Document) -> Delete:
            return Delete(found.id, now, found.revision, seen=found.created_at)

        return _write_where(scope, query, range, write)

    @bounded
    def update_where(
        self,
        filter: FilterArgument,
        changes: Mapping[str, Any],
        *,
        meta: FilterArgument | None = None,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
    ) -> int:
        """Change every record that matches as `AgentDataStore.update` does.

        Each record changes once and atomically; all of them together do not. Expiry and metadata stay.

        Args:
            filter: As `find`; ``{}`` for any.
            changes: Fields to set, or update operators.
            meta: As `find`.
            prefix: As `find`.
            start: As `find`.
            end: As `find`.

        Returns:
            How many were changed.

        Raises:
            InvalidValueError: If an operator does not fit a stored value; the records before it are changed.
            BatchError: If some could not be written; those before them are.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: those of ``find`` and of ``set_many``.
        """
        from datastore.queries.language import parse_query
        from datastore.queries.updates import compile_update

        scope = scope_of(self)
        query, update = parse_query(filter, meta), compile_update(changes)

        def write(found: Document) -> Put:
            key = key_of(found.id)
            with naming(scope, key):
                value = update(found.value)
            put = scope.put(key, value, scope.moment(), name=f"the new value of {key!r}")
            return put._replace(if_revision=found.revision, keep_expiry=True)

        return _write_where(scope, query, key_range(scope.prefix, prefix, start, end), write)


def _count(scope: Scope, range: IdRange) -> int:
    """Return how many live records a range of ids holds."""
    core = scope.core
    if core.backend.capabilities.supports("count"):
        backend, now = core.backend, core.now()
        return core.call("counting", lambda: backend.count(range, now))
    return sum(map(len, core.pages(range, Fields.KEY)))


def _write_where(scope: Scope, query: Query, range: IdRange, write: Callable[[Document], Write]) -> int:
    """Write to every matching record, only if it has not changed since it matched; return how many were written.

    Args:
        scope: Where.
        query: Which records.
        range: The ids to look among.
        write: Returns the write for a document that matches, conditional on its revision.
    """
    from datastore.calls.planning import PlannedQuery, compile_query

    scope.core.check_writes(scope.prefix)
    planned = PlannedQuery(scope, query, Fields.VALUE, range)
    matches = compile_query(query)
    size = scope.core.backend.capabilities.write_batch
    seen: set[str] = set()  # an index may return a record again that this call has changed
    batch: list[Document] = []
    changed = 0
    for document in planned.documents():
        if not planned.in_order:
            if document.id in seen:
                continue
            seen.add(document.id)
        batch.append(document)
        if len(batch) == size:
            changed += _write_batch(scope, batch, matches, write)
            batch = []
    return changed + _write_batch(scope, batch, matches, write)


def _write_batch(
    scope: Scope, documents: list[Document], matches: Predicate, write: Callable[[Document], Write]
) -> int:
    core, changed = scope.core, 0
    backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while documents:
        outcomes = core.write([write(document) for document in documents])
        errors = {key_of(one.id): outcome.error for one, outcome in zip(documents, outcomes, strict=True)}
        raise_failed(scope, "changing what matches", errors)
        changed += sum(outcome.done for outcome in outcomes)
        outpaced = [one.id for one, outcome in zip(documents, outcomes, strict=True) if outcome.revision is not None]
        if not outpaced:
            return changed
        if not backoff.wait():
            raise ConflictError(
                f"other writers changed {len(outpaced)} records at each attempt for {core.max_seconds:g} s; try again"
            ).during(f"changing what matches in namespace {scope.namespace!r}", core.backend.name)
        documents = [one for one in core.read(outpaced, Fields.ALL).values() if matches(one)]
    return changed
