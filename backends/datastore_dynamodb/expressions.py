"""Conditions as DynamoDB writes them: a small algebra, and the text of an expression with its names and values.

Every name and every value in an expression has an alias, so that reserved words, dots and unusual characters in names
do no harm. Parentheses stand only where they are needed, because DynamoDB refuses redundant ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from datastore.adapters.batching import batches

MOST_BYTES, MOST_OPERATORS, MOST_OPERANDS = 4_096, 300, 100
"""The bytes and operators of an expression, and the operands of an ``IN`` ("Quotas", "Expression parameters")."""
_MOST_SUBSTITUTED = 100_000
"""The bytes that names and values may take. DynamoDB accepts 2 MB, but a filter is not worth sending more than this."""

Operand: TypeAlias = tuple[str, Any]
"""A scalar by its type: ``("S", "text")``, ``("N", "1.5")``, ``("BOOL", True)``."""


class Atom(NamedTuple):
    """A comparison or function: its form, with ``%s`` for the path and then for each operand."""

    form: str
    path: tuple[str, ...]
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Junction:
    """Expressions joined by ``AND`` or ``OR``. An empty ``AND`` is true, and an empty ``OR`` is false."""

    operator: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The expression does not hold. DynamoDB has two truth values: a test of a missing attribute is false."""

    part: Expression


Expression: TypeAlias = Atom | Junction | Negation

TRUE, FALSE = Junction("AND", ()), Junction("OR", ())
_EXISTS, _EXISTS_NOT = "attribute_exists(%s)", "attribute_not_exists(%s)"
_OPPOSITE = {_EXISTS: _EXISTS_NOT, _EXISTS_NOT: _EXISTS}


def all_of(*parts: Expression) -> Expression:
    """Return an expression that holds if every part does."""
    return _join("AND", parts, FALSE)


def any_of(*parts: Expression) -> Expression:
    """Return an expression that holds if at least one part does."""
    return _join("OR", parts, TRUE)


def negate(part: Expression) -> Expression:
    """Return an expression that holds if a part does not."""
    if part in (TRUE, FALSE):
        return FALSE if part == TRUE else TRUE
    if isinstance(part, Negation):
        return part.part
    if isinstance(part, Atom) and part.form in _OPPOSITE:
        return part._replace(form=_OPPOSITE[part.form])
    return Negation(part)


def exists(path: tuple[str, ...]) -> Expression:
    """Return an expression that holds if something is there, even null."""
    return Atom(_EXISTS, path)


def is_of_type(path: tuple[str, ...], name: str) -> Expression:
    """Return an expression that holds if something of a type is there."""
    return Atom("attribute_type(%s, %s)", path, (("S", name),))


def among(path: tuple[str, ...], operands: Iterable[Operand]) -> Expression:
    """Return an expression that holds if something equals one of several values."""
    distinct = dict.fromkeys(operands)
    parts: list[Expression] = []
    for some in batches(distinct, MOST_OPERANDS):
        form = "%s = %s" if len(some) == 1 else f"%s IN ({', '.join(['%s'] * len(some))})"
        parts.append(Atom(form, path, tuple(some)))
    return any_of(*parts)


def _join(operator: str, parts: Iterable[Expression], settles: Junction) -> Expression:
    flat: dict[Expression, None] = {}
    for part in parts:
        if part == settles:
            return settles
        flat.update(dict.fromkeys(part.parts if isinstance(part, Junction) and part.operator == operator else (part,)))
    negated = [part for part in flat if isinstance(part, Negation)]
    if len(negated) > 1:  # one NOT for all of them saves operators
        join = any_of if operator == "AND" else all_of
        together = negate(join(*(part.part for part in negated)))
        flat = dict.fromkeys(together if part is negated[0] else part for part in flat if part not in negated[1:])
    return next(iter(flat)) if len(flat) == 1 else Junction(operator, tuple(flat))


def operators(expression: Expression) -> int:
    """Return how many operators and functions an expression has."""
    if isinstance(expression, Atom):
        return 2 if "size" in expression.form else 1
    if isinstance(expression, Negation):
        return 1 + operators(expression.part)
    return sum(map(operators, expression.parts)) + len(expression.parts) - 1


def render(expression: Expression) -> dict[str, Any] | None:
    """Return the request parameters that filter by an expression, or ``None`` if DynamoDB would not accept it."""
    if operators(expression) > MOST_OPERATORS:
        return None
    names: dict[str, str] = {}
    values: dict[Operand, str] = {}
    text = _text(expression, names, values)
    substituted = sum(len(name.encode()) for name in names) + sum(len(str(value).encode()) for _, value in values)
    if len(text) > MOST_BYTES or substituted > _MOST_SUBSTITUTED:
        return None
    parameters: dict[str, Any] = {
        "FilterExpression": text,
        "ExpressionAttributeNames": {alias: name for name, alias in names.items()},
    }
    if values:
        parameters["ExpressionAttributeValues"] = {alias: {kind: value} for (kind, value), alias in values.items()}
    return parameters


def _text(expression: Expression, names: dict[str, str], values: dict[Operand, str]) -> str:
    if isinstance(expression, Atom):
        path = ".".join(names.setdefault(step, f"#n{len(names)}") for step in expression.path)
        return expression.form % (path, *_aliases(expression.operands, values))
    if isinstance(expression, Negation):
        inner = _text(expression.part, names, values)
        return f"NOT ({inner})" if isinstance(expression.part, Junction) else f"NOT {inner}"
    parts = []
    for part in expression.parts:
        inner = _text(part, names, values)
        parts.append(f"({inner})" if isinstance(part, Junction) else inner)
    return f" {expression.operator} ".join(parts)


def _aliases(operands: Iterable[Operand], values: dict[Operand, str]) -> Iterator[str]:
    for operand in operands:
        yield values.setdefault(operand, f":v{len(values)}")
