"""The words of a namespace's texts in memory, and which texts match a question best by its words.

A text is found by its words if it has a vector: the list of changes tells of these texts and of no others. As vectors
are, words are of the revision that the vector belongs to. When a search finds vectors that are new, their texts are
read, once; a text whose record is not there yet is looked for again by each search, until `GRACE` has passed.

The order is that of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009), in
float64 and in one order of additions: the same on every database.
"""

from __future__ import annotations

import heapq
import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from datastore.adapters.batching import batches
from datastore.backend import Fields
from datastore.ids import encode_key
from datastore.memory.changes import GRACE
from datastore.scope import Scope
from datastore.times import format_time

if TYPE_CHECKING:
    from datastore.memory.matrix import Matrix

K1, B = 1.2, 0.75
"""How soon a word that comes again counts no more, and how much a long text is held against it: the usual values, as
Robertson's group found them on TREC's collections and Lucene has them."""
LONGEST = 64
"""Characters of a word that are looked at."""
_AT_ONCE = 1_000
_POSTING, _WORD, _TEXT = 110, 200, 300  # about the bytes that each takes in memory

_NO_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and ideographs are not written in words
_JOINED = re.compile(rf"(?:(?![{_NO_SPACES}])\w)+(?:[-.'’/@:+](?:(?![{_NO_SPACES}])\w)+)*|[{_NO_SPACES}]+")
_PART = re.compile(r"[^\W_]+")


def folded(text: str) -> str:
    """Return a text as words of it are compared: case and forms that look the same do not matter."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order, as they are compared.

    Case and forms that look the same do not matter (NFKC and full case folding of Unicode). Letters and digits are
    kept as they are, without stems and stop words, because names and numbers are looked for by them. What is joined by
    one of ``-.'/@:+_`` (``INV-2024-07``, ``3.14``, ``ann@example.org``) is a word, and so is each of its parts. Kana
    and ideographs, which have no spaces, are taken two at a time.
    """
    found = list[str]()
    for joined in _JOINED.findall(folded(text)):
        if "\u3040" <= joined[0] <= "\ufaff" and re.match(f"[{_NO_SPACES}]", joined):
            found += [joined[place : place + 2] for place in range(max(len(joined) - 1, 1))]
            continue
        parts = _PART.findall(joined)
        if len(parts) > 1 or (parts and parts[0] != joined):
            found.append(joined[:LONGEST])
        found += [part[:LONGEST] for part in parts]
    return found


class Weights(NamedTuple):
    """What a question's words count, in all namespaces that are searched together."""

    of: dict[str, float]
    """The inverse document frequency of each word, in the order in which they are added up."""
    average: float
    """How many words a text has on average."""


class Hit(NamedTuple):
    """One text that has some of the words."""

    score: float
    key: str
    revision: str


class Index:
    """The words of one namespace. Several threads may use it at once."""

    __slots__ = ("_keys", "_lock", "_matrix", "_next", "_postings", "_texts", "_waiting", "_words", "size")

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for work in memory alone
        self._matrix: Matrix | None = None
        self._next = 0  # the first row of the matrix that was not looked at
        self._keys: dict[str, str] = {}  # by revision
        self._waiting: dict[str, tuple[str, str]] = {}  # by revision: the key, and when the vector was written
        self._texts: dict[str, tuple[str, int, tuple[str, ...]]] = {}  # by key: revision, words, different words
        self._postings: dict[str, dict[str, int]] = {}  # by word: how often each text has it, by key
        self._words = 0
        self.size = 0
        """About how much memory it takes, in bytes."""

    def refresh(self, scope: Scope, matrix: Matrix) -> None:
        """Read the texts whose vectors are new.

        Args:
            scope: That of the namespace.
            matrix: Its vectors, as they are now.

        Requests: those of ``get_many`` for the texts; none if there are none.
        """
        until = format_time(scope.core.clock() - GRACE)
        for some in batches(self._news(matrix), _AT_ONCE):
            ids = {scope.prefix + encode_key(key): key for key, _, _ in some}
            found = scope.core.read(list(ids), Fields.VALUE)
            there = {ids[id]: (one.revision, one.value) for id, one in found.items()}
            counted = {
                key: (revision, Counter(words_of(value)))
                for key, (revision, value) in there.items()
                if type(value) is str
            }
            with self._lock:
                for key, revision, at in some:
                    its_revision = there.get(key, ("", None))[0]
                    if its_revision == revision:
                        self._waiting.pop(revision, None)
                        self._put(key, *counted.get(key, (revision, Counter())))
                    elif at > until:
                        self._waiting[revision] = key, at
                    else:
                        self._waiting.pop(revision, None)
                    if key in self._texts and self._texts[key][0] != its_revision:
                        self._remove(key)

    def ranked(self, weights: Weights, keys: Collection[str] | None) -> Iterator[Hit]:
        """Return an iterator over the texts that have some of the words, the best first; equal ones by key.

        Args:
            weights: What the words count.
            keys: Only the texts of records with these keys; ``None`` for all.
        """
        scores = dict[str, float]()
        with self._lock:
            for word, weight in weights.of.items():
                for key, often in self._postings.get(word, {}).items():
                    if keys is None or key in keys:
                        length = self._texts[key][1]
                        part = often * (K1 + 1) / (often + K1 * (1 - B + B * length / weights.average))
                        scores[key] = scores.get(key, 0.0) + weight * part
            hits = [(-score, key, self._texts[key][0]) for key, score in scores.items()]
        heapq.heapify(hits)
        return (Hit(-score, key, revision) for score, key, revision in _popped(hits))

    def forget(self, revisions: Iterable[str]) -> None:
        """Leave out texts whose records are at another revision by now, or gone."""
        with self._lock:
            for revision in revisions:
                self._waiting.pop(revision, None)
                if revision in self._keys:
                    self._remove(self._keys[revision])

    def counts(self, words: Iterable[str]) -> tuple[int, int, dict[str, int]]:
        """Return how many texts there are, how many words they have together, and how many texts have each word."""
        with self._lock:
            return len(self._texts), self._words, {word: len(self._postings.get(word, ())) for word in words}

    def _news(self, matrix: Matrix) -> list[tuple[str, str, str]]:
        """Return the key, the revision and the time of each vector whose text is to be read."""
        with self._lock:
            if matrix is not self._matrix:
                self._matrix, self._next = matrix, 0
            rows = matrix.rows(self._next)
            self._next += len(rows)
            waiting = [(key, revision, at) for revision, (key, at) in self._waiting.items()]
            new = dict.fromkeys(rows)  # a text in parts has several
            return waiting + [row for row in new if row[1] in matrix and row[1] not in self._keys]

    def _put(self, key: str, revision: str, counted: Counter[str]) -> None:
        self._remove(key)
        number = counted.total()
        self._texts[key], self._keys[revision] = (revision, number, tuple(counted)), key
        self._words += number
        self.size += _TEXT + _POSTING * len(counted)
        for word, often in counted.items():
            of_word = self._postings.get(word)
            if of_word is None:
                of_word = self._postings[word] = {}
                self.size += _WORD
            of_word[key] = often

    def _remove(self, key: str) -> None:
        if key not in self._texts:
            return
        revision, number, words = self._texts.pop(key)
        del self._keys[revision]
        self._words -= number
        self.size -= _TEXT + _POSTING * len(words)
        for word in words:
            of_word = self._postings[word]
            del of_word[key]
            if not of_word:
                del self._postings[word]
                self.size -= _WORD


def weights(text: str, indexes: Sequence[Index]) -> Weights:
    """Return what the words of a question count, over the texts of several namespaces as if they were one."""
    words = sorted(set(words_of(text)))
    counts = [index.counts(words) for index in indexes]
    texts, length = sum(one[0] for one in counts), sum(one[1] for one in counts)
    often = {word: sum(one[2][word] for one in counts) for word in words}
    return Weights(
        {word: math.log(1 + (texts - often[word] + 0.5) / (often[word] + 0.5)) for word in words if often[word]},
        length / texts if length else 1.0,
    )


def _popped(heap: list[tuple[float, str, str]]) -> Iterator[tuple[float, str, str]]:
    while heap:
        yield heapq.heappop(heap)
