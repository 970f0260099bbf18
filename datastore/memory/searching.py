"""The nearest records of a namespace: those that are there now, and match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast, get_args, overload

from datastore import allowances
from datastore.arguments import as_bool, as_number, as_text, is_a, shown
from datastore.backend import Document, Fields, Query
from datastore.calls.listings import most
from datastore.calls.planning import PlannedQuery, compile_query, parse_query
from datastore.calls.steps import Steps
from datastore.deadlines import check, within
from datastore.documents import key_of
from datastore.errors import EmbedderError, InvalidValueError, QueryError, kind_of
from datastore.ids import encode_key
from datastore.memory.changes import GRACE, Changes, is_searchable, searchable
from datastore.memory.embedding import embedding, needed
from datastore.memory.fusing import Question, fused
from datastore.memory.indexing import EXACT_UP_TO, Answer, by_index
from datastore.memory.items import Found, Match, Metric, Ranked, match_of
from datastore.memory.spaces import Space, spaces_of
from datastore.memory.vectors import AREA, packed
from datastore.scope import Scope
from datastore.times import format_time

_MANY = 1_000
"""If no more records match a filter, they are found first."""
_ONE_OF = 20
"""Nor if no more than one of so many matches."""
_TIMES = 8
"""Of how many times as many records as should suffice are read before all that match are found after all."""


class Asked(NamedTuple):
    """What a search asks for, checked."""

    query: str | bytes
    """A text, or a vector."""
    number: int
    filter: Query | None
    least: float | None
    metric: Metric
    keywords: bool = False
    exact: bool = True


def asked(
    scope: Scope,
    query: Any,
    n: int,
    filter: Any,
    meta: Any,
    min_score: float | None,
    metric: Metric,
    keywords: bool = False,
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
    parsed = None if filter is None and meta is None else parse_query(filter, meta)
    embedder = scope.core.root.embedder
    dimensions = None if embedder is None else embedder.dimensions
    what = as_text(query) if is_a(query, str) else packed(query, "text_or_vector", dimensions)
    by_words, every = as_bool(keywords, "keywords"), as_bool(exact, "exact")
    if by_words and not isinstance(what, str):
        raise QueryError("keywords needs a text in text_or_vector, and not a vector: this has no words")
    if by_words and least is not None:
        raise QueryError("min_score cannot be given with keywords: the score is one of ranks, and says nothing alone")
    return Asked(what, _number(n), parsed, least, cast(Metric, as_text(metric)), by_words, every)


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
    name, vector = yield from _begun(scopes, asked)
    if asked.keywords:
        return _by_words_too(scopes, asked, vector, name, number)
    found = list[list[Found]]()
    for scope in scopes:
        answer = _indexed(scope, asked, vector, name, number)
        found.append(nearest(scope, asked, vector, name, number) if answer.found is None else answer.found)
    return found


def explaining(scope: Scope, asked: Asked) -> Steps:
    """Return the steps of `datastore.memory.Memory.explain`."""
    core = scope.core
    name, vector = yield from _begun([scope], asked)
    answer = _indexed(scope, asked, vector, name, asked.number)
    found, compared = answer.found, answer.compared
    if found is None:
        if asked.keywords:
            (found,) = _by_words_too([scope], asked, vector, name, asked.number)
        else:
            found = nearest(scope, asked, vector, name, asked.number)
        space = spaces_of(core).fresh(scope.area(AREA))
        compared = 0 if space is None else len(space.matrix)
    return {
        "backend": core.backend.name,
        "exact": answer.found is None,
        "why_exact": None if answer.found is not None else answer.why,
        "vectors_compared": compared,
        "many": compared > EXACT_UP_TO,
        "records_returned": len(found),
    }


def _begun(scopes: Sequence[Scope], asked: Asked) -> Steps:
    """Return the first steps of a search; their result: the name of the host's model, and what is searched for."""
    core = scopes[0].core
    for scope in scopes:
        scope.core.check_reads(scope.prefix)
    core.check_open()
    embedder, vector = core.root.embedder, asked.query
    if isinstance(vector, str):
        (vector,) = yield from embedding(needed(embedder), [vector])
    return None if embedder is None else embedder.name, vector


def _indexed(scope: Scope, asked: Asked, vector: bytes, name: str | None, number: int) -> Answer:
    """Return what the index of the database has found, if it may be asked."""
    if asked.exact:
        return Answer(None, "exact=True")
    if asked.keywords:
        return Answer(None, "with keywords the words of every record count, and the index knows none")
    has_filter = asked.filter is not None
    return by_index(scope, vector, asked.metric, asked.least, filtered=has_filter, name=name, number=number)


def _by_words_too(
    scopes: Sequence[Scope], asked: Asked, vector: bytes, name: str | None, number: int
) -> list[list[Found]]:
    question = Question(cast(str, asked.query), vector, asked.metric, asked.filter)
    with within(scopes[0].core.max_seconds):
        spaces = [_ready(scope, vector, name) for scope in scopes]
        there = [(scope, space) for scope, space in zip(scopes, spaces, strict=True) if space is not None]
        found = iter(fused(there, question, number))
        return [[] if space is None else next(found) for space in spaces]


def nearest(scope: Scope, asked: Asked, vector: bytes, name: str | None, number: int) -> list[Found]:
    """Return the nearest records of a namespace with their scores, from the nearest on."""
    with within(scope.core.max_seconds):
        area, spaces = scope.area(AREA), spaces_of(scope.core)
        space = spaces.recent(area)
        if space is not None and not space.others and is_searchable(space.known.model, name, len(vector) // 4):
            try:
                return Search(scope, space, asked, vector, number, spaces.changes(area)).found()
            except StaleError:
                pass
        space = _ready(scope, vector, name)
        return [] if space is None else Search(scope, space, asked, vector, number).found()


def _ready(scope: Scope, vector: bytes, name: str | None) -> Space | None:
    """Return the vectors of a namespace, as of now, once it is known that they can be compared with another."""
    space = spaces_of(scope.core).fresh(scope.area(AREA))
    if space is not None:
        searchable(space.known.model, name, len(vector) // 4)
        _check_others(scope, space)
    return space


def matches(found: Sequence[Found]) -> list[Match]:
    """Return what the caller is given."""
    from datastore.record import to_records  # imported here, because importing Pydantic takes long

    if not found:
        return []
    records = to_records([one.document for one in found])
    return [match_of(one.score, record, one.part) for one, record in zip(found, records, strict=True)]


class StaleError(Exception):
    """Others have added vectors since the space was compared with the list of changes."""


class Search:
    """One search in what is in memory of a namespace.

    Args:
        scope: That of the namespace.
        space: Its vectors.
        asked: What is asked for.
        vector: What is compared with them.
        number: How many matches are wanted.
        changes: Given if the space may be too old: then it is asked together with the nearest records.
    """

    def __init__(
        self, scope: Scope, space: Space, asked: Asked, vector: bytes, number: int, changes: Changes | None = None
    ) -> None:
        self._scope = scope
        self._space = space
        self._asked = asked
        self._vector = vector
        self._number = number
        self._changes = changes
        self._known = space.known  # before the matrix is looked at: it holds as much, or more
        self._matrix = space.matrix
        self._matches = None if asked.filter is None else compile_query(asked.filter)

    def found(self) -> list[Found]:
        """Return the nearest records with their scores, from the nearest on.

        Raises:
            StaleError: If the space is too old.
        """
        if self._asked.filter is None:
            return self._nearest(None)
        # Few that match are found first, and only these compared. If many do, some of the nearest probably will: these
        # are looked at first, as far as that takes no longer than finding all that match.
        rows = len(self._matrix)
        many = max(_MANY, rows // _ONE_OF)
        planned = PlannedQuery(self._scope, self._asked.filter, Fields.KEY)
        keys = planned.first_keys(many + 1)
        if len(keys) > many:
            found = self._nearest(None, most=_TIMES * self._number * rows // many)
            if found is not None:
                return found
            keys = PlannedQuery(self._scope, self._asked.filter, Fields.KEY).first_keys(None)
        return self._nearest(keys)

    @overload
    def _nearest(self, keys: Sequence[str] | None) -> list[Found]: ...

    @overload
    def _nearest(self, keys: None, most: int) -> list[Found] | None: ...

    def _nearest(self, keys: Sequence[str] | None, most: int | None = None) -> list[Found] | None:
        """Return the nearest records that match.

        Args:
            keys: Those among which they are; ``None`` for all.
            most: How many may be read; if they are not enough, the result is ``None``.
        """
        found, absent = list[Found](), list[Ranked]()
        asked, read, began = self._asked, 0, self._scope.core.clock()
        for some in self._matrix.ranked(self._vector, asked.metric, self._number, keys):
            check()
            near = [one for one in some if asked.least is None or one.score >= asked.least]
            read += len(near)
            if most is not None and read > most:
                return None
            for one, document in zip(near, self._documents(near), strict=True):
                if document is not None:
                    if self._matches is None or self._matches(document):
                        found.append(Found(one.score, document, one.part))
                else:
                    absent.append(one)
            if len(found) >= self._number or len(near) < len(some):
                break
        if self._changes is not None:  # nothing was near enough to be read
            self._documents(())
        if absent:
            until = format_time(began - GRACE)  # if a vector was written before, so was its record, if ever
            self._space.forget([one.revision for one in absent if self._matrix.written_at(one.place) <= until])
        return found[: self._number]

    def _documents(self, ranked: Sequence[Ranked]) -> list[Document | None]:
        """Return the live record of each row; ``None`` where there is none at the revision of the row."""
        core, prefix, changes = self._scope.core, self._scope.prefix, self._changes
        ids = [prefix + encode_key(one.key) for one in ranked]
        watched = () if changes is None else changes.watched(self._known)
        wanted = list(dict.fromkeys((*watched, *ids)))
        documents = (
            core.tracker.with_pending(lambda: list(allowances.read(core, wanted, Fields.ALL).values()))
            if wanted
            else ()
        )
        by_id = {document.id: document for document in documents}
        if changes is not None:
            if not changes.is_last(self._known, watched, by_id):
                raise StaleError
            self._changes = None  # as of when it was called, whatever comes now
        return [
            document if (document := by_id.get(id)) is not None and document.revision == one.revision else None
            for id, one in zip(ids, ranked, strict=True)
        ]


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
