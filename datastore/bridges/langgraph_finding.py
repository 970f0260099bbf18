"""How LangGraph's checkpointer finds a checkpoint, and the pending writes beside it: the newest one, or by its id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from datastore import Page, Record
from datastore.bridges.langgraph_format import Place, is_checkpoint, known, number_in
from datastore.bridges.langgraph_thread import Context, noting
from datastore.bridges.steps import Steps, ask

_AHEAD, _BACK, _MORE = 32, 4, 200
"""How many records a look for the newest checkpoint reads at most: from one on that was the newest, from the end back,
and again if there were that many pending writes."""


class Whole(NamedTuple):
    """A checkpoint, and the pending writes beside it."""

    record: Record
    kept: dict[str, Any]
    """The value of the record, which this version can read."""
    writes: list[Record]

    @property
    def number(self) -> int:
        return number_in(self.record.key)


def wholes(backward: Iterable[Record], writes: list[Record]) -> list[Whole]:
    """Return the checkpoints among records, the last one first.

    Args:
        backward: The records, the last one first.
        writes: Those before them of which the checkpoint was still to come; afterwards those of which it still is.
    """
    found = []
    for record in backward:
        key = record.key
        if not is_checkpoint(key):
            writes.append(record)
            continue
        kept = known(record)
        if writes:  # not those of a checkpoint that is gone, or of a worker that was fenced and never got this number
            beside, checkpoint_id = f"{key}/", kept["checkpoint"]["id"]
            own = [one for one in writes if one.key.startswith(beside) and known(one)["checkpoint"] == checkpoint_id]
            writes.clear()
            found.append(Whole(record, kept, own))
        else:
            found.append(Whole(record, kept, []))
    return found


def newest(context: Context, place: Place) -> Steps[Whole | None]:
    """Find the newest checkpoint of a place.

    Requests: 1; 1 more if it has many pending writes, or others have gone on since this process saw the place.
    """
    page: Page
    number = context.newest.get(place)
    if number is not None:
        start = place.checkpoint(number)
        page = yield ask("scan", start=start, end=place.after_checkpoints, limit=_AHEAD)
        if page.cursor is None and (found := wholes(reversed(page.records), [])):
            if found[0].record.key != start:
                context.newest[place] = found[0].number
            return found[0]
    writes: list[Record] = []
    cursor, most = None, _BACK
    while True:
        page = yield ask("scan", place.checkpoints, reverse=True, limit=most, cursor=cursor)
        if found := wholes(page.records, writes):
            context.newest[place] = found[0].number
            return found[0]
        cursor, most = page.cursor, _MORE
        if cursor is None:
            context.newest.pop(place)
            return None


def finding(context: Context, place: Place, checkpoint_id: str) -> Steps[Whole | None]:
    """Find a checkpoint by its id: 1 request if this process has seen it, else 2.

    What has no number may be the newest one, whose writer was cut off before its number was there.
    """
    number = context.numbers.get((place, checkpoint_id))
    if number is not None:
        found = yield from numbered_so(place, number)
        if found is not None and found.kept["checkpoint"]["id"] == checkpoint_id:
            return found
        context.numbers.pop((place, checkpoint_id))
    entry: Record | None = yield ask("get_record", place.number(checkpoint_id))
    number = known(entry).get("number") if entry is not None else None
    found = yield from (numbered_so(place, number) if number is not None else newest(context, place))
    if found is None or found.kept["checkpoint"]["id"] != checkpoint_id:
        return None  # whoever wrote the number was fenced before it wrote the checkpoint
    noting(context, place, found.record.key, found.kept)
    return found


def numbered_so(place: Place, number: int) -> Steps[Whole | None]:
    """Find the checkpoint of a number: 1 request."""
    page: Page = yield ask("scan", place.checkpoint(number))
    found = wholes(reversed(page.records), [])
    return found[0] if found else None
