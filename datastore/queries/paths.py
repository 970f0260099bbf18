"""Dotted paths: how they are written, and where they lead in a document."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from datastore.arguments import as_text, is_a, lone_surrogate, shown
from datastore.deadlines import check
from datastore.errors import QueryError, kind_of
from datastore.queries.tree import Path
from datastore.values import MAX_DEPTH

_CHECK_EVERY = 1_000  # elements: some tenths of a millisecond


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
"""What a path leads to where there is nothing."""
Missing = Literal[_Missing.MISSING]


def parse_path(text: object, where: str) -> Path:
    """Return the steps of a path such as ``"items.0.price"``.

    Raises:
        QueryError: If it is no such path; ``where`` says in which parameter.
    """
    if not is_a(text, str):
        raise QueryError(f"{where}: the path is {kind_of(text)}; it must be a str such as 'address.city'")
    text = as_text(text)
    if (problem := lone_surrogate(text)) is not None:
        raise QueryError(f"{where}: the path holds {problem}")
    steps = tuple(text.split("."))
    if "" in steps:
        raise QueryError(f"{where}: the path {shown(text)} has an empty step")
    if len(steps) > MAX_DEPTH:
        raise QueryError(
            f"{where}: the path {shown(text)} has {len(steps):,} steps; a value is nested {MAX_DEPTH} deep at most"
        )
    if text.startswith("$"):
        raise QueryError(f"{where}: the path {shown(text)} begins with $, as only operators do")
    return steps


def is_ambiguous(path: Path) -> bool:
    """Return whether a path may lead to one place in more than one way: a position, or a field within each element."""
    return any(map(is_position, path))


Known: TypeAlias = dict[tuple[int, int], bool]
"""What has been found out: whether a condition holds for what the rest of a path, from a step on, leads to from the
array or object with this `id`."""


def holds_at(
    value: Any,
    path: Path,
    holds: Callable[[Any], bool],
    *,
    into_leaf: bool = True,
    known: Known | None = None,
    step: int = 0,
) -> bool:
    """Return whether a condition holds for something that a path leads to, `MISSING` where an object lacks a step.

    The rules are those of MongoDB's matcher: an array on the way is gone through, and a step that is a number also
    picks the element of that position; an array at the end stands for its elements and for itself, unless a position
    picked it. See https://www.mongodb.com/docs/manual/tutorial/query-array-of-documents/ and
    ``jstests/core/match_numeric_components.js`` in MongoDB's sources.

    Arrays in arrays can be gone through in more ways than there are atoms, so each element is looked at once for each
    step: the first answer is kept in ``known``.

    Args:
        value: Where the path begins.
        path: The steps.
        holds: The condition, on one value or `MISSING`.
        into_leaf: Whether an array at the end stands for its elements as well.
        known: What is known so far; needed for a path that `is_ambiguous`. What it knows must be about this path and
            this condition, and the arrays and objects that it is about must still be there.
        step: Which step is next.

    Raises:
        DeadlineExceededError: If the call under way has taken too long.
    """
    for index in range(step, len(path)):
        if type(value) is dict:
            value = value.get(path[index], MISSING)
        elif type(value) is list:
            if known is not None:
                return _holds_in(value, path, holds, into_leaf, known, index)
            for element in value:
                if type(element) is dict and holds_at(element, path, holds, into_leaf=into_leaf, step=index):
                    return True
            return False
        else:
            return holds(MISSING)
    return (into_leaf and type(value) is list and any(map(holds, value))) or holds(value)


def _holds_in(
    array: list[Any], path: Path, holds: Callable[[Any], bool], into_leaf: bool, known: Known, step: int
) -> bool:
    """Return what `holds_at` does, for an array on the way; arrays in arrays are a loop, because they may be many."""
    passed: list[tuple[int, int]] = []
    answer: bool | None = None
    while answer is None:
        check()
        passed.append((id(array), step))
        for element in array:
            if type(element) is dict and _holds_once(element, path, holds, into_leaf, known, step):
                answer = True
                break
        if answer:
            break
        position = int(path[step]) if is_position(path[step]) else len(array)
        step += 1
        element = array[position] if position < len(array) else None
        if position >= len(array):
            answer = False
        elif step == len(path):
            answer = holds(element)
        elif type(element) is dict:
            answer = _holds_once(element, path, holds, into_leaf, known, step)
        elif type(element) is list:
            array, answer = element, known.get((id(element), step))
        else:
            answer = False
    for place in passed:
        known[place] = answer
    return answer


def _holds_once(
    element: dict[str, Any], path: Path, holds: Callable[[Any], bool], into_leaf: bool, known: Known, step: int
) -> bool:
    place = id(element), step
    answer = known.get(place)
    if answer is None:
        if not len(known) % _CHECK_EVERY:
            check()
        answer = known[place] = holds_at(element, path, holds, into_leaf=into_leaf, known=known, step=step)
    return answer


def is_position(step: str) -> bool:
    """Return whether a step can be the position of an element."""
    return step.isascii() and step.isdigit() and (step == "0" or step[0] != "0") and len(step) < 10
