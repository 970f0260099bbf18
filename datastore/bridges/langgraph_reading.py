"""What LangGraph's checkpointer reads: a checkpoint, lists of them, and the history of delta channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from datastore import BatchError, InvalidValueError, Item, Page, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_finding import Whole, finding, newest, wholes
from datastore.bridges.langgraph_format import Part, Place, has_early_writes, known, part, place_in, place_of
from datastore.bridges.langgraph_parts import Values, loading, remembered, stored_in
from datastore.bridges.langgraph_thread import HEAD, Context, configured, noting
from datastore.bridges.langgraph_values import unpacked
from datastore.bridges.steps import Asked, Steps, ask

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import CheckpointTuple, writes_sort_key

_PAGE = 100


def getting(context: Context, config: Mapping[str, Any]) -> Steps[CheckpointTuple | None]:
    """Return a checkpoint, the newest one if none is named.

    Requests: 1, and 1 for values that this process has neither read nor put, if there are any; 1 more if one is named
    that it has not seen, or others have put many since it saw the thread. Large values take those of blobs.
    """
    place = place_of(config)
    named = config["configurable"].get("checkpoint_id")
    whole: Whole | None
    if named:
        whole = yield from finding(context, place, str(named))
    else:
        whole = yield from newest(context, place)
        if whole is None:
            context.empty[place] = True
        else:
            context.empty.pop(place)
    if whole is None:
        return None
    if not named:
        (found,) = yield from _loading(context, [whole], [noting(context, whole.record).stored])
        found.config["configurable"][HEAD] = True
        return found
    (found,) = yield from _loading(context, [whole])
    context.claims.pop((place, str(named)))  # whoever names a checkpoint may begin a branch at it
    if HEAD in config["configurable"]:
        found.config["configurable"][HEAD] = None  # what is named is no longer what was loaded as the newest
    return found


class Listing:
    """A list of checkpoints, the newest first, of which page after page is asked for."""

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        filter: Mapping[str, Any] | None,
        before: Mapping[str, Any] | None,
        limit: int | None,
    ) -> None:
        if limit is not None and type(limit) is not int:
            raise InvalidValueError(f"limit is a {type(limit).__name__}; it must be a number of checkpoints, or None")
        configurable: Mapping[str, Any] = (config or {}).get("configurable") or {}
        self._place = place_of(config) if config else None
        self._every = "checkpoint_ns" not in configurable
        self._id = configurable.get("checkpoint_id")
        self._filter = dict(filter or {})
        self._before = ((before or {}).get("configurable") or {}).get("checkpoint_id")
        self._left = limit
        self._cursor: str | None = None
        self._writes: list[Record] = []
        self._end: str | None = None
        self.goes_on = limit is None or limit > 0

    def page(self, context: Context) -> Steps[list[CheckpointTuple]]:
        """Return the next checkpoints, and note whether there may be more."""
        if self._id and self._place is not None:
            self.goes_on = False
            named: Whole | None = yield from finding(context, self._place, self._id)
            found = [named] if named is not None else []
        else:
            found = yield from self._read(context)
        chosen = [whole for whole in found if self._is_asked_for(known(whole.record))]
        if self._left is not None:
            chosen = chosen[: self._left]
            self._left -= len(chosen)
            self.goes_on = self.goes_on and self._left > 0
        return (yield from _loading(context, chosen)) if chosen else []

    def _read(self, context: Context) -> Steps[list[Whole]]:
        """Return the checkpoints on the next page. Pending writes at its end wait for theirs on the page after it."""
        place = self._place
        if place is None:
            prefix = "checkpoint/"
        elif self._every:
            prefix = f"checkpoint/{part(place.thread)}/"
        else:
            prefix = place.checkpoints
            if self._before and self._cursor is None:  # an id of another place is not found here, and is compared
                at: Whole | None = yield from finding(context, place, self._before)
                self._end = at.record.key if at is not None else None
        size = _PAGE if self._filter or self._left is None else min(_PAGE, 2 * self._left)  # each with a pending write
        end, cursor = self._end, self._cursor
        page: Page = yield ask("scan", prefix, end=end, reverse=True, limit=size, cursor=cursor)
        self._cursor = page.cursor
        self.goes_on = page.cursor is not None
        found = wholes(page.records, self._writes)
        for whole in found:
            kept = known(whole.record)
            context.numbers[place_in(kept), kept["checkpoint"]["id"]] = whole.number
        return found

    def _is_asked_for(self, kept: Mapping[str, Any]) -> bool:
        return (self._before is None or kept["checkpoint"]["id"] < self._before) and all(
            kept["metadata"].get(key) == value for key, value in self._filter.items()
        )


def _loading(
    context: Context, found: Sequence[Whole], all_stored: Sequence[Mapping[str, Part]] | None = None
) -> Steps[list[CheckpointTuple]]:
    """Read the values of checkpoints, whose names the caller may know, and pending writes that are not beside them.

    Requests: 1 for values that are neither remembered nor in the checkpoints themselves; 1 for each place in which
        writes were put before their checkpoint.
    """
    documents = [known(whole.record) for whole in found]
    if all_stored is None:
        all_stored = [stored_in(context, kept) for kept in documents]
    all_loaded = [remembered(context, stored) for stored in all_stored]
    values = Values(context)
    there: Mapping[str, Record] = {}
    early: Early = {}
    if None in all_loaded or any(map(has_early_writes, documents)):
        for kept, stored, loaded in zip(documents, all_stored, all_loaded, strict=True):
            if loaded is None:
                values.need(kept, stored)
        there, early = yield from reading(context, values, documents)
    tuples = []
    for whole, kept, stored, loaded in zip(found, documents, all_stored, all_loaded, strict=True):
        place, checkpoint_id = place_in(kept), kept["checkpoint"]["id"]
        if loaded is None:
            loaded = yield from values.all_of(kept, stored, there)
        writes = []
        if whole.writes or early:
            writes = yield from loading_writes(context, early.get((place, checkpoint_id), ()), whole.writes)
        checkpoint: Any = {**kept["checkpoint"], "channel_values": loaded}
        metadata: Any = kept["metadata"]
        if "others" in kept:
            others = unpacked(context.serde, kept["others"])
            checkpoint, metadata = {**checkpoint, **others["checkpoint"]}, {**metadata, **others["metadata"]}
        parent = configured(place, kept["parent"]) if kept["parent"] else None
        tuples.append(CheckpointTuple(configured(place, checkpoint_id), checkpoint, metadata, parent, writes))
    return tuples


Early: TypeAlias = Mapping[tuple[Place, str], list[Record]]
"""By place and id of their checkpoint: pending writes that are not beside it."""


def reading(
    context: Context, values: Values, documents: Iterable[Mapping[str, Any]]
) -> Steps[tuple[Mapping[str, Record], Early]]:
    """Read the records that are needed of values, and the pending writes that are not beside their checkpoints."""
    by_place: dict[Place, list[str]] = {}
    for kept in documents:
        if has_early_writes(kept):
            by_place.setdefault(place_in(kept), []).append(kept["checkpoint"]["id"])
    asked = [_asking_early(place, ids) for place, ids in by_place.items()]
    there: dict[str, Record] = {}
    pages: list[Page] = []
    if values.keys:
        there, *pages = yield [ask("get_records", values.keys), *asked]
        yield from renewing(context, there.values())
    elif asked:
        pages = yield asked
    early: dict[tuple[Place, str], list[Record]] = {}
    for place, page in zip(by_place, pages, strict=True):
        for record in page.records:
            early.setdefault((place, known(record)["checkpoint"]), []).append(record)
    return there, early


def _asking_early(place: Place, ids: Sequence[str]) -> Asked:
    """Ask for the pending writes of all checkpoints from the first id to the last one."""
    first, last = place.early(min(ids)), place.early(max(ids))
    if first == last:
        return ask("scan", first)
    return ask("scan", start=first, end=f"{last[:-1]}0")  # 0 follows the slash


def loading_writes(
    context: Context, early: Iterable[Record], beside: Iterable[Record]
) -> Steps[list[tuple[str, str, Any]]]:
    """Return pending writes in the order in which a step applies them.

    Of one that was put again after its checkpoint there are two: the first one counts, or of a special one the last.
    """
    kept: dict[tuple[str, int], tuple[dict[str, Any], Record]] = {}
    for records in (early, beside):
        for record in records:
            one = known(record)
            at = one["task"], one["index"]
            if at[1] < 0 or at not in kept:
                kept[at] = one, record
    writes = []
    for one, record in sorted(kept.values(), key=_order) if len(kept) > 1 else kept.values():
        value = one["json"] if "json" in one else (yield from loading(context, record))
        writes.append((one["task"], one["channel"], value))
    return writes


def _order(write: tuple[dict[str, Any], Record]) -> Any:
    return writes_sort_key(write[0]["path"], write[0]["task"], write[0]["index"])


def _now() -> datetime:
    return datetime.now(UTC)


def renewing(context: Context, records: Iterable[Record]) -> Steps[None]:
    """Keep longer what would be gone within three quarters of the time: whoever reads it may put a checkpoint on it.

    Records are kept twice as long as a checkpoint must be readable, that is 2 t. What is read has at least 1.5 t left
    after this; a run puts its checkpoints within 0.5 t, and each has what it needs for another t.
    """
    if context.ttl is None:
        return
    due = _now() + timedelta(seconds=0.75 * context.ttl)
    old = [record for record in records if record.expires_at is not None and record.expires_at < due]
    for record in old:
        if "blob" in (kept := known(record)):
            yield from _renewing_blob(context, kept["blob"])
    if old:
        items = [Item(one.key, one.value, ttl=context.ttl, if_revision=one.revision) for one in old]
        with suppress(BatchError):  # somebody else has renewed them, or removed the thread
            yield ask("set_many", items)


def _renewing_blob(context: Context, name: str) -> Steps[None]:
    data: bytes | None = yield ask("blobs.get", name)
    if data is not None:
        yield ask("blobs.put", name, data, ttl=context.ttl)
