"""The `Session` of the OpenAI Agents SDK: the items of a conversation, in an ordered log. Extra ``openai-agents``.

The log of session *S* is ``openai-S``, shortened if it is too long. An entry is an item, names the blob of one of more
than 1 MB, or says that the last item was taken away::

    {"format": 1, "item": {"role": "user", "content": "hello"}}
    {"format": 1, "blob": "openai/<hash of S>/<random>"}
    {"format": 1, "pop": {"seen": 7, "rest": 4}}

What the session holds is what one gets by going through the log in its order, which is the same for all who read it. So
of those who pop at the same moment each takes another item, and nobody locks anything. ``seen`` is the last entry that
the one who popped had seen, and ``rest`` the entry of the item that is then the last one (0 if there is none): if
nothing came between, whoever reads goes on there, and what was popped costs nobody anything.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from datastore import AgentDataStore, AsyncAgentDataStore, AsyncLog, Entry, ValueTooLargeError
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, check_keep, log_of, span_of
from datastore.bridges.large import prefix_of, small, sweep, whole
from datastore.bridges.openai_reading import FORMAT, Popped, last_items, top_items

with needs("The OpenAI Agents SDK", "openai-agents"):
    from agents.memory import SessionABC, SessionSettings

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

__all__ = ["DataStoreSession", "prune_sessions"]

_PREFIX = "openai-"
_PASSED_OVER = 16  # up to so many entries it takes less time to read them than to ask twice


class DataStoreSession(SessionABC):
    """A conversation that an agent's store keeps, for ``Runner.run(agent, text, session=session)``.

    Many tasks, processes and machines may use it at the same moment: nothing is lost, and what one call adds stands
    together (up to 100 items that take 1 MB; more are stored in such parts).
    """

    session_settings: SessionSettings | None

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        session_id: str,
        *,
        session_settings: SessionSettings | None = None,
        ttl: float | timedelta | None = None,
    ) -> None:
        """Bind a session; there is no request.

        Args:
            data_store: Whose session it is. It is kept in its namespace.
            session_id: Any text but the empty one.
            session_settings: ``limit`` is how many items `get_items` returns if it is not told.
            ttl: For how long an item is remembered, in seconds or as a `timedelta`; ``None`` for ever. `prune` and
                `prune_sessions` give back the space.

        Raises:
            InvalidNameError: If ``session_id`` is not such text.
            InvalidValueError: If ``ttl`` is not above 0.
        """
        self._store = awaited(data_store)
        self._log = log_of(self._store, _PREFIX, session_id, "session_id")
        self._ttl = None if ttl is None else span_of(ttl, "ttl")
        self._popped: Popped | None = None
        self._passed_over = 0
        """How many entries the last read has passed over that are pops, or were popped: the next one reads as many more
        at once."""
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the last items, in their order.

        Args:
            limit: How many at most; ``None`` for what ``session_settings`` says, and then for all.

        Raises:
            UnsupportedError: If an entry is of a format that this version does not know.
            DamagedRecordError: If the blob of a large item is gone.

        Requests: 1 page of the log with as many entries, however many there are; 1 or 2 more where items were popped
            that this session has not yet read past.
            Of all: 1 for 1,000 entries, 2 for 5,000, and so on. For each item of more than 1 MB those of `Blobs.get`.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit == 0:
            return []
        if limit is None or limit < 0:  # as in the SDK, all for those below
            found, _ = await last_items(self._log, self._ttl, None)
        else:
            found, newest = await last_items(self._log, self._ttl, limit, at_once=limit + self._passed_over)
            passed_over = newest + 1 - found[-1].number - len(found) if found else 0
            self._passed_over = passed_over if passed_over <= max(limit, _PASSED_OVER) else 0
        return [entry.value["item"] if "item" in entry.value else await self._large(entry) for entry in reversed(found)]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, in this order.

        Raises:
            InvalidValueError: If one is not JSON. Nothing was stored.

        Requests: 1 in steady state; see `AgentDataStore.log_append`. Those of `Blobs.put` for each item of more than
            1 MB, which is kept in a blob.
        """
        if not items:
            return
        self._popped = None
        entries: list[dict[str, Any]] = [{"format": FORMAT, "item": item} for item in items]
        try:
            await self._log.append(*entries)
        except ValueTooLargeError:
            told = {"log": self._log.name}
            smaller = [await small(self._store, entry, "item", _blobs(self._log), told) for entry in entries]
            await self._log.append(*smaller)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the last item away, and return it; ``None`` if there is none. No two callers get the same one.

        Requests: 2; 1 if there is none. 1 more if the last things that happened are several pops of others. Up to 4
            more if somebody wrote to the session meanwhile, or since this session popped an item a second ago.
        """
        popped, self._popped = self._popped, None
        top, seen = await top_items(self._log, self._ttl, popped)
        if not top:
            return None
        known = len(top) > 1 or self._ttl is None  # else there may be one that only this session takes for expired
        hint = {"seen": seen, "rest": top[1].number if len(top) > 1 else 0} if known else {}
        number = await self._log.append({"format": FORMAT, "pop": hint})
        if number != seen + 1:
            top, _ = await last_items(self._log, self._ttl, 1, before=number)
        elif len(top) > 1:
            self._popped = Popped.now(number, top[1])
        return await self._large(top[0]) if top else None

    async def clear_session(self) -> None:
        """Remove all items.

        Requests: as `AgentDataStore.log_trim`, and 1 that looks for blobs; where there are some, those of reading the
            log and of deleting them.
        """
        await _remove(self._store, self._log)

    async def prune(self, *, keep: int | None = None) -> int:
        """Give back the space of items that are past their ``ttl``, and of all but the last ones.

        Args:
            keep: How many items may stay; ``None`` for all that are not past their ``ttl``.

        Returns:
            How many entries of the log were removed.

        Raises:
            InvalidValueError: If ``keep`` is not an int above 0.

        Requests: those of `get_items` for what stays, those of `AgentDataStore.log_trim`, 1 that looks for blobs, and
            those of deleting the ones that are not needed and older than an hour.
        """
        check_keep(keep)
        found, newest = await last_items(self._log, self._ttl, keep)
        trimmed = await self._log.trim(before=found[-1].number if found else newest + 1)
        used = {entry.value["blob"] for entry in found if "blob" in entry.value}
        await sweep(self._store, await self._store.blobs.list(_blobs(self._log)), used=used)
        return trimmed

    async def _large(self, entry: Entry) -> TResponseInputItem:
        """Return the item of an entry, which may be in a blob."""
        item: TResponseInputItem = await whole(self._store, entry.value, "item", f"entry {entry.number}")
        return item


async def prune_sessions(data_store: AgentDataStore | AsyncAgentDataStore, *, idle: float | timedelta) -> int:
    """Clear the sessions of the namespace to which nothing was added for a time. For a host, from time to time.

    Args:
        data_store: Whose sessions.
        idle: For how long, in seconds or as a `timedelta`.

    Returns:
        How many sessions were cleared.

    Raises:
        InvalidValueError: If ``idle`` is not above 0.

    Requests: those of `AgentDataStore.list_logs`, 1 for each session, and those of clearing and of 1 that looks for
        blobs for each that is cleared.
    """
    oldest, store, cleared = ago(span_of(idle, "idle")), awaited(data_store), 0
    for name in await store.list_logs(_PREFIX):
        log = store.log(name)
        last = await log.last()
        if last and last[-1].at < oldest:
            await _remove(store, log, before=last[-1].number + 1)  # and not what is added at this moment
            cleared += 1
    return cleared


def _blobs(log: AsyncLog) -> str:
    """Return what the names of the blobs of a session begin with."""
    return prefix_of("openai", log.name)


async def _remove(store: AsyncAgentDataStore, log: AsyncLog, before: int | None = None) -> None:
    """Remove the entries of a session before a number, or all, with their blobs."""
    blobs = await store.blobs.list(_blobs(log))
    named = {entry.value.get("blob") for entry in await log.read(before=before)} if blobs else set()
    await (log.clear() if before is None else log.trim(before=before))
    await sweep(store, blobs, gone=named)
