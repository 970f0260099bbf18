"""Calls on the namespaces of a user: which there are, what they hold, and what is in several of them.

Ids begin with the namespace, so the namespaces with a prefix are one range of ids, and each call reads that range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from datastore.arguments import as_bool
from datastore.backend import Fields, IdRange, NamespaceStats
from datastore.calls.listings import most
from datastore.core import Core
from datastore.documents import NO_KEY, damaged, name_of, skip
from datastore.errors import UnsupportedError
from datastore.ids import (
    AREAS,
    EVERYTHING,
    after_namespace,
    area_ranges,
    decode_prefix,
    encode_key,
    home_of,
    namespace_of,
    namespace_order,
    namespace_range,
)
from datastore.late import Late
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.stats import Stats
from datastore.values import encode

if TYPE_CHECKING:
    from datastore import record
    from datastore.calls import planning
    from datastore.queries import shaping
    from datastore.queries.shaping import FieldsArgument, FilterArgument, SortArgument
    from datastore.record import Record
else:
    planning, shaping = Late("datastore.calls.planning"), Late("datastore.queries.shaping")
    record = Late("datastore.record")  # importing Pydantic takes long

_ANY_KEY = encode_key("k")
_NEXT = "!"
"""Appended to an id, it gives the beginning of what follows: it sorts before every character of base64."""


class NamespaceCalls(Bound):
    """Looks into all namespaces of the user, or those with a prefix, whichever namespace the store is bound to.

    Namespaces are sorted as in ids: by code point, each with a ``:`` after it, and with ``%``, ``:``, ``/``, control
    characters and a leading ``_`` percent-encoded. So ``job-1`` comes before ``job``, as ``-`` comes before ``:``.
    """

    __slots__ = ()

    @bounded
    def list_namespaces(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[str]:
        """Return the user's namespaces that hold a record, in the order of ids.

        Args:
            prefix: Only namespaces that begin with it.
            start: Only namespaces from this one on. It need not exist.
            end: Only namespaces before this one. It need not exist.
            reverse: From the last namespace to the first.
            limit: The most namespaces; ``None`` for all of them.

        Returns:
            The namespaces.

        Raises:
            QueryError: If ``limit`` is below 1.

        Requests: SQLite 1, CouchDB 2 (3 or more where something has expired, as `count`); on others, and with a
        ``limit`` on all, 1 more than namespaces are returned.
        """
        scope = scope_of(self)
        range = namespace_range(scope.encoded_user, prefix, start, end)
        backward = as_bool(reverse, "reverse")
        if limit is None and scope.core.backend.capabilities.supports("namespaces"):
            return _at_once(scope, range, backward)
        return _one_by_one(scope, range, _namespace, backward, None if limit is None else most(limit))

    @bounded
    def find_in(
        self,
        namespace_prefix: str,
        filter: FilterArgument | None = None,
        *,
        meta: FilterArgument | None = None,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> list[Record]:
        """Return the records of several namespaces that match, each with its namespace. No access is counted.

        Args:
            namespace_prefix: What the namespaces begin with; ``""`` for all of the user's.
            filter: What the value must be like, as in `find`.
            meta: What metadata and provenance must be like, as in `find`.
            sort: As in `find`; ties, and without it everything, in the order of namespaces and of the keys in each.
            limit: The most records to return; ``None`` for all.
            skip: How many to leave out at the beginning.
            fields: Which fields of each value the records hold; as in `find`.

        Raises:
            QueryError: If an argument is not of the language; the message names the place.

        Requests: as ``find``, for all these namespaces together.
        """
        query, window = planning.parse_query(filter, meta), shaping.parse_window(sort, skip, limit)
        shape = shaping.parse_fields(fields)
        scope = scope_of(self)
        range = namespace_range(scope.encoded_user, namespace_prefix, None, None, "namespace_prefix")
        found = planning.PlannedQuery(scope, query, Fields.ALL, range, window.sort).choose(window)
        if shape is not None:
            found = [one._replace(value=shape(one.value)) for one in found]
        return list(map(record.to_record, found))

    def namespace_stats(
        self, prefix: str | None = None, *, start: str | None = None, end: str | None = None
    ) -> list[NamespaceStats]:
        """Return how much each namespace holds. No access is counted.

        It looks at every record of these namespaces, so it takes as long as that does; ``max_seconds`` is for each
        page.

        Args:
            prefix: Only namespaces that begin with it.
            start: Only namespaces from this one on. It need not exist.
            end: Only namespaces before this one. It need not exist.

        Returns:
            For each namespace that holds a record, in the order of ids, a named tuple: ``namespace``, ``records``,
            ``bytes`` (of the values' JSON, in UTF-8), ``agents`` (who created records or changed them last, sorted) and
            ``updated_at`` (when a value or metadata changed last).

        Requests: 1 per page of the database; SQLite 1, which hands over no values.
        """
        scope = scope_of(self)
        core, range = scope.core, namespace_range(scope.encoded_user, prefix, start, end)
        if core.backend.capabilities.supports("namespace_stats"):
            backend, now = core.backend, core.now()
            found = core.call("summing up namespaces", lambda: backend.namespace_stats(range, now))
        else:
            stats = Stats()
            for one in core.scan(range, Fields.ALL):
                agents = one.created_by_agent, one.updated_by_agent
                stats.add(one.id, len(encode(one.value).encode()), agents, one.updated_at)
            found = stats.by_namespace()
        return sorted(found, key=lambda one: namespace_order(one.namespace))


def namespaces_beside(
    scope: Scope,
    area: str,
    prefix: str | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    reverse: bool = False,
    limit: int | None = None,
) -> list[str]:
    """Return the user's namespaces that have something in an area, with records or without, in the order of ids.

    Args:
        scope: A scope of the user.
        area: Which of the `datastore.ids.AREAS`.
        prefix: As `NamespaceCalls.list_namespaces`.
        start: The same.
        end: The same.
        reverse: The same.
        limit: The same.

    Requests: 1 more than namespaces are returned.
    """
    ranges = dict(zip(AREAS, area_ranges(namespace_range(scope.encoded_user, prefix, start, end)), strict=True))
    return _one_by_one(scope, ranges[area], _home, reverse, limit)


def purge(core: Core, range: IdRange = EVERYTHING) -> int:
    """Remove the expired records of a range, and return how many there were.

    Raises:
        UnsupportedError: If the database reclaims them by itself.
    """
    backend = core.backend
    if not backend.capabilities.supports("purge"):
        core.check_open()
        raise UnsupportedError("expired records are reclaimed by the database itself", backend=backend.name)
    now = core.now()
    return core.call("purging expired records", lambda: backend.purge(now, range))


def _at_once(scope: Scope, range: IdRange, reverse: bool) -> list[str]:
    """Return the namespaces of a range as the database lists them."""
    backend, now = scope.core.backend, scope.core.now()
    prefixes = scope.core.call("listing namespaces", lambda: backend.namespaces(range, now))
    found = [name.namespace for id in prefixes if (name := name_of(id + _ANY_KEY)) is not None]
    return sorted(found, key=namespace_order, reverse=reverse)


def _namespace(id: str) -> str | None:
    """Return the namespace of a record."""
    name = name_of(id)
    return None if name is None else name.namespace


def _home(id: str) -> str | None:
    """Return the namespace beside whose records something lies."""
    home = home_of(id)
    try:
        return None if home is None else decode_prefix(home[:-1])[1]
    except ValueError:
        return None


def _one_by_one(
    scope: Scope, range: IdRange, name: Callable[[str], str | None], reverse: bool, limit: int | None
) -> list[str]:
    """Skip from namespace to namespace: read one id of each, and go on after it."""
    found: list[str] = []
    while limit is None or len(found) < limit:
        document = next(scope.core.scan(range, Fields.KEY, at_once=1, reverse=reverse), None)
        if document is None:
            break
        namespace = name(document.id)
        if namespace is not None:
            found.append(namespace)
            start, end = namespace_of(document.id), after_namespace(document.id)
        else:
            skip(damaged(document.id, NO_KEY))
            start, end = document.id, document.id + _NEXT
        range = IdRange(range.start, start) if reverse else IdRange(end, range.end)
    return found if limit is not None else sorted(found, key=namespace_order, reverse=reverse)
