"""Update documents: what ``update(key, {"$inc": {"visits": 1}})`` makes of a value.

The operators are MongoDB's: https://www.mongodb.com/docs/manual/reference/operator/update/.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from datastore.arguments import as_dict
from datastore.errors import InvalidValueError, QueryError, kind_of
from datastore.queries.language import LOGIC, has_operators, parse, parse_field, plain, shown
from datastore.queries.matcher import Predicate, compile_filter
from datastore.queries.ordering import order_key, sort_key
from datastore.queries.paths import MISSING, is_position, parse_path
from datastore.queries.shaping import parse_sort
from datastore.queries.tree import Path
from datastore.values import article, checked

Update: TypeAlias = Callable[[Any], dict[str, Any]]
Change: TypeAlias = Callable[[Any], Any]
"""From what is at a path, or `MISSING`, to what shall be there, or `MISSING`."""

_LONGEST_ARRAY = 200_000  # elements: so many times "null," fill a value


def compile_update(changes: Any) -> Update:
    """Return the function that changes an object; it may change the one it is given.

    Args:
        changes: Update operators with their fields, or fields to set (a shallow merge).

    Raises:
        QueryError: If it is neither; the message names the place.
        InvalidValueError: If something in it is not JSON.
    """
    changes = as_dict(changes, lambda: InvalidValueError(f"changes is {kind_of(changes)}; it must be a dict"))
    changes = plain(
        checked(changes, "changes")[0]
    )  # a copy: what the caller does to the operands later changes nothing
    operators = [name for name in changes if name.startswith("$")]
    if not operators:
        return partial(_merged, changes)
    if len(operators) < len(changes):
        other = next(name for name in changes if not name.startswith("$"))
        raise QueryError(f"changes: {operators[0]} and {other!r} cannot stand side by side: operators, or fields")
    steps = [step for name in operators for step in _steps(name, changes[name])]
    _check_apart([path for step in steps for path in (step.path, step.to) if path is not None])
    return partial(_applied, steps)


@dataclass(frozen=True, slots=True)
class _Step:
    operator: str
    path: Path
    change: Change
    to: Path | None = None
    """Where a `$rename` leads."""


def _merged(changes: dict[str, Any], value: Any) -> dict[str, Any]:
    return {**_object(value), **changes}


def _applied(steps: list[_Step], value: Any) -> dict[str, Any]:
    _object(value)
    for step in steps:
        try:
            if step.to is None:
                _change_at(value, step.path, step.change)
            else:
                _rename(value, step.path, step.to)
        except _DoesNotFitError as error:
            if step.operator == "$unset":
                continue  # as MongoDB: where there cannot be anything there is nothing to remove
            path = ".".join(step.path)
            raise InvalidValueError(
                f"{step.operator} cannot be applied to {path!r} of the stored value: {error}"
            ) from None
    result: dict[str, Any] = value
    return result


class _DoesNotFitError(Exception):
    """A stored value is not one that an operator can change."""


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"the stored value is {article(value)}; only an object can be updated")
    return value


def _steps(name: str, operand: Any) -> list[_Step]:
    make = _OPERATORS.get(name)
    if make is None:
        near = difflib.get_close_matches(name, _OPERATORS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise QueryError(f"changes: unknown operator {name}{hint}; there are {', '.join(sorted(_OPERATORS))}")
    if not isinstance(operand, dict):
        raise QueryError(f"{name}: takes fields in a dict, such as {{'visits': 1}}, and got {shown(operand)}")
    steps = []
    for field, argument in operand.items():
        place = f"{name}.{field}"
        path = _updatable(field, name)
        to = None
        if name == "$rename":
            if not isinstance(argument, str):
                raise QueryError(f"{place}: takes the new name as a str, and got {shown(argument)}")
            to = _updatable(argument, place)
        steps.append(_Step(name, path, make(argument, place), to))
    return steps


def _updatable(text: object, where: str) -> Path:
    path = parse_path(text, where)
    for step in path:
        if step == "$" or step.startswith("$["):
            raise QueryError(f"{where}: the path {text!r} has {step!r}; name a position, such as 'items.0'")
    return path


def _check_apart(paths: list[Path]) -> None:
    """Refuse paths of which one is a part of another: the order would decide the result."""
    ordered = sorted(paths)
    for one, other in pairwise(ordered):
        if other[: len(one)] == one:
            raise QueryError(f"changes: {'.'.join(one)!r} and {'.'.join(other)!r} are in each other's way")


def _kept(current: Any) -> Any:
    return current


def _set(operand: Any, place: str) -> Change:
    return lambda current: copy.deepcopy(operand)


def _unset(operand: Any, place: str) -> Change:
    return lambda current: MISSING


def _inc(operand: Any, place: str) -> Change:
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise QueryError(f"{place}: takes a number, and got {shown(operand)}")

    def add(current: Any) -> Any:
        if current is MISSING:
            return operand
        if isinstance(current, bool) or not isinstance(current, int | float):
            raise _DoesNotFitError(f"it is {article(current)}, and no number")
        try:
            return current + operand
        except OverflowError:  # an integer too large for a float, and a float
            raise _DoesNotFitError("the sum is beyond what a float can hold") from None

    return add


def _bound(wins: Callable[[Any, Any], bool]) -> Callable[[Any, str], Change]:
    def make(operand: Any, place: str) -> Change:
        key = order_key(operand)
        return lambda current: (
            copy.deepcopy(operand) if current is MISSING or wins(key, order_key(current)) else current
        )

    return make


def _array(current: Any) -> list[Any]:
    if current is MISSING:
        return []
    if not isinstance(current, list):
        raise _DoesNotFitError(f"it is {article(current)}, and no array")
    return current


def _push(operand: Any, place: str) -> Change:
    items, modifiers = _each(operand, place, ("$each", "$position", "$slice", "$sort"))
    position, length = (
        _whole(modifiers[name], f"{place}.{name}") if name in modifiers else None for name in ("$position", "$slice")
    )
    order = _order(modifiers["$sort"], f"{place}.$sort") if "$sort" in modifiers else None

    def push(current: Any) -> Any:
        array = list(_array(current))
        where = len(array) if position is None else position
        array[where:where] = copy.deepcopy(items)
        if order is not None:
            array = order(array)
        if length is None:
            return array
        return array[:length] if length >= 0 else array[length:]

    return push


def _order(operand: Any, place: str) -> Callable[[list[Any]], list[Any]]:
    if isinstance(operand, int | float) and not isinstance(operand, bool) and operand in (1, -1):
        return lambda array: sorted(array, key=order_key, reverse=operand == -1)
    if not isinstance(operand, dict) or not operand:
        raise QueryError(f"{place}: takes 1, -1, or fields such as {{'score': -1}}, and got {shown(operand)}")
    key = sort_key(parse_sort(operand, place))
    return lambda array: sorted(array, key=key)


def _add_to_set(operand: Any, place: str) -> Change:
    items, _ = _each(operand, place, ("$each",))

    def add(current: Any) -> Any:
        array = list(_array(current))
        known = set(map(order_key, array))
        for item in items:
            key = order_key(item)
            if key not in known:
                known.add(key)
                array.append(copy.deepcopy(item))
        return array

    return add


def _each(operand: Any, place: str, allowed: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Return the items to add, and the modifiers beside ``$each``."""
    if not isinstance(operand, dict) or not any(name.startswith("$") for name in operand):
        return [operand], {}
    unknown = [name for name in operand if name not in allowed]
    if unknown:
        raise QueryError(f"{place}: unknown modifier {unknown[0]}; there are {', '.join(allowed)}")
    if "$each" not in operand or not isinstance(operand["$each"], list | tuple):
        raise QueryError(f"{place}.$each: takes a list, and is needed beside the other modifiers")
    return list(operand["$each"]), operand


def _whole(operand: Any, place: str) -> int:
    if isinstance(operand, bool) or not isinstance(operand, int | float) or operand != int(operand):
        raise QueryError(f"{place}: takes a whole number, and got {shown(operand)}")
    return int(operand)


def _pull(operand: Any, place: str) -> Change:
    goes = _pulled(operand, place)
    return lambda current: MISSING if current is MISSING else [item for item in _array(current) if not goes(item)]


def _pulled(operand: Any, place: str) -> Predicate:
    """Return the function that says which elements go: those equal to a value, or that match operators or a filter.

    As `src/mongo/db/update/pull_node.cpp` of MongoDB's sources: operators look at an element as at a field, into an
    array that it is; a filter looks at elements that are objects.
    """
    if not isinstance(operand, dict):
        key = order_key(operand)
        return lambda item: order_key(item) == key
    if has_operators(operand, place) and next(iter(operand)) not in LOGIC:
        element = compile_filter(parse_field(("element",), operand, place))
        return lambda item: element({"element": item})
    inner = compile_filter(parse(operand, place))
    return lambda item: isinstance(item, dict) and inner(item)


_OPERATORS: dict[str, Callable[[Any, str], Change]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$min": _bound(lambda new, old: new < old),
    "$max": _bound(lambda new, old: new > old),
    "$push": _push,
    "$pull": _pull,
    "$addToSet": _add_to_set,
    "$rename": lambda operand, place: _kept,
}


def _change_at(value: dict[str, Any], path: Path, change: Change) -> None:
    """Replace what is at a path by what the change makes of it, creating the objects on the way to it."""
    holder: Any = value
    for index, step in enumerate(path):
        last = index + 1 == len(path)
        current = _child(holder, step)
        if last:
            _put(holder, step, change(current))
        elif current is MISSING:
            made = _nested(path[index + 1 :], change(MISSING))
            if made is not MISSING:
                _put(holder, step, made)
            return
        else:
            holder = current


def _nested(path: Path, leaf: Any) -> Any:
    if leaf is MISSING:
        return MISSING
    for step in reversed(path):
        leaf = {step: leaf}
    return leaf


def _child(holder: Any, step: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(step, MISSING)
    if isinstance(holder, list) and is_position(step):
        return holder[int(step)] if int(step) < len(holder) else MISSING
    if isinstance(holder, list):
        raise _DoesNotFitError(f"an array has positions, and no field {step!r}")
    raise _DoesNotFitError(f"there is no field {step!r} in {article(holder)}")


def _put(holder: Any, step: str, child: Any) -> None:
    if isinstance(holder, dict):
        if child is MISSING:
            holder.pop(step, None)
        else:
            holder[step] = child
        return
    position = int(step)
    if child is MISSING:
        if position < len(holder):
            holder[position] = None  # as MongoDB: the elements behind it keep their positions
        return
    if position > _LONGEST_ARRAY:
        raise _DoesNotFitError(f"position {position} is beyond what a value can hold")
    holder.extend([None] * (position + 1 - len(holder)))
    holder[position] = child


def _rename(value: dict[str, Any], path: Path, to: Path) -> None:
    _check_no_array(value, path)
    _check_no_array(value, to)
    holder: Any = value
    for step in path[:-1]:
        holder = holder.get(step, {})
    if path[-1] in holder:
        moved = holder.pop(path[-1])
        _change_at(value, to, lambda current: moved)


def _check_no_array(value: dict[str, Any], path: Path) -> None:
    """Refuse a path on which there is an array, or something without fields: as `rename_node.cpp` of MongoDB."""
    holder: Any = value
    for step in path:
        if isinstance(holder, list):
            raise _DoesNotFitError(f"there is an array on the way to {'.'.join(path)!r}")
        holder = _child(holder, step)
        if holder is MISSING:
            return
