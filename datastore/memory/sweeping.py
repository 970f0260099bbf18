"""Removing the vectors that do not count any more.

Nothing tells when a record goes, so what is due is found by looking, and how far one looks depends on what one finds:
at `_SOME` vectors and a sixteenth of them all, another one each hour, and on as long as one in `_WORTH` does not count.
So a namespace in which little is due costs little, all that is due goes at once where it is much, and everything is
looked at in the end. Revisions are random, so each sixteenth is a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datastore.adapters.batching import batches
from datastore.backend import Delete, Document, Fields, IdRange
from datastore.core import Core
from datastore.documents import skip
from datastore.errors import DamagedRecordError
from datastore.ids import encode_key, home_of
from datastore.memory.changes import GRACE
from datastore.memory.spaces import spaces_of
from datastore.memory.vectors import all_vectors, id_at, readable_in
from datastore.reminders import Swept
from datastore.scope import Scope
from datastore.times import format_time

_AT_ONCE = 100
_SOME = 1_000
_WORTH = 20
_STEP = 2**0.5


def sweep(area: Scope) -> Swept:
    """Remove vectors of records that were replaced, removed, or have expired.

    One that cannot be read stays, and is logged: whose it is cannot be told, and it must not keep up the others.

    Args:
        area: The scope of the area.

    Requests: 2, and 1 per page of vectors after the first; for each 100 of them 1, and those that remove.
    """
    core, removed, seen = area.core, 0, 0
    for documents, is_past in _around(area):
        for dead in _dead(area, documents):
            for outcome in core.write([Delete(id, core.now()) for id in dead]):
                if outcome.error is not None:
                    raise outcome.error.during("removing vectors without a record", core.backend.name)
            removed += len(dead)
        seen += len(documents)
        if is_past and seen >= _SOME and removed * _WORTH < seen:
            break
    is_used = spaces_of(core).changes(area).last() is not None
    return Swept(removed, core.clock() + GRACE if is_used else None)


def waiting(area: Scope) -> int:
    """Return how many vectors `sweep` would remove in the end. Nothing is removed."""
    pages = area.core.pages(all_vectors(area), Fields.VALUE)
    return sum(len(dead) for documents in pages for dead in _dead(area, documents))


def _around(area: Scope) -> Iterator[tuple[Sequence[Document], bool]]:
    """Yield all vectors, page by page, from the sixteenth of this hour on; and whether a page is past its end.

    The one of the next hour is not the next one, for whoever purges once a day would meet few of them. The parts of the
    multiples of an irrational number are spread evenly (Weyl); of the square root of two also those of each 24th.
    """
    whole = all_vectors(area)
    first = int(area.core.clock() // GRACE * _STEP % 1 * 16)
    begin, end = id_at(area, f"{first:x}"), id_at(area, f"{first + 1:x}") if first < 15 else whole.end
    for documents in area.core.pages(IdRange(begin, whole.end), Fields.VALUE):
        yield documents, not documents or documents[-1].id >= end
    for documents in area.core.pages(IdRange(whole.start, begin), Fields.VALUE):
        yield documents, True


def _dead(area: Scope, documents: Sequence[Document]) -> Iterator[list[str]]:
    """Yield the ids of those vectors that do not count, and were not written just now: their record may come yet."""
    core, home = area.core, home_of(area.prefix)
    until = format_time(core.clock() - GRACE)
    for some in batches((one for one in documents if one.created_at <= until), _AT_ONCE):
        vectors = readable_in(area, some)
        owners = [f"{home}{encode_key(one.key)}" for one in vectors]
        there = _revisions(core, list(dict.fromkeys(owners)))
        yield [
            id_at(area, one.revision)
            for one, owner in zip(vectors, owners, strict=True)
            if there.get(owner, "") not in (one.revision, None)
        ]


def _revisions(core: Core, ids: list[str]) -> dict[str, str | None]:
    """Return at which revision records are; ``None`` for one that cannot be read, whose vector somebody may want."""
    try:
        return {id: document.revision for id, document in core.read(ids, Fields.VALUE).items()}
    except DamagedRecordError as error:
        if len(ids) > 1:
            return {id: one for each in ids for id, one in _revisions(core, [each]).items()}
        skip(error)
        return {ids[0]: None}
