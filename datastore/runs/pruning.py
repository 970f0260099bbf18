"""Removing runs that are over, unless another run needs their entries."""

from __future__ import annotations

from itertools import chain

from datastore.backend import Fields
from datastore.runs import keys
from datastore.runs.entries import OVER
from datastore.runs.journal import Head, Journal, head_of, open_journal
from datastore.runs.looking import check_limit
from datastore.runs.table import Table

_BATCH = 500


def prune(table: Table, keep: float | None, limit: int | None) -> int:
    """See `datastore.runs.runs.Runs.prune`."""
    limit = check_limit(limit)
    ranges = [keys.ends(table.now(), "x")]
    if keep is not None:
        ranges.append(keys.ends(table.now(-keep), "d"))
    removed = 0
    for span in ranges:
        for document in table.scan(span, Fields.KEY):
            if limit is not None and removed >= limit:
                return removed
            removed += _prune(table, keys.key_of(document.id))
    return removed


def _prune(table: Table, place: str) -> bool:
    """Remove the run that ended at a place, and return whether it was removed."""
    run = place.rpartition("/")[2]
    start = table.read_one(keys.entry(run, 0))
    if start is None:
        table.write_one(table.delete(place))  # it was pruned before
        return False
    journal = open_journal(table, run)
    head = journal.head()
    if head is not None:
        if head.status not in OVER or _is_needed(journal):
            if head.status not in OVER:
                table.write_one(table.delete(place))  # it was retried
            return False
        # The head goes first: whoever forks the run says so and then looks for the head (`branching.check_kept`).
        table.write_one(table.delete(keys.head(run)))
        if _is_needed(journal):
            journal.settle(None, head.value)
            return False
    _remove(journal, head, place)
    return True


def _is_needed(journal: Journal) -> bool:
    table = journal.table
    if next(table.scan(keys.children(journal.run), Fields.KEY, limit=1), None) is not None:
        return True
    if not journal.ancestors or journal.ancestors[-1].branch is None:
        return False
    parent = head_of(table.read_one(keys.head(journal.ancestors[-1].run)))
    return parent is not None and parent.status not in OVER  # it may yet join


def _remove(journal: Journal, head: Head | None, place: str) -> None:
    """Remove all of a run; what says where it is goes last, so that a crash leaves something to go on with."""
    table, run = journal.table, journal.run
    batch = list[str]()
    own = (table.scan(span, Fields.KEY) for span in (keys.entries(run, journal.base), keys.answers(run)))
    for document in chain.from_iterable(own):
        batch.append(keys.key_of(document.id))
        if len(batch) == _BATCH:
            table.write(table.delete(key) for key in batch)
            batch.clear()
    batch += [keys.child(one.run, run) for one in journal.ancestors]
    table.write(table.delete(key) for key in batch)
    places = {place, keys.entry(run, 0)}
    if head is not None:
        places |= {keys.ended(head.value["at"], run), head.value.get("expired", place)}
    table.write(table.delete(key) for key in sorted(places))
