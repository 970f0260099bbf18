"""How LangGraph's checkpointer puts the pending writes of tasks: beside their checkpoint, or before it has a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datastore import Item, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_format import FORMAT, Place, known, place_of
from datastore.bridges.langgraph_thread import Context
from datastore.bridges.langgraph_values import packed
from datastore.bridges.langgraph_writing import adding, item_of
from datastore.bridges.steps import Steps, ask

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import WRITES_IDX_MAP


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
        item = yield from item_of(context, place, key, kept, **told)
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
