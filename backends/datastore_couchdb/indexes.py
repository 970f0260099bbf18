"""Declared indexes: Mango indexes on fields of values, and which queries may use them.

A Mango index leaves out documents that lack one of its fields, holds an array as a whole, and does not see what is
stored as text. So each declared index consists of two: one of the fields, and one of the *rest*, the few documents in
which a field may lie in an array or in text. A query asks both, and the second one usually finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from datastore.adapters.choosing import Asked, Fit, fit
from datastore.adapters.declaring import digest_of, kept, words_of
from datastore.errors import DataStoreError, UnsupportedError
from datastore.queries.paths import is_position
from datastore.queries.tree import Compare, Field, Filter, In, Path, clauses
from datastore.retry import Backoff
from datastore_couchdb.client import NAME, Session
from datastore_couchdb.keeping import plain_number
from datastore_couchdb.queries import Part, Selector, Test, any_of, array_tests, field_name

PREFIX = "agent_data_store_by_"
"""What the names of declared indexes begin with."""
_REST = "_rest"
_VALUE = "value"
_MOST_QUERIES = 8
"""CouchDB looks up one value at a time in a Mango index: an ``$in`` of more values than this does not use an index."""
_BUILD_SECONDS = 3_600.0
_ASCII = re.compile(r"[ -~]*")
"""Text in which CouchDB never takes two different ones for equal."""


@dataclass(frozen=True, slots=True)
class DeclaredIndex:
    """An index on fields of values, in one namespace or in all."""

    name: str
    fields: tuple[Path, ...]
    namespace: str | None

    @property
    def rest(self) -> str:
        """The name of the index of the rest: the documents that the index itself cannot hold."""
        return self.name + _REST

    def rest_part(self) -> Part:
        """Return a selector for the documents in the rest."""
        tests: list[Selector] = [{"valueJson": {"$exists": True}}]
        for path in self.fields:
            tests += [*array_tests(path, _VALUE), {_name(path): {"$type": "array"}}]
        return any_of(Part(test, True) for test in tests)

    def definitions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and the definition of each of its two Mango indexes."""
        filter: Selector = {} if self.namespace is None else {"namespace": {"$eq": self.namespace}}
        own: dict[str, Any] = {"fields": ["userId", "namespace", *map(_name, self.fields)]}
        if filter:
            own["partial_filter_selector"] = filter
        yield self.name, own
        rest = {"fields": ["userId", "namespace"], "partial_filter_selector": filter | self.rest_part().selector}
        yield self.rest, rest

    def answer(self, filter: Filter) -> tuple[Fit, tuple[DeclaredIndex, list[Selector]]] | None:
        """Return how well the index fits a filter, and the selectors to ask it for, one after another.

        ``None`` if the filter does not constrain every field of the index.
        """
        alternatives = [_tests(path, filter) for path in self.fields]
        number = prod(map(len, alternatives))
        if not 0 < number <= _MOST_QUERIES:
            return None
        names = list(map(_name, self.fields))
        asked = fit([Asked.EQUAL if "$eq" in tests[0] else Asked.RANGE for tests in alternatives])
        return asked, (self, [dict(zip(names, tests, strict=True)) for tests in product(*alternatives)])


def declare(fields: Sequence[Path], namespace: str | None) -> DeclaredIndex:
    """Return an index on the given fields. The same fields always give the same name.

    Raises:
        UnsupportedError: If CouchDB cannot index one of them.
    """
    for path in fields:
        if field_name(path, _VALUE) is None or any(map(is_position, path)):
            raise UnsupportedError(
                f"CouchDB cannot index {'.'.join(path)!r}: it cannot tell positions in arrays, backslashes and names "
                "that JavaScript gives to every object from other things, and more than 16 steps are too deep; "
                "index another field",
                backend=NAME,
            )
    name = f"{words_of(fields, 40).strip('_')}_{digest_of(kept(fields, namespace), 10)}"
    return DeclaredIndex(PREFIX + name, tuple(fields), namespace)


def declared_in(documents: Mapping[str, dict[str, Any]]) -> dict[str, DeclaredIndex]:
    """Return the declared indexes, by name, among design documents, by name."""
    found = {}
    for name, document in documents.items():
        if name.startswith(PREFIX) and name + _REST in documents:
            definition = document["views"][name]["options"]["def"]
            names = [field if isinstance(field, str) else next(iter(field)) for field in definition["fields"]]
            fields = [tuple(name.split(".")[1:]) for name in names[2:]]
            namespace = definition.get("partial_filter_selector", {}).get("namespace", {}).get("$eq")
            index = declare(fields, namespace)
            if index.name == name:  # otherwise somebody else made it
                found[name] = index
    return found


def build(session: Session, index: DeclaredIndex) -> None:
    """Create an index if it does not exist, and return when it can be used.

    Raises:
        PermissionDeniedError: If this user may not create it.
        BackendUnavailableError: If the server does not answer.

    Requests: 4, and 2 for each time that building it takes longer than a request may.
    """
    partitioned = session.settings.partitioned
    for name, definition in index.definitions():
        body = {"index": definition, "ddoc": name, "name": name, "type": "json"}
        session.post("_index", body | {"partitioned": True} if partitioned else body)
    for name, definition in index.definitions():
        anything = {field: {"$gt": None} for field in definition["fields"]}
        query = {"selector": anything, "use_index": [name, name], "limit": 1, "fields": ["_id"]}
        _wait(session, "_partition/any/_find" if partitioned else "_find", query, name)


def _wait(session: Session, path: str, query: dict[str, Any], name: str) -> None:
    """Ask an index until it answers: CouchDB builds it on the first query, however long that takes."""
    backoff = Backoff(_BUILD_SECONDS, 1.0, 10.0)
    while True:
        try:
            session.post(path, query)
        except DataStoreError as error:
            if not error.retryable or not backoff.wait():
                raise
            session.get(f"_design/{name}/_info")  # raises if the index is not just slow to build
        else:
            return


def _name(path: Path) -> str:
    return ".".join((_VALUE, *path))


def _tests(path: Path, filter: Filter) -> list[Test]:
    """Return the alternatives that a filter allows for a field that holds a single value; empty if it allows any."""
    conditions = [clause.condition for clause in clauses(filter) if isinstance(clause, Field) and clause.path == path]
    for condition in conditions:
        match condition:
            case Compare("$eq", value):
                tests = _equal_to((value,))
            case In(values):
                tests = _equal_to(values)
            case _:
                continue
        if tests:
            return tests
    between = _between(condition for condition in conditions if isinstance(condition, Compare))
    return [between] if between else []


def _equal_to(values: Sequence[Any]) -> list[Test]:
    tests: dict[str, Test] = {}
    for value in values:
        number = plain_number(value)
        if number is None and not isinstance(value, bool | str):
            return []
        if isinstance(value, str) and len(values) > 1 and not _ASCII.fullmatch(value):
            return []  # it might find the same documents as another of the values
        tests[repr(value if number is None else number)] = {"$eq": value if number is None else number}
    return list(tests.values())


def _between(comparisons: Iterable[Compare]) -> Test:
    """Return the range of numbers that several comparisons allow; empty if they allow all.

    An end without a number is the neighbouring type: booleans sort before numbers, and text after them.
    """
    low: list[tuple[float, bool]] = []
    high: list[tuple[float, bool]] = []
    for comparison in comparisons:
        number = plain_number(comparison.value)
        if number is not None and comparison.operator in ("$gt", "$gte"):
            low.append((number, comparison.operator == "$gt"))
        elif number is not None and comparison.operator in ("$lt", "$lte"):
            high.append((number, comparison.operator == "$lte"))
    if not low and not high:
        return {}
    test: Test = {"$gt": True, "$lt": ""}
    if low:
        number, strictly = max(low)
        del test["$gt"]
        test["$gt" if strictly else "$gte"] = number
    if high:
        number, inclusive = min(high)
        del test["$lt"]
        test["$lte" if inclusive else "$lt"] = number
    return test
