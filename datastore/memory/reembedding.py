"""Making the vectors of a namespace anew with another model, and removing those that do not count any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from datastore.adapters.batching import batches
from datastore.backend import Delete, Fields
from datastore.calls.steps import Steps
from datastore.core import Core
from datastore.documents import skip
from datastore.errors import DamagedRecordError
from datastore.ids import encode_key, home_of
from datastore.memory.changes import GRACE, Model
from datastore.memory.embedding import embedding_parts, needed
from datastore.memory.spaces import spaces_of
from datastore.memory.vectors import AREA, Stored, all_vectors, id_at, put, readable_in, stored_in
from datastore.memory.writing import discard
from datastore.reminders import Swept
from datastore.scope import Scope
from datastore.times import format_time

_AT_ONCE = 100


def reembedding(scope: Scope, progress: Callable[[int, int], object] | None) -> Steps:
    """Return the steps of `datastore.memory.Memory.reembed`; their result: how many vectors were made.

    A vector is written anew where it is, so that it is there at every moment, of one model or of the other. Vectors of
    the new model are left as they are: an interrupted call goes on.
    """
    core, area = scope.core, scope.area(AREA)
    embedder, changes = needed(core.root.embedder), spaces_of(core).changes(area)
    core.check_writes(scope.prefix)
    if changes.last() is None:
        return 0
    model = Model(embedder.name, embedder.dimensions)
    changes.add((), lambda _: model._replace(complete=False))
    total = sum(len(ids) for ids in core.all_ids(all_vectors(area)))
    done = made = 0
    for documents in core.pages(all_vectors(area), Fields.VALUE, on_damaged=_raise):
        for some in batches(stored_in(area, documents), max(embedder.batch, _AT_ONCE)):
            others = [one for one in some if one.model != model.name or one.dimensions != model.dimensions]
            values = _values(scope, others)
            again = [one for one in others if isinstance(values.get(one.revision), str)]
            texts, splits = [values[one.revision] for one in again], [one.split for one in again]
            made_now = yield from embedding_parts(embedder, texts, splits)
            _write(scope, [
                one._replace(model=model.name, vector=vector, parts=parts)
                for one, (vector, parts, _) in zip(again, made_now, strict=True)
            ])  # fmt: skip
            discard(scope, [one.revision for one in others if not isinstance(values.get(one.revision, ""), str)])
            if again:
                changes.add([one.revision for one in again], lambda known: known or model)
            done, made = done + len(some), made + len(again)
            if progress is not None:
                progress(done, max(done, total))
    changes.add((), lambda _: model)
    return made


def _values(scope: Scope, vectors: Sequence[Stored]) -> dict[str, Any]:
    """Return the values of the records of those vectors that count, by revision."""
    ids = [scope.prefix + encode_key(key) for key in dict.fromkeys(one.key for one in vectors)]
    found = scope.core.read(ids, Fields.VALUE).values()
    return {document.revision: document.value for document in found}


def _write(scope: Scope, vectors: Sequence[Stored]) -> None:
    area, moment = scope.area(AREA), scope.moment()
    for outcome in scope.core.write([put(area, moment, one) for one in vectors]):
        if outcome.error is not None:
            raise outcome.error.during(f"making vectors of namespace {scope.namespace!r} anew", scope.core.backend.name)


def sweep(area: Scope) -> Swept:
    """Remove the vectors of records that were replaced, removed, or have expired.

    One that cannot be read stays, and is logged: whose it is cannot be told, and it must not keep up the others.

    Args:
        area: The scope of the area.

    Requests: 1, and 1 per page of vectors; for each 100 of them 1, and those that remove.
    """
    core, removed = area.core, 0
    for dead in _dead(area):
        for outcome in core.write([Delete(id, core.now()) for id in dead]):
            if outcome.error is not None:
                raise outcome.error.during("removing vectors without a record", core.backend.name)
        removed += len(dead)
    is_used = spaces_of(core).changes(area).last() is not None
    return Swept(removed, core.clock() + GRACE if is_used else None)


def waiting(area: Scope) -> int:
    """Return how many vectors `sweep` would remove. Nothing is removed."""
    return sum(map(len, _dead(area)))


def _dead(area: Scope) -> Iterator[list[str]]:
    """Yield the ids of the vectors that do not count, and were not written just now: their record may come yet."""
    core, home = area.core, home_of(area.prefix)
    until = format_time(core.clock() - GRACE)
    for documents in core.pages(all_vectors(area), Fields.VALUE):
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


def _raise(error: DamagedRecordError) -> None:
    raise error
