"""Where the values of LangGraph's checkpoints are read from: this process, the checkpoint itself, records, and blobs.

A checkpoint holds the values that were new with it. The next checkpoint that still has one of them puts it into a
record of its own, in the batch in which it is put itself. A database may store half of such a batch, if who sends it is
cut off: then the value is still in the checkpoint before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from datastore import DamagedRecordError, Record
from datastore.bridges.langgraph_finding import finding
from datastore.bridges.langgraph_format import Part, Place, known, place_in, stored_part
from datastore.bridges.langgraph_thread import Context, Seen
from datastore.bridges.langgraph_values import Serialised, serialised_of, unpacked
from datastore.bridges.steps import Steps, ask

_BACK = 10
_UNCHANGING = frozenset({str, bytes, int, float, bool})
_MEMBERS = 10_000
"""Of a longer list nothing is remembered decoded: it would push everything else out."""


def _held(value: Any) -> Any:
    """Return what is remembered of a value, to hand it out again and again; ``None`` if nothing can be.

    It is the value itself if nobody can change it. Of a list of such it is a tuple, and each gets a list of their own.
    """
    kind = type(value)
    if kind is list and len(value) <= _MEMBERS and _UNCHANGING.issuperset(map(type, value)):
        return tuple(value)
    return value if kind in _UNCHANGING else None


def stored_in(context: Context, where: tuple[Place, str], kept: Mapping[str, Any]) -> Mapping[str, Part]:
    """Return what a checkpoint, which has a place and an id, names its values, by channel."""
    seen: Seen | None = context.seen.get(where)
    if seen is not None and seen.told == kept["stored"]:
        return seen.stored
    return {channel: stored_part(kept, channel) for channel in kept["stored"]}


def remembered(context: Context, stored: Mapping[str, Part]) -> dict[str, Any] | None:
    """Return the values of a checkpoint if this process remembers all of them, and need not read them to keep them on.

    Most loads are so: a run loads what it has put, or what it has loaded before.
    """
    if context.ttl is not None:
        return None
    load, unchanging, serialised = context.serde.loads_typed, context.unchanging.get, context.parts.get
    loaded: dict[str, Any] = {}
    for channel, part in stored.items():
        value = unchanging(part.id)
        if value is None:
            found = serialised(part.id)
            if found is None:
                return None
            value = load(found)
            if (held := _held(value)) is not None:
                context.unchanging[part.id] = held
        elif type(value) is tuple:
            value = list(value)
        loaded[channel] = value
    return loaded


class Values:
    """The values of some checkpoints: which records they need, and what they are once these were read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.known: dict[str | None, Serialised] = {}
        """What was remembered, by the id of a `Part`. It may be forgotten before it is used."""
        self.keys: list[str] = []
        """The records that are needed: of what is remembered none, unless reading it keeps it on."""

    def need(self, kept: Mapping[str, Any], stored: Mapping[str, Part]) -> None:
        """Note that some values of a checkpoint are needed, by what it names them."""
        remembered = self._context.parts.get
        for channel, part in stored.items():
            found = remembered(part.id)
            if found is not None and self._context.ttl is None:
                self.known[part.id] = found
            else:
                self._need(kept, channel, part)

    def _need(self, kept: Mapping[str, Any], channel: str, part: Part) -> None:
        inside = channel in kept.get("values", ())
        needed: Part | None = part
        while needed is not None:
            remembered = self._context.parts.get(needed.id)
            if remembered is not None:
                self.known[needed.id] = remembered
                if self._context.ttl is None:
                    return
            if not inside:
                self.keys.append(place_in(kept).value(channel, needed.version))
            needed, inside = needed.over, False

    def all_of(
        self, kept: Mapping[str, Any], stored: Mapping[str, Part], records: Mapping[str, Record]
    ) -> Steps[dict[str, Any]]:
        """Return what `need` has noted of a checkpoint, by the records that were read."""
        load, remembered, unchanging = self._context.serde.loads_typed, self.known.get, self._context.unchanging
        loaded: dict[str, Any] = {}
        for channel, part in stored.items():
            value = unchanging.get(part.id)
            if value is not None:
                loaded[channel] = list(value) if type(value) is tuple else value
                continue
            found = remembered(part.id)
            if found is None:
                found = yield from self._serialised(kept, channel, part, records)
            value = loaded[channel] = load(found)
            if part.id is not None and (held := _held(value)) is not None:
                unchanging[part.id] = held
        return loaded

    def value(self, kept: Mapping[str, Any], channel: str, part: Part, records: Mapping[str, Record]) -> Steps[Any]:
        """Return the value of a channel, by the records that were read."""
        found = yield from self._serialised(kept, channel, part, records)
        return self._context.serde.loads_typed(found)

    def _serialised(
        self, kept: Mapping[str, Any], channel: str, part: Part, records: Mapping[str, Record]
    ) -> Steps[Serialised]:
        remembered = self.known.get(part.id)
        if remembered is not None:
            return remembered
        packed: Mapping[str, Any] | None = None
        if part.version == kept["checkpoint"]["channel_versions"][channel]:
            packed = kept.get("values", {}).get(channel)
        if packed is None:
            key = place_in(kept).value(channel, part.version)
            record = records.get(key) or (yield ask("get_record", key))
            if record is None:
                found = yield from self._left_behind(kept, channel, part.version, key)
                if part.id is not None:
                    self.known[part.id] = found
                return found
            packed = yield from _with_blob(known(record), key)
        earlier = None
        if part.over is not None:
            _, earlier = yield from self._serialised(kept, channel, part.over, records)
        found = serialised_of(self._context.serde, packed, earlier)
        if part.id is not None:
            self.known[part.id] = self._context.parts[part.id] = found
        return found

    def _left_behind(self, kept: Mapping[str, Any], channel: str, version: Any, key: str) -> Steps[Serialised]:
        """Return a value whose record is missing, from a checkpoint before this one: 2 requests for each looked at.

        It is not remembered, and whoever goes on from this checkpoint stores it anew.
        """
        where = place_in(kept), kept["checkpoint"]["id"]
        seen: Seen | None = self._context.seen.get(where)
        if seen is not None:
            stored = {name: part for name, part in seen.stored.items() if name != channel}
            self._context.seen[where] = replace(seen, stored=stored)
        for _ in range(_BACK):
            parent = (yield from finding(self._context, place_in(kept), kept["parent"])) if kept["parent"] else None
            if parent is None:
                break
            kept = known(parent.record)
            if channel in kept.get("values", ()) and stored_part(kept, channel).version == version:
                return (yield from self._serialised(kept, channel, stored_part(kept, channel), {}))
        raise DamagedRecordError(f"a checkpoint names the record {key!r}, and there is none")


def loading(context: Context, record: Record) -> Steps[Any]:
    """Return what a record holds that is kept whole, or the blob that it names."""
    kept = yield from _with_blob(known(record), record.key)
    return unpacked(context.serde, kept)


def _with_blob(kept: dict[str, Any], key: str) -> Steps[dict[str, Any]]:
    if "blob" not in kept:
        return kept
    data: bytes | None = yield ask("blobs.get", kept["blob"])
    if data is None:
        raise DamagedRecordError(f"the record {key!r} names a blob, and there is none")
    return {**kept, "base64": data}
