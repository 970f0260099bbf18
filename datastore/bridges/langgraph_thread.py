"""What all calls of LangGraph's checkpointer use: what this process knows of threads, and how it finds a checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import Any

from datastore import Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_format import Place, known
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

HEAD = "__datastore_head"
"""In a config: whoever holds it has loaded the newest checkpoint of the thread, and means to go on from it. LangGraph
passes it from what was loaded to what is put. A config without it names its checkpoint, and may begin a branch."""


class Remembered:
    """The last few thousand entries of a mapping, for any number of threads."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._entries: OrderedDict[Any, Any] = OrderedDict()
        self._lock = Lock()

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def get(self, key: Any) -> Any:
        return self._entries.get(key)

    def pop(self, key: Any) -> None:
        with self._lock:
            self._entries.pop(key, None)


@dataclass(frozen=True)
class Context:
    """What a call needs beside the store."""

    serde: SerializerProtocol
    ttl: float | None
    """How long records are kept, in seconds: twice as long as was asked for (`langgraph_reading.renewing`)."""
    numbers: Remembered
    """By place and checkpoint id: the number of a checkpoint. It shapes a request; the database decides."""
    empty: Remembered
    """The places that were seen without a checkpoint: of those who begin there, one is the first."""
    claims: Remembered
    """By place and id: the checkpoints that were put by whoever began there, who has no `HEAD` to show."""

    @classmethod
    def new(cls, ttl: float | timedelta | None) -> Context:
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        kept = None if seconds is None else 2 * seconds
        return cls(JsonPlusSerializer(), kept, Remembered(), Remembered(), Remembered())

    def with_serde(self, serde: SerializerProtocol) -> Context:
        return replace(self, serde=serde)


def configured(place: Place, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names a checkpoint."""
    return {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": checkpoint_id}}


def number_of(record: Record) -> int:
    """Return the number of a checkpoint, by the record that holds it."""
    return int(record.key.rpartition("/")[2])


def finding(context: Context, place: Place, checkpoint_id: str) -> Steps[Record | None]:
    """Find a checkpoint by its id: 1 request if this process has seen it, else 2."""
    record: Record | None
    number = context.numbers.get((place, checkpoint_id))
    if number is not None:
        record = yield ask("get_record", place.checkpoint(number))
        if record is not None and known(record)["checkpoint"]["id"] == checkpoint_id:
            return record
        context.numbers.pop((place, checkpoint_id))
    entry: Record | None = yield ask("get_record", place.number(checkpoint_id))
    if entry is None:
        return None
    found = known(entry)["number"]
    record = yield ask("get_record", place.checkpoint(found))
    if record is None or known(record)["checkpoint"]["id"] != checkpoint_id:
        return None  # whoever wrote the number was fenced before it wrote the checkpoint
    context.numbers[place, checkpoint_id] = found
    return record


def run_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the run that a checkpoint belongs to."""
    run = metadata.get("run_id")
    return run if isinstance(run, str) and run else None
