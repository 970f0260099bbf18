"""Moving in conversations from the file of the OpenAI Agents SDK's `SQLiteSession`.

See ``docs/bridges/openai-agents.md``::

    imported = await import_sessions("conversations.db", data_store)
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any

from datastore import AgentDataStore, AsyncAgentDataStore, InvalidNameError, limits
from datastore.bridges.importing import (
    Connection,
    Imported,
    OnProgress,
    UnreadableError,
    check_table,
    columns,
    from_json,
    number_of_rows,
    opened,
    quoted,
    same_json,
)
from datastore.bridges.openai_sessions import DataStoreSession

_TOGETHER = 100
_DEEPEST = limits.MAX_DEPTH - 3
"""How deep an item may be nested: it stands in an entry, and that in a part of the log."""


async def import_sessions(
    file: str | PathLike[str],
    data_store: AgentDataStore | AsyncAgentDataStore,
    *,
    messages_table: str = "agent_messages",
    on_progress: OnProgress | None = None,
) -> Imported:
    """Bring in all sessions of a file, with their items as they are and in their order.

    It can be interrupted and repeated: a session that is there already gets what follows in the file. If it was gone on
    with here, that stays; if what is here is not how it begins in the file, nothing is added to it, and it is told.
    Import before a session is used here: of one that was cleared, or whose last items were popped, they come back.
    One session is in memory. Encrypted items (`EncryptedSession`) are moved as they are.

    Args:
        file: The file. It is opened for reading, and one state of it is read.
        data_store: What a `DataStoreSession` is made from; or its awaited twin.
        messages_table: As `SQLiteSession` was told.
        on_progress: Is called with how many items are done, and how many there are.

    Returns:
        What was done. Each item that is not JSON is named in it; the SDK passes over those. So is a session with
        branches, which an `AdvancedSQLiteSession` makes and no plain session can hold.

    Raises:
        ConfigurationError: If there is no such file, or it has no such table.

    Requests: those of `get_items` twice for each session, once if there is nothing new, and those of `add_items` for
        each 100 new items.
    """
    with opened(file) as source:
        check_table(source, messages_table, {"id", "session_id", "message_data"}, "the OpenAI Agents SDK")
        moving = _Import(source, messages_table, on_progress)
        for (name,) in source.execute(f"SELECT DISTINCT session_id FROM {quoted(messages_table)} ORDER BY 1"):  # noqa: S608 - it is quoted
            try:
                await moving.bring(name, DataStoreSession(data_store, name))
            except InvalidNameError as error:
                moving.done.note("refused", f"session {name!r}", error.message)
        return moving.done


class _Import:
    def __init__(self, source: Connection, table: str, on_progress: OnProgress | None) -> None:
        self.done = Imported("items of sessions")
        self._source, self._table = source, table
        self._on_progress = on_progress or (lambda done, total: None)
        self._total = number_of_rows(source, table)
        self._has_branches = {"session_id", "branch_id"} <= columns(source, "message_structure")

    async def bring(self, name: str, session: DataStoreSession) -> None:
        where = f"session {name!r}"
        if self._has_branches and self._branches(name) > 1:
            self.done.note("refused", where, "it has branches, and a session here is one line")
            return
        here = await session.get_items(-1)
        position = written = 0
        batch: list[Any] = []
        for row, item in self._items(name, self.done):
            if position < len(here):
                if not same_json(here[position], item):
                    text = f"its item {position + 1} here is not row {row} of the file; nothing was added"
                    self.done.note("diverged", where, text)
                    return
                position += 1
                self.done.unchanged += 1
            else:
                batch.append(item)
                if len(batch) == _TOGETHER:
                    await session.add_items(batch)
                    written += len(batch)
                    batch = []
            self._on_progress(self.done.read, self._total)
        if batch:
            await session.add_items(batch)
        self.done.written += (written := written + len(batch))
        if not written:
            self.done.verified += position
            return
        here = await session.get_items(-1)
        for number, (row, item) in enumerate(self._items(name, None)):
            if number < len(here) and same_json(here[number], item):
                self.done.verified += 1
            else:
                self.done.note("differs", f"{where}, row {row}", "it is not there, or read back differently")

    def _branches(self, name: str) -> int:
        query = "SELECT count(DISTINCT branch_id) FROM message_structure WHERE session_id = ?"
        count: int = self._source.execute(query, (name,)).fetchone()[0]
        return count

    def _items(self, name: str, done: Imported | None) -> Iterator[tuple[int, Any]]:
        """Yield the items of a session with the numbers of their rows; what cannot be kept is left out, and noted."""
        query = f"SELECT id, message_data FROM {quoted(self._table)} WHERE session_id = ? ORDER BY id"  # noqa: S608 - as above
        for row, data in self._source.execute(query, (name,)):
            if done is not None:
                done.read += 1
            try:
                item = from_json(data)
                if _is_deeper(item, _DEEPEST):
                    raise UnreadableError(f"it is nested deeper than {_DEEPEST} levels")
            except UnreadableError as error:
                if done is not None:
                    done.note("refused", f"session {name!r}, row {row}", str(error))
                continue
            yield row, item


def _is_deeper(value: Any, levels: int) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(member, levels - 1) for member in members)
