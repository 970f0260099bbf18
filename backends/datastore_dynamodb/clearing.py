"""Removing ranges: everything that a namespace or a user has, with all the parts of its values."""

from __future__ import annotations

from functools import partial

from datastore import deadlines
from datastore.adapters.batching import batches
from datastore.adapters.removing import Removal, Removals
from datastore.backend import Forgotten, IdRange
from datastore.documents import UNDECODABLE
from datastore_dynamodb.batches import WRITE_BATCH, Threads, patiently, write_items
from datastore_dynamodb.client import Connection
from datastore_dynamodb.codec import Attributes
from datastore_dynamodb.items import REVISION, id_of, is_live, own_key, parts_of
from datastore_dynamodb.parts import Parts, is_marker
from datastore_dynamodb.reading import Reader


class _Removal(Removal):
    """What one call has removed so far. An item in doubt that is not found again counts as removed.

    Attributes:
        split: The items of records whose values have parts.
        has_marker: Whether the range had, or may have had, parts of values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.split: list[Attributes] = []
        self.has_marker = False


class Remover:
    """Removes ranges. Shared by threads."""

    def __init__(self, connection: Connection, reader: Reader, parts: Parts, threads: Threads) -> None:
        self._connection = connection
        self._reader = reader
        self._parts = parts
        self._threads = threads
        self._removals = Removals(_Removal)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        with self._removals.carry_out(("clear", range, at)) as removal:
            self._remove_items(range, at, removal, keep_markers=True)
            if removal.has_marker or removal.split:
                self._parts.sweep(range, at, removal.split)
        return removal.live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`: removes the user's items, and then all parts of values, however old they are."""
        with self._removals.carry_out(("forget", range, at)) as removal:
            self._remove_items(range, at, removal, keep_markers=False)
            for keys in self._parts.all_keys(range):
                deadlines.check()
                self._remove(keys)
        return Forgotten(removal.live, removal.expired)

    def _remove_items(self, range: IdRange, at: str, removal: _Removal, *, keep_markers: bool) -> None:
        began = False
        after: Attributes | None = None
        while True:
            deadlines.check()
            page = partial(self._reader.keys, range, after)
            items, after = patiently(page) if began else page()
            began = True
            markers = [item for item in items if is_marker(id_of(item))]
            records = [item for item in items if REVISION in item]  # others are another program's, and stay
            removal.has_marker = removal.has_marker or bool(markers)
            removal.split += [item for item in records if parts_of(item)]
            found = {id_of(item): _was_live(item, at) for item in records}
            removal.send(found)
            self._remove(records if keep_markers else records + markers)
            for id in found:
                removal.removed(id)
            if after is None:
                break
        for id in list(removal.in_doubt):
            removal.removed(id)

    def _remove(self, items: list[Attributes]) -> None:
        self._threads.map(self._remove_some, batches(map(own_key, items), WRITE_BATCH))

    def _remove_some(self, keys: list[Attributes]) -> None:
        patiently(partial(write_items, self._connection, [{"DeleteRequest": {"Key": key}} for key in keys]))


def _was_live(item: Attributes, at: str) -> bool:
    """Return whether a removed item counts as live; one that cannot be read does."""
    try:
        return is_live(item, at)
    except UNDECODABLE:
        return True
