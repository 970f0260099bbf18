"""What all calls of LangGraph's checkpointer use: what this process knows of threads, and how it finds a checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import Any, NamedTuple

from datastore import Item, Page, Record
from datastore.bridges.extras import needs
from datastore.bridges.given import span_of
from datastore.bridges.langgraph_format import (
    FORMAT,
    Part,
    Place,
    is_checkpoint,
    known,
    number_in,
    place_in,
    stored_part,
)
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

HEAD = "__datastore_head"
"""In a config: whoever holds it has loaded the newest checkpoint of the thread, and means to go on from it. LangGraph
passes it from what was loaded to what is put. A config without it names its checkpoint, and may begin a branch."""


_PARTS_BYTES = 16_000_000
"""How much a saver remembers of the values that it has read or put: they never change, and need not be read again."""
_ENTRY_BYTES, _READABLE = 200, 5_000  # of what is kept as JSON
_AHEAD, _BACK, _MORE = 32, 4, 200
"""How many records a look for the newest checkpoint reads at most: from one on that was the newest, from the end back,
and again if there were that many pending writes."""


class Remembered:
    """The last entries of a mapping, for any number of threads.

    Args:
        most: How many entries; with ``size`` how many bytes.
        size: How many bytes an entry takes.
    """

    def __init__(self, most: int = 10_000, size: Callable[[Any], int] = lambda value: 1) -> None:
        self._most = most
        self._size = size
        self._held = 0
        self._entries: OrderedDict[Any, Any] = OrderedDict()
        self._lock = Lock()

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._lock:
            if key in self._entries:
                self._held -= self._size(self._entries.pop(key))
            self._entries[key] = value
            self._held += self._size(value)
            while self._held > self._most:
                self._held -= self._size(self._entries.popitem(last=False)[1])

    def get(self, key: Any) -> Any:
        return self._entries.get(key)

    def pop(self, key: Any) -> None:
        with self._lock:
            if key in self._entries:
                self._held -= self._size(self._entries.pop(key))


@dataclass(frozen=True)
class Seen:
    """What this process knows of a checkpoint that it has read or put, for whoever goes on from it."""

    told: Mapping[str, Any]
    """What the checkpoint says of its values."""
    stored: Mapping[str, Part]
    inside: frozenset[str]
    """The channels whose values are in the checkpoint alone: the next one that has them puts them into records."""
    owed: tuple[Item, ...] = ()
    """What finds the checkpoint, if its writer may have been cut off before it had put that, too."""


@dataclass(frozen=True)
class Context:
    """What a call needs beside the store."""

    serde: SerializerProtocol
    ttl: float | None
    """How long records are kept, in seconds: twice as long as was asked for (`langgraph_reading.renewing`)."""
    numbers: Remembered
    """By place and checkpoint id: the number of a checkpoint. It shapes a request; the database decides."""
    newest: Remembered
    """By place: the number of the checkpoint that was the newest one when it was put or read. The next look begins at
    it, and so reads nothing that is older."""
    early: Remembered
    """By place and id: the checkpoints that this process has put pending writes of before they had a number."""
    empty: Remembered
    """The places that were seen without a checkpoint: of those who begin there, one is the first."""
    claims: Remembered
    """By place and id: the checkpoints that were put by whoever began there, who has no `HEAD` to show."""
    seen: Remembered
    """By place and id: the `Seen`."""
    parts: Remembered
    """By the id of a `Part`: what the serializer has made of it."""
    packed: Remembered
    """By the id of a `Part` that is in a checkpoint: what is kept of it, to be put into a record as it is."""

    @classmethod
    def new(cls, ttl: float | timedelta | None) -> Context:
        kept = None if ttl is None else 2 * span_of(ttl, "ttl").total_seconds()
        numbers, newest, early, empty, claims = (Remembered() for _ in range(5))
        parts = Remembered(_PARTS_BYTES, lambda serialised: len(serialised[1]) + _ENTRY_BYTES)
        packed = Remembered(_PARTS_BYTES // 4, lambda kept: len(kept.get("base64", "")) + _READABLE)
        seen = Remembered(1_000)
        return cls(JsonPlusSerializer(), kept, numbers, newest, early, empty, claims, seen, parts, packed)

    def with_serde(self, serde: SerializerProtocol) -> Context:
        return replace(self, serde=serde)

    def entries(self, place: Place, number: int, kept: Mapping[str, Any]) -> tuple[Item, ...]:
        """Return what finds a checkpoint by its id, and by its run."""
        checkpoint_id, run = kept["checkpoint"]["id"], run_of(kept["metadata"])
        found = Item(place.number(checkpoint_id), numbered(number), ttl=self.ttl)
        if run is None:
            return (found,)
        return found, Item(place.run(run, checkpoint_id), run_entry(kept), ttl=self.ttl)


def numbered(number: int) -> dict[str, int]:
    """What is kept under the id of a checkpoint."""
    return {"format": FORMAT, "number": number}


def run_entry(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept under the run of a checkpoint."""
    return {"format": FORMAT, "thread": kept["thread"], "ns": kept["ns"], "id": kept["checkpoint"]["id"]}


def configured(place: Place, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names a checkpoint."""
    return {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": checkpoint_id}}


class Whole(NamedTuple):
    """A checkpoint, and the pending writes beside it."""

    record: Record
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
        if not is_checkpoint(record.key):
            writes.append(record)
            continue
        if writes:  # not those of a checkpoint that is gone, or of a worker that was fenced and never got this number
            beside, checkpoint_id = f"{record.key}/", known(record)["checkpoint"]["id"]
            own = [one for one in writes if one.key.startswith(beside) and known(one)["checkpoint"] == checkpoint_id]
            writes.clear()
            found.append(Whole(record, own))
        else:
            found.append(Whole(record, []))
    return found


def newest(context: Context, place: Place) -> Steps[Whole | None]:
    """Find the newest checkpoint of a place.

    Requests: 1; 1 more if it has many pending writes, or others have gone on since this process saw the place.
    """
    page: Page
    number = context.newest.get(place)
    if number is not None:
        page = yield ask("scan", place.checkpoints, start=place.checkpoint(number), limit=_AHEAD)
        if page.cursor is None and (found := wholes(reversed(page.records), [])):
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
        if found is not None and known(found.record)["checkpoint"]["id"] == checkpoint_id:
            return found
        context.numbers.pop((place, checkpoint_id))
    entry: Record | None = yield ask("get_record", place.number(checkpoint_id))
    number = known(entry).get("number") if entry is not None else None
    found = yield from (numbered_so(place, number) if number is not None else newest(context, place))
    if found is None or known(found.record)["checkpoint"]["id"] != checkpoint_id:
        return None  # whoever wrote the number was fenced before it wrote the checkpoint
    noting(context, found.record)
    return found


def numbered_so(place: Place, number: int) -> Steps[Whole | None]:
    """Find the checkpoint of a number: 1 request."""
    page: Page = yield ask("scan", place.checkpoint(number))
    found = wholes(reversed(page.records), [])
    return found[0] if found else None


def noting(context: Context, record: Record) -> None:
    """Remember a checkpoint that was read: its number, and what the next one needs to know of it."""
    kept, number = known(record), number_in(record.key)
    place, told = place_in(kept), kept["stored"]
    where = place, kept["checkpoint"]["id"]
    seen: Seen | None = context.seen.get(where)
    if seen is not None and seen.told == told and context.numbers.get(where) == number:
        return
    stored = {channel: stored_part(kept, channel) for channel in told}
    inside = frozenset(kept.get("values", ()))
    context.seen[where] = Seen(told, stored, inside, context.entries(place, number, kept))
    for channel in inside:
        context.packed[stored[channel].id] = kept["values"][channel]
    context.numbers[where] = number


def run_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the run that a checkpoint belongs to."""
    run = metadata.get("run_id")
    return run if isinstance(run, str) and run else None
