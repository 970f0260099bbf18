"""Writing records with vectors: first the vectors, then the change that tells of them, then the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, cast

from datastore.arguments import check_name, is_a, is_mapping, iterating
from datastore.backend import Delete, Document, Fields, Outcome, Put
from datastore.calls.batches import Item, items_of
from datastore.calls.changes import outpaced
from datastore.calls.steps import Steps
from datastore.deadlines import within
from datastore.errors import DataStoreError, InvalidValueError, kind_of
from datastore.ids import encode_key, new_key
from datastore.memory.changes import Model, fits, is_indexed
from datastore.memory.embedding import NOTHING, Embedder, embedding_parts, needed
from datastore.memory.spaces import spaces_of
from datastore.memory.splitting import Splitter, check_split
from datastore.memory.vectors import AREA, Made, Stored, id_at, packed, put, readable_in
from datastore.retry import Backoff
from datastore.scope import Scope
from datastore.values import check_metadata

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip


class Entry(NamedTuple):
    """One record to write."""

    put: Put
    vector: bytes | None
    """``None`` if it is to be made of the value, which then is a text."""
    split: Splitter | None = None
    """How that text is split; ``None`` as the embedder says."""


def entry(scope: Scope, item: Item, vector: Any, split: Any, name: str, *, if_absent: bool) -> Entry:
    """Check a record and its vector.

    Raises:
        InvalidNameError, InvalidValueError, ValueTooLargeError: If something is wrong.
    """
    splitter = check_split(split, vector)
    made = scope.put(item.key, item.value, scope.moment(item.ttl), check_metadata(item.metadata), name=name)
    if vector is None and not is_a(item.value, str):
        raise InvalidValueError(f"{name} is {kind_of(item.value)}; give text, or a vector with it")
    dimensions = None if scope.core.root.embedder is None else scope.core.root.embedder.dimensions
    where = name.replace("text", "vector", 1)
    given = None if vector is None else packed(vector, where, dimensions)
    return Entry(made._replace(if_absent=if_absent), given, splitter)


def entries(
    scope: Scope, texts: Any, metadata: Any, vectors: Any, ttl: float | timedelta | None, split: Any
) -> list[Entry]:
    """Check the arguments of `datastore.memory.Memory.add_many`."""

    def refusal() -> DataStoreError:
        return InvalidValueError(f"texts is {kind_of(texts)}; give a list of texts and Items, or a dict of texts")

    if is_a(texts, str):
        raise refusal()
    items, splitter = list[Item](), check_split(split, vectors)
    for place, one in enumerate(items_of(texts) if is_mapping(texts) else iterating(texts, refusal)):
        if type(one) is Item:
            if one.namespace is not None or one.if_revision is not None:
                raise InvalidValueError(f"texts[{place}] has a namespace or a revision, which add_many does not take")
            items.append(one)
        elif type(one) is tuple and is_mapping(texts):
            items.append(Item(*one))
        else:
            items.append(Item(new_key(""), one))
    made = [
        entry(
            scope,
            Item(
                item.key,
                item.value,
                metadata if item.metadata is None else item.metadata,
                ttl if item.ttl is None else item.ttl,
            ),
            vector,
            None,
            f"texts[{place}]",
            if_absent=True,
        )._replace(split=splitter)
        for place, (item, vector) in enumerate(zip(items, _given(vectors, len(items)), strict=True))
    ]
    if len({one.put.id for one in made}) < len(made):
        raise InvalidValueError("texts has a key more than once")
    return made


def _given(vectors: Any, number: int) -> list[Any]:
    def refusal() -> DataStoreError:
        return InvalidValueError(f"vectors is {kind_of(vectors)}; give a list of vectors")

    if vectors is None:
        return [None] * number
    if is_a(vectors, str):
        raise refusal()
    given = list(iterating(vectors, refusal))
    if len(given) != number:
        raise InvalidValueError(f"vectors has {len(given):,} vectors for {number:,} texts")
    return given


def adding(scope: Scope, given: Sequence[Entry]) -> Steps:
    """Return the steps that write new records; their result is an outcome for each, in order."""
    scope.core.check_writes(scope.prefix)
    embedder = scope.core.root.embedder
    check_model(scope, embedder, [one.vector for one in given])
    bare = [one for one in given if one.vector is None]
    texts, splits = [one.put.value for one in bare], [one.split for one in bare]
    made = iter((yield from embedding_parts(needed(embedder), texts, splits)) if bare else ())
    vectors = [next(made) if one.vector is None else Made(one.vector) for one in given]
    return store(scope, [one.put for one in given], vectors, None if embedder is None else embedder.name)


def set_one(scope: Scope, put: Put, vector: Any) -> Outcome:
    """Write a record, whether or not there is one, with a vector that was given.

    The vector that it had before is not looked for, which would take a request: no search finds it, and
    `datastore.AgentDataStore.purge_expired` removes it.

    Raises:
        InvalidValueError: If the vector is none.
        EmbedderError: If the namespace has vectors of another model; nothing was stored.
    """
    embedder = scope.core.root.embedder
    given = packed(vector, "vector", None if embedder is None else embedder.dimensions)
    scope.core.check_writes(scope.prefix)
    check_model(scope, embedder, [given])
    return _replaced(scope, put, Made(given), None if embedder is None else embedder.name)


def editing(scope: Scope, key: str, text: Any, metadata: Any, vector: Any, split: Any = None) -> Steps:
    """Return the steps that change a record, and its vector if it needs another; their result: whether there is one."""
    core, embedder = scope.core, scope.core.root.embedder
    key, changes = check_name(key, "key"), check_metadata(metadata)
    splitter = check_split(split, vector)
    if text is None and metadata is None and vector is None and splitter is None:
        raise InvalidValueError("text, metadata, vector and split are None; give what is to be changed")
    if text is not None:
        entry(scope, Item(key, text), vector, None, "text", if_absent=False)
    size = None if embedder is None else embedder.dimensions
    given = None if vector is None else Made(packed(vector, "vector", size))
    id, made, made_of = scope.prefix + encode_key(key), None, None
    core.check_writes(scope.prefix)
    backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        document = core.read_one(id, Fields.ALL)
        if document is None:
            return False
        value, model = document.value if text is None else text, None if embedder is None else embedder.name
        becomes = given or (made if made is not None and made_of == value else None)
        if becomes is None:
            old = _old(scope, document)
            is_same = text is None or (type(document.value) is str and document.value == text)
            is_same = is_same and (splitter is None or not is_a(value, str))
            if old is not None and is_same and (embedder is None or old.model in ("", model)):
                becomes, model = Made(old.vector, old.parts, old.split), old.model
            elif text is not None or (is_a(value, str) and (old is not None or splitter is not None)):
                check_model(scope, embedder, [None])
                how = splitter or (None if old is None else old.split)
                known = _parts_of(old, document.value, model)
                (made,) = yield from embedding_parts(needed(embedder), [value], [how], known)
                becomes, made_of = made, value
        put = scope.put(key, value, scope.moment(), changes, name="text")
        outcome = _replaced(scope, put._replace(if_revision=document.revision, keep_expiry=True), becomes, model)
        if outcome.done:
            if becomes is not None:
                discard(scope, [document.revision])
            return True
        if outcome.revision is None:
            return False
        if not backoff.wait():
            raise outpaced(scope, key, core.max_seconds, outcome.revision)


def remove(scope: Scope, key: str) -> bool:
    """Remove a record and its vector; return whether there was one."""
    id, core = scope.prefix + encode_key(key), scope.core
    core.check_writes(scope.prefix)
    with within(core.max_seconds):
        document = core.read_one(id, Fields.VALUE)
        if document is None:
            return False
        done = core.write_one(Delete(id, core.now(), seen=document.created_at)).done
        discard(scope, [document.revision])
    return done


def store(scope: Scope, puts: Sequence[Put], vectors: Sequence[Made], name: str | None) -> list[Outcome]:
    """Write records with vectors, and return an outcome for each.

    Args:
        scope: Whose they are.
        puts: The records.
        vectors: A vector for each.
        name: The model that has made the vectors; ``None`` if that is not known.

    Raises:
        EmbedderError: If the namespace has vectors of another model; nothing was stored.
    """
    core = scope.core
    if not puts:
        return []
    with within(core.max_seconds):
        at = scope.moment().at
        rows = zip(puts, vectors, strict=True)
        tell(scope, [Stored(one.revision, one.key, name or "", made.vector, at, *made[1:]) for one, made in rows], name)
        outcomes = core.write(puts)
        refused = [one.revision for one, outcome in zip(puts, outcomes, strict=True) if _is_refused(outcome)]
        if refused:
            discard(scope, refused)
    return outcomes


def tell(scope: Scope, rows: Sequence[Stored], name: str | None, *, of_records: bool = False) -> None:
    """Write vectors, and the change that tells of them.

    Args:
        scope: Whose they are.
        rows: The vectors, at least one.
        name: As `store`.
        of_records: Whether they are of records that are there. Then others may write the same vectors and tell of
            them, so these stay if this fails.

    Raises:
        EmbedderError: As `store`.
    """
    core, area = scope.core, scope.area(AREA)
    spaces, revisions, moment = spaces_of(core), [one.revision for one in rows], scope.moment()
    changes = spaces.changes(area)
    models = [changes.model()]

    def becomes(known: Model | None) -> Model:
        fitting = fits(known, name, rows[0].dimensions)
        models.append(fitting._replace(split=True) if any(row.parts for row in rows) else fitting)
        return cast(Model, models[-1])

    indexed = is_indexed(models[0])
    _write(scope, [put(area, moment, row, indexed=indexed) for row in rows])
    try:
        added = changes.add(revisions, becomes)
        if is_indexed(models[-1]):
            if not indexed:  # the index was declared meanwhile
                _write(scope, [put(area, moment, row, indexed=True) for row in rows])
            spaces.late.note(area.prefix, rows, core.clock())
    except DataStoreError:
        if not of_records:
            discard(scope, revisions)
        raise
    if (space := spaces.known(area)) is not None:
        space.take(list(rows))
        for change in added:
            space.follow(change)


def tell_again(scope: Scope, found: Sequence[Stored], embedder: Embedder) -> None:
    """Add a change that names vectors that are there: whoever wrote them may have died before it told of them.

    Requests: those of `datastore.memory.changes.Changes.add`.
    """

    def becomes(known: Model | None) -> Model:
        fitting = fits(known, embedder.name, embedder.dimensions)
        return fitting._replace(split=True) if any(row.parts for row in found) else fitting

    spaces_of(scope.core).changes(scope.area(AREA)).add([row.revision for row in found], becomes)


def _write(scope: Scope, puts: Sequence[Put]) -> None:
    """Write vectors; raise if one of them was not."""
    for outcome in scope.core.write(puts):
        if outcome.error is not None:
            raise outcome.error.during(f"adding vectors to namespace {scope.namespace!r}", scope.core.backend.name)


def discard(scope: Scope, revisions: Sequence[str]) -> None:
    """Remove vectors that do not count any more, and never will."""
    area, core = scope.area(AREA), scope.core
    if (space := spaces_of(core).known(area)) is not None:
        space.forget(revisions)
    for outcome in core.write([Delete(id_at(area, revision), core.now()) for revision in revisions]):
        if outcome.error is not None:
            raise outcome.error.during(f"removing vectors of namespace {scope.namespace!r}", core.backend.name)


def _is_refused(outcome: Outcome) -> bool:
    return not outcome.done and outcome.error is None


def check_model(scope: Scope, embedder: Any, vectors: Iterable[bytes | None]) -> None:
    """Check, before anything is embedded or written, what vectors are to be added; ``None`` for those to be made.

    Raises:
        EmbedderError: If the namespace has another model.
        InvalidValueError: If they are of different sizes.
    """
    given = {len(one) // 4 for one in vectors if one is not None}
    sizes = given if embedder is None else {embedder.dimensions}
    if len(sizes) > 1:
        raise InvalidValueError("vectors have different numbers of dimensions; all must have as many")
    known = spaces_of(scope.core).changes(scope.area(AREA)).model()
    for size in sizes:
        fits(known, None if embedder is None else embedder.name, size)


def _old(scope: Scope, document: Document) -> Stored | None:
    """Return the vector that a record has; ``None`` if it cannot be read: then another one is made."""
    area = scope.area(AREA)
    found = scope.core.read_one(id_at(area, document.revision), Fields.VALUE)
    return None if found is None else next(iter(readable_in(area, [found])), None)


def _parts_of(old: Stored | None, text: Any, model: str | None) -> Mapping[str, bytes]:
    """Return the vectors of the parts of a text that a model has made, by their texts."""
    if old is None or not old.parts or old.model != model or type(text) is not str:
        return NOTHING
    size = 4 * old.dimensions
    return {text[start:end]: old.vector[place * size :][:size] for place, (start, end) in enumerate(old.parts)}


def _replaced(scope: Scope, put: Put, vector: Made | None, model: str | None) -> Outcome:
    """Write the new state of a record, with its vector if it has one."""
    if vector is None:
        return scope.core.write_one(put)
    (outcome,) = store(scope, [put], [vector], model)
    if outcome.error is not None:
        raise outcome.error.during(f"writing {put.key!r} of namespace {scope.namespace!r}", scope.core.backend.name)
    return outcome
