"""DynamoDB's expressions, as far as the adapter writes them: conditions, filters, key conditions and updates.

Any other word is refused, as the service refuses what it does not know. So is a name or a value that an expression does
not use.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, TypeAlias

Attribute: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, Attribute]

_TOKEN = re.compile(r"\s*(?:(<=|>=|<>|[=<>(),.])|([#:]?[A-Za-z_][A-Za-z0-9_]*))")
_OF_PARTITION = re.compile(r"pk = (:\w+)(?: AND sk (?:BETWEEN (:\w+) AND (:\w+)|(<=|>=|<|>) (:\w+)))?")
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class ExpressionError(Exception):
    """The service would answer with a ValidationException."""


class Scope(NamedTuple):
    """What an expression is about, and what its aliases stand for."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Attribute]


Operand: TypeAlias = Callable[[Scope], Attribute | None]
Test: TypeAlias = Callable[[Scope], bool]
Change: TypeAlias = Callable[[Scope, Item], None]


def holds(text: str, scope: Scope) -> bool:
    """Return whether a condition holds."""
    found: bool = _parsed(text, "condition")(scope)
    return found


def in_partition(text: str, values: Mapping[str, Attribute]) -> tuple[str, Callable[[str], bool]]:
    """Return the partition that a key condition names, and which of its sort keys are meant.

    Such a condition is no other one: it may compare the sort key once, and nothing else (Query in the API reference).
    """
    found = _OF_PARTITION.fullmatch(text)
    if found is None:
        raise ExpressionError(f"{text!r} is no key condition")
    partition, low, high, operator, bound = (values[name]["S"] if name in values else name for name in found.groups())
    if low is not None:
        return partition, lambda sort: low <= sort <= high
    if operator is None:
        return partition, lambda sort: True
    compare = _COMPARED[operator]
    return partition, lambda sort: compare(sort, bound)


def updated(text: str, scope: Scope) -> Item:
    """Return an item as it is after an update. Each right side is taken from the item before it."""
    after = dict(scope.item)
    for change in _parsed(text, "update"):
        change(scope, after)
    return after


def projected(text: str | None, scope: Scope) -> Item:
    """Return the attributes that a projection names; all if there is none."""
    if text is None:
        return scope.item
    wanted = [_named(name.strip(), scope.names) for name in text.split(",")]
    return {name: scope.item[name] for name in wanted if name in scope.item}


def check_aliases(expressions: list[str], names: Mapping[str, str], values: Mapping[str, Attribute]) -> None:
    """Raise if an alias is used that stands for nothing, or one is not used."""
    for aliases, used in zip((names, values), _aliases(tuple(expressions)), strict=True):
        if aliases.keys() != used:
            raise ExpressionError(f"the aliases {sorted(aliases)} are not those of {expressions}")


@cache
def _aliases(texts: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the aliases of names that some expressions use, and those of values."""
    names, values = (frozenset(re.findall(rf"{mark}\w+", " ".join(texts))) for mark in "#:")
    return names, values


@cache
def _parsed(text: str, kind: str) -> Any:
    parser = _Parser(text)
    found = parser.condition() if kind == "condition" else parser.update()
    if parser.left:
        raise ExpressionError(f"{parser.left[0]!r} is not expected in {text!r}")
    return found


def _named(name: str, names: Mapping[str, str]) -> str:
    return names[name] if name.startswith("#") else name


def order_of(attribute: Attribute) -> Any:
    """Return what the attributes of one type are ordered by."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return Decimal(value)
    if kind == "S":
        return value  # the order of UTF-8 is that of code points
    if kind == "B":
        return base64.b64decode(value)
    return None


def equal(one: Attribute, other: Attribute) -> bool:
    """Return whether two attributes are the same."""
    if one == other:
        return True
    if one.keys() != other.keys() or "S" in one:
        return False
    ((kind, left),), ((_, right),) = one.items(), other.items()
    if kind == "L":
        return len(left) == len(right) and all(map(equal, left, right))
    if kind == "M":
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    return left == right if kind in ("BOOL", "NULL") else bool(order_of(one) == order_of(other))


def _compare(operator: str, one: Attribute | None, other: Attribute | None) -> bool:
    if one is None or other is None:
        return operator == "<>" and one is not other
    if operator in ("=", "<>"):
        return equal(one, other) is (operator == "=")
    if one.keys() != other.keys() or (low := order_of(one)) is None:
        return False
    return _COMPARED[operator](low, order_of(other))


def _contains(whole: Attribute | None, part: Attribute | None) -> bool:
    if whole is None or part is None:
        return False
    if "L" in whole:
        return any(equal(one, part) for one in whole["L"])
    return "S" in whole and "S" in part and part["S"] in whole["S"]


def _size(attribute: Attribute | None) -> Attribute | None:
    if attribute is None or not attribute.keys() & {"S", "B", "L", "M"}:
        return None
    if "S" in attribute:
        return {"N": str(len(attribute["S"].encode()))}
    whole = attribute.get("L", attribute.get("M"))
    return {"N": str(len(order_of(attribute) if whole is None else whole))}


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.left: list[str] = []
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if found is None:
                raise ExpressionError(f"{text[place:]!r} cannot be read")
            self.left.append(found[1] or found[2])
            place = found.end()

    def _take(self, *expected: str) -> str:
        if not self.left or (expected and self.left[0] not in expected):
            raise ExpressionError(
                f"{' or '.join(expected)} is expected before {' '.join(self.left)!r} in {self.text!r}"
            )
        return self.left.pop(0)

    def _next_is(self, *words: str) -> bool:
        return bool(self.left) and self.left[0] in words

    def condition(self) -> Test:
        parts = [self._all()]
        while self._next_is("OR"):
            self._take()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)

    def _all(self) -> Test:
        parts = [self._one()]
        while self._next_is("AND"):
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)

    def _one(self) -> Test:
        if self._next_is("NOT"):
            self._take()
            inner = self._one()
            return lambda scope: not inner(scope)
        if self._next_is("("):
            self._take()
            within = self.condition()
            self._take(")")
            return within
        if self._next_is("attribute_exists", "attribute_not_exists"):
            wanted = self._take() == "attribute_exists"
            (path,) = self._arguments(1)
            return lambda scope: (path(scope) is not None) is wanted
        if self._next_is("attribute_type"):
            self._take()
            path, kind = self._arguments(2)
            return lambda scope: (kind(scope) or {})["S"] in (path(scope) or ())
        if self._next_is("contains"):
            self._take()
            whole, part = self._arguments(2)
            return lambda scope: _contains(whole(scope), part(scope))
        return self._comparison()

    def _comparison(self) -> Test:
        one = self._operand()
        operator = self._take("=", "<>", "<", "<=", ">", ">=", "IN", "BETWEEN")
        if operator == "IN":
            among = self._arguments()
            return lambda scope: any(_compare("=", one(scope), other(scope)) for other in among)
        if operator == "BETWEEN":
            low = self._operand()
            self._take("AND")
            high = self._operand()
            return lambda scope: _compare(">=", one(scope), low(scope)) and _compare("<=", one(scope), high(scope))
        other = self._operand()
        return lambda scope: _compare(operator, one(scope), other(scope))

    def _arguments(self, number: int | None = None) -> list[Operand]:
        self._take("(")
        found = [self._operand()]
        while self._take(",", ")") == ",":
            found.append(self._operand())
        if number not in (None, len(found)):
            raise ExpressionError(f"a function has {len(found)} operands in {self.text!r}")
        return found

    def _operand(self) -> Operand:
        if self._next_is("size"):
            self._take()
            (measured,) = self._arguments(1)
            return lambda scope: _size(measured(scope))
        if self._next_is("if_not_exists"):
            self._take()
            path, default = self._arguments(2)
            return lambda scope: default(scope) if (found := path(scope)) is None else found
        word = self._take()
        if word.startswith(":"):
            return lambda scope: scope.values[word]
        steps = [word]
        while self._next_is("."):
            self._take()
            steps.append(self._take())
        if len(steps) == 1:
            return lambda scope: scope.item.get(_named(word, scope.names))
        return lambda scope: _at(steps, scope)

    def update(self) -> list[Change]:
        changes: list[Change] = []
        while self.left:
            clause = self._take("SET", "REMOVE", "ADD")
            while True:
                changes.append(self._change(clause))
                if not self._next_is(","):
                    break
                self._take()
        return changes

    def _change(self, clause: str) -> Change:
        name = self._take()
        if clause == "REMOVE":
            return lambda scope, after: after.pop(_named(name, scope.names), None) and None
        if clause == "SET":
            self._take("=")
        operand = self._operand()

        def change(scope: Scope, after: Item) -> None:
            value, place = operand(scope), _named(name, scope.names)
            if value is None:
                raise ExpressionError(f"{self.text!r} refers to an attribute that the item does not have")
            if clause == "ADD":
                before = scope.item.get(place, {"N": "0"})
                if "N" not in before or "N" not in value:
                    raise ExpressionError(f"{self.text!r} adds to something that is not a number")
                value = {"N": str(Decimal(before["N"]) + Decimal(value["N"]))}
            after[place] = value

        return change


def _at(steps: list[str], scope: Scope) -> Attribute | None:
    found: Attribute | None = {"M": scope.item}
    for step in steps:
        found = (found or {}).get("M", {}).get(_named(step, scope.names))
    return found
