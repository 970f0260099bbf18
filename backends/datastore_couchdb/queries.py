"""From a filter to a Mango selector that finds every matching document, and possibly some others.

The selectors mean the same to CouchDB and to PouchDB, whose implementations of Mango differ:

- CouchDB compares text as people sort words (ICU), so that different texts can be equal. So text is asked for only by
  equality, never by range, and is never negated. Times may be, since they differ only in digits.
- In CouchDB a missing field fails every test, even a negated one. Only ``$exists: false`` finds it, and that only if
  everything on the way to it is an object. PouchDB goes through ``0`` and ``""`` as if they were objects.
- Neither looks into arrays on the way to a field: such a document is found, and the store checks it. ``$in`` looks into
  an array at the end of the way.
- PouchDB drops what stands beside ``$and``, merges an ``$or`` inside it, and does not know ``$ne`` inside ``$or``. So
  conditions that must all hold are written as fields side by side, or with ``$nor`` where two would have the same name.
- A number that a server stores in another form is still the same number to it (`datastore_couchdb.keeping`). Beyond
  2^53 some servers compare exact integers and others floats, so those are only asked for by sign and size.

https://docs.couchdb.org/en/stable/api/database/find.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.pushdown import UNSUPPORTED, About, Dialect, Piece, Translation, inexact
from datastore.queries.tree import Compare, Condition, Exists, Field, Filter, HasType, In, Not, Path, Size
from datastore_couchdb.keeping import EXACT, plain_number

Selector: TypeAlias = dict[str, Any]
Test: TypeAlias = dict[str, Any]
"""Operators on one field."""


class Part(NamedTuple):
    """A selector for some part of a filter."""

    selector: Selector
    narrows: bool
    """Whether it probably excludes something: it tests more than the type of a field, which most documents share."""


NOTHING = Part({"revision": {"$type": "null"}}, True)
"""Finds no document, since each has a revision: used where nothing that is stored natively can match."""
_UNSEEN = ("accessCount", "lastAccessedAt", "lastAccessedByAgent")
"""Fields whose stored values may be out of date: accesses are counted before they are written."""
_NULL_OR_MISSING = (("expiresAt",), ("updatedByAgent",))
"""Fields that are null in the filter where a document lacks them: one that never expires, one of an earlier version."""
_TIMES = ("createdAt", "updatedAt", "expiresAt")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_INHERITED = frozenset(
    ("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf")
)
"""Names that every object in JavaScript seems to have, besides those with ``__``."""
_TYPES = {
    "double": "number", "int": "number", "long": "number", "number": "number", "string": "string", "object": "object",
    "bool": "boolean", "null": "null", "array": "array",
}  # fmt: skip
_MOST_STEPS = 16
"""Deeper fields are left to the store: each step may be an array, and each would need its own test."""
_ARRAY: Test = {"$type": "array"}


class Mango(Dialect[Part]):
    """What Mango finds. The store checks it all again: Mango compares text differently, and cannot read JSON text."""

    nothing = NOTHING
    decides = frozenset()

    def condition(self, about: About, path: Path, condition: Condition) -> Translation[Part]:
        """Return a selector for the documents in which a condition holds."""
        return _found(_condition, about, path, condition)

    def opposite(self, about: About, path: Path, condition: Condition) -> Translation[Part]:
        """Return a selector for the documents in which a condition does not hold."""
        return _found(_opposite, about, path, condition)

    def all_of(self, parts: Sequence[Part]) -> Part | None:
        """Return a selector for the documents that every part finds."""
        return every(parts)

    def any_of(self, parts: Sequence[Part]) -> Part:
        """Return a selector for the documents that at least one part finds."""
        return any_of(parts)


def value_part(pieces: Iterable[Piece[Part]]) -> Part | None:
    """Return a selector for the documents whose value matches, or ``None`` if that would be all."""
    part = every([piece.expression for piece in pieces if piece.about == "value"])
    return part and _or_text("valueJson", part)


def meta_part(pieces: Iterable[Piece[Part]]) -> Part | None:
    """Return a selector for the documents whose metadata and provenance match, or ``None`` if that would be all."""
    inside: list[Part] = []
    beside: list[Part] = []
    for piece in pieces:
        if piece.about == "meta":
            (inside if _asks_for_metadata(piece.filter) else beside).append(piece.expression)
    metadata = every(inside)
    return every(beside if metadata is None else [*beside, _or_text("metadataJson", metadata)])


def every(parts: Sequence[Part]) -> Part | None:
    """Return a selector for the documents that every part finds; ``None`` without parts."""
    if not parts:
        return None
    together: Selector = {}
    for part in parts:
        _add(together, part.selector)
    return Part(together, any(part.narrows for part in parts))


def any_of(parts: Iterable[Part]) -> Part:
    """Return a selector for the documents that at least one part finds."""
    chosen = [part for part in parts if part.selector != NOTHING.selector]
    if len(chosen) < 2:
        return chosen[0] if chosen else NOTHING
    alternatives: list[Selector] = []
    for part in chosen:
        inner = part.selector["$or"] if list(part.selector) == ["$or"] else [part.selector]
        alternatives += inner
    different = {repr(one): one for one in alternatives}  # compared by their text, because 1 equals True in Python
    return Part({"$or": list(different.values())}, all(part.narrows for part in chosen))


def field_name(path: Path, root: str) -> str | None:
    """Return Mango's name of a field; ``None`` if it has none, means another one in JavaScript, or is too deep."""
    if len(path) > _MOST_STEPS or any("\\" in step or step in _INHERITED or step.startswith("__") for step in path):
        return None
    return ".".join((root, *path) if root else path)


def array_tests(path: Path, root: str) -> Iterator[Selector]:
    """Yield selectors for the documents with an array on the way to a field, but not at its end."""
    for length in range(1, len(path)):
        yield {".".join((root, *path[:length]) if root else path[:length]): _ARRAY}


def _add(together: Selector, selector: Selector) -> None:
    for name, test in selector.items():
        known = together.get(name)
        if known is None:
            together[name] = list(test) if isinstance(test, list) else dict(test)
        elif name == "$nor":
            known += test
        elif name != "$or" and known.keys().isdisjoint(test):
            known.update(test)
        elif repr(known) == repr(test) or (name != "$or" and _repeats(known, test)):
            continue
        else:
            together.setdefault("$nor", []).append({"$not": {name: test}})


def _repeats(known: Test, test: Test) -> bool:
    """Return whether a test adds nothing to a known one; compared by text, because 1 equals True in Python."""
    return all(operator in known and repr(known[operator]) == repr(wanted) for operator, wanted in test.items())


def _or_text(field: str, part: Part) -> Part:
    """Make a selector also find documents that store a field as text, which it cannot look into."""
    return any_of([Part({field: {"$exists": True}}, True), part])


def _asks_for_metadata(filter: Filter) -> bool:
    if isinstance(filter, Field):
        return filter.path[0] == "metadata"
    inner = (filter.clause,) if isinstance(filter, Not) else filter.clauses
    return any(map(_asks_for_metadata, inner))


def _found(
    find: Callable[[str, Path, str, Condition], Part | None], about: About, path: Path, condition: Condition
) -> Translation[Part]:
    root = "value" if about == "value" else ""
    name = _name(path, root, condition)
    part = None if name is None else find(name, path, root, condition)
    return UNSUPPORTED if part is None else inexact(part)


def _condition(name: str, path: Path, root: str, condition: Condition) -> Part | None:
    narrows = True
    match condition:
        case In(values):
            return _is_in(name, path, root, values)
        case Exists():
            tests: list[Test] = [{"$exists": True}]
        case HasType(names):
            types = {_TYPES[one] for one in names if one in _TYPES}
            tests = [{"$type": type} for type in sorted(types | {"array"})] if types else []
        case Size(length):
            tests = [{"$size": length} if length <= EXACT else _ARRAY]
        case Compare(operator, value):
            tests, narrows = _range(name, operator, value)
        case _:
            return None  # only the type could be asked for, which excludes too little to be worth it
    if not tests:
        return NOTHING
    return _any_test(name, path, root, tests, narrows)


def _name(path: Path, root: str, condition: Condition) -> str | None:
    if not root:
        if path[0] in _UNSEEN:
            return None
        if path in _NULL_OR_MISSING and isinstance(condition, Exists | HasType):
            return None
    return field_name(path, root)


def _any_test(name: str, path: Path, root: str, tests: list[Test], narrows: bool) -> Part:
    found = [Part({name: test}, narrows) for test in tests]
    return any_of(found + [Part(test, narrows) for test in array_tests(path, root)])


def _is_in(name: str, path: Path, root: str, values: tuple[Any, ...]) -> Part:
    """Return a selector for one of several values, or for an array that contains one of them."""
    plain: list[Any] = []
    beyond: list[Test] = []
    types: set[str] = set()
    for value in values:
        number = plain_number(value)
        if isinstance(value, str | bool) or number is not None:
            plain.append(value if number is None else number)
        elif isinstance(value, dict):
            types |= {"object", "array"}  # not by equality, which would depend on the order of the keys
        elif isinstance(value, list):
            types.add("array")
        elif value is not None and abs(value) >= EXACT:
            beyond.append(_beyond(value))
    narrows = not types
    tests: list[Test] = [{"$in": plain}] if plain else []
    tests += beyond
    tests += [{"$type": type} for type in sorted(types | {"array"} if None in values or beyond else types)]
    if None in values:
        tests.append({"$eq": None})
        return any_of([*_missing(name, path, root), *(Part({name: test}, True) for test in tests)])
    return _any_test(name, path, root, tests, narrows) if tests else NOTHING


def _beyond(value: float) -> Test:
    """Return a selector for a number beyond those that compare exactly: it finds all numbers on that side."""
    return {"$type": "number", "$gte": EXACT} if value > 0 else {"$type": "number", "$lte": -EXACT}


def _missing(name: str, path: Path, root: str) -> list[Part]:
    """Return selectors for the documents that lack a field, or have something other than objects on the way to it."""
    steps = (root, *path) if root else path
    ways = [".".join(steps[:length]) for length in range(1, len(steps))]
    no_object = [Part({"$nor": [{way: {"$type": "object"}}]}, True) for way in ways]
    return [Part({name: {"$exists": False}}, True), *no_object]


def _range(name: str, operator: str, value: Any) -> tuple[list[Test], bool]:
    """Return tests for the values that a comparison may hold for, and whether they test more than the type."""
    number = plain_number(value)
    if number is not None:
        return [{"$type": "number", operator: number}, _ARRAY], True
    if type(value) in (int, float) and abs(value) >= EXACT and (value > 0) == (operator in ("$gt", "$gte")):
        return [_beyond(value), _ARRAY], True
    if isinstance(value, str):
        if name in _TIMES and _TIME.fullmatch(value):
            return [{operator: value}], True
        return [{"$type": "string"}, _ARRAY], False
    kind = "boolean" if isinstance(value, bool) else "object" if isinstance(value, dict) else "number"
    return [_ARRAY] if isinstance(value, list) else [{"$type": kind}, _ARRAY], False


def _opposite(name: str, path: Path, root: str, condition: Condition) -> Part | None:
    match condition:
        case In(values) if None in values:
            # Neither null nor missing; or an array, which is found because of what it may contain.
            return _any_test(name, path, root, [{"$gt": None}], narrows=True)
        case In(values):
            certain = _certainly_in(values)
        case Compare(operator, value) if plain_number(value) is not None:
            certain = [{"$type": "number", operator: plain_number(value)}]
        case HasType(names):
            whole = ("number", "string", "object", "bool", "null", "array")
            certain = [{"$type": _TYPES[one]} for one in names if one in whole]
        case Exists():
            return any_of(_missing(name, path, root))
        case _:
            certain = []
    if not certain:
        return None
    none_of = Part({"$nor": [{name: test} for test in certain]}, True)
    return any_of([*_missing(name, path, root), none_of])


def _certainly_in(values: Sequence[Any]) -> list[Test]:
    """Return a test that finds only values equal to one of these. No text: CouchDB finds more than equal text."""
    exact = [value if isinstance(value, bool) else plain_number(value) for value in values]
    known = [value for value in exact if value is not None]
    return [{"$in": known}] if known else []
