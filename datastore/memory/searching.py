"""The nearest records of a namespace: those that are there now, and match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast, get_args

from datastore.arguments import as_number, as_text, is_a, shown
from datastore.backend import Document, Fields, Query
from datastore.calls.listings import most
from datastore.calls.planning import PlannedQuery, parse_query
from datastore.calls.steps import Steps
from datastore.deadlines import check, within
from datastore.documents import key_of
from datastore.errors import EmbedderError, InvalidValueError, QueryError, kind_of
from datastore.ids import encode_key
from datastore.memory.changes import GRACE, searchable
from datastore.memory.embedding import embedding, needed
from datastore.memory.indexing import EXACT_UP_TO, Answer, by_index
from datastore.memory.items import Match, Metric, Ranked
from datastore.memory.spaces import Space, spaces_of
from datastore.memory.vectors import AREA, packed
from datastore.scope import Scope
from datastore.times import format_time


class Asked(NamedTuple):
    """What a search asks for, checked."""

    query: str | bytes
    """A text, or a vector."""
    number: int
    filter: Query | None
    least: float | None
    metric: Metric
    exact: bool = True


def asked(
    scope: Scope,
    query: Any,
    n: int,
    filter: Any,
    meta: Any,
    min_score: float | None,
    metric: Metric,
    exact: bool = True,
) -> Asked:
    """Check the arguments of a search.

    Raises:
        InvalidValueError, QueryError: If one of them is wrong; the message names it.
    """
    if n is None:
        raise InvalidValueError("n is None; it must be an int")
    least = None if min_score is None else as_number(min_score)
    if min_score is not None and least is None:
        raise InvalidValueError(f"min_score is {kind_of(min_score)}; it must be a number")
    if not is_a(metric, str) or as_text(metric) not in get_args(Metric):
        choices = ", ".join(map(repr, get_args(Metric)))
        raise QueryError(f"metric is {shown(metric)}; it must be one of {choices}")
    if not is_a(exact, bool):
        raise QueryError(f"exact is {kind_of(exact)}; it must be True or False")
    parsed = None if filter is None and meta is None else parse_query(filter, meta)
    embedder = scope.core.root.embedder
    dimensions = None if embedder is None else embedder.dimensions
    what = as_text(query) if is_a(query, str) else packed(query, "text_or_vector", dimensions)
    return Asked(what, _number(n), parsed, least, cast(Metric, as_text(metric)), bool(exact))


def _number(n: int) -> int:
    try:
        return most(n)
    except (InvalidValueError, QueryError) as error:
        raise type(error)(error.message.replace("limit", "n", 1).replace(", or None for no limit", "")) from None


def searching(scopes: Sequence[Scope], asked: Asked, number: int) -> Steps:
    """Return the steps of a search in namespaces; their result is a list of matches for each of these.

    Args:
        scopes: Those of the namespaces.
        asked: What is asked for.
        number: How many matches are wanted of each.
    """
    core = scopes[0].core
    for scope in scopes:
        scope.core.check_reads(scope.prefix)
    core.check_open()
    name = None if core.root.embedder is None else core.root.embedder.name
    vector = asked.query
    if isinstance(vector, str):
        (vector,) = yield from embedding(needed(core.root.embedder), [vector])
    return [_answer(scope, asked, cast(bytes, vector), name, number) for scope in scopes]


def _answer(scope: Scope, asked: Asked, vector: bytes, name: str | None, number: int) -> list[tuple[float, Document]]:
    found = None if asked.exact else indexed(scope, asked, vector, name, number).found
    return nearest(scope, asked, vector, name, number) if found is None else found


def indexed(scope: Scope, asked: Asked, vector: bytes, name: str | None, number: int) -> Answer:
    """Return what the index of the database has found."""
    has_filter = asked.filter is not None
    return by_index(scope, vector, asked.metric, asked.least, filtered=has_filter, name=name, number=number)


def explaining(scope: Scope, asked: Asked) -> Steps:
    """Return the steps of `datastore.memory.Memory.explain`."""
    core = scope.core
    scope.core.check_reads(scope.prefix)
    core.check_open()
    embedder, vector = core.root.embedder, asked.query
    name = None if embedder is None else embedder.name
    if isinstance(vector, str):
        (vector,) = yield from embedding(needed(embedder), [vector])
    vector = cast(bytes, vector)
    answer = Answer(None) if asked.exact else indexed(scope, asked, vector, name, asked.number)
    found, compared = answer.found, answer.compared
    if found is None:
        found = nearest(scope, asked, vector, name, asked.number)
        space = spaces_of(core).fresh(scope.area(AREA)) if found else None
        compared = 0 if space is None else len(space.matrix)
    return {
        "backend": core.backend.name,
        "exact": answer.found is None,
        "why_exact": None if answer.found is not None else answer.why or "exact=True",
        "vectors_compared": compared,
        "many": compared > EXACT_UP_TO,
        "records_returned": len(found),
    }


def nearest(scope: Scope, asked: Asked, vector: bytes, name: str | None, number: int) -> list[tuple[float, Document]]:
    """Return the nearest records of a namespace with their scores, from the nearest on."""
    with within(scope.core.max_seconds):
        area = scope.area(AREA)
        space = spaces_of(scope.core).fresh(area)
        if space is None:
            return []
        searchable(space.known.model, name, len(vector) // 4)
        _check_others(scope, space)
        if asked.filter is not None:
            return _among(scope, space, asked, vector, number)
        return _of_all(scope, space, asked, vector, number)


def matches(found: Iterable[tuple[float, Document]]) -> list[Match]:
    """Return what the caller is given."""
    from datastore.record import to_record  # imported here, because importing Pydantic takes long

    made = list[Match]()
    for score, document in found:
        record = to_record(document)
        text = record.value if isinstance(record.value, str) else None
        made.append(Match(record.key, score, text, record.metadata, record))
    return made


def _of_all(scope: Scope, space: Space, asked: Asked, vector: bytes, number: int) -> list[tuple[float, Document]]:
    found, core, matrix = list[tuple[float, Document]](), scope.core, space.matrix
    until, dead = format_time(core.clock() - GRACE), list[str]()
    for some in matrix.ranked(vector, asked.metric, number):
        check()
        near = [one for one in some if asked.least is None or one.score >= asked.least]
        for one, document in zip(near, _documents(scope, near), strict=True):
            if document is not None:
                found.append((one.score, document))
            elif matrix.written_at(one.place) <= until:  # its record was written long ago, if ever
                dead.append(one.revision)
        if len(found) >= number or len(near) < len(some):
            break
    if dead:
        space.forget(dead)
    return found[:number]


def _documents(scope: Scope, ranked: Sequence[Ranked]) -> list[Document | None]:
    """Return the live record of each row; ``None`` where there is none at the revision of the row."""
    ids = [scope.prefix + encode_key(one.key) for one in ranked]
    wanted = list(dict.fromkeys(ids))
    documents = scope.core.tracker.with_pending(lambda: list(scope.core.read(wanted, Fields.ALL).values()))
    by_id = {document.id: document for document in documents}
    found = [by_id.get(id) for id in ids]
    return [
        document if document is not None and document.revision == one.revision else None
        for document, one in zip(found, ranked, strict=True)
    ]


def _among(scope: Scope, space: Space, asked: Asked, vector: bytes, number: int) -> list[tuple[float, Document]]:
    """Return the nearest of the records that match: these are found first, all of them."""
    planned = PlannedQuery(scope, cast(Query, asked.filter), Fields.ALL)
    documents = {document.revision: document for document in planned.documents()}
    found = list[tuple[float, Document]]()
    for one in space.matrix.among(documents, vector, asked.metric):
        if len(found) == number or (asked.least is not None and one.score < asked.least):
            break
        document = documents[one.revision]
        if key_of(document.id) == one.key:
            found.append((one.score, document))
    return found


def _check_others(scope: Scope, space: Space) -> None:
    """Raise if a record has a vector of another model, which another process wrote while all were made anew."""
    others = dict(space.others)
    if not others:
        return
    ids = [scope.prefix + encode_key(key) for key in dict.fromkeys(others.values())]
    documents = scope.core.read(ids, Fields.VALUE)
    for document in documents.values():
        if others.get(document.revision) is not None:
            raise EmbedderError(
                f"the vector of {key_of(document.id)!r} is of another model than the others of namespace "
                f"{scope.namespace!r}; call memory.reembed()"
            )
