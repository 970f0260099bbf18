"""Moving in LangGraph's threads from the file of its `SqliteSaver` or `AsyncSqliteSaver`.

See ``docs/bridges/langgraph.md``::

    imported = import_checkpoints("checkpoints.db", DataStoreSaver(data_store))
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, cast

from datastore import InvalidNameError, InvalidValueError
from datastore.bridges.extras import needs
from datastore.bridges.importing import (
    Connection,
    Imported,
    OnProgress,
    UnreadableError,
    check_table,
    columns,
    number_of_rows,
    opened,
)
from datastore.bridges.langgraph_checkpoints import DataStoreSaver
from datastore.bridges.langgraph_format import Place
from datastore.bridges.langgraph_objects import check_whole, is_like
from datastore.bridges.langgraph_thread import Remembered, configured

with needs("LangGraph", "langgraph"):
    from langgraph.checkpoint.base import CheckpointTuple, writes_sort_key
    from langgraph.checkpoint.serde.base import SerializerProtocol

_COLUMNS = {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint", "metadata"}


def import_checkpoints(
    file: str | PathLike[str],
    saver: DataStoreSaver,
    *,
    serde: SerializerProtocol | None = None,
    on_progress: OnProgress | None = None,
) -> Imported:
    """Bring in all threads of a file, with every namespace, checkpoint, parent and pending write.

    It can be interrupted and repeated: what is there already is compared, and not written again. A thread that was gone
    on with in the file is brought up to date; one that was gone on with here is left as it is, and if both happened
    nothing is added to it. One checkpoint after the other is in memory. Pending writes of checkpoints that are not in
    the file are left out: LangGraph does not see them either.

    Args:
        file: The file. It is opened for reading, and one state of it is read.
        saver: What the checkpoints are put with.
        serde: What the file was written with, if that is another serializer than the saver's.
        on_progress: Is called with how many checkpoints are done, and how many there are.

    Returns:
        What was done. Each checkpoint that could not be read is named in it.

    Raises:
        ConfigurationError: If there is no such file, or it is not of LangGraph's savers.

    Requests: those of `put` and `put_writes` for each new checkpoint, and twice those of `list` for each namespace of a
    thread; once if there is nothing new.
    """
    with opened(file) as source:
        check_table(source, "checkpoints", _COLUMNS, "LangGraph's SqliteSaver")
        return _Import(source, saver, serde or saver.serde, on_progress).run()


class _Import:
    def __init__(
        self,
        source: Connection,
        saver: DataStoreSaver,
        serde: SerializerProtocol,
        on_progress: OnProgress | None,
    ) -> None:
        self._source, self._saver, self._serde = source, saver, serde
        self._path = "task_path" if "task_path" in columns(source, "writes") else "''"  # files before it was added
        self._on_progress = on_progress or (lambda done, total: None)
        self._total = number_of_rows(source, "checkpoints")
        self._done = Imported("checkpoints")
        self._put = Remembered()  # values that were put, by place, channel and version
        # What is here of one place: whether as it is in the file. A temporary table is no part of the file, and takes
        # no memory where there are many.
        source.execute("CREATE TEMP TABLE here (id TEXT PRIMARY KEY, is_same INTEGER) WITHOUT ROWID")

    def run(self) -> Imported:
        for thread, ns in self._source.execute(
            "SELECT DISTINCT thread_id, checkpoint_ns FROM checkpoints ORDER BY 1, 2"
        ):
            try:
                self._bring(Place(thread, ns))
            except InvalidNameError as error:
                self._done.note("refused", _named(Place(thread, ns)), error.message)
        return self._done

    def _bring(self, place: Place) -> None:
        (count,) = self._source.execute(
            "SELECT count(*) FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?", (place.thread, place.ns)
        ).fetchone()
        self._done.read += count
        beside, same_here = self._compare(place)
        self._done.unchanged += same_here
        self._tell(self._done.unchanged + self._done.written)
        if same_here == count:
            self._done.verified += count
            return
        (new,) = self._source.execute(_NEW, (place.thread, place.ns)).fetchone()
        if beside and new:
            text = f"{new} checkpoints are in the file alone, and {beside} here alone; nothing was added"
            self._done.note("diverged", _named(place), text)
            self._done.verified += same_here
            return
        refused = self._put_missing(place)
        _, found = self._compare(place)
        self._done.verified += found
        for checkpoint_id, is_same in self._source.execute(_DIFFERENT, (place.thread, place.ns)):
            if checkpoint_id not in refused:
                kind, text = ("missing", "is not there") if is_same is None else ("differs", "read back differently")
                self._done.note(kind, _named(place, checkpoint_id), text)

    def _compare(self, place: Place) -> tuple[int, int]:
        """Compare what is here of a place, and note it; return how many are here alone, and how many are the same."""
        self._source.execute("DELETE FROM temp.here")
        beside = found = 0
        for ours in self._saver.list({"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns}}):
            checkpoint_id = ours.checkpoint["id"]
            try:
                theirs = self._read(place, checkpoint_id)
            except UnreadableError:
                continue
            if theirs is None:
                beside += 1
                continue
            is_same = is_like(ours, theirs)
            found += is_same
            self._source.execute("INSERT OR REPLACE INTO temp.here VALUES (?, ?)", (checkpoint_id, is_same))
        return beside, found

    def _put_missing(self, place: Place) -> set[str]:
        """Put what is not here, in the order of ids, by which LangGraph's saver finds the newest one.

        Returns:
            The ids of those that cannot be read, or not be kept.
        """
        refused = set()
        for checkpoint_id, is_same in self._source.execute(_DIFFERENT, (place.thread, place.ns)):
            try:
                found = self._read(place, checkpoint_id)
                if found is None:
                    continue
                if is_same is None:
                    self._put_one(place, found)
                ours = None if is_same is None else self._saver.get_tuple(found.config)
                self._put_writes(place, checkpoint_id, () if ours is None else ours.pending_writes or ())
                self._done.written += 1
            except (UnreadableError, InvalidValueError) as error:
                refused.add(checkpoint_id)
                self._done.note("refused", _named(place, checkpoint_id), str(error))
            self._tell(self._done.unchanged + self._done.written + len(refused))
        return refused

    def _put_one(self, place: Place, found: CheckpointTuple) -> None:
        versions = found.checkpoint["channel_versions"]
        new = {}
        for channel in found.checkpoint["channel_values"].keys() & versions.keys():
            if not self._put.get(value := (place, channel, str(versions[channel]))):
                new[channel] = versions[channel]
                self._put[value] = True
        parent: Any = found.parent_config or {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns}}
        self._saver.put(parent, found.checkpoint, found.metadata, new)

    def _put_writes(self, place: Place, checkpoint_id: str, here: Iterable[tuple[str, str, Any]]) -> None:
        """Put pending writes task by task. Special ones that are here stay: they may be of a run that went on here."""
        there = {(task, channel) for task, channel, _ in here}
        by_task: dict[tuple[str, str], dict[int, tuple[str, Any]]] = {}
        for path, task, index, channel, value in self._writes(place, checkpoint_id):
            if index >= 0 or (task, channel) not in there:
                by_task.setdefault((task, path), {})[index] = channel, value
        for (task, path), writes in by_task.items():
            self._saver.put_writes(configured(place, checkpoint_id), _as_given(writes), task, path)

    def _read(self, place: Place, checkpoint_id: str) -> CheckpointTuple | None:
        """Return a checkpoint of the file. Raises `UnreadableError` if it, or a pending write of it, cannot be read."""
        row = self._source.execute(_ROW, (place.thread, place.ns, checkpoint_id)).fetchone()
        if row is None:
            return None
        parent, kind, data, metadata = row
        checkpoint = self._loaded(kind, data)
        try:
            told = json.loads(metadata) if metadata is not None else {}
        except ValueError as error:
            raise UnreadableError("its metadata is not JSON") from error
        shape = isinstance(checkpoint, dict) and {"id", "channel_values", "channel_versions"} <= checkpoint.keys()
        if not shape or not isinstance(told, dict) or checkpoint["id"] != checkpoint_id:
            raise UnreadableError("it is not a checkpoint, or that of another row")
        config = configured(place, checkpoint_id)
        before = configured(place, parent) if parent else None
        writes = [(task, channel, value) for _, task, _, channel, value in self._writes(place, checkpoint_id)]
        return CheckpointTuple(config, cast(Any, checkpoint), cast(Any, told), before, writes)

    def _writes(self, place: Place, checkpoint_id: str) -> Iterator[tuple[str, str, int, str, Any]]:
        query = f"SELECT {self._path}, task_id, idx, channel, type, value FROM writes {_OF_ONE}"  # noqa: S608 - constants
        rows = self._source.execute(query, (place.thread, place.ns, checkpoint_id)).fetchall()
        for path, task, index, channel, kind, data in sorted(rows, key=lambda row: writes_sort_key(*row[:3])):
            yield path, task, index, channel, self._loaded(kind, data)

    def _loaded(self, kind: str, data: bytes) -> Any:
        try:
            value = self._serde.loads_typed((kind, data))
        except Exception as error:
            raise UnreadableError(f"what is of type {kind!r} cannot be read: {type(error).__name__}") from error
        check_whole(self._serde, kind, data, value)
        return value

    def _tell(self, done: int) -> None:
        self._on_progress(done, self._total)


_OF_ONE = "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
_ROW = "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints " + _OF_ONE  # noqa: S608 - constants
_DIFFERENT = """SELECT checkpoint_id, is_same FROM checkpoints LEFT JOIN temp.here ON id = checkpoint_id
    WHERE thread_id = ? AND checkpoint_ns = ? AND is_same IS NOT 1 ORDER BY checkpoint_id"""
_NEW = """SELECT count(*) FROM checkpoints LEFT JOIN temp.here ON id = checkpoint_id
    WHERE thread_id = ? AND checkpoint_ns = ? AND is_same IS NULL"""


def _named(place: Place, checkpoint_id: str | None = None) -> str:
    ns = f", namespace {place.ns!r}" if place.ns else ""
    return f"thread {place.thread!r}{ns}" + ("" if checkpoint_id is None else f", checkpoint {checkpoint_id!r}")


def _as_given(writes: Mapping[int, tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the writes of a task as `put_writes` was given them: at their places, with special ones between.

    A special write, such as an error, has a number below 0 and leaves a gap where it was given.
    """
    special = [write for index, write in writes.items() if index < 0]
    usual = {index: write for index, write in writes.items() if index >= 0}
    if not usual or not special:
        return [*(usual[index] for index in sorted(usual)), *special]
    gaps = iter(special)
    given = [usual[index] if index in usual else next(gaps, special[-1]) for index in range(max(usual) + 1)]
    return [*given, *gaps]
