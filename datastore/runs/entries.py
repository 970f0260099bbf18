"""The entries of a journal, and what is told of runs and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from datastore.backend import Document
from datastore.documents import damaged, is_time
from datastore.runs.keys import MOST, is_event, is_run, number_of, run_of
from datastore.times import parse_time
from datastore.values import size_of

START = "start"
"""Entry 0: the run exists. It has the input, and the ancestors whose entries it shares."""
STEP, FAILED = "step", "failed"
CLAIM, EFFECT = "claim", "effect"
WAIT, ANSWERED, TIMEOUT = "wait", "answer", "timeout"
BRANCHED, FORKED, JOINED = "branch", "fork", "join"
CHECKPOINT = "checkpoint"
RESUMED, RETRIED = "resumed", "retried"
END = "end"
NOTES = frozenset({RESUMED, RETRIED})
"""What the program did not ask for: a replay passes over it."""

RUNNING, WAITING, DONE, FAILED_RUN, CANCELLED = "running", "waiting", "done", "failed", "cancelled"
STATUSES = (RUNNING, WAITING, DONE, FAILED_RUN, CANCELLED)
OVER = frozenset({DONE, FAILED_RUN, CANCELLED})


class Entry(NamedTuple):
    """One entry of a journal."""

    number: int
    value: dict[str, Any]

    @property
    def kind(self) -> str:
        """What it says."""
        return str(self.value.get("kind"))

    @property
    def name(self) -> str:
        """The name of the step, or of what the run waits for."""
        return str(self.value.get("name", ""))


class Ancestor(NamedTuple):
    """A run whose entries up to a number are also those of a child."""

    run: str
    """As in keys."""
    last: int
    branch: int | None
    """Which of the branches the child is that begins there; ``None`` for a fork."""


class Lineage:
    """A run, and those whose entries it shares.

    Args:
        run: The run, as in keys.
        start: What entry 0 says.
    """

    def __init__(self, run: str, start: dict[str, Any]) -> None:
        self.run = run
        self.start = start
        self.ancestors = [Ancestor(*one) for one in start.get("ancestors", ())]
        self.base = self.ancestors[-1].last if self.ancestors else 0
        """The number of the last entry that is an ancestor's."""
        self.checkpoint = int(start.get("checkpoint", 0))
        """The entry that a replay begins after, unless the run has a later checkpoint of its own."""

    def owner(self, number: int) -> str:
        """Return whose entry has a number: the run's own or an ancestor's."""
        return next((one.run for one in self.ancestors if number <= one.last), self.run)


@dataclass(frozen=True, slots=True)
class Branch:
    """What `Run.branch` returns."""

    children: list[str]
    """The ids of all branches."""
    index: int | None
    """Which of them this is; ``None`` in the run that has branched."""


class RunInfo(NamedTuple):
    """What is known of a run without reading its journal."""

    id: str
    status: str
    """``"running"``, ``"waiting"``, ``"done"``, ``"failed"`` or ``"cancelled"``."""
    waiting_for: str | None
    """The name of the answer, or the id of the child; ``None`` if it does not wait."""
    until: datetime | None
    """When it stops waiting."""
    parent: str | None
    """The run that it shares its beginning with."""
    error: str | None
    """The name of the class of the error that it failed with."""
    created_at: datetime
    entries: int
    """The number of the last entry when the status changed last."""


class HistoryEntry(NamedTuple):
    """One entry of a journal, as `Run.history` tells it."""

    number: int
    kind: str
    """``"step"``, ``"failed"``, ``"claim"``, ``"effect"``, ``"wait"``, ``"answer"``, ``"timeout"``, ``"branch"``,
    ``"fork"``, ``"join"``, ``"checkpoint"``, ``"resumed"``, ``"retried"``, ``"end"``, or ``"start"``."""
    name: str
    agent: str
    """Who wrote it."""
    at: datetime
    """When."""
    seconds: float | None
    """How long the function took, its retries included."""
    bytes: int
    """The size of the entry's JSON: result and changes of the state."""
    attempts: int
    error: str | None
    """The name of the class of the error, for what failed."""


# Another program may have changed what is stored. Whatever is read is looked at once, here: so one record that is
# damaged is an error that names it, and nothing else is.


def sound(document: Document, fields: Mapping[str, Callable[[Any], bool]], *needed: str) -> dict[str, Any]:
    """Return the value of a record of a run.

    Args:
        document: The record.
        fields: What is to hold for its fields, if they are there; of others nothing is known.
        needed: The fields that it must have.

    Raises:
        DamagedRecordError: If it is another one.
    """
    value: Any = document.value
    if (
        type(value) is dict
        and all(name in value for name in needed)
        and all(name not in fields or fields[name](field) for name, field in value.items())
    ):
        return value
    raise damaged(document.id, "it is not part of a run")


def number_in(document: Document) -> int:
    """Return the number of an entry that a record holds.

    Raises:
        DamagedRecordError: If it holds something else.
    """
    if is_number(document.value):
        return int(document.value)
    raise damaged(document.id, "it is not part of a run")


def is_text(value: object) -> bool:
    """Return whether a field holds text."""
    return type(value) is str


def is_number(value: object) -> bool:
    """Return whether a field holds the number of an entry, or one as small."""
    return type(value) is int and 0 <= value < MOST


def is_status(value: object) -> bool:
    """Return whether a field holds what a run does."""
    return type(value) is str and value in STATUSES


def _is_duration(value: object) -> bool:
    return type(value) in (int, float)


def _is_state(value: Any) -> bool:
    if type(value) is not dict:
        return False
    removed = value.get("removed", [])
    return type(value.get("set", {})) is dict and type(removed) is list and all(map(is_text, removed))


def _are_ancestors(value: Any) -> bool:
    return type(value) is list and all(
        type(one) is list
        and len(one) == len(Ancestor._fields)
        and is_run(one[0])
        and is_number(one[1])
        and (one[2] is None or is_number(one[2]))
        for one in value
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("kind", "name", "error"), is_text),
    **dict.fromkeys(("attempts", "children", "at", "checkpoint"), is_number),
    **dict.fromkeys(("seconds", "ttl"), _is_duration),
    "status": is_status,
    "until": is_time,
    "child": is_run,
    "state": _is_state,
    "ancestors": _are_ancestors,
}
_NEEDED = {WAIT: ("name",), BRANCHED: ("children",), FORKED: ("child", "at"), END: ("status",)}


def entry_of(document: Document) -> Entry:
    """Return the entry in a record.

    Raises:
        DamagedRecordError: If it holds none.
    """
    value = sound(document, _FIELDS, "kind")
    if needed := _NEEDED.get(value["kind"]):
        sound(document, _FIELDS, *needed)
    if value["kind"] == WAIT and not is_event(value["name"]):
        raise damaged(document.id, "it is not part of a run")
    return Entry(number_of(document.id), value)


def told(document: Document) -> HistoryEntry:
    """Return an entry as the history tells it."""
    entry = entry_of(document)
    value = entry.value
    return HistoryEntry(
        entry.number,
        entry.kind,
        run_of(entry.name[1:]) if entry.kind == WAIT else entry.name,
        document.created_by_agent,
        parse_time(document.created_at),
        value.get("seconds"),
        size_of(value),
        value.get("attempts", 0),
        value.get("error"),
    )
