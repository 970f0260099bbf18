"""Making the vectors of a namespace anew with another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datastore.adapters.batching import batches
from datastore.backend import Fields
from datastore.calls.steps import Steps
from datastore.errors import DamagedRecordError
from datastore.ids import encode_key
from datastore.memory.changes import Model
from datastore.memory.embedding import embedding_parts, needed
from datastore.memory.spaces import spaces_of
from datastore.memory.vectors import AREA, Stored, all_vectors, put, stored_in
from datastore.memory.writing import discard
from datastore.scope import Scope

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


def _raise(error: DamagedRecordError) -> None:
    raise error
