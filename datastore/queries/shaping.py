"""What a find does with the documents that match: sort, skip, limit, and which fields to hand out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from datastore.errors import QueryError, kind_of
from datastore.queries.ordering import sort_key
from datastore.queries.paths import parse_path
from datastore.queries.tree import Path

T = TypeVar("T")
Sort: TypeAlias = tuple[tuple[Path, int], ...]
SortArgument: TypeAlias = str | Sequence[tuple[str, int]] | Mapping[str, int] | None
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

    def choose(
        self, documents: Iterable[T], in_order: bool, value: Callable[[T], Any], id: Callable[[T], str]
    ) -> list[T]:
        """Return the documents of the window; ``in_order`` says that they come in the order of their ids.

        Without a sort it asks for no more of them than it needs.
        """
        if in_order and not self.sort:
            return list(islice(documents, self.skip, self.end))
        keys = sort_key(self.sort)

        def order(document: T) -> tuple[Any, ...]:
            return (*keys(value(document)), id(document))  # ids decide between equals: the order is always the same

        if self.end is None:
            return sorted(documents, key=order)[self.skip :]
        return heapq.nsmallest(self.end, documents, key=order)[self.skip :]


def parse_window(sort: SortArgument = None, skip: int = 0, limit: int | None = None) -> Window:
    """Return the window for the arguments of a find.

    Raises:
        QueryError: If one of them makes no sense; the message names it.
    """
    return Window(parse_sort(sort), _count(skip, "skip", 0), None if limit is None else _count(limit, "limit", 1))


def _count(number: object, name: str, least: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise QueryError(f"{name} is {kind_of(number)}; it must be an int")
    if number < least:
        raise QueryError(f"{name} is {number}; it must be at least {least}{', or None for all' if least else ''}")
    return number


def parse_sort(sort: Any, place: str = "sort") -> Sort:
    """Return what to sort by.

    Raises:
        QueryError: If it is no list of pairs; ``place`` is what the message calls it.
    """
    if sort is None:
        return ()
    pairs: Iterable[Any] = [(sort, 1)] if isinstance(sort, str) else sort.items() if isinstance(sort, Mapping) else sort
    if not isinstance(sort, str | Mapping | list | tuple):
        raise QueryError(f"{place} is {kind_of(sort)}; it must be a list such as [('price', -1)]")
    parsed: list[tuple[Path, int]] = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise QueryError(f"{place}[{index}]: takes a pair such as ('price', -1), and got {pair!r}")
        path, direction = parse_path(pair[0], f"{place}[{index}]"), pair[1]
        if isinstance(direction, bool) or direction not in (1, -1):
            raise QueryError(f"{place}[{index}]: the direction is 1 or -1, and not {direction!r}")
        if path in (known for known, _ in parsed):
            raise QueryError(f"{place}[{index}]: {pair[0]!r} is there already")
        parsed.append((path, int(direction)))
    return tuple(parsed)


def parse_fields(fields: Any) -> Callable[[Any], Any] | None:
    """Return the function that leaves the wanted fields of a value, or ``None`` if all are wanted.

    A list names the fields to keep; a dict the fields to keep (``1``) or to leave out (``0``), not both. Within arrays
    the fields of each object are meant. A value that is no object has no fields, so nothing but ``{}`` is kept of it.

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
    if len({int(choice) for choice in chosen.values()}) > 1:
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
