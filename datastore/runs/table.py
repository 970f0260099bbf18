"""The records of all runs in a namespace: the store's own reading and writing, by the keys of `datastore.runs.keys`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn

from datastore.backend import Delete, Document, Fields, Put, Write
from datastore.documents import sound_of
from datastore.errors import DamagedRecordError
from datastore.ids import encode_key, key_range
from datastore.runs.keys import KeyRange
from datastore.scope import Scope
from datastore.times import format_time


class Table:
    """What is kept for the runs of one namespace. No access is counted."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        """The area, bound to the agent."""

    def now(self, later: float = 0.0) -> str:
        """Return the time by the store's clock, or some seconds later."""
        return format_time(self.scope.core.clock() + later)

    def read(self, keys: Iterable[str]) -> dict[str, Document]:
        """Return the records under some keys, in their order.

        Requests: 1 for each batch.
        """
        ids = {self.scope.prefix + encode_key(key): key for key in keys}
        return {ids[id]: document for id, document in self.scope.core.read(tuple(ids), Fields.VALUE).items()}

    def read_sound(self, names: Mapping[str, str]) -> dict[str, Document | None]:
        """Return the records under some keys by their names, ``None`` for each that there is not.

        Those that cannot be read are left out with a warning, so that one does not stop what is done for all.

        Args:
            names: A name for each key.

        Requests: 1 for each batch; 1 more for each that cannot be read.
        """
        ids = {self.scope.prefix + encode_key(key): name for key, name in names.items()}
        found, left = sound_of(ids, partial(self.scope.core.read, fields=Fields.VALUE))
        return {ids[id]: found.get(id) for id in left}

    def read_one(self, key: str) -> Document | None:
        """Return the record under a key.

        Requests: 1.
        """
        return self.scope.fetch(key, Fields.VALUE)

    def scan(
        self,
        keys: KeyRange,
        fields: Fields = Fields.VALUE,
        *,
        limit: int | None = None,
        at_once: int | None = None,
        reverse: bool = False,
        on_damaged: Callable[[DamagedRecordError], None] | None = None,
    ) -> Iterator[Document]:
        """Yield the records of a range in order.

        Args:
            keys: The range.
            fields: How much of each record is needed.
            limit: The most records to yield.
            at_once: How many are likely to be needed: as many are read at first.
            reverse: Whether to yield them in the opposite order.
            on_damaged: Called for each record that cannot be read; ``None`` to raise that it cannot.

        Requests: 1 per page.
        """
        span = key_range(self.scope.prefix, None, keys.start, keys.end)
        left = sys.maxsize if limit is None else limit
        at_once, on_damaged = limit or at_once, on_damaged or _refuse
        for documents in self.scope.core.pages(span, fields, None, at_once, on_damaged, reverse=reverse):
            yield from documents[:left]
            left -= len(documents)
            if left <= 0:
                return

    def put(self, key: str, value: Any, *, new: bool = False, revision: str | None = None, name: str = "value") -> Put:
        """Return the write of a record: plain, only if there is none, or only at a revision."""
        put = self.scope.put(key, value, self.scope.moment(), if_absent=new, name=name)
        return put if revision is None else put._replace(if_revision=revision)

    def delete(self, key: str) -> Delete:
        """Return the removal of a record."""
        return Delete(self.scope.prefix + encode_key(key), self.scope.core.now())

    def write_one(self, write: Write) -> bool:
        """Make one write, and return whether its condition held.

        Requests: 1.
        """
        return self.scope.core.write_one(write).done

    def write(self, writes: Iterable[Write]) -> list[bool]:
        """Make writes as one batch, and return of each whether its condition held. They may be done in any order.

        Raises:
            DataStoreError: The first error of any of them; the others may be done.
        """
        outcomes = self.scope.core.write(list(writes))
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error.during("keeping a run", self.scope.core.backend.name)
        return [outcome.done for outcome in outcomes]


def _refuse(error: DamagedRecordError) -> NoReturn:
    raise error  # a journal with a gap is another journal
