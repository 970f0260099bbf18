"""What all calls of LangGraph's checkpointer use: what this process knows of threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from sys import getsizeof
from threading import Lock
from typing import Any

from datastore import Item
from datastore.bridges.extras import needs
from datastore.bridges.given import span_of
from datastore.bridges.langgraph_format import FORMAT, Part, Place, number_in, stored_part

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
        self.get: Callable[[Any], Any] = self._entries.get
        """Returns what is held under a key, or ``None``; a method would take twice as long, ten times for a load."""

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._lock:
            if key in self._entries:
                self._held -= self._size(self._entries.pop(key))
            self._entries[key] = value
            self._held += self._size(value)
            while self._held > self._most:
                self._held -= self._size(self._entries.popitem(last=False)[1])

    def pop(self, key: Any) -> None:
        if key not in self._entries:  # as nearly always, and then no lock is needed
            return
        with self._lock:
            if key in self._entries:
                self._held -= self._size(self._entries.pop(key))


def _size_of(value: Any) -> int:
    """Return how many bytes of memory a value takes that is in `Context.unchanging`."""
    return getsizeof(value) + (sum(map(getsizeof, value)) if type(value) is tuple else 0)


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
    unchanging: Remembered
    """By the id of a `Part`: the value itself, if nobody can change it, such as a text; of a list of such a tuple."""
    packed: Remembered
    """By the id of a `Part` that is in a checkpoint: what is kept of it, to be put into a record as it is."""

    @classmethod
    def new(cls, ttl: float | timedelta | None) -> Context:
        kept = None if ttl is None else 2 * span_of(ttl, "ttl").total_seconds()
        numbers, newest, early, empty, claims = (Remembered() for _ in range(5))
        parts = Remembered(_PARTS_BYTES, lambda serialised: len(serialised[1]) + _ENTRY_BYTES)
        unchanging = Remembered(_PARTS_BYTES // 4, _size_of)
        packed = Remembered(_PARTS_BYTES // 4, lambda kept: len(kept.get("base64", "")) + _READABLE)
        seen = Remembered(1_000)
        return cls(JsonPlusSerializer(), kept, numbers, newest, early, empty, claims, seen, parts, unchanging, packed)

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


def noting(context: Context, place: Place, key: str, kept: Mapping[str, Any]) -> Seen:
    """Remember a checkpoint that was read: its number, and what the next one needs to know of it. Return the latter.

    Args:
        context: Remembers it.
        place: Where it was read.
        key: The key of its record.
        kept: The value of its record.
    """
    number, told = number_in(key), kept["stored"]
    where = place, kept["checkpoint"]["id"]
    seen: Seen | None = context.seen.get(where)
    if seen is not None and seen.told == told and context.numbers.get(where) == number:
        return seen
    stored = {channel: stored_part(kept, channel) for channel in told}
    inside = frozenset(kept.get("values", ()))
    context.seen[where] = seen = Seen(told, stored, inside, context.entries(place, number, kept))
    for channel in inside:
        context.packed[stored[channel].id] = kept["values"][channel]
    context.numbers[where] = number
    return seen


def run_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the run that a checkpoint belongs to."""
    run = metadata.get("run_id")
    return run if isinstance(run, str) and run else None
