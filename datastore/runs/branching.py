"""Going on as several runs: what a program asks for with `Run.branch` and `Run.fork`."""

from __future__ import annotations

from datastore.errors import InvalidValueError
from datastore.runs import keys
from datastore.runs.children import AT_ONCE, branch_of
from datastore.runs.entries import BRANCHED, FORKED, Branch, Entry
from datastore.runs.state import Changes
from datastore.runs.work import Work


def branch(work: Work, number: int) -> Branch:
    """See `Run.branch`."""
    with work.alone():
        run, entry = work.run, work.recorded("", BRANCHED)
        fresh = not work.is_replaying
        if entry is None:
            entry = work.append(BRANCHED, children=number)
        at, number = entry.number, int(entry.value["children"])
        mine = next((one.branch for one in run.ancestors if one.last == at), None)
        if fresh and mine is None:  # nothing follows it: perhaps the worker that wrote it wrote no children
            _begin_all(work, entry, number)
        return Branch([keys.run_of(branch_of(run, at, index)) for index in range(number)], mine)


def fork(work: Work, at: int | None, id: str | None) -> str:
    """See `Run.fork`."""
    with work.alone():
        run, entry = work.run, work.recorded("", FORKED)
        fresh = not work.is_replaying
        if entry is None:
            at = work.number if at is None else at
            if at > work.number:
                raise InvalidValueError(f"at is {at}; the run has {work.number} entries")
            child = id or keys.check_run(f"{keys.run_of(run.run)}~{work.number + 1}")
            entry = work.append(FORKED, child=child, at=at)
        if fresh and run.owner(entry.number) == run.run:
            _begin_all(work, entry, 1)
        return keys.run_of(str(entry.value["child"]))


def _begin_all(work: Work, entry: Entry, number: int) -> None:
    def begin(_: Changes) -> None:
        for first in range(0, number, AT_ONCE):
            work.writer.begin_children(entry, first)

    work.act(begin)
