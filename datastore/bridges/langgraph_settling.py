"""Where the values of a checkpoint that is put are kept: new ones in it, older ones in records of their own."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any

from datastore import Item
from datastore.bridges.langgraph_format import FORMAT, IN_A_RECORD, Part, Place
from datastore.bridges.langgraph_thread import Context, Seen
from datastore.bridges.langgraph_values import Same, Serialised, difference, packed, packed_size

_ID_BYTES = 9


class NewValues:
    """Sorts the values of a checkpoint.

    Args:
        context: What the saver knows.
        place: The thread.
        parent: What is known of the checkpoint that this one follows; ``None`` if nothing is: then what is not new is
            stored as if it were, since nobody knows whether it is in a record.
        checkpoint: The checkpoint.
        new: The versions of the channels that are new with it.
    """

    def __init__(
        self,
        context: Context,
        place: Place,
        parent: Seen | None,
        checkpoint: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:
        self._context, self._place = context, place
        self._parent = parent or Seen({}, {}, frozenset())
        self._values: Mapping[str, Any] = checkpoint["channel_values"]
        self._serialised: dict[str, Serialised] = {}
        self._room = IN_A_RECORD
        self.stored: dict[str, Part] = {}
        self.inside: dict[str, dict[str, Any]] = {}
        """What is kept in the checkpoint, by channel."""
        self.beside: dict[str, dict[str, Any]] = {}
        """What is too large for that, and is there before the checkpoint is."""
        self.settled: list[Item] = []
        """Records of values that were in the checkpoint before."""
        versions = checkpoint["channel_versions"]
        for channel in sorted(self._values.keys() & versions.keys()):
            part = self._parent.stored.get(channel)
            if part is None or part.version != versions[channel] or new.get(channel) == part.version:
                self._add(channel, versions[channel])
            elif channel not in self._parent.inside or self._settle(channel, part):
                self.stored[channel] = part
            else:
                self._add(channel, part.version)

    def key(self, channel: str) -> str:
        """The key of the record of a value."""
        return self._place.value(channel, self.stored[channel].version)

    def told(self) -> dict[str, Any]:
        """Return what the checkpoint says of its values."""
        return {channel: part.told() for channel, part in self.stored.items()}

    def remember(self) -> None:
        """Remember what was stored."""
        for channel, serialised in self._serialised.items():
            self._context.parts[self.stored[channel].id] = serialised
        for channel, kept in self.inside.items():
            self._context.packed[self.stored[channel].id] = kept

    def _add(self, channel: str, version: Any) -> None:
        value = self._values[channel]
        serialised = self._serialised[channel] = self._context.serde.dumps_typed(value)
        over, same = self._earlier(channel, serialised)
        self.stored[channel] = Part(version, token_urlsafe(_ID_BYTES), over)
        kept = packed(self._context.serde, value, serialised, same)
        size = packed_size(kept, serialised)
        if size <= self._room:
            self._room -= size
            self.inside[channel] = kept
        else:
            self.beside[channel] = kept

    def _earlier(self, channel: str, serialised: Serialised) -> tuple[Part | None, Same | None]:
        """Return an earlier value that this one is nearly the same as: one that is kept whole, and is remembered."""
        before = self._parent.stored.get(channel)
        if before is None:
            return None, None
        whole = before.over or before
        remembered: Serialised | None = self._context.parts.get(whole.id)
        if remembered is None or remembered[0] != serialised[0]:
            return None, None
        same = difference(remembered[1], serialised[1])
        if same is None or (whole is before and channel in self._parent.inside and not self._settle(channel, whole)):
            return None, None
        return whole, same

    def _settle(self, channel: str, part: Part) -> bool:
        """Put a value of the checkpoint before into a record, if it is remembered."""
        kept = self._context.packed.get(part.id)
        if kept is not None:
            key = self._place.value(channel, part.version)
            self.settled.append(Item(key, {"format": FORMAT, **kept}, ttl=self._context.ttl))
        return kept is not None
