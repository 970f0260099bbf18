"""What is wrong with JSON that a person has typed, and at which place in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

_AROUND = 40  # characters before the place, and after it
_LONGEST = 20_000  # characters of a text in which a place is looked for
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[][{},:]|[^\s"][^][\s{},:"]*)')


class Problem(NamedTuple):
    """What is wrong, and the text around the place."""

    message: str
    before: str = ""
    at: str | None = None
    """What is at the place; ``None`` if no place is known."""
    after: str = ""
    start: int = 0
    """Where the place begins, in UTF-16 units as scripts count them; and where it ends."""
    end: int = 0


class _Key(NamedTuple):
    """The name of a field in the text of a filter."""

    within: str
    name: str
    start: int
    end: int

    @property
    def place(self) -> str:
        """As messages of `datastore.queries.language` name it."""
        return f"{self.within}.{self.name}" if self.within else self.name


def problem_of(message: str, text: str, argument: str = "") -> Problem:
    """Return a problem with its place, if that can be told.

    Args:
        message: What the store says of it.
        text: What was typed.
        argument: ``"filter"`` or ``"meta"`` if it is one: how places in it begin in messages; empty for other JSON.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _at(message, text, error.pos, error.pos + 1)
    except (ValueError, RecursionError):
        return Problem(message)
    key = _key_of(message, text, argument) if argument and len(text) <= _LONGEST else None
    return Problem(message) if key is None else _at(message, text, key.start, key.end)


def _at(message: str, text: str, start: int, end: int) -> Problem:
    before, at, after = text[max(start - _AROUND, 0) : start], text[start:end], text[end : end + _AROUND]
    first = len(text[:start].encode("utf-16-le", "surrogatepass")) // 2
    return Problem(message, before, at or "…", after, first, first + len(at.encode("utf-16-le", "surrogatepass")) // 2)


def _key_of(message: str, text: str, argument: str) -> _Key | None:
    """Return the field that a message is about: the one it begins with, or one in it, such as an operator it names."""
    beginning = "" if argument == "filter" else argument
    keys = list(_keys(text, beginning))
    there = [one for one in keys if message.startswith((f"{one.place}:", f"{one.place} ", f"{one.place}["))]
    nearest = max(there, key=lambda one: len(one.place), default=None)
    within = beginning if nearest is None else nearest.place
    said = message[len(within) :].partition(";")[0].partition("(")[0]
    named = [one for one in keys if one.within == within and re.search(rf"(?<!\S){re.escape(one.name)}(?!\S)", said)]
    return next(iter(named), nearest)


def _keys(text: str, within: str) -> Iterator[_Key]:
    """Yield the names of the fields in JSON, which it is known to be."""
    open_, key = list[tuple[str, int | None]](), None
    place, expects_key = within, False
    for found in _TOKEN.finditer(text):
        part, start = found[1], found.start(1)
        if part in "{[":
            open_.append((place, None if part == "{" else 0))
            expects_key = part == "{"
            place = place if part == "{" else f"{place}[0]"
        elif part in "}]" and open_:
            place = open_.pop()[0]
        elif part == "," and open_:
            within, index = open_[-1]
            expects_key = index is None
            if index is not None:
                open_[-1] = within, index + 1
                place = f"{within}[{index + 1}]"
        elif part != ":" and expects_key and open_:
            key = _Key(open_[-1][0], json.loads(part), start, found.end(1))
            place, expects_key = key.place, False
            yield key
