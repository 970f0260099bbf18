"""What LangGraph's checkpointer writes: checkpoints, whose numbers fence, and the pending writes of tasks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from datastore import BatchError, ConflictError, Item, KeyExistsError, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_format import (
    FORMAT,
    IN_A_RECORD,
    Place,
    blob_name,
    known,
    packed,
    place_of,
    split_plain,
    without_tuples,
)
from datastore.bridges.langgraph_thread import HEAD, Context, configured, finding, number_of, run_of
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointMetadata, get_serializable_checkpoint_metadata

_TRIES = 20
"""How often the first checkpoint of a branch looks for a free number, while others put theirs."""


def next_version(current: str | int | None) -> str:
    """Return a version after this one, which no branch of the thread gives to another value.

    It has the form of LangGraph's own: a number of 32 digits, and a random part, so that versions sort as text.
    """
    number = int(str(current).partition(".")[0]) if current is not None else 0
    return f"{number + 1:032}.{random.random():016}"


def putting(
    context: Context,
    config: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    metadata: Mapping[str, Any],
    new_versions: Mapping[str, Any],
) -> Steps[RunnableConfig]:
    """Put a checkpoint: first its values and where it is found, then the checkpoint itself, whose number is its claim.

    Requests: 2, and those of large values, which are blobs. The first one of a branch asks 1 or 2 more.
    """
    place, checkpoint_id, configurable = place_of(config), str(checkpoint["id"]), config["configurable"]
    kept = _document(context, config, checkpoint, metadata)
    number, claimed = yield from _next_number(context, place, kept, may_branch=not configurable.get(HEAD))
    items = yield from _values(context, place, checkpoint, new_versions)
    items.append(Item(place.number(checkpoint_id), numbered(number), ttl=context.ttl))
    if (run := run_of(kept["metadata"])) is not None:
        at = {"format": FORMAT, "thread": place.thread, "ns": place.ns, "id": checkpoint_id}
        items.append(Item(place.run(run, checkpoint_id), at, ttl=context.ttl))
    there = yield from adding(items)
    if place.number(checkpoint_id) in there:  # it was put before, or whoever began to put it did not come to an end
        earlier = yield from finding(context, place, checkpoint_id)
        if earlier is not None:
            yield ask("set", earlier.key, kept, ttl=context.ttl)
            return configured(place, checkpoint_id)
        yield ask("set", place.number(checkpoint_id), numbered(number), ttl=context.ttl)
    for _ in range(_TRIES):
        try:
            yield ask("add", place.checkpoint(number), kept, ttl=context.ttl)
        except KeyExistsError as error:
            if claimed:
                yield ask("delete_many", [item.key for item in items if item.key not in there])
                raise ConflictError(
                    "another worker has put a checkpoint to this thread since it was loaded: this run cannot go on. "
                    "Load the thread again, and go on from there; to begin a branch, name the checkpoint_id"
                ) from error
        else:
            context.numbers[place, checkpoint_id] = number
            if claimed:
                context.claims[place, checkpoint_id] = True
            return configured(place, checkpoint_id)
        newest = yield ask("last", place.checkpoints)
        number = number_of(newest) + 1 if newest is not None else 1
        yield ask("set", place.number(checkpoint_id), numbered(number), ttl=context.ttl)
    raise ConflictError("others put checkpoints to this thread at each attempt: try again")


def numbered(number: int) -> dict[str, int]:
    """What is kept under the id of a checkpoint."""
    return {"format": FORMAT, "number": number}


def _document(
    context: Context, config: Mapping[str, Any], checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is kept of a checkpoint: all but its values, as JSON as far as it is JSON."""
    place = place_of(config)
    metadata = get_serializable_checkpoint_metadata(cast(RunnableConfig, config), cast(CheckpointMetadata, metadata))
    plain, others = split_plain({key: value for key, value in checkpoint.items() if key != "channel_values"})
    kept = {
        "format": FORMAT,
        "thread": place.thread,
        "ns": place.ns,
        "parent": config["configurable"].get("checkpoint_id") or None,
        "checkpoint": plain,
        "stored": sorted(checkpoint["channel_values"].keys() & checkpoint["channel_versions"].keys()),
    }
    kept["metadata"], hidden = split_plain(without_tuples(metadata))
    if others or hidden:
        kept["others"] = packed(context.serde, {"checkpoint": others, "metadata": hidden})
    return kept


def _next_number(
    context: Context, place: Place, kept: Mapping[str, Any], *, may_branch: bool
) -> Steps[tuple[int, bool]]:
    """Return the number that a checkpoint is put under, and whether it must be this one."""
    parent = kept["parent"]
    if parent is None:
        if context.empty.get(place) and kept["metadata"].get("source") != "fork":
            return 1, True
    else:
        number = context.numbers.get((place, parent))
        if number is None:
            entry: Record | None = yield ask("get_record", place.number(parent))
            number = known(entry)["number"] if entry is not None else None
        if number is not None:
            return number + 1, not may_branch or bool(context.claims.get((place, parent)))
    newest: Record | None = yield ask("last", place.checkpoints)
    return (number_of(newest) + 1 if newest is not None else 1), False


def _values(
    context: Context, place: Place, checkpoint: Mapping[str, Any], new_versions: Mapping[str, Any]
) -> Steps[list[Item]]:
    """Return the records of the values that are new. Those that are too large for one are put as blobs."""
    items = []
    for channel, version in new_versions.items():
        if channel in checkpoint["channel_values"]:
            kept = packed(context.serde, checkpoint["channel_values"][channel])
            items.append((yield from _item(context, place, place.value(channel, version), kept)))
    return items


def _item(context: Context, place: Place, key: str, kept: dict[str, Any], **more: Any) -> Steps[Item]:
    if len(kept.get("base64", "")) > IN_A_RECORD:
        name, data = blob_name(place.thread, key), kept.pop("base64")
        yield ask("blobs.put", name, data.encode(), metadata={"key": key}, ttl=context.ttl, grace=0)
        kept["blob"] = name
    return Item(key, {"format": FORMAT, **more, **kept}, ttl=context.ttl)


def adding(items: Iterable[Item]) -> Steps[set[str]]:
    """Add records, and return the keys of those that there were already."""
    batch = list(items)
    try:
        yield ask("add_many", batch)
    except BatchError as error:
        for failed in error.failed.values():
            if not isinstance(failed, KeyExistsError):
                raise failed from error
        return set(error.failed)
    return set()


def putting_writes(
    context: Context, config: Mapping[str, Any], writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
) -> Steps[None]:
    """Keep what a task has written: a write of a channel once, a special one such as an error as the last one says.

    Requests: 1; 2 if there are writes of both kinds.
    """
    place, checkpoint_id = place_of(config), str(config["configurable"]["checkpoint_id"])
    once: dict[str, Item] = {}
    last: dict[str, Item] = {}
    for position, (channel, value) in enumerate(writes):
        index = WRITES_IDX_MAP.get(channel, position)
        key = place.write(checkpoint_id, task_id, index)
        told = {"checkpoint": checkpoint_id, "task": task_id, "path": task_path, "index": index, "channel": channel}
        item = yield from _item(context, place, key, packed(context.serde, value), **told)
        (last if index < 0 else once)[key] = item
    if once:
        yield from adding(once.values())
    if last:
        yield ask("set_many", last.values())
