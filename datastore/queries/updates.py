"""Update documents, such as ``{"$inc": {"visits": 1}}``: how they change a value.

The operators are MongoDB's: https://www.mongodb.com/docs/manual/reference/operator/update/.
"""

from __future__ import annotations

import copy
import difflib
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias, cast

from datastore import deadlines
from datastore.arguments import as_dict
from datastore.errors import DataStoreError, InvalidValueError, QueryError, kind_of
from datastore.queries.language import has_operators, is_filter, parse, parse_field, plain, refuse_compiled, shown
from datastore.queries.matcher import Predicate, compile_filter
from datastore.queries.ordering import equality_key, order_key, sort_key
from datastore.queries.paths import MISSING, is_position, parse_path
from datastore.queries.shaping import parse_sort
from datastore.queries.tree import Path
from datastore.values import article, checked

Update: TypeAlias = Callable[[Any], dict[str, Any]]
Change: TypeAlias = Callable[[Any], Any]
"""Takes the value at a path, or `MISSING`, and returns the new value, or `MISSING`."""

_LONGEST_ARRAY = 200_000  # elements: this many times "null," fill a value


def compile_update(changes: Any) -> Update:
    """Return a function that changes an object. It may change the given object in place, and it creates a missing one.

    Args:
        changes: Update operators with their fields, or fields to set (a shallow merge).

    Raises:
        QueryError: If ``changes`` is neither, or holds a compiled regular expression; the message names the place.
        InvalidValueError: If something in it is not JSON.
    """
    changes = as_dict(changes, lambda: InvalidValueError(f"changes is {kind_of(changes)}; it must be a dict"))
    try:
        taken = checked(changes, "changes")[0]
    except DataStoreError:
        refuse_compiled(changes, "changes")
        raise
    changes = plain(taken)  # a copy: the caller may change the operands later
    operators = [name for name in changes if name.startswith("$")]
    if not operators:
        _check_reachable(changes)
        return partial(_merged, changes)
    if len(operators) < len(changes):
        other = next(name for name in changes if not name.startswith("$"))
        raise QueryError(f"changes: {operators[0]} and {other!r} cannot be mixed: give operators, or fields")
    steps = [step for name in operators for step in _steps(name, changes[name])]
    _check_apart([path for step in steps for path in (step.path, step.to) if path is not None])
    return partial(_applied, steps)


@dataclass(frozen=True, slots=True)
class _Step:
    operator: str
    path: Path
    change: Change
    to: Path | None = None
    """The new path of a `$rename`."""
    for_new: bool = False
    """Applied only if there was no record."""


def _check_reachable(changes: dict[str, Any]) -> None:
    """Refuse to set fields to which no path can lead: filters, sorts and operators could not reach them."""
    for name in changes:
        if not name:
            raise QueryError("changes: a field has no name, so no path leads to it; name it, or store it with modify()")
        if "." in name:
            raise QueryError(
                f"changes: {shown(name)} has a dot in it, but without an operator these are names of fields, not paths;"
                f" to set the field at a path, write {{'$set': {{{shown(name)}: ...}}}}"
            )


def _merged(changes: dict[str, Any], value: Any) -> dict[str, Any]:
    return {**_object({} if value is MISSING else value), **changes}


def _applied(steps: list[_Step], value: Any) -> dict[str, Any]:
    if value is MISSING:
        value = {}
    else:
        _object(value)
        steps = [step for step in steps if not step.for_new]
    filled = 0
    for step in steps:
        deadlines.check()
        try:
            if step.to is None:
                filled += _change_at(value, step.path, step.change)
            else:
                _rename(value, step.path, step.to)
            if filled > _LONGEST_ARRAY:  # each array may be short enough, but all together would fill the memory
                raise _DoesNotFitError("the arrays would grow beyond what a value can hold")
        except _DoesNotFitError as error:
            if step.operator == "$unset":
                continue  # as in MongoDB: if the path cannot exist there is nothing to remove
            path = ".".join(step.path)
            raise InvalidValueError(
                f"{step.operator} cannot be applied to {path!r} of the stored value: {error}"
            ) from None
    result: dict[str, Any] = value
    return result


class _DoesNotFitError(Exception):
    """An operator cannot be applied to a stored value."""


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError(f"the stored value is {article(value)}; only an object can be updated")
    return value


def _steps(name: str, operand: Any) -> list[_Step]:
    if name in _INSTEAD:
        raise QueryError(f"changes: {name} is not supported: {_INSTEAD[name]}")
    make = _OPERATORS.get(name)
    if make is None:
        near = difflib.get_close_matches(name, _OPERATORS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise QueryError(f"changes: unknown operator {name}{hint}; the operators are {', '.join(sorted(_OPERATORS))}")
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
        steps.append(_Step(name, path, make(argument, place), to, name == "$setOnInsert"))
    return steps


def _updatable(text: object, where: str) -> Path:
    path = parse_path(text, where)
    for step in path:
        if step == "$" or step.startswith("$["):
            raise QueryError(f"{where}: the path {text!r} has {step!r}; name a position, such as 'items.0'")
    return path


def _check_apart(paths: list[Path]) -> None:
    """Refuse paths if one is part of another: the result would depend on the order."""
    ordered = sorted(paths)
    for one, other in pairwise(ordered):
        if other[: len(one)] == one:
            raise QueryError(f"changes: {'.'.join(one)!r} and {'.'.join(other)!r} overlap")


def _kept(current: Any) -> Any:
    return current


def _set(operand: Any, place: str) -> Change:
    return lambda current: copy.deepcopy(operand)


def _unset(operand: Any, place: str) -> Change:
    return lambda current: MISSING


def _inc(operand: Any, place: str) -> Change:
    return _computed(operand, place, operand, operator.add, "sum")


def _mul(operand: Any, place: str) -> Change:
    # If the field is missing, MongoDB sets a zero of the multiplier's type:
    # https://www.mongodb.com/docs/manual/reference/operator/update/mul/#missing-field
    return _computed(operand, place, type(operand)(0) if _is_number(operand) else 0, operator.mul, "product")


def _computed(operand: Any, place: str, missing: Any, compute: Callable[[Any, Any], Any], name: str) -> Change:
    if not _is_number(operand):
        raise QueryError(f"{place}: takes a number, and got {shown(operand)}")

    def change(current: Any) -> Any:
        if current is MISSING:
            return missing
        if not _is_number(current):
            raise _DoesNotFitError(f"it is {article(current)}, not a number")
        try:
            result = compute(current, operand)
        except OverflowError:  # an integer too large for a float, and a float
            result = math.inf
        if isinstance(result, float) and not math.isfinite(result):
            raise _DoesNotFitError(f"the {name} is beyond what a float can hold")
        return result

    return change


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
        raise _DoesNotFitError(f"it is {article(current)}, not an array")
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
    if _is_number(operand) and operand in (1, -1):
        return lambda array: sorted(array, key=order_key, reverse=operand == -1)
    if not isinstance(operand, dict) or not operand:
        raise QueryError(f"{place}: takes 1, -1, or fields such as {{'score': -1}}, and got {shown(operand)}")
    key = sort_key(parse_sort(operand, place))
    return lambda array: sorted(array, key=key)


def _add_to_set(operand: Any, place: str) -> Change:
    items, _ = _each(operand, place, ("$each",))

    def add(current: Any) -> Any:
        array = list(_array(current))
        known = set(map(equality_key, array))
        for item in items:
            key = equality_key(item)
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
        raise QueryError(f"{place}: unknown modifier {unknown[0]}; the modifiers are {', '.join(allowed)}")
    if "$each" not in operand or not isinstance(operand["$each"], list | tuple):
        raise QueryError(f"{place}.$each: takes a list; the other modifiers need it")
    return list(operand["$each"]), operand


def _whole(operand: Any, place: str) -> int:
    if not _is_number(operand) or operand != int(operand):
        raise QueryError(f"{place}: takes a whole number, and got {shown(operand)}")
    return int(operand)


def _pop(operand: Any, place: str) -> Change:
    # See https://www.mongodb.com/docs/manual/reference/operator/update/pop/ and `pop_node.cpp` in MongoDB's sources.
    if not _is_number(operand) or operand not in (1, -1):
        raise QueryError(f"{place}: takes 1 for the last element or -1 for the first, and got {shown(operand)}")
    kept = slice(None, -1) if operand == 1 else slice(1, None)
    return lambda current: MISSING if current is MISSING else _array(current)[kept]


def _pull(operand: Any, place: str) -> Change:
    return _without(_pulled(operand, place))


def _pull_all(operand: Any, place: str) -> Change:
    # See https://www.mongodb.com/docs/manual/reference/operator/update/pullAll/: it takes values only, no operators.
    if not isinstance(operand, list):
        raise QueryError(f"{place}: takes a list of the values to remove, and got {shown(operand)}")
    keys = frozenset(map(order_key, operand))
    return _without(lambda item: order_key(item) in keys)


def _without(goes: Predicate) -> Change:
    return lambda current: MISSING if current is MISSING else [item for item in _array(current) if not goes(item)]


def _pulled(operand: Any, place: str) -> Predicate:
    """Return a function that tells whether to remove an element: it equals a value, or matches operators or a filter.

    As in `src/mongo/db/update/pull_node.cpp` in MongoDB's sources, operators treat an element like a field: if it is an
    array, they also look at its elements. A filter matches only elements that are objects.
    """
    if not isinstance(operand, dict):
        key = equality_key(operand)
        return lambda item: equality_key(item) == key
    if not is_filter(operand) and has_operators(operand, place):
        element = compile_filter(parse_field(("element",), operand, place))
        return lambda item: element({"element": item})
    inner = compile_filter(parse(operand, place))
    return lambda item: isinstance(item, dict) and inner(item)


_OPERATORS: dict[str, Callable[[Any, str], Change]] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$mul": _mul,
    "$min": _bound(lambda new, old: new < old),
    "$max": _bound(lambda new, old: new > old),
    "$push": _push,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$addToSet": _add_to_set,
    "$rename": lambda operand, place: _kept,
}
_INSTEAD = {
    "$currentDate": "JSON has no dates; when a record was changed is its updatedAt (sort by '$updatedAt', or ask with "
    "meta), and a time of your own is text: {'$set': {'at': datetime.now(UTC).isoformat()}}",
    "$bit": "compute the number in modify()",
}
"""Operators of MongoDB that are not supported, and what to use instead."""


def _change_at(value: dict[str, Any], path: Path, change: Change) -> int:
    """Replace the value at a path by the change's result, and create the objects on the way to it.

    Returns:
        How many elements arrays have grown by.
    """
    holder: Any = value
    for index, step in enumerate(path):
        last = index + 1 == len(path)
        current = _child(holder, step)
        if last:
            return _put(holder, step, change(current))
        if current is MISSING:
            made = _nested(path[index + 1 :], change(MISSING))
            return 0 if made is MISSING else _put(holder, step, made)
        holder = current
    return 0


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
        raise _DoesNotFitError(f"an array has positions, not fields such as {step!r}")
    raise _DoesNotFitError(f"there is no field {step!r} in {article(holder)}")


def _put(holder: Any, step: str, child: Any) -> int:
    if isinstance(holder, dict):
        if child is MISSING:
            holder.pop(step, None)
        else:
            holder[step] = child
        return 0
    position = int(step)
    if child is MISSING:
        if position < len(holder):
            holder[position] = None  # as in MongoDB: the elements after it keep their positions
        return 0
    if position > _LONGEST_ARRAY:
        raise _DoesNotFitError(f"position {position} is beyond what a value can hold")
    missing = max(0, position + 1 - len(holder))
    holder.extend([None] * missing)
    holder[position] = child
    return missing


def _rename(value: dict[str, Any], path: Path, to: Path) -> None:
    """Move the value at a path to another path. If there is none, nothing is done, whatever is at the other path.

    As in `rename_node.cpp` in MongoDB's sources, it is an error if a path leads through an array, or through something
    without fields.
    """
    if _seek(value, path) is MISSING:
        return
    _check_no_array(value, path)
    _check_no_array(value, to)
    holder = cast("dict[str, Any]", _seek(value, path[:-1]))
    moved = holder.pop(path[-1])
    _change_at(value, to, lambda current: moved)


def _seek(value: Any, path: Path) -> Any:
    """Return the value at a path, or `MISSING`."""
    for step in path:
        value = _child(value, step)
        if value is MISSING:
            break
    return value


def _check_no_array(value: dict[str, Any], path: Path) -> None:
    """Refuse a path that leads through an array, or through something without fields."""
    holder: Any = value
    for step in path:
        if isinstance(holder, list):
            raise _DoesNotFitError(f"there is an array on the way to {'.'.join(path)!r}")
        holder = _child(holder, step)
        if holder is MISSING:
            return
