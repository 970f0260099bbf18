"""The index of a database: declared for a namespace, and searched where it is allowed.

The index finds candidates, and nothing else: it may be approximate, lag behind, and hold vectors of records that were
replaced, removed, or have expired. So the candidates are read from the table, those that this process wrote in the last
minute are added, their records are read by key and must be at the revision of the vector, and what is left is compared
exactly, as in a search without an index. Where that cannot give what was asked for, the search goes on without it.

Only vectors that were written for the index (`datastore.backend.Put.vector`) are in it, and writing each twice costs
what it weighs. So a namespace says in its list of changes (`datastore.memory.changes.Model.native`) whether they are.
Who adds a change after that one was added knows it, and who added one before has written the vectors before: so what is
there after it are all that have to be written again. Only then the index is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from datastore.adapters.batching import batches
from datastore.backend import Fields
from datastore.deadlines import within
from datastore.errors import (
    ConfigurationError,
    ConflictError,
    DamagedRecordError,
    DataStoreError,
    UnsupportedError,
)
from datastore.ids import encode_key, new_key
from datastore.memory.changes import READY, Model, searchable
from datastore.memory.items import Found, Metric
from datastore.memory.spaces import spaces_of
from datastore.memory.vectors import AREA, Stored, all_vectors, put, stored_in
from datastore.scope import Scope

EXACT_UP_TO = 100_000
"""Vectors of a namespace up to which no index is worth it; `datastore.memory.Memory.explain` says so beyond."""
_AT_ONCE = 100  # vectors that are written again at once
_SPARE = 8  # candidates whose records may be gone, besides as many as are wanted


class Answer(NamedTuple):
    """What an index has found."""

    found: list[Found] | None
    """The nearest records with their scores; ``None`` if the search has to go on without an index, ..."""
    why: str = ""
    """... and why."""
    compared: int = 0
    """How many vectors were compared here."""


def by_index(
    scope: Scope, vector: bytes, metric: Metric, least: float | None, *, filtered: bool, name: str | None, number: int
) -> Answer:
    """Search the index of the database.

    Requests: 4; 7 if most of what the index finds first are vectors of records that are gone.
    """
    core, area = scope.core, scope.area(AREA)
    most = core.backend.capabilities.nearest_at_once
    if not core.backend.capabilities.supports("nearest"):
        return Answer(None, "this database has no index of vectors")
    if filtered:
        return Answer(None, "the filter goes first, and the index cannot decide it")
    if number > most:
        return Answer(None, f"the index returns {most:,} at most")
    with within(core.max_seconds):
        spaces = spaces_of(core)
        last = spaces.changes(area).last()
        if last is None or last.model.native != READY:
            return Answer(None, "no index was declared for this namespace, or not to the end: memory.ensure_index()")
        searchable(last.model, name, len(vector) // 4)
        if last.model.split:
            return Answer(None, "texts are in parts, whose vectors no index can have")
        late = spaces.late.of(area.prefix, core.clock())
        if late is None:
            return Answer(None, "more was written in the last minute than is remembered")
        for wanted in sorted({min(most, 2 * number + _SPARE), most}):
            ids = _asked(scope, area, vector, wanted, metric)
            if ids is None:
                return Answer(None, "the database has no such index, or none for this metric")
            documents = core.read(ids, Fields.VALUE).values()
            rows = [one for one in [*stored_in(area, list(documents)), *late] if _is_of(one, last.model)]
            found, compared = _compared(scope, rows, vector, metric)
            near = [one for one in found if least is None or one.score >= least]
            if len(near) >= number or len(near) < len(found) or len(ids) < wanted:
                return Answer(near[:number], "", compared)
    return Answer(None, "too many vectors of records that are gone are near: purge_expired() removes them")


def _asked(scope: Scope, area: Scope, vector: bytes, number: int, metric: Metric) -> list[str] | None:
    core = scope.core
    return core.call(
        f"searching namespace {scope.namespace!r}",
        lambda: core.backend.nearest(all_vectors(area), vector, number, metric),
    )


def _is_of(row: Stored, model: Model) -> bool:
    return row.model in ("", model.name) and row.dimensions == model.dimensions


def _compared(scope: Scope, rows: Sequence[Stored], vector: bytes, metric: Metric) -> tuple[list[Found], int]:
    """Return those records, from the nearest on, whose vectors count, and how many vectors were compared."""
    if not rows:
        return [], 0
    from datastore.memory.matrix import Matrix  # imported here, because it needs numpy, and takes long

    matrix = Matrix(len(vector) // 4)
    matrix.add(rows)
    (ranked,) = matrix.ranked(vector, metric, len(matrix))
    ids = [scope.prefix + encode_key(one.key) for one in ranked]
    wanted = list(dict.fromkeys(ids))
    read = scope.core.tracker.with_pending(lambda: list(scope.core.read(wanted, Fields.ALL).values()))
    documents = {document.id: document for document in read}
    found = [
        Found(one.score, documents[id], one.part)
        for id, one in zip(ids, ranked, strict=True)
        if id in documents and documents[id].revision == one.revision
    ]
    return found, len(ranked)


def declaring(scope: Scope, progress: Callable[[int, int], object] | None) -> str:
    """Declare the index for a namespace; see `datastore.memory.Memory.ensure_index`."""
    core, area = scope.core, scope.area(AREA)
    core.check_writes(scope.prefix)
    core.check_open()
    if not core.backend.capabilities.supports("ensure_vectors"):
        raise UnsupportedError("this database has no index of vectors; searches are exact", backend=core.backend.name)
    changes, embedder = spaces_of(core).changes(area), core.root.embedder
    last = changes.last()
    if last is None and embedder is None:
        raise ConfigurationError(
            "this namespace has no vectors yet, and the host has given no embedder, so nothing says how many "
            "dimensions they will have; add one first"
        )
    model = Model(embedder.name, embedder.dimensions) if last is None else last.model
    dimensions, vectors = model.dimensions, all_vectors(area)
    name = core.call("declaring an index of vectors", lambda: core.backend.ensure_vectors(vectors, dimensions))
    if model.native == READY:
        return name
    mine = new_key("")
    changes.add((), lambda known: (known or model)._replace(native=mine, split=False))
    is_split = False
    total, done, moment = sum(len(ids) for ids in core.all_ids(vectors)), 0, scope.moment()
    for documents in core.pages(vectors, Fields.VALUE, on_damaged=_raise):
        for some in batches(documents, _AT_ONCE):
            vectors_of = stored_in(area, some)
            is_split = is_split or any(stored.parts for stored in vectors_of)
            again = [
                put(area, moment, stored, indexed=True)._replace(if_revision=one.revision)
                for one, stored in zip(some, vectors_of, strict=True)
                if not stored.parts
            ]
            for outcome in core.write(again):  # one that was removed or written meanwhile needs nothing
                if outcome.error is not None:
                    raise outcome.error.during(f"indexing namespace {scope.namespace!r}", core.backend.name)
            done += len(some)
            if progress is not None:
                progress(done, max(done, total))

    def becomes(known: Model | None) -> Model:
        if known is None or known.native != mine or known.dimensions != dimensions:
            raise interrupted(scope)
        return known._replace(native=READY, split=known.split or is_split)

    changes.add((), becomes)
    return name


def interrupted(scope: Scope) -> DataStoreError:
    """Return the error for an index that somebody else declares, or whose vectors somebody else makes anew."""
    return ConflictError(
        "another process has declared the index, moved vectors, or made them anew at the same time; call it again"
    ).during(f"declaring the index of namespace {scope.namespace!r}", scope.core.backend.name)


def _raise(error: DamagedRecordError) -> Any:
    raise error
