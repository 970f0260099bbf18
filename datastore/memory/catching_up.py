"""Vectors for records that were stored without one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datastore.adapters.batching import batches
from datastore.arguments import as_text
from datastore.backend import Fields
from datastore.calls.batches import keys_of
from datastore.calls.steps import Steps
from datastore.ids import encode_key
from datastore.memory.embedding import embedding_parts, needed
from datastore.memory.splitting import check_split
from datastore.memory.vectors import AREA, Stored, id_at, readable_in
from datastore.memory.writing import check_model, tell, tell_again
from datastore.scope import Scope

_AT_ONCE = 100


def catching_up(scope: Scope, keys: Iterable[str], split: Any = None) -> Steps:
    """Return the steps of `datastore.memory.Memory.embed`.

    A vector belongs to the revision that was read. If the record has another one by then, the vector never counts, and
    goes as those of replaced records do: so nobody's change is lost, and no record is written. A vector that is there
    may be one of which nobody was told, by a process that died: so all are told of it.
    """
    core, area, splitter = scope.core, scope.area(AREA), check_split(split)
    core.check_writes(scope.prefix)
    embedder = needed(core.root.embedder)
    ids, done = {scope.prefix + encode_key(key): as_text(key) for key in keys_of(keys)}, dict[str, bool]()
    if ids:
        check_model(scope, embedder, [None])
    for some in batches(ids, max(_AT_ONCE, embedder.batch)):
        there = list(core.read(some, Fields.VALUE).values())
        vectors = core.read([id_at(area, one.revision) for one in there], Fields.VALUE)
        bare = [one for one in there if type(one.value) is str and id_at(area, one.revision) not in vectors]
        texts = [one.value for one in bare]
        made = yield from embedding_parts(embedder, texts, [splitter] * len(texts))
        rows = [
            Stored(one.revision, ids[one.id], embedder.name, vector, scope.moment().at, parts, split)
            for one, (vector, parts, split) in zip(bare, made, strict=True)
        ]
        if rows:
            tell(scope, rows, embedder.name, of_records=True)
        if found := readable_in(area, list(vectors.values())):
            tell_again(scope, found, embedder)
        new = {one.id for one in bare}
        done |= {ids[one.id]: one.id in new for one in there}
    return done
