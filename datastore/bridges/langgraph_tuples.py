"""What LangGraph gets of a checkpoint: a `CheckpointTuple`, made of the records that were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datastore import Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_finding import Whole
from datastore.bridges.langgraph_format import Part, Place, has_early_writes, known
from datastore.bridges.langgraph_parts import loading, remembered
from datastore.bridges.langgraph_thread import Context, configured
from datastore.bridges.langgraph_values import unpacked
from datastore.bridges.steps import Steps

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import CheckpointTuple, PendingWrite, writes_sort_key


def made_at_once(context: Context, place: Place, whole: Whole, stored: Mapping[str, Part]) -> CheckpointTuple | None:
    """Return what `made` does if nothing else must be read for it; ``None`` if something may have to be.

    Most loads are so: a run loads what it has put, or what it has loaded before.
    """
    kept = whole.kept
    if has_early_writes(kept) or (loaded := remembered(context, stored)) is None:
        return None
    writes = []
    for one, _ in applied((), whole.writes):
        if "blob" in one:
            return None
        writes.append((one["task"], one["channel"], unpacked(context.serde, one)))
    return made(context, place, kept, loaded, writes)


def made(
    context: Context, place: Place, kept: Mapping[str, Any], loaded: dict[str, Any], writes: list[PendingWrite]
) -> CheckpointTuple:
    """Return a checkpoint.

    Args:
        context: Has the serializer.
        place: Where it is.
        kept: The value of its record.
        loaded: Its values.
        writes: Its pending writes.
    """
    checkpoint: Any = kept["checkpoint"]
    config = configured(place, checkpoint["id"])
    checkpoint["channel_values"] = loaded  # what was read is this call's own
    metadata: Any = kept["metadata"]
    if "others" in kept:
        others = unpacked(context.serde, kept["others"])
        checkpoint, metadata = {**checkpoint, **others["checkpoint"]}, {**metadata, **others["metadata"]}
    parent = configured(place, kept["parent"]) if kept["parent"] else None
    return CheckpointTuple(config, checkpoint, metadata, parent, writes)


def loading_writes(context: Context, early: Sequence[Record], beside: Sequence[Record]) -> Steps[list[PendingWrite]]:
    """Return pending writes with their values, in the order in which a step applies them."""
    writes = []
    for one, record in applied(early, beside):
        value = one["json"] if "json" in one else (yield from loading(context, record))
        writes.append((one["task"], one["channel"], value))
    return writes


def applied(early: Sequence[Record], beside: Sequence[Record]) -> Iterable[tuple[dict[str, Any], Record]]:
    """Return pending writes, each with its record, in the order in which a step applies them.

    Of one that was put again after its checkpoint there are two: the first one counts, or of a special one the last.
    """
    if not early and len(beside) < 2:  # as with most checkpoints
        return [(known(record), record) for record in beside]
    kept: dict[tuple[str, int], tuple[dict[str, Any], Record]] = {}
    for records in (early, beside):
        for record in records:
            one = known(record)
            at = one["task"], one["index"]
            if at[1] < 0 or at not in kept:
                kept[at] = one, record
    return sorted(kept.values(), key=_order) if len(kept) > 1 else kept.values()


def _order(write: tuple[dict[str, Any], Record]) -> Any:
    return writes_sort_key(write[0]["path"], write[0]["task"], write[0]["index"])
