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
from datastore.bridges.langgraph_parts import Values, stored_in
from datastore.bridges.langgraph_thread import HEAD, Context, noting
from datastore.bridges.langgraph_tuples import loading_writes, made, made_at_once
from datastore.bridges.steps import Asked, Steps, ask

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import CheckpointTuple

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
        stored = noting(context, place, whole.record.key, whole.kept).stored
        found = made_at_once(context, place, whole, stored)
        if found is None:
            (found,) = yield from _loading(context, place, [whole], [stored])
        found.config["configurable"][HEAD] = True
        return found
    stored = stored_in(context, (place, whole.kept["checkpoint"]["id"]), whole.kept)
    (found,) = yield from _loading(context, place, [whole], [stored])
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
        place = None if self._every else self._place
        is_chosen = None if self._before is None and not self._filter else self._is_asked_for
        chosen: list[Whole] = []
        all_stored: list[Mapping[str, Part]] = []
        for whole in found:
            kept = whole.kept
            where, number = (place or place_in(kept), kept["checkpoint"]["id"]), whole.number
            if context.numbers.get(where) != number:
                context.numbers[where] = number
            if is_chosen is None or is_chosen(kept):
                chosen.append(whole)
                all_stored.append(stored_in(context, where, kept))
        if self._left is not None:
            chosen, all_stored = chosen[: self._left], all_stored[: self._left]
            self._left -= len(chosen)
            self.goes_on = self.goes_on and self._left > 0
        return (yield from _loading(context, place, chosen, all_stored)) if chosen else []

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
        return wholes(page.records, self._writes)

    def _is_asked_for(self, kept: Mapping[str, Any]) -> bool:
        return (self._before is None or kept["checkpoint"]["id"] < self._before) and all(
            kept["metadata"].get(key) == value for key, value in self._filter.items()
        )


def _loading(
    context: Context, place: Place | None, found: Sequence[Whole], all_stored: Sequence[Mapping[str, Part]]
) -> Steps[list[CheckpointTuple]]:
    """Read the values of checkpoints, and pending writes that are not beside them.

    Requests: 1 for values that are neither remembered nor in the checkpoints themselves; 1 for each place in which
        writes were put before their checkpoint.

    Args:
        context: Knows what is remembered.
        place: Where all of them are; ``None`` if they are in several places.
        found: The checkpoints.
        all_stored: What each of them names its values.
    """
    tuples = [
        made_at_once(context, place or place_in(whole.kept), whole, stored)
        for whole, stored in zip(found, all_stored, strict=True)
    ]
    left = [number for number, one in enumerate(tuples) if one is None]
    if left:
        values = Values(context)
        for number in left:
            values.need(found[number].kept, all_stored[number])
        there, early = yield from reading(context, values, [found[number].kept for number in left])
        for number in left:
            kept = found[number].kept
            at = place_in(kept), kept["checkpoint"]["id"]
            loaded = yield from values.all_of(kept, all_stored[number], there)
            writes = yield from loading_writes(context, early.get(at, ()), found[number].writes)
            tuples[number] = made(context, at[0], kept, loaded, writes)
    return [one for one in tuples if one is not None]


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
