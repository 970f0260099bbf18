"""What a find does with the documents that match: sort, skip, limit, and which fields to hand out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from datastore.errors import QueryError, kind_of
from datastore.queries.language import META_FIELDS, is_about_records
from datastore.queries.paths import parse_path
from datastore.queries.tree import Path

Sort: TypeAlias = tuple[tuple[Path, int], ...]
"""Paths, each with 1 or -1. One whose first step begins with ``$`` is about the record: ``("$metadata", "topic")``."""
SortArgument: TypeAlias = str | Sequence[tuple[str, int]] | Mapping[str, int] | None
_MOST = 10**15  # of records: more than there are, and not too much to count with
FieldsArgument: TypeAlias = Sequence[str] | Mapping[str, int | bool] | None


@dataclass(frozen=True, slots=True)
class Window:
    """Which of the documents that match are wanted, in which order."""

    sort: Sort = ()
    """Empty for the order of ids."""
    skip: int = 0
    limit: int | None = None

    @property
    def end(self) -> int | None:
        """How many documents must be known before the window is full."""
        return None if self.limit is None else self.skip + self.limit


def parse_window(sort: SortArgument = None, skip: int = 0, limit: int | None = None) -> Window:
    """Return the window for the arguments of a find.

    Raises:
        QueryError: If one of them makes no sense; the message names it.
    """
    return Window(
        parse_sort(sort, about_records=True),
        _count(skip, "skip", 0),
        None if limit is None else _count(limit, "limit", 1),
    )


def _count(number: object, name: str, least: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise QueryError(f"{name} is {kind_of(number)}; it must be an int")
    if number > _MOST:
        raise QueryError(f"{name} is greater than {_MOST}, the most there can be")
    if number < -_MOST:
        raise QueryError(f"{name} is less than 0")  # and too long to be shown
    if number < least:
        raise QueryError(f"{name} is {number}; it must be at least {least}{', or None for all' if least else ''}")
    return number


MAX_SORTED = 32
"""The most paths to sort by, as for MongoDB (https://www.mongodb.com/docs/manual/reference/limits/)."""


def parse_sort(sort: Any, place: str = "sort", *, about_records: bool = False) -> Sort:
    """Return what to sort by.

    Args:
        sort: Pairs of a path and a direction, or one path.
        place: What an error calls it.
        about_records: Whether there may be paths about the record in it, such as ``$key``.

    Raises:
        QueryError: If it is neither.
    """
    if sort is None:
        return ()
    if isinstance(sort, str):
        _check_plain(sort, place)
    if not isinstance(sort, str | Mapping | list | tuple):
        raise QueryError(f"{place} is {kind_of(sort)}; it must be a list such as [('price', -1)]")
    pairs: list[Any] = list(
        sort.items() if isinstance(sort, Mapping) else [(sort, 1)] if isinstance(sort, str) else sort
    )
    if len(pairs) > MAX_SORTED:
        raise QueryError(f"{place}: names {len(pairs)} paths, and may name {MAX_SORTED}")
    parsed: list[tuple[Path, int]] = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise QueryError(f"{place}[{index}]: takes a pair such as ('price', -1), and got {pair!r}")
        path, direction = _parse_sort_path(pair[0], f"{place}[{index}]", about_records), pair[1]
        if isinstance(direction, bool) or direction not in (1, -1):
            raise QueryError(f"{place}[{index}]: the direction is 1 or -1, and not {direction!r}")
        if path in (known for known, _ in parsed):
            raise QueryError(f"{place}[{index}]: {pair[0]!r} is there already")
        parsed.append((path, int(direction)))
    return tuple(parsed)


def _check_plain(sort: str, place: str) -> None:
    """Refuse text that is meant as more than one path, in the notation of some other language."""
    path, direction = sort, 1
    for mark, meant in (("-", -1), ("+", 1)):
        if sort.startswith(mark):
            path, direction = sort[1:], meant
    name, space, word = sort.rpartition(" ")
    if space and word.lower() in ("asc", "desc"):
        path, direction = name, -1 if word.lower() == "desc" else 1
    if "," in sort:
        pairs = ", ".join(f"({one.strip()!r}, 1)" for one in sort.split(","))
        raise QueryError(f"{place} {sort!r} is no path; write [{pairs}], with -1 for descending")
    if path != sort:
        raise QueryError(
            f"{place} {sort!r} is no path; write [({path!r}, {direction})], or [({sort!r}, 1)] for a field of that name"
        )


def _parse_sort_path(text: object, place: str, about_records: bool) -> Path:
    if not about_records or not isinstance(text, str) or not text.startswith("$"):
        return parse_path(text, place)
    if is_about_records(text):
        first, *others = parse_path(text[1:], place)
        return (f"${first}", *others)
    known = [f"${name}" for name in META_FIELDS]
    near = difflib.get_close_matches(text, known, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise QueryError(f"{place}: a record has no {text!r} to sort by{hint}; it has {', '.join(known)}")


def parse_fields(fields: Any) -> Callable[[Any], Any] | None:
    """Return the function that leaves the wanted fields of a value, or ``None`` if all are wanted.

    A list names the fields to keep; a dict the fields to keep (``1``) or to leave out (``0``), not both. Within arrays
    the fields of each object are meant. A value that is no object has no fields, so nothing but ``{}`` is kept of it.
    As in MongoDB ``_id`` is the exception: ``{"_id": 0}`` may stand beside fields to keep, and ``{"_id": 1}`` beside
    fields to leave out. Values have no ``_id`` unless somebody has stored one.

    Raises:
        QueryError: If it is no such list or dict.
    """
    if fields is None:
        return None
    if isinstance(fields, str) or not isinstance(fields, list | tuple | set | frozenset | Mapping):
        raise QueryError(f"fields is {kind_of(fields)}; it must be a list such as ['name', 'address.city']")
    chosen = dict(fields) if isinstance(fields, Mapping) else dict.fromkeys(fields, 1)
    if any(not isinstance(choice, int) or choice not in (0, 1) for choice in chosen.values()):
        raise QueryError("fields: each field is kept (1) or left out (0)")
    others = {int(choice) for name, choice in chosen.items() if name != "_id"}
    if len(others) == 1 and "_id" in chosen and chosen["_id"] not in others:
        del chosen["_id"]  # it says nothing then: what is not kept is left out, and what is not left out is kept
    if len(others) > 1:
        raise QueryError("fields: keep some (1) or leave some out (0), not both")
    if not chosen:
        raise QueryError("fields: names at least one field, or is None for all")
    tree: dict[str, Any] = {}
    for path in sorted(parse_path(name, "fields") for name in chosen):
        branch = tree
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
            if branch is _ALL:
                raise QueryError(f"fields: {'.'.join(path)!r} is part of another field that is named")
        branch[path[-1]] = _ALL
    if next(iter(chosen.values())):
        return lambda value: _kept(value, tree) if isinstance(value, dict) else {}
    return lambda value: _left(value, tree)


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
