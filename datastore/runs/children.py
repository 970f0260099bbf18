"""Children of a run: they share its entries up to a number, and have their own from there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datastore.backend import Write
from datastore.errors import InvalidValueError, KeyExistsError
from datastore.runs import keys
from datastore.runs.entries import RUNNING, START, Ancestor, Lineage, number_in
from datastore.runs.journal import Journal, beginning

AT_ONCE = 200
"""Children that are begun together: five records each, and a batch of the store is 1,000."""


def branch_of(lineage: Lineage, at: int, index: int) -> str:
    """Return one of the branches that begin after an entry, as in keys.

    Raises:
        InvalidNameError: If its id, which is made of the run's, is too long.
    """
    return keys.check_run(f"{keys.run_of(lineage.owner(at))}~{at}.{index}")


def begin_branches(journal: Journal, checkpoint: int, at: int, indexes: Iterable[int]) -> None:
    """Write the branches that begin after an entry, each if it is not there yet.

    Args:
        journal: The parent's.
        checkpoint: As for `begin_fork`.
        at: The entry.
        indexes: Which of the branches.

    Requests: 1 batch of 4 or more for each.
    """
    made = (_child(journal, checkpoint, branch_of(journal, at, index), at, index) for index in indexes)
    journal.table.write(write for writes in made for write in writes)


def begin_fork(journal: Journal, checkpoint: int, child: str, at: int) -> None:
    """Write a fork that is not there yet.

    Args:
        journal: The parent's.
        checkpoint: The number of the parent's last checkpoint; 0 for none.
        child: The fork, as in keys.
        at: The last entry that is shared.

    Requests: 1 batch; 2 more if the entry comes before the checkpoint.
    """
    if at < checkpoint:
        _begin_if_kept(journal, at, child)
    else:  # pruning spares what comes after the checkpoint that the head names; this is that or a later one
        journal.table.write(_child(journal, checkpoint, child, at, None))


def fork_outside(journal: Journal, at: int, child: str) -> str:
    """See `datastore.runs.runs.Runs.fork`."""
    if not _begin_if_kept(journal, at, child):
        raise KeyExistsError("there is a run of this id").during("forking a run", journal.table.scope.core.backend.name)
    return keys.run_of(child)


# Whoever prunes says so first, and then looks for children. Whoever begins a child says that it needs entries, and then
# looks whether they are being pruned.


def _begin_if_kept(journal: Journal, at: int, child: str) -> bool:
    """Write a child if what it needs was not pruned, and return whether it is new.

    Requests: 3.
    """
    checkpoint = first_kept(journal, at)
    writes = _child(journal, checkpoint, child, at, None)
    is_new = journal.table.write(writes)[-2]
    try:
        if is_new and first_kept(journal, at, keys.head(journal.run)) > checkpoint:
            raise InvalidValueError(f"at is {at}; the entries before it are being pruned")
    except InvalidValueError:
        journal.table.write(journal.table.delete(keys.key_of(write.id)) for write in writes)
        raise
    return is_new


def first_kept(journal: Journal, at: int, also: str | None = None) -> int:
    """Return the checkpoint before which the entries of a run were pruned; 0 if none were.

    Args:
        journal: The run's.
        at: The last entry that is needed.
        also: The key of a record that must be there; that of this entry if there is none.

    Raises:
        InvalidValueError: If something of this is not there.

    Requests: 1.
    """
    also = keys.entry(journal.owner(at), at) if also is None else also
    pruned = [keys.pruned(run) for run in (*(one.run for one in journal.ancestors), journal.run)]
    found = journal.table.read([also, *pruned])
    if also not in found:
        raise InvalidValueError(f"at is {at}; the run has no such entry, or it was pruned")
    first = max((number_in(found[key]) for key in pruned if key in found), default=0)
    if first > at:
        raise InvalidValueError(f"at is {at}; what comes before entry {first} was pruned")
    return first


def _child(journal: Journal, checkpoint: int, child: str, at: int, index: int | None) -> list[Write]:
    """Return the writes that make a child of a run, each only if it is not there yet.

    Args:
        journal: The parent's.
        checkpoint: An entry up to ``at`` that a replay begins after; 0 for none.
        child: The child, as in keys.
        at: The last entry that is shared.
        index: Which of the branches it is; ``None`` for a fork.
    """
    table = journal.table
    ancestors = [*(one for one in journal.ancestors if one.last < at), Ancestor(journal.owner(at), at, index)]
    start: dict[str, Any] = {"ancestors": [list(one) for one in ancestors]}
    start.update({name: journal.start[name] for name in ("input", "ttl") if name in journal.start})
    if checkpoint:
        start["checkpoint"] = checkpoint
    new = Journal(table, child, start)
    hint, _, head = beginning(new, 0.0)
    needed = [table.put(keys.child(one.run, child), None) for one in ancestors]
    return [*needed, hint, new.listed(RUNNING), new.put(0, {"kind": START, **start}), head]
