"""Gathering the results of children: a run goes on when all of them are over."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.runs import keys
from datastore.runs.entries import JOINED, WAIT, Entry
from datastore.runs.work import Work


def join(work: Work, children: Sequence[str]) -> list[Entry]:
    """Return the last entries of children that are over, in order, or let the run go until they are."""
    with work.alone():
        while work.next is not None and work.next.kind == WAIT and work.next.name[:1] == keys.CHILD:
            work.take()
        is_new = work.recorded("", JOINED) is None
        ends = work.act(lambda changes: work.writer.join(children, is_new, changes))
        if ends is None:
            work.let_go()
        return [ends[child] for child in children]
