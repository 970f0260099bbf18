"""How a process learns that there are new vectors in a namespace: by one request, however many there are.

In the area ``vectors`` each namespace has a list of changes beside its vectors. Its documents have the keys ``w`` and a
number, without gaps; so they come after the vectors when documents are copied in their order. A change names the
revisions whose vectors were written just before it, the model, and the number of dimensions. Their records are written
after it. So whoever has read the list up to its end knows every vector that can count; which of these do, the records
say (`datastore.memory.vectors`). Nothing has to be told when a record is replaced, removed, or expires.

To look for news is to read the list from the last change that is known on, and that one with it. If it is still there,
with the same revision, what follows is all that is new. If not (it was cut off, or the list was removed and begun
anew, as by `datastore.DataStore.forget`), what is known is compared with the vectors that there are. Neither clocks
nor time decide anything.

The list is cut off at its beginning: of `KEPT` changes and more, those older than `GRACE` go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from datastore.backend import Delete, Document, Fields, IdRange
from datastore.documents import damaged
from datastore.errors import ConflictError, DamagedRecordError, DataStoreError, EmbedderError
from datastore.ids import decode_key, encode_key, key_range
from datastore.memory.vectors import FORMAT
from datastore.reminders import remind
from datastore.retry import Backoff
from datastore.scope import Scope
from datastore.times import format_time

TOGETHER = 10_000
"""The most revisions in one change; they take 270 KB."""
FEW = 16
"""After a change with more revisions comes an empty one: every search reads the last one that it knows again."""
KEPT = 256
"""After as many changes the beginning of the list is cut off."""
GRACE = 3_600.0
"""Seconds for which a change is kept at least. The number of one that was cut off must not be given again by a process
that remembers it as the next one, and it does so for `SECONDS` and the time of a call."""
SECONDS = 5.0
"""How long a process relies on the end of the list that it remembers, when it adds to it."""

_CHANGE, _DIGITS = "w", 16
_REMEMBERED = 1_000  # namespaces of which a store remembers the end of the list
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip


READY = "ready"


class Model(NamedTuple):
    """What made the vectors of a namespace."""

    name: str
    """Empty if vectors were given and there was no embedder."""
    dimensions: int
    complete: bool = True
    """``False`` while they are being made anew (`datastore.memory.Memory.reembed`)."""
    native: str = ""
    """`READY` if every vector is written for the index of the database, too; empty if none needs to be; anything else
    while those that were there before are (`datastore.memory.indexing`)."""
    split: bool = False
    """Whether a text was added in parts, whose vectors no index of a database can have."""


class Change(NamedTuple):
    """One change that was stored."""

    number: int
    revision: str
    """Of its own document: it tells this change from any other that ever had its number."""
    model: Model
    revisions: Sequence[str]
    """Of the records whose vectors were written."""
    reload: bool = False
    """Vectors were written that it does not name: by `datastore.moving`."""


class End(NamedTuple):
    """The end of a list, as a process remembers it."""

    change: Change | None
    """``None`` if there is no list."""
    at: float
    """When it was the end, by the store's clock."""


class Changes:
    """The list of changes of one namespace.

    Args:
        area: The scope of the area.
        ends: Where the ends of lists are remembered.
    """

    def __init__(self, area: Scope, ends: dict[str, End]) -> None:
        self._area = area
        self._core = area.core
        self._ends = ends

    def last(self) -> Change | None:
        """Return the last change. Requests: 1."""
        began = self._core.clock()
        for document in self._core.scan(key_range(self._area.prefix, _CHANGE), Fields.VALUE, 1, _raise, reverse=True):
            return self._remember(self._in(document), began)
        self._ends[self._area.prefix] = End(None, began)
        return None

    def model(self) -> Model | None:
        """Return the model of the namespace, as it was some seconds ago at most; ``None`` if there are no vectors.

        Requests: 1, or none if it was looked at in the last `SECONDS`.
        """
        end = self._ends.get(self._area.prefix)
        if end is not None and 0 <= self._core.clock() - end.at < SECONDS:
            return None if end.change is None else end.change.model
        change = self.last()
        return None if change is None else change.model

    def since(self, known: Change) -> list[Change] | None:
        """Return the changes after a known one; ``None`` if that cannot be told, because it is not there any more.

        Requests: 1 per page of the database. 1 more if changes are missing in the listing.
        """
        began = self._core.clock()
        ids = IdRange(self._id(known.number), key_range(self._area.prefix, _CHANGE).end)
        found = [self._in(one) for one in self._core.scan(ids, Fields.VALUE, None, _raise)]
        if not found or found[0][:2] != known[:2]:
            return None
        changes = {change.number: change for change in found[1:]}
        if not changes:
            self._remember(known, began)
            return []
        # Not every database lists at one moment: a change may be missing, and a later one be there, if both were added
        # while it was listed. The one before a change was there before it.
        last = max(changes)
        missing = [number for number in range(known.number + 1, last) if number not in changes]
        if len(missing) > KEPT:
            return None
        if missing:
            some = self._core.read([self._id(number) for number in missing], Fields.VALUE)
            changes |= {change.number: change for change in map(self._in, some.values())}
            if len(changes) < last - known.number:
                return None
        if any(change.reload for change in changes.values()):
            return None
        self._remember(changes[last], began)
        return [changes[number] for number in sorted(changes)]

    def watched(self, known: Change) -> tuple[str, str]:
        """Return the ids of the documents that tell whether a known change is still the last one; see `is_last`."""
        return self._id(known.number), self._id(known.number + 1)

    @staticmethod
    def is_last(known: Change, watched: Sequence[str], found: Mapping[str, Document]) -> bool:
        """Return whether a change was the last one when the documents under the `watched` ids were read, all at once.

        Numbers have no gaps, and what is cut off was there for `GRACE`: so this holds for a change that was in the list
        some seconds ago, when all of it was read.
        """
        this, next = watched
        return this in found and next not in found and found[this].revision == known.revision

    def add(self, revisions: Sequence[str], model: Callable[[Model | None], Model]) -> list[Change]:
        """Add changes to the list, and return them.

        Args:
            revisions: Of the records whose vectors were written.
            model: Returns the model that the namespace has then, for the one that it has; raises what keeps the change
                from being added.

        Requests: 1 for each `TOGETHER` of them, and 1 for more than `FEW`; 1 more if the end was not looked at in the
        last `SECONDS`; 2 more for each time that another was first. Each `KEPT` changes 1 more, and those that remove
        what is cut off.
        """
        parts = [revisions[start : start + TOGETHER] for start in range(0, len(revisions) or 1, TOGETHER)]
        return [self._add(part, model) for part in (*parts, *([()] if len(revisions) > FEW else []))]

    def tell_of_all(self) -> None:
        """Say that there are vectors that no change names, if there is a list. Requests: 1, or 2."""
        last = self.last()
        if last is not None:
            self._add((), lambda known: (known or last.model)._replace(native=""), reload=True)

    def _add(self, revisions: Sequence[str], model: Callable[[Model | None], Model], *, reload: bool = False) -> Change:
        core, backoff = self._core, Backoff(self._core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        end = self._ends.get(self._area.prefix)
        last = end.change if end is not None and 0 <= core.clock() - end.at < SECONDS else self.last()
        if last is None:
            remind(self._area, core.clock() + GRACE)
        while True:
            began = core.clock()
            becomes = model(None if last is None else last.model)
            number = 1 if last is None else last.number + 1
            value = (
                {
                    "format": FORMAT,
                    "model": becomes.name,
                    "dimensions": becomes.dimensions,
                    "complete": becomes.complete,
                    "revisions": list(revisions),
                }
                | ({"native": becomes.native} if becomes.native else {})
                | ({"split": True} if becomes.split else {})
                | ({"reload": True} if reload else {})
            )
            put = self._area.put(_key(number), value, self._area.moment(), if_absent=True)
            if core.write_one(put).done:
                added = self._remember(Change(number, put.revision, becomes, ()), began)
                if number % KEPT == 0:
                    self._cut_off(number)
                return added
            if not backoff.wait():
                raise ConflictError(f"others were first, for {core.max_seconds:g} s; try again").during(
                    f"adding vectors to namespace {self._area.namespace.partition(':')[2]!r}", core.backend.name
                )
            last = self.last()

    def _cut_off(self, last: int) -> None:
        core = self._core
        ids = IdRange(self._id(0), self._id(last - KEPT + 1))
        until = format_time(core.clock() - GRACE)
        old = [one for one in core.scan(ids, Fields.VALUE, None, _raise) if one.created_at <= until]
        core.write([Delete(one.id, core.now(), seen=one.created_at) for one in old])

    def _remember(self, change: Change, at: float) -> Change:
        if len(self._ends) >= _REMEMBERED:
            self._ends.clear()
        self._ends[self._area.prefix] = End(change._replace(revisions=()), at)
        return change

    def _id(self, number: int) -> str:
        return self._area.prefix + encode_key(_key(number))

    def _in(self, document: Document) -> Change:
        value = document.value
        try:
            if value["format"] == FORMAT:
                number = int(decode_key(document.id[len(self._area.prefix) :])[len(_CHANGE) :])
                native, split = value.get("native", ""), value.get("split", False)
                model = Model(value["model"], value["dimensions"], value["complete"], native, split)
                revisions, kinds = value["revisions"], (str, int, bool, str, bool, list)
                if tuple(map(type, (*model, revisions))) == kinds and all(type(one) is str for one in revisions):
                    return Change(number, document.revision, model, revisions, value.get("reload") is True)
        except (LookupError, TypeError, ValueError):
            pass
        raise damaged(document.id, "it is no change of vectors of this format")


def _key(number: int) -> str:
    return f"{_CHANGE}{number:0{_DIGITS}}"


def _raise(error: DamagedRecordError) -> None:
    raise error


def fits(known: Model | None, name: str | None, dimensions: int) -> Model:
    """Return the model that a namespace has when vectors are added to it.

    Args:
        known: The one that it has.
        name: That of the embedder; ``None`` if there is none, and the vectors were given.
        dimensions: How many they have.

    Raises:
        EmbedderError: If the namespace has another one.
    """
    if known is None:
        return Model(name or "", dimensions)
    if known.dimensions != dimensions or (name is not None and known.name not in ("", name)):
        raise another(known, name, dimensions)
    return known if name is None or known.name else known._replace(name=name)


def is_searchable(known: Model, name: str | None, dimensions: int) -> bool:
    """Return whether the vectors of a namespace can be compared with one of a model: `searchable` says why not."""
    return known.complete and known.dimensions == dimensions and (name is None or known.name in ("", name))


def searchable(known: Model, name: str | None, dimensions: int) -> None:
    """Raise if the vectors of a namespace cannot be compared with one of a model.

    Raises:
        EmbedderError: If they are of another one, or are being made anew.
    """
    fits(known, name, dimensions)
    if not known.complete:
        raise EmbedderError(
            "the vectors of this namespace are being made anew, and only some of them are; call memory.reembed(), "
            "which goes on where it was interrupted"
        )


def another(known: Model, name: str | None, dimensions: int) -> DataStoreError:
    """Return the error for vectors of another model than those of the namespace."""
    there = f"{known.name!r} with {known.dimensions:,} dimensions" if known.name else f"{known.dimensions:,} dimensions"
    here = f"{name!r} with {dimensions:,}" if name is not None else f"{dimensions:,}"
    return EmbedderError(
        f"the vectors of this namespace are of {there}, and this is of {here}: they cannot be compared. Use that "
        "model, or make all of them anew with memory.reembed()"
    )


def is_indexed(model: Model | None) -> bool:
    """Return whether vectors are to be written for the index of the database, too."""
    return model is not None and bool(model.native)
