"""Children of a run: they share its entries up to a number, and have their own from there."""

from __future__ import annotations

from typing import Any

from datastore.arguments import as_int, shown
from datastore.backend import Write
from datastore.errors import InvalidValueError, KeyExistsError, NoSuchRunError
from datastore.runs import keys
from datastore.runs.entries import START, Ancestor
from datastore.runs.journal import Journal, beginning


def child_of(journal: Journal, checkpoint: int, child: str, at: int, index: int | None) -> list[Write]:
    """Return the writes that make a child of a run, each only if it is not there yet.

    Args:
        journal: The parent's.
        checkpoint: An entry of the parent that a replay can begin after; 0 for none.
        child: The child, as in keys.
        at: The last entry that is shared.
        index: Which of the branches it is; ``None`` for a fork.
    """
    table = journal.table
    ancestors = [*(one for one in journal.ancestors if one.last < at), Ancestor(journal.owner(at), at, index)]
    start: dict[str, Any] = {"ancestors": [list(one) for one in ancestors]}
    start.update({name: journal.start[name] for name in ("input", "ttl") if name in journal.start})
    if 0 < checkpoint <= at:
        start["checkpoint"] = checkpoint
    new = Journal(table, child, start)
    hint, _, head = beginning(new, 0.0)
    needed = [table.put(keys.child(one.run, child), None) for one in ancestors]
    return [*needed, hint, new.put(0, {"kind": START, **start}), head]


def fork(journal: Journal, at: int, child: str) -> str:
    """See `datastore.runs.runs.Runs.fork`."""
    table, number = journal.table, as_int(at)
    if number is None or number < 0 or (number > 0 and journal.entry(number) is None):
        raise InvalidValueError(f"at is {shown(at)}; the run has no such entry")
    writes = child_of(journal, 0, child, number, None)
    done = table.write(writes)
    if not done[-2]:
        raise KeyExistsError("there is a run of this id").during("forking a run", table.scope.core.backend.name)
    check_kept(journal)
    return keys.run_of(child)


def check_kept(journal: Journal) -> None:
    """Raise if a run is being pruned: whoever needs its entries says so first, and then looks here.

    Raises:
        NoSuchRunError: If it is.

    Requests: 1.
    """
    if journal.table.read_one(keys.head(journal.run)) is None:
        raise NoSuchRunError("the run is being pruned").during("forking a run", journal.table.scope.core.backend.name)
