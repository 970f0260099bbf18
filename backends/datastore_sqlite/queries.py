"""From a filter to SQL whose result is 1, 0 or NULL for a row: it matches, it does not, or it needs a closer look.

SQL's three-valued logic does the rest: AND, OR and NOT of such expressions are always right. A row is worth reading if
its expression ``IS NOT 0``, and certainly matches if it ``IS 1``. NULL is for what SQLite cannot decide, or decides
differently in different versions:

- real numbers close to what they are compared with: SQLite 3.43 and later read some of them from JSON a few units in
  the last place off (https://www.sqlite.org/floatingpoint.html), and integers beyond 64 bits as real numbers;
- text with a NUL character, where SQLite before 3.45 ends the text;
- arrays on the way to a field (in an array at the end of the way, every element is tested);
- objects and arrays as values, regular expressions, and ``$elemMatch``.

Only functions of SQLite 3.35 are used: ``json_type``, ``json_extract`` and ``json_each``, but not ``->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain
from math import inf, isfinite
from typing import Any

from datastore.adapters.pushdown import UNSUPPORTED, SqlDialect, Translation, exact, inexact, is_too_long
from datastore.queries.tree import (
    Compare,
    Condition,
    ElementMatches,
    Exists,
    HasType,
    In,
    Matches,
    Modulo,
    Path,
    Size,
)
from datastore_sqlite.schema import TABLE

_TYPES = ("text", "integer", "real", "true", "false", "null", "object", "array")
"""The results of ``json_type``; it is NULL if nothing is there."""
_NO_CASES = dict.fromkeys((*_TYPES, "missing"), "0")
_UNKNOWN = "NULL"
_INT64 = range(-(2**63), 2**63)
_INT32 = "BETWEEN -2147483648 AND 2147483647"
_SLACK = 1e-12
"""How far off, relative to its size, a real number may have been read; the actual error is about 1e-15."""
_TINY = 1e-300
_FEW = 16
"""Up to this many numbers are compared one by one with a real number; of more, only the least and the greatest."""

# Keys with quotes, backslashes or control characters are escaped in JSON, and some versions compare them escaped.
_INEXPRESSIBLE = re.compile(r'["\\\x00-\x1f]')
_MOST_PARAMETERS = 20_000  # of the 32,766 that SQLite allows


class Sql(SqlDialect):
    """Translates the conditions of one query. An expression is exact if only unusual rows need a closer look."""

    nothing = "0"
    columns = ("key", "createdByAgent", "createdAt", "updatedAt", "revision", "expiresAt")

    def bind(self, value: Any) -> str:
        """Return the name of a parameter that stands for a value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def _names_of(self, condition: Condition) -> Sequence[str] | None:
        """Return the names of the parameters of a condition; ``None`` if a statement cannot have so many."""
        parameters = parameters_of(condition)
        if len(self.parameters) + len(parameters) > _MOST_PARAMETERS:
            return None
        return tuple(map(self.bind, parameters))

    def in_column(self, column: str, condition: Condition) -> Translation[str]:
        """See `SqlDialect.in_column`."""
        names = self._names_of(condition)
        cases = None if names is None else _cases(condition, names, column, None)
        if cases is None or cases["text"] == _UNKNOWN:
            return UNSUPPORTED
        if column == "expiresAt":
            return exact(f"CASE WHEN {column} IS NULL THEN {cases['null']} ELSE {cases['text']} END")
        return exact(cases["text"])

    def in_json(self, column: str, path: Path, condition: Condition) -> Translation[str]:
        """See `SqlDialect.in_json`."""
        where, value = _at(column, path)
        names = None if where is None else self._names_of(condition)
        if where is None or names is None:
            return UNSUPPORTED
        cases = _cases(condition, names, value, has_nul(column))
        if isinstance(condition, Size):
            cases["array"] = f"json_array_length({column}, {where}) = {names[0]}"
        elif not isinstance(condition, ElementMatches) and cases["array"] != "1":
            cases["array"] = _elements(column, where, condition, names, cases["array"])
        missing = cases["missing"]
        if len(path) > 1:
            missing = f"CASE WHEN {meets_array(column, path)} THEN NULL ELSE {missing} END"
        # If a missing field does not match, types that do not match need no case of their own.
        named = [kind for kind in _TYPES if cases[kind] != "0" or cases["missing"] != "0"]
        kinds = " ".join(f"WHEN '{kind}' THEN {cases[kind]}" for kind in named)
        sql = f"CASE json_type({column}, {where}) {kinds} ELSE {missing} END" if kinds else missing
        return inexact(sql) if isinstance(condition, Matches | ElementMatches) else exact(sql)


def parameters_of(condition: Condition) -> Sequence[Any]:
    """Return the parameters of the expression for a condition, in the order in which `_cases` names them."""
    match condition:
        case Compare(_, value):
            return binding_of(condition)(value)
        case In(values):
            return _equal_to(values)
        case Modulo(divisor, remainder) if divisor in _INT64 and remainder in _INT64:
            return [divisor, remainder]
        case Size(length):
            return [min(length, _INT64[-1])]
    return ()


def binding_of(condition: Condition) -> Callable[[Any], Sequence[Any]]:
    """Return the function that makes the parameters from the constant of a condition like this one.

    It is the same for all conditions of its class with this operator whose constants are of the same types.
    """
    match condition:
        case In():
            return _equal_to
        case Compare(_, str()):
            return _itself
        case Compare(_, bool()):
            return _nothing
        case Compare("$eq", int() | float()):
            return _equal_to_number
        case Compare(_, int() | float()):
            return _beside
    return _nothing


def _itself(constant: Any) -> Sequence[Any]:
    return (constant,)


def _nothing(constant: Any) -> Sequence[Any]:
    return ()


def _equal_to_number(number: float) -> Sequence[Any]:
    return (_sql_number(number), *_about(number))


def _beside(number: float) -> Sequence[Any]:
    return (*_about(number), _sql_number(number))


def _equal_to(values: Sequence[Any]) -> Sequence[Any]:
    """Return the texts, the numbers, and the bounds around these numbers."""
    texts, numbers = _texts_and_numbers(values)
    bounds = [_about(number) for number in numbers]
    if len(bounds) > _FEW:
        bounds = [(min(low for low, _ in bounds), max(high for _, high in bounds))]
    return [*texts, *map(_sql_number, numbers), *chain.from_iterable(bounds)]


def _texts_and_numbers(values: Sequence[Any]) -> tuple[list[str], list[int | float]]:
    texts = [value for value in values if isinstance(value, str)]
    return texts, [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def _elements(column: str, where: str, condition: Condition, names: Sequence[str], itself: str) -> str:
    """Return the expression for an array: for the array itself, or for one of its elements."""
    column = f"{TABLE}.{column}"  # json_each also has a column "value"
    cases = _cases(condition, names, "element.atom", has_nul(column))
    kinds = " ".join(f"WHEN '{kind}' THEN {cases[kind]}" for kind in _TYPES if cases[kind] != "0")
    if not kinds:
        return itself
    one = f"SELECT 1 FROM json_each({column}, {where}) AS element WHERE (CASE element.type {kinds} ELSE 0 END)"
    any_of_them = f"CASE WHEN EXISTS ({one} IS 1) THEN 1 WHEN EXISTS ({one} IS NULL) THEN NULL ELSE 0 END"
    return any_of_them if itself == "0" else f"({itself} OR {any_of_them})"


def _cases(condition: Condition, names: Sequence[str], value: str, nul: str | None) -> dict[str, str]:
    """Return the expression for each type of value, and for ``missing``.

    Args:
        condition: The condition.
        names: The names of its parameters.
        value: The SQL for the value.
        nul: SQL that says whether a text may hold a NUL character that the value does not show.
    """
    cases = _NO_CASES.copy()
    match condition:
        case Exists():
            cases = dict.fromkeys(_TYPES, "1") | {"missing": "0"}
        case In(values):
            _equal(cases, values, names, value, nul)
        case Compare(operator, wanted):
            _compare(cases, operator, wanted, names, value, nul)
        case HasType(types):
            _has_type(cases, types, value)
        case Modulo():
            exact = f"{value} % {names[0]} = {names[1]}" if names else _UNKNOWN
            cases["integer"] = f"CASE typeof({value}) WHEN 'integer' THEN {exact} END"
            cases["real"] = _UNKNOWN
        case Size():
            pass  # only arrays can match: see `Sql._json`
        case Matches():
            cases["text"] = _UNKNOWN
        case ElementMatches():
            cases["array"] = _UNKNOWN
    return cases


def _equal(cases: dict[str, str], values: Sequence[Any], names: Sequence[str], value: str, nul: str | None) -> None:
    for wanted in values:
        if wanted is None:
            cases["null"] = cases["missing"] = "1"
        elif isinstance(wanted, bool):
            cases["true" if wanted else "false"] = "1"
        elif isinstance(wanted, dict):
            cases["object"] = _UNKNOWN
        elif isinstance(wanted, list):
            cases["array"] = _UNKNOWN
    texts, numbers = _texts_and_numbers(values)
    if texts:
        cases["text"] = _equal_text(texts, names[: len(texts)], value, nul)
    if numbers:
        end = len(texts) + len(numbers)
        exact, bounds = _one_of(names[len(texts) : end], value), names[end:]
        near = " OR ".join(
            f"{value} BETWEEN {low} AND {high}" for low, high in zip(bounds[::2], bounds[1::2], strict=True)
        )
        cases["integer"] = f"CASE WHEN typeof({value}) = 'integer' THEN {exact} WHEN {near} THEN NULL ELSE 0 END"
        cases["real"] = f"CASE WHEN {near} THEN NULL ELSE 0 END"


def _equal_text(texts: Sequence[str], names: Sequence[str], value: str, nul: str | None) -> str:
    equal = _one_of(names, value)
    if nul is None:
        return equal
    if any("\0" in text for text in texts):
        return f"CASE WHEN {nul} THEN NULL ELSE {equal} END"
    return f"({equal} AND (NOT {nul} OR NULL))"


def _one_of(names: Sequence[str], value: str) -> str:
    return f"{value} = {names[0]}" if len(names) == 1 else f"{value} IN ({', '.join(names)})"


def _compare(cases: dict[str, str], name: str, wanted: Any, names: Sequence[str], value: str, nul: str | None) -> None:
    operator, upwards, with_equal = _COMPARISONS[name]
    if isinstance(wanted, bool):
        for kind, one in (("true", True), ("false", False)):
            if one == wanted:
                cases[kind] = str(int(with_equal))
            else:
                cases[kind] = str(int((one > wanted) == upwards))
    elif isinstance(wanted, str):
        compared = f"{value} {operator} {names[0]}"
        cases["text"] = compared if nul is None else f"CASE WHEN {nul} THEN NULL ELSE {compared} END"
    elif isinstance(wanted, dict | list):
        cases["object" if isinstance(wanted, dict) else "array"] = _UNKNOWN
    else:
        low, high, exactly = names
        near = f"WHEN {value} > {high} THEN {int(upwards)} WHEN {value} < {low} THEN {int(not upwards)}"
        cases["integer"] = f"CASE WHEN typeof({value}) = 'integer' THEN {value} {operator} {exactly} {near} END"
        cases["real"] = f"CASE {near} END"


_COMPARISONS = {"$gt": (">", True, False), "$gte": (">=", True, True), "$lt": ("<", False, False),
                "$lte": ("<=", False, True)}  # fmt: skip


def _has_type(cases: dict[str, str], names: Sequence[str], value: str) -> None:
    kinds = {"string": ("text",), "double": ("real",), "bool": ("true", "false"), "null": ("null",),
             "object": ("object",), "array": ("array",), "number": ("integer", "real")}  # fmt: skip
    for name in names:
        for kind in kinds.get(name, ()):
            cases[kind] = "1"
    if cases["integer"] == "0" and "int" in names:
        cases["integer"] = "1" if "long" in names else f"{value} {_INT32}"
    elif cases["integer"] == "0" and "long" in names:
        cases["integer"] = f"{value} NOT {_INT32}"


def _sql_number(number: float) -> int | float:
    """Return a number that compares with SQLite's integers as the given number does."""
    if isinstance(number, int) and number not in _INT64:
        return inf if number > 0 else -inf
    return number


def _about(number: float) -> tuple[float, float]:
    """Return the bounds between which a real number may be equal to the given one."""
    try:
        middle = float(number)
    except OverflowError:
        middle = inf if number > 0 else -inf
    if not isfinite(middle):
        largest = 1.7e308
        return (largest, middle) if middle > 0 else (middle, -largest)
    slack = abs(middle) * _SLACK + _TINY
    return middle - slack, middle + slack


@lru_cache(maxsize=1_024)
def _at(column: str, path: Path) -> tuple[str | None, str]:
    """Return the path to a field and the value there, as SQL. The path is ``None`` as `json_path` says."""
    where = json_path(path)
    return where, f"json_extract({column}, {where})"


def json_path(path: Path) -> str | None:
    """Return the SQL text for a path of fields, or ``None`` if versions of SQLite differ about it."""
    if is_too_long(path) or any(map(_INEXPRESSIBLE.search, path)):
        return None
    return quoted("$" + "".join(f'."{step}"' for step in path))


@lru_cache(maxsize=1_024)
def meets_array(column: str, path: Path) -> str:
    """Return SQL that says whether an array is on the way to the last step of a path; it may be NULL instead of 0."""
    steps = (f"json_type({column}, {json_path(path[:length])})" for length in range(1, len(path)))
    return f"'array' IN ({', '.join(steps)})"


@cache  # for a few columns
def has_nul(column: str) -> str:
    """Return SQL that says whether any text in the JSON may hold a NUL character."""
    return f"(instr({column}, '\\u0000') > 0)"


def quoted(text: str) -> str:
    """Return the SQL for text without NUL characters."""
    return "'" + text.replace("'", "''") + "'"
