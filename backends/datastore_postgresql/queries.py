"""From a filter to SQL that is true, false or NULL for a row: it matches, it does not, or it needs a closer look.

SQL's three-valued logic does the rest: AND, OR and NOT of such expressions are always right. A row is worth reading if
its expression ``IS NOT FALSE``, and certainly matches if it ``IS TRUE``. NULL is for what is decided here:

- values that are kept as text (`datastore_postgresql.codec`), and rows of other programs;
- arrays on the way to a field (in an array at the end of the way, every element is tested);
- the order of objects and arrays, which is PostgreSQL's own, regular expressions, and ``$elemMatch``.

Everything else is exact. ``jsonb`` compares numbers as decimals, and a float is stored as the shortest text that gives
it back: such texts are in the order of the floats, and those that are in ``jsonb`` at all are equal to an integer only
if the float is. A constant may be any float, so a large one is written out as the integer that it is. Text is compared
by its bytes (``COLLATE "C"``), because the order of ``jsonb`` is that of the database's own collation.

https://www.postgresql.org/docs/current/functions-json.html
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from datastore.adapters.pushdown import SYMBOLS, UNSUPPORTED, SqlDialect, Translation, exact, inexact, is_too_long
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
from datastore_postgresql.codec import ESCAPE, written

_KINDS = {str: "string", int: "number", float: "number", bool: "boolean", dict: "object", list: "array"}
"""What ``jsonb_typeof`` says of a value. `kind_of` also says ``missing``, and ``unknown`` for what is decided here."""
_TYPES = {"string": "string", "bool": "boolean", "null": "null", "object": "object", "array": "array"}
_NO, _PERHAPS = "FALSE", "NULL"
_DECIMALS = 2.0**53
"""From here on every float is an integer, and its shortest text may be another one."""
_NULLABLE = ("updatedByAgent", "expiresAt")
TEXT = "#>> '{}'"
"""Follows a value, and makes text of it."""


class Sql(SqlDialect):
    """Translates the conditions of one query. An expression is exact if only unusual rows need a closer look."""

    nothing = _NO
    columns = ("key", "createdByAgent", "updatedByAgent", "createdAt", "updatedAt", "revision", "expiresAt")

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []
        """The type of each parameter."""
        self._names: dict[tuple[str, str], str] = {}

    def bind(self, value: Any, kind: str) -> str:
        """Return the SQL of a parameter that stands for a value of a type. A text is bound once."""
        name = self._names.get((value, kind)) if type(value) is str else None
        if name is None:
            name = f"p{len(self.parameters)}"
            self.parameters[name] = value
            self.kinds.append(kind)
            if type(value) is str:
                self._names[value, kind] = name
        return f"%({name})s::{kind}"

    def in_json(self, column: str, path: Path, condition: Condition) -> Translation[str]:
        """See `SqlDialect.in_json`."""
        value = value_at(column, path)
        if value is None:
            return UNSUPPORTED
        constant = self._constant(condition)
        cases = _cases(condition, constant, value)
        if isinstance(condition, Size):
            cases["array"] = f"jsonb_array_length({value}) = {constant}"
        elif not isinstance(condition, ElementMatches) and cases["array"] != "TRUE":
            cases["array"] = _elements(value, _cases(condition, constant, "item"), cases["array"])
        sql = _by_kind(kind_of(column, path), cases | {"unknown": _PERHAPS})
        return inexact(sql) if isinstance(condition, Matches | ElementMatches) else exact(sql)

    def _constant(self, condition: Condition) -> str:
        """Return the SQL for what a condition compares with, bound once; empty if there is no such thing."""
        match condition:
            case In(values):
                kept = [as_json(value) for value in values if value is not None and not _has_nul(value)]
                return self.bind(kept[0], "jsonb") if len(kept) == 1 else f"ANY({self.bind(kept, 'text[]')}::jsonb[])"
            case Compare(_, str() as text):
                return self.bind(text.partition("\0")[0], "text")
            case Compare(_, bool() | int() | float() as value):
                return self.bind(as_json(value), "jsonb")
            case Modulo(divisor):
                return self.bind(divisor, "numeric")
            case Size(length):
                return self.bind(length, "numeric")
        return ""

    def in_column(self, column: str, condition: Condition) -> Translation[str]:
        """See `SqlDialect.in_column`."""
        name, null = f'"{column}"', _NO
        match condition:
            case In(values):
                texts = [written(value) for value in values if isinstance(value, str)]
                sql = f"{name} = ANY({self.bind(texts, 'text[]')})"
                null = "TRUE" if None in values else _NO
            case Compare(_, str()):
                compared = _text_compared(name, condition, self._constant(condition))
                sql = f"CASE WHEN starts_with({name}, {quoted(ESCAPE)}) THEN NULL ELSE {compared} END"
            case _:
                return UNSUPPORTED
        return exact(f"CASE WHEN {name} IS NULL THEN {null} ELSE {sql} END" if column in _NULLABLE else sql)


def _cases(condition: Condition, constant: str, value: str) -> dict[str, str]:
    """Return the expression for each kind of value for which it can hold; the array is not looked into.

    Args:
        condition: The condition.
        constant: The SQL for what it compares with.
        value: The SQL for the value.
    """
    cases = dict.fromkeys(("array", "missing"), _NO)
    match condition:
        case Exists():
            cases = dict.fromkeys((*_KINDS.values(), "null"), "TRUE") | {"missing": _NO}
        case In(values):
            cases |= {_KINDS[type(one)]: f"{value} = {constant}" for one in values if one is not None}
            if None in values:
                cases["null"] = cases["missing"] = "TRUE"
        case Compare(_, dict() | list() as wanted):
            cases[_KINDS[type(wanted)]] = _PERHAPS
        case Compare(_, str()):
            cases["string"] = _text_compared(f'({value} {TEXT}) COLLATE "C"', condition, constant)
        case Compare(operator, wanted):
            cases[_KINDS[type(wanted)]] = f"{value} {SYMBOLS[operator]} {constant}"
        case HasType(names):
            cases |= {_TYPES[name]: "TRUE" for name in names if name in _TYPES}
            cases["number"] = _has_number_type(frozenset(names), f"{value}::numeric")
        case Modulo(_, remainder):
            cases["number"] = f"mod(trunc({value}::numeric), {constant}) = {remainder}"
        case Matches():
            cases["string"] = _PERHAPS
        case ElementMatches():
            cases["array"] = _PERHAPS
    return cases


def _by_kind(kind: str, cases: dict[str, str]) -> str:
    """Return the expression that goes by the kind of a value; a case that is not there does not hold."""
    named = " ".join(f"WHEN {quoted(name)} THEN {sql}" for name, sql in cases.items() if sql != _NO)
    return f"CASE {kind} {named} ELSE FALSE END" if named else _NO


def _elements(array: str, cases: dict[str, str], itself: str) -> str:
    """Return the expression for an array: for the array itself, or for one of its elements."""
    holds = _by_kind("jsonb_typeof(item)", {name: sql for name, sql in cases.items() if name != "missing"})
    if holds == _NO:
        return itself
    one = f"SELECT FROM jsonb_array_elements({array}) AS element (item) WHERE ({holds})"
    sql = f"EXISTS ({one})"
    if _PERHAPS in cases.values():
        sql = f"CASE WHEN {sql} THEN TRUE WHEN EXISTS ({one} IS NULL) THEN NULL ELSE FALSE END"
    return sql if itself == _NO else f"({itself} OR {sql})"


def _text_compared(text: str, condition: Compare, constant: str) -> str:
    """Return how text, which has no NUL, compares with one, of which the constant holds the part before a NUL."""
    operator = SYMBOLS[condition.operator]
    if "\0" in condition.value:
        operator = ">" if operator.startswith(">") else "<="
    return f"{text} {operator} {constant}"


def _has_number_type(names: frozenset[str], number: str) -> str:
    integer, small = f"scale({number}) = 0", f"{number} BETWEEN -2147483648 AND 2147483647"
    if "number" in names or names >= {"double", "int", "long"}:
        return "TRUE"
    parts = ["NOT " + integer] if "double" in names else []
    if names >= {"int", "long"}:
        parts.append(integer)
    elif names & {"int", "long"}:
        parts.append(f"({integer} AND {small if 'int' in names else f'NOT ({small})'})")
    return f"({' OR '.join(parts)})" if parts else _NO


@lru_cache(maxsize=1_024)
def value_at(column: str, path: Path) -> str | None:
    """Return the SQL for the value that a path of objects leads to; ``None`` if it is too long, or has a NUL.

    It is NULL if there is none: ``->`` with text finds nothing in an array.
    """
    if is_too_long(path) or any("\0" in step for step in path):
        return None
    return f'("{column}"{"".join(f" -> {quoted(step)}" for step in path)})'


@lru_cache(maxsize=1_024)
def kind_of(column: str, path: Path) -> str:
    """Return the SQL for the kind of what a path leads to; see `_KINDS`."""
    ways = [f"jsonb_typeof({value_at(column, path[:length])})" for length in range(1, len(path))]
    array = f" OR 'array' IN ({', '.join(ways)})" if ways else ""
    unknown = f"CASE WHEN \"{column}\" IS NULL{array} THEN 'unknown' ELSE 'missing' END"
    return f"coalesce(jsonb_typeof({value_at(column, path)}), {unknown})"


def as_json(value: Any) -> str:
    """Return a constant as JSON text that ``jsonb`` compares as the store does. It has no NUL."""
    return json.dumps(_exactly(value), ensure_ascii=False)


def _exactly(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if abs(value) >= _DECIMALS else value
    if isinstance(value, list):
        return list(map(_exactly, value))
    return {name: _exactly(one) for name, one in value.items()} if isinstance(value, dict) else value


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(name) or _has_nul(one) for name, one in value.items())
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


def quoted(text: str) -> str:
    """Return the SQL for text without NUL in a statement with parameters, in which ``%`` is doubled."""
    return literal(text).replace("%", "%%")


def literal(text: str) -> str:
    """Return the SQL for text without NUL, whatever ``standard_conforming_strings`` says."""
    plain = text.replace("'", "''")
    return f"'{plain}'" if "\\" not in plain else " E'" + plain.replace("\\", "\\\\") + "'"
