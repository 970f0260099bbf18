"""The parser: turns a filter document into the tree, and the tree back into a document that people can read.

The language is MongoDB's (https://www.mongodb.com/docs/manual/reference/operator/query/), as far as JSON goes. Every
error is a `QueryError` that names the place, and is raised before any I/O.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from datastore.arguments import as_dict, as_number, as_text, elements, is_a, is_mapping
from datastore.errors import DataStoreError, QueryError, kind_of
from datastore.queries.outlines import learn, outline_of, query_for
from datastore.queries.paths import parse_path
from datastore.queries.patterns import compile_pattern
from datastore.queries.tree import (
    EVERYTHING,
    And,
    Compare,
    Comparison,
    Condition,
    ElementMatches,
    Exists,
    Field,
    Filter,
    HasType,
    In,
    Matches,
    Modulo,
    Not,
    Or,
    Path,
    Query,
    Size,
    clauses,
    conjunction,
)
from datastore.times import text_of
from datastore.values import MAX_DEPTH, checked

_TYPES = {
    "double": 1, "string": 2, "object": 3, "array": 4, "bool": 8, "null": 10, "int": 16, "long": 18, "decimal": 19,
    "number": None,
}  # fmt: skip
_TYPE_OF_CODE = {code: name for name, code in _TYPES.items() if code is not None}
LOGIC = ("$and", "$nor", "$or")
MAX_CONDITIONS = 1_000
"""The most conditions in a filter. A ``$in`` counts as one, however many values it has."""
MAX_NESTING = 50
"""How deep ``$and``, ``$or``, ``$nor``, ``$not`` and ``$elemMatch`` may be nested; MongoDB's limit is 100."""
_NESTS = frozenset((*LOGIC, "$not", "$elemMatch"))

META_FIELDS = (
    "key", "metadata", "createdByAgent", "updatedByAgent", "lastAccessedByAgent", "accessCount", "createdAt",
    "updatedAt", "lastAccessedAt", "revision", "expiresAt",
)  # fmt: skip
"""The fields for a ``meta`` filter. With ``$`` in front they can also be used in other filters and in a sort."""
_TIMES = frozenset({"createdAt", "updatedAt", "lastAccessedAt", "expiresAt"})
_COMPARING = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$all", "$not"})
_MILLISECONDS = 1e11  # a larger number is taken as milliseconds: as seconds it would be a time after the year 5138


def parse_query(filter: Any, meta: Any = None) -> Query:
    """Return the query for a filter on the value and one on metadata and provenance; ``None`` matches everything.

    Raises:
        QueryError: If one of them is not a valid filter; the message names the place.
    """
    found = outline_of(filter) if meta is None else None
    if found is None:
        return _parsed(filter, meta)
    query = query_for(*found)
    return learn(*found, _parsed(filter, None)) if query is None else query


def _parsed(filter: Any, meta: Any) -> Query:
    try:
        filter, meta = _about_records_as_text(filter, "", "$"), _about_records_as_text(meta, "meta", "")
    except RecursionError:
        raise QueryError("filter or meta is nested too deeply") from None
    value = EVERYTHING if filter is None else parse(filter, about_records=True)
    about = EVERYTHING if meta is None else parse(meta, "meta")
    for path in _paths(about):
        if path[0] not in META_FIELDS:
            near = difflib.get_close_matches(path[0], META_FIELDS, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise QueryError(
                f"meta.{'.'.join(path)}: a record has no {path[0]!r}{hint}; it has {', '.join(META_FIELDS)}"
            )
    return _query(value, about)


def is_about_records(path: str) -> bool:
    """Return whether a path in a filter or a sort leads to a field of the record itself, such as ``$key``."""
    return path.startswith("$") and path[1:].partition(".")[0] in META_FIELDS


def _query(value: Filter, about: Filter) -> Query:
    """Return the query for a filter that may have paths about the record, and one that has only such paths."""
    if not any(path[0].startswith("$") for path in _paths(value)):
        return Query(value, about)
    parts: dict[bool | None, list[Filter]] = {False: [], True: list(clauses(about)), None: []}
    for clause in clauses(value):
        kinds = {path[0].startswith("$") for path in _paths(clause)}
        if kinds == {True}:
            parts[True].append(_without_dollars(clause))
        else:
            parts[None if True in kinds else False].append(clause)
    return Query(conjunction(parts[False]), conjunction(parts[True]), conjunction(parts[None]))


def _without_dollars(filter: Filter) -> Filter:
    if isinstance(filter, Field):
        return Field((filter.path[0][1:], *filter.path[1:]), filter.condition)
    if isinstance(filter, Not):
        return Not(_without_dollars(filter.clause))
    return type(filter)(tuple(map(_without_dollars, filter.clauses)))


def _about_records_as_text(filter: Any, place: str, before: str) -> Any:
    """Return a filter with the times of paths about the record as text; such paths begin with ``before``."""
    if not is_mapping(filter):
        return filter
    found = as_dict(filter, lambda: QueryError(f"{place or 'filter'} is {kind_of(filter)}; it must be a dict"))
    for name, operand in found.items():
        if type(name) is not str:
            continue  # the parser refuses it
        here = _join(place, name)
        if name in LOGIC and is_a(operand, list, tuple):
            alternatives = enumerate(elements(operand))
            found[name] = [_about_records_as_text(one, f"{here}[{index}]", before) for index, one in alternatives]
        elif not before or is_about_records(name):
            found[name] = _times_as_text(_at_time(operand, here) if name[len(before) :] in _TIMES else operand, here)
    return found


def _at_time(operand: Any, place: str) -> Any:
    """Return the operand of a time, with texts of times rewritten to the form that documents hold.

    Text without a zone is not changed, and is compared as text: ``"2026-01"`` is before all times of that month.
    """
    if is_a(operand, str):
        try:
            return text_of(datetime.fromisoformat(as_text(operand).upper()))
        except ValueError:
            return operand
    number = as_number(operand)
    if number is not None:
        raise QueryError(f"{place}: takes a time and not a number; write {_time_of(number)!r}, or a datetime")
    if is_a(operand, dict):
        return {
            name: _at_times(child, f"{place}.{name}") if type(name) is str and name in _COMPARING else child
            for name, child in dict.items(operand)
        }
    return operand


def _at_times(operand: Any, place: str) -> Any:
    if is_a(operand, list, tuple):
        return [_at_time(one, f"{place}[{index}]") for index, one in enumerate(elements(operand))]
    return _at_time(operand, place)


def _time_of(number: float) -> str:
    """Return a number of seconds or milliseconds since the epoch as a time; if it is none, return an example."""
    try:
        seconds = number if abs(number) < _MILLISECONDS else number / 1_000
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, ArithmeticError, OSError):
        return "2026-01-31T12:00:00Z"


def _times_as_text(value: Any, place: str, depth: int = 0) -> Any:
    """Return a filter with each time as the text that documents hold. Whether it is a filter is checked later."""
    if is_a(value, datetime):
        try:
            return text_of(value)
        except ValueError:
            raise QueryError(
                f"{place}: the time has no time zone, or is outside the years 1 to 9999 in UTC; use an aware time such "
                "as datetime.now(UTC)"
            ) from None
    if depth > MAX_DEPTH:
        return value
    if is_a(value, dict):
        return {
            name: _times_as_text(child, f"{place}.{name}" if type(name) is str else place, depth + 1)
            for name, child in dict.items(value)
        }
    if is_a(value, list, tuple):
        return [_times_as_text(child, f"{place}[{index}]", depth + 1) for index, child in enumerate(elements(value))]
    return value


def parse(document: Any, name: str = "filter", *, about_records: bool = False) -> Filter:
    """Return the tree of one filter document.

    Args:
        document: The filter.
        name: The name of the filter in errors.
        about_records: Whether it may have paths about the record, such as ``$key``.

    Raises:
        QueryError: If it is invalid; the message names the place, such as ``$or[1].price: unknown operator $gte2``.
    """
    plain = plain_filter(document, name)
    _check_nesting(plain, name)
    filter = _filter(plain, "" if name == "filter" else name, about_records)
    conditions = _count(filter)
    if conditions > MAX_CONDITIONS:
        raise QueryError(
            f"{name}: has {conditions:,} conditions; the limit is {MAX_CONDITIONS:,}. To ask whether a field is one of "
            "many values, use $in"
        )
    return filter


def plain_filter(document: Any, name: str = "filter") -> dict[str, Any]:
    """Return a filter document as JSON values of the built-in classes.

    Raises:
        QueryError: If it is not a mapping, or not JSON.
    """

    def refusal() -> DataStoreError:
        return QueryError(f"{name} is {kind_of(document)}; it must be a dict such as {{'price': {{'$lt': 10}}}}")

    try:
        plain: dict[str, Any] = checked(as_dict(document, refusal), name)[0]
    except QueryError:
        raise
    except DataStoreError as error:
        refuse_compiled(document, name)
        raise QueryError(str(error)) from error
    return plain


def refuse_compiled(document: Any, name: str) -> None:
    """Refuse a document that holds a compiled regular expression at any depth.

    Raises:
        QueryError: If there is one; the message names the place, and says what to write.
    """
    rest = [(document, name, 0)]
    while rest:
        value, place, depth = rest.pop()
        if is_a(value, re.Pattern):
            raise QueryError(
                f"{place} is a compiled regular expression; write {{'$regex': 'pattern', '$options': 'i'}}, with the "
                "pattern as a str"
            )
        if depth > MAX_DEPTH:  # a value that contains itself would have no end
            continue
        if is_a(value, dict):
            named = [(key if type(key) is str else "?", child) for key, child in dict.items(value)]
            rest += [(child, f"{place}.{key}", depth + 1) for key, child in named]
        elif is_a(value, list, tuple):
            rest += [(child, f"{place}[{index}]", depth + 1) for index, child in enumerate(elements(value))]


def _check_nesting(document: Any, name: str) -> None:
    rest = [(document, name, 0)]
    while rest:
        value, place, depth = rest.pop()
        if isinstance(value, Mapping):
            for key, child in value.items():
                if isinstance(child, dict | list | tuple):
                    within = depth + (key in _NESTS)
                    if within > MAX_NESTING:
                        raise QueryError(
                            f"{place}.{key}: $and, $or, $nor, $not and $elemMatch are nested more than "
                            f"{MAX_NESTING} deep"
                        )
                    rest.append((child, f"{place}.{key}" if key in _NESTS else place, within))
        else:
            rest += [(child, place, depth) for child in value if isinstance(child, dict | list | tuple)]


def _count(filter: Filter) -> int:
    """Return how many conditions there are in a filter."""
    if isinstance(filter, Not):
        return _count(filter.clause)
    if isinstance(filter, Field):
        return 1 + _count_within(filter.condition)
    return sum(map(_count, filter.clauses))


def _count_within(condition: Condition) -> int:
    if not isinstance(condition, ElementMatches):
        return 0
    if condition.filter is not None:
        return _count(condition.filter)
    return sum(1 + _count_within(one) for _, one in condition.conditions)


def _filter(document: dict[str, Any], place: str, about_records: bool = False) -> Filter:
    found: list[Filter] = []
    for name, operand in document.items():
        here = _join(place, name)
        if name in LOGIC:
            found.append(_logic(name, operand, here, about_records))
        elif about_records and is_about_records(name):
            path = parse_path(name[1:], here)
            found.append(parse_field((f"${path[0]}", *path[1:]), operand, here))
        elif name.startswith("$"):
            known = (*LOGIC, *(f"${field}" for field in META_FIELDS)) if about_records else LOGIC
            raise _unknown(name, place, known, "only these can stand in place of a field:")
        else:
            found.append(parse_field(parse_path(name, place or "filter"), operand, here))
    return conjunction(found)


def _logic(operator: str, operand: Any, place: str, about_records: bool) -> Filter:
    if not isinstance(operand, list | tuple) or not operand:
        raise QueryError(f"{place}: takes a non-empty list of filters, and got {shown(operand)}")
    filters = []
    for index, document in enumerate(operand):
        if not isinstance(document, dict):
            raise QueryError(f"{place}[{index}]: is {kind_of(document)}; it must be a filter, which is a dict")
        filters.append(_filter(document, f"{place}[{index}]", about_records))
    if operator == "$and":
        return conjunction(filters)
    alternatives = _with_equalities_together(filters)
    either = alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))
    return either if operator == "$or" else Not(either)


def _with_equalities_together(filters: list[Filter]) -> list[Filter]:
    """Return alternatives in which all equalities of one path are joined: its value is then looked up only once."""
    places: dict[Path, int] = {}
    together: list[Filter] = []
    values: dict[Path, list[Any]] = {}
    for filter in filters:
        equal = _equal_to(filter)
        if equal is None:
            together.append(filter)
            continue
        path, some = equal
        if path not in places:
            places[path] = len(together)
            together.append(filter)
        values.setdefault(path, []).extend(some)
    for path, place in places.items():
        if len(values[path]) > 1:
            together[place] = Field(path, In(tuple(values[path])))
    return together


def _equal_to(filter: Filter) -> tuple[Path, tuple[Any, ...]] | None:
    """Return a path and the values one of which it must equal, if the filter asks only for that."""
    if isinstance(filter, Field):
        condition = filter.condition
        if isinstance(condition, In):
            return filter.path, condition.values
        if isinstance(condition, Compare) and condition.operator == "$eq":
            return filter.path, (condition.value,)
    return None


def parse_field(path: Path, operand: Any, place: str) -> Filter:
    """Return the filter on the value at a path; the operand has operators, or is a value to be equal to."""
    if not has_operators(operand, place):
        return Field(path, Compare("$eq", plain(operand)))
    return conjunction([_operator(path, name, operand, place) for name in operand if name != "$options"])


def _operator(path: Path, name: str, operators: dict[str, Any], place: str) -> Filter:
    operand, here = operators[name], f"{place}.{name}"
    if name == "$not":
        if not isinstance(operand, dict) or not operand or not has_operators(operand, here):
            raise QueryError(f"{here}: takes operators such as {{'$gt': 5}}, and got {shown(operand)}")
        return Not(parse_field(path, operand, here))
    if name == "$all":
        return _all(path, operand, here)
    if name in ("$in", "$nin"):
        found = _among(path, operand, here)
        return found if name == "$in" else Not(found)
    holds, condition = _condition(name, operators, place)
    return Field(path, condition) if holds else Not(Field(path, condition))


def _condition(name: str, operators: dict[str, Any], place: str) -> tuple[bool, Condition]:
    """Return whether a condition must hold or must not hold, and the condition."""
    operand, here = operators[name], f"{place}.{name}"
    if name in ("$eq", "$gt", "$gte", "$lt", "$lte"):
        return True, Compare(cast("Comparison", name), plain(operand))
    if name == "$ne":
        return False, Compare("$eq", plain(operand))
    if name in ("$in", "$nin"):
        if any(map(_is_pattern, _list(operand, here))):
            raise QueryError(f"{here}: takes no $regex directly in $elemMatch; join patterns with | in one $regex")
        return name == "$in", In(_values(operand, here))
    if name == "$exists":
        if not isinstance(operand, bool | int | float):
            raise QueryError(f"{here}: takes true or false, and got {shown(operand)}")
        return bool(operand), Exists()
    if name == "$regex":
        return True, _matches(operand, operators.get("$options", ""), here)
    parse_operand = _CONDITIONS.get(name)
    if parse_operand is None:
        raise _unknown(name, place, OPERATORS, "the operators on a field are")
    return True, parse_operand(operand, here)


def _all(path: Path, operand: Any, place: str) -> Filter:
    values = _list(operand, place)
    if any(isinstance(value, dict) and "$elemMatch" in value for value in values):
        found: list[Filter] = []
        for index, value in enumerate(values):
            here = f"{place}[{index}]"
            if not isinstance(value, dict) or list(value) != ["$elemMatch"]:
                raise QueryError(f"{here}: beside an $elemMatch there can only be others, and not {shown(value)}")
            found.append(Field(path, parse_element(value["$elemMatch"], f"{here}.$elemMatch")))
        return conjunction(found)
    patterns, values = _patterns_and_values(operand, place)
    if not patterns and not values:
        return Or(())  # as MongoDB: an empty $all matches nothing
    if len(patterns) + len(values) > MAX_CONDITIONS:
        raise QueryError(f"{place}: has {len(patterns) + len(values):,} values; the limit is {MAX_CONDITIONS:,}")
    every: list[Filter] = [Field(path, Compare("$eq", value)) for value in values]
    every += [Field(path, pattern) for pattern in patterns]
    return conjunction(every)


def _among(path: Path, operand: Any, place: str) -> Filter:
    """Return the filter on a path that must equal one of some values, or match one of the patterns among them."""
    patterns, values = _patterns_and_values(operand, place)
    if not patterns:
        return Field(path, In(values))
    either: list[Filter] = [Field(path, In(values))] if values else []
    either += [Field(path, pattern) for pattern in patterns]
    return either[0] if len(either) == 1 else Or(tuple(either))


def _patterns_and_values(operand: Any, place: str) -> tuple[list[Matches], tuple[Any, ...]]:
    """Return the patterns of a list, ``{"$regex": ...}`` (``/text/`` in MongoDB), and the other values."""
    patterns, values = list[Matches](), list[Any]()
    for index, value in enumerate(_list(operand, place)):
        if _is_pattern(value):
            has_operators(value, f"{place}[{index}]")
            patterns.append(_matches(value["$regex"], value.get("$options", ""), f"{place}[{index}].$regex"))
        else:
            values += _values([value], place, index)
    return patterns, tuple(values)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, dict) and "$regex" in value and set(value) <= {"$regex", "$options"}


def _values(operand: Any, place: str, first: int = 0) -> tuple[Any, ...]:
    values = _list(operand, place)
    for index, value in enumerate(values, first):
        if isinstance(value, dict) and any(name.startswith("$") for name in value):
            raise QueryError(f"{place}[{index}]: takes values and $regex, and no other operators")
    return tuple(map(plain, values))


def _list(operand: Any, place: str) -> Sequence[Any]:
    if not isinstance(operand, list | tuple):
        raise QueryError(f"{place}: takes a list, and got {shown(operand)}")
    return operand


def parse_element(operand: Any, place: str) -> ElementMatches:
    """Return the condition on one element of an array, for `$elemMatch` and `$pull`."""
    if not isinstance(operand, dict):
        raise QueryError(f"{place}: takes a filter or operators in a dict, and got {shown(operand)}")
    if not is_filter(operand) and has_operators(operand, place):
        if "$all" in operand:
            raise QueryError(f"{place}.$all: cannot stand directly in $elemMatch; name a field")
        conditions: list[tuple[bool, Condition]] = []
        for name in operand:
            if name == "$not":
                conditions += _negated(operand[name], f"{place}.$not")
            elif name != "$options":
                conditions.append(_condition(name, operand, place))
        return ElementMatches(None, tuple(conditions))
    return ElementMatches(_filter(operand, place))


def _negated(operand: Any, place: str) -> list[tuple[bool, Condition]]:
    if not isinstance(operand, dict) or len(set(operand) - {"$options"}) != 1 or not has_operators(operand, place):
        raise QueryError(f"{place}: takes one operator here, such as {{'$gt': 5}}, and got {shown(operand)}")
    (name,) = set(operand) - {"$options"}
    if name in ("$not", "$all"):
        raise QueryError(f"{place}.{name}: cannot stand in $not within $elemMatch")
    holds, condition = _condition(name, operand, place)
    return [(not holds, condition)]


def _type(operand: Any, place: str) -> HasType:
    wanted = operand if isinstance(operand, list | tuple) else [operand]
    names = set()
    for one in wanted:
        name = _TYPE_OF_CODE.get(one, one) if isinstance(one, int) and not isinstance(one, bool) else one
        if not isinstance(name, str) or name not in _TYPES:
            raise QueryError(f"{place}: {shown(one)} is no type of JSON; the types are {', '.join(sorted(_TYPES))}")
        names.add(name)
    if not names:
        raise QueryError(f"{place}: takes at least one type")
    return HasType(tuple(sorted(names)))


def _size(operand: Any, place: str) -> Size:
    length = _whole(operand, place)
    if length < 0:
        raise QueryError(f"{place}: takes a length of 0 or more, and got {shown(operand)}")
    return Size(length)


def _modulo(operand: Any, place: str) -> Modulo:
    if not isinstance(operand, list | tuple) or len(operand) != 2:
        raise QueryError(f"{place}: takes [divisor, remainder], and got {shown(operand)}")
    divisor, remainder = (_truncated(number, f"{place}[{index}]") for index, number in enumerate(operand))
    if divisor == 0:
        raise QueryError(f"{place}[0]: the divisor must not be 0")
    return Modulo(divisor, remainder)


def _matches(pattern: Any, options: Any, place: str) -> Matches:
    if not isinstance(pattern, str):
        raise QueryError(f"{place}: takes a regular expression as a str, and got {shown(pattern)}")
    if not isinstance(options, str) or not set(options) <= set("imsx"):
        raise QueryError(f"{place.removesuffix('$regex')}$options: takes some of i, m, s, x, and got {shown(options)}")
    matches = Matches(pattern, "".join(sorted(set(options))))
    try:
        compile_pattern(matches)
    except QueryError as error:
        raise QueryError(f"{place}: {error.message}") from error
    return matches


def _whole(operand: Any, place: str) -> int:
    if isinstance(operand, bool) or not isinstance(operand, int | float) or operand != int(operand):
        raise QueryError(f"{place}: takes a whole number, and got {shown(operand)}")
    return int(operand)


def _truncated(operand: Any, place: str) -> int:
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise QueryError(f"{place}: takes a number, and got {shown(operand)}")
    return int(operand)


_CONDITIONS: dict[str, Callable[[Any, str], Condition]] = {
    "$type": _type,
    "$size": _size,
    "$mod": _modulo,
    "$elemMatch": parse_element,
}
OPERATORS = tuple(
    sorted(
        {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$not", "$exists", "$all", "$regex"}
        | set(_CONDITIONS)
    )
)
"""The operators on a field; ``$options`` belongs to ``$regex``."""


def is_filter(operand: dict[str, Any]) -> bool:
    """Return whether the operand of `$elemMatch` or `$pull` is a filter on fields, not operators on the element.

    ``$and``, ``$or`` and ``$nor`` make it a filter, in any position.
    """
    return not operand or any(name in LOGIC for name in operand)


def has_operators(operand: Any, place: str) -> bool:
    """Return whether an operand is a dict of operators rather than a value to be equal to."""
    if not isinstance(operand, dict):
        return False
    names = [name for name in operand if name.startswith("$")]
    if names and len(names) < len(operand):
        other = next(name for name in operand if not name.startswith("$"))
        raise QueryError(f"{place}: {names[0]} and {other!r} cannot be mixed: give operators, or a value")
    if "$options" in names and "$regex" not in names:
        raise QueryError(f"{place}.$options: goes with $regex, which is missing")
    return bool(names)


def plain(value: Any) -> Any:
    """Return a copy of a value in plain lists and dicts, as a stored value comes back."""
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return value


def _unknown(name: str, place: str, known: Sequence[str], what: str) -> QueryError:
    near = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return QueryError(f"{place or 'filter'}: unknown operator {name}{hint}; {what} {', '.join(known)}")


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def shown(value: Any) -> str:
    """Return a value as text for an error message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _paths(filter: Filter) -> list[Path]:
    if isinstance(filter, Field):
        return [filter.path]
    if isinstance(filter, Not):
        return _paths(filter.clause)
    return [path for clause in filter.clauses for path in _paths(clause)]


def to_document(filter: Filter) -> dict[str, Any]:
    """Return a filter document with the meaning of a tree, for `explain`."""
    if isinstance(filter, And):
        return {"$and": [to_document(clause) for clause in filter.clauses]} if filter.clauses else {}
    if isinstance(filter, Or):
        return {"$or": [to_document(clause) for clause in filter.clauses]} if filter.clauses else {"$nor": [{}]}
    if isinstance(filter, Not):
        return {"$nor": [to_document(filter.clause)]}
    return {".".join(filter.path): _operators(filter.condition)}


def _operators(condition: Condition) -> dict[str, Any]:
    match condition:
        case Compare(operator, value):
            return {operator: value}
        case In(values):
            return {"$in": list(values)}
        case Exists():
            return {"$exists": True}
        case HasType(names):
            return {"$type": list(names)}
        case Size(length):
            return {"$size": length}
        case Modulo(divisor, remainder):
            return {"$mod": [divisor, remainder]}
        case Matches(pattern, options):
            return {"$regex": pattern, "$options": options} if options else {"$regex": pattern}
        case ElementMatches(None, conditions):
            inner: dict[str, Any] = {}
            for holds, one in conditions:
                named = _operators(one) if holds else _opposite(one)
                if named.keys().isdisjoint(inner):
                    inner |= named
                else:  # two operators have the same name: for example $ne beside a $not of $eq
                    inner["$not"] = _opposite(one) if holds else _operators(one)
            return {"$elemMatch": inner}
        case ElementMatches(filter):
            return {"$elemMatch": to_document(cast("Filter", filter))}


def _opposite(condition: Condition) -> dict[str, Any]:
    """Return operators for a condition that must not hold. ``$not`` is only for those without an opposite operator."""
    match condition:
        case Compare("$eq", value):
            return {"$ne": value}
        case In(values):
            return {"$nin": list(values)}
        case Exists():
            return {"$exists": False}
        case _:
            return {"$not": _operators(condition)}
