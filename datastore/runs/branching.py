"""Children of a run: they share its entries up to a number, and have their own from there."""

from __future__ import annotations

from typing import Any

from datastore.backend import Write
from datastore.errors import InvalidValueError, KeyExistsError
from datastore.runs import keys
from datastore.runs.entries import BRANCHED, FORKED, RUNNING, START, Ancestor, Branch, Entry
from datastore.runs.journal import Journal, beginning
from datastore.runs.work import Work

_AT_ONCE = 200
"""Children that are begun together: five records each, and a batch of the store is 1,000."""


def branch(work: Work, number: int) -> Branch:
    """See `Run.branch`."""
    with work.alone():
        entry = work.recorded("", BRANCHED)
        if entry is None:
            at = work.number + 1
            keys.check_run(f"{keys.run_of(work.journal.run)}~{at}.{number}")  # before anything is written
            entry = Entry(work.append(BRANCHED, children=number), {"children": number})
            fresh = True
        else:
            at, number, fresh = entry.number, int(entry.value["children"]), not work.is_replaying
        owner = work.journal.owner(at)
        children = [keys.check_run(f"{keys.run_of(owner)}~{at}.{one}") for one in range(number)]
        mine = next((one.branch for one in work.journal.ancestors if one.last == at), None)
        if fresh and mine is None:  # nothing follows it: perhaps the worker that wrote it wrote no children
            for first in range(0, number, _AT_ONCE):
                some = enumerate(children[first : first + _AT_ONCE], first)
                made = (_child(work.journal, work.checkpoint, child, at, index) for index, child in some)
                work.table.write(write for writes in made for write in writes)
        return Branch([keys.run_of(child) for child in children], mine)


def fork(work: Work, at: int | None, id: str | None) -> str:
    """See `Run.fork`."""
    with work.alone():
        entry = work.recorded("", FORKED)
        if entry is None:
            at = work.number if at is None else at
            if at > work.number:
                raise InvalidValueError(f"at is {at}; the run has {work.number} entries")
            if at < work.checkpoint:
                _first_kept(work.journal, at)  # raises before anything is written
            child = id or keys.check_run(f"{keys.run_of(work.journal.run)}~{work.number + 1}")
            work.append(FORKED, child=child, at=at)
            _begin_fork(work, child, at)
        else:
            child, at = str(entry.value["child"]), int(entry.value["at"])
            if not work.is_replaying and work.journal.owner(entry.number) == work.journal.run:
                _begin_fork(work, child, at)
        return keys.run_of(child)


def fork_outside(journal: Journal, at: int, child: str) -> str:
    """See `datastore.runs.runs.Runs.fork`."""
    if not _begin_if_kept(journal, at, child):
        raise KeyExistsError("there is a run of this id").during("forking a run", journal.table.scope.core.backend.name)
    return keys.run_of(child)


def _begin_fork(work: Work, child: str, at: int) -> None:
    """Write a child that is not there yet."""
    if at < work.checkpoint:
        _begin_if_kept(work.journal, at, child)
    else:  # pruning spares what comes after the checkpoint that the head names; the worker's is that or a later one
        work.table.write(_child(work.journal, work.checkpoint, child, at, None))


# Whoever prunes says so first, and then looks for children. Whoever begins a child says that it needs entries, and then
# looks whether they are being pruned.


def _begin_if_kept(journal: Journal, at: int, child: str) -> bool:
    """Write a child if what it needs was not pruned, and return whether it is new.

    Requests: 3.
    """
    checkpoint = _first_kept(journal, at)
    writes = _child(journal, checkpoint, child, at, None)
    is_new = journal.table.write(writes)[-2]
    try:
        if is_new and _first_kept(journal, at, keys.head(journal.run)) > checkpoint:
            raise InvalidValueError(f"at is {at}; the entries before it are being pruned")
    except InvalidValueError:
        journal.table.write(journal.table.delete(keys.key_of(write.id)) for write in writes)
        raise
    return is_new


def _first_kept(journal: Journal, at: int, also: str | None = None) -> int:
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
    first = max((int(found[key].value) for key in pruned if key in found), default=0)
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
