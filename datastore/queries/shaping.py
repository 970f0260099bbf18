"""What a find does with the documents that match: sort, skip, limit, and choose the fields to return."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from datastore.arguments import as_dict, as_int, as_number, as_text, elements, is_a, shown
from datastore.errors import DataStoreError, QueryError, kind_of
from datastore.queries.language import META_FIELDS, is_about_records
from datastore.queries.paths import parse_path
from datastore.queries.tree import Path

_ALL_THERE_ARE = 2**40
"""More documents than any database holds, and an integer that every database can take: it replaces a larger limit."""
Sort: TypeAlias = tuple[tuple[Path, int], ...]
"""Paths, each with 1 or -1. One whose first step begins with ``$`` is about the record: ``("$metadata", "topic")``."""
FilterArgument: TypeAlias = Mapping[str, Any]
SortArgument: TypeAlias = str | Sequence[tuple[str, int]] | Mapping[str, int] | None
FieldsArgument: TypeAlias = Sequence[str] | Mapping[str, int | bool] | None


@dataclass(frozen=True, slots=True)
class Window:
    """Which of the matching documents are wanted, and in which order."""

    sort: Sort = ()
    """Empty for the order of keys."""
    skip: int = 0
    limit: int | None = None

    @property
    def end(self) -> int | None:
        """How many documents must be known before the window is full."""
        return None if self.limit is None else self.skip + self.limit


_ALL_BY_KEY = Window()


def parse_window(sort: SortArgument = None, skip: int = 0, limit: int | None = None) -> Window:
    """Return the window for the arguments of a find.

    Raises:
        QueryError: If one of them is not valid; the message names it.
    """
    if sort is None and limit is None and type(skip) is int and skip == 0:
        return _ALL_BY_KEY
    return Window(
        parse_sort(sort, about_records=True),
        _count(skip, "skip", 0),
        None if limit is None else _count(limit, "limit", 1),
    )


def _count(given: object, name: str, least: int) -> int:
    number = as_int(given)
    if number is None:
        raise QueryError(f"{name} is {kind_of(given)}; it must be an int")
    if number < least:
        raise QueryError(
            f"{name} is {shown(number)}; it must be at least {least}{', or None for all' if least else ''}"
        )
    return min(number, _ALL_THERE_ARE)


MAX_SORTED = 32
"""The most paths to sort by, as for MongoDB (https://www.mongodb.com/docs/manual/reference/limits/)."""


def parse_sort(sort: Any, place: str = "sort", *, about_records: bool = False) -> Sort:
    """Return what to sort by.

    Args:
        sort: Pairs of a path and a direction, or one path, with ``-`` before it for descending.
        place: The name of the parameter in errors.
        about_records: Whether it may have paths about the record, such as ``$key``.

    Raises:
        QueryError: If it is neither.
    """
    if sort is None:
        return ()

    def refusal() -> DataStoreError:
        return QueryError(f"{place} is {kind_of(sort)}; it must be a list such as [('price', -1)]")

    if is_a(sort, str):
        pairs: list[Any] = [_short(as_text(sort), place)]
    else:
        pairs = elements(sort) if is_a(sort, list, tuple) else list(as_dict(sort, refusal).items())
    if len(pairs) > MAX_SORTED:
        raise QueryError(f"{place}: names {len(pairs)} paths; the limit is {MAX_SORTED}")
    parsed: dict[Path, int] = {}
    for index, pair in enumerate(pairs):
        two = elements(pair) if is_a(pair, list, tuple) else []
        if len(two) != 2:
            raise QueryError(f"{place}[{index}]: takes a pair such as ('price', -1), and got {kind_of(pair)}")
        path, direction = _parse_sort_path(two[0], f"{place}[{index}]", about_records), as_number(two[1])
        if direction not in (1, -1):
            raise QueryError(f"{place}[{index}]: the direction must be 1 or -1, and not {shown(two[1])}")
        if path in parsed:
            raise QueryError(f"{place}[{index}]: {shown('.'.join(path))} is named twice")
        parsed[path] = int(direction)
    return tuple(parsed.items())


def _short(sort: str, place: str) -> tuple[str, int]:
    """Return the pair that one path stands for, with ``-`` before it for descending.

    Raises:
        QueryError: If it is meant as something else, in the notation of some other language.
    """
    name, space, word = sort.rpartition(" ")
    if "," in sort:
        pairs = ", ".join(map(repr, map(_pair, filter(None, map(str.strip, sort.split(","))))))
        raise QueryError(f"{place} {sort!r} is not a path; write [{pairs}], with -1 for descending")
    if space and word.lower() in ("asc", "desc"):
        direction = -1 if word.lower() == "desc" else 1
        raise QueryError(
            f"{place} {sort!r} is not a path; write [({name!r}, {direction})], or [({sort!r}, 1)] for a field of that "
            "name"
        )
    if sort.startswith("+"):
        raise QueryError(
            f"{place} {sort!r} is not a path; write {sort[1:]!r}, or [({sort!r}, 1)] for a field of that name"
        )
    return _pair(sort)


def _pair(sort: str) -> tuple[str, int]:
    return (sort[1:], -1) if sort.startswith("-") else (sort, 1)


def _parse_sort_path(text: object, place: str, about_records: bool) -> Path:
    if not about_records or not is_a(text, str) or not as_text(text).startswith("$"):
        return parse_path(text, place)
    text = as_text(text)
    if is_about_records(text):
        first, *others = parse_path(text[1:], place)
        return (f"${first}", *others)
    known = [f"${name}" for name in META_FIELDS]
    near = difflib.get_close_matches(text, known, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise QueryError(f"{place}: a record has no {shown(text)} to sort by{hint}; it has {', '.join(known)}")


def parse_fields(fields: Any) -> Callable[[Any], Any] | None:
    """Return a function that keeps only the wanted fields of a value, or ``None`` if all are wanted.

    A list names the fields to keep; a dict names the fields to keep (``1``) or to leave out (``0``), not both. In an
    array this applies to the fields of each object. A value that is not an object has no fields, so only ``{}`` is kept
    of it. As in MongoDB, ``_id`` is an exception: ``{"_id": 0}`` may be given with fields to keep, and ``{"_id": 1}``
    with fields to leave out. Values have no ``_id`` unless somebody has stored one.

    Raises:
        QueryError: If it is not such a list or dict.
    """
    if fields is None:
        return None
    chosen = choices(fields)
    others = {choice for name, choice in chosen.items() if name != "_id"}
    if len(others) == 1 and "_id" in chosen and chosen["_id"] not in others:
        del chosen["_id"]  # it is redundant: what is not kept is left out, and what is not left out is kept
    if len(others) > 1:
        raise QueryError("fields: keep some (1) or leave some out (0), not both")
    if not chosen:
        raise QueryError("fields is empty; name at least one field, or give None for all")
    tree: dict[str, Any] = {}
    for path in sorted(parse_path(name, "fields") for name in chosen):
        branch = tree
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
            if branch is _ALL:
                raise QueryError(f"fields: {'.'.join(path)!r} is part of another field that is given")
        branch[path[-1]] = _ALL
    if next(iter(chosen.values())):
        return lambda value: _kept(value, tree) if isinstance(value, dict) else {}
    return lambda value: _left(value, tree)


def choices(fields: Any) -> dict[str, int]:
    """Return the paths for `parse_fields`, in the given order, each with 1 if it is kept and 0 if it is left out.

    Raises:
        QueryError: If it is neither a list of paths nor such a dict.
    """

    def refusal() -> DataStoreError:
        return QueryError(f"fields is {kind_of(fields)}; it must be a list such as ['name', 'address.city']")

    if is_a(fields, list, tuple):
        pairs = [(name, 1) for name in elements(fields)]
    elif is_a(fields, set, frozenset):
        pairs = [(name, 1) for name in frozenset.union(frozenset(), fields)]
    else:
        pairs = list(as_dict(fields, refusal).items())
    chosen: dict[str, int] = {}
    for name, choice in pairs:
        kept = choice if type(choice) is bool else as_int(choice)
        if kept not in (0, 1):
            raise QueryError("fields: each field must be kept (1) or left out (0)")
        chosen[".".join(parse_path(name, "fields"))] = int(kept)
    return chosen


_ALL: dict[str, Any] = {}


def _kept(value: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, child in value.items():
        branch = tree.get(name)
        if branch is None:
            continue
        if branch is _ALL:
            kept[name] = child
        elif isinstance(child, dict):
            kept[name] = _kept(child, branch)
        elif isinstance(child, list):
            kept[name] = _kept_in(child, branch)
    return kept


def _kept_in(array: list[Any], tree: dict[str, Any]) -> list[Any]:
    return [
        _kept(child, tree) if isinstance(child, dict) else _kept_in(child, tree)
        for child in array
        if isinstance(child, dict | list)
    ]


def _left(value: Any, tree: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_left(child, tree) for child in value]
    if not isinstance(value, dict):
        return value
    left = {}
    for name, child in value.items():
        branch = tree.get(name)
        if branch is None:
            left[name] = child
        elif branch is not _ALL:
            left[name] = _left(child, branch)
    return left
