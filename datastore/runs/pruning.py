"""Removing runs that are over, and entries before a checkpoint, unless another run needs them."""

from __future__ import annotations

from itertools import islice

from datastore.backend import Fields
from datastore.documents import made_of, skip
from datastore.errors import DamagedRecordError
from datastore.runs import keys
from datastore.runs.entries import CHECKPOINT, END, OVER, entry_of, number_in
from datastore.runs.journal import Head, Journal, checkpoint_in, head_of, open_journal
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
        found = table.scan(span, Fields.KEY, on_damaged=skip)
        for is_removed in made_of(found, lambda one: _prune(table, one.id)):
            removed += is_removed
            if limit is not None and removed >= limit:
                return removed
    if keep is not None:
        _prune_checkpoints(table, table.now(-keep), limit)
    return removed


def _prune(table: Table, id: str) -> bool:
    """Remove the run whose end the record of an id notes, and return whether it was removed."""
    place, run = keys.key_of(id), keys.run_in(id)
    start = table.read_one(keys.entry(run, 0))
    if start is None:
        table.write_one(table.delete(place))  # it was pruned before
        return False
    journal = open_journal(table, run)
    head = journal.head() or _restored(journal)
    if head is not None:
        if head.status not in OVER or _is_needed(journal):
            if head.status not in OVER:
                table.write_one(table.delete(place))  # it was retried
            return False
        # The head goes first: whoever forks the run says so and then looks for the head (`branching`).
        table.write_one(table.delete(keys.head(run)))
        if _is_needed(journal):
            journal.settle(None, head.value)
            return False
    _remove(journal, head, place)
    return True


def _restored(journal: Journal) -> Head | None:
    """Write the head of a run anew if a prune died after it had removed it, and a fork had begun just before.

    Such a fork has found the head, and needs the entries, of which none was removed.
    """
    if not _is_needed(journal):
        return None
    last, first = journal.last(), journal.table.read_one(keys.pruned(journal.run))
    if last.kind != END or journal.entry(journal.base + 1 if first is None else number_in(first)) is None:
        return None
    journal.end(None, last.number, str(last.value["status"]), journal.start.get("ttl"), last.value.get("error"))
    return journal.head()


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
    for span in (keys.entries(run, journal.base), keys.answers(run)):
        _remove_all(table, span)
    table.write(table.delete(keys.child(one.run, run)) for one in journal.ancestors)
    places = {place, keys.entry(run, 0), keys.pruned(run)}
    if head is not None:
        at = head.value["at"]
        places |= {keys.ended(at, run), keys.listed(head.status, run), head.value.get("expired", place)}
    table.write(table.delete(key) for key in sorted(places))


def _remove_all(table: Table, span: keys.KeyRange) -> None:
    found = table.scan(span, Fields.KEY)
    while some := list(islice(found, _BATCH)):
        table.write(table.delete(keys.key_of(one.id)) for one in some)


# ----------------------------------------------------------------------------------------- entries before a checkpoint


def _prune_checkpoints(table: Table, until: str, limit: int | None) -> None:
    """Remove the entries before the last checkpoint that each run made up to a time."""
    marks = dict[str, dict[str, int]]()  # of each run the keys that say that it made checkpoints, and their numbers
    found = table.scan(keys.checkpoints(until), on_damaged=skip)
    for run, key, number in made_of(found, lambda one: (keys.run_in(one.id), keys.key_of(one.id), number_in(one))):
        marks.setdefault(run, {})[key] = number
        if limit is not None and len(marks) >= limit:
            break
    for run, numbers in marks.items():
        try:
            first = _prune_entries(table, run, max(numbers.values()))
        except DamagedRecordError as error:
            skip(error)
            continue
        if done := [key for key, number in numbers.items() if number <= first]:
            table.write(table.delete(key) for key in done)


def _prune_entries(table: Table, run: str, number: int) -> int:
    """Remove the entries before a checkpoint, and return which one is the first that is left."""
    start = table.read_one(keys.entry(run, 0))
    head = None if start is None else head_of(table.read_one(keys.head(run)))
    if start is None or (head is not None and head.status in OVER):
        return number  # it goes as a whole, if it has not gone already
    journal = Journal(table, run, entry_of(start).value)
    # A head that is late names an earlier checkpoint: a worker that resumes the run begins with that one.
    wanted = min(number, checkpoint_in(head))
    before = table.read_one(keys.pruned(run))
    first = 0 if before is None else number_in(before)
    while True:
        wanted = min(wanted, _needed(journal))
        if wanted <= journal.base or wanted < first:
            return first
        entry = journal.entry(wanted)
        if entry is None or entry.kind != CHECKPOINT:
            return first
        table.write_one(table.put(keys.pruned(run), wanted))  # first: see `branching`
        if _needed(journal) >= wanted:
            break
        table.write_one(table.delete(keys.pruned(run)) if before is None else table.put(keys.pruned(run), first))
    _remove_all(table, keys.entries(run, journal.base, wanted - 1))
    return wanted


def _needed(journal: Journal) -> int:
    """Return the entry after which other runs begin, the first one of several; one after all if there are none.

    Requests: 1, and 1 for each batch of children.
    """
    found = journal.table.scan(keys.children(journal.run), Fields.KEY)
    needed = keys.MOST
    while some := [keys.run_in(one.id) for one in islice(found, _BATCH)]:
        starts = journal.table.read(keys.entry(child, 0) for child in some)
        needed = min([needed, *(int(entry_of(one).value.get("checkpoint", 0)) for one in starts.values())])
    return needed
