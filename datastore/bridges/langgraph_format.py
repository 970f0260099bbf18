"""How checkpoints of LangGraph are kept: the keys, and what is under them. See ``docs/bridges/langgraph.md``."""

from __future__ import annotations

import math
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from datastore import DamagedRecordError, InvalidNameTypeError, Record, UnsupportedError
from datastore.bridges.extras import needs

with needs("LangGraph", "langgraph"):
    from langchain_core.messages import BaseMessage
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

FORMAT = 1
IN_A_RECORD = 700_000
"""The most characters of a value that stand in a record, which may take 1,000,000 bytes; a larger value is a blob."""
_READABLE = 4_096
"""Up to how many serialised bytes a plain value is kept as JSON, for people: to check what is plain takes its time."""
_SQUEEZED = 256
"""From how many bytes on compression is tried."""
_SHOWN = 200
_LONG = re.compile(r"~[0-9a-f]{32}\Z")


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


@dataclass(frozen=True)
class Place:
    """A thread and a checkpoint namespace, with the keys of what is kept for them."""

    thread: str
    ns: str

    @property
    def _path(self) -> str:
        return f"{part(self.thread)}/{part(self.ns)}/"

    @property
    def checkpoints(self) -> str:
        """The prefix of the checkpoints, in the order in which they were put."""
        return f"checkpoint/{self._path}"

    def checkpoint(self, number: int) -> str:
        return f"{self.checkpoints}{number:012}"

    @property
    def numbers(self) -> str:
        return f"number/{self._path}"

    def number(self, checkpoint_id: str) -> str:
        """The key under which the number of a checkpoint is found by its id."""
        return f"{self.numbers}{part(checkpoint_id, 64)}"

    @property
    def values(self) -> str:
        return f"value/{self._path}"

    def value(self, channel: str, version: object) -> str:
        return f"{self.values}{part(channel)}/{part(str(version), 64)}"

    @property
    def every_write(self) -> str:
        return f"write/{self._path}"

    def writes(self, checkpoint_id: str) -> str:
        """The prefix of the pending writes of a checkpoint."""
        return f"{self.every_write}{part(checkpoint_id, 64)}/"

    def write(self, checkpoint_id: str, task: str, index: int) -> str:
        return f"{self.writes(checkpoint_id)}{part(task, 64)}/{index:04}"

    def run(self, run_id: str, checkpoint_id: str) -> str:
        return f"{run_prefix(run_id)}{part(self.thread)}/{part(self.ns)}/{part(checkpoint_id, 64)}"


KINDS = ("checkpoint", "number", "value", "write")
"""The first parts of the keys under which a thread is kept; the second part is the thread."""


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
    if number != FORMAT:
        raise UnsupportedError(
            f"the record {record.id} has format {number} of checkpoints, and this version reads {FORMAT}: "
            "upgrade agent-datastore where it is read"
        )
    return dict(value)


def packed(serde: SerializerProtocol, value: Any) -> dict[str, Any]:
    """Return what is kept of a value: JSON where it is small and plain, else what the serializer makes of it.

    What another serializer makes, an encrypting one before all, is kept as it is, and nothing of it is shown.
    """
    kind, data = serde.dumps_typed(value)
    ours = isinstance(serde, JsonPlusSerializer)
    if ours and len(data) <= _READABLE and _is_plain(value):
        return {"json": value}
    kept: dict[str, Any] = {"type": kind}
    if len(data) >= _SQUEEZED and len(squeezed := zlib.compress(data, 1)) < len(data) * 0.9:
        kept["zlib"], data = True, squeezed
    kept["base64"] = b64encode(data).decode()
    if ours and (text := _shown(value)):
        kept["shows"] = text
    return kept


def unpacked(serde: SerializerProtocol, kept: Mapping[str, Any]) -> Any:
    """Return the value of which `packed` has made what is kept."""
    if "json" in kept:
        return kept["json"]
    data = b64decode(kept["base64"])
    return serde.loads_typed((kept["type"], zlib.decompress(data) if kept.get("zlib") else data))


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON that comes back as it is, type for type."""
    kind = type(value)
    if kind is str:
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return depth < 50 and all(_is_plain(one, depth + 1) for one in value)
    if kind is dict:
        return depth < 50 and all(type(k) is str and _is_plain(k) and _is_plain(v, depth + 1) for k, v in value.items())
    return value is None or kind is bool or (kind is int and abs(value) < 1 << 64)


def _shown(value: Any) -> str | None:
    """Return the last message of a value, for people who look at the record."""
    message = value[-1] if isinstance(value, list) and value else value
    if not isinstance(message, BaseMessage):
        return None
    text = f"{message.type}: {message.text}".encode("utf-8", "ignore").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def split_plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members that are JSON, which can be read and searched, and the others."""
    plain = {key: value for key, value in values.items() if _is_plain(key) and _is_plain(value)}
    return plain, {key: value for key, value in values.items() if key not in plain}


def without_tuples(value: Any) -> Any:
    """Return metadata as JSON has it: lists in place of tuples."""
    if isinstance(value, Mapping):
        return {key: without_tuples(member) for key, member in value.items()}
    return [without_tuples(member) for member in value] if isinstance(value, list | tuple) else value
