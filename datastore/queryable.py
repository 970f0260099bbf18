"""The calls of an agent's store that ask by what is in the records.

What parses, matches and sorts is imported with the first of these calls: a store that only gets and sets starts faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datastore import changing, listing
from datastore.backend import Delete, Document, Fields, Put
from datastore.scope import Bound, bounded, scope_of

if TYPE_CHECKING:
    from datastore.listing import Page
    from datastore.queries.shaping import FieldsArgument, SortArgument

Filter = Mapping[str, Any]


class Queryable(Bound):
    """Asks by value, metadata and provenance, in MongoDB's language: see ``docs/queries.md``.

    ``filter`` is about the values, ``meta`` about what a record's document holds beside them (``metadata.<field>``,
    ``createdByAgent``, ``createdAt``, ``updatedAt``, ``lastAccessedAt``, ``accessCount``, ``key``, ...; a time is a
    timezone-aware `datetime` or RFC 3339 text with any offset). With ``$`` before them these names stand in ``filter``
    and ``sort``, too: ``{"$or": [{"$key": "pen"}, {"price": 2}]}``, ``[("$createdAt", -1)]``. Every call raises
    `QueryError`, naming the place, before any I/O, if one of its arguments is not of the language.
    """

    __slots__ = ()

    @bounded
    def find(
        self,
        filter: Filter | None = None,
        *,
        meta: Filter | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> dict[str, Any]:
        """Return the values that match, and count an access for each.

        Args:
            filter: What the value must be like, such as ``{"price": {"$lt": 10}}``; ``None`` or ``{}`` for any.
            meta: What metadata and provenance must be like, such as ``{"createdByAgent": "planner"}``.
            sort: Pairs of a path and 1 or -1, such as ``[("price", -1)]``; ties are in the order of ids. A path leads
                into the value, or with ``$`` to a field of the record: ``$key``, ``$createdAt``, ``$updatedAt``,
                ``$accessCount``, ``$metadata.<field>``, ... ``None`` sorts by id, which is a stable order.
            limit: The most values to return; ``None`` for all.
            skip: How many to leave out at the beginning.
            fields: Which fields of each value to return: a list of paths, or a dict of paths to 1 or of paths to 0
                (``"_id": 0`` may stand beside paths to 1).

        Returns:
            The values by key, in order.

        Requests: 1 per page of the database; reading ends when ``limit`` is reached, unless there is a ``sort``. If
        more records are skipped than returned, those of a ``get_many`` of the returned ones come in addition. If only
        certain keys can match, only those of a ``get_many`` of these keys.
        """
        from datastore import finding
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_fields, parse_window

        query, window, shape = parse_query(filter, meta), parse_window(sort, skip, limit), parse_fields(fields)
        return finding.find(scope_of(self), query, window, shape)

    @bounded
    def find_records(
        self,
        filter: Filter | None = None,
        *,
        meta: Filter | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the records that match, page by page, with metadata and provenance. No access is counted.

        Args:
            filter: As `find`.
            meta: As `find`.
            sort: As `find`.
            limit: The most records to return; ``None`` for all that are left.
            cursor: Where to go on: what the page before returned, for the same ``filter``, ``meta`` and ``sort``.

        Returns:
            ``Page(records, cursor)``; the cursor is ``None`` at the end. A record that nobody changes meanwhile is on
            exactly one page. One that changes is looked at again when its page is read: it is left out if it no longer
            matches, and is in its new place if that page is still to come. A record that is new, or that begins to
            match, may be missing from the pages after the first.

        Raises:
            QueryError: Also if ``cursor`` comes from another query.

        Requests: as ``find``. With a ``sort`` the first page reads the namespace, and for some minutes the store
        remembers the ids of some thousand records that come next, without their values: each of the following pages
        costs a ``get_many`` of its records. If nothing is remembered (after that time, or in another process), the
        cursor still says where to go on, and the namespace is read again.
        """
        from datastore import paging
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_window

        query, window = parse_query(filter, meta), parse_window(sort, 0, limit)
        return paging.page(scope_of(self), query, window, cursor)

    @bounded
    def count(self, filter: Filter | None = None, *, meta: Filter | None = None) -> int:
        """Return how many records the namespace holds, or how many of them match. No access is counted.

        Args:
            filter: As `find`.
            meta: As `find`.

        Requests: without a filter SQLite 1, CouchDB and Firestore 2, DynamoDB 1 per page of the database; with one
        those of ``find``.
        """
        from datastore import finding
        from datastore.queries.language import parse_query

        query = parse_query(filter, meta)
        return finding.count(scope_of(self), query) if query else listing.count(scope_of(self))

    @bounded
    def explain(
        self,
        filter: Filter | None = None,
        *,
        meta: Filter | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
    ) -> dict[str, Any]:
        """Return how `find` answers a query. The query is run; no access is counted.

        Returns:
            ``backend``; ``native``, what the database was asked; ``index``, the declared index in use, or ``None``;
            ``pushed`` and ``checked_here``, the parts of the filters that the database narrows by, and those checked on
            each document (a part can be in both); ``sorted_here``; ``documents_read`` and ``documents_returned``.

        Requests: those of ``find``.
        """
        from datastore import finding
        from datastore.queries.language import parse_query
        from datastore.queries.shaping import parse_window

        return finding.explain(scope_of(self), parse_query(filter, meta), parse_window(sort, skip, limit))

    @bounded
    def delete_where(self, filter: Filter, *, meta: Filter | None = None) -> int:
        """Remove every record that matches.

        A record that somebody changes in the meantime, so that it no longer matches, stays.

        Args:
            filter: As `find`; ``{}`` for any, together with ``meta``. To remove everything use `clear`.
            meta: As `find`.

        Returns:
            How many were removed.

        Raises:
            QueryError: Also if neither ``filter`` nor ``meta`` asks for anything.
            BatchError: If some could not be removed; those before them are.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: those of ``find`` and of ``delete_many``.
        """
        from datastore import finding
        from datastore.queries.language import parse_query

        scope = scope_of(self)
        query = finding.required(parse_query(filter, meta), "delete_where", "clear() removes every record")
        now = scope.core.now()
        return finding.change(scope, query, Fields.VALUE, lambda found: Delete(found.id, now, found.revision))

    @bounded
    def update_where(self, filter: Filter, changes: Filter, *, meta: Filter | None = None) -> int:
        """Change every record that matches as `AgentDataStore.update` does.

        Each record changes once and atomically; all of them together do not. Expiry and metadata stay.

        Args:
            filter: As `find`; ``{}`` for any.
            changes: Fields to set, or update operators.
            meta: As `find`.

        Returns:
            How many were changed.

        Raises:
            InvalidValueError: If an operator does not fit a stored value; the records before it are changed.
            BatchError: If some could not be written; those before them are.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: those of ``find`` and of ``set_many``.
        """
        from datastore import finding
        from datastore.queries.language import parse_query
        from datastore.queries.updates import compile_update

        scope = scope_of(self)
        query, update = parse_query(filter, meta), compile_update(changes)

        def write(found: Document) -> Put:
            key = listing.key_of(found)
            with changing.naming(scope, key):
                value = update(found.value)
            moment = scope.moment()._replace(expires_at=found.expires_at)
            return scope.put(key, value, moment, name=f"the new value of {key!r}")._replace(if_revision=found.revision)

        return finding.change(scope, query, Fields.VALUE, write)
