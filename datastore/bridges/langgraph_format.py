"""How checkpoints of LangGraph are kept: the keys, and what is under them. See ``docs/bridges/langgraph.md``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from datastore import DamagedRecordError, InvalidNameTypeError, Record, UnsupportedError

FORMAT = 1
CHECKPOINT = 3
"""The format of checkpoints. Of those before it all pending writes are under the id, and none beside the checkpoint.
Those of format 1 hold no values, and name the channels that have one without parts."""
IN_A_RECORD = 700_000
"""The most characters of a value that stand in a record, which may take 1,000,000 bytes; a larger value is a blob."""
_LONG = re.compile(r"~[0-9a-f]{32}\Z")


@lru_cache(10_000)  # the same few channels, threads and namespaces with each checkpoint
def part(text: str, most: int = 100) -> str:
    """Return a text as a part of a key: without ``/``, and of two texts never the same one.

    Longer ones keep their beginning, and 128 bits of their SHA-256; so do those that look as if they had been
    shortened.
    """
    whole = text.replace("%", "%25").replace("/", "%2F")
    encoded = whole.encode("utf-8", "surrogatepass")
    if len(encoded) <= most and not _LONG.search(whole):
        return whole
    return f"{encoded[: most - 33].decode('utf-8', 'ignore')}~{sha256(encoded).hexdigest()[:32]}"


@lru_cache(1_000)
def _path(kind: str, thread: str, ns: str) -> str:
    return f"{kind}/{part(thread)}/{part(ns)}/"


@lru_cache(1_000)
def _after(thread: str, ns: str) -> str:
    return f"{_path('checkpoint', thread, ns)[:-1]}0"


class Place(NamedTuple):
    """A thread and a checkpoint namespace, with the keys of what is kept for them."""

    thread: str
    ns: str

    @property
    def checkpoints(self) -> str:
        """The prefix of the checkpoints, in the order in which they were put, each followed by its pending writes."""
        return _path("checkpoint", self.thread, self.ns)

    @property
    def after_checkpoints(self) -> str:
        """The first key that comes after all of these: 0 follows the slash."""
        return _after(self.thread, self.ns)

    def checkpoint(self, number: int) -> str:
        return f"{self.checkpoints}{number:012}"

    def write(self, number: int, task: str, index: int) -> str:
        """The key of a pending write of a checkpoint, beside it."""
        return f"{self.checkpoint(number)}/{part(task, 64)}/{index:04}"

    @property
    def numbers(self) -> str:
        return _path("number", self.thread, self.ns)

    def number(self, checkpoint_id: str) -> str:
        """The key under which the number of a checkpoint is found by its id."""
        return f"{self.numbers}{part(checkpoint_id, 64)}"

    @property
    def values(self) -> str:
        return _path("value", self.thread, self.ns)

    def value(self, channel: str, version: object) -> str:
        return f"{self.values}{part(channel)}/{part(str(version), 64)}"

    @property
    def early_writes(self) -> str:
        """The prefix of the pending writes that were put before their checkpoint had a number."""
        return _path("write", self.thread, self.ns)

    def early(self, checkpoint_id: str) -> str:
        """The prefix of those of one checkpoint."""
        return f"{self.early_writes}{part(checkpoint_id, 64)}/"

    def early_write(self, checkpoint_id: str, task: str, index: int) -> str:
        return f"{self.early(checkpoint_id)}{part(task, 64)}/{index:04}"

    def run(self, run_id: str, checkpoint_id: str) -> str:
        return f"{run_prefix(run_id)}{part(self.thread)}/{part(self.ns)}/{part(checkpoint_id, 64)}"


KINDS = ("checkpoint", "number", "value", "write")
"""The first parts of the keys under which a thread is kept; the second part is the thread."""


def is_checkpoint(key: str) -> bool:
    """Whether a key among `Place.checkpoints` is that of a checkpoint, and not of a pending write beside it."""
    return key.count("/") == 3


def number_in(key: str) -> int:
    """Return the number of the checkpoint that a key among `Place.checkpoints` belongs to."""
    return int(key.split("/", 4)[3])


def run_prefix(run_id: str) -> str:
    """The prefix under which the checkpoints of a run are found."""
    return f"run/{part(run_id)}/"


def blob_prefix(thread: str) -> str:
    """The prefix of the names of blobs of a thread."""
    return f"langgraph.{sha256(thread.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}."


def blob_name(thread: str, key: str) -> str:
    """The name of the blob that holds the value of a key."""
    return blob_prefix(thread) + sha256(key.encode()).hexdigest()[:32]


def place_of(config: Mapping[str, Any]) -> Place:
    """Return the place that a config names.

    Raises:
        InvalidNameTypeError: If it names no thread.
    """
    configurable = config.get("configurable") or {}
    if configurable.get("thread_id") in (None, ""):
        raise InvalidNameTypeError("config['configurable'] has no thread_id: it says which thread is meant")
    return Place(str(configurable["thread_id"]), str(configurable.get("checkpoint_ns") or ""))


def known(record: Record) -> dict[str, Any]:
    """Return the value of a record of this bridge, if this version can read it.

    Raises:
        UnsupportedError: If a later version has written it.
        DamagedRecordError: If nobody has written it so.
    """
    value: Any = record.value
    number = value.get("format") if isinstance(value, dict) else None
    if type(number) is not int:
        raise DamagedRecordError(f"the record {record.id} is no part of a checkpoint")
    if not FORMAT <= number <= CHECKPOINT:
        raise UnsupportedError(
            f"the record {record.id} has format {number} of checkpoints, and this version reads 1 to {CHECKPOINT}: "
            "upgrade agent-datastore where it is read"
        )
    return value  # type: ignore[no-any-return]  # a dict, as was seen


def has_early_writes(kept: Mapping[str, Any]) -> bool:
    """Whether there may be pending writes of a checkpoint that are not beside it."""
    return "early" in kept or kept["format"] < CHECKPOINT


class Part(NamedTuple):
    """A value of a channel, as checkpoints name it."""

    version: Any
    id: str | None
    """Given when the value was stored, and never again: what was once read under it holds. ``None`` in format 1."""
    over: Part | None = None
    """The earlier value that it is kept as a difference from; that one is kept whole."""

    def told(self) -> Any:
        """Return what a checkpoint says of it, beside the version of the channel."""
        return self.id if self.over is None else {"id": self.id, "over": {"version": self.over[0], "id": self.over[1]}}


def stored_part(kept: Mapping[str, Any], channel: str) -> Part:
    """Return the value that a checkpoint has of a channel, among those that are ``stored``."""
    version, stored = kept["checkpoint"]["channel_versions"][channel], kept["stored"]
    if isinstance(stored, list):
        return Part(version, None)
    told = stored[channel]
    if not isinstance(told, dict):  # None if the checkpoint before was of format 1
        return Part(version, told)
    return Part(version, told["id"], Part(told["over"]["version"], told["over"]["id"]))


def place_in(kept: Mapping[str, Any]) -> Place:
    """Return where a checkpoint is."""
    return Place(kept["thread"], kept["ns"])


def value_keys(kept: Mapping[str, Any]) -> set[str]:
    """Return the keys of the records in which the values of a checkpoint are, or will be if another one needs them."""
    place, keys = place_in(kept), set()
    for channel in kept["stored"]:
        part: Part | None = stored_part(kept, channel)
        while part is not None:
            keys.add(place.value(channel, part.version))
            part = part.over
    return keys
