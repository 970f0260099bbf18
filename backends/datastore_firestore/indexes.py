"""Composite indexes: the application declares them, the adapter creates them if permitted, and queries use them.

An index on ``userId``, ``namespace`` and fields of the values serves a range of its last field with equality on all the
others, in the order of that field (https://cloud.google.com/firestore/docs/query-data/index-overview). It holds a
document only if the document has the field. So values that no filter can look into are asked for separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.cloud.firestore_v1.field_path import FieldPath
from google.cloud.firestore_v1.types import query as messages

from datastore.adapters.choosing import Fit, choose, fit_of_first
from datastore.adapters.declaring import namespace_of
from datastore.adapters.pushdown import SYMBOLS
from datastore.backend import Fields, IdRange, Query
from datastore.errors import DataStoreError, QueryError
from datastore.ids import scope_of
from datastore.queries.paths import is_position
from datastore.queries.tree import Compare, Field, Path, clauses, conjunction
from datastore_firestore.building import command, until_usable
from datastore_firestore.client import Message, Settings
from datastore_firestore.codec import nameable
from datastore_firestore.failures import lacks_index
from datastore_firestore.queries import Place, Term, Test, fill_filter, natives_of
from datastore_firestore.reading import Reader

_SCOPE = ("userId", "namespace")
_MOST_FIELDS = 20
_EXACT_INTEGERS = 2**53

_Query: Any = messages.StructuredQuery.pb()


class Declared(NamedTuple):
    """An index that may be used."""

    paths: tuple[Path, ...]
    namespace: str | None

    @property
    def fields(self) -> list[str]:
        """Its fields, as Firestore names them."""
        return [*_SCOPE, *map(field_of, self.paths)]

    @property
    def name(self) -> str:
        """The name of the index."""
        return ",".join(self.fields)

    @property
    def fit(self) -> Fit:
        """How well it fits a query that it answers."""
        return fit_of_first(len(self.paths) - 1, True, len(self.paths))


class Ranged(NamedTuple):
    """How an index answers a query: with a range of the index, and then the documents that the index cannot hold."""

    on: Declared
    term: Term
    order: str
    """The field that orders the documents."""
    hidden: Term
    pushed: Query


def field_of(path: Path) -> str:
    """Return the name of a path into a value in a query."""
    name: str = FieldPath("value", *path).to_api_repr()  # type: ignore[no-untyped-call, unused-ignore]  # no types in some versions of the client
    return name


class Indexes:
    """The indexes of one collection that were declared in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._declared = dict[Declared, None]()

    def ensure(self, reader: Reader, paths: Sequence[Path], encoded_namespace: str | None) -> str:
        """See `Backend.ensure_index`.

        This sends a query that needs the index. If the index is missing, it is created through the administration API,
        which requires more than the right to read and write.

        Raises:
            QueryError: If there are too many fields or none, or Firestore cannot index one of them.
            PermissionDeniedError: If the index is missing and this process may not create it; the message has the
                command.
            BackendUnavailableError: If the index is still being built after ten minutes.
        """
        index = Declared(tuple(paths), namespace_of(encoded_namespace))
        _check(index)
        if index not in self._declared:
            until_usable(
                self._settings,
                index.name,
                [{"field_path": field, "order": "ASCENDING"} for field in index.fields],
                command(self._settings, [f"{field},order=ascending" for field in index.fields]),
                lambda: self._usable(reader, index),
            )
            self._declared[index] = None
        return index.name

    def forget(self, name: str) -> None:
        """Stop using an index that turned out not to exist."""
        for index in [index for index in list(self._declared) if index.name == name]:
            self._declared.pop(index, None)

    def ranged(self, range: IdRange, query: Query, *, more_than: int) -> Ranged | None:
        """Return how one of the indexes answers a query, if one with more than ``more_than`` fields does.

        Only for a whole namespace, or what is left of it after a page. An index cannot be narrowed by keys as well, so
        for a few keys most of what is read would be in vain.
        """
        place = scope_of(range)
        if place is None or not _is_rest_of_namespace(range):
            return None
        user, namespace = place
        usable = [one for one in list(self._declared) if len(one.paths) > more_than]

        def answer(index: Declared) -> tuple[Fit, Ranged] | None:
            found = _ranged(index, query)
            return None if found is None else (index.fit, found)

        chosen = choose(usable, namespace, answer)
        scope = (Test("userId", "==", user), Test("namespace", "==", namespace))
        return None if chosen is None else chosen._replace(term=scope + chosen.term)

    def query(self, ranged: Term, order: str) -> Message:
        """Return the query for a range of an index."""
        query = _Query()
        query.from_.add(collection_id=self._settings.collection)
        fill_filter(query.where, [ranged])
        for field in (order, "__name__"):
            query.order_by.add(direction=_Query.Direction.Value("ASCENDING")).field.field_path = field
        return query

    def _usable(self, reader: Reader, index: Declared) -> bool:
        *equal, last = index.fields
        query = self.query((*(Test(field, "==", "") for field in equal), Test(last, ">", "")), last)
        query.limit.value = 1
        try:
            reader.page(query, Fields.KEY, 1)
        except DataStoreError as error:
            if lacks_index(error):
                return False
            raise
        return True


def _is_rest_of_namespace(range: IdRange) -> bool:
    """Return whether a range is a namespace, from its beginning or from where a page ended, which no key does."""
    *_, encoded_key = range.start.split(":")
    return range.end.endswith(";") and (not encoded_key or encoded_key.endswith("!"))


def _check(index: Declared) -> None:
    if not 0 < len(index.paths) <= _MOST_FIELDS:
        raise QueryError(f"an index takes 1 to {_MOST_FIELDS} fields, not {len(index.paths)}")
    for path in index.paths:
        if not nameable(path) or any(map(is_position, path[1:])):
            raise QueryError(f"fields: Firestore cannot index {'.'.join(path)!r}: no native value has such a field")


def _ranged(index: Declared, query: Query) -> Ranged | None:
    *equal, last = index.paths
    term, pushed = list[Test](), list[Field]()
    for path in equal:
        clause, values = _equality(query, path)
        if clause is None:
            return None
        term.append(Test(field_of(path), "==", values[0]))
        pushed.append(clause)
    bounds = [clause for clause in _fields(query, last) if _is_bound(clause.condition)]
    kinds = {isinstance(clause.condition.value, str) for clause in bounds if isinstance(clause.condition, Compare)}
    if len(kinds) != 1:  # no bounds, or none that a value can satisfy together
        return None
    for clause in bounds:
        if isinstance(clause.condition, Compare):
            term.append(Test(field_of(last), SYMBOLS[clause.condition.operator], clause.condition.value))
    places = {Place("valueArrays", ".".join(path[:steps])) for path in index.paths for steps in range(len(path) + 1)}
    hidden = Test("valueArrays", "array-contains-any", tuple(sorted(place.path for place in places)))
    if len(places) > 30:
        return None
    pushed += bounds
    return Ranged(index, tuple(term), field_of(last), (hidden,), Query(conjunction([*pushed])))


def _equality(query: Query, path: Path) -> tuple[Field | None, tuple[Any, ...]]:
    for clause in _fields(query, path):
        if isinstance(clause.condition, Compare) and clause.condition.operator == "$eq":
            values = natives_of(clause.condition.value)
            if values is not None and len(values) == 1:
                return clause, values
    return None, ()


def _fields(query: Query, path: Path) -> list[Field]:
    return [clause for clause in clauses(query.value) if isinstance(clause, Field) and clause.path == path]


def _is_bound(condition: object) -> bool:
    if not isinstance(condition, Compare) or condition.operator == "$eq":
        return False
    value = condition.value
    if isinstance(value, str):
        return natives_of(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _EXACT_INTEGERS
