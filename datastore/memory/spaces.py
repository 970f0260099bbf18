"""The vectors that a store has in memory, of all namespaces that were searched, and how they are kept fresh.

What is in memory is brought up to date by each search, and by nothing else (`datastore.memory.changes`). It belongs to
the store and not to an agent: it is looked up after the agent's own reads have shown that it may read the namespace.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from datastore.backend import Fields
from datastore.core import Core
from datastore.errors import BackendUnavailableError, DamagedRecordError
from datastore.memory.changes import SECONDS, Change, Changes, End, Model
from datastore.memory.keywords import Index
from datastore.memory.late import Late
from datastore.memory.vectors import Stored, all_vectors, id_at, stored_in
from datastore.retry import Backoff
from datastore.scope import Scope

if TYPE_CHECKING:
    from datastore.memory.matrix import Matrix

BYTES = 512 * 1024 * 1024
"""How much memory the vectors of all namespaces may take together: 250,000 of 384 dimensions. The namespace that was
searched longest ago goes first. One that is larger than this alone is read for each search."""
_AT_ONCE = 4_096  # vectors that are added at once
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0  # seconds between two readings of everything


class Space:
    """The vectors of one namespace, as of some change."""

    __slots__ = ("_lock", "compared", "known", "matrix", "others", "words")

    def __init__(self, known: Change, matrix: Matrix) -> None:
        self.known = known
        """The last change that is in it."""
        self.matrix = matrix
        self.compared = -inf
        """When it was compared with the whole list of changes, by the store's clock."""
        self.others: dict[str, str] = {}
        """The keys of the records, by revision, whose vectors are of another model."""
        self.words = Index()
        """The words of their texts, if some were searched by these."""
        self._lock = threading.Lock()  # held for work in memory alone

    @property
    def size(self) -> int:
        """About how much memory it takes, in bytes."""
        return self.matrix.size + self.words.size

    def take(self, rows: list[Stored], change: Change | None = None) -> None:
        """Add vectors.

        Args:
            rows: The vectors.
            change: The last change that is in it now: the next search goes on from there, unless one has gone further.
        """
        with self._lock:
            models = "", (change or self.known).model.name
            mine = [row for row in rows if row.model in models and row.dimensions == self.matrix.dimensions]
            self.matrix.add(mine)
            self.others |= {row.revision: row.key for row in rows} if len(mine) < len(rows) else {}
            for row in mine if self.others else ():
                self.others.pop(row.revision, None)
            if change is not None and change.number > self.known.number:
                self.known = change._replace(revisions=())

    def follow(self, change: Change) -> None:
        """Note a change whose vectors were taken, if it comes right after what is known: nothing is between them."""
        with self._lock:
            if change.number == self.known.number + 1 and change.model == self.known.model:
                self.known = change

    def forget(self, revisions: Sequence[str]) -> None:
        """Leave out vectors of which it is certain that they never count again."""
        self.words.forget(revisions)
        with self._lock:
            self.matrix.forget(revisions)
            self.matrix = self.matrix.packed()
            for revision in revisions:
                self.others.pop(revision, None)


class Spaces:
    """The spaces of a store, and the ends of their lists of changes."""

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self.late = Late()
        self._spaces: OrderedDict[str, Space] = OrderedDict()
        self._lock = threading.Lock()

    def changes(self, area: Scope) -> Changes:
        """Return the list of changes of a namespace."""
        return Changes(area, self.ends)

    def known(self, area: Scope) -> Space | None:
        """Return what is in memory of a namespace."""
        with self._lock:
            return self._spaces.get(area.prefix)

    def recent(self, area: Scope) -> Space | None:
        """Return what is in memory, if it was compared with the whole list of changes in the last `SECONDS`."""
        space = self.known(area)
        if space is None or not 0 <= area.core.clock() - space.compared < SECONDS:
            return None
        self._keep(area.prefix, space)
        return space

    def fresh(self, area: Scope) -> Space | None:
        """Return the vectors of a namespace, as of now; ``None`` if it has none.

        Requests: 1; 1 more per 1,000 vectors that are new. If nothing is in memory, 2, and 1 per page of vectors.

        Raises:
            BackendUnavailableError: If what was read is too old each time: the database's listings lag behind.
        """
        changes = self.changes(area)
        backoff = Backoff(area.core.max_seconds / 2, _FIRST_DELAY, _LONGEST_DELAY)
        while True:
            began = area.core.clock()
            space = self.known(area)
            if space is None:
                last = changes.last()
                if last is None:
                    return None
                space = _loaded(area, last)
            news = changes.since(space.known)
            if news is None or (news and _is_another(space.known.model, news[-1].model)):
                if self._drop(area.prefix, space) or backoff.wait():
                    continue
                raise BackendUnavailableError(
                    f"its listings do not show what it has stored, for {area.core.max_seconds / 2:g} s; try again later"
                ).during(f"searching namespace {area.namespace.partition(':')[2]!r}", area.core.backend.name)
            if news:
                space.take(_read(area, space, [one for change in news for one in change.revisions]), news[-1])
            space.compared = began
            self._keep(area.prefix, space)
            return space

    def _keep(self, prefix: str, space: Space) -> None:
        with self._lock:
            self._spaces[prefix] = space
            self._spaces.move_to_end(prefix)
            left = BYTES
            for one, kept in reversed(list(self._spaces.items())):
                left -= kept.size
                if left < 0:
                    del self._spaces[one]

    def _drop(self, prefix: str, space: Space) -> bool:
        """Remove a space, and return whether it was kept: if not, it has just been read."""
        with self._lock:
            is_kept = self._spaces.get(prefix) is space
            if is_kept:
                del self._spaces[prefix]
            return is_kept


def spaces_of(core: Core) -> Spaces:
    """Return the spaces of a store."""
    root = core.root
    spaces: Spaces | None = root.spaces
    if spaces is None:
        root.spaces = spaces = Spaces()  # if two do this at once, one of them forgets what it has read
    return spaces


def _is_another(known: Model, now: Model) -> bool:
    return known.dimensions != now.dimensions or known.name not in ("", now.name)


def _loaded(area: Scope, last: Change) -> Space:
    from datastore.memory.matrix import Matrix  # imported here, because it needs numpy, and takes long

    space = Space(last._replace(revisions=()), Matrix(last.model.dimensions))
    rows = list[Stored]()
    for documents in area.core.pages(all_vectors(area), Fields.VALUE, None, None, _raise):
        rows += stored_in(area, documents)
        if len(rows) >= _AT_ONCE:
            space.take(rows)
            rows = []
    space.take(rows)
    return space


def _read(area: Scope, space: Space, revisions: list[str]) -> list[Stored]:
    """Return the vectors that are new. One that is not there was removed since, with its record."""
    new = [revision for revision in dict.fromkeys(revisions) if revision not in space.matrix]
    found = area.core.read([id_at(area, one) for one in new], Fields.VALUE)
    return stored_in(area, list(found.values()))


def _raise(error: DamagedRecordError) -> None:
    raise error
