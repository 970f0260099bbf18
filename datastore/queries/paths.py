"""Dotted paths: how they are written, and where they lead in a document."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, Literal

from datastore.arguments import as_text, is_a, lone_surrogate, shown
from datastore.errors import QueryError, kind_of
from datastore.queries.tree import Path


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
    if text.startswith("$"):
        raise QueryError(f"{where}: the path {shown(text)} begins with $, as only operators do")
    return steps


def leads_to(document: Any, path: Path, *, into_leaf: bool = True, step: int = 0) -> Iterator[Any]:
    """Yield everything that a path leads to, `MISSING` where an object lacks a step.

    The rules are those of MongoDB's matcher: an array on the way is gone through, and a step that is a number also
    picks the element of that position; an array at the end stands for its elements and for itself, unless a position
    picked it. See https://www.mongodb.com/docs/manual/tutorial/query-array-of-documents/ and
    ``jstests/core/match_numeric_components.js`` in MongoDB's sources.

    Args:
        document: Where the path begins.
        path: The steps.
        into_leaf: Whether an array at the end stands for its elements as well.
        step: Which step is next.
    """
    for index in range(step, len(path)):
        if type(document) is dict:
            document = document.get(path[index], MISSING)
        elif type(document) is list:
            yield from _through(document, path, index, into_leaf)
            return
        else:
            yield MISSING
            return
    if into_leaf and type(document) is list:
        yield from document
    yield document


def _through(array: list[Any], path: Path, step: int, into_leaf: bool) -> Iterator[Any]:
    position = int(path[step]) if is_position(path[step]) else -1
    last = step + 1 == len(path)
    for index, element in enumerate(array):
        if type(element) is dict:
            yield from leads_to(element, path, into_leaf=into_leaf, step=step)
        if index != position:
            continue
        if last:
            yield element
        elif type(element) is dict:
            yield from leads_to(element, path, into_leaf=into_leaf, step=step + 1)
        elif type(element) is list:
            yield from _through(element, path, step + 1, into_leaf)


def is_position(step: str) -> bool:
    """Return whether a step can be the position of an element."""
    return step.isascii() and step.isdigit() and (step == "0" or step[0] != "0") and len(step) < 10
