"""Removing ranges: what a namespace or a user has, with all the parts of its values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from datastore import deadlines
from datastore.backend import Forgotten, IdRange
from datastore.documents import UNDECODABLE
from datastore.errors import DataStoreError
from datastore.turns import keep_newest
from datastore_dynamodb.batches import WRITE_BATCH, Threads, chunks, patiently, write_items
from datastore_dynamodb.client import Connection
from datastore_dynamodb.codec import Attributes
from datastore_dynamodb.items import REVISION, id_of, is_live, own_key, parts_of
from datastore_dynamodb.parts import Parts, is_marker
from datastore_dynamodb.reading import Reader

_MOST_BROKEN_OFF = 100
"""The calls that broke off and are remembered; the store repeats one at once, or never."""


class _Progress:
    """How far one call has come, which goes on where it broke off when the store repeats it.

    Attributes:
        live: How many live records were removed.
        expired: How many expired ones were.
        in_doubt: Whether they were live, by the ids of records whose removal may not have been carried out. Those that
            are not found again were removed.
        split: The items of records whose values have parts.
        has_marker: Whether there were, or may be, parts in the range.
    """

    def __init__(self) -> None:
        self.live = 0
        self.expired = 0
        self.in_doubt: dict[str, bool] = {}
        self.split: list[Attributes] = []
        self.has_marker = False

    def removed(self, live: bool) -> None:
        """Count one that is certainly gone."""
        if live:
            self.live += 1
        else:
            self.expired += 1


class Remover:
    """Removes ranges. Shared by threads."""

    def __init__(self, connection: Connection, reader: Reader, parts: Parts, threads: Threads) -> None:
        self._connection = connection
        self._reader = reader
        self._parts = parts
        self._threads = threads
        self._broken_off: dict[tuple[str, IdRange, str], _Progress] = {}

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""

        def clear(progress: _Progress) -> None:
            self._remove_items(range, at, progress, keep_markers=True)
            if progress.has_marker or progress.split:
                self._parts.sweep(range, at, progress.split)

        return self._carry_out("clear", range, at, clear).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`: the user's items, and then all parts of values, of whichever age."""

        def forget(progress: _Progress) -> None:
            self._remove_items(range, at, progress, keep_markers=False)
            for keys in self._parts.all_keys(range):
                deadlines.check()
                self._remove(keys)

        progress = self._carry_out("forget", range, at, forget)
        return Forgotten(progress.live, progress.expired)

    def _carry_out(self, name: str, range: IdRange, at: str, call: Callable[[_Progress], None]) -> _Progress:
        """Make a call, from where the same one broke off."""
        progress = self._broken_off.pop((name, range, at), None) or _Progress()
        try:
            call(progress)
        except DataStoreError:
            self._broken_off[name, range, at] = progress
            keep_newest(self._broken_off, _MOST_BROKEN_OFF)
            raise
        return progress

    def _remove_items(self, range: IdRange, at: str, progress: _Progress, *, keep_markers: bool) -> None:
        began = False
        after: Attributes | None = None
        while True:
            deadlines.check()
            page = partial(self._reader.keys, range, after)
            items, after = patiently(page) if began else page()
            began = True
            markers = [item for item in items if is_marker(id_of(item))]
            records = [item for item in items if REVISION in item]  # what has none is another program's, and stays
            progress.has_marker = progress.has_marker or bool(markers)
            progress.split += [item for item in records if parts_of(item)]
            found = {id_of(item): _was_live(item, at) for item in records}
            progress.in_doubt |= found
            self._remove(records if keep_markers else records + markers)
            for id, live in found.items():
                progress.removed(live)
                del progress.in_doubt[id]
            if after is None:
                break
        while progress.in_doubt:
            progress.removed(progress.in_doubt.popitem()[1])

    def _remove(self, items: list[Attributes]) -> None:
        self._threads.map(self._remove_some, chunks(map(own_key, items), WRITE_BATCH))

    def _remove_some(self, keys: list[Attributes]) -> None:
        patiently(partial(write_items, self._connection, [{"DeleteRequest": {"Key": key}} for key in keys]))


def _was_live(item: Attributes, at: str) -> bool:
    """Return whether an item that was removed counts as live; one that nobody can read does."""
    try:
        return is_live(item, at)
    except UNDECODABLE:
        return True
