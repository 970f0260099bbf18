"""From a query to a ``FilterExpression``, which finds a superset of what matches, as small as DynamoDB can decide it.

A path in an expression leads only through maps. So a filter sees a field if its value is native and no array is on the
way. Whatever lies beyond an array, and every value that is text, is found in any case, and the store checks it.

Each condition is translated twice: to an expression that holds wherever the condition does (``upper``), and to one that
holds nowhere else (``lower``). If the condition must *not* hold, the opposite of the lower one is used. A condition is
exact if the two are the same. If DynamoDB cannot decide anything, the upper one is true and the lower one false.
`datastore.adapters.pushdown` combines them.

Expressions that other servers with DynamoDB's protocol get wrong are not used: the type of an empty text or of
``false``, whether an array contains one of these, and the order of text from U+D800 on, where UTF-16 and UTF-8 differ
(dynalite).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from datastore.adapters.pushdown import SYMBOLS, About, Dialect, Piece, Translation, push
from datastore.backend import Plan, Query
from datastore.queries.matcher import compile_condition
from datastore.queries.tree import (
    Compare,
    Comparison,
    Condition,
    ElementMatches,
    Exists,
    HasType,
    In,
    Matches,
    Path,
    Size,
)
from datastore_dynamodb.codec import NATIVE, number_text
from datastore_dynamodb.expressions import (
    FALSE,
    TRUE,
    Atom,
    Expression,
    Operand,
    all_of,
    among,
    any_of,
    exists,
    is_of_type,
    negate,
    render,
)

_LONGEST_PATH = 30  # steps: DynamoDB nests 32 levels, one of which is the attribute
_MOST_CONTAINED = 8  # values to search arrays for; with more of them, every array is found
_PROVENANCE = ("key", "createdByAgent", "updatedByAgent", "createdAt", "updatedAt", "revision", "expiresAt")
"""Without the fields that counting an access changes: the store may still have accesses to write."""
_OR_NULL = ("expiresAt", "updatedByAgent")
_TYPES = {"null": "NULL", "object": "M", "array": "L", "number": "N", "int": "N", "long": "N", "double": "N"}
_DECIDED_TYPES = {"null", "object", "array", "number", "string", "bool"}
_LITERAL = re.compile(r"[\w ,;:@/%&=<>~'\"-]*")  # characters that stand for themselves, except in verbose patterns


class Bounds(NamedTuple):
    """An expression that holds wherever a filter does, and one that holds nowhere else."""

    upper: Expression
    lower: Expression


_UNKNOWN = Bounds(TRUE, FALSE)
_NEVER = Bounds(FALSE, FALSE)


class _Shape(NamedTuple):
    """The bounds of a condition on a path, depending on what is there."""

    scalar: Bounds
    """For anything except an array. Both are false if nothing is there."""
    array: Bounds
    missing: bool = False
    """Whether the condition holds if nothing is there."""


class Filters(Dialect[Expression]):
    """What a ``FilterExpression`` can say. It finds all values that are not native, so it decides none."""

    nothing = FALSE
    decides = frozenset(("meta",))

    def condition(self, about: About, path: Path, condition: Condition) -> Translation[Expression]:
        """Return an expression that holds wherever a condition does."""
        upper, lower = _bounds(about, path, condition)
        return Translation(None if upper == TRUE else upper, upper == lower)

    def opposite(self, about: About, path: Path, condition: Condition) -> Translation[Expression]:
        """Return an expression that holds wherever a condition does not."""
        upper, lower = _bounds(about, path, condition)
        return Translation(None if lower == FALSE else negate(lower), upper == lower)

    def all_of(self, parts: Sequence[Expression]) -> Expression:
        """Join expressions by AND."""
        return all_of(*parts)

    def any_of(self, parts: Sequence[Expression]) -> Expression:
        """Join expressions by OR."""
        return any_of(*parts)


_FILTERS = Filters()


def plan(query: Query) -> Plan | None:
    """Return the plan for a query, or ``None`` if no filter would narrow it."""
    found = push(query, _FILTERS, _parameters)
    return None if found is None else Plan(found.pushed, found.residual, found.request)


def _parameters(pieces: Sequence[Piece[Expression]]) -> dict[str, Any] | None:
    if not pieces:
        return None
    of_value = all_of(*(piece.expression for piece in pieces if piece.about == "value"))
    of_record = all_of(*(piece.expression for piece in pieces if piece.about == "meta"))
    native = any_of(negate(exists((NATIVE,))), of_value)  # a value that is not native is text or parts
    both = all_of(native, of_record)
    return render(negate(exists(("createdAt",))) if both == FALSE else both)  # finds nothing: every record has one


def _bounds(about: About, path: Path, condition: Condition) -> Bounds:
    return _in_json(NATIVE, path, condition) if about == "value" else _of_record(path, condition)


def _of_record(path: Path, condition: Condition) -> Bounds:
    if path[0] == "metadata" and len(path) > 1:
        as_text = exists(("metadataJson",))
        upper, lower = _in_json("metadata", path[1:], condition)
        return Bounds(any_of(as_text, upper), all_of(negate(as_text), lower))
    if len(path) > 1 or path[0] not in _PROVENANCE:
        return _UNKNOWN
    if isinstance(condition, Exists):
        return Bounds(TRUE, TRUE)
    upper, lower = _shape(path, condition).scalar
    if path[0] in _OR_NULL and _holds_for_null(condition):  # filters see null where it is missing
        missing = negate(exists(path))
        return Bounds(any_of(upper, missing), any_of(lower, missing))
    return Bounds(upper, lower)


def _holds_for_null(condition: Condition) -> bool:
    return _shape((), condition).missing or (isinstance(condition, HasType) and "null" in condition.names)


def _in_json(name: str, steps: Path, condition: Condition) -> Bounds:
    """Return the bounds of a condition on a path into a native value."""
    if len(steps) > _LONGEST_PATH:
        return _UNKNOWN
    path = (name, *steps)
    shape = _shape(path, condition)
    behind_array = any_of(*(is_of_type(path[:length], "L") for length in range(2, len(path))))
    missing = negate(exists(path)) if shape.missing else FALSE
    return Bounds(
        any_of(shape.scalar.upper, shape.array.upper, behind_array if missing == FALSE else missing),
        any_of(shape.scalar.lower, shape.array.lower, all_of(missing, negate(behind_array))),
    )


def _shape(path: Path, condition: Condition) -> _Shape:
    match condition:
        case In(values):
            return _equals(path, values)
        case Compare(operator, value):
            return _compares(path, operator, value)
        case Exists():
            return _Shape(_exactly(exists(path)), _NEVER)  # also if an array is there
        case HasType(names):
            return _has_type(path, names)
        case Matches():
            upper, lower = _matches(path, condition)
            return _Shape(Bounds(upper, lower), _some_array(path))
        case Size(length):
            size = Atom("size(%s) = %s", path, (("N", str(length)),))
            return _Shape(_NEVER, _exactly(all_of(is_of_type(path, "L"), size)))
        case ElementMatches():
            return _Shape(_NEVER, Bounds(_with_element(path, condition), FALSE))
        case _:  # Modulo
            return _Shape(Bounds(is_of_type(path, "N"), FALSE), _some_array(path))


def _exactly(expression: Expression) -> Bounds:
    return Bounds(expression, expression)


def _some_array(path: Path) -> Bounds:
    return Bounds(is_of_type(path, "L"), FALSE)


def _is_text(path: Path) -> Expression:
    return Atom("%s >= %s", path, (("S", ""),))


def _is_boolean(path: Path) -> Expression:
    return any_of(among(path, [("BOOL", True)]), among(path, [("BOOL", False)]))


def _operand(value: Any) -> Operand | None:
    """Return the operand for comparing a scalar natively, or ``None`` if no native value equals it."""
    if isinstance(value, bool):
        return "BOOL", value
    if isinstance(value, str):
        return "S", value
    text = number_text(int(value) if isinstance(value, float) and value.is_integer() else value)
    return None if text is None else ("N", text)


def _equals(path: Path, values: tuple[Any, ...]) -> _Shape:
    """Return the bounds of whether something equals one of several values."""
    simple: list[Operand] = []
    scalar: list[Expression] = []
    unsure, arrays = False, False
    for value in values:
        if value is None:
            scalar.append(is_of_type(path, "NULL"))
        elif isinstance(value, dict | list):
            unsure = unsure or isinstance(value, dict)
            arrays = True
        elif (operand := _operand(value)) is None:
            continue
        elif isinstance(value, bool) or value == "":
            scalar.append(among(path, [operand]))
        else:
            simple.append(operand)
        arrays = arrays or value is None or isinstance(value, bool) or value == ""
    lower = any_of(among(path, simple), *scalar)
    upper = any_of(lower, is_of_type(path, "M")) if unsure else lower
    contained: Expression = FALSE
    if simple and len(simple) <= _MOST_CONTAINED:
        contained = all_of(is_of_type(path, "L"), any_of(*(_contains(path, operand) for operand in simple)))
    arrays = arrays or len(simple) > _MOST_CONTAINED
    in_array = Bounds(is_of_type(path, "L") if arrays else contained, contained)
    return _Shape(Bounds(upper, lower), in_array, None in values)


def _contains(path: Path, operand: Operand) -> Expression:
    return Atom("contains(%s, %s)", path, (operand,))


def _compares(path: Path, operator: Comparison, value: Any) -> _Shape:
    array = _some_array(path)
    if isinstance(value, dict):
        return _Shape(Bounds(is_of_type(path, "M"), FALSE), array)
    if isinstance(value, list):
        return _Shape(_NEVER, array)
    if isinstance(value, bool):  # DynamoDB does not order booleans
        fitting = [("BOOL", one) for one in (False, True) if compile_condition(Compare(operator, value))(one)]
        return _Shape(_exactly(any_of(*(among(path, [one]) for one in fitting))), array)
    if isinstance(value, str) and not _is_in_one_order(value):
        return _Shape(Bounds(_is_text(path), FALSE), array)
    operand = _operand(value)
    if operand is None:
        return _Shape(Bounds(is_of_type(path, "N"), FALSE), array)
    return _Shape(_exactly(Atom(f"%s {SYMBOLS[operator]} %s", path, (operand,))), array)


def _has_type(path: Path, names: tuple[str, ...]) -> _Shape:
    def of(name: str) -> Expression:
        if name == "string":
            return _is_text(path)
        return _is_boolean(path) if name == "bool" else is_of_type(path, _TYPES[name])

    scalar = [name for name in names if name != "array"]
    decided = [of(name) for name in scalar if name in _DECIDED_TYPES]
    array = Bounds(is_of_type(path, "L"), is_of_type(path, "L") if "array" in names else FALSE)
    return _Shape(Bounds(any_of(*map(of, scalar)), any_of(*decided)), array)


def _matches(path: Path, matches: Matches) -> Bounds:
    """Return the bounds of a regular expression on text, from its literal characters."""
    pattern, text = matches.pattern, _is_text(path)
    if {"i", "x"} & set(matches.options) or not pattern:
        return Bounds(text, FALSE)
    if _LITERAL.fullmatch(pattern):
        contains = all_of(text, _contains(path, ("S", pattern)))
        return Bounds(contains, contains)
    beginning = _beginning(pattern) if "m" not in matches.options else ""
    return Bounds(_begins_with(path, beginning) if beginning else text, FALSE)


def _begins_with(path: Path, beginning: str) -> Expression:
    """Return whether text begins with the given text. ``begins_with`` is not used: ministack refuses other types."""
    end = beginning[:-1] + chr(ord(beginning[-1]) + 1)
    if not _is_in_one_order(end):
        return _is_text(path)
    return all_of(Atom("%s >= %s", path, (("S", beginning),)), Atom("%s < %s", path, (("S", end),)))


def _is_in_one_order(text: str) -> bool:
    """Return whether every other text has the same order relative to it in UTF-16 and in UTF-8."""
    return all(character < "\ud800" for character in text)


def _beginning(pattern: str) -> str:
    """Return what text must begin with to match a pattern."""
    found = _LITERAL.match(pattern, 1)
    if not pattern.startswith("^") or "|" in pattern or "(?" in pattern or found is None:
        return ""
    literal, behind = found[0], pattern[found.end() : found.end() + 1]
    # The last character may be optional, even where the repetition follows an empty escape: ab\Q\E* matches "a".
    return literal[:-1] if behind and behind in "*?{+\\" else literal


def _with_element(path: Path, condition: ElementMatches) -> Expression:
    wanted = [is_of_type(path, "L")]
    for holds, one in condition.conditions:
        if holds and isinstance(one, Compare) and one.operator == "$eq" and isinstance(one.value, str | int | float):
            operand = _operand(one.value)
            if operand is None:
                return FALSE
            if one.value != "" and not isinstance(one.value, bool):
                wanted.append(_contains(path, operand))
    return all_of(*wanted)
