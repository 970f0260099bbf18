"""Which entries a program asks for again when its run is resumed, and the error if it asks for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datastore.errors import RunChangedError, RunOverError
from datastore.runs.entries import DONE, END, FAILED, NOTES, Entry


def asked_for(entries: Iterator[Entry], last: int) -> Iterator[Entry]:
    """Yield the entries that the program asks for again, up to a number.

    A step that has failed is one of them only if the program went on after it. If it ended there, whoever resumed the
    run has called it again.
    """
    held: Entry | None = None
    for entry in entries:
        if entry.number > last:
            break
        if entry.kind in NOTES:
            held = None if held is not None and held.kind == FAILED else held
        elif entry.kind != END:
            if held is not None:
                yield held
            held = entry
    if held is not None:
        yield held


def last_asked_for(backwards: Iterable[Entry]) -> Entry | None:
    """Return the last entry that `asked_for` yields, from the entries in the opposite order."""
    was_resumed = False
    for entry in backwards:
        if entry.kind in NOTES:
            was_resumed = True
        elif entry.kind == FAILED and was_resumed:
            was_resumed = False
        elif entry.kind != END:
            return entry
    return None


def over(status: str) -> RunOverError:
    """Return the error for a run that has ended."""
    again = "; retry() lets it go on" if status != DONE else ""
    return RunOverError(f"the run is {status}, and nothing can be added to it{again}", status=status)


def changed(entry: Entry, kind: str, name: str) -> RunChangedError:
    """Return the error for a program that asks for something else than the journal has."""
    has = f"{entry.kind} {entry.name!r}" if entry.name else entry.kind
    asked = f"{kind} {name!r}" if name else kind
    return RunChangedError(
        f"entry {entry.number} of the journal is {has}, and the program asks for {asked}: the order of its steps has "
        "changed. Go on with the program that began the run, or fork it at the last step that both have",
        number=entry.number,
    )
