"""Gathering the results of children: a run goes on when all of them are over."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.errors import InvalidValueError
from datastore.runs import keys
from datastore.runs.entries import JOINED, OVER, WAIT, Entry
from datastore.runs.journal import Head, head_of, results
from datastore.runs.waiting import go_on, let_go, suspend
from datastore.runs.work import Work


def join(work: Work, children: Sequence[str]) -> list[Entry]:
    """Return the last entries of children that are over, in order, or let the run go until they are."""
    with work.alone():
        while work.next is not None and work.next.kind == WAIT and work.next.name[:1] == keys.CHILD:
            work.take()
        is_new = work.recorded("", JOINED) is None
        heads = _heads(work, children)
        while open := [child for child in children if heads[child].status not in OVER]:
            # It waits for one of them, the one that was begun last: the ends of the others do not wake it up.
            suspend(work, keys.CHILD + open[-1], None, noted=False)
            heads.update(_heads(work, open[-1:]))  # it may have ended before the head said that the run waits
            if heads[open[-1]].status not in OVER:
                let_go(work)
        ends = results(work.table, children, heads)
        if is_new:
            work.append(JOINED)
            run = work.journal.run
            go_on(work, *(keys.hint(heads[child].value["at"], run, keys.CHILD + child) for child in children))
        return [ends[child] for child in children]


def _heads(work: Work, children: Sequence[str]) -> dict[str, Head]:
    found = work.table.read(keys.head(child) for child in children)
    heads: dict[str, Head] = {}
    for child in children:
        head = head_of(found.get(keys.head(child)))
        if head is None:
            raise InvalidValueError(f"children holds {keys.run_of(child)!r}, and there is no such run")
        heads[child] = head
    return heads
