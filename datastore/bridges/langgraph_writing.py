"""What LangGraph's checkpointer writes: checkpoints, whose numbers fence, and the pending writes of tasks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from datastore import BatchError, ConflictError, Item, KeyExistsError, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_format import (
    CHECKPOINT,
    FORMAT,
    IN_A_RECORD,
    Place,
    blob_name,
    has_early_writes,
    known,
    number_in,
    place_of,
)
from datastore.bridges.langgraph_settling import NewValues
from datastore.bridges.langgraph_thread import HEAD, Context, Seen, Whole, configured, newest, numbered, numbered_so
from datastore.bridges.langgraph_values import packed, split_plain, without_tuples
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
    """Put a checkpoint, whose number is its claim, in one batch with what finds it and the values that it still needs.

    Requests: 1, and those of what is too large for it. 1 more for the first checkpoint after one that this process has
    not put, if the database tells what there was already only when asked. The first one of a branch asks 1 or 2 more.
    """
    place, checkpoint_id, configurable = place_of(config), str(checkpoint["id"]), config["configurable"]
    kept = _document(context, config, checkpoint, metadata)
    number, claimed = yield from _next_number(context, place, kept, may_branch=not configurable.get(HEAD))
    where = place, checkpoint_id
    if claimed and context.numbers.get(where) is None:
        context.numbers[where] = number  # for pending writes that come while it is put: if it fails, so have they
    if context.early.get(where):
        kept["early"] = True
    parent: Seen | None = context.seen.get((place, kept["parent"]))
    values = NewValues(context, place, parent, checkpoint, new_versions)
    kept["stored"], kept["values"] = values.told(), values.inside
    alone = yield from _beside(context, place, values)
    there = yield from adding(alone)
    before = [*(parent.owed if parent is not None else ()), *values.settled]
    entries = context.entries(place, number, kept)
    found_by = entries[0].key
    for _ in range(_TRIES):
        own = Item(place.checkpoint(number), kept, ttl=context.ttl)
        there |= yield from adding([*before, *entries, own])  # the last one is written last, wherever there is an order
        earlier: Record | None = None
        if found_by in there:  # it was put before, or was begun to be put; or pending writes came before it
            earlier = yield from _put_before(context, place, kept)
        if earlier is not None and (own.key in there or earlier.key != own.key):
            if own.key not in there:
                yield ask("delete", own.key)
            number = number_in(earlier.key)  # it replaces itself, and so keeps the pending writes beside it
            yield ask("set", earlier.key, kept, ttl=context.ttl)
            break
        if own.key not in there:
            if found_by in there:
                if "early" in kept:  # it may not have been known when it was put
                    yield ask("set", own.key, kept, ttl=context.ttl)
                yield ask("set", found_by, numbered(number), ttl=context.ttl)
            break
        if claimed:
            context.numbers.pop(where)
            yield from _removing([item for item in (*alone, *entries) if item.key not in there])
            raise ConflictError(
                "another worker has put a checkpoint to this thread since it was loaded: this run cannot go on. "
                "Load the thread again, and go on from there; to begin a branch, name the checkpoint_id"
            )
        number = yield from _free_number(context, place)
        yield ask("set", found_by, numbered(number), ttl=context.ttl)
        before, entries, there = [], (), set()
    else:
        raise ConflictError("others put checkpoints to this thread at each attempt: try again")
    context.numbers[where] = context.newest[place] = number
    context.seen[where] = Seen(kept["stored"], values.stored, frozenset(values.inside))
    values.remember()
    if parent is not None and parent.owed:
        context.seen[place, kept["parent"]] = replace(parent, owed=())
    if claimed:
        context.claims[where] = True
    return configured(place, checkpoint_id)


def _document(
    context: Context, config: Mapping[str, Any], checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is kept of a checkpoint: all but its values, as JSON as far as it is JSON."""
    place = place_of(config)
    metadata = get_serializable_checkpoint_metadata(cast(RunnableConfig, config), cast(CheckpointMetadata, metadata))
    plain, others = split_plain({key: value for key, value in checkpoint.items() if key != "channel_values"})
    kept = {
        "format": CHECKPOINT,
        "thread": place.thread,
        "ns": place.ns,
        "parent": config["configurable"].get("checkpoint_id") or None,
        "checkpoint": plain,
    }
    kept["metadata"], hidden = split_plain(without_tuples(metadata))
    if others or hidden:
        rest = {"checkpoint": others, "metadata": hidden}
        kept["others"] = packed(context.serde, rest, context.serde.dumps_typed(rest))
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
            number = known(entry).get("number") if entry is not None else None
        if number is not None:
            return number + 1, not may_branch or bool(context.claims.get((place, parent)))
    return (yield from _free_number(context, place)), False


def _free_number(context: Context, place: Place) -> Steps[int]:
    found: Whole | None = yield from newest(context, place)
    return found.number + 1 if found is not None else 1


def _put_before(context: Context, place: Place, kept: dict[str, Any]) -> Steps[Record | None]:
    """Return a checkpoint as it was put before; and note in what is kept of it if pending writes came before it."""
    checkpoint_id = kept["checkpoint"]["id"]
    entry: Record | None = yield ask("get_record", place.number(checkpoint_id))
    number = known(entry).get("number") if entry is not None else None
    if number is None:
        kept["early"] = True
    found: Whole | None = yield from (newest(context, place) if number is None else numbered_so(place, number))
    if found is None or known(found.record)["checkpoint"]["id"] != checkpoint_id:
        return None
    if has_early_writes(known(found.record)):
        kept["early"] = True
    return found.record


def _beside(context: Context, place: Place, values: NewValues) -> Steps[list[Item]]:
    """Return the records of new values that are too large to stand in the checkpoint."""
    items = []
    for channel, kept in values.beside.items():
        items.append((yield from _item(context, place, values.key(channel), kept)))
    return items


def _removing(items: Sequence[Item]) -> Steps[None]:
    yield ask("delete_many", [item.key for item in items])
    for item in items:
        if "blob" in item.value:
            yield ask("blobs.delete", item.value["blob"], grace=0)


def _item(context: Context, place: Place, key: str, kept: dict[str, Any], **more: Any) -> Steps[Item]:
    if len(kept.get("base64", "")) > IN_A_RECORD:
        name, data = blob_name(place.thread, key), kept.pop("base64")
        yield ask("blobs.put", name, data.encode(), metadata={"key": key}, ttl=context.ttl, grace=0)
        kept["blob"] = name
    return Item(key, {"format": FORMAT, **more, **kept}, ttl=context.ttl)


def adding(items: Iterable[Item]) -> Steps[set[str]]:
    """Add records, and return the keys of those that there were already."""
    batch = list({item.key: item for item in items}.values())
    if not batch:
        return set()
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

    Requests: 1; 2 if there are writes of both kinds; 1 or 2 more for a checkpoint that this process has neither put nor
        read.
    """
    place, checkpoint_id = place_of(config), str(config["configurable"]["checkpoint_id"])
    if not writes:
        return
    number = yield from _number_for_writes(context, place, checkpoint_id)
    once: dict[str, Item] = {}
    last: dict[str, Item] = {}
    for position, (channel, value) in enumerate(writes):
        index = WRITES_IDX_MAP.get(channel, position)
        if number is not None:
            key = place.write(number, task_id, index)
        else:
            key = place.early_write(checkpoint_id, task_id, index)
        told = {"checkpoint": checkpoint_id, "task": task_id, "path": task_path, "index": index, "channel": channel}
        kept = packed(context.serde, value, context.serde.dumps_typed(value))
        item = yield from _item(context, place, key, kept, **told)
        (last if index < 0 else once)[key] = item
    if once:
        yield from adding(once.values())
    if last:
        yield ask("set_many", last.values())


def _number_for_writes(context: Context, place: Place, checkpoint_id: str) -> Steps[int | None]:
    """Return the number of the checkpoint that has pending writes; ``None`` if it has not been put.

    Then this is noted where its number will be, and so seen by whoever puts it: the database decides who was first.
    """
    where = place, checkpoint_id
    number: int | None = context.numbers.get(where)
    if number is not None or context.early.get(where):
        return number
    key = place.number(checkpoint_id)
    if (yield from adding([Item(key, {"format": FORMAT, "early": True}, ttl=context.ttl)])):
        entry: Record | None = yield ask("get_record", key)
        number = known(entry).get("number") if entry is not None else None
    if number is None:
        context.early[where] = True
    else:
        context.numbers[where] = number
    return number
