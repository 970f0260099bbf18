"""What LangGraph's store calls things: its namespaces as those of the store, its filters as MongoDB's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from datastore import QueryError
from datastore.bridges.extras import needs

with needs("LangGraph", "langgraph"):
    from langgraph.store.base import MatchCondition

_COMPARED = ("$gt", "$gte", "$lt", "$lte")
_OPERATORS = {"$eq", *_COMPARED}
_SCALARS = {str, int, float, bool}


class Names:
    """The namespaces beside one of the store: ``("users", "ann")`` beside ``memories`` is ``memories:users.ann.``.

    A label holds no period, as LangGraph says, and ``:`` and ``%`` in it are escaped, so that no two are the same one;
    and since each label ends with a period, those under a namespace are those whose names begin with its name.
    """

    def __init__(self, root: str) -> None:
        self._root = f"{root}:"

    def encoded(self, labels: Iterable[str]) -> str:
        return self._root + _encoded(tuple(labels))

    def decoded(self, namespace: str) -> tuple[str, ...] | None:
        """Return the labels of a namespace; ``None`` if it is not one of these."""
        return _decoded(namespace[len(self._root) :]) if namespace.startswith(self._root) else None

    def prefix(self, conditions: Sequence[MatchCondition]) -> str:
        """Return what the names of all namespaces begin with that match."""
        longest: tuple[str, ...] = ()
        for condition in conditions:
            if condition.match_type == "prefix":
                path = condition.path
                literal = path[: path.index("*")] if "*" in path else path
                longest = max(longest, literal, key=len)
        return self.encoded(longest)


@lru_cache(1_024)  # items are read from few namespaces, again and again
def _encoded(labels: tuple[str, ...]) -> str:
    return "".join(f"{label.replace('%', '%25').replace(':', '%3A')}." for label in labels)


@lru_cache(1_024)
def _decoded(name: str) -> tuple[str, ...] | None:
    if not name.endswith(".") or ":" in name:
        return None
    return tuple(label.replace("%3A", ":").replace("%25", "%") for label in name[:-1].split("."))


def matches(condition: MatchCondition, labels: tuple[str, ...]) -> bool:
    """Whether a namespace has the path at its beginning or end; ``*`` stands for any label."""
    count = len(condition.path)
    if condition.match_type == "prefix":
        part = labels[:count]
    elif condition.match_type == "suffix":
        part = labels[max(0, len(labels) - count) :]
    else:
        raise QueryError("match_type is neither 'prefix' nor 'suffix'")
    return len(part) == count and all(asked in ("*", label) for asked, label in zip(condition.path, part, strict=True))


def as_query(filter: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a filter in the language of the store, which means the same: a list is equal to lists, and not to members.

    Raises:
        QueryError: If the filter names a field with a period, which the language takes for a path.
    """
    return {"$and": [_condition(_field(field), asked) for field, asked in filter.items()]} if filter else None


def as_plain_query(filter: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a filter that finds what `as_query` finds, and lists that hold it; ``None`` if there is none.

    It takes half of the time: filters of this plain kind are parsed and planned once for all of their constants.

    Raises:
        QueryError: As `as_query`.
    """
    plain: dict[str, Any] = {}
    for field, asked in (filter or {}).items():
        if type(asked) in _SCALARS:
            plain[_field(field)] = asked
            continue
        operators = dict(asked) if isinstance(asked, Mapping) else {"$eq": asked}
        if not operators.keys() <= _OPERATORS or not set(map(type, operators.values())) <= _SCALARS:
            return None
        plain[_field(field)] = operators
    return plain or None


def holds_list(value: Any, plain: Mapping[str, Any]) -> bool:
    """Whether a plain query may have found a value by a member of a list in it."""
    return not isinstance(value, dict) or any(isinstance(value.get(field), list) for field in plain)


def _condition(path: str, asked: Any) -> dict[str, Any]:
    if isinstance(asked, Mapping):
        if any(isinstance(key, str) and key.startswith("$") for key in asked):
            return {"$and": [_compared(path, operator, value) for operator, value in asked.items()]}
        inner = [_condition(f"{path}.{_field(key)}", value) for key, value in asked.items()]
        return {"$and": [{path: {"$type": "object", "$not": {"$type": "array"}}}, *inner]}
    return _compared(path, "$eq", asked)


def _compared(path: str, operator: str, value: Any) -> dict[str, Any]:
    value = list(value) if isinstance(value, tuple) else value
    if operator == "$ne":
        return {"$nor": [_compared(path, "$eq", value)]}
    if operator == "$eq" and isinstance(value, list):
        return {path: {"$eq": value, "$not": {"$elemMatch": {"$eq": value}}}}
    if operator not in ("$eq", *_COMPARED):
        raise QueryError(
            "filter has an operator that LangGraph does not know; it has $eq, $ne, $gt, $gte, $lt and $lte"
        )
    return {path: {operator: value, "$not": {"$type": "array"}}}


def _field(name: Any) -> str:
    if not isinstance(name, str) or not name or name.startswith("$") or "." in name:
        raise QueryError("filter has a field that is empty, begins with '$' or holds '.'; no filter can name it")
    return name
