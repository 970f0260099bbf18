"""What a page of records asks for: the texts of its form, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.errors import InvalidValueError
from datastore.queries.paths import is_position, parse_path
from datastore.typed import parse_object
from datastore.viewer.problems import Problem, problem_of
from datastore.viewer.visits import Visit

FORM = ("prefix", "filter", "meta", "order")


class Asked(NamedTuple):
    """What somebody asks for."""

    prefix: str | None
    filter: dict[str, Any] | None
    meta: dict[str, Any] | None
    order: str

    @property
    def is_listing(self) -> bool:
        """Whether it is a listing by key, and no query."""
        return self.filter is None and self.meta is None and self.order in ("", "-key")

    @property
    def query(self) -> dict[str, Any]:
        """The same, as the calls with a filter take it."""
        return {"filter": self.filter, "meta": self.meta, "prefix": self.prefix}

    @property
    def sort(self) -> str | None:
        """The order, as these calls take it."""
        return {"": None, "-key": "-$key"}.get(self.order, self.order)


def asked_by(visit: Visit, problems: dict[str, Problem]) -> Asked:
    """Return what a page asks for. What of it is no JSON is noted, by the field of the form."""
    parsed: dict[str, dict[str, Any] | None] = {"filter": None, "meta": None}
    for name in parsed:
        text = visit.one(name)
        if text.strip():
            try:
                parsed[name] = parse_object(name, text)
            except InvalidValueError as error:
                problems[name] = problem_of(error.message, text, name)
    return Asked(visit.maybe("prefix"), parsed["filter"], parsed["meta"], visit.one("order"))


def needed_by(visit: Visit) -> Asked:
    """Return what a page asks for, of which nothing may be wrong.

    Raises:
        InvalidValueError: If something is no JSON.
    """
    problems = dict[str, Problem]()
    asked = asked_by(visit, problems)
    if problems:
        raise InvalidValueError(next(iter(problems.values())).message)
    return asked


def kept_by(visit: Visit) -> Mapping[str, str]:
    """Return the texts of the form, for the addresses of other pages about the same records."""
    return {name: visit.one(name) for name in FORM}


def field_of(value: Any, column: str) -> tuple[Any] | None:
    """Return what is in a field of a value, as the only element of a tuple; ``None`` if there is no such field."""
    for step in parse_path(column, "column"):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and is_position(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return (value,)
