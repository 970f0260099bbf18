"""The records that fit a question by meaning, by its words, or by both: two rankings made one.

They are fused by their ranks alone (Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", 2009): a record has 1 / (`K` + its rank) of each ranking that it is in. Each
ranking counts with its first `DEPTH` records, of which all are read: so a rank is one among records that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from datastore.backend import Document, Fields, Query
from datastore.calls.planning import PlannedQuery, compile_query
from datastore.deadlines import check
from datastore.documents import key_of
from datastore.ids import encode_key
from datastore.memory.changes import GRACE
from datastore.memory.items import Found, Metric, Ranked
from datastore.memory.keywords import Hit, Index, Weights, weights
from datastore.memory.spaces import Space
from datastore.scope import Scope
from datastore.times import format_time

K = 60
"""As in that paper."""
DEPTH = 50
"""How many records of each ranking count, of each namespace; more if more are asked for."""


class Question(NamedTuple):
    """What is looked for."""

    text: str
    vector: bytes
    metric: Metric
    filter: Query | None


def fused(places: Sequence[tuple[Scope, Space]], question: Question, number: int) -> list[list[Found]]:
    """Return the best records of each namespace with their scores, the best first; equal ones by key.

    The rankings are those of all namespaces together, as if they were one.

    Args:
        places: The namespaces, and what is in memory of each.
        question: What is looked for.
        number: How many are wanted of each.
    """
    indexes = [space.words for _, space in places]
    for (scope, space), index in zip(places, indexes, strict=True):
        index.refresh(scope, space.matrix)
    of_words, depth = weights(question.text, indexes), max(number, DEPTH)
    rankings: tuple[list[Found], ...] = [], []
    both, owner = dict[str, Found](), dict[str, int]()
    for place, (scope, space) in enumerate(places):
        for ranking, found in zip(rankings, Side(scope, space, question, of_words).first(depth), strict=True):
            ranking += found
            owner.update((one.document.id, place) for one in found)
    for ranking in rankings:
        for rank, one in enumerate(sorted(ranking, key=place_of), 1):
            before = both.get(one.document.id, one._replace(score=0.0))
            both[one.document.id] = before._replace(score=before.score + 1 / (K + rank))
    best: list[list[Found]] = [[] for _ in places]
    for one in sorted(both.values(), key=place_of):
        best[owner[one.document.id]].append(one)
    return [some[:number] for some in best]


def place_of(one: Found) -> tuple[float, str, str]:
    """Return what records of several namespaces are sorted by: score, key, and namespace."""
    home, _, key = one.document.id.rpartition(":")
    return -one.score, key, home


class Side:
    """The two rankings of one namespace."""

    def __init__(self, scope: Scope, space: Space, question: Question, of_words: Weights) -> None:
        self._scope = scope
        self._space = space
        self._index: Index = space.words
        self._matrix = space.matrix
        self._question = question
        self._weights = of_words
        self._matches = None if question.filter is None else compile_query(question.filter)
        self._read: dict[str, Document | None] = {}

    def first(self, depth: int) -> tuple[list[Found], list[Found]]:
        """Return the nearest records, and those that have most of the words, with their scores."""
        asked, keys = self._question, None
        if asked.filter is not None:
            keys = PlannedQuery(self._scope, asked.filter, Fields.KEY).first_keys(None)
        near: Iterator[Ranked] = chain.from_iterable(self._matrix.ranked(asked.vector, asked.metric, depth, keys))
        worded = self._index.ranked(self._weights, None if keys is None else frozenset(keys))
        first_near, first_worded = list(islice(near, depth)), list(islice(worded, depth))
        self._fetch([*first_near, *first_worded])  # one request for both
        nearest, best = self._live(chain(first_near, near), depth), self._live(chain(first_worded, worded), depth)
        parts = self._matrix.parts(asked.vector, asked.metric, [key_of(one.document.id) for one in best])
        return nearest, [one._replace(part=parts.get(one.document.revision)) for one in best]

    def _live(self, ranked: Iterator[Ranked | Hit], depth: int) -> list[Found]:
        found, dead, gone = list[Found](), list[str](), list[str]()
        until = format_time(self._scope.core.clock() - GRACE)
        while some := list[Ranked | Hit](islice(ranked, depth - len(found))):
            check()
            self._fetch(some)
            for one in some:
                document = self._read[one.key]
                if document is not None and document.revision == one.revision:
                    if self._matches is None or self._matches(document):
                        found.append(Found(one.score, document, one.part if isinstance(one, Ranked) else None))
                elif isinstance(one, Hit):  # its record was there when it was read
                    gone.append(one.revision)
                elif self._matrix.written_at(one.place) <= until:  # its record was written long ago, if ever
                    dead.append(one.revision)
        if dead:
            self._space.forget(dead)
        self._index.forget(gone)
        return found

    def _fetch(self, ranked: Iterable[Ranked | Hit]) -> None:
        core, prefix = self._scope.core, self._scope.prefix
        keys = {prefix + encode_key(one.key): one.key for one in ranked if one.key not in self._read}
        if keys:
            found = core.tracker.with_pending(lambda: list(core.read(list(keys), Fields.ALL).values()))
            self._read.update(dict.fromkeys(keys.values()))
            self._read.update((keys[document.id], document) for document in found)
