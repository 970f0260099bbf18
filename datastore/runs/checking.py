"""What a worker that has no way to the database may add to a journal: what a `Run` in process could have added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datastore.arguments import as_int, as_number, check_name, elements, is_a
from datastore.errors import InvalidValueError
from datastore.runs import keys
from datastore.runs.entries import (
    BRANCHED,
    CHECKPOINT,
    CLAIM,
    DONE,
    EFFECT,
    END,
    FAILED,
    FAILED_RUN,
    FORKED,
    STEP,
)
from datastore.runs.state import Changes

MOST_BRANCHES = 100_000
MOST_RETRIES = 10**6
_LONGEST_ERROR = 80  # characters, as `datastore.errors.name_of`
_LONGEST = 1e10  # seconds: 300 years

_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    STEP: (frozenset({"name", "result", "seconds"}), frozenset({"attempts"})),
    FAILED: (frozenset({"name", "error", "seconds"}), frozenset({"attempts"})),
    CLAIM: (frozenset({"name"}), frozenset()),
    EFFECT: (frozenset({"name", "seconds"}), frozenset({"result", "error"})),
    BRANCHED: (frozenset({"children"}), frozenset()),
    FORKED: (frozenset({"child", "at"}), frozenset()),
    CHECKPOINT: (frozenset({"state"}), frozenset()),
    END: (frozenset({"status"}), frozenset({"result", "error"})),
}
"""The fields that an entry of each kind must have and may have; each may have ``state``."""
KINDS = list(_FIELDS)
"""The kinds of entries that a worker adds."""


def check_entry(entry: Any, number: int) -> str:
    """Check an entry, and return its kind.

    Args:
        entry: The entry.
        number: The number of the last one.

    Raises:
        InvalidValueError, InvalidNameError: If it is none that a worker adds.
    """
    kind = entry.get("kind") if is_a(entry, dict) else None
    if not is_a(kind, str) or kind not in _FIELDS:
        raise InvalidValueError(f"entry must be an object whose kind is one of {', '.join(map(repr, _FIELDS))}")
    must, may = _FIELDS[kind]
    if not must | {"kind"} <= entry.keys() <= must | may | {"kind", "state"}:
        raise InvalidValueError(
            f"entry is a {kind}, which has {', '.join(sorted(must))}, and perhaps {', '.join(sorted(may | {'state'}))}"
        )
    if kind in (EFFECT, END):
        is_right = ("error" in entry) is not ("result" in entry)
        if kind == END:
            is_right = entry["status"] == (DONE if "result" in entry else FAILED_RUN) and is_right
        if not is_right:
            raise InvalidValueError(f"entry is a {kind}, which has either a result or an error")
    if "name" in entry:
        keys.check_step(entry["name"])
    for name, check in _CHECKS.items():
        if name in entry and not check(entry[name]):
            raise InvalidValueError(f"entry.{name} is none that a run has")
    if kind == FORKED and entry["at"] > number:
        raise InvalidValueError(f"at is {entry['at']}; the run has {number} entries")
    check_state(entry.get("state"))
    return kind


def check_state(state: Any) -> Changes:
    """Return changes of the state as entries hold them; none for ``None``.

    Raises:
        InvalidValueError: If it is nothing of that.
    """
    if state is None:
        return {}
    if not is_a(state, dict) or not state.keys() <= {"set", "removed"}:
        raise InvalidValueError('state must be an object: {"set": {...}, "removed": [...]}, or one of them')
    set_, removed = state.get("set", {}), state.get("removed", [])
    if not is_a(set_, dict) or not is_a(removed, list):
        raise InvalidValueError("state.set must be an object, and state.removed an array of names")
    for name in (*set_, *elements(removed)):
        check_name(name, "state")
    return dict(state)


def _within(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: (number := as_int(value)) is not None and least <= number <= most


def _is_time(value: Any) -> bool:
    return (number := as_number(value)) is not None and 0 <= number < _LONGEST


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "seconds": _is_time,
    "attempts": _within(2, MOST_RETRIES + 1),
    "error": lambda value: is_a(value, str) and len(value) <= _LONGEST_ERROR,
    "children": _within(1, MOST_BRANCHES),
    "child": keys.is_run,
    "at": _within(0, keys.MOST - 1),
}
"""What the fields of entries must be."""
