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
"""Stands for a value that is not there."""
Missing = Literal[_Missing.MISSING]


def parse_path(text: object, where: str) -> Path:
    """Return the steps of a path such as ``"items.0.price"``.

    Raises:
        QueryError: If it is not a path; ``where`` names the parameter.
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
    """Return whether a path may reach one place in several ways: a number may be a position, or a field of elements."""
    return any(map(is_position, path))


Known: TypeAlias = dict[tuple[int, int], bool]
"""Answers by the `id` of an array or object and a step of a path: whether a condition holds for a value that the path
reaches from there, beginning with that step."""


def holds_at(
    value: Any,
    path: Path,
    holds: Callable[[Any], bool],
    *,
    into_leaf: bool = True,
    known: Known | None = None,
    step: int = 0,
) -> bool:
    """Return whether a condition holds for a value that a path leads to, or for `MISSING` if an object lacks a step.

    The rules are those of MongoDB's matcher. From an array on the way, the path leads into each element; a step that is
    a number also picks the element at that position. An array at the end stands for its elements and for itself, unless
    a position picked it. See https://www.mongodb.com/docs/manual/tutorial/query-array-of-documents/ and
    ``jstests/core/match_numeric_components.js`` in MongoDB's sources.

    The number of ways through arrays in arrays grows exponentially, so each element is looked at only once for each
    step: the first answer is kept in ``known``.

    Args:
        value: The value at which the path begins.
        path: The steps.
        holds: The condition on one value, or on `MISSING`.
        into_leaf: Whether an array at the end stands for its elements as well.
        known: The answers so far; needed for a path that `is_ambiguous`. They must be about the same path and the same
            condition, and the arrays and objects that they are about must still exist.
        step: The number of the next step.

    Raises:
        DeadlineExceededError: If the current call has taken too long.
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
    """Return what `holds_at` returns, for an array on the way; a loop, because arrays may be nested deeply."""
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
