"""How LangGraph's checkpointer keeps threads small, copies them, and removes them.

These calls read what they remove or copy, and nothing else of a user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datastore import Blob, InvalidValueError, Item, KeyExistsError, Page, Record
from datastore.bridges.langgraph_deltas import ancestors
from datastore.bridges.langgraph_format import (
    FORMAT,
    KINDS,
    Place,
    blob_name,
    blob_prefix,
    is_checkpoint,
    known,
    number_in,
    part,
    run_prefix,
    stored_part,
    value_keys,
)
from datastore.bridges.langgraph_thread import Context, Whole, finding, run_entry, run_of
from datastore.bridges.langgraph_writing import adding
from datastore.bridges.steps import Steps, ask

_PAGE = 200
_STRATEGIES = ("keep_latest", "delete")


def deleting(context: Context, thread: str) -> Steps[None]:
    """Remove a thread: its checkpoints first, so that whatever is interrupted leaves nothing that can be loaded."""
    thread = str(thread)
    runs: list[str] = []
    for record in (yield from _checkpoints(f"checkpoint/{part(thread)}/")):
        runs += _run_keys(record)
    for kind in KINDS:
        yield ask("clear", f"{kind}/{part(thread)}/")
    yield from _deleting_keys(runs)
    blobs: list[Blob] = yield ask("blobs.list", blob_prefix(thread))
    for blob in blobs:
        yield ask("blobs.delete", blob.name, grace=0)


def deleting_runs(context: Context, run_ids: Sequence[str]) -> Steps[None]:
    """Remove the checkpoints of runs with their pending writes, and the values that only they have."""
    for run_id in run_ids:
        entries: list[Record] = yield from _all(run_prefix(str(run_id)))
        by_place: dict[Place, list[Record]] = {}
        for entry in entries:
            at = known(entry)
            place = Place(at["thread"], at["ns"])
            whole: Whole | None = yield from finding(context, place, at["id"])
            if whole is not None:
                by_place.setdefault(place, []).append(whole.record)
        for place, removed in by_place.items():
            keys = {record.key for record in removed}
            left = [record for record in (yield from _checkpoints(place.checkpoints)) if record.key not in keys]
            yield from _removing(context, place, removed, left)
        yield from _deleting_keys([entry.key for entry in entries])


def pruning(context: Context, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
    """Keep of each thread the newest checkpoint of each namespace, with the ancestors that its delta channels need."""
    if strategy not in _STRATEGIES:
        raise InvalidValueError(f"strategy is none that there is; choose one of {', '.join(_STRATEGIES)}")
    for thread in map(str, thread_ids):
        if strategy == "delete":
            yield from deleting(context, thread)
            continue
        by_place: dict[Place, list[Record]] = {}
        for record in (yield from _checkpoints(f"checkpoint/{part(thread)}/")):
            by_place.setdefault(Place(thread, known(record)["ns"]), []).append(record)
        for place, records in by_place.items():
            yield from _pruning(context, place, records)


def _pruning(context: Context, place: Place, records: list[Record]) -> Steps[None]:
    newest = records[-1]
    document = known(newest)
    deltas = document["checkpoint"]["channel_versions"].keys() - set(document["stored"])
    counted = document["metadata"].get("counters_since_delta_snapshot") or {}
    path, _ = yield from ancestors(place, newest, deltas & set(counted))
    kept = {whole.record.key for whole in path} | {newest.key}
    removed = [record for record in records if record.key not in kept]
    if not removed:
        return
    oldest = path[-1].record if path else newest
    cut = {**known(oldest), "pruned": True}  # whoever walks back ends here, and misses nothing
    yield ask("set", oldest.key, cut, ttl=context.ttl, if_revision=oldest.revision)
    yield from _removing(context, place, removed, [record for record in records if record.key in kept])
    yield from _deleting_keys([key for record in removed for key in _run_keys(record)])


def _removing(context: Context, place: Place, removed: Sequence[Record], kept: Sequence[Record]) -> Steps[None]:
    """Remove checkpoints, and what only they have: numbers, pending writes, and values."""
    documents = [known(record) for record in kept]
    ids = [one["checkpoint"]["id"] for one in documents]
    numbers, early = {place.number(one) for one in ids}, tuple(place.early(one) for one in ids)
    stay, last = {number_in(record.key) for record in kept}, max(number_in(one.key) for one in (*removed, *kept))
    values = {key for one in documents for key in value_keys(one)}
    yield from _rescuing(context, place, removed, values)
    yield from _deleting_keys([record.key for record in removed])
    gone = []
    for prefix, stays in (
        (place.checkpoints, lambda key: is_checkpoint(key) or number_in(key) in stay or number_in(key) > last),
        (place.numbers, lambda key: key in numbers),
        (place.values, lambda key: key in values),
        (place.early_writes, lambda key: key.startswith(early)),
    ):
        keys: list[str] = yield ask("list_keys", prefix)
        gone += [key for key in keys if not stays(key)]
    blobs: list[Blob] = yield ask("blobs.list", blob_prefix(place.thread))
    there = {blob.name for blob in blobs}
    for name in (blob_name(place.thread, key) for key in gone):
        if name in there:
            yield ask("blobs.delete", name, grace=0)
    yield from _deleting_keys(gone)


def _rescuing(context: Context, place: Place, removed: Iterable[Record], needed: set[str]) -> Steps[None]:
    """Put into records what others need of values that are in checkpoints which are removed.

    Nearly always it is there: it was put with the next checkpoint.
    """
    items = []
    for record in removed:
        kept = known(record)
        for channel, value in kept.get("values", {}).items():
            key = place.value(channel, stored_part(kept, channel).version)
            if key in needed:
                items.append(Item(key, {"format": FORMAT, **value}, ttl=context.ttl))
    yield from adding(items)


def copying(context: Context, source: str, target: str) -> Steps[None]:
    """Copy a thread: a checkpoint after all that belongs to it, so that what can be loaded is whole.

    Raises:
        KeyExistsError: If the target has checkpoints: two threads are not mixed.
    """
    source, target = str(source), str(target)
    there: Record | None = yield ask("first", f"checkpoint/{part(target)}/")
    if there is not None:
        raise KeyExistsError(
            "there are checkpoints of the thread target_thread_id: delete it first, or name another one"
        )
    for kind in reversed(KINDS):
        before, after = f"{kind}/{part(source)}/", f"{kind}/{part(target)}/"
        cursor, last = None, list[Item]()  # the last checkpoint, whose pending writes come next
        while True:
            page: Page = yield ask("scan", before, limit=_PAGE, cursor=cursor)
            items: list[Item] = []
            for record in page.records:
                copied = yield from _copied(context, record, f"{after}{record.key.removeprefix(before)}", target)
                if kind == "checkpoint" and is_checkpoint(record.key):
                    copied, last = last, copied
                items += copied
            cursor = page.cursor
            if cursor is None:
                items += last
            if items:
                yield ask("set_many", items)
            if cursor is None:
                break


def _copied(context: Context, record: Record, key: str, target: str) -> Steps[list[Item]]:
    kept = dict(known(record))
    if "blob" in kept:
        data: bytes = yield ask("blobs.get", kept["blob"])
        name = blob_name(target, key)
        yield ask("blobs.put", name, data, metadata={"key": key}, ttl=context.ttl, grace=0)
        kept["blob"] = name
    items = [Item(key, kept, ttl=context.ttl)]
    if record.key.startswith("checkpoint/") and is_checkpoint(key):
        kept["thread"] = target
        items += [Item(run, run_entry(kept), ttl=context.ttl) for run in _run_keys_of(kept)]
    return items


def _run_keys(record: Record) -> list[str]:
    return _run_keys_of(known(record))


def _run_keys_of(kept: dict[str, Any]) -> list[str]:
    run = run_of(kept["metadata"])
    return [] if run is None else [Place(kept["thread"], kept["ns"]).run(run, kept["checkpoint"]["id"])]


def _all(prefix: str) -> Steps[list[Record]]:
    page: Page = yield ask("scan", prefix)
    return page.records


def _checkpoints(prefix: str) -> Steps[list[Record]]:
    return [record for record in (yield from _all(prefix)) if is_checkpoint(record.key)]


def _deleting_keys(keys: Sequence[str]) -> Steps[None]:
    if keys:
        yield ask("delete_many", keys)
