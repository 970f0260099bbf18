"""Indexes on fields of values: what they hold, and which of their keys a query must look at.

An SQLite index has one entry for each row. So it holds one key for each field, in this order:

- NULL: the field is missing;
- numbers: integers as they are, real numbers rounded;
- text: its beginning;
- ``x'00'``: *anything*, for an array at or on the way to the field, an integer beyond 64 bits, a very large real
  number, or text with a NUL character. Every search looks at these too, and so misses nothing;
- ``x'01'`` false, ``x'02'`` true, ``x'03'`` an object, ``x'04'`` null.

A row that an index finds only *may* match: the expression of `datastore_sqlite.queries` decides. So keys may be coarse,
and those of real numbers must be. Versions of SQLite differ in the last digits of real numbers that they read from
JSON, and an index must hold the same keys for every version that ever opens the file, or it counts as damaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.choosing import Fit, by_path, choose, fit_of_first
from datastore.adapters.declaring import digest_of, kept, namespace_of, read, words_of
from datastore.adapters.pushdown import SYMBOLS
from datastore.errors import UnsupportedError
from datastore.queries.tree import Compare, Condition, Exists, Field, Filter, In, Path
from datastore_sqlite.client import NAME
from datastore_sqlite.queries import has_nul, json_path, meets_array, quoted
from datastore_sqlite.schema import TABLE

Key: TypeAlias = int | float | str | bytes | None

ANYTHING, _FALSE, _TRUE, _OBJECT, _NULL = (bytes([number]) for number in range(5))
LONG_TEXT = 200
"""How many characters of a text an index holds: a megabyte of text would fill 250 pages."""
_FINE, _LARGE = 2.0**20, 2.0**46
"""Real numbers below the first are rounded to multiples of 2**-20, and those below the second to integers."""
_EXACT = 2**45
"""An integer below this is the only key of values equal to it: a real number so close to it is rounded to it."""
_SLACK = 4e-15
"""How far off, relative to its size, a real number may have been read: 18 units in the last place."""
_MOST_KEYS = 1_000
"""The most keys that are looked up one by one."""
MERGED = 12
"""Up to this many searches are merged in the order of ids; a page then reads up to this many times its size."""

VERSION = "PRAGMA schema_version"
LIST = f"""
    SELECT schema_version, name, sql FROM pragma_schema_version LEFT JOIN (
        SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{TABLE}' AND sql LIKE '%(/* [%'
    )"""
"""One row for each index, and one without a name if there is no index; all begin with the version of the schema."""


class Range(NamedTuple):
    """A range of keys."""

    low: Key
    high: Key = None
    """``None`` for no bound."""
    open: bool = False
    """Whether ``high`` itself is excluded."""
    above: bool = False
    """Whether ``low`` itself is excluded."""


class Keys(NamedTuple):
    """The keys of all values for which a condition may hold."""

    points: frozenset[Key]
    range: Range | None = None


@dataclass(frozen=True)  # without slots, so that properties can be cached
class Index:
    """An index that `Backend.ensure_index` made."""

    fields: tuple[Path, ...]
    namespace: str | None
    """The namespace's plain name, not the encoded one in ids; ``None`` for all namespaces."""

    @cached_property
    def name(self) -> str:
        """The name: the same for the same fields and namespace. It would change if the keys ever changed."""
        return f"{TABLE}_by_{words_of(self.fields, 40)}_{digest_of(self._body, 12)}"

    @property
    def statement(self) -> str:
        """The statement that creates it."""
        return f'CREATE INDEX IF NOT EXISTS "{self.name}" ON {TABLE} {self._body}'

    @cached_property
    def expressions(self) -> list[str]:
        """The SQL for the key of each field."""
        return list(map(key_expression, self.fields))

    @cached_property
    def condition(self) -> str:
        """The SQL condition for rows of its namespace. With a parameter, SQLite would not use the index."""
        return "" if self.namespace is None else f"namespace = {_constant(self.namespace)}"

    @cached_property
    def _body(self) -> str:
        what = kept(self.fields, self.namespace).replace("*/", "*\\/")
        expressions = ", ".join(self.expressions)
        where = f" WHERE {self.condition}" if self.condition else ""
        return f"(/* {what} */ userId, namespace, {expressions}, _id){where}"


def declare(fields: Sequence[Path], encoded_namespace: str | None) -> Index:
    """Return the index on the given fields.

    Raises:
        UnsupportedError: If one of the paths does not mean the same to every version of SQLite.
    """
    for path in fields:
        if json_path(path) is None:
            raise UnsupportedError(
                f"an index on {'.'.join(path)!r} is not possible: its path has quotes, backslashes or control "
                "characters, or is too long",
                backend=NAME,
            )
    return Index(tuple(fields), namespace_of(encoded_namespace))


def known(rows: Iterable[tuple[str, str]]) -> list[Index]:
    """Return the indexes in the file that this version can use."""
    return [index for name, sql in rows if (index := _read(name, sql)) is not None]


@lru_cache(maxsize=256)
def _read(name: str, sql: str) -> Index | None:
    return read(sql.partition("/*")[2].partition("*/")[0], name, Index)


@lru_cache(maxsize=256)
def key_expression(path: Path) -> str:
    """Return the SQL for the key of a field."""
    where = json_path(path)
    value = f"json_extract(value, {where})"
    anything = _constant(ANYTHING)
    missing = f"ELSE CASE WHEN {meets_array('value', path)} THEN {anything} END" if len(path) > 1 else ""
    return (
        f"CASE json_type(value, {where})"
        f" WHEN 'text' THEN CASE WHEN {has_nul('value')} THEN {anything} ELSE substr({value}, 1, {LONG_TEXT}) END"
        f" WHEN 'integer' THEN CASE typeof({value}) WHEN 'integer' THEN {value} ELSE {anything} END"
        f" WHEN 'real' THEN CASE"
        f" WHEN abs({value}) < {_FINE} THEN round({value} * {_FINE}) / {_FINE}"
        f" WHEN abs({value}) < {_LARGE} THEN round({value}) ELSE {anything} END"
        f" WHEN 'false' THEN {_constant(_FALSE)} WHEN 'true' THEN {_constant(_TRUE)}"
        f" WHEN 'object' THEN {_constant(_OBJECT)} WHEN 'null' THEN {_constant(_NULL)}"
        f" WHEN 'array' THEN {anything} {missing} END"
    )


def _constant(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return f"CAST(x'{value.encode().hex()}' AS TEXT)" if "\0" in value else quoted(value)


def by_key(field: Field, full: str, names: Sequence[str]) -> str:
    """Return an expression with the same meaning for a row, which looks into the JSON only if the key does not tell.

    Args:
        field: A condition on a field of the index in use.
        full: The expression that looks into the JSON.
        names: The names of `key_parameters_of` its condition.
    """
    if not names:
        return full
    key = key_expression(field.path)
    match field.condition:
        case Compare("$eq") | In():
            is_text = isinstance(_values(field.condition)[0], str)
            among = _among(key, names)
            cases = {"text": among, "integer": "0", "real": "0"} if is_text else {"integer": among, "text": "0"}
        case Compare(operator, str()):
            cases = {"text": f"{key} {SYMBOLS[operator]} {names[0]}", "integer": "0", "real": "0"}
        case Compare(operator):
            upwards, (low, high, exactly) = operator in ("$gt", "$gte"), names
            near = f"WHEN {key} > {high} THEN {int(upwards)} WHEN {key} < {low} THEN {int(not upwards)}"
            cases = {"integer": f"{key} {SYMBOLS[operator]} {exactly}", "text": "0"}
            cases["real"] = f"CASE {near} ELSE {full} END"
    if cases["text"] != "0":
        cases["text"] = f"CASE WHEN length({key}) < {LONG_TEXT} THEN {cases['text']} ELSE {full} END"
    kinds = " ".join(f"WHEN '{kind}' THEN {sql}" for kind, sql in cases.items())
    return f"CASE typeof({key}) {kinds} ELSE {full} END"


def _among(key: str, names: Sequence[str]) -> str:
    """Return an expression that says whether a key, which is not NULL, is one of some parameters."""
    if 2 < len(names) <= MERGED:  # for IN, SQLite would first make a table of them, for each search
        return f"CASE {key} {' '.join(f'WHEN {name} THEN 1' for name in names)} ELSE 0 END"
    return f"{key} IN ({', '.join(names)})"


def key_parameters_of(condition: Condition) -> Sequence[Any]:
    """Return the parameters of the expression that `by_key` makes; empty if keys do not tell."""
    match condition:
        case Compare("$eq") | In():
            values = _values(condition)
            if all(isinstance(value, str) for value in values) or all(map(_is_whole, values)):
                return values
        case Compare(_, str() as value):
            return (value,)
        case Compare(_, int() | float() as value) if not isinstance(value, bool) and abs(value) < _LARGE / 2:
            return _rounded_beside(value)
    return ()


def key_binding_of(condition: Condition) -> Callable[[Any], Sequence[Any]]:
    """Return the function that makes the parameters from the constant of a condition like this one.

    It is the same for all conditions whose constants are of one kind (`datastore.queries.outlines.kind_of_constant`).
    """
    if not key_parameters_of(condition):
        return _nothing
    if isinstance(condition, In):
        return _themselves
    if isinstance(condition, Compare) and condition.operator != "$eq" and not isinstance(condition.value, str):
        return _rounded_beside
    return _itself


def _nothing(constant: Any) -> Sequence[Any]:
    return ()


def _itself(constant: Any) -> Sequence[Any]:
    return (constant,)


def _themselves(constants: Sequence[Any]) -> Sequence[Any]:
    return constants


def _rounded_beside(number: float) -> Sequence[Any]:
    if _is_certain(number):
        return (number, number, number)
    low, high = _about(number)
    return (_rounded(low), _rounded(high), number)


def _values(condition: Condition) -> tuple[Any, ...]:
    return (
        condition.values if isinstance(condition, In) else (condition.value,) if isinstance(condition, Compare) else ()
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


_INT64 = range(-(2**63), 2**63)


def keys_by_path(clauses: Iterable[Filter]) -> dict[Path, Keys]:
    """Return for each path in the clauses where to look for what satisfies all of them."""
    return by_path(clauses, _keys, _both)


def _keys(condition: Condition) -> Keys | None:
    match condition:
        case Compare("$eq", value):
            return Keys(frozenset((*_points(value), ANYTHING)))
        case In(values):
            return Keys(frozenset(key for value in values for key in _points(value)) | {ANYTHING})
        case Compare(_, value):
            range = range_of(condition)
            return None if range is None else Keys(frozenset({ANYTHING}), range(value))
        case Exists():
            return Keys(frozenset(), Range(-math.inf))
    return None


def _points(value: Any) -> Iterable[Key]:
    """Return the keys that a value equal to this one may have, besides `ANYTHING`."""
    if isinstance(value, str):
        return (value[:LONG_TEXT],)
    if _is_certain(value):
        return (value,)
    if value is None:
        return (None, _NULL)
    if isinstance(value, bool):
        return (_TRUE if value else _FALSE,)
    if isinstance(value, dict):
        return (_OBJECT,)
    if isinstance(value, list):
        return ()
    keys: set[Key] = {_rounded(bound) for bound in _about(value) if abs(bound) < _LARGE}
    if value == int(value) and -(2**63) <= value < 2**63:
        keys.add(int(value))
    return keys


def _is_certain(value: Any) -> bool:
    """Return whether a value is an integer to which the bounds around it would be rounded."""
    return type(value) is int and -_EXACT < value < _EXACT


def points_of(condition: Condition) -> Callable[[Any], Sequence[Key]] | None:
    """Return the function that gives the keys for the constant of a condition like this one, each once.

    Together they are the `Keys` of the condition. ``None`` if these can have a range.
    """
    if isinstance(condition, In):
        return _points_of_all
    return _points_of_one if isinstance(condition, Compare) and condition.operator == "$eq" else None


def _points_of_one(constant: Any) -> Sequence[Key]:
    return (*_points(constant), ANYTHING)


def _points_of_all(constants: Sequence[Any]) -> Sequence[Key]:
    return (*dict.fromkeys([key for value in constants for key in _points(value)]), ANYTHING)


def range_of(condition: Condition) -> Callable[[Any], Range] | None:
    """Return the function that gives the range of keys for the constant of a condition like this one.

    The `Keys` of the condition are this range and `ANYTHING`. ``None`` if they are not a range like that.
    """
    if not isinstance(condition, Compare) or condition.operator == "$eq":
        return None
    if condition.value is None or isinstance(condition.value, bool | list | dict):
        return None  # rarely asked for, and never worth an index
    upwards = condition.operator in ("$gt", "$gte")
    if isinstance(condition.value, str):
        return _texts_from if upwards else _texts_up_to
    return _numbers_from if upwards else _numbers_up_to


def _texts_from(text: str) -> Range:
    return Range(text[:LONG_TEXT], b"", open=True)


def _texts_up_to(text: str) -> Range:
    return Range("", text[:LONG_TEXT])


def _numbers_from(number: float) -> Range:
    if _is_certain(number):
        return Range(number, "", open=True)
    low, _ = _about(number)
    return Range(_rounded(low) if abs(low) < _LARGE else low, "", open=True)


def _numbers_up_to(number: float) -> Range:
    if _is_certain(number):
        return Range(-math.inf, number)
    _, high = _about(number)
    return Range(-math.inf, _rounded(high) if abs(high) < _LARGE else high)


def _both(one: Keys, other: Keys) -> Keys:
    """Return where to look for what is in both. Looking at either is enough, so the smaller one is chosen."""
    if one.range is None or other.range is None:
        return min(one, other, key=lambda keys: (keys.range is not None, len(keys.points)))
    range = narrower(one.range, other.range)
    points = one.points | other.points if range.high is not None else one.points & other.points
    return Keys(points, range)


def narrower(one: Range, other: Range) -> Range:
    """Return the range of what is in both of two ranges, whose lower bounds are part of them."""
    low = other.low if _order(one.low) < _order(other.low) else one.low
    if one.high is None or other.high is None:
        bounded = other if one.high is None else one
    else:
        bounded = one if (_order(one.high), not one.open) <= (_order(other.high), not other.open) else other
    return Range(low, bounded.high, bounded.open)


def _order(key: Key) -> tuple[int, Any]:
    """Return a sort key for keys, in SQLite's order of types."""
    return (_RANKS.get(type(key), 2), key)


_RANKS = {int: 0, float: 0, str: 1}


def _about(value: float) -> tuple[float, float]:
    try:
        middle = float(value)
    except OverflowError:
        middle = math.inf if value > 0 else -math.inf
    slack = abs(middle) * _SLACK if math.isfinite(middle) else 0.0
    return middle - slack, middle + slack


def _rounded(value: float) -> Key:
    """Return the key of a real number. It is rounded in the same steps as in SQL, with halves away from zero."""
    scale = _FINE if abs(value) < _FINE else 1.0
    return math.trunc(value * scale + math.copysign(0.5, value)) / scale


class Probe(NamedTuple):
    """One search in an index: the first fields have given keys, and the next field is in a range."""

    points: tuple[Key, ...]
    range: Range | None = None
    after: str = ""
    """Ids up to and including this one are left out."""

    def behind(self, keys: tuple[Key, ...], id: str) -> list[Probe]:
        """Return the searches for what follows an entry, given by its keys after the points and its id."""
        rest = [Probe((*self.points, *keys), None, id)]
        rest += [
            Probe((*self.points, *keys[:count]), Range(keys[count], above=True))
            for count in range(len(keys) - 1, 0, -1)
        ]
        if keys:
            high, is_open = (None, False) if self.range is None else (self.range.high, self.range.open)
            rest.append(Probe(self.points, Range(keys[0], high, is_open, above=True)))
        return rest


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look in an index."""

    index: Index
    probes: tuple[Probe, ...]
    """They do not overlap."""

    @property
    def fields(self) -> tuple[Path, ...]:
        """The fields that the search uses."""
        probe = self.probes[0]
        return self.index.fields[: len(probe.points) + (probe.range is not None)]

    @property
    def fit(self) -> Fit:
        """How well the search fits the query."""
        probe = self.probes[0]
        return fit_of_first(len(probe.points), probe.range is not None, len(self.index.fields))

    @property
    def in_order(self) -> bool:
        """Whether each probe's rows are in the order of their ids, and there are few enough probes to merge."""
        return len(self.probes) <= MERGED and len(self.probes[0].points) == len(self.index.fields)


def best_search(indexes: Sequence[Index], namespace: str, keys: Mapping[Path, Keys]) -> Search | None:
    """Return the search with the index that fits best (`datastore.adapters.choosing`); ``None`` if no index helps."""

    def answer(index: Index) -> tuple[Fit, Search] | None:
        found = search(index, keys)
        return None if found is None else (found.fit, found)

    return choose(indexes, namespace, answer)


def search(index: Index, keys: Mapping[Path, Keys]) -> Search | None:
    """Return the search with one index; ``None`` if it does not help."""
    if index.fields[0] not in keys:
        return None
    points: list[frozenset[Key]] = []
    size = 1
    for path in index.fields:
        here = keys.get(path)
        if here is None:
            break
        if size * (len(here.points) + (here.range is not None)) > _MOST_KEYS:
            break
        size *= max(len(here.points), 1)
        if here.range is not None:
            probes = [Probe(prefix, here.range) for prefix in product(*points)]
            probes += [Probe(prefix) for prefix in product(*points, here.points)]
            return Search(index, tuple(probes))
        points.append(here.points)
    return Search(index, tuple(Probe(prefix) for prefix in product(*points))) if points else None
