"""What delta channels of LangGraph are made of: the writes since a value of a channel was stored, and this value.

A delta channel is not stored with each checkpoint: its value is a stored one of an ancestor, with the writes since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datastore import DamagedRecordError, Page, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_format import Place, known, place_of
from datastore.bridges.langgraph_parts import Values
from datastore.bridges.langgraph_reading import asking_writes, loading_writes, renewing
from datastore.bridges.langgraph_thread import Context, finding
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import DeltaChannelHistory

_ANCESTORS = 100


def delta_history(
    context: Context, config: Mapping[str, Any], channels: Sequence[str]
) -> Steps[dict[str, DeltaChannelHistory]]:
    """Return the writes of each channel on the way to a checkpoint, since a value of it was stored, and this value.

    Requests: 3 for up to 100 ancestors, and 1 for each 100 more.

    Raises:
        DamagedRecordError: If ancestors that are needed were deleted: what is left of a channel would be wrong.
    """
    if not channels:
        return {}
    place = place_of(config)
    named = config["configurable"].get("checkpoint_id")
    target: Record | None
    if named:
        target = yield from finding(context, place, str(named))
    else:
        target = yield ask("last", place.checkpoints)
    if target is None:
        return {channel: {"writes": []} for channel in channels}
    path, seeds = yield from ancestors(place, target, channels)
    since = {channel: seeds.get(channel, path[-1] if path else None) for channel in channels}
    written: dict[str, list[Record]] = {}
    values, parts, there = Values(context), {}, {}
    if path:
        ids = [known(record)["checkpoint"]["id"] for record in path]
        parts = {channel: values.need(known(at), [channel])[channel] for channel, at in seeds.items()}
        there, page = yield [ask("get_records", values.keys), asking_writes(place, ids)]
        for record in page.records:
            if known(record)["checkpoint"] in ids:
                written.setdefault(known(record)["checkpoint"], []).append(record)
        yield from renewing(context, [*path, *there.values(), *(one for some in written.values() for one in some)])
    history: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    going = set()
    for record in reversed(path):
        going |= {channel for channel, at in since.items() if at is record}
        for write in (yield from loading_writes(context, written.get(known(record)["checkpoint"]["id"], []))):
            if write[1] in going:
                history[write[1]]["writes"].append(write)
    for channel, at in seeds.items():
        history[channel]["seed"] = yield from values.value(known(at), channel, parts[channel], there)
    return history


def ancestors(place: Place, target: Record, channels: Iterable[str]) -> Steps[tuple[list[Record], dict[str, Record]]]:
    """Return the way back from a checkpoint, until each channel has a stored value, and where it has it."""
    kept = known(target)
    wanted, left = kept["parent"], set(channels)
    needed = left & kept["checkpoint"]["channel_versions"].keys()
    path: list[Record] = []
    seeds: dict[str, Record] = {}
    cursor: str | None = None
    while wanted and left:
        page: Page = yield ask("scan", place.checkpoints, end=target.key, reverse=True, limit=_ANCESTORS, cursor=cursor)
        for record in page.records:
            one = known(record)
            if one["checkpoint"]["id"] != wanted or not left:
                continue  # it is on another branch
            path.append(record)
            for channel in left.intersection(one["stored"]):
                seeds[channel] = record
            left -= seeds.keys()
            wanted = None if one.get("pruned") else one["parent"]
        cursor = page.cursor
        if cursor is None:
            break
    if wanted and left & needed:
        raise DamagedRecordError(
            f"{len(left & needed)} delta channels of this checkpoint need an ancestor that is gone: it was deleted "
            "with its run, or has expired"
        )
    return path, seeds
