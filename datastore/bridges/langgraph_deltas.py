"""What delta channels of LangGraph are made of: the writes since a value of a channel was stored, and this value.

A delta channel is not stored with each checkpoint: its value is a stored one of an ancestor, with the writes since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datastore import DamagedRecordError, Page, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_finding import Whole, finding, newest, wholes
from datastore.bridges.langgraph_format import Place, known, place_of, stored_part
from datastore.bridges.langgraph_parts import Values
from datastore.bridges.langgraph_reading import reading, renewing
from datastore.bridges.langgraph_thread import Context
from datastore.bridges.langgraph_tuples import loading_writes
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import DeltaChannelHistory

_PAGE = 200


def delta_history(
    context: Context, config: Mapping[str, Any], channels: Sequence[str]
) -> Steps[dict[str, DeltaChannelHistory]]:
    """Return the writes of each channel on the way to a checkpoint, since a value of it was stored, and this value.

    Requests: 3 for up to 200 ancestors and pending writes, and 1 for each 200 more.

    Raises:
        DamagedRecordError: If ancestors that are needed were deleted: what is left of a channel would be wrong.
    """
    if not channels:
        return {}
    place = place_of(config)
    named = config["configurable"].get("checkpoint_id")
    target: Whole | None = yield from (finding(context, place, str(named)) if named else newest(context, place))
    if target is None:
        return {channel: {"writes": []} for channel in channels}
    path, seeds = yield from ancestors(place, target.record, channels)
    since = {channel: seeds.get(channel, path[-1] if path else None) for channel in channels}
    values = Values(context)
    parts = {channel: stored_part(known(at.record), channel) for channel, at in seeds.items()}
    for channel, at in seeds.items():
        values.need(known(at.record), {channel: parts[channel]})
    there, early = yield from reading(context, values, [known(whole.record) for whole in path])
    if context.ttl is not None:
        written = [one for whole in path for one in whole.writes] + [one for some in early.values() for one in some]
        yield from renewing(context, [*(whole.record for whole in path), *written])
    history: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
    going = set()
    for whole in reversed(path):
        going |= {channel for channel, at in since.items() if at is whole}
        before = early.get((place, known(whole.record)["checkpoint"]["id"]), ())
        for write in (yield from loading_writes(context, before, whole.writes)):
            if write[1] in going:
                history[write[1]]["writes"].append(write)
    for channel, at in seeds.items():
        history[channel]["seed"] = yield from values.value(known(at.record), channel, parts[channel], there)
    return history


def ancestors(place: Place, target: Record, channels: Iterable[str]) -> Steps[tuple[list[Whole], dict[str, Whole]]]:
    """Return the way back from a checkpoint, until each channel has a stored value, and where it has it."""
    kept = known(target)
    wanted, left = kept["parent"], set(channels)
    needed = left & kept["checkpoint"]["channel_versions"].keys()
    path: list[Whole] = []
    seeds: dict[str, Whole] = {}
    writes: list[Record] = []
    cursor: str | None = None
    while wanted and left:
        page: Page = yield ask("scan", place.checkpoints, end=target.key, reverse=True, limit=_PAGE, cursor=cursor)
        for whole in wholes(page.records, writes):
            one = known(whole.record)
            if one["checkpoint"]["id"] != wanted or not left:
                continue  # it is on another branch
            path.append(whole)
            for channel in left.intersection(one["stored"]):
                seeds[channel] = whole
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
